//! `deepid2 bench compare`: the engine in turn with another program. Two programs on a shared machine can only be
//! compared round by round: its speed changes from minute to minute.

use super::record::{CompareRecord, Measured, Record, Round, Spread, Stamp, Work};
use super::step::{WARM_UP_STEPS, compile};
use anyhow::Result;
use clap::Args;
use deepid2::bench::Replay;
use deepid2::gpu::Gpu;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, ExitCode};

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Pictures a step of the engine
    #[arg(long, allow_negative_numbers = true, default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    batch: u32,
    /// Classes of the softmax
    #[arg(long, allow_negative_numbers = true, default_value_t = 8192)]
    identities: usize,
    /// Extract DeepID2 vectors instead of training
    #[arg(long)]
    forward_only: bool,
    /// Rounds: the engine, then the peer
    #[arg(long, allow_negative_numbers = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Repeats of the engine in one round, of which the median counts
    #[arg(long, allow_negative_numbers = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// Steps in one repeat
    #[arg(long, allow_negative_numbers = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    steps: u32,
    /// What to call the peer; by default, its own "peer" and "version"
    #[arg(long)]
    name: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Program and arguments of the peer, after `--`. The last line it prints is a JSON object with
    /// "images_per_s_median"
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the rounds. A peer that fails is reported, and the exit status says so.
pub fn run(args: &CompareArgs, gpu: &Gpu) -> Result<ExitCode> {
    let work =
        Work { batch: args.batch as usize, identities: args.identities, forward_only: args.forward_only, nets: 1 };
    let mut engine = compile(gpu, &work)?;
    engine.run(WARM_UP_STEPS)?;
    let mut record = CompareRecord {
        peer: args.name.clone().unwrap_or_else(|| file_name(&args.command[0])),
        command: args.command.join(" "),
        peer_says: None,
        rounds: Vec::new(),
        activation_bytes_an_image: engine.memory().activations / work.batch as u64,
        failure: None,
        work,
    };
    let stamp = Stamp::now(gpu);
    if !args.json {
        println!("{}, {}; {}", stamp.adapter, stamp.driver, stamp.machine);
        println!("{}, in turn with {}", record.work.describe(), record.command);
    }
    for round in 1..=args.rounds {
        let speed = engine_speed(&mut engine, args)?;
        match ask_peer(&args.command) {
            Ok((speed_of_peer, says)) => {
                let measured = Round { engine: speed, peer: speed_of_peer };
                if !args.json {
                    println!(
                        "round {round}: {speed:.0} images/s, peer {speed_of_peer:.0}, ratio {:.2}",
                        measured.ratio()
                    );
                }
                record.rounds.push(measured);
                if args.name.is_none() {
                    record.peer = name_of(&says).unwrap_or(record.peer);
                }
                record.peer_says.get_or_insert(says);
            }
            Err(failure) => {
                record.failure = Some(failure);
                break;
            }
        }
    }
    let failed = record.failure.clone();
    if args.json {
        Record { stamp, result: Measured::Compare(record) }.print()?;
    } else {
        print_result(&record);
    }
    if let Some(failure) = failed {
        eprintln!("error: the peer gave no result: {failure}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn engine_speed(engine: &mut Replay, args: &CompareArgs) -> Result<f64> {
    // The caches hold what the peer left there.
    engine.run(1)?;
    let speeds = (0..args.repeats).map(|_| Ok(engine.run(args.steps as usize)?.images_per_second()));
    Ok(Spread::of(speeds.collect::<Result<Vec<f64>>>()?).map_or(f64::NAN, |spread| spread.median))
}

fn print_result(record: &CompareRecord) {
    if let Some(ratio) = record.ratio() {
        println!("engine / {}: {:.2} [{:.2} … {:.2}]", record.peer, ratio.median, ratio.least, ratio.most);
    }
    let ours = record.activation_bytes_an_image as f64;
    if let Some(theirs) = record.peer_saved_bytes_an_image() {
        println!(
            "memory an image: activations and gradients {:.0} KB, what the peer saves for backward {:.0} KB, ratio {:.2}",
            ours / 1e3,
            theirs / 1e3,
            ours / theirs
        );
    }
}

/// Runs the peer: its median speed and all it says, or why there is none.
fn ask_peer(command: &[String]) -> Result<(f64, Value), String> {
    let output = Command::new(&command[0])
        .args(&command[1..])
        .output()
        .map_err(|error| format!("{} cannot be run ({error}); name a program that is installed", command[0]))?;
    let last_line = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        // The last line of a Rust program that panics is advice, not what went wrong.
        let says_something = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: ");
        text.lines().rev().find(says_something).map(str::trim).unwrap_or_default().to_string()
    };
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, last_line(&output.stderr)));
    }
    let line = last_line(&output.stdout);
    let says: Value = serde_json::from_str(&line).map_err(|error| {
        format!("its last line is not JSON ({error}): {line:?}; the peers under benches/peers show what it should be")
    })?;
    match says.get("images_per_s_median").and_then(Value::as_f64) {
        Some(speed) if speed > 0.0 => Ok((speed, says)),
        _ => Err(format!("its last line has no \"images_per_s_median\" above 0: {line:?}")),
    }
}

/// The program without its folder.
fn file_name(program: &str) -> String {
    Path::new(program).file_name().map_or_else(|| program.into(), |name| name.to_string_lossy().into_owned())
}

/// "peer" and "version" of what it says.
fn name_of(says: &Value) -> Option<String> {
    let text = |key| says.get(key).and_then(Value::as_str);
    Some(format!("{} {}", text("peer")?, text("version")?))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<(f64, Value), String> {
        ask_peer(&["sh".into(), "-c".into(), script.into()])
    }

    #[test]
    fn the_last_line_of_a_peer_is_its_result() {
        let line = r#"echo compiling; echo '{"peer": "p", "version": "1", "images_per_s_median": 12.5}'"#;
        let (speed, says) = shell(line).unwrap();
        assert_eq!((speed, name_of(&says).as_deref()), (12.5, Some("p 1")));
    }

    #[test]
    fn a_peer_that_fails_is_quoted() {
        let message = shell("echo started; echo first >&2; echo 'no such device' >&2; exit 3").unwrap_err();
        assert!(message.contains("no such device") && message.contains('3'), "{message}");
        let panic = "echo 'no shader' >&2; echo 'note: run with `RUST_BACKTRACE=1`' >&2; exit 101";
        assert!(shell(panic).unwrap_err().ends_with("no shader"));
        let message = shell("echo 7 images").unwrap_err();
        assert!(message.contains("not JSON") && message.contains("7 images"), "{message}");
        let message = shell(r#"echo '{"images_per_s_median": 0}'"#).unwrap_err();
        assert!(message.contains("images_per_s_median"), "{message}");
        let message = ask_peer(&["/no/such/program".into()]).unwrap_err();
        assert!(message.contains("/no/such/program"), "{message}");
    }
}
