//! Confusion matrices.

use ndarray::Array2;

use super::svg::{Anchor, INK, Svg, text_width};
use crate::data::utils::Label;
use crate::error::{Error, Result};

/// How often each class was taken for which: a row for each true class, a column for each predicted one.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfusionMatrix {
    /// The counts.
    pub counts: Array2<usize>,
    /// Names of the classes.
    pub class_names: Vec<String>,
}

/// Most classes that fit a picture.
const MAX_CLASSES: usize = 1000;

/// Counts how often each class was taken for which. Without names (an empty list), the classes are named by their numbers.
///
/// ```
/// use oxhorn::plot::confusion_matrix;
/// let matrix = confusion_matrix([0, 0, 1, 1, 1], [0, 1, 1, 1, 0], &["no", "yes"])?;
/// assert_eq!(matrix.counts, ndarray::array![[1, 1], [1, 2]]);
/// assert_eq!(matrix.accuracy(), 0.6);
/// assert!(matrix.svg().to_string().contains(">yes</text>"));
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If there are not as many predictions as labels, a label is no class, or has no name.
pub fn confusion_matrix<T: Label, P: Label>(
    y_true: impl IntoIterator<Item = T>,
    y_pred: impl IntoIterator<Item = P>,
    class_names: &[&str],
) -> Result<ConfusionMatrix> {
    let truth = classes(y_true, "y_true")?;
    let predicted = classes(y_pred, "y_pred")?;
    if truth.len() != predicted.len() || truth.is_empty() {
        let want = format!("{} predictions, and at least one", truth.len());
        return Err(Error::shape(want, predicted.len()).owned_by("confusion_matrix"));
    }
    let largest = truth.iter().chain(&predicted).max().copied().unwrap_or(0);
    let n = if class_names.is_empty() {
        largest + 1
    } else {
        class_names.len()
    };
    if largest >= n || n > MAX_CLASSES {
        let want = format!("classes below {}", n.min(MAX_CLASSES));
        return Err(Error::arg("labels", want, largest).owned_by("confusion_matrix"));
    }
    let mut counts = Array2::zeros((n, n));
    for (t, p) in truth.into_iter().zip(predicted) {
        counts[[t, p]] += 1;
    }
    let class_names = match class_names {
        [] => (0..n).map(|i| i.to_string()).collect(),
        names => names.iter().map(|n| n.to_string()).collect(),
    };
    Ok(ConfusionMatrix {
        counts,
        class_names,
    })
}

fn classes<L: Label>(labels: impl IntoIterator<Item = L>, what: &str) -> Result<Vec<usize>> {
    let class = |(row, label): (usize, L)| {
        let problem = || Error::data(what, format!("row {row}: expected a class, got {label}"));
        label.index().ok_or_else(problem)
    };
    labels.into_iter().enumerate().map(class).collect()
}

impl ConfusionMatrix {
    /// The share of predictions that are right.
    pub fn accuracy(&self) -> f64 {
        self.counts.diag().sum() as f64 / self.counts.sum().max(1) as f64
    }

    /// The matrix as a picture: counts, shaded by their share of the true class.
    pub fn svg(&self) -> Svg {
        let n = self.counts.nrows();
        let cell = (520.0 / n as f64).clamp(14.0, 84.0);
        let names = self.class_names.iter().map(|n| text_width(n, 12.0));
        let label = names.fold(20.0, f64::max).min(200.0);
        let (left, top) = (label + 46.0, 50.0);
        let side = cell * n as f64;
        let size = (cell * 0.8).min(12.0);
        let widths = self.class_names.iter().map(|n| text_width(n, size));
        // Names that are wider than their column run upwards, and take room below.
        let upright = widths.clone().all(|w| w <= cell);
        let below = if upright { 24.0 } else { label + 14.0 };
        let mut svg = Svg::new(left + side + 24.0, top + side + below + 30.0);
        let middle = left + side / 2.0;
        svg.bold(middle, 24.0, 14.0, Anchor::Middle, INK, "Confusion matrix");
        let accuracy = format!("accuracy {:.4}", self.accuracy());
        svg.text(middle, 41.0, 11.0, Anchor::Middle, INK, &accuracy);
        for (row, counts) in self.counts.rows().into_iter().enumerate() {
            let total = counts.sum().max(1) as f64;
            let y = top + row as f64 * cell;
            for (column, &count) in counts.iter().enumerate() {
                let (share, x) = (count as f64 / total, left + column as f64 * cell);
                svg.rect([x, y, cell, cell], &shade(share), "white");
                if cell >= 22.0 {
                    let color = if share > 0.5 { "white" } else { INK };
                    let size = (cell / 3.0).clamp(9.0, 16.0);
                    let (x, y) = (x + cell / 2.0, y + cell / 2.0 + size * 0.36);
                    svg.text(x, y, size, Anchor::Middle, color, &count.to_string());
                }
            }
        }
        for (i, name) in self.class_names.iter().enumerate() {
            let at = (i as f64 + 0.5) * cell;
            svg.text(
                left - 8.0,
                top + at + size * 0.36,
                size,
                Anchor::End,
                INK,
                name,
            );
            match !upright {
                true => svg.upward(
                    left + at + size * 0.36,
                    top + side + 10.0 + text_width(name, size) / 2.0,
                    size,
                    name,
                ),
                false => svg.text(
                    left + at,
                    top + side + 18.0,
                    size,
                    Anchor::Middle,
                    INK,
                    name,
                ),
            }
        }
        svg.text(
            middle,
            top + side + below + 16.0,
            12.0,
            Anchor::Middle,
            INK,
            "predicted",
        );
        svg.upward(16.0, top + side / 2.0, 12.0, "true");
        svg
    }
}

/// From white to deep blue.
fn shade(share: f64) -> String {
    let mix = |from: f64, to: f64| (from + (to - from) * share).round() as u8;
    format!(
        "#{:02x}{:02x}{:02x}",
        mix(244.0, 22.0),
        mix(247.0, 70.0),
        mix(252.0, 150.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::svg::tests::well_formed;

    #[test]
    fn classes_and_their_names() {
        let matrix = confusion_matrix([0.0, 2.0, 2.0], [0, 2, 1], &[]).unwrap();
        assert_eq!(matrix.class_names, ["0", "1", "2"]);
        assert_eq!(matrix.counts.sum(), 3);
        well_formed(&matrix.svg());
        let many: Vec<usize> = (0..60).collect();
        well_formed(&confusion_matrix(&many, &many, &[]).unwrap().svg());
        let long = confusion_matrix([0], [0], &["a very long <name> of a class"]).unwrap();
        well_formed(&long.svg());
        assert!(confusion_matrix([0, 1], [0], &[]).is_err());
        assert!(confusion_matrix([0.5], [0], &[]).is_err());
        assert!(confusion_matrix([0, 2], [0, 1], &["a", "b"]).is_err());
        assert!(confusion_matrix([5000], [0], &[]).is_err());
    }
}
