//! The model, or its weights, in files as training goes on.

use std::path::Path;

use super::monitor::Monitor;
use super::python_format::{Field, format};
use super::{BatchLogs, Callback, Frequency, Logs, MonitorMode, State, TrainContext, progress};
use crate::error::{Error, Result};

/// Saves the model after every epoch, after so many batches, or when a value has never been better.
/// [Keras](https://keras.io/api/callbacks/model_checkpoint/)
///
/// The name of the file may hold `{epoch}` (from 1), `{batch}` (from 1, where batches are counted) and every name of the logs, with
/// Python's formats: `"{epoch:02d}-{val_loss:.2f}.keras"`. Folders are made, files are replaced whole or not at all.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `filepath` | | ends in `.keras` or `.h5`; of weights alone in `.weights.h5` or `.safetensors` |
/// | `monitor` | `val_loss` | name in the logs |
/// | `verbose` | 0 | 1 says what is saved |
/// | `save_best_only` | false | only when the value has improved |
/// | `save_weights_only` | false | the weights alone |
/// | `mode` | `Auto` | [`MonitorMode`] |
/// | `save_freq` | epoch | [`Frequency`] |
/// | `initial_value_threshold` | none | with `save_best_only`: what the value must first be better than |
///
/// With `save_best_only`, a value that is not there is an error that lists those that are (Keras warns and saves).
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([1]).add(Dense::new(1).kernel_initializer("zeros").use_bias(false));
/// model.compile(Sgd::new(0.25), "mse", ())?;
/// let folder = std::env::temp_dir().join(format!("oxhorn-doc-checkpoints-{}", std::process::id()));
/// let keep = ModelCheckpoint::new(folder.join("{epoch:02d}-{loss:.2f}.keras")).monitor("loss").save_best_only(true);
/// model.fit(&[[1.0f32]], &[[1.0f32]], Fit::epochs(2).verbose(0).callback(keep))?;
/// let first = saving::load_model(folder.join("01-1.00.keras"))?;
/// assert_eq!(first.get_weights()[0][[0, 0]], 0.5);
/// assert!(folder.join("02-0.25.keras").exists());
/// std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// `fit` fails if the name has another ending or a name that is not in the logs, or the file system refuses.
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    filepath: String,
    monitor: Monitor,
    verbose: u8,
    save_best_only: bool,
    save_weights_only: bool,
    save_freq: Frequency,
    initial_value_threshold: Option<f64>,
    best: Option<f64>,
    epoch: usize,
    /// Batches since the last save.
    batches: usize,
}

const NAME: &str = "ModelCheckpoint";

impl ModelCheckpoint {
    /// Saves to files of this name.
    pub fn new(filepath: impl AsRef<Path>) -> Self {
        ModelCheckpoint {
            filepath: filepath.as_ref().to_string_lossy().into_owned(),
            monitor: Monitor::new(NAME, "val_loss", 0.0),
            verbose: 0,
            save_best_only: false,
            save_weights_only: false,
            save_freq: Frequency::Epoch,
            initial_value_threshold: None,
            best: None,
            epoch: 0,
            batches: 0,
        }
    }

    /// Name in the logs.
    pub fn monitor(mut self, name: impl Into<String>) -> Self {
        self.monitor.name = name.into();
        self
    }

    /// 1 says what is saved.
    pub fn verbose(mut self, level: u8) -> Self {
        self.verbose = level;
        self
    }

    /// Only when the value has improved.
    pub fn save_best_only(mut self, yes: bool) -> Self {
        self.save_best_only = yes;
        self
    }

    /// The weights alone.
    pub fn save_weights_only(mut self, yes: bool) -> Self {
        self.save_weights_only = yes;
        self
    }

    /// Which direction is better.
    pub fn mode(mut self, mode: MonitorMode) -> Self {
        self.monitor.mode = mode;
        self
    }

    /// After every epoch, or after so many batches.
    pub fn save_freq(mut self, frequency: impl Into<Frequency>) -> Self {
        self.save_freq = frequency.into();
        self
    }

    /// What the value must first be better than.
    pub fn initial_value_threshold(mut self, value: f64) -> Self {
        self.initial_value_threshold = Some(value);
        self
    }

    /// The best value so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }

    fn save(&mut self, batch: Option<usize>, logs: &Logs, cx: &mut TrainContext<'_>) -> Result<()> {
        let mut fields = vec![("epoch", Field::Integer(self.epoch as i64 + 1))];
        fields.extend(batch.map(|b| ("batch", Field::Integer(b as i64 + 1))));
        fields.extend(
            logs.iter()
                .map(|(name, value)| (name, Field::Number(value))),
        );
        let head = format!("\nEpoch {}:", self.epoch + 1);
        let say = |text: String| {
            if self.verbose > 0 {
                progress::say(&format!("{head} {text}"));
            }
        };
        let path = match self.save_best_only {
            false => {
                let path = format(&self.filepath, &fields)?;
                say(format!("saving model to {path}"));
                path
            }
            true => {
                let Some(value) = self.monitor.value(logs, cx)? else {
                    return Ok(());
                };
                let name = &self.monitor.name;
                let best = self.best.map_or("None".into(), |b| format!("{b:.5}"));
                if !self.monitor.better(value, self.best) {
                    say(format!("{name} did not improve from {best}"));
                    return Ok(());
                }
                let path = format(&self.filepath, &fields)?;
                say(format!(
                    "{name} improved from {best} to {value:.5}, saving model to {path}"
                ));
                self.best = Some(value);
                path
            }
        };
        let path = Path::new(&path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        }
        match self.save_weights_only {
            true => cx.model.save_weights(path)?,
            false => cx.model.save(path)?,
        }
        if self.verbose > 0 {
            progress::say(&format!(
                "{head} finished saving model to {}",
                path.display()
            ));
        }
        Ok(())
    }
}

impl Callback for ModelCheckpoint {
    fn on_train_begin(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        (self.best, self.batches) = (self.best.or(self.initial_value_threshold), 0);
        self.save_freq.check(NAME, "save_freq")?;
        let by_batch = matches!(self.save_freq, Frequency::Batches(_)) && self.save_best_only;
        if by_batch && self.monitor.name.starts_with("val_") {
            let want = "a value of the training: batches have none of the validation";
            return Err(Error::arg("monitor", want, &self.monitor.name).owned_by(NAME));
        }
        let (endings, want): (&[&str], _) = match self.save_weights_only {
            true => (
                &[".weights.h5", ".safetensors"],
                "a name that ends in `.weights.h5` or `.safetensors`",
            ),
            false => (&[".keras", ".h5"], "a name that ends in `.keras` or `.h5`"),
        };
        match endings.iter().any(|e| self.filepath.ends_with(e)) {
            true => Ok(()),
            false => Err(Error::arg("filepath", want, &self.filepath).owned_by(NAME)),
        }
    }

    fn on_epoch_begin(&mut self, epoch: usize, _cx: &mut TrainContext<'_>) -> Result<()> {
        self.epoch = epoch;
        Ok(())
    }

    fn on_train_batch_end(
        &mut self,
        batch: usize,
        logs: &BatchLogs<'_>,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        let Frequency::Batches(every) = self.save_freq else {
            return Ok(());
        };
        self.batches += 1;
        if self.batches >= every {
            self.batches = 0;
            self.save(Some(batch), logs, cx)?;
        }
        Ok(())
    }

    fn on_epoch_end(
        &mut self,
        _epoch: usize,
        logs: &mut Logs,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        match self.save_freq {
            Frequency::Epoch => self.save(None, logs, cx),
            Frequency::Batches(_) => Ok(()),
        }
    }

    fn state(&self) -> Option<State> {
        let state = State::new()
            .maybe("best", self.best)
            .number("epoch", self.epoch as f64)
            .number("batches", self.batches as f64);
        Some(state)
    }

    fn restore(&mut self, state: &State, _cx: &mut TrainContext<'_>) -> Result<()> {
        self.best = state.get("best");
        self.epoch = state.count("epoch")?;
        self.batches = state.count("batches")?;
        Ok(())
    }
}
