//! The safetensors format: the length of a JSON header (8 bytes), the header, the values of all tensors.
//!
//! ```text
//! {"__metadata__": {"made_by": "..."}, "dense/kernel": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
//! ```
//!
//! The header may hold 16 MB and 100,000 tensors, offsets must cover the values without gap or overlap, and every tensor must
//! have as many bytes as its shape asks for.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::Result;
use crate::float::Float;
use crate::saving::number::{Kind, Number, numel, write_f32};
use crate::saving::source::Source;

const MAX_HEADER: u64 = 16 << 20;
const MAX_TENSORS: usize = 100_000;
const MAX_AXES: usize = 8;

/// A safetensors file opened for reading; values are read when they are asked for.
#[derive(Debug)]
pub(crate) struct SafeTensors {
    values: Source,
    tensors: Vec<Tensor>,
    metadata: Vec<(String, String)>,
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

/// The header; a map whose order is kept and whose names are told apart.
#[derive(Default)]
struct Header {
    metadata: Vec<(String, String)>,
    entries: Vec<(String, Entry)>,
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
        let mut header = Header::default();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(error(format!("there are two tensors `{name}`")));
            }
            if names.len() > MAX_TENSORS {
                return Err(error(format!("there are more than {MAX_TENSORS} tensors")));
            }
            if name == "__metadata__" {
                let metadata: std::collections::BTreeMap<String, String> = map.next_value()?;
                header.metadata = metadata.into_iter().collect();
            } else {
                header.entries.push((name, map.next_value()?));
            }
        }
        Ok(header)
    }
}

impl SafeTensors {
    pub(crate) fn open(path: &Path) -> Result<SafeTensors> {
        SafeTensors::new(Source::open(path)?)
    }

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
        let header: Header = serde_json::from_slice(&header)
            .map_err(|e| source.error(format!("the header is not what it should be: {e}")))?;
        let values = source.slice(8 + len, source.len() - 8 - len, source.name())?;
        let mut tensors = Vec::with_capacity(header.entries.len());
        for (name, entry) in header.entries {
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
        Ok(SafeTensors {
            values,
            tensors,
            metadata: header.metadata,
        })
    }

    /// All tensors in the order of their values.
    pub(crate) fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// What else the header says.
    pub(crate) fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// The values of a tensor of this shape, converted to [`Float`]. F16, BF16, F32, F64, integers and truth values are numbers.
    pub(crate) fn read_into(&self, name: &str, shape: &[usize], out: &mut [Float]) -> Result<()> {
        let error = |problem: String| self.values.error(format!("`{name}`: {problem}"));
        let tensor = self.tensors.iter().find(|t| t.name == name);
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

/// Writes tensors (name, shape, values) as F32, in the order given.
pub(crate) fn write_safetensors(
    w: &mut impl Write,
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
        end += 4 * values.len() as u64;
        let entry =
            serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
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
        .try_for_each(|(_, _, values)| write_f32(w, values))
}
