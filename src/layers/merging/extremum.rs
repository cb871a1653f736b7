//! The greatest or least of the inputs, folded from the first to the last, and to whom its gradient belongs.
//!
//! Ties are the first input's. With masks, inputs that a mask hides do not take part; where all are hidden, the first counts.

use super::base_merge::{self, Rows, is_plain};
use crate::float::Float;
use crate::layer::{Backward, Buffers, Contract, Forward, Len};
use crate::shape::Dims;

/// Backward compares inputs and output: who equals the output has won.
pub(super) fn contract() -> Contract {
    Contract {
        reads_x: true,
        reads_y: true,
        ..base_merge::contract()
    }
}

/// A number a row: whether an input has been seen there that is not hidden.
pub(super) fn buffers(inputs: &[Dims]) -> Buffers {
    let y = base_merge::broadcast_dims(inputs.iter().map(|x| &x[..]));
    Buffers {
        scratch: vec![Len::PerSample(y.without_last().numel())],
        ..Buffers::default()
    }
}

/// `y` by the order in which `better(x, y)` says that `x` comes before `y`.
pub(super) fn forward(mut cx: Forward<'_>, better: impl Fn(Float, Float) -> bool + Copy + Sync) {
    let ([seen], shape) = (cx.scratch.all(), cx.y.shape);
    let take = |x: Float, y: &mut Float| {
        // NaN wins, and stays.
        if better(x, *y) || x.is_nan() {
            *y = x;
        }
    };
    base_merge::spread(&cx.x[0], &mut cx.y, cx.par);
    seen.fill(1.0);
    let first = Rows::new(&cx.x[0], &cx.masks[0], shape);
    if first.masked() {
        for (r, seen) in seen.iter_mut().enumerate() {
            *seen = Float::from(u8::from(first.at(r).1));
        }
    }
    for (x, mask) in cx.x.iter().zip(cx.masks).skip(1) {
        if !first.masked() && is_plain(x, mask, shape) {
            cx.par.for_each_rows(cx.y.data, 1, |at, y| {
                let x = &x.data[at..at + y.len()];
                y.iter_mut().zip(x).for_each(|(y, x)| take(*x, y));
            });
            continue;
        }
        let rows = Rows::new(x, mask, shape);
        let all = cx.y.data.chunks_exact_mut(rows.len()).zip(&mut *seen);
        for (r, (y, seen)) in all.enumerate() {
            let (at, shown) = rows.at(r);
            let x = |k: usize| x.data[at + if rows.moves() { k } else { 0 }];
            match (shown, *seen != 0.0) {
                (false, _) => {}
                (true, false) => y.iter_mut().enumerate().for_each(|(k, y)| *y = x(k)),
                (true, true) => y.iter_mut().enumerate().for_each(|(k, y)| take(x(k), y)),
            }
            *seen = if shown { 1.0 } else { *seen };
        }
    }
}

/// `dx_i = dy` where `x_i` is the first to equal `y`, else 0. What has found its input is cleared from `dy`.
pub(super) fn backward(cx: Backward<'_>) {
    let (shape, dy) = (cx.dy.shape, cx.dy.data);
    for i in 0..cx.x.len() {
        let (x, rows) = (cx.x[i].data, Rows::new(&cx.x[i], &cx.masks[i], shape));
        let mut dx = cx.dx[i].as_mut().map(|dx| &mut *dx.data);
        if let Some(dx) = &mut dx {
            dx.fill(0.0);
        }
        let all =
            cx.y.data
                .chunks_exact(rows.len())
                .zip(dy.chunks_exact_mut(rows.len()));
        for (r, (y, dy)) in all.enumerate().filter(|(r, _)| rows.at(*r).1) {
            claim(x, rows.at(r).0, rows.moves(), y, dy, dx.as_deref_mut());
        }
    }
    // What no input that is shown has claimed belongs to the first.
    let rows = Rows::new(&cx.x[0], &cx.masks[0], shape);
    if let (Some(dx), true) = (&mut cx.dx[0], rows.masked()) {
        for (r, dy) in dy.chunks_exact(rows.len()).enumerate() {
            if let (at, false) = rows.at(r) {
                give(dy, at, rows.moves(), dx.data);
            }
        }
    }
}

fn claim(
    x: &[Float],
    at: usize,
    moves: bool,
    y: &[Float],
    dy: &mut [Float],
    dx: Option<&mut [Float]>,
) {
    let mut none = [];
    let dx = dx.unwrap_or(&mut none);
    for (k, (y, dy)) in y.iter().zip(dy).enumerate() {
        let at = at + if moves { k } else { 0 };
        if x[at] == *y {
            if let Some(dx) = dx.get_mut(at) {
                *dx += *dy;
            }
            *dy = 0.0;
        }
    }
}

fn give(dy: &[Float], at: usize, moves: bool, dx: &mut [Float]) {
    for (k, dy) in dy.iter().enumerate() {
        dx[at + if moves { k } else { 0 }] += dy;
    }
}
