//! Reading ahead on a thread.
//!
//! The reader does what it is told in the order in which it is told: begin a pass, fill a batch. The dataset sees the same calls as
//! without it, so its batches are the same; only the moment is another. Batches travel there empty and back full, in channels
//! whose room is made beforehand.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::dataset::{Dataset, Minibatch, Pass};
use crate::error::{Error, Result};

/// A dataset that is read ahead; see [`DatasetExt::prefetch`](super::DatasetExt::prefetch).
#[derive(Debug)]
pub struct Prefetch<D> {
    /// The dataset, until its thread takes it.
    idle: Option<D>,
    reader: Option<Reader>,
    batches: usize,
    steps: Option<usize>,
    /// Passes that were begun.
    pass: u64,
    /// Whether the pass is over.
    ended: bool,
}

#[derive(Debug)]
struct Reader {
    orders: SyncSender<Order>,
    read: Receiver<Read>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Begin(Pass, u64),
    Fill(Minibatch),
}

/// What was read, in which pass: a batch, and whether it holds anything.
struct Read {
    pass: u64,
    batch: Minibatch,
    more: Result<bool>,
}

impl<D: Dataset + 'static> Prefetch<D> {
    pub(super) fn new(dataset: D, batches: usize) -> Self {
        Prefetch {
            steps: dataset.steps(),
            idle: Some(dataset),
            reader: None,
            batches,
            pass: 0,
            ended: true,
        }
    }

    fn start(&mut self, mut dataset: D) -> Result<()> {
        // There is room for every batch: the reader never waits for room, and who gives orders waits for the reader at most.
        let (orders, inbox) = sync_channel(self.batches + 1);
        let (outbox, read) = sync_channel(self.batches + 1);
        let work = move || {
            // Before the first pass there is nothing to read.
            let (mut pass, mut state) = (0, Ok(false));
            for order in inbox {
                match order {
                    Order::Begin(begun, number) => {
                        pass = number;
                        state = dataset.begin(begun).map(|()| true);
                    }
                    Order::Fill(mut batch) => {
                        let more = match std::mem::replace(&mut state, Ok(false)) {
                            Ok(true) => dataset.next(&mut batch),
                            done => done,
                        };
                        state = Ok(matches!(more, Ok(true)));
                        if outbox.send(Read { pass, batch, more }).is_err() {
                            return;
                        }
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("oxhorn-prefetch".into());
        let thread = thread.spawn(work).map_err(|e| Error::io("prefetch", e))?;
        for _ in 0..self.batches {
            let _ = orders.send(Order::Fill(Minibatch::default()));
        }
        self.reader = Some(Reader {
            orders,
            read,
            thread: Some(thread),
        });
        Ok(())
    }
}

fn dead() -> Error {
    Error::data("prefetch", "the thread that reads ahead has panicked")
}

impl<D: Dataset + 'static> Dataset for Prefetch<D> {
    fn begin(&mut self, pass: Pass) -> Result<()> {
        if self.batches == 0 {
            let error = Error::arg("batches", "a positive number", 0);
            return Err(error.owned_by("prefetch"));
        }
        if let Some(dataset) = self.idle.take() {
            self.start(dataset)?;
        }
        let reader = self.reader.as_ref().ok_or_else(dead)?;
        self.pass += 1;
        // What waits to be taken is of the pass before.
        let mut home = Vec::with_capacity(self.batches);
        reader
            .orders
            .send(Order::Begin(pass, self.pass))
            .map_err(|_| dead())?;
        while let Ok(read) = reader.read.try_recv() {
            home.push(read.batch);
        }
        for batch in home {
            reader.orders.send(Order::Fill(batch)).map_err(|_| dead())?;
        }
        self.ended = false;
        Ok(())
    }

    fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
        let reader = self.reader.as_ref().ok_or_else(dead)?;
        if self.ended {
            batch.parts_mut().for_each(|p| p.reset(p.shape()));
            return Ok(false);
        }
        loop {
            let mut read = reader.read.recv().map_err(|_| dead())?;
            // What was read of a pass that was given up is read again.
            let stale = read.pass != self.pass;
            if !stale {
                std::mem::swap(batch, &mut read.batch);
                self.ended = !matches!(read.more, Ok(true));
            }
            reader
                .orders
                .send(Order::Fill(read.batch))
                .map_err(|_| dead())?;
            if !stale {
                return read.more;
            }
        }
    }

    fn steps(&self) -> Option<usize> {
        self.steps
    }
}

impl<D> Drop for Prefetch<D> {
    fn drop(&mut self) {
        if let Some(Reader {
            orders,
            read,
            thread,
        }) = self.reader.take()
        {
            // Without them the reader comes to an end.
            drop((orders, read));
            if let Some(thread) = thread {
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DatasetExt, Shapes, from_fn};

    /// Batches that say their pass and number; an error in pass 3.
    fn numbered() -> impl Dataset + 'static {
        let shapes = Shapes::new(&[&[2]], &[]).unwrap();
        from_fn(Some(5), move |pass: Pass, step, batch: &mut Minibatch| {
            batch.reset(&shapes);
            if pass.number == 3 && step == 2 {
                return Err(Error::data("numbered", "not this one"));
            }
            if step < 5 {
                batch.x[0].push(&[pass.number as crate::Float, step as crate::Float])?;
            }
            Ok(step < 5)
        })
    }

    fn read(data: &mut dyn Dataset, number: usize, most: usize) -> (Vec<crate::Float>, Result<()>) {
        let (mut batch, mut all) = (Minibatch::default(), vec![]);
        data.begin(Pass {
            number,
            ..Pass::IN_ORDER
        })
        .unwrap();
        for _ in 0..most {
            match data.next(&mut batch) {
                Ok(true) => all.extend_from_slice(batch.x[0].data()),
                Ok(false) => {
                    assert!(batch.is_empty() && !data.next(&mut batch).unwrap());
                    break;
                }
                Err(e) => return (all, Err(e)),
            }
        }
        (all, Ok(()))
    }

    #[test]
    fn the_same_batches_whenever_a_pass_is_given_up() {
        for batches in [1, 2, 7] {
            let (mut plain, mut ahead) = (numbered(), numbered().prefetch(batches));
            assert_eq!(ahead.steps(), Some(5));
            for (number, most) in [(0, 9), (1, 2), (2, 0), (2, 1), (0, 9), (3, 9), (4, 9)] {
                let (want, got) = (
                    read(&mut plain, number, most),
                    read(&mut ahead, number, most),
                );
                assert_eq!(want.0, got.0);
                assert_eq!(want.1.is_err(), got.1.is_err());
            }
        }
        assert!(numbered().prefetch(0).begin(Pass::IN_ORDER).is_err());
    }

    #[test]
    fn a_panic_of_the_reader_is_an_error() {
        let mut data = from_fn(None, |_, _, _: &mut Minibatch| panic!("as wanted")).prefetch(1);
        data.begin(Pass::IN_ORDER).unwrap();
        assert!(data.next(&mut Minibatch::default()).is_err());
        // Not begun and not used: nothing to end.
        drop(numbered().prefetch(1));
    }
}
