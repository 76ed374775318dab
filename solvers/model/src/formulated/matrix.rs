//! Matrix coefficients from formulas; multiples of the identity are recognised.

use super::field::FormulaField;
use super::scope::Scope;
use crate::diffusion::MatrixCoefficient;
use crate::error::ModelError;
use crate::field::VectorField;
use crate::points::{Points, PointsMut};
use std::sync::Arc;

/// A matrix as a user writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum MatrixFormula {
    /// A formula times the identity.
    Multiple(String),
    /// One formula for each entry, row by row.
    Rows(Vec<Vec<String>>),
}

impl Default for MatrixFormula {
    /// The identity.
    fn default() -> Self {
        MatrixFormula::Multiple("1".into())
    }
}

/// A compiled matrix.
pub(super) struct Matrix {
    columns: usize,
    /// Row by row; a single entry for a multiple of the identity.
    entries: Vec<FormulaField>,
    multiple: bool,
}

impl Matrix {
    /// Compile for the field `name`, with the given number of rows and, if it is known, of columns.
    pub fn new(scope: &Arc<Scope>, name: &str, formula: &MatrixFormula, rows: usize, columns: usize) -> Result<Self, ModelError> {
        match formula {
            MatrixFormula::Multiple(text) => {
                let entry = FormulaField::new(scope, name, text, false)?;
                Ok(Matrix { columns: rows, entries: vec![entry], multiple: true })
            }
            MatrixFormula::Rows(texts) => {
                shape(name, texts.len(), rows)?;
                let mut entries = Vec::with_capacity(rows * columns);
                for (i, row) in texts.iter().enumerate() {
                    shape(&format!("{name}[{i}]"), row.len(), columns)?;
                    for (j, text) in row.iter().enumerate() {
                        entries.push(FormulaField::new(scope, &format!("{name}[{i}][{j}]"), text, false)?);
                    }
                }
                Ok(Matrix { columns, entries, multiple: false })
            }
        }
    }

    /// Its formulas.
    pub fn entries(&self) -> &[FormulaField] {
        &self.entries
    }

    /// The coefficient at time t.
    pub fn at(&self, t: f64) -> MatrixCoefficient<'_> {
        if self.multiple {
            return match self.entries[0].uniform(t) {
                Some(value) => MatrixCoefficient::Scaled(value),
                None => MatrixCoefficient::Field(Box::new(MatrixAt { matrix: self, t })),
            };
        }
        let columns = self.columns;
        let square = columns > 0 && self.entries.len() == columns * columns;
        let wanted = |k: usize| if k / columns == k % columns { self.entries[0].uniform(t) } else { Some(0.0) };
        let scaled = square && (0..self.entries.len()).all(|k| self.entries[k].uniform(t).is_some_and(|v| Some(v) == wanted(k)));
        match self.entries.first().and_then(|e| e.uniform(t)).filter(|_| scaled) {
            Some(value) => MatrixCoefficient::Scaled(value),
            None => MatrixCoefficient::Field(Box::new(MatrixAt { matrix: self, t })),
        }
    }
}

fn shape(field: &str, found: usize, expected: usize) -> Result<(), ModelError> {
    if found == expected { Ok(()) } else { Err(ModelError::Shape { field: field.into(), found, expected }) }
}

struct MatrixAt<'a> {
    matrix: &'a Matrix,
    t: f64,
}

impl VectorField for MatrixAt<'_> {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let columns = self.matrix.columns;
        if !self.matrix.multiple {
            for (k, entry) in self.matrix.entries.iter().enumerate() {
                entry.eval(self.t, x, out.coord_mut(k));
            }
            return;
        }
        out.fill(0.0);
        self.matrix.entries[0].eval(self.t, x, out.coord_mut(0));
        for i in 1..columns {
            let first = out.coord(0).to_vec();
            out.coord_mut(i * columns + i).copy_from_slice(&first);
        }
    }
}
