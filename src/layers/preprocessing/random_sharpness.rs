//! RandomSharpness: `y = clip(x + (1 - 2 f) (S x - x))` with `S` a smoothing over 3 x 3 pixels and one `f` for an image.
//!
//! At `f = 0` the image is smoothed, at 1/2 it is itself, at 1 it is sharper.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange};
use super::image::augmentation::{Augmentation, Image};
use super::image::filter::correlate;
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Smooths or sharpens an image, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_sharpness/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | | between these: 0 is smooth, 1/2 the image, 1 sharp; `f` is `[0, f]` |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomSharpness, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomSharpness::new(0.2));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomSharpness {
    factor: Factor,
    #[serde(default)]
    value_range: ValueRange,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl RandomSharpness {
    /// From smooth (0) up to this.
    pub fn new(factor: impl Into<Factor>) -> Self {
        RandomSharpness {
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

impl Augmentation for RandomSharpness {
    fn name(&self) -> &'static str {
        "RandomSharpness"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        self.factor.check("factor", 0.0, 1.0)?;
        self.value_range.check()
    }

    fn room(&self, image: Image) -> usize {
        image.len()
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], room: &mut [Float]) {
        self.sharpen(self.factor.draw(0.0, &mut rng), image, y, room);
    }
}

impl RandomSharpness {
    fn sharpen(&self, factor: Float, image: Image, y: &mut [Float], smooth: &mut [Float]) {
        let weight = |i, j| {
            if (i, j) == (1, 1) {
                5.0 / 13.0
            } else {
                1.0 / 13.0
            }
        };
        correlate(image, [3, 3], weight, y, smooth);
        let range = self.value_range.sorted();
        for (y, s) in y.iter_mut().zip(smooth) {
            *y = range.clip(*y + (1.0 - 2.0 * factor) * (*s - *y));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{channels_first, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomSharpness::new(0.2), &[[2, 3, 3].into()]);
        check_layer(
            RandomSharpness::new([0.1, 0.9]).data_format("channels_first"),
            &[[2, 3, 4].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(2, 3);
        let sharp = |factor, image: Image, x: &[Float]| {
            let (mut y, mut room) = (x.to_vec(), vec![0.0; x.len()]);
            RandomSharpness::new(0.2).sharpen(factor, image, &mut y, &mut room);
            y
        };
        let want = [
            25.9692, 100.0615, 69.6, 96.1538, 151.2, 96.7077, 79.5692, 119.4462, 42.9538, 161.6,
            26.4, 85.9692, 52.8923, 48.3077, 83.8462, 156.7385, 136.9846, 150.5231,
        ];
        near(&sharp(0.2, image, &x), &want, 1e-5);
        let want = [
            0.0, 195.5846, 110.2, 121.4615, 255.0, 134.7231, 124.9077, 211.7385, 29.0615, 255.0,
            0.0, 153.7077, 6.4769, 0.0, 100.5385, 255.0, 255.0, 255.0,
        ];
        near(&sharp(0.9, image, &x), &want, 1e-5);
        let (first, planes) = channels_first(image, &x);
        let got = sharp(0.9, first, &planes);
        near(&got, &channels_first(image, &want).1, 1e-5);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomSharpness::new(1.5),
            RandomSharpness::new(0.5).value_range([0.0, 0.0]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
