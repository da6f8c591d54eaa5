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

#[cfg(test)]
mod tests {
    use crate::ops::{Add, Broadcast, MaxPool, Multiply, Relu, Sum};
    use crate::tape::{Error, Tape, TensorType, Var, evaluate};
    use std::collections::HashMap;

    /// A vector of three as input or parameter.
    fn vector() -> TensorType {
        TensorType::f32(&[3])
    }

    fn values(tape: &Tape, given: &[(Var, [f64; 3])], wanted: Var) -> Vec<f64> {
        let given: HashMap<Var, Vec<f64>> = given.iter().map(|(var, values)| (*var, values.to_vec())).collect();
        evaluate(tape, &given).unwrap().swap_remove(wanted.index())
    }

    #[test]
    fn a_tensor_read_twice_by_one_node_gets_both_contributions() {
        // loss = Σ x·x, gradient 2x.
        let mut tape = Tape::new();
        let x = tape.differentiable_input("x", vector());
        let square = tape.apply1(Multiply, &[x, x]).unwrap();
        let loss = tape.apply1(Sum, &[square]).unwrap();
        let gradients = tape.backward(loss).unwrap();
        assert_eq!(values(&tape, &[(x, [1.0, -2.0, 3.0])], gradients[&x]), [2.0, -4.0, 6.0]);
    }

    #[test]
    fn branches_and_skips_accumulate() {
        // y = x·w; z = relu(y) + y + x (a branch and a skip); loss = Σ z·w.
        // ∂/∂x = w·(w·[y > 0] + w + 1), ∂/∂w = w·(x·[y > 0] + x) + z.
        let mut tape = Tape::new();
        let x = tape.differentiable_input("x", vector());
        let w = tape.parameter("w", vector());
        let y = tape.apply1(Multiply, &[x, w]).unwrap();
        let branch = tape.apply1(Relu, &[y]).unwrap();
        let sum = tape.apply1(Add, &[branch, y]).unwrap();
        let z = tape.apply1(Add, &[sum, x]).unwrap();
        let weighted = tape.apply1(Multiply, &[z, w]).unwrap();
        let loss = tape.apply1(Sum, &[weighted]).unwrap();
        let gradients = tape.backward(loss).unwrap();
        let given = [(x, [2.0, -1.0, 3.0]), (w, [0.5, 2.0, -1.0])];
        // y = (1, −2, −3)
        assert_eq!(values(&tape, &given, gradients[&x]), [0.5 * 2.0, 2.0 * 3.0, 0.0]);
        assert_eq!(values(&tape, &given, gradients[&w]), [2.0 + 4.0, -2.0 - 3.0, -3.0 + 0.0]);
    }

    #[test]
    fn frozen_parameters_and_plain_inputs_get_no_gradient_and_no_work() {
        let mut tape = Tape::new();
        let x = tape.input("x", vector());
        let frozen = tape.frozen_parameter("frozen", vector());
        let learned = tape.parameter("learned", vector());
        let stem = tape.apply1(Multiply, &[x, frozen]).unwrap();
        let product = tape.apply1(Multiply, &[stem, learned]).unwrap();
        let loss = tape.apply1(Sum, &[product]).unwrap();
        let forward_nodes = tape.nodes().len();
        let gradients = tape.backward(loss).unwrap();
        assert_eq!(gradients.keys().copied().collect::<Vec<_>>(), [learned]);
        // The broadcast of the sum's gradient and one product: nothing below the learned parameter.
        assert_eq!(tape.nodes().len() - forward_nodes, 2);
    }

    #[test]
    fn a_tensor_that_the_loss_does_not_depend_on_is_left_out() {
        let mut tape = Tape::new();
        let used = tape.parameter("used", vector());
        let unused = tape.parameter("unused", vector());
        tape.apply1(Relu, &[unused]).unwrap();
        let loss = tape.apply1(Sum, &[used]).unwrap();
        let gradients = tape.backward(loss).unwrap();
        assert!(gradients.contains_key(&used) && !gradients.contains_key(&unused));
    }

    #[test]
    fn gradients_of_gradients_where_rules_have_rules() {
        // loss = Σ x·x·x; d/dx Σ (3x²) = 6x.
        let mut tape = Tape::new();
        let x = tape.differentiable_input("x", vector());
        let square = tape.apply1(Multiply, &[x, x]).unwrap();
        let cube = tape.apply1(Multiply, &[square, x]).unwrap();
        let loss = tape.apply1(Sum, &[cube]).unwrap();
        let first = tape.backward(loss).unwrap()[&x];
        let total = tape.apply1(Sum, &[first]).unwrap();
        let second = tape.backward(total).unwrap()[&x];
        let given = [(x, [1.0, -2.0, 0.5])];
        assert_eq!(values(&tape, &given, first), [3.0, 12.0, 0.75]);
        assert_eq!(values(&tape, &given, second), [6.0, -12.0, 3.0]);
    }

    #[test]
    fn what_cannot_be_differentiated_is_said() {
        let mut tape = Tape::new();
        let x = tape.differentiable_input("x", TensorType::f32(&[1, 2, 2, 4]));
        let message = tape.backward(x).unwrap_err().to_string();
        assert!(message.contains("[1, 2, 2, 4]") && message.contains("reduce"), "{message}");
        let pooled = tape.apply(MaxPool, &[x]).unwrap()[0];
        let loss = tape.apply1(Sum, &[pooled]).unwrap();
        let gradient = tape.backward(loss).unwrap()[&x];
        let total = tape.apply1(Sum, &[gradient]).unwrap();
        assert!(matches!(tape.backward(total), Err(Error::NotDifferentiable { op: "max_pool_grad" })));
        assert!(tape.apply1(Broadcast { dims: vec![2] }, &[x]).is_err());
    }
}
