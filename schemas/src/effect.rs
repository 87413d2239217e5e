//! What a fact meant for the numbers: signed changes that add up. The books write them in the transaction that applied
//! the fact; the warehouse stores them as rows and the live windows add them, so both do the same arithmetic and a
//! restatement (a late click, a refund, a merged order) is a pair of changes, never an update.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::click::{Click, Dims, Verdict};
use crate::conversion::TERMS_PROPERTIES;
use crate::ids::{ClickId, ConversionId, CustomerId, LinkId, PartnerId, ProgramId, Sequence, WorkspaceId};
use crate::money::Currency;
use crate::time::Timestamp;

/// The property under which queries know the subscription of a conversion.
pub const SUBSCRIPTION_PROPERTY: &str = "subscription_id";
/// What is left of the properties of an erased customer: what is said of goods, not of people.
pub const LASTING_PROPERTIES: [&str; 4] = {
    let [product, tag, tags] = TERMS_PROPERTIES;
    [product, tag, tags, SUBSCRIPTION_PROPERTY]
};

/// One change. `(seq, sub)` is its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The fact's sequence.
    pub seq: Sequence,
    /// Its number among the fact's effects, from 0.
    pub sub: u16,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// When the event that it counts happened: dates the change in every query.
    pub at: Timestamp,
    /// `lead`, `sale`, `renewal`, a custom name, `refund`, `chargeback`.
    pub event: String,
    /// The conversion concerned.
    pub conversion: ConversionId,
    /// The order, empty where there is none.
    pub order_id: String,
    /// The customer, `NONE` where unknown.
    pub customer: CustomerId,
    /// `api`, `stripe`, …
    pub provider: String,
    /// [`Currency::NONE`] where no money is concerned; the empty text in JSON.
    #[serde(with = "crate::money::currency_or_none")]
    pub currency: Currency,
    /// The click credited, if any.
    pub click: Option<ClickId>,
    /// The click's link.
    pub link: LinkId,
    /// The program.
    pub program: ProgramId,
    /// The partner.
    pub partner: PartnerId,
    /// The click's visitor, 0 where unknown.
    pub visitor: u64,
    /// The click's autonomous system, 0 where unknown.
    #[serde(default)]
    pub asn: u32,
    /// With a verdict it moves hits, as [`Change::hits`] says, and nothing else: a verdict on the click that came late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The click's dimensions.
    pub dims: Dims<'static>,
    /// The conversion's properties, as texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// What it adds.
    pub change: Change,
}

/// The signed changes. Money in minor units of the effect's currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Leads.
    pub leads: i64,
    /// Sales and renewals.
    pub conversions: i64,
    /// Distinct orders: +1 with an order's first conversion only.
    pub orders: i64,
    /// Custom conversion events.
    pub events: i64,
    /// Customers seen for the first time.
    pub new_customers: i64,
    /// Gross.
    pub revenue: i64,
    /// What went back.
    pub refunds: i64,
    /// Partners' earnings, net of reversals.
    pub commission: i64,
    /// Hits under the effect's verdict; where that is `counted`, clicks.
    pub hits: i64,
}

impl std::ops::Neg for Change {
    type Output = Self;
    fn neg(self) -> Self {
        Self {
            leads: -self.leads,
            conversions: -self.conversions,
            orders: -self.orders,
            events: -self.events,
            new_customers: -self.new_customers,
            revenue: -self.revenue,
            refunds: -self.refunds,
            commission: -self.commission,
            hits: -self.hits,
        }
    }
}

impl Effect {
    /// The event under which a milestone's bonus counts.
    pub const BONUS: &'static str = "bonus";
    /// The event under which a late verdict moves hits.
    pub const VERDICT: &'static str = "verdict";

    /// The hit that a late verdict moves, and how many times it is added.
    pub fn moved_hit(&self) -> Option<(Click<'_>, i64)> {
        let verdict = self.verdict?;
        let borrowed = self.dims.texts();
        let click = Click {
            id: self.click.unwrap_or_default(),
            at: self.at,
            verdict,
            bot: verdict == Verdict::Bot,
            flags: 0,
            status: 0,
            latency_us: 0,
            workspace: self.workspace,
            link: self.link,
            program: self.program,
            partner: self.partner,
            visitor: self.visitor,
            network: 0,
            asn: self.asn,
            dims: Dims::from_texts(borrowed),
            slug: "".into(),
            evidence: "".into(),
        };
        Some((click, self.change.hits))
    }
}

impl Change {
    /// Whether it changes nothing.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}
