//! The training curve: losses above, validation accuracy below, over epochs.

use super::style::{self, GRID, INK, LINE_WIDTH};
use super::{Drawn, Error, Svg};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::ops::Range;
use std::path::Path;

const PLOT: &str = "training";
const SIZE: (u32, u32) = (960, 720);
/// Width of the area of axis numbers and names, the same in both panels so that their epochs align.
const AXIS_WIDTH: u32 = 72;
/// Height of the area of epoch numbers, without and with the axis name.
const AXIS_HEIGHT: (u32, u32) = (28, 52);
const MARGIN: u32 = 14;
/// Up to this many points each is marked, so that a short run is visible.
const MOST_MARKED: usize = 40;

/// A moment of training. What was not measured then, or does not exist in the run, is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Epochs done, in general not whole.
    pub epoch: f64,
    /// Identification loss (softmax cross-entropy).
    pub ident: Option<f64>,
    /// Verification loss, not multiplied by λ.
    pub verif: Option<f64>,
    /// Share of validation pairs judged rightly, 0 to 1.
    pub validation_accuracy: Option<f64>,
}

/// Draws `points`, by ascending epoch, to the SVG file `path`. Losses that are not finite leave a
/// gap.
///
/// # Errors
/// No point with a finite value, or a file that cannot be written.
pub fn training_curve(path: &Path, points: &[CurvePoint]) -> Result<(), Error> {
    let lines = Lines {
        ident: Line::of(points, |point| point.ident),
        verif: Line::of(points, |point| point.verif),
        accuracy: Line::of(points, |point| point.validation_accuracy.map(|share| 100.0 * share)),
    };
    let epochs = || points.iter().map(|point| point.epoch).filter(|epoch| epoch.is_finite());
    let all = [&lines.ident, &lines.verif, &lines.accuracy];
    if all.iter().all(|line| line.values().next().is_none()) {
        return Err(Error::NothingToDraw { plot: PLOT, needed: "expected a finite loss or accuracy" });
    }
    let last = epochs().fold(f64::NEG_INFINITY, f64::max);
    let first = epochs().fold(f64::INFINITY, f64::min).min(0.0);
    let epochs = first..if last > first { last } else { first + 1.0 };

    Svg::draw(PLOT, SIZE, |root| lines.draw(root, &epochs))?.save(path)
}

/// A measured quantity: runs of neighbouring points with finite values, as (epoch, value).
struct Line {
    runs: Vec<Vec<(f64, f64)>>,
}

impl Line {
    /// What was not measured is passed over; what is not finite starts another run.
    fn of(points: &[CurvePoint], value: impl Fn(&CurvePoint) -> Option<f64>) -> Self {
        let measured: Vec<(f64, f64)> =
            points.iter().filter_map(|point| value(point).map(|value| (point.epoch, value))).collect();
        let runs = measured.split(|(epoch, value)| !(epoch.is_finite() && value.is_finite()));
        Self { runs: runs.filter(|run| !run.is_empty()).map(<[_]>::to_vec).collect() }
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.runs.iter().flatten().copied()
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.points().map(|(_, value)| value)
    }

    fn is_marked(&self) -> bool {
        self.points().count() <= MOST_MARKED
    }

    /// How many numbers its axis has: none where there is nothing to read off.
    fn label_count(&self) -> usize {
        if self.runs.is_empty() { 0 } else { 10 }
    }

    /// From zero, or below for a loss that is negative, to a little above the largest value.
    fn loss_range(&self) -> Range<f64> {
        let low = self.values().fold(0.0, f64::min);
        let high = self.values().fold(low, f64::max);
        1.05 * low..if high > low { 1.05 * high.max(0.0) + 0.05 * (high - low) } else { low + 1.0 }
    }

    /// Whole steps of 5 % round all values.
    fn percent_range(&self) -> Range<f64> {
        const STEP: f64 = 5.0;
        let low = self.values().fold(100.0, f64::min);
        let high = self.values().fold(low, f64::max);
        let low = ((low - 1.0) / STEP).floor() * STEP;
        let high = ((high + 1.0) / STEP).ceil() * STEP;
        low.max(0.0)..high.min(100.0)
    }
}

struct Lines {
    ident: Line,
    verif: Line,
    accuracy: Line,
}

impl Lines {
    fn draw(&self, root: &DrawingArea<SVGBackend, Shift>, epochs: &Range<f64>) -> Drawn {
        let (above, below) = root.split_vertically((55).percent_height());
        self.draw_losses(&above, epochs)?;
        self.draw_accuracy(&below, epochs)
    }

    /// The two losses differ in size by orders of magnitude, so each has its own axis.
    fn draw_losses(&self, area: &DrawingArea<SVGBackend, Shift>, epochs: &Range<f64>) -> Drawn {
        let (ident_colour, verif_colour) = (style::colour(0), style::colour(1));
        let mut chart = panel(area, "Training losses")
            .x_label_area_size(AXIS_HEIGHT.0)
            .right_y_label_area_size(AXIS_WIDTH)
            .build_cartesian_2d(epochs.clone(), self.ident.loss_range())?
            .set_secondary_coord(epochs.clone(), self.verif.loss_range());
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(style::label(INK))
            .x_label_formatter(&|epoch| style::short(*epoch, 2))
            .y_label_formatter(&|loss| style::short(*loss, 3))
            .y_label_style(style::label(ident_colour))
            .y_labels(self.ident.label_count())
            .y_desc("identification loss")
            .axis_desc_style(style::label(ident_colour))
            .draw()?;
        chart
            .configure_secondary_axes()
            .axis_style(INK)
            .label_style(style::label(verif_colour))
            .y_label_formatter(&|loss| style::short(*loss, 3))
            .y_labels(self.verif.label_count())
            .y_desc("verification loss")
            .axis_desc_style(style::label(verif_colour))
            .draw()?;
        for run in &self.ident.runs {
            chart.draw_series(LineSeries::new(run.iter().copied(), ident_colour.stroke_width(LINE_WIDTH)))?;
        }
        for run in &self.verif.runs {
            chart.draw_secondary_series(LineSeries::new(run.iter().copied(), verif_colour.stroke_width(LINE_WIDTH)))?;
        }
        if self.ident.is_marked() {
            chart.draw_series(self.ident.points().map(|at| Circle::new(at, 3, ident_colour.filled())))?;
        }
        if self.verif.is_marked() {
            chart.draw_secondary_series(self.verif.points().map(|at| Circle::new(at, 3, verif_colour.filled())))?;
        }
        Ok(())
    }

    fn draw_accuracy(&self, area: &DrawingArea<SVGBackend, Shift>, epochs: &Range<f64>) -> Drawn {
        let colour = style::colour(2);
        let best = self.accuracy.points().reduce(|best, point| if point.1 > best.1 { point } else { best });
        let title = match best {
            Some((epoch, percent)) => {
                format!("Validation accuracy: best {percent:.2} % at epoch {}", style::short(epoch, 2))
            }
            None => "Validation accuracy: not measured".to_owned(),
        };
        let mut chart = panel(area, &title)
            .x_label_area_size(AXIS_HEIGHT.1)
            .margin_right(MARGIN + AXIS_WIDTH)
            .build_cartesian_2d(epochs.clone(), self.accuracy.percent_range())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(style::label(INK))
            .x_label_formatter(&|epoch| style::short(*epoch, 2))
            .y_label_formatter(&|percent| style::short(*percent, 1))
            .x_desc("epoch")
            .y_desc("accuracy, %")
            .axis_desc_style(style::label(INK))
            .draw()?;
        for run in &self.accuracy.runs {
            chart.draw_series(LineSeries::new(run.iter().copied(), colour.stroke_width(LINE_WIDTH)))?;
        }
        if self.accuracy.is_marked() {
            chart.draw_series(self.accuracy.points().map(|at| Circle::new(at, 3, colour.filled())))?;
        }
        chart.draw_series(best.map(|at| Circle::new(at, 6, colour.stroke_width(LINE_WIDTH))))?;
        Ok(())
    }
}

fn panel<'a, 'b>(area: &'a DrawingArea<SVGBackend<'b>, Shift>, title: &str) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(area);
    builder.caption(title, style::caption()).margin(MARGIN).y_label_area_size(AXIS_WIDTH);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(epoch: f64, ident: f64, accuracy: Option<f64>) -> CurvePoint {
        CurvePoint { epoch, ident: Some(ident), verif: Some(0.1 * ident), validation_accuracy: accuracy }
    }

    fn drawn(points: &[CurvePoint]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curve.svg");
        training_curve(&path, points).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_curve_names_its_axes_and_best_accuracy() {
        let points: Vec<_> = (0..200)
            .map(|i| {
                point(
                    0.1 * f64::from(i),
                    8.0 / f64::from(i + 1),
                    (i % 10 == 0).then(|| 0.9 - 1e-5 * f64::from((i - 120) * (i - 120))),
                )
            })
            .collect();
        let svg = drawn(&points);
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in ["identification", "verification", "accuracy, %", "epoch", "best 90.00 % at epoch 12"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn gaps_single_points_and_missing_quantities_are_drawn() {
        let diverged =
            [point(0.0, 3.0, None), point(1.0, f64::NAN, None), point(2.0, 2.0, None), point(3.0, 2.0, None)];
        let line = Line::of(&diverged, |p| p.ident);
        assert_eq!(line.runs, [vec![(0.0, 3.0)], vec![(2.0, 2.0), (3.0, 2.0)]]);
        assert!(drawn(&diverged).contains("not measured"));
        assert!(!drawn(&[point(0.0, 0.0, Some(1.0))]).contains("NaN"));
        let only_accuracy = CurvePoint { epoch: 2.0, ident: None, verif: None, validation_accuracy: Some(0.5) };
        assert!(drawn(&[only_accuracy]).contains("best 50.00 % at epoch 2"));
    }

    #[test]
    fn nothing_finite_is_an_error() {
        let path = Path::new("never-written.svg");
        for points in [&[][..], &[point(1.0, f64::INFINITY, None)]] {
            assert!(matches!(training_curve(path, points), Err(Error::NothingToDraw { .. })));
        }
        assert!(!path.exists());
    }
}
