//! `POST /v1/sites`, `DELETE /v1/sites/{id}`: whose pages may send browser events.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::json;
use url::Url;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_schemas::event::snippet;
use weir_schemas::fact::{Fact, Role};
use weir_schemas::hit::NAME_MAX;
use weir_schemas::ids::SiteId;
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer};
use super::link_spec::Errors;

/// Most origins of one site: the shop, its shop in other countries, a staging.
const ORIGINS_MAX: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSite {
    name: String,
    origins: Vec<String>,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, delete] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/sites", move |context| self::create(context, Arc::clone(&create)))
        .route(Method::DELETE, "/v1/sites/{id}", move |context| self::delete(context, Arc::clone(&delete)))
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor])?;
    let new: NewSite = context.json(JSON_MAX).await?;
    let origins = check(&new)?;
    let (at, request) = admission(&context)?;
    let id = SiteId(commands.ids.next(at));
    let fact = Fact::SiteCreated { id, name: new.name, origins };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |mut site| {
        let id = site["id"].as_str().and_then(|id| id.parse().ok());
        site["snippet"] = json!(id.map(|id| snippet(commands.public_url(), id)));
        site
    }))
}

/// The canonical origins.
fn check(new: &NewSite) -> Result<Vec<String>, Problem> {
    let mut errors = Errors::default();
    if new.name.is_empty() || new.name.len() > NAME_MAX {
        errors.add("name", format!("must have 1 to {NAME_MAX} bytes"));
    }
    if new.origins.is_empty() || new.origins.len() > ORIGINS_MAX {
        errors.add("origins", format!("must hold 1 to {ORIGINS_MAX} origins such as https://shop.example"));
    }
    let mut origins: Vec<String> = Vec::new();
    for (n, text) in new.origins.iter().enumerate() {
        match origin(text) {
            Ok(origin) if origins.contains(&origin) => {}
            Ok(origin) => origins.push(origin),
            Err(why) => errors.add(format!("origins[{n}]"), why),
        }
    }
    errors.none().map(|()| origins)
}

/// The origin as browsers send it: no path, no default port, the host in lower case (Punycode).
fn origin(text: &str) -> Result<String, &'static str> {
    let wrong = "must be an origin such as https://shop.example, without a path";
    let url = Url::parse(text).map_err(|_| wrong)?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err("must begin with http:// or https:// and hold no user name");
    }
    if !bare || text.len() > NAME_MAX || text.contains(['\\', '*']) || !url.has_host() {
        return Err(wrong);
    }
    Ok(url.origin().ascii_serialization())
}

async fn delete(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor])?;
    let id: SiteId = context.id("id", "site")?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::SiteDeleted { id }).await?;
    Ok(answer(outcome, |body| body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_canonical() {
        assert_eq!(origin("https://Shop.Example:443/"), Ok("https://shop.example".to_owned()));
        assert_eq!(origin("http://localhost:3000"), Ok("http://localhost:3000".to_owned()));
        assert_eq!(origin("https://bücher.example"), Ok("https://xn--bcher-kva.example".to_owned()));
        for wrong in [
            "shop.example",
            "",
            "*",
            "https://*.shop.example",
            "https://shop.example/p",
            "https://shop.example?x",
            "https://u@shop.example",
            "javascript:alert(1)",
            "file:///etc",
            "null",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_wrong_field_is_named() {
        let fields = |value: serde_json::Value| -> Vec<String> {
            let checked = check(&serde_json::from_value(value).unwrap());
            checked.err().into_iter().flat_map(|p| p.errors).map(|error| error.field).collect()
        };
        assert!(fields(json!({"name": "Shop", "origins": ["https://a.example"]})).is_empty());
        assert_eq!(fields(json!({"name": "", "origins": []})), ["name", "origins"]);
        assert_eq!(fields(json!({"name": "x", "origins": ["https://a.example", "b"]})), ["origins[1]"]);
    }
}
