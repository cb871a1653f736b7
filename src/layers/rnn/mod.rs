//! Recurrent layers.

mod bidirectional;
mod builders;
mod cell;
mod formula;
mod gru;
mod layer;
mod lstm;
mod over_cells;
mod products;
mod recurrence;
mod simple_rnn;
#[cfg(test)]
mod tests;
mod time_distributed;

pub use bidirectional::{Bidirectional, MergeMode};
pub use cell::{At, Cell, Room, Step, StepBack, Way};
pub use formula::RecurrentCell;
pub use gru::{GRU, GRUCell};
pub use layer::{Cells, Placed, RecurrentLayer};
pub use lstm::{LSTM, LSTMCell};
pub use over_cells::{CellRef, CellTree, RNN, StackedRNNCells};
pub use simple_rnn::{SimpleRNN, SimpleRNNCell};
pub use time_distributed::TimeDistributed;
