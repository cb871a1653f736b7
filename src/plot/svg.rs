//! The few elements of SVG that pictures are made of.

use std::fmt::{self, Display, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::saving::atomic::write_atomically;

/// A picture. [`Display`] gives its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Where a text lies beside its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Colours of lines, one after the other.
pub(super) const COLORS: [&str; 8] = [
    "#3366cc", "#e67300", "#2e9e5b", "#cc3344", "#8250c4", "#8c6239", "#d14f9e", "#6b7280",
];
pub(super) const INK: &str = "#1f2933";
pub(super) const GRID: &str = "#e4e7eb";

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        let mut svg = Svg {
            width,
            height,
            body: String::new(),
        };
        svg.rect([0.0, 0.0, width, height], "white", "none");
        svg
    }

    /// Writes the picture to a file.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        write_atomically(path, |w| {
            let text = self.to_string();
            std::io::Write::write_all(w, text.as_bytes()).map_err(|e| Error::io(path, e))
        })
    }

    /// An element without content; writing to a string cannot fail.
    fn element(&mut self, text: fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "<{text}/>");
    }

    /// `[x, y, width, height]`
    pub(super) fn rect(&mut self, [x, y, w, h]: [f64; 4], fill: &str, stroke: &str) {
        self.round_rect([x, y, w, h], 0.0, fill, stroke, false);
    }

    pub(super) fn round_rect(
        &mut self,
        [x, y, w, h]: [f64; 4],
        radius: f64,
        fill: &str,
        stroke: &str,
        dashed: bool,
    ) {
        let (x, y, w, h, r) = (num(x), num(y), num(w), num(h), num(radius));
        let dash = if dashed {
            " stroke-dasharray=\"5 4\""
        } else {
            ""
        };
        self.element(format_args!(
            "rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"{r}\" fill=\"{fill}\" stroke=\"{stroke}\"{dash}"
        ));
    }

    pub(super) fn line(&mut self, [x1, y1, x2, y2]: [f64; 4], stroke: &str) {
        let (x1, y1, x2, y2) = (num(x1), num(y1), num(x2), num(y2));
        self.element(format_args!(
            "line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{stroke}\""
        ));
    }

    pub(super) fn circle(&mut self, x: f64, y: f64, radius: f64, fill: &str) {
        let (x, y, r) = (num(x), num(y), num(radius));
        self.element(format_args!(
            "circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"{fill}\""
        ));
    }

    /// A line through points.
    pub(super) fn polyline(&mut self, points: &[(f64, f64)], stroke: &str, dashed: bool) {
        let text: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{},{}", num(*x), num(*y)))
            .collect();
        let dash = if dashed {
            " stroke-dasharray=\"6 4\""
        } else {
            ""
        };
        self.element(format_args!(
            "polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\" stroke-linejoin=\"round\"{dash}",
            text.join(" ")
        ));
    }

    /// A path as SVG writes it.
    pub(super) fn path(&mut self, d: &str, stroke: &str, fill: &str) {
        self.element(format_args!(
            "path d=\"{d}\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"1.5\""
        ));
    }

    pub(super) fn text(
        &mut self,
        x: f64,
        y: f64,
        size: f64,
        anchor: Anchor,
        fill: &str,
        text: &str,
    ) {
        self.styled(x, y, size, anchor, fill, text, "");
    }

    pub(super) fn bold(
        &mut self,
        x: f64,
        y: f64,
        size: f64,
        anchor: Anchor,
        fill: &str,
        text: &str,
    ) {
        self.styled(x, y, size, anchor, fill, text, " font-weight=\"bold\"");
    }

    /// A text that runs upwards.
    pub(super) fn upward(&mut self, x: f64, y: f64, size: f64, text: &str) {
        let turn = format!(" transform=\"rotate(-90 {} {})\"", num(x), num(y));
        self.styled(x, y, size, Anchor::Middle, INK, text, &turn);
    }

    fn styled(
        &mut self,
        x: f64,
        y: f64,
        size: f64,
        anchor: Anchor,
        fill: &str,
        text: &str,
        more: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, size) = (num(x), num(y), num(size));
        let _ = writeln!(
            self.body,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{fill}\"{more}>{}</text>",
            escape(text)
        );
    }
}

impl Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (w, h) = (num(self.width), num(self.height));
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" font-family=\"Helvetica, Arial, sans-serif\">"
        )?;
        write!(f, "{}</svg>", self.body)
    }
}

/// A coordinate with two decimals at most; what is not finite, which no picture should have, at 0.
fn num(v: f64) -> String {
    let v = if v.is_finite() {
        (v * 100.0).round() / 100.0
    } else {
        0.0
    };
    format!("{}", v + 0.0)
}

/// Text as XML holds it; characters that XML cannot hold become a replacement character.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\t' | '\n' | '\r' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// About how wide a text is, in a wide font.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let each = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | '\'' | '|' | '[' | ']' | '(' | ')' | ' '
        | 't' | 'f' => 0.32,
        'm' | 'w' | 'M' | 'W' => 0.86,
        'A'..='Z' => 0.68,
        '\u{0}'..='\u{ff}' => 0.56,
        _ => 1.0,
    };
    text.chars().map(each).sum::<f64>() * size * 1.15
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A strict look at the text: tags are closed in order, attributes quoted, entities known.
    pub fn well_formed(svg: &Svg) {
        let text = svg.to_string();
        let (mut open, mut rest) = (Vec::new(), text.as_str());
        while let Some(at) = rest.find('<') {
            let (before, tag) = rest.split_at(at);
            for part in before.split('&').skip(1) {
                let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
                assert!(known.iter().any(|k| part.starts_with(k)), "{part}");
            }
            assert!(!before.contains('>'), "{before}");
            let end = tag.find('>').expect("a tag ends");
            let inner = &tag[1..end];
            assert!(
                !inner.contains('<') && inner.matches('"').count() % 2 == 0,
                "{inner}"
            );
            match inner.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name.to_string())),
                None if inner.ends_with('/') => {}
                None => open.push(inner.split(' ').next().unwrap().to_string()),
            }
            rest = &tag[end + 1..];
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
        assert!(!text.contains("NaN") && !text.contains("inf\""), "{text}");
    }

    #[test]
    fn texts_are_escaped() {
        let mut svg = Svg::new(100.0, 50.0);
        svg.text(
            1.0,
            f64::NAN,
            12.0,
            Anchor::Start,
            INK,
            "a<b>&\"c\"'\u{1}\n",
        );
        well_formed(&svg);
        let text = svg.to_string();
        assert!(
            text.contains("a&lt;b&gt;&amp;&quot;c&quot;&#39;\u{fffd} <"),
            "{text}"
        );
        assert_eq!(
            (num(-0.001), num(1.005), num(2.0)),
            ("0".into(), "1".into(), "2".into())
        );
    }
}
