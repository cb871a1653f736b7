//! Recurrent layers.

mod bidirectional;
mod builders;
mod cell;
mod conv_lstm;
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
pub use conv_lstm::{ConvLSTM1D, ConvLSTM2D, ConvLSTM3D};
pub use conv_lstm_cell::ConvLSTMCell;
pub use formula::RecurrentCell;
pub use gru::{GRU, GRUCell};
pub use layer::{Cells, Placed, RecurrentLayer};
pub use lstm::{LSTM, LSTMCell};
pub use merge::MergeMode;
pub use over_cells::{CellRef, CellTree, RNN, StackedRNNCells};
pub use simple_rnn::{SimpleRNN, SimpleRNNCell};
pub use time_distributed::TimeDistributed;
