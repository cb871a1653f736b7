//! Scaled dot-product attention of one group of queries over several heads, each a strided matrix inside the rows: nothing is
//! copied to bring the heads together.
//!
//! q: (t, heads, h), scaled already; k: (s, kv_heads, h); v: (s, kv_heads, hv). For each head `P = softmax(Q K^T)` (t, s) and
//! `C = P V` (t, hv); several heads may share one of k and v. Backward: `dV = P^T dC`, `dP = dC V^T`,
//! `dS = P (dP - sum_row(dP P))`, `dQ = dS K`, `dK = dS^T Q`; `dS` takes the place of `P`, a block of rows at a time.

use super::elementwise::add;
use super::gemm::{Accum, Mat, gemm};
use super::parallel::Par;
use super::reduce;
use crate::float::Float;

/// Rows of `dP` at a time: they stay in the first cache between the sweeps.
pub const ROWS: usize = 32;

/// Sizes of a group.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Queries.
    pub t: usize,
    /// Keys and values.
    pub s: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values: a divisor of `heads`.
    pub kv_heads: usize,
    /// Size of queries and keys.
    pub h: usize,
    /// Size of values.
    pub hv: usize,
}

/// What training kept of the dropout of the weights.
#[derive(Clone, Copy, Debug)]
pub struct Dropped<'a> {
    /// The weights after it, (heads, t, s).
    pub weights: &'a [Float],
    /// What those that stayed were multiplied by.
    pub scale: Float,
}

/// One head of rows of several heads of `size` numbers.
fn head(data: &[Float], n: usize, heads: usize, size: usize) -> Mat<'_> {
    Mat::new(&data[n * size..], heads * size)
}

impl Heads {
    /// The head of keys and values that belongs to this one of queries.
    fn shared(&self, n: usize) -> usize {
        n / (self.heads / self.kv_heads)
    }

    /// `p`: (heads, t, s). `hide(head, logits)` masks before the softmax, `finish(head, p)` changes weights behind it.
    pub fn weights(
        &self,
        q: &[Float],
        k: &[Float],
        p: &mut [Float],
        hide: impl Fn(usize, &mut [Float]),
        finish: impl Fn(usize, &mut [Float]),
        par: Par,
    ) {
        let &Heads {
            t,
            s,
            heads,
            kv_heads,
            h,
            ..
        } = self;
        for (n, p) in p.chunks_exact_mut(t * s).enumerate() {
            let (q, k) = (head(q, n, heads, h), head(k, self.shared(n), kv_heads, h));
            gemm(t, h, s, q, k.t(), Accum::Replace, p, s, par);
            hide(n, p);
            reduce::softmax(p, s);
            finish(n, p);
        }
    }

    /// `context`: (t, heads, hv).
    pub fn combine(&self, p: &[Float], v: &[Float], context: &mut [Float], par: Par) {
        let &Heads {
            t,
            s,
            heads,
            kv_heads,
            hv,
            ..
        } = self;
        for (n, p) in p.chunks_exact(t * s).enumerate() {
            let (p, v) = (Mat::new(p, s), head(v, self.shared(n), kv_heads, hv));
            gemm(
                t,
                s,
                hv,
                p,
                v,
                Accum::Replace,
                &mut context[n * hv..],
                heads * hv,
                par,
            );
        }
    }

    /// Gradients of q, k and v. `p` is destroyed; `dp` is a gradient that the weights themselves got; `hide(head, row, dS)` takes
    /// away, in rows from number `row` on, what does not flow through masked places. `room` holds [`ROWS`] rows of `s`.
    pub fn backward(
        &self,
        [q, k, v]: [&[Float]; 3],
        dcontext: &[Float],
        p: &mut [Float],
        dropped: Option<Dropped<'_>>,
        dp: Option<&[Float]>,
        hide: impl Fn(usize, usize, &mut [Float]),
        room: &mut [Float],
        [dq, dk, dv]: [&mut [Float]; 3],
        par: Par,
    ) {
        let &Heads {
            t,
            s,
            heads,
            kv_heads,
            h,
            hv,
        } = self;
        for (n, p) in p.chunks_exact_mut(t * s).enumerate() {
            let own = n * t * s..(n + 1) * t * s;
            let shared = self.shared(n);
            let accum = match n % (heads / kv_heads) {
                0 => Accum::Replace,
                _ => Accum::Add,
            };
            let dc = head(dcontext, n, heads, hv);
            let used = dropped.map_or(&*p, |d| &d.weights[own.clone()]);
            let out = &mut dv[shared * hv..];
            gemm(
                s,
                t,
                hv,
                Mat::new(used, s).t(),
                dc,
                accum,
                out,
                kv_heads * hv,
                par,
            );
            let v = head(v, shared, kv_heads, hv);
            for (b, p) in p.chunks_mut(ROWS * s).enumerate() {
                let (row, len) = (b * ROWS, p.len());
                let at = own.start + row * s..own.start + row * s + len;
                let (ds, dc) = (
                    &mut room[..len],
                    head(&dcontext[row * heads * hv..], n, heads, hv),
                );
                gemm(len / s, hv, s, dc, v.t(), Accum::Replace, ds, s, par);
                if let Some(dropped) = dropped {
                    for (ds, w) in ds.iter_mut().zip(&dropped.weights[at.clone()]) {
                        *ds = if *w == 0.0 { 0.0 } else { *ds * dropped.scale };
                    }
                }
                if let Some(dp) = dp {
                    add(&dp[at], ds);
                }
                reduce::softmax_backward(p, ds, s);
                hide(n, row, ds);
                p.copy_from_slice(ds);
            }
            let ds = Mat::new(p, s);
            let (out, k) = (&mut dq[n * h..], head(k, shared, kv_heads, h));
            gemm(t, s, h, ds, k, Accum::Replace, out, heads * h, par);
            let (out, q) = (&mut dk[shared * h..], head(q, n, heads, h));
            gemm(s, t, h, ds.t(), q, accum, out, kv_heads * h, par);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Heads = Heads {
        t: 37,
        s: 5,
        heads: 4,
        kv_heads: 2,
        h: 3,
        hv: 2,
    };

    fn numbers(n: usize, seed: usize) -> Vec<Float> {
        (0..n)
            .map(|i| ((i * 7919 + seed * 104_729) % 1013) as Float / 500.0 - 1.0)
            .collect()
    }

    /// `sum dcontext C + sum dp P`, by the definition.
    fn objective(q: &[Float], k: &[Float], v: &[Float], dc: &[Float], dp: &[Float]) -> f64 {
        let Heads {
            t,
            s,
            heads,
            kv_heads,
            h,
            hv,
        } = SIZES;
        let mut total = 0.0;
        for n in 0..heads {
            let g = n / (heads / kv_heads);
            for i in 0..t {
                let logit = |j: usize| -> f64 {
                    let dot = |c: usize| {
                        f64::from(q[(i * heads + n) * h + c])
                            * f64::from(k[(j * kv_heads + g) * h + c])
                    };
                    (0..h).map(dot).sum()
                };
                let exps: Vec<f64> = (0..s).map(|j| logit(j).exp()).collect();
                let sum: f64 = exps.iter().sum();
                for (j, e) in exps.iter().enumerate() {
                    total += e / sum * f64::from(dp[(n * t + i) * s + j]);
                    for c in 0..hv {
                        total += e / sum
                            * f64::from(v[(j * kv_heads + g) * hv + c])
                            * f64::from(dc[(i * heads + n) * hv + c]);
                    }
                }
            }
        }
        total
    }

    #[test]
    fn values_and_gradients_agree_with_the_definition() {
        let Heads {
            t,
            s,
            heads,
            kv_heads,
            h,
            hv,
        } = SIZES;
        let q = numbers(t * heads * h, 1);
        let k = numbers(s * kv_heads * h, 2);
        let v = numbers(s * kv_heads * hv, 3);
        let (dc, dp) = (numbers(t * heads * hv, 4), numbers(heads * t * s, 5));
        let (mut p, mut context) = (vec![0.0; heads * t * s], vec![0.0; t * heads * hv]);
        SIZES.weights(&q, &k, &mut p, |_, _| {}, |_, _| {}, Par::Serial);
        SIZES.combine(&p, &v, &mut context, Par::Serial);
        let dot = |a: &[Float], b: &[Float]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum()
        };
        let value = objective(&q, &k, &v, &dc, &dp);
        assert!((dot(&context, &dc) + dot(&p, &dp) - value).abs() < 1e-3);
        let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
        let mut room = vec![0.0; ROWS * s];
        let outputs = [&mut dq[..], &mut dk[..], &mut dv[..]];
        SIZES.backward(
            [&q, &k, &v],
            &dc,
            &mut p,
            None,
            Some(&dp),
            |_, _, _| {},
            &mut room,
            outputs,
            Par::Serial,
        );
        let step = 1e-2;
        for (x, grad, which) in [(&q, &dq, 0), (&k, &dk, 1), (&v, &dv, 2)] {
            for i in (0..x.len()).step_by(5) {
                let at = |by: Float| {
                    let mut moved = [q.clone(), k.clone(), v.clone()];
                    moved[which][i] += by;
                    objective(&moved[0], &moved[1], &moved[2], &dc, &dp)
                };
                let numeric = (at(step) - at(-step)) / f64::from(2.0 * step);
                assert!(
                    (numeric - f64::from(grad[i])).abs() < 2e-3 * (1.0 + numeric.abs()),
                    "{which} {i}"
                );
            }
        }
    }
}
