//! The books: what must be exact and looked up. A follower of the journal's facts, kept in SQLite
//! (`books.db`, WAL, `synchronous=NORMAL`) by one thread, many facts per transaction, `applied_seq` in the same
//! transaction. A power failure may take the last transactions back, whole ones only: the journal has their facts.
//!
//! The way of a fact: [`apply`] → what it is about ([`access`], [`links`], [`conversions`], [`refunds`],
//! [`programs`], [`partners`],
//! [`deliveries`] and its [`payments`]) → [`attribution`], [`orders`], [`returns`] → [`effects`] and their
//! ledger entries.
//!
//! **Invariants.** Applying is a pure function of tables and fact, so a replay gives the same books
//! ([`Store::digest`]). The ledger entries of a fact add up to zero in every currency. The effects of a
//! conversion add up to what it stands for now. Nothing that went back exceeds what was paid.
//! [`Store::check`] recomputes them all.

mod access;
mod alerts;
mod apply;
mod attribution;
mod audit;
mod backlog;
mod blocklist;
mod check;
mod clicks;
mod commissions;
mod conversion_row;
mod conversions;
mod customers;
mod deliveries;
mod effects;
mod follower;
mod fulfilment;
mod fx;
mod handle;
mod leaderboard;
mod ledger;
mod links;
mod memory;
mod milestones;
mod orders;
mod outbound;
mod outcome;
mod partners;
mod payments;
mod payouts;
mod postback_tokens;
mod postbacks;
mod programs;
mod reads;
mod rebuild;
mod refunds;
mod returns;
mod saved;
mod schema;
mod shares;
mod sites;
mod splits;
mod statements;
mod store;
mod suspicion;
mod tables;
mod terms_memory;
mod tiers;
mod uplift;
mod waiting;
mod wallets;

pub use crate::endpoints::SECRET_CONTEXT as ENDPOINT_SECRET_CONTEXT;
pub use access::{ApiKey, WebhookEndpoint, Workspace};
pub use alerts::{ALERTS_MAX, Alert, AlertEvent, WatchedAlert};
pub use apply::KEY_REUSED;
pub use attribution::{CLOCK_TOLERANCE_MS, Candidate, TOUCHES_MAX};
pub use audit::{AuditFilter, AuditLine};
pub use backlog::BacklogLimits;
pub use blocklist::BlockedPattern;
pub use commissions::CommissionFilter;
pub use deliveries::{Delivery, DeliveryOutcome};
pub use fulfilment::{FULFILMENTS_MAX, Fulfilment, Minted};
pub use fx::{FX_RATES_MAX, FxFilter, StoredRate};
pub use handle::{Books, BooksConfig, BooksError, SubmitError};
pub use leaderboard::{Balance, LeaderboardOf, PartnerStats, Place, ProgramStanding};
pub use ledger::AccountFilter;
pub use milestones::{MILESTONE_LINES_MAX, MILESTONE_PARTNERS_MAX, MilestoneFilter};
pub use outbound::{OUTBOUND_CONTEXT, OUTBOUND_MAX, OutboundEndpoint, OutboundTarget, OutboxRow};
pub use outcome::{Body, Outcome, StoreError};
pub use partners::{PARTNER_CONTEXT, PartnerFilter, StoredPartner, open_partner};
pub use payouts::{BATCH_MAX as PAYOUTS_MAX, PayoutFilter};
pub use postback_tokens::{POSTBACK_TOKENS_MAX, PostbackToken};
pub use programs::{PROGRAMS_MAX, ProgramVersion};
pub use reads::{
    ConversionFilter, CustomerLine, CustomerProfile, CustomerSubscription, CustomerTouch, Erasure,
    LinkFilter, Model, PAGE_DEFAULT, PAGE_MAX, PROFILE_ORDERS_MAX, Page, PageOf, ReadError, Reads,
    TAGS_LISTED_MAX, TagCount, Trace, WhatIf, WouldBe,
};
pub use rebuild::{RebuildError, Rebuilt, rebuild};
pub use refunds::Refund;
pub use returns::RETURNS_MAX;
pub use saved::{SAVED_QUERIES_MAX, SavedQuery};
pub use shares::{OpenShare, SHARES_MAX, Share};
pub use sites::{SITES_MAX, Site};
pub use splits::SPLIT_DECISIONS_MAX;
pub use statements::STATEMENT_LINES_MAX;
pub use store::{Fact, Store};
pub use suspicion::ClickVerdict;
pub use tiers::{PartnerTier, TierChange};
pub use uplift::{Buyers, CashbackUplift, Uplift};

#[cfg(test)]
mod tests;
