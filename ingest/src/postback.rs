//! `GET` and `POST /postback`: an affiliate network tells of a transaction, from server to server. The token says whose
//! it is and how the network's names are to be read; the answer comes once the books have applied it, so that a network
//! that asks wrongly is told why (4xx) and one that repeats itself is told the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde_json::Value;
use weir_edge::limit::Limiter;
use weir_edge::problem::{self, unavailable};
use weir_edge::request::{Context, JSON_MAX, pairs};
use weir_edge::response::{Response, json as json_response};
use weir_edge::route::Router;
use weir_engine::books::Books;
use weir_engine::postback_tokens::PostbackToken;
use weir_schemas::fact::{Actor, ClickClaim, Fact, Recorded};
use weir_schemas::ids::{ClickId, ConversionId};
use weir_schemas::money::{AMOUNT_MAX, Currency, Money};
use weir_schemas::postback::PostbackStatus;
use weir_schemas::problem::{FieldError, Problem};
use weir_schemas::time::{MINUTE_MS, Timestamp};

use crate::commands::{Claims, NewIds, not_recorded};
use crate::providers::decimal_amount;

/// Longest value of a parameter, in bytes.
const VALUE_MAX: usize = 255;
/// Longest name of an event, in bytes.
const EVENT_MAX: usize = 64;
/// How far a network's clock may be ahead of ours.
const AHEAD_MAX_MS: i64 = 5 * MINUTE_MS;
/// How long the books may take to answer.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// What postbacks need.
#[derive(Debug)]
pub struct Postbacks {
    /// Where they are journaled, and the tokens.
    pub books: Books,
    /// Gives ids.
    pub ids: Arc<NewIds>,
    /// Resolves clicks.
    pub claims: Arc<Claims>,
    /// How often one token may be used.
    pub limiter: Arc<Limiter>,
}

/// The routes on the public listener.
pub fn routes(postbacks: &Arc<Postbacks>) -> Router {
    let [get, post] = std::array::from_fn(|_| Arc::clone(postbacks));
    Router::new().route(Method::GET, "/postback", move |context| receive(context, Arc::clone(&get))).route(
        Method::POST,
        "/postback",
        move |context| receive(context, Arc::clone(&post)),
    )
}

async fn receive(mut context: Context, postbacks: Arc<Postbacks>) -> Result<Response, Problem> {
    let refused = |reason: &'static str, problem: Problem| {
        metrics::counter!("weir_postbacks_refused_total", "reason" => reason).increment(1);
        problem
    };
    let now = Timestamp::now();
    let given = parameters(&mut context).await.map_err(|problem| refused("unreadable", problem))?;
    let bearer = context.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let secret = given.get("token").map(String::as_str).or(bearer).unwrap_or_default();
    if secret.is_empty() {
        let detail = "Send the postback token as the parameter `token`.";
        return Err(refused("no_token", problem::unauthenticated(detail)));
    }
    let Some(token) = postbacks.books.postbacks().find(secret, now) else {
        return Err(refused("unknown_token", problem::unauthenticated("The postback token is not valid.")));
    };
    if !token.allow.is_empty() && !token.allow.iter().any(|range| range.contains(context.address)) {
        let detail = format!("This token is not used from {}.", context.address);
        return Err(refused("address", problem::forbidden(detail)));
    }
    let allowance = match postbacks.limiter.check(token.id.0) {
        Ok(allowance) => allowance,
        Err(exceeded) => {
            metrics::counter!("weir_postbacks_refused_total", "reason" => "rate_limited").increment(1);
            return Ok(exceeded.response(&context.request_id));
        }
    };
    let postback = Postback::read(&token, &given, now).map_err(|problem| refused("invalid", problem))?;
    let mut response = postbacks.book(&token, postback, now).await.map_err(|problem| {
        let reason = if problem.status < 500 { "contradiction" } else { "storage" };
        refused(reason, problem)
    })?;
    metrics::counter!("weir_postbacks_received_total").increment(1);
    allowance.write(&mut response);
    Ok(response)
}

/// The parameters of the query string and of the body, a form or a flat JSON object; the first of a name counts.
async fn parameters(context: &mut Context) -> Result<HashMap<String, String>, Problem> {
    let mut given: HashMap<String, String> = HashMap::new();
    for (name, value) in pairs(context.query_string()) {
        given.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    let body = context.body(JSON_MAX).await?;
    if body.is_empty() {
        return Ok(given);
    }
    if context.header(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.contains("json")) {
        let Value::Object(members) = context.any_json(JSON_MAX).await? else {
            return Err(Problem::field("body", "must be a JSON object"));
        };
        for (name, value) in members {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                _ => return Err(Problem::field(name, "must be a text or a number")),
            };
            given.entry(name).or_insert(text);
        }
    } else {
        let form = std::str::from_utf8(&body).map_err(|_| problem::malformed("The form is not UTF-8."))?;
        for (name, value) in pairs(form) {
            given.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
    }
    Ok(given)
}

fn wrong(field: &str, detail: impl Into<String>) -> FieldError {
    FieldError { field: field.to_owned(), detail: detail.into() }
}

/// What a postback says, in our words.
#[derive(Debug, Clone, PartialEq)]
struct Postback {
    txid: Option<String>,
    status: PostbackStatus,
    event: String,
    payout: Option<Money>,
    currency: Currency,
    refund_id: Option<String>,
    customer: Option<String>,
    coupon: Option<String>,
    partner_code: Option<String>,
    /// A token, a click's id, or nothing.
    click: Option<Result<ClickId, String>>,
    occurred_at: Option<Timestamp>,
}

impl Postback {
    fn read(token: &PostbackToken, given: &HashMap<String, String>, now: Timestamp) -> Result<Self, Problem> {
        let settings = &token.settings;
        let mut errors: Vec<FieldError> = Vec::new();
        let mut values: HashMap<&str, &str> = HashMap::new();
        for (name, value) in given {
            // A macro that the network did not fill is as good as none.
            let unfilled = value.starts_with('{') && value.ends_with('}');
            if value.trim().is_empty() || unfilled {
                continue;
            }
            match settings.parameters.get(name) {
                Some(ours) => _ = values.insert(ours, value),
                // A name of ours that the network uses for something else is not ours.
                None => _ = values.entry(name).or_insert(value),
            }
        }
        let mut take = |name: &'static str, max: usize| -> Option<String> {
            let value = values.get(name)?.trim();
            if value.len() > max {
                errors.push(wrong(name, format!("is longer than {max} bytes")));
                return None;
            }
            Some(value.to_owned())
        };
        let (txid, refund_id) = (take("txid", VALUE_MAX), take("refund_id", VALUE_MAX));
        let (event, status) = (take("event", EVENT_MAX), take("status", VALUE_MAX));
        let (payout, currency) = (take("payout", VALUE_MAX), take("currency", VALUE_MAX));
        let (customer, occurred_at) = (take("customer_id", VALUE_MAX), take("occurred_at", VALUE_MAX));
        let (coupon, partner_code) = (take("coupon", VALUE_MAX), take("partner_code", VALUE_MAX));
        let click = take("wclid", VALUE_MAX).or(take("click_id", VALUE_MAX));
        let status = match status {
            // Without a status money means a sale.
            None if payout.is_some() => PostbackStatus::Sale,
            None => PostbackStatus::Lead,
            Some(word) => {
                let ours = settings.statuses.get(&word).cloned().unwrap_or_else(|| word.to_ascii_lowercase());
                PostbackStatus::from_name(&ours).unwrap_or_else(|| {
                    let names: Vec<&str> = PostbackStatus::ALL.iter().map(|(name, _)| *name).collect();
                    let what = format!("`{word}` is none of: {}", names.join(", "));
                    errors.push(wrong("status", what));
                    PostbackStatus::Lead
                })
            }
        };
        let currency = match currency.map(|code| code.parse::<Currency>()).transpose() {
            Ok(currency) => currency.unwrap_or(token.currency),
            Err(error) => {
                errors.push(wrong("currency", format!("is {error}")));
                token.currency
            }
        };
        let payout = payout.and_then(|text| match decimal_amount(&text, currency) {
            Ok(amount) if amount.amount <= AMOUNT_MAX => Some(amount),
            Ok(_) => {
                errors.push(wrong("payout", "is out of range"));
                None
            }
            Err(why) => {
                errors.push(wrong("payout", why));
                None
            }
        });
        let occurred_at = occurred_at.and_then(|text| {
            let seconds =
                text.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000)).map(Timestamp);
            let at = seconds.or_else(|| Timestamp::parse(&text).ok());
            let possible = at.filter(|at| at.0 >= 0 && at.0 <= now.0.saturating_add(AHEAD_MAX_MS));
            if possible.is_none() {
                let what = "must be Unix seconds or an RFC 3339 time, and not in the future";
                errors.push(wrong("occurred_at", what));
            }
            possible
        });
        let event = event.unwrap_or_else(|| match status {
            PostbackStatus::Lead => "lead".to_owned(),
            _ => "sale".to_owned(),
        });
        if matches!(event.as_str(), "refund" | "chargeback") {
            errors.push(wrong("event", "is a status: send status=refunded"));
        }
        if status != PostbackStatus::Lead && event == "lead" {
            errors.push(wrong("event", "is a lead, which status=lead tells"));
        }
        if txid.is_none() && click.is_none() {
            errors.push(wrong("click_id", "or `txid` is required"));
        }
        if !errors.is_empty() {
            return Err(Problem::fields(errors));
        }
        let txid = match (&settings.network, txid) {
            (Some(network), Some(txid)) => Some(format!("{network}:{txid}")),
            (_, txid) => txid,
        };
        let click = click.map(|text| text.parse::<ClickId>().map_err(|_| text));
        Ok(Self {
            txid,
            status,
            event,
            payout,
            currency,
            refund_id,
            customer,
            coupon,
            partner_code,
            click,
            occurred_at,
        })
    }
}

impl Postbacks {
    async fn book(&self, token: &PostbackToken, new: Postback, now: Timestamp) -> Result<Response, Problem> {
        let click = match &new.click {
            None => ClickClaim::None,
            Some(Ok(id)) => self.claims.resolve(token.workspace, None, Some(*id), now).await,
            Some(Err(text)) => self.claims.by_token(token.workspace, text, now).await,
        };
        if let ClickClaim::Refused { reason } = &click {
            // Whoever reports a click that is none has another mistake than money can mend.
            return Err(Problem::field("click_id", format!("is no click of this workspace: {reason}")));
        }
        let fact = Fact::Postback {
            token: token.id,
            id: ConversionId(self.ids.next(now)),
            txid: new.txid,
            status: new.status,
            event: new.event,
            payout: new.payout,
            currency: new.currency,
            refund_id: new.refund_id,
            customer: new.customer,
            coupon: new.coupon,
            partner_code: new.partner_code,
            click,
            occurred_at: new.occurred_at,
        };
        let recorded =
            Recorded { at: now, workspace: token.workspace, actor: Actor::System, request: None, fact };
        let submitted = tokio::time::timeout(SUBMIT_TIMEOUT, self.books.submit(recorded)).await;
        let slow = || unavailable("outcome_unknown", "The books have not answered in time. Send it again.");
        let outcome = submitted.map_err(|_| slow())?.map_err(|error| not_recorded(&error))?;
        match outcome.problem() {
            Some(problem) => Err(problem),
            None => Ok(json_response(StatusCode::OK, &*outcome.body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_schemas::ids::{PostbackTokenId, WorkspaceId};
    use weir_schemas::postback::PostbackSettings;

    use super::*;

    const NOW: Timestamp = Timestamp(1_793_491_200_000);

    fn token(settings: Value) -> PostbackToken {
        let settings: PostbackSettings = serde_json::from_value(settings).unwrap();
        PostbackToken {
            id: PostbackTokenId(1),
            workspace: WorkspaceId(1),
            allow: Vec::new(),
            currency: settings.currency.unwrap_or(Currency::EUR),
            settings,
        }
    }

    fn read(settings: Value, query: &str) -> Result<Postback, Vec<String>> {
        let given = pairs(query).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        Postback::read(&token(settings), &given, NOW)
            .map_err(|problem| problem.errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn payouts_are_exact_decimals() {
        let payout = |query: &str| read(serde_json::json!({}), query);
        let sale = payout("click_id=abc&txid=1&payout=12.34&currency=usd").unwrap();
        assert_eq!(sale.payout.unwrap(), Money { amount: 1_234, currency: Currency::USD });
        assert_eq!((sale.status, sale.event.as_str()), (PostbackStatus::Sale, "sale"));
        assert_eq!(payout("txid=1&payout=0.1").unwrap().payout.unwrap().amount, 10);
        assert_eq!(payout("txid=1&payout=500&currency=JPY").unwrap().payout.unwrap().amount, 500);
        assert_eq!(payout("txid=1&payout=1.234&currency=KWD").unwrap().payout.unwrap().amount, 1_234);
        for wrong in ["1.005", "1,50", "-1", "1e3", "NaN", "", "99999999999999999"] {
            let read = payout(&format!("txid=1&status=sale&payout={wrong}"));
            let fields = read
                .map_or_else(|fields| fields, |read| read.payout.map_or(vec!["payout".into()], |_| vec![]));
            assert_eq!(fields, ["payout"], "{wrong}");
        }
    }

    #[test]
    fn a_networks_names_are_read_as_it_means_them() {
        let acme = serde_json::json!({"network": "acme", "parameters": {"aff_sub": "click_id", "tid": "txid", "sum": "payout"},
            "statuses": {"OK": "approved", "declined": "rejected"}, "currency": "USD"});
        let sale = read(acme.clone(), "aff_sub=tok&tid=9&sum=5.00&status=OK&txid=other").unwrap();
        assert_eq!((sale.txid.as_deref(), sale.status), (Some("acme:9"), PostbackStatus::Approved));
        assert_eq!(sale.click, Some(Err("tok".to_owned())));
        assert_eq!(sale.payout.unwrap().currency, Currency::USD);
        assert_eq!(read(acme.clone(), "tid=9&status=declined").unwrap().status, PostbackStatus::Rejected);
        let coupons = serde_json::json!({"parameters": {"promo": "coupon", "aff": "partner_code"}});
        let named = read(coupons, "txid=9&payout=1&promo=SPRING&aff=ada").unwrap();
        assert_eq!((named.coupon.as_deref(), named.partner_code.as_deref()), (Some("SPRING"), Some("ada")));
        let unfilled = read(acme, "aff_sub={aff_sub}&tid=9&status=lead").unwrap();
        assert_eq!((unfilled.click, unfilled.event.as_str()), (None, "lead"));
    }

    #[test]
    fn every_bad_parameter_is_named() {
        let fields = |query: &str| read(serde_json::json!({}), query).unwrap_err();
        assert_eq!(fields("status=sale&payout=1"), ["click_id"]);
        assert_eq!(fields("txid=1&status=maybe"), ["status"]);
        assert_eq!(fields("txid=1&payout=1&currency=XYZ"), ["currency"]);
        assert_eq!(fields("txid=1&payout=1&occurred_at=2999-01-01T00:00:00Z"), ["occurred_at"]);
        assert_eq!(fields(&format!("txid={}&payout=1", "x".repeat(300)))[0], "txid");
    }

    proptest! {
        #[test]
        fn nothing_panics(query in "\\PC*") {
            _ = read(serde_json::json!({"parameters": {"a": "txid"}}), &query);
        }
    }
}
