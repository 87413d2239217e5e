//! `GET /v1/partners/{id}/statements` and `/statements/{month}` as JSON, as a table (`?format=csv`) or as a
//! page to print (`?format=html`). A partner's key sees that partner's.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use weir_edge::html::Escaped;
use weir_edge::request::Context;
use weir_edge::response::{Response, typed, with};
use weir_schemas::csv;
use weir_schemas::ids::{PartnerId, WorkspaceId};
use weir_schemas::money::Money;
use weir_schemas::problem::Problem;
use weir_schemas::statement::Statement;
use weir_schemas::time::Timestamp;

use super::{Management, found, links, ok, page_of_all, value};

/// The partner asked for, where the key may see it, with its name.
async fn visible(
    context: &Context,
    management: &Management,
) -> Result<(WorkspaceId, PartnerId, String), Problem> {
    let (principal, own) = links::reader(context)?;
    let id: PartnerId = context.id("id", "partner")?;
    let workspace = principal.workspace;
    let partner = management.read(move |books| books.partner(workspace, id)).await?;
    let (partner, _) = found(partner.filter(|_| own.is_none_or(|own| own == id)), "partner")?;
    Ok((workspace, id, partner.spec.name))
}

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (workspace, id, _) = visible(&context, &management).await?;
    let data = management.read(move |books| books.statements(workspace, id)).await?;
    page_of_all(&context, data)
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (workspace, id, name) = visible(&context, &management).await?;
    let month = context.param("month").to_owned();
    let span = span_of(&month).ok_or_else(|| Problem::field("month", "must be such as 2026-11"))?;
    let format = value(&context, "format").unwrap_or_else(|| "json".to_owned());
    if !["json", "csv", "html"].contains(&format.as_str()) {
        return Err(Problem::field("format", "must be json, csv or html"));
    }
    let read = {
        let month = month.clone();
        management.read(move |books| books.statement(workspace, id, &month, span))
    };
    let statements = read.await?;
    Ok(match format.as_str() {
        "csv" => {
            let file = format!("attachment; filename=\"statement-{month}.csv\"");
            let response = typed(StatusCode::OK, "text/csv; charset=utf-8", table(&statements));
            let file = HeaderValue::from_str(&file).expect("a month is ASCII");
            with(response, header::CONTENT_DISPOSITION, file)
        }
        "html" => {
            let response =
                typed(StatusCode::OK, "text/html; charset=utf-8", page(&name, id, &month, &statements));
            let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
            with(response, header::CONTENT_SECURITY_POLICY, policy)
        }
        _ => ok(&json!({"partner_id": id, "partner": name, "month": month, "currencies": statements})),
    })
}

/// `2026-11` as its beginning and its end.
fn span_of(month: &str) -> Option<(Timestamp, Timestamp)> {
    // Digits alone: numbers are read with a sign before them, too.
    let is_shaped = |(n, byte): (usize, u8)| if n == 4 { byte == b'-' } else { byte.is_ascii_digit() };
    if month.len() != 7 || !month.bytes().enumerate().all(is_shaped) {
        return None;
    }
    let (year, number): (i32, u32) = (month.get(..4)?.parse().ok()?, month.get(5..)?.parse().ok()?);
    if !(1970..=9998).contains(&year) || !(1..=12).contains(&number) {
        return None;
    }
    let (next_year, next) = if number == 12 { (year + 1, 1) } else { (year, number + 1) };
    let first =
        |year: i32, number: u32| Timestamp::parse(&format!("{year:04}-{number:02}-01T00:00:00Z")).ok();
    Some((first(year, number)?, first(next_year, next)?))
}

fn table(statements: &[Statement]) -> String {
    let mut text = String::from("date,type,order,commission,payout,amount,balance,currency\r\n");
    for Statement { sums, lines, .. } in statements {
        let mut row = |cells: [String; 8]| {
            // A number is no formula, also where it is negative.
            let is_number = |cell: &str| cell.parse::<f64>().is_ok();
            let cell =
                |cell: &String| if is_number(cell) { cell.clone() } else { csv::guarded(cell).into_owned() };
            let cells = cells.each_ref().map(cell);
            csv::write(&mut text, cells.iter().map(String::as_str));
        };
        let none = String::new;
        let code = sums.currency.to_string();
        let number = Money::decimal;
        row([none(), "opening".into(), none(), none(), none(), none(), number(sums.opening), code.clone()]);
        for line in lines {
            row([
                line.at.to_string(),
                line.what.clone(),
                line.order_id.clone().unwrap_or_default(),
                line.commission_id.map(|id| id.to_string()).unwrap_or_default(),
                line.payout_id.map(|id| id.to_string()).unwrap_or_default(),
                number(line.amount),
                number(line.balance),
                code.clone(),
            ]);
        }
        row([none(), "closing".into(), none(), none(), none(), none(), number(sums.closing), code.clone()]);
    }
    text
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#111;max-width:48rem;margin:2rem auto;padding:0 1rem}\
    table{width:100%;border-collapse:collapse;margin:1rem 0 2rem;font-variant-numeric:tabular-nums}\
    th,td{text-align:left;padding:.3rem .5rem;border-bottom:1px solid #ddd}.n{text-align:right}\
    tfoot td,tfoot th{border-top:2px solid #111;font-weight:600}@media print{body{margin:0}tr{break-inside:avoid}}";

fn page(name: &str, id: PartnerId, month: &str, statements: &[Statement]) -> String {
    let name = Escaped(name);
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Statement {month}, {name}</title>\
         <style>{STYLE}</style></head><body><h1>Statement {month}</h1><p>{name}<br>{id}</p>"
    );
    if statements.is_empty() {
        html.push_str("<p>Nothing was earned or paid.</p>");
    }
    for Statement { sums, lines, .. } in statements {
        let code = sums.currency;
        html.push_str(&format!(
            "<h2>{code}</h2><table><thead><tr><th>Date</th><th>What</th><th>Order or payout</th>\
             <th class=\"n\">Amount</th><th class=\"n\">Balance</th></tr></thead><tbody>\
             <tr><td></td><td>Opening balance</td><td></td><td></td><td class=\"n\">{}</td></tr>",
            sums.opening.decimal()
        ));
        for line in lines {
            let of = line.order_id.clone().or_else(|| line.payout_id.map(|id| id.to_string()));
            html.push_str(&format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                &line.at.to_string()[..10],
                words(&line.what),
                Escaped(&of.unwrap_or_default()),
                line.amount.decimal(),
                line.balance.decimal()
            ));
        }
        html.push_str("</tbody><tfoot>");
        for (what, money) in [
            ("Earned", sums.earned),
            ("Reversed", sums.reversed),
            ("Paid", sums.paid),
            ("Closing balance", sums.closing),
        ] {
            let amount = money.decimal();
            html.push_str(&format!("<tr><th colspan=\"4\">{what}</th><td class=\"n\">{amount}</td></tr>"));
        }
        html.push_str("</tfoot></table>");
    }
    html.push_str("</body></html>");
    html
}

fn words(what: &str) -> &str {
    match what {
        "commission" => "Commission",
        "referral" => "Referral",
        "bonus" => "Bonus",
        "reversal" => "Reversal",
        "restoration" => "Restored",
        "payout_paid" => "Payout",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_read_strictly() {
        let span = |month: &str| span_of(month).map(|(from, until)| (from.to_string(), until.to_string()));
        let december = ("2026-12-01T00:00:00.000Z".to_owned(), "2027-01-01T00:00:00.000Z".to_owned());
        assert_eq!(span("2026-12"), Some(december));
        for bad in ["2026-13", "2026-00", "2026-1", "202611", "2026-+1", "abcd-ef", "2026/11", "", "２０２６"]
        {
            assert_eq!(span(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_are_text_on_the_page() {
        let html = page("<b>Ada & Co</b>", PartnerId(1), "2026-11", &[]);
        assert!(html.contains("&lt;b&gt;Ada &amp; Co&lt;/b&gt;") && !html.contains("<b>"), "{html}");
    }
}
