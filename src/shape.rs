//! Shapes of one sample: the batch axis is never part of a shape.

use std::fmt;
use std::ops::Deref;

use crate::error::{Error, Result};

/// Largest number of axes of a sample (a batch of them has one more).
pub const MAX_RANK: usize = 7;

/// Shape of one sample, before the sizes are all known: `None` is an axis whose size the data will say.
///
/// Displayed as Keras does, with the batch axis in front: `(None, 28, 28, 1)`.
///
/// ```
/// use oxhorn::Shape;
/// assert_eq!(Shape::from([28, 28, 1]).to_string(), "(None, 28, 28, 1)");
/// assert_eq!(Shape::from([None, Some(8)]).to_string(), "(None, None, 8)");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(Vec<Option<usize>>);

impl Shape {
    /// Number of axes, without the batch.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Size of every axis.
    pub fn dims(&self) -> &[Option<usize>] {
        &self.0
    }

    /// Size of the last axis, if there is one and it is known.
    pub fn last(&self) -> Option<usize> {
        self.0.last().copied().flatten()
    }

    /// Number of elements of one sample, if every axis is known and the number fits.
    pub fn numel(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, d| n.checked_mul((*d)?))
    }

    /// The same shape with another last axis; a shape without axes is an error.
    pub fn with_last(&self, last: usize) -> Result<Shape> {
        let mut dims = self.0.clone();
        *dims
            .last_mut()
            .ok_or_else(|| Error::shape("at least 2 axes (batch and features)", self))? =
            Some(last);
        Ok(Shape(dims))
    }

    /// The sizes, if all are known.
    pub fn known(&self) -> Option<Dims> {
        let mut dims = Dims::default();
        for d in &self.0 {
            dims.push((*d)?);
        }
        Some(dims)
    }

    /// Whether the two may be the same shape: equal ranks, and no axis known to differ.
    pub fn agrees(&self, other: &Shape) -> bool {
        let same = |(a, b): (&Option<usize>, &Option<usize>)| a.is_none() || b.is_none() || a == b;
        self.rank() == other.rank() && self.0.iter().zip(&other.0).all(same)
    }

    /// Whether data of this concrete shape may be given where `self` is declared.
    pub fn accepts(&self, dims: &[usize]) -> bool {
        self.rank() == dims.len()
            && self
                .0
                .iter()
                .zip(dims)
                .all(|(d, n)| d.is_none_or(|d| d == *n))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(None,")?;
        for (i, d) in self.0.iter().enumerate() {
            let comma = if i + 1 < self.0.len() { "," } else { "" };
            match d {
                Some(n) => write!(f, " {n}{comma}")?,
                None => write!(f, " None{comma}")?,
            }
        }
        f.write_str(")")
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape(dims.into_iter().map(Some).collect())
    }
}

impl<const N: usize> From<[Option<usize>; N]> for Shape {
    fn from(dims: [Option<usize>; N]) -> Self {
        Shape(dims.into())
    }
}

impl From<Vec<Option<usize>>> for Shape {
    fn from(dims: Vec<Option<usize>>) -> Self {
        Shape(dims)
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape(dims.iter().copied().map(Some).collect())
    }
}

impl From<usize> for Shape {
    fn from(n: usize) -> Self {
        Shape(vec![Some(n)])
    }
}

impl From<Dims> for Shape {
    fn from(dims: Dims) -> Self {
        Shape::from(&dims[..])
    }
}

/// Known sizes of up to eight axes, kept inline: copying one never allocates.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Dims {
    len: u8,
    sizes: [usize; MAX_RANK + 1],
}

impl Dims {
    /// These sizes; more than eight axes are an error.
    pub fn new(sizes: &[usize]) -> Result<Dims> {
        if sizes.len() > MAX_RANK + 1 {
            return Err(Error::shape(
                format!("at most {} axes with the batch", MAX_RANK + 1),
                format!("{sizes:?}"),
            ));
        }
        let mut dims = Dims::default();
        sizes.iter().for_each(|&n| dims.push(n));
        Ok(dims)
    }

    /// Adds one axis behind.
    ///
    /// # Panics
    /// If there are eight already.
    pub fn push(&mut self, size: usize) {
        self.sizes[self.len as usize] = size;
        self.len += 1;
    }

    /// Product of the sizes.
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// The axes behind the first.
    pub fn tail(&self) -> Dims {
        let mut dims = Dims::default();
        self.iter().skip(1).for_each(|&n| dims.push(n));
        dims
    }

    /// The axes before the last.
    pub fn without_last(&self) -> Dims {
        let mut dims = *self;
        dims.len = dims.len.saturating_sub(1);
        dims
    }

    /// Size of the last axis; 1 where there is none.
    pub fn last(&self) -> usize {
        <[usize]>::last(self).copied().unwrap_or(1)
    }
}

impl Deref for Dims {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.sizes[..self.len as usize]
    }
}

impl<const N: usize> From<[usize; N]> for Dims {
    fn from(sizes: [usize; N]) -> Self {
        const { assert!(N <= MAX_RANK + 1) };
        let mut dims = Dims::default();
        sizes.iter().for_each(|&n| dims.push(n));
        dims
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self[..])
    }
}

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, n) in self.iter().enumerate() {
            write!(f, "{}{n}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(if self.len() == 1 { ",)" } else { ")" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_axes() {
        let shape = Shape::from([None, Some(3)]);
        assert_eq!(shape.numel(), None);
        assert_eq!(shape.last(), Some(3));
        assert!(shape.accepts(&[7, 3]) && !shape.accepts(&[7, 4]) && !shape.accepts(&[3]));
        assert_eq!(Shape::from([2, 3]).known().unwrap().numel(), 6);
        assert_eq!(Shape::from([usize::MAX, 2]).numel(), None);
        assert!(Shape::default().with_last(2).is_err());
    }

    #[test]
    fn dims_display_as_python_tuples() {
        assert_eq!(Dims::from([4]).to_string(), "(4,)");
        assert_eq!(Dims::from([4, 2]).to_string(), "(4, 2)");
        assert!(Dims::new(&[1; 9]).is_err());
    }
}
