//! Pooling layers.

mod adaptive_average_pooling;
mod adaptive_max_pooling;
mod average_pooling;
mod global_average_pooling;
mod global_max_pooling;
mod max_pooling;
mod operation;

pub use adaptive_average_pooling::{
    AdaptiveAveragePooling, AdaptiveAveragePooling1D, AdaptiveAveragePooling2D,
    AdaptiveAveragePooling3D,
};
pub use adaptive_max_pooling::{
    AdaptiveMaxPooling, AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D,
};
pub use average_pooling::{AveragePooling, AveragePooling1D, AveragePooling2D, AveragePooling3D};
pub use global_average_pooling::{
    GlobalAveragePooling, GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D,
};
pub use global_max_pooling::{
    GlobalMaxPooling, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D,
};
pub use max_pooling::{MaxPooling, MaxPooling1D, MaxPooling2D, MaxPooling3D};

use super::{Entry, read};

/// The classes of this family.
pub(super) const TABLE: &[Entry] = &[
    ("AdaptiveAveragePooling1D", read::<AdaptiveAveragePooling1D>),
    ("AdaptiveAveragePooling2D", read::<AdaptiveAveragePooling2D>),
    ("AdaptiveAveragePooling3D", read::<AdaptiveAveragePooling3D>),
    ("AdaptiveMaxPooling1D", read::<AdaptiveMaxPooling1D>),
    ("AdaptiveMaxPooling2D", read::<AdaptiveMaxPooling2D>),
    ("AdaptiveMaxPooling3D", read::<AdaptiveMaxPooling3D>),
    ("AveragePooling1D", read::<AveragePooling1D>),
    ("AveragePooling2D", read::<AveragePooling2D>),
    ("AveragePooling3D", read::<AveragePooling3D>),
    ("GlobalAveragePooling1D", read::<GlobalAveragePooling1D>),
    ("GlobalAveragePooling2D", read::<GlobalAveragePooling2D>),
    ("GlobalAveragePooling3D", read::<GlobalAveragePooling3D>),
    ("GlobalMaxPooling1D", read::<GlobalMaxPooling1D>),
    ("GlobalMaxPooling2D", read::<GlobalMaxPooling2D>),
    ("GlobalMaxPooling3D", read::<GlobalMaxPooling3D>),
    ("MaxPooling1D", read::<MaxPooling1D>),
    ("MaxPooling2D", read::<MaxPooling2D>),
    ("MaxPooling3D", read::<MaxPooling3D>),
];
