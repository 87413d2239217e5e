//! The public listener over real sockets: several threads, each with its lane, and every answered hit in the
//! journal once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use weir_edge::listener::{Limits, Listener, serve};
use weir_edge::peer::TrustedProxies;
use weir_edge::service::Service;
use weir_engine::caps::{Caps, CapsConfig};
use weir_engine::journal::JournalConfig;
use weir_engine::links::{LinkTable, TrackedLink};
use weir_engine::recorder::lane::LANE_BYTES_MIN;
use weir_engine::recorder::{Recorder, RecorderConfig};
use weir_engine::token::TokenKeys;
use weir_ingest::collect::Collect;
use weir_ingest::redirect::{Locks, Redirect, RedirectConfig, Repeats, pages};
use weir_schemas::click::Verdict;
use weir_schemas::hit::RawHit;
use weir_schemas::ids::{ClickId, LinkId, WorkspaceId};
use weir_schemas::time::Timestamp;

const THREADS: u16 = 2;
const KEY: [u8; 64] = [5; 64];

#[test]
fn every_answered_hit_is_in_the_journal_once() {
    let dir = tempfile::tempdir().unwrap();
    type Hits = Arc<Mutex<Vec<(ClickId, Verdict)>>>;
    let hits = Hits::default();
    let seen = Arc::clone(&hits);
    let recorder = RecorderConfig {
        journal: JournalConfig { folder: dir.path().join("journal"), node: 0, segment_bytes: 1 << 20 },
        lanes_folder: dir.path().join("lanes"),
        lanes: THREADS,
        lane_bytes: LANE_BYTES_MIN * 4,
        pace: Duration::from_millis(1),
    };
    let refine = Box::new(move |lane, counter, raw: &[u8], out: &mut Vec<u8>| {
        let hit = RawHit::read(raw).map_err(|error| error.to_string())?;
        seen.lock().unwrap().push((ClickId::new(hit.at.0, 0, lane, counter), hit.verdict));
        out.extend_from_slice(raw);
        Ok(weir_schemas::fact::kind::CLICK)
    });
    let (recorder, lanes, _) = Recorder::start(recorder, refine).unwrap();
    let links = LinkTable::default();
    let spec = serde_json::from_value(serde_json::json!({"slug": "a", "destination": "https://a.example/"}));
    links.put(Arc::new(TrackedLink::new(LinkId(7), WorkspaceId(1), Timestamp(0), spec.unwrap())));
    let caps = CapsConfig { file: dir.path().join("caps.json"), journal: recorder.traffic() };
    let others = Service {
        name: "public",
        router: pages(),
        authenticator: None,
        limiter: None,
        proxies: TrustedProxies::default(),
    };
    let config = Arc::new(RedirectConfig {
        caps: Caps::start(&caps, recorder.clone(), &links).unwrap(),
        locks: Locks::default(),
        repeats: Repeats::default(),
        links,
        others: Arc::new(others),
        token_keys: vec![(1, KEY)],
        visitor_key: [9; 16],
        salt: Arc::new(|_| [1; 16]),
        node: 0,
        workspace: WorkspaceId(1),
        cookies: true,
        secure: false,
        proxies: TrustedProxies::default(),
        geo: None,
        abuse: None,
        durable: Some(recorder.clone()),
        collect: Collect::default(),
    });
    let listeners =
        Listener::bind_group(SocketAddr::from(([127, 0, 0, 1], 0)), usize::from(THREADS)).unwrap();
    let address = listeners[0].address();
    let (stop, stopped) = watch::channel(false);
    let threads: Vec<_> = listeners
        .into_iter()
        .zip(lanes)
        .map(|(listener, lane)| {
            let (config, stopped) = (Arc::clone(&config), stopped.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::LocalRuntime::new().unwrap();
                let redirect = Redirect::new(config, lane);
                let plain = Some(redirect.clone());
                let answer = move |request, peer| {
                    let redirect = redirect.clone();
                    async move { redirect.answer(request, peer).await }
                };
                let served = serve(listener, Limits::new("public", 100), plain, answer, stopped);
                runtime.block_on(served).unwrap();
            })
        })
        .collect();

    let ask = |text: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let mut tokens = Vec::new();
    for n in 0..40 {
        let answer = ask(&format!("GET /a?n={n} HTTP/1.1\r\nHost: go.example\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 302 Found\r\n"), "{answer}");
        let location = format!("location: https://a.example/?n={n}&wclid=");
        let token = answer.split(&location).nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
        tokens.push(TokenKeys::new(&[(1, KEY)]).open(&token).unwrap().click);
    }
    assert!(ask("HEAD /a HTTP/1.1\r\nHost: go.example\r\n\r\n").starts_with("HTTP/1.1 302"));
    assert!(ask("GET /nope HTTP/1.1\r\nHost: go.example\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(ask("GET /robots.txt HTTP/1.1\r\nHost: go.example\r\n\r\n").contains("User-agent"));
    assert!(ask("GET /status HTTP/1.1\r\nHost: go.example\r\n\r\n").starts_with("HTTP/1.1 404"));
    let refused = ask("POST /a HTTP/1.1\r\nHost: go.example\r\nContent-Length: 0\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 405") && refused.contains("allow: GET, HEAD"), "{refused}");

    stop.send(true).unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    recorder.stop();
    let hits = hits.lock().unwrap();
    let mut counted: Vec<ClickId> =
        hits.iter().filter(|(_, verdict)| *verdict == Verdict::Counted).map(|(id, _)| *id).collect();
    let of = |verdict| hits.iter().filter(|(_, of)| *of == verdict).count();
    assert_eq!((of(Verdict::Head), of(Verdict::Orphan), hits.len()), (1, 1, 42));
    counted.sort_unstable();
    tokens.sort_unstable();
    assert_eq!(counted, tokens, "each token names the hit that was journaled");
}
