//! The engine on graphs that `Sequential` does not make: shared layers, fan-out, a value used twice, several outputs.

use super::plan::Plan;
use super::run::Pass;
use super::weights::Weights;
use super::workspace::Workspace;
use super::*;
use crate::Float;
use crate::config::Config;
use crate::layer::{Backward, Contract, Forward, Mode, Par};
use crate::shape::Dims;

/// `y0 = x0 * x1`, `y1 = x0 + x1`.
#[derive(Debug)]
struct ProductAndSum;

impl Layer for ProductAndSum {
    fn class_name(&self) -> &'static str {
        "ProductAndSum"
    }
    fn config(&self) -> Config {
        Config::new()
    }
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }
    fn more_outputs(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(vec![inputs[0].clone()])
    }
    fn forward(&self, cx: Forward<'_>) {
        let sum = &mut cx.more[0].data;
        for (i, (a, b)) in cx.x[0].data.iter().zip(cx.x[1].data).enumerate() {
            (cx.y.data[i], sum[i]) = (a * b, a + b);
        }
    }
    fn backward(&self, cx: Backward<'_>) {
        let dsum = &cx.dmore[0].data;
        for input in 0..2 {
            let other = cx.x[1 - input].data;
            if let Some(dx) = &mut cx.dx[input] {
                for (i, dx) in dx.data.iter_mut().enumerate() {
                    *dx = cx.dy.data[i] * other[i] + dsum[i];
                }
            }
        }
    }
}

/// `y = x^2` in place: needs a copy where `x` may not be destroyed.
#[derive(Debug)]
struct Square;

impl Layer for Square {
    fn class_name(&self) -> &'static str {
        "Square"
    }
    fn config(&self) -> Config {
        Config::new()
    }
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }
    fn contract(&self) -> Contract {
        Contract {
            in_place: true,
            ..Contract::default()
        }
    }
    fn forward(&self, cx: Forward<'_>) {
        cx.y.data.iter_mut().for_each(|y| *y *= *y);
    }
    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            dx.data
                .iter_mut()
                .zip(cx.x[0].data)
                .for_each(|(dx, x)| *dx *= 2.0 * x);
        }
    }
}

/// Two towers with one layer, its values used in several places; the sum output is used once as an output and once inside.
fn siamese() -> Graph {
    let mut graph = Graph::default();
    let (a, b) = (graph.input([3].into()), graph.input([3].into()));
    let tower = graph
        .add_layer(
            &crate::layers::Dense::new(4).activation("tanh").into(),
            None,
            "tower",
            &[[3].into()],
        )
        .unwrap();
    let (ta, tb) = (
        graph.call(tower, &[a]).unwrap()[0],
        graph.call(tower, &[b]).unwrap()[0],
    );
    let both = graph
        .add_layer(
            &ProductAndSum.into(),
            None,
            "both",
            &[[4].into(), [4].into()],
        )
        .unwrap();
    let (product, sum) = {
        let outputs = graph.call(both, &[ta, tb]).unwrap();
        (outputs[0], outputs[1])
    };
    let square = graph
        .add_layer(&Square.into(), None, "square", &[[4].into()])
        .unwrap();
    let squared = graph.call(square, &[sum]).unwrap()[0];
    let twice = graph
        .add_layer(
            &ProductAndSum.into(),
            None,
            "twice",
            &[[4].into(), [4].into()],
        )
        .unwrap();
    let last = graph.call(twice, &[product, product]).unwrap();
    graph.outputs = vec![squared, last[0], sum, ta];
    graph
}

struct Bench {
    graph: Graph,
    weights: Weights,
    x: [Vec<Float>; 2],
    dy: Vec<Vec<Float>>,
}

const BATCH: usize = 5;

impl Bench {
    fn new() -> Self {
        let graph = siamese();
        let mut rng = crate::random::Rng::new(3);
        let mut random = |n: usize| (0..n).map(|_| rng.normal()).collect::<Vec<Float>>();
        let x = [random(3 * BATCH), random(3 * BATCH)];
        let dy = (0..4).map(|_| random(4 * BATCH)).collect();
        Bench {
            weights: Weights::new(&graph, 1).unwrap(),
            graph,
            x,
            dy,
        }
    }

    fn pass<R>(
        &self,
        params: &[Float],
        mode: Mode,
        plan: &Plan,
        f: impl FnOnce(&Pass<'_>) -> R,
    ) -> R {
        let inputs = [&self.x[0][..], &self.x[1][..]];
        let (graph, state) = (&self.graph, &self.weights.state[..]);
        f(&Pass {
            graph,
            plan,
            params,
            state,
            inputs: &inputs,
            batch: BATCH,
            mode,
            seed: 0,
            step: 0,
            loss_scale: 1.0,
            par: Par::Serial,
        })
    }

    fn outputs(&self, params: &[Float], mode: Mode) -> Vec<Vec<Float>> {
        let plan = Plan::new(&self.graph, &[Dims::from([3]); 2], mode).unwrap();
        let mut ws = Workspace::default();
        ws.reserve(&plan, BATCH + 3);
        self.pass(params, mode, &plan, |pass| {
            pass.forward(&mut ws);
            (0..4).map(|i| pass.output(i, &ws).data.to_vec()).collect()
        })
    }

    fn loss(&self, params: &[Float]) -> f64 {
        let outputs = self.outputs(params, Mode::Train);
        outputs
            .iter()
            .flatten()
            .zip(self.dy.iter().flatten())
            .map(|(y, d)| f64::from(*y) * f64::from(*d))
            .sum()
    }
}

#[test]
fn gradients_through_shared_layers_and_fan_out() {
    let bench = Bench::new();
    let plan = Plan::new(&bench.graph, &[Dims::from([3]); 2], Mode::Train).unwrap();
    let mut ws = Workspace::default();
    ws.reserve(&plan, BATCH + 3);
    let mut dw = vec![Float::NAN; bench.graph.params_len];
    bench.pass(&bench.weights.params, Mode::Train, &plan, |pass| {
        // Twice: what one step leaves behind must not reach the next.
        for _ in 0..2 {
            pass.forward(&mut ws);
            for (i, dy) in bench.dy.iter().enumerate() {
                pass.output_grad(i, &mut ws)
                    .unwrap()
                    .1
                    .data
                    .copy_from_slice(dy);
            }
            pass.backward(&mut ws, &mut dw);
        }
    });
    let (h, tolerance) = if size_of::<Float>() == 8 {
        (1e-5, 1e-6)
    } else {
        (1e-2, 2e-2)
    };
    for i in 0..16 {
        let moved = |by: f64| {
            let mut params = bench.weights.params.to_vec();
            params[i] += by as Float;
            bench.loss(&params)
        };
        let want = (moved(h) - moved(-h)) / (2.0 * h);
        assert!(
            (f64::from(dw[i]) - want).abs() <= tolerance * (1.0 + want.abs()),
            "dw[{i}] is {}, differences say {want}",
            dw[i]
        );
    }
}

#[test]
fn inference_reuses_slots_and_gives_the_same() {
    let bench = Bench::new();
    assert_eq!(
        bench.outputs(&bench.weights.params, Mode::Train),
        bench.outputs(&bench.weights.params, Mode::Infer)
    );
    // A chain of fifty needs few slots.
    let mut graph = Graph::default();
    let mut value = graph.input([8].into());
    for i in 0..50 {
        let layer = graph
            .add_layer(
                &crate::layers::Dense::new(8).into(),
                None,
                &format!("dense_{i}"),
                &[[8].into()],
            )
            .unwrap();
        value = graph.call(layer, &[value]).unwrap()[0];
    }
    graph.outputs = vec![value];
    assert_eq!(
        Plan::new(&graph, &[Dims::from([8])], Mode::Infer)
            .unwrap()
            .slots
            .len(),
        2
    );
    assert!(
        Plan::new(&graph, &[Dims::from([8])], Mode::Train)
            .unwrap()
            .grad_slots
            .len()
            <= 2
    );
}

#[test]
fn frozen_layers_cost_no_backward() {
    let mut graph = siamese();
    graph.entries[0].trainable = false;
    let plan = Plan::new(&graph, &[Dims::from([3]); 2], Mode::Train).unwrap();
    assert!(plan.steps.iter().all(|s| !s.backward) && plan.grad_slots.is_empty());
}

#[test]
fn a_shared_layer_needs_inputs_of_one_shape() {
    let mut graph = Graph::default();
    let (a, b) = (graph.input([3].into()), graph.input([2].into()));
    let layer = graph
        .add_layer(
            &crate::layers::Dense::new(4).into(),
            None,
            "dense",
            &[[3].into()],
        )
        .unwrap();
    graph.call(layer, &[a]).unwrap();
    let e = graph.call(layer, &[b]).unwrap_err().to_string();
    assert!(
        e.starts_with("dense: expected (None, 3) as at its first call"),
        "{e}"
    );
}
