//! Addresses of pages. What is asked stands in them, so that they can be sent to a colleague.

use std::fmt::Write;

use crate::domain::{id::Id, reference::ObjectRef};

/// The page of a message or delivery.
#[must_use]
pub fn message(store: Id, id: Id) -> String {
    format!("/console/messages/{id}?store={store}")
}

/// The page of a bulk action or replay.
#[must_use]
pub fn action(store: Id, id: Id) -> String {
    format!("/console/actions/{id}?store={store}")
}

/// The page of an object.
#[must_use]
pub fn object(store: Id, object: &ObjectRef) -> String {
    format!(
        "/objects/{}/{}?store={store}",
        part(object.kind()),
        part(object.token())
    )
}

/// A queue with filters.
#[must_use]
pub fn queue(store: Id, queue: &str, filters: &[(&str, &str)]) -> String {
    with(
        &format!("/console/queues/{queue}"),
        &[&[("store", store.to_string().as_str())], filters].concat(),
    )
}

/// A path with a query of pairs that have a value.
#[must_use]
pub fn with(path: &str, pairs: &[(&str, &str)]) -> String {
    let filled: Vec<_> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    match serde_urlencoded::to_string(&filled) {
        Ok(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}

/// An address with a notice's key added, for the page after a form.
#[must_use]
pub fn noticed(address: &str, key: &str) -> String {
    let mark = if address.contains('?') { '&' } else { '?' };
    format!("{address}{mark}notice={key}")
}

/// A text as one part of a path (RFC 3986, 3.3: everything but unreserved characters is escaped).
#[must_use]
pub fn part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stays_one_part_of_the_path() {
        assert_eq!(part("a/b?c#d e%"), "a%2Fb%3Fc%23d%20e%25");
    }

    #[test]
    fn empty_filters_are_left_out() {
        assert_eq!(with("/x", &[("a", ""), ("b", "1 2")]), "/x?b=1+2");
        assert_eq!(noticed("/x?b=1", "saved"), "/x?b=1&notice=saved");
    }
}
