//! Files that are whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};

/// Writes a file so that `path` holds, at every moment and whatever happens, either what was there before or all of the new.
///
/// `write` fills a new file of a hidden name in the same folder, which is brought to the disk and then takes the name `path`; it is
/// removed if anything fails. The permissions of a file that is replaced are kept.
///
/// If `path` is a symbolic link, the link is replaced, and what it led to stays as it is: a save never writes to a place other
/// than the one that was named.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let io = |e| Error::io(path, e);
    let old = fs::symlink_metadata(path).ok();
    if old.as_ref().is_some_and(|old| old.is_dir()) {
        let what = path.display().to_string();
        return Err(Error::data(what, "this is a directory, not a file"));
    }
    let (file, name) = temporary(path).map_err(io)?;
    let mut temporary = Temporary(Some(name));
    let mut w = BufWriter::with_capacity(64 << 10, file);
    write(&mut w)?;
    let file = w.into_inner().map_err(|e| io(e.into_error()))?;
    if let Some(old) = old.filter(|old| old.is_file()) {
        file.set_permissions(old.permissions()).map_err(io)?;
    }
    file.sync_all().map_err(io)?;
    drop(file);
    if let Some(name) = &temporary.0 {
        fs::rename(name, path).map_err(io)?;
    }
    temporary.0 = None;
    // The new name is on the disk when the folder is. Not every system can say so; the file is whole in either case.
    #[cfg(unix)]
    if let Ok(folder) = File::open(folder(path)) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Removes the file when it goes, if it has not been renamed.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = &self.0 {
            let _ = fs::remove_file(name);
        }
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A file that did not exist, beside `path`.
fn temporary(path: &Path) -> io::Result<(File, PathBuf)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Some(name) = path.file_name() else {
        let problem = "a file name is expected";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    };
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{number}.tmp", std::process::id()));
        let hidden = folder(path).join(hidden);
        // `create_new` fails where anything is there already, a link included.
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&hidden)
        {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            file => return Ok((file?, hidden)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// An empty folder of its own, removed in the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("oxhorn-atomic-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Folder(path)
        }

        fn files(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<String> = entries
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn put(path: &Path, text: &str) -> Result<()> {
        write_atomically(path, |w| {
            w.write_all(text.as_bytes()).map_err(|e| Error::io(path, e))
        })
    }

    #[test]
    fn an_interrupted_save_leaves_the_old_file() {
        let folder = Folder::new("interrupted");
        let path = folder.0.join("model");
        put(&path, "old").unwrap();
        put(&path, "older still").unwrap();
        let failed = write_atomically(&path, |w| {
            w.write_all(&[0; 100_000]).unwrap();
            Err(Error::data("x", "stop"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "x: stop");
        let panicked = std::panic::catch_unwind(|| write_atomically(&path, |_| panic!("stop")));
        assert!(panicked.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "older still");
        assert_eq!(folder.files(), ["model"]);
    }

    #[test]
    fn places_that_are_no_file() {
        let folder = Folder::new("places");
        let error = put(&folder.0, "x").unwrap_err().to_string();
        assert!(
            error.ends_with("this is a directory, not a file"),
            "{error}"
        );
        assert!(matches!(
            put(&folder.0.join("no/such"), "x"),
            Err(Error::Io { .. })
        ));
        assert!(matches!(put(Path::new(".."), "x"), Err(Error::Data { .. })));
        assert!(folder.files().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_replaced_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = Folder::new("links");
        let (link, target) = (folder.0.join("link"), folder.0.join("target"));
        put(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        put(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&link).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());

        fs::set_permissions(&link, fs::Permissions::from_mode(0o640)).unwrap();
        put(&link, "newer").unwrap();
        let mode = fs::metadata(&link).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(folder.files(), ["link", "target"]);
    }
}
