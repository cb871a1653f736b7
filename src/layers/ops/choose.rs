//! `where(condition, a, b)`: `a` where the condition is not zero, else `b`, broadcast. `da = dy` where the condition holds, `db = dy`
//! elsewhere, each summed over the axes along which it was repeated; no gradient flows to the condition.

use std::sync::Arc;

use super::Op;
use super::operand::{Operand, Source, broadcast, broadcast_dims, operands};
use crate::config::Config;
use crate::error::Result;
use crate::layer::{Backward, Bound, Buffers, Call, Contract, Forward, Layer, Len};
use crate::layers::merging::base_merge::gather;
use crate::shape::{Dims, Shape};

/// The operation.
#[derive(Clone, Debug)]
pub(super) struct Where {
    pub op: Op,
    operands: [Operand; 3],
}

impl Where {
    pub(super) fn new(op: Op) -> Self {
        Where {
            op,
            operands: [const { Operand::Tensor }; 3],
        }
    }
}

impl Layer for Where {
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
        let (operands, bound) = operands(call, ["condition", "x1", "x2"])?;
        let layer = Where {
            operands,
            op: self.op.clone(),
        };
        Ok(Bound {
            layer: Some(Arc::new(layer)),
            ..bound
        })
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        broadcast(&self.operands, inputs)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let n = Len::PerSample(broadcast_dims(&self.operands, inputs).numel());
        Buffers {
            scratch: vec![n; 2],
            ..Buffers::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let [condition, a, b] = Source::all(&self.operands, cx.x, cx.y.shape);
        let [room, room_a] = cx.scratch.all();
        let (condition, a) = (condition.whole(room, cx.par), a.whole(room_a, cx.par));
        b.fill(cx.y.data, cx.par);
        for ((y, a), c) in cx.y.data.iter_mut().zip(a).zip(condition) {
            *y = if *c != 0.0 { *a } else { *y };
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        let shape = cx.dy.shape;
        let [room, gradient] = cx.scratch.all();
        let condition = Source::all(&self.operands, cx.x, shape)[0].whole(room, cx.par);
        let mut tensors = cx.dx.iter_mut();
        for (at, operand) in self.operands.iter().enumerate() {
            let Operand::Tensor = operand else { continue };
            let Some(dx) = tensors.next().expect("as many as were bound") else {
                continue;
            };
            if at == 0 {
                dx.data.fill(0.0);
                continue;
            }
            for ((g, dy), c) in gradient.iter_mut().zip(&*cx.dy.data).zip(condition) {
                *g = if (*c != 0.0) == (at == 1) { *dy } else { 0.0 };
            }
            gather(gradient, shape, dx, cx.par);
        }
    }

    fn contract(&self) -> Contract {
        Contract::default()
    }
}
