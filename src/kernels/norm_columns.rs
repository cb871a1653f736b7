//! Normalisation of columns over rows: moments of every column, and the sweeps that use them.
//!
//! Moments are taken block by block of rows (mean, then deviations, while the block is in the first cache) and joined by Chan's
//! formula, so one pass over memory is as accurate as two.

use super::math::fma;
use super::parallel::Par;
use super::simd::simd_fn;
use crate::float::Float;

/// Columns worked on together: they stay in registers, and are a piece for a thread.
const COLUMNS: usize = 32;

/// Rows of a block.
const ROWS: usize = 32;

/// Elements below which threads are not worth it.
const WORTH: usize = 1 << 14;

/// Number of rows that count, and their index in `keep`.
#[inline(always)]
fn counts(keep: Option<&[bool]>, row: usize) -> bool {
    match keep {
        Some(keep) => keep[row],
        None => true,
    }
}

simd_fn! {
    /// Mean and sum of squared deviations of the columns from `start` on.
    fn moments_of<FMA>(
        x: &[Float],
        cols: usize,
        keep: Option<&[bool]>,
        start: usize,
        mean: &mut [Float],
        m2: &mut [Float],
    ) {
        let width = mean.len();
        let mut total = 0.0;
        let (mut means, mut deviations) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        for (b, block) in x.chunks(ROWS * cols).enumerate() {
            let (mut count, mut sums, mut squares) = (0.0, [0.0; COLUMNS], [0.0; COLUMNS]);
            for (r, row) in block.chunks_exact(cols).enumerate() {
                if counts(keep, b * ROWS + r) {
                    count += 1.0;
                    for (s, x) in sums.iter_mut().zip(&row[start..start + width]) {
                        *s += x;
                    }
                }
            }
            if count == 0.0 {
                continue;
            }
            for s in &mut sums {
                *s /= count;
            }
            for (r, row) in block.chunks_exact(cols).enumerate() {
                if counts(keep, b * ROWS + r) {
                    for ((q, m), x) in squares.iter_mut().zip(&sums).zip(&row[start..start + width]) {
                        let d = x - m;
                        *q = fma::<FMA>(d, d, *q);
                    }
                }
            }
            let (share, cross) = (count / (total + count), total * count / (total + count));
            for i in 0..COLUMNS {
                let d = sums[i] - means[i];
                means[i] = fma::<FMA>(d, share, means[i]);
                deviations[i] += fma::<FMA>(d * d, cross, squares[i]);
            }
            total += count;
        }
        mean.copy_from_slice(&means[..width]);
        m2.copy_from_slice(&deviations[..width]);
    }
}

/// Mean and sum of squared deviations of every column over the rows that `keep` shows; zero if there are none.
pub fn moments(
    x: &[Float],
    cols: usize,
    keep: Option<&[bool]>,
    mean: &mut [Float],
    m2: &mut [Float],
    par: Par,
) {
    let par = if x.len() < WORTH { Par::Serial } else { par };
    par.for_each_piece2(mean, COLUMNS, m2, COLUMNS, |i, mean, m2| {
        moments_of(x, cols, keep, i * COLUMNS, mean, m2);
    });
}

simd_fn! {
    fn sums_of<FMA>(
        x: &[Float],
        dy: &[Float],
        cols: usize,
        mean: &[Float],
        inv: &[Float],
        start: usize,
        plain: &mut [Float],
        weighted: &mut [Float],
    ) {
        let width = plain.len();
        let (mut means, mut invs) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        means[..width].copy_from_slice(&mean[start..start + width]);
        invs[..width].copy_from_slice(&inv[start..start + width]);
        let (mut all_plain, mut all_weighted) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        for (x, dy) in x.chunks(ROWS * cols).zip(dy.chunks(ROWS * cols)) {
            let (mut p, mut w) = ([0.0; COLUMNS], [0.0; COLUMNS]);
            for (x, dy) in x.chunks_exact(cols).zip(dy.chunks_exact(cols)) {
                let (x, dy) = (&x[start..start + width], &dy[start..start + width]);
                for (((p, w), m), (x, dy)) in p.iter_mut().zip(&mut w).zip(&means).zip(x.iter().zip(dy)) {
                    *p += dy;
                    *w = fma::<FMA>(*dy, x - m, *w);
                }
            }
            for i in 0..COLUMNS {
                all_plain[i] += p[i];
                all_weighted[i] = fma::<FMA>(w[i], invs[i], all_weighted[i]);
            }
        }
        plain.copy_from_slice(&all_plain[..width]);
        weighted.copy_from_slice(&all_weighted[..width]);
    }
}

/// `plain = sum dy` and `weighted = sum dy (x - mean) inv` of every column.
pub fn sums(
    x: &[Float],
    dy: &[Float],
    mean: &[Float],
    inv: &[Float],
    plain: &mut [Float],
    weighted: &mut [Float],
    par: Par,
) {
    let cols = plain.len();
    let par = if x.len() < WORTH { Par::Serial } else { par };
    par.for_each_piece2(plain, COLUMNS, weighted, COLUMNS, |i, plain, weighted| {
        sums_of(x, dy, cols, mean, inv, i * COLUMNS, plain, weighted);
    });
}

simd_fn! {
    fn normalize_rows<FMA>(
        x: &[Float],
        mean: &[Float],
        scale: &[Float],
        shift: Option<&[Float]>,
        y: &mut [Float],
    ) {
        let cols = mean.len();
        for (x, y) in x.chunks_exact(cols).zip(y.chunks_exact_mut(cols)) {
            let columns = y.iter_mut().zip(x).zip(mean).zip(scale);
            match shift {
                Some(shift) => {
                    for ((((y, x), m), s), b) in columns.zip(shift) {
                        *y = fma::<FMA>(x - m, *s, *b);
                    }
                }
                None => {
                    for (((y, x), m), s) in columns {
                        *y = (x - m) * s;
                    }
                }
            }
        }
    }
}

/// `y = (x - mean) scale + shift`, row by row.
pub fn normalize(
    x: &[Float],
    mean: &[Float],
    scale: &[Float],
    shift: Option<&[Float]>,
    y: &mut [Float],
    par: Par,
) {
    par.for_each_rows(y, mean.len(), |first, y| {
        let x = &x[first * mean.len()..][..y.len()];
        normalize_rows(x, mean, scale, shift, y);
    });
}

simd_fn! {
    fn backward_rows<FMA>(
        x: &[Float],
        dy: &[Float],
        mean: &[Float],
        scale: &[Float],
        shift: &[Float],
        slope: &[Float],
        keep: Option<&[bool]>,
        dx: &mut [Float],
    ) {
        let cols = mean.len();
        let rows = x.chunks_exact(cols).zip(dy.chunks_exact(cols));
        for (r, ((x, dy), dx)) in rows.zip(dx.chunks_exact_mut(cols)).enumerate() {
            let columns = dx.iter_mut().zip(dy).zip(scale);
            if counts(keep, r) {
                for (((dx, dy), s), (((x, m), b), k)) in columns.zip(x.iter().zip(mean).zip(shift).zip(slope)) {
                    *dx = fma::<FMA>(*dy, *s, fma::<FMA>(x - m, *k, *b));
                }
            } else {
                for ((dx, dy), s) in columns {
                    *dx = dy * s;
                }
            }
        }
    }
}

/// `dx = dy scale + shift + (x - mean) slope`, row by row; of rows that `keep` hides only `dy scale`.
pub fn backward(
    x: &[Float],
    dy: &[Float],
    mean: &[Float],
    scale: &[Float],
    shift: &[Float],
    slope: &[Float],
    keep: Option<&[bool]>,
    dx: &mut [Float],
    par: Par,
) {
    let cols = mean.len();
    par.for_each_rows(dx, cols, |first, dx| {
        let part = first * cols..first * cols + dx.len();
        let keep = keep.map(|keep| &keep[first..]);
        backward_rows(
            &x[part.clone()],
            &dy[part],
            mean,
            scale,
            shift,
            slope,
            keep,
            dx,
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::parallel::with_threads;

    fn numbers(n: usize, seed: usize) -> Vec<Float> {
        (0..n)
            .map(|i| ((i * 7919 + seed * 104_729) % 1013) as Float / 300.0 + 20.0)
            .collect()
    }

    #[test]
    fn moments_agree_with_two_passes_for_any_number_of_threads() {
        for (rows, cols) in [(1, 1), (5, 3), (33, 32), (100, 40), (1000, 70)] {
            let x = numbers(rows * cols, 1);
            let keep: Vec<bool> = (0..rows).map(|r| r % 3 != 1).collect();
            for keep in [None, Some(&keep[..])] {
                let run = |threads| {
                    let (mut mean, mut m2) = (vec![0.0; cols], vec![0.0; cols]);
                    with_threads(threads, |par| {
                        moments(&x, cols, keep, &mut mean, &mut m2, par);
                    });
                    (mean, m2)
                };
                let (mean, m2) = run(1);
                for c in 0..cols {
                    let kept = (0..rows).filter(|&r| keep.is_none_or(|k| k[r]));
                    let column: Vec<f64> = kept.map(|r| f64::from(x[r * cols + c])).collect();
                    let m = column.iter().sum::<f64>() / column.len() as f64;
                    let v: f64 = column.iter().map(|x| (x - m).powi(2)).sum();
                    assert!((f64::from(mean[c]) - m).abs() < 1e-5 * m.abs());
                    assert!((f64::from(m2[c]) - v).abs() < 1e-4 * (1.0 + v));
                }
                assert_eq!((mean, m2), run(8));
            }
        }
    }

    #[test]
    fn hidden_rows_alone_have_no_moments() {
        let (mut mean, mut m2) = ([9.0; 2], [9.0; 2]);
        moments(
            &[1.0; 6],
            2,
            Some(&[false; 3]),
            &mut mean,
            &mut m2,
            Par::Serial,
        );
        assert_eq!((mean, m2), ([0.0; 2], [0.0; 2]));
    }

    #[test]
    fn sums_and_sweeps_agree_with_the_definition() {
        let (rows, cols) = (70, 35);
        let (x, dy) = (numbers(rows * cols, 1), numbers(rows * cols, 2));
        let (mean, scale) = (numbers(cols, 3), numbers(cols, 4));
        let (mut plain, mut weighted) = (vec![0.0; cols], vec![0.0; cols]);
        sums(
            &x,
            &dy,
            &mean,
            &scale,
            &mut plain,
            &mut weighted,
            Par::Serial,
        );
        let keep: Vec<bool> = (0..rows).map(|r| r % 2 == 0).collect();
        let mut dx = vec![0.0; x.len()];
        backward(
            &x,
            &dy,
            &mean,
            &scale,
            &plain,
            &weighted,
            Some(&keep),
            &mut dx,
            Par::Serial,
        );
        let mut y = vec![0.0; x.len()];
        normalize(&x, &mean, &scale, Some(&plain), &mut y, Par::Serial);
        let near = |a: Float, b: f64| assert!((f64::from(a) - b).abs() <= 1e-4 * (1.0 + b.abs()));
        for c in 0..cols {
            let at = |v: &[Float], r: usize| f64::from(v[r * cols + c]);
            let (m, s) = (f64::from(mean[c]), f64::from(scale[c]));
            near(plain[c], (0..rows).map(|r| at(&dy, r)).sum());
            let products = (0..rows).map(|r| at(&dy, r) * (at(&x, r) - m) * s);
            near(weighted[c], products.sum());
            let (b, k) = (f64::from(plain[c]), f64::from(weighted[c]));
            for r in 0..rows {
                let rest = if keep[r] {
                    b + (at(&x, r) - m) * k
                } else {
                    0.0
                };
                near(dx[r * cols + c], at(&dy, r) * s + rest);
                near(y[r * cols + c], (at(&x, r) - m) * s + b);
            }
        }
    }
}
