//! A penalty on activations: `y = x`, and `l1 sum |x| + l2 sum x^2` over the batch, divided by its size, is added to the loss.
//! The engine adds the penalty and its gradient.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::Result;
use crate::layer::{Backward, Contract, Forward, Layer, MaskRule};
use crate::layers::args::one_input;
use crate::regularizer::Regularizer;
use crate::shape::Shape;

/// Adds a penalty on its input to the loss, and passes it on.
/// [Keras](https://keras.io/api/layers/regularization_layers/activity_regularization/)
///
/// Input and output have the same shape; masks are passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `l1` | 0 | factor of the absolute values |
/// | `l2` | 0 | factor of the squares |
///
/// ```
/// use oxhorn::{layers::ActivityRegularization, prelude::*};
/// let mut model = Sequential::new().input([2]).add(ActivityRegularization::new().l2(0.5));
/// model.build([2])?;
/// assert_eq!(model.predict(&ndarray::array![[1.0f32, 2.0]])?, ndarray::array![[1.0, 2.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Arguments", into = "Arguments")]
pub struct ActivityRegularization {
    penalty: Regularizer,
    l1: f64,
    l2: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(default)]
    l1: f64,
    #[serde(default)]
    l2: f64,
}

impl From<Arguments> for ActivityRegularization {
    fn from(Arguments { l1, l2 }: Arguments) -> Self {
        let penalty = Regularizer::L1L2 { l1, l2 };
        ActivityRegularization { penalty, l1, l2 }
    }
}

impl From<ActivityRegularization> for Arguments {
    fn from(ActivityRegularization { l1, l2, .. }: ActivityRegularization) -> Self {
        Arguments { l1, l2 }
    }
}

impl Default for ActivityRegularization {
    fn default() -> Self {
        ActivityRegularization::new()
    }
}

impl ActivityRegularization {
    /// Without a penalty.
    pub fn new() -> Self {
        Arguments { l1: 0.0, l2: 0.0 }.into()
    }

    /// Factor of the absolute values.
    pub fn l1(self, l1: f64) -> Self {
        Arguments { l1, l2: self.l2 }.into()
    }

    /// Factor of the squares.
    pub fn l2(self, l2: f64) -> Self {
        Arguments { l1: self.l1, l2 }.into()
    }
}

impl Layer for ActivityRegularization {
    fn class_name(&self) -> &'static str {
        "ActivityRegularization"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.penalty.check("l1, l2")?;
        Ok(one_input(inputs)?.clone())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            in_place: true,
            mask: MaskRule::Pass,
            ..Contract::default()
        }
    }

    fn forward(&self, _cx: Forward<'_>) {}

    fn backward(&self, _cx: Backward<'_>) {}

    fn activity_regularizer(&self) -> Option<&Regularizer> {
        Some(&self.penalty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(
            ActivityRegularization::new().l1(0.1).l2(0.2),
            &[[3, 4].into()],
        );
    }

    #[test]
    fn the_penalty_is_of_both() {
        let layer = ActivityRegularization::new().l1(0.5).l2(0.25);
        let penalty = layer.activity_regularizer().unwrap();
        assert_eq!(penalty.penalty(&[2.0, -2.0], &[1, 2]), 4.0);
        let bad = ActivityRegularization::new().l1(-1.0);
        assert!(bad.output_shape(&[[3].into()]).is_err());
    }
}
