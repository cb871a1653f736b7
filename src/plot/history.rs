//! Curves of a training.

use super::chart::{Axes, Scale};
use super::svg::{COLORS, Svg};
use crate::callbacks::History;

/// Width and height of a chart.
const CHART: (f64, f64) = (460.0, 320.0);

/// The loss and each metric over the epochs, a chart each, with the values of the validation as a dashed line.
///
/// ```
/// use oxhorn::{plot::plot_history, prelude::*};
/// let mut model = Sequential::new().seed(0).input([1]).add(Dense::new(1));
/// model.compile("sgd", "mse", ["mae"])?;
/// let (x, y) = ([[0.0f32], [1.0], [2.0], [3.0]], [[1.0f32], [3.0], [5.0], [7.0]]);
/// let history = model.fit(&x, &y, Fit::epochs(5).validation(&x, &y).verbose(0))?;
/// let svg = plot_history(&history).to_string();
/// assert_eq!(svg.matches("<polyline").count(), 2 * 4); // two charts: two curves, and two entries of the legend
/// assert!(svg.contains(">val_mae</text>"));
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub fn plot_history(history: &History) -> Svg {
    let names: Vec<&str> = history.names().collect();
    let own: Vec<&str> = names
        .iter()
        .copied()
        .filter(|n| n.strip_prefix("val_").is_none_or(|n| !names.contains(&n)))
        .collect();
    let columns = own.len().clamp(1, 2);
    let rows = own.len().div_ceil(columns).max(1);
    let mut svg = Svg::new(CHART.0 * columns as f64, CHART.1 * rows as f64);
    let epochs = |values: &[f64]| -> Vec<(f64, f64)> {
        let epoch = |(&e, &v): (&usize, &f64)| (e as f64 + 1.0, v);
        history.epochs.iter().zip(values).map(epoch).collect()
    };
    for (i, name) in own.iter().enumerate() {
        let validation = format!("val_{name}");
        let lines: Vec<(&str, Vec<(f64, f64)>)> = [*name, validation.as_str()]
            .into_iter()
            .filter_map(|n| Some((n, epochs(history.get(n)?))))
            .collect();
        let all = || lines.iter().flat_map(|(_, points)| points);
        let last = history.epochs.last().map_or(1.0, |e| *e as f64 + 1.0);
        let first = history.epochs.first().map_or(0.0, |e| *e as f64 + 1.0);
        let corner = (
            (i % columns) as f64 * CHART.0,
            (i / columns) as f64 * CHART.1,
        );
        let axes = Axes::new(
            &mut svg,
            [corner.0, corner.1, CHART.0, CHART.1],
            name,
            ("epoch", Scale::exact(first, last).whole()),
            (name, Scale::around(all().map(|p| p.1))),
        );
        let mut legend = Vec::new();
        for (k, (name, points)) in lines.iter().enumerate() {
            axes.line(&mut svg, points, COLORS[k], k == 1);
            legend.push((*name, COLORS[k], k == 1));
        }
        // Where curves rise, the lower corner is free.
        let ends = lines.first().map(|(_, p)| (p.first(), p.last()));
        let rising = matches!(ends, Some((Some(a), Some(b))) if b.1 > a.1);
        axes.legend(&mut svg, &legend, rising);
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callbacks::Logs;
    use crate::plot::svg::tests::well_formed;

    #[test]
    fn histories_with_gaps_and_without_epochs() {
        well_formed(&plot_history(&History::default()));
        let mut history = History::default();
        for epoch in 0..4 {
            let mut logs = Logs::default();
            logs.set(
                "loss",
                if epoch == 1 {
                    f64::NAN
                } else {
                    1.0 / (epoch + 1) as f64
                },
            );
            logs.set("a<b>&\"", 3.0);
            if epoch % 2 == 1 {
                logs.set("val_loss", 0.5);
            }
            logs.set("lr", 1e-7);
            history.push(epoch, &logs);
        }
        let svg = plot_history(&history);
        well_formed(&svg);
        assert!(svg.to_string().contains("a&lt;b&gt;&amp;&quot;"));
    }
}
