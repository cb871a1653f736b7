//! Weights that a layer brings along from the model it comes from: calling a trained model inside another one, or taking its
//! inner tensors, starts the new model from its values.

use std::sync::Arc;

use crate::graph::Graph;
use crate::graph::weights::{Var, Weights};
use crate::layer::Layer;

/// The layers of a model and their weights at one moment.
#[derive(Debug)]
pub(crate) struct Donor {
    layers: Vec<(Arc<dyn Layer>, Vec<Vec<crate::Float>>)>,
}

impl Donor {
    pub fn new(graph: &Graph, weights: &Weights) -> Self {
        let values = |vars: &[Var]| vars.iter().map(|v| weights.var(v).to_vec()).collect();
        Donor {
            layers: graph
                .entries
                .iter()
                .filter(|e| !e.vars.is_empty())
                .map(|e| (e.layer.clone(), values(&graph.vars[e.vars.clone()])))
                .collect(),
        }
    }

    /// Gives its values to the same layers of another model, where the shapes are the same.
    pub fn give(&self, graph: &Graph, weights: &mut Weights) {
        for entry in &graph.entries {
            let Some((_, values)) = self
                .layers
                .iter()
                .find(|(l, _)| Arc::ptr_eq(l, &entry.layer))
            else {
                continue;
            };
            for (var, value) in graph.vars[entry.vars.clone()].iter().zip(values) {
                if var.range.len() == value.len() {
                    weights.var_mut(var).copy_from_slice(value);
                }
            }
        }
    }
}
