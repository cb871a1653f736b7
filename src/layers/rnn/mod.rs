//! Recurrent layers.

mod builders;
mod cell;
mod formula;
mod gru;
mod layer;
mod lstm;
mod products;
mod recurrence;
mod simple_rnn;
#[cfg(test)]
mod tests;

pub use cell::{At, Cell, Room, Step, StepBack, Way};
pub use formula::RecurrentCell;
pub use gru::{GRU, GRUCell};
pub use layer::{Cells, RecurrentLayer};
pub use lstm::{LSTM, LSTMCell};
pub use simple_rnn::{SimpleRNN, SimpleRNNCell};
