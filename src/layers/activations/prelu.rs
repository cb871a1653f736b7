//! `y = x` above 0, `alpha x` below, with `alpha` trained.
//!
//! `dx = dy` above 0, `dy alpha` below, 0 at 0; `dalpha += dy x` below 0, summed over the batch and the shared axes.

use serde::{Deserialize, Deserializer, Serialize};

use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::spread::Spread;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, MaskRule, Weight};
use crate::layers::args::{one_input, zeros};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Rectified linear unit with a trained slope below 0. [Keras](https://keras.io/api/layers/activation_layers/prelu/)
///
/// Input and output have the same shape; masks are passed on. Weight `alpha` of the shape of a sample, with size 1 along shared
/// axes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `alpha_initializer` | `zeros` | how the slopes start |
/// | `alpha_regularizer` | none | penalty added to the loss |
/// | `alpha_constraint` | none | projection after each update |
/// | `shared_axes` | none | axes along which slopes are shared, counted with the batch axis (which cannot be named) |
///
/// ```
/// use oxhorn::{layers::PReLU, prelude::*};
/// let mut model = Sequential::new().input([2]).add(PReLU::new().alpha_initializer("ones"));
/// model.build([2])?;
/// assert_eq!(model.predict(&ndarray::array![[-1.0f32, 2.0]])?, ndarray::array![[-1.0, 2.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PReLU {
    #[serde(default = "zeros")]
    alpha_initializer: Initializer,
    #[serde(default)]
    alpha_regularizer: Option<Regularizer>,
    #[serde(default)]
    alpha_constraint: Option<Constraint>,
    #[serde(default, deserialize_with = "one_or_many")]
    shared_axes: Option<Vec<usize>>,
}

fn one_or_many<'de, D: Deserializer<'de>>(
    d: D,
) -> std::result::Result<Option<Vec<usize>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        One(usize),
        Many(Vec<usize>),
    }
    let form = Option::<Form>::deserialize(d)?;
    Ok(form.map(|form| match form {
        Form::One(axis) => vec![axis],
        Form::Many(axes) => axes,
    }))
}

impl Default for PReLU {
    fn default() -> Self {
        PReLU::new()
    }
}

impl PReLU {
    /// With a slope for every feature of a sample.
    pub fn new() -> Self {
        PReLU {
            alpha_initializer: zeros(),
            alpha_regularizer: None,
            alpha_constraint: None,
            shared_axes: None,
        }
    }

    /// How the slopes start.
    pub fn alpha_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.alpha_initializer = initializer.into();
        self
    }

    /// Penalty on the slopes.
    pub fn alpha_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.alpha_regularizer = Some(regularizer.into());
        self
    }

    /// Projection of the slopes after each update.
    pub fn alpha_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.alpha_constraint = Some(constraint.into());
        self
    }

    /// Axes along which slopes are shared; 1 is the first behind the batch.
    pub fn shared_axes(mut self, axes: impl Into<Vec<usize>>) -> Self {
        self.shared_axes = Some(axes.into());
        self
    }

    fn is_shared(&self, axis: usize) -> bool {
        self.shared_axes
            .as_ref()
            .is_some_and(|axes| axes.contains(&(axis + 1)))
    }

    /// Shape of the slopes for samples of this shape.
    fn alpha(&self, shape: &[usize]) -> Dims {
        let mut dims = Dims::default();
        for (axis, &size) in shape.iter().enumerate() {
            dims.push(if self.is_shared(axis) { 1 } else { size });
        }
        dims
    }
}

impl Layer for PReLU {
    fn class_name(&self) -> &'static str {
        "PReLU"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = one_input(inputs)?;
        let axes = self.shared_axes.as_deref().unwrap_or_default();
        if let Some(axis) = axes.iter().find(|a| !(1..=x.rank()).contains(*a)) {
            let want = format!("axes from 1 to {}", x.rank());
            return Err(Error::arg("shared_axes", want, axis));
        }
        for (axis, size) in x.dims().iter().enumerate() {
            if size.is_none() && !self.is_shared(axis) {
                let want = "an input whose sizes are known along all axes that are not shared";
                return Err(Error::shape(want, x));
            }
        }
        Ok(x.clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let sizes: Vec<usize> = inputs[0].dims().iter().map(|d| d.unwrap_or(1)).collect();
        let alpha = Weight::new("alpha", self.alpha(&sizes), &self.alpha_initializer)
            .regularizer(&self.alpha_regularizer)
            .constraint(&self.alpha_constraint);
        Ok(vec![alpha])
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        Buffers {
            scratch: vec![Len::PerSample(inputs[0].numel())],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            mask: MaskRule::Pass,
            ..Contract::default()
        }
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let (alpha, shape) = (cx.w.next().expect("alpha"), cx.y.shape);
        cx.y.data.copy_from_slice(cx.x[0].data);
        Spread::shared(cx.y.batch, shape, &self.alpha(shape)).apply(
            alpha,
            cx.y.data,
            cx.par,
            |alpha, y| y.iter_mut().zip(alpha).for_each(|(y, a)| *y = leak(*y, *a)),
            |alpha, y| y.iter_mut().for_each(|y| *y = leak(*y, alpha)),
        );
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let (alpha, shape, x) = (cx.w.next().expect("alpha"), cx.dy.shape, cx.x[0].data);
        let spread = Spread::shared(cx.dy.batch, shape, &self.alpha(shape));
        if let Some(dalpha) = cx.dw.as_mut().and_then(Iterator::next) {
            let product = cx.scratch.next().expect("declared");
            for ((p, x), dy) in product.iter_mut().zip(x).zip(&*cx.dy.data) {
                *p = dy * x.min(0.0);
            }
            spread.add_sums(product, dalpha);
        }
        if let Some(dx) = &mut cx.dx[0] {
            // First the slopes, then the product: the sweep over alpha sees one other slice.
            dx.data.copy_from_slice(x);
            spread.apply(
                alpha,
                dx.data,
                cx.par,
                |alpha, x| {
                    x.iter_mut()
                        .zip(alpha)
                        .for_each(|(x, a)| *x = slope(*x, *a))
                },
                |alpha, x| x.iter_mut().for_each(|x| *x = slope(*x, alpha)),
            );
            crate::kernels::elementwise::mul(cx.dy.data, dx.data);
        }
    }
}

fn leak(x: Float, alpha: Float) -> Float {
    if x < 0.0 { alpha * x } else { x }
}

/// As Keras computes it (from two rectifiers), the slope at 0 is 0.
fn slope(x: Float, alpha: Float) -> Float {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        alpha
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(PReLU::new(), &[[3, 4].into()]);
        check_layer(PReLU::new().shared_axes([1]), &[[3, 4].into()]);
        check_layer(PReLU::new().shared_axes([1, 2]), &[[2, 3, 4].into()]);
        check_layer(PReLU::new().shared_axes([1, 3]), &[[2, 3, 4].into()]);
        check_layer(PReLU::new().shared_axes([1]), &[[5].into()]);
    }

    #[test]
    fn numbers_are_keras_s() {
        let layer = PReLU::new().shared_axes([1]);
        let x = [-1.0, 2.0, -3.0, -4.0];
        let (y, _) = apply(&layer, &[(&x, &[2, 2])], &[None], &[0.5, 0.25]);
        assert_eq!(y, [-0.5, 2.0, -1.5, -1.0]);
    }

    #[test]
    fn mistakes_are_named() {
        for axes in [vec![0], vec![3], vec![usize::MAX]] {
            let layer = PReLU::new().shared_axes(axes);
            assert!(layer.output_shape(&[[3, 4].into()]).is_err());
        }
        assert!(
            PReLU::new()
                .output_shape(&[[None, Some(4)].into()])
                .is_err()
        );
        let shared = PReLU::new().shared_axes([1]);
        assert!(shared.output_shape(&[[None, Some(4)].into()]).is_ok());
    }
}
