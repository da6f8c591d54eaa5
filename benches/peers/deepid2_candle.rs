//! One DeepID2 training step in candle on the CPU: a peer that the training speed is compared with.
//!
//! The network, the loss, the batch and the optimiser are those of `deepid2_torch.py` beside this file. candle-nn has
//! no SGD with momentum; it is written out here. Locally shared layers are slices of the input and one batched matrix
//! product with a matrix a tile.
//!
//! Install and run (Rust 1.88 or later; the build takes a few minutes):
//!
//!     mkdir -p peer_candle/src && cp benches/peers/deepid2_candle.rs peer_candle/src/main.rs
//!     cat > peer_candle/Cargo.toml <<'END'
//!     [package]
//!     name = "deepid2_candle"
//!     version = "0.1.0"
//!     edition = "2024"
//!     [dependencies]
//!     candle-core = "=0.11.1"
//!     candle-nn = "=0.11.1"
//!     serde_json = "1"
//!     END
//!     (cd peer_candle && cargo build --release)
//!     peer_candle/target/release/deepid2_candle --batch 128
//!
//! Options: --batch N (128), --ids N (8192), --repeats N (5), --steps N (3), --forward-only. RAYON_NUM_THREADS sets the
//! threads. Prints one line of JSON with the images a second, median and best of the repeats.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::loss::cross_entropy;
use std::time::Instant;

const VERSION: &str = "0.11.1";
const HEIGHT: usize = 55;
const WIDTH: usize = 47;
const CHANNELS: usize = 3;
const DEEPID2_LENGTH: usize = 160;
/// Lambda in the paper, section 3.
const VERIFICATION_WEIGHT: f64 = 0.05;
/// Any value above 0: it costs the same.
const MARGIN: f64 = 1.0;
const LEARNING_RATE: f64 = 0.01;
const MOMENTUM: f64 = 0.9;
const WEIGHT_DECAY: f64 = 5e-4;
const WARM_UP_STEPS: usize = 2;

/// A learned tensor and its momentum.
struct Parameter {
    value: Var,
    velocity: Tensor,
}

impl Parameter {
    /// Normal numbers of He's variance, or zeros where `fan_in` is 0.
    fn new(shape: &[usize], fan_in: usize) -> Result<Self> {
        let deviation = if fan_in == 0 { 0.0 } else { (2.0 / fan_in as f32).sqrt() };
        let value = Var::randn(0f32, deviation, shape, &Device::Cpu)?;
        let velocity = value.zeros_like()?;
        Ok(Self { value, velocity })
    }

    fn step(&mut self, gradient: &Tensor) -> Result<()> {
        let decayed = (gradient + (self.value.as_tensor() * WEIGHT_DECAY)?)?;
        self.velocity = ((&self.velocity * MOMENTUM)? + decayed)?.detach();
        self.value.set(&(self.value.as_tensor() - (&self.velocity * LEARNING_RATE)?)?.detach())
    }
}

/// A layer's weights and bias, at these places among the parameters.
#[derive(Clone, Copy)]
struct Layer {
    weight: usize,
    bias: usize,
}

/// Convolution, stride 1, no padding, with one filter set for each tile x tile block of outputs.
#[derive(Clone, Copy)]
struct LocallyShared {
    layer: Layer,
    kernel: usize,
    tile: usize,
    rows: usize,
    columns: usize,
    out_channels: usize,
}

struct DeepId2 {
    parameters: Vec<Parameter>,
    conv1: Layer,
    conv2: Layer,
    conv3: LocallyShared,
    conv4: LocallyShared,
    deepid2: Layer,
    softmax: Layer,
}

impl DeepId2 {
    fn new(identities: usize) -> Result<Self> {
        let mut parameters = Vec::new();
        let mut layer = |weight: &[usize], fan_in: usize, bias: &[usize]| -> Result<Layer> {
            parameters.push(Parameter::new(weight, fan_in)?);
            parameters.push(Parameter::new(bias, 0)?);
            Ok(Layer { weight: parameters.len() - 2, bias: parameters.len() - 1 })
        };
        let conv1 = layer(&[20, CHANNELS, 4, 4], CHANNELS * 16, &[1, 20, 1, 1])?;
        let [height, width] = [(HEIGHT - 3) / 2, (WIDTH - 3) / 2];
        let conv2 = layer(&[40, 20, 3, 3], 20 * 9, &[1, 40, 1, 1])?;
        let [height, width] = [(height - 2) / 2, (width - 2) / 2];
        let [rows, columns] = [(height - 2) / 2, (width - 2) / 2];
        let tiles = rows * columns;
        let conv3 = LocallyShared {
            layer: layer(&[tiles, 40 * 9, 60], 40 * 9, &[tiles, 1, 60])?,
            kernel: 3,
            tile: 2,
            rows,
            columns,
            out_channels: 60,
        };
        let pooled = 60 * rows * columns;
        let [rows, columns] = [rows - 1, columns - 1];
        let tiles = rows * columns;
        let conv4 = LocallyShared {
            layer: layer(&[tiles, 60 * 4, 80], 60 * 4, &[tiles, 1, 80])?,
            kernel: 2,
            tile: 1,
            rows,
            columns,
            out_channels: 80,
        };
        let features = pooled + 80 * tiles;
        let deepid2 = layer(&[features, DEEPID2_LENGTH], features, &[1, DEEPID2_LENGTH])?;
        let softmax = layer(&[DEEPID2_LENGTH, identities], DEEPID2_LENGTH, &[1, identities])?;
        Ok(Self { parameters, conv1, conv2, conv3, conv4, deepid2, softmax })
    }

    fn tensors(&self, layer: Layer) -> (&Tensor, &Tensor) {
        (self.parameters[layer.weight].value.as_tensor(), self.parameters[layer.bias].value.as_tensor())
    }

    fn shared(&self, x: &Tensor, layer: Layer) -> Result<Tensor> {
        let (weight, bias) = self.tensors(layer);
        x.conv2d(weight, 0, 1, 1, 1)?.broadcast_add(bias)?.relu()?.max_pool2d(2)
    }

    fn locally_shared(&self, x: &Tensor, shape: LocallyShared) -> Result<Tensor> {
        let LocallyShared { layer, kernel, tile, rows, columns, out_channels } = shape;
        let (images, channels, _, _) = x.dims4()?;
        let (weight, bias) = self.tensors(layer);
        let mut slices = Vec::with_capacity(kernel * kernel);
        for y in 0..kernel {
            for left in 0..kernel {
                slices.push(x.narrow(2, y, rows * tile)?.narrow(3, left, columns * tile)?);
            }
        }
        let taps = channels * kernel * kernel;
        let patches = Tensor::stack(&slices, 2)?
            .reshape(&[images, taps, rows, tile, columns, tile][..])?
            .permute([2, 4, 0, 3, 5, 1])?
            .contiguous()?
            .reshape((rows * columns, images * tile * tile, taps))?;
        let y = patches.matmul(weight)?.broadcast_add(bias)?;
        y.reshape(&[rows, columns, images, tile, tile, out_channels][..])?
            .permute([2, 5, 0, 3, 1, 4])?
            .contiguous()?
            .reshape((images, out_channels, rows * tile, columns * tile))
    }

    fn linear(&self, x: &Tensor, layer: Layer) -> Result<Tensor> {
        let (weight, bias) = self.tensors(layer);
        x.matmul(weight)?.broadcast_add(bias)
    }

    /// DeepID2 vectors, [image, 160].
    fn vectors(&self, x: &Tensor) -> Result<Tensor> {
        let pool1 = self.shared(x, self.conv1)?;
        let pool2 = self.shared(&pool1, self.conv2)?;
        let pool3 = self.locally_shared(&pool2, self.conv3)?.relu()?.max_pool2d(2)?;
        let conv4 = self.locally_shared(&pool3, self.conv4)?.relu()?;
        let both = Tensor::cat(&[pool3.flatten_from(1)?, conv4.flatten_from(1)?], 1)?;
        self.linear(&both, self.deepid2)?.relu()
    }

    fn step(&mut self, images: &Tensor, labels: &Tensor, same: &Tensor) -> Result<()> {
        let vectors = self.vectors(images)?;
        let logits = self.linear(&vectors, self.softmax)?;
        let identification = cross_entropy(&logits, labels)?;
        let loss = (identification + (verification_loss(&vectors, same)? * VERIFICATION_WEIGHT)?)?;
        let gradients = loss.backward()?;
        for parameter in &mut self.parameters {
            if let Some(gradient) = gradients.get(parameter.value.as_tensor()) {
                parameter.step(gradient)?;
            }
        }
        Ok(())
    }
}

/// Mean over the pairs (i, i + batch / 2) of equation 3; the hinge takes the distance unsquared.
fn verification_loss(vectors: &Tensor, same: &Tensor) -> Result<Tensor> {
    let halves = vectors.chunk(2, 0)?;
    let squared = (&halves[0] - &halves[1])?.sqr()?.sum(1)?;
    // The slope of the root is infinite at 0.
    let distance = squared.maximum(1e-12)?.sqrt()?;
    let hinge = distance.affine(-1.0, MARGIN)?.relu()?.sqr()?;
    let different = same.affine(-1.0, 1.0)?;
    (((same * squared)? + (different * hinge)?)? * 0.5)?.mean_all()
}

struct Options {
    batch: usize,
    identities: usize,
    repeats: usize,
    steps: usize,
    forward_only: bool,
}

fn options() -> std::result::Result<Options, String> {
    let mut options = Options { batch: 128, identities: 8192, repeats: 5, steps: 3, forward_only: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let field = match flag.as_str() {
            "--forward-only" => {
                options.forward_only = true;
                continue;
            }
            "--batch" => &mut options.batch,
            "--ids" => &mut options.identities,
            "--repeats" => &mut options.repeats,
            "--steps" => &mut options.steps,
            _ => return Err(format!("{flag}: expected --batch, --ids, --repeats, --steps or --forward-only")),
        };
        let value = arguments.next().and_then(|value| value.parse().ok()).filter(|value| *value > 0);
        *field = value.ok_or(format!("{flag}: expected a whole number of at least 1"))?;
    }
    if options.batch % 2 == 1 {
        return Err(format!("--batch {}: expected an even number, the two halves form the pairs", options.batch));
    }
    Ok(options)
}

fn main() -> Result<()> {
    let options = options().unwrap_or_else(|message| {
        eprintln!("error: {message}");
        std::process::exit(2)
    });
    let Options { batch, identities, repeats, steps, forward_only } = options;
    let mut network = DeepId2::new(identities)?;
    let images = Tensor::rand(0f32, 1f32, (batch, CHANNELS, HEIGHT, WIDTH), &Device::Cpu)?;
    // Every other pair is of one identity.
    let half = batch / 2;
    let label = |n: usize| ((n % half * 7 + usize::from(n >= half && n % 2 == 1)) % identities) as u32;
    let labels: Vec<u32> = (0..batch).map(label).collect();
    let same: Vec<f32> = (0..half).map(|n| f32::from(labels[n] == labels[n + half])).collect();
    let labels = Tensor::from_vec(labels, batch, &Device::Cpu)?;
    let same = Tensor::from_vec(same, half, &Device::Cpu)?.to_dtype(DType::F32)?;
    let mut run = |count: usize| -> Result<f64> {
        let started = Instant::now();
        for _ in 0..count {
            if forward_only {
                network.vectors(&images)?;
            } else {
                network.step(&images, &labels, &same)?;
            }
        }
        Ok((count * batch) as f64 / started.elapsed().as_secs_f64())
    };
    run(WARM_UP_STEPS)?;
    let mut speeds = (0..repeats).map(|_| run(steps)).collect::<Result<Vec<f64>>>()?;
    speeds.sort_by(f64::total_cmp);
    println!(
        "{}",
        serde_json::json!({
            "peer": "candle",
            "version": VERSION,
            "device": "cpu",
            "batch": batch,
            "ids": identities,
            "repeats": repeats,
            "steps": steps,
            "forward_only": forward_only,
            "images_per_s_median": speeds[repeats / 2],
            "images_per_s_best": speeds[repeats - 1],
        })
    );
    Ok(())
}
