//! Results as JSON: what `--json` prints and what `bench report` reads.
//!
//! A result is one object; a file holds one or more, one after another. Every object has the fields of [`Stamp`] and a
//! `kind` that names the rest: `step` ([`StepRecord`]), `kernels` ([`KernelsRecord`]), `ceiling` ([`Ceilings`]) or
//! `compare` ([`CompareRecord`]).

use deepid2::bench::{Ceilings, ceiling::rate};
use deepid2::gpu::Gpu;
use deepid2::tape::StepProfile;
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Where and when.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// What.
    #[serde(flatten)]
    pub result: Measured,
}

/// The kinds of results.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Measured {
    Step(StepRecord),
    Kernels(KernelsRecord),
    Ceiling(Ceilings),
    Compare(CompareRecord),
}

/// Where and when something was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Day, UTC.
    pub date: String,
    /// Processor and its threads.
    pub machine: String,
    /// Name of the GPU adapter.
    pub adapter: String,
    /// Its driver.
    pub driver: String,
}

/// Whole steps of one size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepRecord {
    #[serde(flatten)]
    pub work: Work,
    /// Median of the repeats.
    pub images_per_s_median: f64,
    /// Best of the repeats.
    pub images_per_s_best: f64,
    /// Time to record the step, compile its pipelines and allocate its memory.
    pub compile_seconds: f64,
    pub dispatches: usize,
    /// Parts that the batch ran in because the adapter does not take it whole.
    #[serde(default = "one")]
    pub slices: usize,
    /// Host time to fill the upload ring and encode a step.
    pub host_ms_a_step: f64,
    /// Time inside the submission call, a step; it may block while earlier work runs.
    pub submitting_ms_a_step: f64,
    /// Host time waiting for results, a step.
    pub waiting_ms_a_step: f64,
    /// Share of the time in which no submission was at work on the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_idle_share: Option<f64>,
    pub bytes: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceilings: Option<Ceilings>,
    /// Dispatches of one step, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<KernelRecord>,
}

fn one() -> usize {
    1
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub batch: usize,
    pub identities: usize,
    /// Extraction of DeepID2 vectors instead of training.
    #[serde(default)]
    pub forward_only: bool,
    /// Nets of one shape that are trained at once, each with its own batch.
    #[serde(default = "one")]
    pub nets: usize,
}

impl Work {
    /// Images of a step, of all nets.
    pub fn images(&self) -> usize {
        self.batch * self.nets
    }

    /// In words.
    pub fn describe(&self) -> String {
        if self.forward_only {
            format!("extraction, batch {}", self.batch)
        } else {
            let nets = if self.nets > 1 { format!("{} nets at once, ", self.nets) } else { String::new() };
            format!("training, {nets}batch {}, {} identities", self.batch, self.identities)
        }
    }
}

/// Device memory of a step.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Bytes {
    /// Parameters and momentum.
    pub parameters: u64,
    /// Activations and gradients, which share memory.
    pub activations: u64,
    /// Inputs, constants and rings.
    pub staging: u64,
}

impl Bytes {
    /// All of it: the peak, since nothing is allocated during a step.
    pub fn total(&self) -> u64 {
        self.parameters + self.activations + self.staging
    }
}

/// One dispatch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KernelRecord {
    /// Operation, shape of its result, file and entry point.
    pub kernel: String,
    pub milliseconds: f64,
    /// Floating-point operations; those of an operation of several dispatches are shared out by time.
    pub flops: u64,
    /// Bytes of the tensors it binds.
    pub bytes: u64,
}

impl From<&StepProfile> for KernelRecord {
    fn from(step: &StepProfile) -> Self {
        Self { kernel: step.label.clone(), milliseconds: step.milliseconds, flops: step.flops, bytes: step.bytes }
    }
}

impl KernelRecord {
    /// Thousand millions of operations a second.
    pub fn gflops(&self) -> f64 {
        rate(self.flops, self.milliseconds)
    }

    /// Thousand millions of bytes a second.
    pub fn gbytes(&self) -> f64 {
        rate(self.bytes, self.milliseconds)
    }

    /// `62 % arithmetic`: the share of the nearer ceiling, and which it is.
    pub fn share_of(&self, ceilings: &Ceilings) -> String {
        let (share, bound) = ceilings.fraction(self.flops, self.bytes, self.milliseconds);
        format!("{:.0} % {}", 100.0 * share, bound.name())
    }
}

/// Single operations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KernelsRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceilings: Option<Ceilings>,
    pub rows: Vec<KernelRow>,
}

/// One dispatch of a single operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KernelRow {
    /// The network and batch whose shapes it has.
    pub network: String,
    #[serde(flatten)]
    pub kernel: KernelRecord,
}

/// The engine in turn with a peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CompareRecord {
    #[serde(flatten)]
    pub work: Work,
    /// Name of the peer.
    pub peer: String,
    /// Its command.
    pub command: String,
    /// What the peer printed in its first round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_says: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<Round>,
    /// Activations and gradients of the engine, for one image.
    pub activation_bytes_an_image: u64,
    /// Why the peer gave no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Both speeds, measured one after the other.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Round {
    /// Images a second of the engine.
    pub engine: f64,
    /// Images a second of the peer.
    pub peer: f64,
}

impl Round {
    pub fn ratio(&self) -> f64 {
        self.engine / self.peer
    }
}

/// Middle, smallest and largest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// `None` of no numbers.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, least, most })
    }
}

impl CompareRecord {
    /// Speed of the engine over that of the peer.
    pub fn ratio(&self) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(Round::ratio).collect())
    }

    /// Bytes that the peer keeps from forward to backward for one image, where it says so.
    pub fn peer_saved_bytes_an_image(&self) -> Option<f64> {
        let saved = self.peer_says.as_ref()?.get("saved_activation_bytes")?.as_f64()?;
        Some(saved / self.work.batch as f64)
    }
}

impl Stamp {
    /// Of this machine, now.
    pub fn now(gpu: &Gpu) -> Self {
        let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        let info = gpu.info();
        Self { date: civil_date(days), machine: machine(), adapter: info.name.clone(), driver: driver(gpu) }
    }
}

/// The driver's own words, or its name where it has none.
fn driver(gpu: &Gpu) -> String {
    let info = gpu.info();
    let words = if info.driver_info.is_empty() { &info.driver } else { &info.driver_info };
    format!("{words} ({:?})", info.backend)
}

/// `AMD EPYC 7B13 (family 25, model 1), 2 threads`.
fn machine() -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| processor(&text));
    let model = model.unwrap_or_else(|| format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    format!("{model}, {threads} threads")
}

/// The first processor of `/proc/cpuinfo`. Virtual machines hide the end of its name, by which generations differ: family
/// and model tell them apart.
fn processor(cpuinfo: &str) -> Option<String> {
    let value_of = |key: &str| {
        let mut values = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        values.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
    };
    let name = value_of("model name")?;
    Some(match (value_of("cpu family"), value_of("model")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name.to_string(),
    })
}

/// Days since 1970-01-01 as `2026-11-24`: the Gregorian calendar in years that begin in March, where leap days come last.
fn civil_date(days: u64) -> String {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    // 0000-03-01 is 719,468 days before 1970-01-01.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / DAYS_IN_400_YEARS, shifted % DAYS_IN_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

impl Record {
    /// One line of JSON on the standard output.
    pub fn print(&self) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        for (days, date) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_781, "2026-11-24"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(civil_date(days), date);
        }
    }

    #[test]
    fn a_processor_is_told_by_name_family_and_model() {
        let x86 =
            "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel\t\t: 9\n";
        assert_eq!(processor(x86).as_deref(), Some("AMD EPYC (family 25, model 17)"));
        assert_eq!(processor("model name : Cortex\n").as_deref(), Some("Cortex"));
        assert_eq!(processor("CPU part : 0xd0c\n"), None);
    }

    #[test]
    fn spreads_have_a_middle() {
        assert_eq!(Spread::of(vec![]), None);
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of(vec![4.0, 1.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
    }
}
