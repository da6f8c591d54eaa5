//! Eigenvalues of the covariances between people (Sμ) and within them (Sε), as DeepID2 draws them
//! for several λ: a good signal keeps the first and shrinks the second.

use super::frame::{self, Axis, Sample, legend_height};
use super::style::{self, LINE_WIDTH};
use super::{Error, Svg};
use plotters::prelude::*;

/// Width and height of the picture without its legend.
const SIZE: (u32, u32) = (760, 560);
/// Eigenvalues below this share of the largest are rounding errors.
const NEGLIGIBLE: f64 = 1e-12;

/// Number and size of each eigenvalue.
type Line = Vec<(f64, f64)>;

/// The eigenvalues of one verifier, in any order.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Such as `λ = 0.05`.
    pub name: String,
    /// Of Sμ.
    pub between: Vec<f64>,
    /// Of Sε.
    pub within: Vec<f64>,
}

/// Draws the eigenvalues by descending size on a logarithmic axis: a colour a verifier, solid
/// between people and dashed within. Those that are not positive cannot be drawn.
///
/// # Errors
/// No positive eigenvalue.
pub fn spectra_svg(spectra: &[Spectrum]) -> Result<Svg, Error> {
    const PLOT: &str = "eigenvalues";
    let largest = spectra
        .iter()
        .flat_map(|s| s.between.iter().chain(&s.within))
        .copied()
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max);
    if largest <= 0.0 {
        return Err(Error::NothingToDraw { plot: PLOT, needed: "expected at least one positive eigenvalue" });
    }
    let descending = |values: &[f64]| -> Line {
        let mut kept: Vec<f64> =
            values.iter().copied().filter(|v| v.is_finite() && *v > NEGLIGIBLE * largest).collect();
        kept.sort_unstable_by(|a, b| b.total_cmp(a));
        (1..).map(f64::from).zip(kept).collect()
    };
    let lines: Vec<(&str, [Line; 2])> =
        spectra.iter().map(|s| (s.name.as_str(), [descending(&s.between), descending(&s.within)])).collect();
    let points = || lines.iter().flat_map(|(_, kinds)| kinds.iter().flatten());
    let smallest = points().map(|point| point.1).fold(largest, f64::min);
    let most = points().map(|point| point.0).fold(2.0, f64::max);
    Svg::draw(PLOT, (SIZE.0, SIZE.1 + legend_height(2 * lines.len())), |root| {
        let (plot, legend_area) = root.split_vertically(SIZE.1);
        // Whole powers of ten, a hair more so that rounding leaves the outermost numbers on the axis.
        let low = 10f64.powf((0.8 * smallest).log10().floor()) * 0.999;
        let high = 10f64.powf((1.2 * largest).log10().ceil()) * 1.001;
        let mut chart = frame::builder(&plot, "Eigenvalues between and within people")
            .build_cartesian_2d(1.0..most, (low..high).log_scale())?;
        let x = Axis { name: "eigenvalue, by size", number: &|number| style::short(number, 0) };
        let y = Axis { name: "variance", number: &power_of_ten };
        frame::axes(&mut chart, &x, &y)?;
        let mut legend = Vec::new();
        for (index, (name, [between, within])) in lines.iter().enumerate() {
            let stroke = style::colour(index).stroke_width(LINE_WIDTH);
            chart.draw_series(LineSeries::new(between.iter().copied(), stroke))?;
            chart.draw_series(DashedLineSeries::new(within.iter().copied(), 6, 4, stroke))?;
            legend.push((Sample::Line(stroke), format!("{name}: between people (Sμ)")));
            legend.push((Sample::Dashed(stroke), format!("{name}: within a person (Sε)")));
        }
        frame::legend(&legend_area, &legend)
    })
}

/// Short for numbers of everyday size, `1e-7` for others; no text for what is no power of ten.
fn power_of_ten(value: f64) -> String {
    let power = value.log10().round();
    if (value / 10f64.powf(power) - 1.0).abs() > 1e-6 {
        return String::new();
    }
    if (-3.0..=4.0).contains(&power) { style::short(10f64.powf(power), 3) } else { format!("1e{power:.0}") }
}

#[cfg(test)]
mod tests {
    use super::super::svg::testing::texts;
    use super::*;

    #[test]
    fn curves_are_named_and_numbers_short() {
        let spectrum = |name: &str, scale: f64| Spectrum {
            name: name.into(),
            between: (0..180).map(|i| scale * (-0.05 * f64::from(i)).exp()).collect(),
            within: (0..180).map(|i| 0.1 * scale * (-0.03 * f64::from(i)).exp()).chain([0.0, -1e-20]).collect(),
        };
        let found = texts(&spectra_svg(&[spectrum("λ = 0", 2.0), spectrum("λ = 0.05", 1.0)]).unwrap());
        for text in ["λ = 0: between people (Sμ)", "λ = 0.05: within a person (Sε)", "0.001", "10", "variance"] {
            assert!(found.iter().any(|f| f == text), "{text}: {found:?}");
        }
        let nothing = Spectrum { name: "none".into(), between: vec![0.0, -1.0, f64::NAN], within: vec![] };
        assert!(matches!(spectra_svg(&[nothing]), Err(Error::NothingToDraw { .. })));
        texts(&spectra_svg(&[Spectrum { name: "one".into(), between: vec![3.0], within: vec![] }]).unwrap());
    }

    #[test]
    fn only_powers_of_ten_are_written() {
        assert_eq!(
            [1e-3, 1.0, 1e4, 1e-5, 2.0, 1e7].map(power_of_ten),
            ["0.001", "1", "10000", "1e-5", "", "1e7"].map(String::from)
        );
    }
}
