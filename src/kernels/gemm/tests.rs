use super::*;
use crate::kernels::parallel::with_threads;

const SIZES: &[usize] = &[
    0, 1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 32, 33, 48, 64, 65, 100, 129,
];

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.iter().copied().filter(|level| level.available())
}

/// Numbers in [-1, 1) from a counter.
fn numbers(seed: u64, len: usize) -> Vec<Float> {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 40) as Float / (1_u64 << 23) as Float - 1.0
    };
    (0..len).map(|_| next()).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Rows,
    Columns,
    Spread,
}

const LAYOUTS: [Layout; 3] = [Layout::Rows, Layout::Columns, Layout::Spread];

/// A `rows x cols` matrix in `data`, which is large enough for any layout.
fn lay(layout: Layout, data: &[Float], rows: usize, cols: usize) -> Mat<'_> {
    match layout {
        Layout::Rows => Mat::new(data, cols),
        Layout::Columns => Mat::new(data, rows).t(),
        Layout::Spread => Mat::strided(data, 2 * cols + 3, 2),
    }
}

fn room(rows: usize, cols: usize) -> usize {
    rows * (2 * cols + 3) + 1
}

/// Runs one case at every level and compares with the definition; the gap between the rows of C must stay.
fn check(m: usize, k: usize, n: usize, la: Layout, lb: Layout, accum: Accum, gap: usize) {
    let (a, b) = (numbers(1, room(m, k)), numbers(2, room(k, n)));
    let (a, b) = (lay(la, &a, m, k), lay(lb, &b, k, n));
    let ldc = n + gap;
    let old = match accum {
        Accum::Replace => vec![Float::NAN; m * ldc],
        Accum::Add => numbers(3, m * ldc),
    };
    let mut want = old.clone();
    gemm_naive(m, k, n, a, b, accum, &mut want, ldc);
    for level in levels() {
        let mut c = old.clone();
        gemm_with(level, m, k, n, a, b, accum, &mut c, ldc, Par::Serial);
        for (i, (&x, &y)) in c.iter().zip(&want).enumerate() {
            let same = x.to_bits() == y.to_bits();
            let near = i % ldc < n && (x - y).abs() <= 1e-6 * (k as Float + 1.0);
            assert!(
                same || near,
                "{level:?} {m}x{k}x{n} {la:?} {lb:?} {accum:?} ldc {ldc}: [{i}] {x} for {y}"
            );
        }
    }
}

#[test]
fn agrees_with_the_definition_at_every_level() {
    let mut turn = 0;
    for &m in SIZES {
        for &k in SIZES {
            for &n in SIZES {
                // Every size meets some layouts; the sizes are many, so every layout meets all kinds of sizes.
                for shift in 0..3 {
                    turn += 1;
                    let accum = if turn % 2 == 0 {
                        Accum::Replace
                    } else {
                        Accum::Add
                    };
                    let (la, lb) = (LAYOUTS[(turn / 3) % 3], LAYOUTS[(turn + shift) % 3]);
                    check(m, k, n, la, lb, accum, turn % 4);
                }
            }
        }
    }
}

#[test]
fn agrees_where_blocks_meet() {
    let shapes = [
        (1, 700, 1300),
        (1300, 700, 1),
        (2, 650, 70),
        (300, 650, 40),
        (500, 30, 600),
        (60, 1000, 700),
        (260, 330, 130),
        (13, 3000, 3),
    ];
    for (m, k, n) in shapes {
        for (la, lb) in LAYOUTS.into_iter().flat_map(|a| LAYOUTS.map(|b| (a, b))) {
            check(m, k, n, la, lb, Accum::Add, 0);
            check(m, k, n, la, lb, Accum::Replace, 5);
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let shapes = [
        (32, 784, 128),
        (128, 784, 300),
        (784, 128, 65),
        (700, 144, 32),
        (30, 2000, 33),
        (9, 4000, 40),
        (1, 1024, 2000),
        (2000, 777, 1),
    ];
    for (m, k, n) in shapes {
        for (la, lb) in LAYOUTS.into_iter().flat_map(|a| LAYOUTS.map(|b| (a, b))) {
            let (a, b) = (numbers(1, room(m, k)), numbers(2, room(k, n)));
            let (a, b) = (lay(la, &a, m, k), lay(lb, &b, k, n));
            for level in levels() {
                let run = |par| {
                    let mut c = numbers(3, m * n);
                    gemm_with(level, m, k, n, a, b, Accum::Add, &mut c, n, par);
                    c.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                };
                let serial = run(Par::Serial);
                for threads in [1, 2, 8] {
                    let pool = rayon::ThreadPoolBuilder::new()
                        .num_threads(threads)
                        .build()
                        .unwrap();
                    assert!(
                        pool.install(|| run(Par::Threads)) == serial,
                        "{level:?} {m}x{k}x{n} {la:?} {lb:?} on {threads}"
                    );
                }
            }
        }
    }
}

#[test]
fn products_may_run_inside_products() {
    let (a, b) = (numbers(1, 200 * 200), numbers(2, 200 * 200));
    let run = |par| {
        let mut c = vec![0.0; 200 * 200];
        gemm(
            200,
            200,
            200,
            Mat::new(&a, 200),
            Mat::new(&b, 200).t(),
            Accum::Replace,
            &mut c,
            200,
            par,
        );
        c
    };
    let want = run(Par::Serial);
    let mut all = vec![vec![]; 16];
    with_threads(4, |par| {
        par.for_each_piece(&mut all, 1, |_, c| c[0] = run(par))
    });
    assert!(all.iter().all(|c| *c == want));
}

#[test]
fn nothing_to_sum_is_zero() {
    let mut c = [Float::NAN; 6];
    gemm(
        2,
        0,
        2,
        Mat::new(&[], 0),
        Mat::new(&[], 2),
        Accum::Replace,
        &mut c,
        3,
        Par::Threads,
    );
    assert!(
        c[0] == 0.0 && c[1] == 0.0 && c[2].is_nan() && c[3] == 0.0 && c[4] == 0.0 && c[5].is_nan()
    );
    gemm(
        2,
        0,
        2,
        Mat::new(&[], 0),
        Mat::new(&[], 2),
        Accum::Add,
        &mut [1.0; 4],
        2,
        Par::Serial,
    );
    gemm(
        0,
        5,
        2,
        Mat::new(&[], 5),
        Mat::new(&[], 2),
        Accum::Replace,
        &mut [],
        2,
        Par::Serial,
    );
}

#[test]
fn nan_and_infinity_propagate() {
    for level in levels() {
        for (m, k, n) in [(1, 20, 20), (20, 20, 1), (20, 20, 20), (4, 20, 100)] {
            let (mut a, mut b) = (vec![0.0; m * k], vec![1.0; k * n]);
            b[n * 3] = Float::INFINITY; // row 3, column 0: 0 * inf is NaN in all of column 0
            a[k * (m - 1) + 7] = Float::NAN; // the last row of A: all of the last row of C
            let mut c = vec![0.0; m * n];
            gemm_with(
                level,
                m,
                k,
                n,
                Mat::new(&a, k),
                Mat::new(&b, n),
                Accum::Replace,
                &mut c,
                n,
                Par::Serial,
            );
            for (i, x) in c.iter().enumerate() {
                assert_eq!(
                    x.is_nan(),
                    i % n == 0 || i / n == m - 1,
                    "{level:?} {m}x{k}x{n} [{i}] {x}"
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "A (2 x 3) does not fit 5 numbers")]
fn short_operands_are_refused() {
    gemm(
        2,
        3,
        1,
        Mat::new(&[0.0; 5], 3),
        Mat::new(&[0.0; 3], 1),
        Accum::Add,
        &mut [0.0; 2],
        1,
        Par::Serial,
    );
}

#[test]
#[should_panic(expected = "rows of C overlap")]
fn overlapping_rows_are_refused() {
    gemm(
        2,
        1,
        2,
        Mat::new(&[0.0; 2], 1),
        Mat::new(&[0.0; 2], 2),
        Accum::Add,
        &mut [0.0; 4],
        1,
        Par::Serial,
    );
}

#[test]
#[should_panic(expected = "does not fit")]
fn strides_do_not_overflow() {
    let a = Mat::strided(&[0.0; 8], usize::MAX / 2, 1);
    gemm(
        4,
        2,
        1,
        a,
        Mat::new(&[0.0; 2], 1),
        Accum::Add,
        &mut [0.0; 4],
        1,
        Par::Serial,
    );
}

#[test]
fn a_packed_operand_gives_the_same() {
    for &m in &[1, 2, 5, 6, 7, 12, 16, 33] {
        for &k in &[0, 1, 3, 17, 64, 321, 700] {
            for &n in &[1, 4, 8, 9, 16, 17, 40, 100] {
                for layout in LAYOUTS {
                    let (a, b) = (numbers(1, room(m, k)), numbers(2, room(k, n)));
                    let (a, b) = (lay(layout, &a, m, k), lay(layout, &b, k, n));
                    for accum in [Accum::Add, Accum::Replace] {
                        let (ldc, old) = (n + 3, numbers(3, m * (n + 3)));
                        let mut want = old.clone();
                        gemm_naive(m, k, n, a, b, accum, &mut want, ldc);
                        for level in levels() {
                            let mut packed = vec![Float::NAN; packed_len(k, n)];
                            pack_with(level, k, n, b, &mut packed);
                            let mut c = old.clone();
                            gemm_packed_with(level, m, k, n, a, &packed, accum, &mut c, ldc);
                            for (i, (x, y)) in c.iter().zip(&want).enumerate() {
                                assert!(
                                    (x - y).abs() <= 1e-6 * (k as Float + 1.0),
                                    "{level:?} {m}x{k}x{n} {layout:?}: [{i}] {x} for {y}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}
