//! Steps of the adaptive optimizers besides Adam and RMSprop. `g` is the gradient times [`Fold::grad_scale`], `w` the weight times
//! [`Fold::keep`].

use super::Fold;
use crate::float::Float;
use crate::kernels::math::fma;
use crate::kernels::simd::simd_fn;

simd_fn! {
    /// `a += g^2`, `w -= lr g / sqrt(a + epsilon)`.
    pub fn adagrad<FMA>(w: &mut [Float], g: &[Float], a: &mut [Float], lr: f64, epsilon: f64, fold: Fold) {
        let (scale, keep) = fold.factors();
        let (lr, epsilon) = (lr as Float, epsilon as Float);
        for ((w, g), a) in w.iter_mut().zip(g).zip(a) {
            let g = g * scale;
            *a = fma::<FMA>(g, g, *a);
            *w = *w * keep - lr * g / (*a + epsilon).sqrt();
        }
    }
}

/// Adadelta.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adadelta {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the means.
    pub rho: f64,
    /// Added under both roots.
    pub epsilon: f64,
}

simd_fn! {
    /// `a = rho a + (1 - rho) g^2`, `s = -g sqrt(d + epsilon) / sqrt(a + epsilon)`, `d = rho d + (1 - rho) s^2`, `w += lr s`.
    pub fn adadelta<FMA>(
        w: &mut [Float],
        g: &[Float],
        a: &mut [Float],
        d: &mut [Float],
        step: Adadelta,
        fold: Fold,
    ) {
        let (scale, keep) = fold.factors();
        let (lr, rho, new) = (step.lr as Float, step.rho as Float, (1.0 - step.rho) as Float);
        let epsilon = step.epsilon as Float;
        for (((w, g), a), d) in w.iter_mut().zip(g).zip(a).zip(d) {
            let g = g * scale;
            *a = fma::<FMA>(rho, *a, new * g * g);
            let s = -(*d + epsilon).sqrt() * g / (*a + epsilon).sqrt();
            *d = fma::<FMA>(rho, *d, new * s * s);
            *w = fma::<FMA>(lr, s, *w * keep);
        }
    }
}

/// Adamax. `alpha = lr / (1 - beta_1^t)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adamax {
    /// Corrected learning rate of this step.
    pub alpha: f64,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the largest gradient.
    pub beta_2: f64,
    /// Added to the largest gradient.
    pub epsilon: f64,
}

simd_fn! {
    /// `m += (g - m)(1 - beta_1)`, `u = max(beta_2 u, abs(g))`, `w -= alpha m / (u + epsilon)`.
    pub fn adamax<FMA>(
        w: &mut [Float],
        g: &[Float],
        m: &mut [Float],
        u: &mut [Float],
        step: Adamax,
        fold: Fold,
    ) {
        let (scale, keep) = fold.factors();
        let (alpha, new) = (step.alpha as Float, (1.0 - step.beta_1) as Float);
        let (beta_2, epsilon) = (step.beta_2 as Float, step.epsilon as Float);
        for (((w, g), m), u) in w.iter_mut().zip(g).zip(m).zip(u) {
            let g = g * scale;
            *m = fma::<FMA>(g - *m, new, *m);
            let (old, size) = (beta_2 * *u, g.abs());
            *u = if old < size { size } else { old };
            *w = *w * keep - alpha * *m / (*u + epsilon);
        }
    }
}

/// Nadam. The corrections are folded into the factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nadam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Factor of the first moment.
    pub of_m: f64,
    /// Factor of the gradient.
    pub of_g: f64,
    /// Factor of the second moment, under the root: `1 / (1 - beta_2^t)`.
    pub of_v: f64,
}

simd_fn! {
    /// Adam's moments, and `w -= lr (of_m m + of_g g) / (sqrt(of_v v) + epsilon)`.
    pub fn nadam<FMA>(
        w: &mut [Float],
        g: &[Float],
        m: &mut [Float],
        v: &mut [Float],
        step: Nadam,
        fold: Fold,
    ) {
        let (scale, keep) = fold.factors();
        let (new_m, new_v) = ((1.0 - step.beta_1) as Float, (1.0 - step.beta_2) as Float);
        let (of_m, of_g, of_v) = (step.of_m as Float, step.of_g as Float, step.of_v as Float);
        let (lr, epsilon) = (step.lr as Float, step.epsilon as Float);
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = g * scale;
            *m = fma::<FMA>(g - *m, new_m, *m);
            *v = fma::<FMA>(fma::<FMA>(g, g, -*v), new_v, *v);
            let ahead = fma::<FMA>(of_m, *m, of_g * g);
            *w = *w * keep - ahead * lr / ((*v * of_v).sqrt() + epsilon);
        }
    }
}

/// Lion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    /// Learning rate.
    pub lr: f64,
    /// Share of the momentum in the step.
    pub beta_1: f64,
    /// Decay of the momentum.
    pub beta_2: f64,
}

simd_fn! {
    /// `w -= lr sign(beta_1 m + (1 - beta_1) g)`, `m = beta_2 m + (1 - beta_2) g`.
    pub fn lion<FMA>(w: &mut [Float], g: &[Float], m: &mut [Float], step: Lion, fold: Fold) {
        let (scale, keep) = fold.factors();
        let (b1, n1) = (step.beta_1 as Float, 1.0 - step.beta_1 as Float);
        let (b2, n2) = (step.beta_2 as Float, 1.0 - step.beta_2 as Float);
        let lr = step.lr as Float;
        for ((w, g), m) in w.iter_mut().zip(g).zip(m) {
            let g = g * scale;
            let c = fma::<FMA>(*m, b1, g * n1);
            let sign = if c > 0.0 { lr } else if c < 0.0 { -lr } else { c * 0.0 };
            *w = *w * keep - sign;
            *m = fma::<FMA>(*m, b2, g * n2);
        }
    }
}

/// Follow the regularized leader.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ftrl {
    /// Learning rate.
    pub lr: f64,
    /// Exponent of the accumulated squares in the rate, negative or zero.
    pub power: f64,
    /// Strength of the absolute penalty.
    pub l1: f64,
    /// Strength of the squared penalty, with `beta / (2 lr)` in it.
    pub l2: f64,
    /// Strength of the squared penalty that only shrinks.
    pub shrinkage: f64,
}

simd_fn! {
    /// `n = a + g^2`, `l += g + 2 shrinkage w - (n^-power - a^-power) / lr w`,
    /// `w = (clip(l, -l1, l1) - l) / (n^-power / lr + 2 l2)`, `a = n`.
    pub fn ftrl<FMA>(
        w: &mut [Float],
        g: &[Float],
        a: &mut [Float],
        l: &mut [Float],
        step: Ftrl,
        fold: Fold,
    ) {
        let (scale, keep) = fold.factors();
        let (lr, l1, l2) = (step.lr as Float, step.l1 as Float, 2.0 * step.l2 as Float);
        let (shrinkage, exponent) = (2.0 * step.shrinkage as Float, -step.power as Float);
        let raised = |x: Float| if exponent == 0.5 { x.sqrt() } else { x.powf(exponent) };
        for (((w, g), a), l) in w.iter_mut().zip(g).zip(a).zip(l) {
            let (g, old) = (g * scale, *w * keep);
            let n = fma::<FMA>(g, g, *a);
            let (new_rate, old_rate) = (raised(n), raised(*a));
            *l += fma::<FMA>(shrinkage, old, g) - (new_rate - old_rate) / lr * old;
            let clipped = if *l > l1 { l1 } else if *l < -l1 { -l1 } else { *l };
            *w = (clipped - *l) / (new_rate / lr + l2);
            *a = n;
        }
    }
}

/// Schedule-free AdamW. The weights are `y`, the momentum is `z`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduleFree {
    /// Learning rate of this step.
    pub lr: f64,
    /// How much of `x` is in `y`.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Factor of the second moment, under the root: `1 / (1 - beta_2^t)`.
    pub of_v: f64,
    /// Share of the new `z` in the mean `x`: `1 / t`.
    pub share: f64,
}

simd_fn! {
    /// `v += (g^2 - v)(1 - beta_2)`, `z -= lr g / (sqrt(of_v v) + epsilon)`, `x = (y - (1 - beta_1) z) / beta_1` with the new `z`,
    /// `x += (z - x) share`, `y = (1 - beta_1) z + beta_1 x`.
    pub fn schedule_free<FMA>(
        w: &mut [Float],
        g: &[Float],
        z: &mut [Float],
        v: &mut [Float],
        step: ScheduleFree,
        fold: Fold,
    ) {
        let (scale, keep) = fold.factors();
        let (beta_1, rest) = (step.beta_1 as Float, 1.0 - step.beta_1 as Float);
        let (new_v, of_v) = (1.0 - step.beta_2 as Float, step.of_v as Float);
        let (lr, epsilon, share) = (step.lr as Float, step.epsilon as Float, step.share as Float);
        for (((w, g), z), v) in w.iter_mut().zip(g).zip(z).zip(v) {
            let (g, y) = (g * scale, *w * keep);
            *v = fma::<FMA>(fma::<FMA>(g, g, -*v), new_v, *v);
            *z -= lr * g / ((*v * of_v).sqrt() + epsilon);
            let x = (y - rest * *z) / beta_1;
            let x = fma::<FMA>(1.0 - share, x, share * *z);
            *w = fma::<FMA>(rest, *z, beta_1 * x);
        }
    }
}

/// Lamb: Adam's direction, scaled to the norm of the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lamb {
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Factor of the first moment: `1 / (1 - beta_1^t)`.
    pub of_m: f64,
    /// Factor of the second moment, under the root: `1 / (1 - beta_2^t)`.
    pub of_v: f64,
}

impl Lamb {
    /// Factors of the moments and epsilon, as [`Float`]s.
    #[inline(always)]
    fn direction(self) -> impl Fn(Float, Float) -> Float {
        let (of_m, of_v) = (self.of_m as Float, self.of_v as Float);
        let epsilon = self.epsilon as Float;
        move |m, v| m * of_m / ((v * of_v).sqrt() + epsilon)
    }
}

/// The first pass: moves the moments, and returns the norms of the weights and of the direction.
pub fn lamb_moments(
    w: &[Float],
    g: &[Float],
    m: &mut [Float],
    v: &mut [Float],
    step: Lamb,
    fold: Fold,
) -> (f64, f64) {
    // Pieces bound the error of the sums in single precision.
    const PIECE: usize = 1 << 12;
    let (mut of_w, mut of_u) = (0.0, 0.0);
    let pieces = w.chunks(PIECE).zip(g.chunks(PIECE));
    for ((w, g), (m, v)) in pieces.zip(m.chunks_mut(PIECE).zip(v.chunks_mut(PIECE))) {
        let (w, u) = lamb_piece(w, g, m, v, step, fold);
        of_w += f64::from(w);
        of_u += f64::from(u);
    }
    (of_w.sqrt(), of_u.sqrt())
}

simd_fn! {
    fn lamb_piece<FMA>(
        w: &[Float],
        g: &[Float],
        m: &mut [Float],
        v: &mut [Float],
        step: Lamb,
        fold: Fold,
    ) -> (Float, Float) {
        const LANES: usize = 16;
        let (scale, keep) = fold.factors();
        let (new_m, new_v) = ((1.0 - step.beta_1) as Float, (1.0 - step.beta_2) as Float);
        let direction = step.direction();
        let (mut of_w, mut of_u) = ([0.0; LANES], [0.0; LANES]);
        for (((w, g), m), v) in w.chunks(LANES).zip(g.chunks(LANES)).zip(m.chunks_mut(LANES)).zip(v.chunks_mut(LANES)) {
            let sums = of_w.iter_mut().zip(&mut of_u);
            for ((((w, g), m), v), (of_w, of_u)) in w.iter().zip(g).zip(m).zip(v).zip(sums) {
                let (g, w) = (g * scale, w * keep);
                *m = fma::<FMA>(g - *m, new_m, *m);
                *v = fma::<FMA>(fma::<FMA>(g, g, -*v), new_v, *v);
                let u = direction(*m, *v);
                *of_w = fma::<FMA>(w, w, *of_w);
                *of_u = fma::<FMA>(u, u, *of_u);
            }
        }
        (of_w.iter().sum(), of_u.iter().sum())
    }
}

simd_fn! {
    /// The second pass: `w -= rate u`, the direction computed again from the moments.
    pub fn lamb_apply<FMA>(w: &mut [Float], m: &[Float], v: &[Float], step: Lamb, rate: f64, keep: f64) {
        let (direction, rate, keep) = (step.direction(), rate as Float, keep as Float);
        for ((w, m), v) in w.iter_mut().zip(m).zip(v) {
            *w = *w * keep - rate * direction(*m, *v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{FOLD, agrees};
    use super::*;

    #[test]
    fn adagrad_and_adadelta() {
        agrees(
            1,
            |w, g, s| adagrad(w, g, &mut s[0], 0.1, 1e-3, FOLD),
            |w, g, s| {
                let g = 0.5 * g;
                s[0] += g * g;
                *w = *w * 0.99 - 0.1 * g / (s[0] + 1e-3).sqrt();
            },
        );
        let step = Adadelta {
            lr: 0.7,
            rho: 0.9,
            epsilon: 1e-3,
        };
        agrees(
            2,
            |w, g, s| {
                let [a, d] = s else { unreachable!() };
                adadelta(w, g, a, d, step, FOLD);
            },
            |w, g, s| {
                let g = 0.5 * g;
                s[0] = 0.9 * s[0] + 0.1 * g * g;
                let delta = -(s[1] + 1e-3).sqrt() * g / (s[0] + 1e-3).sqrt();
                s[1] = 0.9 * s[1] + 0.1 * delta * delta;
                *w = *w * 0.99 + 0.7 * delta;
            },
        );
    }

    #[test]
    fn adamax_and_nadam() {
        let step = Adamax {
            alpha: 0.05,
            beta_1: 0.9,
            beta_2: 0.99,
            epsilon: 1e-7,
        };
        agrees(
            2,
            |w, g, s| {
                let [m, u] = s else { unreachable!() };
                adamax(w, g, m, u, step, FOLD);
            },
            |w, g, s| {
                let g = 0.5 * g;
                s[0] = 0.9 * s[0] + 0.1 * g;
                s[1] = (0.99 * s[1]).max(g.abs());
                *w = *w * 0.99 - 0.05 * s[0] / (s[1] + 1e-7);
            },
        );
        let step = Nadam {
            lr: 0.01,
            beta_1: 0.9,
            beta_2: 0.99,
            epsilon: 1e-7,
            of_m: 1.3,
            of_g: 0.4,
            of_v: 2.0,
        };
        agrees(
            2,
            |w, g, s| {
                let [m, v] = s else { unreachable!() };
                nadam(w, g, m, v, step, FOLD);
            },
            |w, g, s| {
                let g = 0.5 * g;
                s[0] = 0.9 * s[0] + 0.1 * g;
                s[1] = 0.99 * s[1] + 0.01 * g * g;
                *w = *w * 0.99 - 0.01 * (1.3 * s[0] + 0.4 * g) / ((2.0 * s[1]).sqrt() + 1e-7);
            },
        );
    }

    #[test]
    fn lion_and_ftrl() {
        let step = Lion {
            lr: 0.01,
            beta_1: 0.9,
            beta_2: 0.99,
        };
        agrees(
            1,
            |w, g, s| lion(w, g, &mut s[0], step, FOLD),
            |w, g, s| {
                let g = 0.5 * g;
                let c = 0.9 * s[0] + 0.1 * g;
                *w = *w * 0.99 - 0.01 * if c == 0.0 { 0.0 } else { c.signum() };
                s[0] = 0.99 * s[0] + 0.01 * g;
            },
        );
        for power in [-0.5, -0.3, 0.0] {
            let step = Ftrl {
                lr: 0.1,
                power,
                l1: 0.2,
                l2: 0.3,
                shrinkage: 0.05,
            };
            agrees(
                2,
                |w, g, s| {
                    let [a, l] = s else { unreachable!() };
                    ftrl(w, g, a, l, step, FOLD);
                },
                |w, g, s| {
                    let (g, old) = (0.5 * g, *w * 0.99);
                    let n = s[0] + g * g;
                    let (new_rate, old_rate) = (n.powf(-power), s[0].powf(-power));
                    s[1] += g + 0.1 * old - (new_rate - old_rate) / 0.1 * old;
                    *w = (s[1].clamp(-0.2, 0.2) - s[1]) / (new_rate / 0.1 + 0.6);
                    s[0] = n;
                },
            );
        }
    }

    #[test]
    fn schedule_free_and_lamb() {
        let step = ScheduleFree {
            lr: 0.02,
            beta_1: 0.9,
            beta_2: 0.99,
            epsilon: 1e-4,
            of_v: 2.0,
            share: 0.25,
        };
        agrees(
            2,
            |w, g, s| {
                let [z, v] = s else { unreachable!() };
                schedule_free(w, g, z, v, step, FOLD);
            },
            |w, g, s| {
                let (g, y) = (0.5 * g, *w * 0.99);
                s[1] = 0.99 * s[1] + 0.01 * g * g;
                s[0] -= 0.02 * g / ((2.0 * s[1]).sqrt() + 1e-4);
                let x = (y - 0.1 * s[0]) / 0.9;
                let x = 0.75 * x + 0.25 * s[0];
                *w = 0.1 * s[0] + 0.9 * x;
            },
        );
        let step = Lamb {
            beta_1: 0.9,
            beta_2: 0.99,
            epsilon: 1e-7,
            of_m: 1.5,
            of_v: 2.0,
        };
        agrees(
            2,
            |w, g, s| {
                let [m, v] = s else { unreachable!() };
                let (of_w, of_u) = lamb_moments(w, g, m, v, step, FOLD);
                let (w64, u64) =
                    w.iter()
                        .zip(m.iter().zip(v.iter()))
                        .fold((0.0, 0.0), |(a, b), (w, (m, v))| {
                            let (w, m, v) = (f64::from(*w) * 0.99, f64::from(*m), f64::from(*v));
                            let u = 1.5 * m / ((2.0 * v).sqrt() + 1e-7);
                            (a + w * w, b + u * u)
                        });
                assert!(
                    (of_w / w64.sqrt() - 1.0).abs() < 1e-5
                        && (of_u / u64.sqrt() - 1.0).abs() < 1e-5
                );
                lamb_apply(w, m, v, step, 0.01, FOLD.keep);
            },
            |w, g, s| {
                let g = 0.5 * g;
                s[0] = 0.9 * s[0] + 0.1 * g;
                s[1] = 0.99 * s[1] + 0.01 * g * g;
                *w = *w * 0.99 - 0.01 * 1.5 * s[0] / ((2.0 * s[1]).sqrt() + 1e-7);
            },
        );
    }
}
