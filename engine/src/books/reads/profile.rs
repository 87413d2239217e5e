//! A customer's profile: what the books know of one customer.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use weir_schemas::conversion::Conversion;
use weir_schemas::fact::Sealed;
use weir_schemas::ids::{ClickId, CustomerId, LinkId, Sequence, WorkspaceId};
use weir_schemas::money::Money;
use weir_schemas::time::Timestamp;

use super::{Page, PageOf, ReadError, Reads, page};
use crate::books::attribution::TOUCHES_MAX;
use crate::books::clicks;
use crate::books::conversion_row::{self, ConversionRow, read_click, read_currency};

/// How many conversions a customer's profile shows, the newest first.
pub const PROFILE_ORDERS_MAX: u32 = 100;

/// A click of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CustomerTouch {
    /// The click.
    pub click_id: ClickId,
    /// When it was.
    pub clicked_at: Timestamp,
    /// Its link, where known.
    pub link_id: Option<LinkId>,
}

/// A customer as the books know them; the edge opens the person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CustomerProfile {
    /// Weir's id.
    pub id: CustomerId,
    /// The caller's or the provider's.
    pub customer_id: String,
    /// The sealed person, opened by the keyring.
    #[serde(skip)]
    pub person: Option<Sealed>,
    /// When they were first heard of.
    pub created_at: Timestamp,
    /// When they were erased.
    pub erased_at: Option<Timestamp>,
    /// Other ids of theirs, which were merged into this one.
    pub merged_ids: Vec<String>,
    /// Their subscriptions, the newest first.
    pub subscriptions: Vec<CustomerSubscription>,
    /// Their clicks, the last first.
    pub touches: Vec<CustomerTouch>,
    /// Their conversions, the last first.
    pub orders: Vec<Conversion>,
    /// What they paid less what went back, by currency.
    pub lifetime_value: Vec<Money>,
}

/// A subscription of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CustomerSubscription {
    /// The provider's or the caller's id; `null` for renewals that name none.
    pub subscription_id: Option<String>,
    /// `trialing`, `active`, `past_due`, `cancelled`, …; `null` until a provider tells.
    pub status: Option<String>,
    /// Price per period as the provider tells it, else what was paid last.
    pub price: Option<Money>,
    /// When it was first heard of.
    pub created_at: Timestamp,
}

/// A customer as the list shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CustomerLine {
    /// Weir's id.
    pub id: CustomerId,
    /// The caller's or the provider's.
    pub customer_id: String,
    /// When they were first heard of.
    pub created_at: Timestamp,
    /// When they were erased.
    pub erased_at: Option<Timestamp>,
    /// Sales and renewals.
    pub orders: u32,
}

/// A customer whose rows in the other stores are to be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// The fact that asked for it.
    pub seq: Sequence,
    /// The customer.
    pub customer: CustomerId,
}

impl Reads {
    /// Customers, the newest first.
    pub fn customers(&self, workspace: WorkspaceId, of: &PageOf) -> Result<Page<CustomerLine>, ReadError> {
        let below = of.below()?;
        let limit = of.limit();
        self.read(|db| {
            let items = db
                .prepare_cached(
                    "SELECT k.id, k.name, k.created_at, k.erased_at,
                            (SELECT count(*) FROM conversions c WHERE c.customer = k.id AND c.merged_into IS NULL
                                 AND c.event IN ('sale', 'renewal'))
                     FROM customers k WHERE k.workspace = ?1 AND k.id < ?2 AND k.merged_into IS NULL
                     ORDER BY k.id DESC LIMIT ?3",
                )?
                .query_map(params![workspace.0, below, limit + 1], |row| {
                    let id: i64 = row.get(0)?;
                    let line = CustomerLine {
                        id: CustomerId(id as u64),
                        customer_id: row.get(1)?,
                        created_at: Timestamp(row.get(2)?),
                        erased_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
                        orders: row.get(4)?,
                    };
                    Ok((id, line))
                })?
                .collect::<Result<_, _>>()?;
            Ok(page(items, limit))
        })
    }

    /// Customers who were erased by facts after `after`, in order.
    pub fn erasures(&self, after: Sequence, limit: u32) -> Result<Vec<Erasure>, ReadError> {
        self.read(|db| {
            let erasures = db
                .prepare_cached("SELECT seq, customer FROM erasures WHERE seq > ?1 ORDER BY seq LIMIT ?2")?
                .query_map(params![after as i64, limit], |row| {
                    let (seq, customer): (i64, i64) = (row.get(0)?, row.get(1)?);
                    Ok(Erasure { seq: seq as Sequence, customer: CustomerId(customer as u64) })
                })?
                .collect::<Result<_, _>>()?;
            Ok(erasures)
        })
    }

    /// A customer, by the caller's (or the provider's) id or by Weir's.
    pub fn customer(&self, workspace: WorkspaceId, id: &str) -> Result<Option<CustomerProfile>, ReadError> {
        self.read(|db| {
            let Some(id) = id_of(db, workspace, id)? else { return Ok(None) };
            let (name, person, created_at, erased_at) = db
                .prepare_cached("SELECT name, person, created_at, erased_at FROM customers WHERE id = ?1")?
                .query_row([id], |row| {
                    Ok((
                        row.get(0)?,
                        row.get::<_, Option<String>>(1)?,
                        row.get(2)?,
                        row.get::<_, Option<i64>>(3)?,
                    ))
                })?;
            Ok(Some(CustomerProfile {
                id: CustomerId(id as u64),
                customer_id: name,
                person: person.map(Sealed),
                created_at: Timestamp(created_at),
                erased_at: erased_at.map(Timestamp),
                merged_ids: merged_names(db, id)?,
                subscriptions: subscriptions(db, id)?,
                touches: touches(db, workspace, id)?,
                orders: orders(db, id)?,
                lifetime_value: lifetime_value(db, id)?,
            }))
        })
    }
}

pub(super) fn id_of(db: &Connection, workspace: WorkspaceId, name: &str) -> Result<Option<i64>, ReadError> {
    let own = name.parse::<CustomerId>().map_or(-1, |id| id.0 as i64);
    let id = db
        .prepare_cached(
            "SELECT coalesce(merged_into, id) FROM customers WHERE workspace = ?1 AND (name = ?2 OR id = ?3)
             ORDER BY name = ?2 DESC LIMIT 1",
        )?
        .query_row(params![workspace.0, name, own], |row| row.get(0))
        .optional()?;
    Ok(id)
}

fn touches(db: &Connection, workspace: WorkspaceId, customer: i64) -> Result<Vec<CustomerTouch>, ReadError> {
    let ids: Vec<Option<ClickId>> = db
        .prepare_cached("SELECT click FROM touches WHERE customer = ?1 ORDER BY click DESC LIMIT ?2")?
        .query_map(params![customer, TOUCHES_MAX], |row| read_click(row, 0))?
        .collect::<Result<_, _>>()?;
    let mut touches = Vec::with_capacity(ids.len());
    for click_id in ids.into_iter().flatten() {
        let link_id = clicks::claimed(db, workspace, click_id)?.and_then(|click| click.link.some());
        touches.push(CustomerTouch { click_id, clicked_at: Timestamp(click_id.unix_ms()), link_id });
    }
    Ok(touches)
}

fn merged_names(db: &Connection, customer: i64) -> Result<Vec<String>, ReadError> {
    let names = db
        .prepare_cached("SELECT name FROM customers WHERE merged_into = ?1 ORDER BY name")?
        .query_map([customer], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(names)
}

/// Those that a provider told of, and those that payments name or renew: what counts as recurring revenue is listed.
fn subscriptions(db: &Connection, customer: i64) -> Result<Vec<CustomerSubscription>, ReadError> {
    let found = db
        .prepare_cached(
            "WITH told AS (SELECT name, status, price, currency, created_at FROM subscriptions WHERE customer = ?1),
                  payments AS (SELECT subscription AS name, amount, currency, occurred_at FROM conversions
                      WHERE customer = ?1 AND merged_into IS NULL AND event IN ('sale', 'renewal')
                          AND (subscription IS NOT NULL OR event = 'renewal')),
                  paid AS (SELECT name, amount, currency, max(occurred_at),
                          (SELECT min(f.occurred_at) FROM payments f WHERE f.name IS p.name) AS first
                      FROM payments p GROUP BY name)
             SELECT coalesce(told.name, paid.name), status, coalesce(price, amount),
                 iif(price IS NULL, paid.currency, told.currency),
                 min(coalesce(created_at, first), coalesce(first, created_at)) AS since
             FROM told FULL OUTER JOIN paid ON told.name = paid.name
             ORDER BY since DESC, 1 LIMIT ?2",
        )?
        .query_map(params![customer, PROFILE_ORDERS_MAX], |row| {
            Ok(CustomerSubscription {
                subscription_id: row.get(0)?,
                status: row.get(1)?,
                price: conversion_row::read_money(row, 2, 3)?,
                created_at: Timestamp(row.get(4)?),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

fn orders(db: &Connection, customer: i64) -> Result<Vec<Conversion>, ReadError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {} FROM {} WHERE c.customer = ?1 AND c.merged_into IS NULL ORDER BY c.id DESC LIMIT ?2",
        conversion_row::COLUMNS,
        conversion_row::TABLES
    ))?;
    let mut rows = statement.query(params![customer, PROFILE_ORDERS_MAX])?;
    let mut orders = Vec::new();
    while let Some(row) = rows.next()? {
        orders.push(ConversionRow::read(row)?.answer(db)?);
    }
    Ok(orders)
}

fn lifetime_value(db: &Connection, customer: i64) -> Result<Vec<Money>, ReadError> {
    let values = db
        .prepare_cached(
            "SELECT e.payload ->> '$.currency' currency,
                    sum((e.payload ->> '$.change.revenue') - (e.payload ->> '$.change.refunds'))
             FROM conversions c JOIN effects e ON e.conversion = c.id
             WHERE c.customer = ?1 AND currency != '' GROUP BY 1 ORDER BY 1",
        )?
        .query_map([customer], |row| {
            Ok(Money { currency: read_currency(&row.get::<_, String>(0)?), amount: row.get(1)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(values)
}
