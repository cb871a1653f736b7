//! Which keys a query sees.

use crate::float::Float;
use crate::layer::{Mask, View};
use crate::shape::MAX_RANK;

/// Truth values, as a mask or as numbers.
#[derive(Clone, Copy)]
pub(super) enum Flags<'a> {
    Mask(&'a [bool]),
    Numbers(&'a [Float]),
}

impl Flags<'_> {
    pub(super) fn at(&self, i: usize) -> bool {
        match self {
            Flags::Mask(flags) => flags[i],
            Flags::Numbers(numbers) => numbers[i] != 0.0,
        }
    }
}

/// The mask given in the call for input number `explicit`, or else the mask that input number `input` came with.
pub(super) fn flags<'a>(
    explicit: Option<usize>,
    input: Option<usize>,
    x: &[View<'a>],
    masks: &[Option<Mask<'a>>],
) -> Option<Flags<'a>> {
    match explicit {
        Some(i) => Some(Flags::Numbers(x[i].data)),
        None => Some(Flags::Mask(masks[input?]?.data)),
    }
}

/// A mask of queries and keys, repeated where it has size 1: over samples' other axes and heads, queries, keys.
#[derive(Clone, Copy)]
pub(super) struct Pairs<'a> {
    data: &'a [Float],
    /// Sizes of the axes of groups and heads behind the batch, and the mask's stride along each.
    lead: [(usize, usize); MAX_RANK],
    rank: usize,
    each: usize,
    query: usize,
    key: usize,
}

impl<'a> Pairs<'a> {
    /// Of a mask whose sample has this shape: some of `lead` (the sizes of the groups' axes and of the heads), then queries and
    /// keys, which are `trailing` axes.
    pub(super) fn new(
        mask: View<'a>,
        lead: &[usize],
        trailing: usize,
        (t, s): (usize, usize),
    ) -> Self {
        let (front, back) = mask.shape.split_at(mask.shape.len() - trailing);
        let (queries, keys) = back.split_at(trailing / 2);
        let (queries, keys): (usize, usize) = (queries.iter().product(), keys.iter().product());
        let mut strides = [(1, 0); MAX_RANK];
        let mut stride = queries * keys;
        for (i, &size) in lead.iter().enumerate() {
            strides[i] = (size, 0);
        }
        for (i, &size) in front.iter().enumerate().rev() {
            strides[i].1 = if size == 1 { 0 } else { stride };
            stride *= size;
        }
        Pairs {
            data: mask.data,
            lead: strides,
            rank: lead.len(),
            each: stride,
            query: if queries == t && t > 1 { keys } else { 0 },
            key: usize::from(keys == s && s > 1),
        }
    }

    /// Where the row of this sample, position among the groups' axes, head and query begins.
    fn row(&self, sample: usize, mut group: usize, head: usize, t: usize) -> usize {
        let mut at = sample * self.each + t * self.query;
        let Some(heads) = self.rank.checked_sub(1) else {
            return at;
        };
        at += head * self.lead[heads].1;
        for &(size, stride) in self.lead[..heads].iter().rev() {
            at += group % size * stride;
            group /= size;
        }
        at
    }
}

/// All that hides keys from queries. A group is a sequence of queries; a sample has `groups` of them.
#[derive(Clone, Copy)]
pub(super) struct Hidden<'a> {
    pub t: usize,
    pub s: usize,
    pub groups: usize,
    pub queries: Option<Flags<'a>>,
    pub values: Option<Flags<'a>>,
    pub keys: Option<Flags<'a>>,
    pub pairs: Option<Pairs<'a>>,
    pub causal: bool,
    pub window: Option<usize>,
}

impl Hidden<'_> {
    /// Whether nothing is hidden.
    pub(super) fn is_empty(&self) -> bool {
        !self.causal
            && self.window.is_none()
            && self.queries.is_none()
            && self.values.is_none()
            && self.keys.is_none()
            && self.pairs.is_none()
    }

    /// Calls `f` on each of these rows (queries from number `first` on) for every stretch of keys that is hidden.
    pub(super) fn each(
        &self,
        group: usize,
        head: usize,
        first: usize,
        rows: &mut [Float],
        f: impl Fn(&mut [Float]),
    ) {
        if self.is_empty() {
            return;
        }
        for (i, row) in rows.chunks_exact_mut(self.s).enumerate() {
            self.row(group, head, first + i, row, &f);
        }
    }

    fn row(
        &self,
        group: usize,
        head: usize,
        t: usize,
        row: &mut [Float],
        f: &impl Fn(&mut [Float]),
    ) {
        let s = self.s;
        if self
            .queries
            .is_some_and(|flags| !flags.at(group * self.t + t))
        {
            return f(row);
        }
        // What is left between the bounds of causality and the window.
        let window = self.window.unwrap_or(usize::MAX);
        let low = (t + 1).saturating_sub(window).min(s);
        let ends = [
            if self.causal { t + 1 } else { s },
            t.saturating_add(window),
            s,
        ];
        let high = ends.into_iter().min().unwrap_or(s).max(low);
        f(&mut row[..low]);
        f(&mut row[high..]);
        if self.values.is_none() && self.keys.is_none() && self.pairs.is_none() {
            return;
        }
        let pairs = self
            .pairs
            .map(|p| (p, p.row(group / self.groups, group % self.groups, head, t)));
        for j in low..high {
            let shown = self.values.is_none_or(|flags| flags.at(group * s + j))
                && self.keys.is_none_or(|flags| flags.at(group * s + j))
                && pairs.is_none_or(|(p, at)| p.data[at + j * p.key] != 0.0);
            if !shown {
                f(&mut row[j..j + 1]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(hidden: &Hidden<'_>, group: usize, head: usize) -> Vec<Float> {
        let mut rows = vec![1.0; hidden.t * hidden.s];
        hidden.each(group, head, 0, &mut rows, |row| row.fill(0.0));
        rows
    }

    const ALL: Hidden<'_> = Hidden {
        t: 3,
        s: 4,
        groups: 1,
        queries: None,
        values: None,
        keys: None,
        pairs: None,
        causal: false,
        window: None,
    };

    #[test]
    fn bounds() {
        assert_eq!(shown(&ALL, 0, 0), [1.0; 12]);
        let causal = Hidden {
            causal: true,
            ..ALL
        };
        assert_eq!(
            shown(&causal, 0, 0),
            [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]
        );
        let window = Hidden {
            window: Some(2),
            ..ALL
        };
        assert_eq!(
            shown(&window, 0, 0),
            [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
        );
        let both = Hidden {
            causal: true,
            ..window
        };
        assert_eq!(
            shown(&both, 0, 0),
            [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]
        );
        let far = Hidden {
            t: 4,
            s: 1,
            window: Some(1),
            causal: true,
            ..ALL
        };
        assert_eq!(shown(&far, 0, 0), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn flags_of_queries_and_keys() {
        let (queries, values) = (
            [true, true, true, true, false, true],
            [1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0],
        );
        let hidden = Hidden {
            queries: Some(Flags::Mask(&queries)),
            values: Some(Flags::Numbers(&values)),
            ..ALL
        };
        assert_eq!(shown(&hidden, 0, 0)[..4], [1.0, 1.0, 0.0, 1.0]);
        assert_eq!(
            shown(&hidden, 1, 0),
            [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
        );
    }

    #[test]
    fn pairs_are_repeated_where_they_have_size_one() {
        // Two samples of two groups and two heads; one mask a sample and head, the same for all queries.
        let data: Vec<Float> = (0..2 * 2 * 4).map(|i| (i % 3) as Float).collect();
        let view = View {
            data: &data,
            shape: &[1, 2, 1, 4],
            batch: 2,
        };
        let pairs = Pairs::new(view, &[2, 2], 2, (3, 4));
        let hidden = Hidden {
            groups: 2,
            pairs: Some(pairs),
            ..ALL
        };
        for (group, head) in [(0, 0), (1, 1), (2, 0), (3, 1)] {
            let row = &data[(group / 2 * 2 + head) * 4..][..4];
            let want: Vec<Float> = row
                .iter()
                .map(|v| Float::from(u8::from(*v != 0.0)))
                .collect();
            assert_eq!(shown(&hidden, group, head)[4..8], want);
        }
        let view = View {
            data: &data[..12],
            shape: &[3, 4],
            batch: 1,
        };
        let pairs = Pairs::new(view, &[2, 2], 2, (3, 4));
        let hidden = Hidden {
            groups: 2,
            pairs: Some(pairs),
            ..ALL
        };
        assert_eq!(shown(&hidden, 1, 1)[..6], [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
    }
}
