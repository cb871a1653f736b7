//! From gradients to weights: scaling, accumulation, regularizers, clipping, decay, the optimizer's pass, averaging, constraints.
//! Everything that Keras gives every optimizer is here, once.

use std::ops::Range;

use super::optimizer_state::{MAX_SLOTS, OptimizerState, Slots};
use super::repeats::Repeats;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::graph::Graph;
use crate::graph::lookups::Lookups;
use crate::graph::weights::{Var, Weights};
use crate::kernels::elementwise;
use crate::kernels::parallel::Par;
use crate::optimizers::{self, Common, Members, Optimizer, Shared, Tick, Variable};

/// The optimizers that update variables: the optimizer itself, or those that it hands its variables to.
pub fn members(optimizer: &Shared) -> Vec<Shared> {
    match optimizer.members() {
        Members::Itself => vec![optimizer.clone()],
        Members::Scaled(scaled) => members(scaled.inner()),
        Members::Mapped(map) => map.all().into_iter().cloned().collect(),
    }
}

/// Number of the member that updates the variable of this path.
pub(super) fn member_of(optimizer: &dyn Optimizer, path: &str) -> Result<usize> {
    match optimizer.members() {
        Members::Itself => Ok(0),
        Members::Scaled(scaled) => member_of(scaled.inner().as_ref(), path),
        Members::Mapped(map) => map.find(path),
    }
}

/// What an update needs of the graph, found once.
#[derive(Debug)]
pub struct UpdatePlan {
    members: Vec<MemberPlan>,
    /// Trained variables with a penalty.
    penalised: Vec<usize>,
    /// Trained variables with a projection.
    constrained: Vec<usize>,
}

/// An optimizer and the variables it trains.
#[derive(Debug)]
struct MemberPlan {
    optimizer: Shared,
    vars: Vec<usize>,
    /// Contiguous variables of one weight decay.
    runs: Vec<Run>,
    /// Those whose repeated rows the optimizer treats one by one; see [`repeats`](super::repeats).
    tables: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
struct Run {
    range: Range<usize>,
    /// The variable, if it is one by itself.
    var: Option<usize>,
    decay: f64,
}

impl UpdatePlan {
    /// For the variables that are trained now.
    ///
    /// # Errors
    /// If a variable has several optimizers.
    pub fn new(graph: &Graph, optimizer: &Shared) -> Result<Self> {
        let trained: Vec<usize> = (0..graph.vars.len())
            .filter(|&i| graph.trains(&graph.vars[i]))
            .collect();
        let mut plans: Vec<MemberPlan> = members(optimizer)
            .into_iter()
            .map(|optimizer| MemberPlan {
                optimizer,
                vars: Vec::new(),
                runs: Vec::new(),
                tables: Vec::new(),
            })
            .collect();
        let together = plans.iter().all(|p| p.optimizer.whole_runs());
        for &v in &trained {
            let var = &graph.vars[v];
            let path = graph.path(var);
            let plan = &mut plans[member_of(optimizer.as_ref(), &path)?];
            plan.vars.push(v);
            if plan.separates() && graph.looks_up(var) && var.weight.regularizer.is_none() {
                plan.tables.push(v);
            }
            let variable = Variable {
                path: &path,
                shape: var.weight.shape,
            };
            let decay = plan.optimizer.decay_of(&variable).unwrap_or(0.0);
            match plan.runs.last_mut() {
                // A gap between two is alignment: zeros with zero gradients.
                Some(run)
                    if together
                        && run.decay == decay
                        && graph.adjoining(&run.range, &var.range) =>
                {
                    run.range.end = var.range.end;
                    run.var = None;
                }
                _ => plan.runs.push(Run {
                    range: var.range.clone(),
                    var: Some(v),
                    decay,
                }),
            }
        }
        let pick = |f: &dyn Fn(&Var) -> bool| {
            let vars = trained.iter().copied();
            vars.filter(|&i| f(&graph.vars[i])).collect()
        };
        Ok(UpdatePlan {
            members: plans,
            penalised: pick(&|v| v.weight.regularizer.is_some()),
            constrained: pick(&|v| v.weight.constraint.is_some()),
        })
    }

    /// Whether the rows that were looked up are to be kept.
    pub fn keeps_lookups(&self) -> bool {
        self.members.iter().any(|plan| !plan.tables.is_empty())
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

    /// Adds the gradients of those penalties, times the scale that the loss was multiplied by.
    pub fn add_penalty_grads(
        &self,
        graph: &Graph,
        weights: &Weights,
        dw: &mut [Float],
        scale: f64,
    ) {
        for &i in &self.penalised {
            let var = &graph.vars[i];
            if let Some(r) = &var.weight.regularizer {
                let dw = &mut dw[var.range.clone()];
                // A regularizer only adds: what is there is taken out of the scale meanwhile.
                if scale != 1.0 {
                    elementwise::scale((1.0 / scale) as Float, dw);
                }
                r.add_grad(weights.var(var), &var.weight.shape, dw);
                if scale != 1.0 {
                    elementwise::scale(scale as Float, dw);
                }
            }
        }
    }

    /// One step: changes `weights` by the gradients `dw` (which it may change too, as it does the rows that were looked up; `repeats` is
    /// scratch).
    pub fn apply(
        &self,
        graph: &Graph,
        optimizer: &dyn Optimizer,
        state: &mut OptimizerState,
        weights: &mut Weights,
        dw: &mut [Float],
        (lookups, repeats): (&mut Lookups, &mut Repeats),
        par: Par,
    ) {
        let scale = 1.0 / state.loss_scale(optimizer);
        if let Some(dynamic) = &mut state.dynamic {
            let all = self.members.iter().flat_map(|m| &m.runs);
            let finite = all
                .clone()
                .all(|run| elementwise::all_finite(&dw[run.range.clone()]));
            if !dynamic.count(finite) {
                return;
            }
        }
        let par_of = |range: &Range<usize>| match range.len() > PIECE {
            true => par,
            false => Par::Serial,
        };
        for (member, plan) in self.members.iter().enumerate() {
            if plan.vars.is_empty() {
                continue;
            }
            let common = plan.optimizer.common();
            let every = common.gradient_accumulation_steps.unwrap_or(1);
            let before = state.steps / every;
            let rate = state.rate(member, plan.optimizer.as_ref());
            let mut scale = scale;
            let due = (state.steps + 1).is_multiple_of(every);
            if every > 1 {
                plan.accumulate(state, dw, scale, due.then_some(every));
                scale = 1.0;
            }
            if due {
                let tables = plan
                    .tables
                    .iter()
                    .map(|&v| (v, graph.vars[v].range.clone()));
                repeats.find(lookups, tables);
                scale *= plan.clip(graph, dw, scale, repeats, lookups);
                let memory = &mut state.memories[member];
                plan.optimizer.advance(before + 1, &mut memory.scalars);
                let by_rows = plan.optimizer.common().global_clipnorm.is_none();
                for run in &plan.runs {
                    let tick = Tick {
                        iteration: before + 1,
                        lr: rate,
                        grad_scale: scale as Float,
                        decay: (run.decay * rate) as Float,
                        scalars: &memory.scalars,
                    };
                    if by_rows {
                        let slots = &mut state.slots;
                        plan.separate(graph, &tick, run, repeats, lookups, slots, weights, dw);
                    }
                    let par = par_of(&run.range);
                    plan.update_run(graph, &tick, run, &mut state.slots, weights, dw, par);
                }
            }
            plan.average(before, state, weights);
        }
        for &i in &self.constrained {
            let var = &graph.vars[i];
            if let Some(c) = &var.weight.constraint {
                c.apply(&mut weights.params[var.range.clone()], &var.weight.shape);
            }
        }
        state.steps += 1;
    }

    /// At the end of `fit`: averages become the weights, as Keras's `finalize_variable_values` does.
    pub fn finalize(&self, state: &mut OptimizerState, weights: &mut Weights) {
        let Some(average) = &mut state.average else {
            return;
        };
        for plan in self.members.iter().filter(|m| m.optimizer.common().use_ema) {
            for run in &plan.runs {
                let weights = &mut weights.params[run.range.clone()];
                let average = &mut average[run.range.clone()];
                match state.averages_shown {
                    true => average.copy_from_slice(weights),
                    false => weights.copy_from_slice(average),
                }
            }
        }
        state.averages_shown = false;
    }
}

impl MemberPlan {
    /// Adds the gradients to their sum; where an update is due, leaves their mean in `dw` and forgets the sum.
    fn accumulate(
        &self,
        state: &mut OptimizerState,
        dw: &mut [Float],
        scale: f64,
        due: Option<u64>,
    ) {
        let Some(sum) = &mut state.accumulated else {
            return;
        };
        for run in &self.runs {
            let (sum, dw) = (&mut sum[run.range.clone()], &mut dw[run.range.clone()]);
            elementwise::axpy(scale as Float, dw, sum);
            if let Some(steps) = due {
                dw.copy_from_slice(sum);
                elementwise::scale(1.0 / steps as Float, dw);
                sum.fill(0.0);
            }
        }
    }

    /// Whether what is done to gradients differs for one that is a list of rows.
    fn separates(&self) -> bool {
        let common = self.optimizer.common();
        let clips = [common.clipnorm, common.clipvalue, common.global_clipnorm];
        let clips = clips.iter().any(Option::is_some);
        common.gradient_accumulation_steps.is_none() && (clips || self.optimizer.powers().is_some())
    }

    /// Prepares for the rows of a run that were looked up several times.
    fn separate(
        &self,
        graph: &Graph,
        tick: &Tick<'_>,
        run: &Run,
        repeats: &mut Repeats,
        lookups: &Lookups,
        memory: &mut Slots,
        weights: &mut Weights,
        dw: &mut [Float],
    ) {
        let Some(powers) = self.optimizer.powers() else {
            return;
        };
        let n = self.optimizer.slots().len();
        repeats.each(&run.range, lookups, powers, tick.grad_scale, |row, sums| {
            let from = row.at.start - graph.vars[row.var].range.start;
            let mut slots: [&mut [Float]; MAX_SLOTS] = Default::default();
            for (slot, buffer) in slots.iter_mut().zip(&mut memory.buffers).take(n) {
                let range = buffer.ranges[row.var].clone();
                if !range.is_empty() {
                    *slot = &mut buffer.values[range][from..from + row.at.len()];
                }
            }
            let row = optimizers::Row {
                w: &mut weights.params[row.at.clone()],
                g: &mut dw[row.at.clone()],
                sums,
                slots: &mut slots[..n],
            };
            self.optimizer.separate(tick, row);
        });
    }

    /// Clips; the factor that is still to be put on every gradient. `scale` is on them already (not yet multiplied in).
    fn clip(
        &self,
        graph: &Graph,
        dw: &mut [Float],
        scale: f64,
        repeats: &Repeats,
        lookups: &mut Lookups,
    ) -> f64 {
        let common = self.optimizer.common();
        if let Some(limit) = common.global_clipnorm {
            let runs = self.runs.iter();
            let squares: f64 = runs
                .map(|r| elementwise::squared_norm(&dw[r.range.clone()]))
                .sum();
            let squares = squares + repeats.excess(lookups, dw, None);
            let norm = squares.sqrt() * scale.abs();
            return if norm > limit { limit / norm } else { 1.0 };
        }
        for &i in &self.vars {
            let range = graph.vars[i].range.clone();
            if let Some(limit) = common.clipnorm {
                let squares = elementwise::squared_norm(&dw[range.clone()]);
                let squares = squares + repeats.excess(lookups, dw, Some(i));
                let norm = squares.sqrt() * scale.abs();
                if norm > limit {
                    let factor = (limit / norm) as Float;
                    elementwise::scale(factor, &mut dw[range]);
                    repeats.scale(i, factor, lookups);
                }
            } else if let Some(limit) = common.clipvalue {
                let limit = (limit / scale).abs() as Float;
                // (Keras leaves NaN as it is, too.)
                let clip = |g: &mut Float| *g = g.clamp(-limit, limit);
                dw[range].iter_mut().for_each(clip);
            }
        }
        if let Some(limit) = common.clipvalue {
            repeats.clip((limit / scale).abs() as Float, lookups, dw);
        }
        1.0
    }

    fn update_run(
        &self,
        graph: &Graph,
        tick: &Tick<'_>,
        run: &Run,
        memory: &mut Slots,
        weights: &mut Weights,
        dw: &[Float],
        par: Par,
    ) {
        let whole = self.optimizer.whole_runs();
        let mut slots: [&mut [Float]; MAX_SLOTS] = Default::default();
        let n = self.optimizer.slots().len();
        let Slots {
            buffers, scratch, ..
        } = memory;
        for (slot, buffer) in slots.iter_mut().zip(buffers).take(n) {
            let range = match run.var {
                Some(var) => buffer.ranges[var].clone(),
                // Several variables: slots lie as weights do.
                None => run.range.clone(),
            };
            *slot = &mut buffer.values[range];
        }
        let (w, g) = (
            &mut weights.params[run.range.clone()],
            &dw[run.range.clone()],
        );
        let length = [run.range.len()];
        let shape = match run.var {
            Some(var) if !whole => &graph.vars[var].weight.shape[..],
            _ => &length,
        };
        let (scratch, par) = match whole {
            true => (&mut [][..], par),
            false => (&mut scratch[..self.optimizer.scratch(shape)], Par::Serial),
        };
        let var = optimizers::Var {
            shape,
            w,
            g,
            slots: &mut slots[..n],
            scratch,
        };
        split_update(self.optimizer.as_ref(), tick, var, par);
    }

    /// Keras's moving average, at every step: `average = momentum * average + (1 - momentum) * w`, with momentum 0 until the
    /// first update; the weights take it every so many updates.
    fn average(&self, updates_before: u64, state: &mut OptimizerState, weights: &mut Weights) {
        let common: &Common = self.optimizer.common();
        let Some(average) = state.average.as_mut().filter(|_| common.use_ema) else {
            return;
        };
        let momentum = if updates_before == 0 {
            0.0
        } else {
            common.ema_momentum as Float
        };
        let overwrite = common
            .ema_overwrite_frequency
            .is_some_and(|n| (updates_before + 1).is_multiple_of(n));
        for run in &self.runs {
            let average = &mut average[run.range.clone()];
            let w = &mut weights.params[run.range.clone()];
            average
                .iter_mut()
                .zip(w.iter())
                .for_each(|(a, w)| *a = momentum * *a + (1.0 - momentum) * w);
            if overwrite {
                w.copy_from_slice(average);
            }
        }
    }
}

/// Weights past this many are updated on several threads: an update is bound by memory.
const PIECE: usize = 1 << 16;

/// Halves the arrays until they are small, on several threads where allowed. Elementwise, so the pieces do not matter.
fn split_update(optimizer: &dyn Optimizer, tick: &Tick<'_>, var: optimizers::Var<'_>, par: Par) {
    if par == Par::Serial || var.w.len() <= PIECE {
        return optimizer.update(tick, var);
    }
    let middle = (var.w.len() / 2).next_multiple_of(64);
    let (w0, w1) = var.w.split_at_mut(middle);
    let (g0, g1) = var.g.split_at(middle);
    let (shape0, shape1) = ([middle], [g1.len()]);
    let (mut s0, mut s1): ([&mut [Float]; MAX_SLOTS], [&mut [Float]; MAX_SLOTS]) =
        Default::default();
    let n = var.slots.len();
    for ((slot, a), b) in var.slots.iter_mut().zip(&mut s0).zip(&mut s1) {
        (*a, *b) = slot.split_at_mut(middle);
    }
    let part = |shape, w, g, slots| optimizers::Var {
        shape,
        w,
        g,
        slots,
        scratch: &mut [],
    };
    let (first, second) = (
        part(&shape0, w0, g0, &mut s0[..n]),
        part(&shape1, w1, g1, &mut s1[..n]),
    );
    par.join(
        || split_update(optimizer, tick, first, par),
        || split_update(optimizer, tick, second, par),
    );
}

/// An optimizer with more slots than there is room for, or that is told nonsense.
pub fn check(optimizer: &Shared) -> Result<()> {
    let owned = |e: Error| e.owned_by(optimizer.class_name());
    optimizer.common().check().map_err(owned)?;
    optimizer.check().map_err(owned)?;
    for member in members(optimizer) {
        let n = member.slots().len();
        if n > MAX_SLOTS {
            let error = Error::arg("slots", format!("at most {MAX_SLOTS}"), n);
            return Err(error.owned_by(member.class_name()));
        }
    }
    Ok(())
}
