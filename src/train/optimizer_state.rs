//! What an optimizer remembers between steps.

use std::ops::Range;

use super::update::{member_of, members};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::graph::Graph;
use crate::graph::weights::Weights;
use crate::kernels::memory::Buffer;
use crate::layer::Kind;
use crate::optimizers::{Initial, Members, Optimizer, Shared, Variable};
use crate::schedule::LearningRate;

/// Most slots an optimizer may have.
pub(super) const MAX_SLOTS: usize = 6;

/// What an optimizer remembers between steps.
#[derive(Clone, Debug)]
pub struct OptimizerState {
    /// Steps made (Keras's `iteration` variable); with accumulation, not every step is an update.
    pub steps: u64,
    /// What each of the optimizers remembers besides arrays; most are one.
    pub(super) memories: Vec<Memory>,
    pub(super) slots: Slots,
    /// Moving average of the weights, in their layout.
    pub(super) average: Option<Buffer>,
    /// Whether weights and averages have changed places: see [`Model::show_averages`](crate::models::Model).
    pub(super) averages_shown: bool,
    /// Sum of gradients on the way to the next update, in the layout of the weights.
    pub(super) accumulated: Option<Buffer>,
    /// The adaptive scale of the loss.
    pub(super) dynamic: Option<DynamicScale>,
}

/// What one optimizer remembers besides arrays.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// Learning rate of the next update, where it is no schedule.
    pub rate: f64,
    /// See [`Optimizer::scalars`].
    pub scalars: Vec<f64>,
}

/// The slots of all variables.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    pub buffers: Vec<Slot>,
    pub scratch: Buffer,
    /// Length of the arena of weights they were made for.
    params: Option<usize>,
}

/// One slot of all variables: where each has its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub values: Buffer,
    /// By variable; empty where there is none.
    pub ranges: Vec<Range<usize>>,
}

/// The scale of the loss that [`LossScaleOptimizer`](crate::optimizers::LossScaleOptimizer) adapts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DynamicScale {
    pub scale: f64,
    /// Good steps since it changed.
    pub good: u64,
    /// Good steps until it doubles.
    pub growth: u64,
}

impl DynamicScale {
    /// Counts a step; whether it was good.
    pub fn count(&mut self, finite: bool) -> bool {
        if !finite {
            (self.scale, self.good) = (self.scale * 0.5, 0);
        } else if self.good + 1 >= self.growth {
            (self.scale, self.good) = (self.scale * 2.0, 0);
        } else {
            self.good += 1;
        }
        finite
    }
}

impl OptimizerState {
    /// Before the first step.
    pub fn new(optimizer: &Shared) -> Self {
        let memory = |o: &Shared| Memory {
            // With the precision that it has in Keras and in files.
            rate: f64::from(o.common().learning_rate.at(0) as f32),
            scalars: o.scalars().iter().map(|(_, initial)| *initial).collect(),
        };
        let dynamic = match optimizer.members() {
            Members::Scaled(scaled) => Some(DynamicScale {
                scale: scaled.first_scale(),
                good: 0,
                growth: scaled.growth_steps(),
            }),
            _ => None,
        };
        OptimizerState {
            steps: 0,
            memories: members(optimizer).iter().map(memory).collect(),
            slots: Slots::default(),
            average: None,
            averages_shown: false,
            accumulated: None,
            dynamic,
        }
    }

    /// Learning rate of the next step of one of the optimizers.
    pub(super) fn rate(&self, member: usize, optimizer: &dyn Optimizer) -> f64 {
        match &optimizer.common().learning_rate {
            LearningRate::Constant(_) => self.memories[member].rate,
            LearningRate::Schedule(schedule) => schedule.at(self.steps),
        }
    }

    /// Learning rate of the next step.
    ///
    /// # Errors
    /// If there are several optimizers.
    pub fn learning_rate(&self, optimizer: &Shared) -> Result<f64> {
        match &members(optimizer)[..] {
            [one] => Ok(self.rate(0, one.as_ref())),
            _ => Err(several()),
        }
    }

    /// Changes the learning rate from the next step on.
    ///
    /// # Errors
    /// If there are several optimizers, or the rate is a schedule.
    pub fn set_learning_rate(&mut self, optimizer: &Shared, rate: f64) -> Result<()> {
        match &members(optimizer)[..] {
            one @ [_] => self.set_rate(0, one, rate),
            _ => Err(several()),
        }
    }

    /// The same for one of the optimizers.
    pub(super) fn set_rate(&mut self, member: usize, all: &[Shared], rate: f64) -> Result<()> {
        match all[member].common().learning_rate {
            LearningRate::Constant(_) => {
                self.memories[member].rate = f64::from(rate as f32);
                Ok(())
            }
            LearningRate::Schedule(_) => {
                let want = "an optimizer whose rate is no schedule";
                Err(Error::arg("learning_rate", want, "a schedule"))
            }
        }
    }

    /// What the loss is multiplied by before the gradients are taken.
    pub fn loss_scale(&self, optimizer: &dyn Optimizer) -> f64 {
        match self.dynamic {
            Some(dynamic) => dynamic.scale,
            None => optimizer.common().loss_scale_factor.unwrap_or(1.0),
        }
    }

    /// Whether the slots exist.
    pub fn is_made(&self) -> bool {
        self.slots.params.is_some()
    }

    /// Makes the slots for these weights, if they do not exist.
    ///
    /// # Errors
    /// If a variable has several optimizers.
    pub fn reserve(&mut self, optimizer: &Shared, graph: &Graph, weights: &Weights) -> Result<()> {
        let len = weights.params.len();
        if self.slots.params == Some(len) {
            return Ok(());
        }
        let all = members(optimizer);
        self.slots = Slots::new(optimizer, &all, graph, weights)?;
        let any = |f: &dyn Fn(&Shared) -> bool| all.iter().any(f);
        if any(&|o| o.common().use_ema) && self.average.is_none() {
            self.average = Some(Buffer::zeros(len));
        }
        let accumulates = |o: &Shared| o.common().gradient_accumulation_steps.is_some();
        if any(&accumulates) && self.accumulated.is_none() {
            self.accumulated = Some(Buffer::zeros(len));
        }
        Ok(())
    }
}

fn several() -> Error {
    let want = "one optimizer; these have a rate each";
    Error::arg("learning_rate", want, "a MultiOptimizer")
}

impl Slots {
    /// Where every optimizer takes whole runs, slots lie as weights do. Else each variable has what it needs.
    fn new(
        optimizer: &Shared,
        members: &[Shared],
        graph: &Graph,
        weights: &Weights,
    ) -> Result<Self> {
        let together = members.iter().all(|m| m.whole_runs());
        let count = members.iter().map(|m| m.slots().len()).max().unwrap_or(0);
        let mut slots = Slots {
            buffers: vec![Slot::default(); count],
            scratch: Buffer::default(),
            params: Some(weights.params.len()),
        };
        for var in &graph.vars {
            if var.weight.kind != Kind::Trainable {
                let none = |slot: &mut Slot| slot.ranges.push(0..0);
                slots.buffers.iter_mut().for_each(none);
                continue;
            }
            let path = graph.path(var);
            let member = &members[member_of(optimizer.as_ref(), &path)?];
            let variable = Variable {
                path: &path,
                shape: var.weight.shape,
            };
            if !member.whole_runs() {
                slots.scratch.grow(member.scratch(&var.weight.shape));
            }
            for (s, slot) in slots.buffers.iter_mut().enumerate() {
                let shape = match s < member.slots().len() {
                    false => None,
                    true if member.whole_runs() => Some(var.weight.shape),
                    true => member.slot_shape(s, &variable),
                };
                let range = match (together, shape) {
                    (true, _) => var.range.clone(),
                    (false, None) => 0..0,
                    (false, Some(shape)) => {
                        // On a cache line, as weights are.
                        let start = slot.values.len().next_multiple_of(16);
                        start..start + shape.numel()
                    }
                };
                slot.values.grow(match together {
                    true => weights.params.len(),
                    false => range.end,
                });
                if let Some(shape) = shape.filter(|_| s < member.slots().len()) {
                    let values = &mut slot.values[range.start..range.start + shape.numel()];
                    match member.initial(s) {
                        Initial::Value(value) => values.fill(value),
                        Initial::Weights => values.copy_from_slice(weights.var(var)),
                    }
                }
                slot.ranges.push(range);
            }
        }
        Ok(slots)
    }

    /// A slot of a variable.
    pub fn get(&self, slot: usize, var: usize) -> &[Float] {
        let slot = &self.buffers[slot];
        &slot.values[slot.ranges[var].clone()]
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, slot: usize, var: usize) -> &mut [Float] {
        let slot = &mut self.buffers[slot];
        &mut slot.values[slot.ranges[var].clone()]
    }
}
