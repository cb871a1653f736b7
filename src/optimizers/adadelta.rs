//! Adadelta.

use super::{
    Optimizer, Powers, Row, Tick, Var, check_not_negative, check_share, identity, optimizer,
};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::update;

optimizer! {
    /// Steps as large as the running mean of the last ones (Zeiler, 2012). [Keras](https://keras.io/api/optimizers/adadelta/)
    ///
    /// `a = rho a + (1 - rho) g^2`, `s = -g sqrt(d + epsilon) / sqrt(a + epsilon)`, `d = rho d + (1 - rho) s^2`, `w += lr s`.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `learning_rate` | 0.001 | step size; the paper has 1 |
    /// | `rho` | 0.95 | decay of the means |
    /// | `epsilon` | 1e-7 | added under the roots |
    Adadelta("Adadelta", 0.001) {
        /// Decay of the means.
        rho: f64 = 0.95,
        /// Added under the roots.
        epsilon: f64 = 1e-7,
    }
}

impl Optimizer for Adadelta {
    identity!("Adadelta");

    fn check(&self) -> Result<()> {
        check_share("rho", self.rho)?;
        check_not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> &[&'static str] {
        &["accumulated_grad", "accumulated_delta_var"]
    }

    fn powers(&self) -> Option<Powers> {
        Some(Powers::Squares)
    }

    fn separate(&self, tick: &Tick<'_>, row: Row<'_>) {
        // Keras squares the steps of the row one by one, too: the update is given the root of the sum of squares in the place of the
        // gradient, and the weight moves by the difference before.
        let Row { w, g, sums, slots } = row;
        let [a, d, ..] = slots else { return };
        let (rho, epsilon) = (self.rho as Float, self.epsilon as Float);
        let lr = tick.lr as Float / (1.0 - tick.decay);
        for ((((w, g), sum), a), d) in w.iter_mut().zip(g).zip(sums).zip(&**a).zip(&**d) {
            let root = sum.sqrt();
            let a = rho * a + (1.0 - rho) * sum;
            *w += lr * (root - *g * tick.grad_scale) * ((d + epsilon) / (a + epsilon)).sqrt();
            *g = root / tick.grad_scale;
        }
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        if let [a, d] = var.slots {
            let step = update::Adadelta {
                lr: tick.lr,
                rho: self.rho,
                epsilon: self.epsilon,
            };
            update::adadelta(var.w, var.g, a, d, step, tick.fold());
        }
    }
}
