//! The smallest problem that needs a hidden layer: exclusive or.
//!
//!     cargo run --release --example xor
//!
//! Last line: the four predictions, rounded: 0 1 1 0.

use oxhorn::ndarray::array;
use oxhorn::prelude::*;

fn main() -> Result<()> {
    let x = array![[0.0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
    let y = array![[0.0f32], [1.0], [1.0], [0.0]];

    let mut model = Sequential::new()
        .seed(1)
        .input([2])
        .add(Dense::new(8).activation("tanh"))
        .add(Dense::new(1).activation("sigmoid"));
    model.compile(Adam::new(0.05), "binary_crossentropy", ["accuracy"])?;
    let history = model.fit(&x, &y, Fit::epochs(200).verbose(0))?;

    println!("loss {:.4}", history.last("loss").unwrap_or(f64::NAN));
    let rounded: Vec<String> = model
        .predict(&x)?
        .iter()
        .map(|p| format!("{p:.0}"))
        .collect();
    println!("{}", rounded.join(" "));
    Ok(())
}
