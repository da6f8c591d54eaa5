//! Who is on the faces of an aligned folder, who was held out from training, and pairs of them.

use super::Error;
use crate::data::dataset::{Dataset, Identity};
use crate::data::pairs::random::random_pairs;
use crate::data::pairs::{Pair, PairList};
use crate::data::split::{Split, split_identities};
use crate::face::index::AlignedFaces;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

/// Who is held out from training: the people that a seed draws.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HoldOut {
    pub seed: u64,
    /// Share of the people.
    pub fraction: f64,
}

/// Whose faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those that networks were trained on.
    Training,
    /// Those that were held out.
    HeldOut,
    All,
}

/// The people of an aligned folder, split as training splits them.
#[derive(Debug, Clone)]
pub struct People {
    /// Person of each face, numbered by name.
    pub of_face: Vec<u32>,
    /// Whether each face's person was held out.
    held_out: Vec<bool>,
    face_of: HashMap<PathBuf, u32>,
    split: Split,
}

impl People {
    /// The people of `faces`, split as training splits them.
    ///
    /// # Errors
    /// Faces that lie in no person's folder, nobody held out, or too few people to split.
    pub fn of(faces: &AlignedFaces, held_out: HoldOut) -> Result<Self, Error> {
        if held_out.fraction == 0.0 {
            return Err(Error::NobodyHeldOut);
        }
        let mut by_name: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
        for face in faces.faces() {
            let Some((person, _)) = face.face.picture.split_once('/') else {
                return Err(Error::NoPerson { picture: face.path.clone() });
            };
            by_name.entry(person).or_default().push(face.path.clone());
        }
        let number: HashMap<String, u32> = by_name.keys().map(|name| (*name).to_string()).zip(0..).collect();
        let identities = by_name.into_iter().map(|(name, mut images)| {
            images.sort();
            Identity { name: name.into(), images }
        });
        // The same people in the same order as `Dataset::open` finds in the folder, so that the split is training's.
        let dataset = Dataset { identities: identities.collect() };
        let split = split_identities(&dataset, held_out.fraction, held_out.seed)?;
        let held: HashSet<&str> = split.validation.identities.iter().map(|identity| identity.name.as_str()).collect();
        let person = |face: &str| face.split_once('/').map_or("", |(person, _)| person).to_string();
        let names: Vec<String> = faces.faces().iter().map(|face| person(&face.face.picture)).collect();
        Ok(Self {
            of_face: names.iter().map(|name| number[name]).collect(),
            held_out: names.iter().map(|name| held.contains(name.as_str())).collect(),
            face_of: faces.faces().iter().map(|face| face.path.clone()).zip(0..).collect(),
            split,
        })
    }

    /// The faces of a side, in order.
    pub fn faces(&self, side: Side) -> Vec<usize> {
        (0..self.of_face.len())
            .filter(|&face| match side {
                Side::Training => !self.held_out[face],
                Side::HeldOut => self.held_out[face],
                Side::All => true,
            })
            .collect()
    }

    /// The number of people of a side.
    pub fn count(&self, side: Side) -> usize {
        let Split { training, validation } = &self.split;
        let (training, validation) = (training.identities.len(), validation.identities.len());
        match side {
            Side::Training => training,
            Side::HeldOut => validation,
            Side::All => training + validation,
        }
    }

    /// At most `count` balanced pairs of held-out people's faces, in two folds without a person in common; `a` and `b`
    /// are numbers of faces.
    ///
    /// # Errors
    /// Too few people or pictures.
    pub fn held_out_pairs(&self, count: usize, seed: u64) -> Result<Vec<Pair>, Error> {
        let PairList { pictures, pairs, .. } = random_pairs(&self.split.validation, count, 2, seed)?;
        let face = |picture: u32| self.face_of[&pictures[picture as usize]];
        Ok(pairs.into_iter().map(|pair| Pair { a: face(pair.a), b: face(pair.b), ..pair }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::index::testing::{aligned_folder, face};
    use crate::face::index::{Entry, INDEX};

    #[test]
    fn people_are_split_as_training_splits_them() {
        let folder = tempfile::tempdir().unwrap();
        aligned_folder(folder.path(), &[2, 1, 3, 2, 2, 1, 2, 2, 3, 2]);
        let faces = AlignedFaces::open(folder.path()).unwrap();
        let mut sides = HashSet::new();
        for seed in 1..6 {
            let people = People::of(&faces, HoldOut { seed, fraction: 0.3 }).unwrap();
            let split = split_identities(&Dataset::open(folder.path()).unwrap(), 0.3, seed).unwrap();
            assert_eq!(people.split, split);
            let counts = [Side::Training, Side::HeldOut, Side::All].map(|side| people.count(side));
            assert_eq!(counts, [7, 3, 10]);
            let pictures = |side| -> HashSet<&PathBuf> {
                people.faces(side).into_iter().map(|face| &faces.faces()[face].path).collect()
            };
            let expected: HashSet<&PathBuf> = split.validation.identities.iter().flat_map(|one| &one.images).collect();
            assert_eq!(pictures(Side::HeldOut), expected);
            let people_of =
                |side| -> HashSet<u32> { people.faces(side).into_iter().map(|face| people.of_face[face]).collect() };
            assert!(people_of(Side::Training).is_disjoint(&people_of(Side::HeldOut)));
            assert_eq!(people.faces(Side::Training).len() + people.faces(Side::HeldOut).len(), 20);
            assert_eq!(people.faces(Side::All), (0..20).collect::<Vec<_>>());
            sides.insert(people.faces(Side::HeldOut));
        }
        assert!(sides.len() > 1, "other seeds hold out other people");
    }

    #[test]
    fn pairs_are_of_held_out_people_only() {
        let folder = tempfile::tempdir().unwrap();
        aligned_folder(folder.path(), &[3; 12]);
        let faces = AlignedFaces::open(folder.path()).unwrap();
        let people = People::of(&faces, HoldOut { seed: 4, fraction: 0.5 }).unwrap();
        let held: HashSet<usize> = people.faces(Side::HeldOut).into_iter().collect();
        let pairs = people.held_out_pairs(1000, 9).unwrap();
        assert_eq!(pairs, people.held_out_pairs(1000, 9).unwrap());
        for pair in &pairs {
            let [a, b] = [pair.a, pair.b].map(|face| face as usize);
            assert!(a != b && held.contains(&a) && held.contains(&b), "{pair:?}");
            assert_eq!(people.of_face[a] == people.of_face[b], pair.same, "{pair:?}");
        }
        let same = pairs.iter().filter(|pair| pair.same).count();
        assert_eq!((same, pairs.len()), (18, 36));
        let fold_of: HashSet<(u32, u32)> = pairs
            .iter()
            .flat_map(|pair| [pair.a, pair.b].map(|face| (people.of_face[face as usize], pair.fold)))
            .collect();
        assert_eq!(fold_of.len(), 6, "nobody is in two folds");
    }

    #[test]
    fn faces_without_people_and_too_few_people_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        aligned_folder(folder.path(), &[2; 3]);
        let people = |fraction| {
            People::of(&AlignedFaces::open(folder.path()).unwrap(), HoldOut { seed: 1, fraction }).unwrap_err()
        };
        assert!(people(0.2).to_string().contains("3 identities cannot be split"));
        assert!(people(0.0).to_string().contains("--validation-fraction 0): nobody is left"));
        std::fs::write(folder.path().join(INDEX), Entry::Face(Box::new(face("alone.png", 0))).to_line()).unwrap();
        let message = people(0.2).to_string();
        assert!(message.contains("alone.png: lies in no person's folder"), "{message}");
    }
}
