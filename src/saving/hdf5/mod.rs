//! HDF5 as Keras and h5py write it, read and written without the C library.
//!
//! The format is large; weights need little of it: groups, datasets of numbers, attributes of text and numbers. What could
//! reach out of the file (soft, external and user-defined links, external storage, virtual datasets) or is no weight (compound
//! types, references) is an error, and so is whatever a file says that cannot be: sizes are compared with the shape that the
//! caller expects, and with what is there, before anything is allocated.
//!
//! Read are superblocks 0 to 3, both kinds of object headers, old and new groups, contiguous, compact and chunked
//! datasets with the filters gzip, shuffle and fletcher32. Not read are what h5py writes only if it is asked to with
//! `libver="latest"`: indexed (dense) links and attributes, and the chunk indices of HDF5 1.10.

mod attributes;
mod blocks;
mod data;
mod format;
mod groups;
mod write;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::error::{Error, Result};
use crate::float::Float;
use crate::saving::number::{Kind, Number, numel};
use crate::saving::source::Source;

use attributes::Attribute;
use data::Dataset;
use format::{Element, Message, UNDEFINED, Walk};

pub(crate) use write::H5Writer;

/// Deepest nesting of groups.
const MAX_DEPTH: usize = 32;

/// Most parts of one list of strings.
const MAX_PARTS: usize = 500;

/// An HDF5 file, read where it lies: opening it reads the tree of its groups, and values only when they are asked for.
///
/// Paths are names joined by `/`; the root is `""` or `"/"`.
#[derive(Debug)]
pub(crate) struct H5File {
    source: Source,
    /// The root comes first.
    objects: Vec<Object>,
}

#[derive(Debug)]
struct Object {
    /// Where its header lies.
    at: u64,
    /// Members of a group by name, as indices; `None` for a dataset.
    members: Option<BTreeMap<String, usize>>,
}

impl H5File {
    pub(crate) fn open_path(path: &Path) -> Result<H5File> {
        H5File::new(Source::open(path)?)
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<H5File> {
        H5File::new(Source::memory(bytes, "HDF5 file"))
    }

    /// A file that lies wherever `source` says: a stored member of a zip archive is read in place.
    pub(crate) fn new(source: Source) -> Result<H5File> {
        let walk = Walk::new(&source);
        let root = superblock(&walk)?;
        let mut objects = vec![Object {
            at: root,
            members: None,
        }];
        let mut seen = HashSet::from([root]);
        // Groups to be looked into, with how deep they are.
        let mut next = vec![(0, 0)];
        while let Some((group, depth)) = next.pop() {
            let messages = walk.header(objects[group].at)?;
            let Some(found) = groups::members(&walk, &messages)? else {
                if group == 0 {
                    return Err(source.error("HDF5: the root is no group"));
                }
                continue;
            };
            if depth == MAX_DEPTH {
                let problem = format!("HDF5: groups are nested more than {MAX_DEPTH} deep");
                return Err(source.error(problem));
            }
            let mut members = BTreeMap::new();
            for (name, at) in found {
                if !seen.insert(at) {
                    let problem =
                        format!("HDF5: `{name}` is another name of something seen before");
                    return Err(source.error(problem));
                }
                next.push((objects.len(), depth + 1));
                if let Some(_twice) = members.insert(name, objects.len()) {
                    return Err(source.error("HDF5: two members have the same name"));
                }
                objects.push(Object { at, members: None });
            }
            objects[group].members = Some(members);
        }
        Ok(H5File { source, objects })
    }

    fn find(&self, path: &str) -> Option<&Object> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(&self.objects[0], |object, name| {
            let index = *object.members.as_ref()?.get(name)?;
            Some(&self.objects[index])
        })
    }

    fn object(&self, path: &str) -> Result<&Object> {
        self.find(path)
            .ok_or_else(|| self.source.error(format!("there is no `{path}`")))
    }

    /// An [`Error::Data`] about one object.
    fn error(&self, path: &str, problem: impl std::fmt::Display) -> Error {
        self.source.error(format!("`{path}`: {problem}"))
    }

    fn members(&self, path: &str, groups: bool) -> Result<Vec<String>> {
        let members = self.object(path)?.members.as_ref();
        let members = members.ok_or_else(|| self.error(path, "this is not a group"))?;
        Ok(members
            .iter()
            .filter(|&(_, &index)| self.objects[index].members.is_some() == groups)
            .map(|(name, _)| name.clone())
            .collect())
    }

    /// Names of the groups in a group, sorted.
    pub(crate) fn groups(&self, path: &str) -> Result<Vec<String>> {
        self.members(path, true)
    }

    /// Names of the datasets in a group, sorted.
    pub(crate) fn datasets(&self, path: &str) -> Result<Vec<String>> {
        self.members(path, false)
    }

    /// Whether there is a group or dataset.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    fn dataset(&self, walk: &Walk, path: &str) -> Result<(Dataset, Vec<Message>)> {
        let object = self.object(path)?;
        if object.members.is_some() {
            return Err(self.error(path, "this is a group, not a dataset"));
        }
        let messages = walk.header(object.at)?;
        let dataset = Dataset::new(walk, &messages).map_err(|e| self.at(path, e))?;
        Ok((dataset, messages))
    }

    /// Says which object an error is about.
    fn at(&self, path: &str, error: Error) -> Error {
        match error {
            Error::Data { what, problem } => Error::data(what, format!("`{path}`: {problem}")),
            other => other,
        }
    }

    /// Shape of a dataset, as the file says it: not to be trusted with an allocation.
    pub(crate) fn shape(&self, path: &str) -> Result<Vec<usize>> {
        let (dataset, _) = self.dataset(&Walk::new(&self.source), path)?;
        Ok(dataset.shape)
    }

    /// The numbers of a dataset of this shape, converted to [`Float`]; anything else than this shape is an error before a
    /// value is read. f16, bfloat16 (as Keras marks it), f32, f64, integers and truth values are numbers.
    pub(crate) fn read_into(&self, path: &str, shape: &[usize], out: &mut [Float]) -> Result<()> {
        let walk = Walk::new(&self.source);
        let (dataset, messages) = self.dataset(&walk, path)?;
        if dataset.shape != shape {
            let problem = format!("expected shape {shape:?}, got {:?}", dataset.shape);
            return Err(self.error(path, problem));
        }
        if numel(shape) != Some(out.len()) {
            return Err(self.error(path, format!("{} places for shape {shape:?}", out.len())));
        }
        let number = match dataset.element {
            Element::Number(number) => number,
            Element::Opaque { size: 2 } if self.is_brain(&walk, &messages)? => {
                Number::new(Kind::Brain, 2).expect("bfloat16 has two bytes")
            }
            other => return Err(self.error(path, not_numbers(other))),
        };
        // Only one of the two ways of reading is taken.
        let out = std::cell::RefCell::new(out);
        dataset
            .read(
                &walk,
                number.size,
                |fill| number.read_into(&mut out.borrow_mut(), fill),
                |index, bytes| {
                    let values = &mut out.borrow_mut()[index..][..bytes.len() / number.size];
                    number.convert(bytes, values);
                },
            )
            .map_err(|e| self.at(path, e))
    }

    fn is_brain(&self, walk: &Walk, messages: &[Message]) -> Result<bool> {
        let dtype = attributes::attribute(walk, messages, "dtype")?;
        Ok(matches!(dtype, Some(Attribute::Text(text, _)) if text == ["bfloat16"]))
    }

    /// The integers of a dataset of any shape, of which there may be `max_len`.
    pub(crate) fn read_i64(&self, path: &str, max_len: usize) -> Result<Vec<i64>> {
        let walk = Walk::new(&self.source);
        let (dataset, _) = self.dataset(&walk, path)?;
        let Element::Number(number) = dataset.element else {
            return Err(self.error(path, not_numbers(dataset.element)));
        };
        let len = numel(&dataset.shape).filter(|n| *n <= max_len);
        let len = len.ok_or_else(|| {
            let problem = format!(
                "expected at most {max_len} integers, got {:?}",
                dataset.shape
            );
            self.error(path, problem)
        })?;
        let bytes = std::cell::RefCell::new(vec![0; len * number.size]);
        dataset
            .read(
                &walk,
                number.size,
                |fill| fill(&mut bytes.borrow_mut()),
                |index, run| {
                    bytes.borrow_mut()[index * number.size..][..run.len()].copy_from_slice(run);
                },
            )
            .map_err(|e| self.at(path, e))?;
        let integers = bytes.into_inner();
        integers
            .chunks_exact(number.size)
            .map(|b| number.to_i64(b))
            .collect::<Option<_>>()
            .ok_or_else(|| self.error(path, "expected integers"))
    }

    fn attribute(&self, path: &str, name: &str) -> Result<Option<Attribute>> {
        let walk = Walk::new(&self.source);
        let messages = walk.header(self.object(path)?.at)?;
        attributes::attribute(&walk, &messages, name).map_err(|e| self.at(path, e))
    }

    /// An attribute that is one string, if there is one.
    pub(crate) fn attr_string(&self, path: &str, name: &str) -> Result<Option<String>> {
        match self.attribute(path, name)? {
            None => Ok(None),
            Some(Attribute::Text(mut text, true)) => Ok(text.pop()),
            Some(_) => Err(self.error(path, format!("attribute `{name}`: expected a string"))),
        }
    }

    /// An attribute that is a list of strings. Keras cuts long ones into `name0`, `name1`, ...: they are joined.
    pub(crate) fn attr_strings(&self, path: &str, name: &str) -> Result<Option<Vec<String>>> {
        let walk = Walk::new(&self.source);
        let messages = walk.header(self.object(path)?.at)?;
        let list = |name: &str| {
            let found = attributes::attribute(&walk, &messages, name);
            match found.map_err(|e| self.at(path, e))? {
                None => Ok(None),
                Some(Attribute::Text(text, _)) => Ok(Some(text)),
                // An empty list of Python has no type: it comes as an empty list of numbers.
                Some(Attribute::Numbers(0)) => Ok(Some(Vec::new())),
                Some(_) => Err(self.error(path, format!("attribute `{name}`: expected strings"))),
            }
        };
        if let Some(whole) = list(name)? {
            return Ok(Some(whole));
        }
        let mut joined = None;
        for part in 0..MAX_PARTS {
            match list(&format!("{name}{part}"))? {
                Some(text) => joined.get_or_insert_with(Vec::new).extend(text),
                None => return Ok(joined),
            }
        }
        Err(self.error(path, format!("attribute `{name}` has too many parts")))
    }
}

fn not_numbers(element: Element) -> String {
    let what = match element {
        Element::Number(_) => "numbers",
        Element::Text { .. } | Element::VarText => "text",
        Element::Opaque { .. } => "bytes without a meaning",
        Element::Other(what) => what,
    };
    format!("expected numbers, got {what}")
}

/// Checks the superblock; the address of the root group's header.
fn superblock(walk: &Walk) -> Result<u64> {
    let source = walk.source;
    let start = match source.len() {
        0..12 => Vec::new(),
        _ => walk.take(0, 12)?,
    };
    if !start.starts_with(b"\x89HDF\r\n\x1a\n") {
        return Err(source.error("this is not an HDF5 file"));
    }
    let version = start[8];
    let (body, sizes) = match version {
        0 | 1 => (walk.take(0, 100)?, 13),
        2 | 3 => (walk.take(0, 48)?, 9),
        _ => return Err(walk.unknown("superblock", version.into())),
    };
    if body[sizes..sizes + 2] != [8, 8] {
        return Err(walk.unsupported("a file with addresses or lengths of other than 8 bytes"));
    }
    let (base, end, root) = match version {
        0 => (24, 40, 64),
        1 => (28, 44, 68),
        _ => (12, 28, 36),
    };
    let field = |at| walk.fields(&body[at..]).u64();
    if field(base)? != 0 {
        return Err(walk.unsupported("a user block"));
    }
    if version < 2 && field(end + 8)? != UNDEFINED {
        return Err(walk.unsupported("a file in several parts"));
    }
    if field(end)? > source.len() {
        let problem = format!("HDF5: {} bytes of {} are there", source.len(), field(end)?);
        return Err(source.error(problem));
    }
    field(root)
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
pub(crate) mod tests;
