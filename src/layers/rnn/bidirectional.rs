//! A recurrent layer forwards and another one backwards over the same input, their outputs merged.
//!
//! With `f` and `b` the outputs, `b` in the order of time: `y = [f b]`, `f + b`, `(f + b) / 2` or `f b`, or both. Backward:
//! `df, db` are the parts of `dy`, `dy` twice, `dy / 2` twice, or `dy b` and `dy f`; `dx` is the sum of what both layers give.

use std::sync::{Arc, OnceLock};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise;
use crate::layer::{
    Accum, Arg, Backward, Bound, Buffers, Call, Contract, Forward, Kind, Layer, LayerRef, Len,
    Mask, MaskRule, Slices, View, ViewMut, Weight, Weights,
};
use crate::layers::args::checked;
use crate::layers::inner::Inner;
use crate::shape::{Dims, Shape};

/// How the outputs of both directions become one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeMode {
    /// Side by side along the last axis.
    #[default]
    Concat,
    /// The sum.
    Sum,
    /// The mean.
    Ave,
    /// The product.
    Mul,
    /// They do not: there are two outputs.
    None,
    /// Not known; reported by the layer.
    #[doc(hidden)]
    Unknown(String),
}

impl MergeMode {
    fn name(&self) -> Option<&str> {
        Some(match self {
            MergeMode::Concat => "concat",
            MergeMode::Sum => "sum",
            MergeMode::Ave => "ave",
            MergeMode::Mul => "mul",
            MergeMode::None => return None,
            MergeMode::Unknown(name) => name,
        })
    }
}

impl From<&str> for MergeMode {
    fn from(name: &str) -> Self {
        match name {
            "concat" => MergeMode::Concat,
            "sum" => MergeMode::Sum,
            "ave" => MergeMode::Ave,
            "mul" => MergeMode::Mul,
            other => MergeMode::Unknown(other.into()),
        }
    }
}

impl From<Option<&str>> for MergeMode {
    fn from(name: Option<&str>) -> Self {
        name.map_or(MergeMode::None, MergeMode::from)
    }
}

impl Serialize for MergeMode {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        self.name().serialize(s)
    }
}

impl<'de> Deserialize<'de> for MergeMode {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let name = Option::<String>::deserialize(d)?;
        Ok(name.as_deref().into())
    }
}

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
const STATES: usize = 16;

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

    fn inner(&self, i: usize) -> &dyn Layer {
        self.both()[i].0.layer.as_ref()
    }

    /// Initial states of one direction.
    fn states(inputs: usize) -> usize {
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
    fn keeps_outputs(&self) -> bool {
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

    fn counts(&self, training: bool) -> [usize; 3] {
        let counts = &self.counts.buffers[usize::from(training)];
        *counts.get().expect("buffers were asked for before")
    }

    fn is_frozen(&self, i: usize) -> bool {
        !self.both()[i].0.trainable || self.inner(i).frozen()
    }

    fn merge(&self, batch: usize, y: &[usize], f: usize, b: usize) -> Merge {
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

    fn weight_counts(&self) -> [usize; 2] {
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

    fn forward(&self, mut cx: Forward<'_>) {
        let kept = [cx.saved.next(), cx.saved.next()];
        let training = kept[0].is_some();
        let mut outputs = [(); 2].map(|()| cx.scratch.next().unwrap_or_default());
        if training {
            cx.scratch.take_front(3);
            if self.keeps_outputs() {
                outputs = kept.map(Option::unwrap_or_default);
            }
        }
        let [f, b] = outputs;
        let merge = self.merge(cx.y.batch, cx.y.shape, f.len(), b.len());
        let both = self.merge_mode == MergeMode::None;
        let (second, states) = cx.more.split_at_mut(usize::from(both));
        let (f_states, b_states) = states.split_at_mut(states.len() / 2);
        let [saved, saved_index, scratch] = self.counts(training);
        let [params, state] = self.weight_counts();
        let front = Front {
            w: cx.w.take_front(params),
            state: cx.state.take_front(state),
            saved: cx.saved.take_front(saved),
            saved_index: cx.saved_index.take_front(saved_index),
            scratch: cx.scratch.take_front(scratch),
            stats: match cx.stats.reborrow().next() {
                Some(_) => cx.stats.take_front(state),
                None => Slices::default(),
            },
        };
        let back = Front {
            w: cx.w,
            state: cx.state,
            saved: cx.saved,
            saved_index: cx.saved_index,
            scratch: cx.scratch,
            stats: cx.stats,
        };
        let run = |i: usize, y: &mut [Float], more: &mut [ViewMut<'_>], own: Front<'_>| {
            let n = Self::states(cx.x.len());
            let (views, shape) = (views(i, n, cx.x), merge.shape(i));
            let (count, mut more) = (more.len(), views_mut(more));
            self.inner(i).forward(Forward {
                x: &views[..n + 1],
                w: own.w,
                state: own.state,
                y: ViewMut {
                    data: y,
                    shape: &shape,
                    batch: cx.y.batch,
                },
                more: &mut more[..count],
                saved: own.saved,
                saved_index: own.saved_index,
                scratch: own.scratch,
                stats: own.stats,
                masks: &masks(cx.masks)[..n + 1],
                mode: cx.mode,
                trainable: cx.trainable,
                rng: cx.rng.reseeded(i as u64),
                par: cx.par,
            });
        };
        cx.par
            .join(|| run(0, f, f_states, front), || run(1, b, b_states, back));
        let second = second.first_mut().map(|v| &mut *v.data);
        merge.outputs(&self.merge_mode, f, b, cx.y.data, second);
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let kept = [(); 2].map(|()| &*cx.saved.next().unwrap_or_default());
        let outputs = [(); 2].map(|()| &*cx.scratch.next().unwrap_or_default());
        let [f, b] = if self.keeps_outputs() { kept } else { outputs };
        let [df, db, dx_back] = [(); 3].map(|()| cx.scratch.next().unwrap_or_default());
        let merge = self.merge(cx.dy.batch, cx.dy.shape, df.len(), db.len());
        let both = self.merge_mode == MergeMode::None;
        let (second, dstates) = cx.dmore.split_at_mut(usize::from(both));
        let (f_states, b_states) = dstates.split_at_mut(dstates.len() / 2);
        let second = second.first().map(|v| &*v.data);
        merge.gradients(
            &self.merge_mode,
            [f, b],
            cx.dy.data,
            second,
            [&mut *df, &mut *db],
        );
        let [saved, saved_index, scratch] = self.counts(true);
        let [params, state] = self.weight_counts();
        let front = Back {
            w: cx.w.take_front(params),
            state: cx.state.take_front(state),
            saved: cx.saved.take_front(saved),
            saved_index: cx.saved_index.take_front(saved_index),
            scratch: cx.scratch.take_front(scratch),
            dw: cx.dw.as_mut().map(|dw| dw.take_front(params)),
        };
        let back = Back {
            w: cx.w,
            state: cx.state,
            saved: cx.saved,
            saved_index: cx.saved_index,
            scratch: cx.scratch,
            dw: cx.dw,
        };
        let Some((dx, dinitial)) = cx.dx.split_first_mut() else {
            return;
        };
        let (f_initial, b_initial) = dinitial.split_at_mut(dinitial.len() / 2);
        let mut dx = dx.as_mut().map(|dx| &mut *dx.data);
        let wanted = dx.is_some();
        let run = |i: usize,
                   y: &[Float],
                   dy: &mut [Float],
                   dmore: &mut [ViewMut<'_>],
                   dx: Option<&mut [Float]>,
                   dinitial: &mut [Option<ViewMut<'_>>],
                   mut own: Back<'_>| {
            let n = Self::states(cx.x.len());
            let (views, shape) = (views(i, n, cx.x), merge.shape(i));
            let (count, mut dmore) = (dmore.len(), views_mut(dmore));
            let mut grads: [Option<ViewMut>; STATES + 1] = std::array::from_fn(|_| None);
            grads[0] = dx.map(|data| ViewMut {
                data,
                shape: views[0].shape,
                batch: views[0].batch,
            });
            for (to, from) in grads[1..].iter_mut().zip(dinitial) {
                *to = from.as_mut().map(reborrow);
            }
            let inner = self.inner(i);
            let mut accum = cx.accum;
            if let (Some(dw), Accum::Replace) = (&mut own.dw, accum) {
                // What only adds, and what is frozen and nobody writes, starts at zero.
                if !inner.contract().overwrites_dw || self.is_frozen(i) {
                    dw.reborrow().flat().fill(0.0);
                    accum = Accum::Add;
                }
            }
            inner.backward(Backward {
                x: &views[..n + 1],
                w: own.w,
                state: own.state,
                y: View {
                    data: y,
                    shape: &shape,
                    batch: cx.dy.batch,
                },
                dy: ViewMut {
                    data: dy,
                    shape: &shape,
                    batch: cx.dy.batch,
                },
                dmore: &mut dmore[..count],
                dx: &mut grads[..n + 1],
                dw: own.dw.filter(|_| !self.is_frozen(i)),
                accum,
                saved: own.saved,
                saved_index: own.saved_index,
                scratch: own.scratch,
                masks: &masks(cx.masks)[..n + 1],
                trainable: cx.trainable,
                rng: cx.rng.reseeded(i as u64),
                par: cx.par,
            });
        };
        let (dx_front, dx_back) = (dx.as_deref_mut(), wanted.then_some(dx_back));
        let dx_back = dx_back.map(|dx| &mut *dx);
        let mut dx_back = dx_back;
        let of_back = dx_back.as_deref_mut();
        cx.par.join(
            || run(0, f, df, f_states, dx_front, f_initial, front),
            || run(1, b, db, b_states, of_back, b_initial, back),
        );
        if let (Some(dx), Some(more)) = (dx, dx_back) {
            elementwise::add(more, dx);
        }
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

/// What one direction is lent in forward.
struct Front<'a> {
    w: Weights<'a>,
    state: Weights<'a>,
    saved: Slices<'a>,
    saved_index: Slices<'a, u32>,
    scratch: Slices<'a>,
    stats: Slices<'a>,
}

/// What one direction is lent in backward.
struct Back<'a> {
    w: Weights<'a>,
    state: Weights<'a>,
    saved: Slices<'a>,
    saved_index: Slices<'a, u32>,
    scratch: Slices<'a>,
    dw: Option<Slices<'a>>,
}

/// The inputs of direction `i`: the first, and `n` states.
fn views<'a>(i: usize, n: usize, x: &[View<'a>]) -> [View<'a>; STATES + 1] {
    std::array::from_fn(|j| match j {
        0 => x[0],
        j => *x.get(i * n + j).unwrap_or(&x[0]),
    })
}

/// The mask of the first input, which is that of both directions.
fn masks<'a>(masks: &[Option<Mask<'a>>]) -> [Option<Mask<'a>>; STATES + 1] {
    std::array::from_fn(|j| if j == 0 { masks[0] } else { None })
}

fn reborrow<'v>(view: &'v mut ViewMut<'_>) -> ViewMut<'v> {
    ViewMut {
        data: view.data,
        shape: view.shape,
        batch: view.batch,
    }
}

fn views_mut<'v>(views: &'v mut [ViewMut<'_>]) -> [ViewMut<'v>; STATES] {
    let mut views = views.iter_mut();
    std::array::from_fn(|_| match views.next() {
        Some(view) => reborrow(view),
        None => ViewMut {
            data: &mut [],
            shape: &[],
            batch: 0,
        },
    })
}

/// How the outputs lie: `batch (time) front width`, of which the time of the second runs backwards.
struct Merge {
    batch: usize,
    time: Option<usize>,
    front: Dims,
    widths: [usize; 2],
}

impl Merge {
    /// Shape of the output of a direction.
    fn shape(&self, i: usize) -> Dims {
        let mut shape = Dims::default();
        self.time.into_iter().for_each(|n| shape.push(n));
        self.front.iter().for_each(|&n| shape.push(n));
        shape.push(self.widths[i]);
        shape
    }

    /// Calls `f(row, other)` for every row of the output and the row of the second direction at the same time.
    fn rows(&self, mut f: impl FnMut(usize, usize)) {
        let (time, each) = (self.time.unwrap_or(1), self.front.numel());
        for sample in 0..self.batch {
            for t in 0..time {
                for k in 0..each {
                    let at = |t: usize| (sample * time + t) * each + k;
                    f(at(t), at(time - 1 - t));
                }
            }
        }
    }

    fn outputs(
        &self,
        mode: &MergeMode,
        f: &[Float],
        b: &[Float],
        y: &mut [Float],
        mut second: Option<&mut [Float]>,
    ) {
        let [wf, wb] = self.widths;
        self.rows(|row, other| {
            let (f, b) = (
                &f[row * wf..(row + 1) * wf],
                &b[other * wb..(other + 1) * wb],
            );
            if *mode == MergeMode::Concat {
                let y = &mut y[row * (wf + wb)..(row + 1) * (wf + wb)];
                y[..wf].copy_from_slice(f);
                y[wf..].copy_from_slice(b);
                return;
            }
            let y = &mut y[row * wf..(row + 1) * wf];
            y.copy_from_slice(f);
            match (mode, &mut second) {
                (MergeMode::Mul, _) => elementwise::mul(b, y),
                (MergeMode::None, Some(second)) => {
                    second[row * wb..(row + 1) * wb].copy_from_slice(b);
                }
                _ => elementwise::add(b, y),
            }
            if *mode == MergeMode::Ave {
                elementwise::scale(0.5, y);
            }
        });
    }

    fn gradients(
        &self,
        mode: &MergeMode,
        [f, b]: [&[Float]; 2],
        dy: &[Float],
        second: Option<&[Float]>,
        [df, db]: [&mut [Float]; 2],
    ) {
        let [wf, wb] = self.widths;
        self.rows(|row, other| {
            let (at_f, at_b) = (row * wf..(row + 1) * wf, other * wb..(other + 1) * wb);
            let (df, db) = (&mut df[at_f.clone()], &mut db[at_b.clone()]);
            if *mode == MergeMode::Concat {
                let dy = &dy[row * (wf + wb)..(row + 1) * (wf + wb)];
                df.copy_from_slice(&dy[..wf]);
                db.copy_from_slice(&dy[wf..]);
                return;
            }
            let dy = &dy[at_f.clone()];
            df.copy_from_slice(dy);
            db.copy_from_slice(match second {
                Some(second) => &second[row * wb..(row + 1) * wb],
                None => dy,
            });
            match mode {
                MergeMode::Mul => {
                    elementwise::mul(&b[at_b], df);
                    elementwise::mul(&f[at_f], db);
                }
                MergeMode::Ave => {
                    elementwise::scale(0.5, df);
                    elementwise::scale(0.5, db);
                }
                _ => {}
            }
        });
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
