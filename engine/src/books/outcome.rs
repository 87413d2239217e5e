//! What applying a fact answers, and how it can fail.

use serde::Serialize;
use serde_json::Value;
use weir_schemas::problem::Problem;

/// The answer to a fact: an API object, or a refusal ([`Problem`] as JSON, for a status from 400 on).
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// HTTP status.
    pub status: u16,
    /// The API object; `null` for 204.
    pub body: Value,
    /// It repeats an earlier answer: this fact changed nothing.
    pub replayed: bool,
}

impl Outcome {
    pub(super) fn new<T: Serialize>(status: u16, body: &T) -> Result<Self, StoreError> {
        Ok(Self { status, body: serde_json::to_value(body)?, replayed: false })
    }

    pub(super) fn no_content() -> Self {
        Self { status: 204, body: Value::Null, replayed: false }
    }

    pub(super) fn refused(problem: &Problem) -> Self {
        let body = serde_json::to_value(problem).expect("a problem is plain JSON");
        Self { status: problem.status, body, replayed: false }
    }

    pub(super) fn repeated(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// The refusal, where it is one.
    pub fn problem(&self) -> Option<Problem> {
        (self.status >= 400).then(|| serde_json::from_value(self.body.clone()).ok()).flatten()
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
