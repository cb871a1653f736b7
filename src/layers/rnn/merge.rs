//! How the outputs of both directions of [`Bidirectional`](super::Bidirectional) become one.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::float::Float;
use crate::kernels::elementwise;
use crate::shape::Dims;

/// How the outputs of both directions become one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeMode {
    /// Side by side along the last axis.
    #[default]
    Concat,
    /// The sum.
    Sum,
    /// The mean.
    Ave,
    /// The product.
    Mul,
    /// They do not: there are two outputs.
    None,
    /// Not known; reported by the layer.
    #[doc(hidden)]
    Unknown(String),
}

impl MergeMode {
    fn name(&self) -> Option<&str> {
        Some(match self {
            MergeMode::Concat => "concat",
            MergeMode::Sum => "sum",
            MergeMode::Ave => "ave",
            MergeMode::Mul => "mul",
            MergeMode::None => return None,
            MergeMode::Unknown(name) => name,
        })
    }
}

impl From<&str> for MergeMode {
    fn from(name: &str) -> Self {
        match name {
            "concat" => MergeMode::Concat,
            "sum" => MergeMode::Sum,
            "ave" => MergeMode::Ave,
            "mul" => MergeMode::Mul,
            other => MergeMode::Unknown(other.into()),
        }
    }
}

impl From<Option<&str>> for MergeMode {
    fn from(name: Option<&str>) -> Self {
        name.map_or(MergeMode::None, MergeMode::from)
    }
}

impl Serialize for MergeMode {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        self.name().serialize(s)
    }
}

impl<'de> Deserialize<'de> for MergeMode {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let name = Option::<String>::deserialize(d)?;
        Ok(name.as_deref().into())
    }
}

/// How the outputs lie: `batch (time) front width`, of which the time of the second runs backwards.
pub(super) struct Merge {
    pub batch: usize,
    pub time: Option<usize>,
    pub front: Dims,
    pub widths: [usize; 2],
}

impl Merge {
    /// Shape of the output of a direction.
    pub fn shape(&self, i: usize) -> Dims {
        let mut shape = Dims::default();
        self.time.into_iter().for_each(|n| shape.push(n));
        self.front.iter().for_each(|&n| shape.push(n));
        shape.push(self.widths[i]);
        shape
    }

    /// Calls `f(row, other)` for every row of the output and the row of the second direction at the same time.
    fn rows(&self, mut f: impl FnMut(usize, usize)) {
        let (time, each) = (self.time.unwrap_or(1), self.front.numel());
        for sample in 0..self.batch {
            for t in 0..time {
                for k in 0..each {
                    let at = |t: usize| (sample * time + t) * each + k;
                    f(at(t), at(time - 1 - t));
                }
            }
        }
    }

    /// Writes the output, and the second where there is one.
    pub fn outputs(
        &self,
        mode: &MergeMode,
        f: &[Float],
        b: &[Float],
        y: &mut [Float],
        mut second: Option<&mut [Float]>,
    ) {
        let [wf, wb] = self.widths;
        self.rows(|row, other| {
            let (f, b) = (
                &f[row * wf..(row + 1) * wf],
                &b[other * wb..(other + 1) * wb],
            );
            if *mode == MergeMode::Concat {
                let y = &mut y[row * (wf + wb)..(row + 1) * (wf + wb)];
                y[..wf].copy_from_slice(f);
                y[wf..].copy_from_slice(b);
                return;
            }
            let y = &mut y[row * wf..(row + 1) * wf];
            y.copy_from_slice(f);
            match (mode, &mut second) {
                (MergeMode::Mul, _) => elementwise::mul(b, y),
                (MergeMode::None, Some(second)) => {
                    second[row * wb..(row + 1) * wb].copy_from_slice(b);
                }
                _ => elementwise::add(b, y),
            }
            if *mode == MergeMode::Ave {
                elementwise::scale(0.5, y);
            }
        });
    }

    /// Writes the gradients of both directions' outputs.
    pub fn gradients(
        &self,
        mode: &MergeMode,
        [f, b]: [&[Float]; 2],
        dy: &[Float],
        second: Option<&[Float]>,
        [df, db]: [&mut [Float]; 2],
    ) {
        let [wf, wb] = self.widths;
        self.rows(|row, other| {
            let (at_f, at_b) = (row * wf..(row + 1) * wf, other * wb..(other + 1) * wb);
            let (df, db) = (&mut df[at_f.clone()], &mut db[at_b.clone()]);
            if *mode == MergeMode::Concat {
                let dy = &dy[row * (wf + wb)..(row + 1) * (wf + wb)];
                df.copy_from_slice(&dy[..wf]);
                db.copy_from_slice(&dy[wf..]);
                return;
            }
            let dy = &dy[at_f.clone()];
            df.copy_from_slice(dy);
            db.copy_from_slice(match second {
                Some(second) => &second[row * wb..(row + 1) * wb],
                None => dy,
            });
            match mode {
                MergeMode::Mul => {
                    elementwise::mul(&b[at_b], df);
                    elementwise::mul(&f[at_f], db);
                }
                MergeMode::Ave => {
                    elementwise::scale(0.5, df);
                    elementwise::scale(0.5, db);
                }
                _ => {}
            }
        });
    }
}
