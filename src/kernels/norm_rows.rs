//! Normalisation within rows: `y = (x - a) inv gamma + beta` with `inv = 1 / sqrt(v + epsilon)`.
//!
//! With `m` the mean of the row, `v` is `mean((x - m)^2)` (layer normalisation, `a = m`), the same with `a = 0` (Keras's
//! `rms_scaling`), or `mean(x^2)` (RMS normalisation, `m = a = 0`).
//!
//! Backward, with `g = dy gamma` and `n` columns: `dx = inv (g - mean(g)) - (x - m) inv^3 mean(g (x - a))`, without `mean(g)`
//! where `a = 0`; `dgamma += sum_rows dy (x - a) inv`, `dbeta += sum_rows dy`.

use super::math::fma;
use super::parallel::Par;
use super::simd::simd_fn;
use crate::float::Float;

/// Columns whose sums are kept in registers over all rows.
const COLUMNS: usize = 32;

/// Sums side by side, so that one does not wait for the other.
const LANES: usize = 16;

/// Elements that are worth a fork.
const PIECE: usize = 1 << 14;

/// What is subtracted, and from where deviations are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `a = m`.
    Layer,
    /// `a = 0`, deviations from the mean.
    Scale,
    /// `a = m = 0`.
    Rms,
}

#[inline(always)]
fn fold(sums: [Float; LANES]) -> Float {
    let mut sums = sums;
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

#[inline(always)]
fn row_sum(x: &[Float]) -> Float {
    let (blocks, tail) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        for (s, x) in sums.iter_mut().zip(block) {
            *s += x;
        }
    }
    for (s, x) in sums.iter_mut().zip(tail) {
        *s += x;
    }
    fold(sums)
}

/// `sum (x - m)^2`
#[inline(always)]
fn row_deviations<const FMA: bool>(x: &[Float], m: Float) -> Float {
    let (blocks, tail) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        for (s, x) in sums.iter_mut().zip(block) {
            let d = x - m;
            *s = fma::<FMA>(d, d, *s);
        }
    }
    for (s, x) in sums.iter_mut().zip(tail) {
        let d = x - m;
        *s = fma::<FMA>(d, d, *s);
    }
    fold(sums)
}

/// `sum g` and `sum g (x - a)`, where `g = dy gamma`.
#[inline(always)]
fn row_products<const FMA: bool>(
    x: &[Float],
    a: Float,
    dy: &[Float],
    gamma: &[Float],
) -> (Float, Float) {
    let ((xs, x), (dys, dy)) = (x.as_chunks::<LANES>(), dy.as_chunks::<LANES>());
    let (gammas, gamma) = gamma.as_chunks::<LANES>();
    let (mut plain, mut weighted) = ([0.0; LANES], [0.0; LANES]);
    for ((x, dy), gamma) in xs.iter().zip(dys).zip(gammas) {
        for i in 0..LANES {
            let g = dy[i] * gamma[i];
            plain[i] += g;
            weighted[i] = fma::<FMA>(g, x[i] - a, weighted[i]);
        }
    }
    for (i, ((x, dy), gamma)) in x.iter().zip(dy).zip(gamma).enumerate() {
        let g = dy * gamma;
        plain[i] += g;
        weighted[i] = fma::<FMA>(g, x - a, weighted[i]);
    }
    (fold(plain), fold(weighted))
}

simd_fn! {
    /// Rows of `x` to rows of `y`; `stats` keeps `m` and `inv` of every row.
    fn rows_forward<FMA>(
        rule: Rule,
        x: &[Float],
        cols: usize,
        epsilon: Float,
        gamma: Option<&[Float]>,
        beta: Option<&[Float]>,
        y: &mut [Float],
        stats: &mut [Float],
    ) {
        let count = cols as Float;
        let rows = x.chunks_exact(cols).zip(y.chunks_exact_mut(cols));
        for ((x, y), stats) in rows.zip(stats.chunks_exact_mut(2)) {
            let m = if rule == Rule::Rms { 0.0 } else { row_sum(x) / count };
            let a = if rule == Rule::Layer { m } else { 0.0 };
            let inv = 1.0 / (row_deviations::<FMA>(x, m) / count + epsilon).sqrt();
            (stats[0], stats[1]) = (m, inv);
            match (gamma, beta) {
                (Some(gamma), Some(beta)) => {
                    for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                        *y = fma::<FMA>((x - a) * inv, *gamma, *beta);
                    }
                }
                (Some(gamma), None) => {
                    for ((y, x), gamma) in y.iter_mut().zip(x).zip(gamma) {
                        *y = (x - a) * inv * gamma;
                    }
                }
                (None, Some(beta)) => {
                    for ((y, x), beta) in y.iter_mut().zip(x).zip(beta) {
                        *y = fma::<FMA>(x - a, inv, *beta);
                    }
                }
                (None, None) => {
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = (x - a) * inv;
                    }
                }
            }
        }
    }
}

simd_fn! {
    fn rows_backward<FMA>(
        rule: Rule,
        x: &[Float],
        dy: &[Float],
        gamma: &[Float],
        stats: &[Float],
        dx: &mut [Float],
    ) {
        let cols = gamma.len();
        let count = cols as Float;
        let rows = x.chunks_exact(cols).zip(dy.chunks_exact(cols));
        for (((x, dy), dx), stats) in rows.zip(dx.chunks_exact_mut(cols)).zip(stats.chunks_exact(2)) {
            let (m, inv) = (stats[0], stats[1]);
            let a = if rule == Rule::Layer { m } else { 0.0 };
            let (plain, weighted) = row_products::<FMA>(x, a, dy, gamma);
            let mean = if rule == Rule::Layer { plain / count * inv } else { 0.0 };
            let slope = weighted / count * inv * inv * inv;
            for (((dx, x), dy), gamma) in dx.iter_mut().zip(x).zip(dy).zip(gamma) {
                *dx = fma::<FMA>(dy * gamma, inv, -mean) - (x - m) * slope;
            }
        }
    }
}

simd_fn! {
    /// `dgamma` and `dbeta` (either may be empty) of the columns from `start` on.
    fn columns_backward<FMA>(
        rule: Rule,
        x: &[Float],
        dy: &[Float],
        cols: usize,
        stats: &[Float],
        start: usize,
        dgamma: &mut [Float],
        dbeta: &mut [Float],
    ) {
        let width = dgamma.len().max(dbeta.len());
        let (mut weighted, mut plain) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        let rows = x.chunks_exact(cols).zip(dy.chunks_exact(cols));
        for ((x, dy), stats) in rows.zip(stats.chunks_exact(2)) {
            let a = if rule == Rule::Layer { stats[0] } else { 0.0 };
            let (x, dy) = (&x[start..start + width], &dy[start..start + width]);
            for (((weighted, plain), x), dy) in weighted.iter_mut().zip(&mut plain).zip(x).zip(dy) {
                *weighted = fma::<FMA>(*dy, (x - a) * stats[1], *weighted);
                *plain += dy;
            }
        }
        for (dgamma, weighted) in dgamma.iter_mut().zip(&weighted) {
            *dgamma += weighted;
        }
        for (dbeta, plain) in dbeta.iter_mut().zip(&plain) {
            *dbeta += plain;
        }
    }
}

/// Normalises every row. `stats` has room for two numbers a row, which backward needs.
pub fn forward(
    rule: Rule,
    x: &[Float],
    cols: usize,
    epsilon: Float,
    gamma: Option<&[Float]>,
    beta: Option<&[Float]>,
    y: &mut [Float],
    stats: &mut [Float],
    par: Par,
) {
    let rows = (PIECE / cols).max(1);
    par.for_each_piece2(y, rows * cols, stats, rows * 2, |i, y, stats| {
        let x = &x[i * rows * cols..][..y.len()];
        rows_forward(rule, x, cols, epsilon, gamma, beta, y, stats);
    });
}

/// `dx` of every row; `gamma` holds ones where there is none.
pub fn backward(
    rule: Rule,
    x: &[Float],
    dy: &[Float],
    gamma: &[Float],
    stats: &[Float],
    dx: &mut [Float],
    par: Par,
) {
    let cols = gamma.len();
    let rows = (PIECE / cols).max(1);
    par.for_each_piece(dx, rows * cols, |at, dx| {
        let part = at..at + dx.len();
        let stats = &stats[at / cols * 2..];
        rows_backward(rule, &x[part.clone()], &dy[part], gamma, stats, dx);
    });
}

/// Adds to `dgamma` and `dbeta`, of which either may be missing.
pub fn backward_weights(
    rule: Rule,
    x: &[Float],
    dy: &[Float],
    cols: usize,
    stats: &[Float],
    dgamma: Option<&mut [Float]>,
    dbeta: Option<&mut [Float]>,
    par: Par,
) {
    let par = if x.len() < PIECE { Par::Serial } else { par };
    let run = |i: usize, dgamma: &mut [Float], dbeta: &mut [Float]| {
        columns_backward(rule, x, dy, cols, stats, i * COLUMNS, dgamma, dbeta);
    };
    match (dgamma, dbeta) {
        (Some(dgamma), dbeta) => {
            let step = if dbeta.is_some() { COLUMNS } else { 0 };
            par.for_each_piece2(dgamma, COLUMNS, dbeta.unwrap_or_default(), step, run);
        }
        (None, Some(dbeta)) => par.for_each_piece2(dbeta, COLUMNS, &mut [], 0, |i, dbeta, none| {
            run(i, none, dbeta);
        }),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::parallel::with_threads;

    fn numbers(n: usize, seed: usize) -> Vec<Float> {
        (0..n)
            .map(|i| ((i * 7919 + seed * 104_729) % 1013) as Float / 300.0 - 1.4)
            .collect()
    }

    /// Value of one element by the definition.
    fn naive(rule: Rule, x: &[Float], epsilon: f64) -> Vec<f64> {
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let m = if rule == Rule::Rms { 0.0 } else { mean };
        let v = x.iter().map(|x| (x - m).powi(2)).sum::<f64>() / n;
        let a = if rule == Rule::Layer { mean } else { 0.0 };
        x.iter().map(|x| (x - a) / (v + epsilon).sqrt()).collect()
    }

    #[test]
    fn rows_agree_with_the_definition_for_any_number_of_threads() {
        for rule in [Rule::Layer, Rule::Scale, Rule::Rms] {
            for (rows, cols) in [(1, 1), (3, 5), (2, 16), (4, 33), (700, 130)] {
                let x = numbers(rows * cols, 1);
                let (gamma, beta) = (numbers(cols, 2), numbers(cols, 3));
                let run = |threads| {
                    let (mut y, mut stats) = (vec![0.0; x.len()], vec![0.0; rows * 2]);
                    let (mut dx, mut dgamma, mut dbeta) =
                        (vec![0.0; x.len()], vec![1.0; cols], vec![1.0; cols]);
                    let (gamma, beta) = (&gamma[..], &beta[..]);
                    with_threads(threads, |par| {
                        forward(
                            rule,
                            &x,
                            cols,
                            1e-3,
                            Some(gamma),
                            Some(beta),
                            &mut y,
                            &mut stats,
                            par,
                        );
                        backward(rule, &x, &y, gamma, &stats, &mut dx, par);
                        let (dgamma, dbeta) = (Some(&mut dgamma[..]), Some(&mut dbeta[..]));
                        backward_weights(rule, &x, &y, cols, &stats, dgamma, dbeta, par);
                    });
                    (y, dx, dgamma, dbeta)
                };
                let result = run(1);
                for (r, y) in result.0.chunks(cols).enumerate() {
                    let want = naive(rule, &x[r * cols..][..cols], 1e-3);
                    for (j, (y, want)) in y.iter().zip(&want).enumerate() {
                        let want = want * f64::from(gamma[j]) + f64::from(beta[j]);
                        assert!((f64::from(*y) - want).abs() < 2e-5, "{rule:?} {y} {want}");
                    }
                }
                assert_eq!(result, run(2));
                assert_eq!(result, run(8));
            }
        }
    }
}
