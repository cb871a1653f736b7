//! The blocks that an HDF5 file is written in.

use std::io::{self, Write};

use super::format::UNDEFINED;

/// Members of a symbol table, and children of a B-tree node.
const TABLE: usize = 8;
const CHILDREN: usize = 32;
/// Fill of a collection of strings before the next is begun.
const COLLECTION: usize = 1 << 16;

/// Little-endian IEEE floats of 4 bytes. Sign bit, size, offset, precision; exponent and fraction, where each begins and its bits; the
/// exponent's bias.
pub(super) const FLOAT_TYPE: [u8; 20] = [
    0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0,
];

/// Where the file goes, and how far it has come; only counts if there is no writer.
pub(super) struct Out<'w> {
    w: Option<&'w mut dyn Write>,
    pub at: u64,
}

impl<'w> Out<'w> {
    pub fn new(w: Option<&'w mut dyn Write>) -> Self {
        Out { w, at: 0 }
    }

    /// Writes a block, filled up to a multiple of 8 bytes; its address.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<u64> {
        self.stream(bytes.len() as u64, |w| w.write_all(bytes))
    }

    /// The same for `len` bytes that `write` writes.
    pub fn stream(
        &mut self,
        len: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
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

pub(super) fn integer_type(size: u8, signed: bool) -> Vec<u8> {
    let sign = if signed { 8 } else { 0 };
    vec![0x10, sign, 0, 0, size, 0, 0, 0, 0, 0, 8 * size, 0]
}

pub(super) fn dataspace(shape: &[u64]) -> Vec<u8> {
    let mut body = vec![1, shape.len() as u8, 0, 0, 0, 0, 0, 0];
    shape.iter().for_each(|d| body.extend(d.to_le_bytes()));
    body
}

pub(super) fn superblock(root: u64, end: u64) -> Vec<u8> {
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
pub(super) fn symbol_tables(out: &mut Out<'_>, children: &[(&str, u64)]) -> io::Result<Vec<u8>> {
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
pub(super) fn heap(out: &mut Out<'_>, texts: &[&str]) -> io::Result<Vec<[u8; 16]>> {
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
