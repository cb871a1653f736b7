//! Keras's small helpers around labels, rows and sequences.

use std::fmt::Display;

use ndarray::{Array, Array2, ArrayBase, Axis, Data, Dimension, RemoveAxis};

use crate::{
    error::{Error, Result},
    float::Float,
    random::{Rng, Seed},
};

pub use super::sequences::{Pad, Side, pad_sequences};
pub use super::split::{
    train_test_split_grouped, train_test_split_ordered, train_test_split_stratified,
};

/// A class label: an integer, or a float that holds one.
pub trait Label: Display {
    /// The class, if it is an integer from 0 to 2^24.
    fn index(&self) -> Option<usize>;
}

macro_rules! label {
    ($($type:ty)*) => {$(
        impl Label for $type {
            fn index(&self) -> Option<usize> {
                let value = *self as f64;
                let fits = (0.0..=16_777_216.0).contains(&value);
                (fits && value.fract() == 0.0).then_some(value as usize)
            }
        }
    )*};
}
label!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize f32 f64);

impl<L: Label + ?Sized> Label for &L {
    fn index(&self) -> Option<usize> {
        (**self).index()
    }
}

/// Most values in a one-hot matrix: 8 GiB.
const MAX_SIZE: usize = 1 << 31;

/// One row per label, with 1 in the column of its class: what a categorical cross-entropy wants.
///
/// Without `num_classes` there are as many as the largest label says.
///
/// ```
/// use oxhorn::data::utils::to_categorical;
/// use ndarray::array;
///
/// let y = to_categorical([2, 0], None)?;
/// assert_eq!(y, array![[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
/// assert_eq!(to_categorical(&array![[1.0_f32]], Some(4))?, array![[0.0, 1.0, 0.0, 0.0]]);
/// assert!(to_categorical([2], Some(2)).is_err());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub fn to_categorical<L: Label>(
    labels: impl IntoIterator<Item = L>,
    num_classes: Option<usize>,
) -> Result<Array2<f32>> {
    let fail = |row: usize, want: String, got: &L| {
        let problem = format!("row {row}: expected {want}, got {got}");
        Err(Error::data("labels", problem))
    };
    let mut classes = vec![];
    for (row, label) in labels.into_iter().enumerate() {
        match (label.index(), num_classes) {
            (Some(class), Some(n)) if class >= n => {
                return fail(row, format!("a class below {n}"), &label);
            }
            (Some(class), _) => classes.push(class),
            (None, _) => return fail(row, "an integer that is not negative".into(), &label),
        }
    }
    let inferred = classes.iter().max().map(|largest| largest + 1);
    let Some(width) = num_classes.or(inferred) else {
        return Err(Error::data("labels", "there are none"));
    };
    if classes
        .len()
        .checked_mul(width)
        .is_none_or(|size| size > MAX_SIZE)
    {
        let problem = format!("{} rows with {width} classes are too many", classes.len());
        return Err(Error::data("labels", problem));
    }
    let mut y = Array2::zeros((classes.len(), width));
    for (row, class) in classes.into_iter().enumerate() {
        y[[row, class]] = 1.0;
    }
    Ok(y)
}

/// The array divided by its norms along an axis, where they are not 0: Keras's `utils.normalize`, whose defaults are the last axis
/// (-1) and `order` 2. The norm of order `p` is the p-th root of the sum of the p-th powers of the magnitudes, of
/// `f64::INFINITY` the largest magnitude, of `f64::NEG_INFINITY` the smallest, of 0 the number of values that are not 0.
///
/// ```
/// use ndarray::array;
/// use oxhorn::data::utils::normalize;
///
/// let x = array![[3.0, 4.0], [0.0, 0.0]];
/// assert_eq!(normalize(&x, -1, 2.0)?, array![[0.6, 0.8], [0.0, 0.0]]);
/// assert_eq!(normalize(&x, 1, f64::INFINITY)?, array![[0.75, 1.0], [0.0, 0.0]]);
/// assert_eq!(normalize(&x, 0, 1.0)?, array![[1.0, 1.0], [0.0, 0.0]]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If there is no such axis, or the order is not a number.
pub fn normalize<S, D>(x: &ArrayBase<S, D>, axis: isize, order: f64) -> Result<Array<Float, D>>
where
    S: Data<Elem = Float>,
    D: Dimension + RemoveAxis,
{
    let rank = x.ndim() as isize;
    if axis < -rank || axis >= rank {
        let want = format!("an axis from {} to {}", -rank, rank - 1);
        return Err(Error::arg("axis", want, axis).owned_by("normalize"));
    }
    if order.is_nan() {
        return Err(Error::arg("order", "a number", order).owned_by("normalize"));
    }
    let mut y = x.to_owned();
    for mut lane in y.lanes_mut(Axis(axis.rem_euclid(rank) as usize)) {
        let sizes = lane.iter().map(|v| f64::from(v.abs()));
        let norm = match order {
            f64::INFINITY => sizes.fold(0.0, f64::max),
            f64::NEG_INFINITY => sizes.fold(f64::INFINITY, f64::min),
            0.0 => sizes.filter(|v| *v != 0.0).count() as f64,
            1.0 => sizes.sum(),
            2.0 => sizes.map(|v| v * v).sum::<f64>().sqrt(),
            p => sizes.map(|v| v.powf(p)).sum::<f64>().powf(1.0 / p),
        };
        if norm != 0.0 {
            lane.mapv_inplace(|v| (f64::from(v) / norm) as Float);
        }
    }
    Ok(y)
}

/// A random choice of `test_fraction` of the rows `0..rows`: (train, test).
///
/// ```
/// use oxhorn::{data::utils::train_test_split, random::Seed};
///
/// let (train, test) = train_test_split(10, 0.3, Seed(7))?;
/// assert_eq!((train.len(), test.len()), (7, 3));
/// assert_eq!(train_test_split(10, 0.3, Seed(7))?, (train, test));
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub fn train_test_split(
    rows: usize,
    test_fraction: f64,
    seed: Seed,
) -> Result<(Vec<u32>, Vec<u32>)> {
    let count = test_rows(rows, test_fraction)?;
    let mut test = Rng::new(seed.0).permutation(rows);
    let train = test.split_off(count);
    Ok((train, test))
}

/// Number of test rows, to the nearest; both sides keep at least one.
pub(super) fn test_rows(rows: usize, test_fraction: f64) -> Result<usize> {
    if !(test_fraction > 0.0 && test_fraction < 1.0) {
        let error = Error::arg("test_fraction", "a number between 0 and 1", test_fraction);
        return Err(error.owned_by("split"));
    }
    let count = (rows as f64 * test_fraction).round() as usize;
    if count == 0 || count >= rows {
        let problem = format!("a split of {rows} rows with {test_fraction} leaves one side empty");
        return Err(Error::data("split", problem));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_are_none() {
        let message = |labels: &[f32]| to_categorical(labels, None).unwrap_err().to_string();
        assert_eq!(
            message(&[0.0, 0.5]),
            "labels: row 1: expected an integer that is not negative, got 0.5"
        );
        assert!(message(&[-1.0]).contains("got -1"));
        assert!(message(&[f32::NAN]).contains("got NaN"));
        assert!(message(&[1e9]).contains("row 0"));
        assert!(to_categorical(vec![1e7; 1000], None).is_err());
        assert_eq!(message(&[]), "labels: there are none");
        assert_eq!(to_categorical([0u8; 0], Some(3)).unwrap().dim(), (0, 3));
    }

    #[test]
    fn norms_of_other_orders_and_axes() {
        let x = ndarray::array![[[1.0, -2.0], [4.0, 0.0]]];
        assert_eq!(
            normalize(&x, 1, 0.0).unwrap(),
            ndarray::array![[[0.5, -2.0], [2.0, 0.0]]]
        );
        let least = normalize(&x, 2, f64::NEG_INFINITY).unwrap();
        assert_eq!(least, ndarray::array![[[1.0, -2.0], [4.0, 0.0]]]);
        let cubes = normalize(&x, -1, 3.0).unwrap();
        assert!((cubes[[0, 0, 1]] + 2.0 / (9.0 as Float).cbrt()).abs() < 1e-6);
        assert!(normalize(&x, 3, 2.0).is_err() && normalize(&x, -4, 2.0).is_err());
        assert!(normalize(&x, 0, f64::NAN).is_err());
    }

    #[test]
    fn a_split_is_a_partition() {
        let (train, test) = train_test_split(101, 0.25, Seed(1)).unwrap();
        assert_eq!(test.len(), 25);
        let mut all = [train, test].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..101));
    }

    #[test]
    fn splits_that_cannot_be() {
        for fraction in [0.0, 1.0, -0.5, 2.0, f64::NAN] {
            let error = train_test_split(10, fraction, Seed(0)).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("split: argument `test_fraction`")
            );
        }
        assert!(train_test_split(3, 0.1, Seed(0)).is_err());
        assert!(train_test_split(3, 0.9, Seed(0)).is_err());
        assert!(train_test_split(0, 0.5, Seed(0)).is_err());
    }
}
