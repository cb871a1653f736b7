//! `ConvLSTM1D`, `ConvLSTM2D`, `ConvLSTM3D`; the mathematics are those of the [cell](ConvLSTMCell).

use std::sync::Arc;

use super::conv_lstm_cell::{ConvLSTMCell, FORM, Form};
use super::formula::Arguments;
use super::layer::{Options, RecurrentLayer};
use super::lstm::Lstm;
use crate::activation::Activation;
use crate::config::{Config, from_config};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layers::args::{DataFormat, Sizes};
use crate::layers::geometry::{Padding, ones};

/// Convolutional LSTM over sequences of sequences. [Keras](https://keras.io/api/layers/recurrent_layers/conv_lstm1d/)
///
/// Input `(batch, time, steps, channels)`, output `(batch, steps', filters)`, or `(batch, time, steps', filters)` with
/// `return_sequences`. Arguments are those of [`ConvLSTMCell`] and [`RecurrentLayer`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([3, 8, 2]).add(ConvLSTM1D::new(4, 3));
/// model.build([3, 8, 2])?;
/// assert_eq!(model.predict(&ndarray::Array4::<f32>::ones((1, 3, 8, 2)))?.shape(), [1, 6, 4]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type ConvLSTM1D = RecurrentLayer<ConvLSTMCell<1>>;

/// Convolutional LSTM over sequences of images. [Keras](https://keras.io/api/layers/recurrent_layers/conv_lstm2d/)
///
/// Input `(batch, time, height, width, channels)`, output `(batch, height', width', filters)`, or with the time axis with
/// `return_sequences`. Arguments are those of [`ConvLSTMCell`] and [`RecurrentLayer`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([3, 8, 8, 1])
///     .add(ConvLSTM2D::new(4, 3).padding("same").return_sequences(true));
/// model.build([3, 8, 8, 1])?;
/// assert_eq!(model.predict(&ndarray::Array5::<f32>::ones((1, 3, 8, 8, 1)))?.shape(), [1, 3, 8, 8, 4]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type ConvLSTM2D = RecurrentLayer<ConvLSTMCell<2>>;

/// Convolutional LSTM over sequences of volumes. [Keras](https://keras.io/api/layers/recurrent_layers/conv_lstm3d/)
///
/// Input `(batch, time, depth, height, width, channels)`, output the same without time, with other sizes and `filters`; with
/// `return_sequences` with time. Arguments are those of [`ConvLSTMCell`] and [`RecurrentLayer`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([2, 4, 4, 4, 1]).add(ConvLSTM3D::new(2, [1, 2, 3]).strides(2));
/// model.build([2, 4, 4, 4, 1])?;
/// assert_eq!(model.output_shapes()[0].to_string(), "(None, 2, 2, 1, 2)");
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type ConvLSTM3D = RecurrentLayer<ConvLSTMCell<3>>;

impl<const R: usize> RecurrentLayer<ConvLSTMCell<R>> {
    /// With so many filters of this size.
    pub fn new(filters: usize, kernel_size: impl Into<Sizes<R>>) -> Self {
        RecurrentLayer::of(ConvLSTMCell {
            form: Form {
                filters,
                kernel_size: kernel_size.into(),
                strides: ones(),
                padding: Padding::Valid,
                data_format: DataFormat::ChannelsLast,
                dilation_rate: ones(),
            },
            args: Arguments::new::<Lstm>(filters),
        })
    }

    /// Reads the layer's configuration.
    pub(crate) fn read(class: &str, config: &Config) -> Result<Arc<dyn Layer>> {
        let mut config = config.clone();
        let options = Options::take(class, &mut config)?;
        let mut form = Config::new();
        for key in FORM {
            form.extend(config.shift_remove(key).map(|v| (key.into(), v)));
        }
        let form: Form<R> = from_config(class, &form)?;
        if config.contains_key("units") {
            let problem = "unknown field `units`".into();
            return Err(Error::Config {
                path: class.into(),
                problem,
            });
        }
        config.insert("units".into(), form.filters.into());
        let mut args: Arguments = from_config(class, &config)?;
        args.complete::<Lstm>().map_err(|problem| Error::Config {
            path: class.into(),
            problem,
        })?;
        let cell = ConvLSTMCell { form, args };
        Ok(Arc::new(RecurrentLayer::with_options(cell, options)))
    }

    /// Distance of neighbouring windows over the input.
    pub fn strides(mut self, strides: impl Into<Sizes<R>>) -> Self {
        self.cells.form.strides = strides.into();
        self
    }

    /// What happens at the borders of the input.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.cells.form.padding = padding.into();
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, format: impl Into<DataFormat>) -> Self {
        self.cells.form.data_format = format.into();
        self
    }

    /// Distance of neighbouring taps over the input.
    pub fn dilation_rate(mut self, rate: impl Into<Sizes<R>>) -> Self {
        self.cells.form.dilation_rate = rate.into();
        self
    }

    /// Function of the gates.
    pub fn recurrent_activation(mut self, activation: impl Into<Activation>) -> Self {
        self.cells.args.recurrent_activation = Some(activation.into());
        self
    }

    /// Whether the bias of the forget gate starts at 1.
    pub fn unit_forget_bias(mut self, yes: bool) -> Self {
        self.cells.args.unit_forget_bias = Some(yes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Layer;
    use crate::shape::Shape;
    use crate::testing::{check_layer, check_masked_layer};

    #[test]
    fn laws() {
        check_layer(
            ConvLSTM1D::new(2, 3).padding("same").return_sequences(true),
            &[[3, 5, 2].into()],
        );
        check_layer(
            ConvLSTM1D::new(2, 2).dilation_rate(2).use_bias(false),
            &[[2, 5, 1].into()],
        );
        let image = || Shape::from([3, 4, 3, 2]);
        check_layer(
            ConvLSTM2D::new(2, [2, 3])
                .strides([2, 1])
                .return_state(true),
            &[image()],
        );
        check_layer(
            ConvLSTM2D::new(1, 2).padding("same").activation("gelu"),
            &[image()],
        );
        let first = ConvLSTM2D::new(3, 2)
            .data_format("channels_first")
            .padding("same");
        check_layer(
            first.return_sequences(true).stateful(true),
            &[[2, 2, 4, 3].into()],
        );
        check_layer(ConvLSTM3D::new(1, [1, 2, 1]), &[[2, 2, 3, 2, 1].into()]);
        let masked = ConvLSTM1D::new(2, 2).padding("same").go_backwards(true);
        check_masked_layer(
            masked.return_sequences(true),
            &[[4, 3, 2].into()],
            &[Some([4].into())],
        );
    }

    #[test]
    fn every_gate_has_dropout_masks_of_its_own() {
        check_layer(ConvLSTM1D::new(2, 2).dropout(0.4), &[[2, 4, 1].into()]);
        let both = ConvLSTM2D::new(1, 2)
            .padding("same")
            .dropout(0.3)
            .recurrent_dropout(0.4);
        check_layer(both, &[[2, 3, 2, 2].into()]);
        let first = ConvLSTM1D::new(3, 2)
            .data_format("channels_first")
            .recurrent_dropout(0.5);
        check_layer(first, &[[2, 2, 4].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        let said = |layer: ConvLSTM2D, x: Shape| {
            let e = layer.output_shape(&[x]).unwrap_err();
            e.owned_by("c").to_string()
        };
        let x = || Shape::from([3, 4, 4, 1]);
        assert!(said(ConvLSTM2D::new(0, 2), x()).contains("`filters`"));
        assert!(said(ConvLSTM2D::new(usize::MAX, 2), x()).contains("`units`"));
        assert!(said(ConvLSTM2D::new(1, 0), x()).contains("`kernel_size`"));
        assert!(said(ConvLSTM2D::new(1, 2).strides(0), x()).contains("`strides`"));
        assert!(
            said(ConvLSTM2D::new(1, 2).strides(2).dilation_rate(2), x())
                .contains("`dilation_rate`")
        );
        assert!(said(ConvLSTM2D::new(1, 2).padding("causal"), x()).contains("`padding`"));
        assert!(said(ConvLSTM2D::new(1, 5), x()).contains("at least one window"));
        let unknown = Shape::from([Some(3), None, Some(4), Some(1)]);
        assert!(said(ConvLSTM2D::new(1, 2), unknown).contains("known spatial sizes"));
        assert!(said(ConvLSTM2D::new(1, 2), [3, 4, 1].into()).contains("axes"));
        let rows = ConvLSTM2D::new(1, 2)
            .data_format("channels_first")
            .activation("softmax");
        assert!(said(rows, [3, 1, 4, 4].into()).contains("`activation`"));
        let e = ConvLSTM2D::read("ConvLSTM2D", &ConvLSTM1D::new(1, 2).config()).unwrap_err();
        assert!(e.to_string().contains("sizes"), "{e}");
    }
}
