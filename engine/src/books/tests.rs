//! A bench on which facts are applied by hand, and what the tests ask of it.

use serde_json::{Value, json};
use weir_schemas::click::Dims;
use weir_schemas::conversion::{NewConversion, NewRefund};
use weir_schemas::effect::{Change, Effect};
use weir_schemas::fact::{
    Actor, ClaimedBy, ClickClaim, ClickFacts, Fact as What, IdempotentRequest, Payment, Recorded,
};
use weir_schemas::ids::{
    ClickId, ConversionId, DeliveryId, EndpointId, LinkId, PartnerId, ProgramId, Sequence, WorkspaceId,
};
use weir_schemas::money::{Currency, Money};
use weir_schemas::time::{DAY_MS, Timestamp};

use super::*;

mod audits;
mod commissions;
mod conversions;
mod deliveries;
mod entities;
mod examples;
mod following;
mod limits;
mod payouts;
mod permutations;
mod power;
mod programs;
mod properties;
mod reading;
mod referrals;
mod refunds;
mod touches;
mod twin;

const NOON: i64 = 1_793_534_400_000;
const LINK: LinkId = LinkId(77);
const ENDPOINT: EndpointId = EndpointId(1);

struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
    facts: Vec<(Sequence, Fact)>,
    request: Option<IdempotentRequest>,
    /// How much later than [`NOON`] it is, in milliseconds.
    later: i64,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("books.db")).unwrap();
    let mut bench = Bench { _dir: dir, store, facts: Vec::new(), request: None, later: 0 };
    let name = "shop".to_owned();
    bench.apply(What::WorkspaceCreated { name, currency: Currency::EUR, timezone: "UTC".into(), key: None });
    let endpoint = What::EndpointCreated {
        id: ENDPOINT,
        provider: "stripe".into(),
        secrets: Vec::new(),
        program_id: None,
        settings: None,
    };
    bench.apply(endpoint);
    bench
}

impl Bench {
    fn apply(&mut self, fact: What) -> Outcome {
        self.apply_all(vec![fact]).pop().flatten().expect("a new fact is answered")
    }

    /// As [`Self::apply`], all in one transaction.
    fn apply_all(&mut self, facts: Vec<What>) -> Vec<Option<Outcome>> {
        let first = self.facts.len();
        for fact in facts {
            let seq = self.facts.len() as Sequence * 3 + 1;
            let recorded = Recorded {
                at: Timestamp(NOON + self.later + seq as i64),
                workspace: WorkspaceId(1),
                actor: Actor::System,
                request: self.request.take(),
                fact,
            };
            self.facts.push((seq, Ok(recorded)));
        }
        self.store.apply_batch(&self.facts[first..]).unwrap()
    }

    fn with_key(&mut self, key: &str, fingerprint: &str) -> &mut Self {
        self.request = Some(IdempotentRequest { key: key.into(), fingerprint: fingerprint.into() });
        self
    }

    fn convert(&mut self, body: Value, click: ClickClaim) -> Outcome {
        let conversion: NewConversion = serde_json::from_value(body).unwrap();
        let id = ConversionId(1_000 + self.facts.len() as u64 * 10);
        self.apply(What::plain_conversion(id, conversion, click))
    }

    fn refund(&mut self, body: Value) -> Outcome {
        let refund: NewRefund = serde_json::from_value(body).unwrap();
        self.apply(What::Refund { refund })
    }

    fn deliver(&mut self, dedupe_key: &str, payments: Vec<Payment>) -> Outcome {
        self.deliver_as(dedupe_key, "body", true, payments)
    }

    fn deliver_as(&mut self, key: &str, body: &str, livemode: bool, payments: Vec<Payment>) -> Outcome {
        let delivery = self.delivery(key, body, livemode, payments);
        self.apply(delivery)
    }

    fn delivery(&self, key: &str, body: &str, livemode: bool, payments: Vec<Payment>) -> What {
        What::Delivery {
            id: DeliveryId(5_000 + self.facts.len() as u64),
            endpoint: ENDPOINT,
            provider: "stripe".into(),
            dedupe_key: key.into(),
            event_type: "test".into(),
            body_sha256: body.into(),
            livemode,
            payments,
        }
    }

    fn effects(&self) -> Vec<Effect> {
        let mut statement =
            self.store.connection().prepare("SELECT payload FROM effects ORDER BY seq, sub").unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(|row| serde_json::from_str(&row.unwrap()).unwrap()).collect()
    }

    fn total(&self) -> Change {
        self.total_of(|_| true)
    }

    fn total_of(&self, which: impl Fn(&Effect) -> bool) -> Change {
        self.effects().iter().filter(|effect| which(effect)).fold(Change::default(), |sum, effect| {
            let c = effect.change;
            Change {
                leads: sum.leads + c.leads,
                conversions: sum.conversions + c.conversions,
                orders: sum.orders + c.orders,
                events: sum.events + c.events,
                new_customers: sum.new_customers + c.new_customers,
                revenue: sum.revenue + c.revenue,
                refunds: sum.refunds + c.refunds,
                commission: sum.commission + c.commission,
                hits: 0,
            }
        })
    }

    /// The files as they are now, as a crash leaves them: the write-ahead log is not emptied.
    fn image(&self) -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        for name in ["books.db", "books.db-wal"] {
            let file = self._dir.path().join(name);
            if file.exists() {
                std::fs::copy(file, image.path().join(name)).unwrap();
            }
        }
        image
    }

    /// The process dies and what was not on the disk since `image` is lost with it: the books go on from there, and the
    /// journal gives them again what they had not applied, and some that they had.
    fn crash(&mut self, image: tempfile::TempDir) {
        let before = self.store.digest().unwrap();
        self.store = Store::open(&image.path().join("books.db")).unwrap();
        self._dir = image;
        let applied = self.store.applied_seq().unwrap();
        let again = self.facts.partition_point(|(seq, _)| *seq <= applied).saturating_sub(3);
        for batch in self.facts[again..].chunks(50) {
            self.store.apply_batch(batch).unwrap();
        }
        assert_eq!(self.store.digest().unwrap(), before, "the books after a crash are those before it");
    }

    /// The books are built anew from the first fact, in batches of this size, and go on.
    fn replay(&mut self, batch: usize) {
        let before = self.store.digest().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("books.db")).unwrap();
        for batch in self.facts.chunks(batch) {
            store.apply_batch(batch).unwrap();
        }
        assert_eq!(store.digest().unwrap(), before, "a replay gives the same books");
        (self.store, self._dir) = (store, dir);
    }

    /// The books agree with themselves, and a replay in other batches gives the same books.
    fn verify(&self) {
        assert_eq!(self.store.check().unwrap(), Vec::<String>::new());
        let dir = tempfile::tempdir().unwrap();
        let mut replay = Store::open(&dir.path().join("books.db")).unwrap();
        for batch in self.facts.chunks(7) {
            replay.apply_batch(batch).unwrap();
        }
        assert_eq!(replay.digest().unwrap(), self.store.digest().unwrap());
    }
}

fn click_id(days_ago: i64, n: u64) -> ClickId {
    ClickId::new(NOON - days_ago * DAY_MS, 0, 1, n)
}

fn facts_of(id: ClickId) -> ClickFacts {
    ClickFacts {
        id,
        link: LINK,
        program: ProgramId(5),
        partner: PartnerId(6),
        visitor: 9,
        bot: false,
        asn: 0,
        verdict: None,
        dims: Dims { country: "DE".into(), ..Dims::default() },
    }
}

fn known(id: ClickId) -> ClickClaim {
    ClickClaim::Known { by: ClaimedBy::Wclid, facts: facts_of(id) }
}

fn eur(amount: i64) -> Money {
    Money { amount, currency: Currency::EUR }
}

fn sale(order: &str, amount: i64) -> Value {
    json!({"event": "sale", "order_id": order, "amount": {"amount": amount, "currency": "EUR"}})
}

fn code(outcome: &Outcome) -> String {
    outcome.problem().map_or(String::new(), |problem| problem.code.into_owned())
}
