//! Payment providers: one file each. A provider's file verifies a delivery on its raw bytes, decodes only
//! what is used and tolerates the rest, and says what happened in the words that all providers share
//! ([`Notice`]). It touches no store and no clock: the time is passed in.

use http::HeaderMap;
use weir_schemas::conversion::{Person, RefundReason};
use weir_schemas::fact::{DisputeState, Returned};
use weir_schemas::money::{Currency, Money};
use weir_schemas::time::Timestamp;

mod amount;
mod fields;
pub mod settings;
pub mod sign;
pub mod signature;

pub mod fondy;
pub mod generic;
pub mod gumroad;
pub mod lemonsqueezy;
pub mod paddle;
pub mod paypal;
pub mod plain;
pub mod razorpay;
pub mod refersion;
pub mod shopify;
pub mod standard;
pub mod stripe;
pub mod woocommerce;

use settings::Settings;

/// A delivery as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, untouched.
    pub body: &'a [u8],
    /// When it came.
    pub now: Timestamp,
    /// The segment after the endpoint's id in the URL, if any, as sent.
    pub segment: &'a str,
    /// The query string, as sent.
    pub query: &'a str,
}

impl<'a> Incoming<'a> {
    /// A delivery to the endpoint's bare URL.
    pub const fn new(headers: &'a HeaderMap, body: &'a [u8], now: Timestamp) -> Self {
        Self { headers, body, now, segment: "", query: "" }
    }
}

/// Why a delivery is refused before it means anything. Counted by [`Refusal::reason`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401: the header or field with the signature. The sender is not the provider, or a proxy strips headers.
    #[error("{0} is missing")]
    SignatureMissing(&'static str),
    /// 401: the header is there and cannot be read.
    #[error("{0} is malformed")]
    SignatureMalformed(&'static str),
    /// 401: no secret of the endpoint gives this signature. The secret is wrong, or a proxy changed the body.
    #[error("the signature does not match any secret of this endpoint")]
    SignatureMismatch,
    /// 401: the signed time is too far from now, either way: an old delivery replayed, or a clock is wrong.
    #[error("the signed time is {0} seconds from now, which is too far")]
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
    /// What a repeat repeats, where the provider changes the rest of the body between its attempts (a counter
    /// of retries, an id of the attempt). `None`: the whole body.
    pub repeated: Option<Vec<u8>>,
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

/// Declares [`Provider`] and what is looked up by its name, so that a provider is added in one place.
macro_rules! providers {
    ($($(#[$docs:meta])* $variant:ident = $name:ident,)*) => {
        /// The providers that an endpoint can be made for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Provider {
            $($(#[$docs])* $variant,)*
        }

        impl Provider {
            /// Every provider.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name)),* }
            }

            fn decode(self, incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
                match self { $(Self::$variant => $name::decode(incoming)),* }
            }
        }
    };
}

providers! {
    /// standardwebhooks.com, and whoever signs as it says (Svix).
    Standard = standard,
    /// stripe.com
    Stripe = stripe,
    /// razorpay.com
    Razorpay = razorpay,
    /// fondy.eu, flitt.com, hutko.org
    Fondy = fondy,
    /// gumroad.com
    Gumroad = gumroad,
    /// refersion.com
    Refersion = refersion,
    /// shopify.com
    Shopify = shopify,
    /// paddle.com
    Paddle = paddle,
    /// lemonsqueezy.com
    LemonSqueezy = lemonsqueezy,
    /// woocommerce.com
    WooCommerce = woocommerce,
    /// paypal.com
    PayPal = paypal,
    /// Anyone who can make an HMAC.
    Generic = generic,
}

impl Provider {
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
        match self {
            Self::Standard => standard::check_secret(secret),
            Self::Gumroad => gumroad::check_secret(secret),
            _ => Ok(()),
        }
    }

    /// Whether `settings` are what this provider needs: the field that is not, and what is wrong with it.
    pub fn check_settings(self, settings: &Settings) -> Result<(), (&'static str, String)> {
        let given = [
            ("settings.seller_id", settings.seller_id.is_some(), self == Self::Gumroad),
            ("settings.certificate", settings.certificate.is_some(), self == Self::PayPal),
            ("settings.signature", settings.signature.is_some(), self == Self::Generic),
        ];
        for (field, given, known) in given {
            if given && !known {
                return Err((field, format!("is not a setting of {}", self.as_str())));
            }
        }
        match self {
            Self::PayPal => paypal::check_settings(settings),
            Self::Generic => generic::check_settings(settings),
            _ => Ok(()),
        }
    }

    /// Whether this is the unsigned greeting that the provider sends when its webhook is made: it wants a 200
    /// and means nothing.
    pub fn greets(self, incoming: Incoming<'_>) -> bool {
        self == Self::WooCommerce && woocommerce::greets(incoming)
    }

    /// Verifies `incoming` against every live secret, then decodes it.
    pub fn receive(
        self,
        secrets: &[String],
        settings: &Settings,
        incoming: Incoming<'_>,
    ) -> Result<Decoded, Refusal> {
        match self {
            Self::Standard => standard::verify(secrets, incoming),
            Self::Stripe => stripe::verify(secrets, incoming),
            Self::Razorpay => razorpay::verify(secrets, incoming),
            Self::Fondy => fondy::verify(secrets, incoming),
            Self::Gumroad => gumroad::verify(secrets, settings, incoming),
            Self::Refersion => refersion::verify(secrets, incoming),
            Self::Shopify => shopify::verify(secrets, incoming),
            Self::Paddle => paddle::verify(secrets, incoming),
            Self::LemonSqueezy => lemonsqueezy::verify(secrets, incoming),
            Self::WooCommerce => woocommerce::verify(secrets, incoming),
            Self::PayPal => paypal::verify(secrets, settings, incoming),
            Self::Generic => generic::verify(secrets, settings, incoming),
        }?;
        self.decode(incoming)
    }
}

/// A decimal text in major units of `currency`, exactly; what is wrong with it otherwise.
pub fn decimal_amount(text: &str, currency: Currency) -> Result<Money, String> {
    amount::decimal(text, currency.as_str()).map_err(|refusal| match refusal {
        Refusal::Malformed(what) => what.trim_start_matches("`amount` ").to_owned(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
