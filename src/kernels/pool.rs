//! Pooling of channels-last images: the largest number or the mean of every window, and the gradients.
//!
//! Windows may overlap, leave gaps and differ in size; they are inside the image, so padding is never counted. Vectors run over
//! channels. Of equal largest numbers the first counts, and a NaN is larger than any number. What is largest is noted as the
//! number of its tap in the window.

use super::channels::{Block, at, at_mut, in_blocks};
use super::parallel::Par;
use super::simd::simd_fn;
use crate::float::Float;
use std::ops::Range;

/// Where windows lie along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Windows of `size` pixels that begin at `i * stride - before`, cut off at the borders.
    Strided {
        /// Pixels.
        pixels: usize,
        /// Windows.
        out: usize,
        /// Pixels in a window.
        size: usize,
        /// Distance of neighbouring windows.
        stride: usize,
        /// Pixels by which the first window begins before the image.
        before: usize,
    },
    /// As many windows as asked for, as even as can be.
    Adaptive {
        /// Pixels.
        pixels: usize,
        /// Windows.
        out: usize,
    },
}

impl Axis {
    /// An axis of one pixel, for images that lack it.
    pub const NONE: Axis = Axis::Adaptive { pixels: 1, out: 1 };

    fn pixels(self) -> usize {
        match self {
            Axis::Strided { pixels, .. } | Axis::Adaptive { pixels, .. } => pixels,
        }
    }

    fn out(self) -> usize {
        match self {
            Axis::Strided { out, .. } | Axis::Adaptive { out, .. } => out,
        }
    }

    /// Pixels of window `i`.
    #[inline(always)]
    fn range(self, i: usize) -> Range<usize> {
        match self {
            Axis::Strided {
                pixels,
                size,
                stride,
                before,
                ..
            } => (i * stride).saturating_sub(before)..pixels.min(i * stride + size - before),
            Axis::Adaptive { pixels, out } => i * pixels / out..((i + 1) * pixels).div_ceil(out),
        }
    }
}

/// Pooling of a certain geometry.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    axes: [Axis; 3],
    channels: usize,
}

/// Numbers of images worth a piece of their own.
const PIECE: usize = 1 << 14;
/// Numbers of a batch worth a second thread.
const WORTH_THREADS: usize = 1 << 17;

impl Pool {
    /// Windows along depth, height and width of images of so many channels.
    pub fn new(axes: [Axis; 3], channels: usize) -> Self {
        Pool { axes, channels }
    }

    /// Numbers of an image.
    pub fn image_len(&self) -> usize {
        self.axes.iter().map(|a| a.pixels()).product::<usize>() * self.channels
    }

    /// Numbers of the pooled image.
    pub fn out_len(&self) -> usize {
        self.axes.iter().map(|a| a.out()).product::<usize>() * self.channels
    }

    /// Images in a piece, and whether threads are worth it.
    fn pieces(&self, images: usize, par: Par) -> (usize, Par) {
        let worth = images * self.image_len() >= WORTH_THREADS;
        let par = if worth { par } else { Par::Serial };
        ((PIECE / self.image_len().max(1)).max(1), par)
    }

    /// `y = ` the largest of every window; `index`, unless empty, notes which it was.
    pub fn max(&self, x: &[Float], y: &mut [Float], index: &mut [u32], par: Par) {
        let (image, out) = (self.image_len(), self.out_len());
        let (each, par) = self.pieces(y.len() / out, par);
        let noted = if index.is_empty() { 0 } else { out };
        par.for_each_piece2(y, each * out, index, each * noted, |i, y, index| {
            let mut index = index;
            let x = x[i * each * image..].chunks_exact(image);
            for (y, x) in y.chunks_exact_mut(out).zip(x) {
                let (here, rest) = std::mem::take(&mut index).split_at_mut(noted);
                index = rest;
                match noted {
                    0 => max_image(self, x, y),
                    _ => argmax_image(self, x, y, here),
                }
            }
        });
    }

    /// `dx` from `dy` and what [`max`](Pool::max) noted.
    pub fn max_backward(&self, index: &[u32], dy: &[Float], dx: &mut [Float], par: Par) {
        let (image, out) = (self.image_len(), self.out_len());
        let (each, par) = self.pieces(dx.len() / image, par);
        par.for_each_piece(dx, each * image, |start, dx| {
            let first = start / image * out;
            let each = dy[first..]
                .chunks_exact(out)
                .zip(index[first..].chunks_exact(out));
            for (dx, (dy, index)) in dx.chunks_exact_mut(image).zip(each) {
                dx.fill(0.0);
                max_image_backward(self, index, dy, dx);
            }
        });
    }

    /// `y = ` the mean of every window.
    pub fn mean(&self, x: &[Float], y: &mut [Float], par: Par) {
        let (image, out) = (self.image_len(), self.out_len());
        let (each, par) = self.pieces(y.len() / out, par);
        par.for_each_piece(y, each * out, |start, y| {
            let x = x[start / out * image..].chunks_exact(image);
            for (y, x) in y.chunks_exact_mut(out).zip(x) {
                mean_image(self, x, y);
            }
        });
    }

    /// `dx` from `dy`.
    pub fn mean_backward(&self, dy: &[Float], dx: &mut [Float], par: Par) {
        let (image, out) = (self.image_len(), self.out_len());
        let (each, par) = self.pieces(dx.len() / image, par);
        par.for_each_piece(dx, each * image, |start, dx| {
            let dy = dy[start / image * out..].chunks_exact(out);
            for (dx, dy) in dx.chunks_exact_mut(image).zip(dy) {
                dx.fill(0.0);
                mean_image_backward(self, dy, dx);
            }
        });
    }

    /// Calls `f` for all windows in order. Inlined, so that `f` is compiled for the instructions of its caller.
    #[inline(always)]
    fn each_window(&self, mut f: impl FnMut(Window)) {
        let [depth, height, width] = self.axes;
        let mut at = 0;
        for z in 0..depth.out() {
            for y in 0..height.out() {
                for x in 0..width.out() {
                    f(Window {
                        z: depth.range(z),
                        y: height.range(y),
                        x: width.range(x),
                        at,
                    });
                    at += self.channels;
                }
            }
        }
    }
}

/// A window, and where its output begins.
struct Window {
    z: Range<usize>,
    y: Range<usize>,
    x: Range<usize>,
    at: usize,
}

impl Window {
    fn taps(&self) -> usize {
        self.z.len() * self.y.len() * self.x.len()
    }

    /// Calls `f(tap, place)` for every tap in order.
    #[inline(always)]
    fn each_tap(&self, pool: &Pool, mut f: impl FnMut(usize, usize)) {
        let [_, height, width] = pool.axes.map(Axis::pixels);
        let mut tap = 0;
        for z in self.z.clone() {
            for y in self.y.clone() {
                let row = (z * height + y) * width;
                for x in self.x.clone() {
                    f(tap, (row + x) * pool.channels);
                    tap += 1;
                }
            }
        }
    }
}

/// Whether `x` takes the place of the largest so far.
#[inline(always)]
fn larger(x: Float, best: Float) -> bool {
    x > best || x.is_nan()
}

simd_fn! {
    fn max_image<FMA>(pool: &Pool, x: &[Float], y: &mut [Float]) {
        pool.each_window(|window| in_blocks(pool.channels, &mut Max { pool, window, x, y: &mut *y }));
    }
}

struct Max<'a> {
    pool: &'a Pool,
    window: Window,
    x: &'a [Float],
    y: &'a mut [Float],
}

impl Block for Max<'_> {
    #[inline(always)]
    fn run<const N: usize>(&mut self, c: usize) {
        let mut best = [Float::NEG_INFINITY; N];
        self.window.each_tap(self.pool, |_, place| {
            let x: &[Float; N] = at(self.x, place + c);
            for (best, &x) in best.iter_mut().zip(x) {
                *best = if larger(x, *best) { x } else { *best };
            }
        });
        *at_mut(self.y, self.window.at + c) = best;
    }
}

simd_fn! {
    fn argmax_image<FMA>(pool: &Pool, x: &[Float], y: &mut [Float], index: &mut [u32]) {
        pool.each_window(|window| {
            in_blocks(pool.channels, &mut ArgMax { pool, window, x, y: &mut *y, index: &mut *index })
        });
    }
}

struct ArgMax<'a> {
    pool: &'a Pool,
    window: Window,
    x: &'a [Float],
    y: &'a mut [Float],
    index: &'a mut [u32],
}

impl Block for ArgMax<'_> {
    #[inline(always)]
    fn run<const N: usize>(&mut self, c: usize) {
        let (mut best, mut index) = ([Float::NEG_INFINITY; N], [0; N]);
        self.window.each_tap(self.pool, |tap, place| {
            let x: &[Float; N] = at(self.x, place + c);
            for i in 0..N {
                let larger = larger(x[i], best[i]);
                best[i] = if larger { x[i] } else { best[i] };
                index[i] = if larger { tap as u32 } else { index[i] };
            }
        });
        *at_mut(self.y, self.window.at + c) = best;
        *at_mut(self.index, self.window.at + c) = index;
    }
}

simd_fn! {
    /// Adds to `dx`.
    fn max_image_backward<FMA>(pool: &Pool, index: &[u32], dy: &[Float], dx: &mut [Float]) {
        pool.each_window(|window| {
            in_blocks(pool.channels, &mut MaxBackward { pool, window, index, dy, dx: &mut *dx })
        });
    }
}

struct MaxBackward<'a> {
    pool: &'a Pool,
    window: Window,
    index: &'a [u32],
    dy: &'a [Float],
    dx: &'a mut [Float],
}

impl Block for MaxBackward<'_> {
    #[inline(always)]
    fn run<const N: usize>(&mut self, c: usize) {
        let index: &[u32; N] = at(self.index, self.window.at + c);
        let dy: &[Float; N] = at(self.dy, self.window.at + c);
        self.window.each_tap(self.pool, |tap, place| {
            let dx: &mut [Float; N] = at_mut(self.dx, place + c);
            for i in 0..N {
                dx[i] += if index[i] == tap as u32 { dy[i] } else { 0.0 };
            }
        });
    }
}

simd_fn! {
    fn mean_image<FMA>(pool: &Pool, x: &[Float], y: &mut [Float]) {
        pool.each_window(|window| in_blocks(pool.channels, &mut Mean { pool, window, x, y: &mut *y }));
    }
}

struct Mean<'a> {
    pool: &'a Pool,
    window: Window,
    x: &'a [Float],
    y: &'a mut [Float],
}

impl Block for Mean<'_> {
    #[inline(always)]
    fn run<const N: usize>(&mut self, c: usize) {
        let mut sum = [0.0; N];
        self.window.each_tap(self.pool, |_, place| {
            let x: &[Float; N] = at(self.x, place + c);
            for (sum, x) in sum.iter_mut().zip(x) {
                *sum += x;
            }
        });
        let part = 1.0 / self.window.taps() as Float;
        *at_mut(self.y, self.window.at + c) = sum.map(|sum| sum * part);
    }
}

simd_fn! {
    /// Adds to `dx`.
    fn mean_image_backward<FMA>(pool: &Pool, dy: &[Float], dx: &mut [Float]) {
        pool.each_window(|window| {
            in_blocks(pool.channels, &mut MeanBackward { pool, window, dy, dx: &mut *dx })
        });
    }
}

struct MeanBackward<'a> {
    pool: &'a Pool,
    window: Window,
    dy: &'a [Float],
    dx: &'a mut [Float],
}

impl Block for MeanBackward<'_> {
    #[inline(always)]
    fn run<const N: usize>(&mut self, c: usize) {
        let part = 1.0 / self.window.taps() as Float;
        let dy = at::<_, N>(self.dy, self.window.at + c).map(|dy| dy * part);
        self.window.each_tap(self.pool, |_, place| {
            let dx: &mut [Float; N] = at_mut(self.dx, place + c);
            for (dx, dy) in dx.iter_mut().zip(dy) {
                *dx += dy;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::parallel::with_threads;
    use crate::random::Rng;

    fn strided(pixels: usize, size: usize, stride: usize, before: usize) -> Axis {
        let out = (pixels + 2 * before - size) / stride + 1;
        Axis::Strided {
            pixels,
            out,
            size,
            stride,
            before,
        }
    }

    /// Pixels of every window, by definition.
    fn windows(axes: [Axis; 3]) -> Vec<Vec<usize>> {
        let of = |axis: Axis, i: usize| -> Vec<usize> {
            match axis {
                Axis::Strided {
                    pixels,
                    size,
                    stride,
                    before,
                    ..
                } => (i * stride..i * stride + size)
                    .filter(|&p| p >= before && p - before < pixels)
                    .map(|p| p - before)
                    .collect(),
                // Floor of the start and ceiling of the end, as Keras has them.
                Axis::Adaptive { pixels, out } => {
                    let step = pixels as f64 / out as f64;
                    let (start, end) = (i as f64 * step, (i + 1) as f64 * step);
                    ((start + 1e-9) as usize..(end - 1e-9) as usize + 1).collect()
                }
            }
        };
        let [_, height, width] = axes.map(Axis::pixels);
        let mut windows = Vec::new();
        for z in 0..axes[0].out() {
            for y in 0..axes[1].out() {
                for x in 0..axes[2].out() {
                    let mut pixels = Vec::new();
                    for i in of(axes[0], z) {
                        for j in of(axes[1], y) {
                            pixels.extend(
                                of(axes[2], x).iter().map(|k| (i * height + j) * width + k),
                            );
                        }
                    }
                    windows.push(pixels);
                }
            }
        }
        windows
    }

    fn check(axes: [Axis; 3], channels: usize) {
        let pool = Pool::new(axes, channels);
        let (images, mut rng) = (3, Rng::new(5));
        let mut random = |n: usize| (0..n).map(|_| rng.normal() as Float).collect::<Vec<_>>();
        let (x, dy) = (
            random(images * pool.image_len()),
            random(images * pool.out_len()),
        );
        let (mut largest, mut means) = (dy.clone(), dy.clone());
        let (mut dmax, mut dmean) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        for s in 0..images {
            for (o, pixels) in windows(axes).iter().enumerate() {
                for c in 0..channels {
                    let (image, out) = (s * pool.image_len() + c, s * pool.out_len() + c);
                    let (at, out) = (|p: &usize| image + p * channels, out + o * channels);
                    let best = pixels
                        .iter()
                        .map(at)
                        .reduce(|a, b| if x[b] > x[a] { b } else { a });
                    let best = best.expect("a window has pixels");
                    largest[out] = x[best];
                    dmax[best] += dy[out];
                    let count = pixels.len() as Float;
                    means[out] = pixels.iter().map(|p| x[at(p)]).sum::<Float>() / count;
                    pixels.iter().for_each(|p| dmean[at(p)] += dy[out] / count);
                }
            }
        }
        let close = |got: &[Float], want: &[Float], what: &str| {
            for (g, w) in got.iter().zip(want) {
                assert!((g - w).abs() < 1e-5, "{what}: {g} instead of {w}: {pool:?}");
            }
        };
        let mut index = vec![u32::MAX; dy.len()];
        let (mut y, mut dx) = (vec![Float::NAN; dy.len()], vec![Float::NAN; x.len()]);
        pool.max(&x, &mut y, &mut index, Par::Serial);
        close(&y, &largest, "max");
        pool.max_backward(&index, &dy, &mut dx, Par::Serial);
        close(&dx, &dmax, "dx of max");
        y.fill(Float::NAN);
        pool.max(&x, &mut y, &mut [], Par::Serial);
        close(&y, &largest, "max without index");
        pool.mean(&x, &mut y, Par::Serial);
        close(&y, &means, "mean");
        pool.mean_backward(&dy, &mut dx, Par::Serial);
        close(&dx, &dmean, "dx of mean");
    }

    #[test]
    fn agrees_with_the_definition() {
        let none = Axis::NONE;
        for channels in [1, 3, 8, 43] {
            check([none, strided(6, 2, 2, 0), strided(8, 2, 2, 0)], channels);
            check([none, strided(7, 2, 2, 0), strided(5, 2, 2, 0)], channels);
            check([none, strided(7, 3, 2, 1), strided(6, 3, 1, 1)], channels);
            check([none, none, strided(9, 2, 3, 0)], channels);
            check(
                [
                    strided(3, 2, 1, 0),
                    strided(5, 3, 2, 1),
                    strided(4, 2, 2, 0),
                ],
                channels,
            );
            let adaptive = |pixels, out| Axis::Adaptive { pixels, out };
            check([none, adaptive(7, 3), adaptive(9, 4)], channels);
            check([adaptive(2, 2), adaptive(5, 1), adaptive(3, 5)], channels);
        }
    }

    #[test]
    fn the_first_of_equals_counts_and_a_nan_is_seen() {
        let pool = Pool::new([Axis::NONE, Axis::NONE, strided(4, 4, 4, 0)], 1);
        let (mut y, mut index) = ([0.0], [9]);
        pool.max(&[1.0, 3.0, 3.0, 2.0], &mut y, &mut index, Par::Serial);
        assert_eq!((y, index), ([3.0], [1]));
        pool.max(
            &[1.0, Float::NAN, 3.0, 2.0],
            &mut y,
            &mut index,
            Par::Serial,
        );
        assert!(y[0].is_nan());
    }

    #[test]
    fn the_same_bits_for_any_number_of_threads() {
        let pool = Pool::new([Axis::NONE, strided(30, 3, 2, 0), strided(30, 3, 2, 0)], 16);
        let x: Vec<Float> = (0..20 * pool.image_len())
            .map(|i| (i * 7919 % 1013) as Float)
            .collect();
        let run = |threads| {
            with_threads(threads, |par| {
                let mut y = vec![0.0; 20 * pool.out_len()];
                let (mut index, mut dx) = (vec![0; y.len()], vec![0.0; x.len()]);
                pool.max(&x, &mut y, &mut index, par);
                pool.max_backward(&index, &y, &mut dx, par);
                let (mut mean, mut dmean) = (y.clone(), x.clone());
                pool.mean(&x, &mut mean, par);
                pool.mean_backward(&mean, &mut dmean, par);
                (y, index, dx, mean, dmean)
            })
        };
        assert!(run(1) == run(2) && run(1) == run(8));
    }
}
