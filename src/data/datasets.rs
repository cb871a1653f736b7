//! Data that comes with the crate.

use super::{Table, Tabular};
use crate::error::Result;

/// Breast Cancer Wisconsin (Diagnostic): 569 tumours, 30 measurements of their cell nuclei, `y` is 1 for benign and 0 for
/// malignant.
///
/// From the UCI Machine Learning Repository (W. Wolberg, O. Mangasarian, N. Street, W. Street, 1993), CC BY 4.0.
///
/// ```
/// use oxhorn::data::datasets;
///
/// let data = datasets::breast_cancer()?;
/// assert_eq!(data.x.dim(), (569, 30));
/// assert_eq!(data.feature_names[0], "mean_radius");
/// assert_eq!(data.class_names, ["malignant", "benign"]);
/// assert_eq!(data.y.sum(), 357.0);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub fn breast_cancer() -> Result<Tabular> {
    let text = include_str!("../../examples/data/breast_cancer.csv");
    let mut data = Table::parse_named(text, "breast_cancer.csv".into())?.dataset("benign")?;
    data.class_names = vec!["malignant".into(), "benign".into()];
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_the_examples_can_be_read() {
        let path = |name: &str| format!("{}/examples/data/{name}.csv", env!("CARGO_MANIFEST_DIR"));
        let diabetes = Tabular::from_csv(path("diabetes"), "progression").unwrap();
        assert_eq!(diabetes.x.dim(), (442, 10));
        assert_eq!(diabetes.y[[0, 0]], 151.0);
        let digits = Tabular::from_csv(path("digits"), "digit").unwrap();
        assert_eq!(digits.x.dim(), (1797, 64));
        assert_eq!(digits.one_hot().unwrap().y.dim(), (1797, 10));
    }
}
