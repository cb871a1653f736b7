//! Unit normalization: `y = x r` with `r = min(1 / |x|, 1 / epsilon)` over the axes `axis`, `epsilon = 1e-12`.
//!
//! Backward: `dx = r (dy - y sum(dy y))`; where `r` is at its bound `dx = r dy`.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::elementwise::{add_scaled, dot, scale};
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, MaskRule, Par};
use crate::layers::args::one_input;
use crate::layers::axes::Axes;
use crate::layers::layout::Layout;
use crate::shape::{Dims, Shape};

/// Keras's bound: vectors of a smaller norm are not blown up further.
const EPSILON: Float = 1e-12;

/// Scales each sample to Euclidean length 1 over an axis or axes.
/// [Keras](https://keras.io/api/layers/normalization_layers/unit_normalization/)
///
/// Input and output have the same shape. A vector of zeros stays one.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `axis` | -1 | the axis or axes of a vector, counted with the batch |
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
/// let mut model = Sequential::new().input([2]).add(UnitNormalization::new());
/// model.build([2])?;
/// assert_eq!(model.predict(&array![[3.0f32, 4.0], [0.0, 0.0]])?, array![[0.6, 0.8], [0.0, 0.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitNormalization {
    #[serde(default)]
    axis: Axes,
}

impl UnitNormalization {
    /// Over the last axis.
    pub fn new() -> Self {
        Self::default()
    }

    /// The axis or axes of a vector.
    pub fn axis(mut self, axis: impl Into<Axes>) -> Self {
        self.axis = axis.into();
        self
    }

    fn layout(&self, shape: &[usize]) -> Layout {
        let axes = self.axis.of_sample("axis", shape.len());
        Layout::new(axes.expect("checked"), shape)
    }
}

impl Layer for UnitNormalization {
    fn class_name(&self) -> &'static str {
        "UnitNormalization"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = one_input(inputs)?;
        self.axis.of_sample("axis", x.rank())?;
        Ok(x.clone())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let layout = self.layout(&inputs[0]);
        Buffers {
            saved: vec![Len::PerSample(layout.rows)],
            scratch: layout.scratch(2),
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            reads_y: true,
            mask: MaskRule::Pass,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let (x, layout) = (cx.x[0], self.layout(cx.x[0].shape));
        let ([factors], [xs, ys]) = (cx.saved.all(), cx.scratch.all());
        let matrix = layout.enter(x.data, x.shape, xs, cx.par);
        let y = if layout.plain {
            &mut *cx.y.data
        } else {
            &mut *ys
        };
        forward(matrix, layout.cols, y, factors, cx.par);
        if !layout.plain {
            layout.leave(ys, cx.y.data, cx.par);
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        let (layout, [factors], [ys, dys]) =
            (self.layout(cx.y.shape), cx.saved.all(), cx.scratch.all());
        let Some(dx) = &mut cx.dx[0] else { return };
        if layout.plain {
            dx.data.copy_from_slice(cx.dy.data);
            return backward(cx.y.data, layout.cols, factors, dx.data, cx.par);
        }
        let y = layout.enter(cx.y.data, cx.y.shape, ys, cx.par);
        layout.enter(cx.dy.data, cx.dy.shape, dys, cx.par);
        backward(y, layout.cols, factors, dys, cx.par);
        layout.leave(dys, dx.data, cx.par);
    }
}

/// `y` and the factor of every row.
fn forward(x: &[Float], cols: usize, y: &mut [Float], factors: &mut [Float], par: Par) {
    let rows = (8192 / cols).max(1);
    par.for_each_piece2(y, rows * cols, factors, rows, |i, y, factors| {
        let x = x[i * rows * cols..].chunks_exact(cols);
        for ((x, y), factor) in x.zip(y.chunks_exact_mut(cols)).zip(factors) {
            let inverse = 1.0 / dot(x, x).sqrt();
            *factor = if inverse < 1.0 / EPSILON {
                inverse
            } else {
                1.0 / EPSILON
            };
            y.copy_from_slice(x);
            scale(*factor, y);
        }
    });
}

/// Turns `dy` into `dx`.
fn backward(y: &[Float], cols: usize, factors: &[Float], dy: &mut [Float], par: Par) {
    par.for_each_rows(dy, cols, |first, dy| {
        let y = y[first * cols..].chunks_exact(cols);
        for ((y, dy), &factor) in y.zip(dy.chunks_exact_mut(cols)).zip(&factors[first..]) {
            if factor < 1.0 / EPSILON {
                let along = dot(dy, y);
                add_scaled(-factor * along, y, factor, dy);
            } else {
                scale(factor, dy);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(UnitNormalization::new(), &[[5].into()]);
        check_layer(UnitNormalization::new().axis(1), &[[4, 3].into()]);
        check_layer(UnitNormalization::new().axis([1, 2]), &[[2, 3].into()]);
        check_layer(UnitNormalization::new().axis([1, 3]), &[[2, 3, 2].into()]);
    }

    #[test]
    fn the_batch_is_no_axis_of_a_vector() {
        let e = UnitNormalization::new().axis(0).output_shape(&[[3].into()]);
        assert!(e.unwrap_err().to_string().contains("`axis`"));
    }
}
