//! A model that Keras saved, in a Rust program: file in, numbers out, and what it costs.
//!
//! `cargo run --release --example load_keras_model -- model.keras` shows what is in a file of yours, and how fast it predicts.
//! Without a file it makes one first, as Python would.

use std::time::Instant;

use oxhorn::ndarray::ArrayD;
use oxhorn::prelude::*;
use oxhorn::saving::load_model;

fn main() -> Result<()> {
    let path = match std::env::args().nth(1) {
        Some(path) => path.into(),
        None => make()?,
    };
    let start = Instant::now();
    let model = load_model(&path)?;
    let size = std::fs::metadata(&path).map_or(0, |m| m.len());
    println!(
        "{} ({} KB) read in {:.1?}\n",
        path.display(),
        size / 1000,
        start.elapsed()
    );
    println!("{}", model.summary()?);

    // One sample of ones for every input; an axis of unknown size gets 10.
    let sample = |shape: &Shape| {
        let sizes: Vec<usize> = std::iter::once(1)
            .chain(shape.dims().iter().map(|d| d.unwrap_or(10)))
            .collect();
        ArrayD::<f32>::ones(sizes)
    };
    let x: Vec<ArrayD<f32>> = model.input_shapes().iter().map(sample).collect();
    let y = model.predict_all(&x[..])?;
    for (name, y) in model.output_names().iter().zip(&y) {
        let first: Vec<f32> = y.iter().take(8).copied().collect();
        println!("{name} {:?}: {first:.4?}", y.shape());
    }
    let runs = 1000;
    let start = Instant::now();
    for _ in 0..runs {
        model.predict_all(&x[..])?;
    }
    println!("one sample in {:.2?}", start.elapsed() / runs);
    Ok(())
}

/// A trained classifier in a file.
fn make() -> Result<std::path::PathBuf> {
    let data = datasets::breast_cancer()?.standardized();
    let mut model = Sequential::new()
        .seed(0)
        .input([30])
        .add(Dense::new(64).activation("relu"))
        .add(Dense::new(1).activation("sigmoid"));
    model.compile("adam", "binary_crossentropy", ["accuracy"])?;
    let (train, _) = data.split(0.2, Seed(0))?;
    model.fit(&train.x, &train.y, Fit::epochs(5).verbose(0))?;
    let path = std::env::temp_dir().join("tumour.keras");
    model.save(&path)?;
    Ok(path)
}
