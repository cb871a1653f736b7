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
    /// Whether kernels may use threads.
    pub par: Par,
}

impl<'a> Pass<'a> {
    /// Computes all values.
    pub fn forward(&self, ws: &mut Workspace) {
        ws.penalty = 0.0;
        for (s, step) in self.plan.steps.iter().enumerate() {
            if let Some(mask) = step.computes_mask {
                self.compute_mask(step, mask, ws);
            }
            let mut y = self.take_slot(step.outputs[0], ws);
            if step.in_place && !step.merged {
                let n = self.len(step.outputs[0]);
                y[..n].copy_from_slice(self.value(step.inputs[0], ws));
            }
            let mut more: Buffers = Default::default();
            step.outputs[1..]
                .iter()
                .zip(&mut more)
                .for_each(|(&v, b)| *b = self.take_slot(v, ws));
            let mut saved = take(&mut ws.saved[s]);
            let mut saved_index = take(&mut ws.saved_index[s]);
            let mut scratch = take(&mut ws.scratch);
            let mut stats = take(&mut ws.stats);
            let entry = self.entry(step);
            self.with_inputs(step, ws, step.in_place, |x, masks| {
                step.layer.forward(Forward {
                    x,
                    w: self.weights(entry),
                    state: self.state(entry),
                    y: self.view_mut(step.outputs[0], &mut y),
                    more: self.views_mut(&step.outputs[1..], &mut more, &mut empty_views())
                        [..step.outputs.len() - 1]
                        .as_mut(),
                    saved: Slices::scaled(&mut saved, &step.buffers.saved, self.batch),
                    saved_index: Slices::scaled(
                        &mut saved_index,
                        &step.buffers.saved_index,
                        self.batch,
                    ),
                    scratch: Slices::scaled(&mut scratch, &step.buffers.scratch, self.batch),
                    stats: self.stats(step, entry, &mut stats),
                    masks,
                    mode: self.mode,
                    trainable: step.trainable,
                    rng: self.rng(step),
                    par: self.par,
                })
            });
            self.put_slot(step.outputs[0], y, ws);
            step.outputs[1..]
                .iter()
                .zip(more)
                .for_each(|(&v, b)| self.put_slot(v, b, ws));
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
        for (s, step) in self
            .plan
            .steps
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, step)| step.backward)
        {
            let mut dy = take(&mut ws.grads[self.grad(step.outputs[0])]);
            let mut dmore: Buffers = Default::default();
            step.outputs[1..]
                .iter()
                .zip(&mut dmore)
                .for_each(|(&v, b)| *b = take(&mut ws.grads[self.grad(v)]));
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
            step.outputs[1..]
                .iter()
                .zip(dmore)
                .for_each(|(&v, b)| ws.grads[self.grad(v)] = b);
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
        dmore: &mut Buffers,
        ws: &mut Workspace,
        dw: &mut [Float],
    ) {
        let n = step.inputs.len();
        let entry = self.entry(step);
        let mut hands = Hands::take(step, ws);
        let mut saved = take(&mut ws.saved[s]);
        let mut saved_index = take(&mut ws.saved_index[s]);
        let mut scratch = take(&mut ws.scratch);
        self.with_inputs(step, ws, false, |x, masks| {
            let mut dx_inline: [Option<ViewMut>; INLINE] = Default::default();
            let mut dx_heap: Vec<Option<ViewMut>> = Vec::new();
            let (mut dy_rest, mut unmerged) = (Some(&mut **dy), None);
            let dx = match n <= INLINE {
                true => &mut dx_inline[..n],
                false => {
                    dx_heap.resize_with(n, || None);
                    &mut dx_heap[..]
                }
            };
            for (((dx, hand), dest), &v) in dx
                .iter_mut()
                .zip(hands.all())
                .zip(&step.dx)
                .zip(&step.inputs)
            {
                *dx = match dest {
                    Dest::None => None,
                    Dest::Merged => dy_rest.take().map(|dy| self.view_mut(v, dy)),
                    Dest::Write(_) | Dest::Spare(_) => Some(self.view_mut(v, hand)),
                };
            }
            if step.in_place && dx[0].is_none() {
                // Nobody needs dx, but the layer works in it.
                dx[0] = dy_rest.take().map(|dy| self.view_mut(step.inputs[0], dy));
            } else if let (true, Some(dy), Some(dx)) = (step.in_place, &dy_rest, &mut dx[0]) {
                dx.data.copy_from_slice(&dy[..dx.data.len()]);
                unmerged = dy_rest.take();
            }
            drop(unmerged);
            let dy = match dy_rest {
                Some(dy) => self.view_mut(step.outputs[0], dy),
                None => ViewMut {
                    data: &mut [],
                    shape: &self.plan.dims[step.outputs[0]],
                    batch: self.batch,
                },
            };
            step.layer.backward(Backward {
                x,
                w: self.weights(entry),
                state: self.state(entry),
                y: self.view(step.outputs[0], ws),
                dy,
                dmore: self.views_mut(&step.outputs[1..], dmore, &mut empty_views())
                    [..step.outputs.len() - 1]
                    .as_mut(),
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
        hands.put_back(step, ws);
    }

    /// Folds the statistics of a training step into the state.
    pub fn update_state(graph: &Graph, plan: &Plan, ws: &Workspace, state: &mut [Float]) {
        for step in plan
            .steps
            .iter()
            .filter(|s| !s.stats.is_empty() && s.trainable)
        {
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
        let scale = self.batch as Float;
        dy[..n].iter_mut().for_each(|d| *d *= scale);
        regularizer.add_grad(self.view(step.outputs[0], ws).data, &shape, &mut dy[..n]);
        dy[..n].iter_mut().for_each(|d| *d /= scale);
    }

    /// Output number `i`.
    pub fn output<'w>(&self, i: usize, ws: &'w Workspace) -> View<'w>
    where
        'a: 'w,
    {
        self.view(self.plan.outputs[i], ws)
    }

    /// Where the loss writes the gradient of output number `i`, beside that output. `None` if no trained weight influences it.
    pub fn output_grad<'w>(
        &self,
        i: usize,
        ws: &'w mut Workspace,
    ) -> Option<(View<'w>, ViewMut<'w>)>
    where
        'a: 'w,
    {
        let v = self.plan.outputs[i];
        let (n, shape, batch) = (self.len(v), &self.plan.dims[v][..], self.batch);
        let Workspace { values, grads, .. } = ws;
        let data = match self.plan.places[v] {
            Place::Input(i) => self.inputs[i],
            Place::Slot(slot) => &values[slot][..n],
        };
        let grad = &mut grads[self.plan.grads[v]?][..n];
        Some((
            View { data, shape, batch },
            ViewMut {
                data: grad,
                shape,
                batch,
            },
        ))
    }

    /// Mask of output number `i`.
    pub fn output_mask<'w>(&self, i: usize, ws: &'w Workspace) -> Option<Mask<'w>>
    where
        'a: 'w,
    {
        self.mask(self.plan.outputs[i], ws)
    }

    /// The first layer whose output is not finite, for whom a NaN puzzles.
    pub fn first_non_finite(&self, ws: &Workspace) -> Option<&'a str> {
        let bad = |step: &&Step| !elementwise::all_finite(self.view(step.outputs[0], ws).data);
        self.plan
            .steps
            .iter()
            .find(bad)
            .map(|step| self.entry(step).name.as_str())
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
        let n = step.inputs.len();
        let view = |i: usize| {
            let view = self.view(step.inputs[i], ws);
            if hide && i == 0 {
                View { data: &[], ..view }
            } else {
                view
            }
        };
        if n <= INLINE {
            let none = View {
                data: &[],
                shape: &[],
                batch: 0,
            };
            let views: [View; INLINE] = std::array::from_fn(|i| if i < n { view(i) } else { none });
            let masks: [Option<Mask>; INLINE] = std::array::from_fn(|i| {
                if i < n {
                    self.mask(step.inputs[i], ws)
                } else {
                    None
                }
            });
            return f(&views[..n], &masks[..n]);
        }
        let views: Vec<View> = (0..n).map(view).collect();
        let masks: Vec<Option<Mask>> = step.inputs.iter().map(|&v| self.mask(v, ws)).collect();
        f(&views, &masks)
    }

    fn mask<'w>(&self, v: usize, ws: &'w Workspace) -> Option<Mask<'w>>
    where
        'a: 'w,
    {
        let mask = self.plan.mask_of[v]?;
        let dims = &self.plan.masks[mask];
        Some(Mask {
            data: &ws.masks[mask][..dims.numel() * self.batch],
            shape: dims,
        })
    }

    fn entry(&self, step: &Step) -> &'a Entry {
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

    fn len(&self, v: usize) -> usize {
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

    fn view<'w>(&self, v: usize, ws: &'w Workspace) -> View<'w>
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

    fn views_mut<'w, 'v>(
        &self,
        values: &[usize],
        buffers: &'w mut Buffers,
        views: &'v mut [ViewMut<'w>; INLINE],
    ) -> &'v mut [ViewMut<'w>; INLINE]
    where
        'a: 'w,
    {
        for ((view, buffer), &v) in views.iter_mut().zip(buffers).zip(values) {
            *view = self.view_mut(v, buffer);
        }
        views
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

/// Buffers of outputs behind the first.
type Buffers = [Buffer; INLINE];

fn empty_views<'a>() -> [ViewMut<'a>; INLINE] {
    std::array::from_fn(|_| ViewMut {
        data: &mut [],
        shape: &[],
        batch: 0,
    })
}

/// Gradient buffers taken out of the workspace for one backward call.
#[derive(Default)]
struct Hands {
    inline: Buffers,
    heap: Vec<Buffer>,
}

impl Hands {
    fn take(step: &Step, ws: &mut Workspace) -> Hands {
        let mut hands = Hands::default();
        if step.dx.len() > INLINE {
            hands.heap.resize(step.dx.len(), Buffer::default());
        }
        for (dest, hand) in step.dx.iter().zip(hands.all()) {
            match *dest {
                Dest::Write(slot) => *hand = take(&mut ws.grads[slot]),
                Dest::Spare(k) => *hand = take(&mut ws.spares[k]),
                Dest::None | Dest::Merged => {}
            }
        }
        hands
    }

    fn all(&mut self) -> &mut [Buffer] {
        if self.heap.is_empty() {
            &mut self.inline
        } else {
            &mut self.heap
        }
    }

    fn put_back(mut self, step: &Step, ws: &mut Workspace) {
        for (dest, hand) in step.dx.iter().zip(self.all()) {
            match *dest {
                Dest::Write(slot) => ws.grads[slot] = take(hand),
                Dest::Spare(k) => ws.spares[k] = take(hand),
                Dest::None | Dest::Merged => {}
            }
        }
    }
}
