//! The table of options, from which the flags, the variables, the file's keys and `--help` are made.

/// One option.
#[derive(Debug)]
pub struct OptionSpec {
    /// `a.b`.
    pub name: &'static str,
    /// What `--help` shows for its value.
    pub value: &'static str,
    /// One line.
    pub help: &'static str,
}

impl OptionSpec {
    /// `WEIR_A_B`.
    pub fn variable(&self) -> String {
        format!("WEIR_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// `--a-b`.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace(['.', '_'], "-"))
    }
}

/// The option of a dotted name. `public.addr` and `public_addr` are one: they have one variable and one flag.
pub(super) fn find(name: &str) -> Option<&'static OptionSpec> {
    let plain = |name: &str| name.replace('.', "_");
    OPTIONS.iter().find(|option| plain(option.name) == plain(name))
}

const fn option(name: &'static str, value: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { name, value, help }
}

/// Every option, in the order of `--help`.
pub const OPTIONS: &[OptionSpec] = &[
    option("data_dir", "DIR", "Where all state lives [./data]"),
    option("public_addr", "ADDR", "Listener for visitors, browsers and providers [127.0.0.1:8080]"),
    option("admin_addr", "ADDR", "Listener for API, live and dashboard [127.0.0.1:8081]"),
    option("public_url", "URL", "What short URLs begin with [http:// and the public address]"),
    option("admin_url", "URL", "Where people reach the dashboard [http:// and the admin address]"),
    option("admin_key", "KEY", "First start: this admin key (weir_…) instead of a generated one"),
    option(
        "trusted_proxies",
        "CIDRS",
        "Proxies whose forwarding headers are believed, separated by commas [none]",
    ),
    option("geoip", "PATH", "GeoIP file or folder of .mmdb files [.weir/geoip where it exists]"),
    option("networks", "PATH", "Folder of asn-ipv4.csv and asn-ipv6.csv [.weir/networks where it exists]"),
    option("clickhouse_url", "URL", "A ClickHouse of your own [unset: the embedded one]"),
    option("clickhouse.user", "NAME", "Its user [default]"),
    option("clickhouse.password", "TEXT", "Its password"),
    option("libchdb", "PATH", "libchdb.so for the embedded ClickHouse [.weir/libchdb-*/libchdb.so]"),
    option("node", "N", "This node's number, 0 to 1023 [0]"),
    option("public.threads", "N", "Edge threads, each with a lane [one per core]"),
    option("public.max_connections", "N", "Open connections on the public listener [20000]"),
    option("durability.clicks", "process|power", "What an answered click survives [process]"),
    option("recorder.lane_bytes", "BYTES", "Size of each lane [16777216]"),
    option("recorder.pace_ms", "MS", "Least time between syncs of clicks alone [5]"),
    option(
        "books.backlog_max",
        "FACTS",
        "Facts not yet booked from which on webhooks wait for their turn [40000]",
    ),
    option("journal.segment_bytes", "BYTES", "Size of a journal segment [67108864]"),
    option("journal.traffic_retention_hours", "HOURS", "How long clicks stay in the journal at least [48]"),
    option("warehouse.batch_rows", "ROWS", "Most rows in a warehouse batch [50000]"),
    option("warehouse.batch_age_ms", "MS", "Most age of a warehouse batch [1000]"),
    option(
        "warehouse.step_entries",
        "ENTRIES",
        "Journal entries after which clicks are added up for questions over long ranges [524288]",
    ),
    option("bandit.every_s", "S", "Between decisions on splits that follow their results [60]"),
    option("live.tick_ms", "MS", "Between live updates [100]"),
    option(
        "outbound.allow_private",
        "BOOL",
        "Whether outbound webhooks may go to addresses of this network, and by http [false]",
    ),
    option("mail.smtp_url", "URL", "Mail server, such as smtps://user:password@host [none: no mail]"),
    option("mail.from", "ADDRESS", "Who mail is from, such as Weir <weir@example.com>"),
    option("mail.operator", "ADDRESS", "Who is told by mail of what concerns no single partner [nobody]"),
    option("privacy.cookies", "BOOL", "Whether visitors get cookies [true]"),
    option(
        "abuse.contact",
        "ADDRESS",
        "Where abuse is reported, told on pages of links that lead nowhere [none]",
    ),
    option("log.level", "FILTER", "Log filter [info]"),
    option("log.format", "text|json", "Log format [text]"),
];
