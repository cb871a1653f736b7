//! The greatest of the inputs: `y = max(x0, x1, ..)`; `dx_i = dy` where `x_i` is the first to equal `y`, else 0 (summed over the axes
//! along which `x_i` was repeated).

use serde::{Deserialize, Serialize};

use super::{base_merge, extremum};
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Mask, View};
use crate::shape::{Dims, Shape};

/// The greatest of its inputs, element by element. [Keras](https://keras.io/api/layers/merging_layers/maximum/)
///
/// Any number of inputs whose shapes broadcast, as for [`Add`](super::Add). What an input masks does not take part; the output
/// is masked where all inputs are.
///
/// ```
/// use oxhorn::{layers::Maximum, prelude::*};
/// let shape = Maximum::new().output_shape(&[[3, 4].into(), [4].into()])?;
/// assert_eq!(shape, Shape::from([3, 4]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maximum {}

impl Maximum {
    /// Without arguments.
    pub fn new() -> Self {
        Maximum {}
    }
}

impl Layer for Maximum {
    fn class_name(&self) -> &'static str {
        "Maximum"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        base_merge::output_shape(inputs)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        extremum::buffers(inputs)
    }

    fn contract(&self) -> Contract {
        extremum::contract()
    }

    fn mask_shape(&self, inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        base_merge::check_masks(inputs, masks)?;
        base_merge::mask_shape(masks)
    }

    fn compute_mask(&self, x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        base_merge::compute_mask(x, masks, out);
    }

    fn forward(&self, cx: Forward<'_>) {
        extremum::forward(cx, |x, y| x > y);
    }

    fn backward(&self, cx: Backward<'_>) {
        extremum::backward(cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(
            Maximum::new(),
            &[[3, 4].into(), [3, 4].into(), [3, 4].into()],
        );
        check_layer(Maximum::new(), &[[3, 4].into(), [4].into(), [3, 1].into()]);
        check_layer(Maximum::new(), &[[5].into()]);
    }
}
