//! A gallery: a folder of photographs whose faces are known, and the best matches of a face in it.
//!
//! The index file keeps the reduced vectors of each photograph with its size and time of change, so that only new and
//! changed photographs are looked at again. Safetensors with a tensor `group.G` [faces, k] for each group of the verifier,
//! and the entries `kind` = `deepid2-gallery-1`, `bundle` (SHA-256 of `bundle.json`), `finding` (which faces are taken) and
//! `photographs` (JSON).

use super::Error;
use super::recogniser::{Bundle, Faces, FoundFace, Recogniser};
use crate::data::dataset::find_images;
use crate::model::checkpoint::{self, NamedTensor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

const KIND: &str = "deepid2-gallery-1";

/// A photograph of a gallery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Photograph {
    path: PathBuf,
    bytes: u64,
    /// Nanoseconds since 1970 of its last change.
    changed: u128,
    /// Left, top, width and height of each face.
    faces: Vec<[f32; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<String>,
}

/// The faces of a gallery.
#[derive(Debug, Clone, PartialEq)]
pub struct Gallery {
    pub faces: Faces,
    /// Photographs that the index knew already.
    pub known: usize,
}

/// A face of the gallery and how like it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    pub face: FoundFace,
    pub score: f64,
}

fn stamp(path: &Path) -> Result<(u64, u128), Error> {
    let reading = |source| Error::Read { path: path.into(), source };
    let metadata = path.metadata().map_err(reading)?;
    let changed = metadata.modified().map_err(reading)?.duration_since(std::time::UNIX_EPOCH);
    Ok((metadata.len(), changed.map_or(0, |since| since.as_nanos())))
}

impl Gallery {
    /// The faces of all photographs below `folder`: those that `index` knows are taken from it, and the index is written
    /// anew where anything changed.
    ///
    /// # Errors
    /// A folder without pictures, an index of another bundle or damaged, a file that cannot be written, a device that
    /// stopped.
    pub fn open(
        bundle: &mut Bundle,
        folder: &Path,
        index: Option<&Path>,
        progress: &dyn Fn(usize, usize),
    ) -> Result<Self, Error> {
        let pictures = find_images(folder)?;
        let held = match index.filter(|index| index.exists()) {
            Some(index) => read(index, bundle)?,
            None => (Vec::new(), vec![Vec::new(); bundle.recogniser.verifier.groups.len()]),
        };
        let mut row = 0;
        let mut known: HashMap<&Path, (&Photograph, usize)> = HashMap::new();
        for photograph in &held.0 {
            known.insert(&photograph.path, (photograph, row));
            row += photograph.faces.len();
        }
        let stamps = pictures.iter().map(|path| stamp(path)).collect::<Result<Vec<_>, _>>()?;
        let unchanged = |at: usize| {
            let (photograph, row) = known.get(pictures[at].as_path())?;
            ((photograph.bytes, photograph.changed) == stamps[at]).then_some((*photograph, *row))
        };
        let new: Vec<PathBuf> =
            (0..pictures.len()).filter(|&at| unchanged(at).is_none()).map(|at| pictures[at].clone()).collect();
        let fresh = bundle.recogniser.faces(&new, &|done| progress(done, new.len()))?;

        let widths: Vec<usize> = bundle.recogniser.verifier.groups.iter().map(|group| group.pca.components()).collect();
        let mut faces = Faces { reduced: vec![Vec::new(); widths.len()], ..Faces::default() };
        let mut photographs = Vec::with_capacity(pictures.len());
        let mut next = fresh.found.iter().peekable();
        let mut rejections: HashMap<&Path, &String> =
            fresh.rejected.iter().map(|(path, reason)| (path.as_path(), reason)).collect();
        for (at, path) in pictures.iter().enumerate() {
            let mut add = |bounds: [f32; 4], from: &[Vec<f32>], row: usize| {
                faces.found.push(FoundFace { path: path.clone(), bounds, detected: true, row: faces.found.len() });
                for ((all, from), &width) in faces.reduced.iter_mut().zip(from).zip(&widths) {
                    all.extend_from_slice(&from[row * width..(row + 1) * width]);
                }
            };
            let (bytes, changed) = stamps[at];
            let mut photograph = Photograph { path: path.clone(), bytes, changed, faces: vec![], rejected: None };
            if let Some((old, row)) = unchanged(at) {
                old.faces.iter().enumerate().for_each(|(face, bounds)| add(*bounds, &held.1, row + face));
                photograph = old.clone();
            } else {
                while let Some(face) = next.next_if(|face| face.path == *path) {
                    add(face.bounds, &fresh.reduced, face.row);
                    photograph.faces.push(face.bounds);
                }
                photograph.rejected = rejections.remove(path.as_path()).cloned();
            }
            if let Some(reason) = &photograph.rejected {
                faces.rejected.push((path.clone(), reason.clone()));
            }
            photographs.push(photograph);
        }
        if faces.found.is_empty() {
            return Err(Error::NoFaces { path: folder.into(), pictures: pictures.len() });
        }
        if let Some(index) = index.filter(|_| photographs != held.0) {
            write(index, bundle, &photographs, &faces, &widths)?;
        }
        Ok(Self { faces, known: pictures.len() - new.len() })
    }

    /// The `most` faces of the gallery that are most like the only face of `query`, the best first; of equals the one
    /// that comes first.
    ///
    /// # Errors
    /// Faces reduced by another bundle.
    pub fn best(&self, recogniser: &Recogniser, query: &Faces, most: usize) -> Result<Vec<Match>, Error> {
        let verifier = &recogniser.verifier;
        let (gallery, query) = (verifier.prepare(&self.faces.reduced)?, verifier.prepare(&query.reduced)?);
        let mut matches: Vec<Match> = self
            .faces
            .found
            .iter()
            .map(|face| Match { face: face.clone(), score: verifier.score(&query, 0, &gallery, face.row) })
            .collect();
        matches.sort_by(|a, b| b.score.total_cmp(&a.score));
        matches.truncate(most);
        Ok(matches)
    }
}

fn tensor_name(group: usize) -> String {
    format!("group.{group}")
}

fn write(
    index: &Path,
    bundle: &Bundle,
    photographs: &[Photograph],
    faces: &Faces,
    widths: &[usize],
) -> Result<(), Error> {
    let tensors: Vec<NamedTensor> = faces
        .reduced
        .iter()
        .zip(widths)
        .enumerate()
        .map(|(group, (values, &width))| NamedTensor {
            name: tensor_name(group),
            dims: vec![values.len() / width, width],
            values: values.clone(),
        })
        .collect();
    let photographs = serde_json::to_string(photographs).expect("plain numbers and text, which JSON can hold");
    let metadata = BTreeMap::from([
        ("kind".to_string(), KIND.to_string()),
        ("bundle".to_string(), bundle.digest.clone()),
        ("finding".to_string(), bundle.finding.clone()),
        ("photographs".to_string(), photographs),
    ]);
    Ok(checkpoint::save(index, &tensors, &metadata)?)
}

fn read(index: &Path, bundle: &Bundle) -> Result<(Vec<Photograph>, Vec<Vec<f32>>), Error> {
    let wrong = |reason| Error::Index { path: index.into(), reason };
    let mut file = checkpoint::load(index)?;
    if file.text("kind")? != KIND {
        return Err(wrong("a file of another kind"));
    }
    if file.text("bundle")? != bundle.digest {
        return Err(wrong("it was made with another bundle"));
    }
    if file.text("finding")? != bundle.finding {
        return Err(wrong("it was made with another --face, --no-detect or --face-share"));
    }
    let photographs: Vec<Photograph> =
        serde_json::from_str(file.text("photographs")?).map_err(|_| wrong("its list of photographs is damaged"))?;
    let rows: usize = photographs.iter().map(|photograph| photograph.faces.len()).sum();
    let groups = bundle.recogniser.verifier.groups.iter().enumerate();
    let reduced = groups.map(|(group, held)| file.take(&tensor_name(group), &[rows, held.pca.components()]));
    Ok((photographs, reduced.collect::<Result<_, _>>()?))
}
