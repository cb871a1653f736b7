//! The laws of a layer.

use crate::float::Float;
use crate::layer::{
    Accum, Backward, Buffers, Forward, Kind, Layer, Len, Mask, MaskRule, Mode, Par, Slices, Stream,
    View, ViewMut, Weight, Weights,
};
use crate::random::Rng;
use crate::shape::{Dims, Shape};

/// Samples in a check: two halves of two.
const BATCH: usize = 4;

/// Checks that a layer keeps its contract, on inputs of these shapes (of one sample):
///
/// 1. `output_shape` agrees with itself for unknown sizes, and the configuration survives a round trip (layers of this crate).
/// 2. `forward` writes all of `y`, `backward` all of every `dx`, and `backward` works when nobody needs `dx` or `dw`.
/// 3. `backward` adds to `dw` (or overwrites it, if the contract says so).
/// 4. Every gradient agrees with central differences, for a random `dy`; kinks are passed over.
/// 5. What the contract says is not read in backward is not read.
/// 6. Two half batches give what one batch gives (unless the layer couples the samples of a batch).
/// 7. The same call gives the same result, in training and in inference.
///
/// ```
/// use oxhorn::{layers::Dense, testing::check_layer};
/// check_layer(Dense::new(3).activation("gelu"), &[[2, 4].into()]);
/// ```
///
/// # Panics
/// If a law is broken.
pub fn check_layer(layer: impl Layer, inputs: &[Shape]) {
    check_masked_layer(layer, inputs, &vec![None; inputs.len()]);
}

/// [`check_layer`] with a random mask of this shape (of one sample) on every input that has one here.
///
/// ```
/// use oxhorn::{layers::Multiply, testing::check_masked_layer};
/// check_masked_layer(Multiply::new(), &[[3, 2].into(), [3, 2].into()], &[Some([3].into()), None]);
/// ```
///
/// # Panics
/// If a law is broken.
pub fn check_masked_layer(layer: impl Layer, inputs: &[Shape], masks: &[Option<Shape>]) {
    check_dyn(&layer, inputs, masks);
}

/// [`check_masked_layer`] for a layer behind a pointer.
pub(crate) fn check_dyn(layer: &dyn Layer, inputs: &[Shape], masks: &[Option<Shape>]) {
    let harness = Harness::new(layer, inputs, masks);
    harness.check_config();
    harness.check_shapes(inputs);
    harness.check_gradients();
    harness.check_contract();
    harness.check_optional_gradients();
    harness.check_halves();
    harness.check_repeats(Mode::Train);
    harness.check_repeats(Mode::Infer);
}

struct Harness<'a> {
    layer: &'a dyn Layer,
    inputs: Vec<Dims>,
    outputs: Vec<Dims>,
    masks: Vec<Option<(Dims, Vec<bool>)>>,
    buffers: Buffers,
    inference_buffers: Buffers,
    param_lens: Vec<usize>,
    state_lens: Vec<usize>,
    x: Vec<Vec<Float>>,
    w: Vec<Float>,
    state: Vec<Float>,
    dy: Vec<Vec<Float>>,
}

/// What a forward call left behind.
#[derive(Clone)]
struct Run {
    y: Vec<Vec<Float>>,
    saved: Vec<Float>,
    saved_index: Vec<u32>,
}

/// What a backward call gave.
struct Grads {
    dx: Vec<Vec<Float>>,
    dw: Vec<Float>,
}

impl<'a> Harness<'a> {
    fn new(layer: &'a dyn Layer, shapes: &[Shape], masks: &[Option<Shape>]) -> Self {
        let class = layer.class_name();
        let refused = |e: crate::Error| -> ! { panic!("{class} refuses {shapes:?}: {e}") };
        let mut outputs = vec![layer.output_shape(shapes).unwrap_or_else(|e| refused(e))];
        outputs.extend(layer.more_outputs(shapes).unwrap_or_else(|e| refused(e)));
        let known = |s: &Shape| {
            s.known()
                .unwrap_or_else(|| panic!("{class}: check_layer needs known shapes, got {s}"))
        };
        let (inputs, outputs): (Vec<Dims>, Vec<Dims>) = (
            shapes.iter().map(known).collect(),
            outputs.iter().map(known).collect(),
        );
        if layer.contract().mask == MaskRule::Compute {
            layer
                .mask_shape(shapes, masks)
                .unwrap_or_else(|e| refused(e));
        }
        let weights = layer.weights(shapes).unwrap_or_else(|e| refused(e));
        let params = weights.iter().filter(|w| w.kind == Kind::Trainable);
        let param_lens: Vec<usize> = params.map(|w| w.shape.numel()).collect();
        let state_len = |w: &Weight| match w.kind {
            Kind::Trainable => None,
            Kind::State => Some(w.shape.numel()),
            Kind::Memory => Some(w.shape.numel() * BATCH),
        };
        let state_lens: Vec<usize> = weights.iter().filter_map(state_len).collect();
        let mut rng = Rng::new(17);
        // Both halves of the batch have the same masks, a quarter of which is hidden.
        let masks = masks.iter().map(|mask| {
            let dims = known(mask.as_ref()?);
            let half: Vec<bool> = (0..dims.numel() * BATCH / 2)
                .map(|_| rng.uniform() < 0.75)
                .collect();
            Some((dims, half.repeat(2)))
        });
        let masks = masks.collect();
        let mut random =
            |n: usize, scale: Float| (0..n).map(|_| rng.normal() * scale).collect::<Vec<Float>>();
        Harness {
            layer,
            x: inputs
                .iter()
                .map(|d| random(d.numel() * BATCH, 1.0))
                .collect(),
            dy: outputs
                .iter()
                .map(|d| random(d.numel() * BATCH, 1.0))
                .collect(),
            w: random(param_lens.iter().sum(), 0.5),
            // Moments must be positive.
            state: random(state_lens.iter().sum(), 0.3)
                .iter()
                .map(|s| s.abs() + 0.5)
                .collect(),
            buffers: layer.buffers(&inputs),
            inference_buffers: layer.inference_buffers(&inputs),
            inputs,
            outputs,
            masks,
            param_lens,
            state_lens,
        }
    }

    fn name(&self) -> String {
        format!("{:?} on {:?}", self.layer, self.inputs)
    }

    /// Samples `from..to` of every input.
    fn part(&self, x: &[Vec<Float>], dims: &[Dims], from: usize, to: usize) -> Vec<Vec<Float>> {
        x.iter()
            .zip(dims)
            .map(|(x, d)| x[d.numel() * from..d.numel() * to].to_vec())
            .collect()
    }

    fn in_place(&self) -> bool {
        let sizes = (self.inputs[0].numel(), self.outputs[0].numel());
        self.layer.contract().in_place && sizes.0 == sizes.1
    }

    fn masks(&self, batch: usize) -> Vec<Option<Mask<'_>>> {
        self.masks
            .iter()
            .map(|mask| {
                let (shape, data) = mask.as_ref()?;
                Some(Mask {
                    data: &data[..shape.numel() * batch],
                    shape,
                })
            })
            .collect()
    }

    fn forward(&self, x: &[Vec<Float>], w: &[Float], batch: usize, mode: Mode) -> Run {
        let buffers = match mode {
            Mode::Train => &self.buffers,
            Mode::Infer => &self.inference_buffers,
        };
        let size = |lens: &[Len]| lens.iter().map(|l| l.at(batch)).sum::<usize>();
        let mut run = Run {
            y: self
                .outputs
                .iter()
                .map(|d| vec![Float::NAN; d.numel() * batch])
                .collect(),
            saved: vec![Float::NAN; size(&buffers.saved)],
            saved_index: vec![u32::MAX; size(&buffers.saved_index)],
        };
        let in_place = self.in_place();
        if in_place {
            run.y[0].copy_from_slice(&x[0]);
        }
        let mut scratch = vec![Float::NAN; size(&buffers.scratch)];
        let mut stats = vec![Float::NAN; self.state.len()];
        let hide = |i: usize| in_place && i == 0;
        let views: Vec<View> = x
            .iter()
            .zip(&self.inputs)
            .enumerate()
            .map(|(i, (x, d))| View {
                data: if hide(i) { &[] } else { x },
                shape: d,
                batch,
            })
            .collect();
        let masks = self.masks(batch);
        let mut outputs = run.y.iter_mut().zip(&self.outputs).map(|(y, d)| ViewMut {
            data: y,
            shape: d,
            batch,
        });
        let y = outputs.next().expect("one output at least");
        let mut more: Vec<ViewMut> = outputs.collect();
        self.layer.forward(Forward {
            x: &views,
            w: Weights::new(w, &self.param_lens),
            state: Weights::new(&self.state, &self.state_lens),
            y,
            more: &mut more,
            saved: Slices::scaled(&mut run.saved, &buffers.saved, batch),
            saved_index: Slices::scaled(&mut run.saved_index, &buffers.saved_index, batch),
            scratch: Slices::scaled(&mut scratch, &buffers.scratch, batch),
            stats: Slices::exact(&mut stats, &self.state_lens),
            masks: &masks,
            mode,
            trainable: true,
            rng: Stream::new(5, 6, 7),
            par: Par::Serial,
        });
        for (k, y) in run.y.iter().enumerate() {
            if let Some(i) = y.iter().position(|v| v.is_nan()) {
                panic!(
                    "{}: forward left element {i} of output {k} unwritten (or wrote NaN)",
                    self.name()
                );
            }
        }
        run
    }

    /// Backward on samples whose forward left `run`. `dw` starts at `start`; `wanted` says whether dx and dw are asked for.
    fn backward(
        &self,
        x: &[Vec<Float>],
        run: &Run,
        dy: &[Vec<Float>],
        start: Float,
        accum: Accum,
        wanted: (bool, bool),
    ) -> Grads {
        let batch = dy[0].len() / self.outputs[0].numel().max(1);
        let contract = self.layer.contract();
        let mut run = run.clone();
        let mut x = x.to_vec();
        if !contract.reads_x {
            x.iter_mut().for_each(|x| x.fill(Float::NAN));
        }
        if !contract.reads_y {
            run.y[0].fill(Float::NAN);
        }
        let mut dx: Vec<Vec<Float>> = x.iter().map(|x| vec![Float::NAN; x.len()]).collect();
        let mut dy = dy.to_vec();
        let in_place = self.in_place();
        if in_place {
            dx[0].copy_from_slice(&dy[0]);
            dy[0].clear();
        }
        let mut dw = vec![start; self.w.len()];
        let mut scratch = vec![Float::NAN; self.buffers.scratch.iter().map(|l| l.at(batch)).sum()];
        let views: Vec<View> = x
            .iter()
            .zip(&self.inputs)
            .map(|(x, d)| View {
                data: x,
                shape: d,
                batch,
            })
            .collect();
        let masks = self.masks(batch);
        {
            let mut grads = dy.iter_mut().zip(&self.outputs).map(|(dy, d)| ViewMut {
                data: dy,
                shape: d,
                batch,
            });
            let first = grads.next().expect("one output at least");
            let mut dmore: Vec<ViewMut> = grads.collect();
            let ask = |i: usize| contract.differentiable && (wanted.0 || (in_place && i == 0));
            let mut dx: Vec<Option<ViewMut>> = dx
                .iter_mut()
                .zip(&self.inputs)
                .enumerate()
                .map(|(i, (dx, d))| {
                    ask(i).then_some(ViewMut {
                        data: dx,
                        shape: d,
                        batch,
                    })
                })
                .collect();
            self.layer.backward(Backward {
                x: &views,
                w: Weights::new(&self.w, &self.param_lens),
                state: Weights::new(&self.state, &self.state_lens),
                y: View {
                    data: &run.y[0],
                    shape: &self.outputs[0],
                    batch,
                },
                dy: first,
                dmore: &mut dmore,
                dx: &mut dx,
                dw: (wanted.1 && !self.w.is_empty())
                    .then(|| Slices::exact(&mut dw, &self.param_lens)),
                accum,
                saved: Slices::scaled(&mut run.saved, &self.buffers.saved, batch),
                saved_index: Slices::scaled(&mut run.saved_index, &self.buffers.saved_index, batch),
                scratch: Slices::scaled(&mut scratch, &self.buffers.scratch, batch),
                masks: &masks,
                trainable: true,
                rng: Stream::new(5, 6, 7),
                par: Par::Serial,
            });
        }
        Grads { dx, dw }
    }

    fn check_config(&self) {
        let (class, config) = (self.layer.class_name(), self.layer.config());
        let read = |config| crate::layers::of_module(self.layer.module(), class, config);
        let Some(again) = read(&config) else {
            return;
        };
        let again = again
            .unwrap_or_else(|e| panic!("{}: its own configuration is refused: {e}", self.name()));
        assert_eq!(
            again.config(),
            config,
            "{}: the configuration changes in a round trip",
            self.name()
        );
        let mut unknown = config.clone();
        unknown.insert("no_such_argument".into(), true.into());
        let refused = read(&unknown).is_some_and(|r| r.is_err());
        assert!(refused, "{}: an unknown argument is accepted", self.name());
    }

    fn check_shapes(&self, inputs: &[Shape]) {
        // Where an axis is unknown, the output may be refused or unknown, but never another size.
        for (i, input) in inputs.iter().enumerate() {
            for axis in 0..input.rank() {
                let mut dims = input.dims().to_vec();
                dims[axis] = None;
                let mut unknown = inputs.to_vec();
                unknown[i] = dims.into();
                let Ok(shape) = self.layer.output_shape(&unknown) else {
                    continue;
                };
                assert!(
                    shape.accepts(&self.outputs[0]),
                    "{}: {unknown:?} gives {shape}",
                    self.name()
                );
            }
        }
    }

    fn check_gradients(&self) {
        let run = self.forward(&self.x, &self.w, BATCH, Mode::Train);
        let replaces = self.layer.contract().overwrites_dw;
        let grads = self.backward(&self.x, &run, &self.dy, 1.0, Accum::Add, (true, true));
        for (i, dx) in grads
            .dx
            .iter()
            .enumerate()
            .filter(|_| self.layer.contract().differentiable)
        {
            assert!(
                !dx.iter().any(|v| v.is_nan()),
                "{}: backward left some of dx[{i}] unwritten (or wrote NaN)",
                self.name()
            );
            self.compare(&format!("dx[{i}]"), dx, |at, by| {
                let mut x = self.x.clone();
                x[i][at] += by;
                self.weighted(&x, &self.w)
            });
        }
        let dw: Vec<Float> = grads.dw.iter().map(|g| g - 1.0).collect();
        self.compare("dw (added to 1)", &dw, |at, by| {
            let mut w = self.w.clone();
            w[at] += by;
            self.weighted(&self.x, &w)
        });
        if replaces {
            let fresh = self.backward(
                &self.x,
                &run,
                &self.dy,
                Float::NAN,
                Accum::Replace,
                (true, true),
            );
            self.close("dw with Accum::Replace", &fresh.dw, &dw, 1e-4);
        }
    }

    /// `sum dy * y`, in double precision.
    fn weighted(&self, x: &[Vec<Float>], w: &[Float]) -> f64 {
        let run = self.forward(x, w, BATCH, Mode::Train);
        run.y
            .iter()
            .flatten()
            .zip(self.dy.iter().flatten())
            .map(|(y, d)| f64::from(*y) * f64::from(*d))
            .sum()
    }

    fn compare(&self, what: &str, grad: &[Float], value: impl Fn(usize, Float) -> f64) {
        let (h, tolerance): (Float, f64) = if size_of::<Float>() == 8 {
            (1e-5, 1e-6)
        } else {
            (4e-3, 1e-2)
        };
        if grad.is_empty() {
            return;
        }
        let here = value(0, 0.0);
        let mut kinks = 0;
        for (i, g) in grad.iter().enumerate() {
            let (up, down) = (value(i, h), value(i, -h));
            let numeric = (up - down) / f64::from(2.0 * h);
            let (right, left) = ((up - here) / f64::from(h), (here - down) / f64::from(h));
            if (numeric - f64::from(*g)).abs() <= tolerance * (1.0 + numeric.abs()) {
                continue;
            }
            // A kink within reach: the gradient is that of one side.
            let one_sided = [right, left]
                .iter()
                .any(|d| (d - f64::from(*g)).abs() <= 5.0 * tolerance * (1.0 + d.abs()));
            assert!(
                one_sided && (right - left).abs() > tolerance,
                "{}: {what}[{i}] is {g}, differences say {numeric} ({left} | {right})",
                self.name()
            );
            kinks += 1;
        }
        assert!(
            kinks * 4 <= grad.len().max(4),
            "{}: {what}: {kinks} kinks in {}",
            self.name(),
            grad.len()
        );
    }

    fn check_contract(&self) {
        // `backward` above saw NaN in place of what it does not read; here it must also not depend on the scratch of forward.
        let run = self.forward(&self.x, &self.w, BATCH, Mode::Train);
        let a = self.backward(&self.x, &run, &self.dy, 0.0, Accum::Add, (true, true));
        let b = self.backward(&self.x, &run, &self.dy, 0.0, Accum::Add, (true, true));
        assert_eq!(a.dw, b.dw, "{}: two backward calls differ", self.name());
        if self.layer.contract().differentiable {
            assert_eq!(a.dx, b.dx, "{}: two backward calls differ", self.name());
        }
    }

    fn check_optional_gradients(&self) {
        let run = self.forward(&self.x, &self.w, BATCH, Mode::Train);
        let all = self.backward(&self.x, &run, &self.dy, 0.0, Accum::Add, (true, true));
        let no_dx = self.backward(&self.x, &run, &self.dy, 0.0, Accum::Add, (false, true));
        let no_dw = self.backward(&self.x, &run, &self.dy, 0.0, Accum::Add, (true, false));
        assert_eq!(
            all.dw,
            no_dx.dw,
            "{}: dw depends on whether dx is asked for",
            self.name()
        );
        if self.layer.contract().differentiable {
            assert_eq!(
                all.dx,
                no_dw.dx,
                "{}: dx depends on whether dw is asked for",
                self.name()
            );
        }
    }

    fn check_halves(&self) {
        // Random masks are drawn by position in the batch: compare in inference, and gradients only where nothing is random.
        if self.layer.contract().batch_coupled {
            return;
        }
        let whole = self.forward(&self.x, &self.w, BATCH, Mode::Infer);
        let half = BATCH / 2;
        for (from, to) in [(0, half), (half, BATCH)] {
            let part = self.forward(
                &self.part(&self.x, &self.inputs, from, to),
                &self.w,
                to - from,
                Mode::Infer,
            );
            let want = self.part(&whole.y, &self.outputs, from, to);
            for (got, want) in part.y.iter().zip(&want) {
                self.close("half a batch", got, want, 1e-5);
            }
        }
    }

    fn check_repeats(&self, mode: Mode) {
        let (a, b) = (
            self.forward(&self.x, &self.w, BATCH, mode),
            self.forward(&self.x, &self.w, BATCH, mode),
        );
        assert_eq!(a.y, b.y, "{}: two forward calls differ", self.name());
    }

    fn close(&self, what: &str, got: &[Float], want: &[Float], tolerance: Float) {
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            assert!(
                (g - w).abs() <= tolerance * (1.0 + w.abs()),
                "{}: {what}: element {i} is {g} instead of {w}",
                self.name()
            );
        }
    }
}
