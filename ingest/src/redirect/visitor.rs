//! Who comes: the value of the cookie `wv` if the visit brings one, else a keyed hash of address, user agent
//! and UTC day, which is then what the cookie is set to. So people without cookies are counted once a day and
//! the others once.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use weir_engine::enrich::SaltOfTheDay;
use weir_schemas::time::Timestamp;

/// The cookie that says it is the same browser.
pub(crate) const COOKIE: &str = "wv";
/// Characters of a value that the engine sets.
pub(super) const VALUE_CHARS: usize = 16;
/// Longest value of a visitor's cookie that is believed, in bytes; ours have [`VALUE_CHARS`].
const VALUE_MAX: usize = 64;

/// The keys of the pseudonyms. Each thread has its own, so that the day's needs no lock.
pub(crate) struct Visitors {
    key: SipHasher13,
    salt: SaltOfTheDay,
    today: Option<(i64, SipHasher13)>,
}

/// A visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// The pseudonym that is kept.
    pub id: u64,
    /// What the cookie is to be set to, for a browser that brought none.
    pub cookie: Option<[u8; VALUE_CHARS]>,
}

impl Visitors {
    /// `key` pseudonymises cookies for ever; `salt` gives the key of a UTC day, destroyed after it.
    pub(super) fn new(key: [u8; 16], salt: SaltOfTheDay) -> Self {
        Self { key: SipHasher13::new_with_key(&key), salt, today: None }
    }

    /// Who comes.
    pub(crate) fn identify(
        &mut self,
        cookie: Option<&str>,
        address: &[u8; 16],
        user_agent: &[u8],
        at: Timestamp,
    ) -> Visitor {
        if let Some(value) = cookie.filter(|value| (1..=VALUE_MAX).contains(&value.len())) {
            return Visitor { id: self.key.hash(value.as_bytes()), cookie: None };
        }
        let mut hasher = *self.of_day(at.utc_day());
        hasher.write(address);
        hasher.write(user_agent);
        let value = hex(hasher.finish());
        Visitor { id: self.key.hash(&value), cookie: Some(value) }
    }

    fn of_day(&mut self, day: i64) -> &SipHasher13 {
        if self.today.as_ref().is_none_or(|(of, _)| *of != day) {
            self.today = Some((day, SipHasher13::new_with_key(&(self.salt)(day))));
        }
        &self.today.as_ref().expect("set just above").1
    }
}

fn hex(value: u64) -> [u8; VALUE_CHARS] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| DIGITS[(value >> (60 - 4 * at)) as usize & 15])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_schemas::time::DAY_MS;

    use super::*;

    fn visitors() -> Visitors {
        Visitors::new([1; 16], Arc::new(|day| [day as u8; 16]))
    }

    #[test]
    fn a_browser_keeps_its_identity_when_it_returns_with_the_cookie() {
        let mut visitors = visitors();
        let first = visitors.identify(None, &[7; 16], b"ua", Timestamp(0));
        let value = first.cookie.unwrap();
        let value = std::str::from_utf8(&value).unwrap();
        assert!(value.bytes().all(|b| b.is_ascii_hexdigit()) && value.len() == VALUE_CHARS);
        let later = Timestamp(400 * DAY_MS);
        let again = visitors.identify(Some(value), &[8; 16], b"other", later);
        assert_eq!(again, Visitor { id: first.id, cookie: None });
    }

    #[test]
    fn without_a_cookie_it_is_one_visitor_a_day() {
        let mut visitors = visitors();
        let mut id =
            |address: u8, agent: &[u8], at| visitors.identify(None, &[address; 16], agent, Timestamp(at)).id;
        let first = id(7, b"ua", 0);
        assert_eq!(id(7, b"ua", DAY_MS - 1), first);
        assert_ne!(id(7, b"ua", DAY_MS), first);
        assert_ne!(id(8, b"ua", 0), first);
        assert_ne!(id(7, b"ub", 0), first);
    }

    #[test]
    fn an_empty_or_endless_cookie_is_none() {
        let mut visitors = visitors();
        for value in ["", &"x".repeat(VALUE_MAX + 1)] {
            assert!(visitors.identify(Some(value), &[7; 16], b"ua", Timestamp(0)).cookie.is_some());
        }
    }
}
