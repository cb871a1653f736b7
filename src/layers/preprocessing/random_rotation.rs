//! RandomRotation: output `(x, y)` is read at `M (x, y)`, a rotation about the middle of the image; `dx = A^T dy` for the same
//! angle.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, FillMode, bilinear};
use super::image::augmentation::{Augmentation, Image};
use super::image::sampling::{Projection, Sampler, rotation};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;
use crate::layers::resize::Interpolation;

/// Rotates images by random angles, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_rotation/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | | angles, in turns: `f` is between `-f` and `f` turns; or two ends, within `[-1, 1]` |
/// | `fill_mode` | `reflect` | what is beyond the borders: or `constant`, `wrap`, `nearest` |
/// | `interpolation` | `bilinear` | or `nearest` |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `fill_value` | 0 | what is beyond the borders in mode `constant` |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomRotation, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomRotation::new(0.2));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomRotation {
    factor: Factor,
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

impl RandomRotation {
    /// Rotates by up to this part of a turn, either way.
    pub fn new(factor: impl Into<Factor>) -> Self {
        RandomRotation {
            factor: factor.into(),
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

impl Augmentation for RandomRotation {
    fn name(&self) -> &'static str {
        "RandomRotation"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        self.factor.check("factor", -1.0, 1.0)?;
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

impl RandomRotation {
    fn sampler(&self) -> Sampler<'_> {
        Sampler {
            interpolation: &self.interpolation,
            fill_mode: &self.fill_mode,
            fill_value: self.fill_value,
        }
    }

    fn draw(&self, mut rng: SampleRng, image: Image) -> Projection {
        rotation(360.0 * self.factor.draw(-1.0, &mut rng), image)
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomRotation::new(0.3), &[[3, 4, 2].into()]);
        check_layer(
            RandomRotation::new([0.1, 0.2])
                .fill_mode("wrap")
                .data_format("channels_first"),
            &[[1, 3, 2].into()],
        );
        check_layer(
            RandomRotation::new(1.0)
                .fill_mode("nearest")
                .interpolation("nearest"),
            &[[3, 3, 1].into()],
        );
        check_layer(
            RandomRotation::new(0.3)
                .fill_mode("constant")
                .fill_value(2.0),
            &[[3, 4, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(3, 3);
        // A quarter of a turn: rows become columns.
        let y = augmented(&RandomRotation::new([0.25, 0.25]), image, &x, 0);
        let at = |row: usize, column: usize| x[image.at(row * 3 + column, 0)];
        let got: Vec<Float> = (0..9).map(|p| y[image.at(p, 0)]).collect();
        let want: Vec<Float> = (0..9).map(|p| at(p % 3, 2 - p / 3)).collect();
        near(&got, &want, 1e-4);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomRotation::new(1.5),
            RandomRotation::new(0.5).fill_mode("mirror"),
            RandomRotation::new(0.5).interpolation("bicubic"),
            RandomRotation::new(0.5).fill_value(f64::NAN),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
