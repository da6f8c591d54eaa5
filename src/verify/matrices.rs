//! Fitted models as named matrices of f64: what a model file keeps of them.

/// A matrix with the name under which a model file keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedMatrix {
    pub name: &'static str,
    pub rows: usize,
    pub columns: usize,
    /// Row-major: `rows` × `columns`.
    pub values: Vec<f64>,
}

/// Why matrices are no model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no matrix `{name}` among {present:?}; the model file is damaged or of another kind, use another")]
    Missing { name: &'static str, present: Vec<&'static str> },
    #[error(
        "matrix `{name}`: expected {expected}, found {rows}×{columns} with {values} values; the model file is damaged, use another"
    )]
    Shape { name: &'static str, expected: String, rows: usize, columns: usize, values: usize },
    #[error("matrix `{name}`: value {at} is not a finite number; the model file is damaged, use another")]
    NotFinite { name: &'static str, at: usize },
}

/// The matrix `name`, complete and finite. `rows` and `columns` are checked where they are given.
///
/// # Errors
/// No such matrix, another shape, or a value that is not finite.
pub fn find<'a>(
    matrices: &'a [NamedMatrix],
    name: &'static str,
    rows: Option<usize>,
    columns: Option<usize>,
) -> Result<&'a NamedMatrix, Error> {
    let missing = || Error::Missing { name, present: matrices.iter().map(|matrix| matrix.name).collect() };
    let found = matrices.iter().find(|matrix| matrix.name == name).ok_or_else(missing)?;
    let fits = rows.is_none_or(|rows| rows == found.rows)
        && columns.is_none_or(|columns| columns == found.columns)
        && found.rows.checked_mul(found.columns) == Some(found.values.len())
        && !found.values.is_empty();
    if !fits {
        let side = |side: Option<usize>| side.map_or("any".to_owned(), |side| side.to_string());
        return Err(Error::Shape {
            name,
            expected: format!("{}×{}", side(rows), side(columns)),
            rows: found.rows,
            columns: found.columns,
            values: found.values.len(),
        });
    }
    match found.values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::NotFinite { name, at }),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_that_are_no_model_are_refused() {
        let matrix = |values: Vec<f64>| NamedMatrix { name: "mean", rows: 1, columns: 2, values };
        assert!(find(&[matrix(vec![1.0, 2.0])], "mean", Some(1), None).is_ok());
        let refused = |values, name, columns| find(&[matrix(values)], name, None, columns).unwrap_err().to_string();
        assert!(refused(vec![1.0, 2.0], "s_mu", None).contains("no matrix `s_mu` among [\"mean\"]"));
        assert!(refused(vec![1.0, 2.0], "mean", Some(3)).contains("expected any×3, found 1×2 with 2 values"));
        assert!(refused(vec![1.0], "mean", None).contains("1 values"));
        assert!(refused(vec![1.0, f64::NAN], "mean", None).contains("value 1 is not a finite"));
    }
}
