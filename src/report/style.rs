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
/// The same hues for a dark page, where the deep ones would be hard to see.
const DARK_PALETTE: [RGBColor; 6] = [
    RGBColor(92, 172, 226),
    RGBColor(240, 136, 70),
    RGBColor(62, 196, 154),
    RGBColor(222, 153, 190),
    RGBColor(236, 178, 62),
    RGBColor(140, 206, 242),
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

/// What the other colours become on a dark page: paper, text, grid, guides.
const DARK: [(RGBColor, RGBColor); 4] = [
    (WHITE, RGBColor(22, 24, 26)),
    (INK, RGBColor(208, 208, 204)),
    (GRID, RGBColor(52, 55, 58)),
    (GUIDE, RGBColor(120, 120, 118)),
];

/// Style rules that give plots inside of a page its dark colours when it is dark. They match the
/// colours that plots write into their elements.
pub fn dark_css() -> String {
    let hexadecimal = |RGBColor(r, g, b): RGBColor| format!("#{r:02X}{g:02X}{b:02X}");
    let pairs = PALETTE.into_iter().zip(DARK_PALETTE).chain(DARK);
    let rules = pairs.flat_map(|(light, dark)| {
        let (light, dark) = (hexadecimal(light), hexadecimal(dark));
        ["fill", "stroke"].map(|property| format!("  .plot svg [{property}=\"{light}\"] {{ {property}: {dark}; }}\n"))
    });
    format!("@media screen and (prefers-color-scheme: dark) {{\n{}}}\n", rules.collect::<String>())
}

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

/// A distance or threshold to five significant digits, whatever its size.
pub fn distance(value: f64) -> String {
    let power = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    short(value, (4.0 - power).clamp(0.0, 12.0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_of_a_plot_has_a_dark_one() {
        let roc = crate::verify::trials::Trials::new([(1.0, true), (2.0, false)]).unwrap().roc();
        let curves: Vec<_> = (0..PALETTE.len()).map(|i| (format!("{i}"), roc.clone())).collect();
        let svg = crate::report::roc_svg(&curves, Default::default()).unwrap();
        let css = dark_css();
        let mut found = 0;
        for property in ["fill", "stroke"] {
            for colour in svg.as_str().split(&format!("{property}=\"#")).skip(1) {
                assert!(css.contains(&format!("[{property}=\"#{}\"]", &colour[..6])), "{}", &colour[..6]);
                found += 1;
            }
        }
        assert!(found > 50, "{found}");
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in
            [(0.5, "0.5"), (10.0, "10"), (0.001, "0.001"), (-0.0, "0"), (0.12345, "0.123"), (-1e-9, "0")]
        {
            assert_eq!(short(value, 3), text);
        }
        assert_eq!(short(100.4, 0), "100");
        assert_eq!(
            [0.0, 5014.983533, -1.234567, 0.001234567, 7.5, 123456.7].map(distance),
            ["0", "5015", "-1.2346", "0.0012346", "7.5", "123457"].map(String::from)
        );
    }
}
