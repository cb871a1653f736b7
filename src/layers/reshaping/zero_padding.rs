//! Zero padding: each sample in a box of zeros. `dx` is what of `dy` lies in the box of the sample.

use serde::{Deserialize, Serialize};

use super::borders;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::layer::{Backward, Contract, Forward, Layer};
use crate::layers::args::{Borders, DataFormat, Sizes};
use crate::shape::Shape;

/// Adds steps of zeros at both ends. [Keras](https://keras.io/api/layers/reshaping_layers/zero_padding1d/)
///
/// Input `(batch, steps, channels)`, or channels behind the batch, and output likewise. Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `padding` | 1 | how many: one number for both ends or `(before, after)` |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::ZeroPadding1D, prelude::*};
/// let shape = ZeroPadding1D::new((1, 2)).output_shape(&[[6, 3].into()])?;
/// assert_eq!(shape, Shape::from([9, 3]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroPadding1D {
    #[serde(default = "padding1")]
    padding: Sizes<2>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

fn padding1() -> Sizes<2> {
    Sizes([1, 1])
}

impl Default for ZeroPadding1D {
    fn default() -> Self {
        ZeroPadding1D::new(padding1())
    }
}

impl ZeroPadding1D {
    /// Adds so many: one number for both ends or `(before, after)`.
    pub fn new(padding: impl Into<Sizes<2>>) -> Self {
        ZeroPadding1D {
            padding: padding.into(),
            data_format: DataFormat::default(),
        }
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Layer for ZeroPadding1D {
    fn class_name(&self) -> &'static str {
        "ZeroPadding1D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.data_format.check()?;
        output_shape(
            inputs,
            self.data_format.first_spatial(),
            &[self.padding.0],
            "batch, steps, channels",
        )
    }

    fn contract(&self) -> Contract {
        borders::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        let (x, y) = ((cx.x[0].data, cx.x[0].shape), (cx.y.data, cx.y.shape));
        borders::paste(
            x,
            self.data_format.first_spatial(),
            &[self.padding.0],
            y,
            cx.par,
        );
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            let (dy, dx) = ((&*cx.dy.data, cx.dy.shape), (&mut *dx.data, dx.shape));
            borders::cut(
                dy,
                self.data_format.first_spatial(),
                &[self.padding.0],
                dx,
                cx.par,
            );
        }
    }
}

/// Adds rows and columns of zeros at both ends. [Keras](https://keras.io/api/layers/reshaping_layers/zero_padding2d/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `padding` | 1 | how many: one number, one for each axis, or `(before, after)` for each |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::ZeroPadding2D, prelude::*};
/// let shape = ZeroPadding2D::new([(1, 2), (0, 1)]).output_shape(&[[5, 6, 2].into()])?;
/// assert_eq!(shape, Shape::from([8, 7, 2]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroPadding2D {
    #[serde(default = "padding2")]
    padding: Borders<2>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

fn padding2() -> Borders<2> {
    Borders([[1, 1]; 2])
}

impl Default for ZeroPadding2D {
    fn default() -> Self {
        ZeroPadding2D::new(padding2())
    }
}

impl ZeroPadding2D {
    /// Adds so many: one number, one for each axis, or `(before, after)` for each.
    pub fn new(padding: impl Into<Borders<2>>) -> Self {
        ZeroPadding2D {
            padding: padding.into(),
            data_format: DataFormat::default(),
        }
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Layer for ZeroPadding2D {
    fn class_name(&self) -> &'static str {
        "ZeroPadding2D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.data_format.check()?;
        output_shape(
            inputs,
            self.data_format.first_spatial(),
            &self.padding.0,
            "batch, height, width, channels",
        )
    }

    fn contract(&self) -> Contract {
        borders::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        let (x, y) = ((cx.x[0].data, cx.x[0].shape), (cx.y.data, cx.y.shape));
        borders::paste(
            x,
            self.data_format.first_spatial(),
            &self.padding.0,
            y,
            cx.par,
        );
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            let (dy, dx) = ((&*cx.dy.data, cx.dy.shape), (&mut *dx.data, dx.shape));
            borders::cut(
                dy,
                self.data_format.first_spatial(),
                &self.padding.0,
                dx,
                cx.par,
            );
        }
    }
}

/// Adds planes, rows and columns of zeros at both ends. [Keras](https://keras.io/api/layers/reshaping_layers/zero_padding3d/)
///
/// Input `(batch, depth, height, width, channels)`, or channels behind the batch, and output likewise. Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `padding` | 1 | how many: one number, one for each axis, or `(before, after)` for each |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::ZeroPadding3D, prelude::*};
/// let shape = ZeroPadding3D::new([(1, 0), (0, 2), (1, 1)]).output_shape(&[[4, 5, 6, 2].into()])?;
/// assert_eq!(shape, Shape::from([5, 7, 8, 2]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroPadding3D {
    #[serde(default = "padding3")]
    padding: Borders<3>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

fn padding3() -> Borders<3> {
    Borders([[1, 1]; 3])
}

impl Default for ZeroPadding3D {
    fn default() -> Self {
        ZeroPadding3D::new(padding3())
    }
}

impl ZeroPadding3D {
    /// Adds so many: one number, one for each axis, or `(before, after)` for each.
    pub fn new(padding: impl Into<Borders<3>>) -> Self {
        ZeroPadding3D {
            padding: padding.into(),
            data_format: DataFormat::default(),
        }
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Layer for ZeroPadding3D {
    fn class_name(&self) -> &'static str {
        "ZeroPadding3D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.data_format.check()?;
        output_shape(
            inputs,
            self.data_format.first_spatial(),
            &self.padding.0,
            "batch, depth, height, width, channels",
        )
    }

    fn contract(&self) -> Contract {
        borders::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        let (x, y) = ((cx.x[0].data, cx.x[0].shape), (cx.y.data, cx.y.shape));
        borders::paste(
            x,
            self.data_format.first_spatial(),
            &self.padding.0,
            y,
            cx.par,
        );
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            let (dy, dx) = ((&*cx.dy.data, cx.dy.shape), (&mut *dx.data, dx.shape));
            borders::cut(
                dy,
                self.data_format.first_spatial(),
                &self.padding.0,
                dx,
                cx.par,
            );
        }
    }
}

fn output_shape(
    inputs: &[Shape],
    first: usize,
    padding: &[[usize; 2]],
    axes: &str,
) -> Result<Shape> {
    borders::shape(inputs, first, padding, axes, usize::checked_add, |x| {
        let want = format!("sizes that can be added to {x}");
        Error::arg("padding", want, format!("{padding:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(ZeroPadding1D::new((2, 1)), &[[4, 3].into()]);
        check_layer(
            ZeroPadding1D::new(1).data_format("channels_first"),
            &[[3, 4].into()],
        );
        check_layer(ZeroPadding2D::new([(1, 0), (2, 1)]), &[[3, 4, 2].into()]);
        let first = ZeroPadding2D::new([(0, 1), (2, 1)]).data_format("channels_first");
        check_layer(first, &[[2, 3, 4].into()]);
        check_layer(
            ZeroPadding3D::new([(1, 0), (0, 1), (2, 1)]),
            &[[2, 3, 2, 2].into()],
        );
        check_layer(
            ZeroPadding3D::new(1).data_format("channels_first"),
            &[[2, 1, 2, 3].into()],
        );
    }

    #[test]
    fn zeros_are_around() {
        let layer = ZeroPadding2D::new([(1, 0), (0, 1)]);
        let (y, _) = apply(&layer, &[(&[1.0, 2.0, 3.0, 4.0], &[1, 2, 1])], &[None], &[]);
        assert_eq!(
            y,
            [0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0]
        );
    }

    #[test]
    fn mistakes_are_named() {
        let shape =
            |padding: [usize; 2]| ZeroPadding2D::new(padding).output_shape(&[[5, 5, 1].into()]);
        assert!(shape([usize::MAX, 1]).is_err());
        assert!(shape([usize::MAX / 2, 1]).is_err());
        assert!(shape([1 << 60, 1]).is_err());
        assert!(
            ZeroPadding1D::default()
                .output_shape(&[[5].into()])
                .is_err()
        );
    }
}
