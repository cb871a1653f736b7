//! Penalties on weights and outputs, with Keras's formulas, names and defaults.
//!
//! ```
//! use oxhorn::regularizer::Regularizer;
//!
//! let penalty = Regularizer::L2 { l2: 0.5 };
//! let (w, mut dw) = ([1.0, -2.0], [0.0; 2]);
//! assert_eq!(penalty.penalty(&w, &[2]), 2.5);
//! penalty.add_grad(&w, &[2], &mut dw);
//! assert_eq!(dw, [1.0, -2.0]);
//! ```

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    envelope::{Object, envelope, keras_object},
    error::{Error, Result},
    float::Float,
};

pub use crate::envelope::Custom;

/// A penalty of your own: its value, and its gradient, which is added to `dw`.
pub trait Penalty: Send + Sync {
    /// The penalty of a weight of that shape.
    fn penalty(&self, w: &[Float], shape: &[usize]) -> f64;
    /// Adds the gradient of the penalty.
    fn add_grad(&self, w: &[Float], shape: &[usize], dw: &mut [Float]);
}

/// A penalty that is added to the loss.
///
/// A string names it with Keras's default arguments: `"l1"`, `"l2"`, `"l1_l2"` (0.01 each) or `"orthogonal_regularizer"`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Regularizer {
    /// `l1 * sum(|w|)`.
    L1 {
        /// Factor (0.01).
        l1: f64,
    },
    /// `l2 * sum(w^2)`.
    L2 {
        /// Factor (0.01).
        l2: f64,
    },
    /// `l1 * sum(|w|) + l2 * sum(w^2)`.
    L1L2 {
        /// Factor of the absolute values.
        l1: f64,
        /// Factor of the squares.
        l2: f64,
    },
    /// `factor * mean(|u_i . u_j|)` over the pairs of normalised rows (or columns) of a matrix.
    OrthogonalRegularizer {
        /// Factor (0.01).
        factor: f64,
        /// `"rows"` (default) or `"columns"`.
        mode: String,
    },
    /// A penalty of yours: [`Regularizer::custom`].
    Custom(Custom<dyn Penalty>),
    /// A name that nothing is known by; [`Regularizer::check`] says so.
    Invalid(String),
}

const NAMES: [&str; 4] = ["l1", "l2", "l1_l2", "orthogonal_regularizer"];

impl Regularizer {
    /// A penalty of your own; files keep its name only.
    pub fn custom(name: impl Into<String>, penalty: impl Penalty + 'static) -> Self {
        Self::Custom(Custom::new(name, Arc::new(penalty)))
    }

    /// An error that names `arg` if the penalty is unknown or one of its parameters makes no sense.
    pub fn check(&self, arg: &str) -> Result<()> {
        let factor = |key, value: f64| match value.is_finite() && value >= 0.0 {
            true => Ok(()),
            false => Err(Error::arg(
                format!("{arg}.{key}"),
                "a number that is not negative",
                value,
            )),
        };
        match self {
            Self::L1 { l1 } => factor("l1", *l1),
            Self::L2 { l2 } => factor("l2", *l2),
            Self::L1L2 { l1, l2 } => factor("l1", *l1).and(factor("l2", *l2)),
            Self::OrthogonalRegularizer { factor: f, mode } => match mode.as_str() {
                "rows" | "columns" => factor("factor", *f),
                _ => Err(Error::unknown(
                    &format!("{arg}.mode"),
                    mode,
                    ["rows", "columns"],
                )),
            },
            Self::Custom(_) => Ok(()),
            Self::Invalid(name) => Err(Error::unknown("regularizer", name, NAMES)),
        }
    }

    /// An error if the penalty is not defined for a weight of that shape.
    pub fn check_shape(&self, shape: &[usize]) -> Result<()> {
        match self {
            Self::OrthogonalRegularizer { .. } if shape.len() != 2 => Err(Error::shape(
                "a matrix for `OrthogonalRegularizer`",
                format!("{shape:?}"),
            )),
            _ => Ok(()),
        }
    }

    /// The penalty of a weight of that shape.
    pub fn penalty(&self, w: &[Float], shape: &[usize]) -> f64 {
        match self {
            Self::L1 { l1 } => l1 * sum(w, f64::abs),
            Self::L2 { l2 } => l2 * sum(w, |w| w * w),
            Self::L1L2 { l1, l2 } => l1 * sum(w, f64::abs) + l2 * sum(w, |w| w * w),
            Self::OrthogonalRegularizer { factor, mode } => {
                let vectors = Vectors::new(shape, mode);
                let mut total = 0.0;
                vectors.pairs(w, |_, _, cosine, _, _| total += cosine.abs());
                factor * vectors.per_pair() * total
            }
            Self::Custom(custom) => custom.function.penalty(w, shape),
            Self::Invalid(_) => 0.0,
        }
    }

    /// Adds the gradient of the penalty: `dw += d penalty / d w`.
    pub fn add_grad(&self, w: &[Float], shape: &[usize], dw: &mut [Float]) {
        match self {
            Self::L1 { l1 } => add_l1_l2(*l1, 0.0, w, dw),
            Self::L2 { l2 } => add_l1_l2(0.0, *l2, w, dw),
            Self::L1L2 { l1, l2 } => add_l1_l2(*l1, *l2, w, dw),
            Self::OrthogonalRegularizer { factor, mode } => {
                let vectors = Vectors::new(shape, mode);
                let scale = factor * vectors.per_pair();
                vectors.pairs(w, |i, j, cosine, norm_i, norm_j| {
                    let slope = scale * sign(cosine);
                    vectors.add_cosine_grad(slope, w, dw, (i, norm_i), (j, norm_j), cosine);
                    vectors.add_cosine_grad(slope, w, dw, (j, norm_j), (i, norm_i), cosine);
                });
            }
            Self::Custom(custom) => custom.function.add_grad(w, shape, dw),
            Self::Invalid(_) => {}
        }
    }

    fn from_object(object: Object) -> std::result::Result<Self, String> {
        let mut args = object.args;
        // By name alone both factors of `L1L2` are 0.01, in a configuration a missing one is 0: Keras's rules.
        let other = if args.is_empty() { 0.01 } else { 0.0 };
        let this = match object.class.as_str() {
            "L1" | "l1" => Self::L1 {
                l1: args.number("l1", 0.01)?,
            },
            "L2" | "l2" => Self::L2 {
                l2: args.number("l2", 0.01)?,
            },
            "L1L2" | "l1_l2" | "l1l2" => Self::L1L2 {
                l1: args.number("l1", other)?,
                l2: args.number("l2", other)?,
            },
            "OrthogonalRegularizer" | "orthogonal_regularizer" => Self::OrthogonalRegularizer {
                factor: args.number("factor", 0.01)?,
                mode: args.string("mode", "rows")?,
            },
            _ => return Ok(Self::Invalid(object.class)),
        };
        args.finish().map(|()| this)
    }

    fn to_value(&self) -> Value {
        let (class, config) = match self {
            Self::L1 { l1 } => ("L1", json!({ "l1": l1 })),
            Self::L2 { l2 } => ("L2", json!({ "l2": l2 })),
            Self::L1L2 { l1, l2 } => ("L1L2", json!({"l1": l1, "l2": l2})),
            Self::OrthogonalRegularizer { factor, mode } => (
                "OrthogonalRegularizer",
                json!({"factor": factor, "mode": mode}),
            ),
            Self::Custom(custom) => return custom.envelope(),
            Self::Invalid(name) => return json!(name),
        };
        envelope("keras.regularizers", class, config)
    }
}

keras_object!(Regularizer);

/// The sum of `f(w)`, in eight lanes so that it vectorises.
fn sum(w: &[Float], f: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; 8];
    let mut chunks = w.chunks_exact(8);
    for chunk in &mut chunks {
        for (lane, &w) in lanes.iter_mut().zip(chunk) {
            *lane += f(w as f64);
        }
    }
    let rest: f64 = chunks.remainder().iter().map(|&w| f(w as f64)).sum();
    lanes.iter().sum::<f64>() + rest
}

/// `dw += l1 * sign(w) + 2 * l2 * w`
fn add_l1_l2(l1: f64, l2: f64, w: &[Float], dw: &mut [Float]) {
    let (l1, l2) = (l1 as Float, 2.0 * l2 as Float);
    for (dw, &w) in dw.iter_mut().zip(w) {
        let sign = Float::from(w > 0.0) - Float::from(w < 0.0);
        *dw += l1 * sign + l2 * w;
    }
}

fn sign(x: f64) -> f64 {
    f64::from(x > 0.0) - f64::from(x < 0.0)
}

/// The rows or columns of a matrix in memory: vector `i` has the elements `i * step + k * stride`, `k < length`.
struct Vectors {
    count: usize,
    length: usize,
    step: usize,
    stride: usize,
}

impl Vectors {
    fn new(shape: &[usize], mode: &str) -> Self {
        let columns = shape.last().copied().unwrap_or(1);
        let rows = shape.iter().rev().skip(1).product();
        let (count, length, step, stride) = match mode {
            "columns" => (columns, rows, 1, columns),
            _ => (rows, columns, columns, 1),
        };
        Self {
            count,
            length,
            step,
            stride,
        }
    }

    /// One over the number of pairs; 0 where there is none.
    fn per_pair(&self) -> f64 {
        match self.count {
            0 | 1 => 0.0,
            n => 2.0 / (n as f64 * (n as f64 - 1.0)),
        }
    }

    fn at(&self, i: usize) -> impl Iterator<Item = usize> + use<> {
        let (start, stride) = (i * self.step, self.stride);
        (0..self.length).map(move |k| start + k * stride)
    }

    fn dot(&self, w: &[Float], i: usize, j: usize) -> f64 {
        let products = self.at(i).zip(self.at(j));
        products.map(|(a, b)| w[a] as f64 * w[b] as f64).sum()
    }

    /// The norm, at least epsilon: Keras's `normalize` divides by it.
    fn norm(&self, w: &[Float], i: usize) -> f64 {
        self.dot(w, i, i).sqrt().max(crate::float::EPSILON as f64)
    }

    /// Calls `f(i, j, cosine, norm_i, norm_j)` for every pair `j < i`.
    fn pairs(&self, w: &[Float], mut f: impl FnMut(usize, usize, f64, f64, f64)) {
        for i in 1..self.count {
            let norm_i = self.norm(w, i);
            for j in 0..i {
                let norm_j = self.norm(w, j);
                f(i, j, self.dot(w, i, j) / (norm_i * norm_j), norm_i, norm_j);
            }
        }
    }

    /// `dw_i += slope * (u_j - cosine * u_i) / |w_i|`: the gradient of `u_i . u_j`, where `u = w / |w|`.
    fn add_cosine_grad(
        &self,
        slope: f64,
        w: &[Float],
        dw: &mut [Float],
        (i, norm_i): (usize, f64),
        (j, norm_j): (usize, f64),
        cosine: f64,
    ) {
        let (along_j, along_i) = (
            slope / (norm_i * norm_j),
            slope * cosine / (norm_i * norm_i),
        );
        for (a, b) in self.at(i).zip(self.at(j)) {
            dw[a] += (along_j * w[b] as f64 - along_i * w[a] as f64) as Float;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    /// The gradient against central differences, on top of what `dw` held.
    fn check_gradient(law: &Regularizer, shape: &[usize]) {
        let mut rng = Rng::new(5);
        let n = shape.iter().product();
        let mut w: Vec<Float> = (0..n).map(|_| rng.normal()).collect();
        let mut dw = vec![1.0; n];
        law.add_grad(&w, shape, &mut dw);
        let h = 1e-3;
        for i in 0..n {
            let at = w[i];
            let mut value = |w_i| {
                w[i] = w_i;
                law.penalty(&w, shape)
            };
            // The step that was really made, after rounding.
            let (up, down) = (at + h, at - h);
            let slope = (value(up) - value(down)) / (up - down) as f64;
            w[i] = at;
            let got = dw[i] as f64 - 1.0;
            assert!((got - slope).abs() < 1e-5, "{law:?} {i}: {got} {slope}");
        }
    }

    #[test]
    fn gradients() {
        for name in NAMES {
            check_gradient(&name.into(), &[5, 4]);
        }
        check_gradient(&Regularizer::L1L2 { l1: 0.3, l2: 0.2 }, &[19]);
        for mode in ["rows", "columns"] {
            let law = Regularizer::OrthogonalRegularizer {
                factor: 0.5,
                mode: mode.into(),
            };
            check_gradient(&law, &[3, 4]);
            check_gradient(&law, &[1, 1]);
        }
    }

    #[test]
    fn penalties() {
        let w = [1.0, -2.0, 0.0, 3.0, 1.0, 1.0, 1.0, 1.0, -1.0];
        assert_eq!(Regularizer::L1 { l1: 2.0 }.penalty(&w, &[9]), 22.0);
        assert_eq!(
            Regularizer::L1L2 { l1: 1.0, l2: 2.0 }.penalty(&w, &[3, 3]),
            49.0
        );
        // Rows (1, 0) and (1, 1): cosine 1 / sqrt(2), one pair.
        let rows = Regularizer::from("orthogonal_regularizer");
        let got = rows.penalty(&[1.0, 0.0, 1.0, 1.0], &[2, 2]);
        assert!((got - 0.01 / 2.0f64.sqrt()).abs() < 1e-12);
        assert_eq!(rows.penalty(&[1.0, 2.0], &[1, 2]), 0.0);
        assert_eq!(rows.penalty(&[0.0; 4], &[2, 2]), 0.0);
        assert!(rows.check_shape(&[2, 2, 2]).is_err());
        // The sign of 0 is 0.
        let mut dw = [0.0];
        Regularizer::from("l1").add_grad(&[0.0], &[1], &mut dw);
        assert_eq!(dw, [0.0]);
    }

    #[test]
    fn a_penalty_of_ones_own() {
        struct Cubes;
        impl Penalty for Cubes {
            fn penalty(&self, w: &[Float], _: &[usize]) -> f64 {
                w.iter().map(|&w| (w as f64).powi(3)).sum()
            }
            fn add_grad(&self, w: &[Float], _: &[usize], dw: &mut [Float]) {
                dw.iter_mut().zip(w).for_each(|(dw, w)| *dw += 3.0 * w * w);
            }
        }
        let law = Regularizer::custom("cubes", Cubes);
        assert_eq!(law, law.clone());
        assert_eq!(law.penalty(&[2.0], &[1]), 8.0);
        let value = serde_json::to_value(&law).unwrap();
        let read: Regularizer = serde_json::from_value(value).unwrap();
        assert_eq!(read, Regularizer::Invalid("Custom>cubes".into()));
    }

    #[test]
    fn json_is_keras_3s() {
        let text = serde_json::to_string(&Regularizer::from("l2")).unwrap();
        assert_eq!(
            text,
            r#"{"module":"keras.regularizers","class_name":"L2","config":{"l2":0.01},"registered_name":null}"#
        );
        for name in NAMES {
            let law = Regularizer::from(name);
            let value = serde_json::to_value(&law).unwrap();
            assert_eq!(serde_json::from_value::<Regularizer>(value).unwrap(), law);
            law.check("kernel_regularizer").unwrap();
        }
        let read = |value| serde_json::from_value::<Regularizer>(value);
        let both = Regularizer::L1L2 { l1: 0.0, l2: 0.5 };
        assert_eq!(
            read(json!({"class_name": "L1L2", "config": {"l2": 0.5}})).unwrap(),
            both
        );
        assert!(read(json!({"class_name": "L2", "config": {"l1": 0.5}})).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let message = |law: Regularizer| law.check("kernel_regularizer").unwrap_err().to_string();
        assert!(message("l3".into()).starts_with("unknown regularizer `l3`"));
        assert!(message(Regularizer::L2 { l2: -1.0 }).contains("`kernel_regularizer.l2`"));
        let diagonal = Regularizer::OrthogonalRegularizer {
            factor: 1.0,
            mode: "diagonal".into(),
        };
        assert!(message(diagonal).contains("known: rows, columns"));
    }
}
