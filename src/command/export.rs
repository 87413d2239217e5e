//! `weir export`: a query's answer, or raw rows, as a file, from the engine that runs on the data folder. Raw rows
//! say how far they have come on standard error; a file of NDJSON that broke off goes on where it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use serde_json::{Value, json};

use super::running::Running;
use crate::config::Config;
use crate::engine::Failure;

/// Between two words on how far an export has come.
const TOLD_EVERY: Duration = Duration::from_secs(2);
/// The longest row that is looked for at the end of a file, in bytes.
const ROW_BYTES_MAX: u64 = 1 << 20;

pub(super) fn run(matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let (format, output, resume) = (text("format"), text("output"), matches.get_flag("resume"));
    let (path, mut body) = match matches.get_one::<String>("rows") {
        None => ("/v1/query", text("query")),
        Some(rows) if rows.trim_start().starts_with('{') => ("/v1/export", rows.clone()),
        Some(rows) => ("/v1/export", json!({"rows": rows, "date_range": "all"}).to_string()),
    };
    if resume && (path != "/v1/export" || format != "ndjson" || output == "-") {
        return Err("--resume goes on with a file of --rows in --format ndjson".into());
    }
    let data = config.data_dir.display();
    let running = Running::find(&config.data_dir)
        .ok_or_else(|| format!("no engine runs on {data}; start it with `weir serve`"))?;
    let path = format!("{path}?format={format}");
    if output == "-" {
        return running.download(&path, &body, &mut std::io::stdout().lock(), |_, _| Ok(()));
    }
    let output = PathBuf::from(output);
    let begun = begun_as_of(&output);
    let file = match resume {
        true => {
            let (file, after) = cut_after_last_row(&output)?;
            body = going_on(&body, after, &begun)?;
            file
        }
        false => {
            File::create(&output).map_err(|error| format!("cannot write {}: {error}", output.display()))?
        }
    };
    let mut file =
        Progress { file, lines: format == "ndjson", rows: 0, bytes: 0, of: None, told: Instant::now() };
    running.download(&path, &body, &mut file, |head, file| {
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        file.of = header("weir-total-rows:").and_then(|rows| rows.parse().ok());
        match header("weir-as-of:").filter(|_| file.of.is_some()) {
            Some(as_of) => Ok(std::fs::write(&begun, as_of)?),
            None => Ok(()),
        }
    })?;
    file.flush()?;
    file.tell();
    // It is whole.
    let _ = std::fs::remove_file(begun);
    Ok(())
}

/// Where an export that is not whole yet keeps as of when it began.
fn begun_as_of(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".as-of");
    name.into()
}

/// The same export behind the last row that arrived, as of the moment at which it began.
fn going_on(body: &str, after: Option<String>, begun: &Path) -> Result<String, Failure> {
    let mut body: Value = serde_json::from_str(body)?;
    let as_of =
        std::fs::read_to_string(begun).map_err(|_| "there is nothing to go on with: the export is whole")?;
    let as_of: u64 = as_of.trim().parse().map_err(|_| format!("{} holds no number", begun.display()))?;
    let members = body.as_object_mut().ok_or("--rows must be a JSON object")?;
    members.insert("as_of".to_owned(), json!(as_of));
    members.extend(after.map(|after| ("after".to_owned(), json!(after))));
    Ok(body.to_string())
}

/// The file without what stands behind its last whole row, and that row's cursor.
fn cut_after_last_row(output: &Path) -> Result<(File, Option<String>), Failure> {
    let opened = OpenOptions::new().read(true).write(true).open(output);
    let mut file = opened.map_err(|error| format!("cannot read {}: {error}", output.display()))?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(2 * ROW_BYTES_MAX);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        if from > 0 {
            return Err("the file holds no rows of NDJSON".into());
        }
        file.set_len(0)?;
        file.rewind()?;
        return Ok((file, None));
    };
    let start = tail[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
    let row: Value =
        serde_json::from_slice(&tail[start..end]).map_err(|_| "the file holds no rows of NDJSON")?;
    let cursor = row["cursor"].as_str().ok_or("the file's rows have no cursor")?.to_owned();
    file.set_len(from + end as u64 + 1)?;
    file.seek(SeekFrom::End(0))?;
    Ok((file, Some(cursor)))
}

/// A file that says how far it has come.
struct Progress {
    file: File,
    /// A row is a line.
    lines: bool,
    rows: u64,
    bytes: u64,
    of: Option<u64>,
    told: Instant,
}

impl Progress {
    fn tell(&self) {
        let mebibytes = self.bytes as f64 / f64::from(1 << 20);
        match (self.of, self.lines) {
            (Some(of), true) => eprintln!("{} of {of} rows, {mebibytes:.1} MiB", self.rows),
            (Some(of), false) => eprintln!("{mebibytes:.1} MiB of {of} rows"),
            (None, _) => {}
        }
    }
}

impl Write for Progress {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        if self.lines {
            self.rows += bytes[..written].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            self.tell();
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
