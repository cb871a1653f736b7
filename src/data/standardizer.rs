//! Standardising: every feature with mean 0 and standard deviation 1.

use ndarray::{Array2, Zip};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// `z = (x - mean) / scale` for each feature.
///
/// Fit it on the training rows only and transform every other row with it. If the test rows have a part in the mean and the
/// scale, the test measures with knowledge that new data will not bring (leakage).
///
/// ```
/// use ndarray::array;
/// use oxhorn::data::Standardizer;
///
/// let train = array![[1.0, 5.0], [3.0, 5.0]];
/// let s = Standardizer::fit(&train)?;
/// assert_eq!(s.transform(&train)?, array![[-1.0, 0.0], [1.0, 0.0]]); // a constant feature becomes 0
/// assert_eq!(s.transform(&array![[5.0, 6.0]])?, array![[3.0, 1.0]]);
/// assert_eq!(s.inverse(&array![[3.0, 1.0]])?, array![[5.0, 6.0]]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standardizer {
    /// Mean of each feature.
    pub mean: Vec<f64>,
    /// Standard deviation of each feature (of the population, as scikit-learn's); 1 where the feature is constant.
    pub scale: Vec<f64>,
}

impl Standardizer {
    /// Mean and scale of each column.
    pub fn fit(x: &Array2<f32>) -> Result<Self> {
        if x.nrows() == 0 {
            return Err(Error::data("x", "there is no row to take a mean of"));
        }
        let (mean, scale) = x.columns().into_iter().map(mean_and_scale).unzip();
        Ok(Self { mean, scale })
    }

    /// `(x - mean) / scale`
    pub fn transform(&self, x: &Array2<f32>) -> Result<Array2<f32>> {
        self.map(x, |x, mean, scale| (x - mean) / scale)
    }

    /// `z * scale + mean`
    pub fn inverse(&self, z: &Array2<f32>) -> Result<Array2<f32>> {
        self.map(z, |z, mean, scale| z * scale + mean)
    }

    /// This one first and then `next`, as one.
    pub(super) fn then(&self, next: &Standardizer) -> Standardizer {
        let mean = |i: usize| self.mean[i] + self.scale[i] * next.mean[i];
        let scale = |i: usize| self.scale[i] * next.scale[i];
        Standardizer {
            mean: (0..self.mean.len()).map(mean).collect(),
            scale: (0..self.mean.len()).map(scale).collect(),
        }
    }

    fn map(&self, x: &Array2<f32>, f: impl Fn(f64, f64, f64) -> f64) -> Result<Array2<f32>> {
        if x.ncols() != self.mean.len() {
            let want = format!("{} features", self.mean.len());
            return Err(Error::shape(want, x.ncols()).owned_by("Standardizer"));
        }
        let mut y = x.clone();
        for mut row in y.rows_mut() {
            Zip::from(&mut row)
                .and(&self.mean)
                .and(&self.scale)
                .for_each(|x, &mean, &scale| *x = f(f64::from(*x), mean, scale) as f32);
        }
        Ok(y)
    }
}

fn mean_and_scale(column: ndarray::ArrayView1<f32>) -> (f64, f64) {
    let first = f64::from(column[0]);
    // Exactly 0 afterwards, not a rounding error blown up.
    if column.iter().all(|&x| f64::from(x) == first) {
        return (first, 1.0);
    }
    let n = column.len() as f64;
    let mean = column.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let squares = column.iter().map(|&x| (f64::from(x) - mean).powi(2));
    (mean, (squares.sum::<f64>() / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn there_and_back() {
        let x = array![[0.1, 100.0, 7.3], [0.7, -300.0, 7.3], [0.2, 20.0, 7.3]];
        let s = Standardizer::fit(&x).unwrap();
        let z = s.transform(&x).unwrap();
        for column in z.columns().into_iter().take(2) {
            assert!(column.sum().abs() < 1e-5);
            assert!((column.dot(&column) / 3.0 - 1.0).abs() < 1e-5);
        }
        assert!(z.column(2).iter().all(|&z| z == 0.0));
        let back = s.inverse(&z).unwrap();
        assert!((back - x).iter().all(|d| d.abs() < 1e-4));
    }

    #[test]
    fn mistakes() {
        assert!(Standardizer::fit(&Array2::zeros((0, 2))).is_err());
        let s = Standardizer::fit(&array![[1.0, 2.0]]).unwrap();
        let error = s.transform(&array![[1.0]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Standardizer: expected 2 features, got 1"
        );
    }
}
