//! A layer applied to every time step: its samples are the steps of all samples.
//!
//! Where the layer treats samples one by one, that is all there is to it: the time axis becomes part of the batch, and nothing is
//! copied. A layer that couples the samples of a batch (BatchNormalization) is given the samples of one step after the other, as in
//! Keras: the statistics are those of a step, and its state moves on with every step.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{
    Accum, Backward, Bound, Buffers, Call, Contract, Forward, Kind, Layer, LayerRef, Len, Mask,
    MaskRule, Mode, Slices, View, ViewMut, Weight, Weights,
};
use crate::layers::args::checked;
use crate::layers::inner::Inner;
use crate::shape::{Dims, Shape};

/// Applies a layer to every step of a sequence. [Keras](https://keras.io/api/layers/recurrent_layers/time_distributed/)
///
/// Input `(batch, time, ..)`, output `(batch, time, ..)`, the layer's weights. The layer must have one input and one output, and
/// cannot be stateful.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `layer` | | the layer, for the shape of one step |
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([10, 8, 8, 3]).add(TimeDistributed::new(Conv2D::new(4, 3)));
/// model.build([10, 8, 8, 3])?;
/// assert_eq!(model.predict(&ndarray::Array5::<f32>::ones((2, 10, 8, 8, 3)))?.shape(), [2, 10, 6, 6, 4]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeDistributed {
    layer: Inner,
    /// Slices that a step saves, where steps are taken one after the other.
    #[serde(skip)]
    saved: OnceLock<[usize; 2]>,
    /// Stands for the layer in a model that is applied to every step: the weights are the layer's own, and so are masks.
    #[serde(skip)]
    inlined: bool,
}

impl TimeDistributed {
    /// Around this layer.
    pub fn new(layer: impl Into<LayerRef>) -> Self {
        TimeDistributed {
            layer: Inner(layer.into()),
            saved: OnceLock::new(),
            inlined: false,
        }
    }

    /// What a layer becomes in a model that is applied to every step.
    pub(crate) fn inlined(layer: &Arc<dyn Layer>) -> Arc<dyn Layer> {
        Arc::new(TimeDistributed {
            inlined: true,
            ..TimeDistributed::new(LayerRef::from_arc(layer.clone()))
        })
    }

    fn inner(&self) -> &dyn Layer {
        self.layer.0.layer.as_ref()
    }

    /// The layer's buffers for all steps. Where these are taken one after the other, each saves for itself, and there is scratch
    /// memory for `x`, `y`, `dy` and `dx` of a step, its statistics, and the state.
    fn spread(&self, inputs: &[Dims], own: Buffers) -> Buffers {
        let time = inputs[0][0];
        if !self.coupled() {
            let all = |lens: Vec<Len>| {
                let longer = |len| match len {
                    Len::PerSample(n) => Len::PerSample(n * time),
                    fixed => fixed,
                };
                lens.into_iter().map(longer).collect()
            };
            return Buffers {
                saved: all(own.saved),
                saved_index: all(own.saved_index),
                scratch: all(own.scratch),
            };
        }
        let counts = [own.saved.len(), own.saved_index.len()];
        debug_assert_eq!(*self.saved.get_or_init(|| counts), counts);
        let step = [Shape::from(inputs[0].tail())]; // one input, as output_shape has checked
        let y = self
            .inner()
            .output_shape(&step)
            .ok()
            .and_then(|s| s.numel());
        let (x, y) = (
            Len::PerSample(inputs[0].tail().numel()),
            Len::PerSample(y.unwrap_or(0)),
        );
        let weights = self.inner().weights(&step).unwrap_or_default();
        let state = weights.iter().filter(|w| w.kind == Kind::State);
        let state = Len::Fixed(state.map(|w| w.shape.numel()).sum());
        Buffers {
            saved: own.saved.repeat(time),
            saved_index: own.saved_index.repeat(time),
            scratch: [vec![x, y, y, x, state, state], own.scratch].concat(),
        }
    }

    fn forward_by_step(&self, mut cx: Forward<'_>) {
        let (time, batch, inner) = (cx.y.shape[0], cx.y.batch, self.inner());
        let [xs, ys, _, _, stats, state] = [(); 6].map(|()| cx.scratch.next().unwrap_or_default());
        let in_place = inner.contract().in_place;
        let learns = cx.mode == Mode::Train && cx.trainable && cx.stats.reborrow().next().is_some();
        let lens = cx.state.lens();
        let mut at = 0;
        for piece in cx.state {
            state[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        let [saved, saved_index] = *self.saved.get().expect("buffers were asked for before");
        for t in 0..time {
            gather(t, time, batch, cx.x[0].data, xs);
            if in_place {
                ys.copy_from_slice(xs);
            }
            inner.forward(Forward {
                x: &[View {
                    data: if in_place { &[] } else { xs },
                    shape: &cx.x[0].shape[1..],
                    batch,
                }],
                w: cx.w,
                state: Weights::new(state, lens),
                y: ViewMut {
                    data: ys,
                    shape: &cx.y.shape[1..],
                    batch,
                },
                more: &mut [],
                saved: cx.saved.take_front(saved),
                saved_index: cx.saved_index.take_front(saved_index),
                scratch: cx.scratch.reborrow(),
                stats: match learns {
                    true => Slices::exact(stats, lens),
                    false => Slices::default(),
                },
                masks: &[None],
                mode: cx.mode,
                trainable: cx.trainable,
                rng: cx.rng.reseeded(t as u64),
                par: cx.par,
            });
            scatter(t, time, batch, ys, cx.y.data);
            if learns {
                inner.update_state(Slices::exact(state, lens), Weights::new(stats, lens));
            }
        }
        if learns {
            cx.stats.flat().copy_from_slice(state);
        }
    }

    fn backward_by_step(&self, mut cx: Backward<'_>) {
        let (time, batch, inner) = (cx.dy.shape[0], cx.dy.batch, self.inner());
        let [xs, ys, dys, dxs, ..] = [(); 6].map(|()| cx.scratch.next().unwrap_or_default());
        let contract = inner.contract();
        let [saved, saved_index] = *self.saved.get().expect("buffers were asked for before");
        let wanted = cx.dx[0].is_some();
        for t in 0..time {
            if contract.reads_x {
                gather(t, time, batch, cx.x[0].data, xs);
            }
            if contract.reads_y {
                gather(t, time, batch, cx.y.data, ys);
            }
            gather(t, time, batch, cx.dy.data, dys);
            if contract.in_place {
                dxs.copy_from_slice(dys);
            }
            let (x_shape, y_shape) = (&cx.x[0].shape[1..], &cx.dy.shape[1..]);
            inner.backward(Backward {
                x: &[View {
                    data: xs,
                    shape: x_shape,
                    batch,
                }],
                w: cx.w,
                state: cx.state,
                y: View {
                    data: ys,
                    shape: y_shape,
                    batch,
                },
                dy: ViewMut {
                    data: if contract.in_place { &mut [] } else { dys },
                    shape: y_shape,
                    batch,
                },
                dmore: &mut [],
                dx: &mut [(wanted || contract.in_place).then_some(ViewMut {
                    data: dxs,
                    shape: x_shape,
                    batch,
                })],
                dw: cx.dw.as_mut().map(Slices::reborrow),
                accum: if t == 0 { cx.accum } else { Accum::Add },
                saved: cx.saved.take_front(saved),
                saved_index: cx.saved_index.take_front(saved_index),
                scratch: cx.scratch.reborrow(),
                masks: &[None],
                trainable: cx.trainable,
                rng: cx.rng.reseeded(t as u64),
                par: cx.par,
            });
            if let Some(dx) = &mut cx.dx[0] {
                scatter(t, time, batch, dxs, dx.data);
            }
        }
    }

    /// Whether steps are taken one after the other.
    fn coupled(&self) -> bool {
        self.inner().contract().batch_coupled
    }
}

/// The shapes without the time axis.
fn steps(shapes: &[Shape]) -> Vec<Shape> {
    let behind = |s: &Shape| Shape::from(s.dims().get(1..).unwrap_or(&[]).to_vec());
    shapes.iter().map(behind).collect()
}

fn tails(inputs: &[Dims]) -> Vec<Dims> {
    inputs.iter().map(Dims::tail).collect()
}

/// A mask without the time axis.
fn step_mask(mask: &Option<Shape>) -> Option<Shape> {
    let dims = mask.as_ref()?.dims();
    Some(Shape::from(dims.get(1..)?.to_vec()))
}

/// Step `t` of all samples.
fn gather(t: usize, time: usize, batch: usize, from: &[Float], to: &mut [Float]) {
    let each = to.len() / batch.max(1);
    for (b, to) in to.chunks_exact_mut(each.max(1)).enumerate() {
        to.copy_from_slice(&from[(b * time + t) * each..][..each]);
    }
}

/// The reverse of [`gather`].
fn scatter(t: usize, time: usize, batch: usize, from: &[Float], to: &mut [Float]) {
    let each = from.len() / batch.max(1);
    for (b, from) in from.chunks_exact(each.max(1)).enumerate() {
        to[(b * time + t) * each..][..each].copy_from_slice(from);
    }
}

impl Layer for TimeDistributed {
    fn class_name(&self) -> &'static str {
        "TimeDistributed"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let [x, others @ ..] = inputs else {
            return Err(Error::shape("an input", "none"));
        };
        let least = if self.inlined { 1 } else { 2 };
        if let Some(x) = inputs.iter().find(|x| x.rank() < least) {
            return Err(Error::shape("at least 3 axes (batch, time, ..)", x));
        }
        let time = |x: &Shape| Shape::from(x.dims()[..1].to_vec());
        if let Some(other) = others.iter().find(|o| !time(o).agrees(&time(x))) {
            let want = format!("as many steps in every input as in {x}");
            return Err(Error::shape(want, other));
        }
        let owned = |e: Error| match self.inlined {
            true => e,
            false => e.owned_by(&self.layer.name()),
        };
        let step = steps(inputs);
        let y = self.inner().output_shape(&step).map_err(owned)?;
        let more = self.inner().more_outputs(&step).map_err(owned)?.len();
        let weights = self.inner().weights(&step).map_err(owned)?;
        let plain = more == 0 && weights.iter().all(|w| w.kind != Kind::Memory);
        if !plain || inputs.len() > MOST || (self.coupled() && inputs.len() > 1) {
            let want = "a layer with few inputs, one output and no memory from batch to batch";
            return Err(Error::arg("layer", want, self.inner().class_name()));
        }
        let mut dims = vec![x.dims()[0]];
        dims.extend(y.dims());
        checked(dims.into())
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let mut bound = self.inner().bind(call)?;
        bound.layer = bound.layer.map(|layer| {
            let mut wrapper = self.clone();
            wrapper.layer.0.layer = layer;
            Arc::new(wrapper) as Arc<dyn Layer>
        });
        Ok(bound)
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let weights = self.inner().weights(&steps(inputs))?;
        Ok(match self.inlined {
            true => weights,
            false => weights.into_iter().map(|w| w.group("layer")).collect(),
        })
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.spread(inputs, self.inner().buffers(&tails(inputs)))
    }

    fn inference_buffers(&self, inputs: &[Dims]) -> Buffers {
        match self.coupled() {
            true => self.buffers(inputs),
            false => self.spread(inputs, self.inner().inference_buffers(&tails(inputs))),
        }
    }

    fn contract(&self) -> Contract {
        let inner = self.inner().contract();
        Contract {
            in_place: inner.in_place && !inner.batch_coupled,
            mask: match (self.inlined, inner.mask) {
                _ if inner.batch_coupled => MaskRule::Compute,
                (true, rule) => rule,
                (false, _) => MaskRule::Pass,
            },
            ..inner
        }
    }

    fn forward(&self, mut cx: Forward<'_>) {
        if self.coupled() {
            return self.forward_by_step(cx);
        }
        let count = cx.x.len();
        self.inner().forward(Forward {
            x: &views(cx.x)[..count],
            w: cx.w,
            state: cx.state,
            y: step_mut(&mut cx.y),
            more: &mut [],
            saved: cx.saved,
            saved_index: cx.saved_index,
            scratch: cx.scratch,
            stats: cx.stats,
            masks: &masks(cx.masks)[..count],
            mode: cx.mode,
            trainable: cx.trainable,
            rng: cx.rng,
            par: cx.par,
        });
    }

    fn backward(&self, mut cx: Backward<'_>) {
        if self.coupled() {
            return self.backward_by_step(cx);
        }
        let count = cx.x.len();
        let mut dxs = cx.dx.iter_mut();
        let mut dx: [Option<ViewMut>; MOST] =
            std::array::from_fn(|_| dxs.next().and_then(|dx| dx.as_mut().map(step_mut)));
        self.inner().backward(Backward {
            x: &views(cx.x)[..count],
            w: cx.w,
            state: cx.state,
            y: step(cx.y),
            dy: step_mut(&mut cx.dy),
            dmore: &mut [],
            dx: &mut dx[..count],
            dw: cx.dw,
            accum: cx.accum,
            saved: cx.saved,
            saved_index: cx.saved_index,
            scratch: cx.scratch,
            masks: &masks(cx.masks)[..count],
            trainable: cx.trainable,
            rng: cx.rng,
            par: cx.par,
        });
    }

    fn update_state(&self, mut state: Slices<'_>, stats: Weights<'_>) {
        if !self.coupled() {
            return self.inner().update_state(state, stats);
        }
        // Moved on step by step already.
        for (state, stats) in state.by_ref().zip(stats) {
            state.copy_from_slice(stats);
        }
    }

    fn mask_shape(&self, inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        if self.coupled() {
            return match masks.first() {
                Some(Some(mask)) => {
                    let want = "none around a layer that couples the samples of a batch";
                    Err(Error::arg("mask", want, mask))
                }
                _ => Ok(None),
            };
        }
        // Of a layer in a model that is applied to every step.
        let inner: Vec<Option<Shape>> = masks.iter().map(step_mask).collect();
        let Some(mask) = self.inner().mask_shape(&steps(inputs), &inner)? else {
            return Ok(None);
        };
        let mut dims = vec![inputs[0].dims()[0]];
        dims.extend(mask.dims());
        Ok(Some(dims.into()))
    }

    fn compute_mask(&self, x: &[View<'_>], given: &[Option<Mask<'_>>], out: &mut [bool]) {
        let count = x.len();
        self.inner()
            .compute_mask(&views(x)[..count], &masks(given)[..count], out);
    }

    fn frozen(&self) -> bool {
        !self.layer.0.trainable || self.inner().frozen()
    }
}

/// Most inputs.
const MOST: usize = 32;

/// The samples of all steps.
fn step(view: View<'_>) -> View<'_> {
    match view.shape.split_first() {
        Some((time, shape)) => View {
            data: view.data,
            shape,
            batch: view.batch * time,
        },
        None => view,
    }
}

/// The same for writing.
fn step_mut<'v>(view: &'v mut ViewMut<'_>) -> ViewMut<'v> {
    ViewMut {
        data: view.data,
        shape: &view.shape[1..],
        batch: view.batch * view.shape[0],
    }
}

fn views<'a>(x: &[View<'a>]) -> [View<'a>; MOST] {
    std::array::from_fn(|i| step(*x.get(i).unwrap_or(&x[0])))
}

/// The masks of the samples of all steps.
fn masks<'a>(masks: &[Option<Mask<'a>>]) -> [Option<Mask<'a>>; MOST] {
    std::array::from_fn(|i| {
        let mask = masks.get(i).copied().flatten()?;
        Some(Mask {
            data: mask.data,
            shape: mask.shape.get(1..)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{BatchNormalization, Conv2D, Dense, Dropout, Flatten, LSTM};
    use crate::testing::{check_layer, check_masked_layer};

    #[test]
    fn laws() {
        check_layer(
            TimeDistributed::new(Dense::new(3).activation("gelu")),
            &[[4, 2].into()],
        );
        check_layer(
            TimeDistributed::new(Conv2D::new(2, 2)),
            &[[3, 3, 4, 2].into()],
        );
        check_layer(TimeDistributed::new(Dropout::new(0.5)), &[[3, 5].into()]);
        check_layer(TimeDistributed::new(Flatten::new()), &[[3, 2, 2].into()]);
        check_layer(TimeDistributed::new(LSTM::new(3)), &[[2, 3, 2].into()]);
        check_layer(
            TimeDistributed::new(BatchNormalization::new()),
            &[[3, 4].into()],
        );
        let twice = TimeDistributed::new(TimeDistributed::new(Dense::new(2)));
        check_layer(twice, &[[2, 3, 2].into()]);
        let dense = TimeDistributed::new(Dense::new(2));
        check_masked_layer(dense, &[[3, 2].into()], &[Some([3].into())]);
    }

    #[test]
    fn moving_moments_move_on_with_every_step() {
        use crate::prelude::*;
        let (m, v) = (0.8f32, 0.2f32);
        let norm = BatchNormalization::new().momentum(f64::from(m));
        let mut model = Sequential::new()
            .input([2, 1])
            .add(TimeDistributed::new(norm));
        model
            .compile(Sgd::new(0.0), MeanSquaredError::default(), ())
            .unwrap();
        // The first step has mean 1, the second 5.
        let x = ndarray::array![[[0.0f32], [4.0]], [[2.0], [6.0]]];
        model.fit(&x, &x, Fit::epochs(1).verbose(0)).unwrap();
        let mean = model.get_weights()[2][[0]];
        let want = f64::from(v * m + v * 5.0);
        assert!((f64::from(mean) - want).abs() < 1e-6, "{mean}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let said = |layer: TimeDistributed, x: Shape| {
            layer
                .output_shape(&[x])
                .unwrap_err()
                .owned_by("td")
                .to_string()
        };
        let dense = TimeDistributed::new(Dense::new(0));
        assert!(said(dense, [2, 3].into()).starts_with("dense: argument `units`"));
        let flat = TimeDistributed::new(Dense::new(2));
        assert!(said(flat, [3].into()).contains("at least 3 axes"));
        let states = TimeDistributed::new(LSTM::new(2).return_state(true));
        assert!(said(states, [2, 3, 4].into()).contains("`layer`"));
        let memory = TimeDistributed::new(LSTM::new(2).stateful(true));
        assert!(said(memory, [2, 3, 4].into()).contains("`layer`"));
    }
}
