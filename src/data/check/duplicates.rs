//! The same picture twice.
//!
//! Exact: the same bytes. Near: the same photograph in other bytes, scaled, compressed again, a little brighter. Two
//! pictures are near when their difference hashes differ in at most [`MOST_BITS`] of 64 bits and their thumbnails by at
//! most [`MOST_LEVELS`] grey levels on average. The hash makes comparing all pairs cheap; the thumbnail tells apart what
//! the hash cannot, such as faces before a plain wall, which are laid out alike. A photograph cut otherwise, or
//! mirrored, is not found.
//!
//! The limits were chosen on 8,671 photographs of CelebA, LFW and ORL: within them every pair from CelebA and LFW that was
//! looked at, among them the only two across people, was one photograph in two files. Studio series in which a person
//! hardly moves between shots (ORL) are within them too; that is why near pictures of one person are no fault.

use super::Checked;
use super::scan::Seen;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub const MOST_BITS: u32 = 12;
pub const MOST_LEVELS: u32 = 8;
/// Matches of one picture that are followed: a thousand copies of one picture are one group all the same.
const MOST_MATCHES: usize = 64;

/// A group of pictures that are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Byte for byte; otherwise to the eye.
    pub exact: bool,
    /// Whose pictures they are. More than one person: at least one label is wrong.
    pub people: Vec<String>,
    /// At least two.
    pub pictures: Vec<PathBuf>,
}

/// The groups in a data set: exact ones first, each kind in the order of its first picture. Of files that are the same
/// byte for byte, the first stands for all in the search for near ones.
pub fn within(checked: &Checked) -> Vec<Duplicates> {
    let exact = same_files(&[checked]);
    let mut stands_for_itself = vec![true; checked.seen.len()];
    for group in &exact {
        group[1..].iter().for_each(|&(_, picture)| stands_for_itself[picture] = false);
    }
    let candidates: Vec<(usize, &Seen)> = (0..checked.seen.len())
        .filter(|&picture| stands_for_itself[picture])
        .filter_map(|picture| Some((picture, checked.seen[picture].as_ref()?)))
        .collect();
    let matches = |(at, &(_, seen)): (usize, &(usize, &Seen))| {
        let later = candidates[at + 1..].iter().filter(|(_, other)| are_near(seen, other));
        later.take(MOST_MATCHES).map(|&(other, _)| [candidates[at].0, other]).collect::<Vec<_>>()
    };
    let near: Vec<[usize; 2]> = candidates.par_iter().enumerate().flat_map_iter(matches).collect();
    let near = connected(checked.seen.len(), &near);
    let exact = exact.into_iter().map(|group| describe(true, &[checked], &group));
    let near = near.into_iter().map(|group| {
        let group: Vec<(usize, usize)> = group.into_iter().map(|picture| (0, picture)).collect();
        describe(false, &[checked], &group)
    });
    exact.chain(near).collect()
}

/// Pictures of one data set that are also in the other, exact ones first.
pub fn between(one: &Checked, other: &Checked) -> Vec<Duplicates> {
    let sets = [one, other];
    let mut exact = same_files(&sets);
    exact.retain(|group| group.iter().any(|&(set, _)| set == 0) && group.iter().any(|&(set, _)| set == 1));
    let mut found: Vec<Duplicates> = exact.iter().map(|group| describe(true, &sets, group)).collect();
    let matches = |(picture, seen): (usize, &Option<Seen>)| {
        let near = |(at, candidate): (usize, &Option<Seen>)| {
            let (seen, candidate) = (seen.as_ref()?, candidate.as_ref()?);
            (are_near(seen, candidate) && seen.file != candidate.file).then_some((1, at))
        };
        let twins: Vec<(usize, usize)> = other.seen.iter().enumerate().filter_map(near).take(MOST_MATCHES).collect();
        (!twins.is_empty()).then(|| [vec![(0, picture)], twins].concat())
    };
    let near: Vec<Vec<(usize, usize)>> = one.seen.par_iter().enumerate().filter_map(matches).collect();
    found.extend(near.iter().map(|group| describe(false, &sets, group)));
    found
}

fn are_near(one: &Seen, other: &Seen) -> bool {
    (one.difference_hash ^ other.difference_hash).count_ones() <= MOST_BITS && {
        let differences = one.thumbnail.iter().zip(&other.thumbnail).map(|(a, b)| u32::from(a.abs_diff(*b)));
        differences.sum::<u32>() <= MOST_LEVELS * one.thumbnail.len() as u32
    }
}

/// Groups of (set, picture) with the same bytes.
fn same_files(sets: &[&Checked]) -> Vec<Vec<(usize, usize)>> {
    let mut by_file: BTreeMap<(u64, u64), Vec<(usize, usize)>> = BTreeMap::new();
    for (set, checked) in sets.iter().enumerate() {
        for (picture, seen) in checked.seen.iter().enumerate() {
            if let Some(seen) = seen {
                by_file.entry(seen.file).or_default().push((set, picture));
            }
        }
    }
    let mut groups: Vec<_> = by_file.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable();
    groups
}

/// Groups that are connected by pairs, among `count` pictures; each sorted, in the order of their first.
fn connected(count: usize, pairs: &[[usize; 2]]) -> Vec<Vec<usize>> {
    fn root(parent: &mut [usize], mut at: usize) -> usize {
        while parent[at] != at {
            parent[at] = parent[parent[at]];
            at = parent[at];
        }
        at
    }
    let mut parent: Vec<usize> = (0..count).collect();
    for &[a, b] in pairs {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        parent[a.max(b)] = a.min(b);
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for picture in 0..count {
        groups.entry(root(&mut parent, picture)).or_default().push(picture);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

fn describe(exact: bool, sets: &[&Checked], group: &[(usize, usize)]) -> Duplicates {
    let mut people: Vec<String> =
        group.iter().map(|&(set, picture)| sets[set].names[sets[set].labels[picture] as usize].clone()).collect();
    people.sort();
    people.dedup();
    Duplicates {
        exact,
        people,
        pictures: group.iter().map(|&(set, picture)| sets[set].paths[picture].clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_one_group() {
        assert_eq!(connected(7, &[[5, 6], [1, 3], [3, 4]]), [vec![1, 3, 4], vec![5, 6]]);
        assert_eq!(connected(7, &[[3, 4], [1, 4], [0, 1]]), [[0, 1, 3, 4]]);
        assert!(connected(3, &[]).is_empty());
    }
}
