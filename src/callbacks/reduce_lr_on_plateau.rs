//! A smaller learning rate when a value no longer improves.

use super::monitor::Monitor;
use super::{Callback, Logs, MonitorMode, State, TrainContext, progress};
use crate::error::{Error, Result};

/// Multiplies the learning rate by `factor` when a monitored value has not improved for `patience` epochs. The rate of every epoch
/// is in the history as `learning_rate`. [Keras](https://keras.io/api/callbacks/reduce_lr_on_plateau/)
///
/// With a [`MultiOptimizer`](crate::optimizers::MultiOptimizer) the rates of all its optimizers are reduced.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `monitor` | `val_loss` | name in the logs |
/// | `factor` | 0.1 | new rate over old; below 1 |
/// | `patience` | 10 | epochs without improvement before the rate is reduced |
/// | `verbose` | 0 | 1 says when it is |
/// | `mode` | `Auto` | [`MonitorMode`] |
/// | `min_delta` | 1e-4 | what counts as an improvement must exceed this |
/// | `cooldown` | 0 | epochs after a reduction that are not counted |
/// | `min_lr` | 0 | lower bound of the rate |
///
/// ```
/// use oxhorn::prelude::*;
/// // The loss is always 1: Keras's rates for the same arguments.
/// let mut model = Sequential::new().input([1]).add(Dense::new(1).kernel_initializer("zeros").use_bias(false));
/// model.compile(Sgd::new(0.5), "mse", ())?;
/// let reduce = ReduceLROnPlateau::new("loss").factor(0.5).patience(2).cooldown(1).min_lr(0.1);
/// let history = model.fit(&[[0.0f32]], &[[1.0f32]], Fit::epochs(9).verbose(0).callback(reduce))?;
/// let rates = history.get("learning_rate").unwrap();
/// assert_eq!(rates[..7], [0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]);
/// assert!((rates[7] - 0.1).abs() < 1e-8 && rates[7] == rates[8]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// `fit` fails if `factor` is not below 1, the value is not there, or the rate is a schedule.
#[derive(Clone, Debug)]
pub struct ReduceLROnPlateau {
    monitor: Monitor,
    factor: f64,
    patience: usize,
    verbose: u8,
    cooldown: usize,
    min_lr: f64,
    best: Option<f64>,
    wait: usize,
    cooling: usize,
}

impl Default for ReduceLROnPlateau {
    fn default() -> Self {
        ReduceLROnPlateau::new("val_loss")
    }
}

impl ReduceLROnPlateau {
    /// Watches this name in the logs.
    pub fn new(monitor: impl Into<String>) -> Self {
        ReduceLROnPlateau {
            monitor: Monitor::new("ReduceLROnPlateau", monitor, 1e-4),
            factor: 0.1,
            patience: 10,
            verbose: 0,
            cooldown: 0,
            min_lr: 0.0,
            best: None,
            wait: 0,
            cooling: 0,
        }
    }

    /// New rate over old.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Epochs without improvement before the rate is reduced.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// 1 says when it is.
    pub fn verbose(mut self, level: u8) -> Self {
        self.verbose = level;
        self
    }

    /// Which direction is better.
    pub fn mode(mut self, mode: MonitorMode) -> Self {
        self.monitor.mode = mode;
        self
    }

    /// What counts as an improvement must exceed this.
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.monitor.min_delta = delta.abs();
        self
    }

    /// Epochs after a reduction that are not counted.
    pub fn cooldown(mut self, epochs: usize) -> Self {
        self.cooldown = epochs;
        self
    }

    /// Lower bound of the rate.
    pub fn min_lr(mut self, rate: f64) -> Self {
        self.min_lr = rate;
        self
    }

    fn reduce(
        &self,
        epoch: usize,
        rates: &[(String, f64)],
        cx: &mut TrainContext<'_>,
    ) -> Result<bool> {
        let mut reduced = false;
        for (member, (name, old)) in rates.iter().enumerate() {
            if *old > f64::from(self.min_lr as f32) {
                let new = (old * self.factor).max(self.min_lr);
                cx.model.set_rate(member, new)?;
                reduced = true;
                if self.verbose > 0 {
                    let name = name.replace('_', " ");
                    progress::say(&format!(
                        "\nEpoch {}: ReduceLROnPlateau reducing {name} to {new}.",
                        epoch + 1
                    ));
                }
            }
        }
        Ok(reduced)
    }
}

impl Callback for ReduceLROnPlateau {
    fn on_train_begin(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        (self.best, self.wait, self.cooling) = (None, 0, 0);
        let refuse = |arg, want, got| Err(Error::arg(arg, want, got).owned_by("ReduceLROnPlateau"));
        if !(0.0..1.0).contains(&self.factor) {
            return refuse("factor", "a number in [0, 1)", self.factor);
        }
        if !(self.min_lr >= 0.0 && self.min_lr.is_finite()) {
            return refuse("min_lr", "a number that is not negative", self.min_lr);
        }
        Ok(())
    }

    fn on_epoch_end(
        &mut self,
        epoch: usize,
        logs: &mut Logs,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        let rates = cx.model.rates()?;
        rates.iter().for_each(|(name, rate)| logs.set(name, *rate));
        let Some(value) = self.monitor.value(logs, cx)? else {
            return Ok(());
        };
        if self.cooling > 0 {
            self.cooling -= 1;
            self.wait = 0;
        }
        if self.monitor.better(value, self.best) {
            (self.best, self.wait) = (Some(value), 0);
        } else if self.cooling == 0 {
            self.wait += 1;
            if self.wait >= self.patience && self.reduce(epoch, &rates, cx)? {
                (self.cooling, self.wait) = (self.cooldown, 0);
            }
        }
        Ok(())
    }

    fn state(&self) -> Option<State> {
        let state = State::new()
            .maybe("best", self.best)
            .number("wait", self.wait as f64)
            .number("cooling", self.cooling as f64);
        Some(state)
    }

    fn restore(&mut self, state: &State, _cx: &mut TrainContext<'_>) -> Result<()> {
        self.best = state.get("best");
        self.wait = state.count("wait")?;
        self.cooling = state.count("cooling")?;
        Ok(())
    }
}
