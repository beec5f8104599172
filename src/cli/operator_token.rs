//! The operator's token, from the environment.

use crate::config::Secret;

/// The variable that sets the operator's token. A single underscore: it is a secret and no part of the configuration, which can be printed.
pub const OPERATOR_TOKEN_VARIABLE: &str = "INTEGRATOR_OPERATOR_TOKEN";

/// The token cannot be sent in a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{OPERATOR_TOKEN_VARIABLE} may hold only visible ASCII characters without spaces, since it travels in a header"
)]
pub struct OperatorTokenError;

/// The operator's token, if `env` sets one. An empty one counts as none.
///
/// # Errors
/// A character that a header's token cannot hold.
pub fn operator_token(
    mut env: impl Iterator<Item = (String, String)>,
) -> Result<Option<Secret>, OperatorTokenError> {
    match env.find(|(variable, _)| variable == OPERATOR_TOKEN_VARIABLE) {
        Some((_, token)) if token.is_empty() => Ok(None),
        Some((_, token)) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Some(Secret::new(token)))
        }
        Some(_) => Err(OperatorTokenError),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(token: &str) -> Result<Option<Secret>, OperatorTokenError> {
        operator_token(
            [
                ("HOME".to_owned(), "/".to_owned()),
                (OPERATOR_TOKEN_VARIABLE.to_owned(), token.to_owned()),
            ]
            .into_iter(),
        )
    }

    #[test]
    fn a_token_is_read_and_an_empty_one_is_none() {
        assert_eq!(read("s3cret"), Ok(Some(Secret::new("s3cret"))));
        assert_eq!(read(""), Ok(None));
        assert_eq!(operator_token(std::iter::empty()), Ok(None));
    }

    #[test]
    fn a_token_that_no_header_can_hold_is_refused_without_repeating_it() {
        for token in ["hunter2\n", "hunter 2", "hunter\u{fffd}"] {
            let said = read(token).unwrap_err().to_string();
            assert!(
                said.contains(OPERATOR_TOKEN_VARIABLE) && !said.contains("hunter"),
                "{said}"
            );
        }
    }
}
