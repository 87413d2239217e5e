use std::collections::BTreeMap;
use std::sync::Mutex;

use http::header::SET_COOKIE;
use weir_edge::peer::TrustedProxies;
use weir_edge::route::Router;
use weir_edge::service::Service;
use weir_engine::caps::{Caps, CapsConfig};
use weir_engine::journal::JournalConfig;
use weir_engine::links::LinkTable;
use weir_engine::recorder::{Recorder, RecorderConfig, lane::LANE_BYTES_MIN};
use weir_schemas::ids::WorkspaceId;
use weir_schemas::link::LinkSpec;

use super::*;

type Hits = Arc<Mutex<Vec<Vec<u8>>>>;

struct Edge {
    redirect: Redirect,
    recorder: Recorder,
    hits: Hits,
    _dir: tempfile::TempDir,
}

const KEY: [u8; 64] = [5; 64];

fn edge(cookies: bool) -> Edge {
    let dir = tempfile::tempdir().unwrap();
    let hits = Hits::default();
    let seen = Arc::clone(&hits);
    let config = RecorderConfig {
        journal: JournalConfig { folder: dir.path().join("journal"), node: 3, segment_bytes: 1 << 20 },
        lanes_folder: dir.path().join("lanes"),
        lanes: 1,
        lane_bytes: LANE_BYTES_MIN,
        pace: Duration::from_millis(1),
    };
    let refine = Box::new(move |_, _, raw: &[u8], out: &mut Vec<u8>| {
        seen.lock().unwrap().push(raw.to_vec());
        out.extend_from_slice(raw);
        Ok(weir_schemas::fact::kind::CLICK)
    });
    let (recorder, mut lanes, _) = Recorder::start(config, refine).unwrap();
    let caps = CapsConfig { file: dir.path().join("caps.json"), journal: recorder.traffic() };
    let others = Service {
        name: "public",
        router: pages().merge(
            Router::new().route(Method::POST, "/hooks/{id}", async |_| Ok(weir_edge::response::no_content())),
        ),
        authenticator: None,
        limiter: None,
        proxies: TrustedProxies::default(),
    };
    let config = RedirectConfig {
        caps: Caps::start(&caps, recorder.clone(), &LinkTable::default()).unwrap(),
        locks: Locks::default(),
        repeats: Repeats::default(),
        links: LinkTable::default(),
        others: Arc::new(others),
        token_keys: vec![(1, KEY)],
        visitor_key: [9; 16],
        salt: Arc::new(|day| [day as u8; 16]),
        node: 3,
        workspace: WorkspaceId(1),
        cookies,
        secure: false,
        proxies: TrustedProxies::default(),
        geo: None,
        abuse: None,
        durable: None,
        collect: Default::default(),
    };
    let redirect = Redirect::new(Arc::new(config), lanes.remove(0));
    Edge { redirect, recorder, hits, _dir: dir }
}

/// What the hit says, without its times.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    verdict: Verdict,
    status: u16,
    link: u64,
    visitor: u64,
    text: String,
}

impl Edge {
    fn link(&self, spec: serde_json::Value) -> LinkId {
        let spec: LinkSpec = serde_json::from_value(spec).unwrap();
        let id = LinkId(self.redirect.config.links.len() as u64 + 1);
        let link = TrackedLink::new(id, WorkspaceId(1), Timestamp(0), spec);
        self.redirect.config.links.put(Arc::new(link));
        id
    }

    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<Response> {
        let mut request = Request::builder().method(method).uri(target).header("host", "Go.Example:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let path = request.uri().path().to_owned();
        let slug = decoded_slug(path.strip_prefix('/').unwrap()).into_owned();
        let peer = "192.0.2.1".parse().unwrap();
        match self.redirect.visit(&request, peer, &slug, Instant::now(), true) {
            Visited::Answered(response, _) => Some(response),
            _ => None,
        }
    }

    fn get(&self, target: &str) -> Response {
        self.ask("GET", target, &[]).expect("a visit")
    }

    /// Stops the recorder and gives every hit that it journaled.
    fn hits(&self) -> Vec<Kept> {
        self.recorder.stop();
        let hits = self.hits.lock().unwrap();
        let read = hits.iter().map(|bytes| {
            let hit = RawHit::read(bytes).unwrap();
            assert_eq!(hit.domain, "go.example");
            Kept {
                verdict: hit.verdict,
                status: hit.status,
                link: hit.link.0,
                visitor: hit.visitor,
                text: format!("{}|{}|{}|{}", hit.slug, hit.query, hit.user_agent, hit.referrer),
            }
        });
        read.collect()
    }
}

fn named<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn cookies(response: &Response) -> BTreeMap<String, String> {
    let lines = response.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap());
    let pairs = lines.map(|line| line.split_once(';').unwrap().0.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_visit_is_sent_on_with_a_token_that_names_its_hit() {
    let edge = edge(true);
    let id = edge.link(serde_json::json!({"slug": "spring", "destination": "https://shop.example/p?id=1"}));
    let headers = [("user-agent", "UA/1"), ("referer", "https://r.example/")];
    let response = edge.ask("GET", "/spring?x=1&wclid=EVIL", &headers).unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(named(&response, "cache-control"), "no-store");
    let cookies = cookies(&response);
    let token = &cookies["wclid"];
    assert_eq!(named(&response, "location"), format!("https://shop.example/p?id=1&x=1&wclid={token}"));
    let parts = TokenKeys::new(&[(1, KEY)]).open(token).unwrap();
    assert_eq!((parts.link, parts.workspace), (id, WorkspaceId(1)));
    assert_eq!((parts.click.node(), parts.click.lane(), parts.click.counter()), (3, 0, 1));
    assert!(response.headers().get_all(SET_COOKIE).iter().all(|line| {
        let line = line.to_str().unwrap();
        line.contains("Path=/") && line.contains("SameSite=Lax") && !line.contains("HttpOnly")
    }));
    // The visitor returns with the cookie: the same visitor, and no new cookie.
    let again = edge.ask("GET", "/spring", &[("cookie", &format!("wv={}", cookies["wv"]))]).unwrap();
    assert!(!self::cookies(&again).contains_key("wv"));
    let hits = edge.hits();
    assert_eq!(hits.len(), 2);
    assert_eq!(hits[0].visitor, hits[1].visitor);
    assert_eq!(hits[0].text, "spring|x=1&wclid=EVIL|UA/1|https://r.example/");
    assert_eq!((hits[0].verdict, hits[0].status, hits[0].link), (Verdict::Counted, 302, id.0));
}

#[test]
fn the_token_is_of_the_hit_that_is_recorded() {
    let edge = edge(true);
    edge.link(serde_json::json!({"slug": "a", "destination": "https://a.example/"}));
    let mut counters = Vec::new();
    for _ in 0..3 {
        edge.get("/nope");
        let token = cookies(&edge.get("/a"))["wclid"].clone();
        counters.push(TokenKeys::new(&[(1, KEY)]).open(&token).unwrap().click.counter());
    }
    assert_eq!(counters, [2, 4, 6]);
}

#[test]
fn every_hit_has_one_verdict() {
    let edge = edge(true);
    let now = Timestamp::now();
    let (past, future) = (Timestamp(now.0 - 60_000), Timestamp(now.0 + 600_000));
    for (slug, more) in [
        ("on", serde_json::json!({"starts_at": past, "expires_at": future})),
        ("off", serde_json::json!({"enabled": false})),
        ("off2", serde_json::json!({"enabled": false, "fallback": "https://b.example/"})),
        ("old", serde_json::json!({"expires_at": past})),
        ("new", serde_json::json!({"starts_at": future, "fallback": "https://b.example/"})),
    ] {
        let mut spec = serde_json::json!({"slug": slug, "destination": "https://a.example/"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        edge.link(spec);
    }
    let prefetch = [("sec-purpose", "prefetch;prerender")];
    for (method, path, headers, status, verdict) in [
        ("GET", "/on", &[][..], 302, Verdict::Counted),
        ("HEAD", "/on", &[], 302, Verdict::Head),
        ("GET", "/on", &prefetch, 302, Verdict::Prefetch),
        ("GET", "/on", &[("purpose", "Prefetch")], 302, Verdict::Prefetch),
        ("GET", "/on", &[("x-moz", "prefetch")], 302, Verdict::Prefetch),
        ("GET", "/%6fn", &[], 302, Verdict::Counted),
        ("GET", "/off", &[], 410, Verdict::Disabled),
        ("GET", "/off2", &[], 302, Verdict::Disabled),
        ("GET", "/old", &[], 410, Verdict::Expired),
        ("GET", "/new", &[], 302, Verdict::Expired),
        ("GET", "/ON", &[], 404, Verdict::Orphan),
        ("GET", "/", &[], 404, Verdict::Orphan),
        ("GET", "/a/b", &[], 404, Verdict::Orphan),
        ("HEAD", "/nope", &[], 404, Verdict::Head),
    ] {
        let response = edge.ask(method, path, headers).unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        if status == 302 && verdict != Verdict::Counted && path.len() > 3 {
            assert_eq!(named(&response, "location"), "https://b.example/");
        }
        let last = (path, verdict, status);
        let edge_hits = edge.redirect.own.borrow().hit.clone();
        let hit = RawHit::read(&edge_hits).unwrap();
        assert_eq!((path, hit.verdict, hit.status), last, "{method}");
    }
    assert_eq!(edge.hits().len(), 14, "every one is recorded");
}

#[test]
fn a_head_is_answered_as_a_get() {
    let edge = edge(true);
    edge.link(
        serde_json::json!({"slug": "a", "destination": "https://a.example/", "track_conversions": false}),
    );
    let (get, head) = (edge.get("/a"), edge.ask("HEAD", "/a", &[]).unwrap());
    assert_eq!((get.status(), named(&get, "location")), (head.status(), named(&head, "location")));
    assert_eq!(named(&get, "cache-control"), named(&head, "cache-control"));
    assert_eq!(cookies(&get)["wv"], cookies(&head)["wv"]);
}

#[test]
fn statuses_and_caching_follow_the_link() {
    let edge = edge(true);
    for (status, caching) in [(301, "private"), (302, "no-store"), (307, "no-store"), (308, "private")] {
        let slug = format!("s{status}");
        edge.link(
            serde_json::json!({"slug": slug, "destination": "https://a.example/", "status_code": status}),
        );
        let response = edge.get(&format!("/{slug}"));
        assert_eq!((response.status().as_u16(), named(&response, "cache-control")), (status, caching));
    }
    // Where each visit is judged anew, a permanent answer is kept by nobody.
    let elsewhere = |more: serde_json::Value| {
        let mut one = serde_json::json!({"destination": "https://b.example/"});
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::json!([one])
    };
    for (slug, member, value) in [
        ("r", "rules", elsewhere(serde_json::json!({"if": {"bot": true}}))),
        ("v", "variants", elsewhere(serde_json::json!({"name": "one", "weight": 1}))),
        ("d", "dedupe_window_seconds", serde_json::json!(60)),
    ] {
        edge.link(serde_json::json!({"slug": slug, "destination": "https://a.example/", "status_code": 301,
            member: value}));
        let response = edge.get(&format!("/{slug}"));
        assert_eq!(
            (response.status().as_u16(), named(&response, "cache-control")),
            (301, "no-store"),
            "{member}"
        );
    }
}

#[test]
fn privacy_sets_no_cookie_and_an_untracked_link_sends_no_token() {
    let edge = edge(false);
    edge.link(serde_json::json!({"slug": "a", "destination": "https://a.example/",
        "track_conversions": false, "forward_query": false}));
    let response = edge.get("/a?x=1");
    assert_eq!(named(&response, "location"), "https://a.example/");
    assert!(!response.headers().contains_key(SET_COOKIE));
}

#[test]
fn the_engines_own_paths_are_no_visits() {
    let edge = edge(true);
    for path in ["/robots.txt", "/hooks/x", "/collect", "/.well-known/x", "/i/deep/path"] {
        assert!(edge.ask("GET", path, &[]).is_none(), "{path}");
    }
    assert_eq!(edge.hits(), []);
}

#[test]
fn a_click_that_finds_no_room_in_its_lane_takes_no_place_and_is_not_sent_on() {
    let edge = edge(true);
    edge.link(serde_json::json!({"slug": "a", "destination": "https://a.example/", "max_clicks": 1_000}));
    let link = edge.redirect.config.links.find("", "a").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(edge.get("/a").status(), 503, "its places are not known yet");
    runtime.block_on(edge.redirect.config.caps.settle(&link)).unwrap();
    // Nobody empties the lane any more.
    edge.recorder.stop();
    let query = "q".repeat(900);
    let agent = [("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")];
    let visit = || edge.ask("GET", &format!("/a?{query}"), &agent).unwrap();
    let sent_on = (0..200).filter(|_| visit().status() == 302).count() as u64;
    let conservation = edge.recorder.conservation();
    assert!(conservation.dropped > 0);
    assert_eq!(sent_on + 1, conservation.accepted);
    let refused = visit();
    assert_eq!((refused.status().as_u16(), named(&refused, "retry-after")), (503, "1"));
    let (cap, at) = (link.cap.as_ref().unwrap(), Timestamp::now());
    let left = (0..1_001).filter(|_| cap.places().unwrap().take(cap, at).is_some()).count() as u64;
    assert_eq!(left, 1_000 - sent_on, "who was not sent on took no place");
}

#[test]
fn a_full_lane_never_keeps_a_visitor() {
    let edge = edge(true);
    edge.link(serde_json::json!({"slug": "a", "destination": "https://a.example/"}));
    // Nobody empties the lane any more.
    edge.recorder.stop();
    let query = "q".repeat(900);
    for _ in 0..200 {
        assert_eq!(edge.get(&format!("/a?{query}")).status(), 302);
    }
    let conservation = edge.recorder.conservation();
    assert!(conservation.dropped > 0);
    assert_eq!(conservation.accepted + conservation.dropped, 200);
}

#[test]
fn hostile_headers_do_no_harm() {
    let edge = edge(true);
    edge.link(serde_json::json!({"slug": "a", "destination": "https://a.example/"}));
    let long = "x".repeat(9_000);
    let response = edge
        .ask("GET", "/a", &[("user-agent", &long), ("cookie", "wv=; wv==; =;;"), ("referer", &long)])
        .unwrap();
    assert_eq!(response.status(), 302);
    assert!(edge.hits()[0].text.len() < 2_000, "texts are cut");
}
