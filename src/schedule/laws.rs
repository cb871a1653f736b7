//! The classes of schedules.

use serde::{Deserialize, Serialize, Serializer};

use super::Schedule;
use crate::error::{Error, Result};

/// A whole number is written as one, as Keras's numbers of steps are.
fn steps<S: Serializer>(value: &f64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

fn many_steps<S: Serializer>(values: &[f64], s: S) -> std::result::Result<S::Ok, S::Error> {
    struct Steps<'a>(&'a f64);
    impl Serialize for Steps<'_> {
        fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
            steps(self.0, s)
        }
    }
    s.collect_seq(values.iter().map(Steps))
}

fn positive(arg: &str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(Error::arg(arg, "a positive number", value))
    }
}

fn finite(values: &[(&str, f64)]) -> Result<()> {
    match values.iter().find(|(_, v)| !v.is_finite()) {
        Some((arg, v)) => Err(Error::arg(*arg, "a finite number", v)),
        None => Ok(()),
    }
}

/// `initial_learning_rate decay_rate^(step / decay_steps)`.
/// [Keras](https://keras.io/api/optimizers/learning_rate_schedules/exponential_decay/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `staircase` | false | whether `step / decay_steps` is cut to a whole number |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExponentialDecay {
    initial_learning_rate: f64,
    #[serde(serialize_with = "steps")]
    decay_steps: f64,
    decay_rate: f64,
    #[serde(default)]
    staircase: bool,
    #[serde(default = "exponential")]
    name: String,
}

fn exponential() -> String {
    "ExponentialDecay".into()
}

/// `initial_learning_rate / (1 + decay_rate step / decay_steps)`.
/// [Keras](https://keras.io/api/optimizers/learning_rate_schedules/inverse_time_decay/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `staircase` | false | whether `step / decay_steps` is cut to a whole number |
///
/// ```
/// use oxhorn::schedule::{InverseTimeDecay, Schedule};
/// assert_eq!(Schedule::from(InverseTimeDecay::new(1.0, 2.0, 0.5).staircase(true)).at(5), 0.5);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InverseTimeDecay {
    initial_learning_rate: f64,
    #[serde(serialize_with = "steps")]
    decay_steps: f64,
    decay_rate: f64,
    #[serde(default)]
    staircase: bool,
    #[serde(default = "inverse_time")]
    name: String,
}

fn inverse_time() -> String {
    "InverseTimeDecay".into()
}

/// `(initial - end) (1 - step / decay_steps)^power + end`, `end` from `decay_steps` on.
/// [Keras](https://keras.io/api/optimizers/learning_rate_schedules/polynomial_decay/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `end_learning_rate` | 0.0001 | where it ends |
/// | `power` | 1 | exponent |
/// | `cycle` | false | whether it begins again, each time over a multiple of `decay_steps` |
///
/// ```
/// use oxhorn::schedule::{PolynomialDecay, Schedule};
/// let schedule = Schedule::from(PolynomialDecay::new(1.0, 4.0).end_learning_rate(0.5));
/// assert_eq!((schedule.at(2), schedule.at(9)), (0.75, 0.5));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolynomialDecay {
    initial_learning_rate: f64,
    #[serde(serialize_with = "steps")]
    decay_steps: f64,
    #[serde(default = "ten_thousandth")]
    end_learning_rate: f64,
    #[serde(default = "one")]
    power: f64,
    #[serde(default)]
    cycle: bool,
    #[serde(default = "polynomial")]
    name: String,
}

fn ten_thousandth() -> f64 {
    1e-4
}

fn one() -> f64 {
    1.0
}

fn polynomial() -> String {
    "PolynomialDecay".into()
}

/// `values[0]` up to step `boundaries[0]`, then `values[1]` up to `boundaries[1]`, and so on.
/// [Keras](https://keras.io/api/optimizers/learning_rate_schedules/piecewise_constant_decay/)
///
/// ```
/// use oxhorn::schedule::{PiecewiseConstantDecay, Schedule};
/// let schedule = Schedule::from(PiecewiseConstantDecay::new([3.0, 7.0], [1.0, 0.5, 0.25]));
/// assert_eq!([3, 4, 7, 8].map(|step| schedule.at(step)), [1.0, 0.5, 0.5, 0.25]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PiecewiseConstantDecay {
    #[serde(serialize_with = "many_steps")]
    boundaries: Vec<f64>,
    values: Vec<f64>,
    #[serde(default = "piecewise")]
    name: String,
}

fn piecewise() -> String {
    "PiecewiseConstant".into()
}

/// Half a cosine from the initial rate down to `alpha` times it, after a linear warmup if asked for (Loshchilov & Hutter, 2016).
/// [Keras](https://keras.io/api/optimizers/learning_rate_schedules/cosine_decay/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `alpha` | 0 | what is left at the end, as a share |
/// | `warmup_target` | none | rate that the warmup leads to; the decay begins there |
/// | `warmup_steps` | 0 | length of the warmup |
///
/// ```
/// use oxhorn::schedule::{CosineDecay, Schedule};
/// let schedule = Schedule::from(CosineDecay::new(0.0, 4.0).warmup_target(1.0).warmup_steps(2.0));
/// let rate = |step| (schedule.at(step) * 1e6).round() / 1e6; // computed in f32, as in Keras
/// assert_eq!([0, 1, 2, 4, 6, 9].map(rate), [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineDecay {
    initial_learning_rate: f64,
    #[serde(serialize_with = "steps")]
    decay_steps: f64,
    #[serde(default)]
    alpha: f64,
    #[serde(default = "cosine")]
    name: String,
    #[serde(default)]
    warmup_target: Option<f64>,
    #[serde(default, serialize_with = "steps")]
    warmup_steps: f64,
}

fn cosine() -> String {
    "CosineDecay".into()
}

/// [`CosineDecay`] that begins again, each time over `t_mul` times as many steps and from `m_mul` times the rate.
/// [Keras](https://keras.io/api/optimizers/learning_rate_schedules/cosine_decay_restarts/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `t_mul` | 2 | factor on the length of each next period |
/// | `m_mul` | 1 | factor on the rate of each next period |
/// | `alpha` | 0 | what is left at the end of a period, as a share |
///
/// ```
/// use oxhorn::schedule::{CosineDecayRestarts, Schedule};
/// let schedule = Schedule::from(CosineDecayRestarts::new(1.0, 2.0).m_mul(0.5));
/// let rate = |step| (schedule.at(step) * 1e6).round() / 1e6; // computed in f32, as in Keras
/// assert_eq!([0, 1, 2, 4].map(rate), [1.0, 0.5, 0.5, 0.25]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineDecayRestarts {
    initial_learning_rate: f64,
    #[serde(serialize_with = "steps")]
    first_decay_steps: f64,
    #[serde(default = "two")]
    t_mul: f64,
    #[serde(default = "one")]
    m_mul: f64,
    #[serde(default)]
    alpha: f64,
    #[serde(default = "restarts")]
    name: String,
}

fn two() -> f64 {
    2.0
}

fn restarts() -> String {
    "SGDRDecay".into()
}

/// Builder methods, each named as Keras's argument.
macro_rules! builders {
    ($($schedule:ident { $($(#[$doc:meta])* $arg:ident: $type:ty = $value:expr;)* })+) => {$(
        impl $schedule {
            $($(#[$doc])*
            pub fn $arg(mut self, $arg: $type) -> Self {
                self.$arg = $value($arg);
                self
            })*

            /// Its name in files.
            pub fn name(mut self, name: impl Into<String>) -> Self {
                self.name = name.into();
                self
            }
        }

        impl From<$schedule> for Schedule {
            fn from(schedule: $schedule) -> Self {
                Schedule::$schedule(schedule)
            }
        }
    )+};
}

builders! {
    ExponentialDecay {
        /// Whether the exponent is cut to a whole number.
        staircase: bool = std::convert::identity;
    }
    InverseTimeDecay {
        /// Whether the number of periods is cut to a whole number.
        staircase: bool = std::convert::identity;
    }
    PolynomialDecay {
        /// Where it ends.
        end_learning_rate: f64 = std::convert::identity;
        /// Exponent.
        power: f64 = std::convert::identity;
        /// Whether it begins again.
        cycle: bool = std::convert::identity;
    }
    PiecewiseConstantDecay {}
    CosineDecay {
        /// What is left at the end, as a share.
        alpha: f64 = std::convert::identity;
        /// Rate that the warmup leads to.
        warmup_target: f64 = Some;
        /// Length of the warmup.
        warmup_steps: f64 = std::convert::identity;
    }
    CosineDecayRestarts {
        /// Factor on the length of each next period.
        t_mul: f64 = std::convert::identity;
        /// Factor on the rate of each next period.
        m_mul: f64 = std::convert::identity;
        /// What is left at the end of a period, as a share.
        alpha: f64 = std::convert::identity;
    }
}

impl ExponentialDecay {
    /// From this rate, multiplied by `decay_rate` every `decay_steps` steps.
    pub fn new(initial_learning_rate: f64, decay_steps: f64, decay_rate: f64) -> Self {
        ExponentialDecay {
            initial_learning_rate,
            decay_steps,
            decay_rate,
            staircase: false,
            name: exponential(),
        }
    }

    pub(super) fn at(&self, step: f32) -> f32 {
        let p = step / self.decay_steps as f32;
        let p = if self.staircase { p.floor() } else { p };
        self.initial_learning_rate as f32 * (self.decay_rate as f32).powf(p)
    }

    pub(super) fn check(&self) -> Result<()> {
        positive("decay_steps", self.decay_steps)?;
        finite(&[
            ("initial_learning_rate", self.initial_learning_rate),
            ("decay_rate", self.decay_rate),
        ])
    }
}

impl InverseTimeDecay {
    /// From this rate, divided by one more `decay_rate` every `decay_steps` steps.
    pub fn new(initial_learning_rate: f64, decay_steps: f64, decay_rate: f64) -> Self {
        InverseTimeDecay {
            initial_learning_rate,
            decay_steps,
            decay_rate,
            staircase: false,
            name: inverse_time(),
        }
    }

    pub(super) fn at(&self, step: f32) -> f32 {
        let p = step / self.decay_steps as f32;
        let p = if self.staircase { p.floor() } else { p };
        self.initial_learning_rate as f32 / (1.0 + self.decay_rate as f32 * p)
    }

    pub(super) fn check(&self) -> Result<()> {
        positive("decay_steps", self.decay_steps)?;
        finite(&[
            ("initial_learning_rate", self.initial_learning_rate),
            ("decay_rate", self.decay_rate),
        ])
    }
}

impl PolynomialDecay {
    /// From this rate, over so many steps.
    pub fn new(initial_learning_rate: f64, decay_steps: f64) -> Self {
        PolynomialDecay {
            initial_learning_rate,
            decay_steps,
            end_learning_rate: ten_thousandth(),
            power: 1.0,
            cycle: false,
            name: polynomial(),
        }
    }

    pub(super) fn at(&self, step: f32) -> f32 {
        let (start, end) = (
            self.initial_learning_rate as f32,
            self.end_learning_rate as f32,
        );
        let whole = self.decay_steps as f32;
        let (step, whole) = match self.cycle {
            true if step == 0.0 => (step, whole),
            true => (step, whole * (step / whole).ceil()),
            false => (step.min(whole), whole),
        };
        (start - end) * (1.0 - step / whole).powf(self.power as f32) + end
    }

    pub(super) fn check(&self) -> Result<()> {
        positive("decay_steps", self.decay_steps)?;
        finite(&[
            ("initial_learning_rate", self.initial_learning_rate),
            ("end_learning_rate", self.end_learning_rate),
            ("power", self.power),
        ])
    }
}

impl PiecewiseConstantDecay {
    /// These values, each up to its boundary, the last one ever after.
    pub fn new(boundaries: impl Into<Vec<f64>>, values: impl Into<Vec<f64>>) -> Self {
        PiecewiseConstantDecay {
            boundaries: boundaries.into(),
            values: values.into(),
            name: piecewise(),
        }
    }

    pub(super) fn at(&self, step: u64) -> f32 {
        // Keras makes integers of the boundaries.
        let passed = |b: &&f64| step as f64 > b.trunc();
        let i = self.boundaries.iter().filter(passed).count();
        self.values.get(i).map_or(0.0, |v| *v as f32)
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.boundaries.is_empty() || self.values.len() != self.boundaries.len() + 1 {
            let want = format!("one more than the {} boundaries", self.boundaries.len());
            return Err(Error::arg("values", want, self.values.len()));
        }
        if !self.boundaries.is_sorted() {
            let got = format!("{:?}", self.boundaries);
            return Err(Error::arg("boundaries", "ascending steps", got));
        }
        let all = self.boundaries.iter().map(|b| ("boundaries", *b));
        let all = all.chain(self.values.iter().map(|v| ("values", *v)));
        finite(&all.collect::<Vec<_>>())
    }
}

impl CosineDecay {
    /// From this rate, over so many steps.
    pub fn new(initial_learning_rate: f64, decay_steps: f64) -> Self {
        CosineDecay {
            initial_learning_rate,
            decay_steps,
            alpha: 0.0,
            name: cosine(),
            warmup_target: None,
            warmup_steps: 0.0,
        }
    }

    fn decay(&self, step: f32, from: f32) -> f32 {
        let cosine = (std::f32::consts::PI * (step / self.decay_steps as f32)).cos();
        let alpha = self.alpha as f32;
        from * ((1.0 - alpha) * (0.5 * (1.0 + cosine)) + alpha)
    }

    pub(super) fn at(&self, step: f32) -> f32 {
        let (start, whole) = (self.initial_learning_rate as f32, self.decay_steps as f32);
        let Some(target) = self.warmup_target else {
            return self.decay(step.min(whole), start);
        };
        let (target, warmup) = (target as f32, self.warmup_steps as f32);
        let step = step.min(whole + warmup);
        if step < warmup {
            (target - start) * (step / warmup) + start
        } else {
            self.decay(step - warmup, target)
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        positive("decay_steps", self.decay_steps)?;
        finite(&[
            ("initial_learning_rate", self.initial_learning_rate),
            ("alpha", self.alpha),
            ("warmup_target", self.warmup_target.unwrap_or(0.0)),
        ])?;
        if self.warmup_steps >= 0.0 && self.warmup_steps.is_finite() {
            Ok(())
        } else {
            let want = "a number that is not negative";
            Err(Error::arg("warmup_steps", want, self.warmup_steps))
        }
    }
}

impl CosineDecayRestarts {
    /// From this rate, the first period over so many steps.
    pub fn new(initial_learning_rate: f64, first_decay_steps: f64) -> Self {
        CosineDecayRestarts {
            initial_learning_rate,
            first_decay_steps,
            t_mul: 2.0,
            m_mul: 1.0,
            alpha: 0.0,
            name: restarts(),
        }
    }

    pub(super) fn at(&self, step: f32) -> f32 {
        let (t_mul, alpha) = (self.t_mul as f32, self.alpha as f32);
        let done = step / self.first_decay_steps as f32;
        let (period, done) = if t_mul == 1.0 {
            (done.floor(), done - done.floor())
        } else {
            let period = ((1.0 - done * (1.0 - t_mul)).ln() / t_mul.ln()).floor();
            let length = t_mul.powf(period);
            (period, (done - (1.0 - length) / (1.0 - t_mul)) / length)
        };
        let cosine = (std::f32::consts::PI * done).cos();
        let decayed = 0.5 * (self.m_mul as f32).powf(period) * (1.0 + cosine);
        self.initial_learning_rate as f32 * ((1.0 - alpha) * decayed + alpha)
    }

    pub(super) fn check(&self) -> Result<()> {
        positive("first_decay_steps", self.first_decay_steps)?;
        positive("t_mul", self.t_mul)?;
        finite(&[
            ("initial_learning_rate", self.initial_learning_rate),
            ("m_mul", self.m_mul),
            ("alpha", self.alpha),
        ])
    }
}
