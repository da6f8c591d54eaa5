//! What makes a synthetic person: the parameters that all pictures of them share.
//!
//! Lengths are in head units (see [`super::geometry`]): the head is about 2 units high. Most
//! parameters are drawn independently over ranges wide enough to be seen, so that identity is
//! spread over the whole face and no single feature gives it away.

use super::raster::{Rgb, mix, shade};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The shape of the hair on top of the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crown {
    Bald,
    Receding,
    Cropped,
    SideParting,
    MiddleParting,
    Fringe,
    SweptBack,
    Spiky,
    Curly,
}

/// The hair beside and behind the face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Short,
    Bob,
    Long,
    Wavy,
    Bun,
}

impl Length {
    /// Whether hair falls over the ears.
    pub fn covers_ears(self) -> bool {
        matches!(self, Self::Bob | Self::Long | Self::Wavy)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beard {
    None,
    Stubble,
    Moustache,
    Goatee,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glasses {
    None,
    Round,
    Rectangular,
}

/// A synthetic person.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Half the width of the face at the cheekbones.
    pub face_width: f32,
    /// Half the width at the corner of the jaw, and of the forehead, as fractions of `face_width`.
    pub jaw: f32,
    pub forehead: f32,
    /// Half the width of the chin, as a fraction of `face_width`.
    pub chin_width: f32,
    /// From the mouth to the chin.
    pub chin_length: f32,
    pub skin: Rgb,
    pub blush: f32,
    /// 0 (young) to 1: wrinkles and grey hair.
    pub age: f32,

    pub crown: Crown,
    pub length: Length,
    pub hair: Rgb,
    /// How far the hair stands off the skull.
    pub hair_volume: f32,
    /// Height of the hairline above the eyes.
    pub hairline: f32,
    /// −1 or 1: the side of the parting.
    pub parting: f32,

    pub brow_height: f32,
    pub brow_thickness: f32,
    pub brow_length: f32,
    /// Positive: the inner end lies lower than the outer.
    pub brow_angle: f32,
    pub brow_arch: f32,
    pub brow_colour: Rgb,

    /// Height of the eye line above the head's centre.
    pub eye_height: f32,
    /// From the middle of the face to the middle of an eye.
    pub eye_spacing: f32,
    /// Half the width and half the height of an open eye.
    pub eye_width: f32,
    pub eye_opening: f32,
    /// Positive: the outer corner lies higher.
    pub eye_tilt: f32,
    pub iris: Rgb,
    pub iris_radius: f32,
    pub lashes: f32,
    pub eye_shadow: f32,

    /// From the eye line to the tip.
    pub nose_length: f32,
    /// Half the width over the wings.
    pub nose_width: f32,
    pub nose_ridge: f32,

    /// From the tip of the nose to the mouth.
    pub mouth_gap: f32,
    pub mouth_width: f32,
    pub upper_lip: f32,
    pub lower_lip: f32,
    pub lips: Rgb,
    /// Positive: the corners hang.
    pub mouth_droop: f32,

    pub ear_size: f32,
    pub ear_stick_out: f32,
    pub ear_rings: Option<Rgb>,

    /// Places of freckles on the cheeks, as fractions of the cheek's extent in [−1, 1]².
    pub freckles: Vec<[f32; 2]>,
    /// Moles in head units, on the face.
    pub moles: Vec<[f32; 2]>,

    pub beard: Beard,
    pub glasses: Glasses,
    pub glasses_colour: Rgb,
}

const SKINS: [Rgb; 5] =
    [[0.97, 0.84, 0.76], [0.93, 0.75, 0.62], [0.82, 0.62, 0.46], [0.64, 0.44, 0.31], [0.42, 0.28, 0.20]];

const HAIRS: [Rgb; 8] = [
    [0.09, 0.08, 0.09],
    [0.20, 0.13, 0.09],
    [0.34, 0.22, 0.13],
    [0.42, 0.18, 0.10],
    [0.72, 0.36, 0.13],
    [0.78, 0.60, 0.32],
    [0.90, 0.80, 0.58],
    [0.55, 0.53, 0.52],
];

const IRISES: [Rgb; 6] = [
    [0.20, 0.12, 0.07],
    [0.38, 0.23, 0.10],
    [0.48, 0.42, 0.16],
    [0.28, 0.48, 0.26],
    [0.25, 0.47, 0.72],
    [0.48, 0.56, 0.62],
];

const FRAMES: [Rgb; 4] = [[0.07, 0.07, 0.08], [0.36, 0.18, 0.10], [0.62, 0.12, 0.16], [0.72, 0.62, 0.36]];

fn pick<T: Copy>(rng: &mut ChaCha8Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

impl Identity {
    /// Draws a person.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        // Makes some parts go together as on real people (beards with short hair, strong lashes
        // with long hair) without deciding any of them.
        let feminine = rng.random_bool(0.5);
        let age: f32 = rng.random();

        let tone = rng.random_range(0.0..(SKINS.len() - 1) as f32);
        let lighter = tone as usize;
        let warmth = rng.random_range(-0.03..0.03);
        let [red, green, blue] = mix(SKINS[lighter], SKINS[lighter + 1], tone - lighter as f32);
        let skin = [red + warmth, green, blue - warmth];

        let natural = if age > 0.8 && rng.random_bool(0.6) {
            [0.78, 0.77, 0.76]
        } else if tone > 2.5 {
            pick(rng, &HAIRS[..3])
        } else {
            pick(rng, &HAIRS)
        };
        let hair = shade(natural, rng.random_range(0.85..1.15));
        let length = if feminine {
            pick(rng, &[Length::Bob, Length::Long, Length::Wavy, Length::Bun, Length::Short])
        } else {
            pick(rng, &[Length::Short, Length::Short, Length::Short, Length::Short, Length::Bob, Length::Wavy])
        };
        let crown = match length {
            Length::Short if !feminine => pick(
                rng,
                &[
                    Crown::Bald,
                    Crown::Receding,
                    Crown::Cropped,
                    Crown::SideParting,
                    Crown::Fringe,
                    Crown::SweptBack,
                    Crown::Spiky,
                    Crown::Curly,
                ],
            ),
            Length::Short => {
                pick(rng, &[Crown::Cropped, Crown::SideParting, Crown::Fringe, Crown::Spiky, Crown::Curly])
            }
            Length::Bun => pick(rng, &[Crown::SweptBack, Crown::SideParting, Crown::Fringe, Crown::MiddleParting]),
            Length::Bob | Length::Long | Length::Wavy => {
                pick(rng, &[Crown::SideParting, Crown::MiddleParting, Crown::Fringe, Crown::SweptBack])
            }
        };
        let beard = if feminine {
            Beard::None
        } else {
            pick(rng, &[Beard::None, Beard::None, Beard::Stubble, Beard::Moustache, Beard::Goatee, Beard::Full])
        };
        let freckled = tone < 2.5 && rng.random_bool(0.25);
        let freckles = (0..if freckled { 26 } else { 0 })
            .map(|_| [rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)])
            .collect();
        let moles = (0..if rng.random_bool(0.35) { rng.random_range(1..=2) } else { 0 })
            .map(|_| [rng.random_range(-0.5..0.5), rng.random_range(0.12..0.75)])
            .collect();
        let painted = feminine && rng.random_bool(0.55);
        let natural_lips = mix(shade(skin, 0.86), [0.72, 0.28, 0.28], rng.random_range(0.2..0.6));
        let lips = if painted {
            pick(rng, &[[0.78, 0.10, 0.16], [0.62, 0.12, 0.30], [0.86, 0.34, 0.40], [0.52, 0.16, 0.16]])
        } else {
            natural_lips
        };
        let glasses = pick(rng, &[Glasses::None, Glasses::None, Glasses::None, Glasses::Round, Glasses::Rectangular]);
        let ear_rings = (feminine && rng.random_bool(0.4))
            .then(|| pick(rng, &[[0.92, 0.78, 0.30], [0.85, 0.86, 0.90], [0.20, 0.55, 0.60]]));

        Self {
            face_width: rng.random_range(0.58..0.82),
            jaw: if feminine { rng.random_range(0.70..0.90) } else { rng.random_range(0.76..0.98) },
            forehead: rng.random_range(0.80..0.98),
            chin_width: rng.random_range(0.24..0.52),
            chin_length: rng.random_range(0.26..0.46),
            skin,
            blush: rng.random_range(0.0..0.35),
            age,
            crown,
            length,
            hair,
            hair_volume: rng.random_range(0.0..1.0),
            hairline: rng.random_range(0.50..0.68),
            parting: if rng.random_bool(0.5) { 1.0 } else { -1.0 },
            brow_height: rng.random_range(0.14..0.27),
            brow_thickness: if feminine { rng.random_range(0.02..0.06) } else { rng.random_range(0.035..0.085) },
            brow_length: rng.random_range(0.15..0.23),
            brow_angle: rng.random_range(-0.06..0.09),
            brow_arch: rng.random_range(0.0..0.06),
            brow_colour: mix(shade(hair, 0.75), [0.12, 0.09, 0.08], rng.random_range(0.0..0.6)),
            eye_height: rng.random_range(0.06..0.20),
            eye_spacing: rng.random_range(0.26..0.385),
            eye_width: rng.random_range(0.115..0.175),
            eye_opening: rng.random_range(0.045..0.105),
            eye_tilt: rng.random_range(-0.20..0.34),
            iris: shade(pick(rng, &IRISES), rng.random_range(0.85..1.15)),
            iris_radius: rng.random_range(0.058..0.082),
            lashes: if feminine { rng.random_range(0.6..1.0) } else { rng.random_range(0.2..0.5) },
            eye_shadow: if painted { rng.random_range(0.2..0.6) } else { 0.0 },
            nose_length: rng.random_range(0.34..0.56),
            nose_width: rng.random_range(0.08..0.20),
            nose_ridge: rng.random_range(0.3..1.0),
            mouth_gap: rng.random_range(0.15..0.24),
            mouth_width: rng.random_range(0.17..0.35),
            upper_lip: rng.random_range(0.022..0.075),
            lower_lip: rng.random_range(0.035..0.095),
            lips,
            mouth_droop: rng.random_range(-0.025..0.03),
            ear_size: rng.random_range(0.13..0.23),
            ear_stick_out: rng.random_range(0.03..0.13),
            ear_rings,
            freckles,
            moles,
            beard,
            glasses,
            glasses_colour: pick(rng, &FRAMES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn people() -> Vec<Identity> {
        (0..1000).map(|seed| Identity::draw(&mut ChaCha8Rng::seed_from_u64(seed))).collect()
    }

    /// How many different values `kind` takes, and the share of the commonest.
    fn kinds(people: &[Identity], kind: impl Fn(&Identity) -> String) -> (usize, f32) {
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        people.iter().for_each(|person| *counts.entry(kind(person)).or_default() += 1);
        (counts.len(), *counts.values().max().unwrap() as f32 / people.len() as f32)
    }

    #[test]
    fn no_kind_is_missing_or_gives_most_people_away() {
        let people = people();
        assert_eq!(kinds(&people, |p| format!("{:?}", p.beard)).0, 5);
        assert_eq!(kinds(&people, |p| format!("{:?}", p.glasses)).0, 3);
        assert_eq!(kinds(&people, |p| format!("{:?}", p.crown)).0, 9);
        assert_eq!(kinds(&people, |p| format!("{:?}", p.length)).0, 5);
        let (hair_styles, commonest) = kinds(&people, |p| format!("{:?} {:?}", p.crown, p.length));
        assert!(hair_styles > 20 && commonest < 0.12, "{hair_styles} {commonest}");
    }

    #[test]
    fn colours_can_be_displayed() {
        for person in people() {
            for colour in [person.skin, person.hair, person.iris, person.lips, person.brow_colour] {
                assert!(colour.iter().all(|c| (0.0..=1.0 + 1e-6).contains(c)), "{colour:?}");
            }
        }
    }

    #[test]
    fn the_measures_of_a_face_are_uncorrelated() {
        let people = people();
        let measures: [fn(&Identity) -> f32; 8] = [
            |p| p.face_width,
            |p| p.chin_length,
            |p| p.eye_spacing,
            |p| p.eye_height,
            |p| p.nose_length,
            |p| p.nose_width,
            |p| p.mouth_width,
            |p| p.skin[1],
        ];
        let standardised = measures.map(|measure| {
            let values: Vec<f32> = people.iter().map(measure).collect();
            let mean = values.iter().sum::<f32>() / 1000.0;
            let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 1000.0).sqrt();
            values.into_iter().map(|v| (v - mean) / deviation).collect::<Vec<_>>()
        });
        for (i, a) in standardised.iter().enumerate() {
            for b in &standardised[..i] {
                // Four standard errors of 1/√1000.
                let correlation = a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() / 1000.0;
                assert!(correlation.abs() < 0.127, "measure {i}: {correlation}");
            }
        }
    }
}
