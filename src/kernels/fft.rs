//! The discrete Fourier transform `Z[k] = sum_t z[t] exp(-2 pi i t k / n)`, for any `n`.
//!
//! A power of two is halved again and again (Cooley and Tukey, decimation in time, in place). Any other `n` is a convolution with a
//! chirp (Bluestein): `t k = (t^2 + k^2 - (k - t)^2) / 2`, done by transforms of a power of two of at least `2 n - 1`.

use std::f64::consts::PI;

use crate::float::Float;

/// A transform of one size: tables, computed once.
#[derive(Clone, Debug)]
pub struct Fft {
    n: usize,
    /// The power of two that is really transformed.
    size: usize,
    /// `exp(-2 pi i j / size)` for the first half of all `j`: cosines and sines.
    cos: Vec<Float>,
    sin: Vec<Float>,
    chirp: Option<Chirp>,
}

/// `exp(-pi i t^2 / n)`, and the transform of its inverse, wrapped around.
#[derive(Clone, Debug)]
struct Chirp {
    cos: Vec<Float>,
    sin: Vec<Float>,
    re: Vec<Float>,
    im: Vec<Float>,
}

impl Fft {
    /// Of `n` values, at least one.
    pub fn new(n: usize) -> Self {
        let size = match n.is_power_of_two() {
            true => n,
            false => (2 * n - 1).next_power_of_two(),
        };
        let wave = |turns: f64| {
            let (sin, cos) = (-2.0 * PI * turns).sin_cos();
            (cos as Float, sin as Float)
        };
        let turns = (0..size / 2).map(|j| wave(j as f64 / size as f64));
        let (cos, sin) = turns.unzip();
        let mut fft = Fft {
            n,
            size,
            cos,
            sin,
            chirp: None,
        };
        if size != n {
            // t^2 modulo 2 n keeps the angles small.
            let square = |t: usize| (t as u128 * t as u128 % (2 * n as u128)) as f64;
            let waves = (0..n).map(|t| wave(square(t) / (2 * n) as f64));
            let (cos, sin): (Vec<Float>, Vec<Float>) = waves.unzip();
            let (mut re, mut im) = (vec![0.0; size], vec![0.0; size]);
            for t in 0..n {
                for at in [t, (size - t) % size] {
                    (re[at], im[at]) = (cos[t], -sin[t]);
                }
            }
            fft.halve(&mut re, &mut im);
            fft.chirp = Some(Chirp { cos, sin, re, im });
        }
        fft
    }

    /// Numbers of scratch memory that [`run`](Self::run) needs.
    pub fn room(&self) -> usize {
        if self.chirp.is_some() {
            2 * self.size
        } else {
            0
        }
    }

    /// Transforms `n` complex values in place.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn run(&self, re: &mut [Float], im: &mut [Float], room: &mut [Float]) {
        let (re, im) = (&mut re[..self.n], &mut im[..self.n]);
        let Some(chirp) = &self.chirp else {
            return self.halve(re, im);
        };
        let (a, b) = room[..2 * self.size].split_at_mut(self.size);
        a[self.n..].fill(0.0);
        b[self.n..].fill(0.0);
        for t in 0..self.n {
            let (c, s) = (chirp.cos[t], chirp.sin[t]);
            (a[t], b[t]) = (re[t] * c - im[t] * s, re[t] * s + im[t] * c);
        }
        self.halve(a, b);
        // The product, conjugated: the inverse transform is a transform between two conjugations.
        for k in 0..self.size {
            let (c, s) = (chirp.re[k], chirp.im[k]);
            (a[k], b[k]) = (a[k] * c - b[k] * s, -(a[k] * s + b[k] * c));
        }
        self.halve(a, b);
        let scale = (self.size as Float).recip();
        for k in 0..self.n {
            let (x, y) = (a[k] * scale, -b[k] * scale);
            let (c, s) = (chirp.cos[k], chirp.sin[k]);
            (re[k], im[k]) = (x * c - y * s, x * s + y * c);
        }
    }

    /// The transform of a power of two.
    fn halve(&self, re: &mut [Float], im: &mut [Float]) {
        let n = re.len();
        if n < 2 {
            return;
        }
        let shift = usize::BITS - n.trailing_zeros();
        for i in 0..n {
            let j = i.reverse_bits() >> shift;
            if i < j {
                re.swap(i, j);
                im.swap(i, j);
            }
        }
        let mut half = 1;
        while half < n {
            let stride = n / (2 * half);
            for (re, im) in re
                .chunks_exact_mut(2 * half)
                .zip(im.chunks_exact_mut(2 * half))
            {
                let ((re0, re1), (im0, im1)) = (re.split_at_mut(half), im.split_at_mut(half));
                for j in 0..half {
                    let (c, s) = (self.cos[j * stride], self.sin[j * stride]);
                    let (x, y) = (re1[j] * c - im1[j] * s, re1[j] * s + im1[j] * c);
                    (re1[j], im1[j]) = (re0[j] - x, im0[j] - y);
                    (re0[j], im0[j]) = (re0[j] + x, im0[j] + y);
                }
            }
            half *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_definition_has_it() {
        for n in [1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 31, 64, 100, 243, 256] {
            let value = |t: usize, by: usize| ((t * t * by + 3 * t) % 17) as f64 / 8.0 - 1.0;
            let fill = |by| (0..n).map(|t| value(t, by) as Float).collect::<Vec<_>>();
            let (mut re, mut im) = (fill(5), fill(11));
            let fft = Fft::new(n);
            let mut room = vec![Float::NAN; fft.room()];
            fft.run(&mut re, &mut im, &mut room);
            for k in 0..n {
                let (mut x, mut y) = (0.0, 0.0);
                for t in 0..n {
                    let (s, c) = (-2.0 * PI * (t * k % n) as f64 / n as f64).sin_cos();
                    let (a, b) = (value(t, 5), value(t, 11));
                    x += a * c - b * s;
                    y += a * s + b * c;
                }
                let off = (f64::from(re[k]) - x).hypot(f64::from(im[k]) - y);
                assert!(off < 2e-6 * n as f64, "{n} {k}: {off}");
            }
        }
    }
}
