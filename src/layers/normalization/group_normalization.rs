//! Group normalization: the channels of each sample in groups, every group normalised over its channels and all positions.
//!
//! x: (positions, C), group g has D = C / groups channels, n = D positions elements. `m`, `v` are its mean and variance,
//! `inv = 1 / sqrt(v + epsilon)`, `y = (x - m) inv gamma + beta` (gamma, beta: (C)). Backward, with `h = (x - m) inv`,
//! `a_c = sum_positions dy`, `b_c = sum_positions dy h`: `dgamma += sum_samples b`, `dbeta += sum_samples a`, and with
//! `A = sum_c gamma a / n`, `B = sum_c gamma b / n` over the group: `dx = inv (dy gamma - A - h B)`.
//! Where the channels are not the last axis, they are brought there first.

use serde::{Deserialize, Serialize};

use super::{check_epsilon, ones};
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::elementwise::{add, dot, mul, scale, sum};
use crate::kernels::norm_columns;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, MaskRule, Par, Weight};
use crate::layers::args::{one_input, sample_axis, yes, zeros};
use crate::layers::axes::Axes;
use crate::layers::layout::Layout;
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Normalises each sample in groups of channels. [Keras](https://keras.io/api/layers/normalization_layers/group_normalization/)
///
/// Input and output have the same shape; weights `gamma` and `beta` have one number a channel.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `groups` | 32 | number of groups; -1: every channel is one (instance normalization) |
/// | `axis` | -1 | the axis of the channels, counted with the batch |
/// | `epsilon` | 0.001 | added to the variance |
/// | `center`, `scale` | true | whether `beta` is added, whether `gamma` multiplies |
/// | `beta_initializer`, `gamma_initializer` | `zeros`, `ones` | how the weights start |
/// | `beta_regularizer`, `gamma_regularizer` | none | penalties added to the loss |
/// | `beta_constraint`, `gamma_constraint` | none | projections after each update |
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
/// let mut model = Sequential::new().input([4]).add(GroupNormalization::new(2).epsilon(0.0));
/// model.build([4])?;
/// assert_eq!(model.predict(&array![[1.0f32, 5.0, -3.0, -4.0]])?, array![[-1.0, 1.0, 1.0, -1.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupNormalization {
    #[serde(default = "groups")]
    groups: i64,
    #[serde(default = "last")]
    axis: i64,
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
    #[serde(default)]
    beta_regularizer: Option<Regularizer>,
    #[serde(default)]
    gamma_regularizer: Option<Regularizer>,
    #[serde(default)]
    beta_constraint: Option<Constraint>,
    #[serde(default)]
    gamma_constraint: Option<Constraint>,
}

fn groups() -> i64 {
    32
}

fn last() -> i64 {
    -1
}

fn epsilon() -> f64 {
    1e-3
}

impl GroupNormalization {
    /// In so many groups.
    pub fn new(groups: i64) -> Self {
        GroupNormalization {
            groups,
            axis: last(),
            epsilon: epsilon(),
            center: true,
            scale: true,
            beta_initializer: zeros(),
            gamma_initializer: ones(),
            beta_regularizer: None,
            gamma_regularizer: None,
            beta_constraint: None,
            gamma_constraint: None,
        }
    }

    /// The axis of the channels.
    pub fn axis(mut self, axis: i64) -> Self {
        self.axis = axis;
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

    fn layout(&self, shape: &[usize]) -> Layout {
        let axis = Axes::One(self.axis).of_sample("axis", shape.len());
        Layout::new(axis.expect("checked"), shape)
    }

    /// Channels of a group of `channels`.
    fn depth(&self, channels: usize) -> usize {
        match self.groups {
            -1 => 1,
            groups => channels / groups as usize,
        }
    }

    /// Number of channels.
    fn channels(&self, x: &Shape) -> Result<usize> {
        let axis = sample_axis("axis", self.axis, x.rank())?;
        let channels = match x.dims()[axis] {
            Some(0) | None => return Err(Error::shape("channels of a known number", x)),
            Some(channels) => channels,
        };
        let fits = |groups: i64| {
            usize::try_from(groups).is_ok_and(|g| g > 0 && channels.is_multiple_of(g))
        };
        if self.groups != -1 && !fits(self.groups) {
            let want = format!("a positive divisor of the {channels} channels, or -1");
            return Err(Error::arg("groups", want, self.groups));
        }
        Ok(channels)
    }
}

impl Layer for GroupNormalization {
    fn class_name(&self) -> &'static str {
        "GroupNormalization"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_epsilon(self.epsilon)?;
        let x = one_input(inputs)?;
        self.channels(x)?;
        Ok(x.clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let channels = self.channels(&inputs[0])?;
        let mut weights = Vec::new();
        if self.scale {
            weights.push(
                Weight::new("gamma", [channels], &self.gamma_initializer)
                    .regularizer(&self.gamma_regularizer)
                    .constraint(&self.gamma_constraint),
            );
        }
        if self.center {
            weights.push(
                Weight::new("beta", [channels], &self.beta_initializer)
                    .regularizer(&self.beta_regularizer)
                    .constraint(&self.beta_constraint),
            );
        }
        Ok(weights)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let layout = self.layout(&inputs[0]);
        // Mean and inv of every channel's group; in scratch three numbers a channel, and two permuted arrays.
        let mut scratch = vec![Len::PerSample(3 * layout.cols)];
        scratch.extend(layout.scratch(2));
        Buffers {
            saved: vec![Len::PerSample(2 * layout.cols)],
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
        let gamma = if self.scale { cx.w.next() } else { None };
        let (beta, [stats]) = (cx.w.next(), cx.saved.all());
        let [room, xs, ys] = cx.scratch.all();
        let matrix = layout.enter(x.data, x.shape, xs, cx.par);
        let y = if layout.plain {
            &mut *cx.y.data
        } else {
            &mut *ys
        };
        let (n, each) = (layout.cols, layout.rows * layout.cols);
        let (depth, epsilon) = (self.depth(n), self.epsilon as Float);
        let par = worth(matrix, cx.par);
        par.for_each_piece2(stats, 2 * n, room, 3 * n, |i, stats, room| {
            let (mean, inv) = stats.split_at_mut(n);
            norm_columns::moments(&matrix[i * each..][..each], n, None, mean, inv, Par::Serial);
            join_groups(mean, inv, depth, layout.rows as Float, epsilon);
            room[..n].copy_from_slice(inv);
            if let Some(gamma) = gamma {
                mul(gamma, &mut room[..n]);
            }
        });
        par.for_each_piece(y, each, |at, y| {
            let i = at / each;
            let (mean, scaled) = (&stats[2 * i * n..][..n], &room[3 * i * n..][..n]);
            norm_columns::normalize(&matrix[at..at + each], mean, scaled, beta, y, Par::Serial);
        });
        if !layout.plain {
            layout.leave(ys, cx.y.data, cx.par);
        }
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let (x, layout) = (cx.x[0], self.layout(cx.x[0].shape));
        let gamma = if self.scale { cx.w.next() } else { None };
        let [stats] = cx.saved.all();
        let [sums, xs, dys] = cx.scratch.all();
        let matrix = layout.enter(x.data, x.shape, xs, cx.par);
        let (n, each) = (layout.cols, layout.rows * layout.cols);
        let (depth, par) = (self.depth(n), worth(matrix, cx.par));
        let moments = |i: usize| stats[2 * i * n..2 * (i + 1) * n].split_at(n);
        let dy = layout.enter(cx.dy.data, cx.dy.shape, dys, cx.par);
        par.for_each_piece(sums, 3 * n, |at, sums| {
            let i = at / (3 * n);
            let (part, (mean, inv)) = (i * each..(i + 1) * each, moments(i));
            let (a, rest) = sums.split_at_mut(n);
            let (x, dy) = (&matrix[part.clone()], &dy[part]);
            norm_columns::sums(x, dy, mean, inv, a, &mut rest[..n], Par::Serial);
        });
        if let Some(dw) = &mut cx.dw {
            let dgamma = if self.scale { dw.next() } else { None };
            let all = |at: usize| sums.chunks_exact(3 * n).map(move |s| &s[at..at + n]);
            if let Some(dgamma) = dgamma {
                all(n).for_each(|b| add(b, dgamma));
            }
            if let Some(dbeta) = dw.next() {
                all(0).for_each(|a| add(a, dbeta));
            }
        }
        let Some(dx) = &mut cx.dx[0] else { return };
        // The gradient of the matrix takes the place of dy, where dy has been copied.
        let (dy, out) = match layout.plain {
            true => (&*cx.dy.data, &mut *dx.data),
            false => (&*dys, &mut *cx.dy.data),
        };
        par.for_each_piece2(out, each, sums, 3 * n, |i, out, sums| {
            let (part, (mean, inv)) = (i * each..(i + 1) * each, moments(i));
            slopes(sums, inv, gamma, depth, layout.rows as Float);
            let (shift, rest) = sums.split_at(n);
            let (slope, scaled) = rest.split_at(n);
            let (x, dy) = (&matrix[part.clone()], &dy[part]);
            norm_columns::backward(x, dy, mean, scaled, shift, slope, None, out, Par::Serial);
        });
        if !layout.plain {
            layout.leave(cx.dy.data, dx.data, cx.par);
        }
    }
}

/// Threads, where there is enough for them.
fn worth(data: &[Float], par: Par) -> Par {
    if data.len() < 1 << 14 {
        Par::Serial
    } else {
        par
    }
}

/// Turns the moments of channels into those of their groups: `mean` and, in place of the squared deviations, `inv`.
fn join_groups(mean: &mut [Float], m2: &mut [Float], depth: usize, rows: Float, epsilon: Float) {
    for (mean, m2) in mean.chunks_exact_mut(depth).zip(m2.chunks_exact_mut(depth)) {
        let m = sum(mean) / depth as Float;
        let between: Float = mean.iter().map(|c| (c - m) * (c - m)).sum();
        let variance = (sum(m2) + rows * between) / (rows * depth as Float);
        mean.fill(m);
        m2.fill(1.0 / (variance + epsilon).sqrt());
    }
}

/// In place of `a`, `b` and room: `-inv A`, `-inv^2 B` and `gamma inv` of every channel.
fn slopes(sums: &mut [Float], inv: &[Float], gamma: Option<&[Float]>, depth: usize, rows: Float) {
    let n = inv.len();
    let (a, rest) = sums.split_at_mut(n);
    let (b, scaled) = rest.split_at_mut(n);
    match gamma {
        Some(gamma) => scaled.copy_from_slice(gamma),
        None => scaled.fill(1.0),
    }
    let count = rows * depth as Float;
    for g in (0..n).step_by(depth) {
        let group = g..g + depth;
        let total_a = dot(&a[group.clone()], &scaled[group.clone()]) / count;
        let total_b = dot(&b[group.clone()], &scaled[group.clone()]) / count;
        a[group.clone()].fill(-inv[g] * total_a);
        b[group.clone()].fill(-inv[g] * inv[g] * total_b);
        scale(inv[g], &mut scaled[group]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        let layer = GroupNormalization::new;
        check_layer(layer(2), &[[6].into()]);
        check_layer(layer(3), &[[2, 2, 6].into()]);
        check_layer(layer(2).axis(1), &[[4, 3].into()]);
        check_layer(layer(2).axis(-2), &[[2, 4, 3].into()]);
        check_layer(layer(-1), &[[5, 3].into()]);
        check_layer(layer(1).scale(false), &[[3, 4].into()]);
        check_layer(layer(2).center(false), &[[3, 4].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: GroupNormalization, shape: Shape| {
            let e = layer.output_shape(&[shape]).unwrap_err();
            e.owned_by("gn").to_string()
        };
        for groups in [0, -2, 4, 12, i64::MIN, i64::MAX] {
            let e = refused(GroupNormalization::new(groups), [6].into());
            assert!(e.starts_with("gn: argument `groups`: expected a positive divisor"));
        }
        let two = GroupNormalization::new(2);
        assert!(refused(two.clone().axis(0), [6].into()).contains("`axis`"));
        assert!(refused(two.clone().epsilon(Float::NAN.into()), [6].into()).contains("`epsilon`"));
        assert!(refused(two, [None].into()).contains("known"));
    }
}
