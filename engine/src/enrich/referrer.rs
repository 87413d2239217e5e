//! Referrers: the host a visit came from, and the medium it came by.

use std::borrow::Cow;

use weir_schemas::hit::NAME_MAX;

/// The referrer's host without port and `www.`; empty where there is none or it is no web address.
pub(crate) fn host(referrer: &str) -> &str {
    let Some((scheme, rest)) = referrer.split_once("://") else { return "" };
    if !["http", "https", "android-app"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return "";
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
    let host = without_www(host);
    let sane = host.len() <= NAME_MAX && host.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'<');
    if sane { host } else { "" }
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
    let either_in = |list: &[&str]| list.contains(&first) || list.contains(&name);
    // Mail comes first: `mail.google.com` and `mail.yahoo.com` are no searches.
    if either_in(MAIL) {
        "email"
    } else if either_in(ASSISTANT) {
        "assistant"
    } else if SEARCH.contains(&name) {
        "search"
    } else if SOCIAL.contains(&name) {
        "social"
    } else {
        "referral"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(host("https://www.google.com/search?q=x"), "google.com");
        assert_eq!(host("http://user:pw@example.org:8080/a"), "example.org");
        assert_eq!(host("http://[::1]:80/"), "[::1]:80");
        for none in ["", "about:blank", "data:text/html,x", "/local", "javascript://x"] {
            assert_eq!(host(none), "", "{none}");
        }
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
