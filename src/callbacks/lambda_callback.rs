//! Closures as a callback.

use super::{BatchLogs, Callback, Logs, TrainContext};
use crate::error::Result;

type OnTrain<'a> = Box<dyn FnMut(&mut TrainContext<'_>) -> Result<()> + Send + 'a>;
type OnBegin<'a> = Box<dyn FnMut(usize, &mut TrainContext<'_>) -> Result<()> + Send + 'a>;
type OnEpochEnd<'a> =
    Box<dyn FnMut(usize, &mut Logs, &mut TrainContext<'_>) -> Result<()> + Send + 'a>;
type OnBatchEnd<'a> =
    Box<dyn FnMut(usize, &BatchLogs<'_>, &mut TrainContext<'_>) -> Result<()> + Send + 'a>;

/// A callback made of closures, one a method. [Keras](https://keras.io/api/callbacks/lambda_callback/)
///
/// ```
/// use oxhorn::prelude::*;
/// let mut losses = Vec::new();
/// let mut batches = 0;
/// let watch = LambdaCallback::new()
///     .on_epoch_end(|_epoch, logs, _| Ok(losses.extend(logs.get("loss"))))
///     .on_train_batch_begin(|_batch, _| Ok(batches += 1));
/// let mut model = Sequential::new().input([1]).add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let history = model.fit(&[[1.0f32], [2.0]], &[[2.0f32], [4.0]], Fit::epochs(3).batch_size(1).verbose(0).callback(watch))?;
/// assert_eq!(history.get("loss").unwrap(), losses);
/// assert_eq!(batches, 6);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Default)]
pub struct LambdaCallback<'a> {
    epoch_begin: Option<OnBegin<'a>>,
    epoch_end: Option<OnEpochEnd<'a>>,
    train_begin: Option<OnTrain<'a>>,
    train_end: Option<OnTrain<'a>>,
    train_batch_begin: Option<OnBegin<'a>>,
    train_batch_end: Option<OnBatchEnd<'a>>,
}

impl<'a> LambdaCallback<'a> {
    /// One that does nothing yet.
    pub fn new() -> Self {
        LambdaCallback::default()
    }

    /// Before an epoch.
    pub fn on_epoch_begin(
        mut self,
        f: impl FnMut(usize, &mut TrainContext<'_>) -> Result<()> + Send + 'a,
    ) -> Self {
        self.epoch_begin = Some(Box::new(f));
        self
    }

    /// After an epoch.
    pub fn on_epoch_end(
        mut self,
        f: impl FnMut(usize, &mut Logs, &mut TrainContext<'_>) -> Result<()> + Send + 'a,
    ) -> Self {
        self.epoch_end = Some(Box::new(f));
        self
    }

    /// Before the first epoch.
    pub fn on_train_begin(
        mut self,
        f: impl FnMut(&mut TrainContext<'_>) -> Result<()> + Send + 'a,
    ) -> Self {
        self.train_begin = Some(Box::new(f));
        self
    }

    /// After the last epoch.
    pub fn on_train_end(
        mut self,
        f: impl FnMut(&mut TrainContext<'_>) -> Result<()> + Send + 'a,
    ) -> Self {
        self.train_end = Some(Box::new(f));
        self
    }

    /// Before a batch.
    pub fn on_train_batch_begin(
        mut self,
        f: impl FnMut(usize, &mut TrainContext<'_>) -> Result<()> + Send + 'a,
    ) -> Self {
        self.train_batch_begin = Some(Box::new(f));
        self
    }

    /// After a batch.
    pub fn on_train_batch_end(
        mut self,
        f: impl FnMut(usize, &BatchLogs<'_>, &mut TrainContext<'_>) -> Result<()> + Send + 'a,
    ) -> Self {
        self.train_batch_end = Some(Box::new(f));
        self
    }
}

impl Callback for LambdaCallback<'_> {
    fn on_train_begin(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        self.train_begin.as_mut().map_or(Ok(()), |f| f(cx))
    }

    fn on_train_end(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        self.train_end.as_mut().map_or(Ok(()), |f| f(cx))
    }

    fn on_epoch_begin(&mut self, epoch: usize, cx: &mut TrainContext<'_>) -> Result<()> {
        self.epoch_begin.as_mut().map_or(Ok(()), |f| f(epoch, cx))
    }

    fn on_epoch_end(
        &mut self,
        epoch: usize,
        logs: &mut Logs,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        let f = self.epoch_end.as_mut();
        f.map_or(Ok(()), |f| f(epoch, logs, cx))
    }

    fn on_train_batch_begin(&mut self, batch: usize, cx: &mut TrainContext<'_>) -> Result<()> {
        let f = self.train_batch_begin.as_mut();
        f.map_or(Ok(()), |f| f(batch, cx))
    }

    fn on_train_batch_end(
        &mut self,
        batch: usize,
        logs: &BatchLogs<'_>,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        let f = self.train_batch_end.as_mut();
        f.map_or(Ok(()), |f| f(batch, logs, cx))
    }
}
