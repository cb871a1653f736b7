//! Rescaling: `y = x scale + offset`; `dx = dy scale`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise;
use crate::kernels::spread::Spread;
use crate::layer::{Backward, Contract, Forward, Layer, MaskRule, Par};
use crate::layers::args::one_input;
use crate::shape::{Dims, MAX_RANK, Shape};

/// Multiplies its input by a constant and adds one.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_preprocessing/rescaling/)
///
/// Input and output have the same shape; masks are passed on. Arrays broadcast to samples from the last axis on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `scale` | | factor: a number, or an array |
/// | `offset` | 0 | what is added: a number, or an array |
///
/// ```
/// use oxhorn::{layers::Rescaling, prelude::*};
/// let mut model = Sequential::new().input([2]).add(Rescaling::new(0.5).offset([-1.0, 0.0]));
/// model.build([2])?;
/// assert_eq!(model.predict(&ndarray::array![[2.0f32, 4.0]])?, ndarray::array![[0.0, 2.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rescaling {
    scale: Constant,
    #[serde(default)]
    offset: Constant,
}

/// A constant: a number, or an array that broadcasts to samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Constant {
    shape: Dims,
    data: Vec<f64>,
}

impl Default for Constant {
    fn default() -> Self {
        Constant::from(0.0)
    }
}

impl From<f64> for Constant {
    fn from(number: f64) -> Self {
        Constant {
            shape: Dims::default(),
            data: vec![number],
        }
    }
}

impl<const N: usize> From<[f64; N]> for Constant {
    fn from(numbers: [f64; N]) -> Self {
        Constant {
            shape: [N].into(),
            data: numbers.to_vec(),
        }
    }
}

impl TryFrom<Value> for Constant {
    type Error = String;

    /// A number, nested lists, or Keras's `__numpy__` and `__tuple__`.
    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let mut constant = Constant {
            shape: Dims::default(),
            data: Vec::new(),
        };
        constant.read(&value, 0)?;
        Ok(constant)
    }
}

impl From<Constant> for Value {
    fn from(constant: Constant) -> Self {
        constant.write(0, &constant.data)
    }
}

impl Constant {
    fn read(&mut self, value: &Value, depth: usize) -> std::result::Result<(), String> {
        let wrapped = value.get("class_name").and_then(Value::as_str);
        if matches!(wrapped, Some("__numpy__" | "__tuple__")) && depth <= MAX_RANK {
            return self.read(&value["config"]["value"], depth);
        }
        match value {
            Value::Number(n) if depth == self.shape.len() => {
                self.data
                    .push(n.as_f64().ok_or("expected a number that fits")?);
                Ok(())
            }
            Value::Array(items) if depth < MAX_RANK && !items.is_empty() => {
                if depth == self.shape.len() && self.data.is_empty() {
                    self.shape.push(items.len());
                }
                if self.shape.get(depth) != Some(&items.len()) {
                    return Err("expected lists of equal lengths".into());
                }
                items.iter().try_for_each(|item| self.read(item, depth + 1))
            }
            _ => Err("expected a number, or lists of numbers of equal lengths".into()),
        }
    }

    fn write(&self, depth: usize, data: &[f64]) -> Value {
        match self.shape.get(depth) {
            None => json!(data[0]),
            Some(n) => data
                .chunks_exact(data.len() / n)
                .map(|part| self.write(depth + 1, part))
                .collect(),
        }
    }

    /// Its own shape.
    pub(super) fn shape(&self) -> Dims {
        self.shape
    }

    /// Its numbers.
    pub(super) fn values(&self) -> &[f64] {
        &self.data
    }

    pub(super) fn check(&self, arg: &str, x: &Shape) -> Result<()> {
        if self.data.iter().any(|v| !v.is_finite()) {
            return Err(Error::arg(
                arg,
                "finite numbers",
                format!("{:?}", self.data),
            ));
        }
        let skipped = x.rank().checked_sub(self.shape.len());
        let fits = skipped.is_some_and(|n| {
            let mut pairs = x.dims()[n..].iter().zip(self.shape.iter());
            pairs.all(|(d, s)| *s == 1 || d.is_none_or(|d| d == *s))
        });
        match fits {
            true => Ok(()),
            false => Err(Error::arg(
                arg,
                format!("a shape that broadcasts to {x}"),
                self.shape,
            )),
        }
    }

    /// `run(constant, y)` for every run of `y`.
    pub(super) fn sweep(
        &self,
        batch: usize,
        shape: &[usize],
        y: &mut [Float],
        run: fn(Float, &mut Float),
    ) {
        let spread = Spread::shared(batch, shape, &self.shape);
        for (i, y) in y.chunks_exact_mut(spread.run).enumerate() {
            let at = spread.start(i);
            for (k, y) in y.iter_mut().enumerate() {
                let at = at + if spread.moves { k } else { 0 };
                run(self.data[at] as Float, y);
            }
        }
    }

    fn number(&self) -> Option<Float> {
        match self.data[..] {
            [number] => Some(number as Float),
            _ => None,
        }
    }
}

impl Rescaling {
    /// Multiplies by this.
    pub fn new(scale: impl Into<Constant>) -> Self {
        Rescaling {
            scale: scale.into(),
            offset: Constant::default(),
        }
    }

    /// What is added.
    pub fn offset(mut self, offset: impl Into<Constant>) -> Self {
        self.offset = offset.into();
        self
    }

    fn multiply(&self, batch: usize, shape: &[usize], y: &mut [Float], par: Par) {
        match self.scale.number() {
            Some(scale) => par.for_each_rows(y, 1, |_, y| elementwise::scale(scale, y)),
            None => self.scale.sweep(batch, shape, y, |s, y| *y *= s),
        }
    }
}

impl Layer for Rescaling {
    fn class_name(&self) -> &'static str {
        "Rescaling"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = one_input(inputs)?;
        self.scale.check("scale", x)?;
        self.offset.check("offset", x)?;
        Ok(x.clone())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            in_place: true,
            mask: MaskRule::Pass,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let y = cx.y;
        self.multiply(y.batch, y.shape, y.data, cx.par);
        match self.offset.number() {
            Some(0.0) => {}
            Some(offset) => cx.par.for_each_rows(y.data, 1, |_, y| {
                y.iter_mut().for_each(|y| *y += offset);
            }),
            None => self.offset.sweep(y.batch, y.shape, y.data, |o, y| *y += o),
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            self.multiply(dx.batch, dx.shape, dx.data, cx.par);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;

    fn constant(value: Value) -> std::result::Result<Constant, String> {
        Constant::try_from(value)
    }

    #[test]
    fn laws() {
        check_layer(Rescaling::new(1.0 / 255.0).offset(-1.0), &[[3, 2].into()]);
        check_layer(
            Rescaling::new([0.1, -0.2, 0.3]).offset([1.0, 0.0, 2.0]),
            &[[2, 3].into()],
        );
        let column = constant(json!([[2.0], [3.0]])).unwrap();
        check_layer(Rescaling::new(column).offset(0.5), &[[2, 3].into()]);
    }

    #[test]
    fn constants_are_numbers_or_arrays() {
        let layer = Rescaling::new([2.0, 3.0]).offset(1.0);
        let (y, _) = apply(&layer, &[(&[1.0, 1.0, 0.0, 2.0], &[2, 2])], &[None], &[]);
        assert_eq!(y, [3.0, 4.0, 1.0, 7.0]);
        let numpy =
            json!({"class_name": "__numpy__", "config": {"value": [1, 2.5], "dtype": "float32"}});
        assert_eq!(constant(numpy).unwrap(), [1.0, 2.5].into());
        let nested = json!([[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(Value::from(constant(nested.clone()).unwrap()), nested);
        let mut deep = json!(1.0);
        (0..20).for_each(|_| deep = json!([deep.clone()]));
        for bad in [
            json!([]),
            json!([1, [2]]),
            json!([[1], [2, 3]]),
            json!("x"),
            json!(null),
            deep,
        ] {
            assert!(constant(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let e = Rescaling::new([1.0, 2.0])
            .output_shape(&[[3].into()])
            .unwrap_err();
        assert_eq!(
            e.owned_by("rescaling").to_string(),
            "rescaling: argument `scale`: expected a shape that broadcasts to (None, 3), got (2,)"
        );
        assert!(
            Rescaling::new(f64::INFINITY)
                .output_shape(&[[3].into()])
                .is_err()
        );
    }
}
