//! A link as a row of a spreadsheet: what `GET /v1/links/export` writes, `POST /v1/links/import` reads.
//! Columns stand in any order and may be absent; an empty cell is the field's default.

use serde_json::{Map, Value, json};

use crate::csv::{guarded, unguarded};
use crate::problem::FieldError;

/// How a cell stands for a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As it is.
    Text,
    /// Comma-separated.
    List,
    Number,
    /// `true` or `false`; `yes`, `no`, `1` and `0` are read too.
    Switch,
    /// A member of `utm`.
    Utm(&'static str),
    /// As in the API.
    Json,
    /// Read, never written.
    Secret,
    /// Written, passed over when read.
    Told,
}

const COLUMNS: &[(&str, Kind)] = &[
    ("id", Kind::Told),
    ("short_url", Kind::Told),
    ("slug", Kind::Text),
    ("domain", Kind::Text),
    ("destination", Kind::Text),
    ("title", Kind::Text),
    ("tags", Kind::List),
    ("notes", Kind::Text),
    ("archived", Kind::Switch),
    ("enabled", Kind::Switch),
    ("status_code", Kind::Number),
    ("utm_source", Kind::Utm("source")),
    ("utm_medium", Kind::Utm("medium")),
    ("utm_campaign", Kind::Utm("campaign")),
    ("utm_term", Kind::Utm("term")),
    ("utm_content", Kind::Utm("content")),
    ("forward_query", Kind::Switch),
    ("track_conversions", Kind::Switch),
    ("program_id", Kind::Text),
    ("partner_id", Kind::Text),
    ("starts_at", Kind::Text),
    ("expires_at", Kind::Text),
    ("max_clicks", Kind::Number),
    ("daily_click_cap", Kind::Number),
    ("cap_timezone", Kind::Text),
    ("dedupe_window_seconds", Kind::Number),
    ("fallback", Kind::Text),
    ("password", Kind::Secret),
    ("rules", Kind::Json),
    ("variants", Kind::Json),
    ("sticky_days", Kind::Number),
    ("allocation", Kind::Text),
    ("objective", Kind::Text),
    ("clicks", Kind::Told),
    ("created_at", Kind::Told),
    ("updated_at", Kind::Told),
];

/// The first row of an export. Passwords are never in it.
pub fn header() -> impl Iterator<Item = &'static str> {
    exported().map(|(name, _)| name)
}

fn exported() -> impl Iterator<Item = (&'static str, Kind)> {
    COLUMNS.iter().copied().filter(|(_, kind)| *kind != Kind::Secret)
}

/// The row of a link as the API answers it.
pub fn row(link: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => guarded(text).into_owned(),
        other => other.to_string(),
    };
    exported()
        .map(|(name, kind)| match kind {
            Kind::Utm(member) => text(&link["utm"][member]),
            Kind::List => {
                let items = link[name].as_array().into_iter().flatten();
                guarded(&items.filter_map(Value::as_str).collect::<Vec<_>>().join(",")).into_owned()
            }
            Kind::Json if link[name].as_array().is_none_or(Vec::is_empty) => String::new(),
            _ => text(&link[name]),
        })
        .collect()
}

/// What a first row says its columns are: for each its index in the table.
pub fn columns(first: &[String]) -> Result<Vec<usize>, FieldError> {
    let mut found = Vec::with_capacity(first.len());
    for cell in first {
        let name = cell.trim().to_ascii_lowercase().replace([' ', '-'], "_");
        let at = COLUMNS.iter().position(|(known, _)| *known == name).filter(|at| !found.contains(at));
        let known = || COLUMNS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        found.push(at.ok_or_else(|| FieldError {
            field: cell.clone(),
            detail: format!(
                "is not a column, or is there twice; the first row names columns of: {}",
                known()
            ),
        })?);
    }
    if !found.iter().any(|at| COLUMNS[*at].0 == "destination") {
        let detail = "the first row must name the columns, `destination` among them".to_owned();
        return Err(FieldError { field: "destination".to_owned(), detail });
    }
    Ok(found)
}

/// The link that a row describes, as `POST /v1/links` takes it.
pub fn link(columns: &[usize], cells: &[String]) -> Result<Value, FieldError> {
    let mut link = Map::new();
    let mut utm = Map::new();
    if let Some(more) = cells.get(columns.len()..).and_then(|more| more.iter().find(|cell| !cell.is_empty()))
    {
        let detail = format!("`{more}` stands in no column");
        return Err(FieldError { field: "row".to_owned(), detail });
    }
    for (at, cell) in columns.iter().zip(cells) {
        let (name, kind) = COLUMNS[*at];
        let cell = unguarded(cell.trim());
        if cell.is_empty() {
            continue;
        }
        let wrong = |detail: &str| FieldError { field: name.to_owned(), detail: detail.to_owned() };
        let value = match kind {
            Kind::Told => continue,
            Kind::Utm(member) => {
                utm.insert(member.to_owned(), json!(cell));
                continue;
            }
            Kind::Text | Kind::Secret => json!(cell),
            Kind::List => json!(cell.split(',').map(str::trim).filter(|t| !t.is_empty()).collect::<Vec<_>>()),
            Kind::Number => json!(cell.parse::<u64>().map_err(|_| wrong("must be a whole number"))?),
            Kind::Switch => match cell.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => json!(true),
                "false" | "no" | "0" => json!(false),
                _ => return Err(wrong("must be true or false")),
            },
            Kind::Json => {
                serde_json::from_str(cell).map_err(|_| wrong("must be JSON as the API takes it"))?
            }
        };
        link.insert(name.to_owned(), value);
    }
    if !utm.is_empty() {
        link.insert("utm".to_owned(), Value::Object(utm));
    }
    Ok(Value::Object(link))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::LinkSpec;

    fn cells(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn every_field_of_a_link_has_its_column() {
        let spec: LinkSpec = serde_json::from_value(json!({"destination": "https://a.example/"})).unwrap();
        let fields = serde_json::to_value(spec).unwrap();
        for field in fields.as_object().unwrap().keys().filter(|field| *field != "utm") {
            assert!(COLUMNS.iter().any(|(name, _)| name == field), "{field}");
        }
    }

    #[test]
    fn an_exported_link_is_imported_as_it_was() {
        let spec = json!({"slug": "spring", "destination": "https://a.example/?a=1,2", "title": "=SUM(A1)",
            "tags": ["a", "b c"], "notes": "two\nlines", "archived": true, "status_code": 307, "max_clicks": 5,
            "utm": {"source": "x", "term": "-y"}, "track_conversions": false,
            "rules": [{"if": {"bot": true}, "destination": "https://b.example/"}]});
        let before: LinkSpec = serde_json::from_value(spec).unwrap();
        let columns = columns(&header().map(str::to_owned).collect::<Vec<_>>()).unwrap();
        let row = row(&serde_json::to_value(&before).unwrap());
        assert!(row.contains(&"'=SUM(A1)".to_owned()), "no spreadsheet runs it: {row:?}");
        let after: LinkSpec = serde_json::from_value(link(&columns, &row).unwrap()).unwrap();
        assert_eq!(after, before);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let of = |first: &[&str], row: &[&str]| {
            columns(&cells(first))
                .and_then(|columns| link(&columns, &cells(row)))
                .map_err(|error| error.field)
        };
        assert_eq!(of(&["Destination", "Max clicks"], &["https://a.example", "7"]).unwrap()["max_clicks"], 7);
        assert_eq!(of(&["destination", "colour"], &[]).unwrap_err(), "colour");
        assert_eq!(of(&["destination", "slug", "slug"], &[]).unwrap_err(), "slug");
        assert_eq!(of(&["slug"], &["a"]).unwrap_err(), "destination");
        assert_eq!(of(&["destination", "max_clicks"], &["x", "many"]).unwrap_err(), "max_clicks");
        assert_eq!(of(&["destination", "enabled"], &["x", "maybe"]).unwrap_err(), "enabled");
        assert_eq!(of(&["destination", "rules"], &["x", "[{"]).unwrap_err(), "rules");
        assert_eq!(of(&["destination"], &["x", "y"]).unwrap_err(), "row");
    }
}
