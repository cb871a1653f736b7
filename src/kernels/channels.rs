//! Loops over the channels of a pixel, in blocks of a size that the compiler knows.

/// Channels worked on together: two vectors of AVX-512, four of AVX2.
const WIDE: usize = 32;
/// The same for what is left of them.
const NARROW: usize = 8;

/// What is done with a block of channels. Mark implementations `#[inline(always)]`, so that they are compiled for the instructions
/// of the caller.
pub(super) trait Block {
    /// Channels `c..c + N`.
    fn run<const N: usize>(&mut self, c: usize);
}

/// Runs all blocks in order.
#[inline(always)]
pub(super) fn in_blocks(channels: usize, block: &mut impl Block) {
    let mut c = 0;
    while c + WIDE <= channels {
        block.run::<WIDE>(c);
        c += WIDE;
    }
    while c + NARROW <= channels {
        block.run::<NARROW>(c);
        c += NARROW;
    }
    while c < channels {
        block.run::<1>(c);
        c += 1;
    }
}

/// `N` numbers from `at` on.
#[inline(always)]
pub(super) fn at<T, const N: usize>(data: &[T], at: usize) -> &[T; N] {
    data[at..].first_chunk().expect("channels of a pixel")
}

/// The same for writing.
#[inline(always)]
pub(super) fn at_mut<T, const N: usize>(data: &mut [T], at: usize) -> &mut [T; N] {
    data[at..].first_chunk_mut().expect("channels of a pixel")
}
