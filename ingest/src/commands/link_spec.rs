//! Links as callers write them: every field checked and made canonical before it is journaled, so that the
//! redirect needs no doubt. A password is still in clear here; [`hide_password`] comes before the journal.

use serde_json::{Map, Value};
use weir_edge::request::from_value;
use weir_engine::links::{LinkTable, rules, variants};
use weir_schemas::ids::WorkspaceId;
use weir_schemas::link::{LinkSpec, Utm};
use weir_schemas::problem::{FieldError, Problem};

use super::destination::canonical;
use super::slug;
use crate::password::{self, PASSWORD_MAX};

/// Longest title, in bytes.
const TITLE_MAX: usize = 255;
/// Longest notes, in bytes.
const NOTES_MAX: usize = 4_096;
/// Most tags, and longest tag in bytes.
const TAGS_MAX: usize = 20;
const TAG_MAX: usize = 64;
/// Longest UTM value, in bytes.
const UTM_MAX: usize = 255;
/// Longest domain, in bytes (RFC 1035).
const DOMAIN_MAX: usize = 253;

/// Longest window in which repeats are told apart: 30 days, as long as browsers keep the token.
const DEDUPE_WINDOW_MAX: u32 = 30 * 86_400;
/// Largest cap, in clicks.
const CAP_MAX: u64 = 1_000_000_000_000;

/// The hosts by which the engine itself is reached: no link leads there, and a link on one of them is a link
/// on none. With them the hosts on which the caller's links live.
#[derive(Debug, Clone, Default)]
pub struct OwnHosts {
    /// The short domain, whatever its port.
    domain: Option<String>,
    /// Where the engine listens, if it has no domain. An address or `localhost` names a machine, on which
    /// others may live too: there the port tells.
    machine: Option<(String, u16)>,
    links: LinkTable,
    workspace: WorkspaceId,
}

impl OwnHosts {
    /// From the public URL, and all links.
    pub fn new(public_url: &str, links: LinkTable) -> Self {
        let mut own = Self { links, ..Self::default() };
        let Ok(url) = url::Url::parse(public_url) else { return own };
        match url.host() {
            Some(url::Host::Domain(domain)) if domain != "localhost" => {
                own.domain = Some(domain.to_ascii_lowercase());
            }
            Some(host) => own.machine = Some((host.to_string(), url.port_or_known_default().unwrap_or(0))),
            None => {}
        }
        own
    }

    /// As `workspace` sees them.
    pub(super) fn of(&self, workspace: WorkspaceId) -> Self {
        Self { workspace, ..self.clone() }
    }

    fn is_domain(&self, host: &str) -> bool {
        self.domain.as_deref() == Some(host)
    }

    /// Whether `url` leads back, for a link on `domain`.
    fn hold(&self, url: &url::Url, domain: Option<&str>) -> bool {
        let Some(host) = url.host_str() else { return false };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let port = url.port_or_known_default().unwrap_or(0);
        self.is_domain(&host)
            || domain == Some(&host)
            || self.machine.as_ref().is_some_and(|machine| *machine == (host.clone(), port))
            || self.links.is_host_of(self.workspace, &host)
    }
}

/// Checks a whole link and makes it canonical.
pub fn check(mut spec: LinkSpec, own: &OwnHosts) -> Result<LinkSpec, Problem> {
    let mut errors = Errors(Vec::new());
    if let Some(slug) = &spec.slug {
        errors.take("slug", slug::check(slug));
    }
    if let Some(domain) = &spec.domain {
        match domain_of(domain) {
            Ok(host) => {
                spec.domain = (!own.is_domain(&host)).then_some(host);
            }
            Err(why) => errors.add("domain", why),
        }
    }
    let domain = spec.domain.clone();
    let blocklist = own.links.blocklist(own.workspace);
    let canonical = |text: &str| {
        let to = canonical(text, |url| own.hold(url, domain.as_deref()))?;
        match blocklist.find(&to) {
            Some(pattern) => Err(format!("is on the blocklist of this workspace (`{pattern}`)")),
            None => Ok(to),
        }
    };
    match canonical(&spec.destination) {
        Ok(canonical) => spec.destination = canonical,
        Err(why) => errors.add("destination", why),
    }
    if let Some(fallback) = &spec.fallback {
        match canonical(fallback) {
            Ok(to) if to.contains('{') => errors.add("fallback", "must not hold macros"),
            Ok(to) => spec.fallback = Some(to),
            Err(why) => errors.add("fallback", why),
        }
    }
    for fault in rules::check(&spec.rules).into_iter().chain(variants::check(&spec)) {
        errors.add(fault.field, fault.detail);
    }
    for (n, rule) in spec.rules.iter_mut().enumerate() {
        match canonical(&rule.destination) {
            Ok(to) => rule.destination = to,
            Err(why) => errors.add(format!("rules[{n}].destination"), why),
        }
    }
    for (n, variant) in spec.variants.iter_mut().enumerate() {
        match canonical(&variant.destination) {
            Ok(to) => variant.destination = to,
            Err(why) => errors.add(format!("variants[{n}].destination"), why),
        }
    }
    if !matches!(spec.status_code, 301 | 302 | 307 | 308) {
        errors.add("status_code", "must be 301, 302, 307 or 308");
    }
    if spec.title.as_ref().is_some_and(|title| title.len() > TITLE_MAX) {
        errors.add("title", format!("is longer than {TITLE_MAX} bytes"));
    }
    if spec.notes.as_ref().is_some_and(|notes| notes.len() > NOTES_MAX) {
        errors.add("notes", format!("is longer than {NOTES_MAX} bytes"));
    }
    check_tags(&mut spec.tags, &mut errors);
    check_utm(&spec.utm, &mut errors);
    if let (Some(from), Some(until)) = (spec.starts_at, spec.expires_at)
        && from >= until
    {
        errors.add("expires_at", "must be after starts_at");
    }
    check_caps(&spec, &mut errors);
    errors.text("password", spec.password.as_deref(), PASSWORD_MAX);
    errors.none()?;
    Ok(spec)
}

fn check_caps(spec: &LinkSpec, errors: &mut Errors) {
    for (field, cap) in [("max_clicks", spec.max_clicks), ("daily_click_cap", spec.daily_click_cap)] {
        if cap.is_some_and(|cap| !(1..=CAP_MAX).contains(&cap)) {
            errors.add(field, format!("must be 1 to {CAP_MAX}; switch a link off with `enabled`"));
        }
    }
    if spec.dedupe_window_seconds.is_some_and(|window| !(1..=DEDUPE_WINDOW_MAX).contains(&window)) {
        errors.add("dedupe_window_seconds", format!("must be 1 to {DEDUPE_WINDOW_MAX}, true, false or null"));
    }
    if jiff::tz::TimeZone::get(&spec.cap_timezone).is_err() {
        errors.add("cap_timezone", "must be the IANA name of a time zone, such as Europe/Berlin");
    }
}

/// Puts a hash in the place of a password in clear: of a link's, or of a patch's.
pub(super) async fn hide_password(spec: &mut LinkSpec) {
    if let Some(clear) = spec.password.take() {
        spec.password = Some(password::hash(clear).await);
    }
}

/// As [`hide_password`], for a patch.
pub(super) async fn hide_patched_password(patch: &mut Map<String, Value>) {
    if let Some(Value::String(kept)) = patch.get_mut("password") {
        *kept = password::hash(std::mem::take(kept)).await;
    }
}

/// Checks the fields of a patch and gives them canonical. What it does not name is left alone.
pub fn check_patch(mut patch: Map<String, Value>, own: &OwnHosts) -> Result<Map<String, Value>, Problem> {
    // Answers say `true` where there is a password: sent back, it stays.
    if patch.get("password") == Some(&Value::Bool(true)) {
        patch.remove("password");
    }
    // The rest of the link was checked when it was written; any destination stands for it here.
    let mut whole = Map::new();
    whole.insert("destination".to_owned(), Value::from("https://example.com/"));
    whole.extend(patch.clone());
    let spec: LinkSpec = from_value(Value::Object(whole))?;
    let Value::Object(checked) = serde_json::to_value(check(spec, own)?).expect("a link is plain JSON")
    else {
        unreachable!("a link is an object");
    };
    Ok(checked.into_iter().filter(|(field, _)| patch.contains_key(field)).collect())
}

fn domain_of(text: &str) -> Result<String, String> {
    let bad = || "must be a host name such as go.example.com, without scheme, port or path".to_owned();
    let host = url::Host::parse(text).map_err(|_| bad())?;
    match host {
        url::Host::Domain(domain) if domain.len() <= DOMAIN_MAX && domain.contains('.') => {
            let domain = domain.trim_end_matches('.').to_ascii_lowercase();
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
            if domain.bytes().all(plain) { Ok(domain) } else { Err(bad()) }
        }
        _ => Err(bad()),
    }
}

fn check_tags(tags: &mut Vec<String>, errors: &mut Errors) {
    if tags.len() > TAGS_MAX {
        errors.add("tags", format!("holds more than {TAGS_MAX} tags"));
    }
    for (n, tag) in tags.iter().enumerate() {
        if tag.trim().is_empty() || tag.len() > TAG_MAX {
            errors.add(format!("tags[{n}]"), format!("must have 1 to {TAG_MAX} bytes"));
        }
    }
    let mut seen = std::collections::HashSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
}

fn check_utm(utm: &Utm, errors: &mut Errors) {
    let values = [
        ("utm.source", &utm.source),
        ("utm.medium", &utm.medium),
        ("utm.campaign", &utm.campaign),
        ("utm.term", &utm.term),
        ("utm.content", &utm.content),
    ];
    for (field, value) in values {
        if value.as_ref().is_some_and(|value| value.len() > UTM_MAX) {
            errors.add(field, format!("is longer than {UTM_MAX} bytes"));
        }
    }
}

/// Every bad field of a request, told at once.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<FieldError>);

impl Errors {
    pub(super) fn add(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), detail: detail.into() });
    }

    pub(super) fn take(&mut self, field: &str, checked: Result<(), String>) {
        if let Err(why) = checked {
            self.add(field, why);
        }
    }

    /// A text that is absent or has 1 to `max` bytes and no control characters.
    pub(super) fn text(&mut self, field: &str, text: Option<&str>, max: usize) {
        let Some(text) = text else { return };
        if text.trim().is_empty() || text.len() > max || text.chars().any(char::is_control) {
            self.add(field, format!("must have 1 to {max} bytes and no control characters"));
        }
    }

    pub(super) fn none(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::fields(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use weir_engine::links::TrackedLink;
    use weir_schemas::ids::LinkId;
    use weir_schemas::time::Timestamp;

    use super::*;

    fn own() -> OwnHosts {
        OwnHosts::new("https://Go.Example/", LinkTable::default())
    }

    fn checked(value: Value) -> Result<LinkSpec, Vec<String>> {
        let named = |problem: Problem| {
            assert_eq!(problem.status, 422);
            problem.errors.into_iter().map(|error| error.field).collect()
        };
        from_value(value).and_then(|spec| check(spec, &own())).map_err(named)
    }

    #[test]
    fn the_contracts_plain_link_is_taken_and_made_canonical() {
        let spec =
            checked(json!({"slug": "spring", "domain": null, "destination": "HTTPS://Shop.example?id=1",
            "status_code": 302, "title": null, "tags": ["mail", "mail"], "utm": {"source": "news"},
            "cap_timezone": "UTC", "rules": [], "variants": [], "sticky_days": 7,
            "allocation": "fixed", "objective": "conversions",
            "fallback": "https://b.example", "starts_at": "2026-01-01T00:00:00Z", "expires_at": null}));
        let spec = spec.unwrap();
        assert_eq!(spec.destination, "https://shop.example/?id=1");
        assert_eq!(spec.fallback.as_deref(), Some("https://b.example/"));
        assert_eq!(spec.tags, ["mail"]);
    }

    #[test]
    fn every_bad_field_is_named() {
        for (value, fields) in [
            (json!({}), vec!["destination"]),
            (json!({"destination": "ftp://a.example/"}), vec!["destination"]),
            (json!({"destination": "https://a.example/", "nope": 1}), vec!["nope"]),
            (
                json!({"destination": "https://a.example/", "slug": "hooks", "status_code": 200}),
                vec!["slug", "status_code"],
            ),
            (json!({"destination": "https://go.example/a"}), vec!["destination"]),
            (json!({"destination": "https://l.example/a", "domain": "l.example"}), vec!["destination"]),
            (json!({"destination": "https://a.example/", "domain": "https://b.example"}), vec!["domain"]),
            (json!({"destination": "https://a.example/", "domain": "127.0.0.1"}), vec!["domain"]),
            (
                json!({"destination": "https://a.example/", "fallback": "https://b.example/{wclid}"}),
                vec!["fallback"],
            ),
            (json!({"destination": "https://a.example/", "tags": ["a", ""]}), vec!["tags[1]"]),
            (json!({"destination": "https://a.example/", "utm": {"sorce": "x"}}), vec!["utm.sorce"]),
            (json!({"destination": "https://a.example/", "program_id": "ptn_x"}), vec!["program_id"]),
            (
                json!({"destination": "https://a.example/", "starts_at": "2026-01-02T00:00:00Z",
                "expires_at": "2026-01-02T00:00:00Z"}),
                vec!["expires_at"],
            ),
            (
                json!({"destination": "https://a.example/", "max_clicks": 0,
                    "daily_click_cap": 0, "password": "",
                "cap_timezone": "Europe/Berlim", "sticky_days": 366,
                "variants": [{"name": "", "destination": "ftp://a.example/", "weight": 1}]}),
                vec![
                    "variants[0].name",
                    "sticky_days",
                    "variants[0].destination",
                    "max_clicks",
                    "daily_click_cap",
                    "cap_timezone",
                    "password",
                ],
            ),
        ] {
            assert_eq!(checked(value.clone()).unwrap_err(), fields, "{value}");
        }
    }

    #[test]
    fn every_fault_of_a_rule_is_named_by_its_path() {
        let link = |rules: Value| json!({"destination": "https://a.example/", "rules": rules});
        let to = "https://m.example";
        let spec = checked(link(json!([{"if": {"country": ["de"], "device": "mobile"}, "destination": to}])));
        assert_eq!(spec.unwrap().rules[0].destination, "https://m.example/");
        for (rule, fields) in [
            (json!({"if": {"country": ["XX"]}, "destination": to}), vec!["rules[0].if.country"]),
            (json!({"if": {"nope": 1}, "destination": to}), vec!["rules[0].if.nope"]),
            (json!({"if": {}, "destination": to}), vec!["rules[0].if"]),
            (json!({"if": {"bot": 1}, "destination": to}), vec!["rules[0].if.bot"]),
            (json!({"if": {"ip": "10.0.0.0/40"}, "destination": to}), vec!["rules[0].if.ip"]),
            (json!({"if": {"bot": true}, "destination": "javascript:x"}), vec!["rules[0].destination"]),
            (
                json!({"if": {"bot": true}, "destination": "https://go.example/x"}),
                vec!["rules[0].destination"],
            ),
            (
                json!({"if": {"any": [{"device": ["phone"]}, {"not": {"after": "now"}}]}, "destination": ""}),
                vec!["rules[0].if.any[0].device", "rules[0].if.any[1].not.after", "rules[0].destination"],
            ),
        ] {
            assert_eq!(checked(link(json!([rule]))).unwrap_err(), fields, "{rule}");
        }
    }

    #[test]
    fn the_engines_own_host_is_no_domain() {
        let spec = checked(json!({"destination": "https://a.example/", "domain": "GO.example"})).unwrap();
        assert_eq!(spec.domain, None);
        let spec = checked(json!({"destination": "https://a.example/", "domain": "L.Example."})).unwrap();
        assert_eq!(spec.domain.as_deref(), Some("l.example"));
        let local = OwnHosts::new("http://127.0.0.1:8080", LinkTable::default());
        let spec = json!({"destination": "http://127.0.0.1:9999/shop"});
        assert!(check(serde_json::from_value(spec).unwrap(), &local).is_ok());
    }

    #[test]
    fn no_link_leads_back() {
        let links = LinkTable::default();
        for (id, workspace, domain) in [(1, 1, "one.example"), (2, 2, "two.example")] {
            let spec = json!({"slug": "a", "domain": domain, "destination": "https://a.example/"});
            let spec = serde_json::from_value(spec).unwrap();
            let link = TrackedLink::new(LinkId(id), WorkspaceId(workspace), Timestamp(0), spec);
            links.put(Arc::new(link));
        }
        let own = OwnHosts::new("http://127.0.0.1:8080", links).of(WorkspaceId(1));
        for (to, taken) in [
            ("http://127.0.0.1:8080/x", false),
            ("http://127.0.0.1:8081/x", true),
            ("https://one.example/a", false),
            ("https://ONE.example.:443/b", false),
            ("http://one.example:8080/", false),
            ("https://sub.one.example/", true),
            // Another workspace's domain is nobody's business here.
            ("https://two.example/a", true),
        ] {
            let whole = check(serde_json::from_value(json!({"destination": to})).unwrap(), &own);
            assert_eq!(whole.is_ok(), taken, "{to}");
            let patch = json!({"variants": [{"name": "a", "destination": to, "weight": 1}]});
            let patched = check_patch(patch.as_object().unwrap().clone(), &own);
            assert_eq!(patched.is_ok(), taken, "{to}");
        }
    }

    #[test]
    fn a_patch_holds_what_it_names_and_nothing_else() {
        let patch = |value: Value| check_patch(value.as_object().unwrap().clone(), &own());
        let taken =
            patch(json!({"destination": "https://B.example", "title": null, "enabled": false})).unwrap();
        assert_eq!(
            Value::Object(taken),
            json!({"destination": "https://b.example/", "title": null, "enabled": false})
        );
        assert!(patch(json!({})).unwrap().is_empty());
        for (bad, field) in [
            (json!({"destination": null}), "destination"),
            (json!({"id": "lnk_1"}), "id"),
            (json!({"slug": "a b"}), "slug"),
            (json!({"max_clicks": 0}), "max_clicks"),
            (json!({"cap_timezone": "Mars/Base"}), "cap_timezone"),
        ] {
            let problem = patch(bad).unwrap_err();
            assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, field));
        }
    }
}
