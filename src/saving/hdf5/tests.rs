use super::*;

/// A file with a little of everything that models hold.
pub(crate) fn sample() -> H5Writer<'static> {
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
    w.attr_string("", "model_config", "{\"class_name\": \"é\"}")
        .unwrap();
    w.attr_string("layers/dense/vars", "name", "dense").unwrap();
    w.attr_string("layers/dense/vars", "empty", "").unwrap();
    w.attr_strings("layers", "names", &["dense", "a b", ""])
        .unwrap();
    w.attr_strings("layers", "none", &[""; 0]).unwrap();
    w
}

/// Written by h5py 3.14 with its defaults.
pub(crate) const H5PY: &[u8] = include_bytes!("testdata/h5py.h5");
/// Written by h5py 3.14 with `libver="v108"`, which means superblock 2, new object headers and groups.
pub(crate) const NEW: &[u8] = include_bytes!("testdata/new.h5");

fn open(bytes: &[u8]) -> H5File {
    H5File::from_bytes(bytes.to_vec()).unwrap()
}

fn values(f: &H5File, path: &str) -> Result<Vec<Float>> {
    let shape = f.shape(path)?;
    let mut out = vec![9.0; numel(&shape).unwrap()];
    f.read_into(path, &shape, &mut out)?;
    Ok(out)
}

fn strings(f: &H5File, path: &str, name: &str) -> Vec<String> {
    f.attr_strings(path, name).unwrap().unwrap()
}

#[test]
fn what_is_written_is_read() {
    let bytes = sample().finish();
    assert_eq!(sample().size(), bytes.len() as u64);
    let f = open(&bytes);
    assert_eq!(f.groups("").unwrap(), ["layers", "optimizer"]);
    assert_eq!(f.datasets("/").unwrap(), ["big", "empty"]);
    assert_eq!(f.groups("layers/").unwrap(), ["dense", "flatten"]);
    assert!(f.has("layers/dense/vars/1") && !f.has("layers/dense/vars/2"));
    assert_eq!(f.shape("layers/dense/vars/0").unwrap(), [2, 3]);
    let kernel = values(&f, "layers/dense/vars/0").unwrap();
    assert_eq!(kernel, [0.5, -1.0, 2.0, 3.0, 4.0, 5.5]);
    assert_eq!(values(&f, "optimizer/vars/scalar").unwrap(), [7.0]);
    assert!(values(&f, "empty").unwrap().is_empty());
    assert_eq!(f.read_i64("big", 2).unwrap(), [-1, i64::MAX]);
    let text = |path, name| f.attr_string(path, name).unwrap();
    assert_eq!(
        text("/", "model_config").unwrap(),
        "{\"class_name\": \"é\"}"
    );
    assert_eq!(text("layers/dense/vars", "name").unwrap(), "dense");
    assert_eq!(text("layers/dense/vars", "empty").unwrap(), "");
    assert_eq!(text("layers/dense/vars", "nothing"), None);
    assert_eq!(strings(&f, "layers", "names"), ["dense", "a b", ""]);
    assert!(strings(&f, "layers", "none").is_empty());
}

#[test]
fn large_groups_lists_and_texts() {
    let mut w = H5Writer::new();
    // Three levels of B-tree: 8 members in a table, 32 tables in a node.
    for i in 0..9000 {
        w.dataset(&format!("many/{i}"), &[], vec![i as Float])
            .unwrap();
    }
    let names: Vec<String> = (0..5000)
        .map(|i| format!("a layer with a long name {i}"))
        .collect();
    w.attr_strings("many", "weight_names", &names).unwrap();
    let config = "é".repeat(200_000);
    w.attr_string("", "model_config", &config).unwrap();
    for i in 0..3000 {
        w.attr_string("many", &format!("text {i}"), &"x".repeat(i % 100))
            .unwrap();
    }
    let f = open(&w.finish());
    assert_eq!(f.datasets("many").unwrap().len(), 9000);
    assert_eq!(values(&f, "many/8999").unwrap(), [8999.0]);
    // In parts, as Keras writes them.
    assert_eq!(f.attr_string("many", "weight_names").unwrap(), None);
    assert_eq!(strings(&f, "many", "weight_names2").len(), 1666);
    assert_eq!(strings(&f, "many", "weight_names"), names);
    assert_eq!(f.attr_string("", "model_config").unwrap().unwrap(), config);
    let text = f.attr_string("many", "text 2999").unwrap().unwrap();
    assert_eq!(text, "x".repeat(99));
}

#[test]
fn what_cannot_be_written() {
    let mut w = H5Writer::new();
    w.dataset("a/b", &[2], vec![1.0, 2.0]).unwrap();
    assert!(w.dataset("a/b", &[1], vec![1.0]).is_err());
    assert!(w.dataset("a", &[1], vec![1.0]).is_err());
    assert!(w.dataset("a/b/c", &[1], vec![1.0]).is_err());
    assert!(w.group("a/b").is_err());
    assert!(w.group("a/./b").is_err());
    assert!(w.group("a/b\0").is_err());
    assert!(w.group(&"x".repeat(256)).is_err());
    assert!(w.group(&"x/".repeat(MAX_DEPTH)).is_err());
    w.group(&"x/".repeat(MAX_DEPTH - 1)).unwrap();
    assert!(w.dataset("c", &[3], vec![1.0]).is_err());
    assert!(w.dataset("c", &[usize::MAX, 2], vec![1.0]).is_err());
    assert!(w.attr_string("nowhere", "a", "").is_err());
    assert!(w.attr_string("a", "", "").is_err());
    w.attr_string("a", "twice", "").unwrap();
    assert!(w.attr_string("a", "twice", "").is_err());
    assert!(w.attr_strings("a", "long", &["x".repeat(70_000)]).is_err());
    assert_eq!(values(&open(&w.finish()), "a/b").unwrap(), [1.0, 2.0]);
}

#[test]
fn every_type_that_h5py_writes() {
    let f = open(H5PY);
    let types = f.datasets("types").unwrap();
    assert_eq!(types.len(), 13);
    for name in types {
        let got = values(&f, &format!("types/{name}")).unwrap();
        let want = match name.as_str() {
            "bool" => [0.0, 0.0, 0.0, 1.0, 1.0, 1.0],
            _ => [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        };
        assert_eq!(got, want, "{name}");
    }
    for name in ["i1", "big i2", "i8", "u1", "big u8"] {
        let got = f.read_i64(&format!("types/{name}"), 6).unwrap();
        assert_eq!(got, [0, 1, 2, 3, 4, 5], "{name}");
    }
    assert!(f.read_i64("types/f4", 6).is_err());
    assert!(f.read_i64("types/i4", 5).is_err());
    assert_eq!(values(&f, "compact").unwrap(), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(values(&f, "scalar").unwrap(), [3.5]);
    assert_eq!(f.shape("nothing").unwrap(), [0, 3]);
    assert!(values(&f, "nothing").unwrap().is_empty());
    assert_eq!(f.groups("many").unwrap().len(), 10);
}

#[test]
fn chunks() {
    let f = open(H5PY);
    let want: Vec<Float> = (0..35).map(|i| i as Float).collect();
    assert_eq!(values(&f, "chunks/plain").unwrap(), want);
    assert_eq!(values(&f, "chunks/all").unwrap(), want);
    assert_eq!(values(&f, "chunks/grows").unwrap(), want[..7]);
    assert_eq!(f.shape("chunks/missing").unwrap(), [4]);
    let problem = values(&f, "chunks/missing").unwrap_err().to_string();
    assert!(problem.ends_with("never written"), "{problem}");
}

#[test]
fn attributes_that_h5py_writes() {
    let f = open(H5PY);
    let text = |name| f.attr_string("attrs", name).unwrap().unwrap();
    assert_eq!(text("text"), "é".repeat(20));
    assert_eq!(
        (text("bytes"), text("fixed")),
        ("bytes".into(), "fixed".into())
    );
    assert_eq!(strings(&f, "attrs", "list"), ["a", "bcd"]);
    assert_eq!(strings(&f, "attrs", "fixed_list"), ["a", "bcd"]);
    assert_eq!(strings(&f, "attrs", "short_list"), ["x", "y"]);
    assert!(strings(&f, "attrs", "empty").is_empty());
    assert!(f.attr_string("attrs", "numbers").is_err());
    assert!(f.attr_strings("attrs", "numbers").is_err());
    assert!(f.attr_string("attrs", "pair").is_err());
}

#[test]
fn the_new_format() {
    let f = open(NEW);
    assert_eq!(values(&f, "a/b").unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(values(&f, "a/c").unwrap(), [2.0]);
    assert_eq!(values(&f, "a/chunks").unwrap(), [1.0; 5]);
    assert_eq!(f.attr_string("", "text").unwrap().unwrap(), "word");
    assert_eq!(strings(&f, "a", "names"), ["a", "bb"]);
}

#[test]
fn what_is_asked_for_must_fit() {
    let f = open(H5PY);
    let problem = |path: &str, shape: &[usize]| {
        let mut out = vec![0.0; numel(shape).unwrap()];
        f.read_into(path, shape, &mut out).unwrap_err().to_string()
    };
    assert_eq!(
        problem("types/f4", &[3, 2]),
        "HDF5 file: `types/f4`: expected shape [3, 2], got [2, 3]"
    );
    assert_eq!(
        problem("types", &[1]),
        "HDF5 file: `types`: this is a group, not a dataset"
    );
    assert_eq!(
        problem("types/f3", &[1]),
        "HDF5 file: there is no `types/f3`"
    );
    assert_eq!(
        problem("types/f4/x", &[1]),
        "HDF5 file: there is no `types/f4/x`"
    );
    assert!(problem("text", &[]).ends_with("expected numbers, got text"));
    assert!(problem("pair", &[2]).ends_with("expected numbers, got a compound type"));
    assert!(problem("unwritten", &[3]).ends_with("never written"));
    assert!(f.shape("null").is_err());
    assert!(f.read_into("types/f4", &[2, 3], &mut [0.0]).is_err());
    assert!(f.groups("scalar").is_err());
}
