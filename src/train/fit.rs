//! `fit`: epochs of shuffled batches, validation, callbacks, history.

use super::class_weight::{Classes, one_class_only, sample_weights};
use super::compile::PerOutput;
use super::feed::{ArrayFeed, Feed, StreamFeed};
use super::samples::{Samples, check_weights};
use super::step::Trainer;
use crate::callbacks::progress::warn;
use crate::callbacks::{Callback, History, Verbose};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::kernels::parallel::{Par, with_threads};
use crate::models::Model;
use crate::shape::Dims;
use crate::tensor::{Arrays, IntoArrays};

/// How to train; see [`Model::fit`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `epochs` | 1 | passes over the data |
/// | `batch_size` | 32 | samples a step |
/// | `shuffle` | true | a new order every epoch |
/// | `validation` | none | data measured after every epoch |
/// | `validation_dataset` | none | the same, from a [`Dataset`] |
/// | `validation_split` | 0 | the last fraction of the data, taken before shuffling, as Keras does |
/// | `validation_batch_size` | `batch_size` | samples a step of the validation |
/// | `validation_steps` | all | batches of the validation data that are measured |
/// | `validation_freq` | 1 | validate after every so many epochs, or after those listed (counted from 1) |
/// | `validation_sample_weight` | none | factor on the validation loss of each sample (or position) |
/// | `sample_weight` | none | factor on the loss of each sample (or position) |
/// | `class_weight` | none | factor on the loss of the samples of each class |
/// | `steps_per_epoch` | all | batches an epoch; the next epoch goes on where it ended |
/// | `verbose` | `Auto` | [`Verbose`], or Keras's 0, 1, 2 |
/// | `callback` | none | may be given several times |
/// | `initial_epoch` | 0 | number of the first epoch, for going on |
/// | `check_finite` | false | refuse data with NaN or infinity before training |
/// | `stop_on_nan` | true | a loss that is not finite is an error that names the first place |
pub struct Fit<'a> {
    pub(super) epochs: usize,
    pub(super) batch_size: Option<usize>,
    pub(super) steps_per_epoch: Option<usize>,
    pub(super) shuffle: bool,
    pub(super) validation: Option<Result<(Arrays<'a>, Arrays<'a>)>>,
    pub(super) validation_dataset: Option<Box<dyn Dataset + 'a>>,
    pub(super) validation_split: f64,
    pub(super) validation_batch_size: Option<usize>,
    pub(super) validation_steps: Option<usize>,
    pub(super) validation_freq: ValidationFreq,
    pub(super) validation_sample_weight: Option<Result<Arrays<'a>>>,
    pub(super) sample_weight: Option<Result<Arrays<'a>>>,
    pub(super) class_weight: Option<PerOutput<Classes>>,
    pub(super) verbose: Verbose,
    pub(super) callbacks: Vec<Box<dyn Callback + 'a>>,
    pub(super) initial_epoch: usize,
    pub(super) check_finite: bool,
    pub(super) stop_on_nan: bool,
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
            batch_size: None,
            steps_per_epoch: None,
            shuffle: true,
            validation: None,
            validation_dataset: None,
            validation_split: 0.0,
            validation_batch_size: None,
            validation_steps: None,
            validation_freq: ValidationFreq::default(),
            validation_sample_weight: None,
            sample_weight: None,
            class_weight: None,
            verbose: Verbose::Auto,
            callbacks: Vec::new(),
            initial_epoch: 0,
            check_finite: false,
            stop_on_nan: true,
        }
    }

    /// Samples a step.
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = Some(size);
        self
    }

    /// Batches an epoch, where that is not one pass over the data: the next epoch goes on where this one ends. Arrays that end also
    /// end the epoch, as in Keras, and the next one begins anew; a pass over a dataset that is over is followed by another.
    pub fn steps_per_epoch(mut self, steps: usize) -> Self {
        self.steps_per_epoch = Some(steps);
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

    /// A dataset to measure after every epoch: by value, or `&mut`.
    pub fn validation_dataset(mut self, dataset: impl Dataset + 'a) -> Self {
        self.validation_dataset = Some(Box::new(dataset));
        self
    }

    /// Takes the last fraction of the data, before shuffling, for validation.
    pub fn validation_split(mut self, fraction: f64) -> Self {
        self.validation_split = fraction;
        self
    }

    /// Samples a step of the validation; the results do not depend on it beyond rounding.
    pub fn validation_batch_size(mut self, size: usize) -> Self {
        self.validation_batch_size = Some(size);
        self
    }

    /// How many batches of the validation data are measured, always the first ones.
    pub fn validation_steps(mut self, batches: usize) -> Self {
        self.validation_steps = Some(batches);
        self
    }

    /// When to validate: after every so many epochs, or after those in a list (counted from 1).
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().input([1]).add(Dense::new(1));
    /// model.compile("sgd", "mse", ())?;
    /// let (x, y) = ([[1.0f32]], [[1.0f32]]);
    /// let history = model.fit(&x, &y, Fit::epochs(4).validation(&x, &y).validation_freq(2).verbose(0))?;
    /// let validated: Vec<bool> = history.get("val_loss").unwrap().iter().map(|v| !v.is_nan()).collect();
    /// assert_eq!(validated, [false, true, false, true]);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    pub fn validation_freq(mut self, freq: impl Into<ValidationFreq>) -> Self {
        self.validation_freq = freq.into();
        self
    }

    /// Factor on the loss of every sample (`[n]`) or position (`[n, steps]`).
    pub fn sample_weight(mut self, weight: impl IntoArrays<'a>) -> Self {
        self.sample_weight = Some(weight.into_arrays());
        self
    }

    /// The same for the data of [`validation`](Self::validation).
    pub fn validation_sample_weight(mut self, weight: impl IntoArrays<'a>) -> Self {
        self.validation_sample_weight = Some(weight.into_arrays());
        self
    }

    /// Factor on the loss (and on weighted metrics) of the samples of each class; 1 for classes that are not listed. The class of
    /// a target is its id, or the place of the largest of a one-hot target. Validation data have no such weights.
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().seed(0).input([1]).add(Dense::new(1).activation("sigmoid"));
    /// model.compile("sgd", "binary_crossentropy", ())?;
    /// let (x, y) = ([[0.0f32], [1.0], [2.0], [3.0]], [[0.0f32], [0.0], [0.0], [1.0]]);
    /// model.fit(&x, &y, Fit::epochs(1).class_weight([(0, 0.5), (1, 1.5)]).verbose(0))?;
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    pub fn class_weight(mut self, weights: impl Into<Vec<(i64, f64)>>) -> Self {
        self.class_weight = Some(PerOutput::All(weights.into()));
        self
    }

    /// The same for the output of this name, in models with several.
    pub fn class_weight_of(mut self, output: &str, weights: impl Into<Vec<(i64, f64)>>) -> Self {
        let mut named = match self.class_weight.take() {
            Some(PerOutput::Named(named)) => named,
            _ => Vec::new(),
        };
        named.push((output.into(), weights.into()));
        self.class_weight = Some(PerOutput::Named(named));
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

    /// Refuses numbers of samples and batches that are 0.
    pub(super) fn check_counts(&self) -> Result<()> {
        let counts = [
            ("batch_size", self.batch_size),
            ("steps_per_epoch", self.steps_per_epoch),
            ("validation_batch_size", self.validation_batch_size),
            ("validation_steps", self.validation_steps),
            ("validation_freq", self.validation_freq.every()),
        ];
        match counts.iter().find(|(_, n)| *n == Some(0)) {
            Some((arg, _)) => Err(Error::arg(*arg, "a positive number", 0).owned_by("fit")),
            None => Ok(()),
        }
    }
}

/// When [`Fit`] validates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidationFreq {
    /// After every so many epochs.
    Every(usize),
    /// After these epochs, counted from 1.
    Epochs(Vec<usize>),
}

impl Default for ValidationFreq {
    fn default() -> Self {
        ValidationFreq::Every(1)
    }
}

impl From<usize> for ValidationFreq {
    fn from(epochs: usize) -> Self {
        ValidationFreq::Every(epochs)
    }
}

impl<const N: usize> From<[usize; N]> for ValidationFreq {
    fn from(epochs: [usize; N]) -> Self {
        ValidationFreq::Epochs(epochs.into())
    }
}

impl From<Vec<usize>> for ValidationFreq {
    fn from(epochs: Vec<usize>) -> Self {
        ValidationFreq::Epochs(epochs)
    }
}

impl ValidationFreq {
    fn every(&self) -> Option<usize> {
        match self {
            ValidationFreq::Every(n) => Some(*n),
            ValidationFreq::Epochs(_) => None,
        }
    }

    /// Whether to validate after this epoch, counted from 0.
    pub(super) fn includes(&self, epoch: usize) -> bool {
        match self {
            ValidationFreq::Every(n) => (epoch + 1).is_multiple_of(*n),
            ValidationFreq::Epochs(list) => list.contains(&(epoch + 1)),
        }
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
        mut fit: Fit<'a>,
    ) -> Result<History> {
        self.compiled("fit")?;
        let weights = fit.sample_weight.take().transpose()?;
        let (x, y) = (x.into_arrays()?, y.into_arrays()?);
        let (first, count) = (x.tensors()[0].sample(), x.tensors().len());
        if !self.built && count == 1 {
            self.build(first)?;
        }
        self.require_built("fit")?;
        let weights = weights
            .map(|w| self.order_outputs(w, "sample_weight"))
            .transpose()?;
        let y = self.order_outputs(y, "y")?;
        let by_class = match &fit.class_weight {
            None => None,
            Some(_) if weights.is_some() => {
                let want = "one of `class_weight` and `sample_weight`";
                return Err(Error::arg("class_weight", want, "both").owned_by("fit"));
            }
            Some(classes) => Some(sample_weights(classes, &y, &self.output_names())?),
        };
        let only_training = by_class.is_some();
        let data = Samples::new(self.check_inputs(x, "x")?, y, by_class.or(weights))?;
        fit.check_counts()?;
        let batch_size = fit.batch_size.unwrap_or(32);
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
        let alone = fit.validation.is_none() && fit.validation_dataset.is_none();
        let split = if alone && fit.validation_split > 0.0 {
            let (train, mut validation) = data.split(fit.validation_split)?;
            if only_training {
                validation.weights = None;
            }
            if let Some(line) = one_class_only(&train, &validation) {
                warn(fit.verbose, &line);
            }
            Some((train, validation))
        } else {
            None
        };
        let given =
            self.validation_arrays(fit.validation.take(), fit.validation_sample_weight.take())?;
        let (train, validation) = match &split {
            Some((train, validation)) => (train, Some(validation)),
            None => (&data, given.as_ref()),
        };
        self.check_stateful("fit", batch_size.min(train.len()), train.len())?;
        if let Some(data) = validation {
            self.check_validation(&fit, batch_size, data.len())?;
        }
        let batches = train.len().div_ceil(batch_size);
        if fit.steps_per_epoch.is_some_and(|steps| steps > batches) {
            let line = "the data have fewer batches than `steps_per_epoch`: epochs are shorter";
            warn(fit.verbose, line);
        }
        let mut trainer = self.take_trainer(&Samples::dims(&train.y))?;
        let result = self.check_data(&trainer, train, validation).and_then(|()| {
            let work = trainer.work(&Samples::dims(&train.x), batch_size.min(train.len()))?;
            let mut feed = ArrayFeed::new(train, batch_size).steps_per_epoch(fit.steps_per_epoch);
            self.run_fit(&mut trainer, &mut feed, validation, batch_size, fit, work)
        });
        self.trainer = Some(trainer);
        result
    }

    /// An error unless stateful layers can have the batches of so many samples for validation.
    pub(super) fn check_validation(
        &self,
        fit: &Fit<'_>,
        batch_size: usize,
        samples: usize,
    ) -> Result<()> {
        let size = fit.validation_batch_size.unwrap_or(batch_size).min(samples);
        let steps = fit.validation_steps.unwrap_or(usize::MAX);
        self.check_stateful("fit", size, samples.min(steps.saturating_mul(size)))
    }

    /// The arrays to measure after every epoch.
    pub(super) fn validation_arrays<'a>(
        &self,
        pair: Option<Result<(Arrays<'a>, Arrays<'a>)>>,
        weights: Option<Result<Arrays<'a>>>,
    ) -> Result<Option<Samples<'a>>> {
        let Some(pair) = pair else {
            return Ok(None);
        };
        let (x, y) = pair?;
        let weights = weights
            .transpose()?
            .map(|w| self.order_outputs(w, "validation_sample_weight"))
            .transpose()?;
        let (x, y) = (
            self.check_inputs(x, "validation x")?,
            self.order_outputs(y, "validation y")?,
        );
        Samples::new(x, y, weights).map(Some)
    }

    /// Runs the epochs over what was checked; `work` is that of a step.
    pub(super) fn run_fit(
        &mut self,
        trainer: &mut Trainer,
        train: &mut dyn Feed,
        validation: Option<&Samples<'_>>,
        batch_size: usize,
        mut fit: Fit<'_>,
        work: usize,
    ) -> Result<History> {
        if validation.is_some() && fit.validation_dataset.is_some() {
            let want = "one of `validation` and `validation_dataset`";
            return Err(Error::arg("validation_dataset", want, "both").owned_by("fit"));
        }
        let options = Options {
            epochs: fit.epochs,
            initial_epoch: fit.initial_epoch,
            validation_steps: fit.validation_steps,
            validation_freq: fit.validation_freq,
            shuffle: fit.shuffle,
            verbose: fit.verbose,
            stop_on_nan: fit.stop_on_nan,
        };
        let (rules, callbacks) = (self.rules(), &mut fit.callbacks);
        let size = fit.validation_batch_size.unwrap_or(batch_size);
        let mut arrays = validation.map(|v| ArrayFeed::new(v, size));
        let mut stream = fit
            .validation_dataset
            .as_deref_mut()
            .map(|d| StreamFeed::new(d, rules));
        let threads = self.threads;
        let mut run = |par| {
            let validation = match (&mut arrays, &mut stream) {
                (Some(arrays), _) => Some(arrays as &mut dyn Feed),
                (None, Some(stream)) => Some(stream as &mut dyn Feed),
                (None, None) => None,
            };
            self.run_epochs(trainer, train, validation, &options, callbacks, par)
        };
        if work >= WORTH_THREADS {
            with_threads(threads, run)
        } else {
            run(Par::Serial)
        }
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

    pub(super) fn check_data(
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
pub(super) struct Options {
    pub epochs: usize,
    pub initial_epoch: usize,
    pub validation_steps: Option<usize>,
    pub validation_freq: ValidationFreq,
    pub shuffle: bool,
    pub verbose: Verbose,
    pub stop_on_nan: bool,
}
