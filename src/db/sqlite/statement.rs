//! Statements written by hand, each prepared once for each connection.
//!
//! Diesel keeps a prepared statement only when its text is known not to change. The text of a [`statements!`] statement
//! never does, so its `QueryId` is a type of its own and running it costs a lookup and its binds. Lists of keys go in as
//! one JSON array (`IN (SELECT value FROM json_each(?1))`), so that no length of list has a text of its own.
//!
//! A statement's rows are plain tuples: [`Column`] says which SQL type each Rust type has.

use diesel::{
    RunQueryDsl,
    deserialize::FromSqlRow,
    query_builder::{QueryFragment, QueryId},
    sql_types::{BigInt, Binary, Bool, Nullable, Text},
    sqlite::{Sqlite, SqliteConnection},
};

use super::fault::fault;
use crate::db::DbResult;

/// The SQL type that a Rust type is bound and read as.
pub(super) trait Column {
    /// The SQL type.
    type Sql: 'static;
}

macro_rules! columns {
    ($($rust:ty => $sql:ty),+ $(,)?) => {$( impl Column for $rust { type Sql = $sql; } )+};
}

columns! {
    i64 => BigInt,
    bool => Bool,
    &str => Text,
    String => Text,
    &[u8] => Binary,
    Vec<u8> => Binary,
    Option<i64> => Nullable<BigInt>,
    Option<&str> => Nullable<Text>,
    Option<String> => Nullable<Text>,
    Option<&[u8]> => Nullable<Binary>,
    Option<Vec<u8>> => Nullable<Binary>,
}

macro_rules! rows {
    ($($name:ident)+) => {
        impl<$($name: Column),+> Column for ($($name,)+) { type Sql = ($($name::Sql,)+); }
    };
}

rows!(A);
rows!(A B);
rows!(A B C);
rows!(A B C D);
rows!(A B C D E);
rows!(A B C D E F);
rows!(A B C D E F G);
rows!(A B C D E F G H);
rows!(A B C D E F G H I);
rows!(A B C D E F G H I J);
rows!(A B C D E F G H I J K);
rows!(A B C D E F G H I J K L);
rows!(A B C D E F G H I J K L M);
rows!(A B C D E F G H I J K L M N);
rows!(A B C D E F G H I J K L M N O);

/// A statement that gives no rows.
pub(super) trait Command:
    QueryFragment<Sqlite> + QueryId + RunQueryDsl<SqliteConnection> + Sized
{
    /// Runs it; returns how many rows it changed.
    fn run(self, conn: &mut SqliteConnection) -> DbResult<usize> {
        self.execute(conn).map_err(fault)
    }
}

/// A statement that gives rows.
pub(super) trait Question:
    diesel::query_builder::Query
    + QueryFragment<Sqlite>
    + QueryId
    + RunQueryDsl<SqliteConnection>
    + Sized
where
    Sqlite: diesel::backend::Backend + diesel::expression::QueryMetadata<Self::SqlType>,
{
    /// A row.
    type Row: FromSqlRow<Self::SqlType, Sqlite> + 'static;

    /// All rows.
    fn rows(self, conn: &mut SqliteConnection) -> DbResult<Vec<Self::Row>>;

    /// The first row.
    fn row(self, conn: &mut SqliteConnection) -> DbResult<Option<Self::Row>> {
        Ok(self.rows(conn)?.into_iter().next())
    }
}

/// Declares statements, and `ALL`: name and text of each, for the test that reads query plans.
///
/// Parameters are numbered in the order of the fields. Diesel writes a `?` of its own for each bind; they land behind the
/// text, where a comment swallows them, so that the text can use its numbers in any order and more than once.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident $(<$life:lifetime>)? { $($field:ident: $ty:ty),* $(,)? } $(-> $row:ty)? = $text:expr;)+) => {
        /// Name and text of every statement here.
        #[cfg(test)]
        #[allow(dead_code, reason = "statements of opening run before there is a table to plan for")]
        pub(in crate::db::sqlite) const ALL: &[(&str, &str)] = &[$((stringify!($name), $text)),+];

        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(in crate::db::sqlite) struct $name $(<$life>)? { $(pub(in crate::db::sqlite) $field: $ty,)* }

            const _: () = {
                #[allow(dead_code)]
                pub struct Identity;
                impl $(<$life>)? diesel::query_builder::QueryId for $name $(<$life>)? {
                    type QueryId = Identity;
                    const HAS_STATIC_QUERY_ID: bool = true;
                }
                impl $(<$life>)? diesel::query_builder::QueryFragment<diesel::sqlite::Sqlite> for $name $(<$life>)? {
                    fn walk_ast<'bind>(
                        &'bind self,
                        mut out: diesel::query_builder::AstPass<'_, 'bind, diesel::sqlite::Sqlite>,
                    ) -> diesel::QueryResult<()> {
                        out.push_sql(concat!($text, " --"));
                        $( out.push_bind_param::<<$ty as $crate::db::sqlite::statement::Column>::Sql, $ty>(&self.$field)?; )*
                        Ok(())
                    }

                    // Asked at each run, and answered by a walk over all binds if not here.
                    fn is_safe_to_cache_prepared(&self, _: &diesel::sqlite::Sqlite) -> diesel::QueryResult<bool> {
                        Ok(true)
                    }
                }
                impl $(<$life>)? diesel::RunQueryDsl<diesel::sqlite::SqliteConnection> for $name $(<$life>)? {}
                statements!(@rows [$name $(<$life>)?] [$(<$life>)?] $($row)?);
            };
        )+
    };
    (@rows [$($name:tt)+] [$($life:tt)*]) => {
        impl $($life)* $crate::db::sqlite::statement::Command for $($name)+ {}
    };
    (@rows [$($name:tt)+] [$($life:tt)*] $row:ty) => {
        impl $($life)* diesel::query_builder::Query for $($name)+ {
            type SqlType = <$row as $crate::db::sqlite::statement::Column>::Sql;
        }
        impl $($life)* $crate::db::sqlite::statement::Question for $($name)+ {
            type Row = $row;

            fn rows(self, conn: &mut diesel::sqlite::SqliteConnection) -> $crate::db::DbResult<Vec<$row>> {
                diesel::RunQueryDsl::load(self, conn).map_err($crate::db::sqlite::fault::fault)
            }
        }
    };
}

pub(super) use statements;

/// Keys as a JSON array, for `IN (SELECT value FROM json_each(?))`.
pub(super) fn key_list(keys: impl IntoIterator<Item = i64>) -> String {
    let mut text = String::from("[");
    for (at, key) in keys.into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&key.to_string());
    }
    text.push(']');
    text
}
