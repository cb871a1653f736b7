//! Attributes: small values kept in the header of a group or dataset.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::Result;
use crate::saving::number::numel;

use super::format::{Element, Message, UNDEFINED, Walk, message};

/// Most bytes of text that one attribute may hold.
const MAX_TEXT: usize = 64 << 20;

pub(super) enum Attribute {
    /// Strings; whether it is one string, not a list of them.
    Text(Vec<String>, bool),
    /// So many numbers: nothing that is read needs their values.
    Numbers(usize),
}

/// The attribute of this name, if the object has one.
pub(super) fn attribute(
    walk: &Walk,
    messages: &[Message],
    name: &str,
) -> Result<Option<Attribute>> {
    for m in messages.iter().filter(|m| m.kind == message::ATTRIBUTE) {
        if m.shared {
            return Err(walk.unsupported("a shared attribute"));
        }
        if let Some(value) = parse(walk, &m.body, name)? {
            return Ok(Some(value));
        }
    }
    for m in messages
        .iter()
        .filter(|m| m.kind == message::ATTRIBUTE_INFO)
    {
        let mut fields = walk.fields(&m.body);
        fields.skip(1)?;
        if fields.u8()? & 1 != 0 {
            fields.skip(2)?;
        }
        if fields.u64()? != UNDEFINED {
            return Err(walk.unsupported("an index of attributes (`libver=\"latest\"`)"));
        }
    }
    Ok(None)
}

/// The value, if this message has the name.
fn parse(walk: &Walk, body: &[u8], wanted: &str) -> Result<Option<Attribute>> {
    let mut fields = walk.fields(body);
    let version = fields.u8()?;
    if !(1..=3).contains(&version) {
        return Err(walk.unknown("attribute", version.into()));
    }
    let flags = fields.u8()?;
    let sizes = [fields.u16()?, fields.u16()?, fields.u16()?];
    if version == 3 {
        fields.skip(1)?;
    }
    let mut next = |size: u16| match version {
        1 => {
            let padded = fields.bytes(usize::from(size).next_multiple_of(8))?;
            Ok(&padded[..size.into()])
        }
        _ => fields.bytes(size.into()),
    };
    let (name, datatype, dataspace) = (next(sizes[0])?, next(sizes[1])?, next(sizes[2])?);
    if name.split(|&b| b == 0).next() != Some(wanted.as_bytes()) {
        return Ok(None);
    }
    if version > 1 && flags & 3 != 0 {
        return Err(walk.unsupported("an attribute of a shared type"));
    }
    let bad = |what: &str| {
        walk.source
            .error(format!("HDF5: attribute `{wanted}`: {what}"))
    };
    let shape = walk.dataspace(dataspace)?;
    let single = shape.as_ref().is_some_and(|s| s.is_empty());
    let count = match shape {
        None => 0,
        Some(shape) => shape
            .iter()
            .map(|&n| usize::try_from(n).ok())
            .collect::<Option<Vec<_>>>()
            .and_then(|shape| numel(&shape))
            .ok_or_else(|| bad("too many values"))?,
    };
    let mut values = |size: usize| {
        let len = count
            .checked_mul(size)
            .ok_or_else(|| bad("too many values"))?;
        fields.bytes(len)
    };
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_string()),
        Err(_) => Err(bad("the text is not UTF-8")),
    };
    Ok(Some(match walk.datatype(datatype)? {
        Element::Number(_) => Attribute::Numbers(count),
        Element::Text { size, padding } => {
            let strings = values(size)?
                .chunks_exact(size)
                .map(|bytes| text(unpadded(bytes, padding)))
                .collect::<Result<_>>()?;
            Attribute::Text(strings, single)
        }
        Element::VarText => {
            let mut heap = Heap::default();
            let strings = values(16)?
                .chunks_exact(16)
                .map(|reference| text(&heap.get(walk, reference)?))
                .collect::<Result<_>>()?;
            Attribute::Text(strings, single)
        }
        Element::Opaque { .. } => return Err(bad("it holds bytes without a meaning")),
        Element::Other(what) => return Err(bad(&format!("it holds {what}"))),
    }))
}

/// A string of fixed size without what fills it up: text ends at the first zero, or before the last spaces.
fn unpadded(bytes: &[u8], padding: u8) -> &[u8] {
    match padding {
        2 => bytes.trim_ascii_end(),
        _ => bytes.split(|&b| b == 0).next().unwrap_or_default(),
    }
}

/// Strings of any length, in collections; one collection is kept.
#[derive(Default)]
struct Heap {
    at: Option<u64>,
    collection: Vec<u8>,
    /// Where the objects of the collection are, by index.
    objects: HashMap<u32, Range<usize>>,
    /// Text handed out so far: many references may lead to the same string.
    spent: usize,
}

impl Heap {
    /// The string that a reference (length, collection, index) leads to.
    fn get(&mut self, walk: &Walk, reference: &[u8]) -> Result<Vec<u8>> {
        let bad = |what: &str| walk.source.error(format!("HDF5: {what}"));
        let mut fields = walk.fields(reference);
        let (len, at, index) = (fields.u32()? as usize, fields.u64()?, fields.u32()?);
        if len == 0 {
            return Ok(Vec::new());
        }
        self.spent = self.spent.saturating_add(len);
        if self.spent > MAX_TEXT {
            return Err(bad("an attribute with too much text"));
        }
        if self.at != Some(at) {
            self.load(walk, at)?;
        }
        let object = self.objects.get(&index).cloned();
        let object = object.ok_or_else(|| bad("a string is not in the heap"))?;
        self.collection[object]
            .get(..len)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| bad("a string is longer than its place in the heap"))
    }

    fn load(&mut self, walk: &Walk, at: u64) -> Result<()> {
        let start = walk.block(at, b"GCOL", 12)?;
        let size = walk.fields(&start[4..]).u64()?;
        self.collection = walk.take(at.saturating_add(16), size.saturating_sub(16))?;
        self.objects.clear();
        let mut fields = walk.fields(&self.collection);
        while fields.left() >= 16 {
            let index = fields.u16()?;
            fields.skip(6)?;
            let size = usize::try_from(fields.u64()?).unwrap_or(usize::MAX);
            if index == 0 {
                break;
            }
            let begin = self.collection.len() - fields.left();
            fields.skip(size)?;
            self.objects.insert(index.into(), begin..begin + size);
            // Objects begin at multiples of 8; the last may lack its padding.
            let padding = size.next_multiple_of(8) - size;
            fields.skip(padding.min(fields.left()))?;
        }
        self.at = Some(at);
        Ok(())
    }
}
