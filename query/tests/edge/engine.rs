//! A whole engine in a folder of its own, whose lanes take refined clicks as they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use weir_edge::request::{Context, Credential};
use weir_edge::route::Router;
use weir_engine::books::{Books, BooksConfig};
use weir_engine::journal::JournalConfig;
use weir_engine::keyring::Keyring;
use weir_engine::keys::Principal;
use weir_engine::recorder::lane::Lane;
use weir_engine::recorder::{Recorder, RecorderConfig};
use weir_engine::warehouse::cells::STEP_LENGTH;
use weir_engine::warehouse::{Connection, Endpoint, Sources, Warehouse, WarehouseConfig};
use weir_query::analytics::{self, Analytics};
use weir_query::management::{self, Management};
use weir_schemas::click::{Click, Dims, Verdict};
use weir_schemas::fact::{Actor, ClickClaim, Fact, Recorded, Role};
use weir_schemas::ids::{ClickId, ConversionId, KeyId, LinkId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::time::Timestamp;

use crate::server::{PASSWORD, Server};

/// 2026-11-20T12:00:00Z
pub(crate) const NOON: i64 = 1_795_176_000_000;
pub(crate) const SHOP_LINK: LinkId = LinkId(7 << 22);
pub(crate) const SECOND_LINK: LinkId = LinkId(8 << 22);
const WORKSPACE: WorkspaceId = WorkspaceId(1);

pub(crate) struct Engine {
    pub(crate) role: Option<Role>,
    router: Router,
    recorder: Recorder,
    lane: Lane,
    books: Books,
    keyring: Arc<Keyring>,
    warehouse: Warehouse,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Engine {
    pub(crate) async fn start() -> Self {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = RecorderConfig {
            journal: JournalConfig { folder: path("journal"), node: 1, segment_bytes: 1 << 22 },
            lanes_folder: path("lanes"),
            lanes: 1,
            lane_bytes: 1 << 20,
            pace: Duration::from_millis(5),
        };
        let as_it_is = Box::new(|_, _, bytes: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(bytes);
            Ok(weir_schemas::fact::kind::CLICK)
        });
        let (recorder, mut lanes, _) = Recorder::start(config, as_it_is).unwrap();
        let keyring = Arc::new(Keyring::open(&path("keyring.db")).unwrap());
        let books =
            BooksConfig { path: path("books.db"), journal: path("journal"), backlog: Default::default() };
        let books = Books::start(books, recorder.clone(), Arc::clone(&keyring)).unwrap();
        server.migrated().await;
        let endpoint = Endpoint {
            url: server.url().to_owned(),
            user: "default".to_owned(),
            password: PASSWORD.to_owned(),
            database: "weir".to_owned(),
        };
        let effects_of = books.clone();
        let sources = Sources {
            journal: recorder.traffic(),
            durable: recorder.durable().clone(),
            applied: books.applied().clone(),
            effects: Box::new(move |after, upto, limit| {
                effects_of.reads().effects(after, upto, limit).map_err(|error| error.to_string())
            }),
            milestones: Box::new(|_, _| Ok(Vec::new())),
        };
        let config = WarehouseConfig {
            node: 1,
            progress: path("warehouse.progress"),
            batch_rows: 50_000,
            // So long that only a question has anything stored.
            batch_age: Duration::from_secs(600),
            step_length: STEP_LENGTH,
        };
        let connection = Connection::new(Arc::new(move || Some(endpoint.clone())));
        let warehouse = Warehouse::start(config, connection, sources).unwrap();
        let analytics = Analytics::new(recorder.clone(), warehouse.clone());
        let management = Management::new(
            books.clone(),
            Arc::clone(&keyring),
            analytics.clone(),
            "https://go.example".to_owned(),
        );
        let router = analytics::routes(analytics).merge(management::routes(management));
        let engine = Self {
            role: Some(Role::Admin),
            router,
            recorder,
            lane: lanes.pop().unwrap(),
            books,
            keyring,
            warehouse,
            _server: server,
            _folder: folder,
        };
        engine.link(SHOP_LINK, "shop").await;
        engine.link(SECOND_LINK, "second").await;
        engine
    }

    async fn submit(&self, fact: Fact) {
        let at = Timestamp(NOON);
        let recorded = Recorded { at, workspace: WORKSPACE, actor: Actor::System, request: None, fact };
        let outcome = self.books.submit(recorded).await.unwrap();
        assert!(outcome.problem().is_none(), "{outcome:?}");
    }

    async fn link(&self, id: LinkId, slug: &str) {
        let spec = json!({"slug": slug, "destination": "https://example.com/"});
        let spec = serde_json::from_value(spec).unwrap();
        self.submit(Fact::LinkCreated { id, spec, spare_slugs: Vec::new() }).await;
    }

    pub(crate) async fn sale(&self, order: &str, amount: i64, currency: &str, at: i64) {
        let number: u64 = order.bytes().map(u64::from).sum();
        let conversion = json!({"event": "sale", "order_id": order, "customer_id": "u42",
            "amount": {"amount": amount, "currency": currency}, "occurred_at": Timestamp(at).to_string()});
        let person = serde_json::from_value(json!({"email": "a@shop.example"})).unwrap();
        self.submit(Fact::Conversion {
            id: ConversionId(number << 22),
            conversion: serde_json::from_value(conversion).unwrap(),
            person: Some(self.keyring.seal_person(WORKSPACE, "u42", &person).unwrap()),
            buyer: Vec::new(),
            properties: None,
            click: ClickClaim::None,
        })
        .await;
    }

    pub(crate) fn click(&mut self, link: LinkId, at: i64, visitor: u64, country: &'static str) {
        let click = Click {
            id: ClickId::new(at, 1, 0, self.lane.next_counter()),
            at: Timestamp(at),
            verdict: Verdict::Counted,
            bot: false,
            flags: 0,
            status: 302,
            latency_us: 20,
            workspace: WORKSPACE,
            link,
            program: ProgramId::NONE,
            partner: PartnerId::NONE,
            visitor,
            network: 0,
            asn: 0,
            dims: Dims { country: country.into(), referrer: "a\"b,c".into(), ..Dims::default() },
            slug: "shop".into(),
            evidence: "".into(),
        };
        let mut bytes = Vec::new();
        click.write(&mut bytes);
        self.lane.append(&bytes).unwrap();
    }

    async fn answer(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let request = http::Request::builder().method(method).uri(target);
        let request = request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        let mut context = Context::whole(request, [127, 0, 0, 1].into(), "req_1".to_owned());
        if let Some(role) = self.role {
            let principal = Principal { workspace: WORKSPACE, key: KeyId(1), role, partner: None };
            context.credential = Credential::Known(principal);
        }
        let (parts, body) = self.router.answer(context).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
    }

    pub(crate) async fn get(&self, target: &str) -> (u16, Value) {
        let (status, body) = self.answer("GET", target, "").await;
        (status, serde_json::from_str(&body).unwrap())
    }

    pub(crate) async fn post(&self, target: &str, body: &str) -> (u16, String) {
        self.answer("POST", target, body).await
    }

    pub(crate) async fn query(&self, query: &Value) -> (u16, Value) {
        let (status, body) = self.post("/v1/query", &query.to_string()).await;
        (status, serde_json::from_str(&body).unwrap())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.warehouse.stop(Duration::ZERO);
        self.books.stop();
        self.recorder.stop();
    }
}
