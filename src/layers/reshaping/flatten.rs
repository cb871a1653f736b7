//! Flatten: all axes of a sample become one. The numbers stay where they are.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::layer::{Backward, Contract, Forward, Layer};
use crate::shape::Shape;

/// Flattens each sample to one axis. [Keras](https://keras.io/api/layers/reshaping_layers/flatten/)
///
/// Input `(batch, ..)`, output `(batch, product)`; a sample without axes gets one of size 1.
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([2, 3]).add(Flatten::new());
/// model.build([2, 3])?;
/// let y = model.predict(&ndarray::Array3::<f32>::ones((5, 2, 3)))?;
/// assert_eq!(y.shape(), [5, 6]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {
    #[serde(default)]
    data_format: DataFormat,
}

/// Where the channels are. Inside, they are last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DataFormat {
    #[default]
    ChannelsLast,
}

impl Flatten {
    /// Without arguments.
    pub fn new() -> Self {
        Flatten::default()
    }
}

impl Layer for Flatten {
    fn class_name(&self) -> &'static str {
        "Flatten"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        match inputs {
            [x] => Ok(Shape::from([x.numel()])),
            _ => Err(Error::shape(
                "one input",
                format!("{} inputs", inputs.len()),
            )),
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            in_place: true,
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
        check_layer(Flatten::new(), &[[2, 3, 4].into()]);
        check_layer(Flatten::new(), &[Shape::default()]);
        assert_eq!(
            Flatten::new()
                .output_shape(&[[None, Some(3)].into()])
                .unwrap(),
            Shape::from([None])
        );
    }
}
