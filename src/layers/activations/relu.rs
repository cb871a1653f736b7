//! `y = max_value` where `x >= max_value`, `x` above the threshold, `negative_slope (x - threshold)` up to it; `dx` is `dy`
//! times 0, 1 or the slope.

use serde::{Deserialize, Serialize};

use crate::activation::Activation as Function;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer};
use crate::layers::core::Activation;
use crate::shape::{Dims, Shape};

/// Rectified linear unit. [Keras](https://keras.io/api/layers/activation_layers/relu/)
///
/// Input and output have the same shape; masks are passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `max_value` | none | upper bound |
/// | `negative_slope` | 0 | slope below the threshold |
/// | `threshold` | 0 | where it starts |
///
/// ```
/// use oxhorn::{layers::ReLU, prelude::*};
/// let mut model = Sequential::new().input([3]).add(ReLU::new().max_value(6.0));
/// model.build([3])?;
/// assert_eq!(model.predict(&ndarray::array![[-1.0f32, 2.0, 9.0]])?, ndarray::array![[0.0, 2.0, 6.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReLU {
    #[serde(default)]
    max_value: Option<f64>,
    #[serde(default)]
    negative_slope: f64,
    #[serde(default)]
    threshold: f64,
}

impl Default for ReLU {
    fn default() -> Self {
        ReLU::new()
    }
}

impl ReLU {
    /// `max(x, 0)`.
    pub fn new() -> Self {
        ReLU {
            max_value: None,
            negative_slope: 0.0,
            threshold: 0.0,
        }
    }

    /// Upper bound.
    pub fn max_value(mut self, max_value: f64) -> Self {
        self.max_value = Some(max_value);
        self
    }

    /// Slope below the threshold.
    pub fn negative_slope(mut self, slope: f64) -> Self {
        self.negative_slope = slope;
        self
    }

    /// Where it starts.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    fn activation(&self) -> Activation {
        Activation::new(Function::Relu {
            negative_slope: self.negative_slope as Float,
            max_value: self.max_value.map(|max| max as Float),
            threshold: self.threshold as Float,
        })
    }
}

impl Layer for ReLU {
    fn class_name(&self) -> &'static str {
        "ReLU"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        for (arg, value) in [
            ("max_value", self.max_value.unwrap_or(0.0)),
            ("negative_slope", self.negative_slope),
            ("threshold", self.threshold),
        ] {
            if value.is_nan() || value < 0.0 {
                return Err(Error::arg(arg, "a number that is not negative", value));
            }
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
        check_layer(ReLU::new(), &[[3, 4].into()]);
        let layer = ReLU::new()
            .max_value(0.8)
            .negative_slope(0.1)
            .threshold(0.2);
        check_layer(layer, &[[3, 4].into()]);
    }

    #[test]
    fn numbers_are_keras_s() {
        let layer = ReLU::new()
            .max_value(8.0)
            .negative_slope(0.5)
            .threshold(1.0);
        let (y, _) = apply(
            &layer,
            &[(&[-10.0, 0.0, 1.0, 5.0, 10.0], &[5])],
            &[None],
            &[],
        );
        assert_eq!(y, [-5.5, -0.5, 0.0, 5.0, 8.0]);
        for bad in [
            ReLU::new().max_value(-1.0),
            ReLU::new().threshold(-0.1),
            ReLU::new().negative_slope(f64::NAN),
        ] {
            assert!(bad.output_shape(&[[3].into()]).is_err());
        }
    }
}
