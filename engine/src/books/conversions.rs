//! Conversions, as the API reports them and as payments make them. The identity of a conversion is its order
//! and event: a repeat answers as the first did.

use serde_json::{Map, Value};
use weir_schemas::conversion::{Conversion, NewConversion};
use weir_schemas::effect::Change;
use weir_schemas::fact::ClickClaim;
use weir_schemas::ids::{ConversionId, PartnerId, ProgramId};
use weir_schemas::money::{AMOUNT_MAX, Money};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::commissions::Earning;
use super::conversion_row::{ConversionRow, pays};
use super::customers::Buyer;
use super::outcome::{Applied, Outcome};
use super::{attribution, commissions, customers, effects, ledger, orders, outbound};

/// Who reports what comes by the API.
pub(super) const API: &str = "api";

/// A conversion that is certainly new.
pub(super) struct New<'a> {
    pub(super) id: ConversionId,
    /// The order and the name under which it is sold.
    pub(super) order: Option<(orders::Named, String)>,
    pub(super) event: &'a str,
    pub(super) customer: Option<&'a customers::Known>,
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
    /// Partners with the mail address of who bought.
    pub(super) buyer: &'a [PartnerId],
}

/// `POST /v1/conversions`.
pub(super) fn report(
    tx: &mut Applying<'_>,
    id: ConversionId,
    new: &NewConversion,
    buyer: Buyer<'_>,
    click: &ClickClaim,
) -> Applied<Outcome> {
    report_as(tx, API, id, new, buyer, click)
}

/// A conversion that `provider` reports.
pub(super) fn report_as(
    tx: &mut Applying<'_>,
    provider: &str,
    id: ConversionId,
    new: &NewConversion,
    buyer: Buyer<'_>,
    click: &ClickClaim,
) -> Applied<Outcome> {
    if let Some(Money { amount, .. }) = new.amount
        && !(0..=AMOUNT_MAX).contains(&amount)
    {
        return Err(Problem::field("amount.amount", format!("must be from 0 to {AMOUNT_MAX}")).into());
    }
    let mut order = None;
    if let Some(name) = &new.order_id {
        let known = orders::find(tx, name)?;
        if let Some(known) = known {
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
        let known = match known {
            Some(id) => orders::Named { id, fresh: false },
            None => orders::Named { id: orders::begin(tx, std::slice::from_ref(name))?, fresh: true },
        };
        let name = orders::sold_as(tx, &known, name)?;
        order = Some((known, name));
    }
    if let (true, Some(money)) = (pays(&new.event), new.amount)
        && !ledger::has_room(tx, money.currency)?
    {
        return Err(Problem::field("amount.amount", "is more than this workspace's books can add up").into());
    }
    let customer = match &new.customer_id {
        Some(name) => Some(customers::ensure(tx, name, buyer)?),
        None => None,
    };
    let new = New {
        id,
        order,
        event: &new.event,
        customer: customer.as_ref(),
        subscription: new.subscription_id.as_deref(),
        amount: new.amount,
        provider,
        occurred_at: new.occurred_at.unwrap_or(tx.at),
        properties: &new.properties,
        click,
        program: ProgramId::NONE,
        coupon: new.coupon.as_deref().filter(|code| !code.is_empty()),
        partner_code: new.partner_code.as_deref().filter(|code| !code.is_empty()),
        buyer: buyer.is,
    };
    let made = create(tx, &new)?;
    Ok(Outcome::new(201, &made.answer(tx)?)?)
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

/// A conversion that was just made.
pub(super) struct Made {
    pub(super) row: ConversionRow,
    /// What it earns, where nothing but its sale came of it: no order that was known, no milestone.
    earnings: Option<Vec<Earning>>,
}

impl Made {
    /// As the API answers it.
    fn answer(&self, tx: &Applying<'_>) -> Applied<Conversion> {
        let Some(earnings) = &self.earnings else { return Ok(self.row.answer(tx.db)?) };
        let refunded = self.row.amount.map(|paid| Money { amount: 0, currency: paid.currency });
        let lines = commissions::lines_of(earnings);
        Ok(self.row.answer_with(tx.db, refunded, lines)?)
    }
}

/// Credits a new conversion, stores it and counts it.
pub(super) fn create(tx: &mut Applying<'_>, new: &New<'_>) -> Applied<Made> {
    let id = ConversionId(tx.free_id("conversions", new.id.0)?);
    let fresh_order = new.order.as_ref().is_none_or(|(order, _)| order.fresh);
    let first_of_order = match &new.order {
        Some((order, _)) if pays(new.event) => {
            order.fresh || ConversionRow::paying(tx.db, order.id)?.is_none()
        }
        _ => false,
    };
    let claim = attribution::claim(tx, id, new.click)?;
    let click = claim.as_ref().and_then(|claim| claim.click);
    // Of a customer made just now only this conversion can tell a touch.
    let is_known =
        new.customer.is_some_and(|customer| !customer.fresh || claim.is_some() || new.subscription.is_some());
    let (row, candidates) = attribution::credit_new(tx, blank(tx, id, new)?, claim.as_ref(), is_known)?;
    row.insert(tx, &candidates)?;
    attribution::credited_new(tx, &row)?;
    let new_customer = match new.customer {
        Some(customer) if customer.fresh => {
            customers::is_first(tx, customer.id, id)?;
            true
        }
        Some(_) => customers::is_new(tx, &row)?,
        None => false,
    };
    let mut change = Change { new_customers: i64::from(new_customer), ..Change::default() };
    let mut earnings = None;
    match new.event {
        "lead" => change.leads = 1,
        event if pays(event) => {
            change.conversions = 1;
            change.orders = i64::from(first_of_order);
            change.revenue = new.amount.map_or(0, |money| money.amount);
            // On the whole sale: what went back of it already is taken off under its own date.
            let settled = commissions::settle_new(tx, &row)?;
            change.commission = settled.change;
            earnings = settled.earnings.filter(|_| fresh_order);
        }
        _ => change.events = 1,
    }
    effects::emit(tx, &row, new.occurred_at, new.event, change)?;
    outbound::conversion_created(tx, &row)?;
    if let (Some((order, _)), true) = (&new.order, pays(new.event)) {
        orders::pay(tx, order, new.amount)?;
    }
    // Only now: a touch has the customer's conversions looked at again, of which this is one.
    if let (Some(customer), Some(click)) = (new.customer, click) {
        attribution::touch(tx, customer.id, click)?;
        earnings = None;
    }
    Ok(Made { row, earnings })
}

/// The row of a conversion that nobody is credited with yet.
fn blank(tx: &Applying<'_>, id: ConversionId, new: &New<'_>) -> Applied<ConversionRow> {
    Ok(ConversionRow {
        id,
        workspace: tx.workspace,
        order: new.order.as_ref().map(|(order, _)| order.id),
        order_name: new.order.as_ref().map(|(_, name)| name.clone()),
        event: new.event.to_owned(),
        customer: new.customer.map(|customer| customer.id),
        customer_name: new.customer.map(|customer| customer.name.clone()),
        subscription: new.subscription.map(str::to_owned),
        amount: new.amount,
        provider: new.provider.to_owned(),
        occurred_at: new.occurred_at,
        created_at: tx.at,
        rule: None,
        click: None,
        properties: serde_json::to_string(new.properties)?,
        merged_into: None,
        program: new.program,
        partner: PartnerId::NONE,
        own_program: new.program,
        coupon: new.coupon.map(str::to_owned),
        partner_code: new.partner_code.map(str::to_owned),
        buyer: new.customer.map_or(new.buyer, |customer| &customer.is).to_vec(),
    })
}
