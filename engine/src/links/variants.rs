//! Variants: a visitor gets one of the link's destinations, by weight, and keeps it for `sticky_days` without
//! any state on the server.
//!
//! The scheme, so that anybody can compute it again. `h(…)` is SipHash-1-3 under [`KEY`] over the numbers
//! in little endian; all times are Unix milliseconds.
//!
//! 1. `phase = h(visitor, link) mod window`, `window = sticky_days` in milliseconds: windows of different
//!    visitors end at different times.
//! 2. `epoch = (time + phase) div window`. With `sticky_days: 0` the click's id stands for it, so that every
//!    visit is drawn anew.
//! 3. For each variant of weight `w > 0`: `u = (h(visitor, link, epoch, h(name)) + 1) / 2^64` (its upper 53
//!    bits) and `score = −ln(u) / w`. The smallest score wins.
//!
//! Step 3 is weighted rendezvous hashing: a variant wins with probability `w / Σw`, and when weights change,
//! only visitors whom the change concerns move, and only to where the weight went.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use weir_schemas::ids::{ClickId, LinkId};
use weir_schemas::link::{Allocation, LinkSpec};
use weir_schemas::problem::FieldError;
use weir_schemas::time::{DAY_MS, Timestamp};

use super::prepared::Pieces;

/// Most variants of one link: the token's variant is a byte, and weights below a tenth teach nothing.
pub const VARIANTS_MAX: usize = 10;
/// The greatest weight.
pub const WEIGHT_MAX: u32 = 10_000;
/// Longest time that a visitor keeps a variant, in days.
pub const STICKY_DAYS_MAX: u16 = 365;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Not a secret: visitors are pseudonyms already.
const KEY: [u8; 16] = *b"weir variants v1";

/// A link's variants, ready to choose from.
#[derive(Debug, Default)]
pub struct Variants {
    arms: Box<[Arm]>,
    weights: Box<[u32]>,
    window_ms: i64,
    bandit: bool,
}

#[derive(Debug)]
struct Arm {
    name: Box<str>,
    name_hash: u64,
    destination: Pieces,
}

/// Who visits what and when.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// The visitor's pseudonym.
    pub visitor: u64,
    /// The link.
    pub link: LinkId,
    /// When.
    pub at: Timestamp,
    /// The click that this will be.
    pub click: ClickId,
}

/// What was chosen.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// Its place in the link's list, from 1, for the token.
    pub number: u8,
    /// Its name, for the hit.
    pub name: &'a str,
    /// Where it leads.
    pub destination: &'a Pieces,
}

impl Variants {
    pub(super) fn new(spec: &LinkSpec, utm: &str) -> Self {
        let arms = spec.variants.iter().take(VARIANTS_MAX).map(|variant| Arm {
            name: variant.name.as_str().into(),
            name_hash: SipHasher13::new_with_key(&KEY).hash(variant.name.as_bytes()),
            destination: Pieces::new(&variant.destination, utm),
        });
        Self {
            arms: arms.collect(),
            weights: spec.variants.iter().take(VARIANTS_MAX).map(|variant| variant.weight).collect(),
            window_ms: i64::from(spec.sticky_days) * DAY_MS,
            bandit: spec.allocation == Allocation::Bandit,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.arms.is_empty()
    }

    /// Whether the weights follow the results.
    pub fn follow_results(&self) -> bool {
        self.bandit && !self.arms.is_empty()
    }

    /// Names and the weights given, in the link's order.
    pub fn given(&self) -> impl ExactSizeIterator<Item = (&str, u32)> {
        self.arms.iter().zip(&self.weights).map(|(arm, weight)| (&*arm.name, *weight))
    }

    /// Chooses; `None` where there is nothing to choose from. `weights` are those that a bandit published;
    /// made for another number of variants they are out of date and the given ones stand.
    pub fn choose(&self, draw: Draw, weights: Option<&[u32]>) -> Option<Chosen<'_>> {
        let weights = weights.filter(|weights| weights.len() == self.arms.len()).unwrap_or(&self.weights);
        let epoch = self.epoch(draw);
        let mut best: Option<(f64, usize)> = None;
        for (number, (arm, weight)) in self.arms.iter().zip(weights).enumerate().filter(|(_, (_, w))| **w > 0)
        {
            let hash = hash(&[draw.visitor, draw.link.0, epoch as u64, (epoch >> 64) as u64, arm.name_hash]);
            let score = -unit(hash).ln() / f64::from(*weight);
            if best.is_none_or(|(least, _)| score < least) {
                best = Some((score, number));
            }
        }
        let (_, number) = best?;
        let arm = &self.arms[number];
        Some(Chosen { number: number as u8 + 1, name: &arm.name, destination: &arm.destination })
    }

    fn epoch(&self, draw: Draw) -> u128 {
        if self.window_ms == 0 {
            return draw.click.0;
        }
        let phase = (hash(&[draw.visitor, draw.link.0]) % self.window_ms as u64) as i64;
        (draw.at.0 + phase).div_euclid(self.window_ms) as u128
    }
}

fn hash(numbers: &[u64]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(&KEY);
    for number in numbers {
        hasher.write(&number.to_le_bytes());
    }
    hasher.finish()
}

/// In (0, 1].
fn unit(hash: u64) -> f64 {
    ((hash >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// Every fault of a link's split but its destinations': `variants[1].name`, `sticky_days`.
pub fn check(spec: &LinkSpec) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let mut fault = |field: String, detail: String| faults.push(FieldError { field, detail });
    if spec.variants.len() > VARIANTS_MAX {
        fault("variants".to_owned(), format!("holds more than {VARIANTS_MAX} variants"));
    }
    for (n, variant) in spec.variants.iter().enumerate() {
        let name = &variant.name;
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let detail = format!("must have 1 to {NAME_BYTES_MAX} bytes and no control characters");
            fault(format!("variants[{n}].name"), detail);
        } else if spec.variants[..n].iter().any(|before| before.name == *name) {
            fault(format!("variants[{n}].name"), format!("`{name}` is another variant's name already"));
        }
        if variant.weight > WEIGHT_MAX {
            fault(format!("variants[{n}].weight"), format!("must be 0 to {WEIGHT_MAX}"));
        }
    }
    if !spec.variants.is_empty() && spec.variants.iter().all(|variant| variant.weight == 0) {
        fault("variants".to_owned(), "must hold one with a weight above 0".to_owned());
    }
    if spec.sticky_days > STICKY_DAYS_MAX {
        fault("sticky_days".to_owned(), format!("must be 0 to {STICKY_DAYS_MAX}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DAY: i64 = 86_400_000;

    fn spec(weights: &[u32], sticky_days: u16) -> LinkSpec {
        let variants: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(n, weight)| {
                let destination = format!("https://v{n}.example/");
                json!({"name": format!("v{n}"), "destination": destination, "weight": weight})
            })
            .collect();
        let spec =
            json!({"destination": "https://a.example/", "variants": variants, "sticky_days": sticky_days});
        serde_json::from_value(spec).unwrap()
    }

    fn draw(visitor: u64, at: i64) -> Draw {
        let click = ClickId::new(1_800_000_000_000 + at, 0, 0, at as u64);
        Draw { visitor, link: LinkId(7), at: Timestamp(1_800_000_000_000 + at), click }
    }

    fn chosen(variants: &Variants, draw: Draw) -> u8 {
        variants.choose(draw, None).unwrap().number
    }

    #[test]
    fn shares_follow_the_weights() {
        let variants = Variants::new(&spec(&[50, 30, 0, 20], 7), "");
        let mut counts = [0u32; 4];
        for visitor in 0..40_000u64 {
            counts[usize::from(chosen(&variants, draw(visitor * 7_919, 0))) - 1] += 1;
        }
        // Four standard deviations of 40,000 draws are below 1 % of them.
        for (count, share) in counts.iter().zip([20_000i64, 12_000, 0, 8_000]) {
            assert!((i64::from(*count) - share).abs() < 400, "{counts:?}");
        }
        assert_eq!(counts[2], 0, "a weight of 0 is a pause");
    }

    #[test]
    fn a_visitor_keeps_a_variant_for_the_window_and_only_for_it() {
        let variants = Variants::new(&spec(&[1, 1, 1, 1], 7), "");
        let (mut kept, mut moved) = (0, 0);
        for visitor in 0..500u64 {
            let days: Vec<u8> = (0..70).map(|day| chosen(&variants, draw(visitor, day * DAY))).collect();
            let changes: Vec<usize> = (1..70).filter(|&day| days[day] != days[day - 1]).collect();
            assert!(
                changes.windows(2).all(|two| (two[1] - two[0]) % 7 == 0),
                "changes lie whole windows apart"
            );
            kept += 70 - changes.len();
            moved += changes.len();
        }
        assert!(moved > 500 && kept > 30_000, "{moved} {kept}");
        // Not all on the same day.
        let on = |day: i64| {
            (0..500)
                .filter(|v| {
                    chosen(&variants, draw(*v, day * DAY)) != chosen(&variants, draw(*v, (day - 1) * DAY))
                })
                .count()
        };
        assert!((1..=7).all(|day| on(day) > 20));
    }

    #[test]
    fn without_stickiness_every_visit_is_drawn() {
        let variants = Variants::new(&spec(&[1, 1], 0), "");
        let first = (0..1_000).filter(|n| chosen(&variants, draw(5, *n)) == 1).count();
        assert!((400..600).contains(&first), "{first}");
    }

    #[test]
    fn changed_weights_move_only_those_they_concern() {
        let variants = Variants::new(&spec(&[100, 100, 100], 30), "");
        let mut moved = 0;
        for visitor in 0..3_000 {
            let before = chosen(&variants, draw(visitor, 0));
            let after = variants.choose(draw(visitor, 0), Some(&[200, 100, 100])).unwrap().number;
            assert!(after == before || after == 1, "only to where the weight went");
            moved += usize::from(after != before);
        }
        // From a third to a half.
        assert!((400..600).contains(&moved), "{moved}");
        let stale = variants.choose(draw(1, 0), Some(&[1])).unwrap().number;
        assert_eq!(stale, chosen(&variants, draw(1, 0)));
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(check(&spec(&[50, 50], 7)), []);
        let fields = |spec: &LinkSpec| check(spec).into_iter().map(|fault| fault.field).collect::<Vec<_>>();
        assert_eq!(fields(&spec(&[0, 0], 366)), ["variants", "sticky_days"]);
        assert_eq!(fields(&spec(&[1; 11], 7)), ["variants"]);
        let mut twice = spec(&[1, 10_001, 1], 7);
        twice.variants[1].name = "v0".into();
        twice.variants[2].name = " ".into();
        assert_eq!(fields(&twice), ["variants[1].name", "variants[1].weight", "variants[2].name"]);
    }
}
