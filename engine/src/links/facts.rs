//! What a rule may ask of a visit. Nothing is looked up before a rule asks, and nothing twice: the place and
//! the user agent are what a redirect can spare.

use std::cell::{OnceCell, RefCell};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use weir_schemas::click::Device;
use weir_schemas::hit::USER_AGENT_MAX;
use weir_schemas::time::Timestamp;
use weir_schemas::wire::truncate;

use crate::enrich::{Agent, Agents, Geo, Place, continent, referrer_host};

/// What the request itself says.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// When it came.
    pub at: Timestamp,
    /// The visitor's address as IPv6 (IPv4 mapped).
    pub address: [u8; 16],
    /// `User-Agent`.
    pub user_agent: &'a str,
    /// `Referer`.
    pub referrer: &'a str,
    /// `Accept-Language`.
    pub language: &'a str,
    /// The query string, without `?`.
    pub query: &'a str,
    /// Whether the visitor brought the cookie `wv`.
    pub returning: bool,
}

/// A visit with what is derived from it. `agents` is the thread's cache, made by the first who asks.
pub struct Facts<'a> {
    visit: Visit<'a>,
    geo: Option<&'a Geo>,
    agents: RefCell<&'a mut Option<Agents>>,
    agent: OnceCell<Arc<Agent>>,
    place: OnceCell<Arc<Place>>,
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").field("visit", &self.visit).finish_non_exhaustive()
    }
}

impl<'a> Facts<'a> {
    /// Of `visit`. Without `geo` no place is known.
    pub fn new(visit: Visit<'a>, geo: Option<&'a Geo>, agents: &'a mut Option<Agents>) -> Self {
        Self { visit, geo, agents: RefCell::new(agents), agent: OnceCell::new(), place: OnceCell::new() }
    }

    /// The same from a place that is known otherwise than by the address.
    #[must_use]
    pub fn at_place(self, place: Place) -> Self {
        Self { place: OnceCell::from(Arc::new(place)), ..self }
    }

    /// What the request itself says.
    pub fn visit(&self) -> &Visit<'a> {
        &self.visit
    }

    /// The address as the visitor's network knows it.
    pub fn address(&self) -> IpAddr {
        Ipv6Addr::from(self.visit.address).to_canonical()
    }

    /// What the user agent says: cut as it is cut in the hit, so that both are recognised alike.
    pub fn agent(&self) -> &Agent {
        self.agent.get_or_init(|| {
            let mut agents = self.agents.borrow_mut();
            let agents = agents.get_or_insert_with(Agents::new);
            Arc::clone(agents.look_up(truncate(self.visit.user_agent, USER_AGENT_MAX)))
        })
    }

    /// The device, as the dimension has it.
    pub fn device(&self) -> Device {
        let agent = self.agent();
        if agent.bot { Device::Bot } else { agent.device }
    }

    /// Where the address is.
    pub fn place(&self) -> &Place {
        self.place.get_or_init(|| self.geo.map(|geo| geo.look_up(self.address())).unwrap_or_default())
    }

    /// The continent's two letters, empty where unknown.
    pub fn continent(&self) -> &'static str {
        continent(&self.place().country)
    }

    /// The referrer's host without `www.`, empty where there is none.
    pub fn referrer(&self) -> &'a str {
        referrer_host(self.visit.referrer)
    }

    /// The first language tag asked for (`de-AT`), empty where there is none.
    pub fn language(&self) -> &'a str {
        self.visit.language.split([',', ';']).next().unwrap_or_default().trim()
    }

    /// The visit's wall clock in `timezone`.
    pub fn local(&self, timezone: &TimeZone) -> DateTime {
        let at = jiff::Timestamp::from_millisecond(self.visit.at.0).unwrap_or_default();
        timezone.to_datetime(at)
    }
}
