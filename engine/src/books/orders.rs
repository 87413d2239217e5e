//! Orders. One order has many names: a shop's number, a provider's ids of its payment, invoice, checkout and
//! charge. All names that ever stood together in one fact are one order, whatever came first: `order_keys`
//! maps each name to its order, and two orders that turn out to be one are merged, the younger into the
//! older.
//!
//! Names share one space per workspace, so that a shop may report a provider's payment under the provider's
//! id. A provider whose numbers are not unique by themselves must prefix them.

use rusqlite::{OptionalExtension, params};
use weir_schemas::ids::{ConversionId, PartnerId, ProgramId};
use weir_schemas::money::{Currency, Money};

use super::apply::Applying;
use super::conversion_row::{ConversionRow, read_currency};
use super::outcome::Applied;
use super::{attribution, commissions, customers, effects, returns};

/// The order of a name.
pub(super) fn find(tx: &Applying<'_>, key: &str) -> Applied<Option<i64>> {
    let order = tx
        .db
        .prepare_cached("SELECT ord FROM order_keys WHERE workspace = ?1 AND key = ?2")?
        .query_row(params![tx.workspace.0, key], |row| row.get(0))
        .optional()?;
    Ok(order)
}

/// An order that a fact names.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) id: i64,
    /// Made just now, under the first of its names: nothing is known of it.
    pub(super) fresh: bool,
}

/// The one order of all `keys`, made or merged as needed.
pub(super) fn ensure(tx: &mut Applying<'_>, keys: &[String]) -> Applied<Named> {
    let mut orders: Vec<i64> = Vec::new();
    let mut unknown = Vec::with_capacity(keys.len());
    for key in keys {
        match find(tx, key)? {
            Some(order) if orders.contains(&order) => {}
            Some(order) => orders.push(order),
            None => unknown.push(key),
        }
    }
    orders.sort_unstable();
    let Some(&order) = orders.first() else { return Ok(Named { id: begin(tx, keys)?, fresh: true }) };
    name(tx, order, unknown)?;
    for &younger in orders.iter().skip(1) {
        merge(tx, order, younger)?;
    }
    Ok(Named { id: order, fresh: false })
}

/// An order of names that no other has.
pub(super) fn begin(tx: &Applying<'_>, keys: &[String]) -> Applied<i64> {
    let first = keys.first().map(String::as_str).unwrap_or_default();
    tx.db
        .prepare_cached("INSERT INTO orders VALUES (NULL, ?1, ?2, NULL, 0, 0)")?
        .execute(params![tx.workspace.0, first])?;
    let order = tx.db.last_insert_rowid();
    name(tx, order, keys)?;
    Ok(order)
}

fn name<'a>(tx: &Applying<'_>, order: i64, keys: impl IntoIterator<Item = &'a String>) -> Applied<()> {
    for key in keys {
        tx.db.prepare_cached("INSERT OR IGNORE INTO order_keys VALUES (?1, ?2, ?3)")?.execute(params![
            tx.workspace.0,
            key,
            order
        ])?;
    }
    Ok(())
}

/// Under which name a conversion's order is sold from now on: `name`, unless a conversion has named it before.
pub(super) fn sold_as(tx: &Applying<'_>, order: &Named, name: &str) -> Applied<String> {
    if order.fresh {
        return Ok(name.to_owned());
    }
    let name = tx
        .db
        .prepare_cached(
            "UPDATE orders SET name = iif(EXISTS (SELECT 1 FROM conversions WHERE ord = ?1), name, ?2)
             WHERE id = ?1 RETURNING name",
        )?
        .query_row(params![order.id, name], |row| row.get(0))?;
    Ok(name)
}

/// The currency of what was paid; `None` before anything was.
pub(super) fn currency(tx: &Applying<'_>, order: i64) -> Applied<Option<Currency>> {
    let code: Option<String> = tx
        .db
        .prepare_cached("SELECT currency FROM orders WHERE id = ?1")?
        .query_row([order], |row| row.get(0))?;
    Ok(code.as_deref().map(read_currency))
}

/// What was paid and what went back of it.
pub(super) fn sums(tx: &Applying<'_>, order: i64) -> Applied<(i64, i64)> {
    let sums = tx
        .db
        .prepare_cached("SELECT paid, returned FROM orders WHERE id = ?1")?
        .query_row([order], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(sums)
}

/// Something was paid for the order (nothing, for `None`).
pub(super) fn pay(tx: &mut Applying<'_>, order: &Named, amount: Option<Money>) -> Applied<()> {
    if let Some(money) = amount {
        tx.db
            .prepare_cached("UPDATE orders SET paid = paid + ?2, currency = ?3 WHERE id = ?1")?
            .execute(params![order.id, money.amount, money.currency.as_str()])?;
    }
    // Of an order that nothing was known of nothing went back.
    if order.fresh { Ok(()) } else { returns::settle(tx, order.id) }
}

/// Two orders are one. What both sold was announced twice: the younger's sale is taken back and its money
/// with it; the older takes over what it lacks. Returns wait on the older from now on.
fn merge(tx: &mut Applying<'_>, older: i64, younger: i64) -> Applied<()> {
    let moved: Vec<i64> = tx
        .db
        .prepare_cached("SELECT id FROM conversions WHERE ord = ?1 AND merged_into IS NULL ORDER BY seq, id")?
        .query_map([younger], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let sold = ConversionRow::paying(tx.db, older)?;
    for id in moved {
        let row = ConversionRow::find(tx.db, ConversionId(id as u64))?.expect("just selected");
        let same = if row.pays() { sold.clone() } else { ConversionRow::of_order(tx.db, older, &row.event)? };
        match same {
            Some(kept) => {
                absorb(tx, &kept, &row)?;
                if row.pays() {
                    returns::forget_taken(tx, younger)?;
                }
            }
            None => {
                tx.db
                    .prepare_cached("UPDATE conversions SET ord = ?2 WHERE id = ?1")?
                    .execute(params![id, older])?;
            }
        }
    }
    if sold.is_none() {
        take_over(tx, older, younger)?;
    }
    returns::merge(tx, older, younger)?;
    tx.db
        .prepare_cached("UPDATE order_keys SET ord = ?2 WHERE ord = ?1")?
        .execute(params![younger, older])?;
    tx.db.prepare_cached("DELETE FROM orders WHERE id = ?1")?.execute([younger])?;
    returns::settle(tx, older)
}

/// The older order had no sale yet: it takes the younger's sums, and its name if that was paid.
fn take_over(tx: &mut Applying<'_>, older: i64, younger: i64) -> Applied<()> {
    tx.db
        .prepare_cached(
            "UPDATE orders SET (currency, paid, returned, name) =
                 (SELECT y.currency, y.paid, y.returned, iif(y.currency IS NULL, orders.name, y.name)
                  FROM orders y WHERE y.id = ?2) WHERE id = ?1",
        )?
        .execute(params![older, younger])?;
    let renamed: Vec<i64> = tx
        .db
        .prepare_cached("SELECT id FROM conversions WHERE ord = ?1 AND merged_into IS NULL ORDER BY seq, id")?
        .query_map([older], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in renamed {
        let row = ConversionRow::find(tx.db, ConversionId(id as u64))?.expect("just selected");
        effects::restate(tx, &row)?;
    }
    Ok(())
}

/// `gone` is `kept` announced again: its numbers are taken back, its knowledge is kept.
fn absorb(tx: &mut Applying<'_>, kept: &ConversionRow, gone: &ConversionRow) -> Applied<()> {
    effects::retract(tx, gone)?;
    commissions::retract(tx, gone)?;
    if attribution::is_signup(&gone.event) {
        commissions::count_signup(tx, gone, (gone.program, gone.partner), -1)?;
    }
    tx.db
        .prepare_cached("UPDATE conversions SET merged_into = ?2, ord = NULL WHERE id = ?1")?
        .execute(params![gone.id.0 as i64, kept.id.0 as i64])?;
    tx.db
        .prepare_cached(
            "INSERT INTO claims
             SELECT ?1, (SELECT count(*) FROM claims WHERE conversion = ?1) + n, claimed_by, click, refused
             FROM claims m WHERE conversion = ?2 AND NOT EXISTS
                 (SELECT 1 FROM claims WHERE conversion = ?1 AND click IS m.click AND refused IS m.refused)",
        )?
        .execute(params![kept.id.0 as i64, gone.id.0 as i64])?;
    customers::count_again(tx, gone)?;
    let news = News {
        customer: gone.customer,
        subscription: gone.subscription.as_deref(),
        renewal: gone.event == "renewal",
        program: gone.own_program,
        coupon: gone.coupon.as_deref(),
        partner_code: gone.partner_code.as_deref(),
        buyer: &gone.buyer,
    };
    learn(tx, kept.id, &news)
}

/// What another announcement of a sale tells of it.
pub(super) struct News<'a> {
    pub(super) customer: Option<weir_schemas::ids::CustomerId>,
    pub(super) subscription: Option<&'a str>,
    pub(super) renewal: bool,
    pub(super) program: ProgramId,
    pub(super) coupon: Option<&'a str>,
    pub(super) partner_code: Option<&'a str>,
    pub(super) buyer: &'a [PartnerId],
}

/// Completes a sale by what a later announcement of it tells: never its amount, only what was not known
/// before.
pub(super) fn learn(tx: &mut Applying<'_>, id: ConversionId, news: &News<'_>) -> Applied<()> {
    tx.db
        .prepare_cached(
            "UPDATE conversions SET
                 customer = coalesce(customer, ?2), subscription = coalesce(subscription, ?3),
                 own_program = iif(own_program = 0, ?5, own_program), coupon = coalesce(coupon, ?6),
                 partner_code = coalesce(partner_code, ?7), buyer = coalesce(buyer, ?8),
                 event = iif(?4 AND event = 'sale' AND provider != 'api', 'renewal', event) WHERE id = ?1",
        )?
        .execute(params![
            id.0 as i64,
            news.customer.map(|customer| customer.0 as i64),
            news.subscription,
            news.renewal,
            news.program.0 as i64,
            news.coupon,
            news.partner_code,
            customers::partners_text(news.buyer)?
        ])?;
    let row = attribution::reconsider(tx, id)?;
    customers::count_new(tx, &row)
}
