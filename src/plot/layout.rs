//! Places for the boxes of a graph without cycles: in ranks, with few crossings, and straight where that is possible (Sugiyama's
//! method). An arrow over several ranks gets a small place in each of them, so that it passes between the boxes.

/// What is to be placed.
pub(super) struct Graph<'a> {
    /// Extent of every box across the direction in which the graph runs.
    pub widths: Vec<f64>,
    /// Arrows.
    pub edges: &'a [(usize, usize)],
    /// Boxes of one group stay beside each other: the groups that each box is in, outermost first.
    pub groups: Vec<Vec<usize>>,
}

/// Where it lies.
pub(super) struct Layout {
    /// Rank of every box.
    pub rank: Vec<usize>,
    /// Middle of every box, across the direction.
    pub at: Vec<f64>,
    /// For every arrow the middles of the places that it passes between its ends, rank by rank.
    pub via: Vec<Vec<f64>>,
    /// Extent of all.
    pub width: f64,
}

const GAP: f64 = 28.0;
const SWEEPS: usize = 12;

/// A box, or the place of an arrow that passes a rank.
struct Cell {
    width: f64,
    group: Vec<usize>,
    above: Vec<usize>,
    below: Vec<usize>,
    at: f64,
}

pub(super) fn layout(graph: &Graph<'_>) -> Layout {
    let n = graph.widths.len();
    let rank = ranks(n, graph.edges);
    let mut rows: Vec<Vec<usize>> = vec![vec![]; rank.iter().max().map_or(0, |m| m + 1)];
    let mut cells: Vec<Cell> = Vec::new();
    let cell = |width: f64, group: &Vec<usize>| Cell {
        width,
        group: group.clone(),
        above: vec![],
        below: vec![],
        at: 0.0,
    };
    for i in 0..n {
        cells.push(cell(graph.widths[i], &graph.groups[i]));
        rows[rank[i]].push(i);
    }
    let mut via: Vec<Vec<usize>> = Vec::new();
    for &(from, to) in graph.edges {
        let shared = graph.groups[from].iter().zip(&graph.groups[to]);
        let group = shared
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| *a)
            .collect();
        let (mut last, mut path) = (from, vec![]);
        for row in &mut rows[rank[from] + 1..rank[to]] {
            cells.push(cell(4.0, &group));
            let new = cells.len() - 1;
            row.push(new);
            path.push(new);
            cells[last].below.push(new);
            cells[new].above.push(last);
            last = new;
        }
        cells[last].below.push(to);
        cells[to].above.push(last);
        via.push(path);
    }
    for row in &rows {
        spread(row, &mut cells, |_, i| i as f64);
    }
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let order: Vec<usize> = match down {
            true => (0..rows.len()).collect(),
            false => (0..rows.len()).rev().collect(),
        };
        for r in order {
            let mean = |cells: &[Cell], c: usize| {
                let near = if down {
                    &cells[c].above
                } else {
                    &cells[c].below
                };
                let sum: f64 = near.iter().map(|&m| cells[m].at).sum();
                if near.is_empty() {
                    cells[c].at
                } else {
                    sum / near.len() as f64
                }
            };
            // The order may change in the first sweeps; later it only becomes straighter.
            if sweep < SWEEPS / 2 {
                let middle: Vec<f64> = (0..cells.len()).map(|c| mean(&cells, c)).collect();
                // Groups are ordered as the mean of what is in them.
                let key = |c: usize| -> Vec<(f64, usize)> {
                    let group = &cells[c].group;
                    let outer = (1..=group.len()).map(|depth| {
                        let inside = rows[r]
                            .iter()
                            .filter(|&&m| cells[m].group.starts_with(&group[..depth]));
                        let inside: Vec<f64> = inside.map(|&m| middle[m]).collect();
                        (
                            inside.iter().sum::<f64>() / inside.len() as f64,
                            group[depth - 1] + 1,
                        )
                    });
                    outer.chain([(middle[c], 0)]).collect()
                };
                let mut keyed: Vec<_> = rows[r].iter().map(|&c| (key(c), c)).collect();
                keyed.sort_by(|a, b| {
                    let pairs = a.0.iter().zip(&b.0);
                    let each = pairs.map(|(x, y)| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
                    each.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
                });
                rows[r] = keyed.into_iter().map(|(_, c)| c).collect();
            }
            spread(&rows[r], &mut cells, |cells, i| mean(cells, rows[r][i]));
        }
    }
    let left = cells
        .iter()
        .map(|c| c.at - c.width / 2.0)
        .fold(f64::INFINITY, f64::min);
    let right = cells
        .iter()
        .map(|c| c.at + c.width / 2.0)
        .fold(f64::NEG_INFINITY, f64::max);
    let place = |c: &usize| cells[*c].at - left;
    Layout {
        rank,
        at: (0..n).map(|c| place(&c)).collect(),
        via: via
            .iter()
            .map(|path| path.iter().map(place).collect())
            .collect(),
        width: if n == 0 { 0.0 } else { right - left },
    }
}

/// The longest way from a beginning to each box; boxes that only begin move down to what they lead to.
fn ranks(n: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut rank = vec![0usize; n];
    // Without cycles, n rounds are enough; mostly one is, since boxes come in the order in which they run.
    for _ in 0..n {
        let before = rank.clone();
        for &(from, to) in edges {
            rank[to] = rank[to].max(rank[from] + 1);
        }
        if rank == before {
            break;
        }
    }
    for i in 0..n {
        if edges.iter().all(|e| e.1 != i) {
            let next = edges.iter().filter(|e| e.0 == i).map(|e| rank[e.1]);
            rank[i] = next.min().map_or(rank[i], |r| r.saturating_sub(1));
        }
    }
    rank
}

/// Places the cells of a row as near to where they want to be as their order and widths allow: cells that would overlap share
/// their deviation (isotonic regression).
fn spread(row: &[usize], cells: &mut [Cell], want: impl Fn(&[Cell], usize) -> f64) {
    // Offsets take out the widths: then the wanted places must only not decrease.
    let (mut offset, mut offsets) = (0.0, Vec::with_capacity(row.len()));
    for (i, &c) in row.iter().enumerate() {
        if i > 0 {
            offset += (cells[row[i - 1]].width + cells[c].width) / 2.0 + GAP;
        }
        offsets.push(offset);
    }
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (i, offset) in offsets.iter().enumerate() {
        blocks.push((want(cells, i) - offset, 1));
        while let [.., (a, m), (b, k)] = blocks[..] {
            if a <= b {
                break;
            }
            blocks.truncate(blocks.len() - 2);
            blocks.push(((a * m as f64 + b * k as f64) / (m + k) as f64, m + k));
        }
    }
    let places = blocks.iter().flat_map(|&(v, k)| std::iter::repeat_n(v, k));
    for ((&c, offset), place) in row.iter().zip(&offsets).zip(places) {
        cells[c].at = place + offset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps_and_chains_are_straight() {
        let edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (4, 3)];
        let graph = Graph {
            widths: vec![100.0, 60.0, 80.0, 120.0, 50.0],
            edges: &edges,
            groups: vec![vec![]; 5],
        };
        let l = layout(&graph);
        assert_eq!(l.rank, [0, 1, 1, 2, 1]);
        assert_eq!(
            l.via.iter().map(Vec::len).collect::<Vec<_>>(),
            [0, 0, 0, 0, 1, 0]
        );
        let mut row: Vec<(f64, f64)> = [1, 2, 4].map(|i| (l.at[i], graph.widths[i])).into();
        row.push((l.via[4][0], 4.0));
        row.sort_by(|a, b| a.0.total_cmp(&b.0));
        for pair in row.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= (pair[0].1 + pair[1].1) / 2.0 + GAP - 1e-9);
        }
        let chain = Graph {
            widths: vec![100.0, 60.0, 80.0],
            edges: &[(0, 1), (1, 2)],
            groups: vec![vec![]; 3],
        };
        let l = layout(&chain);
        assert!(l.at.iter().all(|x| (x - 50.0).abs() < 1e-9) && l.width == 100.0);
        let none = Graph {
            widths: vec![],
            edges: &[],
            groups: vec![],
        };
        assert_eq!(layout(&none).width, 0.0);
    }
}
