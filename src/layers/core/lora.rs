//! Low-rank adaptation: a weight `W` that rests, and trained factors whose product is added to it: `W + s A B`, `s = alpha / rank`.
//!
//! Files hold the sum in the place of `W`, and no factors; after loading these are zero. (So Keras writes and reads them.)

use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::layer::{Par, Weight};
use crate::regularizer::Regularizer;

/// Rank and scale of an adaptation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lora {
    pub(super) rank: usize,
    pub(super) scale: Float,
}

impl Lora {
    /// Of a layer's arguments; none without a rank.
    pub(super) fn new(rank: Option<usize>, alpha: Option<f64>) -> Option<Self> {
        let rank = rank?;
        let scale = alpha.map_or(1.0, |alpha| alpha / rank as f64);
        Some(Lora {
            rank,
            scale: scale as Float,
        })
    }

    /// Whether the arguments make sense.
    pub(super) fn check(
        rank: Option<usize>,
        alpha: Option<f64>,
        constraint: &Option<Constraint>,
    ) -> Result<()> {
        match (rank, alpha) {
            (Some(0), _) => Err(Error::arg("lora_rank", "a positive integer", 0)),
            (_, Some(alpha)) if !alpha.is_finite() => {
                Err(Error::arg("lora_alpha", "a finite number", alpha))
            }
            (Some(_), _) if constraint.is_some() => {
                let want = "no constraint on the adapted weight";
                Err(Error::arg("lora_rank", want, "one"))
            }
            _ => Ok(()),
        }
    }

    /// The factors of a weight of this shape.
    pub(super) fn weights(
        &self,
        names: [&'static str; 2],
        [rows, cols]: [usize; 2],
        regularizer: &Option<Regularizer>,
    ) -> [Weight; 2] {
        let he_uniform = Initializer::from("he_uniform");
        [
            Weight::new(names[0], [rows, self.rank], &he_uniform),
            Weight::new(names[1], [self.rank, cols], &Initializer::Zeros),
        ]
        .map(|factor| factor.regularizer(regularizer).adapts())
    }

    /// `W + s A B`, which files hold.
    pub(super) fn merged(&self, w: &[Float], a: &[Float], b: &[Float]) -> Vec<Float> {
        let (rows, cols) = (a.len() / self.rank, b.len() / self.rank);
        let scaled: Vec<Float> = a.iter().map(|a| a * self.scale).collect();
        let (a, b, mut sum) = (Mat::new(&scaled, self.rank), Mat::new(b, cols), w.to_vec());
        let par = Par::Serial;
        gemm(rows, self.rank, cols, a, b, Accum::Add, &mut sum, cols, par);
        sum
    }
}
