//! Product of the inputs: `y = x0 x1 ..`, `dx_i = dy` times the other inputs (summed over the axes along which `x_i` was
//! repeated).
//!
//! With masks: what an input masks counts as 1; where all inputs are masked `y` is 0.

use serde::{Deserialize, Serialize};

use super::base_merge::{self, Rows, is_plain};
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::elementwise::{copy, mul, scale};
use crate::kernels::spread::Spread;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, Mask, Par, View};
use crate::shape::{Dims, Shape};

/// Multiplies its inputs element by element. [Keras](https://keras.io/api/layers/merging_layers/multiply/)
///
/// Any number of inputs whose shapes broadcast, as for [`Add`](super::Add). What one input masks counts as 1; where all
/// inputs are masked, the output is 0 and masked.
///
/// ```
/// use oxhorn::{layers::Multiply, prelude::*};
/// let shape = Multiply::new().output_shape(&[[8, 8, 16].into(), [1, 1, 16].into()])?;
/// assert_eq!(shape, Shape::from([8, 8, 16]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multiply {}

impl Multiply {
    /// Without arguments.
    pub fn new() -> Self {
        Multiply {}
    }
}

/// `y *= x`, broadcast, where the mask of `x` shows it.
fn times(x: &View<'_>, mask: &Option<Mask<'_>>, shape: &[usize], y: &mut [Float], par: Par) {
    if mask.is_none() || x.shape.len() < shape.len() {
        return Spread::samples(x.batch, shape, x.shape).apply(x.data, y, par, mul, scale);
    }
    let rows = Rows::new(x, mask, shape);
    for (r, y) in y.chunks_exact_mut(rows.len()).enumerate() {
        match rows.at(r) {
            (_, false) => {}
            (at, true) if rows.moves() => mul(&x.data[at..at + y.len()], y),
            (at, true) => scale(x.data[at], y),
        }
    }
}

/// Clears the rows that every input masks. `shown` is room for a number a row.
fn clear_masked(
    x: &[View<'_>],
    masks: &[Option<Mask<'_>>],
    shape: &[usize],
    shown: &mut [Float],
    y: &mut [Float],
) {
    let inputs = || x.iter().zip(masks).map(|(x, m)| Rows::new(x, m, shape));
    if !inputs().all(|rows| rows.masked()) {
        return;
    }
    shown.fill(0.0);
    for rows in inputs() {
        for (r, shown) in shown.iter_mut().enumerate() {
            *shown += Float::from(u8::from(rows.at(r).1));
        }
    }
    let len = y.len() / shown.len().max(1);
    for (y, shown) in y.chunks_exact_mut(len.max(1)).zip(&*shown) {
        if *shown == 0.0 {
            y.fill(0.0);
        }
    }
}

impl Layer for Multiply {
    fn class_name(&self) -> &'static str {
        "Multiply"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        base_merge::output_shape(inputs)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let y = base_merge::broadcast_dims(inputs.iter().map(|x| &x[..]));
        // A flag a row, and the product of the others where it has another shape than dx.
        let whole = inputs.iter().all(|x| **x == *y);
        let product = if whole { 0 } else { y.numel() };
        Buffers {
            scratch: vec![
                Len::PerSample(y.without_last().numel()),
                Len::PerSample(product),
            ],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: true,
            ..base_merge::contract()
        }
    }

    fn mask_shape(&self, inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        base_merge::check_masks(inputs, masks)?;
        base_merge::mask_shape(masks)
    }

    fn compute_mask(&self, x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        base_merge::compute_mask(x, masks, out);
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let [shown, _] = cx.scratch.all();
        if is_plain(&cx.x[0], &cx.masks[0], cx.y.shape) {
            base_merge::spread(&cx.x[0], &mut cx.y, cx.par);
        } else {
            cx.y.data.fill(1.0);
            times(&cx.x[0], &cx.masks[0], cx.y.shape, cx.y.data, cx.par);
        }
        for (x, mask) in cx.x.iter().zip(cx.masks).skip(1) {
            times(x, mask, cx.y.shape, cx.y.data, cx.par);
        }
        clear_masked(cx.x, cx.masks, cx.y.shape, shown, cx.y.data);
    }

    fn backward(&self, cx: Backward<'_>) {
        let ([shown, product], shape) = (cx.scratch.all(), cx.dy.shape);
        clear_masked(cx.x, cx.masks, shape, shown, cx.dy.data);
        for i in 0..cx.x.len() {
            let Some(dx) = &mut cx.dx[i] else { continue };
            let whole = *dx.shape == *shape;
            let others = if whole { &mut *dx.data } else { &mut *product };
            copy(cx.dy.data, others);
            for (j, (x, mask)) in cx.x.iter().zip(cx.masks).enumerate() {
                if j != i {
                    times(x, mask, shape, others, cx.par);
                }
            }
            if !is_plain(&cx.x[i], &cx.masks[i], shape) {
                let rows = Rows::new(&cx.x[i], &cx.masks[i], shape);
                for (r, others) in others.chunks_exact_mut(rows.len()).enumerate() {
                    if !rows.at(r).1 {
                        others.fill(0.0);
                    }
                }
            }
            if !whole {
                base_merge::gather(product, shape, dx, cx.par);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(Multiply::new(), &[[3, 4].into(), [3, 4].into()]);
        check_layer(Multiply::new(), &[[4].into(), [3, 1].into(), [3, 4].into()]);
        check_layer(Multiply::new(), &[[2, 2, 3].into(), [1, 1, 3].into()]);
        check_layer(Multiply::new(), &[[5].into()]);
    }
}
