//! The files of two classic collections of pictures: IDX (MNIST and its kin) and the binary form of CIFAR. Not compressed.

use std::path::Path;

use ndarray::{ArrayD, IxDyn};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::saving::number::{Kind, Number, numel};
use crate::saving::source::Source;

/// Reads the array of an IDX file (`train-images-idx3-ubyte`, `train-labels-idx1-ubyte`).
///
/// ```
/// use oxhorn::data::idx;
/// let path = std::env::temp_dir().join("oxhorn-doc.idx");
/// std::fs::write(&path, [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255]).unwrap();
/// let array = idx::read(&path)?;
/// assert_eq!((array.shape(), array[[1, 2]]), (&[2, 3][..], 255.0));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] where the file cannot be read; [`Error::Data`] where it is none of these, or not as long as it says.
pub fn read(path: impl AsRef<Path>) -> Result<ArrayD<Float>> {
    parse(&Source::open(path.as_ref())?)
}

fn parse(source: &Source) -> Result<ArrayD<Float>> {
    let head = source.take(0, source.len().min(4))?;
    let [0, 0, code, rank] = head[..] else {
        return Err(source.error("this is not an IDX file"));
    };
    let (kind, size) = match code {
        0x08 => (Kind::Unsigned, 1),
        0x09 => (Kind::Signed, 1),
        0x0b => (Kind::Signed, 2),
        0x0c => (Kind::Signed, 4),
        0x0d => (Kind::Float, 4),
        0x0e => (Kind::Float, 8),
        _ => return Err(source.error(format!("unknown type {code:#04x} of IDX"))),
    };
    let sizes = source.take(4, 4 * u64::from(rank))?;
    let (sizes, _) = sizes.as_chunks::<4>();
    let shape: Vec<usize> = sizes
        .iter()
        .map(|b| u32::from_be_bytes(*b) as usize)
        .collect();
    let begin = 4 + 4 * u64::from(rank);
    let number = Number {
        kind,
        size,
        big_endian: true,
    };
    array(source, begin, number, &shape)
}

/// The values from `begin` to the end, which must be as many as the shape says.
fn array(source: &Source, begin: u64, number: Number, shape: &[usize]) -> Result<ArrayD<Float>> {
    let there = source.len() - begin;
    let count = numel(shape).filter(|_| !shape.is_empty());
    let bytes = count.and_then(|n| n.checked_mul(number.size));
    let Some(count) = count.filter(|_| bytes.map(|b| b as u64) == Some(there)) else {
        let problem = format!("{there} bytes do not fit the shape {shape:?}");
        return Err(source.error(problem));
    };
    let mut values = vec![0.0; count];
    let mut at = begin;
    number.read_into(&mut values, |buffer| {
        source.read_at(at, buffer)?;
        at += buffer.len() as u64;
        Ok(())
    })?;
    ArrayD::from_shape_vec(IxDyn(shape), values).map_err(|e| source.error(e.to_string()))
}

/// Side and channels of a picture of CIFAR.
const SIDE: usize = 32;
const CHANNELS: usize = 3;

/// Reads a file of CIFAR-10 (`data_batch_1.bin`): pictures `(n, 32, 32, 3)` of values from 0 to 255, and labels `(n, 1)`.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read; [`Error::Data`] where it is no whole number of pictures, or a label is above 9.
pub fn read_cifar10(path: impl AsRef<Path>) -> Result<(ArrayD<Float>, ArrayD<Float>)> {
    let source = Source::open(path.as_ref())?;
    let (x, mut labels) = cifar(&source, &[10])?;
    Ok((x, labels.remove(0)))
}

/// Reads a file of CIFAR-100 (`train.bin`): pictures `(n, 32, 32, 3)` of values from 0 to 255, labels `(n, 1)` of the 100 classes,
/// and those of the 20 classes that these belong to.
///
/// # Errors
/// As [`read_cifar10`].
pub fn read_cifar100(
    path: impl AsRef<Path>,
) -> Result<(ArrayD<Float>, ArrayD<Float>, ArrayD<Float>)> {
    let source = Source::open(path.as_ref())?;
    let (x, mut labels) = cifar(&source, &[20, 100])?;
    let fine = labels.remove(1);
    Ok((x, fine, labels.remove(0)))
}

/// Records of one byte a label and a picture, channel by channel.
fn cifar(source: &Source, classes: &[u8]) -> Result<(ArrayD<Float>, Vec<ArrayD<Float>>)> {
    let plane = SIDE * SIDE;
    let size = classes.len() + CHANNELS * plane;
    let n = (source.len() / size as u64) as usize;
    if n == 0 || !source.len().is_multiple_of(size as u64) {
        let problem = format!(
            "{} bytes are no whole number of records of {size}",
            source.len()
        );
        return Err(source.error(problem));
    }
    let mut x = ArrayD::zeros(IxDyn(&[n, SIDE, SIDE, CHANNELS]));
    let mut labels = vec![ArrayD::zeros(IxDyn(&[n, 1])); classes.len()];
    let mut record = vec![0; size];
    let pixels = x.as_slice_mut().ok_or_else(|| source.error("no room"))?;
    for (i, picture) in pixels.chunks_exact_mut(CHANNELS * plane).enumerate() {
        source.read_at((i * size) as u64, &mut record)?;
        let (heads, planes) = record.split_at(classes.len());
        for ((&label, &limit), labels) in heads.iter().zip(classes).zip(&mut labels) {
            if label >= limit {
                let problem = format!("record {i}: expected a label below {limit}, got {label}");
                return Err(Error::data(source.name(), problem));
            }
            labels[[i, 0]] = Float::from(label);
        }
        for (p, pixel) in picture.chunks_exact_mut(CHANNELS).enumerate() {
            for (c, v) in pixel.iter_mut().enumerate() {
                *v = Float::from(planes[c * plane + p]);
            }
        }
    }
    Ok((x, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_idx_and_what_is_none() {
        let read = |bytes: &[u8]| parse(&Source::memory(bytes.to_vec(), "idx"));
        let words = read(&[0, 0, 0x0b, 1, 0, 0, 0, 2, 255, 254, 1, 0]).unwrap();
        assert_eq!(words.into_raw_vec_and_offset().0, [-2.0, 256.0]);
        let float = [&[0, 0, 0x0d, 1, 0, 0, 0, 1][..], &1.5f32.to_be_bytes()].concat();
        assert_eq!(read(&float).unwrap().sum(), 1.5);
        for bad in [
            &[][..],
            &[1, 0, 8, 1],
            &[0, 0, 7, 1, 0, 0, 0, 0],
            &[0, 0, 8, 0],
            &[0, 0, 8, 1, 0, 0, 0],
            &[0, 0, 8, 1, 0, 0, 0, 2, 5],
            &[0, 0, 8, 1, 0, 0, 0, 1, 5, 6],
            &[0, 0, 8, 1, 255, 255, 255, 255],
            &[0, 0, 14, 2, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert!(matches!(read(bad), Err(Error::Data { .. })), "{bad:?}");
        }
        let deep = [&[0, 0, 8, 255][..], &[0; 4 * 255]].concat();
        assert_eq!(read(&deep).unwrap().len(), 0);
    }

    #[test]
    fn pictures_of_cifar() {
        let mut bytes = vec![3, 99];
        for channel in 0..3 {
            bytes.extend((0..1024).map(|p| ((p + channel) % 256) as u8));
        }
        let (x, labels) = cifar(&Source::memory(bytes.clone(), "cifar"), &[20, 100]).unwrap();
        assert_eq!((labels[0][[0, 0]], labels[1][[0, 0]]), (3.0, 99.0));
        let pixel: Vec<Float> = x.slice(ndarray::s![0, 1, 2, ..]).to_vec();
        assert_eq!(pixel, [34.0, 35.0, 36.0]);
        bytes[1] = 100;
        assert!(cifar(&Source::memory(bytes.clone(), "cifar"), &[20, 100]).is_err());
        bytes.pop();
        assert!(cifar(&Source::memory(bytes, "cifar"), &[20, 100]).is_err());
        assert!(cifar(&Source::memory(vec![], "cifar"), &[10]).is_err());
    }
}
