//! The memory of an optimizer as Keras's files have it: the list `optimizer.variables`.
//!
//! In Keras's order: `iteration`; `learning_rate`, unless it is a schedule; with averaging one average a variable; with
//! accumulation one sum a variable; then the slots, group by group ([`Optimizer::slot_groups`]) and within a group variable by
//! variable; then the numbers that belong to no variable ([`Optimizer::scalars`]). Variables are those that are trained, in the order
//! of the model. A loss-scaling optimizer has `iteration` and `learning_rate` of its own (always 0), the good steps and the scale in
//! front of the inner one's list; a [`MultiOptimizer`](crate::optimizers::MultiOptimizer) its `iteration` and a rate of 0 in front of
//! the lists of all its optimizers. Files hold the lists of inner optimizers once more under their own paths.
//!
//! A writer takes [`groups`] and writes what `OptimizerState::saved` gives for each; a reader does the same with
//! `OptimizerState::saved_mut`.

use super::optimizer_state::OptimizerState;
use super::update::{member_of, members};
use crate::error::Result;
use crate::float::Float;
use crate::graph::Graph;
use crate::layer::default_name;
use crate::optimizers::{Members, Optimizer, Shared, Variable};
use crate::schedule::LearningRate;
use crate::shape::Dims;

/// One of Keras's `optimizer.variables`. Numbers of variables are those of [`Graph::vars`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Steps made: an integer.
    Iteration,
    /// The iteration of an optimizer that counts none: 0.
    NoIteration,
    /// Learning rate of optimizer number `.0`.
    LearningRate(usize),
    /// The rate of an optimizer that has none: 0.
    NoRate,
    /// Good steps since the scale of the loss changed: an integer.
    GoodSteps,
    /// Scale of the loss.
    Scale,
    /// Moving average of this variable.
    Average(usize),
    /// Sum of this variable's gradients on the way to the next update.
    Accumulated(usize),
    /// Slot `slot` of variable `var`.
    Slot {
        /// Number of the slot.
        slot: usize,
        /// Number of the variable.
        var: usize,
        /// Shape of the slot.
        shape: Dims,
    },
    /// A slot that the variable lacks: the 32-bit integer 0.
    NoSlot,
    /// Number `index` of [`Optimizer::scalars`] of optimizer number `member`.
    Scalar {
        /// Number of the optimizer.
        member: usize,
        /// Number among its scalars.
        index: usize,
    },
}

/// The list of one optimizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedGroup {
    /// Where it lies below that of the outermost optimizer: empty, `inner_optimizer`, `optimizers/adam`.
    pub path: String,
    /// Name of the optimizer.
    pub name: String,
    /// Its variables.
    pub variables: Vec<Saved>,
}

/// What a file holds for one of them, to be read.
#[derive(Debug, PartialEq)]
pub enum Value<'a> {
    /// A 64-bit integer.
    Integer(i64),
    /// A 32-bit integer.
    Small(i32),
    /// A single number.
    Number(f64),
    /// An array.
    Array(Dims, &'a [Float]),
}

/// Where the content of one of them goes.
#[derive(Debug)]
pub enum Place<'a> {
    /// Nowhere: it says nothing.
    Nowhere,
    /// An integer.
    Integer(&'a mut u64),
    /// A single number.
    Number(&'a mut f64),
    /// An array.
    Array(Dims, &'a mut [Float]),
}

/// The lists of all optimizers, the outermost first. Before the slots are made (`made` is false) only the numbers are there, as in
/// Keras.
///
/// # Errors
/// If a variable has several optimizers.
pub fn groups(optimizer: &Shared, graph: &Graph, made: bool) -> Result<Vec<SavedGroup>> {
    let mut owned: Vec<Vec<usize>> = vec![Vec::new(); members(optimizer).len()];
    for v in (0..graph.vars.len()).filter(|&v| graph.trains(&graph.vars[v])) {
        owned[member_of(optimizer.as_ref(), &graph.path(&graph.vars[v]))?].push(v);
    }
    let lister = Lister { graph, owned, made };
    let mut all = Vec::new();
    lister.list("", optimizer, 0, &mut all);
    Ok(all)
}

struct Lister<'a> {
    graph: &'a Graph,
    /// The trained variables of each member.
    owned: Vec<Vec<usize>>,
    made: bool,
}

impl Lister<'_> {
    /// Appends the list of this optimizer (which is `member` if it updates variables itself), then those of the ones inside, and
    /// returns it: the list of an outer optimizer goes on with those of the ones directly inside.
    fn list(
        &self,
        path: &str,
        optimizer: &Shared,
        member: usize,
        all: &mut Vec<SavedGroup>,
    ) -> Vec<Saved> {
        let below = |name: &str| match path {
            "" => name.to_string(),
            path => format!("{path}/{name}"),
        };
        let place = all.len();
        all.push(SavedGroup {
            path: path.into(),
            name: optimizer.common().name_or(optimizer.class_name()),
            variables: Vec::new(),
        });
        let variables = match optimizer.members() {
            Members::Itself => self.own(optimizer.as_ref(), member),
            Members::Scaled(scaled) => {
                let mut list = vec![Saved::NoIteration, Saved::NoRate];
                if self.made {
                    list.extend([Saved::GoodSteps, Saved::Scale]);
                }
                list.extend(self.list(&below("inner_optimizer"), scaled.inner(), member, all));
                list
            }
            Members::Mapped(map) => {
                let mut list = vec![Saved::Iteration, Saved::NoRate];
                let mut stems: Vec<String> = Vec::new();
                for (i, one) in map.all().into_iter().enumerate() {
                    let stem = default_name(one.class_name());
                    let name = match stems.iter().filter(|s| **s == stem).count() {
                        0 => stem.clone(),
                        n => format!("{stem}_{n}"),
                    };
                    stems.push(stem);
                    list.extend(self.list(&below(&format!("optimizers/{name}")), one, i, all));
                }
                list
            }
        };
        all[place].variables.clone_from(&variables);
        variables
    }

    /// The list of an optimizer that updates variables.
    fn own(&self, optimizer: &dyn Optimizer, member: usize) -> Vec<Saved> {
        let vars = &self.owned[member];
        let common = optimizer.common();
        let mut list = vec![if vars.is_empty() {
            Saved::NoIteration
        } else {
            Saved::Iteration
        }];
        if matches!(common.learning_rate, LearningRate::Constant(_)) {
            list.push(Saved::LearningRate(member));
        }
        if !self.made || vars.is_empty() {
            return list;
        }
        if common.use_ema {
            list.extend(vars.iter().map(|&v| Saved::Average(v)));
        }
        if common.gradient_accumulation_steps.is_some() {
            list.extend(vars.iter().map(|&v| Saved::Accumulated(v)));
        }
        let mut first = 0;
        for size in optimizer.slot_groups() {
            for &v in vars {
                let slots = first..first + size;
                list.extend(slots.filter_map(|slot| self.slot(optimizer, slot, v)));
            }
            first += size;
        }
        let scalars = 0..optimizer.scalars().len();
        list.extend(scalars.map(|index| Saved::Scalar { member, index }));
        list
    }

    fn slot(&self, optimizer: &dyn Optimizer, slot: usize, var: usize) -> Option<Saved> {
        let of = &self.graph.vars[var];
        let path = self.graph.path(of);
        let variable = Variable {
            path: &path,
            shape: of.weight.shape,
        };
        let shape = match optimizer.whole_runs() {
            true => Some(variable.shape),
            false => optimizer.slot_shape(slot, &variable),
        };
        match shape {
            Some(shape) => Some(Saved::Slot { slot, var, shape }),
            None => optimizer.fills_missing_slots().then_some(Saved::NoSlot),
        }
    }
}

impl OptimizerState {
    /// The content of one of Keras's variables.
    pub fn saved<'a>(&'a self, saved: &Saved, graph: &Graph) -> Value<'a> {
        let var = |v: &usize| (graph.vars[*v].weight.shape, graph.vars[*v].range.clone());
        match saved {
            Saved::Iteration => Value::Integer(self.steps as i64),
            Saved::NoIteration => Value::Integer(0),
            Saved::LearningRate(member) => Value::Number(self.memories[*member].rate),
            Saved::NoRate => Value::Number(0.0),
            Saved::GoodSteps => Value::Integer(self.dynamic.map_or(0, |d| d.good as i64)),
            Saved::Scale => Value::Number(self.dynamic.map_or(0.0, |d| d.scale)),
            Saved::NoSlot => Value::Small(0),
            Saved::Scalar { member, index } => {
                Value::Number(self.memories[*member].scalars[*index])
            }
            Saved::Average(v) => {
                let (shape, range) = var(v);
                Value::Array(shape, self.average.as_ref().map_or(&[], |b| &b[range]))
            }
            Saved::Accumulated(v) => {
                let (shape, range) = var(v);
                Value::Array(shape, self.accumulated.as_ref().map_or(&[], |b| &b[range]))
            }
            Saved::Slot { slot, var, shape } => Value::Array(*shape, self.slots.get(*slot, *var)),
        }
    }

    /// Where the content of one of Keras's variables belongs.
    pub fn saved_mut<'a>(&'a mut self, saved: &Saved, graph: &Graph) -> Place<'a> {
        let var = |v: &usize| (graph.vars[*v].weight.shape, graph.vars[*v].range.clone());
        let place = match saved {
            Saved::Iteration => Some(Place::Integer(&mut self.steps)),
            Saved::NoIteration | Saved::NoRate | Saved::NoSlot => None,
            Saved::LearningRate(member) => Some(Place::Number(&mut self.memories[*member].rate)),
            Saved::GoodSteps => self.dynamic.as_mut().map(|d| Place::Integer(&mut d.good)),
            Saved::Scale => self.dynamic.as_mut().map(|d| Place::Number(&mut d.scale)),
            Saved::Scalar { member, index } => {
                let scalars = &mut self.memories[*member].scalars;
                Some(Place::Number(&mut scalars[*index]))
            }
            Saved::Average(v) => {
                let (shape, range) = var(v);
                let average = self.average.as_mut();
                average.map(|b| Place::Array(shape, &mut b[range]))
            }
            Saved::Accumulated(v) => {
                let (shape, range) = var(v);
                let accumulated = self.accumulated.as_mut();
                accumulated.map(|b| Place::Array(shape, &mut b[range]))
            }
            Saved::Slot { slot, var, shape } => {
                Some(Place::Array(*shape, self.slots.get_mut(*slot, *var)))
            }
        };
        place.unwrap_or(Place::Nowhere)
    }
}
