//! What a user watches while training runs: a bar on a terminal, plain lines elsewhere, nothing
//! with `--quiet`. All of it goes to standard error.

use super::metrics::StepReport;
use indicatif::{FormattedDuration, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time between plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Redraws of the bar a second: readable, and far cheaper than a step.
const REDRAWS_PER_SECOND: u8 = 5;

/// How much a run has to do; steps are counted as steps done.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// 0, or the step that a resumed run goes on from.
    pub first_step: u64,
    pub total_steps: u64,
    pub epochs: u64,
    /// Nets whose mean losses and summed speeds are shown.
    pub nets: usize,
}

/// Shows how a run goes.
pub struct Progress {
    extent: Extent,
    started: Instant,
    output: Output,
}

enum Output {
    Bar(ProgressBar),
    Lines(Lines),
    Quiet,
}

impl Progress {
    /// Nothing where `quiet`; otherwise a bar where standard error is a terminal that can draw one,
    /// and else a line every five seconds and at each new epoch.
    pub fn new(extent: Extent, quiet: bool) -> Self {
        let output = if quiet {
            Output::Quiet
        } else if io::stderr().is_terminal() {
            bar(extent, ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND))
        } else {
            Output::Lines(Lines::new(Box::new(io::stderr()), LINE_INTERVAL))
        };
        Self { extent, started: Instant::now(), output }
    }

    /// Shows the state after a step.
    pub fn step(&mut self, report: &StepReport) {
        match &mut self.output {
            Output::Bar(bar) => {
                bar.set_prefix(speed(report, self.extent));
                bar.set_message(describe(report, self.extent));
                bar.set_position(report.step);
            }
            Output::Lines(lines) => {
                let last = report.step >= self.extent.total_steps;
                let left = time_left(self.extent, report.step, self.started.elapsed());
                let text = || {
                    format!(
                        "step {}/{}  {}  {}  {} left",
                        report.step,
                        self.extent.total_steps,
                        describe(report, self.extent),
                        speed(report, self.extent),
                        FormattedDuration(left)
                    )
                };
                lines.step(report.epoch, last, text);
            }
            Output::Quiet => {}
        }
    }

    /// Shows a line of text beside the steps, such as where a checkpoint went.
    pub fn message(&mut self, text: &str) {
        match &mut self.output {
            Output::Bar(bar) => bar.println(text),
            Output::Lines(lines) => lines.line(text),
            Output::Quiet => {}
        }
    }

    /// Leaves the last state on the screen; what is printed next begins on a line of its own.
    pub fn finish(&mut self) {
        if let Output::Bar(bar) = &self.output {
            bar.abandon();
        }
    }
}

/// A bar, or lines where the terminal cannot draw one (`TERM=dumb`).
fn bar(extent: Extent, target: ProgressDrawTarget) -> Output {
    if target.is_hidden() {
        return Output::Lines(Lines::new(Box::new(io::stderr()), LINE_INTERVAL));
    }
    let template = "{wide_bar} {pos}/{len} steps, {prefix}, {eta_precise} left\n{wide_msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(extent.total_steps), target)
        .with_style(style)
        .with_position(extent.first_step)
        .with_finish(ProgressFinish::Abandon);
    // The steps before a resumption took no time of this run.
    bar.reset_eta();
    Output::Bar(bar)
}

/// The state after a step in less than the 80 columns of a narrow terminal.
fn describe(report: &StepReport, extent: Extent) -> String {
    let (of, margin) = match extent.nets {
        1 => (String::new(), format!("  margin {:.2}", report.margin)),
        nets => (format!("mean of {nets} nets: "), String::new()),
    };
    format!(
        "epoch {}/{}  {of}loss {:.3} (ident {:.3}, verif {:.3})  accuracy {:.1} %{margin}",
        report.epoch,
        extent.epochs,
        report.total_loss,
        report.identification_loss,
        report.verification_loss,
        100.0 * report.accuracy,
    )
}

fn speed(report: &StepReport, extent: Extent) -> String {
    let together = if extent.nets == 1 { "" } else { " in all" };
    format!("{:.0} images/s{together}", report.images_per_s)
}

/// Time for the remaining steps at the mean pace so far.
fn time_left(extent: Extent, step: u64, elapsed: Duration) -> Duration {
    let done = step.saturating_sub(extent.first_step).max(1);
    let left = extent.total_steps.saturating_sub(step);
    Duration::try_from_secs_f64(elapsed.as_secs_f64() / done as f64 * left as f64).unwrap_or(Duration::MAX)
}

/// Plain lines, few enough for a log.
struct Lines {
    out: Box<dyn Write + Send>,
    interval: Duration,
    /// When the last line of a step was printed, and its epoch.
    last: Option<(Instant, u64)>,
}

impl Lines {
    fn new(out: Box<dyn Write + Send>, interval: Duration) -> Self {
        Self { out, interval, last: None }
    }

    fn step(&mut self, epoch: u64, last: bool, text: impl FnOnce() -> String) {
        let due = last || self.last.is_none_or(|(at, before)| epoch != before || at.elapsed() >= self.interval);
        if due {
            self.last = Some((Instant::now(), epoch));
            self.line(&text());
        }
    }

    fn line(&mut self, text: &str) {
        // A log that nobody reads any more is no reason to stop training.
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A writer that can be read while it is written to.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(String::from).collect()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const EXTENT: Extent = Extent { first_step: 0, total_steps: 30, epochs: 3, nets: 1 };

    fn report(step: u64) -> StepReport {
        StepReport {
            step,
            epoch: 1 + (step - 1) / 10,
            identification_loss: 3.25,
            verification_loss: 0.5,
            total_loss: 3.275,
            accuracy: 0.125,
            margin: 7.0,
            learning_rate: 0.01,
            images_per_s: 950.4,
            seconds: 1.0,
        }
    }

    fn shown(interval: Duration, steps: impl Iterator<Item = u64>) -> Vec<String> {
        let out = Shared::default();
        let output = Output::Lines(Lines::new(Box::new(out.clone()), interval));
        let mut progress = Progress { extent: EXTENT, started: Instant::now(), output };
        steps.for_each(|step| progress.step(&report(step)));
        progress.message("saved");
        progress.finish();
        out.lines()
    }

    #[test]
    fn lines_come_at_new_epochs_and_at_the_end() {
        let lines = shown(Duration::MAX, 1..=30);
        let starts = ["step 1/30 ", "step 11/30 ", "step 21/30 ", "step 30/30 ", "saved"];
        assert_eq!(lines.len(), starts.len(), "{lines:?}");
        for (line, start) in lines.iter().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
        let parts = "epoch 2/3  loss 3.275 (ident 3.250, verif 0.500)  accuracy 12.5 %  margin 7.00  950 images/s";
        assert!(lines[1].contains(parts), "{}", lines[1]);
        assert!(lines[3].ends_with("00:00:00 left"), "{}", lines[3]);
    }

    #[test]
    fn of_several_nets_means_and_the_speed_of_all_are_shown() {
        let other = StepReport { total_loss: 1.275, accuracy: 0.375, images_per_s: 49.6, step: 14, ..report(15) };
        let both = StepReport::of_all(&[report(15), other]).unwrap();
        assert_eq!((both.step, both.learning_rate), (14, report(15).learning_rate));
        let extent = Extent { nets: 2, ..EXTENT };
        let line = format!("{}  {}", describe(&both, extent), speed(&both, extent));
        let expected =
            "epoch 2/3  mean of 2 nets: loss 2.275 (ident 3.250, verif 0.500)  accuracy 25.0 %  1000 images/s in all";
        assert_eq!(line, expected);
        assert_eq!(StepReport::of_all(&[report(7)]), Some(report(7)));
        assert_eq!(StepReport::of_all(&[]), None);
    }

    #[test]
    fn lines_come_when_their_time_has_come() {
        assert_eq!(shown(Duration::ZERO, 2..=9).len(), 9);
    }

    #[test]
    fn time_left_counts_the_steps_of_this_run() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(EXTENT, 10, minute), 2 * minute);
        let resumed = Extent { first_step: 20, ..EXTENT };
        assert_eq!(time_left(resumed, 25, minute), minute);
        assert_eq!(time_left(resumed, 20, Duration::ZERO), Duration::ZERO);
        assert_eq!(time_left(EXTENT, 31, minute), Duration::ZERO);
    }

    #[test]
    fn a_closed_log_does_not_stop_training() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut lines = Lines::new(Box::new(Closed), Duration::ZERO);
        lines.step(1, false, || "text".into());
        assert!(lines.last.is_some());
    }

    /// A terminal that keeps what is drawn on it.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl indicatif::TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(&format!("{text}\n"))
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_shows_the_steps_the_losses_and_the_messages() {
        let screen = Screen::default();
        let extent = Extent { first_step: 4, ..EXTENT };
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let mut progress = Progress { extent, started: Instant::now(), output: bar(extent, target) };
        assert!(matches!(progress.output, Output::Bar(_)));
        progress.step(&report(15));
        progress.message("checkpoint saved");
        progress.finish();
        let drawn = screen.0.lock().unwrap().clone();
        for part in ["15/30 steps, 950 images/s, ", " left", "epoch 2/3  loss 3.275", "margin 7.00", "checkpoint saved"]
        {
            assert!(drawn.contains(part), "{part} is missing from {drawn}");
        }
    }

    #[test]
    fn terminals_that_cannot_draw_get_lines() {
        assert!(matches!(bar(EXTENT, ProgressDrawTarget::hidden()), Output::Lines(_)));
        let mut quiet = Progress::new(EXTENT, true);
        quiet.step(&report(1));
        assert!(matches!(quiet.output, Output::Quiet));
    }
}
