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
//! * Layers never change weights while they run. Statistics that training updates are written to `stats` and folded in by
//!   [`Layer::update_state`] after the step; what must happen to weights before one is done in [`Layer::prepare`].
//! * Cross-cutting things (name, trainable, activity regularizer) belong to [`LayerRef`], never to a layer.
//! * Randomness is counter based ([`Forward::rng`]): masks depend neither on threads nor on the order of calls.
//! * All validation is in [`Layer::output_shape`] and [`Layer::weights`]; inside `forward` and `backward` there is no `Result`,
//!   no allocation and no lock, only `debug_assert!`.

mod call;
mod reference;
mod slices;

pub use call::{Arg, Bound, Call, CallArgs};
pub use reference::{LayerExt, LayerRef, default_name};
pub use slices::{Len, Slices, Weights};

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
pub use crate::random::{SampleRng, Stream};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};
pub use crate::tensor::{View, ViewMut};

/// A layer: configuration, shape rules and mathematics on borrowed slices. See the [module](self) for the whole contract.
pub trait Layer: Debug + Send + Sync {
    /// Keras's class name: the key in files, and the stem of default names (`MaxPooling2D` gives `max_pooling2d`).
    fn class_name(&self) -> &'static str;

    /// Keras's module of the class: `keras.layers`, or that of one of its operations (`keras.src.ops.numpy`).
    fn module(&self) -> &'static str {
        "keras.layers"
    }

    /// Keras's constructor arguments; `name`, `trainable` and `dtype` are added by whoever writes a file.
    fn config(&self) -> Config;

    /// Shape of the (first) output. All validation of arguments and inputs happens here; axes may still be unknown.
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape>;

    /// Shape of the (first) output in inference, where it differs: RandomCrop crops in training only.
    fn inference_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.output_shape(inputs)
    }

    /// Shapes of further outputs (the states of a recurrent layer).
    fn more_outputs(&self, _inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(Vec::new())
    }

    /// Puts the arguments of a call into the flat list of inputs that all other methods see. Default: every positional tensor is
    /// an input. A layer with arguments of its own (`initial_state`, `use_causal_mask`, the constant of `x + 1`) gives a variant of
    /// itself that has them built in and uses the same weights.
    ///
    /// # Errors
    /// If it has no such argument.
    fn bind(&self, call: &Call) -> Result<Bound> {
        call.flat()
    }

    /// Weights in Keras's order. Asked once per layer, after `output_shape` accepted the inputs.
    fn weights(&self, _inputs: &[Shape]) -> Result<Vec<Weight>> {
        Ok(Vec::new())
    }

    /// Memory that must live from forward to backward, and memory that need not. Asked once per call of the layer and plan.
    fn buffers(&self, _inputs: &[Dims]) -> Buffers {
        Buffers::default()
    }

    /// The same where there will be no backward. A layer that saves much may ask for less here; its `forward` then finds out by
    /// looking for what it saves.
    fn inference_buffers(&self, inputs: &[Dims]) -> Buffers {
        self.buffers(inputs)
    }

    /// What the planner may assume.
    fn contract(&self) -> Contract {
        Contract::default()
    }

    /// What a training step does to the layer's own weights before it begins (SpectralNormalization divides its kernel by its
    /// norm). Only called for layers with state; `room` is as large as `state` and free to use.
    fn prepare(&self, _w: Slices<'_>, _state: Slices<'_>, _room: Slices<'_>) {}

    /// Computes `y` from `x`.
    fn forward(&self, cx: Forward<'_>);

    /// Computes `dx` and `dw` from `dy`.
    fn backward(&self, cx: Backward<'_>);

    /// Folds the statistics of a training step into the non-trainable state (BatchNormalization's moving moments). A layer with
    /// [memory](Kind::Memory) is asked after every batch.
    fn update_state(&self, _state: Slices<'_>, _stats: Weights<'_>) {}

    /// What files hold in place of the weight of this name, where that is not the weight itself (see [`Weight::adapts`]).
    fn filed(&self, _name: &str, _w: Weights<'_>, _state: Weights<'_>) -> Option<Vec<Float>> {
        None
    }

    /// Arrays that files hold of the layer under names of their own, though they are none of its weights (they follow from its
    /// configuration, and Keras wants to find them).
    fn constants(&self) -> Vec<(&'static str, Vec<Float>)> {
        Vec::new()
    }

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

    /// Whether the weights are frozen wherever the layer stands (a wrapper around a frozen layer).
    fn frozen(&self) -> bool {
        false
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
    /// A second sub-path under which a weights file holds it, if Keras writes it twice.
    pub also: Option<String>,
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
    /// A factor of a low-rank addition to another weight: files hold the sum in that weight's place ([`Layer::filed`]), and after
    /// loading this one is zero.
    pub adapts: bool,
    /// Not updated although the layer is trained: a weight of a frozen part of it. Its gradient must be finite, and counts nowhere.
    pub frozen: bool,
}

/// Whether a weight is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Updated by the optimizer.
    Trainable,
    /// Updated only through [`Layer::update_state`].
    State,
    /// What a stateful layer remembers from batch to batch, one piece for every sample of a batch. It is state to the layer, but no
    /// weight: it is in no file and in no list of weights, and starts at zero.
    Memory,
}

impl Weight {
    /// A trainable weight.
    pub fn new(name: &'static str, shape: impl Into<Dims>, init: &Initializer) -> Self {
        let (kind, group) = (Kind::Trainable, String::new());
        Weight {
            name,
            group,
            also: None,
            shape: shape.into(),
            init: init.clone(),
            kind,
            regularizer: None,
            constraint: None,
            adapts: false,
            frozen: false,
        }
    }

    /// Non-trainable state.
    pub fn state(name: &'static str, shape: impl Into<Dims>, init: &Initializer) -> Self {
        Weight {
            kind: Kind::State,
            ..Weight::new(name, shape, init)
        }
    }

    /// What is remembered of every sample, of this shape each.
    pub fn memory(name: &'static str, shape: impl Into<Dims>) -> Self {
        Weight {
            kind: Kind::Memory,
            ..Weight::new(name, shape, &Initializer::Zeros)
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

    /// As a factor of an addition to another weight.
    pub fn adapts(mut self) -> Self {
        self.adapts = true;
        self
    }

    /// Under this sub-path.
    pub fn group(mut self, group: &str) -> Self {
        let below = |path: &str| match path {
            "" => group.to_string(),
            path => format!("{group}/{path}"),
        };
        (self.group, self.also) = (below(&self.group), self.also.as_deref().map(below));
        self
    }

    /// Under that sub-path too.
    pub fn also(mut self, group: &str) -> Self {
        self.also = Some(group.to_string());
        self
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
    /// Works in one buffer, where the first input and the output have equal sizes. (Where they may differ, the layer sees by
    /// whether `cx.x[0]` in forward and `cx.dy` in backward are empty.)
    pub in_place: bool,
    /// The result for one sample depends on the others (BatchNormalization).
    pub batch_coupled: bool,
    /// Backward honours [`Backward::accum`]: with `Replace`, `dw` holds garbage and is to be overwritten. Saves a sweep.
    pub overwrites_dw: bool,
    /// The gradient of the first weight, a table, is the rows of `dy` added to the rows that the first input names (as
    /// [`table_row`] reads it). The engine keeps them where an optimizer treats a row that was looked up twice as Keras does.
    pub looks_up: bool,
    /// Gradients flow to the inputs. False for what cannot be differentiated (token ids into an embedding).
    pub differentiable: bool,
    /// What becomes of the mask of the input.
    pub mask: MaskRule,
    /// The masks of its inputs end with this call: who reads the same values later sees none. So Keras's MultiHeadAttention does.
    pub takes_masks: bool,
}

impl Default for Contract {
    fn default() -> Self {
        Contract {
            reads_x: true,
            reads_y: false,
            in_place: false,
            batch_coupled: false,
            overwrites_dw: false,
            looks_up: false,
            differentiable: true,
            mask: MaskRule::Stop,
            takes_masks: false,
        }
    }
}

/// The row that an id means in a table of so many: negative ones count from the end. `None`: there is none.
pub fn table_row(id: Float, rows: usize) -> Option<usize> {
    let id = id.trunc();
    let at = if id < 0.0 { id + rows as Float } else { id };
    (at >= 0.0 && at < rows as Float).then_some(at as usize)
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

impl Head {
    /// Of a layer that ends in this activation; `linear` makes the layer without it.
    pub fn of<L: Layer + 'static>(activation: &Activation, linear: impl FnOnce() -> L) -> Self {
        match activation {
            Activation::Linear => Head::None,
            _ => Head::Split(Arc::new(linear()), activation.clone()),
        }
    }
}

/// Whether statistics, dropout and the like are those of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `predict` and `evaluate`.
    Infer,
    /// `fit`.
    Train,
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
    /// Where training writes what [`Layer::update_state`] will fold in: one slice for each piece of state. In inference there are
    /// slices only for a layer with memory.
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
