//! Fraud signals: what makes a click or a conversion suspicious. A signal is a label, beside the verdict and
//! never instead of it: nothing is dropped for one. Of several the gravest is the dimension `signal`; the
//! evidence names them all.

use crate::click::names;
use serde::{Deserialize, Serialize};

names! {
    /// What was noticed. The later in this list, the graver.
    Signal {
        /// The network belongs to a hosting provider: people rarely browse from there.
        Hosting = 1 "hosting",
        /// More clicks on one link from one network, within a minute, than people make.
        NetworkRate = 2 "network_rate",
        /// More clicks on one link from one visitor, within a minute, than a person makes.
        VisitorRate = 3 "visitor_rate",
        /// The visitor's last click was farther away than anyone travels in the time between.
        ImpossibleTravel = 4 "impossible_travel",
        /// The conversion came sooner after its click than a person can act.
        FastConversion = 5 "fast_conversion",
        /// The partner credited is the customer.
        SelfReferral = 6 "self_referral",
        /// Somebody judged so.
        Manual = 7 "manual",
    }
}

/// Clicks on one link from one network within a minute that are not yet suspicious.
pub const NETWORK_RATE_MAX: u32 = 30;
/// Clicks on one link from one visitor within a minute that are not yet suspicious.
pub const VISITOR_RATE_MAX: u32 = 10;
/// Faster than an airliner, in kilometres an hour.
pub const TRAVEL_KMH_MAX: f64 = 1_000.0;
/// Below this distance, in kilometres, places are not known well enough to speak of travel.
pub const TRAVEL_KM_MIN: f64 = 500.0;
/// A conversion that paid sooner than this after its click, in milliseconds, was not made by hand.
pub const CONVERSION_MS_MIN: i64 = 3_000;
/// Longest evidence kept, in bytes.
pub const EVIDENCE_MAX: usize = 255;
