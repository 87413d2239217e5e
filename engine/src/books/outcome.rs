//! What applying a fact answers, and how it can fail.

use std::ops::Deref;
use std::sync::OnceLock;

use serde::Serialize;
use serde_json::Value;
use weir_schemas::problem::Problem;

/// The answer to a fact: an API object, or a refusal ([`Problem`] as JSON, for a status from 400 on).
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// HTTP status.
    pub status: u16,
    /// The API object; `null` for 204.
    pub body: Body,
    /// It repeats an earlier answer: this fact changed nothing.
    pub replayed: bool,
}

impl Outcome {
    pub(super) fn new<T: Serialize>(status: u16, body: &T) -> Result<Self, StoreError> {
        Ok(Self { status, body: Body::of(body)?, replayed: false })
    }

    pub(super) fn no_content() -> Self {
        Self { status: 204, body: Body::from_text("null".into()), replayed: false }
    }

    pub(super) fn refused(problem: &Problem) -> Self {
        let body = Body::of(problem).expect("a problem is plain JSON");
        Self { status: problem.status, body, replayed: false }
    }

    pub(super) fn repeated(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// The refusal, where it is one.
    pub fn problem(&self) -> Option<Problem> {
        (self.status >= 400).then(|| serde_json::from_str(self.body.text()).ok()).flatten()
    }
}

/// An answer's JSON. The books' thread only writes its text; whoever looks into it reads that, on their own thread.
#[derive(Debug, Clone)]
pub struct Body {
    text: Box<str>,
    read: OnceLock<Value>,
}

impl Body {
    pub(super) fn of<T: Serialize>(body: &T) -> Result<Self, StoreError> {
        Ok(Self::from_text(serde_json::to_string(body)?))
    }

    /// Of a text that is JSON.
    pub(super) fn from_text(text: String) -> Self {
        Self { text: text.into(), read: OnceLock::new() }
    }

    /// The JSON's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The JSON, read.
    pub fn into_value(self) -> Value {
        _ = &*self;
        self.read.into_inner().unwrap_or_default()
    }
}

impl Deref for Body {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.read.get_or_init(|| serde_json::from_str(&self.text).expect("the books write JSON"))
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text || **self == **other
    }
}

/// Why the books could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused: a full disk, a damaged file. The follower stops; the journal keeps every fact.
    #[error("the books' database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A stored JSON text does not read back: the file is damaged; `weir replay books` rebuilds it.
    #[error("a text in the books does not read back: {0}")]
    Damaged(#[from] serde_json::Error),
    /// The file holds another version's tables: `weir replay books` rebuilds it.
    #[error(
        "the books have tables of version {found}, this program reads {expected}: run `weir replay books`"
    )]
    Version {
        /// In the file.
        found: i64,
        /// Of this program.
        expected: i64,
    },
    /// More changes than one fact may have.
    #[error("fact {0} means more than 65,536 effects")]
    TooManyEffects(u64),
}

/// Leaves the application of one fact early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The fact is refused and changes nothing.
    Refused(Box<Problem>),
    /// The books failed.
    Failed(StoreError),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl<E: Into<StoreError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The result of applying, or of a step of it.
pub(super) type Applied<T> = Result<T, Stop>;
