//! Bodies of `multipart/form-data`: how clients send a statement together with long parameters.

use crate::exception::{Exception, code};

/// A field of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// The boundary that a `Content-Type` names, when it is that of a form.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
    })
}

/// Splits a whole body into its fields. Files, which ClickHouse makes into tables, are refused.
pub(crate) fn fields(body: &[u8], boundary: &str) -> Result<Vec<Field>, Exception> {
    let malformed = |what: &str| Exception::new(code::BAD_REQUEST_PARAMETER, format_args!("The form {what}"));
    let text = std::str::from_utf8(body).map_err(|_| malformed("is not UTF-8"))?;
    let delimiter = format!("--{boundary}");
    let mut rest =
        text.strip_prefix(&delimiter).ok_or_else(|| malformed("does not begin with its boundary"))?;
    let mut fields = Vec::new();
    let between = format!("\r\n{delimiter}");
    loop {
        if rest.starts_with("--") {
            return Ok(fields);
        }
        let part = rest.strip_prefix("\r\n").ok_or_else(|| malformed("has a damaged boundary"))?;
        let (head, content) =
            part.split_once("\r\n\r\n").ok_or_else(|| malformed("has a part without content"))?;
        let (value, after) =
            content.split_once(&between).ok_or_else(|| malformed("ends before its last boundary"))?;
        fields.push(Field { name: name(head)?, value: value.to_owned() });
        rest = after;
    }
}

fn name(head: &str) -> Result<String, Exception> {
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let attribute = |wanted: &str| {
        disposition.into_iter().flat_map(|value| value.split(';')).find_map(|part| {
            let (name, value) = part.trim().split_once('=')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim_matches('"').to_owned())
        })
    };
    if attribute("filename").is_some() {
        let message = "External tables sent with a query are not supported here";
        return Err(Exception::new(code::NOT_IMPLEMENTED, message));
    }
    attribute("name")
        .ok_or_else(|| Exception::new(code::BAD_REQUEST_PARAMETER, "The form has a part without a name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT\r\n\r\n--c 1\r\n\
                        --b\r\ncontent-disposition: form-data; name=param_a\r\nX: y\r\n\r\n\r\n--b--\r\n";

    #[test]
    fn fields_keep_their_bytes() {
        let field = |name: &str, value: &str| Field { name: name.into(), value: value.into() };
        assert_eq!(
            fields(FORM.as_bytes(), "b").unwrap(),
            [field("query", "SELECT\r\n\r\n--c 1"), field("param_a", "")]
        );
        assert_eq!(fields(b"--b--\r\n", "b").unwrap(), []);
    }

    #[test]
    fn a_form_cut_anywhere_is_refused() {
        for at in 0..FORM.len() - 4 {
            assert!(fields(&FORM.as_bytes()[..at], "b").is_err(), "cut at {at}");
        }
        let file = FORM.replace("name=param_a", "name=t; filename=\"t.csv\"");
        assert_eq!(fields(file.as_bytes(), "b").unwrap_err().code, 48);
    }

    #[test]
    fn the_boundary_is_that_of_a_form_only() {
        assert_eq!(boundary("multipart/form-data; boundary=\"x y\"").as_deref(), Some("x y"));
        assert_eq!(boundary("Multipart/Form-Data;charset=utf-8;Boundary=z").as_deref(), Some("z"));
        assert_eq!(boundary("text/plain; boundary=z"), None);
    }
}
