//! Where clicks are: `POST /v1/reports/heatmap`. Clicks of links by place (`kind: "geo"`), or clicks on the elements of
//! a page by where on it they were (`kind: "page"`).
//!
//! - `geo`: a cell is a place. The greater `zoom`, the finer: continents below 3, countries below 6, regions below
//!   9, else cities. The `max_cells` with most clicks are told, and what the others have is `omitted`.
//! - `page`: the page of one `path` (of one `site`) in `columns` parts of its width, as wide as it was for each
//!   visitor, and rows of `cell_height` CSS pixels.

use clickhouse::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_schemas::ids::{Sequence, SiteId};
use weir_schemas::problem::{FieldError, Problem};
use weir_schemas::query::ColumnType;

use super::super::execute::{QueryError, fetch_as};
use super::super::sql::{Parameter, Statement, click_terms, counted, event_terms, standing};
use super::scope::Scope;
use super::{Report, column};

/// Most cells told.
pub const CELLS_MAX: u32 = 10_000;
/// The largest zoom.
pub const ZOOM_MAX: u8 = 20;
/// Most columns of a page.
pub const COLUMNS_MAX: u32 = 500;

/// Counts as JSON numbers, whatever the server's profile says.
const NUMBERS: &str = "SETTINGS output_format_json_quote_64bit_integers = 0";

/// What of the world is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The earth.
    #[default]
    Geo,
    /// A page.
    Page,
}

/// The report's own members.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `geo` or `page`.
    #[serde(default)]
    pub kind: Kind,
    /// Of `geo`: 0 to 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zoom: Option<u8>,
    /// Most cells, at most 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cells: Option<u32>,
    /// Of `page`: the page's path, as the browser sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Of `page`: the site's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Of `page`: 1 to 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<u32>,
    /// Of `page`: CSS pixels, 1 to 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell_height: Option<u32>,
}

/// The report.
///
/// # Errors
/// 422 naming a field that does not fit.
pub async fn report(
    client: &Client,
    scope: &Scope,
    spec: &Spec,
    upto: Sequence,
) -> Result<Report, QueryError> {
    let cells = spec.max_cells.unwrap_or(1_000);
    let mut errors = Vec::new();
    let mut wrong = |field: &str, detail: String| errors.push(FieldError { field: field.to_owned(), detail });
    if cells == 0 || cells > CELLS_MAX {
        wrong("max_cells", format!("must lie between 1 and {CELLS_MAX}"));
    }
    let strangers: &[(&str, bool)] = match spec.kind {
        Kind::Geo => &[
            ("path", spec.path.is_some()),
            ("site", spec.site.is_some()),
            ("columns", spec.columns.is_some()),
            ("cell_height", spec.cell_height.is_some()),
        ],
        Kind::Page => &[("zoom", spec.zoom.is_some())],
    };
    for (field, _) in strangers.iter().filter(|(_, given)| *given) {
        let other = if spec.kind == Kind::Geo { "page" } else { "geo" };
        wrong(field, format!("is of `kind: \"{other}\"` only"));
    }
    if spec.zoom.is_some_and(|zoom| zoom > ZOOM_MAX) {
        wrong("zoom", format!("must not exceed {ZOOM_MAX}"));
    }
    if spec.columns.is_some_and(|columns| columns == 0 || columns > COLUMNS_MAX) {
        wrong("columns", format!("must lie between 1 and {COLUMNS_MAX}"));
    }
    if spec.cell_height.is_some_and(|height| height == 0 || height > 10_000) {
        wrong("cell_height", "must lie between 1 and 10000".to_owned());
    }
    if spec.kind == Kind::Page && spec.path.is_none() {
        wrong("path", "name the page, such as \"/pricing\"".to_owned());
    }
    let site = spec.site.as_deref().map(str::parse::<SiteId>).transpose();
    let site = site.unwrap_or_else(|error| {
        wrong("site", error.to_string());
        None
    });
    if !errors.is_empty() {
        return Err(Problem::fields(errors).into());
    }
    match spec.kind {
        Kind::Geo => geo(client, scope, spec.zoom.unwrap_or(3), cells, upto).await,
        Kind::Page => page(client, scope, spec, site, cells, upto).await,
    }
}

const PLACES: [&str; 4] = ["continent", "country", "region", "city"];

async fn geo(
    client: &Client,
    scope: &Scope,
    zoom: u8,
    cells: u32,
    upto: Sequence,
) -> Result<Report, QueryError> {
    let places = &PLACES[..=usize::from(zoom / 3).min(3)];
    let mut statement = Statement::default();
    let mut terms = click_terms(&scope.plan, upto, &mut statement);
    terms.push(counted(&scope.plan).to_owned());
    terms.push(standing(&scope.plan, upto));
    let keys: Vec<String> = places.iter().map(|place| format!("toString({place}) AS p_{place}")).collect();
    let groups: Vec<String> = places.iter().map(|place| format!("p_{place}")).collect();
    statement.sql = format!(
        "SELECT {}, count() AS n, uniqExact(visitor) AS v, sum(n) OVER () AS whole, count() OVER () AS cells \
         FROM clicks WHERE {} GROUP BY {2} ORDER BY n DESC, {2} LIMIT {cells} \
         {NUMBERS}",
        keys.join(", "),
        terms.join(" AND "),
        groups.join(", "),
    );
    let mut columns: Vec<_> = places.iter().map(|place| column(*place, ColumnType::String)).collect();
    columns.push(column("clicks", ColumnType::Integer));
    columns.push(column("visitors", ColumnType::Integer));
    answer(client, &statement, columns, places.len()).await
}

async fn page(
    client: &Client,
    scope: &Scope,
    spec: &Spec,
    site: Option<SiteId>,
    cells: u32,
    upto: Sequence,
) -> Result<Report, QueryError> {
    let (columns, height) = (spec.columns.unwrap_or(50), spec.cell_height.unwrap_or(20));
    let mut statement = Statement::default();
    let mut terms = event_terms(&scope.plan, upto, &mut statement);
    let path = statement.bind(Parameter::Texts(vec![spec.path.clone().unwrap_or_default()]));
    terms.push(format!("kind = 'click' AND page_width > 0 AND path = {path}[1]"));
    if let Some(site) = site {
        terms.push(format!("site = {}", site.0));
    }
    // A click right of the page's width (it was scrolled sideways) belongs to the last column.
    statement.sql = format!(
        "SELECT least(intDiv(toUInt64(x) * {columns}, page_width), {last}) AS cx, intDiv(y, {height}) AS cy, \
         count() AS n, uniqExact(visitor) AS v, sum(n) OVER () AS whole, count() OVER () AS cells \
         FROM events WHERE {} GROUP BY cx, cy ORDER BY n DESC, cy, cx LIMIT {cells} \
         {NUMBERS}",
        terms.join(" AND "),
        last = columns - 1,
    );
    let names = ["x", "y", "clicks", "visitors"].map(|name| column(name, ColumnType::Integer));
    let mut report = answer(client, &statement, names.to_vec(), 2).await?;
    report.more.insert("grid".to_owned(), json!({"columns": columns, "cell_height": height}));
    Ok(report)
}

/// Rows whose clicks stand at `count`; the last two columns are the sum and number of all cells.
async fn answer(
    client: &Client,
    statement: &Statement,
    columns: Vec<weir_schemas::query::Column>,
    count: usize,
) -> Result<Report, QueryError> {
    let (bytes, rows_read) = fetch_as(client, statement, "JSONCompactEachRow").await?;
    let mut report = Report { columns, rows_read, ..Report::default() };
    let (mut whole, mut cells, mut shown) = (0, 0, 0);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut row: Vec<Value> =
            serde_json::from_slice(line).map_err(|_| super::super::state_rows::BadAnswer(0))?;
        let at = |index: usize| row.get(index).and_then(Value::as_u64).unwrap_or(0);
        (whole, cells, shown) = (at(row.len() - 2), at(row.len() - 1), shown + at(count));
        row.truncate(report.columns.len());
        report.rows.push(row);
    }
    let omitted = json!({"cells": cells.saturating_sub(report.rows.len() as u64), "clicks": whole - shown});
    report.more.insert("omitted".to_owned(), omitted);
    report.more.insert("total".to_owned(), json!(whole));
    Ok(report)
}
