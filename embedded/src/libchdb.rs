//! The binding to libchdb: ClickHouse as a shared library, opened at run time.
//!
//! The only file of this crate with `unsafe`. The C interface is chdb.h of libchdb 26.7. Its rules, which the
//! types here make hard to break:
//! - one storage path per process, any number of connections to it;
//! - a connection runs one statement at a time ([`Connection`] takes `&mut self`, and an open
//!   [`InsertStream`] borrows it);
//! - every result and every insert stream is destroyed exactly once, errors included (their `Drop`);
//! - strings are (pointer, length) and may hold NUL bytes; the library copies what it keeps.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

/// Why the library could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No file at any of the usual places: fetch it.
    #[error(
        "libchdb.so was not found (looked at {looked_at}): run `make libchdb`, or name it with WEIR_LIBCHDB"
    )]
    Missing {
        /// The paths tried, comma-separated.
        looked_at: String,
    },
    /// The file is there but the dynamic linker refuses it (wrong platform, damaged): fetch it again.
    #[error("libchdb at {path} cannot be loaded: {reason}; remove it and run `make libchdb`")]
    Unloadable {
        /// The file.
        path: PathBuf,
        /// The dynamic linker's words, or the symbol that is missing.
        reason: String,
    },
}

/// What a statement does to state that outlives it, by the library's own parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatementClass {
    /// SELECT, SHOW, DESCRIBE, EXPLAIN, EXISTS, CHECK.
    ReadOnly,
    /// INSERT, CREATE, ALTER, DROP, OPTIMIZE, … and everything else that is not a read.
    Other,
    /// It did not parse.
    Unparsed,
}

/// What [`Connection::classify`] reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Analysis {
    /// Executable statements in the text; 0 when it did not parse.
    pub(crate) statements: u32,
    /// The most restricted class among them.
    pub(crate) class: StatementClass,
}

/// Figures of a finished statement.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Figures {
    /// Seconds spent.
    pub(crate) elapsed: f64,
    /// Rows of the result.
    pub(crate) result_rows: u64,
    /// Bytes of the result in the engine's own representation.
    pub(crate) result_bytes: u64,
    /// Rows read from storage.
    pub(crate) read_rows: u64,
    /// Bytes read from storage.
    pub(crate) read_bytes: u64,
    /// Rows written (those of materialized views included).
    pub(crate) written_rows: u64,
    /// Bytes written.
    pub(crate) written_bytes: u64,
}

/// What the library said went wrong, in ClickHouse's words (`Code: 60. DB::Exception: …`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

type RawConnection = *mut c_void;
type RawResult = *mut c_void;
type RawStream = *mut c_void;

#[repr(C)]
struct RawAnalysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

type NamedQuery<R> = unsafe extern "C" fn(
    RawConnection,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> R;

/// The functions of the library. It is never unloaded: its threads live as long as the process.
pub(crate) struct Libchdb {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut RawConnection,
    close: unsafe extern "C" fn(*mut RawConnection),
    query: NamedQuery<RawResult>,
    classify: unsafe extern "C" fn(
        RawConnection,
        *const c_char,
        usize,
        *const c_char,
        usize,
        *mut RawAnalysis,
    ) -> c_int,
    destroy_result: unsafe extern "C" fn(RawResult),
    result_buffer: unsafe extern "C" fn(RawResult) -> *const c_char,
    result_length: unsafe extern "C" fn(RawResult) -> usize,
    result_elapsed: unsafe extern "C" fn(RawResult) -> f64,
    result_rows: unsafe extern "C" fn(RawResult) -> u64,
    result_bytes: unsafe extern "C" fn(RawResult) -> u64,
    storage_rows: unsafe extern "C" fn(RawResult) -> u64,
    storage_bytes: unsafe extern "C" fn(RawResult) -> u64,
    rows_written: unsafe extern "C" fn(RawResult) -> u64,
    bytes_written: unsafe extern "C" fn(RawResult) -> u64,
    result_error: unsafe extern "C" fn(RawResult) -> *const c_char,
    insert: NamedQuery<RawStream>,
    append: unsafe extern "C" fn(RawStream, *const c_void, usize) -> c_int,
    done: unsafe extern "C" fn(RawStream) -> RawResult,
    cancel_insert: unsafe extern "C" fn(RawStream),
    insert_error: unsafe extern "C" fn(RawStream) -> *const c_char,
    destroy_insert: unsafe extern "C" fn(RawStream),
    shutdown: unsafe extern "C" fn() -> c_int,
    version: unsafe extern "C" fn() -> *const c_char,
}

/// Where the library is looked for: `given` (an option, or `WEIR_LIBCHDB`), else `.weir/libchdb-*/libchdb.so`
/// under the working directory and under the folders above the executable's.
pub fn locate(given: Option<&Path>) -> Result<PathBuf, LoadError> {
    let mut looked_at = Vec::new();
    if let Some(path) = given {
        if path.is_file() {
            return Ok(path.to_path_buf());
        }
        looked_at.push(path.display().to_string());
        return Err(LoadError::Missing { looked_at: looked_at.join(", ") });
    }
    let mut roots = Vec::new();
    roots.extend(std::env::current_dir());
    if let Ok(program) = std::env::current_exe() {
        // target/debug/weir, target/debug/deps/test-…: the workspace is up to four folders above.
        roots.extend(program.ancestors().skip(1).take(4).map(Path::to_path_buf));
    }
    for root in roots {
        let cache = root.join(".weir");
        looked_at.push(cache.join("libchdb-*/libchdb.so").display().to_string());
        let mut found: Vec<PathBuf> = std::fs::read_dir(&cache)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("libchdb-"))
            .map(|entry| entry.path().join("libchdb.so"))
            .filter(|path| path.is_file())
            .collect();
        found.sort();
        if let Some(newest) = found.pop() {
            return Ok(newest);
        }
    }
    Err(LoadError::Missing { looked_at: looked_at.join(", ") })
}

impl Libchdb {
    /// Opens the library and resolves every function before anything is called, with its signal handlers off.
    pub(crate) fn load(path: &Path) -> Result<&'static Self, LoadError> {
        let unloadable = |error: libloading::Error| LoadError::Unloadable {
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        // SAFETY: libchdb's initialisers are those of a C++ library made to be loaded at run time; the file
        // is the one that `make libchdb` checked against its pinned hash, or the one the operator named.
        let library = unsafe { libloading::Library::new(path) }.map_err(unloadable)?;
        // The function pointers below stay valid because the library is never closed.
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the field's type is the C declaration in chdb.h of the pinned version.
                *unsafe { library.get(concat!($name, "\0").as_bytes()) }.map_err(unloadable)?
            };
        }
        let set_signal_handlers: unsafe extern "C" fn(c_int) = function!("chdb_set_signal_handlers_enabled");
        let this = Self {
            connect: function!("chdb_connect"),
            close: function!("chdb_close_conn"),
            query: function!("chdb_query_with_params_n"),
            classify: function!("chdb_classify_query_n"),
            destroy_result: function!("chdb_destroy_query_result"),
            result_buffer: function!("chdb_result_buffer"),
            result_length: function!("chdb_result_length"),
            result_elapsed: function!("chdb_result_elapsed"),
            result_rows: function!("chdb_result_rows_read"),
            result_bytes: function!("chdb_result_bytes_read"),
            storage_rows: function!("chdb_result_storage_rows_read"),
            storage_bytes: function!("chdb_result_storage_bytes_read"),
            rows_written: function!("chdb_result_rows_written"),
            bytes_written: function!("chdb_result_bytes_written"),
            result_error: function!("chdb_result_error"),
            insert: function!("chdb_stream_insert_with_params_n"),
            append: function!("chdb_stream_append"),
            done: function!("chdb_stream_done"),
            cancel_insert: function!("chdb_stream_cancel_insert"),
            insert_error: function!("chdb_stream_insert_error"),
            destroy_insert: function!("chdb_destroy_insert_stream"),
            shutdown: function!("chdb_shutdown"),
            version: function!("chdb_version"),
        };
        // SAFETY: called before the first connection, as chdb.h asks; SIGTERM stays the program's own.
        unsafe { set_signal_handlers(0) };
        Ok(Box::leak(Box::new(this)))
    }

    /// The library's version, as `26.7.3`.
    pub(crate) fn version(&self) -> String {
        // SAFETY: returns a static NUL-terminated string.
        unsafe { text((self.version)()) }.unwrap_or_default()
    }

    /// Opens a connection. `arguments` are `--name=value`: server options count for the first connection of
    /// the process, settings for this connection only. `None` when the engine refuses; it prints why on
    /// stderr.
    pub(crate) fn connect(&'static self, arguments: &[String]) -> Option<Connection> {
        let owned: Vec<CString> = std::iter::once("clickhouse")
            .chain(arguments.iter().map(String::as_str))
            .map(|argument| CString::new(argument.replace('\0', "")).expect("NUL bytes were removed"))
            .collect();
        let mut pointers: Vec<*mut c_char> = owned.iter().map(|a| a.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).expect("a handful of arguments");
        // SAFETY: `pointers` holds `count` NUL-terminated strings that outlive the call, which only reads
        // them.
        let handle = unsafe { (self.connect)(count, pointers.as_mut_ptr()) };
        NonNull::new(handle).map(|handle| Connection { library: self, handle })
    }

    /// Joins the library's threads, as far as it will: with MergeTree tables it declines (26.7), and ending
    /// the process is what joins them. Every connection must be closed; afterwards none can be opened.
    pub(crate) fn shutdown(&self) -> bool {
        // SAFETY: safe from any thread by its contract; it refuses (returns an error) where it cannot.
        unsafe { (self.shutdown)() == 0 }
    }
}

/// One session of the engine. Closed on drop.
pub(crate) struct Connection {
    library: &'static Libchdb,
    handle: NonNull<RawConnection>,
}

// SAFETY: chdb.h allows a connection to be used from any thread, one statement at a time; `&mut self` and the
// borrow in `InsertStream` keep it to one. It is not `Sync`.
unsafe impl Send for Connection {}

/// Names and values in the form that the library takes.
struct Parameters {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
}

impl Parameters {
    fn new(parameters: &[(String, String)]) -> Self {
        Self {
            names: parameters.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: parameters.iter().map(|(name, _)| name.len()).collect(),
            values: parameters.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: parameters.iter().map(|(_, value)| value.len()).collect(),
        }
    }
}

impl Connection {
    fn raw(&self) -> RawConnection {
        // SAFETY: the handle points to the connection until `close` is called, which only `Drop` does.
        unsafe { *self.handle.as_ptr() }
    }

    /// What `sql` would do, without running it.
    pub(crate) fn classify(&mut self, sql: &str) -> Analysis {
        let size = u32::try_from(size_of::<RawAnalysis>()).expect("16 bytes");
        let mut out = RawAnalysis { struct_size: size, statement_count: 0, flags: 0, query_class: 4 };
        // SAFETY: `sql` outlives the call; no target database is named; `out` is of the size it claims.
        let state = unsafe {
            (self.library.classify)(self.raw(), sql.as_ptr().cast(), sql.len(), std::ptr::null(), 0, &mut out)
        };
        let class = match (state, out.query_class) {
            (0, 0) => StatementClass::ReadOnly,
            (0, 1..=3) => StatementClass::Other,
            _ => StatementClass::Unparsed,
        };
        Analysis { statements: out.statement_count, class }
    }

    /// Runs a statement and returns what it answers in `format` (unless it has a FORMAT clause), whole, in
    /// memory. `parameters` fill `{name:Type}` for this statement only.
    pub(crate) fn query(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<(Vec<u8>, Figures), Refusal> {
        let names = Parameters::new(parameters);
        // SAFETY: every pointer comes with its length and outlives the call; the arrays have `len` items
        // each.
        let result = unsafe {
            (self.library.query)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.names.as_ptr(),
                names.name_lengths.as_ptr(),
                names.values.as_ptr(),
                names.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        self.library.take(result)
    }

    /// Begins a streaming INSERT: `sql` without its FORMAT or VALUES clause, `format` of what will be
    /// appended.
    pub(crate) fn insert(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<InsertStream<'_>, Refusal> {
        let names = Parameters::new(parameters);
        // SAFETY: as in `query`; the engine captures the parameters before it returns.
        let handle = unsafe {
            (self.library.insert)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.names.as_ptr(),
                names.name_lengths.as_ptr(),
                names.values.as_ptr(),
                names.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        let stream = InsertStream { connection: self, handle, finished: false };
        match stream.error() {
            Some(reason) => Err(Refusal(reason)),
            None => Ok(stream),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and no result or stream of it is left: both borrow the connection.
        unsafe { (self.library.close)(self.handle.as_ptr()) }
    }
}

impl Libchdb {
    /// Copies a result out and destroys it.
    fn take(&self, result: RawResult) -> Result<(Vec<u8>, Figures), Refusal> {
        if result.is_null() {
            return Err(Refusal("Code: 49. DB::Exception: libchdb gave no result. (LOGICAL_ERROR)".into()));
        }
        // SAFETY: `result` is live until the `destroy_result` at the end; the buffer has `length` bytes.
        unsafe {
            let answer = match text((self.result_error)(result)) {
                Some(reason) => Err(Refusal(reason)),
                None => {
                    let (buffer, length) = ((self.result_buffer)(result), (self.result_length)(result));
                    let bytes = if buffer.is_null() || length == 0 {
                        Vec::new()
                    } else {
                        std::slice::from_raw_parts(buffer.cast::<u8>(), length).to_vec()
                    };
                    Ok((
                        bytes,
                        Figures {
                            elapsed: (self.result_elapsed)(result),
                            result_rows: (self.result_rows)(result),
                            result_bytes: (self.result_bytes)(result),
                            read_rows: (self.storage_rows)(result),
                            read_bytes: (self.storage_bytes)(result),
                            written_rows: (self.rows_written)(result),
                            written_bytes: (self.bytes_written)(result),
                        },
                    ))
                }
            };
            (self.destroy_result)(result);
            answer
        }
    }
}

/// A streaming INSERT. Dropped unfinished, it is cancelled: blocks that the engine already wrote stay.
pub(crate) struct InsertStream<'connection> {
    connection: &'connection mut Connection,
    handle: RawStream,
    finished: bool,
}

impl InsertStream<'_> {
    fn error(&self) -> Option<String> {
        if self.handle.is_null() {
            return Some("Code: 49. DB::Exception: libchdb gave no insert stream. (LOGICAL_ERROR)".into());
        }
        // SAFETY: the handle is live; the string is valid until the handle is destroyed and is copied here.
        unsafe { text((self.connection.library.insert_error)(self.handle)) }
    }

    /// Adds bytes of the stream's format, cut anywhere. Blocks while the engine is behind.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        // SAFETY: the handle is live; the library copies the bytes.
        let state = unsafe {
            (self.connection.library.append)(self.handle, bytes.as_ptr().cast::<c_void>(), bytes.len())
        };
        if state == 0 {
            return Ok(());
        }
        Err(Refusal(self.error().unwrap_or_else(|| {
            "Code: 49. DB::Exception: the insert stream took no more data. (LOGICAL_ERROR)".into()
        })))
    }

    /// Ends the data and commits it.
    pub(crate) fn finish(mut self) -> Result<Figures, Refusal> {
        self.finished = true;
        // SAFETY: the handle is live and was not finished before: `finish` consumes the stream.
        let result = unsafe { (self.connection.library.done)(self.handle) };
        self.connection.library.take(result).map(|(_, figures)| figures)
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        if self.handle.is_null() {
            return;
        }
        // SAFETY: the handle is live, destroyed once, here, on every path.
        unsafe {
            if !self.finished {
                (self.connection.library.cancel_insert)(self.handle);
            }
            (self.connection.library.destroy_insert)(self.handle);
        }
    }
}

/// Copies a C string; `None` for a null pointer or an empty string.
///
/// # Safety
/// `pointer` is null or points to a NUL-terminated string.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: by this function's contract.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    (!text.is_empty()).then_some(text)
}
