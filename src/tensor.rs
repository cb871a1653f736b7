//! Tensors: `ndarray` arrays, vectors and slices in, flat slices with a shape inside, `ndarray` arrays out.
//!
//! [`Tensor`] is what the data of `fit`, `evaluate` and `predict` becomes: it borrows an `f32` array that lies in row-major
//! order and copies (with checks) everything else. [`View`] and [`ViewMut`] are what a layer sees: a flat slice, the shape of
//! one sample and the number of samples, with fixed-rank `ndarray` views on demand (`IxDyn` would allocate above rank 4).

use std::borrow::Cow;

use ndarray::{ArrayBase, ArrayD, ArrayView, ArrayViewMut, Data, Dim, Dimension, IxDyn};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::Dims;

/// A batch of samples as a layer reads it: `data` holds `batch` samples of `shape`, row-major.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// `batch * shape.product()` elements.
    pub data: &'a [Float],
    /// Shape of one sample.
    pub shape: &'a [usize],
    /// Number of samples.
    pub batch: usize,
}

/// A batch of samples as a layer writes it; see [`View`].
#[derive(Debug)]
pub struct ViewMut<'a> {
    /// `batch * shape.product()` elements.
    pub data: &'a mut [Float],
    /// Shape of one sample.
    pub shape: &'a [usize],
    /// Number of samples.
    pub batch: usize,
}

impl<'a> View<'a> {
    /// Size of the last axis (1 for samples without axes).
    pub fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Number of rows when every axis but the last is folded into one.
    pub fn rows(&self) -> usize {
        self.batch
            * self
                .shape
                .split_last()
                .map_or(1, |(_, front)| front.iter().product())
    }

    /// As an `ndarray` view of rank `R`, batch first.
    ///
    /// # Panics
    /// If `R` is not the rank of the samples plus one.
    pub fn nd<const R: usize>(&self) -> ArrayView<'a, Float, Dim<[usize; R]>>
    where
        Dim<[usize; R]>: Dimension,
        [usize; R]: ndarray::IntoDimension<Dim = Dim<[usize; R]>>,
    {
        ArrayView::from_shape(with_batch::<R>(self.batch, self.shape), self.data)
            .expect("the slice holds the shape")
    }
}

impl ViewMut<'_> {
    /// The same for reading.
    pub fn view(&self) -> View<'_> {
        View {
            data: self.data,
            shape: self.shape,
            batch: self.batch,
        }
    }

    /// Size of the last axis (1 for samples without axes).
    pub fn cols(&self) -> usize {
        self.view().cols()
    }

    /// Number of rows when every axis but the last is folded into one.
    pub fn rows(&self) -> usize {
        self.view().rows()
    }

    /// As a writable `ndarray` view of rank `R`, batch first.
    ///
    /// # Panics
    /// If `R` is not the rank of the samples plus one.
    pub fn nd<const R: usize>(&mut self) -> ArrayViewMut<'_, Float, Dim<[usize; R]>>
    where
        Dim<[usize; R]>: Dimension,
        [usize; R]: ndarray::IntoDimension<Dim = Dim<[usize; R]>>,
    {
        ArrayViewMut::from_shape(with_batch::<R>(self.batch, self.shape), self.data)
            .expect("the slice holds the shape")
    }
}

fn with_batch<const R: usize>(batch: usize, shape: &[usize]) -> [usize; R] {
    assert_eq!(R, shape.len() + 1, "rank of the requested view");
    std::array::from_fn(|i| if i == 0 { batch } else { shape[i - 1] })
}

/// Data on its way into a model: flat row-major values and their shape, batch first. Borrowed where possible.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    data: Cow<'a, [Float]>,
    dims: Dims,
}

impl<'a> Tensor<'a> {
    /// Borrows a flat row-major slice under this shape (batch first).
    ///
    /// ```
    /// use oxhorn::Tensor;
    /// let t = Tensor::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2])?;
    /// assert_eq!((t.batch(), t.sample().to_vec()), (3, vec![2]));
    /// assert!(Tensor::new(&[1.0, 2.0], &[3]).is_err());
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    pub fn new(data: impl Into<Cow<'a, [Float]>>, shape: &[usize]) -> Result<Self> {
        let (data, dims) = (data.into(), Dims::new(shape)?);
        if dims.is_empty() {
            return Err(Error::shape(
                "an array with a batch axis",
                "a single number",
            ));
        }
        let numel = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if numel != Some(data.len()) {
            return Err(Error::shape(
                format!("{dims} to have as many elements as the data"),
                format!("{} elements", data.len()),
            ));
        }
        Ok(Tensor { data, dims })
    }

    /// The values, row-major.
    pub fn data(&self) -> &[Float] {
        &self.data
    }

    /// The shape, batch first.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Number of samples.
    pub fn batch(&self) -> usize {
        self.dims[0]
    }

    /// Shape of one sample.
    pub fn sample(&self) -> Dims {
        self.dims.tail()
    }

    /// Samples `start..end`, borrowed.
    pub fn slice(&self, start: usize, end: usize) -> Tensor<'_> {
        let width = self.sample().numel();
        let mut dims = Dims::default();
        dims.push(end - start);
        self.dims[1..].iter().for_each(|&n| dims.push(n));
        Tensor {
            data: Cow::Borrowed(&self.data[start * width..end * width]),
            dims,
        }
    }

    /// The samples with these indices, in that order.
    pub fn select(&self, indices: &[u32]) -> Tensor<'static> {
        let width = self.sample().numel();
        let mut data = Vec::with_capacity(indices.len() * width);
        for &i in indices {
            data.extend_from_slice(&self.data[i as usize * width..][..width]);
        }
        let mut dims = Dims::default();
        dims.push(indices.len());
        self.dims[1..].iter().for_each(|&n| dims.push(n));
        Tensor {
            data: Cow::Owned(data),
            dims,
        }
    }

    /// As an `ndarray` array.
    pub fn into_array(self) -> ArrayD<Float> {
        ArrayD::from_shape_vec(IxDyn(&self.dims), self.data.into_owned())
            .expect("the data holds the shape")
    }
}

/// What can be given as the data of a model: `ndarray` arrays of any rank, vectors and slices (one number a sample), and
/// [`Tensor`]s; of `f32`, and of `f64`, integers and `bool`, which are converted with checks.
///
/// # Errors
/// Integers beyond 2^24 (which `f32` cannot hold exactly) and finite `f64` values that would become infinite are refused.
pub trait ToTensor {
    /// Borrows or converts.
    fn to_tensor(&self) -> Result<Tensor<'_>>;
}

/// A number type that data may come in.
pub trait Element: Copy + 'static {
    /// As [`Float`], or an error if the value would change in more than its rounding.
    fn to_float(self) -> Result<Float>;
    /// The slice itself where the type is [`Float`] already.
    fn as_floats(_: &[Self]) -> Option<&[Float]> {
        None
    }
}

/// Largest integer up to which every integer is exact in `f32`.
const EXACT: i128 = 1 << 24;

fn exact_integer(value: i128) -> Result<Float> {
    if value.abs() > EXACT {
        return Err(Error::data(
            "integer data",
            format!("{value} is beyond 2^24, above which f32 is not exact; rescale or re-index it"),
        ));
    }
    Ok(value as Float)
}

macro_rules! integer_elements {
    ($($t:ty)*) => {$(
        impl Element for $t {
            fn to_float(self) -> Result<Float> {
                exact_integer(self as i128)
            }
        }
    )*};
}
integer_elements!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize bool);

impl Element for f32 {
    fn to_float(self) -> Result<Float> {
        Ok(Float::from(self))
    }
    #[cfg(not(float64))]
    fn as_floats(slice: &[f32]) -> Option<&[Float]> {
        Some(slice)
    }
}

impl Element for f64 {
    fn to_float(self) -> Result<Float> {
        let value = self as Float;
        if self.is_finite() && !value.is_finite() {
            return Err(Error::data("f64 data", format!("{self} does not fit f32")));
        }
        Ok(value)
    }
    #[cfg(float64)]
    fn as_floats(slice: &[f64]) -> Option<&[Float]> {
        Some(slice)
    }
}

fn convert<'a, T: Element>(slice: &'a [T]) -> Result<Cow<'a, [Float]>> {
    match T::as_floats(slice) {
        Some(floats) => Ok(Cow::Borrowed(floats)),
        None => slice
            .iter()
            .map(|v| v.to_float())
            .collect::<Result<Vec<_>>>()
            .map(Cow::Owned),
    }
}

impl<T: Element, S: Data<Elem = T>, D: Dimension> ToTensor for ArrayBase<S, D> {
    fn to_tensor(&self) -> Result<Tensor<'_>> {
        let data = match self.as_slice() {
            Some(slice) => convert(slice)?,
            None => self
                .iter()
                .map(|v| v.to_float())
                .collect::<Result<Vec<_>>>()?
                .into(),
        };
        Tensor::new(data, self.shape())
    }
}

impl<T: Element> ToTensor for [T] {
    fn to_tensor(&self) -> Result<Tensor<'_>> {
        Tensor::new(convert(self)?, &[self.len()])
    }
}

impl<T: Element> ToTensor for Vec<T> {
    fn to_tensor(&self) -> Result<Tensor<'_>> {
        self[..].to_tensor()
    }
}

impl<T: Element, const N: usize> ToTensor for [T; N] {
    fn to_tensor(&self) -> Result<Tensor<'_>> {
        self[..].to_tensor()
    }
}

impl<T: Element, const N: usize> ToTensor for [[T; N]] {
    fn to_tensor(&self) -> Result<Tensor<'_>> {
        Tensor::new(convert(self.as_flattened())?, &[self.len(), N])
    }
}

impl<T: Element, const N: usize, const R: usize> ToTensor for [[T; N]; R] {
    fn to_tensor(&self) -> Result<Tensor<'_>> {
        self[..].to_tensor()
    }
}

impl<T: Element, const N: usize> ToTensor for Vec<[T; N]> {
    fn to_tensor(&self) -> Result<Tensor<'_>> {
        self[..].to_tensor()
    }
}

impl ToTensor for Tensor<'_> {
    fn to_tensor(&self) -> Result<Tensor<'_>> {
        Ok(Tensor {
            data: Cow::Borrowed(&self.data),
            dims: self.dims,
        })
    }
}

/// The arrays given for a model's inputs (or targets): one, several by position, or several by name.
///
/// `&array`, `[&a, &b]`, `(&a, &b)` of different types, and `[("left", &a), ("right", &b)]` all convert.
#[derive(Clone, Debug)]
pub struct Arrays<'a> {
    list: List<'a>,
}

#[derive(Clone, Debug)]
enum List<'a> {
    One([Tensor<'a>; 1]),
    Many(Vec<Tensor<'a>>, Option<Vec<String>>),
}

impl<'a> Arrays<'a> {
    /// The tensors, in the order they were given.
    pub fn tensors(&self) -> &[Tensor<'a>] {
        match &self.list {
            List::One(one) => one,
            List::Many(many, _) => many,
        }
    }

    /// The names, if given by name.
    pub fn names(&self) -> Option<&[String]> {
        match &self.list {
            List::Many(_, Some(names)) => Some(names),
            _ => None,
        }
    }

    /// Several tensors by position.
    pub fn many(tensors: Vec<Tensor<'a>>) -> Self {
        Arrays {
            list: List::Many(tensors, None),
        }
    }

    /// Puts tensors that were given by name into the order of `names`; by position they stay as they are.
    ///
    /// # Errors
    /// If a name is missing or unknown, or the number is not that of `names`.
    pub fn ordered<S: AsRef<str>>(self, what: &str, names: &[S]) -> Result<Self> {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        if let List::Many(_, Some(given)) = &self.list {
            for name in given {
                if !names.contains(&name.as_str()) {
                    return Err(Error::unknown(&format!("name in {what}"), name, &names));
                }
            }
        }
        if self.tensors().len() != names.len() {
            let got = format!("{} arrays", self.tensors().len());
            return Err(Error::Shape {
                owner: what.into(),
                want: format!("{} arrays ({})", names.len(), names.join(", ")),
                got,
            });
        }
        let List::Many(tensors, Some(given)) = self.list else {
            return Ok(self);
        };
        let mut tensors: Vec<_> = tensors.into_iter().map(Some).collect();
        let mut sorted = Vec::with_capacity(names.len());
        for name in &names {
            let found = given
                .iter()
                .position(|g| g == name)
                .and_then(|i| tensors[i].take());
            sorted.push(
                found.ok_or_else(|| {
                    Error::data(what, format!("no array named `{name}` was given"))
                })?,
            );
        }
        Ok(Arrays::many(sorted))
    }
}

/// Conversion into [`Arrays`].
pub trait IntoArrays<'a> {
    /// Borrows or converts every array.
    fn into_arrays(self) -> Result<Arrays<'a>>;
}

impl<'a, T: ToTensor + ?Sized> IntoArrays<'a> for &'a T {
    fn into_arrays(self) -> Result<Arrays<'a>> {
        Ok(Arrays {
            list: List::One([self.to_tensor()?]),
        })
    }
}

impl<'a> IntoArrays<'a> for Arrays<'a> {
    fn into_arrays(self) -> Result<Arrays<'a>> {
        Ok(self)
    }
}

impl<'a> IntoArrays<'a> for Vec<Tensor<'a>> {
    fn into_arrays(self) -> Result<Arrays<'a>> {
        Ok(Arrays::many(self))
    }
}

impl<'a> IntoArrays<'a> for &'a [ArrayD<f32>] {
    fn into_arrays(self) -> Result<Arrays<'a>> {
        let tensors = self.iter().map(ToTensor::to_tensor);
        Ok(Arrays::many(tensors.collect::<Result<_>>()?))
    }
}

impl<'a, T: ToTensor + ?Sized, const N: usize> IntoArrays<'a> for [&'a T; N] {
    fn into_arrays(self) -> Result<Arrays<'a>> {
        Ok(Arrays::many(
            self.into_iter()
                .map(|a| a.to_tensor())
                .collect::<Result<_>>()?,
        ))
    }
}

impl<'a, T: ToTensor + ?Sized, const N: usize> IntoArrays<'a> for [(&str, &'a T); N] {
    fn into_arrays(self) -> Result<Arrays<'a>> {
        let names = self.iter().map(|(name, _)| name.to_string()).collect();
        let tensors = self
            .into_iter()
            .map(|(_, a)| a.to_tensor())
            .collect::<Result<_>>()?;
        Ok(Arrays {
            list: List::Many(tensors, Some(names)),
        })
    }
}

impl<'a, A: ToTensor + ?Sized, B: ToTensor + ?Sized> IntoArrays<'a> for (&'a A, &'a B) {
    fn into_arrays(self) -> Result<Arrays<'a>> {
        Ok(Arrays::many(vec![self.0.to_tensor()?, self.1.to_tensor()?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array2, array};

    #[test]
    fn row_major_floats_are_borrowed_and_others_converted() {
        let a: Array2<Float> = array![[1.0, 2.0], [3.0, 4.0]];
        let t = a.to_tensor().unwrap();
        assert_eq!(t.data().as_ptr(), a.as_ptr());
        let transposed = a.t();
        assert_eq!(transposed.to_tensor().unwrap().data(), [1.0, 3.0, 2.0, 4.0]);
        assert_eq!(array![1i64, 2].to_tensor().unwrap().data(), [1.0, 2.0]);
        assert_eq!(vec![true, false].to_tensor().unwrap().data(), [1.0, 0.0]);
    }

    #[test]
    fn lossy_conversions_are_refused() {
        assert!(array![(1i64 << 24) + 1].to_tensor().is_err());
        #[cfg(not(float64))]
        assert!(array![1e300f64].to_tensor().is_err());
        assert!(array![f64::NAN].to_tensor().unwrap().data()[0].is_nan());
        assert!(ndarray::arr0(1.0f32).to_tensor().is_err());
    }

    #[test]
    fn arrays_by_name_are_put_in_order() {
        let (a, b): (Array1<Float>, Array1<Float>) = (array![1.0], array![2.0]);
        let given = [("b", &b), ("a", &a)].into_arrays().unwrap();
        let sorted = given.clone().ordered("x", &["a", "b"]).unwrap();
        assert_eq!(sorted.tensors()[0].data(), [1.0]);
        assert!(given.clone().ordered("x", &["a"]).is_err());
        assert_eq!(
            given.ordered("x", &["a", "c"]).unwrap_err().to_string(),
            "unknown name in x `b` (did you mean `a`?); known: a, c"
        );
    }

    #[test]
    fn fixed_rank_views() {
        let data = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let view = View {
            data: &data,
            shape: &[3],
            batch: 2,
        };
        assert_eq!(view.nd::<2>()[[1, 0]], 4.0);
        assert_eq!((view.rows(), view.cols()), (2, 3));
    }
}
