//! Networks of the usual kinds learn handwritten digits (8 x 8 pixels) from eight hundred of them.

use ndarray::{Array2, Array4};
use oxhorn::prelude::*;

fn digits() -> (Tabular, Tabular) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.csv");
    let all = Tabular::from_csv(file, "digit").unwrap();
    all.split_stratified(1000.0 / 1797.0, Seed(1)).unwrap()
}

/// Images (n, 8, 8, 1) from rows of 64 pixels.
fn images(x: &Array2<f32>) -> Array4<f32> {
    let shape = (x.nrows(), 8, 8, 1);
    Array4::from_shape_fn(shape, |(i, row, column, _)| x[[i, 8 * row + column]] / 16.0)
}

/// Trains, and returns the accuracy on digits it has not seen.
fn learns(mut model: Model, rate: f64, epochs: usize) -> f64 {
    let (train, test) = digits();
    model.set_seed(2);
    model
        .compile(
            Adam::new(rate),
            "sparse_categorical_crossentropy",
            ["accuracy"],
        )
        .unwrap();
    let fit = Fit::epochs(epochs).verbose(0);
    model.fit(&images(&train.x), &train.y, fit).unwrap();
    let measured = model.evaluate(&images(&test.x), &test.y).unwrap();
    measured.get("accuracy").unwrap()
}

fn head(x: &KerasTensor) -> KerasTensor {
    Dense::new(10).activation("softmax").call(x).unwrap()
}

#[test]
fn lenet() {
    let model = Sequential::new()
        .input([8, 8, 1])
        .add(Conv2D::new(6, 3).padding("same").activation("tanh"))
        .add(AveragePooling2D::new(2))
        .add(Conv2D::new(16, 3).activation("tanh"))
        .add(Flatten::new())
        .add(Dense::new(60).activation("tanh"))
        .add(Dense::new(10).activation("softmax"));
    let accuracy = learns(model.into_model(), 0.003, 20);
    assert!(accuracy > 0.95, "{accuracy}");
}

#[test]
fn residual_network() -> Result<()> {
    let input = Input::new([8, 8, 1]);
    let convolved = |x: &KerasTensor, strides: usize| -> Result<KerasTensor> {
        let x = Conv2D::new(8, 3)
            .strides(strides)
            .padding("same")
            .use_bias(false)
            .call(x)?;
        BatchNormalization::new().momentum(0.9).call(&x)
    };
    let mut x = ReLU::new().call(&convolved(&input, 1)?)?;
    for _ in 0..2 {
        let inner = ReLU::new().call(&convolved(&x, 1)?)?;
        let sum = Add::new().call([&convolved(&inner, 1)?, &x])?;
        x = ReLU::new().call(&sum)?;
    }
    let x = Flatten::new().call(&MaxPooling2D::new(2).call(&x)?)?;
    let accuracy = learns(Model::new(&input, &head(&x))?, 0.003, 8);
    assert!(accuracy > 0.94, "{accuracy}");
    Ok(())
}

#[test]
fn lstm() -> Result<()> {
    let input = Input::new([8, 8, 1]);
    let rows = Reshape::new([8, 8]).call(&input)?;
    let x = Bidirectional::new(LSTM::new(24)).call(&rows)?;
    let accuracy = learns(Model::new(&input, &head(&x))?, 0.01, 15);
    assert!(accuracy > 0.9, "{accuracy}");
    Ok(())
}

#[test]
fn transformer() -> Result<()> {
    let input = Input::new([8, 8, 1]);
    let rows = Reshape::new([8, 8]).call(&input)?;
    // Where a row is, it learns as a bias of each row.
    let mut x = EinsumDense::new("abc,cd->abd", [8, 24])
        .bias_axes("bd")
        .call(&rows)?;
    let attended = MultiHeadAttention::new(3, 8).call(Inputs::of(&x).and(&x))?;
    x = LayerNormalization::new().call(&Add::new().call([&x, &attended])?)?;
    let hidden = Dense::new(24).call(&Dense::new(48).activation("gelu").call(&x)?)?;
    x = LayerNormalization::new().call(&Add::new().call([&x, &hidden])?)?;
    let x = Flatten::new().call(&x)?;
    let accuracy = learns(Model::new(&input, &head(&x))?, 0.005, 15);
    assert!(accuracy > 0.92, "{accuracy}");
    Ok(())
}
