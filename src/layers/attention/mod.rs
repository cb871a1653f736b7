//! Attention layers.

mod additive_attention;
#[expect(clippy::module_inception)]
mod attention;
mod group_query_attention;
mod head_shapes;
mod heads;
mod masks;
mod multi_head_attention;
mod projection;
mod scored;
mod scores;

pub use additive_attention::AdditiveAttention;
pub use attention::Attention;
pub use group_query_attention::GroupQueryAttention;
pub use multi_head_attention::MultiHeadAttention;

use super::{Entry, read};

/// The classes of this family.
pub(super) const TABLE: &[Entry] = &[
    ("AdditiveAttention", read::<AdditiveAttention>),
    ("Attention", read::<Attention>),
    ("GroupQueryAttention", read::<GroupQueryAttention>),
    ("MultiHeadAttention", read::<MultiHeadAttention>),
];
