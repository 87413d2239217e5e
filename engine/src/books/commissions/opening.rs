//! A new earning: who is entitled to it, and at which rate of the terms in force when the conversion happened.

use rusqlite::params;
use weir_schemas::commission::{CommissionKind, CommissionStatus, Verdict};
use weir_schemas::ids::compose;
use weir_schemas::ids::{PartnerId, ProgramId};
use weir_schemas::money::Money;
use weir_schemas::partner::PartnerStatus;
use weir_schemas::program::{Cap, CommissionTerms, ProgramSpec, Rate};
use weir_schemas::time::{DAY_MS, Timestamp};

use super::super::apply::Applying;
use super::super::conversion_row::ConversionRow;
use super::super::outcome::Applied;
use super::row::Earning;
use super::terms::{self, Split};
use super::{PARTNER_PENDING, standings};

/// A new earning by the terms in force when the conversion happened; `None` where they give nothing.
pub(super) fn open(
    tx: &mut Applying<'_>,
    conversion: &ConversionRow,
    kind: CommissionKind,
    owner: u64,
) -> Applied<Option<Earning>> {
    let sale = conversion.amount.expect("only a sale entitles");
    let terms = tx.terms_at(conversion.program, conversion.occurred_at)?;
    let Some((version, terms)) = terms else { return Ok(None) };
    if !offers(&terms, kind) {
        return Ok(None);
    }
    let mut held = None;
    if conversion.partner.some().is_some() {
        let partner = tx.memory.partners.spec(tx.db, tx.workspace, conversion.partner)?;
        let status = partner.map(|partner| partner.status);
        let earns = matches!(status, Some(PartnerStatus::Approved | PartnerStatus::Pending));
        // A customer's cashback does not depend on who sent them.
        if !earns && kind != CommissionKind::Cashback {
            return Ok(None);
        }
        held = (status == Some(PartnerStatus::Pending) && kind.is_partners())
            .then(|| PARTNER_PENDING.to_owned());
    }
    let (rate, tier) = match kind {
        CommissionKind::Commission => match commission_rate(tx, conversion, &terms.commission)? {
            Some(found) => found,
            None => return Ok(None),
        },
        CommissionKind::Cashback => (Rate::of_bp(terms.cashback_bp), None),
        CommissionKind::Referral | CommissionKind::Welcome => {
            if !is_first_purchase(tx, conversion)? {
                return Ok(None);
            }
            let referral = terms.referral.unwrap_or_default();
            let rate = if kind == CommissionKind::Referral { referral.referrer } else { referral.referee };
            (rate.unwrap_or_default(), None)
        }
        CommissionKind::Bonus => return Ok(None),
    };
    let new = Earning {
        id: tx.free_id("earnings", compose(tx.at.0, 0, tx.seq))? as i64,
        workspace: tx.workspace,
        conversion: conversion.id,
        kind,
        owner,
        program: conversion.program,
        version,
        tier,
        rate,
        fee_bp: if kind == CommissionKind::Commission { terms.platform_fee_bp } else { 0 },
        sale,
        parts: Split::default(),
        original: 0,
        paid: 0,
        settled: 0,
        // Counted and made live by the caller.
        live: false,
        verdict: held.is_some().then_some(Verdict::Hold),
        reason: held,
        status: CommissionStatus::Pending,
        payout: 0,
        occurred_at: conversion.occurred_at,
        due_at: Timestamp(conversion.occurred_at.0 + i64::from(terms.hold_days) * DAY_MS),
        created_at: tx.at,
        changed_at: tx.at,
        room: None,
        cap: None,
        capped: 0,
        disputed: false,
    };
    Ok(Some(new))
}

/// How much may still be given for a sale by its program's caps, and the cap that says so; nothing where none does.
pub(super) fn room(
    tx: &Applying<'_>,
    program: ProgramId,
    partner: PartnerId,
    sale: Money,
    at: Timestamp,
) -> Applied<Option<(i64, Cap)>> {
    let Some((_, terms)) = tx.terms_at(program, at)? else { return Ok(None) };
    let mut least: Option<(i64, Cap)> = None;
    for cap in terms.commission.caps.iter().filter(|cap| cap.amount.currency == sale.currency) {
        let of = standings::subject(cap.scope, partner);
        let days = standings::days_of_span(cap.per, standings::span_key(cap.per, at));
        let given = standings::given(tx, program, of, &days, sale.currency)?;
        let left = (cap.amount.amount - given).max(0);
        if least.is_none_or(|(least, _)| left < least) {
            least = Some((left, *cap));
        }
    }
    Ok(least)
}

/// Whether a program has anything of this kind, found without asking further.
fn offers(terms: &ProgramSpec, kind: CommissionKind) -> bool {
    match kind {
        CommissionKind::Commission => true,
        CommissionKind::Cashback => terms.cashback_bp > 0,
        CommissionKind::Referral => terms.referral.is_some_and(|referral| referral.referrer.is_some()),
        CommissionKind::Welcome => terms.referral.is_some_and(|referral| referral.referee.is_some()),
        CommissionKind::Bonus => false,
    }
}

/// The rate of a sale: its product's or tag's, else its tier's, else the base. `None`: a renewal that earns no more.
fn commission_rate(
    tx: &Applying<'_>,
    conversion: &ConversionRow,
    terms: &CommissionTerms,
) -> Applied<Option<(Rate, Option<String>)>> {
    if conversion.event == "renewal" && is_beyond(tx, conversion, terms)? {
        return Ok(None);
    }
    if let Some(rate) = product_rate(conversion, terms)? {
        return Ok(Some((rate, None)));
    }
    if terms.tiers.is_empty() {
        return Ok(Some((terms.base, None)));
    }
    let (program, partner) = (conversion.program, conversion.partner);
    let had = standings::had(tx, program, partner, terms.period, conversion.occurred_at)?;
    Ok(Some(match terms::tier(terms, &had) {
        Some(tier) => (tier.rate(), Some(tier.name.clone())),
        None => (terms.base, None),
    }))
}

/// Whether a renewal comes after the months for which its program pays.
fn is_beyond(tx: &Applying<'_>, renewal: &ConversionRow, terms: &CommissionTerms) -> Applied<bool> {
    let Some(months) = terms.recurring_months else { return Ok(false) };
    Ok(renewal.occurred_at >= standings::months_later(first_payment(tx, renewal)?, months))
}

/// Whether a renewal earns no more.
pub(super) fn has_ended(tx: &Applying<'_>, renewal: &ConversionRow) -> Applied<bool> {
    let terms = tx.terms_at(renewal.program, renewal.occurred_at)?;
    terms.map_or(Ok(false), |(_, terms)| is_beyond(tx, renewal, &terms.commission))
}

fn product_rate(conversion: &ConversionRow, terms: &CommissionTerms) -> Applied<Option<Rate>> {
    if terms.products.is_empty() {
        return Ok(None);
    }
    let properties: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&conversion.properties)?;
    let text = |name: &str| properties.get(name).and_then(|value| value.as_str());
    let tags = properties.get("tags").and_then(|tags| tags.as_array());
    let has_tag = |tag: &str| {
        text("tag") == Some(tag) || tags.is_some_and(|tags| tags.iter().any(|one| one.as_str() == Some(tag)))
    };
    let of_product =
        terms.products.iter().find(|one| one.product.is_some() && one.product.as_deref() == text("product"));
    let of_tag = || terms.products.iter().find(|one| one.tag.as_deref().is_some_and(has_tag));
    Ok(of_product.or_else(of_tag).map(|one| one.rate()))
}

/// When the subscription (else the customer) of a renewal paid first.
fn first_payment(tx: &Applying<'_>, conversion: &ConversionRow) -> Applied<Timestamp> {
    let first: Option<i64> = match (&conversion.subscription, conversion.customer) {
        (Some(subscription), _) => tx
            .db
            .prepare_cached(
                "SELECT min(occurred_at) FROM conversions WHERE workspace = ?1 AND subscription = ?2
                     AND event IN ('sale', 'renewal') AND merged_into IS NULL",
            )?
            .query_row(params![tx.workspace.0, subscription], |row| row.get(0))?,
        (None, Some(customer)) => tx
            .db
            .prepare_cached(
                "SELECT min(occurred_at) FROM conversions WHERE customer = ?1
                     AND event IN ('sale', 'renewal') AND merged_into IS NULL",
            )?
            .query_row([customer.0 as i64], |row| row.get(0))?,
        (None, None) => None,
    };
    Ok(Timestamp(first.unwrap_or(conversion.occurred_at.0)))
}

/// Whether the customer had bought nothing before.
fn is_first_purchase(tx: &Applying<'_>, conversion: &ConversionRow) -> Applied<bool> {
    let Some(customer) = conversion.customer else { return Ok(false) };
    let earlier = tx
        .db
        .prepare_cached(
            "SELECT 1 FROM conversions WHERE customer = ?1 AND id != ?2 AND event IN ('sale', 'renewal')
                 AND merged_into IS NULL
                 AND seq <= (SELECT seq FROM conversions WHERE id = ?2)",
        )?
        .exists(params![customer.0 as i64, conversion.id.0 as i64])?;
    Ok(!earlier)
}
