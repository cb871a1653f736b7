//! Callbacks and the arguments of training about time, against Keras's own numbers.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use oxhorn::prelude::*;

/// A weight that begins at 0, without bias: `loss = (w x - y)^2`.
fn model(optimizer: impl oxhorn::train::compile::IntoOptimizer) -> Sequential {
    let dense = Dense::new(1).kernel_initializer("zeros").use_bias(false);
    let mut model = Sequential::new().input([1]).add(dense);
    model.compile(optimizer, "mse", ["mae"]).unwrap();
    model
}

const ONE: [[f32; 1]; 1] = [[1.0]];

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("oxhorn-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn files(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<String> = files
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    files
}

const LOSSES: [f64; 20] = [
    1.0, 0.9, 0.8999, 0.85, 0.85, 0.8499, 0.86, 0.7, 0.70005, 0.71, 0.72, 0.6, 0.61, 0.62, 0.63,
    0.64, 0.65, 0.66, 0.67, 0.68,
];

/// Trains with a callback that sees these losses of the validation.
fn see(callback: impl Callback) -> History {
    let losses = LambdaCallback::new().on_epoch_end(|epoch, logs, _| {
        logs.set("val_loss", LOSSES[epoch]);
        Ok(())
    });
    let fit = Fit::epochs(LOSSES.len()).verbose(0);
    model(Sgd::new(1.0))
        .fit(&ONE, &ONE, fit.callback(losses).callback(callback))
        .unwrap()
}

#[test]
fn rates_on_a_plateau() {
    let new = || ReduceLROnPlateau::default();
    // The number of epochs with each rate; the last epoch's reduction shows in none.
    let runs = |callback: ReduceLROnPlateau| {
        let history = see(callback);
        let rates = history.get("learning_rate").unwrap();
        let mut runs: Vec<(f64, usize)> = Vec::new();
        for &rate in rates {
            match runs.last_mut() {
                Some((last, n)) if *last == rate => *n += 1,
                _ => runs.push((rate, 1)),
            }
        }
        runs
    };
    let f = |x: f32| f64::from(x);
    let got = runs(new().patience(2));
    let want = [
        (1.0, 6),
        (0.10000000149011612, 4),
        (0.009999999776482582, 4),
        (0.0009999999310821295, 2),
        (9.99999901978299e-5, 2),
        (9.99999883788405e-6, 2),
    ];
    assert_eq!(got, want);
    let got = runs(new().factor(0.5).patience(1).cooldown(2));
    let halves: Vec<(f64, usize)> = (0..9).map(|i| (0.5f64.powi(i), 2)).collect();
    assert_eq!((got[0], &got[1..9]), ((1.0, 3), &halves[1..]));
    let got = runs(new().factor(0.3).patience(2).min_delta(0.06).min_lr(0.05));
    let want = [(1.0, 4), (f(0.3), 2), (f(0.09), 4), (f(0.05), 10)];
    let near = |a: f64, b: f64| (a - b).abs() < 1e-8;
    let same = got
        .iter()
        .zip(&want)
        .all(|(g, w)| near(g.0, w.0) && g.1 == w.1);
    assert!(same && got.len() == want.len(), "{got:?}");
    let counts = |callback| runs(callback).iter().map(|r| r.1).collect::<Vec<_>>();
    let got = counts(new().factor(0.5).patience(0));
    assert_eq!(got, [3, 2, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1]);
    let got = counts(new().factor(0.5).patience(2).mode(MonitorMode::Max));
    assert_eq!(got, [3, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
    let bad = model("sgd").fit(&ONE, &ONE, Fit::epochs(1).callback(new().factor(1.0)));
    assert!(bad.unwrap_err().to_string().contains("`factor`"));
}

#[test]
fn epochs_of_early_stopping() {
    let new = || EarlyStopping::new("val_loss");
    let max = MonitorMode::Max;
    let cases = [
        (new(), Some(4), 3),
        (new().patience(1), Some(4), 3),
        (new().patience(2), Some(9), 7),
        (new().patience(3), Some(10), 7),
        (new().min_delta(0.05).patience(2), Some(3), 1),
        (new().baseline(0.75).patience(3), Some(4), 3),
        (new().baseline(0.95).patience(2), Some(9), 7),
        (new().start_from_epoch(5).patience(2), Some(9), 7),
        (
            new().start_from_epoch(5).patience(2).baseline(0.65),
            Some(6),
            5,
        ),
        (new().mode(max).patience(2), Some(2), 0),
        (new().patience(10), None, 11),
    ];
    for (mut stop, stopped, best) in cases {
        let history = see(&mut stop);
        let want = (stopped, Some((best, LOSSES[best])));
        assert_eq!((stop.stopped_epoch(), stop.best()), want, "{stop:?}");
        let epochs = stopped.map_or(LOSSES.len(), |e| e + 1);
        assert_eq!(history.epochs.len(), epochs);
    }
}

#[test]
fn what_is_not_there_cannot_be_watched() {
    let watched = |callback: &mut dyn Callback, validate: bool| {
        let fit = Fit::epochs(4).verbose(0).callback(callback);
        let fit = match validate {
            true => fit.validation(&ONE, &ONE).validation_freq(2),
            false => fit,
        };
        model("sgd").fit(&ONE, &ONE, fit)
    };
    let unknown = |callback: &mut dyn Callback| {
        let e = watched(callback, false).unwrap_err().to_string();
        assert!(e.contains("to monitor `val_loss`"), "{e}");
        assert!(e.contains("known: ") && e.ends_with("loss, mae") || e.contains("learning_rate"));
    };
    unknown(&mut EarlyStopping::new("val_loss"));
    unknown(&mut ReduceLROnPlateau::default());
    unknown(&mut ModelCheckpoint::new("never.keras").save_best_only(true));
    // Epochs without validation are passed over, but not names that validations lack.
    watched(&mut EarlyStopping::new("val_loss").patience(5), true).unwrap();
    assert!(watched(&mut EarlyStopping::new("val_auc"), true).is_err());
    let e = watched(&mut ModelCheckpoint::new("model.zip"), false).unwrap_err();
    assert!(
        e.to_string()
            .contains("ends in `.keras` or `.h5`, got model.zip")
    );
    let best = ModelCheckpoint::new("a.keras")
        .save_best_only(true)
        .save_freq(2);
    assert!(watched(&mut best.clone(), false).is_err());
    assert!(watched(&mut best.save_freq(0), false).is_err());
    assert!(watched(&mut SwapEMAWeights::new(), false).is_err());
    assert!(!Path::new("never.keras").exists() && !Path::new("a.keras").exists());
}

#[test]
fn files_of_checkpoints() {
    let saved = folder("checkpoints");
    let five = Array2::<f32>::ones((5, 1));
    let by_batch = ModelCheckpoint::new(saved.join("{epoch}-{batch}-{loss:.4f}.weights.h5"));
    let by_batch = by_batch.save_weights_only(true).save_freq(4);
    let fit = Fit::epochs(3).batch_size(1).verbose(0);
    model(Sgd::new(0.125))
        .fit(&five, &five, fit.callback(by_batch))
        .unwrap();
    let want = [
        "1-4-0.5142.weights.h5",
        "2-3-0.0353.weights.h5",
        "3-2-0.0025.weights.h5",
    ];
    assert_eq!(files(&saved), want);
    let mut read = model("sgd");
    read.load_weights(saved.join(want[0])).unwrap();
    assert_eq!(read.get_weights()[0][[0, 0]], 1.0 - 0.75f32.powi(4));
    std::fs::remove_dir_all(&saved).unwrap();

    let best = ModelCheckpoint::new(saved.join("{epoch}.keras")).monitor("loss");
    let best = best.save_best_only(true).initial_value_threshold(0.2);
    let fit = Fit::epochs(4).verbose(0);
    model(Sgd::new(0.25))
        .fit(&ONE, &ONE, fit.callback(best))
        .unwrap();
    assert_eq!(files(&saved), ["3.keras", "4.keras"]);
    std::fs::remove_dir_all(&saved).unwrap();

    // Averages are in the model between epochs, and in the end.
    let optimizer = || Sgd::new(0.25).use_ema(true).ema_momentum(0.5);
    let mut averaged = model(optimizer());
    let each = ModelCheckpoint::new(saved.join("{epoch:02d}-{val_loss:.6f}.keras"));
    let fit = Fit::epochs(3).validation(&ONE, &ONE).verbose(0);
    let swap = || SwapEMAWeights::new().swap_on_epoch(true);
    averaged
        .fit(&ONE, &ONE, fit.callback(swap()).callback(each))
        .unwrap();
    let want = [
        "01-0.250000.keras",
        "02-0.140625.keras",
        "03-0.062500.keras",
    ];
    assert_eq!(files(&saved), want);
    for (file, want) in want.iter().zip([0.5, 0.625, 0.75]) {
        let read = saving::load_model(saved.join(file)).unwrap();
        assert_eq!(read.get_weights()[0][[0, 0]], want);
    }
    assert_eq!(averaged.get_weights()[0][[0, 0]], 0.75);
    std::fs::remove_dir_all(&saved).unwrap();
    // Also where the training was stopped before its last epoch.
    let mut stopped = model(optimizer());
    let stop = LambdaCallback::new().on_epoch_end(|epoch, _, cx| {
        if epoch == 2 {
            cx.stop_training();
        }
        Ok(())
    });
    let fit = Fit::epochs(9).verbose(0);
    stopped
        .fit(&ONE, &ONE, fit.callback(swap()).callback(stop))
        .unwrap();
    assert_eq!(stopped.get_weights(), averaged.get_weights());
}

#[test]
fn a_log_is_appended_to() {
    let path = folder("log").with_extension("csv");
    let fit = || Fit::epochs(2).validation(&ONE, &ONE).verbose(0);
    let train = |fit: Fit<'_>| {
        model(Sgd::new(0.25))
            .fit(&ONE, &ONE, fit)
            .map(drop)
            .unwrap()
    };
    train(fit().callback(CSVLogger::new(&path).separator(';')));
    train(
        fit()
            .validation_freq(2)
            .callback(CSVLogger::new(&path).append(true)),
    );
    let first =
        "epoch;loss;mae;val_loss;val_mae\r\n0;1.0;1.0;0.25;0.5\r\n1;0.25;0.5;0.0625;0.25\r\n";
    let second = "0,1.0,1.0,NA,NA\r\n1,0.25,0.5,0.0625,0.25\r\n";
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{first}{second}"));
    // Opened anew, with a header again.
    train(fit().callback(CSVLogger::new(&path)));
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, first.replace(';', ","));
    std::fs::remove_file(path).unwrap();
}

fn column(n: usize) -> Array2<f32> {
    Array2::from_shape_fn((n, 1), |(i, _)| i as f32)
}

#[test]
fn steps_of_epochs() {
    for (n, steps, counts, losses) in [
        (10, 2, [2, 2, 1, 2], [3.5, 31.5, 72.5, 3.5]),
        (8, 2, [2, 2, 2, 2], [3.5, 31.5, 3.5, 31.5]),
        (6, 9, [3, 3, 3, 3], [55.0 / 6.0; 4]),
    ] {
        let x = column(n);
        let mut seen = vec![0; 4];
        let epoch = std::sync::atomic::AtomicUsize::new(0);
        let now = || epoch.load(std::sync::atomic::Ordering::Relaxed);
        let watch = LambdaCallback::new()
            .on_epoch_begin(|e, _| {
                epoch.store(e, std::sync::atomic::Ordering::Relaxed);
                Ok(())
            })
            .on_train_batch_end(|_, _, _| {
                seen[now()] += 1;
                Ok(())
            });
        let fit = Fit::epochs(4).batch_size(2).steps_per_epoch(steps);
        let fit = fit.shuffle(false).verbose(0).callback(watch);
        let history = model(Sgd::new(0.0)).fit(&x, &x, fit).unwrap();
        assert_eq!(seen, counts);
        let got = history.get("loss").unwrap();
        assert!(
            got.iter().zip(losses).all(|(g, w)| (g - w).abs() < 1e-5),
            "{got:?}"
        );
    }
    // Going on in the middle of the data is the same as not stopping.
    let x = column(10);
    let trained = |parts: &[(usize, usize)]| {
        let mut model = model(Sgd::new(1e-3)).seed(4);
        for (from, to) in parts {
            let fit = Fit::epochs(*to).initial_epoch(*from).batch_size(2);
            model
                .fit(&x, &x, fit.steps_per_epoch(2).verbose(0))
                .unwrap();
        }
        model.get_weights()
    };
    assert_eq!(trained(&[(0, 5)]), trained(&[(0, 1), (1, 4), (4, 5)]));
}

#[test]
fn steps_of_validations_and_tests() {
    let x = column(10);
    let fit = Fit::epochs(6).batch_size(5).validation(&x, &x).verbose(0);
    let fit = fit
        .validation_batch_size(2)
        .validation_steps(2)
        .validation_freq([1, 2, 6]);
    let history = model(Sgd::new(0.0)).fit(&x, &x, fit).unwrap();
    let losses = history.get("val_loss").unwrap();
    assert!([0, 1, 5].iter().all(|&e| (losses[e] - 3.5).abs() < 1e-6));
    assert!((2..5).all(|e| losses[e].is_nan()));
    let model = model(Sgd::new(0.0));
    let options = Evaluate::default().batch_size(3).steps(2);
    let loss = model
        .evaluate_with(&x, &x, options)
        .unwrap()
        .get("loss")
        .unwrap();
    assert!((loss - 55.0 / 6.0).abs() < 1e-5);
    let y = model
        .predict_with(&x, Predict::default().batch_size(3).steps(2))
        .unwrap();
    assert_eq!(y[0].shape(), [6, 1]);
    let zero = |fit: Fit<'_>, arg: &str| {
        let e = self::model("sgd").fit(&x, &x, fit).unwrap_err().to_string();
        assert!(e.contains(&format!("`{arg}`")), "{e}");
    };
    zero(Fit::epochs(1).steps_per_epoch(0), "steps_per_epoch");
    zero(Fit::epochs(1).validation_steps(0), "validation_steps");
    zero(Fit::epochs(1).validation_freq(0), "validation_freq");
    zero(
        Fit::epochs(1).validation_batch_size(0),
        "validation_batch_size",
    );
    assert!(
        model
            .evaluate_with(&x, &x, Evaluate::default().steps(0))
            .is_err()
    );
    assert!(
        model
            .predict_with(&x, Predict::default().batch_size(0))
            .is_err()
    );
}

/// Writes down what is called.
#[derive(Default)]
struct Hooks(Vec<String>);

impl Hooks {
    fn note(&mut self, what: impl Into<String>) -> Result<()> {
        self.0.push(what.into());
        Ok(())
    }
}

impl Callback for Hooks {
    fn on_train_begin(&mut self, _: &mut TrainContext<'_>) -> Result<()> {
        self.note("train(")
    }
    fn on_train_end(&mut self, _: &mut TrainContext<'_>) -> Result<()> {
        self.note(")train")
    }
    fn on_epoch_begin(&mut self, e: usize, _: &mut TrainContext<'_>) -> Result<()> {
        self.note(format!("epoch {e}("))
    }
    fn on_epoch_end(&mut self, _: usize, l: &mut Logs, _: &mut TrainContext<'_>) -> Result<()> {
        self.note(format!(")epoch {}", l.names().join(" ")))
    }
    fn on_train_batch_begin(&mut self, b: usize, _: &mut TrainContext<'_>) -> Result<()> {
        self.note(format!("{b}("))
    }
    fn on_train_batch_end(
        &mut self,
        _: usize,
        l: &BatchLogs<'_>,
        _: &mut TrainContext<'_>,
    ) -> Result<()> {
        self.note(format!("){}", l.get("loss").unwrap()))
    }
    fn on_test_begin(&mut self, _: &mut TrainContext<'_>) -> Result<()> {
        self.note("test(")
    }
    fn on_test_end(&mut self, l: &Logs, _: &mut TrainContext<'_>) -> Result<()> {
        self.note(format!(")test {l}"))
    }
    fn on_test_batch_begin(&mut self, b: usize, _: &mut TrainContext<'_>) -> Result<()> {
        self.note(format!("{b}["))
    }
    fn on_test_batch_end(
        &mut self,
        _: usize,
        l: &BatchLogs<'_>,
        _: &mut TrainContext<'_>,
    ) -> Result<()> {
        self.note(format!("]{}", l.get("mae").unwrap()))
    }
    fn on_predict_begin(&mut self, _: &mut TrainContext<'_>) -> Result<()> {
        self.note("predict(")
    }
    fn on_predict_end(&mut self, _: &mut TrainContext<'_>) -> Result<()> {
        self.note(")predict")
    }
    fn on_predict_batch_begin(&mut self, b: usize, _: &mut TrainContext<'_>) -> Result<()> {
        self.note(format!("{b}<"))
    }
    fn on_predict_batch_end(
        &mut self,
        _: usize,
        outputs: &[ndarray::ArrayD<f32>],
        cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        // A copy: the model itself stays.
        cx.model.set_weights(&[ndarray::array![[9.0f32]]])?;
        self.note(format!("{}>", outputs[0][[0, 0]]))
    }
}

#[test]
fn hooks_in_their_order() {
    let mut hooks = Hooks::default();
    let two = [[1.0f32], [1.0]];
    let mut model = model(Sgd::new(0.25));
    let fit = Fit::epochs(1)
        .batch_size(1)
        .validation(&ONE, &ONE)
        .verbose(0);
    model.fit(&two, &two, fit.callback(&mut hooks)).unwrap();
    let want = "train( epoch 0( 0( )1 1( )0.625 test( 0[ ]0.25 )test loss: 0.0625 - mae: 0.2500 \
                )epoch loss mae val_loss val_mae )train";
    assert_eq!(hooks.0.join(" "), want);
    hooks.0.clear();
    let options = Evaluate::default().batch_size(1).callback(&mut hooks);
    model.evaluate_with(&two, &two, options).unwrap();
    let want = "test( 0[ ]0.25 1[ ]0.25 )test loss: 0.0625 - mae: 0.2500";
    assert_eq!(hooks.0.join(" "), want);
    hooks.0.clear();
    let options = Predict::default().batch_size(1).callback(&mut hooks);
    let y = model.predict_with(&two, options).unwrap();
    assert_eq!(hooks.0.join(" "), "predict( 0< 0.75> 1< 9> )predict");
    assert_eq!(y[0], ndarray::array![[0.75f32], [9.0]].into_dyn());
    assert_eq!(model.get_weights()[0][[0, 0]], 0.75);
}
