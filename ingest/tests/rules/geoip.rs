//! A MaxMind DB small enough to be written by a test, after the format's specification 2.0
//! (maxmind.github.io/MaxMind-DB): a binary tree of networks, then their records, then the metadata.

use std::net::Ipv4Addr;

/// A network and what is known of it.
pub(crate) struct Network {
    pub(crate) address: Ipv4Addr,
    pub(crate) bits: u8,
    pub(crate) country: &'static str,
    pub(crate) region: &'static str,
    pub(crate) city: &'static str,
}

const UTF8: u8 = 2;
const U16: u8 = 5;
const U32: u8 = 6;
const MAP: u8 = 7;
/// Array and u64 are extended types: 0, then the type less seven.
const ARRAY: u8 = 11;
const U64: u8 = 9;

#[derive(Clone, Copy)]
enum Child {
    Empty,
    Node(usize),
    Data(usize),
}

/// The file's bytes.
pub(crate) fn database(networks: &[Network]) -> Vec<u8> {
    let mut nodes = vec![[Child::Empty; 2]];
    let mut data = Vec::new();
    for network in networks {
        let at = data.len();
        map(&mut data, 3);
        for (name, value) in
            [("country_code", network.country), ("state1", network.region), ("city", network.city)]
        {
            text(&mut data, name);
            text(&mut data, value);
        }
        let address = u32::from(network.address);
        let mut node = 0;
        for depth in 0..network.bits {
            let side = (address >> (31 - depth) & 1) as usize;
            if depth + 1 == network.bits {
                nodes[node][side] = Child::Data(at);
            } else if let Child::Node(next) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([Child::Empty; 2]);
                nodes[node][side] = Child::Node(nodes.len() - 1);
                node = nodes.len() - 1;
            }
        }
    }
    let mut file = Vec::new();
    for child in nodes.iter().flatten() {
        let number = match *child {
            Child::Empty => nodes.len(),
            Child::Node(node) => node,
            Child::Data(at) => nodes.len() + 16 + at,
        };
        file.extend_from_slice(&(number as u32).to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    metadata(&mut file, nodes.len() as u32);
    file
}

fn metadata(out: &mut Vec<u8>, nodes: u32) {
    map(out, 9);
    text(out, "node_count");
    number(out, U32, &nodes.to_be_bytes());
    for (name, value) in [
        ("record_size", 24),
        ("ip_version", 4),
        ("binary_format_major_version", 2),
        ("binary_format_minor_version", 0),
    ] {
        text(out, name);
        number(out, U16, &u16::to_be_bytes(value));
    }
    text(out, "database_type");
    text(out, "test");
    text(out, "languages");
    out.extend_from_slice(&[0, ARRAY - 7]);
    text(out, "build_epoch");
    out.extend_from_slice(&[8, U64 - 7]);
    out.extend_from_slice(&1u64.to_be_bytes());
    text(out, "description");
    map(out, 0);
}

fn map(out: &mut Vec<u8>, pairs: u8) {
    out.push(MAP << 5 | pairs);
}

fn text(out: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 29, "a longer text has its length behind the type");
    out.push(UTF8 << 5 | text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

fn number(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind << 5 | bytes.len() as u8);
    out.extend_from_slice(bytes);
}
