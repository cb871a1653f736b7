//! Axes as arguments.

use serde::{Deserialize, Serialize};

use super::args::sample_axis;
use crate::error::{Error, Result};
use crate::shape::MAX_RANK;

/// One axis or several, counted as Keras counts: with the batch, negative ones from the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Axes {
    /// One.
    One(i64),
    /// A list of them.
    Many(Vec<i64>),
}

impl Default for Axes {
    fn default() -> Self {
        Axes::One(-1)
    }
}

impl From<i64> for Axes {
    fn from(axis: i64) -> Self {
        Axes::One(axis)
    }
}

impl From<Vec<i64>> for Axes {
    fn from(axes: Vec<i64>) -> Self {
        Axes::Many(axes)
    }
}

impl<const N: usize> From<[i64; N]> for Axes {
    fn from(axes: [i64; N]) -> Self {
        Axes::Many(axes.into())
    }
}

impl Axes {
    /// As they were given.
    pub(crate) fn list(&self) -> &[i64] {
        match self {
            Axes::One(axis) => std::slice::from_ref(axis),
            Axes::Many(axes) => axes,
        }
    }

    /// The axes of a sample of this rank that are meant: at least one, none twice, and not the batch.
    pub(crate) fn of_sample(&self, arg: &str, rank: usize) -> Result<AxisSet> {
        let mut set = AxisSet::default();
        for &axis in self.list() {
            let at = sample_axis(arg, axis, rank)?;
            if set.has(at) {
                return Err(Error::arg(
                    arg,
                    "axes that differ",
                    format!("{:?}", self.list()),
                ));
            }
            set.add(at);
        }
        match set.is_empty() {
            true => Err(Error::arg(arg, "at least one axis", "none")),
            false => Ok(set),
        }
    }
}

/// Axes of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AxisSet(u8);

impl AxisSet {
    pub(crate) fn add(&mut self, axis: usize) {
        debug_assert!(axis <= MAX_RANK);
        self.0 |= 1 << axis;
    }

    pub(crate) fn has(self, axis: usize) -> bool {
        self.0 >> axis & 1 == 1
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_str, to_string};

    #[test]
    fn axes_are_one_or_several() {
        let axes = |text: &str| from_str::<Axes>(text).unwrap().of_sample("axis", 3);
        let set = axes("[1, -1]").unwrap();
        assert!(set.has(0) && !set.has(1) && set.has(2));
        assert_eq!(axes("-1").unwrap(), axes("3").unwrap());
        for bad in ["[]", "[1, 1]", "[1, -3]", "0", "[4]"] {
            assert!(axes(bad).is_err(), "{bad}");
        }
        assert_eq!(to_string(&Axes::from([1, 2])).unwrap(), "[1,2]");
    }
}
