//! CSV files that are read line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use super::csv::{MISSING, field, parse_number};
use super::dataset::{Dataset, Minibatch, Pass, Shapes};
use crate::error::{Error, Result};
use crate::float::Float;

/// Longest line.
const MAX_LINE: u64 = 16 << 20;

/// A CSV file with a header line as a dataset: a line is a sample, read when it is needed. The same rules hold as for
/// [`Table`](super::Table): a missing value, a line that is too short or a word among numbers is an error with its line.
///
/// The file is read in its order; [`shuffle_buffer`](super::DatasetExt::shuffle_buffer) mixes it. Cells in quotes cost an
/// allocation each, others none.
///
/// ```
/// use oxhorn::{data::{CsvDataset, DatasetExt}, prelude::*};
///
/// let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/breast_cancer.csv");
/// let data = CsvDataset::open(file, "benign")?.features(&["mean_concavity", "mean_texture"])?.batch_size(64);
/// assert_eq!(data.headers().len(), 31);
/// let mut model = Sequential::new().seed(0).add(BatchNormalization::default()).add(Dense::new(1).activation("sigmoid"));
/// model.compile(Adam::new(0.05), "binary_crossentropy", ["accuracy"])?;
/// let history = model.fit_dataset(&mut data.shuffle_buffer(500), Fit::epochs(10).verbose(0))?;
/// assert!(history.last("accuracy").unwrap() > 0.85);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Debug)]
pub struct CsvDataset {
    path: PathBuf,
    reader: BufReader<File>,
    headers: Vec<String>,
    /// Columns of the features, and of the target.
    features: Vec<usize>,
    target: usize,
    class_names: Vec<String>,
    batch_size: usize,
    shapes: Shapes,
    /// What was read last, and the number of its line.
    text: String,
    line: usize,
    values: Vec<Float>,
}

impl CsvDataset {
    /// Opens a file. The target is this column, the features are all others.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read; [`Error::Data`] where it has no header; [`Error::Unknown`] where there is no such
    /// column.
    pub fn open(path: impl AsRef<Path>, target: &str) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let file = File::open(&path).map_err(|e| Error::io(&path, e))?;
        let mut data = CsvDataset {
            reader: BufReader::with_capacity(64 << 10, file),
            path,
            headers: vec![],
            features: vec![],
            target: 0,
            class_names: vec![],
            batch_size: 32,
            shapes: Shapes::default(),
            text: String::new(),
            line: 0,
            values: vec![],
        };
        if !data.read_record()? {
            return Err(data.error("the file is empty"));
        }
        let mut headers = Vec::new();
        data.cells(|_, cell| {
            headers.push(cell.to_string());
            Ok(())
        })?;
        for (i, header) in headers.iter().enumerate() {
            if header.is_empty() || headers[..i].contains(header) {
                let problem = format!("line 1: column {} has no name of its own", i + 1);
                return Err(data.error(problem));
            }
        }
        data.headers = headers;
        data.target = data.index(target)?;
        data.features = (0..data.headers.len())
            .filter(|c| *c != data.target)
            .collect();
        data.reshape()
    }

    /// Only these columns, in this order.
    ///
    /// # Errors
    /// If there is no such column, or one is the target.
    pub fn features(mut self, columns: &[&str]) -> Result<Self> {
        let features: Vec<usize> = columns
            .iter()
            .map(|c| self.index(c))
            .collect::<Result<_>>()?;
        if features.contains(&self.target) {
            let target = self.headers[self.target].clone();
            return Err(
                Error::arg("features", "columns that are not the target", target)
                    .owned_by("CsvDataset"),
            );
        }
        self.features = features;
        self.reshape()
    }

    /// Names of the classes, where the target is a word: the target becomes its number in this list.
    pub fn class_names(mut self, names: &[&str]) -> Self {
        self.class_names = names.iter().map(|n| n.to_string()).collect();
        self
    }

    /// Samples a batch.
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = size;
        self
    }

    /// Names of all columns.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    fn reshape(mut self) -> Result<Self> {
        if self.features.is_empty() {
            return Err(self.error("there is no column beside the target"));
        }
        self.shapes = Shapes::new(&[&[self.features.len()]], &[&[1]])?;
        Ok(self)
    }

    fn index(&self, column: &str) -> Result<usize> {
        let kind = format!("column of {}", self.path.display());
        let found = self.headers.iter().position(|h| h == column);
        found.ok_or_else(|| Error::unknown(&kind, column, &self.headers))
    }

    fn error(&self, problem: impl Into<String>) -> Error {
        Error::data(self.path.display().to_string(), problem)
    }

    /// Reads a record into `text`: a line, or several where quotes span them. Empty lines are passed over.
    fn read_record(&mut self) -> Result<bool> {
        self.text.clear();
        loop {
            self.line += 1;
            let room = MAX_LINE.saturating_sub(self.text.len() as u64);
            let mut limited = self.reader.by_ref().take(room);
            let n = limited
                .read_line(&mut self.text)
                .map_err(|e| Error::io(&self.path, e))?;
            if n as u64 == room {
                return Err(self.error(format!("line {}: longer than {MAX_LINE} bytes", self.line)));
            }
            let open = self.text.bytes().filter(|b| *b == b'"').count() % 2 == 1
                && self.text.contains('"');
            match n {
                0 if self.text.is_empty() => return Ok(false),
                0 => return Ok(true),
                // A quote in the middle of an unquoted cell opens nothing.
                _ if open && self.quoted() => continue,
                _ if self.text.trim_matches(['\r', '\n', '\u{feff}']).is_empty() => {
                    self.text.clear()
                }
                _ => return Ok(true),
            }
        }
    }

    /// Whether the text ends within a quoted field.
    fn quoted(&self) -> bool {
        let mut rest = self.text.trim_start_matches('\u{feff}');
        loop {
            match field(rest, 0) {
                Ok((_, after)) => match after.strip_prefix(',') {
                    Some(next) => rest = next,
                    None => return false,
                },
                Err(problem) => return problem.ends_with("has no end"),
            }
        }
    }

    /// Calls `f` with the number and text of every cell.
    fn cells(&self, mut f: impl FnMut(usize, &str) -> Result<()>) -> Result<()> {
        let text = self.text.trim_start_matches('\u{feff}');
        let text = text.strip_suffix('\n').unwrap_or(text);
        let mut rest = text.strip_suffix('\r').unwrap_or(text);
        if !rest.contains('"') {
            return rest
                .split(',')
                .enumerate()
                .try_for_each(|(i, cell)| f(i, cell));
        }
        for i in 0.. {
            let (cell, after) = field(rest, self.line).map_err(|p| self.error(p))?;
            f(i, &cell)?;
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Reads the numbers of a record, by columns; the target's may be the number of its class.
    fn numbers(&mut self) -> Result<()> {
        let mut values = std::mem::take(&mut self.values);
        values.clear();
        let wrong = |column: usize, problem: String| {
            let name = self.headers.get(column).map_or("", String::as_str);
            self.error(format!("line {}, column `{name}`: {problem}", self.line))
        };
        let result = self.cells(|column, cell| {
            let cell = cell.trim();
            let used = column == self.target || self.features.contains(&column);
            let class = match column == self.target {
                true => self.class_names.iter().position(|n| n == cell),
                false => None,
            };
            let value = match class {
                Some(class) => class as Float,
                None if !used => 0.0,
                None if MISSING.iter().any(|m| cell.eq_ignore_ascii_case(m)) => {
                    return Err(wrong(column, format!("missing value `{cell}`")));
                }
                None if column == self.target && !self.class_names.is_empty() => {
                    let known = self.class_names.join(", ");
                    return Err(wrong(
                        column,
                        format!("expected one of {known}, got `{cell}`"),
                    ));
                }
                None => match parse_number(cell) {
                    Some(value) => Float::from(value),
                    None => return Err(wrong(column, format!("expected a number, got `{cell}`"))),
                },
            };
            values.push(value);
            Ok(())
        });
        let (want, got) = (self.headers.len(), values.len());
        self.values = values;
        result?;
        match want == got {
            true => Ok(()),
            false => Err(self.error(format!(
                "line {}: expected {want} fields, got {got}",
                self.line
            ))),
        }
    }
}

impl Dataset for CsvDataset {
    fn begin(&mut self, _pass: Pass) -> Result<()> {
        if self.batch_size == 0 {
            return Err(Error::arg("batch_size", "a positive number", 0).owned_by("CsvDataset"));
        }
        self.reader.rewind().map_err(|e| Error::io(&self.path, e))?;
        self.line = 0;
        self.read_record()?;
        Ok(())
    }

    fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
        batch.reset(&self.shapes);
        while batch.len() < self.batch_size && self.read_record()? {
            self.numbers()?;
            batch.y[0].push(&[self.values[self.target]])?;
            for (out, &column) in batch.x[0].add().iter_mut().zip(&self.features) {
                *out = self.values[column];
            }
        }
        Ok(!batch.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Tabular;

    #[test]
    fn as_the_table_reads_it() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.csv");
        let table = Tabular::from_csv(file, "digit").unwrap();
        let mut data = CsvDataset::open(file, "digit").unwrap().batch_size(1000);
        let mut batch = Minibatch::default();
        for _ in 0..2 {
            data.begin(Pass::IN_ORDER).unwrap();
            let (mut x, mut y) = (vec![], vec![]);
            while data.next(&mut batch).unwrap() {
                x.extend_from_slice(batch.x[0].data());
                y.extend_from_slice(batch.y[0].data());
            }
            let same = |read: &[Float], table: &ndarray::Array2<f32>| {
                read.len() == table.len()
                    && read.iter().zip(table).all(|(a, b)| *a == Float::from(*b))
            };
            assert!(same(&x, &table.x) && same(&y, &table.y));
        }
    }

    #[test]
    fn quotes_classes_and_mistakes() {
        let path = std::env::temp_dir().join(format!("oxhorn-stream-{}.csv", std::process::id()));
        let open = |text: &str| {
            std::fs::write(&path, text).unwrap();
            CsvDataset::open(&path, "k").map(|d| d.class_names(&["a, b", "c\nd"]))
        };
        let mut batch = Minibatch::default();
        let mut read = |text: &str| -> Result<(Vec<Float>, Vec<Float>)> {
            let mut data = open(text)?;
            data.begin(Pass::IN_ORDER)?;
            data.next(&mut batch)?;
            Ok((batch.x[0].data().to_vec(), batch.y[0].data().to_vec()))
        };
        let (x, y) = read("\u{feff}\"x\",k\r\n1,\"c\nd\"\r\n\r\n\"2\",\"a, b\"").unwrap();
        assert_eq!((x, y), (vec![1.0, 2.0], vec![1.0, 0.0]));
        let mut error = |text: &str| read(text).unwrap_err().to_string();
        assert!(error("").contains("the file is empty"));
        assert!(error("x,x\n").contains("column 2 has no name of its own"));
        assert!(error("x,y\n1,2\n").contains("unknown column"));
        assert!(error("k\n1\n").contains("no column beside"));
        assert!(error("x,k\n1,z\n").contains("line 2, column `k`: expected one of"));
        assert!(error("x,k\n,\"a, b\"\n").contains("missing value"));
        assert!(error("x,k\nq,\"a, b\"\n").contains("expected a number, got `q`"));
        assert!(error("x,k\n1\n").contains("expected 2 fields, got 1"));
        assert!(error("x,k\n1,\"a").contains("no end"));
        std::fs::remove_file(&path).unwrap();
    }
}
