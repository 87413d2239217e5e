//! Incidents in the operator's own words: what is wrong, since when, and how far people are with it. They stand
//! beside the outages that the engine notices itself, in the file of the status page and not in the books: somebody
//! may want to write that the books cannot be written.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use weir_schemas::ids::IncidentId;
use weir_schemas::problem::FieldError;
use weir_schemas::time::Timestamp;

use super::history::Component;

/// Notices that are kept.
const NOTICES_MAX: usize = 50;
/// Updates of one of them.
const UPDATES_MAX: usize = 100;
/// Longest title, and text, in bytes.
const TITLE_MAX: usize = 200;
const TEXT_MAX: usize = 2_000;

/// How far people are with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It is looked at.
    #[default]
    Investigating,
    /// Its cause is known.
    Identified,
    /// It should be over; somebody looks whether it is.
    Monitoring,
    /// It is over.
    Resolved,
}

impl Progress {
    /// In a word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Investigating => "investigating",
            Self::Identified => "cause found",
            Self::Monitoring => "watching",
            Self::Resolved => "resolved",
        }
    }
}

/// What is said of it, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUpdate {
    /// How far people are.
    #[serde(default)]
    pub state: Progress,
    /// What is said.
    pub text: String,
}

/// A notice as the operator writes it first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNotice {
    /// In a few words.
    pub title: String,
    /// What it concerns.
    #[serde(default)]
    pub components: Vec<Component>,
    /// How far people are.
    #[serde(default)]
    pub state: Progress,
    /// What is said first.
    pub text: String,
}

/// One thing that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// When.
    pub at: Timestamp,
    /// How far people were.
    pub state: Progress,
    /// What.
    pub text: String,
}

/// An incident in the operator's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its id.
    pub id: IncidentId,
    /// In a few words.
    pub title: String,
    /// What it concerns.
    pub components: Vec<Component>,
    /// The newest first; at least one.
    pub updates: VecDeque<Update>,
}

impl Notice {
    /// How far it is.
    pub fn state(&self) -> Progress {
        self.updates.front().map_or(Progress::Resolved, |last| last.state)
    }
}

fn text_error(field: &str, text: &str, max: usize) -> Option<FieldError> {
    let fits =
        !text.trim().is_empty() && text.len() <= max && !text.chars().any(|c| c.is_control() && c != '\n');
    (!fits).then(|| FieldError {
        field: field.to_owned(),
        detail: format!("must have 1 to {max} bytes of text"),
    })
}

impl NewUpdate {
    /// What of it does not fit.
    pub fn check(&self) -> Vec<FieldError> {
        text_error("text", &self.text, TEXT_MAX).into_iter().collect()
    }
}

impl NewNotice {
    /// What of it does not fit.
    pub fn check(&self) -> Vec<FieldError> {
        let (title, text) = (&self.title, &self.text);
        [text_error("title", title, TITLE_MAX), text_error("text", text, TEXT_MAX)]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Every notice, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Notices(VecDeque<Notice>);

impl Notices {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Notice> {
        self.0.iter()
    }

    /// Whether something is not over.
    pub(super) fn is_any_open(&self) -> bool {
        self.0.iter().any(|notice| notice.state() != Progress::Resolved)
    }

    /// Begins one; beyond [`NOTICES_MAX`] the oldest goes.
    pub fn begin(&mut self, id: IncidentId, new: NewNotice, at: Timestamp) -> &Notice {
        let NewNotice { title, components, state, text } = new;
        self.0.push_front(Notice { id, title, components, updates: [Update { at, state, text }].into() });
        self.0.truncate(NOTICES_MAX);
        &self.0[0]
    }

    /// Says something more; `None` where there is no such notice.
    pub fn update(&mut self, id: IncidentId, new: NewUpdate, at: Timestamp) -> Option<&Notice> {
        let notice = self.0.iter_mut().find(|notice| notice.id == id)?;
        notice.updates.push_front(Update { at, state: new.state, text: new.text });
        notice.updates.truncate(UPDATES_MAX);
        Some(notice)
    }

    /// Takes one away that should not have been written; whether there was one.
    pub fn remove(&mut self, id: IncidentId) -> bool {
        let before = self.0.len();
        self.0.retain(|notice| notice.id != id);
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(title: &str) -> NewNotice {
        NewNotice {
            title: title.to_owned(),
            components: vec![Component::Analytics],
            state: Progress::default(),
            text: "We look at it.".to_owned(),
        }
    }

    #[test]
    fn a_notice_is_open_until_it_is_resolved_and_the_oldest_go() {
        let mut notices = Notices::default();
        assert!(!notices.is_any_open());
        let id = IncidentId(7);
        notices.begin(id, new("Queries are slow"), Timestamp(1_000));
        assert!(notices.is_any_open());
        let done = NewUpdate { state: Progress::Resolved, text: "The disk was full.".to_owned() };
        assert_eq!(notices.update(IncidentId(8), done.clone(), Timestamp(2_000)), None);
        let told = notices.update(id, done, Timestamp(2_000)).unwrap();
        assert_eq!(
            (told.state(), told.updates.len(), told.updates[0].at),
            (Progress::Resolved, 2, Timestamp(2_000))
        );
        assert!(!notices.is_any_open());
        for at in 0..NOTICES_MAX {
            notices.begin(IncidentId(100 + at as u64), new("More"), Timestamp(3_000));
        }
        assert_eq!(
            (notices.all().count(), notices.all().any(|notice| notice.id == id)),
            (NOTICES_MAX, false)
        );
        assert!(notices.remove(IncidentId(100)) && !notices.remove(IncidentId(100)));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let fields =
            |errors: Vec<FieldError>| errors.into_iter().map(|error| error.field).collect::<Vec<_>>();
        assert_eq!(fields(NewNotice { text: " ".to_owned(), ..new("") }.check()), ["title", "text"]);
        assert_eq!(fields(NewNotice { title: "x".repeat(TITLE_MAX + 1), ..new("") }.check()), ["title"]);
        assert!(NewUpdate { state: Progress::Monitoring, text: "Two\nlines".to_owned() }.check().is_empty());
    }
}
