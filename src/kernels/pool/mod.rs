//! Pooling of channels-last images: the largest number or the mean of every window, and the gradients.
//!
//! Windows may overlap, leave gaps and differ in size; they are inside the image, so padding is never counted. Vectors run over
//! channels. Of equal largest numbers the first counts, and a NaN is larger than any number. What is largest is noted as the
//! number of its tap in the window.

mod mean;

use super::channels::{Block, at, at_mut, in_blocks};
use super::parallel::Par;
use super::simd::simd_fn;
use crate::float::Float;
use mean::{mean_image, mean_image_backward};
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

impl Axis {
    /// Whether no pixel is in two windows.
    fn apart(self) -> bool {
        match self {
            Axis::Strided { size, stride, .. } => stride >= size,
            Axis::Adaptive { pixels, out } => pixels.is_multiple_of(out),
        }
    }

    /// Whether every pixel is in a window, where windows are apart.
    fn covers(self) -> bool {
        match self {
            Axis::Strided {
                pixels,
                out,
                size,
                stride,
                before,
            } => stride == size && out * size >= pixels + before,
            Axis::Adaptive { .. } => true,
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

    /// Whether no pixel is in two windows.
    fn apart(&self) -> bool {
        self.axes.iter().all(|axis| axis.apart())
    }

    /// Whether every pixel is in exactly one window.
    fn covers(&self) -> bool {
        self.apart() && self.axes.iter().all(|axis| axis.covers())
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
                if !self.covers() {
                    dx.fill(0.0);
                }
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
                if !self.covers() {
                    dx.fill(0.0);
                }
                mean_image_backward(self, dy, dx);
            }
        });
    }
}

/// A window, and where its output begins.
#[derive(Clone)]
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
}

/// What is done with a block of channels of a window. No closures: what the compiler does not inline would be compiled for the
/// baseline.
trait Sweep {
    fn block<const N: usize>(&mut self, pool: &Pool, window: &Window, c: usize);
}

/// Channels of one window.
struct Channels<'a, S> {
    sweep: &'a mut S,
    pool: &'a Pool,
    window: Window,
}

impl<S: Sweep> Block for Channels<'_, S> {
    #[inline(always)]
    fn run<const N: usize>(&mut self, c: usize) {
        self.sweep.block::<N>(self.pool, &self.window, c);
    }
}

/// All windows in order.
#[inline(always)]
fn sweep(pool: &Pool, sweep: &mut impl Sweep) {
    let [depth, height, width] = pool.axes;
    let mut at = 0;
    for z in 0..depth.out() {
        for y in 0..height.out() {
            for x in 0..width.out() {
                let window = Window {
                    z: depth.range(z),
                    y: height.range(y),
                    x: width.range(x),
                    at,
                };
                in_blocks(
                    pool.channels,
                    &mut Channels {
                        sweep: &mut *sweep,
                        pool,
                        window,
                    },
                );
                at += pool.channels;
            }
        }
    }
}

/// Begins of the rows of taps of a window, whose pixels are neighbours.
#[inline(always)]
fn rows(pool: &Pool, window: &Window) -> Rows {
    let (height, width) = (pool.axes[1].pixels(), pool.axes[2].pixels());
    Rows {
        z: window.z.start,
        y: window.y.start,
        window: window.clone(),
        height,
        width,
        channels: pool.channels,
    }
}

struct Rows {
    z: usize,
    y: usize,
    window: Window,
    height: usize,
    width: usize,
    channels: usize,
}

impl Iterator for Rows {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.y == self.window.y.end {
            self.y = self.window.y.start;
            self.z += 1;
        }
        if self.z == self.window.z.end {
            return None;
        }
        let row = (self.z * self.height + self.y) * self.width + self.window.x.start;
        self.y += 1;
        Some(row * self.channels)
    }
}

/// Places of the four taps of a window of 2 x 2.
#[inline(always)]
fn quad(pool: &Pool, window: &Window) -> Option<[usize; 4]> {
    let is_quad = window.z.len() == 1 && window.y.len() == 2 && window.x.len() == 2;
    is_quad.then(|| {
        let (height, width) = (pool.axes[1].pixels(), pool.axes[2].pixels());
        let row = (window.z.start * height + window.y.start) * width + window.x.start;
        let (above, below) = (row * pool.channels, (row + width) * pool.channels);
        [above, above + pool.channels, below, below + pool.channels]
    })
}

/// Whether `x` takes the place of the largest so far.
#[inline(always)]
fn larger(x: Float, best: Float) -> bool {
    x > best || x.is_nan()
}

/// The larger ones. From values to values: assigned in place, they would become stores under a mask.
#[inline(always)]
fn largest<const N: usize>(x: &[Float; N], best: [Float; N]) -> [Float; N] {
    let mut next = [0.0; N];
    for i in 0..N {
        next[i] = if larger(x[i], best[i]) { x[i] } else { best[i] };
    }
    next
}

simd_fn! {
    fn max_image<FMA>(pool: &Pool, x: &[Float], y: &mut [Float]) {
        sweep(pool, &mut Max { x, y });
    }
}

struct Max<'a> {
    x: &'a [Float],
    y: &'a mut [Float],
}

impl Sweep for Max<'_> {
    #[inline(always)]
    fn block<const N: usize>(&mut self, pool: &Pool, window: &Window, c: usize) {
        if let Some(quad) = quad(pool, window) {
            let mut best: [Float; N] = *at(self.x, quad[0] + c);
            for tap in &quad[1..] {
                best = largest(at(self.x, tap + c), best);
            }
            *at_mut(self.y, window.at + c) = best;
            return;
        }
        let mut best = [Float::NEG_INFINITY; N];
        for row in rows(pool, window) {
            for tap in 0..window.x.len() {
                best = largest(at(self.x, row + tap * pool.channels + c), best);
            }
        }
        *at_mut(self.y, window.at + c) = best;
    }
}

/// The larger ones, and their taps.
#[inline(always)]
fn note<const N: usize>(
    x: &[Float; N],
    tap: u32,
    best: [Float; N],
    index: [u32; N],
) -> ([Float; N], [u32; N]) {
    let (mut next, mut next_index) = ([0.0; N], [0; N]);
    for i in 0..N {
        let larger = larger(x[i], best[i]);
        next[i] = if larger { x[i] } else { best[i] };
        next_index[i] = if larger { tap } else { index[i] };
    }
    (next, next_index)
}

simd_fn! {
    fn argmax_image<FMA>(pool: &Pool, x: &[Float], y: &mut [Float], index: &mut [u32]) {
        sweep(pool, &mut ArgMax { x, y, index });
    }
}

struct ArgMax<'a> {
    x: &'a [Float],
    y: &'a mut [Float],
    index: &'a mut [u32],
}

impl Sweep for ArgMax<'_> {
    #[inline(always)]
    fn block<const N: usize>(&mut self, pool: &Pool, window: &Window, c: usize) {
        if let Some(quad) = quad(pool, window) {
            let (mut y, mut index) = ([0.0; N], [0; N]);
            let mut x = [at::<Float, N>(self.x, quad[0] + c); 4];
            for (x, tap) in x.iter_mut().zip(quad) {
                *x = at(self.x, tap + c);
            }
            for i in 0..N {
                let (mut best, mut tap) = (x[0][i], 0);
                for (x, t) in x[1..].iter().zip(1..) {
                    let larger = larger(x[i], best);
                    best = if larger { x[i] } else { best };
                    tap = if larger { t } else { tap };
                }
                (y[i], index[i]) = (best, tap);
            }
            *at_mut(self.y, window.at + c) = y;
            *at_mut(self.index, window.at + c) = index;
            return;
        }
        let (mut best, mut index, mut first) = ([Float::NEG_INFINITY; N], [0; N], 0);
        for row in rows(pool, window) {
            for tap in 0..window.x.len() {
                let x = at(self.x, row + tap * pool.channels + c);
                (best, index) = note(x, first + tap as u32, best, index);
            }
            first += window.x.len() as u32;
        }
        *at_mut(self.y, window.at + c) = best;
        *at_mut(self.index, window.at + c) = index;
    }
}

simd_fn! {
    fn max_image_backward<FMA>(pool: &Pool, index: &[u32], dy: &[Float], dx: &mut [Float]) {
        if pool.apart() {
            sweep(pool, &mut MaxBackward::<false> { index, dy, dx });
        } else {
            sweep(pool, &mut MaxBackward::<true> { index, dy, dx });
        }
    }
}

/// `ADD`: windows share pixels.
struct MaxBackward<'a, const ADD: bool> {
    index: &'a [u32],
    dy: &'a [Float],
    dx: &'a mut [Float],
}

impl<const ADD: bool> Sweep for MaxBackward<'_, ADD> {
    #[inline(always)]
    fn block<const N: usize>(&mut self, pool: &Pool, window: &Window, c: usize) {
        let index: [u32; N] = *at(self.index, window.at + c);
        let dy: [Float; N] = *at(self.dy, window.at + c);
        if let (Some(quad), false) = (quad(pool, window), ADD) {
            for (t, place) in quad.into_iter().enumerate() {
                *at_mut(self.dx, place + c) = where_is(t as u32, &index, &dy);
            }
            return;
        }
        let mut first = 0;
        for row in rows(pool, window) {
            for tap in 0..window.x.len() {
                let part = where_is(first + tap as u32, &index, &dy);
                let dx: &mut [Float; N] = at_mut(self.dx, row + tap * pool.channels + c);
                if ADD {
                    for i in 0..N {
                        dx[i] += part[i];
                    }
                } else {
                    *dx = part;
                }
            }
            first += window.x.len() as u32;
        }
    }
}

/// The numbers of `dy` that belong to this tap, among zeros. A value of its own: stores could change `index` and `dy`, for all that
/// the compiler knows.
#[inline(always)]
fn where_is<const N: usize>(tap: u32, index: &[u32; N], dy: &[Float; N]) -> [Float; N] {
    let mut part = [0.0; N];
    for i in 0..N {
        part[i] = if index[i] == tap { dy[i] } else { 0.0 };
    }
    part
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
