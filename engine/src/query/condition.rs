//! Filters as they are evaluated: checked, typed, in a normal form, over clicks, browser events and effects.
//!
//! A fact that does not have a column is not restricted by a filter on it, wherever the filter stands in the
//! tree: clicks have no event, provider, currency and properties, and effects that concern no money (leads), as
//! browser events, have no currency. So `currency = EUR` chooses which money is counted and leaves clicks and
//! leads as they are.

use weir_schemas::click::{Click, Verdict};
use weir_schemas::effect::Effect;
use weir_schemas::event::{Event, property_number, property_text};
use weir_schemas::ids::{LinkId, PartnerId, ProgramId};
use weir_schemas::money::Currency;
use weir_schemas::query::{Comparison, Dimension, Field, Filter};

/// A condition in normal form: lists of values are sorted and hold no value twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// The text is one of these.
    TextIn(Field, Vec<String>),
    /// One of these is part of the text, ASCII letters in any case.
    TextContains(Field, Vec<String>),
    /// One of these RE2 patterns matches the text.
    TextMatches(Field, Vec<String>),
    /// The number (an id, an autonomous system) is one of these.
    NumberIn(Field, Vec<u64>),
    /// The number is greater.
    Greater(Field, u64),
    /// The number is less.
    Less(Field, u64),
    /// A robot, or not.
    Bot(bool),
    /// The property is one of these; one that is not there is the empty text.
    PropertyIn(String, Vec<String>),
    /// One of these is part of the property, ASCII letters in any case.
    PropertyContains(String, Vec<String>),
    /// One of these RE2 patterns matches the property.
    PropertyMatches(String, Vec<String>),
    /// The property is a number, and greater; in millionths.
    PropertyGreater(String, i64),
    /// The property is a number, and less.
    PropertyLess(String, i64),
}

/// How a field's values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    Text,
    Id,
    Number,
    Flag,
}

pub(super) const fn kind(field: Field) -> FieldKind {
    match field {
        Field::Link | Field::Partner | Field::Program => FieldKind::Id,
        Field::Asn => FieldKind::Number,
        Field::Bot => FieldKind::Flag,
        _ => FieldKind::Text,
    }
}

/// Fields that clicks do not have.
pub(super) const fn of_effects_only(field: Field) -> bool {
    matches!(field, Field::Event | Field::Provider | Field::Currency)
}

/// The printed id of a field, `None` for "none".
pub(super) fn print_id(field: Field, id: u64) -> Option<String> {
    match field {
        Field::Link => LinkId(id).some().map(|id| id.to_string()),
        Field::Partner => PartnerId(id).some().map(|id| id.to_string()),
        _ => ProgramId(id).some().map(|id| id.to_string()),
    }
}

fn parse_id(field: Field, text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    match field {
        Field::Link => text.parse::<LinkId>().map(|id| id.0).map_err(|e| e.to_string()),
        Field::Partner => text.parse::<PartnerId>().map(|id| id.0).map_err(|e| e.to_string()),
        _ => text.parse::<ProgramId>().map(|id| id.0).map_err(|e| e.to_string()),
    }
}

/// Checks a filter that has no conditions on metrics.
pub(super) fn compile(filter: &Filter) -> Result<Condition, String> {
    let all = |parts: &[Filter]| parts.iter().map(compile).collect::<Result<Vec<_>, _>>();
    match filter {
        Filter::And(parts) => Ok(Condition::All(all(parts)?)),
        Filter::Or(parts) => Ok(Condition::Any(all(parts)?)),
        Filter::Not(part) => Ok(Condition::Not(Box::new(compile(part)?))),
        Filter::Having(_, metric, _) => Err(format!(
            "`{}` is a metric: it selects rows, so it may only stand at the top or inside top-level `and`s",
            metric.as_str()
        )),
        Filter::Where(comparison, Dimension::Field(field), values) => leaf(*comparison, *field, values),
        Filter::Where(comparison, Dimension::Property(name), values) => property(*comparison, name, values),
        Filter::Where(_, Dimension::Time(_), _) => Err("time is filtered by `date_range`".to_owned()),
    }
}

fn property(comparison: Comparison, name: &str, values: &[serde_json::Value]) -> Result<Condition, String> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) if text.contains('\0') => {
            Err(format!("`property:{name}`: a value has a NUL character"))
        }
        serde_json::Value::String(text) => Ok(text.clone()),
        // As events keep them.
        other => Ok(property_text(other).unwrap_or_default().into_owned()),
    };
    let texts = sorted(values.iter().map(text).collect::<Result<Vec<_>, _>>()?);
    let name = name.to_owned();
    match comparison {
        Comparison::Is => Ok(Condition::PropertyIn(name, texts)),
        Comparison::IsNot => Ok(Condition::Not(Box::new(Condition::PropertyIn(name, texts)))),
        Comparison::Contains => Ok(Condition::PropertyContains(name, texts)),
        Comparison::Matches => Ok(Condition::PropertyMatches(name, texts)),
        Comparison::Gt | Comparison::Lt => {
            let number = texts.first().and_then(|text| property_number(text));
            let number = number.ok_or_else(|| {
                format!("`property:{name}` is compared by `{}` with a decimal number", comparison.as_str())
            })?;
            Ok(match comparison {
                Comparison::Gt => Condition::PropertyGreater(name, number),
                _ => Condition::PropertyLess(name, number),
            })
        }
    }
}

fn leaf(comparison: Comparison, field: Field, values: &[serde_json::Value]) -> Result<Condition, String> {
    let name = field.as_str();
    let condition = match (kind(field), comparison) {
        (FieldKind::Text, Comparison::Is | Comparison::IsNot) => {
            Condition::TextIn(field, texts(field, values)?)
        }
        (FieldKind::Text, Comparison::Contains) => Condition::TextContains(field, texts(field, values)?),
        (FieldKind::Text, Comparison::Matches) => Condition::TextMatches(field, texts(field, values)?),
        (FieldKind::Id, Comparison::Is | Comparison::IsNot) => {
            let ids = texts(field, values)?;
            let ids = ids.iter().map(|text| parse_id(field, text)).collect::<Result<Vec<_>, _>>();
            Condition::NumberIn(field, sorted(ids.map_err(|e| format!("`{name}`: {e}"))?))
        }
        (FieldKind::Number, Comparison::Is | Comparison::IsNot) => {
            Condition::NumberIn(field, numbers(field, values)?)
        }
        (FieldKind::Number, Comparison::Gt) => Condition::Greater(field, numbers(field, values)?[0]),
        (FieldKind::Number, Comparison::Lt) => Condition::Less(field, numbers(field, values)?[0]),
        (FieldKind::Flag, Comparison::Is | Comparison::IsNot) => {
            let flags: Option<Vec<bool>> = values.iter().map(serde_json::Value::as_bool).collect();
            let flags = flags.ok_or_else(|| format!("`{name}` is compared with true or false"))?;
            match (flags.contains(&true), flags.contains(&false)) {
                (true, true) => Condition::Any(vec![Condition::Bot(false), Condition::Bot(true)]),
                (robots, _) => Condition::Bot(robots),
            }
        }
        (_, comparison) => {
            return Err(format!("`{name}` cannot be compared by `{}`", comparison.as_str()));
        }
    };
    Ok(match comparison {
        Comparison::IsNot => Condition::Not(Box::new(condition)),
        _ => condition,
    })
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values.dedup();
    values
}

fn texts(field: Field, values: &[serde_json::Value]) -> Result<Vec<String>, String> {
    let text = |value: &serde_json::Value| {
        let text = value.as_str().ok_or_else(|| format!("`{}` is compared with strings", field.as_str()))?;
        if text.contains('\0') {
            return Err(format!("`{}`: a value has a NUL character", field.as_str()));
        }
        // Providers write `eur`; stored are capitals.
        Ok(if field == Field::Currency { text.to_ascii_uppercase() } else { text.to_owned() })
    };
    values.iter().map(text).collect::<Result<Vec<_>, _>>().map(sorted)
}

fn numbers(field: Field, values: &[serde_json::Value]) -> Result<Vec<u64>, String> {
    let number = |value: &serde_json::Value| {
        value.as_u64().ok_or_else(|| format!("`{}` is compared with whole numbers", field.as_str()))
    };
    values.iter().map(number).collect::<Result<Vec<_>, _>>().map(sorted)
}

impl Condition {
    /// The same as clicks are restricted by it; `None` where nothing is left.
    pub(super) fn of_clicks(&self) -> Option<Self> {
        self.with_only(&|leaf| {
            !leaf.speaks_of_properties() && leaf.field().is_none_or(|f| !of_effects_only(f))
        })
    }

    /// The same as what concerns no money is restricted by it; `None` where nothing is left.
    pub(super) fn of_unpaid(&self) -> Option<Self> {
        self.with_only(&|leaf| leaf.field() != Some(Field::Currency))
    }

    fn speaks_of_properties(&self) -> bool {
        matches!(
            self,
            Self::PropertyIn(..)
                | Self::PropertyContains(..)
                | Self::PropertyMatches(..)
                | Self::PropertyGreater(..)
                | Self::PropertyLess(..)
        )
    }

    /// Only the leaves that `has` accepts.
    fn with_only(&self, has: &dyn Fn(&Self) -> bool) -> Option<Self> {
        let keep = |parts: &[Self]| parts.iter().filter_map(|part| part.with_only(has)).collect::<Vec<_>>();
        match self {
            Self::All(parts) => {
                let kept = keep(parts);
                (!kept.is_empty()).then_some(Self::All(kept))
            }
            Self::Any(parts) => {
                let kept = keep(parts);
                (!kept.is_empty()).then_some(Self::Any(kept))
            }
            Self::Not(part) => part.with_only(has).map(|part| Self::Not(Box::new(part))),
            leaf => has(leaf).then(|| leaf.clone()),
        }
    }

    fn field(&self) -> Option<Field> {
        match self {
            Self::TextIn(field, _)
            | Self::TextContains(field, _)
            | Self::TextMatches(field, _)
            | Self::NumberIn(field, _)
            | Self::Greater(field, _)
            | Self::Less(field, _) => Some(*field),
            Self::Bot(_) => Some(Field::Bot),
            Self::All(_) | Self::Any(_) | Self::Not(_) => None,
            Self::PropertyIn(..)
            | Self::PropertyContains(..)
            | Self::PropertyMatches(..)
            | Self::PropertyGreater(..)
            | Self::PropertyLess(..) => None,
        }
    }

    /// The fields it speaks of; `None` where it speaks of properties.
    pub(super) fn fields(&self) -> Option<Vec<Field>> {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                let fields: Option<Vec<Vec<Field>>> = parts.iter().map(Self::fields).collect();
                Some(fields?.concat())
            }
            Self::Not(part) => part.fields(),
            leaf => leaf.field().map(|field| vec![field]),
        }
    }

    /// Whether any leaf satisfies `test`.
    pub(super) fn any_leaf(&self, test: &dyn Fn(&Self) -> bool) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.any_leaf(test)),
            Self::Not(part) => part.any_leaf(test),
            leaf => test(leaf),
        }
    }

    /// Whether a filter on `field` occurs.
    pub(super) fn mentions(&self, field: Field) -> bool {
        self.any_leaf(&|leaf| leaf.field() == Some(field))
    }

    /// Whether memory can say exactly what SQL says: not for patterns, nor for letters beyond ASCII in any
    /// case, of which libraries differ.
    pub(super) fn is_evaluable(&self) -> bool {
        !self.any_leaf(&|leaf| match leaf {
            Self::TextMatches(..) | Self::PropertyMatches(..) => true,
            Self::TextContains(_, parts) | Self::PropertyContains(_, parts) => {
                !parts.iter().all(|part| part.is_ascii())
            }
            _ => false,
        })
    }

    /// Whether a fact satisfies it.
    pub(super) fn holds(&self, row: &Row<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(row)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(row)),
            Self::Not(part) => !part.holds(row),
            Self::TextIn(field, values) => {
                let text = row.text(*field);
                values.binary_search_by(|value| value.as_str().cmp(text)).is_ok()
            }
            Self::TextContains(field, parts) => {
                parts.iter().any(|part| contains_in_any_case(row.text(*field), part))
            }
            Self::PropertyIn(name, values) => {
                let text = row.property(name);
                values.binary_search_by(|value| value.as_str().cmp(text)).is_ok()
            }
            Self::PropertyContains(name, parts) => {
                parts.iter().any(|part| contains_in_any_case(row.property(name), part))
            }
            Self::TextMatches(..) | Self::PropertyMatches(..) => {
                unreachable!("plans with patterns are not evaluated in memory")
            }
            Self::NumberIn(field, values) => values.binary_search(&row.number(*field)).is_ok(),
            Self::Greater(field, value) => row.number(*field) > *value,
            Self::Less(field, value) => row.number(*field) < *value,
            Self::Bot(robot) => row.bot() == *robot,
            Self::PropertyGreater(name, value) => {
                property_number(row.property(name)).is_some_and(|number| number > *value)
            }
            Self::PropertyLess(name, value) => {
                property_number(row.property(name)).is_some_and(|number| number < *value)
            }
        }
    }
}

fn contains_in_any_case(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// A fact as filters and dimensions see it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row<'a> {
    Click(&'a Click<'a>),
    Event(&'a Event<'a>),
    Effect(&'a Effect),
}

/// The provider of browser events, in queries.
pub(super) const BROWSER: &str = "browser";

impl<'a> Row<'a> {
    /// The text of a text field; empty where the fact has none.
    #[inline]
    pub(super) fn text(&self, field: Field) -> &'a str {
        let dims = match *self {
            Self::Click(click) => match field {
                Field::Verdict => return click.verdict.as_str(),
                Field::Event | Field::Provider | Field::Currency => return "",
                _ => &click.dims,
            },
            Self::Event(event) => match field {
                Field::Verdict if event.bot => return Verdict::Bot.as_str(),
                Field::Verdict => return Verdict::Counted.as_str(),
                Field::Event => return event.told.name,
                Field::Provider => return BROWSER,
                Field::Currency => return "",
                _ => &event.dims,
            },
            Self::Effect(effect) => match field {
                // Only counted clicks earn a credit.
                Field::Verdict if effect.click.is_some() => return Verdict::Counted.as_str(),
                Field::Verdict => return "",
                Field::Event => return &effect.event,
                Field::Provider => return &effect.provider,
                Field::Currency => return effect.currency.as_str(),
                _ => &effect.dims,
            },
        };
        match field {
            Field::Domain => &dims.domain,
            Field::Country => &dims.country,
            Field::Region => &dims.region,
            Field::City => &dims.city,
            Field::Continent => &dims.continent,
            Field::Device => &dims.device,
            Field::Browser => &dims.browser,
            Field::Os => &dims.os,
            Field::Referrer => &dims.referrer,
            Field::Medium => &dims.medium,
            Field::UtmSource => &dims.utm_source,
            Field::UtmMedium => &dims.utm_medium,
            Field::UtmCampaign => &dims.utm_campaign,
            Field::UtmTerm => &dims.utm_term,
            Field::UtmContent => &dims.utm_content,
            Field::Variant => &dims.variant,
            Field::Language => &dims.language,
            Field::Signal => &dims.signal,
            Field::Verdict | Field::Event | Field::Provider | Field::Currency => {
                unreachable!("returned above")
            }
            Field::Link | Field::Partner | Field::Program | Field::Asn | Field::Bot => {
                unreachable!("not a text field")
            }
        }
    }

    /// The number of an id or number field, 0 where the fact has none.
    #[inline]
    pub(super) fn number(&self, field: Field) -> u64 {
        match (*self, field) {
            (Self::Click(click), Field::Link) => click.link.0,
            (Self::Click(click), Field::Partner) => click.partner.0,
            (Self::Click(click), Field::Program) => click.program.0,
            (Self::Click(click), Field::Asn) => u64::from(click.asn),
            (Self::Event(event), Field::Link) => event.told.link.0,
            (Self::Event(event), Field::Partner) => event.partner.0,
            (Self::Event(event), Field::Program) => event.program.0,
            (Self::Event(event), Field::Asn) => u64::from(event.asn),
            (Self::Effect(effect), Field::Asn) => u64::from(effect.asn),
            (Self::Effect(effect), Field::Link) => effect.link.0,
            (Self::Effect(effect), Field::Partner) => effect.partner.0,
            (Self::Effect(effect), Field::Program) => effect.program.0,
            _ => unreachable!("not a number field"),
        }
    }

    /// A property's text; empty where the fact has none of that name.
    #[inline]
    pub(super) fn property(&self, name: &str) -> &'a str {
        match *self {
            Self::Click(_) => "",
            Self::Event(event) => event.told.property(name),
            Self::Effect(effect) => effect.properties.get(name).map_or("", String::as_str),
        }
    }

    /// Whether a robot came; robots' clicks earn no credit.
    #[inline]
    pub(super) fn bot(&self) -> bool {
        match self {
            Self::Click(click) => click.bot,
            Self::Event(event) => event.bot,
            Self::Effect(_) => false,
        }
    }

    /// Whether an effect concerns money.
    pub(super) fn has_currency(&self) -> bool {
        matches!(self, Self::Effect(effect) if effect.currency != Currency::NONE)
    }
}

#[cfg(test)]
mod tests;
