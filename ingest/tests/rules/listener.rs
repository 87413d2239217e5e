//! The public listener over a real socket, behind a proxy that is trusted (this machine), with a small GeoIP
//! file and a recorder whose hits can be looked at.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use weir_edge::listener::{Limits, Listener, serve};
use weir_edge::peer::TrustedProxies;
use weir_edge::service::Service;
use weir_engine::caps::{Caps, CapsConfig};
use weir_engine::enrich::Geo;
use weir_engine::journal::JournalConfig;
use weir_engine::links::{LinkTable, TrackedLink};
use weir_engine::recorder::lane::LANE_BYTES_MIN;
use weir_engine::recorder::{Recorder, RecorderConfig};
use weir_ingest::commands::link_spec::{OwnHosts, check};
use weir_ingest::redirect::{Locks, Redirect, RedirectConfig, Repeats, pages};
use weir_schemas::hit::RawHit;
use weir_schemas::ids::{LinkId, WorkspaceId};
use weir_schemas::time::Timestamp;

use super::geoip::{self, Network};

pub(crate) const KEY: [u8; 64] = [5; 64];

/// What a hit says of the decision: slug, variant, status.
pub(crate) type Hit = (String, String, u16);

pub(crate) struct Public {
    pub(crate) links: LinkTable,
    address: SocketAddr,
    recorder: Recorder,
    hits: Arc<Mutex<Vec<Hit>>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

/// One answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// With the body.
    pub(crate) head: String,
}

impl Answer {
    /// The first header `name`, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
    }
}

impl Public {
    pub(crate) fn start(networks: &[Network]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hits: Arc<Mutex<Vec<Hit>>> = Arc::default();
        let seen = Arc::clone(&hits);
        let refine = Box::new(move |_, _, raw: &[u8], out: &mut Vec<u8>| {
            let hit = RawHit::read(raw).map_err(|error| error.to_string())?;
            seen.lock().unwrap().push((hit.slug.to_owned(), hit.variant.to_owned(), hit.status));
            out.extend_from_slice(raw);
            Ok(weir_schemas::fact::kind::CLICK)
        });
        let recorder = RecorderConfig {
            journal: JournalConfig { folder: dir.path().join("journal"), node: 0, segment_bytes: 1 << 20 },
            lanes_folder: dir.path().join("lanes"),
            lanes: 1,
            lane_bytes: LANE_BYTES_MIN * 4,
            pace: Duration::from_millis(1),
        };
        let (recorder, mut lanes, _) = Recorder::start(recorder, refine).unwrap();
        let geo = dir.path().join("test.mmdb");
        std::fs::write(&geo, geoip::database(networks)).unwrap();
        let trusted = || TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let others = Service {
            name: "public",
            router: pages(),
            authenticator: None,
            limiter: None,
            proxies: trusted(),
        };
        let links = LinkTable::default();
        let caps = CapsConfig { file: dir.path().join("caps.json"), journal: recorder.traffic() };
        let config = Arc::new(RedirectConfig {
            caps: Caps::start(&caps, recorder.clone(), &links).unwrap(),
            locks: Locks::default(),
            repeats: Repeats::default(),
            links: links.clone(),
            others: Arc::new(others),
            token_keys: vec![(1, KEY)],
            visitor_key: [9; 16],
            salt: Arc::new(|_| [1; 16]),
            node: 0,
            workspace: WorkspaceId(1),
            cookies: true,
            secure: false,
            proxies: trusted(),
            geo: Some(Arc::new(Geo::open(&geo).unwrap())),
            abuse: None,
            durable: None,
            collect: Default::default(),
        });
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let (address, lane) = (listener.address(), lanes.remove(0));
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::LocalRuntime::new().unwrap();
            let redirect = Redirect::new(config, lane);
            let plain = Some(redirect.clone());
            let answer = move |request, peer| {
                let redirect = redirect.clone();
                async move { redirect.answer(request, peer).await }
            };
            let served = serve(listener, Limits::new("public", 100), plain, answer, stopped);
            runtime.block_on(served).unwrap();
        });
        Self { links, address, recorder, hits, stop, thread: Some(thread), _dir: dir }
    }

    /// Puts a link in place as a command would: checked first.
    pub(crate) fn link(&self, spec: Value) -> LinkId {
        let spec = check(
            serde_json::from_value(spec).unwrap(),
            &OwnHosts::new("https://go.example", LinkTable::default()),
        )
        .unwrap();
        let id = LinkId(self.links.len() as u64 + 1);
        self.links.put(Arc::new(TrackedLink::new(id, WorkspaceId(1), Timestamp(0), spec)));
        id
    }

    pub(crate) fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = format!("GET {target} HTTP/1.1\r\nHost: go.example\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        stream.read_to_string(&mut head).unwrap();
        let status = head.split(' ').nth(1).expect("a status line").parse().unwrap();
        Answer { status, head }
    }

    /// Stops everything and gives the hits.
    pub(crate) fn hits(mut self) -> Vec<Hit> {
        self.end();
        std::mem::take(&mut *self.hits.lock().unwrap())
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.send_replace(true);
            thread.join().unwrap();
            self.recorder.stop();
        }
    }
}

impl Drop for Public {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}
