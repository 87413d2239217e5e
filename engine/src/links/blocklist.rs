//! Destinations that a workspace's links may not lead to. A pattern is a host, which stands for its subdomains
//! too (`evil.example`), or the subdomains alone (`*.evil.example`), with the beginning of a path or without
//! (`files.example/malware`). Links are judged when they or the list change, so a redirect asks nothing.

use std::collections::HashMap;

use url::{Host, Url};
use weir_schemas::link::LinkSpec;

use super::destinations;

/// Most patterns of a workspace.
pub const PATTERNS_MAX: usize = 10_000;
/// Longest pattern, in bytes.
pub const PATTERN_MAX: usize = 1_024;

/// One pattern, canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// In lower case, Punycode, without a dot at its end.
    host: String,
    /// Whether the host itself is left out.
    only_below: bool,
    /// With what the path begins: empty, or with its `/`.
    path: String,
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let below = if self.only_below { "*." } else { "" };
        write!(f, "{below}{}{}", self.host, self.path)
    }
}

impl std::str::FromStr for Pattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be a host such as evil.example, *.evil.example or evil.example/path";
        if text.len() > PATTERN_MAX || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\')
        {
            return Err(WRONG);
        }
        let text = text.strip_prefix("https://").or(text.strip_prefix("http://")).unwrap_or(text);
        let (only_below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let url = Url::parse(&format!("http://{rest}")).map_err(|_| WRONG)?;
        let plain = url.username().is_empty() && url.password().is_none() && url.port().is_none();
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        let address = !matches!(url.host(), Some(Host::Domain(_)));
        if !plain
            || url.query().is_some()
            || url.fragment().is_some()
            || host.is_empty()
            || host.contains('*')
        {
            return Err(WRONG);
        }
        if only_below && address {
            return Err("an address has no subdomains");
        }
        let path = if url.path() == "/" { "" } else { url.path() };
        Ok(Self { host, only_below, path: path.to_owned() })
    }
}

/// The patterns of a workspace.
#[derive(Debug, Default)]
pub struct Blocklist {
    by_host: HashMap<String, Vec<Pattern>>,
}

impl Blocklist {
    /// Of these patterns.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let mut by_host: HashMap<String, Vec<Pattern>> = HashMap::new();
        for pattern in patterns {
            by_host.entry(pattern.host.clone()).or_default().push(pattern);
        }
        Self { by_host }
    }

    /// The pattern that `destination` (canonical) falls under.
    pub fn find(&self, destination: &str) -> Option<&Pattern> {
        if self.by_host.is_empty() {
            return None;
        }
        let url = Url::parse(destination).ok()?;
        let host = url.host_str()?.trim_end_matches('.');
        let domain = matches!(url.host(), Some(Host::Domain(_)));
        // The host and every domain above it.
        let above = std::iter::successors(Some(host), |name| {
            name.split_once('.').filter(|_| domain).map(|(_, above)| above)
        });
        above.filter_map(|name| self.by_host.get(name)).flatten().find(|pattern| {
            (host != pattern.host || !pattern.only_below) && url.path().starts_with(&pattern.path)
        })
    }

    /// The first of a link's destinations that falls under a pattern, with that pattern.
    pub fn judge<'s>(&self, spec: &'s LinkSpec) -> Option<(&'s str, &Pattern)> {
        if self.by_host.is_empty() {
            return None;
        }
        destinations::all(spec).find_map(|(_, to)| Some((to, self.find(to)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(patterns: &[&str]) -> Blocklist {
        Blocklist::new(patterns.iter().map(|pattern| pattern.parse().unwrap()))
    }

    #[test]
    fn patterns_are_canonical() {
        for (given, kept) in [
            ("Evil.Example.", "evil.example"),
            ("https://evil.example/", "evil.example"),
            ("*.evil.example", "*.evil.example"),
            ("bücher.example/a/B", "xn--bcher-kva.example/a/B"),
            ("zip", "zip"),
            ("192.0.2.7", "192.0.2.7"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
        ] {
            let pattern: Pattern = given.parse().unwrap();
            assert_eq!(pattern.to_string(), kept, "{given}");
            assert_eq!(kept.parse(), Ok(pattern), "a pattern reads itself");
        }
        for wrong in [
            "",
            "a b",
            "*",
            "a.*.b",
            "u@a.example",
            "a.example:8080",
            "a.example?x",
            "a#b",
            "*.192.0.2.7",
            "\\",
        ] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_stands_for_all_below_it() {
        let list = list(&["evil.example", "*.pages.example", "files.example/bad", "zip", "192.0.2.7"]);
        for (to, blocked) in [
            ("https://evil.example/", true),
            ("https://evil.example./x", true),
            ("http://a.b.evil.example:8443/?q#f", true),
            ("https://notevil.example/", false),
            ("https://evil.example.org/", false),
            ("https://pages.example/", false),
            ("https://x.pages.example/", true),
            ("https://files.example/bad/1", true),
            ("https://files.example/good", false),
            ("https://cdn.files.example/badly", true),
            ("https://anything.zip/", true),
            ("http://192.0.2.7/x", true),
            ("http://1.192.0.2/", false),
        ] {
            assert_eq!(list.find(to).is_some(), blocked, "{to}");
        }
    }

    #[test]
    fn every_destination_of_a_link_is_judged() {
        let list = list(&["evil.example"]);
        for link in [
            serde_json::json!({"destination": "https://evil.example/"}),
            serde_json::json!({"destination": "https://a.example/", "fallback": "https://x.evil.example/"}),
            serde_json::json!({"destination": "https://a.example/",
                "variants": [{"name": "a", "destination": "https://evil.example/", "weight": 1}]}),
            serde_json::json!({"destination": "https://a.example/",
                "rules": [{"if": {"bot": true}, "destination": "https://evil.example/"}]}),
        ] {
            let spec = serde_json::from_value(link).unwrap();
            assert_eq!(list.judge(&spec).unwrap().1.to_string(), "evil.example");
        }
        let spec = serde_json::from_value(serde_json::json!({"destination": "https://a.example/"})).unwrap();
        assert_eq!(list.judge(&spec), None);
    }
}
