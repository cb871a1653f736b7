//! Softmax over some axes: `y = e^x / sum e^x`, `dx = y (dy - sum y dy)`.
//!
//! Other axes than the last ones are first moved behind. With a mask, what is hidden counts as `-1e9` and becomes 0; the formula
//! of `dx` stays, because `y` is 0 there.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::activation::Activation as Function;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::permute::permute;
use crate::kernels::reduce;
use crate::kernels::spread::Spread;
use crate::layer::{
    Backward, Bound, Buffers, Call, Contract, Forward, Head, Layer, Len, Mask, MaskRule, View,
};
use crate::layers::args::sample_axis;
use crate::shape::{Dims, Shape};

/// Softmax over one or more axes. [Keras](https://keras.io/api/layers/activation_layers/softmax/)
///
/// Input and output have the same shape; masks are passed on. A call may have a `mask`, a tensor that broadcasts to the input:
/// what it hides (0.5 and less) is left out and becomes 0.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `axis` | -1 | the axis, or several, counted with the batch axis (which cannot be named) |
///
/// ```
/// use oxhorn::{layers::Softmax, prelude::*};
/// let mut model = Sequential::new().input([2, 2]).add(Softmax::new().axis(1));
/// model.build([2, 2])?;
/// let y = model.predict(&ndarray::array![[[1.0f32, 0.0], [1.0, 0.0]]])?;
/// assert_eq!(y, ndarray::array![[[0.5, 0.5], [0.5, 0.5]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softmax {
    #[serde(default)]
    axis: SoftmaxAxis,
    /// Called with a mask, which is the second input.
    #[serde(skip)]
    masked: bool,
}

/// The axes of a [`Softmax`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SoftmaxAxis {
    /// One.
    One(i64),
    /// Several, over all of which together the sum is 1.
    Many(Vec<i64>),
}

impl Default for SoftmaxAxis {
    fn default() -> Self {
        SoftmaxAxis::One(-1)
    }
}

impl From<i64> for SoftmaxAxis {
    fn from(axis: i64) -> Self {
        SoftmaxAxis::One(axis)
    }
}

impl<const N: usize> From<[i64; N]> for SoftmaxAxis {
    fn from(axes: [i64; N]) -> Self {
        SoftmaxAxis::Many(axes.to_vec())
    }
}

/// What hidden numbers count as.
const HIDDEN: Float = -1e9;

impl Default for Softmax {
    fn default() -> Self {
        Softmax::new()
    }
}

impl Softmax {
    /// Over the last axis.
    pub fn new() -> Self {
        Softmax {
            axis: SoftmaxAxis::default(),
            masked: false,
        }
    }

    /// The axis, or several.
    pub fn axis(mut self, axis: impl Into<SoftmaxAxis>) -> Self {
        self.axis = axis.into();
        self
    }

    fn list(&self) -> &[i64] {
        match &self.axis {
            SoftmaxAxis::One(axis) => std::slice::from_ref(axis),
            SoftmaxAxis::Many(axes) => axes,
        }
    }

    /// How samples of this shape are moved.
    fn moves(&self, shape: &[usize]) -> Moves {
        let mine = |axis: &usize| {
            let is = |a: &i64| sample_axis("axis", *a, shape.len()).is_ok_and(|a| a == *axis);
            self.list().iter().any(is)
        };
        let mut moves = Moves {
            cols: 1,
            ..Moves::default()
        };
        let axes = 0..shape.len();
        axes.clone()
            .filter(|a| !mine(a))
            .for_each(|a| moves.order.push(a));
        for axis in axes.clone().filter(mine) {
            moves.order.push(axis);
            moves.cols *= shape[axis];
        }
        moves.order.iter().for_each(|&a| moves.shape.push(shape[a]));
        let place = |axis| moves.order.iter().position(|&a| a == axis);
        axes.for_each(|axis| moves.back.push(place(axis).unwrap_or(0)));
        moves
    }
}

/// The axes of a sample with those of the softmax behind.
#[derive(Default)]
struct Moves {
    order: Dims,
    shape: Dims,
    back: Dims,
    /// Numbers whose sum is 1.
    cols: usize,
}

impl Moves {
    fn are_needed(&self) -> bool {
        !self.order.is_sorted()
    }
}

/// Sets what is hidden to this value.
fn hide(y: &mut [Float], shown: impl Fn(usize) -> bool, value: Float) {
    for (i, y) in y.iter_mut().enumerate() {
        if !shown(i) {
            *y = value;
        }
    }
}

impl Layer for Softmax {
    fn class_name(&self) -> &'static str {
        "Softmax"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let mut args = call.by_name(&["inputs", "mask"])?;
        let mut bound = Bound {
            inputs: args.tensors("inputs")?,
            ..Bound::default()
        };
        args.context(&mut bound)?;
        args.finish()?;
        if let Some(mask) = bound.mask {
            // Its numbers count here, and it goes on as the mask of the output.
            bound.inputs.push(mask);
            let mut layer = self.clone();
            layer.masked = true;
            bound.layer = Some(Arc::new(layer));
        }
        Ok(bound)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (x, mask) = match (inputs, self.masked) {
            ([x], false) => (x, None),
            ([x, mask], true) => (x, Some(mask)),
            _ => {
                return Err(Error::shape(
                    "one input",
                    format!("{} inputs", inputs.len()),
                ));
            }
        };
        let mut seen = Vec::new();
        for &axis in self.list() {
            let at = sample_axis("axis", axis, x.rank())?;
            if seen.contains(&at) {
                return Err(Error::arg(
                    "axis",
                    "different axes",
                    format!("{:?}", self.list()),
                ));
            }
            seen.push(at);
        }
        if seen.is_empty() {
            return Err(Error::arg("axis", "at least one axis", "none"));
        }
        if let Some(mask) = mask {
            let skipped = x.rank().checked_sub(mask.rank());
            let fits = |(d, m): (&Option<usize>, &Option<usize>)| {
                *m == Some(1) || d.is_none() || m.is_none() || d == m
            };
            if !skipped.is_some_and(|n| x.dims()[n..].iter().zip(mask.dims()).all(fits)) {
                let want = format!("a mask that broadcasts to {x}");
                return Err(Error::shape(want, mask));
            }
        }
        Ok(x.clone())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let n = inputs[0].numel();
        let moved = if self.moves(&inputs[0]).are_needed() {
            n
        } else {
            0
        };
        let flags = if self.masked { n } else { 0 };
        Buffers {
            scratch: vec![
                Len::PerSample(moved),
                Len::PerSample(moved),
                Len::PerSample(flags),
            ],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            reads_y: true,
            in_place: true,
            mask: MaskRule::Compute,
            ..Contract::default()
        }
    }

    fn mask_shape(&self, inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        match &masks[0] {
            Some(mask) if !self.masked && *mask != inputs[0] => {
                let want = format!("a mask over all axes of {}", inputs[0]);
                Err(Error::shape(want, format!("a mask of shape {mask}")))
            }
            mask => Ok(mask.clone()),
        }
    }

    fn compute_mask(&self, _x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        if let Some(mask) = &masks[0] {
            out.copy_from_slice(mask.data);
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let ([moved, _, flags], y) = (cx.scratch.all(), cx.y);
        if let Some(mask) = cx.x.get(1) {
            let spread = Spread::samples(y.batch, y.shape, mask.shape);
            spread.apply(
                mask.data,
                flags,
                cx.par,
                |m, f| f.copy_from_slice(m),
                |m, f| f.fill(m),
            );
        }
        let hide = |y: &mut [Float], value| match (cx.x.len(), &cx.masks[0]) {
            (2, _) => hide(y, |i| flags[i] > 0.5, value),
            (_, Some(mask)) => hide(y, |i| mask.data[i], value),
            _ => {}
        };
        hide(y.data, HIDDEN);
        let moves = self.moves(y.shape);
        if moves.are_needed() {
            permute(y.data, y.shape, &moves.order, moved, cx.par);
            reduce::softmax(moved, moves.cols);
            permute(moved, &moves.shape, &moves.back, y.data, cx.par);
        } else {
            reduce::softmax(y.data, moves.cols);
        }
        hide(y.data, 0.0);
    }

    fn backward(&self, cx: Backward<'_>) {
        let ([y, dy, _], shape) = (cx.scratch.all(), cx.y.shape);
        if let Some(Some(dmask)) = cx.dx.get_mut(1) {
            dmask.data.fill(0.0);
        }
        let (Some(dx), moves) = (&mut cx.dx[0], self.moves(shape)) else {
            return;
        };
        if moves.are_needed() {
            permute(cx.y.data, shape, &moves.order, y, cx.par);
            permute(dx.data, shape, &moves.order, dy, cx.par);
            reduce::softmax_backward(y, dy, moves.cols);
            permute(dy, &moves.shape, &moves.back, dx.data, cx.par);
        } else {
            reduce::softmax_backward(cx.y.data, dx.data, moves.cols);
        }
    }

    fn head(&self) -> Head {
        match self.axis {
            SoftmaxAxis::One(-1) if !self.masked => Head::Whole(Function::Softmax),
            _ => Head::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::{check_layer, check_masked_layer};

    fn masked(layer: Softmax) -> Softmax {
        Softmax {
            masked: true,
            ..layer
        }
    }

    #[test]
    fn laws() {
        let softmax = Softmax::new;
        check_layer(softmax(), &[[3, 4].into()]);
        check_layer(softmax().axis(1), &[[3, 4].into()]);
        check_layer(softmax().axis([1, 2]), &[[3, 4].into()]);
        check_layer(softmax().axis([1, 3]), &[[2, 3, 2].into()]);
        check_layer(softmax().axis([-2]), &[[2, 3, 2].into()]);
        check_masked_layer(softmax(), &[[4].into()], &[Some([4].into())]);
        check_masked_layer(softmax().axis(1), &[[3, 4].into()], &[Some([3, 4].into())]);
    }

    #[test]
    fn hidden_numbers_are_left_out() {
        let layer = masked(Softmax::new().axis(2));
        let (x, mask) = (
            [1.0, 2.0, 3.0, 1.0, 1.0, 5.0, 7.0, 8.0, 9.0],
            [1.0, 0.6, 0.5],
        );
        let inputs: [(&[Float], &[usize]); 2] = [(&x, &[3, 3]), (&mask, &[1, 3])];
        let (y, _) = apply(&layer, &inputs, &[None, None], &[]);
        let [a, b] = [0.268_941_43, 0.731_058_6];
        let want = [a, b, 0.0, 0.5, 0.5, 0.0, a, b, 0.0];
        y.iter()
            .zip(want)
            .for_each(|(y, w)| assert!((y - w).abs() < 1e-6, "{y} {w}"));
        // Where all is hidden, all is 0.
        let mask = [0.0, 0.0, 0.0];
        let inputs: [(&[Float], &[usize]); 2] = [(&x, &[3, 3]), (&mask, &[3])];
        assert_eq!(apply(&layer, &inputs, &[None, None], &[]).0, [0.0; 9]);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: Softmax, inputs: &[Shape]| {
            assert!(layer.output_shape(inputs).is_err());
        };
        refused(Softmax::new().axis(0), &[[3].into()]);
        refused(Softmax::new().axis([1, -1]), &[[3].into()]);
        refused(
            Softmax::new().axis(SoftmaxAxis::Many(vec![])),
            &[[3].into()],
        );
        refused(Softmax::new(), &[[3].into(), [3].into()]);
        refused(masked(Softmax::new()), &[[3].into(), [2].into()]);
        refused(masked(Softmax::new()), &[[3].into(), [1, 3].into()]);
        assert!(
            Softmax::new()
                .mask_shape(&[[3, 2].into()], &[Some([3].into())])
                .is_err()
        );
    }
}
