//! The judge: cases written by Keras itself (model file, inputs, predictions, training histories, weights after training).
//!
//! Reads the archives under `tests/data/conformance/`, or those under `$OXHORN_CONFORMANCE`. Prints `PASS group/case` or
//! `FAIL group/case: reason` for each case and last `N passed, M failed`. `$OXHORN_ONLY=group/prefix` selects; with
//! `$OXHORN_WRITE_BACK=DIR` our own files are written to `DIR/group/case/` for Keras to read.
//!
//! Cases that are known not to pass yet stand in `tests/data/conformance/pending.txt`, which may only shrink: a case outside of
//! it that fails is a failure, and so is a case in it that passes. With `$OXHORN_CONFORMANCE` the list is not consulted.

use std::collections::BTreeMap;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ndarray::ArrayD;
use oxhorn::prelude::{Evaluate, Fit, Model};
use oxhorn::saving::{LoadWeights, Loader};
use oxhorn::tensor::Arrays;
use oxhorn::train::compile::Compile;
use serde_json::Value;

/// Files of a case by name.
type Files = BTreeMap<String, Vec<u8>>;

fn main() -> ExitCode {
    let given = std::env::var_os("OXHORN_CONFORMANCE").map(PathBuf::from);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conformance");
    let dir = given.clone().unwrap_or_else(|| own.clone());
    let only = std::env::var("OXHORN_ONLY").unwrap_or_default();
    let write_back = std::env::var_os("OXHORN_WRITE_BACK").map(PathBuf::from);
    let pending = match &given {
        Some(_) => Vec::new(),
        None => read_list(&own.join("pending.txt")),
    };
    let mut archives: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "zip"))
        .collect();
    archives.sort();
    // A panic is a failure of its case; its message goes into the line.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut passed, mut failed, mut wrong) = (0, 0, Vec::new());
    for archive in archives {
        let group = archive.file_stem().unwrap().to_string_lossy().into_owned();
        if !only.starts_with(&group) && !group.starts_with(&only) {
            continue;
        }
        for (case, files) in cases(&archive) {
            let name = format!("{group}/{case}");
            if !name.starts_with(&only) {
                continue;
            }
            let back = write_back.as_ref().map(|dir| dir.join(&name));
            let result = catch_unwind(AssertUnwindSafe(|| judge(&files, back.as_deref())));
            let result = result.unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Err(format!("panic: {}", text.unwrap_or("without a message")))
            });
            let expected = pending.contains(&name);
            match result {
                Ok(()) => {
                    passed += 1;
                    println!("PASS {name}");
                    if expected {
                        wrong.push(format!("{name} passes: take it off pending.txt"));
                    }
                }
                Err(reason) => {
                    failed += 1;
                    println!("FAIL {name}: {}", reason.replace('\n', " "));
                    if !expected {
                        wrong.push(format!("{name} fails"));
                    }
                }
            }
        }
    }
    wrong.iter().for_each(|w| println!("wrong: {w}"));
    if passed + failed == 0 {
        println!("no case in {} matches", dir.display());
    }
    println!("{passed} passed, {failed} failed");
    match wrong.is_empty() && passed + failed > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn read_list(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(|l| l.split('#').next().unwrap().trim());
    lines.filter(|l| !l.is_empty()).map(String::from).collect()
}

/// The cases of an archive, whose members are `case/file`.
fn cases(archive: &Path) -> BTreeMap<String, Files> {
    let bytes = std::fs::read(archive).unwrap();
    let mut cases: BTreeMap<String, Files> = BTreeMap::new();
    for (name, data) in unzip(&bytes) {
        if let Some((case, file)) = name.split_once('/')
            && !file.is_empty()
        {
            cases
                .entry(case.into())
                .or_default()
                .insert(file.into(), data);
        }
    }
    cases
}

fn unzip(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let archive = rawzip::ZipArchive::from_slice(bytes).expect("a zip archive");
    let mut out = Vec::new();
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().expect("an entry") {
        let name = String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned();
        let data = archive
            .get_entry(entry.wayfinder())
            .expect("its data")
            .data();
        let mut plain = Vec::new();
        match entry.compression_method() {
            rawzip::CompressionMethod::DEFLATE => {
                flate2::read::DeflateDecoder::new(data)
                    .read_to_end(&mut plain)
                    .expect("deflated data");
            }
            _ => plain.extend_from_slice(data),
        }
        out.push((name, plain));
    }
    out
}

fn npy(bytes: &[u8]) -> ArrayD<f32> {
    oxhorn::data::npy::from_bytes(bytes.to_vec()).expect("a .npy file")
}

/// What is allowed to differ.
#[derive(Clone, Copy)]
struct Tolerance {
    atol: f64,
    rtol: f64,
}

impl Tolerance {
    fn of(case: &Value, prefix: &str) -> Self {
        Tolerance {
            atol: case[format!("{prefix}atol")].as_f64().unwrap(),
            rtol: case[format!("{prefix}rtol")].as_f64().unwrap(),
        }
    }

    fn near(self, got: f64, want: f64) -> bool {
        (got.is_nan() && want.is_nan())
            || got == want
            || (got - want).abs() <= self.atol + self.rtol * want.abs()
    }

    fn arrays(self, what: &str, got: &ArrayD<f32>, want: &ArrayD<f32>) -> Result<(), String> {
        if got.shape() != want.shape() {
            return Err(format!(
                "{what}: shape {:?} instead of {:?}",
                got.shape(),
                want.shape()
            ));
        }
        let (mut bad, mut worst, mut example) = (0, 0.0f64, (0.0, 0.0));
        for (&g, &w) in got.iter().zip(want) {
            let (g, w) = (f64::from(g), f64::from(w));
            if !self.near(g, w) {
                bad += 1;
                let off = (g - w).abs();
                if off > worst || off.is_nan() {
                    (worst, example) = (off, (g, w));
                }
            }
        }
        match bad {
            0 => Ok(()),
            n => Err(format!(
                "{what}: {n} of {} differ, at most by {worst:.3e} ({} instead of {})",
                got.len(),
                example.0,
                example.1
            )),
        }
    }
}

fn text(e: oxhorn::Error) -> String {
    e.to_string()
}

struct Case<'a> {
    files: &'a Files,
    doc: Value,
}

impl Case<'_> {
    fn array(&self, file: &str) -> Result<ArrayD<f32>, String> {
        match self.files.get(file) {
            Some(bytes) => Ok(npy(bytes)),
            None => Err(format!("{file} is missing in the case")),
        }
    }

    fn arrays<'v>(
        &self,
        list: impl IntoIterator<Item = &'v Value>,
    ) -> Result<Vec<ArrayD<f32>>, String> {
        list.into_iter()
            .map(|file| self.array(file.as_str().unwrap()))
            .collect()
    }

    fn field(&self, list: &str, key: &str) -> Vec<Value> {
        let list = self.doc[list].as_array().unwrap();
        list.iter().map(|entry| entry[key].clone()).collect()
    }
}

fn judge(files: &Files, back: Option<&Path>) -> Result<(), String> {
    let doc: Value = serde_json::from_slice(&files["case.json"]).unwrap();
    let case = Case { files, doc };
    let x = case.arrays(&case.field("inputs", "file"))?;
    let want = case.arrays(&case.field("outputs", "file"))?;
    let tolerance = Tolerance::of(&case.doc, "");
    let mut model = Loader::new()
        .load_bytes(files["model.keras"].clone())
        .map_err(text)?;
    check_weights(&case, &model)?;
    predictions("predict", &model, &x, &want, tolerance)?;
    if let Some(law) = case.doc.get("init").filter(|l| !l.is_null()) {
        let fresh = Loader::new()
            .from_json(&model.to_json().map_err(text)?)
            .map_err(text)?;
        check_law(law, &fresh.get_weights()[0])?;
    }
    // Our own file, in memory.
    let ours = model.to_keras_bytes().map_err(text)?;
    if let Some(dir) = back {
        write_case(dir, files);
        std::fs::write(dir.join("model.out.keras"), &ours).unwrap();
    }
    let again = Loader::new()
        .load_bytes(ours)
        .map_err(|e| format!("our own file: {e}"))?;
    predictions("predict after saving", &again, &x, &want, tolerance)?;
    if let Some(bytes) = files.get("model.h5") {
        let h5 = Loader::new()
            .load_bytes(bytes.clone())
            .map_err(|e| format!("model.h5: {e}"))?;
        predictions("model.h5", &h5, &x, &want, tolerance)?;
        // Its weights alone, and ours in that format.
        let mut fresh = Loader::new()
            .from_json(&model.to_json().map_err(text)?)
            .map_err(text)?;
        let weights = files["model.weights.h5"].clone();
        fresh
            .load_weights_bytes(weights, LoadWeights::new())
            .map_err(|e| format!("model.weights.h5: {e}"))?;
        predictions("model.weights.h5", &fresh, &x, &want, tolerance)?;
        let ours = h5.to_h5_bytes().map_err(text)?;
        if let Some(dir) = back {
            std::fs::write(dir.join("model.out.h5"), &ours).unwrap();
        }
        let mut again = Loader::new()
            .load_bytes(ours)
            .map_err(|e| format!("our own .h5: {e}"))?;
        predictions("predict after saving as .h5", &again, &x, &want, tolerance)?;
        train(&case, &mut again, &x).map_err(|e| format!("after saving as .h5: {e}"))?;
    }
    if !case.doc["train"].is_null() {
        train(&case, &mut model, &x)?;
        if let Some(dir) = back {
            std::fs::write(
                dir.join("after.out.keras"),
                model.to_keras_bytes().map_err(text)?,
            )
            .unwrap();
        }
        // A model that was saved and read goes on just the same.
        let mut again = again;
        train(&case, &mut again, &x).map_err(|e| format!("after saving: {e}"))?;
    }
    Ok(())
}

fn write_case(dir: &Path, files: &Files) {
    std::fs::create_dir_all(dir).unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}

fn check_weights(case: &Case, model: &Model) -> Result<(), String> {
    let want = case.field("weights", "shape");
    let got = model.get_weights();
    if got.len() != want.len() {
        return Err(format!("{} weights instead of {}", got.len(), want.len()));
    }
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let want: Vec<usize> = want
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap() as usize)
            .collect();
        if got.shape() != want {
            return Err(format!(
                "weight {i}: shape {:?} instead of {want:?}",
                got.shape()
            ));
        }
    }
    Ok(())
}

fn predictions(
    what: &str,
    model: &Model,
    x: &[ArrayD<f32>],
    want: &[ArrayD<f32>],
    tolerance: Tolerance,
) -> Result<(), String> {
    let got = model
        .predict_all(arrays(x))
        .map_err(|e| format!("{what}: {e}"))?;
    if got.len() != want.len() {
        return Err(format!(
            "{what}: {} outputs instead of {}",
            got.len(),
            want.len()
        ));
    }
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let name = if want.is_empty() {
            what.into()
        } else {
            format!("{what} {i}")
        };
        tolerance.arrays(&name, got, want)?;
    }
    Ok(())
}

fn arrays(list: &[ArrayD<f32>]) -> Arrays<'_> {
    use oxhorn::tensor::ToTensor;
    Arrays::many(list.iter().map(|a| a.to_tensor().unwrap()).collect())
}

fn train(case: &Case, model: &mut Model, x: &[ArrayD<f32>]) -> Result<(), String> {
    let doc = &case.doc["train"];
    let y = case.arrays(doc["targets"].as_array().unwrap())?;
    let weights = match doc["sample_weight"].as_array() {
        Some(files) => Some(case.arrays(files)?),
        None => None,
    };
    if let Some(loss) = doc["compile_override"].get("loss") {
        let config = loss["config"].as_object().unwrap();
        let loss = oxhorn::losses::from_config(loss["class_name"].as_str().unwrap(), config)
            .map_err(text)?;
        model
            .compile_with(Compile::new("sgd", loss))
            .map_err(text)?;
        let rate = 0.05f32;
        model.set_learning_rate(f64::from(rate)).map_err(text)?;
    }
    let history = Tolerance::of(doc, "history_");
    let batch = doc["batch_size"].as_u64().unwrap() as usize;
    let evaluate = |model: &Model, key: &str| {
        let mut options = Evaluate::default().batch_size(batch);
        if let Some(w) = &weights {
            options = options.sample_weight(arrays(w));
        }
        let logs = model
            .evaluate_with(arrays(x), arrays(&y), options)
            .map_err(text)?;
        for (name, want) in doc[key].as_object().unwrap() {
            let got = logs
                .get(name)
                .ok_or_else(|| format!("{key}: no `{name}` in {logs}"))?;
            scalars(
                history,
                &format!("{key} {name}"),
                &[got],
                std::slice::from_ref(want),
            )?;
        }
        Ok::<(), String>(())
    };
    evaluate(model, "evaluate_before")?;
    let mut fit = Fit::epochs(doc["epochs"].as_u64().unwrap() as usize)
        .batch_size(batch)
        .shuffle(false)
        .stop_on_nan(false)
        .verbose(0);
    if let Some(w) = &weights {
        fit = fit.sample_weight(arrays(w));
    }
    if let Some(classes) = doc["class_weight"].as_object() {
        let weight = |(class, w): (&String, &Value)| (class.parse().unwrap(), w.as_f64().unwrap());
        fit = fit.class_weight(classes.iter().map(weight).collect::<Vec<(i64, f64)>>());
    }
    let got = model.fit(arrays(x), arrays(&y), fit).map_err(text)?;
    for (name, want) in doc["history"].as_object().unwrap() {
        let want_all = want.as_array().unwrap();
        if want_all.iter().all(Value::is_array) {
            // A metric with several values: each of them, epoch by epoch.
            let epochs = got
                .values(name)
                .ok_or_else(|| format!("history: no values of `{name}`"))?;
            for (got, want) in epochs.iter().zip(want_all) {
                scalars(
                    history,
                    &format!("history {name}"),
                    got,
                    want.as_array().unwrap(),
                )?;
            }
        }
        let got = got.get(name).ok_or_else(|| {
            format!(
                "history: no `{name}`, only {:?}",
                got.names().collect::<Vec<_>>()
            )
        })?;
        scalars(
            history,
            &format!("history {name}"),
            got,
            want.as_array().unwrap(),
        )?;
    }
    let tolerance = Tolerance::of(doc, "");
    let want = case.arrays(doc["after"].as_array().unwrap())?;
    predictions("predict after training", model, x, &want, tolerance)?;
    let weights_after: BTreeMap<String, Vec<u8>> = match case.files.get("after_weights.npz") {
        Some(bytes) => unzip(bytes).into_iter().collect(),
        None => BTreeMap::new(),
    };
    let names = model.weight_names();
    for ((got, bytes), name) in model
        .get_weights()
        .iter()
        .zip(weights_after.values())
        .zip(names)
    {
        tolerance.arrays(&format!("{name} after training"), got, &npy(bytes))?;
    }
    evaluate(model, "evaluate_after")
}

/// The atol of a history is relative to the largest value of its entry, if that is above one.
fn scalars(tolerance: Tolerance, what: &str, got: &[f64], want: &[Value]) -> Result<(), String> {
    // A metric with several values gives a list: their mean is what the logs hold.
    let number = |v: &Value| match v {
        Value::Array(list) => {
            list.iter()
                .map(|v| v.as_f64().unwrap_or(f64::NAN))
                .sum::<f64>()
                / list.len() as f64
        }
        v => v.as_f64().unwrap_or(f64::NAN),
    };
    let want: Vec<f64> = want.iter().map(number).collect();
    let largest = want.iter().fold(1.0f64, |m, w| m.max(w.abs()));
    let scaled = Tolerance {
        atol: tolerance.atol * largest,
        ..tolerance
    };
    if got.len() != want.len() {
        return Err(format!("{what}: {got:?} instead of {want:?}"));
    }
    match got.iter().zip(&want).find(|(g, w)| !scaled.near(**g, **w)) {
        Some((g, w)) => Err(format!("{what}: {g} instead of {w}")),
        None => Ok(()),
    }
}

/// Whether fresh weights follow the law of their initializer: values where it has no chance in it, else bounds and moments.
fn check_law(law: &Value, got: &ArrayD<f32>) -> Result<(), String> {
    let number = |key: &str| law[key].as_f64();
    let n = got.len() as f64;
    let mean = got.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let std = (got
        .iter()
        .map(|v| (f64::from(*v) - mean).powi(2))
        .sum::<f64>()
        / n)
        .sqrt();
    let (low, high) = got.iter().fold((f64::MAX, f64::MIN), |(l, h), v| {
        (l.min((*v).into()), h.max((*v).into()))
    });
    let check = |what: &str, ok: bool| match ok {
        true => Ok(()),
        false => Err(format!(
            "fresh weights: {what} (mean {mean}, std {std}, from {low} to {high}; law {law})"
        )),
    };
    match law["law"].as_str().unwrap() {
        "exact" => {
            let mut want = Vec::new();
            flatten(&law["value"], &mut want);
            check(
                "values",
                want.len() == got.len() && got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-5),
            )
        }
        "orthogonal" => {
            let w = got.clone().into_dimensionality::<ndarray::Ix2>().unwrap();
            let gram = if w.nrows() < w.ncols() {
                w.dot(&w.t())
            } else {
                w.t().dot(&w)
            };
            let gain = number("gain").unwrap() as f32;
            let off = gram
                .indexed_iter()
                .map(|((i, j), v)| (v - if i == j { gain * gain } else { 0.0 }).abs());
            check("not orthogonal", off.fold(0.0f32, f32::max) < 1e-4)
        }
        _ => {
            let want_mean = number("mean")
                .or(number("low").map(|l| (l + number("high").unwrap()) / 2.0))
                .unwrap_or(0.0);
            let want_std = number("std").unwrap();
            let bound = number("bound")
                .map(|b| (want_mean - b, want_mean + b))
                .or(number("low").map(|l| (l, number("high").unwrap())));
            check("mean", (mean - want_mean).abs() < 5.0 * want_std / n.sqrt())?;
            check(
                "standard deviation",
                (std / want_std - 1.0).abs() < 5.0 / n.sqrt(),
            )?;
            match bound {
                Some((l, h)) => check("bounds", low >= l - 1e-6 && high <= h + 1e-6),
                None => Ok(()),
            }
        }
    }
}

fn flatten(value: &Value, out: &mut Vec<f32>) {
    match value {
        Value::Array(list) => list.iter().for_each(|v| flatten(v, out)),
        v => out.push(v.as_f64().unwrap() as f32),
    }
}
