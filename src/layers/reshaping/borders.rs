//! Cutting a box out of each sample, and pasting it into a larger one of zeros: cropping and padding, and each other's backward.

use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Contract, Par};
use crate::layers::args::{checked, input_of_rank};
use crate::shape::{MAX_RANK, Shape};

/// Both only move numbers, and Keras lets the mask go.
pub(super) fn contract() -> Contract {
    Contract {
        reads_x: false,
        ..Contract::default()
    }
}

/// Shape after the sizes of the axes from `first` on have been changed by `change(size, border)`.
pub(super) fn shape(
    inputs: &[Shape],
    first: usize,
    borders: &[[usize; 2]],
    axes: &str,
    change: impl Fn(usize, usize) -> Option<usize>,
    problem: impl Fn(&Shape) -> Error,
) -> Result<Shape> {
    let x = input_of_rank(inputs, borders.len() + 1, axes)?;
    let mut dims = x.dims().to_vec();
    for (dim, [before, after]) in dims[first..].iter_mut().zip(borders) {
        let border = before.checked_add(*after).ok_or_else(|| problem(x))?;
        if let Some(size) = dim {
            *size = change(*size, border).ok_or_else(|| problem(x))?;
        }
    }
    checked(dims.into())
}

/// A box of `small` sizes within one of `large` sizes, as runs that are contiguous in both.
struct Part<'a> {
    small: &'a [usize],
    large: &'a [usize],
    before: [usize; MAX_RANK],
    /// The last axis whose sizes differ: runs go along it.
    last: usize,
    run: usize,
}

impl<'a> Part<'a> {
    fn new(small: &'a [usize], large: &'a [usize], first: usize, borders: &[[usize; 2]]) -> Self {
        let mut before = [0; MAX_RANK];
        for (before, border) in before[first..].iter_mut().zip(borders) {
            *before = border[0];
        }
        let last = (0..small.len())
            .rposition(|i| small[i] != large[i])
            .unwrap_or(0);
        Part {
            small,
            large,
            before,
            last,
            run: small[last..].iter().product(),
        }
    }

    /// Where in the larger sample run number `i` starts.
    fn start(&self, mut i: usize) -> usize {
        let mut stride: usize = self.large[self.last + 1..].iter().product();
        let mut at = self.before[self.last] * stride;
        stride *= self.large[self.last];
        for axis in (0..self.last).rev() {
            at += (i % self.small[axis] + self.before[axis]) * stride;
            i /= self.small[axis];
            stride *= self.large[axis];
        }
        at
    }
}

/// Cuts the box within the borders out of every sample.
pub(super) fn cut(
    large: (&[Float], &[usize]),
    first: usize,
    borders: &[[usize; 2]],
    small: (&mut [Float], &[usize]),
    par: Par,
) {
    let part = Part::new(small.1, large.1, first, borders);
    let (from, each) = (large.1.iter().product::<usize>(), small.1.iter().product());
    par.for_each_rows(small.0, each, |sample, small| {
        for (i, small) in small.chunks_exact_mut(each).enumerate() {
            let large = &large.0[(sample + i) * from..][..from];
            for (r, run) in small.chunks_exact_mut(part.run).enumerate() {
                run.copy_from_slice(&large[part.start(r)..][..part.run]);
            }
        }
    });
}

/// Pastes every sample into the box within the borders of a larger one that is zero elsewhere.
pub(super) fn paste(
    small: (&[Float], &[usize]),
    first: usize,
    borders: &[[usize; 2]],
    large: (&mut [Float], &[usize]),
    par: Par,
) {
    let part = Part::new(small.1, large.1, first, borders);
    let (from, each) = (small.1.iter().product::<usize>(), large.1.iter().product());
    par.for_each_rows(large.0, each, |sample, large| {
        large.fill(0.0);
        for (i, large) in large.chunks_exact_mut(each).enumerate() {
            let small = &small.0[(sample + i) * from..][..from];
            for (r, run) in small.chunks_exact(part.run.max(1)).enumerate() {
                large[part.start(r)..][..part.run].copy_from_slice(run);
            }
        }
    });
}
