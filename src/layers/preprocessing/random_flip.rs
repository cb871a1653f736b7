//! RandomFlip: half of the images are mirrored; `dx` is `dy`, mirrored likewise.

use serde::{Deserialize, Serialize};

use super::image::augmentation::{Augmentation, Image};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// What [`RandomFlip`] mirrors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum FlipMode {
    /// Left becomes right.
    Horizontal,
    /// Top becomes bottom.
    Vertical,
    /// Both.
    #[default]
    HorizontalAndVertical,
    /// A name that is not known.
    #[doc(hidden)]
    Invalid(String),
}

const MODES: [&str; 3] = ["horizontal", "vertical", "horizontal_and_vertical"];

impl From<&str> for FlipMode {
    fn from(name: &str) -> Self {
        match name {
            "horizontal" => FlipMode::Horizontal,
            "vertical" => FlipMode::Vertical,
            "horizontal_and_vertical" => FlipMode::HorizontalAndVertical,
            _ => FlipMode::Invalid(name.to_string()),
        }
    }
}

impl From<String> for FlipMode {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

impl From<FlipMode> for String {
    fn from(mode: FlipMode) -> Self {
        match mode {
            FlipMode::Horizontal => MODES[0],
            FlipMode::Vertical => MODES[1],
            FlipMode::HorizontalAndVertical => MODES[2],
            FlipMode::Invalid(name) => return name,
        }
        .to_string()
    }
}

/// Mirrors an image, or leaves it as it is, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_flip/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// As in Keras, `horizontal_and_vertical` does both or neither.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `mode` | `horizontal_and_vertical` | or `horizontal` (left to right), `vertical` (upside down) |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomFlip, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(RandomFlip::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomFlip {
    mode: FlipMode,
    seed: Option<u64>,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl RandomFlip {
    /// Mirrors both ways.
    pub fn new() -> Self {
        RandomFlip::default()
    }

    /// What is mirrored.
    pub fn mode(mut self, mode: impl Into<FlipMode>) -> Self {
        self.mode = mode.into();
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

impl Augmentation for RandomFlip {
    fn name(&self) -> &'static str {
        "RandomFlip"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        match &self.mode {
            FlipMode::Invalid(name) => Err(Error::unknown("mode", name, MODES)),
            _ => Ok(()),
        }
    }

    fn linear(&self) -> bool {
        true
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], _: &mut [Float]) {
        if rng.uniform() <= 0.5 {
            self.flip(image, y);
        }
    }

    fn transpose(&self, rng: SampleRng, image: Image, d: &mut [Float], room: &mut [Float]) {
        self.augment(rng, image, d, room);
    }
}

impl RandomFlip {
    /// Every number changes places with its mirror image, once.
    fn flip(&self, image: Image, y: &mut [Float]) {
        let (across, down) = (
            self.mode != FlipMode::Vertical,
            self.mode != FlipMode::Horizontal,
        );
        let (height, width) = (image.height, image.width);
        for pixel in 0..image.pixels() {
            let (row, column) = (pixel / width, pixel % width);
            let row = if down { height - 1 - row } else { row };
            let column = if across { width - 1 - column } else { column };
            let mirrored = row * width + column;
            if mirrored > pixel {
                (0..image.channels).for_each(|c| y.swap(image.at(pixel, c), image.at(mirrored, c)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::augmented;
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RandomFlip::new(), &[[3, 4, 2].into()]);
        check_layer(
            RandomFlip::new()
                .mode("horizontal")
                .data_format("channels_first"),
            &[[2, 3, 2].into()],
        );
        check_layer(
            RandomFlip::new().mode("vertical").seed(1),
            &[[3, 3, 1].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        // Columns of three rows and two columns, in one channel.
        let image = Image::new(&[3, 2, 1], DataFormat::ChannelsLast);
        for (mode, want) in [
            ("horizontal", [1.0, 0.0, 3.0, 2.0, 5.0, 4.0]),
            ("vertical", [4.0, 5.0, 2.0, 3.0, 0.0, 1.0]),
            ("horizontal_and_vertical", [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]),
        ] {
            let x = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
            let layer = RandomFlip::new().mode(mode);
            let flipped = (0..100).filter(|i| {
                let y = augmented(&layer, image, &x, *i);
                assert!(y == want || y == x);
                y == want
            });
            assert!((35..65).contains(&flipped.count()));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let layer = RandomFlip::new().mode("diagonal");
        assert!(layer.check([Some(4), Some(4), Some(3)]).is_err());
    }
}
