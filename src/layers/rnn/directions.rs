//! Running [`Bidirectional`]: each direction is lent its part of what the layer is lent, and both may run at once.

use super::bidirectional::{Bidirectional, STATES};
use super::merge::MergeMode;
use crate::float::Float;
use crate::kernels::elementwise;
use crate::layer::{Accum, Backward, Forward, Mask, Slices, View, ViewMut, Weights};

impl Bidirectional {
    /// Both directions, then their outputs are merged.
    pub(super) fn run_forward(&self, mut cx: Forward<'_>) {
        let kept = [cx.saved.next(), cx.saved.next()];
        let training = kept[0].is_some();
        let mut outputs = [(); 2].map(|()| cx.scratch.next().unwrap_or_default());
        if training {
            cx.scratch.take_front(3);
            if self.keeps_outputs() {
                outputs = kept.map(Option::unwrap_or_default);
            }
        }
        let [f, b] = outputs;
        let merge = self.merge(cx.y.batch, cx.y.shape, f.len(), b.len());
        let both = *self.mode() == MergeMode::None;
        let (second, states) = cx.more.split_at_mut(usize::from(both));
        let (f_states, b_states) = states.split_at_mut(states.len() / 2);
        let [saved, saved_index, scratch] = self.counts(training);
        let [params, state] = self.weight_counts();
        let front = Front {
            w: cx.w.take_front(params),
            state: cx.state.take_front(state),
            saved: cx.saved.take_front(saved),
            saved_index: cx.saved_index.take_front(saved_index),
            scratch: cx.scratch.take_front(scratch),
            stats: match cx.stats.reborrow().next() {
                Some(_) => cx.stats.take_front(state),
                None => Slices::default(),
            },
        };
        let back = Front {
            w: cx.w,
            state: cx.state,
            saved: cx.saved,
            saved_index: cx.saved_index,
            scratch: cx.scratch,
            stats: cx.stats,
        };
        let run = |i: usize, y: &mut [Float], more: &mut [ViewMut<'_>], own: Front<'_>| {
            let n = Self::states(cx.x.len());
            let (views, shape) = (views(i, n, cx.x), merge.shape(i));
            let (count, mut more) = (more.len(), views_mut(more));
            self.inner(i).forward(Forward {
                x: &views[..n + 1],
                w: own.w,
                state: own.state,
                y: ViewMut {
                    data: y,
                    shape: &shape,
                    batch: cx.y.batch,
                },
                more: &mut more[..count],
                saved: own.saved,
                saved_index: own.saved_index,
                scratch: own.scratch,
                stats: own.stats,
                masks: &masks(cx.masks)[..n + 1],
                mode: cx.mode,
                trainable: cx.trainable,
                rng: cx.rng.reseeded(i as u64),
                par: cx.par,
            });
        };
        cx.par
            .join(|| run(0, f, f_states, front), || run(1, b, b_states, back));
        let second = second.first_mut().map(|v| &mut *v.data);
        merge.outputs(self.mode(), f, b, cx.y.data, second);
    }

    /// The gradients of both outputs, then both directions.
    pub(super) fn run_backward(&self, mut cx: Backward<'_>) {
        let kept = [(); 2].map(|()| &*cx.saved.next().unwrap_or_default());
        let outputs = [(); 2].map(|()| &*cx.scratch.next().unwrap_or_default());
        let [f, b] = if self.keeps_outputs() { kept } else { outputs };
        let [df, db, dx_back] = [(); 3].map(|()| cx.scratch.next().unwrap_or_default());
        let merge = self.merge(cx.dy.batch, cx.dy.shape, df.len(), db.len());
        let both = *self.mode() == MergeMode::None;
        let (second, dstates) = cx.dmore.split_at_mut(usize::from(both));
        let (f_states, b_states) = dstates.split_at_mut(dstates.len() / 2);
        let second = second.first().map(|v| &*v.data);
        merge.gradients(
            self.mode(),
            [f, b],
            cx.dy.data,
            second,
            [&mut *df, &mut *db],
        );
        let [saved, saved_index, scratch] = self.counts(true);
        let [params, state] = self.weight_counts();
        let front = Back {
            w: cx.w.take_front(params),
            state: cx.state.take_front(state),
            saved: cx.saved.take_front(saved),
            saved_index: cx.saved_index.take_front(saved_index),
            scratch: cx.scratch.take_front(scratch),
            dw: cx.dw.as_mut().map(|dw| dw.take_front(params)),
        };
        let back = Back {
            w: cx.w,
            state: cx.state,
            saved: cx.saved,
            saved_index: cx.saved_index,
            scratch: cx.scratch,
            dw: cx.dw,
        };
        let Some((dx, dinitial)) = cx.dx.split_first_mut() else {
            return;
        };
        let (f_initial, b_initial) = dinitial.split_at_mut(dinitial.len() / 2);
        let mut dx = dx.as_mut().map(|dx| &mut *dx.data);
        let wanted = dx.is_some();
        let run = |i: usize,
                   y: &[Float],
                   dy: &mut [Float],
                   dmore: &mut [ViewMut<'_>],
                   dx: Option<&mut [Float]>,
                   dinitial: &mut [Option<ViewMut<'_>>],
                   mut own: Back<'_>| {
            let n = Self::states(cx.x.len());
            let (views, shape) = (views(i, n, cx.x), merge.shape(i));
            let (count, mut dmore) = (dmore.len(), views_mut(dmore));
            let mut grads: [Option<ViewMut>; STATES + 1] = std::array::from_fn(|_| None);
            grads[0] = dx.map(|data| ViewMut {
                data,
                shape: views[0].shape,
                batch: views[0].batch,
            });
            for (to, from) in grads[1..].iter_mut().zip(dinitial) {
                *to = from.as_mut().map(reborrow);
            }
            let inner = self.inner(i);
            let mut accum = cx.accum;
            if let (Some(dw), Accum::Replace) = (&mut own.dw, accum) {
                // What only adds, and what is frozen and nobody writes, starts at zero.
                if !inner.contract().overwrites_dw || self.is_frozen(i) {
                    dw.reborrow().flat().fill(0.0);
                    accum = Accum::Add;
                }
            }
            inner.backward(Backward {
                x: &views[..n + 1],
                w: own.w,
                state: own.state,
                y: View {
                    data: y,
                    shape: &shape,
                    batch: cx.dy.batch,
                },
                dy: ViewMut {
                    data: dy,
                    shape: &shape,
                    batch: cx.dy.batch,
                },
                dmore: &mut dmore[..count],
                dx: &mut grads[..n + 1],
                dw: own.dw.filter(|_| !self.is_frozen(i)),
                accum,
                saved: own.saved,
                saved_index: own.saved_index,
                scratch: own.scratch,
                masks: &masks(cx.masks)[..n + 1],
                trainable: cx.trainable,
                rng: cx.rng.reseeded(i as u64),
                par: cx.par,
            });
        };
        let (dx_front, dx_back) = (dx.as_deref_mut(), wanted.then_some(dx_back));
        let dx_back = dx_back.map(|dx| &mut *dx);
        let mut dx_back = dx_back;
        let of_back = dx_back.as_deref_mut();
        cx.par.join(
            || run(0, f, df, f_states, dx_front, f_initial, front),
            || run(1, b, db, b_states, of_back, b_initial, back),
        );
        if let (Some(dx), Some(more)) = (dx, dx_back) {
            elementwise::add(more, dx);
        }
    }
}

/// What one direction is lent in forward.
struct Front<'a> {
    w: Weights<'a>,
    state: Weights<'a>,
    saved: Slices<'a>,
    saved_index: Slices<'a, u32>,
    scratch: Slices<'a>,
    stats: Slices<'a>,
}

/// What one direction is lent in backward.
struct Back<'a> {
    w: Weights<'a>,
    state: Weights<'a>,
    saved: Slices<'a>,
    saved_index: Slices<'a, u32>,
    scratch: Slices<'a>,
    dw: Option<Slices<'a>>,
}

/// The inputs of direction `i`: the first, and `n` states.
fn views<'a>(i: usize, n: usize, x: &[View<'a>]) -> [View<'a>; STATES + 1] {
    std::array::from_fn(|j| match j {
        0 => x[0],
        j => *x.get(i * n + j).unwrap_or(&x[0]),
    })
}

/// The mask of the first input, which is that of both directions.
fn masks<'a>(masks: &[Option<Mask<'a>>]) -> [Option<Mask<'a>>; STATES + 1] {
    std::array::from_fn(|j| if j == 0 { masks[0] } else { None })
}

fn reborrow<'v>(view: &'v mut ViewMut<'_>) -> ViewMut<'v> {
    ViewMut {
        data: view.data,
        shape: view.shape,
        batch: view.batch,
    }
}

fn views_mut<'v>(views: &'v mut [ViewMut<'_>]) -> [ViewMut<'v>; STATES] {
    let mut views = views.iter_mut();
    std::array::from_fn(|_| match views.next() {
        Some(view) => reborrow(view),
        None => ViewMut {
            data: &mut [],
            shape: &[],
            batch: 0,
        },
    })
}
