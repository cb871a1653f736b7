//! Zip archives written as Keras writes them: members stored one behind the other, sizes in front of them.

use std::collections::HashSet;
use std::io::{self, Seek, SeekFrom, Write};

use flate2::Crc;

use super::{CENTRAL, END, END_64, END_64_LEN, LOCAL, LOCATOR_64, Member, is_name};

/// 1980-01-01, the first day of zip: Keras writes it, and the same model gives the same bytes.
const DATE: u16 = 1 << 5 | 1;

/// Writes a zip archive of stored members, as Keras does.
pub(crate) struct ArchiveWriter<W> {
    w: W,
    /// Where the archive begins.
    start: u64,
    members: Vec<(String, Member)>,
    names: HashSet<String>,
}

impl<W: Write + Seek> ArchiveWriter<W> {
    pub(crate) fn new(mut w: W) -> io::Result<Self> {
        let start = w.stream_position()?;
        Ok(ArchiveWriter {
            w,
            start,
            members: Vec::new(),
            names: HashSet::new(),
        })
    }

    /// Adds a member of `size` bytes, which `write` writes. Its checksum is filled in afterwards.
    pub(crate) fn member(
        &mut self,
        name: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let invalid = |problem| Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        if !is_name(name) || !self.names.insert(name.to_string()) {
            return invalid(format!("`{name}` cannot be the name of a member"));
        }
        let header = self.w.stream_position()? - self.start;
        let mut member = Member {
            packed: size,
            size,
            header,
            ..Member::default()
        };
        self.w.write_all(&member.local(name))?;
        let mut counted = Counted {
            w: &mut self.w,
            crc: Crc::new(),
            len: 0,
        };
        write(&mut counted)?;
        if counted.len != size {
            let problem = format!("`{name}`: {} bytes written, {size} announced", counted.len);
            return invalid(problem);
        }
        member.crc = counted.crc.sum();
        let end = self.w.stream_position()?;
        self.w.seek(SeekFrom::Start(self.start + header + 14))?;
        self.w.write_all(&member.crc.to_le_bytes())?;
        self.w.seek(SeekFrom::Start(end))?;
        self.members.push((name.to_string(), member));
        Ok(())
    }

    /// Writes the directory.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let start = self.w.stream_position()? - self.start;
        let directory: Vec<u8> = (self.members.iter())
            .flat_map(|(name, member)| member.central(name))
            .collect();
        self.w.write_all(&directory)?;
        let (len, count) = (directory.len() as u64, self.members.len() as u64);
        let large = start >= u32::MAX.into() || count >= u16::MAX.into();
        let mut end = Vec::new();
        if large {
            end.extend(END_64);
            end.extend((END_64_LEN - 12).to_le_bytes());
            // Versions, disks, members here and in all.
            end.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for field in [count, count, len, start] {
                end.extend(field.to_le_bytes());
            }
            end.extend(LOCATOR_64);
            end.extend(0u32.to_le_bytes());
            end.extend((start + len).to_le_bytes());
            end.extend(1u32.to_le_bytes());
        }
        end.extend(END);
        end.extend([0; 4]);
        let count = if large { u16::MAX } else { count as u16 };
        end.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
        end.extend((len as u32).to_le_bytes());
        end.extend(narrow(start, large).to_le_bytes());
        end.extend([0; 2]);
        self.w.write_all(&end)?;
        Ok(self.w)
    }
}

/// A field of 32 bits, all ones if the number is in the zip64 record instead.
fn narrow(number: u64, large: bool) -> u32 {
    if large { u32::MAX } else { number as u32 }
}

impl Member {
    /// Whether the sizes, or the position too, need zip64.
    fn large(&self) -> bool {
        self.size.max(self.header) >= u32::MAX.into()
    }

    /// What both headers have in common: from the version needed to the length of the name, and the zip64 field. All of the
    /// sizes are in it if one number is too large, which keeps the two headers alike.
    fn fields(&self, name: &str, zip64: &[u64]) -> (Vec<u8>, Vec<u8>) {
        let large = self.large();
        let mut fields = vec![if large { 45 } else { 20 }, 0];
        // Names that are not ASCII are UTF-8.
        fields.extend(if name.is_ascii() { [0, 0] } else { [0, 8] });
        // Stored; midnight.
        fields.extend([0; 4]);
        fields.extend(DATE.to_le_bytes());
        fields.extend(self.crc.to_le_bytes());
        fields.extend(narrow(self.packed, large).to_le_bytes());
        fields.extend(narrow(self.size, large).to_le_bytes());
        fields.extend((name.len() as u16).to_le_bytes());
        let mut extra = Vec::new();
        if large {
            extra.extend([1, 0]);
            extra.extend((8 * zip64.len() as u16).to_le_bytes());
            zip64
                .iter()
                .for_each(|field| extra.extend(field.to_le_bytes()));
        }
        fields.extend((extra.len() as u16).to_le_bytes());
        (fields, extra)
    }

    fn local(&self, name: &str) -> Vec<u8> {
        let (fields, extra) = self.fields(name, &[self.size, self.packed]);
        [&LOCAL[..], &fields, name.as_bytes(), &extra].concat()
    }

    pub(super) fn central(&self, name: &str) -> Vec<u8> {
        let (fields, extra) = self.fields(name, &[self.size, self.packed, self.header]);
        // Made on Unix; a file that its owner reads and writes.
        let mut rest = vec![0; 6];
        rest.extend((0o600u32 << 16).to_le_bytes());
        rest.extend(narrow(self.header, self.large()).to_le_bytes());
        [
            &CENTRAL[..],
            &[20, 3],
            &fields,
            &rest,
            name.as_bytes(),
            &extra,
        ]
        .concat()
    }
}

/// Counts what passes through, and sums it up.
struct Counted<'w, W> {
    w: &'w mut W,
    crc: Crc,
    len: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.w.write(bytes)?;
        self.crc.update(&bytes[..n]);
        self.len += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.w.flush()
    }
}
