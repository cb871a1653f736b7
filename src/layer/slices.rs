//! Flat memory carved into the pieces that a layer declared.

use crate::float::Float;

/// Size of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Len {
    /// This many elements for each sample.
    PerSample(usize),
    /// This many, whatever the batch.
    Fixed(usize),
}

impl Len {
    /// Elements for a batch of this size.
    pub fn at(self, batch: usize) -> usize {
        match self {
            Len::PerSample(n) => n * batch,
            Len::Fixed(n) => n,
        }
    }
}

/// Read-only slices in the order in which they were declared: `let [kernel, bias] = cx.w.all();` or one by one as an iterator.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    data: &'a [Float],
    lens: &'a [usize],
}

impl<'a> Weights<'a> {
    /// Cuts `data` into pieces of these lengths.
    pub fn new(data: &'a [Float], lens: &'a [usize]) -> Self {
        Weights { data, lens }
    }

    /// All of them.
    ///
    /// # Panics
    /// If there are not exactly `K`.
    pub fn all<const K: usize>(mut self) -> [&'a [Float]; K] {
        assert_eq!(K, self.lens.len(), "number of weights");
        std::array::from_fn(|_| self.next().expect("counted"))
    }

    /// Their lengths.
    pub fn lens(&self) -> &'a [usize] {
        self.lens
    }

    /// The first `n` of them, leaving the rest: a wrapper hands inner layers their own.
    pub fn take_front(&mut self, n: usize) -> Weights<'a> {
        let (lens, rest_lens) = self.lens.split_at(n);
        let (data, rest) = self.data.split_at(lens.iter().sum());
        *self = Weights {
            data: rest,
            lens: rest_lens,
        };
        Weights { data, lens }
    }
}

impl<'a> Iterator for Weights<'a> {
    type Item = &'a [Float];
    fn next(&mut self) -> Option<&'a [Float]> {
        let (&len, lens) = self.lens.split_first()?;
        let (head, data) = self.data.split_at(len);
        *self = Weights { data, lens };
        Some(head)
    }
}

/// Writable slices in the order in which they were declared; see [`Weights`].
#[derive(Debug, Default)]
pub struct Slices<'a, T = Float> {
    data: &'a mut [T],
    lens: Lens<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Lens<'a> {
    Exact(&'a [usize]),
    Scaled(&'a [Len], usize),
}

impl Default for Lens<'_> {
    fn default() -> Self {
        Lens::Exact(&[])
    }
}

impl<'a, T> Slices<'a, T> {
    /// Cuts `data` into pieces of these lengths.
    pub fn exact(data: &'a mut [T], lens: &'a [usize]) -> Self {
        Slices {
            data,
            lens: Lens::Exact(lens),
        }
    }

    /// Cuts `data` into pieces of these lengths at this batch size.
    pub fn scaled(data: &'a mut [T], lens: &'a [Len], batch: usize) -> Self {
        Slices {
            data,
            lens: Lens::Scaled(lens, batch),
        }
    }

    /// All of them.
    ///
    /// # Panics
    /// If there are not exactly `K`.
    pub fn all<const K: usize>(mut self) -> [&'a mut [T]; K] {
        assert_eq!(K, self.pieces(), "number of slices");
        std::array::from_fn(|_| self.take_front(1).data)
    }

    /// The first `n` of them, leaving the rest.
    pub fn take_front(&mut self, n: usize) -> Slices<'a, T> {
        let (front, rest, len) = match self.lens {
            Lens::Exact(lens) => (
                Lens::Exact(&lens[..n]),
                Lens::Exact(&lens[n..]),
                lens[..n].iter().sum(),
            ),
            Lens::Scaled(lens, batch) => {
                let len = lens[..n].iter().map(|l| l.at(batch)).sum();
                (
                    Lens::Scaled(&lens[..n], batch),
                    Lens::Scaled(&lens[n..], batch),
                    len,
                )
            }
        };
        let (data, tail) = std::mem::take(&mut self.data).split_at_mut(len);
        *self = Slices {
            data: tail,
            lens: rest,
        };
        Slices { data, lens: front }
    }

    /// All of them as one slice.
    pub fn flat(self) -> &'a mut [T] {
        self.data
    }

    /// The same slices for a shorter time.
    pub fn reborrow(&mut self) -> Slices<'_, T> {
        Slices {
            data: self.data,
            lens: self.lens,
        }
    }

    fn pieces(&self) -> usize {
        match self.lens {
            Lens::Exact(lens) => lens.len(),
            Lens::Scaled(lens, _) => lens.len(),
        }
    }
}

impl<'a, T> Iterator for Slices<'a, T> {
    type Item = &'a mut [T];
    fn next(&mut self) -> Option<&'a mut [T]> {
        (self.pieces() > 0).then(|| self.take_front(1).data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_carved_in_order() {
        let data = [1.0, 2.0, 3.0, 4.0, 5.0];
        let mut w = Weights::new(&data, &[2, 1, 2]);
        let inner = w.take_front(1);
        assert_eq!(inner.all(), [&data[..2]]);
        assert_eq!(w.all(), [&data[2..3], &data[3..]]);
        let mut data = [0.0; 7];
        let slices = Slices::scaled(&mut data, &[Len::PerSample(2), Len::Fixed(3)], 2);
        let [a, b] = slices.all();
        assert_eq!((a.len(), b.len()), (4, 3));
    }
}
