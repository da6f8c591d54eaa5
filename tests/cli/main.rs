//! The `deepid2` binary as a user runs it, on small synthetic faces and a small network.
//!
//! | file | what it shows |
//! |---|---|
//! | `program.rs` | running the binary, and small data to run it on |
//! | `happy_path.rs` | every command does what the README says, and a run can be repeated to the byte |
//! | `resuming.rs` | interrupted and killed runs end as the uninterrupted one does |
//! | `nets.rs` | networks trained at once become what each becomes alone |
//! | `benchmarks.rs` | measurements print JSON, run peers in turn and become tables |
//! | `reports.rs` | `eval` writes a page, intervals, View 1 and DET curves, and refuses what they cannot be made from |
//! | `bad_input.rs` | pictures, folders, models and flags that cannot be used are explained in one line |
//! | `failing_runs.rs` | divergence, full disks and impossible folders leave earlier results alone |

mod bad_input;
mod benchmarks;
mod failing_runs;
mod happy_path;
mod nets;
mod program;
mod reports;
mod resuming;
