//! `POST /v1/conversions`, `POST /v1/refunds`: what a shop's own server reports.

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value};
use weir_edge::problem::unavailable;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::books::{Outcome, ReadError};
use weir_engine::keys::Principal;
use weir_schemas::conversion::{NewConversion, NewRefund, Person, TERMS_PROPERTIES};
use weir_schemas::fact::{Fact, IdempotentRequest, Role, Sealed};
use weir_schemas::ids::{ClickId, ConversionId, WorkspaceId};
use weir_schemas::money::{AMOUNT_MAX, Money};
use weir_schemas::problem::Problem;
use weir_schemas::time::{MINUTE_MS, Timestamp};

use super::handles::{Commands, admission, answer, off_the_sockets};
use super::link_spec::Errors;

/// Longest name of an event, in bytes.
const EVENT_MAX: usize = 64;
/// Longest id that a caller gives, in bytes.
const NAME_MAX: usize = 255;
/// Longest token or click id read, in bytes.
const CLAIM_MAX: usize = 512;
/// Most properties, and their size as JSON in bytes.
const PROPERTIES_MAX: usize = 50;
const PROPERTIES_BYTES_MAX: usize = 8 * 1_024;
/// How far a shop's clock may be ahead of ours.
const AHEAD_MAX_MS: i64 = 5 * MINUTE_MS;
/// Events that money going back makes; nobody reports them as conversions.
const RESERVED_EVENTS: [&str; 2] = ["refund", "chargeback"];

pub(super) const REPORTERS: &[Role] = &[Role::Admin, Role::Editor, Role::Ingest];

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [convert, import, refund] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/conversions", move |context| self::convert(context, Arc::clone(&convert)))
        .route(Method::POST, "/v1/conversions/import", move |context| {
            super::import::import(context, Arc::clone(&import))
        })
        .route(Method::POST, "/v1/refunds", move |context| self::refund(context, Arc::clone(&refund)))
}

async fn convert(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(REPORTERS)?;
    let conversion: NewConversion = context.json(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = submit(&commands, caller, at, request, conversion).await?;
    Ok(answer(outcome, |conversion| conversion))
}

/// Checks a conversion, looks its click up, seals what it says of its customer, journals it.
pub(super) async fn submit(
    commands: &Arc<Commands>,
    caller: Principal,
    at: Timestamp,
    request: Option<IdempotentRequest>,
    mut conversion: NewConversion,
) -> Result<Outcome, Problem> {
    let click_id = check(&conversion, at)?;
    let claim = commands.claims.resolve(caller.workspace, conversion.wclid.as_deref(), click_id, at).await;
    let address = conversion.customer.as_ref().and_then(|person| person.email.as_deref());
    let buyer = address.map(|address| commands.books().partner_addresses().find(caller.workspace, address));
    let buyer = buyer.unwrap_or_default();
    let (person, properties) = seal(commands, caller.workspace, &mut conversion).await?;
    let id = ConversionId(commands.ids.next(at));
    let fact = Fact::Conversion { id, conversion, person, buyer, properties, click: claim };
    commands.submit(caller, at, request, fact).await
}

/// What a conversion says of its customer, sealed under the customer's own key: the person, and the properties but
/// those by which terms decide.
async fn seal(
    commands: &Commands,
    workspace: WorkspaceId,
    conversion: &mut NewConversion,
) -> Result<(Option<Sealed>, Option<Sealed>), Problem> {
    let person = conversion.customer.take().filter(|person| *person != Person::default());
    let Some(customer) = conversion.customer_id.clone() else { return Ok((None, None)) };
    let (of_goods, of_customer): (Map<String, Value>, Map<String, Value>) =
        std::mem::take(&mut conversion.properties)
            .into_iter()
            .partition(|(name, _)| TERMS_PROPERTIES.contains(&name.as_str()));
    conversion.properties = of_goods;
    if person.is_none() && of_customer.is_empty() {
        return Ok((None, None));
    }
    let keyring = Arc::clone(&commands.keyring);
    let sealed = off_the_sockets(move || {
        let person = person.map(|person| keyring.seal_person(workspace, &customer, &person)).transpose()?;
        let properties = (!of_customer.is_empty())
            .then(|| keyring.seal_properties(workspace, &customer, &of_customer))
            .transpose()?;
        Ok((person, properties))
    });
    sealed.await.map_err(|error| super::handles::keyring_failed(&error))
}

/// 503: what was asked could not be looked up.
pub(super) fn books_failed(error: &ReadError) -> Problem {
    tracing::error!(%error, "the books could not be read");
    unavailable("storage_unavailable", "The books could not be read.")
}

/// Checks a conversion; gives the click's id where it brings one.
pub(super) fn check(new: &NewConversion, now: Timestamp) -> Result<Option<ClickId>, Problem> {
    let mut errors = Errors::default();
    errors.text("event", Some(&new.event), EVENT_MAX);
    if RESERVED_EVENTS.contains(&new.event.as_str()) {
        errors.add("event", "is no conversion: report it at POST /v1/refunds");
    }
    errors.text("order_id", new.order_id.as_deref(), NAME_MAX);
    errors.text("customer_id", new.customer_id.as_deref(), NAME_MAX);
    errors.text("subscription_id", new.subscription_id.as_deref(), NAME_MAX);
    errors.text("wclid", new.wclid.as_deref().filter(|text| !text.is_empty()), CLAIM_MAX);
    let click_id = new.click_id.as_deref().filter(|text| !text.is_empty());
    let click_id = match click_id.map(str::parse::<ClickId>).transpose() {
        Ok(id) => id,
        Err(error) => {
            errors.add("click_id", error.to_string());
            None
        }
    };
    match new.amount {
        Some(money) => check_amount(money, 0, &mut errors),
        None if matches!(new.event.as_str(), "sale" | "renewal") => {
            errors.add("amount", "is required for a sale and a renewal");
        }
        None => {}
    }
    errors.text("coupon", new.coupon.as_deref().filter(|text| !text.is_empty()), NAME_MAX);
    errors.text("partner_code", new.partner_code.as_deref().filter(|text| !text.is_empty()), NAME_MAX);
    if let Some(person) = &new.customer {
        errors.text("customer.email", person.email.as_deref(), NAME_MAX);
        errors.text("customer.name", person.name.as_deref(), NAME_MAX);
        if new.customer_id.is_none() {
            // A person is sealed under the customer's own key, so that erasing the customer erases the
            // person.
            errors.add("customer_id", "is required with `customer`");
        }
    }
    check_time(new.occurred_at, now, &mut errors);
    let size = serde_json::to_string(&new.properties).map_or(usize::MAX, |text| text.len());
    if new.properties.len() > PROPERTIES_MAX || size > PROPERTIES_BYTES_MAX {
        let bound = format!("holds more than {PROPERTIES_MAX} properties or {PROPERTIES_BYTES_MAX} bytes");
        errors.add("properties", bound);
    }
    errors.none()?;
    Ok(click_id)
}

async fn refund(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(REPORTERS)?;
    let refund: NewRefund = context.json(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    check_refund(&refund, at)?;
    let outcome = commands.submit(caller, at, request, Fact::Refund { refund }).await?;
    Ok(answer(outcome, |refund| refund))
}

fn check_refund(new: &NewRefund, now: Timestamp) -> Result<(), Problem> {
    let mut errors = Errors::default();
    errors.text("order_id", Some(&new.order_id), NAME_MAX);
    errors.text("refund_id", new.refund_id.as_deref(), NAME_MAX);
    if let Some(money) = new.amount {
        check_amount(money, 1, &mut errors);
    }
    check_time(new.occurred_at, now, &mut errors);
    errors.none()
}

fn check_amount(money: Money, least: i64, errors: &mut Errors) {
    if !(least..=AMOUNT_MAX).contains(&money.amount) {
        errors
            .add("amount.amount", format!("must be an integer of minor units from {least} to {AMOUNT_MAX}"));
    }
}

fn check_time(at: Option<Timestamp>, now: Timestamp, errors: &mut Errors) {
    let Some(at) = at else { return };
    if at.0 < 0 || at.0 > now.0.saturating_add(AHEAD_MAX_MS) {
        errors.add("occurred_at", "must be a time after 1970 and not in the future");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_793_491_200_000);

    fn fields(value: Value) -> Vec<String> {
        let new: NewConversion = serde_json::from_value(value).unwrap();
        check(&new, NOW).err().into_iter().flat_map(|p| p.errors).map(|error| error.field).collect()
    }

    fn sale(more: Value) -> Value {
        let mut sale = json!({"event": "sale", "amount": {"amount": 4999, "currency": "EUR"}});
        sale.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sale
    }

    #[test]
    fn the_contracts_conversion_is_taken() {
        let whole = sale(json!({"order_id": "A-1001", "wclid": "x", "click_id": null, "customer_id": "u42",
            "coupon": null, "partner_code": null, "customer": {"email": "a@b.example", "name": "Ada"},
            "occurred_at": null, "subscription_id": null, "properties": {}}));
        assert!(fields(whole).is_empty());
        assert!(fields(json!({"event": "lead"})).is_empty());
        assert!(fields(json!({"event": "trial started"})).is_empty());
        let id = ClickId::new(1, 2, 3, 4);
        let new = serde_json::from_value(sale(json!({"click_id": id}))).unwrap();
        assert_eq!(check(&new, NOW), Ok(Some(id)));
    }

    #[test]
    fn every_bad_field_is_named() {
        for (value, expected) in [
            (json!({"event": ""}), "event"),
            (json!({"event": "refund"}), "event"),
            (json!({"event": "sale"}), "amount"),
            (sale(json!({"amount": {"amount": -1, "currency": "EUR"}})), "amount.amount"),
            (sale(json!({"amount": {"amount": AMOUNT_MAX + 1, "currency": "EUR"}})), "amount.amount"),
            (sale(json!({"order_id": ""})), "order_id"),
            (sale(json!({"order_id": "x".repeat(256)})), "order_id"),
            (sale(json!({"click_id": "clk_1"})), "click_id"),
            (sale(json!({"coupon": " "})), "coupon"),
            (sale(json!({"partner_code": "x".repeat(256)})), "partner_code"),
            (sale(json!({"customer": {"email": "a@b.example"}})), "customer_id"),
            (sale(json!({"occurred_at": "2999-01-01T00:00:00Z"})), "occurred_at"),
            (sale(json!({"properties": {"a": "x".repeat(9_000)}})), "properties"),
        ] {
            assert_eq!(fields(value.clone()), [expected], "{value}");
        }
    }

    #[test]
    fn refunds_are_checked() {
        let bad = |value: Value| {
            let refund: NewRefund = serde_json::from_value(value).unwrap();
            check_refund(&refund, NOW).err().map(|problem| problem.errors[0].field.clone())
        };
        assert_eq!(bad(json!({"order_id": "A", "reason": "chargeback", "refund_id": "r1"})), None);
        assert_eq!(bad(json!({"order_id": " "})).as_deref(), Some("order_id"));
        let nothing = json!({"order_id": "A", "amount": {"amount": 0, "currency": "EUR"}});
        assert_eq!(bad(nothing).as_deref(), Some("amount.amount"));
    }
}
