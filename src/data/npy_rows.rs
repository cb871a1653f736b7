//! Arrays that stay in their `.npy` files: rows are read as they are needed, in any order.

use std::path::Path;

use super::batched::{Batched, Indexed};
use super::dataset::{Minibatch, Shapes, sample_dims};
use super::npy::Layout;
use crate::error::{Error, Result};
use crate::saving::number::Number;
use crate::saving::source::Source;

/// The rows of `.npy` files as samples; see [`from_npy`].
#[derive(Clone, Debug)]
pub struct NpyRows {
    /// In the order of the parts of a batch.
    files: Vec<File>,
    shapes: Shapes,
    rows: usize,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
struct File {
    source: Source,
    number: Number,
    begin: u64,
    /// Values of a row.
    width: usize,
}

/// A dataset of `.npy` files, which may be larger than memory: one file for each input and each target, whose first axes are
/// the samples. They may hold any numbers that [`npy::read`](super::npy::read) takes, in C order.
///
/// ```
/// use oxhorn::{data::{from_npy, npy}, prelude::*};
/// let path = |name: &str| std::env::temp_dir().join(format!("oxhorn-doc-{name}.npy"));
/// npy::write(path("x"), &ndarray::array![[0.0], [1.0], [2.0]])?;
/// npy::write(path("y"), &ndarray::array![[1.0], [3.0], [5.0]])?;
/// let mut data = from_npy(&[path("x")], &[path("y")])?.batch_size(2);
/// assert_eq!((data.samples(), data.steps()), (3, Some(2)));
/// let mut model = Sequential::new().seed(0).add(Dense::new(1));
/// model.compile(Sgd::new(0.1), "mse", ())?;
/// let history = model.fit_dataset(&mut data, Fit::epochs(200).verbose(0))?;
/// assert!(history.last("loss").unwrap() < 1e-3);
/// # for name in ["x", "y"] { std::fs::remove_file(path(name)).unwrap(); }
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] where a file cannot be read; [`Error::Data`] where one holds something else, is in Fortran order, or has another
/// number of rows.
pub fn from_npy<P: AsRef<Path>>(x: &[P], y: &[P]) -> Result<Batched<NpyRows>> {
    let (mut files, mut rows) = (Vec::new(), None);
    let mut open = |path: &P| {
        let source = Source::open(path.as_ref())?;
        let layout = Layout::of(&source)?;
        let (fortran, shape) = (layout.header.fortran_order, &layout.header.shape);
        let Some((&n, sample)) = shape.split_first() else {
            return Err(source.error("expected an array of samples, got a single number"));
        };
        if fortran && !sample.is_empty() {
            return Err(source.error("the array is in Fortran order, in which rows are scattered"));
        }
        if *rows.get_or_insert(n) != n {
            let problem = format!(
                "expected {} rows as in the first file, got {n}",
                rows.unwrap_or(0)
            );
            return Err(source.error(problem));
        }
        let dims = sample_dims(sample)?;
        files.push(File {
            number: layout.number,
            begin: layout.begin,
            width: dims.numel(),
            source,
        });
        Ok(dims)
    };
    let shapes = Shapes {
        x: x.iter().map(&mut open).collect::<Result<_>>()?,
        y: y.iter().map(&mut open).collect::<Result<_>>()?,
        weights: vec![],
    };
    if x.is_empty() {
        return Err(Error::arg("x", "at least one file", "none").owned_by("from_npy"));
    }
    Batched::new(NpyRows {
        files,
        shapes,
        rows: rows.unwrap_or(0),
        bytes: Vec::new(),
    })
}

impl Indexed for NpyRows {
    fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn read(&mut self, index: usize, batch: &mut Minibatch) -> Result<()> {
        for (file, part) in self.files.iter().zip(batch.parts_mut()) {
            let size = file.width * file.number.size;
            self.bytes.resize(size, 0);
            let at = file.begin + index as u64 * size as u64;
            file.source.read_at(at, &mut self.bytes)?;
            file.number.convert(&self.bytes, part.add());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Pass, npy};
    use ndarray::{Array3, array};

    #[test]
    fn rows_in_any_order_and_files_that_do_not_fit() {
        let folder = std::env::temp_dir().join(format!("oxhorn-npy-rows-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (a, b, c) = (
            folder.join("a.npy"),
            folder.join("b.npy"),
            folder.join("c.npy"),
        );
        let x = Array3::from_shape_fn((5, 2, 3), |(i, j, k)| {
            (i * 100 + j * 10 + k) as crate::Float
        });
        npy::write(&a, &x).unwrap();
        npy::write(&b, &array![0.0, 1.0, 2.0, 3.0, 4.0]).unwrap();
        npy::write(&c, &array![0.0, 1.0]).unwrap();
        let mut data = from_npy(&[&a], &[&b]).unwrap().batch_size(5);
        let mut batch = Minibatch::default();
        let pass = Pass {
            number: 1,
            seed: 2,
            shuffle: true,
        };
        data.begin(pass).unwrap();
        assert!(data.next(&mut batch).unwrap());
        for i in 0..5 {
            let row = batch.y[0].row(i)[0] as usize;
            assert_eq!(
                batch.x[0].row(i),
                x.index_axis(ndarray::Axis(0), row).as_slice().unwrap()
            );
        }
        assert!(from_npy(&[&a], &[&c]).is_err());
        assert!(from_npy::<&std::path::PathBuf>(&[], &[&c]).is_err());
        let text = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }";
        let mut bytes = [
            &b"\x93NUMPY\x01\x00"[..],
            &(text.len() as u16).to_le_bytes(),
            text.as_bytes(),
        ]
        .concat();
        bytes.extend([0; 16]);
        std::fs::write(&c, bytes).unwrap();
        assert!(
            from_npy(&[&c], &[])
                .unwrap_err()
                .to_string()
                .contains("Fortran")
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}
