//! Learning rates that change with the step, with Keras's formulas, names and defaults.
//!
//! They are evaluated in single precision, as Keras does: where a schedule has jumps, rounding decides on which side a step is.
//!
//! ```
//! use oxhorn::schedule::{ExponentialDecay, Schedule};
//! let schedule = Schedule::from(ExponentialDecay::new(0.1, 10.0, 0.5));
//! assert_eq!((schedule.at(0), schedule.at(20)), (0.1f32.into(), 0.025f32.into()));
//! ```

mod laws;

pub use laws::{
    CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay,
    PolynomialDecay,
};

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::{Config, from_config, to_config};
use crate::envelope::{Object, envelope, keras_object};
use crate::error::{Error, Result};

pub use crate::envelope::Custom;

/// A function of yours from the number of the step (from 0) to the learning rate.
pub type ScheduleFn = dyn Fn(u64) -> f64 + Send + Sync;

/// A learning rate that changes with the step. Every class of schedule converts into one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// See [`ExponentialDecay`].
    ExponentialDecay(ExponentialDecay),
    /// See [`InverseTimeDecay`].
    InverseTimeDecay(InverseTimeDecay),
    /// See [`PolynomialDecay`].
    PolynomialDecay(PolynomialDecay),
    /// See [`PiecewiseConstantDecay`].
    PiecewiseConstantDecay(PiecewiseConstantDecay),
    /// See [`CosineDecay`].
    CosineDecay(CosineDecay),
    /// See [`CosineDecayRestarts`].
    CosineDecayRestarts(CosineDecayRestarts),
    /// A function of yours: [`Schedule::custom`].
    Custom(Custom<ScheduleFn>),
    /// A name that nothing is known by; [`Schedule::check`] says so.
    Invalid(String),
}

const NAMES: [&str; 6] = [
    "ExponentialDecay",
    "InverseTimeDecay",
    "PolynomialDecay",
    "PiecewiseConstantDecay",
    "CosineDecay",
    "CosineDecayRestarts",
];

impl Schedule {
    /// A schedule of your own; files keep its name only.
    pub fn custom(
        name: impl Into<String>,
        rate: impl Fn(u64) -> f64 + Send + Sync + 'static,
    ) -> Self {
        Schedule::Custom(Custom::new(name, Arc::new(rate)))
    }

    /// The learning rate of the step that comes after so many.
    pub fn at(&self, step: u64) -> f64 {
        let f = step as f32;
        f64::from(match self {
            Schedule::ExponentialDecay(s) => s.at(f),
            Schedule::InverseTimeDecay(s) => s.at(f),
            Schedule::PolynomialDecay(s) => s.at(f),
            Schedule::PiecewiseConstantDecay(s) => s.at(step),
            Schedule::CosineDecay(s) => s.at(f),
            Schedule::CosineDecayRestarts(s) => s.at(f),
            Schedule::Custom(custom) => return (custom.function)(step),
            Schedule::Invalid(_) => 0.0,
        })
    }

    /// Whether the arguments make sense.
    ///
    /// # Errors
    /// Names the argument.
    pub fn check(&self) -> Result<()> {
        match self {
            Schedule::ExponentialDecay(s) => s.check(),
            Schedule::InverseTimeDecay(s) => s.check(),
            Schedule::PolynomialDecay(s) => s.check(),
            Schedule::PiecewiseConstantDecay(s) => s.check(),
            Schedule::CosineDecay(s) => s.check(),
            Schedule::CosineDecayRestarts(s) => s.check(),
            Schedule::Custom(_) => Ok(()),
            Schedule::Invalid(name) => Err(Error::unknown("schedule", name, NAMES)),
        }
    }

    fn from_object(object: Object) -> std::result::Result<Self, String> {
        fn read<T: serde::de::DeserializeOwned>(config: &Config) -> std::result::Result<T, String> {
            from_config("", config).map_err(|e| match e {
                Error::Config { problem, .. } => problem,
                other => other.to_string(),
            })
        }
        let config = object.args.into_config();
        Ok(match object.class.as_str() {
            "ExponentialDecay" => Schedule::ExponentialDecay(read(&config)?),
            "InverseTimeDecay" => Schedule::InverseTimeDecay(read(&config)?),
            "PolynomialDecay" => Schedule::PolynomialDecay(read(&config)?),
            "PiecewiseConstantDecay" => Schedule::PiecewiseConstantDecay(read(&config)?),
            "CosineDecay" => Schedule::CosineDecay(read(&config)?),
            "CosineDecayRestarts" => Schedule::CosineDecayRestarts(read(&config)?),
            _ => Schedule::Invalid(object.class),
        })
    }

    fn to_value(&self) -> Value {
        let (class, config) = match self {
            Schedule::ExponentialDecay(s) => ("ExponentialDecay", to_config(s)),
            Schedule::InverseTimeDecay(s) => ("InverseTimeDecay", to_config(s)),
            Schedule::PolynomialDecay(s) => ("PolynomialDecay", to_config(s)),
            Schedule::PiecewiseConstantDecay(s) => ("PiecewiseConstantDecay", to_config(s)),
            Schedule::CosineDecay(s) => ("CosineDecay", to_config(s)),
            Schedule::CosineDecayRestarts(s) => ("CosineDecayRestarts", to_config(s)),
            Schedule::Custom(custom) => return custom.envelope(),
            Schedule::Invalid(name) => return json!(name),
        };
        envelope("keras.optimizers.schedules", class, Value::Object(config))
    }
}

keras_object!(Schedule);

/// The learning rate of an optimizer: a number, or a [`Schedule`].
#[derive(Clone, Debug, PartialEq)]
pub enum LearningRate {
    /// The same at every step, until it is set to another.
    Constant(f64),
    /// By the number of the step.
    Schedule(Schedule),
}

impl From<f64> for LearningRate {
    fn from(rate: f64) -> Self {
        LearningRate::Constant(rate)
    }
}

impl<S: Into<Schedule>> From<S> for LearningRate {
    fn from(schedule: S) -> Self {
        LearningRate::Schedule(schedule.into())
    }
}

impl LearningRate {
    /// The rate of the step that comes after so many.
    pub fn at(&self, step: u64) -> f64 {
        match self {
            LearningRate::Constant(rate) => *rate,
            LearningRate::Schedule(schedule) => schedule.at(step),
        }
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// Names the argument.
    pub fn check(&self) -> Result<()> {
        match self {
            LearningRate::Constant(rate) if !(*rate >= 0.0 && rate.is_finite()) => Err(Error::arg(
                "learning_rate",
                "a number that is not negative",
                rate,
            )),
            LearningRate::Constant(_) => Ok(()),
            LearningRate::Schedule(schedule) => schedule.check(),
        }
    }

    /// As Keras writes it: a number in single precision, or the object of a schedule.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            LearningRate::Constant(rate) => json!(f64::from(*rate as f32)),
            LearningRate::Schedule(schedule) => schedule.to_value(),
        }
    }

    /// Reads what [`to_value`](Self::to_value) writes.
    pub(crate) fn from_value(value: Value) -> std::result::Result<Self, String> {
        match value {
            Value::Number(n) => Ok(LearningRate::Constant(n.as_f64().unwrap_or(f64::NAN))),
            Value::Object(_) => Object::read(value)
                .and_then(Schedule::from_object)
                .map(LearningRate::Schedule),
            other => Err(format!("expected a number or a schedule, got {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[schedule(step) for step in range(12)]` in Keras 3.15.
    #[test]
    fn numbers_are_keras_s() {
        let check = |schedule: Schedule, want: &[f64]| {
            schedule.check().unwrap();
            for (step, want) in want.iter().enumerate() {
                let got = schedule.at(step as u64);
                assert!(
                    (got - want).abs() < 1e-7,
                    "{schedule:?} {step}: {got} {want}"
                );
            }
        };
        check(
            ExponentialDecay::new(0.1, 3.0, 0.5).into(),
            &[
                0.1,
                0.079370052,
                0.062996052,
                0.050000001,
                0.039685026,
                0.031498026,
                0.025,
                0.019842515,
                0.015749013,
                0.0125,
                0.0099212574,
                0.0078745065,
            ],
        );
        check(
            ExponentialDecay::new(0.1, 3.0, 0.5).staircase(true).into(),
            &[
                0.1,
                0.1,
                0.1,
                0.050000001,
                0.050000001,
                0.050000001,
                0.025,
                0.025,
                0.025,
                0.0125,
                0.0125,
                0.0125,
            ],
        );
        check(
            InverseTimeDecay::new(0.1, 3.0, 0.5).into(),
            &[
                0.1,
                0.085714288,
                0.074999996,
                0.06666667,
                0.059999999,
                0.054545458,
                0.050000001,
                0.046153851,
                0.04285714,
                0.039999999,
                0.037500001,
                0.035294116,
            ],
        );
        check(
            InverseTimeDecay::new(0.1, 3.0, 0.5).staircase(true).into(),
            &[
                0.1,
                0.1,
                0.1,
                0.06666667,
                0.06666667,
                0.06666667,
                0.050000001,
                0.050000001,
                0.050000001,
                0.039999999,
                0.039999999,
                0.039999999,
            ],
        );
        check(
            PolynomialDecay::new(0.1, 7.0)
                .end_learning_rate(0.01)
                .power(2.0)
                .into(),
            &[
                0.1,
                0.076122448,
                0.055918366,
                0.039387755,
                0.02653061,
                0.017346937,
                0.011836735,
                0.0099999998,
                0.0099999998,
                0.0099999998,
                0.0099999998,
                0.0099999998,
            ],
        );
        check(
            PolynomialDecay::new(0.1, 4.0)
                .end_learning_rate(0.02)
                .power(1.5)
                .cycle(true)
                .into(),
            &[
                0.099999994,
                0.071961522,
                0.04828427,
                0.029999999,
                0.02,
                0.038371172,
                0.029999999,
                0.023535533,
                0.02,
                0.029999999,
                0.025443312,
                0.021924499,
            ],
        );
        check(
            PiecewiseConstantDecay::new([3.0, 7.0], [0.1, 0.02, 0.005]).into(),
            &[
                0.1,
                0.1,
                0.1,
                0.1,
                0.02,
                0.02,
                0.02,
                0.02,
                0.0049999999,
                0.0049999999,
                0.0049999999,
                0.0049999999,
            ],
        );
        check(
            CosineDecay::new(0.1, 8.0).alpha(0.1).into(),
            &[
                0.1,
                0.096574582,
                0.086819813,
                0.072220758,
                0.054999996,
                0.037779242,
                0.023180196,
                0.013425417,
                0.010000001,
                0.010000001,
                0.010000001,
                0.010000001,
            ],
        );
        check(
            CosineDecay::new(0.01, 6.0)
                .alpha(0.05)
                .warmup_target(0.1)
                .warmup_steps(4.0)
                .into(),
            &[
                0.0099999998,
                0.032499999,
                0.055,
                0.077500001,
                0.1,
                0.093636207,
                0.076250002,
                0.052499998,
                0.028749997,
                0.011363794,
                0.0050000004,
                0.0050000004,
            ],
        );
        check(
            CosineDecayRestarts::new(0.1, 3.0)
                .t_mul(1.5)
                .m_mul(0.8)
                .alpha(0.05)
                .into(),
            &[
                0.1,
                0.076250002,
                0.028749997,
                0.081,
                0.072109692,
                0.049598634,
                0.023999996,
                0.0072916807,
                0.064980574,
                0.058687754,
                0.047440831,
                0.033632394,
            ],
        );
        check(
            CosineDecayRestarts::new(0.1, 3.0)
                .t_mul(1.0)
                .m_mul(0.8)
                .into(),
            &[
                0.1,
                0.075000003,
                0.024999997,
                0.080000006,
                0.059999999,
                0.020000005,
                0.064000003,
                0.048000012,
                0.015999993,
                0.051200002,
                0.038400009,
                0.012799995,
            ],
        );
    }

    #[test]
    fn json_is_keras_s() {
        let cosine = Schedule::from(CosineDecay::new(0.05, 9.0).alpha(0.1));
        let text = serde_json::to_string(&cosine).unwrap();
        assert_eq!(
            text,
            r#"{"module":"keras.optimizers.schedules","class_name":"CosineDecay","config":{"initial_learning_rate":0.05,"decay_steps":9,"alpha":0.1,"name":"CosineDecay","warmup_target":null,"warmup_steps":0},"registered_name":null}"#
        );
        for schedule in [
            cosine,
            ExponentialDecay::new(0.1, 2.5, 0.5).name("mine").into(),
            InverseTimeDecay::new(0.1, 2.0, 0.5).staircase(true).into(),
            PolynomialDecay::new(0.1, 2.0).cycle(true).into(),
            PiecewiseConstantDecay::new([3.0], [0.1, 0.01]).into(),
            CosineDecayRestarts::new(0.1, 3.0).t_mul(1.5).into(),
        ] {
            let value = serde_json::to_value(&schedule).unwrap();
            let read: Schedule = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(read, schedule);
            let rate = LearningRate::from_value(value).unwrap();
            assert_eq!(rate, LearningRate::Schedule(schedule));
        }
        let unknown = json!({"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 3, "decay": 1}});
        assert!(serde_json::from_value::<Schedule>(unknown).is_err());
        assert_eq!(
            LearningRate::from(0.1).to_value(),
            json!(0.10000000149011612)
        );
        assert!(LearningRate::from_value(json!("fast")).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let message = |s: Schedule| s.check().unwrap_err().to_string();
        assert!(message(ExponentialDecay::new(0.1, 0.0, 0.5).into()).contains("`decay_steps`"));
        assert!(
            message(PiecewiseConstantDecay::new([1.0, 2.0], [0.1]).into()).contains("`values`")
        );
        assert!(
            message(PiecewiseConstantDecay::new([2.0, 1.0], [0.1, 0.2, 0.3]).into())
                .contains("ascending")
        );
        assert!(message(CosineDecay::new(f64::NAN, 1.0).into()).contains("initial_learning_rate"));
        assert!(message("CosineDecy".into()).contains("did you mean `CosineDecay`?"));
        assert_eq!(
            Schedule::custom("half", |step| 1.0 / (step as f64 + 1.0)).at(1),
            0.5
        );
    }
}
