//! A full disk. The data folder lies on a small file system in memory; ClickHouse has a disk of its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::clickhouse::{ClickHouse, with_clickhouse};
use crate::engine::http::Http;
use crate::engine::{Engine, Settings, api, click, deliver, token_of, wait_for};
use weir_loadtest::stripe;

/// Set in the copy of this test that runs in a namespace of its own.
const IN_NAMESPACE: &str = "TEST_IN_NAMESPACE";

/// A file system in memory, unmounted when it is dropped.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn mount(folder: &Path) -> Result<Self, String> {
        fs::create_dir_all(folder).expect("a folder");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(folder).output();
        match mount {
            Ok(output) if output.status.success() => Ok(Self { folder: folder.to_owned() }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file");
        for piece in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![b'x'; piece]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).expect("the filler is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

/// Runs `test` with a small disk: here where we may mount, else in a namespace where we are root.
fn with_small_disk(name: &str, test: impl FnOnce(&Path, &SmallDisk)) {
    let folder = tempfile::tempdir().unwrap();
    match SmallDisk::mount(&folder.path().join("disk")) {
        Ok(disk) => test(folder.path(), &disk),
        Err(why) if std::env::var_os(IN_NAMESPACE).is_some() => {
            panic!(
                "no file system can be mounted here ({why}); run the tests as root or allow user namespaces"
            )
        }
        Err(why) => {
            let myself = std::env::current_exe().expect("this program");
            let mut command = Command::new("unshare");
            command
                .args(["-r", "-m"])
                .arg(myself)
                .args([name, "--exact", "--nocapture"])
                .env(IN_NAMESPACE, "1");
            let status = command.status();
            let passed = status.as_ref().is_ok_and(std::process::ExitStatus::success);
            assert!(
                passed,
                "mounting needs root ({}) or user namespaces (unshare: {status:?}); or the test failed above",
                why.trim()
            );
        }
    }
}

/// Clicks until `enough`; every one must be redirected. Gives how many there were.
fn click_until(engine: &Engine, slug: &str, mut enough: impl FnMut() -> bool) -> u64 {
    let mut visitors: Vec<Http> = (0..8).map(|_| engine.visitor()).collect();
    let mut sent = 0;
    wait_for("clicks have filled what there is", || {
        for visitor in &mut visitors {
            for _ in 0..25 {
                assert_eq!(click(visitor, slug).expect("an answer").status, 302, "redirects go on");
                sent += 1;
            }
        }
        enough().then_some(sent)
    })
}

#[test]
fn redirects_outlive_a_full_disk_and_payments_are_refused_until_it_has_room() {
    with_small_disk(
        "full_disk::redirects_outlive_a_full_disk_and_payments_are_refused_until_it_has_room",
        |folder, disk| {
            let clickhouse = ClickHouse::start(&folder.join("clickhouse"));
            let settings = Settings::new(&disk.folder.join("data"))
                .with("recorder.lane_bytes", "65536")
                .with("journal.segment_bytes", "1048576");
            let settings = with_clickhouse(settings, clickhouse.address);
            let engine = settings.start();
            let link = engine.make_link("full");
            let hook = engine.make_stripe_endpoint();
            let (mut public, mut admin) = (engine.visitor(), Http::new(engine.admin));
            let token = token_of(&click(&mut public, "full").unwrap());
            let mut clicks = 1;
            let sale = |order: &str| stripe::checkout(order, 1_500, "usd", &token);
            assert_eq!(deliver(&mut public, &hook, &sale("before")).unwrap().status, 200);

            disk.fill();
            clicks += click_until(&engine, "full", || engine.metric("weir_journal_writing") == 0.0);
            let during = sale("during");
            let answer = deliver(&mut public, &hook, &during).unwrap();
            assert_eq!(answer.status, 503, "{}", answer.text());
            let order = json!({"event": "sale", "order_id": "api", "wclid": token,
                "amount": {"amount": 700, "currency": "USD"}});
            let answer = api(&mut admin, "POST", "/v1/conversions", Some(&order)).unwrap();
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(engine.api("GET", "/readyz", None).status, 503);
            clicks += click_until(&engine, "full", || engine.metric("weir_clicks_dropped_total") > 0.0);
            let full = engine.metrics();
            let dropped = full["weir_clicks_dropped_total"];
            assert_eq!(full["weir_clicks_answered_total"], clicks as f64, "{full:?}");
            assert_eq!(full["weir_clicks_accepted_total"] + dropped, clicks as f64, "{full:?}");

            disk.free();
            wait_for("the journal writes again", || {
                (engine.metric("weir_journal_writing") == 1.0).then_some(())
            });
            assert_eq!(
                deliver(&mut public, &hook, &during).unwrap().status,
                200,
                "sent again by the provider"
            );
            assert_eq!(api(&mut admin, "POST", "/v1/conversions", Some(&order)).unwrap().status, 201);
            assert_eq!(engine.click("full").status, 302);
            let kept = (clicks + 1) as i64 - dropped as i64;
            assert_eq!(engine.counts("link", "clicks", None), [(link.clone(), kept)].into());
            assert_eq!(engine.counts("link", "conversions", None), [(link.clone(), 3)].into());

            // Full once more, and killed so: what was answered and not counted as dropped lies in the lanes.
            disk.fill();
            let more = click_until(&engine, "full", || engine.metric("weir_clicks_dropped_total") > dropped);
            let kept = kept + more as i64 - (engine.metric("weir_clicks_dropped_total") - dropped) as i64;
            assert!(!engine.log().contains("panicked"), "{}", engine.log());
            engine.kill();
            disk.free();
            let engine = settings.start();
            assert_eq!(engine.counts("link", "clicks", None), [(link.clone(), kept)].into());
            assert_eq!(engine.counts("link", "conversions", None), [(link, 3)].into());

            // Where only payments come the engine must notice by itself that there is room again: while it says
            // that it is not ready, nobody sends it anything.
            disk.fill();
            let (mut public, mut orders) = (engine.visitor(), 0);
            wait_for("the disk is full for payments", || {
                orders += 1;
                let answer = deliver(&mut public, &hook, &sale(&format!("fill{orders}"))).unwrap();
                (answer.status == 503).then_some(())
            });
            disk.free();
            wait_for("the engine is ready again", || {
                (engine.api("GET", "/readyz", None).status == 200).then_some(())
            });
        },
    );
}
