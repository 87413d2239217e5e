//! Campaigns: the UTM values of a visit, else of its link.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use weir_schemas::hit::NAME_MAX;
use weir_schemas::query_string::{Pair, pairs};
use weir_schemas::wire::truncate;

/// The five values, decoded; empty where neither visit nor link has one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Campaign<'a> {
    pub(super) source: Cow<'a, str>,
    pub(super) medium: Cow<'a, str>,
    pub(super) campaign: Cow<'a, str>,
    pub(super) term: Cow<'a, str>,
    pub(super) content: Cow<'a, str>,
    /// The visit carries a click id of an advertiser.
    pub(super) has_ad_click_id: bool,
}

/// Parameters by which advertisers mark what was paid for: Google, Meta does not (fbclid is on organic posts too),
/// Microsoft, TikTok, X, LinkedIn.
fn is_ad_click_id(name: &str) -> bool {
    matches!(name, "gclid" | "gbraid" | "wbraid" | "msclkid" | "ttclid" | "twclid" | "li_fat_id")
}

impl<'a> Campaign<'a> {
    /// Reads both query strings; the visit's values go before the link's.
    pub(super) fn read(visit: &'a str, link: &'a str) -> Self {
        let mut campaign = Self::default();
        for query in [visit, link] {
            for Pair { name, value, .. } in pairs(query) {
                if is_ad_click_id(name) {
                    campaign.has_ad_click_id = true;
                    continue;
                }
                let slot = match name {
                    "utm_source" => &mut campaign.source,
                    "utm_medium" => &mut campaign.medium,
                    "utm_campaign" => &mut campaign.campaign,
                    "utm_term" => &mut campaign.term,
                    "utm_content" => &mut campaign.content,
                    _ => continue,
                };
                if slot.is_empty() {
                    *slot = decode(value);
                }
            }
        }
        campaign
    }
}

/// Decodes `+` and percent signs; what is not UTF-8 gets replacement characters, controls become spaces.
fn decode(value: &str) -> Cow<'_, str> {
    let plain = !value.bytes().any(|b| b == b'%' || b == b'+' || b.is_ascii_control());
    if plain {
        return Cow::Borrowed(truncate(value, NAME_MAX));
    }
    let spaced = value.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8_lossy();
    let clean: String = decoded.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Cow::Owned(truncate(&clean, NAME_MAX).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_the_visit_goes_first() {
        let read = Campaign::read("utm_source=a%20b+c&utm_term=%ff%0a&x", "utm_source=z&utm_content=link");
        assert_eq!(&*read.source, "a b c");
        assert_eq!(&*read.term, "\u{fffd} ");
        assert_eq!(&*read.content, "link");
        assert!(!read.has_ad_click_id);
        assert!(Campaign::read("gclid=1", "").has_ad_click_id);
    }
}
