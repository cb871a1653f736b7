//! Flatten: all axes of a sample become one. The numbers stay where they are, unless channels come first: then they are moved
//! behind the other axes, and `dx` is `dy` with them moved back.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::Result;
use crate::kernels::permute::permute;
use crate::layer::{Backward, Contract, Forward, Layer};
use crate::layers::args::{DataFormat, checked, one_input};
use crate::shape::{Dims, Shape};

/// Flattens each sample to one axis. [Keras](https://keras.io/api/layers/reshaping_layers/flatten/)
///
/// Input `(batch, ..)`, output `(batch, product)`; a sample without axes gets one of size 1. Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `data_format` | `channels_last` | or `channels_first`: the first axis of a sample is put behind the others |
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([2, 3]).add(Flatten::new());
/// model.build([2, 3])?;
/// let y = model.predict(&ndarray::Array3::<f32>::ones((5, 2, 3)))?;
/// assert_eq!(y.shape(), [5, 6]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Flatten {
    /// Without arguments.
    pub fn new() -> Self {
        Flatten::default()
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }

    fn moves(&self) -> bool {
        self.data_format == DataFormat::ChannelsFirst
    }
}

impl Layer for Flatten {
    fn class_name(&self) -> &'static str {
        "Flatten"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.data_format.check()?;
        checked(Shape::from([one_input(inputs)?.numel()]))
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            in_place: !self.moves(),
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        if self.moves() {
            let x = cx.x[0];
            let axes = rotated(x.shape.len(), 1);
            permute(x.data, x.shape, &axes, cx.y.data, cx.par);
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        if let (true, Some(dx)) = (self.moves(), &mut cx.dx[0]) {
            let rank = dx.shape.len();
            let mut shape = Dims::default();
            rotated(rank, 1)
                .iter()
                .for_each(|&axis| shape.push(dx.shape[axis]));
            permute(
                cx.dy.data,
                &shape,
                &rotated(rank, rank.max(1) - 1),
                dx.data,
                cx.par,
            );
        }
    }
}

/// The axes from `first` on, then those before it.
fn rotated(rank: usize, first: usize) -> Dims {
    let mut axes = Dims::default();
    (0..rank).for_each(|i| axes.push((i + first) % rank));
    axes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(Flatten::new(), &[[2, 3, 4].into()]);
        check_layer(Flatten::new(), &[Shape::default()]);
        let first = || Flatten::new().data_format("channels_first");
        check_layer(first(), &[[2, 3, 4].into()]);
        check_layer(first(), &[[2, 3].into()]);
        check_layer(first(), &[[3].into()]);
        check_layer(first(), &[Shape::default()]);
        assert_eq!(
            Flatten::new()
                .output_shape(&[[None, Some(3)].into()])
                .unwrap(),
            Shape::from([None])
        );
    }

    #[test]
    fn channels_move_behind() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let layer = Flatten::new().data_format("channels_first");
        let (y, _) = apply(&layer, &[(&x, &[2, 3])], &[None], &[]);
        assert_eq!(y, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let wrong = Flatten::new().data_format("first");
        assert!(wrong.output_shape(&[[2].into()]).is_err());
    }
}
