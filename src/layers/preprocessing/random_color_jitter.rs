//! RandomColorJitter: brightness, contrast, saturation and hue are changed, one after the other.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange};
use super::image::augmentation::{Augmentation, Image};
use super::image::draws::fork;
use super::{RandomBrightness, RandomContrast, RandomHue, RandomSaturation};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Changes brightness, contrast, saturation and hue, each by a draw of its own, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_color_jitter/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `brightness_factor` | none | `factor` of [`RandomBrightness`](super::RandomBrightness); none: no such change |
/// | `contrast_factor` | none | `factor` of [`RandomContrast`](super::RandomContrast); none: no such change |
/// | `saturation_factor` | none | `factor` of [`RandomSaturation`](super::RandomSaturation); none: no such change |
/// | `hue_factor` | none | `factor` of [`RandomHue`](super::RandomHue); none: no such change |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomColorJitter, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomColorJitter::new().brightness_factor(0.2));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomColorJitter {
    value_range: ValueRange,
    brightness_factor: Option<Factor>,
    contrast_factor: Option<Factor>,
    saturation_factor: Option<Factor>,
    hue_factor: Option<Factor>,
    seed: Option<u64>,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl RandomColorJitter {
    /// Changes nothing.
    pub fn new() -> Self {
        RandomColorJitter::default()
    }

    /// Smallest and largest value of pixels.
    pub fn value_range(mut self, value_range: impl Into<ValueRange>) -> Self {
        self.value_range = value_range.into();
        self
    }

    /// `factor` of [`RandomBrightness`](super::RandomBrightness).
    pub fn brightness_factor(mut self, brightness_factor: impl Into<Factor>) -> Self {
        self.brightness_factor = Some(brightness_factor.into());
        self
    }

    /// `factor` of [`RandomContrast`](super::RandomContrast).
    pub fn contrast_factor(mut self, contrast_factor: impl Into<Factor>) -> Self {
        self.contrast_factor = Some(contrast_factor.into());
        self
    }

    /// `factor` of [`RandomSaturation`](super::RandomSaturation).
    pub fn saturation_factor(mut self, saturation_factor: impl Into<Factor>) -> Self {
        self.saturation_factor = Some(saturation_factor.into());
        self
    }

    /// `factor` of [`RandomHue`](super::RandomHue).
    pub fn hue_factor(mut self, hue_factor: impl Into<Factor>) -> Self {
        self.hue_factor = Some(hue_factor.into());
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

impl Augmentation for RandomColorJitter {
    fn name(&self) -> &'static str {
        "RandomColorJitter"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, size: [Option<usize>; 3]) -> Result<()> {
        self.value_range.check()?;
        self.changes(|change| change.check(size))
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], room: &mut [Float]) {
        let done = self.changes(|change| {
            change.augment(fork(&mut rng), image, y, room);
            Ok(())
        });
        debug_assert!(done.is_ok());
    }
}

impl RandomColorJitter {
    /// Calls `f` with every change in turn.
    fn changes(&self, mut f: impl FnMut(&dyn Augmentation) -> Result<()>) -> Result<()> {
        let (range, format) = (self.value_range, self.data_format);
        if let Some(factor) = self.brightness_factor {
            f(&RandomBrightness::new(factor)
                .value_range(range)
                .data_format(format))?;
        }
        if let Some(factor) = self.contrast_factor {
            f(&RandomContrast::new(factor)
                .value_range(range)
                .data_format(format))?;
        }
        if let Some(factor) = self.saturation_factor {
            f(&RandomSaturation::new(factor)
                .value_range(range)
                .data_format(format))?;
        }
        if let Some(factor) = self.hue_factor {
            f(&RandomHue::new(factor)
                .value_range(range)
                .data_format(format))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomColorJitter::new(), &[[2, 3, 3].into()]);
        check_layer(
            RandomColorJitter::new()
                .contrast_factor(0.5)
                .brightness_factor(0.2),
            &[[2, 3, 1].into()],
        );
        check_layer(
            RandomColorJitter::new()
                .hue_factor(0.5)
                .saturation_factor(0.2)
                .data_format("channels_first"),
            &[[3, 2, 2].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(2, 3);
        assert_eq!(augmented(&RandomColorJitter::new(), image, &x, 0), x);
        // Brighter by 51, then a contrast of 1.5 around the mean.
        let layer = RandomColorJitter::new()
            .brightness_factor([0.2, 0.2])
            .contrast_factor(0.5);
        let y = augmented(
            &layer
                .clone()
                .contrast_factor([-0.5, 0.5])
                .value_range([0.0, 900.0]),
            image,
            &x,
            0,
        );
        let range = 0.2 * 900.0;
        for c in 0..3 {
            let mean = (0..6).map(|p| x[image.at(p, c)]).sum::<Float>() / 6.0 + range;
            for p in 0..6 {
                let want = (x[image.at(p, c)] + range - mean) * 1.5 + mean;
                near(&[y[image.at(p, c)]], &[want], 1e-5);
            }
        }
        assert_ne!(
            augmented(&layer, image, &x, 0),
            augmented(&layer, image, &x, 1)
        );
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomColorJitter::new().brightness_factor(1.5),
            RandomColorJitter::new().hue_factor(-0.5),
            RandomColorJitter::new().value_range([0.0, 0.0]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
