//! Conversions, as the API reports them and as payments make them. The identity of a conversion is its order
//! and event: a repeat answers as the first did.

use rusqlite::params;
use serde_json::{Map, Value};
use weir_schemas::conversion::NewConversion;
use weir_schemas::effect::Change;
use weir_schemas::fact::{ClickClaim, Sealed};
use weir_schemas::ids::{ConversionId, CustomerId, ProgramId};
use weir_schemas::money::{AMOUNT_MAX, Money};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::commissions::Gone;
use super::conversion_row::{ConversionRow, pays};
use super::outcome::{Applied, Outcome};
use super::{attribution, commissions, customers, effects, ledger, orders, outbound};

/// Who reports what comes by the API.
pub(super) const API: &str = "api";

/// A conversion that is certainly new.
pub(super) struct New<'a> {
    pub(super) id: ConversionId,
    pub(super) order: Option<i64>,
    pub(super) event: &'a str,
    pub(super) customer: Option<CustomerId>,
    pub(super) subscription: Option<&'a str>,
    pub(super) amount: Option<Money>,
    pub(super) provider: &'a str,
    pub(super) occurred_at: Timestamp,
    pub(super) properties: &'a Map<String, Value>,
    pub(super) click: &'a ClickClaim,
    /// The program of the endpoint that reports it.
    pub(super) program: ProgramId,
    pub(super) coupon: Option<&'a str>,
    pub(super) partner_code: Option<&'a str>,
}

/// `POST /v1/conversions`.
pub(super) fn report(
    tx: &mut Applying<'_>,
    id: ConversionId,
    new: &NewConversion,
    person: Option<&Sealed>,
    click: &ClickClaim,
) -> Applied<Outcome> {
    report_as(tx, API, id, new, person, click)
}

/// A conversion that `provider` reports.
pub(super) fn report_as(
    tx: &mut Applying<'_>,
    provider: &str,
    id: ConversionId,
    new: &NewConversion,
    person: Option<&Sealed>,
    click: &ClickClaim,
) -> Applied<Outcome> {
    if let Some(Money { amount, .. }) = new.amount
        && !(0..=AMOUNT_MAX).contains(&amount)
    {
        return Err(Problem::field("amount.amount", format!("must be from 0 to {AMOUNT_MAX}")).into());
    }
    let mut order = None;
    if let Some(name) = &new.order_id {
        if let Some(known) = orders::find(tx, name)? {
            if let Some(first) = ConversionRow::of_order(tx.db, known, &new.event)? {
                return repeat(tx, &first, new);
            }
            if let (true, Some(money), Some(currency)) =
                (pays(&new.event), new.amount, orders::currency(tx, known)?)
                && money.currency != currency
            {
                let detail = format!("must be {currency}, the currency of this order");
                return Err(Problem::field("amount.currency", detail).into());
            }
        }
        let known = orders::ensure(tx, std::slice::from_ref(name))?;
        orders::sold_as(tx, known, name)?;
        order = Some(known);
    }
    if let (true, Some(money)) = (pays(&new.event), new.amount)
        && !ledger::has_room(tx, money.currency)?
    {
        return Err(Problem::field("amount.amount", "is more than this workspace's books can add up").into());
    }
    let customer = match &new.customer_id {
        Some(name) => Some(customers::ensure(tx, name, person)?),
        None => None,
    };
    let new = New {
        id,
        order,
        event: &new.event,
        customer,
        subscription: new.subscription_id.as_deref(),
        amount: new.amount,
        provider,
        occurred_at: new.occurred_at.unwrap_or(tx.at),
        properties: &new.properties,
        click,
        program: ProgramId::NONE,
        coupon: new.coupon.as_deref().filter(|code| !code.is_empty()),
        partner_code: new.partner_code.as_deref().filter(|code| !code.is_empty()),
    };
    let row = create(tx, &new)?;
    Ok(Outcome::new(201, &row.answer(tx.db)?)?)
}

/// A repeat of an order and event: the same again, or a contradiction.
fn repeat(tx: &mut Applying<'_>, first: &ConversionRow, new: &NewConversion) -> Applied<Outcome> {
    if first.amount != new.amount {
        let detail = format!(
            "The {} of order `{}` is known with another amount: refund it, or use another order_id.",
            first.event,
            first.order_name.as_deref().unwrap_or_default()
        );
        return Err(Problem::conflict("order_conflict", detail).into());
    }
    Ok(Outcome::new(200, &first.answer(tx.db)?)?.repeated())
}

/// Stores a new conversion, credits it and counts it.
pub(super) fn create(tx: &mut Applying<'_>, new: &New<'_>) -> Applied<ConversionRow> {
    let id = ConversionId(tx.free_id("conversions", new.id.0)?);
    let first_of_order = match new.order {
        Some(order) if pays(new.event) => ConversionRow::paying(tx.db, order)?.is_none(),
        _ => false,
    };
    tx.db
        .prepare_cached(
            "INSERT INTO conversions VALUES
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, NULL, NULL, '[]', ?13, NULL,
              0, 0, ?14, ?15, ?16)",
        )?
        .execute(params![
            id.0 as i64,
            tx.seq as i64,
            tx.workspace.0,
            new.order,
            new.event,
            new.customer.map(|customer| customer.0 as i64),
            new.subscription,
            new.amount.map(|money| money.amount),
            new.amount.map(|money| money.currency.as_str().to_owned()),
            new.provider,
            new.occurred_at.0,
            tx.at.0,
            serde_json::to_string(new.properties)?,
            new.program.0 as i64,
            new.coupon,
            new.partner_code
        ])?;
    let click = attribution::claim(tx, id, new.click)?;
    let row = attribution::credit_new(tx, id)?;
    let mut change = Change { new_customers: i64::from(customers::is_new(tx, &row)?), ..Change::default() };
    match new.event {
        "lead" => change.leads = 1,
        event if pays(event) => {
            change.conversions = 1;
            change.orders = i64::from(first_of_order);
            change.revenue = new.amount.map_or(0, |money| money.amount);
            // On the whole sale: what went back of it already is taken off under its own date.
            change.commission = commissions::settle(tx, &row, Gone::default(), true)?;
        }
        _ => change.events = 1,
    }
    effects::emit(tx, &row, new.occurred_at, new.event, change)?;
    outbound::conversion_created(tx, id)?;
    if let (Some(order), true) = (new.order, pays(new.event)) {
        orders::pay(tx, order, new.amount)?;
    }
    // Only now: a touch has the customer's conversions looked at again, of which this is one.
    if let (Some(customer), Some(click)) = (new.customer, click) {
        attribution::touch(tx, customer, click)?;
    }
    Ok(row)
}
