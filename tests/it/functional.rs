//! Functional models: shared layers, several inputs and outputs, models inside models.

use ndarray::{Array2, Axis, concatenate};
use oxhorn::prelude::*;

fn data(n: usize, width: usize, seed: u64) -> Array2<f32> {
    let mut rng = oxhorn::random::Rng::new(seed);
    Array2::from_shape_simple_fn((n, width), || rng.normal())
}

/// Two inputs through one shared layer, two outputs.
fn twins(seed: u64) -> Model {
    let (left, right) = (Input::new([4]).name("left"), Input::new([4]).name("right"));
    let tower = Dense::new(5).activation("tanh").name("tower");
    let (a, b) = (tower.call(&left).unwrap(), tower.call(&right).unwrap());
    let value = Dense::new(1).name("value").call(&a).unwrap();
    let kind = Dense::new(3)
        .activation("softmax")
        .name("kind")
        .call(&b)
        .unwrap();
    let mut model = Model::new([&left, &right], [&value, &kind]).unwrap();
    model.set_seed(seed);
    model
}

#[test]
fn one_layer_two_calls_two_losses() {
    let mut model = twins(1);
    assert_eq!(model.layer_names(), ["tower", "value", "kind"]);
    assert_eq!(model.count_params(), 4 * 5 + 5 + 5 + 1 + 5 * 3 + 3);
    let (left, right) = (data(64, 4, 1), data(64, 4, 2));
    let value = left.sum_axis(Axis(1)).insert_axis(Axis(1));
    let kind = Array2::from_shape_fn((64, 1), |(i, _)| (right[[i, 0]] > 0.0) as i64);
    let losses = [
        ("value", "mse"),
        ("kind", "sparse_categorical_crossentropy"),
    ];
    let compile = Compile::new(Adam::new(0.02), losses)
        .metrics_of("kind", ["accuracy"])
        .loss_weights([1.0, 0.5]);
    model.compile_with(compile).unwrap();
    let x = [("right", &right), ("left", &left)];
    let y = (&value, &kind);
    let history = model.fit(x, y, Fit::epochs(120).verbose(0)).unwrap();
    let names: Vec<&str> = history.names().collect();
    assert_eq!(names, ["loss", "value_loss", "kind_loss", "kind_accuracy"]);
    let (loss, value_loss, kind_loss) = (
        history.last("loss").unwrap(),
        history.last("value_loss").unwrap(),
        history.last("kind_loss").unwrap(),
    );
    assert!((loss - value_loss - 0.5 * kind_loss).abs() < 1e-6);
    assert!(history.last("kind_accuracy").unwrap() > 0.9);
    assert!(value_loss < 0.5);
}

#[test]
fn an_output_without_a_loss_is_only_predicted() {
    let mut model = twins(2);
    model
        .compile_with(Compile::new("sgd", [("value", "mse")]))
        .unwrap();
    let before = model.weight("kind/kernel").unwrap();
    let (x, value, kind) = (data(8, 4, 1), data(8, 1, 2), data(8, 3, 3));
    let history = model
        .fit((&x, &x), (&value, &kind), Fit::epochs(1).verbose(0))
        .unwrap();
    assert_eq!(history.names().collect::<Vec<_>>(), ["loss", "value_loss"]);
    assert_eq!(model.weight("kind/kernel").unwrap(), before);
    let e = model.compile_with(Compile::new("sgd", [("valu", "mse")]));
    assert!(e.is_ok(), "names are known when it is built and trained");
    let e = model
        .fit((&x, &x), (&value, &kind), Fit::epochs(1))
        .unwrap_err();
    assert_eq!(
        e.to_string(),
        "unknown output in `loss` `valu` (did you mean `value`?); known: value, kind"
    );
}

#[test]
fn models_are_layers_of_models() {
    let mut encoder = Sequential::new()
        .name("encoder")
        .input([4])
        .add(Dense::new(3).activation("relu"));
    encoder.build([4]).unwrap();
    let (a, b) = (Input::new([4]), Input::new([4]));
    let (ea, eb) = (encoder.call(&a).unwrap(), encoder.call(&b).unwrap());
    let mut siamese = Model::new([&a, &b], [&ea, &eb]).unwrap();
    // Weights come along; called twice, they are there once per model that was called.
    assert_eq!(siamese.layer_names(), ["encoder/dense"]);
    assert_eq!(siamese.get_weights(), encoder.get_weights());
    let x = data(5, 4, 3);
    let y = siamese.predict_all((&x, &x)).unwrap();
    assert_eq!(y[0], encoder.predict(&x).unwrap());
    assert_eq!(y[0], y[1]);

    // Frozen as a whole, it does not move.
    siamese.set_trainable("encoder", false).unwrap();
    siamese.compile("sgd", "mse", ()).unwrap();
    let target = data(5, 3, 4);
    siamese
        .fit((&x, &x), (&target, &target), Fit::epochs(1).verbose(0))
        .unwrap();
    assert_eq!(siamese.get_weights(), encoder.get_weights());
    siamese.set_trainable("encoder/dense", true).unwrap();
    siamese
        .fit((&x, &x), (&target, &target), Fit::epochs(1).verbose(0))
        .unwrap();
    assert_ne!(siamese.get_weights(), encoder.get_weights());

    // In a Sequential.
    let head = Sequential::new()
        .input([4])
        .add(&*encoder)
        .add(Dense::new(1));
    let mut head = head.into_model();
    head.build([4]).unwrap();
    assert_eq!(head.layer_names(), ["encoder/dense", "dense"]);
    assert_eq!(head.get_weights()[..2], encoder.get_weights()[..]);
}

#[test]
fn an_output_twice_is_trained_twice() {
    let run = |twice: bool| {
        let x = Input::new([3]);
        let y = Dense::new(2)
            .kernel_initializer("ones")
            .name("y")
            .call(&x)
            .unwrap();
        let mut model = match twice {
            true => Model::new([&x], [&y, &y]).unwrap(),
            false => Model::new([&x], [&y]).unwrap(),
        };
        let rate = if twice { 0.1 } else { 0.2 };
        model.compile(Sgd::new(rate), "mse", ()).unwrap();
        let (data, target) = (data(6, 3, 1), data(6, 2, 2));
        match twice {
            true => model.train_on_batch(&data, [&target, &target]).unwrap(),
            false => model.train_on_batch(&data, &target).unwrap(),
        };
        model.weight("y/kernel").unwrap()
    };
    let (once, twice) = (run(false), run(true));
    assert!(once.iter().zip(&twice).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn features_of_a_trained_model() {
    let mut model = Sequential::new()
        .seed(3)
        .input([4])
        .add(Dense::new(6).activation("relu").name("features"))
        .add(Dense::new(1));
    model.build([4]).unwrap();
    let tensors = model.tensors().unwrap();
    let features = Model::new(&tensors.inputs, tensors.output_of("features").unwrap()).unwrap();
    let x = data(3, 4, 5);
    let inner = features.predict(&x).unwrap();
    assert_eq!(inner.shape(), [3, 6]);
    // The head on the features is the model.
    let w = model.get_weights();
    let inner = inner.into_dimensionality::<ndarray::Ix2>().unwrap();
    let kernel = w[2].clone().into_dimensionality::<ndarray::Ix2>().unwrap();
    let y = inner.dot(&kernel) + w[3][0];
    assert!(
        (&y.into_dyn() - &model.predict(&x).unwrap())
            .iter()
            .all(|d| d.abs() < 1e-6)
    );
    assert!(tensors.output_of("feature").is_err());
}

#[test]
fn a_clone_is_whole_and_a_cloned_model_starts_anew() {
    let mut model = twins(4);
    model.compile("sgd", "mse", ()).unwrap();
    assert_eq!(model.clone().get_weights(), model.get_weights());
    let fresh = model.clone_model().unwrap();
    assert_eq!(fresh.weight_names(), model.weight_names());
    assert_ne!(fresh.get_weights(), model.get_weights());
    let x = data(2, 4, 1);
    assert!(
        fresh
            .evaluate((&x, &x), (&x, &x))
            .unwrap_err()
            .to_string()
            .contains("not compiled")
    );
}

#[test]
fn mistakes_are_named() {
    let (a, b) = (Input::new([4]).name("a"), Input::new([4]).name("b"));
    let (ya, yb) = (
        Dense::new(2).call(&a).unwrap(),
        Dense::new(2).call(&b).unwrap(),
    );
    let e = Model::new([&a], [&ya, &yb]).unwrap_err();
    assert_eq!(
        e.to_string(),
        "an output depends on the input `b` (shape (None, 4)), which is not among the model's inputs"
    );
    let same = |x: &Input| Dense::new(2).name("same").call(x).unwrap();
    let e = Model::new([&a, &b], [&same(&a), &same(&b)]).unwrap_err();
    assert!(
        e.to_string().starts_with("two layers are named `same`"),
        "{e}"
    );
    assert!(
        Dense::new(0)
            .call(&a)
            .unwrap_err()
            .to_string()
            .contains("units")
    );
    let model = Model::new([&a, &b], [&ya, &yb]).unwrap();
    let x = data(2, 4, 1);
    let e = model.predict_all([("a", &x), ("c", &x)]).unwrap_err();
    assert_eq!(
        e.to_string(),
        "unknown name in x `c` (did you mean `a`?); known: a, b"
    );
    let e = model.predict_all(&x).unwrap_err();
    assert_eq!(e.to_string(), "x: expected 2 input arrays, got 1");
    let both = concatenate(Axis(1), &[x.view(), x.view()]).unwrap();
    assert!(model.predict_all((&x, &both)).is_err());
}
