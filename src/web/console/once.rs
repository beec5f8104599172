//! Forms that may take effect once: the key that came with a form, and what was made of it.
//!
//! It keeps a double click from asking twice. A restart forgets it; then the form's count still guards.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// Keys that are remembered.
const KEPT: usize = 1000;

/// Keys of forms that took effect, or are about to, newest last; with what was made of them.
#[derive(Debug, Default)]
pub struct Once(Mutex<VecDeque<(String, Option<String>)>>);

/// Whether a form may take effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormUse {
    /// It may: nobody sent it before.
    First,
    /// It did; what was made of it, if that is known yet.
    Again(Option<String>),
}

impl Once {
    /// Takes a form's key.
    pub fn take(&self, key: &str) -> FormUse {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, made)) = kept.iter().find(|(own, _)| own == key) {
            return FormUse::Again(made.clone());
        }
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((key.to_owned(), None));
        FormUse::First
    }

    /// Remembers what was made of the form with this key; `None`: nothing, so it may be sent again.
    pub fn keep(&self, key: &str, made: Option<String>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if made.is_none() {
            kept.retain(|(own, _)| own != key);
        } else if let Some(entry) = kept.iter_mut().find(|(own, _)| own == key) {
            entry.1 = made;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_takes_effect_once() {
        let once = Once::default();
        assert_eq!(once.take("a"), FormUse::First);
        assert_eq!(once.take("a"), FormUse::Again(None));
        once.keep("a", Some("job".into()));
        assert_eq!(once.take("a"), FormUse::Again(Some("job".into())));
    }

    #[test]
    fn a_form_that_failed_may_be_sent_again() {
        let once = Once::default();
        assert_eq!(once.take("a"), FormUse::First);
        once.keep("a", None);
        assert_eq!(once.take("a"), FormUse::First);
    }
}
