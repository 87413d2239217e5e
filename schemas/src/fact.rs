//! Facts that are few and count for ever: commands, conversions, payments. Kept in the journal as JSON, one
//! [`Recorded`] per entry, and applied by the books in order. Applying is a pure function, so a fact holds all that was
//! looked up, drawn or measured when it entered: the time, new ids, what the click token said.
//!
//! Long, because it is one list: every fact that there is, with what each of its fields means.
//!
//! These types are a commitment: old journals must stay readable, so fields are only ever added, with a default.

use serde::{Deserialize, Serialize};

use crate::alert::{AlertChange, AlertSpec};
use crate::click::{Dims, Verdict as HitVerdict};
use crate::commission::Verdict;
use crate::conversion::{NewConversion, NewRefund, Person};
use crate::fx::FxRate;
use crate::ids::{
    AlertId, BlockId, ClickId, CommissionId, ConversionId, DeliveryId, EndpointId, FulfilmentId, IncidentId,
    KeyId, LinkId, OutboundEndpointId, PartnerId, PayoutId, PostbackTokenId, ProgramId, SavedQueryId,
    ShareId, SiteId, WorkspaceId,
};
use crate::link::{LinkSpec, SplitDecision};
use crate::money::Money;
use crate::outbound::{FulfilmentSpec, OutboundSpec};
use crate::partner::PartnerSpec;
use crate::payout::{PayoutScope, PayoutStatus};
use crate::postback::{PostbackSettings, PostbackStatus};
use crate::program::ProgramSpec;
use crate::saved::{SavedQuerySpec, ShareSpec};
use crate::time::Timestamp;

/// The `kind` byte of a journal entry.
pub mod kind {
    /// Traffic: a [`Click`](crate::click::Click).
    pub const CLICK: u8 = 1;
    /// Traffic: an [`Event`](crate::event::Event).
    pub const EVENT: u8 = 2;
    /// Facts: a [`Recorded`](super::Recorded).
    pub const FACT: u8 = 16;
}

/// One entry of the journal's first family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// When it entered; the only clock the books know.
    pub at: Timestamp,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Who brought it.
    pub actor: Actor,
    /// The caller's `Idempotency-Key`, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<IdempotentRequest>,
    /// What happened.
    pub fact: Fact,
}

/// Who brought a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The engine itself.
    System,
    /// A caller of the API.
    Key(KeyId),
    /// A provider.
    Endpoint(EndpointId),
}

/// `Idempotency-Key` and what it was sent with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotentRequest {
    /// The header's value.
    pub key: String,
    /// SHA-256 of method, path and body, in hex.
    pub fingerprint: String,
}

/// The facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "facts are few and never kept in bulk in memory")]
pub enum Fact {
    /// A workspace was made.
    WorkspaceCreated {
        /// For people.
        name: String,
        /// Reporting currency.
        currency: crate::money::Currency,
        /// IANA name.
        timezone: String,
        /// Its first key, of role `admin`; the engine's first workspace gets its own in a fact of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<FirstKey>,
    },
    /// A workspace was changed: the keys of `patch` replace those it had.
    WorkspaceUpdated {
        /// Validated: `name`, `currency`, `timezone`.
        patch: serde_json::Map<String, serde_json::Value>,
    },
    /// An API key was made.
    KeyCreated {
        /// Its id.
        id: KeyId,
        /// For people.
        name: String,
        /// What it may do.
        role: Role,
        /// For role `partner`: whose numbers.
        #[serde(default)]
        partner: Option<PartnerId>,
        /// SHA-256 of the secret, in hex.
        secret_sha256: String,
        /// The first characters, to recognise it by.
        hint: String,
    },
    /// An API key got another name or role; its secret stays.
    KeyUpdated {
        /// Which.
        id: KeyId,
        /// Validated: `name`, `role`.
        patch: serde_json::Map<String, serde_json::Value>,
    },
    /// An API key was revoked.
    KeyRevoked {
        /// Which.
        id: KeyId,
    },
    /// A link was made.
    LinkCreated {
        /// Its id.
        id: LinkId,
        /// Canonical, with its slug.
        spec: LinkSpec,
        /// The slug was drawn, not chosen: on a collision the books try these in order.
        #[serde(default)]
        spare_slugs: Vec<String>,
    },
    /// A link was changed: the keys of `patch` replace those of the spec.
    LinkUpdated {
        /// Which.
        id: LinkId,
        /// Validated and canonical.
        patch: serde_json::Map<String, serde_json::Value>,
    },
    /// A link was deleted: its slug answers as unknown, its history stays.
    LinkDeleted {
        /// Which.
        id: LinkId,
    },
    /// The shares of a link's variants were decided by their results, and differ from those before.
    SplitDecided {
        /// Whose.
        link: LinkId,
        /// What and why.
        decision: SplitDecision,
    },
    /// A webhook endpoint was made.
    EndpointCreated {
        /// Its id.
        id: EndpointId,
        /// `stripe`, …
        provider: String,
        /// Each sealed under the keyring's master key.
        secrets: Vec<Sealed>,
        /// The program of its conversions.
        #[serde(default)]
        program_id: Option<ProgramId>,
        /// What its provider needs beside the secrets, JSON, sealed like them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settings: Option<Sealed>,
    },
    /// A webhook endpoint's secrets or settings were replaced.
    EndpointUpdated {
        /// Which.
        id: EndpointId,
        /// All of its secrets from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secrets: Option<Vec<Sealed>>,
        /// All of its settings from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settings: Option<Sealed>,
    },
    /// A webhook endpoint was deleted.
    EndpointDeleted {
        /// Which.
        id: EndpointId,
    },
    /// An outbound endpoint was made.
    OutboundCreated {
        /// Its id.
        id: OutboundEndpointId,
        /// Where and what.
        spec: OutboundSpec,
        /// What signs, sealed under the keyring's master key.
        secret: Sealed,
    },
    /// An outbound endpoint was changed: the keys of `patch` replace those of its spec.
    OutboundUpdated {
        /// Which.
        id: OutboundEndpointId,
        /// Validated.
        patch: serde_json::Map<String, serde_json::Value>,
        /// A new secret, which signs beside the one before until it is changed again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<Sealed>,
    },
    /// An outbound endpoint was deleted.
    OutboundDeleted {
        /// Which.
        id: OutboundEndpointId,
    },
    /// A fulfilment was made.
    FulfilmentCreated {
        /// Its id.
        id: FulfilmentId,
        /// What mints what.
        spec: FulfilmentSpec,
        /// What its slugs are hashed with.
        key: String,
    },
    /// A fulfilment was deleted.
    FulfilmentDeleted {
        /// Which.
        id: FulfilmentId,
    },
    /// A postback token was made.
    PostbackTokenCreated {
        /// Its id.
        id: PostbackTokenId,
        /// How its network speaks.
        settings: PostbackSettings,
        /// SHA-256 of the secret, in hex.
        secret_sha256: String,
        /// The first characters, to recognise it by.
        hint: String,
    },
    /// A postback token was changed: the keys of `patch` replace those of its settings.
    PostbackTokenUpdated {
        /// Which.
        id: PostbackTokenId,
        /// Validated.
        patch: serde_json::Map<String, serde_json::Value>,
    },
    /// A postback token got a new secret.
    PostbackTokenRotated {
        /// Which.
        id: PostbackTokenId,
        /// SHA-256 of the new secret, in hex.
        secret_sha256: String,
        /// The first characters, to recognise it by.
        hint: String,
        /// Until when the one before is good.
        previous_until: Timestamp,
    },
    /// A postback token was deleted.
    PostbackTokenDeleted {
        /// Which.
        id: PostbackTokenId,
    },
    /// A network told of a transaction.
    Postback {
        /// By which token.
        token: PostbackTokenId,
        /// The id of the conversion if this is its first word.
        id: ConversionId,
        /// The transaction.
        #[serde(default)]
        txid: Option<String>,
        /// How far it is.
        status: PostbackStatus,
        /// The event of its conversion.
        event: String,
        /// The payout, where told.
        #[serde(default)]
        payout: Option<Money>,
        /// The currency of a payout that is not told.
        currency: crate::money::Currency,
        /// The network's id of a refund.
        #[serde(default)]
        refund_id: Option<String>,
        /// The customer.
        #[serde(default)]
        customer: Option<String>,
        /// The coupon used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        coupon: Option<String>,
        /// The partner named by their code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partner_code: Option<String>,
        /// What the click token or id turned out to be.
        click: ClickClaim,
        /// When it happened.
        #[serde(default)]
        occurred_at: Option<Timestamp>,
    },
    /// A site was registered.
    SiteCreated {
        /// Its id.
        id: SiteId,
        /// For people.
        name: String,
        /// Canonical: `https://shop.example`.
        origins: Vec<String>,
    },
    /// A site was deleted: its pages may send no more.
    SiteDeleted {
        /// Which.
        id: SiteId,
    },
    /// A pattern was put on the blocklist of destinations.
    DestinationBlocked {
        /// Its id.
        id: BlockId,
        /// Canonical: `evil.example`, `*.evil.example`, `evil.example/path`.
        pattern: String,
        /// For people.
        #[serde(default)]
        reason: Option<String>,
    },
    /// A pattern was taken off the blocklist.
    DestinationUnblocked {
        /// Which.
        id: BlockId,
    },
    /// A query was saved.
    SavedQueryCreated {
        /// Its id.
        id: SavedQueryId,
        /// Checked.
        spec: SavedQuerySpec,
    },
    /// A saved query was changed: the keys of `patch` replace those of the spec.
    SavedQueryUpdated {
        /// Which.
        id: SavedQueryId,
        /// Checked, together with what it leaves.
        patch: serde_json::Map<String, serde_json::Value>,
    },
    /// A saved query was deleted; links that share it stay as they are.
    SavedQueryDeleted {
        /// Which.
        id: SavedQueryId,
    },
    /// A share link was made.
    ShareCreated {
        /// Its id.
        id: ShareId,
        /// What it answers, and until when.
        spec: ShareSpec,
        /// SHA-256 of the secret, in hex.
        secret_sha256: String,
        /// The first characters, to recognise it by.
        hint: String,
    },
    /// A share link was revoked.
    ShareRevoked {
        /// Which.
        id: ShareId,
    },
    /// Exchange rates were put into the workspace's table.
    FxRatesPut {
        /// Whose one unit the rates are prices of.
        base: crate::money::Currency,
        /// Whose rates they are, for people.
        source: String,
        /// A day and a currency at most once.
        rates: Vec<FxRate>,
    },
    /// The workspace's table of exchange rates was emptied.
    FxRatesCleared {},
    /// An alert was made.
    AlertCreated {
        /// Its id.
        id: AlertId,
        /// Checked.
        spec: AlertSpec,
    },
    /// An alert was changed: the keys of `patch` replace those of the spec.
    AlertUpdated {
        /// Which.
        id: AlertId,
        /// Checked, together with what it leaves.
        patch: serde_json::Map<String, serde_json::Value>,
    },
    /// An alert was deleted.
    AlertDeleted {
        /// Which.
        id: AlertId,
    },
    /// The operator told of an incident. What was said is the status page's, which does not need the books to be shown.
    IncidentCreated {
        /// Its id.
        id: IncidentId,
    },
    /// More was said of an incident.
    IncidentUpdated {
        /// Which.
        id: IncidentId,
    },
    /// An incident was taken off the status page.
    IncidentDeleted {
        /// Which.
        id: IncidentId,
    },
    /// A request with an `Idempotency-Key` was answered whose work is not the books' own: a repeat is answered alike.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The answer, as it was sent.
        body: serde_json::Value,
    },
    /// An alert fires, or does so no more.
    AlertChanged {
        /// What it came to be.
        change: AlertChange,
    },
    /// A program was made.
    ProgramCreated {
        /// Its id.
        id: ProgramId,
        /// Its first terms.
        spec: ProgramSpec,
    },
    /// A program's terms changed: the keys of `patch` replace those of the spec, which makes a new version.
    ProgramUpdated {
        /// Which.
        id: ProgramId,
        /// Validated.
        patch: serde_json::Map<String, serde_json::Value>,
    },
    /// A partner was made.
    PartnerCreated {
        /// Its id.
        id: PartnerId,
        /// What is kept in clear.
        spec: PartnerSpec,
        /// A `PartnerPrivate`, sealed under the keyring's master key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        private: Option<Sealed>,
    },
    /// A partner was changed: the keys of `patch` replace those of the spec.
    PartnerUpdated {
        /// Which.
        id: PartnerId,
        /// Validated.
        patch: serde_json::Map<String, serde_json::Value>,
        /// All of its sealed part from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        private: Option<Sealed>,
    },
    /// Somebody judged a click after it was counted.
    ClickJudged {
        /// Which, as it was recorded.
        click: ClickFacts,
        /// `counted` or `blocked`.
        verdict: HitVerdict,
        /// For people.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Time has passed: what was pending until now is approved. Every other fact says so of its own time, too.
    TimePassed {},
    /// A person decided on a commission.
    CommissionJudged {
        /// Which.
        id: CommissionId,
        /// What they decided.
        verdict: Verdict,
        /// Why, in words.
        #[serde(default)]
        reason: Option<String>,
    },
    /// All that is due was to be paid.
    PayoutsRequested {
        /// The batch's id.
        id: PayoutId,
        /// What of it.
        scope: PayoutScope,
    },
    /// What became of a payout, or of all of a batch.
    PayoutDecided {
        /// Which.
        id: PayoutId,
        /// What it is now.
        to: PayoutStatus,
        /// The bank's or provider's number of it.
        #[serde(default)]
        reference: Option<String>,
        /// Why it failed or was called off.
        #[serde(default)]
        reason: Option<String>,
    },
    /// A customer was given what their wallet had.
    CashbackClaimed {
        /// The claim's id; of several currencies the first one's.
        id: PayoutId,
        /// The caller's id.
        customer_id: String,
        /// In this currency only.
        #[serde(default)]
        currency: Option<crate::money::Currency>,
        /// The caller's number of it.
        #[serde(default)]
        reference: Option<String>,
    },
    /// A conversion was reported through the API.
    Conversion {
        /// The id it gets if it is new.
        id: ConversionId,
        /// As reported, without what is sealed.
        conversion: NewConversion,
        /// The person, sealed under the customer's key.
        #[serde(default)]
        person: Option<Sealed>,
        /// Partners with the mail address of who bought: they earn nothing by it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        buyer: Vec<PartnerId>,
        /// The customer's properties, sealed under the customer's key; all but those of goods.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        properties: Option<Sealed>,
        /// What the click token or id turned out to be.
        click: ClickClaim,
    },
    /// A refund was reported through the API.
    Refund {
        /// As reported.
        refund: NewRefund,
    },
    /// A provider's webhook was accepted.
    Delivery {
        /// Its id.
        id: DeliveryId,
        /// Where it came in.
        endpoint: EndpointId,
        /// `stripe`, …
        provider: String,
        /// What makes a repeat of it a repeat, from the signed body.
        dedupe_key: String,
        /// The provider's name of the event.
        event_type: String,
        /// SHA-256 of the raw body, in hex.
        body_sha256: String,
        /// Real money, or the provider's test mode.
        livemode: bool,
        /// What it means.
        payments: Vec<Payment>,
    },
    /// A click that a conversion claimed before its facts were at hand was found.
    ClickResolved {
        /// Which.
        click: ClickFacts,
    },
    /// Two names of customers are one person.
    CustomersMerged {
        /// The one that goes on as the other.
        from: String,
        /// The other.
        into: String,
        /// The person of `from`, sealed under the key of `into`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<Sealed>,
    },
    /// A delivery that was not booked whole is to be tried again.
    DeliveryReplayed {
        /// Which.
        id: DeliveryId,
        /// Where it came in.
        endpoint: EndpointId,
    },
    /// A customer's person is to be forgotten; the key is already destroyed.
    CustomerErased {
        /// The caller's id.
        customer_id: String,
    },
}

impl Fact {
    /// A conversion of which nothing is sealed: nobody named, and all of its properties those of goods.
    pub fn plain_conversion(id: ConversionId, conversion: NewConversion, click: ClickClaim) -> Self {
        Self::Conversion { id, conversion, person: None, buyer: Vec::new(), properties: None, click }
    }
}

/// Bytes sealed under a key of the keyring (AES-SIV), base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub String);

/// The key that a workspace is made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstKey {
    /// Its id.
    pub id: KeyId,
    /// SHA-256 of the secret, in hex.
    pub secret_sha256: String,
    /// The first characters, to recognise it by.
    pub hint: String,
}

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything in the workspace.
    Admin,
    /// Links, conversions, queries; no keys, no money decisions.
    Editor,
    /// Conversions and refunds only: for a shop's server.
    Ingest,
    /// Reads only.
    Viewer,
    /// Reads of one partner's own numbers.
    Partner,
}

/// What is known of a credited click: the part of a [`Click`](crate::click::Click) that money needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickFacts {
    /// The click.
    pub id: ClickId,
    /// The link.
    pub link: LinkId,
    /// The link's program at the time of the click.
    #[serde(default)]
    pub program: ProgramId,
    /// The link's partner at the time of the click.
    #[serde(default)]
    pub partner: PartnerId,
    /// The visitor.
    #[serde(default)]
    pub visitor: u64,
    /// A robot's click credits nothing.
    #[serde(default)]
    pub bot: bool,
    /// The autonomous system, 0 where unknown.
    #[serde(default)]
    pub asn: u32,
    /// What became of the hit; older facts are of counted ones and do not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<HitVerdict>,
    /// The dimensions that the conversion inherits.
    #[serde(default)]
    pub dims: Dims<'static>,
}

/// What came of the click token or click id that a conversion carried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "facts are few and never kept in bulk in memory")]
pub enum ClickClaim {
    /// It carried none.
    #[default]
    None,
    /// Its facts were at hand.
    Known {
        /// By which field it came.
        by: ClaimedBy,
        /// The facts.
        facts: ClickFacts,
    },
    /// The token is genuine, the click's other facts are still to be found (`ClickResolved` will bring them).
    Unresolved {
        /// By which field it came.
        by: ClaimedBy,
        /// The click.
        id: ClickId,
        /// The link, from the token; `LinkId::NONE` where only a click id came.
        link: LinkId,
    },
    /// Forged, foreign to this workspace, or unreadable: credits nothing. Why, in words.
    Refused {
        /// Why.
        reason: String,
    },
}

/// By which field a click was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimedBy {
    /// The token.
    Wclid,
    /// The click's id.
    ClickId,
}

/// What a provider's event means, in the words every provider shares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Payment {
    /// Money came in. However many events announce one order, they share one of `order_keys`.
    Paid {
        /// Every name of the order in this event (`pi_…`, `in_…`, `cs_…`, `ch_…`), the preferred one first.
        order_keys: Vec<String>,
        /// The id of the conversion if this announces it first.
        id: ConversionId,
        /// A renewal of a subscription rather than a sale.
        renewal: bool,
        /// How much.
        amount: Money,
        /// The provider's id of the customer.
        #[serde(default)]
        customer: Option<String>,
        /// The person, sealed under the customer's key.
        #[serde(default)]
        person: Option<Sealed>,
        /// Partners with the mail address of who bought: they earn nothing by it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        buyer: Vec<PartnerId>,
        /// The provider's id of the subscription.
        #[serde(default)]
        subscription: Option<String>,
        /// When it happened.
        occurred_at: Timestamp,
        /// The click it carries.
        #[serde(default)]
        click: ClickClaim,
    },
    /// Money went back.
    Refunded {
        /// Names of the order.
        order_keys: Vec<String>,
        /// How much.
        returned: Returned,
        /// Why.
        reason: crate::conversion::RefundReason,
        /// When it happened.
        occurred_at: Timestamp,
    },
    /// A dispute was lost or its money withdrawn (`open`), or given back (`won`).
    Disputed {
        /// Names of the order.
        order_keys: Vec<String>,
        /// The dispute.
        dispute: String,
        /// How much is disputed.
        amount: Money,
        /// How it stands.
        state: DisputeState,
        /// When it happened.
        occurred_at: Timestamp,
    },
    /// A subscription changed.
    Subscription {
        /// The provider's id.
        subscription: String,
        /// The provider's id of the customer.
        #[serde(default)]
        customer: Option<String>,
        /// `trialing`, `active`, `past_due`, `cancelled`, …
        status: String,
        /// Price per period, where told.
        #[serde(default)]
        price: Option<Money>,
        /// `day`, `week`, `month`, `year` and how many of them.
        #[serde(default)]
        interval: Option<(String, u32)>,
        /// When it happened.
        occurred_at: Timestamp,
        /// The click it carries.
        #[serde(default)]
        click: ClickClaim,
    },
}

/// How much went back, in the two ways providers tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Returned {
    /// In all, this refund included: the books take the largest total they have seen.
    Cumulative(Money),
    /// By this refund alone, which has an id of its own.
    Single {
        /// The refund's id.
        refund: String,
        /// How much.
        amount: Money,
        /// The refund failed or was cancelled: what it took comes back.
        reversed: bool,
    },
}

/// How a dispute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeState {
    /// The bank asks; money is withdrawn.
    Open,
    /// Decided for the merchant: the money is back.
    Won,
    /// Decided for the customer.
    Lost,
    /// A warning that moves no money.
    Inquiry,
}

/// A person in clear, before it is sealed. Never serialised into a fact.
pub type ClearPerson = Person;
