//! Running a plan: a loop forward and a loop backward.

use std::mem::take;

use super::plan::{Dest, Place, Plan, Step};
use super::workspace::Workspace;
use super::{Entry, Graph};
use crate::float::Float;
use crate::kernels::elementwise;
use crate::kernels::memory::Buffer;
use crate::layer::{Backward, Forward, Mask, Mode, Par, Slices, Stream, View, ViewMut, Weights};

/// Inputs or outputs of one call up to this number are kept on the stack.
const INLINE: usize = 8;

/// What a pass needs besides its workspace.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Its plan.
    pub plan: &'a Plan,
    /// Arena of trainable weights.
    pub params: &'a [Float],
    /// Arena of state.
    pub state: &'a [Float],
    /// The data, one slice an input.
    pub inputs: &'a [&'a [Float]],
    /// Number of samples.
    pub batch: usize,
    /// Training or inference.
    pub mode: Mode,
    /// Key of the random numbers.
    pub seed: u64,
    /// Training step, the counter of the random numbers.
    pub step: u64,
    /// What the loss is multiplied by, and so the gradients of penalties on outputs.
    pub loss_scale: Float,
    /// Whether kernels may use threads.
    pub par: Par,
}

impl<'a> Pass<'a> {
    /// Computes all values.
    pub fn forward(&self, ws: &mut Workspace) {
        ws.penalty = 0.0;
        for (s, step) in self.plan.steps.iter().enumerate() {
            if let Some((v, mask)) = step.given_mask {
                let mut out = take(&mut ws.masks[mask]);
                let flags = out.iter_mut().zip(self.value(v, ws));
                flags.for_each(|(flag, x)| *flag = *x != 0.0);
                ws.masks[mask] = out;
            }
            if let Some(mask) = step.computes_mask {
                self.compute_mask(step, mask, ws);
            }
            let mut y = self.take_slot(step.outputs[0], ws);
            if step.in_place && !step.merged {
                let n = self.len(step.outputs[0]);
                y[..n].copy_from_slice(self.value(step.inputs[0], ws));
            }
            let mut more = take(&mut ws.more);
            more.extend(step.outputs[1..].iter().map(|&v| self.take_slot(v, ws)));
            let mut saved = take(&mut ws.saved[s]);
            let mut saved_index = take(&mut ws.saved_index[s]);
            let mut scratch = take(&mut ws.scratch);
            let mut stats = take(&mut ws.stats);
            let entry = self.entry(step);
            self.with_inputs(step, ws, step.in_place, |x, masks| {
                let mut views;
                let more = if more.is_empty() {
                    &mut []
                } else {
                    views = self.views_mut(&step.outputs[1..], &mut more);
                    &mut views[..step.outputs.len() - 1]
                };
                step.layer.forward(Forward {
                    x,
                    w: self.weights(entry),
                    state: self.state(entry),
                    y: self.view_mut(step.outputs[0], &mut y),
                    more,
                    saved: Slices::scaled(&mut saved, &step.buffers.saved, self.batch),
                    saved_index: Slices::scaled(
                        &mut saved_index,
                        &step.buffers.saved_index,
                        self.batch,
                    ),
                    scratch: Slices::scaled(&mut scratch, &step.buffers.scratch, self.batch),
                    stats: self.stats(step, entry, &mut stats),
                    masks,
                    mode: step.mode.unwrap_or(self.mode),
                    trainable: step.trainable,
                    rng: self.rng(step),
                    par: self.par,
                })
            });
            self.put_slot(step.outputs[0], y, ws);
            for (&v, buffer) in step.outputs[1..].iter().zip(more.drain(..)) {
                self.put_slot(v, buffer, ws);
            }
            ws.more = more;
            (ws.saved[s], ws.saved_index[s], ws.scratch, ws.stats) =
                (saved, saved_index, scratch, stats);
            if let Some(regularizer) = &step.activity_regularizer {
                let y = self.value(step.outputs[0], ws);
                ws.penalty +=
                    regularizer.penalty(y, &[self.batch, y.len() / self.batch]) / self.batch as f64;
            }
        }
    }

    /// Computes the gradients of the trainable weights into `dw`, from the gradients that the loss left at the outputs
    /// (see [`output_grad`](Pass::output_grad)).
    pub fn backward(&self, ws: &mut Workspace, dw: &mut [Float]) {
        for range in &self.plan.zero_dw {
            dw[range.clone()].fill(0.0);
        }
        ws.lookups.clear();
        for (s, step) in self
            .plan
            .steps
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, step)| step.backward)
        {
            let mut dy = take(&mut ws.grads[self.grad(step.outputs[0])]);
            let mut dmore = take(&mut ws.more);
            dmore.extend(
                step.outputs[1..]
                    .iter()
                    .map(|&v| take(&mut ws.grads[self.grad(v)])),
            );
            for &i in &step.zero_dy {
                let n = self.len(step.outputs[i]);
                if i == 0 {
                    &mut dy[..n]
                } else {
                    &mut dmore[i - 1][..n]
                }
                .fill(0.0);
            }
            self.add_penalty_grad(step, &mut dy, ws);
            self.run_backward(s, step, &mut dy, &mut dmore, ws, dw);
            ws.grads[self.grad(step.outputs[0])] = dy;
            for (&v, buffer) in step.outputs[1..].iter().zip(dmore.drain(..)) {
                ws.grads[self.grad(v)] = buffer;
            }
            ws.more = dmore;
            for (&v, dest) in step.inputs.iter().zip(&step.dx) {
                if let Dest::Spare(k) = *dest {
                    let n = self.len(v);
                    elementwise::add(&ws.spares[k][..n], &mut ws.grads[self.grad(v)][..n]);
                }
            }
        }
    }

    fn run_backward(
        &self,
        s: usize,
        step: &Step,
        dy: &mut Buffer,
        dmore: &mut [Buffer],
        ws: &mut Workspace,
        dw: &mut [Float],
    ) {
        let entry = self.entry(step);
        let mut hands = take(&mut ws.hands);
        hands.extend(step.dx.iter().map(|dest| match *dest {
            Dest::Write(slot) => take(&mut ws.grads[slot]),
            Dest::Spare(k) => take(&mut ws.spares[k]),
            Dest::None | Dest::Merged => Buffer::default(),
        }));
        let mut saved = take(&mut ws.saved[s]);
        let mut saved_index = take(&mut ws.saved_index[s]);
        let mut scratch = take(&mut ws.scratch);
        let mut lookups = take(&mut ws.lookups);
        self.with_inputs(step, ws, false, |x, masks| {
            let (mut inline, mut heap): ([Option<ViewMut>; INLINE], Vec<_>) = Default::default();
            let dx = if step.inputs.len() <= INLINE {
                &mut inline[..step.inputs.len()]
            } else {
                heap.resize_with(step.inputs.len(), || None);
                &mut heap[..]
            };
            let dy = self.gradients(step, dy, &mut hands, dx);
            if lookups.keep && step.looks_up {
                lookups.push(entry.params.start, x[0].data, dy.data);
            }
            let mut views;
            let dmore = if dmore.is_empty() {
                &mut []
            } else {
                views = self.views_mut(&step.outputs[1..], dmore);
                &mut views[..step.outputs.len() - 1]
            };
            step.layer.backward(Backward {
                x,
                w: self.weights(entry),
                state: self.state(entry),
                y: self.view(step.outputs[0], ws),
                dy,
                dmore,
                dx,
                dw: (step.trainable && !entry.params.is_empty())
                    .then(|| Slices::exact(&mut dw[entry.params.clone()], &entry.param_lens)),
                accum: step.accum,
                saved: Slices::scaled(&mut saved, &step.buffers.saved, self.batch),
                saved_index: Slices::scaled(
                    &mut saved_index,
                    &step.buffers.saved_index,
                    self.batch,
                ),
                scratch: Slices::scaled(&mut scratch, &step.buffers.scratch, self.batch),
                masks,
                trainable: step.trainable,
                rng: self.rng(step),
                par: self.par,
            })
        });
        (ws.saved[s], ws.saved_index[s], ws.scratch) = (saved, saved_index, scratch);
        ws.lookups = lookups;
        for (dest, buffer) in step.dx.iter().zip(hands.drain(..)) {
            match *dest {
                Dest::Write(slot) => ws.grads[slot] = buffer,
                Dest::Spare(k) => ws.spares[k] = buffer,
                Dest::None | Dest::Merged => {}
            }
        }
        ws.hands = hands;
    }

    /// Fills in every `dx`; what is left of `dy`. An in-place layer finds `dy` in `dx[0]`: the same buffer, or a copy.
    fn gradients<'w>(
        &self,
        step: &Step,
        dy: &'w mut [Float],
        hands: &'w mut [Buffer],
        dx: &mut [Option<ViewMut<'w>>],
    ) -> ViewMut<'w>
    where
        'a: 'w,
    {
        for (((dx, hand), dest), &v) in dx.iter_mut().zip(hands).zip(&step.dx).zip(&step.inputs) {
            if matches!(dest, Dest::Write(_) | Dest::Spare(_)) {
                *dx = Some(self.view_mut(v, hand));
            }
        }
        if !step.in_place {
            return self.view_mut(step.outputs[0], dy);
        }
        match &mut dx[0] {
            Some(dx) => dx.data.copy_from_slice(&dy[..dx.data.len()]),
            // The gradient's own buffer, also where nobody needs dx: the layer works in it.
            none => *none = Some(self.view_mut(step.inputs[0], dy)),
        }
        ViewMut {
            data: &mut [],
            shape: &self.plan.dims[step.outputs[0]],
            batch: self.batch,
        }
    }

    /// Writable views of these values, of which there are at most [`MAX_OUTPUTS`](super::MAX_OUTPUTS).
    fn views_mut<'w>(
        &self,
        values: &[usize],
        buffers: &'w mut [Buffer],
    ) -> [ViewMut<'w>; super::MAX_OUTPUTS]
    where
        'a: 'w,
    {
        let mut views = std::array::from_fn(|_| ViewMut {
            data: &mut [][..],
            shape: &[],
            batch: 0,
        });
        for ((view, buffer), &v) in views.iter_mut().zip(buffers).zip(values) {
            *view = self.view_mut(v, buffer);
        }
        views
    }

    /// What layers do to their own weights before a training step.
    pub fn prepare(
        graph: &Graph,
        plan: &Plan,
        ws: &mut Workspace,
        params: &mut [Float],
        state: &mut [Float],
    ) {
        for step in plan.steps.iter().filter(|s| s.keeps_stats()) {
            let entry = &graph.entries[step.entry];
            step.layer.prepare(
                Slices::exact(&mut params[entry.params.clone()], &entry.param_lens),
                Slices::exact(&mut state[entry.state.clone()], &entry.state_lens),
                Slices::exact(&mut ws.stats[step.stats.clone()], &entry.state_lens),
            );
        }
    }

    /// Folds the statistics of a training step into the state; in inference, what stateful layers remember.
    pub fn update_state(graph: &Graph, plan: &Plan, ws: &Workspace, state: &mut [Float]) {
        let wanted = |s: &&Step| s.keeps_stats() && (s.trainable || s.remembers);
        for step in plan.steps.iter().filter(wanted) {
            let entry = &graph.entries[step.entry];
            let stats = Weights::new(&ws.stats[step.stats.clone()], &entry.state_lens);
            step.layer.update_state(
                Slices::exact(&mut state[entry.state.clone()], &entry.state_lens),
                stats,
            );
        }
    }

    fn add_penalty_grad(&self, step: &Step, dy: &mut Buffer, ws: &mut Workspace) {
        let Some(regularizer) = &step.activity_regularizer else {
            return;
        };
        let n = self.len(step.outputs[0]);
        let shape = [self.batch, n / self.batch];
        // d(penalty(y) / batch) = penalty'(y) / batch: scaled by hand because a regularizer only adds.
        let scale = self.batch as Float / self.loss_scale;
        dy[..n].iter_mut().for_each(|d| *d *= scale);
        regularizer.add_grad(self.view(step.outputs[0], ws).data, &shape, &mut dy[..n]);
        dy[..n].iter_mut().for_each(|d| *d /= scale);
    }

    fn compute_mask(&self, step: &Step, mask: usize, ws: &mut Workspace) {
        let mut out = take(&mut ws.masks[mask]);
        let n = self.plan.masks[mask].numel() * self.batch;
        self.with_inputs(step, ws, false, |x, masks| {
            step.layer.compute_mask(x, masks, &mut out[..n])
        });
        ws.masks[mask] = out;
    }

    /// Calls `f` with the views and masks of a step's inputs; with `hide`, the first view is empty (its buffer is `y`).
    fn with_inputs<R>(
        &self,
        step: &Step,
        ws: &Workspace,
        hide: bool,
        f: impl FnOnce(&[View], &[Option<Mask>]) -> R,
    ) -> R {
        match step.inputs.len() {
            1 => self.with_array::<1, R>(step, ws, hide, f),
            n if n <= INLINE => self.with_array::<INLINE, R>(step, ws, hide, f),
            n => {
                let views: Vec<View> = (0..n).map(|i| self.input_view(step, i, ws, hide)).collect();
                let masks: Vec<Option<Mask>> =
                    (0..n).map(|i| self.input_mask(step, i, ws)).collect();
                f(&views, &masks)
            }
        }
    }

    /// [`with_inputs`](Self::with_inputs) for up to `N` inputs, on the stack.
    fn with_array<const N: usize, R>(
        &self,
        step: &Step,
        ws: &Workspace,
        hide: bool,
        f: impl FnOnce(&[View], &[Option<Mask>]) -> R,
    ) -> R {
        let n = step.inputs.len();
        let none = View {
            data: &[],
            shape: &[],
            batch: 0,
        };
        let views: [View; N] = std::array::from_fn(|i| {
            if i < n {
                self.input_view(step, i, ws, hide)
            } else {
                none
            }
        });
        let masks: [Option<Mask>; N] = std::array::from_fn(|i| {
            if i < n {
                self.input_mask(step, i, ws)
            } else {
                None
            }
        });
        f(&views[..n], &masks[..n])
    }

    fn input_view<'w>(&self, step: &Step, i: usize, ws: &'w Workspace, hide: bool) -> View<'w>
    where
        'a: 'w,
    {
        let view = self.view(step.inputs[i], ws);
        if hide && i == 0 {
            View { data: &[], ..view }
        } else {
            view
        }
    }

    fn input_mask<'w>(&self, step: &Step, i: usize, ws: &'w Workspace) -> Option<Mask<'w>>
    where
        'a: 'w,
    {
        Some(self.mask_data(step.masks[i]?, ws))
    }

    pub(super) fn mask<'w>(&self, v: usize, ws: &'w Workspace) -> Option<Mask<'w>>
    where
        'a: 'w,
    {
        Some(self.mask_data(self.plan.mask_of[v]?, ws))
    }

    fn mask_data<'w>(&self, mask: usize, ws: &'w Workspace) -> Mask<'w>
    where
        'a: 'w,
    {
        let dims = &self.plan.masks[mask];
        Mask {
            data: &ws.masks[mask][..dims.numel() * self.batch],
            shape: dims,
        }
    }

    pub(super) fn entry(&self, step: &Step) -> &'a Entry {
        &self.graph.entries[step.entry]
    }

    fn weights(&self, entry: &'a Entry) -> Weights<'a> {
        Weights::new(&self.params[entry.params.clone()], &entry.param_lens)
    }

    fn state(&self, entry: &'a Entry) -> Weights<'a> {
        Weights::new(&self.state[entry.state.clone()], &entry.state_lens)
    }

    fn stats<'w>(&self, step: &Step, entry: &'w Entry, stats: &'w mut Buffer) -> Slices<'w> {
        if step.stats.is_empty() {
            return Slices::default();
        }
        Slices::exact(&mut stats[step.stats.clone()], &entry.state_lens)
    }

    fn rng(&self, step: &Step) -> Stream {
        Stream::new(self.seed, self.step, step.node as u32)
    }

    pub(super) fn len(&self, v: usize) -> usize {
        self.plan.dims[v].numel() * self.batch
    }

    fn grad(&self, v: usize) -> usize {
        self.plan.grads[v].expect("a backward step has a gradient for each output")
    }

    fn value<'w>(&self, v: usize, ws: &'w Workspace) -> &'w [Float]
    where
        'a: 'w,
    {
        match self.plan.places[v] {
            Place::Input(i) => self.inputs[i],
            // Empty while it is taken out: an in-place layer does not read it.
            Place::Slot(slot) => ws.values[slot].get(..self.len(v)).unwrap_or(&[]),
        }
    }

    pub(super) fn view<'w>(&self, v: usize, ws: &'w Workspace) -> View<'w>
    where
        'a: 'w,
    {
        View {
            data: self.value(v, ws),
            shape: &self.plan.dims[v],
            batch: self.batch,
        }
    }

    fn view_mut<'w>(&self, v: usize, buffer: &'w mut [Float]) -> ViewMut<'w>
    where
        'a: 'w,
    {
        ViewMut {
            data: &mut buffer[..self.len(v)],
            shape: &self.plan.dims[v],
            batch: self.batch,
        }
    }

    fn take_slot(&self, v: usize, ws: &mut Workspace) -> Buffer {
        match self.plan.places[v] {
            Place::Slot(slot) => take(&mut ws.values[slot]),
            Place::Input(_) => unreachable!("an output is never an input"),
        }
    }

    fn put_slot(&self, v: usize, buffer: Buffer, ws: &mut Workspace) {
        if let Place::Slot(slot) = self.plan.places[v] {
            ws.values[slot] = buffer;
        }
    }
}
