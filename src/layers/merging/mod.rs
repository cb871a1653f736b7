//! Merging layers: several inputs, one output.

mod add;
mod average;
pub(crate) mod base_merge;
mod concatenate;
mod dot;
mod extremum;
#[cfg(test)]
mod mask_tests;
mod maximum;
mod minimum;
mod multiply;
mod subtract;

pub use add::Add;
pub use average::Average;
pub use concatenate::Concatenate;
pub use dot::Dot;
pub use maximum::Maximum;
pub use minimum::Minimum;
pub use multiply::Multiply;
pub use subtract::Subtract;

use super::{Entry, read};

/// The classes of this family.
pub(super) const TABLE: &[Entry] = &[
    ("Add", read::<Add>),
    ("Average", read::<Average>),
    ("Concatenate", read::<Concatenate>),
    ("Dot", read::<Dot>),
    ("Maximum", read::<Maximum>),
    ("Minimum", read::<Minimum>),
    ("Multiply", read::<Multiply>),
    ("Subtract", read::<Subtract>),
];
