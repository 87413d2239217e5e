//! Filters, written as nested arrays: `["and", [["is","device",["mobile"]], ["not", ["is","bot",[true]]]]]`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};

use super::{Dimension, Metric};

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparison {
    /// Equals one of the values.
    Is,
    /// Equals none of the values.
    IsNot,
    /// Holds one of the values as a part, in any case.
    Contains,
    /// Matches one of the RE2 patterns.
    Matches,
    /// Greater than the value.
    Gt,
    /// Less than the value.
    Lt,
}

impl Comparison {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("is", Self::Is),
        ("is_not", Self::IsNot),
        ("contains", Self::Contains),
        ("matches", Self::Matches),
        ("gt", Self::Gt),
        ("lt", Self::Lt),
    ];

    /// The name in the contract.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, value)| *value == self).expect("every comparison has a name").0
    }
}

/// A condition on facts.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All hold.
    And(Vec<Filter>),
    /// One holds.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A column against values (strings, numbers, booleans).
    Where(Comparison, Dimension, Vec<Value>),
    /// A metric of the row against a number: `gt` and `lt` on metrics select rows after grouping.
    Having(Comparison, Metric, f64),
}

/// How deep filters may nest.
pub const DEPTH_MAX: usize = 8;
/// How many values one comparison may list.
pub const VALUES_MAX: usize = 1_000;

const SHAPE: &str = "a filter is [\"is\"|\"is_not\"|\"contains\"|\"matches\"|\"gt\"|\"lt\", dimension, [values]], \
                     [\"and\"|\"or\", [filters]] or [\"not\", filter]";

impl Filter {
    fn parse(value: &Value, depth: usize) -> Result<Self, String> {
        if depth > DEPTH_MAX {
            return Err(format!("filters nest at most {DEPTH_MAX} deep"));
        }
        let items = value.as_array().ok_or(SHAPE)?;
        let name = items.first().and_then(Value::as_str).ok_or(SHAPE)?;
        match (name, &items[1..]) {
            ("and" | "or", [Value::Array(parts)]) => {
                let parts =
                    parts.iter().map(|part| Self::parse(part, depth + 1)).collect::<Result<Vec<_>, _>>()?;
                if parts.is_empty() {
                    return Err(format!("`{name}` needs at least one filter"));
                }
                Ok(if name == "and" { Self::And(parts) } else { Self::Or(parts) })
            }
            ("not", [part]) => Ok(Self::Not(Box::new(Self::parse(part, depth + 1)?))),
            (_, [Value::String(column), values]) => {
                let comparison = Comparison::NAMES
                    .iter()
                    .find(|(known, _)| *known == name)
                    .ok_or_else(|| format!("`{name}` is not a filter; {SHAPE}"))?
                    .1;
                let values = match values {
                    Value::Array(values) => values.clone(),
                    single => vec![single.clone()],
                };
                Self::leaf(comparison, column, values)
            }
            _ => Err(SHAPE.to_owned()),
        }
    }

    fn leaf(comparison: Comparison, column: &str, values: Vec<Value>) -> Result<Self, String> {
        if values.is_empty() || values.len() > VALUES_MAX {
            return Err(format!("`{column}` needs 1 to {VALUES_MAX} values"));
        }
        if values.iter().any(|v| !(v.is_string() || v.is_number() || v.is_boolean())) {
            return Err(format!("`{column}`: values are strings, numbers or booleans"));
        }
        let ordered = matches!(comparison, Comparison::Gt | Comparison::Lt);
        if ordered && values.len() != 1 {
            return Err(format!("`{}` on `{column}` takes one value", comparison.as_str()));
        }
        if let Some(metric) = Metric::from_name(column) {
            if !ordered {
                return Err(format!("the metric `{column}` can be filtered by gt and lt"));
            }
            let number = values[0].as_f64().ok_or_else(|| format!("`{column}` is compared with a number"))?;
            return Ok(Self::Having(comparison, metric, number));
        }
        let dimension = Dimension::from_name(column)
            .filter(|dimension| !matches!(dimension, Dimension::Time(_)))
            .ok_or_else(|| {
                format!("`{column}` is not a dimension to filter by; allowed: {}", Dimension::names())
            })?;
        Ok(Self::Where(comparison, dimension, values))
    }

    fn to_value(&self) -> Value {
        match self {
            Self::And(parts) => json!(["and", parts.iter().map(Self::to_value).collect::<Vec<_>>()]),
            Self::Or(parts) => json!(["or", parts.iter().map(Self::to_value).collect::<Vec<_>>()]),
            Self::Not(part) => json!(["not", part.to_value()]),
            Self::Where(comparison, dimension, values) => {
                json!([comparison.as_str(), dimension.name(), values])
            }
            Self::Having(comparison, metric, number) => {
                json!([comparison.as_str(), metric.as_str(), [number]])
            }
        }
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::parse(&value, 1).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_comes_back_as_it_was() {
        let text =
            r#"["and",[["is","device",["mobile"]],["not",["is","bot",[true]]],["gt","clicks",[5.0]]]]"#;
        let filter: Filter = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&filter).unwrap(), text);
    }

    #[test]
    fn errors_name_what_is_allowed() {
        let error = |text: &str| serde_json::from_str::<Filter>(text).unwrap_err().to_string();
        assert!(error(r#"["is","colour",["red"]]"#).contains("country"));
        assert!(error(r#"["like","country",["DE"]]"#).contains("contains"));
        assert!(error(r#"["is","country",[]]"#).contains("1 to 1000"));
        assert!(error(r#"["is","time:day",["x"]]"#).contains("not a dimension to filter by"));
        assert!(error(r#"["is","clicks",[1]]"#).contains("gt and lt"));
        let deep = format!("{}[\"is\",\"bot\",[true]]{}", "[\"not\",".repeat(9), "]".repeat(9));
        assert!(error(&deep).contains("8 deep"));
    }
}
