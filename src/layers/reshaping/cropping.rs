//! Cropping: a box of each sample. `dx` is `dy` in that box, and 0 around it.

use serde::{Deserialize, Serialize};

use super::borders;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::layer::{Backward, Contract, Forward, Layer};
use crate::layers::args::{Borders, DataFormat, Sizes};
use crate::shape::Shape;

/// Takes steps away at both ends. [Keras](https://keras.io/api/layers/reshaping_layers/cropping1d/)
///
/// Input `(batch, steps, channels)` and output likewise. Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `cropping` | (1, 1) | how many: one number for both ends or `(before, after)` |
///
/// ```
/// use oxhorn::{layers::Cropping1D, prelude::*};
/// let shape = Cropping1D::new((1, 2)).output_shape(&[[6, 3].into()])?;
/// assert_eq!(shape, Shape::from([3, 3]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cropping1D {
    #[serde(default = "cropping1")]
    cropping: Sizes<2>,
}

fn cropping1() -> Sizes<2> {
    Sizes([1, 1])
}

impl Default for Cropping1D {
    fn default() -> Self {
        Cropping1D::new(cropping1())
    }
}

impl Cropping1D {
    /// Takes so many: one number for both ends or `(before, after)`.
    pub fn new(cropping: impl Into<Sizes<2>>) -> Self {
        Cropping1D {
            cropping: cropping.into(),
        }
    }
}

impl Layer for Cropping1D {
    fn class_name(&self) -> &'static str {
        "Cropping1D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        output_shape(inputs, 0, &[self.cropping.0], "batch, steps, channels")
    }

    fn contract(&self) -> Contract {
        borders::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        let (x, y) = ((cx.x[0].data, cx.x[0].shape), (cx.y.data, cx.y.shape));
        borders::cut(x, 0, &[self.cropping.0], y, cx.par);
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            let (dy, dx) = ((&*cx.dy.data, cx.dy.shape), (&mut *dx.data, dx.shape));
            borders::paste(dy, 0, &[self.cropping.0], dx, cx.par);
        }
    }
}

/// Takes rows and columns away at both ends. [Keras](https://keras.io/api/layers/reshaping_layers/cropping2d/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `cropping` | 0 | how many: one number, one for each axis, or `(before, after)` for each |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::Cropping2D, prelude::*};
/// let shape = Cropping2D::new([(1, 2), (0, 1)]).output_shape(&[[5, 6, 2].into()])?;
/// assert_eq!(shape, Shape::from([2, 5, 2]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cropping2D {
    #[serde(default = "cropping2")]
    cropping: Borders<2>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

fn cropping2() -> Borders<2> {
    Borders([[0, 0]; 2])
}

impl Default for Cropping2D {
    fn default() -> Self {
        Cropping2D::new(cropping2())
    }
}

impl Cropping2D {
    /// Takes so many: one number, one for each axis, or `(before, after)` for each.
    pub fn new(cropping: impl Into<Borders<2>>) -> Self {
        Cropping2D {
            cropping: cropping.into(),
            data_format: DataFormat::default(),
        }
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Layer for Cropping2D {
    fn class_name(&self) -> &'static str {
        "Cropping2D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.data_format.check()?;
        output_shape(
            inputs,
            self.data_format.first_spatial(),
            &self.cropping.0,
            "batch, height, width, channels",
        )
    }

    fn contract(&self) -> Contract {
        borders::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        let (x, y) = ((cx.x[0].data, cx.x[0].shape), (cx.y.data, cx.y.shape));
        borders::cut(
            x,
            self.data_format.first_spatial(),
            &self.cropping.0,
            y,
            cx.par,
        );
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            let (dy, dx) = ((&*cx.dy.data, cx.dy.shape), (&mut *dx.data, dx.shape));
            borders::paste(
                dy,
                self.data_format.first_spatial(),
                &self.cropping.0,
                dx,
                cx.par,
            );
        }
    }
}

/// Takes planes, rows and columns away at both ends. [Keras](https://keras.io/api/layers/reshaping_layers/cropping3d/)
///
/// Input `(batch, depth, height, width, channels)`, or channels behind the batch, and output likewise. Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `cropping` | 1 | how many: one number, one for each axis, or `(before, after)` for each |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::Cropping3D, prelude::*};
/// let shape = Cropping3D::new([(1, 0), (0, 2), (1, 1)]).output_shape(&[[4, 5, 6, 2].into()])?;
/// assert_eq!(shape, Shape::from([3, 3, 4, 2]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cropping3D {
    #[serde(default = "cropping3")]
    cropping: Borders<3>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

fn cropping3() -> Borders<3> {
    Borders([[1, 1]; 3])
}

impl Default for Cropping3D {
    fn default() -> Self {
        Cropping3D::new(cropping3())
    }
}

impl Cropping3D {
    /// Takes so many: one number, one for each axis, or `(before, after)` for each.
    pub fn new(cropping: impl Into<Borders<3>>) -> Self {
        Cropping3D {
            cropping: cropping.into(),
            data_format: DataFormat::default(),
        }
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Layer for Cropping3D {
    fn class_name(&self) -> &'static str {
        "Cropping3D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.data_format.check()?;
        output_shape(
            inputs,
            self.data_format.first_spatial(),
            &self.cropping.0,
            "batch, depth, height, width, channels",
        )
    }

    fn contract(&self) -> Contract {
        borders::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        let (x, y) = ((cx.x[0].data, cx.x[0].shape), (cx.y.data, cx.y.shape));
        borders::cut(
            x,
            self.data_format.first_spatial(),
            &self.cropping.0,
            y,
            cx.par,
        );
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            let (dy, dx) = ((&*cx.dy.data, cx.dy.shape), (&mut *dx.data, dx.shape));
            borders::paste(
                dy,
                self.data_format.first_spatial(),
                &self.cropping.0,
                dx,
                cx.par,
            );
        }
    }
}

fn output_shape(
    inputs: &[Shape],
    first: usize,
    cropping: &[[usize; 2]],
    axes: &str,
) -> Result<Shape> {
    let smaller = |size: usize, border: usize| size.checked_sub(border).filter(|n| *n > 0);
    borders::shape(inputs, first, cropping, axes, smaller, |x| {
        let want = format!("less than the sizes of {x}");
        Error::arg("cropping", want, format!("{cropping:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::Float;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(Cropping1D::new((1, 2)), &[[6, 3].into()]);
        check_layer(Cropping1D::new(0), &[[6, 3].into()]);
        check_layer(Cropping2D::new([(1, 2), (0, 1)]), &[[5, 6, 2].into()]);
        let first = Cropping2D::new([(0, 1), (2, 0)]).data_format("channels_first");
        check_layer(first, &[[2, 4, 5].into()]);
        check_layer(
            Cropping3D::new([(1, 0), (0, 2), (1, 1)]),
            &[[4, 5, 4, 2].into()],
        );
        check_layer(
            Cropping3D::new(1).data_format("channels_first"),
            &[[2, 3, 4, 3].into()],
        );
    }

    #[test]
    fn the_box_is_in_its_place() {
        let x: Vec<Float> = (0..2 * 3 * 4).map(|i| i as Float).collect();
        let layer = Cropping2D::new([(1, 0), (1, 2)]);
        let (y, _) = apply(&layer, &[(&x, &[3, 4, 1])], &[None], &[]);
        assert_eq!(y, [5.0, 9.0, 17.0, 21.0]);
    }

    #[test]
    fn mistakes_are_named() {
        let e = Cropping1D::new(3)
            .output_shape(&[[6, 3].into()])
            .unwrap_err();
        assert_eq!(
            e.owned_by("c").to_string(),
            "c: argument `cropping`: expected less than the sizes of (None, 6, 3), got [[3, 3]]"
        );
        let huge = Cropping2D::new([usize::MAX, 1]);
        assert!(huge.output_shape(&[[5, 5, 1].into()]).is_err());
        assert!(
            Cropping2D::default()
                .output_shape(&[[5, 5].into()])
                .is_err()
        );
        assert!(
            Cropping2D::default()
                .data_format("x")
                .output_shape(&[[5, 5, 1].into()])
                .is_err()
        );
    }
}
