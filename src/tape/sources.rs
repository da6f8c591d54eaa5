//! The WGSL texts that a tape compiles to, for whoever wants to read or translate them.

use super::{Node, Tape, nets};
use crate::gpu::Target;

/// What one dispatch compiles.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// Operation, kernel file and entry point.
    pub label: String,
    /// The specialised text.
    pub wgsl: String,
    /// Entry point in it.
    pub entry: &'static str,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
}

/// Every dispatch of `tape` on `target` for `nets` nets at once, in order. No device is needed.
pub fn sources(tape: &Tape, target: &Target, nets: usize) -> Vec<Source> {
    let of_node = |node: &Node| {
        let op = node.op.name();
        let (dispatches, _) = nets::dispatches(tape, node, target, nets);
        dispatches.into_iter().map(move |dispatch| Source {
            label: format!("{op}:{}:{}", dispatch.kernel.file, dispatch.entry),
            wgsl: dispatch.kernel.specialize(&dispatch.specialization),
            entry: dispatch.entry,
            workgroups: dispatch.workgroups,
        })
    };
    tape.nodes().iter().flat_map(of_node).collect()
}
