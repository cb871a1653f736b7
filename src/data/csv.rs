//! A reader for CSV files with a header line: commas, `"quoted fields"` with `""` for a quote, LF or CRLF.
//!
//! Nothing is guessed: a missing value, a row that is too short or a word among numbers is an error with line and column.

use std::{collections::HashSet, path::Path};

use crate::error::{Error, Result};

/// A table of text, as it stands in the file.
///
/// ```
/// use oxhorn::data::Table;
///
/// let table = Table::parse("size,kind\n1.5,\"cat, wild\"\n2.5,bird\n3,cat\n")?;
/// assert_eq!(table.headers(), ["size", "kind"]);
/// assert_eq!(table.numeric("size")?, [1.5, 2.5, 3.0]);
///
/// let (labels, classes) = table.labels("kind")?;
/// assert_eq!(classes, ["bird", "cat", "cat, wild"]);
/// assert_eq!(labels, [2, 0, 1]);
///
/// let error = table.numeric("kind").unwrap_err().to_string();
/// assert_eq!(error, "csv: line 2, column `kind`: expected a number, got `cat, wild`");
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    source: String,
    headers: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq)]
struct Row {
    /// Line on which the row begins, from 1.
    line: usize,
    cells: Vec<String>,
}

impl Table {
    /// Reads a file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let source = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse_named(&text, source),
            Err(e) => {
                let at = e.utf8_error().valid_up_to();
                Err(Error::data(source, format!("byte {at} is not UTF-8")))
            }
        }
    }

    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_named(text, "csv".into())
    }

    /// `source` is what errors call the text. Lines with nothing on them are skipped.
    pub(crate) fn parse_named(text: &str, source: String) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let records = records(text).map_err(|problem| Error::data(&source, problem))?;
        let mut records = records.into_iter();
        let Some(Row {
            line,
            cells: headers,
        }) = records.next()
        else {
            return Err(Error::data(source, "the file is empty"));
        };
        let problem = |problem: String| Err(Error::data(&source, problem));
        let mut seen = HashSet::new();
        for (i, header) in headers.iter().enumerate() {
            if header.is_empty() {
                return problem(format!("line {line}: column {} has no name", i + 1));
            }
            if !seen.insert(header) {
                return problem(format!("line {line}: two columns are called `{header}`"));
            }
        }
        let rows: Vec<Row> = records.collect();
        if rows.is_empty() {
            return problem("there is a header but no row".into());
        }
        for Row { line, cells } in &rows {
            let (want, got) = (headers.len(), cells.len());
            if got != want {
                return problem(format!("line {line}: expected {want} fields, got {got}"));
            }
        }
        Ok(Self {
            source,
            headers,
            rows,
        })
    }

    /// Names of the columns.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// Number of rows, without the header.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Never: a table without rows is an error already.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The cells of a column.
    pub fn text(&self, column: &str) -> Result<Vec<&str>> {
        let cells = self.cells(column)?;
        cells.map(|(_, cell)| cell).collect()
    }

    /// The cells of column number `column`, those with nothing in them too.
    pub(crate) fn column(&self, column: usize) -> impl Iterator<Item = &str> {
        self.rows.iter().map(move |row| row.cells[column].as_str())
    }

    /// A column of numbers.
    pub fn numeric(&self, column: &str) -> Result<Vec<f32>> {
        let number = |(line, cell): (usize, Result<&str>)| {
            let cell = cell?;
            let wrong = || self.wrong(line, column, &format!("expected a number, got `{cell}`"));
            parse_number(cell).ok_or_else(wrong)
        };
        self.cells(column)?.map(number).collect()
    }

    /// The class of each row, and the names of the classes in sorted order.
    pub fn labels(&self, column: &str) -> Result<(Vec<u32>, Vec<String>)> {
        let cells = self.text(column)?;
        let mut classes = cells.clone();
        classes.sort_unstable();
        classes.dedup();
        let label = |cell: &&str| classes.partition_point(|class| class < cell) as u32;
        let labels = cells.iter().map(label).collect();
        Ok((labels, classes.into_iter().map(str::to_string).collect()))
    }

    /// Whether a column holds numbers (`true`) or words (`false`); an error where it holds both.
    pub fn is_numeric(&self, column: &str) -> Result<bool> {
        let mut first = None;
        for (line, cell) in self.cells(column)? {
            let cell = cell?;
            let numeric = parse_number(cell).is_some();
            if *first.get_or_insert(numeric) != numeric {
                let want = if numeric { "a word" } else { "a number" };
                let problem = format!("expected {want} as in the rows before, got `{cell}`");
                return Err(self.wrong(line, column, &problem));
            }
        }
        Ok(first == Some(true))
    }

    /// The table without these columns: row numbers, names, anything that must not be learnt from.
    pub fn without(mut self, columns: &[&str]) -> Result<Self> {
        for column in columns {
            let index = self.index(column)?;
            self.headers.remove(index);
            for row in &mut self.rows {
                row.cells.remove(index);
            }
        }
        Ok(self)
    }

    /// What errors call this table.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    fn index(&self, column: &str) -> Result<usize> {
        let unknown =
            || Error::unknown(&format!("column of {}", self.source), column, &self.headers);
        let mut headers = self.headers.iter();
        headers.position(|h| h == column).ok_or_else(unknown)
    }

    /// Line and text of each cell of a column; a missing value is an error.
    fn cells<'t>(&'t self, column: &str) -> Result<impl Iterator<Item = (usize, Result<&'t str>)>> {
        let index = self.index(column)?;
        Ok(self.rows.iter().map(move |row| {
            let cell = row.cells[index].trim();
            let missing = MISSING.iter().any(|m| cell.eq_ignore_ascii_case(m));
            let cell = match missing {
                true => Err(self.wrong(row.line, column, &format!("missing value `{cell}`"))),
                false => Ok(cell),
            };
            (row.line, cell)
        }))
    }

    fn wrong(&self, line: usize, column: &str, problem: &str) -> Error {
        Error::data(
            &self.source,
            format!("line {line}, column `{column}`: {problem}"),
        )
    }
}

/// What stands for a missing value, in any case.
pub(super) const MISSING: [&str; 6] = ["", "na", "n/a", "nan", "null", "?"];

/// A number that f32 can hold.
pub(super) fn parse_number(cell: &str) -> Option<f32> {
    cell.parse().ok().filter(|x: &f32| x.is_finite())
}

/// Splits into rows and fields.
fn records(text: &str) -> std::result::Result<Vec<Row>, String> {
    let mut rows = vec![];
    let mut cells: Vec<String> = vec![];
    let (mut line, mut start) = (1, 1);
    let mut rest = text;
    while !rest.is_empty() {
        let (cell, after) = field(rest, line)?;
        line += rest[..rest.len() - after.len()].matches('\n').count();
        cells.push(cell);
        if let Some(next) = after.strip_prefix(',') {
            rest = next;
            // A comma at the very end: one more, empty field.
            if !rest.is_empty() {
                continue;
            }
            cells.push(String::new());
        } else {
            let after = after.strip_prefix('\r').unwrap_or(after);
            rest = after.strip_prefix('\n').unwrap_or(after);
        }
        let cells = std::mem::take(&mut cells);
        if cells != [""] {
            rows.push(Row { line: start, cells });
        }
        line += 1;
        start = line;
    }
    Ok(rows)
}

/// One field and what follows it: a comma, the end of the line or the end of the text.
pub(super) fn field(text: &str, line: usize) -> std::result::Result<(String, &str), String> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let cell = text[..end].strip_suffix('\r').unwrap_or(&text[..end]);
        return Ok((cell.to_string(), &text[cell.len()..]));
    };
    let mut cell = String::new();
    loop {
        let Some(quote) = rest.find('"') else {
            return Err(format!("line {line}: a quoted field has no end"));
        };
        cell.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => break,
        }
    }
    match rest.is_empty() || rest.starts_with([',', '\n']) || rest.starts_with("\r\n") {
        true => Ok((cell, rest)),
        false => Err(format!("line {line}: there is text behind a quoted field")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Table::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn quotes_line_ends_and_blank_lines() {
        let text = "\u{feff}a,b\r\n\"1\r\n2\",\"say \"\"hi\"\"\"\r\n\r\n x , \"y\r\n3,\"\"\"\"";
        let table = Table::parse(text).unwrap();
        assert_eq!(table.headers(), ["a", "b"]);
        assert_eq!(table.len(), 3);
        assert_eq!(table.text("a").unwrap(), ["1\r\n2", "x", "3"]);
        assert_eq!(table.text("b").unwrap(), ["say \"hi\"", "\"y", "\""]);
        assert_eq!(
            table.rows.iter().map(|r| r.line).collect::<Vec<_>>(),
            [2, 5, 6]
        );
    }

    #[test]
    fn broken_files() {
        assert_eq!(error(""), "csv: the file is empty");
        assert_eq!(error("\n\r\n"), "csv: the file is empty");
        assert_eq!(error("a,b\n"), "csv: there is a header but no row");
        assert_eq!(
            error("a,b\n1,2\n3\n"),
            "csv: line 3: expected 2 fields, got 1"
        );
        assert_eq!(error("a,b\n1,2,"), "csv: line 2: expected 2 fields, got 3");
        assert_eq!(
            error("a,a\n1,2\n"),
            "csv: line 1: two columns are called `a`"
        );
        assert_eq!(error(",a\n1,2\n"), "csv: line 1: column 1 has no name");
        assert_eq!(error("a\n\"1"), "csv: line 2: a quoted field has no end");
        assert_eq!(
            error("a\n\"1\"2\n"),
            "csv: line 2: there is text behind a quoted field"
        );
        assert!(matches!(
            Table::read("no such file.csv"),
            Err(Error::Io { .. })
        ));
    }

    #[test]
    fn broken_values() {
        let table = Table::parse("a,b,c\n1,x,1e99\n,7,2\n").unwrap();
        let error = |e: Error| e.to_string();
        assert_eq!(
            error(table.numeric("a").unwrap_err()),
            "csv: line 3, column `a`: missing value ``"
        );
        assert_eq!(
            error(table.is_numeric("b").unwrap_err()),
            "csv: line 3, column `b`: expected a word as in the rows before, got `7`"
        );
        assert!(error(table.numeric("c").unwrap_err()).contains("got `1e99`"));
        assert_eq!(
            error(table.numeric("d").unwrap_err()),
            "unknown column of csv `d` (did you mean `a`?); known: a, b, c"
        );
    }

    #[test]
    fn columns_can_be_left_out() {
        let table = Table::parse("id,a,b\n1,2,3\n").unwrap();
        let rest = table.clone().without(&["id", "b"]).unwrap();
        assert_eq!(rest.headers(), ["a"]);
        assert_eq!(rest.numeric("a").unwrap(), [2.0]);
        assert!(table.without(&["x"]).is_err());
    }
}
