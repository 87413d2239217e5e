//! Places: country, region and city of an address, from MaxMind DB files.
//!
//! DB-IP's free files have flat records and one file per address family; MaxMind's have nested ones and one
//! file for both. Either is accepted. Records are shared by many networks, so what was decoded is kept per
//! record in a bounded cache.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use maxminddb::{Mmap, Reader};
use papaya::HashMap;
use serde::Deserialize;

/// How many records are remembered; about 200 bytes each.
pub const PLACES_MAX: usize = 65_536;

/// Where an address is. Texts are empty where unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Region's English name.
    pub region: String,
    /// City's English name.
    pub city: String,
    /// Number of the autonomous system, where the file tells.
    pub asn: u32,
    /// Latitude and longitude in thousandths of a degree, where the file tells.
    pub point: Option<(i32, i32)>,
}

/// Why places cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// The file or folder of `WEIR_GEOIP` is not there or not readable: fetch it with `make geoip` or unset the option.
    #[error("cannot open the GeoIP file {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a MaxMind DB: fetch it again.
    #[error("{path} is not a usable GeoIP file: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The folder holds no `.mmdb` file.
    #[error("no .mmdb file in {0}")]
    Empty(PathBuf),
}

/// Where nobody knows: one for all, as an engine without files asks for it with each click.
pub(super) fn nowhere() -> Arc<Place> {
    static NOWHERE: LazyLock<Arc<Place>> = LazyLock::new(Arc::default);
    Arc::clone(&NOWHERE)
}

struct File {
    reader: Reader<Mmap>,
    /// Whether it can answer for IPv4 and for IPv6.
    families: (bool, bool),
    seen: HashMap<usize, Arc<Place>, ahash::RandomState>,
}

/// The open files.
pub struct Geo {
    files: Vec<File>,
    /// Where cities are that were looked up, by the hash of country, region and city: for maps, which a place that is
    /// missing costs its precision alone.
    points: HashMap<u64, (i32, i32), ahash::RandomState>,
    names: ahash::RandomState,
}

impl std::fmt::Debug for Geo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Geo").field("files", &self.files.len()).finish()
    }
}

impl Geo {
    /// Opens one `.mmdb` file, or every one in a folder. The files are mapped, not read: the memory they take
    /// is what the kernel's page cache gives them.
    pub fn open(path: &Path) -> Result<Self, GeoError> {
        let open_error = |source| GeoError::Open { path: path.to_owned(), source };
        let mut paths = Vec::new();
        if path.is_dir() {
            for entry in std::fs::read_dir(path).map_err(open_error)? {
                let file = entry.map_err(open_error)?.path();
                if file.extension().is_some_and(|extension| extension == "mmdb") {
                    paths.push(file);
                }
            }
            paths.sort();
            if paths.is_empty() {
                return Err(GeoError::Empty(path.to_owned()));
            }
        } else {
            paths.push(path.to_owned());
        }
        let files = paths.iter().map(|path| open_file(path)).collect::<Result<Vec<_>, _>>()?;
        let names = ahash::RandomState::new();
        Ok(Self { files, points: HashMap::with_hasher(ahash::RandomState::new()), names })
    }

    /// Where `address` is; nothing known is an empty place.
    pub fn look_up(&self, address: IpAddr) -> Arc<Place> {
        let mut found: Option<Arc<Place>> = None;
        for file in &self.files {
            let (v4, v6) = file.families;
            if if address.is_ipv4() { v4 } else { v6 }
                && let Some(place) = file.look_up(address, |place| self.remember(place))
            {
                // One file may know the city and another the network: what is empty is filled.
                found = Some(match found {
                    None => place,
                    Some(first) => Arc::new(first.filled_from(&place)),
                });
            }
        }
        found.unwrap_or_else(nowhere)
    }

    /// Where a city is, as latitude and longitude in thousandths of a degree, once an address in it was looked up.
    pub fn point_of(&self, country: &str, region: &str, city: &str) -> Option<(i32, i32)> {
        self.points.pin().get(&self.names.hash_one((country, region, city))).copied()
    }

    fn remember(&self, place: &Place) {
        let Some(point) = place.point.filter(|_| !place.city.is_empty()) else { return };
        let points = self.points.pin();
        if points.len() >= PLACES_MAX {
            points.clear();
        }
        let Place { country, region, city, .. } = place;
        points.insert(self.names.hash_one((country.as_str(), region.as_str(), city.as_str())), point);
    }
}

fn open_file(path: &Path) -> Result<File, GeoError> {
    let format = |reason: String| GeoError::Format { path: path.to_owned(), reason };
    let map = crate::mapped_file::read_only(path)
        .map_err(|source| GeoError::Open { path: path.to_owned(), source })?;
    let reader = Reader::from_source(map).map_err(|error| format(error.to_string()))?;
    // An IPv6 tree answers for IPv4 too, unless it is DB-IP's second file, which leaves that space to the first.
    let v6 = reader.metadata().ip_version == 6;
    let v4 = !v6 || !path.file_name().is_some_and(|name| name.to_string_lossy().contains("ipv6"));
    Ok(File { reader, families: (v4, v6), seen: HashMap::with_hasher(ahash::RandomState::new()) })
}

impl File {
    /// `new` is told of a record that was not in the cache.
    fn look_up(&self, address: IpAddr, new: impl FnOnce(&Place)) -> Option<Arc<Place>> {
        let found = self.reader.lookup(address).ok()?;
        let offset = found.offset()?;
        let seen = self.seen.pin();
        if let Some(place) = seen.get(&offset) {
            return Some(Arc::clone(place));
        }
        let record: Record = found.decode().ok()??;
        let place = Arc::new(Place::from(record));
        new(&place);
        if seen.len() >= PLACES_MAX {
            seen.clear();
        }
        seen.insert(offset, Arc::clone(&place));
        Some(place)
    }
}

impl Place {
    fn filled_from(&self, other: &Self) -> Self {
        let text =
            |mine: &String, theirs: &String| if mine.is_empty() { theirs.clone() } else { mine.clone() };
        Self {
            country: text(&self.country, &other.country),
            region: text(&self.region, &other.region),
            city: text(&self.city, &other.city),
            asn: if self.asn == 0 { other.asn } else { self.asn },
            point: self.point.or(other.point),
        }
    }
}

/// Both shapes at once: flat names first, MaxMind's nested ones beside them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Record<'a> {
    country_code: &'a str,
    state1: &'a str,
    #[serde(borrow)]
    city: Option<FlatOrNamed<'a>>,
    country: Option<Named<'a>>,
    subdivisions: Vec<Named<'a>>,
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
    location: Location,
    autonomous_system_number: u32,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Location {
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
}

/// DB-IP's files have degrees in single precision, MaxMind's in double, and the reader converts neither.
#[derive(Clone, Copy)]
struct Degrees(f64);

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl serde::de::Visitor<'_> for Number {
            type Value = Degrees;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("degrees")
            }
            fn visit_f64<E>(self, degrees: f64) -> Result<Degrees, E> {
                Ok(Degrees(degrees))
            }
            fn visit_f32<E>(self, degrees: f32) -> Result<Degrees, E> {
                Ok(Degrees(degrees.into()))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FlatOrNamed<'a> {
    Flat(&'a str),
    #[serde(borrow)]
    Named(Named<'a>),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named<'a> {
    iso_code: &'a str,
    #[serde(borrow)]
    names: Names<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Names<'a> {
    en: &'a str,
}

impl From<Record<'_>> for Place {
    fn from(record: Record<'_>) -> Self {
        let latitude = record.latitude.or(record.location.latitude);
        let longitude = record.longitude.or(record.location.longitude);
        let nested_country = record.country.map(|country| country.iso_code).unwrap_or_default();
        let nested_region = record.subdivisions.first().map(|region| region.names.en).unwrap_or_default();
        let first =
            |flat: &str, nested: &str| if flat.is_empty() { nested.to_owned() } else { flat.to_owned() };
        Self {
            country: first(record.country_code, nested_country),
            region: first(record.state1, nested_region),
            city: match record.city {
                Some(FlatOrNamed::Flat(name)) => name.to_owned(),
                Some(FlatOrNamed::Named(city)) => city.names.en.to_owned(),
                None => String::new(),
            },
            asn: record.autonomous_system_number,
            point: latitude.zip(longitude).map(|(latitude, longitude)| {
                let thousandths = |degrees: Degrees| (degrees.0 * 1_000.0).round() as i32;
                (thousandths(latitude), thousandths(longitude))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_broken_file_is_named() {
        let error = Geo::open(Path::new("/nowhere/city.mmdb")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/city.mmdb"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Geo::open(folder.path()), Err(GeoError::Empty(_))));
        let broken = folder.path().join("broken.mmdb");
        std::fs::write(&broken, b"not a database").unwrap();
        assert!(matches!(Geo::open(&broken), Err(GeoError::Format { .. })));
    }

    #[test]
    fn a_city_is_where_its_addresses_were_found() {
        let names = ahash::RandomState::new();
        let geo = Geo { files: Vec::new(), points: HashMap::with_hasher(ahash::RandomState::new()), names };
        let place = |city: &str, point| Place {
            country: "DE".into(),
            region: "Bavaria".into(),
            city: city.into(),
            asn: 0,
            point,
        };
        geo.remember(&place("Munich", Some((48_137, 11_576))));
        geo.remember(&place("", Some((51_000, 9_000))));
        geo.remember(&place("Passau", None));
        assert_eq!(geo.point_of("DE", "Bavaria", "Munich"), Some((48_137, 11_576)));
        for (country, region, city) in [
            ("DE", "Bavaria", "Passau"),
            ("DE", "Bavaria", ""),
            ("AT", "Bavaria", "Munich"),
            ("DE", "", "Munich"),
        ] {
            assert_eq!(geo.point_of(country, region, city), None, "{country} {region} {city}");
        }
    }

    #[test]
    fn both_shapes_of_records_are_read() {
        let flat =
            r#"{"country_code":"DE","state1":"Berlin","city":"Berlin","latitude":52.5,"longitude":13.4}"#;
        let nested = r#"{"country":{"iso_code":"DE"},"subdivisions":[{"iso_code":"BE","names":{"en":"Berlin"}}],
                         "city":{"names":{"en":"Berlin","de":"Berlin"}},"location":{"latitude":52.5,"longitude":13.4}}"#;
        let place = |text| Place::from(serde_json::from_str::<Record<'_>>(text).unwrap());
        assert_eq!(place(flat), place(nested));
        assert_eq!((place(flat).country.as_str(), place(flat).point), ("DE", Some((52_500, 13_400))));
    }
}
