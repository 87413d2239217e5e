//! The route table: one per edge, merged by the root. Paths are matchit's (`/v1/links/{id}`); a path that
//! several edges serve with different methods names its parameters alike in all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::ALLOW;
use http::{HeaderValue, Method};
use percent_encoding::percent_decode_str;
use weir_schemas::problem::{FieldError, Problem};

use crate::problem;
use crate::request::{Context, Credential};
use crate::response::{Response, headers_only};

type Answer = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;
type Handler = Arc<dyn Fn(Context) -> Answer + Send + Sync>;
/// The names of the query parameters that a route takes, each with what it means; `None` where nobody has said.
pub type Parameters = fn(&Method, &str) -> Option<&'static [(&'static str, &'static str)]>;

/// The table.
#[derive(Clone, Default)]
pub struct Router {
    paths: BTreeMap<String, Vec<(Method, Handler)>>,
    tree: matchit::Router<String>,
    fallback: Option<Handler>,
    parameters: Option<Parameters>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.paths.keys()).finish()
    }
}

fn handler<F, A>(function: F) -> Handler
where
    F: Fn(Context) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    Arc::new(move |context| Box::pin(function(context)))
}

impl Router {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route. Panics where the path or the method on it is taken: route tables are written by hand and
    /// built once.
    #[must_use]
    pub fn route<F, A>(mut self, method: Method, path: &str, function: F) -> Self
    where
        F: Fn(Context) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        self.add(method, path, handler(function));
        self
    }

    /// What answers `GET` where no path does: the web app's pages.
    #[must_use]
    pub fn fallback<F, A>(mut self, function: F) -> Self
    where
        F: Fn(Context) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        self.fallback = Some(handler(function));
        self
    }

    /// Refuses callers' query parameters that a route does not take: a filter that is misspelt would show more than was
    /// asked for, and a dry run would be none.
    #[must_use]
    pub fn with_parameters(mut self, parameters: Parameters) -> Self {
        self.parameters = Some(parameters);
        self
    }

    /// Takes in all routes of another table.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for (path, methods) in other.paths {
            for (method, handler) in methods {
                self.add(method, &path, handler);
            }
        }
        self.fallback = self.fallback.or(other.fallback);
        self
    }

    fn add(&mut self, method: Method, path: &str, handler: Handler) {
        if !self.paths.contains_key(path) {
            let added = self.tree.insert(path, path.to_owned());
            added.unwrap_or_else(|error| panic!("route {path}: {error}"));
        }
        let methods = self.paths.entry(path.to_owned()).or_default();
        assert!(methods.iter().all(|(known, _)| *known != method), "route {method} {path} is there twice");
        methods.push((method, handler));
    }

    /// Whether some method is served at `path`.
    pub fn knows(&self, path: &str) -> bool {
        self.tree.at(path).is_ok()
    }

    /// Every path with its methods, for the contract's tests.
    pub fn paths(&self) -> impl Iterator<Item = (&str, Vec<&Method>)> {
        self.paths.iter().map(|(path, methods)| (path.as_str(), methods.iter().map(|(m, _)| m).collect()))
    }

    /// Answers a request: 404 for an unknown path, 405 with `Allow` for a method that the path does not
    /// serve, and `HEAD` by the `GET` handler.
    pub async fn answer(&self, mut context: Context) -> Response {
        let request_id = context.request_id.clone();
        let head = context.method() == Method::HEAD;
        let chosen = match self.choose(&mut context) {
            Ok(handler) => handler,
            Err(response) => return *response,
        };
        let response = match chosen(context).await {
            Ok(response) => response,
            Err(problem) => problem::response(&problem, &request_id),
        };
        if head { headers_only(response) } else { response }
    }

    fn choose(&self, context: &mut Context) -> Result<Handler, Box<Response>> {
        let refuse = |context: &Context, problem| Box::new(problem::response(&problem, &context.request_id));
        let Ok(found) = self.tree.at(context.path()) else {
            let reads = context.method() == Method::GET || context.method() == Method::HEAD;
            return match &self.fallback {
                Some(handler) if reads => Ok(Arc::clone(handler)),
                _ => Err(refuse(context, Problem::not_found("path"))),
            };
        };
        let methods = &self.paths[found.value];
        let serves = |method: &Method| methods.iter().find(|(known, _)| known == method);
        let served = serves(context.method())
            .or_else(|| (context.method() == Method::HEAD).then(|| serves(&Method::GET)).flatten());
        let Some((method, handler)) = served else {
            let mut names: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
            if names.contains(&"GET") && !names.contains(&"HEAD") {
                names.push("HEAD");
            }
            let detail = format!("This path serves {}.", names.join(", "));
            let problem = Problem::new(405, "method_not_allowed", "Method not allowed", detail);
            let mut response = refuse(context, problem);
            let allow = HeaderValue::from_str(&names.join(", ")).expect("methods are tokens");
            response.headers_mut().insert(ALLOW, allow);
            return Err(response);
        };
        if let Some(known) = self.parameters.and_then(|parameters| parameters(method, found.value))
            && let Some(problem) = unknown_parameters(context, known)
        {
            return Err(refuse(context, problem));
        }
        let handler = Arc::clone(handler);
        let params = found.params.iter().map(|(name, value)| {
            (name.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned())
        });
        let params = params.collect();
        context.set_params(params);
        Ok(handler)
    }
}

/// 422 for parameters that are not among `known`. Who shows no key is told that first.
fn unknown_parameters(context: &Context, known: &[(&str, &str)]) -> Option<Problem> {
    if !matches!(context.credential, Credential::Known(_)) {
        return None;
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let takes = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let errors: Vec<FieldError> = context
        .query_pairs()
        .filter(|(name, _)| !name.is_empty() && !names.contains(&&**name))
        .map(|(name, _)| FieldError {
            field: name.into_owned(),
            detail: format!("is no parameter of this call, which takes {takes}"),
        })
        .collect();
    (!errors.is_empty()).then(|| Problem::fields(errors))
}
