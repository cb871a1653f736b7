//! Nanoseconds per element of the vector kernels, data in the first cache, against plain loops over std's functions.
//!
//! `cargo bench --bench elementwise`
use std::hint::black_box;
use std::time::Instant;

use oxhorn::Float;
use oxhorn::kernels::{elementwise, reduce};

/// Numbers per array.
const N: usize = 4096;

/// The best time of one call of `f` on a fresh copy of `x`, per element; the copy's own time is taken off.
fn time(x: &[Float], mut f: impl FnMut(&mut [Float])) -> f64 {
    let mut y = x.to_vec();
    let mut best = |f: &mut dyn FnMut(&mut [Float])| {
        let mut least = f64::INFINITY;
        for _ in 0..200 {
            let start = Instant::now();
            for _ in 0..20 {
                y.copy_from_slice(black_box(x));
                f(black_box(&mut y));
            }
            least = least.min(start.elapsed().as_secs_f64());
        }
        least / 20.0 / x.len() as f64 * 1e9
    };
    let whole = best(&mut f);
    whole - best(&mut |_| {})
}

/// Prints one line of the table.
fn line(name: &str, ours: f64, plain: f64) {
    println!("{name:<28}{ours:>8.3}{plain:>12.3}");
}

fn main() {
    let x: Vec<Float> = (0..N).map(|i| (i as Float * 0.37).sin() * 6.0).collect();
    println!("{:<28}{:>8}{:>12}", "ns per element", "ours", "plain std");
    line(
        "exp",
        time(&x, elementwise::exp),
        time(&x, |y| each(y, |v| v.exp())),
    );
    line(
        "tanh",
        time(&x, elementwise::tanh),
        time(&x, |y| each(y, |v| v.tanh())),
    );
    line(
        "sigmoid",
        time(&x, elementwise::sigmoid),
        time(&x, |y| each(y, |v| 1.0 / (1.0 + (-v).exp()))),
    );
    line(
        "log (of |x|)",
        time(&x, elementwise::log),
        time(&x, |y| each(y, |v| v.ln())),
    );
    for cols in [10, 64] {
        let x = &x[..N / cols * cols];
        line(
            &format!("softmax, rows of {cols}"),
            time(x, |y| reduce::softmax(y, cols)),
            time(x, |y| plain_softmax(y, cols)),
        );
    }
}

fn each(y: &mut [Float], f: impl Fn(Float) -> Float) {
    y.iter_mut().for_each(|v| *v = f(*v));
}

fn plain_softmax(y: &mut [Float], cols: usize) {
    for row in y.chunks_exact_mut(cols) {
        let max = row.iter().copied().fold(Float::NEG_INFINITY, Float::max);
        row.iter_mut().for_each(|v| *v = (*v - max).exp());
        let sum: Float = row.iter().sum();
        row.iter_mut().for_each(|v| *v /= sum);
    }
}
