//! The kernel of a short-time Fourier transform, and its windows as SciPy's `get_window` gives them.

use std::f64::consts::PI;

use super::Window;
use crate::{
    error::{Error, Result},
    float::Float,
};

pub(super) const WINDOWS: [&str; 12] = [
    "hann",
    "hamming",
    "blackman",
    "nuttall",
    "blackmanharris",
    "flattop",
    "bartlett",
    "triang",
    "cosine",
    "bohman",
    "barthann",
    "boxcar",
];

/// `kernel[t, 0, f] = window[t] / norm * cos or sin(-2 pi t f / fft_length)`, with `fft_length = 2 (last axis - 1)`.
pub(super) fn stft(
    side: &str,
    win: &Window,
    scaling: Option<&str>,
    periodic: bool,
    shape: &[usize],
    out: &mut [Float],
) -> Result<()> {
    let &[frame, channels, bins] = shape else {
        return Err(Error::shape(
            "a kernel (frame_length, 1, bins) for `STFT`",
            format!("{shape:?}"),
        ));
    };
    let win = match win {
        Window::None => None,
        Window::Name(name) => Some(window(name, frame, periodic)),
        Window::Values(values) if values.len() == frame => Some(values.clone()),
        Window::Values(values) => {
            return Err(Error::shape(
                format!("a window of {frame} values"),
                values.len(),
            ));
        }
    };
    let norm = match (&win, scaling) {
        (Some(win), Some("density")) => win.iter().map(|w| w * w).sum::<f64>().sqrt(),
        (Some(win), Some(_)) => win.iter().map(|w| w.abs()).sum(),
        _ => 1.0,
    };
    let fft_length = (2 * bins.saturating_sub(1)) as f64;
    for (i, w) in out.iter_mut().enumerate() {
        let (t, f) = (i / (channels * bins), i % bins);
        let angle = -2.0 * PI * t as f64 * f as f64 / fft_length;
        let wave = if side == "real" {
            angle.cos()
        } else {
            angle.sin()
        };
        *w = (wave * win.as_ref().map_or(1.0, |win| win[t]) / norm) as Float;
    }
    Ok(())
}

/// The window of that name with `length` values; a periodic one is the symmetric one of `length + 1` without its last value.
fn window(name: &str, length: usize, periodic: bool) -> Vec<f64> {
    if length <= 1 {
        return vec![1.0; length];
    }
    let m = length + usize::from(periodic);
    (0..length)
        .map(|n| value(name, n as f64, m as f64))
        .collect()
}

/// Value `n` of the symmetric window with `m` values.
fn value(name: &str, n: f64, m: f64) -> f64 {
    // From -1 at the first value to 1 at the last.
    let x = 2.0 * n / (m - 1.0) - 1.0;
    let cosines = |a: &[f64]| -> f64 {
        (0..)
            .zip(a)
            .map(|(k, a)| a * (PI * f64::from(k) * x).cos())
            .sum()
    };
    match name {
        "hann" => cosines(&[0.5, 0.5]),
        "hamming" => cosines(&[0.54, 0.46]),
        "blackman" => cosines(&[0.42, 0.5, 0.08]),
        "nuttall" => cosines(&[0.3635819, 0.4891775, 0.1365995, 0.0106411]),
        "blackmanharris" => cosines(&[0.35875, 0.48829, 0.14128, 0.01168]),
        "flattop" => cosines(&[
            0.21557895,
            0.41663158,
            0.277263158,
            0.083578947,
            0.006947368,
        ]),
        "bartlett" => 1.0 - x.abs(),
        "triang" => {
            let odd = m % 2.0;
            1.0 - (2.0 * n - (m - 1.0)).abs() / (m + odd)
        }
        "cosine" => (PI / m * (n + 0.5)).sin(),
        "bohman" if x.abs() >= 1.0 => 0.0,
        "bohman" => (1.0 - x.abs()) * (PI * x).cos() + (PI * x.abs()).sin() / PI,
        "barthann" => 0.62 - 0.24 * x.abs() + 0.38 * (PI * x).cos(),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{initializer::Initializer, random::Rng};

    /// `scipy.signal.get_window(name, 5, fftbins=False)` and the first half of `(name, 6, True)`.
    #[test]
    fn values_are_scipys() {
        let near = |got: &[f64], want: &[f64]| {
            assert!(
                got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6),
                "{got:?} {want:?}"
            );
        };
        near(&window("hann", 5, false), &[0.0, 0.5, 1.0, 0.5, 0.0]);
        near(
            &window("hann", 6, true),
            &[0.0, 0.25, 0.75, 1.0, 0.75, 0.25],
        );
        near(&window("hamming", 5, false), &[0.08, 0.54, 1.0, 0.54, 0.08]);
        near(&window("blackman", 5, false), &[0.0, 0.34, 1.0, 0.34, 0.0]);
        near(&window("bartlett", 5, false), &[0.0, 0.5, 1.0, 0.5, 0.0]);
        near(
            &window("triang", 5, false),
            &[1.0 / 3.0, 2.0 / 3.0, 1.0, 2.0 / 3.0, 1.0 / 3.0],
        );
        near(&window("triang", 4, false), &[0.25, 0.75, 0.75, 0.25]);
        near(&window("cosine", 3, false), &[0.5, 1.0, 0.5]);
        near(&window("boxcar", 3, false), &[1.0; 3]);
        for name in WINDOWS {
            let w = window(name, 9, false);
            assert!((w[4] - 1.0).abs() < 1e-6, "{name} {w:?}");
            assert!((0..9).all(|i| (w[i] - w[8 - i]).abs() < 1e-12));
            assert_eq!(window(name, 1, true), [1.0]);
        }
    }

    /// Values of Keras 3 for a kernel (8, 1, 5).
    #[test]
    fn the_transform_is_keras_s() {
        let side = |side: &str| Initializer::STFT {
            side: side.into(),
            window: Window::Name("hann".into()),
            scaling: Some("density".into()),
            periodic: false,
        };
        let filled = |law: Initializer| {
            let mut out = [0.0; 40];
            law.fill(&[8, 1, 5], &mut Rng::new(0), &mut out).unwrap();
            out.map(|w| w as f64)
        };
        let near = |got: &[f64], want: [f64; 5]| {
            assert!(
                got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6),
                "{got:?}"
            );
        };
        let real = filled(side("real"));
        near(
            &real[5..10],
            [
                0.116_193_57,
                0.082_161_26,
                0.0,
                -0.082_161_26,
                -0.116_193_57,
            ],
        );
        near(&real[35..], [0.0; 5]);
        let imag = filled(side("imag"));
        near(
            &imag[5..10],
            [0.0, -0.082_161_26, -0.116_193_57, -0.082_161_26, 0.0],
        );
    }
}
