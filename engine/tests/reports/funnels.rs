//! Funnels.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use weir_engine::query::reports::funnel::{self, Spec};

use crate::deeds::{Deed, HOUR, What, deeds, for_random_people, range, scope, told};

const STEPS: &[&str] = &["click", "pageview", "signup", "conversion", "lead", "sale"];

fn is(deed: &Deed, step: &str) -> bool {
    match deed.what {
        What::Click => step == "click",
        What::Page(name) => step == name,
        What::Convert(event) => step == event || (step == "conversion" && deed.is_conversion()),
        What::Robot | What::Judged | What::Refund => false,
    }
}

/// Whether a step is looked for among deeds like this one.
fn of_kind(deed: &Deed, step: &str) -> bool {
    match deed.what {
        What::Click => step == "click",
        What::Page(_) => !["click", "conversion"].contains(&step),
        What::Convert(_) => step != "click",
        What::Robot | What::Judged | What::Refund => false,
    }
}

/// Per step reached: the index of the deed by which it was first reached and the time since the step before.
fn reached(facts: &[(i64, u32)], steps: usize, window: i64, order: &str) -> Vec<(usize, Option<i64>)> {
    let mut best: Vec<Option<(usize, usize, i64)>> = vec![None; steps]; // end, start, time
    let mut note = |step: usize, end: usize, start: usize, time: i64| {
        let better = best[step].is_none_or(|(held, begun, _)| end < held || (end == held && start > begun));
        if better {
            best[step] = Some((end, start, time));
        }
    };
    for start in 0..facts.len() {
        let within = |at: i64| at - facts[start].0 <= window;
        if order == "any" {
            let mut seen = 0_u32;
            for (index, (at, mask)) in facts.iter().enumerate().skip(start).filter(|(_, (at, _))| within(*at))
            {
                seen |= mask;
                for step in 0..seen.count_ones() as usize {
                    note(step, index, start, *at);
                }
            }
            continue;
        }
        if facts[start].1 & 1 == 0 {
            continue;
        }
        note(0, start, start, 0);
        let mut last = start;
        for step in 1..steps {
            let mut later = (last + 1..facts.len()).filter(|at| order != "strict" || *at == last + 1);
            let next = later.find(|at| facts[*at].1 & (1 << step) != 0);
            let Some(next) = next.filter(|next| within(facts[*next].0)) else { break };
            note(step, next, start, facts[next].0 - facts[last].0);
            last = next;
        }
    }
    let steps = best.into_iter().map_while(|found| found);
    steps.map(|(end, _, time)| (end, (order != "any").then_some(time))).collect()
}

#[test]
fn a_funnel_counts_as_a_loop_over_everybody_does() {
    let steps = prop::collection::vec(select(STEPS), 2..5);
    let order = select(&["ordered", "strict", "any"][..]);
    let spec = (steps, order, select(&[3_i64, 24, 72, 240][..]), (0..3_i64, 8..14_i64), any::<bool>());
    for_random_people(
        40,
        (deeds(12, 70), prop::collection::vec(spec, 4)),
        async |client, workspace, deeds, specs| {
            for (steps, order, hours, (from, to), filtered) in specs {
                let mut asked = json!({"date_range": range(from, to)});
                if filtered {
                    asked["filters"] = json!(["is_not", "medium", ["it's"]]);
                }
                let body = json!({"steps": steps, "order": order, "window": format!("{hours}h")});
                let spec: Spec = serde_json::from_value(body).unwrap();
                let scope = scope(asked, workspace);
                let report = told(funnel::report(client, &scope, &spec, u64::MAX >> 1).await)?;

                let mut people: BTreeMap<u64, Vec<(i64, u32)>> = BTreeMap::new();
                let within = scope.range();
                for deed in deeds {
                    let looked_at = (within.from.0..within.to.0).contains(&deed.at)
                        && !(filtered && deed.medium == "it's")
                        && steps.iter().any(|step| of_kind(deed, step));
                    let bits = steps.iter().enumerate().filter(|(_, step)| is(deed, step));
                    let mask: u32 = bits.map(|(bit, _)| 1 << bit).sum();
                    if looked_at && (mask != 0 || order == "strict") {
                        people.entry(deed.person()).or_default().push((deed.at, mask));
                    }
                }
                let mut counts = vec![0_i64; steps.len()];
                let mut times: Vec<Vec<i64>> = vec![Vec::new(); steps.len()];
                for facts in people.values_mut() {
                    facts.sort_unstable();
                    for (step, (_, time)) in
                        reached(facts, steps.len(), hours * HOUR, order).into_iter().enumerate()
                    {
                        counts[step] += 1;
                        times[step].extend(time);
                    }
                }
                let got: Vec<i64> = report.rows.iter().map(|row| row[2].as_i64().unwrap()).collect();
                prop_assert_eq!(&got, &counts, "{:?} {} {}h", steps, order, hours);
                // Basis points of a whole, half away from zero.
                let share = |part: i64, of: i64| if of == 0 { 0 } else { (part * 20_000 + of) / (2 * of) };
                for (step, count) in counts.iter().enumerate() {
                    let before = counts[step.saturating_sub(1)];
                    let expected = json!([share(*count, counts[0]), share(*count, before), before - count]);
                    prop_assert_eq!(json!(report.rows[step][3..6]), expected, "step {}", step);
                }
                if order != "any" {
                    for (step, times) in times.iter_mut().enumerate().skip(1) {
                        times.sort_unstable();
                        let median = times.len().checked_sub(1).map(|last| times[last / 2]);
                        prop_assert_eq!(&report.rows[step][6], &json!(median), "step {}", step);
                    }
                }
                let names: Vec<Value> = report.rows.iter().map(|row| row[1].clone()).collect();
                prop_assert_eq!(json!(names), json!(steps));
            }
            Ok(())
        },
    );
}

#[test]
fn a_breakdown_adds_up_to_the_funnel() {
    for_random_people(12, (deeds(12, 70), Just(())), async |client, workspace, deeds, ()| {
        let report = async |breakdown: Value| {
            let spec = json!({"steps": ["click", {"event": "sale", "name": "bought"}], "window": "3d", "breakdown": breakdown});
            let scope = scope(json!({"date_range": range(0, 14)}), workspace);
            told(funnel::report(client, &scope, &serde_json::from_value(spec).unwrap(), u64::MAX >> 1).await)
        };
        let (whole, parts) = (report(Value::Null).await?, report(json!("medium")).await?);
        for (step, row) in whole.rows.iter().enumerate() {
            let of_step = parts.rows.iter().filter(|part| part[1] == json!(step + 1));
            let sum: i64 = of_step.map(|part| part[3].as_i64().unwrap()).sum();
            prop_assert_eq!(row[2].as_i64().unwrap(), sum);
        }
        // The value is that of the first click.
        let mut first: BTreeMap<u64, &Deed> = BTreeMap::new();
        for deed in deeds.iter().filter(|deed| deed.what == What::Click) {
            let held = first.entry(deed.visitor).or_insert(deed);
            if (deed.at, deed.medium) < (held.at, held.medium) {
                *held = deed;
            }
        }
        for part in parts.rows.iter().filter(|part| part[1] == json!(1)) {
            let expected = first.values().filter(|deed| json!(deed.medium) == part[0]).count();
            prop_assert_eq!(part[3].as_u64().unwrap(), expected as u64);
        }
        Ok(())
    });
}
