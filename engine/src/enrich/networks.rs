//! Which autonomous system an address belongs to, from the tables of npm `@ip-location-db/asn`: lines
//! `first,last,number,name` in the order of their first address, one file per family. They are mapped and
//! searched where they are, some twenty lines a search, so they take neither time at the start nor memory;
//! answers are kept per /24 and /48, the longest prefixes that networks announce to each other.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use maxminddb::Mmap;

use super::geo::GeoError;

/// How many prefixes are remembered; about 100 bytes each.
pub const PREFIXES_MAX: usize = 65_536;

/// An autonomous system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Its number; 0 where unknown.
    pub number: u32,
    /// Who runs it.
    pub name: String,
}

/// The open tables.
pub struct Networks {
    v4: Mmap,
    v6: Mmap,
    seen: HashMap<u128, Network, ahash::RandomState>,
}

impl std::fmt::Debug for Networks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Networks").field("seen", &self.seen.len()).finish_non_exhaustive()
    }
}

impl Networks {
    /// Opens `asn-ipv4.csv` and `asn-ipv6.csv` in `folder`.
    ///
    /// # Errors
    /// A file that is missing or is no such table: fetch it with `make networks`.
    pub fn open(folder: &Path) -> Result<Self, GeoError> {
        let open = |name: &str| {
            let path = folder.join(name);
            let map = crate::mapped_file::read_only(&path)
                .map_err(|source| GeoError::Open { path: path.clone(), source })?;
            if line(&map, 0).and_then(|(text, _)| range(text)).is_none() {
                let reason = "its first line is not first,last,number,name".to_owned();
                return Err(GeoError::Format { path, reason });
            }
            Ok(map)
        };
        Ok(Self { v4: open("asn-ipv4.csv")?, v6: open("asn-ipv6.csv")?, seen: HashMap::default() })
    }

    /// The system of `address`.
    pub fn look_up(&mut self, address: IpAddr) -> &Network {
        let (table, number, prefix) = match address {
            IpAddr::V4(v4) => (&self.v4, u128::from(v4.to_bits()), u128::from(v4.to_bits() >> 8)),
            // No IPv4 prefix is this large.
            IpAddr::V6(v6) => (&self.v6, v6.to_bits(), 1 << 127 | v6.to_bits() >> 80),
        };
        if self.seen.len() >= PREFIXES_MAX && !self.seen.contains_key(&prefix) {
            self.seen.clear();
        }
        self.seen.entry(prefix).or_insert_with(|| find(table, number).unwrap_or_default())
    }
}

/// The line that `at` lies in, and where it ends.
fn line(table: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let start = table[..at].iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    let rest = table.get(start..).filter(|rest| !rest.is_empty())?;
    let length = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    Some((&rest[..length], start + length))
}

/// First and last address of a line, and the rest of it.
fn range(line: &[u8]) -> Option<(u128, u128, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let (first, rest) = line.split_once(',')?;
    let (last, rest) = rest.split_once(',')?;
    let number = |text: &str| match text.parse::<Ipv4Addr>() {
        Ok(v4) => Some(u128::from(v4.to_bits())),
        Err(_) => text.parse::<Ipv6Addr>().ok().map(Ipv6Addr::to_bits),
    };
    Some((number(first)?, number(last)?, rest))
}

fn find(table: &[u8], address: u128) -> Option<Network> {
    let (mut low, mut high) = (0, table.len());
    // Between `low` and `high` begins the last line whose first address is not behind `address`.
    while low < high {
        let (text, end) = line(table, low + (high - low) / 2)?;
        let (first, last, rest) = range(text)?;
        if address < first {
            high = end - text.len();
        } else if address <= last {
            let (number, name) = rest.trim_end().split_once(',')?;
            let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
            return Some(Network { number: number.parse().ok()?, name: name.replace("\"\"", "\"") });
        } else {
            low = end + 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V4: &str = "1.0.0.0,1.0.0.255,13335,\"Cloudflare, Inc.\"\n1.0.4.0,1.0.7.255,38803,Gtelecom Pty Ltd\n\
        9.9.9.0,9.9.9.255,19281,\"Quad9 \"\"x\"\"\"\n223.0.0.0,223.255.255.255,7,Last";
    const V6: &str = "2001:200::,2001:200:1b9:ffff:ffff:ffff:ffff:ffff,2500,WIDE Project\n";

    fn networks() -> (tempfile::TempDir, Networks) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("asn-ipv4.csv"), V4).unwrap();
        std::fs::write(folder.path().join("asn-ipv6.csv"), V6).unwrap();
        let networks = Networks::open(folder.path()).unwrap();
        (folder, networks)
    }

    #[test]
    fn addresses_are_found_in_their_ranges() {
        let (_folder, mut networks) = networks();
        for (address, number, name) in [
            ("1.0.0.0", 13_335, "Cloudflare, Inc."),
            ("1.0.0.255", 13_335, "Cloudflare, Inc."),
            ("1.0.1.0", 0, ""),
            ("0.0.0.0", 0, ""),
            ("1.0.5.9", 38_803, "Gtelecom Pty Ltd"),
            ("9.9.9.9", 19_281, "Quad9 \"x\""),
            ("223.255.255.255", 7, "Last"),
            ("224.0.0.1", 0, ""),
            ("2001:200::1", 2_500, "WIDE Project"),
            ("2001:201::1", 0, ""),
            ("::1", 0, ""),
        ] {
            for _ in 0..2 {
                let found = networks.look_up(address.parse().unwrap());
                assert_eq!((found.number, found.name.as_str()), (number, name), "{address}");
            }
        }
    }

    #[test]
    fn what_is_no_table_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Networks::open(folder.path()), Err(GeoError::Open { .. })));
        std::fs::write(folder.path().join("asn-ipv4.csv"), "nonsense\n").unwrap();
        assert!(matches!(Networks::open(folder.path()), Err(GeoError::Format { .. })));
    }

    proptest! {
        #[test]
        fn a_search_finds_what_reading_all_lines_finds(
            starts in prop::collection::btree_set(0_u32..5_000, 1..60),
            asked in prop::collection::vec(0_u32..6_000, 1..60),
        ) {
            let starts: Vec<u32> = starts.into_iter().collect();
            let ranges: Vec<(u32, u32)> = starts
                .iter()
                .enumerate()
                .map(|(n, first)| (*first, (first + 40).min(starts.get(n + 1).map_or(u32::MAX, |next| next - 1))))
                .collect();
            let text: String = ranges
                .iter()
                .map(|(first, last)| {
                    let of = |bits: u32| Ipv4Addr::from_bits(bits);
                    format!("{},{},{},Net {first}\n", of(*first), of(*last), first + 1)
                })
                .collect();
            for address in asked {
                let naive = ranges.iter().find(|(first, last)| (*first..=*last).contains(&address));
                let found = find(text.as_bytes(), u128::from(address)).map(|network| network.number);
                prop_assert_eq!(found, naive.map(|(first, _)| first + 1), "{}", address);
            }
        }
    }
}
