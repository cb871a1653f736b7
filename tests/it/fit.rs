//! Training: what `fit` promises.

use ndarray::{Array1, Array2, Axis, array, s};
use oxhorn::prelude::*;

use crate::{classifier, problem};

#[test]
fn learns_and_reports() {
    let (x, y) = problem(500, 4, 0);
    let mut model = classifier(4, 0);
    let history = model
        .fit(&x, &y, Fit::epochs(20).validation_split(0.2).verbose(0))
        .unwrap();
    assert_eq!(history.epochs, (0..20).collect::<Vec<_>>());
    assert_eq!(
        history.names().collect::<Vec<_>>(),
        ["loss", "accuracy", "val_loss", "val_accuracy"]
    );
    assert!(history.last("val_accuracy").unwrap() > 0.95, "{history:?}");
    assert!(model.evaluate(&x, &y).unwrap().get("accuracy").unwrap() > 0.95);
}

#[test]
fn the_validation_split_is_the_tail_and_is_not_trained_on() {
    let (x, y) = problem(100, 4, 0);
    let (mut a, mut b) = (classifier(4, 7), classifier(4, 7));
    a.fit(&x, &y, Fit::epochs(3).validation_split(0.2).verbose(0))
        .unwrap();
    b.fit(
        &x.slice(s![..80, ..]),
        &y.slice(s![..80, ..]),
        Fit::epochs(3).verbose(0),
    )
    .unwrap();
    assert_eq!(a.params(), b.params());
}

#[test]
fn going_on_is_the_same_as_not_stopping() {
    let (x, y) = problem(100, 4, 0);
    let (mut a, mut b) = (classifier(4, 7), classifier(4, 7));
    a.fit(&x, &y, Fit::epochs(4).verbose(0)).unwrap();
    b.fit(&x, &y, Fit::epochs(2).verbose(0)).unwrap();
    let history = b
        .fit(&x, &y, Fit::epochs(4).initial_epoch(2).verbose(0))
        .unwrap();
    assert_eq!(history.epochs, [2, 3]);
    assert_eq!(a.params(), b.params());
}

#[test]
fn sample_weights_of_zero_leave_samples_out() {
    let (x, y) = problem(64, 4, 0);
    let mut noisy = y.clone();
    noisy.slice_mut(s![32.., ..]).mapv_inplace(|y| 1.0 - y);
    let weights = Array1::from_shape_fn(64, |i| if i < 32 { 1.0f32 } else { 0.0 });
    let plain = || {
        let mut model = Sequential::new()
            .seed(1)
            .input([4])
            .add(Dense::new(1).activation("sigmoid"));
        model
            .compile(Sgd::new(0.1), "binary_crossentropy", ())
            .unwrap();
        model
    };
    let (mut a, mut b) = (plain(), plain());
    a.fit(
        &x,
        &y,
        Fit::epochs(3)
            .batch_size(64)
            .shuffle(false)
            .sample_weight(&weights)
            .verbose(0),
    )
    .unwrap();
    b.fit(
        &x,
        &noisy,
        Fit::epochs(3)
            .batch_size(64)
            .shuffle(false)
            .sample_weight(&weights)
            .verbose(0),
    )
    .unwrap();
    assert_eq!(a.params(), b.params());
    // The divisor is the number of samples, as in Keras: half the weight is half the step.
    let mut c = plain();
    c.fit(
        &x.slice(s![..32, ..]),
        &y.slice(s![..32, ..]),
        Fit::epochs(1).batch_size(64).shuffle(false).verbose(0),
    )
    .unwrap();
    let mut d = plain();
    let start = d.get_weights();
    d.fit(
        &x,
        &y,
        Fit::epochs(1)
            .batch_size(64)
            .shuffle(false)
            .sample_weight(&weights)
            .verbose(0),
    )
    .unwrap();
    let step = |model: &Sequential| &model.get_weights()[0] - &start[0];
    let (whole, half) = (step(&c), step(&d));
    whole
        .iter()
        .zip(&half)
        .for_each(|(w, h)| assert!((w - 2.0 * h).abs() < 1e-6, "{w} {h}"));
}

#[test]
fn early_stopping_puts_the_best_weights_back_on_every_exit() {
    /// Spoils the weights in the last epoch.
    struct Spoil(usize);
    impl Callback for Spoil {
        fn on_epoch_begin(&mut self, epoch: usize, cx: &mut TrainContext<'_>) -> Result<()> {
            if epoch == self.0 {
                let zeros: Vec<_> = cx.model.get_weights().iter().map(|w| w * 0.0).collect();
                cx.model.set_weights(&zeros)?;
            }
            Ok(())
        }
    }
    let (x, y) = problem(200, 4, 0);
    let mut model = classifier(4, 0);
    let mut stop = EarlyStopping::new("loss")
        .patience(50)
        .restore_best_weights(true);
    let history = model
        .fit(
            &x,
            &y,
            Fit::epochs(6)
                .verbose(0)
                .callback(Spoil(5))
                .callback(&mut stop),
        )
        .unwrap();
    assert_eq!(history.epochs.len(), 6); // all epochs were run
    let (epoch, _) = stop.best().unwrap();
    assert_eq!(epoch, 4);
    assert!(model.params().iter().any(|w| *w != 0.0));
    let loss = model.evaluate(&x, &y).unwrap().get("loss").unwrap();
    assert!(loss < history.get("loss").unwrap()[4], "{loss} {history:?}");
}

#[test]
fn frozen_layers_stay_as_they_are() {
    let (x, y) = problem(100, 4, 0);
    let mut model = classifier(4, 0);
    model.set_trainable("dense", false).unwrap();
    let before = model.get_weights();
    model.fit(&x, &y, Fit::epochs(2).verbose(0)).unwrap();
    let after = model.get_weights();
    assert_eq!(before[..2], after[..2]);
    assert_ne!(before[2..], after[2..]);
    model.set_trainable("dense", true).unwrap();
    model.fit(&x, &y, Fit::epochs(1).verbose(0)).unwrap();
    assert_ne!(before[0], model.get_weights()[0]);
}

#[test]
fn one_step_is_keras_s() {
    // By hand: p = sigmoid(0) = 1/2, dz = p - y = -1/2 for y = 1; kernel gradient x dz, bias gradient dz; SGD with 0.1.
    let mut model = Sequential::new().input([2]).add(
        Dense::new(1)
            .activation("sigmoid")
            .kernel_initializer("zeros"),
    );
    model
        .compile(Sgd::new(0.1), "binary_crossentropy", ["accuracy"])
        .unwrap();
    let logs = model
        .train_on_batch(&array![[1.0f32, -2.0]], &array![[1.0f32]])
        .unwrap();
    assert!((logs.get("loss").unwrap() - 2f64.ln()).abs() < 1e-6);
    let weights = model.get_weights();
    assert_eq!(weights[0], array![[0.05], [-0.1]].into_dyn());
    assert_eq!(weights[1], array![0.05].into_dyn());
}

#[test]
fn penalties_are_part_of_the_loss_and_pull_weights_in() {
    let (x, y) = (Array2::<f32>::zeros((8, 2)), Array2::<f32>::zeros((8, 1)));
    let mut model = Sequential::new().input([2]).add(
        Dense::new(1)
            .kernel_initializer("ones")
            .kernel_regularizer("l2"),
    );
    model.compile(Sgd::new(1.0), "mse", ()).unwrap();
    // l2(0.01) of two ones is 0.02; its gradient is 0.02 each.
    assert!((model.evaluate(&x, &y).unwrap().get("loss").unwrap() - 0.02).abs() < 1e-7);
    model.train_on_batch(&x, &y).unwrap();
    model.get_weights()[0]
        .iter()
        .for_each(|w| assert!((w - 0.98).abs() < 1e-6));
    // An activity penalty is divided by the batch.
    let penalised = Dense::new(1)
        .kernel_initializer("ones")
        .activity_regularizer("l1");
    let mut model = Sequential::new().input([2]).add(penalised);
    model.compile("sgd", "mse", ()).unwrap();
    let ones = Array2::<f32>::ones((8, 2));
    let loss = model
        .evaluate(&ones, &(Array2::<f32>::ones((8, 1)) * 2.0))
        .unwrap()
        .get("loss")
        .unwrap();
    assert!((loss - 0.02).abs() < 1e-6, "{loss}"); // 0.01 |2| a sample
}

#[test]
fn evaluate_does_not_depend_on_the_batch_size() {
    let (x, y) = problem(103, 4, 0);
    let mut model = classifier(4, 0);
    model.build([4]).unwrap();
    let of = |size| {
        model
            .evaluate_with(&x, &y, Evaluate::default().batch_size(size))
            .unwrap()
    };
    let (a, b) = (of(7), of(1000));
    assert!((a.get("loss").unwrap() - b.get("loss").unwrap()).abs() < 1e-6);
    assert_eq!(a.get("accuracy"), b.get("accuracy"));
}

#[test]
fn several_classes_by_id_and_one_hot_agree() {
    let (x, _) = problem(90, 3, 0);
    let ids = Array1::from_shape_fn(90, |i| {
        x.row(i)
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .unwrap()
            .0 as f32
    });
    let hot = Array2::from_shape_fn((90, 3), |(i, j)| f32::from(ids[i] as usize == j));
    let train = |loss: &str, y: &ndarray::ArrayD<f32>| {
        let mut model = Sequential::new()
            .seed(1)
            .add(Dense::new(16).activation("relu"))
            .add(Dense::new(3).activation("softmax"));
        model.compile(Adam::new(0.01), loss, ["accuracy"]).unwrap();
        let history = model.fit(&x, y, Fit::epochs(30).verbose(0)).unwrap();
        (history.last("accuracy").unwrap(), model.get_weights())
    };
    let (a, wa) = train("sparse_categorical_crossentropy", &ids.clone().into_dyn());
    let (b, wb) = train("categorical_crossentropy", &hot.into_dyn());
    let (c, _) = train(
        "sparse_categorical_crossentropy",
        &ids.insert_axis(Axis(1)).into_dyn(),
    );
    assert!(a > 0.9 && a == b && a == c, "{a} {b} {c}");
    wa.iter().zip(&wb).for_each(|(a, b)| {
        a.iter()
            .zip(b)
            .for_each(|(a, b)| assert!((a - b).abs() < 1e-3))
    });
}
