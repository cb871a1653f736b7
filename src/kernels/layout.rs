//! Channels first, channels last: transposes of many small matrices.

use super::parallel::Par;
use crate::float::Float;

/// Side of the blocks that are transposed at once: two of them fill half of the first cache.
const BLOCK: usize = 32;
/// Numbers worth a second thread.
const WORTH_THREADS: usize = 1 << 16;

/// Transposes every matrix of a batch: `to` holds matrices of `cols x rows`, `from` of `rows x cols`.
pub fn transpose(rows: usize, cols: usize, from: &[Float], to: &mut [Float], par: Par) {
    let each = (rows * cols).max(1);
    let par = if to.len() < WORTH_THREADS {
        Par::Serial
    } else {
        par
    };
    par.for_each_piece(to, each, |start, to| {
        let from = &from[start..][..each];
        for i in (0..rows).step_by(BLOCK) {
            for j in (0..cols).step_by(BLOCK) {
                for q in j..cols.min(j + BLOCK) {
                    let to = &mut to[q * rows..][..rows];
                    for p in i..rows.min(i + BLOCK) {
                        to[p] = from[p * cols + q];
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_matrix_is_transposed() {
        let (rows, cols) = (37, 70);
        let from: Vec<Float> = (0..2 * rows * cols).map(|i| i as Float).collect();
        let mut to = vec![0.0; from.len()];
        transpose(rows, cols, &from, &mut to, Par::Serial);
        for s in 0..2 {
            for i in 0..rows {
                for j in 0..cols {
                    let base = s * rows * cols;
                    assert_eq!(to[base + j * rows + i], from[base + i * cols + j]);
                }
            }
        }
    }
}
