//! The 200 kinds of patches that networks are trained on: 20 regions of the face × 5 scales × RGB or gray.
//!
//! DeepID2 takes 400 patches "at various positions, scales, colour channels and flips" and lists none. DeepID, its
//! predecessor, had 10 regions, five of the whole face and five about landmarks, in three scales, in RGB and gray. The
//! regions and scales below are this project's choice, in DeepID's spirit. Scales are widths of the window in distances
//! of the pupils (40 pixels of the aligned picture each); a window's height follows from the network's input, whose
//! pixels are square. Every input's sides are 8k + 7, so that no layer of the network rounds.
//!
//! | # | region | about | rows × columns | widths in pupil distances |
//! |---|---|---|---|---|
//! | 0 | `face` | middle of the face | 55×47 | 1.9, 2.5, 3.1, 3.6, 4.0 |
//! | 1 | `upper-face` | between the brows | 47×47 | 1.7, 2.1, 2.6, 3.2, 3.9 |
//! | 2 | `lower-face` | above the mouth | 47×47 | 1.5, 1.9, 2.4, 3.0, 3.6 |
//! | 3 | `hair` | forehead and hairline | 31×39 | 1.8, 2.3, 2.8, 3.4, 4.0 |
//! | 4 | `eyes` | between the pupils | 31×39 | 1.8, 2.2, 2.6, 3.1, 3.7 |
//! | 5 | `nose-bridge` | the landmark | 39×31 | 0.8, 1.1, 1.5, 2.0, 2.6 |
//! | 6 | `nose-tip` | the landmark | 39×31 | 0.9, 1.2, 1.6, 2.2, 2.9 |
//! | 7 | `mouth` | middle of the lips' landmarks | 31×39 | 1.1, 1.4, 1.8, 2.3, 3.0 |
//! | 8 | `chin` | the landmark | 31×39 | 1.3, 1.7, 2.2, 2.8, 3.5 |
//! | 9 | `half-face` | left half | 39×31 | 1.1, 1.4, 1.8, 2.3, 2.8 |
//! | 10 | `upper-quarter` | left eye to temple | 39×31 | 0.9, 1.2, 1.6, 2.0, 2.5 |
//! | 11 | `lower-quarter` | left side of mouth and jaw | 39×31 | 0.9, 1.2, 1.6, 2.0, 2.5 |
//! | 12 | `cheek` | below the left eye | 31×31 | 0.8, 1.1, 1.5, 2.0, 2.6 |
//! | 13 | `jaw` | the left corner of the jaw | 31×31 | 0.9, 1.2, 1.6, 2.1, 2.7 |
//! | 14 | `brow` | middle of the left brow | 31×39 | 0.9, 1.2, 1.6, 2.1, 2.8 |
//! | 15 | `pupil` | the left one | 31×39 | 0.8, 1.1, 1.4, 1.9, 2.5 |
//! | 16 | `eye-outer` | outer corner of the left eye | 31×31 | 0.7, 1.0, 1.4, 1.9, 2.5 |
//! | 17 | `eye-inner` | inner corner of the left eye | 31×31 | 0.7, 1.0, 1.4, 1.9, 2.5 |
//! | 18 | `nose-wing` | the left one | 31×31 | 0.7, 1.0, 1.4, 1.9, 2.5 |
//! | 19 | `mouth-corner` | the left one | 31×31 | 0.8, 1.1, 1.5, 2.0, 2.6 |
//!
//! # Numbers
//! Patch p = (region × 5 + scale) × 2 + (0 for RGB, 1 for gray), 0 to 199. Each network gives two vectors a face: vector
//! 2p of the patch as it is, and vector 2p + 1 of the mirror image of its [counterpart](Patch::counterpart), 0 to 399.
//!
//! # The flip rule
//! As in DeepID, the counterpart of a window about a left eye is the window about the right one: mirrored, it shows a
//! left eye too, and the network that was trained on left eyes knows what it sees. A window on the middle line is its own
//! counterpart. So regions 9 to 19 are listed for the left side only (the picture's left): the right side is their
//! counterpart, in vector 2p + 1, and in the mirrored half of the training pictures. A network for the right side would
//! be trained on exactly the mirror images of the same windows: the same network again, at the price of another region.

use super::canonical::{self, PUPIL_DISTANCE};
use super::points::{MIRRORED_LANDMARKS, Shape};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Regions of the face.
pub const REGIONS: usize = 20;
/// Scales of each region.
pub const SCALES: usize = 5;
/// Kinds of patches.
pub const PATCHES: usize = REGIONS * SCALES * 2;

/// Why a patch is not known. Names and numbers are those of `deepid2 patches list`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("patch {number}: expected 0 to {}; `deepid2 patches list` shows them", PATCHES - 1)]
    Number { number: usize },
    #[error("patch `{name}`: no such name; `deepid2 patches list` shows them, such as `{}`", Patch::ALL_FIRST)]
    Name { name: String },
    #[error(
        "patches `{list}`: `{part}` is neither a number from 0 to {}, nor a range such as 0-24; write e.g. 0-24,30,199",
        PATCHES - 1
    )]
    List { list: String, part: String },
    #[error("patches `{list}`: the range `{part}` runs backwards; write the smaller number first")]
    Backwards { list: String, part: String },
    #[error("patches `{list}`: patch {number} is named twice; name it once")]
    Twice { list: String, number: usize },
}

/// What a window is centred on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Centre {
    /// A point of the frame, (x, y).
    Fixed(f32, f32),
    /// The picture's own landmark.
    Landmark(usize),
    /// The middle between two of the picture's own landmarks.
    Middle(usize, usize),
}

impl Centre {
    /// Where it is in the aligned picture of a face with these landmarks.
    #[must_use]
    pub fn of(self, landmarks: &Shape) -> [f32; 2] {
        match self {
            Self::Fixed(x, y) => [x, y],
            Self::Landmark(index) => landmarks[index],
            Self::Middle(first, second) => {
                let ([ax, ay], [bx, by]) = (landmarks[first], landmarks[second]);
                [(ax + bx) / 2.0, (ay + by) / 2.0]
            }
        }
    }

    /// What takes its place in a mirrored face.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::Fixed(x, y) => {
                let [x, y] = canonical::mirrored([x, y]);
                Self::Fixed(x, y)
            }
            Self::Landmark(index) => Self::Landmark(MIRRORED_LANDMARKS[index]),
            Self::Middle(first, second) => Self::Middle(MIRRORED_LANDMARKS[first], MIRRORED_LANDMARKS[second]),
        }
    }
}

/// A region of the face, and the windows and inputs of its networks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    pub name: &'static str,
    pub centre: Centre,
    /// Rows and columns of the network's input.
    pub input: (u32, u32),
    /// Width of the window at each scale, in distances of the canonical pupils.
    pub widths: [f32; SCALES],
}

impl Region {
    /// Whether the region lies on one side of the face, so that its counterpart is another window.
    #[must_use]
    pub fn is_paired(&self) -> bool {
        match self.centre {
            Centre::Fixed(..) => self.centre != self.centre.mirrored(),
            Centre::Landmark(index) => MIRRORED_LANDMARKS[index] != index,
            Centre::Middle(first, second) => [first, second] != [first, second].map(|i| MIRRORED_LANDMARKS[i]),
        }
    }
}

/// Rows × columns of the networks' inputs, as few shapes as will do: networks of one shape train together. A 31×31
/// network takes a quarter of the work of a 55×47 one.
const PORTRAIT: (u32, u32) = (55, 47);
const SQUARE: (u32, u32) = (47, 47);
const TALL: (u32, u32) = (39, 31);
const WIDE: (u32, u32) = (31, 39);
const SMALL: (u32, u32) = (31, 31);

/// The x of the frame's middle line.
const MIDDLE: f32 = 79.5;

// Landmarks by their names in `LANDMARK_NAMES`.
const LEFT_BROW: usize = 1;
const LEFT_EYE_OUTER: usize = 6;
const LEFT_PUPIL: usize = 7;
const LEFT_EYE_INNER: usize = 8;
const NOSE_BRIDGE: usize = 12;
const LEFT_NOSE_WING: usize = 13;
const NOSE_TIP: usize = 14;
const LEFT_MOUTH_CORNER: usize = 16;
const UPPER_LIP: usize = 17;
const LOWER_LIP: usize = 18;
const CHIN: usize = 20;

const fn region(name: &'static str, centre: Centre, input: (u32, u32), widths: [f32; SCALES]) -> Region {
    Region { name, centre, input, widths }
}

/// The regions, by their number.
pub const ALL_REGIONS: [Region; REGIONS] = {
    use Centre::{Fixed, Landmark, Middle};
    [
        // The whole face, from tight about its features to all of the frame. 3.1 holds hair and chin.
        region("face", Fixed(MIDDLE, 98.0), PORTRAIT, [1.9, 2.5, 3.1, 3.6, 4.0]),
        region("upper-face", Fixed(MIDDLE, 72.0), SQUARE, [1.7, 2.1, 2.6, 3.2, 3.9]),
        region("lower-face", Fixed(MIDDLE, 120.0), SQUARE, [1.5, 1.9, 2.4, 3.0, 3.6]),
        // Wider than high: the hair does not reach further up than the frame.
        region("hair", Fixed(MIDDLE, 48.0), WIDE, [1.8, 2.3, 2.8, 3.4, 4.0]),
        region("eyes", Fixed(MIDDLE, 84.0), WIDE, [1.8, 2.2, 2.6, 3.1, 3.7]),
        // On the middle line, about the picture's own landmarks.
        region("nose-bridge", Landmark(NOSE_BRIDGE), TALL, [0.8, 1.1, 1.5, 2.0, 2.6]),
        region("nose-tip", Landmark(NOSE_TIP), TALL, [0.9, 1.2, 1.6, 2.2, 2.9]),
        region("mouth", Middle(UPPER_LIP, LOWER_LIP), WIDE, [1.1, 1.4, 1.8, 2.3, 3.0]),
        region("chin", Landmark(CHIN), WIDE, [1.3, 1.7, 2.2, 2.8, 3.5]),
        // One side of the face, at fixed places.
        region("half-face", Fixed(56.0, 100.0), TALL, [1.1, 1.4, 1.8, 2.3, 2.8]),
        region("upper-quarter", Fixed(52.0, 76.0), TALL, [0.9, 1.2, 1.6, 2.0, 2.5]),
        region("lower-quarter", Fixed(60.0, 128.0), TALL, [0.9, 1.2, 1.6, 2.0, 2.5]),
        region("cheek", Fixed(52.0, 108.0), SMALL, [0.8, 1.1, 1.5, 2.0, 2.6]),
        region("jaw", Fixed(50.0, 134.0), SMALL, [0.9, 1.2, 1.6, 2.1, 2.7]),
        // One side of the face, about the picture's own landmarks.
        region("brow", Landmark(LEFT_BROW), WIDE, [0.9, 1.2, 1.6, 2.1, 2.8]),
        region("pupil", Landmark(LEFT_PUPIL), WIDE, [0.8, 1.1, 1.4, 1.9, 2.5]),
        region("eye-outer", Landmark(LEFT_EYE_OUTER), SMALL, [0.7, 1.0, 1.4, 1.9, 2.5]),
        region("eye-inner", Landmark(LEFT_EYE_INNER), SMALL, [0.7, 1.0, 1.4, 1.9, 2.5]),
        region("nose-wing", Landmark(LEFT_NOSE_WING), SMALL, [0.7, 1.0, 1.4, 1.9, 2.5]),
        region("mouth-corner", Landmark(LEFT_MOUTH_CORNER), SMALL, [0.8, 1.1, 1.5, 2.0, 2.6]),
    ]
};

/// A rectangle of an aligned picture. Pixel centres lie at whole numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// (x, y) of its middle.
    pub centre: [f32; 2],
    pub width: f32,
    pub height: f32,
}

impl Window {
    /// The same window of the mirrored picture.
    #[must_use]
    pub fn mirrored(self) -> Self {
        Self { centre: canonical::mirrored(self.centre), ..self }
    }
}

/// A kind of patch: what one network is trained on. In files, its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct Patch {
    index: usize,
}

impl TryFrom<usize> for Patch {
    type Error = Error;

    fn try_from(index: usize) -> Result<Self, Error> {
        Self::new(index)
    }
}

impl From<Patch> for usize {
    fn from(patch: Patch) -> Self {
        patch.index
    }
}

impl Patch {
    /// For messages: the name of a patch that exists.
    const ALL_FIRST: &'static str = "face@3.1 RGB";

    /// Patch number `index`.
    ///
    /// # Errors
    /// A number beyond 199.
    pub fn new(index: usize) -> Result<Self, Error> {
        if index < PATCHES { Ok(Self { index }) } else { Err(Error::Number { number: index }) }
    }

    /// All patches, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..PATCHES).map(|index| Self { index })
    }

    /// Its number, 0 to 199.
    #[must_use]
    pub fn index(self) -> usize {
        self.index
    }

    /// Its number in [`ALL_REGIONS`].
    #[must_use]
    pub fn region_index(self) -> usize {
        self.index / 2 / SCALES
    }

    /// Its region.
    #[must_use]
    pub fn region(self) -> &'static Region {
        const REGIONS: &[Region; self::REGIONS] = &ALL_REGIONS;
        &REGIONS[self.region_index()]
    }

    /// Its scale, 0 (closest) to 4.
    #[must_use]
    pub fn scale(self) -> usize {
        self.index / 2 % SCALES
    }

    /// 3 for RGB, 1 for gray.
    #[must_use]
    pub fn channels(self) -> u32 {
        if self.index.is_multiple_of(2) { 3 } else { 1 }
    }

    /// Rows and columns of the network's input.
    #[must_use]
    pub fn input(self) -> (u32, u32) {
        self.region().input
    }

    /// Width of its window in distances of the canonical pupils.
    #[must_use]
    pub fn relative_width(self) -> f32 {
        self.region().widths[self.scale()]
    }

    /// Width and height of its window in pixels of the aligned picture.
    #[must_use]
    pub fn size(self) -> [f32; 2] {
        let (rows, columns) = self.input();
        let width = PUPIL_DISTANCE * self.relative_width();
        [width, width * rows as f32 / columns as f32]
    }

    /// The window as it is: vector 2p.
    #[must_use]
    pub fn window(self, landmarks: &Shape) -> Window {
        self.about(self.region().centre, landmarks)
    }

    /// The window whose mirror image gives vector 2p + 1: that on the other side of the face, or the same one for a
    /// region on the middle line.
    #[must_use]
    pub fn counterpart(self, landmarks: &Shape) -> Window {
        self.about(if self.is_paired() { self.region().centre.mirrored() } else { self.region().centre }, landmarks)
    }

    /// Whether window and counterpart are two.
    #[must_use]
    pub fn is_paired(self) -> bool {
        self.region().is_paired()
    }

    fn about(self, centre: Centre, landmarks: &Shape) -> Window {
        let [width, height] = self.size();
        Window { centre: centre.of(landmarks), width, height }
    }
}

impl fmt::Display for Patch {
    /// Its name, such as `pupil@1.4 gray`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.channels() == 3 { "RGB" } else { "gray" };
        write!(f, "{}@{:.1} {kind}", self.region().name, self.relative_width())
    }
}

impl FromStr for Patch {
    type Err = Error;

    /// A number or a name.
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(number) = text.parse() {
            return Self::new(number);
        }
        Self::all().find(|patch| patch.to_string() == text).ok_or_else(|| Error::Name { name: text.into() })
    }
}

/// Parses a list such as `0-24,30,199`: patches in rising order.
///
/// # Errors
/// A part that is neither number nor range, a number beyond 199, a range that runs backwards, a patch named twice.
pub fn parse_list(list: &str) -> Result<Vec<Patch>, Error> {
    let mut named = BTreeSet::new();
    for part in list.split(',').map(str::trim) {
        let wrong = || Error::List { list: list.into(), part: part.into() };
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if last < first {
            return Err(Error::Backwards { list: list.into(), part: part.into() });
        }
        for number in first..=last {
            if !named.insert(Patch::new(number)?) {
                return Err(Error::Twice { list: list.into(), number });
            }
        }
    }
    Ok(named.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::canonical::{HEIGHT, SHAPE, WIDTH};
    use crate::face::points::{LANDMARK_NAMES, LANDMARKS, mirrored};
    use std::collections::HashSet;

    #[test]
    fn there_are_200_patches_with_names_of_their_own() {
        let names: HashSet<String> = Patch::all().map(|patch| patch.to_string()).collect();
        assert_eq!((PATCHES, names.len()), (200, 200));
        for patch in Patch::all() {
            assert_eq!(patch.to_string().parse(), Ok(patch));
            assert_eq!(patch.index().to_string().parse(), Ok(patch));
            let gray = usize::from(patch.channels() == 1);
            assert_eq!((patch.region_index() * SCALES + patch.scale()) * 2 + gray, patch.index());
        }
        assert_eq!(Patch::new(5).unwrap().to_string(), "face@3.1 gray");
        assert_eq!("pupil@1.4 gray".parse::<Patch>().unwrap().index(), 155);
        assert!(Patch::ALL_FIRST.parse::<Patch>().is_ok());
    }

    #[test]
    fn inputs_fit_the_network_and_windows_the_frame() {
        for patch in Patch::all() {
            let (rows, columns) = patch.input();
            assert!([rows, columns].iter().all(|side| *side >= 31 && side % 8 == 7), "{patch}");
            let [width, height] = patch.size();
            assert!(width <= WIDTH as f32 && height <= HEIGHT as f32, "{patch}");
            assert!((width / height - columns as f32 / rows as f32).abs() < 1e-5);
            // Hardly enlarged: the aligned picture holds what the network sees.
            assert!(width >= 0.8 * columns as f32, "{patch}: {width}");
            // At most a third of a window lies outside of the frame.
            for Window { centre: [x, y], width, height } in [patch.window(&SHAPE), patch.counterpart(&SHAPE)] {
                let inside = |middle: f32, length: f32, side: u32| {
                    let low = (middle - length / 2.0).max(-0.5);
                    let high = (middle + length / 2.0).min(side as f32 - 0.5);
                    (high - low) / length
                };
                assert!(inside(x, width, WIDTH) * inside(y, height, HEIGHT) > 0.66, "{patch}");
            }
        }
        for region in ALL_REGIONS {
            assert!(region.widths.windows(2).all(|pair| pair[1] > 1.1 * pair[0]), "{}", region.name);
        }
        // The window that scored best on unaligned pictures, and one tight on the face.
        let face = &ALL_REGIONS[0].widths;
        assert!(face.contains(&3.1) && face.contains(&1.9));
    }

    #[test]
    fn the_document_lists_the_table() {
        let document = include_str!("patches.rs");
        for (number, region) in ALL_REGIONS.iter().enumerate() {
            let line = document.lines().find(|line| line.starts_with(&format!("//! | {number} | `{}` |", region.name)));
            let line = line.unwrap_or_else(|| panic!("region {number}"));
            let widths = region.widths.map(|width| format!("{width:.1}")).join(", ");
            let (rows, columns) = region.input;
            assert!(line.ends_with(&format!("| {rows}×{columns} | {widths} |")), "{line}");
        }
    }

    #[test]
    fn landmarks_are_the_ones_that_names_say() {
        let named = [
            (LEFT_BROW, "left brow middle"),
            (LEFT_EYE_OUTER, "left eye outer corner"),
            (LEFT_PUPIL, "left pupil"),
            (LEFT_EYE_INNER, "left eye inner corner"),
            (NOSE_BRIDGE, "nose bridge"),
            (LEFT_NOSE_WING, "left nose wing"),
            (NOSE_TIP, "nose tip"),
            (LEFT_MOUTH_CORNER, "left mouth corner"),
            (UPPER_LIP, "upper lip middle"),
            (LOWER_LIP, "lower lip middle"),
            (CHIN, "chin"),
        ];
        assert!(named.iter().all(|&(index, name)| LANDMARK_NAMES[index] == name));
    }

    #[test]
    fn a_mirrored_face_shows_in_the_window_what_the_counterpart_showed() {
        // A crooked face, so that a rule that used the canonical shape would fail.
        let crooked: Shape = std::array::from_fn(|i| [SHAPE[i][0] + i as f32, SHAPE[i][1] - 0.5 * i as f32]);
        let flipped = mirrored(&crooked, WIDTH as usize);
        let mut paired = 0;
        for patch in Patch::all() {
            let (own, counterpart) = (patch.window(&flipped), patch.counterpart(&crooked).mirrored());
            for axis in 0..2 {
                assert!((own.centre[axis] - counterpart.centre[axis]).abs() < 1e-4, "{patch}");
            }
            assert_eq!((own.width, own.height), (counterpart.width, counterpart.height));
            assert_eq!(patch.is_paired(), patch.counterpart(&crooked) != patch.window(&crooked), "{patch}");
            paired += usize::from(patch.is_paired());
        }
        assert_eq!(paired, 11 * SCALES * 2);
        assert_eq!(crooked.len(), LANDMARKS);
    }

    #[test]
    fn lists_are_sorted_and_wrong_ones_explained() {
        let numbers = |list: &str| parse_list(list).map(|list| list.iter().map(|p| p.index()).collect::<Vec<_>>());
        assert_eq!(numbers("199, 3-5,0"), Ok(vec![0, 3, 4, 5, 199]));
        assert_eq!(numbers("0-199").unwrap().len(), 200);
        for (list, expected) in [
            ("", "`` is neither a number from 0 to 199, nor a range such as 0-24"),
            ("0-24,x", "patches `0-24,x`: `x` is neither"),
            ("1,,2", "`` is neither"),
            ("-3", "`-3` is neither"),
            ("0-200", "patch 200: expected 0 to 199"),
            ("0-99999999999999999999999", "is neither"),
            ("7-3", "the range `7-3` runs backwards"),
            ("0-9,4", "patch 4 is named twice"),
        ] {
            let message = parse_list(list).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!("nose@1 RGB".parse::<Patch>().unwrap_err().to_string().contains("patches list"));
        assert!(matches!(Patch::new(200), Err(Error::Number { number: 200 })));
    }
}
