//! Zip archives (interim).
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::hdf5::H5File;
use crate::error::{Error, Result};

pub(crate) struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Archive> {
        Archive::from_bytes(std::fs::read(path).map_err(|e| Error::io(path, e))?)
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Result<Archive> {
        Ok(Archive { bytes })
    }

    pub fn read(&self, name: &str, _limit: u64) -> Result<Vec<u8>> {
        let b = &self.bytes;
        let bad = || Error::data(name, "not in the archive");
        let u16at = |i: usize| {
            b.get(i..i + 2)
                .map(|s| u16::from_le_bytes([s[0], s[1]]) as usize)
        };
        let u32at = |i: usize| {
            b.get(i..i + 4)
                .map(|s| u32::from_le_bytes([s[0], s[1], s[2], s[3]]) as usize)
        };
        let end = (0..b.len().saturating_sub(21))
            .rev()
            .find(|&i| b[i..].starts_with(b"PK\x05\x06"))
            .ok_or_else(bad)?;
        let mut at = u32at(end + 16).ok_or_else(bad)?;
        while b.get(at..).is_some_and(|s| s.starts_with(b"PK\x01\x02")) {
            let method = u16at(at + 10).ok_or_else(bad)?;
            let (packed, full) = (
                u32at(at + 20).ok_or_else(bad)?,
                u32at(at + 24).ok_or_else(bad)?,
            );
            let (n, x, c) = (
                u16at(at + 28).ok_or_else(bad)?,
                u16at(at + 30).ok_or_else(bad)?,
                u16at(at + 32).ok_or_else(bad)?,
            );
            let local = u32at(at + 42).ok_or_else(bad)?;
            if b.get(at + 46..at + 46 + n) == Some(name.as_bytes()) {
                let start = local
                    + 30
                    + u16at(local + 26).ok_or_else(bad)?
                    + u16at(local + 28).ok_or_else(bad)?;
                let data = b.get(start..start + packed).ok_or_else(bad)?;
                if method == 0 {
                    return Ok(data.to_vec());
                }
                let mut out = Vec::with_capacity(full);
                flate2::read::DeflateDecoder::new(data)
                    .read_to_end(&mut out)
                    .map_err(|e| Error::data(name, e.to_string()))?;
                return Ok(out);
            }
            at += 46 + n + x + c;
        }
        Err(bad())
    }

    pub fn h5(&self, name: &str, limit: u64) -> Result<H5File> {
        H5File::from_bytes(self.read(name, limit)?)
    }
}

pub(crate) struct ArchiveWriter<W> {
    w: W,
    central: Vec<u8>,
    count: u16,
}

impl<W: Write + Seek> ArchiveWriter<W> {
    pub fn new(w: W) -> Self {
        ArchiveWriter {
            w,
            central: Vec::new(),
            count: 0,
        }
    }

    pub fn add(&mut self, name: &str, data: &[u8]) -> Result<()> {
        let io = |e| Error::io(name, e);
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let at = self.w.stream_position().map_err(io)? as u32;
        let mut head = Vec::new();
        head.extend(20u16.to_le_bytes());
        head.extend([0u8; 8]);
        head.extend(crc.sum().to_le_bytes());
        head.extend((data.len() as u32).to_le_bytes());
        head.extend((data.len() as u32).to_le_bytes());
        head.extend((name.len() as u16).to_le_bytes());
        head.extend(0u16.to_le_bytes());
        self.w.write_all(b"PK\x03\x04").map_err(io)?;
        self.w.write_all(&head).map_err(io)?;
        self.w.write_all(name.as_bytes()).map_err(io)?;
        self.w.write_all(data).map_err(io)?;
        self.central.extend(b"PK\x01\x02");
        self.central.extend(20u16.to_le_bytes());
        self.central.extend(head);
        self.central.extend([0u8; 10]);
        self.central.extend(at.to_le_bytes());
        self.central.extend(name.as_bytes());
        self.count += 1;
        Ok(())
    }

    pub fn finish(mut self) -> Result<()> {
        let io = |e| Error::io("archive", e);
        let at = self.w.stream_position().map_err(io)? as u32;
        self.w.write_all(&self.central).map_err(io)?;
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend(self.count.to_le_bytes());
        end.extend(self.count.to_le_bytes());
        end.extend((self.central.len() as u32).to_le_bytes());
        end.extend(at.to_le_bytes());
        end.extend([0, 0]);
        self.w.write_all(&end).map_err(io)
    }
}
