//! Networks trained by several processes of this program, each with a share of the processor's cores.
//!
//! A software driver divides every dispatch among its threads, and most dispatches of a small network are too short for
//! that to pay: on two cores, two processes of one thread trained small patches 1.2 to 1.65 times as fast as one process of
//! two (`benches/NOTES.md`). A process takes one group of networks after another, so that none waits for a slower one, and
//! each network becomes, to the bit, what it becomes without processes.
//!
//! A process is `deepid2 train-worker`. It reads [`Request`]s from standard input, and answers each with a [`Reply`] on
//! standard output, both JSON, a line each. Where its standard input ends while it trains, the process that started it is
//! gone, and it ends at once too, as if both had been killed.

use super::Error;
use super::listener::Listener;
use super::patch_nets::Finished;
use crate::gpu::{Gpu, lavapipe};
use crate::train::folder::names;
use crate::train::metrics::{self, Record, StepReport};
use crate::train::{Member, Session};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// The subcommand that trains for another process.
pub const WORKER: &str = "train-worker";

/// The number of threads that prepare batches.
const HOST_THREADS: &str = "RAYON_NUM_THREADS";

/// How often an interruption is looked for.
const POLL: Duration = Duration::from_millis(50);
/// How often progress is looked for, in the records of the runs.
const LOOK: Duration = Duration::from_secs(2);

/// What a process is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Train these networks at once, beside as many processes as there are.
    Train { members: Vec<Member>, processes: usize },
    /// Save, and answer.
    Stop,
}

/// What it answers to [`Request::Train`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The networks that are trained to the end: fewer than were asked for after an interruption.
    Finished(Vec<Finished>),
    /// Why they cannot be trained, in a line.
    Failed(String),
}

/// How processes are started, and how many.
#[derive(Debug, Clone)]
pub struct Processes {
    /// This program.
    pub program: PathBuf,
    /// Its options before the subcommand, which choose the adapter.
    pub options: Vec<OsString>,
    /// Processes; without it, as many as suit the adapter.
    pub count: Option<usize>,
}

impl Processes {
    /// How many train `groups` groups of networks: where the user does not say, one a core on lavapipe, unless its threads
    /// are set already, and one everywhere else.
    pub fn count(&self, gpu: &Gpu, groups: usize) -> usize {
        let chosen = self.count.unwrap_or_else(|| {
            let software = lavapipe::runs(gpu.info());
            if software && std::env::var_os(lavapipe::THREADS).is_none() { cores() } else { 1 }
        });
        chosen.clamp(1, groups.max(1))
    }

    /// Trains all `groups` in `count` processes; returns what is finished, which is less after an interruption.
    pub(super) fn train(
        &self,
        count: usize,
        groups: &[Vec<Member>],
        session: &Session,
        listener: &dyn Listener,
    ) -> Result<Vec<Finished>, Error> {
        std::thread::scope(|scope| {
            let (sender, events) = channel();
            let mut workers = Vec::with_capacity(count);
            for number in 0..count {
                let (worker, replies) = self.start(count)?;
                let sender = sender.clone();
                scope.spawn(move || listen(number, replies, &sender));
                workers.push(worker);
            }
            let mut queue: VecDeque<&[Member]> = groups.iter().map(Vec::as_slice).collect();
            let mut tally = Tally::of(groups);
            let mut failed = None;
            let (mut interrupted, mut stopped) = (false, false);
            let mut looked = Instant::now();
            for worker in &mut workers {
                worker.give(queue.pop_front(), count);
            }
            while workers.iter().any(|worker| !worker.training.is_empty()) {
                match events.recv_timeout(POLL) {
                    Ok((number, Some(Reply::Finished(finished)))) => {
                        finished.iter().for_each(|finished| listener.say(&format!("  {finished}")));
                        // A process may be told to stop by others than this one.
                        interrupted |= finished.len() < workers[number].training.len();
                        tally.finished.extend(finished);
                        let next = if stopped || interrupted { None } else { queue.pop_front() };
                        workers[number].give(next, count);
                    }
                    Ok((number, Some(Reply::Failed(message)))) => {
                        failed.get_or_insert(Error::InProcess { message });
                        workers[number].give(None, count);
                    }
                    Ok((number, None)) => {
                        if let Some(error) = workers[number].ended() {
                            failed.get_or_insert(error);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => unreachable!("this thread holds a sender"),
                }
                interrupted |= session.interrupt.is_requested();
                if !stopped && (failed.is_some() || interrupted) {
                    stopped = true;
                    workers.iter_mut().for_each(Worker::stop);
                }
                if !session.quiet && !stopped && looked.elapsed() >= LOOK {
                    looked = Instant::now();
                    tally.show(&workers, listener);
                }
            }
            listener.state("");
            failed.map_or(Ok(tally.finished), Err)
        })
    }

    fn start(&self, count: usize) -> Result<(Worker<'static>, ChildStdout), Error> {
        let threads = (cores() / count).max(1).to_string();
        let mut command = Command::new(&self.program);
        command.args(&self.options).arg(WORKER).stdin(Stdio::piped()).stdout(Stdio::piped());
        for name in [lavapipe::THREADS, HOST_THREADS] {
            if std::env::var_os(name).is_none() {
                command.env(name, &threads);
            }
        }
        // Ctrl-C is this process' to answer.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child =
            command.spawn().map_err(|source| Error::StartProcess { program: self.program.clone(), source })?;
        let replies = child.stdout.take().expect("it is piped");
        let requests = child.stdin.take();
        Ok((Worker { child, requests, training: &[] }, replies))
    }
}

/// Cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Passes replies on, and `None` when there are no more.
fn listen(number: usize, replies: ChildStdout, events: &Sender<(usize, Option<Reply>)>) {
    let replies = BufReader::new(replies).lines().map_while(Result::ok);
    for reply in replies.map_while(|line| serde_json::from_str(&line).ok()) {
        // Nobody listens any more after an error.
        let _ = events.send((number, Some(reply)));
    }
    let _ = events.send((number, None));
}

/// A process, and what it trains.
struct Worker<'a> {
    child: Child,
    /// Taken away to end it.
    requests: Option<ChildStdin>,
    training: &'a [Member],
}

impl<'a> Worker<'a> {
    /// Gives it networks to train, or lets it end where there are none.
    fn give(&mut self, members: Option<&'a [Member]>, processes: usize) {
        self.training = members.unwrap_or_default();
        match members {
            Some(members) => self.send(&Request::Train { members: members.to_vec(), processes }),
            None => self.requests = None,
        }
    }

    /// Asks it to save and answer.
    fn stop(&mut self) {
        self.send(&Request::Stop);
    }

    fn send(&mut self, request: &Request) {
        let mut line = serde_json::to_vec(request).expect("settings and paths are text and numbers");
        line.push(b'\n');
        if let Some(requests) = &mut self.requests {
            // One that has ended is noticed by its replies.
            let _ = requests.write_all(&line);
        }
    }

    /// What is wrong with its having ended, if anything.
    fn ended(&mut self) -> Option<Error> {
        self.requests = None;
        let status = self.child.wait();
        let training = std::mem::take(&mut self.training);
        let name = |member: &Member| member.folder.display().to_string();
        (!training.is_empty()).then(|| Error::ProcessEnded {
            networks: training.iter().map(name).collect::<Vec<_>>().join(", "),
            how: status.map_or_else(|error| error.to_string(), |status| status.to_string()),
        })
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        // Ends it, whatever it does.
        self.requests = None;
        let _ = self.child.wait();
    }
}

/// How far all networks are.
struct Tally {
    epochs: u64,
    finished: Vec<Finished>,
    /// Epochs of a network.
    epochs_each: u64,
}

impl Tally {
    fn of(groups: &[Vec<Member>]) -> Self {
        let epochs_each = groups.iter().flatten().map(|member| member.config.epochs).max().unwrap_or_default();
        let networks = groups.iter().map(Vec::len).sum::<usize>() as u64;
        Self { epochs: networks * epochs_each, finished: Vec::new(), epochs_each }
    }

    fn show(&self, workers: &[Worker], listener: &dyn Listener) {
        let training = workers.iter().flat_map(|worker| worker.training);
        let reports: Vec<(&Member, StepReport)> =
            training.filter_map(|member| Some((member, latest(member)?))).collect();
        let describe = |(member, report): &(&Member, StepReport)| {
            let name = member.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            format!("{name} epoch {}/{}, loss {:.3}", report.epoch, self.epochs_each, report.total_loss)
        };
        let begun: u64 = reports.iter().map(|(_, report)| report.epoch.saturating_sub(1)).sum();
        let speed: f32 = reports.iter().map(|(_, report)| report.images_per_s).sum();
        let mut state = reports.iter().map(describe).collect::<Vec<_>>().join("; ");
        if !state.is_empty() {
            state.push_str(&format!("; {speed:.0} images/s in all"));
        }
        let done = self.finished.len() as u64 * self.epochs_each + begun;
        listener.progress(done as usize, self.epochs as usize);
        listener.state(&state);
    }
}

/// The latest record of a network's training. What cannot be read is no reason to stop, only to show nothing.
fn latest(member: &Member) -> Option<StepReport> {
    let records = metrics::read(&member.folder.join(names::METRICS)).ok()?;
    records.into_iter().rev().find_map(|record| match record {
        Record::Train(report) => Some(report),
        Record::Validation(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::TrainConfig;

    #[test]
    fn requests_and_replies_are_one_line_each_and_read_back() {
        let mut config = TrainConfig { data: "fa\nces".into(), ..TrainConfig::default() };
        config.take_patch(crate::face::patches::Patch::new(137).unwrap());
        config.verification.lambda = "inf".parse().unwrap();
        let member = Member { config, folder: "nets/patch-137".into(), resume: true };
        for request in [Request::Train { members: vec![member.clone(), member], processes: 3 }, Request::Stop] {
            let line = serde_json::to_string(&request).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        }
    }
}
