//! Callbacks: code that `fit`, `evaluate` and `predict` call as they go.

mod backup_and_restore;
mod context;
mod csv_logger;
mod early_stopping;
mod events;
mod history;
mod lambda_callback;
mod learning_rate_scheduler;
mod logs;
#[cfg(feature = "keras")]
mod model_checkpoint;
mod monitor;
pub(crate) mod progress;
mod python_format;
mod reduce_lr_on_plateau;
mod swap_ema_weights;
mod tensor_board;
mod terminate_on_nan;

pub use backup_and_restore::BackupAndRestore;
pub(crate) use context::BackupFiles;
pub use context::{State, TrainContext};
pub use csv_logger::CSVLogger;
pub use early_stopping::EarlyStopping;
pub use history::History;
pub use lambda_callback::LambdaCallback;
pub use learning_rate_scheduler::LearningRateScheduler;
pub use logs::{BatchLogs, Logs};
#[cfg(feature = "keras")]
pub use model_checkpoint::ModelCheckpoint;
pub use monitor::MonitorMode;
pub(crate) use monitor::direction;
pub use progress::Verbose;
pub use reduce_lr_on_plateau::ReduceLROnPlateau;
pub use swap_ema_weights::SwapEMAWeights;
pub use tensor_board::TensorBoard;
pub use terminate_on_nan::TerminateOnNaN;

use ndarray::ArrayD;

use crate::error::Result;
use crate::float::Float;

/// How often a callback acts: Keras's `"epoch"`, or a number of batches.
///
/// ```
/// use oxhorn::callbacks::Frequency;
/// assert_eq!(Frequency::from(100), Frequency::Batches(100));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frequency {
    /// After every epoch.
    #[default]
    Epoch,
    /// After so many batches.
    Batches(usize),
}

impl From<usize> for Frequency {
    fn from(batches: usize) -> Self {
        Frequency::Batches(batches)
    }
}

impl Frequency {
    /// Refuses 0 batches.
    fn check(self, owner: &str, arg: &str) -> Result<()> {
        use crate::error::Error;
        match self {
            Frequency::Batches(0) => {
                Err(Error::arg(arg, "an epoch, or a positive number of batches", 0).owned_by(owner))
            }
            _ => Ok(()),
        }
    }
}

/// Called by [`fit`](crate::models::Model::fit) at the points its methods name. Implement what you need.
///
/// The methods for batches are called for every batch and cost nothing unless they do something: the values of a batch are
/// computed when [`BatchLogs`] are looked at. The methods for tests are called by the validation within `fit` and by
/// [`evaluate_with`](crate::models::Model::evaluate_with), those for predictions by
/// [`predict_with`](crate::models::Model::predict_with); as these two leave the model as it is, callbacks see a copy of it there.
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

    /// After the last epoch, also when training was stopped or failed ([`TrainContext::failed`]).
    fn on_train_end(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// Before an epoch (counted from 0).
    fn on_epoch_begin(&mut self, _epoch: usize, _cx: &mut TrainContext<'_>) -> Result<()> {
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

    /// Before a batch (counted from 0 within the epoch).
    fn on_train_batch_begin(&mut self, _batch: usize, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// After a batch. `logs` holds the running means of the epoch.
    fn on_train_batch_end(
        &mut self,
        _batch: usize,
        _logs: &BatchLogs<'_>,
        _cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        Ok(())
    }

    /// Before a validation or an evaluation.
    fn on_test_begin(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// After it; the names in `logs` are without `val_`.
    fn on_test_end(&mut self, _logs: &Logs, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// Before a batch of a validation or an evaluation.
    fn on_test_batch_begin(&mut self, _batch: usize, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// After it.
    fn on_test_batch_end(
        &mut self,
        _batch: usize,
        _logs: &BatchLogs<'_>,
        _cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        Ok(())
    }

    /// Before a prediction.
    fn on_predict_begin(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// After it.
    fn on_predict_end(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// Before a batch of a prediction.
    fn on_predict_batch_begin(&mut self, _batch: usize, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// After it, with its outputs.
    fn on_predict_batch_end(
        &mut self,
        _batch: usize,
        _outputs: &[ArrayD<Float>],
        _cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        Ok(())
    }

    /// What must be known to go on in another process as if nothing had happened: asked for by
    /// [`BackupAndRestore`]. `None` if there is no such thing.
    fn state(&self) -> Option<State> {
        None
    }

    /// Takes it back, after `on_train_begin`. Where an epoch is gone on with in its middle, `on_epoch_begin` is not called again
    /// for it.
    ///
    /// # Errors
    /// If it is not what [`state`](Self::state) gave.
    fn restore(&mut self, _state: &State, _cx: &mut TrainContext<'_>) -> Result<()> {
        Ok(())
    }

    /// By what its state is known in a backup: the name of its type.
    fn name(&self) -> &str {
        let name = std::any::type_name::<Self>();
        let plain = name.split('<').next().unwrap_or(name);
        plain.rsplit("::").next().unwrap_or(plain)
    }
}

impl<C: Callback + ?Sized> Callback for &mut C {
    fn on_train_begin(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_train_begin(cx)
    }
    fn on_train_end(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_train_end(cx)
    }
    fn on_epoch_begin(&mut self, epoch: usize, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_epoch_begin(epoch, cx)
    }
    fn on_epoch_end(
        &mut self,
        epoch: usize,
        l: &mut Logs,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        (**self).on_epoch_end(epoch, l, cx)
    }
    fn on_train_batch_begin(&mut self, batch: usize, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_train_batch_begin(batch, cx)
    }
    fn on_train_batch_end(
        &mut self,
        batch: usize,
        logs: &BatchLogs<'_>,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        (**self).on_train_batch_end(batch, logs, cx)
    }
    fn on_test_begin(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_test_begin(cx)
    }
    fn on_test_end(&mut self, logs: &Logs, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_test_end(logs, cx)
    }
    fn on_test_batch_begin(&mut self, batch: usize, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_test_batch_begin(batch, cx)
    }
    fn on_test_batch_end(
        &mut self,
        batch: usize,
        logs: &BatchLogs<'_>,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        (**self).on_test_batch_end(batch, logs, cx)
    }
    fn on_predict_begin(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_predict_begin(cx)
    }
    fn on_predict_end(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_predict_end(cx)
    }
    fn on_predict_batch_begin(&mut self, batch: usize, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).on_predict_batch_begin(batch, cx)
    }
    fn on_predict_batch_end(
        &mut self,
        batch: usize,
        outputs: &[ArrayD<Float>],
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        (**self).on_predict_batch_end(batch, outputs, cx)
    }
    fn state(&self) -> Option<State> {
        (**self).state()
    }
    fn restore(&mut self, state: &State, cx: &mut TrainContext<'_>) -> Result<()> {
        (**self).restore(state, cx)
    }
    fn name(&self) -> &str {
        (**self).name()
    }
}
