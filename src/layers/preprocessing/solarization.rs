//! Solarization: with `v = clip(x + a)` (in 0 to 255), `y = v` where `v < t` and `255 - v` elsewhere; one `a` and `t` for an
//! image.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange, uniform};
use super::image::augmentation::{Augmentation, Image, pointwise};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Inverts the bright pixels of an image, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_preprocessing/solarization/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `addition_factor` | 0.0 | `[a, b]`: between `a` and `255 b` is added; `f` is `[0, f]` |
/// | `threshold_factor` | 0.0 | `[a, b]`: pixels above a number between `a` and `255 b` are inverted; `f` is `[0, f]` |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::Solarization, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(Solarization::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Solarization {
    addition_factor: Factor,
    threshold_factor: Factor,
    value_range: ValueRange,
    seed: Option<u64>,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Default for Solarization {
    fn default() -> Self {
        Solarization {
            addition_factor: Factor::One(0.0),
            threshold_factor: Factor::One(0.0),
            value_range: ValueRange::default(),
            seed: None,
            data_format: DataFormat::default(),
        }
    }
}

impl Solarization {
    /// Adds nothing and inverts everything.
    pub fn new() -> Self {
        Solarization::default()
    }

    /// How much is added before.
    pub fn addition_factor(mut self, addition_factor: impl Into<Factor>) -> Self {
        self.addition_factor = addition_factor.into();
        self
    }

    /// From where on pixels are inverted.
    pub fn threshold_factor(mut self, threshold_factor: impl Into<Factor>) -> Self {
        self.threshold_factor = threshold_factor.into();
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

impl Augmentation for Solarization {
    fn name(&self) -> &'static str {
        "Solarization"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        self.addition_factor
            .check_within("addition_factor", 0.0, 1.0)?;
        self.threshold_factor
            .check_within("threshold_factor", 0.0, 1.0)?;
        self.value_range.check()
    }

    fn augment(&self, mut rng: SampleRng, _: Image, y: &mut [Float], _: &mut [Float]) {
        // As in Keras, only the upper end is a part of 255.
        let mut draw = |factor: Factor| {
            let [low, high] = factor.ends(0.0);
            uniform([low, high * 255.0], &mut rng)
        };
        let [addition, threshold] = [draw(self.addition_factor), draw(self.threshold_factor)];
        self.solarize(addition, threshold, y);
    }
}

impl Solarization {
    fn solarize(&self, addition: Float, threshold: Float, y: &mut [Float]) {
        let (range, bytes) = (self.value_range.sorted(), ValueRange::default());
        pointwise(y, |y| {
            let v = bytes.clip(range.map(bytes, y) + addition);
            bytes.map(range, if v < threshold { v } else { 255.0 - v })
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
        check_layer(Solarization::new(), &[[2, 3, 3].into()]);
        check_layer(
            Solarization::new()
                .addition_factor(0.3)
                .threshold_factor([0.2, 0.8])
                .value_range([-9.0, 9.0]),
            &[[2, 3, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (_, mut y) = picture(2, 3);
        Solarization::new().solarize(30.0, 120.0, &mut y);
        let want = [
            43.0, 84.0, 117.0, 118.0, 24.0, 112.0, 126.0, 66.0, 67.0, 0.0, 45.0, 110.0, 63.0, 55.0,
            134.0, 0.0, 36.0, 4.0,
        ];
        near(&y, &want, 1e-6);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            Solarization::new().addition_factor(1.5),
            Solarization::new().threshold_factor(-0.5),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
