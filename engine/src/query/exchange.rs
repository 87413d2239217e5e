//! Amounts of several currencies as one. Each amount is multiplied by its own day's factor; whole parts and fractions
//! are added up apart, exactly, in SQL as in memory; a row's sum is rounded once, where it becomes a cell
//! ([`weir_schemas::fx`]). So net revenue is revenue less refunds in every row, and what was restated leaves nothing.
//! Where a rate is missing there is no number: the cell is empty and the answer says which rate it lacks.
//!
//! SQL is told the factors of the days and currencies that there are ([`pairs_statement`]); memory looks each up.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use weir_schemas::effect::Effect;
use weir_schemas::fx::{Day, FRACTION_ONE, Factor};
use weir_schemas::ids::Sequence;
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;
use weir_schemas::time::DAY_MS;

use super::plan::Plan;
use super::sql::{Statement, effect_terms};
use super::states::{CONVERTED, Needs, States, Sum};
use crate::fx::FxTable;

/// Most days × currencies of one query.
pub(super) const PAIRS_MAX: usize = 20_000;
/// Most rates that an answer tells, the newest first.
pub(super) const TOLD_MAX: usize = 1_000;
/// More currencies than there are: a day's number times this, plus a currency's place, is the pair's key.
const CURRENCIES: i64 = 1_024;

/// A day and a currency in which there are amounts.
pub(super) type Pair = (Day, Currency);

/// How a plan's amounts become one currency.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    /// What they become.
    pub(super) into: Currency,
    pub(super) table: Arc<FxTable>,
    /// What SQL knows of; memory needs none.
    pairs: Arc<[Pair]>,
}

impl Exchange {
    pub(super) fn new(into: Currency, table: Arc<FxTable>) -> Self {
        Self { into, table, pairs: Arc::default() }
    }

    pub(super) fn of_pairs(&self, pairs: Vec<Pair>) -> Self {
        Self { pairs: pairs.into(), ..self.clone() }
    }

    /// Adds an effect's amounts.
    pub(super) fn add(&self, effect: &Effect, states: &mut States) {
        let change = &effect.change;
        let amounts = [change.revenue, change.refunds, change.commission];
        if effect.currency == Currency::NONE || amounts == [0; 3] {
            return;
        }
        match self.table.factor(effect.currency, self.into, Day::of(effect.at)) {
            None => states.add(Sum::Unconverted, 1),
            Some(Factor { whole, fraction }) => {
                for ((_, whole_sum, fraction_sum), amount) in CONVERTED.iter().zip(amounts) {
                    states.add(*whole_sum, i128::from(amount) * i128::from(whole));
                    states.add(*fraction_sum, i128::from(amount) * i128::from(fraction));
                }
            }
        }
    }

    /// The table `effects` with three more columns: what an amount is multiplied by, and whether that is known.
    pub(super) fn source(&self, terms: &str) -> String {
        let [whole, fraction, known] = self.factors_sql();
        format!(
            "(SELECT *, {whole} AS fx_whole, {fraction} AS fx_fraction, {known} AS fx_known \
             FROM effects WHERE {terms})"
        )
    }

    /// The table `effects` with each amount in the currency asked for, rounded half away from zero.
    pub(super) fn converted(&self) -> String {
        let [whole, fraction, _] = self.factors_sql();
        let one = format!("toInt256({FRACTION_ONE})");
        let factor = format!("(toInt256({whole}) * {one} + toInt256({fraction}))");
        let amount = |name: &str| {
            let exact = format!("toInt256({name}) * {factor}");
            let half = format!("if({name} < 0, -1, 1) * intDiv({one}, 2)");
            format!("toInt64(intDiv({exact} + {half}, {one})) AS {name}")
        };
        let amounts = ["revenue", "refunds", "commission"].map(amount).join(", ");
        format!("(SELECT * REPLACE ({amounts}) FROM effects) AS effects")
    }

    /// The first amount that has no rate.
    pub(super) fn missing(&self) -> Option<Pair> {
        self.pairs.iter().copied().find(|(day, from)| self.table.factor(*from, self.into, *day).is_none())
    }

    /// A row's factor, whole and fraction, and whether it is known.
    fn factors_sql(&self) -> [String; 3] {
        let currencies: BTreeSet<Currency> = self.pairs.iter().map(|(_, currency)| *currency).collect();
        let place =
            |currency: &Currency| currencies.iter().position(|known| known == currency).unwrap_or(0) as i64;
        // A list is never empty, or it would have no type.
        let (mut keys, mut wholes, mut fractions) = (vec![-1], vec![0], vec![0]);
        for (day, currency) in self.pairs.iter() {
            if let Some(factor) = self.table.factor(*currency, self.into, *day) {
                keys.push(i64::from(day.0) * CURRENCIES + place(currency) + 1);
                wholes.push(factor.whole);
                fractions.push(factor.fraction);
            }
        }
        let list = |numbers: &[i64]| {
            let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
            format!("CAST([{}], 'Array(Int64)')", texts.join(","))
        };
        let names: Vec<String> = currencies.iter().map(|currency| format!("'{currency}'")).collect();
        let names = format!("CAST([{}], 'Array(String)')", names.join(","));
        let key = format!("({} * {CURRENCIES} + toInt64(indexOf({names}, toString(currency))))", day_sql());
        let keys = list(&keys);
        let looked_up = |values: &[i64]| format!("transform({key}, {keys}, {}, toInt64(0))", list(values));
        [looked_up(&wholes), looked_up(&fractions), format!("has({keys}, {key})")]
    }

    /// `meta.fx`: what amounts are in, the rates used, the newest first, and those that are missing.
    pub(super) fn told(&self) -> Value {
        let (mut rates, mut missing) = (Vec::new(), Vec::new());
        let mut pairs = self.pairs.to_vec();
        pairs.sort_unstable_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
        let foreign = pairs.into_iter().filter(|(_, currency)| *currency != self.into);
        let more = foreign.clone().count() > TOLD_MAX;
        for (day, currency) in foreign.take(TOLD_MAX) {
            match self.table.conversion(currency, self.into, day) {
                Some(used) => rates
                    .push(json!({"date": day, "from": currency, "to": self.into, "rate": used.told,
                    "published": used.published, "source": used.source})),
                None => missing.push(json!({"date": day, "from": currency, "to": self.into})),
            }
        }
        json!({"base": self.into, "rates": rates, "missing": missing, "more": more})
    }
}

impl Plan {
    /// With the workspace's exchange rates: amounts of several currencies become the one that the query names, else the
    /// workspace's own. Without a table several currencies stay apart or are refused.
    #[must_use]
    pub fn with_rates(mut self, table: Option<Arc<FxTable>>) -> Self {
        let Some(table) = table.filter(|_| self.exchange.is_none() && self.is_convertible()) else {
            return self;
        };
        let asked = self.asked.currency;
        if asked.is_none() && table.base.is_none() {
            return self;
        }
        let into = asked.unwrap_or(table.reporting);
        self.key = format!("{} into {into} by {}", self.key, table.version);
        (self.converts, self.one_currency) = (asked.is_some(), false);
        self.needs.currencies = true;
        self.needs.add_converted();
        self.exchange = Some(Exchange::new(into, table));
        self
    }

    /// Whether exchange rates change what it says.
    fn is_convertible(&self) -> bool {
        let money = self.metrics.iter().any(|metric| metric.is_money());
        money && (self.asked.currency.is_some() || self.one_currency || self.exchange.is_some())
    }

    /// Whether it was made with other rates than these.
    pub fn has_other_rates(&self, table: Option<&FxTable>) -> bool {
        let version = |table: &FxTable| (table.base, table.version, table.reporting);
        let empty = |table: &&FxTable| self.asked.currency.is_some() || table.base.is_some();
        let own = self.exchange.as_ref().map(|exchange| version(&exchange.table));
        self.is_convertible() && own != table.filter(empty).map(version)
    }

    /// What amounts are in, where they are converted.
    pub fn converted_into(&self) -> Option<Currency> {
        self.exchange.as_ref().filter(|_| self.converts).map(|exchange| exchange.into)
    }

    /// The same with amounts as they are.
    pub(super) fn unconverted(&self) -> Self {
        let mut plan = self.clone();
        (plan.exchange, plan.converts) = (None, false);
        plan.needs = Needs::of(&plan.metrics, plan.total);
        plan
    }

    /// The same for SQL, which has to be told of which days and currencies there are amounts.
    pub(super) fn of_pairs(&self, pairs: Vec<Pair>, converts: bool) -> Self {
        let mut plan = self.clone();
        plan.exchange = plan.exchange.map(|exchange| exchange.of_pairs(pairs));
        plan.converts = converts;
        plan
    }
}

/// The sums of an effect's amounts, as SQL writes them.
pub(super) fn sum_sql(sum: Sum) -> Option<String> {
    if sum == Sum::Unconverted {
        let amounts = "(revenue != 0 OR refunds != 0 OR commission != 0)";
        return Some(format!("toInt128(countIf(currency != '' AND {amounts} AND NOT fx_known))"));
    }
    let part = |(amount, whole, fraction): &(Sum, Sum, Sum)| match sum {
        sum if sum == *whole => Some(format!("sum(toInt128({}) * toInt128(fx_whole))", amount.column())),
        sum if sum == *fraction => {
            Some(format!("sum(toInt128({}) * toInt128(fx_fraction))", amount.column()))
        }
        _ => None,
    };
    CONVERTED.iter().find_map(part)
}

fn day_sql() -> String {
    let at = "toInt64(toUnixTimestamp64Milli(at))";
    format!("intDiv({at} - positiveModulo({at}, {DAY_MS}), {DAY_MS})")
}

/// The days and currencies in which a plan finds amounts, one more than fit.
pub(super) fn pairs_statement(plan: &Plan, upto: Sequence) -> Statement {
    let mut statement = Statement::default();
    let terms = effect_terms(plan, upto, &mut statement).join(" AND ");
    statement.sql = format!(
        "SELECT toInt32({}) AS day, toString(currency) AS code FROM effects\n\
         WHERE {terms} AND currency != ''\nGROUP BY day, code ORDER BY day, code LIMIT {}",
        day_sql(),
        PAIRS_MAX + 1
    );
    statement
}

pub(super) fn too_many_pairs() -> Problem {
    let detail =
        format!("amounts are of more than {PAIRS_MAX} days and currencies: shorten the range or filter");
    Problem::field("date_range", detail)
}
