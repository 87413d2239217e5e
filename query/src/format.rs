//! An answer as text: JSON as it is, or its rows as CSV (RFC 4180) or newline-delimited JSON; as Parquet or Arrow,
//! which ClickHouse writes.

use std::borrow::Cow;

use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use weir_edge::request::Context;
use weir_edge::response::{Body, Response};
use weir_engine::query::export::FileFormat;
use weir_schemas::csv;
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::{Cell, Column};

use crate::analytics::Analytics;

/// What `?format=` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
    Ndjson,
    /// Written by ClickHouse.
    Parquet,
    /// Written by ClickHouse.
    Arrow,
}

impl Format {
    pub(crate) fn of(context: &Context) -> Result<Self, Problem> {
        match context.query_value("format").as_deref() {
            None | Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            Some("ndjson") => Ok(Self::Ndjson),
            Some("parquet") => Ok(Self::Parquet),
            Some("arrow") => Ok(Self::Arrow),
            Some(other) => Err(Problem::field(
                "format",
                format!("`{other}` is not one of json, csv, ndjson, parquet, arrow"),
            )),
        }
    }

    /// As which file ClickHouse would write it; `None` for JSON.
    pub(crate) const fn file(self) -> Option<FileFormat> {
        match self {
            Self::Json => None,
            Self::Csv => Some(FileFormat::Csv),
            Self::Ndjson => Some(FileFormat::Ndjson),
            Self::Parquet => Some(FileFormat::Parquet),
            Self::Arrow => Some(FileFormat::Arrow),
        }
    }

    /// Nothing but the rows, as a file; `None` for JSON, which says more.
    pub(crate) async fn rows(
        self,
        analytics: &Analytics,
        columns: &[Column],
        rows: &[Vec<Cell>],
        as_of: Sequence,
    ) -> Result<Option<Response>, Problem> {
        let body = match self {
            Self::Json => return Ok(None),
            Self::Csv => Body::whole(table(columns, rows)),
            Self::Ndjson => Body::whole(ndjson(columns, rows)),
            Self::Parquet => Body::whole(analytics.converted(columns, rows, FileFormat::Parquet).await?),
            Self::Arrow => Body::whole(analytics.converted(columns, rows, FileFormat::Arrow).await?),
        };
        Ok(Some(self.attached(body, as_of)))
    }

    /// An answer that a browser saves.
    pub(crate) fn attached(self, body: Body, as_of: Sequence) -> Response {
        let (kind, attachment) = match self {
            Self::Json => ("application/json", "attachment; filename=\"weir.json\""),
            Self::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"weir.csv\""),
            Self::Ndjson => ("application/x-ndjson", "attachment; filename=\"weir.ndjson\""),
            Self::Parquet => ("application/vnd.apache.parquet", "attachment; filename=\"weir.parquet\""),
            Self::Arrow => ("application/vnd.apache.arrow.stream", "attachment; filename=\"weir.arrows\""),
        };
        let mut response = http::Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(attachment));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("weir-as-of", HeaderValue::from(as_of));
        response
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

/// Texts are visitors' words, too: none may be a formula where the file is opened.
fn text(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Null => "".into(),
        Cell::String(text) => csv::guarded(text),
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
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"] {
            let told = table(&columns()[..1], &[vec![json!(formula)]]);
            assert!(told.contains(&format!("'{formula}")), "{told:?}");
        }
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
