use super::*;

const SECRET: &[u8] = b"6a0f52c1d79e4b338890aa17fe2c41d5";
const BODY: &[u8] =
    br#"{"id":"e-1","name":"order.completed","data":{"id":"or_1","number":"R100"}}"#;
const SENT: i64 = 1_785_748_460;

fn mac(parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn now() -> Micros {
    Micros((SENT + 20) * 1_000_000)
}

#[test]
fn an_independent_implementation_signs_alike() {
    // printf '%s' ping | openssl dgst -sha256 -hmac 0123456789abcdef
    let signature = "de1f1a637129d935534b8285ee20d912c25409c0d466559bc0328d6d707484b0";
    let headers = SignatureHeaders {
        signature: Some(signature),
        ..Default::default()
    };
    assert_eq!(
        verify(b"0123456789abcdef", headers, b"ping", now()),
        Ok(Scheme::BodyHex)
    );
    // printf '%s' 1785748460.ping | openssl dgst ...
    let headers = SignatureHeaders {
        signature: Some("6ab396d0bb1a67b63c6943ea15fbdd3e3afb31cf7336623019f0dd8255d58a64"),
        timestamp: Some("1785748460"),
        ..Default::default()
    };
    assert_eq!(
        verify(b"0123456789abcdef", headers, b"ping", now()),
        Ok(Scheme::TimestampedHex)
    );
    let headers = SignatureHeaders {
        old_signature: Some("3h8aY3Ep2TVTS4KF7iDZEsJUCcDUZlWbwDKNbXB0hLA="),
        ..Default::default()
    };
    assert_eq!(
        verify(b"0123456789abcdef", headers, b"ping", now()),
        Ok(Scheme::BodyBase64)
    );
}

#[test]
fn a_changed_body_or_another_secret_is_refused() {
    let signature = hex::encode(mac(&[BODY]));
    let headers = SignatureHeaders {
        signature: Some(&signature),
        ..Default::default()
    };
    assert_eq!(verify(SECRET, headers, BODY, now()), Ok(Scheme::BodyHex));
    assert_eq!(
        verify(SECRET, headers, b"{}", now()),
        Err(SignatureError::Mismatch)
    );
    assert_eq!(
        verify(b"other", headers, BODY, now()),
        Err(SignatureError::Mismatch)
    );
    let headers = SignatureHeaders {
        signature: Some("no hex"),
        ..Default::default()
    };
    assert_eq!(
        verify(SECRET, headers, BODY, now()),
        Err(SignatureError::Mismatch)
    );
    assert_eq!(
        verify(SECRET, SignatureHeaders::default(), BODY, now()),
        Err(SignatureError::Missing)
    );
}

#[test]
fn a_body_signature_does_not_pass_as_a_timestamped_one() {
    let signature = hex::encode(mac(&[BODY]));
    let stamp = SENT.to_string();
    let headers = SignatureHeaders {
        signature: Some(&signature),
        timestamp: Some(&stamp),
        ..Default::default()
    };
    assert_eq!(
        verify(SECRET, headers, BODY, now()),
        Err(SignatureError::Mismatch)
    );
}

#[test]
fn an_old_webhook_cannot_be_sent_again() {
    let stamp = SENT.to_string();
    let signature = hex::encode(mac(&[stamp.as_bytes(), b".", BODY]));
    let headers = SignatureHeaders {
        signature: Some(&signature),
        timestamp: Some(&stamp),
        ..Default::default()
    };
    assert_eq!(
        verify(SECRET, headers, BODY, now()),
        Ok(Scheme::TimestampedHex)
    );
    let later = Micros((SENT + 301) * 1_000_000);
    assert_eq!(
        verify(SECRET, headers, BODY, later),
        Err(SignatureError::TooFarAway { seconds: 301 })
    );
}

#[test]
fn each_event_points_at_what_to_look_at() {
    let object = |body: &str| match hint(body.as_bytes()).unwrap() {
        Hint::Object {
            noun,
            token,
            event_id,
        } => format!("{noun}/{token} {event_id}"),
        other => format!("{other:?}"),
    };
    assert_eq!(object(std::str::from_utf8(BODY).unwrap()), "order/R100 e-1");
    assert_eq!(
        object(
            r#"{"event_id":"9912","event_type":"order.placed","data":{"id":"1412","attributes":{"number":"R7"}}}"#
        ),
        "order/R7 9912"
    );
    assert_eq!(
        object(r#"{"id":"x","name":"user.updated","data":{"id":3,"email":"ada@example.org"}}"#),
        "user/ada@example.org x"
    );
    assert_eq!(
        hint(br#"{"id":"t","name":"webhook.test","data":{}}"#).unwrap(),
        Hint::Test
    );
    assert_eq!(
        hint(br#"{"id":"t","name":"coupon.created","data":{}}"#).unwrap(),
        Hint::Nothing
    );
    assert_eq!(
        hint(br#"{"id":"t","name":"shipment.shipped","data":{"id":"ful_1"}}"#).unwrap(),
        Hint::Collection {
            event_id: "t".into(),
            noun: Noun::Order
        }
    );
    assert!(hint(b"<html>").is_err());
}
