//! The safetensors format: the length of a JSON header (8 bytes), the header, the values of all tensors.
//!
//! ```text
//! {"__metadata__": {"made_by": "..."}, "dense/kernel": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
//! ```
//!
//! The header may hold 16 MB and 100,000 tensors, offsets must cover the values without gap or overlap, and every tensor must
//! have as many bytes as its shape asks for.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::Result;
use crate::float::Float;
use crate::saving::number::{Kind, Number, numel, write_floats};
use crate::saving::source::Source;

const MAX_HEADER: u64 = 16 << 20;
const MAX_TENSORS: usize = 100_000;
const MAX_AXES: usize = 8;
/// What [`Float`] is.
const DTYPE: &str = if size_of::<Float>() == 8 {
    "F64"
} else {
    "F32"
};

/// A safetensors file opened for reading; values are read when they are asked for.
#[derive(Debug)]
pub(crate) struct SafeTensors {
    values: Source,
    tensors: Vec<Tensor>,
    /// The place of each name among them.
    index: HashMap<String, usize>,
    metadata: HashMap<String, String>,
}

/// One tensor of a file.
#[derive(Debug)]
pub(crate) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    number: Option<Number>,
    dtype: String,
    /// Where its bytes are among the values.
    start: u64,
    end: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// The header: a map of which no name may come twice, and what it says of itself (`__metadata__`).
struct Header {
    entries: Vec<(String, Entry)>,
    metadata: HashMap<String, String>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
        let error = <A::Error as serde::de::Error>::custom;
        let (mut entries, mut metadata) = (Vec::new(), HashMap::new());
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(error(format!("there are two tensors `{name}`")));
            }
            if names.len() > MAX_TENSORS {
                return Err(error(format!("there are more than {MAX_TENSORS} tensors")));
            }
            if name == "__metadata__" {
                metadata = map.next_value()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(Header { entries, metadata })
    }
}

impl SafeTensors {
    pub(crate) fn open(path: &Path) -> Result<SafeTensors> {
        SafeTensors::new(Source::open(path)?)
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<SafeTensors> {
        SafeTensors::new(Source::memory(bytes, "safetensors"))
    }

    fn new(source: Source) -> Result<SafeTensors> {
        let mut len = [0; 8];
        source.read_at(0, &mut len)?;
        let len = u64::from_le_bytes(len);
        if len > MAX_HEADER {
            let problem = format!("the header has {len} bytes; at most {MAX_HEADER} are read");
            return Err(source.error(problem));
        }
        let header = source.take(8, len)?;
        let Header { entries, metadata } = serde_json::from_slice(&header)
            .map_err(|e| source.error(format!("the header is not what it should be: {e}")))?;
        let values = source.slice(8 + len, source.len() - 8 - len, source.name())?;
        let mut tensors = Vec::with_capacity(entries.len());
        for (name, entry) in entries {
            tensors.push(tensor(&source, name, entry)?);
        }
        tensors.sort_by_key(|t| (t.start, t.end));
        let mut end = 0;
        for t in &tensors {
            if t.start != end || t.end < t.start {
                let problem = format!(
                    "tensor `{}` does not begin where the one before ends",
                    t.name
                );
                return Err(source.error(problem));
            }
            end = t.end;
        }
        if end != values.len() {
            let problem = format!("the tensors have {end} bytes, the file {}", values.len());
            return Err(source.error(problem));
        }
        let places = tensors.iter().enumerate();
        let index = places.map(|(i, t)| (t.name.clone(), i)).collect();
        Ok(SafeTensors {
            values,
            tensors,
            index,
            metadata,
        })
    }

    /// What the file says of itself under this key.
    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// All tensors in the order of their values.
    pub(crate) fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The values of a tensor of this shape, converted to [`Float`]. F16, BF16, F32, F64, integers and truth values are numbers.
    pub(crate) fn read_into(&self, name: &str, shape: &[usize], out: &mut [Float]) -> Result<()> {
        let error = |problem: String| self.values.error(format!("`{name}`: {problem}"));
        let tensor = self.index.get(name).map(|&i| &self.tensors[i]);
        let tensor = tensor.ok_or_else(|| error("there is no such tensor".into()))?;
        if tensor.shape != shape {
            return Err(error(format!(
                "expected shape {shape:?}, got {:?}",
                tensor.shape
            )));
        }
        if numel(shape) != Some(out.len()) {
            return Err(error(format!("{} places for shape {shape:?}", out.len())));
        }
        let number = tensor
            .number
            .ok_or_else(|| error(format!("dtype {} is not read", tensor.dtype)))?;
        let mut at = tensor.start;
        number.read_into(out, |buffer| {
            self.values.read_at(at, buffer)?;
            at += buffer.len() as u64;
            Ok(())
        })
    }
}

fn tensor(source: &Source, name: String, entry: Entry) -> Result<Tensor> {
    let number = number(&entry.dtype);
    let [start, end] = entry.data_offsets;
    let bytes = numel(&entry.shape).filter(|_| entry.shape.len() <= MAX_AXES);
    let bytes = bytes.and_then(|n| match number {
        Some(number) => n.checked_mul(number.size),
        // The size of what is not read is taken from the offsets.
        None => usize::try_from(end.saturating_sub(start)).ok(),
    });
    if bytes.map(|n| n as u64) != end.checked_sub(start) {
        let problem = format!(
            "tensor `{name}`: bytes {start} to {end} do not fit {} of shape {:?}",
            entry.dtype, entry.shape
        );
        return Err(source.error(problem));
    }
    Ok(Tensor {
        name,
        shape: entry.shape,
        number,
        dtype: entry.dtype,
        start,
        end,
    })
}

fn number(dtype: &str) -> Option<Number> {
    let (kind, size) = match dtype {
        "F16" => (Kind::Float, 2),
        "F32" => (Kind::Float, 4),
        "F64" => (Kind::Float, 8),
        "BF16" => (Kind::Brain, 2),
        "I8" => (Kind::Signed, 1),
        "I16" => (Kind::Signed, 2),
        "I32" => (Kind::Signed, 4),
        "I64" => (Kind::Signed, 8),
        "BOOL" | "U8" => (Kind::Unsigned, 1),
        "U16" => (Kind::Unsigned, 2),
        "U32" => (Kind::Unsigned, 4),
        "U64" => (Kind::Unsigned, 8),
        _ => return None,
    };
    Number::new(kind, size)
}

/// Writes tensors (name, shape, values) with the precision of [`Float`], in the order given.
pub(crate) fn write_safetensors(
    w: &mut dyn Write,
    tensors: &[(&str, &[usize], &[Float])],
    metadata: &[(&str, &str)],
) -> io::Result<()> {
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        let metadata: serde_json::Map<_, _> = (metadata.iter())
            .map(|(key, value)| (key.to_string(), (*value).into()))
            .collect();
        header.insert("__metadata__".into(), metadata.into());
    }
    let mut end = 0;
    for (name, shape, values) in tensors {
        let start = end;
        end += size_of_val(*values) as u64;
        let entry =
            serde_json::json!({"dtype": DTYPE, "shape": shape, "data_offsets": [start, end]});
        let fits = numel(shape) == Some(values.len());
        if !fits || header.insert(name.to_string(), entry).is_some() {
            let problem = format!("`{name}` has a name or shape that cannot be written");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
    }
    let mut header = serde_json::Value::from(header).to_string();
    // The values begin at a multiple of 8 bytes.
    header.extend(std::iter::repeat_n(
        ' ',
        header.len().next_multiple_of(8) - header.len(),
    ));
    w.write_all(&(header.len() as u64).to_le_bytes())?;
    w.write_all(header.as_bytes())?;
    tensors
        .iter()
        .try_for_each(|(_, _, values)| write_floats(w, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, values: &[u8]) -> Vec<u8> {
        let len = (header.len() as u64).to_le_bytes();
        [&len[..], header.as_bytes(), values].concat()
    }

    fn error(header: &str, values: usize) -> String {
        let error = SafeTensors::from_bytes(file(header, &vec![0; values]));
        error.unwrap_err().to_string()
    }

    fn read(f: &SafeTensors, name: &str) -> Result<Vec<Float>> {
        let tensor = &f.tensors()[f.index[name]];
        let mut out = vec![9.0; numel(&tensor.shape).unwrap()];
        f.read_into(name, &tensor.shape, &mut out)?;
        Ok(out)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        let values: [Float; 6] = [0.0, 1.0, 2.0, -3.5, 4.0, 5.0];
        let tensors: [(&str, &[usize], &[Float]); 3] = [
            ("dense/kernel", &[2, 3], &values),
            ("b \"ä\"", &[], &values[3..4]),
            ("none", &[0, 7], &[]),
        ];
        write_safetensors(&mut bytes, &tensors, &[("made_by", "us")]).unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let f = SafeTensors::from_bytes(bytes.clone()).unwrap();
        assert_eq!((f.metadata("made_by"), f.metadata("x")), (Some("us"), None));
        let names: Vec<&str> = f.tensors().iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["dense/kernel", "b \"ä\"", "none"]);
        assert_eq!(read(&f, "dense/kernel").unwrap(), values);
        assert_eq!(read(&f, "b \"ä\"").unwrap(), [-3.5]);
        assert!(read(&f, "none").unwrap().is_empty());
        assert_eq!(
            f.read_into("dense/kernel", &[3, 2], &mut [0.0; 6])
                .unwrap_err()
                .to_string(),
            "safetensors: `dense/kernel`: expected shape [3, 2], got [2, 3]"
        );
        assert!(f.read_into("kernel", &[], &mut [0.0]).is_err());
        for len in 0..bytes.len() {
            assert!(
                SafeTensors::from_bytes(bytes[..len].to_vec()).is_err(),
                "{len}"
            );
        }
        let twice = [tensors[0], tensors[0]];
        assert!(write_safetensors(&mut Vec::new(), &twice, &[]).is_err());
        let wrong: (&str, &[usize], &[Float]) = ("x", &[7], &values);
        assert!(write_safetensors(&mut Vec::new(), &[wrong], &[]).is_err());
    }

    #[test]
    fn every_type() {
        let header = r#"{"__metadata__": {"format": "pt"},
            "half": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]},
            "brain": {"dtype": "BF16", "shape": [1], "data_offsets": [2, 4]},
            "byte": {"dtype": "I8", "shape": [2], "data_offsets": [4, 6]},
            "flag": {"dtype": "BOOL", "shape": [1, 1], "data_offsets": [6, 7]},
            "tiny": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [7, 8]}}"#;
        let f =
            SafeTensors::from_bytes(file(header, &[0, 0x3e, 0xc0, 0x3f, 1, 255, 1, 0])).unwrap();
        assert_eq!(read(&f, "half").unwrap(), [1.5]);
        assert_eq!(read(&f, "brain").unwrap(), [1.5]);
        assert_eq!(read(&f, "byte").unwrap(), [1.0, -1.0]);
        assert_eq!(read(&f, "flag").unwrap(), [1.0]);
        let problem = read(&f, "tiny").unwrap_err().to_string();
        assert_eq!(problem, "safetensors: `tiny`: dtype F8_E4M3 is not read");
    }

    #[test]
    fn headers_that_lie() {
        let tensor = |name: &str, shape: &str, offsets: &str| {
            format!(r#""{name}": {{"dtype": "F32", "shape": {shape}, "data_offsets": {offsets}}}"#)
        };
        let one =
            |shape: &str, offsets: &str| error(&format!("{{{}}}", tensor("a", shape, offsets)), 8);
        let two = |first: &str, second: &str| {
            let tensors = [tensor("a", "[1]", first), tensor("b", "[1]", second)];
            error(&format!("{{{}}}", tensors.join(", ")), 8)
        };
        assert!(one("[3]", "[0, 8]").contains("do not fit F32 of shape [3]"));
        assert!(one("[2]", "[8, 0]").contains("do not fit"));
        assert!(one("[2]", "[8, 16]").contains("begin where the one before ends"));
        assert!(one("[3]", "[0, 12]").contains("have 12 bytes, the file 8"));
        assert!(one("[1]", "[0, 4]").contains("have 4 bytes, the file 8"));
        assert!(one("[4611686018427387904, 4]", "[0, 0]").contains("do not fit"));
        assert!(one("[1,1,1,1,1,1,1,1,2]", "[0, 8]").contains("do not fit"));
        assert!(one("[-1]", "[0, 8]").contains("header"));
        assert!(one("[2.5]", "[0, 8]").contains("header"));
        assert!(one("[2]", "[0, 18446744073709551616]").contains("header"));
        assert!(two("[0, 4]", "[0, 4]").contains("begin where the one before ends"));
        assert!(two("[0, 4]", "[2, 6]").contains("begin where the one before ends"));
        let twice = format!(
            "{{{}, {}}}",
            tensor("a", "[1]", "[0, 4]"),
            tensor("a", "[1]", "[4, 8]")
        );
        assert!(error(&twice, 8).contains("two tensors `a`"));
        assert!(error("[]", 0).contains("header"));
        assert!(error(r#"{"a": {"dtype": "F32"}}"#, 0).contains("header"));
        assert!(error(&format!("{{\"a\": {}1", "[".repeat(100_000)), 0).contains("header"));
        let mut long = file("{}", &[]);
        long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(
            SafeTensors::from_bytes(long)
                .unwrap_err()
                .to_string()
                .contains("at most")
        );
    }
}
