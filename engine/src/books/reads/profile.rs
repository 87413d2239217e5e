//! A customer's profile: what the books know of one customer.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use weir_schemas::conversion::Conversion;
use weir_schemas::fact::Sealed;
use weir_schemas::ids::{ClickId, CustomerId, LinkId, WorkspaceId};
use weir_schemas::money::Money;
use weir_schemas::time::Timestamp;

use super::{ReadError, Reads};
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
    /// Their clicks, the last first.
    pub touches: Vec<CustomerTouch>,
    /// Their conversions, the last first.
    pub orders: Vec<Conversion>,
    /// What they paid less what went back, by currency.
    pub lifetime_value: Vec<Money>,
}

impl Reads {
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
            "SELECT id FROM customers WHERE workspace = ?1 AND (name = ?2 OR id = ?3)
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
