//! The blocks that an HDF5 file is made of: object headers, their messages, datatypes and dataspaces.
//!
//! Nothing here recurses on what a file says, and every byte of a block is paid for from a budget in proportion to the file:
//! structures that point at themselves or at each other cost an error, not time or memory.

use std::cell::Cell;

use crate::error::Result;
use crate::saving::number::{Kind, Number};
use crate::saving::source::Source;

/// The address that means "nowhere".
pub(super) const UNDEFINED: u64 = u64::MAX;

/// Messages of object headers.
pub(super) mod message {
    pub const DATASPACE: u16 = 0x01;
    pub const LINK_INFO: u16 = 0x02;
    pub const DATATYPE: u16 = 0x03;
    pub const LINK: u16 = 0x06;
    pub const EXTERNAL_FILES: u16 = 0x07;
    pub const LAYOUT: u16 = 0x08;
    pub const FILTERS: u16 = 0x0b;
    pub const ATTRIBUTE: u16 = 0x0c;
    pub const CONTINUATION: u16 = 0x10;
    pub const SYMBOL_TABLE: u16 = 0x11;
    pub const ATTRIBUTE_INFO: u16 = 0x15;
}

/// Most messages of one object: attributes, most of them.
const MAX_MESSAGES: usize = 1 << 16;

/// Largest number of axes that is read: those of a batch of samples.
const MAX_AXES: u8 = 8;

/// Reads blocks of one file within a budget.
pub(super) struct Walk<'a> {
    pub source: &'a Source,
    left: Cell<u64>,
}

impl<'a> Walk<'a> {
    /// Each byte of a sound file is read about once, and most of a large one are values.
    pub fn new(source: &'a Source) -> Self {
        let most = (24 << 20) + source.len() / 64;
        let budget = source.len().saturating_mul(8).clamp(1 << 16, most);
        Walk {
            source,
            left: Cell::new(budget),
        }
    }

    pub fn take(&self, at: u64, len: u64) -> Result<Vec<u8>> {
        // A read costs something even where it delivers little.
        match self.left.get().checked_sub(len.saturating_add(96)) {
            Some(left) => self.left.set(left),
            None => {
                return Err(self
                    .source
                    .error("HDF5: it describes more than it can hold"));
            }
        }
        self.source.take(at, len)
    }

    /// A block that begins with these four letters and has `len` bytes behind them.
    pub fn block(&self, at: u64, signature: &[u8; 4], len: u64) -> Result<Vec<u8>> {
        let mut bytes = self.take(at, len.saturating_add(4))?;
        if &bytes[..4] != signature {
            let want = String::from_utf8_lossy(signature);
            let problem = format!("HDF5: no `{want}` block at {at}");
            return Err(self.source.error(problem));
        }
        bytes.drain(..4);
        Ok(bytes)
    }

    /// The messages of the object header at `at`, those of continuation blocks included.
    pub fn header(&self, at: u64) -> Result<Vec<Message>> {
        let start = self.take(at, self.source.len().saturating_sub(at).min(16))?;
        let mut messages = Vec::new();
        let mut blocks;
        let modern = start.starts_with(b"OHDR");
        let mut flags = 0;
        if modern {
            let mut fields = self.fields(&start[4..]);
            let version = fields.u8()?;
            if version != 2 {
                return Err(self.unknown("object header", version.into()));
            }
            flags = fields.u8()?;
            let times = if flags & 0x20 != 0 { 16 } else { 0 };
            let phases = if flags & 0x10 != 0 { 4 } else { 0 };
            let width = 1 << (flags & 3);
            let size = self.take(at.saturating_add(6 + times + phases), width)?;
            let size = self.fields(&size).uint(width as usize)?;
            blocks = vec![(at.saturating_add(6 + times + phases + width), size)];
        } else {
            let mut fields = self.fields(&start);
            let version = fields.u8()?;
            if version != 1 {
                return Err(self.unknown("object header", version.into()));
            }
            fields.skip(7)?;
            blocks = vec![(at.saturating_add(16), fields.u32()?.into())];
        }
        let mut next = 0;
        while let Some(&(at, len)) = blocks.get(next) {
            let body = match (modern, next) {
                // The last four bytes are the checksum of the block.
                (true, 1..) => self.block(at, b"OCHK", len.saturating_sub(8))?,
                _ => self.take(at, len)?,
            };
            let mut fields = self.fields(&body);
            let prefix = match (modern, flags & 4) {
                (false, _) => 8,
                (true, 0) => 4,
                (true, _) => 6,
            };
            while fields.left() >= prefix {
                let kind = match modern {
                    true => fields.u8()?.into(),
                    false => fields.u16()?,
                };
                let size = fields.u16()?;
                let shared = fields.u8()? & 2 != 0;
                fields.skip(prefix - if modern { 4 } else { 5 })?;
                let body = fields.bytes(size.into())?;
                if kind == message::CONTINUATION {
                    let mut fields = self.fields(body);
                    blocks.push((fields.u64()?, fields.u64()?));
                } else if messages.len() == MAX_MESSAGES {
                    return Err(self.unsupported("an object header of so many messages"));
                } else if kind != 0 {
                    let body = body.to_vec();
                    messages.push(Message { kind, shared, body });
                }
            }
            next += 1;
        }
        Ok(messages)
    }

    pub fn fields<'b>(&'b self, bytes: &'b [u8]) -> Fields<'b> {
        Fields {
            bytes,
            source: self.source,
        }
    }

    /// The body of the message of this kind; one that another object shares is not followed.
    pub fn find<'m>(&self, messages: &'m [Message], kind: u16, what: &str) -> Result<&'m [u8]> {
        match messages.iter().find(|m| m.kind == kind) {
            None => Err(self.source.error(format!("HDF5: there is no {what}"))),
            Some(m) if m.shared => Err(self.unsupported(&format!("a shared {what}"))),
            Some(m) => Ok(&m.body),
        }
    }

    pub fn unknown(&self, what: &str, version: u64) -> crate::Error {
        let problem = format!("HDF5: unknown version {version} of {what}");
        self.source.error(problem)
    }

    pub fn unsupported(&self, what: &str) -> crate::Error {
        self.source.error(format!("HDF5: {what} is not supported"))
    }

    /// What the elements are.
    pub fn datatype(&self, body: &[u8]) -> Result<Element> {
        let mut fields = self.fields(body);
        let class = fields.u8()? & 15;
        let [bits, _, _] = fields.array()?;
        let size = fields.u32()? as usize;
        let big_endian = bits & 1 != 0;
        let number =
            |kind| Number::new(kind, size).map(|n| Element::Number(Number { big_endian, ..n }));
        let found = match class {
            0 => {
                let whole =
                    (fields.u16()?, usize::from(fields.u16()?)) == (0, size.saturating_mul(8));
                let kind = if bits & 8 != 0 {
                    Kind::Signed
                } else {
                    Kind::Unsigned
                };
                whole.then(|| number(kind)).flatten()
            }
            1 => {
                fields.skip(4)?;
                let [exponent_at, exponent, fraction_at, fraction] = fields.array()?;
                let bias = fields.u32()?;
                match (exponent_at, exponent, fraction_at, fraction, bias, size) {
                    _ if bits & 0x40 != 0 => None,
                    (10, 5, 0, 10, 15, 2) | (23, 8, 0, 23, 127, 4) | (52, 11, 0, 52, 1023, 8) => {
                        number(Kind::Float)
                    }
                    (7, 8, 0, 7, 127, 2) => number(Kind::Brain),
                    _ => None,
                }
            }
            3 if size > 0 => Some(Element::Text {
                size,
                padding: bits & 15,
            }),
            5 => Some(Element::Opaque { size }),
            // An enumeration is stored as its base type: truth values are one over bytes.
            8 if size == fields.peek_size()? => self.integer(fields.rest())?.map(Element::Number),
            9 if bits & 15 == 1 => Some(Element::VarText),
            _ => None,
        };
        Ok(found.unwrap_or(Element::Other(match class {
            0 => "an integer of unusual width",
            1 => "a floating-point format of its own",
            2 => "time",
            3 => "an empty string",
            4 => "a bit field",
            6 => "a compound type",
            7 => "a reference",
            8 => "an enumeration",
            9 => "a variable-length sequence",
            10 => "an array type",
            _ => "an unknown type",
        })))
    }

    /// The integer type that an enumeration is based on.
    fn integer(&self, body: &[u8]) -> Result<Option<Number>> {
        if self.fields(body).u8()? & 15 != 0 {
            return Ok(None);
        }
        match self.datatype(body)? {
            Element::Number(n) => Ok(Some(n)),
            _ => Ok(None),
        }
    }

    /// The shape: without axes for a single value, `None` for no value at all.
    pub fn dataspace(&self, body: &[u8]) -> Result<Option<Vec<u64>>> {
        let mut fields = self.fields(body);
        let version = fields.u8()?;
        let axes = fields.u8()?;
        fields.skip(1)?;
        let kind = match version {
            1 => fields.skip(5).map(|()| 1)?,
            2 => fields.u8()?,
            _ => return Err(self.unknown("dataspace", version.into())),
        };
        if axes > MAX_AXES {
            let problem = format!("HDF5: {axes} axes; at most {MAX_AXES} are supported");
            return Err(self.source.error(problem));
        }
        let shape = (0..axes).map(|_| fields.u64()).collect::<Result<_>>()?;
        Ok((kind != 2).then_some(shape))
    }
}

/// One message of an object header.
pub(super) struct Message {
    pub kind: u16,
    /// The body is not here but an address.
    pub shared: bool,
    pub body: Vec<u8>,
}

/// What the elements of a dataset or attribute are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Element {
    Number(Number),
    /// Strings of `size` bytes, padded with zeros or (2) spaces.
    Text {
        size: usize,
        padding: u8,
    },
    /// Strings of any length, kept in a heap.
    VarText,
    /// Bytes whose meaning is not in the file.
    Opaque {
        size: usize,
    },
    /// Something that is no weight and no text.
    Other(&'static str),
}

/// Takes little-endian fields off the front of a block.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    source: &'a Source,
}

impl<'a> Fields<'a> {
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8]> {
        let (front, rest) = self.bytes.split_at_checked(n).ok_or_else(|| {
            self.source
                .error("HDF5: a block is shorter than what it says it holds")
        })?;
        self.bytes = rest;
        Ok(front)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N)?);
        Ok(out)
    }

    pub fn skip(&mut self, n: usize) -> Result<()> {
        self.bytes(n).map(|_| ())
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// An unsigned number of 1 to 8 bytes.
    pub fn uint(&mut self, width: usize) -> Result<u64> {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(self.bytes(width)?);
        Ok(u64::from_le_bytes(wide))
    }

    /// The size field of the datatype that comes next.
    fn peek_size(&self) -> Result<usize> {
        let mut ahead = Fields { ..*self };
        ahead.skip(4)?;
        Ok(ahead.u32()? as usize)
    }
}
