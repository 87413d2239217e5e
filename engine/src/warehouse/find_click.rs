//! A click by its id.

use clickhouse::{Client, Row};
use serde::Deserialize;
use weir_schemas::click::{Dims, Verdict};
use weir_schemas::fact::ClickFacts;
use weir_schemas::ids::{ClickId, LinkId, PartnerId, ProgramId, WorkspaceId};

#[derive(Debug, Row, Deserialize)]
struct Found {
    link: u64,
    program: u64,
    partner: u64,
    visitor: u64,
    bot: bool,
    asn: u32,
    verdict: String,
    /// The texts of [`Dims`] in their order.
    dims: Vec<String>,
}

/// The first columns are the primary key, so this reads one granule.
const SQL: &str = "SELECT link, program, partner, visitor, bot, asn, toString(verdict) AS verdict, \
    [domain, variant, country, region, city, continent, device, browser, os, referrer, medium, \
     utm_source, utm_medium, utm_campaign, utm_term, utm_content, language, signal] AS dims \
    FROM clicks WHERE workspace = {workspace:UInt32} AND at = fromUnixTimestamp64Milli({at:Int64}, 'UTC') \
    AND id = {id:UInt128} LIMIT 1";

pub(super) async fn find_click(
    client: &Client,
    workspace: WorkspaceId,
    id: ClickId,
) -> Result<Option<ClickFacts>, clickhouse::error::Error> {
    let found: Option<Found> = client
        .query(SQL)
        .param("workspace", workspace.0)
        .param("at", id.unix_ms())
        .param("id", id.0)
        .fetch_optional()
        .await?;
    Ok(found.map(|found| {
        let mut texts = found.dims.into_iter().map(std::borrow::Cow::Owned);
        let mut next = || texts.next().unwrap_or_default();
        ClickFacts {
            id,
            link: LinkId(found.link),
            program: ProgramId(found.program),
            partner: PartnerId(found.partner),
            visitor: found.visitor,
            bot: found.bot,
            asn: found.asn,
            verdict: Verdict::from_name(&found.verdict),
            dims: Dims {
                domain: next(),
                variant: next(),
                country: next(),
                region: next(),
                city: next(),
                continent: next(),
                device: next(),
                browser: next(),
                os: next(),
                referrer: next(),
                medium: next(),
                utm_source: next(),
                utm_medium: next(),
                utm_campaign: next(),
                utm_term: next(),
                utm_content: next(),
                language: next(),
                signal: next(),
            },
        }
    }))
}
