//! The scores of one sample, before the softmax, and their gradients: see [`scored`](super::scored) for the formulas.

use crate::float::Float;
use crate::kernels::elementwise::{add_to, axpy, dot, mul, scale, sum, tanh};
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::layer::Par;

/// How scores are made; the numbers are the weights of the layer.
#[derive(Clone, Copy)]
pub(super) enum Scores<'a> {
    /// `c q k^T`
    Dot { c: Option<&'a [Float]> },
    /// `sum_d w_d tanh(c (q_d + k_d))`: `w` a number for all, a number for each, or all 1.
    Tanh {
        c: Option<&'a [Float]>,
        w: Option<&'a [Float]>,
    },
}

impl Scores<'_> {
    /// Number of weights in all, and of their slices (of equal lengths).
    pub fn len(&self) -> usize {
        let (Scores::Dot { c } | Scores::Tanh { c, .. }) = self;
        let w = if let Scores::Tanh { w, .. } = self {
            *w
        } else {
            None
        };
        c.map_or(0, <[Float]>::len) + w.map_or(0, <[Float]>::len)
    }

    pub fn slices(&self) -> usize {
        let (Scores::Dot { c } | Scores::Tanh { c, .. }) = self;
        let w = if let Scores::Tanh { w, .. } = self {
            *w
        } else {
            None
        };
        usize::from(c.is_some()) + usize::from(w.is_some())
    }

    pub fn forward(
        &self,
        q: &[Float],
        k: &[Float],
        d: usize,
        p: &mut [Float],
        room: &mut [Float],
        par: Par,
    ) {
        let (t, s) = (q.len() / d, k.len() / d);
        match *self {
            Scores::Dot { c } => {
                gemm(
                    t,
                    d,
                    s,
                    Mat::new(q, d),
                    Mat::new(k, d).t(),
                    Accum::Replace,
                    p,
                    s,
                    par,
                );
                if let Some(c) = c {
                    scale(c[0], p);
                }
            }
            Scores::Tanh { c, w } => {
                let z = &mut room[..d];
                for (q, p) in q.chunks_exact(d).zip(p.chunks_exact_mut(s)) {
                    for (k, p) in k.chunks_exact(d).zip(p) {
                        add_to(q, k, z);
                        if let Some(c) = c {
                            scale(c[0], z);
                        }
                        tanh(z);
                        *p = match w {
                            Some([w]) if d > 1 => w * sum(z),
                            Some(w) => dot(w, z),
                            None => sum(z),
                        };
                    }
                }
            }
        }
    }

    /// Gradients of q (overwritten) and k, either of which may be empty, and of the weights (added to).
    pub fn backward(
        &self,
        q: &[Float],
        k: &[Float],
        d: usize,
        ds: &mut [Float],
        room: &mut [Float],
        dw: &mut [Float],
        dq: &mut [Float],
        dk: &mut [Float],
        accum: Accum,
        par: Par,
    ) {
        let (t, s) = (q.len() / d, k.len() / d);
        match *self {
            Scores::Dot { c } => {
                if let Some(c) = c {
                    // dc = sum dS q k^T, the way through dS k.
                    let row = &mut room[..d];
                    for (q, ds) in q.chunks_exact(d).zip(ds.chunks_exact(s)) {
                        row.fill(0.0);
                        ds.iter()
                            .zip(k.chunks_exact(d))
                            .for_each(|(ds, k)| axpy(*ds, k, row));
                        dw[0] += dot(q, row);
                    }
                    scale(c[0], ds);
                }
                let ds = Mat::new(ds, s);
                if !dq.is_empty() {
                    gemm(t, s, d, ds, Mat::new(k, d), Accum::Replace, dq, d, par);
                }
                if !dk.is_empty() {
                    gemm(s, t, d, ds.t(), Mat::new(q, d), accum, dk, d, par);
                }
            }
            Scores::Tanh { c, w } => {
                if accum == Accum::Replace {
                    dk.fill(0.0);
                }
                dq.fill(0.0);
                let (z, e) = room.split_at_mut(d);
                let factor = c.map_or(1.0, |c| c[0]);
                for (i, (q, ds)) in q.chunks_exact(d).zip(ds.chunks_exact(s)).enumerate() {
                    for (j, (k, &ds)) in k.chunks_exact(d).zip(ds).enumerate() {
                        add_to(q, k, e);
                        z.copy_from_slice(e);
                        scale(factor, z);
                        tanh(z);
                        let (dc, dw) = dw.split_at_mut(usize::from(c.is_some()));
                        match w {
                            Some([_]) if d > 1 => dw[0] += ds * sum(z),
                            Some(_) => axpy(ds, z, dw),
                            None => {}
                        }
                        // z becomes dS w (1 - z^2).
                        z.iter_mut().for_each(|z| *z = ds * (1.0 - *z * *z));
                        match w {
                            Some([w]) => scale(*w, z),
                            Some(w) => mul(w, z),
                            None => {}
                        }
                        if let Some(dc) = dc.first_mut() {
                            *dc += dot(z, e);
                        }
                        if !dq.is_empty() {
                            axpy(factor, z, &mut dq[i * d..][..d]);
                        }
                        if !dk.is_empty() {
                            axpy(factor, z, &mut dk[j * d..][..d]);
                        }
                    }
                }
            }
        }
    }
}
