//! The destinations of a link as a whole: what leads back to it, and what is allowed and worth a second look:
//! hosts that may pass for others. A host whose label mixes scripts (`аpple.example` with a Cyrillic а) or
//! is Cyrillic in look-alikes of Latin letters alone is flagged on the link's answer; it may be somebody's
//! honest name, so it is not refused.
//!
//! Scripts that are written together are no mixture (Unicode Technical Standard 39, 5.2, highly
//! restrictive): Latin with Japanese, Chinese or Korean.

use url::{Host, Url};
use weir_schemas::link::LinkSpec;
use weir_schemas::problem::FieldError;

/// Every destination that `spec` names, with its field.
pub fn all(spec: &LinkSpec) -> impl Iterator<Item = (String, &str)> {
    let rules = spec.rules.iter().enumerate();
    let variants = spec.variants.iter().enumerate();
    std::iter::once(("destination".to_owned(), spec.destination.as_str()))
        .chain(spec.fallback.as_deref().map(|to| ("fallback".to_owned(), to)))
        .chain(rules.map(|(n, rule)| (format!("rules[{n}].destination"), rule.destination.as_str())))
        .chain(variants.map(|(n, arm)| (format!("variants[{n}].destination"), arm.destination.as_str())))
}

/// Destinations on the link's own domain: a visitor would go in a circle.
pub fn loops(spec: &LinkSpec) -> Vec<FieldError> {
    let Some(domain) = spec.domain.as_deref() else { return Vec::new() };
    let leads_back = |to: &str| {
        let url = Url::parse(to).ok();
        url.and_then(|url| Some(url.host_str()?.trim_end_matches('.') == domain)).unwrap_or(false)
    };
    let detail = || format!("leads back to the link's own domain {domain}: a link to a link is a loop");
    all(spec)
        .filter(|(_, to)| leads_back(to))
        .map(|(field, _)| FieldError { field, detail: detail() })
        .collect()
}

/// Everything worth a second look, by field.
pub fn warnings(spec: &LinkSpec) -> Vec<FieldError> {
    all(spec).filter_map(|(field, to)| Some(FieldError { field, detail: flaw(to)? })).collect()
}

fn flaw(destination: &str) -> Option<String> {
    // Hosts are kept in Punycode: without a label of it there is nothing but ASCII.
    if !destination.contains("xn--") {
        return None;
    }
    let url = Url::parse(destination).ok()?;
    let Some(Host::Domain(host)) = url.host() else { return None };
    let (shown, _) = idna::domain_to_unicode(host);
    shown.split('.').find_map(|label| {
        if mixes(label) {
            Some(format!("the host {host} mixes scripts (`{shown}`) and may pass for another"))
        } else if imitates_latin(label) {
            Some(format!("the host {host} (`{shown}`) looks like Latin letters and is none"))
        } else {
            None
        }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Digits, hyphens and marks go with everything.
    Common,
    Latin,
    Greek,
    Cyrillic,
    Hangul,
    Kana,
    Bopomofo,
    Han,
    /// Another one, by its first 128 code points.
    Other(u32),
}

fn script(c: char) -> Script {
    match u32::from(c) {
        0x61..=0x7a | 0x41..=0x5a | 0xc0..=0x24f | 0x1e00..=0x1eff => Script::Latin,
        0..=0xbf | 0x300..=0x36f | 0x2000..=0x2bff => Script::Common,
        0x370..=0x3ff | 0x1f00..=0x1fff => Script::Greek,
        0x400..=0x52f | 0x1c80..=0x1c8f | 0x2de0..=0x2dff | 0xa640..=0xa69f => Script::Cyrillic,
        0x1100..=0x11ff | 0x3130..=0x318f | 0xac00..=0xd7af => Script::Hangul,
        0x3040..=0x30ff => Script::Kana,
        0x3100..=0x312f | 0x31a0..=0x31bf => Script::Bopomofo,
        0x3005..=0x3007 | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0x2_0000..=0x3_ffff => Script::Han,
        // Arabic's letters are in three blocks.
        0x600..=0x6ff | 0x750..=0x77f | 0x8a0..=0x8ff => Script::Other(0x600 >> 7),
        other => Script::Other(other >> 7),
    }
}

fn mixes(label: &str) -> bool {
    let mut scripts: Vec<Script> =
        label.chars().map(script).filter(|script| *script != Script::Common).collect();
    scripts.dedup();
    let within = |allowed: &[Script]| scripts.iter().all(|script| allowed.contains(script));
    let one = scripts.first().is_none_or(|first| scripts.iter().all(|script| script == first));
    !(one
        || within(&[Script::Latin, Script::Han, Script::Kana])
        || within(&[Script::Latin, Script::Han, Script::Bopomofo])
        || within(&[Script::Latin, Script::Han, Script::Hangul]))
}

/// Cyrillic letters that look like Latin ones, and nothing else.
fn imitates_latin(label: &str) -> bool {
    const LOOK_ALIKES: &str = "асԁеһіјӏорԛѕԝхуүв";
    let mut letters = label.chars().filter(|c| script(*c) != Script::Common).peekable();
    letters.peek().is_some() && letters.all(|c| LOOK_ALIKES.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_and_imitating_hosts_are_flagged() {
        for (host, flagged) in [
            ("apple.example", false),
            ("аpple.example", true),
            ("раура.example", true),
            ("www.gооgle.example", true),
            ("münchen.example", false),
            ("пример.example", false),
            ("παράδειγμα.example", false),
            ("αpple.example", true),
            ("例え-test.example", false),
            ("中文abc.example", false),
            ("한국abc.example", false),
            ("中文пр.example", true),
            ("مثال.example", false),
            ("xn--80ak6aa92e.example", true),
        ] {
            let url = Url::parse(&format!("https://{host}/")).unwrap();
            let spec = serde_json::json!({"destination": "https://a.example/", "fallback": url.as_str()});
            let warnings = warnings(&serde_json::from_value(spec).unwrap());
            assert_eq!(
                warnings.iter().any(|warning| warning.field == "fallback"),
                flagged,
                "{host}: {warnings:?}"
            );
        }
    }

    #[test]
    fn a_link_does_not_lead_to_its_own_domain() {
        let spec = serde_json::json!({"destination": "https://a.example/", "domain": "go.example",
            "fallback": "https://go.example./x",
            "rules": [{"if": {"bot": true}, "destination": "http://go.example:80/"}]});
        let faults = loops(&serde_json::from_value(spec).unwrap());
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["fallback", "rules[0].destination"]);
    }

    #[test]
    fn every_destination_is_looked_at() {
        let bad = "https://xn--pple-43d.example/";
        let spec = serde_json::json!({"destination": bad,
            "rules": [{"if": {"bot": true}, "destination": bad}],
            "variants": [{"name": "a", "destination": bad, "weight": 1}]});
        let warnings = warnings(&serde_json::from_value(spec).unwrap());
        let fields: Vec<&str> = warnings.iter().map(|warning| warning.field.as_str()).collect();
        assert_eq!(fields, ["destination", "rules[0].destination", "variants[0].destination"]);
        assert!(warnings[0].detail.contains("аpple.example"), "{}", warnings[0].detail);
    }
}
