//! What spectrograms are made of: frames of a signal and their spectra, windows, the bands of the mel scale.

use std::f64::consts::PI;

use crate::float::Float;
use crate::initializer::Window;
use crate::kernels::fft::Fft;

/// How frames lie over a signal whose ends are reflected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames {
    /// Samples of the signal.
    pub time: usize,
    /// Samples reflected at each end.
    pub pad: usize,
    /// Samples of a frame.
    pub length: usize,
    /// Samples from one frame to the next.
    pub stride: usize,
    /// Number of frames.
    pub count: usize,
}

impl Frames {
    /// Numbers of scratch memory: the reflected signal, one complex frame, and what its transform needs.
    pub fn work(&self, fft: &Fft) -> usize {
        self.time + 2 * self.pad + 2 * self.length + fft.room()
    }

    fn cut<'a>(&self, work: &'a mut [Float]) -> [&'a mut [Float]; 4] {
        let (signal, rest) = work.split_at_mut(self.time + 2 * self.pad);
        let (a, rest) = rest.split_at_mut(self.length);
        let (b, room) = rest.split_at_mut(self.length);
        [signal, a, b, room]
    }

    /// Where sample `i` of the reflected signal comes from.
    fn source(&self, i: usize) -> usize {
        let last = self.time - 1;
        match i.checked_sub(self.pad) {
            None => self.pad - i,
            Some(t) if t > last => 2 * last - t,
            Some(t) => t,
        }
    }

    /// The spectra of all frames, `length / 2 + 1` bins each. Two frames go through one transform, as real and imaginary part.
    pub fn spectrum(
        &self,
        fft: &Fft,
        window: &[Float],
        x: &[Float],
        re: &mut [Float],
        im: &mut [Float],
        work: &mut [Float],
    ) {
        let (n, bins) = (self.length, self.length / 2 + 1);
        let [signal, a, b, room] = self.cut(work);
        for (i, s) in signal.iter_mut().enumerate() {
            *s = x[self.source(i)];
        }
        let under_window = |frame: usize, signal: &[Float], out: &mut [Float]| {
            let signal = &signal[frame * self.stride..][..n];
            let pairs = out.iter_mut().zip(signal.iter().zip(window));
            pairs.for_each(|(out, (s, w))| *out = s * w);
        };
        for first in (0..self.count).step_by(2) {
            let two = first + 1 < self.count;
            under_window(first, signal, a);
            match two {
                true => under_window(first + 1, signal, b),
                false => b.fill(0.0),
            }
            fft.run(a, b, room);
            for k in 0..bins {
                // Of the sum A + i B: A is what is Hermitian, B what is not.
                let other = (n - k) % n;
                let at = first * bins + k;
                (re[at], im[at]) = (0.5 * (a[k] + a[other]), 0.5 * (b[k] - b[other]));
                if two {
                    let at = at + bins;
                    (re[at], im[at]) = (0.5 * (b[k] + b[other]), 0.5 * (a[other] - a[k]));
                }
            }
        }
    }

    /// The gradient of the signal from those of the spectra.
    pub fn spectrum_backward(
        &self,
        fft: &Fft,
        window: &[Float],
        dre: &[Float],
        dim: &[Float],
        dx: &mut [Float],
        work: &mut [Float],
    ) {
        let (n, bins) = (self.length, self.length / 2 + 1);
        let [dsignal, a, b, room] = self.cut(work);
        dsignal.fill(0.0);
        for frame in 0..self.count {
            a[bins..].fill(0.0);
            b[bins..].fill(0.0);
            a[..bins].copy_from_slice(&dre[frame * bins..][..bins]);
            let conjugate = b.iter_mut().zip(&dim[frame * bins..][..bins]);
            conjugate.for_each(|(b, d)| *b = -d);
            fft.run(a, b, room);
            let part = &mut dsignal[frame * self.stride..][..n];
            let pairs = part.iter_mut().zip(a.iter().zip(window));
            pairs.for_each(|(d, (a, w))| *d += a * w);
        }
        dx.fill(0.0);
        for (i, d) in dsignal.iter().enumerate() {
            dx[self.source(i)] += d;
        }
    }
}

/// How the frames of an [`STFTSpectrogram`](super::STFTSpectrogram) lie over one of several channels.
pub(super) struct Sizes {
    /// Samples of a channel.
    pub time: usize,
    /// Number of channels.
    pub channels: usize,
    /// Number of frames.
    pub frames: usize,
    /// Bins of a spectrum.
    pub bins: usize,
    /// Samples from one frame to the next.
    pub step: usize,
    /// Samples of a frame.
    pub length: usize,
    /// Samples from the first to the last that a frame covers.
    pub reach: usize,
    /// Zeros before the first sample.
    pub before: usize,
}

impl Sizes {
    /// Where sample `t` of a channel is in the input of a sample.
    pub fn at(&self, first: bool, channel: usize, t: usize) -> usize {
        match first {
            true => channel * self.time + t,
            false => t * self.channels + channel,
        }
    }

    /// One channel with its zeros around it.
    pub fn signal(&self, first: bool, channel: usize, x: &[Float], signal: &mut [Float]) {
        for (i, s) in signal.iter_mut().enumerate() {
            let t = i.checked_sub(self.before).filter(|t| *t < self.time);
            *s = t.map_or(0.0, |t| x[self.at(first, channel, t)]);
        }
    }

    /// Elements of one part of the spectrum of a channel.
    pub fn part(&self) -> usize {
        self.frames * self.bins
    }
}

/// A window of `length` values in the middle of `size`. TensorFlow's are periodic where the length is even.
pub(super) fn window(window: &Window, length: usize, size: usize) -> Vec<Float> {
    let before = (size - length) / 2;
    let mut all = vec![0.0; size];
    let period = (length - length % 2) as f64;
    for (i, w) in all[before..][..length].iter_mut().enumerate() {
        let cosine = |a: f64, b: f64| match length {
            1 => 1.0,
            _ => a - b * (2.0 * PI * i as f64 / period).cos(),
        };
        *w = match window {
            Window::None => 1.0,
            Window::Values(values) => values[i],
            Window::Name(name) if name == "hamming" => cosine(0.54, 0.46),
            Window::Name(_) => cosine(0.5, 0.5),
        } as Float;
    }
    all
}

/// Triangles of height 1 that lie evenly on the mel scale, one below the other: (bins, bands). Bin 0 belongs to none.
pub(super) fn mel_matrix(bins: usize, bands: usize, rate: f64, band: [f64; 2]) -> Vec<Float> {
    let mel = |hertz: f64| 1127.0 * (1.0 + hertz / 700.0).ln();
    let [low, high] = band.map(mel);
    let edge = |i: usize| low + (high - low) * i as f64 / (bands + 1) as f64;
    let mut matrix = vec![0.0; bins * bands];
    for (k, row) in matrix.chunks_exact_mut(bands).enumerate().skip(1) {
        let here = mel(rate / 2.0 * k as f64 / (bins - 1) as f64);
        for (m, w) in row.iter_mut().enumerate() {
            let [lower, center, upper] = [edge(m), edge(m + 1), edge(m + 2)];
            let (up, down) = (
                (here - lower) / (center - lower),
                (upper - here) / (upper - center),
            );
            *w = up.min(down).max(0.0) as Float;
        }
    }
    matrix
}
