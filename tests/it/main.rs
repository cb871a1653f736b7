//! The library as its users see it.

mod architectures;
mod backup;
mod callbacks;
mod dataset;
mod determinism;
mod errors;
mod files;
mod fit;
mod functional;
mod house_rules;
mod optimizers;
mod predict;

use ndarray::Array2;
use oxhorn::prelude::*;
use oxhorn::random::Rng;

/// `n` samples of `width` normal features, and whether their sum is positive.
fn problem(n: usize, width: usize, seed: u64) -> (Array2<f32>, Array2<f32>) {
    let mut rng = Rng::new(seed);
    let x = Array2::from_shape_simple_fn((n, width), || rng.normal());
    let y = Array2::from_shape_fn((n, 1), |(i, _)| f32::from(x.row(i).sum() > 0.0));
    (x, y)
}

/// A compiled classifier for [`problem`].
fn classifier(width: usize, seed: u64) -> Sequential {
    let mut model = Sequential::new()
        .seed(seed)
        .input([width])
        .add(Dense::new(16).activation("relu"))
        .add(Dropout::new(0.1))
        .add(Dense::new(1).activation("sigmoid"));
    model
        .compile(Adam::new(0.01), "binary_crossentropy", ["accuracy"])
        .unwrap();
    model
}
