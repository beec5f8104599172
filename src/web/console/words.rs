//! What failures mean and what to do about them, in words of our own.
//!
//! The key is an attempt's outcome (the kind of a network failure, or `status_500`), so the sentence never depends on what a
//! library or an endpoint said.

/// What a failure means, what to do, and whether the endpoint may have acted all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// What it means.
    pub means: &'static str,
    /// What to do.
    pub todo: &'static str,
    /// The endpoint may have carried it out: check there by `message_id` before sending again.
    pub perhaps_done: bool,
}

/// Advice on an attempt's outcome; `None` for what is no failure.
#[must_use]
pub fn advice(outcome: &str, status: Option<u16>) -> Option<Advice> {
    let sure = |means, todo| {
        Some(Advice {
            means,
            todo,
            perhaps_done: false,
        })
    };
    let perhaps = |means, todo| {
        Some(Advice {
            means,
            todo,
            perhaps_done: true,
        })
    };
    match outcome {
        "completed" | "scheduled" => return None,
        "connect_refused" => {
            return sure(
                "Nothing listens at that host and port.",
                "Start the application, or correct the port in the mapping's address.",
            );
        }
        "host_not_found" => {
            return sure(
                "The name in the address does not exist in DNS.",
                "Correct the address, or DNS.",
            );
        }
        "connect_timeout" | "no_connection" => {
            return sure(
                "A firewall is in between, or the machine is off.",
                "Try curl -v with the address from the machine of the hub.",
            );
        }
        "tls_expired" => {
            return sure(
                "Its certificate has expired. Nothing was sent.",
                "Renew the certificate there.",
            );
        }
        "tls_not_yet_valid" => {
            return sure(
                "Its certificate is not valid yet, or a clock is wrong. Nothing was sent.",
                "Check both clocks, and the certificate.",
            );
        }
        "tls_other_name" => {
            return sure(
                "Its certificate is for another name. Nothing was sent.",
                "Use the name of the certificate in the address, or get one for this name.",
            );
        }
        "tls_unknown_issuer" => {
            return sure(
                "Nobody trusted here has signed its certificate. Nothing was sent.",
                "Let it send the whole chain, or use a certificate of a known authority.",
            );
        }
        "tls_revoked" | "tls_failed" | "tls_not_spoken" => {
            return sure(
                "No secure connection could be made. Nothing was sent.",
                "Check that the port speaks TLS, and the certificate.",
            );
        }
        "address_not_allowed" => {
            return sure(
                "The address is in a private network, which the hub does not call.",
                "If it is yours, list its network in egress.allow_networks.",
            );
        }
        "cut_off" => {
            return perhaps(
                "The connection broke: the application, or a proxy before it, died.",
                "Read its log at that second.",
            );
        }
        "timed_out" => {
            return perhaps(
                "It takes too long to answer.",
                "Let it answer 202 with an update_url, or raise timeout_secs.",
            );
        }
        "answer_too_large" => {
            return perhaps(
                "The answer is larger than the hub reads.",
                "Let it answer with less.",
            );
        }
        "malformed_answer" => {
            return perhaps(
                "What came back is no HTTP answer.",
                "Check that an HTTP service listens there.",
            );
        }
        "too_many_redirects" | "bad_redirect" => {
            return sure(
                "It redirects. Messages are posted, and posts are not redirected.",
                "Register the address it redirects to.",
            );
        }
        "out_of_sockets" | "bad_request" => {
            return sure(
                "The hub itself could not send. The endpoint's attempts are not spent.",
                "Look at the hub's log and its limits on open files.",
            );
        }
        _ => {}
    }
    match status? {
        200..=299 => perhaps(
            "It answered, but not in a form that counts as success here.",
            "Read the answer below. Dialect 1 counts only 200, with JSON or nothing in it; check there, then mend the answer or the mapping's options.",
        ),
        300..=399 => sure(
            "It redirects. Messages are posted, and posts are not redirected.",
            "Register the address it redirects to.",
        ),
        400 | 413 | 422 => sure(
            "It refuses what was sent, or its size.",
            "Read the answer below. Mend the order, the mapping, or its limit.",
        ),
        401 => sure(
            "It does not accept the token, or expects none.",
            "Compare the mapping's token with the application's; old ones without keys take an empty token.",
        ),
        403 => sure(
            "It knows the token, and does not permit this.",
            "Check rights and allowed addresses there.",
        ),
        404 | 405 => sure(
            "There is no service at this path.",
            "Check the mapping's address against the application's endpoint.json.",
        ),
        406 | 415 => sure(
            "It cannot read our body.",
            "Check the dialect in the mapping's options.",
        ),
        410 => sure(
            "The service is gone for good, so it is not tried again.",
            "Point the mapping elsewhere, then try now.",
        ),
        429 => sure(
            "It gets more than it wants. The hub waits as long as it says.",
            "Lower rate_per_sec in the mapping's options.",
        ),
        500..=599 => perhaps(
            "It failed by its own account, or crashed, or is down behind a proxy.",
            "Read its reason below: often a parameter is wrong. Edit it, then try now. Without a reason, its log has one, under the message_id.",
        ),
        _ => sure(
            "It answered with a status that means nothing here.",
            "Read the answer below.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_advice_and_success_has_none() {
        for outcome in [
            "connect_refused",
            "host_not_found",
            "tls_expired",
            "cut_off",
            "timed_out",
            "bad_redirect",
        ] {
            assert!(advice(outcome, None).is_some(), "{outcome}");
        }
        for status in [301, 400, 401, 403, 404, 406, 410, 422, 429, 500, 503, 599] {
            assert!(
                advice(&format!("status_{status}"), Some(status)).is_some(),
                "{status}"
            );
        }
        assert_eq!(advice("completed", Some(200)), None);
    }

    #[test]
    fn what_was_perhaps_done_is_said() {
        assert!(advice("cut_off", None).is_some_and(|advice| advice.perhaps_done));
        assert!(advice("connect_refused", None).is_some_and(|advice| !advice.perhaps_done));
    }
}
