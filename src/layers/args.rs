//! What the arguments and inputs of many layers have in common.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::shape::{MAX_RANK, Shape};

/// Default of a flag.
pub(crate) fn yes() -> bool {
    true
}

/// Default of kernels.
pub(crate) fn glorot_uniform() -> Initializer {
    Initializer::from("glorot_uniform")
}

/// Default of biases.
pub(crate) fn zeros() -> Initializer {
    Initializer::Zeros
}

/// The only input.
pub(crate) fn one_input(inputs: &[Shape]) -> Result<&Shape> {
    match inputs {
        [x] => Ok(x),
        _ => Err(Error::shape(
            "one input",
            format!("{} inputs", inputs.len()),
        )),
    }
}

/// The only input, which must have this many axes behind the batch: `axes` says which.
pub(crate) fn input_of_rank<'a>(inputs: &'a [Shape], rank: usize, axes: &str) -> Result<&'a Shape> {
    let x = one_input(inputs)?;
    if x.rank() == rank {
        Ok(x)
    } else {
        let want = format!("{} axes ({axes})", rank + 1);
        Err(Error::shape(want, x))
    }
}

/// The shape, unless it has more axes than a sample may have, or more elements than can be counted.
pub(crate) fn checked(shape: Shape) -> Result<Shape> {
    if shape.rank() > MAX_RANK {
        let want = format!("at most {} axes with the batch", MAX_RANK + 1);
        return Err(Error::shape(want, shape));
    }
    let product = |n: usize, d: &Option<usize>| n.checked_mul(d.unwrap_or(1));
    match shape.dims().iter().try_fold(1, product) {
        Some(n) if n <= MOST_ELEMENTS => Ok(shape),
        _ => Err(Error::shape("a size that fits memory", shape)),
    }
}

/// Largest number of elements of a sample.
const MOST_ELEMENTS: usize = isize::MAX as usize / 64;

/// The axis (of a sample) that `axis` means among the axes with the batch, of which there are `rank + 1`: negative ones count
/// from the end. The batch axis is an error.
pub(crate) fn sample_axis(arg: &str, axis: i64, rank: usize) -> Result<usize> {
    let axes = rank as i64 + 1;
    let at = if axis < 0 {
        axis.checked_add(axes)
    } else {
        Some(axis)
    };
    match at {
        Some(at) if (1..axes).contains(&at) => Ok(at as usize - 1),
        _ => Err(Error::arg(
            arg,
            format!("an axis of {axes} other than the batch"),
            axis,
        )),
    }
}

/// Where the channels are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFormat {
    /// `(batch, .., channels)`
    #[default]
    ChannelsLast,
    /// `(batch, channels, ..)`
    ChannelsFirst,
    /// A name that is not known.
    #[doc(hidden)]
    #[serde(skip)]
    Unknown,
}

impl From<&str> for DataFormat {
    fn from(name: &str) -> Self {
        match name {
            "channels_last" => DataFormat::ChannelsLast,
            "channels_first" => DataFormat::ChannelsFirst,
            _ => DataFormat::Unknown,
        }
    }
}

impl DataFormat {
    /// An error if the name was not known.
    pub(crate) fn check(self) -> Result<()> {
        if self == DataFormat::Unknown {
            let want = "`channels_last` or `channels_first`";
            return Err(Error::arg("data_format", want, "something else"));
        }
        Ok(())
    }

    /// Number of axes of a sample before the spatial ones.
    pub(crate) fn first_spatial(self) -> usize {
        usize::from(self == DataFormat::ChannelsFirst)
    }

    /// In files it may be null.
    pub(crate) fn or_default<'de, D: Deserializer<'de>>(
        d: D,
    ) -> std::result::Result<Self, D::Error> {
        Ok(Option::deserialize(d)?.unwrap_or_default())
    }
}

/// `N` sizes: given as one number, it is that number `N` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes<const N: usize>(pub(crate) [usize; N]);

impl<const N: usize> From<usize> for Sizes<N> {
    fn from(n: usize) -> Self {
        Sizes([n; N])
    }
}

impl<const N: usize> From<[usize; N]> for Sizes<N> {
    fn from(sizes: [usize; N]) -> Self {
        Sizes(sizes)
    }
}

impl From<(usize, usize)> for Sizes<2> {
    fn from((a, b): (usize, usize)) -> Self {
        Sizes([a, b])
    }
}

impl<const N: usize> Serialize for Sizes<N> {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        self.0[..].serialize(s)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Sizes<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(usize),
            All(Vec<usize>),
        }
        let want = || format!("expected a size or a list of {N} sizes");
        match Form::deserialize(d).map_err(|_| D::Error::custom(want()))? {
            Form::One(n) => Ok(n.into()),
            Form::All(all) => match all.try_into() {
                Ok(sizes) => Ok(Sizes(sizes)),
                Err(_) => Err(D::Error::custom(want())),
            },
        }
    }
}

/// What is added or taken away at both ends of `N` axes: `[before, after]` for each; one number is for both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borders<const N: usize>(pub(crate) [[usize; 2]; N]);

impl<const N: usize> From<usize> for Borders<N> {
    fn from(n: usize) -> Self {
        Borders([[n; 2]; N])
    }
}

impl<const N: usize> From<[usize; N]> for Borders<N> {
    fn from(ends: [usize; N]) -> Self {
        Borders(ends.map(|n| [n; 2]))
    }
}

impl<const N: usize> From<[[usize; 2]; N]> for Borders<N> {
    fn from(ends: [[usize; 2]; N]) -> Self {
        Borders(ends)
    }
}

impl<const N: usize> From<[(usize, usize); N]> for Borders<N> {
    fn from(ends: [(usize, usize); N]) -> Self {
        Borders(ends.map(|(before, after)| [before, after]))
    }
}

impl<const N: usize> Serialize for Borders<N> {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        self.0[..].serialize(s)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Borders<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(usize),
            All(Vec<Sizes<2>>),
        }
        let want = || format!("expected a size, or a list of {N} sizes or pairs of sizes");
        match Form::deserialize(d).map_err(|_| D::Error::custom(want()))? {
            Form::One(n) => Ok(n.into()),
            Form::All(all) => match <[Sizes<2>; N]>::try_from(all) {
                Ok(ends) => Ok(Borders(ends.map(|e| e.0))),
                Err(_) => Err(D::Error::custom(want())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_str, to_string};

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!(sample_axis("axis", -1, 3).unwrap(), 2);
        assert_eq!(sample_axis("axis", 1, 3).unwrap(), 0);
        for bad in [0, -4, 4, i64::MIN, i64::MAX] {
            assert!(sample_axis("axis", bad, 3).is_err());
        }
    }

    #[test]
    fn sizes_are_a_number_or_a_list() {
        assert_eq!(from_str::<Sizes<2>>("3").unwrap(), Sizes([3, 3]));
        assert_eq!(from_str::<Sizes<3>>("[1, 2, 3]").unwrap(), Sizes([1, 2, 3]));
        for bad in ["[1, 2]", "-1", "\"2\"", "[1, 2, -3]", "null"] {
            assert!(from_str::<Sizes<3>>(bad).is_err(), "{bad}");
        }
        assert_eq!(to_string(&Sizes([1, 2])).unwrap(), "[1,2]");
    }

    #[test]
    fn borders_are_numbers_or_pairs() {
        let read = from_str::<Borders<2>>;
        assert_eq!(read("3").unwrap(), 3.into());
        assert_eq!(read("[1, 2]").unwrap(), Borders([[1, 1], [2, 2]]));
        assert_eq!(read("[[1, 2], 3]").unwrap(), Borders([[1, 2], [3, 3]]));
        for bad in ["[1]", "[[1, 2, 3], 1]", "-1", "[[1, -2], 0]", "null"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(
            to_string(&Borders([[1, 2], [3, 4]])).unwrap(),
            "[[1,2],[3,4]]"
        );
    }

    #[test]
    fn shapes_beyond_measure_are_refused() {
        assert!(checked([1; 7].into()).is_ok());
        assert!(checked([1; 8].into()).is_err());
        assert!(checked([usize::MAX].into()).is_err());
        assert!(checked(vec![Some(usize::MAX), None, Some(2)].into()).is_err());
    }
}
