//! RandomContrast: `y = clip((x - m) c + m)` with `m` the mean of the channel of the image and one `c` for an image.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange, uniform};
use super::image::augmentation::{Augmentation, Image};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Moves the pixels of an image away from their mean, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_contrast/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | | `[a, b]`: the contrast becomes `1 - a` to `1 + b` times what it was; `f` is `[0, f]` |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomContrast, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomContrast::new(0.2));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomContrast {
    factor: Factor,
    #[serde(default)]
    value_range: ValueRange,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl RandomContrast {
    /// Adds up to this much contrast.
    pub fn new(factor: impl Into<Factor>) -> Self {
        RandomContrast {
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

impl Augmentation for RandomContrast {
    fn name(&self) -> &'static str {
        "RandomContrast"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        self.factor.check("factor", 0.0, 1.0)?;
        self.value_range.check()
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], _: &mut [Float]) {
        let [low, high] = self.factor.ends(0.0);
        self.contrast(uniform([1.0 - low, 1.0 + high], &mut rng), image, y);
    }
}

impl RandomContrast {
    fn contrast(&self, by: Float, image: Image, y: &mut [Float]) {
        for c in 0..image.channels {
            let sum: Float = (0..image.pixels()).map(|p| y[image.at(p, c)]).sum();
            let mean = sum / image.pixels() as Float;
            for p in 0..image.pixels() {
                let y = &mut y[image.at(p, c)];
                *y = self.value_range.clip((*y - mean) * by + mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{channels_first, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomContrast::new(0.2), &[[2, 3, 3].into()]);
        check_layer(
            RandomContrast::new([0.1, 0.3]).data_format("channels_first"),
            &[[1, 3, 2].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(2, 3);
        let mut y = x.clone();
        RandomContrast::new(0.2).contrast(1.3, image, &mut y);
        let want = [
            0.0, 146.8, 79.9, 102.7, 224.8, 113.7, 92.3, 170.2, 14.9, 255.0, 0.0, 116.3, 6.5, 0.0,
            85.1, 255.0, 209.2, 254.1,
        ];
        near(&y, &want, 1e-5);
        let (first, mut planes) = channels_first(image, &x);
        RandomContrast::new(0.2).contrast(1.3, first, &mut planes);
        near(&planes, &channels_first(image, &y).1, 1e-6);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomContrast::new(-0.5),
            RandomContrast::new(0.5).value_range([0.0, f64::NAN]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
