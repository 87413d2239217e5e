//! The contract of links (api.md, Links).

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};

use crate::ids::{LinkId, PartnerId, ProgramId, Sequence};
use crate::problem::FieldError;
use crate::time::Timestamp;

pub mod sheet;

/// UTM values that a link adds to its destination and lends to visits that bring none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Utm {
    /// utm_source
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// utm_medium
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
    /// utm_campaign
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// utm_term
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<String>,
    /// utm_content
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// One arm of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name, the `variant` dimension.
    pub name: String,
    /// Where it leads.
    pub destination: String,
    /// Its share, relative to the others' (0 to 10,000).
    pub weight: u32,
}

/// A rule: where the condition holds, the destination is this one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What must hold; every key at once.
    #[serde(rename = "if")]
    #[schema(value_type = Object)]
    pub condition: serde_json::Map<String, serde_json::Value>,
    /// Where it leads then.
    pub destination: String,
}

/// How traffic is split over variants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Allocation {
    /// By the weights given.
    #[default]
    Fixed,
    /// By weights that follow the live results.
    Bandit,
}

/// What a split that follows its results is after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Conversions per click.
    #[default]
    Conversions,
    /// Revenue per click, less what went back.
    Revenue,
}

/// What a variant has brought and what it gets for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitShare {
    /// Its name.
    pub name: String,
    /// Counted clicks within the window.
    pub clicks: u64,
    /// Conversions within the window.
    pub conversions: u64,
    /// Revenue within the window less what went back, in minor units of the link's commonest currency.
    #[serde(default)]
    pub revenue: u64,
    /// Its share from then on, in basis points.
    pub share: u32,
}

/// A decision on the shares of a link's variants, with all that it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitDecision {
    /// When.
    pub at: Timestamp,
    /// The last sequence whose clicks and conversions were considered.
    pub as_of: Sequence,
    /// The seed of the draws: the same results and seed give the same shares.
    pub seed: u64,
    /// What it was after.
    #[serde(default)]
    pub objective: Objective,
    /// In the link's order.
    pub variants: Vec<SplitShare>,
}

/// Everything a caller may set on a link. Validated and canonical once it is in a fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// The path: 1 to 64 of `A-Z a-z 0-9 - _ .`, upper and lower case are different. Generated where absent,
    /// without characters that look alike. `_root` answers `/`, `_404` every path of its host that is no
    /// link.
    #[serde(default)]
    pub slug: Option<String>,
    /// The host it lives on; `null` is the engine's own.
    #[serde(default)]
    pub domain: Option<String>,
    /// Where it leads: http or https.
    pub destination: String,
    /// 301, 302, 307 or 308.
    #[serde(default = "default_status")]
    pub status_code: u16,
    /// For people.
    #[serde(default)]
    pub title: Option<String>,
    /// For people.
    #[serde(default)]
    pub tags: Vec<String>,
    /// For people, several lines if need be.
    #[serde(default)]
    pub notes: Option<String>,
    /// Out of the lists; it goes on redirecting all the same.
    #[serde(default)]
    pub archived: bool,
    /// The program whose terms apply to its conversions.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub program_id: Option<ProgramId>,
    /// The partner whom it credits.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub partner_id: Option<PartnerId>,
    /// Whether `wclid` is appended to the destination.
    #[serde(default = "yes")]
    pub track_conversions: bool,
    /// UTM builder.
    #[serde(default)]
    pub utm: Utm,
    /// Whether the visit's query is merged into the destination's.
    #[serde(default = "yes")]
    pub forward_query: bool,
    /// Before this it answers as expired.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub starts_at: Option<Timestamp>,
    /// From this on it answers as expired.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Timestamp>,
    /// Clicks in all before it is capped.
    #[serde(default)]
    pub max_clicks: Option<u64>,
    /// Clicks a day before it is capped until the next.
    #[serde(default)]
    pub daily_click_cap: Option<u64>,
    /// Whose midnight ends the day: an IANA name.
    #[serde(default = "utc")]
    pub cap_timezone: String,
    /// A repeat of the same visitor within so many seconds is answered and not counted again, and keeps the first
    /// click's token. `true` is an hour, `null` counts every visit.
    #[serde(default, deserialize_with = "window")]
    #[schema(schema_with = seconds_or_switch)]
    pub dedupe_window_seconds: Option<u32>,
    /// Where visits go that are capped, expired or disabled; else 410.
    #[serde(default)]
    pub fallback: Option<String>,
    /// Set by callers in clear, kept hashed. Answers never show it: they say `true` where there is one.
    #[serde(default)]
    #[schema(schema_with = text_or_true)]
    pub password: Option<String>,
    /// Whether it is switched on.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// First match decides.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// The split, where no rule matched.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// How long a visitor keeps a variant, in days.
    #[serde(default = "default_sticky_days")]
    pub sticky_days: u16,
    /// How the split is weighted.
    #[serde(default)]
    pub allocation: Allocation,
    /// What a split that follows its results is after.
    #[serde(default)]
    pub objective: Objective,
}

fn text_or_true() -> utoipa::openapi::schema::Object {
    any_of(&[Type::String, Type::Boolean, Type::Null])
        .description(Some(
            "Set as text; answers say `true` where there is one, and `true` leaves it as it is",
        ))
        .build()
}

fn seconds_or_switch() -> utoipa::openapi::schema::Object {
    any_of(&[Type::Integer, Type::Boolean, Type::Null])
        .minimum(Some(1.0))
        .maximum(Some(2_592_000.0))
        .description(Some(
            "A repeat of the same visitor within so many seconds is answered with the first click's token and not \
             counted again; `true` is an hour",
        ))
        .build()
}

fn any_of(types: &[Type]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(types.iter().cloned().collect::<SchemaType>())
}

/// The window of `dedupe_window_seconds: true`.
pub const DEDUPE_WINDOW_SECONDS: u32 = 3_600;

/// Seconds, or `true` for [`DEDUPE_WINDOW_SECONDS`], or `false` or `null` for none.
fn window<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "must be a number of seconds, true, false or null")]
    enum Window {
        Seconds(u32),
        Switch(bool),
    }
    let window = Option::<Window>::deserialize(deserializer)?;
    Ok(window.and_then(|window| match window {
        Window::Seconds(seconds) => Some(seconds),
        Window::Switch(on) => on.then_some(DEDUPE_WINDOW_SECONDS),
    }))
}

fn default_status() -> u16 {
    302
}
fn default_sticky_days() -> u16 {
    7
}
fn yes() -> bool {
    true
}
fn utc() -> String {
    "UTC".to_owned()
}

/// Writes a link's settings for answers: of the password only whether there is one.
fn without_password<S: serde::Serializer>(spec: &LinkSpec, serializer: S) -> Result<S::Ok, S::Error> {
    let protected = spec.password.is_some();
    let mut shown = serde_json::to_value(LinkSpec { password: None, ..spec.clone() })
        .map_err(serde::ser::Error::custom)?;
    if protected {
        shown["password"] = serde_json::Value::Bool(true);
    }
    shown.serialize(serializer)
}

/// A link as the API answers it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Link {
    /// Its id.
    #[schema(value_type = String)]
    pub id: LinkId,
    /// The address to share.
    pub short_url: String,
    /// All that was set.
    #[serde(flatten, serialize_with = "without_password")]
    pub spec: LinkSpec,
    /// When it was made.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
    /// Counted clicks so far.
    pub clicks: u64,
    /// What is allowed and worth a second look: hosts that may pass for others.
    #[serde(default)]
    pub warnings: Vec<FieldError>,
}

/// The slug of the link that answers `/` on its host.
pub const ROOT_SLUG: &str = "_root";
/// The slug of the link whose destination answers every path of its host that is no link; such a visit is an
/// orphan all the same.
pub const NOT_FOUND_SLUG: &str = "_404";

/// Paths of the public listener that no slug may take (api.md, The program).
pub const RESERVED_SLUGS: &[&str] = &[
    "collect",
    "hooks",
    "i",
    "postback",
    "status",
    "status.json",
    "weir.js",
    "healthz",
    "readyz",
    "robots.txt",
    "favicon.ico",
    ".well-known",
];
