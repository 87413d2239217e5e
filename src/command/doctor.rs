//! `weir doctor`: looks at everything that an installation needs and says what to mend. Exit code 1 where
//! something is wrong.

use std::path::Path;

use clap::ArgMatches;
use weir_engine::books::Reads;
use weir_engine::enrich::Geo;

use super::running::Running;
use crate::config::Config;
use crate::engine::{Failure, books_file};

/// Below this the journal has room for little more than a day of a busy site.
const FREE_BYTES_MIN: u64 = 5 << 30;

struct Report {
    wrong: usize,
}

impl Report {
    fn good(&self, what: &str, detail: impl std::fmt::Display) {
        println!("ok    {what}: {detail}");
    }

    fn bad(&mut self, what: &str, detail: impl std::fmt::Display) {
        self.wrong += 1;
        println!("WRONG {what}: {detail}");
    }
}

pub(super) fn run(matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let mut report = Report { wrong: 0 };
    report.good("configuration", "every option is valid");
    check_disk(&mut report, &config.data_dir);
    check_clock(&mut report);
    check_geoip(&mut report, config);
    check_warehouse(&mut report, config);
    check_engine(&mut report, config);
    if matches.get_flag("books") {
        check_books(&mut report, &config.data_dir);
    }
    match report.wrong {
        0 => Ok(()),
        1 => Err("one thing is wrong".into()),
        many => Err(format!("{many} things are wrong").into()),
    }
}

fn check_disk(report: &mut Report, data: &Path) {
    let existing = data.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    match rustix::fs::statvfs(existing) {
        Ok(disk) => {
            let free = disk.f_bavail * disk.f_frsize;
            let shown = format!("{:.1} GiB free on {}", free as f64 / (1 << 30) as f64, existing.display());
            if free < FREE_BYTES_MIN {
                report.bad("disk", format!("{shown}; the journal needs room: at least 5 GiB"));
            } else {
                report.good("disk", shown);
            }
        }
        Err(error) => report.bad("disk", format!("{}: {error}", existing.display())),
    }
    let probe = data.join(".doctor");
    if data.is_dir() {
        match std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe)) {
            Ok(()) => report.good("data folder", format!("{} can be written", data.display())),
            Err(error) => report.bad("data folder", format!("{} cannot be written: {error}", data.display())),
        }
    } else {
        report.good("data folder", format!("{} is made at the first start", data.display()));
    }
}

fn check_clock(report: &mut Report) {
    let now = weir_schemas::time::Timestamp::now();
    // Signatures carry times; a clock that was never set refuses every webhook.
    const BUILT_AFTER: i64 = 1_790_000_000_000;
    if now.0 < BUILT_AFTER {
        report.bad("clock", format!("it says {now}; set it, or every webhook is refused as too old"));
    } else {
        report.good("clock", now);
    }
}

fn check_geoip(report: &mut Report, config: &Config) {
    let Some(path) = config
        .geoip
        .clone()
        .or_else(|| Some(".weir/geoip".into()).filter(|p: &std::path::PathBuf| p.is_dir()))
    else {
        return report.good("geoip", "none: countries and cities stay empty");
    };
    match Geo::open(&path) {
        Ok(_) => report.good("geoip", path.display()),
        Err(error) => report.bad("geoip", error),
    }
}

fn check_warehouse(report: &mut Report, config: &Config) {
    match &config.clickhouse_url {
        Some(url) => report.good("warehouse", format!("a ClickHouse of your own at {url}")),
        None => match weir_embedded::locate(config.libchdb.as_deref()) {
            Ok(path) => report.good("warehouse", format!("embedded, {}", path.display())),
            Err(error) => report.bad("warehouse", error),
        },
    }
}

fn check_engine(report: &mut Report, config: &Config) {
    let Some(running) = Running::find(&config.data_dir) else {
        return report.good("engine", "not running");
    };
    match running.ask("GET", "/readyz", None) {
        Ok(answered) if answered.status == 200 => {
            report.good("engine", String::from_utf8_lossy(&answered.body));
        }
        Ok(answered) => report.bad("engine", String::from_utf8_lossy(&answered.body)),
        Err(error) => report.bad("engine", error),
    }
}

fn check_books(report: &mut Report, data: &Path) {
    let path = books_file(data);
    if !path.is_file() {
        return report.good("books", "none yet");
    }
    match Reads::new(path).check() {
        Ok(found) if found.is_empty() => report.good("books", "every balance is the sum of its entries"),
        Ok(found) => found.iter().for_each(|line| report.bad("books", line)),
        Err(error) => report.bad("books", error),
    }
}
