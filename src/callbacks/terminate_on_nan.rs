//! The end of a training whose loss is lost.

use super::{BatchLogs, Callback, TrainContext, progress};
use crate::error::{Error, Result};

/// Ends the training in the batch in which the loss is NaN or infinite. [Keras](https://keras.io/api/callbacks/terminate_on_nan/)
///
/// `fit` itself makes an error of such a loss, which says in which layer it began; this callback is for
/// [`stop_on_nan(false)`](crate::train::fit::Fit::stop_on_nan), where the training is to end without one.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `raise_error` | false | whether `fit` fails instead of returning what it has |
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([1]).add(Dense::new(1));
/// model.compile(Sgd::new(1e30), "mse", ())?;
/// let fit = || Fit::epochs(50).stop_on_nan(false).verbose(0);
/// let history = model.fit(&[[1.0f32]], &[[2.0f32]], fit().callback(TerminateOnNaN::new()))?;
/// assert_eq!(history.epochs, [0, 1]); // the loss of the second epoch is infinite
/// let failed = model.fit(&[[1.0f32]], &[[2.0f32]], fit().callback(TerminateOnNaN::new().raise_error(true)));
/// assert!(failed.is_err());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TerminateOnNaN {
    raise_error: bool,
}

impl TerminateOnNaN {
    /// Ends the training.
    pub fn new() -> Self {
        TerminateOnNaN::default()
    }

    /// Whether `fit` fails.
    pub fn raise_error(mut self, yes: bool) -> Self {
        self.raise_error = yes;
        self
    }
}

impl Callback for TerminateOnNaN {
    fn on_train_batch_end(
        &mut self,
        batch: usize,
        logs: &BatchLogs<'_>,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        let Some(loss) = logs.get("loss").filter(|loss| !loss.is_finite()) else {
            return Ok(());
        };
        if self.raise_error {
            let problem = format!("the loss is {loss} at batch {batch}");
            return Err(Error::data("TerminateOnNaN", problem));
        }
        if cx.verbose {
            progress::say(&format!(
                "Batch {batch}: Invalid loss, terminating training"
            ));
        }
        cx.stop_training();
        Ok(())
    }
}
