//! What of a link's answer does not depend on the visit, made once when the link changes.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use weir_schemas::link::{LinkSpec, Utm};
use weir_schemas::query_string::pairs;

use super::rules::Rules;
use super::variants::Variants;

/// A destination cut where a visit's parts are inserted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces {
    /// Up to the query or the fragment.
    pub base: Box<str>,
    /// The destination's own query with the link's UTM values, without `?`.
    pub query: Box<str>,
    /// The fragment with its `#`, or empty.
    pub fragment: Box<str>,
    /// Whether a macro (`{name}`) stands anywhere.
    pub has_macros: bool,
}

impl Pieces {
    /// Cuts `destination`; `utm` is what the link adds to it.
    pub(super) fn new(destination: &str, utm: &str) -> Self {
        let (rest, fragment) = match destination.find('#') {
            Some(at) => destination.split_at(at),
            None => (destination, ""),
        };
        let (base, own) = rest.split_once('?').unwrap_or((rest, ""));
        // A parameter that the link sets replaces the destination's of the same name.
        let kept = pairs(own).filter(|pair| !pairs(utm).any(|set| set.name == pair.name));
        let query: Vec<&str> = kept.chain(pairs(utm)).map(|pair| pair.text).collect();
        Self {
            base: base.into(),
            query: query.join("&").into(),
            fragment: fragment.into(),
            has_macros: destination.contains('{'),
        }
    }

    /// Bytes of all pieces.
    pub fn bytes(&self) -> usize {
        self.base.len() + self.query.len() + self.fragment.len()
    }
}

/// What of a link's answer is made ahead.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Where it leads when no rule and no variant says otherwise.
    pub destination: Pieces,
    /// The link's UTM values alone, as a query string: lent to visits that bring none.
    pub utm: Box<str>,
    /// Where some visits go instead.
    pub rules: Rules,
    /// Among what all others are split.
    pub variants: Variants,
}

impl Prepared {
    /// Cuts the destinations of `spec` and compiles its rules.
    pub fn new(spec: &LinkSpec) -> Self {
        let utm = utm_query(&spec.utm);
        Self {
            destination: Pieces::new(&spec.destination, &utm),
            rules: Rules::new(&spec.rules, &utm),
            variants: Variants::new(spec, &utm),
            utm: utm.into(),
        }
    }
}

fn utm_query(utm: &Utm) -> String {
    let values = [
        ("utm_source", &utm.source),
        ("utm_medium", &utm.medium),
        ("utm_campaign", &utm.campaign),
        ("utm_term", &utm.term),
        ("utm_content", &utm.content),
    ];
    let set = values.into_iter().filter_map(|(name, value)| {
        let value = value.as_deref().filter(|value| !value.is_empty())?;
        Some(format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
    });
    set.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(destination: &str) -> Prepared {
        let utm = serde_json::json!({"source": "news letter", "medium": ""});
        let spec = serde_json::json!({"destination": destination, "utm": utm});
        Prepared::new(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_destination_is_cut_where_parts_are_inserted() {
        let whole = prepared("https://shop.example/p?id=1&utm_source=old#top?x");
        let cut = whole.destination;
        assert_eq!(&*cut.base, "https://shop.example/p");
        assert_eq!(&*cut.query, "id=1&utm_source=news%20letter");
        assert_eq!(&*cut.fragment, "#top?x");
        assert_eq!(&*whole.utm, "utm_source=news%20letter");
        assert!(!cut.has_macros);
        assert!(prepared("https://shop.example/?c={click_id}").destination.has_macros);
    }
}
