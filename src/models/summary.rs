//! Keras's table of layers.

use super::Model;
use crate::error::Result;

/// Widths of Keras's columns.
const WIDTHS: [usize; 3] = [31, 22, 13];

impl Model {
    /// Keras's summary: a table of layers with their output shapes and numbers of weights, and the totals.
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().input([30]).add(Dense::new(64).activation("relu")).add(Dense::new(1));
    /// model.build([30])?;
    /// let table = model.summary()?;
    /// assert!(table.contains("│ dense (Dense)                   │ (None, 64)             │         1,984 │"));
    /// assert!(table.ends_with(" Total params: 2,049 (8.00 KB)\n Trainable params: 2,049 (8.00 KB)\n Non-trainable params: 0 (0.00 B)\n"));
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the model is not built.
    pub fn summary(&self) -> Result<String> {
        self.require_built("summary")?;
        let rows: Vec<[String; 3]> = self
            .graph
            .nodes
            .iter()
            .enumerate()
            .map(|(i, node)| {
                let entry = &self.graph.entries[node.entry];
                let first = self.graph.nodes[..i].iter().all(|n| n.entry != node.entry);
                let count: usize = if first {
                    self.graph.vars[entry.vars.clone()]
                        .iter()
                        .map(|v| v.range.len())
                        .sum()
                } else {
                    0
                };
                [
                    format!("{} ({})", entry.name, entry.layer.class_name()),
                    self.graph.values[node.outputs[0]].to_string(),
                    thousands(count),
                ]
            })
            .collect();
        let mut out = format!("Model: \"{}\"\n", self.name);
        let rule = |left: &str, middle: &str, right: &str, fill: &str| {
            let cells: Vec<String> = WIDTHS.iter().map(|w| fill.repeat(w + 2)).collect();
            format!("{left}{}{right}\n", cells.join(middle))
        };
        out += &rule("┏", "┳", "┓", "━");
        let [a, b, c] = WIDTHS;
        out += &format!(
            "┃ {:a$} ┃ {:b$} ┃ {:>c$} ┃\n",
            "Layer (type)", "Output Shape", "Param #"
        );
        out += &rule("┡", "╇", "┩", "━");
        for (i, [layer, shape, count]) in rows.iter().enumerate() {
            if i > 0 {
                out += &rule("├", "┼", "┤", "─");
            }
            out += &format!(
                "│ {:a$} │ {:b$} │ {:>c$} │\n",
                clip(layer, a),
                clip(shape, b),
                count
            );
        }
        out += &rule("└", "┴", "┘", "─");
        let (trainable, other) = self.graph.count_params();
        for (what, n) in [
            ("Total", trainable + other),
            ("Trainable", trainable),
            ("Non-trainable", other),
        ] {
            out += &format!(" {what} params: {} ({})\n", thousands(n), bytes(n * 4));
        }
        Ok(out)
    }
}

/// Cuts what is wider than its column.
fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn bytes(n: usize) -> String {
    let mut value = n as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if value < 1024.0 {
            return format!("{value:.2} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.2} TB")
}
