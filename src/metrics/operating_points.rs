//! One rate where another is good enough: the best over all thresholds.

use std::fmt::Debug;
use std::marker::PhantomData;

use serde_json::Value;

use super::thresholds::{Counter, Counts, check_class, check_count, even};
use super::{Metric, described, ratio, same_shape};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::Shape;
use crate::tensor::View;

/// The best sensitivity (recall) where the specificity is at least so much.
/// [Keras](https://keras.io/api/metrics/classification_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `specificity` | | what is required, in [0, 1] |
/// | `num_thresholds` | 200 | evenly spaced thresholds that are tried |
/// | `class_id` | none | counts only this column of the last axis |
///
/// ```
/// use oxhorn::metrics::{Metric, MetricExt, SensitivityAtSpecificity};
/// let mut metric = SensitivityAtSpecificity::new(0.5);
/// metric.update_state(&[[0], [0], [0], [1], [1]], &[[0.0], [0.3], [0.8], [0.3], [0.8]])?;
/// assert_eq!(metric.result(), 0.5);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type SensitivityAtSpecificity = OperatingPoint<points::SensitivityAtSpecificity>;

/// The best specificity where the sensitivity (recall) is at least so much.
/// [Keras](https://keras.io/api/metrics/classification_metrics/)
pub type SpecificityAtSensitivity = OperatingPoint<points::SpecificityAtSensitivity>;

/// The best precision where the recall is at least so much. [Keras](https://keras.io/api/metrics/classification_metrics/)
pub type PrecisionAtRecall = OperatingPoint<points::PrecisionAtRecall>;

/// The best recall where the precision is at least so much. [Keras](https://keras.io/api/metrics/classification_metrics/)
pub type RecallAtPrecision = OperatingPoint<points::RecallAtPrecision>;

/// What an [`OperatingPoint`] requires and reports.
pub trait Point: Clone + Debug + Send + Sync + 'static {
    /// Keras's class name.
    const CLASS: &'static str;
    /// Name in logs.
    const NAME: &'static str;
    /// The argument that says what is required.
    const REQUIRED: &'static str;

    /// The rate that is required, and the rate that is reported.
    fn rates(counts: Counts) -> (f64, f64);
}

/// The kinds of [`OperatingPoint`].
pub mod points {
    use super::{Counts, Point, ratio};

    fn sensitivity(c: Counts) -> f64 {
        ratio(c.tp, c.tp + c.fn_)
    }

    fn specificity(c: Counts) -> f64 {
        ratio(c.tn, c.tn + c.fp)
    }

    fn precision(c: Counts) -> f64 {
        ratio(c.tp, c.tp + c.fp)
    }

    macro_rules! points {
        ($($point:ident, $name:literal, $required:literal, $rate:ident, $report:ident;)+) => {$(
            #[doc = concat!("Of [`", stringify!($point), "`](super::", stringify!($point), ").")]
            #[derive(Clone, Copy, Debug)]
            pub struct $point;

            impl Point for $point {
                const CLASS: &'static str = stringify!($point);
                const NAME: &'static str = $name;
                const REQUIRED: &'static str = $required;

                fn rates(counts: Counts) -> (f64, f64) {
                    ($rate(counts), $report(counts))
                }
            }
        )+};
    }

    points! {
        SensitivityAtSpecificity, "sensitivity_at_specificity", "specificity", specificity, sensitivity;
        SpecificityAtSensitivity, "specificity_at_sensitivity", "sensitivity", sensitivity, specificity;
        PrecisionAtRecall, "precision_at_recall", "recall", sensitivity, precision;
        RecallAtPrecision, "recall_at_precision", "precision", precision, sensitivity;
    }
}

/// The best of one rate over the thresholds at which another is at least so much.
#[derive(Clone, Debug)]
pub struct OperatingPoint<P> {
    name: String,
    required: f64,
    num_thresholds: usize,
    class_id: Option<usize>,
    counter: Option<Counter>,
    point: PhantomData<P>,
}

impl<P: Point> OperatingPoint<P> {
    /// With this rate required.
    pub fn new(required: f64) -> Self {
        OperatingPoint {
            name: P::NAME.into(),
            required,
            num_thresholds: 200,
            class_id: None,
            counter: None,
            point: PhantomData,
        }
    }

    /// Name in logs and history.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Evenly spaced thresholds that are tried; with one it is 0.5.
    pub fn num_thresholds(mut self, n: usize) -> Self {
        self.num_thresholds = n;
        self
    }

    /// Counts only this column of the last axis.
    pub fn class_id(mut self, class: usize) -> Self {
        self.class_id = Some(class);
        self
    }

    pub(super) fn read(name: Option<&str>, config: &Config) -> Result<Self> {
        let wrong = |problem: String| Error::Config {
            path: P::CLASS.into(),
            problem,
        };
        let mut config = config.clone();
        let mut take = |key: &str| config.shift_remove(key).filter(|v| !v.is_null());
        let number = |key: &str, value: Option<Value>| match value {
            None => Ok(None),
            Some(v) => v
                .as_u64()
                .map(|n| Some(n as usize))
                .ok_or_else(|| wrong(format!("argument `{key}`: expected a number, got {v}"))),
        };
        let required = take(P::REQUIRED).and_then(|v| v.as_f64());
        let required = required
            .ok_or_else(|| wrong(format!("argument `{}`: expected a number", P::REQUIRED)))?;
        let metric = OperatingPoint {
            name: name.unwrap_or(P::NAME).into(),
            num_thresholds: number("num_thresholds", take("num_thresholds"))?.unwrap_or(200),
            class_id: number("class_id", take("class_id"))?,
            ..OperatingPoint::new(required)
        };
        match config.keys().next() {
            Some(key) => Err(wrong(format!("unknown argument `{key}`"))),
            None => Ok(metric),
        }
    }
}

impl<P: Point> OperatingPoint<P> {
    fn new_counter(&self) -> Counter {
        match self.num_thresholds {
            1 => Counter::new(&[0.5], false),
            n => Counter::new(&even(n, 0.0), true),
        }
    }
}

impl<P: Point> Metric for OperatingPoint<P> {
    fn class_name(&self) -> &'static str {
        P::CLASS
    }

    fn config(&self) -> Config {
        let mut own = Config::new();
        own.insert("class_id".into(), self.class_id.into());
        own.insert("num_thresholds".into(), self.num_thresholds.into());
        own.insert(P::REQUIRED.into(), self.required.into());
        described(&self.name, "float32", own)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        if !(0.0..=1.0).contains(&self.required) {
            return Err(Error::arg(P::REQUIRED, "a number in [0, 1]", self.required));
        }
        check_count(self.num_thresholds, 1)?;
        check_class(self.class_id, y_pred)?;
        same_shape(y_true, y_pred)
    }

    fn reset(&mut self) {
        self.counter = None;
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let mut counter = self.counter.take().unwrap_or_else(|| self.new_counter());
        counter.add_batch(y_true, y_pred, weight, self.class_id, None);
        self.counter = Some(counter);
    }

    fn result(&self) -> f64 {
        let Some(counter) = &self.counter else {
            return 0.0;
        };
        // Keras compares in single precision.
        let enough = |rate: f64| rate as f32 >= self.required as f32;
        counter
            .ascending()
            .map(P::rates)
            .filter(|(rate, _)| enough(*rate))
            .fold(0.0, |best, (_, report)| f64::max(best, report))
    }

    fn state(&self) -> Option<Vec<f64>> {
        let counts = self.counter.as_ref().map(|c| c.state().to_vec());
        Some(counts.unwrap_or_default())
    }

    fn set_state(&mut self, state: &[f64]) -> bool {
        self.counter = None;
        let mut counter = self.new_counter();
        let fits = state.is_empty() || counter.set_state(state);
        if fits && !state.is_empty() {
            self.counter = Some(counter);
        }
        fits
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(OperatingPoint {
            counter: None,
            ..self.clone()
        })
    }
}
