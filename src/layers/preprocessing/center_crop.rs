//! CenterCrop: the middle of the image. An image that is too small is cropped to the sides of the output and enlarged; `dx = F^T R^T
//! dy`, with `F` the window and `R` the enlarging.

use serde::{Deserialize, Serialize};

use super::image::augmentation::{Image, image_shape};
use super::image::frame::{Frame, Reframe};
use super::resizing::sized;
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer};
use crate::layers::args::DataFormat;
use crate::shape::{Dims, Shape};

/// Takes the middle of images, in training and inference.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_preprocessing/center_crop/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise, of
/// the new size. Images that are smaller are enlarged (bilinear), as little as possible, before.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `height` | | rows of the output |
/// | `width` | | columns of the output |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::CenterCrop, prelude::*};
/// let mut model = Sequential::new().input([1, 4, 1]).add(CenterCrop::new(1, 2));
/// model.build([1, 4, 1])?;
/// let y = model.predict(&ndarray::array![[[[1.0f32], [2.0], [3.0], [4.0]]]])?;
/// assert_eq!(y, ndarray::array![[[[2.0], [3.0]]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CenterCrop {
    height: usize,
    width: usize,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl CenterCrop {
    /// To this size.
    pub fn new(height: usize, width: usize) -> Self {
        CenterCrop {
            height,
            width,
            data_format: DataFormat::default(),
        }
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Layer for CenterCrop {
    fn class_name(&self) -> &'static str {
        "CenterCrop"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (x, _) = image_shape(inputs, self.data_format)?;
        sized(x, self.data_format, [self.height, self.width])
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.reframe(&inputs[0]).0.buffers(&inputs[0])
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let (reframe, frame) = self.reframe(cx.x[0].shape);
        reframe.forward(cx, |_| frame);
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &cx.dx[0] {
            let (reframe, frame) = self.reframe(dx.shape);
            reframe.backward(cx, |_| frame);
        }
    }
}

impl CenterCrop {
    fn reframe(&self, shape: &[usize]) -> (Reframe<'_>, Frame) {
        let (image, to) = (
            Image::new(shape, self.data_format),
            [self.height, self.width],
        );
        let frame = if image.height >= to[0] && image.width >= to[1] {
            Frame {
                top: ((image.height - to[0]) / 2) as isize,
                left: ((image.width - to[1]) / 2) as isize,
                size: to,
            }
        } else {
            Frame::cropped([image.height, image.width], to, false)
        };
        (Reframe::bilinear(frame.size, to, self.data_format), frame)
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{near, picture};
    use super::*;
    use crate::float::Float;
    use crate::testing::{apply::apply, check_layer};

    #[test]
    fn laws() {
        check_layer(CenterCrop::new(2, 2), &[[3, 5, 2].into()]);
        check_layer(
            CenterCrop::new(4, 3).data_format("channels_first"),
            &[[2, 3, 5].into()],
        );
        check_layer(CenterCrop::new(3, 5), &[[3, 5, 1].into()]);
    }

    #[test]
    fn numbers_are_keras_s() {
        let (_, x) = picture(3, 5);
        let channel = |layer: CenterCrop| -> Vec<Float> {
            let (y, _) = apply(&layer, &[(&x, &[3, 5, 3])], &[None], &[]);
            y.chunks(3).map(|pixel| pixel[1]).collect()
        };
        assert_eq!(channel(CenterCrop::new(2, 2)), [201.0, 159.0, 251.0, 211.0]);
        let want = [
            201.0, 180.0, 159.0, 232.25, 211.875, 191.5, 177.5, 157.875, 138.25, 55.0, 36.0, 17.0,
        ];
        near(&channel(CenterCrop::new(4, 3)), &want, 1e-6);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [CenterCrop::new(0, 2), CenterCrop::new(2, usize::MAX)] {
            assert!(
                layer.output_shape(&[[4, 4, 3].into()]).is_err(),
                "{layer:?}"
            );
        }
    }
}
