//! The limits of links, end to end: the real binary, storms of visitors, `kill -9`, restarts, changes of the cap.

#[path = "../harness/engine.rs"]
mod engine;

mod passwords;
mod repeats;
mod splits;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use engine::http::Http;
use engine::{BROWSER, Engine, PATIENCE, Settings};
use serde_json::{Value, json};

/// Connections that visit at the same time.
const CONNECTIONS: usize = 50;
/// Visits on each.
const VISITS: usize = 20;
/// Visits of a storm that go on until what is done in its middle is done: too few to use up the caps of the tests.
const AHEAD_MAX: usize = 300;

/// What visitors were answered.
#[derive(Debug, Default)]
struct Answers {
    destination: AtomicUsize,
    fallback: AtomicUsize,
    gone: AtomicUsize,
    unanswered: AtomicUsize,
}

impl Answers {
    fn note(&self, answer: std::io::Result<engine::http::Answer>) {
        let Ok(answer) = answer else {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let location = answer.header("location").unwrap_or_default();
        let counter = match answer.status {
            302 if location.starts_with("https://shop.example/") => &self.destination,
            302 if location == "https://fallback.example/" => &self.fallback,
            410 => &self.gone,
            other => panic!("{other} {location}"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn all(&self) -> [usize; 4] {
        [&self.destination, &self.fallback, &self.gone, &self.unanswered]
            .map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// [`CONNECTIONS`] × [`VISITS`] visits at once, each a visitor of its own. `meanwhile` runs when `after` were
/// answered; until it has, at most [`AHEAD_MAX`] more are asked.
fn storm(engine: &Engine, slug: &str, after: usize, meanwhile: impl FnOnce() + Send) -> Answers {
    let answers = Answers::default();
    let (asked, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (answers, asked, over) = (&answers, &asked, &over);
            let mut visitor = engine.visitor();
            scope.spawn(move || {
                for visit in 0..VISITS {
                    // However late it is seen that `after` were answered, the rest of the storm is still to come.
                    let ahead = asked.fetch_add(1, Ordering::Relaxed) >= after + AHEAD_MAX;
                    let end = Instant::now() + PATIENCE;
                    while ahead && !over.load(Ordering::Acquire) && Instant::now() < end {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    let cookie = format!("wv=storm-{connection}-{visit}");
                    let headers = [("user-agent", BROWSER), ("cookie", cookie.as_str())];
                    answers.note(visitor.send("GET", &format!("/{slug}"), &headers, b""));
                }
            });
        }
        // Looked at often, so that most of what is asked meanwhile is still under way.
        let end = Instant::now() + PATIENCE;
        while answers.all().iter().sum::<usize>() < after {
            assert!(Instant::now() < end, "waited in vain for {after} answers");
            std::thread::sleep(Duration::from_micros(100));
        }
        meanwhile();
        over.store(true, Ordering::Release);
    });
    answers
}

fn make(engine: &Engine, link: Value) -> String {
    engine::text_of(&engine.call("POST", "/v1/links", Some(&link), 201)["id"])
}

/// Hits of a link by verdict.
pub(crate) fn verdicts(engine: &Engine, link: &str) -> std::collections::BTreeMap<String, i64> {
    engine.counts("verdict", "hits", Some(json!(["is", "link", [link]])))
}

pub(crate) fn counted(engine: &Engine, link: &str) -> i64 {
    engine.counts("link", "clicks", Some(json!(["is", "link", [link]]))).values().sum()
}

#[test]
fn of_a_thousand_concurrent_visits_exactly_the_hundred_first_find_room() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::new(dir.path());
    let engine = settings.start();
    let with = make(
        &engine,
        json!({"slug": "with", "destination": "https://shop.example/a", "max_clicks": 100,
            "fallback": "https://fallback.example/"}),
    );
    make(
        &engine,
        json!({"slug": "without", "destination": "https://shop.example/a", "daily_click_cap": 100,
            "cap_timezone": a_zone_far_from_midnight()}),
    );
    // Who never counts takes no place, before and after.
    let strangers = |destination: &str| {
        let mut http = engine.visitor();
        for (method, headers) in [
            ("HEAD", vec![("user-agent", BROWSER)]),
            ("GET", vec![("user-agent", BROWSER), ("sec-purpose", "prefetch")]),
            ("GET", vec![("user-agent", "Googlebot/2.1 (+http://www.google.com/bot.html)")]),
            ("GET", vec![]),
        ] {
            let answer = http.send(method, "/with", &headers, b"").unwrap();
            let location = answer.header("location").unwrap_or_default();
            assert_eq!(answer.status, 302, "{method} {headers:?}");
            assert!(location.starts_with(destination), "{method} {headers:?}: {location}");
        }
    };
    strangers("https://shop.example/a");
    let all = CONNECTIONS * VISITS;
    assert_eq!(storm(&engine, "with", all, || ()).all(), [100, all - 100, 0, 0]);
    assert_eq!(storm(&engine, "without", all, || ()).all(), [100, 0, all - 100, 0]);
    strangers("https://fallback.example/");
    assert_eq!(counted(&engine, &with), 100);
    // Every hit has one verdict. Robots are turned away from a used-up link as everyone is.
    let expected = [("bot", 2), ("capped", 902), ("counted", 100), ("head", 2), ("prefetch", 2)];
    let expected = expected.map(|(verdict, hits)| (verdict.to_owned(), hits));
    assert_eq!(verdicts(&engine, &with), expected.into());

    // Every click of a cap that is set later counts, and raising it opens the link again.
    let free = make(&engine, json!({"slug": "free", "destination": "https://shop.example/a"}));
    let visit = |engine: &Engine| engine.click("free").status;
    assert_eq!([visit(&engine), visit(&engine)], [302, 302]);
    let path = format!("/v1/links/{free}");
    engine.call("PATCH", &path, Some(&json!({"max_clicks": 3})), 200);
    assert_eq!([visit(&engine), visit(&engine)], [302, 410]);
    engine.call("PATCH", &path, Some(&json!({"max_clicks": 4})), 200);
    assert_eq!([visit(&engine), visit(&engine)], [302, 410]);
    // Stopped in order and started again: as before.
    engine.stop();
    let engine = settings.start();
    assert_eq!(visit(&engine), 410);
    engine.call("PATCH", &path, Some(&json!({"max_clicks": null})), 200);
    assert_eq!(visit(&engine), 302);
    assert_eq!(counted(&engine, &free), 5);
    let problem = engine.call("PATCH", &path, Some(&json!({"cap_timezone": "Mars/Base"})), 422);
    assert_eq!(problem["errors"][0]["field"], "cap_timezone");
}

#[test]
fn a_cap_in_all_holds_through_kill_9_in_the_middle_of_a_storm() {
    holds_through_kill_9(json!({"max_clicks": 600}));
}

#[test]
fn a_cap_of_the_day_holds_through_kill_9_in_the_middle_of_a_storm() {
    holds_through_kill_9(json!({"daily_click_cap": 600, "cap_timezone": a_zone_far_from_midnight()}));
}

/// The test is one day's.
fn a_zone_far_from_midnight() -> &'static str {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    if since_epoch.as_secs() / 3_600 % 24 < 22 { "UTC" } else { "Asia/Kathmandu" }
}

fn holds_through_kill_9(caps: Value) {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::new(dir.path());
    let engine = settings.start();
    let mut spec = json!({"slug": "cap", "destination": "https://shop.example/a",
        "fallback": "https://fallback.example/"});
    spec.as_object_mut().unwrap().extend(caps.as_object().unwrap().clone());
    let link = make(&engine, spec);
    let mut destinations = 0;
    let mut unanswered = 0;
    let mut engine = engine;
    for after in [40, 90] {
        // Killed while its threads answer; what is in the lanes only is found there by the next start.
        let pid = engine.pid();
        let kill = || engine::signal(pid, rustix::process::Signal::KILL);
        let [destination, _, _, lost] = storm(&engine, "cap", after, kill).all();
        assert!(lost > 0, "the engine was killed in the middle");
        assert!(destination < 600, "and before the cap was used up");
        destinations += destination;
        unanswered += lost;
        engine.kill();
        engine = settings.start();
    }
    let all = CONNECTIONS * VISITS;
    let [destination, fallback, ..] = storm(&engine, "cap", all, || ()).all();
    destinations += destination;
    assert_eq!(destination + fallback, all);
    assert!(destinations <= 600, "{destinations} of 600 visitors were let in");
    // A visitor who was let in and whose answer was lost with the process is a click too, and no one else.
    assert!(destinations + unanswered.min(2 * CONNECTIONS) >= 600, "{destinations}, {unanswered} unanswered");
    assert_eq!(counted(&engine, &link), 600);
    let answer = Http::new(engine.public).send("GET", "/cap", &[("user-agent", BROWSER)], b"").unwrap();
    assert_eq!(answer.header("location"), Some("https://fallback.example/"));
    let verdicts = verdicts(&engine, &link);
    assert_eq!(verdicts["counted"], 600);
    assert!(verdicts["capped"] > fallback as i64, "{verdicts:?}");
}
