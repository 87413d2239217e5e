use serde_json::{Value, json};
use weir_schemas::time::Timestamp;

use super::*;
use crate::enrich::Agents;
use crate::links::facts::Visit;

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
                     (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";

fn visit() -> Visit<'static> {
    Visit {
        // A Friday, 23:30 in UTC and 00:30 on Saturday in Berlin.
        at: Timestamp::parse("2026-11-20T23:30:00Z").unwrap(),
        address: "203.0.113.9".parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped().octets(),
        user_agent: PHONE,
        referrer: "https://www.m.news.example/a",
        language: "de-AT,de;q=0.9,en;q=0.5",
        query: "source=mail&empty=&two=1&two=2&sp=a+b",
        returning: true,
    }
}

fn rule(condition: Value) -> Rule {
    serde_json::from_value(json!({"if": condition, "destination": "https://r.example/"})).unwrap()
}

fn holds(condition: Value, visit: Visit<'_>) -> bool {
    let rules = [rule(condition.clone())];
    assert_eq!(check(&rules), [], "{condition}");
    let mut agents: Option<Agents> = None;
    let facts = Facts::new(visit, None, &mut agents);
    Rules::new(&rules, "").decide(&facts).is_some()
}

#[test]
fn each_condition_holds_where_it_should() {
    for (condition, expected) in [
        (json!({"device": ["mobile"]}), true),
        (json!({"device": ["desktop", "tablet"]}), false),
        (json!({"os": "ios"}), true),
        (json!({"os": ["Android"]}), false),
        (json!({"browser": ["mobile safari"]}), true),
        (json!({"browser": ["Safari"]}), false),
        (json!({"bot": false}), true),
        (json!({"bot": true}), false),
        (json!({"returning": true}), true),
        (json!({"returning": false}), false),
        (json!({"ip": ["203.0.113.0/24"]}), true),
        (json!({"ip": ["::ffff:203.0.113.9"]}), true),
        (json!({"ip": ["2001:db8::/32", "10.0.0.0/8"]}), false),
        (json!({"referrer": ["news.example"]}), true),
        (json!({"referrer": ["www.M.News.example."]}), true),
        (json!({"referrer": ["ews.example", "x.m.news.example"]}), false),
        (json!({"referrer": true}), true),
        (json!({"referrer": false}), false),
        (json!({"language": ["de"]}), true),
        (json!({"language": ["de-at"]}), true),
        (json!({"language": ["fr", "en"]}), false),
        (json!({"query.source": ["mail"]}), true),
        (json!({"query.source": "Mail"}), false),
        (json!({"query.two": ["2"]}), true),
        (json!({"query.sp": ["a b"]}), true),
        (json!({"query.empty": true}), true),
        (json!({"query.gone": true}), false),
        (json!({"query.gone": false}), true),
        (json!({"query": {"source": ["mail"], "two": "1"}}), true),
        (json!({"query": {"source": ["mail"], "two": "3"}}), false),
        (json!({"after": "2026-11-20T23:30:00Z"}), true),
        (json!({"before": "2026-11-20T23:30:00Z"}), false),
        (json!({"after": "2026-11-20T00:00:00Z", "before": "2026-11-21T00:00:00+01:00"}), false),
        (json!({"weekday": ["fri"]}), true),
        (json!({"weekday": ["fri"], "timezone": "Europe/Berlin"}), false),
        (json!({"weekday": ["sat"], "hours": ["00:00-01:00"], "timezone": "Europe/Berlin"}), true),
        (json!({"hours": ["22:00-02:00"], "weekday": "friday"}), true),
        (json!({"hours": ["09:00-17:00", "18:00-20:00"]}), false),
        // Without a GeoIP file no place is known, and so none of them holds.
        (json!({"country": ["DE"]}), false),
        (json!({"not": {"country": ["DE"]}}), true),
        (json!({"device": "mobile", "returning": false}), false),
        (json!({"all": [{"device": "mobile"}, {"returning": true}]}), true),
        (json!({"all": [{"device": "mobile"}, {"returning": false}]}), false),
        (json!({"any": [{"device": "tv"}, {"returning": true}]}), true),
        (json!({"any": [{"device": "tv"}, {"returning": false}]}), false),
        (json!({"not": {"any": [{"device": "tv"}, {"all": [{"bot": true}]}]}}), true),
    ] {
        assert_eq!(holds(condition.clone(), visit()), expected, "{condition}");
    }
}

#[test]
fn a_visit_that_says_nothing_is_judged_too() {
    let silent = Visit { user_agent: "", referrer: "", language: "", query: "", returning: false, ..visit() };
    for (condition, expected) in [
        (json!({"bot": true}), true),
        (json!({"device": "bot"}), true),
        (json!({"browser": ["Chrome"]}), false),
        (json!({"referrer": false}), true),
        (json!({"language": ["de"]}), false),
        (json!({"query.a": true}), false),
    ] {
        assert_eq!(holds(condition.clone(), silent), expected, "{condition}");
    }
}

#[test]
fn the_first_match_decides() {
    let rules = [json!({"bot": true}), json!({"device": "mobile"}), json!({"returning": true})];
    let rules: Vec<Rule> = rules
        .into_iter()
        .enumerate()
        .map(|(n, condition)| Rule { destination: format!("https://r{n}.example/"), ..rule(condition) })
        .collect();
    let mut agents = None;
    let facts = Facts::new(visit(), None, &mut agents);
    assert_eq!(&*Rules::new(&rules, "").decide(&facts).unwrap().base, "https://r1.example/");
}

#[test]
fn only_what_is_asked_is_looked_up() {
    let rules = [rule(json!({"device": "mobile", "returning": false})), rule(json!({"ip": "10.0.0.0/8"}))];
    let mut agents = None;
    let facts = Facts::new(visit(), None, &mut agents);
    assert!(Rules::new(&rules, "").decide(&facts).is_none());
    assert!(agents.is_none(), "what costs nothing is asked first, and it decided");
}

#[test]
fn faults_are_named_by_their_path() {
    let mut deep = json!({"bot": true});
    for _ in 0..8 {
        deep = json!({"not": deep});
    }
    let many: Vec<Value> = (0..120).map(|_| json!({"bot": true})).collect();
    for (condition, fields) in [
        (json!({}), vec!["if"]),
        (json!({"colour": "red"}), vec!["if.colour"]),
        (json!({"query.": ["a"]}), vec!["if.query."]),
        (json!({"query": {}}), vec!["if.query"]),
        (json!({"query": {"a": 1}}), vec!["if.query.a"]),
        (json!({"country": []}), vec!["if.country"]),
        (json!({"country": [1]}), vec!["if.country"]),
        (json!({"country": ["Germany"]}), vec!["if.country"]),
        (json!({"continent": ["XX"], "city": [""]}), vec!["if.city", "if.continent"]),
        (json!({"device": ["phone"]}), vec!["if.device"]),
        (json!({"language": ["german"]}), vec!["if.language"]),
        (json!({"ip": ["1.2.3"]}), vec!["if.ip"]),
        (json!({"referrer": ["http://a"]}), vec!["if.referrer"]),
        (json!({"returning": "yes"}), vec!["if.returning"]),
        (json!({"after": "tomorrow", "before": 5}), vec!["if.after", "if.before"]),
        (
            json!({"weekday": ["someday"], "hours": ["9-5"], "timezone": "Mars/Base"}),
            vec!["if.weekday", "if.hours", "if.timezone"],
        ),
        (json!({"timezone": "Europe/Berlin"}), vec!["if.timezone"]),
        (json!({"any": []}), vec!["if.any"]),
        (json!({"any": [{"bot": true}, 1, {"not": []}]}), vec!["if.any[1]", "if.any[2].not"]),
        (json!({"city": ["x".repeat(300)]}), vec!["if.city"]),
        (json!({"any": many}), vec!["if"]),
        (deep, vec!["if.not.not.not.not.not.not.not"]),
    ] {
        let faults = check(&[rule(json!({"bot": true})), rule(condition.clone())]);
        let found: Vec<&str> =
            faults.iter().map(|fault| fault.field.strip_prefix("rules[1].").unwrap()).collect();
        assert_eq!(found, fields, "{condition}");
    }
    let unknown = &check(&[rule(json!({"colour": "red"}))])[0].detail;
    assert!(unknown.contains("country") && unknown.contains("query.NAME"), "{unknown}");
    let too_many: Vec<Rule> = (0..=RULES_MAX).map(|_| rule(json!({"bot": true}))).collect();
    assert_eq!(check(&too_many)[0].field, "rules");
}

#[test]
fn a_stored_rule_that_is_not_understood_is_left_out() {
    let rules = [rule(json!({"colour": "red"})), rule(json!({"returning": true}))];
    let compiled = Rules::new(&rules, "");
    assert_eq!(compiled.0.len(), 1);
}

#[test]
fn each_key_is_explained_as_the_whole_rule_decides() {
    let rule: Rule = serde_json::from_value(serde_json::json!({"destination": "https://a.example/", "if": {
        "language": ["de"], "returning": true, "hours": "00:00-24:00", "timezone": "Europe/Berlin"}}))
    .unwrap();
    let visit = visit();
    let mut agents = None;
    let facts = Facts::new(visit, None, &mut agents);
    let mut held: Vec<_> = explain(&rule, &facts).into_iter().map(|held| (held.key, held.holds)).collect();
    held.sort();
    let whole = compile::condition(&rule.condition, "if").unwrap().holds(&facts);
    assert_eq!(
        held.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
        ["hours", "language", "returning"]
    );
    assert_eq!(held.iter().all(|(_, holds)| *holds), whole);
    assert!(held[1].1, "the visit speaks German");
}
