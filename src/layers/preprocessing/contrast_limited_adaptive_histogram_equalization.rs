//! ContrastLimitedAdaptiveHistogramEqualization: the image is cut into tiles, each with a table that equalizes its own histogram;
//! a pixel is looked up in the tables of the four nearest tiles, and what they say is interpolated.
//!
//! Table of a tile of `n` pixels: `255 (F - F_0) / (n - F_0)`, with `F` the cumulative histogram after what exceeds the limit of a bin
//! has been spread evenly over all 256 bins.

use serde::{Deserialize, Serialize};

use super::image::arguments::{ValueRange, check_finite};
use super::image::augmentation::{Augmentation, Image, pointwise};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::{DataFormat, Sizes, checked};

/// Equalizes the histogram of every channel, tile by tile, in training and inference.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_preprocessing/contrast_limited_adaptive_histogram_equalization/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `clip_limit` | 4.0 | a bin holds at most this many times what it would in a flat histogram; 0 for no limit |
/// | `tile_grid_size` | 8 | tiles down and across |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::ContrastLimitedAdaptiveHistogramEqualization, prelude::*};
/// let layer = ContrastLimitedAdaptiveHistogramEqualization::new().tile_grid_size(1).clip_limit(0.0);
/// let mut model = Sequential::new().input([1, 3, 1]).add(layer);
/// model.build([1, 3, 1])?;
/// let y = model.predict(&ndarray::array![[[[20.0f32], [21.0], [22.0]]]])?;
/// assert_eq!(y, ndarray::array![[[[85.0], [170.0], [255.0]]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContrastLimitedAdaptiveHistogramEqualization {
    value_range: ValueRange,
    clip_limit: f64,
    tile_grid_size: Sizes<2>,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Default for ContrastLimitedAdaptiveHistogramEqualization {
    fn default() -> Self {
        ContrastLimitedAdaptiveHistogramEqualization {
            value_range: ValueRange::default(),
            clip_limit: 4.0,
            tile_grid_size: 8.into(),
            data_format: DataFormat::default(),
        }
    }
}

impl ContrastLimitedAdaptiveHistogramEqualization {
    /// With 8 x 8 tiles and a limit of 4.
    pub fn new() -> Self {
        ContrastLimitedAdaptiveHistogramEqualization::default()
    }

    /// Smallest and largest value of pixels.
    pub fn value_range(mut self, value_range: impl Into<ValueRange>) -> Self {
        self.value_range = value_range.into();
        self
    }

    /// How many times the mean a bin may hold; 0 for no limit.
    pub fn clip_limit(mut self, clip_limit: f64) -> Self {
        self.clip_limit = clip_limit;
        self
    }

    /// Tiles down and across.
    pub fn tile_grid_size(mut self, tile_grid_size: impl Into<Sizes<2>>) -> Self {
        self.tile_grid_size = tile_grid_size.into();
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Augmentation for ContrastLimitedAdaptiveHistogramEqualization {
    fn name(&self) -> &'static str {
        "ContrastLimitedAdaptiveHistogramEqualization"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn check(&self, [height, width, _]: [Option<usize>; 3]) -> Result<()> {
        self.value_range.check()?;
        check_finite("clip_limit", self.clip_limit)?;
        let grid = self.tile_grid_size.0;
        for (n, tiles) in [height, width].into_iter().zip(grid) {
            // What is mirrored to fill the last tiles must be there.
            let fits = |n: usize| {
                n.div_ceil(tiles)
                    .checked_mul(tiles)
                    .is_some_and(|m| m - n <= n)
            };
            if tiles == 0 || n.is_some_and(|n| !fits(n)) {
                let want = "positive numbers, and tiles that the image fills at least by half";
                return Err(Error::arg("tile_grid_size", want, format!("{grid:?}")));
            }
        }
        // The tables fit memory.
        if height.is_some() && width.is_some() {
            checked([grid[0], grid[1], BINS].into())?;
        }
        Ok(())
    }

    fn always(&self) -> bool {
        true
    }

    /// A table for each tile.
    fn room(&self, _image: Image) -> usize {
        self.tile_grid_size.0.iter().product::<usize>() * BINS
    }

    fn augment(&self, _: SampleRng, image: Image, y: &mut [Float], room: &mut [Float]) {
        let (range, bytes) = (self.value_range, ValueRange::default());
        pointwise(y, |y| range.map(bytes, y));
        for c in 0..image.channels {
            self.tables(image, c, y, room);
            self.look_up(image, c, y, room);
        }
        pointwise(y, |y| bytes.map(range, y));
    }
}

const BINS: usize = 256;

fn bin(value: Float) -> usize {
    (value as usize).min(BINS - 1)
}

impl ContrastLimitedAdaptiveHistogramEqualization {
    /// Rows and columns of a tile.
    fn tile(&self, image: Image) -> [usize; 2] {
        let [down, across] = self.tile_grid_size.0;
        [image.height.div_ceil(down), image.width.div_ceil(across)]
    }

    fn tables(&self, image: Image, c: usize, y: &[Float], tables: &mut [Float]) {
        let ([rows, cols], [_, across]) = (self.tile(image), self.tile_grid_size.0);
        let pixels = (rows * cols) as Float;
        // Beyond the border the image is mirrored.
        let mirrored = |i: usize, n: usize| if i < n { i } else { 2 * n - 1 - i };
        for (t, table) in tables.chunks_exact_mut(BINS).enumerate() {
            table.fill(0.0);
            for row in t / across * rows..(t / across + 1) * rows {
                let row = mirrored(row, image.height) * image.width;
                for col in t % across * cols..(t % across + 1) * cols {
                    table[bin(y[image.at(row + mirrored(col, image.width), c)])] += 1.0;
                }
            }
            if self.clip_limit > 0.0 {
                let limit = (self.clip_limit * (rows * cols) as f64 / BINS as f64) as Float;
                let excess: Float = table.iter().map(|n| n - n.min(limit)).sum();
                table
                    .iter_mut()
                    .for_each(|n| *n = n.min(limit) + excess / BINS as Float);
            }
            let (first, mut sum) = (table[0], 0.0);
            let width = if pixels == first { 1.0 } else { pixels - first };
            for n in table {
                sum += *n;
                *n = ((sum - first) * 255.0 / width).clamp(0.0, 255.0);
            }
        }
    }

    fn look_up(&self, image: Image, c: usize, y: &mut [Float], tables: &[Float]) {
        let ([rows, cols], [down, across]) = (self.tile(image), self.tile_grid_size.0);
        // The tiles before and behind, and how far the pixel is on the way from one middle to the other.
        let between = |i: usize, size: usize, tiles: usize| {
            let at = (i as Float - size as Float / 2.0) / size as Float + 1.0;
            let before = at.floor() as usize;
            let tile = |t: usize| t.saturating_sub(1).min(tiles - 1);
            (tile(before), tile(before + 1), at - at.floor())
        };
        for row in 0..image.height {
            let (top, bottom, wy) = between(row, rows, down);
            for col in 0..image.width {
                let (left, right, wx) = between(col, cols, across);
                let y = &mut y[image.at(row * image.width + col, c)];
                let table = |r: usize, c: usize| tables[(r * across + c) * BINS + bin(*y)];
                let above = table(top, left) * (1.0 - wx) + table(top, right) * wx;
                let below = table(bottom, left) * (1.0 - wx) + table(bottom, right) * wx;
                *y = above * (1.0 - wy) + below * wy;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, channels_first, near, picture};
    use super::*;
    use crate::testing::check_layer;

    type Clahe = ContrastLimitedAdaptiveHistogramEqualization;

    #[test]
    fn laws() {
        check_layer(Clahe::new().tile_grid_size(1), &[[2, 3, 3].into()]);
        check_layer(
            Clahe::new()
                .tile_grid_size([1, 2])
                .value_range([-9.0, 9.0])
                .data_format("channels_first"),
            &[[1, 3, 4].into()],
        );
    }

    #[test]
    fn numbers_are_keras_s() {
        let (image, x) = picture(3, 5);
        let channel = |layer: &Clahe| -> Vec<Float> {
            let y = augmented(layer, image, &x, 0);
            let (first, planes) = channels_first(image, &x);
            let first = augmented(
                &layer.clone().data_format("channels_first"),
                first,
                &planes,
                0,
            );
            assert_eq!(first, channels_first(image, &y).1);
            (0..15).map(|p| y[image.at(p, 1)]).collect()
        };
        let want = [
            71.6618, 179.1778, 123.1059, 21.17, 62.1892, 145.7076, 253.8158, 215.3246, 73.4259,
            139.6069, 236.2668, 55.9078, 23.4969, 126.8575, 173.2615,
        ];
        near(
            &channel(&Clahe::new().tile_grid_size(2).clip_limit(30.0)),
            &want,
            1e-5,
        );
        let layer = Clahe::new()
            .tile_grid_size([2, 3])
            .clip_limit(0.0)
            .value_range([0.0, 510.0]);
        let want = [
            127.5, 382.5, 255.0, 127.5, 191.25, 255.0, 510.0, 446.25, 255.0, 382.5, 446.25, 127.5,
            95.625, 382.5, 446.25,
        ];
        near(&channel(&layer), &want, 1e-5);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            Clahe::new(),
            Clahe::new().tile_grid_size(0),
            Clahe::new().tile_grid_size([1, usize::MAX]),
            Clahe::new().tile_grid_size(1).clip_limit(f64::NAN),
            Clahe::new().tile_grid_size(1).value_range([0.0, 0.0]),
        ] {
            assert!(
                layer.check([Some(3), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
    }
}
