//! Arrays whose every axis is drawn from an axis of another array: slices, repetitions, borders.

use crate::float::Float;
use crate::shape::MAX_RANK;

/// Where position `i` of an axis of the result comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AxisMap<'a> {
    /// From position `i`.
    Whole,
    /// Python's slice.
    Slice {
        start: Option<i64>,
        stop: Option<i64>,
        step: i64,
    },
    /// One position, negative ones from the end.
    Index(i64),
    /// From `i - shift`, around the ends.
    Roll(i64),
    /// Every position so many times.
    Repeat(usize),
    /// All of them so many times.
    Tile(usize),
    /// With so many positions before and behind.
    Pad {
        before: usize,
        after: usize,
        edge: Edge,
    },
    /// These positions.
    Take(&'a [i64]),
}

/// What lies beyond the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// A constant.
    Constant,
    /// The mirror image, without the end itself.
    Reflect,
    /// The mirror image.
    Symmetric,
}

impl AxisMap<'_> {
    /// First position and number of positions of a slice over `n`.
    fn slice(start: Option<i64>, stop: Option<i64>, step: i64, n: usize) -> (i64, usize) {
        let n = n as i64;
        let (low, high) = if step < 0 { (-1, n - 1) } else { (0, n) };
        let place = |at: i64| (if at < 0 { at.saturating_add(n) } else { at }).clamp(low, high);
        let start = start.map_or(if step < 0 { high } else { low }, place);
        let stop = stop.map_or(if step < 0 { low } else { high }, place);
        let span = if step < 0 { start - stop } else { stop - start };
        let step = step.unsigned_abs().max(1);
        (start, (span.max(0) as u64).div_ceil(step) as usize)
    }

    /// Size of the result's axis over one of size `n`; `None` if it does not fit.
    pub(super) fn len(&self, n: usize) -> Option<usize> {
        let inside = |at: i64| (-(n as i64)..n as i64).contains(&at);
        match *self {
            AxisMap::Whole | AxisMap::Roll(_) => Some(n),
            AxisMap::Slice { start, stop, step } => Some(Self::slice(start, stop, step, n).1),
            AxisMap::Index(at) => inside(at).then_some(1),
            AxisMap::Repeat(times) | AxisMap::Tile(times) => n.checked_mul(times),
            AxisMap::Pad {
                before,
                after,
                edge,
            } => {
                let most = match edge {
                    Edge::Constant => usize::MAX,
                    Edge::Reflect => n.saturating_sub(1),
                    Edge::Symmetric => n,
                };
                let fits = before <= most && after <= most;
                fits.then(|| n.checked_add(before)?.checked_add(after))
                    .flatten()
            }
            AxisMap::Take(positions) => positions
                .iter()
                .all(|&at| inside(at))
                .then_some(positions.len()),
        }
    }

    /// Where position `i` comes from; `None` is the constant.
    #[inline]
    fn source(&self, i: usize, n: usize) -> Option<usize> {
        let wrap = |at: i64| (if at < 0 { at + n as i64 } else { at }) as usize;
        match *self {
            AxisMap::Whole => Some(i),
            AxisMap::Slice { start, stop, step } => {
                let first = Self::slice(start, stop, step, n).0;
                Some((first + i as i64 * step) as usize)
            }
            AxisMap::Index(at) => Some(wrap(at)),
            AxisMap::Roll(shift) => {
                Some((i as i64 - shift % n as i64).rem_euclid(n as i64) as usize)
            }
            AxisMap::Repeat(times) => Some(i / times),
            AxisMap::Tile(_) => Some(i % n),
            AxisMap::Pad { before, edge, .. } => {
                let (at, n) = (i as i64 - before as i64, n as i64);
                match edge {
                    _ if (0..n).contains(&at) => Some(at as usize),
                    Edge::Constant => None,
                    Edge::Reflect if at < 0 => Some(-at as usize),
                    Edge::Reflect => Some((2 * n - 2 - at) as usize),
                    Edge::Symmetric if at < 0 => Some((-at - 1) as usize),
                    Edge::Symmetric => Some((2 * n - 1 - at) as usize),
                }
            }
            AxisMap::Take(positions) => Some(wrap(positions[i])),
        }
    }

    /// Where it is a run of neighbours: the first of them.
    fn run(&self, n: usize) -> Option<usize> {
        match *self {
            AxisMap::Whole => Some(0),
            AxisMap::Slice {
                start,
                stop,
                step: 1,
            } => Some(Self::slice(start, stop, 1, n).0 as usize),
            AxisMap::Index(_) => self.source(0, n),
            _ => None,
        }
    }
}

/// A map for every axis of a sample.
pub(super) type Maps<'a> = [AxisMap<'a>; MAX_RANK];

/// Calls `f(from, to, length)` for runs that make up the result: where it comes from (`None`: the constant) and where it goes.
pub(super) fn each_run(
    maps: &[AxisMap<'_>],
    shape: &[usize],
    mut f: impl FnMut(Option<usize>, usize, usize),
) {
    // Behind the last axis that is not whole all is one run; a run of neighbours on that axis goes on with it.
    let last = maps.iter().rposition(|m| *m != AxisMap::Whole).unwrap_or(0);
    let (Some(map), Some(&n)) = (maps.get(last), shape.get(last)) else {
        return f(Some(0), 0, 1);
    };
    let inner: usize = shape[last + 1..].iter().product();
    let mut lens = [0; MAX_RANK];
    for ((len, map), &n) in lens.iter_mut().zip(maps).zip(shape) {
        *len = map.len(n).expect("checked");
    }
    let (len, outer) = (lens[last], lens[..last].iter().product());
    for row in 0..outer {
        let (mut from, mut rest, mut stride) = (Some(0), row, n * inner);
        for axis in (0..last).rev() {
            let source = maps[axis].source(rest % lens[axis], shape[axis]);
            from = from.zip(source).map(|(from, at)| from + at * stride);
            rest /= lens[axis];
            stride *= shape[axis];
        }
        let to = row * len * inner;
        match (map.run(n), from) {
            (_, None) => f(None, to, len * inner),
            (Some(first), Some(from)) => f(Some(from + first * inner), to, len * inner),
            (None, Some(from)) => {
                for i in 0..len {
                    f(
                        map.source(i, n).map(|at| from + at * inner),
                        to + i * inner,
                        inner,
                    );
                }
            }
        }
    }
}

/// The result for one sample; `constant` lies beyond the ends.
pub(super) fn gather(
    maps: &[AxisMap<'_>],
    shape: &[usize],
    x: &[Float],
    y: &mut [Float],
    constant: Float,
) {
    each_run(maps, shape, |from, to, len| match from {
        Some(from) => y[to..to + len].copy_from_slice(&x[from..from + len]),
        None => y[to..to + len].fill(constant),
    });
}

/// Adds every element of `dy` to where it came from.
pub(super) fn scatter(maps: &[AxisMap<'_>], shape: &[usize], dy: &[Float], dx: &mut [Float]) {
    dx.fill(0.0);
    each_run(maps, shape, |from, to, len| {
        if let Some(from) = from {
            crate::kernels::elementwise::add(&dy[to..to + len], &mut dx[from..from + len]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn along(map: AxisMap<'_>, n: usize) -> Option<Vec<Option<usize>>> {
        Some((0..map.len(n)?).map(|i| map.source(i, n)).collect())
    }

    fn some(list: &[usize]) -> Option<Vec<Option<usize>>> {
        Some(list.iter().copied().map(Some).collect())
    }

    #[test]
    fn slices_are_python_s() {
        let slice = |start, stop, step| along(AxisMap::Slice { start, stop, step }, 5);
        assert_eq!(slice(None, None, 1), some(&[0, 1, 2, 3, 4]));
        assert_eq!(slice(Some(1), Some(-1), 1), some(&[1, 2, 3]));
        assert_eq!(slice(None, None, -1), some(&[4, 3, 2, 1, 0]));
        assert_eq!(slice(Some(3), None, -2), some(&[3, 1]));
        assert_eq!(slice(Some(-1), Some(-4), -1), some(&[4, 3, 2]));
        assert_eq!(slice(None, Some(2), 2), some(&[0]));
        assert_eq!(slice(Some(4), Some(2), 1), some(&[]));
        assert_eq!(slice(Some(-99), Some(99), 3), some(&[0, 3]));
        assert_eq!(slice(Some(99), Some(-99), -3), some(&[4, 1]));
        assert_eq!(slice(Some(i64::MIN), Some(i64::MAX), i64::MAX), some(&[0]));
        assert_eq!(slice(None, None, i64::MIN), some(&[4]));
    }

    #[test]
    fn the_other_maps() {
        assert_eq!(along(AxisMap::Index(-2), 3), some(&[1]));
        assert_eq!(along(AxisMap::Index(3), 3), None);
        assert_eq!(along(AxisMap::Roll(1), 3), some(&[2, 0, 1]));
        assert_eq!(along(AxisMap::Roll(-4), 3), some(&[1, 2, 0]));
        assert_eq!(along(AxisMap::Repeat(2), 2), some(&[0, 0, 1, 1]));
        assert_eq!(along(AxisMap::Tile(2), 2), some(&[0, 1, 0, 1]));
        assert_eq!(along(AxisMap::Take(&[2, -3, 0]), 3), some(&[2, 0, 0]));
        assert_eq!(along(AxisMap::Take(&[-4]), 3), None);
        let pad = |before, after, edge| {
            along(
                AxisMap::Pad {
                    before,
                    after,
                    edge,
                },
                3,
            )
        };
        assert_eq!(pad(1, 0, Edge::Constant).unwrap()[..2], [None, Some(0)]);
        assert_eq!(pad(2, 2, Edge::Reflect), some(&[2, 1, 0, 1, 2, 1, 0]));
        assert_eq!(pad(3, 1, Edge::Symmetric), some(&[2, 1, 0, 0, 1, 2, 2]));
        assert_eq!(pad(3, 0, Edge::Reflect), None);
        assert_eq!(pad(usize::MAX, 2, Edge::Constant), None);
    }

    #[test]
    fn gather_and_scatter_are_transposes() {
        let shape = [2, 3, 4];
        let maps = [
            AxisMap::Tile(2),
            AxisMap::Pad {
                before: 1,
                after: 0,
                edge: Edge::Constant,
            },
            AxisMap::Slice {
                start: Some(1),
                stop: None,
                step: 2,
            },
        ];
        let x: Vec<Float> = (0..24).map(|i| i as Float).collect();
        let mut y = vec![0.0; 4 * 4 * 2];
        gather(&maps, &shape, &x, &mut y, -1.0);
        assert_eq!(y[..8], [-1.0, -1.0, 1.0, 3.0, 5.0, 7.0, 9.0, 11.0]);
        assert_eq!(y[16..24], y[..8]);
        let mut dx = vec![9.0; 24];
        scatter(&maps, &shape, &[1.0; 32], &mut dx);
        assert_eq!(dx[..4], [0.0, 2.0, 0.0, 2.0]);
        let mut one = [0.0];
        gather(&[], &[], &[7.0], &mut one, 0.0);
        assert_eq!(one, [7.0]);
    }
}
