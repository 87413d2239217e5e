//! The configuration: one table of options. Flags beat the environment, the environment beats `weir.toml`. An option
//! `a.b` is the flag `--a-b`, the variable `WEIR_A_B` and the key `b` of the table `[a]` (or `a_b` of none). The
//! environment is read here, once; what comes out is checked, and every error names where the value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use weir_edge::peer::TrustedProxies;
use weir_engine::warehouse::cells::STEP_LENGTH;

mod options;

pub use options::{OPTIONS, OptionSpec};

/// Everything that `weir` can be told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where all state lives.
    pub data_dir: PathBuf,
    /// Visitors, browsers, providers.
    pub public_addr: SocketAddr,
    /// API, live, dashboard.
    pub admin_addr: SocketAddr,
    /// What short URLs begin with; `None`: the public listener's own address.
    pub public_url: Option<String>,
    /// Where the dashboard is reached; `None`: the admin listener's own address.
    pub admin_url: Option<String>,
    /// First start only: the admin key to create.
    pub admin_key: Option<String>,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// GeoIP file or folder; `None`: `.weir/geoip` where it exists.
    pub geoip: Option<PathBuf>,
    /// Folder of the networks' tables; `None`: `.weir/networks` where it exists.
    pub networks: Option<PathBuf>,
    /// `None`: the embedded ClickHouse.
    pub clickhouse_url: Option<String>,
    /// User of a ClickHouse of one's own.
    pub clickhouse_user: String,
    /// Its password.
    pub clickhouse_password: String,
    /// libchdb.so for the embedded one.
    pub libchdb: Option<PathBuf>,
    /// This node's number.
    pub node: u16,
    /// Edge threads; each has a lane.
    pub public_threads: usize,
    /// Open connections on the public listener.
    pub public_max_connections: usize,
    /// Whether a click waits for the disk.
    pub durability_clicks: ClickDurability,
    /// Bytes of each lane.
    pub lane_bytes: u64,
    /// Least time between syncs of clicks alone.
    pub recorder_pace: Duration,
    /// Facts that are durable and not yet booked from which on webhooks wait.
    pub books_backlog: u64,
    /// Bytes of a journal segment.
    pub segment_bytes: u64,
    /// How long traffic stays in the journal at least.
    pub traffic_retention: Duration,
    /// Rows per warehouse batch.
    pub batch_rows: usize,
    /// Age of a warehouse batch.
    pub batch_age: Duration,
    /// Journal entries after which clicks are added up beforehand.
    pub step_length: u64,
    /// Between decisions on splits that follow their results.
    pub bandit_every: Duration,
    /// Between live deltas.
    pub live_tick: Duration,
    /// Whether outbound webhooks may go to addresses that are not public.
    pub outbound_private: bool,
    /// The mail server; `None`: no mail is sent.
    pub mail_smtp_url: Option<String>,
    /// Who mail is from.
    pub mail_from: Option<String>,
    /// Who is told of what concerns no single partner.
    pub mail_operator: Option<String>,
    /// Whether cookies are set.
    pub privacy_cookies: bool,
    /// Where abuse of links is reported: a mail address or a web page.
    pub abuse_contact: Option<String>,
    /// Tracing filter.
    pub log_level: String,
    /// Text or JSON.
    pub log_json: bool,
}

/// What a click survives once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClickDurability {
    /// The death of the process.
    Process,
    /// The loss of power: the redirect waits for the sync.
    Power,
}

/// A value that cannot be used. Exit code 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// `--public-addr`, `WEIR_PUBLIC_ADDR` or `weir.toml: public_addr`.
    pub origin: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.detail)
    }
}

impl std::error::Error for ConfigError {}

/// Values by option name, each with its origin.
#[derive(Debug, Default, Clone)]
pub struct Values(BTreeMap<&'static str, (String, String)>);

impl Values {
    /// Gathers what flags, environment and file say, in this order of precedence.
    pub fn gather(
        flags: &BTreeMap<&'static str, String>,
        environment: impl Iterator<Item = (String, String)>,
        file: Option<(&Path, &str)>,
    ) -> Result<Self, ConfigError> {
        let mut values = BTreeMap::new();
        if let Some((path, text)) = file {
            let origin = |name: &str| format!("{}: {name}", path.display());
            let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError {
                origin: path.display().to_string(),
                detail: error.to_string(),
            })?;
            for (name, value) in flatten(&table) {
                let option = options::find(&name).ok_or_else(|| ConfigError {
                    origin: origin(&name),
                    detail: "is not an option; `weir serve --help` lists them all".to_owned(),
                })?;
                values.insert(option.name, (value, origin(&name)));
            }
        }
        let environment: BTreeMap<String, String> = environment.collect();
        for option in OPTIONS {
            let variable = option.variable();
            if let Some(value) = environment.get(&variable) {
                values.insert(option.name, (value.clone(), variable));
            }
            if let Some(value) = flags.get(option.name) {
                values.insert(option.name, (value.clone(), option.flag()));
            }
        }
        Ok(Self(values))
    }

    fn text(&self, name: &'static str) -> Option<(&str, &str)> {
        let (value, origin) = self.0.get(name)?;
        (!value.is_empty()).then_some((value.as_str(), origin.as_str()))
    }

    fn parse<T: FromStr>(&self, name: &'static str, default: T, expected: &str) -> Result<T, ConfigError> {
        let Some((text, origin)) = self.text(name) else { return Ok(default) };
        text.parse().map_err(|_| ConfigError {
            origin: origin.to_owned(),
            detail: format!("`{text}` is not {expected}"),
        })
    }

    fn within<T>(&self, name: &'static str, default: T, least: T, most: T) -> Result<T, ConfigError>
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        let value = self.parse(name, default, &format!("a number from {least} to {most}"))?;
        if value < least || value > most {
            let (_, origin) = self.text(name).expect("the default is within its bounds");
            let detail = format!("{value} is not a number from {least} to {most}");
            return Err(ConfigError { origin: origin.to_owned(), detail });
        }
        Ok(value)
    }

    /// Networks, separated by commas.
    fn networks(&self, name: &'static str) -> Result<TrustedProxies, ConfigError> {
        let list = self.text(name).map_or("", |(list, _)| list);
        let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
        let ranges = parts.map(|part| match part.parse() {
            Ok(range) => Ok(range),
            Err(error) => self.fail(name, format!("`{part}`: {error}")),
        });
        Ok(TrustedProxies::new(ranges.collect::<Result<_, _>>()?))
    }

    fn fail<T>(&self, name: &'static str, detail: impl Into<String>) -> Result<T, ConfigError> {
        let origin = self.text(name).map_or_else(|| name.to_owned(), |(_, origin)| origin.to_owned());
        Err(ConfigError { origin, detail: detail.into() })
    }

    /// Checks every value.
    pub fn check(&self) -> Result<Config, ConfigError> {
        let own = |name| self.text(name).map(|(text, _)| text.to_owned());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let address = "an address such as 127.0.0.1:8080";
        let yes_no = "true or false";
        let config = Config {
            data_dir: own("data_dir").unwrap_or_else(|| "./data".to_owned()).into(),
            public_addr: self.parse("public_addr", SocketAddr::from(([127, 0, 0, 1], 8080)), address)?,
            admin_addr: self.parse("admin_addr", SocketAddr::from(([127, 0, 0, 1], 8081)), address)?,
            public_url: own("public_url").map(|url| url.trim_end_matches('/').to_owned()),
            admin_url: own("admin_url").map(|url| url.trim_end_matches('/').to_owned()),
            admin_key: own("admin_key"),
            trusted_proxies: self.networks("trusted_proxies")?,
            geoip: own("geoip").map(PathBuf::from),
            networks: own("networks").map(PathBuf::from),
            clickhouse_url: own("clickhouse_url"),
            clickhouse_user: own("clickhouse.user").unwrap_or_else(|| "default".to_owned()),
            clickhouse_password: own("clickhouse.password").unwrap_or_default(),
            libchdb: own("libchdb").map(PathBuf::from),
            node: self.within("node", 0, 0, weir_schemas::ids::NODE_MAX)?,
            public_threads: self.within("public.threads", cores.min(64), 1, 64)?,
            public_max_connections: self.within("public.max_connections", 20_000, 1, 1_000_000)?,
            durability_clicks: match self.text("durability.clicks").map(|(text, _)| text) {
                None | Some("process") => ClickDurability::Process,
                Some("power") => ClickDurability::Power,
                Some(other) => {
                    return self.fail("durability.clicks", format!("`{other}` is not process or power"));
                }
            },
            lane_bytes: self.within("recorder.lane_bytes", 16 << 20, 1 << 16, 1 << 32)?,
            recorder_pace: Duration::from_millis(self.within("recorder.pace_ms", 10, 1, 1_000)?),
            books_backlog: self.within("books.backlog_max", 40_000, 1, 10_000_000)?,
            segment_bytes: self.within("journal.segment_bytes", 64 << 20, 1 << 20, 1 << 32)?,
            traffic_retention: Duration::from_secs(
                3_600 * self.within("journal.traffic_retention_hours", 48_u64, 1, 24 * 365)?,
            ),
            batch_rows: self.within("warehouse.batch_rows", 50_000, 1, 1_000_000)?,
            batch_age: Duration::from_millis(self.within("warehouse.batch_age_ms", 1_000, 1, 60_000)?),
            step_length: self.within("warehouse.step_entries", STEP_LENGTH, 16, 1 << 24)?,
            bandit_every: Duration::from_secs(self.within("bandit.every_s", 60, 1, 86_400)?),
            live_tick: Duration::from_millis(self.within("live.tick_ms", 100, 10, 10_000)?),
            outbound_private: self.parse("outbound.allow_private", false, yes_no)?,
            mail_smtp_url: own("mail.smtp_url"),
            mail_from: own("mail.from"),
            mail_operator: own("mail.operator"),
            privacy_cookies: self.parse("privacy.cookies", true, yes_no)?,
            abuse_contact: own("abuse.contact"),
            log_level: own("log.level").unwrap_or_else(|| "info".to_owned()),
            log_json: match self.text("log.format").map(|(text, _)| text) {
                None | Some("text") => false,
                Some("json") => true,
                Some(other) => return self.fail("log.format", format!("`{other}` is not text or json")),
            },
        };
        for (name, url) in [
            ("public_url", &config.public_url),
            ("admin_url", &config.admin_url),
            ("clickhouse_url", &config.clickhouse_url),
        ] {
            if url.as_ref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
                return self.fail(name, "must begin with http:// or https://");
            }
        }
        if let Some(to) = &config.abuse_contact
            && (to.len() > 255
                || to.chars().any(|c| c.is_control() || c.is_whitespace())
                || !(to.contains('@') || to.starts_with("https://") || to.starts_with("http://")))
        {
            return self.fail("abuse.contact", "must be a mail address or a web address");
        }
        if config.mail_smtp_url.is_some() && config.mail_from.is_none() {
            return self.fail("mail.from", "is needed where mail.smtp_url is set");
        }
        if let Some(key) = &config.admin_key {
            let shape = key.starts_with("weir_") && (32..=128).contains(&key.len());
            if !shape || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
                return self.fail(
                    "admin_key",
                    "must be weir_ followed by letters, digits, _ or -, 32 to 128 characters in all",
                );
            }
        }
        Ok(config)
    }
}

/// `[a] b = 1` as `a.b` = `1`; lists joined by commas.
fn flatten(table: &toml::Table) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                out.extend(flatten(inner).into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            value => out.push((key.clone(), plain(value))),
        }
    }
    out
}

fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
