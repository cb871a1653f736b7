//! Threads: work is split over *outputs*, in pieces that do not depend on how many threads there are.

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Whether a kernel may use the current rayon pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Par {
    /// Run on the calling thread.
    Serial,
    /// Fork and join on the current rayon pool where the work is worth it.
    Threads,
}

/// Elements that are worth a fork: what one core moves through memory in some ten microseconds.
const WORTH: usize = 1 << 15;

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

    /// Calls `f(start, part)` for every part of `piece` elements (the last may be shorter), where `start` is the part's place
    /// in `data`. Serially the parts come in order.
    pub fn for_each_piece<T: Send>(
        self,
        data: &mut [T],
        piece: usize,
        f: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let mut none = [(); 0];
        self.pieces(0, data, piece.max(1), &mut none, 0, &|i, part, _| {
            f(i * piece.max(1), part)
        });
    }

    /// Two slices cut in step: calls `f(i, a_part, b_part)` for the `i`-th parts of `a` (`piece_a` elements each) and of `b`
    /// (`piece_b` elements each). The parts of `a` set the count.
    ///
    /// # Panics
    /// If `b` has fewer elements than its parts need, the last part apart.
    pub fn for_each_piece2<A: Send, B: Send>(
        self,
        a: &mut [A],
        piece_a: usize,
        b: &mut [B],
        piece_b: usize,
        f: impl Fn(usize, &mut [A], &mut [B]) + Sync,
    ) {
        self.pieces(0, a, piece_a.max(1), b, piece_b, &f);
    }

    /// `count` pieces of each slice, cut in step: calls `f(i, parts)` with piece number `i` of each, `sizes` elements long.
    ///
    /// # Panics
    /// If a slice has fewer elements than its pieces need.
    pub fn for_each_cut<T: Send, const N: usize>(
        self,
        count: usize,
        slices: [&mut [T]; N],
        sizes: [usize; N],
        f: impl Fn(usize, [&mut [T]; N]) + Sync,
    ) {
        self.cut(0, count, slices, sizes, &f);
    }

    fn cut<T: Send, const N: usize>(
        self,
        first: usize,
        count: usize,
        slices: [&mut [T]; N],
        sizes: [usize; N],
        f: &(impl Fn(usize, [&mut [T]; N]) + Sync),
    ) {
        match count {
            0 => {}
            1 => f(first, slices),
            _ => {
                let half = count / 2;
                let mut right: [&mut [T]; N] = std::array::from_fn(|_| &mut [][..]);
                let mut i = 0;
                let left = slices.map(|slice| {
                    let (a, b) = slice.split_at_mut(half * sizes[i]);
                    right[i] = b;
                    i += 1;
                    a
                });
                self.join(
                    || self.cut(first, half, left, sizes, f),
                    || self.cut(first + half, count - half, right, sizes, f),
                );
            }
        }
    }

    /// Calls `f(first, part)` for parts of whole rows, where `first` is the number of the part's first row; for sweeps that cost
    /// no more than the memory traffic.
    pub fn for_each_rows<T: Send>(
        self,
        data: &mut [T],
        row: usize,
        f: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let rows = (WORTH / row.max(1)).max(1);
        self.for_each_piece(data, rows * row, |start, part| f(start / row.max(1), part));
    }

    /// Parts from number `first` on, halved until one is left.
    fn pieces<A: Send, B: Send>(
        self,
        first: usize,
        a: &mut [A],
        piece_a: usize,
        b: &mut [B],
        piece_b: usize,
        f: &(impl Fn(usize, &mut [A], &mut [B]) + Sync),
    ) {
        match a.len().div_ceil(piece_a) {
            0 => {}
            1 => f(first, a, b),
            count => {
                let half = count / 2;
                let (a0, a1) = a.split_at_mut(half * piece_a);
                let (b0, b1) = b.split_at_mut(half * piece_b);
                let left = || self.pieces(first, a0, piece_a, b0, piece_b, f);
                let right = || self.pieces(first + half, a1, piece_a, b1, piece_b, f);
                self.join(left, right);
            }
        }
    }
}

/// Runs `f` where [`Par::Threads`] means `n` threads; 0 means the global pool, or the pool that the caller is already in.
///
/// Forking from inside a pool costs a microsecond, from outside ten: run a whole training in one call of this.
pub fn with_threads<R: Send>(n: usize, f: impl FnOnce(Par) -> R + Send) -> R {
    match n {
        1 => f(Par::Serial),
        0 if rayon::current_num_threads() == 1 => f(Par::Serial),
        0 if rayon::current_thread_index().is_some() => f(Par::Threads),
        0 => rayon::scope(|_| f(Par::Threads)),
        _ => match pool(n) {
            Some(pool) => pool.install(|| f(Par::Threads)),
            None => f(Par::Serial),
        },
    }
}

/// The pool of `n` threads, made when first asked for and kept; none if the system refuses the threads.
fn pool(n: usize) -> Option<Arc<ThreadPool>> {
    static POOLS: OnceLock<Mutex<HashMap<usize, Arc<ThreadPool>>>> = OnceLock::new();
    let mut pools = POOLS
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = pools.get(&n) {
        return Some(pool.clone());
    }
    let pool = Arc::new(ThreadPoolBuilder::new().num_threads(n).build().ok()?);
    pools.insert(n, pool.clone());
    Some(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_everything_once() {
        for len in [0, 1, 2, 7, 8, 9, 64, 1000] {
            for piece in [1, 3, 8, 2000] {
                for threads in [1, 2, 8] {
                    let mut data = vec![0_usize; len];
                    with_threads(threads, |par| {
                        par.for_each_piece(&mut data, piece, |start, part| {
                            assert!(
                                start % piece == 0
                                    && (part.len() == piece || start + part.len() == len)
                            );
                            part.iter_mut()
                                .enumerate()
                                .for_each(|(i, x)| *x += start + i + 1);
                        });
                    });
                    assert!(
                        data.iter().enumerate().all(|(i, &x)| x == i + 1),
                        "{len} {piece} {threads}"
                    );
                }
            }
        }
    }

    #[test]
    fn two_slices_stay_in_step() {
        let (mut a, mut b) = (vec![0; 10], vec![0; 4]);
        with_threads(2, |par| {
            par.for_each_piece2(&mut a, 3, &mut b, 1, |i, a, b| {
                a.fill(i);
                b.fill(a.len());
            });
        });
        assert_eq!(a, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]);
        assert_eq!(b, [3, 3, 3, 1]);
    }

    #[test]
    fn many_slices_stay_in_step() {
        for threads in [1, 2, 8] {
            let (mut a, mut b, mut c) = (vec![0; 14], vec![0; 7], vec![0; 0]);
            with_threads(threads, |par| {
                par.for_each_cut(7, [&mut a, &mut b, &mut c], [2, 1, 0], |i, [a, b, c]| {
                    assert_eq!((a.len(), b.len(), c.len()), (2, 1, 0));
                    a[1] = i + 1;
                    b[0] = 10 * i;
                });
            });
            assert_eq!(b, [0, 10, 20, 30, 40, 50, 60]);
            assert_eq!(a[..6], [0, 1, 0, 2, 0, 3]);
        }
        Par::Serial.for_each_cut(0, [&mut [0; 0]], [3], |_, _| unreachable!());
    }

    #[test]
    fn serial_pieces_come_in_order() {
        let order = Mutex::new(vec![]);
        Par::Serial.for_each_piece(&mut [0; 10], 4, |start, _| {
            order.lock().unwrap().push(start)
        });
        assert_eq!(order.into_inner().unwrap(), [0, 4, 8]);
    }

    #[test]
    fn threads_are_as_many_as_asked_for() {
        assert_eq!(with_threads(1, |par| par), Par::Serial);
        assert_eq!(
            with_threads(3, |par| (par, rayon::current_num_threads())),
            (Par::Threads, 3)
        );
        let nested = with_threads(3, |_| {
            with_threads(0, |par| (par, rayon::current_num_threads()))
        });
        assert_eq!(nested, (Par::Threads, 3));
    }
}
