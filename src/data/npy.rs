//! NumPy's files: `.npy` holds one array, `.npz` several under names.
//!
//! Read are arrays of f2, f4, f8, integers and truth values, of either byte order, in C or Fortran order, of all versions of the
//! format; they become [`Float`]. Arrays of Python objects are pickles, which are programs: an error. Written are
//! little-endian f4 in C order.

use std::io::{self, Write};
use std::path::Path;

use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn, ShapeBuilder};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::saving::atomic::write_atomically;
use crate::saving::number::{Kind, Number, numel, write_f32};
use crate::saving::source::Source;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longest header: NumPy itself refuses to read more than 10,000 bytes unless it is told to.
const MAX_HEADER: u64 = 10_000;

/// Reads the array of a `.npy` file.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read; [`Error::Data`] where it holds something else, or less than it says.
///
/// ```
/// use ndarray::array;
/// use oxhorn::data::npy;
///
/// let path = std::env::temp_dir().join("oxhorn-doc.npy");
/// npy::write(&path, &array![[1.0, 2.5], [-3.0, 4.0]])?;
/// let back = npy::read(&path)?;
/// assert_eq!(back.shape(), [2, 2]);
/// assert_eq!(back[[0, 1]], 2.5);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub fn read(path: impl AsRef<Path>) -> Result<ArrayD<Float>> {
    parse(&Source::open(path.as_ref())?)
}

/// Reads the array that the bytes of a `.npy` file hold; see [`read`].
///
/// ```
/// use oxhorn::data::npy;
///
/// let mut file = b"\x93NUMPY\x01\x00\x37\x00{'descr': '<i2', 'fortran_order': False, 'shape': (3,)}".to_vec();
/// file.extend([1, 0, 2, 0, 255, 255]);
/// assert_eq!(npy::from_bytes(file)?.into_raw_vec_and_offset().0, [1.0, 2.0, -1.0]);
///
/// let error = npy::from_bytes(b"PK".to_vec()).unwrap_err().to_string();
/// assert_eq!(error, "npy: this is not a .npy file");
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub fn from_bytes(bytes: Vec<u8>) -> Result<ArrayD<Float>> {
    parse(&Source::memory(bytes, "npy"))
}

/// Writes an array to a `.npy` file, as float32; a file that is there is replaced once the new one is complete.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn write<S, D>(path: impl AsRef<Path>, array: &ArrayBase<S, D>) -> Result<()>
where
    S: Data<Elem = Float>,
    D: Dimension,
{
    let path = path.as_ref();
    let values = array.as_standard_layout();
    let values = values.as_slice().expect("the layout is standard");
    write_atomically(path, |w| {
        put(w, array.shape(), values).map_err(|e| Error::io(path, e))
    })
}

/// Reads all arrays of a `.npz` file, sorted by name; members may be stored or deflated.
///
/// # Errors
/// As [`read`]; also where the archive holds anything else than arrays, or more than a hundred times its own size (but 256 MB in
/// any case).
///
/// ```
/// use ndarray::array;
/// use oxhorn::data::npy;
///
/// let path = std::env::temp_dir().join("oxhorn-doc.npz");
/// npy::write_npz(&path, &[("x", array![1.0, 2.0].into_dyn()), ("y", array![[0.5]].into_dyn())])?;
/// let arrays = npy::read_npz(&path)?;
/// assert_eq!(arrays.len(), 2);
/// assert_eq!((arrays[1].0.as_str(), arrays[1].1[[0, 0]]), ("y", 0.5));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[cfg(feature = "keras")]
pub fn read_npz(path: impl AsRef<Path>) -> Result<Vec<(String, ArrayD<Float>)>> {
    let archive = crate::saving::archive::Archive::open(path.as_ref())?;
    let mut left = archive.len().saturating_mul(100).max(256 << 20);
    let mut arrays = Vec::new();
    for name in archive.names() {
        let bytes = archive.read(name, left)?;
        left -= bytes.len() as u64;
        let label = format!("{}, `{name}`", path.as_ref().display());
        let array = parse(&Source::memory(bytes, &label))?;
        arrays.push((name.strip_suffix(".npy").unwrap_or(name).to_string(), array));
    }
    Ok(arrays)
}

/// Writes arrays under names to a `.npz` file, as float32 and not compressed, as `numpy.savez` does.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written, or two names are the same.
#[cfg(feature = "keras")]
pub fn write_npz(path: impl AsRef<Path>, arrays: &[(&str, ArrayD<Float>)]) -> Result<()> {
    use crate::saving::archive::ArchiveWriter;

    let path = path.as_ref();
    write_atomically(path, |w| {
        let written = (|| {
            let mut archive = ArchiveWriter::new(w)?;
            for (name, array) in arrays {
                let values = array.as_standard_layout();
                let values = values.as_slice().expect("the layout is standard");
                let size = header(array.shape()).len() + 4 * values.len();
                archive.member(&format!("{name}.npy"), size as u64, |w| {
                    put(w, array.shape(), values)
                })?;
            }
            archive.finish().map(|_| ())
        })();
        written.map_err(|e| Error::io(path, e))
    })
}

/// The bytes in front of the values: version 1, filled up so that the values begin at a multiple of 64.
fn header(shape: &[usize]) -> Vec<u8> {
    let mut axes: String = shape.iter().map(|d| format!("{d}, ")).collect();
    if axes.len() > 3 && shape.len() > 1 {
        axes.truncate(axes.len() - 2);
    } else if shape.len() == 1 {
        axes.truncate(axes.len() - 1);
    }
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({axes}), }}");
    let len = (10 + text.len() + 1).next_multiple_of(64) - 10;
    text.extend(std::iter::repeat_n(' ', len - 1 - text.len()));
    text.push('\n');
    [
        MAGIC,
        &[1, 0][..],
        &(len as u16).to_le_bytes(),
        text.as_bytes(),
    ]
    .concat()
}

fn put(w: &mut dyn Write, shape: &[usize], values: &[Float]) -> io::Result<()> {
    w.write_all(&header(shape))?;
    write_f32(w, values)
}

fn parse(source: &Source) -> Result<ArrayD<Float>> {
    let Layout {
        number,
        header,
        count,
        begin,
    } = Layout::of(source)?;
    let mut values = vec![0.0; count];
    let mut at = begin;
    number.read_into(&mut values, |buffer| {
        source.read_at(at, buffer)?;
        at += buffer.len() as u64;
        Ok(())
    })?;
    let shape = IxDyn(&header.shape);
    let array = match header.fortran_order {
        true => {
            ArrayD::from_shape_vec(shape.f(), values).map(|a| a.as_standard_layout().into_owned())
        }
        false => ArrayD::from_shape_vec(shape, values),
    };
    array.map_err(|e| source.error(format!("shape {:?}: {e}", header.shape)))
}

/// What a file holds, and where; the sizes are those of the file.
pub(super) struct Layout {
    pub number: Number,
    pub header: Header,
    /// Number of values.
    pub count: usize,
    /// Where the values begin.
    pub begin: u64,
}

impl Layout {
    pub fn of(source: &Source) -> Result<Layout> {
        let bad = |problem: String| source.error(problem);
        let start = source.take(0, source.len().min(12))?;
        if !start.starts_with(MAGIC) || start.len() < 12 {
            return Err(bad("this is not a .npy file".into()));
        }
        let (len, begin) = match start[6] {
            1 => (u64::from(u16::from_le_bytes([start[8], start[9]])), 10),
            2 | 3 => {
                let len = [start[8], start[9], start[10], start[11]];
                (u64::from(u32::from_le_bytes(len)), 12)
            }
            version => return Err(bad(format!("unknown version {version} of .npy"))),
        };
        if len > MAX_HEADER {
            return Err(bad(format!(
                "the header has {len} bytes; at most {MAX_HEADER} are read"
            )));
        }
        let text = source.take(begin, len)?;
        let text = std::str::from_utf8(&text).map_err(|_| bad("the header is not text".into()))?;
        let header = Header::parse(text).map_err(bad)?;
        let number = number(&header.descr).map_err(bad)?;
        let count = numel(&header.shape);
        let size = count.and_then(|n| n.checked_mul(number.size));
        let there = source.len() - begin - len;
        if size.map(|n| n as u64) != Some(there) {
            let problem = format!(
                "{there} bytes do not fit {} of shape {:?}",
                header.descr, header.shape
            );
            return Err(bad(problem));
        }
        Ok(Layout {
            number,
            header,
            count: count.unwrap_or(0),
            begin: begin + len,
        })
    }
}

/// The type that NumPy's code of it means: byte order, kind, size.
fn number(descr: &str) -> std::result::Result<Number, String> {
    let no = || format!("expected numbers (f2, f4, f8, integers, truth values), got `{descr}`");
    let (order, code) = descr.split_at_checked(1).ok_or_else(no)?;
    let (kind, size) = code.split_at_checked(1).ok_or_else(no)?;
    let kind = match kind {
        "f" => Kind::Float,
        "i" => Kind::Signed,
        "u" | "b" => Kind::Unsigned,
        "O" => {
            return Err(
                "an array of Python objects is a pickle, which is a program: not read".into(),
            );
        }
        _ => return Err(no()),
    };
    let size = size.parse().map_err(|_| no())?;
    let number = Number::new(kind, size).ok_or_else(no)?;
    match order {
        "<" | "|" => Ok(number),
        ">" => Ok(Number {
            big_endian: true,
            ..number
        }),
        _ => Err(no()),
    }
}

/// The Python dictionary in front of the values.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    descr: String,
    pub fortran_order: bool,
    pub shape: Vec<usize>,
}

impl Header {
    /// Reads the few forms that NumPy writes: strings, `True`, `False`, and tuples of whole numbers.
    fn parse(text: &str) -> std::result::Result<Header, String> {
        let mut text = Text(text.trim());
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        text.expect("{")?;
        while !text.eat("}") {
            let key = text.string()?;
            text.expect(":")?;
            let new = match key.as_str() {
                "descr" if text.0.starts_with('[') => {
                    return Err("an array of records is not read".into());
                }
                "descr" => descr.replace(text.string()?).is_none(),
                "fortran_order" if text.eat("True") => fortran_order.replace(true).is_none(),
                "fortran_order" if text.eat("False") => fortran_order.replace(false).is_none(),
                "shape" => shape.replace(text.tuple()?).is_none(),
                _ => false,
            };
            if !new {
                return Err(format!("the header says something unexpected of `{key}`"));
            }
            if !text.eat(",") && !text.0.starts_with('}') {
                return Err("the header is damaged".into());
            }
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) if text.0.is_empty() => Ok(Header {
                descr,
                fortran_order,
                shape,
            }),
            _ => Err("the header does not say everything, or too much".into()),
        }
    }
}

/// What is left of a header.
struct Text<'a>(&'a str);

impl Text<'_> {
    /// Takes a token off the front, if it is there, and the spaces behind it.
    fn eat(&mut self, token: &str) -> bool {
        match self.0.strip_prefix(token) {
            Some(rest) => {
                self.0 = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> std::result::Result<(), String> {
        match self.eat(token) {
            true => Ok(()),
            false => Err(format!("the header lacks a `{token}`")),
        }
    }

    /// A string between quotes of either kind, without escapes.
    fn string(&mut self) -> std::result::Result<String, String> {
        let quote = match self.0.chars().next() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => return Err("the header lacks a string".into()),
        };
        let text = self.0[1..].split(quote).next().unwrap_or_default();
        let text = text.to_string();
        self.0 = &self.0[1 + text.len()..];
        self.expect(&quote.to_string())?;
        Ok(text)
    }

    fn tuple(&mut self) -> std::result::Result<Vec<usize>, String> {
        let mut numbers = Vec::new();
        self.expect("(")?;
        while !self.eat(")") {
            let end = self
                .0
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(self.0.len());
            let (digits, rest) = self.0.split_at(end);
            let number = digits
                .parse()
                .map_err(|_| "the shape is no list of sizes")?;
            self.0 = rest.trim_start();
            // Python 2 wrote long numbers with an L.
            self.eat("L");
            numbers.push(number);
            if numbers.len() > 32 {
                return Err("the array has more than 32 axes".into());
            }
            if !self.eat(",") && !self.0.starts_with(')') {
                return Err("the shape is no list of sizes".into());
            }
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(descr: &str, fortran: bool, shape: &str, values: &[u8]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let text = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = [MAGIC, &[1, 0][..]].concat();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(values);
        bytes
    }

    fn error(bytes: Vec<u8>) -> String {
        let error = from_bytes(bytes).unwrap_err();
        assert!(matches!(error, Error::Data { .. }));
        error.to_string()
    }

    #[test]
    fn types_orders_and_versions() {
        let three = |descr: &str, bytes: &[u8]| {
            let array = from_bytes(file(descr, false, "(3,)", bytes)).unwrap();
            array.into_raw_vec_and_offset().0
        };
        assert_eq!(three("'|b1'", &[1, 0, 1]), [1.0, 0.0, 1.0]);
        assert_eq!(three("'|u1'", &[1, 0, 255]), [1.0, 0.0, 255.0]);
        assert_eq!(three("'<f2'", &[0, 0x3c, 0, 0xc0, 0, 0]), [1.0, -2.0, 0.0]);
        assert_eq!(
            three("\">i2\"", &[0, 1, 255, 254, 1, 0]),
            [1.0, -2.0, 256.0]
        );
        let doubles: Vec<u8> = [0.5f64, -1.0, 3.0]
            .iter()
            .flat_map(|v| v.to_be_bytes())
            .collect();
        assert_eq!(three("'>f8'", &doubles), [0.5, -1.0, 3.0]);

        let fortran = from_bytes(file("'|i1'", true, "(2, 3)", &[1, 2, 3, 4, 5, 6])).unwrap();
        assert_eq!(
            fortran,
            ndarray::array![[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]].into_dyn()
        );
        assert!(fortran.is_standard_layout());
        let one = from_bytes(file("'<f4'", false, "()", &1.5f32.to_le_bytes())).unwrap();
        assert_eq!((one.ndim(), one.sum()), (0, 1.5));
        assert_eq!(
            from_bytes(file("'<f4'", false, "(0L, 3)", &[]))
                .unwrap()
                .shape(),
            [0, 3]
        );

        let mut second = file("'|i1'", false, "(2,)", &[7, 8]);
        second[6] = 2;
        second.splice(10..10, [0, 0]);
        assert_eq!(from_bytes(second.clone()).unwrap().sum(), 15.0);
        second[6] = 4;
        assert_eq!(error(second), "npy: unknown version 4 of .npy");
    }

    #[test]
    fn written_headers_are_numpys() {
        let text = |shape: &[usize]| String::from_utf8(header(shape)[10..].to_vec()).unwrap();
        let want = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
        assert_eq!(text(&[3, 4]).trim_end(), want);
        assert!(text(&[5]).contains("(5,), }"));
        assert!(text(&[]).contains("'shape': (), }"));
        assert!(text(&[1, 2, 3]).contains("(1, 2, 3), }"));
        assert_eq!(header(&[3, 4]).len(), 128);
        assert!(text(&[3, 4]).ends_with('\n'));
    }

    #[test]
    fn what_is_not_read() {
        assert!(error(file("'|O'", false, "(1,)", &[])).contains("pickle"));
        assert!(error(file("[('a', '<f4')]", false, "(1,)", &[])).contains("records"));
        assert!(error(file("'<c8'", false, "(1,)", &[0; 8])).contains("`<c8`"));
        assert!(error(file("'<f16'", false, "(1,)", &[0; 16])).contains("`<f16`"));
        assert!(error(file("''", false, "(1,)", &[])).contains("``"));
        let lying = error(file("'<f4'", false, "(1000000000000,)", &[0; 8]));
        assert_eq!(
            lying,
            "npy: 8 bytes do not fit <f4 of shape [1000000000000]"
        );
        assert!(
            error(file("'<f4'", false, "(4294967296, 4294967296, 4)", &[])).contains("do not fit")
        );
        assert!(error(file("'<f4'", false, "(2,)", &[0; 9])).contains("do not fit"));
        assert!(error(file("'<f4'", false, "(-2,)", &[])).contains("no list of sizes"));
        assert!(error(file("'<f4'", false, "(2 2)", &[])).contains("no list of sizes"));
        assert!(error(file("'<f4'", false, "2", &[])).contains("`(`"));
        assert!(error(file("'<f4", false, "(2,)", &[])).contains("header"));
        assert!(error(b"\x93NUMPY\x01\0\xff\xff{}".to_vec()).contains("65535 bytes"));
        assert!(error(b"\x93NUMPY\x02\0\xff\xff\xff\xff{}".to_vec()).contains("4294967295 bytes"));
        assert!(error(b"\x93NUMPY\x01\0\x02\0{}".to_vec()).contains("does not say everything"));
        let twice = b"\x93NUMPY\x01\0\x1c\0{'shape': (), 'shape': (), }";
        assert!(error(twice.to_vec()).contains("unexpected of `shape`"));
    }
}
