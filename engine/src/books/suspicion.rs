//! What makes clicks and conversions suspicious once money is at stake. A conversion inherits its click's
//! signal and may have its own; a person's verdict on a click may come at any time, moves the hit between
//! verdicts under the click's own dimensions, and restates the conversions credited to it.
//!
//! A verdict holds what the click's conversions earn, and releases it when it is taken back; [`held`] says why.
//! Signals alone hold nothing: they are labels.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use weir_schemas::click::Verdict;
use weir_schemas::conversion::NoticedSignal;
use weir_schemas::effect::{Change, Effect};
use weir_schemas::fact::ClickFacts;
use weir_schemas::ids::{ClickId, ConversionId, WorkspaceId};
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;
use weir_schemas::signal::{CONVERSION_MS_MIN, Signal};
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::conversion_row::{ConversionRow, click_bytes};
use super::outcome::{Applied, Outcome, StoreError};
use super::{attribution, clicks, commissions, effects};

/// A person's verdict on a click, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClickVerdict {
    /// The click.
    pub click_id: ClickId,
    /// `counted` or `blocked`.
    pub verdict: Verdict,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

/// A verdict that came late: from now on the click counts as it says.
pub(super) fn judge(
    tx: &mut Applying<'_>,
    click: &ClickFacts,
    verdict: Verdict,
    reason: Option<&str>,
) -> Applied<Outcome> {
    let first = click.verdict.unwrap_or(Verdict::Counted);
    if first != Verdict::Counted {
        let detail = format!("The click's verdict is {}: it was not counted.", first.as_str());
        return Err(Problem::conflict("not_counted", detail).into());
    }
    let before = standing(tx.db, tx.workspace, click.id)?.map_or(first, |(verdict, _)| verdict);
    let told = ClickVerdict { click_id: click.id, verdict, reason: reason.map(str::to_owned), at: tx.at };
    if before == verdict {
        return Ok(Outcome::new(200, &told)?);
    }
    for (verdict, hits) in [(before, -1), (verdict, 1)] {
        let mut moved =
            Effect { verdict: Some(verdict), change: Change { hits, ..Change::default() }, ..of(tx, click) };
        if verdict == Verdict::Blocked {
            moved.dims.signal = Signal::Manual.as_str().into();
        }
        effects::write(tx, moved)?;
    }
    tx.db
        .prepare_cached(
            "INSERT INTO click_verdicts VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
                 verdict = excluded.verdict, reason = excluded.reason, at = excluded.at",
        )?
        .execute(params![tx.workspace.0, click_bytes(click.id), verdict.as_str(), reason, tx.at.0])?;
    let credited: Vec<i64> = tx
        .db
        .prepare_cached("SELECT id FROM conversions WHERE workspace = ?1 AND click = ?2 ORDER BY id")?
        .query_map(params![tx.workspace.0, click_bytes(click.id)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let why = held(tx.db, tx.workspace, Some(click.id))?;
    for id in credited {
        let conversion = attribution::reconsider(tx, ConversionId(id as u64))?;
        commissions::hold_by_click(tx, &conversion, why.as_deref())?;
    }
    Ok(Outcome::new(200, &told)?)
}

fn of(tx: &Applying<'_>, click: &ClickFacts) -> Effect {
    Effect {
        seq: tx.seq,
        sub: 0,
        workspace: tx.workspace,
        at: Timestamp(click.id.unix_ms()),
        event: Effect::VERDICT.to_owned(),
        conversion: ConversionId::NONE,
        order_id: String::new(),
        customer: Default::default(),
        provider: String::new(),
        currency: Currency::NONE,
        click: Some(click.id),
        link: click.link,
        program: click.program,
        partner: click.partner,
        visitor: click.visitor,
        asn: click.asn,
        verdict: None,
        dims: click.dims.clone(),
        properties: Default::default(),
        change: Change::default(),
    }
}

fn standing(
    db: &Connection,
    workspace: WorkspaceId,
    click: ClickId,
) -> Result<Option<(Verdict, Option<String>)>, StoreError> {
    let row: Option<(String, Option<String>)> = db
        .prepare_cached("SELECT verdict, reason FROM click_verdicts WHERE workspace = ?1 AND click = ?2")?
        .query_row(params![workspace.0, click_bytes(click)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(row.and_then(|(verdict, reason)| Some((Verdict::from_name(&verdict)?, reason))))
}

/// Why what a conversion earns is to be held: its click was judged not to count.
pub(super) fn held(
    db: &Connection,
    workspace: WorkspaceId,
    click: Option<ClickId>,
) -> Result<Option<String>, StoreError> {
    let Some(click) = click else { return Ok(None) };
    let judged = standing(db, workspace, click)?.filter(|(verdict, _)| *verdict != Verdict::Counted);
    Ok(judged.map(|(_, reason)| reason.unwrap_or_else(|| "no reason was given".to_owned())))
}

/// The gravest signal of a conversion: its own, or `of_click`, its click's; empty where there is none.
pub(super) fn signal(
    tx: &Applying<'_>,
    conversion: &ConversionRow,
    of_click: &str,
) -> Result<&'static str, StoreError> {
    let noticed = noticed(tx.db, conversion, of_click, own_purchase(tx, conversion)?)?;
    Ok(noticed.first().map_or("", |noticed| noticed.signal.as_str()))
}

/// The signals of a conversion and of its click, the gravest first.
pub(super) fn of_conversion(
    db: &Connection,
    conversion: &ConversionRow,
) -> Result<Vec<NoticedSignal>, StoreError> {
    let of_click = match conversion.click {
        Some(click) => clicks::credit(db, conversion.workspace, click)?.dims.signal.into_owned(),
        None => String::new(),
    };
    let customer_id: Option<String> = match conversion.partner.some() {
        Some(partner) => db
            .prepare_cached("SELECT spec ->> '$.customer_id' FROM partners WHERE id = ?1")?
            .query_row([partner.0 as i64], |row| row.get(0))
            .optional()?
            .flatten(),
        None => None,
    };
    noticed(db, conversion, &of_click, own_purchase_of(conversion, customer_id.as_deref()))
}

fn noticed(
    db: &Connection,
    conversion: &ConversionRow,
    of_click: &str,
    own_purchase: Option<String>,
) -> Result<Vec<NoticedSignal>, StoreError> {
    let mut all = Vec::new();
    let mut notice = |signal, evidence| all.push(NoticedSignal { signal, evidence });
    if let Some(reason) = held(db, conversion.workspace, conversion.click)? {
        notice(Signal::Manual, reason);
    }
    if let Some(evidence) = own_purchase {
        notice(Signal::SelfReferral, evidence);
    }
    if let Some(click) = conversion.click {
        let after = conversion.occurred_at.0 - click.unix_ms();
        if (0..CONVERSION_MS_MIN).contains(&after) {
            notice(Signal::FastConversion, format!("{after} ms after its click"));
        }
    }
    if let Some(signal) = Signal::from_name(of_click) {
        notice(signal, "noticed on its click".to_owned());
    }
    all.sort_by_key(|noticed| std::cmp::Reverse(noticed.signal));
    Ok(all)
}

/// Whether partners buy from themselves here, and by what it is known: then they earn nothing.
pub(super) fn own_purchase(
    tx: &Applying<'_>,
    conversion: &ConversionRow,
) -> Result<Option<String>, StoreError> {
    let partner = tx.memory.partners.spec(tx.db, conversion.workspace, conversion.partner)?;
    Ok(own_purchase_of(conversion, partner.as_ref().and_then(|partner| partner.customer_id.as_deref())))
}

/// By the caller's own id of the partner as a customer, else by the mail address.
fn own_purchase_of(conversion: &ConversionRow, customer_id: Option<&str>) -> Option<String> {
    let partner = conversion.partner.some()?;
    match &conversion.customer_name {
        Some(customer) if customer_id == Some(customer) => {
            Some(format!("the customer `{customer}` is {partner}"))
        }
        _ if conversion.buyer.contains(&partner) => {
            Some(format!("the buyer has the mail address of {partner}"))
        }
        _ => None,
    }
}
