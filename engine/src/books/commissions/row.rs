//! An earning's row.

use rusqlite::{Connection, Row, params};
use weir_schemas::commission::{CommissionKind, CommissionStatus, Verdict};
use weir_schemas::ids::{ConversionId, ProgramId, WorkspaceId};
use weir_schemas::money::Money;
use weir_schemas::program::{Cap, Rate};
use weir_schemas::time::Timestamp;

use super::super::apply::Applying;
use super::super::conversion_row::read_currency;
use super::super::outcome::{Applied, StoreError};
use super::terms::Split;

/// Something earned, and how far it is. `earned − paid` of it lies on the account that its status names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::books) struct Earning {
    pub(in crate::books) id: i64,
    pub(in crate::books) workspace: WorkspaceId,
    pub(in crate::books) conversion: ConversionId,
    pub(in crate::books) kind: CommissionKind,
    /// The partner's or customer's id.
    pub(in crate::books) owner: u64,
    pub(in crate::books) program: ProgramId,
    pub(in crate::books) version: u32,
    pub(in crate::books) tier: Option<String>,
    pub(in crate::books) rate: Rate,
    pub(in crate::books) fee_bp: u32,
    pub(in crate::books) sale: Money,
    /// What it is worth now.
    pub(in crate::books) parts: Split,
    /// What its owner's part was worth before anything went back.
    pub(in crate::books) original: i64,
    /// How much of it is in payouts that did not fail.
    pub(in crate::books) paid: i64,
    /// How much of it was paid for certain.
    pub(in crate::books) settled: i64,
    /// The conversion is credited to it.
    pub(in crate::books) live: bool,
    /// What a person decided.
    pub(in crate::books) verdict: Option<Verdict>,
    pub(in crate::books) reason: Option<String>,
    pub(in crate::books) status: CommissionStatus,
    /// The last payout it was in, 0 where it was in none.
    pub(in crate::books) payout: i64,
    pub(in crate::books) occurred_at: Timestamp,
    pub(in crate::books) due_at: Timestamp,
    pub(in crate::books) created_at: Timestamp,
    pub(in crate::books) changed_at: Timestamp,
    /// The most that may be given for it, fee included, by its program's caps; nothing where none limits it.
    pub(in crate::books) room: Option<i64>,
    /// The cap that took something of it.
    pub(in crate::books) cap: Option<Cap>,
    /// What that took of its owner's part.
    pub(in crate::books) capped: i64,
    /// Its sale is in dispute, which holds it.
    pub(in crate::books) disputed: bool,
}

/// The columns that [`Earning::read`] reads.
pub(in crate::books) const COLUMNS: &str = "id, workspace, conversion, kind, owner_id, program, version, tier, rate, \
    fee_bp, sale, currency, earned, fee, original, paid, settled, live, verdict, reason, state, payout, occurred_at, \
    due_at, created_at, changed_at, room, cap, capped, disputed";

fn verdict_text(verdict: Option<Verdict>) -> Option<&'static str> {
    verdict.map(|verdict| match verdict {
        Verdict::Approve => "approve",
        Verdict::Hold => "hold",
        Verdict::Release => "release",
        Verdict::Reject => "reject",
    })
}

fn verdict_of(text: &str) -> Option<Verdict> {
    [Verdict::Approve, Verdict::Hold, Verdict::Release, Verdict::Reject]
        .into_iter()
        .find(|verdict| verdict_text(Some(*verdict)) == Some(text))
}

fn cap_text(cap: Option<Cap>) -> Result<Option<String>, StoreError> {
    Ok(cap.map(|cap| serde_json::to_string(&cap)).transpose()?)
}

impl Earning {
    pub(in crate::books) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let text = |column: usize| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        Ok(Self {
            id: row.get(0)?,
            workspace: WorkspaceId(row.get(1)?),
            conversion: super::conversion_of(row.get(2)?),
            kind: CommissionKind::from_name(text(3)?).expect("the books write kinds that they know"),
            owner: row.get::<_, i64>(4)? as u64,
            program: ProgramId(row.get::<_, i64>(5)? as u64),
            version: row.get(6)?,
            tier: row.get(7)?,
            rate: serde_json::from_str(text(8)?)?,
            fee_bp: row.get(9)?,
            sale: Money { amount: row.get(10)?, currency: read_currency(text(11)?) },
            parts: Split { earned: row.get(12)?, fee: row.get(13)? },
            original: row.get(14)?,
            paid: row.get(15)?,
            settled: row.get(16)?,
            live: row.get(17)?,
            verdict: row.get::<_, Option<String>>(18)?.as_deref().and_then(verdict_of),
            reason: row.get(19)?,
            status: CommissionStatus::from_name(text(20)?).expect("the books write states that they know"),
            payout: row.get(21)?,
            occurred_at: Timestamp(row.get(22)?),
            due_at: Timestamp(row.get(23)?),
            created_at: Timestamp(row.get(24)?),
            changed_at: Timestamp(row.get(25)?),
            room: row.get(26)?,
            cap: match row.get_ref(27)?.as_str_or_null().map_err(rusqlite::Error::from)? {
                Some(cap) => Some(serde_json::from_str(cap)?),
                None => None,
            },
            capped: row.get(28)?,
            disputed: row.get(29)?,
        })
    }

    pub(in crate::books) fn find(
        db: &Connection,
        workspace: WorkspaceId,
        id: i64,
    ) -> Result<Option<Self>, StoreError> {
        let mut statement =
            db.prepare_cached(&format!("SELECT {COLUMNS} FROM earnings WHERE id = ?1 AND workspace = ?2"))?;
        let mut rows = statement.query(params![id, workspace.0])?;
        rows.next()?.map(Self::read).transpose()
    }

    /// An owner's earnings of two kinds with ids below `below`, the last first.
    pub(in crate::books) fn of_owner(
        db: &Connection,
        workspace: WorkspaceId,
        owner: u64,
        kinds: [CommissionKind; 2],
        below: i64,
        limit: u32,
    ) -> Result<Vec<Self>, StoreError> {
        let mut statement = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM earnings WHERE workspace = ?1 AND owner_id = ?2 AND id < ?3
                 AND kind IN (?4, ?5) AND original != 0 ORDER BY id DESC LIMIT ?6"
        ))?;
        let [one, other] = kinds.map(CommissionKind::as_str);
        let mut rows = statement.query(params![workspace.0, owner as i64, below, one, other, limit])?;
        let mut earnings = Vec::new();
        while let Some(row) = rows.next()? {
            earnings.push(Self::read(row)?);
        }
        Ok(earnings)
    }

    /// Every earning of a conversion, in the order in which they were made.
    pub(in crate::books) fn of_conversion(
        db: &Connection,
        workspace: WorkspaceId,
        conversion: ConversionId,
    ) -> Result<Vec<Self>, StoreError> {
        let mut statement = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM earnings WHERE conversion = ?1 AND workspace = ?2 ORDER BY id"
        ))?;
        let mut rows = statement.query(params![conversion.0 as i64, workspace.0])?;
        let mut earnings = Vec::new();
        while let Some(row) = rows.next()? {
            earnings.push(Self::read(row)?);
        }
        Ok(earnings)
    }

    pub(in crate::books) fn insert(&self, tx: &Applying<'_>) -> Applied<()> {
        self.tell_when_due(tx);
        tx.db
            .prepare_cached(
                "INSERT INTO earnings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
                     ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30)",
            )?
            .execute(params![
                self.id,
                self.workspace.0,
                self.conversion.0 as i64,
                self.kind.as_str(),
                self.owner as i64,
                self.program.0 as i64,
                self.version,
                self.tier,
                serde_json::to_string(&self.rate)?,
                self.fee_bp,
                self.sale.amount,
                self.sale.currency.as_str(),
                self.parts.earned,
                self.parts.fee,
                self.original,
                self.paid,
                self.settled,
                self.live,
                verdict_text(self.verdict),
                self.reason,
                self.status.as_str(),
                self.payout,
                self.occurred_at.0,
                self.due_at.0,
                self.created_at.0,
                self.changed_at.0,
                self.room,
                cap_text(self.cap)?,
                self.capped,
                self.disputed
            ])?;
        Ok(())
    }

    /// Stores what can change.
    pub(in crate::books) fn update(&self, tx: &Applying<'_>) -> Applied<()> {
        self.tell_when_due(tx);
        tx.db
            .prepare_cached(
                "UPDATE earnings SET earned = ?2, fee = ?3, paid = ?4, settled = ?5, live = ?6, verdict = ?7,
                     reason = ?8, state = ?9, payout = ?10, changed_at = ?11, room = ?12, cap = ?13, capped = ?14,
                     disputed = ?15, original = ?16 WHERE id = ?1",
            )?
            .execute(params![
                self.id,
                self.parts.earned,
                self.parts.fee,
                self.paid,
                self.settled,
                self.live,
                verdict_text(self.verdict),
                self.reason,
                self.status.as_str(),
                self.payout,
                self.changed_at.0,
                self.room,
                cap_text(self.cap)?,
                self.capped,
                self.disputed,
                self.original
            ])?;
        Ok(())
    }

    fn tell_when_due(&self, tx: &Applying<'_>) {
        if self.status == CommissionStatus::Pending {
            tx.memory.due(self.workspace, self.due_at.0);
        }
    }
}
