//! The workspaces' exchange rates in memory, kept current by the books. Reports read them; nothing else does.

use std::collections::HashMap;
use std::sync::Arc;

use weir_schemas::fx::{Day, Factor, Rate};
use weir_schemas::ids::{Sequence, WorkspaceId};
use weir_schemas::money::Currency;

/// A rate holds until the next one, for at most so many days: banks publish none on Saturdays, Sundays and holidays.
pub const CARRY_DAYS_MAX: i32 = 7;

/// A day's rate of a currency, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// The day it was published for.
    pub day: Day,
    /// The price of one unit of the base.
    pub rate: Rate,
    /// An index into the table's sources.
    pub source: u16,
}

/// A workspace's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FxTable {
    /// The fact that changed it last.
    pub version: Sequence,
    /// Whose one unit the rates are prices of; `None` in an empty table.
    pub base: Option<Currency>,
    /// What the workspace reports in.
    pub reporting: Currency,
    /// Who the rates are from.
    pub sources: Vec<String>,
    /// By currency, the oldest first.
    pub rates: HashMap<Currency, Vec<Quoted>>,
}

/// How a day's amounts are converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// What minor units are multiplied by.
    pub factor: Factor,
    /// The same between whole units, as people say it.
    pub told: String,
    /// The day of the older of both rates.
    pub published: Day,
    /// Who they are from.
    pub source: String,
}

impl FxTable {
    /// What holds for a currency on a day.
    fn quote(&self, currency: Currency, day: Day) -> Option<Quoted> {
        if self.base == Some(currency) {
            return Some(Quoted { day, rate: Rate::ONE, source: u16::MAX });
        }
        let rates = self.rates.get(&currency)?;
        let after = rates.partition_point(|quoted| quoted.day <= day);
        let last = *rates.get(after.checked_sub(1)?)?;
        (day.0 - last.day.0 <= CARRY_DAYS_MAX).then_some(last)
    }

    /// What amounts of a day are multiplied by. `None` where a rate is missing.
    pub fn factor(&self, from: Currency, into: Currency, day: Day) -> Option<Factor> {
        if from == into {
            return Some(Factor::ONE);
        }
        let (a, b) = (self.quote(from, day)?, self.quote(into, day)?);
        Factor::between((from, a.rate), (into, b.rate))
    }

    /// The same with its story; `None` where a rate is missing, and for a currency into itself, which needs none.
    pub fn conversion(&self, from: Currency, into: Currency, day: Day) -> Option<Conversion> {
        if from == into {
            return None;
        }
        let (a, b) = (self.quote(from, day)?, self.quote(into, day)?);
        let mut sources: Vec<&str> = [a, b]
            .iter()
            .filter_map(|quoted| self.sources.get(usize::from(quoted.source)))
            .map(String::as_str)
            .collect();
        sources.dedup();
        Some(Conversion {
            factor: Factor::between((from, a.rate), (into, b.rate))?,
            told: Factor::told((from, a.rate), (into, b.rate))?,
            published: a.day.min(b.day),
            source: sources.join(", "),
        })
    }
}

/// The tables by workspace. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct FxTables {
    tables: Arc<papaya::HashMap<WorkspaceId, Arc<FxTable>, ahash::RandomState>>,
}

impl FxTables {
    /// A workspace's table, an empty one too; `None` for a workspace that is not known.
    pub fn of(&self, workspace: WorkspaceId) -> Option<Arc<FxTable>> {
        self.tables.pin().get(&workspace).cloned()
    }

    /// Replaces a workspace's table.
    pub fn put(&self, workspace: WorkspaceId, table: FxTable) {
        self.tables.pin().insert(workspace, Arc::new(table));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rates: &[(&str, &str, &str)]) -> FxTable {
        let mut by_currency: HashMap<Currency, Vec<Quoted>> = HashMap::new();
        for (day, code, rate) in rates {
            let quoted = Quoted { day: day.parse().unwrap(), rate: rate.parse().unwrap(), source: 0 };
            by_currency.entry(code.parse().unwrap()).or_default().push(quoted);
        }
        FxTable {
            version: 1,
            base: Some(Currency::EUR),
            reporting: Currency::USD,
            sources: vec!["ECB".to_owned()],
            rates: by_currency,
        }
    }

    #[test]
    fn a_rate_holds_over_the_weekend_and_not_for_ever() {
        let table = table(&[("2026-11-20", "USD", "1.1"), ("2026-11-23", "USD", "1.2")]);
        let told = |day: &str| {
            let conversion = table.conversion(Currency::EUR, Currency::USD, day.parse().unwrap())?;
            Some((conversion.told, conversion.published.to_string()))
        };
        let friday = Some(("1.1".to_owned(), "2026-11-20".to_owned()));
        assert_eq!(
            (told("2026-11-19"), told("2026-11-20"), told("2026-11-22")),
            (None, friday.clone(), friday)
        );
        assert_eq!(told("2026-11-30").unwrap().0, "1.2");
        assert_eq!(told("2026-12-01"), None, "eight days old");
    }

    #[test]
    fn two_currencies_meet_in_the_base() {
        let table = table(&[("2026-11-20", "USD", "1.25"), ("2026-11-20", "JPY", "160")]);
        let day: Day = "2026-11-20".parse().unwrap();
        let (jpy, gbp): (Currency, Currency) = ("JPY".parse().unwrap(), "GBP".parse().unwrap());
        assert_eq!(table.conversion(jpy, Currency::USD, day).unwrap().told, "0.0078125");
        assert_eq!(
            table.factor(Currency::USD, Currency::EUR, day).unwrap().fraction,
            800_000_000_000_000_000
        );
        assert_eq!(table.factor(gbp, Currency::USD, day), None);
        assert_eq!(
            table.factor(gbp, gbp, day),
            Some(Factor::ONE),
            "nothing is needed for what stays as it is"
        );
    }
}
