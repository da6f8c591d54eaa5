//! Every operation of the networks by itself.

use super::{Error, training_options};
use crate::gpu::Gpu;
use crate::net::{NetSpec, TrainingGraph};
use crate::tape::{DType, Program, ProgramOptions, StepProfile, Store, Tape, TensorType};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;

/// One operation on inputs of fixed shapes: a tape of one node.
#[derive(Debug, Clone)]
pub struct KernelCase {
    /// Whose operation it is, as in `paper, batch 64`.
    pub network: String,
    /// The operation and the shapes of its first result and its first input.
    pub name: String,
    tape: Tape,
}

/// A network and a batch that lend their operations.
#[derive(Debug, Clone, PartialEq)]
pub struct Shapes {
    /// Few words.
    pub name: String,
    /// The network.
    pub spec: NetSpec,
    /// Images a step.
    pub images: usize,
}

impl Shapes {
    /// The paper's network with 8,192 identities.
    pub fn paper(images: usize) -> Self {
        Self { name: format!("paper, batch {images}"), spec: NetSpec::paper(8192), images }
    }

    /// Other shapes that the networks take: a small grey patch, a patch of another format, and wide layers.
    pub fn others() -> Vec<Self> {
        let paper = NetSpec::paper(1000);
        let grey = NetSpec { height: 31, width: 31, channels: 1, ..paper.clone() };
        let patch = NetSpec { height: 47, width: 39, ..paper.clone() };
        let wide = NetSpec { height: 31, width: 31, widths: [64, 128, 128, 160], embedding: 512, ..paper };
        [("grey 31×31, batch 128", grey), ("RGB 47×39, batch 128", patch), ("wide 31×31, batch 128", wide)]
            .map(|(name, spec)| Self { name: name.into(), spec, images: 128 })
            .into()
    }
}

/// The operations of one training step of each of `shapes`; one that was there before on the same shapes is left out.
///
/// # Errors
/// A network that is refused.
pub fn cases(shapes: &[Shapes]) -> Result<Vec<KernelCase>, Error> {
    let mut seen = HashSet::new();
    let mut cases = Vec::new();
    for Shapes { name: network, spec, images } in shapes {
        let step = TrainingGraph::new(spec, &training_options(*images))?.tape;
        for node in step.nodes() {
            let types: Vec<&TensorType> = node.inputs.iter().map(|input| step.ty(*input)).collect();
            if !seen.insert(format!("{:?} {types:?}", node.op)) {
                continue;
            }
            let mut tape = Tape::new();
            let inputs: Vec<_> =
                types.iter().enumerate().map(|(i, ty)| tape.input(&format!("input {i}"), (*ty).clone())).collect();
            let outputs = tape.apply_shared(node.op.clone(), &inputs)?;
            let [result, input] = [outputs[0], inputs[0]]
                .map(|var| tape.ty(var).dims.iter().map(usize::to_string).collect::<Vec<_>>().join("×"));
            let name = format!("{} {result} from {input}", node.op.name());
            cases.push(KernelCase { network: network.clone(), name, tape });
        }
    }
    Ok(cases)
}

/// A case on a device.
pub struct CompiledKernel {
    program: Program,
}

impl KernelCase {
    /// Compiles it and fills its float inputs with random numbers in [−1, 1); integers stay 0, which is a valid label,
    /// arg-max code and shift.
    ///
    /// # Errors
    /// Limits of the adapter, or an allocation that fails.
    pub fn compile(&self, gpu: &Gpu) -> Result<CompiledKernel, Error> {
        let program = Program::compile(gpu, &self.tape, &mut Store::new(), &[], ProgramOptions::default())?;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for input in &self.tape.nodes()[0].inputs {
            let ty = self.tape.ty(*input);
            if ty.dtype == DType::F32 {
                let values: Vec<f32> = (0..ty.elements()).map(|_| rng.random_range(-1.0..1.0)).collect();
                program.write(*input, &values)?;
            }
        }
        Ok(CompiledKernel { program })
    }
}

impl CompiledKernel {
    /// One run: what each dispatch took. `None` where the adapter has no timestamps.
    ///
    /// # Errors
    /// A device that stopped.
    pub fn run(&self) -> Result<Option<Vec<StepProfile>>, Error> {
        Ok(self.program.profile()?)
    }

    /// The shortest time of each dispatch in `repeats` runs, after one that is not counted.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn fastest(&self, repeats: usize) -> Result<Option<Vec<StepProfile>>, Error> {
        self.run()?;
        super::fastest(repeats, || self.run())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuOptions;

    #[test]
    fn every_operation_of_a_step_is_a_case_once_and_runs_by_itself() {
        let spec = NetSpec { height: 31, width: 31, widths: [4, 4, 4, 4], embedding: 8, ..NetSpec::paper(5) };
        let shapes = Shapes { name: "small".into(), spec, images: 8 };
        let found = cases(&[shapes.clone(), shapes]).unwrap();
        let names: HashSet<&str> = found.iter().filter_map(|case| case.name.split(' ').next()).collect();
        for name in ["ingest", "conv_pool", "conv", "joint_loss", "conv_pool_grad_weight", "sgd"] {
            assert!(names.contains(name), "{name} is missing from {names:?}");
        }
        let once: HashSet<String> = found.iter().map(|case| format!("{:?}", case.tape)).collect();
        assert_eq!(once.len(), found.len(), "the second network has the same shapes");

        let gpu = Gpu::open(&GpuOptions::default()).unwrap();
        for case in &found {
            let dispatches =
                case.compile(&gpu).unwrap().fastest(1).unwrap().expect("the software driver has timestamps");
            assert!(!dispatches.is_empty(), "{}", case.name);
            assert!(dispatches.iter().all(|dispatch| dispatch.milliseconds > 0.0), "{dispatches:?}");
        }
    }
}
