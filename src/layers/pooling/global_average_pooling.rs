//! Global average pooling: `y[c] = mean x[p, c]` over all pixels `p`; `dx[p, c] = dy[c] / pixels`.
//!
//! Of sequences with a mask, only the steps that are not padding count: `y[c] = sum_t m[t] x[t, c] / sum_t m[t]`.

use serde::{Deserialize, Serialize};

use super::operation::{Of, Operation, check_pixels};
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::elementwise;
use crate::kernels::pool::Axis;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Mask};
use crate::layers::args::DataFormat;
use crate::layers::geometry;
use crate::shape::{Dims, Shape};

/// Global average pooling of sequences. [Keras](https://keras.io/api/layers/pooling_layers/global_average_pooling1d/)
///
/// Input `(batch, steps, channels)`, output `(batch, channels)`; arguments are those of [`GlobalAveragePooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([3, 1]).add(GlobalAveragePooling1D::new());
/// model.build([3, 1])?;
/// let y = model.predict(&ndarray::array![[[1.0f32], [3.0], [2.0]]])?;
/// assert_eq!(y, ndarray::array![[2.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type GlobalAveragePooling1D = GlobalAveragePooling<1>;

/// Global average pooling of images. [Keras](https://keras.io/api/layers/pooling_layers/global_average_pooling2d/)
///
/// Input `(batch, height, width, channels)`, output `(batch, channels)`; arguments are those of [`GlobalAveragePooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 7, 2]).add(GlobalAveragePooling2D::new().keepdims(true));
/// model.build([5, 7, 2])?;
/// let y = model.predict(&ndarray::Array4::<f32>::ones((1, 5, 7, 2)))?;
/// assert_eq!(y, ndarray::Array4::<f32>::ones((1, 1, 1, 2)).into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type GlobalAveragePooling2D = GlobalAveragePooling<2>;

/// Global average pooling of volumes. [Keras](https://keras.io/api/layers/pooling_layers/global_average_pooling3d/)
///
/// Input `(batch, depth, height, width, channels)`, output `(batch, channels)`; arguments are those of [`GlobalAveragePooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 7, 4, 2]).add(GlobalAveragePooling3D::new().keepdims(true));
/// model.build([5, 7, 4, 2])?;
/// let y = model.predict(&ndarray::Array5::<f32>::ones((1, 5, 7, 4, 2)))?;
/// assert_eq!(y, ndarray::Array5::<f32>::ones((1, 1, 1, 1, 2)).into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type GlobalAveragePooling3D = GlobalAveragePooling<3>;

/// The mean of each channel along `R` spatial axes: [`GlobalAveragePooling1D`], [`GlobalAveragePooling2D`],
/// [`GlobalAveragePooling3D`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `data_format` | `"channels_last"` | or `"channels_first"`: `(batch, channels, space..)` |
/// | `keepdims` | false | whether the spatial axes stay, with size 1 |
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalAveragePooling<const R: usize> {
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
    #[serde(default)]
    keepdims: bool,
}

impl<const R: usize> GlobalAveragePooling<R> {
    /// Without arguments.
    pub fn new() -> Self {
        GlobalAveragePooling::default()
    }

    /// Where the channels are.
    pub fn data_format(mut self, format: impl Into<DataFormat>) -> Self {
        self.data_format = format.into();
        self
    }

    /// Whether the spatial axes stay, with size 1.
    pub fn keepdims(mut self, yes: bool) -> Self {
        self.keepdims = yes;
        self
    }

    fn operation(&self, input: &[usize]) -> Operation {
        Operation::new::<R>(Of::Mean, self.data_format, input, |_, pixels| {
            Axis::Adaptive { pixels, out: 1 }
        })
    }
}

impl<const R: usize> Layer for GlobalAveragePooling<R> {
    fn class_name(&self) -> &'static str {
        [
            "GlobalAveragePooling1D",
            "GlobalAveragePooling2D",
            "GlobalAveragePooling3D",
        ][R - 1]
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (space, channels) = geometry::split::<R>(self.data_format, inputs)?;
        check_pixels(space, inputs)?;
        if self.keepdims {
            geometry::join(self.data_format, [Some(1); R], channels)
        } else {
            Ok([channels].into())
        }
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.operation(&inputs[0]).buffers()
    }

    fn contract(&self) -> Contract {
        Operation::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        match self.mask(cx.masks) {
            Some(mask) => self.masked_mean(mask, cx.x[0].shape, cx.x[0].data, cx.y.data),
            None => self.operation(cx.x[0].shape).forward(cx),
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        match (self.mask(cx.masks), &mut cx.dx[0]) {
            (Some(mask), Some(dx)) => self.masked_backward(mask, dx.shape, cx.dy.data, dx.data),
            _ => self.operation(cx.x[0].shape).backward(cx),
        }
    }
}

impl<const R: usize> GlobalAveragePooling<R> {
    /// The mask of the steps; Keras heeds it for sequences only.
    fn mask<'a>(&self, masks: &[Option<Mask<'a>>]) -> Option<Mask<'a>> {
        masks.first().copied().flatten().filter(|_| R == 1)
    }

    fn masked_mean(&self, mask: Mask, shape: &[usize], x: &[Float], y: &mut [Float]) {
        let ([steps], channels) = geometry::known_sizes(self.data_format, shape);
        let samples = x
            .chunks_exact(steps * channels)
            .zip(mask.data.chunks_exact(steps));
        for (y, (x, mask)) in y.chunks_exact_mut(channels).zip(samples) {
            y.fill(0.0);
            let count = mask.iter().filter(|&&m| m).count();
            for (t, _) in mask.iter().enumerate().filter(|(_, m)| **m) {
                if self.data_format == DataFormat::ChannelsFirst {
                    y.iter_mut()
                        .enumerate()
                        .for_each(|(c, y)| *y += x[c * steps + t]);
                } else {
                    elementwise::add(&x[t * channels..][..channels], y);
                }
            }
            elementwise::scale(1.0 / count as Float, y);
        }
    }

    fn masked_backward(&self, mask: Mask, shape: &[usize], dy: &[Float], dx: &mut [Float]) {
        let ([steps], channels) = geometry::known_sizes(self.data_format, shape);
        let samples = dy.chunks_exact(channels).zip(mask.data.chunks_exact(steps));
        for (dx, (dy, mask)) in dx.chunks_exact_mut(steps * channels).zip(samples) {
            let part = 1.0 / mask.iter().filter(|&&m| m).count() as Float;
            for (i, dx) in dx.iter_mut().enumerate() {
                let (t, c) = match self.data_format {
                    DataFormat::ChannelsFirst => (i % steps, i / steps),
                    _ => (i / channels, i % channels),
                };
                *dx = if mask[t] { dy[c] * part } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(GlobalAveragePooling1D::new(), &[[4, 3].into()]);
        check_layer(
            GlobalAveragePooling1D::new()
                .keepdims(true)
                .data_format("channels_first"),
            &[[3, 4].into()],
        );
        check_layer(
            GlobalAveragePooling2D::new().keepdims(true),
            &[[3, 2, 9].into()],
        );
        check_layer(
            GlobalAveragePooling2D::new().data_format("channels_first"),
            &[[3, 2, 4].into()],
        );
        check_layer(GlobalAveragePooling3D::new(), &[[2, 3, 2, 2].into()]);
    }

    #[test]
    fn masked_steps_do_not_count() {
        let mask = Mask {
            data: &[true, false, true, false, true, false],
            shape: &[3],
        };
        let x = [
            1.0,
            2.0,
            Float::NAN,
            9.0,
            3.0,
            4.0,
            7.0,
            7.0,
            5.0,
            6.0,
            7.0,
            7.0,
        ];
        let (layer, mut y) = (GlobalAveragePooling1D::new(), [0.0; 4]);
        layer.masked_mean(mask, &[3, 2], &x, &mut y);
        assert_eq!(y, [2.0, 3.0, 5.0, 6.0]);
        let mut dx = [Float::NAN; 12];
        layer.masked_backward(mask, &[3, 2], &[2.0, 4.0, 1.0, 1.0], &mut dx);
        assert_eq!(
            dx,
            [1.0, 2.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
        );
        let first = layer.data_format("channels_first");
        let x = [
            1.0,
            Float::NAN,
            3.0,
            2.0,
            9.0,
            4.0,
            7.0,
            5.0,
            7.0,
            7.0,
            6.0,
            7.0,
        ];
        first.masked_mean(mask, &[2, 3], &x, &mut y);
        assert_eq!(y, [2.0, 3.0, 5.0, 6.0]);
        first.masked_backward(mask, &[2, 3], &[2.0, 4.0, 1.0, 1.0], &mut dx);
        assert_eq!(
            dx,
            [1.0, 0.0, 1.0, 2.0, 0.0, 2.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]
        );
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = GlobalAveragePooling2D::new()
            .data_format("last")
            .output_shape(&[[4, 4, 1].into()]);
        assert!(wrong.unwrap_err().to_string().contains("`data_format`"));
        assert!(
            GlobalAveragePooling2D::new()
                .output_shape(&[[0, 4, 1].into()])
                .is_err()
        );
        assert!(
            GlobalAveragePooling2D::new()
                .output_shape(&[[4, 1].into()])
                .is_err()
        );
        let y = GlobalAveragePooling2D::new().output_shape(&[[None, None, Some(3)].into()]);
        assert_eq!(y.unwrap(), [3].into());
    }
}
