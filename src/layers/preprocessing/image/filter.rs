//! Filters: sums over the neighbourhood of each pixel, with zeros beyond the borders.

use super::augmentation::Image;
use crate::float::Float;

/// `y[p] = sum x[p + (i, j) - middle] weight(i, j)` over a neighbourhood of `size` (odd numbers of rows and columns).
pub(crate) fn correlate(
    image: Image,
    size: [usize; 2],
    weight: impl Fn(usize, usize) -> Float,
    x: &[Float],
    y: &mut [Float],
) {
    let [rows, cols] = size;
    y.fill(0.0);
    // Places of the neighbourhood that are ever in the image.
    let near = |size: usize, n: usize| (size / 2 + 1).saturating_sub(n)..size.min(size / 2 + n);
    for i in near(rows, image.height) {
        for j in near(cols, image.width) {
            // Output row r reads row r + i - rows / 2, as long as that is one.
            let (w, height, width) = (weight(i, j), image.height, image.width);
            let (r0, r1) = valid(i, rows, height);
            let (c0, c1) = valid(j, cols, width);
            for r in r0..r1 {
                let from = (r + i - rows / 2) * width + j;
                for c in c0..c1 {
                    for k in 0..image.channels {
                        y[image.at(r * width + c, k)] += w * x[image.at(from + c - cols / 2, k)];
                    }
                }
            }
        }
    }
}

/// Outputs of an axis of `n` for which place `i` of a neighbourhood of `size` is in the image.
fn valid(i: usize, size: usize, n: usize) -> (usize, usize) {
    let half = size / 2;
    (
        half.saturating_sub(i).min(n),
        (n + half).saturating_sub(i).min(n),
    )
}

/// A normal distribution over whole numbers, its middle in the middle.
pub(crate) fn gaussian(sigma: Float, kernel: &mut [Float]) {
    let middle = (kernel.len() as Float - 1.0) / 2.0;
    for (i, k) in kernel.iter_mut().enumerate() {
        *k = (-0.5 * ((i as Float - middle) / sigma).powi(2)).exp();
    }
    let total: Float = kernel.iter().sum();
    kernel.iter_mut().for_each(|k| *k /= total);
}

/// Blurs `y`; `room` is as large. The kernels are those of the rows (down) and of the columns.
pub(crate) fn blur(
    image: Image,
    down: &[Float],
    across: &[Float],
    y: &mut [Float],
    room: &mut [Float],
) {
    correlate(image, [down.len(), 1], |i, _| down[i], y, room);
    correlate(image, [1, across.len()], |_, j| across[j], room, y);
}
