//! Products of arrays: `einsum`, `matmul`, `dot`. Each is an equation of labels (see [`equation`](crate::layers::equation)):
//! `y = sum a b` over the labels that `y` lacks; `da` is the same with `dy` and `b`, `db` with `a` and `dy`.

use std::sync::Arc;

use super::Op;
use super::operand::{Constant, Operand, operands};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::einsum::einsum;
use crate::layer::{Accum, Arg, Backward, Bound, Call, Contract, Forward, Layer, View};
use crate::layers::args::checked;
use crate::layers::equation::Equation;
use crate::shape::{Dims, Shape};

/// Which product.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    Einsum(String),
    Matmul,
    Dot,
}

/// The operation on one array or two, of which one may be constant.
#[derive(Clone, Debug)]
pub(super) struct Product {
    pub op: Op,
    pub rule: Rule,
    operands: Vec<Operand>,
}

/// The second operand where there is only one.
const ONE: &[Float] = &[1.0];

/// Shape of an operand with the batch, and whether it has one.
fn dims_of(operand: &Operand, x: Option<&[usize]>, batch: usize) -> Dims {
    let mut dims = Dims::default();
    match (operand, x) {
        (Operand::Array(Constant { dims, .. }), _) => return *dims,
        (_, Some(x)) => {
            dims.push(batch);
            x.iter().for_each(|&n| dims.push(n));
        }
        _ => {}
    }
    dims
}

impl Product {
    pub(super) fn new(op: Op, rule: Rule) -> Self {
        let operands = vec![Operand::Tensor, Operand::Tensor];
        Product { op, rule, operands }
    }

    /// The equation for operands of these ranks, with the batch.
    fn equation(&self, ranks: &[usize]) -> Result<Equation> {
        let fixed = |text: &str| Equation::new(text, ranks);
        match (&self.rule, ranks) {
            (Rule::Einsum(text), _) => Equation::new(text, ranks),
            (_, [1, 1]) => fixed("k,k->"),
            (_, [_, 1]) => fixed("...k,k->..."),
            (_, [1, _]) => fixed("k,...kj->...j"),
            (Rule::Dot, [_, 2]) => fixed("...k,kj->...j"),
            (Rule::Dot, [_, rank]) => {
                // The other axes of the second operand are labels of their own.
                let rest = &"abcdefg"[..(rank - 2).min(7)];
                fixed(&format!("...k,{rest}kz->...{rest}z"))
            }
            _ => fixed("...ik,...kj->...ij"),
        }
    }

    /// The equation, checked, for tensors with these sample shapes.
    fn plan(&self, inputs: &[Shape]) -> Result<(Equation, Vec<Vec<Option<usize>>>)> {
        let mut tensors = inputs.iter();
        let mut shapes = Vec::new();
        for operand in &self.operands {
            shapes.push(match operand {
                Operand::Array(constant) => constant.dims.iter().copied().map(Some).collect(),
                _ => {
                    let x = tensors
                        .next()
                        .ok_or_else(|| Error::shape("as many tensors as operands", inputs.len()))?;
                    let mut dims = vec![None];
                    dims.extend(x.dims());
                    dims
                }
            });
        }
        if tensors.next().is_some() {
            return Err(Error::shape(
                format!("{} operands", self.operands.len()),
                inputs.len(),
            ));
        }
        let ranks: Vec<usize> = shapes.iter().map(Vec::len).collect();
        let equation = self.equation(&ranks)?;
        let batched = |i: usize| matches!(self.operands.get(i), Some(Operand::Tensor));
        equation.check_batch([batched(0), batched(1)])?;
        Ok((equation, shapes))
    }

    /// The operands' numbers and shapes, with the batch.
    fn sources<'a>(&'a self, x: &[View<'a>]) -> ([&'a [Float]; 2], [Dims; 2]) {
        let mut tensors = x.iter();
        let (mut data, mut dims) = ([ONE; 2], [Dims::default(); 2]);
        for (i, operand) in self.operands.iter().enumerate() {
            let x = if let Operand::Tensor = operand {
                tensors.next()
            } else {
                None
            };
            dims[i] = dims_of(operand, x.map(|x| x.shape), x.map_or(0, |x| x.batch));
            data[i] = match operand {
                Operand::Array(constant) => &constant.data,
                _ => x.map_or(ONE, |x| x.data),
            };
        }
        (data, dims)
    }

    fn at(&self, dims: &[Dims; 2]) -> Equation {
        let ranks = [dims[0].len(), dims[1].len()];
        self.equation(&ranks[..self.operands.len()])
            .expect("checked")
    }
}

fn with_batch(shape: &[usize], batch: usize) -> Dims {
    dims_of(&Operand::Tensor, Some(shape), batch)
}

impl Layer for Product {
    fn class_name(&self) -> &'static str {
        self.op.class
    }

    fn module(&self) -> &'static str {
        self.op.module
    }

    fn config(&self) -> Config {
        self.op.config.clone()
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let (operands, bound) = match &self.rule {
            Rule::Einsum(_) if call.args.len() == 1 => {
                let (operands, bound) = operands(call, ["operands"])?;
                (operands.to_vec(), bound)
            }
            _ => {
                // `einsum(.., [a, b])` is `einsum(.., a, b)`.
                let list = match &call.args[..] {
                    [Arg::List(list)] => Call {
                        args: list.clone(),
                        kwargs: call.kwargs.clone(),
                    },
                    _ => call.clone(),
                };
                let (operands, bound) = operands(&list, ["x1", "x2"])?;
                (operands.to_vec(), bound)
            }
        };
        if operands.iter().any(|o| matches!(o, Operand::Number(_))) {
            return Err(Error::arg("x2", "arrays", "a number"));
        }
        let layer = Product {
            operands,
            ..self.clone()
        };
        Ok(Bound {
            layer: Some(Arc::new(layer)),
            ..bound
        })
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (equation, shapes) = self.plan(inputs)?;
        let shapes: Vec<&[Option<usize>]> = shapes.iter().map(|s| &s[..]).collect();
        let with_batch = equation.output(&shapes)?;
        checked(with_batch.dims()[1..].to_vec().into())
    }

    fn forward(&self, cx: Forward<'_>) {
        let (data, dims) = self.sources(cx.x);
        let y = with_batch(cx.y.shape, cx.y.batch);
        let labels = self.at(&dims).labels([&dims[0], &dims[1], &y], [0, 1, 2]);
        einsum(&labels, data[0], data[1], Accum::Replace, cx.y.data, cx.par);
    }

    fn backward(&self, cx: Backward<'_>) {
        let (data, dims) = self.sources(cx.x);
        let y = with_batch(cx.dy.shape, cx.dy.batch);
        let equation = self.at(&dims);
        let mut gradients = cx.dx.iter_mut();
        for i in 0..self.operands.len() {
            let Operand::Tensor = self.operands[i] else {
                continue;
            };
            let Some(dx) = gradients.next().expect("as many as tensors") else {
                continue;
            };
            let labels = equation.labels([&dims[0], &dims[1], &y], [2, 1 - i, i]);
            // Off the diagonal of a repeated label nothing is written.
            let accum = match equation.term(i).repeats() {
                true => Accum::Add,
                false => Accum::Replace,
            };
            if accum == Accum::Add {
                dx.data.fill(0.0);
            }
            einsum(&labels, cx.dy.data, data[1 - i], accum, dx.data, cx.par);
        }
    }

    fn contract(&self) -> Contract {
        Contract::default()
    }
}
