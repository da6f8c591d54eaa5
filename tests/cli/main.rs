//! The `deepid2` binary as a user runs it, on small synthetic faces and a small network.
//!
//! | file | what it shows |
//! |---|---|
//! | `program.rs` | running the binary, and small data to run it on |
//! | `happy_path.rs` | every command does what the README says, and a run can be repeated to the byte |
//! | `resuming.rs` | interrupted and killed runs end as the uninterrupted one does |
//! | `aligning.rs` | photographs are aligned, patches listed and drawn, and networks trained on them |
//! | `nets.rs` | networks trained at once become what each becomes alone |
//! | `benchmarks.rs` | measurements print JSON, run peers in turn and become tables |
//! | `datasets.rs` | data sets of every form are opened and checked |
//! | `reports.rs` | `eval` writes a page, intervals, View 1 and DET curves, and refuses what they cannot be made from |
//! | `processes.rs` | networks trained by several processes become those of one, stopped, killed or failing |
//! | `pipeline.rs` | all stages from photographs to a bundle: made, stopped and gone on with, used, and refused |
//! | `bad_input.rs` | pictures, folders, models and flags that cannot be used are explained in one line |
//! | `faces.rs` | faces and landmarks are found, models of landmarks trained and measured, bad input explained |
//! | `failing_runs.rs` | divergence, full disks and impossible folders leave earlier results alone |

mod aligning;
mod bad_input;
mod benchmarks;
mod datasets;
mod faces;
mod failing_runs;
mod happy_path;
mod nets;
mod pipeline;
mod processes;
mod program;
mod reports;
mod resuming;
