//! Passwords: argon2id with the crate's defaults (19 MiB, 2 passes, RFC 9106 and OWASP's minimum), off the event loop.

use actix_web::web::block;
use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};

/// The fewest characters of a password (NIST SP 800-63B asks for eight at least; no rules on kinds of characters).
pub const MIN_PASSWORD_CHARS: usize = 10;

/// A hash that no password has, so that an unknown name takes as long to refuse as a known one.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5MQ$q3JmQk0gYhJkqzH8ZB0Bq2uJx0l3kPp0rQ3kO5mXyTQ";

/// The hash of a password, with a salt of its own. `None` when the machine has no randomness or memory for it.
pub async fn hash_password(password: String) -> Option<String> {
    let hash = move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .ok()
    };
    block(hash).await.ok().flatten()
}

/// Whether the password is the hash's. With no hash it takes as long and says no.
pub async fn verify_password(password: String, hash: Option<String>) -> bool {
    let verify = move || {
        let known = hash.is_some();
        let text = hash.unwrap_or_else(|| NOBODY.to_owned());
        let fits = PasswordHash::new(&text).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        });
        fits && known
    };
    block(verify).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_password_fits_its_own_hash_only() {
        let hash = hash_password("correct horse".into()).await.expect("memory");
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(verify_password("correct horse".into(), Some(hash.clone())).await);
        assert!(!verify_password("battery staple".into(), Some(hash)).await);
        assert!(!verify_password("anything".into(), None).await);
    }

    #[test]
    fn nobodys_hash_can_be_read() {
        assert!(PasswordHash::new(NOBODY).is_ok());
    }
}
