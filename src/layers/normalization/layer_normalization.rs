//! Layer normalization: every sample is normalised by itself over some of its axes.
//!
//! Over the axes `axis` (n elements): `m = mean(x)`, `v = mean((x - m)^2)`, `inv = 1 / sqrt(v + epsilon)`,
//! `y = (x - m) inv gamma + beta`; with `rms_scaling` `y = x inv gamma`. Backward with `g = dy gamma`, `h = (x - m) inv`:
//! `dx = inv (g - mean(g) - h mean(g h))`, `dgamma += sum dy h`, `dbeta += sum dy` over samples and the other axes; see
//! [`norm_rows`](crate::kernels::norm_rows). The axes are brought into the last place first, where they are not there.

use serde::{Deserialize, Serialize};

use super::{check_epsilon, ones, weight_shape};
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::Result;
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::norm_rows::{self, Rule};
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, MaskRule, Weight};
use crate::layers::args::{one_input, yes, zeros};
use crate::layers::axes::Axes;
use crate::layers::layout::Layout;
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Normalises each sample over its last axis, or other axes: mean 0, variance 1, then `gamma` and `beta`.
/// [Keras](https://keras.io/api/layers/normalization_layers/layer_normalization/)
///
/// Input and output have the same shape; weights `gamma` and `beta` have the sizes of the normalised axes, which must be known.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `axis` | -1 | the axis or axes normalised over, counted with the batch |
/// | `epsilon` | 0.001 | added to the variance |
/// | `center`, `scale` | true | whether `beta` is added, whether `gamma` multiplies |
/// | `rms_scaling` | false | divide by the deviation without subtracting the mean, without `beta` (deprecated by Keras) |
/// | `beta_initializer`, `gamma_initializer` | `zeros`, `ones` | how the weights start |
/// | `beta_regularizer`, `gamma_regularizer` | none | penalties added to the loss |
/// | `beta_constraint`, `gamma_constraint` | none | projections after each update |
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
/// let mut model = Sequential::new().input([2]).add(LayerNormalization::new().epsilon(0.0));
/// model.build([2])?;
/// assert_eq!(model.predict(&array![[1.0f32, 5.0], [-3.0, -4.0]])?, array![[-1.0, 1.0], [1.0, -1.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNormalization {
    #[serde(default)]
    axis: Axes,
    #[serde(default = "epsilon")]
    epsilon: f64,
    #[serde(default = "yes")]
    center: bool,
    #[serde(default = "yes")]
    scale: bool,
    #[serde(default)]
    rms_scaling: bool,
    #[serde(default = "zeros")]
    beta_initializer: Initializer,
    #[serde(default = "ones")]
    gamma_initializer: Initializer,
    #[serde(default)]
    beta_regularizer: Option<Regularizer>,
    #[serde(default)]
    gamma_regularizer: Option<Regularizer>,
    #[serde(default)]
    beta_constraint: Option<Constraint>,
    #[serde(default)]
    gamma_constraint: Option<Constraint>,
}

fn epsilon() -> f64 {
    1e-3
}

impl Default for LayerNormalization {
    fn default() -> Self {
        LayerNormalization {
            axis: Axes::default(),
            epsilon: epsilon(),
            center: true,
            scale: true,
            rms_scaling: false,
            beta_initializer: zeros(),
            gamma_initializer: ones(),
            beta_regularizer: None,
            gamma_regularizer: None,
            beta_constraint: None,
            gamma_constraint: None,
        }
    }
}

impl LayerNormalization {
    /// Over the last axis.
    pub fn new() -> Self {
        Self::default()
    }

    /// The axis or axes normalised over.
    pub fn axis(mut self, axis: impl Into<Axes>) -> Self {
        self.axis = axis.into();
        self
    }

    /// Added to the variance.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Whether `beta` is added.
    pub fn center(mut self, yes: bool) -> Self {
        self.center = yes;
        self
    }

    /// Whether `gamma` multiplies.
    pub fn scale(mut self, yes: bool) -> Self {
        self.scale = yes;
        self
    }

    /// Divide by the deviation without subtracting the mean, and without `beta`.
    pub fn rms_scaling(mut self, yes: bool) -> Self {
        self.rms_scaling = yes;
        self
    }

    /// How `beta` starts.
    pub fn beta_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.beta_initializer = initializer.into();
        self
    }

    /// How `gamma` starts.
    pub fn gamma_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.gamma_initializer = initializer.into();
        self
    }

    /// Penalty on `beta`.
    pub fn beta_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.beta_regularizer = Some(regularizer.into());
        self
    }

    /// Penalty on `gamma`.
    pub fn gamma_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.gamma_regularizer = Some(regularizer.into());
        self
    }

    /// Projection of `beta` after each update.
    pub fn beta_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.beta_constraint = Some(constraint.into());
        self
    }

    /// Projection of `gamma` after each update.
    pub fn gamma_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.gamma_constraint = Some(constraint.into());
        self
    }

    fn rule(&self) -> Rule {
        if self.rms_scaling {
            Rule::Scale
        } else {
            Rule::Layer
        }
    }

    fn has_gamma(&self) -> bool {
        self.scale || self.rms_scaling
    }

    fn has_beta(&self) -> bool {
        self.center && !self.rms_scaling
    }

    fn layout(&self, shape: &[usize]) -> Layout {
        let axes = self.axis.of_sample("axis", shape.len());
        Layout::new(axes.expect("checked"), shape)
    }
}

impl Layer for LayerNormalization {
    fn class_name(&self) -> &'static str {
        "LayerNormalization"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_epsilon(self.epsilon)?;
        let x = one_input(inputs)?;
        weight_shape(&self.axis, x)?;
        Ok(x.clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let shape = weight_shape(&self.axis, &inputs[0])?;
        let mut weights = Vec::new();
        if self.has_gamma() {
            weights.push(
                Weight::new("gamma", shape, &self.gamma_initializer)
                    .regularizer(&self.gamma_regularizer)
                    .constraint(&self.gamma_constraint),
            );
        }
        if self.has_beta() {
            weights.push(
                Weight::new("beta", shape, &self.beta_initializer)
                    .regularizer(&self.beta_regularizer)
                    .constraint(&self.beta_constraint),
            );
        }
        Ok(weights)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let layout = self.layout(&inputs[0]);
        // Mean and scale of every row; ones where there is no gamma; two permuted arrays.
        let mut scratch = vec![Len::Fixed(if self.has_gamma() { 0 } else { layout.cols })];
        scratch.extend(layout.scratch(2));
        Buffers {
            saved: vec![Len::PerSample(2 * layout.rows)],
            scratch,
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
        let (x, layout) = (cx.x[0], self.layout(cx.x[0].shape));
        let gamma = if self.has_gamma() { cx.w.next() } else { None };
        let (beta, [stats]) = (cx.w.next(), cx.saved.all());
        let [_, xs, ys] = cx.scratch.all();
        let matrix = layout.enter(x.data, x.shape, xs, cx.par);
        let y = if layout.plain {
            &mut *cx.y.data
        } else {
            &mut *ys
        };
        let epsilon = self.epsilon as Float;
        norm_rows::forward(
            self.rule(),
            matrix,
            layout.cols,
            epsilon,
            gamma,
            beta,
            y,
            stats,
            cx.par,
        );
        if !layout.plain {
            layout.leave(ys, cx.y.data, cx.par);
        }
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let (x, layout, rule) = (cx.x[0], self.layout(cx.x[0].shape), self.rule());
        let [stats] = cx.saved.all();
        let [ones, xs, dys] = cx.scratch.all();
        ones.fill(1.0);
        let gamma = if self.has_gamma() {
            cx.w.next().expect("gamma")
        } else {
            ones
        };
        let matrix = layout.enter(x.data, x.shape, xs, cx.par);
        let dy = layout.enter(cx.dy.data, cx.dy.shape, dys, cx.par);
        if let Some(dw) = &mut cx.dw {
            let dgamma = if self.has_gamma() { dw.next() } else { None };
            norm_rows::backward_weights(
                rule,
                matrix,
                dy,
                layout.cols,
                stats,
                dgamma,
                dw.next(),
                cx.par,
            );
        }
        let Some(dx) = &mut cx.dx[0] else { return };
        if layout.plain {
            return norm_rows::backward(rule, matrix, dy, gamma, stats, dx.data, cx.par);
        }
        // The gradient of the matrix takes the place of dy, which has been copied.
        norm_rows::backward(rule, matrix, dys, gamma, stats, cx.dy.data, cx.par);
        layout.leave(cx.dy.data, dx.data, cx.par);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        let layer = LayerNormalization::new;
        check_layer(layer(), &[[5].into()]);
        check_layer(layer(), &[[3, 4].into()]);
        check_layer(layer().axis([1, 2]), &[[3, 4].into()]);
        check_layer(layer().axis(1), &[[4, 3].into()]);
        check_layer(layer().axis([1, 3]), &[[3, 2, 2].into()]);
        check_layer(layer().center(false), &[[2, 5].into()]);
        check_layer(layer().scale(false).axis(1), &[[5, 2].into()]);
        check_layer(layer().scale(false).center(false), &[[5].into()]);
        check_layer(layer().rms_scaling(true), &[[2, 5].into()]);
        check_layer(
            layer().rms_scaling(true).scale(false).axis(-2),
            &[[5, 2].into()],
        );
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: LayerNormalization, shape: Shape| {
            let e = layer.output_shape(&[shape]).unwrap_err();
            e.owned_by("ln").to_string()
        };
        let layer = LayerNormalization::new;
        assert!(refused(layer().axis(0), [3].into()).contains("ln: argument `axis`"));
        assert!(refused(layer().axis([1, -1]), [3].into()).contains("axes that differ"));
        assert!(refused(layer().epsilon(-1.0), [3].into()).contains("`epsilon`"));
        assert!(refused(layer(), [None].into()).contains("known"));
        assert!(refused(layer(), [0].into()).contains("known"));
        assert!(refused(layer(), Shape::default()).contains("`axis`"));
    }

    #[test]
    fn weights_are_listed_as_keras_sorts_the_axes() {
        let shape = |axes: Vec<i64>| {
            let weights = LayerNormalization::new()
                .axis(axes)
                .weights(&[[2, 3, 4].into()]);
            weights.unwrap()[0].shape.to_vec()
        };
        assert_eq!(shape(vec![3, 1]), [2, 4]);
        assert_eq!(shape(vec![1, -1]), [4, 2]);
    }
}
