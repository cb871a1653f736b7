//! Symbolic tensors, and calls of layers on them: what functional models are written with.

use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value;

use super::donor::Donor;
use super::spec::{Block, Input as InputSpec, bind};
use crate::error::{Error, Result};
use crate::layer::{Arg, Call, Layer, LayerRef};
use crate::shape::Shape;

/// A tensor without values: an input of a model to be, or what a layer would make of others.
#[derive(Clone, Debug)]
pub struct KerasTensor(pub(super) Arc<Symbol>);

#[derive(Debug)]
pub(super) struct Symbol {
    pub shape: Shape,
    pub origin: Origin,
}

#[derive(Debug)]
pub(super) enum Origin {
    Input(InputSpec),
    Call(Arc<CallRecord>, usize),
}

#[derive(Debug)]
pub(super) struct CallRecord {
    pub block: Block,
    pub call: Call,
    pub tensors: Vec<KerasTensor>,
    pub donor: Option<Arc<Donor>>,
}

impl KerasTensor {
    /// Shape of one sample.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    pub(super) fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

/// An input of a functional model. [Keras](https://keras.io/api/layers/core_layers/input/)
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
/// let (a, b) = (Input::new([3]).name("a"), Input::new([3]).name("b"));
/// let dense = LayerRef::from(Dense::new(4).kernel_initializer("ones"));
/// let (ya, yb) = (dense.call(&a)?, dense.call(&b)?); // one layer, called twice
/// let model = Model::new([&a, &b], [&ya, &yb])?;
/// assert_eq!(model.count_params(), 3 * 4 + 4);
/// let y = model.predict_all([("b", &array![[1.0f32, 1.0, 1.0]]), ("a", &array![[1.0f32, 0.0, 0.0]])])?;
/// assert_eq!((y[0][[0, 0]], y[1][[0, 0]]), (1.0, 3.0));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Input {
    spec: InputSpec,
    pub(super) tensor: KerasTensor,
}

impl Input {
    /// Samples of this shape, without the batch axis; `None` for an axis whose size varies.
    pub fn new(shape: impl Into<Shape>) -> Self {
        Input::from_spec(InputSpec::new(shape.into()))
    }

    /// Batches of this shape, the number of samples (or `None`) in front: what stateful layers need.
    pub fn batch_shape(shape: impl Into<Shape>) -> Self {
        Input::from_spec(InputSpec::of_batch(&shape.into()))
    }

    /// Names the input: data may then be given by name.
    pub fn name(self, name: impl Into<String>) -> Self {
        Input::from_spec(InputSpec {
            name: Some(name.into()),
            ..self.spec
        })
    }

    /// Keras's type of the data, for files that Python will read: `int32` for token ids. Default `float32`.
    pub fn dtype(self, dtype: impl Into<String>) -> Self {
        Input::from_spec(InputSpec {
            dtype: dtype.into(),
            ..self.spec
        })
    }

    pub(super) fn from_spec(spec: InputSpec) -> Self {
        let tensor = KerasTensor(Arc::new(Symbol {
            shape: spec.shape.clone(),
            origin: Origin::Input(spec.clone()),
        }));
        Input { spec, tensor }
    }
}

impl Deref for Input {
    type Target = KerasTensor;
    fn deref(&self) -> &KerasTensor {
        &self.tensor
    }
}

/// What stands for one symbolic tensor: a [`KerasTensor`] or an [`Input`].
pub trait Symbolic {
    /// The tensor.
    fn tensor(&self) -> &KerasTensor;
}

impl Symbolic for KerasTensor {
    fn tensor(&self) -> &KerasTensor {
        self
    }
}

impl<T: Symbolic> Symbolic for &T {
    fn tensor(&self) -> &KerasTensor {
        (*self).tensor()
    }
}

impl Symbolic for Input {
    fn tensor(&self) -> &KerasTensor {
        &self.tensor
    }
}

/// Arguments of a symbolic call, when they are more than tensors by position:
/// `Inputs::of(&query).and(&value).keyword("attention_mask", &mask).constant("use_causal_mask", true)`.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub(super) call: Call,
    pub(super) tensors: Vec<KerasTensor>,
}

impl Inputs {
    /// With this first argument: a tensor or a list of tensors.
    pub fn of(tensors: impl IntoInputs) -> Self {
        tensors.into_inputs()
    }

    /// And this one, by position.
    pub fn and(mut self, tensors: impl IntoInputs) -> Self {
        let arg = self.take(tensors.into_inputs());
        self.call.args.push(arg);
        self
    }

    /// And this one, by name.
    pub fn keyword(mut self, name: &str, tensors: impl IntoInputs) -> Self {
        let arg = self.take(tensors.into_inputs());
        self.call.kwargs.push((name.into(), arg));
        self
    }

    /// And this constant, by name.
    pub fn constant(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.call
            .kwargs
            .push((name.into(), Arg::Value(value.into())));
        self
    }

    /// And this constant, by position.
    pub fn value(mut self, value: impl Into<Value>) -> Self {
        self.call.args.push(Arg::Value(value.into()));
        self
    }

    /// Takes over the tensors of `other`, which has one argument.
    fn take(&mut self, mut other: Inputs) -> Arg {
        let offset = self.tensors.len();
        self.tensors.append(&mut other.tensors);
        let mut arg = other.call.args.pop().unwrap_or(Arg::List(Vec::new()));
        shift(&mut arg, offset);
        arg
    }
}

fn shift(arg: &mut Arg, offset: usize) {
    match arg {
        Arg::Tensor(i) => *i += offset,
        Arg::List(list) => list.iter_mut().for_each(|a| shift(a, offset)),
        Arg::Value(_) => {}
    }
}

/// What a layer can be called on: `&tensor`, a list `[&a, &b]` or `&[a, b]`, or [`Inputs`].
pub trait IntoInputs {
    /// As arguments.
    fn into_inputs(self) -> Inputs;
}

impl IntoInputs for Inputs {
    fn into_inputs(self) -> Inputs {
        self
    }
}

impl IntoInputs for &KerasTensor {
    fn into_inputs(self) -> Inputs {
        Inputs {
            call: Call::plain(1),
            tensors: vec![self.clone()],
        }
    }
}

impl IntoInputs for &Input {
    fn into_inputs(self) -> Inputs {
        (&self.tensor).into_inputs()
    }
}

fn list<'a>(tensors: impl IntoIterator<Item = &'a KerasTensor>) -> Inputs {
    let tensors: Vec<KerasTensor> = tensors.into_iter().cloned().collect();
    Inputs {
        call: Call {
            args: vec![Arg::List((0..tensors.len()).map(Arg::Tensor).collect())],
            kwargs: Vec::new(),
        },
        tensors,
    }
}

impl IntoInputs for &[KerasTensor] {
    fn into_inputs(self) -> Inputs {
        list(self)
    }
}

impl IntoInputs for &Vec<KerasTensor> {
    fn into_inputs(self) -> Inputs {
        list(self)
    }
}

impl<T: Symbolic, const N: usize> IntoInputs for [T; N] {
    fn into_inputs(self) -> Inputs {
        list(self.iter().map(T::tensor))
    }
}

/// Calls a layer on symbolic tensors. For a layer by value; to call one layer twice make it a [`LayerRef`] first.
pub trait LayerCall: Layer + Sized + 'static {
    /// The layer's (only) output for these inputs.
    ///
    /// # Errors
    /// If the layer refuses the shapes or its arguments, or has several outputs (see [`LayerRef::call_all`]).
    fn call(self, inputs: impl IntoInputs) -> Result<KerasTensor> {
        LayerRef::from(self).call(inputs)
    }
}

impl<L: Layer + 'static> LayerCall for L {}

impl LayerRef {
    /// The layer's (only) output for these inputs. Calling it again shares its weights.
    ///
    /// # Errors
    /// If the layer refuses the shapes or its arguments, or has several outputs.
    pub fn call(&self, inputs: impl IntoInputs) -> Result<KerasTensor> {
        one(self.call_all(inputs)?, self.layer.class_name())
    }

    /// All outputs of the layer for these inputs.
    ///
    /// # Errors
    /// If the layer refuses the shapes or its arguments.
    pub fn call_all(&self, inputs: impl IntoInputs) -> Result<Vec<KerasTensor>> {
        record(Block::Layer(self.clone()), inputs.into_inputs(), None)
    }
}

pub(super) fn one(mut outputs: Vec<KerasTensor>, class: &str) -> Result<KerasTensor> {
    match outputs.len() {
        1 => Ok(outputs.remove(0)),
        n => Err(Error::Model(format!(
            "{class} has {n} outputs: call `call_all`"
        ))),
    }
}

/// The outputs of calling this block, with their shapes.
pub(super) fn record(
    block: Block,
    inputs: Inputs,
    donor: Option<Arc<Donor>>,
) -> Result<Vec<KerasTensor>> {
    let Inputs { call, tensors } = inputs;
    let shapes: Vec<Shape> = tensors.iter().map(|t| t.shape().clone()).collect();
    let owner = block.name().unwrap_or(block.class_name()).to_string();
    let bound = bind(&block, &call).map_err(|e| e.owned_by(&owner))?;
    let shapes: Vec<Shape> = bound.inputs.iter().map(|&i| shapes[i].clone()).collect();
    let named = |e: Error| e.owned_by(&owner);
    let outputs = block
        .output_shapes(bound.layer.as_ref(), &shapes)
        .map_err(named)?;
    if let Block::Layer(layer) = &block {
        let layer = bound.layer.as_ref().unwrap_or(&layer.layer);
        layer.weights(&shapes).map_err(named)?;
    }
    let record = Arc::new(CallRecord {
        block,
        call,
        tensors,
        donor,
    });
    let tensor = |(i, shape)| {
        KerasTensor(Arc::new(Symbol {
            shape,
            origin: Origin::Call(record.clone(), i),
        }))
    };
    Ok(outputs.into_iter().enumerate().map(tensor).collect())
}
