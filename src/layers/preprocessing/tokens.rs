//! Texts and integers on their way into a lookup: slices, vectors and `ndarray` arrays of them.

use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::{Dims, Shape};

/// What may stand for a token: any string for a `String`, any integer for an `i64`.
pub trait Token<T> {
    /// The token.
    fn token(&self) -> T;
}

impl<S: AsRef<str>> Token<String> for S {
    fn token(&self) -> String {
        self.as_ref().to_string()
    }
}

macro_rules! integer_tokens {
    ($($t:ty)*) => {$(
        impl Token<i64> for $t {
            fn token(&self) -> i64 {
                i64::from(*self)
            }
        }
    )*};
}
integer_tokens!(i8 i16 i32 i64 u8 u16 u32);

/// Data of a lookup: `["a", "b"]`, `vec![1, 2]`, or an `ndarray` array of any rank, batch first.
pub trait ToTokens<T> {
    /// The tokens, row-major, and their shape with the batch.
    fn to_tokens(&self) -> (Vec<T>, Vec<usize>);
}

impl<T, E: Token<T>> ToTokens<T> for [E] {
    fn to_tokens(&self) -> (Vec<T>, Vec<usize>) {
        (self.iter().map(Token::token).collect(), vec![self.len()])
    }
}

impl<T, E: Token<T>> ToTokens<T> for Vec<E> {
    fn to_tokens(&self) -> (Vec<T>, Vec<usize>) {
        self[..].to_tokens()
    }
}

impl<T, E: Token<T>, const N: usize> ToTokens<T> for [E; N] {
    fn to_tokens(&self) -> (Vec<T>, Vec<usize>) {
        self[..].to_tokens()
    }
}

impl<T, E: Token<T>, S: Data<Elem = E>, D: Dimension> ToTokens<T> for ArrayBase<S, D> {
    fn to_tokens(&self) -> (Vec<T>, Vec<usize>) {
        let tokens = self.iter().map(Token::token).collect();
        (tokens, self.shape().to_vec())
    }
}

/// The output of a layer for data of this shape (with the batch), written by `write(batch, y)`.
pub(super) fn array(
    dims: &[usize],
    shape: impl Fn(&Shape) -> Result<Shape>,
    write: impl FnOnce(usize, &mut [Float]),
) -> Result<ArrayD<Float>> {
    let Some((&batch, sample)) = Dims::new(dims).map(|_| dims.split_first())? else {
        return Err(Error::shape("data with a batch axis", "a single value"));
    };
    let sizes = shape(&Shape::from(sample))?;
    let sizes = sizes.known().expect("the input's are known");
    let all: Vec<usize> = std::iter::once(batch)
        .chain(sizes.iter().copied())
        .collect();
    let mut y = ArrayD::zeros(IxDyn(&all));
    write(batch, y.as_slice_mut().expect("it is new"));
    Ok(y)
}
