//! Mean of the inputs: `y = (x0 + x1 + .. ) / n`, `dx_i = dy / n` (summed over the axes along which `x_i` was repeated).

use serde::{Deserialize, Serialize};

use super::base_merge;
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::elementwise::scale;
use crate::layer::{Backward, Contract, Forward, Layer, Mask, View};
use crate::shape::Shape;

/// Averages its inputs element by element. [Keras](https://keras.io/api/layers/merging_layers/average/)
///
/// Any number of inputs whose shapes broadcast, as for [`Add`](super::Add). The output is masked where all inputs are.
///
/// ```
/// use oxhorn::{layers::Average, prelude::*};
/// let shape = Average::new().output_shape(&[[3, 4].into(), [3, 1].into()])?;
/// assert_eq!(shape, Shape::from([3, 4]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Average {}

impl Average {
    /// Without arguments.
    pub fn new() -> Self {
        Average {}
    }
}

impl Layer for Average {
    fn class_name(&self) -> &'static str {
        "Average"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        base_merge::output_shape(inputs)
    }

    fn contract(&self) -> Contract {
        base_merge::contract_of_sums()
    }

    fn mask_shape(&self, _inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        base_merge::mask_shape(masks)
    }

    fn compute_mask(&self, x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        base_merge::compute_mask(x, masks, out);
    }

    fn forward(&self, mut cx: Forward<'_>) {
        base_merge::sum(&mut cx);
        scale(1.0 / cx.x.len() as Float, cx.y.data);
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let share = 1.0 / cx.dx.len() as Float;
        base_merge::sum_backward(&mut cx, share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(Average::new(), &[[3, 4].into(), [3, 4].into(), [4].into()]);
        check_layer(Average::new(), &[[3].into()]);
    }
}
