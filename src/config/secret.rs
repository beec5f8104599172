//! Text that must not show.

use std::fmt;

/// A token or an address with a password in it. Neither `Debug` nor anything else prints it; [`Secret::expose`] is the one
/// way to its text, so that a search for that word finds every place where a secret leaves.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Never pass it to a log, an error or a URL that is shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_text() {
        assert_eq!(
            format!("{:?}", Some(Secret::new("opensesame"))),
            "Some(Secret(***))"
        );
    }
}
