//! `POST /v1/refunds`: an order's money goes back, in parts or all that is left.

use serde::Serialize;
use weir_schemas::conversion::{Conversion, NewRefund};
use weir_schemas::money::Money;
use weir_schemas::problem::Problem;

use super::apply::Applying;
use super::conversion_row::ConversionRow;
use super::orders;
use super::outcome::{Applied, Body, Outcome};
use super::returns::{self, Kind, Return};

/// The answer to a refund.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refund {
    /// The order.
    pub order_id: String,
    /// The caller's id of this refund.
    pub refund_id: Option<String>,
    /// What went back by this refund.
    pub amount: Money,
    /// What went back of the order so far.
    pub refunded: Money,
    /// The sale, as it stands now.
    pub conversion: Conversion,
}

pub(super) fn report(tx: &mut Applying<'_>, new: &NewRefund) -> Applied<Outcome> {
    let order = orders::find(tx, &new.order_id)?.ok_or_else(|| Problem::not_found("order"))?;
    let sale = ConversionRow::paying(tx.db, order)?.ok_or_else(|| Problem::not_found("order"))?;
    if let Some(name) = &new.refund_id
        && let Some((amount, answer)) = returns::single(tx, order, name)?
    {
        if new.amount.is_some_and(|asked| asked != amount) {
            let detail = format!("Refund `{name}` is known with another amount: use another refund_id.");
            return Err(Problem::conflict("refund_conflict", detail).into());
        }
        // A provider told of it first: there is no answer to repeat, but one to give.
        let outcome = match answer {
            Some(answer) => Outcome { status: 200, body: Body::from_text(answer), replayed: false },
            None => Outcome::new(200, &answer_of(tx, new, order, &sale, amount)?)?,
        };
        return Ok(outcome.repeated());
    }
    let (paid, returned) = orders::sums(tx, order)?;
    let left = paid - returned;
    let Some(currency) = orders::currency(tx, order)?.filter(|_| left > 0) else {
        let detail = "Nothing is left of this order's payment to refund.";
        return Err(Problem::new(422, "already_refunded", "Nothing left to refund", detail).into());
    };
    let amount = new.amount.unwrap_or(Money { amount: left, currency });
    if amount.currency != currency {
        let detail = format!("must be {currency}, the currency of this order");
        return Err(Problem::field("amount.currency", detail).into());
    }
    if amount.amount <= 0 {
        return Err(Problem::field("amount", "must be more than 0").into());
    }
    if amount.amount > left {
        return Err(Problem::field("amount", format!("is more than the {left} that is left")).into());
    }
    // Without an id every refund is one of its own; `#` cannot begin a provider's id.
    let name = new.refund_id.clone().unwrap_or_else(|| format!("#{}", tx.seq));
    let record = Return {
        kind: Kind::Single { reversed: false },
        name: &name,
        amount,
        reason: new.reason,
        at: new.occurred_at.unwrap_or(tx.at),
    };
    if !returns::record(tx, order, &record)? {
        let detail = format!("One order takes at most {} refunds.", returns::RETURNS_MAX);
        return Err(Problem::new(422, "too_many_refunds", "Too many refunds", detail).into());
    }
    returns::settle(tx, order)?;
    let answer = answer_of(tx, new, order, &sale, amount)?;
    returns::keep_answer(tx, order, &name, &serde_json::to_string(&answer)?)?;
    Ok(Outcome::new(201, &answer)?)
}

fn answer_of(
    tx: &Applying<'_>,
    new: &NewRefund,
    order: i64,
    sale: &ConversionRow,
    amount: Money,
) -> Applied<Refund> {
    let (_, returned) = orders::sums(tx, order)?;
    Ok(Refund {
        order_id: new.order_id.clone(),
        refund_id: new.refund_id.clone(),
        amount,
        refunded: Money { amount: returned, currency: amount.currency },
        conversion: sale.answer(tx.db)?,
    })
}
