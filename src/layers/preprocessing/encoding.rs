//! How bins and tokens become numbers: the `output_mode` of the layers for tables and text.
//!
//! `int` keeps the numbers; `one_hot` gives every number a row; `multi_hot` and `count` (and `tf_idf`, a count with factors) give
//! one row for all numbers along the first axis of a sample. Numbers beyond the row count nowhere, as in Keras. What has no
//! number at all (an unknown token where none is provided for, NaN) gives NaN, where Keras raises an error while it runs.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Contract, Par};
use crate::layers::args::checked;
use crate::shape::Shape;

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputMode {
    /// The numbers themselves.
    #[default]
    Int,
    /// For every number a row with a 1 in its place; a last axis of size 1 becomes the row, otherwise an axis is added.
    OneHot,
    /// One row with a 1 in the place of every number that is there.
    #[serde(alias = "binary")]
    MultiHot,
    /// One row with how often each number is there.
    Count,
    /// The counts times the inverse document frequencies.
    #[serde(alias = "tf-idf")]
    TfIdf,
    /// A name that is not known.
    #[doc(hidden)]
    #[serde(skip)]
    Unknown,
}

impl From<&str> for OutputMode {
    fn from(name: &str) -> Self {
        match name {
            "int" => OutputMode::Int,
            "one_hot" => OutputMode::OneHot,
            "multi_hot" | "binary" => OutputMode::MultiHot,
            "count" => OutputMode::Count,
            "tf_idf" | "tf-idf" => OutputMode::TfIdf,
            _ => OutputMode::Unknown,
        }
    }
}

/// Where one input counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// There.
    At(usize),
    /// Nowhere: a masked token.
    Nowhere,
    /// It has no place, and should not have been given.
    Missing,
}

/// Above it `f32` does not hold every integer.
pub(super) const EXACT: usize = 1 << 24;

/// A float as the integer it stands for, what is behind the point cut off. `None` if it is none, or too large to be trusted.
pub(super) fn integer(x: Float) -> Option<i64> {
    (x.abs() <= EXACT as Float).then_some(x as i64)
}

/// Size of a row: positive, and its numbers exact in `f32`.
pub(super) fn check_depth(arg: &str, depth: usize) -> Result<()> {
    match depth {
        1..=EXACT => Ok(()),
        _ => Err(Error::arg(arg, "an integer from 1 to 2^24", depth)),
    }
}

/// Sparse tensors do not exist here.
pub(super) fn check_dense(sparse: bool) -> Result<()> {
    match sparse {
        false => Ok(()),
        true => {
            let want = "false: outputs are dense here, with the same numbers";
            Err(Error::arg("sparse", want, true))
        }
    }
}

/// What counts things has no gradient (nor has it in Keras).
pub(super) fn contract() -> Contract {
    Contract {
        differentiable: false,
        ..Contract::default()
    }
}

impl OutputMode {
    /// An error if it is not one of these.
    pub(super) fn check(self, known: &[OutputMode]) -> Result<()> {
        match known.contains(&self) {
            true => Ok(()),
            false => {
                let name = |m: &OutputMode| match serde_json::to_value(m) {
                    Ok(name) => name.as_str().unwrap_or_default().to_string(),
                    Err(_) => "something else".into(),
                };
                let want = known.iter().map(name).collect::<Vec<_>>().join(", ");
                Err(Error::arg(
                    "output_mode",
                    format!("one of {want}"),
                    name(&self),
                ))
            }
        }
    }

    /// Shape of the output with rows of this size.
    pub(super) fn shape(self, x: &Shape, depth: usize) -> Result<Shape> {
        let dims = x.dims();
        let front = match self {
            OutputMode::Int => return Ok(x.clone()),
            OutputMode::OneHot if dims.last() == Some(&Some(1)) => &dims[..dims.len() - 1],
            OutputMode::OneHot if dims.last() == Some(&None) => {
                return Err(Error::shape("an input whose last axis has a known size", x));
            }
            OutputMode::OneHot => dims,
            _ if dims.is_empty() => {
                return Err(Error::shape("at least 2 axes (batch and values)", x));
            }
            _ => &dims[1..],
        };
        checked([front, &[Some(depth)]].concat().into())
    }

    /// Writes the output for a batch of samples; `place(i)` says where element `i` of the
    /// input counts, `weight(i)` how much.
    pub(super) fn encode(
        self,
        batch: usize,
        depth: usize,
        y: &mut [Float],
        par: Par,
        elements: usize,
        place: impl Fn(usize) -> Place + Sync,
        weight: impl Fn(usize) -> Float + Sync,
    ) {
        match self {
            OutputMode::Int => par.for_each_rows(y, 1, |first, y| {
                for (i, y) in y.iter_mut().enumerate() {
                    *y = match place(first + i) {
                        Place::At(at) => at as Float,
                        Place::Nowhere => 0.0,
                        Place::Missing => Float::NAN,
                    };
                }
            }),
            OutputMode::OneHot => par.for_each_rows(y, depth, |first, y| {
                for (i, row) in y.chunks_exact_mut(depth).enumerate() {
                    row.fill(0.0);
                    match place(first + i) {
                        Place::At(at) if at < depth => row[at] = 1.0,
                        Place::Missing => row.fill(Float::NAN),
                        _ => {}
                    }
                }
            }),
            _ => {
                let (size, each) = (y.len() / batch.max(1), elements / batch.max(1));
                par.for_each_rows(y, size, |first, y| {
                    for (b, y) in y.chunks_exact_mut(size.max(1)).enumerate() {
                        y.fill(0.0);
                        let start = (first + b) * each;
                        for i in 0..each {
                            let row = i % (size / depth);
                            let row = &mut y[row * depth..][..depth];
                            match place(start + i) {
                                Place::At(at) if at < depth && self == OutputMode::MultiHot => {
                                    row[at] = row[at].max(1.0);
                                }
                                Place::At(at) if at < depth => row[at] += weight(start + i),
                                Place::Missing => row.fill(Float::NAN),
                                _ => {}
                            }
                        }
                        if self == OutputMode::MultiHot {
                            keep_missing(y, depth);
                        }
                    }
                });
            }
        }
    }
}

/// `max` forgets NaN: a row that has one is NaN as a whole.
fn keep_missing(y: &mut [Float], depth: usize) {
    for row in y.chunks_exact_mut(depth) {
        if row.iter().any(|v| v.is_nan()) {
            row.fill(Float::NAN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(mode: OutputMode, batch: usize, size: usize, ids: &[usize]) -> Vec<Float> {
        let mut y = vec![7.0; size];
        let place = |i: usize| match ids[i] {
            9 => Place::Missing,
            8 => Place::Nowhere,
            id => Place::At(id),
        };
        mode.encode(batch, 3, &mut y, Par::Serial, ids.len(), place, |_| 1.0);
        y
    }

    #[test]
    fn rows_hold_what_is_there() {
        let ids = [0, 5, 1, 1];
        let count = encoded(OutputMode::Count, 2, 6, &ids);
        assert_eq!(count, [1.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
        let hot = encoded(OutputMode::MultiHot, 2, 6, &[0, 8, 1, 1]);
        assert_eq!(hot, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        // Along the first axis of a sample, as Keras does it: (1, 3, 2) gives (1, 2, 3).
        let deep = encoded(OutputMode::Count, 1, 6, &[0, 1, 1, 1, 2, 0]);
        assert_eq!(deep, [1.0, 1.0, 1.0, 1.0, 2.0, 0.0]);
        let one = encoded(OutputMode::OneHot, 2, 6, &[2, 4]);
        assert_eq!(one, [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn what_is_missing_is_nan() {
        for mode in [OutputMode::Count, OutputMode::MultiHot] {
            let y = encoded(mode, 2, 6, &[9, 1, 1, 0]);
            assert!(y[..3].iter().all(|v| v.is_nan()), "{y:?}");
            assert!(y[3..].iter().all(|v| v.is_finite()));
        }
        assert!(encoded(OutputMode::Int, 1, 1, &[9])[0].is_nan());
        assert_eq!(integer(-3.7), Some(-3));
        assert_eq!(integer(16_777_218.0), None);
        assert_eq!(integer(Float::NAN), None);
    }

    #[test]
    fn modes_have_names() {
        assert_eq!(OutputMode::from("tf-idf"), OutputMode::TfIdf);
        let known = [OutputMode::Int, OutputMode::OneHot];
        let e = OutputMode::Count.check(&known).unwrap_err().owned_by("l");
        assert_eq!(
            e.to_string(),
            "l: argument `output_mode`: expected one of int, one_hot, got count"
        );
        assert!(OutputMode::from("on_hot").check(&known).is_err());
    }
}
