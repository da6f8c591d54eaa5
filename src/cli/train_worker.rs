//! `deepid2 train-worker`, which `train --patches` and `pipeline` start; see [`deepid2::pipeline::processes`].

use anyhow::Result;
use deepid2::gpu::Gpu;
use deepid2::pipeline::patch_nets::train_group;
use deepid2::pipeline::processes::{Reply, Request};
use deepid2::train::Session;
use deepid2::train::interrupt::{self, Interrupt};
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

/// Trains what standard input asks for, until it ends.
pub fn run(gpu: &Gpu) -> Result<ExitCode> {
    let interrupt = interrupt::installed()?;
    let busy = Arc::new(AtomicBool::new(false));
    let (sender, jobs) = channel();
    let reader = (interrupt.clone(), busy.clone());
    std::thread::spawn(move || read(&sender, &reader.0, &reader.1));
    for (members, processes) in jobs {
        let reply = match train_group(&Session { gpu, interrupt: &interrupt, quiet: true, processes }, &members) {
            Ok(finished) => Reply::Finished(finished),
            Err(error) => Reply::Failed(super::describe(&error.into())),
        };
        busy.store(false, Ordering::SeqCst);
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        let mut out = std::io::stdout();
        out.write_all(&line).and_then(|()| out.flush())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes requests; ends the process where it is told to go away in the middle of one.
fn read(jobs: &Sender<(Vec<deepid2::train::Member>, usize)>, interrupt: &Interrupt, busy: &AtomicBool) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(Request::Train { members, processes }) => {
                busy.store(true, Ordering::SeqCst);
                // Nobody takes jobs any more where the process is about to end.
                let _ = jobs.send((members, processes));
            }
            Ok(Request::Stop) => drop(interrupt.request()),
            Err(_) => break,
        }
    }
    if busy.load(Ordering::SeqCst) {
        interrupt::end_at_once();
    }
}
