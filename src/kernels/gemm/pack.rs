//! Packing: strips of an operand copied into the order in which the tiles read them.

use super::blocks::Shape;
use super::simd::{Kernel, Simd};
use crate::float::Float;
use std::cell::Cell;

/// One strip: `dst[p * step + i] = src[i * lane + p * depth]` for `i < lanes`, `p < k`.
///
/// Whole vectors are written, so up to `LANES - 1` numbers after each `p` are overwritten, before the next `p` is written:
/// pack strips in rising order and leave a vector of room after the last.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    pub src: *const Float,
    /// Distance of neighbouring lanes (rows of A, columns of B).
    pub lane: usize,
    /// Distance of neighbours along k.
    pub depth: usize,
    pub lanes: usize,
    pub k: usize,
    pub dst: *mut Float,
    pub step: usize,
}

impl<S: Simd> Kernel<S> for Strip {
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: handed on.
        unsafe {
            if self.lane == 1 {
                self.copy::<S>();
            } else if self.depth == 1 {
                self.transpose::<S>();
            } else {
                self.gather();
            }
        }
    }
}

/// Rows that are asked for before they are copied, because they are too far apart for the processor to foresee them.
const AHEAD: usize = 8;

impl Strip {
    /// Lanes are side by side: vectors are copied as they are.
    #[inline(always)]
    unsafe fn copy<S: Simd>(self) {
        let last = (self.lanes - 1) / S::LANES * S::LANES;
        // SAFETY: lanes and k stay inside the strip; the last vector is masked.
        unsafe {
            let mask = S::mask(self.lanes - last);
            for p in 0..self.k {
                let (from, to) = (self.src.add(p * self.depth), self.dst.add(p * self.step));
                let ahead = from.wrapping_add(AHEAD * self.depth);
                S::prefetch(ahead);
                S::prefetch(ahead.wrapping_add(self.lanes - 1));
                for i in (0..last).step_by(S::LANES) {
                    S::store(to.add(i), S::load(from.add(i)));
                }
                S::store(to.add(last), S::load_masked(from.add(last), mask));
            }
        }
    }

    /// Numbers along k are side by side: blocks are transposed in registers.
    #[inline(always)]
    unsafe fn transpose<S: Simd>(self) {
        for p in (0..self.k).step_by(S::LANES) {
            for i in self.lanes..2 * self.lanes {
                // SAFETY: a hint.
                unsafe { S::prefetch(self.src.wrapping_add(i * self.lane + p)) };
            }
            // Falling order: what a vector writes beyond the lanes belongs to the next p, whose first lanes come later.
            for i in (0..self.lanes).step_by(S::LANES).rev() {
                let (rows, cols) = ((self.lanes - i).min(S::LANES), (self.k - p).min(S::LANES));
                // SAFETY: the block is inside the strip.
                unsafe {
                    let from = self.src.add(i * self.lane + p);
                    S::transpose(
                        from,
                        self.lane,
                        rows,
                        cols,
                        self.dst.add(p * self.step + i),
                        self.step,
                    );
                }
            }
        }
    }

    /// Any strides, number by number.
    unsafe fn gather(self) {
        for p in 0..self.k {
            for i in 0..self.lanes {
                // SAFETY: (i, p) is inside the strip.
                unsafe {
                    *self.dst.add(p * self.step + i) = *self.src.add(i * self.lane + p * self.depth)
                };
            }
        }
    }
}

/// Copies a block of B in strips of `shape.cols` columns: strip `j` has its rows at `j * k + p * step(j)`, where `step(j)` is its
/// columns in whole vectors. Element `(p, j)` of the block is `src[p * row + j * col]`.
///
/// # Safety
/// The processor has `S`; the block is `k x n` numbers large, and `dst` has room for `k` rows of `n` in whole vectors.
pub(super) unsafe fn pack_strips<S: Simd>(
    shape: Shape,
    k: usize,
    n: usize,
    src: *const Float,
    row: usize,
    col: usize,
    dst: *mut Float,
) {
    if col == 1 {
        // SAFETY: the strips are the block.
        return unsafe {
            S::run(Strips {
                src,
                depth: row,
                lanes: n,
                width: shape.cols,
                k,
                dst,
            })
        };
    }
    for (j, lanes) in shape.strips(n) {
        // SAFETY: strip j is inside the block, and its place inside the room.
        unsafe {
            S::run(Strip {
                src: src.add(j * col),
                lane: col,
                depth: row,
                lanes,
                k,
                dst: dst.add(j * k),
                step: lanes.next_multiple_of(S::LANES),
            })
        };
    }
}

/// All strips of an operand whose lanes are side by side: `dst[i * k + p * step(i) + l] = src[p * depth + i + l]`, where strip
/// `i` has up to `width` lanes and `step(i)` is as much in whole vectors. It is read in the order in which it lies.
#[derive(Clone, Copy)]
struct Strips {
    src: *const Float,
    depth: usize,
    lanes: usize,
    width: usize,
    k: usize,
    dst: *mut Float,
}

impl<S: Simd> Kernel<S> for Strips {
    #[inline(always)]
    unsafe fn run(self) {
        let whole = self.lanes / self.width * self.width;
        let last = self.lanes / S::LANES * S::LANES;
        let rest = (self.lanes - whole).next_multiple_of(S::LANES);
        // SAFETY: lanes and k stay inside the operand; the last vector is masked.
        unsafe {
            let mask = S::mask(self.lanes - last);
            for p in 0..self.k {
                let from = self.src.add(p * self.depth);
                let ahead = from.wrapping_add(self.depth);
                let mut to = self.dst.add(p * self.width);
                for i in (0..whole).step_by(self.width) {
                    S::prefetch(ahead.wrapping_add(i));
                    for l in (0..self.width).step_by(S::LANES) {
                        S::store(to.add(l), S::load(from.add(i + l)));
                    }
                    to = to.wrapping_add(self.width * self.k);
                }
                let to = self.dst.add(whole * self.k + p * rest);
                for i in (whole..last).step_by(S::LANES) {
                    S::store(to.add(i - whole), S::load(from.add(i)));
                }
                if last < self.lanes {
                    S::store(to.add(last - whole), S::load_masked(from.add(last), mask));
                }
            }
        }
    }
}

/// A cache line: packed operands start on one.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code)] [Float; LINE]);

const LINE: usize = 64 / size_of::<Float>();

/// Memory for the packed operands of one block.
#[derive(Default)]
pub(super) struct Space {
    a: Vec<Line>,
    b: Vec<Line>,
}

thread_local! {
    static SPACE: Cell<Space> = const { Cell::new(Space { a: Vec::new(), b: Vec::new() }) };
}

impl Space {
    /// Room for `a` and `b` numbers and a vector more each. The memory is the thread's own, and is kept from call to call; it
    /// is taken away from the thread while in use, so that a nested product would find none and make its own.
    pub fn with<R>(a: usize, b: usize, f: impl FnOnce(*mut Float, *mut Float) -> R) -> R {
        let mut space = SPACE.take();
        let r = f(Self::room(&mut space.a, a), Self::room(&mut space.b, b));
        SPACE.set(space);
        r
    }

    fn room(lines: &mut Vec<Line>, len: usize) -> *mut Float {
        let needed = if len == 0 {
            0
        } else {
            len.div_ceil(LINE) + 64 / LINE
        };
        if lines.len() < needed {
            lines.resize(needed, Line([0.0; LINE]));
        }
        lines.as_mut_ptr().cast()
    }
}
