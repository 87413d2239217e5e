//! `weir serve`: the engine with its sockets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use weir_dashboard::session::Sessions;
use weir_dashboard::status::{History, Status};
use weir_edge::listener::Listener;
use weir_edge::webhook_client::{Client, system_resolver};
use weir_embedded::{Supervisor, SupervisorOptions};
use weir_engine::alerts::Alerts;
use weir_engine::keys::{Principal, hash_secret};
use weir_engine::live::{Live, LiveConfig};
use weir_engine::mail::{Mail, MailConfig};
use weir_engine::outbound::{Outbound, OutboundConfig, OutboundHandle};
use weir_engine::warehouse::{Connection, Endpoint, Locate, Sources, Warehouse, WarehouseConfig, migrate};
use weir_ingest::commands::NewIds;
use weir_ingest::commands::keys::new_secret;
use weir_schemas::fact::Role;
use weir_schemas::ids::{KeyId, WorkspaceId};
use weir_schemas::time::Timestamp;

use crate::config::Config;
use crate::engine::{Engine, Failure, warehouse_progress};
use crate::first_start::{MadeKey, first_start};

mod admin;
mod housekeeping;
mod openapi;
mod operations;
mod operator;
mod public;
mod run_file;

/// The embedded ClickHouse's and everyone's database.
pub(crate) const DATABASE: &str = "weir";
/// How long the start waits for the warehouse before it says that it is ready without. Redirects and payments
/// do not need it.
const WAREHOUSE_PATIENCE: Duration = Duration::from_millis(1_500);
/// How long a stop waits for the warehouse to take what is left; the journal keeps it otherwise.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT, then drains.
pub fn serve(config: &Config) -> Result<(), Failure> {
    start_log(config);
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    // Sockets and their runtime, the loads of the live follower, housekeeping.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("weir-background")
        .enable_all()
        .build()?;
    let mut engine = Engine::start(config)?;
    let public = Listener::bind_group(config.public_addr, config.public_threads)
        .map_err(|error| format!("cannot listen on {} (public): {error}", config.public_addr))?;
    let admin = Listener::bind(config.admin_addr, false)
        .map_err(|error| format!("cannot listen on {} (admin): {error}", config.admin_addr))?;
    let addresses = Addresses::new(config, public[0].address(), admin.address());

    let ids = Arc::new(NewIds::new(config.node));
    let made = runtime.block_on(first_start(&engine.books, &ids, config.admin_key.as_deref()))?;

    let supervisor = start_clickhouse(config, &engine)?;
    let migrated = Arc::new(AtomicBool::new(false));
    let locate = locate(config, supervisor.as_ref());
    let ready_locate: Locate = {
        // Until its tables are there the warehouse counts as away.
        let (locate, migrated) = (Arc::clone(&locate), Arc::clone(&migrated));
        Arc::new(move || migrated.load(Ordering::Acquire).then(|| locate()).flatten())
    };
    let migration = runtime.spawn(bring_schema_up(Connection::new(locate), migrated));
    let warehouse = Warehouse::start(
        WarehouseConfig {
            node: config.node,
            progress: warehouse_progress(engine.data.path()),
            batch_rows: config.batch_rows,
            batch_age: config.batch_age,
            step_length: config.step_length,
        },
        Connection::new(ready_locate),
        sources(&engine),
    )?;
    let backlog = operations::backlog(&engine, &warehouse)?;
    let epoch = format!("{:x}{:08x}", Timestamp::now().0, rand::random::<u32>());
    let live = Live::start(
        LiveConfig {
            tick: config.live_tick,
            runtime: runtime.handle().clone(),
            rates: engine.books.fx().clone(),
            geo: engine.geo.clone(),
        },
        epoch,
        sources(&engine),
        warehouse.clone(),
        engine.recorder.clone(),
    )?;
    let outbound = Outbound::start(
        OutboundConfig {
            path: engine.data.join("outbound.db"),
            public_url: addresses.public_url.clone(),
            post: Client::new(system_resolver(), config.outbound_private).into_post(),
            haste: 1,
        },
        engine.books.clone(),
        Arc::clone(&engine.keyring),
    )?;
    let mail = mail(config, &engine)?;
    engine.books.keys().uses().load(&engine.data.join(housekeeping::KEY_USES));
    let sessions = Arc::new(Sessions::new(engine.keyring.session_key(), engine.books.keys().clone()));
    // Before anybody can ask: who signed in as the operator before a restart would be signed out by it.
    let operator = operator_key(&engine);

    let status = Arc::new(Status {
        recorder: engine.recorder.clone(),
        warehouse: warehouse.clone(),
        redirects: engine.redirects.clone(),
        history: Mutex::new(History::open(&engine.data.join("status.json"))),
    });
    let parts = Arc::new(Parts {
        status,
        outbound: outbound.handle(),
        recorder: engine.recorder.clone(),
        books: engine.books.clone(),
        warehouse,
        live,
        sessions,
        ids,
        metrics,
        backlog,
        addresses,
        started_at: Timestamp::now(),
        privacy: Privacy { cookies: config.privacy_cookies, journal: config.traffic_retention },
    });
    let (stop, stopped) = watch::channel(false);
    let lanes = std::mem::take(&mut engine.lanes);
    let engine = Arc::new(engine);
    let public = public::start(config, &engine, &parts, public, lanes, stopped.clone())?;
    let admin = admin::start(config, &engine, &parts, admin, stopped.clone())?;
    housekeeping::start(config, &engine, &parts, runtime.handle());
    let alerts = Alerts::new(
        engine.books.clone(),
        parts.live.clone(),
        parts.warehouse.clone(),
        engine.recorder.clone(),
    );
    runtime.spawn(alerts.watch());

    let run_file = run_file::RunFile::write(engine.data.path(), &parts.addresses, &operator)?;
    runtime.block_on(async {
        // Queries work from the first moment on a usual start; a slow database must not hold up redirects.
        let _ = tokio::time::timeout(WAREHOUSE_PATIENCE, migration).await;
    });
    greet(&parts, made.as_ref());
    println!("{}", json!({"public": parts.addresses.public_local, "admin": parts.addresses.admin_local}));

    let signal = runtime.block_on(wait_for_signal())?;
    tracing::info!(signal, "stopping: no new connections, then what came in is stored");
    stop.send_replace(true);
    parts.live.stop();
    for thread in public.into_iter().chain([admin]) {
        if thread.join().is_err() {
            tracing::error!("a listener's thread panicked");
        }
    }
    outbound.stop();
    housekeeping::save_key_uses(&engine);
    if let Some(mail) = mail {
        mail.stop();
    }
    // The warehouse follows the books, which follow the recorder; the recorder has the last word first.
    engine.stop();
    parts.warehouse.stop(DRAIN_PATIENCE);
    if let Some(supervisor) = supervisor {
        runtime.block_on(supervisor.stop());
    }
    drop(run_file);
    runtime.shutdown_timeout(Duration::from_secs(1));
    tracing::info!("stopped");
    Ok(())
}

/// What the listeners share beside the engine itself.
pub(crate) struct Parts {
    pub recorder: weir_engine::recorder::Recorder,
    pub books: weir_engine::books::Books,
    pub warehouse: Warehouse,
    pub live: Live,
    pub sessions: Arc<Sessions>,
    pub ids: Arc<NewIds>,
    pub status: Arc<Status>,
    pub outbound: OutboundHandle,
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
    /// Clicks that an earlier run answered and this one has still to store.
    pub backlog: u64,
    pub addresses: Addresses,
    pub started_at: Timestamp,
    pub privacy: Privacy,
}

/// What is kept of visitors.
pub(crate) struct Privacy {
    pub cookies: bool,
    /// How long clicks stay in the journal after they were stored.
    pub journal: Duration,
}

/// Where the engine is reached.
pub(crate) struct Addresses {
    /// As bound, for programs on this machine.
    pub public_local: String,
    pub admin_local: String,
    /// As people see it.
    pub public_url: String,
    pub admin_url: String,
}

impl Addresses {
    fn new(config: &Config, public: SocketAddr, admin: SocketAddr) -> Self {
        let url = |set: &Option<String>, bound| set.clone().unwrap_or_else(|| format!("http://{bound}"));
        Self {
            public_local: format!("http://{public}"),
            admin_local: format!("http://{admin}"),
            public_url: url(&config.public_url, public),
            admin_url: url(&config.admin_url, admin),
        }
    }
}

fn start_log(config: &Config) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(&config.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    // Only the first call in a process takes effect; tests may have made one.
    let _ = if config.log_json {
        builder.json().try_init()
    } else {
        builder.with_target(false).compact().try_init()
    };
}

fn start_clickhouse(config: &Config, engine: &Engine) -> Result<Option<Supervisor>, Failure> {
    if config.clickhouse_url.is_some() {
        return Ok(None);
    }
    let options = SupervisorOptions {
        program: std::env::current_exe()?,
        libchdb: weir_embedded::locate(config.libchdb.as_deref())?,
        data_dir: engine.data.join("clickhouse"),
    };
    Ok(Some(Supervisor::start(options)?))
}

fn locate(config: &Config, supervisor: Option<&Supervisor>) -> Locate {
    let database = DATABASE.to_owned();
    match (&config.clickhouse_url, supervisor) {
        (None, Some(supervisor)) => {
            let endpoint = supervisor.endpoint_changes();
            Arc::new(move || {
                let now = endpoint.borrow().clone()?;
                let (url, user, password) = (now.url, now.user, now.password);
                Some(Endpoint { url, user, password, database: database.clone() })
            })
        }
        (url, _) => {
            let endpoint = Endpoint {
                url: url.clone().unwrap_or_default(),
                user: config.clickhouse_user.clone(),
                password: config.clickhouse_password.clone(),
                database,
            };
            Arc::new(move || Some(endpoint.clone()))
        }
    }
}

async fn bring_schema_up(connection: Connection, migrated: Arc<AtomicBool>) {
    let mut told = false;
    loop {
        let result = match connection.ready(Duration::from_secs(5)).await {
            Ok(client) => migrate::up(&client).await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        match result {
            Ok(_) => {
                migrated.store(true, Ordering::Release);
                return;
            }
            Err(error) if !std::mem::replace(&mut told, true) => {
                tracing::warn!(error, "the warehouse is not ready; the journal keeps what comes");
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// The mail follower, where a server is configured.
fn mail(config: &Config, engine: &Engine) -> Result<Option<Mail>, Failure> {
    let (Some(url), Some(from)) = (&config.mail_smtp_url, &config.mail_from) else { return Ok(None) };
    let config = MailConfig {
        place: engine.data.path().join("mail.json"),
        operator: config.mail_operator.clone(),
        send: weir_edge::mail::sender(url, from)?,
        haste: 1,
    };
    Ok(Some(Mail::start(config, engine.books.clone(), Arc::clone(&engine.keyring))?))
}

fn sources(engine: &Engine) -> Sources {
    let books = engine.books.clone();
    let reached = books.clone();
    let recorder = engine.recorder.clone();
    Sources {
        journal: engine.recorder.traffic(),
        durable: engine.recorder.durable().clone(),
        applied: engine.books.applied().clone(),
        effects: Box::new(move |after, upto, limit| {
            // Without a fact there is no effect: the books are not asked after every commit of clicks.
            if recorder.last_fact() <= after {
                return Ok(Vec::new());
            }
            books.reads().effects(after, upto, limit).map_err(|error| error.to_string())
        }),
        milestones: Box::new(move |after, upto| {
            reached.reads().milestones_between(after, upto).map_err(|error| error.to_string())
        }),
    }
}

/// A key for programs on this machine that may read the data folder; it ends with the process.
fn operator_key(engine: &Engine) -> String {
    let secret = new_secret();
    let operator =
        Principal { workspace: WorkspaceId::FIRST, key: KeyId::NONE, role: Role::Admin, partner: None };
    engine.books.keys().put(&hash_secret(&secret), operator);
    secret
}

/// What a person is told at the start. On stderr: stdout is for the one line that programs read.
fn greet(parts: &Parts, made: Option<&MadeKey>) {
    let admin = &parts.addresses.admin_url;
    let token = parts.sessions.sign_in_token(made.map_or(KeyId::NONE, |made| made.id));
    let token = token.expect("no link was made before the start");
    eprintln!();
    eprintln!("  Dashboard   {admin}/");
    eprintln!("  Sign in     {admin}/sign-in?token={token}   (once, within the hour)");
    eprintln!("  Redirects   {}/", parts.addresses.public_url);
    let Some(made) = made else {
        eprintln!("  More keys   weir key create");
        eprintln!();
        return;
    };
    eprintln!("  Admin key   {}   (shown only now)", made.secret);
    eprintln!();
    eprintln!("  Make a link:");
    eprintln!("    curl {admin}/v1/links -H 'Authorization: Bearer {}' \\", made.secret);
    eprintln!("      -H 'Content-Type: application/json' \\");
    eprintln!("      -d '{{\"slug\":\"hello\",\"destination\":\"https://example.com/\"}}'");
    eprintln!();
}

async fn wait_for_signal() -> Result<&'static str, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    })
}
