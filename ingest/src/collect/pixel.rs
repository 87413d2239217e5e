//! `GET /i?site=ste_…`: an impression, told by an image of one transparent pixel. Mail programs send no referrer, so a
//! request without one is believed; a page of another site is refused. Further parameters: `url` (the page, else the
//! referrer), `referrer`, `wclid`; `utm_…` go to their dimensions, all others are properties.

use std::net::IpAddr;

use http::header::REFERER;
use http::{Method, StatusCode};
use weir_edge::request::Context;
use weir_edge::response::{Response, typed, with};
use weir_schemas::event::{EVENT_NAME_MAX, EventKind, PROPERTIES_MAX, PROPERTY_VALUE_MAX, Pointer};
use weir_schemas::ids::SiteId;
use weir_schemas::wire::truncate;

use super::payload::{Page, Sent};
use super::{NO_STORE, Refused, record};
use crate::redirect::Redirect;

/// A transparent GIF of one pixel.
const GIF: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x21\xf9\x04\x01\x00\x00\x00\x00\
    \x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

pub(super) fn answer(redirect: &Redirect, context: &Context, address: IpAddr) -> Result<Response, Refused> {
    let site = context.query_value("site").and_then(|text| text.parse::<SiteId>().ok());
    let site =
        site.and_then(|id| redirect.config().collect.sites.find(id)).ok_or_else(Refused::unknown_site)?;
    let shown_on = context.header(REFERER.as_str()).and_then(Page::read);
    if let Some(page) = &shown_on
        && !site.has_origin(&page.origin)
    {
        return Err(Refused::foreign_origin(&page.origin));
    }
    if context.method() == Method::GET {
        let event = impression(context, site.id, shown_on);
        record(redirect, context.headers(), address, std::iter::once((&event, &*site)))?;
    }
    let (name, value) = NO_STORE;
    Ok(with(typed(StatusCode::OK, "image/gif", GIF), name, value))
}

fn impression(context: &Context, site: SiteId, shown_on: Option<Page>) -> Sent {
    let value = |name: &str| context.query_value(name).unwrap_or_default().into_owned();
    let mut page = Page::read(&value("url")).or(shown_on).unwrap_or_default();
    // The pixel's own UTM values say which campaign was shown.
    if context.query_pairs().any(|(name, _)| name.starts_with("utm_")) {
        page.query = context.query_string().to_owned();
    }
    let mut properties: Vec<(String, String)> = Vec::new();
    for (name, text) in context.query_pairs() {
        let own = matches!(&*name, "site" | "url" | "referrer" | "wclid") || name.starts_with("utm_");
        let known = properties.iter().any(|(other, _)| *other == *name);
        if own || known || name.is_empty() || name.len() > EVENT_NAME_MAX || text.is_empty() {
            continue;
        }
        if properties.len() == PROPERTIES_MAX {
            break;
        }
        properties.push((name.into_owned(), truncate(&text, PROPERTY_VALUE_MAX).to_owned()));
    }
    properties.sort_unstable();
    Sent {
        site,
        wclid: value("wclid"),
        kind: EventKind::Impression,
        name: EventKind::Impression.as_str().to_owned(),
        page,
        referrer: value("referrer"),
        title: String::new(),
        ago_ms: 0,
        view: 0,
        engaged_ms: 0,
        scroll: 0,
        selector: String::new(),
        href: String::new(),
        pointer: Pointer::default(),
        value: 0,
        currency: String::new(),
        properties,
    }
}
