//! A window of an image, smaller or larger, brought to another size: what cropping and resizing layers do.
//!
//! `y = R F x` with `F` the window (what is beyond the image is filled) and `R` the resizing; `dx = F^T R^T dy`.

use super::augmentation::Image;
use crate::error::Result;
use crate::float::Float;
use crate::layer::{Backward, Buffers, Forward, Len};
use crate::layers::args::{DataFormat, checked};
use crate::layers::resize::{Interpolation, Resize};

/// A window of `size` rows and columns; one that is larger than the image begins before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) top: isize,
    pub(crate) left: isize,
    pub(crate) size: [usize; 2],
}

impl Frame {
    /// The whole image.
    pub(crate) fn whole(size: [usize; 2]) -> Self {
        Frame {
            top: 0,
            left: 0,
            size,
        }
    }

    /// The largest window in the middle whose sides are as those of `to`. Where a size is not known before, Keras computes with
    /// single precision, which is what `single` does.
    pub(crate) fn cropped([h, w]: [usize; 2], to: [usize; 2], single: bool) -> Self {
        let height = proportional(w, to[0], to[1], single).min(h).max(1);
        let width = proportional(h, to[1], to[0], single).min(w).max(1);
        Frame {
            top: ((h - height) / 2) as isize,
            left: ((w - width) / 2) as isize,
            size: [height, width],
        }
    }

    /// The smallest window around the image whose sides are as those of `to`.
    pub(crate) fn padded([h, w]: [usize; 2], to: [usize; 2]) -> Self {
        let top = (proportional(w, to[0], to[1], true).max(h) - h) / 2;
        let left = (proportional(h, to[1], to[0], true).max(w) - w) / 2;
        Frame {
            top: -(top as isize),
            left: -(left as isize),
            size: [h.saturating_add(2 * top), w.saturating_add(2 * left)],
        }
    }

    /// Calls `f(from, to, n)` for every run of pixels that both the image and the window have.
    fn runs(&self, [h, w]: [usize; 2], mut f: impl FnMut(usize, usize, usize)) {
        let first = |start: isize| (-start).max(0) as usize;
        let end = |start: isize, n: usize, size: usize| {
            (n as isize - start).clamp(0, size as isize) as usize
        };
        let (c0, c1) = (first(self.left), end(self.left, w, self.size[1]));
        for r in first(self.top)..end(self.top, h, self.size[0]) {
            let from = (r as isize + self.top) as usize * w + (c0 as isize + self.left) as usize;
            if c0 < c1 {
                f(from, r * self.size[1] + c0, c1 - c0);
            }
        }
    }
}

/// `a b / c`, rounded down; at most what a size may be.
fn proportional(a: usize, b: usize, c: usize, single: bool) -> usize {
    let product = a as f64 * b as f64;
    let size = match single {
        true => f64::from(product as f32 / c as f32),
        false => product / c as f64,
    };
    size.min((isize::MAX / 256) as f64) as usize
}

/// Images framed and resized.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reframe<'a> {
    pub(crate) to: [usize; 2],
    /// Size of the window.
    pub(crate) size: [usize; 2],
    pub(crate) interpolation: &'a Interpolation,
    pub(crate) antialias: bool,
    pub(crate) fill: Float,
    pub(crate) format: DataFormat,
}

impl Reframe<'_> {
    /// A window of this size brought to another by bilinear interpolation.
    pub(crate) fn bilinear(size: [usize; 2], to: [usize; 2], format: DataFormat) -> Self {
        Reframe {
            to,
            size,
            interpolation: &Interpolation::Bilinear,
            antialias: false,
            fill: 0.0,
            format,
        }
    }

    /// Channels that lie together: with the channels in front, each is an image for itself.
    fn channels(&self, shape: &[usize]) -> usize {
        Image::new(shape, self.format).pixel
    }

    fn from(&self, shape: &[usize]) -> [usize; 2] {
        let image = Image::new(shape, self.format);
        [image.height, image.width]
    }

    fn resize(&self, channels: usize) -> Option<Resize<'_>> {
        let resize = Resize {
            interpolation: self.interpolation,
            antialias: self.antialias,
            from: self.size,
            to: self.to,
            channels,
        };
        let same = self.size == self.to && *self.interpolation == Interpolation::Bilinear;
        (!same).then_some(resize)
    }

    /// Whether the window fits memory.
    pub(crate) fn check(&self, channels: Option<usize>) -> Result<()> {
        checked(vec![Some(self.size[0]), Some(self.size[1]), channels].into()).map(drop)
    }

    pub(crate) fn buffers(&self, shape: &[usize]) -> Buffers {
        let channels = self.channels(shape);
        let framed = self.size[0] * self.size[1] * channels;
        let (weights, row) = match self.resize(channels) {
            Some(resize) => (resize.weights_len(), resize.row_len()),
            None => (0, 0),
        };
        Buffers {
            scratch: vec![Len::Fixed(weights), Len::PerSample(framed + row)],
            ..Buffers::default()
        }
    }

    /// `frame(i)` is the window of sample `i`.
    pub(crate) fn forward(&self, cx: Forward<'_>, frame: impl Fn(usize) -> Frame + Sync) {
        let (x, channels) = (cx.x[0], self.channels(cx.x[0].shape));
        let [weights, rooms] = cx.scratch.all();
        let (resize, size) = (self.resize(channels), self.from(x.shape));
        if let Some(resize) = resize {
            resize.weights(weights);
        }
        let (weights, framed) = (&*weights, self.size[0] * self.size[1] * channels);
        let room = framed + resize.map_or(0, |r| r.row_len());
        let (from, to) = (
            size[0] * size[1] * channels,
            self.to[0] * self.to[1] * channels,
        );
        let (each, out) = (x.shape.iter().product(), cx.y.shape.iter().product());
        cx.par
            .for_each_piece2(cx.y.data, out, rooms, room, |i, y, room| {
                let (room, row) = room.split_at_mut(framed);
                let (frame, x) = (frame(i), &x.data[i * each..][..each]);
                for (x, y) in x.chunks_exact(from).zip(y.chunks_exact_mut(to)) {
                    let x = if frame == Frame::whole(size) {
                        x
                    } else {
                        room.fill(self.fill);
                        frame.runs(size, |from, to, n| {
                            let n = n * channels;
                            room[to * channels..][..n].copy_from_slice(&x[from * channels..][..n]);
                        });
                        &*room
                    };
                    match resize {
                        Some(resize) => resize.forward(weights, x, &mut row[..resize.row_len()], y),
                        None => y.copy_from_slice(x),
                    }
                }
            });
    }

    /// See [`Reframe::forward`].
    pub(crate) fn backward(&self, cx: Backward<'_>, frame: impl Fn(usize) -> Frame + Sync) {
        let Some(dx) = &mut cx.dx[0] else { return };
        let (dy, channels) = (cx.dy, self.channels(dx.shape));
        let [weights, rooms] = cx.scratch.all();
        let (resize, size) = (self.resize(channels), self.from(dx.shape));
        if let Some(resize) = resize {
            resize.weights(weights);
        }
        let (weights, framed) = (&*weights, self.size[0] * self.size[1] * channels);
        let room = framed + resize.map_or(0, |r| r.row_len());
        let (from, to) = (
            size[0] * size[1] * channels,
            self.to[0] * self.to[1] * channels,
        );
        let (each, out): (usize, usize) = (dx.shape.iter().product(), dy.shape.iter().product());
        cx.par
            .for_each_piece2(dx.data, each, rooms, room, |i, dx, room| {
                let (room, row) = room.split_at_mut(framed);
                let (frame, dy) = (frame(i), &dy.data[i * out..][..out]);
                for (dx, dy) in dx.chunks_exact_mut(from).zip(dy.chunks_exact(to)) {
                    match resize {
                        Some(resize) => {
                            resize.backward(weights, dy, &mut row[..resize.row_len()], room)
                        }
                        None => room.copy_from_slice(dy),
                    }
                    dx.fill(0.0);
                    frame.runs(size, |from, to, n| {
                        let n = n * channels;
                        dx[from * channels..][..n].copy_from_slice(&room[to * channels..][..n]);
                    });
                }
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_the_sides() {
        let crop = |from, to| Frame::cropped(from, to, true);
        assert_eq!(
            crop([6, 8], [4, 4]),
            Frame {
                top: 0,
                left: 1,
                size: [6, 6]
            }
        );
        assert_eq!(
            crop([9, 3], [1, 2]),
            Frame {
                top: 4,
                left: 0,
                size: [1, 3]
            }
        );
        let padded = Frame {
            top: -1,
            left: 0,
            size: [8, 8],
        };
        assert_eq!(Frame::padded([6, 8], [7, 7]), padded);
        // No overflow.
        let most = usize::MAX;
        assert!(Frame::padded([1, most >> 8], [most, 1]).size[0] > most >> 10);
    }
}
