//! What plots have in common: axes, titles, legends.

use super::Drawn;
use super::style::{self, GRID, INK, LINE_WIDTH};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, DefaultFormatting, KeyPointHint, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

/// Height of a row of the legend.
const LEGEND_ROW: u32 = 26;
/// Left edge of the legend's samples and of its text.
const LEGEND_AT: (i32, i32) = (82, 120);

/// The name of an axis and how its numbers are written.
pub struct Axis<'a> {
    pub name: &'a str,
    pub number: &'a dyn Fn(f64) -> String,
}

/// An axis with its numbers and grid lines where we want them.
pub struct Ticked<R> {
    inner: R,
    ticks: Vec<f64>,
}

/// The axis `inner` with numbers at `ticks`.
pub fn ticked<A: AsRangedCoord<Value = f64>>(inner: A, ticks: Vec<f64>) -> Ticked<A::CoordDescType> {
    Ticked { inner: inner.into(), ticks }
}

impl<R: Ranged<ValueType = f64>> Ranged for Ticked<R> {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, pixels: (i32, i32)) -> i32 {
        self.inner.map(value, pixels)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.inner.range()
    }
}

/// How a legend shows what its text is about.
#[derive(Clone, Copy)]
pub enum Sample {
    Line(ShapeStyle),
    Dashed(ShapeStyle),
    Marker(Marker, RGBColor),
}

/// The shape of a point, so that groups differ by more than colour.
#[derive(Clone, Copy)]
pub enum Marker {
    Disc,
    Square,
    Triangle,
    Ring,
    Cross,
    Frame,
}

impl Marker {
    const ALL: [Self; 6] = [Self::Disc, Self::Square, Self::Triangle, Self::Ring, Self::Cross, Self::Frame];

    pub fn number(index: usize) -> Self {
        Self::ALL[index % Self::ALL.len()]
    }

    /// Draws the marker with its middle at a place in pixels.
    pub fn draw(self, area: &DrawingArea<SVGBackend, Shift>, (x, y): (i32, i32), colour: RGBColor) -> Drawn {
        const R: i32 = 4;
        let stroke = colour.stroke_width(LINE_WIDTH);
        match self {
            Self::Disc => area.draw(&Circle::new((x, y), R, colour.filled())),
            Self::Ring => area.draw(&Circle::new((x, y), R, stroke)),
            Self::Square => area.draw(&Rectangle::new([(x - R, y - R), (x + R, y + R)], colour.filled())),
            Self::Frame => area.draw(&Rectangle::new([(x - R, y - R), (x + R, y + R)], stroke)),
            Self::Triangle => {
                let corners = vec![(x, y - R - 1), (x + R + 1, y + R), (x - R - 1, y + R)];
                area.draw(&Polygon::new(corners, colour.filled()))
            }
            Self::Cross => {
                area.draw(&PathElement::new([(x - R, y - R), (x + R, y + R)], stroke))?;
                area.draw(&PathElement::new([(x - R, y + R), (x + R, y - R)], stroke))
            }
        }
    }
}

/// A chart with a title, margins and room for axes.
pub fn builder<'a, 'b>(
    area: &'a DrawingArea<SVGBackend<'b>, Shift>,
    title: &str,
) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(area);
    builder
        .caption(title, style::caption())
        .margin(14)
        // Room for the half of the last number that reaches beyond the axis.
        .margin_right(28)
        .x_label_area_size(52)
        .y_label_area_size(76);
    builder
}

/// Draws grid, numbers and names of the axes.
pub fn axes<X, Y>(chart: &mut ChartContext<SVGBackend, Cartesian2d<X, Y>>, x: &Axis, y: &Axis) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(style::label(INK))
        .x_label_formatter(&|value| (x.number)(*value))
        .y_label_formatter(&|value| (y.number)(*value))
        .x_desc(x.name)
        .y_desc(y.name)
        .axis_desc_style(style::label(INK))
        .draw()
}

/// The height of a legend of `rows` rows.
pub fn legend_height(rows: usize) -> u32 {
    LEGEND_ROW * rows as u32 + LEGEND_ROW / 2
}

/// Draws a legend, a row an entry. It has an area of its own: inside a plot no corner is free of
/// curves for sure.
pub fn legend(area: &DrawingArea<SVGBackend, Shift>, entries: &[(Sample, String)]) -> Drawn {
    for (index, (sample, text)) in entries.iter().enumerate() {
        let y = (LEGEND_ROW * index as u32 + LEGEND_ROW / 2) as i32;
        let (left, right) = (LEGEND_AT.0, LEGEND_AT.1 - 10);
        match *sample {
            Sample::Line(stroke) => area.draw(&PathElement::new([(left, y), (right, y)], stroke))?,
            Sample::Dashed(stroke) => {
                for x in (left..right).step_by(10) {
                    area.draw(&PathElement::new([(x, y), ((x + 6).min(right), y)], stroke))?;
                }
            }
            Sample::Marker(marker, colour) => marker.draw(area, (i32::midpoint(left, right), y), colour)?,
        }
        let place = (LEGEND_AT.1, y);
        area.draw(&Text::new(text.as_str(), place, style::label(INK).pos(Pos::new(HPos::Left, VPos::Center))))?;
    }
    Ok(())
}

/// The range of `values` with a twentieth of it as a margin on both sides; one unit wide where all
/// are equal, and 0 to 1 where there are none.
pub fn padded(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let margin = if high > low { 0.05 * (high - low) } else { 0.5 };
    low - margin..high + margin
}

/// Writes a number with as many decimals as tell the ticks of `range` apart.
pub fn number_of(range: &Range<f64>) -> impl Fn(f64) -> String + use<> {
    let step = (range.end - range.start) / 20.0;
    let decimals = if step > 0.0 { (-step.log10()).ceil().clamp(0.0, 9.0) as usize } else { 3 };
    move |value| style::short(value, decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_margins_and_fitting_numbers() {
        assert_eq!(padded([1.0, 3.0, 2.0].into_iter()), 0.9..3.1);
        assert_eq!(padded([2.0, 2.0].into_iter()), 1.5..2.5);
        assert_eq!(padded(std::iter::empty()), 0.0..1.0);
        assert_eq!(number_of(&(0.0..0.01))(0.0015), "0.0015");
        assert_eq!(number_of(&(0.0..1000.0))(150.0), "150");
    }
}
