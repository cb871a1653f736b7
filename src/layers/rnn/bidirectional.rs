//! A recurrent layer forwards and another one backwards over the same input, their outputs merged.
//!
//! With `f` and `b` the outputs, `b` in the order of time: `y = [f b]`, `f + b`, `(f + b) / 2` or `f b`, or both. Backward:
//! `df, db` are the parts of `dy`, `dy` twice, `dy / 2` twice, or `dy b` and `dy f`; `dx` is the sum of what both layers give.

use std::sync::{Arc, OnceLock};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::merge::{Merge, MergeMode};
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::layer::{
    Arg, Backward, Bound, Buffers, Call, Contract, Forward, Kind, Layer, LayerRef, Len, Mask,
    MaskRule, Slices, View, Weight, Weights,
};
use crate::layers::args::checked;
use crate::layers::inner::Inner;
use crate::shape::{Dims, Shape};

/// Runs a recurrent layer forwards and a second one backwards. [Keras](https://keras.io/api/layers/recurrent_layers/bidirectional/)
///
/// Input `(batch, time, features)`; output as that of the layer, twice as wide with `"concat"`. With `return_state` the states of
/// the forward layer follow, then those of the other; `initial_state` in its call is in the same order. Weights are those of the
/// forward layer, then those of the other. A penalty on the output of one direction (`activity_regularizer` of an inner layer) is
/// not supported; on the merged output it is.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `layer` | | `SimpleRNN`, `LSTM`, `GRU`, `RNN` or another recurrent layer |
/// | `merge_mode` | `"concat"` | or `"sum"`, `"ave"`, `"mul"`, `None`: two outputs |
/// | `backward_layer` | `layer`, the other way round | the layer that runs backwards |
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([6, 3])
///     .add(Bidirectional::new(LSTM::new(4).return_sequences(true)))
///     .add(Bidirectional::new(GRU::new(2)).merge_mode("sum"));
/// model.build([6, 3])?;
/// assert_eq!(model.predict(&ndarray::Array3::<f32>::ones((5, 6, 3)))?.shape(), [5, 2]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Bidirectional {
    layer: Inner,
    merge_mode: MergeMode,
    backward_layer: Inner,
    /// What made it impossible to put the layers together.
    #[serde(skip)]
    problem: Option<String>,
    #[serde(skip)]
    flags: Flags,
    /// How many slices the forward layer takes; the rest are the other's.
    #[serde(skip)]
    counts: Counts,
}

/// What both layers have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags {
    sequences: bool,
    state: bool,
    stateful: bool,
}

/// Numbers of slices of the forward layer, known when it is asked for them.
#[derive(Clone, Debug, Default)]
struct Counts {
    /// Trainable weights and pieces of state.
    weights: OnceLock<[usize; 2]>,
    /// Of `saved`, `saved_index` and `scratch`, in training and in inference.
    buffers: [OnceLock<[usize; 3]>; 2],
}

/// Most states of one direction.
pub(super) const STATES: usize = 16;

impl<'de> Deserialize<'de> for Bidirectional {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            layer: Inner,
            #[serde(default)]
            merge_mode: MergeMode,
            #[serde(default)]
            backward_layer: Option<Inner>,
        }
        let form = Form::deserialize(d)?;
        let both = Bidirectional::of(form.layer, form.backward_layer, form.merge_mode);
        match &both.problem {
            Some(problem) => Err(D::Error::custom(problem)),
            None => Ok(both),
        }
    }
}

/// A flag among a layer's arguments.
fn flag(layer: &LayerRef, key: &str) -> Option<bool> {
    layer.layer.config().get(key)?.as_bool()
}

/// The layer with these arguments changed, if it is one of Keras's.
fn with_flags(inner: &Inner, flags: &[(&str, bool)]) -> Option<Inner> {
    let layer = &inner.0.layer;
    let mut config = layer.config();
    for (key, value) in flags {
        if config.contains_key(*key) {
            config.insert((*key).into(), (*value).into());
        }
    }
    if config == layer.config() {
        return Some(inner.clone());
    }
    let mut changed = inner.clone();
    changed.0.layer = crate::layers::from_config(layer.class_name(), &config)?.ok()?;
    Some(changed)
}

fn prefixed(prefix: &str, inner: &Inner) -> String {
    let name = inner.name();
    format!("{prefix}{}", name.strip_prefix(prefix).unwrap_or(&name))
}

impl Bidirectional {
    /// Around this layer, and a copy of it that runs the other way.
    pub fn new(layer: impl Into<LayerRef>) -> Self {
        Bidirectional::of(Inner(layer.into()), None, MergeMode::Concat)
    }

    /// How the outputs become one; `None` for two outputs.
    pub fn merge_mode(mut self, mode: impl Into<MergeMode>) -> Self {
        self.merge_mode = mode.into();
        self
    }

    /// The layer that runs the other way.
    pub fn backward_layer(self, layer: impl Into<LayerRef>) -> Self {
        Bidirectional::of(self.layer, Some(Inner(layer.into())), self.merge_mode)
    }

    fn of(layer: Inner, backward: Option<Inner>, merge_mode: MergeMode) -> Self {
        let mut problem = None;
        let mut both = [layer.clone(), backward.clone().unwrap_or(layer.clone())];
        both[0].0.name = Some(prefixed("forward_", &layer));
        if backward.is_none() {
            both[1].0.name = Some(prefixed("backward_", &layer));
        }
        let sequences = flag(&layer.0, "return_sequences").unwrap_or(false);
        for (i, inner) in both.iter_mut().enumerate() {
            // Outputs of masked steps are zero, so that both directions agree on them.
            let mut flags = vec![("zero_output_for_mask", sequences)];
            if i == 1 && backward.is_none() {
                flags.push(("go_backwards", true));
            }
            match with_flags(inner, &flags) {
                Some(changed) => *inner = changed,
                None => problem = Some("a layer whose configuration can be changed".to_string()),
            }
        }
        let of = |key| [flag(&both[0].0, key), flag(&both[1].0, key)];
        match of("go_backwards") {
            [Some(a), Some(b)] if a != b => {}
            [Some(_), Some(_)] => problem = Some("layers of opposite `go_backwards`".into()),
            _ => problem = Some("a recurrent layer".into()),
        }
        for key in ["return_sequences", "return_state", "stateful"] {
            let [a, b] = of(key);
            if a != b {
                problem = Some(format!("two layers with the same `{key}`"));
            }
        }
        let flags = Flags {
            sequences,
            state: flag(&both[0].0, "return_state").unwrap_or(false),
            stateful: flag(&both[0].0, "stateful").unwrap_or(false),
        };
        let [layer, backward_layer] = both;
        Bidirectional {
            layer,
            merge_mode,
            backward_layer,
            problem,
            flags,
            counts: Counts::default(),
        }
    }

    fn both(&self) -> [&Inner; 2] {
        [&self.layer, &self.backward_layer]
    }

    pub(super) fn inner(&self, i: usize) -> &dyn Layer {
        self.both()[i].0.layer.as_ref()
    }

    pub(super) fn mode(&self) -> &MergeMode {
        &self.merge_mode
    }

    /// Initial states of one direction.
    pub(super) fn states(inputs: usize) -> usize {
        (inputs - 1) / 2
    }

    /// The inputs of one direction.
    fn inputs<T: Clone>(i: usize, inputs: &[T]) -> Vec<T> {
        let n = Self::states(inputs.len());
        let mut own = vec![inputs[0].clone()];
        own.extend_from_slice(&inputs[1 + i * n..1 + (i + 1) * n]);
        own
    }

    /// Shape of the output of one direction.
    fn output(&self, i: usize, inputs: &[Shape]) -> Result<Shape> {
        let inner = self.both()[i];
        let shape = inner.0.layer.output_shape(&Self::inputs(i, inputs));
        shape.map_err(|e| e.owned_by(&inner.name()))
    }

    /// Whether backward needs the outputs of both directions.
    pub(super) fn keeps_outputs(&self) -> bool {
        let reads = |i: usize| self.inner(i).contract().reads_y;
        self.merge_mode == MergeMode::Mul || reads(0) || reads(1)
    }

    /// Own slices first. Saved: the outputs of both, empty unless backward needs them; only in training. Scratch: the outputs if
    /// they are not saved; their gradients and that of the input.
    fn all_buffers(&self, inputs: &[Dims], training: bool) -> Buffers {
        let own = [0, 1].map(|i| {
            let inputs = Self::inputs(i, inputs);
            match training {
                true => self.inner(i).buffers(&inputs),
                false => self.inner(i).inference_buffers(&inputs),
            }
        });
        if !training && own.iter().any(|own| !own.saved.is_empty()) {
            return self.all_buffers(inputs, true); // forward knows training by there being something to save
        }
        let shapes: Vec<Shape> = inputs.iter().map(|&d| d.into()).collect();
        let len = |i: usize| self.output(i, &shapes).ok().and_then(|s| s.numel());
        let outputs = [0, 1].map(|i| Len::PerSample(len(i).unwrap_or(0)));
        let none = Len::Fixed(0);
        let mut all = Buffers::default();
        let keeps = training && self.keeps_outputs();
        if training {
            all.saved.extend(if keeps { outputs } else { [none; 2] });
        }
        all.scratch.extend(if keeps { [none; 2] } else { outputs });
        if training {
            all.scratch.extend(outputs);
            all.scratch.push(Len::PerSample(inputs[0].numel()));
        }
        let first = &own[0];
        let counts = [
            first.saved.len(),
            first.saved_index.len(),
            first.scratch.len(),
        ];
        let known = self.counts.buffers[usize::from(training)].get_or_init(|| counts);
        debug_assert_eq!(*known, counts);
        for own in own {
            all.saved.extend(own.saved);
            all.saved_index.extend(own.saved_index);
            all.scratch.extend(own.scratch);
        }
        all
    }

    pub(super) fn counts(&self, training: bool) -> [usize; 3] {
        let counts = &self.counts.buffers[usize::from(training)];
        *counts.get().expect("buffers were asked for before")
    }

    pub(super) fn is_frozen(&self, i: usize) -> bool {
        !self.both()[i].0.trainable || self.inner(i).frozen()
    }

    pub(super) fn merge(&self, batch: usize, y: &[usize], f: usize, b: usize) -> Merge {
        let mut front = Dims::new(y).expect("a shape").without_last();
        let rows = front.numel() * batch;
        let time = if self.flags.sequences { front[0] } else { 1 };
        if self.flags.sequences {
            front = front.tail();
        }
        Merge {
            batch,
            time: self.flags.sequences.then_some(time),
            front,
            widths: [f / rows, b / rows],
        }
    }

    pub(super) fn weight_counts(&self) -> [usize; 2] {
        let counts = &self.counts.weights;
        *counts.get().expect("weights were asked for before")
    }
}

impl Layer for Bidirectional {
    fn class_name(&self) -> &'static str {
        "Bidirectional"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if let Some(problem) = &self.problem {
            return Err(Error::arg(
                "layer",
                problem,
                self.layer.0.layer.class_name(),
            ));
        }
        if let MergeMode::Unknown(name) = &self.merge_mode {
            let want = "`concat`, `sum`, `ave`, `mul` or none";
            return Err(Error::arg("merge_mode", want, format!("`{name}`")));
        }
        if let Some(inner) = self
            .both()
            .iter()
            .find(|l| l.0.activity_regularizer.is_some())
        {
            let want = "none inside of Bidirectional";
            return Err(Error::arg("activity_regularizer", want, inner.name()));
        }
        if inputs.len().is_multiple_of(2) || inputs.len() > 2 * STATES + 1 {
            let want = "an input, and as many initial states for each direction";
            return Err(Error::shape(want, format!("{} inputs", inputs.len())));
        }
        let (f, b) = (self.output(0, inputs)?, self.output(1, inputs)?);
        let front = |s: &Shape| s.dims()[..s.rank() - 1].to_vec();
        match self.merge_mode {
            MergeMode::Concat if front(&f) == front(&b) => {
                let width = f.last().zip(b.last()).and_then(|(f, b)| f.checked_add(b));
                checked(f.with_last(width.unwrap_or(usize::MAX))?)
            }
            MergeMode::None => Ok(f),
            _ if f == b => Ok(f),
            _ => Err(Error::arg(
                "backward_layer",
                format!("outputs of shape {f}"),
                b,
            )),
        }
    }

    fn more_outputs(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let mut outputs = Vec::new();
        if self.merge_mode == MergeMode::None {
            outputs.push(self.output(1, inputs)?);
        }
        for i in 0..2 {
            outputs.extend(self.inner(i).more_outputs(&Self::inputs(i, inputs))?);
        }
        Ok(outputs)
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let mut bound = self.layer.0.layer.bind(call)?;
        bound.layer = None;
        let states = bound.inputs.len().saturating_sub(1) / 2;
        if states > 0 {
            let mut variant = self.clone();
            for inner in [&mut variant.layer, &mut variant.backward_layer] {
                let initial = Arg::List((1..=states).map(Arg::Tensor).collect());
                let call = Call {
                    args: vec![Arg::Tensor(0)],
                    kwargs: vec![("initial_state".into(), initial)],
                };
                if let Some(layer) = inner.0.layer.bind(&call)?.layer {
                    inner.0.layer = layer;
                }
            }
            bound.layer = Some(Arc::new(variant));
        }
        Ok(bound)
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let mut all = Vec::new();
        for (i, group) in ["forward_layer", "backward_layer"].iter().enumerate() {
            let own = self.inner(i).weights(&Self::inputs(i, inputs))?;
            if i == 0 {
                let trainable = own.iter().filter(|w| w.kind == Kind::Trainable).count();
                let counts = [trainable, own.len() - trainable];
                let known = self.counts.weights.get_or_init(|| counts);
                debug_assert_eq!(*known, counts);
            }
            let frozen = self.is_frozen(i);
            for mut weight in own {
                weight.frozen |= frozen;
                all.push(weight.group(group));
            }
        }
        Ok(all)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.all_buffers(inputs, true)
    }

    fn inference_buffers(&self, inputs: &[Dims]) -> Buffers {
        self.all_buffers(inputs, false)
    }

    fn contract(&self) -> Contract {
        let (f, b) = (self.inner(0).contract(), self.inner(1).contract());
        Contract {
            reads_x: f.reads_x || b.reads_x,
            batch_coupled: self.flags.stateful || f.batch_coupled || b.batch_coupled,
            overwrites_dw: true,
            mask: MaskRule::Compute,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        self.run_forward(cx);
    }

    fn backward(&self, cx: Backward<'_>) {
        self.run_backward(cx);
    }

    fn update_state(&self, mut state: Slices<'_>, mut stats: Weights<'_>) {
        let [_, n] = self.weight_counts();
        let (front, front_stats) = (state.take_front(n), stats.take_front(n));
        self.inner(0).update_state(front, front_stats);
        self.inner(1).update_state(state, stats);
    }

    fn frozen(&self) -> bool {
        self.is_frozen(0) && self.is_frozen(1)
    }

    fn mask_shape(&self, inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        self.inner(0)
            .mask_shape(&Self::inputs(0, inputs), &Self::inputs(0, masks))
    }

    fn compute_mask(&self, x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        self.inner(0).compute_mask(x, masks, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::LayerExt;
    use crate::layers::{Dense, GRU, LSTM, SimpleRNN};
    use crate::testing::{check_dyn, check_layer, check_masked_layer};

    #[test]
    fn laws() {
        let modes = ["concat", "sum", "ave", "mul"].map(MergeMode::from);
        for mode in modes.into_iter().chain([MergeMode::None]) {
            for sequences in [true, false] {
                let both = |inner: LSTM| {
                    let inner = inner.return_sequences(sequences);
                    Bidirectional::new(inner).merge_mode(mode.clone())
                };
                check_layer(both(LSTM::new(3)), &[[4, 2].into()]);
                let masked = both(LSTM::new(2).return_state(true));
                check_masked_layer(masked, &[[4, 2].into()], &[Some([4].into())]);
            }
        }
        let other = GRU::new(2).go_backwards(true).return_sequences(true);
        let mixed = Bidirectional::new(SimpleRNN::new(3).return_sequences(true));
        check_layer(mixed.backward_layer(other), &[[4, 2].into()]);
        check_layer(
            Bidirectional::new(GRU::new(2).stateful(true)),
            &[[3, 2].into()],
        );
        check_layer(
            Bidirectional::new(LSTM::new(2).dropout(0.5)),
            &[[3, 2].into()],
        );
    }

    #[test]
    fn initial_states_go_to_their_direction() {
        let call = Call {
            args: vec![Arg::Tensor(0)],
            kwargs: vec![(
                "initial_state".into(),
                Arg::List((1..5).map(Arg::Tensor).collect()),
            )],
        };
        let both = Bidirectional::new(LSTM::new(3).return_state(true));
        let bound = both.bind(&call).unwrap();
        let inputs: Vec<Shape> = [vec![Shape::from([4, 2])], vec![[3].into(); 4]].concat();
        let masks = [Some([4].into()), None, None, None, None];
        check_dyn(bound.layer.unwrap().as_ref(), &inputs, &masks);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let said = |both: Bidirectional| {
            let e = both.output_shape(&[[4, 2].into()]).unwrap_err();
            e.owned_by("both").to_string()
        };
        let lstm = || LSTM::new(3);
        assert!(said(Bidirectional::new(Dense::new(3))).contains("a recurrent layer"));
        assert!(said(Bidirectional::new(lstm()).merge_mode("max")).contains("`merge_mode`"));
        let same = Bidirectional::new(lstm()).backward_layer(lstm());
        assert!(said(same).contains("opposite `go_backwards`"));
        let back = || GRU::new(3).go_backwards(true);
        let differs = Bidirectional::new(lstm()).backward_layer(back().return_state(true));
        assert!(said(differs).contains("`return_state`"));
        let narrow = Bidirectional::new(lstm()).backward_layer(GRU::new(2).go_backwards(true));
        assert!(said(narrow.merge_mode("sum")).contains("`backward_layer`"));
        let penalty = Bidirectional::new(lstm().activity_regularizer("l2"));
        assert!(said(penalty).contains("`activity_regularizer`"));
        assert!(said(Bidirectional::new(LSTM::new(0))).contains("forward_lstm: argument `units`"));
    }

    #[test]
    fn frozen_halves_are_marked() {
        let both = Bidirectional::new(LSTM::new(2)).backward_layer(
            LSTM::new(2)
                .go_backwards(true)
                .trainable(false)
                .name("back"),
        );
        let weights = both.weights(&[[4, 2].into()]).unwrap();
        assert_eq!(
            weights.iter().map(|w| w.frozen).collect::<Vec<_>>(),
            [false, false, false, true, true, true]
        );
        assert_eq!(weights[5].group, "backward_layer/cell");
        assert!(!both.frozen());
    }
}
