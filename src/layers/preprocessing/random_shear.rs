//! RandomShear: output `(x, y)` is read at `(x + sx y, y + sy x)`; the gradient is the transposed for the same `sx`, `sy`.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, FillMode};
use super::image::augmentation::{Augmentation, Image};
use super::image::sampling::{Projection, Sampler};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;
use crate::layers::resize::Interpolation;

/// Shears images at random, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_shear/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `x_factor` | 0.0 | `sx`, with either sign: `f` is up to `f`; or two ends, within `[0, 1]` |
/// | `y_factor` | 0.0 | `sy`, likewise |
/// | `interpolation` | `bilinear` | or `nearest` |
/// | `fill_mode` | `reflect` | what is beyond the borders: or `constant`, `wrap`, `nearest` |
/// | `fill_value` | 0 | what is beyond the borders in mode `constant` |
/// | `data_format` | `channels_last` | or `channels_first` |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
///
/// ```
/// use oxhorn::{layers::RandomShear, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomShear::new().x_factor(0.2));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomShear {
    x_factor: Factor,
    y_factor: Factor,
    interpolation: Interpolation,
    fill_mode: FillMode,
    fill_value: f64,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
    seed: Option<u64>,
}

impl Default for RandomShear {
    fn default() -> Self {
        RandomShear {
            x_factor: Factor::One(0.0),
            y_factor: Factor::One(0.0),
            interpolation: Interpolation::Bilinear,
            fill_mode: FillMode::default(),
            fill_value: 0.0,
            data_format: DataFormat::default(),
            seed: None,
        }
    }
}

impl RandomShear {
    /// Without shear.
    pub fn new() -> Self {
        RandomShear::default()
    }

    /// Shear of the rows.
    pub fn x_factor(mut self, x_factor: impl Into<Factor>) -> Self {
        self.x_factor = x_factor.into();
        self
    }

    /// Shear of the columns.
    pub fn y_factor(mut self, y_factor: impl Into<Factor>) -> Self {
        self.y_factor = y_factor.into();
        self
    }

    /// How pixels between pixels are found.
    pub fn interpolation(mut self, interpolation: impl Into<Interpolation>) -> Self {
        self.interpolation = interpolation.into();
        self
    }

    /// What is beyond the borders.
    pub fn fill_mode(mut self, fill_mode: impl Into<FillMode>) -> Self {
        self.fill_mode = fill_mode.into();
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

    /// A seed to mix with the model's into this layer's draws.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl Augmentation for RandomShear {
    fn name(&self) -> &'static str {
        "RandomShear"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        for (arg, factor) in [("x_factor", self.x_factor), ("y_factor", self.y_factor)] {
            // Keras writes a number `f` as `[-f, f]`.
            let least = if let Factor::One(_) = factor {
                0.0
            } else {
                -1.0
            };
            factor.check_within(arg, least, 1.0)?;
        }
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

impl RandomShear {
    fn sampler(&self) -> Sampler<'_> {
        Sampler {
            interpolation: &self.interpolation,
            fill_mode: &self.fill_mode,
            fill_value: self.fill_value,
        }
    }

    fn draw(&self, mut rng: SampleRng, _: Image) -> Projection {
        let sign = if rng.uniform() > 0.5 { -1.0 } else { 1.0 };
        let y = sign * self.y_factor.draw(-1.0, &mut rng);
        let x = sign * self.x_factor.draw(-1.0, &mut rng);
        shear(x, y)
    }
}

fn shear(x: Float, y: Float) -> Projection {
    [1.0, x, 0.0, y, 1.0, 0.0, 0.0, 0.0]
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomShear::new().x_factor(0.5), &[[3, 4, 2].into()]);
        check_layer(
            RandomShear::new()
                .x_factor([0.1, 0.2])
                .y_factor(1.0)
                .fill_mode("wrap")
                .data_format("channels_first"),
            &[[1, 3, 2].into()],
        );
        check_layer(
            RandomShear::new()
                .y_factor(1.0)
                .fill_mode("constant")
                .interpolation("nearest"),
            &[[3, 3, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let warped = RandomShear::new();
        let (image, mut y) = picture(3, 4);
        let mut room = vec![0.0; y.len()];
        let t = shear(0.3, -0.4);
        warped.sampler().warp(&t, image, &mut y, &mut room);
        let got: Vec<Float> = (0..12).map(|p| y[image.at(p, 1)]).collect();
        let want = [
            141.0, 201.0, 159.0, 54.2, 74.2, 199.92, 140.44, 15.0, 76.2, 198.84, 207.96, 171.8,
        ];
        near(&got, &want, 2e-5);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomShear::new().x_factor(-0.5),
            RandomShear::new().y_factor([0.0, 1.5]),
            RandomShear::new().fill_mode("mirror"),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
