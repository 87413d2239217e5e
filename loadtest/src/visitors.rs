//! Visitors: real user agents (npm `user-agents`) from addresses all over the GeoIP file, each with the
//! country that the file gives it, read here and not by the engine's code.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use maxminddb::Reader;
use rand::prelude::*;
use serde::Deserialize;

use crate::target::LoadError;

/// One visitor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Visitor {
    /// The address, sent as `X-Forwarded-For`.
    pub address: String,
    /// Its country, empty where the file knows none.
    pub country: String,
    /// The user agent.
    pub agent: String,
}

#[derive(Deserialize)]
struct AgentRow {
    #[serde(rename = "userAgent")]
    user_agent: String,
    weight: f64,
}

#[derive(Deserialize)]
struct Place<'a> {
    country_code: &'a str,
}

/// Agents that a robot list must recognise.
pub const ROBOTS: &[&str] = &[
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
];

/// Where visitors are drawn from.
#[derive(Debug)]
pub struct Crowd {
    people: Vec<Visitor>,
}

impl Crowd {
    /// Draws `size` visitors: agents by their real weights, addresses evenly over the file's networks.
    pub fn draw(agents: &Path, geoip: &Path, size: usize, random: &mut StdRng) -> Result<Self, LoadError> {
        let missing = |path: &Path, error: &dyn std::fmt::Display| {
            LoadError::Data(format!("{}: {error}. `make data` fetches it", path.display()))
        };
        let text = std::fs::read(agents).map_err(|error| missing(agents, &error))?;
        let rows: Vec<AgentRow> = serde_json::from_slice(&text).map_err(|error| missing(agents, &error))?;
        // Headless and automation agents stand in the list too; the engine rightly takes them for robots.
        let rows: Vec<AgentRow> =
            rows.into_iter().filter(|row| !row.user_agent.contains("Headless")).collect();
        let reader = Reader::open_readfile(geoip).map_err(|error| missing(geoip, &error))?;
        let mut people = Vec::with_capacity(size);
        while people.len() < size {
            let address = Ipv4Addr::from(random.random_range(0x0100_0000_u32..0xdfff_ffff));
            let country = reader.lookup(IpAddr::V4(address)).ok().and_then(|found| {
                found.decode::<Place<'_>>().ok().flatten().map(|place| place.country_code.to_owned())
            });
            // Reserved ranges have no country; a few visitors from there are real (private networks).
            let Some(country) = country else { continue };
            let agent = rows
                .choose_weighted(random, |row| row.weight)
                .map_err(|error| missing(agents, &error))?
                .user_agent
                .clone();
            people.push(Visitor { address: address.to_string(), country, agent });
        }
        Ok(Self { people })
    }

    /// Anyone.
    pub fn anyone(&self, random: &mut StdRng) -> Visitor {
        self.people.choose(random).expect("a crowd is never empty").clone()
    }
}
