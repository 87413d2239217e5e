//! Ranges of addresses, of either family.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: u128,
    mask: u128,
}

/// The text is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an address range such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct BadCidr;

/// An address as IPv6, IPv4 mapped.
pub fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn bits(address: IpAddr) -> u128 {
    u128::from(as_v6(address))
}

impl Cidr {
    /// Whether `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.network
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let (address, length) = match text.trim().split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadCidr)?;
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(text) => text.parse::<u32>().ok().filter(|length| *length <= width).ok_or(BadCidr)?,
            None => width,
        };
        // IPv4 ranges lie under ::ffff:0:0/96.
        let length = length + 128 - width;
        let mask = if length == 0 { 0 } else { u128::MAX << (128 - length) };
        Ok(Self { network: bits(address) & mask, mask })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked() {
        for bad in ["", "10.0.0.0/33", "::/129", "a/8", "10.0.0/8", "10.0.0.0/-1"] {
            assert_eq!(bad.parse::<Cidr>(), Err(BadCidr), "{bad}");
        }
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("8.8.8.8".parse().unwrap()) && !all.contains("2a00::1".parse().unwrap()));
        assert!("::/0".parse::<Cidr>().unwrap().contains("8.8.8.8".parse().unwrap()));
        let one: Cidr = "203.0.113.9".parse().unwrap();
        assert!(one.contains("::ffff:203.0.113.9".parse().unwrap()));
        assert!(!one.contains("203.0.113.8".parse().unwrap()));
    }
}
