//! Dispatches of several nets at once.
//!
//! A tape describes one net. Compiled for several, every tensor but constants has a copy for each, one after another in
//! one buffer ([`TensorType::net_stride`]), and the z of each dispatch counts nets (`gpu::nets`).

use super::{Dispatch, Node, Operand, Origin, Tape, TensorType, Var};
use crate::gpu::Target;

/// Bytes of the memory of `var`: constants are shared, of everything else each net has a copy.
pub(super) fn bytes_of(tape: &Tape, var: Var, nets: usize) -> u64 {
    match tape.origin(var) {
        Origin::Constant(_) => tape.ty(var).bytes(),
        _ => tape.ty(var).bytes_of_nets(nets),
    }
}

/// What the device runs for `node`, and the scratch memory of one net.
pub(super) fn dispatches(tape: &Tape, node: &Node, target: &Target, nets: usize) -> (Vec<Dispatch>, Vec<TensorType>) {
    let (mut dispatches, scratch) =
        tape.with_io(node, |io| (node.op.dispatches(io, target), node.op.scratch(io, target)));
    if nets > 1 {
        let stride_of = |var: Var| match tape.origin(var) {
            Origin::Constant(_) => None,
            _ => Some(tape.ty(var).net_stride()),
        };
        for dispatch in &mut dispatches {
            let strides = dispatch.bindings.iter().map(|binding| match binding {
                Operand::In(i) => stride_of(node.inputs[*i]),
                Operand::Out(i) => stride_of(node.outputs[*i]),
                Operand::Scratch(i) => Some(scratch[*i].net_stride()),
            });
            let specialization = std::mem::take(&mut dispatch.specialization);
            dispatch.specialization =
                specialization.over_nets(dispatch.kernel, nets, strides.collect(), target.uniform_bytes);
            dispatch.workgroups[2] *= nets as u32;
        }
    }
    (dispatches, scratch)
}
