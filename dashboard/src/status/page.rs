//! The status page as HTML: no script, no request to anyone, read again every minute.
//!
//! Colour never stands alone: a part says its state in words, a day's bar is as high as its uptime, and what the bars
//! show is written beside them.

use std::fmt::Write as _;

use weir_edge::html::Escaped;
use weir_schemas::percent::percent;
use weir_schemas::time::{HOUR_MS, MINUTE_MS, SECOND_MS, Timestamp};

use super::history::{Component, ComponentSummary, DaySummary, Incident, Summary};
use super::notices::{Notice, Progress};

/// Below this a day counts as one with an outage: 1.4 minutes of it.
const GOOD_PERCENT: f64 = 99.9;
/// Below this an outage took hours of the day.
const POOR_PERCENT: f64 = 95.0;
/// Incidents that are told.
const INCIDENTS_SHOWN: usize = 15;

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--text:#14181f;--muted:#57606e;--line:#e2e5ea;--ok:#0a7044;\
--ok-soft:#def3e8;--warn:#8a5300;--warn-soft:#fdf0d8;--bad:#b3261e;--bad-soft:#fce8e6;--bar-ok:#2f9e6e;\
--bar-warn:#c98410;--bar-bad:#c8372d;--none:#dfe3e8}\
@media(prefers-color-scheme:dark){:root{--bg:#0d1015;--card:#151920;--text:#e9ecf1;--muted:#9ba5b4;--line:#272d38;\
--ok:#4fcb95;--ok-soft:#143326;--warn:#f0b457;--warn-soft:#3a2a10;--bad:#ff9389;--bad-soft:#421b19;\
--bar-ok:#3fae7c;--bar-warn:#d99a35;--bar-bad:#ef6f64;--none:#272d38}}\
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--text);\
font:15px/1.5 ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;font-variant-numeric:tabular-nums}\
main{max-width:50rem;margin:0 auto;padding:2.5rem 1rem 4rem}h1,h2,h3,p,dl,dd,ul{margin:0;padding:0}\
h1{font-size:1.4rem;letter-spacing:-.012em}h2{margin:2.25rem 0 .75rem;font-size:1rem}h3{font-size:.95rem}\
small,.muted,dt{color:var(--muted);font-size:.85rem}\
.head{padding:1.25rem 1.4rem;border-radius:12px;border:1px solid transparent}\
.head p{margin-top:.15rem;font-size:.85rem}\
.operational{background:var(--ok-soft);color:var(--ok)}.degraded{background:var(--warn-soft);color:var(--warn)}\
.down{background:var(--bad-soft);color:var(--bad)}\
.card{margin-top:.75rem;padding:1rem 1.25rem;border:1px solid var(--line);border-radius:12px;background:var(--card)}\
.row{display:flex;flex-wrap:wrap;align-items:center;justify-content:space-between;gap:.25rem 1rem}\
.badge{padding:.1rem .6rem;border-radius:99px;font-size:.8rem;font-weight:600}\
.bars{display:flex;align-items:end;gap:3px;height:34px;margin:.75rem 0 .4rem}\
.bars i{position:relative;flex:1;height:100%;border-radius:3px;background:var(--none);overflow:hidden}\
.bars b{position:absolute;inset:auto 0 0;background:var(--bar-ok)}.bars .warn b{background:var(--bar-warn)}\
.bars .bad b{background:var(--bar-bad)}\
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem}dl .card{margin:0}\
dd{font-size:1.3rem;font-weight:640}ul{list-style:none}li{padding:.65rem 0;border-top:1px solid var(--line)}\
li:first-child{border:0}li p{white-space:pre-line}.incidents{padding-block:.35rem}\
@media(max-width:34rem){.bars{gap:2px}main{padding-top:1.25rem}}";

/// A name as people write it.
fn title(name: &str) -> &str {
    match name {
        "redirects" => "Redirects",
        "recording" => "Recording of clicks and payments",
        "analytics" => "Queries and dashboards",
        other => other,
    }
}

pub(super) fn html(summary: &Summary) -> String {
    let headline = match summary.status {
        "operational" => "✓ Everything works",
        "degraded" => "! Something is not working",
        _ => "× Nothing is working",
    };
    let mut out = String::with_capacity(16 << 10);
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"60\"><title>Status: {}</title>\
         <style>{STYLE}</style></head><body><main><div class=\"head {}\"><h1>{headline}</h1>\
         <p>As of {} · read again every minute</p></div><h2>Last 30 days</h2>",
        &headline[headline.find(' ').map_or(0, |at| at + 1)..],
        summary.status,
        minute(summary.at),
    );
    summary.components.iter().for_each(|component| part(component, &mut out));
    let Summary { redirects_per_minute, redirect_latency_us: latency, .. } = summary;
    out.push_str("<h2>Last minute</h2><dl>");
    for (name, figure) in [
        ("Redirects", grouped(*redirects_per_minute)),
        ("Median latency", format!("{} µs", grouped(latency.p50))),
        ("99% are within", format!("{} µs", grouped(latency.p99))),
    ] {
        let _ = write!(out, "<div class=\"card\"><dt>{name}</dt><dd>{figure}</dd></div>");
    }
    out.push_str("</dl><h2>Incidents</h2>");
    summary.notices.iter().take(INCIDENTS_SHOWN).for_each(|notice| said(notice, &mut out));
    out.push_str("<div class=\"card incidents\">");
    incidents(&summary.incidents, summary.at, &mut out);
    out.push_str("</div></main></body></html>");
    out
}

fn part(component: &ComponentSummary, out: &mut String) {
    let (class, word) =
        if component.status == "operational" { ("operational", "Operational") } else { ("down", "Down") };
    let uptime =
        component.uptime_30d.map_or("no data yet".to_owned(), |share| format!("{} uptime", written(share)));
    let _ = write!(
        out,
        "<section class=\"card\"><div class=\"row\"><h3>{}</h3><span class=\"badge {class}\">{word}</span></div>\
         <div class=\"bars\" role=\"img\" aria-label=\"{uptime} over 30 days\">",
        title(component.name)
    );
    component.days.iter().for_each(|day| bar(day, out));
    let _ = write!(
        out,
        "</div><div class=\"row\"><small>30 days ago</small><small>{uptime}</small><small>today</small></div></section>"
    );
}

/// An uptime, which comes in per cent rounded down to hundredths, as all shares are written.
fn written(uptime: f64) -> String {
    percent((uptime * 100.0).round() as u64)
}

/// As high as the day's uptime: what is missing at the top is what was missing that day, but never so little
/// that it cannot be seen.
fn bar(day: &DaySummary, out: &mut String) {
    let Some(uptime) = day.uptime else {
        let _ = write!(out, "<i title=\"{}: no data\"></i>", day.date);
        return;
    };
    let (class, height) = match uptime {
        good if good >= GOOD_PERCENT => ("", 100.0),
        poor if poor < POOR_PERCENT => (" class=\"bad\"", poor.clamp(12.0, 70.0)),
        fair => (" class=\"warn\"", fair.min(85.0)),
    };
    let _ = write!(
        out,
        "<i{class} title=\"{}: {}\"><b style=\"height:{height:.0}%\"></b></i>",
        day.date,
        written(uptime),
    );
}

/// An incident in the operator's words, the last ones first.
fn said(notice: &Notice, out: &mut String) {
    let class = if notice.state() == Progress::Resolved { "operational" } else { "degraded" };
    let _ = write!(
        out,
        "<section class=\"card\"><div class=\"row\"><h3>{}</h3><span class=\"badge {class}\">{}</span></div>",
        Escaped(&notice.title),
        notice.state().word(),
    );
    if !notice.components.is_empty() {
        let names: Vec<&str> = notice.components.iter().map(|part| title(part.as_str())).collect();
        let _ = write!(out, "<small>{}</small>", names.join(", "));
    }
    out.push_str("<ul>");
    for update in &notice.updates {
        let _ = write!(
            out,
            "<li><p>{}</p><small>{}, {}</small></li>",
            Escaped(&update.text),
            minute(update.at),
            update.state.word(),
        );
    }
    out.push_str("</ul></section>");
}

/// Parts that were down together are one line.
fn incidents(all: &[Incident], now: Timestamp, out: &mut String) {
    if all.is_empty() {
        out.push_str("<p>None in the last 30 days.</p>");
        return;
    }
    let mut told: Vec<(&Incident, Vec<Component>)> = Vec::new();
    for incident in all {
        let same = |held: &Incident| held.began_at == incident.began_at && held.ended_at == incident.ended_at;
        match told.iter_mut().find(|(held, _)| same(held)) {
            Some((_, parts)) => parts.push(incident.component),
            None => told.push((incident, vec![incident.component])),
        }
    }
    out.push_str("<ul>");
    for (incident, parts) in told.iter().take(INCIDENTS_SHOWN) {
        let names: Vec<&str> = parts.iter().rev().map(|part| title(part.as_str())).collect();
        let took = duration(incident.ended_at.unwrap_or(now).0 - incident.began_at.0);
        let (class, word) =
            if incident.ended_at.is_some() { ("operational", "over") } else { ("down", "going on") };
        let _ = write!(
            out,
            "<li><div class=\"row\"><strong>{}</strong><span class=\"badge {class}\">{word}</span></div>\
             <small>{}, {took}</small></li>",
            names.join(", "),
            minute(incident.began_at),
        );
    }
    out.push_str("</ul>");
}

/// "2026-11-21 14:40 UTC".
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {} UTC", &text[..10], &text[11..16])
}

fn duration(milliseconds: i64) -> String {
    match milliseconds {
        short if short < MINUTE_MS => format!("{} s", (short / SECOND_MS).max(1)),
        middle if middle < 2 * HOUR_MS => format!("{} min", middle / MINUTE_MS),
        long => format!("{} h {} min", long / HOUR_MS, long % HOUR_MS / MINUTE_MS),
    }
}

/// 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use weir_schemas::ids::IncidentId;

    use super::super::history::Latency;
    use super::super::notices::Update;
    use super::*;

    const NOW: i64 = 1_793_491_200_000;

    fn summary(uptime: Option<f64>, incidents: Vec<Incident>) -> Summary {
        let days = vec![DaySummary { date: "2026-11-01".to_owned(), uptime }];
        Summary {
            status: "operational",
            at: Timestamp(NOW),
            components: vec![ComponentSummary {
                name: "redirects",
                status: "operational",
                uptime_30d: uptime,
                days,
            }],
            redirects_per_minute: 1_234_567,
            redirect_latency_us: Latency { p50: 12, p99: 999 },
            incidents,
            notices: Vec::new(),
        }
    }

    #[test]
    fn the_page_tells_parts_figures_and_incidents_in_words() {
        let down = |component, from: i64, to: Option<i64>| Incident {
            component,
            began_at: Timestamp(NOW - from),
            ended_at: to.map(|to| Timestamp(NOW - to)),
        };
        let page = html(&summary(
            Some(97.5),
            vec![
                down(Component::Analytics, 90 * MINUTE_MS, None),
                down(Component::Recording, 10 * HOUR_MS, Some(7 * HOUR_MS)),
                down(Component::Redirects, 10 * HOUR_MS, Some(7 * HOUR_MS)),
            ],
        ));
        for words in [
            "Everything works",
            "http-equiv=\"refresh\" content=\"60\"",
            "97.50% uptime",
            "class=\"warn\" title=\"2026-11-01: 97.50%\"",
            "1,234,567",
            "999 µs",
            "90 min",
            "<strong>Redirects, Recording of clicks and payments</strong>",
            "3 h 0 min",
        ] {
            assert!(page.contains(words), "`{words}` is missing: {page}");
        }
        for (uptime, words) in [(100.0, ">100% uptime<"), (99.99, ">99.99% uptime<"), (0.0, ">0% uptime<")] {
            assert!(html(&summary(Some(uptime), Vec::new())).contains(words), "{words} is missing");
        }
        assert!(!page.contains("<script"));
        assert!(html(&summary(None, Vec::new())).contains("None in the last 30 days."));
        assert_eq!(
            [0, 12, 123, 1_000, 100_000, 1_000_000].map(grouped),
            ["0", "12", "123", "1,000", "100,000", "1,000,000"]
        );
    }

    #[test]
    fn the_operators_words_stand_as_they_were_written() {
        let update =
            |at: i64, state, text: &str| Update { at: Timestamp(NOW - at), state, text: text.to_owned() };
        let mut told = summary(None, Vec::new());
        told.status = "degraded";
        told.notices = vec![Notice {
            id: IncidentId(1),
            title: "Queries <slow>".to_owned(),
            components: vec![Component::Analytics],
            updates: [
                update(MINUTE_MS, Progress::Identified, "A disk & its cable"),
                update(HOUR_MS, Progress::Investigating, "We look at it"),
            ]
            .into(),
        }];
        let page = html(&told);
        for words in [
            "Queries &lt;slow&gt;",
            "<span class=\"badge degraded\">cause found</span>",
            "<small>Queries and dashboards</small>",
            "A disk &amp; its cable",
            "Something is not working",
        ] {
            assert!(page.contains(words), "`{words}` is missing: {page}");
        }
        assert!(page.find("A disk") < page.find("We look at it"), "the newest first");
    }
}
