//! Postbacks: a transaction of a network, as far as it is. `lead`, `sale` and `approved` make the conversion that is
//! not there yet, `rejected` and `refunded` take money back, now or as soon as the sale is told of. A further `txid`
//! of the same click is a further sale (an upsell).

use serde_json::{Map, json};
use weir_schemas::conversion::{NewConversion, RefundReason};
use weir_schemas::fact::{ClaimedBy, ClickClaim};
use weir_schemas::ids::ConversionId;
use weir_schemas::money::{AMOUNT_MAX, Currency, Money};
use weir_schemas::postback::PostbackStatus;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use rusqlite::{OptionalExtension, params};

use super::apply::Applying;
use super::conversion_row::{ConversionRow, pays, read_click};
use super::customers::Buyer;
use super::outcome::{Applied, Body, Outcome};
use super::returns::{self, Kind, Return};
use super::{clicks, conversions, effects, orders};

/// Who reports what comes by postback.
const POSTBACK: &str = "postback";
/// What a rejection is called among what went back of an order.
const REJECTED: &str = "rejected";

pub(super) struct Incoming<'a> {
    pub(super) id: ConversionId,
    /// The transaction; nothing where the network sent none, and then its click is it.
    pub(super) txid: Option<&'a str>,
    pub(super) status: PostbackStatus,
    pub(super) event: &'a str,
    pub(super) payout: Option<Money>,
    /// Of what goes back without a payout.
    pub(super) currency: Currency,
    pub(super) refund_id: Option<&'a str>,
    pub(super) customer: Option<&'a str>,
    pub(super) coupon: Option<&'a str>,
    pub(super) partner_code: Option<&'a str>,
    pub(super) click: &'a ClickClaim,
    pub(super) occurred_at: Option<Timestamp>,
}

pub(super) fn receive(tx: &mut Applying<'_>, new: &Incoming<'_>) -> Applied<Outcome> {
    let name = match (new.txid, new.click) {
        (Some(txid), _) => txid.to_owned(),
        (None, ClickClaim::Known { facts, .. }) => facts.id.to_string(),
        (None, ClickClaim::Unresolved { id, .. }) => id.to_string(),
        (None, _) => return Err(Problem::field("txid", "is required where no click is named").into()),
    };
    if new.status.takes_back() { take_back(tx, new, &name) } else { convert(tx, new, &name) }
}

fn convert(tx: &mut Applying<'_>, new: &Incoming<'_>, name: &str) -> Applied<Outcome> {
    let known = match orders::find(tx, name)? {
        Some(order) => ConversionRow::of_order(tx.db, order, new.event)?,
        None => None,
    };
    if known.is_none() && new.payout.is_none() && pays(new.event) {
        return Err(Problem::field("payout", "is required for a sale that is not known yet").into());
    }
    let amount = match (&known, new.payout) {
        (Some(known), None) => known.amount,
        (_, payout) => payout,
    };
    let click = match new.click {
        ClickClaim::None => click_of_order(tx, name)?,
        _ => new.click.clone(),
    };
    let conversion = NewConversion {
        event: new.event.to_owned(),
        order_id: Some(name.to_owned()),
        wclid: None,
        click_id: None,
        customer_id: new.customer.map(str::to_owned),
        coupon: new.coupon.map(str::to_owned),
        partner_code: new.partner_code.map(str::to_owned),
        amount,
        customer: None,
        occurred_at: new.occurred_at,
        subscription_id: None,
        properties: Map::new(),
    };
    let outcome = conversions::report_as(tx, POSTBACK, new.id, &conversion, Buyer::default(), &click)?;
    if let Some(order) = orders::find(tx, name)?
        && returns::single(tx, order, REJECTED)?.is_some()
    {
        uncount(tx, order)?;
    }
    let word = if outcome.replayed { "repeated" } else { "booked" };
    Ok(answered(new, word, Some(&outcome.body["id"])))
}

/// Takes what brought no money out of the counts: the leads of a transaction that was rejected. Returns the first.
fn uncount(tx: &mut Applying<'_>, order: i64) -> Applied<Option<ConversionId>> {
    let ids: Vec<i64> = tx
        .db
        .prepare_cached(
            "SELECT id FROM conversions WHERE ord = ?1 AND event NOT IN ('sale', 'renewal') AND merged_into IS NULL
             ORDER BY seq, id",
        )?
        .query_map([order], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let ids: Vec<ConversionId> = ids.into_iter().map(|id| ConversionId(id as u64)).collect();
    for id in &ids {
        if let Some(lead) = ConversionRow::find(tx.db, *id)? {
            effects::retract(tx, &lead)?;
        }
    }
    Ok(ids.first().copied())
}

/// A sale without a click goes on from the lead of its transaction.
fn click_of_order(tx: &Applying<'_>, name: &str) -> Applied<ClickClaim> {
    let Some(order) = orders::find(tx, name)? else { return Ok(ClickClaim::None) };
    let click = tx
        .db
        .prepare_cached(
            "SELECT m.click FROM conversions c JOIN claims m ON m.conversion = c.id
             WHERE c.ord = ?1 AND m.click IS NOT NULL ORDER BY c.seq, m.n LIMIT 1",
        )?
        .query_row(params![order], |row| read_click(row, 0))
        .optional()?
        .flatten();
    let Some(id) = click else { return Ok(ClickClaim::None) };
    let by = ClaimedBy::ClickId;
    Ok(match clicks::claimed(tx.db, tx.workspace, id)? {
        Some(claimed) => match claimed.facts {
            Some(facts) => ClickClaim::Known { by, facts },
            None => ClickClaim::Unresolved { by, id, link: claimed.link },
        },
        None => ClickClaim::None,
    })
}

fn take_back(tx: &mut Applying<'_>, new: &Incoming<'_>, name: &str) -> Applied<Outcome> {
    let order = orders::ensure(tx, std::slice::from_ref(&name.to_owned()))?.id;
    let known = orders::currency(tx, order)?;
    let currency = new.payout.map(|money| money.currency).or(known).unwrap_or(new.currency);
    if let Some(known) = known
        && known != currency
    {
        let detail = format!("must be {known}, the currency of this transaction");
        return Err(Problem::field("currency", detail).into());
    }
    // Without an amount all of it goes back, whatever it is.
    let all = Money { amount: AMOUNT_MAX, currency };
    let (refund, amount) = match new.status {
        PostbackStatus::Rejected => (REJECTED, all),
        _ => (new.refund_id.unwrap_or("refunded"), new.payout.unwrap_or(all)),
    };
    if let Some((earlier, _)) = returns::single(tx, order, refund)? {
        if earlier.amount != amount.amount {
            let detail =
                format!("`{refund}` of this transaction is known with another payout: name a refund_id.");
            return Err(Problem::conflict("refund_conflict", detail).into());
        }
        return Ok(answered(new, "repeated", None));
    }
    let record = Return {
        kind: Kind::Single { reversed: false },
        name: refund,
        amount,
        reason: RefundReason::Refund,
        at: new.occurred_at.unwrap_or(tx.at),
    };
    if !returns::record(tx, order, &record)? {
        let detail = format!("One transaction takes at most {} refunds.", returns::RETURNS_MAX);
        return Err(Problem::new(422, "too_many_refunds", "Too many refunds", detail).into());
    }
    returns::settle(tx, order)?;
    let lead = if new.status == PostbackStatus::Rejected { uncount(tx, order)? } else { None };
    let known = ConversionRow::paying(tx.db, order)?.map(|sale| sale.id).or(lead);
    let word = if known.is_some() { "taken_back" } else { "waiting" };
    Ok(answered(new, word, known.map(|id| json!(id)).as_ref()))
}

fn answered(new: &Incoming<'_>, outcome: &str, conversion: Option<&serde_json::Value>) -> Outcome {
    let body = json!({"received": true, "status": new.status.as_str(), "outcome": outcome, "conversion_id": conversion});
    let body = Body::from_text(body.to_string());
    Outcome { status: 200, body, replayed: outcome == "repeated" }
}
