//! Destinations: checked when a link is written, so that the redirect needs no doubt. What comes out is
//! canonical (WHATWG URL), http or https, has a host, no user info and no control characters, and does not
//! lead back to the engine's own short domains. Macros (`{wclid}`, `{country}` …) may stand in path, query
//! and fragment, never in the host.

use url::{Host, Url};

/// Longest destination, in bytes. Browsers and servers agree on about 8 kB of request line.
pub const DESTINATION_MAX: usize = 4_096;

/// The macros that a destination may hold; `{_name}` is the same without percent-encoding.
pub const MACROS: &[&str] = &[
    "wclid",
    "click_id",
    "link_id",
    "country",
    "device",
    "variant",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
];

/// Checks `text` and gives its canonical form. `leads_back` says whether an address is the engine's own. The
/// error is a sentence for the field that holds it.
pub fn canonical(text: &str, leads_back: impl Fn(&Url) -> bool) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.len() > DESTINATION_MAX {
        return Err(format!("is longer than {DESTINATION_MAX} bytes"));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("must not hold white space or control characters".to_owned());
    }
    // The URL standard reads `\` as `/` and repairs missing slashes, which is how `/\evil` becomes a host.
    // Only the plain form is taken.
    let scheme_ok = ["http://", "https://"]
        .iter()
        .any(|prefix| text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix)));
    if !scheme_ok || text.contains('\\') {
        return Err("must begin with http:// or https:// and hold no backslash".to_owned());
    }
    let (guarded, macros) = guard_macros(text)?;
    let url = Url::parse(&guarded).map_err(|error| format!("is not a web address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password".to_owned());
    }
    match url.host() {
        None => return Err("must name a host".to_owned()),
        Some(Host::Domain(domain)) if domain.to_ascii_lowercase().contains(GUARD) => {
            return Err("must not hold a macro in its host".to_owned());
        }
        Some(host) if leads_back(&url) => {
            return Err(format!("leads back to this engine's own domain {host}: a link to a link is a loop"));
        }
        Some(_) => {}
    }
    let mut canonical = String::from(url);
    for (number, name) in macros.iter().enumerate() {
        canonical = canonical.replace(&guard(number), &format!("{{{name}}}"));
    }
    if canonical.len() > DESTINATION_MAX {
        return Err(format!("is longer than {DESTINATION_MAX} bytes once percent-encoded"));
    }
    Ok(canonical)
}

/// Stands for a macro while the URL is parsed: letters and digits that no part of a URL changes (hosts are
/// lower-cased, so it is lower case).
const GUARD: &str = "zq7weirmacro";

fn guard(number: usize) -> String {
    format!("{GUARD}{number:03}z")
}

fn guard_macros(text: &str) -> Result<(String, Vec<&str>), String> {
    if text.contains(GUARD) {
        return Err(format!("must not hold the text {GUARD}"));
    }
    let mut guarded = String::with_capacity(text.len());
    let mut macros = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}') else { break };
        let name = &rest[open + 1..open + close];
        if !MACROS.contains(&name.strip_prefix('_').unwrap_or(name)) {
            return Err(format!("holds the unknown macro {{{name}}}; known: {}", MACROS.join(", ")));
        }
        guarded.push_str(&rest[..open]);
        guarded.push_str(&guard(macros.len()));
        macros.push(name);
        if macros.len() > MACROS_MAX {
            return Err(format!("holds more than {MACROS_MAX} macros"));
        }
        rest = &rest[open + close + 1..];
    }
    guarded.push_str(rest);
    Ok((guarded, macros))
}

/// Most macros in one destination.
const MACROS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> Result<String, String> {
        canonical(text, |url| url.host_str().is_some_and(|host| host.trim_end_matches('.') == "go.example"))
    }

    #[test]
    fn destinations_become_canonical() {
        assert_eq!(check("HTTPS://Shop.Example:443/p?id=1#top").unwrap(), "https://shop.example/p?id=1#top");
        assert_eq!(check("https://münchen.example").unwrap(), "https://xn--mnchen-3ya.example/");
        assert_eq!(
            check("https://a.example/{country}/?c={wclid}&d={_device}#{variant}").unwrap(),
            "https://a.example/{country}/?c={wclid}&d={_device}#{variant}"
        );
        assert_eq!(check("https://a.example/a{").unwrap(), "https://a.example/a%7B");
    }

    #[test]
    fn tricks_are_refused_with_a_sentence() {
        for bad in [
            "",
            "shop.example",
            "//evil.example",
            "/\\evil.example",
            "https:\\\\evil.example",
            "https:/evil.example",
            "https:///\\evil.example",
            "https://shop.example\\@evil.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://a.example/",
            "https://",
            "https://user@evil.example/",
            "https://shop.example:pw@evil.example/",
            "https://a.example/\r\nSet-Cookie: x",
            "https://a.example/ b",
            "https://{country}.example/",
            "https://a.example/{nope}",
            "https://go.example/x",
            "https://GO.example./x",
            "https://a.example:99999/",
            "https://[::1",
            "https://a.example/\u{0}",
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check("https://go.example/x").unwrap_err().contains("own domain"));
        assert!(check("https://a.example/{nope}").unwrap_err().contains("utm_source"));
        assert!(check(&format!("https://a.example/{}", "x".repeat(5_000))).is_err());
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_a_fixed_point_that_fits_a_header(text in "https?://[a-z.]{1,20}[ -~]{0,60}") {
            if let Ok(canonical) = check(&text) {
                prop_assert!(canonical.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(check(&canonical), Ok(canonical.clone()));
            }
        }
    }
}
