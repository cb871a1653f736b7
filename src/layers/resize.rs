//! Images of another size by interpolation, with the weights of TensorFlow's `image.resize` (which Keras calls): centers of
//! pixels are at half integers.
//!
//! Each axis is a sparse matrix: output `j` is a weighted sum of a few neighbouring inputs. `Y = V X H^T`, `dX = V^T dY H`.
//! With antialiasing, kernels are as many times wider as there are inputs for an output.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise::axpy;

/// How pixels between pixels are found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Interpolation {
    /// Pixels are repeated.
    #[default]
    Nearest,
    /// On the line between two neighbours.
    Bilinear,
    /// Keys's cubic through four neighbours (`a = -0.5`).
    Bicubic,
    /// Windowed sinc, three pixels to each side.
    Lanczos3,
    /// Windowed sinc, five pixels to each side.
    Lanczos5,
    /// The mean over the area of the pixel.
    Area,
    /// A bell of radius 1.5. Only for pictures that are read.
    Gaussian,
    /// The cubic of Mitchell and Netravali. Only for pictures that are read.
    MitchellCubic,
    /// A name that is not known.
    #[doc(hidden)]
    Invalid(String),
}

/// By Keras's names; those that layers know come first.
static NAMED: [(&str, Interpolation); 8] = [
    ("nearest", Interpolation::Nearest),
    ("bilinear", Interpolation::Bilinear),
    ("bicubic", Interpolation::Bicubic),
    ("lanczos3", Interpolation::Lanczos3),
    ("lanczos5", Interpolation::Lanczos5),
    ("area", Interpolation::Area),
    ("gaussian", Interpolation::Gaussian),
    ("mitchellcubic", Interpolation::MitchellCubic),
];

impl From<&str> for Interpolation {
    fn from(name: &str) -> Self {
        let lower = name.to_lowercase();
        let known = NAMED.iter().find(|(known, _)| *known == lower);
        known.map_or_else(
            || Interpolation::Invalid(name.to_string()),
            |(_, interpolation)| interpolation.clone(),
        )
    }
}

impl From<String> for Interpolation {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

impl From<Interpolation> for String {
    fn from(interpolation: Interpolation) -> Self {
        interpolation.name().to_string()
    }
}

impl Interpolation {
    fn name(&self) -> &str {
        match self {
            Interpolation::Invalid(name) => name,
            known => NAMED
                .iter()
                .find(|(_, named)| named == known)
                .map_or("", |(name, _)| name),
        }
    }

    /// An error unless it is one of the first `known` of [`NAMED`].
    pub(crate) fn check(&self, known: usize) -> Result<()> {
        let names = NAMED[..known].iter().map(|(name, _)| *name);
        match names.clone().any(|name| name == self.name()) {
            true => Ok(()),
            false => {
                let names: Vec<&str> = names.collect();
                Err(Error::unknown("interpolation", self.name(), &names))
            }
        }
    }
}

/// One axis: `n` inputs, `out` outputs.
#[derive(Clone, Copy, Debug)]
struct Axis<'a> {
    interpolation: &'a Interpolation,
    antialias: bool,
    n: usize,
    out: usize,
}

impl Axis<'_> {
    /// Inputs for an output.
    fn scale(&self) -> f32 {
        self.n as f32 / self.out as f32
    }

    /// Where output `j` lies among the inputs.
    fn center(&self, j: usize) -> f32 {
        (j as f32 + 0.5) * self.scale() - 0.5
    }

    /// Radius of the kernel, how many times wider it is, and its value at a distance; nothing where TensorFlow has a rule of
    /// its own.
    fn kernel(&self) -> Option<(f32, f32, fn(f32) -> Float)> {
        let (radius, value): (f32, fn(f32) -> Float) = match self.interpolation {
            Interpolation::Lanczos3 => (3.0, |x| lanczos(x, 3.0)),
            Interpolation::Lanczos5 => (5.0, |x| lanczos(x, 5.0)),
            Interpolation::Gaussian => (1.5, |x| gaussian(x as Float)),
            Interpolation::MitchellCubic => (2.0, |x| mitchell(x as Float)),
            Interpolation::Bilinear if self.antialias => (1.0, |x| (1.0 - x).max(0.0) as Float),
            Interpolation::Bicubic if self.antialias => (2.0, |x| cubic(x as Float)),
            _ => return None,
        };
        let wider = if self.antialias {
            self.inverse().max(1.0)
        } else {
            1.0
        };
        Some((radius, wider, value))
    }

    /// The scale as TensorFlow's kernels round it.
    fn inverse(&self) -> f32 {
        1.0 / (self.out as f32 / self.n as f32)
    }

    /// Inputs in the sum for an output, at most.
    fn taps(&self) -> usize {
        if let Some((radius, wider, _)) = self.kernel() {
            return (2 * (radius * wider).ceil() as usize + 1).min(self.n);
        }
        match self.interpolation {
            Interpolation::Bilinear => 2,
            Interpolation::Bicubic => 4,
            Interpolation::Area => (self.scale().ceil() as usize + 2).min(self.n),
            _ => 1,
        }
    }

    /// First input in the sum for output `j`. There are [`taps`](Self::taps) places from there on; those beyond the axis have
    /// weight 0.
    fn start(&self, j: usize) -> usize {
        let first = match (self.kernel(), self.interpolation) {
            (Some((radius, wider, _)), _) => {
                let sample = (j as f32 + 0.5) * self.inverse();
                (sample - radius * wider - 0.5).ceil()
            }
            (_, Interpolation::Bilinear) => self.center(j).floor(),
            (_, Interpolation::Bicubic) => self.center(j).floor() - 1.0,
            (_, Interpolation::Area) => (j as f32 * self.scale()).floor(),
            _ => ((j as f32 + 0.5) * self.scale()).floor(),
        };
        (first.max(0.0) as usize).min(self.n - 1)
    }

    /// Weights of the sum for output `j`, one for each tap.
    fn weights(&self, j: usize, w: &mut [Float]) {
        let (start, center) = (self.start(j), self.center(j));
        let inside = w.len().min(self.n - start);
        w.fill(0.0);
        if let Some((_, wider, value)) = self.kernel() {
            let sample = (j as f32 + 0.5) * self.inverse();
            for (k, w) in w[..inside].iter_mut().enumerate() {
                let distance = (start + k) as f32 + 0.5 - sample;
                *w = value(distance.abs() * (1.0 / wider));
            }
            return normalize(w);
        }
        match self.interpolation {
            Interpolation::Bilinear => {
                // Beyond the border stands the pixel at the border.
                let lerp = (center - center.floor()) as Float;
                let upper = (center.ceil().max(0.0) as usize).min(self.n - 1);
                w[0] += 1.0 - lerp;
                w[upper - start] += lerp;
            }
            Interpolation::Bicubic => {
                // Beyond the border stands nothing: what is there shares the weight.
                for (k, w) in w[..inside].iter_mut().enumerate() {
                    let distance = ((start + k) as f32 - center).abs();
                    // Rounded as in TensorFlow's table.
                    *w = cubic(((distance * 1024.0).round_ties_even() / 1024.0) as Float);
                }
                normalize(w);
            }
            Interpolation::Area => {
                let (from, to) = (j as f32 * self.scale(), (j + 1) as f32 * self.scale());
                for (k, w) in w[..inside].iter_mut().enumerate() {
                    let at = (start + k) as f32;
                    *w = ((to.min(at + 1.0) - from.max(at)).max(0.0) / self.scale()) as Float;
                }
            }
            _ => w[0] = 1.0,
        }
    }
}

/// Makes the sum 1, unless it is next to nothing.
fn normalize(w: &mut [Float]) {
    let total: Float = w.iter().sum();
    if total.abs() >= 1000.0 * Float::MIN_POSITIVE {
        w.iter_mut().for_each(|w| *w /= total);
    }
}

/// Keys's cubic at a distance.
fn cubic(x: Float) -> Float {
    match x {
        x if x <= 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x <= 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

fn gaussian(x: Float) -> Float {
    // (TensorFlow's standard deviation is a third of the radius.)
    if x < 1.5 { (-2.0 * x * x).exp() } else { 0.0 }
}

fn mitchell(x: Float) -> Float {
    match x {
        x if x < 1.0 => ((7.0 / 6.0) * x - 2.0) * x * x + 8.0 / 9.0,
        x if x < 2.0 => (((-7.0 / 18.0) * x + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0,
        _ => 0.0,
    }
}

fn lanczos(distance: f32, radius: f64) -> Float {
    let x = f64::from(distance);
    if x > radius {
        0.0
    } else if x <= 1e-3 {
        1.0
    } else {
        (radius * (PI * x).sin() * (PI * x / radius).sin() / (PI * PI * x * x)) as Float
    }
}

/// An image of `from` rows and columns of pixels of `channels` numbers that becomes one of `to` rows and columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resize<'a> {
    pub(crate) interpolation: &'a Interpolation,
    pub(crate) antialias: bool,
    pub(crate) from: [usize; 2],
    pub(crate) to: [usize; 2],
    pub(crate) channels: usize,
}

impl Resize<'_> {
    fn axis(&self, at: usize) -> Axis<'_> {
        Axis {
            interpolation: self.interpolation,
            antialias: self.antialias,
            n: self.from[at],
            out: self.to[at],
        }
    }

    /// Numbers of the image before and after.
    pub(crate) fn lens(&self) -> (usize, usize) {
        let len = |size: [usize; 2]| size[0] * size[1] * self.channels;
        (len(self.from), len(self.to))
    }

    /// Numbers of one of its rows before.
    pub(crate) fn row_len(&self) -> usize {
        self.from[1] * self.channels
    }

    /// Numbers that the weights of both axes take.
    pub(crate) fn weights_len(&self) -> usize {
        self.to[0] * self.axis(0).taps() + self.to[1] * self.axis(1).taps()
    }

    /// Writes the weights of the rows, then those of the columns.
    pub(crate) fn weights(&self, out: &mut [Float]) {
        let [rows, cols] = [self.axis(0), self.axis(1)];
        let (vertical, horizontal) = out.split_at_mut(rows.out * rows.taps());
        for (axis, out) in [(rows, vertical), (cols, horizontal)] {
            for (j, w) in out.chunks_exact_mut(axis.taps()).enumerate() {
                axis.weights(j, w);
            }
        }
    }

    /// `y` of one image; `row` is room for one of its rows.
    pub(crate) fn forward(
        &self,
        weights: &[Float],
        x: &[Float],
        row: &mut [Float],
        y: &mut [Float],
    ) {
        let (c, len, [rows, cols]) = (self.channels, self.row_len(), [self.axis(0), self.axis(1)]);
        let [down, across] = [rows.taps(), cols.taps()];
        let (vertical, horizontal) = weights.split_at(rows.out * down);
        for (j, y) in y.chunks_exact_mut(cols.out * c).enumerate() {
            row.fill(0.0);
            let taps = x[rows.start(j) * len..].chunks_exact(len);
            for (x, w) in taps.zip(&vertical[j * down..][..down]) {
                axpy(*w, x, row);
            }
            for (j, y) in y.chunks_exact_mut(c).enumerate() {
                y.fill(0.0);
                let taps = row[cols.start(j) * c..].chunks_exact(c);
                for (x, w) in taps.zip(&horizontal[j * across..][..across]) {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += w * x);
                }
            }
        }
    }

    /// `dx` of one image; `row` is room for one of its rows.
    pub(crate) fn backward(
        &self,
        weights: &[Float],
        dy: &[Float],
        row: &mut [Float],
        dx: &mut [Float],
    ) {
        let (c, len, [rows, cols]) = (self.channels, self.row_len(), [self.axis(0), self.axis(1)]);
        let [down, across] = [rows.taps(), cols.taps()];
        let (vertical, horizontal) = weights.split_at(rows.out * down);
        dx.fill(0.0);
        for (j, dy) in dy.chunks_exact(cols.out * c).enumerate() {
            row.fill(0.0);
            for (j, dy) in dy.chunks_exact(c).enumerate() {
                let taps = row[cols.start(j) * c..].chunks_exact_mut(c);
                for (row, w) in taps.zip(&horizontal[j * across..][..across]) {
                    row.iter_mut().zip(dy).for_each(|(row, dy)| *row += w * dy);
                }
            }
            let taps = dx[rows.start(j) * len..].chunks_exact_mut(len);
            for (dx, w) in taps.zip(&vertical[j * down..][..down]) {
                axpy(*w, row, dx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized(
        interpolation: &Interpolation,
        x: &[Float],
        from: [usize; 2],
        to: [usize; 2],
    ) -> Vec<Float> {
        let resize = Resize {
            interpolation,
            antialias: false,
            from,
            to,
            channels: 1,
        };
        let mut weights = vec![0.0; resize.weights_len()];
        resize.weights(&mut weights);
        let (mut row, mut y) = (vec![0.0; resize.row_len()], vec![0.0; resize.lens().1]);
        resize.forward(&weights, x, &mut row, &mut y);
        y
    }

    /// The picture `(7 i + 3 i^2) % 50` of 4 x 3 in 3 x 5, as TensorFlow resizes it.
    #[test]
    fn numbers_are_tensorflow_s() {
        let x: Vec<Float> = (0..12)
            .map(|i| ((7 * i + 3 * i * i) % 50) as Float)
            .collect();
        for (kind, want) in EXPECTED {
            let got = resized(&kind, &x, [4, 3], [3, 5]);
            for (g, w) in got.iter().zip(want) {
                assert!(
                    (g - w).abs() < 2e-4 * w.abs().max(1.0),
                    "{kind:?}: {got:?} {want:?}"
                );
            }
        }
    }

    #[test]
    fn any_sizes() {
        for (kind, _) in EXPECTED {
            for (n, m) in [(1, 1), (1, 9), (9, 1), (2, 100), (100, 3), (7, 7), (5, 6)] {
                // Weights add up to 1.
                let y = resized(&kind, &vec![1.0; n * 2], [n, 2], [m, 3]);
                assert!(
                    y.iter().all(|y| (y - 1.0).abs() < 1e-4),
                    "{kind:?} {n} {m}: {y:?}"
                );
            }
        }
    }

    const EXPECTED: [(Interpolation, [Float; 15]); 8] = [
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
