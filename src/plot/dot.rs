//! A model as text for Graphviz.

use std::fmt::Write;

use super::diagram::{Diagram, ModelPlot, Node, RankDir};
use super::svg::escape;
use crate::error::Result;
use crate::models::Model;

/// The model in the language of Graphviz, with Keras's boxes: Keras's `utils.model_to_dot`.
///
/// ```
/// use oxhorn::{plot::{model_to_dot, ModelPlot}, prelude::*};
/// let mut model = Sequential::new().input([4]).add(Dense::new(3).activation("relu")).add(Dense::new(1));
/// model.build([4])?;
/// let dot = model_to_dot(&model, ModelPlot::default().show_shapes(true))?;
/// assert!(dot.starts_with("digraph G {\nrankdir=TB;\n"));
/// assert!(dot.contains("<b>dense</b> (Dense)") && dot.contains("Output shape: <b>(None, 3)</b>"));
/// assert!(dot.contains("n0 -> n1 [penwidth=2];"));
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If the model is not built.
pub fn model_to_dot(model: &Model, plot: ModelPlot) -> Result<String> {
    let diagram = Diagram::of(model, &plot, "model_to_dot")?;
    let mut out = String::from("digraph G {\n");
    let direction = match plot.rankdir {
        RankDir::TB => "TB",
        RankDir::LR => "LR",
    };
    let _ = writeln!(
        out,
        "rankdir={direction};\nconcentrate=true;\ndpi={};\nsplines=ortho;\nnode [shape=record];",
        plot.dpi
    );
    frame(&mut out, &diagram, None, &plot);
    for (from, to) in &diagram.edges {
        let _ = writeln!(out, "n{from} -> n{to} [penwidth=2];");
    }
    out += "}\n";
    Ok(out)
}

/// The boxes and frames right inside of a frame.
fn frame(out: &mut String, diagram: &Diagram, cluster: Option<usize>, plot: &ModelPlot) {
    for (i, node) in diagram.nodes.iter().enumerate() {
        if node.cluster == cluster {
            let label = label(node, plot);
            let _ = writeln!(
                out,
                "n{i} [fontname=Helvetica, border=0, margin=0, label={label}];"
            );
        }
    }
    for (i, inner) in diagram.clusters.iter().enumerate() {
        if inner.parent == cluster {
            let name = inner.name.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = writeln!(
                out,
                "subgraph cluster_{i} {{\nstyle=dashed;\nlabel=\"{name}\";\nlabeljust=l;"
            );
            frame(out, diagram, Some(i), plot);
            *out += "}\n";
        }
    }
}

/// Keras's table in HTML.
fn label(node: &Node, plot: &ModelPlot) -> String {
    let mut cells = Vec::new();
    let white = |what: &str, value: &str| {
        let value = escape(value);
        format!("<td bgcolor=\"white\"><font point-size=\"14\">{what}: <b>{value}</b></font></td>")
    };
    if plot.show_shapes {
        cells.extend(node.input.iter().map(|shape| white("Input shape", shape)));
        cells.push(white("Output shape", &node.output));
    }
    if plot.show_dtype {
        cells.push(white("Output dtype", &node.dtype));
    }
    if let Some(trainable) = node.trainable.filter(|_| plot.show_trainable) {
        let (color, text) = match trainable {
            true => ("forestgreen", "Trainable"),
            false => ("firebrick", "Non-trainable"),
        };
        cells.push(format!(
            "<td bgcolor=\"{color}\"><font point-size=\"14\" color=\"white\"><b>{text}</b></font></td>"
        ));
    }
    let span = cells.len().max(1);
    let (name, class) = (escape(&node.name), escape(&node.class));
    let title = match plot.show_layer_names {
        true => format!("<b>{name}</b> ({class})"),
        false => format!("<b>{class}</b>"),
    };
    let mut table = format!(
        "<<table border=\"0\" cellborder=\"1\" bgcolor=\"black\" cellpadding=\"10\"><tr><td colspan=\"{span}\" bgcolor=\"black\"><font point-size=\"16\" color=\"white\">{title}</font></td></tr>"
    );
    if let Some(activation) = node
        .activation
        .as_ref()
        .filter(|_| plot.show_layer_activations)
    {
        let _ = write!(
            table,
            "<tr><td bgcolor=\"white\" colspan=\"{span}\"><font point-size=\"14\">Activation: <b>{}</b></font></td></tr>",
            escape(activation)
        );
    }
    if !cells.is_empty() {
        let _ = write!(table, "<tr>{}</tr>", cells.join(""));
    }
    table + "</table>>"
}
