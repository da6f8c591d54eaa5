//! The `deepid2` binary.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    quieten_mesa();
    explain_failed_output();
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", cli::describe(&error));
            ExitCode::FAILURE
        }
    }
}

/// `println!` panics where standard output cannot be written, on a full disk for one. That is no fault of the program.
fn explain_failed_output() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        match text.strip_prefix("failed printing to stdout: ") {
            Some(reason) => {
                eprintln!("error: standard output cannot be written: {reason}");
                std::process::exit(1);
            }
            None => usual(panic),
        }
    }));
}

/// Without a desktop session, Mesa's device-selection layer looks for Wayland and prints an "error:" that is none.
/// Nothing here needs the layer: adapters are chosen by `--adapter`.
fn quieten_mesa() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the first statement of `main`; no other thread reads the environment yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
