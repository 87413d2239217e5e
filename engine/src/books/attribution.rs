//! To whom a conversion is credited, by which rule, and why to nobody else. Long, because it is one decision: each
//! rule is told beside those that it yields to.
//!
//! In this order, the first rule that has something eligible takes it:
//! 1. the clicks that the conversion itself claimed (`wclid`, then `click_id`), of several the last;
//! 2. the coupon, then the partner code that it carried: they name a partner without a click;
//! 3. for a conversion of a subscription: the credit of the subscription's first credited conversion, however
//!    long ago (a renewal continues that sale), else the click that the subscription itself claimed;
//! 4. the customer's last click.
//!
//! A click is not eligible when it is a robot's, comes after the conversion, is older than the window, or names no
//! link yet. The window is that of the click's program, else of the conversion's own (its endpoint's), else 30 days.
//! Where that program credits the first touch, the earliest eligible click of the same program takes what the last
//! would have taken.
//!
//! A click whose link names no partner leaves the earning to the coupon's or the code's partner.

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use weir_schemas::conversion::AttributionRule;
use weir_schemas::fact::{ClaimedBy, ClickClaim};
use weir_schemas::ids::{ClickId, ConversionId, CustomerId, LinkId, PartnerId, ProgramId};
use weir_schemas::program::{Touch, Window};
use weir_schemas::time::{MINUTE_MS, Timestamp};

use super::apply::Applying;
use super::conversion_row::{ConversionRow, click_bytes, read_click};
use super::outcome::Applied;
use super::partners::CodeKind;
use super::{clicks, commissions, effects};

/// How far the clock of a shop may be behind: a click may be this much later than the conversion that names it. One
/// that only the customer has in common with the conversion may not: it would take what an earlier click had brought.
pub const CLOCK_TOLERANCE_MS: i64 = 5 * MINUTE_MS;
/// How many of a customer's touches are looked at, the last first.
pub const TOUCHES_MAX: u32 = 50;
/// How many conversions of a subscription or customer are looked at again when one of their clicks becomes known.
const REVISITED_MAX: u32 = 500;

/// One click that could have taken the credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// By which rule it came into question.
    pub rule: AttributionRule,
    /// The click; none where what was claimed names none.
    pub click_id: Option<ClickId>,
    /// When it was.
    pub clicked_at: Option<Timestamp>,
    /// Its link, where known.
    pub link_id: Option<LinkId>,
    /// The partner that it speaks for, where there is one.
    #[serde(default)]
    pub partner_id: Option<PartnerId>,
    /// Whether it took the credit.
    pub credited: bool,
    /// Why, or why not.
    pub reason: String,
}

/// What takes the credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Credited {
    rule: AttributionRule,
    /// None where a coupon or a code took it.
    click: Option<ClickId>,
    program: ProgramId,
    partner: PartnerId,
}

#[derive(Default)]
struct Decision {
    credit: Option<Credited>,
    candidates: Vec<Candidate>,
}

/// What a conversion claims to be credited by.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    rule: AttributionRule,
    /// Nothing where it was refused.
    pub(super) click: Option<ClickId>,
    refused: Option<String>,
}

/// Writes down what a conversion claims. It is stored as it came, refusals included.
pub(super) fn claim(
    tx: &mut Applying<'_>,
    conversion: ConversionId,
    claim: &ClickClaim,
) -> Applied<Option<Claim>> {
    let noted = clicks::note(tx, claim)?;
    let claim = match (noted, claim) {
        (Some((by, click)), _) => Claim { rule: rule_of(by), click: Some(click), refused: None },
        (None, ClickClaim::Refused { reason }) => {
            Claim { rule: AttributionRule::Wclid, click: None, refused: Some(reason.clone()) }
        }
        (None, _) => return Ok(None),
    };
    tx.db
        .prepare_cached(
            "INSERT INTO claims SELECT ?1, (SELECT count(*) FROM claims WHERE conversion = ?1), ?2, ?3, ?4
             WHERE NOT EXISTS (SELECT 1 FROM claims WHERE conversion = ?1 AND click IS ?3 AND refused IS ?4)",
        )?
        .execute(params![
            conversion.0 as i64,
            serde_json::to_string(&claim.rule)?,
            claim.click.map(click_bytes),
            claim.refused
        ])?;
    Ok(Some(claim))
}

fn rule_of(by: ClaimedBy) -> AttributionRule {
    match by {
        ClaimedBy::Wclid => AttributionRule::Wclid,
        ClaimedBy::ClickId => AttributionRule::ClickId,
    }
}

/// Remembers a click of a customer, for conversions to come and for those that were told of before it.
pub(super) fn touch(tx: &mut Applying<'_>, customer: CustomerId, click: ClickId) -> Applied<()> {
    let new = tx
        .db
        .prepare_cached("INSERT OR IGNORE INTO touches VALUES (?1, ?2)")?
        .execute(params![customer.0 as i64, click_bytes(click)])?;
    if new == 0 {
        return Ok(());
    }
    let later: Vec<i64> = tx
        .db
        .prepare_cached(
            "SELECT id FROM conversions WHERE customer = ?1 AND occurred_at >= ?2 AND merged_into IS NULL
             ORDER BY occurred_at, id LIMIT ?3",
        )?
        .query_map(params![customer.0 as i64, click.unix_ms(), REVISITED_MAX], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in later {
        reconsider(tx, ConversionId(id as u64))?;
    }
    Ok(())
}

/// Decides a conversion's credit from all that is known now, stores it with its candidates and restates the
/// conversion where it stands elsewhere than its effects say. Gives its row as it is then.
pub(super) fn reconsider(tx: &mut Applying<'_>, id: ConversionId) -> Applied<ConversionRow> {
    let before = ConversionRow::find(tx.db, id)?.expect("only stored conversions are reconsidered");
    if before.merged_into.is_some() {
        return Ok(before);
    }
    let decision = decide(tx, &before, claims(tx, id)?, true)?;
    let credited = |row: &ConversionRow| (row.rule, row.click, row.program, row.partner);
    let was = credited(&before);
    let now = credit(tx, before, &decision)?;
    commissions::resettle(tx, &now)?;
    if was != credited(&now)
        && let Some(subscription) = &now.subscription
    {
        revisit_subscription(tx, subscription, id, now.occurred_at)?;
    }
    Ok(now)
}

/// As [`reconsider`], for a conversion that is not stored yet, with all that it claims. Gives it as it is to be
/// stored, and the candidates. `is_known`: its customer is, and may have touches.
pub(super) fn credit_new(
    tx: &Applying<'_>,
    new: ConversionRow,
    claim: Option<&Claim>,
    is_known: bool,
) -> Applied<(ConversionRow, String)> {
    let decision = decide(tx, &new, claim.cloned().into_iter().collect(), is_known)?;
    Ok((decision.credited(new), serde_json::to_string(&decision.candidates)?))
}

/// After a new conversion was stored.
pub(super) fn credited_new(tx: &mut Applying<'_>, new: &ConversionRow) -> Applied<()> {
    if is_signup(&new.event) {
        commissions::count_signup(tx, new, (new.program, new.partner), 1)?;
    }
    if let (Some(_), Some(subscription)) = (new.rule, &new.subscription) {
        revisit_subscription(tx, subscription, new.id, new.occurred_at)?;
    }
    Ok(())
}

/// Stores a decision and moves the conversion's numbers to where they belong by it.
fn credit(tx: &mut Applying<'_>, before: ConversionRow, decision: &Decision) -> Applied<ConversionRow> {
    let was = (before.program, before.partner);
    let now = decision.credited(before);
    let rule = now.rule.map(|rule| serde_json::to_string(&rule)).transpose()?;
    tx.db
        .prepare_cached(
            "UPDATE conversions SET rule = ?2, click = ?3, candidates = ?4, program = ?5, partner = ?6
             WHERE id = ?1",
        )?
        .execute(params![
            now.id.0 as i64,
            rule,
            now.click.map(click_bytes),
            serde_json::to_string(&decision.candidates)?,
            now.program.0 as i64,
            now.partner.0 as i64
        ])?;
    effects::restate(tx, &now)?;
    if is_signup(&now.event) && was != (now.program, now.partner) {
        commissions::count_signup(tx, &now, was, -1)?;
        commissions::count_signup(tx, &now, (now.program, now.partner), 1)?;
    }
    Ok(now)
}

/// Whether conversions of this event are signups.
pub(super) fn is_signup(event: &str) -> bool {
    event == "lead" || event == "signup"
}

/// A click of this subscription became known, or what one of its conversions was credited to changed: those since
/// then are looked at again. In the order in which they happened, because each depends on earlier ones only; so once
/// is enough.
pub(super) fn revisit_subscription(
    tx: &mut Applying<'_>,
    subscription: &str,
    except: ConversionId,
    since: Timestamp,
) -> Applied<()> {
    let later: Vec<i64> = tx
        .db
        .prepare_cached(
            "SELECT id FROM conversions WHERE workspace = ?1 AND subscription = ?2 AND occurred_at >= ?5
                 AND merged_into IS NULL AND id != ?3
             ORDER BY occurred_at, id LIMIT ?4",
        )?
        .query_map(params![tx.workspace.0, subscription, except.0 as i64, REVISITED_MAX, since.0], |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    for id in later {
        let row = ConversionRow::find(tx.db, ConversionId(id as u64))?.expect("just selected");
        // Not by way of `reconsider` itself: one of them must not set off the others again.
        let decision = decide(tx, &row, claims(tx, row.id)?, true)?;
        let now = credit(tx, row, &decision)?;
        commissions::resettle(tx, &now)?;
    }
    Ok(())
}

/// Decides by `claims` and by what the tables say; `is_known`: the customer may have touches.
fn decide(
    tx: &Applying<'_>,
    conversion: &ConversionRow,
    claims: Vec<Claim>,
    is_known: bool,
) -> Applied<Decision> {
    let mut decision = Decision::default();
    claimed_directly(tx, conversion, claims, &mut decision)?;
    let named = named_partner(tx, conversion, &mut decision)?;
    if let Some(subscription) = &conversion.subscription {
        by_subscription(tx, conversion, subscription, &mut decision)?;
    }
    if let Some(customer) = conversion.customer.filter(|_| is_known) {
        // Whoever pays again for what a click once brought stays bound to it, however long ago that was.
        let windowed = conversion.event != "renewal";
        for click in touches(tx, customer, "DESC")? {
            decision.consider(tx, conversion, AttributionRule::Customer, click, windowed)?;
        }
    }
    prefer_first(tx, conversion, &mut decision)?;
    if let (Some(credit), Some(named)) = (&mut decision.credit, named)
        && credit.partner == PartnerId::NONE
    {
        credit.partner = named;
        if credit.program == ProgramId::NONE {
            credit.program = tx.memory.partners.program(tx.db, tx.workspace, named)?;
        }
    }
    Ok(decision)
}

/// A customer's clicks in the order of their times.
fn touches(tx: &Applying<'_>, customer: CustomerId, order: &str) -> Applied<Vec<ClickId>> {
    let sql = format!("SELECT click FROM touches WHERE customer = ?1 ORDER BY click {order} LIMIT ?2");
    let touches: Vec<Option<ClickId>> = tx
        .db
        .prepare_cached(&sql)?
        .query_map(params![customer.0 as i64, TOUCHES_MAX], |row| read_click(row, 0))?
        .collect::<Result<_, _>>()?;
    Ok(touches.into_iter().flatten().collect())
}

/// What a stored conversion claims, the latest click first.
fn claims(tx: &Applying<'_>, conversion: ConversionId) -> Applied<Vec<Claim>> {
    let mut statement = tx.db.prepare_cached(
        "SELECT claimed_by, click, refused FROM claims WHERE conversion = ?1 ORDER BY click DESC, n",
    )?;
    let mut rows = statement.query([conversion.0 as i64])?;
    let mut claims = Vec::new();
    while let Some(row) = rows.next()? {
        let rule = serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
        claims.push(Claim { rule, click: read_click(row, 1)?, refused: row.get(2)? });
    }
    Ok(claims)
}

fn claimed_directly(
    tx: &Applying<'_>,
    conversion: &ConversionRow,
    claims: Vec<Claim>,
    decision: &mut Decision,
) -> Applied<()> {
    for Claim { rule, click, refused } in claims {
        match click {
            Some(click) => decision.consider(tx, conversion, rule, click, true)?,
            None => decision.candidates.push(Candidate {
                rule,
                click_id: None,
                clicked_at: None,
                link_id: None,
                partner_id: None,
                credited: false,
                reason: format!("Refused: {}", refused.unwrap_or_default()),
            }),
        }
    }
    Ok(())
}

/// The partners whose coupon and code the conversion carried. Gives the first of them.
fn named_partner(
    tx: &Applying<'_>,
    conversion: &ConversionRow,
    decision: &mut Decision,
) -> Applied<Option<PartnerId>> {
    let mut first = None;
    for (rule, kind, code) in [
        (AttributionRule::Coupon, CodeKind::Coupon, &conversion.coupon),
        (AttributionRule::PartnerCode, CodeKind::Code, &conversion.partner_code),
    ] {
        let Some(code) = code else { continue };
        let partner = tx.memory.partners.holder(tx.db, tx.workspace, kind, code)?;
        let refused = match partner {
            None => Some(format!("No partner has `{code}`.")),
            Some(_) if decision.credit.is_some() => Some(TAKEN.to_owned()),
            Some(_) => None,
        };
        if let Some(partner) = partner {
            first = first.or(Some(partner));
            if refused.is_none() {
                let program = match conversion.own_program.some() {
                    Some(program) => program,
                    None => tx.memory.partners.program(tx.db, tx.workspace, partner)?,
                };
                decision.credit = Some(Credited { rule, click: None, program, partner });
            }
        }
        decision.candidates.push(Candidate {
            rule,
            click_id: None,
            clicked_at: None,
            link_id: None,
            partner_id: partner,
            credited: refused.is_none(),
            reason: refused.unwrap_or_else(|| took(rule).to_owned()),
        });
    }
    Ok(first)
}

fn by_subscription(
    tx: &Applying<'_>,
    conversion: &ConversionRow,
    subscription: &str,
    decision: &mut Decision,
) -> Applied<()> {
    type Lineage = (Option<ClickId>, i64, i64);
    let first: Option<Lineage> = tx
        .db
        .prepare_cached(
            "SELECT click, program, partner FROM conversions
             WHERE workspace = ?1 AND subscription = ?2 AND rule IS NOT NULL AND merged_into IS NULL
                 AND id != ?3 AND occurred_at <= ?4 AND rule != '\"subscription\"'
             ORDER BY occurred_at, id LIMIT 1",
        )?
        .query_row(
            params![tx.workspace.0, subscription, conversion.id.0 as i64, conversion.occurred_at.0],
            |row| Ok((read_click(row, 0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let own: Option<Option<ClickId>> = tx
        .db
        .prepare_cached("SELECT click FROM subscriptions WHERE workspace = ?1 AND name = ?2")?
        .query_row(params![tx.workspace.0, subscription], |row| read_click(row, 0))
        .optional()?;
    // A renewal continues its sale however old that is; anything else must come within the window.
    let windowed = conversion.event != "renewal";
    let rule = AttributionRule::Subscription;
    match first {
        Some((Some(click), _, _)) => decision.consider(tx, conversion, rule, click, windowed)?,
        Some((None, program, partner)) => {
            let (program, partner) = (ProgramId(program as u64), PartnerId(partner as u64));
            let credited = decision.credit.is_none();
            if credited {
                decision.credit = Some(Credited { rule, click: None, program, partner });
            }
            decision.candidates.push(Candidate {
                rule,
                click_id: None,
                clicked_at: None,
                link_id: None,
                partner_id: partner.some(),
                credited,
                reason: if credited { took(rule).to_owned() } else { TAKEN.to_owned() },
            });
        }
        None => {}
    }
    match own.flatten() {
        Some(click) => decision.consider(tx, conversion, rule, click, windowed),
        None => Ok(()),
    }
}

/// Where the program that won credits the first touch: the earliest eligible click of that program takes over.
fn prefer_first(tx: &Applying<'_>, conversion: &ConversionRow, decision: &mut Decision) -> Applied<()> {
    let Some(credit) = decision.credit else { return Ok(()) };
    let Some(last) = credit.click.filter(|_| credit.rule != AttributionRule::Subscription) else {
        return Ok(());
    };
    let terms = tx.terms_at(credit.program, conversion.occurred_at)?;
    if !terms.is_some_and(|(_, terms)| terms.attribution == Touch::First) {
        return Ok(());
    }
    let mut earliest = (last, credit);
    let mut eligible: Vec<(AttributionRule, ClickId)> = decision
        .candidates
        .iter()
        .filter_map(|candidate| Some((candidate.rule, candidate.click_id?)))
        .filter(|(rule, _)| *rule != AttributionRule::Subscription)
        .collect();
    if let Some(customer) = conversion.customer {
        for click in touches(tx, customer, "ASC")? {
            if !eligible.iter().any(|(_, known)| *known == click) {
                eligible.push((AttributionRule::Customer, click));
            }
        }
    }
    for (rule, click) in eligible {
        let judged = judge(tx, conversion, rule, click, true)?;
        if judged.refused.is_none() && judged.program == credit.program && click < earliest.0 {
            let partner = judged.partner;
            earliest = (click, Credited { rule, click: Some(click), program: credit.program, partner });
        }
    }
    let (first, credit) = earliest;
    if first == last {
        return Ok(());
    }
    if !decision.candidates.iter().any(|candidate| candidate.click_id == Some(first)) {
        let judged = judge(tx, conversion, credit.rule, first, true)?;
        decision.candidates.push(judged.candidate(credit.rule, first, String::new()));
    }
    for candidate in &mut decision.candidates {
        candidate.credited = candidate.click_id == Some(first);
        if candidate.credited {
            candidate.reason =
                "It is the first click within the window, which the program credits.".to_owned();
        } else if candidate.click_id == Some(last) {
            candidate.reason = FIRST_WON.to_owned();
        }
    }
    decision.credit = Some(credit);
    Ok(())
}

/// What a click by itself says about a conversion.
struct Judged {
    link: LinkId,
    program: ProgramId,
    partner: PartnerId,
    refused: Option<String>,
}

impl Judged {
    fn candidate(&self, rule: AttributionRule, click: ClickId, reason: String) -> Candidate {
        Candidate {
            rule,
            click_id: Some(click),
            clicked_at: Some(Timestamp(click.unix_ms())),
            link_id: self.link.some(),
            partner_id: self.partner.some(),
            credited: false,
            reason,
        }
    }
}

fn judge(
    tx: &Applying<'_>,
    conversion: &ConversionRow,
    rule: AttributionRule,
    click: ClickId,
    windowed: bool,
) -> Applied<Judged> {
    let claimed = clicks::claimed(tx.db, tx.workspace, click)?;
    let bot = claimed.as_ref().and_then(|claimed| claimed.facts.as_ref()).is_some_and(|facts| facts.bot);
    let (link, partner, of_link) = claimed.as_ref().map_or_else(Default::default, clicks::Claimed::terms);
    let program = match of_link.some().or(conversion.own_program.some()) {
        Some(program) => program,
        None => tx.memory.partners.program(tx.db, tx.workspace, partner)?,
    };
    let age = conversion.occurred_at.0 - click.unix_ms();
    let tolerance = if rule == AttributionRule::Customer { 0 } else { CLOCK_TOLERANCE_MS };
    let refused = if bot {
        Some("It is a robot's click.".to_owned())
    } else if link == LinkId::NONE {
        Some("The click has not been found yet.".to_owned())
    } else if age < -tolerance {
        Some("The click came after the conversion.".to_owned())
    } else if windowed {
        let terms = tx.terms_at(program, conversion.occurred_at)?;
        let window = terms.map_or_else(Window::default, |(_, terms)| terms.window());
        (age > window.ms()).then(|| format!("The click is more than {window} older than the conversion."))
    } else {
        None
    };
    Ok(Judged { link, program, partner, refused })
}

const FIRST_WON: &str = "The program credits the first click.";

/// Whether a candidate took the credit, or only lost it to another one.
pub(super) fn was_in_question(candidate: &Candidate) -> bool {
    candidate.credited || [TAKEN, FIRST_WON].contains(&candidate.reason.as_str())
}

const TAKEN: &str = "An earlier rule or a later click took the credit.";

impl Decision {
    /// The conversion as it stands by this decision.
    fn credited(&self, before: ConversionRow) -> ConversionRow {
        let credit = self.credit;
        ConversionRow {
            rule: credit.map(|credit| credit.rule),
            click: credit.and_then(|credit| credit.click),
            program: credit.map_or(before.own_program, |credit| credit.program),
            partner: credit.map_or(PartnerId::NONE, |credit| credit.partner),
            ..before
        }
    }

    fn consider(
        &mut self,
        tx: &Applying<'_>,
        conversion: &ConversionRow,
        rule: AttributionRule,
        click: ClickId,
        windowed: bool,
    ) -> Applied<()> {
        // A click is judged once, unless only the window spoke against it and this rule has none.
        let mut judged = self.candidates.iter().filter(|candidate| candidate.click_id == Some(click));
        if judged.any(|candidate| candidate.credited || windowed) {
            return Ok(());
        }
        let judged = judge(tx, conversion, rule, click, windowed)?;
        let mut candidate = judged.candidate(rule, click, String::new());
        match &judged.refused {
            Some(reason) => candidate.reason.clone_from(reason),
            None if self.credit.is_some() => TAKEN.clone_into(&mut candidate.reason),
            None => {
                took(rule).clone_into(&mut candidate.reason);
                candidate.credited = true;
                let Judged { program, partner, .. } = judged;
                self.credit = Some(Credited { rule, click: Some(click), program, partner });
            }
        }
        self.candidates.push(candidate);
        Ok(())
    }
}

fn took(rule: AttributionRule) -> &'static str {
    match rule {
        AttributionRule::Wclid => "The conversion carried this click's token.",
        AttributionRule::ClickId => "The conversion carried this click's id.",
        AttributionRule::Coupon => "The conversion carried the partner's coupon.",
        AttributionRule::PartnerCode => "The conversion carried the partner's code.",
        AttributionRule::Customer => {
            "It is the customer's last click within the window before the conversion."
        }
        AttributionRule::Subscription => "The subscription's first credited conversion was credited to it.",
    }
}
