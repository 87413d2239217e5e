//! Rules: the first whose condition holds says where a visit goes. Compiled once when the link changes
//! ([`compile`]), evaluated on the redirect; a link without rules pays nothing, one with rules pays for what
//! they ask ([`Facts`]).

use serde::Serialize;
use weir_schemas::link::Rule;
use weir_schemas::problem::FieldError;

use super::facts::Facts;
use super::prepared::Pieces;
use condition::Condition;

mod compile;
mod condition;
mod hours;

pub use compile::KEYS;

/// Most rules of one link.
pub const RULES_MAX: usize = 50;

/// A link's rules, ready to answer.
#[derive(Debug, Default)]
pub struct Rules(Box<[Compiled]>);

#[derive(Debug)]
struct Compiled {
    condition: Condition,
    destination: Pieces,
}

impl Rules {
    /// Compiles rules that were checked when the link was written. One that this version does not understand
    /// is left out and logged: a redirect must not fail for it.
    pub(super) fn new(rules: &[Rule], utm: &str) -> Self {
        let compiled = rules.iter().enumerate().filter_map(|(number, rule)| {
            match compile::condition(&rule.condition, &format!("rules[{number}].if")) {
                Ok(condition) => {
                    Some(Compiled { condition, destination: Pieces::new(&rule.destination, utm) })
                }
                Err(errors) => {
                    tracing::error!(?errors, "a stored rule is not understood and is left out");
                    None
                }
            }
        });
        Self(compiled.collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the first rule that holds leads.
    pub fn decide(&self, facts: &Facts<'_>) -> Option<&Pieces> {
        self.0.iter().find(|rule| rule.condition.holds(facts)).map(|rule| &rule.destination)
    }
}

/// Every fault of the conditions of `rules`, named by its path: `rules[0].if.country`.
pub fn check(rules: &[Rule]) -> Vec<FieldError> {
    if rules.len() > RULES_MAX {
        let detail = format!("holds more than {RULES_MAX} rules");
        return vec![FieldError { field: "rules".to_owned(), detail }];
    }
    let paths = rules.iter().enumerate().map(|(number, rule)| (rule, format!("rules[{number}].if")));
    paths.filter_map(|(rule, path)| compile::condition(&rule.condition, &path).err()).flatten().collect()
}

/// One key of a rule and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// As the rule has it.
    pub key: String,
    /// Whether a visit meets it.
    pub holds: bool,
}

/// Each key of a rule by itself, for people who ask why. A rule that is not understood holds for nobody.
pub fn explain(rule: &Rule, facts: &Facts<'_>) -> Vec<Held> {
    const TIMEZONE: &str = "timezone";
    let alone = |key: &String, value: &serde_json::Value| {
        let mut object = serde_json::Map::new();
        object.insert(key.clone(), value.clone());
        // The clock that hours and weekdays are read from is no condition of its own.
        if let Some(zone) = rule.condition.get(TIMEZONE)
            && ["hours", "weekday"].contains(&key.as_str())
        {
            object.insert(TIMEZONE.to_owned(), zone.clone());
        }
        let holds = compile::condition(&object, key).is_ok_and(|condition| condition.holds(facts));
        Held { key: key.clone(), holds }
    };
    rule.condition.iter().filter(|(key, _)| *key != TIMEZONE).map(|(key, value)| alone(key, value)).collect()
}

#[cfg(test)]
mod tests;
