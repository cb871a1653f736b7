//! Resizing of pictures as they are read, with the numbers of `tf.image.resize` (not antialiased): each pixel of the result is a
//! weighted sum along both axes, and the weights of an axis depend on its sizes alone.

use super::Picture;

/// How pixels are taken between those that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// Between the four nearest.
    #[default]
    Bilinear,
    /// The nearest one.
    Nearest,
    /// Cubic of Keys, with a = -0.5.
    Bicubic,
    /// The mean over the area of the new pixel.
    Area,
    /// Lanczos window of radius 3.
    Lanczos3,
    /// Lanczos window of radius 5.
    Lanczos5,
    /// Gaussian of radius 1.5.
    Gaussian,
    /// Cubic of Mitchell and Netravali.
    MitchellCubic,
}

/// Weights of the source pixels of every pixel along one axis.
#[derive(Clone, Debug, Default)]
pub(super) struct Taps {
    key: Option<(Interpolation, usize, usize)>,
    /// First source pixel, and where its weights begin and end.
    rows: Vec<(usize, usize, usize)>,
    weights: Vec<f32>,
}

impl Taps {
    /// From `n` to `m` pixels; nothing is done if that is what they are.
    pub fn prepare(&mut self, kind: Interpolation, n: usize, m: usize) {
        if self.key == Some((kind, n, m)) {
            return;
        }
        self.key = Some((kind, n, m));
        self.rows.clear();
        self.weights.clear();
        let scale = n as f32 / m as f32;
        for i in 0..m {
            let begin = self.weights.len();
            let center = (i as f32 + 0.5) * scale;
            let first = match kind {
                Interpolation::Nearest => {
                    self.weights.push(1.0);
                    (center.floor() as usize).min(n - 1)
                }
                Interpolation::Bilinear => {
                    let f = center - 0.5;
                    let (low, part) = (f.floor().max(0.0) as usize, f - f.floor());
                    let low = low.min(n - 1);
                    match f < 0.0 || low == n - 1 || part == 0.0 {
                        true => self.weights.push(1.0),
                        false => self.weights.extend([1.0 - part, part]),
                    }
                    low
                }
                Interpolation::Bicubic => self.bicubic(center - 0.5, n),
                Interpolation::Area => {
                    let (from, to) = (i as f32 * scale, (i + 1) as f32 * scale);
                    let (first, last) = (from.floor() as usize, (to.ceil() as usize).min(n));
                    for j in first..last {
                        let covered = to.min(j as f32 + 1.0) - from.max(j as f32);
                        self.weights.push(covered / scale);
                    }
                    first
                }
                Interpolation::Lanczos3 => self.window(center, n, 3.0, |x| lanczos(x, 3.0)),
                Interpolation::Lanczos5 => self.window(center, n, 5.0, |x| lanczos(x, 5.0)),
                Interpolation::Gaussian => self.window(center, n, 1.5, gaussian),
                Interpolation::MitchellCubic => self.window(center, n, 2.0, mitchell),
            };
            self.rows.push((first, begin, self.weights.len()));
        }
    }

    /// Four weights from a table of 1024 steps; those of pixels that are not there go to the others.
    fn bicubic(&mut self, at: f32, n: usize) -> usize {
        let low = at.floor();
        let d = ((at - low) * 1024.0).round() / 1024.0;
        let near = |x: f32| ((1.5 * x - 2.5) * x) * x + 1.0;
        let far = |x: f32| ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0;
        let all = [far(d + 1.0), near(d), near(1.0 - d), far(2.0 - d)];
        self.normalized(low as i64 - 1, &all, n)
    }

    /// The weights of a window around `center`, which add up to 1.
    fn window(&mut self, center: f32, n: usize, radius: f32, kernel: impl Fn(f32) -> f32) -> usize {
        let first = (center - radius - 0.5).ceil() as i64;
        let last = (center + radius - 0.5).floor() as i64;
        let mut all = [0.0; 12];
        let count = ((last - first + 1).max(0) as usize).min(all.len());
        for (j, w) in all[..count].iter_mut().enumerate() {
            *w = kernel(((first + j as i64) as f32 + 0.5 - center).abs());
        }
        self.normalized(first, &all[..count], n)
    }

    fn normalized(&mut self, first: i64, all: &[f32], n: usize) -> usize {
        let skip = (-first).clamp(0, all.len() as i64 - 1) as usize;
        let start = (first + skip as i64).clamp(0, n as i64 - 1) as usize;
        let kept = &all[skip..all.len().min(skip + n - start)];
        let sum: f32 = kept.iter().sum();
        let factor = if sum.abs() > 1e-30 { 1.0 / sum } else { 1.0 };
        self.weights.extend(kept.iter().map(|w| w * factor));
        start
    }
}

fn lanczos(x: f32, radius: f32) -> f32 {
    let x = std::f32::consts::PI * x;
    if x <= 1e-3 {
        return 1.0;
    }
    if x > std::f32::consts::PI * radius {
        return 0.0;
    }
    radius * x.sin() * (x / radius).sin() / (x * x)
}

fn gaussian(x: f32) -> f32 {
    if x >= 1.5 {
        0.0
    } else {
        (-x * x / (2.0 * 0.5 * 0.5)).exp()
    }
}

fn mitchell(x: f32) -> f32 {
    match x {
        x if x >= 2.0 => 0.0,
        x if x >= 1.0 => (((-7.0 / 18.0) * x + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0,
        x => ((7.0 / 6.0) * x - 2.0) * x * x + 8.0 / 9.0,
    }
}

/// The part `[top, left, height, width]` of a picture, in the size of `rows` and `columns`, written to `out`. `half` is memory
/// for the picture that is resized along one axis.
pub(super) fn resize(
    picture: &Picture,
    [top, left]: [usize; 2],
    rows: &Taps,
    columns: &Taps,
    half: &mut Vec<f32>,
    mut out: impl FnMut(usize, f32),
) {
    let c = picture.channels;
    let height = rows.key.map_or(0, |k| k.1);
    let width = columns.rows.len();
    half.clear();
    for y in 0..height {
        let line = &picture.values[((top + y) * picture.width + left) * c..];
        for &(first, begin, end) in &columns.rows {
            for channel in 0..c {
                let taps = columns.weights[begin..end].iter().enumerate();
                half.push(taps.map(|(j, w)| w * line[(first + j) * c + channel]).sum());
            }
        }
    }
    for (y, &(first, begin, end)) in rows.rows.iter().enumerate() {
        for x in 0..width * c {
            let taps = rows.weights[begin..end].iter().enumerate();
            out(
                y * width * c + x,
                taps.map(|(j, w)| w * half[(first + j) * width * c + x])
                    .sum(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The picture `(7 i + 3 i^2) % 50` of 4 x 3 in 3 x 5, as TensorFlow resizes it: first and middle line.
    #[test]
    fn numbers_are_tensorflow_s() {
        let picture = Picture {
            values: (0..12).map(|i| ((7 * i + 3 * i * i) % 50) as f32).collect(),
            height: 4,
            width: 3,
            channels: 1,
        };
        for (kind, want) in EXPECTED {
            let (mut rows, mut columns) = (Taps::default(), Taps::default());
            rows.prepare(kind, 4, 3);
            columns.prepare(kind, 3, 5);
            let (mut got, mut half) = ([0.0f32; 15], vec![]);
            resize(&picture, [0, 0], &rows, &columns, &mut half, |i, v| {
                got[i] = v
            });
            for (g, w) in got.iter().zip(&want) {
                assert!(
                    (g - w).abs() < 2e-4 * w.abs().max(1.0),
                    "{kind:?}: {got:?} {want:?}"
                );
            }
        }
    }

    #[test]
    fn any_sizes() {
        use Interpolation::*;
        for kind in [
            Bilinear,
            Nearest,
            Bicubic,
            Area,
            Lanczos3,
            Lanczos5,
            Gaussian,
            MitchellCubic,
        ] {
            for (n, m) in [(1, 1), (1, 9), (9, 1), (2, 100), (100, 3), (7, 7), (5, 6)] {
                let mut taps = Taps::default();
                taps.prepare(kind, n, m);
                for &(first, begin, end) in &taps.rows {
                    let sum: f32 = taps.weights[begin..end].iter().sum();
                    assert!(
                        first + (end - begin) <= n && (sum - 1.0).abs() < 1e-4,
                        "{kind:?} {n} {m} {sum}"
                    );
                }
            }
        }
    }
    const EXPECTED: [(Interpolation, [f32; 15]); 8] = [
        (
            Interpolation::Bilinear,
            [
                8.0000, 9.8667, 12.6667, 19.0667, 23.3333, 24.0000, 28.8000, 36.0000, 31.8000,
                29.0000, 5.0000, 12.7333, 24.3333, 34.5333, 41.3333,
            ],
        ),
        (
            Interpolation::Nearest,
            [
                0.0000, 0.0000, 10.0000, 26.0000, 26.0000, 0.0000, 0.0000, 46.0000, 48.0000,
                48.0000, 6.0000, 6.0000, 20.0000, 40.0000, 40.0000,
            ],
        ),
        (
            Interpolation::Bicubic,
            [
                5.5787, 7.4250, 11.6054, 19.7412, 24.6757, 25.7187, 31.2933, 38.6250, 32.5939,
                27.7353, 3.3993, 10.4360, 23.1851, 35.7822, 42.7000,
            ],
        ),
        (
            Interpolation::Area,
            [
                12.0000, 12.6667, 14.0000, 19.3333, 22.0000, 24.0000, 28.0000, 36.0000, 31.3333,
                29.0000, 4.5000, 11.8333, 26.5000, 36.8333, 42.0000,
            ],
        ),
        (
            Interpolation::Lanczos3,
            [
                7.4678, 7.4800, 11.0993, 19.2517, 23.8228, 28.2403, 35.3945, 42.0000, 33.7359,
                25.9360, 1.8011, 8.1824, 23.7747, 38.3589, 43.7265,
            ],
        ),
        (
            Interpolation::Lanczos5,
            [
                8.7311, 7.2134, 10.6817, 19.1286, 23.2867, 30.2479, 38.8469, 44.6147, 34.4402,
                24.8647, 1.5148, 6.0052, 23.6627, 40.0624, 43.1189,
            ],
        ),
        (
            Interpolation::Gaussian,
            [
                10.2038, 11.3474, 13.9768, 18.9202, 22.1277, 24.6879, 28.8157, 33.9764, 31.8092,
                29.4013, 5.9336, 13.0457, 24.9519, 35.1495, 40.7376,
            ],
        ),
        (
            Interpolation::MitchellCubic,
            [
                8.2800, 9.6418, 12.8717, 19.1761, 23.2387, 25.2461, 30.2439, 36.3063, 32.3610,
                28.5677, 4.2936, 11.6881, 24.3303, 35.6687, 41.9177,
            ],
        ),
    ];
}
