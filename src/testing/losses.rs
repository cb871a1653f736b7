//! The law of a loss: its gradient is that of its values.

use crate::float::Float;
use crate::losses::Loss;
use crate::tensor::{View, ViewMut};

/// Checks the gradient of a loss at this point against central differences of its values, for uneven coefficients.
///
/// The shapes are those of one sample; the number of samples follows from the data.
///
/// ```
/// use oxhorn::{losses::MeanSquaredError, testing::check_loss};
/// check_loss(&MeanSquaredError::default(), &[0.0, 1.0], &[1], &[0.5, 0.7], &[1]);
/// ```
///
/// # Panics
/// If the gradient is wrong, or not written whole.
pub fn check_loss(
    loss: &dyn Loss,
    y_true: &[Float],
    true_shape: &[usize],
    y_pred: &[Float],
    pred_shape: &[usize],
) {
    let batch = y_pred.len() / pred_shape.iter().product::<usize>().max(1);
    let t = View {
        data: y_true,
        shape: true_shape,
        batch,
    };
    let positions = loss.values_shape(batch, true_shape, pred_shape).numel();
    let coef: Vec<Float> = (0..positions)
        .map(|i| 0.7 + 0.3 * (i % 5) as Float)
        .collect();
    let total = |p: &[Float]| {
        let mut values = vec![Float::NAN; positions];
        loss.values(
            t,
            View {
                data: p,
                shape: pred_shape,
                batch,
            },
            &mut values,
        );
        values
            .iter()
            .zip(&coef)
            .map(|(v, c)| f64::from(*v) * f64::from(*c))
            .sum::<f64>()
    };
    let mut dy = vec![Float::NAN; y_pred.len()];
    loss.grad(
        t,
        View {
            data: y_pred,
            shape: pred_shape,
            batch,
        },
        &coef,
        ViewMut {
            data: &mut dy,
            shape: pred_shape,
            batch,
        },
    );
    let (h, tolerance): (Float, f64) = if size_of::<Float>() == 8 {
        (1e-6, 1e-5)
    } else {
        (1e-3, 1e-2)
    };
    for (i, got) in dy.iter().enumerate() {
        let moved = |by: Float| {
            let mut p = y_pred.to_vec();
            p[i] += by;
            total(&p)
        };
        let want = (moved(h) - moved(-h)) / f64::from(2.0 * h);
        let close = (f64::from(*got) - want).abs() <= tolerance * (1.0 + want.abs());
        assert!(
            close,
            "{}: gradient of element {i} is {got}, differences say {want}",
            loss.class_name()
        );
    }
}
