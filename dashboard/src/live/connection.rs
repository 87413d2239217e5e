//! One WebSocket: first who, then frames both ways until either side ends it.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role as Side, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use weir_edge::request::from_json;
use weir_engine::keys::{KeyTable, Principal};
use weir_engine::live::{ClientId, Live, OUTLET_PLACES, Outgoing, Watcher};
use weir_schemas::live::{ClientFrame, CloseCode, ServerFrame};
use weir_schemas::time::Timestamp;

use super::{Place, WATCHERS};
use crate::Handles;

/// Within this the first frame must say who it is.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Between pings.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A client that is not heard of for this long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A write that takes longer is given up: the client does not read.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// The largest message of a client: a query with a thousand filter values.
const MESSAGE_MAX: usize = 64 << 10;
/// Frames that a client may send within [`FRAMES_WINDOW`].
const FRAMES_MAX: u32 = 200;
const FRAMES_WINDOW: Duration = Duration::from_secs(10);

/// The library's defaults are 128 KiB of read buffer and an unbounded write buffer per connection: too much
/// for 100,000 of them.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(4 << 20)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What ends a connection.
enum End {
    /// We close it.
    Close(CloseCode, String),
    /// The other side did, or the socket failed.
    Gone,
}

pub(super) async fn run(upgraded: Upgraded, handles: Arc<Handles>, _place: Place) {
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Side::Server, Some(config())).await;
    metrics::counter!("weir_live_connections_total").increment(1);
    if let End::Close(code, why) = serve(&mut socket, &handles).await {
        metrics::counter!("weir_live_closed_total", "reason" => name(code)).increment(1);
        let frame = CloseFrame { code: WireCode::from(code as u16), reason: why.into() };
        let close = async {
            if socket.close(Some(frame)).await.is_ok() {
                // The client's own close frame ends the handshake; what else it sends is of no interest.
                while let Some(Ok(_)) = socket.next().await {}
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), close).await;
    }
}

fn name(code: CloseCode) -> &'static str {
    match code {
        CloseCode::BadRequest => "bad_request",
        CloseCode::Unauthenticated => "unauthenticated",
        CloseCode::Forbidden => "forbidden",
        CloseCode::ConnectTimeout => "connect_timeout",
        CloseCode::TooMany => "too_many",
        CloseCode::SlowConsumer => "slow_consumer",
        CloseCode::ShuttingDown => "shutting_down",
    }
}

async fn serve(socket: &mut Socket, handles: &Handles) -> End {
    // From before the key is looked up, so that no change of it is missed.
    let changes = handles.keys.changes();
    let principal = match tokio::time::timeout(CONNECT_WITHIN, authenticate(socket, handles)).await {
        Ok(Ok(principal)) => principal,
        Ok(Err(end)) => return end,
        Err(_) => {
            let why = format!("the first frame must be `connect`, within {} s", CONNECT_WITHIN.as_secs());
            return End::Close(CloseCode::ConnectTimeout, why);
        }
    };
    let watcher = Watcher { workspace: principal.workspace, partner: principal.partner };
    let (outlet, frames) = mpsc::channel(OUTLET_PLACES);
    let Ok(client) = handles.live.connect(watcher, outlet) else {
        return End::Close(CloseCode::TooMany, "the engine takes no more clients now".to_owned());
    };
    let end = tokio::select! {
        end = exchange(socket, &handles.live, client, frames) => end,
        end = turned_away(&handles.keys, principal, changes) => end,
    };
    handles.live.disconnect(client);
    end
}

/// Ends once the key by which the client came is revoked, or may watch this no more.
async fn turned_away(keys: &KeyTable, principal: Principal, mut changes: watch::Receiver<()>) -> End {
    loop {
        changes.changed().await.expect("the table of keys outlives its borrow");
        match keys.by_id(principal.key) {
            None => return End::Close(CloseCode::Unauthenticated, "the key was revoked".to_owned()),
            Some(now) if !WATCHERS.contains(&now.role) || now.partner != principal.partner => {
                return End::Close(CloseCode::Forbidden, "the key may do something else now".to_owned());
            }
            Some(_) => {}
        }
    }
}

async fn authenticate(socket: &mut Socket, handles: &Handles) -> Result<Principal, End> {
    let message = match next(socket).await? {
        Some(message) => message,
        None => {
            return Err(End::Close(CloseCode::BadRequest, "the first frame must be `connect`".to_owned()));
        }
    };
    let ClientFrame::Connect { key, ticket } = parse(&message)? else {
        let why = "the first frame must be `connect`".to_owned();
        return Err(End::Close(CloseCode::Unauthenticated, why));
    };
    let principal = match (key, ticket) {
        (Some(key), None) => handles.keys.find(&key),
        (None, Some(ticket)) => {
            handles.tickets.take(&ticket).filter(|principal| handles.keys.by_id(principal.key).is_some())
        }
        (None, None) => {
            let why = "`connect` needs a `key` or a `ticket`".to_owned();
            return Err(End::Close(CloseCode::Unauthenticated, why));
        }
        (Some(_), Some(_)) => {
            let why = "`connect` needs either `key` or `ticket`".to_owned();
            return Err(End::Close(CloseCode::BadRequest, why));
        }
    };
    let Some(principal) = principal else {
        let why = "the key is unknown or revoked, or the ticket was used or is older than 30 s";
        return Err(End::Close(CloseCode::Unauthenticated, why.to_owned()));
    };
    handles.keys.uses().note(principal.key, Timestamp::now());
    if !WATCHERS.contains(&principal.role) {
        let why = "a key of role ingest sends conversions; it does not watch".to_owned();
        return Err(End::Close(CloseCode::Forbidden, why));
    }
    let live = &handles.live;
    let tick_ms = live.tick().as_millis() as u32;
    let connected = ServerFrame::Connected { epoch: live.epoch(), seq: live.seen(), tick_ms };
    send_text(socket, serde_json::to_string(&connected).expect("frames are JSON").into()).await?;
    Ok(principal)
}

/// The next text; `None`: a frame that is not text, and no control frame either.
async fn next(socket: &mut Socket) -> Result<Option<Utf8Bytes>, End> {
    loop {
        return match socket.next().await {
            None | Some(Ok(Message::Close(_))) => Err(End::Gone),
            Some(Err(error)) => Err(failure(&error)),
            Some(Ok(Message::Text(text))) => Ok(Some(text)),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Binary(_))) => Ok(None),
        };
    }
}

fn failure(error: &tokio_tungstenite::tungstenite::Error) -> End {
    use tokio_tungstenite::tungstenite::Error;
    match error {
        Error::Capacity(_) => {
            End::Close(CloseCode::BadRequest, format!("a message has at most {MESSAGE_MAX} bytes"))
        }
        Error::Protocol(_) | Error::Utf8(_) => {
            End::Close(CloseCode::BadRequest, "the frame breaks the WebSocket protocol".to_owned())
        }
        _ => End::Gone,
    }
}

fn parse(text: &str) -> Result<ClientFrame, End> {
    from_json(text.as_bytes()).and_then(ClientFrame::read).map_err(|problem| {
        let why = format!("not a frame: {}", problem.detail);
        // A close reason has at most 123 bytes.
        End::Close(CloseCode::BadRequest, weir_schemas::wire::truncate(&why, 120).to_owned())
    })
}

async fn send_text(socket: &mut Socket, text: Utf8Bytes) -> Result<(), End> {
    send(socket, Message::Text(text)).await
}

async fn send(socket: &mut Socket, message: Message) -> Result<(), End> {
    use tokio_tungstenite::tungstenite::Error;
    match tokio::time::timeout(WRITE_WITHIN, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        // The listener has a bound of its own for a write that makes no progress.
        Ok(Err(Error::Io(error))) if error.kind() == ErrorKind::TimedOut => Err(unread()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(unread()),
    }
}

fn unread() -> End {
    End::Close(CloseCode::SlowConsumer, "frames were not read".to_owned())
}

async fn exchange(
    socket: &mut Socket,
    live: &Live,
    client: ClientId,
    mut frames: mpsc::Receiver<Outgoing>,
) -> End {
    let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
    let mut heard = Instant::now();
    let (mut window, mut in_window) = (Instant::now(), 0_u32);
    loop {
        let step = tokio::select! {
            outgoing = frames.recv() => match outgoing {
                Some(Outgoing::Frame(bytes)) => match Utf8Bytes::try_from(bytes) {
                    Ok(text) => send_text(socket, text).await,
                    Err(_) => unreachable!("the live follower sends JSON"),
                },
                Some(Outgoing::Close(code, why)) => Err(End::Close(code, why.to_owned())),
                None => Err(unread()),
            },
            message = socket.next() => {
                heard = Instant::now();
                if window.elapsed() > FRAMES_WINDOW {
                    (window, in_window) = (heard, 0);
                }
                in_window += 1;
                if in_window > FRAMES_MAX {
                    Err(End::Close(CloseCode::TooMany, format!("more than {FRAMES_MAX} frames in 10 s")))
                } else {
                    receive(socket, live, client, message).await
                }
            }
            _ = pings.tick() => {
                if heard.elapsed() > SILENCE_MAX {
                    return End::Close(CloseCode::SlowConsumer, "no pong within 30 s".to_owned());
                }
                send(socket, Message::Ping(Default::default())).await
            }
        };
        if let Err(end) = step {
            return end;
        }
    }
}

async fn receive(
    socket: &mut Socket,
    live: &Live,
    client: ClientId,
    message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
) -> Result<(), End> {
    let text = match message {
        None | Some(Ok(Message::Close(_))) => return Err(End::Gone),
        Some(Err(error)) => return Err(failure(&error)),
        Some(Ok(Message::Text(text))) => text,
        Some(Ok(Message::Binary(_))) => {
            return Err(End::Close(CloseCode::BadRequest, "frames are text".to_owned()));
        }
        Some(Ok(_)) => return Ok(()),
    };
    let sent = match parse(&text)? {
        ClientFrame::Connect { .. } => {
            return Err(End::Close(CloseCode::BadRequest, "already connected".to_owned()));
        }
        ClientFrame::Subscribe { id, query, recover } => live.subscribe(client, id, query, recover),
        ClientFrame::Events { id } => live.events(client, id),
        ClientFrame::Unsubscribe { id } => live.unsubscribe(client, id),
        ClientFrame::Ping {} => return send_text(socket, r#"{"type":"pong"}"#.into()).await,
        ClientFrame::Pong {} => Ok(()),
    };
    sent.map_err(|overloaded| End::Close(CloseCode::TooMany, overloaded.to_string()))
}
