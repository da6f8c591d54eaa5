//! Recording.

use super::{Error, Io, Op, TensorType};
use std::sync::Arc;

/// A tensor of a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(pub(crate) usize);

impl Var {
    /// Its place in the order of declaration: where [`super::evaluate`] returns its value.
    pub fn index(self) -> usize {
        self.0
    }
}

/// Where a tensor's value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// Written by the host before each run.
    Input,
    /// Learned; lives in a [`super::Store`] under its name and outlives programs.
    Parameter,
    /// Kept between runs like a parameter, but not learned: momentum.
    State,
    /// Fixed values.
    Constant(Vec<f32>),
    /// Output number `output` of node `node`.
    Computed {
        /// Index of the node.
        node: usize,
        /// Index among its outputs.
        output: usize,
    },
    /// No longer computed: the update does without ([`Op::with_update`]).
    Nowhere,
}

#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub name: String,
    pub ty: TensorType,
    pub origin: Origin,
    pub requires_grad: bool,
}

/// One recorded operation.
#[derive(Debug, Clone)]
pub struct Node {
    /// The operation.
    pub op: Arc<dyn Op>,
    /// What it read.
    pub inputs: Vec<Var>,
    /// What it wrote.
    pub outputs: Vec<Var>,
}

/// A list of operations on tensors, in the order in which they will run.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) nodes: Vec<Node>,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    fn push(&mut self, name: String, ty: TensorType, origin: Origin, requires_grad: bool) -> Var {
        self.tensors.push(Tensor { name, ty, origin, requires_grad });
        Var(self.tensors.len() - 1)
    }

    /// A tensor that the host writes before each run.
    pub fn input(&mut self, name: &str, ty: TensorType) -> Var {
        self.push(name.into(), ty, Origin::Input, false)
    }

    /// An input that gradients are wanted for: tests and sensitivity studies.
    pub fn differentiable_input(&mut self, name: &str, ty: TensorType) -> Var {
        self.push(name.into(), ty, Origin::Input, true)
    }

    /// A learned tensor.
    pub fn parameter(&mut self, name: &str, ty: TensorType) -> Var {
        self.push(name.into(), ty, Origin::Parameter, true)
    }

    /// A parameter that backward leaves alone.
    pub fn frozen_parameter(&mut self, name: &str, ty: TensorType) -> Var {
        self.push(name.into(), ty, Origin::Parameter, false)
    }

    /// A tensor kept between runs without being learned.
    pub fn state(&mut self, name: &str, ty: TensorType) -> Var {
        self.push(name.into(), ty, Origin::State, false)
    }

    /// Fixed values.
    pub fn constant(&mut self, name: &str, dims: &[usize], values: Vec<f32>) -> Var {
        assert_eq!(dims.iter().product::<usize>(), values.len(), "constant {name}");
        self.push(name.into(), TensorType::f32(dims), Origin::Constant(values), false)
    }

    /// Records `op` on `inputs`.
    ///
    /// # Errors
    /// What [`Op::infer`] says of the input shapes.
    pub fn apply(&mut self, op: impl Op + 'static, inputs: &[Var]) -> Result<Vec<Var>, Error> {
        self.apply_shared(Arc::new(op), inputs)
    }

    /// Records an operation that is shared with its caller.
    ///
    /// # Errors
    /// As [`Tape::apply`].
    pub fn apply_shared(&mut self, op: Arc<dyn Op>, inputs: &[Var]) -> Result<Vec<Var>, Error> {
        let types: Vec<&TensorType> = inputs.iter().map(|input| self.ty(*input)).collect();
        let inferred = op.infer(&types)?;
        let requires_grad = inputs.iter().any(|input| self.tensors[input.0].requires_grad);
        let node = self.nodes.len();
        let outputs = inferred
            .into_iter()
            .enumerate()
            .map(|(output, ty)| {
                let name = format!("{}#{node}.{output}", op.name());
                self.push(name, ty, Origin::Computed { node, output }, requires_grad)
            })
            .collect::<Vec<_>>();
        self.nodes.push(Node { op, inputs: inputs.to_vec(), outputs: outputs.clone() });
        Ok(outputs)
    }

    /// Records an operation of one output.
    ///
    /// # Errors
    /// As [`Tape::apply`].
    pub fn apply1(&mut self, op: impl Op + 'static, inputs: &[Var]) -> Result<Var, Error> {
        Ok(self.apply(op, inputs)?[0])
    }

    /// Records the update of `updated` (weights, velocity) by `gradient` with `rates` (rates, scale) in one operation with
    /// the gradient itself, where that can be done ([`Op::with_update`]) and nothing reads what it computes yet: a gradient
    /// then has no value, other outputs stay the tensors they were. Otherwise records nothing and says so.
    ///
    /// # Errors
    /// As [`Tape::apply`].
    pub(crate) fn update_with_gradient(
        &mut self,
        gradient: Var,
        updated: [Var; 2],
        rates: [Var; 2],
    ) -> Result<bool, Error> {
        let Origin::Computed { node, output: 0 } = *self.origin(gradient) else { return Ok(false) };
        let reads = |reader: &Node| self.nodes[node].outputs.iter().any(|output| reader.inputs.contains(output));
        let (false, Some(both)) = (self.nodes.iter().any(reads), self.nodes[node].op.with_update()) else {
            return Ok(false);
        };
        let inputs = [&updated, self.nodes[node].inputs.as_slice(), &rates].concat();
        self.apply_shared(both, &inputs)?;
        let taken = self.nodes.remove(node);
        let recorded = self.nodes.last_mut().expect("just recorded");
        for (output, kept) in recorded.outputs.iter_mut().skip(updated.len()).zip(&taken.outputs[1..]) {
            self.tensors[output.0].origin = Origin::Nowhere;
            *output = *kept;
        }
        self.tensors[gradient.0].origin = Origin::Nowhere;
        self.number_outputs();
        Ok(true)
    }

    /// Sets the origin of each node's outputs, after nodes were moved.
    pub(super) fn number_outputs(&mut self) {
        for (node, recorded) in self.nodes.iter().enumerate() {
            for (output, var) in recorded.outputs.iter().enumerate() {
                self.tensors[var.0].origin = Origin::Computed { node, output };
            }
        }
    }

    /// Type of a tensor.
    pub fn ty(&self, var: Var) -> &TensorType {
        &self.tensors[var.0].ty
    }

    /// Name of a tensor.
    pub fn name(&self, var: Var) -> &str {
        &self.tensors[var.0].name
    }

    /// Where a tensor comes from.
    pub fn origin(&self, var: Var) -> &Origin {
        &self.tensors[var.0].origin
    }

    /// Whether gradients flow into a tensor.
    pub fn requires_grad(&self, var: Var) -> bool {
        self.tensors[var.0].requires_grad
    }

    /// All learned tensors, frozen ones included, in the order of their declaration.
    pub fn parameters(&self) -> Vec<Var> {
        self.vars().filter(|var| *self.origin(*var) == Origin::Parameter).collect()
    }

    /// All tensors.
    pub fn vars(&self) -> impl Iterator<Item = Var> + use<> {
        (0..self.tensors.len()).map(Var)
    }

    /// The recorded operations.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Calls `with` on the types around `node`.
    pub(crate) fn with_io<T>(&self, node: &Node, with: impl FnOnce(Io) -> T) -> T {
        let inputs: Vec<&TensorType> = node.inputs.iter().map(|var| self.ty(*var)).collect();
        let outputs: Vec<&TensorType> = node.outputs.iter().map(|var| self.ty(*var)).collect();
        with(Io { inputs: &inputs, outputs: &outputs })
    }
}
