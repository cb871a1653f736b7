//! Histograms: of any values, and of every weight of a model.

use super::chart::{Axes, Scale};
use super::svg::{COLORS, Svg};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::models::Model;

/// Bars a histogram.
const BINS: usize = 40;
/// Width and height of one histogram among several.
const CHART: (f64, f64) = (360.0, 260.0);

/// How often values fall into each of 40 ranges of one width. Values that are not finite are left out, and counted in the title.
///
/// ```
/// use oxhorn::plot::histogram;
/// let svg = histogram("rolls", &[1.0, 2.0, 2.0, 3.0]).to_string();
/// assert_eq!(svg.matches("fill=\"#3366cc\"").count(), 3); // three bars that are not empty
/// assert!(svg.contains(">rolls (4)</text>"));
/// ```
pub fn histogram(title: &str, values: &[Float]) -> Svg {
    let mut svg = Svg::new(520.0, 360.0);
    draw(&mut svg, [0.0, 0.0, 520.0, 360.0], title, values);
    svg
}

/// A histogram of every weight of a model, by name.
///
/// ```
/// use oxhorn::{plot::plot_weights, prelude::*};
/// let mut model = Sequential::new().seed(0).input([20]).add(Dense::new(50)).add(Dense::new(1));
/// model.build([20])?;
/// let svg = plot_weights(&model)?.to_string();
/// assert!(svg.contains(">dense/kernel (1000)</text>") && svg.contains(">dense_1/bias (1)</text>"));
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If the model is not built.
pub fn plot_weights(model: &Model) -> Result<Svg> {
    if !model.is_built() {
        return Err(Error::NotBuilt {
            call: "plot_weights",
        });
    }
    let (names, weights) = (model.weight_names(), model.get_weights());
    let columns = names.len().clamp(1, 3);
    let rows = names.len().div_ceil(columns).max(1);
    let mut svg = Svg::new(CHART.0 * columns as f64, CHART.1 * rows as f64);
    for (i, (name, weight)) in names.iter().zip(&weights).enumerate() {
        let (x, y) = (
            (i % columns) as f64 * CHART.0,
            (i / columns) as f64 * CHART.1,
        );
        let values = weight.as_slice().unwrap_or_default();
        draw(&mut svg, [x, y, CHART.0, CHART.1], name, values);
    }
    Ok(svg)
}

fn draw(svg: &mut Svg, place: [f64; 4], name: &str, values: &[Float]) {
    let finite = || {
        values
            .iter()
            .map(|&v| f64::from(v))
            .filter(|v| v.is_finite())
    };
    let (count, bad) = (finite().count(), values.len() - finite().count());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    let (low, high) = match (low < high, low == high) {
        (true, _) => (low, high),
        // All alike: one bar around the value.
        (_, true) => (low - 0.5, low + 0.5),
        _ => (0.0, 1.0),
    };
    let width = (high - low) / BINS as f64;
    let mut bins = [0usize; BINS];
    for v in finite() {
        bins[(((v - low) / width) as usize).min(BINS - 1)] += 1;
    }
    let title = match bad {
        0 => format!("{name} ({count})"),
        _ => format!("{name} ({count}, {bad} not finite)"),
    };
    let tallest = bins.iter().max().copied().unwrap_or(0) as f64;
    let axes = Axes::new(
        svg,
        place,
        &title,
        ("value", Scale::around([low, high])),
        ("count", Scale::around([0.0, tallest.max(1.0)]).whole()),
    );
    for (i, &n) in bins.iter().enumerate().filter(|(_, n)| **n > 0) {
        let from = low + i as f64 * width;
        axes.bar(svg, from, from + width, n as f64, COLORS[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::svg::tests::well_formed;

    #[test]
    fn odd_values() {
        for values in [
            &[][..],
            &[2.0; 5],
            &[Float::NAN, Float::INFINITY],
            &[0.0, 1e30],
            &[-1e-30, 1e-30, Float::NAN],
        ] {
            well_formed(&histogram("h", values));
        }
        let text = histogram("h", &[Float::NAN, 1.0]).to_string();
        assert!(text.contains("h (1, 1 not finite)"));
    }
}
