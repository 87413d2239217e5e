//! What a provider's event means for orders, subscriptions and customers. The same order may be announced by
//! several events, in any order and together with its refunds; see [`super::orders`] and [`super::returns`].

use rusqlite::params;
use serde_json::Map;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::{ClickClaim, Payment, Returned};
use weir_schemas::ids::{ConversionId, CustomerId, PartnerId, ProgramId};
use weir_schemas::money::{AMOUNT_MAX, Money};
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::conversion_row::{ConversionRow, click_bytes};
use super::conversions::{self, New};
use super::customers::{Buyer, Known};
use super::outcome::Applied;
use super::returns::{self, Kind, Return};
use super::{attribution, clicks, customers, ledger, orders};

/// What became of one payment of a delivery, in the order of precedence of a delivery's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Processed,
    Parked,
    Failed,
}

/// Applies one payment; says what became of it in a sentence.
pub(super) fn apply(
    tx: &mut Applying<'_>,
    provider: &str,
    program: ProgramId,
    payment: &Payment,
) -> Applied<(Fate, String)> {
    match payment {
        Payment::Paid {
            order_keys,
            id,
            renewal,
            amount,
            customer,
            person,
            buyer,
            subscription,
            occurred_at,
            click,
        } => {
            let payer = payer(tx, customer.as_deref(), Buyer { person: person.as_ref(), is: buyer })?;
            let paid = Paid {
                id: *id,
                renewal: *renewal,
                amount: *amount,
                customer: payer,
                buyer,
                subscription: subscription.as_deref(),
                occurred_at: *occurred_at,
                click,
                provider,
                program,
            };
            self::paid(tx, order_keys, &paid)
        }
        Payment::Refunded { order_keys, returned, reason, occurred_at } => {
            let (kind, name, amount) = match returned {
                Returned::Cumulative(total) => (Kind::Cumulative, "", *total),
                Returned::Single { refund, amount, reversed } => {
                    (Kind::Single { reversed: *reversed }, refund.as_str(), *amount)
                }
            };
            goes_back(tx, order_keys, &Return { kind, name, amount, reason: *reason, at: *occurred_at })
        }
        Payment::Disputed { order_keys, dispute, amount, state, occurred_at } => {
            let reason = RefundReason::Chargeback;
            let kind = Kind::Dispute(*state);
            goes_back(
                tx,
                order_keys,
                &Return { kind, name: dispute, amount: *amount, reason, at: *occurred_at },
            )
        }
        Payment::Subscription { subscription, customer, status, price, interval, occurred_at, click } => {
            let customer = payer(tx, customer.as_deref(), Buyer::default())?.map(|known| known.id);
            let news = Subscription {
                name: subscription,
                customer,
                status: Some(status),
                price: *price,
                interval: interval.as_ref(),
                at: *occurred_at,
            };
            subscribe(tx, &news, click)?;
            Ok((Fate::Processed, format!("The subscription is {status}.")))
        }
    }
}

fn payer(tx: &Applying<'_>, customer: Option<&str>, buyer: Buyer<'_>) -> Applied<Option<Known>> {
    customer.map(|name| customers::ensure(tx, name, buyer)).transpose()
}

struct Paid<'a> {
    id: ConversionId,
    renewal: bool,
    amount: Money,
    customer: Option<Known>,
    buyer: &'a [PartnerId],
    subscription: Option<&'a str>,
    occurred_at: Timestamp,
    click: &'a ClickClaim,
    provider: &'a str,
    program: ProgramId,
}

fn paid(tx: &mut Applying<'_>, keys: &[String], paid: &Paid<'_>) -> Applied<(Fate, String)> {
    if keys.is_empty() {
        return Ok((Fate::Failed, "The payment names no order.".to_owned()));
    }
    if !(0..=AMOUNT_MAX).contains(&paid.amount.amount) || !ledger::has_room(tx, paid.amount.currency)? {
        return Ok((Fate::Failed, format!("The amount {} cannot be booked.", paid.amount.amount)));
    }
    let order = orders::ensure(tx, keys)?;
    let customer = paid.customer.as_ref().map(|known| known.id);
    if let Some(name) = paid.subscription {
        let at = paid.occurred_at;
        let news = Subscription { name, customer, status: None, price: None, interval: None, at };
        subscribe(tx, &news, paid.click)?;
    }
    if let (Some(customer), Some((_, click))) = (customer, clicks::note(tx, paid.click)?) {
        attribution::touch(tx, customer, click)?;
    }
    let known = if order.fresh { None } else { ConversionRow::paying(tx.db, order.id)? };
    if let Some(sale) = known {
        attribution::claim(tx, sale.id, paid.click)?;
        let news = orders::News {
            customer,
            subscription: paid.subscription,
            renewal: paid.renewal,
            program: paid.program,
            coupon: None,
            partner_code: None,
            buyer: paid.customer.as_ref().map_or(paid.buyer, |known| &known.is),
        };
        orders::learn(tx, sale.id, &news)?;
        return Ok((Fate::Processed, format!("The order is known: conversion {}.", sale.id)));
    }
    if paid.amount.amount == 0 {
        return Ok((Fate::Processed, "Nothing was paid, so there is no conversion.".to_owned()));
    }
    let name = orders::sold_as(tx, &order, &keys[0])?;
    let new = New {
        id: paid.id,
        order: Some((order, name)),
        event: if paid.renewal { "renewal" } else { "sale" },
        customer: paid.customer.as_ref(),
        subscription: paid.subscription,
        amount: Some(paid.amount),
        provider: paid.provider,
        occurred_at: paid.occurred_at,
        properties: &Map::new(),
        click: paid.click,
        program: paid.program,
        coupon: None,
        partner_code: None,
        buyer: paid.buyer,
    };
    let made = conversions::create(tx, &new)?;
    Ok((Fate::Processed, format!("Booked as conversion {}.", made.row.id)))
}

fn goes_back(tx: &mut Applying<'_>, keys: &[String], record: &Return<'_>) -> Applied<(Fate, String)> {
    if keys.is_empty() {
        return Ok((Fate::Failed, "The refund names no order.".to_owned()));
    }
    if !(0..=AMOUNT_MAX).contains(&record.amount.amount) {
        return Ok((Fate::Failed, format!("The amount {} cannot be booked.", record.amount.amount)));
    }
    let order = orders::ensure(tx, keys)?.id;
    if !returns::record(tx, order, record)? {
        return Ok((Fate::Failed, "The order has too many refunds.".to_owned()));
    }
    match orders::currency(tx, order)? {
        None => Ok((Fate::Parked, "It waits for the payment of its order.".to_owned())),
        Some(currency) if currency != record.amount.currency => {
            let got = record.amount.currency;
            Ok((Fate::Failed, format!("It is in {got}, the order in {currency}.")))
        }
        Some(currency) => {
            returns::settle(tx, order)?;
            let (paid, returned) = orders::sums(tx, order)?;
            Ok((Fate::Processed, format!("{returned} of {paid} {currency} went back so far.")))
        }
    }
}

struct Subscription<'a> {
    name: &'a str,
    customer: Option<CustomerId>,
    status: Option<&'a str>,
    price: Option<Money>,
    interval: Option<&'a (String, u32)>,
    at: Timestamp,
}

/// Keeps the subscription's last known state, and its first click as a touch for the conversions to come.
fn subscribe(tx: &mut Applying<'_>, news: &Subscription<'_>, click: &ClickClaim) -> Applied<()> {
    let click = clicks::note(tx, click)?.map(|(_, click)| click);
    tx.db
        .prepare_cached(
            "INSERT INTO subscriptions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT DO UPDATE SET
                 customer = coalesce(customer, excluded.customer),
                 status = iif(excluded.changed_at >= changed_at, coalesce(excluded.status, status),
                              coalesce(status, excluded.status)),
                 price = iif(excluded.changed_at >= changed_at, coalesce(excluded.price, price),
                             coalesce(price, excluded.price)),
                 currency = iif(excluded.changed_at >= changed_at, coalesce(excluded.currency, currency),
                                coalesce(currency, excluded.currency)),
                 unit = coalesce(excluded.unit, unit), units = coalesce(excluded.units, units),
                 click = coalesce(click, excluded.click),
                 changed_at = iif(excluded.status IS NULL, changed_at, max(changed_at, excluded.changed_at))",
        )?
        .execute(params![
            tx.workspace.0,
            news.name,
            news.customer.map(|customer| customer.0 as i64),
            news.status,
            news.price.map(|price| price.amount),
            news.price.map(|price| price.currency.as_str().to_owned()),
            news.interval.map(|(unit, _)| unit),
            news.interval.map(|(_, units)| units),
            click.map(click_bytes),
            if news.status.is_some() { news.at.0 } else { i64::MIN },
            tx.at.0
        ])?;
    if let Some(click) = click {
        if let Some(customer) = news.customer {
            attribution::touch(tx, customer, click)?;
        }
        attribution::revisit_subscription(tx, news.name, ConversionId::NONE, Timestamp(i64::MIN))?;
    }
    Ok(())
}
