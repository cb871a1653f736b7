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
    let map = OptimizerMap::new(Sgd::new(0.1)).with("head/.*", Sgd::new(0.2));
    let multi = MultiOptimizer::new(map);
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

/// Keras on TensorFlow squares and clips what each lookup adds to a row by itself; the numbers are its own.
#[test]
fn rows_that_are_looked_up_twice_count_twice() {
    fn check(optimizer: impl Optimizer + 'static, want: [f32; 8]) {
        let table = Array2::from_shape_fn((4, 2), |(i, j)| (2 * i + j) as f32 * 2.0 / 7.0 - 1.0);
        let y = array![
            [[0.3f32, -0.2], [-0.5, 0.7], [0.9, 0.1]],
            [[0.4, -0.6], [0.02, 0.3], [1.0, -1.0]],
        ];
        let name = format!("{optimizer:?}");
        let mut model = Sequential::new()
            .input([3])
            .add(Embedding::new(4, 2).weights(table));
        model.compile(optimizer, "mse", ()).unwrap();
        let fit = Fit::epochs(4).batch_size(2).shuffle(false).verbose(0);
        model
            .fit(&array![[1.0f32, 1.0, 2.0], [1.0, 0.0, 2.0]], &y, fit)
            .unwrap();
        for (got, want) in model.get_weights()[0].iter().zip(want) {
            assert!((got - want).abs() < 2e-5, "{name}: {got} instead of {want}");
        }
    }
    check(
        Sgd::new(0.1),
        [
            -0.933681, -0.648338, -0.336708, -0.122541, 0.245214, 0.317157, 0.714286, 1.0,
        ],
    );
    check(
        Sgd::new(0.1).clipnorm(0.05),
        [
            -0.992628, -0.706955, -0.417892, -0.140495, 0.154492, 0.415907, 0.714286, 1.0,
        ],
    );
    check(
        Sgd::new(0.1).clipvalue(0.1),
        [
            -0.96, -0.674286, -0.355194, -0.137422, 0.222857, 0.368197, 0.714286, 1.0,
        ],
    );
    check(
        Sgd::new(0.1).global_clipnorm(0.05),
        [
            -0.992628, -0.706955, -0.417892, -0.140495, 0.154492, 0.415907, 0.714286, 1.0,
        ],
    );
    check(
        Sgd::new(0.1).gradient_accumulation_steps(2),
        [
            -0.966283, -0.680758, -0.380286, -0.132179, 0.19577, 0.370976, 0.714286, 1.0,
        ],
    );
    check(
        Adam::new(0.1),
        [
            -0.603831, -0.318149, 0.036726, -0.037408, 0.692964, -0.02851, 0.714286, 1.0,
        ],
    );
    check(
        Adam::new(0.1).clipnorm(0.05),
        [
            -0.600052, -0.314355, 0.035478, -0.039233, 0.701254, -0.030843, 0.714286, 1.0,
        ],
    );
    check(
        Adam::new(0.1).clipvalue(0.1),
        [
            -0.600012, -0.314297, 0.031713, -0.106797, 0.702642, -0.073327, 0.714286, 1.0,
        ],
    );
    check(
        Adam::new(0.1).global_clipnorm(0.05),
        [
            -0.600482, -0.314787, -0.036087, 0.012796, 0.541319, 0.029646, 0.714286, 1.0,
        ],
    );
    check(
        Adam::new(0.1).gradient_accumulation_steps(2),
        [
            -0.800406, -0.514695, -0.229782, 0.030339, 0.342293, 0.229071, 0.714286, 1.0,
        ],
    );
    check(
        Adam::new(0.1).amsgrad(true),
        [
            -0.603831, -0.318149, 0.036726, -0.037408, 0.692964, -0.02851, 0.714286, 1.0,
        ],
    );
    check(
        Nadam::new(0.1),
        [
            -0.691355, -0.405743, -0.085292, -0.064106, 0.556531, 0.076038, 0.714286, 1.0,
        ],
    );
    check(
        Adamax::new(0.1),
        [
            -0.630369, -0.344825, -0.115063, -0.063954, 0.504573, 0.063785, 0.714286, 1.0,
        ],
    );
    check(
        Adagrad::new(0.1),
        [
            -0.84161, -0.556472, -0.228606, -0.097491, 0.371977, 0.206054, 0.714286, 1.0,
        ],
    );
    check(
        Adadelta::new(1.0),
        [
            -0.994263, -0.708548, -0.420886, -0.140905, 0.150948, 0.4217, 0.714286, 1.0,
        ],
    );
    check(
        RmsProp::new(0.1).centered(true).momentum(0.5),
        [
            0.137104, 0.419416, 0.135727, -0.013624, 1.138563, -0.664548, 0.714286, 1.0,
        ],
    );
    check(
        Ftrl::new(0.1)
            .l1_regularization_strength(0.01)
            .l2_shrinkage_regularization_strength(0.02),
        [
            -0.045877, 0.011198, 0.029067, -0.007385, 0.260495, -0.078639, -0.005653, -0.009131,
        ],
    );
    check(
        Lion::new(0.01),
        [
            -0.96, -0.674286, -0.388571, -0.102857, 0.182857, 0.388571, 0.714286, 1.0,
        ],
    );
    check(
        Lamb::new(0.1),
        [
            -0.737204, -0.4515, -0.10221, -0.066538, 0.511012, 0.120929, 0.714286, 1.0,
        ],
    );
}
