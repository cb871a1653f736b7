//! Datasets made of datasets: shuffled in a buffer, cut, changed.

use super::dataset::{Dataset, Minibatch, Pass};
use super::prefetch::Prefetch;
use crate::error::{Error, Result};
use crate::random::Rng;

/// What can be done with every [`Dataset`].
///
/// ```
/// use oxhorn::data::{from_inputs, Dataset, DatasetExt, Minibatch, Pass};
///
/// static X: [f32; 9] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
/// let mut data = from_inputs(&X)?
///     .batch_size(2)
///     .skip(1)
///     .take(3)
///     .map(|batch| {
///         batch.x[0].data_mut().iter_mut().for_each(|x| *x *= 2.0);
///         Ok(())
///     })
///     .prefetch(2);
/// assert_eq!(data.steps(), Some(3));
/// let mut batch = Minibatch::default();
/// data.begin(Pass::IN_ORDER)?;
/// assert!(data.next(&mut batch)?);
/// assert_eq!(batch.x[0].data(), [4.0, 6.0]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub trait DatasetExt: Dataset + Sized {
    /// In training, mixes the samples of what comes one after the other: each is drawn from `buffer_size` samples that are held in
    /// memory. For what can only be read in order; all samples must have the same shapes, and all batches but the last one size.
    fn shuffle_buffer(self, buffer_size: usize) -> ShuffleBuffer<Self> {
        ShuffleBuffer {
            inner: self,
            buffer_size,
            rng: None,
            pool: Minibatch::default(),
            fresh: Minibatch::default(),
            at: 0,
            size: 0,
            ended: false,
        }
    }

    /// At most the first `batches` of every pass.
    fn take(self, batches: usize) -> Take<Self> {
        Take {
            inner: self,
            batches,
            left: 0,
        }
    }

    /// All but the first `batches` of every pass.
    fn skip(self, batches: usize) -> Skip<Self> {
        Skip {
            inner: self,
            batches,
            left: 0,
        }
    }

    /// Changes every batch: values in place, or its parts. What it does should depend on the batch alone.
    fn map<F: FnMut(&mut Minibatch) -> Result<()> + Send>(self, f: F) -> Map<Self, F> {
        Map { inner: self, f }
    }

    /// Reads up to `batches` ahead on a thread of its own. The batches are the same, in the same order.
    fn prefetch(self, batches: usize) -> Prefetch<Self>
    where
        Self: 'static,
    {
        Prefetch::new(self, batches)
    }
}

impl<D: Dataset> DatasetExt for D {}

/// See [`DatasetExt::take`].
#[derive(Clone, Debug)]
pub struct Take<D> {
    inner: D,
    batches: usize,
    left: usize,
}

impl<D: Dataset> Dataset for Take<D> {
    fn begin(&mut self, pass: Pass) -> Result<()> {
        self.left = self.batches;
        self.inner.begin(pass)
    }

    fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
        if self.left == 0 {
            batch.parts_mut().for_each(|p| p.reset(p.shape()));
            return Ok(false);
        }
        self.left -= 1;
        self.inner.next(batch)
    }

    fn steps(&self) -> Option<usize> {
        self.inner.steps().map(|n| n.min(self.batches))
    }
}

/// See [`DatasetExt::skip`].
#[derive(Clone, Debug)]
pub struct Skip<D> {
    inner: D,
    batches: usize,
    left: usize,
}

impl<D: Dataset> Dataset for Skip<D> {
    fn begin(&mut self, pass: Pass) -> Result<()> {
        self.left = self.batches;
        self.inner.begin(pass)
    }

    fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
        while self.left > 0 {
            self.left -= 1;
            if !self.inner.next(batch)? {
                self.left = 0;
                return Ok(false);
            }
        }
        self.inner.next(batch)
    }

    fn steps(&self) -> Option<usize> {
        self.inner.steps().map(|n| n.saturating_sub(self.batches))
    }
}

/// See [`DatasetExt::map`].
#[derive(Clone, Debug)]
pub struct Map<D, F> {
    inner: D,
    f: F,
}

impl<D: Dataset, F: FnMut(&mut Minibatch) -> Result<()> + Send> Dataset for Map<D, F> {
    fn begin(&mut self, pass: Pass) -> Result<()> {
        self.inner.begin(pass)
    }

    fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
        Ok(self.inner.next(batch)? && {
            (self.f)(batch)?;
            true
        })
    }

    fn steps(&self) -> Option<usize> {
        self.inner.steps()
    }
}

/// See [`DatasetExt::shuffle_buffer`].
#[derive(Debug)]
pub struct ShuffleBuffer<D> {
    inner: D,
    buffer_size: usize,
    /// `None` in a pass that keeps the order.
    rng: Option<Rng>,
    /// What is drawn from.
    pool: Minibatch,
    /// What was read last, from sample `at` on not yet in the pool.
    fresh: Minibatch,
    at: usize,
    /// Samples in a batch.
    size: usize,
    ended: bool,
}

impl<D: Dataset> ShuffleBuffer<D> {
    /// Whether there is a sample at `self.at` of `self.fresh`.
    fn refresh(&mut self) -> Result<bool> {
        while self.at == self.fresh.len() {
            if self.ended {
                return Ok(false);
            }
            self.ended = !self.inner.next(&mut self.fresh)?;
            self.at = 0;
            if self.ended {
                return Ok(false);
            }
            let len = self.fresh.len();
            if self.fresh.parts().any(|p| p.len() != len) {
                return Err(Error::data(
                    "dataset",
                    "parts with different numbers of samples",
                ));
            }
            self.size = self.size.max(len);
            if self.pool.is_empty() {
                self.pool.reset_like(&self.fresh);
            } else if !self.pool.is_like(&self.fresh) {
                let problem = "samples of different shapes cannot be shuffled in one buffer";
                return Err(Error::data("shuffle_buffer", problem));
            }
        }
        Ok(true)
    }
}

impl<D: Dataset> Dataset for ShuffleBuffer<D> {
    fn begin(&mut self, pass: Pass) -> Result<()> {
        if self.buffer_size == 0 {
            let error = Error::arg("buffer_size", "a positive number", 0);
            return Err(error.owned_by("shuffle_buffer"));
        }
        self.rng = pass.shuffle.then(|| pass.rng());
        self.pool = std::mem::take(&mut self.pool);
        self.pool.parts_mut().for_each(|p| p.reset(p.shape()));
        self.fresh.parts_mut().for_each(|p| p.reset(p.shape()));
        (self.at, self.size, self.ended) = (0, 0, false);
        self.inner.begin(pass)
    }

    fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
        let Some(mut rng) = self.rng.take() else {
            return self.inner.next(batch);
        };
        while self.pool.len() < self.buffer_size && self.refresh()? {
            self.pool.push_from(&self.fresh, self.at);
            self.at += 1;
        }
        batch.reset_like(&self.pool);
        while batch.len() < self.size && !self.pool.is_empty() {
            let i = rng.below(self.pool.len());
            batch.push_from(&self.pool, i);
            if self.refresh()? {
                for (part, from) in self.pool.parts_mut().zip(self.fresh.parts()) {
                    part.row_mut(i).copy_from_slice(from.row(self.at));
                }
                self.at += 1;
            } else {
                self.pool.parts_mut().for_each(|p| p.swap_remove(i));
            }
        }
        self.rng = Some(rng);
        Ok(!batch.is_empty())
    }

    fn steps(&self) -> Option<usize> {
        self.inner.steps()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::from_arrays;

    fn read(data: &mut dyn Dataset, pass: Pass) -> Vec<f64> {
        let (mut batch, mut all) = (Minibatch::default(), vec![]);
        data.begin(pass).unwrap();
        while data.next(&mut batch).unwrap() {
            assert_eq!(batch.x[0].data(), batch.y[0].data());
            all.extend(batch.x[0].data().iter().map(|&v| f64::from(v)));
        }
        all
    }

    const TRAIN: Pass = Pass {
        number: 2,
        seed: 7,
        shuffle: true,
    };

    #[test]
    fn a_buffer_mixes_and_loses_nothing() {
        let x: Vec<f32> = (0..103).map(|i| i as f32).collect();
        for buffer in [1, 7, 50, 1000] {
            let data = from_arrays(&x, &x).unwrap().batch_size(8).shuffle(false);
            let mut data = data.shuffle_buffer(buffer);
            let mixed = read(&mut data, TRAIN);
            assert_eq!(mixed, read(&mut data, TRAIN));
            assert_eq!(buffer == 1, mixed.is_sorted());
            // A sample cannot come out before it came in.
            let early = |(i, v): (usize, &f64)| *v < (i + buffer) as f64;
            assert!(mixed.iter().enumerate().all(early));
            let mut sorted = mixed.clone();
            sorted.sort_by(f64::total_cmp);
            assert!(sorted.iter().enumerate().all(|(i, v)| i as f64 == *v) && sorted.len() == 103);
            assert!(read(&mut data, Pass::IN_ORDER).is_sorted());
        }
    }

    #[test]
    fn skip_and_take() {
        let x: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let data = || from_arrays(&x, &x).unwrap().batch_size(3);
        let mut part = data().skip(2).take(2);
        assert_eq!(part.steps(), Some(2));
        assert_eq!(
            read(&mut part, Pass::IN_ORDER),
            [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]
        );
        assert!(read(&mut data().skip(9), Pass::IN_ORDER).is_empty());
        assert!(read(&mut data().take(0), Pass::IN_ORDER).is_empty());
        assert_eq!(read(&mut data().take(99), Pass::IN_ORDER).len(), 20);
    }
}
