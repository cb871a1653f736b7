//! A second thread that is awake at once: for work of some tens of microseconds that begins outside a pool.
//!
//! To wake the threads of a pool and to sleep until they are done costs as much as such work. Here the caller does its own half of
//! every fork, one thread of our own spins for the other half, and a half that it has not begun when the caller is through, the
//! caller takes back. Between two calls that follow each other closely the thread stays awake; otherwise it sleeps.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::parallel::Par;

/// How long the thread stays awake after a call: about as long as it takes to wake it.
const LINGER: Duration = Duration::from_micros(50);

/// Turns of waiting between two looks at the clock, or before another thread may have the processor.
const SPINS: u32 = 256;

/// What forks of this thread do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// They go to the pool.
    Outside,
    /// They share with the partner.
    Caller,
    /// They run one after the other: this is the partner.
    Partner,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Outside) };
}

pub(super) fn role() -> Role {
    ROLE.get()
}

/// Half of a fork, on the stack of the caller.
struct Task {
    /// Its lifetime is not said: the caller waits until the task is done, or takes it back.
    work: *mut (dyn FnMut() + Send),
    panic: UnsafeCell<Option<Box<dyn Any + Send>>>,
    done: AtomicBool,
}

/// What the two threads share.
struct Shared {
    /// Whether a caller has the partner.
    taken: AtomicBool,
    /// Whether that call is going on.
    active: AtomicBool,
    /// A task that nobody has begun.
    task: AtomicPtr<Task>,
}

static SHARED: Shared = Shared {
    taken: AtomicBool::new(false),
    active: AtomicBool::new(false),
    task: AtomicPtr::new(ptr::null_mut()),
};

/// The thread, made when first asked for; none if the system refuses it.
fn thread() -> Option<&'static Thread> {
    static THREAD: OnceLock<Option<Thread>> = OnceLock::new();
    let spawn = || {
        let builder = thread::Builder::new().name("oxhorn-partner".into());
        let handle = builder.spawn(serve).ok()?;
        Some(handle.thread().clone())
    };
    THREAD.get_or_init(spawn).as_ref()
}

/// Runs `f` on this thread, whose forks share their work with the partner if nobody else has it.
pub fn with_partner<R>(f: impl FnOnce(Par) -> R) -> R {
    let Some(thread) = thread() else {
        return f(Par::Serial);
    };
    if ROLE.get() != Role::Outside || SHARED.taken.swap(true, Ordering::Acquire) {
        return f(Par::Serial);
    }
    let lease = Lease;
    ROLE.set(Role::Caller);
    SHARED.active.store(true, Ordering::Release);
    thread.unpark();
    let result = f(Par::Threads);
    drop(lease);
    result
}

/// Gives the partner back, whatever happens.
struct Lease;

impl Drop for Lease {
    fn drop(&mut self) {
        ROLE.set(Role::Outside);
        SHARED.active.store(false, Ordering::Release);
        SHARED.taken.store(false, Ordering::Release);
    }
}

/// Runs both; the second on the partner, if it is there before this thread is through with the first.
pub(super) fn fork(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    let work: *mut (dyn FnMut() + Send + '_) = b;
    let mut task = Task {
        // SAFETY: only the lifetime is another; the task is done or taken back before this function ends.
        work: unsafe { std::mem::transmute::<*mut (dyn FnMut() + Send + '_), *mut _>(work) },
        panic: UnsafeCell::new(None),
        done: AtomicBool::new(false),
    };
    let place: *mut Task = &mut task;
    let (release, relaxed) = (Ordering::AcqRel, Ordering::Relaxed);
    let offered = SHARED
        .task
        .compare_exchange(ptr::null_mut(), place, release, relaxed)
        .is_ok();
    let first = catch_unwind(AssertUnwindSafe(&mut *a));
    let mine = !offered
        || SHARED
            .task
            .compare_exchange(place, ptr::null_mut(), release, relaxed)
            .is_ok();
    if mine {
        first.unwrap_or_else(|panic| resume_unwind(panic));
        return b();
    }
    // SAFETY: the partner has the task, and leaves it alone once it is done.
    let done = unsafe { &*ptr::addr_of!((*place).done) };
    wait(|| done.load(Ordering::Acquire));
    first.unwrap_or_else(|panic| resume_unwind(panic));
    if let Some(panic) = task.panic.into_inner() {
        resume_unwind(panic);
    }
}

/// Spins until it is so.
fn wait(so: impl Fn() -> bool) {
    let mut turns = 0_u32;
    while !so() {
        std::hint::spin_loop();
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(SPINS) {
            thread::yield_now();
        }
    }
}

/// The life of the partner.
fn serve() {
    ROLE.set(Role::Partner);
    let mut idle = None;
    let mut turns = 0_u32;
    loop {
        // A look before the exchange, which would take the place from the caller's cache every time.
        let place = match SHARED.task.load(Ordering::Relaxed).is_null() {
            true => ptr::null_mut(),
            false => SHARED.task.swap(ptr::null_mut(), Ordering::AcqRel),
        };
        if !place.is_null() {
            // SAFETY: who takes a task from its place is the only one who has it, and its caller waits until it is done.
            let task = unsafe { &*place };
            // SAFETY: as above.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*task.work)() }));
            // SAFETY: the caller reads it after `done`.
            unsafe { *task.panic.get() = result.err() };
            task.done.store(true, Ordering::Release);
            idle = None;
            continue;
        }
        if SHARED.active.load(Ordering::Acquire) {
            idle = None;
        }
        std::hint::spin_loop();
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(SPINS) && !SHARED.active.load(Ordering::Acquire) {
            let since = *idle.get_or_insert_with(Instant::now);
            if since.elapsed() > LINGER {
                thread::park();
                idle = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_done_by_whom_it_may_be() {
        for round in 0..2000 {
            let mut data = vec![0_usize; 64];
            with_partner(|par| {
                par.for_each_piece(&mut data, 1 + round % 9, |start, part| {
                    part.iter_mut()
                        .enumerate()
                        .for_each(|(i, x)| *x += start + i);
                });
            });
            assert!(data.iter().enumerate().all(|(i, x)| *x == i));
        }
    }

    #[test]
    fn callers_at_once_take_turns_or_work_alone() {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(both_halves_are_done_by_whom_it_may_be);
            }
        });
        // Within a call there is no second one.
        with_partner(|_| assert_eq!(with_partner(|par| par), Par::Serial));
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_partner_lives_on() {
        for bad in [0, 1] {
            for _ in 0..20 {
                let caught = catch_unwind(|| {
                    with_partner(|par| {
                        par.for_each_piece(&mut [0, 1], 1, |i, _| {
                            // The caller is slow, so that the partner takes the other half.
                            thread::sleep(Duration::from_micros(if i == 0 { 300 } else { 0 }));
                            assert_ne!(i, bad, "as the test wants");
                        });
                    });
                });
                assert!(caught.is_err());
            }
        }
        both_halves_are_done_by_whom_it_may_be();
    }
}
