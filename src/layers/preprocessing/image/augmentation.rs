//! What the layers that change images one by one have in common: an [`Augmentation`] says how one image is changed, and is a
//! [`Layer`] for that.
//!
//! In training every image has its own draw; in inference the image is left as it is. Where the change is linear (a flip, a
//! warp), `dx = A^T dy` for the same draw.

use std::fmt::Debug;

use serde::Serialize;

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise;
use crate::layer::{
    Backward, Buffers, Contract, Forward, Layer, Len, Mode, Par, SampleRng, Slices, Stream, ViewMut,
};
use crate::layers::args::{DataFormat, checked, input_of_rank};
use crate::shape::{Dims, Shape};

/// An image in memory: channel `c` of pixel `p` (of `height * width`, row by row) is at `p * pixel + c * plane`.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) pixel: usize,
    pub(crate) plane: usize,
}

impl Image {
    /// The layout of a sample of this shape.
    pub(crate) fn new(shape: &[usize], format: DataFormat) -> Self {
        match format.first_spatial() {
            0 => Image {
                height: shape[0],
                width: shape[1],
                channels: shape[2],
                pixel: shape[2],
                plane: 1,
            },
            _ => Image {
                height: shape[1],
                width: shape[2],
                channels: shape[0],
                pixel: 1,
                plane: shape[1] * shape[2],
            },
        }
    }

    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Numbers of the image.
    pub(crate) fn len(&self) -> usize {
        self.pixels() * self.channels
    }

    /// Where a number is.
    pub(crate) fn at(&self, pixel: usize, channel: usize) -> usize {
        pixel * self.pixel + channel * self.plane
    }

    /// The same image in one channel.
    pub(crate) fn gray(&self) -> Image {
        Image {
            channels: 1,
            pixel: 1,
            plane: 1,
            ..*self
        }
    }
}

/// One input, a batch of images of known format; their height, width and channels.
pub(crate) fn image_shape(
    inputs: &[Shape],
    format: DataFormat,
) -> Result<(&Shape, [Option<usize>; 3])> {
    format.check()?;
    let axes = match format.first_spatial() {
        0 => "batch, height, width, channels",
        _ => "batch, channels, height, width",
    };
    let x = input_of_rank(inputs, 3, axes)?;
    if x.dims().contains(&Some(0)) {
        return Err(Error::shape("images of positive sizes", x));
    }
    checked(x.clone())?;
    let [a, b, c] = [x.dims()[0], x.dims()[1], x.dims()[2]];
    Ok((
        x,
        if format.first_spatial() == 0 {
            [a, b, c]
        } else {
            [b, c, a]
        },
    ))
}

/// The change of one image.
pub trait Augmentation: Debug + Send + Sync {
    /// Keras's class name.
    fn name(&self) -> &'static str;

    /// Where the channels are.
    fn format(&self) -> DataFormat;

    /// The seed of the layer.
    fn own_seed(&self) -> Option<u64> {
        None
    }

    /// All validation of arguments, and of the height, width and channels.
    fn check(&self, size: [Option<usize>; 3]) -> Result<()>;

    /// Whether inference changes images, too.
    fn always(&self) -> bool {
        false
    }

    /// Whether there is a [`transpose`](Self::transpose).
    fn linear(&self) -> bool {
        false
    }

    /// Numbers of room that the change of an image takes.
    fn room(&self, _image: Image) -> usize {
        0
    }

    /// Changes the image that `y` holds.
    fn augment(&self, rng: SampleRng, image: Image, y: &mut [Float], room: &mut [Float]);

    /// From `dy` to `dx`, both in `d`, for the same draw.
    fn transpose(&self, _rng: SampleRng, _image: Image, _d: &mut [Float], _room: &mut [Float]) {}
}

/// The stream of a layer that may have a seed of its own.
pub(crate) fn stream(rng: Stream, seed: Option<u64>) -> Stream {
    seed.map_or(rng, |seed| rng.reseeded(seed))
}

/// Calls `f(rng, image, data, room)` for every image.
fn each_image(
    layer: &(impl Augmentation + ?Sized),
    images: ViewMut<'_>,
    mut scratch: Slices<'_>,
    (rng, par): (Stream, Par),
    f: impl Fn(SampleRng, Image, &mut [Float], &mut [Float]) + Sync,
) {
    let image = Image::new(images.shape, layer.format());
    let rng = stream(rng, layer.own_seed());
    let (room, each) = (scratch.next().unwrap_or_default(), layer.room(image));
    par.for_each_piece2(images.data, image.len(), room, each, |i, data, room| {
        f(rng.at(i as u64), image, data, &mut room[..each]);
    });
}

impl<A: Augmentation + Serialize> Layer for A {
    fn class_name(&self) -> &'static str {
        self.name()
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (x, size) = image_shape(inputs, self.format())?;
        self.check(size)?;
        Ok(x.clone())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let room = self.room(Image::new(&inputs[0], self.format()));
        Buffers {
            scratch: vec![Len::PerSample(room)],
            ..Buffers::default()
        }
    }

    fn inference_buffers(&self, inputs: &[Dims]) -> Buffers {
        match self.always() {
            true => self.buffers(inputs),
            false => Buffers::default(),
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            in_place: true,
            differentiable: self.linear(),
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        if cx.mode == Mode::Train || self.always() {
            each_image(
                self,
                cx.y,
                cx.scratch,
                (cx.rng, cx.par),
                |rng, image, y, room| {
                    self.augment(rng, image, y, room);
                },
            );
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = cx.dx[0].take() {
            each_image(
                self,
                dx,
                cx.scratch,
                (cx.rng, cx.par),
                |rng, image, d, room| {
                    self.transpose(rng, image, d, room);
                },
            );
        }
    }
}

/// `y = f(y)` for every number.
pub(crate) fn pointwise(y: &mut [Float], f: impl Fn(Float) -> Float) {
    y.iter_mut().for_each(|y| *y = f(*y));
}

/// `y = a y + b x`.
pub(crate) fn blend(a: Float, y: &mut [Float], b: Float, x: &[Float]) {
    elementwise::scale(a, y);
    elementwise::axpy(b, x, y);
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// An image of `height` x `width` x 3 with values in 0..255 that follow no line.
    pub(crate) fn picture(height: usize, width: usize) -> (Image, Vec<Float>) {
        let shape = [height, width, 3];
        let value = |i: usize| ((i * i * 37 + i * 91 + 13) % 256) as Float;
        let data = (0..height * width * 3).map(value).collect();
        (Image::new(&shape, DataFormat::ChannelsLast), data)
    }

    /// A 3-channel image with the channels in front instead of behind.
    pub(crate) fn channels_first(image: Image, data: &[Float]) -> (Image, Vec<Float>) {
        let shape = [image.channels, image.height, image.width];
        let first = Image::new(&shape, DataFormat::ChannelsFirst);
        let mut out = vec![0.0; data.len()];
        for p in 0..image.pixels() {
            (0..image.channels).for_each(|c| out[first.at(p, c)] = data[image.at(p, c)]);
        }
        (first, out)
    }

    pub(crate) fn near(got: &[Float], want: &[Float], tolerance: Float) {
        assert_eq!(got.len(), want.len());
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            assert!(
                (g - w).abs() <= tolerance * (1.0 + w.abs()),
                "element {i} is {g} instead of {w}\n{got:?}"
            );
        }
    }

    /// What the layer makes of the image, with the draw of sample `i`.
    pub(crate) fn augmented(
        layer: &dyn Augmentation,
        image: Image,
        x: &[Float],
        i: u64,
    ) -> Vec<Float> {
        let (mut y, mut room) = (x.to_vec(), vec![Float::NAN; layer.room(image)]);
        layer.augment(Stream::new(3, 1, 4).at(i), image, &mut y, &mut room);
        y
    }
}
