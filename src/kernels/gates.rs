//! The gates of recurrent cells, forward and backward: one sweep over the rows of a step, all functions of a unit at once.
//!
//! Rows are samples. `u` is the number of units; `bias`, where there is one, is added to the pre-activations on the fly.
use super::math::{sigmoid, tanh};
use super::simd::simd_fn;
use crate::float::Float;

/// Units worked on together: two vectors of AVX2, one of AVX-512.
const W: usize = 16;

type Block = [Float; W];

/// `W` numbers from `s[at..]`; with `FULL` they are all there, else zeros fill up.
#[inline(always)]
fn load<const FULL: bool>(s: &[Float], at: usize) -> Block {
    let mut block = [0.0; W];
    if FULL {
        block.copy_from_slice(&s[at..at + W]);
    } else {
        let rest = &s[at..];
        block[..rest.len()].copy_from_slice(rest);
    }
    block
}

/// The reverse of [`load`].
#[inline(always)]
fn store<const FULL: bool>(block: Block, s: &mut [Float], at: usize) {
    if FULL {
        s[at..at + W].copy_from_slice(&block);
    } else {
        let rest = &mut s[at..];
        rest.copy_from_slice(&block[..rest.len()]);
    }
}

#[inline(always)]
fn zip(a: Block, b: Block, f: impl Fn(Float, Float) -> Float) -> Block {
    let mut out = [0.0; W];
    for i in 0..W {
        out[i] = f(a[i], b[i]);
    }
    out
}

#[inline(always)]
fn map(a: Block, f: impl Fn(Float) -> Float) -> Block {
    zip(a, a, |x, _| f(x))
}

#[inline(always)]
fn add(a: Block, b: Block) -> Block {
    zip(a, b, |x, y| x + y)
}

#[inline(always)]
fn mul(a: Block, b: Block) -> Block {
    zip(a, b, |x, y| x * y)
}

/// `y (1 - y)`: slope of the sigmoid.
#[inline(always)]
fn sigmoid_slope(y: Block) -> Block {
    map(y, |y| y * (1.0 - y))
}

/// `1 - y^2`: slope of tanh.
#[inline(always)]
fn tanh_slope(y: Block) -> Block {
    map(y, |y| 1.0 - y * y)
}

/// A row cut into `N` parts of `u`.
#[inline(always)]
fn parts<const N: usize>(row: &[Float], u: usize) -> [&[Float]; N] {
    let mut parts = [row; N];
    for (i, part) in parts.iter_mut().enumerate() {
        *part = &row[i * u..(i + 1) * u];
    }
    parts
}

/// The same for writing.
#[inline(always)]
fn parts_mut<const N: usize>(mut row: &mut [Float], u: usize) -> [&mut [Float]; N] {
    std::array::from_fn(|_| {
        let (part, rest) = std::mem::take(&mut row).split_at_mut(u);
        row = rest;
        part
    })
}

simd_fn! {
    /// One step of an LSTM. `gates`: pre-activations of `[i f g o]`, which become the gates; `state` and `next`: `[h c]`; `kept`
    /// gets `[c before, tanh c]`.
    ///
    /// `c = f c + i g`, `h = o tanh c`, with sigmoid `i, f, o` and tanh `g`.
    pub fn lstm<FMA>(
        u: usize,
        bias: Option<&[Float]>,
        gates: &mut [Float],
        state: &[Float],
        next: &mut [Float],
        kept: &mut [Float],
    ) {
        let rows = gates.chunks_exact_mut(4 * u).zip(state.chunks_exact(2 * u));
        let rows = rows.zip(next.chunks_exact_mut(2 * u)).zip(kept.chunks_exact_mut(2 * u));
        let bias = bias.map(|b| parts::<4>(b, u));
        for (((gates, state), next), kept) in rows {
            let mut row = LstmRow {
                bias,
                gates: parts_mut(gates, u),
                before: &state[u..2 * u],
                next: parts_mut(next, u),
                kept: parts_mut(kept, u),
            };
            let full = u - u % W;
            for at in (0..full).step_by(W) {
                row.block::<FMA, true>(at);
            }
            if full < u {
                row.block::<FMA, false>(full);
            }
        }
    }
}

struct LstmRow<'a> {
    bias: Option<[&'a [Float]; 4]>,
    gates: [&'a mut [Float]; 4],
    before: &'a [Float],
    next: [&'a mut [Float]; 2],
    kept: [&'a mut [Float]; 2],
}

impl LstmRow<'_> {
    #[inline(always)]
    fn block<const FMA: bool, const FULL: bool>(&mut self, at: usize) {
        let z = |g: usize| {
            let z = load::<FULL>(self.gates[g], at);
            match self.bias {
                Some(bias) => add(z, load::<FULL>(bias[g], at)),
                None => z,
            }
        };
        let (i, f) = (map(z(0), sigmoid::<FMA>), map(z(1), sigmoid::<FMA>));
        let (g, o) = (map(z(2), tanh::<FMA>), map(z(3), sigmoid::<FMA>));
        let before = load::<FULL>(self.before, at);
        let c = add(mul(f, before), mul(i, g));
        let t = map(c, tanh::<FMA>);
        for (gate, value) in self.gates.iter_mut().zip([i, f, g, o]) {
            store::<FULL>(value, gate, at);
        }
        store::<FULL>(mul(o, t), self.next[0], at);
        store::<FULL>(c, self.next[1], at);
        store::<FULL>(before, self.kept[0], at);
        store::<FULL>(t, self.kept[1], at);
    }
}

simd_fn! {
    /// The way back of [`lstm`]: `gates` become the gradients of the pre-activations; in `dstate`, `dc` becomes that of the `c`
    /// before, and `dh` is used up.
    ///
    /// `dc += dh o (1 - tanh^2 c)`; `do = dh tanh c`, `di = dc g`, `df = dc c_before`, `dg = dc i`, each times its slope;
    /// `dc_before = dc f`.
    pub fn lstm_back<FMA>(u: usize, gates: &mut [Float], kept: &[Float], dstate: &mut [Float]) {
        let rows = gates.chunks_exact_mut(4 * u).zip(kept.chunks_exact(2 * u));
        for ((gates, kept), dstate) in rows.zip(dstate.chunks_exact_mut(2 * u)) {
            let (mut gates, kept, mut dstate) =
                (parts_mut::<4>(gates, u), parts::<2>(kept, u), parts_mut::<2>(dstate, u));
            let full = u - u % W;
            for at in (0..full).step_by(W) {
                lstm_back_block::<FMA, true>(at, &mut gates, &kept, &mut dstate);
            }
            if full < u {
                lstm_back_block::<FMA, false>(full, &mut gates, &kept, &mut dstate);
            }
        }
    }
}

#[inline(always)]
fn lstm_back_block<const FMA: bool, const FULL: bool>(
    at: usize,
    gates: &mut [&mut [Float]; 4],
    kept: &[&[Float]; 2],
    dstate: &mut [&mut [Float]; 2],
) {
    let (i, f) = (load::<FULL>(gates[0], at), load::<FULL>(gates[1], at));
    let (g, o) = (load::<FULL>(gates[2], at), load::<FULL>(gates[3], at));
    let (before, t) = (load::<FULL>(kept[0], at), load::<FULL>(kept[1], at));
    let (dh, dc) = (load::<FULL>(dstate[0], at), load::<FULL>(dstate[1], at));
    let dc = add(dc, mul(mul(dh, o), tanh_slope(t)));
    store::<FULL>(mul(mul(dc, g), sigmoid_slope(i)), gates[0], at);
    store::<FULL>(mul(mul(dc, before), sigmoid_slope(f)), gates[1], at);
    store::<FULL>(mul(mul(dc, i), tanh_slope(g)), gates[2], at);
    store::<FULL>(mul(mul(dh, t), sigmoid_slope(o)), gates[3], at);
    store::<FULL>(mul(dc, f), dstate[1], at);
}

simd_fn! {
    /// One step of a GRU whose reset comes after the product. `gates`: `[z r n m]`, sums of the products with `x` (`n`: of the
    /// candidate) and `m` the candidate's product with `h`; they become `[z r n m]` with `n` the candidate and the bias in `m`.
    /// `state` and `next`: `h`. `bias`: that of the products with `x`, then that of those with `h`, of `[z r n]` each.
    ///
    /// `n = tanh(n + r m)`, `h = z h + (1 - z) n`, with sigmoid `z, r`.
    pub fn gru<FMA>(
        u: usize,
        bias: Option<&[Float]>,
        gates: &mut [Float],
        state: &[Float],
        next: &mut [Float],
    ) {
        let rows = gates.chunks_exact_mut(4 * u).zip(state.chunks_exact(u));
        let bias = bias.map(|b| parts::<6>(b, u));
        for ((gates, state), next) in rows.zip(next.chunks_exact_mut(u)) {
            let mut gates = parts_mut::<4>(gates, u);
            let full = u - u % W;
            for at in (0..full).step_by(W) {
                gru_block::<FMA, true>(at, bias, &mut gates, state, next);
            }
            if full < u {
                gru_block::<FMA, false>(full, bias, &mut gates, state, next);
            }
        }
    }
}

#[inline(always)]
fn gru_block<const FMA: bool, const FULL: bool>(
    at: usize,
    bias: Option<[&[Float]; 6]>,
    gates: &mut [&mut [Float]; 4],
    state: &[Float],
    next: &mut [Float],
) {
    let [z, r, n, m] = &*gates;
    let mut sum = [
        load::<FULL>(z, at),
        load::<FULL>(r, at),
        load::<FULL>(n, at),
        load::<FULL>(m, at),
    ];
    if let Some(bias) = bias {
        for (sum, which) in sum.iter_mut().zip([&[0, 3][..], &[1, 4], &[2], &[5]]) {
            for &b in which {
                *sum = add(*sum, load::<FULL>(bias[b], at));
            }
        }
    }
    let [z, r, n, m] = sum;
    let (z, r) = (map(z, sigmoid::<FMA>), map(r, sigmoid::<FMA>));
    let n = map(add(n, mul(r, m)), tanh::<FMA>);
    let h = load::<FULL>(state, at);
    store::<FULL>(add(n, mul(z, zip(h, n, |h, n| h - n))), next, at);
    for (gate, value) in gates.iter_mut().zip([z, r, n, m]) {
        store::<FULL>(value, gate, at);
    }
}

simd_fn! {
    /// The way back of [`gru`]: `gates` become the gradients of `[z r n m]`; `before` is the `h` before the step, as rows of
    /// `stride` numbers; `dstate` keeps the part of `dh` that goes straight through.
    ///
    /// `dn = dh (1 - z) (1 - n^2)`, `dz = dh (h_before - n) z (1 - z)`, `dr = dn m r (1 - r)`, `dm = dn r`, `dh_before = dh z`.
    pub fn gru_back<FMA>(
        u: usize,
        gates: &mut [Float],
        before: &[Float],
        stride: usize,
        dstate: &mut [Float],
    ) {
        let rows = gates.chunks_exact_mut(4 * u).zip(before.chunks(stride));
        for ((gates, before), dstate) in rows.zip(dstate.chunks_exact_mut(u)) {
            let (mut gates, before) = (parts_mut::<4>(gates, u), &before[..u]);
            let full = u - u % W;
            for at in (0..full).step_by(W) {
                gru_back_block::<FMA, true>(at, &mut gates, before, dstate);
            }
            if full < u {
                gru_back_block::<FMA, false>(full, &mut gates, before, dstate);
            }
        }
    }
}

#[inline(always)]
fn gru_back_block<const FMA: bool, const FULL: bool>(
    at: usize,
    gates: &mut [&mut [Float]; 4],
    before: &[Float],
    dstate: &mut [Float],
) {
    let (z, r) = (load::<FULL>(gates[0], at), load::<FULL>(gates[1], at));
    let (n, m) = (load::<FULL>(gates[2], at), load::<FULL>(gates[3], at));
    let (before, dh) = (load::<FULL>(before, at), load::<FULL>(dstate, at));
    let dn = mul(mul(dh, map(z, |z| 1.0 - z)), tanh_slope(n));
    let dz = mul(mul(dh, zip(before, n, |h, n| h - n)), sigmoid_slope(z));
    store::<FULL>(dz, gates[0], at);
    store::<FULL>(mul(mul(dn, m), sigmoid_slope(r)), gates[1], at);
    store::<FULL>(dn, gates[2], at);
    store::<FULL>(mul(dn, r), gates[3], at);
    store::<FULL>(mul(dh, z), dstate, at);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(seed: usize, len: usize) -> Vec<Float> {
        let at = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as Float / 700.0 - 1.4;
        (0..len).map(at).collect()
    }

    fn near(got: &[Float], want: &[Float]) {
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            assert!((g - w).abs() < 1e-5, "[{i}] {g} instead of {w}");
        }
    }

    fn sig(x: Float) -> Float {
        1.0 / (1.0 + (-x).exp())
    }

    #[test]
    fn lstm_agrees_with_its_formulas() {
        for u in [1, 4, 16, 17, 40] {
            let rows = 3;
            let (z, b, s) = (
                numbers(1, rows * 4 * u),
                numbers(2, 4 * u),
                numbers(3, rows * 2 * u),
            );
            let (mut gates, mut next, mut kept) =
                (z.clone(), vec![0.0; s.len()], vec![0.0; s.len()]);
            lstm(u, Some(&b), &mut gates, &s, &mut next, &mut kept);
            let dnext = numbers(4, s.len());
            let (mut dgates, mut dstate) = (gates.clone(), dnext.clone());
            lstm_back(u, &mut dgates, &kept, &mut dstate);
            for (row, j) in (0..rows).flat_map(|r| (0..u).map(move |j| (r, j))) {
                let gate = |g: usize| z[row * 4 * u + g * u + j] + b[g * u + j];
                let (i, f, g, o) = (sig(gate(0)), sig(gate(1)), gate(2).tanh(), sig(gate(3)));
                let (at_h, at_c) = (row * 2 * u + j, row * 2 * u + u + j);
                let c = f * s[at_c] + i * g;
                near(&[next[at_h], next[at_c]], &[o * c.tanh(), c]);
                let at = |g: usize| dgates[row * 4 * u + g * u + j];
                let dc = dnext[at_c] + dnext[at_h] * o * (1.0 - c.tanh() * c.tanh());
                near(
                    &[at(0), at(1), at(2), at(3), dstate[at_c]],
                    &[
                        dc * g * i * (1.0 - i),
                        dc * s[at_c] * f * (1.0 - f),
                        dc * i * (1.0 - g * g),
                        dnext[at_h] * c.tanh() * o * (1.0 - o),
                        dc * f,
                    ],
                );
            }
        }
    }

    #[test]
    fn gru_agrees_with_its_formulas() {
        for u in [1, 4, 16, 17, 40] {
            let rows = 3;
            let (x, b, s) = (
                numbers(1, rows * 4 * u),
                numbers(2, 6 * u),
                numbers(3, rows * u),
            );
            let (mut gates, mut next) = (x.clone(), vec![0.0; s.len()]);
            gru(u, Some(&b), &mut gates, &s, &mut next);
            let dnext = numbers(4, s.len());
            let (mut dgates, mut dstate) = (gates.clone(), dnext.clone());
            gru_back(u, &mut dgates, &s, u, &mut dstate);
            for (row, j) in (0..rows).flat_map(|r| (0..u).map(move |j| (r, j))) {
                let sum = |g: usize| x[row * 4 * u + g * u + j];
                let bias = |k: usize| b[k * u + j];
                let z = sig(sum(0) + bias(0) + bias(3));
                let r = sig(sum(1) + bias(1) + bias(4));
                let m = sum(3) + bias(5);
                let n = (sum(2) + bias(2) + r * m).tanh();
                let at_h = row * u + j;
                near(&[next[at_h]], &[z * s[at_h] + (1.0 - z) * n]);
                let at = |g: usize| dgates[row * 4 * u + g * u + j];
                let dn = dnext[at_h] * (1.0 - z) * (1.0 - n * n);
                near(
                    &[at(0), at(1), at(2), at(3), dstate[at_h]],
                    &[
                        dnext[at_h] * (s[at_h] - n) * z * (1.0 - z),
                        dn * m * r * (1.0 - r),
                        dn,
                        dn * r,
                        dnext[at_h] * z,
                    ],
                );
            }
        }
    }
}
