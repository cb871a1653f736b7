//! `evaluate`, and single steps: `train_on_batch`, `test_on_batch`.

use super::epochs::{batches_of, test_all, test_batch, train_batch};
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
    batch_size: usize,
    steps: Option<usize>,
    callbacks: Vec<Box<dyn Callback + 'a>>,
    sample_weight: Option<Result<crate::tensor::Arrays<'a>>>,
    verbose: Verbose,
}

impl Default for Evaluate<'_> {
    /// Batches of 32, no weights, silent.
    fn default() -> Self {
        Evaluate {
            batch_size: 32,
            steps: None,
            callbacks: Vec::new(),
            sample_weight: None,
            verbose: Verbose::Silent,
        }
    }
}

impl<'a> Evaluate<'a> {
    /// Samples a step; the result does not depend on it beyond rounding.
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = size;
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
        options: Evaluate<'a>,
    ) -> Result<Logs> {
        let compiled = self.compiled("evaluate")?;
        self.require_built("evaluate")?;
        for (arg, n) in [
            ("batch_size", Some(options.batch_size)),
            ("steps", options.steps),
        ] {
            if n == Some(0) {
                return Err(Error::arg(arg, "a positive number", 0).owned_by("evaluate"));
            }
        }
        let data = Samples::new(
            self.check_inputs(x.into_arrays()?, "x")?,
            self.order_outputs(y.into_arrays()?, "y")?,
            options
                .sample_weight
                .transpose()?
                .map(|w| self.order_outputs(w, "sample_weight"))
                .transpose()?,
        )?;
        let mut trainer = Trainer::new(self, compiled, &Samples::dims(&data.y))?;
        trainer.check_targets(data.y.tensors())?;
        check_weights(&trainer, &data, self.graph.outputs.len())?;
        let batch_size = options.batch_size.min(data.len());
        let (steps, mut callbacks) = (options.steps, options.callbacks);
        let measured = steps.map_or(data.len(), |s| s.saturating_mul(batch_size).min(data.len()));
        self.check_stateful("evaluate", batch_size, measured)?;
        let mut gather = Gather::new(&data, batch_size);
        let count = measured.div_ceil(batch_size);
        let mut progress = Progress::new(options.verbose, count);
        progress.begin(0, 0);
        let worth = trainer.work(&Samples::dims(&data.x), batch_size)? >= super::fit::WORTH_THREADS;
        // Callbacks may change the model that they see, but this one stays as it is.
        let mut copy = (!callbacks.is_empty()).then(|| self.clone());
        let mut run = |par| {
            let mut parts = batches_of(data.len(), batch_size, steps);
            let (trainer, gather) = (&mut trainer, &mut gather);
            match &mut copy {
                Some(model) => {
                    let mut cx = TrainContext::new(model, count, options.verbose.into());
                    test_all(trainer, &data, gather, parts, &mut callbacks, &mut cx, par)
                }
                None => {
                    trainer.begin_tests(&self.weights);
                    parts.try_for_each(|part| test_batch(trainer, &data, gather, part, self, par))
                }
            }
        };
        if worth {
            with_threads(self.threads, run)?
        } else {
            run(Par::Serial)?
        }
        let mut logs = Logs::default();
        logs.collect(&trainer, "");
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
