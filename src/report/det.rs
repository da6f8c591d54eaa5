//! DET curves of one or several verifiers.

use super::frame::{self, Axis, Sample, legend_height};
use super::style::{self, GUIDE, LINE_WIDTH};
use super::{Error, Svg};
use crate::verify::det::{DetPoint, normal_deviate};
use plotters::prelude::*;
use std::ops::Range;

/// Width and height of the picture without its legend.
const SIZE: (u32, u32) = (760, 720);
/// The rates that the axes may name.
const RATES: [f64; 17] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99];

/// A verifier's curve, [`Trials::det`](crate::verify::trials::Trials::det), and its EER.
#[derive(Debug, Clone, PartialEq)]
pub struct DetCurve {
    pub name: String,
    pub points: Vec<DetPoint>,
    pub eer: f64,
}

/// Draws the curves on normal-deviate axes, from the lowest rate that the trials can tell. The dashed
/// line is that of equal errors.
///
/// # Errors
/// No curve.
pub fn det_svg(curves: &[DetCurve]) -> Result<Svg, Error> {
    const PLOT: &str = "DET curves";
    if curves.is_empty() {
        return Err(Error::NothingToDraw { plot: PLOT, needed: "expected at least one DET curve" });
    }
    let (low, high) = rates(curves);
    let window = normal_deviate(low)..normal_deviate(high);
    let ticks = ticks(low, high);
    let number = |deviate: f64| {
        let near = |rate: &f64| (normal_deviate(*rate) - deviate).abs() < 1e-9;
        RATES.iter().find(|rate| near(rate)).map_or_else(String::new, |rate| style::short(100.0 * rate, 2))
    };
    Svg::draw(PLOT, (SIZE.0, SIZE.1 + legend_height(curves.len())), |root| {
        let (plot, legend_area) = root.split_vertically(SIZE.1);
        let axis = || frame::ticked(window.clone(), ticks.clone());
        let mut chart = frame::builder(&plot, "Detection error trade-off").build_cartesian_2d(axis(), axis())?;
        let far = Axis { name: "false acceptance rate (FAR), %", number: &number };
        let frr = Axis { name: "false rejection rate (FRR), %", number: &number };
        frame::axes(&mut chart, &far, &frr)?;
        let equal = [(window.start, window.start), (window.end, window.end)];
        chart.draw_series(DashedLineSeries::new(equal, 5, 5, GUIDE.stroke_width(1)))?;
        let mut legend = Vec::new();
        for (index, curve) in curves.iter().enumerate() {
            let stroke = style::colour(index).stroke_width(LINE_WIDTH);
            let deviates = curve.points.iter().map(|at| (normal_deviate(at.far), normal_deviate(at.frr)));
            for piece in inside(deviates, &window) {
                chart.draw_series(LineSeries::new(piece, stroke))?;
            }
            legend.push((Sample::Line(stroke), format!("{}: EER {:.2} %", curve.name, 100.0 * curve.eer)));
        }
        frame::legend(&legend_area, &legend)
    })
}

/// The lowest and the highest rate of the axes.
fn rates(curves: &[DetCurve]) -> (f64, f64) {
    let rates = || curves.iter().flat_map(|curve| &curve.points).flat_map(|at| [at.far, at.frr]);
    let told = rates().filter(|&rate| rate > 0.0).fold(1.0, f64::min);
    let worst = curves.iter().map(|curve| curve.eer).fold(0.0, f64::max);
    let low = RATES.into_iter().rev().find(|&rate| rate <= told && rate <= 0.05).unwrap_or(RATES[0]);
    let high = RATES.into_iter().find(|&rate| rate >= 0.6 && rate > 2.0 * worst).unwrap_or(0.99);
    (low, high)
}

/// The deviates that the axes name: as many of [`RATES`] as leave room for their numbers.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    /// Of the axis, between the middles of two numbers.
    const APART: f64 = 1.0 / 15.0;
    let length = normal_deviate(high) - normal_deviate(low);
    let mut ticks: Vec<f64> = Vec::new();
    for rate in RATES.into_iter().rev().filter(|rate| (low..=high).contains(rate)) {
        let deviate = normal_deviate(rate);
        if ticks.last().is_none_or(|above| above - deviate >= APART * length) {
            ticks.push(deviate);
        }
    }
    ticks
}

/// The parts of a line within a square window. What a rate of 0 or 1 makes infinite is left out.
fn inside(points: impl Iterator<Item = (f64, f64)>, window: &Range<f64>) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let finite: Vec<(f64, f64)> = points.filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    for ends in finite.windows(2) {
        let Some([from, to]) = clipped(ends[0], ends[1], window) else { continue };
        match pieces.last_mut() {
            Some(piece) if piece.last() == Some(&from) => piece.push(to),
            _ => pieces.push(vec![from, to]),
        }
    }
    pieces
}

/// The part of a line between two points within a square window (Liang & Barsky, 1984).
fn clipped((x0, y0): (f64, f64), (x1, y1): (f64, f64), window: &Range<f64>) -> Option<[(f64, f64); 2]> {
    let (mut enters, mut leaves) = (0.0f64, 1.0f64);
    for (start, way) in [(x0, x1 - x0), (y0, y1 - y0)] {
        if way == 0.0 {
            if !(window.start..=window.end).contains(&start) {
                return None;
            }
            continue;
        }
        let (a, b) = ((window.start - start) / way, (window.end - start) / way);
        enters = enters.max(a.min(b));
        leaves = leaves.min(a.max(b));
    }
    // At its own ends, the line keeps their exact coordinates.
    let at = |t: f64| match t {
        0.0 => (x0, y0),
        1.0 => (x1, y1),
        _ => (x0 + t * (x1 - x0), y0 + t * (y1 - y0)),
    };
    (enters <= leaves).then(|| [at(enters), at(leaves)])
}

#[cfg(test)]
mod tests {
    use super::super::svg::testing::texts;
    use super::*;
    use crate::verify::trials::Trials;

    fn curve(name: &str, shift: f64) -> DetCurve {
        let deviates = (1..500).map(|i| normal_deviate(f64::from(i) / 500.0));
        let trials = Trials::new(deviates.flat_map(|d| [(d, true), (d + shift, false)])).unwrap();
        DetCurve { name: name.into(), points: trials.det(), eer: trials.eer() }
    }

    #[test]
    fn axes_name_rates_and_the_legend_equal_errors() {
        let texts = texts(&det_svg(&[curve("a <b>", 2.0)]).unwrap());
        for text in ["0.2", "0.5", "1", "2", "5", "10", "20", "40", "60", "false rejection rate (FRR), %"] {
            assert!(texts.iter().any(|found| found == text), "{text}: {texts:?}");
        }
        assert!(texts.iter().any(|text| text.starts_with("a <b>: EER 15.")), "{texts:?}");
        assert!(matches!(det_svg(&[]), Err(Error::NothingToDraw { .. })));
    }

    #[test]
    fn numbers_have_room() {
        for (low, high) in [(0.0001, 0.99), (0.0005, 0.6), (0.01, 0.6)] {
            let ticks = ticks(low, high);
            let length = normal_deviate(high) - normal_deviate(low);
            assert!(ticks.len() >= 7 && ticks.windows(2).all(|two| two[0] - two[1] >= length / 15.0), "{ticks:?}");
        }
        texts(&det_svg(&[curve("chance", 0.0), curve("reversed", -2.0)]).unwrap());
    }

    #[test]
    fn a_perfect_verifier_has_an_empty_plot() {
        let trials = Trials::new([(1.0, true), (2.0, false)]).unwrap();
        let perfect = DetCurve { name: "perfect".into(), points: trials.det(), eer: trials.eer() };
        assert!(texts(&det_svg(&[perfect]).unwrap()).iter().any(|text| text == "perfect: EER 0.00 %"));
    }

    #[test]
    fn lines_end_at_the_window() {
        let window = -1.0..1.0;
        assert_eq!(clipped((-3.0, 0.0), (3.0, 0.0), &window), Some([(-1.0, 0.0), (1.0, 0.0)]));
        assert_eq!(clipped((0.0, 0.5), (0.5, 0.0), &window), Some([(0.0, 0.5), (0.5, 0.0)]));
        assert_eq!(clipped((-3.0, 2.0), (3.0, 2.0), &window), None);
        assert_eq!(clipped((-3.0, 0.0), (0.0, 3.0), &window), None);
        let line = [(f64::NEG_INFINITY, 0.9), (-2.0, 0.0), (0.0, 0.0), (0.0, -5.0), (0.5, -5.0)];
        assert_eq!(inside(line.into_iter(), &window), [vec![(-1.0, 0.0), (0.0, 0.0), (0.0, -1.0)]]);
    }
}
