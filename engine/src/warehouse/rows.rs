//! The warehouse's rows, one Rust type per table; the order of fields is of no importance, their names are
//! the columns'. Tests against a real ClickHouse tie them to `schemas/sql`.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Serialize;
use weir_schemas::click::{Dims, Verdict};
use weir_schemas::effect::Effect;
use weir_schemas::event::{Event, Pointer};
use weir_schemas::ids::Sequence;

macro_rules! row_with_dims {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Row, Serialize)]
        #[allow(missing_docs)] // the columns are described in schemas/sql and in schemas::{click, effect}
        pub struct $name<'a> {
            $($(#[$fdoc])* pub $field: $type,)+
            pub domain: &'a str,
            pub variant: &'a str,
            pub country: &'a str,
            pub region: &'a str,
            pub city: &'a str,
            pub continent: &'a str,
            pub device: &'a str,
            pub browser: &'a str,
            pub os: &'a str,
            pub referrer: &'a str,
            pub medium: &'a str,
            pub utm_source: &'a str,
            pub utm_medium: &'a str,
            pub utm_campaign: &'a str,
            pub utm_term: &'a str,
            pub utm_content: &'a str,
            pub language: &'a str,
            pub signal: &'a str,
        }

        impl<'a> $name<'a> {
            #[allow(clippy::too_many_arguments, reason = "one per column, named by the macro")]
            fn with_dims(dims: &'a Dims<'_>, $($field: $type),+) -> Self {
                Self {
                    $($field,)+
                    domain: &dims.domain,
                    variant: &dims.variant,
                    country: &dims.country,
                    region: &dims.region,
                    city: &dims.city,
                    continent: &dims.continent,
                    device: &dims.device,
                    browser: &dims.browser,
                    os: &dims.os,
                    referrer: &dims.referrer,
                    medium: &dims.medium,
                    utm_source: &dims.utm_source,
                    utm_medium: &dims.utm_medium,
                    utm_campaign: &dims.utm_campaign,
                    utm_term: &dims.utm_term,
                    utm_content: &dims.utm_content,
                    language: &dims.language,
                    signal: &dims.signal,
                }
            }
        }
    };
}

row_with_dims! {
    /// A row of `effects`.
    EffectRow {
        node: u16,
        seq: u64,
        sub: u16,
        workspace: u32,
        /// Unix milliseconds.
        at: i64,
        event: &'a str,
        conversion: u64,
        order_id: &'a str,
        customer: u64,
        provider: &'a str,
        currency: &'a str,
        /// 0 where no click is credited.
        click: u128,
        link: u64,
        program: u64,
        partner: u64,
        visitor: u64,
        properties: &'a BTreeMap<String, String>,
        leads: i64,
        conversions: i64,
        orders: i64,
        events: i64,
        new_customers: i64,
        /// Minor units.
        revenue: i64,
        /// Minor units.
        refunds: i64,
        /// Minor units.
        commission: i64,
        hits: i64,
        /// Empty where it concerns a conversion.
        verdict: &'a str,
        asn: u32,
    }
}

row_with_dims! {
    /// A row of `events`.
    EventRow {
        node: u16,
        seq: u64,
        id: u128,
        /// Unix milliseconds.
        at: i64,
        kind: &'a str,
        event: &'a str,
        bot: bool,
        workspace: u32,
        site: u64,
        /// 0 where no click is known.
        click: u128,
        link: u64,
        program: u64,
        partner: u64,
        visitor: u64,
        network: u64,
        asn: u32,
        view: u64,
        path: &'a str,
        title: &'a str,
        engaged_ms: u32,
        scroll: u8,
        selector: &'a str,
        href: &'a str,
        x: u32,
        y: u32,
        element_x: u32,
        element_y: u32,
        page_width: u32,
        page_height: u32,
        /// Millionths: a `Decimal(18, 6)`'s own bytes.
        value: i64,
        currency: &'a str,
        properties: &'a [(&'a str, &'a str)],
    }
}

/// A row of `dead_letter`.
#[derive(Debug, Clone, PartialEq, Row, Serialize)]
#[allow(missing_docs)]
pub struct DeadLetterRow<'a> {
    pub node: u16,
    pub seq: u64,
    pub sub: u16,
    /// Unix milliseconds.
    pub at: i64,
    /// The table it was meant for.
    pub source: &'a str,
    pub reason: &'a str,
    /// The entry's bytes.
    #[serde(with = "bytes_as_string")]
    pub payload: &'a [u8],
}

mod bytes_as_string {
    //! ClickHouse's `String` holds any bytes.
    pub(super) fn serialize<S: serde::Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }
}

impl<'a> EventRow<'a> {
    /// The row of the event at `seq` of `node`'s journal.
    pub fn new(node: u16, seq: Sequence, event: &'a Event<'_>) -> Self {
        let told = &event.told;
        let Pointer { x, y, element_x, element_y, page_width, page_height } = told.pointer;
        Self::with_dims(
            &event.dims,
            node,
            seq,
            event.id.0,
            told.at.0,
            told.kind.as_str(),
            told.name,
            event.bot,
            told.workspace.0,
            told.site.0,
            told.click.0,
            told.link.0,
            event.program.0,
            event.partner.0,
            told.visitor,
            event.network,
            event.asn,
            told.view,
            told.path,
            told.title,
            told.engaged_ms,
            told.scroll,
            told.selector,
            told.href,
            x,
            y,
            element_x,
            element_y,
            page_width,
            page_height,
            told.value,
            told.currency,
            &told.properties,
        )
    }
}

impl<'a> EffectRow<'a> {
    /// The row of an effect of `node`'s books.
    pub fn new(node: u16, effect: &'a Effect) -> Self {
        Self::with_dims(
            &effect.dims,
            node,
            effect.seq,
            effect.sub,
            effect.workspace.0,
            effect.at.0,
            &effect.event,
            effect.conversion.0,
            &effect.order_id,
            effect.customer.0,
            &effect.provider,
            effect.currency.as_str(),
            effect.click.map_or(0, |click| click.0),
            effect.link.0,
            effect.program.0,
            effect.partner.0,
            effect.visitor,
            &effect.properties,
            effect.change.leads,
            effect.change.conversions,
            effect.change.orders,
            effect.change.events,
            effect.change.new_customers,
            effect.change.revenue,
            effect.change.refunds,
            effect.change.commission,
            effect.change.hits,
            effect.verdict.map_or("", Verdict::as_str),
            effect.asn,
        )
    }
}
