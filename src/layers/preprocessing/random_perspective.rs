//! RandomPerspective: the corners of the image move at random, and what is between them with them: a projection, `y = A x`; the
//! gradient is the transposed for the same corners.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, FillMode, uniform};
use super::image::augmentation::{Augmentation, Image};
use super::image::sampling::{Projection, Sampler, homography};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;
use crate::layers::resize::Interpolation;

/// Looks at an image from another side, or leaves it as it is, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_perspective/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | 1.0 | between these lies the probability that an image is changed; `f` is `[0, f]` |
/// | `scale` | 1.0 | corners move by up to half this part of their coordinates, in `[0, 1]` |
/// | `interpolation` | `bilinear` | or `nearest` |
/// | `fill_value` | 0 | what is beyond the borders |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomPerspective, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomPerspective::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomPerspective {
    factor: Factor,
    scale: f64,
    interpolation: Interpolation,
    fill_value: f64,
    seed: Option<u64>,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Default for RandomPerspective {
    fn default() -> Self {
        RandomPerspective {
            factor: Factor::One(1.0),
            scale: 1.0,
            interpolation: Interpolation::Bilinear,
            fill_value: 0.0,
            seed: None,
            data_format: DataFormat::default(),
        }
    }
}

impl RandomPerspective {
    /// With probabilities up to 1.
    pub fn new() -> Self {
        RandomPerspective::default()
    }

    /// Between these lies the probability of a change.
    pub fn factor(mut self, factor: impl Into<Factor>) -> Self {
        self.factor = factor.into();
        self
    }

    /// How far corners move.
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// How pixels between pixels are found.
    pub fn interpolation(mut self, interpolation: impl Into<Interpolation>) -> Self {
        self.interpolation = interpolation.into();
        self
    }

    /// What is beyond the borders.
    pub fn fill_value(mut self, fill: f64) -> Self {
        self.fill_value = fill;
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

impl Augmentation for RandomPerspective {
    fn name(&self) -> &'static str {
        "RandomPerspective"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        self.factor.check("factor", 0.0, 1.0)?;
        if !(0.0..=1.0).contains(&self.scale) {
            return Err(Error::arg("scale", "a number in [0, 1]", self.scale));
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
        if let Some(t) = self.draw(rng, image) {
            self.sampler().warp(&t, image, y, room);
        }
    }

    fn transpose(&self, rng: SampleRng, image: Image, d: &mut [Float], room: &mut [Float]) {
        if let Some(t) = self.draw(rng, image) {
            self.sampler().warp_back(&t, image, d, room);
        }
    }
}

impl RandomPerspective {
    fn sampler(&self) -> Sampler<'_> {
        Sampler {
            interpolation: &self.interpolation,
            fill_mode: &FillMode::Constant,
            fill_value: self.fill_value,
        }
    }

    /// Nothing where the image is left as it is (one row or column has no perspective).
    fn draw(&self, mut rng: SampleRng, image: Image) -> Option<Projection> {
        if !self.factor.happens(&mut rng) {
            return None;
        }
        let ends = [-0.5 * self.scale, 0.5 * self.scale];
        perspective(
            image,
            [(); 4].map(|()| [(); 2].map(|()| uniform(ends, &mut rng))),
        )
    }
}

/// Every corner moves by these parts of its coordinates: top left, top right, bottom left, bottom right.
fn perspective(image: Image, moves: [[Float; 2]; 4]) -> Option<Projection> {
    let (right, bottom) = (image.width as Float - 1.0, image.height as Float - 1.0);
    let start = [[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]];
    let end = std::array::from_fn(|i| [0, 1].map(|k| start[i][k] + start[i][k] * moves[i][k]));
    homography(&start, &end)
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomPerspective::new(), &[[3, 4, 2].into()]);
        check_layer(
            RandomPerspective::new()
                .factor([1.0, 1.0])
                .scale(0.5)
                .fill_value(2.0)
                .data_format("channels_first"),
            &[[1, 3, 2].into()],
        );
        check_layer(
            RandomPerspective::new()
                .factor([1.0, 1.0])
                .interpolation("nearest"),
            &[[3, 3, 1].into()],
        );
        check_layer(
            RandomPerspective::new().factor([1.0, 1.0]),
            &[[1, 3, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let warped = RandomPerspective::new().fill_value(7.0);
        let moves = [[0.1, 0.2], [-0.3, 0.4], [0.2, -0.25], [0.15, -0.35]];
        let (image, mut y) = picture(3, 4);
        let mut room = vec![0.0; y.len()];
        let t = perspective(image, moves).unwrap();
        warped.sampler().warp(&t, image, &mut y, &mut room);
        let got: Vec<Float> = (0..12).map(|p| y[image.at(p, 1)]).collect();
        let want = [
            141.0, 185.6532, 37.2947, 7.0, 49.3726, 117.4871, 229.4918, 124.8711, 48.2191, 50.3458,
            84.5523, 121.6406,
        ];
        near(&got, &want, 2e-5);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomPerspective::new().factor(-0.5),
            RandomPerspective::new().scale(1.5),
            RandomPerspective::new().interpolation("area"),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
