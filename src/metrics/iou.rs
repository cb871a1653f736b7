//! Intersection over union of predicted and wanted classes.
//!
//! For each class `tp / (wanted + predicted - tp)`, and the mean over the classes that occur. Rows, columns and diagonal of the
//! confusion matrix are all that is kept.

use std::fmt::Debug;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::{Metric, described, rows_of, weight_at};
use crate::config::{Config, from_config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::reduce::argmax;
use crate::shape::Shape;
use crate::tensor::View;

/// Mean intersection over union of some classes. [Keras](https://keras.io/api/metrics/segmentation_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `num_classes` | | number of classes |
/// | `target_class_ids` | | classes that the mean is taken of |
/// | `ignore_class` | none | targets of this id count nothing |
/// | `sparse_y_true` | true | targets are ids; else the largest along the last axis |
/// | `sparse_y_pred` | true | predictions are ids; else the largest along the last axis |
/// | `dtype` | int64 | with an integer type weights are cut to integers (Keras's rule) |
///
/// ```
/// use oxhorn::metrics::{IoU, Metric, MetricExt};
/// let mut metric = IoU::new(2, [0]);
/// metric.update_state(&[0, 0, 1, 1], &[0, 1, 0, 1])?;
/// assert!((metric.result() - 1.0 / 3.0).abs() < 1e-6);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type IoU = IoUMetric<kinds::IoU>;

/// Intersection over union of two classes, from predictions and a threshold.
/// [Keras](https://keras.io/api/metrics/segmentation_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `target_class_ids` | 0, 1 | classes that the mean is taken of |
/// | `threshold` | 0.5 | predictions of at least this are class 1 |
/// | `dtype` | int64 | with an integer type weights are cut to integers |
///
/// ```
/// use oxhorn::metrics::{BinaryIoU, Metric, MetricExt};
/// let mut metric = BinaryIoU::default().threshold(0.3);
/// metric.update_state(&[[0], [1], [0], [1]], &[[0.1], [0.2], [0.4], [0.7]])?;
/// assert!((metric.result() - 1.0 / 3.0).abs() < 1e-6);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type BinaryIoU = IoUMetric<kinds::BinaryIoU>;

/// [`IoU`] of all classes. [Keras](https://keras.io/api/metrics/segmentation_metrics/)
///
/// ```
/// use oxhorn::metrics::{MeanIoU, Metric, MetricExt};
/// let mut metric = MeanIoU::new(2);
/// metric.update_state(&[0, 0, 1, 1], &[0, 1, 0, 1])?;
/// assert!((metric.result() - 1.0 / 3.0).abs() < 1e-6);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type MeanIoU = IoUMetric<kinds::MeanIoU>;

/// [`IoU`] of some classes for one-hot targets and, by default, predictions `(.., classes)`.
/// [Keras](https://keras.io/api/metrics/segmentation_metrics/)
///
/// ```
/// use oxhorn::metrics::{Metric, MetricExt, OneHotIoU};
/// let mut metric = OneHotIoU::new(2, [0]);
/// metric.update_state(&[[1, 0], [0, 1]], &[[0.9, 0.1], [0.6, 0.4]])?;
/// assert!((metric.result() - 0.5).abs() < 1e-6);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type OneHotIoU = IoUMetric<kinds::OneHotIoU>;

/// [`OneHotIoU`] of all classes. [Keras](https://keras.io/api/metrics/segmentation_metrics/)
///
/// ```
/// use oxhorn::metrics::{Metric, MetricExt, OneHotMeanIoU};
/// let mut metric = OneHotMeanIoU::new(2);
/// metric.update_state(&[[1, 0], [0, 1]], &[[0.9, 0.1], [0.6, 0.4]])?;
/// assert!((metric.result() - 0.25).abs() < 1e-6);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type OneHotMeanIoU = IoUMetric<kinds::OneHotMeanIoU>;

/// Which of the family an [`IoUMetric`] is.
pub trait Kind: Clone + Debug + Send + Sync + 'static {
    /// Keras's class name.
    const CLASS: &'static str;
    /// Name in logs.
    const NAME: &'static str;
    /// Keras's arguments.
    const ARGUMENTS: &'static [&'static str];
    /// Whether targets are one-hot.
    const ONE_HOT: bool = false;
}

/// The kinds of [`IoUMetric`].
pub mod kinds {
    use super::Kind;

    macro_rules! kinds {
        ($($kind:ident, $name:literal, $one_hot:literal, [$($argument:literal),*];)+) => {$(
            #[doc = concat!("Of [`", stringify!($kind), "`](super::", stringify!($kind), ").")]
            #[derive(Clone, Copy, Debug)]
            pub struct $kind;

            impl Kind for $kind {
                const CLASS: &'static str = stringify!($kind);
                const NAME: &'static str = $name;
                const ARGUMENTS: &'static [&'static str] = &[$($argument),*];
                const ONE_HOT: bool = $one_hot;
            }
        )+};
    }

    kinds! {
        IoU, "io_u", false,
            ["num_classes", "target_class_ids", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis"];
        BinaryIoU, "binary_io_u", false, ["target_class_ids", "threshold"];
        MeanIoU, "mean_io_u", false, ["num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis"];
        OneHotIoU, "one_hot_io_u", true,
            ["num_classes", "target_class_ids", "ignore_class", "sparse_y_pred", "axis"];
        OneHotMeanIoU, "one_hot_mean_io_u", true, ["num_classes", "ignore_class", "sparse_y_pred", "axis"];
    }
}

/// Mean intersection over union.
#[derive(Clone, Debug)]
pub struct IoUMetric<K> {
    name: String,
    /// Keras's type of the confusion matrix: with an integer type weights and ids are cut to integers.
    dtype: String,
    arguments: Arguments,
    counts: Vec<Counts>,
    kind: PhantomData<K>,
}

/// The arguments of the whole family; each kind has some of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// 2 for [`BinaryIoU`].
    #[serde(default = "two")]
    num_classes: usize,
    /// All where not given.
    #[serde(default)]
    target_class_ids: Option<Vec<usize>>,
    #[serde(default)]
    ignore_class: Option<i64>,
    #[serde(default = "yes")]
    sparse_y_true: bool,
    #[serde(default = "yes")]
    sparse_y_pred: bool,
    #[serde(default = "half")]
    threshold: f64,
    #[serde(default = "last")]
    axis: i64,
}

fn two() -> usize {
    2
}

fn yes() -> bool {
    true
}

fn half() -> f64 {
    0.5
}

fn last() -> i64 {
    -1
}

/// Weights of one class: wanted, predicted, both.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    wanted: f64,
    predicted: f64,
    both: f64,
}

/// Most classes there may be: memory is not given to what a file merely says.
const MOST: usize = 1 << 24;

impl<K: Kind> IoUMetric<K> {
    fn of(num_classes: usize, targets: Option<Vec<usize>>) -> Self {
        IoUMetric {
            name: K::NAME.into(),
            dtype: "int64".into(),
            arguments: Arguments {
                num_classes,
                target_class_ids: targets,
                ignore_class: None,
                sparse_y_true: !K::ONE_HOT,
                sparse_y_pred: !K::ONE_HOT,
                threshold: 0.5,
                axis: -1,
            },
            counts: Vec::new(),
            kind: PhantomData,
        }
    }

    /// Name in logs and history.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Type of the counts: `"float32"` keeps weights as they are.
    pub fn dtype(mut self, dtype: impl Into<String>) -> Self {
        self.dtype = dtype.into();
        self
    }

    fn binary(&self) -> bool {
        K::ARGUMENTS.contains(&"threshold")
    }

    pub(super) fn read(name: Option<&str>, dtype: Option<&str>, config: &Config) -> Result<Self> {
        let wrong = |problem: String| Error::Config {
            path: K::CLASS.into(),
            problem,
        };
        if let Some(key) = config
            .keys()
            .find(|key| !K::ARGUMENTS.contains(&key.as_str()))
        {
            return Err(wrong(format!("unknown argument `{key}`")));
        }
        for required in ["num_classes", "target_class_ids"] {
            let needed = K::ARGUMENTS.contains(&required) && K::CLASS != "BinaryIoU";
            if needed && !config.contains_key(required) {
                return Err(wrong(format!("argument `{required}` is missing")));
            }
        }
        let mut arguments: Arguments = from_config(K::CLASS, config)?;
        if K::CLASS == "BinaryIoU" {
            arguments.target_class_ids.get_or_insert(vec![0, 1]);
        }
        if K::ONE_HOT {
            arguments.sparse_y_true = false;
            arguments.sparse_y_pred &= config.contains_key("sparse_y_pred");
        }
        Ok(IoUMetric {
            name: name.unwrap_or(K::NAME).into(),
            dtype: dtype.unwrap_or("int64").into(),
            arguments,
            ..IoUMetric::of(2, None)
        })
    }

    fn whole(&self) -> bool {
        self.dtype.contains("int")
    }

    /// Ids in a row of the last axis: one, or the place of the largest.
    fn largest(&self) -> (bool, bool) {
        let Arguments {
            sparse_y_true,
            sparse_y_pred,
            ..
        } = self.arguments;
        (!sparse_y_true, !sparse_y_pred && !self.binary())
    }
}

impl IoUMetric<kinds::IoU> {
    /// Of these among so many classes.
    pub fn new(num_classes: usize, target_class_ids: impl Into<Vec<usize>>) -> Self {
        IoUMetric::of(num_classes, Some(target_class_ids.into()))
    }
}

impl IoUMetric<kinds::OneHotIoU> {
    /// Of these among so many classes.
    pub fn new(num_classes: usize, target_class_ids: impl Into<Vec<usize>>) -> Self {
        IoUMetric::of(num_classes, Some(target_class_ids.into()))
    }
}

impl IoUMetric<kinds::MeanIoU> {
    /// Of so many classes.
    pub fn new(num_classes: usize) -> Self {
        IoUMetric::of(num_classes, None)
    }
}

impl IoUMetric<kinds::OneHotMeanIoU> {
    /// Of so many classes.
    pub fn new(num_classes: usize) -> Self {
        IoUMetric::of(num_classes, None)
    }
}

impl Default for IoUMetric<kinds::BinaryIoU> {
    fn default() -> Self {
        IoUMetric::of(2, Some(vec![0, 1]))
    }
}

impl IoUMetric<kinds::BinaryIoU> {
    /// Classes that the mean is taken of.
    pub fn target_class_ids(mut self, ids: impl Into<Vec<usize>>) -> Self {
        self.arguments.target_class_ids = Some(ids.into());
        self
    }

    /// Predictions of at least this are class 1.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.arguments.threshold = threshold;
        self
    }
}

/// Builders of the kinds that have these arguments.
macro_rules! builders {
    ($($kind:ident: $($sparse_y_true:ident)?;)+) => {$(
        impl IoUMetric<kinds::$kind> {
            /// Targets of this id count nothing.
            pub fn ignore_class(mut self, class: i64) -> Self {
                self.arguments.ignore_class = Some(class);
                self
            }

            $(/// Whether targets are ids.
            pub fn $sparse_y_true(mut self, yes: bool) -> Self {
                self.arguments.$sparse_y_true = yes;
                self
            })?

            /// Whether predictions are ids.
            pub fn sparse_y_pred(mut self, yes: bool) -> Self {
                self.arguments.sparse_y_pred = yes;
                self
            }

            /// Axis of the classes: the last one, as in Keras.
            pub fn axis(mut self, axis: i64) -> Self {
                self.arguments.axis = axis;
                self
            }
        }
    )+};
}

builders! {
    IoU: sparse_y_true;
    MeanIoU: sparse_y_true;
    OneHotIoU:;
    OneHotMeanIoU:;
}

impl<K: Kind> Metric for IoUMetric<K> {
    fn class_name(&self) -> &'static str {
        K::CLASS
    }

    fn config(&self) -> Config {
        let mut own = to_config(&self.arguments);
        own.retain(|key, _| K::ARGUMENTS.contains(&key.as_str()));
        described(&self.name, &self.dtype, own)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        let Arguments {
            num_classes,
            target_class_ids,
            threshold,
            axis,
            ..
        } = &self.arguments;
        if !self.whole() && !self.dtype.contains("float") {
            return Err(Error::arg("dtype", "an integer or float type", &self.dtype));
        }
        if !(1..=MOST).contains(num_classes) {
            return Err(Error::arg(
                "num_classes",
                format!("from 1 to {MOST}"),
                num_classes,
            ));
        }
        let ids = target_class_ids.iter().flatten();
        if let Some(id) = ids.clone().find(|id| *id >= num_classes) {
            let want = format!("less than the {num_classes} classes");
            return Err(Error::arg("target_class_ids", want, id));
        }
        if *axis != -1 {
            return Err(Error::arg("axis", "-1, the last axis", axis));
        }
        if !threshold.is_finite() {
            return Err(Error::arg("threshold", "a number", threshold));
        }
        let count = |shape: &Shape, largest: bool| {
            let dims = shape.dims();
            let kept = dims.len().saturating_sub(usize::from(largest));
            Shape::from(dims[..kept].to_vec()).numel()
        };
        let (true_largest, pred_largest) = self.largest();
        match (count(y_true, true_largest), count(y_pred, pred_largest)) {
            (Some(t), Some(p)) if t != p => Err(Error::shape(
                format!("{p} targets a sample, one for each prediction"),
                format!("{t} (targets {y_true}, output {y_pred})"),
            )),
            _ => Ok(()),
        }
    }

    fn reset(&mut self) {
        self.counts.fill(Counts::default());
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let classes = self.arguments.num_classes;
        self.counts.resize(classes, Counts::default());
        let (whole, binary) = (self.whole(), self.binary());
        let threshold = self.arguments.threshold as Float;
        let cut = |x: Float| if whole { x.trunc() } else { x };
        let (true_largest, pred_largest) = self.largest();
        let cols = |view: View<'_>, largest: bool| if largest { view.cols() } else { 1 };
        let (t_cols, p_cols) = (cols(y_true, true_largest), cols(y_pred, pred_largest));
        let rows = y_pred.data.len() / p_cols;
        let pairs = y_true
            .data
            .chunks_exact(t_cols)
            .zip(y_pred.data.chunks_exact(p_cols));
        for (r, (t, p)) in pairs.enumerate() {
            let wanted = if true_largest {
                argmax(t) as Float
            } else {
                cut(t[0])
            };
            let predicted = if binary {
                Float::from(u8::from(p[0] >= threshold))
            } else if pred_largest {
                argmax(p) as Float
            } else {
                cut(p[0])
            };
            let known = 0.0..classes as Float;
            let ignored = self.arguments.ignore_class.map(|c| c as Float) == Some(wanted);
            if ignored || !known.contains(&wanted) || !known.contains(&predicted) {
                continue;
            }
            let weight = weight_at(weight, r, y_pred.batch, rows);
            let weight = if whole { weight.trunc() } else { weight };
            let (wanted, predicted) = (wanted as usize, predicted as usize);
            self.counts[wanted].wanted += weight;
            self.counts[predicted].predicted += weight;
            if wanted == predicted {
                self.counts[wanted].both += weight;
            }
        }
    }

    fn result(&self) -> f64 {
        const EPSILON: f64 = 1e-7;
        let (mut sum, mut valid) = (0.0, 0.0);
        let mut add = |c: &Counts| {
            let union = c.wanted + c.predicted - c.both;
            if union > 1e-9 {
                sum += c.both / (union + EPSILON);
                valid += 1.0;
            }
        };
        match &self.arguments.target_class_ids {
            Some(ids) => ids
                .iter()
                .filter_map(|&id| self.counts.get(id))
                .for_each(&mut add),
            None => self.counts.iter().for_each(&mut add),
        }
        sum / (valid + EPSILON)
    }

    fn state(&self) -> Option<Vec<f64>> {
        let counts = self.counts.iter();
        Some(
            counts
                .flat_map(|c| [c.both, c.predicted, c.wanted])
                .collect(),
        )
    }

    fn set_state(&mut self, state: &[f64]) -> bool {
        let Some(rows) = rows_of(state) else {
            return false;
        };
        let counts = |&[both, predicted, wanted]: &[f64; 3]| Counts {
            both,
            predicted,
            wanted,
        };
        self.counts = rows.iter().map(counts).collect();
        true
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(IoUMetric {
            counts: Vec::new(),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricExt;

    #[test]
    fn weights_are_cut_by_integer_types() {
        let value = |dtype: &str| {
            let mut metric = MeanIoU::new(2).dtype(dtype);
            let weights = [0.3, 1.7, 0.4, 2.9];
            metric
                .update_weighted(&[0, 0, 1, 1], &[0, 1, 0, 1], Some(&weights))
                .unwrap();
            metric.result()
        };
        // Class 0: 0.3 / (2.0 + 0.7 - 0.3); class 1: 2.9 / (3.3 + 4.6 - 2.9)
        let exact = (0.3 / 2.4 + 2.9 / 5.0) / 2.0;
        assert!((value("float32") - exact).abs() < 1e-6);
        // Weights 0, 1, 0, 2: class 0 0 / 1, class 1 2 / 3.
        assert!((value("int64") - 1.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn ids_that_are_not_known_count_nothing() {
        let mut metric = IoU::new(3, [1, 2]).ignore_class(0);
        metric
            .update_state(&[0, 1, 1, 7, 2], &[1, 1, 2, 1, -1])
            .unwrap();
        // Class 1: 1 / 2; class 2: 0 / 1.
        assert!((metric.result() - 0.25).abs() < 1e-6);
        let mut images = MeanIoU::new(2).sparse_y_pred(false);
        images
            .update_state(&[[0, 1]], &ndarray::array![[[0.9, 0.1], [0.2, 0.8]]])
            .unwrap();
        assert!((images.result() - 1.0).abs() < 1e-6);
        for bad in [
            IoU::new(2, [2]),
            IoU::new(0, []),
            IoU::new(usize::MAX, [0]),
            IoU::new(2, [0]).axis(1),
            IoU::new(2, [0]).dtype("string"),
            IoU::new(2, [0]).sparse_y_pred(false),
        ] {
            assert!(bad.check(&[4].into(), &[4].into()).is_err());
        }
    }
}
