//! Arguments that the layers for images have in common.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::resize::Interpolation;

/// How strong a random change is: a number, or the two ends between which the strength is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Factor {
    /// Each layer says between what it draws.
    One(f64),
    /// Between these, in any order.
    Between(f64, f64),
}

impl From<f64> for Factor {
    fn from(factor: f64) -> Self {
        Factor::One(factor)
    }
}

impl From<[f64; 2]> for Factor {
    fn from([low, high]: [f64; 2]) -> Self {
        Factor::Between(low, high)
    }
}

impl From<(f64, f64)> for Factor {
    fn from((low, high): (f64, f64)) -> Self {
        Factor::Between(low, high)
    }
}

impl Factor {
    /// The two ends; a number `f` means `-f..f`, but nothing below `least`.
    pub(crate) fn ends(self, least: f64) -> [f64; 2] {
        match self {
            Factor::One(f) => [least.max(-f.abs()), f.abs()],
            Factor::Between(a, b) => [a.min(b), a.max(b)],
        }
    }

    /// A number between the [`ends`](Self::ends).
    pub(crate) fn draw(self, least: f64, rng: &mut SampleRng) -> Float {
        uniform(self.ends(least), rng)
    }

    /// Whether something happens whose probability is [drawn](Self::draw).
    pub(crate) fn happens(self, rng: &mut SampleRng) -> bool {
        let probability = self.draw(0.0, rng);
        rng.uniform() < probability
    }

    /// Keras's check of most layers: a number must be within the bounds, a pair need only touch them.
    pub(crate) fn check(self, arg: &str, least: f64, most: f64) -> Result<()> {
        match self {
            Factor::Between(a, b) if a.is_finite() && b.is_finite() && a <= most && b >= least => {
                Ok(())
            }
            _ => self.check_within(arg, least, most),
        }
    }

    /// The check where every number must be within the bounds.
    pub(crate) fn check_within(self, arg: &str, least: f64, most: f64) -> Result<()> {
        let within = |f: f64| (least..=most).contains(&f);
        match self {
            Factor::One(f) if within(f) => Ok(()),
            Factor::Between(a, b) if within(a) && within(b) => Ok(()),
            other => {
                let want = format!("a number, or two, in [{least}, {most}]");
                Err(Error::arg(arg, want, other.shown()))
            }
        }
    }

    fn shown(self) -> String {
        match self {
            Factor::One(f) => f.to_string(),
            Factor::Between(a, b) => format!("[{a}, {b}]"),
        }
    }
}

/// Uniform between the ends.
pub(crate) fn uniform([low, high]: [f64; 2], rng: &mut SampleRng) -> Float {
    low as Float + rng.uniform() * (high - low) as Float
}

/// Smallest and largest value of pixels. Default 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueRange(f64, f64);

impl Default for ValueRange {
    fn default() -> Self {
        ValueRange(0.0, 255.0)
    }
}

impl From<[f64; 2]> for ValueRange {
    fn from([low, high]: [f64; 2]) -> Self {
        ValueRange(low, high)
    }
}

impl From<(f64, f64)> for ValueRange {
    fn from((low, high): (f64, f64)) -> Self {
        ValueRange(low, high)
    }
}

impl ValueRange {
    /// The range `0..=1`.
    pub(crate) const UNIT: ValueRange = ValueRange(0.0, 1.0);

    pub(crate) fn check(self) -> Result<()> {
        match self.0.is_finite() && self.1.is_finite() && self.0 != self.1 {
            true => Ok(()),
            false => {
                let got = format!("[{}, {}]", self.0, self.1);
                Err(Error::arg("value_range", "two numbers that differ", got))
            }
        }
    }

    /// In ascending order, as most layers take it.
    pub(crate) fn sorted(self) -> Self {
        ValueRange(self.0.min(self.1), self.0.max(self.1))
    }

    pub(crate) fn first(self) -> Float {
        self.0 as Float
    }

    pub(crate) fn second(self) -> Float {
        self.1 as Float
    }

    /// From one range to another.
    pub(crate) fn map(self, to: ValueRange, x: Float) -> Float {
        if self == to {
            return x;
        }
        (x - self.first()) / (self.second() - self.first()) * (to.second() - to.first())
            + to.first()
    }

    pub(crate) fn clip(self, x: Float) -> Float {
        x.max(self.first()).min(self.second())
    }
}

/// What stands beyond the borders of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum FillMode {
    /// The image mirrored at its border: `dcba|abcd|dcba`.
    #[default]
    Reflect,
    /// `fill_value`.
    Constant,
    /// The image again: `abcd|abcd|abcd`.
    Wrap,
    /// The pixel at the border: `aaaa|abcd|dddd`.
    Nearest,
    /// A name that is not known.
    #[doc(hidden)]
    Invalid(String),
}

const MODES: [&str; 4] = ["reflect", "constant", "wrap", "nearest"];

impl From<&str> for FillMode {
    fn from(name: &str) -> Self {
        match name {
            "reflect" => FillMode::Reflect,
            "constant" => FillMode::Constant,
            "wrap" => FillMode::Wrap,
            "nearest" => FillMode::Nearest,
            _ => FillMode::Invalid(name.to_string()),
        }
    }
}

impl From<String> for FillMode {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

impl From<FillMode> for String {
    fn from(mode: FillMode) -> Self {
        match mode {
            FillMode::Reflect => MODES[0],
            FillMode::Constant => MODES[1],
            FillMode::Wrap => MODES[2],
            FillMode::Nearest => MODES[3],
            FillMode::Invalid(name) => return name,
        }
        .to_string()
    }
}

impl FillMode {
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            FillMode::Invalid(name) => Err(Error::unknown("fill_mode", name, MODES)),
            _ => Ok(()),
        }
    }
}

/// Default of the interpolation.
pub(crate) fn bilinear() -> Interpolation {
    Interpolation::Bilinear
}

/// An error unless the number is finite.
pub(crate) fn check_finite(arg: &str, number: f64) -> Result<()> {
    match number.is_finite() {
        true => Ok(()),
        false => Err(Error::arg(arg, "a finite number", number)),
    }
}

/// An error unless the number is finite and positive.
pub(crate) fn check_positive(arg: &str, number: f64) -> Result<()> {
    match number.is_finite() && number > 0.0 {
        true => Ok(()),
        false => Err(Error::arg(arg, "a positive number", number)),
    }
}

/// An error unless the images have as many channels as one of these.
pub(crate) fn check_channels(channels: Option<usize>, allowed: &[usize]) -> Result<()> {
    match channels {
        Some(n) if !allowed.contains(&n) => {
            let want: Vec<String> = allowed.iter().map(usize::to_string).collect();
            Err(Error::shape(
                format!("images of {} channels", want.join(" or ")),
                n,
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_str, to_string};

    #[test]
    fn factors_are_one_number_or_two() {
        let read = |s| from_str::<Factor>(s).unwrap();
        assert_eq!(read("0.2").ends(-1.0), [-0.2, 0.2]);
        assert_eq!(read("-0.2").ends(0.0), [0.0, 0.2]);
        assert_eq!(read("[0.5, -0.25]").ends(0.0), [-0.25, 0.5]);
        assert_eq!(to_string(&read("[0, 0.3]")).unwrap(), "[0.0,0.3]");
        for bad in ["[1]", "[1, 2, 3]", "\"x\"", "null"] {
            assert!(from_str::<Factor>(bad).is_err(), "{bad}");
        }
        let factor = Factor::from((-0.5, 0.5));
        assert!(factor.check("factor", 0.0, 1.0).is_ok());
        let e = factor.check_within("factor", 0.0, 1.0).unwrap_err();
        let want =
            "layer: argument `factor`: expected a number, or two, in [0, 1], got [-0.5, 0.5]";
        assert_eq!(e.owned_by("layer").to_string(), want);
        assert!(Factor::from(f64::NAN).check("factor", 0.0, 1.0).is_err());
        assert!(
            Factor::from((0.0, f64::INFINITY))
                .check("factor", 0.0, 1.0)
                .is_err()
        );
    }

    #[test]
    fn draws_are_uniform() {
        let mut rng = crate::layer::Stream::new(1, 2, 3).at(0);
        let draws: Vec<Float> = (0..10_000)
            .map(|_| Factor::from(0.2).draw(-1.0, &mut rng))
            .collect();
        let mean = draws.iter().sum::<Float>() / 10_000.0;
        let square = draws.iter().map(|d| d * d).sum::<Float>() / 10_000.0;
        assert!(mean.abs() < 0.004 && (square - 0.04 / 3.0).abs() < 0.001);
        assert!(draws.iter().all(|d| d.abs() <= 0.2));
    }

    #[test]
    fn ranges_map_to_each_other() {
        let range = ValueRange::from((1.0, -1.0)).sorted();
        assert_eq!(range.map(ValueRange::default(), 0.0), 127.5);
        assert_eq!(ValueRange::UNIT.map(range, 0.25), -0.5);
        assert_eq!(range.clip(3.0), 1.0);
        assert!(ValueRange::from((1.0, 1.0)).check().is_err());
        assert!(ValueRange::from((1.0, f64::NAN)).check().is_err());
        assert!(from_str::<ValueRange>("[0, 1, 2]").is_err());
        assert_eq!(from_str::<FillMode>("\"wrap\"").unwrap(), FillMode::Wrap);
        let e = FillMode::from("reflekt").check().unwrap_err();
        assert!(e.to_string().contains("did you mean `reflect`?"), "{e}");
    }
}
