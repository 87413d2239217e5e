//! Whether an autonomous system is a hosting provider's: by its number, else by a word in its name. Numbers
//! are the large providers', as they announce themselves in the routing table (RIPEstat, PeeringDB); a word
//! is enough for the many small ones. Content networks that carry people's own traffic (privacy relays) are
//! none.

use std::collections::HashSet;

use crate::enrich::Network;

/// Amazon, Microsoft, Google Cloud, Oracle, Alibaba, Tencent, Huawei, DigitalOcean, OVH, Hetzner, Linode,
/// Vultr, Contabo, Leaseweb, Scaleway, IONOS, M247, Datacamp, Psychz, QuadraNet, ColoCrossing, Hivelocity,
/// SoftLayer, Rackspace, GoDaddy, DreamHost, Namecheap, Hostinger, UpCloud, Kamatera, Serverius, WorldStream,
/// Host Europe, Strato, netcup, Aruba, Gcore, Zenlayer, Yandex Cloud, Selectel, Timeweb, FDC, Servers.com,
/// i3D, ReliableSite, Nocix, InterServer, BuyVM, HostRoyale, Clouvider, Packethub, Latitude, Equinix Metal,
/// Fly.io, Sharktech, Limestone, Steadfast, Cherry Servers.
const NUMBERS: &[u32] = &[
    14618, 16509, 8075, 396982, 31898, 45102, 37963, 45090, 132203, 55990, 136907, 14061, 16276, 24940,
    213230, 63949, 20473, 51167, 60781, 28753, 16265, 30633, 12876, 8560, 9009, 60068, 212238, 40676, 8100,
    36352, 29802, 36351, 27357, 33070, 19994, 26496, 26347, 22612, 47583, 202053, 36007, 41436, 210329,
    50673, 49981, 20773, 6724, 197540, 31034, 199524, 21859, 200350, 49505, 9123, 30058, 7979, 49544, 23470,
    33387, 19318, 53667, 203020, 62240, 136787, 147049, 262287, 396356, 54825, 40509, 46844, 46475, 32748,
    59642,
];

/// Words that only hosting providers have in their names.
const WORDS: &[&str] = &[
    "hosting",
    "hoster",
    "webhost",
    "datacenter",
    "data center",
    "datacentre",
    "data centre",
    "dedicated",
    "server",
    "vps",
    "colocation",
    "colocrossing",
    "baremetal",
    "bare metal",
    "cloud computing",
    "virtual private",
];

#[derive(Debug)]
pub(super) struct Hosting {
    numbers: HashSet<u32, ahash::RandomState>,
}

impl Hosting {
    pub(super) fn new() -> Self {
        Self { numbers: NUMBERS.iter().copied().collect() }
    }

    pub(super) fn is_one(&self, system: &Network) -> bool {
        if system.number == 0 {
            return false;
        }
        self.numbers.contains(&system.number) || WORDS.iter().any(|word| contains(&system.name, word))
    }
}

/// Whether `word` (in lower case) stands in `name`, in any case.
fn contains(name: &str, word: &str) -> bool {
    name.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_access_networks() {
        let hosting = Hosting::new();
        for (number, name, hosts) in [
            (16_509, "Amazon.com, Inc.", true),
            (999_001, "Example Web HOSTING Ltd", true),
            (999_002, "Nordic Data Centre AS", true),
            (3_320, "Deutsche Telekom AG", false),
            (7_922, "Comcast Cable Communications, LLC", false),
            (13_335, "Cloudflare, Inc.", false),
            (0, "", false),
            (0, "Some hosting", false),
        ] {
            assert_eq!(hosting.is_one(&Network { number, name: name.into() }), hosts, "{name}");
        }
        assert_eq!(hosting.numbers.len(), NUMBERS.len(), "each once");
    }
}
