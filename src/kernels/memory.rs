//! Buffers whose start is aligned to a cache line, so that vector loads never straddle two.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use crate::float::Float;

/// Elements in one 64-byte line.
const LINE: usize = 64 / size_of::<Float>();

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([Float; LINE]);

/// A vector of numbers on a 64-byte boundary.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Buffer::default();
        buffer.grow(len);
        buffer
    }

    /// Makes room for at least `len` elements, never shrinking. What is added is zero, what was there stays.
    pub fn grow(&mut self, len: usize) {
        if len > self.len {
            self.lines.resize(len.div_ceil(LINE), Line([0.0; LINE]));
            self.len = len;
        }
    }
}

impl From<&[Float]> for Buffer {
    fn from(values: &[Float]) -> Self {
        let mut buffer = Buffer::zeros(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [Float];
    fn deref(&self) -> &[Float] {
        // SAFETY: `lines` holds at least `len` contiguous, initialised `Float`s: a `Line` is an array of them without padding.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [Float] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

thread_local! {
    static SCRATCH: Cell<Buffer> = const { Cell::new(Buffer { lines: Vec::new(), len: 0 }) };
}

/// Calls `f` with `len` numbers of undefined content. The memory is the thread's own and kept from call to call; while in use it
/// is taken away from the thread, so that a nested call would find none and make its own.
pub fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [Float]) -> R) -> R {
    let mut buffer = SCRATCH.take();
    buffer.grow(len);
    let r = f(&mut buffer[..len]);
    SCRATCH.set(buffer);
    r
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_growing() {
        let mut buffer = Buffer::from(&[1.0, 2.0, 3.0][..]);
        assert_eq!(buffer.as_ptr() as usize % 64, 0);
        buffer.grow(40);
        assert_eq!((buffer.len(), buffer[2], buffer[39]), (40, 3.0, 0.0));
        buffer.grow(5);
        assert_eq!(buffer.len(), 40);
    }
}
