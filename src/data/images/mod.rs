//! Pictures in folders: read, brought to one size, handed out as samples.
//!
//! PGM and PPM can always be read; PNG and JPEG with the feature `images`.

mod pnm;

use std::path::Path;

use super::batched::{Batched, Indexed};
use super::dataset::{Minibatch, Shapes, sample_dims};
use super::folder::{Files, Form, LabelMode, split};
use super::text::read_file;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layers::Interpolation;
use crate::layers::resize::Resize;
use crate::random::Seed;

/// Values of pixels from 0 to 255, channels last. Its memory is kept.
#[derive(Clone, Debug, Default)]
struct Picture {
    height: usize,
    width: usize,
    channels: usize,
    values: Vec<Float>,
}

/// What the channels of pictures are; those of files are converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorMode {
    /// One channel: luminance, 0.299 R + 0.587 G + 0.114 B.
    Grayscale,
    /// Three channels.
    #[default]
    Rgb,
    /// Four channels; 255 (opaque) where a file has no fourth.
    Rgba,
}

impl ColorMode {
    fn channels(self) -> usize {
        match self {
            ColorMode::Grayscale => 1,
            ColorMode::Rgb => 3,
            ColorMode::Rgba => 4,
        }
    }
}

/// Which pictures [`image_dataset_from_directory`] reads, and how.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `label_mode` | `Int` | what the targets are; `None`: there are none |
/// | `class_names` | the folders, sorted | folders of the classes, in this order |
/// | `color_mode` | `Rgb` | the channels |
/// | `image_size` | 256, 256 | height and width |
/// | `interpolation` | `Bilinear` | how pictures are resized: an [`Interpolation`] or its name |
/// | `crop_to_aspect_ratio` | false | keep proportions: cut the middle out |
/// | `pad_to_aspect_ratio` | false | keep proportions: put zeros around |
/// | `validation_split` | none | part of the files that is put aside, with the seed of the order before that |
/// | `follow_links` | false | whether to look into folders that are links |
#[derive(Clone, Debug)]
pub struct Images {
    form: Form,
    color_mode: ColorMode,
    image_size: [usize; 2],
    interpolation: Interpolation,
    crop_to_aspect_ratio: bool,
    pad_to_aspect_ratio: bool,
}

impl Default for Images {
    fn default() -> Self {
        Images {
            form: Form::default(),
            color_mode: ColorMode::Rgb,
            image_size: [256, 256],
            interpolation: Interpolation::Bilinear,
            crop_to_aspect_ratio: false,
            pad_to_aspect_ratio: false,
        }
    }
}

impl Images {
    /// What the targets are.
    pub fn label_mode(mut self, mode: LabelMode) -> Self {
        self.form.label_mode = mode;
        self
    }

    /// The folders of the classes, in this order.
    pub fn class_names(mut self, names: &[&str]) -> Self {
        self.form.class_names = Some(names.iter().map(|n| n.to_string()).collect());
        self
    }

    /// The channels.
    pub fn color_mode(mut self, mode: ColorMode) -> Self {
        self.color_mode = mode;
        self
    }

    /// Height and width.
    pub fn image_size(mut self, height: usize, width: usize) -> Self {
        self.image_size = [height, width];
        self
    }

    /// How pictures are resized.
    pub fn interpolation(mut self, interpolation: impl Into<Interpolation>) -> Self {
        self.interpolation = interpolation.into();
        self
    }

    /// Whether to keep proportions by cutting the middle out.
    pub fn crop_to_aspect_ratio(mut self, yes: bool) -> Self {
        self.crop_to_aspect_ratio = yes;
        self
    }

    /// Whether to keep proportions by zeros around.
    pub fn pad_to_aspect_ratio(mut self, yes: bool) -> Self {
        self.pad_to_aspect_ratio = yes;
        self
    }

    /// The part of the files that is put aside.
    pub fn validation_split(mut self, fraction: f64, seed: Seed) -> Self {
        self.form.validation = Some((fraction, seed));
        self
    }

    /// Whether to look into folders that are links.
    pub fn follow_links(mut self, yes: bool) -> Self {
        self.form.follow_links = yes;
        self
    }
}

/// The pictures of a folder as samples; see [`image_dataset_from_directory`].
#[derive(Clone, Debug)]
pub struct ImageFolder {
    files: Files,
    images: Images,
    shapes: Shapes,
    // Memory that is kept from picture to picture.
    bytes: Vec<u8>,
    picture: Picture,
    converted: Picture,
    /// What [`weights`](Self::weights) are for: the sizes before.
    weighted: Option<[usize; 2]>,
    weights: Vec<Float>,
    row: Vec<Float>,
}

impl ImageFolder {
    /// Names of the classes.
    pub fn class_names(&self) -> &[String] {
        &self.files.class_names
    }

    /// The files, in the order of the samples.
    pub fn file_paths(&self) -> &[std::path::PathBuf] {
        &self.files.paths
    }
}

/// Endings of the files that can be read.
#[cfg(feature = "images")]
const ENDINGS: &[&str] = &[".pgm", ".ppm", ".png", ".jpg", ".jpeg"];
#[cfg(not(feature = "images"))]
const ENDINGS: &[&str] = &[".pgm", ".ppm"];

/// The pictures below a folder, whose inner folders are the classes, as samples `(height, width, channels)` of values from 0 to 255:
/// Keras's `utils.image_dataset_from_directory`. Returned are the training data and, with a `validation_split`, the files that were
/// put aside. Batch size, shuffling and its seed are set on them.
///
/// ```
/// use oxhorn::data::{image_dataset_from_directory, ColorMode, Dataset, Images, Minibatch, Pass};
///
/// let folder = std::env::temp_dir().join("oxhorn-doc-images");
/// for (file, picture) in [("dark/1.pgm", "P2 2 2 255 0 10 20 30"), ("light/1.ppm", "P3 1 1 255 200 200 200")] {
///     std::fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
///     std::fs::write(folder.join(file), picture).unwrap();
/// }
/// let images = Images::default().color_mode(ColorMode::Grayscale).image_size(1, 2);
/// let (mut data, _) = image_dataset_from_directory(&folder, images)?;
/// assert_eq!(data.source().class_names(), ["dark", "light"]);
/// let mut batch = Minibatch::default();
/// data.begin(Pass::IN_ORDER)?;
/// data.next(&mut batch)?;
/// assert_eq!(batch.x[0].shape()[..], [1, 2, 1]);
/// assert_eq!(batch.x[0].row(0), [10.0, 20.0]);
/// assert_eq!(batch.y[0].data(), [0.0, 1.0]);
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If the folder cannot be read, there are no files that can be, or an argument makes no sense; while reading, if a file is damaged.
pub fn image_dataset_from_directory(
    directory: impl AsRef<Path>,
    images: Images,
) -> Result<(Batched<ImageFolder>, Option<Batched<ImageFolder>>)> {
    let [height, width] = images.image_size;
    let owned = |e: Error| e.owned_by("image_dataset_from_directory");
    if height == 0 || width == 0 {
        let got = format!("{height} x {width}");
        return Err(owned(Error::arg("image_size", "at least one pixel", got)));
    }
    images.interpolation.check(8).map_err(owned)?;
    if images.crop_to_aspect_ratio && images.pad_to_aspect_ratio {
        let want = "one of `crop_to_aspect_ratio` and `pad_to_aspect_ratio`";
        return Err(owned(Error::arg("pad_to_aspect_ratio", want, "both")));
    }
    let shape = [height, width, images.color_mode.channels()];
    let files = Files::list(directory.as_ref(), ENDINGS, &images.form)?;
    let data = ImageFolder {
        shapes: Shapes {
            x: vec![sample_dims(&shape).map_err(owned)?],
            y: files.target().into_iter().collect(),
            weights: vec![],
        },
        files,
        images: images.clone(),
        bytes: vec![],
        picture: Picture::default(),
        converted: Picture::default(),
        weighted: None,
        weights: vec![],
        row: vec![],
    };
    split(Batched::new(data)?, &images.form)
}

impl Indexed for ImageFolder {
    fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    fn len(&self) -> usize {
        self.files.paths.len()
    }

    fn read(&mut self, index: usize, batch: &mut Minibatch) -> Result<()> {
        let path = &self.files.paths[index];
        read_file(path, None, &mut self.bytes)?;
        decode(&self.bytes, &mut self.picture)
            .map_err(|problem| Error::data(path.display().to_string(), problem))?;
        convert(
            &self.picture,
            self.images.color_mode.channels(),
            &mut self.converted,
        );
        if self.images.pad_to_aspect_ratio {
            std::mem::swap(&mut self.picture, &mut self.converted);
            pad(&self.picture, self.images.image_size, &mut self.converted);
        }
        if self.images.crop_to_aspect_ratio {
            std::mem::swap(&mut self.picture, &mut self.converted);
            crop(&self.picture, self.images.image_size, &mut self.converted);
        }
        let picture = &self.converted;
        let resize = Resize {
            interpolation: &self.images.interpolation,
            antialias: false,
            from: [picture.height, picture.width],
            to: self.images.image_size,
            channels: picture.channels,
        };
        if self.weighted.replace(resize.from) != Some(resize.from) {
            self.weights.resize(resize.weights_len(), 0.0);
            resize.weights(&mut self.weights);
        }
        self.row.resize(resize.row_len(), 0.0);
        let y = batch.x[0].add();
        resize.forward(&self.weights, &picture.values, &mut self.row, y);
        if let Some(part) = batch.y.first_mut() {
            self.files.put_target(index, part);
        }
        Ok(())
    }
}

/// The largest part in the middle that has the proportions of the target, rounded as Keras does.
fn crop(picture: &Picture, [rows, columns]: [usize; 2], out: &mut Picture) {
    let (h, w, c) = (picture.height, picture.width, picture.channels);
    let height = ((w as f64 * rows as f64 / columns as f64) as usize).clamp(1, h);
    let width = ((h as f64 * columns as f64 / rows as f64) as usize).clamp(1, w);
    (out.height, out.width, out.channels) = (height, width, c);
    let (top, left) = ((h - height) / 2, (w - width) / 2);
    out.values.clear();
    for line in picture.values.chunks_exact(w * c).skip(top).take(height) {
        out.values.extend_from_slice(&line[left * c..][..width * c]);
    }
}

/// The picture in the middle of the smallest one that has the proportions of the target, with zeros around.
fn pad(picture: &Picture, [rows, columns]: [usize; 2], out: &mut Picture) {
    let (h, w, c) = (picture.height, picture.width, picture.channels);
    // Proportions that would take more than the target's own size of memory again are kept only so far.
    let height = h
        .max((w as f64 * rows as f64 / columns as f64) as usize)
        .min(h.max(rows * 64));
    let width = w
        .max((h as f64 * columns as f64 / rows as f64) as usize)
        .min(w.max(columns * 64));
    (out.height, out.width, out.channels) = (height, width, c);
    out.values.clear();
    out.values.resize(height * width * c, 0.0);
    let (top, left) = ((height - h) / 2, (width - w) / 2);
    for (y, line) in picture.values.chunks_exact(w * c).enumerate() {
        out.values[((top + y) * width + left) * c..][..w * c].copy_from_slice(line);
    }
}

/// Another number of channels.
fn convert(picture: &Picture, channels: usize, out: &mut Picture) {
    (out.height, out.width, out.channels) = (picture.height, picture.width, channels);
    out.values.clear();
    for pixel in picture.values.chunks_exact(picture.channels) {
        let (rgb, alpha) = match *pixel {
            [v] => ([v; 3], 255.0),
            [v, a] => ([v; 3], a),
            [r, g, b] => ([r, g, b], 255.0),
            [r, g, b, a, ..] => ([r, g, b], a),
            [] => ([0.0; 3], 255.0),
        };
        match channels {
            1 if picture.channels <= 2 => out.values.push(rgb[0]),
            1 => out
                .values
                .push(0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]),
            3 => out.values.extend(rgb),
            _ => out.values.extend([rgb[0], rgb[1], rgb[2], alpha]),
        }
    }
}

fn decode(bytes: &[u8], out: &mut Picture) -> std::result::Result<(), String> {
    #[cfg(feature = "images")]
    if !bytes.starts_with(b"P") {
        return decode_compressed(bytes, out);
    }
    pnm::decode(bytes, out)
}

/// PNG and JPEG. The decoder limits what it allocates.
#[cfg(feature = "images")]
fn decode_compressed(bytes: &[u8], out: &mut Picture) -> std::result::Result<(), String> {
    let reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format();
    let reader = reader.map_err(|e| e.to_string())?;
    let picture = reader.decode().map_err(|e| e.to_string())?;
    (out.height, out.width) = (picture.height() as usize, picture.width() as usize);
    out.channels = usize::from(picture.color().channel_count());
    out.values.clear();
    // Eight bits a channel, as Keras reads them.
    let bytes = match out.channels {
        1 => picture.into_luma8().into_raw(),
        2 => picture.into_luma_alpha8().into_raw(),
        3 => picture.into_rgb8().into_raw(),
        _ => picture.into_rgba8().into_raw(),
    };
    out.values.extend(bytes.into_iter().map(Float::from));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Pass};

    fn read(picture: &[u8], name: &str, images: Images) -> Result<Vec<Float>> {
        let folder =
            std::env::temp_dir().join(format!("oxhorn-images-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), picture).unwrap();
        let result = image_dataset_from_directory(&folder, images.label_mode(LabelMode::None))
            .and_then(|(mut data, _)| {
                let mut batch = Minibatch::default();
                data.begin(Pass::IN_ORDER)?;
                data.next(&mut batch)?;
                Ok(batch.x[0].data().to_vec())
            });
        std::fs::remove_dir_all(folder).unwrap();
        result
    }

    #[test]
    fn channels_crops_and_pads() {
        let gray = |size: [usize; 2]| {
            let images = Images::default().color_mode(ColorMode::Grayscale);
            images.image_size(size[0], size[1])
        };
        let wide = b"P2 4 2 255 1 2 3 4 5 6 7 8";
        let crop = gray([2, 2]).crop_to_aspect_ratio(true);
        assert_eq!(read(wide, "crop.pgm", crop).unwrap(), [2.0, 3.0, 6.0, 7.0]);
        let pad = gray([4, 4]).pad_to_aspect_ratio(true);
        let padded = read(wide, "pad.pgm", pad).unwrap();
        assert_eq!(padded[..9], [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(padded[12..], [0.0; 4]);
        let color = read(b"P3 1 1 255 10 20 30", "gray.ppm", gray([1, 1])).unwrap();
        assert!((color[0] - 18.15).abs() < 1e-4);
        let rgba = Images::default()
            .color_mode(ColorMode::Rgba)
            .image_size(1, 1);
        assert_eq!(
            read(b"P2 1 1 255 7", "rgba.pgm", rgba).unwrap(),
            [7.0, 7.0, 7.0, 255.0]
        );
        assert!(read(b"P5 9 9 255 abc", "cut.pgm", gray([1, 1])).is_err());
        assert!(read(wide, "none.pgm", gray([0, 1])).is_err());
        let both = gray([1, 1])
            .crop_to_aspect_ratio(true)
            .pad_to_aspect_ratio(true);
        assert!(read(wide, "both.pgm", both).is_err());
        assert!(read(wide, "other.bmp", gray([1, 1])).is_err());
    }

    #[cfg(feature = "images")]
    #[test]
    fn png_and_jpeg() {
        use image::{ImageFormat, RgbImage};
        let picture = RgbImage::from_pixel(4, 4, image::Rgb([10, 200, 30]));
        let images = || Images::default().image_size(1, 1);
        for (format, name, near) in [
            (ImageFormat::Png, "a.png", 1e-3),
            (ImageFormat::Jpeg, "a.jpg", 8.0),
        ] {
            let mut bytes = std::io::Cursor::new(vec![]);
            picture.write_to(&mut bytes, format).unwrap();
            let bytes = bytes.into_inner();
            let pixel = read(&bytes, name, images()).unwrap();
            for (got, want) in pixel.iter().zip([10.0, 200.0, 30.0]) {
                assert!((got - want).abs() < near, "{name} {pixel:?}");
            }
            assert!(read(&bytes[..20], name, images()).is_err());
        }
    }
}
