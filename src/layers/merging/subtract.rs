//! Difference of two inputs: `y = x0 - x1`, `dx0 = dy`, `dx1 = -dy` (summed over the axes along which an input was repeated).

use serde::{Deserialize, Serialize};

use super::base_merge;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::kernels::elementwise::{scale, sub};
use crate::kernels::spread::Spread;
use crate::layer::{Backward, Contract, Forward, Layer, Mask, View};
use crate::shape::Shape;

/// Subtracts its second input from its first. [Keras](https://keras.io/api/layers/merging_layers/subtract/)
///
/// Two inputs whose shapes broadcast, as for [`Add`](super::Add). The output is masked where both inputs are.
///
/// ```
/// use oxhorn::{layers::Subtract, prelude::*};
/// assert!(Subtract::new().output_shape(&[[3, 4].into(), [3, 4].into()]).is_ok());
/// assert!(Subtract::new().output_shape(&[[3, 4].into()]).is_err());
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subtract {}

impl Subtract {
    /// Without arguments.
    pub fn new() -> Self {
        Subtract {}
    }
}

impl Layer for Subtract {
    fn class_name(&self) -> &'static str {
        "Subtract"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if inputs.len() != 2 {
            let got = format!("{} inputs", inputs.len());
            return Err(Error::shape("two inputs", got));
        }
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
        let x1 = cx.x[1];
        base_merge::first(&mut cx);
        Spread::samples(x1.batch, cx.y.shape, x1.shape).apply(
            x1.data,
            cx.y.data,
            cx.par,
            sub,
            |x, y| y.iter_mut().for_each(|y| *y -= x),
        );
    }

    fn backward(&self, mut cx: Backward<'_>) {
        base_merge::sum_backward(&mut cx, 1.0);
        if let Some(dx1) = &mut cx.dx[1] {
            scale(-1.0, dx1.data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(Subtract::new(), &[[3, 4].into(), [3, 4].into()]);
        check_layer(Subtract::new(), &[[4].into(), [3, 1].into()]);
    }
}
