//! Keras's `keras.ops` on symbolic tensors: arithmetic between the layers of a functional model.
//!
//! ```
//! use oxhorn::{ops, prelude::*};
//! use ndarray::array;
//!
//! let (a, b) = (Input::new([2]).name("a"), Input::new([2]).name("b"));
//! let difference = ops::subtract(&a, &b)?;
//! let distance = ops::sqrt(&ops::sum(&ops::square(&difference)?, -1, true)?)?;
//! let similarity = ops::divide(1.0, &ops::add(&distance, 1.0)?)?;
//! let model = Model::new([&a, &b], &similarity)?;
//!
//! let y = model.predict([&array![[0.0f32, 0.0]].into_dyn(), &array![[0.0f32, 3.0]].into_dyn()])?;
//! assert_eq!(y, array![[0.25]].into_dyn());
//! # Ok::<(), oxhorn::Error>(())
//! ```
//!
//! Functions have Keras's names. Where a tensor is expected, `&tensor` will do; where a number or an array will do as well, it is
//! an [`Operand`]. Axes are counted as Keras counts: axis 0 is the batch, -1 the last. The batch axis stays first and alone; what
//! would mix samples is an error. Truth values are 0 and 1, and no gradient flows through them.

mod array;
mod binary;
mod math;
mod nn;
mod unary;

pub use array::*;
pub use binary::*;
pub use math::*;
pub use nn::*;
pub use unary::*;

use ndarray::{ArrayBase, Data, Dimension};
use serde_json::{Value, json};

use super::symbolic::{Input, Inputs, KerasTensor, Symbolic, one};
use crate::error::{Error, Result};
use crate::layer::{Arg, LayerRef};
use crate::layers;

/// An argument of an operation: a tensor of the model, a number, or a constant array (in NumPy's shape: without the batch).
#[derive(Clone, Debug)]
pub enum Operand {
    /// A tensor.
    Tensor(KerasTensor),
    /// A number, a truth value, or an array as Keras writes one.
    Constant(Value),
}

impl From<&KerasTensor> for Operand {
    fn from(tensor: &KerasTensor) -> Self {
        Operand::Tensor(tensor.clone())
    }
}

impl From<KerasTensor> for Operand {
    fn from(tensor: KerasTensor) -> Self {
        Operand::Tensor(tensor)
    }
}

impl From<&Input> for Operand {
    fn from(input: &Input) -> Self {
        Operand::Tensor(input.tensor().clone())
    }
}

impl From<f64> for Operand {
    fn from(number: f64) -> Self {
        Operand::Constant(number.into())
    }
}

impl From<f32> for Operand {
    fn from(number: f32) -> Self {
        Operand::Constant(f64::from(number).into())
    }
}

impl From<i32> for Operand {
    fn from(number: i32) -> Self {
        Operand::Constant(number.into())
    }
}

impl From<bool> for Operand {
    fn from(yes: bool) -> Self {
        Operand::Constant(yes.into())
    }
}

impl<S: Data<Elem = f32>, D: Dimension> From<&ArrayBase<S, D>> for Operand {
    fn from(array: &ArrayBase<S, D>) -> Self {
        // Nested lists, the innermost axis first.
        let mut items: Vec<Value> = array.iter().map(|x| json!(x)).collect();
        for &n in array.shape().iter().rev() {
            items = items
                .chunks(n.max(1))
                .map(|part| part.to_vec().into())
                .collect();
        }
        let value = items.into_iter().next().unwrap_or_default();
        Operand::Constant(
            json!({"class_name": "__numpy__", "config": {"value": value, "dtype": "float32"}}),
        )
    }
}

/// Arguments of a call under construction.
#[derive(Default)]
struct Arguments {
    inputs: Inputs,
}

impl Arguments {
    fn arg(&mut self, operand: impl Into<Operand>) -> Arg {
        match operand.into() {
            Operand::Tensor(tensor) => {
                self.inputs.tensors.push(tensor);
                Arg::Tensor(self.inputs.tensors.len() - 1)
            }
            Operand::Constant(value) => Arg::Value(value),
        }
    }

    fn and(mut self, operand: impl Into<Operand>) -> Self {
        let arg = self.arg(operand);
        self.inputs.call.args.push(arg);
        self
    }

    fn list(mut self, tensors: &[KerasTensor]) -> Self {
        let list = tensors.iter().map(|t| self.arg(t)).collect();
        self.inputs.call.args.push(Arg::List(list));
        self
    }

    fn named(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.inputs
            .call
            .kwargs
            .push((name.into(), Arg::Value(value.into())));
        self
    }

    /// All results of the operation.
    fn all(self, class: &str, config: Value) -> Result<Vec<KerasTensor>> {
        let config = config.as_object().cloned().unwrap_or_default();
        let layer = layers::ops::from_config(class, &config);
        let layer =
            layer.ok_or_else(|| Error::Model(format!("there is no operation `{class}`")))??;
        LayerRef::from_arc(layer).call_all(self.inputs)
    }

    /// The only result.
    fn one(self, class: &str, config: Value) -> Result<KerasTensor> {
        one(self.all(class, config)?, class)
    }
}

/// An operation on one tensor.
fn unary(class: &str, x: impl Symbolic, config: Value) -> Result<KerasTensor> {
    Arguments::default().and(x.tensor()).one(class, config)
}

/// An operation on two operands.
fn binary(class: &str, x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    Arguments::default().and(x1).and(x2).one(class, json!({}))
}

/// One axis or several: `-1`, `[1, 2]`.
pub trait IntoAxes {
    /// As Keras writes it.
    fn into_axes(self) -> Value;
}

impl IntoAxes for i64 {
    fn into_axes(self) -> Value {
        self.into()
    }
}

impl<const N: usize> IntoAxes for [i64; N] {
    fn into_axes(self) -> Value {
        json!(self.to_vec())
    }
}
