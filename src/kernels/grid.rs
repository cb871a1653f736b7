//! Windows over an image: where they lie, and the image with its padding around it. Shared by convolution and pooling.

use crate::float::Float;

/// How windows lie over an image along depth, height and width; an image of fewer axes has leading axes of size 1.
///
/// Tap `k` of window `o` along an axis is pixel `o * stride + k * dilation - before`; pixels outside of the image are padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Pixels.
    pub image: [usize; 3],
    /// Windows.
    pub out: [usize; 3],
    /// Taps of a window.
    pub kernel: [usize; 3],
    /// Distance of neighbouring windows.
    pub stride: [usize; 3],
    /// Distance of neighbouring taps.
    pub dilation: [usize; 3],
    /// Padding before the first pixel.
    pub before: [usize; 3],
}

impl Grid {
    /// Pixels of an image.
    pub fn pixels(&self) -> usize {
        self.image.iter().product()
    }

    /// Windows over an image.
    pub fn positions(&self) -> usize {
        self.out.iter().product()
    }

    /// Taps of a window.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Pixels, padding included, from the first tap of the first to the last tap of the last of `count` windows.
    pub fn reach(&self, axis: usize, count: usize) -> usize {
        (count - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// Whether no window leaves the image.
    pub fn fits(&self) -> bool {
        (0..3).all(|a| self.before[a] == 0 && self.reach(a, self.out[a]) <= self.image[a])
    }

    /// The outermost axis with several windows: windows that are neighbours in memory form bands along it.
    pub fn band_axis(&self) -> usize {
        self.out.iter().position(|&n| n > 1).unwrap_or(2)
    }

    /// Writes where windows begin in an image of this size: `count` of them, in order, of samples that are `sample` apart.
    pub fn window_starts(
        &self,
        size: [usize; 3],
        channels: usize,
        sample: usize,
        starts: &mut [u32],
    ) {
        let mut starts = starts.iter_mut();
        for base in (0..).map(|s| s * sample) {
            for z in 0..self.out[0] {
                for y in 0..self.out[1] {
                    let row = (z * self.stride[0] * size[1] + y * self.stride[1]) * size[2];
                    for x in 0..self.out[2] {
                        match starts.next() {
                            Some(start) => {
                                *start = (base + (row + x * self.stride[2]) * channels) as u32;
                            }
                            None => return,
                        }
                    }
                }
            }
        }
    }

    /// Writes where the taps of a window begin, each with its first `each` channels one after the other.
    pub fn tap_starts(&self, size: [usize; 3], channels: usize, each: usize, starts: &mut [u32]) {
        let mut starts = starts.iter_mut();
        for z in 0..self.kernel[0] {
            for y in 0..self.kernel[1] {
                let row = (z * self.dilation[0] * size[1] + y * self.dilation[1]) * size[2];
                for x in 0..self.kernel[2] {
                    let tap = (row + x * self.dilation[2]) * channels;
                    for (c, start) in starts.by_ref().take(each).enumerate() {
                        *start = (tap + c) as u32;
                    }
                }
            }
        }
    }
}

/// A rectangle of an image with what padding belongs to it, as memory of its own.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Size, padding included.
    pub size: [usize; 3],
    /// Padded coordinates of its first pixel, less the padding before the image: where it begins in the image if positive.
    pub origin: [isize; 3],
    /// Channels of the image.
    pub channels: usize,
    /// How often each channel is repeated in the frame.
    pub repeat: usize,
}

impl Frame {
    /// Numbers.
    pub fn len(&self) -> usize {
        self.size.iter().product::<usize>() * self.channels * self.repeat
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the image into the frame, and zeros around it.
    pub fn copy_in(&self, image: [usize; 3], from: &[Float], frame: &mut [Float]) {
        let width = self.channels * self.repeat;
        self.rows(image, |at, pixels| {
            let row = &mut frame[at * self.size[2] * width..][..self.size[2] * width];
            let Some((first, start, count)) = pixels else {
                return row.fill(0.0);
            };
            let (before, rest) = row.split_at_mut(first * width);
            let (inside, after) = rest.split_at_mut(count * width);
            before.fill(0.0);
            after.fill(0.0);
            let from = &from[start * self.channels..][..count * self.channels];
            if self.repeat == 1 {
                inside.copy_from_slice(from);
            } else {
                for (to, from) in inside.chunks_exact_mut(self.repeat).zip(from) {
                    to.fill(*from);
                }
            }
        });
    }

    /// Adds the frame to the image; what lies outside is dropped, and repeated channels are added up.
    pub fn add_out(&self, image: [usize; 3], frame: &[Float], to: &mut [Float]) {
        let width = self.channels * self.repeat;
        self.rows(image, |at, pixels| {
            let Some((first, start, count)) = pixels else {
                return;
            };
            let row = &frame[(at * self.size[2] + first) * width..][..count * width];
            let to = &mut to[start * self.channels..][..count * self.channels];
            if self.repeat == 1 {
                for (to, from) in to.iter_mut().zip(row) {
                    *to += from;
                }
            } else {
                for (to, from) in to.iter_mut().zip(row.chunks_exact(self.repeat)) {
                    *to += from.iter().sum::<Float>();
                }
            }
        });
    }

    /// Calls `f(row, pixels)` for every row of the frame, in order. `pixels` is the part that the image has: first place in the
    /// row, first pixel of the image, and how many.
    fn rows(&self, image: [usize; 3], mut f: impl FnMut(usize, Option<(usize, usize, usize)>)) {
        let inside = |axis: usize, i: usize| {
            let at = self.origin[axis] + i as isize;
            (at >= 0 && (at as usize) < image[axis]).then_some(at as usize)
        };
        let (origin, width) = (self.origin[2], self.size[2] as isize);
        let first = (-origin).clamp(0, width);
        let count = (image[2] as isize - origin).clamp(first, width) - first;
        for z in 0..self.size[0] {
            for y in 0..self.size[1] {
                let pixels = match (inside(0, z), inside(1, y)) {
                    (Some(z), Some(y)) if count > 0 => {
                        let row = (z * image[1] + y) * image[2];
                        Some((
                            first as usize,
                            row + (origin + first) as usize,
                            count as usize,
                        ))
                    }
                    _ => None,
                };
                f(z * self.size[1] + y, pixels);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_the_image_with_zeros_around() {
        let frame = Frame {
            size: [1, 3, 4],
            origin: [0, -1, -1],
            channels: 1,
            repeat: 1,
        };
        let mut data = [9.0; 12];
        frame.copy_in([1, 2, 2], &[1.0, 2.0, 3.0, 4.0], &mut data);
        assert_eq!(
            data,
            [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0]
        );
        let mut image = [10.0; 4];
        frame.add_out([1, 2, 2], &data, &mut image);
        assert_eq!(image, [11.0, 12.0, 13.0, 14.0]);
    }

    #[test]
    fn repeated_channels_are_added_up() {
        let frame = Frame {
            size: [1, 1, 2],
            origin: [0, 0, 1],
            channels: 2,
            repeat: 2,
        };
        let mut data = [9.0; 8];
        frame.copy_in([1, 1, 2], &[1.0, 2.0, 3.0, 4.0], &mut data);
        assert_eq!(data, [3.0, 3.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
        let mut image = [0.0; 4];
        frame.add_out(
            [1, 1, 2],
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            &mut image,
        );
        assert_eq!(image, [0.0, 0.0, 3.0, 7.0]);
    }

    #[test]
    fn windows_and_taps_address_the_image() {
        // 3 x 4 pixels of 2 channels, windows of 2 x 2 a step of (1, 2) apart.
        let grid = Grid {
            image: [1, 3, 4],
            out: [1, 2, 2],
            kernel: [1, 2, 2],
            stride: [1, 1, 2],
            dilation: [1, 1, 1],
            before: [0; 3],
        };
        assert!(grid.fits() && grid.band_axis() == 1);
        let (mut windows, mut taps) = ([0; 6], [0; 8]);
        grid.window_starts(grid.image, 2, 24, &mut windows);
        grid.tap_starts(grid.image, 2, 2, &mut taps);
        assert_eq!(windows, [0, 4, 8, 12, 24, 28]);
        assert_eq!(taps, [0, 1, 2, 3, 8, 9, 10, 11]);
    }
}
