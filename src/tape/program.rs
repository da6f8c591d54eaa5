//! A tape compiled for a device: buffers, pipelines and bind groups made once, replayed each step.

use super::{Dispatch, Error, MemoryPlan, Operand, Origin, Store, Tape, TensorType, Var, nets, plan};
use crate::gpu::{self, BoundImage, Gpu, Image, TensorBuffer, Timestamps};
use std::collections::HashMap;
use wgpu::BufferUsages;

/// Bytes of guard words on each side of a tensor in a guarded program: the offset alignment of storage bindings.
const GUARD_BYTES: u64 = 256;
const GUARD_WORD: u32 = 0xDEAD_BEEF;
/// A NaN in f32, 255 in each byte: what an output holds before a guarded run.
const POISON_WORD: u32 = 0xFFFF_FFFF;

/// How to compile.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProgramOptions {
    /// For tests: no shared memory, guard words around every tensor (the tail one inside the binding, where an
    /// overlong write lands), and every computed tensor filled with NaN before each [`Program::run`].
    pub guarded: bool,
}

/// A view of a tensor's memory: of all nets' copies.
#[derive(Debug, Clone)]
struct Placed {
    buffer: TensorBuffer,
    offset: u64,
    bytes: u64,
}

struct Step {
    node: usize,
    label: String,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
    flops: u64,
    bytes: u64,
}

/// What one dispatch of a profiled run did.
#[derive(Debug, Clone)]
pub struct StepProfile {
    /// The operation's number on the tape: dispatches of one follow each other.
    pub node: usize,
    /// Operation, shape of its result, kernel and entry point.
    pub label: String,
    /// Time on the device.
    pub milliseconds: f64,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes of the tensors it binds.
    pub bytes: u64,
}

/// A compiled tape.
pub struct Program {
    gpu: Gpu,
    steps: Vec<Step>,
    placed: HashMap<Var, Placed>,
    types: HashMap<Var, TensorType>,
    names: HashMap<Var, String>,
    computed: Vec<Var>,
    /// Memory of activations, shared by liveness.
    slots: Vec<Placed>,
    /// Bytes of it that another program lent.
    borrowed_bytes: u64,
    /// Memory of scratch, by the name of its operation.
    scratch: Vec<(String, Placed)>,
    memory: MemoryPlan,
    nets: usize,
    options: ProgramOptions,
}

impl Program {
    /// Allocates memory, compiles pipelines in parallel and makes bind groups. Parameters and states are taken from
    /// `store` by name, and put there when new. Tensors in `keep` stay readable after a run. The program runs as many
    /// nets at once as the store holds: each computes what it would compute alone, to the bit.
    ///
    /// # Errors
    /// Limits, allocations, kernels that do not compile, or a store that holds other shapes.
    pub fn compile(
        gpu: &Gpu,
        tape: &Tape,
        store: &mut Store,
        keep: &[Var],
        options: ProgramOptions,
    ) -> Result<Self, Error> {
        Self::compile_with(gpu, tape, store, keep, options, &[])
    }

    /// As [`Self::compile`], with activations in the memory of those of `lender`, as far as that reaches. The two never
    /// run at once, since a queue keeps its order; but a run of either ends what can be read of the other.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_beside(
        lender: &Self,
        gpu: &Gpu,
        tape: &Tape,
        store: &mut Store,
        keep: &[Var],
    ) -> Result<Self, Error> {
        Self::compile_with(gpu, tape, store, keep, lender.options, &lender.slots)
    }

    fn compile_with(
        gpu: &Gpu,
        tape: &Tape,
        store: &mut Store,
        keep: &[Var],
        options: ProgramOptions,
        lent: &[Placed],
    ) -> Result<Self, Error> {
        let target = gpu.target();
        let nets = store.nets();
        let memory = plan(tape, &target, keep, !options.guarded, nets)?;
        let guard = if options.guarded { GUARD_BYTES } else { 0 };
        let borrowed = borrow(&memory.slots, lent);
        let slots = memory
            .slots
            .iter()
            .zip(&borrowed)
            .enumerate()
            .map(|(slot, (bytes, place))| match place {
                Some(place) => Ok((*place).clone()),
                None => allocate(gpu, &format!("activations {slot}"), *bytes, guard),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let borrowed_bytes = memory.slots.iter().zip(&borrowed).filter(|(_, place)| place.is_some()).map(|(b, _)| b);
        let borrowed_bytes = borrowed_bytes.sum();
        let mut placed = HashMap::new();
        for var in tape.vars() {
            let bytes = nets::bytes_of(tape, var, nets);
            let place = match tape.origin(var) {
                Origin::Parameter | Origin::State => {
                    let buffer = store.buffer(gpu, tape.name(var), tape.ty(var))?;
                    Placed { buffer, offset: 0, bytes }
                }
                Origin::Input => allocate(gpu, tape.name(var), bytes, guard)?,
                Origin::Constant(values) => {
                    let place = allocate(gpu, tape.name(var), bytes, guard)?;
                    gpu.queue().write_buffer(&place.buffer, place.offset, bytemuck::cast_slice(values));
                    place
                }
                Origin::Computed { .. } => match memory.slot_of.get(&var) {
                    Some(slot) => Placed { bytes, ..slots[*slot].clone() },
                    None => continue,
                },
                Origin::Nowhere => continue,
            };
            placed.insert(var, place);
        }
        for (var, home) in &memory.home {
            let place = placed[home].clone();
            placed.insert(*var, place);
        }
        let steps = compile_steps(gpu, tape, &memory, &placed, &slots, (nets, options))?;
        let computed = memory.slot_of.keys().copied().collect();
        let scratch = tape.nodes().iter().zip(&memory.scratch).flat_map(|(node, taken)| {
            taken.iter().map(|slot| (format!("scratch of {}", node.op.name()), slots[*slot].clone()))
        });
        let scratch = scratch.collect();
        Ok(Self {
            gpu: gpu.clone(),
            steps,
            placed,
            types: tape.vars().map(|var| (var, tape.ty(var).clone())).collect(),
            names: tape.vars().map(|var| (var, tape.name(var).to_string())).collect(),
            computed,
            slots,
            borrowed_bytes,
            scratch,
            memory,
            nets,
            options,
        })
    }

    /// The device it was compiled for.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Its memory.
    pub fn memory(&self) -> &MemoryPlan {
        &self.memory
    }

    /// Nets that run at once.
    pub fn nets(&self) -> usize {
        self.nets
    }

    /// Bytes of activations that it allocated itself.
    pub fn own_activation_bytes(&self) -> u64 {
        self.memory.activation_bytes() - self.borrowed_bytes
    }

    /// Number of dispatches of one run.
    pub fn dispatches(&self) -> usize {
        self.steps.len()
    }

    /// Buffer, offset and length of all nets' copies of a tensor, for copies in and out of staging rings.
    pub(crate) fn place(&self, var: Var) -> (&wgpu::Buffer, u64, u64) {
        let place = &self.placed[&var];
        (&place.buffer, place.offset, place.bytes)
    }

    /// Buffer, offset and length of the copy of net `net`.
    ///
    /// # Panics
    /// Where the program has no net `net`.
    pub(crate) fn place_of_net(&self, var: Var, net: usize) -> (&wgpu::Buffer, u64, u64) {
        assert!(net < self.nets, "net {net} of a program of {}", self.nets);
        let (place, ty) = (&self.placed[&var], &self.types[&var]);
        // Of a constant there is one copy.
        let stride = if place.bytes == ty.bytes() { 0 } else { ty.net_stride() };
        (&place.buffer, place.offset + net as u64 * stride, ty.bytes())
    }

    /// Writes an input, parameter or state of the only, or first, net.
    ///
    /// # Errors
    /// As [`Self::write_net`].
    pub fn write<T: bytemuck::NoUninit>(&self, var: Var, values: &[T]) -> Result<(), Error> {
        self.write_net(0, var, values)
    }

    /// Writes an input, parameter or state of net `net` from the host. Outside the steady state only: it allocates
    /// staging memory.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another length.
    ///
    /// # Panics
    /// Where the program has no net `net`.
    pub fn write_net<T: bytemuck::NoUninit>(&self, net: usize, var: Var, values: &[T]) -> Result<(), Error> {
        let (buffer, offset, expected) = self.place_of_net(var, net);
        let bytes: &[u8] = bytemuck::cast_slice(values);
        if (bytes.len() as u64).next_multiple_of(4) != expected {
            let name = self.names[&var].clone();
            return Err(Error::Mismatch { name, expected: self.types[&var].dims.clone(), found: vec![values.len()] });
        }
        match bytes.len() % 4 {
            0 => self.gpu.queue().write_buffer(buffer, offset, bytes),
            rest => {
                let mut padded = bytes.to_vec();
                padded.resize(bytes.len() + 4 - rest, 0);
                self.gpu.queue().write_buffer(buffer, offset, &padded);
            }
        }
        Ok(())
    }

    /// Reads a kept tensor of the only, or first, net, waiting for the device.
    ///
    /// # Errors
    /// As [`Self::read_net`].
    pub fn read<T: bytemuck::Pod>(&self, var: Var) -> Result<Vec<T>, Error> {
        self.read_net(0, var)
    }

    /// Reads a kept tensor of net `net`, waiting for the device.
    ///
    /// # Errors
    /// [`gpu::Error::Lost`].
    ///
    /// # Panics
    /// Where the program has no net `net`.
    pub fn read_net<T: bytemuck::Pod>(&self, net: usize, var: Var) -> Result<Vec<T>, Error> {
        let (buffer, offset, bytes) = self.place_of_net(var, net);
        let mut values: Vec<T> = read_back(&self.gpu, buffer, offset, bytes)?;
        if std::mem::size_of::<T>() == 1 {
            values.truncate(self.types[&var].elements());
        }
        Ok(values)
    }

    /// Encodes every dispatch into one compute pass. The host's only work in the steady state.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for step in &self.steps {
            step.record(&mut pass);
        }
    }

    /// One run: one submission.
    ///
    /// # Errors
    /// [`gpu::Error::Lost`].
    pub fn run(&self) -> Result<wgpu::SubmissionIndex, Error> {
        if self.options.guarded {
            self.poison();
        }
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.encode(&mut encoder);
        let submission = self.gpu.queue().submit([encoder.finish()]);
        self.gpu.poll()?;
        Ok(submission)
    }

    /// One run with a timestamped pass for each dispatch; `None` where the adapter has no timestamps.
    ///
    /// # Errors
    /// [`gpu::Error::Lost`].
    pub fn profile(&self) -> Result<Option<Vec<StepProfile>>, Error> {
        let Some(timestamps) = Timestamps::new(&self.gpu, self.steps.len() as u32)? else { return Ok(None) };
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        for (index, step) in self.steps.iter().enumerate() {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(timestamps.writes(index as u32)),
            });
            step.record(&mut pass);
        }
        timestamps.resolve(&mut encoder);
        self.gpu.queue().submit([encoder.finish()]);
        let times = timestamps.read(&self.gpu)?;
        let profiles = self.steps.iter().zip(times).map(|(step, milliseconds)| StepProfile {
            node: step.node,
            label: step.label.clone(),
            milliseconds,
            flops: step.flops,
            bytes: step.bytes,
        });
        Ok(Some(profiles.collect()))
    }

    /// Every guarded piece of memory: its name, where it is, and whether a run computes it.
    fn guarded(&self) -> impl Iterator<Item = (&str, &Placed, bool)> {
        let tensors = self
            .placed
            .iter()
            .filter(|(_, place)| place.offset > 0)
            .map(|(var, place)| (self.names[var].as_str(), place, self.computed.contains(var)));
        tensors.chain(self.scratch.iter().map(|(name, place)| (name.as_str(), place, true)))
    }

    /// Fills computed tensors and scratch with NaN, and everything around tensors with guard words.
    fn poison(&self) {
        let queue = self.gpu.queue();
        let guard = [GUARD_WORD; GUARD_BYTES as usize / 4];
        for (_, place, computed) in self.guarded() {
            queue.write_buffer(&place.buffer, 0, bytemuck::cast_slice(&guard));
            queue.write_buffer(&place.buffer, place.offset + place.bytes, bytemuck::cast_slice(&guard));
            if computed {
                let words = vec![POISON_WORD; place.bytes as usize / 4];
                queue.write_buffer(&place.buffer, place.offset, bytemuck::cast_slice(&words));
            }
        }
    }

    /// Names of tensors whose guard words changed in the last run: something wrote outside its own memory.
    ///
    /// # Errors
    /// [`gpu::Error::Lost`].
    pub fn overrun_guards(&self) -> Result<Vec<String>, Error> {
        let mut overrun = Vec::new();
        for (name, place, _) in self.guarded() {
            for start in [0, place.offset + place.bytes] {
                let words: Vec<u32> = read_back(&self.gpu, &place.buffer, start, GUARD_BYTES)?;
                if words.iter().any(|word| *word != GUARD_WORD) {
                    overrun.push(name.to_string());
                }
            }
        }
        Ok(overrun)
    }
}

impl Step {
    fn record(&self, pass: &mut wgpu::ComputePass) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// For each of the wanted sizes, a lent piece of memory of its own that is large enough: the largest for the largest.
fn borrow<'a>(wanted: &[u64], lent: &'a [Placed]) -> Vec<Option<&'a Placed>> {
    let mut lent: Vec<&Placed> = lent.iter().collect();
    lent.sort_by_key(|place| std::cmp::Reverse(place.bytes));
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|slot| std::cmp::Reverse(wanted[*slot]));
    let mut borrowed = vec![None; wanted.len()];
    let mut lent = lent.into_iter().peekable();
    for slot in order {
        borrowed[slot] = lent.next_if(|place| place.bytes >= wanted[slot]);
    }
    borrowed
}

fn allocate(gpu: &Gpu, what: &str, bytes: u64, guard: u64) -> Result<Placed, Error> {
    let buffer = gpu.tensor_buffer(what, bytes + 2 * guard)?;
    Ok(Placed { buffer, offset: guard, bytes })
}

fn compile_steps(
    gpu: &Gpu,
    tape: &Tape,
    memory: &MemoryPlan,
    placed: &HashMap<Var, Placed>,
    slots: &[Placed],
    (nets, options): (usize, ProgramOptions),
) -> Result<Vec<Step>, Error> {
    let target = gpu.target();
    let mut planned = Vec::new();
    for (index, node) in tape.nodes().iter().enumerate() {
        let (dispatches, scratch) = nets::dispatches(tape, node, &target, nets);
        let mut flops_left = nets as u64 * tape.with_io(node, |io| node.op.flops(io));
        for mut dispatch in dispatches {
            let places: Vec<Placed> = dispatch
                .bindings
                .iter()
                .map(|binding| match binding {
                    Operand::In(i) => placed[&node.inputs[*i]].clone(),
                    Operand::Out(i) => placed[&node.outputs[*i]].clone(),
                    Operand::Scratch(i) => {
                        Placed { bytes: scratch[*i].bytes_of_nets(nets), ..slots[memory.scratch[index][*i]].clone() }
                    }
                })
                .collect();
            let images = adapt(gpu, &mut dispatch, &places);
            // An operation's arithmetic is booked once, on its first dispatch, whatever share of it the others do.
            let dims: Vec<String> = tape.ty(node.outputs[0]).dims.iter().map(usize::to_string).collect();
            let operation = format!("{} {}", node.op.name(), dims.join("×"));
            planned.push((index, operation, dispatch, (places, images), std::mem::take(&mut flops_left)));
        }
    }
    let jobs: Vec<gpu::ahead::Job> =
        planned.iter().map(|(_, _, dispatch, (places, images), _)| job(dispatch, places, images)).collect();
    use rayon::prelude::*;
    let pipelines: Vec<Result<wgpu::ComputePipeline, gpu::Error>> = planned
        .par_iter()
        .map(|(_, _, dispatch, _, _)| gpu.pipeline(dispatch.kernel, dispatch.entry, &dispatch.specialization))
        .collect();
    let steps: Vec<Step> = planned
        .into_iter()
        .zip(pipelines)
        .map(|((node, operation, dispatch, (places, images), flops), pipeline)| {
            let pipeline = pipeline?;
            let label = format!("{operation} ({}:{})", dispatch.kernel.file, dispatch.entry);
            // The tail guard is inside the binding: hardware discards writes past a binding's end, which would hide them.
            let tail = if options.guarded { GUARD_BYTES } else { 0 };
            let arrays = places.iter().map(|place| wgpu::BufferBinding {
                buffer: &place.buffer,
                offset: place.offset,
                size: wgpu::BufferSize::new(place.bytes + if place.offset > 0 { tail } else { 0 }),
            });
            let bind_group = gpu.bind_group(&label, &pipeline, arrays, &images)?;
            let bytes = places.iter().map(|place| place.bytes).sum();
            Ok(Step { node, label, pipeline, bind_group, workgroups: dispatch.workgroups, flops, bytes })
        })
        .collect::<Result<_, Error>>()?;
    gpu::ahead::compile(gpu, &jobs, |step| {
        gpu::ahead::dispatch_nothing(gpu, &steps[step].pipeline, &steps[step].bind_group)
    })?;
    Ok(steps)
}

/// What a device needs to know to compile `dispatch` ahead.
fn job(dispatch: &Dispatch, places: &[Placed], images: &[BoundImage]) -> gpu::ahead::Job {
    gpu::ahead::Job {
        kernel: dispatch.kernel,
        entry: dispatch.entry,
        specialization: dispatch.specialization.clone(),
        arrays: places.iter().map(|place| place.bytes).collect(),
        images: images.iter().map(|(image, _)| *image).collect(),
    }
}

/// Has `dispatch` loop, and read and store its tensors, as is fastest here; the images of those that it reads as such.
fn adapt(gpu: &Gpu, dispatch: &mut Dispatch, places: &[Placed]) -> Vec<BoundImage> {
    dispatch.specialization.loops_tested_last = gpu.target().software;
    dispatch.specialization.halves = gpu.target().stores_by_halves();
    if !gpu.target().texels {
        return Vec::new();
    }
    let readable = dispatch.specialization.readable_as_texels(dispatch.kernel, dispatch.entry).into_iter();
    let view = |image: &Image| {
        let Placed { buffer, offset, bytes } = &places[image.array];
        buffer.texels(gpu, image.format, *offset..*offset + *bytes)
    };
    let images: Vec<_> = readable.filter_map(|image| Some((image, view(&image)?))).collect();
    dispatch.specialization.texels = images.iter().map(|(image, _)| image.number).collect();
    images
}

/// Copies a range to readable memory and waits for it.
pub(super) fn read_back<T: bytemuck::Pod>(
    gpu: &Gpu,
    buffer: &wgpu::Buffer,
    offset: u64,
    bytes: u64,
) -> Result<Vec<T>, Error> {
    let readable = gpu.buffer("read back", bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, offset, &readable, 0, bytes);
    gpu.queue().submit([encoder.finish()]);
    Ok(gpu::read_buffer(gpu, &readable)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{NetSpec, TrainingGraph, TrainingOptions};
    use crate::ops::{Signal, testing::gpus};

    #[test]
    fn another_device_compiles_every_dispatch_of_a_training_step() {
        let spec = NetSpec { height: 31, width: 31, widths: [4, 6, 8, 8], embedding: 16, ..NetSpec::paper(5) };
        let options = TrainingOptions {
            images: 5,
            margin: 1,
            signal: Signal::L2,
            momentum: 0.9,
            weight_decay: 5e-4,
            rate_scales: vec![],
        };
        let TrainingGraph { tape, .. } = TrainingGraph::new(&spec, &options).unwrap();
        for gpu in gpus() {
            let mut stand_ins = Vec::new();
            for node in tape.nodes() {
                let (dispatches, scratch) = nets::dispatches(&tape, node, &gpu.target(), 1);
                for mut dispatch in dispatches {
                    let bytes = dispatch.bindings.iter().map(|binding| match binding {
                        Operand::In(i) => tape.ty(node.inputs[*i]).bytes(),
                        Operand::Out(i) => tape.ty(node.outputs[*i]).bytes(),
                        Operand::Scratch(i) => scratch[*i].bytes(),
                    });
                    let places: Vec<_> = bytes.map(|bytes| allocate(gpu, "place", bytes, 0).unwrap()).collect();
                    let images = adapt(gpu, &mut dispatch, &places);
                    let job = job(&dispatch, &places, &images);
                    let done = gpu::ahead::translate(gpu, &job, &mut stand_ins);
                    assert!(done.is_some(), "{} ({}:{})", node.op.name(), dispatch.kernel.file, dispatch.entry);
                }
            }
        }
    }
}
