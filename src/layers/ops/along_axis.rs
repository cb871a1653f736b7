//! What works along one axis and keeps the shape: softmax and its relatives, running sums and products, normalisation.
//!
//! The axis is brought into the last place; then every row is by itself. Running sums: `dx_i = sum_(j >= i) dy_j`; running
//! products: `dx_i = sum_(j >= i) dy_j prod_(k <= j, k != i) x_k`; unit vectors `y = r x`: `dx = r dy - r^3 x sum(x dy)`.

use super::Op;
use super::operand::one_tensor;
use crate::activation::{Activation, Reads};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise::{add_scaled, dot, scale};
use crate::layer::{Backward, Bound, Buffers, Call, Contract, Forward, Layer, Par};
use crate::layers::args::one_input;
use crate::layers::axes::Axes;
use crate::layers::layout::Layout;
use crate::shape::{Dims, Shape};

/// What is done to a row.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// One of the activations over rows.
    Activation(Activation),
    Cumsum,
    Cumprod,
    /// To Euclidean length 1; the factor is at most the reciprocal of this.
    Unit(Float),
}

/// The operation.
#[derive(Clone, Debug)]
pub(super) struct AlongAxis {
    pub op: Op,
    pub rule: Rule,
    pub axes: Option<Axes>,
}

impl AlongAxis {
    fn layout(&self, shape: &[usize]) -> Layout {
        let axes = self.axes.as_ref().expect("checked");
        Layout::new(axes.of_sample("axis", shape.len()).expect("checked"), shape)
    }
}

impl Layer for AlongAxis {
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
        match &self.axes {
            Some(axes) => axes.of_sample("axis", x.rank())?,
            None => {
                return Err(Error::arg(
                    "axis",
                    "an axis other than the batch",
                    "all of them",
                ));
            }
        };
        Ok(x.clone())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        Buffers {
            scratch: self.layout(&inputs[0]).scratch(2),
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        let reads = match &self.rule {
            Rule::Activation(activation) => activation.reads(),
            Rule::Cumsum => Reads::Nothing,
            Rule::Cumprod | Rule::Unit(_) => Reads::Input,
        };
        Contract {
            reads_x: reads == Reads::Input,
            reads_y: reads == Reads::Output,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let (x, [room, _]) = (cx.x[0], cx.scratch.all());
        let layout = self.layout(x.shape);
        if layout.plain {
            cx.y.data.copy_from_slice(x.data);
            return self.rule.apply(cx.y.data, layout.cols, cx.par);
        }
        layout.enter(x.data, x.shape, room, cx.par);
        self.rule.apply(room, layout.cols, cx.par);
        layout.leave(room, cx.y.data, cx.par);
    }

    fn backward(&self, cx: Backward<'_>) {
        let Some(dx) = &mut cx.dx[0] else { return };
        let layout = self.layout(dx.shape);
        let [room, drows] = cx.scratch.all();
        let at = match self.contract() {
            Contract { reads_x: true, .. } => cx.x[0].data,
            Contract { reads_y: true, .. } => cx.y.data,
            _ => &[],
        };
        if layout.plain {
            dx.data.copy_from_slice(cx.dy.data);
            return self.rule.gradient(at, dx.data, layout.cols, cx.par);
        }
        let at = if at.is_empty() {
            at
        } else {
            layout.enter(at, dx.shape, room, cx.par)
        };
        layout.enter(cx.dy.data, dx.shape, drows, cx.par);
        self.rule.gradient(at, drows, layout.cols, cx.par);
        layout.leave(drows, dx.data, cx.par);
    }
}

impl Rule {
    fn apply(&self, y: &mut [Float], cols: usize, par: Par) {
        par.for_each_rows(y, cols, |_, y| match self {
            Rule::Activation(activation) => activation.apply(y, cols),
            Rule::Cumsum => y.chunks_exact_mut(cols).for_each(|row| {
                let mut sum = 0.0;
                row.iter_mut().for_each(|y| {
                    sum += *y;
                    *y = sum;
                });
            }),
            Rule::Cumprod => y.chunks_exact_mut(cols).for_each(|row| {
                let mut product = 1.0;
                row.iter_mut().for_each(|y| {
                    product *= *y;
                    *y = product;
                });
            }),
            Rule::Unit(least) => y.chunks_exact_mut(cols).for_each(|row| {
                let factor = unit(row, *least).0;
                scale(factor, row);
            }),
        });
    }

    /// Turns `dy` into `dx`; `at` is `x` or `y`, whichever is read, or empty.
    fn gradient(&self, at: &[Float], dy: &mut [Float], cols: usize, par: Par) {
        par.for_each_rows(dy, cols, |first, dy| {
            let part = first * cols..first * cols + dy.len();
            match self {
                Rule::Activation(f) if f.reads() == Reads::Input => {
                    f.grad(&[], &at[part], dy, cols)
                }
                Rule::Activation(f) => f.grad(&at[part], &[], dy, cols),
                Rule::Cumsum => dy.chunks_exact_mut(cols).for_each(|row| {
                    let mut sum = 0.0;
                    row.iter_mut().rev().for_each(|d| {
                        sum += *d;
                        *d = sum;
                    });
                }),
                Rule::Cumprod => {
                    let rows = at[part].chunks_exact(cols).zip(dy.chunks_exact_mut(cols));
                    rows.for_each(|(x, dy)| running_products(x, dy));
                }
                Rule::Unit(least) => {
                    let rows = at[part].chunks_exact(cols).zip(dy.chunks_exact_mut(cols));
                    rows.for_each(|(x, dy)| {
                        let (factor, free) = unit(x, *least);
                        let along = if free {
                            dot(x, dy) * factor * factor * factor
                        } else {
                            0.0
                        };
                        add_scaled(-along, x, factor, dy);
                    });
                }
            }
        });
    }
}

/// What brings a row to length 1, and whether it is below its bound.
fn unit(x: &[Float], least: Float) -> (Float, bool) {
    let factor = 1.0 / dot(x, x).sqrt();
    match factor < 1.0 / least {
        true => (factor, true),
        false => (1.0 / least, false),
    }
}

/// `dx` of the running products of `x`, in place of `dy`; right where there are zeros, too.
fn running_products(x: &[Float], dy: &mut [Float]) {
    let mut before = 1.0;
    for i in 0..x.len() {
        let (mut product, mut total) = (before, 0.0);
        for j in i..x.len() {
            product *= if j == i { 1.0 } else { x[j] };
            total += dy[j] * product;
        }
        dy[i] = total;
        before *= x[i];
    }
}
