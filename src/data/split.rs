//! Splits of the rows of data, and cross-validation. Rows are numbers; `Tabular::rows` and `Batched::select` take them.

use std::collections::HashMap;
use std::hash::Hash;

use super::utils::test_rows;
use crate::error::{Error, Result};
use crate::random::{Rng, Seed};

/// The first rows and the last `test_fraction` of them, not shuffled: what comes later is the test.
///
/// ```
/// use oxhorn::data::split::train_test_split_ordered;
/// assert_eq!(train_test_split_ordered(5, 0.4)?, (vec![0, 1, 2], vec![3, 4]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If the fraction is not within 0 and 1, or leaves a side empty.
pub fn train_test_split_ordered(rows: usize, test_fraction: f64) -> Result<(Vec<u32>, Vec<u32>)> {
    let middle = (rows - test_rows(rows, test_fraction)?) as u32;
    Ok(((0..middle).collect(), (middle..rows as u32).collect()))
}

/// A random choice of `test_fraction` of the rows, in which every class (every distinct label) has its share to within one row.
///
/// ```
/// use oxhorn::{data::split::train_test_split_stratified, random::Seed};
/// let labels = ["a", "a", "a", "a", "a", "a", "b", "b", "b"];
/// let (train, test) = train_test_split_stratified(&labels, 1.0 / 3.0, Seed(7))?;
/// assert_eq!((train.len(), test.len()), (6, 3));
/// assert_eq!(test.iter().filter(|&&row| labels[row as usize] == "b").count(), 1);
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// As [`train_test_split_ordered`], or if a class has a single row.
pub fn train_test_split_stratified<L: Eq + Hash>(
    labels: &[L],
    test_fraction: f64,
    seed: Seed,
) -> Result<(Vec<u32>, Vec<u32>)> {
    let mut classes = rows_by(labels);
    if let Some(class) = classes.iter().find(|rows| rows.len() < 2) {
        let problem = format!("the class of row {} has no other row", class[0]);
        return Err(Error::data("stratified split", problem));
    }
    let count = test_rows(labels.len(), test_fraction)?;
    Ok(stratify(&mut classes, count, test_fraction, seed))
}

/// A random choice of `test_fraction` of the groups (rounded up, as scikit-learn does): all rows of a group are on one side.
///
/// ```
/// use oxhorn::{data::split::train_test_split_grouped, random::Seed};
/// let patients = [7, 7, 8, 9, 9, 9];
/// let (train, test) = train_test_split_grouped(&patients, 0.3, Seed(1))?;
/// assert_eq!(train.len() + test.len(), 6);
/// assert!(test.iter().all(|&row| patients[row as usize] == patients[test[0] as usize]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// As [`train_test_split_ordered`], of groups.
pub fn train_test_split_grouped<G: Eq + Hash>(
    groups: &[G],
    test_fraction: f64,
    seed: Seed,
) -> Result<(Vec<u32>, Vec<u32>)> {
    let groups = rows_by(groups);
    if !(test_fraction > 0.0 && test_fraction < 1.0) {
        let error = Error::arg("test_fraction", "a number between 0 and 1", test_fraction);
        return Err(error.owned_by("split"));
    }
    let count = (groups.len() as f64 * test_fraction).ceil() as usize;
    if count == 0 || count >= groups.len() {
        let problem = format!(
            "{test_fraction} of {} groups leaves one side empty",
            groups.len()
        );
        return Err(Error::data("split", problem));
    }
    let order = Rng::new(seed.0).permutation(groups.len());
    let side = |part: &[u32]| {
        let mut rows: Vec<u32> = part
            .iter()
            .flat_map(|&g| groups[g as usize].clone())
            .collect();
        rows.sort_unstable();
        rows
    };
    Ok((side(&order[count..]), side(&order[..count])))
}

/// The rows of each distinct label, in the order in which the labels first appear.
fn rows_by<L: Eq + Hash>(labels: &[L]) -> Vec<Vec<u32>> {
    let (mut places, mut rows) = (HashMap::new(), Vec::<Vec<u32>>::new());
    for (row, label) in labels.iter().enumerate() {
        let place = *places.entry(label).or_insert(rows.len());
        if place == rows.len() {
            rows.push(vec![]);
        }
        rows[place].push(row as u32);
    }
    rows
}

/// `count` test rows, of each class its share; both sides in random order.
pub(super) fn stratify(
    classes: &mut [Vec<u32>],
    count: usize,
    test_fraction: f64,
    seed: Seed,
) -> (Vec<u32>, Vec<u32>) {
    let shares = shares(classes, count, test_fraction);
    let mut rng = Rng::new(seed.0);
    let (mut train, mut test) = (vec![], vec![]);
    for (rows, share) in classes.iter_mut().zip(shares) {
        rng.shuffle(rows);
        test.extend_from_slice(&rows[..share]);
        train.extend_from_slice(&rows[share..]);
    }
    rng.shuffle(&mut train);
    rng.shuffle(&mut test);
    (train, test)
}

/// Test rows of each class: its share rounded down, and one more for those that lost most by that.
fn shares(classes: &[Vec<u32>], count: usize, test_fraction: f64) -> Vec<usize> {
    let exact: Vec<f64> = classes
        .iter()
        .map(|rows| rows.len() as f64 * test_fraction)
        .collect();
    let mut shares: Vec<usize> = exact.iter().map(|share| share.floor() as usize).collect();
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let missing = count.saturating_sub(shares.iter().sum());
    for &class in order.iter().take(missing) {
        shares[class] += 1;
    }
    shares
}

/// One part of a cross-validation: the rows to train on and those to test with, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Rows to train on.
    pub train: Vec<u32>,
    /// Rows to test with.
    pub test: Vec<u32>,
}

/// Runs a closure for every fold: Its arguments are the number of the fold and the fold, its results are collected.
///
/// ```
/// use oxhorn::{data::split::{KFold, cross_validate}, prelude::*};
///
/// let data = datasets::breast_cancer()?;
/// let folds = KFold::new(5).shuffle(Seed(1)).split(data.len())?;
/// let scores = cross_validate(&folds, |_, fold| {
///     let train = data.rows(&fold.train)?.standardized();
///     let test = data.rows(&fold.test)?.standardized_like(&train)?;
///     let mut model = Sequential::new().seed(0).input([30]).add(Dense::new(1).activation("sigmoid"));
///     model.compile(Adam::new(0.02), "binary_crossentropy", ["accuracy"])?;
///     model.fit(&train.x, &train.y, Fit::epochs(8).verbose(0))?;
///     Ok(model.evaluate(&test.x, &test.y)?.get("accuracy").unwrap())
/// })?;
/// assert_eq!(scores.len(), 5);
/// assert!(scores.iter().sum::<f64>() / 5.0 > 0.95);
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// The first of the closure.
pub fn cross_validate<T>(
    folds: &[Fold],
    mut f: impl FnMut(usize, &Fold) -> Result<T>,
) -> Result<Vec<T>> {
    let run = |(i, fold)| f(i, fold);
    folds.iter().enumerate().map(run).collect()
}

/// Folds of equal sizes, the first ones larger by one where they do not come out even: scikit-learn's `KFold`.
///
/// ```
/// use oxhorn::data::split::KFold;
/// let folds = KFold::new(3).split(7)?;
/// assert_eq!(folds[0].test, [0, 1, 2]);
/// assert_eq!((&folds[1].test[..], &folds[1].train[..]), (&[3, 4][..], &[0, 1, 2, 5, 6][..]));
/// assert!(KFold::new(8).split(7).is_err());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KFold {
    n_splits: usize,
    shuffle: Option<Seed>,
}

impl KFold {
    /// So many folds, of rows that lie beside each other.
    pub fn new(n_splits: usize) -> Self {
        KFold {
            n_splits,
            shuffle: None,
        }
    }

    /// Of rows in random order.
    pub fn shuffle(mut self, seed: Seed) -> Self {
        self.shuffle = Some(seed);
        self
    }

    /// The folds of so many rows.
    ///
    /// # Errors
    /// If there are fewer than two folds, or fewer rows than folds.
    pub fn split(&self, rows: usize) -> Result<Vec<Fold>> {
        check_splits(self.n_splits, rows, "rows")?;
        let mut fold_of = vec![0; rows];
        let mut start = 0;
        let order = order(rows, self.shuffle);
        for fold in 0..self.n_splits {
            let end = start + rows / self.n_splits + usize::from(fold < rows % self.n_splits);
            order[start..end]
                .iter()
                .for_each(|&r| fold_of[r as usize] = fold);
            start = end;
        }
        Ok(folds(&fold_of, self.n_splits))
    }
}

/// Folds in which every class (every distinct label) has its share: scikit-learn's `StratifiedKFold`.
///
/// ```
/// use oxhorn::data::split::StratifiedKFold;
/// let folds = StratifiedKFold::new(2).split(&[0, 0, 1, 1, 1, 1])?;
/// assert_eq!((&folds[0].test[..], &folds[1].test[..]), (&[0, 2, 3][..], &[1, 4, 5][..]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StratifiedKFold(KFold);

impl StratifiedKFold {
    /// So many folds, of the rows of each class in their order.
    pub fn new(n_splits: usize) -> Self {
        StratifiedKFold(KFold::new(n_splits))
    }

    /// Of the rows of each class in random order.
    pub fn shuffle(mut self, seed: Seed) -> Self {
        self.0.shuffle = Some(seed);
        self
    }

    /// The folds of the rows with these labels.
    ///
    /// # Errors
    /// As [`KFold::split`], or if every class has fewer rows than there are folds.
    pub fn split<L: Eq + Hash>(&self, labels: &[L]) -> Result<Vec<Fold>> {
        let k = self.0.n_splits;
        check_splits(k, labels.len(), "rows")?;
        let classes = rows_by(labels);
        let largest = classes.iter().map(Vec::len).max().unwrap_or(0);
        check_splits(k, largest, "rows of a class")?;
        let mut rng = self.0.shuffle.map(|seed| Rng::new(seed.0));
        let mut fold_of = vec![0; labels.len()];
        // The classes one after the other are dealt to the folds in turn; that says how many each gets, not which.
        let mut start = 0;
        for rows in &classes {
            let mut dealt: Vec<usize> = (start..start + rows.len()).map(|i| i % k).collect();
            dealt.sort_unstable();
            start += rows.len();
            if let Some(rng) = &mut rng {
                rng.shuffle(&mut dealt);
            }
            for (&row, fold) in rows.iter().zip(dealt) {
                fold_of[row as usize] = fold;
            }
        }
        Ok(folds(&fold_of, k))
    }
}

/// Folds of about equal sizes that keep every group together: scikit-learn's `GroupKFold`. The largest groups are dealt first, each
/// to the fold that has the fewest rows; shuffled, the folds have equal numbers of groups.
///
/// ```
/// use oxhorn::data::split::GroupKFold;
/// let folds = GroupKFold::new(2).split(&["a", "a", "a", "b", "c", "c"])?;
/// assert_eq!((&folds[0].test[..], &folds[1].test[..]), (&[0, 1, 2][..], &[3, 4, 5][..]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GroupKFold(KFold);

impl GroupKFold {
    /// So many folds.
    pub fn new(n_splits: usize) -> Self {
        GroupKFold(KFold::new(n_splits))
    }

    /// Groups in random order.
    pub fn shuffle(mut self, seed: Seed) -> Self {
        self.0.shuffle = Some(seed);
        self
    }

    /// The folds of the rows of these groups.
    ///
    /// # Errors
    /// As [`KFold::split`], of groups.
    pub fn split<G: Ord + Hash>(&self, groups: &[G]) -> Result<Vec<Fold>> {
        let k = self.0.n_splits;
        let mut rows = rows_by(groups);
        check_splits(k, rows.len(), "groups")?;
        rows.sort_by(|a, b| groups[a[0] as usize].cmp(&groups[b[0] as usize]));
        let mut fold_of = vec![0; groups.len()];
        if self.0.shuffle.is_some() {
            for (fold, part) in self.0.split(rows.len())?.iter().enumerate() {
                let members = part.test.iter().flat_map(|&g| &rows[g as usize]);
                members.for_each(|&row| fold_of[row as usize] = fold);
            }
            return Ok(folds(&fold_of, k));
        }
        rows.sort_by_key(Vec::len);
        let mut sizes = vec![0; k];
        for members in rows.iter().rev() {
            let fold = (0..k).min_by_key(|&f| sizes[f]).unwrap_or(0);
            sizes[fold] += members.len();
            members.iter().for_each(|&row| fold_of[row as usize] = fold);
        }
        Ok(folds(&fold_of, k))
    }
}

fn check_splits(n_splits: usize, most: usize, what: &str) -> Result<()> {
    if n_splits < 2 || n_splits > most {
        let want = format!("2 to {most} folds, for {most} {what}");
        return Err(Error::arg("n_splits", want, n_splits).owned_by("split"));
    }
    Ok(())
}

fn order(n: usize, shuffle: Option<Seed>) -> Vec<u32> {
    match shuffle {
        Some(seed) => Rng::new(seed.0).permutation(n),
        None => (0..n as u32).collect(),
    }
}

fn folds(fold_of: &[usize], k: usize) -> Vec<Fold> {
    let rows = |keep: &dyn Fn(usize) -> bool| {
        let rows = fold_of.iter().enumerate().filter(|(_, f)| keep(**f));
        rows.map(|(row, _)| row as u32).collect()
    };
    let fold = |i| Fold {
        train: rows(&|f| f != i),
        test: rows(&|f| f == i),
    };
    (0..k).map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fold in which each row is tested; proves that the folds are a partition.
    fn tested(folds: &[Fold], n: usize) -> Vec<usize> {
        let mut of = vec![usize::MAX; n];
        for (i, fold) in folds.iter().enumerate() {
            assert!(fold.test.is_sorted() && fold.train.is_sorted());
            assert_eq!(fold.test.len() + fold.train.len(), n);
            assert!(fold.train.iter().all(|r| !fold.test.contains(r)));
            for &row in &fold.test {
                assert_eq!(std::mem::replace(&mut of[row as usize], i), usize::MAX);
            }
        }
        assert!(!of.contains(&usize::MAX));
        of
    }

    /// What scikit-learn 1.9 makes of the same.
    #[test]
    fn folds_are_those_of_scikit_learn() {
        let of = tested(&KFold::new(4).split(10).unwrap(), 10);
        assert_eq!(of, [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]);
        let y = [1, 0, 0, 1, 2, 1, 1, 0, 2, 1, 0, 2, 1];
        let of = tested(&StratifiedKFold::new(3).split(&y).unwrap(), 13);
        assert_eq!(of, STRATIFIED);
        let groups = [3, 3, 1, 2, 2, 2, 1, 5, 4, 4, 4, 4];
        let of = tested(&GroupKFold::new(3).split(&groups).unwrap(), 12);
        assert_eq!(of, GROUPED);
    }
    const STRATIFIED: [usize; 13] = [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2];
    const GROUPED: [usize; 12] = [2, 2, 2, 1, 1, 1, 2, 1, 0, 0, 0, 0];

    #[test]
    fn shuffled_folds_keep_their_promises() {
        let folds = KFold::new(3).shuffle(Seed(2)).split(20).unwrap();
        let of = tested(&folds, 20);
        assert!(!of.is_sorted());
        assert_eq!(folds, KFold::new(3).shuffle(Seed(2)).split(20).unwrap());
        let y: Vec<u8> = (0..40).map(|i| u8::from(i % 4 == 0)).collect();
        for fold in StratifiedKFold::new(5).shuffle(Seed(0)).split(&y).unwrap() {
            let ones = fold.test.iter().filter(|&&r| y[r as usize] == 1).count();
            assert_eq!((ones, fold.test.len()), (2, 8));
        }
        let groups: Vec<usize> = (0..30).map(|i| i / 4).collect();
        let of = tested(
            &GroupKFold::new(4).shuffle(Seed(3)).split(&groups).unwrap(),
            30,
        );
        assert!((0..29).all(|i| groups[i] != groups[i + 1] || of[i] == of[i + 1]));
        let (train, test) = train_test_split_grouped(&groups, 0.25, Seed(1)).unwrap();
        assert!(test.iter().all(|r| {
            train
                .iter()
                .all(|t| groups[*t as usize] != groups[*r as usize])
        }));
    }

    #[test]
    fn what_cannot_be_split() {
        assert!(KFold::new(1).split(5).is_err() && KFold::new(6).split(5).is_err());
        assert!(StratifiedKFold::new(3).split(&[0, 0, 1, 1]).is_err());
        assert!(GroupKFold::new(3).split(&[0, 0, 1, 1]).is_err());
        assert!(train_test_split_stratified(&[0, 0, 1], 0.5, Seed(0)).is_err());
        assert!(train_test_split_grouped(&[0, 0], 0.5, Seed(0)).is_err());
        assert!(train_test_split_grouped(&[0, 1], f64::NAN, Seed(0)).is_err());
        assert!(train_test_split_ordered(4, 1.0).is_err());
    }
}
