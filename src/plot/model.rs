//! A model as a picture.

use super::diagram::{Diagram, ModelPlot, Node, RankDir};
use super::layout::{Graph, layout};
use super::svg::{Anchor, INK, Svg, text_width};
use crate::error::Result;
use crate::models::Model;

const MARGIN: f64 = 24.0;
/// Height of a line of text in a box, and of its title.
const LINE: f64 = 18.0;
const TITLE: f64 = 26.0;
/// Room between ranks for the arrows.
const RANK_GAP: f64 = 44.0;

/// The model as a picture of boxes and arrows: Keras's `utils.plot_model`, without Graphviz.
///
/// ```
/// use oxhorn::{plot::{plot_model, ModelPlot}, prelude::*};
/// let input = Input::new([8]);
/// let a = Dense::new(4).call(&input)?;
/// let b = Dense::new(4).call(&input)?;
/// let model = Model::new([&input], [Add::default().call([&a, &b])?])?;
/// let svg = plot_model(&model, ModelPlot::default().show_shapes(true))?.to_string();
/// assert_eq!(svg.matches("<path").count(), 4); // four arrows
/// assert!(svg.contains(">dense_1 (Dense)</text>") && svg.contains(">out: (None, 4)</text>"));
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If the model is not built.
pub fn plot_model(model: &Model, plot: ModelPlot) -> Result<Svg> {
    let diagram = Diagram::of(model, &plot, "plot_model")?;
    let boxes: Vec<Card> = diagram.nodes.iter().map(|n| Card::new(n, &plot)).collect();
    let across = |b: &Card| match plot.rankdir {
        RankDir::TB => b.width,
        RankDir::LR => b.height,
    };
    let along = |b: &Card| match plot.rankdir {
        RankDir::TB => b.height,
        RankDir::LR => b.width,
    };
    let place = layout(&Graph {
        widths: boxes.iter().map(across).collect(),
        edges: &diagram.edges,
        groups: diagram
            .nodes
            .iter()
            .map(|n| diagram.path(n.cluster))
            .collect(),
    });
    // Frames need room around their boxes, the more the deeper they nest.
    let deepest = diagram
        .nodes
        .iter()
        .map(|n| diagram.path(n.cluster).len())
        .max()
        .unwrap_or(0) as f64;
    let margin = MARGIN + 14.0 * deepest;
    let ranks = place.rank.iter().max().map_or(0, |m| m + 1);
    let mut depth = vec![0.0f64; ranks];
    for (b, &rank) in boxes.iter().zip(&place.rank) {
        depth[rank] = depth[rank].max(along(b));
    }
    let gap = RANK_GAP + 20.0 * deepest;
    let mut starts = Vec::with_capacity(ranks);
    let mut end = margin;
    for d in &depth {
        starts.push(end);
        end += d + gap;
    }
    let length = (end - gap).max(margin) + margin;
    let (width, height) = match plot.rankdir {
        RankDir::TB => (place.width + 2.0 * margin, length),
        RankDir::LR => (length, place.width + 2.0 * margin),
    };
    let mut svg = Svg::new(width, height);
    // Along and across to x and y.
    let turn = |across: f64, along: f64| match plot.rankdir {
        RankDir::TB => (across + margin, along),
        RankDir::LR => (along, across + margin),
    };
    let corners: Vec<[f64; 4]> = boxes
        .iter()
        .enumerate()
        .map(|(i, b)| {
            let start = starts[place.rank[i]] + (depth[place.rank[i]] - along(b)) / 2.0;
            let (x, y) = turn(place.at[i] - across(b) / 2.0, start);
            [x, y, b.width, b.height]
        })
        .collect();
    frames(&mut svg, &diagram, &corners);
    for (&(from, to), via) in diagram.edges.iter().zip(&place.via) {
        let out = starts[place.rank[from]] + (depth[place.rank[from]] + along(&boxes[from])) / 2.0;
        let into = starts[place.rank[to]] + (depth[place.rank[to]] - along(&boxes[to])) / 2.0;
        let mut points = vec![(place.at[from], out)];
        for (i, &at) in via.iter().enumerate() {
            let rank = place.rank[from] + 1 + i;
            points.extend([(at, starts[rank]), (at, starts[rank] + depth[rank])]);
        }
        points.push((place.at[to], into));
        arrow(&mut svg, &points, turn, plot.rankdir);
    }
    for (b, corner) in boxes.iter().zip(&corners) {
        b.draw(&mut svg, *corner);
    }
    Ok(svg)
}

/// Dashed frames around the boxes of nested models.
fn frames(svg: &mut Svg, diagram: &Diagram, corners: &[[f64; 4]]) {
    for (i, cluster) in diagram.clusters.iter().enumerate() {
        let mut bounds: Option<[f64; 4]> = None;
        for (node, &[x, y, w, h]) in diagram.nodes.iter().zip(corners) {
            let path = diagram.path(node.cluster);
            let Some(depth) = path.iter().position(|&c| c == i) else {
                continue;
            };
            // Inner frames lie inside.
            let pad = 10.0 * (path.len() - depth) as f64;
            let [x1, y1, x2, y2] = [x - pad, y - pad - 12.0, x + w + pad, y + h + pad];
            let [l, t, r, b] = bounds.unwrap_or([x1, y1, x2, y2]);
            bounds = Some([l.min(x1), t.min(y1), r.max(x2), b.max(y2)]);
        }
        if let Some([l, t, r, b]) = bounds {
            svg.round_rect([l, t, r - l, b - t], 6.0, "#f5f7fa", "#9aa5b1", true);
            svg.text(
                l + 7.0,
                t + 13.0,
                11.0,
                Anchor::Start,
                "#52606d",
                &cluster.name,
            );
        }
    }
}

/// A smooth line through points, with a head at its end. Between places in one rank it is straight.
fn arrow(
    svg: &mut Svg,
    points: &[(f64, f64)],
    turn: impl Fn(f64, f64) -> (f64, f64),
    direction: RankDir,
) {
    let number = |(x, y): (f64, f64)| format!("{:.1} {:.1}", x, y);
    let mut d = format!("M{}", number(turn(points[0].0, points[0].1)));
    for pair in points.windows(2) {
        let ((a, s), (b, e)) = (pair[0], pair[1]);
        let middle = (s + e) / 2.0;
        let [p, q, end] = [turn(a, middle), turn(b, middle), turn(b, e)].map(number);
        d += &format!(" C{p} {q} {end}");
    }
    let (x, y) = points.last().map_or((0.0, 0.0), |&(a, b)| turn(a, b));
    let (left, right) = match direction {
        RankDir::TB => ((x - 4.0, y - 8.0), (x + 4.0, y - 8.0)),
        RankDir::LR => ((x - 8.0, y - 4.0), (x - 8.0, y + 4.0)),
    };
    d += &format!(" M{} L{} L{}", number(left), number((x, y)), number(right));
    svg.path(&d, "#52606d", "none");
}

/// A box with its texts.
struct Card {
    width: f64,
    height: f64,
    title: String,
    lines: Vec<String>,
    color: &'static str,
}

impl Card {
    fn new(node: &Node, plot: &ModelPlot) -> Card {
        let title = match plot.show_layer_names {
            true => format!("{} ({})", node.name, node.class),
            false => node.class.clone(),
        };
        let mut lines = Vec::new();
        if let Some(activation) = node
            .activation
            .as_ref()
            .filter(|_| plot.show_layer_activations)
        {
            lines.push(format!("activation: {activation}"));
        }
        if plot.show_shapes {
            lines.extend(node.input.iter().map(|shape| format!("in: {shape}")));
            lines.push(format!("out: {}", node.output));
        }
        if plot.show_dtype {
            lines.push(format!("dtype: {}", node.dtype));
        }
        if let Some(trainable) = node.trainable.filter(|_| plot.show_trainable) {
            lines.push(
                if trainable {
                    "trainable"
                } else {
                    "not trainable"
                }
                .into(),
            );
        }
        let widest = lines.iter().map(|l| text_width(l, 12.0));
        let width = widest.fold(text_width(&title, 13.0) * 1.08, f64::max) + 24.0;
        let body = if lines.is_empty() {
            0.0
        } else {
            lines.len() as f64 * LINE + 6.0
        };
        Card {
            width: width.max(90.0),
            height: TITLE + body,
            title,
            lines,
            color: color(&node.class),
        }
    }

    fn draw(&self, svg: &mut Svg, [x, y, w, h]: [f64; 4]) {
        svg.round_rect([x, y, w, h], 5.0, "white", self.color, false);
        svg.round_rect([x, y, w, TITLE.min(h)], 5.0, self.color, self.color, false);
        if !self.lines.is_empty() {
            // The title has round corners above only.
            svg.rect([x, y + TITLE - 6.0, w, 6.0], self.color, "none");
        }
        svg.bold(
            x + w / 2.0,
            y + 17.5,
            13.0,
            Anchor::Middle,
            "white",
            &self.title,
        );
        for (i, line) in self.lines.iter().enumerate() {
            let y = y + TITLE + 15.0 + i as f64 * LINE;
            svg.text(x + w / 2.0, y, 12.0, Anchor::Middle, INK, line);
        }
    }
}

/// Layers of one kind have one colour.
fn color(class: &str) -> &'static str {
    let of = |parts: &[&str]| parts.iter().any(|p| class.contains(p));
    match class {
        "InputLayer" => "#52606d",
        "Sequential" | "Functional" => "#8250c4",
        _ if of(&["Conv"]) => "#2e7d5b",
        _ if of(&["Pooling"]) => "#b4552d",
        _ if of(&["LSTM", "GRU", "RNN", "Bidirectional", "TimeDistributed"]) => "#a03a78",
        _ if of(&["Normalization", "Dropout", "Noise"]) => "#7a6a2f",
        _ if of(&["Dense", "Embedding", "Attention"]) => "#2f5fb3",
        _ => "#3e5c76",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{LayerExt, LayerRef};
    use crate::layers::{Add, Dense, Dropout};
    use crate::models::{Input, LayerCall, Sequential};
    use crate::plot::model_to_dot;
    use crate::plot::svg::tests::well_formed;

    fn model() -> Model {
        let deep = Sequential::new()
            .name("deep")
            .input([3])
            .add(Dense::new(3))
            .add(Dropout::new(0.5));
        let encoder = Sequential::new()
            .name("encoder <1>")
            .input([4])
            .add(Dense::new(3).activation("relu").trainable(false))
            .add(deep);
        let (a, b) = (Input::new([4]).name("a"), Input::new([4]).name("b"));
        let shared = LayerRef::from(Dense::new(3)).name("shared");
        let (ea, eb) = (encoder.call(&a).unwrap(), encoder.call(&b).unwrap());
        let (sa, sb) = (shared.call(&ea).unwrap(), shared.call(&eb).unwrap());
        let sum = Add::default().call([&sa, &sb, &ea]).unwrap();
        Model::new([&a, &b], [sum]).unwrap()
    }

    #[test]
    fn every_option_draws() {
        let model = model();
        let all = ModelPlot::default()
            .show_shapes(true)
            .show_dtype(true)
            .show_layer_activations(true)
            .show_trainable(true);
        for plot in [
            ModelPlot::default(),
            all,
            all.expand_nested(true),
            all.expand_nested(true)
                .rankdir(RankDir::LR)
                .show_layer_names(false),
        ] {
            let svg = plot_model(&model, plot).unwrap();
            well_formed(&svg);
            let dot = model_to_dot(&model, plot).unwrap();
            assert_eq!(
                dot.matches(" -> ").count(),
                svg.to_string().matches("<path").count()
            );
            assert_eq!(dot.matches("{\n").count(), dot.matches("}\n").count());
        }
        let nested = plot_model(&model, all.expand_nested(true))
            .unwrap()
            .to_string();
        assert!(
            nested.contains(">encoder &lt;1&gt;</text>")
                && nested.contains(">not trainable</text>")
        );
        assert!(nested.contains(">in: [(None, 3), (None, 3), (None, 3)]</text>"));
        let dot = model_to_dot(&model, ModelPlot::default().expand_nested(true).dpi(96)).unwrap();
        assert!(dot.contains("dpi=96;") && dot.matches("subgraph cluster_").count() == 2);
        let error = plot_model(&Sequential::new().add(Dense::new(1)), all).unwrap_err();
        assert!(error.to_string().contains("not built"));
    }
}
