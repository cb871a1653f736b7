//! The matrix products of a cell: which part of its inputs times which columns of which weights gives which of its gates.

use super::cell::{At, Way};
use crate::float::Float;
use crate::kernels::gemm::{
    Accum, Mat, Right, Starts, Windows, gemm, gemm_windows, pack, packed_len,
};
use crate::layer::{Par, Weights};

/// `gates[gate..][..n] = or += inputs[input..][..k] W[.., col..][..n]`.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// 0: the kernel, 1: the recurrent kernel.
    pub weight: usize,
    pub input: usize,
    pub k: usize,
    pub col: usize,
    pub n: usize,
    pub gate: usize,
    pub accum: Accum,
}

/// Most products of a cell: two for each of four gates.
const MOST: usize = 8;

/// Fewer rows than this are multiplied by the weights as they lie.
const FEW: usize = 4;

/// All products of a cell, and the widths of its rows.
#[derive(Clone, Copy, Debug)]
pub struct Products {
    list: [Option<Product>; MOST],
    /// Columns of both kernels.
    pub cols: usize,
    pub inputs: usize,
    pub gates: usize,
}

impl Products {
    pub fn new(
        cols: usize,
        inputs: usize,
        gates: usize,
        products: impl Iterator<Item = Product>,
    ) -> Self {
        let mut list = [None; MOST];
        list.iter_mut()
            .zip(products)
            .for_each(|(to, p)| *to = Some(p));
        Products {
            list,
            cols,
            inputs,
            gates,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Product> {
        self.list.iter().flatten()
    }

    /// Products with the kernel (0) or the recurrent kernel (1).
    pub fn of(&self, weight: usize) -> impl Iterator<Item = &Product> {
        self.iter().filter(move |p| p.weight == weight)
    }

    /// Room for the weights of either way.
    pub fn packed_len(&self) -> usize {
        self.iter().map(room).sum()
    }

    /// Where the packed weights of a product are.
    fn place(&self, of: &Product) -> usize {
        let before = self
            .iter()
            .take_while(|p| (p.weight, p.gate, p.input) != (of.weight, of.gate, of.input));
        before.map(room).sum()
    }

    /// Copies the weights that are read in a pass into the order of reading.
    pub fn pack(&self, mut w: Weights<'_>, way: Way, packed: &mut [Float]) {
        let w = [w.next().unwrap_or_default(), w.next().unwrap_or_default()];
        for p in self.iter() {
            let b = Mat::new(&w[p.weight][p.col..], self.cols);
            let to = &mut packed[self.place(p)..];
            match way {
                Way::Forward { rows } if p.weight == 0 || rows >= FEW => pack(p.k, p.n, b, to),
                Way::Backward { dx } if p.weight == 1 || dx => pack(p.n, p.k, b.t(), to),
                _ => {}
            }
        }
    }

    /// Computes gates.
    pub fn run(&self, p: &Product, at: At<'_>, inputs: &[Float], gates: &mut [Float]) {
        let rows = gates.len() / self.gates;
        let (a, c) = (&inputs[p.input..], &mut gates[p.gate..]);
        if rows < FEW {
            let (a, b) = (
                Mat::new(a, self.inputs),
                Mat::new(&weight(at.w, p)[p.col..], self.cols),
            );
            return gemm(rows, p.k, p.n, a, b, p.accum, c, self.gates, Par::Serial);
        }
        let a = Windows {
            data: a,
            rows: Starts::Every(self.inputs),
            cols: Starts::Every(1),
        };
        let b = Right::Packed(&at.packed[self.place(p)..]);
        let distance = Starts::Every(self.gates);
        gemm_windows(rows, p.k, p.n, a, b, p.accum, c, distance, Par::Serial);
    }

    /// Gradient of the factors of a product, into rows of `k` numbers that are `distance` apart.
    pub fn back(
        &self,
        p: &Product,
        at: At<'_>,
        gates: &[Float],
        accum: Accum,
        c: &mut [Float],
        distance: usize,
    ) {
        let rows = gates.len() / self.gates;
        let a = &gates[p.gate..];
        if rows == 1 {
            let b = Mat::new(&weight(at.w, p)[p.col..], self.cols).t();
            let a = Mat::new(a, self.gates);
            return gemm(1, p.n, p.k, a, b, accum, c, distance, Par::Serial);
        }
        let a = Windows {
            data: a,
            rows: Starts::Every(self.gates),
            cols: Starts::Every(1),
        };
        let b = Right::Packed(&at.packed[self.place(p)..]);
        let distance = Starts::Every(distance);
        gemm_windows(rows, p.n, p.k, a, b, accum, c, distance, Par::Serial);
    }

    /// Gradient of the weights of a product, over all rows.
    pub fn gradient(
        &self,
        p: &Product,
        inputs: &[Float],
        gates: &[Float],
        accum: Accum,
        dw: &mut [Float],
        par: Par,
    ) {
        let rows = gates.len() / self.gates;
        let a = Mat::strided(&inputs[p.input..], 1, self.inputs);
        let b = Mat::new(&gates[p.gate..], self.gates);
        let c = &mut dw[p.col..];
        gemm(p.k, rows, p.n, a, b, accum, c, self.cols, par);
    }

    /// Sums of `n` gates over all rows.
    pub fn sums(
        &self,
        gate: usize,
        n: usize,
        gates: &[Float],
        accum: Accum,
        out: &mut [Float],
        par: Par,
    ) {
        let rows = gates.len() / self.gates;
        let ones = Mat::strided(&[1.0], 0, 0);
        let b = Mat::new(&gates[gate..], self.gates);
        gemm(1, rows, n, ones, b, accum, out, n, par);
    }
}

/// Room for the weights of a product, as they are or transposed.
fn room(p: &Product) -> usize {
    packed_len(p.k, p.n)
        .max(packed_len(p.n, p.k))
        .next_multiple_of(16)
}

fn weight<'a>(mut w: Weights<'a>, p: &Product) -> &'a [Float] {
    w.nth(p.weight).expect("a kernel and a recurrent kernel")
}
