//! RandomGrayscale: with some probability, all channels of an image become `g = w . x`; `dx = w sum dy`.

use serde::{Deserialize, Serialize};

use super::image::arguments::check_channels;
use super::image::augmentation::{Augmentation, Image};
use super::image::color::{each_pixel, gray, gray_back};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Makes an image grey (in all its channels), or leaves it as it is, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_grayscale/)
///
/// Input `(batch, height, width, 3)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes. One channel is grey already.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | 0.5 | probability of grey |
/// | `data_format` | `channels_last` | or `channels_first` |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
///
/// ```
/// use oxhorn::{layers::RandomGrayscale, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomGrayscale::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomGrayscale {
    factor: f64,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

impl Default for RandomGrayscale {
    fn default() -> Self {
        RandomGrayscale {
            factor: 0.5,
            data_format: DataFormat::default(),
            seed: None,
        }
    }
}

impl RandomGrayscale {
    /// With probability 1/2.
    pub fn new() -> Self {
        RandomGrayscale::default()
    }

    /// Probability of grey.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }

    /// A seed to mix with the model's into this layer's draws.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl Augmentation for RandomGrayscale {
    fn name(&self) -> &'static str {
        "RandomGrayscale"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, [_, _, channels]: [Option<usize>; 3]) -> Result<()> {
        if !(0.0..=1.0).contains(&self.factor) {
            return Err(Error::arg("factor", "a probability in [0, 1]", self.factor));
        }
        check_channels(channels, &[1, 3])
    }

    fn linear(&self) -> bool {
        true
    }

    fn augment(&self, rng: SampleRng, image: Image, y: &mut [Float], _: &mut [Float]) {
        if self.applies(rng, image) {
            each_pixel(image, y, |rgb| [gray(rgb); 3]);
        }
    }

    fn transpose(&self, rng: SampleRng, image: Image, d: &mut [Float], _: &mut [Float]) {
        if self.applies(rng, image) {
            each_pixel(image, d, gray_back);
        }
    }
}

impl RandomGrayscale {
    fn applies(&self, mut rng: SampleRng, image: Image) -> bool {
        image.channels == 3 && f64::from(rng.uniform()) < self.factor
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomGrayscale::new(), &[[2, 3, 3].into()]);
        check_layer(
            RandomGrayscale::new()
                .factor(1.0)
                .seed(2)
                .data_format("channels_first"),
            &[[3, 2, 2].into()],
        );
        check_layer(RandomGrayscale::new(), &[[2, 3, 1].into()]);
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(2, 3);
        let layer = RandomGrayscale::new();
        let want = [96.5707, 162.8513, 127.1421, 95.1455, 34.9127, 205.1829];
        let (mut changed, gray) = (0, want.map(|g| [g; 3]).concat());
        for i in 0..100 {
            let y = augmented(&layer, image, &x, i);
            if y != x {
                near(&y, &gray, 1e-5);
                changed += 1;
            }
        }
        assert!((35..65).contains(&changed));
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomGrayscale::new().factor(1.5),
            RandomGrayscale::new().factor(f64::NAN),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
