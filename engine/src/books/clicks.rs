//! Clicks that something claimed, and what is known of them. A token proves a click and its link at once; its
//! dimensions may come later (`ClickResolved`), which restates every conversion credited to it.

use rusqlite::{Connection, OptionalExtension, params};
use weir_schemas::click::Dims;
use weir_schemas::fact::{ClaimedBy, ClickClaim, ClickFacts};
use weir_schemas::ids::{ClickId, ConversionId, LinkId, PartnerId, ProgramId, WorkspaceId};

use super::apply::Applying;
use super::attribution;
use super::conversion_row::click_bytes;
use super::effects::EFFECTS_SOFT_MAX;
use super::links;
use super::outcome::{Applied, Outcome, StoreError};

/// What a credited click lends to its conversion; program and partner are on the conversion itself.
#[derive(Default)]
pub(super) struct Credit {
    pub(super) link: LinkId,
    pub(super) visitor: u64,
    pub(super) asn: u32,
    pub(super) dims: Dims<'static>,
}

/// A claimed click. Until its facts are found it stands under the link of its token, with the terms that link
/// had then.
pub(super) struct Claimed {
    pub(super) link: LinkId,
    program: ProgramId,
    partner: PartnerId,
    pub(super) facts: Option<ClickFacts>,
}

impl Claimed {
    /// Link, partner and program: those of the found click, else those that the token's link had.
    pub(super) fn terms(&self) -> (LinkId, PartnerId, ProgramId) {
        match &self.facts {
            Some(facts) => (facts.link, facts.partner, facts.program),
            None => (self.link, self.partner, self.program),
        }
    }
}

pub(super) fn claimed(
    db: &Connection,
    workspace: WorkspaceId,
    click: ClickId,
) -> Result<Option<Claimed>, StoreError> {
    let row: Option<(i64, i64, i64, Option<String>)> = db
        .prepare_cached(
            "SELECT link, program, partner, facts FROM clicks WHERE workspace = ?1 AND click = ?2",
        )?
        .query_row(params![workspace.0, click_bytes(click)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((link, program, partner, facts)) = row else { return Ok(None) };
    Ok(Some(Claimed {
        link: LinkId(link as u64),
        program: ProgramId(program as u64),
        partner: PartnerId(partner as u64),
        facts: facts.map(|facts| serde_json::from_str(&facts)).transpose()?,
    }))
}

/// What a click lends to the conversions credited to it.
pub(super) fn credit(db: &Connection, workspace: WorkspaceId, click: ClickId) -> Result<Credit, StoreError> {
    let Some(found) = claimed(db, workspace, click)? else { return Ok(Credit::default()) };
    Ok(match found.facts {
        Some(facts) => Credit { link: facts.link, visitor: facts.visitor, asn: facts.asn, dims: facts.dims },
        None => Credit { link: found.link, ..Credit::default() },
    })
}

/// Remembers the click that a fact claims. A click that was waiting for its facts and is now known is
/// resolved.
pub(super) fn note(tx: &mut Applying<'_>, claim: &ClickClaim) -> Applied<Option<(ClaimedBy, ClickId)>> {
    match claim {
        ClickClaim::None | ClickClaim::Refused { .. } => Ok(None),
        ClickClaim::Known { by, facts } => {
            let known = claimed(tx.db, tx.workspace, facts.id)?;
            match known {
                Some(Claimed { facts: Some(_), .. }) => {}
                Some(_) => settle(tx, facts)?,
                None => {
                    tx.db.prepare_cached("INSERT INTO clicks VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)")?.execute(
                        params![
                            tx.workspace.0,
                            click_bytes(facts.id),
                            facts.link.0 as i64,
                            facts.program.0 as i64,
                            facts.partner.0 as i64,
                            serde_json::to_string(facts)?
                        ],
                    )?;
                }
            }
            Ok(Some((*by, facts.id)))
        }
        ClickClaim::Unresolved { by, id, link } => {
            let (program, partner) = links::terms(tx.db, tx.workspace, *link)?;
            tx.db
                .prepare_cached(
                    "INSERT INTO clicks VALUES (?1, ?2, ?3, ?4, ?5, NULL, 1)
                     ON CONFLICT DO UPDATE SET
                         link = excluded.link, program = excluded.program, partner = excluded.partner
                     WHERE link = 0",
                )?
                .execute(params![
                    tx.workspace.0,
                    click_bytes(*id),
                    link.0 as i64,
                    program.0 as i64,
                    partner.0 as i64
                ])?;
            Ok(Some((*by, *id)))
        }
    }
}

/// `ClickResolved`. Of a click that nothing claimed there is nothing to resolve.
pub(super) fn resolve(tx: &mut Applying<'_>, facts: &ClickFacts) -> Applied<Outcome> {
    if claimed(tx.db, tx.workspace, facts.id)?.is_some() {
        settle(tx, facts)?;
    }
    Ok(Outcome::no_content())
}

/// Stores the facts and restates what was credited without them. With more conversions than one fact may
/// restate, the click stays pending and the next `ClickResolved` goes on.
fn settle(tx: &mut Applying<'_>, facts: &ClickFacts) -> Applied<()> {
    let click = click_bytes(facts.id);
    tx.db
        .prepare_cached(
            "UPDATE clicks SET link = ?3, facts = ?4 WHERE workspace = ?1 AND click = ?2 AND facts IS NULL",
        )?
        .execute(params![tx.workspace.0, click, facts.link.0 as i64, serde_json::to_string(facts)?])?;
    let concerned: Vec<i64> = tx
        .db
        .prepare_cached(
            "SELECT id FROM conversions WHERE workspace = ?1 AND click = ?2
             UNION SELECT m.conversion FROM claims m JOIN conversions c ON c.id = m.conversion
             WHERE m.click = ?2 AND c.workspace = ?1
             UNION SELECT c.id FROM subscriptions s
             JOIN conversions c ON c.workspace = s.workspace AND c.subscription = s.name
             WHERE s.workspace = ?1 AND s.click = ?2
             UNION SELECT c.id FROM touches t JOIN conversions c ON c.customer = t.customer
             WHERE t.click = ?2 AND c.workspace = ?1 AND c.occurred_at >= ?3 ORDER BY 1",
        )?
        .query_map(
            params![tx.workspace.0, click, facts.id.unix_ms() - attribution::CLOCK_TOLERANCE_MS],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    for id in concerned {
        if tx.effects > EFFECTS_SOFT_MAX {
            return Ok(());
        }
        attribution::reconsider(tx, ConversionId(id as u64))?;
    }
    tx.db
        .prepare_cached("UPDATE clicks SET pending = 0 WHERE workspace = ?1 AND click = ?2")?
        .execute(params![tx.workspace.0, click])?;
    Ok(())
}
