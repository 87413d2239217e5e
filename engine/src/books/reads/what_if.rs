//! What another rule would have credited: the same candidates, weighed otherwise. Nothing is changed.
//!
//! A conversion's candidates that only lost to another one stay in question, as do the ones that took it; those that
//! were refused for what they are (a robot's, too old, after the conversion) stay refused. Shares are integers of minor
//! units that add up to the amount; the last touch takes the remainder.

use std::collections::BTreeMap;

use rusqlite::params;
use weir_schemas::ids::{LinkId, PartnerId};
use weir_schemas::money::Currency;
use weir_schemas::time::{DAY_MS, Timestamp};

use super::{ReadError, Reads};
use crate::books::attribution::{Candidate, was_in_question};
use crate::books::conversion_row::read_currency;

/// How credit is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// All to the first touch.
    First,
    /// All to the last.
    Last,
    /// The same to each.
    Linear,
    /// Half as much for each week before the conversion.
    TimeDecay,
    /// 40 % to the first, 40 % to the last, the rest to those between.
    Position,
}

impl Model {
    /// All of them, by name.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("first", Self::First),
        ("last", Self::Last),
        ("linear", Self::Linear),
        ("time_decay", Self::TimeDecay),
        ("position", Self::Position),
    ];

    /// The model of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, model)| *model)
    }

    /// The weights of touches so many milliseconds before the conversion, the first touch first.
    fn weights(self, ages: &[i64]) -> Vec<f64> {
        let count = ages.len();
        let only = |index: usize| (0..count).map(|n| f64::from(u8::from(n == index))).collect();
        match self {
            Self::First => only(0),
            Self::Last => only(count - 1),
            Self::Linear => vec![1.0; count],
            Self::TimeDecay => ages.iter().map(|age| (-(*age as f64) / (7 * DAY_MS) as f64).exp2()).collect(),
            Self::Position => match count {
                1 => vec![1.0],
                2 => vec![0.5, 0.5],
                _ => (0..count)
                    .map(|n| if n == 0 || n == count - 1 { 0.4 } else { 0.2 / (count - 2) as f64 })
                    .collect(),
            },
        }
    }
}

/// What one link and partner have by the books, and would have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WouldBe {
    /// Minor units credited by the books.
    pub booked: i64,
    /// Minor units that the model credits.
    pub modelled: i64,
}

/// By currency, link and partner; the link and partner [`LinkId::NONE`] and [`PartnerId::NONE`] stand for nobody.
pub type WhatIf = BTreeMap<(Currency, LinkId, PartnerId), WouldBe>;

impl Reads {
    /// Credits every sale and renewal since `since` by `model`.
    pub fn what_if(&self, model: Model, since: Timestamp) -> Result<WhatIf, ReadError> {
        self.read(|db| {
            let mut table = WhatIf::new();
            let mut statement = db.prepare_cached(
                "SELECT amount, currency, occurred_at, candidates FROM conversions
                 WHERE occurred_at >= ?1 AND merged_into IS NULL AND amount IS NOT NULL
                     AND event IN ('sale', 'renewal')",
            )?;
            let mut rows = statement.query(params![since.0])?;
            while let Some(row) = rows.next()? {
                let (amount, at): (i64, i64) = (row.get(0)?, row.get(2)?);
                let currency = read_currency(&row.get::<_, String>(1)?);
                let candidates: Vec<Candidate> = serde_json::from_str(&row.get::<_, String>(3)?)?;
                let place = |candidate: Option<&Candidate>| {
                    let link = candidate.and_then(|candidate| candidate.link_id).unwrap_or_default();
                    let partner = candidate.and_then(|candidate| candidate.partner_id).unwrap_or_default();
                    (currency, link, partner)
                };
                let booked = candidates.iter().find(|candidate| candidate.credited);
                table.entry(place(booked)).or_default().booked += amount;
                let touched_at =
                    |candidate: &&Candidate| candidate.clicked_at.map_or(at, |clicked| clicked.0);
                let mut touches: Vec<&Candidate> =
                    candidates.iter().filter(|candidate| was_in_question(candidate)).collect();
                touches.sort_by_key(touched_at);
                if touches.is_empty() {
                    table.entry(place(None)).or_default().modelled += amount;
                    continue;
                }
                let ages: Vec<i64> = touches.iter().map(|touch| (at - touched_at(touch)).max(0)).collect();
                for (touch, share) in touches.iter().zip(shares(amount, &model.weights(&ages))) {
                    table.entry(place(Some(touch))).or_default().modelled += share;
                }
            }
            Ok(table)
        })
    }
}

/// Whole minor units by weight, rounded down; the last takes what is left.
fn shares(amount: i64, weights: &[f64]) -> Vec<i64> {
    let sum: f64 = weights.iter().sum();
    let mut left = amount;
    let mut shares: Vec<i64> = weights
        .iter()
        .map(|weight| {
            let share = ((amount as f64 * weight / sum).floor() as i64).clamp(0, left);
            left -= share;
            share
        })
        .collect();
    if let Some(last) = shares.iter_mut().rev().zip(weights.iter().rev()).find(|(_, weight)| **weight > 0.0) {
        *last.0 += left;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weights_are_as_named() {
        let week = 7 * DAY_MS;
        let share = |model: Model, ages: &[i64]| shares(1_000, &model.weights(ages));
        assert_eq!(share(Model::First, &[3, 2, 1]), [1_000, 0, 0]);
        assert_eq!(share(Model::Last, &[3, 2, 1]), [0, 0, 1_000]);
        assert_eq!(share(Model::Linear, &[3, 2, 1]), [333, 333, 334]);
        assert_eq!(share(Model::Position, &[4, 3, 2, 1]), [400, 100, 100, 400]);
        assert_eq!(share(Model::TimeDecay, &[week, 0]), [333, 667]);
        assert_eq!(share(Model::Position, &[1]), [1_000]);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(
            amount in 0..=weir_schemas::money::AMOUNT_MAX,
            mut ages in prop::collection::vec(0..DAY_MS * 400, 1..20),
        ) {
            ages.sort_unstable_by(|a, b| b.cmp(a));
            for (name, model) in Model::ALL {
                let shares = shares(amount, &model.weights(&ages));
                prop_assert_eq!(shares.iter().sum::<i64>(), amount, "{}", name);
                prop_assert!(shares.iter().all(|share| *share >= 0));
            }
        }
    }
}
