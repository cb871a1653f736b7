//! Threads: work is split over *outputs*, in pieces that do not depend on how many threads there are.

/// Whether a kernel may use the current rayon pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Par {
    /// Run on the calling thread.
    Serial,
    /// Fork and join on the current rayon pool where the work is worth it.
    Threads,
}

impl Par {
    /// Runs both, on two threads if allowed.
    pub fn join(self, a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
        match self {
            Par::Serial => {
                a();
                b();
            }
            Par::Threads => {
                rayon::join(a, b);
            }
        }
    }
}
