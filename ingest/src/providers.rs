//! Payment providers: one file each. A provider's file verifies a delivery on its raw bytes, decodes only
//! what is used and tolerates the rest, and says what happened in the words that all providers share
//! ([`Notice`]). It touches no store and no clock: the time is passed in.

use http::HeaderMap;
use weir_schemas::conversion::{Person, RefundReason};
use weir_schemas::fact::{DisputeState, Returned};
use weir_schemas::money::Money;
use weir_schemas::time::Timestamp;

pub mod signature;
pub mod stripe;

use signature::TOLERANCE_S;

/// A delivery as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, untouched.
    pub body: &'a [u8],
    /// When it came.
    pub now: Timestamp,
}

/// Why a delivery is refused before it means anything. Counted by [`Refusal::reason`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401: no signature header. The sender is not the provider, or a proxy strips headers.
    #[error("the header {0} is missing")]
    SignatureMissing(&'static str),
    /// 401: the header is there and cannot be read.
    #[error("the header {0} is malformed")]
    SignatureMalformed(&'static str),
    /// 401: no secret of the endpoint gives this signature. The secret is wrong, or a proxy changed the body.
    #[error("the signature does not match any secret of this endpoint")]
    SignatureMismatch,
    /// 401: the signed time is too far from now, either way: an old delivery replayed, or a clock is wrong.
    #[error("the signed time is {0} seconds from now; at most {max} are accepted", max = TOLERANCE_S)]
    SignatureTime(i64),
    /// 400: the signed body is not what the provider documents.
    #[error("the body cannot be read: {0}")]
    Malformed(String),
}

impl Refusal {
    /// The status answered.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            _ => 401,
        }
    }

    /// The `reason` label of the counter.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SignatureMissing(_) => "signature_missing",
            Self::SignatureMalformed(_) => "signature_malformed",
            Self::SignatureMismatch => "signature_mismatch",
            Self::SignatureTime(_) => "signature_time",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// A verified delivery, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// What makes a repeat a repeat; from the signed body.
    pub dedupe_key: String,
    /// The provider's name of the event.
    pub event_type: String,
    /// Real money, or the provider's test mode.
    pub livemode: bool,
    /// What it means; empty for events that mean nothing here, which are recorded and ignored.
    pub notices: Vec<Notice>,
}

/// What happened, before the click it carries has been looked up and its person sealed. The fields are those
/// of [`Payment`](weir_schemas::fact::Payment).
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Money came in.
    Paid {
        /// Every name of the order in this event, the preferred one first.
        order_keys: Vec<String>,
        /// A renewal of a subscription rather than a sale.
        renewal: bool,
        /// How much.
        amount: Money,
        /// Whose.
        payer: Payer,
        /// The provider's id of the subscription.
        subscription: Option<String>,
        /// When.
        occurred_at: Timestamp,
    },
    /// Money went back.
    Refunded {
        /// Names of the order.
        order_keys: Vec<String>,
        /// How much.
        returned: Returned,
        /// Why.
        reason: RefundReason,
        /// When.
        occurred_at: Timestamp,
    },
    /// A dispute changed.
    Disputed {
        /// Names of the order.
        order_keys: Vec<String>,
        /// The dispute.
        dispute: String,
        /// How much.
        amount: Money,
        /// How it stands.
        state: DisputeState,
        /// When.
        occurred_at: Timestamp,
    },
    /// A subscription changed.
    Subscription {
        /// The provider's id.
        subscription: String,
        /// Whose.
        payer: Payer,
        /// The provider's word.
        status: String,
        /// Price per period.
        price: Option<Money>,
        /// Unit and count.
        interval: Option<(String, u32)>,
        /// When.
        occurred_at: Timestamp,
    },
}

/// Who paid, and the click that travelled along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payer {
    /// The provider's id of the customer.
    pub customer: Option<String>,
    /// Mail and name.
    pub person: Option<Person>,
    /// The text in the place where the click token travels.
    pub wclid: Option<String>,
}

/// The providers that an endpoint can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// stripe.com
    Stripe,
}

impl Provider {
    /// Every provider.
    pub const ALL: &'static [Self] = &[Self::Stripe];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
        }
    }

    /// The provider of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|provider| provider.as_str() == name)
    }

    /// Whether `secret` can be a secret of this provider; the sentence says what is wrong.
    pub fn check_secret(self, secret: &str) -> Result<(), &'static str> {
        // `whsec_` alone is what remains when the secret was lost on the way from the provider's page.
        if secret.trim().is_empty() || secret == "whsec_" {
            return Err("must not be empty");
        }
        Ok(())
    }

    /// Verifies `incoming` against every live secret, then decodes it.
    pub fn receive(self, secrets: &[String], incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
        match self {
            Self::Stripe => {
                stripe::verify(secrets, incoming)?;
                stripe::decode(incoming.body)
            }
        }
    }
}
