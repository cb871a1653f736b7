//! Equalization: values are replaced so that their histogram, that of a channel in all images of the batch, becomes flat:
//! `y = 255 (F(x) - F_min) / (n - F_min)` with `F` the cumulative histogram.

use serde::{Deserialize, Serialize};

use super::image::arguments::ValueRange;
use super::image::augmentation::{Image, image_shape};
use super::image::histogram::equalize;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, Mode};
use crate::layers::args::DataFormat;
use crate::shape::{Dims, Shape};

/// Equalizes the histogram of every channel, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_preprocessing/equalization/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. As in Keras, the
/// histogram is that of the whole batch, and in inference nothing changes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `bins` | 256 | bins of the histogram |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::Equalization, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(Equalization::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Equalization {
    value_range: ValueRange,
    bins: usize,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Default for Equalization {
    fn default() -> Self {
        Equalization {
            value_range: ValueRange::default(),
            bins: 256,
            data_format: DataFormat::default(),
        }
    }
}

impl Equalization {
    /// With 256 bins.
    pub fn new() -> Self {
        Equalization::default()
    }

    /// Smallest and largest value of pixels.
    pub fn value_range(mut self, value_range: impl Into<ValueRange>) -> Self {
        self.value_range = value_range.into();
        self
    }

    /// Bins of the histogram.
    pub fn bins(mut self, bins: usize) -> Self {
        self.bins = bins;
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Layer for Equalization {
    fn class_name(&self) -> &'static str {
        "Equalization"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (x, _) = image_shape(inputs, self.data_format)?;
        self.value_range.check()?;
        match (1..=MOST).contains(&self.bins) {
            true => Ok(x.clone()),
            false => Err(Error::arg("bins", format!("1 to {MOST}"), self.bins)),
        }
    }

    fn buffers(&self, _inputs: &[Dims]) -> Buffers {
        Buffers {
            saved_index: vec![Len::Fixed(self.bins)],
            ..Buffers::default()
        }
    }

    fn inference_buffers(&self, _inputs: &[Dims]) -> Buffers {
        Buffers::default()
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            in_place: true,
            batch_coupled: true,
            differentiable: false,
            ..Contract::default()
        }
    }

    fn forward(&self, mut cx: Forward<'_>) {
        if cx.mode == Mode::Infer {
            return;
        }
        let counts = cx.saved_index.next().unwrap_or_default();
        let image = Image::new(cx.y.shape, self.data_format);
        for c in 0..image.channels {
            equalize(cx.y.data, image, c, self.value_range, counts);
        }
    }

    fn backward(&self, _cx: Backward<'_>) {}
}

/// Most bins.
const MOST: usize = 1 << 24;

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{near, picture};
    use super::*;
    use crate::float::Float;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(Equalization::new(), &[[2, 3, 3].into()]);
        let layer = Equalization::new().bins(3).value_range([-9.0, 9.0]);
        check_layer(layer.data_format("channels_first"), &[[1, 3, 2].into()]);
    }

    #[test]
    fn numbers_are_keras_s() {
        let equalized = |bins, range: [f64; 2]| -> Vec<Float> {
            let (image, mut y) = picture(2, 3);
            (0..3).for_each(|c| equalize(&mut y, image, c, range.into(), &mut vec![0; bins]));
            y
        };
        let want = [
            0.0, 102.0, 51.0, 153.0, 255.0, 153.0, 102.0, 153.0, 0.0, 255.0, 0.0, 204.0, 51.0,
            51.0, 102.0, 204.0, 204.0, 255.0,
        ];
        near(&equalized(256, [0.0, 255.0]), &want, 1e-6);
        let want = [
            -255.0, 255.0, -255.0, -255.0, 255.0, -255.0, -255.0, 255.0, -255.0, 255.0, -255.0,
            -255.0, -255.0, -255.0, -255.0, 255.0, 255.0, 255.0,
        ];
        near(&equalized(5, [-255.0, 255.0]), &want, 1e-6);
        // One bin has nothing to equalize.
        assert_eq!(equalized(1, [0.0, 255.0]), picture(2, 3).1);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            Equalization::new().bins(0),
            Equalization::new().bins(usize::MAX),
            Equalization::new().value_range([0.0, 0.0]),
        ] {
            assert!(
                layer.output_shape(&[[2, 2, 1].into()]).is_err(),
                "{layer:?}"
            );
        }
        assert!(Equalization::new().output_shape(&[[2, 2].into()]).is_err());
    }
}
