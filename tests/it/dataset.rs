//! Training from datasets.

use ndarray::{Array1, Array2, Array3};
use oxhorn::data::{self, DatasetExt, Minibatch, Pass, Shapes};
use oxhorn::prelude::*;

use crate::{classifier, problem};

#[test]
fn arrays_and_datasets_train_alike_read_ahead_or_not() {
    let (x, y) = problem(150, 4, 0);
    let (vx, vy) = problem(40, 4, 1);
    let weights = Array1::from_shape_fn(150, |i| (i % 3) as f32);
    let fit = || Fit::epochs(3).verbose(0);
    let mut a = classifier(4, 7);
    let arrays = fit()
        .batch_size(16)
        .sample_weight(&weights)
        .validation(&vx, &vy);
    let want = a.fit(&x, &y, arrays).unwrap();
    let train = || {
        data::from_weighted_arrays(&x, &y, &weights)
            .unwrap()
            .batch_size(16)
    };
    let mut b = classifier(4, 7);
    let test = data::from_arrays(&vx, &vy).unwrap().batch_size(16);
    let got = b
        .fit_dataset(&mut train(), fit().validation_dataset(test))
        .unwrap();
    assert_eq!((a.params(), want), (b.params(), got));
    assert_eq!(
        a.evaluate(&vx, &vy).unwrap(),
        b.evaluate_dataset(&mut data::from_arrays(&vx, &vy).unwrap())
            .unwrap()
    );

    // The thread that reads ahead owns what it reads.
    let own: &'static (Array2<f32>, Array2<f32>) = Box::leak(Box::new((x.clone(), y.clone())));
    let run = |ahead: bool, seed| {
        let mut model = classifier(4, seed);
        let data = data::from_arrays(&own.0, &own.1)
            .unwrap()
            .batch_size(8)
            .shuffle(false);
        let mut data = data.shuffle_buffer(50);
        let history = match ahead {
            true => model.fit_dataset(&mut data.prefetch(3), fit()),
            false => model.fit_dataset(&mut data, fit()),
        };
        (model.params().to_vec(), history.unwrap())
    };
    assert_eq!(run(false, 7), run(true, 7));
    assert_ne!(run(false, 7), run(true, 8));
}

#[test]
fn an_epoch_may_be_part_of_a_pass_or_several() {
    let (x, y) = problem(96, 4, 0);
    let data = || data::from_arrays(&x, &y).unwrap().batch_size(16).seed(3);
    // 6 batches a pass: two epochs of 6 are four of 3, and one of 12.
    let run = |epochs: usize, steps: usize| {
        let mut model = classifier(4, 7);
        let fit = Fit::epochs(epochs).steps_per_epoch(steps).verbose(0);
        let history = model.fit_dataset(&mut data(), fit).unwrap();
        (model.params().to_vec(), history)
    };
    let mut plain = classifier(4, 7);
    let history = plain
        .fit_dataset(&mut data(), Fit::epochs(2).verbose(0))
        .unwrap();
    assert_eq!(run(2, 6), (plain.params().to_vec(), history));
    assert_eq!(run(4, 3).0, plain.params());
    assert_eq!(run(1, 12).0, plain.params());
    // Going on is the same as not stopping.
    let mut again = classifier(4, 7);
    for (first, last) in [(0, 1), (1, 3), (3, 4)] {
        let fit = Fit::epochs(last)
            .initial_epoch(first)
            .steps_per_epoch(3)
            .verbose(0);
        again.fit_dataset(&mut data(), fit).unwrap();
    }
    assert_eq!(again.params(), plain.params());
}

#[test]
fn class_weights_and_several_inputs() {
    let (x, y) = problem(64, 4, 0);
    let weights = [(0, 0.5), (1, 2.0)];
    let (mut a, mut b) = (classifier(4, 1), classifier(4, 1));
    a.fit(&x, &y, Fit::epochs(2).class_weight(weights).verbose(0))
        .unwrap();
    let mut data = data::from_arrays(&x, &y).unwrap();
    b.fit_dataset(&mut data, Fit::epochs(2).class_weight(weights).verbose(0))
        .unwrap();
    assert_eq!(a.params(), b.params());

    let (l, r) = (Input::new([4]), Input::new([4]));
    let sum = Add::default().call([&l, &r]).unwrap();
    let outs = [
        Dense::new(1).call(&sum).unwrap(),
        Dense::new(2).call(&sum).unwrap(),
    ];
    let mut model = Model::new([&l, &r], outs).unwrap();
    model.compile("sgd", "mse", ()).unwrap();
    let two = Array2::<f32>::ones((64, 2));
    let mut data = data::from_arrays([&x, &x], [&y, &two]).unwrap();
    model
        .fit_dataset(&mut data, Fit::epochs(1).verbose(0))
        .unwrap();
    let all = model.predict_dataset_all(&mut data).unwrap();
    assert_eq!(all, model.predict_all([&x, &x]).unwrap());
    let mut one = data::from_arrays(&x, &y).unwrap();
    assert!(
        model
            .fit_dataset(&mut one, Fit::epochs(1).verbose(0))
            .is_err()
    );
}

#[test]
fn sequences_may_be_longer_in_one_batch_than_in_another() {
    let shapes = |steps: usize| Shapes::new(&[&[steps, 2]], &[&[steps, 1]]).unwrap();
    let lengths = [3, 5, 3, 2];
    let mut data = data::from_fn(Some(4), move |_, step, batch: &mut Minibatch| {
        batch.reset(&shapes(*lengths.get(step).unwrap_or(&1)));
        for _ in 0..8 {
            batch.x[0].add().fill(1.0);
            batch.y[0].add().fill(2.0);
        }
        Ok(step < 4)
    });
    let mut model = Sequential::new()
        .seed(0)
        .input([None, Some(2)])
        .add(TimeDistributed::new(Dense::new(1)));
    model.compile(Sgd::new(0.1), "mse", ["mae"]).unwrap();
    let history = model
        .fit_dataset(&mut data, Fit::epochs(20).verbose(0))
        .unwrap();
    assert!(history.last("mae").unwrap() < 1e-3);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (x, y) = problem(64, 4, 0);
    let mut data = data::from_arrays(&x, &y).unwrap();
    let mut fail = |fit: Fit<'_>| {
        let error = classifier(4, 0)
            .fit_dataset(&mut data, fit.verbose(0))
            .unwrap_err();
        error.to_string()
    };
    assert!(fail(Fit::epochs(1).batch_size(8)).contains("`batch_size`"));
    assert!(fail(Fit::epochs(1).validation_split(0.5)).contains("`validation_split`"));
    assert!(fail(Fit::epochs(1).sample_weight(&vec![1.0; 64])).contains("`sample_weight`"));
    assert!(fail(Fit::epochs(1).steps_per_epoch(0)).contains("`steps_per_epoch`"));
    let both = Fit::epochs(1).validation(&x, &y);
    let test = data::from_arrays(&x, &y).unwrap();
    assert!(fail(both.validation_dataset(test)).contains("`validation_dataset`"));

    let mut model = classifier(4, 0);
    let wide = Array3::<f32>::zeros((64, 4, 2));
    let mut bad = |data: &mut dyn Dataset| {
        let error = model.fit_dataset(data, Fit::epochs(1).check_finite(true).verbose(0));
        error.unwrap_err().to_string()
    };
    bad(&mut data::from_arrays(&wide, &y).unwrap());
    bad(&mut data::from_inputs(&x).unwrap());
    bad(&mut data::from_arrays(&x, &y).unwrap().take(0));
    bad(&mut data::from_arrays(&x, &(&y * f32::NAN)).unwrap());
    bad(&mut data::from_weighted_arrays(&x, &y, &vec![f32::NAN; 64]).unwrap());
    bad(&mut data::from_weighted_arrays(&x, &y, &Array2::<f32>::ones((64, 3))).unwrap());
    let shapes = Shapes::new(&[&[4]], &[&[1]]).unwrap();
    let uneven = move |_: Pass, _, batch: &mut Minibatch| {
        batch.reset(&shapes);
        batch.x[0].add();
        Ok(true)
    };
    assert!(bad(&mut data::from_fn(None, uneven)).contains("as many of every input"));
}
