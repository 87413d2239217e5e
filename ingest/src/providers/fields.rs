//! Fields of the providers' bodies, read as tolerantly as they are written: an id that is a number here and a
//! text there, a flag that is `true` or `"1"`, a map that is `[]` when it is empty.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use weir_engine::token::TOKEN_CHARS;
use weir_schemas::conversion::Person;
use weir_schemas::time::{SECOND_MS, Timestamp};

use super::Refusal;

/// The name under which the click token travels.
pub(super) const WCLID: &str = "wclid";

/// A field of a signed body is not what the provider documents.
pub(super) fn bad(field: &str, what: &str) -> Refusal {
    Refusal::Malformed(format!("`{field}` {what}"))
}

/// Reads a JSON body.
pub(super) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))
}

/// The value of a field that must be there.
pub(super) fn need<T>(value: Option<T>, field: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| bad(field, "is missing"))
}

/// A text that may also be written as a number or a boolean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
                // The shortest text that reads back as this number: the one that was written, for amounts.
                Ok(Text(number.to_string()))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Text, E> {
                Ok(Text(flag.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The text of a field, `None` where it is empty.
pub(super) fn text(field: Option<Text>) -> Option<String> {
    field.map(|text| text.0).filter(|text| !text.is_empty())
}

/// Whether a field says yes: `true`, `1`, `"1"`, `"true"`.
pub(super) fn flag(field: Option<Text>) -> bool {
    field.is_some_and(|Text(text)| matches!(text.as_str(), "true" | "True" | "1"))
}

/// An RFC 3339 time, also one whose offset has no colon or whose `T` is a blank.
pub(super) fn time(text: &str, field: &str) -> Result<Timestamp, Refusal> {
    Timestamp::parse(text).map_err(|_| bad(field, "is not an RFC 3339 time"))
}

/// A time in Unix seconds.
pub(super) fn unix(seconds: i64, field: &str) -> Result<Timestamp, Refusal> {
    seconds.checked_mul(SECOND_MS).map(Timestamp).ok_or_else(|| bad(field, "is out of range"))
}

/// A time without an offset, taken as UTC but never later than `now`: a zone ahead of UTC must not date a
/// payment into the future, where no click can be before it.
pub(super) fn zoneless(text: &str, format: &str, now: Timestamp) -> Option<Timestamp> {
    let civil = jiff::civil::DateTime::strptime(format, text).ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond().min(now.0)))
}

/// A person, where there is anything of one.
pub(super) fn person(email: Option<String>, name: Option<String>) -> Option<Person> {
    let email = email.filter(|text| !text.is_empty());
    let name = name.filter(|text| !text.trim().is_empty());
    (email.is_some() || name.is_some()).then_some(Person { email, name })
}

/// The names of an order, the empty and the repeated left out.
pub(super) fn names<const N: usize>(names: [Option<String>; N]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(N);
    for name in names.into_iter().flatten() {
        if !name.is_empty() && !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept
}

/// The value of `wclid` in an object, a list of `{name|key, value}`, a URL or query text, or JSON in a text.
pub(super) fn carried(value: &Value) -> Option<String> {
    match value {
        Value::Object(map) => match map.get(WCLID) {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            _ => None,
        },
        Value::Array(items) => items.iter().find_map(|item| {
            let name = item.get("name").or_else(|| item.get("key"))?.as_str()?;
            // WooCommerce hides fields whose name begins with an underscore from the shop's pages.
            if name.trim_start_matches('_') != WCLID {
                return None;
            }
            item.get("value")?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
        }),
        Value::String(text) => carried_in_text(text),
        _ => None,
    }
}

fn carried_in_text(text: &str) -> Option<String> {
    if text.starts_with(['{', '[']) {
        let inside: Value = serde_json::from_str(text).ok()?;
        // One level only: a text inside that is JSON again is nobody's documented place.
        return if inside.is_string() { None } else { carried(&inside) };
    }
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == WCLID).map(|(_, value)| value.into_owned()).filter(|v| !v.is_empty())
}

/// `wclid` inside `value`, or the whole text where that is a token itself: for fields that the shop may also
/// use for something else.
pub(super) fn carried_or_whole(text: &str) -> Option<String> {
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.len() == TOKEN_CHARS && text.bytes().all(alphabet) {
        return Some(text.to_owned());
    }
    carried_in_text(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_token_is_found_where_shops_put_it() {
        for value in [
            json!({"wclid": "T"}),
            json!([{"name": "colour", "value": "green"}, {"name": "wclid", "value": "T"}]),
            json!([{"id": 1, "key": "_wclid", "value": "T"}]),
            json!("/products/a?x=1&wclid=T#top"),
            json!("https://shop.example/?wclid=T"),
            json!("wclid=T"),
            json!(r#"{"wclid": "T"}"#),
            json!(r#"[{"name": "wclid", "value": "T"}]"#),
        ] {
            assert_eq!(carried(&value).as_deref(), Some("T"), "{value}");
        }
        let nothing =
            [json!(null), json!([]), json!({}), json!(""), json!({"wclid": 7}), json!("wclid="), json!("{")];
        for value in nothing {
            assert_eq!(carried(&value), None, "{value}");
        }
        let token = "A".repeat(TOKEN_CHARS);
        assert_eq!(carried_or_whole(&token), Some(token));
        assert_eq!(carried_or_whole("Test merchant data"), None);
    }

    #[test]
    fn times_without_a_zone_are_never_in_the_future() {
        let read = |now| zoneless("13.07.2024 01:23:59", "%d.%m.%Y %H:%M:%S", Timestamp(now)).unwrap().0;
        assert_eq!(read(i64::MAX), 1_720_833_839_000);
        assert_eq!(read(5), 5);
        assert_eq!(zoneless("yesterday", "%d.%m.%Y %H:%M:%S", Timestamp(0)), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*") {
            _ = carried(&Value::String(text.clone()));
            _ = carried_or_whole(&text);
            _ = zoneless(&text, "%Y-%m-%d %H:%M:%S", Timestamp(0));
        }
    }
}
