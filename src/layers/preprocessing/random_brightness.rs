//! RandomBrightness: `y = clip(x + d)` with one `d` for an image.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange};
use super::image::augmentation::{Augmentation, Image, pointwise};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Adds the same random number to all pixels of an image, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_brightness/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | | `f`: between `-f` and `f` of the value range is added; or two ends, within `[-1, 1]` |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomBrightness, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomBrightness::new(0.2));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomBrightness {
    factor: Factor,
    #[serde(default)]
    value_range: ValueRange,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl RandomBrightness {
    /// Adds up to this part of the value range, or takes it away.
    pub fn new(factor: impl Into<Factor>) -> Self {
        RandomBrightness {
            factor: factor.into(),
            value_range: ValueRange::default(),
            seed: None,
            data_format: DataFormat::default(),
        }
    }

    /// Smallest and largest value of pixels.
    pub fn value_range(mut self, value_range: impl Into<ValueRange>) -> Self {
        self.value_range = value_range.into();
        self
    }

    /// A seed to mix with the model's into this layer's draws.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Augmentation for RandomBrightness {
    fn name(&self) -> &'static str {
        "RandomBrightness"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        self.factor.check("factor", -1.0, 1.0)?;
        self.value_range.check()
    }

    fn augment(&self, mut rng: SampleRng, _: Image, y: &mut [Float], _: &mut [Float]) {
        let range = self.value_range.sorted();
        let width = range.second() - range.first();
        self.brighten(self.factor.draw(-1.0, &mut rng) * width, y);
    }
}

impl RandomBrightness {
    fn brighten(&self, by: Float, y: &mut [Float]) {
        let range = self.value_range.sorted();
        pointwise(y, |y| range.clip(y + by));
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomBrightness::new(0.2), &[[2, 3, 3].into()]);
        check_layer(
            RandomBrightness::new([0.1, 0.3]).seed(3),
            &[[2, 3, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (_, mut y) = picture(2, 3);
        RandomBrightness::new(0.2).brighten(-40.0, &mut y);
        let want = [
            0.0, 101.0, 47.0, 67.0, 161.0, 73.0, 59.0, 119.0, 0.0, 205.0, 0.0, 75.0, 0.0, 0.0,
            51.0, 191.0, 149.0, 181.0,
        ];
        near(&y, &want, 1e-6);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomBrightness::new(1.5),
            RandomBrightness::new(0.5).value_range([1.0, 1.0]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
