//! RandomSaturation: the saturation of all pixels is multiplied by the same number, `s' = clip(s f)`.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange, check_channels};
use super::image::augmentation::{Augmentation, Image};
use super::image::color::{each_pixel, hsv_to_rgb, rgb_to_hsv};
use crate::error::Result;
use crate::float::{EPSILON, Float};
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Multiplies the saturation of the pixels of an image, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_saturation/)
///
/// Input `(batch, height, width, 3)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// As in Keras, saturations (of 0 to 1) are clipped to the value range of the pixels.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | | `u / (1 - u)` is what saturations are multiplied by, with `u` between the two ends; `f` is `[-f, f]` |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomSaturation, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomSaturation::new(0.2));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomSaturation {
    factor: Factor,
    #[serde(default)]
    value_range: ValueRange,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl RandomSaturation {
    /// Multiplies by `u / (1 - u)` for `u` up to this.
    pub fn new(factor: impl Into<Factor>) -> Self {
        RandomSaturation {
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

impl Augmentation for RandomSaturation {
    fn name(&self) -> &'static str {
        "RandomSaturation"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, [_, _, channels]: [Option<usize>; 3]) -> Result<()> {
        self.factor.check("factor", -1.0, 1.0)?;
        self.value_range.check()?;
        check_channels(channels, &[3])
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], _: &mut [Float]) {
        let u = self.factor.draw(-1.0, &mut rng);
        self.saturate(u / (1.0 - u + EPSILON), image, y);
    }
}

impl RandomSaturation {
    fn saturate(&self, by: Float, image: Image, y: &mut [Float]) {
        let range = self.value_range.sorted();
        each_pixel(image, y, |rgb| {
            let [hue, saturation, value] = rgb_to_hsv(rgb);
            hsv_to_rgb([hue, range.clip(saturation * by), value])
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomSaturation::new(0.2), &[[2, 3, 3].into()]);
        check_layer(
            RandomSaturation::new([0.1, 0.9]).data_format("channels_first"),
            &[[3, 2, 2].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(2, 3);
        let mut y = x.clone();
        RandomSaturation::new(0.2).saturate(0.7, image, &mut y);
        let want = [
            51.4, 141.0, 103.2, 135.2, 201.0, 139.4, 117.0, 159.0, 73.6, 245.0, 84.0, 154.0, 50.4,
            44.8, 91.0, 231.0, 201.6, 224.0,
        ];
        near(&y, &want, 1e-4);
        let mut y = x.clone();
        let layer = RandomSaturation::new(0.2).value_range(ValueRange::UNIT);
        layer.saturate(1.5, image, &mut y);
        let want = [
            0.0, 141.0, 81.5156, 60.0, 201.0, 69.0, 80.8033, 159.0, 0.0, 245.0, 0.0, 106.5217,
            11.0303, 0.0, 91.0, 231.0, 168.0, 216.0,
        ];
        near(&y, &want, 1e-4);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomSaturation::new(1.5),
            RandomSaturation::new(0.5).value_range([0.0, 0.0]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
