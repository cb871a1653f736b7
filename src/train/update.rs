//! From gradients to weights: scaling, accumulation, regularizers, clipping, decay, the optimizer's pass, constraints, averaging.
//! Everything that Keras gives every optimizer is here, once.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::float::Float;
use crate::graph::Graph;
use crate::graph::weights::{Var, Weights, trainable_runs};
use crate::kernels::elementwise;
use crate::kernels::memory::Buffer;
use crate::kernels::parallel::Par;
use crate::layer::Kind;
use crate::optimizers::{self, Common, Optimizer, Tick};

/// What an optimizer remembers between steps.
#[derive(Clone, Debug)]
pub struct OptimizerState {
    /// Steps made (Keras's `iteration` variable); with accumulation, not every step is an update.
    pub steps: u64,
    /// Learning rate of the next update.
    pub learning_rate: f64,
    /// One array a slot, in the layout of the weights.
    pub slots: Vec<Buffer>,
    /// Moving average of the weights.
    pub average: Option<Buffer>,
    /// Sum of gradients on the way to the next update.
    pub accumulated: Option<Buffer>,
}

impl OptimizerState {
    /// Before the first step. The rate is kept with the precision it has in Keras and in files.
    pub fn new(learning_rate: f64) -> Self {
        OptimizerState {
            steps: 0,
            learning_rate: f64::from(learning_rate as f32),
            slots: Vec::new(),
            average: None,
            accumulated: None,
        }
    }

    /// Makes the slots for weights of this length, if they do not exist.
    pub fn reserve(&mut self, optimizer: &dyn Optimizer, weights: &Weights) {
        let len = weights.params.len();
        if self.slots.len() != optimizer.slots().len() || self.slots.iter().any(|s| s.len() != len)
        {
            self.slots = (0..optimizer.slots().len())
                .map(|slot| {
                    let mut buffer = Buffer::zeros(len);
                    buffer.fill(optimizer.initial(slot));
                    buffer
                })
                .collect();
        }
        let common = optimizer.common();
        if common.use_ema && self.average.is_none() {
            self.average = Some(Buffer::zeros(len));
        }
        if common.gradient_accumulation_steps.is_some() && self.accumulated.is_none() {
            self.accumulated = Some(Buffer::zeros(len));
        }
    }
}

/// What an update needs of the graph, found once.
#[derive(Debug)]
pub struct UpdatePlan {
    /// Contiguous trained weights.
    runs: Vec<Range<usize>>,
    /// Trained variables, one by one.
    vars: Vec<usize>,
    /// Those with a penalty.
    penalised: Vec<usize>,
    /// Those with a projection.
    constrained: Vec<usize>,
}

impl UpdatePlan {
    /// For the variables that are trained now.
    pub fn new(graph: &Graph) -> Self {
        let trained =
            |v: &Var| v.weight.kind == Kind::Trainable && graph.entries[v.entry].trainable;
        let pick = |f: &dyn Fn(&Var) -> bool| {
            (0..graph.vars.len())
                .filter(|&i| trained(&graph.vars[i]) && f(&graph.vars[i]))
                .collect()
        };
        UpdatePlan {
            runs: trainable_runs(graph),
            vars: pick(&|_| true),
            penalised: pick(&|v| v.weight.regularizer.is_some()),
            constrained: pick(&|v| v.weight.constraint.is_some()),
        }
    }

    /// Sum of the penalties on weights.
    pub fn penalty(&self, graph: &Graph, weights: &Weights) -> f64 {
        let one = |&i: &usize| {
            let var = &graph.vars[i];
            var.weight
                .regularizer
                .as_ref()
                .map_or(0.0, |r| r.penalty(weights.var(var), &var.weight.shape))
        };
        self.penalised.iter().map(one).sum()
    }

    /// Adds the gradients of those penalties.
    pub fn add_penalty_grads(&self, graph: &Graph, weights: &Weights, dw: &mut [Float]) {
        for &i in &self.penalised {
            let var = &graph.vars[i];
            if let Some(r) = &var.weight.regularizer {
                r.add_grad(
                    weights.var(var),
                    &var.weight.shape,
                    &mut dw[var.range.clone()],
                );
            }
        }
    }

    /// One step: changes `weights` by the gradients `dw` (which it may change too).
    pub fn apply(
        &self,
        graph: &Graph,
        optimizer: &dyn Optimizer,
        state: &mut OptimizerState,
        weights: &mut Weights,
        dw: &mut [Float],
        par: Par,
    ) {
        let common = optimizer.common();
        let updates_before = state.steps / common.gradient_accumulation_steps.unwrap_or(1);
        state.steps += 1;
        if accumulate(common, state, dw) {
            self.update(
                graph,
                optimizer,
                updates_before + 1,
                state,
                weights,
                dw,
                par,
            );
        }
        average(common, updates_before, state, weights);
        for &i in &self.constrained {
            let var = &graph.vars[i];
            if let Some(c) = &var.weight.constraint {
                c.apply(&mut weights.params[var.range.clone()], &var.weight.shape);
            }
        }
    }

    fn update(
        &self,
        graph: &Graph,
        optimizer: &dyn Optimizer,
        iteration: u64,
        state: &mut OptimizerState,
        weights: &mut Weights,
        dw: &mut [Float],
        par: Par,
    ) {
        let common = optimizer.common();
        let mut scale = 1.0 / common.loss_scale_factor.unwrap_or(1.0);
        scale *= self.clip(common, graph, dw, scale);
        let lr = state.learning_rate;
        let decay = (common.weight_decay.unwrap_or(0.0) * lr) as Float;
        let tick = Tick {
            iteration,
            lr,
            grad_scale: scale as Float,
            decay,
        };
        if optimizer.whole_runs() {
            for run in &self.runs {
                update_run(
                    optimizer,
                    &tick,
                    &[run.len()],
                    run.clone(),
                    state,
                    weights,
                    dw,
                    par,
                );
            }
        } else {
            for &i in &self.vars {
                let var = &graph.vars[i];
                update_run(
                    optimizer,
                    &tick,
                    &var.weight.shape,
                    var.range.clone(),
                    state,
                    weights,
                    dw,
                    Par::Serial,
                );
            }
        }
    }

    /// Clips; the factor that is still to be put on every gradient. `scale` is on them already (not yet multiplied in).
    fn clip(&self, common: &Common, graph: &Graph, dw: &mut [Float], scale: f64) -> f64 {
        let norm = |g: &[Float]| elementwise::squared_norm(g).sqrt() * scale.abs();
        if let Some(limit) = common.global_clipnorm {
            let squares: f64 = self
                .runs
                .iter()
                .map(|r| elementwise::squared_norm(&dw[r.clone()]))
                .sum();
            let norm = squares.sqrt() * scale.abs();
            return if norm > limit { limit / norm } else { 1.0 };
        }
        for &i in &self.vars {
            let g = &mut dw[graph.vars[i].range.clone()];
            if let Some(limit) = common.clipnorm {
                let norm = norm(g);
                if norm > limit {
                    elementwise::scale((limit / norm) as Float, g);
                }
            }
            if let Some(limit) = common.clipvalue {
                let limit = (limit / scale) as Float;
                g.iter_mut().for_each(|g| {
                    *g = if *g > limit {
                        limit
                    } else if *g < -limit {
                        -limit
                    } else {
                        *g
                    }
                });
            }
        }
        1.0
    }
}

/// Adds `dw` to the accumulator; true when it is time to update, with the mean in `dw`.
fn accumulate(common: &Common, state: &mut OptimizerState, dw: &mut [Float]) -> bool {
    let (Some(steps), Some(sum)) = (common.gradient_accumulation_steps, &mut state.accumulated)
    else {
        return true;
    };
    elementwise::add(dw, sum);
    if !state.steps.is_multiple_of(steps) {
        return false;
    }
    dw.copy_from_slice(sum);
    elementwise::scale(1.0 / steps as Float, dw);
    sum.fill(0.0);
    true
}

/// Weights past this many are updated on several threads: an update is bound by memory.
const PIECE: usize = 1 << 16;

fn update_run(
    optimizer: &dyn Optimizer,
    tick: &Tick,
    shape: &[usize],
    range: Range<usize>,
    state: &mut OptimizerState,
    weights: &mut Weights,
    dw: &[Float],
    par: Par,
) {
    let mut slots: [&mut [Float]; MAX_SLOTS] = Default::default();
    let n = state.slots.len();
    for (slot, buffer) in slots.iter_mut().zip(&mut state.slots) {
        *slot = &mut buffer[range.clone()];
    }
    let (w, g) = (&mut weights.params[range.clone()], &dw[range]);
    split_update(optimizer, tick, shape, w, g, &mut slots[..n], par);
}

/// Most slots an optimizer may have.
const MAX_SLOTS: usize = 6;

/// Halves the arrays until they are small, on several threads where allowed. Elementwise, so the pieces do not matter.
fn split_update<'a>(
    optimizer: &dyn Optimizer,
    tick: &Tick,
    shape: &'a [usize],
    w: &'a mut [Float],
    g: &'a [Float],
    slots: &'a mut [&'a mut [Float]],
    par: Par,
) {
    if par == Par::Serial || w.len() <= PIECE || shape.len() != 1 {
        return optimizer.update(tick, optimizers::Var { shape, w, g, slots });
    }
    let middle = (w.len() / 2).next_multiple_of(64);
    let (w0, w1) = w.split_at_mut(middle);
    let (g0, g1) = g.split_at(middle);
    let (shape0, shape1) = ([middle], [g1.len()]);
    let (mut s0, mut s1): ([&mut [Float]; MAX_SLOTS], [&mut [Float]; MAX_SLOTS]) =
        Default::default();
    let n = slots.len();
    for ((slot, a), b) in slots.iter_mut().zip(&mut s0).zip(&mut s1) {
        (*a, *b) = slot.split_at_mut(middle);
    }
    par.join(
        || split_update(optimizer, tick, &shape0, w0, g0, &mut s0[..n], par),
        || split_update(optimizer, tick, &shape1, w1, g1, &mut s1[..n], par),
    );
}

/// Keras's moving average, at every step: `average = momentum * average + (1 - momentum) * w`, with momentum 0 until the first
/// update; the weights take it every so many updates.
fn average(
    common: &Common,
    updates_before: u64,
    state: &mut OptimizerState,
    weights: &mut Weights,
) {
    let Some(average) = &mut state.average else {
        return;
    };
    let momentum = if updates_before == 0 {
        0.0
    } else {
        common.ema_momentum as Float
    };
    average
        .iter_mut()
        .zip(weights.params.iter())
        .for_each(|(a, w)| *a = momentum * *a + (1.0 - momentum) * w);
    if common
        .ema_overwrite_frequency
        .is_some_and(|n| (updates_before + 1).is_multiple_of(n))
    {
        weights.params.copy_from_slice(average);
    }
}

/// At the end of `fit`: the average becomes the weights, as Keras's `finalize_variable_values` does.
pub fn finalize(common: &Common, state: &OptimizerState, weights: &mut Weights) {
    if let (true, Some(average)) = (common.use_ema, &state.average) {
        weights.params.copy_from_slice(average);
    }
}

/// An optimizer with more slots than there is room for.
pub fn check_slots(optimizer: &dyn Optimizer) -> Result<()> {
    match optimizer.slots().len() {
        n if n > MAX_SLOTS => {
            Err(Error::arg("slots", format!("at most {MAX_SLOTS}"), n)
                .owned_by(optimizer.class_name()))
        }
        _ => Ok(()),
    }
}
