//! Adafactor.

use super::{Optimizer, Tick, Var, Variable, check_not_negative, identity, optimizer};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::schedule::LearningRate;
use crate::shape::Dims;

optimizer! {
    /// Adam's second moment from the means of its rows and columns, and steps relative to the weights (Shazeer & Stern, 2018).
    /// [Keras](https://keras.io/api/optimizers/adafactor/)
    ///
    /// With `b = 1 - t^beta_2_decay` and `s = g^2 + epsilon_1`, for matrices (the last two axes): the means `r` of rows and `c` of
    /// columns are moved towards those of `s`, and `v_ij = r_i c_j / mean(r)`; for vectors `v` is moved towards `s` itself. Then
    /// `u = g / sqrt(v)`, and `w -= max(epsilon_2, rms(w)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / clip_threshold)`.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `learning_rate` | 0.001 | largest step size |
    /// | `beta_2_decay` | -0.8 | how the decay of the moments approaches 1 |
    /// | `epsilon_1` | 1e-30 | added to the squares |
    /// | `epsilon_2` | 0.001 | least size of weights that steps are relative to |
    /// | `clip_threshold` | 1 | largest root mean square of a step |
    /// | `relative_step` | true | never more than `1 / sqrt(t)` (Keras's steps are never more in any case) |
    Adafactor("Adafactor", 0.001) {
        /// How the decay of the moments approaches 1.
        beta_2_decay: f64 = -0.8,
        /// Added to the squares.
        epsilon_1: f64 = 1e-30,
        /// Least size of weights that steps are relative to.
        epsilon_2: f64 = 0.001,
        /// Largest root mean square of a step.
        clip_threshold: f64 = 1.0,
        /// Never more than `1 / sqrt(t)`.
        relative_step: bool = true,
    }
}

fn rms(x: impl Iterator<Item = Float>, n: usize) -> f64 {
    (x.map(|x| f64::from(x) * f64::from(x)).sum::<f64>() / n.max(1) as f64).sqrt()
}

impl Adafactor {
    /// `v` from rows and columns of matrices `rows x cols`, one after the other.
    fn factored(
        &self,
        s: impl Fn(usize) -> Float,
        (rows, cols): (usize, usize),
        b: Float,
        r: &mut [Float],
        c: &mut [Float],
        v: &mut [Float],
    ) {
        let matrices = v.chunks_exact_mut(rows * cols);
        let means = r.chunks_exact_mut(rows).zip(c.chunks_exact_mut(cols));
        for (k, (v, (r, c))) in matrices.zip(means).enumerate() {
            let at = |i: usize, j: usize| s(k * rows * cols + i * cols + j);
            for (i, r) in r.iter_mut().enumerate() {
                let mean = (0..cols).map(|j| at(i, j)).sum::<Float>() / cols as Float;
                *r = b * *r + (1.0 - b) * mean;
            }
            c.iter_mut().for_each(|c| *c *= b);
            for i in 0..rows {
                for (j, c) in c.iter_mut().enumerate() {
                    *c += (1.0 - b) * at(i, j) / rows as Float;
                }
            }
            let mean = r.iter().sum::<Float>() / rows as Float;
            for (v, r) in v.chunks_exact_mut(cols).zip(r.iter()) {
                v.iter_mut().zip(&*c).for_each(|(v, c)| *v = r / mean * c);
            }
        }
    }
}

impl Optimizer for Adafactor {
    identity!("Adafactor");

    fn check(&self) -> Result<()> {
        if !self.beta_2_decay.is_finite() {
            return Err(Error::arg("beta_2_decay", "a number", self.beta_2_decay));
        }
        check_not_negative("epsilon_1", self.epsilon_1)?;
        check_not_negative("epsilon_2", self.epsilon_2)?;
        if !(self.clip_threshold > 0.0 && self.clip_threshold.is_finite()) {
            let want = "a positive number";
            return Err(Error::arg("clip_threshold", want, self.clip_threshold));
        }
        Ok(())
    }

    fn slots(&self) -> &[&'static str] {
        &["r", "c", "velocity"]
    }

    fn whole_runs(&self) -> bool {
        false
    }

    fn slot_shape(&self, slot: usize, variable: &Variable<'_>) -> Option<Dims> {
        let shape = variable.shape;
        let Some(gone) = [1, 2].get(slot) else {
            return Some(shape);
        };
        // Means along the last axis, and along the one before it.
        let mut left = Dims::default();
        let kept = shape.iter().enumerate();
        let kept = kept.filter(|(i, _)| i + gone != shape.len());
        kept.for_each(|(_, &n)| left.push(n));
        (shape.len() >= 2).then_some(left)
    }

    fn fills_missing_slots(&self) -> bool {
        true
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        let [r, c, v] = var.slots else { return };
        let t = tick.iteration as f64;
        let (scale, keep) = (tick.grad_scale, 1.0 - tick.decay);
        let mut lr = tick.lr;
        if self.relative_step && matches!(self.common.learning_rate, LearningRate::Constant(_)) {
            lr = lr.min(1.0 / t.sqrt());
        }
        if tick.decay != 0.0 {
            var.w.iter_mut().for_each(|w| *w *= keep);
        }
        let rho = lr.min(1.0 / t.sqrt());
        let alpha = self.epsilon_2.max(rms(var.w.iter().copied(), var.w.len())) * rho;
        let b = (1.0 - t.powf(self.beta_2_decay)) as Float;
        let g = |i: usize| var.g[i] * scale;
        let s = |i: usize| g(i) * g(i) + self.epsilon_1 as Float;
        match var.shape {
            [.., rows, cols] => self.factored(s, (*rows, *cols), b, r, c, v),
            _ => v
                .iter_mut()
                .enumerate()
                .for_each(|(i, v)| *v = b * *v + (1.0 - b) * s(i)),
        }
        let u = |i: usize, v: Float| g(i) / v.sqrt();
        let size = rms(v.iter().enumerate().map(|(i, v)| u(i, *v)), v.len());
        let step = (alpha / (size / self.clip_threshold).max(1.0)) as Float;
        for (i, (w, v)) in var.w.iter_mut().zip(v.iter()).enumerate() {
            *w -= step * u(i, *v);
        }
    }
}
