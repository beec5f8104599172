//! Statements written by hand, each prepared once for each connection, and rows as plain tuples.
//!
//! Lists go in as arrays and are unfolded by `unnest`, so that a statement's text never depends on a batch's size: one
//! plan, one round trip, whatever the number of rows.

use tokio_postgres::{Row, types::FromSqlOwned};

use super::fault::fault;
use crate::db::DbResult;

/// A statement: a name for logs and tests, and its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sql {
    /// Its name.
    pub(super) name: &'static str,
    /// Its text.
    pub(super) text: &'static str,
}

/// Declares statements, and `ALL` of them for the test that reads query plans.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)+) => {
        $(
            $(#[$doc])*
            pub(in crate::db::postgres) const $name: $crate::db::postgres::statement::Sql =
                $crate::db::postgres::statement::Sql { name: stringify!($name), text: $text };
        )+

        /// Every statement here.
        #[cfg(test)]
        pub(in crate::db::postgres) const ALL: &[$crate::db::postgres::statement::Sql] = &[$($name),+];
    };
}

pub(super) use statements;

/// A row as a tuple of its columns, in order.
pub(super) trait FromRow: Sized {
    /// Reads the columns.
    fn from_row(row: &Row) -> DbResult<Self>;
}

macro_rules! tuples {
    ($($($name:ident $at:tt)+;)+) => {$(
        impl<$($name: FromSqlOwned),+> FromRow for ($($name,)+) {
            fn from_row(row: &Row) -> DbResult<Self> {
                Ok(($(row.try_get::<_, $name>($at).map_err(fault)?,)+))
            }
        }
    )+};
}

tuples! {
    A 0;
    A 0 B 1;
    A 0 B 1 C 2;
    A 0 B 1 C 2 D 3;
    A 0 B 1 C 2 D 3 E 4;
    A 0 B 1 C 2 D 3 E 4 F 5;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14 P 15;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14 P 15 Q 16;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14 P 15 Q 16 R 17;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14 P 15 Q 16 R 17 S 18;
}
