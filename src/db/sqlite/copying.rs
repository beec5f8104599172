//! Reading the whole database, table by table, for a copy.

use std::{fs::File, path::Path};

use diesel::{
    QueryableByName, RunQueryDsl,
    deserialize::{self, FromSql},
    row::{Field, NamedRow, Row as RowOf},
    sql_types::{BigInt, Binary, Text},
    sqlite::{Sqlite, SqliteConnection, SqliteType},
};

use super::{SqliteOptions, fault::fault, open, session};
use crate::{
    db::{
        DbError, DbResult,
        copy::{Cell, Page, Table},
    },
    domain::reference::{ObjectRef, shard_of},
};

/// A database that nobody else uses meanwhile.
pub(in crate::db) struct Source {
    conn: SqliteConnection,
    _lock: File,
}

/// A row of any statement.
struct Row(Vec<Cell>);

impl QueryableByName<Sqlite> for Row {
    fn build<'a>(row: &impl NamedRow<'a, Sqlite>) -> deserialize::Result<Self> {
        let cell = |at| {
            let field = RowOf::get(row, at).ok_or("a column is missing")?;
            let kind = field.value().and_then(|value| value.value_type());
            Ok(match kind {
                None => Cell::Null,
                Some(SqliteType::Text) => {
                    Cell::Text(FromSql::<Text, Sqlite>::from_nullable_sql(field.value())?)
                }
                Some(SqliteType::Binary) => {
                    Cell::Bytes(FromSql::<Binary, Sqlite>::from_nullable_sql(field.value())?)
                }
                Some(_) => Cell::Int(FromSql::<BigInt, Sqlite>::from_nullable_sql(field.value())?),
            })
        };
        (0..row.field_count())
            .map(cell)
            .collect::<deserialize::Result<_>>()
            .map(Self)
    }
}

impl Source {
    /// Opens a database, bringing its tables up to date; fails when a hub runs on it.
    pub(in crate::db) fn open(path: &Path) -> DbResult<Self> {
        let lock = open::lock(path)?;
        let conn = open::open_writer(&SqliteOptions::new(path))?;
        Ok(Self { conn, _lock: lock })
    }

    /// The key of the ids' permutation.
    pub(in crate::db) fn seal(&mut self) -> DbResult<i64> {
        session::meta(&mut self.conn, "seal")
    }

    /// The last number given out.
    pub(in crate::db) fn sequence(&mut self) -> DbResult<i64> {
        session::meta(&mut self.conn, "sequence")
    }

    /// The registry's version.
    pub(in crate::db) fn registry_version(&mut self) -> DbResult<i64> {
        session::meta(&mut self.conn, "registry_version")
    }

    /// How many rows a step walks.
    pub(in crate::db) fn count(&mut self, table: &Table) -> DbResult<u64> {
        let rows = self.rows(&format!("SELECT count(*) FROM {}", table.walk))?;
        match rows.first().and_then(|row| row.0.first()) {
            Some(Cell::Int(n)) => Ok(u64::try_from(*n).unwrap_or(0)),
            _ => Err(DbError::Internal("a count is no number".into())),
        }
    }

    /// The next page of a step: up to so many rows and about so many bytes, one row at least.
    pub(in crate::db) fn page(
        &mut self,
        table: &Table,
        after: Option<&str>,
        most_rows: usize,
        most_bytes: i64,
    ) -> DbResult<Page> {
        let keys = table.keys.join(", ");
        let beyond = after.map_or(String::new(), |after| format!(" AND ({keys}) > ({after})"));
        let walked = self.rows(&format!(
            "SELECT {keys}, {weigh} FROM {walk} t WHERE 1{beyond} ORDER BY {keys} LIMIT {most_rows}",
            weigh = table.weigh,
            walk = table.walk,
        ))?;
        let mut room = most_bytes;
        let mut position = None;
        let mut count = 0;
        for row in &walked {
            let (weight, key) = row.0.split_last().unwrap_or((&Cell::Null, &[]));
            if let Cell::Int(weight) = weight {
                room = room.saturating_sub(*weight);
            }
            if room < 0 && count > 0 {
                break;
            }
            count += 1;
            position = Some(key.iter().map(literal).collect::<Vec<_>>().join(", "));
        }
        let Some(last) = &position else {
            return Ok(Page {
                rows: Vec::new(),
                position: None,
                walked: 0,
            });
        };
        let values: Vec<&str> = table.columns.iter().map(|column| column.value).collect();
        let filter = match table.filter {
            "" => String::new(),
            filter => format!(" AND {filter}"),
        };
        let rows = self.rows(&format!(
            "SELECT {values} FROM {walk} t {join} WHERE ({keys}) <= ({last}){beyond}{filter}",
            values = values.join(", "),
            walk = table.walk,
            join = table.join,
        ))?;
        let mut rows: Vec<Vec<Cell>> = rows.into_iter().map(|row| row.0).collect();
        for cell in rows.iter_mut().flatten() {
            if let Cell::Text(text) = cell
                && text.contains('\0')
            {
                *text = text.replace('\0', "\u{fffd}");
            }
        }
        if table.sharded {
            rows.iter_mut().for_each(shard);
        }
        Ok(Page {
            rows,
            position,
            walked: count,
        })
    }

    fn rows(&mut self, text: &str) -> DbResult<Vec<Row>> {
        diesel::sql_query(text).load(&mut self.conn).map_err(fault)
    }
}

/// A value as a statement's text has it. Rows of the database only, nothing that a client wrote as it is.
fn literal(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".into(),
        Cell::Int(number) => number.to_string(),
        Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Cell::Bytes(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{digits}'")
        }
    }
}

/// Replaces an object's type and token by the shard of store, object and number.
fn shard(row: &mut Vec<Cell>) {
    let number = |cell: Option<&Cell>| match cell {
        Some(Cell::Int(number)) => *number,
        _ => 0,
    };
    let (store, seq) = (number(row.first()), number(row.get(1)));
    let (token, kind) = (row.pop(), row.pop());
    let object = match (kind, token) {
        (Some(Cell::Text(kind)), Some(Cell::Text(token))) => ObjectRef::new(&kind, &token).ok(),
        _ => None,
    };
    row.push(Cell::Int(i64::from(shard_of(
        store,
        object.as_ref(),
        seq.cast_unsigned(),
    ))));
}
