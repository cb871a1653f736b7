//! A small array spread over a larger one, as NumPy broadcasts: axes of size 1 (and axes missing in front) stand still.
//!
//! [`Spread`] cuts the larger array into runs along which the small one either moves in step or stands still, as long as
//! possible, so that all work is done by loops over slices.

use super::elementwise::{add, sum};
use super::parallel::Par;
use crate::float::Float;
use crate::shape::MAX_RANK;

/// Most axes, with the batch.
const AXES: usize = MAX_RANK + 1;

/// How a small array lies under a larger one.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Size and stride (in the small array) of each axis over the runs, the innermost first.
    axes: [(usize, usize); AXES],
    rank: usize,
    /// Elements of the larger array in a run.
    pub run: usize,
    /// Whether the small array moves in step along a run; otherwise one element of it belongs to the whole run.
    pub moves: bool,
}

impl Spread {
    /// Of `batch` small samples over `batch` larger ones.
    ///
    /// # Panics
    /// In debug builds, if the shapes do not broadcast.
    pub fn samples(batch: usize, large: &[usize], small: &[usize]) -> Self {
        Self::new((batch, true), large, small, false)
    }

    /// Of one small array, without a batch axis, over `batch` larger ones.
    pub fn shared(batch: usize, large: &[usize], small: &[usize]) -> Self {
        Self::new((batch, false), large, small, false)
    }

    /// Like [`samples`](Self::samples), with a run for every row (the last axis of the larger array).
    pub fn rows(batch: usize, large: &[usize], small: &[usize]) -> Self {
        Self::new((batch, true), large, small, true)
    }

    fn new(batch: (usize, bool), large: &[usize], small: &[usize], by_rows: bool) -> Self {
        debug_assert!(small.len() <= large.len() && large.len() < AXES);
        let (mut axes, mut rank, mut stride) = ([(1, 0); AXES], 0, 1);
        let mut push = |size: usize, step: usize, first: bool| {
            // A run that goes on: the axis continues the one inside it.
            let inner = (rank > usize::from(by_rows)).then(|| &mut axes[rank - 1]);
            match inner {
                Some((n, s)) if step == *s * *n => *n *= size,
                _ if size == 1 && !(first && by_rows) => {}
                _ => {
                    axes[rank] = (size, step);
                    rank += 1;
                }
            }
        };
        for i in 0..large.len() {
            let size = large[large.len() - 1 - i];
            let own = if i < small.len() {
                small[small.len() - 1 - i]
            } else {
                1
            };
            debug_assert!(
                own == size || own == 1,
                "{small:?} does not broadcast to {large:?}"
            );
            push(size, if own == size { stride } else { 0 }, i == 0);
            stride *= own;
        }
        push(batch.0, if batch.1 { stride } else { 0 }, large.is_empty());
        let (run, step) = if rank == 0 { (1, 1) } else { axes[0] };
        axes.copy_within(1.., 0);
        Spread {
            axes,
            rank: rank.saturating_sub(1),
            run: run.max(1),
            moves: step > 0,
        }
    }

    /// Whether both arrays have the same elements in the same order.
    pub fn is_whole(&self) -> bool {
        self.rank == 0 && self.moves
    }

    /// Where in the small array run number `i` starts.
    #[inline]
    pub fn start(&self, mut i: usize) -> usize {
        let mut at = 0;
        for &(size, stride) in &self.axes[..self.rank] {
            at += i % size * stride;
            i /= size;
        }
        at
    }

    /// Calls `row(small, large)` for every run along which the small array moves, `one(element, large)` where it stands still.
    pub fn apply(
        &self,
        small: &[Float],
        large: &mut [Float],
        par: Par,
        row: impl Fn(&[Float], &mut [Float]) + Sync,
        one: impl Fn(Float, &mut [Float]) + Sync,
    ) {
        let run = self.run;
        if self.is_whole() {
            return par.for_each_rows(large, 1, |at, part| row(&small[at..at + part.len()], part));
        }
        par.for_each_rows(large, run, |first, part| {
            for (i, part) in part.chunks_exact_mut(run).enumerate() {
                let at = self.start(first + i);
                if self.moves {
                    row(&small[at..at + run], part);
                } else {
                    one(small[at], part);
                }
            }
        });
    }

    /// `small += ` the sums of what lies over each of its elements.
    pub fn add_sums(&self, large: &[Float], small: &mut [Float]) {
        for (i, part) in large.chunks_exact(self.run).enumerate() {
            let at = self.start(i);
            if self.moves {
                add(part, &mut small[at..at + self.run]);
            } else {
                small[at] += sum(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Position in the small array by the definition: strides over all axes.
    fn naive(batch: (usize, bool), large: &[usize], small: &[usize]) -> Vec<usize> {
        let total: usize = batch.0 * large.iter().product::<usize>();
        let each: usize = small.iter().product();
        (0..total)
            .map(|mut i| {
                let (mut at, mut stride) = (0, 1);
                for (k, &size) in large.iter().rev().enumerate() {
                    let own = small.iter().rev().nth(k).copied().unwrap_or(1);
                    at += if own == 1 { 0 } else { i % size * stride };
                    stride *= own;
                    i /= size;
                }
                at + if batch.1 { i * each } else { 0 }
            })
            .collect()
    }

    #[test]
    fn runs_agree_with_the_definition() {
        let cases: &[(&[usize], &[usize])] = &[
            (&[], &[]),
            (&[4], &[4]),
            (&[4], &[1]),
            (&[4], &[]),
            (&[3, 4], &[3, 4]),
            (&[3, 4], &[4]),
            (&[3, 4], &[3, 1]),
            (&[3, 4], &[1, 4]),
            (&[1, 4, 1], &[1, 1, 1]),
            (&[2, 3, 4, 5], &[2, 1, 1, 5]),
            (&[2, 3, 4, 5], &[3, 4, 1]),
            (&[2, 3, 1], &[2, 3, 1]),
            (&[2, 1, 5], &[5]),
        ];
        for &(large, small) in cases {
            for batch in [1, 3] {
                for (of_batch, spread) in [
                    (true, Spread::samples(batch, large, small)),
                    (false, Spread::shared(batch, large, small)),
                    (true, Spread::rows(batch, large, small)),
                ] {
                    let want = naive((batch, of_batch), large, small);
                    let got: Vec<usize> = (0..want.len())
                        .map(|i| {
                            let start = spread.start(i / spread.run);
                            start + if spread.moves { i % spread.run } else { 0 }
                        })
                        .collect();
                    assert_eq!(got, want, "{batch} x {small:?} over {large:?}: {spread:?}");
                }
                let rows = Spread::rows(batch, large, small);
                assert_eq!(rows.run, large.last().copied().unwrap_or(batch));
            }
        }
        assert!(Spread::samples(5, &[2, 3], &[2, 3]).is_whole());
        assert!(!Spread::shared(5, &[2, 3], &[2, 3]).is_whole());
    }

    #[test]
    fn sums_are_the_transpose() {
        let large: Vec<Float> = (0..2 * 3 * 4).map(|i| i as Float).collect();
        let mut sums = vec![1.0; 4];
        Spread::shared(2, &[3, 4], &[4]).add_sums(&large, &mut sums);
        assert_eq!(sums, [61.0, 67.0, 73.0, 79.0]);
        let mut sums = vec![0.0; 6];
        Spread::samples(2, &[3, 4], &[3, 1]).add_sums(&large, &mut sums);
        assert_eq!(sums, [6.0, 22.0, 38.0, 54.0, 70.0, 86.0]);
    }
}
