//! Averaged weights wherever the model is measured.

use super::{Callback, Logs, TrainContext};
use crate::error::Result;

/// Puts the moving averages of the weights (`use_ema` of the optimizer) into the model while it is measured, and the weights back
/// afterwards. [Keras](https://keras.io/api/callbacks/swap_ema_weights/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `swap_on_epoch` | false | whether the averages are also there between the end of an epoch and the beginning of the next, for callbacks that come after, such as `ModelCheckpoint` |
///
/// At the end of `fit` the model has the averages, as always with `use_ema`; unlike in Keras also when the training was stopped
/// with `swap_on_epoch`.
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([1]).add(Dense::new(1).kernel_initializer("zeros").use_bias(false));
/// model.compile(Sgd::new(0.25).use_ema(true).ema_momentum(0.5), "mse", ())?;
/// let (x, y) = ([[1.0f32]], [[1.0f32]]);
/// // Weights 0.5, 0.75 with averages 0.5, 0.625: the validation measures those.
/// let history = model.fit(&x, &y, Fit::epochs(2).validation(&x, &y).verbose(0).callback(SwapEMAWeights::new()))?;
/// assert_eq!(history.get("val_loss"), Some(&[0.25, 0.140625][..]));
/// assert_eq!(model.get_weights()[0][[0, 0]], 0.625);
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If no optimizer has `use_ema`.
#[derive(Clone, Debug, Default)]
pub struct SwapEMAWeights {
    swap_on_epoch: bool,
}

impl SwapEMAWeights {
    /// Swaps for tests and predictions.
    pub fn new() -> Self {
        SwapEMAWeights::default()
    }

    /// Whether it also swaps between epochs.
    pub fn swap_on_epoch(mut self, yes: bool) -> Self {
        self.swap_on_epoch = yes;
        self
    }
}

impl Callback for SwapEMAWeights {
    fn on_train_begin(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        cx.model.show_averages(false)
    }

    fn on_epoch_begin(&mut self, _epoch: usize, cx: &mut TrainContext<'_>) -> Result<()> {
        cx.model.show_averages(false)
    }

    fn on_epoch_end(
        &mut self,
        _epoch: usize,
        _logs: &mut Logs,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        if self.swap_on_epoch {
            cx.model.show_averages(true)?;
        }
        Ok(())
    }

    fn on_test_begin(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        cx.model.show_averages(true)
    }

    fn on_test_end(&mut self, _logs: &Logs, cx: &mut TrainContext<'_>) -> Result<()> {
        cx.model.show_averages(false)
    }

    fn on_predict_begin(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        cx.model.show_averages(true)
    }

    fn on_predict_end(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        cx.model.show_averages(false)
    }
}
