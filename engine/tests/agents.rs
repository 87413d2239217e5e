//! User agents against what others say of them: uap-core's own test cases, and the distinct agents of npm `user-agents`
//! with the kind of device that its authors measured. The rates are printed; below the floors something has broken.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use weir_engine::enrich::Agents;

/// All agree today; a case or two of the next data may not.
const FAMILY_FLOOR: f64 = 0.999;
/// Likewise: an agent may come to say less than its screen.
const DEVICE_FLOOR: f64 = 0.99;

#[derive(Deserialize)]
struct Cases {
    browsers: Vec<(String, String)>,
    systems: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    user_agent: String,
    device_category: String,
}

fn rate(what: &str, cases: usize, wrong: &[String]) -> f64 {
    let rate = 1.0 - wrong.len() as f64 / cases as f64;
    println!("{what}: {} of {cases} as expected, {:.2} %", cases - wrong.len(), rate * 100.0);
    for case in wrong.iter().take(20) {
        println!("  {case}");
    }
    rate
}

#[test]
fn families_are_those_that_uap_core_expects() {
    let cases: Cases = serde_json::from_str(include_str!("../data/uap-core-cases.json")).unwrap();
    let agents = Agents::new();
    let wrong = |cases: &[(String, String)], found: &dyn Fn(&str) -> String| -> Vec<String> {
        let differs = |(agent, expected): &(String, String)| {
            let found = found(agent);
            (found != *expected).then(|| format!("{agent}: `{found}`, not `{expected}`"))
        };
        cases.iter().filter_map(differs).collect()
    };
    let browsers = wrong(&cases.browsers, &|agent| agents.parse(agent).browser);
    let systems = wrong(&cases.systems, &|agent| agents.parse(agent).os);
    assert!(rate("browsers of uap-core", cases.browsers.len(), &browsers) >= FAMILY_FLOOR, "{browsers:#?}");
    assert!(rate("systems of uap-core", cases.systems.len(), &systems) >= FAMILY_FLOOR, "{systems:#?}");
}

#[test]
fn devices_of_real_agents_are_those_that_were_measured() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.weir/agents/user-agents.json");
    let file = std::fs::read_to_string(file).expect("run `make agents`");
    let measured: Vec<Measured> = serde_json::from_str(&file).unwrap();
    let measured: BTreeMap<String, String> =
        measured.into_iter().map(|one| (one.user_agent, one.device_category)).collect();
    assert!(measured.len() > 900, "{} distinct agents", measured.len());
    let agents = Agents::new();
    let (mut wrong, mut robots) = (Vec::new(), 0);
    for (agent, expected) in &measured {
        let parsed = agents.parse(agent);
        robots += usize::from(parsed.bot);
        if parsed.device.as_str() != expected {
            wrong.push(format!("{agent}: {}, not {expected}", parsed.device.as_str()));
        }
        assert!(!parsed.browser.is_empty() || parsed.bot, "no browser: {agent}");
    }
    println!("robots among them: {robots}");
    assert!(rate("devices of user-agents", measured.len(), &wrong) >= DEVICE_FLOOR, "{wrong:#?}");
}
