//! RandomPosterization: of the 8 bits of each value only the first few are kept, as many for all of an image.

use serde::{Deserialize, Serialize, Serializer};

use super::image::arguments::{Factor, ValueRange};
use super::image::augmentation::{Augmentation, Image, pointwise};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Keeps only a few bits of each value, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_posterization/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | | bits that are kept: whole numbers `[a, b]` mean `a` to `b - 1`; `n` is `[1, n]` |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomPosterization, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomPosterization::new(4.0));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomPosterization {
    #[serde(serialize_with = "whole")]
    factor: Factor,
    #[serde(default)]
    value_range: ValueRange,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

/// As integers: Keras cannot run the layer with others.
fn whole<S: Serializer>(factor: &Factor, to: S) -> std::result::Result<S::Ok, S::Error> {
    match *factor {
        Factor::One(f) => (f as i64).serialize(to),
        Factor::Between(a, b) => [a as i64, b as i64].serialize(to),
    }
}

impl RandomPosterization {
    /// Keeps fewer bits than this.
    pub fn new(factor: impl Into<Factor>) -> Self {
        RandomPosterization {
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

impl Augmentation for RandomPosterization {
    fn name(&self) -> &'static str {
        "RandomPosterization"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        self.factor.check_within("factor", 1.0, 8.0)?;
        match self.factor.ends(1.0).iter().find(|f| f.fract() != 0.0) {
            Some(f) => Err(Error::arg("factor", "whole numbers", f)),
            None => self.value_range.check(),
        }
    }

    fn augment(&self, mut rng: SampleRng, _: Image, y: &mut [Float], _: &mut [Float]) {
        let [low, high] = self.factor.ends(1.0).map(|f| f as u8);
        let more = (rng.uniform() * Float::from(high - low)) as u8;
        self.posterize(low + more.min((high - low).saturating_sub(1)), y);
    }
}

impl RandomPosterization {
    fn posterize(&self, bits: u8, y: &mut [Float]) {
        let (range, bytes) = (self.value_range.sorted(), ValueRange::default());
        let kept = u8::MAX << (8 - bits);
        pointwise(y, |y| {
            let byte = range.map(bytes, y) as u8 & kept;
            bytes.map(range, Float::from(byte))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomPosterization::new(4.0), &[[2, 3, 3].into()]);
        check_layer(
            RandomPosterization::new([2.0, 8.0]).value_range([-9.0, 9.0]),
            &[[2, 3, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let posterized = |layer: RandomPosterization, bits| {
            let (_, mut y) = picture(2, 3);
            layer.posterize(bits, &mut y);
            y
        };
        let want = [
            0.0, 128.0, 64.0, 96.0, 192.0, 96.0, 96.0, 128.0, 32.0, 224.0, 0.0, 96.0, 32.0, 0.0,
            64.0, 224.0, 160.0, 192.0,
        ];
        near(&posterized(RandomPosterization::new(3.0), 3), &want, 1e-6);
        let layer = RandomPosterization::new(3.0).value_range([-255.0, 255.0]);
        let want = [
            1.0, 129.0, 1.0, 1.0, 129.0, 1.0, 1.0, 129.0, 1.0, 129.0, 1.0, 1.0, 1.0, 1.0, 1.0,
            129.0, 129.0, 129.0,
        ];
        near(&posterized(layer, 2), &want, 1e-5);
    }

    #[test]
    fn keras_can_read_the_factor() {
        let written = |layer| serde_json::to_value::<RandomPosterization>(layer).unwrap();
        assert_eq!(
            written(RandomPosterization::new(4.0))["factor"],
            serde_json::json!(4)
        );
        let layer = RandomPosterization::new([1.0, 4.0]);
        assert_eq!(written(layer)["factor"], serde_json::json!([1, 4]));
    }

    #[test]
    fn bits_are_drawn_below_the_upper_end() {
        let (image, x) = picture(2, 3);
        let bits: Vec<u32> = (0..200)
            .map(|i| {
                let y = augmented(&RandomPosterization::new([2.0, 5.0]), image, &x, i);
                (2..5)
                    .find(|bits| y.iter().all(|v| (*v as u8).trailing_zeros() >= 8 - bits))
                    .unwrap()
            })
            .collect();
        assert!((2..5).all(|n| bits.iter().filter(|b| **b == n).count() > 40));
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomPosterization::new(0.5),
            RandomPosterization::new(2.5),
            RandomPosterization::new([0.0, 4.0]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
