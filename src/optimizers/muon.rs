//! Muon.

use serde_json::{Value, json};

use super::{
    Arguments, Common, Optimizer, Powers, Row, Tick, Var, Variable, check_decay,
    check_not_negative, check_share,
};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::kernels::parallel::Par;
use crate::kernels::{elementwise, update};
use crate::pattern::Pattern;
use crate::schedule::LearningRate;
use crate::shape::Dims;

/// Momentum whose steps on matrices are made orthogonal by Newton and Schulz's iteration (Jordan et al., 2024); Adam for
/// everything else. [Keras](https://keras.io/api/optimizers/)
///
/// For matrices `m = momentum m + g` and `d = g + momentum m` (or `m`, without `nesterov`). `x = d / abs(d)` is iterated,
/// `A = x x^T`, `x = a x + (b A + c A^2) x`, and `w -= lr x sqrt(max(rows, columns)) rms_rate`. Embeddings (by their path), variables
/// that are no matrices and excluded layers are updated by Adam with its own arguments and the learning rate times `adam_lr_ratio`.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `learning_rate` | 0.001 | step size |
/// | `weight_decay`, `adam_weight_decay` | 0.004, 0.004 | decoupled decay of matrices, and of what Adam updates |
/// | `adam_beta_1`, `adam_beta_2`, `epsilon` | 0.9, 0.999, 1e-7 | of Adam |
/// | `adam_lr_ratio` | 1 | learning rate of Adam as a share |
/// | `exclude_layers` | none | patterns of paths that are left to Adam |
/// | `exclude_embeddings` | true | leave embeddings to Adam |
/// | `muon_a`, `muon_b`, `muon_c` | 3.4445, -4.775, 2.0315 | coefficients of the iteration |
/// | `momentum`, `nesterov` | 0.95, true | of the matrices |
/// | `ns_steps` | 5 | iterations |
/// | `rms_rate` | 0.2 | size of a step; none leaves it as it is |
#[derive(Clone, Debug)]
pub struct Muon {
    common: Common,
    adam_beta_1: f64,
    adam_beta_2: f64,
    epsilon: f64,
    exclude_layers: Vec<String>,
    muon_a: f64,
    muon_b: f64,
    muon_c: f64,
    adam_lr_ratio: f64,
    momentum: f64,
    ns_steps: u32,
    nesterov: bool,
    exclude_embeddings: bool,
    adam_weight_decay: Option<f64>,
    rms_rate: Option<f64>,
}

impl Default for Muon {
    fn default() -> Self {
        Muon::new(0.001)
    }
}

/// Builder methods of numbers and flags.
macro_rules! builders {
    ($($(#[$doc:meta])* $arg:ident: $type:ty = $value:expr;)+) => {
        impl Muon {
            $($(#[$doc])*
            pub fn $arg(mut self, $arg: $type) -> Self {
                self.$arg = $value;
                self
            })+
        }
    };
}

builders! {
    /// Decay of Adam's first moment.
    adam_beta_1: f64 = adam_beta_1;
    /// Decay of Adam's second moment.
    adam_beta_2: f64 = adam_beta_2;
    /// Added to Adam's root.
    epsilon: f64 = epsilon;
    /// First coefficient of the iteration.
    muon_a: f64 = muon_a;
    /// Second coefficient of the iteration.
    muon_b: f64 = muon_b;
    /// Third coefficient of the iteration.
    muon_c: f64 = muon_c;
    /// Learning rate of Adam as a share.
    adam_lr_ratio: f64 = adam_lr_ratio;
    /// Share of the momentum that is kept.
    momentum: f64 = momentum;
    /// Iterations.
    ns_steps: u32 = ns_steps;
    /// Whether the momentum looks ahead.
    nesterov: bool = nesterov;
    /// Whether embeddings are left to Adam.
    exclude_embeddings: bool = exclude_embeddings;
    /// Decoupled decay of what Adam updates.
    adam_weight_decay: f64 = Some(adam_weight_decay);
    /// Size of a step; `None` leaves it as it is.
    rms_rate: Option<f64> = rms_rate;
}

impl Muon {
    /// With this learning rate: a number or a schedule.
    pub fn new(learning_rate: impl Into<LearningRate>) -> Self {
        let mut common = Common::new(learning_rate);
        common.weight_decay = Some(0.004);
        Muon {
            common,
            adam_beta_1: 0.9,
            adam_beta_2: 0.999,
            epsilon: 1e-7,
            exclude_layers: Vec::new(),
            muon_a: 3.4445,
            muon_b: -4.775,
            muon_c: 2.0315,
            adam_lr_ratio: 1.0,
            momentum: 0.95,
            ns_steps: 5,
            nesterov: true,
            exclude_embeddings: true,
            adam_weight_decay: Some(0.004),
            rms_rate: Some(0.2),
        }
    }

    /// Patterns of paths that are left to Adam.
    pub fn exclude_layers<S: Into<String>>(
        mut self,
        patterns: impl IntoIterator<Item = S>,
    ) -> Self {
        self.exclude_layers = patterns.into_iter().map(Into::into).collect();
        self
    }

    pub(super) fn read(mut arguments: Arguments) -> Result<Self> {
        let d = Muon::default();
        let layers: Option<Vec<String>> = arguments.take("exclude_layers", None)?;
        Ok(Muon {
            adam_beta_1: arguments.take("adam_beta_1", d.adam_beta_1)?,
            adam_beta_2: arguments.take("adam_beta_2", d.adam_beta_2)?,
            epsilon: arguments.take("epsilon", d.epsilon)?,
            exclude_layers: layers.unwrap_or_default(),
            muon_a: arguments.take("muon_a", d.muon_a)?,
            muon_b: arguments.take("muon_b", d.muon_b)?,
            muon_c: arguments.take("muon_c", d.muon_c)?,
            adam_lr_ratio: arguments.take("adam_lr_ratio", d.adam_lr_ratio)?,
            momentum: arguments.take("momentum", d.momentum)?,
            ns_steps: arguments.take("ns_steps", d.ns_steps)?,
            nesterov: arguments.take("nesterov", d.nesterov)?,
            exclude_embeddings: arguments.take("exclude_embeddings", d.exclude_embeddings)?,
            adam_weight_decay: arguments.take("adam_weight_decay", d.adam_weight_decay)?,
            rms_rate: arguments.take("rms_rate", d.rms_rate)?,
            common: arguments.common(d.common)?,
        })
    }

    /// Whether Adam updates this variable.
    fn leaves_to_adam(&self, variable: &Variable<'_>) -> bool {
        let excluded =
            |pattern: &String| Pattern::new(pattern).is_ok_and(|p| p.found_in(variable.path));
        variable.shape.len() != 2
            || (self.exclude_embeddings && variable.path.to_lowercase().contains("embedding"))
            || self.exclude_layers.iter().any(excluded)
    }

    fn adam(&self, tick: &Tick<'_>, var: Var<'_>) {
        if let [m, v] = var.slots {
            let (first, second) = (
                tick.correction(self.adam_beta_1),
                tick.correction(self.adam_beta_2),
            );
            let step = update::Adam {
                alpha: tick.lr * self.adam_lr_ratio * second.sqrt() / first,
                beta_1: self.adam_beta_1,
                beta_2: self.adam_beta_2,
                epsilon: self.epsilon,
            };
            update::adam(var.w, var.g, m, v, None, step, tick.fold());
        }
    }

    /// Replaces the `rows x cols` matrix in `x` by one with nearly the same singular vectors, and all singular values near 1.
    /// `scratch` holds two matrices of the smaller side and one of the size of `x`.
    fn orthogonalize(&self, x: &mut [Float], (rows, cols): (usize, usize), scratch: &mut [Float]) {
        let side = rows.min(cols);
        let norm = elementwise::squared_norm(x).sqrt() as Float + 1e-7;
        elementwise::scale(1.0 / norm, x);
        let (a, b, c) = (
            self.muon_a as Float,
            self.muon_b as Float,
            self.muon_c as Float,
        );
        let (square, rest) = scratch.split_at_mut(side * side);
        let (mix, next) = rest.split_at_mut(side * side);
        for _ in 0..self.ns_steps {
            // A = x x^T of the matrix that lies down; x of one that stands is its transpose.
            let (x_mat, tall) = (Mat::new(x, cols), rows > cols);
            let lying = if tall { x_mat.t() } else { x_mat };
            let long = rows.max(cols);
            gemm(
                side,
                long,
                side,
                lying,
                lying.t(),
                Accum::Replace,
                square,
                side,
                Par::Serial,
            );
            let a_mat = Mat::new(square, side);
            gemm(
                side,
                side,
                side,
                a_mat,
                a_mat,
                Accum::Replace,
                mix,
                side,
                Par::Serial,
            );
            mix.iter_mut()
                .zip(&*square)
                .for_each(|(m, s)| *m = b * s + c * *m);
            // B is symmetric: (B x^T)^T = x B.
            let b_mat = Mat::new(mix, side);
            if tall {
                gemm(
                    rows,
                    cols,
                    cols,
                    x_mat,
                    b_mat,
                    Accum::Replace,
                    next,
                    cols,
                    Par::Serial,
                );
            } else {
                gemm(
                    rows,
                    rows,
                    cols,
                    b_mat,
                    x_mat,
                    Accum::Replace,
                    next,
                    cols,
                    Par::Serial,
                );
            }
            x.iter_mut().zip(&*next).for_each(|(x, n)| *x = a * *x + n);
        }
    }
}

impl Optimizer for Muon {
    fn class_name(&self) -> &'static str {
        "Muon"
    }

    fn config(&self) -> Config {
        // Keras's default is the integer 1.
        let ratio = if self.adam_lr_ratio == 1.0 {
            Value::from(1)
        } else {
            self.adam_lr_ratio.into()
        };
        let own = [
            ("adam_beta_1", json!(self.adam_beta_1)),
            ("adam_beta_2", json!(self.adam_beta_2)),
            ("epsilon", json!(self.epsilon)),
            ("exclude_layers", json!(self.exclude_layers)),
            ("muon_a", json!(self.muon_a)),
            ("muon_b", json!(self.muon_b)),
            ("muon_c", json!(self.muon_c)),
            ("adam_lr_ratio", ratio),
            ("momentum", json!(self.momentum)),
            ("ns_steps", json!(self.ns_steps)),
            ("nesterov", json!(self.nesterov)),
            ("exclude_embeddings", json!(self.exclude_embeddings)),
            ("adam_weight_decay", json!(self.adam_weight_decay)),
            ("rms_rate", json!(self.rms_rate)),
        ];
        self.common.config("Muon", own)
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.common
    }

    fn check(&self) -> Result<()> {
        check_decay("adam_beta_1", self.adam_beta_1)?;
        check_decay("adam_beta_2", self.adam_beta_2)?;
        check_not_negative("epsilon", self.epsilon)?;
        check_not_negative("adam_lr_ratio", self.adam_lr_ratio)?;
        check_share("momentum", self.momentum)?;
        for (arg, value) in [
            ("adam_weight_decay", self.adam_weight_decay),
            ("rms_rate", self.rms_rate),
        ] {
            check_not_negative(arg, value.unwrap_or(0.0))?;
        }
        for (arg, value) in [
            ("muon_a", self.muon_a),
            ("muon_b", self.muon_b),
            ("muon_c", self.muon_c),
        ] {
            if !value.is_finite() {
                return Err(Error::arg(arg, "a number", value));
            }
        }
        if self.ns_steps > 100 {
            return Err(Error::arg("ns_steps", "at most 100", self.ns_steps));
        }
        for pattern in &self.exclude_layers {
            Pattern::new(pattern)?;
        }
        Ok(())
    }

    fn slots(&self) -> &[&'static str] {
        &["momentum", "velocity"]
    }

    fn whole_runs(&self) -> bool {
        false
    }

    fn slot_shape(&self, slot: usize, variable: &Variable<'_>) -> Option<Dims> {
        (slot == 0 || self.leaves_to_adam(variable)).then_some(variable.shape)
    }

    fn scratch(&self, shape: &[usize]) -> usize {
        match shape {
            // The direction, the next one, and two squares.
            [rows, cols] => 2 * rows * cols + 2 * rows.min(cols).pow(2),
            _ => 0,
        }
    }

    fn decay_of(&self, variable: &Variable<'_>) -> Option<f64> {
        if self.leaves_to_adam(variable) {
            let adam = Common {
                weight_decay: self.adam_weight_decay,
                ..self.common.clone()
            };
            return adam.decay_of(variable);
        }
        self.common.decay_of(variable)
    }

    fn powers(&self) -> Option<Powers> {
        Some(Powers::Squares)
    }

    fn separate(&self, tick: &Tick<'_>, row: Row<'_>) {
        row.add_squares(1, tick, self.adam_beta_2, 1.0 - self.adam_beta_2);
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        let &[rows, cols] = var.shape else {
            return self.adam(tick, var);
        };
        if var.slots.get(1).is_some_and(|v| !v.is_empty()) {
            return self.adam(tick, var);
        }
        let Some(m) = var.slots.first_mut() else {
            return;
        };
        let (direction, scratch) = var.scratch.split_at_mut(rows * cols);
        let momentum = self.momentum as Float;
        for ((d, m), g) in direction.iter_mut().zip(m.iter_mut()).zip(var.g) {
            let g = g * tick.grad_scale;
            *m = momentum * *m + g;
            *d = if self.nesterov { momentum * *m + g } else { *m };
        }
        self.orthogonalize(direction, (rows, cols), scratch);
        let size = match self.rms_rate {
            Some(rate) => (rows.max(cols) as f64).sqrt() * rate,
            None => 1.0,
        };
        let (step, keep) = ((tick.lr * size) as Float, 1.0 - tick.decay);
        for (w, d) in var.w.iter_mut().zip(&*direction) {
            *w = *w * keep - step * d;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_become_nearly_orthogonal() {
        for (rows, cols) in [(3, 5), (5, 3), (4, 4), (1, 6)] {
            let muon = Muon::default()
                .ns_steps(40)
                .muon_a(1.5)
                .muon_b(-0.5)
                .muon_c(0.0);
            let mut x: Vec<Float> = (0..rows * cols)
                .map(|i| (i as Float * 1.3).sin() + 0.1 * i as Float)
                .collect();
            let before = x.clone();
            let mut scratch = vec![0.0; muon.scratch(&[rows, cols]) - rows * cols];
            muon.orthogonalize(&mut x, (rows, cols), &mut scratch);
            // With these coefficients it converges to the orthogonal factor: x x^T (or x^T x) is the identity.
            let side = rows.min(cols);
            let at = |i: usize, k: usize| {
                if rows <= cols {
                    x[i * cols + k]
                } else {
                    x[k * cols + i]
                }
            };
            for i in 0..side {
                for j in 0..side {
                    let dot: Float = (0..rows.max(cols)).map(|k| at(i, k) * at(j, k)).sum();
                    let want = if i == j { 1.0 } else { 0.0 };
                    assert!((dot - want).abs() < 1e-2, "{rows}x{cols} {i} {j}: {dot}");
                }
            }
            let along: Float = x.iter().zip(&before).map(|(a, b)| a * b).sum();
            assert!(along > 0.0);
        }
    }

    #[test]
    fn adam_has_what_is_no_matrix() {
        let muon = Muon::default()
            .exclude_layers(["head"])
            .adam_weight_decay(0.1);
        let of = |path, shape: &[usize]| Variable {
            path,
            shape: Dims::new(shape).unwrap(),
        };
        for (path, shape, adam) in [
            ("dense/kernel", &[3, 4][..], false),
            ("dense/bias", &[4], true),
            ("conv/kernel", &[3, 3, 1, 2], true),
            ("Embedding/embeddings", &[10, 4], true),
            ("head/kernel", &[3, 4], true),
        ] {
            let variable = of(path, shape);
            assert_eq!(muon.slot_shape(1, &variable).is_some(), adam, "{path}");
            assert!(muon.slot_shape(0, &variable).is_some());
            let decay = if adam { 0.1 } else { 0.004 };
            assert_eq!(muon.decay_of(&variable), Some(decay));
        }
    }
}
