//! All that EM and the likelihood need of the rows, gathered once: an iteration then costs the same
//! whatever the number of images and people.
//!
//! With s = Σx over the m images of a person, less the mean:
//!
//! ```text
//! within      W   = Σ over images (x − s/m)(x − s/m)ᵀ
//! of people   Q_m = Σ over people with m images  s·sᵀ
//! ```

use super::{Error, check_rows};
use crate::verify::linear_algebra::{Matrix, SelfProduct};
use crate::verify::pca::{centred, mean};
use std::collections::BTreeMap;

pub struct Statistics {
    pub images: usize,
    pub people: usize,
    /// W, dimension × dimension.
    pub within: Matrix,
    /// By ascending number of images.
    pub groups: Vec<Group>,
}

/// The people with equally many images.
pub struct Group {
    pub images_each: usize,
    pub people: usize,
    /// Q_m, dimension × dimension.
    pub sums: Matrix,
}

/// Rows or people handled at a time.
const CHUNK: usize = 1024;

impl Statistics {
    /// The mean of `rows` (rows × `dimension`), and the statistics around it.
    pub fn of(rows: &[f32], labels: &[u32], dimension: usize) -> Result<(Vec<f64>, Self), Error> {
        if check_rows(rows, dimension)? == 0 {
            return Err(Error::TooFewPeople { people: 0 });
        }
        let mean = mean(rows, dimension);
        let statistics = Self::around(rows, labels, &mean)?;
        if statistics.people < 2 {
            return Err(Error::TooFewPeople { people: statistics.people });
        }
        if statistics.images == statistics.people {
            return Err(Error::OnePictureEach { people: statistics.people });
        }
        Ok((mean, statistics))
    }

    /// The statistics of `rows` (rows × dimension) around `mean`.
    pub fn around(rows: &[f32], labels: &[u32], mean: &[f64]) -> Result<Self, Error> {
        let dimension = mean.len();
        let images = check_rows(rows, dimension)?;
        if labels.len() != images {
            return Err(Error::Labels { labels: labels.len(), rows: images });
        }
        let people = People::of(rows, labels, mean);
        Ok(Self { images, people: people.counts.len(), within: people.within(rows, mean), groups: people.groups() })
    }

    pub fn dimension(&self) -> usize {
        self.within.nrows()
    }
}

/// Sums and numbers of images, people in the order of their labels.
struct People {
    /// The person that each row shows.
    person_of_row: Vec<usize>,
    counts: Vec<usize>,
    /// dimension × people.
    sums: Matrix,
}

impl People {
    fn of(rows: &[f32], labels: &[u32], mean: &[f64]) -> Self {
        let mut numbers: BTreeMap<u32, usize> = labels.iter().map(|&label| (label, 0)).collect();
        numbers.values_mut().enumerate().for_each(|(number, person)| *person = number);
        let person_of_row: Vec<usize> = labels.iter().map(|label| numbers[label]).collect();
        let mut counts = vec![0; numbers.len()];
        let mut sums = Matrix::zeros(mean.len(), numbers.len());
        for (row, &person) in rows.chunks_exact(mean.len()).zip(&person_of_row) {
            counts[person] += 1;
            for ((sum, &value), mean) in sums.column_mut(person).iter_mut().zip(row).zip(mean) {
                *sum += f64::from(value) - mean;
            }
        }
        Self { person_of_row, counts, sums }
    }

    fn within(&self, rows: &[f32], mean: &[f64]) -> Matrix {
        let mut within = SelfProduct::new(mean.len());
        for (chunk, people) in rows.chunks(mean.len() * CHUNK).zip(self.person_of_row.chunks(CHUNK)) {
            let mut columns = centred(chunk, mean);
            for (mut column, &person) in columns.column_iter_mut().zip(people) {
                column.axpy(-1.0 / self.counts[person] as f64, &self.sums.column(person), 1.0);
            }
            within.add(&columns.transpose());
        }
        within.finish()
    }

    fn groups(&self) -> Vec<Group> {
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (person, &count) in self.counts.iter().enumerate() {
            members.entry(count).or_default().push(person);
        }
        let group = |(images_each, people): (usize, Vec<usize>)| {
            let mut sums = SelfProduct::new(self.sums.nrows());
            people.chunks(CHUNK).for_each(|chunk| sums.add(&self.sums.select_columns(chunk).transpose()));
            Group { images_each, people: people.len(), sums: sums.finish() }
        };
        members.into_iter().map(group).collect()
    }
}
