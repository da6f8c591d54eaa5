//! ROC curves of one or several verifiers.

use super::frame::{self, Axis, Sample, legend_height};
use super::style::{self, GUIDE, LINE_WIDTH};
use super::{Drawn, Error, Svg};
use crate::verify::roc::{Roc, RocPoint};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use std::path::Path;

/// Width and height of the picture without its legend.
const SIZE: (u32, u32) = (760, 720);
/// The smallest FAR of the logarithmic axis: LFW's 3,000 pairs of different people tell no less.
const LOWEST_FAR: f64 = 1e-3;
/// Pieces that a slanted part of a curve is drawn in, since it is bent on a logarithmic axis.
const PIECES: u32 = 64;

/// The scale of the FAR axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FarAxis {
    /// From 0 to 1.
    #[default]
    Linear,
    /// Logarithmic, from 0.001 to 1: where verifiers that are good differ.
    Logarithmic,
}

/// Draws the curves, each with its name. The legend gives AUC and EER; the dashed lines are chance
/// (TAR = FAR) and the points of equal error (TAR = 1 − FAR).
///
/// # Errors
/// No curves.
pub fn roc_svg(curves: &[(String, Roc)], axis: FarAxis) -> Result<Svg, Error> {
    const PLOT: &str = "ROC curves";
    if curves.is_empty() {
        return Err(Error::NothingToDraw { plot: PLOT, needed: "expected at least one ROC curve" });
    }
    Svg::draw(PLOT, (SIZE.0, SIZE.1 + legend_height(curves.len())), |root| match axis {
        FarAxis::Linear => draw(root, curves, 0.0, 0.0..1.0),
        // A hair lower, lest rounding put the first number of the axis outside of it.
        FarAxis::Logarithmic => draw(root, curves, LOWEST_FAR, (0.999 * LOWEST_FAR..1.0).log_scale()),
    })
}

/// [`roc_svg`] to the file `path`.
///
/// # Errors
/// No curves, or a file that cannot be written.
pub fn roc(path: &Path, curves: &[(String, Roc)], axis: FarAxis) -> Result<(), Error> {
    roc_svg(curves, axis)?.save(path)
}

fn draw<X>(root: &DrawingArea<SVGBackend, Shift>, curves: &[(String, Roc)], lowest: f64, far_axis: X) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let (plot, legend_area) = root.split_vertically(SIZE.1);
    let mut chart =
        frame::builder(&plot, "Receiver operating characteristic").build_cartesian_2d(far_axis, 0.0..1.0)?;
    let far = Axis { name: "false acceptance rate (FAR)", number: &|far| style::short(far, 3) };
    let tar = Axis { name: "true acceptance rate (TAR)", number: &|tar| style::short(tar, 2) };
    frame::axes(&mut chart, &far, &tar)?;
    for diagonal in [[(0.0, 0.0), (1.0, 1.0)], [(0.0, 1.0), (1.0, 0.0)]] {
        let bent = visible(diagonal.into_iter(), lowest);
        chart.draw_series(DashedLineSeries::new(bent, 5, 5, GUIDE.stroke_width(1)))?;
    }
    let mut legend = Vec::new();
    for (index, (name, curve)) in curves.iter().enumerate() {
        let stroke = style::colour(index).stroke_width(LINE_WIDTH);
        let points = curve.points.iter().map(|&RocPoint { far, tar, .. }| (far, tar));
        chart.draw_series(LineSeries::new(visible(points, lowest), stroke))?;
        let text = format!("{name}: AUC {:.4}, EER {:.2} %", curve.auc, 100.0 * curve.eer);
        legend.push((Sample::Line(stroke), text));
    }
    frame::legend(&legend_area, &legend)
}

/// The part of a curve from FAR = `lowest` on, its slanted parts in pieces equally long on a
/// logarithmic axis where `lowest` is above 0.
fn visible(curve: impl Iterator<Item = (f64, f64)>, lowest: f64) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut before = None;
    for (far, tar) in curve {
        if let Some((far_before, tar_before)) = before.replace((far, tar)) {
            let start = lowest.max(far_before);
            if far < lowest {
                continue;
            }
            let at = |far_between: f64| {
                let share = if far > far_before { (far_between - far_before) / (far - far_before) } else { 1.0 };
                tar_before + share * (tar - tar_before)
            };
            if points.is_empty() {
                points.push((start, if far > far_before { at(start) } else { tar_before }));
            }
            if lowest > 0.0 && far > start && tar != tar_before {
                for piece in 1..PIECES {
                    let between = start * (far / start).powf(f64::from(piece) / f64::from(PIECES));
                    points.push((between, at(between)));
                }
            }
            points.push((far, tar));
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::trials::Trials;

    fn example() -> Roc {
        Trials::new(
            (0..2000u32)
                .map(|i| (f64::from(i.wrapping_mul(0x9E37_79B9) >> 16) + 30_000.0 * f64::from(i % 2), i % 2 == 0)),
        )
        .unwrap()
        .roc()
    }

    #[test]
    fn the_legend_names_curves_and_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roc.svg");
        let roc_curve = example();
        let expected = format!("A &lt;b&gt;: AUC {:.4}, EER {:.2} %", roc_curve.auc, 100.0 * roc_curve.eer);
        for axis in [FarAxis::Linear, FarAxis::Logarithmic] {
            roc(&path, &[("A <b>".into(), roc_curve.clone()), ("other".into(), roc_curve.clone())], axis).unwrap();
            let svg = std::fs::read_to_string(&path).unwrap();
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
            assert!(svg.contains(&expected), "{expected}");
            assert!(svg.contains("other: AUC") && !svg.contains("NaN") && !svg.contains("inf"));
        }
        assert!(matches!(roc(&path, &[], FarAxis::Linear), Err(Error::NothingToDraw { .. })));
    }

    #[test]
    fn a_curve_is_cut_where_the_axis_begins() {
        let stairs = [(0.0, 0.0), (0.0, 0.5), (0.1, 0.5), (0.1, 0.9), (1.0, 0.9), (1.0, 1.0)];
        assert_eq!(visible(stairs.into_iter(), 0.0), stairs);
        assert_eq!(visible(stairs.into_iter(), 0.01), [(0.01, 0.5), (0.1, 0.5), (0.1, 0.9), (1.0, 0.9), (1.0, 1.0)]);
        let chance = visible([(0.0, 0.0), (1.0, 1.0)].into_iter(), 0.001);
        assert_eq!(chance.len() as u32, PIECES + 1);
        assert_eq!((chance[0], chance[PIECES as usize]), ((0.001, 0.001), (1.0, 1.0)));
        assert!(chance.iter().all(|(far, tar)| (far - tar).abs() < 1e-12));
    }
}
