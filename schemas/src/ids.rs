//! Identities. Every entity id is 64 bits and time-ordered: 41 bits of milliseconds since [`ID_EPOCH_MS`]
//! (enough until 2093), 10 bits of node, 12 bits of counter; the top bit is zero so that it is a positive `i64`
//! in SQLite. It is printed as a prefix and 13 characters of Crockford base32 in lower case (`lnk_04hq2m8x7k9ab`),
//! which sorts as the number does. A click id is 128 bits and is described at [`ClickId`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// 2024-01-01T00:00:00Z, in Unix milliseconds.
pub const ID_EPOCH_MS: i64 = 1_704_067_200_000;
const COUNTER_BITS: u32 = 12;
const NODE_BITS: u32 = 10;
/// Nodes are numbered from 0 to 1023.
pub const NODE_MAX: u16 = (1 << NODE_BITS) - 1;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS_64: usize = 13;
const DIGITS_128: usize = 26;

/// The position of an entry in the journal: the one cursor that every follower, answer and subscription uses.
/// The first entry has sequence 1; 0 stands for "nothing yet".
pub type Sequence = u64;

/// Composes an entity id. `counter` is taken modulo 4096.
pub const fn compose(unix_ms: i64, node: u16, counter: u64) -> u64 {
    let ms = (unix_ms - ID_EPOCH_MS) as u64 & ((1 << 41) - 1);
    (ms << (NODE_BITS + COUNTER_BITS))
        | ((node as u64 & NODE_MAX as u64) << COUNTER_BITS)
        | (counter & ((1 << COUNTER_BITS) - 1))
}

/// When an entity id was composed, in Unix milliseconds.
pub const fn composed_at(id: u64) -> i64 {
    (id >> (NODE_BITS + COUNTER_BITS)) as i64 + ID_EPOCH_MS
}

fn encode<const N: usize>(mut value: u128) -> [u8; N] {
    let mut out = [b'0'; N];
    let mut at = N;
    while at > 0 {
        at -= 1;
        out[at] = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    out
}

fn decode<const N: usize>(digits: &str) -> Option<u128> {
    if digits.len() != N {
        return None;
    }
    let mut value: u128 = 0;
    for byte in digits.bytes() {
        let digit = ALPHABET.iter().position(|&a| a == byte)? as u128;
        value = value.checked_mul(32)?.checked_add(digit)?;
    }
    Some(value)
}

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {prefix} id: expected `{prefix}` followed by {digits} characters of 0-9 and a-z")]
pub struct BadId {
    /// The prefix that was expected.
    pub prefix: &'static str,
    /// How many characters must follow it.
    pub digits: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// What the printed id begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The id that stands for "none" in dense rows.
            pub const NONE: Self = Self(0);

            /// `None` where this is [`Self::NONE`].
            pub fn some(self) -> Option<Self> {
                (self.0 != 0).then_some(self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let digits = encode::<DIGITS_64>(u128::from(self.0));
                f.write_str($prefix)?;
                f.write_str(std::str::from_utf8(&digits).expect("the alphabet is ASCII"))
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = BadId { prefix: $prefix, digits: DIGITS_64 };
                let digits = text.strip_prefix($prefix).ok_or_else(|| bad.clone())?;
                let value = decode::<DIGITS_64>(digits).ok_or_else(|| bad.clone())?;
                u64::try_from(value).map(Self).map_err(|_| bad)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

id!(/** A tracked link. */ LinkId, "lnk_");
id!(/** A conversion: a lead, a sale, a renewal or a custom event that was credited or not. */ ConversionId, "cnv_");
id!(/** A customer of the workspace's business. */ CustomerId, "cus_");
id!(/** A program: the terms by which partners earn. */ ProgramId, "prg_");
id!(/** A partner: affiliate, influencer or referrer. */ PartnerId, "ptn_");
id!(/** A commission earned by a partner for a conversion. */ CommissionId, "com_");
id!(/** An account of the ledger. */ AccountId, "acc_");
id!(/** A payout to a partner. */ PayoutId, "pay_");
id!(/** A webhook endpoint by which a provider reports. */ EndpointId, "whk_");
id!(/** An export job. */ ExportId, "exp_");
id!(/** An API key (its name, never its secret). */ KeyId, "key_");
id!(/** A delivery received at a webhook endpoint. */ DeliveryId, "dlv_");
id!(/** A token by which a network reports postbacks (its name, never its secret). */ PostbackTokenId, "pbt_");
id!(/** An endpoint of the workspace's own, which Weir tells of what happens. */ OutboundEndpointId, "out_");
id!(/** What a sale is fulfilled with. */ FulfilmentId, "ful_");
id!(/** A site whose pages send browser events. */ SiteId, "ste_");
id!(/** A pattern of destinations that links may not lead to. */ BlockId, "blk_");
id!(/** A saved query. */ SavedQueryId, "qry_");
id!(/** A share link (its name, never its secret). */ ShareId, "shr_");
id!(/** An alert. */ AlertId, "alr_");
id!(/** An incident that the operator tells of on the status page. */ IncidentId, "inc_");

/// A workspace: the tenant. In every row, key, topic and query. The first is 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkspaceId(pub u32);

impl WorkspaceId {
    /// The workspace of the first start: its admins run the engine, and hits of no link are its own.
    pub const FIRST: Self = Self(1);
}

/// A click's identity, 128 bits, most significant first: 48 bits Unix milliseconds, 16 bits node, 16 bits lane,
/// 48 bits lane counter. The counter never repeats on a lane, so the id never repeats; the time leads, so ids
/// sort by time and the warehouse finds one by its primary key. Printed as `clk_` and 26 base32 characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClickId(pub u128);

impl ClickId {
    /// What the printed id begins with.
    pub const PREFIX: &'static str = "clk_";

    /// Composes the id of the hit that was `counter`-th on `lane` of `node`.
    pub const fn new(unix_ms: i64, node: u16, lane: u16, counter: u64) -> Self {
        let ms = (unix_ms as u128) & ((1 << 48) - 1);
        Self(
            (ms << 80)
                | ((node as u128) << 64)
                | ((lane as u128) << 48)
                | (counter as u128 & ((1 << 48) - 1)),
        )
    }

    /// When the visitor came, in Unix milliseconds.
    pub const fn unix_ms(self) -> i64 {
        (self.0 >> 80) as i64
    }

    /// The node that answered.
    pub const fn node(self) -> u16 {
        (self.0 >> 64) as u16
    }

    /// The lane that recorded it.
    pub const fn lane(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Its number on that lane.
    pub const fn counter(self) -> u64 {
        (self.0 as u64) & ((1 << 48) - 1)
    }
}

impl fmt::Display for ClickId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = encode::<DIGITS_128>(self.0);
        f.write_str(Self::PREFIX)?;
        f.write_str(std::str::from_utf8(&digits).expect("the alphabet is ASCII"))
    }
}

impl FromStr for ClickId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId { prefix: Self::PREFIX, digits: DIGITS_128 };
        let digits = text.strip_prefix(Self::PREFIX).ok_or_else(|| bad.clone())?;
        decode::<DIGITS_128>(digits).map(Self).ok_or(bad)
    }
}

impl Serialize for ClickId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClickId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_and_parse() {
        let id = LinkId(compose(1_763_000_000_123, 3, 77));
        let text = id.to_string();
        assert_eq!(text.len(), 4 + 13);
        assert_eq!(text.parse::<LinkId>(), Ok(id));
        assert!(text.parse::<PartnerId>().is_err(), "a prefix is part of the id");
        assert!(text.to_uppercase().parse::<LinkId>().is_err());
        assert_eq!(composed_at(id.0), 1_763_000_000_123);
    }

    #[test]
    fn ids_sort_by_time_as_text_and_as_number() {
        let earlier = LinkId(compose(1_763_000_000_123, 1023, 4095));
        let later = LinkId(compose(1_763_000_000_124, 0, 0));
        assert!(earlier < later);
        assert!(earlier.to_string() < later.to_string());
        assert!(later.0 < i64::MAX as u64, "fits SQLite's integers");
    }

    #[test]
    fn a_click_id_gives_back_its_parts() {
        let id = ClickId::new(1_763_000_000_123, 7, 1, 123_456);
        assert_eq!((id.unix_ms(), id.node(), id.lane(), id.counter()), (1_763_000_000_123, 7, 1, 123_456));
        assert_eq!(id.to_string().parse::<ClickId>(), Ok(id));
        assert!("clk_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<ClickId>().is_err(), "130 bits do not fit");
    }
}
