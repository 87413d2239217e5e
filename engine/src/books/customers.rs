//! Customers of the workspace's business, by the caller's or the provider's id. A person is kept sealed;
//! erasure forgets it here after the keyring has destroyed its key.

use rusqlite::{OptionalExtension, params};
use weir_schemas::effect::Change;
use weir_schemas::fact::Sealed;
use weir_schemas::ids::{ConversionId, CustomerId, compose};
use weir_schemas::problem::Problem;

use super::apply::Applying;
use super::conversion_row::ConversionRow;
use super::effects;
use super::outcome::{Applied, Outcome};

/// The customer of this name, made where there is none; a person replaces the one before.
pub(super) fn ensure(tx: &Applying<'_>, name: &str, person: Option<&Sealed>) -> Applied<CustomerId> {
    let known: Option<i64> = tx
        .db
        .prepare_cached("SELECT id FROM customers WHERE workspace = ?1 AND name = ?2")?
        .query_row(params![tx.workspace.0, name], |row| row.get(0))
        .optional()?;
    let id = match known {
        Some(id) => id,
        None => {
            let id = tx.free_id("customers", compose(tx.at.0, 0, tx.seq))? as i64;
            tx.db
                .prepare_cached("INSERT INTO customers VALUES (?1, ?2, ?3, NULL, NULL, ?4, NULL)")?
                .execute(params![id, tx.workspace.0, name, tx.at.0])?;
            id
        }
    };
    if let Some(person) = person {
        tx.db
            .prepare_cached("UPDATE customers SET person = ?2 WHERE id = ?1")?
            .execute(params![id, person.0])?;
    }
    Ok(CustomerId(id as u64))
}

/// Whether this is the first conversion of its customer by the time it happened, which it is counted as from now on.
/// One that was counted as the first and turns out to be later is not any more.
pub(super) fn is_new(tx: &mut Applying<'_>, conversion: &ConversionRow) -> Applied<bool> {
    let Some(customer) = conversion.customer else { return Ok(false) };
    let first: Option<i64> = tx
        .db
        .prepare_cached("SELECT first_conversion FROM customers WHERE id = ?1")?
        .query_row([customer.0 as i64], |row| row.get(0))?;
    if let Some(first) = first {
        let first = ConversionRow::find(tx.db, ConversionId(first as u64))?.expect("conversions stay");
        if first.id == conversion.id || first.occurred_at <= conversion.occurred_at {
            return Ok(false);
        }
        let change = Change { new_customers: -1, ..Change::default() };
        effects::emit(tx, &first, first.occurred_at, &first.event, change)?;
    }
    tx.db
        .prepare_cached("UPDATE customers SET first_conversion = ?2 WHERE id = ?1")?
        .execute(params![customer.0 as i64, conversion.id.0 as i64])?;
    Ok(true)
}

/// Counts the customer of a conversion that was counted without one.
pub(super) fn count_new(tx: &mut Applying<'_>, conversion: &ConversionRow) -> Applied<()> {
    if is_new(tx, conversion)? {
        let change = Change { new_customers: 1, ..Change::default() };
        effects::emit(tx, conversion, conversion.occurred_at, &conversion.event, change)?;
    }
    Ok(())
}

/// After `gone` was retracted: where it counted its customer as new, the customer's next conversion does.
pub(super) fn count_again(tx: &mut Applying<'_>, gone: &ConversionRow) -> Applied<()> {
    let Some(customer) = gone.customer else { return Ok(()) };
    let counted = tx
        .db
        .prepare_cached(
            "UPDATE customers SET first_conversion = NULL WHERE id = ?1 AND first_conversion = ?2",
        )?
        .execute(params![customer.0 as i64, gone.id.0 as i64])?;
    if counted == 1 {
        let next: Option<i64> = tx
            .db
            .prepare_cached(
                "SELECT id FROM conversions WHERE customer = ?1 AND merged_into IS NULL
                 ORDER BY occurred_at, seq, id LIMIT 1",
            )?
            .query_row([customer.0 as i64], |row| row.get(0))
            .optional()?;
        if let Some(next) = next {
            let next = ConversionRow::find(tx.db, ConversionId(next as u64))?.expect("just selected");
            count_new(tx, &next)?;
        }
    }
    Ok(())
}

/// `CustomerErased`: the person is forgotten; what they bought still counts.
pub(super) fn erase(tx: &Applying<'_>, name: &str) -> Applied<Outcome> {
    let changed = tx
        .db
        .prepare_cached(
            "UPDATE customers SET person = NULL, erased_at = ?3 WHERE workspace = ?1 AND name = ?2",
        )?
        .execute(params![tx.workspace.0, name, tx.at.0])?;
    if changed == 0 {
        return Err(Problem::not_found("customer").into());
    }
    Ok(Outcome::no_content())
}
