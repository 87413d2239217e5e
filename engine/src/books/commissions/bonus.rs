//! What a partner earns by reaching a milestone.

use weir_schemas::commission::{CommissionKind, CommissionStatus, Verdict};
use weir_schemas::ids::{CommissionId, ConversionId, PartnerId, ProgramId, compose};
use weir_schemas::money::Money;
use weir_schemas::partner::PartnerStatus;
use weir_schemas::program::Rate;
use weir_schemas::time::Timestamp;

use super::super::apply::Applying;
use super::super::effects;
use super::super::outcome::Applied;
use super::row::Earning;
use super::terms::Split;
use super::{PARTNER_PENDING, place, status};

/// What a partner earns by a milestone.
pub(in crate::books) struct Bonus<'a> {
    pub(in crate::books) program: ProgramId,
    pub(in crate::books) version: u32,
    pub(in crate::books) partner: PartnerId,
    pub(in crate::books) money: Money,
    pub(in crate::books) milestone: &'a str,
    pub(in crate::books) due_at: Timestamp,
}

/// Books a bonus; nothing for partners who may not earn. It stays whatever becomes of the conversion that brought it.
pub(in crate::books) fn give_bonus(
    tx: &mut Applying<'_>,
    conversion: ConversionId,
    bonus: &Bonus<'_>,
) -> Applied<Option<CommissionId>> {
    let known = tx.memory.partners.spec(tx.db, tx.workspace, bonus.partner)?;
    let held = match known.map(|partner| partner.status) {
        Some(PartnerStatus::Approved) => None,
        Some(PartnerStatus::Pending) => Some(PARTNER_PENDING.to_owned()),
        _ => return Ok(None),
    };
    let id = tx.free_id("earnings", compose(tx.at.0, 0, tx.seq))? as i64;
    let nothing = Earning {
        id,
        workspace: tx.workspace,
        conversion,
        kind: CommissionKind::Bonus,
        owner: bonus.partner.0,
        program: bonus.program,
        version: bonus.version,
        tier: Some(bonus.milestone.to_owned()),
        rate: Rate { bp: None, fixed: Some(bonus.money) },
        fee_bp: 0,
        sale: Money { amount: 0, currency: bonus.money.currency },
        parts: Split::default(),
        original: bonus.money.amount,
        paid: 0,
        settled: 0,
        live: true,
        verdict: held.is_some().then_some(Verdict::Hold),
        reason: held,
        status: CommissionStatus::Pending,
        payout: 0,
        occurred_at: tx.at,
        due_at: bonus.due_at,
        created_at: tx.at,
        changed_at: tx.at,
        room: None,
        cap: None,
        capped: 0,
        disputed: false,
    };
    let mut now = nothing.clone();
    now.parts.earned = bonus.money.amount;
    now.status = status(&now, tx.at);
    place(tx, &nothing, &now, CommissionKind::Bonus.as_str())?;
    now.insert(tx)?;
    effects::emit_bonus(tx, &now, now.parts.earned)?;
    Ok(Some(CommissionId(id as u64)))
}
