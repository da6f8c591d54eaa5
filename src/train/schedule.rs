//! The learning rate and the weights of the two signals, as functions of the step.
//!
//! DeepID2's paper gives neither a learning rate nor a schedule, and no length of a warm-up; those
//! choices and defaults are this project's. That λ = 0.05 verifies best is the paper's (§4.1).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

/// Why a schedule is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("--learning-rate {rate}: expected a number above 0, such as 0.01")]
    LearningRate { rate: f32 },
    #[error(
        "--schedule `{text}`: expected `constant`, `step:EPOCHS:FACTOR` such as step:10:0.1 (EPOCHS at least 1, FACTOR above 0 and at most 1), `cosine`, or `cosine:FLOOR` such as cosine:0.01 (FLOOR from 0 to 1)"
    )]
    Schedule { text: String },
    #[error("--lambda `{text}`: expected a number from 0, such as 0.05, or `inf` for verification alone")]
    Lambda { text: String },
    #[error("--warm-up {fraction}: expected a fraction of all steps, from 0 to below 1")]
    WarmUp { fraction: f64 },
}

/// How the learning rate falls. Written `constant`, `step:EPOCHS:FACTOR`, `cosine` (to 0) or
/// `cosine:FLOOR`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Schedule {
    /// It does not.
    Constant,
    /// Multiplied by `factor` after every `every_epochs` epochs.
    Step { every_epochs: u32, factor: f64 },
    /// Half a cosine over the whole run, from the base rate to `floor` times the base rate
    /// (Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5, without restarts).
    Cosine { floor: f64 },
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Cosine { floor: 0.0 }
    }
}

impl Schedule {
    fn is_sane(self) -> bool {
        match self {
            Self::Constant => true,
            Self::Step { every_epochs, factor } => every_epochs >= 1 && factor > 0.0 && factor <= 1.0,
            Self::Cosine { floor } => (0.0..=1.0).contains(&floor),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => write!(f, "constant"),
            Self::Step { every_epochs, factor } => write!(f, "step:{every_epochs}:{factor}"),
            Self::Cosine { floor: 0.0 } => write!(f, "cosine"),
            Self::Cosine { floor } => write!(f, "cosine:{floor}"),
        }
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let words: Vec<&str> = text.split(':').collect();
        let schedule = match words[..] {
            ["constant"] => Some(Self::Constant),
            ["step", epochs, factor] => epochs
                .parse()
                .ok()
                .zip(factor.parse().ok())
                .map(|(every_epochs, factor)| Self::Step { every_epochs, factor }),
            ["cosine"] => Some(Self::default()),
            ["cosine", floor] => floor.parse().ok().map(|floor| Self::Cosine { floor }),
            _ => None,
        };
        schedule.filter(|schedule| schedule.is_sane()).ok_or_else(|| Error::Schedule { text: text.into() })
    }
}

impl TryFrom<String> for Schedule {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}

/// The learning rate of every step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearningRate {
    /// The rate of the first step.
    pub base: f32,
    pub schedule: Schedule,
}

impl LearningRate {
    /// Checks values that did not come through a parser.
    ///
    /// # Errors
    /// A base rate that is not a positive finite number, or a schedule out of range.
    pub fn check(&self) -> Result<(), Error> {
        if !(self.base > 0.0 && self.base.is_finite()) {
            return Err(Error::LearningRate { rate: self.base });
        }
        if !self.schedule.is_sane() {
            return Err(Error::Schedule { text: self.schedule.to_string() });
        }
        Ok(())
    }

    /// The rate that takes the run from `step` steps done to `step + 1`, of `total_steps` in all.
    /// From `total_steps` on, a cosine stays at its floor.
    pub fn rate(&self, step: u64, total_steps: u64, steps_per_epoch: u64) -> f32 {
        let factor = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Step { every_epochs, factor } => {
                let epochs_done = step / steps_per_epoch.max(1);
                factor.powf((epochs_done / u64::from(every_epochs.max(1))) as f64)
            }
            Schedule::Cosine { floor } => {
                let done = step.min(total_steps) as f64 / total_steps.max(1) as f64;
                floor + (1.0 - floor) * 0.5 * (1.0 + (PI * done).cos())
            }
        };
        (f64::from(self.base) * factor) as f32
    }
}

/// λ, the weight of the verification signal beside the identification signal's 1 (DeepID2 §2).
///
/// It weighs the mean verification loss of a pair against the mean identification loss of a picture. Algorithm 1 of the
/// paper adds the losses of both pictures of a pair and λ times that of the pair: its λ is twice this one.
/// Written `0.05`, or `inf` for no identification signal.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Lambda(f64);

impl Lambda {
    /// Verification alone.
    pub const INFINITE: Self = Self(f64::INFINITY);

    /// λ = `value`, which may be infinite.
    ///
    /// # Errors
    /// A negative value or NaN.
    pub fn new(value: f64) -> Result<Self, Error> {
        if value >= 0.0 { Ok(Self(value)) } else { Err(Error::Lambda { text: value.to_string() }) }
    }

    /// The number, infinity included.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl Default for Lambda {
    /// The paper's best (DeepID2 §4.1).
    fn default() -> Self {
        Self(0.05)
    }
}

impl fmt::Display for Lambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Lambda {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Lambda { text: text.into() };
        text.parse().ok().and_then(|value| Self::new(value).ok()).ok_or_else(refused)
    }
}

/// λ in a file: a number, or the text `inf`, because JSON has no infinity.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum LambdaInFile {
    Whole(u64),
    Number(f64),
    Text(String),
}

impl Serialize for Lambda {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let in_file =
            if self.0.is_finite() { LambdaInFile::Number(self.0) } else { LambdaInFile::Text(self.to_string()) };
        in_file.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Lambda {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match LambdaInFile::deserialize(deserializer)? {
            LambdaInFile::Whole(value) => Self::new(value as f64),
            LambdaInFile::Number(value) => Self::new(value),
            LambdaInFile::Text(text) => text.parse(),
        }
        .map_err(serde::de::Error::custom)
    }
}

/// Factors of the two losses in the sum that a step descends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignalWeights {
    pub identification: f32,
    pub verification: f32,
}

/// The weights of the two signals: identification alone at first, so that the features mean
/// something before pairs of them are pulled together, then both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationWeight {
    pub lambda: Lambda,
    /// Share of all steps that train identification alone, in [0, 1). Without effect where λ is
    /// infinite.
    pub warm_up: f64,
}

impl Default for VerificationWeight {
    fn default() -> Self {
        Self { lambda: Lambda::default(), warm_up: 0.1 }
    }
}

impl VerificationWeight {
    /// Checks values that did not come through a parser.
    ///
    /// # Errors
    /// A warm-up outside [0, 1).
    pub fn check(&self) -> Result<(), Error> {
        if (0.0..1.0).contains(&self.warm_up) { Ok(()) } else { Err(Error::WarmUp { fraction: self.warm_up }) }
    }

    /// Steps that train identification alone, of `total_steps` in all.
    pub fn warm_up_steps(&self, total_steps: u64) -> u64 {
        if self.lambda.0.is_infinite() {
            return 0;
        }
        (self.warm_up * total_steps as f64).round() as u64
    }

    /// The weights of the step that follows `step` steps done, of `total_steps` in all: (1, 0)
    /// in the warm-up, (1, λ) afterwards, and (0, 1) throughout where λ is infinite.
    pub fn at(&self, step: u64, total_steps: u64) -> SignalWeights {
        if self.lambda.0.is_infinite() {
            SignalWeights { identification: 0.0, verification: 1.0 }
        } else if step < self.warm_up_steps(total_steps) {
            SignalWeights { identification: 1.0, verification: 0.0 }
        } else {
            SignalWeights { identification: 1.0, verification: self.lambda.0 as f32 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn rates(schedule: &str, steps: [u64; 5]) -> [f32; 5] {
        let rate = LearningRate { base: 0.1, schedule: schedule.parse().unwrap() };
        rate.check().unwrap();
        steps.map(|step| rate.rate(step, 1000, 50))
    }

    #[test]
    fn constant_and_step_rates() {
        assert_eq!(rates("constant", [0, 1, 500, 999, 2000]), [0.1; 5]);
        assert_eq!(rates("step:2:0.1", [0, 99, 100, 199, 200]), [0.1, 0.1, 0.01, 0.01, 0.001]);
    }

    #[test]
    fn cosine_rates_start_at_the_base_and_end_at_the_floor() {
        let half = std::f32::consts::FRAC_1_SQRT_2;
        let expected = [0.1, 0.05 * (1.0 + half), 0.05, 0.05 * (1.0 - half), 0.0];
        for (found, expected) in rates("cosine", [0, 250, 500, 750, 1000]).iter().zip(expected) {
            assert_relative_eq!(*found, expected, max_relative = 1e-6);
        }
        let to_a_floor = rates("cosine:0.2", [0, 500, 1000, 1001, 9999]);
        assert_relative_eq!(to_a_floor[..], [0.1, 0.06, 0.02, 0.02, 0.02][..], max_relative = 1e-6);
        let all: Vec<f32> =
            (0..1000).map(|s| LearningRate { base: 1.0, schedule: Schedule::default() }.rate(s, 1000, 50)).collect();
        assert!(all.windows(2).all(|w| w[0] > w[1]) && all[999] > 0.0);
    }

    #[test]
    fn runs_of_no_steps_do_not_divide_by_zero() {
        for schedule in ["constant", "step:1:0.5", "cosine"] {
            let rate = LearningRate { base: 0.1, schedule: schedule.parse().unwrap() };
            assert_eq!(rate.rate(0, 0, 0), 0.1);
        }
    }

    #[test]
    fn signals_follow_the_warm_up() {
        let both = |weight: &VerificationWeight, step, total| {
            let SignalWeights { identification, verification } = weight.at(step, total);
            (identification, verification)
        };
        let weight = VerificationWeight::default();
        assert_eq!(both(&weight, 0, 1000), (1.0, 0.0));
        assert_eq!(both(&weight, 99, 1000), (1.0, 0.0));
        assert_eq!(both(&weight, 100, 1000), (1.0, 0.05));
        assert_eq!(both(&weight, 999, 1000), (1.0, 0.05));
        // 0.29 · 100 is 28.999999999999996 in f64.
        assert_eq!(VerificationWeight { warm_up: 0.29, ..weight }.warm_up_steps(100), 29);
        assert_eq!(both(&VerificationWeight { warm_up: 0.0, ..weight }, 0, 1000), (1.0, 0.05));

        let alone = VerificationWeight { lambda: Lambda::INFINITE, warm_up: 0.5 };
        assert_eq!(alone.warm_up_steps(1000), 0);
        assert_eq!(both(&alone, 0, 1000), (0.0, 1.0));
        assert_eq!(both(&alone, 999, 1000), (0.0, 1.0));
        let never = VerificationWeight { lambda: Lambda::new(0.0).unwrap(), warm_up: 0.1 };
        assert_eq!(both(&never, 999, 1000), (1.0, 0.0));
    }

    #[test]
    fn text_round_trips() {
        for text in ["constant", "step:10:0.1", "cosine", "cosine:0.01"] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        for text in ["0.05", "0", "inf", "1", "12.5"] {
            assert_eq!(text.parse::<Lambda>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn toml_and_json_round_trip() {
        for lambda in ["0.05", "0", "inf", "3"] {
            let weight = VerificationWeight { lambda: lambda.parse().unwrap(), warm_up: 0.25 };
            assert_eq!(toml::from_str::<VerificationWeight>(&toml::to_string(&weight).unwrap()).unwrap(), weight);
            let json = serde_json::to_string(&weight).unwrap();
            assert_eq!(serde_json::from_str::<VerificationWeight>(&json).unwrap(), weight);
            let by_hand: VerificationWeight = toml::from_str(&format!("lambda = {lambda}\nwarm_up = 0.25")).unwrap();
            assert_eq!(by_hand, weight);
        }
        let rate = LearningRate { base: 0.03, schedule: Schedule::Step { every_epochs: 7, factor: 0.3 } };
        assert_eq!(toml::from_str::<LearningRate>(&toml::to_string(&rate).unwrap()).unwrap(), rate);
        let refused = toml::from_str::<VerificationWeight>("lambda = -1\nwarm_up = 0.1").unwrap_err().to_string();
        assert!(refused.contains("--lambda") || refused.contains("lambda"), "{refused}");
        let refused = toml::from_str::<LearningRate>("base = 0.1\nschedule = 'linear'").unwrap_err().to_string();
        assert!(refused.contains("--schedule `linear`"), "{refused}");
    }

    #[test]
    fn nonsense_is_refused_with_the_flag() {
        for text in ["", "step", "step:0:0.1", "step:1:0", "step:1:1.5", "step:1:nan", "cosine:-1", "cosine:2", "const"]
        {
            let error = text.parse::<Schedule>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("--schedule `{text}`")), "{error}");
        }
        for text in ["", "-1", "-inf", "nan", "much"] {
            let error = text.parse::<Lambda>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("--lambda `{text}`")), "{error}");
        }
        for base in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let error = LearningRate { base, schedule: Schedule::Constant }.check().unwrap_err().to_string();
            assert!(error.starts_with("--learning-rate"), "{error}");
        }
        let backwards = LearningRate { base: 0.1, schedule: Schedule::Step { every_epochs: 0, factor: 0.5 } };
        assert!(matches!(backwards.check(), Err(Error::Schedule { .. })));
        for warm_up in [-0.1, 1.0, f64::NAN] {
            let error = VerificationWeight { warm_up, ..Default::default() }.check().unwrap_err().to_string();
            assert!(error.starts_with("--warm-up"), "{error}");
        }
    }
}
