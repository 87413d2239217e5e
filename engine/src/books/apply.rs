//! Applying one fact: a pure function of the tables and the fact. No clock, no randomness, no network: time
//! comes from [`Recorded::at`], ids from the fact or from its sequence. So a replay of the journal gives the
//! same books.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use weir_schemas::fact::{Fact, IdempotentRequest, Recorded};
use weir_schemas::ids::{
    EndpointId, KeyId, LinkId, PartnerId, PostbackTokenId, ProgramId, Sequence, SiteId, WorkspaceId,
};
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;
use weir_schemas::program::ProgramSpec;
use weir_schemas::time::Timestamp;

use super::memory::Memory;
use super::outcome::{Applied, Body, Outcome, Stop, StoreError};
use super::{
    access, alerts, audit, blocklist, clicks, commissions, conversions, customers, deliveries, fulfilment,
    fx, ledger, links, outbound, partners, payouts, postback_tokens, postbacks, programs, refunds, saved,
    shares, sites, splits, suspicion, wallets,
};

/// What of the in-memory tables a fact made stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touched {
    Link(LinkId),
    Split(LinkId),
    Key(KeyId),
    Endpoint(EndpointId),
    Site(SiteId),
    Partner(PartnerId),
    Blocklist(WorkspaceId),
    PostbackToken(PostbackTokenId),
    Fx(WorkspaceId),
}

/// One fact being applied.
pub(super) struct Applying<'a> {
    pub(super) db: &'a Connection,
    pub(super) seq: Sequence,
    pub(super) at: Timestamp,
    pub(super) workspace: WorkspaceId,
    /// How many effects the fact has so far.
    pub(super) effects: u32,
    /// The sums of its ledger entries so far; to be zero at its end.
    pub(super) posted: Vec<(Currency, i64)>,
    pub(super) touched: Vec<Touched>,
    pub(super) memory: &'a Memory,
}

/// How a refused fact is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undo {
    /// By itself: each fact has a savepoint, for which SQLite copies every page that it changes.
    Fact,
    /// With the whole batch, which the caller then applies again with [`Undo::Fact`]. Refusals are rare, and applying
    /// is a pure function.
    Batch,
}

/// Applies `recorded` at `seq` inside the caller's transaction. `None`: it is refused, and the batch is to be undone.
pub(super) fn apply(
    db: &Connection,
    seq: Sequence,
    recorded: &Recorded,
    touched: &mut Vec<Touched>,
    memory: &Memory,
    undo: Undo,
) -> Result<Option<Outcome>, StoreError> {
    let workspace = recorded.workspace;
    if let Some(request) = &recorded.request
        && let Some(outcome) = earlier_answer(db, workspace, request)?
    {
        return Ok(Some(outcome));
    }
    let (posted, changed) = (Vec::new(), Vec::new());
    let mut tx =
        Applying { db, seq, at: recorded.at, workspace, effects: 0, posted, touched: changed, memory };
    commissions::mature(&mut tx)?;
    if undo == Undo::Fact {
        // What is rolled back is forgotten whole; what came before it is to stay.
        memory.write_back(db)?;
        db.prepare_cached("SAVEPOINT fact")?.execute([])?;
    }
    let before = (db.total_changes(), memory.changes());
    let applied = tx.fact(&recorded.fact);
    let outcome = match applied.and_then(|outcome| ledger::assert_balanced(&tx).map(|()| outcome)) {
        Ok(outcome) => {
            touched.append(&mut tx.touched);
            outcome
        }
        // Most are refused before they have written anything.
        Err(Stop::Refused(problem)) if before == (db.total_changes(), memory.changes()) => {
            Outcome::refused(&problem)
        }
        Err(Stop::Refused(_)) if undo == Undo::Batch => return Ok(None),
        Err(Stop::Refused(problem)) => {
            db.prepare_cached("ROLLBACK TO fact")?.execute([])?;
            memory.forget();
            Outcome::refused(&problem)
        }
        Err(Stop::Failed(error)) => return Err(error),
    };
    if undo == Undo::Fact {
        db.prepare_cached("RELEASE fact")?.execute([])?;
    }
    audit::note(db, seq, recorded, &outcome)?;
    if let Some(request) = &recorded.request {
        db.prepare_cached("INSERT INTO requests VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            workspace.0,
            request.key,
            request.fingerprint,
            outcome.status,
            outcome.body.text()
        ])?;
    }
    Ok(Some(outcome))
}

/// The code of the refusal of an `Idempotency-Key` that another request had.
pub const KEY_REUSED: &str = "idempotency_key_reused";

/// An `Idempotency-Key` is answered once and for ever, refusals included.
pub(super) fn earlier_answer(
    db: &Connection,
    workspace: WorkspaceId,
    request: &IdempotentRequest,
) -> Result<Option<Outcome>, StoreError> {
    let earlier: Option<(String, u16, String)> = db
        .prepare_cached("SELECT fingerprint, status, body FROM requests WHERE workspace = ?1 AND key = ?2")?
        .query_row(params![workspace.0, request.key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((fingerprint, status, body)) = earlier else { return Ok(None) };
    if fingerprint != request.fingerprint {
        let detail = "This Idempotency-Key was used for another request: use a new key for a new request.";
        return Ok(Some(Outcome::refused(&Problem::conflict(KEY_REUSED, detail))));
    }
    Ok(Some(Outcome { status, body: Body::from_text(body), replayed: true }))
}

impl Applying<'_> {
    fn fact(&mut self, fact: &Fact) -> Applied<Outcome> {
        match fact {
            Fact::WorkspaceCreated { name, currency, timezone, key } => {
                access::create_workspace(self, name, *currency, timezone, key.as_ref())
            }
            Fact::WorkspaceUpdated { patch } => access::update_workspace(self, patch),
            Fact::KeyCreated { id, name, role, partner, secret_sha256, hint } => {
                let key =
                    access::NewKey { id: *id, name, role: *role, partner: *partner, secret_sha256, hint };
                access::create_key(self, &key)
            }
            Fact::KeyUpdated { id, patch } => access::update_key(self, *id, patch),
            Fact::KeyRevoked { id } => access::revoke_key(self, *id),
            Fact::LinkCreated { id, spec, spare_slugs } => links::create(self, *id, spec, spare_slugs),
            Fact::LinkUpdated { id, patch } => links::update(self, *id, patch),
            Fact::LinkDeleted { id } => links::delete(self, *id),
            Fact::SplitDecided { link, decision } => splits::record(self, *link, decision),
            Fact::EndpointCreated { id, provider, secrets, program_id, settings } => {
                access::create_endpoint(self, *id, provider, secrets, settings.as_ref(), *program_id)
            }
            Fact::EndpointUpdated { id, secrets, settings } => {
                access::update_endpoint(self, *id, secrets.as_deref(), settings.as_ref())
            }
            Fact::EndpointDeleted { id } => access::delete_endpoint(self, *id),
            Fact::OutboundCreated { id, spec, secret } => outbound::create(self, *id, spec, secret),
            Fact::OutboundUpdated { id, patch, secret } => {
                outbound::update(self, *id, patch, secret.as_ref())
            }
            Fact::OutboundDeleted { id } => outbound::delete(self, *id),
            Fact::FulfilmentCreated { id, spec, key } => fulfilment::create(self, *id, spec, key),
            Fact::FulfilmentDeleted { id } => fulfilment::delete(self, *id),
            Fact::PostbackTokenCreated { id, settings, secret_sha256, hint } => {
                postback_tokens::create(self, *id, settings, secret_sha256, hint)
            }
            Fact::PostbackTokenUpdated { id, patch } => postback_tokens::update(self, *id, patch),
            Fact::PostbackTokenRotated { id, secret_sha256, hint, previous_until } => {
                postback_tokens::rotate(self, *id, secret_sha256, hint, *previous_until)
            }
            Fact::PostbackTokenDeleted { id } => postback_tokens::delete(self, *id),
            Fact::Postback {
                token: _,
                id,
                txid,
                status,
                event,
                payout,
                currency,
                refund_id,
                customer,
                coupon,
                partner_code,
                click,
                occurred_at,
            } => {
                let postback = postbacks::Incoming {
                    id: *id,
                    txid: txid.as_deref(),
                    status: *status,
                    event,
                    payout: *payout,
                    currency: *currency,
                    refund_id: refund_id.as_deref(),
                    customer: customer.as_deref(),
                    coupon: coupon.as_deref(),
                    partner_code: partner_code.as_deref(),
                    click,
                    occurred_at: *occurred_at,
                };
                postbacks::receive(self, &postback)
            }
            Fact::SiteCreated { id, name, origins } => sites::create(self, *id, name, origins),
            Fact::SiteDeleted { id } => sites::delete(self, *id),
            Fact::DestinationBlocked { id, pattern, reason } => {
                blocklist::add(self, *id, pattern, reason.as_deref())
            }
            Fact::DestinationUnblocked { id } => blocklist::remove(self, *id),
            Fact::ClickJudged { click, verdict, reason } => {
                suspicion::judge(self, click, *verdict, reason.as_deref())
            }
            Fact::AlertCreated { id, spec } => alerts::create(self, *id, spec),
            Fact::AlertUpdated { id, patch } => alerts::update(self, *id, patch),
            Fact::AlertDeleted { id } => alerts::delete(self, *id),
            Fact::AlertChanged { change } => alerts::change(self, change),
            Fact::SavedQueryCreated { id, spec } => saved::create(self, *id, spec),
            Fact::SavedQueryUpdated { id, patch } => saved::update(self, *id, patch),
            Fact::SavedQueryDeleted { id } => saved::delete(self, *id),
            Fact::ShareCreated { id, spec, secret_sha256, hint } => {
                shares::create(self, *id, spec, secret_sha256, hint)
            }
            Fact::ShareRevoked { id } => shares::revoke(self, *id),
            Fact::FxRatesPut { base, source, rates } => fx::put(self, *base, source, rates),
            Fact::FxRatesCleared {} => fx::clear(self),
            Fact::ProgramCreated { id, spec } => programs::create(self, *id, spec),
            Fact::ProgramUpdated { id, patch } => programs::update(self, *id, patch),
            Fact::PartnerCreated { id, spec, private } => partners::create(self, *id, spec, private.as_ref()),
            Fact::PartnerUpdated { id, patch, private } => {
                partners::update(self, *id, patch, private.as_ref())
            }
            Fact::PayoutsRequested { id, scope } => payouts::request(self, *id, scope),
            Fact::PayoutDecided { id, to, reference, reason } => {
                payouts::decide(self, *id, *to, reference.as_deref(), reason.as_deref())
            }
            Fact::CashbackClaimed { id, customer_id, currency, reference } => {
                wallets::claim(self, *id, customer_id, *currency, reference.as_deref())
            }
            Fact::Answered { status, body } => Ok(Outcome::new(*status, body)?),
            // They change no table but the audit log.
            Fact::IncidentCreated { .. }
            | Fact::IncidentUpdated { .. }
            | Fact::IncidentDeleted { .. }
            | Fact::TimePassed {} => Ok(Outcome::no_content()),
            Fact::CommissionJudged { id, verdict, reason } => {
                commissions::judge(self, *id, *verdict, reason.as_deref())
            }
            Fact::Conversion { id, conversion, person, buyer, properties: _, click } => {
                let buyer = customers::Buyer { person: person.as_ref(), is: buyer };
                conversions::report(self, *id, conversion, buyer, click)
            }
            Fact::Refund { refund } => refunds::report(self, refund),
            Fact::Delivery {
                id,
                endpoint,
                provider,
                dedupe_key,
                event_type,
                body_sha256,
                livemode,
                payments,
            } => {
                let delivery = deliveries::Incoming {
                    id: *id,
                    endpoint: *endpoint,
                    provider,
                    dedupe_key,
                    event_type,
                    body_sha256,
                    livemode: *livemode,
                    payments,
                };
                deliveries::receive(self, &delivery)
            }
            Fact::ClickResolved { click } => clicks::resolve(self, click),
            Fact::CustomersMerged { from, into, person } => {
                customers::merge(self, from, into, person.as_ref())
            }
            Fact::DeliveryReplayed { id, endpoint } => deliveries::replay(self, *id, *endpoint),
            Fact::CustomerErased { customer_id } => customers::erase(self, customer_id),
        }
    }

    /// The terms of a program in force at a time; `None` where there is no such program.
    pub(super) fn terms_at(
        &self,
        program: ProgramId,
        at: Timestamp,
    ) -> Result<Option<(u32, Arc<ProgramSpec>)>, StoreError> {
        self.memory.terms.at(self.db, self.workspace, program, at)
    }

    /// A program was made or changed.
    pub(super) fn terms_changed(&self) {
        self.memory.terms.forget();
    }

    /// `id`, or the next one that `table` does not hold: ids are drawn by their callers and practically never
    /// meet.
    pub(super) fn free_id(&self, table: &'static str, id: u64) -> Applied<u64> {
        let mut id = id.max(1);
        if self.memory.is_beyond(self.db, table, id)? {
            return Ok(id);
        }
        let mut statement = self.db.prepare_cached(&format!("SELECT 1 FROM {table} WHERE id = ?1"))?;
        while statement.exists([id as i64])? {
            id += 1;
        }
        self.memory.is_beyond(self.db, table, id)?;
        Ok(id)
    }
}
