//! The epochs of `fit`: shuffled batches, callbacks, validation, backups.

use std::ops::Range;

use super::backup;
use super::fit::Options;
use super::samples::{Gather, Samples};
use super::step::{Batch, Step, Trainer};
use crate::callbacks::progress::{Progress, warn};
use crate::callbacks::{BatchLogs, Callback, History, Logs, TrainContext, direction};
use crate::error::{Error, Result};
use crate::kernels::parallel::Par;
use crate::models::Model;
use crate::random::Rng;

impl Model {
    pub(super) fn run_epochs(
        &mut self,
        trainer: &mut Trainer,
        train: &Samples<'_>,
        validation: Option<&Samples<'_>>,
        options: &Options,
        callbacks: &mut [Box<dyn Callback + '_>],
        par: Par,
    ) -> Result<History> {
        let mut history = History::default();
        let share = Share::new(train.len(), options);
        if options.steps_per_epoch.is_some_and(|s| s > share.batches) {
            let line = "the data have fewer batches than `steps_per_epoch`: epochs are shorter";
            warn(options.verbose, line);
        }
        let metrics = trainer.metrics();
        let mut cx = TrainContext {
            epochs: options.epochs,
            validates: validation.is_some(),
            directions: metrics
                .map(|(name, class)| (name.to_string(), direction(class)))
                .collect(),
            ..TrainContext::new(self, share.steps, options.verbose.into())
        };
        let mut place = Place {
            epoch: options.initial_epoch,
            batch: None,
        };
        let mut result = callbacks
            .iter_mut()
            .try_for_each(|c| c.on_train_begin(&mut cx));
        if result.is_ok()
            && let Some(files) = cx.backup.take()
        {
            result = match backup::read(&files, trainer, callbacks, &mut cx) {
                Ok(found) => {
                    place = found.unwrap_or(place);
                    Ok(())
                }
                Err(e) => Err(e),
            };
        }
        if result.is_ok() {
            let mut epochs = Epochs {
                gather: Gather::new(train, options.batch_size),
                validate: validation.map(|v| Gather::new(v, options.validation_batch_size)),
                order: (0..train.len() as u32).collect(),
                progress: Progress::new(options.verbose, share.steps),
                logs: Logs::default(),
                share,
            };
            while place.epoch < options.epochs && !(cx.stop && place.batch.is_none()) {
                result = epochs.run(
                    place, trainer, train, validation, options, callbacks, &mut cx, par,
                );
                if result.is_err() {
                    break;
                }
                history.push(place.epoch, &epochs.logs);
                place = Place {
                    epoch: place.epoch + 1,
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

/// Where a training goes on: before an epoch, or within one, before a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub epoch: usize,
    pub batch: Option<usize>,
}

/// Which batches of the data an epoch has. With `steps_per_epoch`, an epoch begins where the one before ended; when the data end, so
/// does the epoch, and the next one begins a new pass over them, as in Keras.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// Batches of the data.
    batches: usize,
    /// Batches of an epoch.
    steps: usize,
}

impl Share {
    fn new(samples: usize, options: &Options) -> Self {
        let batches = samples.div_ceil(options.batch_size);
        let steps = options.steps_per_epoch.unwrap_or(batches).min(batches);
        Share { batches, steps }
    }

    /// The pass over the data that an epoch belongs to, and its batches of it.
    fn of(self, epoch: usize) -> (usize, Range<usize>) {
        let epochs = self.batches.div_ceil(self.steps);
        let first = epoch % epochs * self.steps;
        let end = (first + self.steps).min(self.batches);
        (epoch / epochs, first..end)
    }
}

/// What is kept from epoch to epoch.
struct Epochs {
    gather: Gather,
    validate: Option<Gather>,
    order: Vec<u32>,
    progress: Progress,
    logs: Logs,
    share: Share,
}

impl Epochs {
    fn run(
        &mut self,
        place: Place,
        trainer: &mut Trainer,
        train: &Samples<'_>,
        validation: Option<&Samples<'_>>,
        options: &Options,
        callbacks: &mut [Box<dyn Callback + '_>],
        cx: &mut TrainContext<'_>,
        par: Par,
    ) -> Result<()> {
        let epoch = place.epoch;
        self.progress.begin(epoch, options.epochs);
        if place.batch.is_none() {
            trainer.reset();
            callbacks
                .iter_mut()
                .try_for_each(|c| c.on_epoch_begin(epoch, cx))?;
        }
        let (pass, batches) = self.share.of(epoch);
        if options.shuffle {
            self.order.iter_mut().zip(0..).for_each(|(o, i)| *o = i);
            Rng::new(
                cx.model
                    .seed
                    .wrapping_add(pass as u64)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15),
            )
            .shuffle(&mut self.order);
        }
        let all = self.order.chunks(options.batch_size);
        let these = all.skip(batches.start).take(batches.len()).enumerate();
        for (b, indices) in these.skip(place.batch.unwrap_or(0)) {
            if cx.stop {
                break;
            }
            callbacks
                .iter_mut()
                .try_for_each(|c| c.on_train_batch_begin(b, cx))?;
            self.gather.with(train, indices, |batch| {
                train_batch(trainer, batch, cx.model, epoch, b, options.stop_on_nan, par)
            })?;
            let logs = BatchLogs::new(trainer);
            callbacks
                .iter_mut()
                .try_for_each(|c| c.on_train_batch_end(b, &logs, cx))?;
            if self.progress.due() {
                self.progress.update(b + 1, &logs);
            }
            let next = Place {
                epoch,
                batch: Some(b + 1),
            };
            backup::serve(next, trainer, callbacks, cx)?;
        }
        self.logs.clear();
        self.logs.collect(trainer, "");
        if let (Some(data), Some(gather)) = (validation, &mut self.validate)
            && options.validation_freq.includes(epoch)
        {
            trainer.reset();
            let (size, steps) = (options.validation_batch_size, options.validation_steps);
            let parts = batches_of(data.len(), size, steps);
            test_all(trainer, data, gather, parts, callbacks, cx, par)?;
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
pub(crate) fn batches_of(
    samples: usize,
    batch_size: usize,
    steps: Option<usize>,
) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..samples).step_by(batch_size);
    let parts = starts.map(move |start| start..samples.min(start.saturating_add(batch_size)));
    parts.take(steps.unwrap_or(usize::MAX))
}

/// Measures these samples, with callbacks.
pub(crate) fn test_all(
    trainer: &mut Trainer,
    data: &Samples<'_>,
    gather: &mut Gather,
    parts: impl Iterator<Item = Range<usize>>,
    callbacks: &mut [Box<dyn Callback + '_>],
    cx: &mut TrainContext<'_>,
    par: Par,
) -> Result<()> {
    callbacks.iter_mut().try_for_each(|c| c.on_test_begin(cx))?;
    trainer.begin_tests(&cx.model.weights);
    for (b, part) in parts.enumerate() {
        callbacks
            .iter_mut()
            .try_for_each(|c| c.on_test_batch_begin(b, cx))?;
        test_batch(trainer, data, gather, part, cx.model, par)?;
        let logs = BatchLogs::new(trainer);
        callbacks
            .iter_mut()
            .try_for_each(|c| c.on_test_batch_end(b, &logs, cx))?;
    }
    if callbacks.is_empty() {
        return Ok(());
    }
    let mut logs = Logs::default();
    logs.collect(trainer, "");
    callbacks
        .iter_mut()
        .try_for_each(|c| c.on_test_end(&logs, cx))
}

/// Measures samples in order.
pub(crate) fn test_batch(
    trainer: &mut Trainer,
    data: &Samples<'_>,
    gather: &mut Gather,
    part: Range<usize>,
    model: &Model,
    par: Par,
) -> Result<()> {
    let mut few = [0u32; 256];
    let many: Vec<u32>;
    let indices = match few.get_mut(..part.len()) {
        Some(few) => {
            few.iter_mut()
                .zip(part.start as u32..)
                .for_each(|(slot, i)| *slot = i);
            few
        }
        None => {
            many = (part.start as u32..part.end as u32).collect();
            &many[..]
        }
    };
    gather.with(data, indices, |batch| {
        trainer.test(batch, &model.weights, par).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_of_steps_go_on_where_the_one_before_ended() {
        let share = |batches, steps| {
            let share = Share { batches, steps };
            (0..5).map(|e| share.of(e)).collect::<Vec<_>>()
        };
        // Keras: 5 batches, steps_per_epoch=2.
        let want = [(0, 0..2), (0, 2..4), (0, 4..5), (1, 0..2), (1, 2..4)];
        assert_eq!(share(5, 2), want);
        let want = [(0, 0..2), (0, 2..4), (1, 0..2), (1, 2..4), (2, 0..2)];
        assert_eq!(share(4, 2), want);
        assert_eq!(share(3, 3)[4], (4, 0..3));
    }

    #[test]
    fn batches_in_order() {
        let all = |samples, size, steps| batches_of(samples, size, steps).collect::<Vec<_>>();
        assert_eq!(all(5, 2, None), [0..2, 2..4, 4..5]);
        assert_eq!(all(5, 2, Some(2)), [0..2, 2..4]);
        assert_eq!(all(5, usize::MAX >> 1, Some(9)), vec![0..5]);
    }
}
