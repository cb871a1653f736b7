//! What an operation is called on: tensors of the model, numbers and constant arrays.

use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise::copy;
use crate::kernels::spread::Spread;
use crate::layer::{Arg, Bound, Call, Par, View};
use crate::layers::merging::base_merge;
use crate::shape::{Dims, Shape};

/// One operand.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    /// The next tensor of the call.
    Tensor,
    /// The same number for all.
    Number(Float),
    /// The same array for all samples.
    Array(Constant),
}

/// An array that stands in the call, in NumPy's shape.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub dims: Dims,
    pub data: Arc<[Float]>,
}

impl Constant {
    /// Reads nested lists of numbers.
    fn read(name: &str, value: &Value) -> Result<Constant> {
        let wrong = || {
            Error::arg(
                name,
                "a number or nested lists of numbers of one shape",
                "something else",
            )
        };
        let (mut sizes, mut inner) = (Vec::new(), value);
        while let Some(list) = inner.as_array() {
            sizes.push(list.len());
            inner = list.first().unwrap_or(&Value::Null);
        }
        let dims = Dims::new(&sizes)?;
        let mut data = Vec::new();
        collect(value, &dims, &mut data).ok_or_else(wrong)?;
        Ok(Constant {
            dims,
            data: data.into(),
        })
    }

    /// Its shape beside samples of this rank: without axes in front, or with one of size 1 in the place of the batch.
    pub(super) fn sample(&self, rank: usize) -> Result<&[usize]> {
        match &self.dims[..] {
            dims if dims.len() <= rank => Ok(dims),
            [1, dims @ ..] if dims.len() == rank => Ok(dims),
            _ => {
                let want = format!(
                    "constants of at most {rank} axes (the samples'; the batch is an axis of its own)"
                );
                Err(Error::shape(
                    want,
                    format!("a constant of shape {}", self.dims),
                ))
            }
        }
    }
}

fn collect(value: &Value, dims: &[usize], data: &mut Vec<Float>) -> Option<()> {
    match (value, dims) {
        (Value::Array(list), [n, inner @ ..]) if list.len() == *n => {
            list.iter().try_for_each(|v| collect(v, inner, data))
        }
        (Value::Number(n), []) => {
            data.push(n.as_f64()? as Float);
            Some(())
        }
        (Value::Bool(b), []) => {
            data.push(Float::from(u8::from(*b)));
            Some(())
        }
        _ => None,
    }
}

/// An argument as plain JSON: a constant, or a list of constants.
pub(super) fn constant(arg: &Arg) -> Option<Value> {
    match arg {
        Arg::Tensor(_) => None,
        Arg::List(list) => list.iter().map(constant).collect(),
        // Arrays: `{"class_name": "__numpy__", "config": {"value": [..], "dtype": ".."}}`.
        Arg::Value(value) => match value["class_name"].as_str() {
            Some("__numpy__" | "__tensor__") => Some(value["config"]["value"].clone()),
            _ => Some(value.clone()),
        },
    }
}

/// The operands of these names, and the tensors among them.
pub(super) fn operands<const N: usize>(
    call: &Call,
    names: [&str; N],
) -> Result<([Operand; N], Bound)> {
    let mut bound = Bound::default();
    let mut args = call.by_name(&names)?;
    let mut operands = [const { Operand::Tensor }; N];
    for (name, operand) in names.iter().zip(&mut operands) {
        let Some(arg) = args.any(name) else {
            return Err(Error::arg(*name, "a tensor or a constant", "nothing"));
        };
        *operand = match (arg, constant(arg)) {
            (Arg::Tensor(i), _) => {
                bound.inputs.push(*i);
                Operand::Tensor
            }
            (_, Some(value)) => {
                let constant = Constant::read(name, &value)?;
                match constant.dims.is_empty() {
                    true => Operand::Number(constant.data[0]),
                    false => Operand::Array(constant),
                }
            }
            (_, None) => {
                return Err(Error::arg(
                    *name,
                    "a tensor or a constant",
                    "a list of tensors",
                ));
            }
        };
    }
    args.finish()?;
    if bound.inputs.is_empty() {
        return Err(Error::arg(
            names[0],
            "at least one tensor among the operands",
            "constants",
        ));
    }
    Ok((operands, bound))
}

/// The only tensor of a call.
pub(super) fn one_tensor(call: &Call, name: &str) -> Result<Bound> {
    let mut args = call.by_name(&[name])?;
    let tensor = args.tensor(name)?;
    let tensor = tensor.ok_or_else(|| Error::arg(name, "a tensor", "nothing"))?;
    args.finish()?;
    Ok(Bound {
        inputs: vec![tensor],
        ..Bound::default()
    })
}

/// Shape to which the operands broadcast, the batch apart.
pub(super) fn broadcast(operands: &[Operand], inputs: &[Shape]) -> Result<Shape> {
    let rank = inputs.iter().map(Shape::rank).max().unwrap_or(0);
    if let Some(other) = inputs.iter().find(|x| x.rank() != rank) {
        let want = format!(
            "tensors of {} axes each: NumPy would put the batch beside another axis",
            rank + 1
        );
        return Err(Error::shape(want, other));
    }
    let mut shapes = inputs.to_vec();
    for operand in operands {
        if let Operand::Array(constant) = operand {
            shapes.push(Shape::from(constant.sample(rank)?));
        }
    }
    base_merge::output_shape(&shapes)
}

/// [`broadcast`] for known shapes.
pub(super) fn broadcast_dims(operands: &[Operand], inputs: &[Dims]) -> Dims {
    let rank = inputs.iter().map(|x| x.len()).max().unwrap_or(0);
    let arrays = operands.iter().filter_map(|operand| match operand {
        Operand::Array(constant) => constant.sample(rank).ok(),
        _ => None,
    });
    base_merge::broadcast_dims(inputs.iter().map(|x| &x[..]).chain(arrays))
}

/// The numbers of an operand and how they lie under the output.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub data: &'a [Float],
    pub spread: Spread,
}

impl<'a> Source<'a> {
    /// Of the operands in order; `y` is the shape of a sample of the output.
    pub(super) fn all<const N: usize>(
        operands: &'a [Operand; N],
        x: &[View<'a>],
        y: &[usize],
    ) -> [Source<'a>; N] {
        let batch = x[0].batch;
        let mut tensors = x.iter();
        operands.each_ref().map(|operand| match operand {
            Operand::Tensor => {
                let x = tensors.next().expect("as many as were bound");
                Source {
                    data: x.data,
                    spread: Spread::samples(batch, y, x.shape),
                }
            }
            Operand::Number(n) => {
                let spread = Spread::shared(batch, y, &[]);
                Source {
                    data: std::slice::from_ref(n),
                    spread,
                }
            }
            Operand::Array(constant) => {
                let dims = constant.sample(y.len()).expect("checked");
                Source {
                    data: &constant.data,
                    spread: Spread::shared(batch, y, dims),
                }
            }
        })
    }

    /// Writes it under every element of the output.
    pub(super) fn fill(&self, out: &mut [Float], par: Par) {
        self.spread
            .apply(self.data, out, par, copy, |one, out| out.fill(one));
    }

    /// The operand under every element of the output: itself, or spread into `room`.
    pub(super) fn whole<'b>(&self, room: &'b mut [Float], par: Par) -> &'b [Float]
    where
        'a: 'b,
    {
        if self.spread.is_whole() {
            return self.data;
        }
        self.fill(room, par);
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operands_are_tensors_numbers_and_arrays() {
        let call = Call {
            args: vec![
                Arg::Tensor(3),
                Arg::Value(json!({"class_name": "__numpy__",
                "config": {"value": [[1, 2], [3, 4]], "dtype": "float32"}})),
            ],
            kwargs: vec![("x3".into(), Arg::Value(json!(true)))],
        };
        let (operands, bound) = operands(&call, ["x1", "x2", "x3"]).unwrap();
        assert_eq!(bound.inputs, [3]);
        let [Operand::Tensor, Operand::Array(array), Operand::Number(one)] = &operands else {
            panic!("{operands:?}");
        };
        assert_eq!(
            (&array.dims[..], &array.data[..], *one),
            (&[2, 2][..], &[1.0, 2.0, 3.0, 4.0][..], 1.0)
        );
        let shape = broadcast(&operands, &[[5, 2, 1].into()]).unwrap();
        assert_eq!(shape, Shape::from([5, 2, 2]));
        assert!(broadcast(&operands, &[[2].into()]).is_err());
    }

    #[test]
    fn what_is_no_operand_is_refused() {
        let one = |arg: Arg| {
            let call = Call {
                args: vec![Arg::Tensor(0), arg],
                kwargs: Vec::new(),
            };
            operands(&call, ["x1", "x2"]).is_err()
        };
        assert!(one(Arg::Value(json!([[1], [1, 2]]))));
        assert!(one(Arg::Value(json!("x"))));
        assert!(one(Arg::List(vec![Arg::Tensor(1)])));
        assert!(one(Arg::Value(json!([[[[[[[[[1]]]]]]]]]))));
        assert!(!one(Arg::List(vec![
            Arg::Value(json!(1)),
            Arg::Value(json!(2))
        ])));
        let constants = Call {
            args: vec![Arg::Value(json!(1)); 2],
            kwargs: Vec::new(),
        };
        assert!(operands(&constants, ["x1", "x2"]).is_err());
        assert!(broadcast(&[], &[[2, 3].into(), [3].into()]).is_err());
    }
}
