//! Fuzzing on stable Rust, a target for every provider: its decoder and the parser of its signature. Bodies and headers
//! are grown out of the provider's own samples by what breaks parsers (cut, doubled and spliced pieces, flipped bits,
//! absurd numbers, deep nesting, stray escapes), signed as the provider would, so that a mutant gets behind the
//! signature. A part of `make test` for [`MILLIS`] each; `make fuzz` shares what `WEIR_FUZZ_SECONDS` says among them,
//! from a seed of its own that a failure prints.
//!
//! Nothing may panic, hang or keep memory: what is decoded of a body is bounded by the body, and the process's peak
//! stays where it was.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use weir_schemas::time::Timestamp;

use super::settings::{Scheme, Settings};
use super::sign::{Signer, sign};
use super::signature::{Digest, Encoding};
use super::{Incoming, Provider};

/// How long each target runs where nothing is said.
const MILLIS: u64 = 300;
/// A body's bound at the listener.
const BODY_MAX: usize = crate::hooks::HOOK_BODY_MAX;
/// What the peak of the process's memory may grow by, in kB: bodies of up to a megabyte, decoded twice, and samples.
const GROWTH_MAX_KB: u64 = 128 * 1_024;
/// Longest damaged header, in bytes: the id of a delivery may stand in one.
const HEADER_MAX: usize = 8_192;
const SECRET: &str = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0";
const NOW: Timestamp = Timestamp(1_793_491_200_000);

/// Xorshift (Marsaglia 2003): a seed makes a run that can be had again.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    /// A piece of `of`, short more often than long.
    fn range(&mut self, of: usize) -> std::ops::Range<usize> {
        let from = self.below(of + 1);
        let longest = if self.below(4) == 0 { of } else { 24 };
        from..(from + self.below(longest + 1)).min(of)
    }
}

const NUMBERS: &[&[u8]] = &[
    b"0",
    b"-0",
    b"-1",
    b"1e308",
    b"1E-400",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"0.1",
    b"0.005",
    b"1000000000000000000000000000000",
    b"00",
    b"1.",
    b"NaN",
    b"253402300800",
];
const VALUES: &[&[u8]] = &[
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"\"\"",
    b"\"\\ud800\"",
    b"\"\\u0000\"",
    b"\"9999-12-31T23:59:60Z\"",
    b"[null]",
    b"\"-0000-00-00\"",
    b"\"\xff\xfe\"",
    b"\"1,50\"",
    b"\"XXX\"",
    b"{\"a\":{\"a\":{\"a\":1}}}",
    b"\"\xe2\x80\xae\"",
];

/// Ends of a value that begins at `from`: digits run on, everything else to the next mark.
fn token(body: &[u8], from: usize) -> usize {
    let marks = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b'&' | b'\n' | b';');
    from + body[from..].iter().position(marks).unwrap_or(body.len() - from)
}

fn mutate(body: &mut Vec<u8>, samples: &[Vec<u8>], chance: &mut Chance) {
    for _ in 0..1 + chance.below(6) {
        let range = chance.range(body.len());
        match chance.below(11) {
            0 if !body.is_empty() => {
                let at = chance.below(body.len());
                body[at] ^= 1 << chance.below(8);
            }
            1 => _ = body.drain(range),
            2 => {
                let piece = body[range.clone()].to_vec();
                body.splice(range.start..range.start, piece.iter().chain(&piece).copied());
            }
            3 => {
                let other = &samples[chance.below(samples.len())];
                let piece = other[chance.range(other.len())].to_vec();
                body.splice(range, piece);
            }
            4 | 5 => {
                let digit =
                    body[range.start..].iter().position(u8::is_ascii_digit).map(|at| range.start + at);
                if let Some(from) = digit {
                    let end = from + body[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                    body.splice(from..end, chance.one_of(NUMBERS).iter().copied());
                }
            }
            6 | 7 => {
                let mark = body[range.start..].iter().position(|byte| matches!(byte, b':' | b'='));
                if let Some(from) = mark.map(|at| range.start + at + 1) {
                    let end = token(body, from);
                    body.splice(from..end, chance.one_of(VALUES).iter().copied());
                }
            }
            8 => {
                let open = *chance
                    .one_of(&[b"[".as_slice(), b"{\"a\":", b"(", b"%5B", b"\\"])
                    .first()
                    .unwrap_or(&b'[');
                let depth = 1 << chance.below(13);
                body.splice(range, std::iter::repeat_n(open, depth));
            }
            9 => body.truncate(range.start),
            _ => {
                let bytes: Vec<u8> = (0..chance.below(9)).map(|_| chance.next() as u8).collect();
                body.splice(range, bytes);
            }
        }
        body.truncate(BODY_MAX);
    }
}

/// Every sample of a provider: its own, and those of `docs/samples`.
fn corpus(provider: Provider) -> Vec<Vec<u8>> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = |path: &str| std::fs::read_dir(here.join(path)).into_iter().flatten();
    let name = provider.as_str();
    let documented = folder("../docs/samples").filter(|file| {
        let file = file.as_ref().unwrap().file_name();
        file.to_string_lossy().split('.').next() == Some(name)
    });
    let files = folder(&format!("tests/webhooks/{name}")).chain(documented);
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let own: &[&[u8]] = match provider {
        Provider::Standard | Provider::Generic => &[
            br#"{"id":"e","type":"sale","data":{"order_id":"1","amount":"1.00","currency":"USD","wclid":"t"}}"#,
            br#"{"id":"e","type":"refund","data":{"order_id":"1","refunded_total":"0.50","currency":"USD"}}"#,
        ],
        Provider::WooCommerce => &[
            br#"{"id":1,"status":"completed","total":"1.00","currency":"USD","meta_data":[{"key":"wclid","value":"t"}],
                "refunds":[{"id":2,"total":"-0.50"}],"date_modified_gmt":"2026-11-20T10:00:00"}"#,
        ],
        _ => &[],
    };
    let samples =
        files.iter().filter(|path| path.extension().is_some_and(|end| end != "pem" && end != "pk8"));
    let samples: Vec<Vec<u8>> = samples
        .map(|path| filled(std::fs::read(path).unwrap()))
        .chain(own.iter().map(|sample| sample.to_vec()))
        .collect();
    assert!(!samples.is_empty(), "{provider:?} has no sample");
    samples
}

/// A documented sample with what `weir hooks sign` puts into it.
fn filled(sample: Vec<u8>) -> Vec<u8> {
    let Ok(text) = String::from_utf8(sample.clone()) else { return sample };
    let now = (NOW.0 / 1_000).to_string();
    let text = text.replace("{{now_iso}}", "2026-11-20T10:00:00Z").replace("{{now}}", &now);
    text.replace("{{wclid}}", "t").into_bytes()
}

/// The most memory that the process ever had, in kB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What an endpoint of the provider may be set to.
fn settings(provider: Provider, chance: &mut Chance) -> Settings {
    match provider {
        Provider::Generic if chance.below(2) == 0 => {
            Settings { signature: Some(Scheme::default()), ..Settings::default() }
        }
        Provider::Generic => Settings {
            signature: Some(Scheme {
                prefix: chance.one_of(&["", "sha256="]).to_owned(),
                algorithm: if chance.below(2) == 0 { Digest::Sha256 } else { Digest::Sha512 },
                encoding: if chance.below(2) == 0 { Encoding::Hex } else { Encoding::Base64 },
                timestamp_header: (chance.below(2) == 0).then(|| "x-time".to_owned()),
                ..Scheme::default()
            }),
            ..Settings::default()
        },
        Provider::PayPal => Settings {
            certificate: Some(include_str!("../../tests/webhooks/paypal/cert.pem").to_owned()),
            ..Settings::default()
        },
        Provider::Gumroad if chance.below(4) == 0 => {
            Settings { seller_id: Some("A_LONG_STRING==".to_owned()), ..Settings::default() }
        }
        _ => Settings::default(),
    }
}

/// One delivery: signed, now and then with a damaged header, and also decoded as if its signature were good.
fn deliver(provider: Provider, body: &[u8], chance: &mut Chance) -> (bool, usize) {
    let settings = settings(provider, chance);
    let key: &[u8] = include_bytes!("../../tests/webhooks/paypal/test_key.pk8");
    let signed = sign(provider, Signer { secret: SECRET, private_key: Some(key) }, body, NOW).ok();
    let body = signed.as_ref().map_or(body, |signed| &signed.body);
    let mut headers = HeaderMap::new();
    let time = ("x-time", (NOW.0 / 1_000).to_string());
    for (name, value) in signed.iter().flat_map(|signed| &signed.headers).chain([&time]) {
        let mut value = value.clone().into_bytes();
        if chance.below(4) == 0 {
            let other = vec![b"t=1,v1=,h1;ts=:,,=v1,AAAA ".to_vec(), value.clone()];
            mutate(&mut value, &other, chance);
            value.truncate(HEADER_MAX);
        }
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let (segment, query) =
        if chance.below(2) == 0 { (SECRET, "") } else { ("", "token=whsec_c2VjcmV0&token=x%") };
    let incoming = Incoming { headers: &headers, body, now: NOW, segment, query };
    let verified = provider.receive(&[SECRET.to_owned()], &settings, incoming);
    let decoded = provider.decode(incoming);
    let notices = decoded.as_ref().map_or(0, |decoded| decoded.notices.len());
    // A notice is told by some bytes of the body, so there cannot be more of them; a byte that is no text becomes
    // three.
    let key = decoded.as_ref().map_or(0, |told| told.dedupe_key.len());
    let bounded = notices <= body.len() && key <= HEADER_MAX + 1_024 + 3 * body.len();
    assert!(
        bounded,
        "{provider:?}: {notices} notices, a key of {key} bytes, of {}",
        String::from_utf8_lossy(body)
    );
    (verified.is_ok(), notices)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok())
}

fn grow(provider: Provider) {
    let whole = number("WEIR_FUZZ_SECONDS").map(|seconds| seconds * 1_000 / Provider::ALL.len() as u64);
    let time = Duration::from_millis(whole.unwrap_or(MILLIS));
    let seed = number("WEIR_FUZZ_SEED").unwrap_or(0x5eed_0f0e_1ec7_0000 ^ provider as u64).max(1);
    let samples = corpus(provider);
    let mut chance = Chance(seed);
    let (mut rounds, mut verified, mut told) = (0_u64, 0_u64, 0_u64);
    let mut slowest = Duration::ZERO;
    let name = provider.as_str();
    let (before, until) = (peak_kb(), Instant::now() + time);
    eprintln!("{name}: fuzzing for {time:?}, WEIR_FUZZ_SEED={seed}");
    // Enough that something is believed, also on a machine that sleeps.
    while rounds < 100 || Instant::now() < until {
        let mut body = samples[chance.below(samples.len())].clone();
        // One in eight is whole: what is decoded of it is decoded again and again.
        if chance.below(8) != 0 {
            mutate(&mut body, &samples, &mut chance);
        }
        let begun = Instant::now();
        let (good, notices) = deliver(provider, &body, &mut chance);
        slowest = slowest.max(begun.elapsed());
        (verified, told) = (verified + u64::from(good), told + notices as u64);
        rounds += 1;
    }
    eprintln!("{name}: {rounds} deliveries, {verified} believed, {told} notices, the slowest {slowest:?}");
    assert!(verified > 0 && told > 0, "mutants get behind the signature and mean something");
    let grown = peak_kb().saturating_sub(before);
    assert!(grown < GROWTH_MAX_KB, "memory grew by {grown} kB");
}

/// Declares the targets; one that is forgotten is a provider without an arm.
macro_rules! targets {
    ($($name:ident = $provider:ident,)*) => {
        $(#[test]
        fn $name() {
            grow(Provider::$provider);
        })*

        #[test]
        fn every_provider_has_a_target() {
            // Not run: a provider that is added and has no target does not compile.
            let _: fn(Provider) = |provider| match provider { $(Provider::$provider => {})* };
            assert_eq!([$(Provider::$provider),*].len(), Provider::ALL.len());
        }
    };
}

targets! {
    standard = Standard,
    stripe = Stripe,
    razorpay = Razorpay,
    fondy = Fondy,
    gumroad = Gumroad,
    refersion = Refersion,
    shopify = Shopify,
    paddle = Paddle,
    lemonsqueezy = LemonSqueezy,
    woocommerce = WooCommerce,
    paypal = PayPal,
    generic = Generic,
}
