//! Optimizers in training: what becomes of each part of the model.

use ndarray::{Array2, array};
use oxhorn::prelude::*;

use crate::problem;

/// Two Dense layers, `first` and `head`, on four features.
fn two_layers() -> Sequential {
    Sequential::new()
        .seed(3)
        .input([4])
        .add(Dense::new(3).activation("tanh").name("first"))
        .add(Dense::new(1).activation("sigmoid").name("head"))
}

fn fit(model: &mut Sequential, optimizer: impl Optimizer + 'static) {
    let (x, y) = problem(64, 4, 0);
    model.compile(optimizer, "binary_crossentropy", ()).unwrap();
    model
        .fit(&x, &y, Fit::epochs(2).shuffle(false).verbose(0))
        .unwrap();
}

#[test]
fn each_variable_has_the_optimizer_of_its_path() {
    let mut model = two_layers();
    let map = OptimizerMap::new(Sgd::new(0.0)).with("head/.*", Adam::new(0.01));
    fit(&mut model, MultiOptimizer::new(map));

    // With the first layer frozen, Adam alone does the same.
    let mut alone = two_layers();
    alone.set_trainable("first", false).unwrap();
    fit(&mut alone, Adam::new(0.01));
    assert_eq!(alone.get_weights(), model.get_weights());

    let e = model
        .compile(
            MultiOptimizer::new(OptimizerMap::new(Sgd::new(0.1)).with("(", Sgd::new(0.1))),
            "mse",
            (),
        )
        .unwrap_err();
    assert!(e.to_string().contains("pattern"), "{e}");
    let multi = MultiOptimizer::new(OptimizerMap::new(Sgd::new(0.1)));
    model.compile(multi, "mse", ()).unwrap();
    assert!(model.learning_rate().is_err());
    assert!(model.set_learning_rate(0.1).is_err());
}

#[test]
fn schedules_are_read_step_by_step() {
    let (x, y) = problem(64, 4, 0);
    let mut model = two_layers();
    let halves = PiecewiseConstantDecay::new([1.0, 3.0], [0.4, 0.2, 0.1]);
    model.compile(Sgd::new(halves), "mse", ()).unwrap();
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(model.learning_rate().unwrap() as f32);
        model.train_on_batch(&x, &y).unwrap();
    }
    assert_eq!(seen, [0.4, 0.4, 0.2, 0.2, 0.1]);
    let e = model.set_learning_rate(0.1).unwrap_err();
    assert!(e.to_string().contains("schedule"), "{e}");

    model
        .compile(
            Sgd::new(Schedule::custom("mine", |step| 0.5 / (step + 1) as f64)),
            "mse",
            (),
        )
        .unwrap();
    model.train_on_batch(&x, &y).unwrap();
    assert_eq!(model.learning_rate().unwrap(), 0.25);
}

#[test]
fn averages_leave_frozen_weights_alone() {
    let mut model = two_layers();
    model.set_trainable("first", false).unwrap();
    let before = model.get_weights();
    let averaged = Sgd::new(0.5)
        .use_ema(true)
        .ema_momentum(0.5)
        .ema_overwrite_frequency(1)
        .weight_decay(0.1);
    fit(&mut model, averaged);
    let after = model.get_weights();
    assert_eq!(before[..2], after[..2]);
    assert_ne!(before[2..], after[2..]);
}

#[test]
fn accumulated_steps_are_one_step_over_all_samples() {
    let (x, y) = problem(64, 4, 0);
    let optimizer = |steps: u64| {
        Sgd::new(0.5)
            .momentum(0.9)
            .gradient_accumulation_steps(steps)
    };
    let (mut whole, mut parts) = (two_layers(), two_layers());
    whole
        .compile(Sgd::new(0.5).momentum(0.9), "mse", ())
        .unwrap();
    parts.compile(optimizer(4), "mse", ()).unwrap();
    let go = |model: &mut Sequential, batch: usize| {
        let how = Fit::epochs(3).batch_size(batch).shuffle(false).verbose(0);
        model.fit(&x, &y, how).unwrap();
    };
    go(&mut whole, 64);
    go(&mut parts, 16);
    for (a, b) in whole.get_weights().iter().zip(parts.get_weights()) {
        assert!(
            a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5),
            "{a} {b}"
        );
    }
}

#[test]
fn scaled_losses_change_no_gradient() {
    let (mut plain, mut scaled) = (two_layers(), two_layers());
    fit(&mut plain, Adam::new(0.01));
    // Powers of two: the same bits.
    fit(&mut scaled, Adam::new(0.01).loss_scale_factor(1024.0));
    assert_eq!(plain.get_weights(), scaled.get_weights());
    let mut dynamic = two_layers();
    let optimizer = LossScaleOptimizer::new(Adam::new(0.01)).dynamic_growth_steps(1);
    fit(&mut dynamic, optimizer);
    assert_eq!(plain.get_weights(), dynamic.get_weights());
}

#[test]
fn class_weights_are_sample_weights_by_class() {
    let (x, y) = problem(40, 4, 0);
    let weights: Array2<f32> = y.map(|y| if *y == 0.0 { 0.5 } else { 3.0 });
    let (mut by_class, mut by_sample) = (two_layers(), two_layers());
    for model in [&mut by_class, &mut by_sample] {
        model
            .compile_with(Compile::new("adam", "mse").weighted_metrics(["mae"]))
            .unwrap();
    }
    let how = || Fit::epochs(2).verbose(0);
    let weights = weights.column(0).to_owned();
    let a = by_class
        .fit(&x, &y, how().class_weight([(0, 0.5), (1, 3.0)]))
        .unwrap();
    let b = by_sample
        .fit(&x, &y, how().sample_weight(&weights))
        .unwrap();
    assert_eq!(by_class.get_weights(), by_sample.get_weights());
    assert_eq!(a.get("mae"), b.get("mae"));

    let both = how().class_weight([(0, 0.5)]).sample_weight(&weights);
    let e = by_class.fit(&x, &y, both).unwrap_err();
    assert!(e.to_string().contains("class_weight"), "{e}");
}

#[test]
fn metrics_with_several_values_show_them_all() {
    let x = array![[1.0f32, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]];
    let mut model = Sequential::new()
        .input([2])
        .add(Dense::new(2).activation("sigmoid"));
    model.compile("sgd", "mse", [F1Score::default()]).unwrap();
    let logs = model.evaluate(&x, &x).unwrap();
    assert_eq!(logs.values("f1_score").unwrap().len(), 2);
}
