//! The values of a dataset: in one piece, inside of its header, or in filtered chunks.

use flate2::{Decompress, FlushDecompress, Status};

use crate::error::Result;
use crate::saving::number::numel;

use super::format::{Element, Message, UNDEFINED, Walk, message};
use super::groups::TreeNode;

/// Largest chunk, in bytes. Those that h5py makes have at most 1 MB.
const MAX_CHUNK: usize = 32 << 20;

pub(super) struct Dataset {
    pub element: Element,
    pub shape: Vec<usize>,
    layout: Layout,
    filters: Vec<Filter>,
}

enum Layout {
    Compact(Vec<u8>),
    Contiguous { at: u64, len: u64 },
    Chunked { tree: u64, chunk: Vec<usize> },
}

#[derive(Clone, Copy, PartialEq)]
enum Filter {
    Deflate,
    Shuffle,
    Fletcher32,
}

impl Dataset {
    /// What the header says; no value is read yet. Storage outside of the file, or in other datasets, is an error.
    pub fn new(walk: &Walk, messages: &[Message]) -> Result<Dataset> {
        let element = walk.datatype(walk.find(messages, message::DATATYPE, "datatype")?)?;
        let shape = walk
            .dataspace(walk.find(messages, message::DATASPACE, "dataspace")?)?
            .ok_or_else(|| walk.unsupported("a dataset without values"))?;
        let shape = shape
            .into_iter()
            .map(usize::try_from)
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|_| {
                walk.source
                    .error("HDF5: the shape is too large for this machine")
            })?;
        if messages.iter().any(|m| m.kind == message::EXTERNAL_FILES) {
            return Err(walk.unsupported("a dataset in external files"));
        }
        let layout = layout(walk, messages, shape.len())?;
        let filters = match messages.iter().any(|m| m.kind == message::FILTERS) {
            true => filters(
                walk,
                walk.find(messages, message::FILTERS, "filter pipeline")?,
            )?,
            false => Vec::new(),
        };
        Ok(Dataset {
            element,
            shape,
            layout,
            filters,
        })
    }

    /// Reads the values in row-major order. `size` is the number of bytes of one. Where they lie in one piece, `piece` is given
    /// a function that fills buffers with them from beginning to end; else `run` is given runs of them with the index
    /// of the first.
    pub fn read(
        &self,
        walk: &Walk,
        size: usize,
        piece: impl FnOnce(&mut dyn FnMut(&mut [u8]) -> Result<()>) -> Result<()>,
        run: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let bytes = numel(&self.shape)
            .and_then(|n| n.checked_mul(size))
            .ok_or_else(|| {
                walk.source
                    .error("HDF5: the shape is too large for this machine")
            })?;
        let wrong_size = |len| {
            let problem = format!("HDF5: {len} bytes are stored where the shape asks for {bytes}");
            walk.source.error(problem)
        };
        match &self.layout {
            Layout::Compact(data) if data.len() != bytes => Err(wrong_size(data.len() as u64)),
            Layout::Compact(data) => {
                let mut rest = &data[..];
                piece(&mut |buffer| {
                    let (front, behind) = rest.split_at(buffer.len());
                    buffer.copy_from_slice(front);
                    rest = behind;
                    Ok(())
                })
            }
            Layout::Contiguous { .. } if bytes == 0 => Ok(()),
            Layout::Contiguous { at: UNDEFINED, .. } => Err(unstored(walk)),
            Layout::Contiguous { len, .. } if *len != bytes as u64 => Err(wrong_size(*len)),
            Layout::Contiguous { at, len } => {
                let values = walk.source.slice(*at, *len, walk.source.name())?;
                let mut at = 0;
                piece(&mut |buffer| {
                    values.read_at(at, buffer)?;
                    at += buffer.len() as u64;
                    Ok(())
                })
            }
            Layout::Chunked { .. } if bytes == 0 => Ok(()),
            Layout::Chunked {
                tree: UNDEFINED, ..
            } => Err(unstored(walk)),
            Layout::Chunked { tree, chunk } => self.chunks(walk, *tree, chunk, size, run),
        }
    }

    fn chunks(
        &self,
        walk: &Walk,
        tree: u64,
        chunk: &[usize],
        size: usize,
        mut run: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let bad = |what: &str| walk.source.error(format!("HDF5: {what}"));
        let grid: Vec<usize> = (self.shape.iter().zip(chunk))
            .map(|(d, c)| d.div_ceil(*c))
            .collect();
        // Every chunk holds at least one value: `count` cannot exceed the number of values.
        let count = numel(&grid).ok_or_else(|| bad("too many chunks"))?;
        let len = numel(chunk)
            .and_then(|n| n.checked_mul(size))
            .filter(|len| *len <= MAX_CHUNK)
            .ok_or_else(|| bad("the chunks are too large"))?;
        let wanted = numel(&self.shape)
            .unwrap_or(usize::MAX)
            .saturating_mul(size);
        if len.saturating_mul(count) > wanted.saturating_mul(16).saturating_add(1 << 20) {
            return Err(bad("the chunks do not fit the shape"));
        }
        let mut seen = vec![false; count];
        let mut nodes = vec![(tree, None)];
        while let Some((at, level)) = nodes.pop() {
            let node = TreeNode::read(walk, at, 1, level, 16 + 8 * chunk.len())?;
            for (key, address) in node.children {
                if node.level > 0 {
                    nodes.push((address, Some(node.level - 1)));
                    continue;
                }
                let mut key = walk.fields(&key);
                let (stored, skipped) = (key.u32()?, key.u32()?);
                let mut origin = Vec::with_capacity(chunk.len());
                let mut index = 0;
                for ((&c, &g), &d) in chunk.iter().zip(&grid).zip(&self.shape) {
                    let start = usize::try_from(key.u64()?).unwrap_or(usize::MAX);
                    if start >= d || start % c != 0 {
                        return Err(bad("a chunk lies outside of its dataset"));
                    }
                    origin.push(start);
                    index = index * g + start / c;
                }
                if std::mem::replace(&mut seen[index], true) {
                    return Err(bad("a chunk is stored twice"));
                }
                // What does not become smaller is stored as it is; a little more is for checksums.
                if stored as usize > 2 * len + 1024 {
                    return Err(bad("a chunk is larger than what it holds"));
                }
                let data = walk.source.take(address, stored.into())?;
                let data = self.decode(walk, data, skipped, len, size)?;
                scatter(&data, &origin, chunk, &self.shape, size, &mut run);
            }
        }
        match seen.iter().all(|s| *s) {
            true => Ok(()),
            false => Err(unstored(walk)),
        }
    }

    /// Undoes the filters, the last first; `skipped` has a bit for each that was left out for this chunk.
    fn decode(
        &self,
        walk: &Walk,
        mut data: Vec<u8>,
        skipped: u32,
        len: usize,
        size: usize,
    ) -> Result<Vec<u8>> {
        let bad = |what: &str| walk.source.error(format!("HDF5: {what}"));
        for (i, filter) in self.filters.iter().enumerate().rev() {
            if skipped >> i & 1 != 0 {
                continue;
            }
            data = match filter {
                // No filter adds more than the four bytes of a checksum.
                Filter::Deflate => inflate(&data, len + 4 * self.filters.len())
                    .ok_or_else(|| bad("a chunk cannot be decompressed"))?,
                Filter::Shuffle => unshuffle(&data, size),
                Filter::Fletcher32 => {
                    let Some((body, sum)) = data.split_last_chunk::<4>() else {
                        return Err(bad("a chunk has no checksum"));
                    };
                    if fletcher32(body) != u32::from_le_bytes(*sum) {
                        return Err(bad("a chunk does not match its checksum"));
                    }
                    body.to_vec()
                }
            };
        }
        match data.len() == len {
            true => Ok(data),
            false => Err(bad("a chunk has the wrong size")),
        }
    }
}

fn unstored(walk: &Walk) -> crate::Error {
    let problem = "HDF5: the values of a dataset were never written";
    walk.source.error(problem)
}

fn layout(walk: &Walk, messages: &[Message], axes: usize) -> Result<Layout> {
    let body = walk.find(messages, message::LAYOUT, "data layout")?;
    let mut fields = walk.fields(body);
    let version = fields.u8()?;
    if !(3..=4).contains(&version) {
        return Err(walk.unknown("data layout", version.into()));
    }
    match (fields.u8()?, version) {
        (0, _) => {
            let len = fields.u16()?;
            Ok(Layout::Compact(fields.bytes(len.into())?.to_vec()))
        }
        (1, _) => Ok(Layout::Contiguous {
            at: fields.u64()?,
            len: fields.u64()?,
        }),
        (2, 3) => {
            // One axis more than the dataset: the bytes of a value.
            let same = usize::from(fields.u8()?) == axes + 1;
            let tree = fields.u64()?;
            let chunk = (0..axes)
                .map(|_| fields.u32().map(|n| n as usize))
                .collect::<Result<Vec<_>>>()?;
            if !same || axes == 0 || chunk.contains(&0) {
                let problem = "HDF5: the chunks do not fit the shape";
                return Err(walk.source.error(problem));
            }
            Ok(Layout::Chunked { tree, chunk })
        }
        (2, _) => Err(walk.unsupported("a chunk index of HDF5 1.10 (`libver=\"latest\"`)")),
        (3, _) => Err(walk.unsupported("a virtual dataset")),
        (class, _) => Err(walk.unknown("storage", class.into())),
    }
}

fn filters(walk: &Walk, body: &[u8]) -> Result<Vec<Filter>> {
    let mut fields = walk.fields(body);
    let version = fields.u8()?;
    let count = fields.u8()?;
    match version {
        1 => fields.skip(6)?,
        2 => {}
        _ => return Err(walk.unknown("filter pipeline", version.into())),
    }
    let mut filters = Vec::new();
    for _ in 0..count {
        let id = fields.u16()?;
        let name = match version == 1 || id >= 256 {
            true => usize::from(fields.u16()?),
            false => 0,
        };
        fields.skip(2)?;
        let values = usize::from(fields.u16()?);
        let padded = |n: usize| {
            if version == 1 {
                n.next_multiple_of(8)
            } else {
                n
            }
        };
        fields.skip(padded(name) + padded(4 * values))?;
        let filter = match id {
            1 => Filter::Deflate,
            2 => Filter::Shuffle,
            3 => Filter::Fletcher32,
            32000 => return Err(walk.unsupported("LZF compression (gzip is)")),
            _ => return Err(walk.unsupported(&format!("filter {id}"))),
        };
        if filters.contains(&filter) {
            return Err(walk.source.error("HDF5: a filter is applied twice"));
        }
        filters.push(filter);
    }
    Ok(filters)
}

/// zlib data of at most `limit` bytes.
fn inflate(data: &[u8], limit: usize) -> Option<Vec<u8>> {
    // No deflate stream expands more than 1032 times.
    let mut out = Vec::with_capacity(limit.min(data.len().saturating_mul(1032)));
    let mut decoder = Decompress::new(true);
    let status = decoder
        .decompress_vec(data, &mut out, FlushDecompress::Finish)
        .ok()?;
    (status == Status::StreamEnd).then_some(out)
}

/// First all first bytes of the values, then all second ones: put back together. What does not fill a value stays behind.
fn unshuffle(data: &[u8], size: usize) -> Vec<u8> {
    let count = data.len() / size.max(1);
    let mut out = data.to_vec();
    for (byte, plane) in data[..count * size].chunks_exact(count.max(1)).enumerate() {
        for (value, &b) in plane.iter().enumerate() {
            out[value * size + byte] = b;
        }
    }
    out
}

/// Fletcher's checksum over big-endian words of 16 bits.
fn fletcher32(data: &[u8]) -> u32 {
    let (mut low, mut high) = (0u32, 0u32);
    for word in data.chunks(2) {
        let word = u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
        low = (low + word) % 65535;
        high = (high + low) % 65535;
    }
    high << 16 | low
}

/// Hands the rows of a chunk, as far as they lie within the dataset, to `run`, with the index of their first value.
fn scatter(
    data: &[u8],
    origin: &[usize],
    chunk: &[usize],
    shape: &[usize],
    size: usize,
    run: &mut impl FnMut(usize, &[u8]),
) {
    let last = shape.len() - 1;
    let width = chunk[last].min(shape[last] - origin[last]);
    for (row, values) in data.chunks_exact(chunk[last] * size).enumerate() {
        // The position of the row, from the innermost axis outwards.
        let (mut rest, mut index, mut stride, mut inside) = (row, origin[last], shape[last], true);
        for axis in (0..last).rev() {
            let position = origin[axis] + rest % chunk[axis];
            rest /= chunk[axis];
            inside &= position < shape[axis];
            index += position * stride;
            stride *= shape[axis];
        }
        if inside {
            run(index, &values[..width * size]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_bytes_are_put_back() {
        assert_eq!(unshuffle(&[1, 3, 5, 2, 4, 6, 9], 2), [1, 2, 3, 4, 5, 6, 9]);
        assert!(unshuffle(&[], 4).is_empty());
    }

    #[test]
    fn rows_of_chunks_are_clipped() {
        // A 3x3 dataset in chunks of 2x2: the last one holds only one value of it.
        let mut got = Vec::new();
        let mut run = |index, values: &[u8]| got.push((index, values.to_vec()));
        scatter(&[1, 2, 3, 4], &[0, 0], &[2, 2], &[3, 3], 1, &mut run);
        scatter(&[5, 6, 7, 8], &[2, 2], &[2, 2], &[3, 3], 1, &mut run);
        assert_eq!(got, [(0, vec![1, 2]), (3, vec![3, 4]), (8, vec![5])]);
    }

    #[test]
    fn inflated_data_is_bounded() {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&[0; 100_000]).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(inflate(&packed, 100_000).unwrap().len(), 100_000);
        assert_eq!(inflate(&packed, 99_999), None);
        assert_eq!(inflate(&packed[..50], 100_000), None);
    }
}
