//! `GET /v1/payouts`, `GET /v1/payouts/{id}` of a payout or a batch, and its `/csv` for a bank, PayPal or Wise. A
//! partner's key sees that partner's payouts.
//!
//! A file holds what is still to be paid by this way: a payout stands in one of the three and in no file any more
//! once it was paid, so that nobody is paid twice by files. The columns are those that PayPal's Payouts Web takes (no
//! header, one currency) and those of Wise's batch templates, by mail address and with an IBAN.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use weir_edge::request::Context;
use weir_edge::response::{Response, typed};
use weir_engine::books::{PayoutFilter, open_partner};
use weir_schemas::csv;
use weir_schemas::fact::Role;
use weir_schemas::ids::{PartnerId, PayoutId};
use weir_schemas::partner::{PayoutKind, PayoutMethod};
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
    let named = match value(&context, "format").as_deref() {
        None => None,
        Some("bank") => Some(PayoutKind::Bank),
        Some("paypal") => Some(PayoutKind::Paypal),
        Some("wise") => Some(PayoutKind::Wise),
        Some(_) => return Err(Problem::field("format", "must be bank, paypal or wise")),
    };
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
    let (mut payouts, owners) = read.await?;
    if payouts.is_empty() {
        return Err(Problem::not_found("payout"));
    }
    payouts.retain(|payout| matches!(payout.status, PayoutStatus::Pending | PayoutStatus::Processing));
    if let Some(currency) = value(&context, "currency") {
        payouts.retain(|payout| payout.amount.currency.as_str() == currency);
    }
    let lines: Vec<Line<'_>> = payouts
        .iter()
        .filter_map(|payout| {
            let (name, email, method) = owners.get(&payout.partner_id)?;
            Some(Line { payout, name, email: email.as_deref(), method: method.as_ref() })
        })
        // Without a format, all of them for a person to look at; in a file to pay by nothing stands twice.
        .filter(|line| named.is_none_or(|way| line.way() == way))
        .collect();
    let way = named.unwrap_or(PayoutKind::Bank);
    let one_currency = lines.windows(2).all(|pair| pair[0].currency() == pair[1].currency());
    if way == PayoutKind::Paypal && !one_currency {
        return Err(Problem::field("currency", "is required: PayPal takes one currency in a file"));
    }
    let mut text = String::new();
    for cells in table(way, &lines) {
        let cells: Vec<_> = cells.iter().map(|cell| csv::guarded(cell)).collect();
        csv::write(&mut text, cells.iter().map(|cell| &**cell));
    }
    Ok(typed(StatusCode::OK, "text/csv; charset=utf-8", Bytes::from(text)))
}

/// A payout and to whom it goes.
struct Line<'a> {
    payout: &'a Payout,
    name: &'a str,
    email: Option<&'a str>,
    method: Option<&'a PayoutMethod>,
}

impl Line<'_> {
    /// The one way by which it is paid: the partner's own, else by mail address, else by hand.
    fn way(&self) -> PayoutKind {
        match (self.method, self.email) {
            (Some(method), _) => method.kind,
            (None, Some(_)) => PayoutKind::Paypal,
            (None, None) => PayoutKind::Bank,
        }
    }

    fn currency(&self) -> String {
        self.payout.amount.currency.to_string()
    }

    fn id(&self) -> String {
        self.payout.id.map(|id| id.to_string()).unwrap_or_default()
    }

    fn account(&self) -> &str {
        self.method.map_or("", |method| &method.account)
    }

    fn holder(&self) -> String {
        self.method.and_then(|method| method.holder.as_deref()).unwrap_or(self.name).to_owned()
    }

    fn mail(&self) -> String {
        let account = self.account();
        let mail = if account.contains('@') { account } else { self.email.unwrap_or_default() };
        mail.to_owned()
    }

    /// An account number that is none of a mail address, without its spaces.
    fn iban(&self) -> String {
        if self.account().contains('@') { String::new() } else { self.account().replace(' ', "") }
    }
}

/// The rows of a file, the header among them where it has one.
fn table(way: PayoutKind, lines: &[Line<'_>]) -> Vec<Vec<String>> {
    let header = |names: &str| names.split(',').map(str::to_owned).collect::<Vec<_>>();
    let amount = |line: &Line<'_>| line.payout.amount.decimal();
    let mut rows = Vec::with_capacity(lines.len() + 1);
    match way {
        PayoutKind::Paypal => rows.extend(lines.iter().map(|line| {
            let note = format!("Payout to {}", line.name);
            let recipient = if line.mail().is_empty() { line.account().to_owned() } else { line.mail() };
            vec![recipient, amount(line), line.currency(), line.id(), note, "PAYPAL".to_owned()]
        })),
        PayoutKind::Wise => {
            let with_iban = lines.iter().any(|line| !line.iban().is_empty());
            let columns = "name,recipientEmail,paymentReference,receiverType,amountCurrency,amount,sourceCurrency,\
                           targetCurrency";
            rows.push(header(&if with_iban { format!("{columns},IBAN") } else { columns.to_owned() }));
            rows.extend(lines.iter().map(|line| {
                let (person, target) = ("PERSON".to_owned(), "target".to_owned());
                let mut cells = vec![line.holder(), line.mail(), line.id(), person, target, amount(line)];
                cells.extend([line.currency(), line.currency()]);
                cells.extend(with_iban.then(|| line.iban()));
                cells
            }));
        }
        PayoutKind::Bank => {
            rows.push(header("payout,name,account,bic,amount,currency,reference"));
            rows.extend(lines.iter().map(|line| {
                let bic = line.method.and_then(|method| method.bic.clone()).unwrap_or_default();
                let account = line.account().to_owned();
                vec![line.id(), line.holder(), account, bic, amount(line), line.currency(), line.id()]
            }));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use weir_schemas::money::Money;

    use super::*;

    fn payout(id: u64, amount: i64, code: &str) -> Payout {
        let (partner, money) = (PartnerId(id), Money { amount, currency: code.parse().unwrap() });
        Payout {
            id: Some(PayoutId(id)),
            batch_id: None,
            partner_id: partner,
            status: PayoutStatus::Pending,
            amount: money,
            commissions: 1,
            reference: None,
            reason: None,
            created_at: None,
            updated_at: None,
        }
    }

    fn method(kind: PayoutKind, account: &str) -> PayoutMethod {
        PayoutMethod { kind, account: account.to_owned(), holder: None, bic: None }
    }

    #[test]
    fn a_payout_stands_in_one_file_in_the_columns_that_its_reader_takes() {
        let (one, two) = (payout(1, 12_345, "USD"), payout(2, 500, "JPY"));
        let wise = method(PayoutKind::Wise, "DE89 3704 0044 0532 0130 00");
        let line = |payout, email, method| Line { payout, name: "Ada", email, method };
        let by_mail = line(&one, Some("ada@example.com"), None);
        assert_eq!(by_mail.way(), PayoutKind::Paypal);
        let cells = table(PayoutKind::Paypal, &[by_mail]);
        assert_eq!(
            cells[0].join(","),
            format!("ada@example.com,123.45,USD,{},Payout to Ada,PAYPAL", PayoutId(1))
        );
        let to_account = line(&two, Some("ada@example.com"), Some(&wise));
        assert_eq!(to_account.way(), PayoutKind::Wise);
        let cells = table(PayoutKind::Wise, &[to_account]);
        assert_eq!(
            cells[0].join(","),
            "name,recipientEmail,paymentReference,receiverType,amountCurrency,amount,sourceCurrency,targetCurrency,IBAN"
        );
        let id = PayoutId(2);
        let expected = format!("Ada,ada@example.com,{id},PERSON,target,500,JPY,JPY,DE89370400440532013000");
        assert_eq!(cells[1].join(","), expected);
        let unknown = line(&one, None, None);
        assert_eq!(unknown.way(), PayoutKind::Bank);
        assert_eq!(table(PayoutKind::Bank, &[unknown])[1][1..6].join(","), "Ada,,,123.45,USD");
    }

    #[test]
    fn amounts_have_their_currencys_digits() {
        let money = |amount, code: &str| Money { amount, currency: code.parse().unwrap() };
        assert_eq!(money(12_345, "USD").decimal(), "123.45");
        assert_eq!(money(5, "USD").decimal(), "0.05");
        assert_eq!(money(500, "JPY").decimal(), "500");
        assert_eq!(money(1_234, "KWD").decimal(), "1.234");
    }
}
