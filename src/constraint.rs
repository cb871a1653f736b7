//! Constraints on weights, with Keras's formulas, names and defaults. They are applied after each update.
//!
//! ```
//! use oxhorn::constraint::Constraint;
//!
//! // Each column of a Dense kernel (the weights into one unit) gets norm 1.
//! let mut w = [3.0, 0.5, 4.0, 0.0];
//! Constraint::unit_norm().apply(&mut w, &[2, 2]);
//! let want = [0.6, 1.0, 0.8, 0.0];
//! assert!(w.iter().zip(want).all(|(w, want): (_, oxhorn::Float)| (w - want).abs() < 1e-6));
//! ```

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    envelope::{Args, Object, envelope, keras_object},
    error::{Error, Result},
    float::{EPSILON, Float},
};

pub use crate::envelope::Custom;

/// A function that puts a weight of the given shape where it may be.
pub type ConstraintFn = dyn Fn(&mut [Float], &[usize]) + Send + Sync;

/// What a weight must satisfy after every update.
///
/// A string names it with Keras's default arguments: `"max_norm"`, `"non_neg"`, `"unit_norm"` or `"min_max_norm"`. Norms are
/// taken over the axes in `axis`, separately for every index of the other axes: `[0]` (default) for a Dense kernel
/// `(inputs, units)`, `[0, 1, 2]` for a Conv2D kernel; an empty list means all axes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Constraint {
    /// Norms up to `max_value`.
    MaxNorm {
        /// Largest norm (2).
        max_value: f64,
        /// Axes that a norm is taken over.
        axis: Vec<isize>,
    },
    /// No negative values.
    NonNeg,
    /// Norms of 1.
    UnitNorm {
        /// Axes that a norm is taken over.
        axis: Vec<isize>,
    },
    /// Norms between `min_value` and `max_value`.
    MinMaxNorm {
        /// Smallest norm (0).
        min_value: f64,
        /// Largest norm (1).
        max_value: f64,
        /// 1 goes there at once, less only that part of the way.
        rate: f64,
        /// Axes that a norm is taken over.
        axis: Vec<isize>,
    },
    /// A function of yours: [`Constraint::custom`].
    Custom(Custom<ConstraintFn>),
    /// A name that nothing is known by; [`Constraint::check`] says so.
    Invalid(String),
}

const NAMES: [&str; 4] = ["max_norm", "non_neg", "unit_norm", "min_max_norm"];

impl Constraint {
    /// [`Constraint::MaxNorm`] over axis 0.
    pub fn max_norm(max_value: f64) -> Self {
        Self::MaxNorm {
            max_value,
            axis: vec![0],
        }
    }

    /// [`Constraint::UnitNorm`] over axis 0.
    pub fn unit_norm() -> Self {
        Self::UnitNorm { axis: vec![0] }
    }

    /// [`Constraint::MinMaxNorm`] over axis 0, with rate 1.
    pub fn min_max_norm(min_value: f64, max_value: f64) -> Self {
        Self::MinMaxNorm {
            min_value,
            max_value,
            rate: 1.0,
            axis: vec![0],
        }
    }

    /// A constraint of your own; files keep its name only.
    pub fn custom(
        name: impl Into<String>,
        apply: impl Fn(&mut [Float], &[usize]) + Send + Sync + 'static,
    ) -> Self {
        Self::Custom(Custom::new(name, Arc::new(apply)))
    }

    /// The same with norms over these axes.
    pub fn axis(mut self, axes: impl Into<Vec<isize>>) -> Self {
        if let Self::MaxNorm { axis, .. }
        | Self::UnitNorm { axis }
        | Self::MinMaxNorm { axis, .. } = &mut self
        {
            *axis = axes.into();
        }
        self
    }

    /// An error that names `arg` if the constraint is unknown or one of its parameters makes no sense.
    pub fn check(&self, arg: &str) -> Result<()> {
        let within = |key, value: f64, low: f64, high: f64| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(Error::arg(
                format!("{arg}.{key}"),
                format!("a number from {low} to {high}"),
                value,
            )),
        };
        match self {
            Self::MaxNorm { max_value, .. } => within("max_value", *max_value, 0.0, f64::MAX),
            Self::MinMaxNorm {
                min_value,
                max_value,
                rate,
                ..
            } => {
                within("min_value", *min_value, 0.0, f64::MAX)?;
                within("max_value", *max_value, *min_value, f64::MAX)?;
                within("rate", *rate, 0.0, 1.0)
            }
            Self::Invalid(name) => Err(Error::unknown("constraint", name, NAMES)),
            _ => Ok(()),
        }
    }

    /// An error if a weight of that shape lacks one of the axes.
    pub fn check_shape(&self, shape: &[usize]) -> Result<()> {
        let axes: &[isize] = match self {
            Self::MaxNorm { axis, .. }
            | Self::UnitNorm { axis }
            | Self::MinMaxNorm { axis, .. } => axis,
            _ => &[],
        };
        if shape.len() > MAX_RANK {
            return Err(Error::shape(
                format!("at most {MAX_RANK} axes"),
                shape.len(),
            ));
        }
        let rank = shape.len() as isize;
        match axes.iter().find(|&&axis| !(-rank..rank).contains(&axis)) {
            Some(axis) => Err(Error::shape(
                format!("a weight with an axis {axis} for the constraint"),
                format!("{shape:?}"),
            )),
            None => Ok(()),
        }
    }

    /// Changes the weight so that it satisfies the constraint. The shape has passed [`Constraint::check_shape`].
    pub fn apply(&self, w: &mut [Float], shape: &[usize]) {
        match self {
            Self::MaxNorm { max_value, axis } => {
                rescale(w, shape, axis, |norm| norm.min(*max_value))
            }
            Self::NonNeg => w
                .iter_mut()
                .for_each(|w| *w = if *w < 0.0 { 0.0 } else { *w }),
            Self::UnitNorm { axis } => rescale(w, shape, axis, |_| 1.0),
            Self::MinMaxNorm {
                min_value,
                max_value,
                rate,
                axis,
            } => rescale(w, shape, axis, |norm| {
                rate * norm.max(*min_value).min(*max_value) + (1.0 - rate) * norm
            }),
            Self::Custom(custom) => (custom.function)(w, shape),
            Self::Invalid(_) => {}
        }
    }

    fn from_object(object: Object) -> std::result::Result<Self, String> {
        let mut args = object.args;
        // Missing: axis 0; null: all axes.
        let axis = |args: &mut Args| match args.contains("axis") {
            true => args.axes("axis").map(Option::unwrap_or_default),
            false => Ok(vec![0]),
        };
        let this = match object.class.as_str() {
            "MaxNorm" | "max_norm" => Self::MaxNorm {
                max_value: args.number("max_value", 2.0)?,
                axis: axis(&mut args)?,
            },
            "NonNeg" | "non_neg" => Self::NonNeg,
            "UnitNorm" | "unit_norm" => Self::UnitNorm {
                axis: axis(&mut args)?,
            },
            "MinMaxNorm" | "min_max_norm" => Self::MinMaxNorm {
                min_value: args.number("min_value", 0.0)?,
                max_value: args.number("max_value", 1.0)?,
                rate: args.number("rate", 1.0)?,
                axis: axis(&mut args)?,
            },
            _ => return Ok(Self::Invalid(object.class)),
        };
        args.finish().map(|()| this)
    }

    fn to_value(&self) -> Value {
        let axes = |axis: &[isize]| match axis {
            [] => Value::Null,
            [one] => json!(one),
            more => json!(more),
        };
        let (class, config) = match self {
            Self::MaxNorm { max_value, axis } => (
                "MaxNorm",
                json!({"max_value": max_value, "axis": axes(axis)}),
            ),
            Self::NonNeg => ("NonNeg", json!({})),
            Self::UnitNorm { axis } => ("UnitNorm", json!({ "axis": axes(axis) })),
            Self::MinMaxNorm {
                min_value,
                max_value,
                rate,
                axis,
            } => (
                "MinMaxNorm",
                json!({"min_value": min_value, "max_value": max_value, "rate": rate, "axis": axes(axis)}),
            ),
            Self::Custom(custom) => return custom.envelope(),
            Self::Invalid(name) => return json!(name),
        };
        envelope("keras.constraints", class, config)
    }
}

keras_object!(Constraint);

const MAX_RANK: usize = 8;

/// `w *= desired(norm) / (epsilon + norm)`, with one norm for every index of the axes that are not in `axes`.
///
/// Neither allocates nor jumps through memory for each element: it goes along the last axis.
fn rescale(w: &mut [Float], shape: &[usize], axes: &[isize], desired: impl Fn(f64) -> f64) {
    let rank = shape.len() as isize;
    let reduced =
        |axis: isize| axes.is_empty() || axes.contains(&axis) || axes.contains(&(axis - rank));
    let groups = Odometer::new(shape, |axis| !reduced(axis));
    let members = Odometer::new(shape, reduced);
    let length = shape.last().copied().unwrap_or(1);
    let factor = |squares: f64| {
        let norm = squares.sqrt();
        (desired(norm) / (EPSILON as f64 + norm)) as Float
    };
    for start in groups.offsets() {
        let rows = members.offsets().map(|offset| start + offset);
        if reduced(rank - 1) {
            rescale_rows(w, rows, length, factor);
        } else {
            rescale_columns(w, rows, length, factor);
        }
    }
}

/// One norm of all rows together.
fn rescale_rows(
    w: &mut [Float],
    rows: impl Iterator<Item = usize> + Clone,
    length: usize,
    factor: impl Fn(f64) -> Float,
) {
    let squares = |row: usize| w[row..row + length].iter().map(|&w| w as f64 * w as f64);
    let factor = factor(rows.clone().flat_map(squares).sum());
    for row in rows {
        w[row..row + length].iter_mut().for_each(|w| *w *= factor);
    }
}

/// One norm for each column of the rows, in blocks of columns.
fn rescale_columns(
    w: &mut [Float],
    rows: impl Iterator<Item = usize> + Clone,
    length: usize,
    factor: impl Fn(f64) -> Float,
) {
    const BLOCK: usize = 64;
    for column in (0..length).step_by(BLOCK) {
        let width = BLOCK.min(length - column);
        let mut squares = [0.0; BLOCK];
        for row in rows.clone().map(|row| row + column) {
            for (sum, &w) in squares.iter_mut().zip(&w[row..row + width]) {
                *sum += w as f64 * w as f64;
            }
        }
        let factors = squares.map(&factor);
        for row in rows.clone().map(|row| row + column) {
            for (w, factor) in w[row..row + width].iter_mut().zip(factors) {
                *w *= factor;
            }
        }
    }
}

/// Counts through some of the axes before the last one.
struct Odometer {
    count: usize,
    /// (size, stride) of each axis, fastest first; what is not used has size 1.
    axes: [(usize, usize); MAX_RANK],
}

impl Odometer {
    fn new(shape: &[usize], wanted: impl Fn(isize) -> bool) -> Self {
        let mut this = Self {
            count: 1,
            axes: [(1, 0); MAX_RANK],
        };
        let before_last = (0..shape.len().saturating_sub(1)).rev();
        let wanted = before_last.filter(|&axis| wanted(axis as isize));
        for (slot, axis) in this.axes.iter_mut().zip(wanted) {
            *slot = (shape[axis], shape[axis + 1..].iter().product());
            this.count *= shape[axis];
        }
        this
    }

    /// Where in memory each index begins.
    fn offsets(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        (0..self.count).map(|mut index| {
            let mut offset = 0;
            for &(size, stride) in &self.axes {
                offset += index % size * stride;
                index /= size;
                if index == 0 {
                    break;
                }
            }
            offset
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    /// The same by definition: every element against all that share its kept indices.
    fn naive(
        w: &[Float],
        shape: &[usize],
        axes: &[usize],
        desired: impl Fn(f64) -> f64,
    ) -> Vec<f64> {
        let index = |mut flat: usize| {
            let mut index = vec![0; shape.len()];
            for axis in (0..shape.len()).rev() {
                index[axis] = if axes.contains(&axis) {
                    0
                } else {
                    flat % shape[axis]
                };
                flat /= shape[axis];
            }
            index
        };
        let one = |i: usize| {
            let group = (0..w.len()).filter(|&j| index(j) == index(i));
            let norm = group.map(|j| (w[j] as f64).powi(2)).sum::<f64>().sqrt();
            w[i] as f64 * desired(norm) / (EPSILON as f64 + norm)
        };
        (0..w.len()).map(one).collect()
    }

    #[test]
    fn norms_over_any_axes() {
        let mut rng = Rng::new(2);
        for shape in [vec![6], vec![3, 70], vec![4, 5], vec![2, 3, 4, 5]] {
            let w: Vec<Float> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
            for subset in 1..1usize << shape.len() {
                let axes: Vec<usize> = (0..shape.len()).filter(|a| subset >> a & 1 == 1).collect();
                // Half of them counted from the end.
                let signed = axes.iter().map(|&a| match a % 2 {
                    0 => a as isize,
                    _ => a as isize - shape.len() as isize,
                });
                let law = Constraint::min_max_norm(1.5, 2.0).axis(signed.collect::<Vec<_>>());
                law.check_shape(&shape).unwrap();
                let mut got = w.clone();
                law.apply(&mut got, &shape);
                let want = naive(&w, &shape, &axes, |norm| norm.clamp(1.5, 2.0));
                assert!(
                    got.iter()
                        .zip(want)
                        .all(|(g, w)| (*g as f64 - w).abs() < 1e-5)
                );
            }
        }
    }

    #[test]
    fn formulas() {
        let apply = |law: &Constraint, w: [Float; 4], shape: &[usize]| {
            let mut w = w;
            law.apply(&mut w, shape);
            w.map(|w| (w as f64 * 1e4).round() / 1e4)
        };
        let w = [3.0, 1.0, 4.0, 0.0];
        assert_eq!(apply(&"max_norm".into(), w, &[2, 2]), [1.2, 1.0, 1.6, 0.0]);
        assert_eq!(apply(&"unit_norm".into(), w, &[2, 2]), [0.6, 1.0, 0.8, 0.0]);
        let all = Constraint::max_norm(1.0).axis([]);
        assert_eq!(apply(&all, [1.0; 4], &[2, 2]), [0.5; 4]);
        let half = Constraint::MinMaxNorm {
            min_value: 0.0,
            max_value: 1.0,
            rate: 0.5,
            axis: vec![0],
        };
        assert_eq!(apply(&half, w, &[2, 2]), [1.8, 1.0, 2.4, 0.0]);
        let signs = [-1.0, 2.0, 0.0, -3.0];
        assert_eq!(apply(&"non_neg".into(), signs, &[4]), [0.0, 2.0, 0.0, 0.0]);
        let flip = Constraint::custom("flip", |w, _| w.iter_mut().for_each(|w| *w = -*w));
        assert_eq!(apply(&flip, signs, &[4]), [1.0, -2.0, 0.0, 3.0]);
        // A weight of zeros stays one.
        assert_eq!(apply(&"unit_norm".into(), [0.0; 4], &[2, 2]), [0.0; 4]);
    }

    #[test]
    fn json_is_keras_3s() {
        let text = serde_json::to_string(&Constraint::max_norm(2.0)).unwrap();
        assert_eq!(
            text,
            r#"{"module":"keras.constraints","class_name":"MaxNorm","config":{"max_value":2.0,"axis":0},"registered_name":null}"#
        );
        let axes = Constraint::unit_norm().axis([0, 1, 2]);
        let all = Constraint::unit_norm().axis([]);
        for law in NAMES.map(Constraint::from).into_iter().chain([axes, all]) {
            law.check("kernel_constraint").unwrap();
            let value = serde_json::to_value(&law).unwrap();
            assert_eq!(serde_json::from_value::<Constraint>(value).unwrap(), law);
        }
        let unknown = json!({"class_name": "NonNeg", "config": {"axis": 0}});
        assert!(serde_json::from_value::<Constraint>(unknown).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let message = |law: Constraint| law.check("kernel_constraint").unwrap_err().to_string();
        assert!(message("maxnorm".into()).contains("did you mean `max_norm`?"));
        assert!(message(Constraint::max_norm(-1.0)).contains("`kernel_constraint.max_value`"));
        assert!(message(Constraint::min_max_norm(2.0, 1.0)).contains("max_value"));
        let axis = Constraint::unit_norm().axis([2]).check_shape(&[3, 4]);
        assert!(axis.unwrap_err().to_string().contains("an axis 2"));
    }
}
