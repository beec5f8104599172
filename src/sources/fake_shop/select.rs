//! Which rows a query finds, in which order: Ransack's habits, the good ones and the others.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Flavor, stock::Stock};
use crate::domain::{store_object::store_time, time::Micros};

/// A query as its pairs came.
pub(super) type Pairs = [(String, String)];

/// A page of ids and what is said about it.
#[derive(Debug)]
pub(super) struct Selection {
    pub ids: Vec<u64>,
    pub page: u64,
    pub per_page: u64,
    pub pages: u64,
    pub total: u64,
}

/// What a search looks at in any kind of row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub id: u64,
    pub created_at: Micros,
    pub updated_at: Micros,
    pub completed_at: Option<Micros>,
    pub state: &'static str,
    pub shipment_state: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    CreatedAt,
    UpdatedAt,
    CompletedAt,
}

#[derive(Debug, Default)]
struct Query {
    since: Option<(Column, Micros)>,
    completed: Option<bool>,
    state: Option<String>,
    shipment_state: Option<String>,
    sort: Vec<(Column, bool)>,
}

pub(super) fn value<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .rev()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

fn number(pairs: &Pairs, name: &str) -> Option<u64> {
    value(pairs, name)?
        .parse()
        .ok()
        .filter(|number| *number > 0)
}

fn may(flavor: Flavor, column: Column) -> bool {
    !(column == Column::UpdatedAt && matches!(flavor, Flavor::Spree304 | Flavor::Solidus))
}

fn column(flavor: Flavor, name: &str) -> Option<Column> {
    let column = match name {
        "id" => Column::Id,
        "created_at" => Column::CreatedAt,
        "updated_at" => Column::UpdatedAt,
        "completed_at" => Column::CompletedAt,
        _ => return None,
    };
    may(flavor, column).then_some(column)
}

fn read(flavor: Flavor, pairs: &Pairs) -> Query {
    let mut query = Query::default();
    for (key, value) in pairs {
        let Some(field) = key
            .strip_prefix("q[")
            .or_else(|| key.strip_prefix("filter["))
            .and_then(|rest| rest.strip_suffix("][]").or_else(|| rest.strip_suffix(']')))
        else {
            if key == "sort" {
                query.sort.extend(sort_parameter(flavor, value));
            }
            continue;
        };
        match field {
            // One text, comma and all: everything behind the first blank is the direction, and garbage means upwards.
            "s" => query.sort.extend(sort_text(flavor, value)),
            "completed_at_not_null" => query.completed = Some(true),
            "completed_at_null" => query.completed = Some(false),
            "state_eq" => query.state = Some(value.clone()),
            "shipment_state_eq" => query.shipment_state = Some(value.clone()),
            other => {
                let name = other
                    .strip_suffix("_gteq")
                    .or_else(|| other.strip_suffix("_gt"));
                let found = name
                    .and_then(|name| column(flavor, name))
                    .zip(store_time(value));
                query.since = found.or(query.since);
            }
        }
    }
    query
}

fn sort_text(flavor: Flavor, text: &str) -> Option<(Column, bool)> {
    let (name, direction) = text.trim().split_once(' ').unwrap_or((text.trim(), "asc"));
    Some((
        column(flavor, name.trim_end_matches(']'))?,
        direction.trim() != "desc",
    ))
}

/// `sort=`: the Platform API splits at commas, the Admin API keeps the first key and loses its sign.
fn sort_parameter(flavor: Flavor, text: &str) -> Vec<(Column, bool)> {
    let key = |part: &str| match part.strip_prefix('-') {
        Some(name) => column(flavor, name).map(|column| (column, false)),
        None => column(flavor, part).map(|column| (column, true)),
    };
    match text.split_once(',') {
        Some((first, _)) if flavor == Flavor::AdminV3 => {
            column(flavor, first.trim_start_matches('-'))
                .map(|column| (column, true))
                .into_iter()
                .collect()
        }
        _ => text.split(',').filter_map(key).collect(),
    }
}

fn of(facts: &Facts, column: Column) -> i64 {
    match column {
        Column::Id => i64::try_from(facts.id).unwrap_or(i64::MAX),
        Column::CreatedAt => facts.created_at.0,
        Column::UpdatedAt => facts.updated_at.0,
        // NULLs come first, as on MySQL and SQLite.
        Column::CompletedAt => facts.completed_at.map_or(i64::MIN, |at| at.0),
    }
}

fn page_size(flavor: Flavor, pairs: &Pairs) -> u64 {
    let asked = match flavor {
        Flavor::AdminV3 => number(pairs, "limit"),
        _ => number(pairs, "per_page"),
    };
    match (flavor, asked) {
        (_, None) => 25,
        (Flavor::AdminV3, Some(asked)) => asked.min(100),
        (Flavor::PlatformV2, Some(asked)) if asked > 500 => 25,
        (_, Some(asked)) => asked,
    }
}

/// Selects sales.
pub(super) fn sales(stock: &Stock, flavor: Flavor, pairs: &Pairs, nonce: Option<u64>) -> Selection {
    let query = read(flavor, pairs);
    let (page, per_page) = (number(pairs, "page").unwrap_or(1), page_size(flavor, pairs));
    let is_plain = query.since.is_none() && query.state.is_none() && query.shipment_state.is_none();
    // The long walk over a large shop: no need to look at each row for each page.
    if let (true, Some(true), [(Column::Id, upwards)]) =
        (is_plain, query.completed, query.sort.as_slice())
    {
        let skip = usize::try_from((page - 1) * per_page).unwrap_or(usize::MAX);
        let take = usize::try_from(per_page).unwrap_or(usize::MAX);
        let all = &stock.completed;
        let ids = if *upwards {
            all.iter().skip(skip).take(take).copied().collect()
        } else {
            all.iter().rev().skip(skip).take(take).copied().collect()
        };
        return cut(ids, page, per_page, all.len() as u64);
    }
    let facts = |id: &u64| {
        let sale = stock.sales.get(id)?;
        Some(Facts {
            id: sale.id,
            created_at: sale.created_at,
            updated_at: sale.updated_at,
            completed_at: sale.completed_at,
            state: sale.state,
            shipment_state: sale.shipment_state,
        })
    };
    let rows: Vec<Facts> = match query.since {
        Some((Column::UpdatedAt, since)) => stock
            .by_updated
            .range((since, 0)..)
            .filter_map(|(_, id)| facts(id))
            .collect(),
        _ => stock.sales.keys().filter_map(facts).collect(),
    };
    rows_of(rows, &query, page, per_page, nonce)
}

/// Selects among other rows.
pub(super) fn others(
    rows: Vec<Facts>,
    flavor: Flavor,
    pairs: &Pairs,
    nonce: Option<u64>,
) -> Selection {
    let (page, per_page) = (number(pairs, "page").unwrap_or(1), page_size(flavor, pairs));
    rows_of(rows, &read(flavor, pairs), page, per_page, nonce)
}

fn rows_of(
    mut rows: Vec<Facts>,
    query: &Query,
    page: u64,
    per_page: u64,
    nonce: Option<u64>,
) -> Selection {
    rows.retain(|row| {
        query
            .since
            .is_none_or(|(column, since)| of(row, column) >= since.0)
            && query
                .completed
                .is_none_or(|completed| row.completed_at.is_some() == completed)
            && query
                .state
                .as_deref()
                .is_none_or(|state| row.state == state)
            && query
                .shipment_state
                .as_deref()
                .is_none_or(|state| row.shipment_state == Some(state))
    });
    let shuffled = |id: u64| {
        let mut hasher = DefaultHasher::new();
        (id, nonce).hash(&mut hasher);
        hasher.finish()
    };
    // Without any sort there is no order to rely on.
    let tie = |row: &Facts| match nonce {
        Some(_) => shuffled(row.id),
        None if query.sort.is_empty() => shuffled(row.id),
        None => row.id,
    };
    rows.sort_by_cached_key(|row| {
        let keys: Vec<i64> = query
            .sort
            .iter()
            .map(|(column, upwards)| {
                if *upwards {
                    of(row, *column)
                } else {
                    !of(row, *column)
                }
            })
            .collect();
        (keys, tie(row))
    });
    let total = rows.len() as u64;
    let skip = usize::try_from((page - 1) * per_page).unwrap_or(usize::MAX);
    let take = usize::try_from(per_page).unwrap_or(usize::MAX);
    let ids = rows
        .into_iter()
        .skip(skip)
        .take(take)
        .map(|row| row.id)
        .collect();
    cut(ids, page, per_page, total)
}

fn cut(ids: Vec<u64>, page: u64, per_page: u64, total: u64) -> Selection {
    Selection {
        ids,
        page,
        per_page,
        pages: total.div_ceil(per_page),
        total,
    }
}
