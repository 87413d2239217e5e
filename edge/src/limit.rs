//! Rate limits: the generic cell rate algorithm per key, endpoint or address. The answer says how much is
//! left.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{NotUntil, Quota, RateLimiter};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};

use crate::problem;
use crate::response::Response;

/// Requests a second, and at once, that a key or an endpoint may make by default: twice what a provider's
/// replay after an outage brings (api.md, Common rules, asks for at least 2,000).
pub const DEFAULT_PER_SECOND: NonZeroU32 = NonZeroU32::new(4_000).expect("not zero");
/// Most keys remembered, about 100 bytes each. Beyond them all new ones share one allowance.
pub const KEYS_MAX: usize = 100_000;
/// After how many checks forgotten keys are swept out.
const SWEEP_EVERY: u64 = 4_096;
/// Stands for every key beyond [`KEYS_MAX`].
const OVERFLOW: u64 = 0;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A limiter over 64-bit keys (ids, or hashes of addresses).
#[derive(Debug)]
pub struct Limiter {
    cells: RateLimiter<u64, DefaultKeyedStateStore<u64>, MonotonicClock, StateInformationMiddleware>,
    clock: MonotonicClock,
    burst: u32,
    checks: AtomicU64,
    full: AtomicBool,
}

/// What an admitted request may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// At once, in all.
    pub limit: u32,
    /// At once, now.
    pub remaining: u32,
}

/// Too many: how long to wait, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// At once, in all.
    pub limit: u32,
    /// Seconds until one more is admitted, at least 1.
    pub retry_after_s: u64,
}

impl Limiter {
    /// `per_second` in the long run and as many at once.
    pub fn new(per_second: NonZeroU32) -> Self {
        Self::of(Quota::per_second(per_second))
    }

    /// `burst` at once, and one more after each `pause`.
    pub fn with_pause(burst: NonZeroU32, pause: Duration) -> Self {
        Self::of(Quota::with_period(pause).expect("a pause is not zero").allow_burst(burst))
    }

    fn of(quota: Quota) -> Self {
        let clock = MonotonicClock;
        let cells = RateLimiter::keyed(quota).with_middleware();
        let burst = quota.burst_size().get();
        Self { cells, clock, burst, checks: AtomicU64::new(0), full: AtomicBool::new(false) }
    }

    /// Takes one from the allowance of `key`.
    pub fn check(&self, key: u64) -> Result<Allowance, Exceeded> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.sweep();
        }
        let key = if self.full.load(Ordering::Relaxed) { OVERFLOW } else { key };
        match self.cells.check_key(&key) {
            Ok(state) => Ok(Allowance { limit: self.burst, remaining: state.remaining_burst_capacity() }),
            Err(until) => Err(self.exceeded(&until)),
        }
    }

    fn exceeded(&self, until: &NotUntil<std::time::Instant>) -> Exceeded {
        let wait = until.wait_time_from(self.clock.now());
        Exceeded { limit: self.burst, retry_after_s: wait.as_secs() + 1 }
    }

    fn sweep(&self) {
        if self.cells.len() > KEYS_MAX / 2 {
            self.cells.retain_recent();
        }
        self.full.store(self.cells.len() > KEYS_MAX, Ordering::Relaxed);
    }
}

impl Allowance {
    /// Tells the caller.
    pub fn write(self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(u32::from(self.remaining < self.limit)));
    }
}

impl Exceeded {
    /// 429.
    pub fn response(self, request_id: &str) -> Response {
        let detail = format!("At most {} requests a second are admitted.", self.limit);
        let mut response = problem::response(&problem::too_many(detail), request_id);
        let headers = response.headers_mut();
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(0));
        headers.insert(RESET, HeaderValue::from(self.retry_after_s));
        headers.insert(RETRY_AFTER, HeaderValue::from(self.retry_after_s));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_allowance() {
        let limiter = Limiter::new(NonZeroU32::new(3).unwrap());
        let left: Vec<_> = (0..3).map(|_| limiter.check(1).map(|a| a.remaining)).collect();
        assert_eq!(left, [Ok(2), Ok(1), Ok(0)]);
        let exceeded = limiter.check(1).unwrap_err();
        assert_eq!(exceeded, Exceeded { limit: 3, retry_after_s: 1 });
        assert!(limiter.check(2).is_ok());
        let response = exceeded.response("req_1");
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["ratelimit-remaining"], "0");
    }

    #[test]
    fn keys_are_bounded() {
        let limiter = Limiter::new(NonZeroU32::new(1).unwrap());
        let total = KEYS_MAX as u64 + 3 * SWEEP_EVERY;
        for key in 1..=total {
            let _ = limiter.check(key);
        }
        assert!(
            (limiter.cells.len() as u64) < total,
            "strangers beyond the bound share one cell or are swept"
        );
    }
}
