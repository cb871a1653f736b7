//! Keras's layers, one file each, in Keras's folders.

mod args;
mod axes;
pub mod convolutional;
pub mod core;
mod equation;
pub mod geometry;
pub(crate) mod inner;
mod layout;
pub mod merging;
pub mod normalization;
pub mod ops;
pub mod pooling;
pub mod regularization;
pub mod reshaping;
pub mod rnn;

pub use args::{DataFormat, Sizes};
pub use axes::Axes;
pub use convolutional::{
    Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D, Conv3DTranspose, DepthwiseConv1D,
    DepthwiseConv2D, SeparableConv1D, SeparableConv2D,
};
pub use core::{Activation, Dense};
pub use geometry::Padding;
pub use merging::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
pub use normalization::{
    BatchNormalization, GroupNormalization, LayerNormalization, RMSNormalization, RenormClipping,
    SpectralNormalization, UnitNormalization,
};
pub use pooling::{
    AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D, AveragePooling1D,
    AveragePooling2D, AveragePooling3D, GlobalAveragePooling1D, GlobalAveragePooling2D,
    GlobalAveragePooling3D, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D,
    MaxPooling1D, MaxPooling2D, MaxPooling3D,
};
pub use regularization::Dropout;
pub use reshaping::{Flatten, Reshape};
pub use rnn::{
    Bidirectional, ConvLSTM1D, ConvLSTM2D, ConvLSTM3D, GRU, GRUCell, LSTM, LSTMCell, RNN,
    SimpleRNN, SimpleRNNCell, StackedRNNCells, TimeDistributed,
};

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::config::{Config, from_config as parse};
use crate::error::Result;
use crate::layer::Layer;

/// Reads a layer of one class.
type Reader = fn(&str, &Config) -> Result<Arc<dyn Layer>>;

fn read<L: Layer + DeserializeOwned + 'static>(
    class: &str,
    config: &Config,
) -> Result<Arc<dyn Layer>> {
    Ok(Arc::new(parse::<L>(class, config)?))
}

/// The table of layers by Keras's class name: one line each.
const TABLE: &[(&str, Reader)] = &[
    ("Activation", read::<Activation>),
    ("AdaptiveAveragePooling1D", read::<AdaptiveAveragePooling1D>),
    ("AdaptiveAveragePooling2D", read::<AdaptiveAveragePooling2D>),
    ("AdaptiveAveragePooling3D", read::<AdaptiveAveragePooling3D>),
    ("AdaptiveMaxPooling1D", read::<AdaptiveMaxPooling1D>),
    ("AdaptiveMaxPooling2D", read::<AdaptiveMaxPooling2D>),
    ("AdaptiveMaxPooling3D", read::<AdaptiveMaxPooling3D>),
    ("Add", read::<Add>),
    ("Average", read::<Average>),
    ("AveragePooling1D", read::<AveragePooling1D>),
    ("AveragePooling2D", read::<AveragePooling2D>),
    ("AveragePooling3D", read::<AveragePooling3D>),
    ("BatchNormalization", read::<BatchNormalization>),
    ("Bidirectional", read::<Bidirectional>),
    ("Concatenate", read::<Concatenate>),
    ("Conv1D", read::<Conv1D>),
    ("Conv1DTranspose", read::<Conv1DTranspose>),
    ("Conv2D", read::<Conv2D>),
    ("Conv2DTranspose", read::<Conv2DTranspose>),
    ("Conv3D", read::<Conv3D>),
    ("Conv3DTranspose", read::<Conv3DTranspose>),
    ("ConvLSTM1D", ConvLSTM1D::read),
    ("ConvLSTM2D", ConvLSTM2D::read),
    ("ConvLSTM3D", ConvLSTM3D::read),
    ("Dense", read::<Dense>),
    ("DepthwiseConv1D", read::<DepthwiseConv1D>),
    ("DepthwiseConv2D", read::<DepthwiseConv2D>),
    ("Dot", read::<Dot>),
    ("Dropout", read::<Dropout>),
    ("Flatten", read::<Flatten>),
    ("GlobalAveragePooling1D", read::<GlobalAveragePooling1D>),
    ("GlobalAveragePooling2D", read::<GlobalAveragePooling2D>),
    ("GlobalAveragePooling3D", read::<GlobalAveragePooling3D>),
    ("GlobalMaxPooling1D", read::<GlobalMaxPooling1D>),
    ("GlobalMaxPooling2D", read::<GlobalMaxPooling2D>),
    ("GlobalMaxPooling3D", read::<GlobalMaxPooling3D>),
    ("GRU", GRU::read),
    ("GroupNormalization", read::<GroupNormalization>),
    ("LSTM", LSTM::read),
    ("LayerNormalization", read::<LayerNormalization>),
    ("MaxPooling1D", read::<MaxPooling1D>),
    ("MaxPooling2D", read::<MaxPooling2D>),
    ("MaxPooling3D", read::<MaxPooling3D>),
    ("Maximum", read::<Maximum>),
    ("Minimum", read::<Minimum>),
    ("Multiply", read::<Multiply>),
    ("RNN", RNN::read),
    ("RMSNormalization", read::<RMSNormalization>),
    ("Reshape", read::<Reshape>),
    ("SeparableConv1D", read::<SeparableConv1D>),
    ("SeparableConv2D", read::<SeparableConv2D>),
    ("SimpleRNN", SimpleRNN::read),
    ("SpectralNormalization", read::<SpectralNormalization>),
    ("Subtract", read::<Subtract>),
    ("TimeDistributed", read::<TimeDistributed>),
    ("UnitNormalization", read::<UnitNormalization>),
];

/// Whether there is a layer, or a recurrent cell, of this class.
pub fn is_known(class: &str) -> bool {
    TABLE.iter().any(|(name, _)| *name == class) || rnn::CELLS.contains(&class)
}

/// The layer of this class with these arguments; `None` if the class is not known.
pub fn from_config(class: &str, config: &Config) -> Option<Result<Arc<dyn Layer>>> {
    TABLE
        .iter()
        .find(|(name, _)| *name == class)
        .map(|(_, read)| read(class, config))
}
