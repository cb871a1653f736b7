//! Texts: files in folders, which a function turns into numbers.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::batched::{Batched, Indexed};
use super::dataset::{Minibatch, Shapes, sample_dims};
use super::folder::{Files, Form, LabelMode, split};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::random::Seed;

/// Which texts [`text_dataset_from_directory`] reads, and how.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `label_mode` | `Int` | what the targets are; `None`: there are none |
/// | `class_names` | the folders, sorted | folders of the classes, in this order |
/// | `max_length` | none | bytes of a text that are read (whole characters) |
/// | `validation_split` | none | part of the files that is put aside, with the seed of the order before that |
/// | `follow_links` | false | whether to look into folders that are links |
#[derive(Clone, Debug, Default)]
pub struct Texts {
    form: Form,
    max_length: Option<usize>,
}

impl Texts {
    /// What the targets are.
    pub fn label_mode(mut self, mode: LabelMode) -> Self {
        self.form.label_mode = mode;
        self
    }

    /// The folders of the classes, in this order.
    pub fn class_names(mut self, names: &[&str]) -> Self {
        self.form.class_names = Some(names.iter().map(|n| n.to_string()).collect());
        self
    }

    /// Bytes of a text that are read.
    pub fn max_length(mut self, bytes: usize) -> Self {
        self.max_length = Some(bytes);
        self
    }

    /// The part of the files that is put aside.
    pub fn validation_split(mut self, fraction: f64, seed: Seed) -> Self {
        self.form.validation = Some((fraction, seed));
        self
    }

    /// Whether to look into folders that are links.
    pub fn follow_links(mut self, yes: bool) -> Self {
        self.form.follow_links = yes;
        self
    }
}

/// What turns a text into numbers: it fills a row of zeros.
type Vectorize = dyn FnMut(&str, &mut [Float]) -> Result<()> + Send;

/// The texts of a folder as samples; see [`text_dataset_from_directory`].
#[derive(Clone)]
pub struct TextFolder {
    files: Files,
    max_length: Option<usize>,
    shapes: Shapes,
    vectorize: Arc<Mutex<Vectorize>>,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for TextFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextFolder")
            .field("files", &self.files.paths.len())
            .finish()
    }
}

impl TextFolder {
    /// Names of the classes.
    pub fn class_names(&self) -> &[String] {
        &self.files.class_names
    }
}

/// The `.txt` files below a folder, whose inner folders are the classes: Keras's `utils.text_dataset_from_directory`. A model takes
/// numbers, so a function turns each text into a row of `length` of them (which begins as zeros). Returned are the training
/// data and, with a `validation_split`, the files that were put aside.
///
/// ```
/// use oxhorn::data::{text_dataset_from_directory, Dataset, Minibatch, Pass, Texts};
///
/// let folder = std::env::temp_dir().join("oxhorn-doc-texts");
/// for (file, text) in [("cats/1.txt", "miaow"), ("dogs/1.txt", "wow wow")] {
///     std::fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
///     std::fs::write(folder.join(file), text).unwrap();
/// }
/// // How often each letter occurs.
/// let letters = |text: &str, row: &mut [f32]| {
///     text.bytes().filter(u8::is_ascii_lowercase).for_each(|b| row[(b - b'a') as usize] += 1.0);
///     Ok(())
/// };
/// let (mut data, none) = text_dataset_from_directory(&folder, Texts::default(), 26, letters)?;
/// assert!(none.is_none());
/// assert_eq!(data.source().class_names(), ["cats", "dogs"]);
/// let mut batch = Minibatch::default();
/// data.begin(Pass::IN_ORDER)?;
/// data.next(&mut batch)?;
/// assert_eq!((batch.x[0].row(1)[22], batch.y[0].data()), (4.0, &[0.0, 1.0][..]));
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If the folder cannot be read, there are no files, or an argument makes no sense; while reading, if a file is not UTF-8.
pub fn text_dataset_from_directory(
    directory: impl AsRef<Path>,
    texts: Texts,
    length: usize,
    vectorize: impl FnMut(&str, &mut [Float]) -> Result<()> + Send + 'static,
) -> Result<(Batched<TextFolder>, Option<Batched<TextFolder>>)> {
    let files = Files::list(directory.as_ref(), &[".txt"], &texts.form)?;
    let data = TextFolder {
        shapes: Shapes {
            x: vec![sample_dims(&[length])?],
            y: files.target().into_iter().collect(),
            weights: vec![],
        },
        files,
        max_length: texts.max_length,
        vectorize: Arc::new(Mutex::new(vectorize)),
        bytes: vec![],
    };
    split(Batched::new(data)?, &texts.form)
}

impl Indexed for TextFolder {
    fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    fn len(&self) -> usize {
        self.files.paths.len()
    }

    fn read(&mut self, index: usize, batch: &mut Minibatch) -> Result<()> {
        let path = &self.files.paths[index];
        read_file(path, self.max_length, &mut self.bytes)?;
        let text = match std::str::from_utf8(&self.bytes) {
            Ok(text) => text,
            // A character that was cut off at the end.
            Err(e) if self.max_length.is_some() && e.error_len().is_none() => {
                std::str::from_utf8(&self.bytes[..e.valid_up_to()]).unwrap_or_default()
            }
            Err(e) => {
                let problem = format!("byte {} is not UTF-8", e.valid_up_to());
                return Err(Error::data(path.display().to_string(), problem));
            }
        };
        let mut vectorize = self
            .vectorize
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        vectorize(text, batch.x[0].add()).map_err(|e| e.in_file(&path.display().to_string()))?;
        if let Some(part) = batch.y.first_mut() {
            self.files.put_target(index, part);
        }
        Ok(())
    }
}

/// Reads a file (or its beginning) into memory that is kept.
pub(super) fn read_file(path: &Path, most: Option<usize>, bytes: &mut Vec<u8>) -> Result<()> {
    use std::io::Read;
    bytes.clear();
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let most = most.map_or(u64::MAX, |n| n as u64);
    file.take(most)
        .read_to_end(bytes)
        .map_err(|e| Error::io(path, e))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Pass};

    #[test]
    fn texts_are_cut_and_put_aside() {
        let folder = std::env::temp_dir().join(format!("oxhorn-texts-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("a")).unwrap();
        for i in 0..10 {
            std::fs::write(folder.join(format!("a/{i}.txt")), "aé").unwrap();
        }
        let read = |texts: Texts| -> Result<(Vec<Float>, usize)> {
            let count = |text: &str, row: &mut [Float]| {
                row[0] = text.len() as Float;
                Ok(())
            };
            let (mut data, rest) = text_dataset_from_directory(&folder, texts, 1, count)?;
            let mut batch = Minibatch::default();
            data.begin(Pass::IN_ORDER)?;
            data.next(&mut batch)?;
            Ok((batch.x[0].data().to_vec(), rest.map_or(0, |r| r.samples())))
        };
        assert_eq!(read(Texts::default()).unwrap(), (vec![3.0; 10], 0));
        let cut = Texts::default()
            .max_length(2)
            .validation_split(0.25, Seed(1));
        assert_eq!(read(cut).unwrap(), (vec![1.0; 8], 2));
        assert!(read(Texts::default().validation_split(0.05, Seed(1))).is_err());
        assert!(read(Texts::default().validation_split(1.0, Seed(1))).is_err());
        std::fs::write(folder.join("a/0.txt"), [0xff, 0xff]).unwrap();
        assert!(
            read(Texts::default())
                .unwrap_err()
                .to_string()
                .contains("not UTF-8")
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}
