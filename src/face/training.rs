//! Training of the cascade (Xiong and De la Torre 2013, §3.2): every stage is a ridge regression of
//! what is left to go on the descriptors, over all pictures and their mirror images, each from
//! several starts.
//!
//! The starts have the errors that the detector's boxes have. Where the detector finds the annotated
//! face, the mean shape in its box is the first start; from all such boxes come the mean placement of
//! a face in its box and its spread. Elsewhere the box is the one that would place the mean shape
//! best. The other starts are that one moved, stretched and turned at random with that spread.

use super::annotated::Annotated;
use super::boxes::{Spread, best_box, detected, placements};
use super::detect::{Detector, FaceBox};
use super::picture::{Gray, Picture, Window};
use super::points::{LANDMARKS, Shape, distance, mirrored, outside, pupil_distance};
use super::ridge::NormalEquations;
use super::sdm::{Cascade, FEATURES, Frame, OUTPUTS, Placement, Pose, Stage, middle, start};
use super::sift::Sift;
use crate::data::{Purpose, decode, random_stream};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Stages that a cascade may have.
pub const MOST_STAGES: usize = 32;
/// Pictures whose rows are in memory at once.
const BLOCK: usize = 32;
/// Why a cascade cannot be trained. Every message names the picture or the setting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Picture(#[from] decode::Error),
    #[error("{path}: {what}; correct its .pts file or remove it")]
    Shape { path: PathBuf, what: String },
    #[error("training was stopped")]
    Stopped,
    #[error("{name} is {value}: expected {expected}")]
    Setting { name: &'static str, value: String, expected: &'static str },
    #[error("no pictures to train on")]
    Empty,
    #[error("stage {stage}: the regression has no solution; raise the ridge penalty, now {ridge}")]
    Singular { stage: usize, ridge: f64 },
}

/// How a cascade is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    pub seed: u64,
    /// Sides of the stages' patches in pupil distances, one a stage.
    pub windows: Vec<f32>,
    /// Starts of each picture and of its mirror image.
    pub starts: usize,
    /// Ridge penalty on the weights, over the mean squared error in pupil distances.
    pub ridge: f64,
    /// Random starts are this many times as far off as the detector's boxes.
    pub spread: f32,
    /// Standard deviation of the random starts' angle in degrees.
    pub turn: f32,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self::with_stages(5)
    }
}

impl TrainSettings {
    /// Default settings with a number of stages: their patches shrink by equal factors from the whole
    /// eye region to little more than an eye.
    pub fn with_stages(stages: usize) -> Self {
        const FIRST: f32 = 1.2;
        const LAST: f32 = 0.45;
        let steps = stages.saturating_sub(1).max(1) as f32;
        let window = |stage: usize| FIRST * (LAST / FIRST).powf(stage as f32 / steps);
        // One too many is kept, for `check` to refuse.
        let windows = (0..stages.min(MOST_STAGES + 1)).map(window).collect();
        Self { seed: 1, windows, starts: 10, ridge: 8e-3, spread: 1.0, turn: 5.0 }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// A number outside the range that its message gives.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |name, value: String, expected| Err(Error::Setting { name, value, expected });
        if !(1..=MOST_STAGES).contains(&self.windows.len()) {
            return wrong("stages", self.windows.len().to_string(), "1 to 32");
        }
        if let Some(window) = self.windows.iter().find(|window| !(0.05..=4.0).contains(*window)) {
            return wrong("window", window.to_string(), "0.05 to 4 pupil distances");
        }
        if !(1..=1000).contains(&self.starts) {
            return wrong("starts", self.starts.to_string(), "1 to 1000");
        }
        if !(self.ridge > 0.0 && self.ridge.is_finite()) {
            return wrong("ridge", self.ridge.to_string(), "a positive number");
        }
        if !(0.0..=10.0).contains(&self.spread) {
            return wrong("spread", self.spread.to_string(), "0 to 10");
        }
        if !(0.0..=90.0).contains(&self.turn) {
            return wrong("turn", self.turn.to_string(), "0 to 90 degrees");
        }
        Ok(())
    }
}

/// What training tells about its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    pub cascade: Cascade,
    /// Pictures in which the detector found the annotated face.
    pub detected: usize,
    pub spread: Spread,
    /// Mean distance of the landmarks from the annotated ones over the distance of the pupils, over
    /// all rows: at the start and after every stage.
    pub errors: Vec<f64>,
}

/// What training is doing, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// One of the pictures was searched for its face.
    Searched,
    /// The rows of one picture went into stage `stage`, counted from 0.
    Described { stage: usize },
}

/// Trains a cascade on `faces`: a pure function of the pictures and the settings, whatever the
/// number of threads. `progress` is told each step, and says whether to go on.
///
/// # Errors
/// Settings outside their ranges, a picture that cannot be decoded, landmarks that are no face or lie outside of the
/// picture, a regression without a solution; being stopped.
pub fn train(
    faces: &[Annotated],
    settings: &TrainSettings,
    progress: &(dyn Fn(Step) -> bool + Sync),
) -> Result<Trained, Error> {
    settings.check()?;
    if faces.is_empty() {
        return Err(Error::Empty);
    }
    for face in faces {
        check_shape(face)?;
    }
    let mean = mean_shape(faces.iter().map(|face| &face.shape));
    let boxes = detected_boxes(faces, progress)?;
    let (placement, spread) = placements(&mean, faces, &boxes);
    let examples = faces
        .par_iter()
        .zip(&boxes)
        .map(|(face, found)| Example::new(face, *found, &mean, &placement))
        .collect::<Result<Vec<_>, Error>>()?;
    let mut rows = Rows::new(examples, &mean, &placement, &spread, settings);
    let mut stages = Vec::new();
    let mut errors = vec![rows.error()];
    for (index, &window) in settings.windows.iter().enumerate() {
        let equations = rows.normal_equations(window, &|| progress(Step::Described { stage: index }))?;
        let solution =
            equations.solve(settings.ridge).ok_or(Error::Singular { stage: index + 1, ridge: settings.ridge })?;
        let stage = Stage { window, weights: solution.weights, bias: solution.bias };
        rows.advance(&stage);
        errors.push(rows.error());
        stages.push(stage);
    }
    let detected = boxes.iter().flatten().count();
    Ok(Trained { cascade: Cascade { mean, placement, stages }, detected, spread, errors })
}

/// Landmarks on one spot or in no order a face can have would spoil the mean shape.
fn check_shape(face: &Annotated) -> Result<(), Error> {
    let wrong = |what: &str| Err(Error::Shape { path: face.picture.clone(), what: what.into() });
    if !face.shape.as_flattened().iter().all(|value| value.is_finite()) {
        return wrong("a landmark is not a finite number");
    }
    if pupil_distance(&face.shape) < 2.0 {
        return wrong("its pupils lie less than 2 pixels apart");
    }
    Ok(())
}

/// The mean of the shapes, each turned and scaled to the mean (generalised Procrustes analysis,
/// Gower 1975), upright, with its middle at the origin and a pupil distance of 1.
fn mean_shape<'a>(shapes: impl Iterator<Item = &'a Shape> + Clone) -> Shape {
    /// Rounds until the mean stands still to a float's precision.
    const ROUNDS: usize = 5;
    let first = shapes.clone().next().expect("at least one shape");
    let mut mean = upright(first);
    for _ in 0..ROUNDS {
        let mut sum = [[0.0f64; 2]; LANDMARKS];
        for shape in shapes.clone() {
            let pose = Pose::nearest(&mean, shape);
            for (sum, point) in sum.iter_mut().zip(shape) {
                let at = pose.turn_back([point[0] - pose.shift[0], point[1] - pose.shift[1]]);
                sum[0] += f64::from(at[0]);
                sum[1] += f64::from(at[1]);
            }
        }
        // A turn of the pictures' own is not kept: the pupils become level.
        mean = upright(&sum.map(|point| point.map(|value| value as f32)));
    }
    mean
}

/// `shape` with its middle at the origin, its pupils level and one unit apart.
fn upright(shape: &Shape) -> Shape {
    let centre = middle(shape);
    let [left, right] = [super::points::LEFT_PUPIL, super::points::RIGHT_PUPIL].map(|i| shape[i]);
    let pupils = Pose { a: right[0] - left[0], b: right[1] - left[1], shift: centre };
    shape.map(|point| pupils.turn_back([point[0] - centre[0], point[1] - centre[1]]))
}

/// The box of each annotated face, where the detector finds it.
fn detected_boxes(
    faces: &[Annotated],
    progress: &(dyn Fn(Step) -> bool + Sync),
) -> Result<Vec<Option<FaceBox>>, Error> {
    let detector = Detector::new();
    faces
        .par_iter()
        .map(|face| {
            let gray = Picture::open(&face.picture)?.gray();
            let outside = outside(&face.shape, gray.width as u32, gray.height as u32);
            if outside > LANDMARKS / 2 {
                let what = format!("{outside} of its {LANDMARKS} landmarks lie outside of the picture");
                return Err(Error::Shape { path: face.picture.clone(), what });
            }
            let found = detected(&detector, &gray, &face.shape);
            if progress(Step::Searched) { Ok(found) } else { Err(Error::Stopped) }
        })
        .collect()
}

/// A face cut out of its picture.
struct Example {
    /// The frame's pixels, row by row.
    pixels: Vec<u8>,
    /// Where it lies in the picture.
    window: Window,
    /// In pixels of the picture.
    face: FaceBox,
    /// The annotated landmarks in pixels of the frame.
    truth: Shape,
}

impl Example {
    fn new(face: &Annotated, found: Option<FaceBox>, mean: &Shape, placement: &Placement) -> Result<Self, Error> {
        let gray = Picture::open(&face.picture)?.gray();
        let face_box = found.unwrap_or_else(|| best_box(mean, &face.shape, placement));
        let window = Frame::window(&face_box, placement);
        let pixels = gray.resample(&window).pixels.iter().map(|&value| (value + 0.5) as u8).collect();
        let truth = face.shape.map(|point| window.place(point));
        Ok(Self { pixels, window, face: face_box, truth })
    }

    /// The frame, or its mirror image.
    fn frame(&self, mirror: bool) -> Frame {
        let (width, height) = (self.window.width, self.window.height);
        let mut pixels: Vec<f32> = self.pixels.iter().map(|&value| f32::from(value)).collect();
        if mirror {
            pixels.chunks_exact_mut(width).for_each(<[f32]>::reverse);
        }
        Frame::from_gray(Gray { width, height, pixels }, self.window)
    }

    fn truth(&self, mirror: bool) -> Shape {
        if mirror { mirrored(&self.truth, self.window.width) } else { self.truth }
    }
}

/// The present shapes of all pictures, mirror images and starts, in that order.
struct Rows {
    examples: Vec<Example>,
    /// For each example, `2 · starts` shapes in pixels of its frame (of the mirrored one in the
    /// second half).
    shapes: Vec<Vec<Shape>>,
    mean: Shape,
}

impl Rows {
    fn new(
        examples: Vec<Example>,
        mean: &Shape,
        placement: &Placement,
        spread: &Spread,
        settings: &TrainSettings,
    ) -> Self {
        let shapes = examples
            .par_iter()
            .enumerate()
            .map(|(index, example)| {
                let mut rng = random_stream(settings.seed, Purpose::LandmarkStarts, index as u64);
                let first = start(mean, &example.face, placement).map(|point| example.window.place(point));
                let side = example.face.side() / example.window.scale as f32;
                [false, true]
                    .iter()
                    .flat_map(|&mirror| {
                        let first = if mirror { mirrored(&first, example.window.width) } else { first };
                        let count = settings.starts;
                        (0..count)
                            .map(|number| match number {
                                0 => first,
                                _ => moved(&first, side, spread, settings, &mut rng),
                            })
                            .collect::<Vec<_>>()
                    })
                    .collect()
            })
            .collect();
        Self { examples, shapes, mean: *mean }
    }

    /// Mean distance from the annotated landmarks over the pupil distance, over all rows.
    fn error(&self) -> f64 {
        let of_example = |(example, shapes): (&Example, &Vec<Shape>)| {
            let half = shapes.len() / 2;
            let sum = shapes.iter().enumerate().map(|(row, shape)| {
                let truth = example.truth(row >= half);
                let sum: f32 = shape.iter().zip(&truth).map(|(&a, &b)| distance(a, b)).sum();
                f64::from(sum / LANDMARKS as f32 / pupil_distance(&truth))
            });
            sum.sum::<f64>() / shapes.len() as f64
        };
        self.examples.iter().zip(&self.shapes).map(of_example).sum::<f64>() / self.examples.len() as f64
    }

    /// Gathers descriptors and what is left to go.
    fn normal_equations(&self, window: f32, described: &(dyn Fn() -> bool + Sync)) -> Result<NormalEquations, Error> {
        let mut equations = NormalEquations::new(FEATURES, OUTPUTS);
        let sift = Sift::new();
        for (examples, shapes) in self.examples.chunks(BLOCK).zip(self.shapes.chunks(BLOCK)) {
            let rows_each = shapes[0].len();
            let mut x = vec![0.0f32; shapes.len() * rows_each * FEATURES];
            let mut y = vec![0.0f32; shapes.len() * rows_each * OUTPUTS];
            x.par_chunks_exact_mut(rows_each * FEATURES)
                .zip(y.par_chunks_exact_mut(rows_each * OUTPUTS))
                .zip(examples)
                .zip(shapes)
                .try_for_each(|(((x, y), example), shapes)| {
                    self.describe(example, shapes, window, &sift, x, y);
                    if described() { Ok(()) } else { Err(Error::Stopped) }
                })?;
            equations.add(&x, &y);
        }
        Ok(equations)
    }

    /// Descriptors and what is left to go of one picture's rows.
    fn describe(&self, example: &Example, shapes: &[Shape], window: f32, sift: &Sift, x: &mut [f32], y: &mut [f32]) {
        let half = shapes.len() / 2;
        let rows = x.chunks_exact_mut(FEATURES).zip(y.chunks_exact_mut(OUTPUTS)).zip(shapes);
        let mut frame = example.frame(false);
        for (row, ((x, y), shape)) in rows.enumerate() {
            if row == half {
                frame = example.frame(true);
            }
            let truth = example.truth(row >= half);
            let pose = Pose::nearest(&self.mean, shape);
            frame.describe(sift, shape, &pose, window, x);
            for ((step, truth), at) in y.as_chunks_mut::<2>().0.iter_mut().zip(&truth).zip(shape) {
                *step = pose.turn_back([truth[0] - at[0], truth[1] - at[1]]);
            }
        }
    }

    /// Moves all shapes by a trained stage.
    fn advance(&mut self, stage: &Stage) {
        let (examples, mean) = (&self.examples, self.mean);
        let sift = Sift::new();
        self.shapes.par_iter_mut().zip(examples).for_each(|(shapes, example)| {
            let half = shapes.len() / 2;
            let mut features = vec![0.0; FEATURES];
            let mut frame = example.frame(false);
            for (row, shape) in shapes.iter_mut().enumerate() {
                if row == half {
                    frame = example.frame(true);
                }
                let pose = Pose::nearest(&mean, shape);
                frame.describe(&sift, shape, &pose, stage.window, &mut features);
                *shape = pose.moved(shape, &stage.displacement(&features));
            }
        });
    }
}

/// A start moved, stretched and turned at random; `side` is that of the face's box.
fn moved(first: &Shape, side: f32, spread: &Spread, settings: &TrainSettings, rng: &mut ChaCha8Rng) -> Shape {
    let stretch = (settings.spread * spread.scale * gaussian(rng)).exp();
    let shift = spread.shift.map(|deviation| settings.spread * deviation * side * gaussian(rng));
    let (sin, cos) = (settings.turn.to_radians() * gaussian(rng)).sin_cos();
    let centre = middle(first);
    let turn = Pose { a: stretch * cos, b: stretch * sin, shift: centre };
    first.map(|point| {
        let turned = turn.turn([point[0] - centre[0], point[1] - centre[1]]);
        [0, 1].map(|k| centre[k] + turned[k] + shift[k])
    })
}

/// A number from the normal distribution (Box and Muller 1958).
fn gaussian(rng: &mut ChaCha8Rng) -> f32 {
    // 1 − u is never 0.
    let (u, v): (f32, f32) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}

#[cfg(test)]
pub(crate) mod testing {
    //! Small annotated sets of synthetic faces, and a cascade trained on one.

    use super::*;
    use crate::data::synth::{SynthSpec, write_dataset};
    use crate::face::annotated;
    use std::sync::OnceLock;
    use tempfile::TempDir;

    /// Drawn faces of `identities` people, two pictures each.
    pub fn faces(identities: u32, seed: u64) -> (TempDir, Vec<Annotated>) {
        let folder = tempfile::tempdir().unwrap();
        let spec = SynthSpec { identities, images: 2, seed, size: 96 };
        write_dataset(folder.path(), &spec, &|| {}).unwrap();
        let faces = annotated::open(folder.path()).unwrap().faces;
        (folder, faces)
    }

    /// Few and small enough for seconds.
    pub fn settings(stages: usize) -> TrainSettings {
        TrainSettings { starts: 4, ..TrainSettings::with_stages(stages) }
    }

    /// Two stages trained on 40 synthetic people.
    pub fn trained() -> &'static Trained {
        static TRAINED: OnceLock<Trained> = OnceLock::new();
        TRAINED.get_or_init(|| train(&faces(40, 1).1, &settings(2), &|_| true).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{faces, settings, trained};
    use super::*;
    use crate::face::accuracy::{measure, summary};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn people_who_were_not_trained_on_are_fitted() {
        let trained = trained();
        let [start, .., end] = trained.errors[..] else { panic!("{:?}", trained.errors) };
        assert!(end < 0.3 * start, "{:?}", trained.errors);
        assert!(trained.errors.is_sorted_by(|a, b| a > b), "{:?}", trained.errors);

        let (_folder, others) = faces(15, 2);
        let fitted = summary(&measure(&trained.cascade, &others, &|| {}).unwrap()).unwrap();
        let unmoved = Cascade { stages: vec![], ..trained.cascade.clone() };
        let unmoved = summary(&measure(&unmoved, &others, &|| {}).unwrap()).unwrap();
        assert!(fitted.error_over_eye_corners < 0.5 * unmoved.error_over_eye_corners, "{fitted:?} {unmoved:?}");
        assert!(fitted.error_over_eye_corners < 0.08, "{fitted:?}");
    }

    #[test]
    fn shifted_and_stretched_boxes_lead_to_the_same_shape() {
        let cascade = &trained().cascade;
        let (_folder, others) = faces(5, 3);
        let (mut before, mut after) = (0.0, 0.0);
        for face in &others {
            let gray = Picture::open(&face.picture).unwrap().gray();
            let ideal = best_box(&cascade.mean, &face.shape, &cascade.placement);
            let side = ideal.side();
            let stretched = FaceBox { x: ideal.x - 0.05 * side, width: 1.1 * side, height: 1.1 * side, ..ideal };
            for moved in [FaceBox { x: ideal.x + 0.08 * side, ..ideal }, stretched] {
                let starts = [&ideal, &moved].map(|face| start(&cascade.mean, face, &cascade.placement));
                let fits = [&ideal, &moved].map(|face| cascade.fit(&gray, face));
                let apart = |[a, b]: [Shape; 2]| a.iter().zip(&b).map(|(&a, &b)| distance(a, b)).sum::<f32>();
                before += apart(starts);
                after += apart(fits);
            }
        }
        assert!(after < 0.4 * before, "{after} of {before}");
    }

    #[test]
    fn the_same_seed_trains_the_same_cascade_on_any_number_of_threads() {
        let (_folder, faces) = faces(4, 4);
        let settings = TrainSettings { starts: 2, ..settings(1) };
        let train_on = |threads: usize| {
            let steps = AtomicUsize::new(0);
            let count = |_| {
                steps.fetch_add(1, Ordering::Relaxed);
                true
            };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let trained = pool.install(|| train(&faces, &settings, &count)).unwrap();
            assert_eq!(steps.into_inner(), 2 * faces.len(), "searched once, described once");
            trained
        };
        assert_eq!(train_on(1), train_on(3));
    }

    #[test]
    fn mirrored_data_have_a_mean_shape_that_is_level() {
        let (_folder, faces) = faces(10, 5);
        let mean = mean_shape(faces.iter().map(|face| &face.shape));
        let centre = middle(&mean);
        assert!(centre[0].abs() < 1e-4 && centre[1].abs() < 1e-4);
        assert!((pupil_distance(&mean) - 1.0).abs() < 1e-4);
        let [left, right] = [super::super::points::LEFT_PUPIL, super::super::points::RIGHT_PUPIL].map(|i| mean[i]);
        assert!((left[1] - right[1]).abs() < 1e-4 && left[0] < right[0]);
        // The same shapes turned, stretched and moved have the same mean.
        let moved: Vec<Shape> = faces
            .iter()
            .enumerate()
            .map(|(i, face)| {
                let pose = Pose { a: 1.5, b: 0.1 * i as f32, shift: [3.0, i as f32] };
                face.shape.map(|point| {
                    let [x, y] = pose.turn(point);
                    [x + 3.0, y + i as f32]
                })
            })
            .collect();
        for (a, b) in mean_shape(moved.iter()).iter().zip(&mean) {
            assert!(distance(*a, *b) < 1e-3, "{a:?} {b:?}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let good = settings(2);
        for (bad, name) in [
            (TrainSettings { starts: 0, ..good.clone() }, "starts"),
            (TrainSettings { ridge: 0.0, ..good.clone() }, "ridge"),
            (TrainSettings { spread: f32::NAN, ..good.clone() }, "spread"),
            (TrainSettings { turn: 91.0, ..good.clone() }, "turn"),
            (TrainSettings { windows: vec![0.0], ..good.clone() }, "window"),
            (TrainSettings::with_stages(0), "stages"),
            (TrainSettings::with_stages(33), "stages"),
        ] {
            let message = train(&[], &bad, &|_| true).unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}");
        }
        assert!(matches!(train(&[], &good, &|_| true), Err(Error::Empty)));
        let one_spot = Annotated { picture: "face.jpg".into(), shape: [[5.0, 5.0]; LANDMARKS] };
        let message = train(&[one_spot], &good, &|_| true).unwrap_err().to_string();
        assert!(message.starts_with("face.jpg: its pupils"), "{message}");

        let (_folder, mut faces) = faces(2, 7);
        let stopped = train(&faces, &good, &|step| step == Step::Searched);
        assert!(matches!(stopped, Err(Error::Stopped)));
        faces[1].shape = faces[1].shape.map(|[x, y]| [x + 96.0, y]);
        let message = train(&faces, &good, &|_| true).unwrap_err().to_string();
        let [path, advice] = [faces[1].picture.to_str().unwrap(), "; correct its .pts file or remove it"];
        assert_eq!(message, format!("{path}: 21 of its 21 landmarks lie outside of the picture{advice}"));
    }

    #[test]
    fn landmarks_outside_the_picture_are_trained_on() {
        let (folder, mut faces) = faces(3, 6);
        // The faces cut past their middle: the landmarks of the right side lie outside.
        for face in &mut faces {
            let picture = image::open(&face.picture).unwrap().crop_imm(0, 0, 60, 96);
            face.picture = folder.path().join(face.picture.with_extension("png"));
            picture.save(&face.picture).unwrap();
        }
        let trained = train(&faces, &TrainSettings { starts: 2, ..settings(1) }, &|_| true).unwrap();
        assert!(trained.errors[1] < trained.errors[0], "{:?}", trained.errors);
    }
}
