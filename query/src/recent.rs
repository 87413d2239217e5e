//! Answers of the last seconds, by what was asked and as of when. An answer as of a sequence never changes, so whoever
//! asks the same before anything new was recorded gets it again; and who asks while it is still being worked
//! out waits for it rather than have it worked out twice.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::sync::OnceCell;
use weir_engine::query::execute::Answered;
use weir_engine::query::plan::Plan;
use weir_schemas::ids::Sequence;

/// Most answers kept.
pub(crate) const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(128).expect("not zero");
/// Most rows of an answer that is kept.
pub(crate) const CACHED_ROWS_MAX: usize = 1_000;
/// How long one is kept. Short, because an erasure takes texts out of the warehouse without a new sequence: whoever
/// asks again after it must not be answered from before it for long.
pub(crate) const CACHED_FOR: Duration = Duration::from_secs(5);

/// An answer that is there, or on its way.
pub(crate) type Asked = Arc<OnceCell<Answered>>;

/// The answers, the last asked for first.
#[derive(Debug)]
pub(crate) struct Recent {
    answers: Mutex<LruCache<(String, Sequence), (Instant, Asked)>>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { answers: Mutex::new(LruCache::new(CACHED_MAX)) }
    }
}

impl Recent {
    /// The plan's answer as of a sequence; an empty one where nobody asked for it lately.
    pub(crate) fn of(&self, plan: &Plan, as_of: Sequence) -> Asked {
        self.of_key(plan.key(), as_of, Instant::now())
    }

    fn of_key(&self, key: &str, as_of: Sequence, now: Instant) -> Asked {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (key.to_owned(), as_of);
        if let Some((since, asked)) = answers.get(&key)
            && now.duration_since(*since) < CACHED_FOR
        {
            return Arc::clone(asked);
        }
        let asked = Asked::default();
        answers.put(key, (now, Arc::clone(&asked)));
        asked
    }

    /// Keeps no answer to it.
    pub(crate) fn forget(&self, plan: &Plan, as_of: Sequence) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.pop(&(plan.key().to_owned(), as_of));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_serves_all_that_ask_the_same_as_of_the_same() {
        let (recent, now) = (Recent::default(), Instant::now());
        let first = recent.of_key("a", 7, now);
        assert!(Arc::ptr_eq(&first, &recent.of_key("a", 7, now + CACHED_FOR / 2)));
        assert!(!Arc::ptr_eq(&first, &recent.of_key("a", 8, now)), "something new was recorded");
        assert!(!Arc::ptr_eq(&first, &recent.of_key("b", 7, now)), "something else was asked");
        assert!(!Arc::ptr_eq(&first, &recent.of_key("a", 7, now + CACHED_FOR)), "it is too old");
    }

    #[test]
    fn the_oldest_makes_room() {
        let (recent, now) = (Recent::default(), Instant::now());
        let first = recent.of_key("first", 7, now);
        for n in 0..CACHED_MAX.get() {
            recent.of_key(&n.to_string(), 7, now);
        }
        assert!(!Arc::ptr_eq(&first, &recent.of_key("first", 7, now)));
    }
}
