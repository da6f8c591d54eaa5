//! Accuracy against the number of patches.

use super::frame::{self, Axis, Sample, legend_height, number_of, padded};
use super::style::{self, LINE_WIDTH};
use super::{Error, Svg};
use crate::verify::bootstrap::Interval;
use plotters::prelude::*;
use std::collections::BTreeSet;

/// Width and height of the picture without its legend.
const SIZE: (u32, u32) = (760, 500);

/// The accuracy that some number of patches reaches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PatchAccuracy {
    /// At least 1.
    pub patches: u32,
    /// 0 to 1.
    pub accuracy: f64,
    /// Drawn as a bar.
    pub interval: Option<Interval>,
}

/// Draws a line a series, on a logarithmic axis since every doubling counts about the same.
///
/// # Errors
/// No point with a patch and a finite accuracy.
pub fn patches_svg(series: &[(String, Vec<PatchAccuracy>)]) -> Result<Svg, Error> {
    const PLOT: &str = "accuracy against patches";
    let series: Vec<(&str, Vec<PatchAccuracy>)> = series
        .iter()
        .map(|(name, points)| {
            let mut kept: Vec<PatchAccuracy> =
                points.iter().copied().filter(|at| at.patches > 0 && at.accuracy.is_finite()).collect();
            kept.sort_by_key(|at| at.patches);
            (name.as_str(), kept)
        })
        .collect();
    let points = || series.iter().flat_map(|(_, points)| points);
    let counts: BTreeSet<u32> = points().map(|at| at.patches).collect();
    let Some((&fewest, &most)) = counts.first().zip(counts.last()) else {
        return Err(Error::NothingToDraw { plot: PLOT, needed: "expected at least one measured accuracy" });
    };
    let shown = |at: &PatchAccuracy| [Some(at.accuracy), at.interval.map(|i| i.low), at.interval.map(|i| i.high)];
    let range = padded(points().flat_map(shown).flatten().map(|share| 100.0 * share));
    Svg::draw(PLOT, (SIZE.0, SIZE.1 + legend_height(series.len())), |root| {
        let (plot, legend_area) = root.split_vertically(SIZE.1);
        let patch_axis = (0.9 * f64::from(fewest)..1.1 * f64::from(most)).log_scale();
        let mut chart = frame::builder(&plot, "Accuracy against the number of patches")
            .build_cartesian_2d(frame::ticked(patch_axis, apart(&counts)), range.clone())?;
        let number = number_of(&range);
        let x = Axis { name: "patches", number: &|count| style::short(count, 0) };
        let y = Axis { name: "accuracy, %", number: &number };
        frame::axes(&mut chart, &x, &y)?;
        let mut legend = Vec::new();
        for (index, (name, points)) in series.iter().enumerate() {
            let (colour, stroke) = (style::colour(index), style::colour(index).stroke_width(LINE_WIDTH));
            let place = |at: &PatchAccuracy| (f64::from(at.patches), 100.0 * at.accuracy);
            chart.draw_series(LineSeries::new(points.iter().map(place), stroke))?;
            chart.draw_series(points.iter().map(|at| Circle::new(place(at), 4, colour.filled())))?;
            chart.draw_series(points.iter().filter_map(|at| {
                let (x, Interval { low, high }) = (f64::from(at.patches), at.interval?);
                Some(PathElement::new([(x, 100.0 * low), (x, 100.0 * high)], stroke))
            }))?;
            let best = points.iter().max_by(|a, b| a.accuracy.total_cmp(&b.accuracy));
            let best = best.map(|at| format!(": best {:.2} % with {}", 100.0 * at.accuracy, at.patches));
            legend.push((Sample::Line(stroke), format!("{name}{}", best.unwrap_or_default())));
        }
        frame::legend(&legend_area, &legend)
    })
}

/// The counts that the axis names: those with a fifth between them, so that their numbers stay apart.
fn apart(counts: &BTreeSet<u32>) -> Vec<f64> {
    let mut named: Vec<f64> = Vec::new();
    for count in counts.iter().map(|&count| f64::from(count)) {
        if named.last().is_none_or(|last| count >= 1.2 * last) {
            named.push(count);
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::super::svg::testing::texts;
    use super::*;

    #[test]
    fn measured_counts_are_named() {
        let at = |patches, accuracy| PatchAccuracy {
            patches,
            accuracy,
            interval: Some(Interval { low: accuracy - 0.01, high: accuracy + 0.008 }),
        };
        let series =
            ("Joint Bayesian".to_string(), vec![at(4, 0.9), at(1, 0.85), at(25, 0.93), at(8, 0.91), at(16, f64::NAN)]);
        let found = texts(&patches_svg(&[series]).unwrap());
        for text in ["1", "4", "8", "25", "accuracy, %", "Joint Bayesian: best 93.00 % with 25"] {
            assert!(found.iter().any(|f| f == text), "{text}: {found:?}");
        }
        assert!(!found.iter().any(|text| text == "16"));
        assert!(matches!(patches_svg(&[("none".into(), vec![])]), Err(Error::NothingToDraw { .. })));
    }

    #[test]
    fn numbers_stay_apart() {
        assert_eq!(apart(&BTreeSet::from([1, 2, 3, 16, 17, 25])), [1.0, 2.0, 3.0, 16.0, 25.0]);
    }
}
