//! Files: models and weights come back as they went, and a file that lies is only an error.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ndarray::{Array2, array};
use oxhorn::config::Config;
use oxhorn::layer::{Backward, Forward, Layer};
use oxhorn::prelude::*;
use oxhorn::saving::{LoadWeights, Loader, Registry, load_model};

/// A folder of its own for every test, gone when it goes.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("oxhorn-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn data(n: usize, width: usize, seed: u64) -> Array2<f32> {
    let mut rng = oxhorn::random::Rng::new(seed);
    Array2::from_shape_simple_fn((n, width), || rng.normal())
}

fn trained(seed: u64) -> Sequential {
    let mut model = Sequential::new()
        .seed(seed)
        .input([4])
        .add(Dense::new(6).activation("tanh").name("hidden"))
        .add(Dropout::new(0.2))
        .add(Dense::new(2).kernel_regularizer("l2").name("head"));
    model
        .compile(Adam::new(0.01).clipnorm(1.0), "mse", ["mae"])
        .unwrap();
    let fit = Fit::epochs(2).batch_size(8).verbose(0);
    model.fit(&data(32, 4, 1), &data(32, 2, 2), fit).unwrap();
    model
}

#[test]
fn training_goes_on_where_it_stopped() {
    let folder = Folder::new("resume");
    for ending in ["keras", "h5"] {
        let mut model = trained(1);
        let path = folder.join(&format!("model.{ending}"));
        model.save(&path).unwrap();
        let mut again = load_model(&path).unwrap();
        assert_eq!(again.get_weights(), model.get_weights());
        again.set_seed(1); // dropout draws from the model's seed, which Keras's files do not hold
        let (x, y) = (data(32, 4, 3), data(32, 2, 4));
        let fit = || Fit::epochs(3).shuffle(false).verbose(0);
        let first = model.fit(&x, &y, fit()).unwrap();
        let second = again.fit(&x, &y, fit()).unwrap();
        assert_eq!(first, second, "{ending}");
        assert_eq!(again.get_weights(), model.get_weights());
    }
}

#[test]
fn a_failed_save_leaves_the_old_file() {
    let folder = Folder::new("atomic");
    let path = folder.join("model.keras");
    trained(1).save(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    // A layer whose configuration claims a key that is the model's: it cannot be written.
    let mut model = Sequential::new().input([4]).add(Named);
    model.build([4]).unwrap();
    let e = model.save(&path).unwrap_err();
    assert!(
        e.to_string()
            .contains("`name` is no argument of a layer's own"),
        "{e}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
    let e = model.save(folder.join("model.pkl")).unwrap_err();
    assert!(e.to_string().contains("ends in `.keras` or `.h5`"), "{e}");
}

#[test]
fn weights_alone() {
    let folder = Folder::new("weights");
    let model = trained(1);
    for name in ["w.weights.h5", "w.safetensors"] {
        let path = folder.join(name);
        model.save_weights(&path).unwrap();
        let mut other = trained(2);
        assert_ne!(other.get_weights(), model.get_weights());
        other.load_weights(&path).unwrap();
        assert_eq!(other.get_weights(), model.get_weights(), "{name}");

        // Another head: an error that names the layer and changes nothing, unless it may be passed over.
        let mut wide = Sequential::new()
            .input([4])
            .add(Dense::new(6).name("hidden"))
            .add(Dense::new(3).name("head"));
        wide.build([4]).unwrap();
        let before = wide.get_weights();
        let e = wide.load_weights(&path).unwrap_err();
        assert!(
            e.to_string().contains("head") || e.to_string().contains("[6, 3]"),
            "{e}"
        );
        assert_eq!(wide.get_weights(), before);
        let skipped = wide
            .load_weights_with(&path, LoadWeights::new().skip_mismatch(true))
            .unwrap();
        assert_eq!(skipped, ["head"], "{name}");
        assert_eq!(wide.get_weights()[..2], model.get_weights()[..2]);
        assert_eq!(wide.get_weights()[2..], before[2..]);

        // By name: one layer of several.
        let mut part = Sequential::new()
            .input([6])
            .add(Dense::new(5).name("new"))
            .add(Dense::new(6).name("other"))
            .add(Dense::new(2).name("head"));
        part.build([6]).unwrap();
        let kept = part
            .load_weights_with(&path, LoadWeights::new().by_name(true))
            .unwrap();
        assert_eq!(kept, ["new", "other"], "{name}");
        assert_eq!(part.get_weights()[4..], model.get_weights()[2..]);
    }
    let mut unbuilt = Sequential::new().add(Dense::new(1));
    assert!(
        unbuilt
            .load_weights(folder.join("w.weights.h5"))
            .unwrap_err()
            .to_string()
            .contains("not built")
    );
    let e = model.save_weights(folder.join("weights.bin")).unwrap_err();
    assert!(
        e.to_string().contains("`.weights.h5` or `.safetensors`"),
        "{e}"
    );
}

#[test]
fn nested_and_functional_models_come_back() {
    let mut encoder = Sequential::new()
        .name("encoder")
        .input([4])
        .add(Dense::new(3).activation("relu"));
    encoder.build([4]).unwrap();
    let (a, b) = (Input::new([4]).name("a"), Input::new([4]).name("b"));
    let (ea, eb) = (encoder.call(&a).unwrap(), encoder.call(&b).unwrap());
    let shared = LayerRef::from(Dense::new(2)).name("shared");
    let outputs = [shared.call(&ea).unwrap(), shared.call(&eb).unwrap()];
    let mut model = Model::new([&a, &b], outputs).unwrap().named("siamese");
    model.compile("sgd", ["mse", "mae"], ()).unwrap();
    model.set_trainable("encoder", false).unwrap();
    for bytes in [
        model.to_keras_bytes().unwrap(),
        model.to_h5_bytes().unwrap(),
    ] {
        let again = Loader::new().load_bytes(bytes).unwrap();
        assert_eq!(again.name(), "siamese");
        assert_eq!(again.layer_names(), ["encoder/dense", "shared"]);
        assert_eq!(again.get_weights(), model.get_weights());
        let x = data(3, 4, 1);
        let x = [("b", &x), ("a", &x)];
        assert_eq!(again.predict_all(x).unwrap(), model.predict_all(x).unwrap());
        let (frozen, all) = (again.summary().unwrap(), model.summary().unwrap());
        assert_eq!(frozen, all);
        assert!(frozen.contains("Non-trainable params: 15"), "{frozen}");
    }
    let architecture = |model: &Model| {
        let json = model.to_json().unwrap();
        let end = json.find(r#","compile_config""#).unwrap_or(json.len() - 1);
        json[..end].to_string()
    };
    let fresh = Loader::new().from_json(&model.to_json().unwrap()).unwrap();
    assert_eq!(architecture(&fresh), architecture(&model));
}

/// `y = factor x`.
#[derive(Debug)]
struct Scale {
    factor: f32,
}

impl Layer for Scale {
    fn class_name(&self) -> &'static str {
        "Scale"
    }
    fn config(&self) -> Config {
        Config::from_iter([("factor".to_string(), self.factor.into())])
    }
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }
    fn forward(&self, cx: Forward<'_>) {
        cx.y.data
            .iter_mut()
            .zip(cx.x[0].data)
            .for_each(|(y, x)| *y = self.factor * x);
    }
    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            dx.data
                .iter_mut()
                .zip(&*cx.dy.data)
                .for_each(|(dx, dy)| *dx = self.factor * dy);
        }
    }
}

/// A layer whose configuration claims `name`.
#[derive(Debug)]
struct Named;

impl Layer for Named {
    fn class_name(&self) -> &'static str {
        "Named"
    }
    fn config(&self) -> Config {
        Config::from_iter([("name".to_string(), "mine".into())])
    }
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }
    fn forward(&self, cx: Forward<'_>) {
        cx.y.data.copy_from_slice(cx.x[0].data);
    }
    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            dx.data.copy_from_slice(cx.dy.data);
        }
    }
}

#[test]
fn classes_of_the_users_own() {
    let mut model = Sequential::new().input([2]).add(Scale { factor: 3.0 });
    model.build([2]).unwrap();
    let bytes = model.to_keras_bytes().unwrap();
    let e = Loader::new()
        .load_bytes(bytes.clone())
        .unwrap_err()
        .to_string();
    assert!(
        e.contains("unknown layer class `Custom>Scale`") && e.contains("Registry::new().layer("),
        "{e}"
    );
    let registry = Registry::new().layer("Scale", |config| {
        let factor = config.get("factor").and_then(|f| f.as_f64());
        let factor = factor.ok_or_else(|| Error::arg("factor", "a number", "nothing"))? as f32;
        Ok(Scale { factor })
    });
    let again = Loader::new()
        .custom_objects(registry)
        .load_bytes(bytes)
        .unwrap();
    assert_eq!(
        again.predict(&array![[1.0f32, -2.0]]).unwrap(),
        array![[3.0, -6.0]].into_dyn()
    );
}

/// What `tests/data/bad/README.md` says of each file; those that Keras itself loads may load.
#[test]
fn files_that_lie_are_errors() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bad");
    let readme = std::fs::read_to_string(dir.join("README.md")).unwrap();
    let mut seen = 0;
    for line in readme
        .lines()
        .filter(|l| l.starts_with("| ") && l.contains('.'))
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (file, reason, keras) = (cells[1], cells[2], cells[3]);
        let path = dir.join(file);
        if !path.exists() {
            continue;
        }
        let control = file.starts_with("control");
        let start = Instant::now();
        let result = match file.ends_with(".weights.h5") {
            // Weights of the model beside it.
            true => load_model(dir.join("control.keras")).and_then(|mut m| m.load_weights(&path)),
            false => load_model(&path).map(drop),
        };
        let time = start.elapsed();
        assert!(time < Duration::from_secs(1), "{file}: {time:?}");
        match result {
            Ok(()) => assert!(control || keras == "loads", "{file} loads, but: {reason}"),
            Err(e) => assert!(!control, "{file} must load: {e}"),
        }
        seen += 1;
    }
    assert!(seen > 40, "{seen} files");
    assert!(load_model(dir.join("missing.keras")).is_err());
}

#[test]
fn configurations_that_lie_are_errors() {
    let dense = |extra: &str| {
        format!(
            r#"{{"class_name": "Sequential", "module": "keras", "config": {{"name": "s", "layers": [
            {{"class_name": "InputLayer", "module": "keras.layers", "config": {{"batch_shape": [null, 3], "name": "x"}}}},
            {{"class_name": "Dense", "module": "keras.layers", "config": {{"name": "d", "units": 2{extra}}}}}]}}}}"#
        )
    };
    assert!(Loader::new().from_json(&dense("")).is_ok());
    for (extra, want) in [
        (r#", "unit": 3"#, "unknown field `unit`"),
        (
            r#", "activation": "os.system""#,
            "unknown activation `os.system`",
        ),
        (r#", "name": "../../x""#, "cannot be the name of a layer"),
        (r#", "trainable": 1"#, "expected true or false"),
        (r#", "dtype": "float31""#, "`dtype`: expected one of"),
        (
            r#", "kernel_initializer": {"class_name": "eval", "config": {}}"#,
            "eval",
        ),
    ] {
        let e = Loader::new()
            .from_json(&dense(extra))
            .unwrap_err()
            .to_string();
        assert!(e.contains(want), "{extra}: {e}");
    }
    for json in [
        "",
        "{",
        "[]",
        "3",
        "null",
        r#"{"class_name": "Sequential"}"#,
        r#"{"class_name": "Sequential", "config": {"layers": 3}}"#,
    ] {
        assert!(Loader::new().from_json(json).is_err(), "{json}");
    }
    // A chain of names that are not there, and one that bites its tail.
    let functional = |history: &str, outputs: &str| {
        format!(
            r#"{{"class_name": "Functional", "module": "keras.src.models.functional", "config": {{"name": "f", "layers": [
            {{"class_name": "InputLayer", "module": "keras.layers", "name": "x", "inbound_nodes": [],
              "config": {{"batch_shape": [null, 3], "name": "x"}}}},
            {{"class_name": "Dense", "module": "keras.layers", "name": "d", "config": {{"name": "d", "units": 3}},
              "inbound_nodes": [{{"args": [{{"class_name": "__keras_tensor__",
                "config": {{"keras_history": {history}}}}}], "kwargs": {{}}}}]}}],
            "input_layers": [["x", 0, 0]], "output_layers": {outputs}}}}}"#
        )
    };
    let good = r#"[["d", 0, 0]]"#;
    assert!(
        Loader::new()
            .from_json(&functional(r#"["x", 0, 0]"#, good))
            .is_ok()
    );
    for (history, outputs) in [
        (r#"["d", 0, 0]"#, good),
        (r#"["y", 0, 0]"#, good),
        (r#"["x", -1, 0]"#, good),
        (r#"["x", 0, 0]"#, r#"[["d", 7, 0]]"#),
        (r#"["x", 0, 0]"#, r#"[["d", 0, 7]]"#),
        (r#"["x", 0, 0]"#, "[]"),
        (r#"["x", 0, 0]"#, r#"[["z", 0, 0]]"#),
    ] {
        let e = Loader::new().from_json(&functional(history, outputs));
        assert!(e.is_err(), "{history} {outputs}");
    }
}

#[test]
fn training_that_keras_writes_into_calls_is_no_order() {
    // Keras writes its defaults: nobody gave `training` here.
    let json = r#"{"module": "keras.src.models.functional", "class_name": "Functional", "config": {"name": "functional",
        "trainable": true, "layers": [
        {"module": "keras.layers", "class_name": "InputLayer", "name": "input_layer", "registered_name": null, "inbound_nodes": [],
         "config": {"batch_shape": [null, 64], "dtype": "float32", "sparse": false, "name": "input_layer"}},
        {"module": "keras.layers", "class_name": "Dropout", "name": "dropout", "registered_name": null,
         "config": {"name": "dropout", "trainable": true, "rate": 0.5, "seed": null, "noise_shape": null},
         "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": {"shape": [null, 64], "dtype": "float32",
            "keras_history": ["input_layer", 0, 0]}}], "kwargs": {"training": DEFAULT}}]}],
        "input_layers": [["input_layer", 0, 0]], "output_layers": [["dropout", 0, 0]]}}"#;
    let ones = Array2::<f32>::ones((4, 64));
    for default in ["false", "true"] {
        let json = json.replace("DEFAULT", default);
        let mut model = Loader::new().from_json(&json).unwrap();
        assert_eq!(model.predict(&ones).unwrap(), ones.clone().into_dyn());
        model.compile(Sgd::new(0.1), "mse", ()).unwrap();
        // Each number is dropped or doubled: wrong by 1 either way.
        let logs = model.train_on_batch(&ones, &ones).unwrap();
        assert_eq!(logs.get("loss"), Some(1.0), "{default}");
    }
}
