//! The drawing board that the parts of a picture share: head coordinates in, shapes out.

use super::geometry::{Geometry, Point3};
use super::identity::Identity;
use super::nuisance::Nuisance;
use super::raster::{Canvas, Mask, Paint, Point, closed_curve, open_curve, stroke};

/// One picture in the making.
pub struct Scene<'a> {
    pub canvas: Canvas,
    pub identity: &'a Identity,
    pub nuisance: &'a Nuisance,
    pub geometry: &'a Geometry,
    /// The picture's side in pixels.
    pub size: f32,
}

impl Scene<'_> {
    /// Pixels a head unit.
    pub fn unit(&self) -> f32 {
        self.size * self.nuisance.pose.scale
    }

    /// From head coordinates to the picture.
    pub fn at(&self, point: Point3) -> Point {
        self.nuisance.pose.project(point, self.size)
    }

    /// Fills a smooth shape.
    pub fn blob(&mut self, points: &[Point3], paint: Paint) {
        let outline = self.smooth(points);
        self.canvas.fill(&outline, paint);
    }

    /// The smooth closed outline through `points`.
    pub fn smooth(&self, points: &[Point3]) -> Vec<Point> {
        let points: Vec<Point> = points.iter().map(|&p| self.at(p)).collect();
        closed_curve(&points)
    }

    /// A smooth brush stroke; `width` in head units at the fraction t of the way.
    pub fn line(&mut self, points: &[Point3], width: impl Fn(f32) -> f32, paint: Paint) {
        let points: Vec<Point> = points.iter().map(|&p| self.at(p)).collect();
        let unit = self.unit();
        self.canvas.fill(&stroke(&open_curve(&points), |t| unit * width(t)), paint);
    }

    /// A smooth closed line of one width.
    pub fn ring(&mut self, points: &[Point3], width: f32, paint: Paint) {
        let mut path = self.smooth(points);
        path.extend_from_within(..1);
        let unit = self.unit();
        self.canvas.fill(&stroke(&path, |_| unit * width), paint);
    }

    /// A sharp ellipse with half-axes along x and y of the head.
    pub fn ellipse(&mut self, centre: Point3, half: [f32; 2], paint: Paint) {
        self.blob(&ellipse(centre, half), paint);
    }

    /// A soft spot with half-axes along x and y of the head.
    pub fn spot(&mut self, centre: Point3, half: [f32; 2], paint: Paint) {
        let [x, y, z] = centre;
        let origin = self.at(centre);
        let axis = |end: Point| [end[0] - origin[0], end[1] - origin[1]];
        let (u, v) = (axis(self.at([x + half[0], y, z])), axis(self.at([x, y + half[1], z])));
        self.canvas.spot(origin, u, v, paint);
    }

    pub fn mask(&mut self, points: &[Point3]) -> Mask {
        let outline = self.smooth(points);
        self.canvas.mask(&outline)
    }
}

/// Control points of an ellipse in a plane of constant depth.
pub fn ellipse([x, y, z]: Point3, half: [f32; 2]) -> [Point3; 8] {
    std::array::from_fn(|i| {
        let (sin, cos) = (i as f32 * std::f32::consts::FRAC_PI_4).sin_cos();
        [x + half[0] * cos, y + half[1] * sin, z]
    })
}

/// `points` of the right side, then their mirror images in reverse: a symmetric outline. A first
/// or last point on the middle line is not doubled.
pub fn symmetric(points: &[Point3]) -> Vec<Point3> {
    let mirrored = points.iter().rev().filter(|p| p[0] != 0.0).map(|&[x, y, z]| [-x, y, z]);
    points.iter().copied().chain(mirrored).collect()
}
