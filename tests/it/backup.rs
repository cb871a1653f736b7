//! A training that is killed at any moment and begun again ends with the same bits.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ndarray::Array2;
use oxhorn::callbacks::Frequency;
use oxhorn::optimizers::Nadam;
use oxhorn::prelude::*;

use crate::problem;

const EPOCHS: usize = 4;
/// Of 50 samples, the training has 40: five batches.
const BATCH: usize = 8;

/// Everything with a memory: dropout, moving statistics, an optimizer with slots, numbers, averages and sums, metrics that count.
fn model() -> Sequential {
    let mut model = Sequential::new()
        .seed(11)
        .input([4])
        .add(Dense::new(8).activation("relu"))
        .add(BatchNormalization::new())
        .add(Dropout::new(0.3))
        .add(Dense::new(1).activation("sigmoid"));
    let optimizer = Nadam::new(0.01)
        .use_ema(true)
        .ema_momentum(0.9)
        .ema_overwrite_frequency(4)
        .gradient_accumulation_steps(2);
    model
        .compile(
            optimizer,
            "binary_crossentropy",
            ["accuracy", "auc", "recall"],
        )
        .unwrap();
    model
}

/// Trains in this folder, with callbacks whose memory changes the weights. `watch` is the last of them.
fn train(folder: &Path, freq: Frequency, watch: impl Callback) -> Result<(Sequential, History)> {
    let (x, y) = problem(50, 4, 3);
    let mut model = model();
    let fit = Fit::epochs(EPOCHS)
        .batch_size(BATCH)
        .validation_split(0.2)
        .verbose(0)
        .callback(
            EarlyStopping::new("val_loss")
                .patience(2)
                .restore_best_weights(true),
        )
        // Of the running means of an epoch, so that these must be right too.
        .callback(
            ReduceLROnPlateau::new("auc")
                .patience(1)
                .factor(0.5)
                .min_delta(0.2),
        )
        .callback(LearningRateScheduler::new(|_, rate| rate * 0.9))
        .callback(SwapEMAWeights::new().swap_on_epoch(true))
        .callback(CSVLogger::new(folder.join("log.csv")))
        .callback(
            BackupAndRestore::new(folder.join("backup"))
                .save_freq(freq)
                .double_checkpoint(freq == Frequency::Batches(2)),
        )
        .callback(watch);
    let history = model.fit(&x, &y, fit)?;
    Ok((model, history))
}

fn bits(weights: &[f32]) -> Vec<u32> {
    weights.iter().map(|w| w.to_bits()).collect()
}

/// Everything that must be the same: the weights, and what the training wrote.
fn result(model: &Sequential, folder: &Path) -> (Vec<u32>, String) {
    let weights: Vec<f32> = model
        .get_weights()
        .iter()
        .flat_map(|w| w.iter().copied().collect::<Vec<_>>())
        .collect();
    let log = std::fs::read_to_string(folder.join("log.csv")).unwrap();
    (bits(&weights), log)
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("oxhorn-backup-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// Ends the process, or fails, when it has been called so many times.
struct EndAt {
    calls: usize,
    at: usize,
    kill: bool,
}

impl EndAt {
    fn call(&mut self) -> Result<()> {
        self.calls += 1;
        match self.calls == self.at {
            true if self.kill => std::process::abort(),
            true => Err(oxhorn::Error::Model("interrupted".into())),
            false => Ok(()),
        }
    }
}

impl Callback for EndAt {
    fn on_epoch_begin(&mut self, _epoch: usize, _cx: &mut TrainContext<'_>) -> Result<()> {
        self.call()
    }
    fn on_train_batch_begin(&mut self, _batch: usize, _cx: &mut TrainContext<'_>) -> Result<()> {
        self.call()
    }
    fn on_train_batch_end(
        &mut self,
        _batch: usize,
        _logs: &BatchLogs<'_>,
        _cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        self.call()
    }
    fn on_test_batch_end(
        &mut self,
        _batch: usize,
        _logs: &BatchLogs<'_>,
        _cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        self.call()
    }
    fn on_epoch_end(&mut self, _e: usize, _l: &mut Logs, _cx: &mut TrainContext<'_>) -> Result<()> {
        self.call()
    }
}

fn end_at(at: usize, kill: bool) -> EndAt {
    EndAt { calls: 0, at, kill }
}

/// An uninterrupted training, and how many times its callbacks were called.
fn whole(name: &str) -> ((Vec<u32>, String), usize) {
    let folder = folder(name);
    let mut watch = end_at(0, false);
    let (model, _) = train(&folder, Frequency::Epoch, &mut watch).unwrap();
    let result = result(&model, &folder);
    std::fs::remove_dir_all(folder).unwrap();
    (result, watch.calls)
}

#[test]
fn a_failure_at_every_step_changes_nothing() {
    let (want, calls) = whole("steps");
    assert_eq!(calls, EPOCHS * (1 + 2 * 5 + 2 + 1));
    // Backups at every batch, at some, and at some that are no epoch's end; every call where it costs little.
    let frequencies = [
        (Frequency::Epoch, 1),
        (Frequency::Batches(1), 5),
        (Frequency::Batches(2), 3),
        (Frequency::Batches(7), 2),
    ];
    for (n, (freq, stride)) in frequencies.into_iter().enumerate() {
        for at in (1 + n..=calls).step_by(stride) {
            let folder = folder(&format!("steps-{n}"));
            assert!(train(&folder, freq, end_at(at, false)).is_err());
            // Interrupted once more on the way.
            let _ = train(&folder, freq, end_at(9, false));
            let (model, history) = train(&folder, freq, end_at(0, false)).unwrap();
            assert_eq!(result(&model, &folder), want, "{freq:?}, {at} of {calls}");
            assert_eq!(history.epochs.last(), Some(&(EPOCHS - 1)));
            assert!(!folder.join("backup").exists());
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

/// The names of the environment by which a child is told what to do.
const FOLDER: &str = "OXHORN_TEST_BACKUP_FOLDER";
const END: &str = "OXHORN_TEST_BACKUP_END";

/// Not a test of its own: what the children of the next one do.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let at = std::env::var(END).unwrap().parse().unwrap();
    let (model, _) = train(&folder, Frequency::Batches(2), end_at(at, true)).unwrap();
    let weights: Vec<_> = model.get_weights().into_iter().collect();
    let (bits, _) = result(&model, &folder);
    assert_eq!(weights.iter().map(|w| w.len()).sum::<usize>(), bits.len());
    let text: Vec<String> = bits.iter().map(u32::to_string).collect();
    std::fs::write(folder.join("done.part"), text.join(" ")).unwrap();
    std::fs::rename(folder.join("done.part"), folder.join("done")).unwrap();
}

fn start(folder: &Path, at: usize) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "backup::child"])
        .env(FOLDER, folder)
        .env(END, at.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn done(folder: &Path) -> Option<(Vec<u32>, String)> {
    let bits = std::fs::read_to_string(folder.join("done")).ok()?;
    let bits = bits.split(' ').map(|b| b.parse().unwrap()).collect();
    Some((
        bits,
        std::fs::read_to_string(folder.join("log.csv")).unwrap(),
    ))
}

#[test]
fn a_process_that_is_killed_goes_on_in_the_next() {
    let (want, calls) = whole("kills");
    // Aborted by itself at a step, then by the next child a few steps later, and so on.
    let by_itself = folder("aborted");
    let mut children = 0;
    while done(&by_itself).is_none() {
        let status = start(&by_itself, 9).wait().unwrap();
        assert_eq!(status.success(), by_itself.join("done").exists());
        children += 1;
        assert!(children < 2 * calls);
    }
    assert!(children > 5, "{children}");
    assert_eq!(done(&by_itself).unwrap(), want);
    std::fs::remove_dir_all(by_itself).unwrap();

    // Killed from outside (SIGKILL) at moments that nobody chose, in the middle of writes too.
    let killed = folder("killed");
    let mut kills = 0;
    for wait in (0..400).map(|i| 1 + (i * 7) % 23 + i / 4) {
        let mut child = start(&killed, 0);
        std::thread::sleep(Duration::from_millis(wait));
        match child.try_wait().unwrap() {
            Some(status) => assert!(status.success()),
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
            }
        }
        if done(&killed).is_some() {
            break;
        }
    }
    assert!(kills > 0);
    assert_eq!(done(&killed).unwrap(), want);
    std::fs::remove_dir_all(killed).unwrap();
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = folder("refused");
    let backup = || BackupAndRestore::new(&folder);
    let (x, y) = problem(32, 4, 0);
    let fit = || Fit::epochs(3).batch_size(8).verbose(0);
    let interrupted = |freq: usize| {
        let fit = fit().callback(backup().save_freq(freq));
        assert!(model().fit(&x, &y, fit.callback(end_at(7, false))).is_err());
    };
    let error = |model: &mut Sequential, x: &Array2<f32>, fit: Fit<'_>| {
        let e = model.fit(x, &y, fit.callback(backup())).unwrap_err();
        let e = e.to_string();
        assert!(e.contains("latest.safetensors"), "{e}");
        e
    };
    interrupted(1);
    let other = &mut crate::classifier(4, 0);
    assert!(error(other, &x, fit()).contains("another optimizer"));
    let e = error(&mut model(), &x, fit().batch_size(4));
    assert!(e.contains("an epoch of 4 batches; now one has 8"), "{e}");
    let path = folder.join("latest.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for len in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..len]).unwrap();
        error(&mut model(), &x, fit());
    }
    // With a second backup, the one before is taken instead.
    std::fs::remove_file(&path).unwrap();
    let twice = || backup().save_freq(1).double_checkpoint(true);
    let fails = fit().callback(twice()).callback(end_at(9, false));
    assert!(model().fit(&x, &y, fails).is_err());
    std::fs::write(&path, b"torn").unwrap();
    let mut again = model();
    again.fit(&x, &y, fit().callback(twice())).unwrap();
    let mut want = model();
    want.fit(&x, &y, fit()).unwrap();
    assert_eq!(again.get_weights(), want.get_weights());
    // What is not ours stays.
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("notes"), "mine").unwrap();
    model().fit(&x, &y, fit().callback(backup())).unwrap();
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert_eq!(left.len(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_training_that_was_stopped_stays_stopped() {
    let folder = folder("stopped");
    let (x, y) = problem(32, 4, 0);
    let run = |model: &mut Sequential| {
        let stop = EarlyStopping::new("loss").min_delta(10.0).patience(1);
        let backup = BackupAndRestore::new(&folder).delete_checkpoint(false);
        let fit = Fit::epochs(9)
            .verbose(0)
            .callback(stop.restore_best_weights(true));
        model.fit(&x, &y, fit.callback(backup)).unwrap()
    };
    let (mut first, mut second) = (model(), model());
    assert_eq!(run(&mut first).epochs, [0, 1]);
    assert!(run(&mut second).epochs.is_empty());
    assert_eq!(first.get_weights(), second.get_weights());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_dataset_goes_on_too() {
    let (x, y) = problem(50, 4, 3);
    let run = |folder: &Path, steps: Option<usize>, at: usize| {
        let data = oxhorn::data::from_arrays(&x, &y).unwrap().batch_size(8);
        let mut fit = Fit::epochs(3).verbose(0);
        if let Some(steps) = steps {
            fit = fit.steps_per_epoch(steps);
        }
        let fit = fit
            .callback(BackupAndRestore::new(folder).save_freq(2))
            .callback(end_at(at, false));
        let mut model = model();
        let mut shuffled = data.shuffle_buffer(20);
        model.fit_dataset(&mut shuffled, fit)?;
        Ok::<_, oxhorn::Error>(model.get_weights())
    };
    let folder = folder("dataset");
    for steps in [None, Some(3), Some(11)] {
        let want = run(&folder, steps, 0).unwrap();
        for at in [4, 9, 14, 20, 25] {
            let failed = run(&folder, steps, at).is_err();
            assert!(failed || steps == Some(3));
            assert_eq!(run(&folder, steps, 0).unwrap(), want, "{steps:?} {at}");
        }
    }
}
