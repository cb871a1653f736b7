//! Weights: two flat arenas and one table that describes them.
//!
//! Because every weight of a model lies in one slice, an optimizer is one pass, a global norm one dot product, and restoring
//! the best weights one copy. Gradients and optimizer slots have the same layout.

use std::ops::Range;

use super::Graph;
use crate::error::Result;
use crate::kernels::memory::Buffer;
use crate::layer::{Kind, Weight};
use crate::random::Rng;

/// A row of the table: one weight of one layer, and where it lies.
#[derive(Clone, Debug)]
pub struct Var {
    /// The layer it belongs to.
    pub entry: usize,
    /// Its place in the arena of its kind.
    pub range: Range<usize>,
    /// What the layer declared.
    pub weight: Weight,
}

/// The values of a model's weights.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    /// Trainable weights.
    pub params: Buffer,
    /// Non-trainable state.
    pub state: Buffer,
}

impl Weights {
    /// Fresh weights by each variable's initializer. Variable `i` has random numbers of its own, so that changing one layer
    /// leaves the others as they were.
    pub fn new(graph: &Graph, seed: u64) -> Result<Weights> {
        let mut weights = Weights::zeros(graph);
        let mut rng = Rng::new(seed);
        for var in &graph.vars {
            let mut rng = rng.split();
            let owner = &graph.entries[var.entry].name;
            var.weight
                .init
                .fill(&var.weight.shape, &mut rng, weights.var_mut(var))
                .map_err(|e| e.owned_by(owner))?;
        }
        Ok(weights)
    }

    /// All zeros, to be filled from elsewhere.
    pub fn zeros(graph: &Graph) -> Weights {
        Weights {
            params: Buffer::zeros(graph.params_len),
            state: Buffer::zeros(graph.state_len),
        }
    }

    /// The values of one variable.
    pub fn var(&self, var: &Var) -> &[crate::Float] {
        match var.weight.kind {
            Kind::Trainable => &self.params[var.range.clone()],
            Kind::State | Kind::Memory => &self.state[var.range.clone()],
        }
    }

    /// The values of one variable, to be changed.
    pub fn var_mut(&mut self, var: &Var) -> &mut [crate::Float] {
        match var.weight.kind {
            Kind::Trainable => &mut self.params[var.range.clone()],
            Kind::State | Kind::Memory => &mut self.state[var.range.clone()],
        }
    }
}

impl Graph {
    /// Keras's path of a variable: `dense/kernel`, or with the variable's group in the middle.
    pub fn path(&self, var: &Var) -> String {
        let layer = &self.entries[var.entry].name;
        match var.weight.group.as_str() {
            "" => format!("{layer}/{}", var.weight.name),
            group => format!("{layer}/{group}/{}", var.weight.name),
        }
    }

    /// Whether a variable is trained now.
    pub fn trains(&self, var: &Var) -> bool {
        let Weight { kind, frozen, .. } = var.weight;
        kind == Kind::Trainable && !frozen && self.entries[var.entry].trainable
    }

    /// Whether it is a table whose gradient is the rows that were looked up; see [`Contract::looks_up`](crate::layer::Contract::looks_up).
    pub fn looks_up(&self, var: &Var) -> bool {
        let entry = &self.entries[var.entry];
        entry.params.start == var.range.start && entry.layer.contract().looks_up
    }

    /// Whether one range of the arena follows another with no more between them than alignment.
    pub fn adjoining(&self, first: &Range<usize>, second: &Range<usize>) -> bool {
        second.start >= first.end && second.start - first.end < super::ALIGN
    }
}
