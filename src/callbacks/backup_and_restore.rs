//! A training that survives its process.

use std::path::{Path, PathBuf};

use super::{BackupFiles, BatchLogs, Callback, Frequency, Logs, State, TrainContext};
use crate::error::{Error, Result};
use crate::train::backup::SAFETENSORS;

/// Backs the training up into a folder, and goes on from there when `fit` is called again after an interruption, in whatever
/// process: to the bit as if nothing had happened. [Keras](https://keras.io/api/callbacks/backup_and_restore/)
///
/// A backup has the weights, the optimizer's memory and learning rate, epoch and batch, the seed, and what the other callbacks
/// remember ([`Callback::state`]): the best value and weights of `EarlyStopping`, the patience of `ReduceLROnPlateau`. It is one file,
/// which is replaced whole or not at all. The data, the model and the arguments must be the same when `fit` is called again. The
/// history has the epochs that end in this process.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `backup_dir` | | folder of the backup, for nothing else |
/// | `save_freq` | epoch | [`Frequency`] |
/// | `double_checkpoint` | false | whether the backup before is kept too, and read if the last one cannot be |
/// | `delete_checkpoint` | true | whether the backup is removed once the training has ended (without an error) |
///
/// ```
/// use oxhorn::prelude::*;
/// let folder = std::env::temp_dir().join(format!("oxhorn-doc-backup-{}", std::process::id()));
/// let model = || -> Result<Sequential> {
///     let mut model = Sequential::new().seed(1).input([2]).add(Dense::new(1));
///     model.compile("adam", "mse", ())?;
///     Ok(model)
/// };
/// let (x, y) = ([[1.0f32, 0.0], [0.0, 1.0], [1.0, 1.0]], [[1.0f32], [2.0], [3.0]]);
/// let fit = || Fit::epochs(4).batch_size(1).verbose(0);
/// let mut whole = model()?;
/// whole.fit(&x, &y, fit())?;
///
/// // Interrupted in its third epoch, and begun again with a new model.
/// let interrupt = LambdaCallback::new().on_epoch_begin(|epoch, _| match epoch {
///     2 => Err(oxhorn::Error::Model("interrupted".into())),
///     _ => Ok(()),
/// });
/// let backup = || BackupAndRestore::new(&folder);
/// assert!(model()?.fit(&x, &y, fit().callback(backup()).callback(interrupt)).is_err());
/// let mut again = model()?;
/// let history = again.fit(&x, &y, fit().callback(backup()))?;
/// assert_eq!(history.epochs, [2, 3]);
/// assert_eq!(again.get_weights(), whole.get_weights());
/// assert!(!folder.exists());
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// `fit` fails if the backup cannot be written or read, or is of another model or optimizer.
#[derive(Clone, Debug)]
pub struct BackupAndRestore {
    folder: PathBuf,
    save_freq: Frequency,
    double_checkpoint: bool,
    delete_checkpoint: bool,
    /// Batches since the last backup.
    batches: usize,
}

const LATEST: &str = "latest.safetensors";
const PREVIOUS: &str = "previous.safetensors";
const NAME: &str = "BackupAndRestore";

impl BackupAndRestore {
    /// Into this folder.
    pub fn new(backup_dir: impl AsRef<Path>) -> Self {
        BackupAndRestore {
            folder: backup_dir.as_ref().into(),
            save_freq: Frequency::Epoch,
            double_checkpoint: false,
            delete_checkpoint: true,
            batches: 0,
        }
    }

    /// After every epoch, or after so many batches.
    pub fn save_freq(mut self, frequency: impl Into<Frequency>) -> Self {
        self.save_freq = frequency.into();
        self
    }

    /// Whether the backup before is kept too.
    pub fn double_checkpoint(mut self, yes: bool) -> Self {
        self.double_checkpoint = yes;
        self
    }

    /// Whether the backup is removed once the training has ended.
    pub fn delete_checkpoint(mut self, yes: bool) -> Self {
        self.delete_checkpoint = yes;
        self
    }

    fn files(&self) -> BackupFiles {
        let previous = self.double_checkpoint.then(|| self.folder.join(PREVIOUS));
        BackupFiles {
            latest: self.folder.join(LATEST),
            previous,
            format: &SAFETENSORS,
        }
    }

    /// Asks for a backup, which is made when all callbacks have been called.
    fn ask(&self, cx: &mut TrainContext<'_>) -> Result<()> {
        match cx.backup.replace(self.files()) {
            None => Ok(()),
            Some(_) => Err(Error::arg("callback", "one a training", "two").owned_by(NAME)),
        }
    }

    /// Removes our files, those of writes that were interrupted, and the folder if nothing else is in it.
    fn remove(&self) -> Result<()> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let partial = name.starts_with(&format!(".{LATEST}.")) && name.ends_with(".tmp");
            if name == LATEST || name == PREVIOUS || partial {
                let path = entry.path();
                std::fs::remove_file(&path).map_err(|e| Error::io(path, e))?;
            }
        }
        // It may hold what is not ours.
        let _ = std::fs::remove_dir(&self.folder);
        Ok(())
    }
}

impl Callback for BackupAndRestore {
    fn on_train_begin(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        self.batches = 0;
        self.save_freq.check(NAME, "save_freq")?;
        if self.folder.as_os_str().is_empty() {
            return Err(Error::arg("backup_dir", "a folder", "an empty name").owned_by(NAME));
        }
        self.ask(cx)
    }

    fn on_train_batch_end(
        &mut self,
        _batch: usize,
        _logs: &BatchLogs<'_>,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        let Frequency::Batches(every) = self.save_freq else {
            return Ok(());
        };
        self.batches += 1;
        if self.batches < every {
            return Ok(());
        }
        self.batches = 0;
        self.ask(cx)
    }

    fn on_epoch_end(
        &mut self,
        _epoch: usize,
        _logs: &mut Logs,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        match self.save_freq {
            Frequency::Epoch => self.ask(cx),
            Frequency::Batches(_) => Ok(()),
        }
    }

    fn on_train_end(&mut self, cx: &mut TrainContext<'_>) -> Result<()> {
        match self.delete_checkpoint && !cx.failed {
            true => self.remove(),
            false => Ok(()),
        }
    }

    fn state(&self) -> Option<State> {
        Some(State::new().number("batches", self.batches as f64))
    }

    fn restore(&mut self, state: &State, _cx: &mut TrainContext<'_>) -> Result<()> {
        self.batches = state.count("batches")?;
        Ok(())
    }
}
