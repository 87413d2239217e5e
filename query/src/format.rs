//! An answer as text: JSON as it is, or its rows as CSV (RFC 4180) or newline-delimited JSON.

use std::borrow::Cow;

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, HeaderValue};
use weir_edge::request::Context;
use weir_edge::response::{Response, json, typed};
use weir_schemas::csv;
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::{Answer, Cell, Column};

/// What `?format=` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
    Ndjson,
}

impl Format {
    pub(crate) fn of(context: &Context) -> Result<Self, Problem> {
        match context.query_value("format").as_deref() {
            None | Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            Some("ndjson") => Ok(Self::Ndjson),
            Some(other) => {
                Err(Problem::field("format", format!("`{other}` is not one of json, csv, ndjson")))
            }
        }
    }

    pub(crate) fn response(self, answer: &Answer) -> Response {
        self.rows(&answer.columns, &answer.rows, answer.meta.as_of)
            .unwrap_or_else(|| json(StatusCode::OK, answer))
    }

    /// Nothing but the rows; `None` for JSON, which says more.
    pub(crate) fn rows(self, columns: &[Column], rows: &[Vec<Cell>], as_of: Sequence) -> Option<Response> {
        let (kind, name, body) = match self {
            Self::Json => return None,
            Self::Csv => ("text/csv; charset=utf-8", "weir.csv", table(columns, rows)),
            Self::Ndjson => ("application/x-ndjson", "weir.ndjson", ndjson(columns, rows)),
        };
        let mut response = typed(StatusCode::OK, kind, body);
        let attachment = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
        let headers = response.headers_mut();
        headers.insert(CONTENT_DISPOSITION, attachment.expect("a file name of ASCII letters"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("weir-as-of", HeaderValue::from(as_of));
        Some(response)
    }
}

fn table(columns: &[Column], rows: &[Vec<Cell>]) -> String {
    let mut out = String::new();
    csv::write(&mut out, columns.iter().map(|column| column.name.as_str()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(text).collect();
        csv::write(&mut out, cells.iter().map(|cell| &**cell));
    }
    out
}

fn text(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Null => "".into(),
        Cell::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

fn ndjson(columns: &[Column], rows: &[Vec<Cell>]) -> String {
    let mut out = String::new();
    for row in rows {
        let object: serde_json::Map<String, Cell> =
            columns.iter().zip(row).map(|(column, cell)| (column.name.clone(), cell.clone())).collect();
        out.push_str(&Cell::Object(object).to_string());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_schemas::query::ColumnType;

    use super::*;

    fn columns() -> Vec<Column> {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        vec![
            column("city", ColumnType::String),
            column("link", ColumnType::String),
            column("clicks", ColumnType::Integer),
        ]
    }

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![json!("Köln, \"Dom\""), json!(null), json!(3)],
            vec![json!("a\nb"), json!("lnk_1"), json!(-1)],
        ]
    }

    #[test]
    fn csv_quotes_what_would_break_a_row() {
        let expected = "city,link,clicks\r\n\"Köln, \"\"Dom\"\"\",,3\r\n\"a\nb\",lnk_1,-1\r\n";
        assert_eq!(table(&columns(), &rows()), expected);
    }

    #[test]
    fn ndjson_has_one_object_per_line() {
        let text = ndjson(&columns(), &rows());
        let lines: Vec<Cell> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            lines,
            [
                json!({"city": "Köln, \"Dom\"", "link": null, "clicks": 3}),
                json!({"city": "a\nb", "link": "lnk_1", "clicks": -1}),
            ]
        );
    }
}
