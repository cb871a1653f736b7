//! Connectionist temporal classification (Graves et al., 2006): labels without a known alignment to the frames.
//!
//! Labels `c_1 .. c_L` become `l = (0, c_1, 0, c_2, .., c_L, 0)` with the blank 0 between, of length `S = 2 L + 1`. With the log
//! probabilities `q` of the frames, `alpha_t(s)` is the log probability of all paths through the first frames that end in `l_s` at
//! frame `t`: `alpha_t(s) = q_t(l_s) + ln(e^alpha_(t-1)(s) + e^alpha_(t-1)(s-1) [+ e^alpha_(t-1)(s-2)])`, the last one where `l_s`
//! is neither blank nor the label before. The loss is `-ln P`, `P` the sum of the last two. `beta_t(s)` is the same from behind
//! without the frame `t` itself, and the gradient in the logits is `softmax(z_t)_k - sum_(l_s = k) e^(alpha_t(s) + beta_t(s)) / P`.

use super::arguments::{identity, loss};
use super::{Loss, check_each};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::memory::with_scratch;
use crate::kernels::reduce;
use crate::shape::{Dims, Shape};
use crate::tensor::{View, ViewMut};

loss! {
    /// Negative log likelihood of labels `(batch, max_length)` under logits `(batch, frames, classes)`, whatever their alignment.
    /// [Keras](https://keras.io/api/losses/)
    ///
    /// Class 0 is the blank; labels are padded with it behind.
    ///
    /// ```
    /// use ndarray::{array, Array3};
    /// use oxhorn::losses::{CTC, LossExt};
    /// // Two frames of two equal classes: the label 1 has the alignments 11, 10, 01 of probability 1/4 each.
    /// let loss = CTC::default().call(&array![[1.0]], &Array3::<f32>::zeros((1, 2, 2)))?;
    /// assert!((loss - 0.287682).abs() < 1e-6);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    CTC named "ctc" {}
}

/// One sample: its labels and its frames.
#[derive(Clone, Copy)]
struct Sample<'a> {
    labels: &'a [Float],
    logits: &'a [Float],
    classes: usize,
}

/// Samples of a batch.
fn samples<'a>(y_true: View<'a>, y_pred: View<'a>) -> impl Iterator<Item = Sample<'a>> {
    let width = y_true.shape.first().copied().unwrap_or(0);
    let frames = y_pred.shape.iter().product::<usize>();
    let classes = y_pred.cols();
    (0..y_pred.batch).map(move |i| {
        let labels = &y_true.data[i * width..][..width];
        // Keras's rule: as many labels as there are places that are not blank, from the front.
        let count = labels.iter().filter(|l| **l != 0.0).count();
        Sample {
            labels: &labels[..count],
            logits: &y_pred.data[i * frames..][..frames],
            classes,
        }
    })
}

/// `ln(e^a + e^b)`
fn log_add(a: Float, b: Float) -> Float {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == Float::NEG_INFINITY {
        high
    } else {
        high + (low - high).exp().ln_1p()
    }
}

impl Sample<'_> {
    fn frames(&self) -> usize {
        self.logits.len() / self.classes
    }

    /// Number of places of the labels with blanks between.
    fn places(&self) -> usize {
        2 * self.labels.len() + 1
    }

    fn label(&self, s: usize) -> usize {
        if s.is_multiple_of(2) {
            0
        } else {
            self.labels[s / 2] as usize
        }
    }

    /// Whether a path may come to place `s` from the one before the last.
    fn skips(&self, s: usize) -> bool {
        s >= 2 && s % 2 == 1 && self.label(s) != self.label(s - 2)
    }

    /// Log probability of the class of place `s` at frame `t`, given the frame's normalisation.
    fn log_probability(&self, t: usize, s: usize, norms: &[Float]) -> Float {
        self.logits[t * self.classes + self.label(s)] - norms[t]
    }

    /// Fills `alpha` (frames x places); the log likelihood.
    fn forward(&self, norms: &[Float], alpha: &mut [Float]) -> Float {
        let places = self.places();
        for t in 0..self.frames() {
            let (before, now) = alpha.split_at_mut(t * places);
            let before = &before[t.saturating_sub(1) * places..];
            for (s, now) in now.iter_mut().enumerate().take(places) {
                let come = if t == 0 {
                    if s < 2 { 0.0 } else { Float::NEG_INFINITY }
                } else {
                    self.come_from(s, |s| before[s])
                };
                *now = come + self.log_probability(t, s, norms);
            }
        }
        let last = &alpha[(self.frames() - 1) * places..][..places];
        match places {
            1 => last[0],
            _ => log_add(last[places - 1], last[places - 2]),
        }
    }

    fn come_from(&self, s: usize, before: impl Fn(usize) -> Float) -> Float {
        let mut sum = before(s);
        if s >= 1 {
            sum = log_add(sum, before(s - 1));
        }
        if self.skips(s) {
            sum = log_add(sum, before(s - 2));
        }
        sum
    }

    /// Writes the gradient times `coef`, given what `forward` left in `alpha`; `beta` has room for two rows of places.
    fn backward(
        &self,
        norms: &[Float],
        alpha: &[Float],
        likelihood: Float,
        coef: Float,
        beta: &mut [Float],
        dy: &mut [Float],
    ) {
        let places = self.places();
        let (mut next, mut now) = beta.split_at_mut(places);
        for t in (0..self.frames()).rev() {
            let last = t + 1 == self.frames();
            for (s, now) in now.iter_mut().enumerate().take(places) {
                *now = if last {
                    if s + 2 >= places {
                        0.0
                    } else {
                        Float::NEG_INFINITY
                    }
                } else {
                    let go = |s: usize| next[s] + self.log_probability(t + 1, s, norms);
                    let mut sum = go(s);
                    if s + 1 < places {
                        sum = log_add(sum, go(s + 1));
                    }
                    if s + 2 < places && self.skips(s + 2) {
                        sum = log_add(sum, go(s + 2));
                    }
                    sum
                };
            }
            let (z, dy) = (
                &self.logits[t * self.classes..][..self.classes],
                &mut dy[t * self.classes..][..self.classes],
            );
            for (dy, z) in dy.iter_mut().zip(z) {
                *dy = coef * (z - norms[t]).exp();
            }
            for s in 0..places {
                let path = alpha[t * places + s] + now[s] - likelihood;
                dy[self.label(s)] -= coef * path.exp();
            }
            std::mem::swap(&mut next, &mut now);
        }
    }
}

/// Calls `f` with the normalisations of the frames and room for `alpha` and two rows of `beta`.
fn with_room<R>(
    sample: Sample<'_>,
    f: impl FnOnce(&[Float], &mut [Float], &mut [Float]) -> R,
) -> R {
    let (frames, places) = (sample.frames(), sample.places());
    with_scratch(frames + frames * places + 2 * places, |room| {
        let (norms, rest) = room.split_at_mut(frames);
        let (alpha, beta) = rest.split_at_mut(frames * places);
        reduce::logsumexp(sample.logits, sample.classes, norms);
        f(norms, alpha, beta)
    })
}

impl Loss for CTC {
    identity!("CTC");

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        if y_pred.rank() != 2 || y_pred.dims().contains(&Some(0)) {
            return Err(Error::shape("logits (batch, frames, classes)", y_pred));
        }
        if y_true.rank() != 1 {
            return Err(Error::shape("labels (batch, max_length)", y_true));
        }
        match (y_true.last(), y_pred.dims()[0]) {
            (Some(labels), Some(frames)) if labels > frames => Err(Error::shape(
                format!("no more labels than the {frames} frames"),
                y_true,
            )),
            _ => Ok(()),
        }
    }

    fn check_targets(&self, y_true: View<'_>, y_pred: &[usize]) -> Result<()> {
        let classes = y_pred.last().copied().unwrap_or(0);
        check_each(y_true, &format!("a class id in 0..{classes}"), |t| {
            t.fract() == 0.0 && t >= 0.0 && (t as usize) < classes
        })
    }

    fn values_shape(&self, batch: usize, _y_true: &[usize], _y_pred: &[usize]) -> Dims {
        Dims::from([batch])
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        for (sample, out) in samples(y_true, y_pred).zip(out) {
            *out = -with_room(sample, |norms, alpha, _| sample.forward(norms, alpha));
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let width = y_pred.shape.iter().product();
        let rows = dy.data.chunks_exact_mut(width).zip(coef);
        for (sample, (dy, coef)) in samples(y_true, y_pred).zip(rows) {
            with_room(sample, |norms, alpha, beta| {
                let likelihood = sample.forward(norms, alpha);
                sample.backward(norms, alpha, likelihood, *coef, beta, dy);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_loss;

    #[test]
    fn gradients() {
        let z: Vec<Float> = (0..2 * 6 * 4)
            .map(|i| (i as Float * 1.7).sin() * 1.5)
            .collect();
        // Repeated labels need a blank between; a shorter one is padded; one sample has no label at all.
        let labels = [1.0, 1.0, 3.0, 2.0, 0.0, 0.0];
        check_loss(&CTC::default(), &labels, &[3], &z, &[6, 4]);
        check_loss(&CTC::default(), &[0.0; 4], &[2], &z, &[6, 4]);
    }

    #[test]
    fn likelihoods_add_up_over_all_alignments() {
        // By enumeration: every path of classes whose repetitions and blanks collapse to the labels.
        let (frames, classes) = (4, 3usize);
        let z: Vec<Float> = (0..frames * classes)
            .map(|i| (i as Float * 0.9).cos())
            .collect();
        for labels in [vec![1, 2], vec![2, 2], vec![1], vec![]] {
            let mut total = 0.0;
            for path in 0..classes.pow(frames as u32) {
                let path: Vec<usize> = (0..frames)
                    .map(|t| path / classes.pow(t as u32) % classes)
                    .collect();
                let mut collapsed = path.clone();
                collapsed.dedup();
                collapsed.retain(|&c| c != 0);
                if collapsed == labels {
                    let one = |(t, &c): (usize, &usize)| {
                        let row = &z[t * classes..][..classes];
                        row[c].exp() / row.iter().map(|z| z.exp()).sum::<Float>()
                    };
                    total += path.iter().enumerate().map(one).product::<Float>();
                }
            }
            let mut padded: Vec<Float> = labels.iter().map(|&l| l as Float).collect();
            padded.resize(3, 0.0);
            let mut out = [0.0];
            CTC::default().values(
                View {
                    data: &padded,
                    shape: &[3],
                    batch: 1,
                },
                View {
                    data: &z,
                    shape: &[frames, classes],
                    batch: 1,
                },
                &mut out,
            );
            assert!((out[0] + total.ln()).abs() < 1e-5, "{labels:?}");
        }
    }
}
