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

/// The shape, unless it has more axes than a sample may have.
pub(crate) fn checked_rank(shape: Shape) -> Result<Shape> {
    if shape.rank() <= MAX_RANK {
        Ok(shape)
    } else {
        let want = format!("at most {} axes with the batch", MAX_RANK + 1);
        Err(Error::shape(want, shape))
    }
}

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

/// The `quantization_config` of a file: only null can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NotQuantized;

impl Serialize for NotQuantized {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_none()
    }
}

impl<'de> Deserialize<'de> for NotQuantized {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        match Option::<serde::de::IgnoredAny>::deserialize(d)? {
            None => Ok(NotQuantized),
            Some(_) => Err(D::Error::custom("quantized layers are not supported")),
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
    fn only_null_is_not_quantized() {
        assert!(from_str::<NotQuantized>("null").is_ok());
        assert!(from_str::<NotQuantized>("{\"module\": \"x\"}").is_err());
    }
}
