//! A learning rate for every epoch.

use super::{Callback, Logs, TrainContext, progress};
use crate::error::Result;

/// Sets the learning rate before every epoch to what a function of the epoch (from 0) and the rate so far says. The rate of every
/// epoch is in the history as `learning_rate`. [Keras](https://keras.io/api/callbacks/learning_rate_scheduler/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `schedule` | | `(epoch, rate) -> rate` |
/// | `verbose` | 0 | 1 says what is set |
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([1]).add(Dense::new(1));
/// model.compile(Sgd::new(0.5), "mse", ())?;
/// let schedule = LearningRateScheduler::new(|epoch, rate| if epoch < 2 { rate } else { rate * 0.5 });
/// let history = model.fit(&[[1.0f32]], &[[1.0f32]], Fit::epochs(4).verbose(0).callback(schedule))?;
/// assert_eq!(history.get("learning_rate"), Some(&[0.5, 0.5, 0.25, 0.125][..]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// `fit` fails if the function gives a rate that is negative or not finite, or the optimizer's own rate is a schedule.
pub struct LearningRateScheduler<F> {
    schedule: F,
    verbose: u8,
}

impl<F: FnMut(usize, f64) -> f64 + Send> LearningRateScheduler<F> {
    /// By this function of the epoch and the rate so far.
    pub fn new(schedule: F) -> Self {
        LearningRateScheduler {
            schedule,
            verbose: 0,
        }
    }

    /// 1 says what is set.
    pub fn verbose(mut self, level: u8) -> Self {
        self.verbose = level;
        self
    }
}

impl<F: FnMut(usize, f64) -> f64 + Send> Callback for LearningRateScheduler<F> {
    fn on_epoch_begin(&mut self, epoch: usize, cx: &mut TrainContext<'_>) -> Result<()> {
        for (member, (name, rate)) in cx.model.rates()?.iter().enumerate() {
            let rate = (self.schedule)(epoch, *rate);
            cx.model
                .set_rate(member, rate)
                .map_err(|e| e.owned_by("LearningRateScheduler"))?;
            if self.verbose > 0 {
                let (epoch, name) = (epoch + 1, name.replace('_', " "));
                progress::say(&format!(
                    "\nEpoch {epoch}: LearningRateScheduler setting {name} to {rate}."
                ));
            }
        }
        Ok(())
    }

    fn on_epoch_end(
        &mut self,
        _epoch: usize,
        logs: &mut Logs,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        let rates = cx.model.rates()?;
        rates.iter().for_each(|(name, rate)| logs.set(name, *rate));
        Ok(())
    }
}
