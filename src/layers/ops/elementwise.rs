//! Functions of one number, element by element: `y = f(x)`, `dx = dy f'(x)`.

use std::fmt::Debug;
use std::sync::Arc;

use super::Op;
use super::functions::Fill;
use super::operand::{Operand, one_tensor, operands};
use crate::activation::{Activation, Reads};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Bound, Call, Contract, Forward, Layer};
use crate::layers::args::one_input;
use crate::shape::Shape;

/// A function of one number.
pub(super) trait Function: Debug + Send + Sync + Clone + 'static {
    /// What its derivative needs.
    fn reads(&self) -> Reads;

    /// Whether gradients flow through it.
    fn differentiable(&self) -> bool {
        true
    }

    /// An error if its arguments make no sense.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// `y = f(y)`.
    fn apply(&self, y: &mut [Float]);

    /// `dy *= f'`; what it does not read may be empty.
    fn grad(&self, x: &[Float], y: &[Float], dy: &mut [Float]);
}

impl Function for Activation {
    fn reads(&self) -> Reads {
        Activation::reads(self)
    }

    fn check(&self) -> Result<()> {
        Activation::check(self, "x")
    }

    fn apply(&self, y: &mut [Float]) {
        Activation::apply(self, y, y.len());
    }

    fn grad(&self, x: &[Float], y: &[Float], dy: &mut [Float]) {
        Activation::grad(self, y, x, dy, dy.len());
    }
}

/// The operation.
#[derive(Clone, Debug)]
pub(super) struct Elementwise<F> {
    pub op: Op,
    pub function: F,
}

impl<F: Function> Layer for Elementwise<F> {
    fn class_name(&self) -> &'static str {
        self.op.class
    }

    fn module(&self) -> &'static str {
        self.op.module
    }

    fn config(&self) -> Config {
        self.op.config.clone()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.function.check()?;
        one_input(inputs).cloned()
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        one_tensor(call, self.op.first_arg())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: self.function.reads() == Reads::Input,
            reads_y: self.function.reads() == Reads::Output,
            in_place: true,
            differentiable: self.function.differentiable(),
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        cx.par
            .for_each_rows(cx.y.data, 1, |_, y| self.function.apply(y));
    }

    fn backward(&self, cx: Backward<'_>) {
        let Some(dx) = &mut cx.dx[0] else { return };
        let (x, y, reads) = (cx.x[0].data, cx.y.data, self.function.reads());
        cx.par.for_each_rows(dx.data, 1, |at, dx| {
            let part = at..at + dx.len();
            match reads {
                Reads::Input => self.function.grad(&x[part], &[], dx),
                Reads::Output => self.function.grad(&[], &y[part], dx),
                Reads::Nothing => self.function.grad(&[], &[], dx),
            }
        });
    }
}

/// `full_like(x, number)`: its call says which number.
#[derive(Clone, Debug)]
pub(super) struct FullLike {
    pub op: Op,
}

impl Layer for FullLike {
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
        let (operands, bound) = operands(call, ["x", "fill_value"])?;
        let [Operand::Tensor, Operand::Number(number)] = operands else {
            return Err(Error::arg("fill_value", "a number", "an array"));
        };
        let function = Fill(number);
        let layer = Elementwise {
            op: self.op.clone(),
            function,
        };
        Ok(Bound {
            layer: Some(Arc::new(layer)),
            ..bound
        })
    }

    fn output_shape(&self, _inputs: &[Shape]) -> Result<Shape> {
        Err(Error::arg("fill_value", "a number", "nothing"))
    }

    fn forward(&self, _cx: Forward<'_>) {
        unreachable!("its call binds another layer");
    }

    fn backward(&self, _cx: Backward<'_>) {
        unreachable!("its call binds another layer");
    }
}
