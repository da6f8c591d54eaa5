//! Cumulative error curves: the share of faces whose landmarks are at most so far off.

use super::style::{self, GRID, GUIDE, INK, LINE_WIDTH};
use super::{Drawn, Error};
use crate::files::atomic_write;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// Width and height of the picture without its legend.
const SIZE: (u32, u32) = (760, 560);
const LEGEND_ROW: u32 = 26;
/// Left edge of the legend's lines and of its text.
const LEGEND_AT: (i32, i32) = (82, 116);
/// The largest error of the axis, in percent.
const LARGEST: f64 = 15.0;

/// A curve: its name and an error for each face, 0.05 for five percent.
pub type Errors = (String, Vec<f64>);

/// Draws the curves to the SVG file `path`. The dashed line is at `failure`, the error beyond which a
/// face counts as failed; the legend gives mean, median and the share of failures. `unit` says what
/// errors are relative to.
///
/// # Errors
/// No curves, one without errors, or a file that cannot be written.
pub fn cumulative_errors(path: &Path, curves: &[Errors], failure: f64, unit: &str) -> Result<(), Error> {
    if curves.is_empty() || curves.iter().any(|(_, errors)| errors.is_empty()) {
        return Err(Error::NothingToDraw { path: path.into(), needed: "expected the errors of at least one face" });
    }
    let mut svg = String::new();
    draw(&mut svg, curves, failure, unit).map_err(|source| Error::Draw { path: path.into(), source })?;
    Ok(atomic_write(path, svg.as_bytes())?)
}

fn draw(svg: &mut String, curves: &[Errors], failure: f64, unit: &str) -> Drawn {
    let legend_height = LEGEND_ROW * curves.len() as u32 + LEGEND_ROW / 2;
    let root = SVGBackend::with_string(svg, (SIZE.0, SIZE.1 + legend_height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (plot, legend) = root.split_vertically(SIZE.1);
    let mut chart = ChartBuilder::on(&plot)
        .caption("Cumulative error of the landmarks", style::caption())
        .margin(14)
        .margin_right(28)
        .x_label_area_size(52)
        .y_label_area_size(68)
        .build_cartesian_2d(0.0..LARGEST, 0.0..100.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(style::label(INK))
        .x_label_formatter(&|percent| style::short(*percent, 1))
        .y_label_formatter(&|percent| style::short(*percent, 0))
        .x_desc(format!("mean error of a face, % of the {unit}"))
        .y_desc("faces, %")
        .axis_desc_style(style::label(INK))
        .draw()?;
    let limit = 100.0 * failure;
    chart.draw_series(DashedLineSeries::new([(limit, 0.0), (limit, 100.0)], 5, 5, GUIDE.stroke_width(1)))?;
    for (index, (name, errors)) in curves.iter().enumerate() {
        let stroke = style::colour(index).stroke_width(LINE_WIDTH);
        chart.draw_series(LineSeries::new(steps(errors), stroke))?;
        let y = (LEGEND_ROW * index as u32 + LEGEND_ROW / 2) as i32;
        legend.draw(&PathElement::new([(LEGEND_AT.0, y), (LEGEND_AT.1 - 10, y)], stroke))?;
        let count = errors.len() as f64;
        let mean = errors.iter().sum::<f64>() / count;
        let failures = errors.iter().filter(|&&error| error > failure).count() as f64 / count;
        let text = format!(
            "{name}: mean {:.2} %, median {:.2} %, failures {:.1} %",
            100.0 * mean,
            100.0 * median(errors),
            100.0 * failures
        );
        legend.draw(&Text::new(text, (LEGEND_AT.1, y), style::label(INK).pos(Pos::new(HPos::Left, VPos::Center))))?;
    }
    root.present()
}

/// The middle of the sorted errors.
///
/// # Panics
/// When there are none.
pub fn median(errors: &[f64]) -> f64 {
    let sorted = sorted(errors);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

fn sorted(errors: &[f64]) -> Vec<f64> {
    let mut sorted = errors.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The stairs of the cumulative distribution, both axes in percent, as far as the axis reaches.
fn steps(errors: &[f64]) -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, 0.0)];
    let mut share = 0.0;
    for (rank, error) in sorted(errors).into_iter().map(|error| 100.0 * error).enumerate() {
        if error > LARGEST {
            break;
        }
        points.push((error, share));
        share = 100.0 * (rank + 1) as f64 / errors.len() as f64;
        points.push((error, share));
    }
    points.push((LARGEST, share));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stairs_rise_at_every_error_and_stop_where_the_axis_does() {
        assert_eq!(
            steps(&[0.5, 0.02, 0.1]),
            [(0.0, 0.0), (2.0, 0.0), (2.0, 100.0 / 3.0), (10.0, 100.0 / 3.0), (10.0, 200.0 / 3.0), (15.0, 200.0 / 3.0)]
        );
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }

    #[test]
    fn the_legend_gives_the_figures() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("errors.svg");
        let errors = vec![0.02, 0.04, 0.03, 0.11];
        cumulative_errors(&path, &[("A <b>".into(), errors)], 0.1, "pupil distance").unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.contains("A &lt;b&gt;: mean 5.00 %, median 3.50 %, failures 25.0 %"), "{svg}");
        assert!(svg.contains("% of the pupil distance") && !svg.contains("NaN"));
        for none in [&[][..], &[("empty".to_string(), vec![])]] {
            assert!(matches!(cumulative_errors(&path, none, 0.1, "x"), Err(Error::NothingToDraw { .. })));
        }
    }
}
