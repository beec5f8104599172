//! The message that is pushed: an order of about 2.5 KB, as a shop of 2013 would send it, whose number is patched in place.

use crate::http;

/// Marks a message of the benchmark inside its payload; twelve digits follow.
const MARK: &[u8] = b"\"bench\":\"";
/// Stands before the order's number.
const NUMBER: &[u8] = b"\"number\":\"R";
const DIGITS: usize = 12;

/// A message as JSON, with the places of its two numbers.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    mark: usize,
    number: usize,
}

impl Template {
    /// A message of this type and about this many bytes (at least what an order without lines takes).
    pub fn new(kind: &str, bytes: usize) -> Self {
        let text = order(kind, bytes);
        Self::within(text.into_bytes())
    }

    /// The same message with something before it, such as a request's head.
    pub fn behind(&self, head: &[u8]) -> Self {
        Self::within([head, &self.bytes].concat())
    }

    fn within(bytes: Vec<u8>) -> Self {
        let place = |needle: &[u8]| {
            let found = http::find(&bytes, needle).expect("the template has both places");
            found + needle.len()
        };
        let (mark, number) = (place(MARK), place(NUMBER));
        Self {
            bytes,
            mark,
            number,
        }
    }

    /// Appends message `n`, about order `object`.
    pub fn write(&self, out: &mut Vec<u8>, n: u64, object: u64) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        digits(out, start + self.mark, n);
        digits(out, start + self.number, object);
    }

    /// The bytes, with zeros for both numbers.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Which message of the benchmark this is, wherever in the body it stands.
pub fn number_of(body: &[u8]) -> Option<u64> {
    let at = http::find(body, MARK)? + MARK.len();
    let digits = body.get(at..at + DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn digits(bytes: &mut [u8], at: usize, mut number: u64) {
    for place in bytes.iter_mut().skip(at).take(DIGITS).rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

fn order(kind: &str, bytes: usize) -> String {
    let address = r#"{"firstname":"Maria","lastname":"Lindqvist","address1":"12 Harbour Road","address2":"","zipcode":"90210","city":"Port Anne","state":"California","country":"US","phone":"555-0142"}"#;
    let mut text = format!(
        concat!(
            r#"{{"message":"{}","payload":{{"bench":"000000000000","order":{{"number":"R000000000000","channel":"spree","#,
            r#""email":"maria.lindqvist@example.com","currency":"USD","placed_on":"2013-07-30T19:19:05Z","updated_at":"2013-07-30T20:08:39Z","#,
            r#""status":"complete","totals":{{"item":99.95,"adjustment":15.0,"tax":5.0,"shipping":10.0,"payment":114.95,"order":114.95}},"#,
            r#""adjustments":[{{"name":"Tax","value":5.0}},{{"name":"Shipping","value":10.0}}],"shipping_address":{},"billing_address":{},"#,
            r#""payments":[{{"number":63,"status":"completed","amount":114.95,"payment_method":"Credit Card"}}],"shipments":[],"line_items":["#
        ),
        kind, address, address
    );
    let tail = "]}}}";
    let mut line = 0;
    loop {
        let item = format!(
            r#"{}{{"name":"Organic cotton shirt, long sleeves","sku":"SHIRT-{line:04}","external_ref":"","quantity":{},"price":19.99,"variant_id":{},"options":{{"size":"M","colour":"navy"}}}}"#,
            if line == 0 { "" } else { "," },
            line % 3 + 1,
            1000 + line
        );
        if text.len() + item.len() + tail.len() > bytes && line > 0 {
            break;
        }
        text.push_str(&item);
        line += 1;
        if text.len() + tail.len() >= bytes {
            break;
        }
    }
    text.push_str(tail);
    text
}
