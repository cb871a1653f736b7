//! The structs of the losses: arguments with Keras's names and defaults.

/// A struct of arguments, its defaults, its serde form (Keras's configuration) and one builder method an argument; `name` and
/// `reduction` are everybody's. Arguments behind a semicolon have a builder that is written by hand.
macro_rules! loss {
    (
        $(#[$doc:meta])*
        $loss:ident named $name:literal {
            $($(#[$arg_doc:meta])* $arg:ident: $type:ty = $default:expr,)*
            $(; $($field:ident: $field_type:ty = $field_default:expr,)*)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $loss {
            name: String,
            reduction: crate::losses::Reduction,
            $($arg: $type,)*
            $($($field: $field_type,)*)?
        }

        impl Default for $loss {
            fn default() -> Self {
                $loss {
                    name: $name.into(),
                    reduction: Default::default(),
                    $($arg: $default,)*
                    $($($field: $field_default,)*)?
                }
            }
        }

        impl $loss {
            /// Name of the loss in files.
            pub fn name(mut self, name: impl Into<String>) -> Self {
                self.name = name.into();
                self
            }

            /// How the values become one number.
            pub fn reduction(mut self, reduction: crate::losses::Reduction) -> Self {
                self.reduction = reduction;
                self
            }

            $($(#[$arg_doc])*
            pub fn $arg(mut self, $arg: $type) -> Self {
                self.$arg = $arg;
                self
            })*
        }
    };
}
pub(super) use loss;

/// The three methods of [`Loss`](super::Loss) that say who a struct made by [`loss!`] is. Arguments behind the class are those
/// that Keras does not write: they are written only where they are not the default.
macro_rules! identity {
    ($class:literal $(, $unwritten:ident)*) => {
        fn class_name(&self) -> &'static str {
            $class
        }

        fn config(&self) -> crate::config::Config {
            #[allow(unused_mut)]
            let mut config = crate::config::to_config(self);
            $(if self.$unwritten == Self::default().$unwritten {
                config.shift_remove(stringify!($unwritten));
            })*
            config
        }

        fn reduction(&self) -> crate::losses::Reduction {
            self.reduction
        }
    };
}
pub(super) use identity;
