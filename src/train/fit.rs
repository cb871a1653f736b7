//! `fit`: epochs of shuffled batches, validation, callbacks, history.

use super::step::{Batch, Step, Trainer};
use super::update;
use crate::callbacks::progress::Progress;
use crate::callbacks::{Callback, History, Logs, TrainContext, Verbose};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::parallel::{Par, with_threads};
use crate::models::Model;
use crate::random::Rng;
use crate::shape::Dims;
use crate::tensor::{Arrays, IntoArrays, Tensor};

/// How to train; see [`Model::fit`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `epochs` | 1 | passes over the data |
/// | `batch_size` | 32 | samples a step |
/// | `shuffle` | true | a new order every epoch |
/// | `validation` | none | data measured after every epoch |
/// | `validation_split` | 0 | the last fraction of the data, taken before shuffling, as Keras does |
/// | `sample_weight` | none | factor on the loss of each sample (or position) |
/// | `verbose` | `Auto` | [`Verbose`], or Keras's 0, 1, 2 |
/// | `callback` | none | may be given several times |
/// | `initial_epoch` | 0 | number of the first epoch, for going on |
/// | `check_finite` | false | refuse data with NaN or infinity before training |
/// | `stop_on_nan` | true | a loss that is not finite is an error that names the first place |
pub struct Fit<'a> {
    epochs: usize,
    batch_size: usize,
    shuffle: bool,
    validation: Option<Result<(Arrays<'a>, Arrays<'a>)>>,
    validation_split: f64,
    sample_weight: Option<Result<Arrays<'a>>>,
    verbose: Verbose,
    callbacks: Vec<Box<dyn Callback + 'a>>,
    initial_epoch: usize,
    check_finite: bool,
    stop_on_nan: bool,
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Fit::epochs(1)
    }
}

impl<'a> Fit<'a> {
    /// So many passes over the data.
    pub fn epochs(epochs: usize) -> Self {
        Fit {
            epochs,
            batch_size: 32,
            shuffle: true,
            validation: None,
            validation_split: 0.0,
            sample_weight: None,
            verbose: Verbose::Auto,
            callbacks: Vec::new(),
            initial_epoch: 0,
            check_finite: false,
            stop_on_nan: true,
        }
    }

    /// Samples a step.
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = size;
        self
    }

    /// Whether every epoch has an order of its own.
    pub fn shuffle(mut self, yes: bool) -> Self {
        self.shuffle = yes;
        self
    }

    /// Data to measure after every epoch.
    pub fn validation(mut self, x: impl IntoArrays<'a>, y: impl IntoArrays<'a>) -> Self {
        self.validation = Some(x.into_arrays().and_then(|x| Ok((x, y.into_arrays()?))));
        self
    }

    /// Takes the last fraction of the data, before shuffling, for validation.
    pub fn validation_split(mut self, fraction: f64) -> Self {
        self.validation_split = fraction;
        self
    }

    /// Factor on the loss of every sample (`[n]`) or position (`[n, steps]`).
    pub fn sample_weight(mut self, weight: impl IntoArrays<'a>) -> Self {
        self.sample_weight = Some(weight.into_arrays());
        self
    }

    /// How much to print: 0, 1, 2 or a [`Verbose`].
    pub fn verbose(mut self, verbose: impl Into<Verbose>) -> Self {
        self.verbose = verbose.into();
        self
    }

    /// Adds a callback: by value, or `&mut` to look at it afterwards.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Number of the first epoch.
    pub fn initial_epoch(mut self, epoch: usize) -> Self {
        self.initial_epoch = epoch;
        self
    }

    /// Refuse data that holds NaN or infinity.
    pub fn check_finite(mut self, yes: bool) -> Self {
        self.check_finite = yes;
        self
    }

    /// Whether a loss that is not finite ends the training with an error.
    pub fn stop_on_nan(mut self, yes: bool) -> Self {
        self.stop_on_nan = yes;
        self
    }
}

/// Checked data: inputs, targets and weights with the same number of samples.
#[derive(Debug)]
pub(crate) struct Samples<'a> {
    pub x: Arrays<'a>,
    pub y: Arrays<'a>,
    pub weights: Option<Arrays<'a>>,
}

impl<'a> Samples<'a> {
    pub fn new(x: Arrays<'a>, y: Arrays<'a>, weights: Option<Arrays<'a>>) -> Result<Self> {
        let n = x.tensors()[0].batch();
        if n == 0 {
            return Err(Error::data("x", "there are no samples"));
        }
        let parts = [
            ("x", Some(&x)),
            ("y", Some(&y)),
            ("sample_weight", weights.as_ref()),
        ];
        for (what, arrays) in parts
            .into_iter()
            .filter_map(|(what, a)| a.map(|a| (what, a)))
        {
            if let Some(t) = arrays.tensors().iter().find(|t| t.batch() != n) {
                return Err(Error::shape(format!("{n} samples as in x"), t.batch()).owned_by(what));
            }
        }
        Ok(Samples { x, y, weights })
    }

    pub fn len(&self) -> usize {
        self.x.tensors()[0].batch()
    }

    fn check_finite(&self) -> Result<()> {
        for (what, arrays) in [("x", &self.x), ("y", &self.y)] {
            for tensor in arrays.tensors() {
                let width = tensor.sample().numel().max(1);
                if let Some(i) = tensor.data().iter().position(|v| !v.is_finite()) {
                    return Err(Error::data(
                        what,
                        format!("sample {} holds {}", i / width, tensor.data()[i]),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The first samples and the last `fraction` of them.
    fn split(&'a self, fraction: f64) -> Result<(Samples<'a>, Samples<'a>)> {
        let n = self.len();
        let middle = (n as f64 * (1.0 - fraction)).floor() as usize;
        if middle == 0 || middle == n {
            let got = format!("{fraction} of {n} samples");
            return Err(
                Error::arg("validation_split", "samples on both sides", got).owned_by("fit")
            );
        }
        let part = |a: &'a Arrays<'_>, start, end| {
            Arrays::many(a.tensors().iter().map(|t| t.slice(start, end)).collect())
        };
        let half = |start, end| Samples {
            x: part(&self.x, start, end),
            y: part(&self.y, start, end),
            weights: self.weights.as_ref().map(|w| part(w, start, end)),
        };
        Ok((half(0, middle), half(middle, n)))
    }

    pub fn dims(arrays: &Arrays<'_>) -> Vec<Dims> {
        arrays.tensors().iter().map(Tensor::sample).collect()
    }
}

/// Copies the samples of one batch together.
#[derive(Debug)]
pub(crate) struct Gather {
    buffers: [Vec<Vec<Float>>; 3],
    dims: Vec<Dims>,
}

impl Gather {
    pub fn new(data: &Samples<'_>, batch_size: usize) -> Self {
        let room = |a: &Arrays<'_>| {
            a.tensors()
                .iter()
                .map(|t| Vec::with_capacity(t.sample().numel() * batch_size))
                .collect()
        };
        Gather {
            buffers: [
                room(&data.x),
                room(&data.y),
                data.weights.as_ref().map(room).unwrap_or_default(),
            ],
            dims: Samples::dims(&data.x),
        }
    }

    /// Calls `f` with the samples of these indices.
    pub fn with<R>(
        &mut self,
        data: &Samples<'_>,
        indices: &[u32],
        f: impl FnOnce(Batch<'_>) -> R,
    ) -> R {
        let parts = [Some(&data.x), Some(&data.y), data.weights.as_ref()];
        for (buffers, arrays) in self.buffers.iter_mut().zip(parts) {
            for (buffer, tensor) in buffers
                .iter_mut()
                .zip(arrays.iter().flat_map(|a| a.tensors()))
            {
                let width = tensor.data().len() / tensor.batch().max(1);
                buffer.clear();
                indices.iter().for_each(|&i| {
                    buffer.extend_from_slice(&tensor.data()[i as usize * width..][..width])
                });
            }
        }
        let [x, y, w] = &self.buffers;
        with_slices(x, |x| {
            with_slices(y, |y| {
                with_slices(w, |weights| {
                    f(Batch {
                        x,
                        x_dims: &self.dims,
                        y,
                        weights,
                        size: indices.len(),
                    })
                })
            })
        })
    }
}

/// A list of slices without allocating for up to four.
fn with_slices<V: AsRef<[Float]>, R>(list: &[V], f: impl FnOnce(&[&[Float]]) -> R) -> R {
    const INLINE: usize = 4;
    if list.len() <= INLINE {
        let slices: [&[Float]; INLINE] =
            std::array::from_fn(|i| list.get(i).map_or(&[][..], |v| v.as_ref()));
        f(&slices[..list.len()])
    } else {
        f(&list.iter().map(|v| v.as_ref()).collect::<Vec<_>>())
    }
}

/// Multiplications in a step below which threads are not worth their waking.
pub(crate) const WORTH_THREADS: usize = 1 << 20;

impl Model {
    /// Trains for a number of epochs and returns what was measured.
    ///
    /// Targets have the shape of the output (class ids for sparse losses may lack the last axis): `[n]` against `[n, 1]` is an
    /// error that says how to mend it, never a silent broadcast.
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// use ndarray::Array2;
    ///
    /// // y = 2 x + 1
    /// let x = Array2::from_shape_fn((100, 1), |(i, _)| i as f32 / 50.0 - 1.0);
    /// let y = x.mapv(|x| 2.0 * x + 1.0);
    /// let mut model = Sequential::new().seed(0).input([1]).add(Dense::new(1));
    /// model.compile(Sgd::new(0.1), MeanSquaredError::default(), ["mae"])?;
    /// let history = model.fit(&x, &y, Fit::epochs(50).batch_size(20).validation_split(0.2).verbose(0))?;
    /// assert!(history.last("val_mae").unwrap() < 0.01);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the model is not compiled, shapes do not fit, there is no data, a target is out of range, a split leaves nothing, a
    /// callback fails, or the loss is not finite. The model keeps the weights it had then.
    pub fn fit<'a>(
        &mut self,
        x: impl IntoArrays<'a>,
        y: impl IntoArrays<'a>,
        fit: Fit<'a>,
    ) -> Result<History> {
        self.compiled("fit")?;
        let weights = fit.sample_weight.transpose()?;
        let (x, y) = (x.into_arrays()?, y.into_arrays()?);
        let (first, count) = (x.tensors()[0].sample(), x.tensors().len());
        if !self.built && count == 1 {
            self.build(first)?;
        }
        self.require_built("fit")?;
        let data = Samples::new(self.check_inputs(x, "x")?, y, weights)?;
        if fit.batch_size == 0 {
            return Err(Error::arg("batch_size", "a positive number", 0).owned_by("fit"));
        }
        if !(0.0..1.0).contains(&fit.validation_split) {
            return Err(Error::arg(
                "validation_split",
                "a fraction in [0, 1)",
                fit.validation_split,
            )
            .owned_by("fit"));
        }
        if fit.check_finite {
            data.check_finite()?;
        }
        let split = if fit.validation.is_none() && fit.validation_split > 0.0 {
            Some(data.split(fit.validation_split)?)
        } else {
            None
        };
        let given = match fit.validation {
            Some(pair) => {
                let (x, y) = pair?;
                Some(Samples::new(
                    self.check_inputs(x, "validation x")?,
                    y,
                    None,
                )?)
            }
            None => None,
        };
        let (train, validation) = match &split {
            Some((train, validation)) => (train, Some(validation)),
            None => (&data, given.as_ref()),
        };
        let mut trainer = self.take_trainer(&Samples::dims(&train.y))?;
        let options = Options {
            epochs: fit.epochs,
            initial_epoch: fit.initial_epoch,
            batch_size: fit.batch_size,
            shuffle: fit.shuffle,
            verbose: fit.verbose,
            stop_on_nan: fit.stop_on_nan,
        };
        let mut callbacks = fit.callbacks;
        let threads = self.threads;
        let result = self.check_data(&trainer, train, validation).and_then(|()| {
            let work = trainer.work(&Samples::dims(&train.x), fit.batch_size.min(train.len()))?;
            let mut run = |par| {
                self.run_epochs(
                    &mut trainer,
                    train,
                    validation,
                    &options,
                    &mut callbacks,
                    par,
                )
            };
            if work >= WORTH_THREADS {
                with_threads(threads, run)
            } else {
                run(Par::Serial)
            }
        });
        self.trainer = Some(trainer);
        result
    }

    /// The trainer for targets of these shapes: the kept one, or a new one.
    pub(crate) fn take_trainer(&mut self, targets: &[Dims]) -> Result<Box<Trainer>> {
        match self.trainer.take() {
            Some(trainer) if trainer.fits(targets) => Ok(trainer),
            _ => Ok(Box::new(Trainer::new(
                self,
                self.compiled("fit")?,
                targets,
            )?)),
        }
    }

    fn check_data(
        &self,
        trainer: &Trainer,
        train: &Samples<'_>,
        validation: Option<&Samples<'_>>,
    ) -> Result<()> {
        for data in [Some(train), validation].into_iter().flatten() {
            if Samples::dims(&data.y) != Samples::dims(&train.y) {
                let (want, got) = (
                    format!("{:?}", Samples::dims(&train.y)),
                    format!("{:?}", Samples::dims(&data.y)),
                );
                return Err(
                    Error::shape(format!("targets of shape {want} as in training"), got)
                        .owned_by("validation y"),
                );
            }
            trainer.check_targets(data.y.tensors())?;
            check_weights(trainer, data, self.graph.outputs.len())?;
        }
        Ok(())
    }
}

/// What of [`Fit`] the epochs need.
struct Options {
    epochs: usize,
    initial_epoch: usize,
    batch_size: usize,
    shuffle: bool,
    verbose: Verbose,
    stop_on_nan: bool,
}

impl Model {
    fn run_epochs(
        &mut self,
        trainer: &mut Trainer,
        train: &Samples<'_>,
        validation: Option<&Samples<'_>>,
        options: &Options,
        callbacks: &mut [Box<dyn Callback + '_>],
        par: Par,
    ) -> Result<History> {
        let mut history = History::default();
        let steps = train.len().div_ceil(options.batch_size);
        let verbose = options.verbose.into();
        let mut cx = TrainContext {
            model: self,
            epochs: options.epochs,
            steps,
            verbose,
            stop: false,
        };
        let mut result = callbacks
            .iter_mut()
            .try_for_each(|c| c.on_train_begin(&mut cx));
        if result.is_ok() {
            let mut epochs = Epochs {
                gather: Gather::new(train, options.batch_size),
                validate: validation.map(|v| Gather::new(v, options.batch_size)),
                order: (0..train.len() as u32).collect(),
                progress: Progress::new(options.verbose, steps),
                logs: Logs::default(),
            };
            for epoch in options.initial_epoch..options.epochs {
                result = epochs.run(
                    epoch, trainer, train, validation, options, callbacks, &mut cx, par,
                );
                if result.is_err() {
                    break;
                }
                history.push(epoch, &epochs.logs);
                if cx.stop {
                    break;
                }
            }
        }
        if let Some(compiled) = &cx.model.compiled {
            update::finalize(
                compiled.optimizer.common(),
                &compiled.state,
                &mut cx.model.weights,
            );
        }
        for callback in callbacks.iter_mut() {
            let ended = callback.on_train_end(&mut cx);
            result = result.and(ended);
        }
        result.map(|()| history)
    }
}

/// What is kept from epoch to epoch.
struct Epochs {
    gather: Gather,
    validate: Option<Gather>,
    order: Vec<u32>,
    progress: Progress,
    logs: Logs,
}

impl Epochs {
    fn run(
        &mut self,
        epoch: usize,
        trainer: &mut Trainer,
        train: &Samples<'_>,
        validation: Option<&Samples<'_>>,
        options: &Options,
        callbacks: &mut [Box<dyn Callback + '_>],
        cx: &mut TrainContext<'_>,
        par: Par,
    ) -> Result<()> {
        self.progress.begin(epoch, options.epochs);
        callbacks
            .iter_mut()
            .try_for_each(|c| c.on_epoch_begin(epoch, cx))?;
        if options.shuffle {
            self.order.iter_mut().zip(0..).for_each(|(o, i)| *o = i);
            Rng::new(
                cx.model
                    .seed
                    .wrapping_add(epoch as u64)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15),
            )
            .shuffle(&mut self.order);
        }
        trainer.reset();
        let wanted = callbacks.iter().any(|c| c.wants_batches());
        for (b, indices) in self.order.chunks(options.batch_size).enumerate() {
            self.gather.with(train, indices, |batch| {
                train_batch(trainer, batch, cx.model, epoch, b, options.stop_on_nan, par)
            })?;
            if wanted || self.progress.due() {
                collect(trainer, "", &mut self.logs);
                for callback in callbacks.iter_mut().filter(|c| c.wants_batches()) {
                    callback.on_batch_end(b, &self.logs, cx)?;
                }
                if self.progress.due() {
                    self.progress.update(b + 1, &self.logs);
                }
            }
            if cx.stop {
                break;
            }
        }
        self.logs.clear();
        collect(trainer, "", &mut self.logs);
        if let (Some(data), Some(gather)) = (validation, &mut self.validate) {
            trainer.reset();
            test_all(trainer, data, gather, options.batch_size, cx.model, par)?;
            collect(trainer, "val_", &mut self.logs);
        }
        callbacks
            .iter_mut()
            .try_for_each(|c| c.on_epoch_end(epoch, &mut self.logs, cx))?;
        self.progress.end(epoch, options.epochs, &self.logs);
        Ok(())
    }
}

/// What usually helps against a loss that is not finite.
const NAN_HINT: &str =
    "a smaller learning rate, `clipnorm`, or data without NaN and of moderate size usually helps";

pub(crate) fn train_batch(
    trainer: &mut Trainer,
    batch: Batch<'_>,
    model: &mut Model,
    epoch: usize,
    number: usize,
    stop_on_nan: bool,
    par: Par,
) -> Result<f64> {
    let compiled = model
        .compiled
        .as_mut()
        .ok_or(Error::NotCompiled { call: "fit" })?;
    let loss = trainer.train(
        batch,
        Step {
            weights: &mut model.weights,
            compiled,
            seed: model.seed,
            par,
        },
    )?;
    if stop_on_nan && !loss.is_finite() {
        let place = trainer.first_non_finite(&batch, &model.weights);
        return Err(Error::NonFinite {
            place,
            epoch,
            batch: number,
            hint: NAN_HINT,
        });
    }
    Ok(loss)
}

/// Measures all samples in order.
pub(crate) fn test_all(
    trainer: &mut Trainer,
    data: &Samples<'_>,
    gather: &mut Gather,
    batch_size: usize,
    model: &Model,
    par: Par,
) -> Result<()> {
    let mut indices = [0u32; 256];
    let mut start = 0;
    while start < data.len() {
        let end = (start + batch_size).min(data.len());
        if end - start <= indices.len() {
            indices
                .iter_mut()
                .zip(start as u32..end as u32)
                .for_each(|(slot, i)| *slot = i);
            gather.with(data, &indices[..end - start], |batch| {
                trainer.test(batch, &model.weights, par)
            })?;
        } else {
            let indices: Vec<u32> = (start as u32..end as u32).collect();
            gather.with(data, &indices, |batch| {
                trainer.test(batch, &model.weights, par)
            })?;
        }
        start = end;
    }
    Ok(())
}

pub(crate) fn collect(trainer: &Trainer, prefix: &str, logs: &mut Logs) {
    trainer.results(|name, value| match prefix {
        "" => logs.set(name, value),
        _ => logs.set(&format!("{prefix}{name}"), value),
    });
}

/// Weights must be one a sample or one a position of their output.
pub(crate) fn check_weights(trainer: &Trainer, data: &Samples<'_>, outputs: usize) -> Result<()> {
    let Some(weights) = &data.weights else {
        return Ok(());
    };
    if weights.tensors().len() != outputs {
        return Err(Error::shape(
            format!("{outputs} arrays, one an output"),
            weights.tensors().len(),
        )
        .owned_by("sample_weight"));
    }
    for (i, tensor) in weights.tensors().iter().enumerate() {
        let each = tensor.sample().numel();
        let positions = trainer.positions(i, &Samples::dims(&data.x))?;
        if each != 1 && each != positions {
            let got = format!("shape {:?}", tensor.dims());
            return Err(Error::shape(
                format!("one number a sample, or {positions} a sample (one a position)"),
                got,
            )
            .owned_by("sample_weight"));
        }
        if let Some(w) = tensor.data().iter().find(|w| !w.is_finite()) {
            return Err(Error::data("sample_weight", format!("holds {w}")));
        }
    }
    Ok(())
}
