//! Customers of the workspace's business, by the caller's or the provider's id. A person is kept sealed;
//! erasure forgets it here after the keyring has destroyed its key.

use rusqlite::{OptionalExtension, params};
use serde_json::{Map, Value};
use weir_schemas::conversion::TERMS_PROPERTIES;
use weir_schemas::effect::Change;
use weir_schemas::fact::Sealed;
use weir_schemas::ids::{ConversionId, CustomerId, PartnerId, compose};
use weir_schemas::problem::Problem;

use super::apply::Applying;
use super::conversion_row::ConversionRow;
use super::outcome::{Applied, Outcome, StoreError};
use super::{attribution, effects};

/// A customer whom a fact names.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: CustomerId,
    /// The name under which they are known: another one where they were merged.
    pub(super) name: String,
    /// Made just now: nothing is known of them.
    pub(super) fresh: bool,
    /// Partners who had their mail address at a purchase.
    pub(super) is: Vec<PartnerId>,
}

/// What a fact says of who bought.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Buyer<'a> {
    /// The person, sealed.
    pub(super) person: Option<&'a Sealed>,
    /// Partners with their mail address.
    pub(super) is: &'a [PartnerId],
}

/// Partners as they are stored: nothing where there are none.
pub(super) fn partners_text(partners: &[PartnerId]) -> Result<Option<String>, StoreError> {
    Ok(if partners.is_empty() { None } else { Some(serde_json::to_string(partners)?) })
}

/// Partners as they were stored.
pub(super) fn partners_of(text: Option<&str>) -> Result<Vec<PartnerId>, StoreError> {
    Ok(text.map(serde_json::from_str).transpose()?.unwrap_or_default())
}

/// The customer of this name, made where there is none; a person replaces the one before.
pub(super) fn ensure(tx: &Applying<'_>, name: &str, buyer: Buyer<'_>) -> Applied<Known> {
    type Row = (i64, Option<i64>, Option<String>);
    let person = buyer.person;
    let known: Option<Row> = tx
        .db
        .prepare_cached("SELECT id, merged_into, partners FROM customers WHERE workspace = ?1 AND name = ?2")?
        .query_row(params![tx.workspace.0, name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let (id, name, partners) = match known {
        Some((id, None, partners)) => (id, name.to_owned(), partners),
        Some((_, Some(into), _)) => {
            let (name, partners) = tx
                .db
                .prepare_cached("SELECT name, partners FROM customers WHERE id = ?1")?
                .query_row([into], |row| Ok((row.get(0)?, row.get(1)?)))?;
            (into, name, partners)
        }
        None => {
            let id = tx.free_id("customers", compose(tx.at.0, 0, tx.seq))? as i64;
            tx.db
                .prepare_cached("INSERT INTO customers VALUES (?1, ?2, ?3, ?4, NULL, ?5, NULL, NULL, ?6)")?
                .execute(params![
                    id,
                    tx.workspace.0,
                    name,
                    person.map(|person| &person.0),
                    tx.at.0,
                    partners_text(buyer.is)?
                ])?;
            let (id, name) = (CustomerId(id as u64), name.to_owned());
            return Ok(Known { id, name, fresh: true, is: buyer.is.to_vec() });
        }
    };
    let mut is = partners_of(partners.as_deref())?;
    if buyer.is.iter().any(|partner| !is.contains(partner)) {
        is.extend_from_slice(buyer.is);
        is.sort_unstable();
        is.dedup();
        tx.db
            .prepare_cached("UPDATE customers SET partners = ?2 WHERE id = ?1")?
            .execute(params![id, partners_text(&is)?])?;
    }
    if let Some(person) = person {
        tx.db
            .prepare_cached("UPDATE customers SET person = ?2 WHERE id = ?1")?
            .execute(params![id, person.0])?;
    }
    Ok(Known { id: CustomerId(id as u64), name, fresh: false, is })
}

/// Whether this is the first conversion of its customer by the time it happened, which it is counted as from now on.
/// One that was counted as the first and turns out to be later is not any more.
pub(super) fn is_new(tx: &mut Applying<'_>, conversion: &ConversionRow) -> Applied<bool> {
    let Some(customer) = conversion.customer else { return Ok(false) };
    let first: Option<(i64, i64)> = tx
        .db
        .prepare_cached(
            "SELECT f.id, f.occurred_at FROM customers c JOIN conversions f ON f.id = c.first_conversion
             WHERE c.id = ?1",
        )?
        .query_row([customer.0 as i64], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((first, at)) = first {
        let first = ConversionId(first as u64);
        if first == conversion.id || at <= conversion.occurred_at.0 {
            return Ok(false);
        }
        let first = ConversionRow::find(tx.db, first)?.expect("conversions stay");
        let change = Change { new_customers: -1, ..Change::default() };
        effects::emit(tx, &first, first.occurred_at, &first.event, change)?;
    }
    is_first(tx, customer, conversion.id)?;
    Ok(true)
}

/// From now on this conversion is its customer's first.
pub(super) fn is_first(tx: &Applying<'_>, customer: CustomerId, conversion: ConversionId) -> Applied<()> {
    tx.db
        .prepare_cached("UPDATE customers SET first_conversion = ?2 WHERE id = ?1")?
        .execute(params![customer.0 as i64, conversion.0 as i64])?;
    Ok(())
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

/// The customer of this name, who must be there.
pub(super) fn known(tx: &Applying<'_>, name: &str) -> Applied<i64> {
    let id = tx
        .db
        .prepare_cached("SELECT coalesce(merged_into, id) FROM customers WHERE workspace = ?1 AND name = ?2")?
        .query_row(params![tx.workspace.0, name], |row| row.get(0))
        .optional()?;
    id.ok_or_else(|| Problem::not_found("customer").into())
}

/// `CustomersMerged`: two names are one person from now on. What the one did is moved to the other.
pub(super) fn merge(
    tx: &mut Applying<'_>,
    from: &str,
    into: &str,
    person: Option<&Sealed>,
) -> Applied<Outcome> {
    let (from, into) = (known(tx, from)?, known(tx, into)?);
    if from == into {
        return Ok(Outcome::new(200, &serde_json::json!({"merged": true}))?.repeated());
    }
    let moved: Vec<i64> = tx
        .db
        .prepare_cached(
            "SELECT id FROM conversions WHERE customer = ?1 AND merged_into IS NULL ORDER BY seq, id",
        )?
        .query_map([from], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    // Both were counted as new; one of them is from now on.
    let first: Option<i64> = tx
        .db
        .prepare_cached("SELECT first_conversion FROM customers WHERE id = ?1")?
        .query_row([from], |row| row.get(0))?;
    if let Some(first) = first {
        let first = ConversionRow::find(tx.db, ConversionId(first as u64))?.expect("conversions stay");
        let change = Change { new_customers: -1, ..Change::default() };
        effects::emit(tx, &first, first.occurred_at, &first.event, change)?;
    }
    for sql in [
        "UPDATE customers SET partners = (SELECT json_group_array(value) FROM (
             SELECT DISTINCT m.value FROM customers c, json_each(c.partners) m WHERE c.id IN (?1, ?2) ORDER BY 1))
         WHERE id = ?2",
        "UPDATE customers SET partners = nullif(partners, '[]') WHERE id = ?2 AND ?1 = ?1",
        "UPDATE customers SET merged_into = ?2, partners = NULL, first_conversion = NULL WHERE id = ?1",
        "UPDATE customers SET merged_into = ?2 WHERE merged_into = ?1",
        "UPDATE conversions SET customer = ?2 WHERE customer = ?1",
        "UPDATE OR IGNORE touches SET customer = ?2 WHERE customer = ?1",
        "DELETE FROM touches WHERE customer = ?1 AND ?2 = ?2",
        "UPDATE subscriptions SET customer = ?2 WHERE customer = ?1",
    ] {
        tx.db.prepare_cached(sql)?.execute(params![from, into])?;
    }
    if let Some(person) = person {
        tx.db
            .prepare_cached("UPDATE customers SET person = ?2 WHERE id = ?1 AND person IS NULL")?
            .execute(params![into, person.0])?;
    }
    tx.db.prepare_cached("UPDATE customers SET person = NULL WHERE id = ?1")?.execute([from])?;
    let all: Vec<i64> = tx
        .db
        .prepare_cached(
            "SELECT id FROM conversions WHERE customer = ?1 AND merged_into IS NULL ORDER BY occurred_at, seq, id",
        )?
        .query_map([into], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in all {
        let row = attribution::reconsider(tx, ConversionId(id as u64))?;
        if moved.contains(&id) {
            count_new(tx, &row)?;
        }
    }
    let answer = serde_json::json!({"merged": true, "conversions": moved.len()});
    Ok(Outcome::new(200, &answer)?)
}

/// `CustomerErased`: the person is forgotten, and everything that the caller may have said of them in words; what
/// they bought still counts, and earns by what is known of the goods. The other stores follow by `erasures`.
pub(super) fn erase(tx: &mut Applying<'_>, name: &str) -> Applied<Outcome> {
    let customer = known(tx, name)?;
    for sql in [
        "UPDATE customers SET person = NULL, partners = NULL, erased_at = ?2 WHERE id = ?1 OR merged_into = ?1",
        "DELETE FROM touches WHERE customer = ?1 AND ?2 = ?2",
    ] {
        tx.db.prepare_cached(sql)?.execute(params![customer, tx.at.0])?;
    }
    let conversions: Vec<(i64, String)> = tx
        .db
        .prepare_cached("SELECT id, properties FROM conversions WHERE customer = ?1 AND properties != '{}'")?
        .query_map([customer], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, properties) in conversions {
        let mut properties: Map<String, Value> = serde_json::from_str(&properties)?;
        properties.retain(|name, _| TERMS_PROPERTIES.contains(&name.as_str()));
        tx.db
            .prepare_cached("UPDATE conversions SET properties = ?2 WHERE id = ?1")?
            .execute(params![id, serde_json::to_string(&properties)?])?;
    }
    effects::erase(tx, customer)?;
    let printed = CustomerId(customer as u64).to_string();
    for sql in [
        "UPDATE outbox SET data = json_set(data, '$.properties', json('{}'))
         WHERE workspace = ?1 AND data ->> '$.customer' = ?2",
        "UPDATE requests SET body = json_set(body, '$.properties', json('{}'))
         WHERE workspace = ?1 AND json_valid(body) AND body ->> '$.customer' = ?2",
    ] {
        tx.db.prepare_cached(sql)?.execute(params![tx.workspace.0, printed])?;
    }
    tx.db.prepare_cached("INSERT OR IGNORE INTO erasures VALUES (?1, ?2, ?3)")?.execute(params![
        tx.seq as i64,
        tx.workspace.0,
        customer
    ])?;
    Ok(Outcome::no_content())
}
