//! `predict` in batches, with callbacks.

use ndarray::{ArrayD, Axis};

use super::epochs::batches_of;
use crate::callbacks::progress::Progress;
use crate::callbacks::{Callback, Logs, TrainContext, Verbose};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::models::Model;
use crate::tensor::{Arrays, IntoArrays};

/// How to predict; see [`Model::predict_with`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `batch_size` | 32 | samples a step |
/// | `steps` | all | batches that are predicted, the first ones |
/// | `verbose` | silent | [`Verbose`], or Keras's 0, 1, 2 |
/// | `callback` | none | may be given several times |
pub struct Predict<'a> {
    batch_size: usize,
    steps: Option<usize>,
    verbose: Verbose,
    callbacks: Vec<Box<dyn Callback + 'a>>,
}

impl Default for Predict<'_> {
    /// Batches of 32, silent.
    fn default() -> Self {
        Predict {
            batch_size: 32,
            steps: None,
            verbose: Verbose::Silent,
            callbacks: Vec::new(),
        }
    }
}

impl<'a> Predict<'a> {
    /// Samples a step.
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = size;
        self
    }

    /// How many batches are predicted.
    pub fn steps(mut self, batches: usize) -> Self {
        self.steps = Some(batches);
        self
    }

    /// How much to print.
    pub fn verbose(mut self, verbose: impl Into<Verbose>) -> Self {
        self.verbose = verbose.into();
        self
    }

    /// Adds a callback: by value, or `&mut` to look at it afterwards. Callbacks see a copy of the model.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }
}

impl Model {
    /// Every output for these inputs, batch by batch and with callbacks. ([`predict`](Self::predict) and
    /// [`predict_all`](Self::predict_all) choose batches by themselves, and copy less.)
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().input([1]).add(Dense::new(1).kernel_initializer("ones"));
    /// model.build([1])?;
    /// let y = model.predict_with(&[[1.0f32], [2.0], [3.0]], Predict::default().batch_size(1).steps(2))?;
    /// assert_eq!(y[0], ndarray::array![[1.0f32], [2.0]].into_dyn());
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `predict`, and if a callback fails.
    pub fn predict_with<'a>(
        &self,
        x: impl IntoArrays<'a>,
        options: Predict<'a>,
    ) -> Result<Vec<ArrayD<Float>>> {
        self.require_built("predict_with")?;
        let x = self.check_inputs(x.into_arrays()?, "x")?;
        let Predict {
            batch_size,
            steps,
            verbose,
            mut callbacks,
        } = options;
        for (arg, n) in [("batch_size", Some(batch_size)), ("steps", steps)] {
            if n == Some(0) {
                return Err(Error::arg(arg, "a positive number", 0).owned_by("predict_with"));
            }
        }
        let samples = x.tensors()[0].batch();
        let count = samples
            .div_ceil(batch_size)
            .min(steps.unwrap_or(usize::MAX));
        let mut progress = Progress::new(verbose, count);
        progress.begin(0, 0);
        // Callbacks may change the model that they see, but this one stays as it is.
        let mut copy = (!callbacks.is_empty()).then(|| self.clone());
        let mut cx = copy
            .as_mut()
            .map(|model| TrainContext::new(model, count, verbose.into()));
        let mut each =
            |f: &mut dyn FnMut(&mut dyn Callback, &mut TrainContext<'_>) -> Result<()>,
             cx: &mut Option<TrainContext<'_>>| {
                match cx {
                    Some(cx) => callbacks.iter_mut().try_for_each(|c| f(c.as_mut(), cx)),
                    None => Ok(()),
                }
            };
        each(&mut |c, cx| c.on_predict_begin(cx), &mut cx)?;
        // Stateful layers go on from batch to batch.
        let mut state = self.graph.stateful().map(|_| self.weights.state.clone());
        let mut all: Vec<Vec<ArrayD<Float>>> = Vec::with_capacity(count);
        for (b, part) in batches_of(samples, batch_size, steps).enumerate() {
            each(&mut |c, cx| c.on_predict_batch_begin(b, cx), &mut cx)?;
            let tensors = x.tensors().iter();
            let batch = Arrays::many(tensors.map(|t| t.slice(part.start, part.end)).collect());
            let model = cx.as_ref().map_or(self, |cx| &*cx.model);
            let outputs = model.predict_from(batch, state.as_deref_mut())?;
            each(
                &mut |c, cx| c.on_predict_batch_end(b, &outputs, cx),
                &mut cx,
            )?;
            all.push(outputs);
            if progress.due() {
                progress.update(b + 1, &Logs::default());
            }
        }
        each(&mut |c, cx| c.on_predict_end(cx), &mut cx)?;
        progress.end(0, 0, &Logs::default());
        if all.is_empty() {
            return self.predict_from(x, None);
        }
        let outputs = 0..self.graph.outputs.len();
        Ok(outputs
            .map(|i| {
                let parts: Vec<_> = all.iter().map(|outputs| outputs[i].view()).collect();
                ndarray::concatenate(Axis(0), &parts).expect("all but the batch are the same")
            })
            .collect())
    }
}
