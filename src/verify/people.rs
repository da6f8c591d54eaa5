//! Which pictures of a list of pairs show one person.

use crate::data::pairs::PairList;
use std::collections::HashMap;
use std::path::Path;

/// The person that each picture shows, as far as a list of pairs tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct People {
    /// The number of the person on each picture of [`PairList::pictures`], from 0 to below `count`.
    pub of_picture: Vec<u32>,
    /// How many people there are.
    pub count: u32,
    /// Whether pictures of one folder count as pictures of one person.
    pub by_folder: bool,
}

impl People {
    /// The people of `list`.
    ///
    /// Two pictures show one person where a pair says so, or where they lie in one folder, as in LFW
    /// and in folders of identities. Where that would make one person of a pair of different people,
    /// the folders mean something else, and only the pairs count: people that no pair joins then
    /// stay apart although they may be one.
    pub fn of(list: &PairList) -> Self {
        let mut by_pairs = Joined::new(list.pictures.len());
        for pair in list.pairs.iter().filter(|pair| pair.same) {
            by_pairs.join(pair.a, pair.b);
        }
        let mut by_folder = by_pairs.clone();
        let mut first_in: HashMap<Option<&Path>, u32> = HashMap::new();
        for (picture, path) in (0..).zip(&list.pictures) {
            by_folder.join(*first_in.entry(path.parent()).or_insert(picture), picture);
        }
        let contradicted = list.pairs.iter().any(|pair| !pair.same && by_folder.root(pair.a) == by_folder.root(pair.b));
        let mut joined = if contradicted { by_pairs } else { by_folder };
        let mut number_of: HashMap<u32, u32> = HashMap::new();
        let of_picture = (0..list.pictures.len() as u32)
            .map(|picture| {
                let next = number_of.len() as u32;
                *number_of.entry(joined.root(picture)).or_insert(next)
            })
            .collect();
        Self { of_picture, count: number_of.len() as u32, by_folder: !contradicted }
    }
}

/// Disjoint sets of pictures (union–find with halved paths).
#[derive(Clone)]
struct Joined {
    parent: Vec<u32>,
}

impl Joined {
    fn new(pictures: usize) -> Self {
        Self { parent: (0..pictures as u32).collect() }
    }

    fn root(&mut self, mut picture: u32) -> u32 {
        while self.parent[picture as usize] != picture {
            let above = self.parent[picture as usize];
            self.parent[picture as usize] = self.parent[above as usize];
            picture = above;
        }
        picture
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b) as usize] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pairs::Pair;

    fn people(pictures: &[&str], pairs: &[(u32, u32, bool)]) -> People {
        let pairs = pairs.iter().map(|&(a, b, same)| Pair { a, b, same, fold: 0 }).collect();
        People::of(&PairList { pictures: pictures.iter().map(Into::into).collect(), pairs, folds: 1 })
    }

    #[test]
    fn folders_are_people() {
        let found = people(&["r/ann/1", "r/bob/1", "r/ann/2", "r/cid/1"], &[(0, 1, false), (2, 3, false)]);
        assert_eq!(found, People { of_picture: vec![0, 1, 0, 2], count: 3, by_folder: true });
    }

    #[test]
    fn pairs_join_people_of_several_folders() {
        let found = people(&["a/1", "b/1", "c/1", "b/2"], &[(2, 1, true), (0, 3, false)]);
        assert_eq!(found.of_picture, [0, 1, 1, 1]);
    }

    #[test]
    fn a_folder_of_everyone_tells_nothing() {
        let pictures = ["all/1", "all/2", "all/3", "all/4", "all/5"];
        let found = people(&pictures, &[(0, 1, true), (1, 2, true), (0, 3, false)]);
        assert_eq!(found, People { of_picture: vec![0, 0, 0, 1, 2], count: 3, by_folder: false });
    }
}
