//! Samples that can be read in any order, and the batches made of them; arrays as such samples.

use std::sync::Arc;

use super::dataset::{Dataset, Minibatch, Pass, Shapes};
use crate::error::{Error, Result};
use crate::random::{Rng, Seed};
use crate::tensor::{Arrays, IntoArrays, Tensor};

/// Samples that can be read in any order. [`Batched`] makes a [`Dataset`] of them.
pub trait Indexed: Send {
    /// Shapes of a sample.
    fn shapes(&self) -> &Shapes;

    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds one sample to every part of a batch that has these shapes.
    fn read(&mut self, index: usize, batch: &mut Minibatch) -> Result<()>;
}

/// A dataset of samples that can be read in any order: in training shuffled anew in every pass.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `batch_size` | 32 | samples a batch |
/// | `shuffle` | true | a new order in every pass of training |
/// | `seed` | none | of the order; none: the model's |
/// | `drop_remainder` | false | leave out a last batch that is smaller |
#[derive(Clone, Debug)]
pub struct Batched<S> {
    source: S,
    /// The samples that take part; `None` for all.
    rows: Option<Arc<[u32]>>,
    batch_size: usize,
    shuffle: bool,
    seed: Option<u64>,
    drop_remainder: bool,
    order: Vec<u32>,
    at: usize,
}

impl<S: Indexed> Batched<S> {
    /// Batches of 32.
    ///
    /// # Errors
    /// If there are no samples, or more than `u32` can count.
    pub fn new(source: S) -> Result<Self> {
        let n = source.len();
        if n == 0 || u32::try_from(n).is_err() {
            return Err(Error::data(
                "dataset",
                format!("{n} samples: expected 1 to 2^32 - 1"),
            ));
        }
        Ok(Batched {
            source,
            rows: None,
            batch_size: 32,
            shuffle: true,
            seed: None,
            drop_remainder: false,
            order: Vec::new(),
            at: 0,
        })
    }

    /// Samples a batch. 0 is an error when a pass begins.
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = size;
        self
    }

    /// Whether every pass of training has an order of its own.
    pub fn shuffle(mut self, yes: bool) -> Self {
        self.shuffle = yes;
        self
    }

    /// Seed of the order, in place of the model's.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether to leave out a last batch that is smaller.
    pub fn drop_remainder(mut self, yes: bool) -> Self {
        self.drop_remainder = yes;
        self
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.rows.as_ref().map_or(self.source.len(), |r| r.len())
    }

    /// Where the samples come from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Only these samples, in this order.
    ///
    /// # Errors
    /// If there are none, or one does not exist.
    pub fn select(mut self, rows: &[u32]) -> Result<Self> {
        let n = self.samples();
        if let Some(row) = rows.iter().find(|&&r| r as usize >= n) {
            return Err(Error::arg("rows", format!("rows below {n}"), row).owned_by("Batched"));
        }
        if rows.is_empty() {
            return Err(Error::arg("rows", "at least one row", "none").owned_by("Batched"));
        }
        self.rows = Some(match &self.rows {
            Some(all) => rows.iter().map(|&r| all[r as usize]).collect(),
            None => rows.into(),
        });
        Ok(self)
    }
}

impl<S: Indexed> Dataset for Batched<S> {
    fn begin(&mut self, pass: Pass) -> Result<()> {
        if self.batch_size == 0 {
            return Err(Error::arg("batch_size", "a positive number", 0).owned_by("dataset"));
        }
        let pass = Pass {
            seed: self.seed.unwrap_or(pass.seed),
            shuffle: pass.shuffle && self.shuffle,
            ..pass
        };
        pass.order(self.samples(), &mut self.order);
        self.at = 0;
        Ok(())
    }

    fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
        batch.reset(self.source.shapes());
        let end = self
            .at
            .saturating_add(self.batch_size)
            .min(self.order.len());
        if end == self.at || (self.drop_remainder && end - self.at < self.batch_size) {
            return Ok(false);
        }
        for &i in &self.order[self.at..end] {
            let row = self.rows.as_ref().map_or(i, |rows| rows[i as usize]);
            self.source.read(row as usize, batch)?;
        }
        self.at = end;
        Ok(true)
    }

    fn steps(&self) -> Option<usize> {
        let (n, size) = (self.samples(), self.batch_size.max(1));
        Some(if self.drop_remainder {
            n / size
        } else {
            n.div_ceil(size)
        })
    }
}

/// Arrays, as samples.
#[derive(Clone, Debug)]
pub struct ArraySamples<'a> {
    parts: Arc<[Arrays<'a>; 3]>,
    shapes: Shapes,
}

/// A dataset of inputs and targets that lie in memory: one array each, or several. It borrows them. Training with it gives the
/// same bits as training with the arrays.
///
/// ```
/// use oxhorn::{data, prelude::*};
///
/// let (x, y) = ([[0.0f32], [1.0], [2.0], [3.0]], [[1.0f32], [3.0], [5.0], [7.0]]);
/// let mut model = Sequential::new().seed(0).input([1]).add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let mut same = model.clone();
///
/// let mut data = data::from_arrays(&x, &y)?.batch_size(2);
/// model.fit_dataset(&mut data, Fit::epochs(3).verbose(0))?;
/// same.fit(&x, &y, Fit::epochs(3).batch_size(2).verbose(0))?;
/// assert_eq!(model.params(), same.params());
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If there are no samples, the arrays do not have the same number of them, or arrays are given by name (a dataset knows no names).
pub fn from_arrays<'a>(
    x: impl IntoArrays<'a>,
    y: impl IntoArrays<'a>,
) -> Result<Batched<ArraySamples<'a>>> {
    arrays([x.into_arrays()?, y.into_arrays()?, Arrays::many(vec![])])
}

/// [`from_arrays`] with sample weights, one array for each target.
///
/// # Errors
/// As `from_arrays`.
pub fn from_weighted_arrays<'a>(
    x: impl IntoArrays<'a>,
    y: impl IntoArrays<'a>,
    sample_weight: impl IntoArrays<'a>,
) -> Result<Batched<ArraySamples<'a>>> {
    arrays([
        x.into_arrays()?,
        y.into_arrays()?,
        sample_weight.into_arrays()?,
    ])
}

/// A dataset of inputs alone, for `predict_dataset`.
///
/// # Errors
/// As `from_arrays`.
pub fn from_inputs<'a>(x: impl IntoArrays<'a>) -> Result<Batched<ArraySamples<'a>>> {
    arrays([x.into_arrays()?, Arrays::many(vec![]), Arrays::many(vec![])])
}

fn arrays(parts: [Arrays<'_>; 3]) -> Result<Batched<ArraySamples<'_>>> {
    let n = parts[0].tensors().first().map_or(0, Tensor::batch);
    for (what, arrays) in ["x", "y", "sample_weight"].into_iter().zip(&parts) {
        if arrays.names().is_some() {
            let want = "arrays in the order of the model";
            return Err(Error::arg(what, want, "arrays by name").owned_by("dataset"));
        }
        if let Some(t) = arrays.tensors().iter().find(|t| t.batch() != n) {
            return Err(Error::shape(format!("{n} samples as in x"), t.batch()).owned_by(what));
        }
    }
    let [x, y, weights] = parts
        .each_ref()
        .map(|a| a.tensors().iter().map(Tensor::sample).collect());
    Batched::new(ArraySamples {
        parts: Arc::new(parts),
        shapes: Shapes { x, y, weights },
    })
}

impl Indexed for ArraySamples<'_> {
    fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    fn len(&self) -> usize {
        self.parts[0].tensors().first().map_or(0, Tensor::batch)
    }

    fn read(&mut self, index: usize, batch: &mut Minibatch) -> Result<()> {
        let tensors = self.parts.iter().flat_map(|a| a.tensors());
        for (part, tensor) in batch.parts_mut().zip(tensors) {
            let width = part.shape().numel();
            part.push(&tensor.data()[index * width..][..width])?;
        }
        Ok(())
    }
}

/// How much of the data one side of [`split_dataset`] gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SplitSize {
    /// What the other side leaves.
    Rest,
    /// So many samples.
    Samples(usize),
    /// This part of the samples, rounded (a half to the even number, as Python does).
    Fraction(f64),
}

impl From<usize> for SplitSize {
    fn from(samples: usize) -> Self {
        SplitSize::Samples(samples)
    }
}

impl From<f64> for SplitSize {
    fn from(fraction: f64) -> Self {
        SplitSize::Fraction(fraction)
    }
}

/// The first samples and the last ones as two datasets: Keras's `utils.split_dataset`. With `shuffle`, the samples are brought into
/// a random order before.
///
/// ```
/// use oxhorn::data::{from_arrays, split_dataset, SplitSize};
/// let (x, y) = (vec![0.0f32; 10], vec![0.0f32; 10]);
/// let data = from_arrays(&x, &y)?;
/// let (left, right) = split_dataset(&data, 0.75, SplitSize::Rest, None)?;
/// assert_eq!((left.samples(), right.samples()), (8, 2));
/// let (left, right) = split_dataset(&data, 3, 0.5, None)?;
/// assert_eq!((left.samples(), right.samples()), (3, 5));
/// assert!(split_dataset(&data, 6, 5, None).is_err());
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If both sizes are [`SplitSize::Rest`], a side would be empty, or they are more than all.
pub fn split_dataset<S: Indexed + Clone>(
    dataset: &Batched<S>,
    left_size: impl Into<SplitSize>,
    right_size: impl Into<SplitSize>,
    shuffle: Option<Seed>,
) -> Result<(Batched<S>, Batched<S>)> {
    let n = dataset.samples();
    let count = |arg, size| match size {
        SplitSize::Rest => Ok(None),
        SplitSize::Samples(k) if (1..n).contains(&k) => Ok(Some(k)),
        SplitSize::Fraction(f) if f > 0.0 && f < 1.0 => {
            Ok(Some((f * n as f64).round_ties_even() as usize))
        }
        other => {
            let want = format!("from 1 to {} samples, or a fraction within 0 and 1", n - 1);
            Err(Error::arg(arg, want, format!("{other:?}")).owned_by("split_dataset"))
        }
    };
    let left = count("left_size", left_size.into())?;
    let right = count("right_size", right_size.into())?;
    let (left, right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        (Some(left), None) => (left, n - left),
        (None, Some(right)) => (n - right, right),
        (None, None) => {
            let error = Error::arg("left_size", "one of both sizes", "none");
            return Err(error.owned_by("split_dataset"));
        }
    };
    if left == 0 || right == 0 || left + right > n {
        let problem = format!("{left} and {right} of {n} samples: both sides need some");
        return Err(Error::data("split_dataset", problem));
    }
    let order: Vec<u32> = match shuffle {
        Some(Seed(seed)) => Rng::new(seed).permutation(n),
        None => (0..n as u32).collect(),
    };
    let part = |rows: &[u32]| dataset.clone().select(rows);
    Ok((part(&order[..left])?, part(&order[n - right..])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<S: Indexed>(data: &mut Batched<S>, pass: Pass) -> Vec<Vec<crate::Float>> {
        let (mut batch, mut all) = (Minibatch::default(), vec![]);
        data.begin(pass).unwrap();
        while data.next(&mut batch).unwrap() {
            all.push(batch.x[0].data().to_vec());
        }
        assert!(batch.is_empty());
        all
    }

    #[test]
    fn passes_have_orders_and_all_samples() {
        let x: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let mut data = from_inputs(&x).unwrap().batch_size(4);
        assert_eq!(data.steps(), Some(3));
        let plain = rows(&mut data, Pass::IN_ORDER);
        assert_eq!(plain[2], [8.0, 9.0]);
        let pass = |number, seed| Pass {
            number,
            seed,
            shuffle: true,
        };
        let first = rows(&mut data, pass(0, 5));
        assert_eq!(first, rows(&mut data, pass(0, 5)));
        assert_ne!(first, rows(&mut data, pass(1, 5)));
        let mut own = data.clone().seed(9);
        assert_eq!(rows(&mut own, pass(1, 5)), rows(&mut own, pass(1, 6)));
        let mut sorted = first.concat();
        sorted.sort_by(|a, b| a.total_cmp(b));
        assert_eq!(sorted, plain.concat());
        let mut full = data.clone().drop_remainder(true).shuffle(false);
        assert_eq!(full.steps(), Some(2));
        assert_eq!(rows(&mut full, pass(0, 5)), plain[..2]);
        assert!(data.batch_size(0).begin(Pass::IN_ORDER).is_err());
    }

    #[test]
    fn parts_of_parts() {
        let x: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let data = from_inputs(&x).unwrap();
        let odd = data.select(&[1, 3, 5, 7, 9]).unwrap();
        let mut two = odd.clone().select(&[4, 0]).unwrap();
        assert_eq!(rows(&mut two, Pass::IN_ORDER), [[9.0, 1.0]]);
        assert!(odd.clone().select(&[5]).is_err());
        assert!(odd.clone().select(&[]).is_err());
        let (left, right) = split_dataset(&odd, 2, SplitSize::Rest, Some(Seed(1))).unwrap();
        let mut all = [left, right]
            .map(|mut d| rows(&mut d, Pass::IN_ORDER).concat())
            .concat();
        all.sort_by(|a, b| a.total_cmp(b));
        assert_eq!(all, [1.0, 3.0, 5.0, 7.0, 9.0]);
        for (left, right) in [(0.0, 0.5), (1.0, 0.5), (0.01, 0.5)] {
            assert!(split_dataset(&odd, left, right, None).is_err());
        }
        assert!(split_dataset(&odd, SplitSize::Rest, SplitSize::Rest, None).is_err());
    }

    #[test]
    fn arrays_must_agree() {
        let (x, y) = (vec![0.0f32; 3], vec![0.0f32; 2]);
        assert!(from_arrays(&x, &y).is_err());
        assert!(from_arrays([("a", &x)], &x).is_err());
        assert!(from_weighted_arrays(&x, &x, &y).is_err());
        assert!(from_inputs(&Vec::<f32>::new()).is_err());
    }
}
