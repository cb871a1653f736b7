//! Mel spectrogram: short-time Fourier transform, power, bands of the mel scale, decibels.
//!
//! Per sample: reflect `fft_length / 2` values at both ends; per frame `Z = F(window x)`, `p = |Z|^mag_exp`; `e = p W` with the
//! triangles `W` of the mel scale; in decibels `l = 10 log10 max(e, min_power) - ref`, `y = max(l, max l - top_db)`, the maximum over
//! the whole batch. Backwards: `dl` is `dy` where `l` is the larger, the rest of `dy` goes to the largest `l`;
//! `de = 10 dl / (e ln 10)`, `dp = de W^T`, `dZ = dp mag_exp |Z|^(mag_exp - 2) Z`, and `dx` is the real part of `F(conj dZ)`
//! under the window, added up where frames overlap and where the ends were reflected.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::audio::{Frames, mel_matrix, window};
use super::stft_spectrogram::hann;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Window;
use crate::kernels::fft::Fft;
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len};
use crate::layers::args::{checked, input_of_rank, yes};
use crate::shape::{Dims, Shape};

/// Turns sound into its mel spectrogram.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/audio_preprocessing/mel_spectrogram/)
///
/// Input `(batch, time)`, output `(batch, num_mel_bins, frames)`.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `fft_length` | 2048 | size of the transform |
/// | `sequence_stride` | 512 | samples from one frame to the next |
/// | `sequence_length` | `fft_length` | samples of a frame |
/// | `window` | `hann` | `hann`, `hamming`, the values of a window, or none |
/// | `sampling_rate` | 16000 | samples per second |
/// | `num_mel_bins` | 128 | number of bands |
/// | `min_freq`, `max_freq` | 20, `sampling_rate / 2` | where the bands begin and end, in hertz |
/// | `power_to_db` | true | whether the output is in decibels |
/// | `top_db` | 80 | how far below the loudest of the batch the output may be |
/// | `mag_exp` | 2 | exponent of the magnitudes |
/// | `min_power` | 1e-10 | smallest power |
/// | `ref_power` | 1 | the power of 0 decibels |
///
/// ```
/// use oxhorn::{layers::MelSpectrogram, prelude::*};
/// let layer = MelSpectrogram::new().num_mel_bins(64).sampling_rate(8000.0).sequence_stride(256);
/// let mut model = Sequential::new().input([16000]).add(layer);
/// model.build([16000])?;
/// assert_eq!(model.output_shapes(), [Shape::from([64, 63])]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MelSpectrogram {
    #[serde(default = "fft_length")]
    fft_length: usize,
    #[serde(default = "sequence_stride")]
    sequence_stride: usize,
    #[serde(default)]
    sequence_length: Option<usize>,
    #[serde(default = "hann")]
    window: Window,
    #[serde(default = "sampling_rate")]
    sampling_rate: f64,
    #[serde(default = "num_mel_bins")]
    num_mel_bins: usize,
    #[serde(default = "min_freq")]
    min_freq: f64,
    #[serde(default)]
    max_freq: Option<f64>,
    #[serde(default = "yes")]
    power_to_db: bool,
    #[serde(default = "top_db")]
    top_db: f64,
    #[serde(default = "mag_exp")]
    mag_exp: f64,
    #[serde(default = "min_power")]
    min_power: f64,
    #[serde(default = "ref_power")]
    ref_power: f64,
    #[serde(skip)]
    tables: OnceLock<Arc<Tables>>,
}

/// What does not depend on the data.
#[derive(Debug)]
struct Tables {
    fft: Fft,
    /// Of `fft_length` values, zeros around the window itself.
    window: Vec<Float>,
    /// (bins, bands)
    mel: Vec<Float>,
}

fn fft_length() -> usize {
    2048
}
fn sequence_stride() -> usize {
    512
}
fn sampling_rate() -> f64 {
    16000.0
}
fn num_mel_bins() -> usize {
    128
}
fn min_freq() -> f64 {
    20.0
}
fn top_db() -> f64 {
    80.0
}
fn mag_exp() -> f64 {
    2.0
}
fn min_power() -> f64 {
    1e-10
}
fn ref_power() -> f64 {
    1.0
}

impl Default for MelSpectrogram {
    fn default() -> Self {
        MelSpectrogram::new()
    }
}

impl MelSpectrogram {
    /// With the defaults.
    pub fn new() -> Self {
        MelSpectrogram {
            fft_length: fft_length(),
            sequence_stride: sequence_stride(),
            sequence_length: None,
            window: hann(),
            sampling_rate: sampling_rate(),
            num_mel_bins: num_mel_bins(),
            min_freq: min_freq(),
            max_freq: None,
            power_to_db: true,
            top_db: top_db(),
            mag_exp: mag_exp(),
            min_power: min_power(),
            ref_power: ref_power(),
            tables: OnceLock::new(),
        }
    }

    /// Size of the transform.
    pub fn fft_length(mut self, length: usize) -> Self {
        self.fft_length = length;
        self.tables = OnceLock::new();
        self
    }

    /// Samples from one frame to the next.
    pub fn sequence_stride(mut self, samples: usize) -> Self {
        self.sequence_stride = samples;
        self.tables = OnceLock::new();
        self
    }

    /// Samples of a frame.
    pub fn sequence_length(mut self, samples: usize) -> Self {
        self.sequence_length = Some(samples);
        self.tables = OnceLock::new();
        self
    }

    /// The window.
    pub fn window(mut self, window: impl Into<Window>) -> Self {
        self.window = window.into();
        self.tables = OnceLock::new();
        self
    }

    /// Samples per second.
    pub fn sampling_rate(mut self, rate: f64) -> Self {
        self.sampling_rate = rate;
        self.tables = OnceLock::new();
        self
    }

    /// Number of bands.
    pub fn num_mel_bins(mut self, bands: usize) -> Self {
        self.num_mel_bins = bands;
        self.tables = OnceLock::new();
        self
    }

    /// Where the bands begin.
    pub fn min_freq(mut self, hertz: f64) -> Self {
        self.min_freq = hertz;
        self.tables = OnceLock::new();
        self
    }

    /// Where the bands end.
    pub fn max_freq(mut self, hertz: f64) -> Self {
        self.max_freq = Some(hertz);
        self.tables = OnceLock::new();
        self
    }

    /// Whether the output is in decibels.
    pub fn power_to_db(mut self, yes: bool) -> Self {
        self.power_to_db = yes;
        self.tables = OnceLock::new();
        self
    }

    /// How far below the loudest of the batch the output may be.
    pub fn top_db(mut self, decibels: f64) -> Self {
        self.top_db = decibels;
        self.tables = OnceLock::new();
        self
    }

    /// Exponent of the magnitudes.
    pub fn mag_exp(mut self, exponent: f64) -> Self {
        self.mag_exp = exponent;
        self.tables = OnceLock::new();
        self
    }

    /// Smallest power.
    pub fn min_power(mut self, power: f64) -> Self {
        self.min_power = power;
        self.tables = OnceLock::new();
        self
    }

    /// The power of 0 decibels.
    pub fn ref_power(mut self, power: f64) -> Self {
        self.ref_power = power;
        self.tables = OnceLock::new();
        self
    }

    fn sequence(&self) -> usize {
        self.sequence_length
            .filter(|n| *n > 0)
            .unwrap_or(self.fft_length)
    }

    fn bins(&self) -> usize {
        self.fft_length / 2 + 1
    }

    /// Where the bands begin and end.
    fn band(&self) -> [f64; 2] {
        let max = self.max_freq.filter(|f| *f != 0.0);
        let nyquist = (self.sampling_rate / 2.0).trunc();
        [self.min_freq, max.unwrap_or(nyquist)]
    }

    fn frames(&self, time: usize) -> Frames {
        let pad = self.fft_length / 2;
        let room = (time + 2 * pad).saturating_sub(self.fft_length);
        Frames {
            time,
            pad,
            length: self.fft_length,
            stride: self.sequence_stride,
            count: 1 + room / self.sequence_stride,
        }
    }

    fn tables(&self) -> Arc<Tables> {
        let make = || {
            Arc::new(Tables {
                fft: Fft::new(self.fft_length),
                window: window(&self.window, self.sequence(), self.fft_length),
                mel: mel_matrix(
                    self.bins(),
                    self.num_mel_bins,
                    self.sampling_rate,
                    self.band(),
                ),
            })
        };
        self.tables.get_or_init(make).clone()
    }

    fn check(&self) -> Result<()> {
        for (arg, size) in [
            ("fft_length", self.fft_length),
            ("sequence_stride", self.sequence_stride),
            ("num_mel_bins", self.num_mel_bins),
        ] {
            if !(1..=1 << 24).contains(&size) {
                return Err(Error::arg(arg, "an integer from 1 to 2^24", size));
            }
        }
        if self.fft_length < 2 {
            return Err(Error::arg("fft_length", "at least 2", self.fft_length));
        }
        if self.sequence() > self.fft_length {
            let want = format!("at most `fft_length`, {}", self.fft_length);
            return Err(Error::arg("sequence_length", want, self.sequence()));
        }
        match &self.window {
            Window::Name(name) if !["hann", "hamming"].contains(&name.as_str()) => {
                return Err(Error::unknown("window", name, ["hann", "hamming"]));
            }
            Window::Values(values) if values.len() != self.sequence() => {
                let want = format!("{} values", self.sequence());
                return Err(Error::arg("window", want, values.len()));
            }
            _ => {}
        }
        let positive = |v: f64| v > 0.0 && v.is_finite();
        for (arg, value) in [
            ("sampling_rate", self.sampling_rate),
            ("mag_exp", self.mag_exp),
            ("min_power", self.min_power),
        ] {
            if !positive(value) {
                return Err(Error::arg(arg, "a positive number", value));
            }
        }
        for (arg, value) in [("top_db", self.top_db), ("ref_power", self.ref_power)] {
            if !value.is_finite() {
                return Err(Error::arg(arg, "a finite number", value));
            }
        }
        let [low, high] = self.band();
        if !(low >= 0.0 && high > low && high.is_finite()) {
            let want = "a frequency above `min_freq`, which is at least 0";
            return Err(Error::arg("max_freq", want, format!("{high} ({low})")));
        }
        Ok(())
    }

    /// A power in decibels.
    fn decibels(&self, e: Float) -> Float {
        let low = self.min_power as Float;
        let zero = (self.ref_power.abs() as Float).max(low);
        10.0 * e.max(low).log10() - 10.0 * zero.log10()
    }
}

impl Layer for MelSpectrogram {
    fn class_name(&self) -> &'static str {
        "MelSpectrogram"
    }

    fn config(&self) -> Config {
        let mut config = to_config(self);
        config["sequence_length"] = self.sequence().into();
        config["max_freq"] = self.band()[1].into();
        config
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.check()?;
        let x = input_of_rank(inputs, 1, "batch and time")?;
        let pad = self.fft_length / 2;
        if x.last().is_some_and(|time| time <= pad) {
            let want = format!("more than {pad} samples of time, since the ends are reflected");
            return Err(Error::shape(want, x));
        }
        let mut frames = None;
        if let Some(time) = x.last() {
            checked(x.with_last(time.saturating_add(2 * pad))?)?;
            let count = self.frames(time).count;
            checked([count, self.bins()].into())?;
            frames = Some(count);
        }
        checked(vec![Some(self.num_mel_bins), frames].into())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let tables = self.tables();
        let frames = self.frames(inputs[0][0]);
        let spectrum = Len::PerSample(frames.count * self.bins());
        let bands = Len::PerSample(frames.count * self.num_mel_bins);
        let work = Len::PerSample(frames.work(&tables.fft));
        Buffers {
            saved: vec![spectrum, spectrum, bands],
            scratch: vec![spectrum, bands, work],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            batch_coupled: self.power_to_db,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let tables = self.tables.get().expect("buffers were asked for before");
        let frames = self.frames(cx.x[0].shape[0]);
        let (bins, bands, batch) = (self.bins(), self.num_mel_bins, cx.y.batch);
        let [re, im, energy] = cx.saved.all();
        let [power, level, work] = cx.scratch.all();
        let (size, room) = (frames.count * bins, frames.work(&tables.fft));
        let exponent = self.mag_exp as Float;
        let parts = [&mut *re, &mut *im, &mut *power, work];
        let x = cx.x[0].data;
        cx.par.for_each_cut(
            batch,
            parts,
            [size, size, size, room],
            |b, [re, im, p, work]| {
                let x = &x[b * frames.time..][..frames.time];
                frames.spectrum(&tables.fft, &tables.window, x, re, im, work);
                for ((p, re), im) in p.iter_mut().zip(&*re).zip(&*im) {
                    let square = re * re + im * im;
                    *p = match exponent {
                        2.0 => square,
                        _ => square.sqrt().powf(exponent),
                    };
                }
            },
        );
        let rows = batch * frames.count;
        let (p, mel) = (Mat::new(power, bins), Mat::new(&tables.mel, bands));
        gemm(
            rows,
            bins,
            bands,
            p,
            mel,
            Accum::Replace,
            energy,
            bands,
            cx.par,
        );
        match self.power_to_db {
            false => level.copy_from_slice(energy),
            true => {
                let pairs = level.iter_mut().zip(&*energy);
                pairs.for_each(|(l, e)| *l = self.decibels(*e));
                let top = level.iter().copied().fold(Float::NEG_INFINITY, Float::max);
                let floor = top - self.top_db as Float;
                level.iter_mut().for_each(|l| *l = l.max(floor));
            }
        }
        transpose(frames.count, bands, level, cx.y.data);
    }

    fn backward(&self, cx: Backward<'_>) {
        let tables = self.tables.get().expect("buffers were asked for before");
        let (batch, bins, bands) = (cx.dy.batch, self.bins(), self.num_mel_bins);
        let Some(dx) = &mut cx.dx[0] else { return };
        let frames = self.frames(dx.shape[0]);
        let [re, im, energy] = cx.saved.all();
        let [dpower, denergy, work] = cx.scratch.all();
        transpose(bands, frames.count, cx.dy.data, denergy);
        if self.power_to_db {
            self.decibels_backward(energy, denergy);
        }
        let rows = batch * frames.count;
        let (de, mel) = (Mat::new(denergy, bands), Mat::new(&tables.mel, bands).t());
        gemm(
            rows,
            bands,
            bins,
            de,
            mel,
            Accum::Replace,
            dpower,
            bins,
            cx.par,
        );
        let (size, room) = (frames.count * bins, frames.work(&tables.fft));
        let exponent = self.mag_exp as Float;
        let parts = [&mut *dx.data, &mut *re, &mut *im, &mut *dpower, work];
        let sizes = [frames.time, size, size, size, room];
        cx.par
            .for_each_cut(batch, parts, sizes, |_, [dx, re, im, dp, work]| {
                for ((re, im), dp) in re.iter_mut().zip(&mut *im).zip(&*dp) {
                    let square = *re * *re + *im * *im;
                    let factor = match exponent {
                        2.0 => 2.0 * dp,
                        _ if square == 0.0 => 0.0,
                        _ => dp * exponent * square.sqrt().powf(exponent - 2.0),
                    };
                    (*re, *im) = (factor * *re, factor * *im);
                }
                frames.spectrum_backward(&tables.fft, &tables.window, re, im, dx, work);
            });
    }
}

impl MelSpectrogram {
    /// From the gradient of the output to that of the energies.
    fn decibels_backward(&self, energy: &[Float], d: &mut [Float]) {
        let top = energy.iter().copied().fold(Float::NEG_INFINITY, Float::max);
        let top = self.decibels(top);
        let floor = top - self.top_db as Float;
        let (mut clipped, mut tops) = (0.0, 0.0);
        for (e, d) in energy.iter().zip(&mut *d) {
            let level = self.decibels(*e);
            tops += Float::from(u8::from(level == top));
            if level < floor {
                clipped += *d;
                *d = 0.0;
            }
        }
        for (e, d) in energy.iter().zip(d) {
            if self.decibels(*e) == top {
                *d += clipped / tops;
            }
            *d = match *e >= self.min_power as Float {
                true => *d * 10.0 / (std::f64::consts::LN_10 as Float * e),
                false => 0.0,
            };
        }
    }
}

/// Samples of `rows` by `cols`, each turned around.
fn transpose(rows: usize, cols: usize, x: &[Float], y: &mut [Float]) {
    let samples = x
        .chunks_exact(rows * cols)
        .zip(y.chunks_exact_mut(rows * cols));
    for (x, y) in samples {
        for (i, row) in x.chunks_exact(cols).enumerate() {
            row.iter()
                .enumerate()
                .for_each(|(j, v)| y[j * rows + i] = *v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Sequential;
    use crate::testing::check_layer;
    use ndarray::{Array2, ArrayD};

    fn small() -> MelSpectrogram {
        MelSpectrogram::new()
            .fft_length(8)
            .sequence_stride(3)
            .sampling_rate(100.0)
            .num_mel_bins(3)
            .min_freq(5.0)
    }

    #[test]
    fn laws() {
        check_layer(small(), &[[9].into()]);
        check_layer(small().top_db(6.0).ref_power(2.0), &[[9].into()]);
        let plain = || small().power_to_db(false);
        check_layer(plain(), &[[9].into()]);
        check_layer(plain().fft_length(7).mag_exp(1.5), &[[8].into()]);
        check_layer(plain().sequence_length(5).window("hamming"), &[[5].into()]);
        check_layer(plain().window(Window::None), &[[6].into()]);
    }

    /// Keras 3.15: the first numbers, the sum and the last one.
    #[test]
    fn numbers_are_kerass() {
        let x = Array2::from_shape_fn((2, 60), |(b, t)| match (b, t as f64) {
            (0, t) => ((t * 0.7).sin() + 0.3 * (t * 1.9).cos()) as f32,
            (_, t) => (t * t * 0.01).cos() as f32,
        });
        let layer = || MelSpectrogram::new().sampling_rate(1000.0);
        let y = |layer: MelSpectrogram| {
            let mut model = Sequential::new().input([60]).add(layer);
            model.build([60]).unwrap();
            model.predict(&x).unwrap()
        };
        let near =
            |y: ArrayD<Float>, shape: &[usize], some: [Float; 3], sum: Float, last: Float| {
                assert_eq!(y.shape(), shape);
                let flat: Vec<Float> = y.iter().copied().collect();
                for (g, w) in flat.iter().zip(some).chain([(&flat[flat.len() - 1], last)]) {
                    assert!((g - w).abs() < 1e-4 * (1.0 + w.abs()), "{g} {w}");
                }
                let all: Float = flat.iter().sum();
                assert!((all - sum).abs() < 1e-3 * sum, "{all} {sum}");
            };
        let a = layer()
            .fft_length(16)
            .sequence_stride(6)
            .sequence_length(12)
            .num_mel_bins(4)
            .max_freq(400.0);
        near(
            y(a),
            &[2, 4, 11],
            [6.253_177_6, 8.599_237, 8.611_858],
            87.033_77,
            -1.624_296,
        );
        let b = layer()
            .fft_length(12)
            .sequence_stride(5)
            .window("hamming")
            .num_mel_bins(3);
        let b = b.power_to_db(false).mag_exp(1.0);
        near(
            y(b),
            &[2, 3, 13],
            [1.909_013_3, 3.218_187_8, 3.211_462_3],
            125.683_36,
            0.507_443_6,
        );
        let c = layer()
            .fft_length(16)
            .sequence_stride(7)
            .window(Window::None)
            .num_mel_bins(3)
            .top_db(10.0);
        near(
            y(c),
            &[2, 3, 9],
            [14.976_442, 15.550_495, 17.801_325],
            582.961_73,
            7.801_325,
        );
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |l: MelSpectrogram| l.output_shape(&[[9].into()]).unwrap_err().to_string();
        assert!(refused(small().fft_length(0)).contains("fft_length"));
        assert!(refused(small().fft_length(1)).contains("fft_length"));
        assert!(refused(small().fft_length(usize::MAX)).contains("fft_length"));
        assert!(refused(small().sequence_stride(0)).contains("sequence_stride"));
        assert!(refused(small().sequence_length(9)).contains("sequence_length"));
        assert!(refused(small().num_mel_bins(0)).contains("num_mel_bins"));
        assert!(refused(small().window("hnan")).contains("did you mean `hann`"));
        assert!(refused(small().window(vec![1.0])).contains("8 values"));
        assert!(refused(small().sampling_rate(0.0)).contains("sampling_rate"));
        assert!(refused(small().max_freq(4.0)).contains("max_freq"));
        assert!(refused(small().min_freq(f64::NAN)).contains("max_freq"));
        assert!(refused(small().top_db(f64::INFINITY)).contains("top_db"));
        assert!(refused(small().min_power(0.0)).contains("min_power"));
        assert!(small().output_shape(&[[4].into()]).is_err());
        assert!(small().output_shape(&[[usize::MAX].into()]).is_err());
    }
}
