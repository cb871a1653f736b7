use super::*;

/// A file with a little of everything that models hold.
fn sample() -> H5Writer<'static> {
    let mut w = H5Writer::new();
    w.dataset(
        "layers/dense/vars/0",
        &[2, 3],
        vec![0.5, -1.0, 2.0, 3.0, 4.0, 5.5],
    )
    .unwrap();
    w.dataset("layers/dense/vars/1", &[3], vec![0.0, 1.0, -2.5])
        .unwrap();
    w.group("layers/flatten/vars").unwrap();
    w.dataset("optimizer/vars/scalar", &[], vec![7.0]).unwrap();
    w.dataset("empty", &[0, 4], Vec::new()).unwrap();
    w.dataset_i64("big", &[2], &[-1, i64::MAX]).unwrap();
    w.dataset_u32("seed", &[2], &[7, u32::MAX]).unwrap();
    w.attr_string("", "model_config", &"{\"é\"}".repeat(20_000))
        .unwrap();
    w.attr_string("layers/dense/vars", "name", "dense").unwrap();
    w.attr_string("layers/dense/vars", "empty", "").unwrap();
    w.attr_strings("layers", "names", &["dense", "a b", ""])
        .unwrap();
    w.attr_strings("layers", "none", &[""; 0]).unwrap();
    w.attr_ints("layers/dense/vars/0", "ints", &[1, -2])
        .unwrap();
    w.attr_floats("layers/dense/vars/0", "floats", &[0.1, -2.0])
        .unwrap();
    w
}

#[test]
fn what_is_written_is_read() {
    let bytes = sample().finish();
    assert_eq!(sample().size(), bytes.len() as u64);
    let f = H5File::from_bytes(bytes).unwrap();
    assert_eq!(f.groups("").unwrap(), ["layers", "optimizer"]);
    assert_eq!(f.datasets("/").unwrap(), ["big", "empty", "seed"]);
    assert_eq!(f.groups("layers/").unwrap(), ["dense", "flatten"]);
    assert!(f.has("layers/dense/vars/1") && !f.has("layers/dense/vars/2"));
    assert_eq!(f.shape("layers/dense/vars/0").unwrap(), [2, 3]);
    let mut out = [9.0; 6];
    f.read_into("layers/dense/vars/0", &[2, 3], &mut out)
        .unwrap();
    assert_eq!(out, [0.5, -1.0, 2.0, 3.0, 4.0, 5.5]);
    let mut one = [0.0];
    f.read_into("optimizer/vars/scalar", &[], &mut one).unwrap();
    assert_eq!(one, [7.0]);
    f.read_into("empty", &[0, 4], &mut []).unwrap();
    assert_eq!(f.read_i64("big", 2).unwrap(), [-1, i64::MAX]);
    assert_eq!(f.read_i64("seed", 9).unwrap(), [7, u32::MAX.into()]);
    let config = f.attr_string("/", "model_config").unwrap().unwrap();
    assert_eq!(config, "{\"é\"}".repeat(20_000));
    assert_eq!(
        f.attr_string("layers/dense/vars", "empty")
            .unwrap()
            .unwrap(),
        ""
    );
    assert_eq!(f.attr_string("layers/dense/vars", "nothing").unwrap(), None);
    let names = f.attr_strings("layers", "names").unwrap().unwrap();
    assert_eq!(names, ["dense", "a b", ""]);
    assert_eq!(f.attr_strings("layers", "none").unwrap().unwrap(), [""; 0]);
    assert_eq!(
        f.attr_numbers("layers/dense/vars/0", "ints")
            .unwrap()
            .unwrap(),
        [1.0, -2.0]
    );
    assert_eq!(
        f.attr_numbers("layers/dense/vars/0", "floats")
            .unwrap()
            .unwrap(),
        [0.1, -2.0]
    );
}
