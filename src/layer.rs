//! The layer contract: what every layer promises, and all that the engine knows of one.
//!
//! A layer is configuration and mathematics. It owns no weights and no activations: it declares what it needs, and is lent
//! slices for the time of one call. The names are the same everywhere: `x, y, w, dy, dx, dw`; row-major, batch first, channels
//! last.
//!
//! * [`Layer::forward`] writes **all** of `y`.
//! * [`Layer::backward`] **overwrites** every `dx` (which is `None` when nobody needs it), **accumulates** into `dw` (which is
//!   `None` when the layer is frozen) and **may destroy** `dy`.
//! * Fan-out is the engine's business alone: a second consumer of a value writes to a spare buffer, and the engine adds.
//! * An [`in_place`](Contract::in_place) layer receives `y` already holding `x`, and in backward `dx[0]` already holding `dy`
//!   (its `cx.x[0]` in forward and its `cx.dy` in backward are empty).
//! * Layers never change weights. Statistics that training updates are written to `stats` and folded in by
//!   [`Layer::update_state`] after the step.
//! * Cross-cutting things (name, trainable, activity regularizer) belong to [`LayerRef`], never to a layer.
//! * Randomness is counter based ([`Forward::rng`]): masks depend neither on threads nor on the order of calls.
//! * All validation is in [`Layer::output_shape`] and [`Layer::weights`]; inside `forward` and `backward` there is no `Result`,
//!   no allocation and no lock, only `debug_assert!`.

use std::fmt::Debug;
use std::sync::Arc;

use crate::activation::Activation;
use crate::config::Config;
use crate::constraint::Constraint;
use crate::error::Result;
use crate::float::Float;
use crate::initializer::Initializer;
pub use crate::kernels::gemm::Accum;
pub use crate::kernels::parallel::Par;
pub use crate::random::Stream;
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};
pub use crate::tensor::{View, ViewMut};

/// A layer: configuration, shape rules and mathematics on borrowed slices. See the [module](self) for the whole contract.
pub trait Layer: Debug + Send + Sync {
    /// Keras's class name: the key in files, and the stem of default names (`MaxPooling2D` gives `max_pooling2d`).
    fn class_name(&self) -> &'static str;

    /// Keras's constructor arguments; `name`, `trainable` and `dtype` are added by whoever writes a file.
    fn config(&self) -> Config;

    /// Shape of the (first) output. All validation of arguments and inputs happens here; axes may still be unknown.
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape>;

    /// Shapes of further outputs (the states of a recurrent layer).
    fn more_outputs(&self, _inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(Vec::new())
    }

    /// Weights in Keras's order, trainable ones first. Asked once per layer, after `output_shape` accepted the inputs.
    fn weights(&self, _inputs: &[Shape]) -> Result<Vec<Weight>> {
        Ok(Vec::new())
    }

    /// Memory that must live from forward to backward, and memory that need not. Asked once per call of the layer and plan.
    fn buffers(&self, _inputs: &[Dims]) -> Buffers {
        Buffers::default()
    }

    /// What the planner may assume.
    fn contract(&self) -> Contract {
        Contract::default()
    }

    /// Computes `y` from `x`.
    fn forward(&self, cx: Forward<'_>);

    /// Computes `dx` and `dw` from `dy`.
    fn backward(&self, cx: Backward<'_>);

    /// Folds the statistics of a training step into the non-trainable state (BatchNormalization's moving moments).
    fn update_state(&self, _state: Slices<'_>, _stats: Weights<'_>) {}

    /// Shape of the mask this layer gives its output; asked only under [`MaskRule::Compute`].
    fn mask_shape(&self, _inputs: &[Shape], _masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        Ok(None)
    }

    /// Writes that mask.
    fn compute_mask(&self, _x: &[View<'_>], _masks: &[Option<Mask<'_>>], _out: &mut [bool]) {}

    /// Where the layer ends in an activation, how to stop before it: a cross-entropy is computed from the logits, as in Keras.
    fn head(&self) -> Head {
        Head::None
    }

    /// A penalty on the output that is part of the layer itself (`ActivityRegularization`).
    fn activity_regularizer(&self) -> Option<&Regularizer> {
        None
    }
}

/// One weight (or piece of non-trainable state) that a layer asks for.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Keras's name of it: `kernel`, `bias`, ...
    pub name: &'static str,
    /// Sub-path in a weights file: `""`, `cell`, `forward_layer/cell`, ...
    pub group: String,
    /// Its shape.
    pub shape: Dims,
    /// How it starts.
    pub init: Initializer,
    /// Trained, or kept as state.
    pub kind: Kind,
    /// Penalty added to the loss.
    pub regularizer: Option<Regularizer>,
    /// Projection after each update.
    pub constraint: Option<Constraint>,
}

/// Whether a weight is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Updated by the optimizer.
    Trainable,
    /// Updated only through [`Layer::update_state`].
    State,
}

impl Weight {
    /// A trainable weight.
    pub fn new(name: &'static str, shape: impl Into<Dims>, init: &Initializer) -> Self {
        let (kind, group) = (Kind::Trainable, String::new());
        Weight {
            name,
            group,
            shape: shape.into(),
            init: init.clone(),
            kind,
            regularizer: None,
            constraint: None,
        }
    }

    /// Non-trainable state.
    pub fn state(name: &'static str, shape: impl Into<Dims>, init: &Initializer) -> Self {
        Weight {
            kind: Kind::State,
            ..Weight::new(name, shape, init)
        }
    }

    /// With this penalty.
    pub fn regularizer(mut self, regularizer: &Option<Regularizer>) -> Self {
        self.regularizer.clone_from(regularizer);
        self
    }

    /// With this projection.
    pub fn constraint(mut self, constraint: &Option<Constraint>) -> Self {
        self.constraint.clone_from(constraint);
        self
    }

    /// Under this sub-path.
    pub fn group(mut self, group: &str) -> Self {
        self.group = if self.group.is_empty() {
            group.to_string()
        } else {
            format!("{group}/{}", self.group)
        };
        self
    }
}

/// Size of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Len {
    /// This many elements for each sample.
    PerSample(usize),
    /// This many, whatever the batch.
    Fixed(usize),
}

impl Len {
    /// Elements for a batch of this size.
    pub fn at(self, batch: usize) -> usize {
        match self {
            Len::PerSample(n) => n * batch,
            Len::Fixed(n) => n,
        }
    }
}

/// The memory a call of a layer needs besides its inputs and outputs.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    /// Written in forward, read in backward. Lent for writing in inference too, but not kept.
    pub saved: Vec<Len>,
    /// Indices written in forward and read in backward (the argmax of a pooling).
    pub saved_index: Vec<Len>,
    /// Free to use within one call; its content is undefined.
    pub scratch: Vec<Len>,
}

/// What the planner may assume of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    /// Backward reads `x`. Default true.
    pub reads_x: bool,
    /// Backward reads `y`. Default false.
    pub reads_y: bool,
    /// Works in one buffer; needs equal sizes of the first input and the output.
    pub in_place: bool,
    /// The result for one sample depends on the others (BatchNormalization).
    pub batch_coupled: bool,
    /// Backward honours [`Backward::accum`]: with `Replace`, `dw` holds garbage and is to be overwritten. Saves a sweep.
    pub overwrites_dw: bool,
    /// Gradients flow to the inputs. False for what cannot be differentiated (token ids into an embedding).
    pub differentiable: bool,
    /// What becomes of the mask of the input.
    pub mask: MaskRule,
}

impl Default for Contract {
    fn default() -> Self {
        Contract {
            reads_x: true,
            reads_y: false,
            in_place: false,
            batch_coupled: false,
            overwrites_dw: false,
            differentiable: true,
            mask: MaskRule::Stop,
        }
    }
}

/// What becomes of a mask, as Keras decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskRule {
    /// `supports_masking` is false: the output has none.
    Stop,
    /// The output has the first input's mask.
    Pass,
    /// [`Layer::mask_shape`] and [`Layer::compute_mask`] say.
    Compute,
}

/// The mask of a value: `false` marks padding. Its shape is a prefix of the value's (usually the time axis).
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// `batch * shape.product()` flags.
    pub data: &'a [bool],
    /// Shape for one sample.
    pub shape: &'a [usize],
}

/// How to split a layer that ends in an activation.
#[derive(Clone, Debug)]
pub enum Head {
    /// It does not end in one.
    None,
    /// The layer is that activation and nothing else: its input are the logits.
    Whole(Activation),
    /// The first is the layer without its activation (same weights), which is the second.
    Split(Arc<dyn Layer>, Activation),
}

/// Whether statistics, dropout and the like are those of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `predict` and `evaluate`.
    Infer,
    /// `fit`.
    Train,
}

/// Read-only slices in the order in which they were declared: `let [kernel, bias] = cx.w.all();` or one by one as an iterator.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    data: &'a [Float],
    lens: &'a [usize],
}

impl<'a> Weights<'a> {
    /// Cuts `data` into pieces of these lengths.
    pub fn new(data: &'a [Float], lens: &'a [usize]) -> Self {
        Weights { data, lens }
    }

    /// All of them.
    ///
    /// # Panics
    /// If there are not exactly `K`.
    pub fn all<const K: usize>(mut self) -> [&'a [Float]; K] {
        assert_eq!(K, self.lens.len(), "number of weights");
        std::array::from_fn(|_| self.next().expect("counted"))
    }

    /// The first `n` of them, leaving the rest: a wrapper hands inner layers their own.
    pub fn take_front(&mut self, n: usize) -> Weights<'a> {
        let (lens, rest_lens) = self.lens.split_at(n);
        let (data, rest) = self.data.split_at(lens.iter().sum());
        *self = Weights {
            data: rest,
            lens: rest_lens,
        };
        Weights { data, lens }
    }
}

impl<'a> Iterator for Weights<'a> {
    type Item = &'a [Float];
    fn next(&mut self) -> Option<&'a [Float]> {
        let (&len, lens) = self.lens.split_first()?;
        let (head, data) = self.data.split_at(len);
        *self = Weights { data, lens };
        Some(head)
    }
}

/// Writable slices in the order in which they were declared; see [`Weights`].
#[derive(Debug, Default)]
pub struct Slices<'a, T = Float> {
    data: &'a mut [T],
    lens: Lens<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Lens<'a> {
    Exact(&'a [usize]),
    Scaled(&'a [Len], usize),
}

impl Default for Lens<'_> {
    fn default() -> Self {
        Lens::Exact(&[])
    }
}

impl<'a, T> Slices<'a, T> {
    /// Cuts `data` into pieces of these lengths.
    pub fn exact(data: &'a mut [T], lens: &'a [usize]) -> Self {
        Slices {
            data,
            lens: Lens::Exact(lens),
        }
    }

    /// Cuts `data` into pieces of these lengths at this batch size.
    pub fn scaled(data: &'a mut [T], lens: &'a [Len], batch: usize) -> Self {
        Slices {
            data,
            lens: Lens::Scaled(lens, batch),
        }
    }

    /// All of them.
    ///
    /// # Panics
    /// If there are not exactly `K`.
    pub fn all<const K: usize>(mut self) -> [&'a mut [T]; K] {
        assert_eq!(K, self.pieces(), "number of slices");
        std::array::from_fn(|_| self.take_front(1).data)
    }

    /// The first `n` of them, leaving the rest.
    pub fn take_front(&mut self, n: usize) -> Slices<'a, T> {
        let (front, rest, len) = match self.lens {
            Lens::Exact(lens) => (
                Lens::Exact(&lens[..n]),
                Lens::Exact(&lens[n..]),
                lens[..n].iter().sum(),
            ),
            Lens::Scaled(lens, batch) => {
                let len = lens[..n].iter().map(|l| l.at(batch)).sum();
                (
                    Lens::Scaled(&lens[..n], batch),
                    Lens::Scaled(&lens[n..], batch),
                    len,
                )
            }
        };
        let (data, tail) = std::mem::take(&mut self.data).split_at_mut(len);
        *self = Slices {
            data: tail,
            lens: rest,
        };
        Slices { data, lens: front }
    }

    /// The same slices for a shorter time.
    pub fn reborrow(&mut self) -> Slices<'_, T> {
        Slices {
            data: self.data,
            lens: self.lens,
        }
    }

    fn pieces(&self) -> usize {
        match self.lens {
            Lens::Exact(lens) => lens.len(),
            Lens::Scaled(lens, _) => lens.len(),
        }
    }
}

impl<'a, T> Iterator for Slices<'a, T> {
    type Item = &'a mut [T];
    fn next(&mut self) -> Option<&'a mut [T]> {
        (self.pieces() > 0).then(|| self.take_front(1).data)
    }
}

/// All that a layer is lent for one forward call. Taken by value: destructuring gives disjoint borrows.
#[derive(Debug)]
pub struct Forward<'a> {
    /// Inputs.
    pub x: &'a [View<'a>],
    /// Trainable weights.
    pub w: Weights<'a>,
    /// Non-trainable state.
    pub state: Weights<'a>,
    /// The (first) output, to be written whole.
    pub y: ViewMut<'a>,
    /// Further outputs.
    pub more: &'a mut [ViewMut<'a>],
    /// See [`Buffers::saved`].
    pub saved: Slices<'a>,
    /// See [`Buffers::saved_index`].
    pub saved_index: Slices<'a, u32>,
    /// See [`Buffers::scratch`].
    pub scratch: Slices<'a>,
    /// Where training writes what [`Layer::update_state`] will fold in: one slice for each piece of state.
    pub stats: Slices<'a>,
    /// Mask of every input.
    pub masks: &'a [Option<Mask<'a>>],
    /// Training or inference.
    pub mode: Mode,
    /// False for a frozen layer (a frozen BatchNormalization uses its moving moments even in training).
    pub trainable: bool,
    /// Random numbers by sample.
    pub rng: Stream,
    /// Whether kernels may use threads.
    pub par: Par,
}

/// All that a layer is lent for one backward call.
#[derive(Debug)]
pub struct Backward<'a> {
    /// Inputs, if [`Contract::reads_x`].
    pub x: &'a [View<'a>],
    /// Trainable weights.
    pub w: Weights<'a>,
    /// Non-trainable state.
    pub state: Weights<'a>,
    /// The (first) output, if [`Contract::reads_y`].
    pub y: View<'a>,
    /// Gradient of the (first) output; may be destroyed.
    pub dy: ViewMut<'a>,
    /// Gradients of further outputs; may be destroyed.
    pub dmore: &'a mut [ViewMut<'a>],
    /// Gradients of the inputs, to be overwritten; `None` where nobody needs one.
    pub dx: &'a mut [Option<ViewMut<'a>>],
    /// Gradients of the trainable weights; `None` if the layer is frozen.
    pub dw: Option<Slices<'a>>,
    /// `Add` unless the layer [overwrites `dw`](Contract::overwrites_dw) and this is the first contribution of the step.
    pub accum: Accum,
    /// What forward saved.
    pub saved: Slices<'a>,
    /// What forward saved.
    pub saved_index: Slices<'a, u32>,
    /// See [`Buffers::scratch`].
    pub scratch: Slices<'a>,
    /// Mask of every input.
    pub masks: &'a [Option<Mask<'a>>],
    /// False for a frozen layer.
    pub trainable: bool,
    /// The same stream as in forward: a dropout draws its mask again.
    pub rng: Stream,
    /// Whether kernels may use threads.
    pub par: Par,
}

/// A layer as a part of a model: shared, named, trainable or frozen.
///
/// Calling one `LayerRef` twice shares its weights.
#[derive(Clone, Debug)]
pub struct LayerRef {
    pub(crate) layer: Arc<dyn Layer>,
    pub(crate) name: Option<String>,
    pub(crate) trainable: bool,
    pub(crate) activity_regularizer: Option<Regularizer>,
}

impl LayerRef {
    /// Names the layer; names are unique within a model.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Freezes (`false`) or unfreezes the layer's weights. Default true.
    pub fn trainable(mut self, trainable: bool) -> Self {
        self.trainable = trainable;
        self
    }

    /// Penalty on the output, added to the loss (divided by the batch size, as Keras does).
    pub fn activity_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.activity_regularizer = Some(regularizer.into());
        self
    }
}

impl<L: Layer + 'static> From<L> for LayerRef {
    fn from(layer: L) -> Self {
        LayerRef {
            layer: Arc::new(layer),
            name: None,
            trainable: true,
            activity_regularizer: None,
        }
    }
}

/// `name`, `trainable` and `activity_regularizer` for every layer; they end the chain of its own builder methods.
pub trait LayerExt: Layer + Sized + 'static {
    /// Names the layer; names are unique within a model.
    fn name(self, name: impl Into<String>) -> LayerRef {
        LayerRef::from(self).name(name)
    }

    /// Freezes (`false`) or unfreezes the layer's weights. Default true.
    fn trainable(self, trainable: bool) -> LayerRef {
        LayerRef::from(self).trainable(trainable)
    }

    /// Penalty on the output, added to the loss (divided by the batch size, as Keras does).
    fn activity_regularizer(self, regularizer: impl Into<Regularizer>) -> LayerRef {
        LayerRef::from(self).activity_regularizer(regularizer)
    }
}

impl<L: Layer + 'static> LayerExt for L {}

/// Keras's default name for an object of this class: `MaxPooling2D` gives `max_pooling2d`, `ReLU` gives `re_lu`.
pub fn default_name(class: &str) -> String {
    let chars: Vec<char> = class.chars().collect();
    let mut name = String::new();
    for (i, c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).map(|j| chars[j]);
        let starts_word = c.is_uppercase() && chars.get(i + 1).is_some_and(|n| n.is_lowercase());
        let follows_lower = c.is_uppercase() && before.is_some_and(|b| b.is_lowercase());
        if before.is_some() && (starts_word || follows_lower) {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_names_are_keras_s() {
        for (class, name) in [
            ("Dense", "dense"),
            ("MaxPooling2D", "max_pooling2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("ReLU", "re_lu"),
            ("PReLU", "p_re_lu"),
            ("LSTMCell", "lstm_cell"),
            ("GRU", "gru"),
            ("GlobalAveragePooling1D", "global_average_pooling1d"),
        ] {
            assert_eq!(default_name(class), name);
        }
    }

    #[test]
    fn slices_are_carved_in_order() {
        let data = [1.0, 2.0, 3.0, 4.0, 5.0];
        let mut w = Weights::new(&data, &[2, 1, 2]);
        let inner = w.take_front(1);
        assert_eq!(inner.all(), [&data[..2]]);
        assert_eq!(w.all(), [&data[2..3], &data[3..]]);
        let mut data = [0.0; 7];
        let slices = Slices::scaled(&mut data, &[Len::PerSample(2), Len::Fixed(3)], 2);
        let [a, b] = slices.all();
        assert_eq!((a.len(), b.len()), (4, 3));
    }
}
