//! Pictures, as SVG: curves of training, confusion matrices, ROC and precision-recall curves, histograms, models as graphs.
//!
//! Every function returns an [`Svg`], which can be written to a file, or shown by whatever shows SVG.

mod chart;
mod confusion;
mod curves;
mod diagram;
mod dot;
mod histogram;
mod history;
mod layout;
mod model;
mod svg;

pub use confusion::{ConfusionMatrix, confusion_matrix};
pub use curves::{Curve, precision_recall_curve, roc_curve};
pub use diagram::{ModelPlot, RankDir};
pub use dot::model_to_dot;
pub use histogram::{histogram, plot_weights};
pub use history::plot_history;
pub use model::plot_model;
pub use svg::Svg;
