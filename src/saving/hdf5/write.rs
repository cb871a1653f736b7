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
use super::format::{UNDEFINED, message};

/// Most bytes that Keras puts into one list of strings before it cuts it up.
const LIST_LIMIT: usize = 64512;
/// Members of a symbol table, and children of a B-tree node.
const TABLE: usize = 8;
const CHILDREN: usize = 32;
/// Fill of a collection of strings before the next is begun.
const COLLECTION: usize = 1 << 16;

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
    U32(Vec<u32>),
}

/// The value of an attribute.
enum Value {
    Text(String),
    List(Vec<String>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
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

    /// A dataset of uint32.
    pub(crate) fn dataset_u32(
        &mut self,
        path: &str,
        shape: &[usize],
        values: &[u32],
    ) -> Result<()> {
        self.add(path, shape, Values::U32(values.to_vec()))
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

    /// A list of int64.
    pub(crate) fn attr_ints(&mut self, path: &str, name: &str, values: &[i64]) -> Result<()> {
        self.attribute(path, name, Value::Ints(values.to_vec()))
    }

    /// A list of float64.
    pub(crate) fn attr_floats(&mut self, path: &str, name: &str, values: &[f64]) -> Result<()> {
        self.attribute(path, name, Value::Floats(values.to_vec()))
    }

    /// The whole file in memory.
    pub(crate) fn finish(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes).expect("memory takes everything");
        bytes
    }

    /// Writes the file from front to back.
    pub(crate) fn write_to(&self, w: &mut (impl Write + ?Sized)) -> io::Result<()> {
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
        let mut out = Out::<io::Sink>::new(None);
        out.at = superblock(0, 0).len() as u64;
        let root = self.root.write(&mut out).expect("nothing is written");
        (root, out.at)
    }
}

fn error(path: &str, problem: impl Into<String>) -> Error {
    Error::data(format!("HDF5 file, `{path}`"), problem)
}

/// Where the file goes, and how far it has come; only counts if there is no writer.
struct Out<'w, W: ?Sized> {
    w: Option<&'w mut W>,
    at: u64,
}

impl<'w, W: Write + ?Sized> Out<'w, W> {
    fn new(w: Option<&'w mut W>) -> Self {
        Out { w, at: 0 }
    }

    /// Writes a block, filled up to a multiple of 8 bytes; its address.
    fn put(&mut self, bytes: &[u8]) -> io::Result<u64> {
        self.stream(bytes.len() as u64, |w| w.write_all(bytes))
    }

    /// The same for `len` bytes that `write` writes.
    fn stream(
        &mut self,
        len: u64,
        write: impl FnOnce(&mut W) -> io::Result<()>,
    ) -> io::Result<u64> {
        let at = self.at;
        let padding = len.next_multiple_of(8) - len;
        if let Some(w) = &mut self.w {
            write(w)?;
            w.write_all(&[0; 8][..padding as usize])?;
        }
        self.at += len + padding;
        Ok(at)
    }
}

impl Object<'_> {
    /// Writes all that belongs to the object, then its header; the address of the header.
    fn write<W: Write + ?Sized>(&self, out: &mut Out<'_, W>) -> io::Result<u64> {
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
            Values::U32(v) => v.len(),
        }
    }

    /// Bytes of all of them.
    fn size(&self) -> usize {
        self.len() * if matches!(self, Values::I64(_)) { 8 } else { 4 }
    }

    fn datatype(&self) -> Vec<u8> {
        match self {
            Values::F32(_) => float_type(4),
            Values::I64(_) => integer_type(8, true),
            Values::U32(_) => integer_type(4, false),
        }
    }

    fn write(&self, w: &mut (impl Write + ?Sized)) -> io::Result<()> {
        match self {
            Values::F32(values) => write_f32(w, values),
            Values::I64(values) => values
                .iter()
                .try_for_each(|v| w.write_all(&v.to_le_bytes())),
            Values::U32(values) => values
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
            Value::Ints(values) => values.len() * 8,
            Value::Floats(values) => values.len() * 8,
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
            Value::Ints(values) => {
                let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                (integer_type(8, true), &[values.len() as u64], data)
            }
            Value::Floats(values) => {
                let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                (float_type(8), &[values.len() as u64], data)
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

fn integer_type(size: u8, signed: bool) -> Vec<u8> {
    let sign = if signed { 8 } else { 0 };
    vec![0x10, sign, 0, 0, size, 0, 0, 0, 0, 0, 8 * size, 0]
}

fn float_type(size: u8) -> Vec<u8> {
    // Sign bit, size and, after the offset and the precision, exponent and fraction: where each begins, and its bits; the bias.
    match size {
        4 => vec![
            0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0,
        ],
        _ => vec![
            0x11, 0x20, 63, 0, 8, 0, 0, 0, 0, 0, 64, 0, 52, 11, 0, 52, 0xff, 3, 0, 0,
        ],
    }
}

fn dataspace(shape: &[u64]) -> Vec<u8> {
    let mut body = vec![1, shape.len() as u8, 0, 0, 0, 0, 0, 0];
    shape.iter().for_each(|d| body.extend(d.to_le_bytes()));
    body
}

fn superblock(root: u64, end: u64) -> Vec<u8> {
    let mut block = b"\x89HDF\r\n\x1a\n".to_vec();
    // Versions of everything are 0; addresses and lengths have 8 bytes.
    block.extend([0, 0, 0, 0, 0, 8, 8, 0]);
    block.extend([TABLE as u8 / 2, 0, CHILDREN as u8 / 2, 0, 0, 0, 0, 0]);
    for address in [0, UNDEFINED, end, UNDEFINED, 0, root] {
        block.extend(address.to_le_bytes());
    }
    // Nothing is known of the root but its address.
    block.resize(96, 0);
    block
}

/// Writes names, symbol tables and the B-tree over them; the symbol table message.
fn symbol_tables<W: Write + ?Sized>(
    out: &mut Out<'_, W>,
    children: &[(&str, u64)],
) -> io::Result<Vec<u8>> {
    // The empty name comes first: it is less than all others.
    let mut names = vec![0; 8];
    let mut offsets = Vec::with_capacity(children.len());
    for (name, _) in children {
        offsets.push(names.len() as u64);
        names.extend(name.as_bytes());
        names.resize((names.len() + 1).next_multiple_of(8), 0);
    }
    let names_at = out.put(&names)?;
    let mut heap = b"HEAP\0\0\0\0".to_vec();
    // No free list (1).
    for field in [names.len() as u64, 1, names_at] {
        heap.extend(field.to_le_bytes());
    }
    let heap_at = out.put(&heap)?;

    // Each child of the level, with the name of its last member.
    let mut level: Vec<(u64, u64)> = Vec::new();
    for (entries, offsets) in children.chunks(TABLE).zip(offsets.chunks(TABLE)) {
        let mut table = b"SNOD\x01\0".to_vec();
        table.extend((entries.len() as u16).to_le_bytes());
        for ((_, at), offset) in entries.iter().zip(offsets) {
            table.extend(offset.to_le_bytes());
            table.extend(at.to_le_bytes());
            table.resize(table.len() + 24, 0);
        }
        table.resize(8 + 40 * TABLE, 0);
        let last = offsets.last().copied().unwrap_or(0);
        level.push((out.put(&table)?, last));
    }
    for height in 0.. {
        let mut above = Vec::new();
        let nodes = level.len().div_ceil(CHILDREN).max(1);
        let start = out.at;
        let size = 24 + 16 * CHILDREN as u64 + 8;
        let mut before = 0;
        for node in 0..nodes {
            let members = level.chunks(CHILDREN).nth(node).unwrap_or_default();
            let sibling = |exists: bool, index: usize| match exists {
                true => start + index as u64 * size,
                false => UNDEFINED,
            };
            let mut block = b"TREE\0".to_vec();
            block.push(height);
            block.extend((members.len() as u16).to_le_bytes());
            block.extend(sibling(node > 0, node.wrapping_sub(1)).to_le_bytes());
            block.extend(sibling(node + 1 < nodes, node + 1).to_le_bytes());
            block.extend(u64::to_le_bytes(before));
            for (at, last) in members {
                block.extend(at.to_le_bytes());
                block.extend(last.to_le_bytes());
                before = *last;
            }
            block.resize(size as usize, 0);
            above.push((out.put(&block)?, before));
        }
        if let [(root, _)] = above[..] {
            return Ok([root.to_le_bytes(), heap_at.to_le_bytes()].concat());
        }
        level = above;
    }
    unreachable!("the levels shrink to one node")
}

/// Writes strings to the heap; a reference to each: length, collection, index.
fn heap<W: Write + ?Sized>(out: &mut Out<'_, W>, texts: &[&str]) -> io::Result<Vec<[u8; 16]>> {
    let mut references = Vec::with_capacity(texts.len());
    let mut rest = texts;
    while !rest.is_empty() {
        let mut body = Vec::new();
        let mut count = 0;
        while let Some(text) = rest.get(count)
            && body.len() < COLLECTION
        {
            count += 1;
            body.extend((count as u16).to_le_bytes());
            body.extend([0; 6]);
            body.extend((text.len() as u64).to_le_bytes());
            body.extend(text.as_bytes());
            body.resize(body.len().next_multiple_of(8), 0);
        }
        // A collection has 4096 bytes at least; what is left is an object with the index 0.
        let size = (16 + body.len() + 16).max(4096);
        let free = size - 16 - body.len();
        let mut block = b"GCOL\x01\0\0\0".to_vec();
        block.extend((size as u64).to_le_bytes());
        block.extend(body);
        block.extend([0; 8]);
        block.extend((free as u64).to_le_bytes());
        block.resize(size, 0);
        let at = out.put(&block)?;
        for (index, text) in rest[..count].iter().enumerate() {
            let mut reference = [0; 16];
            reference[..4].copy_from_slice(&(text.len() as u32).to_le_bytes());
            reference[4..12].copy_from_slice(&at.to_le_bytes());
            reference[12..].copy_from_slice(&(index as u32 + 1).to_le_bytes());
            references.push(if text.is_empty() { [0; 16] } else { reference });
        }
        rest = &rest[count..];
    }
    Ok(references)
}
