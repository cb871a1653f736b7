//! Zip archives, strictly: a `.keras` file is one, and so is `.npz`.
//!
//! Of all that zip can say, this reads what describes exactly one list of members: the end record is at the end, the
//! directory directly before it, every member begins with a header that repeats what the directory says, members do not
//! overlap, names are plain relative paths and occur once. Members are stored or deflated. Sizes are believed as far as there
//! are bytes to show for them, and never more is inflated than was declared. No member is ever written to disk.

mod write;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use crate::error::{Error, Result};
use crate::saving::hdf5::H5File;
use crate::saving::source::Source;

pub(crate) use write::ArchiveWriter;

const LOCAL: &[u8; 4] = b"PK\x03\x04";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const END: &[u8; 4] = b"PK\x05\x06";
const END_64: &[u8; 4] = b"PK\x06\x06";
const LOCATOR_64: &[u8; 4] = b"PK\x06\x07";

/// Bytes of the fixed part of each record.
const LOCAL_LEN: u64 = 30;
const CENTRAL_LEN: usize = 46;
const END_LEN: u64 = 22;
const END_64_LEN: u64 = 56;
const LOCATOR_64_LEN: u64 = 20;

/// Most members, and bytes of the directory, that an archive may have.
const MAX_MEMBERS: u64 = 10_000;
const MAX_DIRECTORY: u64 = 4 << 20;

/// A zip archive opened for reading.
#[derive(Debug)]
pub(crate) struct Archive {
    source: Source,
    members: BTreeMap<String, Member>,
}

/// Where a member lies and what the directory says of it.
#[derive(Clone, Debug, Default)]
struct Member {
    deflated: bool,
    crc: u32,
    /// Bytes in the archive, and as they were.
    packed: u64,
    size: u64,
    /// Where its header begins.
    header: u64,
    /// Where its bytes begin.
    data: u64,
}

impl Archive {
    pub(crate) fn open(path: &Path) -> Result<Archive> {
        Archive::new(Source::open(path)?)
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Archive> {
        Archive::new(Source::memory(bytes, "zip archive"))
    }

    fn new(source: Source) -> Result<Archive> {
        let (start, len, count) = directory(&source)?;
        if count > MAX_MEMBERS || len > MAX_DIRECTORY {
            return Err(source.error(format!("zip: {count} members are too many")));
        }
        let bytes = source.take(start, len)?;
        let mut rest = &bytes[..];
        let mut members = BTreeMap::new();
        for _ in 0..count {
            let (name, member) = central_header(&source, &mut rest)?;
            // Folders are listed, too; they hold nothing.
            if name.ends_with('/') && member.size == 0 {
                continue;
            }
            if !is_name(&name) {
                let problem = format!("zip: `{}` is no name for a member", name.escape_debug());
                return Err(source.error(problem));
            }
            if members.contains_key(&name) {
                return Err(source.error(format!("zip: there are two members `{name}`")));
            }
            members.insert(name, member);
        }
        if !rest.is_empty() {
            return Err(source.error(format!(
                "zip: there are more than the {count} members declared"
            )));
        }
        let mut in_order: Vec<(&String, &mut Member)> = members.iter_mut().collect();
        in_order.sort_by_key(|(_, member)| member.header);
        let mut end = 0;
        for (at, (name, member)) in in_order.into_iter().enumerate() {
            local_header(&source, name, member)?;
            if member.header < end || (at == 0 && member.header != 0) {
                let problem = format!("zip: `{name}` does not begin where the one before ends");
                return Err(source.error(problem));
            }
            end = member.data.saturating_add(member.packed);
            if end > start {
                return Err(source.error(format!("zip: `{name}` reaches into the directory")));
            }
        }
        Ok(Archive { source, members })
    }

    /// Bytes of the whole archive.
    pub(crate) fn len(&self) -> u64 {
        self.source.len()
    }

    /// Names of all members, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// The member of exactly this name, and a name for errors about it.
    fn member(&self, name: &str, limit: u64) -> Result<(&Member, String)> {
        let member = self.members.get(name);
        let member =
            member.ok_or_else(|| self.source.error(format!("there is no `{name}` in it")))?;
        let label = format!("{}, `{name}`", self.source.name());
        if member.size > limit {
            let problem = format!("expected at most {limit} bytes, got {}", member.size);
            return Err(Error::data(label, problem));
        }
        Ok((member, label))
    }

    /// The bytes of a member, of which there may be `limit`.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let (member, label) = self.member(name, limit)?;
        let packed = self.source.slice(member.data, member.packed, &label)?;
        let bytes = match member.deflated {
            false => packed.take(0, packed.len())?,
            true => inflate(&packed, member.size)?,
        };
        let mut crc = Crc::new();
        crc.update(&bytes);
        check_crc(&packed, member, &crc)?;
        Ok(bytes)
    }

    /// A member that is an HDF5 file, of at most `limit` bytes. A stored one is checked once from beginning to end and then read
    /// where it lies.
    pub(crate) fn h5(&self, name: &str, limit: u64) -> Result<H5File> {
        let (member, label) = self.member(name, limit)?;
        if member.deflated {
            return H5File::new(Source::memory(self.read(name, limit)?, &label));
        }
        let stored = self.source.slice(member.data, member.packed, &label)?;
        let mut crc = Crc::new();
        let mut buffer = vec![0; 64 << 10];
        let mut at = 0;
        while at < stored.len() {
            let n = (stored.len() - at).min(buffer.len() as u64) as usize;
            stored.read_at(at, &mut buffer[..n])?;
            crc.update(&buffer[..n]);
            at += n as u64;
        }
        check_crc(&stored, member, &crc)?;
        H5File::new(stored)
    }
}

fn check_crc(source: &Source, member: &Member, crc: &Crc) -> Result<()> {
    match crc.sum() == member.crc {
        true => Ok(()),
        false => Err(source.error("zip: the bytes do not match their checksum (CRC)")),
    }
}

/// Inflates exactly `size` bytes, whatever the stream holds.
fn inflate(packed: &Source, size: u64) -> Result<Vec<u8>> {
    let bad = || {
        packed.error(format!(
            "zip: it does not inflate to the {size} bytes declared"
        ))
    };
    // No deflate stream expands more than 1032 times.
    if size / 1032 > packed.len() {
        return Err(bad());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(|_| bad())?);
    let mut decoder = DeflateDecoder::new(packed.reader());
    match decoder
        .by_ref()
        .take(size.saturating_add(1))
        .read_to_end(&mut bytes)
    {
        Ok(n) if n as u64 == size && decoder.total_in() == packed.len() => Ok(bytes),
        _ => Err(bad()),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .rev()
        .fold(0, |n, &b| n << 8 | u32::from(b))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8]
        .iter()
        .rev()
        .fold(0, |n, &b| n << 8 | u64::from(b))
}

/// Start and length of the directory, and the number of its members, which the end record tells. It must be the last thing in
/// the file, but for its comment.
fn directory(source: &Source) -> Result<(u64, u64, u64)> {
    let tail_len = source.len().min(END_LEN + u64::from(u16::MAX));
    let tail = source.take(source.len() - tail_len, tail_len)?;
    let fits = |at: &usize| {
        let record = &tail[*at..];
        record.starts_with(END)
            && END_LEN as usize + usize::from(u16_at(record, 20)) == record.len()
    };
    let last = (tail.len() + 1).saturating_sub(END_LEN as usize);
    let Some(at) = (0..last).rev().find(fits) else {
        return Err(source.error(match tail.starts_with(b"\x89HDF") {
            true => "this is not a zip archive, but an HDF5 file",
            false => "this is not a zip archive, or its end is missing",
        }));
    };
    let end = &tail[at..];
    let end_at = source.len() - (tail.len() - at) as u64;
    let disks = [u16_at(end, 4), u16_at(end, 6)];
    let counts = [u16_at(end, 8), u16_at(end, 10)];
    let mut found = (
        u64::from(u32_at(end, 16)),
        u64::from(u32_at(end, 12)),
        u64::from(counts[0]),
    );
    let mut directory_end = end_at;
    let large = counts[0] == u16::MAX || [found.0, found.1].contains(&u32::MAX.into());
    if large && end_at >= LOCATOR_64_LEN + END_64_LEN {
        let locator = source.take(end_at - LOCATOR_64_LEN, LOCATOR_64_LEN)?;
        directory_end = u64_at(&locator, 8);
        let record = source.take(end_at - LOCATOR_64_LEN - END_64_LEN, END_64_LEN)?;
        let sound = locator.starts_with(LOCATOR_64)
            && record.starts_with(END_64)
            && directory_end == end_at - LOCATOR_64_LEN - END_64_LEN
            && u64_at(&record, 24) == u64_at(&record, 32);
        if !sound {
            return Err(source.error("zip: the zip64 end record is damaged"));
        }
        found = (
            u64_at(&record, 48),
            u64_at(&record, 40),
            u64_at(&record, 32),
        );
    } else if disks != [0, 0] || counts[0] != counts[1] {
        return Err(source.error("zip: an archive in several parts is not supported"));
    }
    if found.0.checked_add(found.1) != Some(directory_end) {
        return Err(source.error("zip: the directory does not end where the end record begins"));
    }
    Ok(found)
}

/// The next entry of the directory, taken off the front.
fn central_header(source: &Source, rest: &mut &[u8]) -> Result<(String, Member)> {
    let bad = |problem: &str| source.error(format!("zip: {problem}"));
    let entry = *rest;
    if entry.len() < CENTRAL_LEN || !entry.starts_with(CENTRAL) {
        return Err(bad("there are fewer members than declared"));
    }
    let lengths = [28, 30, 32].map(|at| usize::from(u16_at(entry, at)));
    let Some((variable, behind)) = entry[CENTRAL_LEN..].split_at_checked(lengths.iter().sum())
    else {
        return Err(bad("the directory is cut off"));
    };
    *rest = behind;
    let (name, extra) = variable.split_at(lengths[0]);
    let Ok(name) = std::str::from_utf8(name) else {
        return Err(bad("the name of a member is not UTF-8"));
    };
    let bad = |problem: &str| source.error(format!("zip: `{name}`: {problem}"));
    // Encrypted, patched, strongly encrypted, masked.
    if u16_at(entry, 8) & (1 | 1 << 5 | 1 << 6 | 1 << 13) != 0 {
        return Err(bad("encrypted members are not supported"));
    }
    let deflated = match u16_at(entry, 10) {
        0 => false,
        8 => true,
        method => return Err(bad(&format!("unknown compression method {method}"))),
    };
    // On Unix the upper half are the mode bits of the file.
    if entry[5] == 3 && u32_at(entry, 38) >> 28 == 0o12 {
        return Err(bad("symbolic links are not supported"));
    }
    let mut wide = zip64_fields(&extra[..lengths[1]]);
    let mut field = |at: usize| match u32_at(entry, at) {
        u32::MAX => wide.next().ok_or_else(|| bad("a zip64 field is missing")),
        small => Ok(u64::from(small)),
    };
    // The order of the zip64 fields, too.
    let (size, packed, header) = (field(24)?, field(20)?, field(42)?);
    let member = Member {
        deflated,
        crc: u32_at(entry, 16),
        packed,
        size,
        header,
        data: 0,
    };
    if !deflated && packed != size {
        return Err(bad("it is stored, but with two sizes"));
    }
    Ok((name.to_string(), member))
}

/// The numbers of the zip64 extra field, in order.
fn zip64_fields(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut fields: &[u8] = &[];
    while extra.len() >= 4 {
        let len = usize::from(u16_at(extra, 2)).min(extra.len() - 4);
        if u16_at(extra, 0) == 1 {
            fields = &extra[4..4 + len];
        }
        extra = &extra[4 + len..];
    }
    fields.chunks_exact(8).map(|field| u64_at(field, 0))
}

/// Compares a member's own header with the directory; sets where its bytes begin.
fn local_header(source: &Source, name: &str, member: &mut Member) -> Result<()> {
    let bad = |problem| source.error(format!("zip: `{name}`: {problem}"));
    let header = source.take(member.header, LOCAL_LEN)?;
    if !header.starts_with(LOCAL) {
        return Err(bad("its header is not where the directory says"));
    }
    let lengths = [26, 28].map(|at| u64::from(u16_at(&header, at)));
    let variable = source.take(member.header + LOCAL_LEN, lengths[0] + lengths[1])?;
    let (own_name, extra) = variable.split_at(lengths[0] as usize);
    let method = if member.deflated { 8 } else { 0 };
    let mut wide = zip64_fields(extra);
    let mut field = |at: usize| match u32_at(&header, at) {
        u32::MAX => wide.next().unwrap_or(u32::MAX.into()),
        small => u64::from(small),
    };
    let (size, packed) = (field(22), field(18));
    // A member written to a pipe has its sizes behind it: then they are zero here.
    let behind = u16_at(&header, 6) & 8 != 0;
    let same = |own: u64, listed: u64| own == listed || (behind && own == 0);
    let agrees = own_name == name.as_bytes()
        && u16_at(&header, 8) == method
        && same(size, member.size)
        && same(packed, member.packed)
        && same(u32_at(&header, 14).into(), member.crc.into());
    if !agrees {
        return Err(bad("its header contradicts the directory"));
    }
    member.data = member.header + LOCAL_LEN + lengths[0] + lengths[1];
    Ok(())
}

/// Only plain relative paths are names.
fn is_name(name: &str) -> bool {
    name.len() <= 1024
        && !name.contains(['\\', ':'])
        && !name.chars().any(char::is_control)
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests;
