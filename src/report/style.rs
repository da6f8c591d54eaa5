//! How all plots look.

use plotters::prelude::*;
use plotters::style::TextStyle;

/// Colours that people with any colour vision tell apart (Okabe and Ito, 2008), without the yellow
/// and black that serve lines on white badly.
const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];
/// Text and axes.
pub const INK: RGBColor = RGBColor(60, 60, 60);
/// Grid and guide lines.
pub const GRID: RGBColor = RGBColor(225, 225, 225);
pub const GUIDE: RGBColor = RGBColor(150, 150, 150);
/// Width of a data line in pixels.
pub const LINE_WIDTH: u32 = 2;

const FAMILY: &str = "sans-serif";
const CAPTION_SIZE: i32 = 22;
const LABEL_SIZE: i32 = 17;

/// The colour of data line `index`.
pub fn colour(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

/// The style of a plot's title.
pub fn caption() -> TextStyle<'static> {
    FontDesc::from((FAMILY, CAPTION_SIZE)).color(&INK)
}

/// The style of axis numbers, axis names and legends.
pub fn label(colour: RGBColor) -> TextStyle<'static> {
    FontDesc::from((FAMILY, LABEL_SIZE)).color(&colour)
}

/// A number as short as it can be written, to `decimals` places.
pub fn short(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    (if text == "-0" { "0" } else { text }).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in
            [(0.5, "0.5"), (10.0, "10"), (0.001, "0.001"), (-0.0, "0"), (0.12345, "0.123"), (-1e-9, "0")]
        {
            assert_eq!(short(value, 3), text);
        }
        assert_eq!(short(100.4, 0), "100");
    }
}
