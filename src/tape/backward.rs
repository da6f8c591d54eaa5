//! Reverse-mode differentiation: appends gradient operations to the tape.

use super::{Error, Gradient, Tape, Var};
use crate::ops;
use std::collections::HashMap;

impl Tape {
    /// Appends the operations that compute ∂`loss`/∂v for every parameter and differentiable input v on which `loss`
    /// depends, and returns the gradient of each. Nodes are visited in reverse order of recording, which is a reverse
    /// topological order; a tensor that several nodes read gets the sum of their contributions, added in the order of
    /// the visit, so that the result does not depend on anything but the tape.
    ///
    /// # Errors
    /// [`Error::NotScalar`], or [`Error::NotDifferentiable`] when a needed operation has no rule.
    pub fn backward(&mut self, loss: Var) -> Result<HashMap<Var, Var>, Error> {
        if self.ty(loss).elements() != 1 {
            return Err(Error::NotScalar { name: self.name(loss).into(), dims: self.ty(loss).dims.clone() });
        }
        let dims = self.ty(loss).dims.clone();
        let one = self.constant("∂loss/∂loss", &dims, vec![1.0]);
        let mut gradients = HashMap::from([(loss, one)]);
        for index in (0..self.nodes.len()).rev() {
            let node = self.nodes[index].clone();
            let upstream: Vec<Option<Var>> = node.outputs.iter().map(|output| gradients.get(output).copied()).collect();
            let wanted: Vec<bool> = node.inputs.iter().map(|input| self.requires_grad(*input)).collect();
            if upstream.iter().all(Option::is_none) || !wanted.contains(&true) {
                continue;
            }
            let contributions = node.op.backward(
                self,
                &Gradient { inputs: &node.inputs, outputs: &node.outputs, upstream: &upstream, wanted: &wanted },
            )?;
            for ((input, wanted), contribution) in node.inputs.iter().zip(wanted).zip(contributions) {
                let Some(contribution) = contribution.filter(|_| wanted) else { continue };
                let total = match gradients.get(input) {
                    None => contribution,
                    Some(before) => self.apply1(ops::Add, &[*before, contribution])?,
                };
                gradients.insert(*input, total);
            }
        }
        gradients
            .retain(|var, _| self.requires_grad(*var) && !matches!(self.origin(*var), super::Origin::Computed { .. }));
        Ok(gradients)
    }
}
