//! The epochs of `fit`: shuffled batches, callbacks, validation, backups.

use std::ops::Range;

use super::backup;
use super::feed::Feed;
use super::fit::Options;
use super::step::{Batch, Step, Trainer};
use crate::callbacks::progress::Progress;
use crate::callbacks::{BatchLogs, Callback, History, Logs, TrainContext, direction};
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
        let metrics = trainer.metrics();
        let mut cx = TrainContext {
            epochs: options.epochs,
            validates: validation.is_some(),
            directions: metrics
                .map(|(name, class)| (name.to_string(), direction(class)))
                .collect(),
            ..TrainContext::new(self, steps, options.verbose.into())
        };
        let mut start = Start::New(options.initial_epoch);
        let mut result = callbacks
            .iter_mut()
            .try_for_each(|c| c.on_train_begin(&mut cx));
        if result.is_ok()
            && let Some(files) = cx.backup.take()
        {
            result = (files.format.read)(&files, trainer, callbacks, &mut cx).map(|found| {
                start = found.map_or(start, Start::Found);
            });
        }
        if result.is_ok() {
            let mut epochs = Epochs {
                progress: Progress::new(options.verbose, steps),
                logs: Logs::default(),
            };
            // A training that was stopped within an epoch still has to end that epoch.
            while start.epoch() < options.epochs && !(cx.stop && start.batch().is_none()) {
                let validation = validation.as_mut().map(|v| &mut **v as &mut dyn Feed);
                result = epochs.run(
                    start, trainer, train, validation, options, callbacks, &mut cx, par,
                );
                if result.is_err() {
                    break;
                }
                history.push(start.epoch(), &epochs.logs);
                let next = start.epoch() + 1;
                start = Start::New(next);
                let place = Place {
                    epoch: next,
                    batch: None,
                };
                result = backup::serve(place, trainer, callbacks, &mut cx);
                if result.is_err() {
                    break;
                }
            }
        }
        if let Some(compiled) = &mut cx.model.compiled {
            trainer.finalize(compiled, &mut cx.model.weights);
        }
        cx.failed = result.is_err();
        for callback in callbacks.iter_mut() {
            let ended = callback.on_train_end(&mut cx);
            result = result.and(ended);
        }
        result.map(|()| history)
    }
}

/// Where a training is: before an epoch, or within one, before a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub epoch: usize,
    pub batch: Option<usize>,
}

/// Where an epoch of the loop begins.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// At the beginning of this epoch, after the one before.
    New(usize),
    /// At the place of a backup.
    Found(Place),
}

impl Start {
    fn epoch(self) -> usize {
        match self {
            Start::New(epoch) | Start::Found(Place { epoch, .. }) => epoch,
        }
    }

    fn batch(self) -> Option<usize> {
        match self {
            Start::New(_) => None,
            Start::Found(place) => place.batch,
        }
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
        start: Start,
        trainer: &mut Trainer,
        train: &mut dyn Feed,
        validation: Option<&mut dyn Feed>,
        options: &Options,
        callbacks: &mut [Box<dyn Callback + '_>],
        cx: &mut TrainContext<'_>,
        par: Par,
    ) -> Result<()> {
        let epoch = start.epoch();
        self.progress.begin(epoch, options.epochs);
        if start.batch().is_none() {
            trainer.reset();
            callbacks
                .iter_mut()
                .try_for_each(|c| c.on_epoch_begin(epoch, cx))?;
        }
        let pass = Pass {
            number: epoch,
            seed: cx.model.seed,
            shuffle: options.shuffle,
        };
        let mut b = start.batch().unwrap_or(0);
        match start {
            Start::New(_) => train.begin(pass)?,
            Start::Found(_) => train.resume(pass, b)?,
        }
        while !cx.stop
            && train.next(trainer, &mut |trainer, batch| {
                callbacks
                    .iter_mut()
                    .try_for_each(|c| c.on_train_batch_begin(b, cx))?;
                train_batch(trainer, batch, cx.model, epoch, b, options.stop_on_nan, par).map(drop)
            })?
        {
            let logs = BatchLogs::new(trainer);
            callbacks
                .iter_mut()
                .try_for_each(|c| c.on_train_batch_end(b, &logs, cx))?;
            if self.progress.due() {
                self.progress.update(b + 1, &logs);
            }
            b += 1;
            let place = Place {
                epoch,
                batch: Some(b),
            };
            backup::serve(place, trainer, callbacks, cx)?;
        }
        // A dataset may not know its length before its end.
        (cx.steps, self.progress.steps) = match train.steps() {
            Some(steps) => (steps, steps),
            None => (b, b),
        };
        self.logs.clear();
        self.logs.collect(trainer, "");
        if let Some(feed) = validation
            && options.validation_freq.includes(epoch)
        {
            trainer.reset();
            test_all(trainer, feed, options.validation_steps, callbacks, cx, par)?;
            self.logs.collect(trainer, "val_");
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

/// The first `steps` batches of so many samples in their order; all without `steps`.
pub(super) fn batches_of(
    samples: usize,
    batch_size: usize,
    steps: Option<usize>,
) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..samples).step_by(batch_size);
    let parts = starts.map(move |start| start..samples.min(start.saturating_add(batch_size)));
    parts.take(steps.unwrap_or(usize::MAX))
}

/// Measures the first `steps` batches in order (all without `steps`), with callbacks; how many these are.
pub(crate) fn test_all(
    trainer: &mut Trainer,
    feed: &mut dyn Feed,
    steps: Option<usize>,
    callbacks: &mut [Box<dyn Callback + '_>],
    cx: &mut TrainContext<'_>,
    par: Par,
) -> Result<usize> {
    callbacks.iter_mut().try_for_each(|c| c.on_test_begin(cx))?;
    trainer.begin_tests(&cx.model.weights);
    feed.begin(Pass::IN_ORDER)?;
    let mut b = 0;
    while steps.is_none_or(|steps| b < steps)
        && feed.next(trainer, &mut |trainer, batch| {
            callbacks
                .iter_mut()
                .try_for_each(|c| c.on_test_batch_begin(b, cx))?;
            trainer.test(batch, &cx.model.weights, par).map(drop)
        })?
    {
        let logs = BatchLogs::new(trainer);
        callbacks
            .iter_mut()
            .try_for_each(|c| c.on_test_batch_end(b, &logs, cx))?;
        b += 1;
    }
    if !callbacks.is_empty() {
        let mut logs = Logs::default();
        logs.collect(trainer, "");
        callbacks
            .iter_mut()
            .try_for_each(|c| c.on_test_end(&logs, cx))?;
    }
    Ok(b)
}

/// The same without callbacks.
pub(crate) fn test_quietly(
    trainer: &mut Trainer,
    feed: &mut dyn Feed,
    steps: Option<usize>,
    model: &Model,
    par: Par,
) -> Result<usize> {
    trainer.begin_tests(&model.weights);
    feed.begin(Pass::IN_ORDER)?;
    let mut b = 0;
    while steps.is_none_or(|steps| b < steps)
        && feed.next(trainer, &mut |trainer, batch| {
            trainer.test(batch, &model.weights, par).map(drop)
        })?
    {
        b += 1;
    }
    Ok(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_in_order() {
        let all = |samples, size, steps| batches_of(samples, size, steps).collect::<Vec<_>>();
        assert_eq!(all(5, 2, None), [0..2, 2..4, 4..5]);
        assert_eq!(all(5, 2, Some(2)), [0..2, 2..4]);
        assert_eq!(all(5, usize::MAX >> 1, Some(9)), vec![0..5]);
    }
}
