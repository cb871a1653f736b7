//! Preprocessing layers.

mod category_encoding;
mod discretization;
mod encoding;
mod fingerprint;
mod hashed_crossing;
mod hashing;
mod rescaling;
mod tokens;

pub use category_encoding::CategoryEncoding;
pub use discretization::Discretization;
pub use encoding::OutputMode;
pub use fingerprint::Salt;
pub use hashed_crossing::HashedCrossing;
pub use hashing::{Hashing, MaskValue};
pub use rescaling::Rescaling;
pub use tokens::{ToTokens, Token};
