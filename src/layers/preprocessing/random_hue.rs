//! RandomHue: the hue of all pixels moves by the same part of a turn, `h' = h + d`.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange, check_channels};
use super::image::augmentation::{Augmentation, Image, pointwise};
use super::image::color::{each_pixel, hsv_to_rgb, rgb_to_hsv};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Turns the hue of the pixels of an image by a random angle, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_hue/)
///
/// Input `(batch, height, width, 3)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | | `[a, b]`: hues turn by `a / 2` to `b / 2` turns, either way; `f` is `[0, f]` |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomHue, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomHue::new(0.2));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomHue {
    factor: Factor,
    #[serde(default)]
    value_range: ValueRange,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl RandomHue {
    /// Turns hues up to half this part of a turn, either way.
    pub fn new(factor: impl Into<Factor>) -> Self {
        RandomHue {
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

impl Augmentation for RandomHue {
    fn name(&self) -> &'static str {
        "RandomHue"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, [_, _, channels]: [Option<usize>; 3]) -> Result<()> {
        self.factor.check("factor", 0.0, 1.0)?;
        self.value_range.check()?;
        check_channels(channels, &[3])
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], _: &mut [Float]) {
        let sign = if rng.uniform() > 0.5 { -0.5 } else { 0.5 };
        self.turn(sign * self.factor.draw(0.0, &mut rng), image, y);
    }
}

impl RandomHue {
    fn turn(&self, by: Float, image: Image, y: &mut [Float]) {
        let (range, unit) = (self.value_range, ValueRange::UNIT);
        pointwise(y, |y| range.map(unit, y));
        each_pixel(image, y, |rgb| {
            let [hue, saturation, value] = rgb_to_hsv(rgb);
            let hue = match hue + by {
                h if h > 1.0 => h - 1.0,
                h if h < 0.0 => h + 1.0,
                h => h,
            };
            hsv_to_rgb([hue, saturation, value])
        });
        pointwise(y, |y| unit.map(range, unit.clip(y)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomHue::new(0.2), &[[2, 3, 3].into()]);
        check_layer(
            RandomHue::new([0.1, 0.3]).data_format("channels_first"),
            &[[3, 2, 2].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(2, 3);
        let turned = |by| {
            let mut y = x.clone();
            RandomHue::new(0.2).turn(by, image, &mut y);
            y
        };
        let want = [
            61.4, 13.0, 141.0, 107.0, 119.8, 201.0, 37.0, 123.4, 159.0, 161.0, 245.0, 15.0, 91.0,
            25.0, 30.2, 229.4, 231.0, 189.0,
        ];
        near(&turned(0.3), &want, 1e-4);
        let want = [
            141.0, 112.6, 13.0, 201.0, 131.8, 107.0, 159.0, 37.0, 74.6, 15.0, 69.0, 245.0, 25.0,
            91.0, 46.2, 189.0, 212.6, 231.0,
        ];
        near(&turned(-0.3), &want, 1e-4);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomHue::new(1.5),
            RandomHue::new(0.5).value_range([0.0, 0.0]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
        let e = RandomHue::new(0.5)
            .check([None, None, Some(1)])
            .unwrap_err();
        assert!(e.to_string().contains("images of 3 channels"), "{e}");
    }
}
