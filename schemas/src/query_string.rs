//! Query strings (`a=1&b=2`, without `?`), cut where they stand. Every redirect reads some, so bytes are looked for and
//! not characters: all that separates is ASCII.

use std::borrow::Cow;

use memchr::memchr;
use percent_encoding::percent_decode_str;

/// One parameter, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// All of it.
    pub text: &'a str,
    /// What stands before the first `=`.
    pub name: &'a str,
    /// What stands behind it; empty where there is none.
    pub value: &'a str,
}

/// The parameters of `query` in their order; empty ones are none.
pub fn pairs(query: &str) -> impl Iterator<Item = Pair<'_>> {
    let mut rest = query;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let text;
            (text, rest) = cut(rest, b'&');
            if !text.is_empty() {
                let (name, value) = cut(text, b'=');
                return Some(Pair { text, name, value });
            }
        }
        None
    })
}

/// What stands before and behind the first `separator`, which is ASCII; all and nothing where there is none.
pub fn cut(text: &str, separator: u8) -> (&str, &str) {
    match memchr(separator, text.as_bytes()) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

/// A name or a value without its escapes (`+`, `%20`); what is no UTF-8 then gets replacement characters.
pub fn decoded(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned());
    }
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_values_are_told_apart_and_decoded() {
        let found: Vec<_> =
            pairs("a=1&&b&c=x=y&=z&").map(|pair| (pair.text, pair.name, pair.value)).collect();
        assert_eq!(found, [("a=1", "a", "1"), ("b", "b", ""), ("c=x=y", "c", "x=y"), ("=z", "", "z")]);
        assert_eq!(["a+b%2B", "%ff", "x"].map(|text| decoded(text).into_owned()), ["a b+", "\u{fffd}", "x"]);
    }

    proptest! {
        #[test]
        fn it_is_what_splitting_by_characters_gives(query in "[a&=é%+ ]{0,24}") {
            let naive = query.split('&').filter(|pair| !pair.is_empty());
            let naive: Vec<_> = naive.map(|pair| (pair, pair.split_once('=').unwrap_or((pair, "")))).collect();
            let found: Vec<_> = pairs(&query).map(|pair| (pair.text, (pair.name, pair.value))).collect();
            prop_assert_eq!(found, naive);
        }
    }
}
