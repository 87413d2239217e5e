//! `GET /v1/payouts`, `GET /v1/payouts/{id}` of a payout or a batch, and its `/csv` for a bank, PayPal or Wise. A
//! partner's key sees that partner's payouts.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use weir_edge::request::Context;
use weir_edge::response::{Response, typed};
use weir_engine::books::{PayoutFilter, open_partner};
use weir_schemas::fact::Role;
use weir_schemas::ids::{PartnerId, PayoutId};
use weir_schemas::partner::PayoutMethod;
use weir_schemas::payout::{Payout, PayoutStatus};
use weir_schemas::problem::Problem;

use super::{Management, found, id_of, links, ok, own_partner, page_of, value};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let of = page_of(&context)?;
    let status = match value(&context, "status") {
        None => None,
        Some(name) => Some(PayoutStatus::from_name(&name).ok_or_else(|| {
            Problem::field("status", "must be pending, processing, paid, failed or cancelled")
        })?),
    };
    let filter =
        PayoutFilter { partner: own_partner(&context, own)?, batch: id_of(&context, "batch_id")?, status };
    let workspace = principal.workspace;
    let page = management.read(move |books| books.payouts(workspace, &filter, &of)).await?;
    Ok(ok(&page))
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let id: PayoutId = context.id("id", "payout")?;
    let workspace = principal.workspace;
    let payout = management.read(move |books| books.payout(workspace, id)).await?;
    if let Some(payout) = payout {
        let visible = own.is_none_or(|own| own == payout.partner_id);
        return Ok(ok(&found(visible.then_some(payout), "payout")?));
    }
    let batch = management.read(move |books| books.payout_batch(workspace, id)).await?;
    Ok(ok(&found(batch.filter(|_| own.is_none()), "payout")?))
}

/// Accounts in clear: for those who may pay.
pub(super) async fn csv(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(&[Role::Admin])?.workspace;
    let id: PayoutId = context.id("id", "payout")?;
    let format = value(&context, "format").unwrap_or_else(|| "bank".to_owned());
    if !["bank", "paypal", "wise"].contains(&format.as_str()) {
        return Err(Problem::field("format", "must be bank, paypal or wise"));
    }
    type Owner = (String, Option<String>, Option<PayoutMethod>);
    let keyring = Arc::clone(&management.keyring);
    let read = management.read(move |books| {
        let payouts = match books.payout(workspace, id)? {
            Some(payout) => vec![payout],
            None => books.payout_batch(workspace, id)?.map(|batch| batch.data).unwrap_or_default(),
        };
        let mut owners: BTreeMap<PartnerId, Owner> = BTreeMap::new();
        for payout in &payouts {
            if let Some((partner, sealed)) = books.partner(workspace, payout.partner_id)? {
                let private = open_partner(&keyring, sealed.as_ref());
                owners.insert(payout.partner_id, (partner.spec.name, private.email, private.payout_method));
            }
        }
        Ok((payouts, owners))
    });
    let (payouts, owners) = read.await?;
    if payouts.is_empty() {
        return Err(Problem::not_found("payout"));
    }
    let mut text = String::from(match format.as_str() {
        "paypal" => "email,amount,currency,reference,note\r\n",
        "wise" => "name,recipientEmail,paymentReference,amountCurrency,amount,targetCurrency\r\n",
        _ => "payout,name,account,bic,amount,currency,reference\r\n",
    });
    for payout in payouts.iter().filter(|payout| payout.status != PayoutStatus::Cancelled) {
        if let Some((name, email, method)) = owners.get(&payout.partner_id) {
            let line = line(&format, payout, name, email.as_deref(), method.as_ref());
            text.push_str(&line.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(","));
            text.push_str("\r\n");
        }
    }
    Ok(typed(StatusCode::OK, "text/csv; charset=utf-8", Bytes::from(text)))
}

fn line(
    format: &str,
    payout: &Payout,
    name: &str,
    email: Option<&str>,
    method: Option<&PayoutMethod>,
) -> Vec<String> {
    let id = payout.id.map(|id| id.to_string()).unwrap_or_default();
    let (amount, currency) = (payout.amount.decimal(), payout.amount.currency.to_string());
    let account = method.map(|method| method.account.clone());
    let holder = method.and_then(|method| method.holder.clone()).unwrap_or_else(|| name.to_owned());
    let mail = account.clone().filter(|account| account.contains('@')).or(email.map(str::to_owned));
    match format {
        "paypal" => vec![mail.unwrap_or_default(), amount, currency, id, format!("Payout to {name}")],
        "wise" => vec![holder, mail.unwrap_or_default(), id, "source".to_owned(), amount, currency],
        _ => {
            let bic = method.and_then(|method| method.bic.clone()).unwrap_or_default();
            vec![id.clone(), holder, account.unwrap_or_default(), bic, amount, currency, id]
        }
    }
}

/// A cell that no spreadsheet takes for a formula (OWASP, CSV injection).
pub(super) fn quoted(cell: &str) -> String {
    let safe =
        if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() };
    if safe.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

#[cfg(test)]
mod tests {
    use weir_schemas::money::Money;

    use super::*;

    #[test]
    fn amounts_have_their_currencys_digits_and_cells_are_safe() {
        let money = |amount, code: &str| Money { amount, currency: code.parse().unwrap() };
        assert_eq!(money(12_345, "USD").decimal(), "123.45");
        assert_eq!(money(5, "USD").decimal(), "0.05");
        assert_eq!(money(500, "JPY").decimal(), "500");
        assert_eq!(money(1_234, "KWD").decimal(), "1.234");
        assert_eq!(quoted("=1+1"), "'=1+1");
        assert_eq!(quoted("Ada \"A\", L."), "\"Ada \"\"A\"\", L.\"");
    }
}
