//! The books' tables. Ids are SQLite integers, click ids 16-byte blobs (big-endian), times Unix milliseconds,
//! money minor units. Nothing here is written by anyone but [`super::apply`].

/// The version of the tables, in `PRAGMA user_version`. Books of another version are rebuilt from the
/// journal.
pub(super) const VERSION: i64 = 21;

/// Every table that a replay must reproduce, in the order of the digest, each with its key.
pub(super) const TABLES: &[(&str, &str)] = &[
    ("meta", "name"),
    ("workspaces", "id"),
    ("api_keys", "id"),
    ("links", "id"),
    ("endpoints", "id"),
    ("sites", "id"),
    ("blocklist", "id"),
    ("split_decisions", "link, seq"),
    ("fx_tables", "workspace"),
    ("fx_rates", "workspace, number"),
    ("click_verdicts", "workspace, click"),
    ("programs", "id"),
    ("program_versions", "program, version"),
    ("partners", "id"),
    ("partner_codes", "workspace, kind, code"),
    ("postback_tokens", "id"),
    ("outbound", "id"),
    ("outbox", "seq, n"),
    ("milestones", "workspace, kind, subject"),
    ("fulfilments", "id"),
    ("requests", "workspace, key"),
    ("customers", "id"),
    ("erasures", "seq, customer"),
    ("clicks", "workspace, click"),
    ("touches", "customer, click"),
    ("subscriptions", "workspace, name"),
    ("orders", "id"),
    ("order_keys", "workspace, key"),
    ("conversions", "id"),
    ("claims", "conversion, n"),
    ("returns", "ord, kind, name"),
    ("deliveries", "id"),
    ("delivery_keys", "endpoint, dedupe_key"),
    ("effects", "seq, sub"),
    ("accounts", "id"),
    ("entries", "account, id"),
    ("earnings", "id"),
    ("payouts", "id"),
    ("payout_items", "payout, earning"),
    ("standings", "program, partner, day, currency"),
    ("milestones_reached", "id"),
    ("alerts", "id"),
    ("alert_events", "alert, seq"),
    ("saved_queries", "id"),
    ("shares", "id"),
    ("audit", "seq"),
    ("undecodable", "seq"),
];

pub(super) const CREATE: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('applied_seq', 0);

CREATE TABLE workspaces (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, currency TEXT NOT NULL, timezone TEXT NOT NULL,
    created_at INTEGER NOT NULL) STRICT;

CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL,
    partner INTEGER,
    secret_sha256 TEXT NOT NULL, hint TEXT NOT NULL, created_at INTEGER NOT NULL, revoked_at INTEGER) STRICT;
CREATE UNIQUE INDEX api_keys_secret ON api_keys (secret_sha256) WHERE revoked_at IS NULL;

-- domain '' is the engine's own host; a host and a slug lead to one link whatever its workspace
CREATE TABLE links (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, domain TEXT NOT NULL, slug TEXT NOT NULL,
    partner INTEGER NOT NULL, program INTEGER NOT NULL, spec TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER) STRICT;
CREATE UNIQUE INDEX links_slug ON links (domain, slug) WHERE deleted_at IS NULL;
CREATE INDEX links_workspace ON links (workspace, id) WHERE deleted_at IS NULL;

-- livemode is NULL until the first delivery with payments fixes it
CREATE TABLE endpoints (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, provider TEXT NOT NULL, secrets TEXT NOT NULL,
    settings TEXT, program INTEGER, livemode INTEGER, created_at INTEGER NOT NULL, deleted_at INTEGER) STRICT;

CREATE TABLE sites (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, name TEXT NOT NULL, origins TEXT NOT NULL,
    created_at INTEGER NOT NULL, deleted_at INTEGER) STRICT;
CREATE INDEX sites_workspace ON sites (workspace, id) WHERE deleted_at IS NULL;

CREATE TABLE split_decisions (
    link INTEGER NOT NULL, seq INTEGER NOT NULL, workspace INTEGER NOT NULL, payload TEXT NOT NULL,
    PRIMARY KEY (link, seq)) STRICT, WITHOUT ROWID;

-- base is empty once the table was emptied; number is the day and the currency in one
CREATE TABLE fx_tables (
    workspace INTEGER PRIMARY KEY, base TEXT NOT NULL, changed_seq INTEGER NOT NULL) STRICT;
CREATE TABLE fx_rates (
    workspace INTEGER NOT NULL, number INTEGER NOT NULL, day INTEGER NOT NULL, currency TEXT NOT NULL,
    rate TEXT NOT NULL, source TEXT NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (workspace, number)) STRICT, WITHOUT ROWID;

CREATE TABLE click_verdicts (
    workspace INTEGER NOT NULL, click BLOB NOT NULL, verdict TEXT NOT NULL, reason TEXT, at INTEGER NOT NULL,
    PRIMARY KEY (workspace, click)) STRICT, WITHOUT ROWID;

CREATE TABLE blocklist (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, pattern TEXT NOT NULL, reason TEXT,
    created_at INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX blocklist_pattern ON blocklist (workspace, pattern);
CREATE TABLE postback_tokens (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, settings TEXT NOT NULL, secret_sha256 TEXT NOT NULL,
    hint TEXT NOT NULL, previous_sha256 TEXT, previous_until INTEGER, created_at INTEGER NOT NULL,
    deleted_at INTEGER) STRICT;
CREATE INDEX postback_tokens_workspace ON postback_tokens (workspace, id) WHERE deleted_at IS NULL;

-- the terms in force now; program_versions has them all
CREATE TABLE programs (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, version INTEGER NOT NULL, spec TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;
CREATE INDEX programs_workspace ON programs (workspace, id);
CREATE TABLE program_versions (
    program INTEGER NOT NULL, version INTEGER NOT NULL, since INTEGER NOT NULL, spec TEXT NOT NULL,
    PRIMARY KEY (program, version)) STRICT, WITHOUT ROWID;

-- private is sealed under the keyring's master key
CREATE TABLE partners (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, status TEXT NOT NULL, program INTEGER,
    spec TEXT NOT NULL, private TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;
CREATE INDEX partners_workspace ON partners (workspace, id);
-- kind: code, coupon; code is folded to lower case
CREATE TABLE partner_codes (
    workspace INTEGER NOT NULL, kind TEXT NOT NULL, code TEXT NOT NULL, partner INTEGER NOT NULL,
    PRIMARY KEY (workspace, kind, code)) STRICT, WITHOUT ROWID;
CREATE INDEX partner_codes_partner ON partner_codes (partner);

-- changed_seq: the fact that made or changed it last, from which its failures are counted anew
CREATE TABLE outbound (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, spec TEXT NOT NULL, secrets TEXT NOT NULL,
    created_seq INTEGER NOT NULL, changed_seq INTEGER NOT NULL, created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL, deleted_at INTEGER) STRICT;
CREATE TABLE outbox (
    seq INTEGER NOT NULL, n INTEGER NOT NULL, workspace INTEGER NOT NULL, event TEXT NOT NULL,
    at INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (seq, n)) STRICT, WITHOUT ROWID;
CREATE TABLE milestones (
    workspace INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (workspace, kind, subject)) STRICT, WITHOUT ROWID;
CREATE TABLE fulfilments (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, spec TEXT NOT NULL, key TEXT NOT NULL,
    created_at INTEGER NOT NULL, deleted_at INTEGER) STRICT;

CREATE TABLE requests (
    workspace INTEGER NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, status INTEGER NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (workspace, key)) STRICT, WITHOUT ROWID;

-- partners: those who had their mail address at a purchase
CREATE TABLE customers (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, name TEXT NOT NULL, person TEXT,
    first_conversion INTEGER, created_at INTEGER NOT NULL, erased_at INTEGER, merged_into INTEGER,
    partners TEXT) STRICT;
CREATE UNIQUE INDEX customers_name ON customers (workspace, name);
CREATE INDEX customers_merged ON customers (merged_into) WHERE merged_into IS NOT NULL;
-- whose rows are to be rewritten in the other stores, too
CREATE TABLE erasures (seq INTEGER NOT NULL, workspace INTEGER NOT NULL, customer INTEGER NOT NULL,
    PRIMARY KEY (seq, customer)) STRICT, WITHOUT ROWID;

-- what is known of claimed clicks; facts is NULL and pending 1 until they are found
CREATE TABLE clicks (
    workspace INTEGER NOT NULL, click BLOB NOT NULL, link INTEGER NOT NULL, program INTEGER NOT NULL,
    partner INTEGER NOT NULL, facts TEXT, pending INTEGER NOT NULL,
    PRIMARY KEY (workspace, click)) STRICT, WITHOUT ROWID;
CREATE INDEX clicks_pending ON clicks (workspace, click) WHERE pending = 1;

CREATE TABLE touches (
    customer INTEGER NOT NULL, click BLOB NOT NULL, PRIMARY KEY (customer, click)) STRICT, WITHOUT ROWID;
CREATE INDEX touches_click ON touches (click);

CREATE TABLE subscriptions (
    workspace INTEGER NOT NULL, name TEXT NOT NULL, customer INTEGER, status TEXT, price INTEGER,
    currency TEXT, unit TEXT, units INTEGER, click BLOB, changed_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (workspace, name)) STRICT, WITHOUT ROWID;
CREATE INDEX subscriptions_click ON subscriptions (workspace, click) WHERE click IS NOT NULL;

-- an order exists as soon as any fact names it: returns that come before their payment wait on it (currency
-- NULL)
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, name TEXT NOT NULL, currency TEXT,
    paid INTEGER NOT NULL, returned INTEGER NOT NULL) STRICT;
CREATE TABLE order_keys (
    workspace INTEGER NOT NULL, key TEXT NOT NULL, ord INTEGER NOT NULL,
    PRIMARY KEY (workspace, key)) STRICT, WITHOUT ROWID;
CREATE INDEX order_keys_ord ON order_keys (ord);

-- merged_into: another announcement of the same order turned out to be this sale; program and partner are those
-- credited, own_program is the one of the endpoint that reported it; buyer: partners with the buyer's mail address
CREATE TABLE conversions (
    id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, workspace INTEGER NOT NULL, ord INTEGER,
    event TEXT NOT NULL,
    customer INTEGER, subscription TEXT, amount INTEGER, currency TEXT, provider TEXT NOT NULL,
    occurred_at INTEGER NOT NULL, created_at INTEGER NOT NULL, rule TEXT, click BLOB,
    candidates TEXT NOT NULL, properties TEXT NOT NULL, merged_into INTEGER,
    program INTEGER NOT NULL, partner INTEGER NOT NULL, own_program INTEGER NOT NULL, coupon TEXT,
    partner_code TEXT, buyer TEXT) STRICT;
CREATE INDEX conversions_workspace ON conversions (workspace, id);
CREATE INDEX conversions_ord ON conversions (ord) WHERE ord IS NOT NULL;
CREATE INDEX conversions_customer ON conversions (customer) WHERE customer IS NOT NULL;
CREATE INDEX conversions_subscription ON conversions (workspace, subscription) WHERE subscription IS NOT NULL;
CREATE INDEX conversions_click ON conversions (workspace, click) WHERE click IS NOT NULL;

-- what a conversion carried to be credited by; click is NULL where it was refused
CREATE TABLE claims (
    conversion INTEGER NOT NULL, n INTEGER NOT NULL, claimed_by TEXT NOT NULL, click BLOB, refused TEXT,
    PRIMARY KEY (conversion, n)) STRICT, WITHOUT ROWID;
CREATE INDEX claims_click ON claims (click) WHERE click IS NOT NULL;

-- kind: single, cumulative (one for each total), dispute; taken is what of it has been booked, dated and named so;
-- withheld: of that, what only holds what is earned: an open dispute's
CREATE TABLE returns (
    ord INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, amount INTEGER NOT NULL,
    currency TEXT NOT NULL, reason TEXT NOT NULL, state TEXT NOT NULL, at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL, taken INTEGER NOT NULL, taken_at INTEGER NOT NULL, taken_as TEXT NOT NULL,
    answer TEXT, withheld INTEGER NOT NULL, PRIMARY KEY (ord, kind, name)) STRICT, WITHOUT ROWID;

-- payments: of a delivery that was not booked whole, for its replay
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, endpoint INTEGER NOT NULL, provider TEXT NOT NULL,
    dedupe_key TEXT NOT NULL, event_type TEXT NOT NULL, body_sha256 TEXT NOT NULL, livemode INTEGER NOT NULL,
    outcome TEXT NOT NULL, detail TEXT NOT NULL, received_at INTEGER NOT NULL, payments TEXT) STRICT;
CREATE INDEX deliveries_endpoint ON deliveries (endpoint, id);
CREATE TABLE delivery_keys (
    endpoint INTEGER NOT NULL, dedupe_key TEXT NOT NULL, body_sha256 TEXT NOT NULL,
    PRIMARY KEY (endpoint, dedupe_key)) STRICT, WITHOUT ROWID;

CREATE TABLE effects (
    seq INTEGER NOT NULL, sub INTEGER NOT NULL, conversion INTEGER NOT NULL, payload TEXT NOT NULL,
    PRIMARY KEY (seq, sub)) STRICT, WITHOUT ROWID;
CREATE INDEX effects_conversion ON effects (conversion);

-- double entry: the entries of one seq add up to zero in every currency; see books/ledger.rs
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, owner TEXT NOT NULL, owner_id INTEGER NOT NULL,
    kind TEXT NOT NULL, currency TEXT NOT NULL, balance INTEGER NOT NULL, entries INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX accounts_owner ON accounts (workspace, owner, owner_id, kind, currency);
-- balance is the account's after the entry; conversion, commission and payout are 0 where none is concerned
CREATE TABLE entries (
    account INTEGER NOT NULL, id INTEGER NOT NULL, seq INTEGER NOT NULL, amount INTEGER NOT NULL,
    balance INTEGER NOT NULL, what TEXT NOT NULL, conversion INTEGER NOT NULL, commission INTEGER NOT NULL,
    payout INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (account, id)) STRICT, WITHOUT ROWID;

-- what conversions earn partners and customers; earned - paid lies on the account that the state names
CREATE TABLE earnings (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, conversion INTEGER NOT NULL, kind TEXT NOT NULL,
    owner_id INTEGER NOT NULL, program INTEGER NOT NULL, version INTEGER NOT NULL, tier TEXT, rate TEXT NOT NULL,
    fee_bp INTEGER NOT NULL, sale INTEGER NOT NULL, currency TEXT NOT NULL, earned INTEGER NOT NULL,
    fee INTEGER NOT NULL, original INTEGER NOT NULL, paid INTEGER NOT NULL, settled INTEGER NOT NULL,
    live INTEGER NOT NULL, verdict TEXT, reason TEXT, state TEXT NOT NULL, payout INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL, due_at INTEGER NOT NULL, created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL, room INTEGER, cap TEXT, capped INTEGER NOT NULL,
    disputed INTEGER NOT NULL) STRICT;
CREATE INDEX earnings_conversion ON earnings (conversion);
CREATE INDEX earnings_owner ON earnings (workspace, owner_id, id);
CREATE INDEX earnings_pending ON earnings (workspace, due_at, id) WHERE state = 'pending';
CREATE INDEX earnings_open ON earnings (workspace, owner_id, currency) WHERE earned != paid;
-- owner: partner, or customer for a claim of theirs, whose id is then in partner
CREATE TABLE payouts (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, batch INTEGER NOT NULL, partner INTEGER NOT NULL,
    currency TEXT NOT NULL, amount INTEGER NOT NULL, status TEXT NOT NULL, commissions INTEGER NOT NULL,
    reference TEXT, reason TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    owner TEXT NOT NULL) STRICT;
CREATE INDEX payouts_batch ON payouts (workspace, batch, id);
CREATE INDEX payouts_partner ON payouts (workspace, partner, id);
-- how much of an earning is in a payout; negative where it takes something back
CREATE TABLE payout_items (
    payout INTEGER NOT NULL, earning INTEGER NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY (payout, earning)) STRICT, WITHOUT ROWID;
-- what partners have by day (20261121) and ever (day 0); partner 0: all together; currency '': of signups
CREATE TABLE standings (
    program INTEGER NOT NULL, partner INTEGER NOT NULL, day INTEGER NOT NULL, currency TEXT NOT NULL,
    orders INTEGER NOT NULL, revenue INTEGER NOT NULL, signups INTEGER NOT NULL, given INTEGER NOT NULL,
    PRIMARY KEY (program, partner, day, currency)) STRICT, WITHOUT ROWID;
-- span: 20261121, 202611 or 0; partner 0: all together; told: as it is answered
CREATE TABLE milestones_reached (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, program INTEGER NOT NULL, name TEXT NOT NULL,
    partner INTEGER NOT NULL, span INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
    told TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX milestones_reached_once ON milestones_reached (program, name, partner, span);
CREATE INDEX milestones_reached_seq ON milestones_reached (seq);

-- changed_seq: the fact that made or changed the rule last, from which it is watched anew
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, partner INTEGER NOT NULL, spec TEXT NOT NULL,
    state TEXT NOT NULL, since INTEGER NOT NULL, value REAL, reference REAL, changed_seq INTEGER NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER) STRICT;
CREATE INDEX alerts_workspace ON alerts (workspace, id) WHERE deleted_at IS NULL;
CREATE TABLE alert_events (
    alert INTEGER NOT NULL, seq INTEGER NOT NULL, state TEXT NOT NULL, at INTEGER NOT NULL, value REAL,
    reference REAL, PRIMARY KEY (alert, seq)) STRICT, WITHOUT ROWID;

-- partner: 0 where it is for the workspace's own people only
CREATE TABLE saved_queries (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, partner INTEGER NOT NULL, spec TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER) STRICT;
CREATE INDEX saved_queries_workspace ON saved_queries (workspace, id) WHERE deleted_at IS NULL;
CREATE TABLE shares (
    id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, partner INTEGER NOT NULL, spec TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL, hint TEXT NOT NULL, expires_at INTEGER NOT NULL, created_at INTEGER NOT NULL,
    revoked_at INTEGER) STRICT;
CREATE INDEX shares_workspace ON shares (workspace, id);
CREATE UNIQUE INDEX shares_secret ON shares (secret_sha256);
-- who changed what; see books/audit.rs
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL,
    action TEXT NOT NULL, subject TEXT, fields TEXT NOT NULL, status INTEGER NOT NULL) STRICT;
CREATE INDEX audit_workspace ON audit (workspace, seq);

CREATE TABLE undecodable (seq INTEGER PRIMARY KEY, reason TEXT NOT NULL) STRICT;
";
