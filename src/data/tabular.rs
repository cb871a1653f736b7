//! Features and targets that belong together.

use std::{collections::BTreeMap, path::Path};

use ndarray::{Array2, Axis};

use super::{
    Standardizer, Table,
    split::stratify,
    utils::{test_rows, to_categorical, train_test_split},
};
use crate::{
    error::{Error, Result},
    random::Seed,
};

/// Rows of features `x` and targets `y`.
///
/// ```
/// use oxhorn::{data::datasets, random::Seed};
///
/// let (train, test) = datasets::breast_cancer()?.standardized().split(0.2, Seed(7))?;
/// assert_eq!(train.x.dim(), (455, 30));
/// assert_eq!(test.y.dim(), (114, 1));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tabular {
    /// Features `(rows, features)`.
    pub x: Array2<f32>,
    /// Targets `(rows, 1)`: numbers or classes from 0; after [`Tabular::one_hot`] `(rows, classes)`.
    pub y: Array2<f32>,
    /// Names of the columns of `x`.
    pub feature_names: Vec<String>,
    /// Names of the classes, where they are known.
    pub class_names: Vec<String>,
    standardizer: Option<Standardizer>,
}

impl Tabular {
    /// The rows of both arrays; the features are called `x0`, `x1`, ...
    pub fn new(x: Array2<f32>, y: Array2<f32>) -> Result<Self> {
        if x.nrows() != y.nrows() {
            let problem = format!("x has {} rows, y has {}", x.nrows(), y.nrows());
            return Err(Error::data("dataset", problem));
        }
        if x.is_empty() || y.is_empty() {
            let problem = format!("nothing in x {:?} or y {:?}", x.dim(), y.dim());
            return Err(Error::data("dataset", problem));
        }
        for (name, array) in [("x", &x), ("y", &y)] {
            if let Some(((row, column), value)) = array.indexed_iter().find(|(_, v)| !v.is_finite())
            {
                let problem = format!("row {row}, column {column} is {value}");
                return Err(Error::data(name, problem));
            }
        }
        Ok(Self {
            feature_names: (0..x.ncols()).map(|i| format!("x{i}")).collect(),
            class_names: vec![],
            standardizer: None,
            x,
            y,
        })
    }

    /// Reads a CSV file; see [`Table::dataset`]. To leave columns out, read a [`Table`] first.
    pub fn from_csv(path: impl AsRef<Path>, target: &str) -> Result<Self> {
        Table::read(path)?.dataset(target)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.x.nrows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These rows, in this order. A row that does not exist is an error.
    ///
    /// ```
    /// use ndarray::array;
    /// use oxhorn::data::Tabular;
    ///
    /// let data = Tabular::new(array![[1.0], [2.0], [3.0]], array![[0.0], [1.0], [0.0]])?;
    /// assert_eq!(data.rows(&[2, 0])?.x, array![[3.0], [1.0]]);
    /// assert!(data.rows(&[3]).is_err());
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    pub fn rows(&self, rows: &[u32]) -> Result<Self> {
        let rows: Vec<usize> = rows.iter().map(|&row| row as usize).collect();
        if let Some(row) = rows.iter().find(|&&row| row >= self.len()) {
            let want = format!("rows below {}", self.len());
            return Err(Error::arg("rows", want, row).owned_by("Tabular"));
        }
        Ok(Self {
            x: self.x.select(Axis(0), &rows),
            y: self.y.select(Axis(0), &rows),
            feature_names: self.feature_names.clone(),
            class_names: self.class_names.clone(),
            standardizer: self.standardizer.clone(),
        })
    }

    /// The classes in `y` as rows with one 1; as many columns as there are class names, or as the largest class says.
    ///
    /// ```
    /// use oxhorn::data::datasets;
    ///
    /// let data = datasets::breast_cancer()?.one_hot()?;
    /// assert_eq!(data.y.dim(), (569, 2));
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    pub fn one_hot(mut self) -> Result<Self> {
        if self.y.ncols() != 1 {
            return Err(Error::shape("one column", self.y.ncols()).owned_by("y"));
        }
        let named = Some(self.class_names.len()).filter(|&n| n > 0);
        self.y = to_categorical(&self.y, named)?;
        Ok(self)
    }

    /// Every feature with mean 0 and standard deviation 1, taken over all rows of this set.
    ///
    /// Convenient, and it leaks: if you split afterwards, the test rows had a part in mean and scale. With hundreds of rows
    /// that changes little; to be strict, split first:
    ///
    /// ```
    /// use oxhorn::{data::datasets, random::Seed};
    ///
    /// let (train, test) = datasets::breast_cancer()?.split(0.2, Seed(7))?;
    /// let train = train.standardized();
    /// let test = test.standardized_like(&train)?;
    /// assert!(train.x.column(0).mean().unwrap().abs() < 1e-5);
    /// assert!(test.x.column(0).mean().unwrap().abs() > 1e-5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    pub fn standardized(self) -> Self {
        match Standardizer::fit(&self.x) {
            Ok(standardizer) => self.transformed(&standardizer),
            // No rows: nothing to change.
            Err(_) => self,
        }
    }

    /// With the mean and scale of another set, usually the training rows. An error if that one is not standardised.
    pub fn standardized_like(self, train: &Tabular) -> Result<Self> {
        let Some(standardizer) = &train.standardizer else {
            let problem = "the training set is not standardised; call `standardized()` on it first";
            return Err(Error::data("standardized_like", problem));
        };
        standardizer.transform(&self.x)?;
        Ok(self.transformed(standardizer))
    }

    /// What brings new rows into the form of `x`, if this set is standardised.
    pub fn standardizer(&self) -> Option<&Standardizer> {
        self.standardizer.as_ref()
    }

    /// A random `test_fraction` of the rows apart from the others: `(train, test)`.
    pub fn split(&self, test_fraction: f64, seed: Seed) -> Result<(Self, Self)> {
        let (train, test) = train_test_split(self.len(), test_fraction, seed)?;
        Ok((self.rows(&train)?, self.rows(&test)?))
    }

    /// Like [`Tabular::split`], with every class in the test set to within one row of its share.
    ///
    /// ```
    /// use oxhorn::{data::datasets, random::Seed};
    ///
    /// // 357 of 569 are benign, so 71.4 of a fifth are.
    /// let (_, test) = datasets::breast_cancer()?.split_stratified(0.2, Seed(7))?;
    /// assert_eq!(test.len(), 114);
    /// assert_eq!(test.y.sum(), 71.0);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    pub fn split_stratified(&self, test_fraction: f64, seed: Seed) -> Result<(Self, Self)> {
        let count = test_rows(self.len(), test_fraction)?;
        let mut classes = self.rows_of_classes()?;
        let (train, test) = stratify(&mut classes, count, test_fraction, seed);
        Ok((self.rows(&train)?, self.rows(&test)?))
    }

    /// The rows of each class, that is of each distinct row of `y`.
    fn rows_of_classes(&self) -> Result<Vec<Vec<u32>>> {
        let mut classes: BTreeMap<Vec<u32>, Vec<u32>> = BTreeMap::new();
        for (row, y) in (0..).zip(self.y.rows()) {
            // Adding 0 makes -0 and 0 one class.
            let key = y.iter().map(|v| (v + 0.0).to_bits()).collect();
            classes.entry(key).or_default().push(row);
        }
        match classes.values().find(|rows| rows.len() < 2) {
            Some(rows) => {
                let y = self.y.row(rows[0] as usize);
                let problem = format!(
                    "the class {y} has a single row and cannot be on both sides; for a target of numbers use `split`"
                );
                Err(Error::data("split_stratified", problem))
            }
            None => Ok(classes.into_values().collect()),
        }
    }

    /// Widths fit.
    fn transformed(mut self, standardizer: &Standardizer) -> Self {
        if let Ok(x) = standardizer.transform(&self.x) {
            self.x = x;
            self.standardizer = Some(match &self.standardizer {
                Some(first) => first.then(standardizer),
                None => standardizer.clone(),
            });
        }
        self
    }
}

/// More distinct words than this in a column are names or free text, not categories.
const MAX_CATEGORIES: usize = 1000;

impl Table {
    /// One column as the target, all others as features.
    ///
    /// A column of words becomes one feature `column=word` of 0 and 1 for each word; a target of words becomes classes in
    /// sorted order.
    ///
    /// ```
    /// use ndarray::array;
    /// use oxhorn::data::Table;
    ///
    /// let data = Table::parse("size,colour,kind\n1.5,red,cat\n2.5,blue,bird\n3,red,cat\n")?.dataset("kind")?;
    /// assert_eq!(data.feature_names, ["size", "colour=blue", "colour=red"]);
    /// assert_eq!(data.x, array![[1.5, 0.0, 1.0], [2.5, 1.0, 0.0], [3.0, 0.0, 1.0]]);
    /// assert_eq!(data.class_names, ["bird", "cat"]);
    /// assert_eq!(data.y, array![[1.0], [0.0], [1.0]]);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    pub fn dataset(&self, target: &str) -> Result<Tabular> {
        let (y, class_names) = match self.is_numeric(target)? {
            true => (self.numeric(target)?, vec![]),
            false => {
                let (labels, classes) = self.labels(target)?;
                (
                    labels.into_iter().map(|label| label as f32).collect(),
                    classes,
                )
            }
        };
        let (mut columns, mut feature_names) = (vec![], vec![]);
        for column in self.headers().iter().filter(|&header| header != target) {
            if self.is_numeric(column)? {
                columns.push(self.numeric(column)?);
                feature_names.push(column.clone());
                continue;
            }
            let (labels, words) = self.labels(column)?;
            if words.len() > MAX_CATEGORIES {
                let problem = format!(
                    "column `{column}` has {} different words, too many for categories; leave it out with `without`",
                    words.len()
                );
                return Err(Error::data(self.source(), problem));
            }
            for (class, word) in (0..).zip(words) {
                let flag = |&label: &u32| if label == class { 1.0 } else { 0.0 };
                columns.push(labels.iter().map(flag).collect());
                feature_names.push(format!("{column}={word}"));
            }
        }
        if columns.is_empty() {
            let problem = format!("there is no column beside the target `{target}`");
            return Err(Error::data(self.source(), problem));
        }
        let x = Array2::from_shape_fn((self.len(), columns.len()), |(row, column)| {
            columns[column][row]
        });
        let y = Array2::from_shape_fn((self.len(), 1), |(row, _)| y[row]);
        Ok(Tabular {
            feature_names,
            class_names,
            ..Tabular::new(x, y)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// `sizes[c]` rows of class c; the feature is the number of the row.
    fn classes(sizes: &[usize]) -> Tabular {
        let y: Vec<f32> = (0..sizes.len())
            .flat_map(|c| vec![c as f32; sizes[c]])
            .collect();
        let x = Array2::from_shape_fn((y.len(), 1), |(row, _)| row as f32);
        Tabular::new(x, Array2::from_shape_vec((y.len(), 1), y).unwrap()).unwrap()
    }

    fn count(data: &Tabular, class: usize) -> usize {
        data.y.iter().filter(|&&y| y == class as f32).count()
    }

    #[test]
    fn a_split_keeps_rows_together_and_loses_none() {
        let data = classes(&[30, 20, 7]);
        for seed in 0..20 {
            for (train, test) in [
                data.split(0.3, Seed(seed)).unwrap(),
                data.split_stratified(0.3, Seed(seed)).unwrap(),
            ] {
                assert_eq!((train.len(), test.len()), (40, 17));
                let mut seen: Vec<usize> = vec![];
                for part in [&train, &test] {
                    for (x, y) in part.x.iter().zip(&part.y) {
                        assert_eq!(*y, data.y[[*x as usize, 0]]);
                        seen.push(*x as usize);
                    }
                }
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..57));
            }
        }
        assert_eq!(
            data.split(0.3, Seed(1)).unwrap(),
            data.split(0.3, Seed(1)).unwrap()
        );
        assert_ne!(
            data.split(0.3, Seed(1)).unwrap(),
            data.split(0.3, Seed(2)).unwrap()
        );
    }

    #[test]
    fn stratified_classes_keep_their_share() {
        for sizes in [
            &[30, 20, 7][..],
            &[2, 2, 2, 2],
            &[100, 3],
            &[11, 11, 11, 11, 11, 11],
        ] {
            let data = classes(sizes);
            for fraction in [0.1, 0.25, 0.29, 0.5, 0.8] {
                let Ok((train, test)) = data.split_stratified(fraction, Seed(3)) else {
                    assert!(test_rows(data.len(), fraction).is_err());
                    continue;
                };
                for (class, &size) in sizes.iter().enumerate() {
                    let want = size as f64 * fraction;
                    assert!((count(&test, class) as f64 - want).abs() <= 1.0);
                    assert_eq!(count(&test, class) + count(&train, class), size);
                }
            }
        }
        let error = classes(&[5, 1]).split_stratified(0.5, Seed(0)).unwrap_err();
        assert!(error.to_string().contains("the class [1] has a single row"));
        // One-hot targets are classes too.
        let (_, test) = classes(&[6, 4])
            .one_hot()
            .unwrap()
            .split_stratified(0.5, Seed(0))
            .unwrap();
        assert_eq!(test.y.sum_axis(Axis(0)), array![3.0, 2.0]);
    }

    #[test]
    fn the_standardizer_is_kept() {
        let raw = classes(&[3, 3]);
        let once = raw.clone().standardized();
        let again = once.clone().standardized();
        for set in [&once, &again] {
            let (train, _) = set.split(0.5, Seed(0)).unwrap();
            let z = train.standardizer().unwrap().transform(&raw.x).unwrap();
            assert!((z - &set.x).iter().all(|d| d.abs() < 1e-6));
        }
        let like = raw.clone().standardized_like(&once).unwrap();
        assert_eq!(like, once);
        assert!(raw.clone().standardized_like(&raw).is_err());
    }

    #[test]
    fn mistakes() {
        let message = |x, y| Tabular::new(x, y).unwrap_err().to_string();
        assert_eq!(
            message(array![[1.0]], array![[1.0], [2.0]]),
            "dataset: x has 1 rows, y has 2"
        );
        assert_eq!(
            message(array![[1.0, f32::NAN]], array![[1.0]]),
            "x: row 0, column 1 is NaN"
        );
        assert!(message(Array2::zeros((0, 2)), Array2::zeros((0, 1))).contains("nothing in x"));
        let table = Table::parse("a,b\n1,2\n3,4\n").unwrap();
        let error = table.dataset("bb").unwrap_err().to_string();
        assert!(error.contains("did you mean `b`?"));
        let alone = Table::parse("a\n1\n2\n").unwrap().dataset("a").unwrap_err();
        assert!(alone.to_string().contains("no column beside the target"));
        assert!(classes(&[2, 2]).one_hot().unwrap().one_hot().is_err());
    }
}
