//! Who sits in front of the console, and whether it is really them.
//!
//! People have accounts in the registry, with an argon2id hash of their password. Signing in makes a session: a random text in
//! a cookie that scripts cannot read, of which the database keeps the digest, so a session outlives a restart and ends for
//! good when somebody signs out. Every form carries a token derived from that text ([`form_token`]), which a foreign
//! site can neither read nor guess; in addition, a request whose `Origin` is another site is refused.
//!
//! [`Person`] is the extractor of every page, [`Post`] of every form. Read next: `door.rs`.

mod door;
mod password;
mod session;
mod sign_in;
mod throttle;

pub use door::{Fields, Person, Post, Refusal, hub_of};
pub use password::{MIN_PASSWORD_CHARS, hash_password, verify_password};
pub use session::{form_token, new_text, session_cookie};
pub(super) use sign_in::{check_name, check_new_password};
pub use sign_in::{sign_in, sign_in_page, sign_out};
pub use throttle::Throttle;
