//! To which click a conversion is credited, and why to no other.
//!
//! In this order, the first that has an eligible click takes it, and of several the last click:
//! 1. the clicks that the conversion itself claimed (`wclid`, `click_id`), at most 30 days before it;
//! 2. for a conversion of a subscription: the credit of the subscription's first credited conversion, however
//!    long ago (a renewal continues that sale), else the click that the subscription itself claimed;
//! 3. the customer's last click of the 30 days before it.
//!
//! A click is not eligible when it is a robot's, comes after the conversion, is too old, or names no link
//! yet.

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use weir_schemas::conversion::AttributionRule;
use weir_schemas::fact::{ClaimedBy, ClickClaim};
use weir_schemas::ids::{ClickId, ConversionId, CustomerId, LinkId};
use weir_schemas::time::{DAY_MS, MINUTE_MS, Timestamp};

use super::apply::Applying;
use super::clicks;
use super::conversion_row::{ConversionRow, click_bytes, read_click};
use super::effects;
use super::outcome::Applied;

/// The workspace's window: a click counts for this long.
pub const WINDOW_MS: i64 = 30 * DAY_MS;
/// How far the clock of a shop may be behind: a click may be this much later than the conversion it led to.
pub const CLOCK_TOLERANCE_MS: i64 = 5 * MINUTE_MS;
/// How many of a customer's touches are looked at, the last first.
pub const TOUCHES_MAX: u32 = 50;
/// How many uncredited conversions of a subscription are looked at again when one of its clicks becomes
/// known.
const REVISITED_MAX: u32 = 100;

/// One click that could have taken the credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// By which rule it came into question.
    pub rule: AttributionRule,
    /// The click; none where what was claimed names none.
    pub click_id: Option<ClickId>,
    /// When it was.
    pub clicked_at: Option<Timestamp>,
    /// Its link, where known.
    pub link_id: Option<LinkId>,
    /// Whether it took the credit.
    pub credited: bool,
    /// Why, or why not.
    pub reason: String,
}

struct Decision {
    credit: Option<(AttributionRule, ClickId)>,
    candidates: Vec<Candidate>,
}

/// Writes down what a conversion claims. `claims` is stored as it came, refusals included.
pub(super) fn claim(
    tx: &mut Applying<'_>,
    conversion: ConversionId,
    claim: &ClickClaim,
) -> Applied<Option<ClickId>> {
    let noted = clicks::note(tx, claim)?;
    let (by, click, refused) = match (noted, claim) {
        (Some((by, click)), _) => (rule_of(by), Some(click), None),
        (None, ClickClaim::Refused { reason }) => (AttributionRule::Wclid, None, Some(reason)),
        (None, _) => return Ok(None),
    };
    tx.db
        .prepare_cached(
            "INSERT INTO claims SELECT ?1, (SELECT count(*) FROM claims WHERE conversion = ?1), ?2, ?3, ?4
             WHERE NOT EXISTS (SELECT 1 FROM claims WHERE conversion = ?1 AND click IS ?3 AND refused IS ?4)",
        )?
        .execute(params![
            conversion.0 as i64,
            serde_json::to_string(&by)?,
            click.map(click_bytes),
            refused
        ])?;
    Ok(click)
}

fn rule_of(by: ClaimedBy) -> AttributionRule {
    match by {
        ClaimedBy::Wclid => AttributionRule::Wclid,
        ClaimedBy::ClickId => AttributionRule::ClickId,
    }
}

/// Remembers a click of a customer, for conversions to come.
pub(super) fn touch(tx: &Applying<'_>, customer: CustomerId, click: ClickId) -> Applied<()> {
    tx.db
        .prepare_cached("INSERT OR IGNORE INTO touches VALUES (?1, ?2)")?
        .execute(params![customer.0 as i64, click_bytes(click)])?;
    Ok(())
}

/// Decides a conversion's credit from all that is known now, stores it with its candidates and restates the
/// conversion where it stands elsewhere than its effects say. Gives its row as it is then.
pub(super) fn reconsider(tx: &mut Applying<'_>, id: ConversionId) -> Applied<ConversionRow> {
    let before = ConversionRow::find(tx.db, id)?.expect("only stored conversions are reconsidered");
    if before.merged_into.is_some() {
        return Ok(before);
    }
    let decision = decide(tx, &before)?;
    let rule = decision.credit.map(|(rule, _)| serde_json::to_string(&rule)).transpose()?;
    let click = decision.credit.map(|(_, click)| click);
    tx.db
        .prepare_cached("UPDATE conversions SET rule = ?2, click = ?3, candidates = ?4 WHERE id = ?1")?
        .execute(params![
            id.0 as i64,
            rule,
            click.map(click_bytes),
            serde_json::to_string(&decision.candidates)?
        ])?;
    let now = ConversionRow { rule: decision.credit.map(|(rule, _)| rule), click, ..before.clone() };
    effects::restate(tx, &now)?;
    if click.is_some()
        && before.click != click
        && let Some(subscription) = now.subscription.clone()
    {
        revisit_subscription(tx, &subscription, id)?;
    }
    Ok(now)
}

/// A click of this subscription became known: its conversions without credit are looked at again.
pub(super) fn revisit_subscription(
    tx: &mut Applying<'_>,
    subscription: &str,
    except: ConversionId,
) -> Applied<()> {
    let uncredited: Vec<i64> = tx
        .db
        .prepare_cached(
            "SELECT id FROM conversions WHERE workspace = ?1 AND subscription = ?2 AND click IS NULL
                 AND merged_into IS NULL AND id != ?3
             ORDER BY occurred_at, id LIMIT ?4",
        )?
        .query_map(params![tx.workspace.0, subscription, except.0 as i64, REVISITED_MAX], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in uncredited {
        let id = ConversionId(id as u64);
        let row = ConversionRow::find(tx.db, id)?.expect("just selected");
        // Not by way of `reconsider` itself: one of them must not set off the others again.
        let decision = decide(tx, &row)?;
        if let Some((rule, click)) = decision.credit {
            tx.db
                .prepare_cached(
                    "UPDATE conversions SET rule = ?2, click = ?3, candidates = ?4 WHERE id = ?1",
                )?
                .execute(params![
                    id.0 as i64,
                    serde_json::to_string(&rule)?,
                    click_bytes(click),
                    serde_json::to_string(&decision.candidates)?
                ])?;
            effects::restate(tx, &ConversionRow { rule: Some(rule), click: Some(click), ..row })?;
        }
    }
    Ok(())
}

fn decide(tx: &Applying<'_>, conversion: &ConversionRow) -> Applied<Decision> {
    let mut decision = Decision { credit: None, candidates: Vec::new() };
    claimed_directly(tx, conversion, &mut decision)?;
    if let Some(subscription) = &conversion.subscription {
        by_subscription(tx, conversion, subscription, &mut decision)?;
    }
    if let Some(customer) = conversion.customer {
        let touches: Vec<Option<ClickId>> = tx
            .db
            .prepare_cached("SELECT click FROM touches WHERE customer = ?1 ORDER BY click DESC LIMIT ?2")?
            .query_map(params![customer.0 as i64, TOUCHES_MAX], |row| read_click(row, 0))?
            .collect::<Result<_, _>>()?;
        for click in touches.into_iter().flatten() {
            decision.consider(tx, conversion, AttributionRule::Customer, click, true)?;
        }
    }
    Ok(decision)
}

fn claimed_directly(tx: &Applying<'_>, conversion: &ConversionRow, decision: &mut Decision) -> Applied<()> {
    type Claim = (String, Option<ClickId>, Option<String>);
    let claims: Vec<Claim> = tx
        .db
        .prepare_cached(
            "SELECT claimed_by, click, refused FROM claims WHERE conversion = ?1 ORDER BY click DESC, n",
        )?
        .query_map([conversion.id.0 as i64], |row| Ok((row.get(0)?, read_click(row, 1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (by, click, refused) in claims {
        let rule: AttributionRule = serde_json::from_str(&by)?;
        match click {
            Some(click) => decision.consider(tx, conversion, rule, click, true)?,
            None => decision.candidates.push(Candidate {
                rule,
                click_id: None,
                clicked_at: None,
                link_id: None,
                credited: false,
                reason: format!("Refused: {}", refused.unwrap_or_default()),
            }),
        }
    }
    Ok(())
}

fn by_subscription(
    tx: &Applying<'_>,
    conversion: &ConversionRow,
    subscription: &str,
    decision: &mut Decision,
) -> Applied<()> {
    let first: Option<Option<ClickId>> = tx
        .db
        .prepare_cached(
            "SELECT click FROM conversions
             WHERE workspace = ?1 AND subscription = ?2 AND click IS NOT NULL AND merged_into IS NULL
                 AND id != ?3 AND occurred_at <= ?4 AND rule != '\"subscription\"'
             ORDER BY occurred_at, id LIMIT 1",
        )?
        .query_row(
            params![tx.workspace.0, subscription, conversion.id.0 as i64, conversion.occurred_at.0],
            |row| read_click(row, 0),
        )
        .optional()?;
    let own: Option<Option<ClickId>> = tx
        .db
        .prepare_cached("SELECT click FROM subscriptions WHERE workspace = ?1 AND name = ?2")?
        .query_row(params![tx.workspace.0, subscription], |row| read_click(row, 0))
        .optional()?;
    for click in [first.flatten(), own.flatten()].into_iter().flatten() {
        let windowed = conversion.event != "renewal";
        decision.consider(tx, conversion, AttributionRule::Subscription, click, windowed)?;
    }
    Ok(())
}

impl Decision {
    fn consider(
        &mut self,
        tx: &Applying<'_>,
        conversion: &ConversionRow,
        rule: AttributionRule,
        click: ClickId,
        windowed: bool,
    ) -> Applied<()> {
        // A click is judged once, unless only the window spoke against it and this rule has none.
        let mut judged = self.candidates.iter().filter(|candidate| candidate.click_id == Some(click));
        if judged.any(|candidate| candidate.credited || windowed) {
            return Ok(());
        }
        let claimed = clicks::claimed(tx.db, tx.workspace, click)?;
        let bot = claimed.as_ref().and_then(|claimed| claimed.facts.as_ref()).is_some_and(|facts| facts.bot);
        let link = claimed.as_ref().map_or(LinkId::NONE, |claimed| claimed.link);
        let age = conversion.occurred_at.0 - click.unix_ms();
        let refused = if bot {
            Some("It is a robot's click.")
        } else if link == LinkId::NONE {
            Some("The click has not been found yet.")
        } else if age < -CLOCK_TOLERANCE_MS {
            Some("The click came after the conversion.")
        } else if windowed && age > WINDOW_MS {
            Some("The click is more than 30 days older than the conversion.")
        } else if self.credit.is_some() {
            Some("An earlier rule or a later click took the credit.")
        } else {
            None
        };
        if refused.is_none() {
            self.credit = Some((rule, click));
        }
        self.candidates.push(Candidate {
            rule,
            click_id: Some(click),
            clicked_at: Some(Timestamp(click.unix_ms())),
            link_id: link.some(),
            credited: refused.is_none(),
            reason: refused.unwrap_or(took(rule)).to_owned(),
        });
        Ok(())
    }
}

fn took(rule: AttributionRule) -> &'static str {
    match rule {
        AttributionRule::Wclid => "The conversion carried this click's token.",
        AttributionRule::ClickId => "The conversion carried this click's id.",
        AttributionRule::Coupon => "The conversion carried the partner's coupon.",
        AttributionRule::PartnerCode => "The conversion carried the partner's code.",
        AttributionRule::Customer => "It is the customer's last click of the 30 days before the conversion.",
        AttributionRule::Subscription => "The subscription's first credited conversion was credited to it.",
    }
}
