//! RandomElasticTransform: every pixel is read at a place near its own, and neighbours at places near each other.
//!
//! With `s` between the ends of `scale`, distances along both axes are `0.1 s max(H, W)` times noise of standard deviation
//! `sigma = 0.05 s min(H, W)`, blurred with the same `sigma`. As in Keras, they are the same along both axes.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, FillMode, ValueRange};
use super::image::augmentation::{Augmentation, Image, pointwise};
use super::image::filter::{blur, gaussian};
use super::image::sampling::{Sampler, read};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;
use crate::layers::resize::Interpolation;

/// Distorts an image as if it were rubber, or leaves it as it is, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_elastic_transform/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | 1.0 | between these lies the probability that an image is distorted; `f` is `[0, f]` |
/// | `scale` | 1.0 | how strong: between these, in `[0, 1]`; `s` is `[0, s]` |
/// | `interpolation` | `bilinear` | or `nearest` |
/// | `fill_mode` | `reflect` | what is beyond the borders: or `constant`, `wrap`, `nearest` |
/// | `fill_value` | 0 | what is beyond the borders in mode `constant` |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomElasticTransform, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomElasticTransform::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomElasticTransform {
    factor: Factor,
    scale: Factor,
    interpolation: Interpolation,
    fill_mode: FillMode,
    fill_value: f64,
    value_range: ValueRange,
    seed: Option<u64>,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Default for RandomElasticTransform {
    fn default() -> Self {
        RandomElasticTransform {
            factor: Factor::One(1.0),
            scale: Factor::One(1.0),
            interpolation: Interpolation::Bilinear,
            fill_mode: FillMode::default(),
            fill_value: 0.0,
            value_range: ValueRange::default(),
            seed: None,
            data_format: DataFormat::default(),
        }
    }
}

impl RandomElasticTransform {
    /// With probabilities up to 1.
    pub fn new() -> Self {
        RandomElasticTransform::default()
    }

    /// Between these lies the probability of a change.
    pub fn factor(mut self, factor: impl Into<Factor>) -> Self {
        self.factor = factor.into();
        self
    }

    /// How strong the distortion is.
    pub fn scale(mut self, scale: impl Into<Factor>) -> Self {
        self.scale = scale.into();
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

impl Augmentation for RandomElasticTransform {
    fn name(&self) -> &'static str {
        "RandomElasticTransform"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        self.factor.check("factor", 0.0, 1.0)?;
        self.scale.check_within("scale", 0.0, 1.0)?;
        self.value_range.check()?;
        self.sampler().check()
    }

    fn room(&self, image: Image) -> usize {
        let [_, most] = self.scale.ends(0.0);
        image.len() + 2 * image.pixels() + taps(sigma(image, most as Float))
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], room: &mut [Float]) {
        if self.scale.ends(0.0)[1] == 0.0 || self.factor.ends(0.0)[1] == 0.0 {
            return;
        }
        let happens = self.factor.happens(&mut rng);
        let scale = self.scale.draw(0.0, &mut rng);
        if happens && scale > 0.0 {
            let (copy, room) = room.split_at_mut(image.len());
            let (field, room) = room.split_at_mut(image.pixels());
            let (blurred, kernel) = room.split_at_mut(image.pixels());
            let sigma = sigma(image, scale);
            let kernel = &mut kernel[..taps(sigma)];
            gaussian(sigma, kernel);
            field.iter_mut().for_each(|d| *d = rng.normal() * sigma);
            blur(image.gray(), kernel, kernel, field, blurred);
            let alpha = 0.1 * scale * image.height.max(image.width) as Float;
            field.iter_mut().for_each(|d| *d *= alpha);
            self.distort(image, field, y, copy);
        }
        pointwise(y, |y| self.value_range.clip(y));
    }
}

/// Standard deviation, of the noise and of the blur.
fn sigma(image: Image, scale: Float) -> Float {
    0.05 * scale * image.height.min(image.width) as Float
}

/// Length of the kernel of the blur.
fn taps(sigma: Float) -> usize {
    (6 * sigma as usize) | 1
}

impl RandomElasticTransform {
    fn sampler(&self) -> Sampler<'_> {
        Sampler {
            interpolation: &self.interpolation,
            fill_mode: &self.fill_mode,
            fill_value: self.fill_value,
        }
    }

    /// Reads every pixel this far down and to the right.
    fn distort(&self, image: Image, by: &[Float], y: &mut [Float], copy: &mut [Float]) {
        copy.copy_from_slice(y);
        let sampler = self.sampler();
        let at = |p: usize| {
            let (row, column) = (p / image.width, p % image.width);
            sampler.mapped(image, row as Float + by[p], column as Float + by[p])
        };
        read(image, self.fill_value as Float, at, copy, y);
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomElasticTransform::new(), &[[3, 4, 2].into()]);
        check_layer(
            RandomElasticTransform::new()
                .factor([1.0, 1.0])
                .fill_mode("constant")
                .data_format("channels_first"),
            &[[1, 3, 2].into()],
        );
        check_layer(
            RandomElasticTransform::new()
                .factor([1.0, 1.0])
                .scale([1.0, 1.0])
                .interpolation("nearest"),
            &[[30, 40, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(3, 4);
        let by = [
            0.3, -1.2, 2.4, 5.1, -0.7, 0.2, -6.3, 1.5, 4.6, -2.5, 0.9, -0.4,
        ];
        let (mut y, mut room) = (x.clone(), vec![0.0; x.len()]);
        let layer = RandomElasticTransform::new().fill_mode("wrap");
        layer.distort(image, &by, &mut y, &mut room);
        let got: Vec<Float> = (0..12).map(|p| y[image.at(p, 1)]).collect();
        let want = [
            133.56, 65.4, 110.28, 77.88, 83.52, 183.96, 87.52, 123.0, 144.84, 119.0, 33.88, 169.88,
        ];
        near(&got, &want, 1e-5);
        // A ramp shows how far pixels are read: the distances have the variance of the blurred noise.
        let image = Image::new(&[60, 60, 1], DataFormat::ChannelsLast);
        let x: Vec<Float> = (0..3600).map(|i| (i % 60) as Float).collect();
        let layer = RandomElasticTransform::new()
            .factor([1.0, 1.0])
            .scale([0.5, 0.5]);
        let y = augmented(&layer, image, &x, 0);
        let inner = (0..3600).filter(|p| (25..35).contains(&(p % 60)));
        let moved: Vec<Float> = inner.map(|p| y[p] - x[p]).collect();
        let variance = moved.iter().map(|d| d * d).sum::<Float>() / 600.0;
        // alpha = 3, sigma = 1.5: 9 sigma^2 / (4 pi sigma^2), about.
        assert!((variance - 0.72).abs() < 0.35, "{variance}");
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomElasticTransform::new().factor(1.5),
            RandomElasticTransform::new().scale([0.0, 1.5]),
            RandomElasticTransform::new().fill_mode("mirror"),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
