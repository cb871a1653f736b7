//! Whole batches forward.

use super::{Conv, Unit, with_scratch};
use crate::float::Float;
use crate::kernels::parallel::Par;

impl Conv {
    /// Convolution: `y` of every window, unit by unit, each followed by `finish(y, z)` on what is still near (bias and
    /// activation; `z` is empty or as long as `y`, and cut in step with it).
    pub fn forward(
        &self,
        images: &[Float],
        tables: &[u32],
        kernel: &[Float],
        y: &mut [Float],
        z: &mut [Float],
        par: Par,
        finish: &(impl Fn(&mut [Float], &mut [Float]) + Sync),
    ) {
        let sample = self.windows_len();
        let par = self.worth(y.len() / sample, par);
        let band = self.lines * self.line() * self.filters;
        let of_z = |n: usize| if z.is_empty() { 0 } else { n };
        let (z_group, z_band) = (of_z(self.samples * sample), of_z(band));
        let pieces = y.len() / band;
        par.for_each_piece2(y, self.samples * sample, z, z_group, |i, y, z| {
            let samples = y.len() / sample;
            let all = self.lines == self.grid.out[self.axis];
            let piece = if all { y.len() } else { band };
            par.for_each_piece2(y, piece, z, z_band, |b, y, z| {
                let unit = Unit {
                    first: i * self.samples,
                    samples,
                    line: b * self.lines,
                    lines: y.len() / (samples * self.line() * self.filters),
                };
                let inner = Conv::inner(pieces, par);
                self.see(unit, images, |frame| {
                    self.gather(unit, tables, frame, kernel, y, inner)
                });
                finish(y, z);
            });
        });
    }

    /// Transposed convolution: the images `y` that the windows' `x` add up to, each followed by `finish` as in
    /// [`forward`](Conv::forward).
    pub fn forward_transposed(
        &self,
        x: &[Float],
        tables: &[u32],
        kernel: &[Float],
        y: &mut [Float],
        z: &mut [Float],
        par: Par,
        finish: &(impl Fn(&mut [Float], &mut [Float]) + Sync),
    ) {
        let group = self.samples * self.image_len();
        let par = self.worth(y.len() / self.image_len(), par);
        let inner = Conv::inner(y.len() / group, par);
        let z_group = if z.is_empty() { 0 } else { group };
        par.for_each_piece2(y, group, z, z_group, |i, y, z| {
            let samples = y.len() / self.image_len();
            self.spread(i * self.samples, samples, x, tables, kernel, y, inner);
            finish(y, z);
        });
    }

    /// Overwrites the images of some samples with what the outputs of their windows add up to.
    pub(super) fn spread(
        &self,
        first: usize,
        samples: usize,
        dy: &[Float],
        tables: &[u32],
        kernel: &[Float],
        dx: &mut [Float],
        par: Par,
    ) {
        dx.fill(0.0);
        for unit in self.units(first, samples) {
            let dy = &dy[self.of_windows(unit)];
            let near = Unit { first: 0, ..unit };
            let dx = &mut dx[(unit.first - first) * self.image_len()..];
            let frame = self.frame(unit.line);
            let frames = match self.in_place() {
                true => 0,
                false => unit.samples * frame.len(),
            };
            with_scratch(frames + self.patches_len(), |scratch| {
                let (frames, patches) = scratch.split_at_mut(frames);
                if self.in_place() {
                    let dx = &mut dx[self.start(near)..];
                    return self.scatter(unit, tables, dx, patches, kernel, dy, par);
                }
                frames.fill(0.0);
                self.scatter(unit, tables, frames, patches, kernel, dy, par);
                let each = frames.chunks_exact(frame.len());
                for (to, from) in dx.chunks_exact_mut(self.image_len()).zip(each) {
                    frame.add_out(self.grid.image, from, to);
                }
            });
        }
    }

    /// The units of some samples, in order.
    pub(super) fn units(&self, first: usize, samples: usize) -> impl Iterator<Item = Unit> + use<> {
        let conv = *self;
        let all = conv.grid.out[conv.axis];
        (first..first + samples)
            .step_by(conv.samples)
            .flat_map(move |s| {
                (0..all).step_by(conv.lines).map(move |line| Unit {
                    first: s,
                    samples: conv.samples.min(first + samples - s),
                    line,
                    lines: conv.lines.min(all - line),
                })
            })
    }

    /// Place of a unit's outputs among those of all windows.
    pub(super) fn of_windows(&self, unit: Unit) -> std::ops::Range<usize> {
        let line = self.line() * self.filters;
        let start = unit.first * self.windows_len() + unit.line * line;
        start..start + unit.samples * unit.lines * line
    }
}
