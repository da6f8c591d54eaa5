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

/// Something that needs memory from one node to another, both included.
struct Tenant {
    bytes: u64,
    first: usize,
    last: usize,
}

/// Slots for `tenants`: the largest first, each into the smallest slot where nobody lives at the same time, or a new one
/// (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, section 4: shared objects,
/// greedy by size). Returns the bytes of each slot and the slot of each tenant.
fn assign(tenants: &[Tenant], share: bool) -> (Vec<u64>, Vec<usize>) {
    let mut by_size: Vec<usize> = (0..tenants.len()).collect();
    by_size.sort_by_key(|tenant| std::cmp::Reverse(tenants[*tenant].bytes));
    let mut slots: Vec<(u64, Vec<usize>)> = Vec::new();
    let mut slot_of = vec![0; tenants.len()];
    for index in by_size {
        let Tenant { bytes, first, last } = tenants[index];
        let apart = |other: &usize| last < tenants[*other].first || tenants[*other].last < first;
        // Slots were made in descending order of size.
        let found = slots.iter().rposition(|(_, present)| share && present.iter().all(apart));
        slot_of[index] = found.unwrap_or(slots.len());
        match found {
            Some(slot) => slots[slot].1.push(index),
            None => slots.push((bytes, vec![index])),
        }
    }
    (slots.into_iter().map(|(bytes, _)| bytes).collect(), slot_of)
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

    let mut tenants = Vec::new();
    let mut owners = Vec::new();
    let mut scratch_tenants = Vec::with_capacity(tape.nodes.len());
    for (index, node) in tape.nodes.iter().enumerate() {
        for output in node.outputs.iter().filter(|output| home_of(**output) == **output) {
            owners.push(*output);
            tenants.push(Tenant { bytes: nets::bytes_of(tape, *output, nets), first: index, last: last_use[output] });
        }
    }
    let unshared_bytes = tenants.iter().map(|tenant| tenant.bytes).sum();
    for (index, node) in tape.nodes.iter().enumerate() {
        let (dispatches, scratch_types) = nets::dispatches(tape, node, target, nets);
        check_limits(tape, node, &dispatches, &scratch_types, target, nets)?;
        scratch_tenants.push(tenants.len()..tenants.len() + scratch_types.len());
        let bytes = scratch_types.iter().map(|ty| ty.bytes_of_nets(nets));
        tenants.extend(bytes.map(|bytes| Tenant { bytes, first: index, last: index }));
    }
    let (slots, slot_of_tenant) = assign(&tenants, share);
    let slot_of = owners.into_iter().zip(slot_of_tenant.iter().copied()).collect();
    let scratch = scratch_tenants.into_iter().map(|range| slot_of_tenant[range].to_vec()).collect();

    let bytes_of = |wanted: fn(&Origin) -> bool| {
        tape.vars().filter(|var| wanted(tape.origin(*var))).map(|var| nets::bytes_of(tape, var, nets)).sum()
    };
    Ok(MemoryPlan {
        slots,
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
        texels: false,
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
