//! The epochs of `fit`: shuffled batches, callbacks, validation.

use super::feed::Feed;
use super::fit::Options;
use super::step::{Batch, Step, Trainer};
use crate::callbacks::progress::Progress;
use crate::callbacks::{Callback, History, Logs, TrainContext};
use crate::data::Pass;
use crate::error::{Error, Result};
use crate::kernels::parallel::Par;
use crate::models::Model;

impl Model {
    pub(super) fn run_epochs(
        &mut self,
        trainer: &mut Trainer,
        train: &mut dyn Feed,
        mut validation: Option<&mut dyn Feed>,
        options: &Options,
        callbacks: &mut [Box<dyn Callback + '_>],
        par: Par,
    ) -> Result<History> {
        let mut history = History::default();
        let steps = train.steps().unwrap_or(0);
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
                progress: Progress::new(options.verbose, steps),
                logs: Logs::default(),
            };
            for epoch in options.initial_epoch..options.epochs {
                let validation = validation.as_mut().map(|v| &mut **v as &mut dyn Feed);
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
            trainer.finalize(compiled, &mut cx.model.weights);
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
    progress: Progress,
    logs: Logs,
}

impl Epochs {
    fn run(
        &mut self,
        epoch: usize,
        trainer: &mut Trainer,
        train: &mut dyn Feed,
        validation: Option<&mut dyn Feed>,
        options: &Options,
        callbacks: &mut [Box<dyn Callback + '_>],
        cx: &mut TrainContext<'_>,
        par: Par,
    ) -> Result<()> {
        self.progress.begin(epoch, options.epochs);
        callbacks
            .iter_mut()
            .try_for_each(|c| c.on_epoch_begin(epoch, cx))?;
        train.begin(Pass {
            number: epoch,
            seed: cx.model.seed,
            shuffle: options.shuffle,
        })?;
        trainer.reset();
        let wanted = callbacks.iter().any(|c| c.wants_batches());
        let mut b = 0;
        while train.next(trainer, &mut |trainer, batch| {
            train_batch(trainer, batch, cx.model, epoch, b, options.stop_on_nan, par).map(drop)
        })? {
            if wanted || self.progress.due() {
                collect(trainer, "", &mut self.logs);
                for callback in callbacks.iter_mut().filter(|c| c.wants_batches()) {
                    callback.on_batch_end(b, &self.logs, cx)?;
                }
                if self.progress.due() {
                    self.progress.update(b + 1, &self.logs);
                }
            }
            b += 1;
            if cx.stop {
                break;
            }
        }
        // A dataset may not know its length before its end.
        (cx.steps, self.progress.steps) = match train.steps() {
            Some(steps) => (steps, steps),
            None => (b, b),
        };
        self.logs.clear();
        collect(trainer, "", &mut self.logs);
        if let Some(validation) = validation {
            trainer.reset();
            test_all(trainer, validation, cx.model, par)?;
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

/// Measures all samples in order; the number of batches.
pub(crate) fn test_all(
    trainer: &mut Trainer,
    feed: &mut dyn Feed,
    model: &Model,
    par: Par,
) -> Result<usize> {
    trainer.begin_tests(&model.weights);
    feed.begin(Pass::IN_ORDER)?;
    let mut steps = 0;
    while feed.next(trainer, &mut |trainer, batch| {
        trainer.test(batch, &model.weights, par).map(drop)
    })? {
        steps += 1;
    }
    Ok(steps)
}

pub(crate) fn collect(trainer: &Trainer, prefix: &str, logs: &mut Logs) {
    trainer.results(|name, value, values| match prefix {
        "" => logs.set_values(name, value, values),
        _ => logs.set_values(&format!("{prefix}{name}"), value, values),
    });
}
