use super::*;
use crate::kernels::parallel::with_threads;
use crate::random::Rng;

fn numbers(seed: u64, len: usize) -> Vec<Float> {
    let mut rng = Rng::new(seed);
    (0..len).map(|_| rng.normal() as Float).collect()
}

/// A grid along one to three axes; `same` padding or none.
fn grid(
    image: &[usize],
    kernel: &[usize],
    stride: &[usize],
    dilation: &[usize],
    same: bool,
) -> Grid {
    let three = |n: &[usize]| {
        let mut a = [1; 3];
        a[3 - n.len()..].copy_from_slice(n);
        a
    };
    let (image, kernel) = (three(image), three(kernel));
    let (stride, dilation) = (three(stride), three(dilation));
    let (mut out, mut before) = ([0; 3], [0; 3]);
    for a in 0..3 {
        let wide = (kernel[a] - 1) * dilation[a] + 1;
        if same {
            out[a] = image[a].div_ceil(stride[a]);
            before[a] = ((out[a] - 1) * stride[a] + wide).saturating_sub(image[a]) / 2;
        } else {
            out[a] = (image[a] - wide) / stride[a] + 1;
        }
    }
    Grid {
        image,
        out,
        kernel,
        stride,
        dilation,
        before,
    }
}

/// Calls `f(window, tap, pixel)` for every tap of every window that is on a pixel.
fn each_tap(g: &Grid, mut f: impl FnMut(usize, usize, usize)) {
    let split = |i: usize, n: [usize; 3]| [i / (n[1] * n[2]), i / n[2] % n[1], i % n[2]];
    for o in 0..g.positions() {
        for t in 0..g.taps() {
            let (window, tap) = (split(o, g.out), split(t, g.kernel));
            let mut pixel = 0;
            let inside = (0..3).all(|a| {
                let at = window[a] * g.stride[a] + tap[a] * g.dilation[a];
                let inside = at >= g.before[a] && at - g.before[a] < g.image[a];
                if inside {
                    pixel = pixel * g.image[a] + at - g.before[a];
                }
                inside
            });
            if inside {
                f(o, t, pixel);
            }
        }
    }
}

/// Everything by definition: outputs of windows, and gradients of images and kernel, of one batch.
struct Naive {
    y: Vec<Float>,
    dx: Vec<Float>,
    dw: Vec<Float>,
}

fn naive(conv: &Conv, batch: usize, x: &[Float], w: &[Float], dy: &[Float]) -> Naive {
    let (c, f) = (conv.channels / conv.groups, conv.filters / conv.groups);
    let mut n = Naive {
        y: vec![0.0; dy.len()],
        dx: vec![0.0; x.len()],
        dw: vec![0.0; w.len()],
    };
    for s in 0..batch {
        each_tap(&conv.grid, |o, t, pixel| {
            for g in 0..conv.groups {
                for i in 0..c {
                    for j in 0..f {
                        let x_at = s * conv.image_len() + pixel * conv.channels + g * c + i;
                        let w_at = (t * c + i) * conv.filters + g * f + j;
                        let y_at = s * conv.windows_len() + o * conv.filters + g * f + j;
                        n.y[y_at] += x[x_at] * w[w_at];
                        n.dx[x_at] += dy[y_at] * w[w_at];
                        n.dw[w_at] += x[x_at] * dy[y_at];
                    }
                }
            }
        });
    }
    n
}

fn close(what: &str, conv: &Conv, got: &[Float], want: &[Float]) {
    let scale = want.iter().fold(1.0 as Float, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(
            (g - w).abs() <= 2e-5 * scale,
            "{what}[{i}] is {g} instead of {w}: {conv:?}"
        );
    }
}

struct Run {
    tables: Vec<u32>,
    forward: Vec<Float>,
    backward: Vec<Float>,
    sums: Vec<Float>,
}

impl Run {
    fn new(conv: &Conv, w: &[Float], bias: usize) -> Run {
        let mut run = Run {
            tables: vec![0; conv.tables_len()],
            forward: vec![Float::NAN; conv.forward_len()],
            backward: vec![Float::NAN; conv.backward_len()],
            sums: vec![Float::NAN; conv.sums_len(bias)],
        };
        conv.tables(&mut run.tables);
        run.forward = conv.pack_forward(w, &mut run.forward).to_vec();
        run.backward = conv.pack_backward(w, &mut run.backward).to_vec();
        run
    }
}

/// Results of both directions: y, dx, dw, db, and those of the transposed one.
fn all(conv: &Conv, x: &[Float], w: &[Float], dy: &[Float], par: Par) -> [Vec<Float>; 8] {
    let mut run = Run::new(conv, w, conv.filters.max(conv.channels));
    let (tables, forward, backward) = (&run.tables, &run.forward, &run.backward);
    let none = |_: &mut [Float], _: &mut [Float]| {};
    let mut y = vec![Float::NAN; dy.len()];
    conv.forward(x, tables, forward, &mut y, &mut [], par, &none);
    let mut image = vec![Float::NAN; x.len()];
    conv.forward_transposed(dy, tables, backward, &mut image, &mut [], par, &none);
    let sums_of = |dz: &mut [Float], db: Option<&mut [Float]>| {
        if let Some(db) = db {
            crate::kernels::elementwise::column_sums(dz, db);
        }
    };
    let (mut dx, mut dw) = (vec![Float::NAN; x.len()], vec![Float::NAN; w.len()]);
    let mut db = vec![Float::NAN; conv.filters];
    let grads = Gradients {
        dx: Some(&mut dx),
        dkernel: Some(&mut dw),
        dbias: Some(&mut db),
        accum: Accum::Replace,
        sums: &mut run.sums,
    };
    let slope = |_: usize, dz: &mut [Float], db: Option<&mut [Float]>| sums_of(dz, db);
    conv.backward(x, tables, backward, &mut dy.to_vec(), grads, par, &slope);
    // Transposed: the image's gradient is x here, the windows' input dy. Gradients are added to what there is.
    let (mut dt, mut dv) = (vec![Float::NAN; dy.len()], vec![1.0; w.len()]);
    let mut de = vec![1.0; conv.channels];
    let grads = Gradients {
        dx: Some(&mut dt),
        dkernel: Some(&mut dv),
        dbias: Some(&mut de),
        accum: Accum::Add,
        sums: &mut run.sums,
    };
    conv.backward_transposed(dy, tables, forward, &mut x.to_vec(), grads, par, &slope);
    dv.iter_mut().chain(&mut de).for_each(|d| *d -= 1.0);
    [y, dx, dw, db, image, dt, dv, de]
}

fn column_sums(x: &[Float], cols: usize) -> Vec<Float> {
    let mut sums = vec![0.0; cols];
    x.iter().enumerate().for_each(|(i, x)| sums[i % cols] += x);
    sums
}

fn check(grid: Grid, channels: usize, filters: usize, groups: usize, batch: usize) {
    let conv = Conv::new(grid, channels, filters, groups);
    check_units(conv, batch);
    // The same in small units: bands of a line, or one sample.
    check_units(
        Conv {
            lines: 1,
            samples: 1,
            ..conv
        },
        batch,
    );
    if conv.grid.out[conv.axis] > 2 {
        check_units(
            Conv {
                lines: 2,
                samples: 1,
                ..conv
            },
            batch,
        );
    }
    let lines = conv.grid.out[conv.axis];
    check_units(
        Conv {
            lines,
            samples: 2,
            ..conv
        },
        batch,
    );
}

fn check_units(conv: Conv, batch: usize) {
    let x = numbers(1, batch * conv.image_len());
    let w = numbers(2, conv.kernel_len());
    let dy = numbers(3, batch * conv.windows_len());
    let want = naive(&conv, batch, &x, &w, &dy);
    let [y, dx, dw, db, image, dt, dv, de] = all(&conv, &x, &w, &dy, Par::Serial);
    close("y", &conv, &y, &want.y);
    close("dx", &conv, &dx, &want.dx);
    close("dw", &conv, &dw, &want.dw);
    close("db", &conv, &db, &column_sums(&dy, conv.filters));
    close("transposed y", &conv, &image, &want.dx);
    close("transposed dx", &conv, &dt, &want.y);
    close("transposed dw", &conv, &dv, &want.dw);
    close("transposed db", &conv, &de, &column_sums(&x, conv.channels));
}

#[test]
fn agrees_with_the_definition() {
    let one = [1, 1, 1];
    for same in [false, true] {
        check(grid(&[9], &[3], &[2], &one[..1], same), 3, 4, 1, 3);
        check(grid(&[9], &[3], &[1], &[2], same), 4, 6, 2, 2);
        check(grid(&[1], &[1], &[1], &[1], same), 2, 3, 1, 5);
        check(grid(&[7, 6], &[3, 2], &[1, 1], &[1, 1], same), 1, 9, 1, 3);
        check(grid(&[7, 8], &[3, 3], &[2, 3], &[1, 1], same), 5, 17, 1, 2);
        check(grid(&[7, 8], &[2, 3], &[1, 1], &[2, 3], same), 3, 3, 1, 2);
        check(grid(&[5, 5], &[1, 1], &[1, 1], &[1, 1], same), 6, 4, 2, 3);
        check(grid(&[5, 5], &[1, 1], &[2, 2], &[1, 1], same), 6, 4, 1, 3);
        check(grid(&[6, 5], &[3, 3], &[1, 1], &[1, 1], same), 6, 6, 6, 3);
        check(grid(&[6, 5], &[3, 3], &[2, 2], &[1, 1], same), 3, 6, 3, 2);
        check(
            grid(&[5, 6], &[3, 3], &[1, 2], &[2, 1], same),
            50,
            50,
            50,
            1,
        );
        check(grid(&[5, 6], &[3, 2], &[1, 2], &[1, 1], same), 9, 10, 1, 3);
        check(
            grid(&[4, 5, 6], &[2, 3, 2], &[1, 2, 1], &one, same),
            2,
            5,
            1,
            2,
        );
        check(
            grid(&[4, 5, 6], &[4, 2, 3], &one, &[1, 2, 1], same),
            4,
            2,
            2,
            2,
        );
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    for (conv, batch) in [
        (
            Conv::new(grid(&[12, 11], &[3, 3], &[1, 1], &[1, 1], true), 8, 16, 1),
            24,
        ),
        (
            Conv::new(grid(&[70, 64], &[3, 3], &[1, 1], &[1, 1], true), 16, 20, 1),
            2,
        ),
        (
            Conv::new(
                grid(&[30, 30], &[3, 3], &[1, 1], &[1, 1], false),
                24,
                24,
                24,
            ),
            9,
        ),
    ] {
        let x = numbers(1, batch * conv.image_len());
        let w = numbers(2, conv.kernel_len());
        let dy = numbers(3, batch * conv.windows_len());
        let run = |threads| with_threads(threads, |par| all(&conv, &x, &w, &dy, par));
        let one = run(1);
        assert!(one == run(2) && one == run(8), "{conv:?}");
    }
}

#[test]
fn large_images_are_cut_into_bands() {
    let conv = Conv::new(
        grid(&[224, 224], &[3, 3], &[1, 1], &[1, 1], true),
        64,
        64,
        1,
    );
    assert!(conv.samples == 1 && conv.lines < 8 && conv.frame(0).len() <= 2 * UNIT);
    let conv = Conv::new(grid(&[4, 4], &[3, 3], &[1, 1], &[1, 1], true), 8, 8, 1);
    assert!(conv.samples > 1 && conv.lines == 4);
}
