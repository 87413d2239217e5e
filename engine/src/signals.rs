//! Fraud signals of clicks, noticed while they are enriched: on the recorder's thread, behind the answer. All
//! that is remembered is bounded; what does not fit is not watched, and counted. Only hits that would count
//! are judged: what is no click to begin with deceives nobody.
//!
//! Signals of conversions (too fast, self-referral) are the books' own ([`crate::books`]).

use metrics::Counter;
use weir_schemas::click::Verdict;
use weir_schemas::hit::FLAG_RETURNING;
use weir_schemas::ids::LinkId;
use weir_schemas::signal::{NETWORK_RATE_MAX, Signal, VISITOR_RATE_MAX};
use weir_schemas::time::Timestamp;

use crate::enrich::{Network, Place};

mod hosting;
mod rate;
mod travel;

use hosting::Hosting;
use rate::Rates;
use travel::Travels;

/// What of a hit is judged.
#[derive(Debug, Clone, Copy)]
pub struct Suspect<'a> {
    /// When.
    pub at: Timestamp,
    /// What became of it so far.
    pub verdict: Verdict,
    /// The hit's flags.
    pub flags: u8,
    /// The link.
    pub link: LinkId,
    /// The visitor's pseudonym.
    pub visitor: u64,
    /// The address's pseudonym.
    pub network: u64,
    /// Where the address is.
    pub place: &'a Place,
    /// Whose the address is.
    pub system: &'a Network,
}

/// Notices signals. Owned by the recorder's thread.
#[derive(Debug)]
pub struct Detector {
    hosting: Hosting,
    networks: Rates<(u64, LinkId)>,
    visitors: Rates<(u64, LinkId)>,
    travels: Travels,
    evidence: String,
    /// One for each of [`Signal::ALL`], whose numbers begin with 1.
    noticed: Vec<Counter>,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            hosting: Hosting::new(),
            networks: Rates::new("network"),
            visitors: Rates::new("visitor"),
            travels: Travels::default(),
            evidence: String::new(),
            noticed: Signal::ALL.iter().map(|signal| noticed(*signal)).collect(),
        }
    }
}

fn noticed(signal: Signal) -> Counter {
    metrics::counter!("weir_signals_noticed_total", "signal" => signal.as_str())
}

impl Detector {
    /// The gravest signal, empty where there is none, and the evidence of them all.
    pub fn judge(&mut self, suspect: &Suspect<'_>) -> (&'static str, &str) {
        self.evidence.clear();
        if !matches!(suspect.verdict, Verdict::Counted | Verdict::Duplicate) || suspect.link == LinkId::NONE {
            return ("", "");
        }
        let mut gravest: Option<Signal> = None;
        let mut notice = |signal: Signal, why: &[&str]| {
            gravest = gravest.max(Some(signal));
            let gap = if self.evidence.is_empty() { "" } else { "; " };
            let said = [gap, signal.as_str(), ": "];
            said.iter().chain(why).for_each(|piece| self.evidence.push_str(piece));
        };
        let mut digits = itoa::Buffer::new();
        if let Some(travel) = self.travels.follow(suspect, suspect.flags & FLAG_RETURNING != 0) {
            notice(Signal::ImpossibleTravel, &[&travel]);
        }
        let clicks = self.visitors.count((suspect.visitor, suspect.link), suspect.at);
        if clicks > VISITOR_RATE_MAX {
            let clicks = digits.format(clicks);
            notice(Signal::VisitorRate, &["click ", clicks, " of this visitor within a minute"]);
        }
        let clicks = self.networks.count((suspect.network, suspect.link), suspect.at);
        if clicks > NETWORK_RATE_MAX {
            let clicks = digits.format(clicks);
            notice(Signal::NetworkRate, &["click ", clicks, " of this network within a minute"]);
        }
        if self.hosting.is_one(suspect.system) {
            let Network { number, name } = suspect.system;
            notice(Signal::Hosting, &["AS", digits.format(*number), " ", name]);
        }
        if let Some(gravest) = gravest {
            self.noticed[gravest as usize - 1].increment(1);
        }
        (gravest.map_or("", Signal::as_str), &self.evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspect<'a>(place: &'a Place, system: &'a Network) -> Suspect<'a> {
        Suspect {
            at: Timestamp(1_793_491_200_000),
            verdict: Verdict::Counted,
            flags: FLAG_RETURNING,
            link: LinkId(7),
            visitor: 1,
            network: 2,
            place,
            system,
        }
    }

    #[test]
    fn the_gravest_signal_leads_and_the_evidence_names_all() {
        let mut detector = Detector::default();
        let (place, home) = (Place::default(), Network { number: 3_320, name: "Deutsche Telekom AG".into() });
        let cloud = Network { number: 16_509, name: "Amazon.com, Inc.".into() };
        assert_eq!(detector.judge(&suspect(&place, &home)), ("", ""));
        assert_eq!(
            detector.judge(&suspect(&place, &cloud)),
            ("hosting", "hosting: AS16509 Amazon.com, Inc.")
        );
        for _ in 2..VISITOR_RATE_MAX {
            detector.judge(&suspect(&place, &home));
        }
        let (signal, evidence) = detector.judge(&suspect(&place, &cloud));
        assert_eq!(signal, "visitor_rate");
        assert_eq!(
            evidence,
            "visitor_rate: click 11 of this visitor within a minute; hosting: AS16509 Amazon.com, Inc."
        );
    }

    #[test]
    fn a_network_may_send_so_many_visitors_a_minute_and_one_more_is_labelled() {
        let mut detector = Detector::default();
        let (place, home) = (Place::default(), Network { number: 3_320, name: "Deutsche Telekom AG".into() });
        let mut judge = |visitor| detector.judge(&Suspect { visitor, ..suspect(&place, &home) }).1.to_owned();
        let most = u64::from(NETWORK_RATE_MAX);
        assert!((1..=most).all(|visitor| judge(visitor).is_empty()));
        let more = format!("network_rate: click {} of this network within a minute", most + 1);
        assert_eq!(judge(most + 1), more);
    }

    #[test]
    fn what_does_not_count_and_what_is_no_link_is_not_judged() {
        let mut detector = Detector::default();
        let (place, cloud) = (Place::default(), Network { number: 16_509, name: "x".into() });
        for verdict in [Verdict::Bot, Verdict::Capped, Verdict::Orphan, Verdict::Head] {
            assert_eq!(detector.judge(&Suspect { verdict, ..suspect(&place, &cloud) }), ("", ""));
        }
        assert_eq!(detector.judge(&Suspect { link: LinkId::NONE, ..suspect(&place, &cloud) }), ("", ""));
    }
}
