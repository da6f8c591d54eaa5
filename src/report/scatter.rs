//! Vectors of a few people in two dimensions, such as the first two of PCA.

use super::frame::{self, Axis, Marker, Sample, legend_height, number_of, padded};
use super::style;
use super::{Error, Svg};

/// Width and height of the picture without its legend.
const SIZE: (u32, u32) = (760, 640);

/// Draws the points of each group, which has its own colour and shape; at most six groups differ.
///
/// # Errors
/// No finite point.
pub fn scatter_svg(title: &str, axes: [&str; 2], groups: &[(String, Vec<[f64; 2]>)]) -> Result<Svg, Error> {
    const PLOT: &str = "points";
    let finite = |points: &[[f64; 2]]| -> Vec<(f64, f64)> {
        points.iter().filter(|p| p.iter().all(|v| v.is_finite())).map(|&[x, y]| (x, y)).collect()
    };
    let groups: Vec<(&str, Vec<(f64, f64)>)> =
        groups.iter().map(|(name, points)| (name.as_str(), finite(points))).collect();
    let points = || groups.iter().flat_map(|(_, points)| points);
    if points().next().is_none() {
        return Err(Error::NothingToDraw { plot: PLOT, needed: "expected at least one finite point" });
    }
    let (x_range, y_range) = (padded(points().map(|p| p.0)), padded(points().map(|p| p.1)));
    Svg::draw(PLOT, (SIZE.0, SIZE.1 + legend_height(groups.len())), |root| {
        let (plot, legend_area) = root.split_vertically(SIZE.1);
        let mut chart = frame::builder(&plot, title).build_cartesian_2d(x_range.clone(), y_range.clone())?;
        let number = number_of(&x_range);
        let x = Axis { name: axes[0], number: &number };
        let number = number_of(&y_range);
        let y = Axis { name: axes[1], number: &number };
        frame::axes(&mut chart, &x, &y)?;
        let mut legend = Vec::new();
        for (index, (name, points)) in groups.iter().enumerate() {
            let (marker, colour) = (Marker::number(index), style::colour(index));
            for point in points {
                marker.draw(&plot, chart.backend_coord(point), colour)?;
            }
            legend.push((Sample::Marker(marker, colour), format!("{name}: {} pictures", points.len())));
        }
        frame::legend(&legend_area, &legend)
    })
}

#[cfg(test)]
mod tests {
    use super::super::svg::testing::texts;
    use super::*;

    #[test]
    fn groups_are_named_and_markers_differ() {
        let groups: Vec<(String, Vec<[f64; 2]>)> = (0..6)
            .map(|g| (format!("person {g}"), (0..10).map(|i| [f64::from(g * i % 7), f64::from(g + i)]).collect()))
            .collect();
        let svg = scatter_svg("Six people", ["first", "second"], &groups).unwrap();
        let found = texts(&svg);
        for text in ["Six people", "first", "second", "person 0: 10 pictures", "person 5: 10 pictures"] {
            assert!(found.iter().any(|f| f == text), "{text}: {found:?}");
        }
        for element in ["<circle", "<polygon", "<rect", "<polyline"] {
            assert!(svg.as_str().contains(element), "{element}");
        }
        let nothing = [("a".to_string(), vec![[f64::NAN, 0.0]])];
        assert!(matches!(scatter_svg("t", ["x", "y"], &nothing), Err(Error::NothingToDraw { .. })));
    }
}
