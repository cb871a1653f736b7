//! Means and sums of numbers, for training loops of one's own.

use super::ratio;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::tensor::ToTensor;

/// The weighted mean of the numbers that were added. [Keras](https://keras.io/api/metrics/reduction_metrics/)
///
/// ```
/// use oxhorn::metrics::Mean;
/// let mut mean = Mean::default();
/// mean.update_state(&[1.0, 3.0, 5.0, 7.0], None)?;
/// assert_eq!(mean.result(), 4.0);
/// mean.reset();
/// mean.update_state(&[1.0, 3.0], Some(&[3.0, 1.0]))?;
/// assert_eq!(mean.result(), 1.5);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    total: f64,
    count: f64,
}

/// The weighted sum of the numbers that were added. [Keras](https://keras.io/api/metrics/reduction_metrics/)
///
/// ```
/// use oxhorn::metrics::Sum;
/// let mut sum = Sum::default();
/// sum.update_state(&[1.0, 3.0, 5.0, 7.0], None)?;
/// assert_eq!(sum.result(), 16.0);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    total: f64,
}

/// Calls `f(value, weight)` for every number; a weight is that of a sample or of one number.
fn each<V: ToTensor + ?Sized>(
    values: &V,
    weight: Option<&[Float]>,
    owner: &str,
    mut f: impl FnMut(f64, f64),
) -> Result<()> {
    let values = values.to_tensor()?;
    let n = values.data().len();
    let weights = weight.map_or(1, <[Float]>::len);
    if weight.is_some() && weights != values.batch() && weights != n {
        return Err(Error::shape(format!("{} weights", values.batch()), weights).owned_by(owner));
    }
    let each = (n / weights.max(1)).max(1);
    for (i, value) in values.data().iter().enumerate() {
        f(
            f64::from(*value),
            weight.map_or(1.0, |w| f64::from(w[i / each])),
        );
    }
    Ok(())
}

impl Mean {
    /// Adds numbers, with one weight a sample or a number.
    ///
    /// # Errors
    /// If the number of weights does not fit.
    pub fn update_state<V: ToTensor + ?Sized>(
        &mut self,
        values: &V,
        weight: Option<&[Float]>,
    ) -> Result<()> {
        each(values, weight, "mean", |value, weight| {
            self.total += value * weight;
            self.count += weight;
        })
    }

    /// The mean; 0 before anything was added.
    pub fn result(&self) -> f64 {
        ratio(self.total, self.count)
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Mean::default();
    }
}

impl Sum {
    /// Adds numbers, with one weight a sample or a number.
    ///
    /// # Errors
    /// If the number of weights does not fit.
    pub fn update_state<V: ToTensor + ?Sized>(
        &mut self,
        values: &V,
        weight: Option<&[Float]>,
    ) -> Result<()> {
        each(values, weight, "sum", |value, weight| {
            self.total += value * weight;
        })
    }

    /// The sum.
    pub fn result(&self) -> f64 {
        self.total
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Sum::default();
    }
}
