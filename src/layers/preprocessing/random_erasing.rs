//! RandomErasing: in a random rectangle of the image stands something else; there `dx = 0`, elsewhere `dx = dy`.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange};
use super::image::augmentation::{Augmentation, Image};
use super::image::draws::Region;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// What stands in the rectangles of [`RandomErasing`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fill {
    /// One number.
    Number(f64),
    /// One for each channel.
    Color([f64; 3]),
}

impl From<f64> for Fill {
    fn from(number: f64) -> Self {
        Fill::Number(number)
    }
}

impl From<[f64; 3]> for Fill {
    fn from(color: [f64; 3]) -> Self {
        Fill::Color(color)
    }
}

/// Erases a rectangle of an image, or leaves it as it is, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_erasing/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | 1.0 | between these lies the probability that something is erased; `f` is `[0, f]` |
/// | `scale` | `[0.02, 0.33]` | the sides of the rectangle are the roots of numbers between these, as parts of those of the image |
/// | `fill_value` | noise | what stands there: a number, or one for each of 3 channels |
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomErasing, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomErasing::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomErasing {
    factor: Factor,
    scale: Factor,
    fill_value: Option<Fill>,
    value_range: ValueRange,
    seed: Option<u64>,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Default for RandomErasing {
    fn default() -> Self {
        RandomErasing {
            factor: Factor::One(1.0),
            scale: Factor::Between(0.02, 0.33),
            fill_value: None,
            value_range: ValueRange::default(),
            seed: None,
            data_format: DataFormat::default(),
        }
    }
}

impl RandomErasing {
    /// With probabilities up to 1.
    pub fn new() -> Self {
        RandomErasing::default()
    }

    /// Between these lies the probability of a change.
    pub fn factor(mut self, factor: impl Into<Factor>) -> Self {
        self.factor = factor.into();
        self
    }

    /// How large rectangles are.
    pub fn scale(mut self, scale: impl Into<Factor>) -> Self {
        self.scale = scale.into();
        self
    }

    /// What stands in rectangles.
    pub fn fill_value(mut self, fill: impl Into<Fill>) -> Self {
        self.fill_value = Some(fill.into());
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

impl Augmentation for RandomErasing {
    fn name(&self) -> &'static str {
        "RandomErasing"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, [_, _, channels]: [Option<usize>; 3]) -> Result<()> {
        self.factor.check("factor", 0.0, 1.0)?;
        self.scale.check_within("scale", 0.0, 1.0)?;
        self.value_range.check()?;
        match self.fill_value {
            Some(Fill::Number(n)) if !n.is_finite() => {
                Err(Error::arg("fill_value", "a finite number", n))
            }
            Some(Fill::Color(color)) if color.iter().any(|c| !c.is_finite()) => {
                let got = format!("{color:?}");
                Err(Error::arg("fill_value", "finite numbers", got))
            }
            Some(Fill::Color(_)) if channels.is_some_and(|n| n != 3) => {
                let got = format!("3 for {} channels", channels.unwrap_or(0));
                Err(Error::arg("fill_value", "one number for each channel", got))
            }
            _ => Ok(()),
        }
    }

    fn linear(&self) -> bool {
        true
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], _: &mut [Float]) {
        let Some(region) = self.draw(&mut rng, image) else {
            return;
        };
        region.each(image, |at, c| {
            let value = match self.fill_value {
                None => rng.normal() * self.value_range.second(),
                Some(Fill::Number(n)) => n as Float,
                Some(Fill::Color(color)) => color[c] as Float,
            };
            y[at] = self.value_range.clip(value);
        });
    }

    fn transpose(&self, mut rng: SampleRng, image: Image, d: &mut [Float], _: &mut [Float]) {
        if let Some(region) = self.draw(&mut rng, image) {
            region.each(image, |at, _| d[at] = 0.0);
        }
    }
}

impl RandomErasing {
    fn draw(&self, rng: &mut SampleRng, image: Image) -> Option<Region> {
        let [width, height] = [(); 2].map(|()| self.scale.draw(0.0, rng).sqrt());
        let region = Region::draw(image, width, height, rng);
        self.factor.happens(rng).then_some(region)
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomErasing::new(), &[[3, 4, 2].into()]);
        check_layer(
            RandomErasing::new()
                .factor([1.0, 1.0])
                .scale([0.3, 1.0])
                .fill_value([1.0, 2.0, 3.0])
                .data_format("channels_first"),
            &[[3, 3, 2].into()],
        );
        check_layer(
            RandomErasing::new()
                .factor([1.0, 1.0])
                .fill_value(2.0)
                .scale(1.0),
            &[[3, 3, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(8, 10);
        let layer = RandomErasing::new().factor([1.0, 1.0]).scale([0.25, 0.25]);
        for i in 0..20 {
            // Half of each side: 4 rows of 5 columns.
            let y = augmented(&layer.clone().fill_value([300.0, 1.5, 2.5]), image, &x, i);
            let erased: Vec<usize> = (0..80).filter(|p| y[image.at(*p, 1)] == 1.5).collect();
            assert_eq!(erased.len(), 20);
            assert!(
                erased
                    .iter()
                    .all(|p| y[image.at(*p, 0)] == 255.0 && y[image.at(*p, 2)] == 2.5)
            );
            assert_eq!(erased[19] - erased[0], 34);
            assert_eq!(y.iter().zip(&x).filter(|(y, x)| y != x).count(), 60);
            // Noise: half of it is below 0.
            let y = augmented(&layer, image, &x, i);
            let zeros = erased.iter().filter(|p| y[image.at(**p, 0)] == 0.0).count();
            assert!((2..18).contains(&zeros));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            RandomErasing::new().factor(1.5),
            RandomErasing::new().scale(1.5),
            RandomErasing::new().fill_value(f64::NAN),
            RandomErasing::new().fill_value([0.0, 0.0, f64::NAN]),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
