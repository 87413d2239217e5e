//! What goes back of an order: refunds and disputes, told in three ways that overlap.
//!
//! - `single`: one refund by its id; reversed when it failed. What is live of them adds up.
//! - `cumulative`: all refunds in total. Each total is a record of its own and takes what it adds to the one below
//!   it; the largest counts in all, less the reversed singles.
//! - `dispute`: open or lost it takes its amount, won or as an inquiry it takes nothing. While it is open,
//!   what the sale earns is held and not taken back.
//!
//! The total refunded is the larger of the two tellings; with the disputes it never exceeds what was paid.
//! [`settle`] computes from the set of records, not from their order of arrival, what each of them takes, and
//! books the differences. So records that come before their payment simply wait, and any order of arrival
//! ends in the same numbers. Every record is dated by when it was first told of: a refund that failed and a dispute
//! that was won leave nothing behind, on no day.

use rusqlite::{Connection, Row, params};
use weir_schemas::conversion::RefundReason;
use weir_schemas::effect::Change;
use weir_schemas::fact::DisputeState;
use weir_schemas::ids::ConversionId;
use weir_schemas::money::Money;
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::commissions::Gone;
use super::conversion_row::ConversionRow;
use super::effects::{self, CHARGEBACK, REFUND};
use super::outcome::{Applied, StoreError};
use super::{commissions, orders, outbound};

/// How many refunds and disputes one order may have.
pub const RETURNS_MAX: i64 = 1_000;

/// One record of something that goes back.
pub(super) struct Return<'a> {
    pub(super) kind: Kind,
    /// The refund's or dispute's id; nothing for a cumulative record, whose name is its total.
    pub(super) name: &'a str,
    pub(super) amount: Money,
    pub(super) reason: RefundReason,
    pub(super) at: Timestamp,
}

/// How it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Single { reversed: bool },
    Cumulative,
    Dispute(DisputeState),
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Single { .. } => "single",
            Self::Cumulative => "cumulative",
            Self::Dispute(_) => "dispute",
        }
    }

    fn state(self) -> &'static str {
        match self {
            Self::Single { reversed: true } => "reversed",
            Self::Single { reversed: false } | Self::Cumulative => "live",
            Self::Dispute(DisputeState::Inquiry) => "inquiry",
            Self::Dispute(DisputeState::Open) => "open",
            Self::Dispute(DisputeState::Lost) => "lost",
            Self::Dispute(DisputeState::Won) => "won",
        }
    }
}

/// How far a record is decided: a later state is never overtaken by an earlier one that arrives late.
fn stage(state: &str) -> u8 {
    match state {
        "live" | "inquiry" => 0,
        "open" => 1,
        "reversed" | "won" | "lost" => 2,
        _ => unreachable!("states are written by this file"),
    }
}

fn reason_name(reason: RefundReason) -> &'static str {
    match reason {
        RefundReason::Refund => REFUND,
        RefundReason::Chargeback => CHARGEBACK,
    }
}

struct Record {
    kind: String,
    name: String,
    amount: i64,
    currency: String,
    reason: String,
    state: String,
    at: i64,
    changed_at: i64,
    taken: i64,
    taken_at: i64,
    taken_as: String,
    answer: Option<String>,
    /// What of `taken` only holds what is earned: an open dispute's.
    withheld: i64,
}

const COLUMNS: &str = "kind, name, amount, currency, reason, state, at, changed_at, taken, taken_at, taken_as, answer, withheld";

impl Record {
    /// The event under which it goes back.
    fn event(&self) -> &str {
        if self.kind == "dispute" { CHARGEBACK } else { &self.reason }
    }

    /// What it takes as it is booked.
    fn taken(&self) -> Taken {
        Taken { booked: self.taken, withheld: self.withheld }
    }

    /// What it takes with this share.
    fn takes(&self, share: i64) -> Taken {
        Taken { booked: share, withheld: if self.state == "open" { share } else { 0 } }
    }

    /// Whether what it takes was booked under another date or event than it should be.
    fn has_moved(&self) -> bool {
        self.taken != 0 && (self.taken_at, self.taken_as.as_str()) != (self.at, self.event())
    }

    /// What of its booking can stay when its share is this.
    fn kept(&self, share: i64) -> Taken {
        if self.has_moved() {
            return Taken::default();
        }
        let (old, new) = (self.taken(), self.takes(share));
        Taken { booked: old.booked.min(new.booked), withheld: old.withheld.min(new.withheld) }
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        kind: row.get(0)?,
        name: row.get(1)?,
        amount: row.get(2)?,
        currency: row.get(3)?,
        reason: row.get(4)?,
        state: row.get(5)?,
        at: row.get(6)?,
        changed_at: row.get(7)?,
        taken: row.get(8)?,
        taken_at: row.get(9)?,
        taken_as: row.get(10)?,
        answer: row.get(11)?,
        withheld: row.get(12)?,
    })
}

fn all(tx: &Applying<'_>, order: i64) -> Applied<Vec<Record>> {
    let records = tx
        .db
        .prepare_cached(&format!("SELECT {COLUMNS} FROM returns WHERE ord = ?1 ORDER BY kind, name"))?
        .query_map([order], read)?
        .collect::<Result<_, _>>()?;
    Ok(records)
}

/// Adds a record to an order, or brings what it says to the record of that name. `false`: the order has too
/// many.
pub(super) fn record(tx: &mut Applying<'_>, order: i64, new: &Return<'_>) -> Applied<bool> {
    let count: i64 = tx
        .db
        .prepare_cached("SELECT count(*) FROM returns WHERE ord = ?1")?
        .query_row([order], |row| row.get(0))?;
    if count >= RETURNS_MAX {
        return Ok(false);
    }
    let record = Record {
        kind: new.kind.name().to_owned(),
        name: match new.kind {
            Kind::Cumulative => format!("{:016}", new.amount.amount),
            _ => new.name.to_owned(),
        },
        amount: new.amount.amount,
        currency: new.amount.currency.as_str().to_owned(),
        reason: reason_name(new.reason).to_owned(),
        state: new.kind.state().to_owned(),
        at: new.at.0,
        changed_at: new.at.0,
        taken: 0,
        taken_at: 0,
        taken_as: String::new(),
        answer: None,
        withheld: 0,
    };
    let known = all(tx, order)?.into_iter().find(|old| old.kind == record.kind && old.name == record.name);
    let record = match known {
        Some(old) => combine(old, record),
        None => record,
    };
    put(tx, order, &record)
}

fn put(tx: &Applying<'_>, order: i64, record: &Record) -> Applied<bool> {
    tx.db
        .prepare_cached(
            "INSERT OR REPLACE INTO returns
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            order,
            record.kind,
            record.name,
            record.amount,
            record.currency,
            record.reason,
            record.state,
            record.at,
            record.changed_at,
            record.taken,
            record.taken_at,
            record.taken_as,
            record.answer,
            record.withheld
        ])?;
    Ok(true)
}

/// Two tellings of one record, the same whichever came first.
fn combine(a: Record, b: Record) -> Record {
    let order = |r: &Record| (stage(&r.state), r.changed_at, r.state.clone());
    let answer = a.answer.clone().or_else(|| b.answer.clone());
    let at = a.at.min(b.at);
    let amount = a.amount.max(b.amount);
    let reason = a.reason.clone().min(b.reason.clone());
    // Of two orders that became one, only one has a sale under which anything was taken.
    let booked = if b.taken != 0 { &b } else { &a };
    let (taken, taken_at, taken_as) = (booked.taken, booked.taken_at, booked.taken_as.clone());
    let withheld = booked.withheld;
    let later = if order(&b) > order(&a) { b } else { a };
    Record { amount, reason, at, taken, taken_at, taken_as, answer, withheld, ..later }
}

/// Moves the records of an order that turned out to be another.
pub(super) fn merge(tx: &mut Applying<'_>, into: i64, from: i64) -> Applied<()> {
    let mut there = all(tx, into)?;
    for record in all(tx, from)? {
        let known = there.iter().position(|old| old.kind == record.kind && old.name == record.name);
        let record = match known {
            Some(index) => combine(there.swap_remove(index), record),
            None => record,
        };
        put(tx, into, &record)?;
    }
    tx.db.prepare_cached("DELETE FROM returns WHERE ord = ?1")?.execute([from])?;
    Ok(())
}

/// The sale under which the order's returns were booked was retracted with them: they are to be booked anew.
pub(super) fn forget_taken(tx: &mut Applying<'_>, order: i64) -> Applied<()> {
    tx.db.prepare_cached("UPDATE returns SET taken = 0, withheld = 0 WHERE ord = ?1")?.execute([order])?;
    tx.db.prepare_cached("UPDATE orders SET returned = 0 WHERE id = ?1")?.execute([order])?;
    Ok(())
}

/// What each record takes of `paid`, in the records' order.
fn shares(records: &[Record], paid: i64) -> Vec<i64> {
    let sum = |state: &str| -> i64 {
        let singles = records.iter().filter(|r| r.kind == "single" && r.state == state);
        singles.fold(0, |sum, r| sum.saturating_add(r.amount))
    };
    let (live, reversed) = (sum("live"), sum("reversed"));
    // What the totals up to this one tell beyond the singles; they come in order, the smallest first.
    let mut told = 0;
    let claims = records.iter().map(|r| match (r.kind.as_str(), r.state.as_str()) {
        ("single", "live") | ("dispute", "open" | "lost") => r.amount,
        ("cumulative", _) => {
            let beyond = r.amount.saturating_sub(reversed).saturating_sub(live).max(0);
            beyond - std::mem::replace(&mut told, beyond)
        }
        _ => 0,
    });
    // Refunds before disputes, the earlier before the later: who comes last gets what is left.
    let rank = |r: &Record| match r.kind.as_str() {
        "single" => 0,
        "cumulative" => 1,
        _ => 2,
    };
    let mut queue: Vec<(usize, i64)> = claims.enumerate().collect();
    queue.sort_by_key(|&(index, _)| (rank(&records[index]), records[index].at, &records[index].name));
    let mut left = paid;
    let mut shares = vec![0; records.len()];
    for (index, claim) in queue {
        shares[index] = claim.min(left);
        left -= shares[index];
    }
    shares
}

/// What one of an order's payments brought of its money: `amount`, behind the `before` of those that came earlier.
/// What goes back of an order is taken of them in turn.
#[derive(Debug, Clone, Copy)]
struct Part {
    before: i64,
    amount: i64,
}

impl Part {
    /// How much of the order's first `sum` it brought.
    fn of(self, sum: i64) -> i64 {
        (sum - self.before).clamp(0, self.amount)
    }
}

/// What an order was paid by, each with its part of the money.
fn payments(db: &Connection, order: i64) -> Result<Vec<(ConversionRow, Part)>, StoreError> {
    let mut before = 0;
    let with_part = |payment: ConversionRow| {
        let part = Part { before, amount: payment.amount.map_or(0, |money| money.amount) };
        before += part.amount;
        (payment, part)
    };
    Ok(ConversionRow::payments(db, order)?.into_iter().map(with_part).collect())
}

/// What of `returned`, all that went back of an order, went back of this payment of it.
pub(super) fn of_payment(
    db: &Connection,
    order: i64,
    payment: ConversionId,
    returned: i64,
) -> Result<i64, StoreError> {
    let part = payments(db, order)?.into_iter().find(|(row, _)| row.id == payment);
    Ok(part.map_or(0, |(_, part)| part.of(returned)))
}

/// Books what the records take now and did not before, under the order's payments. Nothing happens before there
/// is one.
pub(super) fn settle(tx: &mut Applying<'_>, order: i64) -> Applied<()> {
    let payments = payments(tx.db, order)?;
    let (Some((first, _)), Some(currency)) = (payments.first(), orders::currency(tx, order)?) else {
        return Ok(());
    };
    let (paid, booked) = orders::sums(tx, order)?;
    let mut so_far = Taken { booked, withheld: withheld(tx, order)? };
    let mut records = all(tx, order)?;
    records.retain(|record| record.currency == currency.as_str());
    let shares = shares(&records, paid);
    let returned: i64 = shares.iter().sum();
    // By steps, so that each part of a commission goes back under the date of what took it; first what shrinks, so that
    // never more is booked than was paid.
    for (record, &share) in records.iter().zip(&shares) {
        let (from, to) = (record.taken(), record.kept(share));
        let (at, event) = (Timestamp(record.taken_at), record.taken_as.as_str());
        take(tx, &payments, &mut so_far, (at, event), from, to)?;
    }
    for (record, &share) in records.iter().zip(&shares) {
        let (from, to) = (record.kept(share), record.takes(share));
        if to == record.taken() && !record.has_moved() {
            continue;
        }
        take(tx, &payments, &mut so_far, (Timestamp(record.at), record.event()), from, to)?;
        tx.db
            .prepare_cached(
                "UPDATE returns SET taken = ?4, taken_at = ?5, taken_as = ?6, withheld = ?7
                 WHERE ord = ?1 AND kind = ?2 AND name = ?3",
            )?
            .execute(params![
                order,
                record.kind,
                record.name,
                share,
                record.at,
                record.event(),
                to.withheld
            ])?;
        outbound::money_returned(tx, first, record.event(), share - record.taken, returned)?;
    }
    tx.db
        .prepare_cached("UPDATE orders SET returned = ?2 WHERE id = ?1")?
        .execute(params![order, returned])?;
    Ok(())
}

/// How much of an order went back, as far as it is booked; or how much of that by one record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    booked: i64,
    /// Of that, by disputes that are open.
    withheld: i64,
}

impl Taken {
    /// What of it concerns one payment.
    fn gone(self, part: Part) -> Gone {
        let returned = part.of(self.booked - self.withheld);
        Gone { returned, disputed: part.of(self.booked) > returned }
    }
}

/// What of an order's returns is booked and only holds what is earned.
fn withheld(tx: &Applying<'_>, order: i64) -> Applied<i64> {
    let sum = tx
        .db
        .prepare_cached("SELECT coalesce(sum(withheld), 0) FROM returns WHERE ord = ?1")?
        .query_row([order], |row| row.get(0))?;
    Ok(sum)
}

/// What of a conversion's money went back for good, and whether more is in dispute.
pub(super) fn gone(tx: &Applying<'_>, conversion: &ConversionRow) -> Applied<Gone> {
    let Some(order) = conversion.order else { return Ok(Gone::default()) };
    let payment = payments(tx.db, order)?.into_iter().find(|(row, _)| row.id == conversion.id);
    let Some((_, part)) = payment else { return Ok(Gone::default()) };
    let (_, booked) = orders::sums(tx, order)?;
    Ok(Taken { booked, withheld: withheld(tx, order)? }.gone(part))
}

/// Books that a record takes `to` and no longer `from`, dated and called as said, of the payments whose money that is,
/// and what that takes of their commissions.
fn take(
    tx: &mut Applying<'_>,
    payments: &[(ConversionRow, Part)],
    so_far: &mut Taken,
    (at, event): (Timestamp, &str),
    from: Taken,
    to: Taken,
) -> Applied<()> {
    if from == to {
        return Ok(());
    }
    let before = so_far.booked;
    so_far.booked += to.booked - from.booked;
    so_far.withheld += to.withheld - from.withheld;
    for (payment, part) in payments {
        let refunds = part.of(so_far.booked) - part.of(before);
        let commission = commissions::settle(tx, payment, so_far.gone(*part))?;
        effects::emit(tx, payment, at, event, Change { refunds, commission, ..Change::default() })?;
    }
    Ok(())
}

/// A refund that the order knows by this id: its amount and the answer it got.
pub(super) fn single(tx: &Applying<'_>, order: i64, name: &str) -> Applied<Option<(Money, Option<String>)>> {
    let record = all(tx, order)?.into_iter().find(|record| record.kind == "single" && record.name == name);
    Ok(record.map(|record| {
        let currency = super::conversion_row::read_currency(&record.currency);
        (Money { amount: record.amount, currency }, record.answer)
    }))
}

/// Keeps the answer of a refund for its repeats.
pub(super) fn keep_answer(tx: &Applying<'_>, order: i64, name: &str, answer: &str) -> Applied<()> {
    tx.db
        .prepare_cached("UPDATE returns SET answer = ?3 WHERE ord = ?1 AND kind = 'single' AND name = ?2")?
        .execute(params![order, name, answer])?;
    Ok(())
}
