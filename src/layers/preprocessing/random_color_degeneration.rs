//! RandomColorDegeneration: `y = clip(x + f (g - x))` with `g` the grey of the pixel and one `f` for an image.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange, check_channels};
use super::image::augmentation::{Augmentation, Image, pointwise};
use super::image::color::{each_pixel, gray};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Takes colour out of an image, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_color_degeneration/)
///
/// Input `(batch, height, width, 3)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes. One channel is grey already.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | | between these: 0 is the image, 1 is grey; `f` is `[-f, f]` |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomColorDegeneration, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomColorDegeneration::new(0.2));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomColorDegeneration {
    factor: Factor,
    #[serde(default)]
    value_range: ValueRange,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl RandomColorDegeneration {
    /// Up to this much grey.
    pub fn new(factor: impl Into<Factor>) -> Self {
        RandomColorDegeneration {
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

impl Augmentation for RandomColorDegeneration {
    fn name(&self) -> &'static str {
        "RandomColorDegeneration"
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
        check_channels(channels, &[1, 3])
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], _: &mut [Float]) {
        self.degenerate(self.factor.draw(-1.0, &mut rng), image, y);
    }
}

impl RandomColorDegeneration {
    fn degenerate(&self, by: Float, image: Image, y: &mut [Float]) {
        let range = self.value_range.sorted();
        if image.channels == 3 {
            each_pixel(image, y, |rgb| {
                let gray = gray(rgb);
                rgb.map(|v| v + by * (gray - v))
            });
        }
        pointwise(y, |y| range.clip(y));
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomColorDegeneration::new(0.2), &[[2, 3, 3].into()]);
        check_layer(
            RandomColorDegeneration::new([0.1, 0.9]),
            &[[2, 3, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, mut y) = picture(2, 3);
        RandomColorDegeneration::new(0.2).degenerate(0.4, image, &mut y);
        let want = [
            46.4283, 123.2283, 90.8283, 129.3405, 185.7405, 132.9405, 110.2568, 146.2568, 73.0568,
            185.0582, 47.0582, 107.0582, 33.7651, 28.9651, 68.5651, 220.6732, 195.4732, 214.6732,
        ];
        near(&y, &want, 1e-5);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomColorDegeneration::new(1.5),
            RandomColorDegeneration::new(0.5).value_range([0.0, 0.0]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
