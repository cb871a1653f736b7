//! One step of training or evaluation: forward, loss, metrics, and when training backward and update.

use std::sync::Arc;

use super::compile::Compiled;
use super::measure::{Mean, measures, name_measures};
use super::output::{Output, Room};
use super::repeats::Repeats;
use super::update::UpdatePlan;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::graph::Graph;
use crate::graph::plan::Plan;
use crate::graph::run::Pass;
use crate::graph::weights::Weights;
use crate::graph::workspace::Workspace;
use crate::kernels::elementwise;
use crate::kernels::memory::Buffer;
use crate::kernels::parallel::Par;
use crate::layer::{Mode, View};
use crate::losses::Loss;
use crate::models::Model;
use crate::shape::{Dims, MAX_RANK, Shape};

/// Everything a step needs besides the weights: built when a compiled model first meets targets of some shape, then kept.
#[derive(Debug)]
pub struct Trainer {
    /// The graph with its outputs cut before their last activation, where the loss prefers logits.
    graph: Graph,
    pub(super) outputs: Vec<Output>,
    /// Shapes of the targets it was built for.
    targets: Vec<Dims>,
    update: UpdatePlan,
    plans: Vec<(Vec<Dims>, Mode, Arc<Plan>)>,
    train: Workspace,
    infer: Workspace,
    dw: Buffer,
    repeats: Repeats,
    /// The states that some tests started from, carried from batch to batch; only with stateful layers.
    carried: Option<Buffer>,
    room: Room,
    pub(super) total: Mean,
}

/// A batch, one slice an input, target and (optional) weight of a target.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Inputs.
    pub x: &'a [&'a [Float]],
    /// Shapes of one sample of the inputs.
    pub x_dims: &'a [Dims],
    /// Targets.
    pub y: &'a [&'a [Float]],
    /// Sample weights of each target: one number a sample or one a position.
    pub weights: &'a [&'a [Float]],
    /// Number of samples.
    pub size: usize,
}

/// What a training step may change, and its circumstances.
#[derive(Debug)]
pub struct Step<'a> {
    /// The weights.
    pub weights: &'a mut Weights,
    /// Optimizer and its memory.
    pub compiled: &'a mut Compiled,
    /// Seed of the model.
    pub seed: u64,
    /// Threads.
    pub par: Par,
}

impl Trainer {
    /// For a model that is built and compiled, and targets of these shapes.
    ///
    /// # Errors
    /// If a loss or metric does not fit the shapes.
    pub fn new(model: &Model, compiled: &Compiled, targets: &[Dims]) -> Result<Trainer> {
        let n = model.graph.outputs.len();
        if targets.len() != n {
            return Err(
                Error::shape(format!("{n} target arrays, one an output"), targets.len())
                    .owned_by("y"),
            );
        }
        let mut graph = model.graph.clone();
        let names = model.output_names();
        let losses = compiled.losses.resolve("loss", &names)?;
        let weights = match &compiled.loss_weights {
            Some(weights) => weights.resolve("loss_weights", &names)?,
            None => vec![None; n],
        };
        let metrics = compiled.metrics.resolve("metrics", &names)?;
        let weighted = compiled
            .weighted_metrics
            .resolve("weighted_metrics", &names)?;
        let (mut outputs, mut measured) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for (i, target) in targets.iter().enumerate() {
            let (target, name) = (Shape::from(*target), names[i].clone());
            let shape = graph.values[graph.outputs[i]].clone();
            let prefix = if n > 1 {
                format!("{name}_")
            } else {
                String::new()
            };
            let resolve = |loss: &Arc<dyn Loss>| match loss.resolve(&target, &shape) {
                Some(loss) => loss,
                None => loss.clone(),
            };
            let loss = losses[i].map(resolve);
            if let Some(loss) = &loss {
                loss.check(&target, &shape)
                    .map_err(|e| e.owned_by(loss.class_name()))?;
            }
            measured.push(measures(metrics[i], weighted[i], &target, &shape, &prefix)?);
            let weight = weights[i].copied().unwrap_or(1.0);
            let mut output = Output::new(loss, weight, name);
            if let Some((cut, head)) = graph.with_logits(i)
                && output.cut(head, &mut measured[i])
            {
                graph = cut;
            }
            outputs.push(output);
        }
        name_measures(&mut measured);
        for (output, metrics) in outputs.iter_mut().zip(measured) {
            output.metrics = metrics;
        }
        Ok(Trainer {
            update: UpdatePlan::new(&graph, &compiled.optimizer)?,
            dw: Buffer::zeros(graph.params_len),
            repeats: Repeats::default(),
            graph,
            outputs,
            targets: targets.to_vec(),
            plans: Vec::new(),
            train: Workspace::default(),
            infer: Workspace::default(),
            carried: None,
            room: Room::default(),
            total: Mean::default(),
        })
    }

    /// Whether it was built for targets of these shapes.
    pub fn fits(&self, targets: &[Dims]) -> bool {
        self.targets == targets
    }

    /// Whether the loss can use these targets.
    ///
    /// # Errors
    /// Names the first that it cannot.
    pub fn check_targets(&self, y: &[crate::tensor::Tensor<'_>]) -> Result<()> {
        for (i, y) in y.iter().enumerate().take(self.outputs.len()) {
            let shape = &y.sample();
            self.check_target(
                i,
                View {
                    data: y.data(),
                    shape,
                    batch: y.batch(),
                },
            )?;
        }
        Ok(())
    }

    /// The same of the targets of one output.
    ///
    /// # Errors
    /// Names the first that it cannot use.
    pub fn check_target(&self, output: usize, y: View<'_>) -> Result<()> {
        let Some(loss) = &self.outputs[output].loss else {
            return Ok(());
        };
        let mut dims = [0; MAX_RANK + 1];
        let shape = self.graph.values[self.graph.outputs[output]].dims();
        for (dim, size) in dims.iter_mut().zip(shape) {
            *dim = size.unwrap_or(0);
        }
        loss.check_targets(y, &dims[..shape.len()])
    }

    /// Goes on with targets of other shapes: sequences that are longer in one batch than in another.
    ///
    /// # Errors
    /// If a loss does not fit the shapes, or their number or ranks are not those it was built for.
    pub fn retarget(&mut self, targets: &[Dims]) -> Result<()> {
        if self.targets == targets {
            return Ok(());
        }
        let ranks = self
            .targets
            .iter()
            .zip(targets)
            .all(|(a, b)| a.len() == b.len());
        if targets.len() != self.targets.len() || !ranks {
            let want = format!("targets like those before, of shapes {:?}", self.targets);
            return Err(Error::shape(want, format!("{targets:?}")).owned_by("y"));
        }
        for ((output, target), &value) in self.outputs.iter().zip(targets).zip(&self.graph.outputs)
        {
            if let Some(loss) = &output.loss {
                loss.check(&Shape::from(*target), &self.graph.values[value])
                    .map_err(|e| e.owned_by(loss.class_name()))?;
            }
        }
        self.targets.copy_from_slice(targets);
        Ok(())
    }

    /// Number of weights of one sample at each output, for weights by position; `None` where the loss judges samples together and
    /// can weigh none.
    pub fn positions(&self, output: usize, x_dims: &[Dims]) -> Result<Option<usize>> {
        let plan = Plan::new(&self.graph, x_dims, Mode::Infer)?;
        let dims = plan.dims[plan.outputs[output]];
        let Some(loss) = &self.outputs[output].loss else {
            return Ok(Some(dims.without_last().numel()));
        };
        // A batch of a size that is no axis: do the values begin with it?
        const ODD: usize = 1_000_003;
        let shape = loss.values_shape(ODD, &self.targets[output], &dims);
        Ok(match shape.first() {
            None => Some(1),
            Some(&ODD) => Some(loss.values_shape(1, &self.targets[output], &dims).numel()),
            Some(_) => None,
        })
    }

    /// Rough number of multiplications of a step, for deciding about threads.
    pub fn work(&mut self, x_dims: &[Dims], batch: usize) -> Result<usize> {
        Ok(self.plan(x_dims, Mode::Train)?.work * batch)
    }

    fn plan(&mut self, x_dims: &[Dims], mode: Mode) -> Result<Arc<Plan>> {
        if let Some(i) = self
            .plans
            .iter()
            .position(|(d, m, _)| d == x_dims && *m == mode)
        {
            return Ok(self.plans[i].2.clone());
        }
        let plan = Arc::new(Plan::new(&self.graph, x_dims, mode)?);
        // Another shape needs another layout of memory: one plan of each mode is kept.
        self.plans.retain(|(_, m, _)| *m != mode);
        self.plans.push((x_dims.to_vec(), mode, plan.clone()));
        match mode {
            Mode::Train => self.train = Workspace::default(),
            Mode::Infer => self.infer = Workspace::default(),
        }
        Ok(plan)
    }

    /// At the end of `fit`: see [`UpdatePlan::finalize`].
    pub fn finalize(&self, compiled: &mut Compiled, weights: &mut Weights) {
        self.update.finalize(&mut compiled.state, weights);
    }

    /// Forgets losses and metrics: at the beginning of an epoch.
    pub fn reset(&mut self) {
        self.total = Mean::default();
        for output in &mut self.outputs {
            output.total = Mean::default();
            output.metrics.iter_mut().for_each(|m| m.metric.reset());
        }
    }

    /// Trains on a batch; its loss.
    ///
    /// # Errors
    /// If a layer refuses the shapes.
    pub fn train(&mut self, batch: Batch<'_>, step: Step<'_>) -> Result<f64> {
        let plan = self.plan(batch.x_dims, Mode::Train)?;
        let Step {
            weights,
            compiled,
            seed,
            par,
        } = step;
        let optimizer = &compiled.optimizer;
        compiled.state.reserve(optimizer, &self.graph, weights)?;
        let scale = compiled.state.loss_scale(optimizer.as_ref());
        let mut ws = std::mem::take(&mut self.train);
        ws.reserve(&plan, batch.size);
        let graph = std::mem::take(&mut self.graph);
        let (params, state) = (&mut weights.params, &mut weights.state);
        Pass::prepare(&graph, &plan, &mut ws, params, state);
        let pass = Pass {
            graph: &graph,
            plan: &plan,
            params: &weights.params,
            state: &weights.state,
            inputs: batch.x,
            batch: batch.size,
            mode: Mode::Train,
            seed,
            step: compiled.state.steps,
            loss_scale: scale as Float,
            par,
        };
        pass.forward(&mut ws);
        let mut loss = ws.penalty + self.update.penalty(&graph, weights);
        for i in 0..self.outputs.len() {
            loss += self.measure(i, &pass, &mut ws, &batch, Some(scale));
        }
        let mut dw = std::mem::take(&mut self.dw);
        ws.lookups.keep = self.update.keeps_lookups();
        pass.backward(&mut ws, &mut dw);
        self.update
            .add_penalty_grads(&graph, weights, &mut dw, scale);
        self.update.apply(
            &graph,
            optimizer.as_ref(),
            &mut compiled.state,
            weights,
            &mut dw,
            (&mut ws.lookups, &mut self.repeats),
            par,
        );
        Pass::update_state(&graph, &plan, &ws, &mut weights.state);
        self.total.add(loss, batch.size);
        (self.graph, self.train, self.dw) = (graph, ws, dw);
        Ok(loss)
    }

    /// Before the first of some batches that are measured: stateful layers start from the model's states.
    pub fn begin_tests(&mut self, weights: &Weights) {
        self.carried = self.graph.stateful().map(|_| weights.state.clone());
    }

    /// Measures a batch without training; its loss.
    ///
    /// # Errors
    /// If a layer refuses the shapes.
    pub fn test(&mut self, batch: Batch<'_>, weights: &Weights, par: Par) -> Result<f64> {
        let plan = self.plan(batch.x_dims, Mode::Infer)?;
        let mut ws = std::mem::take(&mut self.infer);
        ws.reserve(&plan, batch.size);
        let graph = std::mem::take(&mut self.graph);
        let mut carried = self.carried.take();
        let pass = Pass {
            graph: &graph,
            plan: &plan,
            params: &weights.params,
            state: carried.as_ref().unwrap_or(&weights.state),
            inputs: batch.x,
            batch: batch.size,
            mode: Mode::Infer,
            seed: 0,
            step: 0,
            loss_scale: 1.0,
            par,
        };
        pass.forward(&mut ws);
        let mut loss = ws.penalty + self.update.penalty(&graph, weights);
        for i in 0..self.outputs.len() {
            loss += self.measure(i, &pass, &mut ws, &batch, None);
        }
        if let Some(state) = &mut carried {
            Pass::update_state(&graph, &plan, &ws, state);
        }
        self.carried = carried;
        self.total.add(loss, batch.size);
        (self.graph, self.infer) = (graph, ws);
        Ok(loss)
    }

    /// The weighted loss at one output; metrics are updated, and with `scale` the gradient times it is left at the output.
    fn measure(
        &mut self,
        i: usize,
        pass: &Pass<'_>,
        ws: &mut Workspace,
        batch: &Batch<'_>,
        scale: Option<f64>,
    ) -> f64 {
        let (output, room) = (&mut self.outputs[i], &mut self.room);
        let y_true = View {
            data: batch.y[i],
            shape: &self.targets[i],
            batch: batch.size,
        };
        let weight = batch.weights.get(i).copied();
        let mask = pass.output_mask(i, ws).map(|m| m.data);
        let y_pred = pass.output(i, ws);
        output.activate(y_pred, room);
        let value = output.loss(y_true, y_pred, mask, weight, room);
        output.update_metrics(y_true, y_pred, mask, weight, room);
        if let Some(scale) = scale
            && let Some((y_pred, mut dy)) = pass.output_grad(i, ws)
        {
            // A value that is an output twice gets both gradients.
            let again = pass.plan.outputs[..i].contains(&pass.plan.outputs[i]);
            output.grad(y_true, y_pred, scale, again, &mut dy, room);
        }
        value
    }

    /// Adds `(name, value, values)` of the loss and every metric, in Keras's order; `values` is empty but for metrics that have
    /// several.
    pub fn results(&self, mut add: impl FnMut(&str, f64, &[f64])) {
        add("loss", self.total.get(), &[]);
        if self.outputs.len() > 1 {
            self.outputs
                .iter()
                .filter(|o| o.loss.is_some())
                .for_each(|o| add(&format!("{}_loss", o.name), o.total.get(), &[]));
        }
        for weighted in [false, true] {
            let all = self.outputs.iter().flat_map(|o| &o.metrics);
            for measure in all.filter(|m| m.weighted == weighted) {
                let metric = &measure.metric;
                add(&measure.name, metric.result(), &metric.results());
            }
        }
    }

    /// Name and class of every metric.
    pub fn metrics(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let all = self.outputs.iter().flat_map(|o| &o.metrics);
        all.map(|m| (m.name.as_str(), m.metric.class_name()))
    }

    /// Where the last training step first met a value that is not finite: the output or else the gradient of a layer.
    pub fn first_non_finite(&self, batch: &Batch<'_>, weights: &Weights) -> String {
        let plan = self
            .plans
            .iter()
            .find(|(_, m, _)| *m == Mode::Train)
            .map(|(_, _, plan)| plan.clone());
        if batch.x.iter().any(|x| !elementwise::all_finite(x)) {
            return "the input".into();
        }
        if batch.y.iter().any(|y| !elementwise::all_finite(y)) {
            return "a target".into();
        }
        let Some(plan) = plan else {
            return "the loss".into();
        };
        let pass = Pass {
            graph: &self.graph,
            plan: &plan,
            params: &weights.params,
            state: &weights.state,
            inputs: batch.x,
            batch: batch.size,
            mode: Mode::Train,
            seed: 0,
            step: 0,
            loss_scale: 1.0,
            par: Par::Serial,
        };
        if let Some(layer) = pass.first_non_finite(&self.train) {
            return format!("the output of layer `{layer}`");
        }
        // Backward runs from the last layer to the first: the last one is where it began.
        let bad = |e: &&crate::graph::Entry| !elementwise::all_finite(&self.dw[e.params.clone()]);
        match self.graph.entries.iter().rev().find(bad) {
            Some(entry) => format!("the gradient of layer `{}`", entry.name),
            None => "the loss".into(),
        }
    }
}
