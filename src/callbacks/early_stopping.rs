//! Stops when a value no longer improves, and can put back the best weights.

use super::monitor::Monitor;
use super::{Callback, Logs, MonitorMode, State, TrainContext, progress};
use crate::error::Result;
use crate::graph::weights::Weights;
use crate::kernels::memory::Buffer;

/// Stops training when a monitored value has not improved for `patience` epochs.
///
/// Unlike in Keras, `restore_best_weights` puts the best weights back on **every** exit: also when all epochs were run, when
/// another callback stopped the training, and when it failed. A value that is not there is an error that lists those that are
/// (Keras warns); epochs without validation are passed over. [Keras](https://keras.io/api/callbacks/early_stopping/)
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
/// | `verbose` | 0 | 1 says when it stops |
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().seed(3).input([1]).add(Dense::new(1));
/// model.compile(Sgd::new(0.1), "mse", ())?;
/// let stop = EarlyStopping::new("loss").min_delta(1e-3).patience(2).restore_best_weights(true);
/// let history = model.fit(&[[0.0f32], [1.0]], &[[1.0f32], [3.0]], Fit::epochs(1000).verbose(0).callback(stop))?;
/// assert!(history.epochs.len() < 200);
///
/// // A loss that grows from the first epoch on: stopped after two epochs of patience, as Keras does.
/// let mut model = Sequential::new().input([1]).add(Dense::new(1).kernel_initializer("ones"));
/// model.compile(Sgd::new(10.0), "mse", ())?;
/// let mut stop = EarlyStopping::new("loss").patience(2);
/// model.fit(&[[1.0f32]], &[[2.0f32]], Fit::epochs(10).verbose(0).callback(&mut stop))?;
/// assert_eq!((stop.stopped_epoch(), stop.best()), (Some(2), Some((0, 1.0))));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
    baseline: Option<f64>,
    restore_best_weights: bool,
    start_from_epoch: usize,
    verbose: u8,
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
            monitor: Monitor::new("EarlyStopping", monitor, 0.0),
            patience: 0,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
            verbose: 0,
            best: None,
            best_epoch: 0,
            best_weights: None,
            wait: 0,
            stopped_epoch: None,
        }
    }

    /// What counts as an improvement must exceed this.
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.monitor.min_delta = delta.abs();
        self
    }

    /// Epochs without improvement before stopping.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// Which direction is better.
    pub fn mode(mut self, mode: MonitorMode) -> Self {
        self.monitor.mode = mode;
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

    /// 1 says when it stops.
    pub fn verbose(mut self, level: u8) -> Self {
        self.verbose = level;
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
        let Some(value) = self.monitor.value(logs, cx)? else {
            return Ok(());
        };
        if epoch < self.start_from_epoch {
            return Ok(());
        }
        self.wait += 1;
        if self.monitor.better(value, self.best) {
            (self.best, self.best_epoch) = (Some(value), epoch);
            if self.restore_best_weights {
                self.best_weights = Some(cx.model.snapshot());
            }
            if self.baseline.is_none() || self.monitor.better(value, self.baseline) {
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
        if let Some(epoch) = self.stopped_epoch.filter(|_| self.verbose > 0) {
            progress::say(&format!("Epoch {}: early stopping", epoch + 1));
        }
        if let Some(best) = self.best_weights.take() {
            if self.verbose > 0 {
                progress::say(&format!(
                    "Restoring model weights from the end of the best epoch: {}.",
                    self.best_epoch + 1
                ));
            }
            cx.model.restore(&best);
        }
        Ok(())
    }

    fn state(&self) -> Option<State> {
        let mut state = State::new()
            .maybe("best", self.best)
            .number("best_epoch", self.best_epoch as f64)
            .number("wait", self.wait as f64)
            .maybe("stopped_epoch", self.stopped_epoch.map(|e| e as f64));
        if let Some(weights) = &self.best_weights {
            state = state
                .array("best_params", &weights.params)
                .array("best_state", &weights.state);
        }
        Some(state)
    }

    fn restore(&mut self, state: &State, cx: &mut TrainContext<'_>) -> Result<()> {
        self.best = state.get("best");
        self.best_epoch = state.count("best_epoch")?;
        self.wait = state.count("wait")?;
        self.stopped_epoch = match state.get("stopped_epoch") {
            Some(_) => Some(state.count("stopped_epoch")?),
            None => None,
        };
        let arrays = (
            state.get_array("best_params"),
            state.get_array("best_state"),
        );
        self.best_weights = match arrays {
            (Some(params), Some(state)) => {
                let weights = Weights {
                    params: Buffer::from(params),
                    state: Buffer::from(state),
                };
                cx.model.check_fits(&weights)?;
                Some(weights)
            }
            _ => None,
        };
        Ok(())
    }
}
