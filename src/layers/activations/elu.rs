//! `y = x` above 0, `alpha (e^x - 1)` below; `dx` is `dy` times 1 or `alpha e^x`.

use serde::{Deserialize, Serialize};

use crate::activation::Activation as Function;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer};
use crate::layers::core::Activation;
use crate::shape::{Dims, Shape};

/// Exponential linear unit. [Keras](https://keras.io/api/layers/activation_layers/elu/)
///
/// Input and output have the same shape; masks are passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `alpha` | 1 | scale below 0 |
///
/// ```
/// use oxhorn::{layers::ELU, prelude::*};
/// let mut model = Sequential::new().input([2]).add(ELU::new());
/// model.build([2])?;
/// assert_eq!(model.predict(&ndarray::array![[0.0f32, 2.0]])?, ndarray::array![[0.0, 2.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ELU {
    #[serde(default = "one")]
    alpha: f64,
}

fn one() -> f64 {
    1.0
}

impl Default for ELU {
    fn default() -> Self {
        ELU::new()
    }
}

impl ELU {
    /// With scale 1 below 0.
    pub fn new() -> Self {
        ELU { alpha: one() }
    }

    /// Scale below 0.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    fn activation(&self) -> Activation {
        Activation::new(Function::Elu {
            alpha: self.alpha as Float,
        })
    }
}

impl Layer for ELU {
    fn class_name(&self) -> &'static str {
        "ELU"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if !self.alpha.is_finite() {
            return Err(Error::arg("alpha", "a finite number", self.alpha));
        }
        self.activation().output_shape(inputs)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.activation().buffers(inputs)
    }

    fn inference_buffers(&self, inputs: &[Dims]) -> Buffers {
        self.activation().inference_buffers(inputs)
    }

    fn contract(&self) -> Contract {
        self.activation().contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        self.activation().forward(cx);
    }

    fn backward(&self, cx: Backward<'_>) {
        self.activation().backward(cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(ELU::new(), &[[3, 4].into()]);
        check_layer(ELU::new().alpha(0.7), &[[3, 4].into()]);
        check_layer(ELU::new().alpha(-0.5), &[[3, 4].into()]);
    }

    #[test]
    fn numbers_are_keras_s() {
        let (y, _) = apply(
            &ELU::new().alpha(2.0),
            &[(&[-1.0, 3.0], &[2])],
            &[None],
            &[],
        );
        assert!((y[0] + 1.264_241).abs() < 1e-5 && y[1] == 3.0);
        assert!(
            ELU::new()
                .alpha(f64::NAN)
                .output_shape(&[[3].into()])
                .is_err()
        );
    }
}
