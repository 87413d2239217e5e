//! What pages send: one event, a list of events, or `{"site", "wclid", "events": […]}` whose `site` and
//! `wclid` hold for every event that names none. Each event is taken or refused by itself, so that one mistake
//! of a page does not cost its page views.

use serde::Deserialize;
use serde_json::{Map, Number, Value};
use url::Url;
use weir_edge::request::from_value;
use weir_schemas::event::{
    EVENT_NAME_MAX, EventKind, PROPERTIES_MAX, Pointer, VALUE_MAX, VALUE_PROPERTY, VALUE_SCALE, property_text,
};
use weir_schemas::ids::SiteId;
use weir_schemas::money::Currency;
use weir_schemas::problem::{FieldError, Problem};

/// Most events of one request.
pub const BATCH_MAX: usize = 100;
/// How long an event may have waited in the browser, in milliseconds: a tablet that was put to sleep.
pub const AGO_MAX_MS: u64 = 24 * 60 * 60 * 1_000;
/// Longest engagement that is believed, in milliseconds.
const ENGAGED_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[serde(default)]
    site: Option<SiteId>,
    #[serde(default)]
    wclid: Option<String>,
    events: Vec<Value>,
}

/// One event as it is written in JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    site: Option<SiteId>,
    #[serde(default)]
    wclid: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    url: String,
    #[serde(default)]
    referrer: Option<String>,
    #[serde(default)]
    title: Option<String>,
    /// Milliseconds since it happened.
    #[serde(default)]
    ago: Option<f64>,
    #[serde(default)]
    view: Option<u64>,
    #[serde(default)]
    engaged_ms: Option<f64>,
    /// Percent.
    #[serde(default)]
    scroll: Option<f64>,
    #[serde(default)]
    selector: Option<String>,
    #[serde(default)]
    href: Option<String>,
    #[serde(default)]
    x: Option<f64>,
    #[serde(default)]
    y: Option<f64>,
    #[serde(default)]
    element_x: Option<f64>,
    #[serde(default)]
    element_y: Option<f64>,
    #[serde(default)]
    page_width: Option<f64>,
    #[serde(default)]
    page_height: Option<f64>,
    #[serde(default)]
    value: Option<Number>,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default, alias = "props")]
    properties: Map<String, Value>,
}

/// One event, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The site it names.
    pub site: SiteId,
    /// The token it brings.
    pub wclid: String,
    /// What kind of event it is.
    pub kind: EventKind,
    /// A custom event's name, else the kind's.
    pub name: String,
    /// The page.
    pub page: Page,
    /// What referred the visitor to the page.
    pub referrer: String,
    /// The page's title.
    pub title: String,
    /// Milliseconds since it happened.
    pub ago_ms: i64,
    /// Binds the events of one showing of a page together.
    pub view: u64,
    /// Milliseconds.
    pub engaged_ms: u32,
    /// Percent.
    pub scroll: u8,
    /// A selector of the element clicked.
    pub selector: String,
    /// Where an outbound link leads.
    pub href: String,
    /// Where the click was.
    pub pointer: Pointer,
    /// Millionths.
    pub value: i64,
    /// ISO 4217, or empty.
    pub currency: String,
    /// Sorted by name.
    pub properties: Vec<(String, String)>,
}

/// The parts of a page's address that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// As browsers send it: `https://shop.example`.
    pub origin: String,
    /// Without port.
    pub host: String,
    /// From the first slash.
    pub path: String,
    /// Without `?`.
    pub query: String,
}

impl Page {
    /// The parts of a web address; `None` for what is none.
    pub fn read(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        Some(Self {
            origin: url.origin().ascii_serialization(),
            host: url.host_str()?.to_owned(),
            path: url.path().to_owned(),
            query: url.query().unwrap_or("").to_owned(),
        })
    }
}

/// Reads the events of a body. What is wrong with an event is 422 and names the field.
///
/// # Errors
/// 400 for what is not JSON, 422 for a batch that is none.
pub fn read(body: &[u8]) -> Result<Vec<Result<Sent, Problem>>, Problem> {
    let value: Value = weir_edge::request::from_json(body)?;
    let (batch, listed) = match value {
        Value::Array(events) => (Batch { site: None, wclid: None, events }, true),
        Value::Object(object) if object.contains_key("events") => (from_value(Value::Object(object))?, true),
        single => (Batch { site: None, wclid: None, events: vec![single] }, false),
    };
    if batch.events.is_empty() || batch.events.len() > BATCH_MAX {
        return Err(Problem::field("events", format!("must hold 1 to {BATCH_MAX} events")));
    }
    let one = |(n, value)| {
        let place = |problem| if listed { within(&format!("events[{n}]"), problem) } else { problem };
        let mut written: Written = from_value(value).map_err(place)?;
        written.site = written.site.or(batch.site);
        written.wclid = written.wclid.take().or_else(|| batch.wclid.clone());
        check(written).map_err(|errors| place(Problem::fields(errors)))
    };
    Ok(batch.events.into_iter().enumerate().map(one).collect())
}

fn within(place: &str, mut problem: Problem) -> Problem {
    for error in &mut problem.errors {
        error.field =
            if error.field == "body" { place.to_owned() } else { format!("{place}.{}", error.field) };
    }
    problem
}

/// A length or time as a browser measures it: fractions are rounded, what is outside comes to the nearest
/// end.
fn measured(number: Option<f64>, max: u64) -> u64 {
    // A cast from a float never wraps: below 0 and not a number become 0.
    (number.unwrap_or(0.0).round() as u64).min(max)
}

fn check(written: Written) -> Result<Sent, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut wrong = |field: &str, detail: String| errors.push(FieldError { field: field.to_owned(), detail });
    let kind = kind(&written).unwrap_or_else(|(field, detail)| {
        wrong(field, detail);
        EventKind::Custom
    });
    let site = written.site.unwrap_or_else(|| {
        wrong("site", "is missing: the id of a registered site, `ste_…`".to_owned());
        SiteId::NONE
    });
    let page = Page::read(&written.url).unwrap_or_else(|| {
        wrong("url", "is not a web address".to_owned());
        Page::default()
    });
    let value = written.value.as_ref().map_or(Some(0), millionths).unwrap_or_else(|| {
        wrong("value", format!("must be a number between -{VALUE_MAX} and {VALUE_MAX}"));
        0
    });
    let currency = match written.currency.as_deref() {
        None | Some("") => String::new(),
        Some(text) => match text.parse::<Currency>() {
            Ok(currency) => currency.as_str().to_owned(),
            Err(_) => {
                wrong("currency", "is not an ISO 4217 currency".to_owned());
                String::new()
            }
        },
    };
    let mut properties = properties(&written.properties).unwrap_or_else(|(field, detail)| {
        wrong(&field, detail);
        Vec::new()
    });
    if value == 0 && written.value.is_some() {
        zero(&mut properties);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let length = |number: Option<f64>| measured(number, u32::MAX.into()) as u32;
    Ok(Sent {
        site,
        wclid: written.wclid.unwrap_or_default(),
        kind,
        name: match (kind, written.name) {
            (EventKind::Custom, Some(name)) => name,
            (kind, _) => kind.as_str().to_owned(),
        },
        page,
        referrer: written.referrer.unwrap_or_default(),
        title: written.title.unwrap_or_default(),
        ago_ms: measured(written.ago, AGO_MAX_MS) as i64,
        view: written.view.unwrap_or(0),
        engaged_ms: measured(written.engaged_ms, ENGAGED_MAX_MS) as u32,
        scroll: measured(written.scroll, 100) as u8,
        selector: written.selector.unwrap_or_default(),
        href: written.href.unwrap_or_default(),
        pointer: Pointer {
            x: length(written.x),
            y: length(written.y),
            element_x: length(written.element_x),
            element_y: length(written.element_y),
            page_width: length(written.page_width),
            page_height: length(written.page_height),
        },
        value,
        currency,
        properties,
    })
}

/// The kind that is named; without a `type` the name says it.
fn kind(written: &Written) -> Result<EventKind, (&'static str, String)> {
    let name = written.name.as_deref();
    let kind = match (written.kind.as_deref(), name) {
        (None, Some("pageview")) => EventKind::Pageview,
        (None | Some("custom" | "event"), Some(_)) => EventKind::Custom,
        (Some("custom" | "event"), None) => return Err(("name", "is missing".to_owned())),
        (Some(kind), _) => EventKind::from_name(kind)
            .filter(|kind| *kind != EventKind::Impression)
            .ok_or(("type", "must be pageview, engagement, click or custom".to_owned()))?,
        (None, None) => return Err(("type", "is missing: pageview, engagement, click or custom".to_owned())),
    };
    if kind == EventKind::Custom {
        let name = name.unwrap_or("");
        if name.is_empty() || name.len() > EVENT_NAME_MAX || name.chars().any(char::is_control) {
            let detail = format!("must have 1 to {EVENT_NAME_MAX} bytes and no control characters");
            return Err(("name", detail));
        }
        if EventKind::from_name(name).is_some() {
            return Err(("name", format!("`{name}` is what the script itself sends: choose another name")));
        }
    }
    Ok(kind)
}

/// A number in millionths, rounded once, half away from zero.
fn millionths(number: &Number) -> Option<i64> {
    let scaled = match number.as_i64() {
        Some(whole) => whole.checked_mul(VALUE_SCALE)?,
        None => {
            let scaled = number.as_f64()? * VALUE_SCALE as f64;
            (scaled.abs() <= (VALUE_MAX * VALUE_SCALE) as f64).then(|| scaled.round() as i64)?
        }
    };
    (scaled.abs() <= VALUE_MAX * VALUE_SCALE).then_some(scaled)
}

/// An event without a number and one whose number is 0 have the same `value`: the second has the property of that
/// name, which queries look at then. A page that has used up its properties measures no zeros.
fn zero(properties: &mut Vec<(String, String)>) {
    let place = properties.binary_search_by(|(name, _)| name.as_str().cmp(VALUE_PROPERTY));
    if let (Err(place), true) = (place, properties.len() < PROPERTIES_MAX) {
        properties.insert(place, (VALUE_PROPERTY.to_owned(), "0".to_owned()));
    }
}

/// The properties as texts, sorted by name; what is null or empty is none.
fn properties(given: &Map<String, Value>) -> Result<Vec<(String, String)>, (String, String)> {
    if given.len() > PROPERTIES_MAX {
        return Err(("properties".to_owned(), format!("holds more than {PROPERTIES_MAX} properties")));
    }
    let mut properties = Vec::with_capacity(given.len());
    for (name, value) in given {
        let field = || format!("properties.{name}");
        if name.is_empty() || name.len() > EVENT_NAME_MAX {
            let detail = format!("a property's name must have 1 to {EVENT_NAME_MAX} bytes");
            return Err(("properties".to_owned(), detail));
        }
        if value.is_array() || value.is_object() {
            return Err((field(), "must be a string, a number, true or false".to_owned()));
        }
        if let Some(text) = property_text(value) {
            properties.push((name.clone(), text.into_owned()));
        }
    }
    properties.sort_unstable();
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SITE: &str = "ste_0000000000007";

    /// All events, none of which is refused; else what is wrong with the first that is.
    fn read(body: &[u8]) -> Result<Vec<Sent>, Problem> {
        super::read(body)?.into_iter().collect()
    }

    fn fields(value: Value) -> Vec<String> {
        let problem = read(value.to_string().as_bytes()).unwrap_err();
        assert_eq!(problem.status, 422, "{problem:?}");
        problem.errors.into_iter().map(|error| error.field).collect()
    }

    fn one(mut more: Value) -> Result<Vec<Sent>, Problem> {
        let mut event =
            json!({"site": SITE, "type": "custom", "name": "signup", "url": "https://a.example/p?x=1#f"});
        event.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
        read(event.to_string().as_bytes())
    }

    #[test]
    fn one_event_a_list_and_a_batch_are_the_same() {
        let event =
            json!({"site": SITE, "type": "pageview", "url": "https://a.example/p?x=1#f", "title": "T"});
        let single = read(event.to_string().as_bytes()).unwrap();
        assert_eq!(read(json!([event]).to_string().as_bytes()).unwrap(), single);
        let bare = json!({"type": "pageview", "url": "https://a.example/p?x=1#f", "title": "T"});
        let batch = json!({"site": SITE, "wclid": "t", "events": [bare, bare]});
        let batch = read(batch.to_string().as_bytes()).unwrap();
        assert_eq!((batch.len(), batch[1].wclid.as_str()), (2, "t"));
        let page = &single[0].page;
        assert_eq!((page.origin.as_str(), page.host.as_str()), ("https://a.example", "a.example"));
        assert_eq!((page.path.as_str(), page.query.as_str()), ("/p", "x=1"));
    }

    #[test]
    fn without_a_type_the_name_says_it() {
        let kind = |event: Value| read(event.to_string().as_bytes()).map(|events| events[0].kind);
        let event = |name: &str| json!({"site": SITE, "name": name, "url": "https://a.example/"});
        assert_eq!(kind(event("pageview")).unwrap(), EventKind::Pageview);
        assert_eq!(kind(event("signup")).unwrap(), EventKind::Custom);
        assert_eq!(fields(json!({"site": SITE, "url": "https://a.example/"})), ["type"]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(fields(json!([])), ["events"]);
        assert_eq!(fields(json!(vec![json!({}); BATCH_MAX + 1])), ["events"]);
        assert_eq!(fields(json!([{"type": "pageview", "url": "nope"}])), ["events[0].site", "events[0].url"]);
        assert_eq!(fields(json!([7])), ["events[0]"]);
        assert_eq!(fields(json!({"site": SITE, "type": "pageview"})), ["url"]);
        assert_eq!(fields(json!({"site": SITE, "type": "pageview", "url": "ftp://a"})), ["url"]);
        let field = |more: Value| one(more).unwrap_err().errors[0].field.clone();
        assert_eq!(field(json!({"colour": 1})), "colour");
        assert_eq!(field(json!({"name": "click"})), "name");
        assert_eq!(field(json!({"name": "x".repeat(65)})), "name");
        assert_eq!(field(json!({"type": "impression"})), "type");
        assert_eq!(field(json!({"value": 1e30})), "value");
        assert_eq!(field(json!({"currency": "euro"})), "currency");
        assert_eq!(field(json!({"properties": {"a": [1]}})), "properties.a");
        let many: Map<String, Value> = (0..21).map(|n| (n.to_string(), json!(1))).collect();
        assert_eq!(field(json!({"properties": many})), "properties");
    }

    #[test]
    fn a_wrong_event_costs_the_others_nothing() {
        let good = json!({"type": "pageview", "url": "https://a.example/"});
        let batch = json!({"site": SITE, "events": [good, {"type": "pageview", "url": ""}, good]});
        let read = super::read(batch.to_string().as_bytes()).unwrap();
        assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(read[1].as_ref().unwrap_err().errors[0].field, "events[1].url");
    }

    #[test]
    fn values_are_exact_and_measures_are_bounded() {
        let event = |more: Value| one(more).unwrap().remove(0);
        assert_eq!(event(json!({"value": 19.99, "currency": "eur"})).value, 19_990_000);
        assert_eq!(event(json!({"value": -3})).value, -3_000_000);
        // Zero is a number, unlike nothing at all.
        let zero = ("value".to_owned(), "0".to_owned());
        assert_eq!(event(json!({"value": 0})).properties, [zero]);
        assert_eq!(event(json!({})).properties, []);
        let clicked = event(json!({"x": 10.6, "y": -4, "page_width": 1e300, "scroll": 250, "ago": 1e18}));
        assert_eq!((clicked.pointer.x, clicked.pointer.y, clicked.pointer.page_width), (11, 0, u32::MAX));
        assert_eq!((clicked.scroll, clicked.ago_ms), (100, AGO_MAX_MS as i64));
        let named = event(json!({"props": {"b": true, "a": 7, "none": null, "empty": ""}}));
        assert_eq!(named.properties, [("a".to_owned(), "7".to_owned()), ("b".to_owned(), "true".to_owned())]);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            Just(json!(SITE)),
            Just(json!("https://a.example/")),
            Just(json!("pageview")),
        ];
        let key = prop_oneof![
            proptest::sample::select(
                &["site", "type", "name", "url", "events", "value", "x", "ago", "properties", "view"][..]
            )
            .prop_map(str::to_owned),
            "[a-z]{1,3}",
        ];
        leaf.prop_recursive(3, 24, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = super::read(&bytes);
        }

        #[test]
        fn no_json_makes_it_panic(value in any_json()) {
            match super::read(value.to_string().as_bytes()) {
                Ok(events) => {
                    prop_assert!((1..=BATCH_MAX).contains(&events.len()));
                    prop_assert!(events.iter().flat_map(|event| event.as_ref().err()).all(|p| p.status == 422));
                }
                Err(problem) => prop_assert!(problem.status == 422 || problem.status == 400),
            }
        }
    }
}
