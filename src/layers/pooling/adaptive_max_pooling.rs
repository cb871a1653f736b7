//! Adaptive max pooling: as many windows as asked for, as even as can be. Window `i` of `n` over `p` pixels is
//! `floor(i p / n) .. ceil((i + 1) p / n)`; neighbours may share pixels. `y[o, c] = max x[p, c]` over the pixels of window `o`;
//! `dx` of the first largest pixel `+= dy[o, c]`.

use serde::{Deserialize, Serialize};

use super::operation::{Of, Operation, check_pixels};
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::kernels::pool::Axis;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer};
use crate::layers::args::{DataFormat, Sizes};
use crate::layers::geometry;
use crate::shape::{Dims, Shape};

/// Adaptive max pooling of sequences. [Keras](https://keras.io/api/layers/pooling_layers/adaptive_max_pooling1d/)
///
/// Input `(batch, steps, channels)`; arguments are those of [`AdaptiveMaxPooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([3, 1]).add(AdaptiveMaxPooling1D::new(2));
/// model.build([3, 1])?;
/// let y = model.predict(&ndarray::array![[[1.0f32], [4.0], [2.0]]])?;
/// assert_eq!(y, ndarray::array![[[4.0], [4.0]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type AdaptiveMaxPooling1D = AdaptiveMaxPooling<1>;

/// Adaptive max pooling of images. [Keras](https://keras.io/api/layers/pooling_layers/adaptive_max_pooling2d/)
///
/// Input `(batch, height, width, channels)`; arguments are those of [`AdaptiveMaxPooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 7, 2]).add(AdaptiveMaxPooling2D::new([2, 3]));
/// model.build([5, 7, 2])?;
/// let y = model.predict(&ndarray::Array4::<f32>::ones((1, 5, 7, 2)))?;
/// assert_eq!(y, ndarray::Array4::<f32>::ones((1, 2, 3, 2)).into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type AdaptiveMaxPooling2D = AdaptiveMaxPooling<2>;

/// Adaptive max pooling of volumes. [Keras](https://keras.io/api/layers/pooling_layers/adaptive_max_pooling3d/)
///
/// Input `(batch, depth, height, width, channels)`; arguments are those of [`AdaptiveMaxPooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 7, 4, 2]).add(AdaptiveMaxPooling3D::new([2, 3, 1]));
/// model.build([5, 7, 4, 2])?;
/// let y = model.predict(&ndarray::Array5::<f32>::ones((1, 5, 7, 4, 2)))?;
/// assert_eq!(y, ndarray::Array5::<f32>::ones((1, 2, 3, 1, 2)).into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type AdaptiveMaxPooling3D = AdaptiveMaxPooling<3>;

/// The largest number of every one of a fixed number of windows along `R` spatial axes: [`AdaptiveMaxPooling1D`], [`AdaptiveMaxPooling2D`],
/// [`AdaptiveMaxPooling3D`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `output_size` | | windows, one number or one for each axis |
/// | `data_format` | `"channels_last"` | or `"channels_first"`: `(batch, channels, space..)` |
///
/// It is an error if a number is zero.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveMaxPooling<const R: usize> {
    output_size: Sizes<R>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl<const R: usize> AdaptiveMaxPooling<R> {
    /// With so many windows.
    pub fn new(output_size: impl Into<Sizes<R>>) -> Self {
        AdaptiveMaxPooling {
            output_size: output_size.into(),
            data_format: DataFormat::ChannelsLast,
        }
    }

    /// Where the channels are.
    pub fn data_format(mut self, format: impl Into<DataFormat>) -> Self {
        self.data_format = format.into();
        self
    }

    fn operation(&self, input: &[usize]) -> Operation {
        Operation::new::<R>(Of::Max, self.data_format, input, |a, pixels| {
            let out = self.output_size.0[a];
            Axis::Adaptive { pixels, out }
        })
    }
}

impl<const R: usize> Layer for AdaptiveMaxPooling<R> {
    fn class_name(&self) -> &'static str {
        [
            "AdaptiveMaxPooling1D",
            "AdaptiveMaxPooling2D",
            "AdaptiveMaxPooling3D",
        ][R - 1]
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        geometry::check_positive("output_size", self.output_size)?;
        geometry::check_len("output", &self.output_size.0)?;
        let (space, channels) = geometry::split::<R>(self.data_format, inputs)?;
        check_pixels(space, inputs)?;
        geometry::join(self.data_format, self.output_size.0.map(Some), channels)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.operation(&inputs[0]).buffers()
    }

    fn inference_buffers(&self, _inputs: &[Dims]) -> Buffers {
        Buffers::default()
    }

    fn contract(&self) -> Contract {
        Operation::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        self.operation(cx.x[0].shape).forward(cx);
    }

    fn backward(&self, cx: Backward<'_>) {
        self.operation(cx.x[0].shape).backward(cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(AdaptiveMaxPooling1D::new(2), &[[5, 3].into()]);
        check_layer(AdaptiveMaxPooling1D::new(4), &[[3, 2].into()]);
        check_layer(AdaptiveMaxPooling2D::new([2, 3]), &[[5, 7, 2].into()]);
        check_layer(
            AdaptiveMaxPooling2D::new(2).data_format("channels_first"),
            &[[2, 3, 5].into()],
        );
        check_layer(AdaptiveMaxPooling3D::new([1, 2, 2]), &[[2, 3, 4, 2].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        let zero = AdaptiveMaxPooling2D::new([2, 0]).output_shape(&[[4, 4, 1].into()]);
        assert!(zero.unwrap_err().to_string().contains("`output_size`"));
        let huge = AdaptiveMaxPooling2D::new(usize::MAX).output_shape(&[[4, 4, 1].into()]);
        assert!(huge.is_err());
        assert!(
            AdaptiveMaxPooling2D::new(2)
                .output_shape(&[[0, 4, 1].into()])
                .is_err()
        );
        assert!(
            AdaptiveMaxPooling2D::new(2)
                .output_shape(&[[4, 1].into()])
                .is_err()
        );
    }
}
