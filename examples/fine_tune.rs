//! Transfer learning: a network that knows the ten digits is read from a file; its features, frozen, then learn from 60 samples
//! which digits are even.
//!
//!     cargo run --release --example fine_tune
//!
//! Last lines: the accuracy on digits that were held out, with the features learned before and without.

use oxhorn::ndarray::Array2;
use oxhorn::prelude::*;
use oxhorn::saving::load_model;

/// Samples with the new labels.
const FEW: usize = 60;

fn main() -> Result<()> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.csv");
    let (train, test) = Tabular::from_csv(file, "digit")?.split_stratified(0.2, Seed(1))?;
    let (x, x_test) = (&train.x / 16.0, &test.x / 16.0);

    // A network for the ten digits, saved as Python would.
    let mut base = Sequential::new()
        .seed(0)
        .input([64])
        .add(Dense::new(128).activation("relu").name("features"))
        .add(Dense::new(64).activation("relu").name("more_features"))
        .add(Dense::new(10).activation("softmax").name("head"));
    base.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
    base.fit(&x, &train.y, Fit::epochs(30).verbose(0))?;
    let path = std::env::temp_dir().join("digits.keras");
    base.save(&path)?;

    // Its features with a new head; only the head learns at first, then the layer before it as well, a little.
    let base = load_model(&path)?;
    let tensors = base.tensors()?;
    let head = Dense::new(1).activation("sigmoid").name("even");
    let output = head.call(tensors.output_of("more_features")?)?;
    let mut model = Model::new(&tensors.inputs, &output)?;
    model.set_trainable("features", false)?;
    model.set_trainable("more_features", false)?;
    let even = |y: &Array2<f32>| y.mapv(|digit| f32::from(digit % 2.0 == 0.0));
    let few = train.rows(&(0..FEW as u32).collect::<Vec<_>>())?;
    let (x, y, y_test) = (few.x / 16.0, even(&few.y), even(&test.y));
    model.compile(Adam::new(0.01), "binary_crossentropy", ["accuracy"])?;
    println!("{}", model.summary()?);
    model.fit(&x, &y, Fit::epochs(40).verbose(0))?;
    println!("new head:    {}", model.evaluate(&x_test, &y_test)?);
    model.set_trainable("more_features", true)?;
    model.compile(Adam::new(0.0005), "binary_crossentropy", ["accuracy"])?;
    model.fit(&x, &y, Fit::epochs(20).verbose(0))?;
    println!("fine-tuned:  {}", model.evaluate(&x_test, &y_test)?);

    // The same head without the features.
    let mut plain = Sequential::new()
        .seed(0)
        .input([64])
        .add(Dense::new(1).activation("sigmoid"));
    plain.compile(Adam::new(0.01), "binary_crossentropy", ["accuracy"])?;
    plain.fit(&x, &y, Fit::epochs(60).verbose(0))?;
    println!("from pixels: {}", plain.evaluate(&x_test, &y_test)?);
    Ok(())
}
