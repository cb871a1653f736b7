//! RandomCrop: in training a window of the image at random; `dx` is `dy` there and 0 elsewhere. Where the image is too small, it is
//! cropped to the sides of the output and brought to its size.

use serde::{Deserialize, Serialize};

use super::image::augmentation::{Image, image_shape, stream};
use super::image::draws::below;
use super::image::frame::{Frame, Reframe};
use super::resizing::sized;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Mode, SampleRng};
use crate::layers::args::DataFormat;
use crate::shape::{Dims, Shape};

/// Takes a part of each image at random, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_crop/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise, of
/// the new size. As in Keras, inference leaves images as they are, whatever their size: layers behind it that need the new
/// size are given a [`CenterCrop`](super::CenterCrop) instead.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `height` | | rows of the output |
/// | `width` | | columns of the output |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::RandomCrop, prelude::*};
/// let shape = RandomCrop::new(4, 5).output_shape(&[[6, 8, 3].into()])?;
/// assert_eq!(shape, Shape::from([4, 5, 3]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    height: usize,
    width: usize,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl RandomCrop {
    /// To this size.
    pub fn new(height: usize, width: usize) -> Self {
        RandomCrop {
            height,
            width,
            seed: None,
            data_format: DataFormat::default(),
        }
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

impl Layer for RandomCrop {
    fn class_name(&self) -> &'static str {
        "RandomCrop"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (x, [height, width, _]) = image_shape(inputs, self.data_format)?;
        if height.is_none() || width.is_none() {
            return Err(Error::shape("images of known height and width", x));
        }
        sized(x, self.data_format, [self.height, self.width])
    }

    fn inference_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.output_shape(inputs).map(|_| inputs[0].clone())
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
        if cx.mode == Mode::Infer && cx.y.shape == cx.x[0].shape {
            return cx.y.data.copy_from_slice(cx.x[0].data);
        }
        let (reframe, middle) = self.reframe(cx.x[0].shape);
        let image = Image::new(cx.x[0].shape, self.data_format);
        let (rng, train) = (stream(cx.rng, self.seed), cx.mode == Mode::Train);
        reframe.forward(cx, |i| match train {
            true => self.frame(rng.at(i as u64), image, middle),
            false => middle,
        });
    }

    fn backward(&self, cx: Backward<'_>) {
        let Some(dx) = &cx.dx[0] else { return };
        let (reframe, middle) = self.reframe(dx.shape);
        let image = Image::new(dx.shape, self.data_format);
        let rng = stream(cx.rng, self.seed);
        reframe.backward(cx, |i| self.frame(rng.at(i as u64), image, middle));
    }
}

impl RandomCrop {
    /// Whether there is something to choose.
    fn is_smaller(&self, image: Image) -> bool {
        image.height > self.height && image.width > self.width
    }

    /// What happens to an image, and the window where nothing is random.
    fn reframe(&self, shape: &[usize]) -> (Reframe<'_>, Frame) {
        let (image, to) = (
            Image::new(shape, self.data_format),
            [self.height, self.width],
        );
        let size = [image.height, image.width];
        let mut frame = Frame::cropped(size, to, false);
        // Keras begins where the window of the output's sides would, but takes one of its size.
        let begin = [frame.top as usize, frame.left as usize];
        frame.size = [0, 1].map(|k| to[k].min(size[k] - begin[k]));
        if self.is_smaller(image) {
            frame.size = to;
        }
        (Reframe::bilinear(frame.size, to, self.data_format), frame)
    }

    fn frame(&self, mut rng: SampleRng, image: Image, middle: Frame) -> Frame {
        if !self.is_smaller(image) {
            return middle;
        }
        let top = below(image.height - self.height + 1, &mut rng) as isize;
        let left = below(image.width - self.width + 1, &mut rng) as isize;
        Frame {
            top,
            left,
            ..middle
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{near, picture};
    use super::*;
    use crate::float::Float;
    use crate::layer::Stream;
    use crate::testing::{apply::apply, check_layer};

    #[test]
    fn laws() {
        check_layer(RandomCrop::new(2, 2), &[[3, 5, 2].into()]);
        check_layer(
            RandomCrop::new(4, 3).data_format("channels_first"),
            &[[2, 3, 5].into()],
        );
        check_layer(RandomCrop::new(2, 6).seed(1), &[[3, 5, 1].into()]);
    }

    #[test]
    fn small_images_are_keras_s() {
        let (_, x) = picture(3, 5);
        let channel = |layer: RandomCrop| -> Vec<Float> {
            let (y, _) = apply(&layer, &[(&x, &[3, 5, 3])], &[None], &[]);
            y.chunks(3).map(|pixel| pixel[1]).collect()
        };
        let want = [
            201.0, 159.0, 15.0, 232.25, 191.5, 48.75, 177.5, 138.25, 93.0, 55.0, 17.0, 133.0,
        ];
        near(&channel(RandomCrop::new(4, 3)), &want, 1e-6);
        let want = [
            189.0, 235.5, 227.6667, 151.8334, 72.0, 81.0, 247.0, 103.0, 32.8333, 65.3333, 136.5,
            147.0,
        ];
        near(&channel(RandomCrop::new(2, 6)), &want, 1e-5);
    }

    #[test]
    fn what_needs_the_new_size_cannot_infer() -> Result<()> {
        use crate::prelude::{Dense, Flatten, Sequential};
        let x = ndarray::Array4::<Float>::ones((1, 3, 4, 1));
        let mut model = Sequential::new()
            .input([3, 4, 1])
            .add(RandomCrop::new(2, 2));
        model.build([3, 4, 1])?;
        assert_eq!(model.predict(&x)?, x.clone().into_dyn());
        let mut model = model.add(Flatten::new()).add(Dense::new(1));
        model.build([3, 4, 1])?;
        let e = model.predict(&x).unwrap_err().to_string();
        assert_eq!(
            e,
            "dense: expected (None, 4) as at its first call, got (None, 12)"
        );
        Ok(())
    }

    #[test]
    fn every_window_is_as_likely() {
        let (layer, image) = (RandomCrop::new(2, 4), picture(3, 6).0);
        let mut counts = [0; 6];
        for i in 0..1200 {
            let middle = layer.reframe(&[3, 6, 3]).1;
            let frame = layer.frame(Stream::new(1, 2, 3).at(i), image, middle);
            assert_eq!(frame.size, [2, 4]);
            counts[(frame.top * 3 + frame.left) as usize] += 1;
        }
        assert!(counts.iter().all(|n| (150..250).contains(n)), "{counts:?}");
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [RandomCrop::new(0, 2), RandomCrop::new(2, usize::MAX)] {
            assert!(
                layer.output_shape(&[[4, 4, 3].into()]).is_err(),
                "{layer:?}"
            );
        }
        let unknown = [None, Some(4), Some(3)].into();
        assert!(RandomCrop::new(2, 2).output_shape(&[unknown]).is_err());
    }
}
