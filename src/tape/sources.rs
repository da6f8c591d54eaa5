//! The WGSL texts that a tape compiles to, for whoever wants to read or translate them.

use super::Tape;
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

/// Every dispatch of `tape` on `target`, in order. No device is needed.
pub fn sources(tape: &Tape, target: &Target) -> Vec<Source> {
    let of_node = |node| {
        let dispatches = tape.with_io(node, |io| node.op.dispatches(io, target));
        dispatches.into_iter().map(move |dispatch| Source {
            label: format!("{}:{}:{}", node.op.name(), dispatch.kernel.file, dispatch.entry),
            wgsl: dispatch.kernel.specialize(&dispatch.specialization),
            entry: dispatch.entry,
            workgroups: dispatch.workgroups,
        })
    };
    tape.nodes().iter().flat_map(of_node).collect()
}
