//! How the distances of pairs of one person and of different people are spread.

use super::frame::{self, Axis, Sample, legend_height, number_of, padded};
use super::style::{self, INK, LINE_WIDTH};
use super::{Error, Svg};
use plotters::prelude::*;

/// Width and height of the picture without its legend.
const SIZE: (u32, u32) = (760, 460);
const BINS: usize = 50;

/// Distances to draw; what is not finite is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Histogram<'a> {
    pub same: &'a [f64],
    pub different: &'a [f64],
    /// Pairs at most this far apart are accepted.
    pub threshold: Option<f64>,
    /// What a distance is, such as `Euclidean distance`.
    pub axis: &'a str,
}

/// Draws both histograms over the same bins, each as a share of its own kind, so that the kinds
/// compare whatever their numbers.
///
/// # Errors
/// No finite distance.
pub fn histogram_svg(histogram: &Histogram) -> Result<Svg, Error> {
    const PLOT: &str = "distances";
    let Histogram { same, different, threshold, axis } = *histogram;
    let finite = || same.iter().chain(different).copied().filter(|distance| distance.is_finite());
    if finite().next().is_none() {
        return Err(Error::NothingToDraw { plot: PLOT, needed: "expected at least one finite distance" });
    }
    let range = padded(finite().chain(threshold.filter(|at| at.is_finite())));
    let bin_width = (range.end - range.start) / BINS as f64;
    let shares = [same, different].map(|distances| shares(distances, range.start, bin_width));
    let highest = shares.iter().flatten().fold(0.0f64, |high, &share| high.max(share));
    let entries = legend_height(2 + usize::from(threshold.is_some()));
    Svg::draw(PLOT, (SIZE.0, SIZE.1 + entries), |root| {
        let (plot, legend_area) = root.split_vertically(SIZE.1);
        let percent = 0.0..105.0 * highest;
        let mut chart =
            frame::builder(&plot, "Distances of pairs").build_cartesian_2d(range.clone(), percent.clone())?;
        let number = number_of(&range);
        let x = Axis { name: axis, number: &number };
        let number = number_of(&percent);
        let y = Axis { name: "pairs of the kind, %", number: &number };
        frame::axes(&mut chart, &x, &y)?;
        let kinds = [("one person", same.len()), ("different people", different.len())];
        let mut legend = Vec::new();
        for (index, (shares, (name, count))) in shares.iter().zip(kinds).enumerate() {
            let (colour, stroke) = (style::colour(index), style::colour(index).stroke_width(LINE_WIDTH));
            let edge = |bin: usize| range.start + bin as f64 * bin_width;
            chart.draw_series(shares.iter().enumerate().filter(|(_, share)| **share > 0.0).map(|(bin, share)| {
                Rectangle::new([(edge(bin), 0.0), (edge(bin + 1), 100.0 * share)], colour.mix(0.3).filled())
            }))?;
            let outline =
                shares.iter().enumerate().flat_map(|(bin, share)| [bin, bin + 1].map(|at| (edge(at), 100.0 * share)));
            chart.draw_series(LineSeries::new(outline, stroke))?;
            legend.push((Sample::Line(stroke), format!("{name}: {count} pairs")));
        }
        if let Some(at) = threshold.filter(|at| at.is_finite()) {
            let stroke = INK.stroke_width(LINE_WIDTH);
            chart.draw_series(DashedLineSeries::new([(at, 0.0), (at, percent.end)], 6, 4, stroke))?;
            let text = format!("threshold {}: nearer pairs are accepted", style::distance(at));
            legend.push((Sample::Dashed(stroke), text));
        }
        frame::legend(&legend_area, &legend)
    })
}

/// The share of the finite distances in each bin.
fn shares(distances: &[f64], start: f64, width: f64) -> Vec<f64> {
    let mut counts = vec![0u32; BINS];
    let finite: Vec<f64> = distances.iter().copied().filter(|distance| distance.is_finite()).collect();
    for distance in &finite {
        counts[(((distance - start) / width) as usize).min(BINS - 1)] += 1;
    }
    counts.into_iter().map(|count| f64::from(count) / finite.len().max(1) as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::super::svg::testing::texts;
    use super::*;

    #[test]
    fn both_kinds_and_the_threshold_are_named() {
        let same: Vec<f64> = (0..300).map(|i| f64::from(i % 17)).collect();
        let different: Vec<f64> = (0..200).map(|i| 10.0 + f64::from(i % 23)).chain([f64::NAN]).collect();
        let mut histogram = Histogram { same: &same, different: &different, threshold: Some(12.5), axis: "distance" };
        let found = texts(&histogram_svg(&histogram).unwrap());
        for text in ["one person: 300 pairs", "threshold 12.5: nearer pairs are accepted", "pairs of the kind, %"] {
            assert!(found.iter().any(|f| f == text), "{text}: {found:?}");
        }
        histogram.threshold = None;
        assert!(!texts(&histogram_svg(&histogram).unwrap()).iter().any(|text| text.contains("threshold")));
        let one = Histogram { same: &[1.0], different: &[], ..histogram };
        texts(&histogram_svg(&one).unwrap());
        let none = Histogram { same: &[f64::NAN], different: &[], ..histogram };
        assert!(matches!(histogram_svg(&none), Err(Error::NothingToDraw { .. })));
    }

    #[test]
    fn shares_are_of_the_kind() {
        let found = shares(&[0.5, 1.5, 1.6, 49.9, 50.0, f64::INFINITY], 0.0, 1.0);
        assert_eq!((found[0], found[1], found[49]), (0.2, 0.4, 0.4));
        assert_eq!(found.iter().sum::<f64>(), 1.0);
    }
}
