//! Weighted counts of right and wrong at thresholds.
//!
//! Every prediction is put into the bucket of the number of thresholds it is above; the counts at all thresholds are running sums
//! over the buckets. Keras's rule: above is `>`, and for evenly spaced thresholds the number is computed, `ceil(p (n - 1))`.

use serde::{Deserialize, Serialize};

use super::weight_at;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::Shape;
use crate::tensor::View;

/// The thresholds of a metric: Keras's default, one, or several (the metric then has one value each).
///
/// ```
/// use oxhorn::metrics::Thresholds;
/// assert_eq!(Thresholds::from([0.3, 0.6]), Thresholds::Many(vec![0.3, 0.6]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Thresholds {
    /// One.
    One(f64),
    /// One value each.
    Many(Vec<f64>),
    /// 0.5, or where `top_k` decides none.
    #[default]
    Default,
}

impl From<f64> for Thresholds {
    fn from(threshold: f64) -> Self {
        Thresholds::One(threshold)
    }
}

impl<const N: usize> From<[f64; N]> for Thresholds {
    fn from(thresholds: [f64; N]) -> Self {
        Thresholds::Many(thresholds.into())
    }
}

impl From<Vec<f64>> for Thresholds {
    fn from(thresholds: Vec<f64>) -> Self {
        Thresholds::Many(thresholds)
    }
}

impl Thresholds {
    /// The numbers, where `default` stands for none given.
    pub(super) fn list(&self, default: f64) -> Vec<f64> {
        match self {
            Thresholds::Default => vec![default],
            Thresholds::One(t) => vec![*t],
            Thresholds::Many(list) => list.clone(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let list = self.list(0.5);
        match list.iter().find(|t| !(0.0..=1.0).contains(*t)) {
            Some(t) => Err(Error::arg("thresholds", "numbers in [0, 1]", t)),
            None if list.is_empty() => Err(Error::arg("thresholds", "at least one", "none")),
            None => Ok(()),
        }
    }
}

/// A column of the last axis must exist.
pub(super) fn check_class(class_id: Option<usize>, y_pred: &Shape) -> Result<()> {
    match (class_id, y_pred.last()) {
        (Some(class), Some(classes)) if class >= classes => {
            let want = format!("less than the {classes} classes");
            Err(Error::arg("class_id", want, class))
        }
        _ => Ok(()),
    }
}

/// More thresholds than anybody needs; memory is not given to what a file merely says.
const MOST: usize = 1 << 20;

/// `num_thresholds` must be at least `least`.
pub(super) fn check_count(num_thresholds: usize, least: usize) -> Result<()> {
    if (least..=MOST).contains(&num_thresholds) {
        Ok(())
    } else {
        let want = format!("from {least} to {MOST}");
        Err(Error::arg("num_thresholds", want, num_thresholds))
    }
}

/// `n` evenly spaced thresholds from 0 to 1, the outer ones moved outwards by `margin`.
pub(super) fn even(n: usize, margin: f64) -> Vec<f64> {
    let last = (n - 1) as f64;
    (0..n)
        .map(|i| match i {
            0 => -margin,
            i if i + 1 == n => 1.0 + margin,
            i => i as f64 / last,
        })
        .collect()
}

/// Whether these are evenly spaced from 0 to 1 (`numpy.allclose`, as Keras asks it).
pub(super) fn is_even(thresholds: &[f64]) -> bool {
    let last = thresholds.len() as f64 - 1.0;
    let close = |(i, t): (usize, &f64)| {
        let want = i as f64 / last;
        (t - want).abs() <= 1e-7 + 1e-5 * want
    };
    thresholds.len() >= 3 && thresholds.iter().enumerate().all(close)
}

/// Weighted counts at one threshold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Positive and predicted so.
    pub tp: f64,
    /// Negative and predicted so.
    pub tn: f64,
    /// Negative but predicted positive.
    pub fp: f64,
    /// Positive but predicted negative.
    pub fn_: f64,
}

/// The rule that puts a prediction into a bucket.
#[derive(Clone, Debug)]
enum Rule {
    /// `n` evenly spaced ones; whether the outer ones lie outside `[0, 1]`, so that every prediction is above the first.
    Even { n: usize, outside: bool },
    /// Thresholds in ascending order.
    Sorted(Vec<Float>),
}

/// Where Keras puts predictions that are not among the `k` largest: below every threshold.
pub(super) const NOWHERE: f32 = -1e10;

/// Whether prediction `j` of a row is among its `k` largest; of equal ones the first go first.
fn among_largest(p: &[Float], j: usize, k: usize) -> bool {
    let before = |(i, v): (usize, &Float)| *v > p[j] || (*v == p[j] && i < j);
    p.iter().enumerate().filter(|&pair| before(pair)).count() < k
}

/// Counts at thresholds.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    rule: Rule,
    /// Place of each given threshold in ascending order.
    places: Vec<usize>,
    /// Weight of the positive and negative targets whose prediction is above exactly `i` thresholds.
    buckets: Vec<[f64; 2]>,
}

impl Counter {
    /// `even` says that the thresholds are evenly spaced from 0 to 1 (the outer ones perhaps outside).
    pub fn new(thresholds: &[f64], even: bool) -> Self {
        let n = thresholds.len();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| thresholds[a].total_cmp(&thresholds[b]));
        let mut places = vec![0; n];
        order
            .iter()
            .enumerate()
            .for_each(|(place, &i)| places[i] = place);
        let rule = if even {
            let outside = thresholds[0] < 0.0 || thresholds[n - 1] > 1.0;
            Rule::Even { n, outside }
        } else {
            Rule::Sorted(order.iter().map(|&i| thresholds[i] as Float).collect())
        };
        Counter {
            rule,
            places,
            buckets: vec![[0.0; 2]; n + 1],
        }
    }

    /// How many thresholds the prediction is above.
    fn bucket(&self, p: Float) -> usize {
        match &self.rule {
            Rule::Even { n, outside } => {
                let above = (p.clamp(0.0, 1.0) * (n - 1) as Float).ceil();
                // NaN is above nothing.
                (above as usize).max(usize::from(*outside))
            }
            Rule::Sorted(thresholds) => thresholds.partition_point(|t| p > *t),
        }
    }

    pub fn add(&mut self, wanted: bool, p: Float, weight: f64) {
        let bucket = self.bucket(p);
        self.buckets[bucket][usize::from(!wanted)] += weight;
    }

    /// Adds a batch: every prediction, or only those of the column `class_id` of the last axis, or among the `top_k` of a row.
    pub fn add_batch(
        &mut self,
        y_true: View<'_>,
        y_pred: View<'_>,
        weight: Option<&[Float]>,
        class_id: Option<usize>,
        top_k: Option<usize>,
    ) {
        let (cols, rows) = (y_pred.cols(), y_pred.rows());
        let columns = match class_id {
            Some(class) => class..class + 1,
            None => 0..cols,
        };
        let truth = y_true.data.chunks_exact(cols);
        for (r, (t, p)) in truth.zip(y_pred.data.chunks_exact(cols)).enumerate() {
            let weight = weight_at(weight, r, y_pred.batch, rows);
            for j in columns.clone() {
                let left = top_k.is_none_or(|k| among_largest(p, j, k));
                let p = if left { p[j] } else { Float::from(NOWHERE) };
                self.add(t[j] != 0.0, p, weight);
            }
        }
    }

    /// Counts at every threshold, in ascending order.
    pub fn ascending(&self) -> impl Iterator<Item = Counts> {
        let total = self
            .buckets
            .iter()
            .fold([0.0; 2], |t, b| [t[0] + b[0], t[1] + b[1]]);
        let last = self.buckets.len() - 1;
        self.buckets[..last]
            .iter()
            .scan([0.0; 2], move |below, bucket| {
                *below = [below[0] + bucket[0], below[1] + bucket[1]];
                Some(Counts {
                    fn_: below[0],
                    tn: below[1],
                    tp: total[0] - below[0],
                    fp: total[1] - below[1],
                })
            })
    }

    /// Its numbers, to be put back by [`set_state`](Self::set_state).
    pub fn state(&self) -> &[f64] {
        self.buckets.as_flattened()
    }

    /// Takes them back; whether there are as many.
    pub fn set_state(&mut self, state: &[f64]) -> bool {
        let buckets = self.buckets.as_flattened_mut();
        let fits = buckets.len() == state.len();
        if fits {
            buckets.copy_from_slice(state);
        }
        fits
    }

    /// Whether there is one threshold.
    pub fn is_single(&self) -> bool {
        self.places.len() == 1
    }

    /// Counts at every threshold, in the order in which they were given.
    pub fn in_order(&self) -> Vec<Counts> {
        let ascending: Vec<Counts> = self.ascending().collect();
        self.places.iter().map(|&place| ascending[place]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_the_number_of_thresholds_below() {
        let predictions = [-1.0, 0.0, 0.1, 0.3, 0.5, 0.9999, 1.0, 2.0];
        let list = even(8, 1e-7);
        let counter = Counter::new(&list, true);
        for p in predictions {
            // Keras clips predictions to [0, 1] here, so that all lie between the outer thresholds.
            let clipped = f64::from(p as Float).clamp(0.0, 1.0);
            let want = list.iter().filter(|&&t| clipped > t).count();
            assert_eq!(counter.bucket(p), want, "{p}");
        }
        assert_eq!(counter.bucket(Float::NAN), 1);
        let given = [0.6, 0.2, 0.45];
        let counter = Counter::new(&given, false);
        for p in predictions {
            let want = given.iter().filter(|&&t| p > t as Float).count();
            assert_eq!(counter.bucket(p), want, "{p}");
        }
    }

    #[test]
    fn counts_come_in_the_order_given() {
        let mut counter = Counter::new(&[0.6, 0.2], false);
        counter.add(true, 0.7, 1.0);
        counter.add(true, 0.4, 2.0);
        counter.add(false, 0.3, 4.0);
        let counts = counter.in_order();
        assert_eq!(
            (counts[0].tp, counts[0].fn_, counts[0].fp, counts[0].tn),
            (1.0, 2.0, 0.0, 4.0)
        );
        assert_eq!(
            (counts[1].tp, counts[1].fn_, counts[1].fp, counts[1].tn),
            (3.0, 0.0, 4.0, 0.0)
        );
    }

    #[test]
    fn the_largest_of_equal_ones_is_the_first() {
        assert!(among_largest(&[1.0, 1.0, 0.0], 0, 1) && !among_largest(&[1.0, 1.0, 0.0], 1, 1));
    }

    #[test]
    fn even_spacing() {
        assert!(is_even(&[0.0, 0.5, 1.0]) && is_even(&even(7, 0.0)));
        assert!(!is_even(&[0.0, 1.0]) && !is_even(&[0.0, 0.6, 1.0]));
    }
}
