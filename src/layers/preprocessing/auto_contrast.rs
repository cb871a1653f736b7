//! AutoContrast: `y` is `x` stretched so that the smallest value becomes the smallest possible one, and the largest the largest.
//!
//! As in Keras, extremes are those of the first two axes of a sample: of a channel where channels are last.

use serde::{Deserialize, Serialize};

use super::image::arguments::ValueRange;
use super::image::augmentation::{Augmentation, Image};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Stretches the values of every channel over the whole value range, in training and inference.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_preprocessing/auto_contrast/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::AutoContrast, prelude::*};
/// let mut model = Sequential::new().input([1, 3, 1]).add(AutoContrast::new());
/// model.build([1, 3, 1])?;
/// let y = model.predict(&ndarray::array![[[[20.0f32], [30.0], [70.0]]]])?;
/// assert_eq!(y, ndarray::array![[[[0.0], [51.0], [255.0]]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoContrast {
    value_range: ValueRange,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl AutoContrast {
    /// With values from 0 to 255.
    pub fn new() -> Self {
        AutoContrast::default()
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
}

impl Augmentation for AutoContrast {
    fn name(&self) -> &'static str {
        "AutoContrast"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        self.value_range.check()
    }

    fn always(&self) -> bool {
        true
    }

    fn augment(&self, _: SampleRng, image: Image, y: &mut [Float], _: &mut [Float]) {
        let (range, bytes) = (self.value_range.sorted(), ValueRange::default());
        let columns = match self.data_format {
            DataFormat::ChannelsFirst => image.width,
            _ => image.channels,
        };
        for column in 0..columns {
            let values = || {
                y[column..]
                    .iter()
                    .step_by(columns)
                    .map(|y| range.map(bytes, *y))
            };
            let (low, high) = (
                values().fold(Float::INFINITY, Float::min),
                values().fold(-Float::INFINITY, Float::max),
            );
            if low == high {
                continue;
            }
            let scale = 255.0 / (high - low);
            for y in y[column..].iter_mut().step_by(columns) {
                *y = bytes.map(
                    range,
                    bytes.clip(range.map(bytes, *y) * scale - low * scale),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, channels_first, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(AutoContrast::new(), &[[2, 3, 3].into()]);
        check_layer(
            AutoContrast::new()
                .value_range([-9.0, 9.0])
                .data_format("channels_first"),
            &[[1, 3, 2].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(2, 3);
        let want = [
            0.0, 172.7419, 69.2935, 103.319, 255.0, 105.3261, 94.5259, 197.4194, 0.0, 255.0, 0.0,
            108.0978, 21.9828, 13.7097, 74.837, 239.6121, 238.5484, 255.0,
        ];
        near(&augmented(&AutoContrast::new(), image, &x, 0), &want, 1e-5);
        let layer = AutoContrast::new().value_range([300.0, -100.0]);
        let want = [
            -100.0, 170.9678, 8.6956, 62.069, 300.0, 65.2174, 48.2759, 209.6774, -100.0, 300.0,
            -100.0, 69.5652, -65.5172, -78.4946, 17.3913, 275.8621, 274.1935, 300.0,
        ];
        near(&augmented(&layer, image, &x, 0), &want, 1e-4);
        let (first, planes) = channels_first(image, &x);
        let layer = AutoContrast::new().data_format("channels_first");
        let want = [
            0.0, 118.8068, 81.4948, 255.0, 11.5909, 255.0, 140.6897, 255.0, 160.3608, 2.1983, 0.0,
            199.7938, 81.3362, 127.5, 0.0, 112.1121, 95.625, 241.8557,
        ];
        near(&augmented(&layer, first, &planes, 0), &want, 1e-5);
        // One value has no contrast.
        assert_eq!(augmented(&layer, first, &[7.0; 18], 0), [7.0; 18]);
    }

    #[test]
    fn mistakes_are_named() {
        let layer = AutoContrast::new().value_range([0.0, 0.0]);
        assert!(layer.check([Some(4), Some(4), Some(3)]).is_err());
    }
}
