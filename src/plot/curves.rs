//! Curves over all thresholds of a binary classifier.

use super::chart::{Axes, Scale};
use super::svg::{COLORS, Svg};
use crate::error::{Error, Result};
use crate::tensor::ToTensor;

/// A curve, and the area under it.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its points: of a ROC curve (false positive rate, true positive rate), else (recall, precision).
    pub points: Vec<(f64, f64)>,
    /// The smallest score that is taken for positive at each point; the first is infinite (nothing is positive).
    pub thresholds: Vec<f64>,
    /// Area under the curve: of a ROC curve by trapezoids, of precision over recall the average precision (by steps).
    pub auc: f64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Roc,
    /// With the share of positive samples, which is the precision of chance.
    PrecisionRecall(f64),
}

/// True against false positive rate for every threshold: scikit-learn's `roc_curve` without dropping points, and `roc_auc_score`.
///
/// ```
/// use oxhorn::plot::roc_curve;
/// let curve = roc_curve(&[0.0, 0.0, 1.0, 1.0], &[0.1, 0.4, 0.35, 0.8])?;
/// assert_eq!(curve.auc, 0.75);
/// assert_eq!(curve.points[..3], [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5)]);
/// assert!(curve.svg().to_string().contains("AUC = 0.7500"));
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If there are not as many scores as labels, a label is neither 0 nor 1, one of both is missing, or a score is NaN.
pub fn roc_curve(
    y_true: &(impl ToTensor + ?Sized),
    y_score: &(impl ToTensor + ?Sized),
) -> Result<Curve> {
    let counts = counts(y_true, y_score)?;
    let (positive, negative) = counts.totals;
    let mut points = vec![(0.0, 0.0)];
    let mut thresholds = vec![f64::INFINITY];
    for &(threshold, tp, fp) in &counts.steps {
        points.push((fp / negative, tp / positive));
        thresholds.push(threshold);
    }
    let area = |p: &[(f64, f64)]| (p[1].0 - p[0].0) * (p[1].1 + p[0].1) / 2.0;
    Ok(Curve {
        auc: points.windows(2).map(area).sum(),
        points,
        thresholds,
        kind: Kind::Roc,
    })
}

/// Precision over recall for every threshold, and the average precision: scikit-learn's `precision_recall_curve` (in the order of
/// growing recall) and `average_precision_score`.
///
/// ```
/// use oxhorn::plot::precision_recall_curve;
/// let curve = precision_recall_curve(&[0.0, 0.0, 1.0, 1.0], &[0.1, 0.4, 0.35, 0.8])?;
/// assert!((curve.auc - 0.8333333).abs() < 1e-6);
/// assert_eq!(curve.points[1], (0.5, 1.0));
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// As [`roc_curve`].
pub fn precision_recall_curve(
    y_true: &(impl ToTensor + ?Sized),
    y_score: &(impl ToTensor + ?Sized),
) -> Result<Curve> {
    let counts = counts(y_true, y_score)?;
    let (positive, negative) = counts.totals;
    let mut points = vec![(0.0, 1.0)];
    let mut thresholds = vec![f64::INFINITY];
    for &(threshold, tp, fp) in &counts.steps {
        points.push((tp / positive, tp / (tp + fp)));
        thresholds.push(threshold);
    }
    let area = |p: &[(f64, f64)]| (p[1].0 - p[0].0) * p[1].1;
    Ok(Curve {
        auc: points.windows(2).map(area).sum(),
        points,
        thresholds,
        kind: Kind::PrecisionRecall(positive / (positive + negative)),
    })
}

/// For each distinct score, from the highest on: the score, true and false positives among those that reach it.
struct Counts {
    steps: Vec<(f64, f64, f64)>,
    /// Numbers of positive and negative samples.
    totals: (f64, f64),
}

fn counts(y_true: &(impl ToTensor + ?Sized), y_score: &(impl ToTensor + ?Sized)) -> Result<Counts> {
    let (truth, scores) = (y_true.to_tensor()?, y_score.to_tensor()?);
    if truth.data().len() != scores.data().len() {
        let want = format!("{} scores, one a label", truth.data().len());
        return Err(Error::shape(want, scores.data().len()).owned_by("y_score"));
    }
    let mut pairs = Vec::with_capacity(scores.data().len());
    for (&label, &score) in truth.data().iter().zip(scores.data()) {
        if (label != 0.0 && label != 1.0) || score.is_nan() {
            let problem = format!("expected labels 0 or 1 and scores, got {label} with {score}");
            return Err(Error::data("y_true", problem));
        }
        pairs.push((f64::from(score), f64::from(label)));
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positive: f64 = pairs.iter().map(|p| p.1).sum();
    let negative = pairs.len() as f64 - positive;
    if positive == 0.0 || negative == 0.0 {
        let problem = "both classes, 0 and 1, must be there";
        return Err(Error::data("y_true", problem));
    }
    let mut steps: Vec<(f64, f64, f64)> = Vec::new();
    let (mut tp, mut fp) = (0.0, 0.0);
    for (score, label) in pairs {
        (tp, fp) = (tp + label, fp + 1.0 - label);
        match steps.last_mut() {
            Some(last) if last.0 == score => *last = (score, tp, fp),
            _ => steps.push((score, tp, fp)),
        }
    }
    Ok(Counts {
        steps,
        totals: (positive, negative),
    })
}

impl Curve {
    /// The curve as a picture, with what chance would give as a dashed line.
    pub fn svg(&self) -> Svg {
        let (title, x, y, chance, area) = match self.kind {
            Kind::Roc => (
                "ROC curve",
                "false positive rate",
                "true positive rate",
                [(0.0, 0.0), (1.0, 1.0)],
                format!("AUC = {:.4}", self.auc),
            ),
            Kind::PrecisionRecall(share) => (
                "Precision-recall curve",
                "recall",
                "precision",
                [(0.0, share), (1.0, share)],
                format!("AP = {:.4}", self.auc),
            ),
        };
        let mut svg = Svg::new(480.0, 460.0);
        let unit = || Scale::exact(0.0, 1.0);
        let axes = Axes::new(
            &mut svg,
            [0.0, 0.0, 480.0, 460.0],
            title,
            (x, unit()),
            (y, unit()),
        );
        axes.line(&mut svg, &chance, "#9aa5b1", true);
        axes.line(&mut svg, &self.points, COLORS[0], false);
        let legend = [
            (area.as_str(), COLORS[0], false),
            ("chance", "#9aa5b1", true),
        ];
        axes.legend(&mut svg, &legend, true);
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::svg::tests::well_formed;

    /// What scikit-learn makes of scores with ties.
    #[test]
    fn areas_with_ties() {
        let y = [0, 1, 1, 0, 1, 0, 0, 1];
        let s = [0.1, 0.4, 0.35, 0.8, 0.4, 0.4, 0.2, 0.9];
        let (roc, pr) = (
            roc_curve(&y, &s).unwrap(),
            precision_recall_curve(&y, &s).unwrap(),
        );
        assert!((roc.auc - ROC).abs() < 1e-9, "{}", roc.auc);
        assert!((pr.auc - AP).abs() < 1e-9, "{}", pr.auc);
        assert_eq!(roc.thresholds.len(), roc.points.len());
        assert_eq!(roc.points.last(), Some(&(1.0, 1.0)));
        well_formed(&roc.svg());
        well_formed(&pr.svg());
    }
    const ROC: f64 = 0.6875;
    const AP: f64 = 0.716_666_666_666_666_7;

    #[test]
    fn what_has_no_curve() {
        assert!(roc_curve(&[0, 1], &[0.5]).is_err());
        assert!(roc_curve(&[1, 1], &[0.5, 0.2]).is_err());
        assert!(roc_curve(&[0, 2], &[0.5, 0.2]).is_err());
        assert!(precision_recall_curve(&[0, 1], &[0.5, f32::NAN]).is_err());
    }
}
