//! `one_hot`: class numbers become rows with a 1 in the place of the class; numbers that are no class become zeros.

use super::Op;
use super::operand::one_tensor;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::layer::{Backward, Bound, Call, Contract, Forward, Layer};
use crate::layers::args::{checked, one_input, sample_axis};
use crate::shape::Shape;

/// The operation.
#[derive(Clone, Debug)]
pub(super) struct OneHot {
    pub op: Op,
    pub num_classes: usize,
    pub axis: i64,
}

impl Layer for OneHot {
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
        if self.num_classes == 0 {
            return Err(Error::arg("num_classes", "a positive integer", 0));
        }
        let x = one_input(inputs)?;
        let axis = sample_axis("axis", self.axis, x.rank() + 1)?;
        let mut dims = x.dims().to_vec();
        dims.insert(axis, Some(self.num_classes));
        checked(dims.into())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            differentiable: false,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let x = cx.x[0];
        let axis = sample_axis("axis", self.axis, x.shape.len() + 1).expect("checked");
        let inner: usize = x.shape[axis..].iter().product();
        cx.y.data.fill(0.0);
        let rows =
            cx.y.data
                .chunks_exact_mut((self.num_classes * inner).max(1));
        for (y, x) in rows.zip(x.data.chunks_exact(inner.max(1))) {
            for (i, class) in x.iter().enumerate() {
                if *class >= 0.0 && (*class as usize) < self.num_classes {
                    y[*class as usize * inner + i] = 1.0;
                }
            }
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            dx.data.fill(0.0);
        }
    }
}
