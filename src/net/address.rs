//! Which addresses may be connected to.
//!
//! An operator registers URLs, and the hub connects to them from inside a network: without this check anybody who may
//! register an endpoint could reach the metadata service of a cloud, a database without a password, the hub's own API.
//! The ranges are those of the IANA special-purpose registries (RFC 6890 and its successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;
use url::{Host, Url};

/// What kind of address was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// `127.0.0.0/8`, `::1`
    Loopback,
    /// RFC 1918, and IPv6's unique local `fc00::/7`
    Private,
    /// `169.254.0.0/16`, `fe80::/10`, and the older site-local `fec0::/10`
    LinkLocal,
    /// `100.64.0.0/10`, behind a carrier's translation (RFC 6598)
    CarrierShared,
    /// `224.0.0.0/4`, `ff00::/8`
    Multicast,
    /// `255.255.255.255`
    Broadcast,
    /// `192.0.2.0/24` and its siblings, `2001:db8::/32`, `3fff::/20`
    Documentation,
    /// `198.18.0.0/15`, `2001:2::/48`
    Benchmarking,
    /// `0.0.0.0/8`, `::`
    Unspecified,
    /// An IPv4 address wrapped by a transition mechanism that leads nowhere known (Teredo, `::a.b.c.d`)
    Transition,
    /// Reserved, or not handed out as global unicast
    Reserved,
}

impl AddressKind {
    /// The kind in words, as in "a loopback address".
    pub fn words(self) -> &'static str {
        match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::CarrierShared => "a carrier's shared address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "an address for documentation",
            Self::Benchmarking => "an address for benchmarks",
            Self::Unspecified => "an unspecified address",
            Self::Transition => "an address of a transition mechanism",
            Self::Reserved => "a reserved address",
        }
    }
}

/// An address that the policy refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{address} is {} and no allowed network lists it", .kind.words())]
pub struct Refused {
    /// The address, a v4-mapped one as IPv4.
    pub address: IpAddr,
    /// Why it is special.
    pub kind: AddressKind,
}

/// Decides about addresses: global unicast passes, everything special is refused unless a network in the list has it.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    allow: Vec<IpNet>,
}

impl EgressPolicy {
    /// `allow` lists the special networks that may be reached all the same (`egress.allow_networks`). A network of
    /// v4-mapped addresses counts as the IPv4 network inside.
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self {
            allow: allow.into_iter().map(unmap_network).collect(),
        }
    }

    /// Whether a connection to `address` may be opened.
    ///
    /// # Errors
    /// [`Refused`] says which kind of special address it is. NAT64 (`64:ff9b::/96`, RFC 6052) and 6to4 (`2002::/16`)
    /// addresses are judged by the IPv4 address inside.
    pub fn permits(&self, address: IpAddr) -> Result<(), Refused> {
        let address = address.to_canonical();
        let judged = match address {
            IpAddr::V4(v4) => special_v4(v4),
            IpAddr::V6(v6) => match wrapped_v4(v6) {
                Some(v4) => special_v4(v4),
                None => special_v6(v6),
            },
        };
        let Some(kind) = judged else { return Ok(()) };
        if self.lists(address) {
            return Ok(());
        }
        Err(Refused { address, kind })
    }

    /// Whether the host of `url`, if it is written as an address, may be connected to. A name passes: what it resolves to
    /// is checked at each connection.
    ///
    /// # Errors
    /// As [`Self::permits`].
    pub fn permits_literal(&self, url: &Url) -> Result<(), Refused> {
        match url.host() {
            Some(Host::Ipv4(v4)) => self.permits(v4.into()),
            Some(Host::Ipv6(v6)) => self.permits(v6.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    fn lists(&self, address: IpAddr) -> bool {
        let inner = match address {
            IpAddr::V6(v6) => wrapped_v4(v6).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        self.allow
            .iter()
            .any(|net| net.contains(&address) || inner.is_some_and(|inner| net.contains(&inner)))
    }
}

fn unmap_network(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(96)
        && let Ok(net) = Ipv4Net::new(v4, prefix)
    {
        return IpNet::V4(net);
    }
    net
}

/// The IPv4 address that a translator on the way would connect to.
fn wrapped_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    match (a, b) {
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => Some(joined(g, h)),
        (0x2002, _) => Some(joined(b, c)),
        _ => None,
    }
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

fn special_v4(address: Ipv4Addr) -> Option<AddressKind> {
    use AddressKind::*;
    let kind = match address.octets() {
        [0, ..] => Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Private,
        [100, 64..=127, ..] => CarrierShared,
        [127, ..] => Loopback,
        [169, 254, ..] => LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Documentation,
        // Protocol assignments, and the anycast of 6to4 relays.
        [192, 0, 0, _] | [192, 88, 99, _] => Reserved,
        [198, 18..=19, ..] => Benchmarking,
        [224..=239, ..] => Multicast,
        [255, 255, 255, 255] => Broadcast,
        [240..=255, ..] => Reserved,
        _ => return None,
    };
    Some(kind)
}

fn special_v6(address: Ipv6Addr) -> Option<AddressKind> {
    use AddressKind::*;
    let segments = address.segments();
    let kind = match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Loopback,
        [0, 0, 0, 0, 0, 0, ..] => Transition,
        // Translation inside one network (RFC 8215) leads to addresses that only that network knows.
        [0x64, 0xff9b, 1, ..] => Private,
        [0xfc00..=0xfdff, ..] => Private,
        [0xfe80..=0xfeff, ..] => LinkLocal,
        [0xff00..=0xffff, ..] => Multicast,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Documentation,
        [0x2001, 0, ..] => Transition,
        [0x2001, 2, 0, ..] => Benchmarking,
        [0x2001, 0..=0x1ff, ..] => Reserved,
        [0x2000..=0x3fff, ..] => return None,
        // Only 2000::/3 has been handed out as global unicast.
        _ => Reserved,
    };
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(address: &str) -> Option<AddressKind> {
        let address = address.parse().expect("an address");
        EgressPolicy::default()
            .permits(address)
            .err()
            .map(|refused| refused.kind)
    }

    #[test]
    fn ordinary_addresses_pass() {
        for address in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "198.17.1.1",
            "198.20.1.1",
            "223.255.255.1",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert_eq!(refusal(address), None, "{address}");
        }
    }

    #[test]
    fn special_addresses_are_refused_by_kind() {
        use AddressKind::*;
        for (address, kind) in [
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.1.1", Private),
            ("100.64.0.1", CarrierShared),
            ("127.0.0.1", Loopback),
            ("127.255.0.1", Loopback),
            ("169.254.169.254", LinkLocal),
            ("192.0.0.8", Reserved),
            ("192.0.2.1", Documentation),
            ("198.51.100.1", Documentation),
            ("203.0.113.1", Documentation),
            ("198.19.255.255", Benchmarking),
            ("224.0.0.1", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Broadcast),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::127.0.0.1", Transition),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:10.1.2.3", Private),
            ("64:ff9b::10.0.0.1", Private),
            ("64:ff9b:1::1", Private),
            ("2002:7f00:1::1", Loopback),
            ("2001:0:4136:e378::1", Transition),
            ("2001:2::1", Benchmarking),
            ("2001:10::1", Reserved),
            ("2001:db8::1", Documentation),
            ("3fff::1", Documentation),
            ("fc00::1", Private),
            ("fd12::1", Private),
            ("fe80::1", LinkLocal),
            ("fec0::1", LinkLocal),
            ("ff02::1", Multicast),
            ("100::1", Reserved),
            ("5f00::1", Reserved),
            ("4000::1", Reserved),
        ] {
            assert_eq!(refusal(address), Some(kind), "{address}");
        }
    }

    #[test]
    fn a_listed_network_is_allowed_and_its_neighbour_is_not() {
        let policy = EgressPolicy::new(vec!["10.1.0.0/16".parse().expect("a network")]);
        let ask = |address: &str| policy.permits(address.parse().expect("an address"));
        assert!(ask("10.1.2.3").is_ok());
        assert!(ask("::ffff:10.1.2.3").is_ok());
        assert!(ask("64:ff9b::10.1.2.3").is_ok());
        assert!(ask("10.2.0.1").is_err());
        assert!(ask("::ffff:10.2.0.1").is_err());
    }

    #[test]
    fn a_mapped_network_counts_as_the_v4_network_inside() {
        let policy = EgressPolicy::new(vec!["::ffff:127.0.0.0/104".parse().expect("a network")]);
        assert!(policy.permits(Ipv4Addr::LOCALHOST.into()).is_ok());
        assert!(policy.permits(Ipv4Addr::new(10, 0, 0, 1).into()).is_err());
    }

    #[test]
    fn odd_spellings_of_a_literal_are_seen_through() {
        let policy = EgressPolicy::default();
        for url in [
            "http://127.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://[::ffff:7f00:1]/",
            "http://①②⑦.0.0.1/",
        ] {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(
                policy.permits_literal(&url).map_err(|refused| refused.kind),
                Err(AddressKind::Loopback),
                "{url}"
            );
        }
    }
}
