//! Facts that the benches share: hits and clicks as busy links see them, always the same ones.

#![forbid(unsafe_code)]

use weir_schemas::click::{Click, Dims, Verdict};
use weir_schemas::hit::RawHit;
use weir_schemas::ids::{ClickId, LinkId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::time::Timestamp;

pub mod database;

/// 2026-11-01 00:00 UTC: the first click.
pub const START: Timestamp = Timestamp(1_793_491_200_000);
/// The tenant of all clicks.
pub const WORKSPACE: WorkspaceId = WorkspaceId(1);
/// The node of all clicks.
pub const NODE: u16 = 1;
/// How many people visit.
pub const VISITORS: u64 = 2_000;

/// Where they come from.
pub const COUNTRIES: [&str; 50] = [
    "US", "DE", "GB", "FR", "IN", "BR", "JP", "CA", "AU", "ES", "IT", "NL", "SE", "PL", "MX", "KR", "ID",
    "TR", "CH", "AT", "BE", "NO", "DK", "FI", "IE", "PT", "CZ", "RO", "GR", "HU", "IL", "AE", "SA", "ZA",
    "NG", "EG", "KE", "AR", "CL", "CO", "PE", "VN", "TH", "MY", "SG", "PH", "NZ", "UA", "TW", "HK",
];
const CITIES: [&str; 8] =
    ["Berlin", "San Francisco", "London", "São Paulo", "Tokyo", "Paris", "Bengaluru", "Toronto"];
const REFERRERS: [&str; 6] = ["", "google.com", "t.co", "news.ycombinator.com", "facebook.com", "reddit.com"];
const BROWSERS: [(&str, &str, &str); 4] = [
    ("desktop", "Chrome", "Windows"),
    ("mobile", "Mobile Safari", "iOS"),
    ("mobile", "Chrome Mobile", "Android"),
    ("desktop", "Firefox", "Linux"),
];

/// A browser.
pub const USER_AGENT: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 \
                              (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";

/// The `number`-th click: one a second, so a week of hours in 604,800 of them.
pub fn click(number: u64) -> Click<'static> {
    // Knuth's multiplier: neighbours differ in everything, every run is the same.
    let mixed = number.wrapping_mul(2_654_435_761) >> 8;
    let pick = |length: usize| (mixed % length as u64) as usize;
    let at = Timestamp(START.0 + number as i64 * 1_000);
    let (device, browser, os) = BROWSERS[pick(BROWSERS.len())];
    let referrer = REFERRERS[pick(REFERRERS.len())];
    Click {
        id: ClickId::new(at.0, NODE, 0, number),
        at,
        verdict: Verdict::Counted,
        bot: false,
        flags: 0,
        status: 302,
        latency_us: 7 + (mixed % 20) as u32,
        workspace: WORKSPACE,
        link: LinkId(1 + mixed % 40),
        program: ProgramId::NONE,
        partner: PartnerId::NONE,
        visitor: (mixed % VISITORS).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        network: mixed.wrapping_mul(0xD6E8_FEB8_6659_FD93),
        asn: 3_320 + (mixed % 500) as u32,
        dims: Dims {
            domain: "go.example.com".into(),
            country: COUNTRIES[pick(COUNTRIES.len())].into(),
            region: "Region".into(),
            city: CITIES[pick(CITIES.len())].into(),
            continent: "EU".into(),
            device: device.into(),
            browser: browser.into(),
            os: os.into(),
            referrer: referrer.into(),
            medium: if referrer.is_empty() { "direct" } else { "referral" }.into(),
            utm_source: "newsletter".into(),
            utm_campaign: "spring".into(),
            language: "de".into(),
            ..Dims::default()
        },
        slug: "spring-sale".into(),
        evidence: "".into(),
    }
}

/// [`click`] as the journal keeps it.
pub fn click_bytes(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    click(number).write(&mut bytes);
    bytes
}

/// A hit as the redirect hands it on.
pub fn hit_bytes(number: u64) -> Vec<u8> {
    hit(number, [203, 0, 113, (number % 200) as u8])
}

/// The same from addresses all over the internet.
pub fn hit_from_anywhere(number: u64) -> Vec<u8> {
    hit(number, (((number as u32).wrapping_mul(0x000d_1937)) | 0x0100_0000).to_be_bytes())
}

fn hit(number: u64, v4: [u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut address = [0; 16];
    address[10..12].fill(0xFF);
    address[12..].copy_from_slice(&v4);
    let hit = RawHit {
        at: START,
        verdict: Verdict::Counted,
        flags: 0,
        status: 302,
        latency_us: 9,
        workspace: WORKSPACE,
        link: LinkId(1 + number % 40),
        program: ProgramId::NONE,
        partner: PartnerId::NONE,
        visitor: number % VISITORS,
        address,
        domain: "go.example.com",
        slug: "spring-sale",
        variant: "",
        user_agent: USER_AGENT,
        referrer: "https://www.google.com/",
        language: "de-DE,de;q=0.9,en;q=0.8",
        query: "utm_source=newsletter&utm_medium=email&utm_campaign=spring&gclid=EAIaIQobChMI",
        link_utm: "",
    };
    hit.write(&mut bytes);
    bytes
}
