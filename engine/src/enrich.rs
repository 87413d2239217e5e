//! Enrichment: what a hit says of itself becomes the dimensions that people ask for. It runs once per hit,
//! on the recorder's thread, between the lane and the journal: so every follower sees the same facts, a
//! replay needs no database of yesterday, and the visitor's address ends here. The redirect pays for none
//! of it.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use siphasher::sip::SipHasher13;
use weir_schemas::click::{Click, Device, Dims, Verdict};
use weir_schemas::event::{Event, RawEvent};
use weir_schemas::fact::kind;
use weir_schemas::hit::RawHit;
use weir_schemas::ids::{ClickId, PartnerId, ProgramId};
use weir_schemas::time::Timestamp;
use weir_schemas::wire::WireError;

use crate::signals::{Detector, Suspect};

pub mod agent;
mod campaign;
mod continent;
pub mod geo;
pub mod networks;
mod referrer;

pub use agent::{Agent, Agents};
use campaign::Campaign;
pub(crate) use continent::of as continent;
pub use geo::{Geo, GeoError, Place};
pub use networks::{Network, Networks};
pub(crate) use referrer::host as referrer_host;

/// Gives the salt by which addresses are hashed on the UTC day of the hit; it is deleted when the day is
/// over.
pub type SaltOfTheDay = Arc<dyn Fn(i64) -> [u8; 16] + Send + Sync>;

/// Turns hits into clicks. Owned by the recorder's thread; its caches need no lock.
pub struct Enricher {
    node: u16,
    agents: Agents,
    geo: Option<Arc<Geo>>,
    networks: Option<Networks>,
    detector: Detector,
    salt: SaltOfTheDay,
    salted: Option<(i64, SipHasher13)>,
}

impl std::fmt::Debug for Enricher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enricher")
            .field("node", &self.node)
            .field("geo", &self.geo.is_some())
            .finish_non_exhaustive()
    }
}

impl Enricher {
    /// `geo` and `networks` are `None` where there are no such files: places and systems stay empty,
    /// everything else works.
    pub fn new(node: u16, geo: Option<Arc<Geo>>, networks: Option<Networks>, salt: SaltOfTheDay) -> Self {
        let (agents, detector) = (Agents::new(), Detector::default());
        Self { node, agents, geo, networks, detector, salt, salted: None }
    }

    /// Refines the record that was `counter`-th on `lane`, appends the bytes of its click or event to `out`
    /// and gives the `kind` of the entry.
    pub fn refine(
        &mut self,
        lane: u16,
        counter: u64,
        raw: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<u8, WireError> {
        if RawEvent::is_in(raw) {
            self.refine_event(lane, counter, raw, out)?;
            return Ok(kind::EVENT);
        }
        let hit = RawHit::read(raw)?;
        let network = self.network(hit.at, &hit.address);
        let agent = self.agents.look_up(hit.user_agent);
        let place = place(self.geo.as_deref(), &hit.address);
        let system = system(self.networks.as_mut(), &hit.address, &place);
        let from = referrer::host(hit.referrer);
        let campaign = Campaign::read(hit.query, hit.link_utm);
        let verdict = if hit.verdict == Verdict::Counted && agent.bot { Verdict::Bot } else { hit.verdict };
        let (signal, evidence) = self.detector.judge(&Suspect {
            at: hit.at,
            verdict,
            flags: hit.flags,
            link: hit.link,
            visitor: hit.visitor,
            network,
            place: &place,
            system: &system,
        });
        let click = Click {
            id: ClickId::new(hit.at.0, self.node, lane, counter),
            at: hit.at,
            verdict,
            bot: agent.bot,
            flags: hit.flags,
            status: hit.status,
            latency_us: hit.latency_us,
            workspace: hit.workspace,
            link: hit.link,
            program: hit.program,
            partner: hit.partner,
            visitor: hit.visitor,
            network,
            asn: system.number,
            dims: Dims {
                domain: hit.domain.into(),
                variant: hit.variant.into(),
                signal: signal.into(),
                ..visit(agent, &place, from, campaign, hit.language)
            },
            slug: hit.slug.into(),
            evidence: evidence.into(),
        };
        click.write(out);
        Ok(kind::CLICK)
    }

    fn refine_event(
        &mut self,
        lane: u16,
        counter: u64,
        raw: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let raw = RawEvent::read(raw)?;
        let at = raw.told.at;
        let network = self.network(at, &raw.address);
        let agent = self.agents.look_up(raw.user_agent);
        let place = place(self.geo.as_deref(), &raw.address);
        let system = system(self.networks.as_mut(), &raw.address, &place);
        let from = referrer::host(raw.referrer);
        // From one page of the site to the next is no referral.
        let from = if from == referrer::without_www(raw.host) { "" } else { from };
        let campaign = Campaign::read(raw.query, "");
        let event = Event {
            id: ClickId::new(at.0, self.node, lane, counter),
            bot: agent.bot,
            network,
            asn: system.number,
            program: ProgramId::NONE,
            partner: PartnerId::NONE,
            told: raw.told,
            dims: Dims { domain: raw.host.into(), ..visit(agent, &place, from, campaign, raw.language) },
        };
        event.write(out);
        Ok(())
    }

    fn network(&mut self, at: Timestamp, address: &[u8; 16]) -> u64 {
        let day = at.utc_day();
        if self.salted.as_ref().is_none_or(|(of, _)| *of != day) {
            self.salted = Some((day, SipHasher13::new_with_key(&(self.salt)(day))));
        }
        self.salted.as_ref().expect("set just above").1.hash(address)
    }
}

/// What a request tells of the visit, whatever was visited.
fn visit<'a>(
    agent: &'a Agent,
    place: &'a Place,
    from: &'a str,
    campaign: Campaign<'a>,
    accept_language: &'a str,
) -> Dims<'a> {
    Dims {
        country: place.country.as_str().into(),
        region: place.region.as_str().into(),
        city: place.city.as_str().into(),
        continent: continent::of(&place.country).into(),
        device: if agent.bot { Device::Bot } else { agent.device }.as_str().into(),
        browser: agent.browser.as_str().into(),
        os: agent.os.as_str().into(),
        referrer: from.into(),
        medium: referrer::medium(from, &campaign.medium, campaign.has_ad_click_id),
        utm_source: campaign.source,
        utm_medium: campaign.medium,
        utm_campaign: campaign.campaign,
        utm_term: campaign.term,
        utm_content: campaign.content,
        language: language(accept_language),
        ..Dims::default()
    }
}

fn place(geo: Option<&Geo>, bytes: &[u8; 16]) -> Arc<Place> {
    geo.map_or_else(geo::nowhere, |geo| geo.look_up(address(*bytes)))
}

/// Whose an address is; from the city's file where that one knows and there is no other.
fn system<'a>(networks: Option<&'a mut Networks>, bytes: &[u8; 16], place: &Place) -> Cow<'a, Network> {
    match networks {
        Some(networks) => Cow::Borrowed(networks.look_up(address(*bytes))),
        None => Cow::Owned(Network { number: place.asn, name: String::new() }),
    }
}

/// The address as the visitor's network knows it: IPv4 where it was mapped.
fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

/// The first language of `Accept-Language`, without region, in lower case.
fn language(header: &str) -> Cow<'_, str> {
    let end =
        header.bytes().position(|byte| matches!(byte, b',' | b';' | b'-' | b'_')).unwrap_or(header.len());
    let first = header[..end].trim();
    if !(2..=3).contains(&first.len()) || !first.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Cow::Borrowed("");
    }
    if first.bytes().all(|b| b.is_ascii_lowercase()) {
        first.into()
    } else {
        first.to_ascii_lowercase().into()
    }
}

#[cfg(test)]
mod tests;
