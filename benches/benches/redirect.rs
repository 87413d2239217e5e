//! The redirect's own work for one visit among a million links: from the parsed request to the answer, the hit in its
//! lane, in processor time of its thread. What the listener and the kernel add is measured by `make bench-redirect`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_benches::{NODE, USER_AGENT, WORKSPACE};
use weir_edge::peer::TrustedProxies;
use weir_edge::service::Service;
use weir_engine::caps::{Caps, CapsConfig};
use weir_engine::enrich::Geo;
use weir_engine::journal::JournalConfig;
use weir_engine::links::{LinkTable, TrackedLink};
use weir_engine::recorder::{Recorder, RecorderConfig};
use weir_ingest::redirect::{Locks, Redirect, RedirectConfig, Repeats, Visited, pages};
use weir_schemas::ids::LinkId;
use weir_schemas::time::Timestamp;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where `make geoip` puts the files.
const GEOIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.weir/geoip");
/// Visits between which the lane is emptied off the clock.
const BURST: u64 = 20_000;
/// Links in the table.
const LINKS: u64 = 1_000_000;
/// The bench whose visitors all come for the first time.
const FIRST_CLICKS: &str = "repeats told apart, a first click";
/// Of these so many are visited by turns: more than any cache holds.
const VISITED: u64 = 65_536;

fn link(number: u64, slug: &str, mut rest: Value) -> Arc<TrackedLink> {
    rest["slug"] = slug.into();
    rest["destination"] = "https://shop.example.com/products/spring-sale?ref=weir".into();
    let spec = serde_json::from_value(rest).expect("a link of api.md");
    Arc::new(TrackedLink::new(LinkId(number), WORKSPACE, Timestamp(0), spec))
}

fn links() -> LinkTable {
    let before = resident_bytes();
    let links = LinkTable::default();
    let plain = link(0, "", json!({}));
    for number in 1..=LINKS {
        let mut spec = plain.spec.clone();
        spec.slug = Some(format!("s{number}"));
        links.put(Arc::new(TrackedLink::new(LinkId(number), WORKSPACE, Timestamp(0), spec)));
    }
    println!("{LINKS} links take {} bytes each", (resident_bytes() - before) / LINKS);
    for (number, (slug, rest)) in (LINKS + 1..).zip(deciding()) {
        links.put(link(number, slug, rest));
    }
    links
}

/// Bytes of memory that this process holds.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident size");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("kilobytes") * 1_024
}

/// Links that decide where a visit goes, by what a decision needs, and links with limits that hold none back. No rule
/// holds, so that all are asked.
fn deciding() -> [(&'static str, Value); 9] {
    let rules = |conditions: &[Value]| {
        let rule = |condition| json!({"if": condition, "destination": "https://other.example.com/"});
        json!({"rules": conditions.iter().map(rule).collect::<Vec<_>>()})
    };
    let arm = |n| json!({"name": format!("v{n}"), "destination": "https://shop.example.com/v", "weight": 10});
    [
        (
            "request",
            rules(&[
                json!({"language": ["fr"]}),
                json!({"query.utm_source": ["ads"]}),
                json!({"ip": ["10.0.0.0/8", "2001:db8::/32"]}),
                json!({"referrer": ["news.example"]}),
            ]),
        ),
        ("agent", rules(&[json!({"device": ["tv"]}), json!({"os": ["AIX"]}), json!({"browser": ["Lynx"]})])),
        (
            "place",
            rules(&[json!({"country": ["AQ"]}), json!({"city": ["Atlantis"]}), json!({"continent": ["AN"]})]),
        ),
        (
            "hours",
            rules(&[json!({"weekday": ["mon"], "hours": ["03:00-03:01"], "timezone": "Europe/Berlin"})]),
        ),
        (
            "all",
            rules(&[
                json!({"all": [{"device": ["desktop"]}, {"not": {"any": [{"country": ["AQ"]}, {"os": ["AIX"]}]}},
                {"returning": true}, {"query.utm_source": ["ads"]}]}),
            ]),
        ),
        ("variants", json!({"variants": (0..10).map(arm).collect::<Vec<_>>()})),
        ("capped", json!({"max_clicks": 1_000_000_000_000_u64})),
        ("daily", json!({"daily_click_cap": 1_000_000_000_u64, "cap_timezone": "Europe/Berlin"})),
        ("repeats", json!({"dedupe_window_seconds": 3_600})),
    ]
}

/// Processor time of this thread: what others do on the machine meanwhile is not in it.
fn spent() -> Duration {
    // The kernel brings its account up to date when a thread yields.
    std::thread::yield_now();
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = account.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.expect("nanoseconds on a core come first"))
}

fn redirect(c: &mut Criterion) {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
    let config = RecorderConfig {
        journal: JournalConfig {
            folder: folder.path().join("journal"),
            node: NODE,
            segment_bytes: 128 << 20,
        },
        lanes_folder: folder.path().join("lanes"),
        lanes: 1,
        lane_bytes: 64 << 20,
        pace: Duration::from_millis(1),
    };
    let refuse = Box::new(|_, _, _: &[u8], _: &mut Vec<u8>| Err(String::new()));
    let (recorder, mut lanes, _) = Recorder::start(config, refuse).expect("an empty folder opens");
    let others = Service {
        name: "public",
        router: pages(),
        authenticator: None,
        limiter: None,
        proxies: TrustedProxies::default(),
    };
    let links = links();
    let caps = CapsConfig { file: folder.path().join("caps.json"), journal: recorder.traffic() };
    let config = RedirectConfig {
        caps: Caps::start(&caps, recorder.clone(), &links).expect("an empty journal is read"),
        locks: Locks::default(),
        repeats: Repeats::default(),
        links,
        others: Arc::new(others),
        token_keys: vec![(1, [7; 64])],
        visitor_key: [9; 16],
        salt: Arc::new(|day| [day as u8; 16]),
        node: NODE,
        workspace: WORKSPACE,
        cookies: true,
        secure: true,
        proxies: TrustedProxies::default(),
        geo: Some(Arc::new(Geo::open(Path::new(GEOIP)).expect("run `make geoip`"))),
        abuse: None,
        durable: None,
        collect: Default::default(),
    };
    let redirect = Redirect::new(Arc::new(config), lanes.remove(0));
    // Visitors of many networks, so that places are looked up and not just remembered.
    let peers: Vec<IpAddr> =
        (0..4_096u32).map(|n| Ipv4Addr::from((n * 0x000d_1937) | 0x0100_0000).into()).collect();
    let request = |slug: &str, cookie: &str| {
        let request = Request::get(format!("/{slug}?utm_source=newsletter&gclid=EAIaIQobChMI"))
            .header("host", "go.example.com")
            .header("user-agent", USER_AGENT)
            .header("accept-language", "de-DE,de;q=0.9,en;q=0.8")
            .header("referer", "https://www.google.com/")
            .header("cookie", cookie);
        request.body(()).expect("a request")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = c.benchmark_group("redirect");
    let known = "theme=dark; wv=AAAAAAAAAAAAAAAA";
    let new = "theme=dark";
    let one = |slug: &str| vec![slug.to_owned()];
    // Knuth's multiplier: neighbours in the list are far from each other in the table.
    let many: Vec<String> =
        (0..VISITED).map(|n| format!("s{}", 1 + n.wrapping_mul(2_654_435_761) % LINKS)).collect();
    for (name, slugs, cookie) in [
        ("a new visitor", one("s77"), new),
        ("a returning visitor", one("s77"), known),
        ("any of a million links", many, known),
        ("four rules of the request", one("request"), known),
        ("three rules of the agent", one("agent"), known),
        ("three rules of the place", one("place"), known),
        ("a rule of hours", one("hours"), known),
        ("a rule of all kinds", one("all"), known),
        ("ten variants", one("variants"), known),
        ("a cap in all", one("capped"), known),
        ("a cap of the day", one("daily"), known),
        (FIRST_CLICKS, one("repeats"), new),
        ("repeats told apart, a repeat", one("repeats"), known),
    ] {
        let request = request(&slugs[0], cookie);
        let mut turn = 0;
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let mut all = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let burst = left.min(BURST);
                    let started = spent();
                    for _ in 0..burst {
                        turn += 1;
                        // Who is to be new each time has an address of its own; the others' are all over the internet.
                        let peer = match name == FIRST_CLICKS {
                            true => Ipv4Addr::from(0x0100_0000 + turn as u32).into(),
                            false => peers[turn % peers.len()],
                        };
                        let slug = &slugs[turn % slugs.len()];
                        let visited = redirect.visit(&request, peer, slug, Instant::now(), true);
                        let Visited::Answered(answer, _) = visited else { panic!("no visit") };
                        assert_eq!(answer.status(), 302);
                    }
                    all += spent() - started;
                    runtime.block_on(recorder.settled());
                    left -= burst;
                }
                all
            });
        });
    }
    group.finish();
    assert_eq!(recorder.conservation().dropped, 0, "every hit found room in its lane");
    recorder.stop();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20);
    targets = redirect
}
criterion_main!(benches);
