//! The status page as HTML: no script, no request to anyone, read again every minute.

use std::fmt::Write as _;

use super::history::{DaySummary, Summary};

const STYLE: &str = "\
:root{color-scheme:light dark;--ok:#15803d;--bad:#b91c1c;--none:#94a3b8;--line:#cbd5e1}\
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}\
.part{border:1px solid var(--line);border-radius:.5rem;padding:.75rem 1rem;margin:.75rem 0}\
.head{display:flex;justify-content:space-between;font-weight:600}\
.bars{display:flex;gap:2px;margin-top:.5rem;height:2rem}.bars span{flex:1;border-radius:2px;background:var(--ok)}\
.bars .none{background:var(--none);opacity:.35}.bars .bad{background:var(--bad)}\
.ok{color:var(--ok)}.down{color:var(--bad)}small{opacity:.75}\
dl{display:flex;gap:2rem;margin:0}dt{opacity:.75}dd{margin:0;font-weight:600}\
@media(prefers-color-scheme:dark){:root{--ok:#4ade80;--bad:#f87171;--line:#334155}\
body{background:#0b1016;color:#e2e8f0}}";

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
        "operational" => "Everything works",
        "degraded" => "Something is not working",
        _ => "Nothing is working",
    };
    let mut out = String::with_capacity(16 << 10);
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"60\"><title>Status: {headline}</title>\
         <style>{STYLE}</style></head><body><h1>{headline}</h1><small>As of {} · read again every minute</small>",
        summary.at
    );
    for component in &summary.components {
        let (class, word) =
            if component.status == "operational" { ("ok", "Operational") } else { ("down", "Down") };
        let uptime =
            component.uptime_30d.map_or("no data yet".to_owned(), |u| format!("{u:.2} % over 30 days"));
        let _ = write!(
            out,
            "<section class=\"part\"><div class=\"head\"><span>{}</span><span class=\"{class}\">{word}</span></div>\
             <small>{uptime}</small><div class=\"bars\" role=\"img\" aria-label=\"{uptime}\">",
            title(component.name)
        );
        component.days.iter().for_each(|day| bar(day, &mut out));
        out.push_str("</div></section>");
    }
    let _ = write!(
        out,
        "<h2>Last minute</h2><dl><div><dt>Redirects</dt><dd>{}</dd></div><div><dt>Median</dt><dd>{} µs</dd></div>\
         <div><dt>99 %</dt><dd>{} µs</dd></div></dl><h2>Incidents</h2>",
        summary.redirects_per_minute, summary.redirect_latency_us.p50, summary.redirect_latency_us.p99
    );
    if summary.incidents.is_empty() {
        out.push_str("<p>None in the last 30 days.</p>");
    } else {
        out.push_str("<ul>");
        for incident in &summary.incidents {
            let until = incident.ended_at.map_or("still going on".to_owned(), |at| format!("until {at}"));
            let name = title(incident.component.as_str());
            let _ = write!(out, "<li>{name}: down from {}, {until}</li>", incident.began_at);
        }
        out.push_str("</ul>");
    }
    out.push_str("</body></html>");
    out
}

fn bar(day: &DaySummary, out: &mut String) {
    let (class, words) = match day.uptime {
        None => (" class=\"none\"", "no data".to_owned()),
        Some(uptime) if uptime < 99.9 => (" class=\"bad\"", format!("{uptime:.2} %")),
        Some(uptime) => ("", format!("{uptime:.2} %")),
    };
    let _ = write!(out, "<span{class} title=\"{}: {words}\"></span>", day.date);
}
