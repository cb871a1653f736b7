//! A walk of cells through time: batches in pieces, masks, directions, outputs, states.
//!
//! A piece is a few samples for all steps; threads share out pieces, and their size depends on nothing but the batch. Within a
//! piece the rows of a step lie together, and steps follow each other in the order of the walk, so that a step is a product of a
//! small matrix that stays in the cache with weights that do. In training the rows of all steps are saved; in inference those of a
//! few steps are, over and over.
//!
//! A masked step leaves the states of a sample as they were, and gives the output of the step before, or zero. On the way back the
//! gradient of the states goes past it, and that of the output to the last step that was not masked.
//!
//! Cells of a stack see the same mask, so each may walk all the way before the next begins.

use super::cell::{At, Cell, Room, Step, StepBack, Way};
use super::layer::{Cells, Options};
use crate::float::Float;
use crate::kernels::elementwise;
use crate::layer::{
    Accum, Backward, Buffers, Forward, Len, Mask, Mode, Par, Slices, Stream, ViewMut, Weights,
};
use crate::shape::Dims;

/// Samples in a piece: few enough that the gates of a step stay in the nearest cache, enough that their product with the weights
/// is worth reading the weights.
const ROWS: usize = 16;
/// Rows whose inputs are multiplied by the kernel at once: the steps of a piece in inference.
const AHEAD: usize = 64;
/// Multiply-adds worth a second thread.
const WORTH_THREADS: usize = 1 << 18;

/// The memory for a walk of these cells over inputs of this shape (time first).
pub(super) fn buffers(cells: &impl Cells, x: &Dims, training: bool) -> Buffers {
    let (time, mut x) = (x[0], x.tail());
    let mut buffers = Buffers::default();
    for i in 0..cells.count() {
        let cell = cells.cell(i);
        let (room, output) = (cell.room(&x), cell.output(&x));
        let rows = [room.gates, room.inputs, room.kept];
        // Whole cache lines first, so that what follows begins on one.
        buffers
            .scratch
            .push(Len::Fixed(room.packed.next_multiple_of(16)));
        let scratch = [room.state, room.state, room.scratch];
        buffers.scratch.extend(scratch.map(Len::PerSample));
        let masks = Len::PerSample(room.masks);
        if training {
            buffers.saved.extend(rows.map(|n| Len::PerSample(n * time)));
            buffers.saved.push(masks);
        } else {
            let n: usize = rows.iter().sum();
            let steps = time.min(AHEAD / ROWS);
            let few = [Len::PerSample(n * steps), Len::Fixed(n * AHEAD), masks];
            buffers.scratch.extend(few);
        }
        if i + 1 < cells.count() {
            buffers.scratch.push(Len::PerSample(time * output.numel()));
        }
        x = output;
    }
    buffers
}

/// One cell's walk: what all its pieces share.
#[derive(Clone, Copy)]
struct Walk<'a> {
    cell: &'a dyn Cell,
    room: Room,
    at: At<'a>,
    time: usize,
    /// Numbers of the input and the output of a step.
    width: usize,
    out: usize,
    mask: Option<Mask<'a>>,
    /// Whether the input, and the mask, are read from the end.
    x_reversed: bool,
    mask_reversed: bool,
    sequences: bool,
    zero_output: bool,
    /// Where dropout masks are drawn from; none where nothing is dropped.
    rng: Option<Stream>,
    /// Dropout masks of a sample.
    masks: usize,
    /// Whether the rows of all steps are kept.
    saves: bool,
    par: Par,
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
            true => AHEAD / p.rows,
            false => p.inputs.len() / (p.rows * self.room.inputs),
        };
        steps.clamp(1, self.time)
    }

    /// Forks are not worth it for little work.
    fn par(&self, rows: usize) -> Par {
        match rows * self.time * self.room.inputs * self.room.gates < WORTH_THREADS {
            true => Par::Serial,
            false => self.par,
        }
    }
}

/// The samples from `first` on, and all that is written of them. Widths are in numbers of a sample.
struct Piece<'a> {
    first: usize,
    rows: usize,
    gates: &'a mut [Float],
    inputs: &'a mut [Float],
    kept: &'a mut [Float],
    masks: &'a mut [Float],
    /// The states before, and in the end the last ones; on the way back their gradients.
    state: &'a mut [Float],
    /// Room for as much.
    spare: &'a mut [Float],
    scratch: &'a mut [Float],
    /// Outputs, or their gradients.
    y: &'a mut [Float],
    /// Gradients of the inputs; empty where nobody needs them.
    dx: &'a mut [Float],
}

impl<'a> Piece<'a> {
    /// The first `rows` samples, and the others.
    fn split(self, rows: usize) -> (Piece<'a>, Piece<'a>) {
        let all = self.rows;
        let cut = |s: &'a mut [Float]| s.split_at_mut(s.len() / all * rows);
        let (gates, inputs, kept) = (cut(self.gates), cut(self.inputs), cut(self.kept));
        let (masks, state, spare) = (cut(self.masks), cut(self.state), cut(self.spare));
        let (scratch, y, dx) = (cut(self.scratch), cut(self.y), cut(self.dx));
        let front = Piece {
            first: self.first,
            rows,
            gates: gates.0,
            inputs: inputs.0,
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
    fn each(self, par: Par, f: &(impl Fn(Piece<'_>) + Sync)) {
        if self.rows <= ROWS {
            return f(self);
        }
        let half = (self.rows.div_ceil(ROWS) / 2) * ROWS;
        let (front, back) = self.split(half);
        par.join(|| front.each(par, f), || back.each(par, f));
    }
}

/// The rows of step `s`.
fn rows_of(rows: &mut [Float], s: usize, len: usize) -> &mut [Float] {
    &mut rows[s * len..(s + 1) * len]
}

impl Walk<'_> {
    fn forward(&self, x: &[Float], p: Piece<'_>) {
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
            let kept = &mut p.kept[cut(room.kept)];
            for (i, inputs) in inputs.chunks_exact_mut(room.inputs).enumerate() {
                let (s, r) = (from + i / rows, i % rows);
                let x = &x[((p.first + r) * time + self.x_at(s)) * self.width..][..self.width];
                self.cell
                    .load(x, &masks[r * drawn..(r + 1) * drawn], inputs);
            }
            self.cell.project(at, inputs, gates);
            for i in 0..steps {
                self.cell.step(
                    at,
                    Step {
                        inputs: rows_of(inputs, i, rows * room.inputs),
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

    fn backward(&self, p: Piece<'_>) {
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

/// States of all samples, `size` numbers each, from the sources in order: each has one state of all samples.
fn gather<'a>(
    state: &mut [Float],
    size: usize,
    batch: usize,
    mut sources: impl Iterator<Item = &'a [Float]>,
) {
    let mut at = 0;
    while at < size {
        let Some(source) = sources.next() else {
            return state.fill(0.0);
        };
        let n = source.len() / batch;
        for (row, part) in state.chunks_exact_mut(size).zip(source.chunks_exact(n)) {
            row[at..at + n].copy_from_slice(part);
        }
        at += n;
    }
}

/// The reverse of [`gather`].
fn scatter<'a>(
    state: &[Float],
    size: usize,
    batch: usize,
    mut targets: impl Iterator<Item = &'a mut [Float]>,
) {
    let mut at = 0;
    while at < size {
        let Some(target) = targets.next() else {
            return;
        };
        let n = target.len() / batch;
        for (row, part) in state.chunks_exact(size).zip(target.chunks_exact_mut(n)) {
            part.copy_from_slice(&row[at..at + n]);
        }
        at += n;
    }
}

/// The mask of the steps; an axis of its own is what a mask needs to have one for each.
fn mask_of<'a>(masks: &[Option<Mask<'a>>]) -> Option<Mask<'a>> {
    masks
        .first()
        .copied()
        .flatten()
        .filter(|m| !m.shape.is_empty())
}

/// A layer's forward. `given`: initial states are among the inputs.
pub(super) fn forward(cells: &impl Cells, options: &Options, given: bool, mut cx: Forward<'_>) {
    let (batch, time) = (cx.x[0].batch, cx.x[0].shape[0]);
    if batch == 0 {
        return;
    }
    let count = cells.count();
    let mut shape = Dims::new(cx.x[0].shape).expect("a known shape").tail();
    let mut x = cx.x[0].data;
    let mut initial = cx.x[1..].iter().map(|v| v.data);
    let mut last = cx.more.iter_mut();
    for i in 0..count {
        let cell = cells.cell(i);
        let (room, output) = (cell.room(&shape), cell.output(&shape));
        let w = cx.w.take_front(cell.weight_count());
        let mut scratch = || cx.scratch.next().unwrap_or_default();
        let [packed, state, spare, work] = [(); 4].map(|()| scratch());
        let way = Way::Forward {
            rows: batch.min(ROWS),
        };
        cell.pack(&shape, w, way, packed);
        let gates = cx.saved.next();
        let saves = gates.is_some();
        let [gates, inputs, kept, masks] = match gates {
            Some(gates) => {
                let mut saved = || cx.saved.next().unwrap_or_default();
                [gates, saved(), saved(), saved()]
            }
            None => {
                let [per_sample, fixed, masks] = [(); 3].map(|()| scratch());
                let rows = if batch < ROWS { fixed } else { per_sample };
                let count = rows.len() / (room.gates + room.inputs + room.kept);
                let (gates, rest) = rows.split_at_mut(count * room.gates);
                let (inputs, kept) = rest.split_at_mut(count * room.inputs);
                [gates, inputs, kept, masks]
            }
        };
        let train = cx.mode == Mode::Train;
        let walk = Walk {
            cell,
            room,
            at: At {
                x: &shape,
                w,
                packed,
                masks: &[],
            },
            time,
            width: shape.numel(),
            out: output.numel(),
            mask: mask_of(cx.masks),
            x_reversed: options.go_backwards && i == 0,
            mask_reversed: options.go_backwards,
            sequences: options.return_sequences || i + 1 < count,
            zero_output: options.zero_output_for_mask && i + 1 == count,
            rng: train.then(|| cx.rng.reseeded(i as u64)),
            masks: if train || saves { room.masks } else { 0 },
            saves,
            par: cx.par,
        };
        match (given, options.stateful) {
            (true, _) => gather(state, room.state, batch, &mut initial),
            (_, true) => gather(state, room.state, batch, &mut cx.state),
            _ => state.fill(0.0),
        }
        let mut piece = Piece {
            first: 0,
            rows: batch,
            gates,
            inputs,
            kept,
            masks,
            state: &mut *state,
            spare,
            scratch: work,
            y: &mut [],
            dx: &mut [],
        };
        if i + 1 < count {
            let between = scratch();
            piece.y = &mut *between;
            piece.each(walk.par(batch), &|p| walk.forward(x, p));
            x = between;
        } else {
            piece.y = &mut *cx.y.data;
            piece.each(walk.par(batch), &|p| walk.forward(x, p));
        }
        let outputs = last.by_ref().map(|v| &mut *v.data);
        scatter(state, room.state, batch, outputs);
        scatter(state, room.state, batch, &mut cx.stats);
        shape = output;
    }
}

/// A layer's backward.
pub(super) fn backward(cells: &impl Cells, options: &Options, cx: Backward<'_>) {
    let x = cx.x[0];
    if x.batch == 0 {
        return;
    }
    let descent = Descent {
        cells,
        options,
        batch: x.batch,
        time: x.shape[0],
        mask: mask_of(cx.masks),
        accum: cx.accum,
        par: cx.par,
    };
    let Some((dx, dinitial)) = cx.dx.split_first_mut() else {
        return;
    };
    let shape = Dims::new(x.shape).expect("a known shape").tail();
    let part = Part {
        shape,
        w: cx.w,
        dw: cx.dw,
        saved: cx.saved,
        scratch: cx.scratch,
        dlast: cx.dmore,
        dinitial,
    };
    let dx = dx.as_mut().map(|dx| &mut *dx.data);
    descent.from(0, part, cx.dy.data, dx);
}

/// Backward through a stack: the last cell comes first.
struct Descent<'a, C> {
    cells: &'a C,
    options: &'a Options,
    batch: usize,
    time: usize,
    mask: Option<Mask<'a>>,
    accum: Accum,
    par: Par,
}

/// What belongs to the cells from some one on.
struct Part<'a, 'v> {
    /// Shape of a step of the first of them.
    shape: Dims,
    w: Weights<'a>,
    dw: Option<Slices<'a>>,
    saved: Slices<'a>,
    scratch: Slices<'a>,
    /// Gradients of the last states, if they are outputs.
    dlast: &'v mut [ViewMut<'a>],
    /// Gradients of the initial states, if they are inputs.
    dinitial: &'v mut [Option<ViewMut<'a>>],
}

impl<C: Cells> Descent<'_, C> {
    /// Cell `i` and those behind it. `dy` is the gradient of the output of the last.
    fn from(&self, i: usize, mut p: Part<'_, '_>, dy: &mut [Float], dx: Option<&mut [Float]>) {
        let (cell, count, batch) = (self.cells.cell(i), self.cells.count(), self.batch);
        let (room, output) = (cell.room(&p.shape), cell.output(&p.shape));
        let w = p.w.take_front(cell.weight_count());
        let dw = p.dw.as_mut().map(|dw| dw.take_front(cell.weight_count()));
        let mut scratch = || p.scratch.next().unwrap_or_default();
        let [packed, state, spare, work] = [(); 4].map(|()| scratch());
        let mut saved = || p.saved.next().unwrap_or_default();
        let [gates, inputs, kept, masks] = [(); 4].map(|()| saved());
        let cut = |n: usize| if n == 0 { 0 } else { cell.state_count() };
        let (dlast, later_last) = p.dlast.split_at_mut(cut(p.dlast.len()));
        let (dinitial, later_initial) = p.dinitial.split_at_mut(cut(p.dinitial.len()));
        let shape = p.shape;
        let run = |dy: &mut [Float]| {
            gather(state, room.state, batch, dlast.iter().map(|v| &*v.data));
            cell.pack(&shape, w, Way::Backward { dx: dx.is_some() }, packed);
            let walk = Walk {
                cell,
                room,
                at: At {
                    x: &shape,
                    w,
                    packed,
                    masks: &[],
                },
                time: self.time,
                width: shape.numel(),
                out: output.numel(),
                mask: self.mask,
                x_reversed: self.options.go_backwards && i == 0,
                mask_reversed: self.options.go_backwards,
                sequences: self.options.return_sequences || i + 1 < count,
                zero_output: self.options.zero_output_for_mask && i + 1 == count,
                rng: None,
                masks: room.masks,
                saves: true,
                par: self.par,
            };
            let piece = Piece {
                first: 0,
                rows: batch,
                gates: &mut *gates,
                inputs: &mut *inputs,
                kept: &mut *kept,
                masks: &mut *masks,
                state: &mut *state,
                spare: &mut *spare,
                scratch: &mut *work,
                y: dy,
                dx: dx.unwrap_or_default(),
            };
            piece.each(walk.par(batch), &|p| walk.backward(p));
        };
        if i + 1 < count {
            let between = scratch();
            let rest = Part {
                shape: output,
                w: p.w,
                dw: p.dw,
                saved: p.saved,
                scratch: p.scratch,
                dlast: later_last,
                dinitial: later_initial,
            };
            self.from(i + 1, rest, dy, Some(&mut *between));
            run(between);
        } else {
            run(dy);
        }
        let mut at = 0;
        for dinitial in dinitial {
            let n = room.state / cell.state_count();
            if let Some(d) = dinitial {
                let rows = state.chunks_exact(room.state);
                for (to, row) in d.data.chunks_exact_mut(n).zip(rows) {
                    to.copy_from_slice(&row[at..at + n]);
                }
            }
            at += n;
        }
        if let Some(dw) = dw {
            cell.gradients(&shape, inputs, gates, dw, self.accum, self.par);
        }
    }
}
