//! The exact oracle: what was sent, counted here, compared with what the engine answers. Any difference is a
//! failure with a diff.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::Method;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::target::{LoadError, Target};

/// What should be counted for one link and country.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Counted clicks.
    pub clicks: i64,
    /// Sales.
    pub conversions: i64,
    /// Minor units.
    pub revenue: i64,
    /// Minor units.
    pub refunds: i64,
}

impl Count {
    /// The metrics asked for, in the order of [`Self::cells`].
    pub const METRICS: [&'static str; 5] = ["clicks", "conversions", "revenue", "refunds", "net_revenue"];

    fn cells(&self) -> [i64; 5] {
        [self.clicks, self.conversions, self.revenue, self.refunds, self.revenue - self.refunds]
    }

    fn add(&mut self, other: &Self) {
        self.clicks += other.clicks;
        self.conversions += other.conversions;
        self.revenue += other.revenue;
        self.refunds += other.refunds;
    }
}

/// Counts by link and country.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    counts: BTreeMap<(String, String), Count>,
}

impl Oracle {
    /// The count of one link and country.
    pub fn at(&mut self, link: &str, country: &str) -> &mut Count {
        self.counts.entry((link.to_owned(), country.to_owned())).or_default()
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.counts {
            self.counts.entry(key.clone()).or_default().add(count);
        }
    }

    /// All in one.
    pub fn total(&self) -> Count {
        let mut total = Count::default();
        self.counts.values().for_each(|count| total.add(count));
        total
    }

    fn grouped(&self, by: &[&str]) -> BTreeMap<Vec<String>, [i64; 5]> {
        let mut rows: BTreeMap<Vec<String>, Count> = BTreeMap::new();
        for ((link, country), count) in &self.counts {
            let key =
                by.iter().map(|name| if *name == "link" { link.clone() } else { country.clone() }).collect();
            rows.entry(key).or_default().add(count);
        }
        rows.into_iter()
            .map(|(key, count)| (key, count.cells()))
            .filter(|(_, cells)| cells.iter().any(|c| *c != 0))
            .collect()
    }

    /// Asks the engine for the same links and compares by link, by country and by both. The error is the diff.
    pub async fn compare(&self, target: &Target, links: &[String]) -> Result<Result<u64, String>, LoadError> {
        let mut api = Connection::new(target.admin);
        let mut as_of = 0;
        let mut diff = String::new();
        for by in [&["link"][..], &["country"], &["link", "country"], &[]] {
            let query = json!({"metrics": Count::METRICS, "dimensions": by, "date_range": "7d", "limit": 10_000,
                "filters": ["and", [["is", "link", links]]]});
            let answer = api.call(&target.key, Method::POST, "/v1/query", Some(&query), &[200]).await?;
            as_of = answer["meta"]["as_of"].as_u64().unwrap_or(0);
            differences(by, &self.grouped(by), &rows(&answer, by.len()), &mut diff);
        }
        Ok(if diff.is_empty() { Ok(as_of) } else { Err(diff) })
    }
}

fn rows(answer: &Value, dimensions: usize) -> BTreeMap<Vec<String>, [i64; 5]> {
    let mut rows = BTreeMap::new();
    for row in answer["rows"].as_array().into_iter().flatten() {
        let cells = row.as_array().cloned().unwrap_or_default();
        let key = cells.iter().take(dimensions).map(|cell| cell.as_str().unwrap_or("").to_owned()).collect();
        let mut values = [0; 5];
        for (value, cell) in values.iter_mut().zip(cells.iter().skip(dimensions)) {
            *value = cell.as_i64().unwrap_or(0);
        }
        if values.iter().any(|value| *value != 0) {
            rows.insert(key, values);
        }
    }
    rows
}

/// Most differing rows that are printed.
const DIFF_MAX: usize = 40;

fn differences(
    by: &[&str],
    sent: &BTreeMap<Vec<String>, [i64; 5]>,
    got: &BTreeMap<Vec<String>, [i64; 5]>,
    diff: &mut String,
) {
    let keys: std::collections::BTreeSet<_> = sent.keys().chain(got.keys()).collect();
    let differing: Vec<_> = keys.into_iter().filter(|key| sent.get(*key) != got.get(*key)).collect();
    for key in differing.iter().take(DIFF_MAX) {
        let none = [0; 5];
        let (sent, got) = (sent.get(*key).unwrap_or(&none), got.get(*key).unwrap_or(&none));
        for (metric, (sent, got)) in Count::METRICS.iter().zip(sent.iter().zip(got)) {
            if sent != got {
                let _ = writeln!(
                    diff,
                    "by {by:?} {key:?} {metric}: sent {sent}, engine says {got} ({:+})",
                    got - sent
                );
            }
        }
    }
    if differing.len() > DIFF_MAX {
        let _ = writeln!(diff, "by {by:?}: {} more rows differ", differing.len() - DIFF_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_missing_cent_is_a_difference() {
        let mut oracle = Oracle::default();
        *oracle.at("lnk_1", "DE") = Count { clicks: 3, conversions: 1, revenue: 500, refunds: 1 };
        *oracle.at("lnk_2", "DE") = Count { clicks: 1, ..Count::default() };
        let answer = json!({"rows": [["DE", 4, 1, 500, 1, 499]]});
        let mut diff = String::new();
        differences(&["country"], &oracle.grouped(&["country"]), &rows(&answer, 1), &mut diff);
        assert_eq!(diff, "");
        let short = json!({"rows": [["DE", 4, 1, 499, 1, 498], ["FR", 1, 0, 0, 0, 0]]});
        differences(&["country"], &oracle.grouped(&["country"]), &rows(&short, 1), &mut diff);
        assert!(diff.contains("revenue: sent 500, engine says 499 (-1)"), "{diff}");
        assert!(diff.contains("[\"FR\"] clicks: sent 0, engine says 1 (+1)"), "{diff}");
    }
}
