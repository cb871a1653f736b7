//! RandomZoom: output `(x, y)` is read at `(zx x, zy y)` about the middle of the image; the gradient is the transposed.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, FillMode, bilinear};
use super::image::augmentation::{Augmentation, Image};
use super::image::sampling::{Projection, Sampler};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;
use crate::layers::resize::Interpolation;

/// Zooms images in (below 0) or out (above 0) by random factors, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_zoom/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `height_factor` | | what is read becomes `1 + f` times as high: `f` is between `-f` and `f`; or two ends, within `(-1, 1]` |
/// | `width_factor` | `height_factor`, the same draw | the same for the width |
/// | `fill_mode` | `reflect` | what is beyond the borders: or `constant`, `wrap`, `nearest` |
/// | `interpolation` | `bilinear` | or `nearest` |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `fill_value` | 0 | what is beyond the borders in mode `constant` |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomZoom, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomZoom::new(0.2));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomZoom {
    height_factor: Factor,
    #[serde(default)]
    width_factor: Option<Factor>,
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

impl RandomZoom {
    /// Zooms by up to this, keeping the sides of the image.
    pub fn new(height_factor: impl Into<Factor>) -> Self {
        RandomZoom {
            height_factor: height_factor.into(),
            width_factor: None,
            fill_mode: FillMode::default(),
            interpolation: Interpolation::Bilinear,
            seed: None,
            fill_value: 0.0,
            data_format: DataFormat::default(),
        }
    }

    /// What is read becomes `1 + f` times as wide.
    pub fn width_factor(mut self, width_factor: impl Into<Factor>) -> Self {
        self.width_factor = Some(width_factor.into());
        self
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

impl Augmentation for RandomZoom {
    fn name(&self) -> &'static str {
        "RandomZoom"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        let width = self.width_factor.map(|f| ("width_factor", f));
        for (arg, factor) in [("height_factor", self.height_factor)]
            .into_iter()
            .chain(width)
        {
            factor.check_within(arg, -1.0, 1.0)?;
            let least = match factor {
                Factor::One(f) => f,
                Factor::Between(a, b) => a.min(b),
            };
            if least == -1.0 {
                return Err(Error::arg(arg, "numbers above -1", least));
            }
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

impl RandomZoom {
    fn sampler(&self) -> Sampler<'_> {
        Sampler {
            interpolation: &self.interpolation,
            fill_mode: &self.fill_mode,
            fill_value: self.fill_value,
        }
    }

    fn draw(&self, mut rng: SampleRng, image: Image) -> Projection {
        let height = 1.0 + self.height_factor.draw(-1.0, &mut rng);
        let width = self
            .width_factor
            .map_or(height, |f| 1.0 + f.draw(-1.0, &mut rng));
        zoom(height, width, image)
    }
}

fn zoom(height: Float, width: Float, image: Image) -> Projection {
    let offset = |n: usize, zoom: Float| (n as Float - 1.0) / 2.0 * (1.0 - zoom);
    let (right, down) = (offset(image.width, width), offset(image.height, height));
    [width, 0.0, right, 0.0, height, down, 0.0, 0.0]
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomZoom::new(0.3), &[[3, 4, 2].into()]);
        check_layer(
            RandomZoom::new([0.1, 0.2])
                .width_factor(0.5)
                .fill_mode("wrap")
                .data_format("channels_first"),
            &[[1, 3, 2].into()],
        );
        check_layer(
            RandomZoom::new(1.0)
                .fill_mode("constant")
                .interpolation("nearest"),
            &[[3, 3, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let warped = RandomZoom::new(0.5);
        let (image, mut y) = picture(3, 4);
        let mut room = vec![0.0; y.len()];
        let t = zoom(1.4, 0.6, image);
        warped.sampler().warp(&t, image, &mut y, &mut room);
        let got: Vec<Float> = (0..12).map(|p| y[image.at(p, 1)]).collect();
        let want = [
            177.0, 192.6, 167.4, 101.4, 123.4, 201.4, 238.6, 235.0, 76.2, 114.2, 213.8, 170.2,
        ];
        near(&got, &want, 2e-5);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomZoom::new(-1.0),
            RandomZoom::new([0.0, -1.0]),
            RandomZoom::new(0.5).width_factor(1.5),
            RandomZoom::new(0.5).fill_mode("mirror"),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
