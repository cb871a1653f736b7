//! Recurrent layers.

mod bidirectional;
mod builders;
mod cell;
#[cfg(feature = "convolution")]
mod conv_lstm;
#[cfg(feature = "convolution")]
mod conv_lstm_cell;
mod directions;
mod formula;
mod gru;
mod layer;
mod lstm;
mod merge;
mod over_cells;
mod products;
mod recurrence;
mod simple_rnn;
#[cfg(test)]
mod tests;
mod time_distributed;
mod walk;

/// Keras's classes of cells.
pub(crate) const CELLS: [&str; 4] = ["SimpleRNNCell", "LSTMCell", "GRUCell", "StackedRNNCells"];

pub use bidirectional::Bidirectional;
pub use cell::{AllRows, At, Cell, Room, Step, StepBack, Way};
#[cfg(feature = "convolution")]
pub use conv_lstm::{ConvLSTM1D, ConvLSTM2D, ConvLSTM3D};
#[cfg(feature = "convolution")]
pub use conv_lstm_cell::ConvLSTMCell;
pub use formula::RecurrentCell;
pub use gru::{GRU, GRUCell};
pub use layer::{Cells, Placed, RecurrentLayer};
pub use lstm::{LSTM, LSTMCell};
pub use merge::MergeMode;
pub use over_cells::{CellRef, CellTree, RNN, StackedRNNCells};
pub use simple_rnn::{SimpleRNN, SimpleRNNCell};
pub use time_distributed::TimeDistributed;

use super::{Entry, read};

/// The classes of this family.
pub(super) const TABLE: &[Entry] = &[
    ("Bidirectional", read::<Bidirectional>),
    #[cfg(feature = "convolution")]
    ("ConvLSTM1D", ConvLSTM1D::read),
    #[cfg(feature = "convolution")]
    ("ConvLSTM2D", ConvLSTM2D::read),
    #[cfg(feature = "convolution")]
    ("ConvLSTM3D", ConvLSTM3D::read),
    ("GRU", GRU::read),
    ("LSTM", LSTM::read),
    ("RNN", RNN::read),
    ("SimpleRNN", SimpleRNN::read),
    ("TimeDistributed", read::<TimeDistributed>),
];
