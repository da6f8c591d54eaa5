//! When operations run: updates as soon as they can.

use super::Tape;

impl Tape {
    /// Moves each operation that overwrites an input to right after the last one that it must follow: those that compute
    /// what it reads, and those that read what it overwrites. Updates recorded at the end of a training step then run as
    /// soon as their gradient is there and their parameter is not needed any more, and the gradient's memory is free for
    /// what follows. Results do not change.
    pub fn hoist_updates(&mut self) {
        let mut order: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let overwritten: Vec<_> = node.op.in_place().iter().map(|(_, input)| node.inputs[*input]).collect();
            let after = |before: &usize| {
                let before = &self.nodes[*before];
                let computes = before.outputs.iter().any(|output| node.inputs.contains(output));
                let reads = before.inputs.iter().any(|input| overwritten.contains(input));
                computes || reads
            };
            let place = match overwritten.is_empty() {
                true => order.len(),
                false => order.iter().rposition(after).map_or(0, |last| last + 1),
            };
            order.insert(place, index);
        }
        let nodes = std::mem::take(&mut self.nodes);
        self.nodes = order.into_iter().map(|index| nodes[index].clone()).collect();
        self.number_outputs();
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::{Multiply, Relu, Sgd, SgdRates, Sum};
    use crate::tape::{Origin, Tape, TensorType, Var, evaluate};
    use std::collections::HashMap;

    /// loss = Σ relu(a·x)·b, with an update of a and of b at the end.
    fn step() -> (Tape, [Var; 4]) {
        let mut tape = Tape::new();
        let ty = TensorType::f32(&[4]);
        let x = tape.input("x", ty.clone());
        let rates = tape.input("rates", TensorType::f32(&[4]));
        let [a, b] = ["a", "b"].map(|name| tape.parameter(name, ty.clone()));
        let hidden = tape.apply1(Multiply, &[a, x]).unwrap();
        let open = tape.apply1(Relu, &[hidden]).unwrap();
        let product = tape.apply1(Multiply, &[open, b]).unwrap();
        let loss = tape.apply1(Sum, &[product]).unwrap();
        let gradients = tape.backward(loss).unwrap();
        for parameter in [a, b] {
            Sgd::record(&mut tape, parameter, gradients[&parameter], rates, 1.0).unwrap();
        }
        (tape, [x, rates, a, b])
    }

    fn names(tape: &Tape) -> Vec<&'static str> {
        tape.nodes().iter().map(|node| node.op.name()).collect()
    }

    #[test]
    fn updates_follow_their_gradient_and_the_last_reader_of_their_parameter() {
        let (mut tape, [_, _, a, b]) = step();
        assert_eq!(names(&tape)[names(&tape).len() - 2..], ["sgd", "sgd"]);
        tape.hoist_updates();
        let update_of = |parameter: Var| {
            tape.nodes().iter().position(|node| node.op.name() == "sgd" && node.inputs[0] == parameter).unwrap()
        };
        // b is last read where its factor's gradient is computed; only a's gradient is left to do then.
        assert!(update_of(b) < update_of(a));
        for parameter in [a, b] {
            let readers = tape.nodes().iter().enumerate().filter(|(_, node)| node.inputs.contains(&parameter));
            assert_eq!(readers.map(|(at, _)| at).max(), Some(update_of(parameter)));
        }
        assert_eq!(update_of(a), tape.nodes().len() - 1);
    }

    #[test]
    fn results_and_origins_stay() {
        let (recorded, [x, rates, a, b]) = step();
        let mut hoisted = recorded.clone();
        hoisted.hoist_updates();
        let momentum = SgdRates { learning_rate: 0.1, momentum: 0.5, weight_decay: 0.25 };
        let given: HashMap<Var, Vec<f64>> = HashMap::from([
            (x, vec![1.0, -2.0, 3.0, 0.5]),
            (rates, momentum.values().map(f64::from).to_vec()),
            (a, vec![0.5, 1.0, -1.0, 2.0]),
            (b, vec![2.0, 1.0, 0.5, -1.0]),
        ]);
        let [before, after] = [&recorded, &hoisted].map(|tape| {
            let states = tape.vars().filter(|var| *tape.origin(*var) == Origin::State);
            let given = given.clone().into_iter().chain(states.map(|var| (var, vec![0.25; 4]))).collect();
            evaluate(tape, &given).unwrap()
        });
        assert_eq!(before, after);
        for var in hoisted.vars() {
            if let Origin::Computed { node, output } = hoisted.origin(var) {
                assert_eq!(hoisted.nodes()[*node].outputs[*output], var);
            }
        }
    }
}
