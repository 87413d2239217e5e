//! Conditions as callers write them. Every key of an object must hold at once; `all` and `any` take lists of
//! objects, `not` takes one. What is wrong is named by its path, and an unknown key by those that are known.

use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use weir_schemas::click::Device;
use weir_schemas::problem::FieldError;
use weir_schemas::time::Timestamp;

use super::condition::{Condition, Subject};
use super::hours::{self, Week};
use crate::enrich::continent;

/// The keys of a condition, in the order in which they are evaluated: what costs nothing first.
pub const KEYS: &[&str] = &[
    "returning",
    "after",
    "before",
    "weekday",
    "hours",
    "timezone",
    "ip",
    "referrer",
    "language",
    "query",
    "query.NAME",
    "country",
    "region",
    "city",
    "continent",
    "device",
    "os",
    "browser",
    "bot",
    "all",
    "any",
    "not",
];
const CONTINENTS: [&str; 7] = ["af", "an", "as", "eu", "na", "oc", "sa"];

/// Most values in one list.
const VALUES_MAX: usize = 500;
/// Longest value, in bytes.
const VALUE_MAX: usize = 255;
/// Most conditions in one rule.
const CONDITIONS_MAX: usize = 100;
/// How deep `all`, `any` and `not` may lie in each other.
const DEPTH_MAX: usize = 6;

/// Compiles one object; `path` is where it stands.
pub(super) fn condition(object: &Map<String, Value>, path: &str) -> Result<Condition, Vec<FieldError>> {
    let mut compiler = Compiler { errors: Vec::new(), conditions: 0 };
    let condition = compiler.object(object, path, 0);
    if compiler.conditions > CONDITIONS_MAX {
        compiler.errors.clear();
        compiler.error(path, format!("holds more than {CONDITIONS_MAX} conditions"));
    }
    if compiler.errors.is_empty() { Ok(condition) } else { Err(compiler.errors) }
}

struct Compiler {
    errors: Vec<FieldError>,
    conditions: usize,
}

impl Compiler {
    fn error(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.errors.push(FieldError { field: field.into(), detail: detail.into() });
    }

    fn object(&mut self, object: &Map<String, Value>, path: &str, depth: usize) -> Condition {
        if object.is_empty() {
            self.error(path, format!("must hold at least one of {}", KEYS.join(", ")));
        }
        let mut all = Vec::new();
        let mut keys: Vec<&String> = object.keys().collect();
        keys.sort_by_key(|key| rank(key));
        for key in keys {
            self.conditions += 1;
            if self.conditions > CONDITIONS_MAX {
                break;
            }
            // The three make one condition, which the first of them compiles.
            let calendar = matches!(key.as_str(), "weekday" | "hours" | "timezone");
            if calendar && all.iter().any(|done| matches!(done, Condition::Week(..))) {
                continue;
            }
            let field = format!("{path}.{key}");
            let compiled = if calendar {
                self.week(object, path)
            } else {
                self.key(key, &object[key.as_str()], &field, depth)
            };
            all.extend(compiled);
        }
        if all.len() == 1 { all.remove(0) } else { Condition::All(all.into()) }
    }

    fn key(&mut self, key: &str, value: &Value, field: &str, depth: usize) -> Option<Condition> {
        Some(match key {
            "all" => Condition::All(self.list(value, field, depth)?),
            "any" => Condition::Any(self.list(value, field, depth)?),
            "not" => Condition::Not(Box::new(self.nested(value, field, depth)?)),
            "country" => Condition::Text(Subject::Country, self.texts(value, field, country)?),
            "continent" => Condition::Text(Subject::Continent, self.texts(value, field, continent_code)?),
            "region" => Condition::Text(Subject::Region, self.texts(value, field, any_case)?),
            "city" => Condition::Text(Subject::City, self.texts(value, field, any_case)?),
            "os" => Condition::Text(Subject::Os, self.texts(value, field, system)?),
            "browser" => Condition::Text(Subject::Browser, self.texts(value, field, any_case)?),
            "device" => Condition::Device(self.values(value, field, device)?),
            "language" => Condition::Language(self.texts(value, field, language)?),
            "ip" => Condition::Address(self.values(value, field, |text| {
                text.parse().map_err(|error: weir_schemas::cidr::BadCidr| error.to_string())
            })?),
            "referrer" => match value {
                Value::Bool(wanted) => Condition::Referred(*wanted),
                list => Condition::Referrer(self.texts(list, field, host)?),
            },
            "bot" => Condition::Bot(self.flag(value, field)?),
            "returning" => Condition::Returning(self.flag(value, field)?),
            "after" => Condition::After(self.time(value, field)?),
            "before" => Condition::Before(self.time(value, field)?),
            "query" => self.parameters(value, field)?,
            key => match key.strip_prefix("query.").filter(|name| !name.is_empty()) {
                Some(name) => self.parameter(name, value, field)?,
                None => {
                    self.error(field, format!("unknown condition, expected one of {}", KEYS.join(", ")));
                    return None;
                }
            },
        })
    }

    fn list(&mut self, value: &Value, field: &str, depth: usize) -> Option<Box<[Condition]>> {
        let items = match value {
            Value::Array(items) if !items.is_empty() => items,
            _ => {
                self.error(field, "must be a list of conditions, such as [{\"country\": [\"DE\"]}]");
                return None;
            }
        };
        let nested =
            items.iter().enumerate().map(|(n, item)| self.nested(item, &format!("{field}[{n}]"), depth));
        // All of them are looked at, so that every fault is named at once.
        let nested: Vec<_> = nested.collect();
        nested.into_iter().collect()
    }

    fn nested(&mut self, value: &Value, field: &str, depth: usize) -> Option<Condition> {
        match value {
            Value::Object(_) if depth >= DEPTH_MAX => {
                self.error(field, format!("lies deeper than {DEPTH_MAX} conditions in each other"));
                None
            }
            Value::Object(object) => Some(self.object(object, field, depth + 1)),
            _ => {
                self.error(field, "must be a condition, such as {\"country\": [\"DE\"]}");
                None
            }
        }
    }

    fn parameters(&mut self, value: &Value, field: &str) -> Option<Condition> {
        let Value::Object(parameters) = value else {
            self.error(field, "must name parameters, such as {\"source\": [\"mail\"]}");
            return None;
        };
        if parameters.is_empty() {
            self.error(field, "must name at least one parameter");
        }
        self.conditions += parameters.len();
        let all =
            parameters.iter().map(|(name, value)| self.parameter(name, value, &format!("{field}.{name}")));
        let all: Vec<_> = all.collect();
        Some(Condition::All(all.into_iter().collect::<Option<_>>()?))
    }

    fn parameter(&mut self, name: &str, value: &Value, field: &str) -> Option<Condition> {
        Some(match value {
            Value::Bool(wanted) => Condition::HasParameter(name.into(), *wanted),
            list => Condition::Parameter(name.into(), self.texts(list, field, |text| Ok(text.into()))?),
        })
    }

    fn week(&mut self, object: &Map<String, Value>, path: &str) -> Option<Condition> {
        let found = self.errors.len();
        let mut days = Vec::new();
        if let Some(value) = object.get("weekday") {
            let known = "must be a weekday: mon, tue, wed, thu, fri, sat or sun";
            let read = |text: &str| hours::weekday(text).ok_or_else(|| known.to_owned());
            days = self.values(value, &format!("{path}.weekday"), read).unwrap_or_default().into_vec();
        }
        let mut spans = Vec::new();
        if let Some(value) = object.get("hours") {
            let shape = "must be hours such as 09:00-17:30 or 22:00-06:00";
            let read = |text: &str| hours::interval(text).ok_or_else(|| shape.to_owned());
            spans = self.values(value, &format!("{path}.hours"), read).unwrap_or_default().into_vec();
        }
        let timezone = match object.get("timezone") {
            None => Some(TimeZone::UTC),
            Some(Value::String(name)) => TimeZone::get(name).ok(),
            Some(_) => None,
        };
        if timezone.is_none() {
            self.error(format!("{path}.timezone"), "must be an IANA time zone such as Europe/Berlin");
        }
        if !object.contains_key("weekday") && !object.contains_key("hours") {
            self.error(format!("{path}.timezone"), "says where `weekday` and `hours` are: give one of them");
        }
        if self.errors.len() > found {
            // Told once: the other two of the three must not tell it again.
            return Some(Condition::Week(Week::new(&[], Vec::new()), TimeZone::UTC));
        }
        Some(Condition::Week(Week::new(&days, spans), timezone?))
    }

    fn flag(&mut self, value: &Value, field: &str) -> Option<bool> {
        let flag = value.as_bool();
        if flag.is_none() {
            self.error(field, "must be true or false");
        }
        flag
    }

    fn time(&mut self, value: &Value, field: &str) -> Option<Timestamp> {
        let time = value.as_str().and_then(|text| Timestamp::parse(text).ok());
        if time.is_none() {
            self.error(field, "must be an RFC 3339 time such as 2026-11-01T00:00:00Z");
        }
        time
    }

    fn texts(
        &mut self,
        value: &Value,
        field: &str,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Option<Box<[Box<str>]>> {
        self.values(value, field, |text| read(text).map(String::into_boxed_str))
    }

    /// A text or a list of them, each read by `read`.
    fn values<T>(
        &mut self,
        value: &Value,
        field: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Box<[T]>> {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        if items.is_empty() || items.len() > VALUES_MAX {
            self.error(field, format!("must hold 1 to {VALUES_MAX} values"));
            return None;
        }
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let read = match item.as_str() {
                Some(text) if text.len() <= VALUE_MAX => read(text).map_err(|why| format!("`{text}` {why}")),
                Some(_) => Err(format!("holds a value longer than {VALUE_MAX} bytes")),
                None => Err("must be a text or a list of texts".to_owned()),
            };
            match read {
                Ok(value) => values.push(value),
                Err(why) => {
                    self.error(field, why);
                    return None;
                }
            }
        }
        Some(values.into())
    }
}

fn rank(key: &str) -> usize {
    let key = if key.starts_with("query.") { "query.NAME" } else { key };
    KEYS.iter().position(|known| *known == key).unwrap_or(KEYS.len())
}

fn any_case(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.trim().to_lowercase()) }
}

fn country(text: &str) -> Result<String, String> {
    if continent(&text.to_ascii_uppercase()).is_empty() {
        return Err("is no country: two letters of ISO 3166-1, such as DE".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

fn continent_code(text: &str) -> Result<String, String> {
    let code = text.to_ascii_lowercase();
    if CONTINENTS.contains(&code.as_str()) {
        return Ok(code);
    }
    Err("is no continent: AF, AN, AS, EU, NA, OC or SA".to_owned())
}

/// uap-core's family for what its maker now calls macOS.
fn system(text: &str) -> Result<String, String> {
    let family = any_case(text)?;
    Ok(if family == "macos" { "mac os x".to_owned() } else { family })
}

fn device(text: &str) -> Result<Device, String> {
    let known = || Device::ALL.iter().map(|device| device.as_str()).collect::<Vec<_>>().join(", ");
    let found = Device::ALL.iter().find(|device| device.as_str().eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| format!("is no device: {}", known()))
}

fn language(text: &str) -> Result<String, String> {
    let tag = text.replace('_', "-").to_ascii_lowercase();
    let first = tag.split('-').next().unwrap_or_default();
    let sane = (2..=3).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic());
    if sane { Ok(tag) } else { Err("is no language: a tag such as de or pt-BR".to_owned()) }
}

fn host(text: &str) -> Result<String, String> {
    let why = || "is no host name such as news.example".to_owned();
    match url::Host::parse(text.trim_end_matches('.')).map_err(|_| why())? {
        url::Host::Domain(domain) => Ok(domain.strip_prefix("www.").unwrap_or(&domain).to_owned()),
        address => Ok(address.to_string()),
    }
}
