//! A walk of one cell through time: batches in pieces, masks, directions, outputs.
//!
//! A piece is a few samples for all steps; threads share out pieces, and their size depends on nothing but the batch. Within a
//! piece the rows of a step lie together, and steps follow each other in the order of the walk, so that a step is a product of a
//! small matrix that stays in the cache with weights that do. In training the rows of all steps are saved; in inference those of a
//! few steps are, over and over.
//!
//! A masked step leaves the states of a sample as they were, and gives the output of the step before, or zero. On the way back the
//! gradient of the states goes past it, and that of the output to the last step that was not masked.

use super::cell::{At, Cell, Room, Step, StepBack};
use crate::float::Float;
use crate::kernels::elementwise;
use crate::layer::{Mask, Par, Stream};

/// Multiply-adds worth a second thread.
const WORTH_THREADS: usize = 1 << 18;

/// One cell's walk: what all its pieces share.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub cell: &'a dyn Cell,
    pub room: Room,
    pub at: At<'a>,
    pub time: usize,
    /// Numbers of the input and the output of a step.
    pub width: usize,
    pub out: usize,
    pub mask: Option<Mask<'a>>,
    /// Whether the input, and the mask, are read from the end.
    pub x_reversed: bool,
    pub mask_reversed: bool,
    pub sequences: bool,
    pub zero_output: bool,
    /// Where dropout masks are drawn from; none where nothing is dropped.
    pub rng: Option<Stream>,
    /// Dropout masks of a sample.
    pub masks: usize,
    /// Whether the rows of all steps are kept.
    pub saves: bool,
    pub par: Par,
}

impl Walk<'_> {
    /// Number of the input read at step `s`.
    fn x_at(&self, s: usize) -> usize {
        if self.x_reversed {
            self.time - 1 - s
        } else {
            s
        }
    }

    /// Whether step `s` of a sample is not masked.
    fn live(&self, sample: usize, s: usize) -> bool {
        let Some(mask) = &self.mask else {
            return true;
        };
        let s = if self.mask_reversed {
            self.time - 1 - s
        } else {
            s
        };
        let each: usize = mask.shape[1..].iter().product();
        mask.data[(sample * self.time + s) * each]
    }

    /// Steps of a piece whose inputs are loaded at once.
    fn ahead(&self, p: &Piece<'_>) -> usize {
        let steps = match self.saves {
            true => self.room.ahead / p.rows,
            false => p.inputs.len() / (p.rows * self.room.inputs),
        };
        steps.clamp(1, self.time)
    }

    /// Forks are not worth it for little work.
    pub fn par(&self, rows: usize) -> Par {
        match rows * self.time * self.room.inputs * self.room.gates < WORTH_THREADS {
            true => Par::Serial,
            false => self.par,
        }
    }
}

/// The samples from `first` on, and all that is written of them. Widths are in numbers of a sample.
pub(super) struct Piece<'a> {
    pub first: usize,
    pub rows: usize,
    pub gates: &'a mut [Float],
    pub inputs: &'a mut [Float],
    pub recurrent: &'a mut [Float],
    pub kept: &'a mut [Float],
    pub masks: &'a mut [Float],
    /// The states before, and in the end the last ones; on the way back their gradients.
    pub state: &'a mut [Float],
    /// Room for as much.
    pub spare: &'a mut [Float],
    pub scratch: &'a mut [Float],
    /// Outputs, or their gradients.
    pub y: &'a mut [Float],
    /// Gradients of the inputs; empty where nobody needs them.
    pub dx: &'a mut [Float],
}

impl<'a> Piece<'a> {
    /// The first `rows` samples, and the others.
    fn split(self, rows: usize) -> (Piece<'a>, Piece<'a>) {
        let all = self.rows;
        let cut = |s: &'a mut [Float]| s.split_at_mut(s.len() / all * rows);
        let (gates, inputs) = (cut(self.gates), cut(self.inputs));
        let (recurrent, kept) = (cut(self.recurrent), cut(self.kept));
        let (masks, state, spare) = (cut(self.masks), cut(self.state), cut(self.spare));
        let (scratch, y, dx) = (cut(self.scratch), cut(self.y), cut(self.dx));
        let front = Piece {
            first: self.first,
            rows,
            gates: gates.0,
            inputs: inputs.0,
            recurrent: recurrent.0,
            kept: kept.0,
            masks: masks.0,
            state: state.0,
            spare: spare.0,
            scratch: scratch.0,
            y: y.0,
            dx: dx.0,
        };
        let back = Piece {
            first: self.first + rows,
            rows: all - rows,
            gates: gates.1,
            inputs: inputs.1,
            recurrent: recurrent.1,
            kept: kept.1,
            masks: masks.1,
            state: state.1,
            spare: spare.1,
            scratch: scratch.1,
            y: y.1,
            dx: dx.1,
        };
        (front, back)
    }

    /// Calls `f` for pieces of few samples.
    pub fn each(self, rows: usize, par: Par, f: &(impl Fn(Piece<'_>) + Sync)) {
        if self.rows <= rows {
            return f(self);
        }
        let half = (self.rows.div_ceil(rows) / 2) * rows;
        let (front, back) = self.split(half);
        par.join(|| front.each(rows, par, f), || back.each(rows, par, f));
    }
}

/// The rows of step `s`.
fn rows_of(rows: &mut [Float], s: usize, len: usize) -> &mut [Float] {
    &mut rows[s * len..(s + 1) * len]
}

impl Walk<'_> {
    /// All steps of a piece.
    pub fn forward(&self, x: &[Float], p: Piece<'_>) {
        let (room, rows, time) = (self.room, p.rows, self.time);
        let (drawn, ahead) = (self.masks, self.ahead(&p));
        for r in 0..if drawn > 0 { rows } else { 0 } {
            let masks = &mut p.masks[r * drawn..(r + 1) * drawn];
            match self.rng {
                Some(rng) => self.cell.draw(self.at.x, rng, (p.first + r) as u64, masks),
                None => masks.fill(1.0), // backward does not know that nothing is dropped
            }
        }
        let masks = &p.masks[..rows * drawn];
        let at = At { masks, ..self.at };
        let (mut state, mut next) = (p.state, p.spare);
        for from in (0..time).step_by(ahead) {
            let steps = ahead.min(time - from);
            let place = if self.saves { from } else { 0 };
            let cut = |n: usize| place * rows * n..(place + steps) * rows * n;
            let inputs = &mut p.inputs[cut(room.inputs)];
            let gates = &mut p.gates[cut(room.gates)];
            let recurrent = &mut p.recurrent[cut(room.recurrent)];
            let kept = &mut p.kept[cut(room.kept)];
            for (i, inputs) in inputs.chunks_exact_mut(room.inputs).enumerate() {
                let (s, r) = (from + i / rows, i % rows);
                let x = &x[((p.first + r) * time + self.x_at(s)) * self.width..][..self.width];
                self.cell
                    .load(self.at.x, x, &masks[r * drawn..(r + 1) * drawn], inputs);
            }
            self.cell.project(at, inputs, gates);
            for i in 0..steps {
                self.cell.step(
                    at,
                    Step {
                        inputs: rows_of(inputs, i, rows * room.inputs),
                        recurrent: rows_of(recurrent, i, rows * room.recurrent),
                        gates: rows_of(gates, i, rows * room.gates),
                        kept: rows_of(kept, i, rows * room.kept),
                        state,
                        next,
                        scratch: p.scratch,
                    },
                );
                for r in 0..rows {
                    self.finish(from + i, p.first + r, r, state, next, p.y);
                }
                std::mem::swap(&mut state, &mut next);
            }
        }
        if time % 2 == 1 {
            next.copy_from_slice(state); // `next` is where the piece's states are
        }
    }

    /// What a mask makes of the states of a sample after a step, and its output.
    fn finish(
        &self,
        s: usize,
        sample: usize,
        r: usize,
        state: &[Float],
        next: &mut [Float],
        y: &mut [Float],
    ) {
        let (size, out) = (self.room.state, self.out);
        let (state, next) = (
            &state[r * size..(r + 1) * size],
            &mut next[r * size..(r + 1) * size],
        );
        let live = self.live(sample, s);
        if !live {
            next.copy_from_slice(state);
        }
        let at = if self.sequences {
            (r * self.time + s) * out
        } else if live && self.mask.is_none() && s + 1 < self.time {
            return; // a later output will be the last
        } else {
            r * out
        };
        if live {
            y[at..at + out].copy_from_slice(&next[..out]);
        } else if self.zero_output || s == 0 {
            y[at..at + out].fill(0.0);
        } else if self.sequences {
            y.copy_within(at - out..at, at);
        }
    }

    /// All steps of a piece on the way back.
    pub fn backward(&self, p: Piece<'_>) {
        let (room, rows, size) = (self.room, p.rows, self.room.state);
        let masks = &p.masks[..rows * self.masks];
        let at = At { masks, ..self.at };
        for s in (0..self.time).rev() {
            for (r, dstate) in p.state.chunks_exact_mut(size).enumerate() {
                self.take_gradient(s, p.first + r, r, dstate, p.y);
            }
            if self.mask.is_some() {
                for (r, (dstate, held)) in p
                    .state
                    .chunks_exact_mut(size)
                    .zip(p.spare.chunks_exact_mut(size))
                    .enumerate()
                {
                    if !self.live(p.first + r, s) {
                        held.copy_from_slice(dstate);
                        dstate.fill(0.0);
                    }
                }
            }
            let x_at = self.x_at(s) * self.width;
            self.cell.back(
                at,
                StepBack {
                    inputs: rows_of(p.inputs, s, rows * room.inputs),
                    gates: rows_of(p.gates, s, rows * room.gates),
                    kept: rows_of(p.kept, s, rows * room.kept),
                    dstate: p.state,
                    dx: (!p.dx.is_empty()).then(|| (&mut p.dx[x_at..], self.time * self.width)),
                    scratch: p.scratch,
                },
            );
            if self.mask.is_some() {
                for (r, (dstate, held)) in p
                    .state
                    .chunks_exact_mut(size)
                    .zip(p.spare.chunks_exact(size))
                    .enumerate()
                {
                    if !self.live(p.first + r, s) {
                        dstate.copy_from_slice(held);
                    }
                }
            }
        }
    }

    /// Adds the gradient of the output of a step, which for a masked step is that of an earlier one.
    fn take_gradient(
        &self,
        s: usize,
        sample: usize,
        r: usize,
        dstate: &mut [Float],
        dy: &mut [Float],
    ) {
        let (live, out) = (self.live(sample, s), self.out);
        if self.sequences {
            let (before, dy) = dy.split_at_mut((r * self.time + s) * out);
            if live {
                elementwise::add(&dy[..out], &mut dstate[..out]);
            } else if !self.zero_output && s > 0 {
                let end = before.len();
                elementwise::add(&dy[..out], &mut before[end - out..]);
            }
            return;
        }
        let dy = &mut dy[r * out..(r + 1) * out];
        if live && (self.mask.is_some() || s + 1 == self.time) {
            elementwise::add(dy, &mut dstate[..out]);
        }
        if self.mask.is_some() && (live || self.zero_output) {
            dy.fill(0.0);
        }
    }
}
