//! What it takes to go on with a training in another process as if nothing had happened, in one file that is replaced whole or
//! not at all.
//!
//! The file is `safetensors`: the two arenas of weights, the optimizer's slots, averages and sums, and the arrays of the
//! callbacks, all to the bit; its metadata hold the rest as JSON: epoch, batch, seed, steps and numbers of the optimizer, the
//! sums of losses and metrics where the epoch is in its middle, and the numbers of the callbacks.
//!
//! Nothing else is needed because nothing random has a state: the order of an epoch follows from the seed and its number, masks of
//! dropout from the seed and the number of the step.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::epochs::Place;
use super::optimizer_state::OptimizerState;
use super::step::Trainer;
use crate::callbacks::{BackupFiles, Callback, State, TrainContext};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::memory::Buffer;
use crate::saving::atomic::write_atomically;
use crate::saving::safetensors::{SafeTensors, write_safetensors};

const KEY: &str = "oxhorn_training";
const VERSION: u32 = 1;

/// All that is no array.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    epoch: usize,
    /// Batches of the epoch that are done; none between epochs.
    batch: Option<usize>,
    /// Batches an epoch.
    steps: usize,
    /// Whether the training was to end.
    stop: bool,
    seed: u64,
    optimizer: Numbers,
    /// Of the loss, of the outputs, and of their metrics: within an epoch only.
    measured: Vec<Vec<Number>>,
    callbacks: BTreeMap<String, Remembered>,
}

/// What an optimizer remembers besides arrays.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    steps: u64,
    rates: Vec<Number>,
    scalars: Vec<Vec<Number>>,
    /// Scale of the loss and good steps since it changed, where it adapts.
    scale: Option<(Number, u64)>,
    averages_shown: bool,
    /// Whether the slots exist.
    made: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    numbers: Vec<(String, Number)>,
    texts: Vec<(String, String)>,
}

/// A number to the bit; JSON has none that is not finite.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Special(Special),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Special {
    NaN,
    Infinity,
    #[serde(rename = "-Infinity")]
    MinusInfinity,
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        match value {
            v if v.is_nan() => Number::Special(Special::NaN),
            f64::INFINITY => Number::Special(Special::Infinity),
            f64::NEG_INFINITY => Number::Special(Special::MinusInfinity),
            v => Number::Finite(v),
        }
    }
}

impl From<Number> for f64 {
    fn from(number: Number) -> f64 {
        match number {
            Number::Finite(v) => v,
            Number::Special(Special::NaN) => f64::NAN,
            Number::Special(Special::Infinity) => f64::INFINITY,
            Number::Special(Special::MinusInfinity) => f64::NEG_INFINITY,
        }
    }
}

fn numbers(values: &[f64]) -> Vec<Number> {
    values.iter().map(|v| (*v).into()).collect()
}

fn floats(numbers: &[Number]) -> Vec<f64> {
    numbers.iter().map(|n| (*n).into()).collect()
}

/// How a backup is read and written.
#[derive(Debug)]
pub(crate) struct BackupFormat {
    pub(super) read: fn(
        &BackupFiles,
        &mut Trainer,
        &mut [Box<dyn Callback + '_>],
        &mut TrainContext<'_>,
    ) -> Result<Option<Place>>,
    write: fn(
        &BackupFiles,
        Place,
        &Trainer,
        &[Box<dyn Callback + '_>],
        &mut TrainContext<'_>,
    ) -> Result<()>,
}

pub(crate) static SAFETENSORS: BackupFormat = BackupFormat { read, write };

/// Writes the backup that a callback has asked for, if one has. `place` is where the training is.
pub(super) fn serve(
    place: Place,
    trainer: &Trainer,
    callbacks: &[Box<dyn Callback + '_>],
    cx: &mut TrainContext<'_>,
) -> Result<()> {
    match cx.backup.take() {
        Some(files) => (files.format.write)(&files, place, trainer, callbacks, cx),
        None => Ok(()),
    }
}

fn write(
    files: &BackupFiles,
    place: Place,
    trainer: &Trainer,
    callbacks: &[Box<dyn Callback + '_>],
    cx: &mut TrainContext<'_>,
) -> Result<()> {
    let states = states(callbacks);
    let call = "fit";
    let compiled = cx.model.compiled.as_ref();
    let optimizer = &compiled.ok_or(Error::NotCompiled { call })?.state;
    let remembered = |state: &State| Remembered {
        numbers: state
            .numbers
            .iter()
            .map(|(n, v)| (n.clone(), (*v).into()))
            .collect(),
        texts: state.texts.clone(),
    };
    let record = Record {
        version: VERSION,
        epoch: place.epoch,
        batch: place.batch,
        steps: cx.steps,
        stop: cx.stop,
        seed: cx.model.seed,
        optimizer: optimizer.numbers(),
        measured: match place.batch {
            Some(_) => measured(trainer)?,
            None => Vec::new(),
        },
        callbacks: states
            .iter()
            .map(|(name, state)| (name.clone(), remembered(state)))
            .collect(),
    };
    let weights = &cx.model.weights;
    let mut arrays: Vec<(String, &[Float])> = vec![
        ("params".into(), &weights.params),
        ("state".into(), &weights.state),
    ];
    let buffers = optimizer.buffers().into_iter();
    arrays.extend(buffers.map(|(name, buffer)| (format!("optimizer/{name}"), &buffer[..])));
    for (name, state) in &states {
        let own = state.arrays.iter();
        arrays.extend(own.map(|(array, values)| (format!("{name}/{array}"), &values[..])));
    }
    let shapes: Vec<[usize; 1]> = arrays.iter().map(|(_, values)| [values.len()]).collect();
    let tensors: Vec<(&str, &[usize], &[Float])> = arrays
        .iter()
        .zip(&shapes)
        .map(|((name, values), shape)| (name.as_str(), &shape[..], *values))
        .collect();
    let path = &files.latest;
    let text = serde_json::to_string(&record)
        .map_err(|e| Error::data(path.display().to_string(), e.to_string()))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    if let Some(previous) = &files.previous
        && path.exists()
    {
        std::fs::rename(path, previous).map_err(|e| Error::io(previous, e))?;
    }
    write_atomically(path, |w| {
        write_safetensors(w, &tensors, &[(KEY, &text)]).map_err(|e| Error::io(path, e))
    })
}

/// The states of the callbacks that have one, by name; of several with one name the second is `name_1`.
fn states(callbacks: &[Box<dyn Callback + '_>]) -> Vec<(String, State)> {
    let names = names(callbacks).into_iter().zip(callbacks);
    names
        .filter_map(|(name, c)| Some((name, c.state()?)))
        .collect()
}

fn names(callbacks: &[Box<dyn Callback + '_>]) -> Vec<String> {
    let all: Vec<&str> = callbacks.iter().map(|c| c.name()).collect();
    let numbered = |(i, name): (usize, &&str)| {
        let before = all[..i].iter().filter(|n| *n == name);
        match before.count() {
            0 => name.to_string(),
            n => format!("{name}_{n}"),
        }
    };
    all.iter().enumerate().map(numbered).collect()
}

/// Sums of the loss, of each output, and of each metric.
fn measured(trainer: &Trainer) -> Result<Vec<Vec<Number>>> {
    let mut all = vec![numbers(&trainer.total.state())];
    for output in &trainer.outputs {
        all.push(numbers(&output.total.state()));
        for measure in &output.metrics {
            let state = measure.metric.state().ok_or_else(|| {
                let want = format!("an epoch, as the metric `{}` has no `state`", measure.name);
                Error::arg("save_freq", want, "batches").owned_by("BackupAndRestore")
            })?;
            all.push(numbers(&state));
        }
    }
    Ok(all)
}

fn set_measured(trainer: &mut Trainer, all: &[Vec<Number>]) -> Option<()> {
    let mut all = all.iter().map(|numbers| floats(numbers));
    let mut pair = || <[f64; 2]>::try_from(all.next()?).ok();
    trainer.total.set_state(pair()?);
    for output in &mut trainer.outputs {
        let mut pair = || <[f64; 2]>::try_from(all.next()?).ok();
        output.total.set_state(pair()?);
        for measure in &mut output.metrics {
            let fits = measure.metric.set_state(&all.next()?);
            fits.then_some(())?;
        }
    }
    all.next().is_none().then_some(())
}

/// Reads a backup, if there is one: into the model, its optimizer, the metrics and the callbacks. Where the training goes on.
fn read(
    files: &BackupFiles,
    trainer: &mut Trainer,
    callbacks: &mut [Box<dyn Callback + '_>],
    cx: &mut TrainContext<'_>,
) -> Result<Option<Place>> {
    let previous = files.previous.as_deref().filter(|p| p.exists());
    let latest = Some(files.latest.as_path()).filter(|p| p.exists());
    let (path, found) = match (latest, previous) {
        (None, None) => return Ok(None),
        (Some(path), None) | (None, Some(path)) => (path, Found::open(path, cx)?),
        (Some(path), Some(previous)) => match Found::open(path, cx) {
            Ok(found) => (path, found),
            Err(_) => (previous, Found::open(previous, cx)?),
        },
    };
    found
        .take(trainer, callbacks, cx)
        .map(Some)
        .map_err(|e| e.in_file(&path.display().to_string()))
}

/// A backup that fits the model.
struct Found {
    file: SafeTensors,
    record: Record,
    weights: crate::graph::weights::Weights,
    optimizer: OptimizerState,
}

impl Found {
    fn open(path: &Path, cx: &TrainContext<'_>) -> Result<Found> {
        let name = path.display().to_string();
        let file = SafeTensors::open(path)?;
        let text = file.metadata(KEY);
        let text = text.ok_or_else(|| Error::data(&name, "this is no backup of a training"))?;
        let record: Record =
            serde_json::from_str(text).map_err(|e| Error::data(&name, e.to_string()))?;
        if record.version != VERSION {
            let problem = format!("version {} of a backup, not {VERSION}", record.version);
            return Err(Error::data(&name, problem));
        }
        let mut weights = cx.model.weights.clone();
        let call = "fit";
        let compiled = cx.model.compiled.as_ref();
        let compiled = compiled.ok_or(Error::NotCompiled { call })?;
        let mut optimizer = compiled.state.clone();
        if record.optimizer.made {
            optimizer.reserve(&compiled.optimizer, &cx.model.graph, &weights)?;
        }
        let fits = optimizer.set_numbers(&record.optimizer);
        fits.ok_or_else(|| Error::data(&name, "it is of another optimizer"))?;
        let read = |array: &str, out: &mut Buffer| {
            let shape = [out.len()];
            file.read_into(array, &shape, out)
                .map_err(|e| e.in_file(&name))
        };
        read("params", &mut weights.params)?;
        read("state", &mut weights.state)?;
        for (array, out) in optimizer.buffers_mut() {
            read(&format!("optimizer/{array}"), out)?;
        }
        Ok(Found {
            file,
            record,
            weights,
            optimizer,
        })
    }

    fn take(
        self,
        trainer: &mut Trainer,
        callbacks: &mut [Box<dyn Callback + '_>],
        cx: &mut TrainContext<'_>,
    ) -> Result<Place> {
        let Record {
            epoch,
            batch,
            steps,
            stop,
            seed,
            measured,
            callbacks: remembered,
            ..
        } = self.record;
        if batch.is_some() {
            // 0: a dataset that does not know its length.
            if steps != cx.steps && steps > 0 && cx.steps > 0 {
                let problem = format!(
                    "it was made within an epoch of {steps} batches; now one has {}",
                    cx.steps
                );
                return Err(Error::data("backup", problem));
            }
            set_measured(trainer, &measured)
                .ok_or_else(|| Error::data("backup", "it is of other metrics"))?;
        }
        cx.model.restore(&self.weights);
        cx.model.seed = seed;
        cx.stop = stop;
        if let Some(compiled) = &mut cx.model.compiled {
            compiled.state = self.optimizer;
        }
        for (name, callback) in names(callbacks).into_iter().zip(callbacks) {
            // A callback that is new has nothing to remember.
            let Some(own) = remembered.get(&name) else {
                continue;
            };
            let mut state = State {
                numbers: own
                    .numbers
                    .iter()
                    .map(|(n, v)| (n.clone(), (*v).into()))
                    .collect(),
                texts: own.texts.clone(),
                arrays: Vec::new(),
            };
            let below = format!("{name}/");
            for tensor in self.file.tensors() {
                if let Some(array) = tensor.name.strip_prefix(&below) {
                    let mut values = vec![0.0; tensor.shape.iter().product()];
                    self.file
                        .read_into(&tensor.name, &tensor.shape, &mut values)?;
                    state.arrays.push((array.into(), values));
                }
            }
            callback.restore(&state, cx)?;
        }
        Ok(Place { epoch, batch })
    }
}

impl OptimizerState {
    fn numbers(&self) -> Numbers {
        let memories = self.memories.iter();
        Numbers {
            steps: self.steps,
            rates: memories.clone().map(|m| m.rate.into()).collect(),
            scalars: memories.map(|m| numbers(&m.scalars)).collect(),
            scale: self.dynamic.map(|d| (d.scale.into(), d.good)),
            averages_shown: self.averages_shown,
            made: self.is_made(),
        }
    }

    /// `None` if they are those of another optimizer.
    fn set_numbers(&mut self, from: &Numbers) -> Option<()> {
        let same = from.rates.len() == self.memories.len()
            && from.scalars.len() == self.memories.len()
            && from.scale.is_some() == self.dynamic.is_some();
        same.then_some(())?;
        let pairs = from.rates.iter().zip(&from.scalars);
        for (memory, (rate, scalars)) in self.memories.iter_mut().zip(pairs) {
            (memory.scalars.len() == scalars.len()).then_some(())?;
            (memory.rate, memory.scalars) = ((*rate).into(), floats(scalars));
        }
        if let (Some(dynamic), Some((scale, good))) = (&mut self.dynamic, from.scale) {
            (dynamic.scale, dynamic.good) = (scale.into(), good);
        }
        (self.steps, self.averages_shown) = (from.steps, from.averages_shown);
        Some(())
    }

    fn buffers(&self) -> Vec<(String, &Buffer)> {
        let slots = self.slots.buffers.iter().enumerate();
        let slots = slots.map(|(i, slot)| (format!("slot_{i}"), &slot.values));
        let average = self.average.as_ref().map(|b| ("average".into(), b));
        let sum = self.accumulated.as_ref().map(|b| ("accumulated".into(), b));
        slots.chain(average).chain(sum).collect()
    }

    fn buffers_mut(&mut self) -> Vec<(String, &mut Buffer)> {
        let slots = self.slots.buffers.iter_mut().enumerate();
        let slots = slots.map(|(i, slot)| (format!("slot_{i}"), &mut slot.values));
        let average = self.average.as_mut().map(|b| ("average".into(), b));
        let sum = self.accumulated.as_mut().map(|b| ("accumulated".into(), b));
        slots.chain(average).chain(sum).collect()
    }
}
