//! Whose address a request comes from: the socket's, or, behind a proxy that is trusted, the rightmost
//! address that the proxies did not add themselves. What a stranger writes into `X-Forwarded-For` is never
//! believed.

use std::net::IpAddr;

use http::HeaderName;
use http::header::FORWARDED;
pub use weir_schemas::cidr::{BadCidr, Cidr, as_v6};

use crate::lines::Lines;

/// Most addresses read from forwarding headers; a longer chain is cut at its far end.
const HOPS_MAX: usize = 32;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose forwarding headers are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Cidr>);

impl TrustedProxies {
    /// These ranges.
    pub fn new(ranges: Vec<Cidr>) -> Self {
        Self(ranges)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// The client's address, IPv4 where it was mapped. Without trusted proxies this is the socket's, and
    /// costs nothing.
    ///
    /// A proxy writes one of the two headers and lets the other through as the client sent it. So where both
    /// are there they must say the same; else neither is believed.
    pub fn client(&self, socket: IpAddr, headers: &impl Lines) -> IpAddr {
        let socket = socket.to_canonical();
        if self.0.is_empty() || !self.trusts(socket) {
            return socket;
        }
        let by = |name: HeaderName, read: fn(&[u8]) -> Option<IpAddr>| {
            headers.first(&name).is_some().then(|| self.beyond(socket, hops(headers, &name), read))
        };
        match (by(FORWARDED, forwarded_for), by(X_FORWARDED_FOR, address)) {
            (None, None) => socket,
            (Some(client), None) | (None, Some(client)) => client,
            (Some(one), Some(other)) => {
                if one == other {
                    one
                } else {
                    socket
                }
            }
        }
    }

    /// Follows the chain from the socket to the first address that is no proxy of ours. What cannot be read
    /// ends it: nothing beyond is believed.
    fn beyond<'a>(
        &self,
        socket: IpAddr,
        hops: impl Iterator<Item = &'a [u8]>,
        read: fn(&[u8]) -> Option<IpAddr>,
    ) -> IpAddr {
        let mut client = socket;
        for hop in hops {
            let Some(address) = read(hop) else { break };
            client = address.to_canonical();
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// The list in a header's lines, the last first, without what is empty (RFC 9110, 5.6.1). Bytes, because a
/// line that is no text must end the chain and not uncover the line before it.
fn hops<'a>(headers: &'a impl Lines, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let elements = headers.lines(name).rev().flat_map(|line| Elements(Some(line)));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()).take(HOPS_MAX)
}

/// The elements of one line, the last first. Read from the right also within quotes: what the proxies wrote
/// is well-formed and comes first, whatever a client wrote before it.
struct Elements<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.take()?;
        let mut quoted = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            match byte {
                b'"' if at == 0 || rest[at - 1] != b'\\' => quoted = !quoted,
                b',' if !quoted => {
                    self.0 = Some(&rest[..at]);
                    return Some(&rest[at + 1..]);
                }
                _ => {}
            }
        }
        Some(rest)
    }
}

/// The one `for=` of an element of `Forwarded` (RFC 7239).
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut named = element.split(|byte| *byte == b';').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        name.eq_ignore_ascii_case(b"for").then_some(value)
    });
    let value = named.next()?;
    if named.next().is_some() {
        return None;
    }
    let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    address(value)
}

/// An address with or without port and brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            (IpAddr::V6(address.parse().ok()?), rest)
        }
        None => {
            let (address, _) = text.split_once(':')?;
            (IpAddr::V4(address.parse().ok()?), &text[address.len()..])
        }
    };
    // A port may be hidden behind a name (RFC 7239, 6).
    let port = match port.strip_prefix(':') {
        Some(port) => port,
        None => return port.is_empty().then_some(address),
    };
    let named = port.starts_with('_') && port.len() > 1;
    (named || port.parse::<u16>().is_ok()).then_some(address)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn client(socket: &str, lines: &[(&'static str, &str)]) -> String {
        let trusted =
            TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        trusted.client(socket.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client("203.0.113.9", &[("x-forwarded-for", "1.1.1.1")]), "203.0.113.9");
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        let xff = "x-forwarded-for";
        assert_eq!(client("10.1.1.1", &[(xff, "6.6.6.6, 198.51.100.7, 10.2.2.2")]), "198.51.100.7");
        assert_eq!(client("10.1.1.1", &[(xff, "6.6.6.6"), (xff, "198.51.100.7:4711")]), "198.51.100.7");
        assert_eq!(client("::ffff:10.1.1.1", &[(xff, "[2a00::1]:99")]), "2a00::1");
        assert_eq!(client("10.1.1.1", &[(xff, "junk, 10.2.2.2")]), "10.2.2.2", "nothing beyond junk");
        assert_eq!(client("10.1.1.1", &[]), "10.1.1.1");
        let forwarded = [("forwarded", "for=6.6.6.6, For=\"[2a00::7]:80\";proto=https;by=10.1.1.1")];
        assert_eq!(client("2001:db8::5", &forwarded), "2a00::7");
    }

    #[test]
    fn what_cannot_be_read_ends_the_chain() {
        let xff = "x-forwarded-for";
        for line in [
            "6.6.6.6, junk",
            "6.6.6.6, 1.2.3.4:x",
            "6.6.6.6, 1.2.3.4:99999",
            "6.6.6.6, [1.2.3.4]",
            "6.6.6.6, [2a00::1]9",
            "6.6.6.6, 2a00::1%eth0",
            "6.6.6.6, 256.1.1.1",
            "6.6.6.6 1.2.3.4",
            "unknown",
            "",
            " , ,",
        ] {
            assert_eq!(client("10.1.1.1", &[(xff, line)]), "10.1.1.1", "{line}");
        }
        for line in [
            "for=6.6.6.6, for=unknown",
            "for=6.6.6.6, for=_hidden",
            "for=6.6.6.6, by=1.2.3.4",
            "6.6.6.6",
            "for=6.6.6.6, for=1.2.3.4;for=5.5.5.5",
            "for=6.6.6.6, for=\"1.2.3.4",
        ] {
            assert_eq!(client("10.1.1.1", &[("forwarded", line)]), "10.1.1.1", "{line}");
        }
        // A line that is no text must not uncover what a client wrote before it.
        let mut headers = HeaderMap::new();
        headers.append(xff, "6.6.6.6".parse().unwrap());
        headers.append(xff, http::HeaderValue::from_bytes(b"\xff, 198.51.100.7").unwrap());
        let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(trusted.client("10.1.1.1".parse().unwrap(), &headers).to_string(), "198.51.100.7");
        headers.append(xff, http::HeaderValue::from_bytes(b"10.3.3.3, \xff").unwrap());
        assert_eq!(trusted.client("10.1.1.1".parse().unwrap(), &headers).to_string(), "10.1.1.1");
    }

    #[test]
    fn every_way_to_write_an_address_is_one_address() {
        let xff = "x-forwarded-for";
        for (line, expected) in [
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("[::ffff:198.51.100.7]:443", "198.51.100.7"),
            ("198.51.100.7:1", "198.51.100.7"),
            ("198.51.100.7:_secret", "198.51.100.7"),
            ("2A00:0:0::1", "2a00::1"),
            ("[2a00::1]", "2a00::1"),
            ("[2a00::1]:443", "2a00::1"),
            ("198.51.100.7,,10.2.2.2,", "198.51.100.7"),
            ("198.51.100.7,::ffff:10.2.2.2", "198.51.100.7"),
            ("6.6.6.6,2a00::1,[2001:db8::9]:80", "2a00::1"),
        ] {
            assert_eq!(client("10.1.1.1", &[(xff, line)]), expected, "{line}");
        }
        assert_eq!(client("::ffff:203.0.113.9", &[]), "203.0.113.9");
        let duplicates = [(xff, "6.6.6.6"), (xff, "198.51.100.7"), (xff, "10.2.2.2"), (xff, "10.3.3.3")];
        assert_eq!(client("10.1.1.1", &duplicates), "198.51.100.7");
    }

    #[test]
    fn quotes_of_a_client_do_not_swallow_what_a_proxy_wrote() {
        for line in [
            "for=\", for=198.51.100.7",
            "for=\"6.6.6.6, for=198.51.100.7",
            "x=\"a,b\", for=198.51.100.7;host=\"a,b;c\"",
            "for=6.6.6.6, for=\"198.51.100.7:80\";by=\"[2001:db8::1]\"",
        ] {
            assert_eq!(client("10.1.1.1", &[("forwarded", line)]), "198.51.100.7", "{line}");
        }
    }

    #[test]
    fn the_header_that_a_proxy_lets_through_is_not_believed() {
        let both = |forwarded, xff| client("10.1.1.1", &[("forwarded", forwarded), ("x-forwarded-for", xff)]);
        assert_eq!(both("for=198.51.100.7", "198.51.100.7"), "198.51.100.7");
        assert_eq!(both("for=198.51.100.7", "6.6.6.6, 198.51.100.7, 10.2.2.2"), "198.51.100.7");
        assert_eq!(both("for=6.6.6.6", "198.51.100.7"), "10.1.1.1");
        assert_eq!(both("for=198.51.100.7", "6.6.6.6"), "10.1.1.1");
    }

    #[test]
    fn a_list_of_ten_kilobytes_is_read_from_its_near_end() {
        let xff = "x-forwarded-for";
        let mut long = "6.6.6.6, ".repeat(1_200);
        assert!(long.len() > 10_000);
        assert_eq!(client("10.1.1.1", &[(xff, &format!("{long}198.51.100.7, 10.2.2.2"))]), "198.51.100.7");
        // Proxies without end: cut, and never what lies beyond.
        long = "6.6.6.6, ".to_owned() + &"10.2.2.2, ".repeat(1_200);
        assert_eq!(client("10.1.1.1", &[(xff, &long)]), "10.2.2.2");
        assert_eq!(client("10.1.1.1", &[(xff, &",".repeat(10_000))]), "10.1.1.1");
        assert_eq!(client("10.1.1.1", &[("forwarded", &"\"".repeat(10_000))]), "10.1.1.1");
    }

    proptest::proptest! {
        #[test]
        fn a_client_cannot_choose_its_address(sent in "[ -~\u{80}-\u{ff}]{0,200}", lines in 0usize..3) {
            let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
            let socket = "10.1.1.1".parse().unwrap();
            for (name, proxys) in [("x-forwarded-for", "198.51.100.7"), ("forwarded", "for=198.51.100.7")] {
                let mut headers = HeaderMap::new();
                let value = |text: &str| http::HeaderValue::from_bytes(text.as_bytes()).unwrap();
                for _ in 0..lines {
                    headers.append(name, value(&sent));
                }
                headers.append(name, value(&format!("{sent}, {proxys}")));
                let client = trusted.client(socket, &headers).to_string();
                proptest::prop_assert_eq!(&client, "198.51.100.7");
            }
        }
    }
}
