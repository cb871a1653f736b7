//! RandomInvert: with some probability `y = b - x` for an image, `b` the largest value of pixels; `dx = -dy`.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange};
use super::image::augmentation::{Augmentation, Image, pointwise};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Makes a negative of an image, or leaves it as it is, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_invert/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | 1.0 | between these lies the probability that an image is inverted; `f` is `[0, f]` |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomInvert, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomInvert::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomInvert {
    factor: Factor,
    value_range: ValueRange,
    seed: Option<u64>,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Default for RandomInvert {
    fn default() -> Self {
        RandomInvert {
            factor: Factor::One(1.0),
            value_range: ValueRange::default(),
            seed: None,
            data_format: DataFormat::default(),
        }
    }
}

impl RandomInvert {
    /// With probabilities up to 1.
    pub fn new() -> Self {
        RandomInvert::default()
    }

    /// Between these lies the probability of a change.
    pub fn factor(mut self, factor: impl Into<Factor>) -> Self {
        self.factor = factor.into();
        self
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

impl Augmentation for RandomInvert {
    fn name(&self) -> &'static str {
        "RandomInvert"
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

    fn linear(&self) -> bool {
        true
    }

    fn augment(&self, mut rng: SampleRng, _: Image, y: &mut [Float], _: &mut [Float]) {
        if self.factor.happens(&mut rng) {
            pointwise(y, |y| self.value_range.second() - y);
        }
    }

    fn transpose(&self, mut rng: SampleRng, _: Image, d: &mut [Float], _: &mut [Float]) {
        if self.factor.happens(&mut rng) {
            pointwise(d, |d| -d);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomInvert::new(), &[[2, 3, 3].into()]);
        check_layer(
            RandomInvert::new()
                .factor([1.0, 1.0])
                .value_range([0.0, 1.0]),
            &[[2, 3, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(2, 3);
        let y = augmented(&RandomInvert::new().factor([1.0, 1.0]), image, &x, 0);
        let want = [
            242.0, 114.0, 168.0, 148.0, 54.0, 142.0, 156.0, 96.0, 218.0, 10.0, 240.0, 140.0, 222.0,
            230.0, 164.0, 24.0, 66.0, 34.0,
        ];
        near(&y, &want, 1e-6);
        // Probabilities are uniform in 0..1: half of the images change.
        let changed = (0..200).filter(|i| augmented(&RandomInvert::new(), image, &x, *i) != x);
        assert!((75..125).contains(&changed.count()));
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomInvert::new().factor(1.5),
            RandomInvert::new().value_range([0.0, 0.0]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
