//! Moving from the embedded database to PostgreSQL: every table, a page at a time, and at the end every row read back.
//!
//! The embedded database is locked for as long as it takes, so no hub changes it meanwhile, and nothing of it is changed. A page
//! and the note of how far the copy came are one transaction on the server: a copy that is cut short goes on where it stopped. Until
//! it is finished no hub starts on the server's database.
//!
//! Checked: each row that is written adds to a fingerprint of its table, which does not depend on the order of rows; when all are
//! written, every table is read back whole, and its fingerprint and number of rows must be the same.
//!
//! `tables.rs` says how each table's rows become those of the other database. Read next: that.

mod tables;

use std::path::Path;

use sha2::{Digest, Sha256};

pub(in crate::db) use tables::{Column, Kind, TABLES, Table};

use super::{DbError, DbResult, postgres::copying::Target, sqlite::copying::Source};

/// Rows of one page at most.
const PAGE_ROWS: usize = 2000;

/// Bytes of one page at most; one row at least.
const PAGE_BYTES: i64 = 8 << 20;

/// A value of any table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::db) enum Cell {
    /// NULL.
    Null,
    /// A number, or 0 and 1 for a flag.
    Int(i64),
    /// Text, as PostgreSQL takes it.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// How far a step came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::db) struct Mark {
    /// The key of the last row that was looked at, as a condition understands it; nothing at the beginning.
    pub(in crate::db) position: Option<String>,
    /// Rows written.
    pub(in crate::db) rows: i64,
    /// The sum of their fingerprints.
    pub(in crate::db) fingerprint: i64,
    /// Nothing is left.
    pub(in crate::db) done: bool,
}

/// Rows of a step, and where the next page begins.
#[derive(Debug)]
pub(in crate::db) struct Page {
    pub(in crate::db) rows: Vec<Vec<Cell>>,
    /// The key of the last row that was looked at; nothing when there was none.
    pub(in crate::db) position: Option<String>,
    /// Rows of the walked table that were looked at.
    pub(in crate::db) walked: usize,
}

/// What a copy tells while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The table at hand.
    pub table: &'static str,
    /// Rows dealt with, written and read back, of all tables.
    pub rows: u64,
    /// Rows there are to deal with, about.
    pub of: u64,
}

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Rows of each table.
    pub tables: Vec<(&'static str, u64)>,
}

/// Copies the embedded database in the file `from` into the empty PostgreSQL database at `to`, or goes on with a copy of the same
/// file that was cut short. Blocks until it is done.
///
/// # Errors
/// [`DbError::Refused`] when a hub runs on either, when `to` holds anything else, or when `from` has changed since the copy began;
/// [`DbError::Corrupt`] when what was written does not read back as it should; else those of either database. What was
/// written stays, so that the copy can go on.
pub fn copy(from: &Path, to: &str, mut tell: impl FnMut(Progress)) -> DbResult<Report> {
    if !from.exists() {
        return Err(DbError::Refused(format!(
            "there is no file {}",
            from.display()
        )));
    }
    let mut source = Source::open(from)?;
    let target = Target::open(to, source.seal()?, source.sequence()?)?;
    let mut all = 0;
    for table in TABLES {
        all += source.count(table)?;
    }
    let mut progress = Progress {
        table: "",
        rows: 0,
        of: all.saturating_mul(2),
    };
    let mut marks = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let mut mark = target.mark(table)?;
        progress.table = table.step;
        progress.rows += u64::try_from(mark.rows).unwrap_or(0);
        tell(progress);
        while !mark.done {
            let page = source.page(table, mark.position.as_deref(), PAGE_ROWS, PAGE_BYTES)?;
            mark.rows = mark
                .rows
                .saturating_add(i64::try_from(page.rows.len()).unwrap_or(i64::MAX));
            mark.fingerprint = mark.fingerprint.wrapping_add(sum(&page.rows));
            mark.done = page.position.is_none();
            mark.position = page.position.clone().or(mark.position);
            target.write(table, &page, &mark)?;
            progress.rows += page.walked as u64;
            tell(progress);
        }
        marks.push((table, mark));
    }
    let report = check(&target, &marks, &mut progress, &mut tell)?;
    target.finish(source.sequence()?, source.registry_version()?)?;
    Ok(report)
}

/// Reads every table back.
fn check(
    target: &Target,
    marks: &[(&'static Table, Mark)],
    progress: &mut Progress,
    tell: &mut impl FnMut(Progress),
) -> DbResult<Report> {
    let mut report = Report::default();
    for (at, (table, _)) in marks.iter().enumerate() {
        if marks
            .iter()
            .take(at)
            .any(|(other, _)| other.name == table.name)
        {
            continue;
        }
        let of_table = marks.iter().filter(|(other, _)| other.name == table.name);
        let (rows, fingerprint) = of_table.fold((0, 0_i64), |(rows, sum), (_, mark)| {
            (rows + mark.rows, sum.wrapping_add(mark.fingerprint))
        });
        progress.table = table.name;
        let found = target.read_back(table)?;
        if found != (rows, fingerprint) {
            return Err(DbError::Corrupt(format!(
                "the table {} does not read back as it was written: {} rows of {rows}",
                table.name, found.0
            )));
        }
        let rows = u64::try_from(rows).unwrap_or(0);
        progress.rows += rows;
        tell(*progress);
        report.tables.push((table.name, rows));
    }
    Ok(report)
}

fn sum(rows: &[Vec<Cell>]) -> i64 {
    rows.iter()
        .fold(0, |sum: i64, row| sum.wrapping_add(fingerprint(row)))
}

/// 64 bits that follow from a row's values.
pub(in crate::db) fn fingerprint(row: &[Cell]) -> i64 {
    let mut hash = Sha256::new();
    for cell in row {
        match cell {
            Cell::Null => hash.update([0]),
            Cell::Int(number) => {
                hash.update([1]);
                hash.update(number.to_be_bytes());
            }
            Cell::Text(text) => {
                hash.update([2]);
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
            Cell::Bytes(bytes) => {
                hash.update([3]);
                hash.update((bytes.len() as u64).to_be_bytes());
                hash.update(bytes);
            }
        }
    }
    let whole = hash.finalize();
    whole
        .iter()
        .take(8)
        .fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_rows_apart_and_not_their_order() {
        let one = vec![Cell::Text("ab".into()), Cell::Text("c".into())];
        let other = vec![Cell::Text("a".into()), Cell::Text("bc".into())];
        assert_ne!(fingerprint(&one), fingerprint(&other));
        assert_ne!(fingerprint(&[Cell::Null]), fingerprint(&[Cell::Int(0)]));
        assert_eq!(sum(&[one.clone(), other.clone()]), sum(&[other, one]));
    }

    #[test]
    fn every_table_is_walked_by_a_key_and_says_where_its_values_come_from() {
        for table in TABLES {
            assert!(
                !table.keys.is_empty() && !table.columns.is_empty(),
                "{}",
                table.step
            );
            assert!(
                TABLES
                    .iter()
                    .filter(|other| other.step == table.step)
                    .count()
                    == 1,
                "{} twice",
                table.step
            );
            for column in table.columns {
                assert!(!column.name.is_empty() && !column.value.is_empty());
            }
        }
    }
}
