//! Visitors who are in two places at once. Only a visitor who brings the cookie is one and the same.

use std::collections::HashMap;

use weir_schemas::signal::{TRAVEL_KM_MIN, TRAVEL_KMH_MAX};
use weir_schemas::time::Timestamp;

use super::Suspect;
use crate::enrich::Place;

/// How many visitors' last places are remembered; about 100 bytes each.
pub(super) const VISITORS_MAX: usize = 65_536;

#[derive(Debug)]
struct Seen {
    at: Timestamp,
    /// Thousandths of a degree.
    point: (i32, i32),
    name: Box<str>,
}

#[derive(Debug, Default)]
pub(super) struct Travels {
    last: HashMap<u64, Seen, ahash::RandomState>,
}

impl Travels {
    /// Follows a visitor; says how, where nobody travels so.
    pub(super) fn follow(&mut self, suspect: &Suspect<'_>, same_person: bool) -> Option<String> {
        let point = suspect.place.point.filter(|_| same_person)?;
        if self.last.len() >= VISITORS_MAX && !self.last.contains_key(&suspect.visitor) {
            // Whoever comes often is here again soon; the others were not to be compared anyway.
            self.last.clear();
        }
        if let Some(before) = self.last.get_mut(&suspect.visitor)
            && before.point == point
        {
            before.at = before.at.max(suspect.at);
            return None;
        }
        let now = Seen { at: suspect.at, point, name: name(suspect.place) };
        let before = self.last.insert(suspect.visitor, now)?;
        let km = distance(before.point, point);
        let hours = (suspect.at.0 - before.at.0).abs() as f64 / 3_600_000.0;
        if km < TRAVEL_KM_MIN || km <= hours * TRAVEL_KMH_MAX {
            return None;
        }
        let minutes = (hours * 60.0).round();
        Some(format!("{} to {}, {km:.0} km, in {minutes:.0} minutes", before.name, name(suspect.place)))
    }
}

fn name(place: &Place) -> Box<str> {
    let city = if place.city.is_empty() { &place.region } else { &place.city };
    if city.is_empty() { place.country.as_str().into() } else { format!("{city} ({})", place.country).into() }
}

/// Kilometres along the great circle (haversine; mean radius of the earth).
fn distance(from: (i32, i32), to: (i32, i32)) -> f64 {
    let radians = |thousandths: i32| f64::from(thousandths).to_radians() / 1_000.0;
    let half = |a: i32, b: i32| ((radians(a) - radians(b)) / 2.0).sin().powi(2);
    let h = half(from.0, to.0) + radians(from.0).cos() * radians(to.0).cos() * half(from.1, to.1);
    2.0 * 6_371.0 * h.min(1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use weir_schemas::click::Verdict;
    use weir_schemas::ids::LinkId;

    use super::*;
    use crate::enrich::Network;

    fn place(city: &str, country: &str, point: (i32, i32)) -> Place {
        Place { city: city.into(), country: country.into(), point: Some(point), ..Place::default() }
    }

    #[test]
    fn nobody_is_in_berlin_and_sydney_within_the_hour() {
        let (berlin, sydney) =
            (place("Berlin", "DE", (52_520, 13_405)), place("Sydney", "AU", (-33_869, 151_209)));
        let potsdam = place("Potsdam", "DE", (52_396, 13_058));
        let system = Network::default();
        let mut travels = Travels::default();
        let mut follow = |place: &Place, minutes: i64, same| {
            let suspect = Suspect {
                at: Timestamp(minutes * 60_000),
                verdict: Verdict::Counted,
                flags: 0,
                link: LinkId(1),
                visitor: 9,
                network: 1,
                place,
                system: &system,
            };
            travels.follow(&suspect, same)
        };
        assert_eq!(follow(&berlin, 0, true), None);
        assert_eq!(follow(&potsdam, 1, true), None, "near enough to be the same place");
        assert_eq!(follow(&sydney, 2, false), None, "without the cookie it may be anyone");
        let told = follow(&sydney, 5, true).unwrap();
        assert!(
            told.starts_with("Potsdam (DE) to Sydney (AU), 161") && told.ends_with("in 4 minutes"),
            "{told}"
        );
        assert_eq!(follow(&sydney, 6, true), None, "once arrived they are there");
        assert_eq!(follow(&berlin, 6 + 60 * 24, true), None, "a day is enough");
        assert_eq!(follow(&Place::default(), 6 + 60 * 24, true), None);
    }

    #[test]
    fn distances_are_those_of_the_earth() {
        let km = distance((52_520, 13_405), (48_857, 2_352));
        assert!((km - 878.0).abs() < 3.0, "Berlin to Paris: {km}");
        assert!(distance((0, 0), (0, 0)) < 0.001);
        assert!((distance((0, 0), (0, 180_000)) - 20_015.0).abs() < 2.0, "half around");
    }
}
