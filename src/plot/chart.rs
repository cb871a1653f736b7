//! Axes: a frame with round ticks, a light grid, names and a legend.

use super::svg::{Anchor, GRID, INK, Svg, text_width};

/// One chart in a picture.
pub(super) struct Axes {
    /// `[x, y, width, height]` of the frame.
    frame: [f64; 4],
    x: Scale,
    y: Scale,
}

/// A range of values and its ticks.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// From round number to round number, around all finite values.
    pub fn around(values: impl IntoIterator<Item = f64>) -> Scale {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
            (l.min(v), h.max(v))
        });
        let (low, high) = match low <= high {
            true => (low, high),
            false => (0.0, 1.0),
        };
        // A single value gets some room around it.
        let room = if high - low > low.abs().max(high.abs()) * 1e-9 {
            0.0
        } else {
            (low.abs() * 0.1).max(0.5)
        };
        let (low, high) = (low - room, high + room);
        let step = round_step(high - low);
        Scale {
            low: (low / step).floor() * step,
            high: (high / step).ceil() * step,
            step,
        }
    }

    /// Exactly from `low` to `high`.
    pub fn exact(low: f64, high: f64) -> Scale {
        let high = if high > low { high } else { low + 1.0 };
        Scale {
            low,
            high,
            step: round_step(high - low),
        }
    }

    /// With ticks at whole numbers only.
    pub fn whole(mut self) -> Scale {
        self.step = self.step.max(1.0);
        self
    }

    fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let ticks = (first..first + 50).map(|i| i as f64 * self.step);
        ticks
            .take_while(|t| *t <= self.high + self.step * 1e-6)
            .collect()
    }

    fn place(&self, v: f64) -> f64 {
        (v - self.low) / (self.high - self.low)
    }

    /// A tick with as many decimals as its step needs.
    fn label(&self, v: f64) -> String {
        if v == 0.0 {
            return "0".into();
        }
        if self.high.abs().max(self.low.abs()) >= 1e6 || self.step < 1e-5 {
            return format!("{v:.2e}");
        }
        let decimals = (-self.step.log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{v:.decimals$}")
    }
}

/// 1, 2 or 5 times a power of ten, about a fifth of the range.
fn round_step(range: f64) -> f64 {
    let rough = range / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    match rough / power {
        m if m <= 1.0 + 1e-9 => power,
        m if m <= 2.0 + 1e-9 => 2.0 * power,
        m if m <= 5.0 + 1e-9 => 5.0 * power,
        _ => 10.0 * power,
    }
}

impl Axes {
    /// Draws the axes into `[x, y, width, height]` of the picture.
    pub fn new(
        svg: &mut Svg,
        [left, top, width, height]: [f64; 4],
        title: &str,
        (x_name, x): (&str, Scale),
        (y_name, y): (&str, Scale),
    ) -> Axes {
        let frame = [left + 62.0, top + 34.0, width - 82.0, height - 84.0];
        let axes = Axes { frame, x, y };
        let [fx, fy, fw, fh] = frame;
        for t in axes.x.ticks() {
            let (x, _) = axes.at(t, axes.y.low);
            svg.line([x, fy, x, fy + fh], GRID);
            svg.text(
                x,
                fy + fh + 16.0,
                11.0,
                Anchor::Middle,
                INK,
                &axes.x.label(t),
            );
        }
        for t in axes.y.ticks() {
            let (_, y) = axes.at(axes.x.low, t);
            svg.line([fx, y, fx + fw, y], GRID);
            svg.text(fx - 7.0, y + 4.0, 11.0, Anchor::End, INK, &axes.y.label(t));
        }
        svg.rect(frame, "none", "#9aa5b1");
        svg.bold(fx + fw / 2.0, top + 21.0, 14.0, Anchor::Middle, INK, title);
        svg.text(
            fx + fw / 2.0,
            fy + fh + 36.0,
            12.0,
            Anchor::Middle,
            INK,
            x_name,
        );
        svg.upward(left + 14.0, fy + fh / 2.0, 12.0, y_name);
        axes
    }

    /// Where a point lies in the picture.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let [left, top, width, height] = self.frame;
        (
            left + self.x.place(x) * width,
            top + (1.0 - self.y.place(y)) * height,
        )
    }

    /// A line; values that are not finite break it.
    pub fn line(&self, svg: &mut Svg, points: &[(f64, f64)], color: &str, dashed: bool) {
        for part in points.split(|(x, y)| !(x.is_finite() && y.is_finite())) {
            let part: Vec<_> = part.iter().map(|&(x, y)| self.at(x, y)).collect();
            if let [(x, y)] = part[..] {
                svg.circle(x, y, 3.0, color);
            } else if !part.is_empty() {
                svg.polyline(&part, color, dashed);
            }
        }
    }

    /// A bar from 0 (or the lower end) up to `y`.
    pub fn bar(&self, svg: &mut Svg, from: f64, to: f64, y: f64, color: &str) {
        let base = self.y.low.max(0.0);
        let ((x1, top), (x2, bottom)) = (self.at(from, y), self.at(to, base));
        svg.rect(
            [x1, top, (x2 - x1 - 0.5).max(0.5), bottom - top],
            color,
            "none",
        );
    }

    /// Names of the lines, in a corner: below where `low` says so.
    pub fn legend(&self, svg: &mut Svg, entries: &[(&str, &str, bool)], low: bool) {
        let [left, top, width, height] = self.frame;
        let widest = entries
            .iter()
            .map(|(name, ..)| text_width(name, 11.0))
            .fold(0.0, f64::max);
        let (w, h) = (widest + 44.0, entries.len() as f64 * 17.0 + 8.0);
        let x = left + width - w - 8.0;
        let y = if low {
            top + height - h - 8.0
        } else {
            top + 8.0
        };
        svg.round_rect([x, y, w, h], 3.0, "white", GRID, false);
        for (i, (name, color, dashed)) in entries.iter().enumerate() {
            let y = y + 16.0 + i as f64 * 17.0;
            svg.polyline(&[(x + 8.0, y - 4.0), (x + 30.0, y - 4.0)], color, *dashed);
            svg.text(x + 36.0, y, 11.0, Anchor::Start, INK, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let ticks = |low, high| Scale::around([low, f64::NAN, high]).ticks();
        assert_eq!(
            ticks(0.0, 1.0),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(ticks(3.0, 47.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(ticks(-0.03, 0.02).len(), 6);
        let one = Scale::around([7.0]);
        assert!(one.low < 7.0 && one.high > 7.0 && one.ticks().len() > 1);
        assert!(Scale::around([]).ticks().len() > 1);
        assert_eq!(Scale::exact(0.0, 2.0).whole().ticks(), [0.0, 1.0, 2.0]);
        assert_eq!(Scale::exact(0.0, 0.5).label(0.1), "0.1");
        assert_eq!(Scale::around([0.0, 3e8]).label(1e8), "1.00e8");
    }
}
