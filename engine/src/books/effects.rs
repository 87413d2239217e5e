//! Effects and the ledger: what a conversion stands for in the numbers. Every effect is written with its
//! balanced ledger entries; a restatement moves what was written, so nothing is ever updated.
//!
//! Ledger: a sale adds to the merchant's `revenue` what it takes from `clearing:<provider>` (what the provider owes);
//! what goes back is taken from `refunds` and added there. See [`super::ledger`].

use std::collections::BTreeMap;

use rusqlite::params;
use weir_schemas::effect::{Change, Effect, LASTING_PROPERTIES, SUBSCRIPTION_PROPERTY};
use weir_schemas::event::{PROPERTY_VALUE_MAX, property_texts};
use weir_schemas::ids::PartnerId;
use weir_schemas::money::Currency;
use weir_schemas::time::Timestamp;
use weir_schemas::wire::truncate;

use super::apply::Applying;
use super::commissions::Earning;
use super::conversion_row::ConversionRow;
use super::ledger::{self, About, Account};
use super::outcome::{Applied, StoreError};
use super::{clicks, suspicion};

/// The events under which money goes back.
pub(super) const REFUND: &str = "refund";
pub(super) const CHARGEBACK: &str = "chargeback";

/// A fact that restates many conversions stops before the next one beyond this many effects.
pub(super) const EFFECTS_SOFT_MAX: u32 = 60_000;

/// The effect of no change at `conversion`'s present coordinates.
fn blank(tx: &Applying<'_>, conversion: &ConversionRow) -> Applied<Effect> {
    let credit = match conversion.click {
        Some(click) => Some(clicks::credit(tx.db, tx.workspace, click)?),
        None => None,
    };
    let money = conversion.pays().then_some(conversion.amount).flatten();
    let mut effect = Effect {
        seq: tx.seq,
        sub: 0,
        workspace: tx.workspace,
        at: conversion.occurred_at,
        event: conversion.event.clone(),
        conversion: conversion.id,
        order_id: conversion.order_name.clone().unwrap_or_default(),
        customer: conversion.customer.unwrap_or_default(),
        provider: conversion.provider.clone(),
        currency: money.map_or(Currency::NONE, |money| money.currency),
        click: conversion.click,
        link: Default::default(),
        program: conversion.program,
        partner: conversion.partner,
        visitor: 0,
        asn: 0,
        verdict: None,
        dims: Default::default(),
        properties: properties(conversion)?,
        change: Change::default(),
    };
    if let Some(credit) = credit {
        effect.link = credit.link;
        effect.visitor = credit.visitor;
        effect.asn = credit.asn;
        effect.dims = credit.dims;
    }
    effect.dims.signal = suspicion::signal(tx, conversion, &effect.dims.signal)?.into();
    Ok(effect)
}

/// What queries know of a conversion beside its click: its own properties, and the subscription it belongs to
/// unless they say something under that name themselves.
fn properties(conversion: &ConversionRow) -> Applied<BTreeMap<String, String>> {
    let mut texts = property_texts(&serde_json::from_str(&conversion.properties)?);
    if let Some(subscription) = &conversion.subscription {
        let name = || truncate(subscription, PROPERTY_VALUE_MAX).to_owned();
        texts.entry(SUBSCRIPTION_PROPERTY.to_owned()).or_insert_with(name);
    }
    Ok(texts)
}

/// Writes what `conversion` adds: `change`, dated `at`, counted under `event`.
pub(super) fn emit(
    tx: &mut Applying<'_>,
    conversion: &ConversionRow,
    at: Timestamp,
    event: &str,
    change: Change,
) -> Applied<()> {
    if change.is_zero() {
        return Ok(());
    }
    let effect = Effect { at, event: event.to_owned(), change, ..blank(tx, conversion)? };
    post(tx, &effect)?;
    write(tx, effect)
}

/// Writes what a bonus adds to what its partner earns. It is nobody's conversion's: a credit that moves leaves it.
pub(super) fn emit_bonus(tx: &mut Applying<'_>, bonus: &Earning, commission: i64) -> Applied<()> {
    if commission == 0 {
        return Ok(());
    }
    let effect = Effect {
        seq: tx.seq,
        sub: 0,
        workspace: tx.workspace,
        at: bonus.occurred_at,
        event: Effect::BONUS.to_owned(),
        conversion: Default::default(),
        order_id: String::new(),
        customer: Default::default(),
        provider: String::new(),
        currency: bonus.sale.currency,
        click: None,
        link: Default::default(),
        program: bonus.program,
        partner: PartnerId(bonus.owner),
        visitor: 0,
        asn: 0,
        verdict: None,
        dims: Default::default(),
        properties: BTreeMap::new(),
        change: Change { commission, ..Change::default() },
    };
    write(tx, effect)
}

pub(super) fn write(tx: &mut Applying<'_>, mut effect: Effect) -> Applied<()> {
    effect.seq = tx.seq;
    effect.sub = u16::try_from(tx.effects).map_err(|_| StoreError::TooManyEffects(tx.seq))?;
    tx.effects += 1;
    tx.db.prepare_cached("INSERT INTO effects VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        tx.seq as i64,
        effect.sub,
        effect.conversion.0 as i64,
        serde_json::to_string(&effect)?
    ])?;
    Ok(())
}

/// Forgets what callers said of a customer in words, and keeps what they said of goods.
pub(super) fn erase(tx: &Applying<'_>, customer: i64) -> Applied<()> {
    let effects: Vec<(i64, u16, String)> = tx
        .db
        .prepare_cached(
            "SELECT seq, sub, payload FROM effects
             WHERE conversion IN (SELECT id FROM conversions WHERE customer = ?1)",
        )?
        .query_map([customer], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (seq, sub, payload) in effects {
        let mut effect: Effect = serde_json::from_str(&payload)?;
        effect.properties.retain(|name, _| LASTING_PROPERTIES.contains(&name.as_str()));
        tx.db
            .prepare_cached("UPDATE effects SET payload = ?3 WHERE seq = ?1 AND sub = ?2")?
            .execute(params![seq, sub, serde_json::to_string(&effect)?])?;
    }
    Ok(())
}

/// The ledger entries of an effect that moves money.
fn post(tx: &mut Applying<'_>, effect: &Effect) -> Applied<()> {
    let Change { revenue, refunds, .. } = effect.change;
    if revenue == 0 && refunds == 0 {
        return Ok(());
    }
    let clearing = format!("clearing:{}", effect.provider);
    let about = |what: &'static str| About { what, conversion: effect.conversion, ..About::default() };
    let returned = if effect.event == CHARGEBACK { CHARGEBACK } else { REFUND };
    for (account, amount, what) in [
        (clearing.as_str(), -revenue, "sale"),
        ("revenue", revenue, "sale"),
        ("refunds", -refunds, returned),
        (clearing.as_str(), refunds, returned),
    ] {
        ledger::post(tx, Account::merchant(account), effect.currency, amount, about(what))?;
    }
    Ok(())
}

/// Everything written for a conversion so far: the sum of the changes at each place (an effect without its
/// change).
fn written(tx: &Applying<'_>, conversion: &ConversionRow) -> Applied<Vec<(Effect, Change)>> {
    let mut statement =
        tx.db.prepare_cached("SELECT payload FROM effects WHERE conversion = ?1 ORDER BY seq, sub")?;
    let mut rows = statement.query([conversion.id.0 as i64])?;
    let mut places: BTreeMap<String, (Effect, Change)> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let mut effect: Effect =
            serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
        let change = std::mem::take(&mut effect.change);
        (effect.seq, effect.sub) = (0, 0);
        let sum = &mut places
            .entry(serde_json::to_string(&effect)?)
            .or_insert_with(|| (effect, Change::default()))
            .1;
        *sum = add(*sum, change);
    }
    Ok(places.into_values().filter(|(_, change)| !change.is_zero()).collect())
}

fn add(a: Change, b: Change) -> Change {
    Change {
        leads: a.leads + b.leads,
        conversions: a.conversions + b.conversions,
        orders: a.orders + b.orders,
        events: a.events + b.events,
        new_customers: a.new_customers + b.new_customers,
        revenue: a.revenue + b.revenue,
        refunds: a.refunds + b.refunds,
        commission: a.commission + b.commission,
        hits: a.hits + b.hits,
    }
}

/// Moves everything written for a conversion to its present coordinates: a pair of changes for each place it
/// left. Money stays in its accounts, so the ledger has no part in it.
pub(super) fn restate(tx: &mut Applying<'_>, conversion: &ConversionRow) -> Applied<()> {
    let now = blank(tx, conversion)?;
    for (old, change) in written(tx, conversion)? {
        let returned = old.event == REFUND || old.event == CHARGEBACK;
        let event = if returned { old.event.clone() } else { now.event.clone() };
        let new = Effect { seq: 0, sub: 0, at: old.at, event, provider: old.provider.clone(), ..now.clone() };
        if new != old {
            write(tx, Effect { change: -change, ..old })?;
            write(tx, Effect { change, ..new })?;
        }
    }
    Ok(())
}

/// Takes back everything written for a conversion, in the ledger too.
pub(super) fn retract(tx: &mut Applying<'_>, conversion: &ConversionRow) -> Applied<()> {
    for (old, change) in written(tx, conversion)? {
        let effect = Effect { change: -change, ..old };
        post(tx, &effect)?;
        write(tx, effect)?;
    }
    Ok(())
}
