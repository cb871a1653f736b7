//! One error type. Every message names the layer or argument, what was expected and what came.

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong because of what a caller, a file or the data said.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument of a layer, loss, metric, optimizer, callback or call has a value that makes no sense.
    #[error("{owner}: argument `{arg}`: expected {want}, got {got}")]
    Arg {
        /// Layer name, class or call that has the argument.
        owner: String,
        /// The argument.
        arg: String,
        /// What would have been accepted.
        want: String,
        /// What came.
        got: String,
    },
    /// A tensor or input has a shape that does not fit.
    #[error("{owner}: expected {want}, got {got}")]
    Shape {
        /// Layer name, loss, metric or call that was given the shape.
        owner: String,
        /// What would have been accepted.
        want: String,
        /// What came.
        got: String,
    },
    /// The data given to `fit`, `evaluate` or `predict` (or read from a file) cannot be used.
    #[error("{what}: {problem}")]
    Data {
        /// Which data: `x`, `y`, `sample_weight`, a file name.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A name that is not known.
    #[error("unknown {kind} `{name}`{}; known: {}", nearest(name, known), known.join(", "))]
    Unknown {
        /// What was looked up: activation, loss, layer, ...
        kind: String,
        /// The name that was given.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// The model has no weights yet because its input shape is not known.
    #[error(
        "{call}: the model is not built; give it `.input(shape)`, call `build(shape)` or `fit` first"
    )]
    NotBuilt {
        /// The call that needed a built model.
        call: &'static str,
    },
    /// `compile` was not called.
    #[error("{call}: the model is not compiled; call `compile(optimizer, loss, metrics)` first")]
    NotCompiled {
        /// The call that needed a compiled model.
        call: &'static str,
    },
    /// The structure of a model is wrong: no layers, a duplicate name, an output that no input leads to.
    #[error("{0}")]
    Model(String),
    /// A configuration (JSON) does not describe what it should.
    #[error("{path}: {problem}")]
    Config {
        /// Where in the configuration.
        path: String,
        /// What is wrong there.
        problem: String,
    },
    /// Training met a value that is not finite.
    #[error("{place} is not finite (epoch {epoch}, batch {batch}); {hint}")]
    NonFinite {
        /// First place where it was seen: the loss, the output or the gradient of a layer.
        place: String,
        /// Epoch, from 0.
        epoch: usize,
        /// Batch within the epoch, from 0.
        batch: usize,
        /// What usually helps.
        hint: &'static str,
    },
    /// What a file holds cannot be used.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// [`Error::Arg`] whose owner is filled in by [`Error::owned_by`].
    pub fn arg(arg: impl Into<String>, want: impl ToString, got: impl ToString) -> Self {
        Error::Arg {
            owner: String::new(),
            arg: arg.into(),
            want: want.to_string(),
            got: got.to_string(),
        }
    }

    /// [`Error::Shape`] whose owner is filled in by [`Error::owned_by`].
    pub fn shape(want: impl ToString, got: impl ToString) -> Self {
        Error::Shape {
            owner: String::new(),
            want: want.to_string(),
            got: got.to_string(),
        }
    }

    /// [`Error::Data`].
    pub fn data(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::Data {
            what: what.into(),
            problem: problem.into(),
        }
    }

    /// [`Error::Unknown`] with the names that exist.
    pub fn unknown<S: ToString>(
        kind: &str,
        name: &str,
        known: impl IntoIterator<Item = S>,
    ) -> Self {
        Error::Unknown {
            kind: kind.into(),
            name: name.into(),
            known: known.into_iter().map(|k| k.to_string()).collect(),
        }
    }

    /// [`Error::Io`] for this path.
    pub fn io(path: impl AsRef<std::path::Path>, source: std::io::Error) -> Self {
        Error::Io {
            path: path.as_ref().display().to_string(),
            source,
        }
    }

    /// Says in which file the mistake is, if it does not say so yet.
    pub fn in_file(self, file: &str) -> Self {
        match self {
            Error::Io { .. } => self,
            Error::Data { what, problem } if what.contains(file) => Error::Data { what, problem },
            other => Error::File {
                path: file.into(),
                source: Box::new(other),
            },
        }
    }

    /// Names the layer (or call) that an [`Error::Arg`] or [`Error::Shape`] is about, if nothing nearer has been named.
    pub fn owned_by(mut self, name: &str) -> Self {
        if let Error::Arg { owner, .. } | Error::Shape { owner, .. } = &mut self
            && owner.is_empty()
        {
            *owner = name.to_string();
        }
        self
    }
}

/// `" (did you mean `x`?)"` when one known name is close, else nothing.
fn nearest(name: &str, known: &[String]) -> String {
    let name = name.to_lowercase();
    match known
        .iter()
        .map(|k| (distance(&name, &k.to_lowercase()), k))
        .min_by_key(|(d, _)| *d)
    {
        Some((d, k)) if d <= 2 || d * 3 <= k.len() => format!(" (did you mean `{k}`?)"),
        _ => String::new(),
    }
}

/// Number of letters to insert, delete, replace or swap with their neighbour (Damerau) to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let best = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    if swapped {
                        best.min(table[i - 2][j - 2] + 1)
                    } else {
                        best
                    }
                }
            };
        }
    }
    table[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_suggests_the_nearest_name() {
        let e = Error::unknown("activation", "rleu", ["relu", "sigmoid", "tanh"]);
        assert_eq!(
            e.to_string(),
            "unknown activation `rleu` (did you mean `relu`?); known: relu, sigmoid, tanh"
        );
        let e = Error::unknown("activation", "zzzzzzzz", ["relu"]);
        assert_eq!(e.to_string(), "unknown activation `zzzzzzzz`; known: relu");
    }

    #[test]
    fn the_nearest_owner_is_kept() {
        let e = Error::arg("units", "a positive integer", 0)
            .owned_by("dense")
            .owned_by("sequential");
        assert_eq!(
            e.to_string(),
            "dense: argument `units`: expected a positive integer, got 0"
        );
    }
}
