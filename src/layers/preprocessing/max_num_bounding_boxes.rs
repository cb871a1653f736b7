//! MaxNumBoundingBoxes: `y = x` for images, `dx = dy`. Its work is on bounding boxes, which do not travel through models here.

use serde::{Deserialize, Serialize};

use super::image::augmentation::{Augmentation, Image};
use crate::error::Result;
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;

/// Leaves images as they are.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/max_num_bounding_boxes/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise.
///
/// In Keras it cuts or fills lists of bounding boxes, given in a dictionary beside the images. Bounding boxes are not supported: a call with
/// more than the images is an error.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `max_number` | | boxes that would be kept |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::MaxNumBoundingBoxes, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(MaxNumBoundingBoxes::new(3));
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxNumBoundingBoxes {
    max_number: usize,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl MaxNumBoundingBoxes {
    /// So many boxes for an image.
    pub fn new(max_number: usize) -> Self {
        MaxNumBoundingBoxes {
            max_number,
            data_format: DataFormat::default(),
        }
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Augmentation for MaxNumBoundingBoxes {
    fn name(&self) -> &'static str {
        "MaxNumBoundingBoxes"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn check(&self, _size: [Option<usize>; 3]) -> Result<()> {
        Ok(())
    }

    fn linear(&self) -> bool {
        true
    }

    fn augment(&self, _: SampleRng, _: Image, _: &mut [Float], _: &mut [Float]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Layer;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(MaxNumBoundingBoxes::new(3), &[[2, 3, 1].into()]);
    }

    #[test]
    fn boxes_are_refused() {
        let inputs = [[4, 4, 3].into(), [3, 4].into()];
        let e = MaxNumBoundingBoxes::new(3)
            .output_shape(&inputs)
            .unwrap_err();
        assert!(e.to_string().contains("one input"), "{e}");
    }
}
