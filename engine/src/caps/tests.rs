use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use weir_schemas::click::{Click, Dims, Verdict};
use weir_schemas::ids::{ClickId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::link::LinkSpec;

use super::*;
use crate::journal::JournalConfig;
use crate::recorder::lane::LANE_BYTES_MIN;
use crate::recorder::{Lane, RecorderConfig};

const LINK: LinkId = LinkId(7);
/// 2050-11-21, an hour before midnight in Berlin: the file forgets days that are over by the machine's clock.
const BEFORE_MIDNIGHT: i64 = 2_552_680_800_000;

fn spec(more: serde_json::Value) -> LinkSpec {
    let mut spec = serde_json::json!({"slug": "a", "destination": "https://a.example/"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn link(more: serde_json::Value) -> Arc<TrackedLink> {
    Arc::new(TrackedLink::new(LINK, WorkspaceId(1), Timestamp(0), spec(more)))
}

fn click(at: i64, verdict: Verdict, flags: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let click = Click {
        id: ClickId::new(at, 0, 0, 1),
        at: Timestamp(at),
        verdict,
        bot: false,
        flags,
        status: 302,
        latency_us: 1,
        workspace: WorkspaceId(1),
        link: LINK,
        program: ProgramId::NONE,
        partner: PartnerId::NONE,
        visitor: 1,
        network: 1,
        asn: 0,
        dims: Dims::default(),
        slug: "a".into(),
        evidence: "".into(),
    };
    click.write(&mut bytes);
    bytes
}

/// Recorder and caps on a folder, with one lane. Hits are clicks already.
struct Run {
    recorder: Recorder,
    lane: Lane,
    caps: Caps,
    links: LinkTable,
}

impl Run {
    fn start(dir: &Path, link: Option<Arc<TrackedLink>>) -> Self {
        let config = RecorderConfig {
            journal: JournalConfig { folder: dir.join("journal"), node: 0, segment_bytes: 20_000 },
            lanes_folder: dir.join("lanes"),
            lanes: 1,
            lane_bytes: LANE_BYTES_MIN,
            pace: Duration::from_millis(1),
        };
        let refine = Box::new(|_, _, raw: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(raw);
            Ok(weir_schemas::fact::kind::CLICK)
        });
        let (recorder, mut lanes, _) = Recorder::start(config, refine).unwrap();
        let links = LinkTable::default();
        link.into_iter().for_each(|link| links.put(link));
        let config = CapsConfig { file: dir.join("caps.json"), journal: recorder.traffic() };
        let caps = Caps::start(&config, recorder.clone(), &links).unwrap();
        Self { recorder, lane: lanes.remove(0), caps, links }
    }

    /// A visit at `at`: whether it found a place.
    fn visit(&mut self, at: i64) -> bool {
        let link = self.links.find("", "a").unwrap();
        let flags = match &link.cap {
            None => Some(0),
            Some(cap) => cap.places().expect("settled").take(cap, Timestamp(at)),
        };
        let verdict = if flags.is_some() { Verdict::Counted } else { Verdict::Capped };
        self.lane.append(&click(at, verdict, flags.unwrap_or_default())).unwrap();
        flags.is_some()
    }

    async fn change(&self, link: Arc<TrackedLink>) {
        self.links.put(Arc::clone(&link));
        if link.cap.is_some() {
            self.caps.settle(&link).await.expect("settled");
        }
    }

    fn stop(self) {
        self.recorder.stop();
        self.caps.stop();
    }
}

#[test]
fn a_place_is_taken_once_whoever_asks_at_the_same_time() {
    let link = link(serde_json::json!({"max_clicks": 100, "daily_click_cap": 100}));
    let places = Places::default();
    let cap = link.cap.as_ref().unwrap();
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..200).filter(|_| places.take(cap, Timestamp(0)).is_some()).count()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 100);
    assert!(places.full(cap, Timestamp(0)));
    places.give_back(Timestamp(0), FLAG_PLACE | FLAG_DAY);
    assert!(!places.full(cap, Timestamp(0)));
    assert_eq!(places.take(cap, Timestamp(0)), Some(FLAG_PLACE | FLAG_DAY));
    assert_eq!(places.take(cap, Timestamp(0)), None);
}

#[test]
fn a_visit_that_one_cap_refuses_takes_nothing_from_the_other() {
    let link = link(serde_json::json!({"max_clicks": 3, "daily_click_cap": 2}));
    let (cap, places) = (link.cap.as_ref().unwrap(), Places::default());
    let day = 96 * 900_000;
    let taken = [0, 1, 2, 3, day, day + 1, 2 * day].map(|at| places.take(cap, Timestamp(at)).is_some());
    assert_eq!(taken, [true, true, false, false, true, false, false], "two of the day, three in all");
}

#[test]
fn a_day_of_25_hours_is_one_day_and_its_clicks_are_its_own() {
    let of =
        |daily: u64| link(serde_json::json!({"daily_click_cap": daily, "cap_timezone": "Europe/Berlin"}));
    let begin = Timestamp::parse("2026-10-24T22:00:00Z").unwrap().0;
    let end = begin + 25 * 3_600_000;
    let taken = |daily: u64, times: &[i64]| -> Vec<bool> {
        let (link, places) = (of(daily), Places::default());
        let take = |at: &i64| places.take(link.cap.as_ref().unwrap(), Timestamp(*at)).is_some();
        times.iter().map(take).collect()
    };
    assert_eq!(taken(2, &[begin, end - 1, end - 1, end]), [true, true, false, true]);
    // A thread whose clock was read before midnight takes of the day before, however full the new one is.
    assert_eq!(taken(2, &[end - 1, end, end, end - 1, end - 1, end]), [true, true, true, true, false, false]);
}

#[tokio::test]
async fn clicks_from_before_the_cap_count_and_raising_it_opens_the_link_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::start(dir.path(), Some(link(serde_json::json!({}))));
    assert!((0..4).all(|at| run.visit(at)));
    run.lane.append(&click(9, Verdict::Bot, 0)).unwrap();
    run.lane.append(&click(9, Verdict::Head, 0)).unwrap();
    run.change(link(serde_json::json!({"max_clicks": 6}))).await;
    let visits: Vec<bool> = (0..4).map(|at| run.visit(at)).collect();
    assert_eq!(visits, [true, true, false, false]);
    // Without a cap for a while: what is clicked then counts later.
    run.change(link(serde_json::json!({}))).await;
    assert!((0..3).all(|at| run.visit(at)));
    run.change(link(serde_json::json!({"max_clicks": 10}))).await;
    assert_eq!([run.visit(0), run.visit(0)], [true, false]);
    run.stop();
    // And after a restart.
    let mut run = Run::start(dir.path(), Some(link(serde_json::json!({"max_clicks": 11}))));
    assert_eq!([run.visit(0), run.visit(0)], [true, false]);
    run.stop();
}

#[tokio::test]
async fn a_day_is_the_zones_and_survives_a_change_of_zone() {
    let dir = tempfile::tempdir().unwrap();
    let berlin = serde_json::json!({"daily_click_cap": 2, "cap_timezone": "Europe/Berlin"});
    let mut run = Run::start(dir.path(), Some(link(berlin.clone())));
    let midnight = BEFORE_MIDNIGHT + 3_600_000;
    let times = [midnight - 2, midnight - 1, midnight - 1, midnight, midnight + 1, midnight + 2];
    assert_eq!(times.map(|at| run.visit(at)), [true, true, false, true, true, false]);
    // A thread whose clock was read just before midnight and who comes after it: the old day is full.
    assert!(!run.visit(midnight - 1));
    // All four on one day of UTC.
    run.change(link(serde_json::json!({"daily_click_cap": 5}))).await;
    assert_eq!([run.visit(midnight + 3), run.visit(midnight + 3)], [true, false]);
    run.stop();
    let mut run = Run::start(dir.path(), Some(link(berlin)));
    assert_eq!([run.visit(midnight - 1), run.visit(midnight + 4)], [false, false]);
    run.stop();
}

#[tokio::test]
async fn the_file_is_needed_once_the_journals_traffic_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let capped = || Some(link(serde_json::json!({"max_clicks": 500})));
    let mut run = Run::start(dir.path(), capped());
    for _ in 0..9 {
        assert!((0..50).all(|at| run.visit(at)));
        // A batch of the recorder stands in one segment.
        run.recorder.settled().await;
    }
    assert_eq!(run.caps.saved().get(), 0, "retention may not delete anything yet");
    let saved = run.caps.saved().clone();
    run.stop();
    assert_eq!(saved.get(), 450);
    let now = std::time::SystemTime::now() + Duration::from_secs(60);
    let deleted =
        crate::journal::delete_expired(&dir.path().join("journal"), 450, Duration::ZERO, now).unwrap();
    assert!(deleted > 0, "the test must delete something");
    let mut run = Run::start(dir.path(), capped());
    assert_eq!((0..60).filter(|at| run.visit(*at)).count(), 50);
    run.stop();
}

#[test]
fn a_day_is_forgotten_once_it_is_over_everywhere() {
    const NOW: crate::links::Quarter = 1_000_000;
    let days: Vec<(u64, Vec<(u32, u32)>)> = vec![
        // The longest day, and the hour that a late hit may take.
        (
            7,
            vec![
                (NOW - QUARTERS_MAX - 1, 1),
                (NOW - QUARTERS_MAX, 2),
                (NOW - 99, 3),
                (NOW, 4),
                (NOW + 96, 5),
            ],
        ),
        (8, vec![(NOW - QUARTERS_MAX - 1, 6)]),
    ];
    let dir = tempfile::tempdir().unwrap();
    let file = serde_json::json!({"version": 1, "seq": 9, "totals": [[7, 15], [8, 6]], "days": days});
    fs_write(dir.path(), &file.to_string());
    let mut tally = Tally::load(&dir.path().join("caps.json")).unwrap().unwrap();
    tally.prune(NOW);
    let kept = |link| tally.quarters(LinkId(link)).0.iter().map(|(_, count)| *count).collect::<Vec<_>>();
    assert_eq!((kept(7), kept(8)), (vec![2, 3, 4, 5], vec![]));
    assert_eq!((tally.total(LinkId(7)), tally.total(LinkId(8))), (15, 6), "what counts in all stays");
}

#[test]
fn clicks_that_the_journal_has_lost_stay_counted() {
    let dir = tempfile::tempdir().unwrap();
    fs_write(dir.path(), r#"{"version":1,"seq":99,"totals":[[7,50]],"days":[]}"#);
    let capped = || Some(link(serde_json::json!({"max_clicks": 52})));
    for _ in 0..2 {
        let mut run = Run::start(dir.path(), capped());
        assert!(run.visit(0));
        run.stop();
    }
    let mut run = Run::start(dir.path(), capped());
    assert!(!run.visit(0));
    run.stop();
}

#[test]
fn a_file_that_cannot_be_read_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["{", r#"{"version":9,"seq":0,"totals":[],"days":[]}"#] {
        fs_write(dir.path(), text);
        let journal = Traffic::of_files(&dir.path().join("journal"));
        let config = CapsConfig { file: dir.path().join("caps.json"), journal };
        let error = thread::Keeper::open(&config, Watermark::new(1)).err().unwrap();
        assert!(error.to_string().contains("caps.json"), "{error}");
    }
}

fn fs_write(dir: &Path, text: &str) {
    std::fs::write(dir.join("caps.json"), text).unwrap();
}

/// What may happen to a capped link.
#[derive(Debug, Clone)]
enum Step {
    /// Visits, each some minutes after the last.
    Visit(u8, u16),
    /// The caps are changed: in all, a day, the zone.
    Change(Option<u64>, Option<u64>, usize),
    /// The process dies with its hits in the journal and `caps.json` as it last was; or it stops in order.
    Restart { killed: bool },
}

const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York"];

fn step() -> impl Strategy<Value = Step> {
    let caps = (proptest::option::of(1_u64..40), proptest::option::of(1_u64..12), 0..ZONES.len());
    prop_oneof![
        4 => (1_u8..9, 0_u16..400).prop_map(|(visits, minutes)| Step::Visit(visits, minutes)),
        2 => caps.prop_map(|(max, daily, zone)| Step::Change(max, daily, zone)),
        1 => any::<bool>().prop_map(|killed| Step::Restart { killed }),
    ]
}

/// Counts every click with its time and whether a day's cap held then, and asks a calendar each time.
#[derive(Default)]
struct Twin {
    total: u64,
    of_days: BTreeMap<i64, u64>,
}

impl Twin {
    fn visit(&mut self, at: i64, spec: &LinkSpec) -> bool {
        let date = |at: i64| {
            let zone = jiff::tz::TimeZone::get(&spec.cap_timezone).unwrap();
            jiff::Timestamp::from_millisecond(at).unwrap().to_zoned(zone).date()
        };
        let today: u64 =
            self.of_days.iter().filter(|(then, _)| date(**then) == date(at)).map(|(_, count)| count).sum();
        let open = spec.max_clicks.is_none_or(|max| self.total < max)
            && spec.daily_click_cap.is_none_or(|daily| today < daily);
        if open {
            self.total += 1;
            if spec.daily_click_cap.is_some() {
                *self.of_days.entry(at).or_default() += 1;
            }
        }
        open
    }
}

/// A copy of what a `kill -9` would leave behind, where the test can open it.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn caps_agree_with_a_naive_twin_through_changes_and_restarts(
        steps in proptest::collection::vec(step(), 1..14),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut dir = tempfile::tempdir().unwrap();
        let mut now = BEFORE_MIDNIGHT;
        let mut spec = serde_json::json!({"max_clicks": 20});
        let mut twin = Twin::default();
        let mut run = Run::start(dir.path(), Some(link(spec.clone())));
        for step in steps {
            match step {
                Step::Visit(visits, minutes) => {
                    for _ in 0..visits {
                        now += i64::from(minutes) * 60_000;
                        let link = run.links.find("", "a").unwrap();
                        prop_assert_eq!(run.visit(now), twin.visit(now, &link.spec));
                    }
                }
                Step::Change(max, daily, zone) => {
                    spec = serde_json::json!({"max_clicks": max, "daily_click_cap": daily,
                        "cap_timezone": ZONES[zone]});
                    runtime.block_on(run.change(link(spec.clone())));
                }
                Step::Restart { killed } => {
                    let next = tempfile::tempdir().unwrap();
                    if killed {
                        // The journal first: what leaves a lane meanwhile is in the journal, but would be in
                        // neither copy.
                        runtime.block_on(run.recorder.settled());
                        copy(dir.path(), next.path());
                        run.stop();
                    } else {
                        run.stop();
                        copy(dir.path(), next.path());
                    }
                    run = Run::start(next.path(), Some(link(spec.clone())));
                    dir = next;
                }
            }
        }
        run.stop();
        drop(dir);
    }
}
