//! Functions of two numbers, element by element, broadcast: `y = f(a, b)`; `da = dy f_a(a, b)`, summed over the axes along which
//! `a` was repeated, and `db` likewise. An operand that is one number in the call makes it a function of one tensor.

use std::sync::Arc;

use super::Op;
use super::elementwise::{Elementwise, Function};
use super::operand::{Operand, Source, broadcast, broadcast_dims, operands};
use crate::activation::Reads;
use crate::config::Config;
use crate::error::Result;
use crate::float::Float;
use crate::kernels::pairs::{self, Pair, Pointers, Swap};
use crate::layer::{Backward, Bound, Buffers, Call, Contract, Forward, Layer, Len};
use crate::layers::merging::base_merge::gather;
use crate::shape::{Dims, Shape};

/// The function.
#[derive(Clone, Copy, Debug)]
pub(super) enum Two {
    Add,
    Subtract,
    Multiply,
    Divide,
    Maximum,
    Minimum,
    /// Its value and derivatives.
    Smooth(Pointers),
    /// Truth values, or steps: no gradient flows.
    Steps(fn(Float, Float) -> Float),
}

/// Something to do with the function, chosen once outside the loop.
trait With {
    fn run<U: Pair + Sync>(self, f: U);
}

impl Two {
    fn with(self, swapped: bool, with: impl With) {
        match (self, swapped) {
            (Two::Add, _) => with.run(pairs::Add),
            (Two::Subtract, false) => with.run(pairs::Subtract),
            (Two::Subtract, true) => with.run(Swap(pairs::Subtract)),
            (Two::Multiply, _) => with.run(pairs::Multiply),
            (Two::Divide, false) => with.run(pairs::Divide),
            (Two::Divide, true) => with.run(Swap(pairs::Divide)),
            (Two::Maximum, false) => with.run(pairs::Maximum),
            (Two::Maximum, true) => with.run(Swap(pairs::Maximum)),
            (Two::Minimum, false) => with.run(pairs::Minimum),
            (Two::Minimum, true) => with.run(Swap(pairs::Minimum)),
            (Two::Smooth(f), false) => with.run(f),
            (Two::Smooth(f), true) => with.run(Swap(f)),
            (Two::Steps(value), swapped) => {
                let zero = |_, _| 0.0;
                let f = Pointers {
                    value,
                    first: zero,
                    second: zero,
                };
                if swapped {
                    with.run(Swap(f))
                } else {
                    with.run(f)
                }
            }
        }
    }

    fn differentiable(self) -> bool {
        !matches!(self, Two::Steps(_))
    }

    /// Whether a derivative depends on the operands.
    fn reads(self) -> bool {
        !matches!(self, Two::Add | Two::Subtract | Two::Steps(_))
    }
}

/// The function with one number for one of its arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct WithNumber {
    two: Two,
    number: Float,
    /// The number is the first argument.
    first: bool,
}

impl Function for WithNumber {
    fn reads(&self) -> Reads {
        match self.two {
            Two::Add | Two::Subtract | Two::Multiply | Two::Steps(_) => Reads::Nothing,
            Two::Divide if !self.first => Reads::Nothing,
            _ => Reads::Input,
        }
    }

    fn differentiable(&self) -> bool {
        self.two.differentiable()
    }

    fn apply(&self, y: &mut [Float]) {
        struct Combine<'a>(Float, &'a mut [Float]);
        impl With for Combine<'_> {
            fn run<U: Pair>(self, f: U) {
                pairs::combine_scalar(f, self.0, self.1);
            }
        }
        self.two.with(self.first, Combine(self.number, y));
    }

    fn grad(&self, x: &[Float], _y: &[Float], dy: &mut [Float]) {
        struct Slope<'a>(&'a [Float], Float, &'a mut [Float]);
        impl With for Slope<'_> {
            fn run<U: Pair>(self, f: U) {
                match self.0.is_empty() {
                    true => crate::kernels::elementwise::scale(f.first(1.0, self.1), self.2),
                    false => pairs::slope_scalar(f, self.0, self.1, self.2),
                }
            }
        }
        self.two.with(self.first, Slope(x, self.number, dy));
    }
}

/// The operation on two tensors, or on a tensor and a constant array.
#[derive(Clone, Debug)]
pub(super) struct Binary {
    pub op: Op,
    pub two: Two,
    operands: [Operand; 2],
}

impl Binary {
    pub(super) fn new(op: Op, two: Two) -> Self {
        let operands = [Operand::Tensor, Operand::Tensor];
        Binary { op, two, operands }
    }
}

impl Layer for Binary {
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
        let (operands, bound) = operands(call, ["x1", "x2"])?;
        let number = operands
            .iter()
            .position(|o| matches!(o, Operand::Number(_)));
        let layer: Arc<dyn Layer> = match number.map(|at| (at, &operands[at])) {
            Some((at, Operand::Number(number))) => Arc::new(Elementwise {
                op: self.op.clone(),
                function: WithNumber {
                    two: self.two,
                    number: *number,
                    first: at == 0,
                },
            }),
            _ => Arc::new(Binary {
                operands,
                ..self.clone()
            }),
        };
        Ok(Bound {
            layer: Some(layer),
            ..bound
        })
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let tensors = self
            .operands
            .iter()
            .filter(|o| matches!(o, Operand::Tensor))
            .count();
        if inputs.len() != tensors {
            let want = format!("{tensors} tensors");
            return Err(crate::Error::shape(want, inputs.len()));
        }
        broadcast(&self.operands, inputs)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let y = broadcast_dims(&self.operands, inputs);
        let all = self.operands.iter().all(|o| matches!(o, Operand::Tensor));
        let whole = all && inputs.iter().all(|x| **x == *y);
        // The gradient before it is summed, and both operands repeated.
        let n = Len::PerSample(if whole { 0 } else { y.numel() });
        Buffers {
            scratch: vec![n; 3],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: self.two.reads(),
            differentiable: self.two.differentiable(),
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        struct Combine<'a>([Source<'a>; 2], &'a mut [Float], crate::layer::Par);
        impl With for Combine<'_> {
            fn run<U: Pair + Sync>(self, f: U) {
                let Combine([a, b], y, par) = self;
                if a.spread.is_whole() && b.spread.is_whole() {
                    return par.for_each_rows(y, 1, |at, y| {
                        let part = at..at + y.len();
                        pairs::combine_to(f, &a.data[part.clone()], &b.data[part], y);
                    });
                }
                a.fill(y, par);
                let (row, one) = (
                    |b: &[Float], y: &mut [Float]| pairs::combine(f, b, y),
                    |b, y: &mut [Float]| {
                        pairs::combine_scalar(f, b, y);
                    },
                );
                b.spread.apply(b.data, y, par, row, one);
            }
        }
        let sources = Source::all(&self.operands, cx.x, cx.y.shape);
        self.two.with(false, Combine(sources, cx.y.data, cx.par));
    }

    fn backward(&self, cx: Backward<'_>) {
        let [gradient, room_a, room_b] = cx.scratch.all();
        let shape = cx.dy.shape;
        let mut tensors = cx.dx.iter_mut();
        for at in 0..2 {
            let Operand::Tensor = self.operands[at] else {
                continue;
            };
            let Some(dx) = tensors.next().expect("as many as were bound") else {
                continue;
            };
            let whole = dx.shape == shape;
            let g = if whole { &mut *dx.data } else { &mut *gradient };
            g.copy_from_slice(cx.dy.data);
            let none = (&[][..], &[][..]);
            let (own, other) = if self.two.reads() {
                let sources = Source::all(&self.operands, cx.x, shape);
                (
                    sources[at].whole(room_a, cx.par),
                    sources[1 - at].whole(room_b, cx.par),
                )
            } else {
                none
            };
            self.two.with(at == 1, Slope(own, other, g, cx.par));
            if !whole {
                gather(gradient, shape, dx, cx.par);
            }
        }
    }
}

/// `g *= f_a(a, b)`; without operands the derivative is a number.
struct Slope<'a>(&'a [Float], &'a [Float], &'a mut [Float], crate::layer::Par);

impl With for Slope<'_> {
    fn run<U: Pair + Sync>(self, f: U) {
        let Slope(a, b, g, par) = self;
        if a.is_empty() {
            let slope = f.first(1.0, 1.0);
            if slope != 1.0 {
                crate::kernels::elementwise::scale(slope, g);
            }
            return;
        }
        par.for_each_rows(g, 1, |at, g| {
            let part = at..at + g.len();
            pairs::slope(f, &a[part.clone()], &b[part], g);
        });
    }
}
