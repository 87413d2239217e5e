//! What is earned by a conversion: partners' commissions and referrals, customers' cashback and welcome gifts. Each is
//! an *earning*: a row that says at which rate of which version it was made, what it is worth now, and how far it is on
//! its way; and the ledger entries that put its money where the row says. One long file, because each way in which an
//! earning changes ends in the same few steps.
//!
//! [`settle`] makes the earnings of a conversion what they should be now (its credit, what went back of it) and books
//! the differences: so a refund, a lost credit or a won dispute are all one way, and any order of arrival ends in the
//! same balances. An earning keeps its rate for ever, whatever its program becomes.
//!
//! Time: what is pending is approved by the first fact whose own time is beyond its hold ([`mature`]); where no other
//! comes along, housekeeping records a `TimePassed`. So a replay approves the same things at the same sequences.

use std::cmp::Ordering;

use rusqlite::params;
use weir_schemas::commission::{CommissionKind, CommissionStatus, Verdict};
use weir_schemas::conversion::CommissionLine;
use weir_schemas::effect::Change;
use weir_schemas::ids::{CommissionId, ConversionId, CustomerId, PartnerId, PayoutId, ProgramId};
use weir_schemas::money::Money;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::conversion_row::ConversionRow;
use super::effects;
use super::ledger::{About, Account, post};
use super::outcome::{Applied, Outcome, StoreError};
use super::returns;
use super::{milestones, suspicion};

mod bonus;
mod opening;
mod reads;
mod row;
pub(super) mod standings;
pub(super) mod terms;

pub(super) use bonus::{Bonus, give_bonus};
use opening::{has_ended, open};
pub use reads::CommissionFilter;
pub(super) use row::Earning;
use standings::Counted;
use terms::{Split, split_within};

/// How many pending earnings one fact approves at most; the next fact goes on.
const MATURED_MAX: i64 = 2_000;
/// Why the earnings of a partner who is not approved yet are held.
const PARTNER_PENDING: &str = "The partner is not approved yet.";
/// Before the reason for which the earnings of a judged click are held.
const CLICK_JUDGED: &str = "Its click was judged: ";
const CREDIT_MOVED: &str = "The conversion is credited elsewhere.";
const OWN_PURCHASE: &str = "The partner bought from themselves.";
const RETURNED: &str = "All of the sale went back.";
/// Why what a disputed sale earns is held.
const DISPUTED: &str = "The sale is in dispute.";

/// How much of a conversion's money went back, as far as what it earns is concerned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// For good: refunds, lost disputes.
    pub(super) returned: i64,
    /// Some of it is in a dispute that is open: what it earns is held meanwhile.
    pub(super) disputed: bool,
}

/// Makes the earnings of a conversion what they should be, with `gone` of its money. Gives what that changes of what
/// partners earn; the caller writes the effect.
pub(super) fn settle(tx: &mut Applying<'_>, conversion: &ConversionRow, gone: Gone) -> Applied<i64> {
    let known = Earning::of_conversion(tx.db, conversion.workspace, conversion.id)?;
    Ok(settle_from(tx, conversion, gone, known)?.change)
}

/// As [`settle`], for a conversion that was just made.
pub(super) fn settle_new(tx: &mut Applying<'_>, conversion: &ConversionRow) -> Applied<Settled> {
    settle_from(tx, conversion, Gone::default(), Vec::new())
}

/// What settling did.
pub(super) struct Settled {
    /// What partners earn more or less.
    pub(super) change: i64,
    /// All that the conversion earns now, in the order in which it was made; nothing where that is to be read.
    pub(super) earnings: Option<Vec<Earning>>,
}

fn settle_from(
    tx: &mut Applying<'_>,
    conversion: &ConversionRow,
    gone: Gone,
    mut known: Vec<Earning>,
) -> Applied<Settled> {
    let mut earnings = known.is_empty().then(Vec::new);
    let mut change = 0;
    // What was taken for a sale may turn out to be a renewal, which may earn nothing.
    let ended = conversion.event == "renewal" && !known.is_empty() && has_ended(tx, conversion)?;
    let own_purchase = suspicion::own_purchase(tx, conversion)?.is_some();
    for (kind, owner) in entitled(conversion) {
        // A customer's cashback does not depend on who sent them.
        if own_purchase && kind != CommissionKind::Cashback {
            continue;
        }
        if ended && kind == CommissionKind::Commission {
            continue;
        }
        let mine = known.iter().position(|earning| {
            earning.kind == kind && earning.owner == owner && earning.program == conversion.program
        });
        let (before, is_new) = match mine {
            Some(index) => (known.swap_remove(index), false),
            None => match open(tx, conversion, kind, owner)? {
                Some(new) => (new, true),
                None => continue,
            },
        };
        let mut now = before.clone();
        if is_new
            && now.verdict.is_none()
            && let Some(why) = suspicion::held(tx.db, conversion.workspace, conversion.click)?
        {
            now.verdict = Some(Verdict::Hold);
            now.reason = Some(format!("{CLICK_JUDGED}{why}"));
        }
        let counts = !now.live;
        if counts {
            now.live = true;
            now.reason = now.reason.filter(|reason| reason != CREDIT_MOVED && reason != OWN_PURCHASE);
            limit(tx, &mut now)?;
            count(tx, &now, 1)?;
        }
        let (now, more) = revalue(tx, &before, now, gone, is_new)?;
        change += more;
        if let Some(earnings) = &mut earnings {
            earnings.push(now);
        }
        if counts && kind == CommissionKind::Commission {
            let (partner, at) = (PartnerId(owner), conversion.occurred_at);
            if milestones::check(tx, conversion.program, partner, at, conversion.id)? {
                earnings = None;
            }
        }
    }
    for before in known {
        if before.live && before.kind != CommissionKind::Bonus {
            let why = if own_purchase { OWN_PURCHASE } else { CREDIT_MOVED };
            let now = Earning { live: false, reason: Some(why.to_owned()), ..before.clone() };
            count(tx, &now, -1)?;
            change += revalue(tx, &before, now, gone, false)?.1;
        }
    }
    Ok(Settled { change, earnings })
}

/// What an earning is worth before anything goes back, and what its program's caps leave of that now.
fn limit(tx: &Applying<'_>, now: &mut Earning) -> Applied<()> {
    (now.room, now.cap, now.capped) = (None, None, 0);
    let full = split_within(now.rate, now.fee_bp, now.sale, now.sale.amount, None);
    now.original = full.earned;
    if now.kind == CommissionKind::Commission
        && let Some((room, cap)) =
            opening::room(tx, now.program, PartnerId(now.owner), now.sale, now.occurred_at)?
        && room < full.earned + full.fee
    {
        let left = split_within(now.rate, now.fee_bp, now.sale, now.sale.amount, Some(room));
        (now.room, now.cap, now.original) = (Some(room), Some(cap), left.earned);
        now.capped = full.earned - left.earned;
    }
    Ok(())
}

/// As [`settle`], and writes the effect, dated `at` and counted under `event`.
pub(super) fn settle_at(
    tx: &mut Applying<'_>,
    conversion: &ConversionRow,
    gone: Gone,
    at: Timestamp,
    event: &str,
) -> Applied<()> {
    let commission = settle(tx, conversion, gone)?;
    effects::emit(tx, conversion, at, event, Change { commission, ..Change::default() })
}

/// After a conversion's credit or customer changed.
pub(super) fn resettle(tx: &mut Applying<'_>, conversion: &ConversionRow) -> Applied<()> {
    if !conversion.pays() {
        return Ok(());
    }
    let gone = returns::gone(tx, conversion)?;
    settle_at(tx, conversion, gone, conversion.occurred_at, &conversion.event)
}

/// The conversion turned out to be another's announcement: its earnings are taken back. Its effects are retracted
/// whole by the caller.
pub(super) fn retract(tx: &mut Applying<'_>, gone: &ConversionRow) -> Applied<()> {
    let nobodys = ConversionRow { partner: PartnerId::NONE, customer: None, ..gone.clone() };
    settle(tx, &nobodys, Gone::default())?;
    Ok(())
}

/// Whom a conversion could earn something by its credit.
fn entitled(conversion: &ConversionRow) -> Vec<(CommissionKind, u64)> {
    let mut entitled = Vec::new();
    if !conversion.pays() || conversion.amount.is_none() || conversion.program.some().is_none() {
        return entitled;
    }
    if let Some(partner) = conversion.partner.some() {
        entitled.push((CommissionKind::Commission, partner.0));
        if conversion.customer.is_some() {
            entitled.push((CommissionKind::Referral, partner.0));
        }
    }
    if let Some(customer) = conversion.customer {
        entitled.push((CommissionKind::Cashback, customer.0));
        if conversion.partner.some().is_some() {
            entitled.push((CommissionKind::Welcome, customer.0));
        }
    }
    entitled
}

/// A commission's sale counts for its partner's standing as long as it is credited to them.
fn count(tx: &Applying<'_>, earning: &Earning, sign: i64) -> Applied<()> {
    if earning.kind != CommissionKind::Commission {
        return Ok(());
    }
    let partner = PartnerId(earning.owner);
    let full = split_within(earning.rate, earning.fee_bp, earning.sale, earning.sale.amount, earning.room);
    let counted = Counted {
        orders: 1,
        revenue: earning.sale.amount,
        given: full.earned + full.fee,
        ..Counted::default()
    };
    standings::count(tx, earning.program, partner, earning.occurred_at, earning.sale.currency, counted, sign)
}

/// Counts a signup for who is credited with it, or takes it back; nothing where nobody is.
pub(super) fn count_signup(
    tx: &mut Applying<'_>,
    conversion: &ConversionRow,
    (program, partner): (ProgramId, PartnerId),
    sign: i64,
) -> Applied<()> {
    if program.some().is_none() || partner.some().is_none() {
        return Ok(());
    }
    let at = conversion.occurred_at;
    let counted = Counted { signups: 1, ..Counted::default() };
    standings::count(tx, program, partner, at, weir_schemas::money::Currency::NONE, counted, sign)?;
    if sign > 0 {
        milestones::check(tx, program, partner, at, conversion.id)?;
    }
    Ok(())
}

/// Computes an earning anew on what is left of its sale, stores it and books the difference. Gives it as it is then,
/// and what partners earn more or less by it.
fn revalue(
    tx: &mut Applying<'_>,
    before: &Earning,
    mut now: Earning,
    gone: Gone,
    is_new: bool,
) -> Applied<(Earning, i64)> {
    let left = (now.sale.amount - gone.returned).max(0);
    // What is in a payout or was paid is not held any more; what is lost of it lowers the next.
    now.disputed = gone.disputed && now.kind != CommissionKind::Bonus && now.live;
    now.parts = if now.kind == CommissionKind::Bonus {
        now.parts
    } else if now.live {
        split_within(now.rate, now.fee_bp, now.sale, left, now.room)
    } else {
        Split::default()
    };
    if now.verdict == Some(Verdict::Reject) {
        now.parts = Split::default();
    }
    now.status = status(&now, tx.at);
    explain(&mut now);
    if now.status == CommissionStatus::Reversed && now.reason.is_none() {
        now.reason = Some(RETURNED.to_owned());
    } else if now.status != CommissionStatus::Reversed && now.reason.as_deref() == Some(RETURNED) {
        now.reason = None;
    }
    if now == *before {
        return Ok((now, 0));
    }
    let held = |earning: &Earning| earning.status == CommissionStatus::Held;
    let what = match now.parts.earned.cmp(&before.parts.earned) {
        _ if is_new => now.kind.as_str(),
        Ordering::Greater => "restoration",
        Ordering::Less => "reversal",
        Ordering::Equal if held(&now) => "hold",
        Ordering::Equal if held(before) => "release",
        Ordering::Equal => "approval",
    };
    place(tx, before, &now, what)?;
    now.changed_at = tx.at;
    if is_new {
        now.insert(tx)?;
    } else {
        now.update(tx)?;
    }
    let more = if now.kind.is_partners() { now.parts.earned - before.parts.earned } else { 0 };
    Ok((now, more))
}

/// How far an earning is, from all that its row says and the time.
fn status(earning: &Earning, at: Timestamp) -> CommissionStatus {
    let earned = earning.parts.earned;
    if earning.verdict == Some(Verdict::Reject) {
        CommissionStatus::Rejected
    } else if !earning.live || (earned == 0 && earning.original > 0) {
        CommissionStatus::Reversed
    } else if earning.verdict == Some(Verdict::Hold) || (earning.disputed && earning.paid == 0) {
        CommissionStatus::Held
    } else if earning.settled > 0 && earned <= earning.settled {
        CommissionStatus::Paid
    } else if earning.due_at <= at || earning.verdict == Some(Verdict::Approve) {
        CommissionStatus::Approved
    } else {
        CommissionStatus::Pending
    }
}

/// Says of what a dispute alone holds why it is held.
fn explain(now: &mut Earning) {
    let held = now.status == CommissionStatus::Held;
    if held && now.reason.is_none() {
        now.reason = Some(DISPUTED.to_owned());
    } else if !held && now.reason.as_deref() == Some(DISPUTED) {
        now.reason = None;
    }
}

/// Moves an earning's money from where it was to where it is now.
fn place(tx: &mut Applying<'_>, before: &Earning, now: &Earning, what: &'static str) -> Applied<()> {
    let about = About { what, conversion: now.conversion, commission: now.id, payout: 0 };
    let currency = now.sale.currency;
    let (earned, fee) = (now.parts.earned - before.parts.earned, now.parts.fee - before.parts.fee);
    let giver = if now.kind.is_partners() { "commissions" } else { "cashback" };
    post(tx, Account::merchant(giver), currency, -(earned + fee), about)?;
    post(tx, Account::platform(), currency, fee, About { what: "platform_fee", ..about })?;
    let (from, to) = (before.account(), now.account());
    let (had, has) = (before.parts.earned - before.paid, now.parts.earned - now.paid);
    if from == to {
        post(tx, to, currency, has - had, about)
    } else {
        post(tx, from, currency, -had, about)?;
        post(tx, to, currency, has, about)
    }
}

/// Approves what is beyond its hold by the fact's own time.
pub(super) fn mature(tx: &mut Applying<'_>) -> Result<(), StoreError> {
    if !tx.memory.may_be_due(tx.db, tx.workspace, tx.at.0)? {
        return Ok(());
    }
    tx.memory.due_changed(tx.workspace);
    let due: Vec<i64> = tx
        .db
        .prepare_cached(
            "SELECT id FROM earnings WHERE workspace = ?1 AND state = 'pending' AND due_at <= ?2
             ORDER BY due_at, id LIMIT ?3",
        )?
        .query_map(params![tx.workspace.0, tx.at.0, MATURED_MAX], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in due {
        let before = Earning::find(tx.db, tx.workspace, id)?.expect("just selected");
        let now = Earning { status: CommissionStatus::Approved, changed_at: tx.at, ..before.clone() };
        let placed = place(tx, &before, &now, "approval").and_then(|()| now.update(tx));
        match placed {
            Ok(()) => {}
            Err(super::outcome::Stop::Failed(error)) => return Err(error),
            Err(super::outcome::Stop::Refused(_)) => unreachable!("an approval refuses nothing"),
        }
    }
    Ok(())
}

/// `CommissionJudged`.
pub(super) fn judge(
    tx: &mut Applying<'_>,
    id: CommissionId,
    verdict: Verdict,
    reason: Option<&str>,
) -> Applied<Outcome> {
    let before = Earning::find(tx.db, tx.workspace, id.0 as i64)?;
    let before = before.ok_or_else(|| Problem::not_found("commission"))?;
    let stands = |why: &str| -> Applied<()> {
        Err(Problem::conflict(
            "commission_state",
            format!("The commission is {}: {why}", before.status.as_str()),
        )
        .into())
    };
    if before.verdict == Some(Verdict::Reject) && verdict != Verdict::Reject {
        stands("a rejection is final.")?;
    }
    if before.paid > 0 && verdict == Verdict::Hold {
        stands("it is in a payout or was paid.")?;
    }
    if verdict == Verdict::Release && before.verdict != Some(Verdict::Hold) {
        stands("only what is held can be released.")?;
    }
    let mut now = before.clone();
    now.verdict = if verdict == Verdict::Release { None } else { Some(verdict) };
    now.reason = match verdict {
        Verdict::Hold | Verdict::Reject => reason.map(str::to_owned),
        Verdict::Approve | Verdict::Release => None,
    };
    let conversion = ConversionRow::find(tx.db, before.conversion)?.expect("earnings have a conversion");
    let gone = returns::gone(tx, &conversion)?;
    let (_, commission) = revalue(tx, &before, now.clone(), gone, false)?;
    if before.kind == CommissionKind::Bonus {
        effects::emit_bonus(tx, &now, commission)?;
    } else {
        let change = Change { commission, ..Change::default() };
        effects::emit(tx, &conversion, tx.at, &conversion.event, change)?;
    }
    let now = reads::find(tx.db, tx.workspace, id)?.expect("just changed");
    Ok(Outcome::new(200, &now)?)
}

/// Holds what a conversion's partners earn, or releases what was held for this alone: its click was judged
/// ([`super::suspicion`]). What a person decided on the commission itself stands, and so does what was paid.
pub(super) fn hold_by_click(
    tx: &mut Applying<'_>,
    conversion: &ConversionRow,
    why: Option<&str>,
) -> Applied<()> {
    for before in Earning::of_conversion(tx.db, conversion.workspace, conversion.id)? {
        let by_click = before.reason.as_deref().is_some_and(|reason| reason.starts_with(CLICK_JUDGED));
        let (verdict, reason) = match why {
            Some(why) if before.verdict.is_none() && before.paid == 0 => {
                (Some(Verdict::Hold), Some(format!("{CLICK_JUDGED}{why}")))
            }
            None if before.verdict == Some(Verdict::Hold) && by_click => (None, None),
            _ => continue,
        };
        let mut now = Earning { verdict, reason, changed_at: tx.at, ..before.clone() };
        now.status = status(&now, tx.at);
        explain(&mut now);
        place(tx, &before, &now, if why.is_some() { "hold" } else { "release" })?;
        now.update(tx)?;
    }
    Ok(())
}

/// A partner was approved: what was held for that is released.
pub(super) fn release_partner(tx: &mut Applying<'_>, partner: PartnerId) -> Applied<()> {
    let held: Vec<i64> = tx
        .db
        .prepare_cached(
            "SELECT id FROM earnings WHERE workspace = ?1 AND owner_id = ?2 AND state = 'held' AND reason = ?3
             ORDER BY id",
        )?
        .query_map(params![tx.workspace.0, partner.0 as i64, PARTNER_PENDING], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in held {
        let before = Earning::find(tx.db, tx.workspace, id)?.expect("just selected");
        let mut now = Earning { verdict: None, reason: None, changed_at: tx.at, ..before.clone() };
        now.status = status(&now, tx.at);
        explain(&mut now);
        place(tx, &before, &now, "release")?;
        now.update(tx)?;
    }
    Ok(())
}

/// A payout came back: what was in it is where it would be without.
pub(super) fn look_again(tx: &mut Applying<'_>, payout: PayoutId) -> Applied<()> {
    let items: Vec<i64> = tx
        .db
        .prepare_cached("SELECT earning FROM payout_items WHERE payout = ?1 ORDER BY earning")?
        .query_map([payout.0 as i64], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in items {
        let before = Earning::find(tx.db, tx.workspace, id)?.expect("payouts hold earnings");
        let mut now = before.clone();
        now.status = status(&now, tx.at);
        explain(&mut now);
        if now.status != before.status {
            now.changed_at = tx.at;
            place(tx, &before, &now, if now.status == CommissionStatus::Held { "hold" } else { "release" })?;
            now.update(tx)?;
        }
    }
    Ok(())
}

/// What partners earn by a conversion, as its answer lists it.
pub(super) fn lines(
    db: &rusqlite::Connection,
    conversion: &ConversionRow,
) -> Result<Vec<CommissionLine>, StoreError> {
    let earnings = Earning::of_conversion(db, conversion.workspace, conversion.id)?;
    Ok(lines_of(&earnings))
}

/// Of all that a conversion earns, what partners do.
pub(super) fn lines_of(earnings: &[Earning]) -> Vec<CommissionLine> {
    let partners = earnings
        .iter()
        .filter(|earning| earning.kind.is_partners() && (earning.original > 0 || earning.capped > 0));
    let line = |earning: &Earning| {
        let currency = earning.sale.currency;
        CommissionLine {
            id: CommissionId(earning.id as u64),
            kind: earning.kind,
            partner_id: PartnerId(earning.owner),
            amount: Money { amount: earning.parts.earned, currency },
            platform_fee: Money { amount: earning.parts.fee, currency },
            tier: earning.tier.clone(),
            status: earning.status,
        }
    };
    partners.map(line).collect()
}

impl Earning {
    /// Where its money is that is in no payout.
    fn account(&self) -> Account<'static> {
        let kind = match (self.kind.is_partners(), self.status) {
            (true, CommissionStatus::Pending) => "pending",
            (true, CommissionStatus::Held) => "held",
            (true, _) => "approved",
            (false, CommissionStatus::Pending) => "cashback_pending",
            (false, CommissionStatus::Held) => "cashback_held",
            (false, _) => "cashback_available",
        };
        if self.kind.is_partners() {
            Account::partner(PartnerId(self.owner), kind)
        } else {
            Account::customer(CustomerId(self.owner), kind)
        }
    }
}

/// A conversion's id in an earning's row.
pub(super) fn conversion_of(id: i64) -> ConversionId {
    ConversionId(id as u64)
}
