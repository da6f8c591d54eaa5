//! `deepid2 landmarks`.

mod draw;
mod eval;
mod train;

use super::detect;
use anyhow::Result;
use clap::{Args, Subcommand};
use deepid2::face::landmark_model::HeldOut;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct LandmarksArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a landmark model on pictures with .pts files
    Train(train::TrainArgs),
    /// Measure a landmark model on pictures with .pts files
    Eval(eval::EvalArgs),
    /// Paint the landmarks of a picture's faces
    Draw(draw::DrawArgs),
}

/// Runs a subcommand.
pub fn run(args: &LandmarksArgs) -> Result<ExitCode> {
    match &args.command {
        Command::Train(args) => train::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Draw(args) => draw::run(args),
    }
}

/// The errors of a model in a sentence.
fn describe(errors: &HeldOut) -> String {
    let HeldOut { pictures, detected, error_over_eye_corners, error_over_pupils, failures } = *errors;
    format!(
        "{pictures} pictures: mean error {:.2} % of the distance of the outer eye corners ({:.2} % of the pupils'), \
         {:.1} % of the faces beyond 10 %; the detector found {detected}",
        100.0 * error_over_eye_corners,
        100.0 * error_over_pupils,
        100.0 * failures
    )
}
