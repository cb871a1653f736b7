//! Convolution of channels-last images, and its two gradients, without a copy of the patches.
//!
//! An image of `C` channels is seen through windows ([`Grid`]); the kernel has a row of `F` filters for each tap and channel:
//! `w (taps, C / groups, F)`, which is Keras's layout. With `pixel(o, t)` the pixel under tap `t` of window `o`:
//!
//! ```text
//! gather   y[o, f]        = sum_{t, c} x[pixel(o, t), c] w[t, c, f]      the windows are rows of a matrix, addressed in place
//! scatter  dx[i, c]      += sum_{o, t: pixel(o, t) = i} sum_f dy[o, f] w[t, c, f]        one product for each tap
//! weigh    dw[t, c, f]   += sum_o x[pixel(o, t), c] dy[o, f]             the transposed matrix of windows
//! ```
//!
//! A transposed convolution is `scatter` forward, and `gather` and `weigh` backward, with image and windows in each other's place.
//!
//! Work is done in units that stay in the second cache: a few small images, or a band of a large one. What has padding is
//! copied with it into a frame in the thread's scratch memory. Threads share out units in forward, and chunks of samples in
//! backward, each with its own sum of `dw`; these are added in order. Neither depends on the number of threads.

mod backward;
mod depthwise;
mod forward;
#[cfg(test)]
mod tests;

use super::gemm::{Accum, Mat, Right, Starts, Windows, gemm_windows, pack, packed_len};
use super::grid::{Frame, Grid};
use super::memory::with_scratch;
use super::parallel::Par;
use crate::float::Float;

pub use backward::Gradients;

/// Numbers of a frame and the outputs that belong to it: about half of a second-level cache.
const UNIT: usize = 1 << 16;
/// Multiply-adds that make a unit worth its overhead.
const UNIT_WORK: usize = 1 << 17;
/// Most samples in a unit.
const MAX_GROUP: usize = 64;
/// Windows that make a sum over them worth its overhead.
const MIN_WINDOWS: usize = 128;
/// Pixels of fewer channels are narrow.
const NARROW: usize = 8;
/// Patches of narrow images that are made at once.
const PATCHES: usize = 64;
/// Multiply-adds worth a second thread.
const WORTH_THREADS: usize = 1 << 20;

/// A convolution of a certain geometry, and how it is cut into units.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    grid: Grid,
    /// Channels of the image.
    channels: usize,
    /// Numbers of each window's output.
    filters: usize,
    groups: usize,
    /// Axis along which units are bands, and windows along it in one unit.
    axis: usize,
    lines: usize,
    /// Samples in one unit; 1 unless a unit has all windows of a sample.
    samples: usize,
}

/// Samples from `first` on, and lines along the band axis, that are worked on together.
#[derive(Clone, Copy, Debug)]
struct Unit {
    first: usize,
    samples: usize,
    line: usize,
    lines: usize,
}

impl Conv {
    /// For images of so many channels, windows with so many outputs. Both are multiples of `groups`; nothing is zero.
    pub fn new(grid: Grid, channels: usize, filters: usize, groups: usize) -> Self {
        let axis = grid.band_axis();
        let mut conv = Conv {
            grid,
            channels,
            filters,
            groups,
            axis,
            lines: grid.out[axis],
            samples: 1,
        };
        let per_line = |n: usize| n.div_ceil(grid.out[axis]);
        let line = per_line(conv.frame(0).len() + grid.positions() * filters);
        let most = (UNIT / line).max(MIN_WINDOWS.div_ceil(per_line(grid.positions())));
        let bands = grid.out[axis].div_ceil(most.max(1));
        conv.lines = grid.out[axis].div_ceil(bands);
        if bands == 1 {
            let work = UNIT_WORK / conv.work().max(1);
            let windows = MIN_WINDOWS / grid.positions();
            // A large kernel is read from far away for each unit: let there be few.
            let unit = if conv.kernel_len() > UNIT {
                4 * UNIT
            } else {
                UNIT
            };
            let room = unit / (line * grid.out[axis]);
            conv.samples = work.max(windows).clamp(1, room.clamp(1, MAX_GROUP));
        }
        conv
    }

    /// The geometry.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Channels of the image.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Outputs of each window.
    pub fn filters(&self) -> usize {
        self.filters
    }

    /// Numbers of an image.
    pub fn image_len(&self) -> usize {
        self.grid.pixels() * self.channels
    }

    /// Numbers of all windows' outputs.
    pub fn windows_len(&self) -> usize {
        self.grid.positions() * self.filters
    }

    /// Numbers of the kernel.
    pub fn kernel_len(&self) -> usize {
        self.depth() * self.filters
    }

    /// Multiply-adds for one sample.
    pub fn work(&self) -> usize {
        self.grid.positions() * self.kernel_len()
    }

    /// Whether each channel has its own filters.
    fn depthwise(&self) -> bool {
        self.groups == self.channels && self.groups > 1
    }

    /// Whether a pixel has so few channels that a product for each tap would leave most of a vector idle.
    fn narrow(&self) -> bool {
        self.groups == 1 && self.channels < NARROW && self.grid.taps() > 1
    }

    /// Room for the patches of narrow images.
    fn patches_len(&self) -> usize {
        if self.narrow() {
            PATCHES * self.depth()
        } else {
            0
        }
    }

    /// Numbers that one output is a sum of.
    fn depth(&self) -> usize {
        self.grid.taps() * self.channels / self.groups
    }

    /// Filters and channels of one group.
    fn group(&self) -> (usize, usize) {
        (self.channels / self.groups, self.filters / self.groups)
    }

    /// Windows of one line along the band axis.
    fn line(&self) -> usize {
        self.grid.positions() / self.grid.out[self.axis]
    }

    /// Room for the tables that [`tables`](Conv::tables) fills.
    pub fn tables_len(&self) -> usize {
        self.samples * self.lines * self.line() + self.depth()
    }

    /// Fills the tables of where windows and taps begin, which every call reads.
    pub fn tables(&self, tables: &mut [u32]) {
        let (windows, taps) = tables.split_at_mut(self.samples * self.lines * self.line());
        let (size, width) = (self.frame(0).size, self.frame_channels());
        let sample = size.iter().product::<usize>() * width;
        let each = self.channels / self.groups;
        self.grid.window_starts(size, width, sample, windows);
        self.grid.tap_starts(size, width, each, taps);
    }

    fn split<'t>(&self, tables: &'t [u32]) -> (&'t [u32], &'t [u32]) {
        tables.split_at(self.samples * self.lines * self.line())
    }

    /// Whether windows are read where the image lies.
    fn in_place(&self) -> bool {
        self.grid.fits() && self.repeat() == 1
    }

    /// A depthwise kernel sees each channel as often as it has filters for it.
    fn repeat(&self) -> usize {
        if self.depthwise() {
            self.filters / self.channels
        } else {
            1
        }
    }

    fn frame_channels(&self) -> usize {
        self.channels * self.repeat()
    }

    /// What the windows of the unit that begins at `line` see: the image itself, or a frame with its padding.
    fn frame(&self, line: usize) -> Frame {
        let grid = &self.grid;
        let (mut size, mut origin) = (grid.image, [0; 3]);
        if !self.in_place() {
            for a in 0..3 {
                let count = if a == self.axis {
                    self.lines
                } else {
                    grid.out[a]
                };
                let skipped = if a == self.axis {
                    line * grid.stride[a]
                } else {
                    0
                };
                size[a] = grid.reach(a, count);
                origin[a] = skipped as isize - grid.before[a] as isize;
            }
        }
        Frame {
            size,
            origin,
            channels: self.channels,
            repeat: self.repeat(),
        }
    }

    /// Where the first window of a unit begins in images that are seen in place.
    fn start(&self, unit: Unit) -> usize {
        let behind: usize = self.grid.image[self.axis + 1..].iter().product();
        let line = unit.line * self.grid.stride[self.axis] * behind * self.channels;
        unit.first * self.image_len() + line
    }

    /// Calls `f` with the memory in which the tables address the windows of this unit.
    fn see<R>(&self, unit: Unit, images: &[Float], f: impl FnOnce(&[Float]) -> R) -> R {
        if self.in_place() {
            return f(&images[self.start(unit)..]);
        }
        let frame = self.frame(unit.line);
        with_scratch(unit.samples * frame.len(), |frames| {
            let images = &images[unit.first * self.image_len()..];
            let each = images.chunks_exact(self.image_len());
            for (to, from) in frames.chunks_exact_mut(frame.len()).zip(each) {
                frame.copy_in(self.grid.image, from, to);
            }
            f(frames)
        })
    }

    /// Threads, if a batch is worth them.
    fn worth(&self, batch: usize, par: Par) -> Par {
        if batch * self.work() < WORTH_THREADS {
            Par::Serial
        } else {
            par
        }
    }

    /// Threads inside of one of so many pieces: the pieces themselves are enough, if there are several.
    fn inner(pieces: usize, par: Par) -> Par {
        if pieces >= 4 { Par::Serial } else { par }
    }

    /// Room for the kernel as [`pack_forward`](Conv::pack_forward) leaves it.
    pub fn forward_len(&self) -> usize {
        if self.depthwise() {
            return 0;
        }
        self.groups * packed_len(self.depth(), self.filters / self.groups)
    }

    /// The kernel in the order in which `gather` reads it: packed, or as it is if depthwise.
    pub fn pack_forward<'k>(&self, kernel: &'k [Float], packed: &'k mut [Float]) -> &'k [Float] {
        if self.depthwise() {
            return kernel;
        }
        let (_, filters) = self.group();
        let each = packed_len(self.depth(), filters);
        for (g, packed) in packed.chunks_exact_mut(each).take(self.groups).enumerate() {
            let group = Mat::new(&kernel[g * filters..], self.filters);
            pack(self.depth(), filters, group, packed);
        }
        packed
    }

    /// Room for the kernel as [`pack_backward`](Conv::pack_backward) leaves it.
    pub fn backward_len(&self) -> usize {
        if self.depthwise() {
            return 0;
        }
        if self.narrow() {
            return packed_len(self.filters, self.depth());
        }
        let (channels, filters) = self.group();
        self.grid.taps() * self.groups * packed_len(filters, channels)
    }

    /// The kernel in the order in which `scatter` reads it: packed, or as it is if depthwise.
    pub fn pack_backward<'k>(&self, kernel: &'k [Float], packed: &'k mut [Float]) -> &'k [Float] {
        if self.depthwise() {
            return kernel;
        }
        if self.narrow() {
            let all = Mat::new(kernel, self.filters).t();
            pack(self.filters, self.depth(), all, packed);
            return packed;
        }
        let (channels, filters) = self.group();
        let each = packed_len(filters, channels);
        let blocks = self.grid.taps() * self.groups;
        for (i, packed) in packed.chunks_exact_mut(each).take(blocks).enumerate() {
            let (tap, g) = (i / self.groups, i % self.groups);
            let start = tap * channels * self.filters + g * filters;
            let block = Mat::new(&kernel[start..], self.filters);
            pack(filters, channels, block.t(), packed);
        }
        packed
    }

    /// Outputs of the windows of a unit, from the frame it sees. `kernel` is packed, or as it is if depthwise.
    fn gather(
        &self,
        unit: Unit,
        tables: &[u32],
        frame: &[Float],
        kernel: &[Float],
        y: &mut [Float],
        par: Par,
    ) {
        let (windows, taps) = self.split(tables);
        let m = unit.samples * unit.lines * self.line();
        if self.depthwise() {
            let places = self.places(&windows[..m], taps);
            return depthwise::gather(places, frame, kernel, y);
        }
        let (channels, filters) = self.group();
        let packed = packed_len(self.depth(), filters);
        for g in 0..self.groups {
            let a = Windows {
                data: &frame[g * channels..],
                rows: Starts::At(windows),
                cols: self.cols(taps),
            };
            let b = Right::Packed(&kernel[g * packed..][..packed]);
            let (y, rows) = (&mut y[g * filters..], Starts::Every(self.filters));
            gemm_windows(m, self.depth(), filters, a, b, Accum::Replace, y, rows, par);
        }
    }

    /// Adds the outputs of the windows of a unit, back through the kernel, to the frame. `kernel` is packed, or as it is;
    /// `patches` has [`patches_len`](Conv::patches_len) numbers.
    fn scatter(
        &self,
        unit: Unit,
        tables: &[u32],
        frame: &mut [Float],
        patches: &mut [Float],
        kernel: &[Float],
        dy: &[Float],
        par: Par,
    ) {
        let (windows, taps) = self.split(tables);
        let windows = &windows[..unit.samples * unit.lines * self.line()];
        if self.depthwise() {
            let places = self.places(windows, taps);
            return depthwise::scatter(places, frame, kernel, dy);
        }
        if self.narrow() {
            return self.scatter_patches(windows, taps, frame, patches, kernel, dy);
        }
        let (channels, filters) = self.group();
        let (m, packed) = (windows.len(), packed_len(filters, channels));
        for (tap, start) in taps.iter().step_by(channels).enumerate() {
            for g in 0..self.groups {
                let a = rows(&dy[g * filters..], self.filters);
                let b = Right::Packed(&kernel[(tap * self.groups + g) * packed..][..packed]);
                let dx = &mut frame[*start as usize + g * channels..];
                let at = Starts::At(windows);
                gemm_windows(m, filters, channels, a, b, Accum::Add, dx, at, par);
            }
        }
    }

    /// [`scatter`](Conv::scatter) by way of patches: one product for all taps of some windows, whose results are then added.
    fn scatter_patches(
        &self,
        windows: &[u32],
        taps: &[u32],
        frame: &mut [Float],
        patches: &mut [Float],
        kernel: &[Float],
        dy: &[Float],
    ) {
        let (k, n) = (self.filters, self.depth());
        let pieces = windows.chunks(PATCHES).zip(dy.chunks(PATCHES * k));
        for (windows, dy) in pieces {
            let (a, b) = (rows(dy, k), Right::Packed(kernel));
            let (m, each) = (windows.len(), Starts::Every(n));
            gemm_windows(m, k, n, a, b, Accum::Replace, patches, each, Par::Serial);
            for (window, patch) in windows.iter().zip(patches.chunks_exact(n)) {
                let frame = &mut frame[*window as usize..];
                for (tap, x) in taps.iter().zip(patch) {
                    frame[*tap as usize] += x;
                }
            }
        }
    }

    /// The gradient of the kernel from a unit: the frame it sees, and the gradients of its outputs.
    fn weigh(
        &self,
        unit: Unit,
        tables: &[u32],
        frame: &[Float],
        dy: &[Float],
        accum: Accum,
        dw: &mut [Float],
        par: Par,
    ) {
        let (windows, taps) = self.split(tables);
        let k = unit.samples * unit.lines * self.line();
        if self.depthwise() {
            let places = self.places(&windows[..k], taps);
            return depthwise::weigh(places, frame, dy, accum, dw);
        }
        let (channels, filters) = self.group();
        for g in 0..self.groups {
            let a = Windows {
                data: &frame[g * channels..],
                rows: Starts::At(windows),
                cols: self.cols(taps),
            };
            let b = Right::Mat(Mat::new(&dy[g * filters..], self.filters));
            let (dw, rows) = (&mut dw[g * filters..], Starts::Every(self.filters));
            gemm_windows(self.depth(), k, filters, a.t(), b, accum, dw, rows, par);
        }
    }

    fn places<'t>(&self, windows: &'t [u32], taps: &'t [u32]) -> depthwise::Places<'t> {
        let filters = self.filters;
        depthwise::Places {
            windows,
            taps,
            filters,
        }
    }

    /// Places within a window: without a table where it is one pixel.
    fn cols<'t>(&self, taps: &'t [u32]) -> Starts<'t> {
        if self.grid.taps() == 1 {
            Starts::Every(1)
        } else {
            Starts::At(taps)
        }
    }
}

/// A row-major matrix.
fn rows(data: &[Float], cols: usize) -> Windows<'_> {
    Windows {
        data,
        rows: Starts::Every(cols),
        cols: Starts::Every(1),
    }
}
