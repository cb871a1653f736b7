//! One model, many threads: `predict` takes `&self`.
//!
//!     cargo run --release --example threads
//!
//! Last line: how many predictions a second all threads made together; every one of them was checked.

use std::time::Instant;

use oxhorn::ndarray::{Array2, s};
use oxhorn::prelude::*;
use oxhorn::random::Rng;

const THREADS: usize = 4;
const CALLS: usize = 20_000;

fn main() -> Result<()> {
    let mut rng = Rng::new(0);
    let x = Array2::from_shape_simple_fn((64, 10), || rng.normal());
    let mut model = Sequential::new()
        .seed(0)
        .add(Dense::new(64).activation("relu"))
        .add(Dense::new(64).activation("relu"))
        .add(Dense::new(1).activation("sigmoid"));
    model.build([10])?;

    // What each row gives alone.
    let alone: Vec<f32> = (0..64)
        .map(|i| Ok(model.predict(&x.slice(s![i..=i, ..]))?[[0, 0]]))
        .collect::<Result<_>>()?;

    let start = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|t| {
                let (model, x, alone) = (&model, &x, &alone);
                scope.spawn(move || -> Result<()> {
                    let mut out = [0.0];
                    for i in (0..CALLS).map(|i| (i * 7 + t) % 64) {
                        model.predict_into(&x.slice(s![i..=i, ..]), &mut out)?;
                        assert_eq!(out[0], alone[i], "thread {t}, row {i}");
                    }
                    Ok(())
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|w| w.join().expect("a worker panicked"))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{THREADS} threads: {:.0} predictions a second",
        (THREADS * CALLS) as f64 / seconds
    );
    Ok(())
}
