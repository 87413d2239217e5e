//! `POST /v1/partners/sign-up`: somebody joins a program that is open to it, without a key, and gets one that
//! sees their own numbers. What they earn is held until they are approved, unless the program approves at
//! once. A few sign-ups for each address, as anybody can ask.

use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::json;
use weir_edge::limit::Limiter;
use weir_edge::problem::forbidden;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::keys::Principal;
use weir_schemas::fact::{Fact, IdempotentRequest, Role};
use weir_schemas::ids::{KeyId, PartnerId, ProgramId};
use weir_schemas::partner::{PartnerPrivate, PartnerSpec, PartnerStatus, PayoutMethod};
use weir_schemas::problem::Problem;
use weir_schemas::program::SignUp;

use super::handles::{Commands, admission, answer};
use super::keys::{derived_secret, key_created, new_secret};
use super::slug;

/// Sign-ups of one address at once.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
/// After which time one more is taken.
const PAUSE: Duration = Duration::from_secs(600);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPartner {
    program_id: ProgramId,
    name: String,
    email: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    payout_method: Option<PayoutMethod>,
}

/// How many sign-ups an address may make.
pub(super) fn limiter() -> Limiter {
    Limiter::with_pause(AT_ONCE, PAUSE)
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let commands = Arc::clone(commands);
    Router::new()
        .route(Method::POST, "/v1/partners/sign-up", move |context| sign_up(context, Arc::clone(&commands)))
}

async fn sign_up(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let new: NewPartner = context.json(JSON_MAX).await?;
    let id = new.program_id;
    let program = commands.read(move |reads| reads.program_anywhere(id)).await?;
    let Some((workspace, program)) = program.filter(|(_, program)| program.spec.sign_up != SignUp::Closed)
    else {
        return Err(forbidden("This program takes no sign-ups."));
    };
    let spec = PartnerSpec {
        name: new.name,
        code: new.code.map_or_else(|| slug::draw().0, |code| code.trim().to_owned()),
        status: match program.spec.sign_up {
            SignUp::Open => PartnerStatus::Approved,
            SignUp::Review | SignUp::Closed => PartnerStatus::Pending,
        },
        program_id: Some(id),
        payout_method: new.payout_method.as_ref().map(PayoutMethod::masked),
        ..PartnerSpec::default()
    };
    let private = PartnerPrivate { email: Some(new.email), payout_method: new.payout_method };
    let mut errors = spec.check();
    errors.extend(private.check());
    if !errors.is_empty() {
        return Err(Problem::fields(errors));
    }
    let mut hasher = std::hash::DefaultHasher::new();
    context.address.hash(&mut hasher);
    if let Err(exceeded) = commands.sign_ups.check(hasher.finish()) {
        metrics::counter!("weir_commands_rate_limited_total", "reason" => "sign_ups").increment(1);
        return Ok(exceeded.response(&context.request_id));
    }
    let (at, request) = admission(&context)?;
    let (secret, again) = match &request {
        // A repeat is answered with the same key, which is made once.
        Some(request) => {
            let secret = derived_secret(&commands.keyring.session_key(), workspace, request);
            let again = IdempotentRequest { key: format!("{}#key", request.key), ..request.clone() };
            (secret, Some(again))
        }
        None => (new_secret(), None),
    };
    let nobody = Principal { workspace, key: KeyId::NONE, role: Role::Admin, partner: None };
    let id = PartnerId(commands.ids.next(at));
    let email = private.email.clone();
    let name = spec.name.clone();
    let fact = Fact::PartnerCreated { id, spec, private: Some(commands.sealed_partner(&private)) };
    let outcome = commands.submit(nobody, at, request, fact).await?;
    let id = outcome.body["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or(id);
    let name: String = name.chars().take(80).collect();
    let key = key_created(KeyId(commands.ids.next(at)), &name, Role::Partner, Some(id), &secret);
    commands.submit(nobody, at, again, key).await?;
    Ok(answer(outcome, |mut partner| {
        partner["email"] = json!(email);
        partner["key"] = json!(secret);
        partner
    }))
}
