//! Browser events: what a registered site's pages tell of their visitors. Long, because both records stand here.
//! As with hits there are two: the [`RawEvent`] that the edge copies into its lane, and the [`Event`] that the
//! recorder makes of it for the journal, without the visitor's address.
//!
//! A lane holds hits and events. The first byte tells them apart: the versions of hits are below
//! [`EVENT_TAG`], those of events have that bit set; a lane written before there were events holds hits only
//! and is read as ever.
//!
//! Bytes of a raw event: tag and version u8 · [`Told`] · address 16 bytes · texts: host, query, referrer,
//! user agent, language. Of an event: version u8 · bot u8 · id u128 · network u64 · asn u32 · program u64 ·
//! partner u64 · [`Told`] · the texts of [`Dims`]. [`Told`]: kind u8 · at u64 · workspace u32 · site u64 ·
//! click u128 · link u64 · visitor u64 · view u64 · engaged_ms u32 · scroll u8 · six u32 of [`Pointer`] ·
//! value u64 · texts: currency, name, path, title, selector, href · number of properties u8 · pairs of
//! texts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::click::{DIMS, Dims, names};
use crate::hit::{LANGUAGE_MAX, NAME_MAX, QUERY_MAX, REFERRER_MAX, USER_AGENT_MAX};
use crate::ids::{ClickId, LinkId, PartnerId, ProgramId, SiteId, WorkspaceId};
use crate::time::Timestamp;
use crate::wire::{Reader, WireError, Writer, truncate};

/// Set in the first byte of every raw event in a lane.
pub const EVENT_TAG: u8 = 0x80;
/// The version that is written, of both records.
pub const EVENT_VERSION: u8 = 1;
/// Most properties of an event.
pub const PROPERTIES_MAX: usize = 20;
/// Longest name of a property or of a custom event, in bytes.
pub const EVENT_NAME_MAX: usize = crate::query::PROPERTY_NAME_MAX;
/// Longest value of a property, in bytes.
pub const PROPERTY_VALUE_MAX: usize = 255;
/// Longest path of a page kept, in bytes.
pub const PATH_MAX: usize = 512;
/// Longest title of a page kept, in bytes.
pub const TITLE_MAX: usize = 255;
/// Longest selector of an element kept, in bytes.
pub const SELECTOR_MAX: usize = 255;
/// Longest address of an outbound link kept, in bytes.
pub const HREF_MAX: usize = 512;
/// A value is kept in millionths.
pub const VALUE_SCALE: i64 = 1_000_000;
/// The largest value, either side of 0: as far as a JSON number has six exact decimals.
pub const VALUE_MAX: i64 = 9_000_000_000;

const TOLD_BYTES_MAX: usize = 99
    + 6 * 2
    + 3
    + EVENT_NAME_MAX
    + PATH_MAX
    + TITLE_MAX
    + SELECTOR_MAX
    + HREF_MAX
    + PROPERTIES_MAX * (4 + EVENT_NAME_MAX + PROPERTY_VALUE_MAX);
/// The largest raw event: the fixed part and every text at its bound.
pub const RAW_EVENT_BYTES_MAX: usize =
    17 + TOLD_BYTES_MAX + 5 * 2 + NAME_MAX + QUERY_MAX + REFERRER_MAX + USER_AGENT_MAX + LANGUAGE_MAX;

names! {
    /// What kind of event it is.
    EventKind {
        /// A page was shown.
        Pageview = 0 "pageview",
        /// A page shown before was left: how long it was looked at and how far it was read. Counts as no
        /// event of its own.
        Engagement = 1 "engagement",
        /// An element was clicked.
        Click = 2 "click",
        /// The site's own, by its name.
        Custom = 3 "custom",
        /// The pixel was shown.
        Impression = 4 "impression",
    }
}

/// A property's value as the text that is kept, grouped and filtered by: strings as they are, numbers and
/// truth values as JSON writes them. `None` for what is no single value, and for the empty text, which is
/// the same as no property.
pub fn property_text(value: &serde_json::Value) -> Option<Cow<'_, str>> {
    match value {
        serde_json::Value::String(text) if text.is_empty() => None,
        serde_json::Value::String(text) => Some(Cow::Borrowed(truncate(text, PROPERTY_VALUE_MAX))),
        serde_json::Value::Number(number) => Some(Cow::Owned(number_text(number))),
        serde_json::Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        _ => None,
    }
}

/// The property that is an event's number where it has no `value` of its own.
pub const VALUE_PROPERTY: &str = "value";
/// Most digits in front of the point of a property that is measured.
const WHOLE_DIGITS_MAX: usize = 10;

/// As JSON writes it, but never with an exponent that plain digits can do without.
fn number_text(number: &serde_json::Number) -> String {
    let text = number.to_string();
    match number.as_f64().filter(|_| text.contains('e')) {
        Some(plain) if (1e-15..1e21).contains(&plain.abs()) => plain.to_string(),
        _ => text,
    }
}

/// The number that a property's text is, in millionths ([`VALUE_SCALE`]): `-12.5`, digits beyond the sixth behind
/// the point are left out. `None` for what is no decimal number, or has more than ten digits in front of the point.
pub fn property_number(text: &str) -> Option<i64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (sign, plain) = text.strip_prefix('-').map_or((1, text), |plain| (-1, plain));
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, "0"));
    if !digits(whole) || !digits(fraction) || whole.len() > WHOLE_DIGITS_MAX {
        return None;
    }
    let millionths = format!("{:0<6}", &fraction[..fraction.len().min(6)]);
    Some(sign * (whole.parse::<i64>().ok()? * VALUE_SCALE + millionths.parse::<i64>().ok()?))
}

/// What of a conversion's properties queries know: single values, the first [`PROPERTIES_MAX`] by name.
pub fn property_texts(properties: &serde_json::Map<String, serde_json::Value>) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (name, value) in properties {
        if !name.is_empty()
            && name.len() <= EVENT_NAME_MAX
            && let Some(text) = property_text(value)
        {
            texts.insert(name.clone(), text.into_owned());
        }
    }
    while texts.len() > PROPERTIES_MAX {
        texts.pop_last();
    }
    texts
}

/// What a site's pages are to hold. `public_url` has no slash at its end.
pub fn snippet(public_url: &str, site: SiteId) -> String {
    format!("<script defer src=\"{public_url}/weir.js\" data-site=\"{site}\"></script>")
}

/// Where an element was clicked, in CSS pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// From the page's left edge.
    pub x: u32,
    /// From the page's top.
    pub y: u32,
    /// From the element's left edge.
    pub element_x: u32,
    /// From the element's top.
    pub element_y: u32,
    /// The page's width.
    pub page_width: u32,
    /// The page's height.
    pub page_height: u32,
}

/// What the page told and what the edge made of it at once: the part of an event that refining leaves alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<'a> {
    /// What kind of event it is.
    pub kind: EventKind,
    /// When it happened.
    pub at: Timestamp,
    /// The site's tenant.
    pub workspace: WorkspaceId,
    /// The site.
    pub site: SiteId,
    /// The click that brought the visitor to the site, `ClickId(0)` where none is known.
    pub click: ClickId,
    /// That click's link.
    pub link: LinkId,
    /// The visitor, as of clicks.
    pub visitor: u64,
    /// Binds the events of one showing of a page together; 0 where unknown.
    pub view: u64,
    /// How long the page was looked at, in milliseconds.
    pub engaged_ms: u32,
    /// How far the page was seen, in percent of its height.
    pub scroll: u8,
    /// Where the click was.
    pub pointer: Pointer,
    /// In millionths ([`VALUE_SCALE`]).
    pub value: i64,
    /// ISO 4217 where the value is money, else empty.
    pub currency: &'a str,
    /// A custom event's name, else the kind's.
    pub name: &'a str,
    /// The page's path.
    pub path: &'a str,
    /// The page's title.
    pub title: &'a str,
    /// A selector of the element clicked.
    pub selector: &'a str,
    /// Where an outbound link leads.
    pub href: &'a str,
    /// Names and values, sorted by name, each name once.
    pub properties: Vec<(&'a str, &'a str)>,
}

impl<'a> Told<'a> {
    /// The value of a property, empty where it has none of that name.
    pub fn property(&self, name: &str) -> &'a str {
        self.properties.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    fn write(&self, w: &mut Writer<'_>) {
        w.u8(self.kind as u8);
        w.u64(self.at.0 as u64);
        w.u32(self.workspace.0);
        w.u64(self.site.0);
        w.u128(self.click.0);
        w.u64(self.link.0);
        w.u64(self.visitor);
        w.u64(self.view);
        w.u32(self.engaged_ms);
        w.u8(self.scroll);
        let Pointer { x, y, element_x, element_y, page_width, page_height } = self.pointer;
        for length in [x, y, element_x, element_y, page_width, page_height] {
            w.u32(length);
        }
        w.u64(self.value as u64);
        w.text(self.currency, 3);
        w.text(self.name, EVENT_NAME_MAX);
        w.text(self.path, PATH_MAX);
        w.text(self.title, TITLE_MAX);
        w.text(self.selector, SELECTOR_MAX);
        w.text(self.href, HREF_MAX);
        let properties = &self.properties[..self.properties.len().min(PROPERTIES_MAX)];
        w.u8(properties.len() as u8);
        for (name, value) in properties {
            w.text(name, EVENT_NAME_MAX);
            w.text(value, PROPERTY_VALUE_MAX);
        }
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        let kind = EventKind::from_u8(r.u8()?).ok_or(WireError::Unknown("kind of event"))?;
        let mut told = Self {
            kind,
            at: Timestamp(r.u64()? as i64),
            workspace: WorkspaceId(r.u32()?),
            site: SiteId(r.u64()?),
            click: ClickId(r.u128()?),
            link: LinkId(r.u64()?),
            visitor: r.u64()?,
            view: r.u64()?,
            engaged_ms: r.u32()?,
            scroll: r.u8()?,
            pointer: Pointer {
                x: r.u32()?,
                y: r.u32()?,
                element_x: r.u32()?,
                element_y: r.u32()?,
                page_width: r.u32()?,
                page_height: r.u32()?,
            },
            value: r.u64()? as i64,
            currency: r.text()?,
            name: r.text()?,
            path: r.text()?,
            title: r.text()?,
            selector: r.text()?,
            href: r.text()?,
            properties: Vec::new(),
        };
        let count = r.u8()? as usize;
        if count > PROPERTIES_MAX {
            return Err(WireError::Unknown("number of properties"));
        }
        for _ in 0..count {
            told.properties.push((r.text()?, r.text()?));
        }
        Ok(told)
    }
}

/// One event as the edge saw it. Texts are borrowed from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// What the page told.
    pub told: Told<'a>,
    /// The visitor's address as IPv6 (IPv4 mapped); gone after refining.
    pub address: [u8; 16],
    /// The page's host.
    pub host: &'a str,
    /// The page's query string, without `?`.
    pub query: &'a str,
    /// What referred the visitor to the page.
    pub referrer: &'a str,
    /// `User-Agent`.
    pub user_agent: &'a str,
    /// `Accept-Language`.
    pub language: &'a str,
}

impl<'a> RawEvent<'a> {
    /// Whether a lane's record is an event rather than a hit.
    pub fn is_in(record: &[u8]) -> bool {
        record.first().is_some_and(|first| first & EVENT_TAG != 0)
    }

    /// Appends the bytes to `buffer`; at most [`RAW_EVENT_BYTES_MAX`], longer texts are cut.
    pub fn write(&self, buffer: &mut Vec<u8>) {
        let mut w = Writer::new(buffer);
        w.u8(EVENT_TAG | EVENT_VERSION);
        self.told.write(&mut w);
        w.raw(&self.address);
        w.text(self.host, NAME_MAX);
        w.text(self.query, QUERY_MAX);
        w.text(self.referrer, REFERRER_MAX);
        w.text(self.user_agent, USER_AGENT_MAX);
        w.text(self.language, LANGUAGE_MAX);
    }

    /// Reads an event back.
    pub fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes);
        if r.u8()? != EVENT_TAG | EVENT_VERSION {
            return Err(WireError::Unknown("version of a raw event"));
        }
        Ok(Self {
            told: Told::read(&mut r)?,
            address: r.raw(16)?.try_into().expect("raw gives exactly what was asked for"),
            host: r.text()?,
            query: r.text()?,
            referrer: r.text()?,
            user_agent: r.text()?,
            language: r.text()?,
        })
    }
}

/// One refined event. Texts are borrowed from the journal's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its identity.
    pub id: ClickId,
    /// A robot by its user agent.
    pub bot: bool,
    /// Hash of the visitor's address, as of clicks.
    pub network: u64,
    /// Number of the autonomous system, 0 when unknown.
    pub asn: u32,
    /// The program of the link that brought the visitor, where known.
    pub program: ProgramId,
    /// That link's partner, where known.
    pub partner: PartnerId,
    /// What the page told.
    pub told: Told<'a>,
    /// All that queries group and filter by; `domain` is the page's host, `referrer` what referred to the
    /// page.
    pub dims: Dims<'a>,
}

impl<'a> Event<'a> {
    /// Whether it counts in the metric `events`: everything but what belongs to a page view counted before.
    pub fn counts(&self) -> bool {
        self.told.kind != EventKind::Engagement
    }

    /// Appends the event's bytes to `buffer`.
    pub fn write(&self, buffer: &mut Vec<u8>) {
        let mut w = Writer::new(buffer);
        w.u8(EVENT_VERSION);
        w.u8(u8::from(self.bot));
        w.u128(self.id.0);
        w.u64(self.network);
        w.u32(self.asn);
        w.u64(self.program.0);
        w.u64(self.partner.0);
        self.told.write(&mut w);
        // An event has no signal of its own.
        for text in &self.dims.texts()[..DIMS - 1] {
            w.text(text, NAME_MAX);
        }
    }

    /// Reads an event back; its texts borrow from `bytes`.
    pub fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes);
        if r.u8()? != EVENT_VERSION {
            return Err(WireError::Unknown("version of an event"));
        }
        let bot = r.u8()? != 0;
        let id = ClickId(r.u128()?);
        let network = r.u64()?;
        let asn = r.u32()?;
        let program = ProgramId(r.u64()?);
        let partner = PartnerId(r.u64()?);
        let told = Told::read(&mut r)?;
        let mut texts = [""; DIMS];
        for text in &mut texts[..DIMS - 1] {
            *text = r.text()?;
        }
        Ok(Self { id, bot, network, asn, program, partner, told, dims: Dims::from_texts(texts) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told<'a>(text: &'a str, properties: &'a [(String, String)]) -> Told<'a> {
        Told {
            kind: EventKind::Custom,
            at: Timestamp(1_793_491_200_007),
            workspace: WorkspaceId(1),
            site: SiteId(2),
            click: ClickId(u128::MAX),
            link: LinkId(3),
            visitor: u64::MAX,
            view: 4,
            engaged_ms: 5,
            scroll: 100,
            pointer: Pointer { x: 1, y: 2, element_x: 3, element_y: 4, page_width: 5, page_height: u32::MAX },
            value: -12_500_000,
            currency: "EUR",
            name: text,
            path: text,
            title: text,
            selector: text,
            href: text,
            properties: properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        }
    }

    fn raw<'a>(text: &'a str, properties: &'a [(String, String)]) -> RawEvent<'a> {
        RawEvent {
            told: told(text, properties),
            address: [7; 16],
            host: text,
            query: text,
            referrer: text,
            user_agent: text,
            language: text,
        }
    }

    #[test]
    fn an_event_comes_back_as_it_was() {
        let properties = [("plan".to_owned(), "pro".to_owned()), ("seats".to_owned(), "7".to_owned())];
        let mut bytes = Vec::new();
        raw("añb", &properties).write(&mut bytes);
        assert!(RawEvent::is_in(&bytes));
        assert_eq!(RawEvent::read(&bytes), Ok(raw("añb", &properties)));
        assert_eq!(RawEvent::read(&bytes).unwrap().told.property("seats"), "7");
        for end in 0..bytes.len() {
            assert!(RawEvent::read(&bytes[..end]).is_err(), "{end}");
        }
        let texts: Vec<String> = (0..DIMS).map(|n| format!("dim {n}")).collect();
        let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        texts[DIMS - 1] = "";
        let event = Event {
            id: ClickId(9),
            bot: true,
            network: 1,
            asn: 2,
            program: ProgramId(3),
            partner: PartnerId(4),
            told: told("x", &properties),
            dims: Dims::from_texts(texts.try_into().unwrap()),
        };
        bytes.clear();
        event.write(&mut bytes);
        assert_eq!(Event::read(&bytes), Ok(event));
        for end in 0..bytes.len() {
            assert!(Event::read(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn the_largest_event_keeps_its_bound() {
        let long = "x".repeat(5_000);
        let properties: Vec<_> = (0..50).map(|n| (format!("{n:02}{long}"), long.clone())).collect();
        let mut bytes = Vec::new();
        raw(&long, &properties).write(&mut bytes);
        assert_eq!(bytes.len(), RAW_EVENT_BYTES_MAX);
        assert_eq!(RawEvent::read(&bytes).unwrap().told.properties.len(), PROPERTIES_MAX);
    }

    #[test]
    fn numbers_of_properties_are_exact_decimals() {
        let cases = [
            ("19.99", Some(19_990_000)),
            ("-0.5", Some(-500_000)),
            ("007", Some(7_000_000)),
            ("0.30000000000000004", Some(300_000)),
            ("9999999999.9999999", Some(9_999_999_999_999_999)),
            ("12345678901", None),
            ("", None),
            ("-", None),
            ("1.", None),
            (".5", None),
            ("+1", None),
            ("1e3", None),
            (" 1", None),
            ("1,5", None),
            ("١", None),
            ("1.2.3", None),
        ];
        for (text, expected) in cases {
            assert_eq!(property_number(text), expected, "{text}");
        }
        for (json, text) in [("1e-5", "0.00001"), ("19.99", "19.99"), ("12.0", "12.0"), ("7", "7")] {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(property_text(&value).as_deref(), Some(text), "{json}");
        }
    }

    #[test]
    fn a_hit_is_no_event() {
        assert!(!RawEvent::is_in(&[crate::hit::HIT_VERSION, 0]) && !RawEvent::is_in(&[]));
        assert_eq!(crate::hit::HIT_VERSION & EVENT_TAG, 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = RawEvent::read(&bytes);
            let _ = Event::read(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = EVENT_TAG | EVENT_VERSION;
                let _ = RawEvent::read(&bytes);
                bytes[0] = EVENT_VERSION;
                let _ = Event::read(&bytes);
            }
        }

        #[test]
        fn a_damaged_event_is_an_error_or_another_event(at in 0_usize..400, to in any::<u8>()) {
            let properties = [("plan".to_owned(), "pro".to_owned())];
            let mut bytes = Vec::new();
            raw("text", &properties).write(&mut bytes);
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(event) = RawEvent::read(&bytes) {
                let mut again = Vec::new();
                event.write(&mut again);
                prop_assert!(again.len() <= RAW_EVENT_BYTES_MAX);
            }
        }
    }
}
