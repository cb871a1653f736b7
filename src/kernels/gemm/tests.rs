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
fn tiles_cover_every_row_once() {
    fn check<S: super::simd::Simd>() {
        for n in [S::LANES, 2 * S::LANES, 3 * S::LANES, 9 * S::LANES] {
            for m in 1..200 {
                let mut next = 0;
                for (first, rows, count) in super::blocks::Shape::of::<S>(m, n).tiles(m) {
                    let known = super::tile::has_rows(S::SUMS, rows);
                    assert!(first == next && known && count > 0, "{m} x {n}: {rows}");
                    next += rows * count;
                }
                assert_eq!(next, m);
            }
        }
    }
    check::<super::portable::Portable>();
    #[cfg(all(target_arch = "x86_64", not(float64)))]
    {
        check::<super::x86::Avx2>();
        check::<super::x86::Avx512>();
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

/// Rows at uneven places, in rising order and at least `each` apart.
fn uneven(count: usize, each: usize) -> Vec<u32> {
    (0..count).map(|i| (i * each + i / 3 * 5) as u32).collect()
}

#[test]
fn windows_agree_with_the_definition() {
    for (m, k, n) in [
        (1, 1, 1),
        (5, 9, 8),
        (13, 27, 32),
        (7, 50, 24),
        (31, 400, 20),
        (65, 33, 70),
        (12, 64, 16),
        (30, 5, 3),
    ] {
        let (rows, cols, c_rows) = (uneven(m, 3), uneven(k, 1), uneven(m, n));
        let a = numbers(1, (rows[m - 1] + cols[k - 1]) as usize + 1);
        let (b, len) = (numbers(2, k * n), c_rows[m - 1] as usize + n);
        let windows = Windows {
            data: &a,
            rows: Starts::At(&rows),
            cols: Starts::At(&cols),
        };
        for accum in [Accum::Replace, Accum::Add] {
            let old = numbers(3, len);
            let mut want = old.clone();
            for i in 0..m {
                for j in 0..n {
                    let at = |p: usize| a[(rows[i] + cols[p]) as usize] * b[p * n + j];
                    let sum: Float = (0..k).map(at).sum();
                    let c = &mut want[c_rows[i] as usize + j];
                    *c = if accum == Accum::Add { *c + sum } else { sum };
                }
            }
            for level in levels() {
                let mut packed = vec![Float::NAN; packed_len(k, n)];
                windows::pack_with(level, k, n, Mat::new(&b, n), &mut packed);
                let mut transposed = vec![0.0; k * n];
                for (i, x) in b.iter().enumerate() {
                    transposed[i % n * k + i / n] = *x;
                }
                let columns = Mat::new(&transposed, k).t();
                for right in [Right::Packed(&packed), Right::Mat(columns)] {
                    let mut c = old.clone();
                    let at = Starts::At(&c_rows);
                    windows::gemm_windows_with(
                        level,
                        m,
                        k,
                        n,
                        windows,
                        right,
                        accum,
                        &mut c,
                        at,
                        Par::Serial,
                    );
                    for (x, y) in c.iter().zip(&want) {
                        assert!((x - y).abs() < 1e-4, "{level:?} {m}x{k}x{n}: {x} {y}");
                    }
                }
            }
        }
    }
}

#[test]
fn windows_give_the_same_bits_for_any_number_of_threads() {
    let (m, k, n) = (600, 200, 40);
    let (a, b) = (numbers(1, m * k), numbers(2, k * n));
    let run = |threads| {
        let mut c = vec![0.0; m * n];
        with_threads(threads, |par| {
            let a = Windows {
                data: &a,
                rows: Starts::Every(k),
                cols: Starts::Every(1),
            };
            let b = Right::Mat(Mat::new(&b, n));
            gemm_windows(m, k, n, a, b, Accum::Add, &mut c, Starts::Every(n), par);
        });
        c
    };
    assert!(run(1) == run(2) && run(1) == run(8));
}

#[test]
#[should_panic(expected = "overlap")]
fn windows_of_c_must_not_overlap() {
    let a = Windows {
        data: &[1.0; 4],
        rows: Starts::Every(1),
        cols: Starts::Every(1),
    };
    let b = Right::Mat(Mat::new(&[1.0; 6], 3));
    let rows = Starts::At(&[0, 2]);
    gemm_windows(2, 2, 3, a, b, Accum::Add, &mut [0.0; 8], rows, Par::Serial);
}
