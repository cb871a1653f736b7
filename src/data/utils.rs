//! Small helpers around labels and rows.

use std::fmt::Display;

use ndarray::Array2;

use crate::{
    error::{Error, Result},
    random::{Rng, Seed},
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
