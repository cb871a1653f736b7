//! Short-time Fourier transform as two convolutions whose kernels are waves under a window, and may be trained.
//!
//! Per channel `re = frames R`, `im = frames I`, where row `n` of `frames` is `x[n step .. n step + frame_length]` (the rows overlap
//! in memory: nothing is copied). With `dre, dim` from the mode: `dR += frames^T dre`, `dframes = dre R^T + dim I^T`, and `dx` is the
//! sum of what each frame gives to its samples.

use serde::{Deserialize, Serialize};

use super::audio::Sizes;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::{Initializer, Window};
use crate::kernels::elementwise::add;
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, Par, Weight};
use crate::layers::args::{DataFormat, checked, input_of_rank};
use crate::layers::geometry::Padding;
use crate::shape::{Dims, Shape};

/// Smallest power before the root, and smallest magnitude before the logarithm.
const EPSILON: Float = 1e-7;

/// Turns sound into its spectrum over time, by kernels that may be trained.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/audio_preprocessing/stft_spectrogram/)
///
/// Input `(batch, time, channels)`; output `(batch, frames, channels * bins)`, or `(batch, frames, bins, channels)` with
/// `expand_dims`, where `bins = fft_length / 2 + 1` (twice that in mode `stft`). With `channels_first` the channels come right
/// behind the batch, in both. Weights `real_kernel` and `imag_kernel`, `(frame_length, 1, bins)` (one of them in the modes `real` and
/// `imag`).
///
/// | name | default | meaning |
/// |---|---|---|
/// | `mode` | `log` | `log`, `magnitude`, `psd`, `real`, `imag`, `angle` or `stft` (real and imaginary part) |
/// | `frame_length` | 256 | samples of a frame |
/// | `frame_step` | `frame_length / 2` | samples from one frame to the next |
/// | `fft_length` | the next power of two | size of the transform |
/// | `window` | `hann` | name or values of the window, or none |
/// | `periodic` | false | whether the window is one period of a periodic function |
/// | `scaling` | `density` | `density`, `spectrum` or none |
/// | `padding` | `valid` | `valid` or `same` |
/// | `expand_dims` | false | whether bins and channels are axes of their own |
/// | `data_format` | `channels_last` | where the channels are |
///
/// ```
/// use oxhorn::{layers::STFTSpectrogram, prelude::*};
/// let layer = STFTSpectrogram::new().mode("magnitude").frame_length(16).frame_step(8);
/// let mut model = Sequential::new().input([64, 1]).add(layer);
/// model.build([64, 1])?;
/// assert_eq!(model.predict(&ndarray::Array3::<f32>::ones((1, 64, 1)))?.shape(), [1, 7, 9]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct STFTSpectrogram {
    #[serde(default)]
    mode: Mode,
    #[serde(default = "default_length")]
    frame_length: usize,
    #[serde(default)]
    frame_step: Option<usize>,
    #[serde(default)]
    fft_length: Option<usize>,
    #[serde(default = "hann")]
    window: Window,
    #[serde(default)]
    periodic: bool,
    #[serde(default = "density")]
    scaling: Option<String>,
    #[serde(default)]
    padding: Padding,
    #[serde(default)]
    expand_dims: bool,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

fn default_length() -> usize {
    256
}

pub(super) fn hann() -> Window {
    Window::Name("hann".into())
}

fn density() -> Option<String> {
    Some("density".into())
}

/// What of the spectrum comes out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Log,
    Magnitude,
    Psd,
    Real,
    Imag,
    Angle,
    Stft,
    /// A name that is not known.
    #[serde(skip)]
    Invalid(String),
}

const MODES: [(&str, Mode); 7] = [
    ("log", Mode::Log),
    ("magnitude", Mode::Magnitude),
    ("psd", Mode::Psd),
    ("real", Mode::Real),
    ("imag", Mode::Imag),
    ("angle", Mode::Angle),
    ("stft", Mode::Stft),
];

impl Default for STFTSpectrogram {
    fn default() -> Self {
        STFTSpectrogram::new()
    }
}

impl STFTSpectrogram {
    /// With the defaults.
    pub fn new() -> Self {
        STFTSpectrogram {
            mode: Mode::Log,
            frame_length: default_length(),
            frame_step: None,
            fft_length: None,
            window: hann(),
            periodic: false,
            scaling: density(),
            padding: Padding::Valid,
            expand_dims: false,
            data_format: DataFormat::ChannelsLast,
        }
    }

    /// What of the spectrum comes out.
    pub fn mode(mut self, mode: &str) -> Self {
        let known = MODES.into_iter().find(|(name, _)| *name == mode);
        self.mode = known.map_or_else(|| Mode::Invalid(mode.into()), |(_, mode)| mode);
        self
    }

    /// Samples of a frame.
    pub fn frame_length(mut self, samples: usize) -> Self {
        self.frame_length = samples;
        self
    }

    /// Samples from one frame to the next.
    pub fn frame_step(mut self, samples: usize) -> Self {
        self.frame_step = Some(samples);
        self
    }

    /// Size of the transform.
    pub fn fft_length(mut self, length: usize) -> Self {
        self.fft_length = Some(length);
        self
    }

    /// The window.
    pub fn window(mut self, window: impl Into<Window>) -> Self {
        self.window = window.into();
        self
    }

    /// Whether the window is one period of a periodic function.
    pub fn periodic(mut self, yes: bool) -> Self {
        self.periodic = yes;
        self
    }

    /// `density`, `spectrum` or none.
    pub fn scaling<'a>(mut self, scaling: impl Into<Option<&'a str>>) -> Self {
        self.scaling = scaling.into().map(String::from);
        self
    }

    /// What happens at the ends.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into();
        self
    }

    /// Whether bins and channels are axes of their own.
    pub fn expand_dims(mut self, yes: bool) -> Self {
        self.expand_dims = yes;
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, format: impl Into<DataFormat>) -> Self {
        self.data_format = format.into();
        self
    }

    fn step(&self) -> usize {
        self.frame_step.unwrap_or(self.frame_length / 2)
    }

    fn bins(&self) -> usize {
        let next = || self.frame_length.checked_next_power_of_two();
        self.fft_length.or_else(next).unwrap_or(0) / 2 + 1
    }

    fn first(&self) -> bool {
        self.data_format == DataFormat::ChannelsFirst
    }

    /// Whether there is a real and an imaginary part.
    fn sides(&self) -> [bool; 2] {
        [self.mode != Mode::Imag, self.mode != Mode::Real]
    }

    fn frames(&self, time: usize) -> usize {
        match self.padding {
            Padding::Same => time.div_ceil(self.step()),
            _ => (time + self.step()).saturating_sub(self.frame_length) / self.step(),
        }
    }

    fn initializer(&self, side: &str) -> Initializer {
        Initializer::STFT {
            side: side.into(),
            window: self.window.clone(),
            scaling: self.scaling.clone(),
            periodic: self.periodic,
        }
    }

    fn check(&self) -> Result<()> {
        if let Mode::Invalid(name) = &self.mode {
            return Err(Error::unknown("mode", name, MODES.map(|(name, _)| name)));
        }
        if self.frame_length == 0 {
            return Err(Error::arg("frame_length", "a positive integer", 0));
        }
        if !(1..=self.frame_length).contains(&self.step()) {
            let want = format!("from 1 to `frame_length`, {}", self.frame_length);
            return Err(Error::arg("frame_step", want, self.step()));
        }
        if let Some(length) = self.fft_length
            && length < self.frame_length.max(2)
        {
            let want = format!("at least 2 and `frame_length`, {}", self.frame_length);
            return Err(Error::arg("fft_length", want, length));
        }
        self.initializer("real").check("kernel")?;
        if let Window::Values(values) = &self.window
            && values.len() != self.frame_length
        {
            let want = format!("{} values", self.frame_length);
            return Err(Error::arg("window", want, values.len()));
        }
        match &self.padding {
            Padding::Valid | Padding::Same => self.data_format.check(),
            other => {
                let got = String::from(other.clone());
                Err(Error::arg("padding", "`valid` or `same`", got))
            }
        }
    }

    fn sizes(&self, x: &[usize]) -> Sizes {
        let (time, channels) = match self.first() {
            true => (x[1], x[0]),
            false => (x[0], x[1]),
        };
        let (frames, step) = (self.frames(time), self.step());
        let reach = frames.saturating_sub(1) * step + self.frame_length;
        let before = match self.padding {
            Padding::Same => reach.saturating_sub(time) / 2,
            _ => 0,
        };
        Sizes {
            time,
            channels,
            frames,
            bins: self.bins(),
            step,
            length: self.frame_length,
            reach,
            before,
        }
    }

    /// What one bin gives: the value, and in mode `stft` also the second.
    fn value(&self, re: Float, im: Float, inner: bool) -> [Float; 2] {
        let power = re * re + im * im;
        let y = match self.mode {
            Mode::Real => re,
            Mode::Imag => im,
            Mode::Stft => return [re, im],
            Mode::Angle => im.atan2(re),
            Mode::Psd if inner => 2.0 * power,
            Mode::Psd => power,
            Mode::Magnitude => power.max(EPSILON).sqrt(),
            _ => power.max(EPSILON).sqrt().max(EPSILON).ln(),
        };
        [y, 0.0]
    }

    /// The gradients of both parts.
    fn slope(&self, re: Float, im: Float, inner: bool, dy: [Float; 2]) -> [Float; 2] {
        let power = re * re + im * im;
        let [d, _] = dy;
        let factor = match self.mode {
            Mode::Real => return [d, 0.0],
            Mode::Imag => return [0.0, d],
            Mode::Stft => return dy,
            Mode::Angle if power == 0.0 => return [0.0; 2],
            Mode::Angle => return [-im / power * d, re / power * d],
            Mode::Psd if inner => 4.0,
            Mode::Psd => 2.0,
            _ if power < EPSILON => 0.0,
            Mode::Magnitude => power.sqrt().recip(),
            _ => power.recip(),
        };
        [factor * re * d, factor * im * d]
    }

    /// Where bin 0 of frame 0 of a channel is in the output of a sample, and how far it is to the next frame and the next bin.
    fn strides(&self, s: &Sizes, channel: usize) -> [usize; 3] {
        let rows = self.rows();
        let (bins, frames, channels) = (s.bins * rows, s.frames, s.channels);
        match (self.first(), self.expand_dims) {
            (false, true) => [channel, bins * channels, channels],
            (false, false) => [channel * bins, channels * bins, 1],
            (true, true) => [channel * frames * bins, bins, 1],
            (true, false) => [channel * bins * frames, 1, frames],
        }
    }

    /// How many values a bin gives.
    fn rows(&self) -> usize {
        1 + usize::from(self.mode == Mode::Stft)
    }
}

impl Layer for STFTSpectrogram {
    fn class_name(&self) -> &'static str {
        "STFTSpectrogram"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.check()?;
        let x = input_of_rank(inputs, 2, "batch, time and channels")?;
        let (time, channels) = match self.first() {
            true => (x.dims()[1], x.dims()[0]),
            false => (x.dims()[0], x.dims()[1]),
        };
        let channels = channels
            .filter(|n| *n > 0)
            .ok_or_else(|| Error::shape("a known number of channels", x))?;
        let least = match self.padding {
            Padding::Same => 1,
            _ => self.frame_length,
        };
        if time.is_some_and(|t| t < least) {
            return Err(Error::shape(format!("at least {least} samples of time"), x));
        }
        let frames = time.map(|t| self.frames(t));
        let too_large = || Error::arg("fft_length", "a size that fits memory", self.bins());
        let kernel = self.bins().checked_mul(self.frame_length);
        kernel.filter(|n| *n < 1 << 40).ok_or_else(too_large)?;
        let bins = self.bins() * self.rows();
        let wide = bins.checked_mul(channels).ok_or_else(too_large)?;
        let shape = match (self.first(), self.expand_dims) {
            (false, true) => vec![frames, Some(bins), Some(channels)],
            (false, false) => vec![frames, Some(wide)],
            (true, true) => vec![Some(channels), frames, Some(bins)],
            (true, false) => vec![Some(wide), frames],
        };
        checked(shape.into())
    }

    fn weights(&self, _inputs: &[Shape]) -> Result<Vec<Weight>> {
        let shape = [self.frame_length, 1, self.bins()];
        let names = [("real_kernel", "real"), ("imag_kernel", "imag")];
        let wanted = names.iter().zip(self.sides()).filter(|(_, there)| *there);
        Ok(wanted
            .map(|((name, side), _)| Weight::new(name, shape, &self.initializer(side)))
            .collect())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let s = self.sizes(&inputs[0]);
        let part = Len::PerSample(s.channels * s.part());
        let frames = s.frames * s.length;
        Buffers {
            saved: vec![part; 2],
            scratch: [s.reach, s.part(), s.part(), frames, s.reach]
                .map(Len::Fixed)
                .to_vec(),
            ..Buffers::default()
        }
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let s = self.sizes(cx.x[0].shape);
        let kernels = self
            .sides()
            .map(|there| if there { cx.w.next() } else { None });
        let [re, im] = cx.saved.all();
        let signal = cx.scratch.next().expect("signal");
        let (part, y) = (s.part(), cx.y);
        let (in_size, out_size) = (s.time * s.channels, y.data.len() / y.batch.max(1));
        for i in 0..y.batch * s.channels {
            let (b, channel) = (i / s.channels, i % s.channels);
            let x = &cx.x[0].data[b * in_size..][..in_size];
            s.signal(self.first(), channel, x, signal);
            let frames = Mat::strided(signal, s.step, 1);
            let (re, im) = (&mut re[i * part..][..part], &mut im[i * part..][..part]);
            for (kernel, part) in kernels.iter().zip([&mut *re, &mut *im]) {
                match kernel {
                    Some(kernel) => product(&s, frames, Mat::new(kernel, s.bins), part, cx.par),
                    None => part.fill(0.0),
                }
            }
            let y = &mut y.data[b * out_size..][..out_size];
            let [start, next_frame, next_bin] = self.strides(&s, channel);
            for (k, (re, im)) in re.iter().zip(&*im).enumerate() {
                let (n, f) = (k / s.bins, k % s.bins);
                let value = self.value(*re, *im, f > 0 && f + 1 < s.bins);
                for (row, v) in value[..self.rows()].iter().enumerate() {
                    y[start + n * next_frame + (row * s.bins + f) * next_bin] = *v;
                }
            }
        }
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let s = self.sizes(cx.x[0].shape);
        let kernels = self
            .sides()
            .map(|there| if there { cx.w.next() } else { None });
        let mut dw = cx.dw.unwrap_or_default();
        let mut dkernels = self
            .sides()
            .map(|there| if there { dw.next() } else { None });
        let [re, im] = cx.saved.all();
        let [signal, dre, dim, dframes, dsignal] = cx.scratch.all();
        let (part, dy) = (s.part(), cx.dy);
        let (in_size, out_size) = (s.time * s.channels, dy.data.len() / dy.batch.max(1));
        for i in 0..dy.batch * s.channels {
            let (b, channel) = (i / s.channels, i % s.channels);
            let dy = &dy.data[b * out_size..][..out_size];
            let [start, next_frame, next_bin] = self.strides(&s, channel);
            for k in 0..part {
                let (n, f) = (k / s.bins, k % s.bins);
                let mut d = [0.0; 2];
                for (row, d) in d[..self.rows()].iter_mut().enumerate() {
                    *d = dy[start + n * next_frame + (row * s.bins + f) * next_bin];
                }
                let (re, im) = (re[i * part + k], im[i * part + k]);
                [dre[k], dim[k]] = self.slope(re, im, f > 0 && f + 1 < s.bins, d);
            }
            let x = &cx.x[0].data[b * in_size..][..in_size];
            s.signal(self.first(), channel, x, signal);
            let turned = Mat::strided(signal, s.step, 1).t();
            for (dkernel, d) in dkernels.iter_mut().zip([&*dre, &*dim]) {
                if let Some(dkernel) = dkernel {
                    let (d, n) = (Mat::new(d, s.bins), s.bins);
                    gemm(
                        s.length,
                        s.frames,
                        n,
                        turned,
                        d,
                        Accum::Add,
                        dkernel,
                        n,
                        cx.par,
                    );
                }
            }
            let Some(dx) = &mut cx.dx[0] else { continue };
            let mut accum = Accum::Replace;
            for (kernel, d) in kernels.iter().zip([&*dre, &*dim]) {
                if let Some(kernel) = kernel {
                    let (d, k) = (Mat::new(d, s.bins), Mat::new(kernel, s.bins).t());
                    gemm(
                        s.frames, s.bins, s.length, d, k, accum, dframes, s.length, cx.par,
                    );
                    accum = Accum::Add;
                }
            }
            dsignal.fill(0.0);
            for (n, frame) in dframes.chunks_exact(s.length).enumerate() {
                add(frame, &mut dsignal[n * s.step..][..s.length]);
            }
            let dx = &mut dx.data[b * in_size..][..in_size];
            for t in 0..s.time {
                let d = dsignal.get(t + s.before).copied().unwrap_or(0.0);
                dx[s.at(self.first(), channel, t)] = d;
            }
        }
    }

    fn contract(&self) -> Contract {
        Contract::default()
    }
}

/// `part = frames kernel`.
fn product(s: &Sizes, frames: Mat<'_>, kernel: Mat<'_>, part: &mut [Float], par: Par) {
    gemm(
        s.frames,
        s.length,
        s.bins,
        frames,
        kernel,
        Accum::Replace,
        part,
        s.bins,
        par,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Sequential;
    use crate::testing::check_layer;
    use ndarray::{Array3, ArrayD};

    #[test]
    fn laws() {
        let layer = || STFTSpectrogram::new().frame_length(4).frame_step(3);
        for (mode, kind) in MODES {
            // Near a power of 0 differences say little in f32; see below.
            let steep = matches!(kind, Mode::Log | Mode::Magnitude | Mode::Angle);
            if !steep || size_of::<Float>() == 8 {
                check_layer(layer().mode(mode), &[[8, 2].into()]);
            }
        }
        for format in ["channels_first", "channels_last"] {
            for expand in [false, true] {
                let layer = layer().data_format(format).expand_dims(expand).mode("stft");
                check_layer(layer.padding("same"), &[[5, 4].into()]);
            }
        }
        check_layer(
            layer().mode("psd").fft_length(7).window(Window::None),
            &[[4, 1].into()],
        );
    }

    #[test]
    fn slopes_of_all_modes() {
        let h = 1e-2;
        for ((mode, _), inner) in MODES.iter().flat_map(|m| [(m, false), (m, true)]) {
            let layer = STFTSpectrogram::new().mode(mode);
            for (re, im) in [(0.8, -0.6), (1.5, 0.4), (-0.7, 0.9)] {
                for (row, dy) in [[0.5, 0.0], [0.0, 0.5]].into_iter().enumerate() {
                    if row >= layer.rows() {
                        continue;
                    }
                    let at = |re, im| layer.value(re, im, inner)[row];
                    let want = [
                        (at(re + h, im) - at(re - h, im)) / (2.0 * h) * 0.5,
                        (at(re, im + h) - at(re, im - h)) / (2.0 * h) * 0.5,
                    ];
                    let got = layer.slope(re, im, inner, dy);
                    for (g, w) in got.iter().zip(want) {
                        assert!((g - w).abs() < 1e-3, "{mode}: {got:?} {want:?}");
                    }
                }
            }
        }
    }

    fn spectrum(layer: STFTSpectrogram) -> ArrayD<Float> {
        let x = |b: usize, t: usize| match (b, t as f64) {
            (0, t) => (t * 0.7).sin() + 0.3 * (t * 1.9).cos(),
            (_, t) => (t * t * 0.01).cos(),
        };
        let x = Array3::from_shape_fn((2, 60, 2), |(b, t, c)| match c {
            0 => x(b, t) as f32,
            _ => x(b, 59 - t) as f32,
        });
        let layer = layer.frame_length(6).frame_step(4);
        let mut model = Sequential::new().input([60, 2]).add(layer);
        model.build([60, 2]).unwrap();
        model.predict(&x).unwrap()
    }

    /// Keras 3.15: a few values, and the sum of all magnitudes.
    #[test]
    fn numbers_are_kerass() {
        let near = |y: &ArrayD<Float>, shape: &[usize], some: [Float; 3], sum: Float| {
            assert_eq!(y.shape(), shape);
            let flat: Vec<Float> = y.iter().copied().collect();
            for (g, w) in flat[4..].iter().zip(some) {
                assert!((g - w).abs() < 1e-5, "{g} {w}");
            }
            let all: Float = flat.iter().map(|v| v.abs()).sum();
            assert!((all - sum).abs() < 1e-3 * sum, "{all} {sum}");
        };
        let same = |mode| spectrum(STFTSpectrogram::new().mode(mode).padding("same"));
        let some = [0.072_561_03, 0.765_913_25, 0.818_999_77];
        near(&same("magnitude"), &[2, 15, 10], some, 165.040_79);
        let some = [0.005_265_102, 0.586_623_13, 1.341_521_1];
        near(&same("psd"), &[2, 15, 10], some, 232.833);
        let some = [0.072_561_03, 0.0, -0.764_456_75];
        near(&same("stft"), &[2, 15, 20], some, 196.486_24);
        let valid = |mode| spectrum(STFTSpectrogram::new().mode(mode).expand_dims(true));
        let some = [-0.336_991_28, -0.049_556_743, -1.072_681_2];
        near(&valid("log"), &[2, 14, 5, 2], some, 334.724_33);
        let some = [2.149_827_7, 2.028_59, -0.369_627_54];
        near(&valid("angle"), &[2, 14, 5, 2], some, 433.432_6);
    }

    #[test]
    fn mistakes_are_named() {
        let refused =
            |l: STFTSpectrogram| l.output_shape(&[[600, 1].into()]).unwrap_err().to_string();
        let layer = STFTSpectrogram::new;
        assert!(refused(layer().mode("lgo")).contains("did you mean `log`"));
        assert!(refused(layer().frame_length(0)).contains("frame_length"));
        assert!(refused(layer().frame_length(1)).contains("frame_step"));
        assert!(refused(layer().frame_step(0)).contains("frame_step"));
        assert!(refused(layer().frame_step(257)).contains("frame_step"));
        assert!(refused(layer().fft_length(255)).contains("fft_length"));
        assert!(refused(layer().fft_length(usize::MAX)).contains("fft_length"));
        assert!(refused(layer().frame_length(usize::MAX)).contains("600"));
        assert!(refused(layer().padding("causal")).contains("padding"));
        assert!(refused(layer().scaling("loud")).contains("scaling"));
        assert!(refused(layer().window("hnan")).contains("window"));
        assert!(refused(layer().window(Window::Values(vec![1.0; 3]))).contains("256 values"));
        assert!(layer().output_shape(&[[100, 1].into()]).is_err());
        assert!(layer().output_shape(&[[100].into()]).is_err());
    }
}
