//! `POST /v1/partners`, `PATCH /v1/partners/{id}`. Mail address and account are sealed before they are journaled.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_edge::problem::forbidden;
use weir_edge::request::{Context, JSON_MAX, from_value};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::books::{PARTNER_CONTEXT, StoredPartner, open_partner};
use weir_schemas::fact::{Fact, Role, Sealed};
use weir_schemas::ids::{PartnerId, ProgramId};
use weir_schemas::partner::{PartnerPrivate, PartnerSpec, PartnerStatus, PayoutMethod};
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer};
use super::slug;

const WRITERS: &[Role] = &[Role::Admin, Role::Editor];

/// What partners change of themselves.
const OWN_FIELDS: &[&str] = &["name", "email", "payout_method"];

/// A partner as it is written. Every field may stand in a patch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    name: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    coupons: Option<Vec<String>>,
    #[serde(default)]
    status: Option<PartnerStatus>,
    #[serde(default)]
    program_id: Option<ProgramId>,
    #[serde(default)]
    customer_id: Option<String>,
    #[serde(default)]
    payout_method: Option<PayoutMethod>,
    #[serde(default)]
    properties: Option<Map<String, Value>>,
}

impl Body {
    /// What is kept in clear, and what sealed; checked.
    fn parts(self) -> Result<(PartnerSpec, PartnerPrivate), Problem> {
        let spec = PartnerSpec {
            name: self.name,
            code: self.code.map_or_else(|| slug::draw().0, |code| code.trim().to_owned()),
            coupons: self.coupons.unwrap_or_default(),
            status: self.status.unwrap_or_default(),
            program_id: self.program_id,
            customer_id: self.customer_id,
            payout_method: self.payout_method.as_ref().map(PayoutMethod::masked),
            properties: self.properties.unwrap_or_default(),
        };
        let private = PartnerPrivate { email: self.email, payout_method: self.payout_method };
        let mut errors = spec.check();
        errors.extend(private.check());
        if errors.is_empty() { Ok((spec, private)) } else { Err(Problem::fields(errors)) }
    }
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, update] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/partners", move |context| self::create(context, Arc::clone(&create)))
        .route(Method::PATCH, "/v1/partners/{id}", move |context| self::update(context, Arc::clone(&update)))
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let body: Body = context.json(JSON_MAX).await?;
    let (spec, private) = body.parts()?;
    commands.check_terms(caller.workspace, spec.program_id, None).await?;
    let (at, request) = admission(&context)?;
    let id = PartnerId(commands.ids.next(at));
    let email = private.email.clone();
    let private = (private != PartnerPrivate::default()).then(|| commands.sealed_partner(&private));
    let outcome = commands.submit(caller, at, request, Fact::PartnerCreated { id, spec, private }).await?;
    Ok(answer(outcome, |partner| with_email(partner, email)))
}

async fn update(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor, Role::Partner])?;
    let id: PartnerId = context.id("id", "partner")?;
    let patch: Map<String, Value> = context.json(JSON_MAX).await?;
    if caller.role == Role::Partner {
        if caller.partner != Some(id) {
            return Err(Problem::not_found("partner"));
        }
        if let Some(field) = patch.keys().find(|field| !OWN_FIELDS.contains(&field.as_str())) {
            let detail = format!("A partner's key changes {}, not `{field}`.", OWN_FIELDS.join(", "));
            return Err(forbidden(detail));
        }
    }
    // The rest of the partner was checked when it was written; a name and a code stand for it here.
    let mut whole = Map::new();
    whole.insert("name".to_owned(), json!("-"));
    whole.insert("code".to_owned(), json!("-"));
    whole.extend(patch.clone().into_iter().filter(|(field, value)| !(field == "code" && value.is_null())));
    let (spec, news) = from_value::<Body>(Value::Object(whole))?.parts()?;
    commands.check_terms(caller.workspace, spec.program_id, None).await?;
    let (known, sealed) = commands.partner(caller.workspace, id).await?;
    let mut private = open_partner(&commands.keyring, sealed.as_ref());
    if patch.contains_key("email") {
        private.email = news.email;
    }
    if patch.contains_key("payout_method") {
        private.payout_method = news.payout_method;
    }
    let Value::Object(checked) = serde_json::to_value(spec).expect("a partner is plain JSON") else {
        unreachable!("a partner is an object");
    };
    // A partner always has a code: taking it away keeps it.
    let given = |field: &str| patch.get(field).is_some_and(|value| !(field == "code" && value.is_null()));
    let fields: Map<String, Value> = checked.into_iter().filter(|(field, _)| given(field)).collect();
    let email = private.email.clone();
    let changed = patch.contains_key("email") || patch.contains_key("payout_method");
    let private = changed.then(|| commands.sealed_partner(&private));
    let (at, request) = admission(&context)?;
    let fact = Fact::PartnerUpdated { id: known.id, patch: fields, private };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |partner| with_email(partner, email)))
}

fn with_email(mut partner: Value, email: Option<String>) -> Value {
    partner["email"] = json!(email);
    partner
}

impl Commands {
    pub(super) fn sealed_partner(&self, private: &PartnerPrivate) -> Sealed {
        let json = serde_json::to_vec(private).expect("a partner is plain data");
        self.keyring.seal(PARTNER_CONTEXT, &json)
    }

    async fn partner(
        &self,
        workspace: weir_schemas::ids::WorkspaceId,
        id: PartnerId,
    ) -> Result<StoredPartner, Problem> {
        let partner = self.read(move |reads| reads.partner(workspace, id)).await?;
        partner.ok_or_else(|| Problem::not_found("partner"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_is_taken_apart() {
        let body = json!({"name": "Ada", "code": " ADA ", "email": "ada@example.com", "coupons": ["ADA10"],
            "payout_method": {"type": "paypal", "account": "ada@example.com"}});
        let (spec, private) = from_value::<Body>(body).unwrap().parts().unwrap();
        assert_eq!((spec.code.as_str(), spec.status), ("ADA", PartnerStatus::Approved));
        assert_eq!(spec.payout_method.unwrap().account, "a•••@example.com", "only this is kept in clear");
        assert_eq!(private.payout_method.unwrap().account, "ada@example.com");
        let drawn = from_value::<Body>(json!({"name": "Bob"})).unwrap().parts().unwrap().0.code;
        assert_eq!(drawn.len(), slug::DRAWN_CHARS);
    }

    #[test]
    fn every_bad_field_is_named() {
        for (body, field) in [
            (json!({"code": "A"}), "name"),
            (json!({"name": "A", "code": " "}), "code"),
            (json!({"name": "A", "email": "x"}), "email"),
            (json!({"name": "A", "status": "great"}), "status"),
            (json!({"name": "A", "payout_method": {"type": "cash", "account": "1"}}), "payout_method.type"),
            (json!({"name": "A", "nope": 1}), "nope"),
        ] {
            let problem = from_value::<Body>(body.clone()).and_then(Body::parts).unwrap_err();
            assert_eq!(problem.errors[0].field, field, "{body}");
        }
    }
}
