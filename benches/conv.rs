//! Convolutions: forward, gradient of the image, gradient of the kernel; GFLOP/s of this crate on one thread.
//!
//! `cargo bench --bench conv [-- words]` runs the cases whose names contain one of the words; `gemm` prints the processor's peak.

use oxhorn::Float;
use oxhorn::kernels::conv::{Conv, Gradients};
use oxhorn::kernels::gemm::Accum;
use oxhorn::kernels::grid::Grid;
use oxhorn::kernels::parallel::Par;
use std::hint::black_box;
use std::time::Instant;

/// Name, batch, side of the image, kernel, stride, same padding, channels, filters, groups.
const CASES: &[(&str, usize, usize, usize, usize, bool, usize, usize, usize)] = &[
    ("mnist first", 8, 28, 3, 1, false, 1, 32, 1),
    ("mnist second", 8, 13, 3, 1, false, 32, 64, 1),
    ("rgb first", 4, 32, 3, 1, true, 3, 32, 1),
    ("cifar 32", 2, 32, 3, 1, true, 32, 32, 1),
    ("cifar 64", 4, 16, 3, 1, true, 64, 64, 1),
    ("cifar 128", 8, 8, 3, 1, true, 128, 128, 1),
    ("resnet stem", 1, 224, 7, 2, true, 3, 64, 1),
    ("resnet 56", 1, 56, 3, 1, true, 64, 64, 1),
    ("resnet 28 stride", 1, 56, 3, 2, true, 64, 128, 1),
    ("resnet 7", 4, 7, 3, 1, true, 512, 512, 1),
    ("pointwise", 4, 28, 1, 1, true, 128, 256, 1),
    ("pointwise deep", 8, 7, 1, 1, true, 512, 512, 1),
    ("grouped", 4, 28, 3, 1, true, 128, 128, 8),
    ("depthwise", 8, 28, 3, 1, true, 192, 192, 192),
    ("depthwise stride", 8, 28, 3, 2, true, 192, 192, 192),
];

const ROUNDS: usize = 300;

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    println!(
        "{:20} {:>9} {:>9} {:>9}   GFLOP/s on one thread, best of {ROUNDS}",
        "case", "forward", "dx", "dw"
    );
    for case in CASES {
        if words.is_empty() || words.iter().any(|word| case.0.contains(word)) {
            measure(case);
        }
    }
}

fn measure(
    &(name, batch, side, kernel, stride, same, channels, filters, groups): &(
        &str,
        usize,
        usize,
        usize,
        usize,
        bool,
        usize,
        usize,
        usize,
    ),
) {
    let (out, before) = if same {
        let out = side.div_ceil(stride);
        (out, ((out - 1) * stride + kernel).saturating_sub(side) / 2)
    } else {
        ((side - kernel) / stride + 1, 0)
    };
    let conv = Conv::new(
        Grid {
            image: [1, side, side],
            out: [1, out, out],
            kernel: [1, kernel, kernel],
            stride: [1, stride, stride],
            dilation: [1; 3],
            before: [0, before, before],
        },
        channels,
        filters,
        groups,
    );
    let fill = |n: usize| {
        (0..n)
            .map(|i| (i * 7919 % 1013) as Float / 1013.0 - 0.5)
            .collect::<Vec<_>>()
    };
    let (x, w) = (fill(batch * conv.image_len()), fill(conv.kernel_len()));
    let (mut y, mut dx, mut dw) = (fill(batch * conv.windows_len()), x.clone(), w.clone());
    let mut tables = vec![0; conv.tables_len()];
    conv.tables(&mut tables);
    let mut forward = vec![0.0; conv.forward_len()];
    let mut backward = vec![0.0; conv.backward_len()];
    let mut sums = vec![0.0; conv.sums_len(0)];
    let mut best = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        let mut time = |which: usize, f: &mut dyn FnMut()| {
            let start = Instant::now();
            f();
            best[which] = best[which].min(start.elapsed().as_nanos() as f64);
        };
        time(0, &mut || {
            let forward = conv.pack_forward(&w, &mut forward);
            conv.forward(
                black_box(&x),
                &tables,
                forward,
                black_box(&mut y),
                &mut [],
                Par::Serial,
                &|_, _| {},
            );
        });
        time(1, &mut || {
            let backward = conv.pack_backward(&w, &mut backward);
            let grads = Gradients {
                dx: Some(black_box(&mut dx)),
                dkernel: None,
                dbias: None,
                accum: Accum::Replace,
                sums: &mut sums,
            };
            conv.backward(
                &x,
                &tables,
                backward,
                black_box(&mut y),
                grads,
                Par::Serial,
                &|_, _, _| {},
            );
        });
        time(2, &mut || {
            let grads = Gradients {
                dx: None,
                dkernel: Some(black_box(&mut dw)),
                dbias: None,
                accum: Accum::Replace,
                sums: &mut sums,
            };
            conv.backward(
                &x,
                &tables,
                &backward,
                black_box(&mut y),
                grads,
                Par::Serial,
                &|_, _, _| {},
            );
        });
    }
    let flops = 2.0 * (batch * conv.work()) as f64;
    let [forward, dx, dw] = best.map(|ns| flops / ns);
    println!("{name:20} {forward:9.1} {dx:9.1} {dw:9.1}");
}
