//! Every mistake of a user is an error that names what is wrong; nothing panics.

use ndarray::{Array1, Array2, Array3};
use oxhorn::prelude::*;

use crate::{classifier, problem};

/// The message of an error.
fn message<T>(result: Result<T>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn wrong_shapes_name_both() {
    let (x, y) = problem(20, 4, 0);
    let mut model = classifier(4, 0);
    let wide = Array2::<f32>::zeros((20, 5));
    assert_eq!(
        message(model.fit(&wide, &y, Fit::epochs(1))),
        "input: expected shape (None, 4), got (None, 5)"
    );
    assert_eq!(
        message(model.predict(&wide)),
        "input: expected shape (None, 4), got (None, 5)"
    );
    let deep = Array3::<f32>::zeros((20, 4, 1));
    assert!(message(model.predict(&deep)).contains("got (None, 4, 1)"));
    assert_eq!(
        message(model.fit(&x, &y.slice(ndarray::s![..10, ..]), Fit::epochs(1))),
        "y: expected 20 samples as in x, got 10"
    );
    let flat: Array1<f32> = y.column(0).to_owned();
    let e = message(model.fit(&x, &flat, Fit::epochs(1)));
    assert!(e.contains("insert_axis") && e.contains("(None, 1)"), "{e}");
}

#[test]
fn labels_are_checked() {
    let x = Array2::<f32>::zeros((3, 2));
    let mut model = Sequential::new().add(Dense::new(3).activation("softmax"));
    model
        .compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
        .unwrap();
    assert_eq!(
        message(model.fit(&x, &[0, 1, 3], Fit::epochs(1))),
        "y: sample 2 holds 3, not a class id in 0..3"
    );
    assert!(
        message(model.fit(&x, &[0.0, 0.5, 1.0], Fit::epochs(1))).contains("sample 1 holds 0.5")
    );
    let mut model = classifier(2, 0);
    assert!(
        message(model.fit(&x, &[[0.0], [2.0], [1.0]], Fit::epochs(1))).contains("sample 1 holds 2")
    );
}

#[test]
fn data_that_cannot_be_used() {
    let (x, y) = problem(20, 4, 0);
    let mut model = classifier(4, 0);
    assert_eq!(
        message(model.fit(
            &Array2::<f32>::zeros((0, 4)),
            &Array2::<f32>::zeros((0, 1)),
            Fit::epochs(1)
        )),
        "x: there are no samples"
    );
    let mut bad = x.clone();
    bad[[7, 2]] = f32::NAN;
    assert_eq!(
        message(model.fit(&bad, &y, Fit::epochs(1).check_finite(true))),
        "x: sample 7 holds NaN"
    );
    assert!(
        message(model.fit(&x, &y, Fit::epochs(1).validation_split(1.0)))
            .contains("validation_split")
    );
    assert!(
        message(model.fit(&x, &y, Fit::epochs(1).validation_split(0.99)))
            .contains("samples on both sides")
    );
    assert!(message(model.fit(&x, &y, Fit::epochs(1).batch_size(0))).contains("batch_size"));
    let weights = Array2::<f32>::ones((20, 3));
    assert!(
        message(model.fit(&x, &y, Fit::epochs(1).sample_weight(&weights)))
            .contains("sample_weight")
    );
    assert!(message(model.predict(&[[1i64 << 30, 0, 0, 0]])).contains("2^24"));
}

#[test]
fn calls_in_the_wrong_order() {
    let (x, y) = problem(20, 4, 0);
    let mut model = Sequential::new().add(Dense::new(1));
    assert!(
        message(model.fit(&x, &y, Fit::epochs(1))).starts_with("fit: the model is not compiled")
    );
    assert!(message(model.predict(&x)).starts_with("predict: the model is not built"));
    assert!(message(model.summary()).starts_with("summary: the model is not built"));
    let mut empty = Sequential::new();
    assert!(message(empty.build([3])).contains("no layers"));
}

#[test]
fn arguments_and_names() {
    let mut model = Sequential::new().input([4]).add(Dense::new(0));
    assert_eq!(
        message(model.compile("adam", "mse", ())),
        "dense: argument `units`: expected a positive integer, got 0"
    );
    let mut model = Sequential::new()
        .input([4])
        .add(Dense::new(3))
        .add(Dense::new(3).activation("rleu"));
    assert!(message(model.build([4])).contains("did you mean `relu`?"));
    let mut model = Sequential::new()
        .input([4])
        .add(Dense::new(3).kernel_initializer("glorot"));
    assert!(message(model.build([4])).contains("unknown initializer `glorot`"));
    let mut model = Sequential::new()
        .input([4])
        .add(Dense::new(3).name("a"))
        .add(Dense::new(3).name("a"));
    assert!(message(model.build([4])).contains("two layers are named `a`"));
    let mut model = classifier(4, 0);
    assert!(
        message(model.compile("adam", "binary_crossentropi", ()))
            .contains("did you mean `binary_crossentropy`?")
    );
    assert!(
        message(model.compile("adam", "mse", ["acuracy"])).contains("did you mean `accuracy`?")
    );
    assert!(message(model.compile(Adam::new(-1.0), "mse", ())).contains("learning_rate"));
    let (x, y) = problem(20, 4, 0);
    let e = message(
        model.fit(
            &x,
            &y,
            Fit::epochs(2)
                .verbose(0)
                .callback(EarlyStopping::new("val_loss")),
        ),
    );
    assert!(
        e.starts_with("unknown value for EarlyStopping to monitor `val_loss`"),
        "{e}"
    );
    assert!(message(model.set_trainable("dens", false)).contains("did you mean `dense`?"));
    assert!(message(model.set_weights(&[ndarray::arr0(0.0f32).into_dyn()])).contains("4 arrays"));
}

#[test]
fn a_loss_that_is_not_finite_names_the_first_place() {
    let (mut x, y) = problem(64, 4, 0);
    x[[3, 1]] = f32::INFINITY;
    let e = message(classifier(4, 0).fit(&x, &y, Fit::epochs(1).verbose(0)));
    assert!(
        e.starts_with("the input is not finite (epoch 0, batch"),
        "{e}"
    );
    let (x, _) = problem(64, 4, 0);
    let mut model = Sequential::new()
        .seed(0)
        .input([4])
        .add(Dense::new(8).activation("exponential").name("steep"))
        .add(Dense::new(1));
    model.compile(Sgd::new(1e6), "mse", ()).unwrap();
    let e = message(model.fit(&(&x * 10.0), &y, Fit::epochs(50).verbose(0)));
    assert!(
        e.contains("of layer `steep` is not finite")
            || e.contains("of layer `dense` is not finite"),
        "{e}"
    );
    // The model still exists, and a loss that is not finite can be let pass.
    assert_eq!(model.get_weights().len(), 4);
    assert!(
        model
            .fit(
                &(&x * 10.0),
                &y,
                Fit::epochs(1).verbose(0).stop_on_nan(false)
            )
            .is_ok()
    );
}
