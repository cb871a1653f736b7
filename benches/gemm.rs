//! Matrix products: this crate on one thread and on all, the peer (matrixmultiply, through ndarray), and the processor's peak.
//!
//! `cargo bench --bench gemm [-- words]` runs the cases whose names contain one of the words. Engines take turns, so that other
//! work on the machine hurts them alike; the best and the median round are printed.
#![allow(unsafe_code)]

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};
use oxhorn::Float;
use oxhorn::kernels::gemm::{Accum, Mat, gemm};
use oxhorn::kernels::parallel::{Par, with_threads};
use std::hint::black_box;
use std::time::Instant;

/// Which operand is stored transposed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    NN,
    TN,
    NT,
}
use Form::{NN, NT, TN};

/// Form and m, k, n.
const CASES: &[(Form, usize, usize, usize)] = &[
    (NN, 1, 64, 64),
    (NT, 1, 64, 64),
    (NN, 32, 64, 1),
    (TN, 64, 32, 1),
    (NN, 32, 1, 64),
    (NN, 32, 10, 64),
    (TN, 32, 10, 64),
    (NT, 32, 10, 64),
    (NN, 32, 64, 10),
    (TN, 32, 64, 10),
    (NT, 32, 64, 10),
    (NN, 32, 64, 64),
    (TN, 32, 64, 64),
    (NT, 32, 64, 64),
    (NN, 4, 64, 64),
    (NN, 32, 784, 128),
    (TN, 784, 32, 128),
    (NT, 32, 128, 784),
    (NN, 128, 784, 512),
    (TN, 784, 128, 512),
    (NT, 128, 512, 784),
    (NN, 128, 512, 512),
    (TN, 512, 128, 512),
    (NT, 128, 512, 512),
    (NN, 512, 512, 512),
    (TN, 512, 512, 512),
    (NT, 512, 512, 512),
    (NN, 1024, 1024, 1024),
    (NT, 1024, 1024, 1024),
    (NN, 256, 2048, 2048),
    (NT, 256, 2048, 2048),
    (TN, 2048, 256, 2048),
    (NN, 1, 2048, 2048),
    (NT, 1, 2048, 2048),
    (NN, 8, 2048, 2048),
    (NN, 32, 144, 21632),
    (NT, 32, 21632, 144),
    (TN, 144, 32, 21632),
    (NN, 21632, 144, 32),
    (TN, 144, 21632, 32),
    (NT, 21632, 32, 144),
];

const ROUNDS: usize = 21;

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    with_threads(0, |par| {
        let threads = if par == Par::Threads {
            rayon::current_num_threads()
        } else {
            1
        };
        println!("GFLOP/s, best/median, and ns per call on one thread; {threads} threads");
        println!("peak of one core: {:.1}", peak());
        println!(
            "{:24} {:>13} {:>11} {:>13} {:>13}",
            "case", "one thread", "ns", "all threads", "ndarray"
        );
        for &(form, m, k, n) in CASES {
            let name = format!("{form:?} {m}x{k}x{n}");
            if words.is_empty() || words.iter().any(|word| name.contains(word)) {
                case(&name, form, m, k, n, par);
            }
        }
    });
}

fn case(name: &str, form: Form, m: usize, k: usize, n: usize, par: Par) {
    let fill = |len: usize| {
        (0..len)
            .map(|i| (i * 7919 % 1013) as Float / 1013.0 - 0.5)
            .collect::<Vec<_>>()
    };
    let (a, b, mut c) = (
        fill(m * k + LINE),
        fill(k * n + LINE),
        vec![0.0; m * n + LINE],
    );
    let (a, b) = (&a[to_line(&a)..][..m * k], &b[to_line(&b)..][..k * n]);
    let start = to_line(&c);
    let c = &mut c[start..][..m * n];
    let (a_row, a_col) = if form == TN { (1, m) } else { (k, 1) };
    let (b_row, b_col) = if form == NT { (1, k) } else { (n, 1) };
    let ours = |c: &mut [Float], par| {
        let (a, b) = (
            Mat::strided(black_box(a), a_row, a_col),
            Mat::strided(black_box(b), b_row, b_col),
        );
        gemm(m, k, n, a, b, Accum::Replace, black_box(c), n, par);
    };
    let peer = |c: &mut [Float]| {
        let a = ArrayView2::from_shape((m, k).strides((a_row, a_col)), black_box(a)).unwrap();
        let b = ArrayView2::from_shape((k, n).strides((b_row, b_col)), black_box(b)).unwrap();
        let mut c = ArrayViewMut2::from_shape((m, n), black_box(c)).unwrap();
        general_mat_mul(1.0, &a, &b, 0.0, &mut c);
    };
    let flops = 2.0 * (m * k * n) as f64;
    let calls = (2e6 * 50.0 / (flops + 1000.0)).ceil() as usize;
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        times[0].push(time(calls, || ours(c, Par::Serial)));
        times[1].push(time(calls, || ours(c, par)));
        times[2].push(time(calls, || peer(c)));
    }
    let [one, all, other] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        (times[0], times[ROUNDS / 2])
    });
    let rate = |(best, median): (f64, f64)| format!("{:.1}/{:.1}", flops / best, flops / median);
    let ns = format!("{:.0}/{:.0}", one.0, one.1);
    println!(
        "{name:24} {:>13} {ns:>11} {:>13} {:>13}",
        rate(one),
        rate(all),
        rate(other)
    );
}

/// Numbers in a cache line.
const LINE: usize = 64 / size_of::<Float>();

/// Numbers before the first that starts a cache line: vectors that straddle lines cost double.
fn to_line(data: &[Float]) -> usize {
    data.as_ptr().align_offset(64)
}

/// Nanoseconds per call.
fn time(calls: usize, mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..calls).for_each(|_| f());
    start.elapsed().as_nanos() as f64 / calls as f64
}

/// GFLOP/s of independent chains of fused multiply-adds that never leave the registers.
#[cfg(target_arch = "x86_64")]
fn peak() -> f64 {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    fn wide(turns: usize) {
        let (x, y) = (
            _mm512_set1_ps(black_box(0.5)),
            _mm512_set1_ps(black_box(1.0)),
        );
        let mut sums = [y; 12];
        for _ in 0..turns {
            sums = sums.map(|s| _mm512_fmadd_ps(s, x, y));
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    fn narrow(turns: usize) {
        let (x, y) = (
            _mm256_set1_ps(black_box(0.5)),
            _mm256_set1_ps(black_box(1.0)),
        );
        let mut sums = [y; 12];
        for _ in 0..turns {
            sums = sums.map(|s| _mm256_fmadd_ps(s, x, y));
        }
        black_box(sums);
    }

    const TURNS: usize = 1_000_000;
    let (lanes, run): (f64, &dyn Fn()) = if is_x86_feature_detected!("avx512f") {
        // SAFETY: just detected.
        (16.0, &|| unsafe { wide(TURNS) })
    } else if is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2") {
        // SAFETY: just detected.
        (8.0, &|| unsafe { narrow(TURNS) })
    } else {
        return f64::NAN;
    };
    let best = (0..ROUNDS)
        .map(|_| time(1, run))
        .fold(f64::INFINITY, f64::min);
    2.0 * 12.0 * lanes * TURNS as f64 / best
}

#[cfg(not(target_arch = "x86_64"))]
fn peak() -> f64 {
    f64::NAN
}
