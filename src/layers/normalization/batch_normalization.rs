//! Batch normalization: every channel is normalised over the batch and all positions.
//!
//! Training, over the N positions that no mask hides: `m = mean(x)`, `v = mean((x - m)^2)`, `inv = 1 / sqrt(v + epsilon)`,
//! `h = (x - m) inv`, `y = h gamma + beta`, hidden positions too. The moving moments follow: `moving = moving momentum + batch
//! (1 - momentum)`. Inference (and a frozen layer) takes the moving moments instead.
//! Backward: `a = sum dy`, `b = sum dy h`: `dbeta += a`, `dgamma += b`, `dx = gamma inv (dy - (a + h b) / N)`, of hidden positions
//! and with moving moments only `gamma inv dy`. With renorm `gamma r` takes the place of `gamma`, `beta + d gamma` that of `beta`.
//! Where the channels are not the last axis, they are brought there first.

use serde::{Deserialize, Serialize};

use super::renorm::{RenormClipping, roots_of};
use super::{check_epsilon, follow, ones};
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::elementwise::{add, mul, mul_add};
use crate::kernels::norm_columns;
use crate::layer::{
    Backward, Buffers, Contract, Forward, Layer, Len, Mask, MaskRule, Mode, Slices, View, Weight,
    Weights,
};
use crate::layers::args::{one_input, sample_axis, yes, zeros};
use crate::layers::axes::Axes;
use crate::layers::layout::Layout;
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Normalises each channel over the batch: mean 0 and variance 1, then `gamma` and `beta`.
/// [Keras](https://keras.io/api/layers/normalization_layers/batch_normalization/)
///
/// Input and output have the same shape; the weights `gamma`, `beta`, `moving_mean` and `moving_variance` have one number a
/// channel. In inference the moving moments are used; so they are, always, by a frozen layer (`.trainable(false)`).
/// Positions that a mask hides are left out of the moments.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `axis` | -1 | the axis of the channels, counted with the batch |
/// | `momentum` | 0.99 | how much of the moving moments stays at each step |
/// | `epsilon` | 0.001 | added to the variance |
/// | `center`, `scale` | true | whether `beta` is added, whether `gamma` multiplies |
/// | `beta_initializer`, `gamma_initializer` | `zeros`, `ones` | how the weights start |
/// | `moving_mean_initializer`, `moving_variance_initializer` | `zeros`, `ones` | how the moving moments start |
/// | `beta_regularizer`, `gamma_regularizer` | none | penalties added to the loss |
/// | `beta_constraint`, `gamma_constraint` | none | projections after each update |
/// | `renorm` | false | batch renormalization: correct towards the moving moments in training |
/// | `renorm_clipping` | none | [bounds](RenormClipping) of the correction |
/// | `renorm_momentum` | 0.99 | as `momentum`, for the moments of the correction |
/// | `synchronized` | false | moments over all devices: there is one, so it changes nothing |
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
/// let mut model = Sequential::new().input([1]).add(BatchNormalization::new().epsilon(0.0).momentum(0.5));
/// model.compile(Sgd::new(0.0), MeanSquaredError::default(), ())?;
/// model.fit(&array![[1.0f32], [5.0]], &array![[0.0f32], [0.0]], Fit::epochs(1).verbose(0))?;
/// let w = model.get_weights();
/// assert_eq!((w[2][[0]], w[3][[0]]), (1.5, 2.5)); // halfway to mean 3 and variance 4
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNormalization {
    #[serde(default = "last")]
    axis: i64,
    #[serde(default = "momentum")]
    momentum: f64,
    #[serde(default = "epsilon")]
    epsilon: f64,
    #[serde(default = "yes")]
    center: bool,
    #[serde(default = "yes")]
    scale: bool,
    #[serde(default = "zeros")]
    beta_initializer: Initializer,
    #[serde(default = "ones")]
    gamma_initializer: Initializer,
    #[serde(default = "zeros")]
    moving_mean_initializer: Initializer,
    #[serde(default = "ones")]
    moving_variance_initializer: Initializer,
    #[serde(default)]
    beta_regularizer: Option<Regularizer>,
    #[serde(default)]
    gamma_regularizer: Option<Regularizer>,
    #[serde(default)]
    beta_constraint: Option<Constraint>,
    #[serde(default)]
    gamma_constraint: Option<Constraint>,
    #[serde(default)]
    synchronized: bool,
    #[serde(default)]
    renorm: bool,
    #[serde(default)]
    renorm_clipping: Option<RenormClipping>,
    #[serde(default = "momentum")]
    renorm_momentum: f64,
}

fn last() -> i64 {
    -1
}

fn momentum() -> f64 {
    0.99
}

fn epsilon() -> f64 {
    1e-3
}

impl Default for BatchNormalization {
    fn default() -> Self {
        BatchNormalization {
            axis: last(),
            momentum: momentum(),
            epsilon: epsilon(),
            center: true,
            scale: true,
            beta_initializer: zeros(),
            gamma_initializer: ones(),
            moving_mean_initializer: zeros(),
            moving_variance_initializer: ones(),
            beta_regularizer: None,
            gamma_regularizer: None,
            beta_constraint: None,
            gamma_constraint: None,
            synchronized: false,
            renorm: false,
            renorm_clipping: None,
            renorm_momentum: momentum(),
        }
    }
}

impl BatchNormalization {
    /// Of the last axis.
    pub fn new() -> Self {
        Self::default()
    }

    /// The axis of the channels.
    pub fn axis(mut self, axis: i64) -> Self {
        self.axis = axis;
        self
    }

    /// How much of the moving moments stays at each step.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
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

    /// How the moving mean starts.
    pub fn moving_mean_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.moving_mean_initializer = initializer.into();
        self
    }

    /// How the moving variance starts.
    pub fn moving_variance_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.moving_variance_initializer = initializer.into();
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

    /// Batch renormalization.
    pub fn renorm(mut self, yes: bool) -> Self {
        self.renorm = yes;
        self
    }

    /// Bounds of its correction.
    pub fn renorm_clipping(mut self, bounds: RenormClipping) -> Self {
        self.renorm_clipping = Some(bounds);
        self
    }

    /// How much of the moments of the correction stays at each step.
    pub fn renorm_momentum(mut self, momentum: f64) -> Self {
        self.renorm_momentum = momentum;
        self
    }

    /// Moments over all devices; there is one.
    pub fn synchronized(mut self, yes: bool) -> Self {
        self.synchronized = yes;
        self
    }

    fn layout(&self, shape: &[usize]) -> Layout {
        let axis = Axes::One(self.axis).of_sample("axis", shape.len());
        Layout::new(axis.expect("checked"), shape)
    }

    /// Number of channels.
    fn channels(&self, x: &Shape) -> Result<usize> {
        let axis = sample_axis("axis", self.axis, x.rank())?;
        match x.dims()[axis] {
            Some(0) | None => Err(Error::shape("channels of a known number", x)),
            Some(channels) => Ok(channels),
        }
    }
}

/// What forward keeps: mean and `inv` of every channel, `r` and `d` of renorm, and whether they are the batch's.
struct Saved<'a> {
    mean: &'a mut [Float],
    inv: &'a mut [Float],
    r: &'a mut [Float],
    d: &'a mut [Float],
    of_batch: &'a mut [Float],
}

impl<'a> Saved<'a> {
    fn new(slices: Slices<'a>) -> Self {
        let [mean, inv, r, d, of_batch] = slices.all();
        Saved {
            mean,
            inv,
            r,
            d,
            of_batch,
        }
    }
}

impl Layer for BatchNormalization {
    fn class_name(&self) -> &'static str {
        "BatchNormalization"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_epsilon(self.epsilon)?;
        for (name, value) in [
            ("momentum", self.momentum),
            ("renorm_momentum", self.renorm_momentum),
        ] {
            if !value.is_finite() {
                return Err(Error::arg(name, "a number", value));
            }
        }
        if let Some(bounds) = &self.renorm_clipping {
            bounds.check()?;
        }
        let x = one_input(inputs)?;
        self.channels(x)?;
        Ok(x.clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let shape = [self.channels(&inputs[0])?];
        let mut weights = Vec::new();
        if self.scale {
            weights.push(
                Weight::new("gamma", shape, &self.gamma_initializer)
                    .regularizer(&self.gamma_regularizer)
                    .constraint(&self.gamma_constraint),
            );
        }
        if self.center {
            weights.push(
                Weight::new("beta", shape, &self.beta_initializer)
                    .regularizer(&self.beta_regularizer)
                    .constraint(&self.beta_constraint),
            );
        }
        let mean = &self.moving_mean_initializer;
        weights.push(Weight::state("moving_mean", shape, mean));
        weights.push(Weight::state(
            "moving_variance",
            shape,
            &self.moving_variance_initializer,
        ));
        if self.renorm {
            let stddev = roots_of(&self.moving_variance_initializer);
            weights.push(Weight::state("moving_stddev", shape, &stddev));
            weights.push(Weight::state("renorm_mean", shape, mean));
            weights.push(Weight::state("renorm_stddev", shape, &stddev));
        }
        Ok(weights)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let layout = self.layout(&inputs[0]);
        let (each, renorm) = (
            Len::Fixed(layout.cols),
            Len::Fixed(if self.renorm { layout.cols } else { 0 }),
        );
        let mut scratch = vec![each; 3];
        scratch.extend(layout.scratch(2));
        Buffers {
            saved: vec![each, each, renorm, renorm, Len::Fixed(1)],
            scratch,
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            batch_coupled: true,
            mask: MaskRule::Compute,
            ..Contract::default()
        }
    }

    fn mask_shape(&self, inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        let (x, Some(mask)) = (&inputs[0], &masks[0]) else {
            return Ok(None);
        };
        if mask.rank() + 1 != x.rank() || sample_axis("axis", self.axis, x.rank())? + 1 != x.rank()
        {
            let want = format!("a mask over all axes but the last, the channels, of {x}");
            return Err(Error::shape(
                want,
                format!("a mask of shape {mask}, axis {}", self.axis),
            ));
        }
        Ok(Some(mask.clone()))
    }

    fn compute_mask(&self, _x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        if let Some(mask) = &masks[0] {
            out.copy_from_slice(mask.data);
        }
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let (x, layout) = (cx.x[0], self.layout(cx.x[0].shape));
        let saved = Saved::new(cx.saved);
        let [scale, shift, _, xs, ys] = cx.scratch.all();
        let matrix = layout.enter(x.data, x.shape, xs, cx.par);
        let keep = cx.masks[0].map(|mask| mask.data);
        let epsilon = self.epsilon as Float;
        let (moving_mean, moving_variance) = (cx.state.next(), cx.state.next());
        let of_batch = cx.mode == Mode::Train && cx.trainable;
        saved.of_batch[0] = Float::from(u8::from(of_batch));
        let variance = &mut *saved.inv;
        if of_batch {
            norm_columns::moments(matrix, layout.cols, keep, saved.mean, variance, cx.par);
            let count = counted(keep, matrix.len() / layout.cols);
            variance.iter_mut().for_each(|v| *v /= count);
            // Empty where the pass only predicts.
            if let (Some(mean), Some(var)) = (cx.stats.next(), cx.stats.next()) {
                mean.copy_from_slice(saved.mean);
                var.copy_from_slice(variance);
            }
        } else {
            saved
                .mean
                .copy_from_slice(moving_mean.expect("moving_mean"));
            variance.copy_from_slice(moving_variance.expect("moving_variance"));
        }
        if self.renorm && of_batch {
            let (_stddev, bounds) = (cx.state.next(), self.renorm_clipping.unwrap_or_default());
            let [renorm_mean, renorm_stddev] = cx.state.all();
            for c in 0..layout.cols {
                let (batch, moving) = (
                    (saved.mean[c], variance[c]),
                    (renorm_mean[c], renorm_stddev[c]),
                );
                (saved.r[c], saved.d[c]) = bounds.correct(batch, moving, epsilon);
            }
        } else {
            saved.r.fill(1.0);
            saved.d.fill(0.0);
        }
        let inv = variance;
        inv.iter_mut()
            .for_each(|v| *v = 1.0 / (*v + epsilon).sqrt());
        // y = h (gamma r) + (d gamma + beta)
        scale.copy_from_slice(inv);
        shift.fill(0.0);
        let gamma = if self.scale { cx.w.next() } else { None };
        if let Some(gamma) = gamma {
            mul(gamma, scale);
        }
        if self.renorm {
            mul(saved.r, scale);
            match gamma {
                Some(gamma) => mul_add(saved.d, gamma, shift),
                None => add(saved.d, shift),
            }
        }
        if let Some(beta) = cx.w.next() {
            add(beta, shift);
        }
        let y = if layout.plain {
            &mut *cx.y.data
        } else {
            &mut *ys
        };
        norm_columns::normalize(matrix, saved.mean, scale, Some(shift), y, cx.par);
        if !layout.plain {
            layout.leave(ys, cx.y.data, cx.par);
        }
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let (x, layout) = (cx.x[0], self.layout(cx.x[0].shape));
        let saved = Saved::new(cx.saved);
        let [a, b, scale, xs, dys] = cx.scratch.all();
        let (mean, inv, of_batch) = (&*saved.mean, &*saved.inv, saved.of_batch[0] == 1.0);
        let matrix = layout.enter(x.data, x.shape, xs, cx.par);
        let dy = layout.enter(cx.dy.data, cx.dy.shape, dys, cx.par);
        if of_batch || cx.dw.is_some() {
            norm_columns::sums(matrix, dy, mean, inv, a, b, cx.par);
        }
        if let Some(dw) = &mut cx.dw {
            let dgamma = if self.scale { dw.next() } else { None };
            match dgamma {
                Some(dgamma) if self.renorm => {
                    mul_add(saved.r, b, dgamma);
                    mul_add(saved.d, a, dgamma);
                }
                Some(dgamma) => add(b, dgamma),
                None => {}
            }
            if let Some(dbeta) = dw.next() {
                add(a, dbeta);
            }
        }
        let Some(dx) = &mut cx.dx[0] else { return };
        scale.copy_from_slice(inv);
        if self.scale {
            mul(cx.w.next().expect("gamma"), scale);
        }
        if self.renorm {
            mul(saved.r, scale);
        }
        // The gradient of the matrix takes the place of dy, where dy has been copied.
        let (dy, out) = match layout.plain {
            true => (&*cx.dy.data, &mut *dx.data),
            false => (&*dys, &mut *cx.dy.data),
        };
        if of_batch {
            let keep = cx.masks[0].map(|mask| mask.data);
            let share = -1.0 / counted(keep, matrix.len() / layout.cols);
            for c in 0..layout.cols {
                a[c] *= scale[c] * share;
                b[c] *= scale[c] * inv[c] * share;
            }
            norm_columns::backward(matrix, dy, mean, scale, a, b, keep, out, cx.par);
        } else {
            a.fill(0.0);
            norm_columns::normalize(dy, a, scale, None, out, cx.par);
        }
        if !layout.plain {
            layout.leave(cx.dy.data, dx.data, cx.par);
        }
    }

    fn update_state(&self, state: Slices<'_>, mut stats: Weights<'_>) {
        let (mean, variance) = (stats.next().expect("mean"), stats.next().expect("variance"));
        if !self.renorm {
            let [moving_mean, moving_variance] = state.all();
            follow(moving_mean, mean.iter().copied(), self.momentum);
            return follow(moving_variance, variance.iter().copied(), self.momentum);
        }
        let [
            moving_mean,
            moving_variance,
            moving_stddev,
            renorm_mean,
            renorm_stddev,
        ] = state.all();
        let epsilon = self.epsilon as Float;
        let stddev = || variance.iter().map(|v| (v + epsilon).sqrt());
        follow(renorm_mean, mean.iter().copied(), self.renorm_momentum);
        follow(renorm_stddev, stddev(), self.renorm_momentum);
        follow(moving_mean, mean.iter().copied(), self.momentum);
        follow(moving_stddev, stddev(), self.momentum);
        for (variance, stddev) in moving_variance.iter_mut().zip(moving_stddev) {
            *variance = (*stddev * *stddev - epsilon).max(0.0);
        }
    }
}

/// Rows that count, at least one.
fn counted(keep: Option<&[bool]>, rows: usize) -> Float {
    let count = keep.map_or(rows, |keep| keep.iter().filter(|k| **k).count());
    count.max(1) as Float
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_layer, check_masked_layer};

    #[test]
    fn laws() {
        let layer = BatchNormalization::new;
        check_layer(layer(), &[[5].into()]);
        check_layer(layer(), &[[3, 2].into()]);
        check_layer(layer().axis(1), &[[2, 3].into()]);
        check_layer(layer().axis(-2), &[[2, 3, 2].into()]);
        check_layer(layer().center(false), &[[5].into()]);
        check_layer(layer().scale(false), &[[5].into()]);
        check_layer(layer().scale(false).center(false), &[[40].into()]);
        check_masked_layer(layer(), &[[6, 3].into()], &[Some([6].into())]);
        // Corrections that are at their bounds do not depend on the input.
        let bounds = RenormClipping {
            rmin: Some(1.5),
            rmax: Some(1.5),
            dmax: Some(0.01),
        };
        let renorm = || layer().renorm(true).renorm_clipping(bounds);
        check_layer(renorm(), &[[4].into()]);
        check_layer(renorm().scale(false), &[[3, 2].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: BatchNormalization, shape: Shape| {
            let e = layer.output_shape(&[shape]).unwrap_err();
            e.owned_by("bn").to_string()
        };
        let layer = BatchNormalization::new;
        assert!(refused(layer().axis(0), [3].into()).contains("bn: argument `axis`"));
        assert!(refused(layer().epsilon(-0.1), [3].into()).contains("`epsilon`"));
        assert!(refused(layer().momentum(f64::INFINITY), [3].into()).contains("`momentum`"));
        assert!(refused(layer(), [None].into()).contains("known"));
        let bounds = RenormClipping {
            dmax: Some(-1.0),
            ..RenormClipping::default()
        };
        assert!(refused(layer().renorm_clipping(bounds), [3].into()).contains("dmax"));
        let masks = [Some(Shape::from([5]))];
        assert!(layer().mask_shape(&[[5, 4, 3].into()], &masks).is_err());
        assert!(
            layer()
                .axis(1)
                .mask_shape(&[[5, 3].into()], &masks)
                .is_err()
        );
    }

    #[test]
    fn moving_deviations_start_as_roots() {
        let layer = BatchNormalization::new().renorm(true);
        let layer = layer.moving_variance_initializer(Initializer::Constant { value: 4.0 });
        let weights = layer.weights(&[[2].into()]).unwrap();
        let mut stddev = [0.0; 2];
        let init = &weights[4].init;
        assert_eq!(weights[4].name, "moving_stddev");
        init.fill(&[2], &mut crate::random::Rng::new(1), &mut stddev)
            .unwrap();
        assert_eq!(stddev, [2.0; 2]);
    }
}
