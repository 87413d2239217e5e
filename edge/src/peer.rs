//! Whose address a request comes from: the socket's, or, behind a proxy that is trusted, the rightmost
//! address that the proxies did not add themselves. What a stranger writes into `X-Forwarded-For` is never
//! believed.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::FORWARDED;
pub use weir_schemas::cidr::{BadCidr, Cidr, as_v6};

/// Most addresses read from forwarding headers; a longer chain is cut at its far end.
const HOPS_MAX: usize = 32;

/// The proxies whose forwarding headers are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<Cidr>);

impl TrustedProxies {
    /// These ranges.
    pub fn new(ranges: Vec<Cidr>) -> Self {
        Self(ranges)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// The client's address. Without trusted proxies this is the socket's, and costs nothing.
    pub fn client(&self, socket: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.0.is_empty() || !self.trusts(socket) {
            return socket;
        }
        let mut client = socket;
        if headers.contains_key(FORWARDED) {
            for hop in hops(headers, FORWARDED.as_str()) {
                match forwarded_for(hop) {
                    Some(address) => client = address,
                    None => break,
                }
                if !self.trusts(client) {
                    break;
                }
            }
            return client;
        }
        for hop in hops(headers, "x-forwarded-for") {
            match address(hop) {
                Some(address) => client = address,
                None => break,
            }
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// The list in a header's lines, the last first.
fn hops<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().rev();
    lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.rsplit(',')).take(HOPS_MAX)
}

fn forwarded_for(hop: &str) -> Option<IpAddr> {
    hop.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| address(value.trim().trim_matches('"')))?
    })
}

/// An address with or without port and brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split(']').next()?.parse().ok();
    }
    text.rsplit_once(':')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
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
}
