//! Convolutions on handwritten digits: the bundled ones (8 x 8 pixels), or MNIST (28 x 28) from its four files.
//!
//!     cargo run --release --example mnist_cnn
//!     cargo run --release --example mnist_cnn -- DIR     # train-images-idx3-ubyte.gz and so on
//!
//! Last line: the accuracy on images that were held out, 0.98 or so.

use std::path::Path;

use oxhorn::data::idx;
use oxhorn::ndarray::{ArrayD, Axis, Ix4, s};
use oxhorn::prelude::*;

/// Images (n, height, width, 1) with values from 0 to 1, and their labels (n, 1).
type Images = (ArrayD<f32>, ArrayD<f32>);

fn mnist(dir: &Path, kind: &str) -> Result<Images> {
    let read = |name: &str| {
        let plain = dir.join(format!("{kind}-{name}-ubyte"));
        idx::read(if plain.exists() {
            plain
        } else {
            dir.join(format!("{kind}-{name}-ubyte.gz"))
        })
    };
    let (x, y) = (read("images-idx3")?, read("labels-idx1")?);
    Ok(((x / 255.0).insert_axis(Axis(3)), y.insert_axis(Axis(1))))
}

fn bundled() -> Result<(Images, Images)> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.csv");
    let (train, test) = Tabular::from_csv(file, "digit")?.split_stratified(0.2, Seed(1))?;
    let images = |part: Tabular| {
        let x = (part.x / 16.0).into_shape_with_order((part.y.nrows(), 8, 8, 1));
        (x.expect("64 pixels").into_dyn(), part.y.into_dyn())
    };
    Ok((images(train), images(test)))
}

fn main() -> Result<()> {
    let ((x, y), (x_test, y_test)) = match std::env::args().nth(1) {
        Some(dir) => (mnist(dir.as_ref(), "train")?, mnist(dir.as_ref(), "t10k")?),
        None => bundled()?,
    };
    let side = x.shape()[1];
    let mut model = Sequential::new()
        .seed(0)
        .input([side, side, 1])
        .add(Conv2D::new(32, 3).padding("same").activation("relu"))
        .add(MaxPooling2D::new(2))
        .add(Conv2D::new(64, 3).padding("same").activation("relu"))
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dropout::new(0.4))
        .add(Dense::new(10).activation("softmax"));
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
    println!("{}", model.summary()?);
    // Small sets need more passes.
    let epochs = (40_000 / x.shape()[0]).clamp(2, 25);
    model.fit(&x, &y, Fit::epochs(epochs).validation(&x_test, &y_test))?;

    let p = model.predict(&x_test)?;
    let picture = x_test.view().into_dimensionality::<Ix4>().expect("images");
    for row in picture.slice(s![0, .., .., 0]).rows() {
        println!(
            "{}",
            row.iter()
                .map(|v| [" ", ".", "+", "#"][(v * 3.99) as usize])
                .collect::<String>()
        );
    }
    let best = p
        .index_axis(Axis(0), 0)
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map(|(i, _)| i);
    println!("a {}; taken for a {}", y_test[[0, 0]], best.unwrap_or(0));
    println!("{}", model.evaluate(&x_test, &y_test)?);
    Ok(())
}
