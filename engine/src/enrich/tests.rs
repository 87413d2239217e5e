use weir_schemas::ids::{LinkId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::time::{DAY_MS, Timestamp};

use super::*;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

fn enricher() -> Enricher {
    Enricher::new(3, None, None, Arc::new(|day| [day as u8; 16]))
}

fn hit(user_agent: &str) -> RawHit<'_> {
    RawHit {
        at: Timestamp(1_793_491_200_007),
        verdict: Verdict::Counted,
        flags: 0,
        status: 302,
        latency_us: 12,
        workspace: WorkspaceId(1),
        link: LinkId(5),
        program: ProgramId(6),
        partner: PartnerId(7),
        visitor: 8,
        address: "203.0.113.9".parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped().octets(),
        domain: "go.example",
        slug: "spring",
        variant: "",
        user_agent,
        referrer: "https://www.google.com/search?q=weir",
        language: "de-AT,de;q=0.9",
        query: "utm_source=news%20letter&gclid=x",
        link_utm: "utm_source=link&utm_campaign=may",
    }
}

fn refine(enricher: &mut Enricher, hit: &RawHit<'_>) -> Vec<u8> {
    let (mut raw, mut out) = (Vec::new(), Vec::new());
    hit.write(&mut raw);
    enricher.refine(2, 99, &raw, &mut out).unwrap();
    out
}

#[test]
fn a_hit_becomes_a_click_with_its_dimensions() {
    let bytes = refine(&mut enricher(), &hit(FIREFOX));
    let click = Click::read(&bytes).unwrap();
    assert_eq!(click.id, ClickId::new(1_793_491_200_007, 3, 2, 99));
    assert_eq!((click.verdict, click.bot), (Verdict::Counted, false));
    assert_eq!((&*click.dims.device, &*click.dims.browser, &*click.dims.os), ("desktop", "Firefox", "Linux"));
    assert_eq!((&*click.dims.referrer, &*click.dims.language), ("google.com", "de"));
    assert_eq!(&*click.dims.utm_source, "news letter", "the visit's own value goes before the link's");
    assert_eq!(&*click.dims.utm_campaign, "may", "the link lends what the visit does not bring");
    assert_eq!(&*click.dims.medium, "paid");
    assert_eq!((&*click.dims.country, &*click.dims.city), ("", ""), "no GeoIP file, no place");
}

#[test]
fn a_robot_is_kept_and_flagged() {
    let bytes = refine(&mut enricher(), &hit(GOOGLEBOT));
    let click = Click::read(&bytes).unwrap();
    assert_eq!((click.verdict, click.bot, &*click.dims.device), (Verdict::Bot, true, "bot"));
    let orphan = RawHit { verdict: Verdict::Orphan, ..hit(GOOGLEBOT) };
    let bytes = refine(&mut enricher(), &orphan);
    assert_eq!(
        Click::read(&bytes).unwrap().verdict,
        Verdict::Orphan,
        "only a counted hit turns into a robot's"
    );
}

#[test]
fn the_address_leaves_only_a_hash_that_changes_with_the_day() {
    let mut enricher = enricher();
    let today = refine(&mut enricher, &hit(FIREFOX));
    let tomorrow = refine(&mut enricher, &RawHit { at: Timestamp(hit("").at.0 + DAY_MS), ..hit(FIREFOX) });
    let network = |bytes: &[u8]| Click::read(bytes).unwrap().network;
    assert_ne!(network(&today), network(&tomorrow));
    let address = hit("").address;
    assert!(!today.windows(4).any(|window| window == &address[12..]), "the address is not in the click");
}

#[test]
fn what_cannot_be_read_is_an_error() {
    assert!(enricher().refine(0, 0, b"\x01\x00", &mut Vec::new()).is_err());
}

#[test]
fn languages_are_two_or_three_letters() {
    assert_eq!(language("EN-us"), "en");
    assert_eq!(language("*"), "");
    assert_eq!(language(""), "");
    assert_eq!(language("deutsch"), "");
}
