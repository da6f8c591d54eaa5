//! The curves in a run's folder.

use super::Error;
use super::folder::names;
use super::metrics::{self, Record};
use super::validation::Validated;
use crate::report::{self, CurvePoint, FarAxis};
use crate::verify::roc::Roc;
use std::path::Path;

/// Draws the curve over all epochs in the records of the folder `run`, and the ROC of the last validation.
///
/// # Errors
/// Records that cannot be read, or plots that cannot be written.
pub(super) fn draw(run: &Path, steps_per_epoch: u64, validated: Option<&Validated>) -> Result<(), Error> {
    let records = metrics::read(&run.join(names::METRICS))?;
    let points: Vec<CurvePoint> = records.iter().map(|record| curve_point(record, steps_per_epoch)).collect();
    if !points.is_empty() {
        report::training_curve(&run.join(names::CURVE), &points)?;
    }
    if let Some(validated) = validated {
        let curves: [(String, Roc); 1] = [("held-out identities".into(), validated.trials.roc())];
        report::roc(&run.join(names::ROC), &curves, FarAxis::Linear)?;
    }
    Ok(())
}

fn curve_point(record: &Record, steps_per_epoch: u64) -> CurvePoint {
    let epoch = record.step() as f64 / steps_per_epoch.max(1) as f64;
    match record {
        Record::Train(step) => CurvePoint {
            epoch,
            ident: Some(step.identification_loss.into()),
            verif: Some(step.verification_loss.into()),
            validation_accuracy: None,
        },
        Record::Validation(validation) => {
            CurvePoint { epoch, ident: None, verif: None, validation_accuracy: Some(validation.accuracy.into()) }
        }
    }
}
