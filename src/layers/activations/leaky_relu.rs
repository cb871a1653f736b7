//! `y = x` from 0 on, `negative_slope x` below; `dx` is `dy` times 1 or the slope.

use serde::{Deserialize, Serialize};

use crate::activation::Activation as Function;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer};
use crate::layers::core::Activation;
use crate::shape::{Dims, Shape};

/// Leaky rectified linear unit. [Keras](https://keras.io/api/layers/activation_layers/leaky_relu/)
///
/// Input and output have the same shape; masks are passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `negative_slope` | 0.3 | slope below 0 |
///
/// ```
/// use oxhorn::{layers::LeakyReLU, prelude::*};
/// let mut model = Sequential::new().input([2]).add(LeakyReLU::new().negative_slope(0.25));
/// model.build([2])?;
/// assert_eq!(model.predict(&ndarray::array![[-4.0f32, 2.0]])?, ndarray::array![[-1.0, 2.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakyReLU {
    /// Keras 2 called it `alpha`.
    #[serde(default = "slope", alias = "alpha")]
    negative_slope: f64,
}

fn slope() -> f64 {
    0.3
}

impl Default for LeakyReLU {
    fn default() -> Self {
        LeakyReLU::new()
    }
}

impl LeakyReLU {
    /// With slope 0.3 below 0.
    pub fn new() -> Self {
        LeakyReLU {
            negative_slope: slope(),
        }
    }

    /// Slope below 0.
    pub fn negative_slope(mut self, slope: f64) -> Self {
        self.negative_slope = slope;
        self
    }

    fn activation(&self) -> Activation {
        Activation::new(Function::LeakyRelu {
            negative_slope: self.negative_slope as Float,
        })
    }
}

impl Layer for LeakyReLU {
    fn class_name(&self) -> &'static str {
        "LeakyReLU"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self.negative_slope.is_nan() || self.negative_slope < 0.0 {
            let want = "a number that is not negative";
            return Err(Error::arg("negative_slope", want, self.negative_slope));
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
        check_layer(LeakyReLU::new(), &[[3, 4].into()]);
        check_layer(LeakyReLU::new().negative_slope(0.0), &[[3, 4].into()]);
    }

    #[test]
    fn numbers_are_keras_s() {
        let layer = LeakyReLU::new().negative_slope(0.5);
        let (y, _) = apply(&layer, &[(&[-10.0, -5.0, 0.0, 5.0], &[4])], &[None], &[]);
        assert_eq!(y, [-5.0, -2.5, 0.0, 5.0]);
        let bad = LeakyReLU::new().negative_slope(-0.1);
        assert!(bad.output_shape(&[[3].into()]).is_err());
    }
}
