//! Max pooling: `y[o, c] = max x[p, c]` over the pixels `p` of window `o`; `dx` of the first largest pixel `+= dy[o, c]`.
//!
//! Forward notes in training which pixel of the window it was. Padding is never the largest.

use serde::{Deserialize, Serialize};

use super::operation::{Of, Operation, Strided};
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer};
use crate::layers::args::{DataFormat, Sizes};
use crate::layers::geometry::Padding;
use crate::shape::{Dims, Shape};

/// Max pooling of sequences. [Keras](https://keras.io/api/layers/pooling_layers/max_pooling1d/)
///
/// Input `(batch, steps, channels)`; arguments are those of [`MaxPooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([4, 1]).add(MaxPooling1D::new(2));
/// model.build([4, 1])?;
/// let y = model.predict(&ndarray::array![[[1.0f32], [4.0], [3.0], [2.0]]])?;
/// assert_eq!(y, ndarray::array![[[4.0], [3.0]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type MaxPooling1D = MaxPooling<1>;

/// Max pooling of images. [Keras](https://keras.io/api/layers/pooling_layers/max_pooling2d/)
///
/// Input `(batch, height, width, channels)`; arguments are those of [`MaxPooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 4, 3]).add(MaxPooling2D::new(2).padding("same"));
/// model.build([5, 4, 3])?;
/// let y = model.predict(&ndarray::Array4::<f32>::ones((2, 5, 4, 3)))?;
/// assert_eq!(y, ndarray::Array4::<f32>::ones((2, 3, 2, 3)).into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type MaxPooling2D = MaxPooling<2>;

/// Max pooling of volumes. [Keras](https://keras.io/api/layers/pooling_layers/max_pooling3d/)
///
/// Input `(batch, depth, height, width, channels)`; arguments are those of [`MaxPooling`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([4, 4, 6, 1]).add(MaxPooling3D::new([1, 2, 3]).strides([2, 2, 1]));
/// model.build([4, 4, 6, 1])?;
/// let y = model.predict(&ndarray::Array5::<f32>::ones((1, 4, 4, 6, 1)))?;
/// assert_eq!(y, ndarray::Array5::<f32>::ones((1, 2, 2, 4, 1)).into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type MaxPooling3D = MaxPooling<3>;

/// The largest number of every window along `R` spatial axes: [`MaxPooling1D`], [`MaxPooling2D`], [`MaxPooling3D`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `pool_size` | 2 | pixels in a window, one number or one for each axis |
/// | `strides` | `pool_size` | distance of neighbouring windows |
/// | `padding` | `"valid"` | `"same"`: windows may reach over the borders, where nothing is counted |
/// | `data_format` | `"channels_last"` | or `"channels_first"`: `(batch, channels, space..)` |
///
/// It is an error if a number is zero or if no window fits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPooling<const R: usize> {
    #[serde(default = "two")]
    pool_size: Sizes<R>,
    #[serde(default)]
    padding: Padding,
    #[serde(default)]
    strides: Option<Sizes<R>>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

fn two<const R: usize>() -> Sizes<R> {
    Sizes([2; R])
}

impl<const R: usize> MaxPooling<R> {
    /// With windows of this size, side by side.
    pub fn new(pool_size: impl Into<Sizes<R>>) -> Self {
        MaxPooling {
            pool_size: pool_size.into(),
            padding: Padding::Valid,
            strides: None,
            data_format: DataFormat::ChannelsLast,
        }
    }

    /// Distance of neighbouring windows.
    pub fn strides(mut self, strides: impl Into<Sizes<R>>) -> Self {
        self.strides = Some(strides.into());
        self
    }

    /// What happens at the borders.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into();
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, format: impl Into<DataFormat>) -> Self {
        self.data_format = format.into();
        self
    }

    fn windows(&self) -> Strided<'_, R> {
        Strided {
            pool_size: self.pool_size,
            strides: self.strides.unwrap_or(self.pool_size),
            padding: &self.padding,
            format: self.data_format,
        }
    }
}

impl<const R: usize> Default for MaxPooling<R> {
    fn default() -> Self {
        MaxPooling::new(2)
    }
}

impl<const R: usize> Layer for MaxPooling<R> {
    fn class_name(&self) -> &'static str {
        ["MaxPooling1D", "MaxPooling2D", "MaxPooling3D"][R - 1]
    }

    fn config(&self) -> Config {
        // Keras writes what the strides default to.
        to_config(&self.clone().strides(self.windows().strides))
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.windows().output_shape(inputs)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.windows().operation(Of::Max, &inputs[0]).buffers()
    }

    fn inference_buffers(&self, _inputs: &[Dims]) -> Buffers {
        Buffers::default()
    }

    fn contract(&self) -> Contract {
        Operation::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        self.windows().operation(Of::Max, cx.x[0].shape).forward(cx);
    }

    fn backward(&self, cx: Backward<'_>) {
        self.windows()
            .operation(Of::Max, cx.x[0].shape)
            .backward(cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(MaxPooling1D::new(2), &[[6, 3].into()]);
        check_layer(
            MaxPooling1D::new(3).strides(1).padding("same"),
            &[[5, 2].into()],
        );
        check_layer(
            MaxPooling1D::new(2).data_format("channels_first"),
            &[[3, 5].into()],
        );
        check_layer(MaxPooling2D::new(2), &[[4, 6, 3].into()]);
        check_layer(MaxPooling2D::new(2), &[[5, 3, 9].into()]);
        check_layer(
            MaxPooling2D::new([3, 2]).strides([2, 1]).padding("same"),
            &[[4, 5, 2].into()],
        );
        check_layer(
            MaxPooling2D::new(3)
                .strides(2)
                .data_format("channels_first"),
            &[[2, 5, 6].into()],
        );
        check_layer(MaxPooling2D::new(2).strides(3), &[[6, 7, 1].into()]);
        check_layer(MaxPooling3D::new(2), &[[2, 4, 3, 2].into()]);
        check_layer(
            MaxPooling3D::new([1, 2, 3]).strides(2).padding("same"),
            &[[3, 3, 4, 2].into()],
        );
    }

    #[test]
    fn strides_default_to_the_size() {
        let config = MaxPooling2D::new([3, 2]).config();
        assert_eq!(config["strides"], serde_json::json!([3, 2]));
        let file: Config = serde_json::from_str(r#"{"pool_size": 3, "strides": null}"#).unwrap();
        let layer: MaxPooling1D = crate::config::from_config("MaxPooling1D", &file).unwrap();
        assert_eq!(
            layer.output_shape(&[[None, Some(4)].into()]).unwrap(),
            [None, Some(4)].into()
        );
        assert_eq!(layer.output_shape(&[[7, 4].into()]).unwrap(), [2, 4].into());
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: MaxPooling2D, input: [usize; 3]| {
            layer.output_shape(&[input.into()]).unwrap_err().to_string()
        };
        assert!(refused(MaxPooling2D::new(0), [4, 4, 1]).contains("`pool_size`"));
        assert!(refused(MaxPooling2D::new(2).strides([1, 0]), [4, 4, 1]).contains("`strides`"));
        assert!(refused(MaxPooling2D::new(2).padding("causal"), [4, 4, 1]).contains("`padding`"));
        assert!(
            refused(MaxPooling2D::new(2).data_format("x"), [4, 4, 1]).contains("`data_format`")
        );
        assert!(refused(MaxPooling2D::new(5), [4, 4, 1]).contains("at least one window"));
        assert!(MaxPooling2D::new(2).output_shape(&[[4, 4].into()]).is_err());
    }
}
