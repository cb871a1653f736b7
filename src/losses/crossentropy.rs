//! Cross-entropies: between probabilities, one-hot classes, and class ids; from probabilities or from logits.
//!
//! From logits `z` the losses are exact for any size: binary `max(z, 0) - z t + ln(1 + e^-|z|)` with gradient `sigmoid(z) - t`;
//! categorical `sum t (ln sum e^z - z)` with gradient `softmax(z) sum t - t`. From probabilities Keras clips to `[e, 1 - e]`
//! with `e = 1e-7`, and the gradient is zero outside. A model that ends in the matching activation is trained from its logits,
//! as in Keras.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Loss, Reduction, same_shape};
use crate::activation::Activation;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::{EPSILON, Float};
use crate::kernels::reduce;
use crate::kernels::{elementwise, math};
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// Between targets in `[0, 1]` and probabilities (or logits), number by number.
/// [Keras](https://keras.io/api/losses/probabilistic_losses/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `from_logits` | false | predictions are logits |
/// | `label_smoothing` | 0 | targets become `t (1 - s) + s / 2` |
/// | `reduction` | `sum_over_batch_size` | [`Reduction`] |
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BinaryCrossentropy {
    name: String,
    reduction: Reduction,
    from_logits: bool,
    label_smoothing: Float,
    axis: i64,
}

/// Between one-hot (or soft) targets and class probabilities (or logits) over the last axis.
/// [Keras](https://keras.io/api/losses/probabilistic_losses/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `from_logits` | false | predictions are logits |
/// | `label_smoothing` | 0 | targets become `t (1 - s) + s / classes` |
/// | `reduction` | `sum_over_batch_size` | [`Reduction`] |
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CategoricalCrossentropy {
    name: String,
    reduction: Reduction,
    from_logits: bool,
    label_smoothing: Float,
    axis: i64,
}

/// Between class ids and class probabilities (or logits) over the last axis.
/// [Keras](https://keras.io/api/losses/probabilistic_losses/)
///
/// Targets have the shape of the predictions without the last axis, or with a last axis of 1.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `from_logits` | false | predictions are logits |
/// | `ignore_class` | none | targets of this id count nothing |
/// | `reduction` | `sum_over_batch_size` | [`Reduction`] |
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SparseCategoricalCrossentropy {
    name: String,
    reduction: Reduction,
    from_logits: bool,
    ignore_class: Option<i64>,
    axis: i64,
}

impl Default for BinaryCrossentropy {
    fn default() -> Self {
        BinaryCrossentropy {
            name: "binary_crossentropy".into(),
            reduction: Reduction::default(),
            from_logits: false,
            label_smoothing: 0.0,
            axis: -1,
        }
    }
}

impl Default for CategoricalCrossentropy {
    fn default() -> Self {
        CategoricalCrossentropy {
            name: "categorical_crossentropy".into(),
            reduction: Reduction::default(),
            from_logits: false,
            label_smoothing: 0.0,
            axis: -1,
        }
    }
}

impl Default for SparseCategoricalCrossentropy {
    fn default() -> Self {
        SparseCategoricalCrossentropy {
            name: "sparse_categorical_crossentropy".into(),
            reduction: Reduction::default(),
            from_logits: false,
            ignore_class: None,
            axis: -1,
        }
    }
}

impl BinaryCrossentropy {
    /// Predictions are logits.
    pub fn from_logits(mut self, yes: bool) -> Self {
        self.from_logits = yes;
        self
    }

    /// Moves targets towards one half.
    pub fn label_smoothing(mut self, smoothing: Float) -> Self {
        self.label_smoothing = smoothing;
        self
    }

    /// How the values become one number.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    #[inline(always)]
    fn target(&self, t: Float) -> Float {
        t * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
    }
}

impl CategoricalCrossentropy {
    /// Predictions are logits.
    pub fn from_logits(mut self, yes: bool) -> Self {
        self.from_logits = yes;
        self
    }

    /// Moves targets towards equal probabilities.
    pub fn label_smoothing(mut self, smoothing: Float) -> Self {
        self.label_smoothing = smoothing;
        self
    }

    /// How the values become one number.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    #[inline(always)]
    fn target(&self, t: Float, classes: usize) -> Float {
        t * (1.0 - self.label_smoothing) + self.label_smoothing / classes as Float
    }
}

impl SparseCategoricalCrossentropy {
    /// Predictions are logits.
    pub fn from_logits(mut self, yes: bool) -> Self {
        self.from_logits = yes;
        self
    }

    /// Targets of this id count nothing.
    pub fn ignore_class(mut self, class: i64) -> Self {
        self.ignore_class = Some(class);
        self
    }

    /// How the values become one number.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// The class of a target, or none if it is ignored.
    #[inline(always)]
    fn class(&self, t: Float) -> Option<usize> {
        (self.ignore_class != Some(t as i64)).then_some(t as usize)
    }
}

fn check_axis(axis: i64, y_pred: &Shape) -> Result<()> {
    let last = axis == -1 || axis == y_pred.rank() as i64;
    if last {
        Ok(())
    } else {
        Err(Error::arg("axis", "-1, the last axis", axis))
    }
}

fn check_smoothing(smoothing: Float) -> Result<()> {
    if (0.0..=1.0).contains(&smoothing) {
        Ok(())
    } else {
        Err(Error::arg(
            "label_smoothing",
            "a number in [0, 1]",
            smoothing,
        ))
    }
}

/// Whether `p` is where Keras does not clip: elsewhere the gradient is zero.
#[inline(always)]
fn inside(p: Float) -> bool {
    p > EPSILON && p < 1.0 - EPSILON
}

#[inline(always)]
fn clip(p: Float) -> Float {
    math::clamp(p, EPSILON, 1.0 - EPSILON)
}

impl Loss for BinaryCrossentropy {
    fn class_name(&self) -> &'static str {
        "BinaryCrossentropy"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_axis(self.axis, y_pred)?;
        check_smoothing(self.label_smoothing)?;
        same_shape(y_true, y_pred)
    }

    fn check_targets(&self, y_true: View<'_>, _y_pred: &[usize]) -> Result<()> {
        match y_true.data.iter().position(|t| !(0.0..=1.0).contains(t)) {
            Some(i) => Err(Error::data(
                "y",
                format!(
                    "sample {} holds {}, not a number in [0, 1] for binary_crossentropy",
                    sample(y_true, i),
                    y_true.data[i]
                ),
            )),
            None => Ok(()),
        }
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let cols = y_pred.cols();
        let rows = y_true
            .data
            .chunks_exact(cols)
            .zip(y_pred.data.chunks_exact(cols));
        for ((t, p), out) in rows.zip(out) {
            let one = |(t, p): (&Float, &Float)| {
                let t = self.target(*t);
                if self.from_logits {
                    math::softplus::<false>(*p) - p * t
                } else {
                    let p = clip(*p);
                    -(t * math::log::<false>(p) + (1.0 - t) * math::log::<false>(1.0 - p))
                }
            };
            *out = t.iter().zip(p).map(one).sum::<Float>() / cols as Float;
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let cols = y_pred.cols();
        if self.from_logits {
            dy.data.copy_from_slice(y_pred.data);
            elementwise::sigmoid(dy.data);
        }
        let rows = y_true
            .data
            .chunks_exact(cols)
            .zip(y_pred.data.chunks_exact(cols))
            .zip(dy.data.chunks_exact_mut(cols));
        for (((t, p), dy), coef) in rows.zip(coef) {
            let coef = coef / cols as Float;
            for ((t, p), dy) in t.iter().zip(p).zip(dy) {
                let t = self.target(*t);
                *dy = if self.from_logits {
                    coef * (*dy - t)
                } else if inside(*p) {
                    coef * (p - t) / (p * (1.0 - p))
                } else {
                    0.0
                };
            }
        }
    }

    fn on_logits(&self, last: &Activation) -> Option<Arc<dyn Loss>> {
        (*last == Activation::Sigmoid && !self.from_logits)
            .then(|| Arc::new(self.clone().from_logits(true)) as _)
    }
}

impl Loss for CategoricalCrossentropy {
    fn class_name(&self) -> &'static str {
        "CategoricalCrossentropy"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_axis(self.axis, y_pred)?;
        check_smoothing(self.label_smoothing)?;
        if y_pred.last() == Some(1) {
            return Err(Error::shape(
                "two classes or more in the last axis of the output (one: binary_crossentropy)",
                y_pred,
            ));
        }
        same_shape(y_true, y_pred)
    }

    fn check_targets(&self, y_true: View<'_>, _y_pred: &[usize]) -> Result<()> {
        match y_true
            .data
            .iter()
            .position(|t| !(t.is_finite() && *t >= 0.0))
        {
            Some(i) => Err(Error::data(
                "y",
                format!(
                    "sample {} holds {}, not a probability for categorical_crossentropy",
                    sample(y_true, i),
                    y_true.data[i]
                ),
            )),
            None => Ok(()),
        }
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let n = y_pred.cols();
        if self.from_logits {
            reduce::logsumexp(y_pred.data, n, out);
        }
        let rows = y_true.data.chunks_exact(n).zip(y_pred.data.chunks_exact(n));
        for ((t, p), out) in rows.zip(out) {
            let pairs = t.iter().map(|t| self.target(*t, n)).zip(p);
            *out = if self.from_logits {
                let lse = *out;
                pairs.map(|(t, z)| t * (lse - z)).sum()
            } else {
                let total: Float = p.iter().sum();
                -pairs
                    .map(|(t, p)| t * math::log::<false>(clip(p / total)))
                    .sum::<Float>()
            };
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let n = y_pred.cols();
        if self.from_logits {
            dy.data.copy_from_slice(y_pred.data);
            reduce::softmax(dy.data, n);
        }
        let rows = y_true
            .data
            .chunks_exact(n)
            .zip(y_pred.data.chunks_exact(n))
            .zip(dy.data.chunks_exact_mut(n));
        for (((t, p), dy), &coef) in rows.zip(coef) {
            if self.from_logits {
                let mass: Float = t.iter().map(|t| self.target(*t, n)).sum();
                t.iter()
                    .zip(dy)
                    .for_each(|(t, dy)| *dy = coef * (*dy * mass - self.target(*t, n)));
                continue;
            }
            // q = p / sum p; dL/dq = -t / q where not clipped; dL/dp = (dL/dq - sum_j dL/dq_j q_j) / sum p.
            let total: Float = p.iter().sum();
            let slope = |t: Float, p: Float| {
                if inside(p / total) {
                    -self.target(t, n) / (p / total)
                } else {
                    0.0
                }
            };
            let mean: Float = t
                .iter()
                .zip(p)
                .map(|(t, p)| slope(*t, *p) * p / total)
                .sum();
            t.iter()
                .zip(p)
                .zip(dy)
                .for_each(|((t, p), dy)| *dy = coef * (slope(*t, *p) - mean) / total);
        }
    }

    fn on_logits(&self, last: &Activation) -> Option<Arc<dyn Loss>> {
        (*last == Activation::Softmax && !self.from_logits)
            .then(|| Arc::new(self.clone().from_logits(true)) as _)
    }
}

impl Loss for SparseCategoricalCrossentropy {
    fn class_name(&self) -> &'static str {
        "SparseCategoricalCrossentropy"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_axis(self.axis, y_pred)?;
        let rank = y_pred.rank();
        let front = |s: &Shape| Shape::from(s.dims()[..rank.saturating_sub(1)].to_vec());
        let fits = match y_true.rank() {
            r if r + 1 == rank => super::compatible(y_true, &front(y_pred)),
            r if r == rank && rank > 0 => {
                y_true.last() == Some(1) && super::compatible(&front(y_true), &front(y_pred))
            }
            _ => false,
        };
        if rank == 0 || !fits {
            let want = if rank == 0 {
                "outputs with a last axis of classes".into()
            } else {
                format!(
                    "class ids of shape {}, one for each row of the output {y_pred}",
                    front(y_pred)
                )
            };
            return Err(Error::shape(
                want,
                format!(
                    "targets of shape {y_true}{}",
                    if y_true == y_pred {
                        " (one-hot targets go with categorical_crossentropy)"
                    } else {
                        ""
                    }
                ),
            ));
        }
        Ok(())
    }

    fn check_targets(&self, y_true: View<'_>, y_pred: &[usize]) -> Result<()> {
        let classes = y_pred.last().copied().unwrap_or(0);
        let good = |t: &Float| {
            t.fract() == 0.0
                && ((*t >= 0.0 && (*t as usize) < classes) || self.ignore_class == Some(*t as i64))
        };
        match y_true.data.iter().position(|t| !good(t)) {
            Some(i) => Err(Error::data(
                "y",
                format!(
                    "sample {} holds {}, not a class id in 0..{classes}",
                    sample(y_true, i),
                    y_true.data[i]
                ),
            )),
            None => Ok(()),
        }
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let n = y_pred.cols();
        if self.from_logits {
            reduce::logsumexp(y_pred.data, n, out);
        }
        for ((t, p), out) in y_true.data.iter().zip(y_pred.data.chunks_exact(n)).zip(out) {
            *out = match self.class(*t) {
                None => 0.0,
                Some(class) if self.from_logits => *out - p[class],
                // Keras takes the logarithms of the clipped probabilities as logits: they are normalised again.
                Some(class) => {
                    math::log::<false>(p.iter().map(|p| clip(*p)).sum())
                        - math::log::<false>(clip(p[class]))
                }
            };
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let n = y_pred.cols();
        if self.from_logits {
            dy.data.copy_from_slice(y_pred.data);
            reduce::softmax(dy.data, n);
        }
        for (((t, p), dy), &coef) in y_true
            .data
            .iter()
            .zip(y_pred.data.chunks_exact(n))
            .zip(dy.data.chunks_exact_mut(n))
            .zip(coef)
        {
            match self.class(*t) {
                None => dy.fill(0.0),
                Some(class) if self.from_logits => {
                    dy[class] -= 1.0;
                    dy.iter_mut().for_each(|dy| *dy *= coef);
                }
                Some(class) => {
                    let total: Float = p.iter().map(|p| clip(*p)).sum();
                    for (j, (p, dy)) in p.iter().zip(dy).enumerate() {
                        let own = if j == class { 1.0 / clip(*p) } else { 0.0 };
                        *dy = if inside(*p) {
                            coef * (1.0 / total - own)
                        } else {
                            0.0
                        };
                    }
                }
            }
        }
    }

    fn on_logits(&self, last: &Activation) -> Option<Arc<dyn Loss>> {
        (*last == Activation::Softmax && !self.from_logits)
            .then(|| Arc::new(self.clone().from_logits(true)) as _)
    }
}

/// Which sample element `i` of a view belongs to.
fn sample(view: View<'_>, i: usize) -> usize {
    i / view.shape.iter().product::<usize>().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_loss;

    const P: [Float; 6] = [0.3, 0.2, 0.5, 0.6, 0.1, 0.3];
    const Z: [Float; 6] = [0.3, -1.2, 2.5, -3.6, 0.1, 0.7];

    #[test]
    fn gradients() {
        let (binary, hot, ids) = (
            [0.0, 1.0, 0.25, 1.0, 0.0, 1.0],
            [0.0, 1.0, 0.0, 0.25, 0.25, 0.5],
            [2.0, 0.0],
        );
        for s in [0.0, 0.2] {
            check_loss(
                &BinaryCrossentropy::default().label_smoothing(s),
                &binary,
                &[3],
                &P,
                &[3],
            );
            check_loss(
                &BinaryCrossentropy::default()
                    .label_smoothing(s)
                    .from_logits(true),
                &binary,
                &[3],
                &Z,
                &[3],
            );
            check_loss(
                &CategoricalCrossentropy::default().label_smoothing(s),
                &hot,
                &[3],
                &P,
                &[3],
            );
            check_loss(
                &CategoricalCrossentropy::default()
                    .label_smoothing(s)
                    .from_logits(true),
                &hot,
                &[3],
                &Z,
                &[3],
            );
        }
        check_loss(
            &SparseCategoricalCrossentropy::default(),
            &ids,
            &[],
            &P,
            &[3],
        );
        check_loss(
            &SparseCategoricalCrossentropy::default().from_logits(true),
            &ids,
            &[1],
            &Z,
            &[3],
        );
        check_loss(
            &SparseCategoricalCrossentropy::default()
                .ignore_class(2)
                .from_logits(true),
            &ids,
            &[],
            &Z,
            &[3],
        );
    }

    #[test]
    fn values_are_keras_s() {
        // keras.losses.binary_crossentropy([[0., 1.], [0., 0.]], [[.6, .4], [.4, .6]]) = [0.916, 0.714]
        let mut out = [0.0; 2];
        let view = |data| View {
            data,
            shape: &[2],
            batch: 2,
        };
        BinaryCrossentropy::default().values(
            view(&[0.0, 1.0, 0.0, 0.0]),
            view(&[0.6, 0.4, 0.4, 0.6]),
            &mut out,
        );
        assert!(
            (out[0] - 0.916_290_7).abs() < 1e-5 && (out[1] - 0.713_558_2).abs() < 1e-5,
            "{out:?}"
        );
        // From logits, a saturated prediction costs its logit, not ln(1e-7).
        let mut out = [0.0];
        let one = |data| View {
            data,
            shape: &[1],
            batch: 1,
        };
        BinaryCrossentropy::default()
            .from_logits(true)
            .values(one(&[0.0]), one(&[30.0]), &mut out);
        assert!((out[0] - 30.0).abs() < 1e-5);
    }

    #[test]
    fn shapes_and_labels_are_checked() {
        let sparse = SparseCategoricalCrossentropy::default();
        assert!(sparse.check(&Shape::default(), &[3].into()).is_ok());
        assert!(sparse.check(&[1].into(), &[3].into()).is_ok());
        assert!(
            sparse
                .check(&[3].into(), &[3].into())
                .unwrap_err()
                .to_string()
                .contains("one-hot")
        );
        let ids = View {
            data: &[0.0, 3.0],
            shape: &[],
            batch: 2,
        };
        assert_eq!(
            sparse.check_targets(ids, &[3]).unwrap_err().to_string(),
            "y: sample 1 holds 3, not a class id in 0..3"
        );
        let binary = BinaryCrossentropy::default();
        let e = binary
            .check(&Shape::default(), &[1].into())
            .unwrap_err()
            .to_string();
        assert!(e.contains("insert_axis"), "{e}");
        assert!(
            binary
                .check_targets(
                    View {
                        data: &[0.5, -1.0],
                        shape: &[1],
                        batch: 2
                    },
                    &[1]
                )
                .is_err()
        );
    }
}
