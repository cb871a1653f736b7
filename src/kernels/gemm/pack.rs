//! Packing: strips of an operand copied into the order in which the tiles read them.

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
