//! Global max pooling: `y[c] = max x[p, c]` over all pixels `p`; `dx` of the first largest pixel is `dy[c]`, of the others 0.

use serde::{Deserialize, Serialize};

use super::operation::{Of, Operation, check_pixels};
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::kernels::pool::Axis;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer};
use crate::layers::args::DataFormat;
use crate::layers::geometry;
use crate::shape::{Dims, Shape};

/// Global max pooling of sequences. [Keras](https://keras.io/api/layers/pooling_layers/global_max_pooling1d/)
///
/// Input `(batch, steps, channels)`, output `(batch, channels)`; arguments are those of [`GlobalMaxPooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([3, 1]).add(GlobalMaxPooling1D::new());
/// model.build([3, 1])?;
/// let y = model.predict(&ndarray::array![[[1.0f32], [3.0], [2.0]]])?;
/// assert_eq!(y, ndarray::array![[3.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type GlobalMaxPooling1D = GlobalMaxPooling<1>;

/// Global max pooling of images. [Keras](https://keras.io/api/layers/pooling_layers/global_max_pooling2d/)
///
/// Input `(batch, height, width, channels)`, output `(batch, channels)`; arguments are those of [`GlobalMaxPooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 7, 2]).add(GlobalMaxPooling2D::new().keepdims(true));
/// model.build([5, 7, 2])?;
/// let y = model.predict(&ndarray::Array4::<f32>::ones((1, 5, 7, 2)))?;
/// assert_eq!(y, ndarray::Array4::<f32>::ones((1, 1, 1, 2)).into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type GlobalMaxPooling2D = GlobalMaxPooling<2>;

/// Global max pooling of volumes. [Keras](https://keras.io/api/layers/pooling_layers/global_max_pooling3d/)
///
/// Input `(batch, depth, height, width, channels)`, output `(batch, channels)`; arguments are those of [`GlobalMaxPooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 7, 4, 2]).add(GlobalMaxPooling3D::new().keepdims(true));
/// model.build([5, 7, 4, 2])?;
/// let y = model.predict(&ndarray::Array5::<f32>::ones((1, 5, 7, 4, 2)))?;
/// assert_eq!(y, ndarray::Array5::<f32>::ones((1, 1, 1, 1, 2)).into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type GlobalMaxPooling3D = GlobalMaxPooling<3>;

/// The largest number of each channel along `R` spatial axes: [`GlobalMaxPooling1D`], [`GlobalMaxPooling2D`],
/// [`GlobalMaxPooling3D`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `data_format` | `"channels_last"` | or `"channels_first"`: `(batch, channels, space..)` |
/// | `keepdims` | false | whether the spatial axes stay, with size 1 |
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalMaxPooling<const R: usize> {
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
    #[serde(default)]
    keepdims: bool,
}

impl<const R: usize> GlobalMaxPooling<R> {
    /// Without arguments.
    pub fn new() -> Self {
        GlobalMaxPooling::default()
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
        Operation::new::<R>(Of::Max, self.data_format, input, |_, pixels| {
            Axis::Adaptive { pixels, out: 1 }
        })
    }
}

impl<const R: usize> Layer for GlobalMaxPooling<R> {
    fn class_name(&self) -> &'static str {
        [
            "GlobalMaxPooling1D",
            "GlobalMaxPooling2D",
            "GlobalMaxPooling3D",
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
        check_layer(GlobalMaxPooling1D::new(), &[[4, 3].into()]);
        check_layer(
            GlobalMaxPooling1D::new()
                .keepdims(true)
                .data_format("channels_first"),
            &[[3, 4].into()],
        );
        check_layer(
            GlobalMaxPooling2D::new().keepdims(true),
            &[[3, 2, 9].into()],
        );
        check_layer(
            GlobalMaxPooling2D::new().data_format("channels_first"),
            &[[3, 2, 4].into()],
        );
        check_layer(GlobalMaxPooling3D::new(), &[[2, 3, 2, 2].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = GlobalMaxPooling2D::new()
            .data_format("last")
            .output_shape(&[[4, 4, 1].into()]);
        assert!(wrong.unwrap_err().to_string().contains("`data_format`"));
        assert!(
            GlobalMaxPooling2D::new()
                .output_shape(&[[0, 4, 1].into()])
                .is_err()
        );
        assert!(
            GlobalMaxPooling2D::new()
                .output_shape(&[[4, 1].into()])
                .is_err()
        );
        let y = GlobalMaxPooling2D::new().output_shape(&[[None, None, Some(3)].into()]);
        assert_eq!(y.unwrap(), [3].into());
    }
}
