//! Root mean square normalization: `y = x inv scale` with `inv = 1 / sqrt(mean(x^2) + epsilon)` over the axes `axis`.
//!
//! Backward with `g = dy scale`, `h = x inv`: `dx = inv (g - h mean(g h))`, `dscale += sum dy h` over samples and other axes.

use serde::{Deserialize, Serialize};

use super::{check_epsilon, ones, weight_shape};
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::norm_rows::{self, Rule};
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, Weight};
use crate::layers::args::one_input;
use crate::layers::axes::Axes;
use crate::layers::layout::Layout;
use crate::shape::{Dims, Shape};

/// Divides each sample by its root mean square over an axis or axes, and multiplies by a learned `scale`.
/// [Keras](https://keras.io/api/layers/normalization_layers/rms_normalization/)
///
/// Input and output have the same shape; the weight `scale` has the sizes of the normalised axes, which must be known.
/// As in Keras, a mask ends here.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `axis` | -1 | the axis or axes normalised over, counted with the batch |
/// | `epsilon` | 1e-6 | added to the mean square |
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
/// let mut model = Sequential::new().input([2]).add(RMSNormalization::new().epsilon(0.0));
/// model.build([2])?;
/// let y = model.predict(&array![[1.0f32, 7.0]])?;
/// assert_eq!(y, array![[0.2, 1.4]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RMSNormalization {
    #[serde(default)]
    axis: Axes,
    #[serde(default = "epsilon")]
    epsilon: f64,
}

fn epsilon() -> f64 {
    1e-6
}

impl Default for RMSNormalization {
    fn default() -> Self {
        RMSNormalization {
            axis: Axes::default(),
            epsilon: epsilon(),
        }
    }
}

impl RMSNormalization {
    /// Over the last axis.
    pub fn new() -> Self {
        Self::default()
    }

    /// The axis or axes normalised over.
    pub fn axis(mut self, axis: impl Into<Axes>) -> Self {
        self.axis = axis.into();
        self
    }

    /// Added to the mean square.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    fn layout(&self, shape: &[usize]) -> Layout {
        let axes = self.axis.of_sample("axis", shape.len());
        Layout::new(axes.expect("checked"), shape)
    }
}

impl Layer for RMSNormalization {
    fn class_name(&self) -> &'static str {
        "RMSNormalization"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_epsilon(self.epsilon)?;
        let x = one_input(inputs)?;
        weight_shape(&self.axis, x)?;
        Ok(x.clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let shape = weight_shape(&self.axis, &inputs[0])?;
        Ok(vec![Weight::new("scale", shape, &ones())])
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let layout = self.layout(&inputs[0]);
        Buffers {
            saved: vec![Len::PerSample(2 * layout.rows)],
            scratch: layout.scratch(2),
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract::default()
    }

    fn forward(&self, cx: Forward<'_>) {
        let (x, layout) = (cx.x[0], self.layout(cx.x[0].shape));
        let ([scale], [stats], [xs, ys]) = (cx.w.all(), cx.saved.all(), cx.scratch.all());
        let matrix = layout.enter(x.data, x.shape, xs, cx.par);
        let y = if layout.plain {
            &mut *cx.y.data
        } else {
            &mut *ys
        };
        let (cols, epsilon) = (layout.cols, self.epsilon as Float);
        norm_rows::forward(
            Rule::Rms,
            matrix,
            cols,
            epsilon,
            Some(scale),
            None,
            y,
            stats,
            cx.par,
        );
        if !layout.plain {
            layout.leave(ys, cx.y.data, cx.par);
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        let (x, layout, rule) = (cx.x[0], self.layout(cx.x[0].shape), Rule::Rms);
        let ([scale], [stats], [xs, dys]) = (cx.w.all(), cx.saved.all(), cx.scratch.all());
        let matrix = layout.enter(x.data, x.shape, xs, cx.par);
        let dy = layout.enter(cx.dy.data, cx.dy.shape, dys, cx.par);
        if let Some(dw) = cx.dw {
            let [dscale] = dw.all();
            let cols = layout.cols;
            norm_rows::backward_weights(rule, matrix, dy, cols, stats, Some(dscale), None, cx.par);
        }
        let Some(dx) = &mut cx.dx[0] else { return };
        if layout.plain {
            return norm_rows::backward(rule, matrix, dy, scale, stats, dx.data, cx.par);
        }
        // The gradient of the matrix takes the place of dy, which has been copied.
        norm_rows::backward(rule, matrix, dys, scale, stats, cx.dy.data, cx.par);
        layout.leave(cx.dy.data, dx.data, cx.par);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RMSNormalization::new(), &[[5].into()]);
        check_layer(RMSNormalization::new().epsilon(0.1), &[[2, 17].into()]);
        check_layer(RMSNormalization::new().axis([1, 2]), &[[4, 3].into()]);
        check_layer(RMSNormalization::new().axis(1), &[[4, 3].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: RMSNormalization| layer.output_shape(&[[3].into()]).is_err();
        assert!(refused(RMSNormalization::new().axis(0)));
        assert!(refused(RMSNormalization::new().epsilon(-1.0)));
    }
}
