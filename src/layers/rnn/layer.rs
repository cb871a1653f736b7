//! Recurrent layers: cells that walk through time.

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cell::Cell;
use super::formula::{Arguments, Formula, RecurrentCell};
use super::recurrence;
use crate::config::{Config, from_config, to_config};
use crate::error::{Error, Result};
use crate::layer::{
    Arg, Backward, Bound, Buffers, Call, Contract, Forward, Layer, Mask, MaskRule, Slices, View,
    Weight, Weights,
};
use crate::shape::{Dims, Shape};

/// The arguments that every recurrent layer has.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    pub return_sequences: bool,
    pub return_state: bool,
    pub go_backwards: bool,
    pub stateful: bool,
    pub unroll: bool,
    pub zero_output_for_mask: bool,
}

impl Options {
    /// Takes its keys out of a layer's configuration.
    pub fn take(class: &str, config: &mut Config) -> Result<Options> {
        let mut own = Config::new();
        for key in to_config(&Options::default()).keys() {
            own.extend(config.shift_remove(key).map(|v| (key.clone(), v)));
        }
        from_config(class, &own)
    }
}

/// A cell of a layer.
#[derive(Debug)]
pub struct Placed<'a> {
    /// Its sub-path in files of weights.
    pub group: String,
    /// Whether its weights are trained.
    pub trainable: bool,
    /// The cell.
    pub cell: &'a dyn Cell,
}

/// The cells of a layer: each reads what the one before writes.
pub trait Cells: Clone + Debug + Send + Sync + 'static {
    /// Keras's class name of the layer.
    fn layer_name(&self) -> &'static str;

    /// What the layer's configuration says of the cells.
    fn config(&self) -> Config;

    /// The cells in order, each with its place.
    fn cells(&self) -> Vec<Placed<'_>>;

    /// How many there are.
    fn count(&self) -> usize;

    /// One of them.
    fn cell(&self, i: usize) -> &dyn Cell;
}

/// Cells with the arguments that builders of layers set.
pub trait Configurable: Cells {
    /// The arguments.
    fn args(&mut self) -> &mut Arguments;
}

/// A recurrent layer: [`SimpleRNN`](super::SimpleRNN), [`LSTM`](super::LSTM), [`GRU`](super::GRU), [`RNN`](super::RNN),
/// `ConvLSTM2D` and its relatives.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `return_sequences` | false | the outputs of all steps instead of the last |
/// | `return_state` | false | the last states as further outputs |
/// | `go_backwards` | false | from the last step to the first; the outputs stay in that order |
/// | `stateful` | false | every batch starts with the states that the last one ended with, sample by sample |
/// | `unroll` | false | of no effect: in Keras it trades memory for speed and the numbers are the same; kept for files |
/// | `zero_output_for_mask` | false | a masked step gives zeros instead of the output before |
///
/// In its call it takes `initial_state`: as many tensors as there are states. A masked step leaves the states as they are.
///
/// A stateful layer needs an input with a fixed batch size, and batches of that size. Training keeps the states in the model until
/// [`reset_states`](crate::models::Model::reset_states). `predict` and `evaluate` never change the model: they start from its
/// states, carry them from batch to batch and forget them at the end;
/// [`predict_stateful`](crate::models::Model::predict_stateful) keeps them.
#[derive(Clone, Debug)]
pub struct RecurrentLayer<C> {
    pub(super) cells: C,
    pub(super) options: Options,
    /// Number of initial states given in the call.
    initial: usize,
}

impl<C: Cells> RecurrentLayer<C> {
    pub(super) fn of(cells: C) -> Self {
        RecurrentLayer {
            cells,
            options: Options::default(),
            initial: 0,
        }
    }

    pub(super) fn with_options(cells: C, options: Options) -> Self {
        RecurrentLayer {
            options,
            ..RecurrentLayer::of(cells)
        }
    }

    /// Whether the outputs of all steps are returned.
    pub fn return_sequences(mut self, yes: bool) -> Self {
        self.options.return_sequences = yes;
        self
    }

    /// Whether the last states are returned too.
    pub fn return_state(mut self, yes: bool) -> Self {
        self.options.return_state = yes;
        self
    }

    /// Whether time runs from the last step to the first.
    pub fn go_backwards(mut self, yes: bool) -> Self {
        self.options.go_backwards = yes;
        self
    }

    /// Whether states are kept from batch to batch.
    pub fn stateful(mut self, yes: bool) -> Self {
        self.options.stateful = yes;
        self
    }

    /// Only kept for files.
    pub fn unroll(mut self, yes: bool) -> Self {
        self.options.unroll = yes;
        self
    }

    /// Whether masked steps give zeros.
    pub fn zero_output_for_mask(mut self, yes: bool) -> Self {
        self.options.zero_output_for_mask = yes;
        self
    }

    #[cfg(test)]
    pub(super) fn set_initial(&mut self, count: usize) {
        self.initial = count;
    }

    /// Shapes of the states, cell by cell, for inputs whose steps have this shape.
    fn states(&self, x: &Shape) -> Result<Vec<Vec<Dims>>> {
        let mut x = x.clone();
        let mut all = Vec::new();
        for Placed { cell, .. } in self.cells.cells() {
            let states = cell.states(&x)?;
            x = states[0].into();
            all.push(states);
        }
        Ok(all)
    }
}

/// The shape of one step.
fn step_shape(x: &Shape) -> Shape {
    Shape::from(x.dims().get(1..).unwrap_or(&[]).to_vec())
}

impl<C: Cells> Layer for RecurrentLayer<C> {
    fn class_name(&self) -> &'static str {
        self.cells.layer_name()
    }

    fn config(&self) -> Config {
        let mut config = to_config(&self.options);
        config.extend(self.cells.config());
        config
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let [x, initial @ ..] = inputs else {
            return Err(Error::shape("an input", "none"));
        };
        if x.rank() < 2 || x.dims()[0] == Some(0) {
            return Err(Error::shape("3 axes (batch, time, features)", x));
        }
        let states = self.states(&step_shape(x))?;
        let last = states.last().and_then(|s| s.first());
        let output = last.ok_or_else(|| Error::arg("cells", "one cell at least", "none"))?;
        let flat: Vec<Shape> = states.iter().flatten().map(|s| Shape::from(*s)).collect();
        let fits = |(have, want): (&Shape, &Shape)| have.agrees(want);
        if !initial.is_empty()
            && (initial.len() != flat.len() || !initial.iter().zip(&flat).all(fits))
        {
            let list = |shapes: &[Shape]| {
                let shapes: Vec<String> = shapes.iter().map(Shape::to_string).collect();
                shapes.join(", ")
            };
            return Err(Error::arg("initial_state", list(&flat), list(initial)));
        }
        let time = self.options.return_sequences.then_some(x.dims()[0]);
        let dims: Vec<Option<usize>> = time
            .into_iter()
            .chain(output.iter().map(|&n| Some(n)))
            .collect();
        crate::layers::args::checked(Shape::from(dims))
    }

    fn more_outputs(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        if !self.options.return_state {
            return Ok(Vec::new());
        }
        let states = self.states(&step_shape(&inputs[0]))?;
        Ok(states.into_iter().flatten().map(Shape::from).collect())
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let mut args = call.by_name(&["sequences", "initial_state", "mask", "training"])?;
        let mut bound = Bound::default();
        args.context(&mut bound)?;
        bound.inputs = args.tensors("sequences")?;
        if bound.inputs.is_empty() {
            bound.inputs = args.tensors("inputs")?;
        }
        // Older files give the states in a list with the input.
        let given = args.any("initial_state");
        let mut initial = Vec::new();
        given.map_or(Ok(()), |given| tensors(given, &mut initial))?;
        bound.inputs.append(&mut initial);
        args.finish()?;
        let initial = bound.inputs.len().saturating_sub(1);
        if initial > 0 {
            bound.layer = Some(Arc::new(RecurrentLayer {
                initial,
                ..self.clone()
            }));
        }
        Ok(bound)
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let mut x = step_shape(&inputs[0]);
        let mut weights = Vec::new();
        for placed in self.cells.cells() {
            let cell = placed.cell;
            for mut weight in cell.weights(&x)? {
                weight.frozen |= !placed.trainable;
                weights.push(weight.group(&placed.group));
            }
            let states = cell.states(&x)?;
            if self.options.stateful {
                weights.extend(states.iter().map(|s| Weight::memory("state", *s)));
            }
            x = states[0].into();
        }
        Ok(weights)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        recurrence::buffers(&self.cells, &inputs[0], true)
    }

    fn inference_buffers(&self, inputs: &[Dims]) -> Buffers {
        recurrence::buffers(&self.cells, &inputs[0], false)
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            overwrites_dw: true,
            batch_coupled: self.options.stateful,
            mask: MaskRule::Compute,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        recurrence::forward(&self.cells, &self.options, self.initial > 0, cx);
    }

    fn backward(&self, cx: Backward<'_>) {
        recurrence::backward(&self.cells, &self.options, cx);
    }

    fn update_state(&self, state: Slices<'_>, stats: Weights<'_>) {
        for (state, last) in state.zip(stats) {
            state.copy_from_slice(last);
        }
    }

    fn mask_shape(&self, inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        let Some(Some(mask)) = masks.first() else {
            return Ok(None);
        };
        let time = Shape::from(inputs[0].dims()[..1].to_vec());
        if mask.rank() == 0 {
            return Ok(None); // it says nothing of single steps
        }
        if !Shape::from(mask.dims()[..1].to_vec()).agrees(&time) {
            return Err(Error::arg("mask", time, mask));
        }
        Ok(self.options.return_sequences.then(|| mask.clone()))
    }

    fn compute_mask(&self, _x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        if let Some(Some(mask)) = masks.first() {
            out.copy_from_slice(mask.data);
        }
    }
}

/// All tensors in an argument, however deep in lists: the states of stacked cells are a list for each cell.
fn tensors(arg: &Arg, out: &mut Vec<usize>) -> Result<()> {
    match arg {
        Arg::Tensor(i) => out.push(*i),
        Arg::List(list) => return list.iter().try_for_each(|a| tensors(a, out)),
        Arg::Value(Value::Null) => {}
        Arg::Value(other) => return Err(Error::arg("initial_state", "tensors", other)),
    }
    Ok(())
}

impl<K: Formula> Cells for RecurrentCell<K> {
    fn layer_name(&self) -> &'static str {
        K::LAYER
    }

    fn config(&self) -> Config {
        Cell::config(self)
    }

    fn cells(&self) -> Vec<Placed<'_>> {
        vec![Placed {
            group: "cell".into(),
            trainable: true,
            cell: self,
        }]
    }

    fn count(&self) -> usize {
        1
    }

    fn cell(&self, _i: usize) -> &dyn Cell {
        self
    }
}

impl<K: Formula> RecurrentLayer<RecurrentCell<K>> {
    /// With so many units.
    pub fn new(units: usize) -> Self {
        RecurrentLayer::of(RecurrentCell::new(units))
    }

    /// Reads the layer's configuration.
    pub(crate) fn read(class: &str, config: &Config) -> Result<Arc<dyn Layer>> {
        let mut config = config.clone();
        let options = Options::take(class, &mut config)?;
        let cell: RecurrentCell<K> = from_config(class, &config)?;
        Ok(Arc::new(RecurrentLayer::with_options(cell, options)))
    }
}

impl<K: Formula> Configurable for RecurrentCell<K> {
    fn args(&mut self) -> &mut Arguments {
        &mut self.args
    }
}
