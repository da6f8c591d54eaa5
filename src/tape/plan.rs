//! Which tensors may share memory.

use super::{Dispatch, Error, Operand, Origin, Tape, TensorType, Var, nets};
use crate::gpu::{self, Target};
use std::collections::HashMap;

/// Memory of a compiled tape: computed tensors and scratch share a few buffers by liveness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Bytes of each shared buffer.
    pub slots: Vec<u64>,
    /// Slot of each computed tensor; tensors that live in a caller's memory (inputs, parameters, states, constants,
    /// and in-place results of these) have none.
    pub slot_of: HashMap<Var, usize>,
    /// For an in-place result, the tensor whose memory it is.
    pub home: HashMap<Var, Var>,
    /// Slots of each node's scratch.
    pub scratch: Vec<Vec<usize>>,
    /// Bytes of parameters and states.
    pub persistent_bytes: u64,
    /// Bytes of inputs and constants.
    pub input_bytes: u64,
    /// Bytes that the computed tensors would take without sharing.
    pub unshared_bytes: u64,
}

impl MemoryPlan {
    /// Bytes of the shared buffers.
    pub fn activation_bytes(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// The tensor whose memory holds `var`.
    pub fn home_of(&self, var: Var) -> Var {
        self.home.get(&var).copied().unwrap_or(var)
    }
}

/// Free slots and their sizes while nodes are walked in order.
struct Slots {
    sizes: Vec<u64>,
    free: Vec<usize>,
    share: bool,
}

impl Slots {
    /// The smallest free slot that fits; else the largest free one, grown; else a new one.
    fn take(&mut self, bytes: u64) -> usize {
        let fitting = self.free.iter().copied().filter(|slot| self.sizes[*slot] >= bytes);
        let chosen = fitting
            .min_by_key(|slot| self.sizes[*slot])
            .or_else(|| self.free.iter().copied().max_by_key(|slot| self.sizes[*slot]));
        match chosen.filter(|_| self.share) {
            Some(slot) => {
                self.free.retain(|free| *free != slot);
                self.sizes[slot] = self.sizes[slot].max(bytes);
                slot
            }
            None => {
                self.sizes.push(bytes);
                self.sizes.len() - 1
            }
        }
    }
}

/// Plans the memory of `tape` for `nets` nets at once and checks every tensor and dispatch against `target`. Tensors in
/// `keep` stay readable after the run. Without `share` every tensor has memory of its own (tests look at all of them).
///
/// # Errors
/// [`gpu::Error::Limit`] that names the tensor or operation, [`Error::OverwrittenTooEarly`], and for several nets
/// [`Error::ThirdDimension`].
pub fn plan(tape: &Tape, target: &Target, keep: &[Var], share: bool, nets: usize) -> Result<MemoryPlan, Error> {
    let mut home = HashMap::new();
    for (index, node) in tape.nodes.iter().enumerate() {
        for (output, input) in node.op.in_place() {
            let (output, input) = (node.outputs[*output], node.inputs[*input]);
            let late = tape.nodes[index + 1..].iter().find(|later| later.inputs.contains(&input));
            if let Some(reader) = late {
                return Err(Error::OverwrittenTooEarly {
                    op: node.op.name(),
                    name: tape.name(input).into(),
                    reader: reader.op.name(),
                });
            }
            let root = home.get(&input).copied().unwrap_or(input);
            let caller = if keep.contains(&input) { Some("the caller, who keeps it,") } else { None };
            let next_run = if matches!(tape.origin(root), Origin::Constant(_)) { Some("the next run") } else { None };
            if let Some(reader) = caller.or(next_run) {
                return Err(Error::OverwrittenTooEarly { op: node.op.name(), name: tape.name(input).into(), reader });
            }
            home.insert(output, root);
        }
    }
    let home_of = |var: Var| home.get(&var).copied().unwrap_or(var);
    let mut last_use: HashMap<Var, usize> = HashMap::new();
    for (index, node) in tape.nodes.iter().enumerate() {
        for var in node.inputs.iter().chain(&node.outputs) {
            last_use.insert(home_of(*var), index);
        }
    }
    for var in keep {
        last_use.insert(home_of(*var), usize::MAX);
    }

    let mut slots = Slots { sizes: Vec::new(), free: Vec::new(), share };
    let mut slot_of = HashMap::new();
    let mut scratch = Vec::with_capacity(tape.nodes.len());
    let mut unshared_bytes = 0;
    for (index, node) in tape.nodes.iter().enumerate() {
        for output in &node.outputs {
            if home_of(*output) == *output {
                let bytes = nets::bytes_of(tape, *output, nets);
                unshared_bytes += bytes;
                slot_of.insert(*output, slots.take(bytes));
            }
        }
        let (dispatches, scratch_types) = nets::dispatches(tape, node, target, nets);
        let taken: Vec<usize> = scratch_types.iter().map(|ty| slots.take(ty.bytes_of_nets(nets))).collect();
        check_limits(tape, node, &dispatches, &scratch_types, target, nets)?;
        slots.free.extend(&taken);
        scratch.push(taken);
        let mut dead: Vec<Var> = node.inputs.iter().chain(&node.outputs).map(|var| home_of(*var)).collect();
        dead.sort();
        dead.dedup();
        slots.free.extend(dead.iter().filter(|var| last_use[var] == index).filter_map(|var| slot_of.get(var)));
    }

    let bytes_of = |wanted: fn(&Origin) -> bool| {
        tape.vars().filter(|var| wanted(tape.origin(*var))).map(|var| nets::bytes_of(tape, var, nets)).sum()
    };
    Ok(MemoryPlan {
        slots: slots.sizes,
        slot_of,
        home,
        scratch,
        persistent_bytes: bytes_of(|origin| matches!(origin, Origin::Parameter | Origin::State)),
        input_bytes: bytes_of(|origin| matches!(origin, Origin::Input | Origin::Constant(_))),
        unshared_bytes,
    })
}

fn check_limits(
    tape: &Tape,
    node: &super::Node,
    dispatches: &[Dispatch],
    scratch: &[TensorType],
    target: &Target,
    nets: usize,
) -> Result<(), Error> {
    let limit = |what: String, limit, needed, allowed| {
        if needed > allowed { Err(gpu::Error::Limit { what, limit, needed, allowed }) } else { Ok(()) }
    };
    let together = if nets == 1 { String::new() } else { format!(" of {nets} nets together") };
    let of_var = |var: &Var| (tape.name(*var), tape.ty(*var), nets::bytes_of(tape, *var, nets));
    let named = node.inputs.iter().chain(&node.outputs).map(of_var);
    for (name, ty, bytes) in named.chain(scratch.iter().map(|ty| (node.op.name(), ty, ty.bytes_of_nets(nets)))) {
        let what = format!("tensor {name} of shape {:?}{together}", ty.dims);
        limit(what, "max_storage_buffer_binding_size", bytes, target.storage_bytes)?;
    }
    for dispatch in dispatches {
        let z = dispatch.workgroups[2] / nets as u32;
        if nets > 1 && z != 1 {
            return Err(Error::ThirdDimension { op: node.op.name(), z });
        }
        for groups in dispatch.workgroups {
            let what = format!("a dispatch of {} ({}){together}", dispatch.entry, dispatch.kernel.file);
            let allowed = u64::from(target.workgroups_per_dimension);
            limit(what, "max_compute_workgroups_per_dimension", u64::from(groups), allowed)?;
        }
        debug_assert!(
            dispatch.bindings.iter().all(|binding| match binding {
                Operand::In(i) => *i < node.inputs.len(),
                Operand::Out(i) => *i < node.outputs.len(),
                Operand::Scratch(i) => *i < scratch.len(),
            }),
            "{}: binding out of range",
            node.op.name()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Add, Multiply, Relu, Sgd, Sum};
    use crate::tape::{Io, Op};

    const TARGET: Target = Target {
        uniform_bytes: 65_536,
        storage_bytes: 1 << 27,
        workgroups_per_dimension: 65_535,
        software: true,
        subgroup: 1,
    };

    /// Four ReLUs in a row, then a sum.
    fn chain() -> (Tape, Vec<Var>) {
        let mut tape = Tape::new();
        let mut vars = vec![tape.input("x", TensorType::f32(&[64]))];
        for at in 0..4 {
            vars.push(tape.apply1(Relu, &[vars[at]]).unwrap());
        }
        vars.push(tape.apply1(Sum, &[vars[4]]).unwrap());
        (tape, vars)
    }

    #[test]
    fn a_chain_needs_two_buffers_and_kept_tensors_their_own() {
        let (tape, vars) = chain();
        let plan = super::plan(&tape, &TARGET, &[], true, 1).unwrap();
        assert_eq!((plan.slots.len(), plan.unshared_bytes), (2, 4 * 256 + 4));
        let keeping = super::plan(&tape, &TARGET, &[vars[1]], true, 1).unwrap();
        let others = vars[2..].iter().map(|var| keeping.slot_of[var]);
        assert!(others.into_iter().all(|slot| slot != keeping.slot_of[&vars[1]]));
        assert_eq!(super::plan(&tape, &TARGET, &[], false, 1).unwrap().slots.len(), 5);
    }

    #[test]
    fn no_node_writes_what_it_or_a_later_node_still_reads() {
        // y and z outlive the chain between them.
        let (mut tape, vars) = chain();
        let product = tape.apply1(Multiply, &[vars[1], vars[4]]).unwrap();
        let last = tape.apply1(Add, &[product, vars[2]]).unwrap();
        let plan = super::plan(&tape, &TARGET, &[last], true, 1).unwrap();
        for (index, node) in tape.nodes().iter().enumerate() {
            for output in &node.outputs {
                let clobbered = tape.nodes()[index..]
                    .iter()
                    .flat_map(|later| &later.inputs)
                    .any(|read| *read < *output && plan.slot_of.get(read) == plan.slot_of.get(output));
                assert!(!clobbered, "{} lands on a tensor that is read later", tape.name(*output));
            }
        }
    }

    #[test]
    fn an_update_in_place_lives_where_the_parameter_does() {
        let mut tape = Tape::new();
        let weights = tape.parameter("weights", TensorType::f32(&[4]));
        let rates = tape.input("rates", TensorType::f32(&[4]));
        let loss = tape.apply1(Sum, &[weights]).unwrap();
        let gradient = tape.backward(loss).unwrap()[&weights];
        Sgd::record(&mut tape, weights, gradient, rates, 1.0).unwrap();
        let updated = tape.nodes().last().unwrap().outputs[0];
        let plan = super::plan(&tape, &TARGET, &[], true, 1).unwrap();
        assert_eq!(plan.home_of(updated), weights);
        assert!(!plan.slot_of.contains_key(&updated));
        // Reading the old weights after the update is a mistake.
        tape.apply1(Relu, &[weights]).unwrap();
        let error = super::plan(&tape, &TARGET, &[], true, 1).unwrap_err().to_string();
        assert!(error.contains("sgd") && error.contains("weights") && error.contains("relu"), "{error}");
    }

    #[test]
    fn a_tensor_beyond_a_limit_is_named_with_both_numbers() {
        let (tape, _) = chain();
        let error = super::plan(&tape, &Target { storage_bytes: 255, ..TARGET }, &[], true, 1).unwrap_err().to_string();
        for part in ["tensor x", "256", "max_storage_buffer_binding_size", "255"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn nets_have_copies_of_everything_but_constants() {
        let mut tape = Tape::new();
        let x = tape.input("x", TensorType::f32(&[6]));
        let factor = tape.constant("factor", &[6], vec![2.0; 6]);
        let weights = tape.parameter("weights", TensorType::f32(&[6]));
        let scaled = tape.apply1(Multiply, &[x, factor]).unwrap();
        let product = tape.apply1(Multiply, &[scaled, weights]).unwrap();
        let plan = |nets| super::plan(&tape, &TARGET, &[product], true, nets).unwrap();
        let (one, five) = (plan(1), plan(5));
        assert_eq!((one.persistent_bytes, one.input_bytes, one.activation_bytes()), (24, 48, 48));
        // Copies begin at multiples of 16 bytes: 6 floats take 32.
        assert_eq!((five.persistent_bytes, five.input_bytes, five.activation_bytes()), (160, 184, 320));
    }

    #[test]
    fn limits_count_all_nets_and_say_so() {
        let (tape, _) = chain();
        let plan = |target: Target, nets| super::plan(&tape, &target, &[], true, nets);
        let small = Target { storage_bytes: 1000, ..TARGET };
        plan(small, 3).unwrap();
        let error = plan(small, 4).unwrap_err().to_string();
        for part in ["tensor x of shape [64] of 4 nets together", "1024", "max_storage_buffer_binding_size", "1000"] {
            assert!(error.contains(part), "{error}");
        }
        let narrow = Target { workgroups_per_dimension: 7, ..TARGET };
        plan(narrow, 7).unwrap();
        let error = plan(narrow, 8).unwrap_err().to_string();
        for part in ["relu (elementwise.wgsl) of 8 nets", "needs 8", "max_compute_workgroups_per_dimension", "is 7"] {
            assert!(error.contains(part), "{error}");
        }
    }

    /// A ReLU whose dispatch is three-dimensional.
    #[derive(Debug)]
    struct Deep;

    impl Op for Deep {
        fn name(&self) -> &'static str {
            "deep"
        }

        fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, Error> {
            Relu.infer(inputs)
        }

        fn dispatches(&self, io: Io, target: &Target) -> Vec<Dispatch> {
            let mut dispatches = Relu.dispatches(io, target);
            dispatches[0].workgroups[2] = 2;
            dispatches
        }

        fn reference(&self, io: Io, inputs: &[&[f64]]) -> Vec<Vec<f64>> {
            Relu.reference(io, inputs)
        }
    }

    #[test]
    fn an_operation_that_uses_z_runs_one_net_only() {
        let mut tape = Tape::new();
        let x = tape.input("x", TensorType::f32(&[4]));
        tape.apply1(Deep, &[x]).unwrap();
        let plan = |nets| super::plan(&tape, &TARGET, &[], true, nets);
        plan(1).unwrap();
        let error = plan(3).unwrap_err().to_string();
        assert!(error.contains("deep: the z of its dispatch is 2") && error.contains("nets"), "{error}");
    }
}
