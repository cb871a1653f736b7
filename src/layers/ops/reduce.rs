//! Reductions over axes of a sample: sums, means, extrema, norms, positions.
//!
//! Sums and means read `x` as it lies and spread `dy` back over it. For the others the reduced axes are brought into the last
//! place, so that every result belongs to a row: with `y = f(row)`,
//! `max`: `dx = dy / ties` where `x = y`; `prod`: `dx_i = dy prod_(j != i) x_j`; `var`: `dx = dy 2 (x - m) / n`;
//! `std`: `dx = dy (x - m) / (n y)`; `logsumexp`: `dx = dy e^(x - y)`; `norm`: `dx = dy x / y`.

use super::Op;
use super::functions::sign;
use super::operand::one_tensor;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise::{copy, dot, scale, sum};
use crate::kernels::reduce;
use crate::kernels::spread::Spread;
use crate::layer::{Backward, Bound, Buffers, Call, Contract, Forward, Layer};
use crate::layers::args::one_input;
use crate::layers::axes::{Axes, AxisSet};
use crate::layers::layout::Layout;
use crate::shape::{Dims, Shape};

/// What is made of the numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    Var,
    Std,
    Logsumexp,
    /// The Euclidean norm.
    Norm,
    /// The sum of the absolute values.
    Norm1,
    /// The largest absolute value.
    NormInf,
    All,
    Any,
    CountNonzero,
    Argmax,
    Argmin,
}

/// The operation.
#[derive(Clone, Debug)]
pub(super) struct Reduce {
    pub op: Op,
    pub kind: Kind,
    pub axes: Option<Axes>,
    pub keepdims: bool,
    /// What the extremum is compared with besides.
    pub initial: Option<Float>,
}

impl Reduce {
    fn set(&self, rank: usize) -> Result<AxisSet> {
        match &self.axes {
            Some(axes) => axes.of_sample("axis", rank),
            None => Err(Error::arg(
                "axis",
                "axes other than the batch (one sample must not depend on another)",
                "all of them",
            )),
        }
    }

    fn layout(&self, shape: &[usize]) -> Layout {
        Layout::new(self.set(shape.len()).expect("checked"), shape)
    }

    /// The shape with reduced axes of size 1.
    fn kept(&self, shape: &[usize]) -> Dims {
        let set = self.set(shape.len()).expect("checked");
        let mut kept = Dims::default();
        for (axis, &size) in shape.iter().enumerate() {
            kept.push(if set.has(axis) { 1 } else { size });
        }
        kept
    }

    fn is_sum(&self) -> bool {
        matches!(self.kind, Kind::Sum | Kind::Mean)
    }
}

impl Layer for Reduce {
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
        one_tensor(call, "x")
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = one_input(inputs)?;
        let set = self.set(x.rank())?;
        let mut dims = Vec::new();
        for (axis, &size) in x.dims().iter().enumerate() {
            match set.has(axis) {
                true if size == Some(0) => return Err(Error::shape("axes that are not empty", x)),
                true if self.keepdims => dims.push(Some(1)),
                true => {}
                false => dims.push(size),
            }
        }
        Ok(dims.into())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let layout = self.layout(&inputs[0]);
        Buffers {
            scratch: if self.is_sum() {
                Vec::new()
            } else {
                layout.scratch(1)
            },
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        use Kind::*;
        Contract {
            reads_x: !self.is_sum(),
            reads_y: matches!(self.kind, Max | Min | Std | Logsumexp | Norm | NormInf),
            differentiable: !matches!(self.kind, All | Any | CountNonzero | Argmax | Argmin),
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let x = cx.x[0];
        let layout = self.layout(x.shape);
        if self.is_sum() {
            let spread = Spread::samples(x.batch, x.shape, &self.kept(x.shape));
            cx.y.data.fill(0.0);
            spread.add_sums(x.data, cx.y.data);
            if self.kind == Kind::Mean {
                scale(1.0 / layout.cols as Float, cx.y.data);
            }
            return;
        }
        let [room] = cx.scratch.all();
        let rows = layout.enter(x.data, x.shape, room, cx.par);
        for (row, y) in rows.chunks_exact(layout.cols).zip(cx.y.data) {
            *y = self.kind.value(row);
            *y = match self.initial {
                Some(initial) if self.kind == Kind::Max => y.max(initial),
                Some(initial) if self.kind == Kind::Min => y.min(initial),
                _ => *y,
            };
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        let Some(dx) = &mut cx.dx[0] else { return };
        let layout = self.layout(dx.shape);
        if self.is_sum() {
            let spread = Spread::samples(dx.batch, dx.shape, &self.kept(dx.shape));
            if self.kind == Kind::Mean {
                scale(1.0 / layout.cols as Float, cx.dy.data);
            }
            return spread.apply(cx.dy.data, dx.data, cx.par, copy, |one, dx| dx.fill(one));
        }
        let (x, [room]) = (cx.x[0], cx.scratch.all());
        // dx takes the place of x, row by row.
        let out = if layout.plain {
            &mut *dx.data
        } else {
            &mut *room
        };
        if layout.plain {
            out.copy_from_slice(x.data);
        } else {
            layout.enter(x.data, x.shape, out, cx.par);
        }
        for (i, (row, dy)) in out
            .chunks_exact_mut(layout.cols)
            .zip(&*cx.dy.data)
            .enumerate()
        {
            let y = cx.y.data.get(i).copied().unwrap_or(0.0);
            self.kind.gradient(row, y, *dy);
        }
        if !layout.plain {
            layout.leave(room, dx.data, cx.par);
        }
    }
}

fn mean(row: &[Float]) -> Float {
    sum(row) / row.len() as Float
}

fn variance(row: &[Float]) -> Float {
    let m = mean(row);
    row.iter().map(|x| (x - m) * (x - m)).sum::<Float>() / row.len() as Float
}

fn flag(yes: bool) -> Float {
    Float::from(u8::from(yes))
}

impl Kind {
    fn value(self, row: &[Float]) -> Float {
        let largest = |f: fn(Float) -> Float| {
            row.iter().map(|x| f(*x)).fold(Float::NEG_INFINITY, |m, x| {
                if x > m || x.is_nan() { x } else { m }
            })
        };
        match self {
            Kind::Sum => sum(row),
            Kind::Mean => mean(row),
            Kind::Max => largest(|x| x),
            Kind::Min => -largest(|x| -x),
            Kind::Prod => row.iter().product(),
            Kind::Var => variance(row),
            Kind::Std => variance(row).sqrt(),
            Kind::Logsumexp => {
                let mut y = [0.0];
                reduce::logsumexp(row, row.len(), &mut y);
                y[0]
            }
            Kind::Norm => dot(row, row).sqrt(),
            Kind::Norm1 => row.iter().map(|x| x.abs()).sum(),
            Kind::NormInf => largest(Float::abs),
            Kind::All => flag(row.iter().all(|x| *x != 0.0)),
            Kind::Any => flag(row.iter().any(|x| *x != 0.0)),
            Kind::CountNonzero => row.iter().filter(|x| **x != 0.0).count() as Float,
            Kind::Argmax => reduce::argmax(row) as Float,
            Kind::Argmin => {
                let smaller = |best: usize, i: usize| {
                    row[i] < row[best] || (row[i].is_nan() && !row[best].is_nan())
                };
                (1..row.len()).fold(0, |best, i| if smaller(best, i) { i } else { best }) as Float
            }
        }
    }

    /// Turns a row of `x` into that of `dx`.
    fn gradient(self, row: &mut [Float], y: Float, dy: Float) {
        let n = row.len() as Float;
        match self {
            Kind::Sum => row.fill(dy),
            Kind::Mean => row.fill(dy / n),
            Kind::Max | Kind::Min => {
                let ties = row.iter().filter(|x| **x == y).count() as Float;
                row.iter_mut()
                    .for_each(|x| *x = if *x == y { dy / ties } else { 0.0 });
            }
            Kind::NormInf => {
                let ties = row.iter().filter(|x| x.abs() == y).count() as Float;
                row.iter_mut().for_each(|x| {
                    *x = if x.abs() == y {
                        sign(*x) * dy / ties
                    } else {
                        0.0
                    }
                });
            }
            Kind::Prod => products(row, dy),
            Kind::Var => {
                let m = mean(row);
                row.iter_mut().for_each(|x| *x = 2.0 * (*x - m) / n * dy);
            }
            Kind::Std => {
                let m = mean(row);
                let slope = if y == 0.0 { 0.0 } else { dy / (n * y) };
                row.iter_mut().for_each(|x| *x = (*x - m) * slope);
            }
            Kind::Logsumexp => row.iter_mut().for_each(|x| *x = (*x - y).exp() * dy),
            Kind::Norm => scale(if y == 0.0 { 0.0 } else { dy / y }, row),
            Kind::Norm1 => row.iter_mut().for_each(|x| *x = sign(*x) * dy),
            Kind::All | Kind::Any | Kind::CountNonzero | Kind::Argmax | Kind::Argmin => {
                row.fill(0.0)
            }
        }
    }
}

/// Every number becomes `dy` times the product of the others.
fn products(row: &mut [Float], dy: Float) {
    let zeros = row.iter().filter(|x| **x == 0.0).count();
    let product: Float = row.iter().filter(|x| **x != 0.0).product();
    for x in row {
        *x = match (zeros, *x == 0.0) {
            (0, _) => dy * (product / *x),
            (1, true) => dy * product,
            _ => 0.0,
        };
    }
}
