//! Optimizer steps over flat arrays of weights, gradients and slots, each in one pass: past the second cache they are bound by
//! memory, so every array is read and written once.
mod adaptive;

pub use adaptive::{
    Adadelta, Adamax, Ftrl, Lamb, Lion, Nadam, ScheduleFree, adadelta, adagrad, adamax, ftrl,
    lamb_apply, lamb_moments, lion, nadam, schedule_free,
};

use super::math::fma;
use super::simd::simd_fn;
use crate::float::Float;

/// What every step does to the gradient and the weight before its own formula; folded into the same pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fold {
    /// The gradient is multiplied by this: the clipping factor; 1 leaves it.
    pub grad_scale: f64,
    /// The weight is multiplied by this: `1 - weight_decay * learning_rate`; 1 leaves it.
    pub keep: f64,
}

impl Default for Fold {
    fn default() -> Self {
        Fold {
            grad_scale: 1.0,
            keep: 1.0,
        }
    }
}

impl Fold {
    /// Both factors as [`Float`]s.
    #[inline(always)]
    fn factors(self) -> (Float, Float) {
        (self.grad_scale as Float, self.keep as Float)
    }
}

/// Gradient descent with momentum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// Learning rate.
    pub lr: f64,
    /// Share of the velocity that is kept.
    pub momentum: f64,
    /// Whether the weight moves by where the velocity leads next.
    pub nesterov: bool,
}

/// Adam. `alpha = lr sqrt(1 - beta_2^t) / (1 - beta_1^t)` holds the bias corrections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Corrected learning rate of this step.
    pub alpha: f64,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

/// RMSprop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the moments.
    pub rho: f64,
    /// Share of the last step that is kept, where there is a slot for it.
    pub momentum: f64,
    /// Added to the second moment, under the root.
    pub epsilon: f64,
}

simd_fn! {
    /// `w -= lr g`.
    pub fn sgd<FMA>(w: &mut [Float], g: &[Float], lr: f64, fold: Fold) {
        let (scale, keep) = fold.factors();
        let step = -(lr as Float);
        for (w, g) in w.iter_mut().zip(g) {
            *w = fma::<FMA>(step, g * scale, *w * keep);
        }
    }
}

simd_fn! {
    /// `v = momentum v - lr g`; `w += v`, or with Nesterov's `w += momentum v - lr g`.
    pub fn sgd_momentum<FMA>(
        w: &mut [Float],
        g: &[Float],
        v: &mut [Float],
        step: Momentum,
        fold: Fold,
    ) {
        let (scale, keep) = fold.factors();
        let (lr, momentum) = (step.lr as Float, step.momentum as Float);
        // `w += ahead v - behind g` is both: (1, 0) or (momentum, lr).
        let (ahead, behind) = if step.nesterov { (momentum, lr) } else { (1.0, 0.0) };
        for ((w, g), v) in w.iter_mut().zip(g).zip(v) {
            let g = g * scale;
            *v = fma::<FMA>(momentum, *v, -lr * g);
            *w = fma::<FMA>(ahead, *v, fma::<FMA>(-behind, g, *w * keep));
        }
    }
}

/// Adam: `m += (g - m)(1 - beta_1)`; `v += (g^2 - v)(1 - beta_2)`; `w -= alpha m / (sqrt(v) + epsilon)`.
/// With `vhat` (AMSGrad) the root is that of `vhat = max(vhat, v)`.
pub fn adam(
    w: &mut [Float],
    g: &[Float],
    m: &mut [Float],
    v: &mut [Float],
    vhat: Option<&mut [Float]>,
    step: Adam,
    fold: Fold,
) {
    match vhat {
        None => adam_plain(w, g, m, v, step, fold),
        Some(vhat) => adam_amsgrad(w, g, m, v, vhat, step, fold),
    }
}

/// The constants of [`Adam`] as [`Float`]s; `1 - beta` is taken before rounding.
#[derive(Clone, Copy)]
struct Rates {
    alpha: Float,
    new_m: Float,
    new_v: Float,
    epsilon: Float,
}

impl Rates {
    #[inline(always)]
    fn of(step: Adam) -> Self {
        Rates {
            alpha: step.alpha as Float,
            new_m: (1.0 - step.beta_1) as Float,
            new_v: (1.0 - step.beta_2) as Float,
            epsilon: step.epsilon as Float,
        }
    }

    /// The two moments, moved towards `g` and `g^2`.
    #[inline(always)]
    fn moments<const FMA: bool>(self, g: Float, m: Float, v: Float) -> (Float, Float) {
        (
            fma::<FMA>(g - m, self.new_m, m),
            fma::<FMA>(fma::<FMA>(g, g, -v), self.new_v, v),
        )
    }

    /// How far the weight moves.
    #[inline(always)]
    fn distance(self, m: Float, v: Float) -> Float {
        m * self.alpha / (v.sqrt() + self.epsilon)
    }
}

simd_fn! {
    fn adam_plain<FMA>(
        w: &mut [Float],
        g: &[Float],
        m: &mut [Float],
        v: &mut [Float],
        step: Adam,
        fold: Fold,
    ) {
        let ((scale, keep), rates) = (fold.factors(), Rates::of(step));
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            (*m, *v) = rates.moments::<FMA>(g * scale, *m, *v);
            *w = *w * keep - rates.distance(*m, *v);
        }
    }
}

simd_fn! {
    fn adam_amsgrad<FMA>(
        w: &mut [Float],
        g: &[Float],
        m: &mut [Float],
        v: &mut [Float],
        vhat: &mut [Float],
        step: Adam,
        fold: Fold,
    ) {
        let ((scale, keep), rates) = (fold.factors(), Rates::of(step));
        for ((((w, g), m), v), vhat) in w.iter_mut().zip(g).zip(m).zip(v).zip(vhat) {
            (*m, *v) = rates.moments::<FMA>(g * scale, *m, *v);
            *vhat = if *v < *vhat { *vhat } else { *v };
            *w = *w * keep - rates.distance(*m, *vhat);
        }
    }
}

/// RMSprop: `v = rho v + (1 - rho) g^2`; the step is `lr g / sqrt(v + epsilon)`.
///
/// Centered (with `mg`): `mg = rho mg + (1 - rho) g`, and `v - mg^2` takes the place of `v` under the root.
/// With `momentum` (a slot): `momentum = momentum' momentum + step` is what the weight moves by.
pub fn rmsprop(
    w: &mut [Float],
    g: &[Float],
    v: &mut [Float],
    mg: Option<&mut [Float]>,
    momentum: Option<&mut [Float]>,
    step: RmsProp,
    fold: Fold,
) {
    match (mg, momentum) {
        (None, None) => rmsprop_plain(w, g, v, step, fold),
        (None, Some(mom)) => rmsprop_momentum(w, g, v, mom, step, fold),
        (Some(mg), None) => rmsprop_centered(w, g, v, mg, step, fold),
        (Some(mg), Some(mom)) => rmsprop_centered_momentum(w, g, v, mg, mom, step, fold),
    }
}

/// The constants of [`RmsProp`] as [`Float`]s.
#[derive(Clone, Copy)]
struct RmsRates {
    lr: Float,
    rho: Float,
    new: Float,
    momentum: Float,
    epsilon: Float,
}

impl RmsRates {
    #[inline(always)]
    fn of(step: RmsProp) -> Self {
        RmsRates {
            lr: step.lr as Float,
            rho: step.rho as Float,
            new: (1.0 - step.rho) as Float,
            momentum: step.momentum as Float,
            epsilon: step.epsilon as Float,
        }
    }

    /// `rho mean + (1 - rho) x`.
    #[inline(always)]
    fn mean<const FMA: bool>(self, mean: Float, x: Float) -> Float {
        fma::<FMA>(self.rho, mean, self.new * x)
    }

    /// `lr g / sqrt(v + epsilon)`.
    #[inline(always)]
    fn distance(self, g: Float, v: Float) -> Float {
        self.lr * g / (v + self.epsilon).sqrt()
    }
}

simd_fn! {
    fn rmsprop_plain<FMA>(w: &mut [Float], g: &[Float], v: &mut [Float], step: RmsProp, fold: Fold) {
        let ((scale, keep), rates) = (fold.factors(), RmsRates::of(step));
        for ((w, g), v) in w.iter_mut().zip(g).zip(v) {
            let g = g * scale;
            *v = rates.mean::<FMA>(*v, g * g);
            *w = *w * keep - rates.distance(g, *v);
        }
    }
}

simd_fn! {
    fn rmsprop_momentum<FMA>(
        w: &mut [Float],
        g: &[Float],
        v: &mut [Float],
        mom: &mut [Float],
        step: RmsProp,
        fold: Fold,
    ) {
        let ((scale, keep), rates) = (fold.factors(), RmsRates::of(step));
        for (((w, g), v), mom) in w.iter_mut().zip(g).zip(v).zip(mom) {
            let g = g * scale;
            *v = rates.mean::<FMA>(*v, g * g);
            *mom = fma::<FMA>(rates.momentum, *mom, rates.distance(g, *v));
            *w = *w * keep - *mom;
        }
    }
}

simd_fn! {
    fn rmsprop_centered<FMA>(
        w: &mut [Float],
        g: &[Float],
        v: &mut [Float],
        mg: &mut [Float],
        step: RmsProp,
        fold: Fold,
    ) {
        let ((scale, keep), rates) = (fold.factors(), RmsRates::of(step));
        for (((w, g), v), mg) in w.iter_mut().zip(g).zip(v).zip(mg) {
            let g = g * scale;
            *v = rates.mean::<FMA>(*v, g * g);
            *mg = rates.mean::<FMA>(*mg, g);
            *w = *w * keep - rates.distance(g, *v - *mg * *mg);
        }
    }
}

simd_fn! {
    fn rmsprop_centered_momentum<FMA>(
        w: &mut [Float],
        g: &[Float],
        v: &mut [Float],
        mg: &mut [Float],
        mom: &mut [Float],
        step: RmsProp,
        fold: Fold,
    ) {
        let ((scale, keep), rates) = (fold.factors(), RmsRates::of(step));
        for ((((w, g), v), mg), mom) in w.iter_mut().zip(g).zip(v).zip(mg).zip(mom) {
            let g = g * scale;
            *v = rates.mean::<FMA>(*v, g * g);
            *mg = rates.mean::<FMA>(*mg, g);
            *mom = fma::<FMA>(rates.momentum, *mom, rates.distance(g, *v - *mg * *mg));
            *w = *w * keep - *mom;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arrays of 77 numbers, and a step of one number in f64 that a kernel must agree with.
    pub(super) fn agrees(
        slots: usize,
        kernel: impl Fn(&mut [Float], &[Float], &mut [Vec<Float>]),
        formula: impl Fn(&mut f64, f64, &mut [f64]),
    ) {
        let n = 77;
        let g: Vec<Float> = (0..n).map(|i| (i as Float * 0.7).sin()).collect();
        let mut w: Vec<Float> = (0..n).map(|i| (i as Float * 0.3).cos()).collect();
        let mut s = vec![vec![0.01; n]; slots];
        let mut w64: Vec<f64> = w.iter().map(|&w| f64::from(w)).collect();
        let mut s64 = vec![vec![f64::from(0.01 as Float); slots]; n];
        for _ in 0..3 {
            kernel(&mut w, &g, &mut s);
            for i in 0..n {
                formula(&mut w64[i], f64::from(g[i]), &mut s64[i]);
            }
        }
        for i in 0..n {
            assert!(
                (f64::from(w[i]) - w64[i]).abs() < 2e-6 * (1.0 + w64[i].abs()),
                "w[{i}]: {} {}",
                w[i],
                w64[i]
            );
            for (s, slot) in s.iter().enumerate() {
                assert!(
                    (f64::from(slot[i]) - s64[i][s]).abs() < 1e-6 * (1.0 + s64[i][s].abs()),
                    "slot {s}[{i}]"
                );
            }
        }
    }

    pub(super) const FOLD: Fold = Fold {
        grad_scale: 0.5,
        keep: 0.99,
    };

    #[test]
    fn sgd_is_kerass() {
        agrees(
            0,
            |w, g, _| sgd(w, g, 0.1, FOLD),
            |w, g, _| *w = *w * 0.99 - 0.1 * 0.5 * g,
        );
        for nesterov in [false, true] {
            let step = Momentum {
                lr: 0.1,
                momentum: 0.9,
                nesterov,
            };
            agrees(
                1,
                |w, g, s| sgd_momentum(w, g, &mut s[0], step, FOLD),
                |w, g, s| {
                    let g = 0.5 * g;
                    s[0] = 0.9 * s[0] - 0.1 * g;
                    *w = *w * 0.99 + if nesterov { 0.9 * s[0] - 0.1 * g } else { s[0] };
                },
            );
        }
    }

    #[test]
    fn adam_is_kerass() {
        let step = Adam {
            alpha: 0.02,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-7,
        };
        let formula = |w: &mut f64, g: f64, s: &mut [f64]| {
            let g = 0.5 * g;
            s[0] += (g - s[0]) * (1.0 - 0.9);
            s[1] += (g * g - s[1]) * (1.0 - 0.999);
            let mut v = s[1];
            if let Some(vhat) = s.get_mut(2) {
                *vhat = vhat.max(v);
                v = *vhat;
            }
            *w = *w * 0.99 - s[0] * 0.02 / (v.sqrt() + 1e-7);
        };
        let plain = |w: &mut [Float], g: &[Float], s: &mut [Vec<Float>]| {
            let [m, v] = s else { unreachable!() };
            adam(w, g, m, v, None, step, FOLD);
        };
        let amsgrad = |w: &mut [Float], g: &[Float], s: &mut [Vec<Float>]| {
            let [m, v, vhat] = s else { unreachable!() };
            adam(w, g, m, v, Some(vhat), step, FOLD);
        };
        agrees(2, plain, formula);
        agrees(3, amsgrad, formula);
    }

    #[test]
    fn rmsprop_is_kerass() {
        let step = RmsProp {
            lr: 0.01,
            rho: 0.9,
            momentum: 0.8,
            epsilon: 1e-3,
        };
        for (centered, momentum) in [(false, false), (false, true), (true, false), (true, true)] {
            agrees(
                3,
                |w, g, s| {
                    let [v, mg, mom] = s else { unreachable!() };
                    let mg = centered.then_some(&mut mg[..]);
                    rmsprop(w, g, v, mg, momentum.then_some(&mut mom[..]), step, FOLD);
                },
                |w, g, s| {
                    let g = 0.5 * g;
                    s[0] = 0.9 * s[0] + 0.1 * g * g;
                    let mut denominator = s[0] + 1e-3;
                    if centered {
                        s[1] = 0.9 * s[1] + 0.1 * g;
                        denominator -= s[1] * s[1];
                    }
                    let mut step = 0.01 * g / denominator.sqrt();
                    if momentum {
                        s[2] = 0.8 * s[2] + step;
                        step = s[2];
                    }
                    *w = *w * 0.99 - step;
                },
            );
        }
    }
}
