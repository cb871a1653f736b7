//! All optimizers: trajectories against the formulas, names and configurations.

use serde_json::json;

use super::schedules::ExponentialDecay;
use super::*;
use crate::testing::check_optimizer;

/// Five updates of (1.0, -2.0) by gradients (0.1 t, -0.3) through the trait.
fn trajectory(optimizer: &dyn Optimizer) -> [Float; 2] {
    let mut w = [1.0, -2.0];
    let mut slots: Vec<Vec<Float>> = (0..optimizer.slots().len())
        .map(|s| match optimizer.initial(s) {
            Initial::Value(value) => vec![value; 2],
            Initial::Weights => w.to_vec(),
        })
        .collect();
    let mut scalars: Vec<f64> = optimizer.scalars().iter().map(|(_, v)| *v).collect();
    for t in 1..=5 {
        let g = [0.1 * t as Float, -0.3];
        let common = optimizer.common();
        let lr = common.learning_rate.at(t - 1);
        optimizer.advance(t, &mut scalars);
        let tick = Tick {
            iteration: t,
            lr,
            grad_scale: 1.0,
            decay: (common.weight_decay.unwrap_or(0.0) * lr) as Float,
            scalars: &scalars,
        };
        let mut slots: Vec<&mut [Float]> = slots.iter_mut().map(|s| &mut s[..]).collect();
        optimizer.update(
            &tick,
            Var {
                shape: &[2],
                w: &mut w,
                g: &g,
                slots: &mut slots,
                scratch: &mut [],
            },
        );
    }
    w
}

/// The same by the formulas of the papers, in double precision.
fn reference(step: impl Fn(f64, f64, f64, &mut [f64; 3]) -> f64) -> [Float; 2] {
    let one = |mut w: f64, g: &dyn Fn(f64) -> f64| {
        let mut memory = [0.0; 3];
        for t in 1..=5 {
            w = step(w, g(f64::from(t)), f64::from(t), &mut memory);
        }
        w as Float
    };
    [one(1.0, &|t| 0.1 * t), one(-2.0, &|_| -0.3)]
}

fn close(got: [Float; 2], want: [Float; 2]) {
    got.iter()
        .zip(want)
        .for_each(|(g, w)| assert!((g - w).abs() < 2e-6, "{got:?} instead of {want:?}"));
}

#[test]
fn trajectories() {
    close(
        trajectory(&Sgd::new(0.1)),
        reference(|w, g, _, _| w - 0.1 * g),
    );
    let momentum = |nesterov: bool| {
        reference(move |w, g, _, s| {
            s[0] = 0.9 * s[0] - 0.1 * g;
            w + if nesterov { 0.9 * s[0] - 0.1 * g } else { s[0] }
        })
    };
    close(trajectory(&Sgd::new(0.1).momentum(0.9)), momentum(false));
    close(
        trajectory(&Sgd::new(0.1).momentum(0.9).nesterov(true)),
        momentum(true),
    );
    let halving = ExponentialDecay::new(0.1, 1.0, 0.5);
    close(
        trajectory(&Sgd::new(halving)),
        reference(|w, g, t, _| w - 0.1 * 0.5f64.powf(t - 1.0) * g),
    );
    let adam = |w: f64, g: f64, t: f64, s: &mut [f64; 3], amsgrad: bool| {
        s[0] = 0.9 * s[0] + 0.1 * g;
        s[1] = 0.999 * s[1] + 0.001 * g * g;
        s[2] = s[2].max(s[1]);
        let v = if amsgrad { s[2] } else { s[1] };
        let alpha = 0.1 * (1.0 - 0.999f64.powf(t)).sqrt() / (1.0 - 0.9f64.powf(t));
        w - alpha * s[0] / (v.sqrt() + 1e-7)
    };
    close(
        trajectory(&Adam::new(0.1)),
        reference(|w, g, t, s| adam(w, g, t, s, false)),
    );
    close(
        trajectory(&Adam::new(0.1).amsgrad(true)),
        reference(|w, g, t, s| adam(w, g, t, s, true)),
    );
    close(
        trajectory(&AdamW::new(0.1)),
        reference(|w, g, t, s| adam(w - 0.004 * 0.1 * w, g, t, s, false)),
    );
    let rms = |w: f64, g: f64, s: &mut [f64; 3], centered: bool, momentum: f64| {
        s[0] = 0.9 * s[0] + 0.1 * g * g;
        s[1] = 0.9 * s[1] + 0.1 * g;
        let v = if centered { s[0] - s[1] * s[1] } else { s[0] };
        s[2] = momentum * s[2] + 0.1 * g / (v + 1e-7).sqrt();
        w - s[2]
    };
    for (centered, momentum) in [(false, 0.0), (true, 0.0), (true, 0.5), (false, 0.5)] {
        let optimizer = RmsProp::new(0.1).centered(centered).momentum(momentum);
        close(
            trajectory(&optimizer),
            reference(|w, g, _, s| rms(w, g, s, centered, momentum)),
        );
    }
    // The product of the momenta so far is kept from step to step.
    let momentum = |t: f64| 0.9 * (1.0 - 0.5 * 0.96f64.powf(t));
    close(
        trajectory(&Nadam::new(0.1)),
        reference(|w, g, t, s| {
            s[0] = 0.9 * s[0] + 0.1 * g;
            s[1] = 0.999 * s[1] + 0.001 * g * g;
            s[2] = if t == 1.0 { 1.0 } else { s[2] } * momentum(t);
            let ahead = momentum(t + 1.0) * s[0] / (1.0 - s[2] * momentum(t + 1.0))
                + (1.0 - momentum(t)) * g / (1.0 - s[2]);
            w - 0.1 * ahead / ((s[1] / (1.0 - 0.999f64.powf(t))).sqrt() + 1e-7)
        }),
    );
}

#[test]
fn laws() {
    let optimizers: [&dyn Optimizer; 18] = [
        &Sgd::new(0.05),
        &Sgd::new(0.05).momentum(0.9).nesterov(true),
        &RmsProp::new(0.01),
        &RmsProp::new(0.01).centered(true).momentum(0.5),
        &Adam::new(0.05),
        &Adam::new(0.05).amsgrad(true),
        &AdamW::new(0.05),
        &Adadelta::new(1.0),
        &Adafactor::new(0.05),
        &Adagrad::new(0.3),
        &Adamax::new(0.05),
        &Ftrl::new(0.3),
        &Ftrl::new(0.3).learning_rate_power(-0.3).beta(0.1),
        &Lamb::new(0.05),
        &Lion::new(0.02),
        &Muon::new(0.05),
        &Nadam::new(0.05),
        &ScheduleFreeAdamW::new(0.05).warmup_steps(3),
    ];
    for optimizer in optimizers {
        check_optimizer(optimizer);
    }
}

/// What `keras.optimizers.serialize` writes for each class behind the shared arguments.
#[test]
fn names_and_configurations() {
    let betas = json!({"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7});
    let mut amsgrad = betas.clone();
    amsgrad["amsgrad"] = json!(false);
    for (class, name, rate, own) in [
        (
            "SGD",
            "sgd",
            0.01,
            json!({"momentum": 0.0, "nesterov": false}),
        ),
        (
            "RMSprop",
            "rm_sprop",
            0.001,
            json!({"rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": false}),
        ),
        ("Adam", "adam", 0.001, amsgrad.clone()),
        ("AdamW", "adam_w", 0.001, amsgrad),
        (
            "Adadelta",
            "adadelta",
            0.001,
            json!({"rho": 0.95, "epsilon": 1e-7}),
        ),
        (
            "Adafactor",
            "adafactor",
            0.001,
            json!({"beta_2_decay": -0.8, "epsilon_1": 1e-30, "epsilon_2": 0.001, "clip_threshold": 1.0, "relative_step": true}),
        ),
        (
            "Adagrad",
            "adagrad",
            0.001,
            json!({"initial_accumulator_value": 0.1, "epsilon": 1e-7}),
        ),
        ("Adamax", "adamax", 0.001, betas.clone()),
        (
            "Ftrl",
            "ftrl",
            0.001,
            json!({"learning_rate_power": -0.5, "initial_accumulator_value": 0.1, "l1_regularization_strength": 0.0,
                   "l2_regularization_strength": 0.0, "l2_shrinkage_regularization_strength": 0.0, "beta": 0.0}),
        ),
        ("Lamb", "lamb", 0.001, betas.clone()),
        (
            "Lion",
            "lion",
            0.001,
            json!({"beta_1": 0.9, "beta_2": 0.99}),
        ),
        (
            "Muon",
            "muon",
            0.001,
            json!({"adam_beta_1": 0.9, "adam_beta_2": 0.999, "epsilon": 1e-7, "exclude_layers": [], "muon_a": 3.4445,
                   "muon_b": -4.775, "muon_c": 2.0315, "adam_lr_ratio": 1, "momentum": 0.95, "ns_steps": 5, "nesterov": true,
                   "exclude_embeddings": true, "adam_weight_decay": 0.004, "rms_rate": 0.2}),
        ),
        ("Nadam", "nadam", 0.001, betas),
        (
            "ScheduleFreeAdamW",
            "schedule_free_adam_w",
            0.0025,
            json!({"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "warmup_steps": 0}),
        ),
    ] {
        let decay = match class {
            "AdamW" | "Muon" => json!(0.004),
            _ => json!(null),
        };
        let mut want = json!({"name": name, "learning_rate": f64::from(rate as f32), "weight_decay": decay, "clipnorm": null,
            "global_clipnorm": null, "clipvalue": null, "use_ema": false, "ema_momentum": 0.99,
            "ema_overwrite_frequency": null, "loss_scale_factor": null, "gradient_accumulation_steps": null});
        let map = want.as_object_mut().unwrap();
        map.extend(own.as_object().unwrap().clone());
        for given in [class, name, &class.to_lowercase()] {
            let optimizer = get(given).unwrap();
            assert_eq!(optimizer.class_name(), class);
            let written = serde_json::Value::Object(optimizer.config());
            assert_eq!(written.to_string(), want.to_string());
            let read = deserialize(&serialize(optimizer.as_ref())).unwrap();
            assert_eq!(read.config(), optimizer.config());
        }
    }
    assert!(
        get("adan")
            .unwrap_err()
            .to_string()
            .contains("did you mean `adam`?")
    );
    let mut config = Adam::default().config();
    config.insert("beta_3".into(), 1.into());
    let e = from_config("Adam", &config).unwrap_err().to_string();
    assert!(e.contains("beta_3"), "{e}");
}

#[test]
fn arguments_and_schedules_survive() {
    let optimizer = Adam::new(ExponentialDecay::new(0.05, 3.0, 0.7))
        .name("mine")
        .beta_1(0.8)
        .clipnorm(1.0)
        .use_ema(true)
        .ema_overwrite_frequency(3)
        .gradient_accumulation_steps(2);
    let written = serialize(&optimizer);
    assert_eq!(
        written["config"]["learning_rate"]["class_name"],
        "ExponentialDecay"
    );
    let read = deserialize(&written).unwrap();
    assert_eq!(read.config(), optimizer.config());
    assert_eq!(
        read.common().learning_rate,
        optimizer.common().learning_rate
    );
}

#[test]
fn optimizers_of_optimizers() {
    let scaled = LossScaleOptimizer::new(Adam::new(0.05).loss_scale_factor(8.0))
        .initial_scale(1024.0)
        .dynamic_growth_steps(4);
    scaled.check().unwrap();
    let written = serialize(&scaled);
    assert_eq!(
        written["config"]["inner_optimizer"]["config"]["loss_scale_factor"],
        json!(null)
    );
    assert_eq!(deserialize(&written).unwrap().config(), scaled.config());

    let map = OptimizerMap::new(Sgd::new(0.01))
        .with(".*dense_1/.*", Adam::new(0.1))
        .with("head/bias", Lion::new(0.1));
    let found = |path: &str| map.find(path).unwrap();
    assert_eq!(
        (
            found("dense_1/kernel"),
            found("head/bias"),
            found("dense/kernel")
        ),
        (0, 1, 2)
    );
    let multi = MultiOptimizer::new(map).loss_scale_factor(4.0);
    multi.check().unwrap();
    let written = serialize(&multi);
    let default = &written["config"]["optimizer_map"]["config"]["default_optimizer"];
    assert_eq!(default["config"]["loss_scale_factor"], 4.0);
    assert_eq!(deserialize(&written).unwrap().config(), multi.config());

    let twice = OptimizerMap::new(Sgd::new(0.01))
        .with(".*kernel", Adam::new(0.1))
        .with("dense.*", Adam::new(0.2));
    assert!(
        twice
            .find("dense/kernel")
            .unwrap_err()
            .to_string()
            .contains("dense/kernel")
    );
    let message = |o: &dyn Optimizer| o.check().unwrap_err().to_string();
    let wrong = MultiOptimizer::new(OptimizerMap::new(Sgd::new(0.01)).with("(", Sgd::new(0.1)));
    assert!(message(&wrong).contains("pattern `(`"));
    let nested = MultiOptimizer::new(OptimizerMap::new(LossScaleOptimizer::new(Sgd::new(0.1))));
    assert!(message(&nested).contains("LossScaleOptimizer"));
    assert!(
        message(&LossScaleOptimizer::new(Sgd::new(0.1)).clipnorm(1.0)).contains("inner_optimizer")
    );
    assert!(message(&LossScaleOptimizer::new(Adam::new(0.1).beta_1(2.0))).contains("beta_1"));
    for class in ["LossScaleOptimizer", "MultiOptimizer"] {
        assert!(get(class).is_err());
    }
}

#[test]
fn arguments_are_checked() {
    let bad: [&dyn Optimizer; 12] = [
        &Adam::new(0.1).beta_1(1.0),
        &Adam::new(0.1).epsilon(f64::NAN),
        &Sgd::new(0.1).momentum(1.5),
        &RmsProp::new(0.1).rho(-0.1),
        &Adagrad::new(0.1).initial_accumulator_value(-1.0),
        &Adafactor::new(0.1).clip_threshold(0.0),
        &Ftrl::new(0.1).learning_rate_power(0.5),
        &Lion::new(0.1).beta_1(0.0),
        &Muon::new(0.1).ns_steps(1000),
        &Muon::new(0.1).exclude_layers(["["]),
        &Nadam::new(0.1).beta_2(1.0),
        &ScheduleFreeAdamW::new(0.1).beta_1(0.0),
    ];
    for optimizer in bad {
        assert!(optimizer.check().is_err(), "{optimizer:?}");
    }
    let common = |o: &dyn Optimizer| o.common().check().unwrap_err().to_string();
    assert!(common(&Adam::new(-1.0)).contains("learning_rate"));
    assert!(common(&Sgd::new(0.1).clipnorm(1.0).clipvalue(1.0)).contains("only one"));
    assert!(common(&Sgd::new(0.1).weight_decay(-1.0)).contains("weight_decay"));
    assert!(common(&Sgd::new(0.1).gradient_accumulation_steps(1)).contains("at least 2"));
    assert!(common(&Sgd::new(ExponentialDecay::new(0.1, 0.0, 0.5))).contains("decay_steps"));
    assert!(common(&Sgd::new(0.1).exclude_from_weight_decay(["("])).contains("pattern"));
    let decayed = Sgd::new(0.1)
        .weight_decay(0.5)
        .exclude_from_weight_decay(["bias", "^norm/"]);
    let of = |path: &str| {
        decayed.decay_of(&Variable {
            path,
            shape: [2].into(),
        })
    };
    assert_eq!(
        (of("dense/kernel"), of("dense/bias"), of("norm/gamma")),
        (Some(0.5), None, None)
    );
}
