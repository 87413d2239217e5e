//! `/openapi.json`: the contract as a document. Every route of the admin API is stated in [`OPERATIONS`]; a
//! test holds the table against the routers. Bodies are the types of `schemas`, so they cannot drift from
//! what is parsed. Long, because it is one table: every operation there is.

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};
use weir_edge::response::{typed, with};
use weir_edge::route::Router;
use weir_schemas::alert::AlertSpec;
use weir_schemas::commission::Commission;
use weir_schemas::conversion::{Conversion, NewConversion, NewRefund};
use weir_schemas::fx::FxRate;
use weir_schemas::ledger::Account;
use weir_schemas::link::{Link, LinkSpec};
use weir_schemas::outbound::{FulfilmentSpec, OutboundSpec};
use weir_schemas::partner::Partner;
use weir_schemas::payout::{Payout, PayoutBatch};
use weir_schemas::postback::PostbackSettings;
use weir_schemas::program::{MilestoneProgress, MilestoneReached, Program, ProgramSpec};
use weir_schemas::query::Answer;
use weir_schemas::saved::SavedQuerySpec;
use weir_schemas::statement::{Statement, StatementOf};
use weir_schemas::wallet::{ClaimOutcome, Wallet, WalletLine};

mod public;
mod queries;
mod reports;
mod saved;

/// One operation.
struct Operation {
    method: &'static str,
    path: &'static str,
    tag: &'static str,
    id: &'static str,
    summary: &'static str,
    /// The schema of the body, if it takes one.
    body: Option<&'static str>,
    /// Status and schema of a success; an empty schema has no body.
    success: (u16, &'static str),
    /// Query parameters.
    parameters: &'static [(&'static str, &'static str)],
}

const PAGE: &[(&str, &str)] =
    &[("limit", "Most items, 1 to 200 (50)"), ("cursor", "`next_cursor` of the page before")];

/// Of lists that are answered whole where no limit is given.
const SHORT: &[(&str, &str)] =
    &[("limit", "Most items, 1 to 1,000 (all)"), ("cursor", "`next_cursor` of the page before")];

const FORMAT: &[(&str, &str)] =
    &[("format", "`csv`, `ndjson`, `parquet` or `arrow`: the rows alone, instead of JSON")];

macro_rules! operations {
    ($($method:ident $path:literal $tag:literal $id:ident $summary:literal
       ($body:expr) -> $status:literal $schema:literal $(, $parameters:expr)?;)+) => {
        &[$(Operation {
            method: stringify!($method),
            path: $path,
            tag: $tag,
            id: stringify!($id),
            summary: $summary,
            body: $body,
            success: ($status, $schema),
            parameters: { #[allow(unused_mut, unused_assignments)] let mut given: &[(&str, &str)] = &[];
                          $( given = $parameters; )? given },
        }),+]
    };
}
use operations;

static OPERATIONS: &[Operation] = operations! {
    post "/v1/links" "Links" createLink "Makes a link; the slug is generated where absent"
        (Some("LinkSpec")) -> 201 "Link";
    post "/v1/links/bulk" "Links" createLinks "Makes up to 1,000 links; each item has its own result"
        (Some("Any")) -> 200 "Any";
    get "/v1/links" "Links" listLinks "Lists links, newest first" (None) -> 200 "Page",
        &[("limit", "Most items, 1 to 200 (50)"), ("cursor", "`next_cursor` of the page before"),
          ("search", "Part of slug, domain, title, notes or destination"), ("tag", "A tag"),
          ("partner_id", "A partner"), ("program_id", "A program"),
          ("domain", "A host; empty for the engine's own"), ("archived", "`false` (the default), `true` or `all`")];
    patch "/v1/links/bulk" "Links" changeLinks
        "Changes up to 1,000 links: `links` with `id` and what changes, or one `patch` for all `ids`"
        (Some("Any")) -> 200 "Any";
    delete "/v1/links/bulk" "Links" deleteLinks "Deletes up to 1,000 links: `ids`" (Some("Any")) -> 200 "Any";
    post "/v1/links/import" "Links" importLinks
        "Makes up to 1,000 links from CSV (text/csv) whose first row names the columns; each row has its own result"
        (Some("Table")) -> 200 "Any";
    get "/v1/links/export" "Links" exportLinks "Links as CSV, the filters as for the list" (None) -> 200 "",
        &[("search", "As for the list"), ("tag", "A tag"), ("partner_id", "A partner"), ("program_id", "A program"),
          ("domain", "A host; empty for the engine's own"), ("archived", "`all` (the default), `true` or `false`")];
    get "/v1/tags" "Links" listTags "The tags in use, the most used first" (None) -> 200 "Page", SHORT;
    get "/v1/links/{id}" "Links" readLink "Reads a link" (None) -> 200 "Link";
    patch "/v1/links/{id}" "Links" changeLink "Changes the fields given" (Some("Any")) -> 200 "Link";
    delete "/v1/links/{id}" "Links" deleteLink "Deletes a link; its history stays" (None) -> 204 "";
    get "/v1/links/{id}/allocation" "Links" linkAllocation
        "How visits are split over variants, and the decisions that led there" (None) -> 200 "Any";
    post "/v1/links/{id}/preview" "Links" previewLink
        "What a visitor would meet and why, in words: `address` or `country`, `user_agent`, `referrer`, `language`, `query`, …"
        (Some("Any")) -> 200 "Any";
    get "/v1/links/{id}/signals" "Links" linkSignals
        "What makes clicks of the last 30 days suspicious, how often, and the last of each with its evidence"
        (None) -> 200 "Any";
    get "/v1/links/{id}/qr" "Links" linkCode "The short URL as a QR code, an image" (None) -> 200 "",
        &[("format", "`svg` (the default) or `png`")];
    post "/v1/clicks/{id}/verdict" "Links" judgeClick
        "Judges a click late: `verdict` `blocked` takes it back out of the counts, `counted` puts it back; `reason`"
        (Some("Any")) -> 200 "Any";
    post "/v1/blocklist" "Blocklist" blockDestination
        "Puts a host on the list of destinations that links may not lead to: `pattern`, `reason`"
        (Some("Any")) -> 201 "Any";
    get "/v1/blocklist" "Blocklist" listBlocked "Lists what is blocked, newest first" (None) -> 200 "Page", PAGE;
    delete "/v1/blocklist/{id}" "Blocklist" unblockDestination "Takes a pattern off the list" (None) -> 204 "";
    post "/v1/conversions" "Conversions" reportConversion
        "Reports a conversion; a repeat of `order_id` and `event` answers 200"
        (Some("NewConversion")) -> 201 "Conversion";
    post "/v1/conversions/import" "Conversions" importConversions
        "Reports offline conversions from a table (CSV), up to 10,000 rows; each has its own result"
        (None) -> 200 "Any", &[("dry_run", "`true`: say what would become of every row, and change nothing")];
    post "/v1/refunds" "Conversions" reportRefund "Gives all or a part of an order back"
        (Some("NewRefund")) -> 201 "Any";
    get "/v1/conversions" "Conversions" listConversions "Lists conversions, newest first" (None) -> 200 "Page",
        &[("limit", "Most items, 1 to 200 (50)"), ("cursor", "`next_cursor` of the page before"),
          ("order_id", "An order"), ("customer_id", "A customer"), ("partner_id", "A partner")];
    get "/v1/conversions/{id}" "Conversions" readConversion "Reads a conversion" (None) -> 200 "Conversion";
    get "/v1/conversions/{id}/trace" "Conversions" traceConversion
        "Every candidate touch, which rule took or refused it, and why" (None) -> 200 "Any";
    get "/v1/customers" "Customers" listCustomers "Lists the customers, newest first" (None) -> 200 "Page", PAGE;
    post "/v1/customers/{id}/merge" "Customers" mergeCustomers
        "This customer goes on as `into`: conversions, touches and subscriptions move" (Some("Any")) -> 200 "Any";
    get "/v1/customers/{id}" "Customers" readCustomer "Profile, touches, orders, lifetime value"
        (None) -> 200 "Any";
    delete "/v1/customers/{id}" "Customers" eraseCustomer "Forgets the person; the numbers stay"
        (None) -> 204 "";
    get "/v1/customers/{id}/wallet" "Money" readWallet
        "A customer's cashback by state and currency, and the last claims" (None) -> 200 "Wallet";
    get "/v1/customers/{id}/wallet/history" "Money" listWallet
        "What brought something into the wallet, the last first, each with its state" (None) -> 200 "WalletPage", PAGE;
    post "/v1/customers/{id}/wallet/claim" "Money" claimCashback
        "Claims all that is payable, in one `currency` or in each; `reference`" (Some("Any")) -> 201 "ClaimOutcome";
    post "/v1/programs" "Programs" createProgram "Makes a program: the terms by which partners earn"
        (Some("ProgramSpec")) -> 201 "Program";
    get "/v1/programs" "Programs" listPrograms "Lists programs, newest first" (None) -> 200 "Page", PAGE;
    get "/v1/programs/{id}" "Programs" readProgram "Reads a program" (None) -> 200 "Program";
    get "/v1/programs/{id}/versions" "Programs" listProgramVersions "Every version of its terms, newest first"
        (None) -> 200 "Page", SHORT;
    get "/v1/programs/{id}/uplift" "Programs" cashbackUplift
        "What customers with the program's cashback buy, beside those without" (None) -> 200 "Any",
        &[("from", "From this time on (RFC 3339); 90 days before the end where absent"),
          ("to", "Up to this time; now where absent")];
    patch "/v1/programs/{id}" "Programs" changeProgram
        "Changes the fields given, as a new version; old conversions keep theirs" (Some("Any")) -> 200 "Program";
    post "/v1/partners" "Partners" createPartner "Makes a partner; a code is drawn where absent"
        (Some("Any")) -> 201 "Partner";
    post "/v1/partners/sign-up" "Partners" signUpPartner
        "Joins a program that takes sign-ups, without a key; answers one that sees the partner's own numbers"
        (Some("SignUpPartner")) -> 201 "Any";
    get "/v1/partners" "Partners" listPartners "Lists partners, newest first" (None) -> 200 "Page",
        &[("limit", "Most items, 1 to 1,000 (50)"), ("cursor", "`next_cursor` of the page before"),
          ("status", "`pending`, `approved`, `suspended` or `rejected`"), ("program_id", "A program"),
          ("code", "A code"), ("search", "Part of name or code")];
    get "/v1/partners/{id}" "Partners" readPartner "Reads a partner" (None) -> 200 "Partner";
    patch "/v1/partners/{id}" "Partners" changePartner "Changes the fields given" (Some("Any")) -> 200 "Partner";
    get "/v1/commissions" "Money" listCommissions "Lists what partners earn, newest first" (None) -> 200 "Page",
        &[("limit", "Most items, 1 to 1,000 (50)"), ("cursor", "`next_cursor` of the page before"),
          ("partner_id", "A partner"), ("program_id", "A program"), ("conversion_id", "A conversion"),
          ("payout_id", "A payout"), ("customer_id", "A customer: lists their cashback instead"),
          ("kind", "`commission`, `referral`, `bonus`, `cashback` or `welcome`"),
          ("status", "`pending`, `approved`, `paid`, `rejected`, `reversed` or `held`")];
    get "/v1/commissions/{id}" "Money" readCommission "Reads a commission" (None) -> 200 "Commission";
    post "/v1/commissions/{id}/approve" "Money" approveCommission "Approves it now, whatever is left of its hold"
        (Some("Any")) -> 200 "Commission";
    post "/v1/commissions/{id}/hold" "Money" holdCommission "Keeps it from being paid, with a reason"
        (Some("Any")) -> 200 "Commission";
    post "/v1/commissions/{id}/release" "Money" releaseCommission "Holds it no longer"
        (Some("Any")) -> 200 "Commission";
    post "/v1/commissions/{id}/reject" "Money" rejectCommission "Takes it back for good, with a reason"
        (Some("Any")) -> 200 "Commission";
    post "/v1/payouts" "Money" createPayouts "Makes a batch of payouts of all that is due, or previews it (`dry_run`)"
        (Some("NewPayouts")) -> 201 "PayoutBatch", &[("dry_run", "`true`: as in the body")];
    get "/v1/payouts" "Money" listPayouts "Lists payouts, newest first" (None) -> 200 "Page",
        &[("limit", "Most items, 1 to 1,000 (50)"), ("cursor", "`next_cursor` of the page before"),
          ("partner_id", "A partner"), ("batch_id", "A batch"),
          ("status", "`pending`, `processing`, `paid`, `failed` or `cancelled`")];
    get "/v1/payouts/{id}" "Money" readPayout "Reads a payout, or a batch" (None) -> 200 "Payout";
    get "/v1/payouts/{id}/csv" "Money" payoutTable "A payout or a batch as a table to pay it by" (None) -> 200 "",
        &[("format", "`bank` (the default), `paypal` or `wise`: each holds the open payouts that go by it"),
          ("currency", "Only payouts of this currency; PayPal takes one in a file")];
    post "/v1/payouts/{id}/processing" "Money" sendPayout "It, or all of a batch, is on its way"
        (Some("Any")) -> 200 "Any";
    post "/v1/payouts/{id}/paid" "Money" payPayout "It, or all of a batch, has arrived" (Some("Any")) -> 200 "Any";
    post "/v1/payouts/{id}/failed" "Money" failPayout "It came back: what it held is due again"
        (Some("Any")) -> 200 "Any";
    post "/v1/payouts/{id}/cancel" "Money" cancelPayout "Calls it off: what it held is due again"
        (Some("Any")) -> 200 "Any";
    get "/v1/partners/{id}/stats" "Partners" partnerStats "Clicks, orders, revenue and balances of a partner"
        (None) -> 200 "Any";
    get "/v1/partners/{id}/tiers" "Partners" partnerTiers
        "In each program the tier of the next sale, what the next tier asks, and the tiers of the sales until now"
        (None) -> 200 "Page", SHORT;
    get "/v1/partners/{id}/statements" "Partners" listStatements
        "The months in which a partner earned or was paid, the last first, with their sums" (None) -> 200 "StatementPage", SHORT;
    get "/v1/partners/{id}/statements/{month}" "Partners" readStatement
        "What a partner earned, lost again and was paid in a month such as `2026-11`, line by line" (None) -> 200 "Any",
        &[("format", "`json` (the default), `csv` or `html`, a page to print")];
    get "/v1/leaderboard" "Partners" leaderboard "Partners by what they sold" (None) -> 200 "Page",
        &[("program_id", "A program"), ("month", "Such as 2026-11"), ("currency", "An ISO 4217 code"),
          ("metric", "`revenue` (the default) or `orders`"), ("limit", "Most places, 1 to 1,000 (50)")];
    get "/v1/milestones" "Programs" listMilestones
        "How milestones and targets stand today, this month or ever: for all partners together, and for those who have most"
        (None) -> 200 "MilestonePage",
        &[("limit", "Most items, 1 to 1,000 (all)"), ("cursor", "`next_cursor` of the page before"),
          ("program_id", "A program"), ("partner_id", "A partner")];
    get "/v1/milestones/reached" "Programs" listMilestonesReached "Milestones that were reached, the last first"
        (None) -> 200 "MilestoneReachedPage",
        &[("limit", "Most items, 1 to 1,000 (50)"), ("cursor", "`next_cursor` of the page before"),
          ("program_id", "A program"), ("partner_id", "A partner")];
    get "/v1/accounts" "Money" listAccounts "Lists the ledger's accounts, newest first" (None) -> 200 "Page",
        &[("limit", "Most items, 1 to 1,000 (50)"), ("cursor", "`next_cursor` of the page before"),
          ("owner", "`merchant`, `platform`, `partner` or `customer`"), ("partner_id", "A partner"),
          ("customer", "A customer, by Weir's id"), ("owner_id", "A partner or customer"),
          ("kind", "`pending`, `approved`, `revenue`, …"), ("currency", "An ISO 4217 code")];
    get "/v1/accounts/{id}" "Money" readAccount "Reads an account and its balance" (None) -> 200 "Account";
    get "/v1/accounts/{id}/entries" "Money" listEntries "Its entries, newest first, each with the balance after it"
        (None) -> 200 "Page", PAGE;
    post "/v1/webhook-endpoints" "Webhooks" createEndpoint "Makes an endpoint for a provider's webhooks"
        (Some("Any")) -> 201 "Any";
    get "/v1/webhook-endpoints" "Webhooks" listEndpoints "Lists the endpoints" (None) -> 200 "Page", SHORT;
    get "/v1/webhook-endpoints/{id}" "Webhooks" readEndpoint "Reads an endpoint" (None) -> 200 "Any";
    patch "/v1/webhook-endpoints/{id}" "Webhooks" changeEndpoint "Replaces its secrets or its settings"
        (Some("Any")) -> 200 "Any";
    delete "/v1/webhook-endpoints/{id}" "Webhooks" deleteEndpoint "Deletes an endpoint" (None) -> 204 "";
    get "/v1/webhook-endpoints/{id}/deliveries" "Webhooks" listDeliveries
        "What came in there, and what became of it" (None) -> 200 "Page", PAGE;
    post "/v1/webhook-endpoints/{id}/deliveries/{delivery}/replay" "Webhooks" replayDelivery
        "Tries a delivery again that conflicted, waited or failed; one that is booked changes nothing"
        (None) -> 200 "Any";
    post "/v1/outbound-endpoints" "Outbound" createOutboundEndpoint
        "Makes an endpoint that is told of what happens, signed as Standard Webhooks say; its secret is shown once"
        (Some("NewOutbound")) -> 201 "Any";
    get "/v1/outbound-endpoints" "Outbound" listOutboundEndpoints "Lists the outbound endpoints"
        (None) -> 200 "Page", SHORT;
    get "/v1/outbound-endpoints/{id}" "Outbound" readOutboundEndpoint "Reads an outbound endpoint"
        (None) -> 200 "Any";
    patch "/v1/outbound-endpoints/{id}" "Outbound" changeOutboundEndpoint
        "Changes the fields given; `enabled: true` goes on where a failing endpoint stopped"
        (Some("Any")) -> 200 "Any";
    post "/v1/outbound-endpoints/{id}/rotate" "Outbound" rotateOutboundSecret
        "A new secret; the one before signs beside it until the next" (None) -> 200 "Any";
    delete "/v1/outbound-endpoints/{id}" "Outbound" deleteOutboundEndpoint "Deletes an outbound endpoint"
        (None) -> 204 "";
    get "/v1/outbound-endpoints/{id}/deliveries" "Outbound" listOutboundDeliveries
        "What was sent and what waits, each with its last tries" (None) -> 200 "Page", PAGE;
    post "/v1/outbound-endpoints/{id}/deliveries/{message}/replay" "Outbound" replayOutboundDelivery
        "Delivers a message once more" (None) -> 202 "Any";
    post "/v1/fulfilments" "Outbound" createFulfilment
        "From now on such a sale mints a link with an end, told in `conversion.created`"
        (Some("FulfilmentSpec")) -> 201 "Any";
    get "/v1/fulfilments" "Outbound" listFulfilments "Lists the fulfilments" (None) -> 200 "Page", SHORT;
    delete "/v1/fulfilments/{id}" "Outbound" deleteFulfilment "Deletes a fulfilment; minted links stay"
        (None) -> 204 "";
    post "/v1/postback-tokens" "Webhooks" createPostbackToken
        "Makes a token with which a network reports at `/postback`; it is shown once"
        (Some("PostbackSettings")) -> 201 "Any";
    get "/v1/postback-tokens" "Webhooks" listPostbackTokens "Lists the postback tokens" (None) -> 200 "Page", SHORT;
    patch "/v1/postback-tokens/{id}" "Webhooks" changePostbackToken "Changes the fields given"
        (Some("PostbackSettings")) -> 200 "Any";
    post "/v1/postback-tokens/{id}/rotate" "Webhooks" rotatePostbackToken
        "A new secret; the one before stays good for `grace_hours` (24)" (Some("Any")) -> 200 "Any";
    delete "/v1/postback-tokens/{id}" "Webhooks" deletePostbackToken "Deletes a postback token" (None) -> 204 "";
    post "/v1/sites" "Sites" createSite "Registers a site, so that its pages may send events; answers its snippet"
        (Some("NewSite")) -> 201 "Site";
    put "/v1/fx-rates" "Exchange rates" putRates
        "Puts exchange rates into the workspace's table, JSON or CSV (`date,currency,rate`); for reports only"
        (Some("FxRates")) -> 200 "Any", &[("base", "CSV: whose one unit the rates are prices of"),
            ("source", "CSV: whose rates they are")];
    get "/v1/fx-rates" "Exchange rates" listRates "Lists exchange rates, the newest day first" (None) -> 200 "Page",
        &[("limit", "Most items, 1 to 200 (50)"), ("cursor", "`next_cursor` of the page before"),
          ("from", "From this day on"), ("to", "Before this day"), ("currency", "Of this currency")];
    delete "/v1/fx-rates" "Exchange rates" clearRates "Empties the table" (None) -> 204 "";
    get "/v1/sites" "Sites" listSites "Lists the sites" (None) -> 200 "Page", SHORT;
    get "/v1/sites/{id}" "Sites" readSite "Reads a site" (None) -> 200 "Site";
    delete "/v1/sites/{id}" "Sites" deleteSite "Deletes a site: its pages may send no more" (None) -> 204 "";
    post "/v1/query" "Query" query "Answers a query over all facts" (Some("Query")) -> 200 "Answer",
        FORMAT;
    post "/v1/export" "Query" export "Streams raw rows, each with the cursor to go on after"
        (Some("Export")) -> 200 "", &[("format", "`ndjson` (the default), `csv`, `parquet` or `arrow`")];
    post "/v1/reports/funnel" "Reports" funnel "How many do one step after another, and how long they take"
        (Some("Funnel")) -> 200 "Report", FORMAT;
    post "/v1/reports/retention" "Reports" retention "Who comes back, by the period of the first time"
        (Some("Retention")) -> 200 "Report", FORMAT;
    post "/v1/reports/cohort-revenue" "Reports" cohortRevenue "What customers bring, by when they were won"
        (Some("CohortRevenue")) -> 200 "Report", FORMAT;
    post "/v1/reports/rfm" "Reports" rfm "Customers by recency, frequency and monetary value"
        (Some("Rfm")) -> 200 "Report", FORMAT;
    post "/v1/reports/ltv" "Reports" ltv "What customers were worth, by what won them"
        (Some("Ltv")) -> 200 "Report", FORMAT;
    post "/v1/reports/subscriptions" "Reports" subscriptions "Recurring revenue month by month, and churn"
        (Some("Subscriptions")) -> 200 "Report", FORMAT;
    post "/v1/reports/attribution" "Reports" attribution "Which clicks earned the conversions, by seven models"
        (Some("Attribution")) -> 200 "Report", FORMAT;
    post "/v1/reports/paths" "Reports" paths "The ways that lead to conversions"
        (Some("Paths")) -> 200 "Report", FORMAT;
    post "/v1/reports/experiment" "Reports" experiment "Which arm of a split does better, and how sure that is"
        (Some("Experiment")) -> 200 "Report", FORMAT;
    post "/v1/reports/heatmap" "Reports" heatmap "Where clicks are: on the earth, on a page"
        (Some("Heatmap")) -> 200 "Report", FORMAT;
    post "/v1/reports/anomalies" "Reports" anomalies "Hours that are unlike the same hours of the weeks before"
        (Some("Anomalies")) -> 200 "Report", FORMAT;
    post "/v1/alerts" "Alerts" createAlert
        "Watches a metric: `threshold`, percentage `drop`, `no_data` or `anomaly`; told as `alert.fired`, `alert.resolved`"
        (Some("AlertSpec")) -> 201 "Alert";
    get "/v1/alerts" "Alerts" listAlerts "Lists the alerts and how they stand, newest first"
        (None) -> 200 "Page", SHORT;
    get "/v1/alerts/{id}" "Alerts" readAlert "Reads an alert, with its last 200 changes in `history`"
        (None) -> 200 "Alert";
    patch "/v1/alerts/{id}" "Alerts" changeAlert "Changes the fields given; it is watched anew"
        (Some("Any")) -> 200 "Alert";
    delete "/v1/alerts/{id}" "Alerts" deleteAlert "Deletes an alert" (None) -> 204 "";
    post "/v1/saved-queries" "Saved queries" createSavedQuery
        "Saves a query, or with `report` the question of a report or of the `overview`; it is checked as if asked"
        (Some("SavedQuerySpec")) -> 201 "SavedQuery";
    get "/v1/saved-queries" "Saved queries" listSavedQueries "Lists the saved queries, newest first"
        (None) -> 200 "Page", SHORT;
    get "/v1/saved-queries/{id}" "Saved queries" readSavedQuery "Reads a saved query" (None) -> 200 "SavedQuery";
    patch "/v1/saved-queries/{id}" "Saved queries" changeSavedQuery "Changes the fields given"
        (Some("Any")) -> 200 "SavedQuery";
    delete "/v1/saved-queries/{id}" "Saved queries" deleteSavedQuery
        "Deletes a saved query; links that share it stay as they are" (None) -> 204 "";
    post "/v1/shares" "Saved queries" createShare
        "Makes a link that shows one question's answer to whoever has it; its `token` and `url` are shown once"
        (Some("NewShare")) -> 201 "Share";
    get "/v1/shares" "Saved queries" listShares "Lists the share links that are not revoked, newest first"
        (None) -> 200 "Page", SHORT;
    delete "/v1/shares/{id}" "Saved queries" revokeShare "Revokes a share link" (None) -> 204 "";
    get "/v1/shared/{token}" "Saved queries" readShared
        "What a share link shows, without a key; 410 once it has expired or was revoked; 60 at once, one a second"
        (None) -> 200 "Shared", FORMAT;
    get "/v1/live" "Live" live "A WebSocket of the subprotocol weir.v1.json" (None) -> 101 "";
    post "/v1/live/tickets" "Live" createTicket "A single-use ticket for a browser's WebSocket"
        (None) -> 201 "Any";
    post "/v1/keys" "Keys" createKey "Makes an API key; its secret is shown once" (Some("Any")) -> 201 "Any";
    get "/v1/keys" "Keys" listKeys "Lists the keys" (None) -> 200 "Page", SHORT;
    patch "/v1/keys/{id}" "Keys" updateKey "Gives a key another name or role" (Some("Any")) -> 200 "Any";
    post "/v1/keys/{id}/sign-in-links" "Keys" createSignInLink "A link that signs somebody in as the key, once, within the hour" (None) -> 201 "Any";
    delete "/v1/keys/{id}" "Keys" revokeKey "Revokes a key" (None) -> 204 "";
    get "/v1/workspace" "Workspaces" readWorkspace "The caller's own workspace" (None) -> 200 "Any";
    patch "/v1/workspace" "Workspaces" changeWorkspace "Changes `name`, `currency` or `timezone`"
        (Some("Any")) -> 200 "Any";
    get "/v1/workspaces" "Workspaces" listWorkspaces
        "Every workspace of the engine, for admins of the first; the others see theirs alone"
        (None) -> 200 "Page", SHORT;
    post "/v1/workspaces" "Workspaces" createWorkspace
        "Makes a workspace: `name`, `currency`, `timezone`; `key`, its first, is shown once" (Some("Any")) -> 201 "Any";
    get "/v1/admin/health" "Operations" engineHealth
        "How far each follower is, what waits, what was dropped or refused and why, what the machine has left"
        (None) -> 200 "Any";
    get "/v1/admin/dead-letters" "Operations" listDeadLetters "What ClickHouse would not take, and why"
        (None) -> 200 "Page", PAGE;
    post "/v1/admin/dead-letters/retry" "Operations" retryDeadLetters
        "Tries to store them again: those of `sequences`, or all (up to 1,000 at a time)" (Some("Any")) -> 200 "Any";
    get "/v1/admin/incidents" "Operations" listIncidents
        "Incidents in the operator's words, as the status page shows them" (None) -> 200 "Page", SHORT;
    post "/v1/admin/incidents" "Operations" createIncident
        "Tells of one on the status page: `title`, `text`, `components` (`redirects`, `recording`, `analytics`), `state` \
         (`investigating`, `identified`, `monitoring`, `resolved`)" (Some("Any")) -> 201 "Any";
    post "/v1/admin/incidents/{id}/updates" "Operations" updateIncident "Says more of it: `state`, `text`"
        (Some("Any")) -> 200 "Any";
    delete "/v1/admin/incidents/{id}" "Operations" deleteIncident "Takes it off the status page" (None) -> 204 "";
    get "/v1/admin/audit" "Operations" listAudit "Who changed what, the last change first" (None) -> 200 "Page",
        &[("limit", "Most items, 1 to 1,000 (50)"), ("cursor", "`next_cursor` of the page before"),
          ("action", "Such as `link_created`"), ("actor", "A key's id, or `system`"), ("subject", "An id")];
    post "/v1/session" "Session" signIn "Begins a session of the dashboard" (Some("Any")) -> 204 "";
    get "/v1/session" "Session" session "Who is signed in" (None) -> 200 "Any";
    delete "/v1/session" "Session" signOut "Ends the session" (None) -> 204 "";
    get "/metrics" "Operations" metrics "Prometheus metrics" (None) -> 200 "";
    get "/healthz" "Operations" health "The process answers" (None) -> 200 "";
    get "/readyz" "Operations" readiness "The engine can record" (None) -> 200 "Any";
};

fn schema_of<T: PartialSchema + ToSchema>(into: &mut Map<String, Value>) {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    for (name, schema) in parts {
        into.insert(name, json!(schema));
    }
    into.insert(T::name().into_owned(), json!(T::schema()));
}

/// The document; `public_url` is what short URLs begin with.
pub(super) fn document(public_url: &str) -> Value {
    let mut schemas = Map::new();
    schema_of::<LinkSpec>(&mut schemas);
    schema_of::<Link>(&mut schemas);
    schema_of::<NewConversion>(&mut schemas);
    schema_of::<NewRefund>(&mut schemas);
    schema_of::<Conversion>(&mut schemas);
    schema_of::<PostbackSettings>(&mut schemas);
    schema_of::<OutboundSpec>(&mut schemas);
    let mut asked = schemas["OutboundSpec"].clone();
    asked["properties"].as_object_mut().expect("it has members").remove("disabled_reason");
    schemas.insert("NewOutbound".to_owned(), asked);
    schema_of::<FulfilmentSpec>(&mut schemas);
    schema_of::<Answer>(&mut schemas);
    schema_of::<ProgramSpec>(&mut schemas);
    schema_of::<Program>(&mut schemas);
    schema_of::<MilestoneProgress>(&mut schemas);
    schema_of::<MilestoneReached>(&mut schemas);
    schemas.insert("MilestonePage".to_owned(), page_of("MilestoneProgress"));
    schemas.insert("MilestoneReachedPage".to_owned(), page_of("MilestoneReached"));
    schema_of::<Wallet>(&mut schemas);
    schema_of::<WalletLine>(&mut schemas);
    schema_of::<ClaimOutcome>(&mut schemas);
    schemas.insert("WalletPage".to_owned(), page_of("WalletLine"));
    schema_of::<Statement>(&mut schemas);
    schema_of::<StatementOf>(&mut schemas);
    schemas.insert("StatementPage".to_owned(), page_of("StatementOf"));
    schema_of::<Commission>(&mut schemas);
    schema_of::<Account>(&mut schemas);
    schema_of::<Payout>(&mut schemas);
    schema_of::<PayoutBatch>(&mut schemas);
    schemas.insert("SignUpPartner".to_owned(), sign_up_schema());
    schemas.insert("NewPayouts".to_owned(), new_payouts_schema());
    schema_of::<Partner>(&mut schemas);
    schemas.insert("Any".to_owned(), json!({"type": "object", "additionalProperties": true}));
    schemas.extend(queries::schemas());
    schemas.extend(reports::schemas());
    schema_of::<FxRate>(&mut schemas);
    let rate = json!({"$ref": "#/components/schemas/FxRate"});
    schemas.insert("FxRates".to_owned(), fx_rates_schema(rate));
    schemas.insert("NewSite".to_owned(), site_schema(false));
    schemas.insert("Site".to_owned(), site_schema(true));
    schema_of::<AlertSpec>(&mut schemas);
    schema_of::<SavedQuerySpec>(&mut schemas);
    schemas.extend(saved::schemas());
    schemas.insert("Page".to_owned(), page_schema());
    schemas.insert("Problem".to_owned(), problem_schema());
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = describe(operation);
    }
    let mut paths = Value::Object(paths.into_iter().map(|(path, item)| (path.to_owned(), item)).collect());
    for (path, item) in public::paths(public_url) {
        paths[path] = item;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weir",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Links, conversions, queries and live numbers of a Weir engine. Money is an integer in \
                minor units; times are RFC 3339; every POST that records something takes an \
                Idempotency-Key. Members and query parameters that \
                are not named here are refused (422).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key, `weir_…`"}},
            "schemas": schemas,
        },
    })
}

fn describe(operation: &Operation) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let mut parameters: Vec<Value> = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    parameters.extend(operation.parameters.iter().map(|(name, description)| {
        json!({"name": name, "in": "query", "description": description, "schema": {"type": "string"}})
    }));
    let is_public = operation.tag == "Public listener";
    // Questions, previews, tickets and links to sign in by record nothing that a repeat could double.
    let asks = ["Query", "Reports", "Live", "Session", "Keys"].contains(&operation.tag)
        && operation.path != "/v1/keys"
        || operation.path.ends_with("/preview");
    let idempotent = operation.method == "post" && !asks && !is_public;
    if idempotent {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 255},
            "description": "The same key and body get the same answer; the same key with another body gets 409",
        }));
    }
    let (status, schema) = operation.success;
    let mut success = json!({"description": "Success"});
    if !schema.is_empty() {
        success["content"] = json!({"application/json": {"schema": reference(schema)}});
    }
    let problem = json!({
        "description": "A problem (RFC 9457)",
        "content": {"application/problem+json": {"schema": reference("Problem")}},
    });
    let mut described = json!({
        "tags": [operation.tag],
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": {status.to_string(): success, "default": problem},
    });
    if !parameters.is_empty() {
        described["parameters"] = json!(parameters);
    }
    if let Some(body) = operation.body {
        described["requestBody"] = match body {
            "Form" => json!({"required": true, "content": {
                "application/x-www-form-urlencoded": {"schema": {"type": "object"}}}}),
            "Table" => json!({"required": true, "content": {"text/csv": {"schema": {"type": "string"}}}}),
            body => json!({"required": true, "content": {"application/json": {"schema": reference(body)}}}),
        };
    }
    described
}

fn fx_rates_schema(rate: Value) -> Value {
    json!({"type": "object", "required": ["base", "source", "rates"], "additionalProperties": false, "properties": {
        "base": {"type": "string", "description": "ISO 4217: whose one unit the rates are prices of"},
        "source": {"type": "string", "description": "Whose rates they are"},
        "rates": {"type": "array", "minItems": 1, "maxItems": 10_000, "items": rate},
    }})
}

fn site_schema(answered: bool) -> Value {
    let mut properties = json!({
        "name": {"type": "string", "minLength": 1, "maxLength": 255},
        "origins": {"type": "array", "minItems": 1, "maxItems": 20, "items": {"type": "string",
            "description": "As browsers send it: `https://shop.example`"}},
    });
    let mut required = vec!["name", "origins"];
    if answered {
        properties["id"] = json!({"type": "string"});
        properties["created_at"] = json!({"type": "string", "format": "date-time"});
        properties["snippet"] = json!({"type": "string", "description": "What the site's pages are to hold"});
        required.extend(["id", "created_at", "snippet"]);
    }
    json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
}

fn sign_up_schema() -> Value {
    json!({"type": "object", "additionalProperties": false, "required": ["program_id", "name", "email"], "properties": {
        "program_id": {"type": "string"}, "name": {"type": "string"}, "email": {"type": "string"},
        "code": {"type": ["string", "null"], "description": "Drawn where absent"},
        "payout_method": {"type": ["object", "null"], "description": "As of partners"},
    }})
}

fn new_payouts_schema() -> Value {
    let id = |what: &str| json!({"type": ["string", "null"], "description": what});
    json!({"type": "object", "additionalProperties": false, "properties": {
        "program_id": id("Earned in this program only"), "partner_id": id("To this partner only"),
        "currency": id("In this currency only"),
        "dry_run": {"type": "boolean", "description": "Books nothing: a preview"},
    }})
}

fn page_schema() -> Value {
    json!({
        "type": "object",
        "required": ["data", "next_cursor"],
        "properties": {
            "data": {"type": "array", "items": {"type": "object"}},
            "next_cursor": {"type": ["string", "null"]},
        },
    })
}

/// A page of things of one schema.
fn page_of(schema: &str) -> Value {
    let mut page = page_schema();
    page["properties"]["data"]["items"] = json!({"$ref": format!("#/components/schemas/{schema}")});
    page
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "code": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "request_id": {"type": "string"},
            "errors": {"type": "array", "items": {"type": "object", "properties": {
                "field": {"type": "string"}, "detail": {"type": "string"}}}},
        },
    })
}

/// The route; `public_url` is what short URLs begin with.
pub(super) fn route(public_url: &str) -> Router {
    let document = Bytes::from(document(public_url).to_string());
    Router::new().route(Method::GET, "/openapi.json", move |_| {
        let response = typed(StatusCode::OK, "application/json", document.clone());
        async move { Ok(with(response, CACHE_CONTROL, HeaderValue::from_static("no-cache"))) }
    })
}

/// The query parameters of an operation of the API, as the document names them.
pub(super) fn parameters(method: &Method, path: &str) -> Option<&'static [(&'static str, &'static str)]> {
    let is = |operation: &&Operation| {
        operation.path == path && operation.method.eq_ignore_ascii_case(method.as_str())
    };
    let operation = path.starts_with("/v1/").then(|| OPERATIONS.iter().find(is))??;
    Some(operation.parameters)
}

/// What of `router` the document does not state, and the other way round.
pub(super) fn differences(router: &Router) -> Vec<String> {
    let stated: std::collections::BTreeSet<String> = OPERATIONS
        .iter()
        .map(|operation| format!("{} {}", operation.method.to_uppercase(), operation.path))
        .collect();
    let served: std::collections::BTreeSet<String> = router
        .paths()
        .flat_map(|(path, methods)| methods.into_iter().map(move |method| format!("{method} {path}")))
        .filter(|route| !["GET /openapi.json", "GET /sign-in"].contains(&route.as_str()))
        .collect();
    stated.symmetric_difference(&served).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document("https://go.example");
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"].get(name).is_some(),
                "{name} is referred to and not there"
            );
        }
        assert_eq!(document["openapi"], "3.1.0");
    }
}
