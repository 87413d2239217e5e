//! User agents: device, browser and system by uap-core's rules, robots by the crawler-user-agents list.
//!
//! Both lists are hundreds of expressions behind a literal prefilter, some ten microseconds an agent, so what
//! was found is kept per agent in a bounded cache: traffic repeats its agents.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use lru::LruCache;
use ua_parser::{os, user_agent};
use weir_schemas::click::Device;
use weir_schemas::wire::truncate;

/// How many agents are remembered. At about 300 bytes each the cache stays below 6 MiB.
pub const AGENTS_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");
/// Longest family name kept, in bytes.
const FAMILY_MAX: usize = 64;

const UAP_CORE: &str = include_str!("../../data/uap-core.json");
const CRAWLERS: &str = include_str!("../../data/crawlers.json");

/// What is known of a user agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The kind of device.
    pub device: Device,
    /// Browser family, empty where unknown.
    pub browser: String,
    /// System family, empty where unknown.
    pub os: String,
    /// A robot, or no agent at all.
    pub bot: bool,
}

/// The rules of the program, compiled once for all threads: they take megabytes and a noticeable time.
static LISTS: LazyLock<Lists> = LazyLock::new(Lists::new);

struct Lists {
    browsers: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
    crawlers: regex_filtered::Regexes,
}

/// One thread's cache before the rules.
pub struct Agents {
    seen: LruCache<String, Arc<Agent>, ahash::RandomState>,
}

#[derive(serde::Deserialize)]
struct Rules {
    user_agent_parsers: Vec<user_agent::Parser<'static>>,
    os_parsers: Vec<os::Parser<'static>>,
}

impl Lists {
    fn new() -> Self {
        let rules: Rules = serde_json::from_str(UAP_CORE).expect("the data is part of the program");
        let patterns: Vec<String> = serde_json::from_str(CRAWLERS).expect("the data is part of the program");
        let browsers = rules
            .user_agent_parsers
            .into_iter()
            .try_fold(user_agent::Builder::new(), |builder, parser| builder.push(parser))
            .expect("uap-core's expressions parse")
            .build()
            .expect("uap-core's expressions compile");
        let systems = rules
            .os_parsers
            .into_iter()
            .try_fold(os::Builder::new(), |builder, parser| builder.push(parser))
            .expect("uap-core's expressions parse")
            .build()
            .expect("uap-core's expressions compile");
        let crawlers = patterns
            .iter()
            .try_fold(regex_filtered::Builder::new_atom_len(2), |builder, pattern| builder.push(pattern))
            .expect("the list's expressions parse")
            .build()
            .expect("the list's expressions compile");
        Self { browsers, systems, crawlers }
    }
}

impl Agents {
    /// An empty cache. The first one of a process compiles the rules.
    #[allow(
        clippy::new_without_default,
        reason = "compiling takes a noticeable time; a default would hide it"
    )]
    pub fn new() -> Self {
        LazyLock::force(&LISTS);
        Self { seen: LruCache::with_hasher(AGENTS_MAX, ahash::RandomState::new()) }
    }

    /// What is known of `text`.
    pub fn look_up(&mut self, text: &str) -> &Arc<Agent> {
        self.seen.get_or_insert_ref(text, || Arc::new(Agent::parse(text)))
    }

    /// The same without the cache.
    pub fn parse(&self, text: &str) -> Agent {
        Agent::parse(text)
    }
}

impl Agent {
    fn parse(text: &str) -> Self {
        let family =
            |name: &str| if name == "Other" { String::new() } else { truncate(name, FAMILY_MAX).to_owned() };
        let browser = LISTS.browsers.extract(text).map(|found| family(&found.family)).unwrap_or_default();
        let os = LISTS.systems.extract(text).map(|found| family(&found.os)).unwrap_or_default();
        let bot = text.trim().is_empty() || LISTS.crawlers.is_match(text);
        Self { device: device(text, &os), browser, os, bot }
    }
}

/// The kind of device. The words are those that the vendors document for telling phones from tablets:
/// `Mobile` on Android phones and not on its tablets (developer.chrome.com), `iPad`, `Tablet`, and the
/// television systems' own names.
fn device(agent: &str, os: &str) -> Device {
    let has = |word: &str| agent.contains(word);
    if agent.trim().is_empty() {
        return Device::Unknown;
    }
    let television =
        ["SmartTV", "SMART-TV", "Smart TV", "AppleTV", "Apple TV", "GoogleTV", "HbbTV", "BRAVIA", "AFT"];
    if television.iter().any(|word| has(word))
        || ["Web0S", "NetCast", "CrKey", "Roku"].iter().any(|word| has(word))
    {
        return Device::Tv;
    }
    if ["PlayStation", "Xbox", "Nintendo", "Watch OS", "watchOS"].iter().any(|word| has(word)) {
        return Device::Other;
    }
    let tablet = has("iPad") || has("Tablet") || has("Kindle") || has("Silk/") || has("PlayBook");
    if tablet || (has("Android") && !has("Mobile")) {
        return Device::Tablet;
    }
    if has("Mobi")
        || has("iPhone")
        || has("iPod")
        || has("Android")
        || has("Opera Mini")
        || has("Windows Phone")
    {
        return Device::Mobile;
    }
    let desktop = [
        "Windows",
        "Mac OS X",
        "Linux",
        "Ubuntu",
        "Chrome OS",
        "FreeBSD",
        "OpenBSD",
        "NetBSD",
        "Fedora",
        "Debian",
    ];
    if desktop.contains(&os) || has("X11") { Device::Desktop } else { Device::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_browsers_and_systems() {
        let agents = Agents::new();
        let cases = [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                (Device::Desktop, "Chrome", "Windows", false),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
                (Device::Mobile, "Mobile Safari", "iOS", false),
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                (Device::Tablet, "Chrome", "Android", false),
            ),
            ("curl/8.5.0", (Device::Unknown, "curl", "", true)),
            ("", (Device::Unknown, "", "", true)),
        ];
        for (text, (device, browser, os, bot)) in cases {
            let expected = Agent { device, browser: browser.into(), os: os.into(), bot };
            assert_eq!(agents.parse(text), expected, "{text}");
        }
    }

    #[test]
    fn every_crawler_that_the_list_has_seen_is_recognised() {
        let agents = Agents::new();
        let seen: Vec<String> = serde_json::from_str(include_str!("../../data/crawlers-seen.json")).unwrap();
        assert!(seen.len() > 1_000);
        let missed: Vec<_> = seen.iter().filter(|text| !agents.parse(text).bot).collect();
        assert!(missed.is_empty(), "{missed:#?}");
    }

    #[test]
    fn the_cache_answers_the_same_and_keeps_its_bound() {
        let mut agents = Agents::new();
        let text = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        let expected = agents.parse(text);
        assert_eq!(**agents.look_up(text), expected);
        assert_eq!(**agents.look_up(text), expected);
        for n in 0..AGENTS_MAX.get() + 10 {
            agents.seen.put(format!("agent {n}"), Arc::new(agents.parse("")));
        }
        assert_eq!(agents.seen.len(), AGENTS_MAX.get());
    }
}
