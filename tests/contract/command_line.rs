//! The program `weir` as an operator uses it in a shell.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::engine::{ADMIN_KEY, Settings, exited_with, run, signal, weir};
use super::{Shared, ask, own};

/// Runs `weir` on a folder; it must end with 0. Gives its standard output.
fn good(data: &Path, arguments: &[&str]) -> String {
    let (status, out, log) = run(data, arguments);
    assert!(exited_with(status, 0), "{arguments:?}: {status:?}\n{out}\n{log}");
    out
}

/// The words of a text that begin like this.
fn words<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.split_whitespace().filter(|word| word.starts_with(start)).collect()
}

#[test]
fn usage_errors_exit_with_2() {
    let data = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["--nope"][..],
        &["nope"],
        &["serve", "--nope"],
        &["key"],
        &["key", "create", "--role", "king"],
        &["key", "revoke"],
        &["replay"],
        &["replay", "everything"],
        &["migrate"],
        &["export"],
        &["export", "--query", "{}", "--format", "xml"],
        &["serve", "--public-addr", "nowhere"],
        &["clickhouse"],
    ] {
        let (status, _, log) = run(data.path(), arguments);
        assert!(exited_with(status, 2), "{arguments:?}: {status:?}\n{log}");
        assert!(!log.is_empty(), "{arguments:?}");
    }
    assert!(good(data.path(), &["--version"]).starts_with("weir "));
    for command in ["serve", "clickhouse", "migrate", "key", "replay", "doctor", "export"] {
        assert!(good(data.path(), &["--help"]).contains(command), "{command}");
    }
}

#[test]
fn keys_with_the_engine_stopped_and_running() {
    let data = tempfile::tempdir().expect("a folder");
    let made = good(data.path(), &["key", "create", "--name", "early", "--role", "viewer"]);
    assert!(!words(&made, "key_").is_empty() && !words(&made, "weir_").is_empty(), "{made}");
    let shared = Shared { engine: Settings::new(data.path()).start(), _data: data };
    let data = shared.engine.data.clone();
    let early = words(&made, "weir_").pop().expect("a secret");
    assert_eq!(shared.as_key(early, "GET", "/v1/links", None).status, 200, "made while it was stopped");

    let late = good(&data, &["key", "create", "--role", "editor"]);
    let (id, secret) = (words(&late, "key_")[0], words(&late, "weir_")[0]);
    assert_eq!(shared.as_key(secret, "GET", "/v1/links", None).status, 200);
    let listed = good(&data, &["key", "list"]);
    assert!(listed.contains(id) && listed.contains("editor") && !listed.contains(secret), "{listed}");
    good(&data, &["key", "revoke", id]);
    assert_eq!(shared.as_key(secret, "GET", "/v1/links", None).status, 401);
    let (status, _, log) = run(&data, &["key", "revoke", "key_0000000000000"]);
    assert!(exited_with(status, 1), "{status:?} {log}");

    let Shared { engine, _data } = shared;
    let (status, log) = engine.stop();
    let listed = good(&data, &["key", "list"]);
    assert!(listed.lines().any(|line| line.contains(id) && line.contains("revoked")), "{listed}");
    good(&data, &["key", "revoke", words(&made, "key_").pop().expect("an id")]);
    assert!(exited_with(status, 0), "{status:?}\n{log}");
}

#[test]
fn migrations_exports_replays_and_the_doctor() {
    let shared = own(|settings| settings);
    let data = shared.engine.data.clone();
    let (slug, link) = shared.link(json!({}));
    shared.token(&slug);
    super::conversions::sale(&shared, "A-1", 500, json!({"wclid": shared.token(&slug)}));
    let query = r#"{"metrics":["clicks"],"dimensions":["link"],"date_range":"7d"}"#;
    assert_eq!(good(&data, &["export", "--query", query]), format!("link,clicks\r\n{link},2\r\n"));
    let file = data.join("out.ndjson");
    let path = file.to_str().expect("a path");
    good(&data, &["export", "--query", query, "--format", "ndjson", "--output", path]);
    let written: Value =
        serde_json::from_str(&std::fs::read_to_string(&file).expect("the file")).expect("JSON");
    assert_eq!(written["clicks"], 2);
    let raw = good(&data, &["export", "--rows", "clicks", "--format", "ndjson"]);
    assert!(raw.lines().count() == 2 && raw.contains(&link), "{raw}");
    // A file of rows that broke off in the middle of one goes on behind the last whole one.
    let rows = data.join("rows.ndjson");
    let path = rows.to_str().expect("a path");
    let export = ["export", "--rows", "clicks", "--format", "ndjson", "--output", path];
    let (_, _, told) = run(&data, &export);
    assert!(told.contains("2 of 2 rows"), "{told}");
    let whole = std::fs::read_to_string(&rows).expect("the file");
    assert!(!data.join("rows.ndjson.as-of").exists(), "it is whole");
    std::fs::write(&rows, &whole[..whole.len() - 20]).expect("it is cut");
    std::fs::write(data.join("rows.ndjson.as-of"), i64::MAX.to_string()).expect("as it would have been left");
    good(&data, &[&export[..], &["--resume"]].concat());
    assert_eq!(std::fs::read_to_string(&rows).expect("the file"), whole);
    let (status, _, log) = run(&data, &[&export[..], &["--resume"]].concat());
    assert!(exited_with(status, 1) && log.contains("whole"), "{status:?} {log}");
    let (status, _, log) = run(&data, &["export", "--query", r#"{"metrics":["nope"]}"#]);
    assert!(exited_with(status, 1) && log.contains("metrics"), "{status:?} {log}");
    assert!(good(&data, &["doctor"]).contains("engine"));

    let Shared { engine, _data } = shared;
    let (status, log) = engine.stop();
    assert!(exited_with(status, 0), "{status:?}\n{log}");
    let standing = good(&data, &["migrate", "status"]);
    assert!(standing.contains("clicks") && !standing.contains("missing"), "{standing}");
    good(&data, &["migrate", "up"]);
    assert!(good(&data, &["doctor", "--books"]).contains("books"));
    let replayed = good(&data, &["replay", "books"]);
    assert!(replayed.contains("the same before"), "{replayed}");
    good(&data, &["replay", "warehouse"]);
    good(&data, &["replay", "live"]);

    let again = Shared { engine: Settings::new(&data).start(), _data };
    let rows = |metrics: &[&str]| again.of_link(&link, metrics);
    assert_eq!(json!(rows(&["clicks", "conversions", "revenue"])), json!([2, 1, 500]));
}

/// Starts the command, makes a link, ends it; gives what its short URL begins with.
fn public_url(command: &mut Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("stdout")).read_line(&mut line).expect("a line");
    let ready: Value = serde_json::from_str(&line).unwrap_or_default();
    let admin = ready["admin"].as_str().and_then(|url| url.strip_prefix("http://")?.parse().ok());
    let bearer = format!("Bearer {ADMIN_KEY}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = br#"{"slug":"a","destination":"https://a.example/"}"#;
    let made = admin.map(|admin| ask(admin, "POST", "/v1/links", &headers, body).json());
    signal(child.id(), Signal::TERM);
    assert!(exited_with(child.wait().expect("it ends"), 0), "{line}");
    let url = made.expect("it was ready")["short_url"].as_str().expect("a URL").to_owned();
    url.strip_suffix("/a").expect("the slug").to_owned()
}

#[test]
fn flags_beat_the_environment_and_that_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, "public_url = \"https://file.example\"\n[privacy]\ncookies = false\n")
        .expect("the file");
    let command = |data: &str| {
        let mut command = Settings::new(&folder.path().join(data)).command();
        command.arg("--config").arg(&file);
        command
    };
    assert_eq!(public_url(&mut command("file")), "https://file.example");
    let mut environment = command("environment");
    environment.env("WEIR_PUBLIC_URL", "https://environment.example");
    assert_eq!(public_url(&mut environment), "https://environment.example");
    let mut flag = command("flag");
    flag.env("WEIR_PUBLIC_URL", "https://environment.example").args(["--public-url", "https://flag.example"]);
    assert_eq!(public_url(&mut flag), "https://flag.example");

    // What means nothing is a usage error that names where it stands.
    std::fs::write(&file, "nope = 1\n").expect("the file");
    let output = command("bad").output().expect("it runs");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(exited_with(output.status, 2) && log.contains("nope"), "{log}");
    let output = weir().env("WEIR_PUBLIC_ADDR", "nowhere").output().expect("it runs");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(exited_with(output.status, 2) && log.contains("WEIR_PUBLIC_ADDR"), "{log}");
}
