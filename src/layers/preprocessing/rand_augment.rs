//! RandAugment: some of eleven changes (geometry and colours), chosen at random and done one after the other.
//!
//! A change that is chosen twice has the same draw both times, as in Keras.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange, check_channels};
use super::image::augmentation::{Augmentation, Image};
use super::image::draws::{below, fork};
use super::operations::{ALL, Operations, check_count};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;
use crate::layers::resize::Interpolation;

/// Does a few changes, chosen at random, to each image, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/rand_augment/)
///
/// Input `(batch, height, width, 3)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// Changes are RandomShear, RandomTranslation, RandomRotation, RandomBrightness, RandomColorDegeneration, RandomContrast, RandomSharpness,
/// RandomPosterization, Solarization, AutoContrast and Equalization. Keras chooses once for a batch, here each image has its own
/// choice; the histogram of Equalization is that of the image.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `num_ops` | 2 | changes of an image |
/// | `factor` | 0.5 | how strong changes are: between these, in `[0, 1]`; `f` is `[0, f]` |
/// | `interpolation` | `bilinear` | or `nearest` |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandAugment, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandAugment::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandAugment {
    value_range: ValueRange,
    num_ops: usize,
    factor: Factor,
    interpolation: Interpolation,
    seed: Option<u64>,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Default for RandAugment {
    fn default() -> Self {
        RandAugment {
            value_range: ValueRange::default(),
            num_ops: 2,
            factor: Factor::One(0.5),
            interpolation: Interpolation::Bilinear,
            seed: None,
            data_format: DataFormat::default(),
        }
    }
}

impl RandAugment {
    /// Two changes of strength up to 1/2.
    pub fn new() -> Self {
        RandAugment::default()
    }

    /// Smallest and largest value of pixels.
    pub fn value_range(mut self, value_range: impl Into<ValueRange>) -> Self {
        self.value_range = value_range.into();
        self
    }

    /// Changes of an image.
    pub fn num_ops(mut self, num_ops: usize) -> Self {
        self.num_ops = num_ops;
        self
    }

    /// How strong changes are.
    pub fn factor(mut self, factor: impl Into<Factor>) -> Self {
        self.factor = factor.into();
        self
    }

    /// How pixels between pixels are found.
    pub fn interpolation(mut self, interpolation: impl Into<Interpolation>) -> Self {
        self.interpolation = interpolation.into();
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

impl Augmentation for RandAugment {
    fn name(&self) -> &'static str {
        "RandAugment"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, size: [Option<usize>; 3]) -> Result<()> {
        check_count("num_ops", self.num_ops)?;
        check_channels(size[2], &[1, 3])?;
        self.operations().check(size)
    }

    fn room(&self, image: Image) -> usize {
        self.operations().room(image)
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], room: &mut [Float]) {
        let mut draws = [rng; ALL];
        draws.iter_mut().for_each(|draw| *draw = fork(&mut rng));
        for _ in 0..self.num_ops {
            let op = below(ALL, &mut rng);
            self.operations().apply(op, draws[op], image, y, room);
        }
    }
}

impl RandAugment {
    fn operations(&self) -> Operations<'_> {
        Operations {
            factor: self.factor,
            value_range: self.value_range,
            interpolation: &self.interpolation,
            format: self.data_format,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandAugment::new(), &[[4, 3, 3].into()]);
        let layer = RandAugment::new()
            .num_ops(5)
            .factor([0.5, 0.9])
            .interpolation("nearest");
        check_layer(
            layer.value_range([-9.0, 9.0]).data_format("channels_first"),
            &[[3, 3, 4].into()],
        );
    }

    #[test]
    fn every_change_is_met() {
        let (image, x) = picture(4, 5);
        let layer = RandAugment::new().num_ops(1).factor([0.5, 0.5]);
        let near_one = |y: &[Float], op: usize, rng: SampleRng| {
            let (mut want, mut room) = (x.clone(), vec![0.0; x.len()]);
            layer
                .operations()
                .apply(op, rng, image, &mut want, &mut room);
            want == y
        };
        let mut met = [false; ALL];
        for i in 0..200 {
            let y = augmented(&layer, image, &x, i);
            let mut rng = crate::layer::Stream::new(3, 1, 4).at(i);
            let draws: Vec<SampleRng> = (0..ALL).map(|_| fork(&mut rng)).collect();
            let op = (0..ALL)
                .find(|op| near_one(&y, *op, draws[*op]))
                .expect("one of them");
            met[op] = true;
        }
        assert!(met.iter().filter(|m| **m).count() >= ALL - 1, "{met:?}");
        assert_eq!(augmented(&RandAugment::new().num_ops(0), image, &x, 1), x);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandAugment::new().num_ops(usize::MAX),
            RandAugment::new().factor(1.5),
            RandAugment::new().interpolation("bicubic"),
            RandAugment::new().value_range([0.0, 0.0]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
        let two = [Some(4), Some(4), Some(2)];
        assert!(RandAugment::new().check(two).is_err());
    }
}
