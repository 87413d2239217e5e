//! A query's way through libchdb, on a blocking thread.
//!
//! Every query gets a connection of its own (0.2 ms) with its settings, so nothing — settings, parameters,
//! the current database, temporary tables — leaks from one to the next.
//!
//! Answers leave through a pipe: the library's streaming calls give a document per block (every block with
//! its own JSON frame or CSV header), but `INTO OUTFILE` runs ClickHouse's own output pipeline, whose file
//! can be the write end of a pipe. So each format is exactly ClickHouse's, memory stays constant, and a
//! client that reads slowly slows the query down.

use std::io::Read;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::compression;
use crate::exception::{Exception, code};
use crate::form;
use crate::libchdb::{Analysis, Connection, Figures, Libchdb, Refusal, StatementClass};
use crate::request::{Request, quoted};
use crate::statement::{self, Head};

/// Longest statement taken: ClickHouse's default `max_query_size`, for statements that are not inserts' data.
pub(crate) const MAX_STATEMENT_BYTES: usize = 1 << 20;
/// Longest form taken: a statement and its parameters.
const MAX_FORM_BYTES: usize = 16 << 20;
/// Bytes handed to the insert stream at a time when they come out of a decoder.
const APPEND_BYTES: usize = 256 << 10;
/// How often, and how long apart, an abandoned query is told to stop until it has.
const KILL_ATTEMPTS: u32 = 50;
const KILL_INTERVAL: Duration = Duration::from_millis(100);

/// The opened library and what every connection begins with.
pub(crate) struct Engine {
    library: &'static Libchdb,
    arguments: Vec<String>,
    /// Held for the life of the process: the engine stays up while any connection is open.
    keeper: std::sync::Mutex<Option<Connection>>,
    pub(crate) version: String,
    pub(crate) timezone: String,
    pub(crate) max_body_bytes: u64,
}

/// An answer that has begun.
pub(crate) enum Begun {
    /// Rows will come out of the pipe; the outcome follows its end.
    Rows { pipe: std::io::PipeReader, format: String, outcome: oneshot::Receiver<Result<Figures, Exception>> },
    /// It is over already, with this to say.
    Done { answer: Vec<u8>, format: String, figures: Figures },
}

/// A query under way, as those see it who may have to stop it.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Unique in the process; the query carries it as its `log_comment`.
    pub(crate) id: String,
    /// It has ended; set before anybody hears how.
    pub(crate) landed: AtomicBool,
    pub(crate) abandoned: AtomicBool,
}

impl Engine {
    /// Opens the data directory. `None` when the library refuses (it says why on stderr).
    pub(crate) fn open(
        library: &'static Libchdb,
        data_dir: &Path,
        server_arguments: &[String],
        session_arguments: &[String],
        max_body_bytes: u64,
    ) -> Option<Self> {
        let path = format!("--path={}", data_dir.display());
        let mut arguments = vec![path];
        arguments.extend_from_slice(session_arguments);
        let first: Vec<String> = arguments.iter().chain(server_arguments).cloned().collect();
        let mut keeper = library.connect(&first)?;
        let one = |sql: &str, connection: &mut Connection| {
            let answer = connection.query(sql, "TSVRaw", &[]).map(|(bytes, _)| bytes).unwrap_or_default();
            String::from_utf8_lossy(&answer).trim_end().to_owned()
        };
        let version = one("SELECT version()", &mut keeper);
        let timezone = one("SELECT timezone()", &mut keeper);
        Some(Self {
            library,
            arguments,
            keeper: std::sync::Mutex::new(Some(keeper)),
            version,
            timezone,
            max_body_bytes,
        })
    }

    /// The library's own version.
    pub(crate) fn library_version(&self) -> String {
        self.library.version()
    }

    fn connect(&self, flight: &Flight, query_id: &str) -> Result<Connection, Exception> {
        let mut arguments = self.arguments.clone();
        // The library chooses its own query_id; this is where the client's can be found in system.processes.
        arguments.push(format!("--log_comment={} {query_id}", flight.id));
        self.library
            .connect(&arguments)
            .ok_or_else(|| Exception::new(code::NO_FREE_CONNECTION, "libchdb opened no further connection"))
    }

    fn told(&self, refusal: Refusal) -> Exception {
        Exception::of_library(&refusal.0).with_version(&self.version)
    }

    /// Runs a request. Says through `begun` what the answer is or begins with.
    pub(crate) fn run(
        &self,
        request: Request,
        body: BodyReader,
        flight: &Flight,
        begun: oneshot::Sender<Result<Begun, Exception>>,
    ) {
        let mut begun = Some(begun);
        if let Err(exception) = self.try_run(request, body, flight, &mut begun)
            && let Some(begun) = begun.take()
        {
            flight.landed.store(true, Ordering::Release);
            // A receiver that is gone has abandoned the query.
            let _ = begun.send(Err(exception.with_version(&self.version)));
        }
        flight.landed.store(true, Ordering::Release);
    }

    fn try_run(
        &self,
        mut request: Request,
        body: BodyReader,
        flight: &Flight,
        begun: &mut Option<oneshot::Sender<Result<Begun, Exception>>>,
    ) -> Result<(), Exception> {
        let body = body.bounded(self.max_body_bytes);
        let mut body = compression::decoded(body, request.encoding, request.decompress);
        if let Some(boundary) = request.form.take() {
            let mut form = Vec::new();
            read_up_to(&mut body, MAX_FORM_BYTES + 1, &mut form)?;
            if form.len() > MAX_FORM_BYTES {
                let message = format_args!("The form is longer than {MAX_FORM_BYTES} bytes");
                return Err(Exception::new(code::QUERY_IS_TOO_LARGE, message));
            }
            request.take_form(form::fields(&form, &boundary)?)?;
        }
        let request = &request;
        let mut text = request.query.clone().into_bytes();
        if !text.is_empty() {
            text.push(b'\n');
        }
        // A complete INSERT head in the URL: its data need not wait for more of the body.
        let head_is_complete =
            std::str::from_utf8(&text).is_ok_and(|text| matches!(statement::head(text), Head::Insert(_)));
        if !head_is_complete {
            read_up_to(&mut body, MAX_STATEMENT_BYTES + 1, &mut text)?;
        }
        // The data of an insert need not be UTF-8; its head is.
        let valid = match std::str::from_utf8(&text) {
            Ok(valid) => valid,
            Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).expect("checked up to here"),
        };
        if flight.abandoned.load(Ordering::Acquire) {
            return Err(Exception::new(code::QUERY_WAS_CANCELLED, "Query was cancelled"));
        }
        let figures_of = |figures| Begun::Done { answer: Vec::new(), format: String::new(), figures };
        match statement::head(valid) {
            Head::Insert(insert) => {
                let mut connection = self.prepared(request, flight)?;
                let first = &text[insert.data_at.min(text.len())..];
                let figures = self.insert(&mut connection, &insert, request, first, &mut body)?;
                drop(connection);
                flight.landed.store(true, Ordering::Release);
                send(begun, Ok(figures_of(figures)));
                return Ok(());
            }
            Head::InsertOpen | Head::InsertSelect | Head::Other => {}
        }
        if valid.len() < text.len() {
            return Err(Exception::new(code::SYNTAX_ERROR, "The statement is not UTF-8"));
        }
        if text.len() > MAX_STATEMENT_BYTES {
            let message = format_args!("The statement is longer than {MAX_STATEMENT_BYTES} bytes");
            return Err(Exception::new(code::QUERY_IS_TOO_LARGE, message));
        }
        let connection = self.prepared(request, flight)?;
        self.statement(connection, valid, request, flight, begun)
    }

    /// A connection with the request's database and settings in force.
    fn prepared(&self, request: &Request, flight: &Flight) -> Result<Connection, Exception> {
        let mut connection = self.connect(flight, &request.query_id)?;
        if let Some(database) = &request.database {
            let statement = format!("USE {}", quoted(database, '`'));
            connection.query(&statement, "TSV", &[]).map_err(|refusal| self.told(refusal))?;
        }
        if let Some(statement) = request.set_statement()? {
            connection.query(&statement, "TSV", &[]).map_err(|refusal| self.told(refusal))?;
        }
        Ok(connection)
    }

    fn insert(
        &self,
        connection: &mut Connection,
        insert: &statement::InsertHead<'_>,
        request: &Request,
        first: &[u8],
        body: &mut dyn Read,
    ) -> Result<Figures, Exception> {
        let told = |refusal| self.told(refusal);
        let mut stream =
            connection.insert(insert.statement, insert.format, &request.parameters).map_err(told)?;
        if !first.is_empty() {
            stream.append(first).map_err(told)?;
        }
        let mut buffer = vec![0; APPEND_BYTES];
        loop {
            let mut filled = 0;
            let mut ended = false;
            while filled < buffer.len() {
                match body.read(&mut buffer[filled..]).map_err(|error| unreadable(&error))? {
                    0 => {
                        ended = true;
                        break;
                    }
                    more => filled += more,
                }
            }
            if filled > 0 {
                stream.append(&buffer[..filled]).map_err(told)?;
            }
            if ended {
                // Only a body that ended as it announced gets here: nothing is committed for a client that
                // left.
                return stream.finish().map_err(told);
            }
        }
    }

    fn statement(
        &self,
        mut connection: Connection,
        sql: &str,
        request: &Request,
        flight: &Flight,
        begun: &mut Option<oneshot::Sender<Result<Begun, Exception>>>,
    ) -> Result<(), Exception> {
        let output = statement::output(sql);
        if output.into_outfile {
            return Err(Exception::new(code::INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed"));
        }
        let default_format = request.default_format.as_deref().unwrap_or("TabSeparated");
        let format = output.format.unwrap_or(default_format).to_owned();
        let Analysis { statements, class } = connection.classify(sql);
        if statements > 1 {
            return Err(Exception::new(
                code::SYNTAX_ERROR,
                "Syntax error (Multi-statements are not allowed)",
            ));
        }
        if class != StatementClass::ReadOnly {
            let answered = connection.query(sql, default_format, &request.parameters);
            drop(connection);
            let (answer, figures) = answered.map_err(|refusal| self.told(refusal))?;
            flight.landed.store(true, Ordering::Release);
            send(begun, Ok(Begun::Done { answer, format, figures }));
            return Ok(());
        }
        let (reader, writer) = std::io::pipe().map_err(|error| {
            Exception::new(code::NO_FREE_CONNECTION, format_args!("No pipe for the answer: {error}"))
        })?;
        // TRUNCATE because the "file" exists; a pipe has nothing to truncate.
        let destination = format!(" INTO OUTFILE '{}{}' TRUNCATE ", DESCRIPTORS, writer.as_raw_fd());
        let piped =
            [&sql[..output.destination_at], &destination, &sql[output.destination_at..output.end]].concat();
        let (told, outcome) = oneshot::channel();
        if !send(begun, Ok(Begun::Rows { pipe: reader, format, outcome })) {
            return Ok(());
        }
        let answered = connection.query(&piped, default_format, &request.parameters);
        drop(connection);
        flight.landed.store(true, Ordering::Release);
        let _ = told.send(match answered {
            Ok((_, figures)) => Ok(figures),
            Err(refusal) => Err(self.told(refusal)),
        });
        // The outcome is there before the reader sees the end.
        drop(writer);
        Ok(())
    }

    /// Stops a query whose client has gone, however long it takes to come into being.
    pub(crate) fn stop(&self, flight: &Arc<Flight>) {
        flight.abandoned.store(true, Ordering::Release);
        for _ in 0..KILL_ATTEMPTS {
            if flight.landed.load(Ordering::Acquire) {
                return;
            }
            if let Some(mut connection) = self.library.connect(&self.arguments) {
                let pattern = quoted(&flight.id, '\'');
                let kill = format!("KILL QUERY WHERE startsWith(Settings['log_comment'], {pattern}) ASYNC");
                if let Err(refusal) = connection.query(&kill, "TSV", &[]) {
                    tracing::warn!(query = flight.id, error = %refusal, "an abandoned query could not be stopped");
                }
            }
            std::thread::sleep(KILL_INTERVAL);
        }
    }

    /// Closes the engine. No query may run any more.
    pub(crate) fn close(&self) {
        drop(self.keeper.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        let joined = self.library.shutdown();
        tracing::debug!(joined, "libchdb is closed");
    }
}

/// Where an open descriptor can be opened again by number.
#[cfg(target_os = "linux")]
const DESCRIPTORS: &str = "/proc/self/fd/";
#[cfg(not(target_os = "linux"))]
const DESCRIPTORS: &str = "/dev/fd/";

/// False when the receiver is gone: the client has abandoned the query.
fn send(
    begun: &mut Option<oneshot::Sender<Result<Begun, Exception>>>,
    what: Result<Begun, Exception>,
) -> bool {
    begun.take().is_some_and(|begun| begun.send(what).is_ok())
}

fn unreadable(error: &std::io::Error) -> Exception {
    let text = error.to_string();
    if text.starts_with("Code: ") {
        return Exception::of_library(&text);
    }
    match error.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Other => {
            Exception::new(code::CANNOT_DECOMPRESS, format_args!("The body cannot be decompressed: {error}"))
        }
        _ => Exception::new(code::NETWORK_ERROR, format_args!("The body cannot be read: {error}")),
    }
}

/// Appends bytes of `source` to `out` until it holds `limit` or the source has ended.
fn read_up_to(source: &mut dyn Read, limit: usize, out: &mut Vec<u8>) -> Result<(), Exception> {
    while out.len() < limit {
        let start = out.len();
        out.resize(limit.min(start + (64 << 10)), 0);
        let read = source.read(&mut out[start..]);
        let count = read.as_ref().copied().unwrap_or(0);
        out.truncate(start + count);
        if read.map_err(|error| unreadable(&error))? == 0 {
            return Ok(());
        }
    }
    Ok(())
}

/// What the connection's task says about a body.
pub(crate) enum Piece {
    Data(Bytes),
    /// It ended as it announced.
    End,
}

/// A request's body as the blocking side reads it.
pub(crate) struct BodyReader {
    pieces: mpsc::Receiver<std::io::Result<Piece>>,
    current: Bytes,
    ended: bool,
    left: u64,
}

impl BodyReader {
    pub(crate) fn new(pieces: mpsc::Receiver<std::io::Result<Piece>>) -> Self {
        Self { pieces, current: Bytes::new(), ended: false, left: u64::MAX }
    }

    fn bounded(mut self, max: u64) -> Self {
        self.left = max;
        self
    }
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            if self.ended {
                return Ok(0);
            }
            match self.pieces.blocking_recv() {
                // A client that leaves must not look like the end of its rows.
                None => return Err(std::io::ErrorKind::ConnectionAborted.into()),
                Some(piece) => match piece? {
                    Piece::Data(data) => self.current = data,
                    Piece::End => self.ended = true,
                },
            }
            let length = u64::try_from(self.current.len()).unwrap_or(u64::MAX);
            self.left = self.left.checked_sub(length).ok_or_else(|| {
                let told = Exception::new(code::QUERY_IS_TOO_LARGE, "The body is longer than is taken");
                std::io::Error::new(std::io::ErrorKind::InvalidData, told.text)
            })?;
        }
        let count = out.len().min(self.current.len());
        out[..count].copy_from_slice(&self.current[..count]);
        bytes::Buf::advance(&mut self.current, count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_only_where_it_is_said_to_end() {
        let read = |pieces: Vec<std::io::Result<Piece>>, bound: u64| {
            let (sender, receiver) = mpsc::channel(4);
            for piece in pieces {
                sender.try_send(piece).map_err(drop).unwrap();
            }
            drop(sender);
            let mut out = Vec::new();
            BodyReader::new(receiver).bounded(bound).read_to_end(&mut out).map(|_| out)
        };
        let data = || Ok(Piece::Data(Bytes::from_static(b"rows")));
        assert_eq!(read(vec![data(), data(), Ok(Piece::End)], 8).unwrap(), b"rowsrows");
        assert!(read(vec![data(), data()], 8).is_err(), "a client that left");
        assert!(read(vec![data(), Err(std::io::ErrorKind::TimedOut.into()), Ok(Piece::End)], 8).is_err());
        let long = read(vec![data(), data(), Ok(Piece::End)], 7).unwrap_err();
        assert_eq!(Exception::of_library(&long.to_string()).code, 229);
    }
}
