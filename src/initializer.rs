//! Laws of initial weights: Keras's, by Keras's names and defaults.
//!
//! ```
//! use oxhorn::{initializer::Initializer, random::Rng};
//!
//! let mut kernel = vec![0.0; 30 * 64];
//! Initializer::from("glorot_uniform").fill(&[30, 64], &mut Rng::new(7), &mut kernel)?;
//! let limit = (6.0f64 / (30.0 + 64.0)).sqrt();
//! assert!(kernel.iter().all(|&w| f64::from(w).abs() <= limit));
//! # Ok::<(), oxhorn::Error>(())
//! ```

mod form;
mod laws;
mod stft;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    float::Float,
    random::Rng,
};

pub use crate::envelope::Custom;
pub use laws::compute_fans;

/// A function that fills a weight of the given shape.
pub type InitializerFn = dyn Fn(&[usize], &mut Rng, &mut [Float]) + Send + Sync;

/// How the initial values of a weight are drawn.
///
/// A string names it with Keras's default arguments (`"he_normal"` or `"HeNormal"`). Where `seed` is given, every weight
/// filled by this initializer gets the same values whatever the model's seed is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Initializer {
    /// 0.
    Zeros,
    /// 1.
    Ones,
    /// One value everywhere.
    Constant {
        /// The value (0).
        value: f64,
    },
    /// `gain` times the identity matrix. For matrices only.
    Identity {
        /// Value on the diagonal (1).
        gain: f64,
    },
    /// Normal.
    RandomNormal {
        /// Mean (0).
        mean: f64,
        /// Standard deviation (0.05).
        stddev: f64,
        /// Seed of its own.
        seed: Option<u64>,
    },
    /// Uniform in `[minval, maxval)`.
    RandomUniform {
        /// Lower bound (-0.05).
        minval: f64,
        /// Upper bound (0.05).
        maxval: f64,
        /// Seed of its own.
        seed: Option<u64>,
    },
    /// Normal, drawn again where it is more than two standard deviations from the mean.
    TruncatedNormal {
        /// Mean (0).
        mean: f64,
        /// Standard deviation before the truncation (0.05).
        stddev: f64,
        /// Seed of its own.
        seed: Option<u64>,
    },
    /// Variance `scale / n`, where `n` is what `mode` says; see [`compute_fans`].
    VarianceScaling {
        /// Factor of the variance (1).
        scale: f64,
        /// `"fan_in"` (default), `"fan_out"` or `"fan_avg"`.
        mode: String,
        /// `"truncated_normal"` (default), `"untruncated_normal"` or `"uniform"`.
        distribution: String,
        /// Seed of its own.
        seed: Option<u64>,
        /// Axes whose sizes make the fan-in, where `output_axes` is given too.
        input_axes: Option<Vec<isize>>,
        /// Axes whose sizes make the fan-out, where `input_axes` is given too.
        output_axes: Option<Vec<isize>>,
    },
    /// Uniform within `sqrt(6 / (fan_in + fan_out))`.
    GlorotUniform {
        /// Seed of its own.
        seed: Option<u64>,
    },
    /// Truncated normal with variance `2 / (fan_in + fan_out)`.
    GlorotNormal {
        /// Seed of its own.
        seed: Option<u64>,
    },
    /// Uniform within `sqrt(6 / fan_in)`.
    HeUniform {
        /// Seed of its own.
        seed: Option<u64>,
    },
    /// Truncated normal with variance `2 / fan_in`.
    HeNormal {
        /// Seed of its own.
        seed: Option<u64>,
    },
    /// Uniform within `sqrt(3 / fan_in)`.
    LecunUniform {
        /// Seed of its own.
        seed: Option<u64>,
    },
    /// Truncated normal with variance `1 / fan_in`.
    LecunNormal {
        /// Seed of its own.
        seed: Option<u64>,
    },
    /// `gain` times a random matrix with orthonormal columns (or rows, where there are fewer rows), the leading axes taken
    /// together.
    Orthogonal {
        /// Factor (1).
        gain: f64,
        /// Seed of its own.
        seed: Option<u64>,
    },
    /// Kernel `(frame_length, 1, fft_length / 2 + 1)` of a convolution that computes a short-time Fourier transform.
    STFT {
        /// `"real"` or `"imag"`.
        side: String,
        /// The window (hann).
        window: Window,
        /// `"density"` (default: divide by the window's L2 norm), `"spectrum"` (L1 norm) or nothing.
        scaling: Option<String>,
        /// The window as one period of a periodic function (false: symmetric).
        periodic: bool,
    },
    /// A function of yours: [`Initializer::custom`].
    Custom(Custom<InitializerFn>),
    /// A name that nothing is known by; [`Initializer::check`] says so.
    Invalid(String),
}

/// Window of a short-time Fourier transform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Window {
    /// A name that SciPy knows: `"hann"`, `"hamming"`, `"blackman"`, ...
    Name(String),
    /// One value per sample of the frame.
    Values(Vec<f64>),
    /// No window.
    None,
}

impl From<&str> for Window {
    fn from(name: &str) -> Self {
        Window::Name(name.into())
    }
}

impl From<Vec<f64>> for Window {
    fn from(values: Vec<f64>) -> Self {
        Window::Values(values)
    }
}

impl Initializer {
    /// A law of your own; files keep its name only.
    ///
    /// ```
    /// use oxhorn::{initializer::Initializer, random::Rng};
    ///
    /// let ramp = Initializer::custom("ramp", |_shape, _rng, w| {
    ///     w.iter_mut().enumerate().for_each(|(i, w)| *w = i as oxhorn::Float);
    /// });
    /// let mut w = [0.0; 3];
    /// ramp.fill(&[3], &mut Rng::new(0), &mut w)?;
    /// assert_eq!(w, [0.0, 1.0, 2.0]);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    pub fn custom(
        name: impl Into<String>,
        fill: impl Fn(&[usize], &mut Rng, &mut [Float]) + Send + Sync + 'static,
    ) -> Self {
        Self::Custom(Custom::new(name, Arc::new(fill)))
    }

    /// The same law with a seed of its own (nothing changes where nothing is random).
    pub fn seed(mut self, value: u64) -> Self {
        if let Some(seed) = self.seed_mut() {
            *seed = Some(value);
        }
        self
    }

    /// The same law with fans of these axes of the weight, where it goes by fans and has no axes of its own.
    pub(crate) fn with_axes(&self, input: Vec<isize>, output: Vec<isize>) -> Self {
        let own = matches!(
            self,
            Self::VarianceScaling {
                input_axes: Some(_),
                output_axes: Some(_),
                ..
            }
        );
        match self.scaling() {
            Some((scale, mode, distribution)) if !own => Self::VarianceScaling {
                scale,
                mode: mode.into(),
                distribution: distribution.into(),
                seed: self.clone().seed_mut().copied().flatten(),
                input_axes: Some(input),
                output_axes: Some(output),
            },
            _ => self.clone(),
        }
    }

    /// An error that names `arg` if the law is unknown or one of its parameters makes no sense.
    ///
    /// ```
    /// use oxhorn::initializer::Initializer;
    ///
    /// let error = Initializer::from("glorot_unifrom").check("kernel_initializer").unwrap_err();
    /// assert!(error.to_string().contains("did you mean `glorot_uniform`?"));
    /// ```
    pub fn check(&self, arg: &str) -> Result<()> {
        let finite =
            |key, value: f64| require(value.is_finite(), arg, key, "a finite number", value);
        let one_of = |key, got: &str, known: &[&str]| match known.contains(&got) {
            true => Ok(()),
            false => Err(Error::unknown(&format!("{arg}.{key}"), got, known)),
        };
        match self {
            Self::Constant { value } => finite("value", *value),
            Self::Identity { gain } | Self::Orthogonal { gain, .. } => finite("gain", *gain),
            Self::RandomUniform { minval, maxval, .. } => {
                finite("minval", *minval)?;
                finite("maxval", *maxval)?;
                require(minval <= maxval, arg, "maxval", "at least minval", maxval)
            }
            Self::RandomNormal { mean, stddev, .. }
            | Self::TruncatedNormal { mean, stddev, .. } => {
                finite("mean", *mean)?;
                finite("stddev", *stddev)?;
                require(*stddev >= 0.0, arg, "stddev", "at least 0", stddev)
            }
            Self::VarianceScaling {
                scale,
                mode,
                distribution,
                ..
            } => {
                finite("scale", *scale)?;
                require(*scale > 0.0, arg, "scale", "a positive number", scale)?;
                one_of("mode", mode, &["fan_in", "fan_out", "fan_avg"])?;
                one_of("distribution", distribution, &laws::DISTRIBUTIONS)
            }
            Self::STFT {
                side,
                window,
                scaling,
                ..
            } => {
                one_of("side", side, &["real", "imag"])?;
                if let Some(scaling) = scaling {
                    one_of("scaling", scaling, &["density", "spectrum"])?;
                }
                match window {
                    Window::Name(name) => one_of("window", name, &stft::WINDOWS),
                    _ => Ok(()),
                }
            }
            Self::Invalid(name) => Err(Error::unknown("initializer", name, form::names())),
            _ => Ok(()),
        }
    }

    /// The seed of a random law.
    fn own_seed(&self) -> Option<u64> {
        self.clone().seed_mut().copied().flatten()
    }

    fn seed_mut(&mut self) -> Option<&mut Option<u64>> {
        match self {
            Self::RandomNormal { seed, .. }
            | Self::RandomUniform { seed, .. }
            | Self::TruncatedNormal { seed, .. }
            | Self::VarianceScaling { seed, .. }
            | Self::GlorotUniform { seed }
            | Self::GlorotNormal { seed }
            | Self::HeUniform { seed }
            | Self::HeNormal { seed }
            | Self::LecunUniform { seed }
            | Self::LecunNormal { seed }
            | Self::Orthogonal { seed, .. } => Some(seed),
            _ => None,
        }
    }
}

fn require(ok: bool, arg: &str, key: &str, want: &str, got: impl ToString) -> Result<()> {
    match ok {
        true => Ok(()),
        false => Err(Error::arg(format!("{arg}.{key}"), want, got)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_parameters_are_named() {
        let message = |law: Initializer| law.check("kernel_initializer").unwrap_err().to_string();
        let normal = Initializer::RandomNormal {
            mean: 0.0,
            stddev: -1.0,
            seed: None,
        };
        assert!(
            message(normal).contains("`kernel_initializer.stddev`: expected at least 0, got -1")
        );
        let uniform = Initializer::RandomUniform {
            minval: 1.0,
            maxval: 0.0,
            seed: None,
        };
        assert!(message(uniform).contains("maxval"));
        assert!(
            message(Initializer::Constant { value: f64::NAN }).contains("a finite number, got NaN")
        );
        let scaling = Initializer::VarianceScaling {
            scale: 1.0,
            mode: "fan_inn".into(),
            distribution: "uniform".into(),
            seed: None,
            input_axes: None,
            output_axes: None,
        };
        assert!(message(scaling).contains("did you mean `fan_in`?"));
        assert!(message("He_normal".into()).contains("did you mean `he_normal`?"));
    }
}
