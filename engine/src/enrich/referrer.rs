//! Referrers: the host a visit came from, and the medium it came by.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use weir_schemas::hit::NAME_MAX;
use weir_schemas::query_string::cut;

/// The referrer's host without port and `www.`; empty where there is none or it is no web address.
pub(crate) fn host(referrer: &str) -> &str {
    let (scheme, rest) = cut(referrer, b':');
    let Some(rest) = rest.strip_prefix("//") else { return "" };
    if !["http", "https", "android-app"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return "";
    }
    // Every visit brings one, so its bytes are looked at once; all that separates is ASCII.
    let (mut start, mut end, mut port, mut sane) = (0, rest.len(), None, true);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'/' | b'?' | b'#' => {
                end = at;
                break;
            }
            b'@' => (start, port, sane) = (at + 1, None, true),
            b':' => port = port.or(Some(at)),
            b'"' | b'<' => sane &= port.is_some(),
            _ => sane &= byte.is_ascii_graphic() || port.is_some(),
        }
    }
    // Within brackets colons are the address's own.
    let bracketed = rest[start..end].starts_with('[');
    let host = without_www(&rest[start..port.filter(|_| !bracketed).unwrap_or(end)]);
    let sane =
        if bracketed { host.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'<') } else { sane };
    if sane && host.len() <= NAME_MAX { host } else { "" }
}

/// The host by which its pages are one site.
pub(super) fn without_www(host: &str) -> &str {
    host.strip_prefix("www.").unwrap_or(host)
}

/// First labels of hosts whose country domains are many (`google.de`, `yandex.ru`).
const SEARCH: &[&str] = &[
    "google",
    "bing",
    "yahoo",
    "duckduckgo",
    "ecosia",
    "qwant",
    "startpage",
    "yandex",
    "baidu",
    "naver",
    "seznam",
    "brave",
    "kagi",
    "sogou",
    "aol",
    "ask",
];
const SOCIAL: &[&str] = &[
    "facebook",
    "instagram",
    "twitter",
    "x",
    "t",
    "linkedin",
    "lnkd",
    "reddit",
    "pinterest",
    "tiktok",
    "youtube",
    "youtu",
    "threads",
    "mastodon",
    "bsky",
    "vk",
    "ok",
    "snapchat",
    "tumblr",
    "quora",
    "discord",
    "telegram",
    "whatsapp",
    "weibo",
    "ycombinator",
];
/// Answer engines, which send visits but are no search result pages.
const ASSISTANT: &[&str] = &["chatgpt", "openai", "perplexity", "claude", "gemini", "copilot"];
const MAIL: &[&str] = &["mail", "outlook", "gmail", "webmail", "gmx", "protonmail", "zoho"];
/// Second-level registries under which the name is one label further left (`google.co.uk`).
const REGISTRIES: &[&str] = &["co", "com", "org", "net", "ac", "gov"];

/// How a visit came. A `utm_medium` of the visit decides; then a click id of an advertiser means paid; then
/// the referrer.
pub(super) fn medium<'a>(host: &str, utm_medium: &Cow<'a, str>, has_ad_click_id: bool) -> Cow<'a, str> {
    if !utm_medium.is_empty() {
        return utm_medium.clone();
    }
    Cow::Borrowed(if has_ad_click_id { "paid" } else { medium_of_host(host) })
}

fn medium_of_host(host: &str) -> &'static str {
    if host.is_empty() {
        return "direct";
    }
    let first = host.split('.').next().unwrap_or_default();
    let mut labels = host.rsplit('.');
    let last = labels.next().unwrap_or_default();
    let name = match (labels.next(), labels.next()) {
        (Some(registry), Some(name)) if last.len() == 2 && REGISTRIES.contains(&registry) => name,
        (Some(name), _) => name,
        (None, _) => last,
    };
    let kind = |label: &str| KINDS.get(label).copied();
    // Mail comes first: `mail.google.com` and `mail.yahoo.com` are no searches.
    match (kind(first), kind(name)) {
        (Some(Kind::Mail), _) | (_, Some(Kind::Mail)) => "email",
        (Some(Kind::Assistant), _) | (_, Some(Kind::Assistant)) => "assistant",
        (_, Some(Kind::Search)) => "search",
        (_, Some(Kind::Social)) => "social",
        (_, None) => "referral",
    }
}

/// What a label of a host stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mail,
    Assistant,
    Search,
    Social,
}

static KINDS: LazyLock<HashMap<&'static str, Kind, ahash::RandomState>> = LazyLock::new(|| {
    let lists =
        [(MAIL, Kind::Mail), (ASSISTANT, Kind::Assistant), (SEARCH, Kind::Search), (SOCIAL, Kind::Social)];
    lists.iter().flat_map(|(list, kind)| list.iter().map(|label| (*label, *kind))).collect()
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(host("https://www.google.com/search?q=x"), "google.com");
        assert_eq!(host("http://user:pw@example.org:8080/a"), "example.org");
        assert_eq!(host("http://[::1]:80/"), "[::1]:80");
        assert_eq!(host("HTTPS://a@b@example.org?q#f"), "example.org");
        assert_eq!(host("android-app://com.example/x"), "com.example");
        for none in [
            "",
            "://example.org",
            "http:/example.org",
            "about:blank",
            "data:text/html,x",
            "/local",
            "javascript://x",
        ] {
            assert_eq!(host(none), "", "{none}");
        }
    }

    proptest! {
        #[test]
        fn the_host_is_what_splitting_gives(referrer in "(https?|HTTP|ftp)?(:|://|:/)?[ab@:\\[\\]/?#.\"<é ]{0,12}(www\\.)?[a@:/]{0,4}") {
            let naive = || {
                let (scheme, rest) = referrer.split_once("://")?;
                if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
                    return None;
                }
                let host = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
                let host = without_www(if host.starts_with('[') { host } else { host.split(':').next()? });
                host.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'<').then_some(host)
            };
            prop_assert_eq!(host(&referrer), naive().unwrap_or(""));
        }
    }

    #[test]
    fn a_label_is_of_one_kind() {
        assert_eq!(KINDS.len(), MAIL.len() + ASSISTANT.len() + SEARCH.len() + SOCIAL.len());
    }

    #[test]
    fn mediums() {
        let by = medium_of_host;
        assert_eq!(by(""), "direct");
        assert_eq!(
            (by("google.de"), by("google.co.uk"), by("mail.google.com")),
            ("search", "search", "email")
        );
        assert_eq!(
            (by("t.co"), by("m.facebook.com"), by("news.ycombinator.com")),
            ("social", "social", "social")
        );
        assert_eq!((by("chatgpt.com"), by("gemini.google.com")), ("assistant", "assistant"));
        assert_eq!((by("example.org"), by("localhost")), ("referral", "referral"));
        assert_eq!(medium("google.de", &"cpc".into(), false), "cpc");
        assert_eq!(medium("google.de", &"".into(), true), "paid");
        assert_eq!(medium("google.de", &"".into(), false), "search");
    }
}
