//! Checkpoints: named f32 and f64 tensors and text, in the safetensors format that other tools read too.
//!
//! The header is written here, sorted by name, because the `safetensors` crate writes text entries
//! in a random order and equal runs shall give equal bytes; the crate reads it back.

use crate::files;
use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The name under which the format keeps text; no tensor may have it.
const RESERVED_NAME: &str = "__metadata__";

/// Why a checkpoint cannot be written or read. Every message about a file names it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] files::Error),
    #[error("tensor `{name}` to be saved: a name can be used once, and `{RESERVED_NAME}` never")]
    Name { name: String },
    #[error("tensor `{name}` to be saved: {found} values for the shape {dims:?}")]
    ValueCount { name: String, dims: Vec<usize>, found: usize },
    #[error("{path}: cannot be read: {source}; check the path")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: not a safetensors file ({detail}); give a checkpoint that training saved")]
    NotSafetensors { path: PathBuf, detail: SafeTensorError },
    #[error(
        "{path}: truncated or damaged: its {bytes} bytes are not as many as its header announces; use another checkpoint"
    )]
    Incomplete { path: PathBuf, bytes: usize },
    #[error(
        "{path}, tensor `{name}`: expected floats of 32 or 64 bits (F32, F64), found {found}; convert it or use another checkpoint"
    )]
    Type { path: PathBuf, name: String, found: Dtype },
    #[error("{path}: no tensor `{name}`; expected one of shape {expected:?}; the file has {present}")]
    MissingTensor { path: PathBuf, name: String, expected: Vec<usize>, present: String },
    #[error(
        "{path}, tensor `{name}`: expected the shape {expected:?}, found {found:?}; use a checkpoint of the same network and data set, or change the settings to match it"
    )]
    Shape { path: PathBuf, name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("{path}: tensors that nothing asked for: {names}; use a checkpoint of the same network")]
    Unused { path: PathBuf, names: String },
    #[error("{path}: no entry `{key}`; give a checkpoint that training saved")]
    MissingEntry { path: PathBuf, key: String },
    #[error("{path}, entry `{key}`: expected {expected}, found `{found}`; the checkpoint is damaged, use another")]
    Entry { path: PathBuf, key: String, expected: &'static str, found: String },
}

/// A tensor on the CPU, row-major (the last dimension is contiguous).
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor<T = f32> {
    pub name: String,
    pub dims: Vec<usize>,
    /// As many as the product of `dims`.
    pub values: Vec<T>,
}

/// The numbers that tensors are made of.
trait Element: Copy {
    const DTYPE: Dtype;
    fn write(self, out: &mut dyn Write) -> io::Result<()>;
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::F32;
    fn write(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.to_le_bytes())
    }
}

impl Element for f64 {
    const DTYPE: Dtype = Dtype::F64;
    fn write(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.to_le_bytes())
    }
}

/// What a checkpoint file holds. Tensors are taken out one by one.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    /// Sorted by name.
    pub tensors: Vec<NamedTensor>,
    /// Those of 64 bits, sorted by name.
    pub wide_tensors: Vec<NamedTensor<f64>>,
    /// Text by key: settings, counters.
    pub metadata: BTreeMap<String, String>,
}

/// Saves tensors and text to the file `path`, in whole or not at all. The same content gives the
/// same bytes.
///
/// # Errors
/// Names used twice, values that do not fill their shape, or a folder that is missing, read-only
/// or full; a file that was there before is then unchanged.
pub fn save(path: &Path, tensors: &[NamedTensor], metadata: &BTreeMap<String, String>) -> Result<(), Error> {
    save_tensors(path, tensors, metadata)
}

/// The same for tensors of f64.
///
/// # Errors
/// As [`save`].
pub fn save_wide(path: &Path, tensors: &[NamedTensor<f64>], metadata: &BTreeMap<String, String>) -> Result<(), Error> {
    save_tensors(path, tensors, metadata)
}

fn save_tensors<T: Element>(
    path: &Path,
    tensors: &[NamedTensor<T>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let sorted = sorted_by_name(tensors)?;
    files::atomic_write_with(path, |out| write(out, &sorted, metadata))?;
    Ok(())
}

fn sorted_by_name<T>(tensors: &[NamedTensor<T>]) -> Result<BTreeMap<&str, &NamedTensor<T>>, Error> {
    let mut sorted = BTreeMap::new();
    for tensor in tensors {
        let NamedTensor { name, dims, values } = tensor;
        let count = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        if count != Some(values.len()) {
            return Err(Error::ValueCount { name: name.clone(), dims: dims.clone(), found: values.len() });
        }
        if name == RESERVED_NAME || sorted.insert(name.as_str(), tensor).is_some() {
            return Err(Error::Name { name: name.clone() });
        }
    }
    Ok(sorted)
}

#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

/// The first bytes of a file whose f32 tensors, sorted by name, have these shapes: the header's length as a little-endian
/// u64, and the header as JSON padded with spaces to a multiple of 8 bytes. The values follow.
pub fn header(shapes: &[(&str, &[usize])], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    header_of(f32::DTYPE, shapes, metadata)
}

fn header_of(dtype: Dtype, shapes: &[(&str, &[usize])], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut end = 0;
    let infos = shapes.iter().map(|&(name, dims)| {
        let start = end;
        end += dtype.bitsize() / 8 * dims.iter().product::<usize>();
        (name, TensorInfo { dtype, shape: dims.to_vec(), data_offsets: (start, end) })
    });
    let header = Header { metadata, tensors: infos.collect() };
    let mut json = serde_json::to_vec(&header).expect("names and numbers can be written as JSON");
    json.resize(json.len().next_multiple_of(8), b' ');
    [&(json.len() as u64).to_le_bytes(), json.as_slice()].concat()
}

/// The format: [`header`], and the tensors' values, little-endian, without gaps.
fn write<T: Element>(
    out: &mut dyn Write,
    tensors: &BTreeMap<&str, &NamedTensor<T>>,
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let shapes: Vec<(&str, &[usize])> = tensors.iter().map(|(&name, tensor)| (name, tensor.dims.as_slice())).collect();
    out.write_all(&header_of(T::DTYPE, &shapes, metadata))?;
    tensors.values().flat_map(|tensor| &tensor.values).try_for_each(|value| value.write(out))
}

/// Reads the checkpoint file `path`.
///
/// # Errors
/// A file that cannot be read, is not in the safetensors format, is cut off, or holds tensors of
/// another type than f32 and f64.
pub fn load(path: &Path) -> Result<Checkpoint, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
    let file = SafeTensors::deserialize(&bytes).map_err(|detail| unreadable(path, &bytes, detail))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|detail| unreadable(path, &bytes, detail))?;
    let (mut tensors, mut wide_tensors) = (Vec::with_capacity(file.len()), Vec::new());
    for (name, view) in file.iter() {
        let (name, dims) = (name.to_string(), view.shape().to_vec());
        match view.dtype() {
            Dtype::F32 => {
                let values = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
                tensors.push(NamedTensor { name, dims, values });
            }
            Dtype::F64 => {
                let values = view.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
                wide_tensors.push(NamedTensor { name, dims, values });
            }
            found => return Err(Error::Type { path: path.into(), name, found }),
        }
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    wide_tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let metadata = header.metadata().iter().flatten().map(|(key, text)| (key.clone(), text.clone())).collect();
    Ok(Checkpoint { path: path.into(), tensors, wide_tensors, metadata })
}

/// Tells a checkpoint that was cut off from a file of another kind.
fn unreadable(path: &Path, bytes: &[u8], detail: SafeTensorError) -> Error {
    let begins_with_json = bytes.get(8) == Some(&b'{');
    match detail {
        SafeTensorError::MetadataIncompleteBuffer => Error::Incomplete { path: path.into(), bytes: bytes.len() },
        SafeTensorError::InvalidHeaderLength if begins_with_json => {
            Error::Incomplete { path: path.into(), bytes: bytes.len() }
        }
        _ => Error::NotSafetensors { path: path.into(), detail },
    }
}

impl Checkpoint {
    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The shape of the tensor `name`.
    pub fn dims(&self, name: &str) -> Option<&[usize]> {
        self.tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.dims.as_slice())
    }

    /// Takes the values of the tensor `name` out, row-major.
    ///
    /// # Errors
    /// No such tensor (or it was taken already), or one of another shape than `dims`.
    pub fn take(&mut self, name: &str, dims: &[usize]) -> Result<Vec<f32>, Error> {
        let Some(at) = self.tensors.iter().position(|tensor| tensor.name == name) else {
            return Err(Error::MissingTensor {
                path: self.path.clone(),
                name: name.into(),
                expected: dims.into(),
                present: self.names(),
            });
        };
        if self.tensors[at].dims != dims {
            let found = self.tensors[at].dims.clone();
            return Err(Error::Shape { path: self.path.clone(), name: name.into(), expected: dims.into(), found });
        }
        Ok(self.tensors.remove(at).values)
    }

    /// Checks that every tensor was taken: what is left over belongs to another network.
    ///
    /// # Errors
    /// Tensors that were not taken.
    pub fn expect_all_taken(&self) -> Result<(), Error> {
        if self.tensors.is_empty() {
            return Ok(());
        }
        Err(Error::Unused { path: self.path.clone(), names: self.names() })
    }

    /// The text of the entry `key`.
    ///
    /// # Errors
    /// No such entry.
    pub fn text(&self, key: &str) -> Result<&str, Error> {
        let missing = || Error::MissingEntry { path: self.path.clone(), key: key.into() };
        self.metadata.get(key).map(String::as_str).ok_or_else(missing)
    }

    /// The entry `key` as a value; `expected` describes it in the error, such as "a whole number".
    ///
    /// # Errors
    /// No such entry, or text that is no such value.
    pub fn value<T: FromStr>(&self, key: &str, expected: &'static str) -> Result<T, Error> {
        let found = self.text(key)?;
        let wrong = |_| Error::Entry { path: self.path.clone(), key: key.into(), expected, found: found.into() };
        found.parse().map_err(wrong)
    }

    fn names(&self) -> String {
        const SHOWN: usize = 12;
        let quoted = |tensor: &NamedTensor| format!("`{}`", tensor.name);
        match self.tensors.len() {
            0 => "none left".into(),
            count => {
                let names: Vec<String> = self.tensors.iter().take(SHOWN).map(quoted).collect();
                let more = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
                format!("{}{more}", names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::testing::FullDisk;
    use proptest::prelude::*;

    fn tensor(name: &str, dims: &[usize], first: f32) -> NamedTensor {
        let values = (0..dims.iter().product()).map(|i| first + i as f32).collect();
        NamedTensor { name: name.into(), dims: dims.into(), values }
    }

    fn some_tensors() -> Vec<NamedTensor> {
        vec![tensor("conv1.weight", &[2, 3, 4], 0.5), tensor("a", &[], -1.0), tensor("momentum/a", &[0, 7], 0.0)]
    }

    fn some_text() -> BTreeMap<String, String> {
        let pairs = [("step", "1200"), ("margin", "3.4028235e38"), ("settings", "lambda = \"inf\"\n# ü")];
        pairs.map(|(key, text)| (key.into(), text.into())).into()
    }

    fn in_folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        (folder, path)
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let (_folder, path) = in_folder();
        save(&path, &some_tensors(), &some_text()).unwrap();
        let mut loaded = load(&path).unwrap();
        assert_eq!(loaded.metadata, some_text());
        assert_eq!(loaded.path(), path);
        assert_eq!(loaded.dims("momentum/a"), Some(&[0, 7][..]));
        for NamedTensor { name, dims, values } in some_tensors() {
            assert_eq!(loaded.take(&name, &dims).unwrap(), values);
        }
        loaded.expect_all_taken().unwrap();
        assert_eq!(loaded.value::<u64>("step", "a whole number").unwrap(), 1200);
        assert_eq!(loaded.value::<f32>("margin", "a number").unwrap(), f32::MAX);

        save(&path, &[], &BTreeMap::new()).unwrap();
        let empty = load(&path).unwrap();
        assert!(empty.tensors.is_empty() && empty.metadata.is_empty());
    }

    #[test]
    fn wide_tensors_are_loaded_to_the_bit_beside_none_of_32_bits() {
        let (_folder, path) = in_folder();
        let values = vec![1.0 / 3.0, -1e300, f64::MIN_POSITIVE, -0.0];
        let wide = NamedTensor { name: "pca.mean".into(), dims: vec![1, 4], values: values.clone() };
        save_wide(&path, &[wide], &some_text()).unwrap();
        let loaded = load(&path).unwrap();
        assert!(loaded.tensors.is_empty());
        let [found] = &loaded.wide_tensors[..] else { panic!("{:?}", loaded.wide_tensors) };
        assert_eq!((found.name.as_str(), &found.dims), ("pca.mean", &vec![1, 4]));
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found.values), bits(&values));
        assert_eq!(loaded.metadata, some_text());
    }

    #[test]
    fn equal_content_gives_equal_bytes_in_any_order() {
        let (_folder, path) = in_folder();
        let text: BTreeMap<String, String> = (0..40).map(|i| (format!("key{i}"), i.to_string())).collect();
        let bytes = |tensors: &[NamedTensor]| {
            save(&path, tensors, &text).unwrap();
            std::fs::read(&path).unwrap()
        };
        let mut tensors = some_tensors();
        let first = bytes(&tensors);
        assert_eq!(first, bytes(&tensors));
        tensors.reverse();
        assert_eq!(first, bytes(&tensors));
        let header = u64::from_le_bytes(first[..8].try_into().unwrap());
        assert_eq!((header % 8, first.len() as u64), (0, 8 + header + 4 * 25));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_bit_survives(bits in proptest::collection::vec(any::<u32>(), 0..50), name in "[^\u{0}]{1,12}", text in ".*") {
            prop_assume!(name != RESERVED_NAME);
            let (_folder, path) = in_folder();
            let values = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
            let metadata: BTreeMap<String, String> = [(name.clone(), text)].into();
            save(&path, &[NamedTensor { name: name.clone(), dims: vec![bits.len()], values }], &metadata).unwrap();
            let mut loaded = load(&path).unwrap();
            let found: Vec<u32> = loaded.take(&name, &[bits.len()]).unwrap().iter().map(|v| v.to_bits()).collect();
            prop_assert_eq!(found, bits);
            prop_assert_eq!(loaded.metadata, metadata);
        }
    }

    #[test]
    fn a_full_disk_keeps_the_previous_checkpoint() {
        let (folder, path) = in_folder();
        save(&path, &some_tensors(), &some_text()).unwrap();
        let before = std::fs::read(&path).unwrap();
        let new = [tensor("a", &[100_000], 9.0)];
        let sorted = sorted_by_name(&new).unwrap();
        for left in [0, 5, 100, 300_000] {
            let failed =
                files::atomic_write_with(&path, |out| write(&mut FullDisk { out, left }, &sorted, &some_text()));
            let message = Error::from(failed.unwrap_err()).to_string();
            assert!(message.contains("last.safetensors") && message.contains("free some space"), "{message}");
            assert!(message.contains("is kept"), "{message}");
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn unusable_places_are_named() {
        let (folder, path) = in_folder();
        save(&path, &[], &BTreeMap::new()).unwrap();
        for bad in [path.join("below.safetensors"), folder.path().join("none/x.safetensors"), folder.path().into()] {
            let message = save(&bad, &some_tensors(), &some_text()).unwrap_err().to_string();
            assert!(message.starts_with(&bad.display().to_string()), "{message}");
        }
    }

    #[test]
    fn wrong_tensors_to_save_are_errors() {
        let (folder, path) = in_folder();
        let save = |tensors: &[NamedTensor]| save(&path, tensors, &BTreeMap::new()).unwrap_err();
        assert!(matches!(save(&[tensor("a", &[1], 0.0), tensor("a", &[2], 0.0)]), Error::Name { .. }));
        assert!(matches!(save(&[tensor(RESERVED_NAME, &[1], 0.0)]), Error::Name { .. }));
        let short = NamedTensor { dims: vec![5], ..tensor("a", &[4], 0.0) };
        assert!(matches!(save(&[short]), Error::ValueCount { found: 4, .. }));
        let overflow = NamedTensor { dims: vec![usize::MAX, 2], ..tensor("a", &[4], 0.0) };
        assert!(matches!(save(&[overflow]), Error::ValueCount { .. }));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_cut_anywhere_are_errors_that_name_them() {
        let (_folder, path) = in_folder();
        save(&path, &some_tensors(), &some_text()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = load(&path).unwrap_err();
            assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
            assert_eq!(matches!(error, Error::Incomplete { .. }), length > 8, "{length}: {error}");
        }
        std::fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
        assert!(matches!(load(&path), Err(Error::Incomplete { .. })));
    }

    #[test]
    fn other_files_are_errors_that_name_them() {
        let (folder, path) = in_folder();
        for content in
            [&b""[..], b"\xff\xd8\xff\xe0 a JPEG file's beginning", b"lambda = 0.05\nsome more text", &[0; 64]]
        {
            std::fs::write(&path, content).unwrap();
            let error = load(&path).unwrap_err();
            assert!(matches!(error, Error::NotSafetensors { .. }), "{error}");
            assert!(error.to_string().contains("last.safetensors: not a safetensors file"), "{error}");
        }
        for unreadable in [folder.path(), &folder.path().join("none")] {
            let message = load(unreadable).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{}: cannot be read", unreadable.display())), "{message}");
        }
    }

    #[test]
    fn other_number_types_are_errors_that_name_the_tensor() {
        let (_folder, path) = in_folder();
        let halves = safetensors::tensor::TensorView::new(Dtype::F16, vec![2], &[0; 4]).unwrap();
        std::fs::write(&path, safetensors::serialize([("fc.weight", halves)], None).unwrap()).unwrap();
        let message = load(&path).unwrap_err().to_string();
        assert!(
            message.contains("tensor `fc.weight`: expected floats of 32 or 64 bits (F32, F64), found F16"),
            "{message}"
        );
    }

    #[test]
    fn files_of_the_safetensors_crate_are_read() {
        let (_folder, path) = in_folder();
        let bytes: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![1, 2], &bytes).unwrap();
        std::fs::write(&path, safetensors::serialize([("fc.weight", view)], None).unwrap()).unwrap();
        assert_eq!(load(&path).unwrap().take("fc.weight", &[1, 2]).unwrap(), [1.5, -2.0]);
    }

    #[test]
    fn missing_and_misshapen_tensors_and_entries_are_explained() {
        let (_folder, path) = in_folder();
        save(&path, &some_tensors(), &some_text()).unwrap();
        let mut loaded = load(&path).unwrap();
        let missing = loaded.take("fc.bias", &[160]).unwrap_err().to_string();
        for part in ["last.safetensors", "`fc.bias`", "[160]", "`conv1.weight`"] {
            assert!(missing.contains(part), "{missing}");
        }
        let shape = loaded.take("conv1.weight", &[2, 3, 5]).unwrap_err().to_string();
        for part in ["last.safetensors", "`conv1.weight`", "expected the shape [2, 3, 5]", "found [2, 3, 4]"] {
            assert!(shape.contains(part), "{shape}");
        }
        loaded.take("conv1.weight", &[2, 3, 4]).unwrap();
        assert!(matches!(loaded.take("conv1.weight", &[2, 3, 4]), Err(Error::MissingTensor { .. })));
        let unused = loaded.expect_all_taken().unwrap_err().to_string();
        assert!(unused.contains("`a`, `momentum/a`"), "{unused}");

        assert!(loaded.text("seed").unwrap_err().to_string().contains("no entry `seed`"));
        let wrong = loaded.value::<u64>("settings", "a whole number").unwrap_err().to_string();
        assert!(wrong.contains("entry `settings`: expected a whole number"), "{wrong}");
    }
}
