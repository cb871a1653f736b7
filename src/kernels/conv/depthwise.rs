//! Convolution where each channel has its own filter: sums over taps, vectors over channels.
//!
//! `windows` are the places of the windows in the frame, `taps` those of the taps in a window; `w (taps, F)`, `y (windows, F)`.
//! Channels are taken in strips of one or two vectors, which the taps of neighbouring windows find in the nearest cache.

use super::Accum;
use crate::float::Float;
use crate::kernels::gemm::simd::{Kernel, Simd, run_best};

/// Places of windows and taps, and how many channels there are.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    pub windows: &'a [u32],
    pub taps: &'a [u32],
    pub filters: usize,
}

impl Places<'_> {
    /// Panics unless all places are in a frame of this length, and the other operands as long as they should be.
    fn check(&self, frame: usize, w: usize, y: usize) {
        let largest = |places: &[u32]| places.iter().max().map_or(0, |&p| p as usize);
        let end = largest(self.windows) + largest(self.taps) + self.filters;
        let fits = w == self.taps.len() * self.filters && y >= self.windows.len() * self.filters;
        assert!(
            end <= frame && fits,
            "depthwise: places outside of the operands"
        );
    }
}

/// `y[o, f] = sum_t x[o, t, f] w[t, f]`.
pub(super) fn gather(places: Places, x: &[Float], w: &[Float], y: &mut [Float]) {
    places.check(x.len(), w.len(), y.len());
    let (x, w, y) = (x.as_ptr(), w.as_ptr(), y.as_mut_ptr());
    // SAFETY: the places are inside.
    unsafe { run_best(Gather { places, x, w, y }, places.filters) }
}

/// `dx[o, t, f] += dy[o, f] w[t, f]`.
pub(super) fn scatter(places: Places, dx: &mut [Float], w: &[Float], dy: &[Float]) {
    places.check(dx.len(), w.len(), dy.len());
    let (dx, w, dy) = (dx.as_mut_ptr(), w.as_ptr(), dy.as_ptr());
    // SAFETY: the places are inside.
    unsafe { run_best(Scatter { places, dx, w, dy }, places.filters) }
}

/// `dw[t, f] = or += sum_o x[o, t, f] dy[o, f]`.
pub(super) fn weigh(places: Places, x: &[Float], dy: &[Float], accum: Accum, dw: &mut [Float]) {
    places.check(x.len(), dw.len(), dy.len());
    let (x, dy, dw) = (x.as_ptr(), dy.as_ptr(), dw.as_mut_ptr());
    let add = accum == Accum::Add;
    let kernel = Weigh {
        places,
        x,
        dy,
        dw,
        add,
    };
    // SAFETY: the places are inside.
    unsafe { run_best(kernel, places.filters) }
}

#[derive(Clone, Copy)]
struct Gather<'a> {
    places: Places<'a>,
    x: *const Float,
    w: *const Float,
    y: *mut Float,
}

impl<S: Simd> Kernel<S> for Gather<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let filters = self.places.filters;
        let mut c = 0;
        // SAFETY: strips stay within the channels; the last is masked.
        unsafe {
            while c + 2 * S::LANES <= filters {
                self.strip::<S, 2, false>(c);
                c += 2 * S::LANES;
            }
            while c + S::LANES <= filters {
                self.strip::<S, 1, false>(c);
                c += S::LANES;
            }
            if c < filters {
                self.strip::<S, 1, true>(c);
            }
        }
    }
}

impl Gather<'_> {
    /// Channels from `c` on of all windows.
    #[inline(always)]
    unsafe fn strip<S: Simd, const VECS: usize, const PART: bool>(self, c: usize) {
        let count = self.places.windows.len();
        let mut o = 0;
        // SAFETY: windows o.. are windows.
        unsafe {
            while o + 4 <= count {
                self.block::<S, 4, VECS, PART>(o, c);
                o += 4;
            }
            while o < count {
                self.block::<S, 1, VECS, PART>(o, c);
                o += 1;
            }
        }
    }

    /// Neighbouring windows share the loads of the filter.
    #[inline(always)]
    unsafe fn block<S: Simd, const ROWS: usize, const VECS: usize, const PART: bool>(
        self,
        o: usize,
        c: usize,
    ) {
        let Places {
            windows,
            taps,
            filters,
        } = self.places;
        // SAFETY: channels c.. of these windows' taps are inside the frame, as was checked; the last vector is masked.
        unsafe {
            let mask = S::mask((filters - c).min(S::LANES));
            let mut x = [self.x; ROWS];
            for (x, window) in x.iter_mut().zip(&windows[o..]) {
                *x = x.add(*window as usize + c);
            }
            let mut w = self.w.add(c);
            let mut sum = [[S::splat(0.0); ROWS]; VECS];
            for &tap in taps {
                for (v, sums) in sum.iter_mut().enumerate() {
                    let at = v * S::LANES;
                    let weight = load::<S, PART>(w.add(at), mask);
                    for (x, sum) in x.iter().zip(sums) {
                        let x = load::<S, PART>(x.add(tap as usize + at), mask);
                        *sum = S::fma(x, weight, *sum);
                    }
                }
                w = w.wrapping_add(filters);
            }
            for (v, sums) in sum.into_iter().enumerate() {
                for (r, sum) in sums.into_iter().enumerate() {
                    let y = self.y.add((o + r) * filters + c + v * S::LANES);
                    store::<S, PART>(y, sum, mask);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Scatter<'a> {
    places: Places<'a>,
    dx: *mut Float,
    w: *const Float,
    dy: *const Float,
}

/// Windows whose gradients stay in the nearest cache while the taps pass over them.
const PASS: usize = 32;

impl<S: Simd> Kernel<S> for Scatter<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let Places {
            windows, filters, ..
        } = self.places;
        // SAFETY: passes and strips stay within windows and channels; the last strip is masked.
        unsafe {
            for o in (0..windows.len()).step_by(PASS) {
                let count = PASS.min(windows.len() - o);
                let mut c = 0;
                while c + S::LANES <= filters {
                    self.strip::<S, false>(o, count, c);
                    c += S::LANES;
                }
                if c < filters {
                    self.strip::<S, true>(o, count, c);
                }
            }
        }
    }
}

impl Scatter<'_> {
    /// Tap after tap: neighbouring windows then add to different pixels, and no addition waits for the one before.
    #[inline(always)]
    unsafe fn strip<S: Simd, const PART: bool>(self, o: usize, count: usize, c: usize) {
        let Places {
            windows,
            taps,
            filters,
        } = self.places;
        // SAFETY: as in `Gather::block`.
        unsafe {
            let mask = S::mask((filters - c).min(S::LANES));
            for (t, &tap) in taps.iter().enumerate() {
                let weight = load::<S, PART>(self.w.add(t * filters + c), mask);
                let mut dy = self.dy.add(o * filters + c);
                for &window in &windows[o..o + count] {
                    let dx = self.dx.add((window + tap) as usize + c);
                    let sum = S::fma(load::<S, PART>(dy, mask), weight, load::<S, PART>(dx, mask));
                    store::<S, PART>(dx, sum, mask);
                    dy = dy.wrapping_add(filters);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Weigh<'a> {
    places: Places<'a>,
    x: *const Float,
    dy: *const Float,
    dw: *mut Float,
    add: bool,
}

impl<S: Simd> Kernel<S> for Weigh<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let filters = self.places.filters;
        let mut c = 0;
        // SAFETY: strips stay within the channels; the last is masked.
        unsafe {
            while c + S::LANES <= filters {
                self.strip::<S, false>(c);
                c += S::LANES;
            }
            if c < filters {
                self.strip::<S, true>(c);
            }
        }
    }
}

impl Weigh<'_> {
    #[inline(always)]
    unsafe fn strip<S: Simd, const PART: bool>(self, c: usize) {
        let count = self.places.taps.len();
        let mut t = 0;
        // SAFETY: taps t.. are taps.
        unsafe {
            while t + 9 <= count {
                self.taps::<S, 9, PART>(t, c);
                t += 9;
            }
            while t + 3 <= count {
                self.taps::<S, 3, PART>(t, c);
                t += 3;
            }
            while t < count {
                self.taps::<S, 1, PART>(t, c);
                t += 1;
            }
        }
    }

    /// Several taps share the loads of `dy`.
    #[inline(always)]
    unsafe fn taps<S: Simd, const TAPS: usize, const PART: bool>(self, t: usize, c: usize) {
        let Places {
            windows,
            taps,
            filters,
        } = self.places;
        // SAFETY: as in `Gather::block`.
        unsafe {
            let mask = S::mask((filters - c).min(S::LANES));
            let mut x = [self.x; TAPS];
            for (x, tap) in x.iter_mut().zip(&taps[t..]) {
                *x = x.add(*tap as usize + c);
            }
            let mut dy = self.dy.add(c);
            let mut sum = [S::splat(0.0); TAPS];
            for &window in windows {
                let d = load::<S, PART>(dy, mask);
                for i in 0..TAPS {
                    let x = load::<S, PART>(x[i].add(window as usize), mask);
                    sum[i] = S::fma(x, d, sum[i]);
                }
                dy = dy.wrapping_add(filters);
            }
            for (i, sum) in sum.into_iter().enumerate() {
                let dw = self.dw.add((t + i) * filters + c);
                let old = if self.add {
                    load::<S, PART>(dw, mask)
                } else {
                    S::splat(0.0)
                };
                store::<S, PART>(dw, S::add(old, sum), mask);
            }
        }
    }
}

/// A whole vector, or the lanes of `mask`.
#[inline(always)]
unsafe fn load<S: Simd, const PART: bool>(p: *const Float, mask: S::Mask) -> S::Vec {
    // SAFETY: handed on.
    unsafe {
        if PART {
            S::load_masked(p, mask)
        } else {
            S::load(p)
        }
    }
}

/// The same for writing.
#[inline(always)]
unsafe fn store<S: Simd, const PART: bool>(p: *mut Float, v: S::Vec, mask: S::Mask) {
    // SAFETY: handed on.
    unsafe {
        if PART {
            S::store_masked(p, v, mask);
        } else {
            S::store(p, v);
        }
    }
}
