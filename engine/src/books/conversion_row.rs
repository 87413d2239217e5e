//! A conversion's row, and the API's object made of it.

use rusqlite::{Connection, Row, params};
use weir_schemas::conversion::{Attribution, AttributionRule, CommissionLine, Conversion};
use weir_schemas::ids::{ClickId, ConversionId, CustomerId, LinkId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::money::{Currency, Money};
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::customers::{partners_of, partners_text};
use super::outcome::{Applied, StoreError};
use super::returns;

/// The columns that [`ConversionRow::read`] reads, of [`TABLES`].
pub(super) const COLUMNS: &str = "c.id, c.ord, c.event, c.customer, c.subscription, c.amount, c.currency, \
    c.provider, c.occurred_at, c.created_at, c.rule, c.click, c.properties, o.name, k.name, c.workspace, \
    c.merged_into, c.program, c.partner, c.own_program, c.coupon, c.partner_code, c.buyer";

/// What they are selected from.
pub(super) const TABLES: &str =
    "conversions c LEFT JOIN orders o ON o.id = c.ord LEFT JOIN customers k ON k.id = c.customer";

#[derive(Debug, Clone)]
pub(super) struct ConversionRow {
    pub(super) id: ConversionId,
    pub(super) workspace: WorkspaceId,
    pub(super) order: Option<i64>,
    pub(super) order_name: Option<String>,
    pub(super) event: String,
    pub(super) customer: Option<CustomerId>,
    pub(super) customer_name: Option<String>,
    pub(super) subscription: Option<String>,
    pub(super) amount: Option<Money>,
    pub(super) provider: String,
    pub(super) occurred_at: Timestamp,
    pub(super) created_at: Timestamp,
    pub(super) rule: Option<AttributionRule>,
    pub(super) click: Option<ClickId>,
    pub(super) properties: String,
    pub(super) merged_into: Option<ConversionId>,
    /// Credited, `NONE` where there is none.
    pub(super) program: ProgramId,
    /// Credited, `NONE` where there is none.
    pub(super) partner: PartnerId,
    /// Of the endpoint that reported it.
    pub(super) own_program: ProgramId,
    pub(super) coupon: Option<String>,
    pub(super) partner_code: Option<String>,
    /// Partners with the mail address of who bought.
    pub(super) buyer: Vec<PartnerId>,
}

/// Whether conversions of this event bring revenue.
pub(super) fn pays(event: &str) -> bool {
    event == "sale" || event == "renewal"
}

pub(super) fn click_bytes(click: ClickId) -> [u8; 16] {
    click.0.to_be_bytes()
}

pub(super) fn read_click(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ClickId>> {
    let bytes: Option<[u8; 16]> = row.get(column)?;
    Ok(bytes.map(|bytes| ClickId(u128::from_be_bytes(bytes))))
}

impl ConversionRow {
    pub(super) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let rule: Option<String> = row.get(10)?;
        Ok(Self {
            id: ConversionId(row.get::<_, i64>(0)? as u64),
            workspace: WorkspaceId(row.get(15)?),
            order: row.get(1)?,
            order_name: row.get(13)?,
            event: row.get(2)?,
            customer: row.get::<_, Option<i64>>(3)?.map(|id| CustomerId(id as u64)),
            customer_name: row.get(14)?,
            subscription: row.get(4)?,
            amount: read_money(row, 5, 6)?,
            provider: row.get(7)?,
            occurred_at: Timestamp(row.get(8)?),
            created_at: Timestamp(row.get(9)?),
            rule: rule.map(|rule| serde_json::from_str(&rule)).transpose()?,
            click: read_click(row, 11)?,
            properties: row.get(12)?,
            merged_into: row.get::<_, Option<i64>>(16)?.map(|id| ConversionId(id as u64)),
            program: ProgramId(row.get::<_, i64>(17)? as u64),
            partner: PartnerId(row.get::<_, i64>(18)? as u64),
            own_program: ProgramId(row.get::<_, i64>(19)? as u64),
            coupon: row.get(20)?,
            partner_code: row.get(21)?,
            buyer: partners_of(row.get_ref(22)?.as_str_or_null().map_err(rusqlite::Error::from)?)?,
        })
    }

    /// Stores it, with the candidates for its credit.
    pub(super) fn insert(&self, tx: &Applying<'_>, candidates: &str) -> Applied<()> {
        tx.db
            .prepare_cached(
                "INSERT INTO conversions VALUES
                 (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, NULL, ?17, ?18, ?19,
                  ?20, ?21, ?22)",
            )?
            .execute(params![
                self.id.0 as i64,
                tx.seq as i64,
                self.workspace.0,
                self.order,
                self.event,
                self.customer.map(|customer| customer.0 as i64),
                self.subscription,
                self.amount.map(|money| money.amount),
                self.amount.as_ref().map(|money| money.currency.as_str()),
                self.provider,
                self.occurred_at.0,
                self.created_at.0,
                self.rule.map(|rule| serde_json::to_string(&rule)).transpose()?,
                self.click.map(click_bytes),
                candidates,
                self.properties,
                self.program.0 as i64,
                self.partner.0 as i64,
                self.own_program.0 as i64,
                self.coupon,
                self.partner_code,
                partners_text(&self.buyer)?
            ])?;
        Ok(())
    }

    /// Whether it brings revenue.
    pub(super) fn pays(&self) -> bool {
        pays(&self.event)
    }

    pub(super) fn find(db: &Connection, id: ConversionId) -> Result<Option<Self>, StoreError> {
        let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM {TABLES} WHERE c.id = ?1"))?;
        let mut rows = statement.query([id.0 as i64])?;
        rows.next()?.map(Self::read).transpose()
    }

    /// The first conversion of an order that brought revenue.
    pub(super) fn paying(db: &Connection, order: i64) -> Result<Option<Self>, StoreError> {
        Ok(Self::payments(db, order)?.into_iter().next())
    }

    /// The conversions of an order that brought revenue, the first one first: what goes back of it goes back under
    /// them.
    pub(super) fn payments(db: &Connection, order: i64) -> Result<Vec<Self>, StoreError> {
        let mut statement = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {TABLES}
             WHERE c.ord = ?1 AND c.event IN ('sale', 'renewal') AND c.merged_into IS NULL
             ORDER BY c.seq, c.id"
        ))?;
        statement.query_and_then([order], Self::read)?.collect()
    }

    /// The conversion of an order with this event.
    pub(super) fn of_order(db: &Connection, order: i64, event: &str) -> Result<Option<Self>, StoreError> {
        let mut statement = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {TABLES}
             WHERE c.ord = ?1 AND c.event = ?2 AND c.merged_into IS NULL ORDER BY c.seq, c.id LIMIT 1"
        ))?;
        let mut rows = statement.query(params![order, event])?;
        rows.next()?.map(Self::read).transpose()
    }

    /// As the API answers it.
    pub(super) fn answer(&self, db: &Connection) -> Result<Conversion, StoreError> {
        let refunded = match (self.amount, self.order) {
            (Some(paid), Some(order)) if self.pays() => {
                let returned: i64 = db
                    .prepare_cached("SELECT returned FROM orders WHERE id = ?1")?
                    .query_row([order], |row| row.get(0))?;
                let amount = returns::of_payment(db, order, self.id, returned)?;
                Some(Money { amount, currency: paid.currency })
            }
            (Some(paid), _) => Some(Money { amount: 0, currency: paid.currency }),
            (None, _) => None,
        };
        self.answer_with(db, refunded, super::commissions::lines(db, self)?)
    }

    /// As the API answers it, with what went back of it and what partners earn by it.
    pub(super) fn answer_with(
        &self,
        db: &Connection,
        refunded: Option<Money>,
        commissions: Vec<CommissionLine>,
    ) -> Result<Conversion, StoreError> {
        Ok(Conversion {
            id: self.id,
            event: self.event.clone(),
            order_id: self.order_name.clone(),
            customer: self.customer,
            customer_id: self.customer_name.clone(),
            subscription_id: self.subscription.clone(),
            amount: self.amount,
            refunded,
            provider: self.provider.clone(),
            occurred_at: self.occurred_at,
            created_at: self.created_at,
            attribution: self.attribution(db)?,
            commissions,
            signals: super::suspicion::of_conversion(db, self)?,
            properties: serde_json::from_str(&self.properties)?,
        })
    }

    pub(super) fn attribution(&self, db: &Connection) -> Result<Option<Attribution>, StoreError> {
        let Some(rule) = self.rule else { return Ok(None) };
        let link = match self.click {
            Some(click) => super::clicks::credit(db, self.workspace, click)?.link,
            None => LinkId::NONE,
        };
        Ok(Some(Attribution {
            rule,
            link_id: link.some(),
            partner_id: self.partner.some(),
            program_id: self.program.some(),
            click_id: self.click,
            clicked_at: self.click.map(|click| Timestamp(click.unix_ms())),
        }))
    }
}

pub(super) fn read_money(row: &Row<'_>, amount: usize, currency: usize) -> rusqlite::Result<Option<Money>> {
    let (Some(amount), Some(code)) =
        (row.get::<_, Option<i64>>(amount)?, row.get::<_, Option<String>>(currency)?)
    else {
        return Ok(None);
    };
    Ok(Some(Money { amount, currency: read_currency(&code) }))
}

/// A code that the books wrote.
pub(super) fn read_currency(code: &str) -> Currency {
    code.parse().unwrap_or(Currency::NONE)
}
