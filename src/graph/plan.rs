//! The plan of a graph for inputs of known shapes: where every value and gradient lies, what runs in place, who needs a
//! gradient. Immutable, shared by all threads; made once per distinct shape.

use std::ops::Range;
use std::sync::Arc;

use super::{Graph, Node};
use crate::error::{Error, Result};
use crate::layer::{Accum, Buffers, Kind, Layer, MaskRule, Mode};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the caller's data.
    Input(usize),
    /// In a slot of the workspace.
    Slot(usize),
}

/// Where a layer writes the gradient of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dest {
    /// Nobody needs it.
    None,
    /// Into the gradient slot: this is its first contribution.
    Write(usize),
    /// Into a spare buffer, to be added to the gradient slot.
    Spare(usize),
    /// It is the buffer of `dy` itself (an in-place step).
    Merged,
}

/// One call of a layer, with all that can be known before the numbers.
#[derive(Clone, Debug)]
pub struct Step {
    /// What runs.
    pub layer: Arc<dyn Layer>,
    /// The node it comes from: the key of its random numbers.
    pub node: usize,
    /// Whose weights it uses.
    pub entry: usize,
    /// Values it reads.
    pub inputs: Vec<usize>,
    /// Values it writes.
    pub outputs: Vec<usize>,
    /// Mask of each input that has one when the call runs.
    pub masks: Vec<Option<usize>>,
    /// An in-place layer.
    pub in_place: bool,
    /// In place, and input and output share a slot.
    pub merged: bool,
    /// Memory besides inputs and outputs.
    pub buffers: Buffers,
    /// Place of its statistics in the workspace.
    pub stats: Range<usize>,
    /// Whether its weights are trained.
    pub trainable: bool,
    /// Whether its table is trained by the rows that it looked up.
    pub looks_up: bool,
    /// Whether it remembers something from batch to batch, trained or not.
    pub remembers: bool,
    /// Whether backward runs it at all.
    pub backward: bool,
    /// Where each input's gradient goes.
    pub dx: Vec<Dest>,
    /// Outputs whose gradient nobody writes: zeroed before.
    pub zero_dy: Vec<usize>,
    /// Whether `dw` is overwritten or added to.
    pub accum: Accum,
    /// Penalty on the output.
    pub activity_regularizer: Option<Regularizer>,
    /// Mask the layer computes: its index.
    pub computes_mask: Option<usize>,
    /// A value that is made into the mask of the first input: the value and the mask's index.
    pub given_mask: Option<(usize, usize)>,
    /// Training or inference, whatever the pass is.
    pub mode: Option<Mode>,
}

impl Step {
    /// Whether it has state that training updates, and is not told to run as in inference; or remembers something.
    pub fn keeps_stats(&self) -> bool {
        !self.stats.is_empty() && (self.remembers || self.mode != Some(Mode::Infer))
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Plan {
    /// Calls in order.
    pub steps: Vec<Step>,
    /// Concrete shape of every value.
    pub dims: Vec<Dims>,
    /// Where every value lies.
    pub places: Vec<Place>,
    /// Elements a sample of each value slot.
    pub slots: Vec<usize>,
    /// Gradient slot of every value that has one.
    pub grads: Vec<Option<usize>>,
    /// Elements a sample of each gradient slot.
    pub grad_slots: Vec<usize>,
    /// Elements a sample of each spare gradient buffer.
    pub spares: Vec<usize>,
    /// Length of all statistics.
    pub stats_len: usize,
    /// Mask of every value that has one.
    pub mask_of: Vec<Option<usize>>,
    /// Shape of every mask.
    pub masks: Vec<Dims>,
    /// Values wanted outside.
    pub outputs: Vec<usize>,
    /// Parts of `dw` that must be zero before backward, because their layers only add.
    pub zero_dw: Vec<Range<usize>>,
    /// Whether any layer couples the samples of a batch.
    pub batch_coupled: bool,
    /// Rough number of multiplications a sample, for deciding about threads.
    pub work: usize,
}

/// Slots handed out and taken back, growing to the largest use.
#[derive(Default)]
struct Slots {
    sizes: Vec<usize>,
    free: Vec<usize>,
}

impl Slots {
    fn take(&mut self, size: usize) -> usize {
        // The smallest free slot that is large enough, else the largest one.
        let fits = |&i: &usize| (self.sizes[self.free[i]] >= size, self.sizes[self.free[i]]);
        let best = (0..self.free.len()).min_by_key(|i| match fits(i) {
            (true, n) => (0, n),
            (false, n) => (1, usize::MAX - n),
        });
        match best {
            Some(i) => {
                let slot = self.free.swap_remove(i);
                self.sizes[slot] = self.sizes[slot].max(size);
                slot
            }
            None => self.fresh(size),
        }
    }

    fn fresh(&mut self, size: usize) -> usize {
        self.sizes.push(size);
        self.sizes.len() - 1
    }

    fn give(&mut self, slot: usize) {
        debug_assert!(!self.free.contains(&slot));
        self.free.push(slot);
    }
}

impl Plan {
    /// Plans the graph for inputs of these shapes (of one sample).
    ///
    /// # Errors
    /// If a layer refuses the shapes.
    pub fn new(graph: &Graph, inputs: &[Dims], mode: Mode) -> Result<Plan> {
        let dims = concrete_shapes(graph, inputs, mode)?;
        let mut plan = Plan {
            places: vec![Place::Input(usize::MAX); dims.len()],
            grads: vec![None; dims.len()],
            mask_of: vec![None; dims.len()],
            outputs: graph.outputs.clone(),
            dims,
            steps: Vec::with_capacity(graph.nodes.len()),
            slots: Vec::new(),
            grad_slots: Vec::new(),
            spares: Vec::new(),
            stats_len: 0,
            masks: Vec::new(),
            zero_dw: Vec::new(),
            batch_coupled: false,
            work: 0,
        };
        for (i, &v) in graph.inputs.iter().enumerate() {
            plan.places[v] = Place::Input(i);
        }
        plan.make_steps(graph, mode)?;
        plan.place_values(graph, mode);
        if mode == Mode::Train {
            plan.place_gradients(graph);
        }
        Ok(plan)
    }

    fn make_steps(&mut self, graph: &Graph, mode: Mode) -> Result<()> {
        for (n, node) in graph.nodes.iter().enumerate() {
            let entry = &graph.entries[node.entry];
            let x: Vec<Dims> = node.inputs.iter().map(|&v| self.dims[v]).collect();
            let contract = node.layer.contract();
            let given_mask = node.mask.map(|v| {
                self.masks.push(self.dims[v]);
                (v, self.masks.len() - 1)
            });
            let mut masks: Vec<Option<usize>> =
                node.inputs.iter().map(|&v| self.mask_of[v]).collect();
            if let (Some(first), Some((_, mask))) = (masks.first_mut(), given_mask) {
                *first = Some(mask);
            }
            let computes_mask = self
                .mask_rule(node, &masks, contract.mask)
                .map_err(|e| e.owned_by(&entry.name))?;
            if contract.takes_masks {
                node.inputs.iter().for_each(|&v| self.mask_of[v] = None);
            }
            let in_place = contract.in_place && x[0].numel() == self.dims[node.outputs[0]].numel();
            let stats = self.stats_len
                ..self.stats_len
                    + if mode == Mode::Train || !entry.memory.is_empty() {
                        entry.state.len()
                    } else {
                        0
                    };
            self.stats_len = stats.end;
            self.batch_coupled |= contract.batch_coupled;
            // Every weight is used in every row, be it of the output (windows) or of the input (steps); ids only look rows up.
            let y = &self.dims[node.outputs[0]];
            let rows = y.without_last().numel().max(x[0].without_last().numel());
            let used = if contract.differentiable { rows } else { 0 };
            let outputs: usize = node.outputs.iter().map(|&v| self.dims[v].numel()).sum();
            self.work += entry.params.len() * used + outputs * 4;
            self.steps.push(Step {
                buffers: match mode {
                    Mode::Train => node.layer.buffers(&x),
                    Mode::Infer => node.layer.inference_buffers(&x),
                },
                layer: node.layer.clone(),
                node: n,
                entry: node.entry,
                inputs: node.inputs.clone(),
                outputs: node.outputs.clone(),
                masks,
                in_place,
                merged: false,
                stats,
                trainable: entry.trainable,
                looks_up: contract.looks_up && entry.trainable,
                remembers: !entry.memory.is_empty(),
                backward: false,
                dx: vec![Dest::None; node.inputs.len()],
                zero_dy: Vec::new(),
                accum: Accum::Add,
                activity_regularizer: entry.activity_regularizer.clone(),
                computes_mask,
                given_mask,
                mode: node
                    .training
                    .map(|t| if t { Mode::Train } else { Mode::Infer }),
            });
        }
        Ok(())
    }

    /// Gives the output its mask; the index of a mask that the layer has to compute.
    fn mask_rule(
        &mut self,
        node: &Node,
        masks: &[Option<usize>],
        rule: MaskRule,
    ) -> Result<Option<usize>> {
        let (layer, inputs, output) = (&node.layer, &node.inputs, node.outputs[0]);
        match rule {
            MaskRule::Stop => Ok(None),
            MaskRule::Pass => {
                self.mask_of[output] = masks.iter().copied().flatten().next();
                Ok(None)
            }
            MaskRule::Compute => {
                let shapes: Vec<Shape> = inputs.iter().map(|&v| self.dims[v].into()).collect();
                let masks: Vec<Option<Shape>> = masks
                    .iter()
                    .map(|m| m.map(|m| self.masks[m].into()))
                    .collect();
                let Some(shape) = layer.mask_shape(&shapes, &masks)? else {
                    return Ok(None);
                };
                self.masks
                    .push(shape.known().expect("known inputs give a known mask"));
                self.mask_of[output] = Some(self.masks.len() - 1);
                Ok(self.mask_of[output])
            }
        }
    }

    /// Slots for values. In inference a slot is free again after the last reader; in training values live until backward.
    fn place_values(&mut self, graph: &Graph, mode: Mode) {
        let readers = |v: usize| graph.nodes.iter().filter(|n| n.reads(v)).count();
        let mut left: Vec<usize> = (0..self.dims.len()).map(readers).collect();
        let mut slots = Slots::default();
        for s in 0..self.steps.len() {
            let (x, y) = (
                self.steps[s].inputs.first().copied(),
                self.steps[s].outputs[0],
            );
            let merge = self.steps[s].in_place
                && x.is_some_and(|x| self.may_merge(s, x, left[x], readers(x), graph, mode));
            self.steps[s].merged = merge;
            for (i, &v) in self.steps[s].outputs.iter().enumerate() {
                let size = self.dims[v].numel();
                self.places[v] = match (merge && i == 0, mode) {
                    (true, _) => self.places[x.expect("merged")],
                    (false, Mode::Train) => Place::Slot(slots.fresh(size)),
                    (false, Mode::Infer) => Place::Slot(slots.take(size)),
                };
            }
            if mode == Mode::Infer {
                let mut read = self.steps[s].inputs.clone();
                read.extend(self.steps[s].given_mask.map(|(v, _)| v));
                read.sort_unstable();
                read.dedup();
                for v in read {
                    left[v] -= 1;
                    self.release(v, left[v], y, &mut slots);
                }
                for &v in &self.steps[s].outputs {
                    self.release(v, left[v], usize::MAX, &mut slots);
                }
            }
        }
        self.slots = slots.sizes;
    }

    /// Frees the slot of a value that nobody will read again.
    fn release(&self, v: usize, readers_left: usize, merged_into: usize, slots: &mut Slots) {
        let moved = merged_into != usize::MAX && self.places[merged_into] == self.places[v];
        if let (Place::Slot(slot), 0, false, false) = (
            self.places[v],
            readers_left,
            self.outputs.contains(&v),
            moved,
        ) {
            slots.give(slot);
        }
    }

    /// The merge rule: see `doc/architecture.md`.
    fn may_merge(
        &self,
        s: usize,
        x: usize,
        readers_left: usize,
        readers: usize,
        graph: &Graph,
        mode: Mode,
    ) -> bool {
        let used_once = self.steps[s].inputs.iter().filter(|&&v| v == x).count() == 1;
        let is_mask = graph.nodes[s].mask == Some(x);
        if !used_once
            || is_mask
            || self.outputs.contains(&x)
            || !matches!(self.places[x], Place::Slot(_))
        {
            return false;
        }
        let producer = self.steps[..s]
            .iter()
            .rfind(|p| p.outputs.contains(&x))
            .expect("a slot has a producer");
        match mode {
            Mode::Infer => readers_left == 1,
            Mode::Train => {
                let reads_output =
                    producer.layer.contract().reads_y || producer.activity_regularizer.is_some();
                readers == 1 && !reads_output && !graph.nodes[s].layer.contract().reads_x
            }
        }
    }

    /// Slots for gradients, walking backwards: a gradient lives from its first contribution to its producer's backward.
    fn place_gradients(&mut self, graph: &Graph) {
        let needs = self.needs_gradient(graph);
        let (mut slots, mut spares) = (Slots::default(), Slots::default());
        let mut seen = vec![false; graph.entries.len()];
        for &v in &self.outputs {
            if needs[v] && self.grads[v].is_none() {
                self.grads[v] = Some(slots.take(self.dims[v].numel()));
            }
        }
        for s in (0..self.steps.len()).rev() {
            let entry = &graph.entries[self.steps[s].entry];
            let trains = entry.trainable && !entry.params.is_empty();
            let contract = self.steps[s].layer.contract();
            let any = trains
                || (contract.differentiable && self.steps[s].inputs.iter().any(|&v| needs[v]));
            if !any || !self.steps[s].outputs.iter().any(|&v| needs[v]) {
                continue;
            }
            self.steps[s].backward = true;
            for i in 0..self.steps[s].outputs.len() {
                let v = self.steps[s].outputs[i];
                if self.grads[v].is_none() {
                    self.grads[v] = Some(slots.take(self.dims[v].numel()));
                    self.steps[s].zero_dy.push(i);
                }
            }
            if trains {
                let first = !std::mem::replace(&mut seen[self.steps[s].entry], true);
                if first && contract.overwrites_dw {
                    self.steps[s].accum = Accum::Replace;
                } else if first {
                    self.zero_dw.push(entry.params.clone());
                }
            }
            self.place_input_gradients(s, contract.differentiable, &needs, &mut slots, &mut spares);
        }
        // Trained weights that no gradient reaches keep a zero gradient.
        for (entry, _) in graph
            .entries
            .iter()
            .zip(&seen)
            .filter(|(e, seen)| e.trainable && !**seen && !e.params.is_empty())
        {
            self.zero_dw.push(entry.params.clone());
        }
        self.grad_slots = slots.sizes;
        self.spares = spares.sizes;
    }

    fn place_input_gradients(
        &mut self,
        s: usize,
        differentiable: bool,
        needs: &[bool],
        slots: &mut Slots,
        spares: &mut Slots,
    ) {
        let dy = self.grads[self.steps[s].outputs[0]].expect("placed");
        let mut borrowed = Vec::new();
        let mut kept = None;
        for i in 0..self.steps[s].inputs.len() {
            let v = self.steps[s].inputs[i];
            let size = self.dims[v].numel();
            self.steps[s].dx[i] = if !(differentiable && needs[v]) {
                Dest::None
            } else if self.grads[v].is_some() {
                borrowed.push(spares.take(size));
                Dest::Spare(*borrowed.last().expect("pushed"))
            } else if self.steps[s].in_place && i == 0 {
                (self.grads[v], kept) = (Some(dy), Some(dy));
                Dest::Merged
            } else {
                let slot = slots.take(size);
                self.grads[v] = Some(slot);
                Dest::Write(slot)
            };
        }
        borrowed.into_iter().for_each(|slot| spares.give(slot));
        for &v in &self.steps[s].outputs {
            let slot = self.grads[v].expect("placed");
            if kept != Some(slot) {
                slots.give(slot);
            }
        }
    }

    /// Values on which a trained weight has an influence.
    fn needs_gradient(&self, graph: &Graph) -> Vec<bool> {
        let mut needs = vec![false; self.dims.len()];
        for step in &self.steps {
            let entry = &graph.entries[step.entry];
            let trains = entry.trainable
                && graph.vars[entry.vars.clone()]
                    .iter()
                    .any(|v| v.weight.kind == Kind::Trainable);
            let through =
                step.layer.contract().differentiable && step.inputs.iter().any(|&v| needs[v]);
            if trains || through {
                step.outputs.iter().for_each(|&v| needs[v] = true);
            }
        }
        needs
    }
}

/// Shapes of all values for concrete inputs.
fn concrete_shapes(graph: &Graph, inputs: &[Dims], mode: Mode) -> Result<Vec<Dims>> {
    let mut dims = vec![Dims::default(); graph.values.len()];
    for ((&v, &given), i) in graph.inputs.iter().zip(inputs).zip(0..) {
        if !graph.values[v].accepts(&given) {
            return Err(Error::Shape {
                owner: if inputs.len() > 1 {
                    format!("input {i}")
                } else {
                    "input".into()
                },
                want: format!("shape {}", graph.values[v]),
                got: Shape::from(given).to_string(),
            });
        }
        dims[v] = given;
    }
    // Whether a layer gives another shape in inference: then weights may not fit.
    let mut moved = false;
    for node in &graph.nodes {
        let shapes: Vec<Shape> = node.inputs.iter().map(|&v| dims[v].into()).collect();
        let name = &graph.entries[node.entry].name;
        let infers = match node.training {
            Some(training) => !training,
            None => mode == Mode::Infer,
        };
        let shape = match infers {
            true => node.layer.inference_shape(&shapes),
            false => node.layer.output_shape(&shapes),
        };
        let mut outputs = vec![shape.map_err(|e| e.owned_by(name))?];
        outputs.extend(
            node.layer
                .more_outputs(&shapes)
                .map_err(|e| e.owned_by(name))?,
        );
        if infers && moved {
            graph.check_weights(node.entry, &node.layer, &shapes)?;
        }
        for (&v, shape) in node.outputs.iter().zip(&outputs) {
            moved |= !graph.values[v].agrees(shape);
            dims[v] = shape.known().ok_or_else(|| {
                Error::shape("known input sizes to give a known output size", shape).owned_by(name)
            })?;
        }
    }
    Ok(dims)
}
