//! Where the bytes of a file come from: memory, a file, or a part of either. Nothing is read before it is asked for, and
//! nothing is allocated for bytes that are not there.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// A run of bytes that can be read anywhere.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// What errors call it.
    name: Arc<str>,
    bytes: Bytes,
    start: u64,
    len: u64,
}

#[derive(Clone, Debug)]
enum Bytes {
    Memory(Arc<Vec<u8>>),
    File(Arc<Mutex<File>>),
}

impl Source {
    /// A file; directories, pipes and devices are errors.
    pub(crate) fn open(path: &Path) -> Result<Source> {
        let io = |e| Error::io(path, e);
        let name = path.display().to_string();
        let kind = std::fs::metadata(path).map_err(io)?;
        if kind.is_dir() {
            return Err(Error::data(name, "this is a directory, not a file"));
        }
        if !kind.is_file() {
            return Err(Error::data(name, "this is not a regular file"));
        }
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        Ok(Source {
            name: name.into(),
            bytes: Bytes::File(Arc::new(Mutex::new(file))),
            start: 0,
            len,
        })
    }

    pub(crate) fn memory(bytes: Vec<u8>, name: &str) -> Source {
        Source {
            name: name.into(),
            start: 0,
            len: bytes.len() as u64,
            bytes: Bytes::Memory(Arc::new(bytes)),
        }
    }

    /// `len` bytes of this source from `start` on, under another name; not copied.
    pub(crate) fn slice(&self, start: u64, len: u64, name: &str) -> Result<Source> {
        self.check(start, len)?;
        Ok(Source {
            name: name.into(),
            bytes: self.bytes.clone(),
            start: self.start + start,
            len,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// An [`Error::Data`] about this source.
    pub(crate) fn error(&self, problem: impl Into<String>) -> Error {
        Error::data(&*self.name, problem)
    }

    fn check(&self, at: u64, len: u64) -> Result<()> {
        match at.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(self.error(format!(
                "{len} bytes at {at} lie outside of the {} bytes that there are (cut off or damaged?)",
                self.len
            ))),
        }
    }

    /// Fills `buffer` from position `at`.
    pub(crate) fn read_at(&self, at: u64, buffer: &mut [u8]) -> Result<()> {
        self.check(at, buffer.len() as u64)?;
        match &self.bytes {
            Bytes::Memory(bytes) => {
                let at = (self.start + at) as usize;
                buffer.copy_from_slice(&bytes[at..at + buffer.len()]);
                Ok(())
            }
            Bytes::File(file) => {
                // A file whose owner panicked is as good as before: every read seeks first.
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(self.start.saturating_add(at)))
                    .and_then(|_| file.read_exact(buffer))
                    .map_err(|e| Error::io(&*self.name, e))
            }
        }
    }

    /// `len` bytes from position `at`; they are known to exist before room is made for them.
    pub(crate) fn take(&self, at: u64, len: u64) -> Result<Vec<u8>> {
        self.check(at, len)?;
        let len = usize::try_from(len).map_err(|_| self.error("too large for this machine"))?;
        let mut bytes = vec![0; len];
        self.read_at(at, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads on from the beginning to the end.
    pub(crate) fn reader(&self) -> SourceReader<'_> {
        SourceReader {
            source: self,
            at: 0,
        }
    }
}

/// A [`Read`] over a whole [`Source`].
pub(crate) struct SourceReader<'a> {
    source: &'a Source,
    at: u64,
}

impl Read for SourceReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len - self.at;
        let n = (buffer.len() as u64).min(left) as usize;
        self.source
            .read_at(self.at, &mut buffer[..n])
            .map_err(|e| match e {
                Error::Io { source, .. } => source,
                other => io::Error::other(other.to_string()),
            })?;
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there() {
        let source = Source::memory((0..10).collect(), "digits");
        assert_eq!(source.take(8, 2).unwrap(), [8, 9]);
        assert_eq!(
            source.take(8, 3).unwrap_err().to_string(),
            "digits: 3 bytes at 8 lie outside of the 10 bytes that there are (cut off or damaged?)"
        );
        assert!(source.take(u64::MAX, 2).is_err());
        assert!(source.take(0, u64::MAX).is_err());

        let middle = source.slice(3, 4, "middle").unwrap();
        assert_eq!(middle.take(0, 4).unwrap(), [3, 4, 5, 6]);
        assert!(middle.take(1, 4).is_err());
        assert!(middle.slice(2, 3, "too long").is_err());
        let mut all = Vec::new();
        middle.reader().read_to_end(&mut all).unwrap();
        assert_eq!(all, [3, 4, 5, 6]);
    }

    #[test]
    fn a_directory_is_named() {
        let error = Source::open(&std::env::temp_dir()).unwrap_err().to_string();
        assert!(
            error.ends_with("this is a directory, not a file"),
            "{error}"
        );
        assert!(matches!(
            Source::open(Path::new("no such file")),
            Err(Error::Io { .. })
        ));
    }
}
