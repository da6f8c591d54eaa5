//! One DeepID2 training step in Burn: a peer that the training speed is compared with.
//!
//! The network, the loss, the batch and the optimiser are those of `deepid2_torch.py` beside this file. Locally shared
//! layers are slices of the input and one batched matrix product with a matrix a tile.
//!
//! Install and run (Rust 1.95 or later; the build takes several minutes):
//!
//!     mkdir -p peer_burn/src && cp benches/peers/deepid2_burn.rs peer_burn/src/main.rs
//!     cat > peer_burn/Cargo.toml <<'END'
//!     [package]
//!     name = "deepid2_burn"
//!     version = "0.1.0"
//!     edition = "2024"
//!     [dependencies]
//!     burn = { version = "=0.22.1", default-features = false, features = ["std", "optim"] }
//!     serde_json = "1"
//!     [features]
//!     default = ["flex"]
//!     flex = ["burn/flex"]
//!     wgpu = ["burn/vulkan", "burn/fusion", "burn/autotune"]
//!     cuda = ["burn/cuda", "burn/fusion", "burn/autotune"]
//!     END
//!     (cd peer_burn && cargo build --release)                       # CPU
//!     (cd peer_burn && cargo build --release --features wgpu,cuda)  # and GPUs
//!     peer_burn/target/release/deepid2_burn --batch 128 --device cpu
//!
//! Options: --device cpu|wgpu|cuda (cpu), --batch N (128), --ids N (8192), --repeats N (5), --steps N (3),
//! --forward-only. `cpu` is Burn's flex backend, its fastest on processors without further libraries;
//! RAYON_NUM_THREADS sets its threads. On lavapipe (Mesa 22.3.6) `--device wgpu` dies of a segmentation fault in its
//! first step. Prints one line of JSON with the images a second, median and best of the repeats.

use burn::module::{Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use std::time::Instant;

const VERSION: &str = "0.22.1";
const HEIGHT: usize = 55;
const WIDTH: usize = 47;
const CHANNELS: usize = 3;
const DEEPID2_LENGTH: usize = 160;
/// Lambda in the paper, section 3.
const VERIFICATION_WEIGHT: f64 = 0.05;
/// Any value above 0: it costs the same.
const MARGIN: f64 = 1.0;
const LEARNING_RATE: f64 = 0.01;
const WARM_UP_STEPS: usize = 3;

/// Convolution, stride 1, no padding, with one filter set for each tile x tile block of outputs.
#[derive(Module, Debug)]
struct LocallyShared {
    weight: Param<Tensor<3>>,
    bias: Param<Tensor<3>>,
    kernel: usize,
    tile: usize,
    rows: usize,
    columns: usize,
}

impl LocallyShared {
    fn new(channels: [usize; 2], kernel: usize, tile: usize, [rows, columns]: [usize; 2], device: &Device) -> Self {
        let taps = channels[0] * kernel * kernel;
        let deviation = (2.0 / taps as f64).sqrt();
        let tiles = rows * columns;
        let weight = Tensor::random([tiles, taps, channels[1]], Distribution::Normal(0.0, deviation), device);
        let bias = Tensor::zeros([tiles, 1, channels[1]], device);
        let (weight, bias) = (Param::from_tensor(weight), Param::from_tensor(bias));
        Self { weight, bias, kernel, tile, rows, columns }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Self { kernel, tile, rows, columns, .. } = *self;
        let [images, channels, _, _] = x.dims();
        let mut slices = Vec::with_capacity(kernel * kernel);
        for top in 0..kernel {
            for left in 0..kernel {
                slices.push(x.clone().narrow(2, top, rows * tile).narrow(3, left, columns * tile));
            }
        }
        let taps = channels * kernel * kernel;
        let patches = Tensor::stack::<5>(slices, 2)
            .reshape::<6, _>([images, taps, rows, tile, columns, tile])
            .permute([2, 4, 0, 3, 5, 1])
            .reshape::<3, _>([rows * columns, images * tile * tile, taps]);
        let y = patches.matmul(self.weight.val()) + self.bias.val();
        let out_channels = y.dims()[2];
        y.reshape::<6, _>([rows, columns, images, tile, tile, out_channels])
            .permute([2, 5, 0, 3, 1, 4])
            .reshape::<4, _>([images, out_channels, rows * tile, columns * tile])
    }
}

#[derive(Module, Debug)]
struct DeepId2 {
    conv1: Conv2d,
    conv2: Conv2d,
    conv3: LocallyShared,
    conv4: LocallyShared,
    pool: MaxPool2d,
    deepid2: Linear,
    softmax: Linear,
}

impl DeepId2 {
    fn new(identities: usize, device: &Device) -> Self {
        let conv = |channels, kernel| {
            Conv2dConfig::new(channels, [kernel, kernel]).with_padding(PaddingConfig2d::Valid).init(device)
        };
        let pooled = |[height, width]: [usize; 2], kernel: usize| [(height + 1 - kernel) / 2, (width + 1 - kernel) / 2];
        let pool2 = pooled(pooled([HEIGHT, WIDTH], 4), 3);
        let [rows, columns] = pooled(pool2, 3);
        let features = 60 * rows * columns + 80 * (rows - 1) * (columns - 1);
        Self {
            conv1: conv([CHANNELS, 20], 4),
            conv2: conv([20, 40], 3),
            conv3: LocallyShared::new([40, 60], 3, 2, [rows, columns], device),
            conv4: LocallyShared::new([60, 80], 2, 1, [rows - 1, columns - 1], device),
            pool: MaxPool2dConfig::new([2, 2]).init(),
            deepid2: LinearConfig::new(features, DEEPID2_LENGTH).init(device),
            softmax: LinearConfig::new(DEEPID2_LENGTH, identities).init(device),
        }
    }

    /// DeepID2 vectors, [image, 160].
    fn vectors(&self, x: Tensor<4>) -> Tensor<2> {
        let pool1 = self.pool.forward(relu(self.conv1.forward(x)));
        let pool2 = self.pool.forward(relu(self.conv2.forward(pool1)));
        let pool3 = self.pool.forward(relu(self.conv3.forward(pool2)));
        let conv4 = relu(self.conv4.forward(pool3.clone()));
        let both = Tensor::cat(vec![pool3.flatten::<2>(1, 3), conv4.flatten::<2>(1, 3)], 1);
        relu(self.deepid2.forward(both))
    }
}

/// Mean over the pairs (i, i + batch / 2) of equation 3; the hinge takes the distance unsquared.
fn verification_loss(vectors: Tensor<2>, same: Tensor<2>) -> Tensor<1> {
    let half = vectors.dims()[0] / 2;
    let difference = vectors.clone().narrow(0, 0, half) - vectors.narrow(0, half, half);
    let squared = difference.powi_scalar(2).sum_dim(1);
    // The slope of the root is infinite at 0.
    let distance = squared.clone().clamp_min(1e-12).sqrt();
    let hinge = relu(distance.neg().add_scalar(MARGIN)).powi_scalar(2);
    let different = same.clone().neg().add_scalar(1.0);
    (same * squared + different * hinge).mul_scalar(0.5).mean()
}

/// One batch that every step uses again.
struct Batch {
    images: Tensor<4>,
    labels: Tensor<1, Int>,
    same: Tensor<2>,
}

impl Batch {
    fn new(images: usize, identities: usize, device: &Device) -> Self {
        // Every other pair is of one identity.
        let half = images / 2;
        let label = |n: usize| ((n % half * 7 + usize::from(n >= half && n % 2 == 1)) % identities) as i32;
        let labels: Vec<i32> = (0..images).map(label).collect();
        let same: Vec<f32> = (0..half).map(|n| f32::from(labels[n] == labels[n + half])).collect();
        let shape = [images, CHANNELS, HEIGHT, WIDTH];
        Self {
            images: Tensor::random(shape, Distribution::Uniform(0.0, 1.0), device),
            labels: Tensor::from_data(TensorData::new(labels, [images]), device),
            same: Tensor::from_data(TensorData::new(same, [half, 1]), device),
        }
    }
}

/// A network, its optimiser and its batch.
struct Workload {
    network: DeepId2,
    optimiser: ModuleOptimizer,
    cross_entropy: CrossEntropyLoss,
    batch: Batch,
}

impl Workload {
    fn step(mut self) -> Self {
        let vectors = self.network.vectors(self.batch.images.clone());
        let logits = self.network.softmax.forward(vectors.clone());
        let identification = self.cross_entropy.forward(logits, self.batch.labels.clone());
        let verification = verification_loss(vectors, self.batch.same.clone());
        let loss = identification + verification.mul_scalar(VERIFICATION_WEIGHT);
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        self.network = self.optimiser.step(LEARNING_RATE, self.network, gradients);
        self
    }
}

struct Options {
    device: String,
    batch: usize,
    identities: usize,
    repeats: usize,
    steps: usize,
    forward_only: bool,
}

fn options() -> Result<Options, String> {
    let mut options =
        Options { device: "cpu".into(), batch: 128, identities: 8192, repeats: 5, steps: 3, forward_only: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let field = match flag.as_str() {
            "--forward-only" => {
                options.forward_only = true;
                continue;
            }
            "--device" => {
                options.device = arguments.next().ok_or("--device: expected cpu, wgpu or cuda")?;
                continue;
            }
            "--batch" => &mut options.batch,
            "--ids" => &mut options.identities,
            "--repeats" => &mut options.repeats,
            "--steps" => &mut options.steps,
            _ => return Err(format!("{flag}: expected --device, --batch, --ids, --repeats, --steps or --forward-only")),
        };
        let value = arguments.next().and_then(|value| value.parse().ok()).filter(|value| *value > 0);
        *field = value.ok_or(format!("{flag}: expected a whole number of at least 1"))?;
    }
    if options.batch % 2 == 1 {
        return Err(format!("--batch {}: expected an even number, the two halves form the pairs", options.batch));
    }
    Ok(options)
}

fn device(name: &str) -> Result<Device, String> {
    match name {
        #[cfg(feature = "flex")]
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0)),
        _ => Err(format!("--device {name}: not built in; build with --features wgpu,cuda, or use --device cpu")),
    }
}

fn main() {
    let chosen = options().and_then(|options| Ok((device(&options.device)?, options)));
    let (device, options) = chosen.unwrap_or_else(|message| {
        eprintln!("error: {message}");
        std::process::exit(2)
    });
    let Options { batch, identities, repeats, steps, forward_only, .. } = options;
    let device = if forward_only { device } else { device.autodiff() };
    let weight_decay = WeightDecayConfig { penalty: 5e-4 };
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let mut workload = Some(Workload {
        network: DeepId2::new(identities, &device),
        optimiser: SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(Some(weight_decay)).init(),
        cross_entropy: CrossEntropyLossConfig::new().init(&device),
        batch: Batch::new(batch, identities, &device),
    });
    let mut run = |count: usize| -> f64 {
        let started = Instant::now();
        for _ in 0..count {
            if let Some(ready) = workload.take() {
                workload = Some(if forward_only {
                    let _vectors = ready.network.vectors(ready.batch.images.clone());
                    ready
                } else {
                    ready.step()
                });
            }
        }
        device.sync().expect("the device finishes its work");
        (count * batch) as f64 / started.elapsed().as_secs_f64()
    };
    run(WARM_UP_STEPS);
    let mut speeds: Vec<f64> = (0..repeats).map(|_| run(steps)).collect();
    speeds.sort_by(f64::total_cmp);
    println!(
        "{}",
        serde_json::json!({
            "peer": format!("burn {}", options.device),
            "version": VERSION,
            "device": options.device,
            "batch": batch,
            "ids": identities,
            "repeats": repeats,
            "steps": steps,
            "forward_only": forward_only,
            "images_per_s_median": speeds[repeats / 2],
            "images_per_s_best": speeds[repeats - 1],
        })
    );
}
