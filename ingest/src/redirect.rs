//! The redirect: a visitor's way. Look the link up, compose the answer, copy the hit into this thread's lane,
//! answer. No lock, no system call of its own, no waiting (unless `durability.clicks = "power"` asks for the
//! sync). Only links that ask for more pay for it: a daily cap and repeats told apart take a lock for an instant,
//! a cap that was just changed waits once, a password waits for its hash.
//!
//! Each thread of the public listener owns one [`Redirect`] with its lane and scratch buffers. What is no
//! link goes to the public routes (webhooks, probes, the snippet …); what is neither is an orphan.
//!
//! Long, because it is one way in the order that it is walked, and reads best without jumps.

use std::borrow::Cow;
use std::cell::{RefCell, RefMut};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT_LANGUAGE, ALLOW, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use metrics::Counter;
use weir_edge::lines::Lines;
use weir_edge::peer::as_v6;
use weir_edge::plain::{PlainAnswer, PlainRequest, PlainService, ReadAt};
use weir_edge::response::{Response, headers_only};
use weir_engine::enrich::Agents;
use weir_engine::links::facts::Facts;
use weir_engine::links::variants::Draw;
use weir_engine::links::{Pieces, TrackedLink};
use weir_engine::recorder::Lane;
use weir_engine::token::{Token, TokenKeys, TokenParts};
use weir_schemas::click::Verdict;
use weir_schemas::hit::{FLAG_HEAD, FLAG_PLACE, FLAG_PREFETCH, FLAG_RETURNING, HIT_BYTES_MAX, RawHit};
use weir_schemas::ids::{ClickId, LinkId, PartnerId, ProgramId};
use weir_schemas::link::{NOT_FOUND_SLUG, RESERVED_SLUGS, ROOT_SLUG};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use crate::collect;
use answer::{Answer, Moved};
use asked::{Asked, Seen, decoded_slug, prefetches, write_host};
use limits::{Admission, admit, closed, come_again, not_found};
use lock::Attempt;
use repeats::First;
use visitor::{Visitor, Visitors};

mod answer;
mod asked;
mod config;
mod inspect;
mod limits;
mod location;
mod lock;
mod pages;
mod repeats;
mod visitor;

pub use config::RedirectConfig;
pub use lock::Locks;
pub use pages::pages;
pub use repeats::{FIRST_CLICKS_MAX, Repeats};
pub(crate) use visitor::COOKIE as VISITOR_COOKIE_NAME;

/// How long a redirect waits for the disk with `durability.clicks = "power"` before it goes out without.
const POWER_WAIT: Duration = Duration::from_secs(2);

/// One thread's redirect. Clones share it.
#[derive(Clone)]
pub struct Redirect {
    config: Arc<RedirectConfig>,
    own: Rc<RefCell<Own>>,
    answered: Counter,
    dropped: Counter,
}

impl std::fmt::Debug for Redirect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redirect").field("lane", &self.own.borrow().lane.index()).finish_non_exhaustive()
    }
}

/// What belongs to the thread. Never borrowed across an await.
pub(crate) struct Own {
    pub(crate) lane: Lane,
    pub(crate) tokens: TokenKeys,
    pub(crate) visitors: Visitors,
    /// What user agents say, once a link has asked.
    agents: Option<Agents>,
    /// The hit's bytes, then copied into the lane.
    hit: Vec<u8>,
    host: String,
    /// Where the visit goes.
    location: Vec<u8>,
}

/// How a visit comes to its link.
#[derive(Debug, Clone, Copy)]
struct Way {
    settled: bool,
    attempt: Attempt,
}

/// What became of a request for a path that may be a link's.
#[derive(Debug)]
pub enum Visited<A = Response> {
    /// Answered; the number of its hit on the lane, where it found room.
    Answered(A, Option<u64>),
    /// The path is one of the public routes.
    Elsewhere,
    /// A capped link has just changed: every click before must be known first. Nothing was recorded.
    Unsettled(Arc<TrackedLink>),
}

/// An answer and the hit that is recorded for it.
struct Decision<'l> {
    answer: Answer,
    verdict: Verdict,
    /// The variant's name, empty where there is none.
    variant: &'l str,
}

impl Redirect {
    /// Takes the lane of the thread that will call [`Self::answer`]. Install the metrics recorder before.
    pub fn new(config: Arc<RedirectConfig>, lane: Lane) -> Self {
        let own = Own {
            lane,
            tokens: TokenKeys::new(&config.token_keys),
            visitors: Visitors::new(config.visitor_key, Arc::clone(&config.salt)),
            agents: None,
            hit: Vec::with_capacity(HIT_BYTES_MAX),
            host: String::new(),
            location: Vec::new(),
        };
        Self {
            config,
            own: Rc::new(RefCell::new(own)),
            answered: metrics::counter!("weir_clicks_answered_total"),
            dropped: metrics::counter!("weir_clicks_dropped_total", "reason" => "lane_full"),
        }
    }

    /// Answers a request of the public listener.
    pub async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response {
        let started = Instant::now();
        let path = request.uri().path();
        let slug = decoded_slug(path.strip_prefix('/').unwrap_or(path));
        let visit = matches!(*request.method(), Method::GET | Method::HEAD);
        if let Some(link) = self.locked(&request, &slug) {
            return self.unlock(request, &link, peer.ip(), started).await;
        }
        let mut visited = Visited::Elsewhere;
        if visit {
            visited = self.visit_settled(&request, peer.ip(), &slug, started, Attempt::None).await;
        }
        let Visited::Answered(response, counter) = visited else {
            if collect::is_path(request.uri().path()) {
                return collect::answer(self, request, peer).await;
            }
            let others = &self.config.others;
            if !visit && !reserved(&slug) && !others.router.knows(request.uri().path()) {
                return only_visits(request.headers());
            }
            return others.answer(request, peer).await;
        };
        self.when_durable(counter).await;
        response
    }

    /// With `durability.clicks = "power"`: waits until the hit is synced.
    async fn when_durable(&self, counter: Option<u64>) {
        if let Some((recorder, counter)) = self.config.durable.as_ref().zip(counter) {
            let lane = self.own.borrow().lane.index();
            if tokio::time::timeout(POWER_WAIT, recorder.click_durable(lane, counter)).await.is_err() {
                metrics::counter!("weir_clicks_unsynced_total").increment(1);
            }
        }
    }

    /// Answers a visit; the first one to a capped link that was changed waits until every click before is known.
    async fn visit_settled<B>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
        slug: &str,
        started: Instant,
        attempt: Attempt,
    ) -> Visited {
        let way = Way { settled: false, attempt };
        let visited = self.visit_by(request, peer, slug, started, way);
        let Visited::Unsettled(link) = visited else { return visited };
        self.config.caps.settle(&link).await;
        self.visit_by(request, peer, slug, started, Way { settled: true, attempt })
    }

    pub(crate) fn config(&self) -> &RedirectConfig {
        &self.config
    }

    /// What belongs to the thread; not to be held across an await.
    pub(crate) fn own(&self) -> RefMut<'_, Own> {
        self.own.borrow_mut()
    }

    /// Copies a browser event into the lane; counted like a hit.
    pub(crate) fn append(&self, own: &mut Own, event: &[u8]) {
        self.answered.increment(1);
        if own.lane.append(event).is_err() {
            self.dropped.increment(1);
        }
    }

    /// Answers a visit and records it. `settled`: a capped link's places were waited for, whether in vain or not.
    pub fn visit<B>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
        slug: &str,
        started: Instant,
        settled: bool,
    ) -> Visited {
        self.visit_by(request, peer, slug, started, Way { settled, attempt: Attempt::None })
    }

    fn visit_by<B>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
        slug: &str,
        started: Instant,
        way: Way,
    ) -> Visited {
        let asked = Asked::of(request);
        let own = &mut *self.own.borrow_mut();
        let read = ReadAt { at: Timestamp::now(), instant: started };
        match self.answer_visit(own, &asked, peer, slug, read, way) {
            Visited::Answered(answer, counter) => {
                let response = answer.into_response(&self.config, own);
                Visited::Answered(if asked.head { headers_only(response) } else { response }, counter)
            }
            Visited::Elsewhere => Visited::Elsewhere,
            Visited::Unsettled(link) => Visited::Unsettled(link),
        }
    }

    fn answer_visit<L: Lines>(
        &self,
        own: &mut Own,
        asked: &Asked<'_, L>,
        peer: IpAddr,
        slug: &str,
        read: ReadAt,
        way: Way,
    ) -> Visited<Answer> {
        let mut host = std::mem::take(&mut own.host);
        write_host(asked, &mut host);
        let visited = self.answer_at(own, asked, &host, peer, slug, read, way);
        own.host = host;
        visited
    }

    #[expect(clippy::too_many_arguments, reason = "one way in, seen from two readers")]
    fn answer_at<L: Lines>(
        &self,
        own: &mut Own,
        asked: &Asked<'_, L>,
        host: &str,
        peer: IpAddr,
        slug: &str,
        read: ReadAt,
        way: Way,
    ) -> Visited<Answer> {
        let links = self.config.links.pin();
        let link = links.find(host, if slug.is_empty() { ROOT_SLUG } else { slug });
        if link.is_none()
            && let Some(inspected) = slug.strip_suffix(inspect::MARK)
            && let Some(link) = links.find(host, inspected)
        {
            let page = inspect::page(link, (host, inspected), read.at, self.config.abuse.as_deref());
            return Visited::Answered(Answer::Page(page), None);
        }
        if link.is_none() && (reserved(slug) || self.config.others.router.knows(asked.path)) {
            return Visited::Elsewhere;
        }
        if let Some(link) = link.filter(|link| !way.settled && link.cap_is_unsettled()) {
            return Visited::Unsettled(Arc::clone(link));
        }
        let mut flags = if asked.head { FLAG_HEAD } else { 0 };
        if prefetches(asked.headers) {
            flags |= FLAG_PREFETCH;
        }
        let agent = asked.headers.first(&USER_AGENT).unwrap_or_default();
        let seen = Seen {
            read: read.instant,
            at: read.at,
            flags,
            host,
            slug,
            query: asked.query,
            address: as_v6(self.config.proxies.client(peer, asked.headers)).octets(),
            agent,
            user_agent: std::str::from_utf8(agent).unwrap_or(""),
            referrer: asked.headers.text(&REFERER),
            language: asked.headers.text(&ACCEPT_LANGUAGE),
            headers: asked.headers,
            attempt: way.attempt,
        };
        let (answer, counter) = self.decide_and_record(own, link.map(|link| &**link), seen);
        Visited::Answered(answer, counter)
    }

    fn decide_and_record<L: Lines>(
        &self,
        own: &mut Own,
        link: Option<&TrackedLink>,
        mut seen: Seen<'_, L>,
    ) -> (Answer, Option<u64>) {
        let sent = seen.headers.cookie(visitor::COOKIE);
        let visitor = own.visitors.identify(sent, &seen.address, seen.agent, seen.at);
        if visitor.cookie.is_none() {
            seen.flags |= FLAG_RETURNING;
        }
        // The hit gets this counter below: both happen in one turn of the thread that owns the lane.
        let click = ClickId::new(seen.at.0, self.config.node, own.lane.index(), own.lane.next_counter());
        let admission = link.map(|link| {
            let asking = limits::Visitor { id: visitor.id, flags: seen.flags, agent: seen.user_agent, click };
            let mut doubt = Doubt { config: &self.config, own, link, seen: &seen };
            (link, admit(link, &asking, &mut doubt, &self.config.repeats))
        });
        let decision = |response, verdict| Decision { answer: Answer::Page(response), verdict, variant: "" };
        let abuse = self.config.abuse.as_deref();
        let mut decision = match admission {
            None => {
                let of_host = self.config.links.find(seen.host, NOT_FOUND_SLUG);
                decision(not_found(of_host.as_deref(), seen.at, abuse), Verdict::Orphan)
            }
            Some((link, Admission::Closed(verdict))) => decision(closed(link, verdict, abuse), verdict),
            Some((link, Admission::Unknown)) => decision(come_again(link), Verdict::Capped),
            Some((_, Admission::Locked)) => {
                let too_many = matches!(seen.attempt, Attempt::TooMany(_));
                decision(
                    lock::form(seen.attempt),
                    if too_many { Verdict::Blocked } else { Verdict::Password },
                )
            }
            Some((link, Admission::Repeat(first))) => {
                self.redirect(own, link, &seen, visitor, (first.click, Some(first)), Verdict::Duplicate)
            }
            Some((link, Admission::Open(verdict, taken))) => {
                seen.flags |= taken;
                self.redirect(own, link, &seen, visitor, (click, None), verdict)
            }
        };
        // Exactly one verdict per hit: what no visitor asked for is never counted, whatever became of it.
        let verdict = match seen.flags {
            flags if flags & FLAG_HEAD != 0 => Verdict::Head,
            flags if flags & FLAG_PREFETCH != 0 => Verdict::Prefetch,
            _ => decision.verdict,
        };
        let hit = RawHit {
            at: seen.at,
            verdict,
            flags: seen.flags,
            status: decision.answer.status().as_u16(),
            latency_us: u32::try_from(seen.read.elapsed().as_micros()).unwrap_or(u32::MAX),
            workspace: link.map_or(self.config.workspace, |link| link.workspace),
            link: link.map_or(LinkId::NONE, |link| link.id),
            program: link.and_then(|link| link.spec.program_id).unwrap_or(ProgramId::NONE),
            partner: link.and_then(|link| link.spec.partner_id).unwrap_or(PartnerId::NONE),
            visitor: visitor.id,
            address: seen.address,
            domain: seen.host,
            slug: seen.slug,
            variant: decision.variant,
            user_agent: seen.user_agent,
            referrer: seen.referrer,
            language: seen.language,
            query: seen.query,
            link_utm: link.map_or("", |link| &link.prepared.utm),
        };
        own.hit.clear();
        hit.write(&mut own.hit);
        self.answered.increment(1);
        let counter = own.lane.append(&own.hit);
        if counter.is_err() {
            self.dropped.increment(1);
            // A click that is not recorded is none: the next visit is the first one.
            if let Some(link) = link.filter(|link| link.spec.dedupe_window_seconds.is_some()) {
                self.config.repeats.forget(link.id, visitor.id, click);
            }
            // A place that is not recorded is not taken: others would find one more than there is.
            if let Some((link, cap)) = link.and_then(|link| Some((link, link.cap.as_ref()?)))
                && seen.flags & FLAG_PLACE != 0
                && let Some(places) = cap.places()
            {
                places.give_back(seen.at, seen.flags);
                decision.answer = Answer::Page(come_again(link));
            }
        }
        (decision.answer, counter.ok())
    }

    /// The answer to a visit that goes on, under the token of `click`: the visit's own or the first that it repeats.
    fn redirect<'l, L: Lines>(
        &self,
        own: &mut Own,
        link: &'l TrackedLink,
        seen: &Seen<'_, L>,
        visitor: Visitor,
        (click, first): (ClickId, Option<First>),
        verdict: Verdict,
    ) -> Decision<'l> {
        let facts = Facts::new(seen.visit(), self.config.geo.as_deref(), &mut own.agents);
        let (to, variant, number) = self.destination(link, &facts, visitor.id, click);
        if first.is_none() && link.spec.dedupe_window_seconds.is_some() && number != 0 {
            self.config.repeats.note_variant(link.id, visitor.id, click, number);
        }
        let number = first.map_or(number, |first| first.variant);
        let parts = TokenParts { click, workspace: link.workspace, link: link.id, variant: number };
        let token = own.tokens.mint(&parts);
        let visit = location::Visit {
            query: if link.spec.forward_query { seen.query } else { "" },
            token: link.spec.track_conversions.then(|| token.as_str()),
        };
        let macros = Macros { link, facts: &facts, token: &token, click, variant };
        own.location.clear();
        location::write(&mut own.location, to, visit, &macros);
        let status = StatusCode::from_u16(link.spec.status_code).unwrap_or(StatusCode::FOUND);
        // A permanent answer may be kept, but only by the browser whose token it carries, and not where each
        // visit is judged anew.
        let kept = matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT)
            && link.cap.is_none()
            && link.spec.password.is_none()
            && link.spec.dedupe_window_seconds.is_none()
            && link.prepared.rules.is_empty()
            && link.prepared.variants.is_empty();
        let mut answer = Answer::Moved(Moved { status, kept, token, visitor: visitor.cookie });
        if seen.attempt == Attempt::Right {
            let response = answer.into_response(&self.config, own);
            answer = Answer::Page(self.opened(response, link, seen.at));
        }
        Decision { answer, verdict, variant }
    }

    /// Where a visit goes: the first rule that holds, else the visitor's variant, else the link's
    /// destination. With the variant's name and its number in the link's list, from 1.
    fn destination<'l>(
        &self,
        link: &'l TrackedLink,
        facts: &Facts<'_>,
        visitor: u64,
        click: ClickId,
    ) -> (&'l Pieces, &'l str, u8) {
        let prepared = &link.prepared;
        if let Some(to) = prepared.rules.decide(facts) {
            return (to, "", 0);
        }
        if prepared.variants.is_empty() {
            return (&prepared.destination, "", 0);
        }
        let follows = prepared.variants.follow_results();
        let allocated = if follows { self.config.links.allocations().of(link.id) } else { None };
        let draw = Draw { visitor, link: link.id, at: facts.visit().at, click };
        match prepared.variants.choose(draw, allocated.as_ref().map(|allocated| &*allocated.weights)) {
            Some(chosen) => (chosen.destination, chosen.name, chosen.number),
            None => (&prepared.destination, "", 0),
        }
    }
}

impl PlainService for Redirect {
    /// Declined is what is not answered in one turn: what waits for the disk or for a cap's places, and every path
    /// that is no visit.
    fn answer(
        &self,
        request: &PlainRequest<'_>,
        peer: SocketAddr,
        read: ReadAt,
        answer: &mut PlainAnswer<'_>,
    ) -> bool {
        if self.config.durable.is_some() {
            return false;
        }
        let slug = decoded_slug(&request.path[1..]);
        let asked = Asked::plainly(request);
        let own = &mut *self.own.borrow_mut();
        let way = Way { settled: false, attempt: Attempt::None };
        match self.answer_visit(own, &asked, peer.ip(), &slug, read, way) {
            Visited::Answered(visited, _) => visited.write(&self.config, own, answer, request.head),
            Visited::Elsewhere | Visited::Unsettled(_) => return false,
        }
        true
    }
}

/// 405: a short link is only ever read.
fn only_visits(headers: &HeaderMap) -> Response {
    let why = Problem::new(405, "method_not_allowed", "Method not allowed", "A short link serves GET, HEAD.");
    let mut response = weir_edge::problem::response(&why, &weir_edge::service::request_id(headers));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn reserved(slug: &str) -> bool {
    let first = slug.split('/').next().unwrap_or("");
    RESERVED_SLUGS.contains(&first)
}

/// Answers what [`admit`] asks of a visit.
struct Doubt<'a, L> {
    config: &'a RedirectConfig,
    own: &'a mut Own,
    link: &'a TrackedLink,
    seen: &'a Seen<'a, L>,
}

impl<L: Lines> limits::Doubt for Doubt<'_, L> {
    fn locked(&mut self) -> bool {
        let sent = self.seen.headers.cookie(lock::COOKIE);
        self.seen.attempt != Attempt::Right
            && !lock::opens(&self.config.token_keys, self.link, sent, self.seen.at)
    }

    fn bot(&mut self, agent: &str) -> bool {
        self.own.agents.get_or_insert_with(Agents::new).look_up(agent).bot
    }

    fn token(&mut self) -> Option<TokenParts> {
        self.own.tokens.open(self.seen.headers.cookie(answer::TOKEN)?).ok()
    }
}

struct Macros<'a> {
    link: &'a TrackedLink,
    facts: &'a Facts<'a>,
    token: &'a Token,
    click: ClickId,
    variant: &'a str,
}

impl location::Macros for Macros<'_> {
    fn value(&self, name: &str) -> Cow<'_, str> {
        match name {
            "wclid" => self.token.as_str().into(),
            "click_id" => self.click.to_string().into(),
            "link_id" => self.link.id.to_string().into(),
            "country" => self.facts.place().country.as_str().into(),
            "device" => self.facts.device().as_str().into(),
            utm if utm.starts_with("utm_") => location::parameter(self.facts.visit().query, utm)
                .or_else(|| location::parameter(&self.link.prepared.utm, utm))
                .unwrap_or_default(),
            "variant" => self.variant.into(),
            _ => "".into(),
        }
    }
}

#[cfg(test)]
mod tests;
