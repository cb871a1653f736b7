//! Curves, histograms and the model for TensorBoard.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::events::{Content, EventWriter, histogram};
use super::{BatchLogs, Callback, Frequency, Logs, State, TrainContext};
use crate::error::Result;

/// Writes what TensorBoard shows, under Keras's tags: losses and metrics of every epoch (`epoch_loss`, ...) and the learning rate into
/// `train`, those of the validation into `validation`; see there with `tensorboard --logdir logs`.
/// [Keras](https://keras.io/api/callbacks/tensorboard/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `log_dir` | `logs` | folder |
/// | `histogram_freq` | 0 | epochs between histograms of all weights; 0 for none |
/// | `write_graph` | true | whether the model is there as a graph of layers (needs the feature `keras`) |
/// | `write_steps_per_second` | false | `epoch_steps_per_second` and `batch_steps_per_second` |
/// | `update_freq` | epoch | [`Frequency`] of `batch_loss` and the other running means of the epoch |
///
/// Keras's profiles, images of weights and projections of embeddings are not written.
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([1]).add(Dense::new(1));
/// model.compile("sgd", "mse", ())?;
/// let logs = std::env::temp_dir().join(format!("oxhorn-doc-logs-{}", std::process::id()));
/// let (x, y) = ([[1.0f32]], [[2.0f32]]);
/// model.fit(&x, &y, Fit::epochs(3).validation(&x, &y).verbose(0).callback(TensorBoard::new(&logs).histogram_freq(1)))?;
/// let files = |folder: &str| std::fs::read_dir(logs.join(folder)).unwrap().count();
/// assert_eq!((files("train"), files("validation")), (1, 1));
/// std::fs::remove_dir_all(logs).unwrap();
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// `fit` fails if the files cannot be written.
#[derive(Debug)]
pub struct TensorBoard {
    log_dir: PathBuf,
    histogram_freq: usize,
    write_graph: bool,
    write_steps_per_second: bool,
    update_freq: Frequency,
    train: Option<EventWriter>,
    validation: Option<EventWriter>,
    /// Training batches so far.
    batches: u64,
    batch_start: Instant,
    epoch_start: (Instant, u64),
}

impl Default for TensorBoard {
    fn default() -> Self {
        TensorBoard::new("logs")
    }
}

impl TensorBoard {
    /// Into this folder.
    pub fn new(log_dir: impl AsRef<Path>) -> Self {
        TensorBoard {
            log_dir: log_dir.as_ref().into(),
            histogram_freq: 0,
            write_graph: cfg!(feature = "keras"),
            write_steps_per_second: false,
            update_freq: Frequency::Epoch,
            train: None,
            validation: None,
            batches: 0,
            batch_start: Instant::now(),
            epoch_start: (Instant::now(), 0),
        }
    }

    /// Epochs between histograms of all weights; 0 for none.
    pub fn histogram_freq(mut self, epochs: usize) -> Self {
        self.histogram_freq = epochs;
        self
    }

    /// Whether the model is there as a graph of layers.
    pub fn write_graph(mut self, yes: bool) -> Self {
        self.write_graph = yes;
        self
    }

    /// Whether the speed of training is written.
    pub fn write_steps_per_second(mut self, yes: bool) -> Self {
        self.write_steps_per_second = yes;
        self
    }

    /// After every epoch only, or also after so many batches.
    pub fn update_freq(mut self, frequency: impl Into<Frequency>) -> Self {
        self.update_freq = frequency.into();
        self
    }

    /// Whether this batch is written.
    fn due(&self) -> bool {
        match self.update_freq {
            Frequency::Epoch => false,
            Frequency::Batches(n) => self.batches.is_multiple_of(n as u64),
        }
    }
}

/// The writer of a folder, made when it is first needed.
fn writer<'w>(
    slot: &'w mut Option<EventWriter>,
    log_dir: &Path,
    folder: &str,
) -> Result<&'w mut EventWriter> {
    match slot {
        Some(writer) => Ok(writer),
        None => Ok(slot.insert(EventWriter::new(&log_dir.join(folder))?)),
    }
}

fn per_second(steps: f64, since: Instant) -> f64 {
    steps / since.elapsed().as_secs_f64().max(1e-9)
}

impl Callback for TensorBoard {
    fn on_train_begin(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        (self.train, self.validation, self.batches) = (None, None, 0);
        self.update_freq.check("TensorBoard", "update_freq")?;
        #[cfg(not(feature = "keras"))]
        if self.write_graph {
            use crate::error::Error;
            let want = "false without the feature `keras`";
            return Err(Error::arg("write_graph", want, true).owned_by("TensorBoard"));
        }
        #[cfg(feature = "keras")]
        if self.write_graph {
            let json = _cx.model.to_json()?;
            let train = writer(&mut self.train, &self.log_dir, "train")?;
            train.add("keras", 0, &Content::KerasModel(&json))?;
        }
        Ok(())
    }

    fn on_train_end(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        for writer in [&mut self.train, &mut self.validation]
            .into_iter()
            .flatten()
        {
            writer.flush()?;
        }
        (self.train, self.validation) = (None, None);
        Ok(())
    }

    fn on_epoch_begin(&mut self, _epoch: usize, cx: &mut TrainContext<'_>) -> Result<()> {
        self.epoch_start = (Instant::now(), cx.model.iterations());
        Ok(())
    }

    fn on_epoch_end(
        &mut self,
        epoch: usize,
        logs: &mut Logs,
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        let step = epoch as u64;
        let train = writer(&mut self.train, &self.log_dir, "train")?;
        let rates = cx.model.rates()?;
        let speed = self.write_steps_per_second.then(|| {
            let (start, before) = self.epoch_start;
            let steps = cx.model.iterations().saturating_sub(before);
            ("steps_per_second", per_second(steps as f64, start))
        });
        let own = logs.iter().filter(|(name, _)| {
            !name.starts_with("val_") && rates.iter().all(|(rate, _)| rate != name)
        });
        let rates = rates.iter().map(|(name, rate)| (name.as_str(), *rate));
        for (name, value) in own.chain(rates).chain(speed) {
            train.add(&format!("epoch_{name}"), step, &Content::Scalar(value))?;
        }
        if self.histogram_freq > 0 && epoch.is_multiple_of(self.histogram_freq) {
            for (name, values) in cx.model.weight_names().iter().zip(cx.model.get_weights()) {
                let buckets = histogram(values.iter().map(|v| f64::from(*v)));
                let tag = format!("{}/{name}/histogram", cx.model.name());
                train.add(&tag, step, &Content::Histogram(&buckets))?;
            }
        }
        train.flush()?;
        for (name, value) in logs.iter() {
            if let Some(name) = name.strip_prefix("val_") {
                let validation = writer(&mut self.validation, &self.log_dir, "validation")?;
                validation.add(&format!("epoch_{name}"), step, &Content::Scalar(value))?;
            }
        }
        self.validation.as_mut().map_or(Ok(()), EventWriter::flush)
    }

    fn on_train_batch_begin(&mut self, _batch: usize, _cx: &mut TrainContext<'_>) -> Result<()> {
        self.batches += 1;
        self.batch_start = Instant::now();
        Ok(())
    }

    fn on_train_batch_end(
        &mut self,
        _batch: usize,
        logs: &BatchLogs<'_>,
        _cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        if !self.due() {
            return Ok(());
        }
        let train = writer(&mut self.train, &self.log_dir, "train")?;
        let speed = self
            .write_steps_per_second
            .then(|| ("steps_per_second", per_second(1.0, self.batch_start)));
        for (name, value) in speed.into_iter().chain(logs.iter()) {
            let tag = format!("batch_{name}");
            train.add(&tag, self.batches, &Content::Scalar(value))?;
        }
        Ok(())
    }

    fn on_test_end(&mut self, logs: &Logs, cx: &mut TrainContext<'_>) -> Result<()> {
        let step = cx.model.iterations();
        let validation = writer(&mut self.validation, &self.log_dir, "validation")?;
        for (name, value) in logs.iter() {
            let tag = format!("evaluation_{name}_vs_iterations");
            validation.add(&tag, step, &Content::Scalar(value))?;
        }
        validation.flush()
    }

    fn state(&self) -> Option<State> {
        Some(State::new().number("batches", self.batches as f64))
    }

    fn restore(&mut self, state: &State, _cx: &mut TrainContext<'_>) -> Result<()> {
        self.batches = state.count("batches")? as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::events::tests::{fields, inner, records, scalars};
    use super::*;
    use crate::layers::Dense;
    use crate::models::Sequential;
    use crate::optimizers::Sgd;
    use crate::train::fit::Fit;

    /// The one file of a folder.
    fn file(folder: &Path) -> Vec<u8> {
        let files: Vec<PathBuf> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        assert_eq!(files.len(), 1);
        std::fs::read(&files[0]).unwrap()
    }

    #[test]
    fn tags_and_steps_are_keras_s() {
        let folder =
            std::env::temp_dir().join(format!("oxhorn-tensorboard-{}", std::process::id()));
        let dense = Dense::new(1).kernel_initializer("zeros").use_bias(false);
        let mut model = Sequential::new().input([1]).add(dense);
        model.compile(Sgd::new(0.25), "mse", ["mae"]).unwrap();
        let board = TensorBoard::new(&folder).histogram_freq(2).update_freq(2);
        let fit = Fit::epochs(2).batch_size(1).shuffle(false).verbose(0);
        let (x, y) = ([[1.0], [1.0], [0.0]], [[1.0], [1.0], [0.0]]);
        let validation = ([[1.0]], [[1.0]]);
        model
            .fit(
                &x,
                &y,
                fit.validation(&validation.0, &validation.1).callback(board),
            )
            .unwrap();
        let (train, validation) = (
            file(&folder.join("train")),
            file(&folder.join("validation")),
        );
        std::fs::remove_dir_all(&folder).unwrap();

        // Weight 0, 0.5, 0.75; then 0.875, 0.9375.
        let first = fields(&records(&train)[0]);
        assert_eq!(inner(&first, 3), b"brain.Event:2");
        let got = scalars(&train);
        let got: Vec<(&str, u64, f32)> = got.iter().map(|(t, s, v)| (&t[..], *s, *v)).collect();
        let third = |x: f64| (x / 3.0) as f32;
        let want = [
            ("batch_loss", 2, 0.625),
            ("batch_mae", 2, 0.75),
            ("epoch_loss", 0, third(1.25)),
            ("epoch_mae", 0, 0.5),
            ("epoch_learning_rate", 0, 0.25),
            ("batch_loss", 4, 0.0625),
            ("batch_mae", 4, 0.25),
            ("batch_loss", 6, third(0.078125)),
            ("batch_mae", 6, 0.125),
            ("epoch_loss", 1, third(0.078125)),
            ("epoch_mae", 1, 0.125),
            ("epoch_learning_rate", 1, 0.25),
        ];
        assert_eq!(got, want);
        let tags: Vec<(String, u64)> = scalars(&validation)
            .into_iter()
            .map(|(tag, step, _)| (tag, step))
            .collect();
        let want = [
            ("evaluation_loss_vs_iterations", 3),
            ("evaluation_mae_vs_iterations", 3),
            ("epoch_loss", 0),
            ("epoch_mae", 0),
            ("evaluation_loss_vs_iterations", 6),
            ("evaluation_mae_vs_iterations", 6),
            ("epoch_loss", 1),
            ("epoch_mae", 1),
        ];
        assert_eq!(tags, want.map(|(t, s)| (t.to_string(), s)));
        let plugins: Vec<Vec<u8>> = records(&train)[1..]
            .iter()
            .map(|record| {
                let value = fields(inner(&fields(inner(&fields(record), 5)), 1));
                inner(&fields(inner(&fields(inner(&value, 9)), 1)), 1).to_vec()
            })
            .collect();
        let count = |name: &[u8]| plugins.iter().filter(|p| *p == name).count();
        assert_eq!(count(b"histograms"), 1);
        assert_eq!(
            count(b"graph_keras_model"),
            usize::from(cfg!(feature = "keras"))
        );
    }
}
