//! Fuzzing on stable Rust: bodies and headers grown out of the providers' own samples by what breaks parsers (cut,
//! doubled and spliced pieces, flipped bits, absurd numbers, deep nesting, stray escapes), signed as their provider
//! would, so that a mutant gets behind the signature. A part of `make test` for [`SECONDS`]; `make fuzz` runs it for as
//! long as `WEIR_FUZZ_SECONDS` says, from a seed of its own that a failure prints.
//!
//! Nothing may panic, hang or keep memory: what is decoded of a body is bounded by the body, and the process's peak
//! stays where it was.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use weir_schemas::time::Timestamp;

use super::settings::{Scheme, Settings};
use super::sign::sign;
use super::{Incoming, Provider};

/// How long it runs where nothing is said.
const SECONDS: u64 = 3;
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

/// Every sample, by provider.
fn corpus() -> Vec<(Provider, Vec<Vec<u8>>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/webhooks"));
    let of = |provider: Provider| -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(folder.join(provider.as_str())).into_iter().flatten();
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
        samples
            .map(|path| std::fs::read(path).unwrap())
            .chain(own.iter().map(|sample| sample.to_vec()))
            .collect()
    };
    let corpus: Vec<_> = Provider::ALL.iter().map(|provider| (*provider, of(*provider))).collect();
    assert!(corpus.iter().all(|(_, samples)| !samples.is_empty()), "every provider has a sample");
    corpus
}

/// The most memory that the process ever had, in kB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// One delivery: signed, now and then with a damaged header, and also decoded as if its signature were good.
fn deliver(provider: Provider, body: &[u8], chance: &mut Chance) -> (bool, usize) {
    let settings = match provider {
        Provider::Generic => Settings { signature: Some(Scheme::default()), ..Settings::default() },
        _ => Settings::default(),
    };
    let signed = sign(provider, SECRET, body, NOW).ok();
    let body = signed.as_ref().map_or(body, |signed| &signed.body);
    let mut headers = HeaderMap::new();
    for (name, value) in signed.iter().flat_map(|signed| &signed.headers) {
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

#[test]
fn grown_out_of_samples_nothing_panics_hangs_or_fills_memory() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("WEIR_FUZZ_SECONDS").unwrap_or(SECONDS);
    let seed = number("WEIR_FUZZ_SEED").unwrap_or(0x5eed_0f0e_1ec7_0000 ^ seconds).max(1);
    let corpus = corpus();
    let mut chance = Chance(seed);
    let (mut rounds, mut verified, mut told) = (0_u64, 0_u64, 0_u64);
    let mut slowest = Duration::ZERO;
    let (before, until) = (peak_kb(), Instant::now() + Duration::from_secs(seconds));
    eprintln!("fuzzing for {seconds} s, WEIR_FUZZ_SEED={seed}");
    // A round at least, also on a machine that sleeps.
    while rounds == 0 || Instant::now() < until {
        for (provider, samples) in &corpus {
            let mut body = samples[chance.below(samples.len())].clone();
            // One in eight is whole: what is decoded of it is decoded again and again.
            if chance.below(8) != 0 {
                mutate(&mut body, samples, &mut chance);
            }
            let begun = Instant::now();
            let (good, notices) = deliver(*provider, &body, &mut chance);
            slowest = slowest.max(begun.elapsed());
            (verified, told) = (verified + u64::from(good), told + notices as u64);
            rounds += 1;
        }
    }
    eprintln!("{rounds} deliveries, {verified} believed, {told} notices, the slowest {slowest:?}");
    assert!(verified > 0 && told > 0, "mutants get behind the signature and mean something");
    let grown = peak_kb().saturating_sub(before);
    assert!(grown < GROWTH_MAX_KB, "memory grew by {grown} kB");
}
