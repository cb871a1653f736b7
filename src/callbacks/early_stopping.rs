//! Stops when a value no longer improves, and can put back the best weights.

use super::{Callback, Logs, TrainContext};
use crate::error::{Error, Result};
use crate::graph::weights::Weights;

/// Which direction of a monitored value is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MonitorMode {
    /// By the name: accuracies, AUC, precision, recall and F-scores up, everything else down.
    #[default]
    Auto,
    /// Less is better.
    Min,
    /// More is better.
    Max,
}

/// Stops training when a monitored value has not improved for `patience` epochs.
///
/// Unlike in Keras, `restore_best_weights` puts the best weights back on **every** exit: also when all epochs were run, when
/// another callback stopped the training, and when it failed.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `monitor` | `val_loss` | name in the logs |
/// | `min_delta` | 0 | what counts as an improvement must exceed this |
/// | `patience` | 0 | epochs without improvement before stopping |
/// | `mode` | `Auto` | [`MonitorMode`] |
/// | `baseline` | none | no epoch counts as good before it beats this |
/// | `restore_best_weights` | false | |
/// | `start_from_epoch` | 0 | epochs to ignore at the start |
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().seed(3).input([1]).add(Dense::new(1));
/// model.compile(Sgd::new(0.1), "mse", ())?;
/// let stop = EarlyStopping::new("loss").min_delta(1e-3).patience(2).restore_best_weights(true);
/// let history = model.fit(&[[0.0f32], [1.0]], &[[1.0f32], [3.0]], Fit::epochs(1000).verbose(0).callback(stop))?;
/// assert!(history.epochs.len() < 200);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    monitor: String,
    min_delta: f64,
    patience: usize,
    mode: MonitorMode,
    baseline: Option<f64>,
    restore_best_weights: bool,
    start_from_epoch: usize,
    best: Option<f64>,
    best_epoch: usize,
    best_weights: Option<Weights>,
    wait: usize,
    /// Epoch after which training was stopped.
    stopped_epoch: Option<usize>,
}

impl EarlyStopping {
    /// Watches this name in the logs.
    pub fn new(monitor: impl Into<String>) -> Self {
        EarlyStopping {
            monitor: monitor.into(),
            min_delta: 0.0,
            patience: 0,
            mode: MonitorMode::Auto,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
            best: None,
            best_epoch: 0,
            best_weights: None,
            wait: 0,
            stopped_epoch: None,
        }
    }

    /// What counts as an improvement must exceed this.
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta.abs();
        self
    }

    /// Epochs without improvement before stopping.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// Which direction is better.
    pub fn mode(mut self, mode: MonitorMode) -> Self {
        self.mode = mode;
        self
    }

    /// No epoch counts as good before it beats this.
    pub fn baseline(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// Put the weights of the best epoch back at the end.
    pub fn restore_best_weights(mut self, yes: bool) -> Self {
        self.restore_best_weights = yes;
        self
    }

    /// Epochs to ignore at the start.
    pub fn start_from_epoch(mut self, epoch: usize) -> Self {
        self.start_from_epoch = epoch;
        self
    }

    /// Epoch (from 0) after which it stopped the training, if it did.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.stopped_epoch
    }

    /// The best epoch (from 0) and its value, once there is one.
    pub fn best(&self) -> Option<(usize, f64)> {
        self.best.map(|best| (self.best_epoch, best))
    }

    /// Whether `value` is better than `than` by more than `min_delta`. NaN is never better.
    fn better(&self, value: f64, than: f64) -> bool {
        if self.mode.more_is_better(&self.monitor) {
            value - self.min_delta > than
        } else {
            value + self.min_delta < than
        }
    }
}

impl MonitorMode {
    /// Resolves `Auto` by the name of the monitored value.
    pub fn more_is_better(self, monitor: &str) -> bool {
        match self {
            MonitorMode::Min => false,
            MonitorMode::Max => true,
            MonitorMode::Auto => {
                let name = monitor.strip_prefix("val_").unwrap_or(monitor);
                let up = [
                    "accuracy",
                    "acc",
                    "auc",
                    "precision",
                    "recall",
                    "f1_score",
                    "fbeta_score",
                    "r2_score",
                    "iou",
                ];
                !name.ends_with("loss") && up.iter().any(|u| name.contains(u))
            }
        }
    }
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        (self.best, self.best_weights, self.wait, self.stopped_epoch) = (None, None, 0, None);
        Ok(())
    }

    fn on_epoch_end(
        &mut self,
        epoch: usize,
        logs: &mut Logs,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        let Some(value) = logs.get(&self.monitor) else {
            return Err(Error::unknown(
                "value for EarlyStopping to monitor",
                &self.monitor,
                logs.names(),
            ));
        };
        if epoch < self.start_from_epoch {
            return Ok(());
        }
        self.wait += 1;
        if self.best.is_none_or(|best| self.better(value, best)) && !value.is_nan() {
            (self.best, self.best_epoch) = (Some(value), epoch);
            if self.restore_best_weights {
                self.best_weights = Some(cx.model.snapshot());
            }
            if self
                .baseline
                .is_none_or(|baseline| self.better(value, baseline))
            {
                self.wait = 0;
            }
            return Ok(());
        }
        if self.wait >= self.patience && epoch > 0 {
            self.stopped_epoch = Some(epoch);
            cx.stop_training();
        }
        Ok(())
    }

    fn on_train_end(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        if let Some(best) = self.best_weights.take() {
            cx.model.restore(&best);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_which_direction_is_better() {
        let auto = MonitorMode::Auto;
        assert!(auto.more_is_better("val_accuracy") && auto.more_is_better("auc_1"));
        assert!(!auto.more_is_better("val_loss") && !auto.more_is_better("mean_squared_error"));
    }
}
