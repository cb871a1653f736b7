//! The hashes of TensorFlow, bit for bit: FarmHash64 (its `Fingerprint64`), SipHash-2-4 and the combination of fingerprints.

use serde::{Deserialize, Serialize, Serializer};

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;

/// The eight bytes at `at`, the first the lowest.
fn fetch(s: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| s[at + i]))
}

fn fetch32(s: &[u8], at: usize) -> u64 {
    u32::from_le_bytes(std::array::from_fn(|i| s[at + i])).into()
}

fn shift_mix(v: u64) -> u64 {
    v ^ (v >> 47)
}

fn hash16(u: u64, v: u64, mul: u64) -> u64 {
    let a = shift_mix((u ^ v).wrapping_mul(mul));
    shift_mix((v ^ a).wrapping_mul(mul)).wrapping_mul(mul)
}

fn up_to_16(s: &[u8]) -> u64 {
    let n = s.len();
    let mul = K2.wrapping_add(2 * n as u64);
    if n >= 8 {
        let a = fetch(s, 0).wrapping_add(K2);
        let b = fetch(s, n - 8);
        let c = b.rotate_right(37).wrapping_mul(mul).wrapping_add(a);
        let d = a.rotate_right(25).wrapping_add(b).wrapping_mul(mul);
        return hash16(c, d, mul);
    }
    if n >= 4 {
        return hash16(
            (n as u64).wrapping_add(fetch32(s, 0) << 3),
            fetch32(s, n - 4),
            mul,
        );
    }
    if n > 0 {
        let byte = |at: usize| u64::from(s[at]);
        let (y, z) = (byte(0) + (byte(n / 2) << 8), n as u64 + (byte(n - 1) << 2));
        return shift_mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K0)).wrapping_mul(K2);
    }
    K2
}

fn up_to_32(s: &[u8]) -> u64 {
    let n = s.len();
    let mul = K2.wrapping_add(2 * n as u64);
    let a = fetch(s, 0).wrapping_mul(K1);
    let b = fetch(s, 8);
    let c = fetch(s, n - 8).wrapping_mul(mul);
    let d = fetch(s, n - 16).wrapping_mul(K2);
    hash16(
        a.wrapping_add(b)
            .rotate_right(43)
            .wrapping_add(c.rotate_right(30))
            .wrapping_add(d),
        a.wrapping_add(b.wrapping_add(K2).rotate_right(18))
            .wrapping_add(c),
        mul,
    )
}

fn up_to_64(s: &[u8]) -> u64 {
    let n = s.len();
    let mul = K2.wrapping_add(2 * n as u64);
    let a = fetch(s, 0).wrapping_mul(K2);
    let b = fetch(s, 8);
    let c = fetch(s, n - 8).wrapping_mul(mul);
    let d = fetch(s, n - 16).wrapping_mul(K2);
    let y = a
        .wrapping_add(b)
        .rotate_right(43)
        .wrapping_add(c.rotate_right(30))
        .wrapping_add(d);
    let z = hash16(
        y,
        a.wrapping_add(b.wrapping_add(K2).rotate_right(18))
            .wrapping_add(c),
        mul,
    );
    let e = fetch(s, 16).wrapping_mul(mul);
    let f = fetch(s, 24);
    let g = y.wrapping_add(fetch(s, n - 32)).wrapping_mul(mul);
    let h = z.wrapping_add(fetch(s, n - 24)).wrapping_mul(mul);
    hash16(
        e.wrapping_add(f)
            .rotate_right(43)
            .wrapping_add(g.rotate_right(30))
            .wrapping_add(h),
        e.wrapping_add(f.wrapping_add(a).rotate_right(18))
            .wrapping_add(g),
        mul,
    )
}

/// 32 bytes with two seeds.
fn weak(s: &[u8], a: u64, b: u64) -> (u64, u64) {
    let [w, x, y, z] = [0, 8, 16, 24].map(|i| fetch(s, i));
    let a = a.wrapping_add(w);
    let b = b.wrapping_add(a).wrapping_add(z).rotate_right(21);
    let c = a;
    let a = a.wrapping_add(x).wrapping_add(y);
    (
        a.wrapping_add(z),
        b.wrapping_add(a.rotate_right(44)).wrapping_add(c),
    )
}

/// Where a string of more than 64 bytes stands.
struct State {
    x: u64,
    y: u64,
    z: u64,
    v: (u64, u64),
    w: (u64, u64),
}

impl State {
    /// Takes in 64 bytes. The last ones are weighted with `nine` of 9, all others with 1.
    fn round(&mut self, s: &[u8], mul: u64, nine: u64) {
        let State { x, y, z, v, w } = self;
        *x = x
            .wrapping_add(*y)
            .wrapping_add(v.0)
            .wrapping_add(fetch(s, 8));
        *x = x.rotate_right(37).wrapping_mul(mul);
        *y = y.wrapping_add(v.1).wrapping_add(fetch(s, 48));
        *y = y.rotate_right(42).wrapping_mul(mul);
        *x ^= w.1.wrapping_mul(nine);
        let more = v.0.wrapping_mul(nine).wrapping_add(fetch(s, 40));
        *y = y.wrapping_add(more);
        *z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(mul);
        *v = weak(s, v.1.wrapping_mul(mul), x.wrapping_add(w.0));
        let last = y.wrapping_add(fetch(s, 16));
        *w = weak(&s[32..], z.wrapping_add(w.1), last);
        std::mem::swap(z, x);
    }
}

/// FarmHash64 of a string.
pub(super) fn farmhash(s: &[u8]) -> u64 {
    match s.len() {
        0..=16 => return up_to_16(s),
        17..=32 => return up_to_32(s),
        33..=64 => return up_to_64(s),
        _ => {}
    }
    const SEED: u64 = 81;
    let y = SEED.wrapping_mul(K1).wrapping_add(113);
    let mut state = State {
        x: SEED.wrapping_mul(K2).wrapping_add(fetch(s, 0)),
        y,
        z: shift_mix(y.wrapping_mul(K2).wrapping_add(113)).wrapping_mul(K2),
        v: (0, 0),
        w: (0, 0),
    };
    let rest = (s.len() - 1) % 64;
    for at in (0..s.len() - 1 - rest).step_by(64) {
        state.round(&s[at..], K1, 1);
    }
    let mul = K1.wrapping_add((state.z & 0xff) << 1);
    state.w.0 = state.w.0.wrapping_add(rest as u64);
    state.v.0 = state.v.0.wrapping_add(state.w.0);
    state.w.0 = state.w.0.wrapping_add(state.v.0);
    state.round(&s[s.len() - 64..], mul, 9);
    let State { x, y, z, v, w } = state;
    let mixed = shift_mix(y).wrapping_mul(K0).wrapping_add(z);
    hash16(
        hash16(v.0, w.0, mul).wrapping_add(mixed),
        hash16(v.1, w.1, mul).wrapping_add(x),
        mul,
    )
}

/// SipHash-2-4 of a string under this key.
pub(super) fn siphash(key: [u64; 2], s: &[u8]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let take = |v: &mut [u64; 4], m: u64| {
        v[3] ^= m;
        (0..2).for_each(|_| sip_round(v));
        v[0] ^= m;
    };
    let mut words = s.chunks_exact(8);
    for word in &mut words {
        take(&mut v, fetch(word, 0));
    }
    let mut last = [0u8; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    last[7] = s.len() as u8;
    take(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xff;
    (0..4).for_each(|_| sip_round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn sip_round(v: &mut [u64; 4]) {
    fn half(v: &mut [u64; 4], a: usize, b: usize, turn: u32) {
        v[a] = v[a].wrapping_add(v[b]);
        v[b] = v[b].rotate_left(turn) ^ v[a];
    }
    half(v, 0, 1, 13);
    half(v, 2, 3, 16);
    v[0] = v[0].rotate_left(32);
    half(v, 2, 1, 17);
    half(v, 0, 3, 21);
    v[2] = v[2].rotate_left(32);
}

/// One fingerprint out of two; the order matters.
pub(super) fn concatenated(a: u64, b: u64) -> u64 {
    const MUL: u64 = 0xc6a4_a793_5bd1_e995;
    let mixed = shift_mix(b.wrapping_mul(MUL)).wrapping_mul(MUL);
    let result = (a ^ MUL ^ mixed).wrapping_mul(MUL);
    shift_mix(shift_mix(result).wrapping_mul(MUL))
}

/// The text of an integer, without allocating.
pub(super) struct Decimal {
    text: [u8; 20],
    start: usize,
}

impl Decimal {
    pub(super) fn new(n: i64) -> Self {
        let (mut text, mut start, mut rest) = ([0; 20], 20, n.unsigned_abs());
        loop {
            start -= 1;
            text[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if n < 0 {
            start -= 1;
            text[start] = b'-';
        }
        Decimal { text, start }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

/// The bucket of a string: by FarmHash64, or by SipHash under a key.
pub(super) fn bucket(s: &[u8], key: Option<[u64; 2]>, buckets: usize) -> usize {
    let hash = match key {
        None => farmhash(s),
        Some(key) => siphash(key, s),
    };
    (hash % buckets as u64) as usize
}

/// The keys of SipHash in Keras's form: one number for both, or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Salt {
    /// For both halves of the key.
    One(i64),
    /// Each.
    Two([i64; 2]),
}

impl Salt {
    /// The key of the hash.
    pub(super) fn key(self) -> [u64; 2] {
        self.both().map(|n| n as u64)
    }

    fn both(self) -> [i64; 2] {
        match self {
            Salt::One(n) => [n; 2],
            Salt::Two(both) => both,
        }
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.both().serialize(s)
    }
}

impl From<i64> for Salt {
    fn from(n: i64) -> Self {
        Salt::One(n)
    }
}

impl From<[i64; 2]> for Salt {
    fn from(both: [i64; 2]) -> Self {
        Salt::Two(both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tf.strings.to_hash_bucket_fast(s, 2**62)` and `to_hash_bucket_strong(s, 2**62, key=[133, 137])` of TensorFlow 2.21.
    #[test]
    fn hashes_are_tensorflows() {
        let long = "The quick brown fox jumps over the lazy dog and runs far away from here 1234567890 times every day";
        let of = |c: &str, n: usize| c.repeat(n);
        let cases: [(String, u64, u64); 20] = [
            (
                "".into(),
                1_936_946_117_179_621_455,
                316_627_932_347_062_996,
            ),
            (
                "a".into(),
                3_694_432_073_954_588_131,
                2_466_253_977_694_453_450,
            ),
            (
                "ab".into(),
                3_066_228_220_894_225_694,
                3_814_769_135_020_288_330,
            ),
            (
                "abc".into(),
                2_640_714_258_260_161_385,
                2_288_159_068_006_480_041,
            ),
            (
                "abcd".into(),
                1_897_425_971_756_105_985,
                3_196_519_216_900_852_167,
            ),
            (
                "abcde".into(),
                157_421_906_844_058_836,
                791_833_368_928_536_135,
            ),
            (
                "abcdefgh".into(),
                4_533_385_575_889_643_785,
                210_173_030_064_361_732,
            ),
            (
                "0123456789".into(),
                3_244_036_785_122_165_995,
                2_319_573_042_896_632_768,
            ),
            (
                "hello world foo".into(),
                2_474_570_586_010_776_881,
                4_283_896_541_580_101_381,
            ),
            (
                of("x", 16),
                3_320_895_591_121_647_644,
                3_062_600_254_328_431_651,
            ),
            (
                of("x", 17),
                2_082_709_914_559_524_773,
                4_200_554_822_387_489_122,
            ),
            (
                of("y", 32),
                2_351_315_479_247_125_839,
                1_739_609_714_814_096_713,
            ),
            (
                of("z", 33),
                1_983_000_239_170_337_647,
                3_212_790_999_491_273_603,
            ),
            (
                of("q", 40),
                4_296_126_468_138_209_388,
                4_426_244_518_968_597_802,
            ),
            (
                of("w", 64),
                4_555_407_945_498_560_506,
                702_089_228_601_891_224,
            ),
            (
                of("e", 65),
                3_880_795_628_666_184_432,
                3_305_474_046_547_870_435,
            ),
            (
                long.into(),
                336_885_435_494_038_556,
                1_669_293_991_795_226_440,
            ),
            (
                of("k", 128),
                224_700_386_886_314_890,
                208_786_291_661_287_741,
            ),
            (
                of("m", 200),
                449_133_310_307_763_775,
                1_489_400_776_933_630_407,
            ),
            (
                "é ü".into(),
                3_574_775_211_517_413_073,
                1_740_967_514_060_615_972,
            ),
        ];
        for (text, farm, sip) in cases {
            let s = text.as_bytes();
            assert_eq!(farmhash(s) % (1 << 62), farm, "{text}");
            assert_eq!(siphash([133, 137], s) % (1 << 62), sip, "{text}");
        }
    }

    #[test]
    fn numbers_have_a_text() {
        for n in [0, 7, -7, 10, 1_234_567, i64::MAX, i64::MIN] {
            assert_eq!(Decimal::new(n).bytes(), n.to_string().as_bytes());
        }
        let salt = |text: &str| serde_json::from_str::<Salt>(text);
        assert_eq!(salt("5").unwrap().key(), [5, 5]);
        assert_eq!(
            serde_json::to_string(&salt("[1, 2]").unwrap()).unwrap(),
            "[1,2]"
        );
        assert!(salt("[1]").is_err() && salt("\"a\"").is_err());
    }
}
