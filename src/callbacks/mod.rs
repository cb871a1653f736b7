//! Callbacks: code that `fit` calls as it goes.

mod early_stopping;
mod history;
pub(crate) mod progress;

pub use early_stopping::{EarlyStopping, MonitorMode};
pub use history::History;
pub use progress::Verbose;

use crate::error::Result;
use crate::models::Model;

/// Called by [`fit`](crate::models::Model::fit) at the points its methods name. Implement what you need.
///
/// ```
/// use oxhorn::callbacks::{Callback, Logs, TrainContext};
/// use oxhorn::prelude::*;
///
/// /// Halves the learning rate after every epoch.
/// struct Halve;
/// impl Callback for Halve {
///     fn on_epoch_end(&mut self, _epoch: usize, _logs: &mut Logs, cx: &mut TrainContext<'_>) -> Result<()> {
///         let rate = cx.model.learning_rate()?;
///         cx.model.set_learning_rate(rate / 2.0)
///     }
/// }
///
/// let mut model = Sequential::new().input([1]).add(Dense::new(1));
/// model.compile(Sgd::new(0.5), "mse", ())?;
/// model.fit(&[[1.0f32], [2.0]], &[[2.0f32], [4.0]], Fit::epochs(3).verbose(0).callback(Halve))?;
/// assert_eq!(model.learning_rate()?, 0.5 / 8.0);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub trait Callback: Send {
    /// Before the first epoch.
    fn on_train_begin(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// Before an epoch (counted from 0).
    fn on_epoch_begin(&mut self, _epoch: usize, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// After a batch, if [`wants_batches`](Self::wants_batches). `logs` holds the running means of the epoch.
    fn on_batch_end(
        &mut self,
        _batch: usize,
        _logs: &Logs,
        _cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        Ok(())
    }

    /// After an epoch and its validation. What is added to `logs` appears in the history.
    fn on_epoch_end(
        &mut self,
        _epoch: usize,
        _logs: &mut Logs,
        _cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        Ok(())
    }

    /// After the last epoch, also when training was stopped or failed.
    fn on_train_end(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// Whether `on_batch_end` is to be called; the running metrics of every batch cost time.
    fn wants_batches(&self) -> bool {
        false
    }
}

impl<C: Callback + ?Sized> Callback for &mut C {
    fn on_train_begin(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_train_begin(cx)
    }
    fn on_epoch_begin(&mut self, epoch: usize, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_epoch_begin(epoch, cx)
    }
    fn on_batch_end(&mut self, batch: usize, logs: &Logs, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_batch_end(batch, logs, cx)
    }
    fn on_epoch_end(
        &mut self,
        epoch: usize,
        logs: &mut Logs,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        (**self).on_epoch_end(epoch, logs, cx)
    }
    fn on_train_end(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_train_end(cx)
    }
    fn wants_batches(&self) -> bool {
        (**self).wants_batches()
    }
}

/// What a callback may see and change.
#[derive(Debug)]
pub struct TrainContext<'a> {
    /// The model in training: its weights, learning rate, names.
    pub model: &'a mut Model,
    /// Epochs that were asked for.
    pub epochs: usize,
    /// Batches an epoch; 0 during the first epoch with a dataset that does not know.
    pub steps: usize,
    /// Whether anything is printed.
    pub verbose: bool,
    pub(crate) stop: bool,
}

impl TrainContext<'_> {
    /// Ends training after this epoch (or batch).
    pub fn stop_training(&mut self) {
        self.stop = true;
    }
}

/// Names and values in order: `loss`, the metrics, and those of the validation with `val_` in front.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs(Vec<Entry>);

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    name: String,
    value: f64,
    /// Of a metric that has several; else empty.
    values: Vec<f64>,
}

impl Logs {
    fn find(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|e| e.name == name)
    }

    /// The value of this name: of a metric with several, their mean.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.find(name).map(|e| e.value)
    }

    /// All values of this name: those of `F1Score` for each class; of most metrics one.
    pub fn values(&self, name: &str) -> Option<&[f64]> {
        self.find(name).map(|e| match e.values.is_empty() {
            true => std::slice::from_ref(&e.value),
            false => &e.values,
        })
    }

    /// Sets the value of this name.
    pub fn set(&mut self, name: &str, value: f64) {
        self.set_values(name, value, &[]);
    }

    /// Sets the value of this name, and the values that it stands for.
    pub(crate) fn set_values(&mut self, name: &str, value: f64, values: &[f64]) {
        match self.0.iter_mut().find(|e| e.name == name) {
            Some(entry) => {
                entry.value = value;
                entry.values.clear();
                entry.values.extend_from_slice(values);
            }
            None => self.0.push(Entry {
                name: name.to_string(),
                value,
                values: values.to_vec(),
            }),
        }
    }

    /// Every name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|e| (e.name.as_str(), e.value))
    }

    /// The names.
    pub fn names(&self) -> Vec<&str> {
        self.iter().map(|(n, _)| n).collect()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl std::fmt::Display for Logs {
    /// `loss: 0.1234 - accuracy: 0.9876`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            write!(
                f,
                "{}{name}: {}",
                if i > 0 { " - " } else { "" },
                progress::number(value)
            )?;
        }
        Ok(())
    }
}
