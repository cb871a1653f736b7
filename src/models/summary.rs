//! Keras's table of layers.

use super::Model;
use super::spec::{Block, Net, Source, Spec, block_names, key};
use crate::error::Result;
use crate::shape::Shape;

/// Widths of Keras's columns: for chains of layers, and for other graphs, where the last one says what a layer is called on.
const CHAIN: &[usize] = &[31, 22, 13];
const GRAPH: &[usize] = &[19, 17, 10, 17];
/// The column that is set flush right.
const NUMBERS: usize = 2;

impl Model {
    /// Keras's summary: a table of layers with their output shapes and numbers of weights, and the totals. A nested model is one
    /// row.
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
        let (widths, rows) = match &self.spec {
            Spec::Sequential(_) => (CHAIN, self.chain_rows()?),
            Spec::Functional(net) if net.is_chain() => (CHAIN, self.graph_rows(net)?),
            Spec::Functional(net) => (GRAPH, self.graph_rows(net)?),
        };
        let headings = ["Layer (type)", "Output Shape", "Param #", "Connected to"];
        let mut out = format!("Model: \"{}\"\n", self.name);
        out += &rule(widths, ["┏", "┳", "┓", "━"]);
        out += &row(widths, &headings.map(String::from), "┃");
        out += &rule(widths, ["┡", "╇", "┩", "━"]);
        for (i, cells) in rows.iter().enumerate() {
            if i > 0 {
                out += &rule(widths, ["├", "┼", "┤", "─"]);
            }
            out += &row(widths, cells, "│");
        }
        out += &rule(widths, ["└", "┴", "┘", "─"]);
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

    fn chain_rows(&self) -> Result<Vec<[String; 4]>> {
        let mut shapes = self.input_shapes();
        let blocks = self.spec.blocks();
        let mut rows = Vec::new();
        for (block, name) in blocks.iter().zip(block_names(blocks)) {
            shapes = block.output_shapes(None, &shapes)?;
            rows.push(self.row(block, &name, &shapes[0], String::new()));
        }
        Ok(rows)
    }

    fn graph_rows(&self, net: &Net) -> Result<Vec<[String; 4]>> {
        let (names, shapes) = (block_names(&net.blocks), net.value_shapes()?);
        let inputs = self.input_names();
        let mut rows: Vec<[String; 4]> = inputs
            .iter()
            .zip(&net.inputs)
            .map(|(name, input)| {
                let label = format!("{name} (InputLayer)");
                [label, input.shape.to_string(), "0".into(), "-".into()]
            })
            .collect();
        let calls_before = |call: usize| {
            let same = net.calls[..call].iter();
            same.filter(|c| c.block == net.calls[call].block).count()
        };
        let label = |source: &Source| match *source {
            Source::Input(i) => format!("{}[0][0]", inputs[i]),
            Source::Call(call, output) => {
                let name = &names[net.calls[call].block];
                format!("{name}[{}][{output}]", calls_before(call))
            }
        };
        for (b, (block, name)) in net.blocks.iter().zip(&names).enumerate() {
            let Some(first) = net.calls.iter().position(|c| c.block == b) else {
                continue;
            };
            let calls = net.calls.iter().filter(|c| c.block == b);
            let from: Vec<String> = calls.flat_map(|c| c.tensors.iter().map(label)).collect();
            rows.push(self.row(block, name, &shapes[first][0], from.join(", ")));
        }
        Ok(rows)
    }

    fn row(&self, block: &Block, name: &str, shape: &Shape, from: String) -> [String; 4] {
        let mut layers = Vec::new();
        match block {
            Block::Layer(layer) => layers.push(key(&layer.layer)),
            Block::Model(model) => model
                .spec
                .visit(&mut |layer| layers.push(key(&layer.layer))),
        }
        let entries = self.graph.entries.iter();
        let count: usize = entries
            .filter(|e| layers.contains(&key(&e.layer)))
            .flat_map(|e| &self.graph.vars[e.vars.clone()])
            .map(|v| v.range.len())
            .sum();
        let label = format!("{name} ({})", block.class_name());
        [label, shape.to_string(), thousands(count), from]
    }
}

fn rule(widths: &[usize], [left, middle, right, fill]: [&str; 4]) -> String {
    let cells: Vec<String> = widths.iter().map(|w| fill.repeat(w + 2)).collect();
    format!("{left}{}{right}\n", cells.join(middle))
}

/// A row of cells, each on as many lines as it needs.
fn row(widths: &[usize], cells: &[String; 4], bar: &str) -> String {
    let lines: Vec<Vec<String>> = widths.iter().zip(cells).map(|(w, c)| wrap(c, *w)).collect();
    let height = lines.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for i in 0..height {
        out += bar;
        for (column, width) in widths.iter().enumerate() {
            let cell = lines[column].get(i).map_or("", String::as_str);
            match column == NUMBERS {
                true => out += &format!(" {cell:>width$} {bar}"),
                false => out += &format!(" {cell:width$} {bar}"),
            }
        }
        out.push('\n');
    }
    out
}

/// Breaks at spaces; a word that is wider than its column is cut.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let word = clip(word, width);
        let line = lines.last_mut().expect("there is one");
        let len = line.chars().count();
        if len > 0 && len + 1 + word.chars().count() > width {
            lines.push(word);
            continue;
        }
        if len > 0 {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines
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

#[cfg(test)]
mod tests {
    use crate::layer::LayerRef;
    use crate::layers::Dense;
    use crate::models::{Input, Model, Sequential};

    /// What Keras prints for the same model.
    const SIAMESE: &str = "\
Model: \"siamese\"
┏━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┓
┃ Layer (type)        ┃ Output Shape      ┃    Param # ┃ Connected to      ┃
┡━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━┩
│ a (InputLayer)      │ (None, 4)         │          0 │ -                 │
├─────────────────────┼───────────────────┼────────────┼───────────────────┤
│ b (InputLayer)      │ (None, 4)         │          0 │ -                 │
├─────────────────────┼───────────────────┼────────────┼───────────────────┤
│ encoder             │ (None, 3)         │         15 │ a[0][0], b[0][0]  │
│ (Sequential)        │                   │            │                   │
├─────────────────────┼───────────────────┼────────────┼───────────────────┤
│ shared (Dense)      │ (None, 2)         │          8 │ encoder[0][0],    │
│                     │                   │            │ encoder[1][0]     │
└─────────────────────┴───────────────────┴────────────┴───────────────────┘
 Total params: 23 (92.00 B)
 Trainable params: 23 (92.00 B)
 Non-trainable params: 0 (0.00 B)
";

    #[test]
    fn graphs_are_shown_as_keras_shows_them() {
        let encoder = Sequential::new()
            .name("encoder")
            .input([4])
            .add(Dense::new(3));
        let (a, b) = (Input::new([4]).name("a"), Input::new([4]).name("b"));
        let shared = LayerRef::from(Dense::new(2)).name("shared");
        let (ea, eb) = (encoder.call(&a).unwrap(), encoder.call(&b).unwrap());
        let outputs = [shared.call(&ea).unwrap(), shared.call(&eb).unwrap()];
        let model = Model::new([&a, &b], outputs).unwrap().named("siamese");
        assert_eq!(model.summary().unwrap(), SIAMESE);
    }
}
