//! Ctrl-C, and the signals that ask a process to end, stop a run between two steps, so that it can
//! save what it has. Asked twice, the process ends at once.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Exit status of a process that an interrupt ended: 128 + SIGINT, as shells report it.
pub const EXIT_STATUS: i32 = 130;

/// Why interrupts cannot be noticed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "Ctrl-C cannot be handled ({source}); in a program of your own, leave the handler to `installed` or pass `Interrupt::default()` instead"
    )]
    Handler { source: ctrlc::Error },
}

/// Whether a run is asked to stop. Clones share one answer.
///
/// The default one is connected to no signal: only [`request`](Self::request) sets it.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Whether to finish the step, save and return.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Asks for it; tells whether it had been asked for before.
    pub fn request(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }
}

/// Handles Ctrl-C, SIGTERM and SIGHUP from now on, and returns the flag that the first of them
/// sets; the second ends the process with [`EXIT_STATUS`]. Called again, returns the same flag.
///
/// Where SIGHUP was ignored, which is what `nohup` does, it stays ignored.
///
/// # Errors
/// The system refuses, or the program has a handler of its own through `ctrlc`.
pub fn installed() -> Result<Interrupt, Error> {
    static INSTALLED: Mutex<Option<Interrupt>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(interrupt) = &*installed {
        return Ok(interrupt.clone());
    }
    let interrupt = Interrupt::default();
    let handle = interrupt.clone();
    let set_handler = || ctrlc::set_handler(move || asked(&handle));
    keep_ignored_hang_up(set_handler).map_err(|source| Error::Handler { source })?;
    *installed = Some(interrupt.clone());
    Ok(interrupt)
}

fn asked(interrupt: &Interrupt) {
    if interrupt.request() {
        end_at_once();
    }
    // Standard error may be closed, after a hang-up for one. The empty line is for the progress bar,
    // which draws over the line above the cursor.
    let _ = io::stderr()
        .write_all(b"\nstopping after this step, then saving; press Ctrl-C again to end at once without saving\n\n");
}

/// Ends the process without the exit handlers of libraries: a graphics driver's would pull down
/// what its threads, and the training thread, are still using.
#[cfg(unix)]
pub fn end_at_once() -> ! {
    // SAFETY: `_exit` has no preconditions; it does not return and runs nothing of this process.
    unsafe { libc::_exit(EXIT_STATUS) }
}

#[cfg(not(unix))]
pub fn end_at_once() -> ! {
    std::process::exit(EXIT_STATUS)
}

/// Calls `set_handler`, which takes SIGHUP over, and gives it back where it was ignored.
#[cfg(unix)]
fn keep_ignored_hang_up<T>(set_handler: impl FnOnce() -> T) -> T {
    // SAFETY: `signal` with SIG_IGN installs no code of ours; the previous disposition is only
    // compared. Setting SIG_IGN is how it is read without a moment in which SIGHUP kills.
    let before = unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    let result = set_handler();
    if before == libc::SIG_IGN {
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    }
    result
}

#[cfg(not(unix))]
fn keep_ignored_hang_up<T>(set_handler: impl FnOnce() -> T) -> T {
    set_handler()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_request() {
        let interrupt = Interrupt::default();
        let clone = interrupt.clone();
        assert!(!clone.is_requested());
        assert!(!interrupt.request());
        assert!(clone.is_requested() && clone.request());
        assert!(!Interrupt::default().is_requested());
    }

    #[test]
    fn installing_twice_gives_the_same_flag() {
        let [a, b] = [installed().unwrap(), installed().unwrap()];
        assert!(Arc::ptr_eq(&a.0, &b.0));
    }

    /// Signals go to a whole process, so they are tested on a copy of this test program that runs
    /// this module's `child` alone.
    #[cfg(unix)]
    mod signals {
        use super::super::*;
        use std::io::{BufRead, BufReader};
        use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
        use std::time::Duration;

        const CHILD: &str = "DEEPID2_TEST_INTERRUPTED_CHILD";

        /// Not a test by itself: prints `ready`, waits to be asked to stop, prints `asked`, and waits
        /// to be ended.
        #[test]
        fn child() {
            if std::env::var_os(CHILD).is_none() {
                return;
            }
            let interrupt = installed().unwrap();
            println!("\nready");
            while !interrupt.is_requested() {
                std::thread::sleep(Duration::from_millis(5));
            }
            println!("\nasked");
            std::thread::sleep(Duration::from_secs(60));
        }

        struct Run {
            child: Child,
            lines: std::io::Lines<BufReader<ChildStdout>>,
        }

        impl Run {
            /// Starts the child through a shell that first runs `preparation`; waits until it is ready.
            fn start(preparation: &str) -> Self {
                let program = std::env::current_exe().unwrap();
                let mut child = Command::new("sh")
                    .arg("-c")
                    .arg(format!(
                        "{preparation} exec \"$0\" --exact train::interrupt::tests::signals::child --nocapture"
                    ))
                    .arg(program)
                    .env(CHILD, "1")
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                let lines = BufReader::new(child.stdout.take().unwrap()).lines();
                let mut run = Self { child, lines };
                run.wait_for("ready");
                run
            }

            fn wait_for(&mut self, word: &str) {
                assert!(self.lines.any(|line| line.unwrap() == word), "the child ended before it printed {word}");
            }

            fn send(&self, signal: &str) {
                let kill = format!("kill -{signal} {}", self.child.id());
                assert!(Command::new("sh").arg("-c").arg(kill).status().unwrap().success());
            }

            fn end(mut self) -> ExitStatus {
                self.child.wait().unwrap()
            }
        }

        #[test]
        fn the_first_signal_asks_and_the_second_ends() {
            for [first, second] in [["INT", "INT"], ["TERM", "INT"]] {
                let mut run = Run::start("");
                run.send(first);
                run.wait_for("asked");
                run.send(second);
                assert_eq!(run.end().code(), Some(EXIT_STATUS), "{first} then {second}");
            }
        }

        #[cfg(target_os = "linux")]
        #[test]
        fn an_ignored_hang_up_stays_ignored() {
            let run = Run::start("trap '' HUP;");
            let status = std::fs::read_to_string(format!("/proc/{}/status", run.child.id())).unwrap();
            let hang_up = |mask: &str| {
                let bits = status.lines().find_map(|line| line.strip_prefix(mask)).unwrap();
                u64::from_str_radix(bits.trim(), 16).unwrap() >> (libc::SIGHUP - 1) & 1
            };
            assert_eq!((hang_up("SigIgn:"), hang_up("SigCgt:")), (1, 0));
            run.send("KILL");
            run.end();
        }
    }
}
