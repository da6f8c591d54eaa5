//! `deepid2 bench report`: tables in Markdown from a folder of JSON results.

use super::record::{CompareRecord, KernelsRecord, Measured, Record, Stamp, StepRecord};
use anyhow::{Context, Result, bail};
use clap::Args;
use deepid2::bench::Ceilings;
use deepid2::files::atomic_write;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Dispatches below this share of a step are summed up in one row.
const LEAST_SHARE: f64 = 0.02;

const HEAD: &str = "\
# Results

Made from the JSON files in `benches/results/` by `deepid2 bench report benches/results --out benches/RESULTS.md`; their
fields are described in `src/cli/bench/record.rs`. Speeds on a shared machine vary from minute to minute: ratios were
measured round by round, the engine and the peer in turn, and mean more than any speed.
";

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder of .json files, as `deepid2 bench … --json` prints them
    folder: PathBuf,
    /// File to write instead of the standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Reads every result and writes the tables.
pub fn run(args: &ReportArgs) -> Result<ExitCode> {
    let text = tables(&read(&args.folder)?)?;
    match &args.out {
        Some(path) => atomic_write(path, text.as_bytes())?,
        None => print!("{text}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// All results below `folder`, in the order of file names.
fn read(folder: &Path) -> Result<Vec<Record>> {
    let listing = std::fs::read_dir(folder).with_context(|| format!("{}: cannot be listed", folder.display()))?;
    let mut paths = listing.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    if paths.is_empty() {
        bail!("{}: no .json files; write some with `deepid2 bench … --json > FILE`", folder.display());
    }
    let mut records = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        for record in serde_json::Deserializer::from_str(&text).into_iter() {
            records.push(
                record.with_context(|| {
                    format!("{}: not a result as `deepid2 bench … --json` prints it", path.display())
                })?,
            );
        }
    }
    Ok(records)
}

/// The document: a part for each day and machine, the newest first.
fn tables(records: &[Record]) -> Result<String> {
    let mut stamps: Vec<&Stamp> = Vec::new();
    for record in records {
        if !stamps.contains(&&record.stamp) {
            stamps.push(&record.stamp);
        }
    }
    stamps.sort_by(|a, b| b.date.cmp(&a.date));
    let mut text = HEAD.to_string();
    for stamp in stamps {
        let here = || records.iter().filter(|record| record.stamp == *stamp).map(|record| &record.result);
        writeln!(text, "\n## {}: {}\n\nDriver: {}. Host: {}.", stamp.date, stamp.adapter, stamp.driver, stamp.machine)?;
        let steps: Vec<&StepRecord> =
            here().filter_map(|m| if let Measured::Step(r) = m { Some(r) } else { None }).collect();
        let compared: Vec<&CompareRecord> =
            here().filter_map(|m| if let Measured::Compare(r) = m { Some(r) } else { None }).collect();
        for result in here() {
            if let Measured::Ceiling(Ceilings { gflops, gbytes, .. }) = result {
                writeln!(text, "\nCeilings: {gflops:.1} GFLOP/s (multiply-add loop), {gbytes:.2} GB/s (copy loop).")?;
            }
        }
        compare_table(&mut text, &compared)?;
        step_table(&mut text, &steps)?;
        for step in steps.iter().filter(|step| !step.kernels.is_empty()) {
            step_kernels(&mut text, step)?;
        }
        for result in here() {
            if let Measured::Kernels(kernels) = result {
                single_kernels(&mut text, kernels)?;
            }
        }
    }
    Ok(text)
}

fn compare_table(text: &mut String, compared: &[&CompareRecord]) -> Result<()> {
    if compared.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "\n### Beside others\n\nMedians of the rounds; the ratio is engine over peer, with its least and most.\n"
    )?;
    writeln!(
        text,
        "| peer | work | rounds | engine, images/s | peer, images/s | ratio | memory an image, engine : peer |"
    )?;
    writeln!(text, "|---|---|---:|---:|---:|---:|---:|")?;
    for record in compared {
        let middle = |of: fn(&super::record::Round) -> f64| {
            super::record::Spread::of(record.rounds.iter().map(of).collect()).map_or(f64::NAN, |spread| spread.median)
        };
        let work = record.work.describe();
        match record.ratio() {
            Some(ratio) => {
                let memory = record.peer_saved_bytes_an_image().map_or("not told".into(), |theirs| {
                    let ours = record.activation_bytes_an_image as f64;
                    format!("{:.0} : {:.0} KB = {:.2}", ours / 1e3, theirs / 1e3, ours / theirs)
                });
                writeln!(
                    text,
                    "| {} | {work} | {} | {:.0} | {:.0} | {:.2} [{:.2}, {:.2}] | {memory} |",
                    record.peer,
                    record.rounds.len(),
                    middle(|round| round.engine),
                    middle(|round| round.peer),
                    ratio.median,
                    ratio.least,
                    ratio.most
                )?;
            }
            None => {
                let failure = record.failure.as_deref().unwrap_or("no rounds").replace('|', "\\|");
                writeln!(text, "| {} | {work} | 0 | | | no result: {failure} | |", record.peer)?;
            }
        }
    }
    Ok(())
}

fn step_table(text: &mut String, steps: &[&StepRecord]) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n### Steps\n")?;
    writeln!(
        text,
        "| work | images/s, median (best) | host: upload and encode, ms a step | inside submission | waiting for results | device idle | peak memory, MB | activations an image, KB |"
    )?;
    writeln!(text, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
    for step in steps {
        let idle = step.device_idle_share.map_or("unknown".into(), |share| format!("{:.2} %", 100.0 * share));
        writeln!(
            text,
            "| {} | {:.0} ({:.0}) | {:.2} | {:.2} | {:.2} | {idle} | {:.1} | {:.0} |",
            step.work.describe(),
            step.images_per_s_median,
            step.images_per_s_best,
            step.host_ms_a_step,
            step.submitting_ms_a_step,
            step.waiting_ms_a_step,
            step.bytes.total() as f64 / 1e6,
            step.bytes.activations as f64 / 1e3 / step.work.images() as f64
        )?;
    }
    Ok(())
}

fn step_kernels(text: &mut String, step: &StepRecord) -> Result<()> {
    let total: f64 = step.kernels.iter().map(|kernel| kernel.milliseconds).sum();
    let mut sorted: Vec<_> = step.kernels.iter().collect();
    sorted.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    writeln!(text, "\n### Dispatches: {}\n", step.work.describe())?;
    writeln!(text, "| operation, result (kernel:entry) | ms | share | GFLOP/s | GB/s | of the ceiling |")?;
    writeln!(text, "|---|---:|---:|---:|---:|---|")?;
    let (shown, rest): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|kernel| kernel.milliseconds >= LEAST_SHARE * total);
    for kernel in shown {
        let ceiling = step.ceilings.as_ref().map(|ceilings| kernel.share_of(ceilings)).unwrap_or_default();
        writeln!(
            text,
            "| {} | {:.3} | {:.1} % | {:.1} | {:.2} | {ceiling} |",
            kernel.kernel,
            kernel.milliseconds,
            100.0 * kernel.milliseconds / total,
            kernel.gflops(),
            kernel.gbytes()
        )?;
    }
    let left: f64 = rest.iter().map(|kernel| kernel.milliseconds).sum();
    writeln!(text, "| {} more | {left:.3} | {:.1} % | | | |", rest.len(), 100.0 * left / total)?;
    writeln!(text, "| all | {total:.3} | | | | |")?;
    Ok(())
}

fn single_kernels(text: &mut String, kernels: &KernelsRecord) -> Result<()> {
    writeln!(text, "\n### Operations by themselves\n")?;
    writeln!(text, "| network | operation, result (kernel:entry) | ms | GFLOP/s | GB/s | of the ceiling |")?;
    writeln!(text, "|---|---|---:|---:|---:|---|")?;
    for row in &kernels.rows {
        let kernel = &row.kernel;
        let ceiling = kernels.ceilings.as_ref().map(|ceilings| kernel.share_of(ceilings)).unwrap_or_default();
        writeln!(
            text,
            "| {} | {} | {:.3} | {:.1} | {:.2} | {ceiling} |",
            row.network,
            kernel.kernel,
            kernel.milliseconds,
            kernel.gflops(),
            kernel.gbytes()
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::record::{Bytes, KernelRecord, Round, Work};
    use super::*;

    fn stamp(date: &str) -> Stamp {
        Stamp { date: date.into(), machine: "a box".into(), adapter: "a card".into(), driver: "a driver".into() }
    }

    fn step() -> StepRecord {
        StepRecord {
            work: Work { batch: 10, identities: 7, forward_only: false, nets: 1 },
            images_per_s_median: 100.0,
            images_per_s_best: 120.0,
            compile_seconds: 1.0,
            dispatches: 2,
            slices: 1,
            host_ms_a_step: 0.5,
            submitting_ms_a_step: 1.5,
            waiting_ms_a_step: 2.0,
            device_idle_share: Some(0.001),
            bytes: Bytes { parameters: 1, activations: 20_000, staging: 3 },
            ceilings: Some(Ceilings { gflops: 10.0, chains: 4, gbytes: 1.0 }),
            kernels: vec![
                KernelRecord { kernel: "big".into(), milliseconds: 10.0, flops: 50_000_000, bytes: 0 },
                KernelRecord { kernel: "small".into(), milliseconds: 0.1, flops: 0, bytes: 0 },
            ],
        }
    }

    fn compare() -> CompareRecord {
        CompareRecord {
            work: Work { batch: 10, identities: 7, forward_only: false, nets: 1 },
            peer: "other 1.0".into(),
            command: "other --go".into(),
            peer_says: Some(serde_json::json!({ "saved_activation_bytes": 80_000 })),
            rounds: vec![Round { engine: 100.0, peer: 50.0 }, Round { engine: 90.0, peer: 90.0 }],
            activation_bytes_an_image: 2000,
            failure: None,
        }
    }

    #[test]
    fn results_read_back_as_they_were_printed() {
        let folder = tempfile::tempdir().unwrap();
        let records = [
            Record { stamp: stamp("2026-01-02"), result: Measured::Step(step()) },
            Record { stamp: stamp("2026-01-02"), result: Measured::Compare(compare()) },
        ];
        let lines: Vec<String> = records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        std::fs::write(folder.path().join("a.json"), lines.join("\n")).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not a result").unwrap();
        let read = read(folder.path()).unwrap();
        let again: Vec<String> = read.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        assert_eq!(again, lines);

        std::fs::write(folder.path().join("b.json"), "{\"kind\": \"nonsense\"}").unwrap();
        let message = format!("{:#}", super::read(folder.path()).unwrap_err());
        assert!(message.contains("b.json"), "{message}");
    }

    #[test]
    fn tables_hold_what_the_results_say() {
        let failed = CompareRecord {
            peer: "crasher".into(),
            peer_says: None,
            rounds: vec![],
            failure: Some("signal 11".into()),
            ..compare()
        };
        let text = tables(&[
            Record { stamp: stamp("2026-01-02"), result: Measured::Step(step()) },
            Record { stamp: stamp("2026-01-03"), result: Measured::Compare(compare()) },
            Record { stamp: stamp("2026-01-03"), result: Measured::Compare(failed) },
        ])
        .unwrap();
        for expected in [
            "## 2026-01-02: a card",
            "Driver: a driver. Host: a box.",
            "| other 1.0 | training, batch 10, 7 identities | 2 | 95 | 70 | 1.50 [1.00, 2.00] | 2 : 8 KB = 0.25 |",
            "| crasher | training, batch 10, 7 identities | 0 | | | no result: signal 11 | |",
            "| training, batch 10, 7 identities | 100 (120) | 0.50 | 1.50 | 2.00 | 0.10 % | 0.0 | 2 |",
            "| big | 10.000 | 99.0 % | 5.0 | 0.00 | 50 % arithmetic |",
            "| 1 more | 0.100 | 1.0 % | | | |",
        ] {
            assert!(text.contains(expected), "{expected}\nis missing from\n{text}");
        }
        assert!(text.find("2026-01-03") < text.find("2026-01-02"), "the newest day comes first");
    }
}
