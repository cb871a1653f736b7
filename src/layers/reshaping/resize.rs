//! Enlarging images by interpolation, with the weights of TensorFlow's `image.resize` (which Keras calls): centers of pixels are
//! at half integers, there is no antialiasing.
//!
//! Each axis is a sparse matrix: output `j` is a weighted sum of a few neighbouring inputs. `Y = V X H^T`, `dX = V^T dY H`.

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
    /// A name that is not known.
    #[doc(hidden)]
    Invalid(String),
}

const NAMES: [&str; 5] = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"];

impl From<&str> for Interpolation {
    fn from(name: &str) -> Self {
        match name.to_lowercase().as_str() {
            "nearest" => Interpolation::Nearest,
            "bilinear" => Interpolation::Bilinear,
            "bicubic" => Interpolation::Bicubic,
            "lanczos3" => Interpolation::Lanczos3,
            "lanczos5" => Interpolation::Lanczos5,
            _ => Interpolation::Invalid(name.to_string()),
        }
    }
}

impl From<String> for Interpolation {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

impl From<Interpolation> for String {
    fn from(interpolation: Interpolation) -> Self {
        match interpolation {
            Interpolation::Nearest => NAMES[0],
            Interpolation::Bilinear => NAMES[1],
            Interpolation::Bicubic => NAMES[2],
            Interpolation::Lanczos3 => NAMES[3],
            Interpolation::Lanczos5 => NAMES[4],
            Interpolation::Invalid(name) => return name,
        }
        .to_string()
    }
}

impl Interpolation {
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Interpolation::Invalid(name) => Err(Error::unknown("interpolation", name, NAMES)),
            _ => Ok(()),
        }
    }

    /// Inputs in the sum for an output, at most.
    pub(super) fn taps(&self) -> usize {
        match self {
            Interpolation::Nearest | Interpolation::Invalid(_) => 1,
            Interpolation::Bilinear => 2,
            Interpolation::Bicubic => 4,
            Interpolation::Lanczos3 => 7,
            Interpolation::Lanczos5 => 11,
        }
    }

    /// First input in the sum for output `j` of an axis of `n` that is enlarged `factor` times. There are [`taps`](Self::taps)
    /// places from there on; those beyond the axis have weight 0.
    fn start(&self, j: usize, factor: usize) -> usize {
        let center = center(j, factor);
        let first = match self {
            Interpolation::Lanczos3 => (center - 3.0).ceil(),
            Interpolation::Lanczos5 => (center - 5.0).ceil(),
            Interpolation::Bicubic => center.floor() - 1.0,
            _ => center.floor(),
        };
        first.max(0.0) as usize
    }

    /// Weights of the sum for output `j`, one for each tap.
    fn weights(&self, j: usize, n: usize, factor: usize, w: &mut [Float]) {
        let (center, start) = (center(j, factor), self.start(j, factor));
        let last = n - 1;
        w.fill(0.0);
        if *self == Interpolation::Bilinear {
            // Beyond the border stands the pixel at the border.
            let lerp = center - center.floor();
            let upper = (center.ceil().max(0.0) as usize).min(last);
            w[0] += 1.0 - lerp as Float;
            w[upper - start] += lerp as Float;
            return;
        }
        let weight = |i: usize| match self {
            Interpolation::Bicubic => cubic(i as f32 - center),
            Interpolation::Lanczos3 => lanczos(i as f32 - center, 3.0),
            Interpolation::Lanczos5 => lanczos(i as f32 - center, 5.0),
            _ => 1.0,
        };
        // Beyond the border stands nothing: what is there shares the weight.
        let inside = w.len().min(n - start);
        for (k, w) in w[..inside].iter_mut().enumerate() {
            *w = weight(start + k);
        }
        let total: Float = w.iter().sum();
        if total.abs() >= 1000.0 * Float::MIN_POSITIVE {
            w.iter_mut().for_each(|w| *w /= total);
        }
    }
}

/// Where output `j` lies among the inputs.
fn center(j: usize, factor: usize) -> f32 {
    (j as f32 + 0.5) * (1.0 / factor as f32) - 0.5
}

/// Keys's cubic at a distance, which is rounded to 1/1024 as in TensorFlow's table.
fn cubic(distance: f32) -> Float {
    let x = ((distance.abs() * 1024.0).round_ties_even() / 1024.0) as Float;
    match x {
        x if x <= 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x <= 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

fn lanczos(distance: f32, radius: f64) -> Float {
    let x = f64::from(distance.abs());
    if x > radius {
        0.0
    } else if x <= 1e-3 {
        1.0
    } else {
        (radius * (PI * x).sin() * (PI * x / radius).sin() / (PI * PI * x * x)) as Float
    }
}

/// An image to be enlarged: `height` rows of `width` pixels of `channels` numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resize<'a> {
    pub(super) interpolation: &'a Interpolation,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) factors: [usize; 2],
}

impl Resize<'_> {
    /// Numbers of an image, and of the enlarged one.
    pub(super) fn lens(&self) -> (usize, usize) {
        let len = self.height * self.width * self.channels;
        (len, len * self.factors[0] * self.factors[1])
    }

    /// Numbers that the weights of both axes take.
    pub(super) fn weights_len(&self) -> usize {
        let [fy, fx] = self.factors;
        (self.height * fy + self.width * fx) * self.interpolation.taps()
    }

    /// Writes the weights of the rows, then those of the columns.
    pub(super) fn weights(&self, out: &mut [Float]) {
        let (taps, [fy, fx]) = (self.interpolation.taps(), self.factors);
        for (j, w) in out.chunks_exact_mut(taps).enumerate() {
            match j.checked_sub(self.height * fy) {
                None => self.interpolation.weights(j, self.height, fy, w),
                Some(j) => self.interpolation.weights(j, self.width, fx, w),
            }
        }
    }

    /// `y` of one image; `row` is room for one of its rows.
    pub(super) fn forward(
        &self,
        weights: &[Float],
        x: &[Float],
        row: &mut [Float],
        y: &mut [Float],
    ) {
        let (c, [fy, fx]) = (self.channels, self.factors);
        let (len, taps) = (self.width * c, self.interpolation.taps());
        let (rows, cols) = weights.split_at(self.height * fy * taps);
        for (j, y) in y.chunks_exact_mut(len * fx).enumerate() {
            row.fill(0.0);
            let start = self.interpolation.start(j, fy);
            for (x, w) in x[start * len..]
                .chunks_exact(len)
                .zip(&rows[j * taps..][..taps])
            {
                axpy(*w, x, row);
            }
            for (j, y) in y.chunks_exact_mut(c).enumerate() {
                let start = self.interpolation.start(j, fx);
                y.fill(0.0);
                for (x, w) in row[start * c..]
                    .chunks_exact(c)
                    .zip(&cols[j * taps..][..taps])
                {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += w * x);
                }
            }
        }
    }

    /// `dx` of one image; `row` is room for one of its rows.
    pub(super) fn backward(
        &self,
        weights: &[Float],
        dy: &[Float],
        row: &mut [Float],
        dx: &mut [Float],
    ) {
        let (c, [fy, fx]) = (self.channels, self.factors);
        let (len, taps) = (self.width * c, self.interpolation.taps());
        let (rows, cols) = weights.split_at(self.height * fy * taps);
        dx.fill(0.0);
        for (j, dy) in dy.chunks_exact(len * fx).enumerate() {
            row.fill(0.0);
            for (j, dy) in dy.chunks_exact(c).enumerate() {
                let start = self.interpolation.start(j, fx);
                let taps = row[start * c..]
                    .chunks_exact_mut(c)
                    .zip(&cols[j * taps..][..taps]);
                for (row, w) in taps {
                    row.iter_mut().zip(dy).for_each(|(row, dy)| *row += w * dy);
                }
            }
            let start = self.interpolation.start(j, fy);
            let taps = dx[start * len..]
                .chunks_exact_mut(len)
                .zip(&rows[j * taps..][..taps]);
            for (dx, w) in taps {
                axpy(*w, row, dx);
            }
        }
    }
}
