//! What a request asks for: its parameters and headers, by ClickHouse's names.

use http::HeaderMap;
use http::request::Parts;

use crate::authentication::Credentials;
use crate::compression::Encoding;
use crate::exception::{Exception, code};
use crate::form::{self, Field};

/// Parameters of the HTTP interface that are not settings and that we take note of by accepting them:
/// `role` and `quota_key` name things libchdb does not have; `buffer_size` tunes a buffer we size ourselves;
/// `client_protocol_version` concerns the Native format's negotiation; sessions are described in `lib.rs`.
const ACCEPTED: [&str; 7] = [
    "quota_key",
    "role",
    "buffer_size",
    "stacktrace",
    "client_protocol_version",
    "session_check",
    "close_session",
];

/// A request, understood.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) credentials: Credentials,
    /// The `query` parameter; a body follows it.
    pub(crate) query: String,
    pub(crate) database: Option<String>,
    pub(crate) default_format: Option<String>,
    pub(crate) query_id: String,
    /// Answer in ClickHouse's own compressed framing.
    pub(crate) compress: bool,
    /// The body is in that framing.
    pub(crate) decompress: bool,
    pub(crate) encoding: Encoding,
    /// The body is a form with this boundary.
    pub(crate) form: Option<String>,
    /// Hold the answer back until the query has ended, as far as it fits the bound.
    pub(crate) wait_end_of_query: bool,
    /// Settings of this query, in the order given, `readonly` last so that it does not forbid the others.
    pub(crate) settings: Vec<(String, String)>,
    /// Values for `{name:Type}`, in ClickHouse's escaped form as they came.
    pub(crate) parameters: Vec<(String, String)>,
}

impl Request {
    /// Reads the request line and the headers.
    pub(crate) fn of(parts: &Parts) -> Result<Self, Exception> {
        let (mut user, mut password) = (None, None);
        let mut request = Self {
            credentials: Credentials { user: String::new(), password: String::new() },
            query: String::new(),
            database: header(&parts.headers, "x-clickhouse-database"),
            default_format: header(&parts.headers, "x-clickhouse-format"),
            query_id: String::new(),
            compress: false,
            decompress: false,
            encoding: Encoding::named(&header(&parts.headers, "content-encoding").unwrap_or_default())?,
            form: header(&parts.headers, "content-type").as_deref().and_then(form::boundary),
            wait_end_of_query: false,
            settings: Vec::new(),
            parameters: Vec::new(),
        };
        for (name, value) in pairs(parts.uri.query().unwrap_or_default())? {
            match name.as_str() {
                "query" => request.query.push_str(&value),
                "database" => request.database = Some(value),
                "default_format" => request.default_format = Some(value),
                "query_id" => request.query_id = value,
                "user" => user = Some(value),
                "password" => password = Some(value),
                "compress" => request.compress = flag(&name, &value)?,
                "decompress" => request.decompress = flag(&name, &value)?,
                "wait_end_of_query" => request.wait_end_of_query = flag(&name, &value)?,
                "session_id" | "session_timeout" => {}
                accepted if ACCEPTED.contains(&accepted) => {}
                _ => match name.strip_prefix("param_") {
                    Some(parameter) => request.parameters.push((parameter.to_owned(), value)),
                    None => request.settings.push((name, value)),
                },
            }
        }
        request.database = request.database.filter(|name| !name.is_empty());
        request.default_format = request.default_format.filter(|name| !name.is_empty());
        if request.query_id.is_empty() {
            request.query_id = random_id();
        }
        // As ClickHouse has it: what can be put into a link must not change anything.
        if parts.method != http::Method::POST {
            request.settings.retain(|(name, value)| name != "readonly" || value != "0");
            if !request.settings.iter().any(|(name, _)| name == "readonly") {
                request.settings.push(("readonly".into(), "2".into()));
            }
        }
        request.settings.sort_by_key(|(name, _)| name == "readonly");
        request.credentials = Credentials::of(&parts.headers, user, password);
        Ok(request)
    }

    /// Takes what a form says besides the request line.
    pub(crate) fn take_form(&mut self, fields: Vec<Field>) -> Result<(), Exception> {
        for Field { name, value } in fields {
            match (name.as_str(), name.strip_prefix("param_")) {
                ("query", _) => self.query.push_str(&value),
                (_, Some(parameter)) => self.parameters.push((parameter.to_owned(), value)),
                _ => {
                    let message = format_args!("The form's field '{name}' belongs into the URL");
                    return Err(Exception::new(code::BAD_REQUEST_PARAMETER, message));
                }
            }
        }
        Ok(())
    }

    /// The statement that puts the settings into force, if there are any.
    pub(crate) fn set_statement(&self) -> Result<Option<String>, Exception> {
        if self.settings.is_empty() {
            return Ok(None);
        }
        let mut statement = String::from("SET ");
        for (index, (name, value)) in self.settings.iter().enumerate() {
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
            if name.is_empty() || !name.bytes().all(is_name) {
                let message = format_args!("Setting {name:?} is neither a builtin setting nor a parameter");
                return Err(Exception::new(code::UNKNOWN_SETTING, message));
            }
            let separator = if index == 0 { "" } else { ", " };
            statement.push_str(&format!("{separator}{name} = {}", quoted(value, '\'')));
        }
        Ok(Some(statement))
    }
}

/// A ClickHouse string literal (quote `'`) or identifier (quote `` ` ``).
pub(crate) fn quoted(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        if c == '\\' || c == quote {
            out.push('\\');
        }
        out.push(c);
    }
    out.push(quote);
    out
}

/// 32 random hexadecimal digits.
pub(crate) fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn flag(name: &str, value: &str) -> Result<bool, Exception> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" | "" => Ok(false),
        _ => Err(Exception::new(
            code::BAD_REQUEST_PARAMETER,
            format_args!("Parameter '{name}' must be 0 or 1, not '{value}'"),
        )),
    }
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Exception> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8().map(|text| text.into_owned()).map_err(
            |_| {
                Exception::new(code::BAD_REQUEST_PARAMETER, "The URL's parameters are not UTF-8 once decoded")
            },
        )
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> Result<Request, Exception> {
        let built = http::Request::post(uri).header("x-clickhouse-database", "fallback").body(()).unwrap();
        Request::of(&built.into_parts().0)
    }

    #[test]
    fn parameters_settings_and_the_rest_are_told_apart() {
        let request = request(
            "/?readonly=1&query=SELECT+%7Bx%3AString%7D&param_x=a%2Bb%5C&max_threads=2&database=weir&query_id=q\
             &session_id=s&default_format=JSON&compress=1&join_use_nulls=",
        )
        .unwrap();
        assert_eq!(request.query, "SELECT {x:String}");
        assert_eq!(request.parameters, [("x".into(), "a+b\\".into())]);
        assert_eq!((request.database.as_deref(), request.query_id.as_str()), (Some("weir"), "q"));
        assert!(request.compress && !request.decompress);
        assert_eq!(
            request.set_statement().unwrap().unwrap(),
            "SET max_threads = '2', join_use_nulls = '', readonly = '1'"
        );
    }

    #[test]
    fn a_setting_cannot_smuggle_sql() {
        let statement = |uri: &str| request(uri).unwrap().set_statement();
        assert_eq!(statement("/?a=%27%2C%5Cx").unwrap().unwrap(), r"SET a = '\',\\x'");
        assert_eq!(statement("/?a%3D1%2Cb=1").unwrap_err().code, 115);
        assert_eq!(request("/").unwrap().database.as_deref(), Some("fallback"));
        assert_eq!(request("/?compress=maybe").unwrap_err().code, 408);
        assert_eq!(request("/?a=%ff").unwrap_err().code, 408);
    }
}
