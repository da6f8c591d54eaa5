//! From the painted head to the picture: background, light, lens and sensor.

use super::nuisance::{Background, Camera, Light, Pose};
use super::raster::{Canvas, Paint, Rgb, mix};
use image::RgbImage;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Weights of the luma, ITU-R BT.601.
const LUMA: Rgb = [0.299, 0.587, 0.114];

/// Half-axes of the ellipsoid that light falls on, in head units.
const HEAD: [f32; 2] = [0.86, 1.25];

/// Paints the wall that the head is seen before.
fn draw_background(background: &Background, size: usize) -> Canvas {
    let mut canvas = Canvas::new(size);
    let side = size as f32;
    let [from, to] = background.colours;
    canvas.fill(&[[0.0, 0.0], [side, 0.0], [side, side], [0.0, side]], Paint::solid(from));
    let (sin, cos) = background.angle.sin_cos();
    let end = [side * (0.5 + 0.7 * cos), side * (0.5 + 0.7 * sin)];
    canvas.spot(end, [1.4 * side, 0.0], [0.0, 1.4 * side], Paint::solid(to));
    for &(centre, radius, colour) in &background.spots {
        let centre = centre.map(|c| c * side);
        canvas.spot(centre, [radius * side, 0.0], [0.0, radius * side], Paint::solid(colour).alpha(0.9));
    }
    canvas
}

/// Brightness of the head's surface at a pixel: Lambert's cosine law on an ellipsoid, its terminator
/// softened, plus light from everywhere.
fn lighting(light: &Light, pose: &Pose, size: f32, [x, y]: [f32; 2]) -> f32 {
    let (sin, cos) = pose.roll.sin_cos();
    let unit = size * pose.scale;
    let (dx, dy) = ((x - size * pose.centre[0]) / unit, (y - size * pose.centre[1]) / unit);
    let (u, v) = ((dx * cos + dy * sin) / HEAD[0], (dy * cos - dx * sin) / HEAD[1]);
    // Beyond the head, what is painted is lit like its rim.
    let shrink = (0.97 / u.hypot(v).max(1e-6)).min(1.0);
    let (u, v) = (u * shrink, v * shrink);
    let normal = [u * cos - v * sin, u * sin + v * cos, (1.0 - u * u - v * v).sqrt()];
    let cosine: f32 = normal.iter().zip(light.direction).map(|(n, l)| n * l).sum();
    let lamp = ((cosine + 0.25) / 1.25).max(0.0);
    light.gain * (1.0 - light.contrast + 1.3 * light.contrast * lamp)
}

/// Develops the picture of the painted `head`. `rng` is the sensor's noise.
pub fn develop(
    head: &Canvas,
    background: &Background,
    light: &Light,
    camera: &Camera,
    pose: &Pose,
    size: usize,
    rng: &mut ChaCha8Rng,
) -> RgbImage {
    let wall = draw_background(background, size);
    // The wall is further from the lamp and follows it less.
    let wall_gain = light.gain.sqrt();
    let mut picture: Vec<Rgb> = head
        .pixels()
        .iter()
        .zip(wall.pixels())
        .enumerate()
        .map(|(i, (head, wall))| {
            let place = [(i % size) as f32 + 0.5, (i / size) as f32 + 0.5];
            let lit = if head[3] > 0.0 { lighting(light, pose, size as f32, place) } else { 0.0 };
            let colour: Rgb =
                std::array::from_fn(|k| light.tint[k] * (lit * head[k] + wall_gain * (1.0 - head[3]) * wall[k]));
            let grey = colour.iter().zip(LUMA).map(|(c, w)| c * w).sum();
            mix([grey; 3], colour, camera.saturation)
        })
        .collect();
    blur(&mut picture, size, camera.blur * size as f32);
    let bytes = picture.iter().flatten().map(|&value| {
        let noisy = highlight(value) + camera.noise * gaussian(rng);
        (noisy * 255.0).round().clamp(0.0, 255.0) as u8
    });
    let (side, bytes) = (size as u32, bytes.collect());
    RgbImage::from_raw(side, side, bytes).expect("three bytes a pixel of a square")
}

/// Film's shoulder: rolls off above 0.7 instead of cutting at 1.
fn highlight(value: f32) -> f32 {
    const KNEE: f32 = 0.7;
    if value <= KNEE { value } else { 1.0 - (1.0 - KNEE) * (-(value - KNEE) / (1.0 - KNEE)).exp() }
}

/// Nearly normal, mean 0, variance 1: the sum of the four bytes of one random word, whose mean is
/// 4 · 127.5 and variance 4 · (256² − 1)/12. Its tails end at 3.45, which suits a sensor.
fn gaussian(rng: &mut ChaCha8Rng) -> f32 {
    let sum: u32 = rng.next_u32().to_le_bytes().into_iter().map(u32::from).sum();
    (sum as f32 - 510.0) / 147.8
}

/// Gaussian blur, edge pixels repeated; `sigma` in pixels.
fn blur(picture: &mut [Rgb], size: usize, sigma: f32) {
    if sigma < 0.2 {
        return;
    }
    let radius = (2.5 * sigma).ceil() as usize;
    let weights: Vec<f32> =
        (0..=2 * radius).map(|i| (-0.5 * ((i as f32 - radius as f32) / sigma).powi(2)).exp()).collect();
    let total: f32 = weights.iter().sum();
    let mut line = vec![[0.0; 3]; size];
    for stride in [1, size] {
        for start in 0..size {
            let first = if stride == 1 { start * size } else { start };
            for (i, pixel) in line.iter_mut().enumerate() {
                *pixel = picture[first + i * stride];
            }
            for i in 0..size {
                let mut sum = [0.0; 3];
                for (j, weight) in weights.iter().enumerate() {
                    let from = (i + j).saturating_sub(radius).min(size - 1);
                    for k in 0..3 {
                        sum[k] += weight * line[from][k];
                    }
                }
                picture[first + i * stride] = sum.map(|s| s / total);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use rand::SeedableRng;

    #[test]
    fn noise_is_standard() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let draws: Vec<f32> = (0..20_000).map(|_| gaussian(&mut rng)).collect();
        let mean = draws.iter().sum::<f32>() / 20_000.0;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f32>() / 20_000.0;
        // Four standard errors: 1/√20000 of the mean, about √2/√20000 of the variance.
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    }

    #[test]
    fn blur_spreads_a_point_as_a_gaussian_and_keeps_an_even_colour() {
        const SIZE: usize = 15;
        let mut picture = vec![[0.25; 3]; SIZE * SIZE];
        blur(&mut picture, SIZE, 1.5);
        assert!(picture.iter().flatten().all(|&v| (v - 0.25).abs() < 1e-6));
        let mut point = vec![[0.0; 3]; SIZE * SIZE];
        point[7 * SIZE + 7] = [1.0, 0.0, 2.0];
        blur(&mut point, SIZE, 1.0);
        let at = |x: usize, y: usize| point[y * SIZE + x];
        assert_abs_diff_eq!(at(8, 7)[0] / at(7, 7)[0], (-0.5f32).exp(), epsilon = 1e-5);
        assert_abs_diff_eq!(at(7, 8)[2] / at(7, 7)[2], (-0.5f32).exp(), epsilon = 1e-5);
        assert_abs_diff_eq!(point.iter().map(|p| p[0]).sum::<f32>(), 1.0, epsilon = 1e-5);
        assert_eq!(at(8, 7)[1], 0.0);
    }

    #[test]
    fn highlights_roll_off_below_white() {
        let values: Vec<f32> = (0..60).map(|i| highlight(0.05 * i as f32)).collect();
        assert_eq!(values[10], 0.5);
        assert!(values.is_sorted_by(|a, b| a < b) && values[59] < 1.0);
        assert_abs_diff_eq!(highlight(0.7001), 0.7001, epsilon = 1e-5);
    }
}
