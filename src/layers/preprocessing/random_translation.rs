//! RandomTranslation: output `(x, y)` is read at `(x - dx, y - dy)`; the gradient is the transposed for the same shift.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, FillMode, bilinear};
use super::image::augmentation::{Augmentation, Image};
use super::image::sampling::{Projection, Sampler};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;
use crate::layers::resize::Interpolation;

/// Moves images by random distances, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_translation/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `height_factor` | | down by up to this part of the height: `f` is between `-f` and `f`; or two ends, within `[-1, 1]` |
/// | `width_factor` | | to the right by this part of the width, likewise |
/// | `fill_mode` | `reflect` | what is beyond the borders: or `constant`, `wrap`, `nearest` |
/// | `interpolation` | `bilinear` | or `nearest` |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `fill_value` | 0 | what is beyond the borders in mode `constant` |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomTranslation, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomTranslation::new(0.2, 0.1));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomTranslation {
    height_factor: Factor,
    width_factor: Factor,
    #[serde(default)]
    fill_mode: FillMode,
    #[serde(default = "bilinear")]
    interpolation: Interpolation,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default)]
    fill_value: f64,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl RandomTranslation {
    /// Moves by up to these parts of the height and the width.
    pub fn new(height_factor: impl Into<Factor>, width_factor: impl Into<Factor>) -> Self {
        RandomTranslation {
            height_factor: height_factor.into(),
            width_factor: width_factor.into(),
            fill_mode: FillMode::default(),
            interpolation: Interpolation::Bilinear,
            seed: None,
            fill_value: 0.0,
            data_format: DataFormat::default(),
        }
    }

    /// What is beyond the borders.
    pub fn fill_mode(mut self, fill_mode: impl Into<FillMode>) -> Self {
        self.fill_mode = fill_mode.into();
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

    /// What is beyond the borders in mode `constant`.
    pub fn fill_value(mut self, fill: f64) -> Self {
        self.fill_value = fill;
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Augmentation for RandomTranslation {
    fn name(&self) -> &'static str {
        "RandomTranslation"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        self.height_factor
            .check_within("height_factor", -1.0, 1.0)?;
        self.width_factor.check_within("width_factor", -1.0, 1.0)?;
        self.sampler().check()
    }

    fn linear(&self) -> bool {
        true
    }

    fn room(&self, image: Image) -> usize {
        image.len()
    }

    fn augment(&self, rng: SampleRng, image: Image, y: &mut [Float], room: &mut [Float]) {
        self.sampler().warp(&self.draw(rng, image), image, y, room);
    }

    fn transpose(&self, rng: SampleRng, image: Image, d: &mut [Float], room: &mut [Float]) {
        self.sampler()
            .warp_back(&self.draw(rng, image), image, d, room);
    }
}

impl RandomTranslation {
    fn sampler(&self) -> Sampler<'_> {
        Sampler {
            interpolation: &self.interpolation,
            fill_mode: &self.fill_mode,
            fill_value: self.fill_value,
        }
    }

    fn draw(&self, mut rng: SampleRng, image: Image) -> Projection {
        let down = self.height_factor.draw(-1.0, &mut rng) * image.height as Float;
        let right = self.width_factor.draw(-1.0, &mut rng) * image.width as Float;
        [1.0, 0.0, -right, 0.0, 1.0, -down, 0.0, 0.0]
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomTranslation::new(0.3, 0.5), &[[3, 4, 2].into()]);
        check_layer(
            RandomTranslation::new(1.0, [0.1, 0.2])
                .fill_mode("wrap")
                .data_format("channels_first"),
            &[[1, 3, 2].into()],
        );
        check_layer(
            RandomTranslation::new(1.0, 1.0)
                .fill_mode("constant")
                .interpolation("nearest"),
            &[[3, 3, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(3, 4);
        let layer =
            RandomTranslation::new([1.0 / 3.0, 1.0 / 3.0], [0.25, 0.25]).fill_mode("constant");
        let y = augmented(&layer, image, &x, 0);
        let got: Vec<Float> = (0..12).map(|p| y[image.at(p, 1)]).collect();
        let want = [
            0.0, 0.0, 0.0, 0.0, 0.0, 141.0, 201.0, 159.0, 0.0, 69.0, 25.0, 189.0,
        ];
        near(&got[..9], &want[..9], 1e-4);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomTranslation::new(1.5, 0.0),
            RandomTranslation::new(0.0, [-2.0, 1.0]),
            RandomTranslation::new(0.5, 0.5).fill_mode("mirror"),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
