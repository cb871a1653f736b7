//! Several classes: handwritten digits of 8 x 8 pixels (1797 images).
//!
//!     cargo run --release --example digits
//!
//! Last line: the accuracy on images that were held out, 0.97 or so.

use oxhorn::ndarray::Axis;
use oxhorn::prelude::*;

fn main() -> Result<()> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.csv");
    let (train, test) = Tabular::from_csv(file, "digit")?.split_stratified(0.2, Seed(1))?;
    let (x, x_test) = (&train.x / 16.0, &test.x / 16.0);

    let mut model = Sequential::new()
        .seed(0)
        .input([64])
        .add(Dense::new(128).activation("relu"))
        .add(Dropout::new(0.3))
        .add(Dense::new(10).activation("softmax"));
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
    model.fit(&x, &train.y, Fit::epochs(30).validation(&x_test, &test.y))?;

    let p = model.predict(&x_test)?;
    for (row, digit) in p.axis_iter(Axis(0)).zip(&test.y).take(3) {
        let shown: Vec<String> = row.iter().map(|p| format!("{p:.2}")).collect();
        println!("a {digit}: {}", shown.join(" "));
    }
    println!("{}", model.evaluate(&x_test, &test.y)?);
    Ok(())
}
