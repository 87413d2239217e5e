//! What decides where a visit goes, each through the real listener: rules of every kind, in their order.

mod geoip;
mod listener;

use std::net::Ipv4Addr;

use geoip::Network;
use jiff::ToSpan;
use listener::Public;
use serde_json::{Value, json};
use weir_engine::links::allocation::thompson::Arm;
use weir_engine::token::TokenKeys;
use weir_schemas::time::Timestamp;

const BERLIN: &str = "203.0.113.7";
const BOSTON: &str = "198.51.100.7";

fn places() -> [Network; 2] {
    let network = |address, country, region, city| Network { address, bits: 24, country, region, city };
    [
        network(Ipv4Addr::new(203, 0, 113, 0), "DE", "Land Berlin", "Berlin"),
        network(Ipv4Addr::new(198, 51, 100, 0), "US", "Massachusetts", "Boston"),
    ]
}

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
                     (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
const DESKTOP: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                       Chrome/126.0.0.0 Safari/537.36";
const CRAWLER: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// Where a day begins first, and where last: 25 hours later.
const FIRST: &str = "Pacific/Kiritimati";
const LAST: &str = "Pacific/Pago_Pago";

/// A rule, a visit for which it holds and one for which it does not.
type Case = (Value, Asked, Asked);
type Asked = (&'static str, &'static [(&'static str, &'static str)]);

#[test]
fn each_rule_sends_its_visitors_elsewhere() {
    let public = Public::start(&places());
    let from_berlin: Asked = ("", &[("X-Forwarded-For", BERLIN)]);
    let from_boston: Asked = ("", &[("X-Forwarded-For", BOSTON)]);
    let phone: Asked = ("", &[("User-Agent", PHONE)]);
    let desktop: Asked = ("", &[("User-Agent", DESKTOP)]);
    let plain: Asked = ("", &[]);
    let now = Timestamp::now();
    let (past, future) = (Timestamp(now.0 - 3_600_000), Timestamp(now.0 + 3_600_000));
    let cases: Vec<Case> = vec![
        (json!({"country": ["DE", "AT"]}), from_berlin, from_boston),
        (json!({"region": "massachusetts"}), from_boston, from_berlin),
        (json!({"city": ["Berlin"]}), from_berlin, from_boston),
        (json!({"city": ["Berlin", "Boston"]}), from_boston, plain),
        (json!({"continent": ["EU"]}), from_berlin, from_boston),
        (
            json!({"language": ["de"]}),
            ("", &[("Accept-Language", "de-AT,en;q=0.5")]),
            ("", &[("Accept-Language", "en,de;q=0.5")]),
        ),
        (json!({"device": ["mobile"]}), phone, desktop),
        (json!({"os": ["Windows"]}), desktop, phone),
        (json!({"browser": ["Chrome"]}), desktop, phone),
        (json!({"bot": true}), ("", &[("User-Agent", CRAWLER)]), phone),
        (json!({"bot": false}), phone, ("", &[("User-Agent", CRAWLER)])),
        (json!({"ip": ["203.0.113.0/28"]}), from_berlin, ("", &[("X-Forwarded-For", "203.0.113.70")])),
        (
            json!({"ip": ["2001:db8::/32"]}),
            ("", &[("Forwarded", "for=\"[2001:db8::7]:99\"")]),
            ("", &[("Forwarded", "for=\"[2001:db9::7]:99\"")]),
        ),
        (
            json!({"referrer": ["news.example"]}),
            ("", &[("Referer", "https://www.news.example/today")]),
            ("", &[("Referer", "https://fakenews.example/")]),
        ),
        (json!({"referrer": false}), plain, ("", &[("Referer", "https://news.example/")])),
        (json!({"query.source": ["mail"]}), ("?source=mail", &[]), ("?source=web", &[])),
        (json!({"query.source": true}), ("?source", &[]), plain),
        (json!({"returning": true}), ("", &[("Cookie", "wv=0123456789abcdef")]), plain),
        (json!({"returning": false}), plain, ("", &[("Cookie", "wv=0123456789abcdef")])),
        (
            json!({"all": [{"device": "mobile"}, {"country": "DE"}]}),
            ("", &[("User-Agent", PHONE), ("X-Forwarded-For", BERLIN)]),
            phone,
        ),
        (json!({"any": [{"device": "tv"}, {"country": "US"}]}), from_boston, from_berlin),
        (json!({"not": {"country": "DE"}}), from_boston, from_berlin),
        (
            json!({"device": "mobile", "not": {"any": [{"country": "US"}, {"all": [{"bot": false}, {"query.x": "1"}]}]}}),
            phone,
            ("?x=1", &[("User-Agent", PHONE)]),
        ),
    ];
    for (n, (condition, inside, outside)) in cases.iter().enumerate() {
        public.link(
            json!({"slug": format!("r{n}"), "destination": "https://a.example/", "track_conversions": false,
            "forward_query": false, "rules": [{"if": condition, "destination": "https://b.example/"}]}),
        );
        let to = |asked: &Asked| {
            let answer = public.get(&format!("/r{n}{}", asked.0), asked.1);
            assert_eq!(answer.status, 302);
            answer.header("location").to_owned()
        };
        assert_eq!(
            (&*to(inside), &*to(outside)),
            ("https://b.example/", "https://a.example/"),
            "{condition}"
        );
    }
    // The clock is the engine's own, so here the rule moves and not the visit. It is never the same day in the first
    // and the last zone, and 14 hours later in the first than in UTC.
    let there = jiff::Timestamp::from_millisecond(now.0).unwrap().in_tz(FIRST).unwrap();
    let day = |days: i64| there.saturating_add(days.days()).strftime("%a").to_string().to_lowercase();
    let hour = |hours: i64| there.saturating_add(hours.hours()).strftime("%H:%M").to_string();
    let (today, hours) = ([day(0), day(1)], format!("{}-{}", hour(-1), hour(1)));
    let week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    for (n, (condition, holds)) in [
        (json!({"after": past, "before": future}), true),
        (json!({"after": future}), false),
        (json!({"before": past}), false),
        (json!({"weekday": week}), true),
        (json!({"weekday": today, "timezone": FIRST}), true),
        (json!({"weekday": today, "timezone": LAST}), false),
        (json!({"hours": ["00:00-24:00"], "timezone": "Asia/Kathmandu"}), true),
        (json!({"hours": [hours], "timezone": FIRST}), true),
        (json!({"hours": [hours]}), false),
        (json!({"hours": [hours], "weekday": [day(-1), day(0), day(1)], "timezone": FIRST}), true),
        (json!({"hours": [hours], "weekday": [day(3)], "timezone": FIRST}), false),
        (json!({"not": {"hours": ["00:00-12:00", "12:00-24:00"]}}), false),
    ]
    .into_iter()
    .enumerate()
    {
        let expected = if holds { "https://b.example/" } else { "https://a.example/" };
        public.link(
            json!({"slug": format!("t{n}"), "destination": "https://a.example/", "track_conversions": false,
            "rules": [{"if": condition, "destination": "https://b.example/"}]}),
        );
        assert_eq!(public.get(&format!("/t{n}"), &[]).header("location"), expected, "{condition}");
    }
    assert!(public.hits().len() > 30, "what a rule decided is a hit like any other");
}

#[test]
fn limits_go_before_rules_and_the_first_match_before_the_rest() {
    let public = Public::start(&places());
    let rules = json!([
        {"if": {"country": "DE"}, "destination": "https://de.example/?id=1#top"},
        {"if": {"continent": "EU"}, "destination": "https://eu.example/"},
        {"if": {"device": "bot"}, "destination": "https://bot.example/{device}/{country}"},
    ]);
    for (slug, enabled) in [("on", true), ("off", false)] {
        public.link(
            json!({"slug": slug, "destination": "https://a.example/", "rules": rules, "enabled": enabled,
            "fallback": "https://closed.example/", "utm": {"source": "news"}, "track_conversions": false}),
        );
    }
    let from_berlin = [("X-Forwarded-For", BERLIN)];
    let to =
        |target: &str, headers: &[(&str, &str)]| public.get(target, headers).header("location").to_owned();
    assert_eq!(to("/off", &from_berlin), "https://closed.example/");
    // A rule's destination takes the visit's query, the link's UTM values and macros as the link's own does.
    assert_eq!(to("/on?x=1", &from_berlin), "https://de.example/?id=1&utm_source=news&x=1#top");
    assert_eq!(to("/on", &[]), "https://bot.example/bot/?utm_source=news");
    assert_eq!(
        to("/on", &[("User-Agent", DESKTOP), ("X-Forwarded-For", BOSTON)]),
        "https://a.example/?utm_source=news"
    );
}

fn variants(weights: [u32; 2]) -> Value {
    let arm = |name: &str, weight| {
        let destination = format!("https://{name}.example/?v={{variant}}");
        json!({"name": name, "destination": destination, "weight": weight})
    };
    json!([arm("one", weights[0]), arm("two", weights[1])])
}

#[test]
fn a_visitor_keeps_a_variant_that_the_hit_and_the_token_name() {
    let public = Public::start(&places());
    public.link(json!({"slug": "v", "destination": "https://a.example/", "variants": variants([50, 50]),
        "rules": [{"if": {"query.admin": true}, "destination": "https://rule.example/"}]}));
    let mut seen = Vec::new();
    for visitor in 0..60 {
        let cookie = format!("wv={visitor:016x}");
        let visit = || {
            let answer = public.get("/v", &[("Cookie", &cookie)]);
            assert_eq!(answer.header("cache-control"), "no-store");
            let location = answer.header("location").to_owned();
            let (to, token) = location.split_once("&wclid=").unwrap();
            let number = TokenKeys::new(&[(1, listener::KEY)]).open(token).unwrap().variant;
            (to.to_owned(), number)
        };
        let (to, number) = visit();
        let name = if number == 1 { "one" } else { "two" };
        assert_eq!(to, format!("https://{name}.example/?v={name}"));
        assert_eq!(visit(), (to, number), "the same visitor");
        seen.extend([name, name]);
    }
    assert!(seen.contains(&"one") && seen.contains(&"two"));
    let ruled = public.get("/v?admin=1", &[]).header("location").to_owned();
    assert!(ruled.starts_with("https://rule.example/"), "rules go before variants: {ruled}");
    let hits = public.hits();
    let names: Vec<&str> = hits.iter().map(|(_, variant, _)| variant.as_str()).collect();
    assert_eq!(names[..120], seen[..]);
    assert_eq!(names[120], "", "a rule's destination is no variant");
}

#[test]
fn published_shares_reach_the_redirect() {
    let public = Public::start(&places());
    let id = public
        .link(json!({"slug": "v", "destination": "https://a.example/", "variants": variants([1, 1]),
        "allocation": "bandit", "sticky_days": 0, "status_code": 301}));
    let ones =
        || (0..200).filter(|_| public.get("/v", &[]).header("location").contains("one.example")).count();
    let before = ones();
    assert!((60..140).contains(&before), "without results the weights given stand: {before}");
    let link = public.links.find("go.example", "v").unwrap();
    let arm = |clicks, conversions| Arm { clicks, conversions, ..Arm::default() };
    public.links.allocations().decide(&link, &[arm(1_000, 5), arm(1_000, 90)], Timestamp(1), 1);
    let after = ones();
    assert!(after < 30, "one twentieth is the floor: {after}");
    assert_eq!(public.links.allocations().of(id).unwrap().weights[1], 9_500);
}

#[test]
fn a_host_has_its_own_root_and_its_own_answer_to_what_is_no_link() {
    let public = Public::start(&places());
    assert_eq!((public.get("/", &[]).status, public.get("/nope", &[]).status), (404, 404));
    for (slug, to) in [("_root", "https://home.example/"), ("_404", "https://lost.example/")] {
        public.link(json!({"slug": slug, "destination": to, "track_conversions": false}));
    }
    let to = |target: &str| public.get(target, &[]).header("location").to_owned();
    assert_eq!(to("/?a=1"), "https://home.example/?a=1");
    assert_eq!(to("/nope"), "https://lost.example/");
    assert_eq!(to("/a/b?x=1"), "https://lost.example/");
    assert_eq!(public.get("/robots.txt", &[]).status, 200, "the engine's own paths stay");
    // A host with links of its own has its own two, or none.
    public.link(json!({"slug": "x", "domain": "go.example.org", "destination": "https://x.example/"}));
    assert_eq!(public.get("http://go.example.org/", &[]).status, 404);
    // One that is switched off leads nowhere.
    let off = json!({"slug": "_404", "domain": "off.example", "destination": "https://lost.example/", "enabled": false});
    public.link(off);
    assert_eq!(public.get("http://off.example/nope", &[]).status, 404);
    let statuses: Vec<u16> = public.hits().into_iter().map(|(_, _, status)| status).collect();
    assert_eq!(statuses, [404, 404, 302, 302, 302, 404, 404], "each is a hit");
}

#[test]
fn a_plus_behind_the_slug_shows_where_the_link_leads() {
    let public = Public::start(&places());
    public
        .link(json!({"slug": "a", "destination": "https://a.example/?x=<script>", "title": "<b>Spring</b>",
        "rules": [{"if": {"bot": true}, "destination": "https://bot.example/"}]}));
    public.link(json!({"slug": "off", "destination": "https://secret.example/", "enabled": false}));
    public.link(json!({"slug": "locked", "destination": "https://secret.example/", "password": "sesame"}));
    let page = public.get("/a+", &[]);
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(
        page.header("set-cookie").is_empty()
            && page.header("content-security-policy").starts_with("default-src")
    );
    for shown in
        ["go.example/a", "&lt;b&gt;Spring", "https://a.example/?x=%3Cscript%3E", "https://bot.example/"]
    {
        assert!(page.head.contains(shown), "{shown}: {}", page.head);
    }
    assert!(!page.head.contains("<script>") && !page.head.contains("<b>"));
    for (slug, status) in [("off", 410), ("locked", 200)] {
        let page = public.get(&format!("/{slug}+"), &[]);
        assert_eq!(page.status, status);
        assert!(!page.head.contains("secret.example"), "{}", page.head);
    }
    assert_eq!(public.get("/nope+", &[]).status, 404);
    assert_eq!(public.hits().len(), 1, "only the last was a visit");
}
