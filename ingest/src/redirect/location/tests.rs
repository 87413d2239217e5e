use proptest::prelude::*;
use weir_engine::links::Prepared;
use weir_schemas::link::LinkSpec;

use super::*;
use crate::commands::destination::canonical;

struct Values;

impl Macros for Values {
    fn value(&self, name: &str) -> Cow<'_, str> {
        match name {
            "wclid" => "TOKEN".into(),
            "country" => "DE".into(),
            "utm_source" => "a&b=ñ #".into(),
            _ => "".into(),
        }
    }
}

fn prepared(destination: &str, utm: serde_json::Value) -> Prepared {
    let destination = canonical(destination, |_| false).unwrap();
    let spec: LinkSpec =
        serde_json::from_value(serde_json::json!({"destination": destination, "utm": utm})).unwrap();
    Prepared::new(&spec)
}

fn location(destination: &str, utm: serde_json::Value, query: &str, token: Option<&str>) -> String {
    let mut out = Vec::new();
    write(&mut out, &prepared(destination, utm).destination, Visit { query, token }, &Values);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_byte_is_marked_that_is_encoded_or_may_be_a_code() {
    for character in '\0'..='\u{ff}' {
        let text = character.to_string();
        let encoded = percent_encode(text.as_bytes(), UNSAFE).to_string() != text;
        assert_eq!(marks(&text) & ENCODED != 0, encoded, "{character:?}");
        assert_eq!(marks(&text) & CODED != 0, "%+".contains(character), "{character:?}");
    }
}

#[test]
fn locations() {
    let none = serde_json::json!({});
    for (destination, query, token, expected) in [
        ("https://a.example", "", None, "https://a.example/"),
        ("https://a.example", "", Some("T"), "https://a.example/?wclid=T"),
        ("https://a.example/p?id=1", "", Some("T"), "https://a.example/p?id=1&wclid=T"),
        ("https://a.example/p?id=1#top", "x=2", Some("T"), "https://a.example/p?id=1&x=2&wclid=T#top"),
        ("https://a.example/#a?b", "x=2", None, "https://a.example/?x=2#a?b"),
        // The visit overrides, also when it writes the name another way.
        ("https://a.example/?id=1&b=2", "id=9", None, "https://a.example/?b=2&id=9"),
        ("https://a.example/?id=1&b=2", "%69d=9", None, "https://a.example/?b=2&%69d=9"),
        ("https://a.example/?id=1&id=2", "id", None, "https://a.example/?id"),
        // Internal parameters are taken out, however they are written.
        ("https://a.example/", "wclid=EVIL&wv=1&x=1", Some("T"), "https://a.example/?x=1&wclid=T"),
        ("https://a.example/", "%77clid=EVIL", Some("T"), "https://a.example/?wclid=T"),
        ("https://a.example/?wclid=own", "wclid=EVIL", None, "https://a.example/?wclid=own"),
        // The operator's own place for the token.
        ("https://a.example/?c={wclid}", "", Some("T"), "https://a.example/?c=TOKEN&wclid=T"),
        ("https://a.example/?wclid={wclid}", "", Some("T"), "https://a.example/?wclid=TOKEN"),
        // Macros: encoded, raw, in every part.
        ("https://a.example/{country}/x?d={device}#{country}", "", None, "https://a.example/DE/x?d=#DE"),
        ("https://a.example/?s={utm_source}", "", None, "https://a.example/?s=a%26b%3D%C3%B1%20%23"),
        ("https://a.example/?{_utm_source}", "", None, "https://a.example/?a&b=%C3%B1%20%23"),
        // A visit's macro is only text.
        ("https://a.example/?s={country}", "x={country}", None, "https://a.example/?s=DE&x=%7Bcountry%7D"),
        (
            "https://a.example/",
            "a=\r\nSet-Cookie:x&b=ñ",
            None,
            "https://a.example/?a=%0D%0ASet-Cookie:x&b=%C3%B1",
        ),
        ("https://a.example/", "&&a=1&", None, "https://a.example/?a=1"),
        ("https://a.example/?", "", Some("T"), "https://a.example/?wclid=T"),
    ] {
        assert_eq!(location(destination, none.clone(), query, token), expected, "{destination} + {query}");
    }
}

#[test]
fn utm_values_of_the_link_yield_to_the_visit() {
    let utm = serde_json::json!({"source": "news", "medium": "mail"});
    assert_eq!(
        location("https://a.example/?utm_source=old&id=1", utm.clone(), "", None),
        "https://a.example/?id=1&utm_source=news&utm_medium=mail"
    );
    assert_eq!(
        location("https://a.example/", utm, "utm_source=ads", Some("T")),
        "https://a.example/?utm_medium=mail&utm_source=ads&wclid=T"
    );
}

fn own_pairs(location: &str) -> Vec<(String, String)> {
    let url = url::Url::parse(location).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

proptest! {
    #[test]
    fn a_destination_keeps_its_parameters_and_the_visit_its_own(
        path in "[a-z/%{} ñ]{0,12}",
        own in "[a-c=&%+ñ;.]{0,40}",
        visit in "[d-fw=&%+;.]{0,40}",
        fragment in "[ -~ñ]{0,12}",
    ) {
        let text = format!("https://a.example/{path}?{own}#{fragment}").replace(' ', "");
        let Ok(destination) = canonical(&text, |_| false) else { return Ok(()) };
        let spec = serde_json::from_value(serde_json::json!({"destination": destination})).unwrap();
        let mut out = Vec::new();
        let visited = Visit { query: &visit, token: Some("T") };
        write(&mut out, &Prepared::new(&spec).destination, visited, &Values);
        let location = String::from_utf8(out).unwrap();
        prop_assert!(http::HeaderValue::from_str(&location).is_ok(), "{}", location);
        let (before, after) = (url::Url::parse(&destination).unwrap(), url::Url::parse(&location).unwrap());
        prop_assert_eq!((before.host(), before.path()), (after.host(), after.path()));
        prop_assert_eq!(before.fragment(), after.fragment());
        // Names of the visit are of other letters, unless both are empty or coded ones that decode alike.
        let mut expected = own_pairs(&destination);
        let sent = url::form_urlencoded::parse(visit.as_bytes());
        let sent: Vec<_> = sent.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        expected.retain(|(name, _)| !sent.iter().any(|(other, _)| other == name));
        expected.extend(sent);
        expected.push(("wclid".into(), "T".into()));
        prop_assert_eq!(own_pairs(&location), expected);
    }

    #[test]
    fn whatever_a_visit_brings_the_host_is_the_operators(
        pieces in proptest::collection::vec(piece(), 0..8),
        host in "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}(:[1-9][0-9]{0,3})?",
        visit in hostile(),
        value in hostile(),
        token in proptest::option::of("[A-Za-z0-9_-]{1,80}"),
    ) {
        let text = format!("https://{host}{}", pieces.concat());
        let Ok(destination) = canonical(&text, |_| false) else { return Ok(()) };
        let spec = serde_json::from_value(serde_json::json!({"destination": destination})).unwrap();
        let mut out = Vec::new();
        let visit = Visit { query: &visit, token: token.as_deref() };
        write(&mut out, &Prepared::new(&spec).destination, visit, &Hostile(value));
        // No control characters, no CR or LF, nothing beyond ASCII: as it stands it is a header and an URL.
        prop_assert!(out.iter().all(|byte| byte.is_ascii_graphic()), "{:?}", out);
        let location = std::str::from_utf8(&out).unwrap();
        let written = url::Url::parse(location).expect("a location is a URL");
        let meant = url::Url::parse(&text.replace(['{', '}'], "")).expect("macros stand behind the host");
        prop_assert_eq!(written.scheme(), "https");
        prop_assert_eq!(written.host_str(), meant.host_str(), "{}", location);
        prop_assert_eq!(written.port(), meant.port());
        prop_assert_eq!((written.username(), written.password()), ("", None));
        // Clients that repair less or more than the standard see the same authority.
        let authority = location.strip_prefix("https://").unwrap().split(['/', '?', '#']).next().unwrap();
        prop_assert!(!authority.contains(['@', '\\', '%']), "{}", location);
        // Others' tokens are never sent along, however they are written.
        let tokens = written.query_pairs().filter(|(name, _)| name == "wclid").count();
        let own = text.contains("wclid=") || text.contains("{_");
        prop_assert!(own || tokens == usize::from(visit.token.is_some()), "{}", location);
    }
}

/// Every macro has the same value, the visitor's.
struct Hostile(String);

impl Macros for Hostile {
    fn value(&self, _: &str) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }
}

/// A piece of a destination behind the host.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("/".to_owned()),
        Just("?".to_owned()),
        Just("&".to_owned()),
        Just("#".to_owned()),
        Just("/{utm_source}".to_owned()),
        Just("/{_utm_source}".to_owned()),
        Just("{_country}".to_owned()),
        Just("?a={wclid}".to_owned()),
        Just("b={_utm_term}".to_owned()),
        "[a-z=%.@:;ñ]{0,6}",
    ]
}

/// What visitors send who mean no good.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("//evil.example"),
        Just("/\\evil.example"),
        Just("\\\\evil.example"),
        Just("@evil.example"),
        Just(".evil.example"),
        Just(":80@evil.example/"),
        Just("https://evil.example"),
        Just("javascript:alert(1)"),
        Just("\r\nSet-Cookie: a=b"),
        Just("%0d%0aLocation:%20x"),
        Just("../../"),
        Just("?"),
        Just("#"),
        Just("&"),
        Just("wclid=EVIL&"),
        Just("&%77clid=EVIL"),
        Just("&w%63li%64=EVIL"),
        Just("{wclid}"),
        Just("{_country}"),
        Just("\u{0}\t\u{7f}"),
        Just("ñ\u{202e}"),
        Just("%"),
        Just("%zz"),
    ];
    (proptest::collection::vec(piece, 0..6), "\\PC{0,10}").prop_map(|(pieces, text)| pieces.concat() + &text)
}
