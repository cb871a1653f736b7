//! Geometry that convolution and pooling share: how windows lie over an image, padding, where the channels are.

use serde::{Deserialize, Serialize};

use super::args::{DataFormat, Sizes, checked, input_of_rank};
use crate::error::{Error, Result};
use crate::kernels::grid::Grid;
use crate::shape::Shape;

/// Ones: the default of strides and dilations.
pub(crate) fn ones<const R: usize>() -> Sizes<R> {
    Sizes([1; R])
}

/// Whether all sizes are positive.
pub(crate) fn check_positive<const R: usize>(arg: &str, sizes: Sizes<R>) -> Result<()> {
    if sizes.0.contains(&0) {
        return Err(Error::arg(
            arg,
            "positive integers",
            format!("{:?}", sizes.0),
        ));
    }
    Ok(())
}

/// Keras, too, has no convolution with both.
pub(crate) fn check_not_both<const R: usize>(strides: Sizes<R>, dilation: Sizes<R>) -> Result<()> {
    let above = |sizes: Sizes<R>| sizes.0.iter().any(|&n| n > 1);
    if above(strides) && above(dilation) {
        let want = format!("ones together with strides {:?}", strides.0);
        return Err(Error::arg(
            "dilation_rate",
            want,
            format!("{:?}", dilation.0),
        ));
    }
    Ok(())
}

/// All sizes, if they are known.
pub(crate) fn all_known<const R: usize>(space: [Option<usize>; R]) -> Option<[usize; R]> {
    let known = space.map(|n| n.unwrap_or(0));
    space.iter().all(Option::is_some).then_some(known)
}

/// With leading ones for the axes that the image does not have.
pub(crate) fn three<const R: usize>(sizes: [usize; R]) -> [usize; 3] {
    let mut three = [1; 3];
    three[3 - R..].copy_from_slice(&sizes);
    three
}

/// What happens at the borders of the image: `"valid"`, `"same"`, for `Conv1D` also `"causal"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
#[non_exhaustive]
pub enum Padding {
    /// Windows stay inside.
    #[default]
    Valid,
    /// Zeros on both sides, so that with strides of 1 there are as many windows as pixels.
    Same,
    /// Zeros before the first step, so that no window sees later ones.
    Causal,
    /// Not known; reported by the layer.
    #[doc(hidden)]
    Invalid(String),
}

impl From<&str> for Padding {
    fn from(name: &str) -> Self {
        match name.to_lowercase().as_str() {
            "valid" => Padding::Valid,
            "same" => Padding::Same,
            "causal" => Padding::Causal,
            _ => Padding::Invalid(name.into()),
        }
    }
}

impl From<String> for Padding {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

impl From<Padding> for String {
    fn from(padding: Padding) -> Self {
        match padding {
            Padding::Valid => "valid".into(),
            Padding::Same => "same".into(),
            Padding::Causal => "causal".into(),
            Padding::Invalid(name) => name,
        }
    }
}

impl Padding {
    /// Whether it is one of these: causal only where it makes sense.
    pub(crate) fn check(&self, causal: bool) -> Result<()> {
        match self {
            Padding::Valid | Padding::Same => Ok(()),
            Padding::Causal if causal => Ok(()),
            other => {
                let known = if causal {
                    "`valid`, `same` or `causal`"
                } else {
                    "`valid` or `same`"
                };
                Err(Error::arg(
                    "padding",
                    known,
                    format!("`{}`", String::from(other.clone())),
                ))
            }
        }
    }
}

/// Spatial sizes and channels of the only input, which must have `R` spatial axes.
pub(crate) fn split<const R: usize>(
    format: DataFormat,
    inputs: &[Shape],
) -> Result<([Option<usize>; R], Option<usize>)> {
    format.check()?;
    let x = input_of_rank(
        inputs,
        R + 1,
        "the batch, the channels and the spatial ones",
    )?;
    let mut axes = x.dims().to_vec();
    let channels = axes.remove(R - R * format.first_spatial());
    Ok((std::array::from_fn(|a| axes[a]), channels))
}

/// The shape of `R` spatial axes and channels.
pub(crate) fn join<const R: usize>(
    format: DataFormat,
    space: [Option<usize>; R],
    channels: Option<usize>,
) -> Result<Shape> {
    let mut dims = space.to_vec();
    dims.insert(R - R * format.first_spatial(), channels);
    checked(dims.into())
}

/// Known channels of the input, at least one.
pub(crate) fn known_channels(channels: Option<usize>, inputs: &[Shape]) -> Result<usize> {
    match channels {
        Some(channels) if channels > 0 => Ok(channels),
        _ => Err(Error::shape(
            "an input with a known number of channels",
            &inputs[0],
        )),
    }
}

/// How windows lie along one axis of `n` pixels: how many, and the padding before the first; `None` if there are none.
pub(crate) fn windows(
    n: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    padding: &Padding,
) -> Option<(usize, usize)> {
    let wide = (kernel - 1).checked_mul(dilation)?.checked_add(1)?;
    match padding {
        Padding::Valid | Padding::Invalid(_) => Some((n.checked_sub(wide)? / stride + 1, 0)),
        Padding::Same => {
            let out = n.div_ceil(stride);
            let needed = out.checked_sub(1)?.checked_mul(stride)?.checked_add(wide)?;
            Some((out, needed.saturating_sub(n) / 2))
        }
        Padding::Causal => {
            let out = n.checked_sub(1)? / stride + 1;
            wide.checked_add(n)?;
            Some((out, wide - 1))
        }
    }
}

/// Windows along every axis; where the size is not known, neither is their number.
pub(crate) fn out_sizes<const R: usize>(
    space: [Option<usize>; R],
    kernel: Sizes<R>,
    stride: Sizes<R>,
    dilation: Sizes<R>,
    padding: &Padding,
) -> Result<[Option<usize>; R]> {
    let mut out = [None; R];
    for (a, n) in space.into_iter().enumerate() {
        let Some(n) = n else { continue };
        let axis = windows(n, kernel.0[a], stride.0[a], dilation.0[a], padding);
        let (count, _) = axis.ok_or_else(|| {
            Error::shape(
                format!(
                    "at least one window of {:?} (dilation {:?}) in the input",
                    kernel.0, dilation.0
                ),
                format!("{n} pixels along spatial axis {a}"),
            )
        })?;
        out[a] = Some(count);
    }
    Ok(out)
}

/// The grid of windows over an image whose sizes are known and were accepted.
pub(crate) fn grid<const R: usize>(
    image: [usize; R],
    kernel: Sizes<R>,
    stride: Sizes<R>,
    dilation: Sizes<R>,
    padding: &Padding,
) -> Grid {
    let (image, kernel) = (three(image), three(kernel.0));
    let (stride, dilation) = (three(stride.0), three(dilation.0));
    let (mut out, mut before) = ([1; 3], [0; 3]);
    for a in 3 - R..3 {
        let axis = windows(image[a], kernel[a], stride[a], dilation[a], padding);
        (out[a], before[a]) = axis.expect("sizes that output_shape accepted");
    }
    Grid {
        image,
        out,
        kernel,
        stride,
        dilation,
        before,
    }
}

/// Spatial sizes and channels of an input whose sizes are known, as a layer sees it when it runs.
pub(crate) fn known_sizes<const R: usize>(
    format: DataFormat,
    dims: &[usize],
) -> ([usize; R], usize) {
    let first = format.first_spatial();
    let channels = dims[R - R * first];
    (std::array::from_fn(|a| dims[first + a]), channels)
}

/// Most numbers of an image with its padding, or of a kernel: places are counted in 32 bits.
const MOST: usize = u32::MAX as usize;

/// Whether an image with its padding can be addressed.
pub(crate) fn check_size(grid: &Grid, channels: usize) -> Result<()> {
    let padded = (0..3).try_fold(channels, |n, a| {
        let reach = (grid.out[a] - 1).checked_mul(grid.stride[a])?;
        let wide = (grid.kernel[a] - 1).checked_mul(grid.dilation[a])?;
        let size = reach.checked_add(wide)?.checked_add(1)?.max(grid.image[a]);
        n.checked_mul(size).filter(|&n| n <= MOST)
    });
    match padded {
        Some(_) => Ok(()),
        None => Err(Error::shape(
            format!("an image of at most {MOST} numbers with its padding"),
            format!(
                "{:?} pixels, windows of {:?}, {channels} channels",
                grid.image, grid.kernel
            ),
        )),
    }
}

/// Whether so many numbers (or pixels) can be addressed.
pub(crate) fn check_len(what: &str, sizes: &[usize]) -> Result<()> {
    let len = sizes
        .iter()
        .try_fold(1_usize, |n, &size| n.checked_mul(size));
    match len {
        Some(len) if len <= MOST => Ok(()),
        _ => {
            let want = format!("a product of at most {MOST} for the {what}");
            Err(Error::shape(want, format!("{sizes:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_where_keras_has_them() {
        let valid = |n, k, s, d| windows(n, k, s, d, &Padding::Valid);
        assert_eq!(valid(7, 3, 2, 1), Some((3, 0)));
        assert_eq!(valid(7, 3, 1, 3), Some((1, 0)));
        assert_eq!(valid(6, 3, 1, 3), None);
        let same = |n, k, s, d| windows(n, k, s, d, &Padding::Same);
        assert_eq!(same(7, 3, 2, 1), Some((4, 1)));
        assert_eq!(same(8, 3, 2, 1), Some((4, 0)));
        assert_eq!(same(5, 2, 1, 1), Some((5, 0)));
        assert_eq!(same(0, 2, 1, 1), None);
        assert_eq!(windows(7, 3, 2, 1, &Padding::Causal), Some((4, 2)));
        assert_eq!(windows(7, usize::MAX, 1, usize::MAX, &Padding::Same), None);
    }

    #[test]
    fn channels_are_taken_out_and_put_back() {
        for (format, channels) in [
            (DataFormat::ChannelsLast, 5),
            (DataFormat::ChannelsFirst, 3),
        ] {
            let x = Shape::from([3, 4, 5]);
            let (space, c) = split::<2>(format, std::slice::from_ref(&x)).unwrap();
            assert_eq!(c, Some(channels));
            assert_eq!(join(format, space, c).unwrap(), x);
            assert_eq!(known_sizes::<2>(format, &[3, 4, 5]).1, channels);
        }
        assert!(split::<2>(DataFormat::ChannelsLast, &[[3, 4].into()]).is_err());
        assert!(split::<1>("channels".into(), &[[3, 4].into()]).is_err());
    }

    #[test]
    fn images_that_cannot_be_addressed_are_refused() {
        let huge = Sizes([1 << 20, 1 << 20]);
        let grid = grid([4, 4], huge, 1.into(), 1.into(), &Padding::Same);
        assert!(check_size(&grid, 1).is_err());
        assert!(check_len("kernel", &[1 << 40, 1 << 40]).is_err());
    }
}
