//! Threads: work is split over *outputs*, in pieces that do not depend on how many threads there are.

use super::partner::{self, Role};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::HashMap;
use std::marker::PhantomData;
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
        if self == Par::Serial {
            a();
            b();
            return;
        }
        let (mut a, mut b) = (Some(a), Some(b));
        fork(&mut || a.take().into_iter().for_each(|a| a()), &mut || {
            b.take().into_iter().for_each(|b| b())
        });
    }

    /// Calls `f(start, part)` for every part of `piece` elements (the last may be shorter), where `start` is the part's place
    /// in `data`. Serially the parts come in order.
    pub fn for_each_piece<T: Send>(
        self,
        data: &mut [T],
        piece: usize,
        f: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let piece = piece.max(1);
        let count = data.len().div_ceil(piece);
        let parts = Parts::new(data, count, piece);
        // SAFETY: each number comes once.
        self.split(0, count, &|i| f(i * piece, unsafe { parts.part(i) }));
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
        let count = a.len().div_ceil(piece_a.max(1));
        let (a, b) = (
            Parts::new(a, count, piece_a.max(1)),
            Parts::new(b, count, piece_b),
        );
        self.split(0, count, &|i| {
            // SAFETY: each number comes once.
            let (a, b) = unsafe { (a.part(i), b.part(i)) };
            f(i, a, b);
        });
    }

    /// `count` pieces of each slice, cut in step: calls `f(i, parts)` with piece number `i` of each, `sizes` elements long; the
    /// last piece is all that is left.
    ///
    /// # Panics
    /// If a slice has fewer elements than its pieces need, the last apart.
    pub fn for_each_cut<T: Send, const N: usize>(
        self,
        count: usize,
        slices: [&mut [T]; N],
        sizes: [usize; N],
        f: impl Fn(usize, [&mut [T]; N]) + Sync,
    ) {
        let mut n = 0;
        let cuts = slices.map(|slice| {
            n += 1;
            Parts::new(slice, count, sizes[n - 1])
        });
        self.split(0, count, &|i| {
            // SAFETY: each number comes once.
            f(i, cuts.each_ref().map(|cut| unsafe { cut.part(i) }));
        });
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

    /// Calls `f` once with each of `first..last`, halved until one is left. Serially they come in order.
    fn split(self, first: usize, last: usize, f: &(dyn Fn(usize) + Sync)) {
        match (self, last - first) {
            (Par::Serial, _) => (first..last).for_each(f),
            (_, 0) => {}
            (_, 1) => f(first),
            (_, count) => {
                let middle = first + count / 2;
                fork(&mut || self.split(first, middle, f), &mut || {
                    self.split(middle, last, f)
                });
            }
        }
    }
}

/// The one call of rayon's join: compiled for each pair of closures it would be a sixth of the crate's machine code.
fn fork(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    match partner::role() {
        Role::Outside => {
            rayon::join(a, b);
        }
        Role::Caller => partner::fork(a, b),
        Role::Partner => {
            a();
            b();
        }
    }
}

/// A slice in parts that threads take by number.
struct Parts<'a, T> {
    start: *mut T,
    len: usize,
    count: usize,
    piece: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: what is shared gives each part to one thread only (see `part`).
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    /// `count` parts of `piece` elements; the last takes what is left.
    fn new(slice: &'a mut [T], count: usize, piece: usize) -> Self {
        let before_last = count.saturating_sub(1).checked_mul(piece);
        assert!(
            before_last.is_some_and(|needed| needed <= slice.len()),
            "{count} parts of {piece} do not fit in {}",
            slice.len()
        );
        Parts {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            count,
            piece,
            slice: PhantomData,
        }
    }

    /// # Safety
    /// `i < count`, and nobody has the part already.
    #[expect(clippy::mut_from_ref, reason = "each part is given out once")]
    unsafe fn part(&self, i: usize) -> &mut [T] {
        debug_assert!(i < self.count);
        let begin = i * self.piece;
        let end = if i + 1 == self.count {
            self.len
        } else {
            begin + self.piece
        };
        // SAFETY: `begin <= end <= len` as checked when made; parts do not overlap.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(begin), end - begin) }
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

/// Like [`with_threads`], for work of some tens of microseconds: from outside a pool, this thread and one more.
pub fn with_two_threads<R: Send>(n: usize, f: impl FnOnce(Par) -> R + Send) -> R {
    let outside = n != 1 && rayon::current_thread_index().is_none();
    if outside && (n > 1 || rayon::current_num_threads() > 1) {
        partner::with_partner(f)
    } else {
        with_threads(n, f)
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
