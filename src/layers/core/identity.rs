//! Identity: `y = x`, `dx = dy`.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::Result;
use crate::layer::{Backward, Contract, Forward, Layer, MaskRule};
use crate::layers::args::one_input;
use crate::shape::Shape;

/// Passes its input on, and its mask. [Keras](https://keras.io/api/layers/core_layers/identity/)
///
/// ```
/// use oxhorn::{layers::Identity, prelude::*};
/// let mut model = Sequential::new().input([2]).add(Identity::new());
/// model.build([2])?;
/// assert_eq!(model.predict(&ndarray::array![[1.0f32, 2.0]])?, ndarray::array![[1.0, 2.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {}

impl Identity {
    /// Without arguments.
    pub fn new() -> Self {
        Identity {}
    }
}

impl Layer for Identity {
    fn class_name(&self) -> &'static str {
        "Identity"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(Identity::new(), &[[3, 4].into()]);
        check_layer(Identity::new(), &[Shape::default()]);
    }
}
