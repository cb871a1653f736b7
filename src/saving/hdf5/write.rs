//! Writes HDF5 files as h5py does by default: superblock 0, symbol tables, contiguous datasets; HDF5 of any age reads them.
//!
//! Everything is written once, from the front to the back: members before the group that lists them, the address of the root
//! being known from a first pass that only counts. So a file goes straight into a zip archive, and no value is held twice.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::saving::number::{numel, write_f32};

use super::MAX_DEPTH;
use super::blocks::{FLOAT_TYPE, Out, dataspace, heap, integer_type, superblock, symbol_tables};
use super::format::{UNDEFINED, message};

/// Most bytes that Keras puts into one list of strings before it cuts it up.
const LIST_LIMIT: usize = 64512;
/// A file to be: groups, datasets and attributes are added, then it is written. Values are borrowed until then.
///
/// Paths are names joined by `/`; groups on the way are made where they are missing.
#[derive(Default)]
pub(crate) struct H5Writer<'a> {
    root: Object<'a>,
}

#[derive(Default)]
struct Object<'a> {
    attributes: Vec<(String, Value)>,
    content: Content<'a>,
}

enum Content<'a> {
    Group(BTreeMap<String, Object<'a>>),
    Dataset(Vec<usize>, Values<'a>),
}

impl Default for Content<'_> {
    fn default() -> Self {
        Content::Group(BTreeMap::new())
    }
}

enum Values<'a> {
    F32(Cow<'a, [Float]>),
    I64(Vec<i64>),
}

/// The value of an attribute.
enum Value {
    Text(String),
    List(Vec<String>),
}

impl<'a> H5Writer<'a> {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Makes a group, if it is not there.
    pub(crate) fn group(&mut self, path: &str) -> Result<()> {
        let object = self.place(path)?;
        match object.content {
            Content::Group(_) => Ok(()),
            Content::Dataset(..) => Err(error(path, "this is a dataset, not a group")),
        }
    }

    /// A dataset of float32.
    pub(crate) fn dataset(
        &mut self,
        path: &str,
        shape: &[usize],
        values: impl Into<Cow<'a, [Float]>>,
    ) -> Result<()> {
        self.add(path, shape, Values::F32(values.into()))
    }

    /// A dataset of int64.
    pub(crate) fn dataset_i64(
        &mut self,
        path: &str,
        shape: &[usize],
        values: &[i64],
    ) -> Result<()> {
        self.add(path, shape, Values::I64(values.to_vec()))
    }

    fn add(&mut self, path: &str, shape: &[usize], values: Values<'a>) -> Result<()> {
        if numel(shape) != Some(values.len()) || shape.len() > 32 {
            let problem = format!("{} values for shape {shape:?}", values.len());
            return Err(error(path, problem));
        }
        let object = self.place(path)?;
        match &object.content {
            Content::Group(members) if members.is_empty() && object.attributes.is_empty() => {
                object.content = Content::Dataset(shape.to_vec(), values);
                Ok(())
            }
            _ => Err(error(path, "this is there already")),
        }
    }

    /// The object at a path; groups where there is nothing.
    fn place(&mut self, path: &str) -> Result<&mut Object<'a>> {
        let mut object = &mut self.root;
        for (depth, name) in path.split('/').filter(|n| !n.is_empty()).enumerate() {
            if name == "." || name.contains('\0') || name.len() > 255 || depth + 1 == MAX_DEPTH {
                return Err(error(path, format!("`{name}` cannot be a name here")));
            }
            let Content::Group(members) = &mut object.content else {
                return Err(error(path, "a dataset has no members"));
            };
            object = members.entry(name.to_string()).or_default();
        }
        Ok(object)
    }

    /// Sets an attribute of what is at `path`, which must be there.
    fn attribute(&mut self, path: &str, name: &str, value: Value) -> Result<()> {
        let size = value.size() + 8 * name.len().div_ceil(8);
        if name.is_empty() || name.contains('\0') || size > LIST_LIMIT + 512 {
            let problem = format!("attribute `{name}` of {size} bytes cannot be written");
            return Err(error(path, problem));
        }
        let mut names = path.split('/').filter(|n| !n.is_empty());
        let object = names.try_fold(&mut self.root, |object, name| match &mut object.content {
            Content::Group(members) => members.get_mut(name),
            Content::Dataset(..) => None,
        });
        let object = object.ok_or_else(|| error(path, "this is not there"))?;
        if object.attributes.iter().any(|(n, _)| n == name) {
            return Err(error(path, format!("attribute `{name}` is there already")));
        }
        object.attributes.push((name.to_string(), value));
        Ok(())
    }

    /// A string, of any length.
    pub(crate) fn attr_string(&mut self, path: &str, name: &str, value: &str) -> Result<()> {
        self.attribute(path, name, Value::Text(value.to_string()))
    }

    /// A list of strings; one of more than 64512 bytes becomes `name0`, `name1`, ..., in parts of nearly equal length, as Keras
    /// writes it.
    pub(crate) fn attr_strings(
        &mut self,
        path: &str,
        name: &str,
        values: &[impl AsRef<str>],
    ) -> Result<()> {
        let values: Vec<String> = values.iter().map(|v| v.as_ref().to_string()).collect();
        let width = list_width(&values);
        if width > LIST_LIMIT {
            let problem = format!("attribute `{name}` has a string of {width} bytes");
            return Err(error(path, problem));
        }
        let parts = (1..).find(|parts| values.len().div_ceil(*parts) * width <= LIST_LIMIT);
        let parts = parts.expect("single strings are short enough");
        if parts == 1 {
            return self.attribute(path, name, Value::List(values));
        }
        let (least, longer) = (values.len() / parts, values.len() % parts);
        let mut rest = values.into_iter();
        for part in 0..parts {
            let count = least + usize::from(part < longer);
            let list = rest.by_ref().take(count).collect();
            self.attribute(path, &format!("{name}{part}"), Value::List(list))?;
        }
        Ok(())
    }

    /// The whole file in memory.
    #[cfg(test)]
    pub(crate) fn finish(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes).expect("memory takes everything");
        bytes
    }

    /// Writes the file from front to back.
    pub(crate) fn write_to(&self, w: &mut dyn Write) -> io::Result<()> {
        let (root, end) = self.measure();
        let mut out = Out::new(Some(w));
        out.put(&superblock(root, end))?;
        let written = self.root.write(&mut out)?;
        debug_assert_eq!((written, out.at), (root, end));
        Ok(())
    }

    /// Bytes of the whole file.
    pub(crate) fn size(&self) -> u64 {
        self.measure().1
    }

    /// Where the root's header will lie, and the end of the file.
    fn measure(&self) -> (u64, u64) {
        let mut out = Out::new(None);
        out.at = superblock(0, 0).len() as u64;
        let root = self.root.write(&mut out).expect("nothing is written");
        (root, out.at)
    }
}

fn error(path: &str, problem: impl Into<String>) -> Error {
    Error::data(format!("HDF5 file, `{path}`"), problem)
}

impl Object<'_> {
    /// Writes all that belongs to the object, then its header; the address of the header.
    fn write(&self, out: &mut Out<'_>) -> io::Result<u64> {
        let mut messages = match &self.content {
            Content::Group(members) => {
                let mut children = Vec::with_capacity(members.len());
                for (name, member) in members {
                    children.push((name.as_str(), member.write(out)?));
                }
                vec![(message::SYMBOL_TABLE, 0, symbol_tables(out, &children)?)]
            }
            Content::Dataset(shape, values) => {
                let size = values.size() as u64;
                let at = match size {
                    0 => UNDEFINED,
                    _ => out.stream(size, |w| values.write(w))?,
                };
                let shape: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
                // Version 3, contiguous.
                let layout = [&[3, 1][..], &at.to_le_bytes(), &size.to_le_bytes()].concat();
                vec![
                    (message::DATASPACE, 0, dataspace(&shape)),
                    (message::DATATYPE, 1, values.datatype()),
                    // Fill value: version 2, allocated late, written if set, the default.
                    (0x05, 1, vec![2, 2, 2, 1, 0, 0, 0, 0]),
                    (message::LAYOUT, 0, layout),
                ]
            }
        };
        let texts = self.attributes.iter().filter_map(|(_, value)| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let mut references = heap(out, &texts.collect::<Vec<_>>())?.into_iter();
        for (name, value) in &self.attributes {
            messages.push((message::ATTRIBUTE, 0, value.message(name, &mut references)));
        }
        let mut header = Vec::new();
        for (kind, flags, body) in &messages {
            let size = body.len().next_multiple_of(8);
            header.extend(kind.to_le_bytes());
            header.extend((size as u16).to_le_bytes());
            header.extend([*flags, 0, 0, 0]);
            header.extend(body);
            header.resize(header.len() + size - body.len(), 0);
        }
        let mut start = vec![1, 0];
        start.extend((messages.len() as u16).to_le_bytes());
        start.extend(1u32.to_le_bytes());
        start.extend((header.len() as u32).to_le_bytes());
        start.extend([0; 4]);
        out.put(&[start, header].concat())
    }
}

impl Values<'_> {
    fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::I64(v) => v.len(),
        }
    }

    /// Bytes of all of them.
    fn size(&self) -> usize {
        self.len() * if matches!(self, Values::I64(_)) { 8 } else { 4 }
    }

    fn datatype(&self) -> Vec<u8> {
        match self {
            Values::F32(_) => FLOAT_TYPE.to_vec(),
            Values::I64(_) => integer_type(8, true),
        }
    }

    fn write(&self, w: &mut dyn Write) -> io::Result<()> {
        match self {
            Values::F32(values) => write_f32(w, values),
            Values::I64(values) => values
                .iter()
                .try_for_each(|v| w.write_all(&v.to_le_bytes())),
        }
    }
}

impl Value {
    /// Bytes in the header.
    fn size(&self) -> usize {
        match self {
            Value::Text(_) => 16,
            Value::List(list) => list.len() * list_width(list),
        }
    }

    /// The message; a text is in the heap, where the next of the `references` leads.
    fn message(&self, name: &str, references: &mut impl Iterator<Item = [u8; 16]>) -> Vec<u8> {
        let (datatype, shape, data): (_, &[u64], _) = match self {
            Value::Text(_) => {
                // A UTF-8 string of any length, made of bytes.
                let datatype =
                    [&[0x19, 1, 1, 0, 16, 0, 0, 0][..], &integer_type(1, false)].concat();
                let reference = references.next().expect("one for each text");
                (datatype, &[], reference.to_vec())
            }
            Value::List(list) => {
                let width = list_width(list);
                // Fixed size, filled up with zeros.
                let datatype = [&[0x13, 1, 0, 0][..], &(width as u32).to_le_bytes()].concat();
                let mut data = vec![0; list.len() * width];
                for (place, text) in data.chunks_exact_mut(width).zip(list) {
                    place[..text.len()].copy_from_slice(text.as_bytes());
                }
                (datatype, &[list.len() as u64], data)
            }
        };
        let name = [name.as_bytes(), &[0]].concat();
        let dataspace = dataspace(shape);
        let mut body = vec![1, 0];
        for part in [&name, &datatype, &dataspace] {
            body.extend((part.len() as u16).to_le_bytes());
        }
        for part in [&name, &datatype, &dataspace] {
            body.extend(part);
            body.resize(body.len().next_multiple_of(8), 0);
        }
        body.extend(data);
        body
    }
}

/// Bytes of the longest string, and one at least.
fn list_width(list: &[String]) -> usize {
    list.iter().map(String::len).max().unwrap_or(0).max(1)
}
