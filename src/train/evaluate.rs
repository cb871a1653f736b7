//! `evaluate`, and single steps: `train_on_batch`, `test_on_batch`.

use super::epochs::{test_all, test_quietly, train_batch};
use super::feed::{ArrayFeed, Feed};
use super::samples::{Gather, Samples, check_weights};
use super::step::Trainer;
use crate::callbacks::progress::Progress;
use crate::callbacks::{Callback, Logs, TrainContext, Verbose};
use crate::error::{Error, Result};
use crate::kernels::parallel::{Par, with_threads};
use crate::models::Model;
use crate::shape::Dims;
use crate::tensor::{IntoArrays, Tensor};

/// How to measure; see [`Model::evaluate_with`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `batch_size` | 32 | samples a step |
/// | `steps` | all | batches that are measured, the first ones |
/// | `sample_weight` | none | factor on the loss of each sample (or position) |
/// | `verbose` | silent | [`Verbose`], or Keras's 0, 1, 2 |
/// | `callback` | none | may be given several times |
pub struct Evaluate<'a> {
    pub(super) steps: Option<usize>,
    pub(super) callbacks: Vec<Box<dyn Callback + 'a>>,
    pub(super) batch_size: Option<usize>,
    pub(super) sample_weight: Option<Result<crate::tensor::Arrays<'a>>>,
    pub(super) verbose: Verbose,
}

impl Default for Evaluate<'_> {
    /// Batches of 32, no weights, silent.
    fn default() -> Self {
        Evaluate {
            steps: None,
            callbacks: Vec::new(),
            batch_size: None,
            sample_weight: None,
            verbose: Verbose::Silent,
        }
    }
}

impl<'a> Evaluate<'a> {
    /// Samples a step; the result does not depend on it beyond rounding.
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = Some(size);
        self
    }

    /// How many batches are measured.
    pub fn steps(mut self, batches: usize) -> Self {
        self.steps = Some(batches);
        self
    }

    /// Adds a callback: by value, or `&mut` to look at it afterwards. Callbacks see a copy of the model.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Factor on the loss of every sample or position, and on the weighted metrics.
    pub fn sample_weight(mut self, weight: impl IntoArrays<'a>) -> Self {
        self.sample_weight = Some(weight.into_arrays());
        self
    }

    /// How much to print.
    pub fn verbose(mut self, verbose: impl Into<Verbose>) -> Self {
        self.verbose = verbose.into();
        self
    }
}

impl Model {
    /// Loss and metrics on this data.
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().input([1]).add(Dense::new(1).kernel_initializer("ones"));
    /// model.compile("sgd", "mse", ["mae"])?;
    /// let logs = model.evaluate(&[[1.0f32], [2.0]], &[[3.0f32], [3.0]])?;
    /// assert_eq!((logs.get("loss"), logs.get("mae")), (Some(2.5), Some(1.5)));
    /// assert_eq!(logs.to_string(), "loss: 2.5000 - mae: 1.5000");
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and if the model is not built.
    pub fn evaluate<'a>(&self, x: impl IntoArrays<'a>, y: impl IntoArrays<'a>) -> Result<Logs> {
        self.evaluate_with(x, y, Evaluate::default())
    }

    /// [`evaluate`](Self::evaluate) with options.
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().input([1]).add(Dense::new(1).kernel_initializer("ones"));
    /// model.compile("sgd", "mse", ())?;
    /// let (x, y) = ([[1.0f32], [2.0], [3.0]], [[1.0f32], [2.0], [9.0]]);
    /// let logs = model.evaluate_with(&x, &y, Evaluate::default().batch_size(1).steps(2))?;
    /// assert_eq!(logs.get("loss"), Some(0.0));
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `evaluate`.
    pub fn evaluate_with<'a>(
        &self,
        x: impl IntoArrays<'a>,
        y: impl IntoArrays<'a>,
        mut options: Evaluate<'a>,
    ) -> Result<Logs> {
        let compiled = self.compiled("evaluate")?;
        self.require_built("evaluate")?;
        let batch_size = options.batch_size.unwrap_or(32);
        if batch_size == 0 {
            return Err(Error::arg("batch_size", "a positive number", 0).owned_by("evaluate"));
        }
        let data = Samples::new(
            self.check_inputs(x.into_arrays()?, "x")?,
            self.order_outputs(y.into_arrays()?, "y")?,
            options
                .sample_weight
                .take()
                .transpose()?
                .map(|w| self.order_outputs(w, "sample_weight"))
                .transpose()?,
        )?;
        let mut trainer = Trainer::new(self, compiled, &Samples::dims(&data.y))?;
        trainer.check_targets(data.y.tensors())?;
        check_weights(&trainer, &data, self.graph.outputs.len())?;
        let batch_size = batch_size.min(data.len());
        let steps = options.steps.unwrap_or(usize::MAX);
        let measured = data.len().min(steps.saturating_mul(batch_size));
        self.check_stateful("evaluate", batch_size, measured)?;
        let work = trainer.work(&Samples::dims(&data.x), batch_size)?;
        let mut feed = ArrayFeed::new(&data, batch_size);
        self.measure(&mut trainer, &mut feed, work, options)
    }

    /// Measures what was checked; `work` is that of a step.
    pub(super) fn measure(
        &self,
        trainer: &mut Trainer,
        feed: &mut dyn Feed,
        work: usize,
        options: Evaluate<'_>,
    ) -> Result<Logs> {
        let Evaluate {
            steps,
            mut callbacks,
            verbose,
            ..
        } = options;
        if steps == Some(0) {
            return Err(Error::arg("steps", "a positive number", 0).owned_by("evaluate"));
        }
        let count = feed.steps().map(|n| n.min(steps.unwrap_or(n)));
        let count = count.unwrap_or(0);
        let mut progress = Progress::new(verbose, count);
        progress.begin(0, 0);
        // Callbacks may change the model that they see, but this one stays as it is.
        let mut copy = (!callbacks.is_empty()).then(|| self.clone());
        let mut run = |par| match &mut copy {
            Some(model) => {
                let mut cx = TrainContext::new(model, count, verbose.into());
                test_all(trainer, feed, steps, &mut callbacks, &mut cx, par)
            }
            None => test_quietly(trainer, feed, steps, self, par),
        };
        progress.steps = if work >= super::fit::WORTH_THREADS {
            with_threads(self.threads, run)?
        } else {
            run(Par::Serial)?
        };
        let mut logs = Logs::default();
        logs.collect(trainer, "");
        progress.end(0, 0, &logs);
        Ok(logs)
    }

    /// Trains on one batch; the loss and metrics of this batch alone.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn train_on_batch<'a>(
        &mut self,
        x: impl IntoArrays<'a>,
        y: impl IntoArrays<'a>,
    ) -> Result<Logs> {
        self.compiled("train_on_batch")?;
        let (x, y) = (x.into_arrays()?, y.into_arrays()?);
        if !self.is_built() && x.tensors().len() == 1 {
            self.build(x.tensors()[0].sample())?;
        }
        self.require_built("train_on_batch")?;
        let data = Samples::new(
            self.check_inputs(x, "x")?,
            self.order_outputs(y, "y")?,
            None,
        )?;
        self.check_stateful("train_on_batch", data.len(), data.len())?;
        let targets: Vec<Dims> = data.y.tensors().iter().map(Tensor::sample).collect();
        let mut trainer = self.take_trainer(&targets)?;
        let result = trainer.check_targets(data.y.tensors()).and_then(|()| {
            trainer.reset();
            let indices: Vec<u32> = (0..data.len() as u32).collect();
            let mut gather = Gather::new(&data, data.len());
            let worth =
                trainer.work(&Samples::dims(&data.x), data.len())? >= super::fit::WORTH_THREADS;
            let threads = self.threads;
            let mut run = |par| {
                gather.with(&data, &indices, |batch| {
                    train_batch(&mut trainer, batch, self, 0, 0, true, par)
                })
            };
            if worth {
                with_threads(threads, run)?
            } else {
                run(Par::Serial)?
            };
            let mut logs = Logs::default();
            logs.collect(&trainer, "");
            Ok(logs)
        });
        self.trainer = Some(trainer);
        result
    }

    /// Loss and metrics of one batch. Keras's name for [`evaluate`](Self::evaluate) in one step.
    ///
    /// # Errors
    /// As `evaluate`.
    pub fn test_on_batch<'a>(
        &self,
        x: impl IntoArrays<'a>,
        y: impl IntoArrays<'a>,
    ) -> Result<Logs> {
        self.evaluate_with(x, y, Evaluate::default().batch_size(usize::MAX >> 1))
    }
}
