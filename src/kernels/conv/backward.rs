//! Whole batches backward.

use super::{Accum, Conv};
use crate::float::Float;
use crate::kernels::elementwise;
use crate::kernels::parallel::Par;

/// Most chunks of samples that have their own sum of `dw`.
const CHUNKS: usize = 16;
/// Numbers of all these sums together.
const SUMS: usize = 1 << 18;
/// Numbers of `dw` that a thread adds up.
const PIECE: usize = 1 << 14;

/// Where gradients go.
pub struct Gradients<'a> {
    /// Of the input; overwritten.
    pub dx: Option<&'a mut [Float]>,
    /// Of the kernel.
    pub dkernel: Option<&'a mut [Float]>,
    /// Of the bias.
    pub dbias: Option<&'a mut [Float]>,
    /// Whether those two are overwritten or added to.
    pub accum: Accum,
    /// Room for [`Conv::sums_len`] numbers.
    pub sums: &'a mut [Float],
}

/// Samples that are worked on by one thread, one after the other.
struct Chunk<'a> {
    first: usize,
    samples: usize,
    dy: &'a mut [Float],
    dx: Option<&'a mut [Float]>,
    sums: &'a mut [Float],
}

impl<'a> Chunk<'a> {
    /// The first `samples` samples, with their own sums, and the rest.
    fn split(self, samples: usize, sums: usize) -> (Chunk<'a>, Chunk<'a>) {
        let at = |len: usize| len / self.samples * samples;
        let middle = at(self.dy.len());
        let (dy, dy_rest) = self.dy.split_at_mut(middle);
        let (dx, dx_rest) = match self.dx {
            Some(dx) => {
                let middle = dx.len() / self.samples * samples;
                let (dx, rest) = dx.split_at_mut(middle);
                (Some(dx), Some(rest))
            }
            None => (None, None),
        };
        let (sums, sums_rest) = self.sums.split_at_mut(sums);
        let front = Chunk {
            samples,
            dy,
            dx,
            sums,
            ..self
        };
        let back = Chunk {
            first: self.first + samples,
            samples: self.samples - samples,
            dy: dy_rest,
            dx: dx_rest,
            sums: sums_rest,
        };
        (front, back)
    }
}

/// Turns `dy` from this place on into `dz` and adds to `dbias`.
pub type Slope<'a> = dyn Fn(usize, &mut [Float], Option<&mut [Float]>) + Sync + 'a;

impl Conv {
    /// Chunks of a batch that have their own sums of `dw`: few where `dw` is large.
    fn chunks(&self, bias: usize) -> usize {
        (SUMS / (self.kernel_len() + bias).max(1)).clamp(1, CHUNKS)
    }

    /// Room for the sums of `dw` of the chunks, with a bias of this length.
    pub fn sums_len(&self, bias: usize) -> usize {
        self.chunks(bias) * (self.kernel_len() + bias)
    }

    /// Gradients of [`forward`](Conv::forward): `slope` turns `dy` into `dz`, a unit at a time, before it is used.
    pub fn backward(
        &self,
        images: &[Float],
        tables: &[u32],
        kernel: &[Float],
        dy: &mut [Float],
        grads: Gradients,
        par: Par,
        slope: &Slope,
    ) {
        let batch = dy.len() / self.windows_len();
        self.in_chunks(
            batch,
            dy,
            grads,
            self.filters,
            par,
            &|chunk, dkernel, mut dbias, accum, par| {
                let Chunk {
                    first,
                    samples,
                    dy,
                    mut dx,
                    ..
                } = chunk;
                let (mut dkernel, mut accum) = (dkernel, accum);
                let (windows, image) = (self.windows_len(), self.image_len());
                for s in (0..samples).step_by(self.samples) {
                    let count = self.samples.min(samples - s);
                    for unit in self.units(first + s, count) {
                        let range = self.of_windows(unit);
                        let dy =
                            &mut dy[range.start - first * windows..range.end - first * windows];
                        slope(range.start, dy, dbias.as_deref_mut());
                        if let Some(dkernel) = dkernel.as_deref_mut() {
                            self.see(unit, images, |frame| {
                                self.weigh(unit, tables, frame, dy, accum, dkernel, par)
                            });
                            accum = Accum::Add;
                        }
                    }
                    if let Some(dx) = &mut dx {
                        let dx = &mut dx[s * image..][..count * image];
                        self.spread(s, count, dy, tables, kernel, dx, par);
                    }
                }
            },
        );
    }

    /// Gradients of [`forward_transposed`](Conv::forward_transposed). `kernel` is packed as for `forward`.
    pub fn backward_transposed(
        &self,
        x: &[Float],
        tables: &[u32],
        kernel: &[Float],
        dy: &mut [Float],
        grads: Gradients,
        par: Par,
        slope: &Slope,
    ) {
        let batch = dy.len() / self.image_len();
        self.in_chunks(
            batch,
            dy,
            grads,
            self.channels,
            par,
            &|chunk, dkernel, mut dbias, accum, par| {
                let Chunk {
                    first,
                    samples,
                    dy,
                    mut dx,
                    ..
                } = chunk;
                let (mut dkernel, mut accum) = (dkernel, accum);
                for s in (0..samples).step_by(self.samples) {
                    let count = self.samples.min(samples - s);
                    let len = self.image_len();
                    slope(
                        (first + s) * len,
                        &mut dy[s * len..][..count * len],
                        dbias.as_deref_mut(),
                    );
                    for unit in self.units(s, count) {
                        let windows = self.of_windows(unit);
                        self.see(unit, dy, |frame| {
                            if let Some(dkernel) = dkernel.as_deref_mut() {
                                let x = &x[first * self.windows_len()..][windows.clone()];
                                self.weigh(unit, tables, frame, x, accum, dkernel, par);
                                accum = Accum::Add;
                            }
                            if let Some(dx) = &mut dx {
                                self.gather(unit, tables, frame, kernel, &mut dx[windows], par);
                            }
                        });
                    }
                }
            },
        );
    }

    /// Cuts a batch into chunks, runs `f(chunk, dkernel, dbias, accum, par)` on each, and adds up what they leave.
    fn in_chunks(
        &self,
        batch: usize,
        dy: &mut [Float],
        grads: Gradients,
        bias: usize,
        par: Par,
        f: &(impl Fn(Chunk, Option<&mut [Float]>, Option<&mut [Float]>, Accum, Par) + Sync),
    ) {
        let Gradients {
            dx,
            mut dkernel,
            mut dbias,
            accum,
            sums,
        } = grads;
        let par = self.worth(batch, par);
        let bias = if dbias.is_some() { bias } else { 0 };
        let whole = Chunk {
            first: 0,
            samples: batch,
            dy,
            dx,
            sums: &mut [],
        };
        let each = batch.div_ceil(self.chunks(bias)).max(1);
        if each >= batch {
            if let (Some(dbias), Accum::Replace) = (&mut dbias, accum) {
                dbias.fill(0.0);
            }
            return f(whole, dkernel, dbias, accum, par);
        }
        let count = batch.div_ceil(each);
        let inner = Conv::inner(count, par);
        let (with_kernel, with_bias) = (dkernel.is_some(), dbias.is_some());
        let kernel_len = if with_kernel { self.kernel_len() } else { 0 };
        let len = kernel_len + bias;
        let sums = &mut sums[..count * len];
        let whole = Chunk { sums, ..whole };
        share(whole, each, len, par, &|mut chunk: Chunk| {
            let sums = std::mem::take(&mut chunk.sums);
            let (dkernel, dbias) = sums.split_at_mut(kernel_len);
            dbias.fill(0.0);
            let dkernel = with_kernel.then_some(dkernel);
            f(
                chunk,
                dkernel,
                with_bias.then_some(dbias),
                Accum::Replace,
                inner,
            );
        });
        let sums = &*sums;
        if let Some(dkernel) = &mut dkernel {
            par.for_each_piece(dkernel, PIECE, |start, part| {
                add_up(sums, len, start, accum, part)
            });
        }
        if let Some(dbias) = &mut dbias {
            add_up(sums, len, kernel_len, accum, dbias);
        }
    }
}

/// `part = or += ` the sums over all rows of `sums` (of `len` numbers) of the columns from `start` on.
fn add_up(sums: &[Float], len: usize, start: usize, accum: Accum, part: &mut [Float]) {
    if accum == Accum::Replace {
        part.fill(0.0);
    }
    for row in sums.chunks_exact(len) {
        elementwise::add(&row[start..][..part.len()], part);
    }
}

/// Halves a batch until chunks of `each` samples are left.
fn share(chunk: Chunk, each: usize, sums: usize, par: Par, f: &(impl Fn(Chunk) + Sync)) {
    let count = chunk.samples.div_ceil(each);
    if count <= 1 {
        return f(chunk);
    }
    let half = count / 2;
    let (front, back) = chunk.split(half * each, half * sums);
    par.join(
        || share(front, each, sums, par, f),
        || share(back, each, sums, par, f),
    );
}
