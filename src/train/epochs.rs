//! The epochs of `fit`: shuffled batches, callbacks, validation.

use super::fit::Options;
use super::samples::{Gather, Samples};
use super::step::{Batch, Step, Trainer};
use crate::callbacks::progress::Progress;
use crate::callbacks::{Callback, History, Logs, TrainContext};
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
    trainer.begin_tests(&model.weights);
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
    trainer.results(|name, value, values| match prefix {
        "" => logs.set_values(name, value, values),
        _ => logs.set_values(&format!("{prefix}{name}"), value, values),
    });
}
