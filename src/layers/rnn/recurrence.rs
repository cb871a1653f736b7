//! What a recurrent layer does when it runs: its cells walk through time, one after the other, and states come in and go out.
//!
//! Cells of a stack see the same mask, so each may walk all the way before the next begins.

use super::cell::{AllRows, At, Way};
use super::layer::{Cells, Options};
use super::walk::{Piece, Walk};
use crate::float::Float;
use crate::layer::{
    Accum, Backward, Buffers, Forward, Len, Mask, Mode, Par, Slices, ViewMut, Weights,
};
use crate::shape::Dims;

/// The memory for a walk of these cells over inputs of this shape (time first).
pub(super) fn buffers(cells: &impl Cells, x: &Dims, training: bool) -> Buffers {
    let (time, mut x) = (x[0], x.tail());
    let mut buffers = Buffers::default();
    for i in 0..cells.count() {
        let cell = cells.cell(i);
        let (room, output) = (cell.room(&x), cell.output(&x));
        let rows = [room.gates, room.inputs, room.recurrent, room.kept];
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
            let steps = time.min(room.ahead / room.rows);
            let few = [Len::PerSample(n * steps), Len::Fixed(n * room.ahead), masks];
            buffers.scratch.extend(few);
        }
        buffers.saved_index.push(Len::Fixed(room.tables));
        if i + 1 < cells.count() {
            buffers.scratch.push(Len::PerSample(time * output.numel()));
        }
        x = output;
    }
    buffers
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
            rows: batch.min(room.rows),
        };
        cell.pack(&shape, w, way, packed);
        let gates = cx.saved.next();
        let saves = gates.is_some();
        let tables = cx.saved_index.next().unwrap_or_default();
        cell.tables(&shape, tables);
        let [gates, inputs, recurrent, kept, masks] = match gates {
            Some(gates) => {
                let mut saved = || cx.saved.next().unwrap_or_default();
                [gates, saved(), saved(), saved(), saved()]
            }
            None => {
                let [per_sample, fixed, masks] = [(); 3].map(|()| scratch());
                let rows = if batch < room.rows { fixed } else { per_sample };
                let each = room.gates + room.inputs + room.recurrent + room.kept;
                let count = rows.len() / each;
                let (gates, rest) = rows.split_at_mut(count * room.gates);
                let (inputs, rest) = rest.split_at_mut(count * room.inputs);
                let (recurrent, kept) = rest.split_at_mut(count * room.recurrent);
                [gates, inputs, recurrent, kept, masks]
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
                tables,
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
            recurrent,
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
            piece.each(room.rows, walk.par(batch), &|p| walk.forward(x, p));
            x = between;
        } else {
            piece.y = &mut *cx.y.data;
            piece.each(room.rows, walk.par(batch), &|p| walk.forward(x, p));
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
        tables: cx.saved_index,
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
    tables: Slices<'a, u32>,
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
        let [gates, inputs, recurrent, kept, masks] = [(); 5].map(|()| saved());
        let tables = &*p.tables.next().unwrap_or_default();
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
                    packed: &*packed,
                    masks: &[],
                    tables,
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
                recurrent: &mut *recurrent,
                kept: &mut *kept,
                masks: &mut *masks,
                state: &mut *state,
                spare: &mut *spare,
                scratch: &mut *work,
                y: dy,
                dx: dx.unwrap_or_default(),
            };
            piece.each(room.rows, walk.par(batch), &|p| walk.backward(p));
        };
        if i + 1 < count {
            let between = scratch();
            let rest = Part {
                shape: output,
                w: p.w,
                dw: p.dw,
                saved: p.saved,
                tables: p.tables,
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
            let at = At {
                x: &shape,
                w,
                packed: &[],
                masks: &[],
                tables,
            };
            let all = AllRows {
                inputs,
                recurrent,
                gates,
                room: packed,
            };
            cell.gradients(at, all, dw, self.accum, self.par);
        }
    }
}
