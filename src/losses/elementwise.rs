//! Losses that are the mean, along one axis, of a function of target and prediction.

use super::axis::Lanes;
use crate::float::Float;
use crate::tensor::{View, ViewMut};

/// `out[lane] = mean_k f(t_k, p_k)`
pub(super) fn mean_values(
    lanes: Lanes,
    y_true: View<'_>,
    y_pred: View<'_>,
    out: &mut [Float],
    f: impl Fn(Float, Float) -> Float,
) {
    let (t, p, n) = (y_true.data, y_pred.data, lanes.n as Float);
    if lanes.inner == 1 {
        let rows = t.chunks_exact(lanes.n).zip(p.chunks_exact(lanes.n));
        for ((t, p), out) in rows.zip(out) {
            *out = sum(t, p, &f) / n;
        }
        return;
    }
    for (r, out) in out.iter_mut().enumerate() {
        *out = lanes.at(r).map(|i| f(t[i], p[i])).sum::<Float>() / n;
    }
}

/// `dy_k = coef[lane] / n * slope(t_k, p_k)`
pub(super) fn mean_grad(
    lanes: Lanes,
    y_true: View<'_>,
    y_pred: View<'_>,
    coef: &[Float],
    dy: ViewMut<'_>,
    slope: impl Fn(Float, Float) -> Float,
) {
    let (t, p, n) = (y_true.data, y_pred.data, lanes.n as Float);
    if lanes.inner == 1 {
        let rows = t.chunks_exact(lanes.n).zip(p.chunks_exact(lanes.n));
        for (((t, p), dy), coef) in rows.zip(dy.data.chunks_exact_mut(lanes.n)).zip(coef) {
            let coef = coef / n;
            for ((t, p), dy) in t.iter().zip(p).zip(dy) {
                *dy = coef * slope(*t, *p);
            }
        }
        return;
    }
    for (r, coef) in coef.iter().enumerate() {
        for i in lanes.at(r) {
            dy.data[i] = coef / n * slope(t[i], p[i]);
        }
    }
}

/// `sum_k f(t_k, p_k)`, in eight sums side by side so that it vectorises.
#[inline(always)]
fn sum(t: &[Float], p: &[Float], f: impl Fn(Float, Float) -> Float) -> Float {
    let mut sums = [0.0; 8];
    let (t8, p8) = (t.chunks_exact(8), p.chunks_exact(8));
    let rest: Float = t8
        .remainder()
        .iter()
        .zip(p8.remainder())
        .map(|(t, p)| f(*t, *p))
        .sum();
    for (t, p) in t8.zip(p8) {
        for ((sum, t), p) in sums.iter_mut().zip(t).zip(p) {
            *sum += f(*t, *p);
        }
    }
    sums.iter().sum::<Float>() + rest
}
