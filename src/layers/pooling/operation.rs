//! What all pooling layers do when they run, and the shapes of those with windows of a fixed size.

use crate::error::{Error, Result};
use crate::kernels::pool::{Axis, Pool};
use crate::layer::{Backward, Buffers, Contract, Forward, Len, Mode};
use crate::layers::args::{DataFormat, Sizes};
use crate::layers::geometry::{self, Padding, ones};
use crate::shape::Shape;

/// What a window becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Max,
    Mean,
}

/// Pooling for inputs of known sizes.
pub(super) struct Operation {
    pool: Pool,
    /// Images in a sample.
    images: usize,
    of: Of,
}

impl Operation {
    /// Backward needs nothing but which number was the largest.
    pub fn contract() -> Contract {
        Contract {
            reads_x: false,
            ..Contract::default()
        }
    }

    /// With channels first, every channel is an image of its own.
    pub fn new<const R: usize>(
        of: Of,
        format: DataFormat,
        input: &[usize],
        axis: impl Fn(usize, usize) -> Axis,
    ) -> Self {
        let (image, channels) = geometry::known_sizes::<R>(format, input);
        let mut axes = [Axis::NONE; 3];
        for (a, &pixels) in image.iter().enumerate() {
            axes[3 - R + a] = axis(a, pixels);
        }
        let (images, channels) = match format {
            DataFormat::ChannelsFirst => (channels, 1),
            _ => (1, channels),
        };
        Operation {
            pool: Pool::new(axes, channels),
            images,
            of,
        }
    }

    /// The places of the largest.
    pub fn buffers(&self) -> Buffers {
        Buffers {
            saved_index: match self.of {
                Of::Max => vec![Len::PerSample(self.images * self.pool.out_len())],
                Of::Mean => Vec::new(),
            },
            ..Buffers::default()
        }
    }

    pub fn forward(&self, mut cx: Forward<'_>) {
        let (x, y) = (cx.x[0].data, cx.y.data);
        match self.of {
            Of::Mean => self.pool.mean(x, y, cx.par),
            Of::Max => {
                // Without a backward nobody asks which it was.
                let index = cx.saved_index.next().filter(|_| cx.mode == Mode::Train);
                let index = index.unwrap_or_default();
                self.pool.max(x, y, index, cx.par);
            }
        }
    }

    pub fn backward(&self, mut cx: Backward<'_>) {
        let Some(dx) = &mut cx.dx[0] else { return };
        match self.of {
            Of::Mean => self.pool.mean_backward(cx.dy.data, dx.data, cx.par),
            Of::Max => {
                let index = cx.saved_index.next().expect("places");
                self.pool.max_backward(index, cx.dy.data, dx.data, cx.par);
            }
        }
    }
}

/// Windows of one size, a stride apart.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a, const R: usize> {
    pub pool_size: Sizes<R>,
    pub strides: Sizes<R>,
    pub padding: &'a Padding,
    pub format: DataFormat,
}

impl<const R: usize> Strided<'_, R> {
    pub fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        geometry::check_positive("pool_size", self.pool_size)?;
        geometry::check_positive("strides", self.strides)?;
        self.padding.check(false)?;
        let (space, channels) = geometry::split::<R>(self.format, inputs)?;
        geometry::check_len("image", &space.map(|n| n.unwrap_or(1)))?;
        let (size, strides) = (self.pool_size, self.strides);
        let out = geometry::out_sizes(space, size, strides, ones(), self.padding)?;
        geometry::join(self.format, out, channels)
    }

    pub fn operation(&self, of: Of, input: &[usize]) -> Operation {
        Operation::new::<R>(of, self.format, input, |a, pixels| {
            let (size, stride) = (self.pool_size.0[a], self.strides.0[a]);
            let windows = geometry::windows(pixels, size, stride, 1, self.padding);
            let (out, before) = windows.expect("sizes that output_shape accepted");
            Axis::Strided {
                pixels,
                out,
                size,
                stride,
                before,
            }
        })
    }
}

/// An input that is pooled as a whole or into a fixed number of windows must have pixels.
pub(super) fn check_pixels<const R: usize>(
    space: [Option<usize>; R],
    inputs: &[Shape],
) -> Result<()> {
    if space.contains(&Some(0)) {
        return Err(Error::shape("an input with pixels", &inputs[0]));
    }
    geometry::check_len("image", &space.map(|n| n.unwrap_or(1)))
}
