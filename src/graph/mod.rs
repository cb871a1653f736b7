//! The engine: [`Graph`] (what is computed) -> [`Plan`](plan::Plan) (order and memory) -> [`Workspace`](workspace::Workspace)
//! (the only memory that a step changes) -> [`run`] (two loops). It knows the trait [`Layer`], never a concrete layer.

pub mod lookups;
mod outputs;
pub mod plan;
pub mod run;
#[cfg(test)]
mod tests;
pub mod weights;
pub mod workspace;

use std::ops::Range;
use std::sync::Arc;

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::layer::{Bound, Head, Kind, Layer, LayerRef};
use crate::regularizer::Regularizer;
use crate::shape::Shape;
use weights::Var;

/// Layers, their calls, and the values between them; indices only. Nodes are in an order in which they can run.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Every layer once, however often it is called.
    pub entries: Vec<Entry>,
    /// Calls of layers.
    pub nodes: Vec<Node>,
    /// Shape of every value.
    pub values: Vec<Shape>,
    /// Values given from outside.
    pub inputs: Vec<usize>,
    /// Values wanted outside.
    pub outputs: Vec<usize>,
    /// Table of all weights: one row a variable, in the order of layers.
    pub vars: Vec<Var>,
    /// Length of the arena of trainable weights.
    pub params_len: usize,
    /// Length of the arena of non-trainable state.
    pub state_len: usize,
    /// Number of samples in every batch, where it is fixed.
    pub batch_size: Option<usize>,
}

/// A layer in a graph, with everything that is the graph's business and not the layer's.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The layer.
    pub layer: Arc<dyn Layer>,
    /// Its unique name.
    pub name: String,
    /// Whether its weights are trained.
    pub trainable: bool,
    /// Penalty on its output.
    pub activity_regularizer: Option<Regularizer>,
    /// Shapes of the inputs of its first call, from which its weights follow.
    pub input_shapes: Vec<Shape>,
    /// Its rows in [`Graph::vars`].
    pub vars: Range<usize>,
    /// Its part of the arena of trainable weights.
    pub params: Range<usize>,
    /// Its part of the arena of state.
    pub state: Range<usize>,
    /// Lengths of its trainable weights.
    pub param_lens: Vec<usize>,
    /// Lengths of its pieces of state.
    pub state_lens: Vec<usize>,
    /// The pieces that are remembered from batch to batch, in the arena of state.
    pub memory: Vec<Range<usize>>,
}

/// One call of a layer.
#[derive(Clone, Debug)]
pub struct Node {
    /// What runs: the entry's layer, or that layer without its last activation (see [`Graph::with_logits`]).
    pub layer: Arc<dyn Layer>,
    /// Whose weights it uses.
    pub entry: usize,
    /// Values it reads.
    pub inputs: Vec<usize>,
    /// Values it writes.
    pub outputs: Vec<usize>,
    /// A value that is the mask of the first input (zero marks padding), in place of the mask that came with it.
    pub mask: Option<usize>,
    /// Overrides the mode of the pass for this call.
    pub training: Option<bool>,
}

impl Node {
    /// Whether it reads this value, as an input or as a mask.
    pub fn reads(&self, value: usize) -> bool {
        self.inputs.contains(&value) || self.mask == Some(value)
    }
}

/// Most outputs a layer may have behind the first.
pub const MAX_OUTPUTS: usize = 32;

/// Entries start on this boundary (elements) in the arenas, which are aligned to cache lines.
const ALIGN: usize = 16;

impl Graph {
    /// Declares an input.
    pub fn input(&mut self, shape: Shape) -> usize {
        self.values.push(shape);
        self.inputs.push(self.values.len() - 1);
        self.values.len() - 1
    }

    /// Takes a layer in, laying out its weights for inputs of these shapes. `variant` is the layer as its call
    /// [bound](Layer::bind) it, where that is not the layer itself.
    ///
    /// # Errors
    /// If the layer refuses the shapes or its own arguments, or the name is taken.
    pub fn add_layer(
        &mut self,
        layer: &LayerRef,
        variant: Option<&Arc<dyn Layer>>,
        name: &str,
        input_shapes: &[Shape],
    ) -> Result<usize> {
        if self.entries.iter().any(|e| e.name == name) {
            return Err(Error::Model(format!(
                "two layers are named `{name}`; names must be unique within a model"
            )));
        }
        let named = |e: Error| e.owned_by(name);
        let bound = variant.unwrap_or(&layer.layer);
        bound.output_shape(input_shapes).map_err(named)?;
        let weights = bound.weights(input_shapes).map_err(named)?;
        let (params_start, state_start) = (
            self.params_len.next_multiple_of(ALIGN),
            self.state_len.next_multiple_of(ALIGN),
        );
        let (mut params_end, mut state_end) = (params_start, state_start);
        let (mut param_lens, mut state_lens) = (Vec::new(), Vec::new());
        let mut memory = Vec::new();
        let first_var = self.vars.len();
        for weight in weights {
            weight
                .init
                .check(&format!("{}_initializer", weight.name))
                .map_err(named)?;
            if let Some(r) = &weight.regularizer {
                r.check(&format!("{}_regularizer", weight.name))
                    .map_err(named)?;
            }
            if let Some(c) = &weight.constraint {
                c.check(&format!("{}_constraint", weight.name))
                    .map_err(named)?;
            }
            let too_large = || {
                Error::arg(
                    weight.name,
                    "a weight that fits memory",
                    format!("shape {}", weight.shape),
                )
                .owned_by(name)
            };
            let len = weight
                .shape
                .iter()
                .try_fold(1usize, |n, &d| n.checked_mul(d))
                .ok_or_else(too_large)?;
            let samples = match (weight.kind, self.batch_size) {
                (Kind::Memory, None) => {
                    let want = "an input with a fixed batch size (`batch_shape`)";
                    return Err(named(Error::arg("stateful", want, "one without")));
                }
                (Kind::Memory, Some(samples)) => samples,
                _ => 1,
            };
            let len = len.checked_mul(samples).ok_or_else(too_large)?;
            let (end, lens) = match weight.kind {
                Kind::Trainable => (&mut params_end, &mut param_lens),
                Kind::State | Kind::Memory => (&mut state_end, &mut state_lens),
            };
            let start = *end;
            *end = end
                .checked_add(len)
                .filter(|n| *n <= isize::MAX as usize / 64)
                .ok_or_else(too_large)?;
            lens.push(len);
            if weight.kind == Kind::Memory {
                memory.push(start..*end);
                continue;
            }
            self.vars.push(Var {
                entry: self.entries.len(),
                range: start..*end,
                weight,
            });
        }
        (self.params_len, self.state_len) = (params_end, state_end);
        let activity_regularizer = layer
            .activity_regularizer
            .clone()
            .or_else(|| layer.layer.activity_regularizer().cloned());
        if let Some(r) = &activity_regularizer {
            r.check("activity_regularizer").map_err(named)?;
        }
        self.entries.push(Entry {
            layer: layer.layer.clone(),
            name: name.to_string(),
            trainable: layer.trainable && !layer.layer.frozen(),
            activity_regularizer,
            input_shapes: input_shapes.to_vec(),
            vars: first_var..self.vars.len(),
            params: params_start..params_end,
            state: state_start..state_end,
            param_lens,
            state_lens,
            memory,
        });
        Ok(self.entries.len() - 1)
    }

    /// Calls a layer on these values; the new values it gives.
    ///
    /// # Errors
    /// If the layer refuses the shapes, or its weights would have other shapes than at its first call.
    pub fn call(&mut self, entry: usize, inputs: &[usize]) -> Result<Vec<usize>> {
        self.call_bound(
            entry,
            Bound {
                inputs: inputs.to_vec(),
                ..Bound::default()
            },
        )
    }

    /// [`call`](Self::call) with the arguments that the layer [bound](Layer::bind); tensors are values of the graph.
    ///
    /// # Errors
    /// As `call`.
    pub fn call_bound(&mut self, entry: usize, bound: Bound) -> Result<Vec<usize>> {
        let shapes: Vec<Shape> = bound
            .inputs
            .iter()
            .map(|&v| self.values[v].clone())
            .collect();
        let Entry { layer, name, .. } = &self.entries[entry];
        let layer = bound.layer.as_ref().unwrap_or(layer);
        let named = |e: Error| e.owned_by(name);
        let mut outputs = vec![layer.output_shape(&shapes).map_err(named)?];
        outputs.extend(layer.more_outputs(&shapes).map_err(named)?);
        if outputs.len() > MAX_OUTPUTS + 1 {
            let (want, got) = (
                format!("at most {} outputs", MAX_OUTPUTS + 1),
                outputs.len(),
            );
            return Err(Error::shape(want, got).owned_by(name));
        }
        self.check_weights(entry, layer, &shapes)?;
        let layer = layer.clone();
        let first = self.values.len();
        self.values.extend(outputs);
        let outputs: Vec<usize> = (first..self.values.len()).collect();
        self.nodes.push(Node {
            layer,
            entry,
            inputs: bound.inputs,
            outputs: outputs.clone(),
            mask: bound.mask,
            training: bound.training,
        });
        Ok(outputs)
    }

    /// An error unless the layer would have the same weights for inputs of these shapes.
    fn check_weights(&self, entry: usize, layer: &Arc<dyn Layer>, shapes: &[Shape]) -> Result<()> {
        let Entry {
            name,
            input_shapes,
            vars,
            ..
        } = &self.entries[entry];
        if *shapes != **input_shapes {
            let weights = layer.weights(shapes).map_err(|e| e.owned_by(name))?;
            let same = self.vars[vars.clone()]
                .iter()
                .map(|v| v.weight.shape)
                .eq(weights
                    .iter()
                    .filter(|w| w.kind != Kind::Memory)
                    .map(|w| w.shape));
            if !same {
                let list = |s: &[Shape]| {
                    s.iter()
                        .map(Shape::to_string)
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                return Err(Error::shape(
                    format!("{} as at its first call", list(input_shapes)),
                    list(shapes),
                )
                .owned_by(name));
            }
        }
        Ok(())
    }

    /// Puts the layers into this order (a permutation of their indices) and lays out the arenas accordingly.
    pub fn reorder(&mut self, order: &[usize]) {
        let mut place = vec![0; order.len()];
        order
            .iter()
            .enumerate()
            .for_each(|(to, &from)| place[from] = to);
        self.nodes.iter_mut().for_each(|n| n.entry = place[n.entry]);
        let (mut vars, mut entries) = (Vec::new(), Vec::new());
        let (mut params, mut state) = (0usize, 0usize);
        for &from in order {
            let mut entry = self.entries[from].clone();
            let first = vars.len();
            let starts = (
                params.next_multiple_of(ALIGN),
                state.next_multiple_of(ALIGN),
            );
            let moved =
                |r: &Range<usize>, from: usize, to: usize| r.start - from + to..r.end - from + to;
            for var in &self.vars[entry.vars.clone()] {
                let (from, to) = match var.weight.kind {
                    Kind::Trainable => (entry.params.start, starts.0),
                    Kind::State | Kind::Memory => (entry.state.start, starts.1),
                };
                vars.push(Var {
                    entry: entries.len(),
                    range: moved(&var.range, from, to),
                    weight: var.weight.clone(),
                });
            }
            entry.vars = first..vars.len();
            for range in &mut entry.memory {
                *range = moved(range, entry.state.start, starts.1);
            }
            entry.params = moved(&entry.params, entry.params.start, starts.0);
            entry.state = moved(&entry.state, entry.state.start, starts.1);
            (params, state) = (entry.params.end, entry.state.end);
            entries.push(entry);
        }
        (self.entries, self.vars) = (entries, vars);
        (self.params_len, self.state_len) = (params, state);
    }

    /// The fixed size of a batch, if a layer remembers something of every sample.
    pub fn stateful(&self) -> Option<usize> {
        let remembers = self.entries.iter().any(|e| !e.memory.is_empty());
        self.batch_size.filter(|_| remembers)
    }

    /// Number of trainable and of other weights, as Keras counts them (frozen layers' are not trainable).
    pub fn count_params(&self) -> (usize, usize) {
        self.vars.iter().fold((0, 0), |(t, n), v| {
            let len = v.range.len();
            if self.trains(v) {
                (t + len, n)
            } else {
                (t, n + len)
            }
        })
    }

    /// The same graph with output number `output` stopping before its last activation, and that activation.
    ///
    /// `None` where the output does not end in one, or where its value is used elsewhere as well.
    pub fn with_logits(&self, output: usize) -> Option<(Graph, Activation)> {
        let value = self.outputs[output];
        let used = self.nodes.iter().any(|n| n.reads(value))
            || self.outputs.iter().filter(|&&v| v == value).count() > 1;
        let at = self.nodes.iter().position(|n| n.outputs == [value])?;
        if used
            || self.entries[self.nodes[at].entry]
                .activity_regularizer
                .is_some()
        {
            return None;
        }
        let mut graph = self.clone();
        match self.nodes[at].layer.head() {
            Head::None => None,
            Head::Split(layer, activation) => {
                graph.nodes[at].layer = layer;
                Some((graph, activation))
            }
            Head::Whole(activation) => {
                let logits = self.nodes[at].inputs[0];
                graph.nodes.remove(at);
                graph.outputs[output] = logits;
                Some((graph, activation))
            }
        }
    }
}
