//! RandomGaussianBlur: `y = clip(G x)` with the weights of a normal distribution `G`, and zeros beyond the borders.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange};
use super::image::augmentation::{Augmentation, Image, pointwise};
use super::image::filter::{blur, correlate, gaussian};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::{DataFormat, Sizes};

/// Blurs an image, or leaves it as it is, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_gaussian_blur/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | 1.0 | between these lies the probability that an image is blurred; `f` is `[0, f]` |
/// | `kernel_size` | 3 | odd numbers of pixels that are summed, in height and width; or one number |
/// | `sigma` | 1.0 | standard deviations in width and height are between these, in `[0, 1]`; `s` is `[0, s]` |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `data_format` | `channels_last` | or `channels_first` |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
///
/// ```
/// use oxhorn::{layers::RandomGaussianBlur, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomGaussianBlur::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomGaussianBlur {
    factor: Factor,
    kernel_size: Sizes<2>,
    sigma: Factor,
    value_range: ValueRange,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
    seed: Option<u64>,
}

impl Default for RandomGaussianBlur {
    fn default() -> Self {
        RandomGaussianBlur {
            factor: Factor::One(1.0),
            kernel_size: 3.into(),
            sigma: Factor::One(1.0),
            value_range: ValueRange::default(),
            data_format: DataFormat::default(),
            seed: None,
        }
    }
}

impl RandomGaussianBlur {
    /// With probabilities up to 1.
    pub fn new() -> Self {
        RandomGaussianBlur::default()
    }

    /// Between these lies the probability of a change.
    pub fn factor(mut self, factor: impl Into<Factor>) -> Self {
        self.factor = factor.into();
        self
    }

    /// How many pixels are summed.
    pub fn kernel_size(mut self, kernel_size: impl Into<Sizes<2>>) -> Self {
        self.kernel_size = kernel_size.into();
        self
    }

    /// Standard deviations.
    pub fn sigma(mut self, sigma: impl Into<Factor>) -> Self {
        self.sigma = sigma.into();
        self
    }

    /// Smallest and largest value of pixels.
    pub fn value_range(mut self, value_range: impl Into<ValueRange>) -> Self {
        self.value_range = value_range.into();
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

impl Augmentation for RandomGaussianBlur {
    fn name(&self) -> &'static str {
        "RandomGaussianBlur"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        self.factor.check("factor", 0.0, 1.0)?;
        self.sigma.check("sigma", 0.0, 1.0)?;
        self.value_range.check()?;
        match self
            .kernel_size
            .0
            .iter()
            .find(|n| **n % 2 == 0 || **n > MOST)
        {
            Some(n) => Err(Error::arg(
                "kernel_size",
                format!("odd numbers up to {MOST}"),
                n,
            )),
            None => Ok(()),
        }
    }

    fn room(&self, image: Image) -> usize {
        image.len() + self.kernel_size.0.iter().sum::<usize>()
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], room: &mut [Float]) {
        if self.factor.happens(&mut rng) {
            let sigma = [(); 2].map(|()| self.sigma.draw(0.0, &mut rng) + 1e-6);
            self.blur(sigma, image, y, room);
        }
        pointwise(y, |y| self.value_range.clip(y));
    }
}

/// Largest `kernel_size`.
const MOST: usize = (1 << 16) - 1;

impl RandomGaussianBlur {
    fn blur(&self, sigma: [Float; 2], image: Image, y: &mut [Float], room: &mut [Float]) {
        let [rows, cols] = self.kernel_size.0;
        let (copy, kernels) = room.split_at_mut(image.len());
        let (across, down) = kernels.split_at_mut(rows);
        gaussian(sigma[0], across);
        gaussian(sigma[1], down);
        if rows == cols {
            return blur(image, down, across, y, copy);
        }
        // Keras computes weights of `cols` rows and `rows` columns, and reads them as one of `rows` rows and `cols` columns.
        copy.copy_from_slice(y);
        let weight = |i: usize, j: usize| {
            let at = i * cols + j;
            down[at / rows] * across[at % rows]
        };
        correlate(image, [rows, cols], weight, copy, y);
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{channels_first, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomGaussianBlur::new(), &[[3, 4, 2].into()]);
        check_layer(
            RandomGaussianBlur::new()
                .factor([1.0, 1.0])
                .kernel_size([3, 9])
                .data_format("channels_first"),
            &[[1, 3, 2].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(2, 3);
        let blurred = |size: [usize; 2], image: Image, x: &[Float]| {
            let layer = RandomGaussianBlur::new().kernel_size(size);
            let (mut y, mut room) = (x.to_vec(), vec![0.0; layer.room(image)]);
            layer.blur([0.5, 0.9], image, &mut y, &mut room);
            y
        };
        let cases = [
            (
                [3, 3],
                [
                    61.346, 67.4311, 64.724, 66.1394, 102.2067, 77.0005, 91.0445, 109.7773,
                    67.4411, 100.0532, 41.3074, 69.0872, 61.8258, 69.2524, 78.1672, 112.3149,
                    110.855, 99.0058,
                ],
            ),
            (
                [3, 5],
                [
                    15.037, 64.5036, 40.7989, 56.0019, 90.66, 55.2849, 88.0898, 73.015, 45.4559,
                    114.7122, 46.9906, 60.4392, 37.4473, 27.4642, 51.751, 92.309, 74.8895, 88.4599,
                ],
            ),
            (
                [5, 1],
                [
                    36.3059, 112.5032, 80.6735, 87.6759, 160.762, 98.5695, 102.4606, 145.1839,
                    52.6287, 194.0937, 26.8081, 99.7168, 37.3471, 41.0609, 83.6069, 192.2365,
                    165.5875, 177.7708,
                ],
            ),
        ];
        for (size, want) in cases {
            near(&blurred(size, image, &x), &want, 1e-5);
            let (first, planes) = channels_first(image, &x);
            near(
                &blurred(size, first, &planes),
                &channels_first(image, &want).1,
                1e-5,
            );
        }
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomGaussianBlur::new().factor(1.5),
            RandomGaussianBlur::new().sigma(1.5),
            RandomGaussianBlur::new().kernel_size(4),
            RandomGaussianBlur::new().kernel_size([3, 1 << 40 | 1]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
