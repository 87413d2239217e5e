//! The contract of programs: the terms by which partners earn (api.md, Programs and money). A change makes a new
//! version; what was earned under an earlier one stays as it was.

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::ProgramId;
use crate::money::{AMOUNT_MAX, Money};
use crate::problem::FieldError;
use crate::time::Timestamp;

mod limits;
mod window;

pub use limits::{
    CAPS_MAX, Cap, MILESTONES_MAX, Milestone, MilestoneProgress, MilestoneReached, Scope, Span, Target,
};
use window::WINDOW_DAYS_DEFAULT;
pub use window::{WINDOW_DAYS_MAX, WINDOW_MINUTES_MAX, Window};

/// Basis points of the whole.
pub const WHOLE_BP: u32 = 10_000;
/// Longest hold, in days.
pub const HOLD_DAYS_MAX: u32 = 365;
/// Longest time for which renewals earn, in months.
pub const RECURRING_MONTHS_MAX: u32 = 120;
/// Most tiers of one program.
pub const TIERS_MAX: usize = 20;
/// Most products or tags with a rate of their own.
pub const PRODUCTS_MAX: usize = 200;
/// Longest name, in bytes.
pub const NAME_MAX: usize = 255;

/// Which of several clicks earns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Touch {
    /// The last before the conversion.
    #[default]
    Last,
    /// The first within the window.
    First,
}

/// What is earned: a share of what was paid, or a fixed amount for each order. Exactly one of the two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Basis points: 1500 is 15 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bp: Option<u32>,
    /// An amount, in one currency: sales in others earn nothing by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub fixed: Option<Money>,
}

impl Rate {
    /// So many basis points.
    pub const fn of_bp(bp: u32) -> Self {
        Self { bp: Some(bp), fixed: None }
    }

    fn check(&self, field: &str, errors: &mut Vec<FieldError>) {
        match (self.bp, self.fixed) {
            (Some(bp), None) => check_bp(&format!("{field}.bp"), bp, errors),
            (None, Some(money)) => check_money(&format!("{field}.fixed"), money, errors),
            _ => add(errors, field, "must have either `bp` or `fixed`"),
        }
    }
}

/// From when on a tier applies: what the partner must already have in the program. Exactly one of the two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TierFrom {
    /// Orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<u64>,
    /// Gross revenue, in one currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub revenue: Option<Money>,
}

/// A tier. Of all that apply the last in the list counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// For people: `Silver`.
    pub name: String,
    /// Its share, in basis points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bp: Option<u32>,
    /// Or its amount for each order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub fixed: Option<Money>,
    /// From when on.
    pub from: TierFrom,
}

impl Tier {
    /// What it pays.
    pub fn rate(&self) -> Rate {
        Rate { bp: self.bp, fixed: self.fixed }
    }
}

/// Over which time orders and revenue count for the tiers: with the calendar's next one (UTC) the count begins anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TierPeriod {
    /// From the partner's first order on.
    #[default]
    All,
    /// The calendar month.
    Month,
    /// The calendar quarter.
    Quarter,
    /// The calendar year.
    Year,
}

/// A product or tag with a rate of its own, which goes before base and tiers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductRate {
    /// The conversion's property `product`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// One of the conversion's property `tags`, or its property `tag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Its share, in basis points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bp: Option<u32>,
    /// Or its amount for each order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub fixed: Option<Money>,
}

impl ProductRate {
    /// What it pays.
    pub fn rate(&self) -> Rate {
        Rate { bp: self.bp, fixed: self.fixed }
    }
}

/// How much partners earn by a sale.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommissionTerms {
    /// Where no tier applies.
    pub base: Rate,
    /// In ascending order.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tiers: Vec<Tier>,
    /// Over which time the tiers count.
    #[serde(default, deserialize_with = "null_is_default")]
    pub period: TierPeriod,
    /// Products and tags with rates of their own.
    #[serde(default, deserialize_with = "null_is_default")]
    pub products: Vec<ProductRate>,
    /// Beyond what nothing more is earned.
    #[serde(default, deserialize_with = "null_is_default")]
    pub caps: Vec<Cap>,
    /// For how many months after the first payment renewals earn: `null` for as long as there are any, 0 for none.
    #[serde(default)]
    pub recurring_months: Option<u32>,
}

/// Rewards for who brings a new customer, paid with that customer's first sale. One level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferralTerms {
    /// To the partner who brought the customer, on top of the commission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer: Option<Rate>,
    /// To the new customer's wallet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referee: Option<Rate>,
}

/// Whether people may sign up as partners of a program by themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignUp {
    /// No.
    #[default]
    Closed,
    /// Yes; what they earn is held until somebody approves them.
    Review,
    /// Yes, and they are approved at once.
    Open,
}

/// The terms of a program, as they are written and answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgramSpec {
    /// For people.
    pub name: String,
    /// Which of several clicks earns.
    #[serde(default, deserialize_with = "null_is_default")]
    pub attribution: Touch,
    /// For how many days a click earns.
    #[serde(default = "window_days", deserialize_with = "null_is_window")]
    pub window_days: u32,
    /// For how many minutes a click earns, where days are too coarse: the days do not matter then.
    #[serde(default)]
    pub window_minutes: Option<u32>,
    /// What partners earn by a sale.
    pub commission: CommissionTerms,
    /// The platform's share of every commission, in basis points.
    #[serde(default, deserialize_with = "null_is_default")]
    pub platform_fee_bp: u32,
    /// For how many days after its sale a commission stays pending.
    #[serde(default, deserialize_with = "null_is_default")]
    pub hold_days: u32,
    /// Less than this, in its currency, is not paid out but carried on.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub min_payout: Option<Money>,
    /// What of a sale goes back to its customer's wallet, in basis points.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cashback_bp: u32,
    /// Rewards for bringing new customers.
    #[serde(default)]
    pub referral: Option<ReferralTerms>,
    /// What is told, and may bring a bonus, once so many orders, signups or so much revenue are there.
    #[serde(default, deserialize_with = "null_is_default")]
    pub milestones: Vec<Milestone>,
    /// Whether people may sign up as partners by themselves.
    #[serde(default, deserialize_with = "null_is_default")]
    pub sign_up: SignUp,
}

/// A program as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Program {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ProgramId,
    /// The version of its terms, from 1.
    pub version: u32,
    /// Its terms.
    #[serde(flatten)]
    pub spec: ProgramSpec,
    /// When it was made.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When this version of its terms began.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
}

fn window_days() -> u32 {
    WINDOW_DAYS_DEFAULT
}

fn null_is_window<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(WINDOW_DAYS_DEFAULT))
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn add(errors: &mut Vec<FieldError>, field: &str, detail: impl Into<String>) {
    errors.push(FieldError { field: field.to_owned(), detail: detail.into() });
}

fn check_bp(field: &str, bp: u32, errors: &mut Vec<FieldError>) {
    if bp > WHOLE_BP {
        add(errors, field, format!("must be basis points from 0 to {WHOLE_BP} (1500 is 15 %)"));
    }
}

fn check_money(field: &str, money: Money, errors: &mut Vec<FieldError>) {
    if !(0..=AMOUNT_MAX).contains(&money.amount) {
        let detail = format!("must be an integer of minor units from 0 to {AMOUNT_MAX}");
        add(errors, &format!("{field}.amount"), detail);
    }
}

fn check_name(field: &str, name: &str, errors: &mut Vec<FieldError>) {
    if name.trim().is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        add(errors, field, format!("must have 1 to {NAME_MAX} bytes and no control characters"));
    }
}

impl ProgramSpec {
    /// For how long a click earns.
    pub fn window(&self) -> Window {
        self.window_minutes.map_or(Window::Days(self.window_days), Window::Minutes)
    }

    /// Every field that means nothing valid.
    pub fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_name("name", &self.name, &mut errors);
        if !(1..=WINDOW_DAYS_MAX).contains(&self.window_days) {
            add(&mut errors, "window_days", format!("must be 1 to {WINDOW_DAYS_MAX}"));
        }
        if self.window_minutes.is_some_and(|minutes| !(1..=WINDOW_MINUTES_MAX).contains(&minutes)) {
            add(&mut errors, "window_minutes", format!("must be 1 to {WINDOW_MINUTES_MAX}, or null"));
        }
        if self.hold_days > HOLD_DAYS_MAX {
            add(&mut errors, "hold_days", format!("must be 0 to {HOLD_DAYS_MAX}"));
        }
        check_bp("platform_fee_bp", self.platform_fee_bp, &mut errors);
        check_bp("cashback_bp", self.cashback_bp, &mut errors);
        if let Some(least) = self.min_payout {
            check_money("min_payout", least, &mut errors);
        }
        if let Some(referral) = &self.referral {
            for (field, rate) in
                [("referral.referrer", referral.referrer), ("referral.referee", referral.referee)]
            {
                if let Some(rate) = rate {
                    rate.check(field, &mut errors);
                }
            }
        }
        self.commission.check(&mut errors);
        limits::check_milestones(&self.milestones, &mut errors);
        errors
    }
}

impl CommissionTerms {
    fn check(&self, errors: &mut Vec<FieldError>) {
        self.base.check("commission.base", errors);
        if self.tiers.len() > TIERS_MAX {
            add(errors, "commission.tiers", format!("holds more than {TIERS_MAX}"));
        }
        for (n, tier) in self.tiers.iter().enumerate() {
            let field = format!("commission.tiers[{n}]");
            check_name(&format!("{field}.name"), &tier.name, errors);
            tier.rate().check(&field, errors);
            match (tier.from.orders, tier.from.revenue) {
                (Some(_), None) => {}
                (None, Some(money)) => check_money(&format!("{field}.from.revenue"), money, errors),
                _ => add(errors, &format!("{field}.from"), "must have either `orders` or `revenue`"),
            }
            let earlier = &self.tiers[..n];
            if earlier.iter().any(|earlier| !ascends(earlier.from, tier.from)) {
                add(errors, &format!("{field}.from"), "must be more than the tiers' before it");
            }
        }
        if self.products.len() > PRODUCTS_MAX {
            add(errors, "commission.products", format!("holds more than {PRODUCTS_MAX}"));
        }
        for (n, product) in self.products.iter().enumerate() {
            let field = format!("commission.products[{n}]");
            product.rate().check(&field, errors);
            match (&product.product, &product.tag) {
                (Some(name), None) => check_name(&format!("{field}.product"), name, errors),
                (None, Some(name)) => check_name(&format!("{field}.tag"), name, errors),
                _ => add(errors, &field, "must have either `product` or `tag`"),
            }
        }
        limits::check_caps(&self.caps, errors);
        if self.recurring_months.is_some_and(|months| months > RECURRING_MONTHS_MAX) {
            let detail = format!("must be 0 to {RECURRING_MONTHS_MAX}, or null for no end");
            add(errors, "commission.recurring_months", detail);
        }
    }
}

/// Whether a later tier asks for more than an earlier one, where the two can be compared.
fn ascends(earlier: TierFrom, later: TierFrom) -> bool {
    match (earlier, later) {
        (TierFrom { orders: Some(a), .. }, TierFrom { orders: Some(b), .. }) => a < b,
        (TierFrom { revenue: Some(a), .. }, TierFrom { revenue: Some(b), .. })
            if a.currency == b.currency =>
        {
            a.amount < b.amount
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn program(more: Value) -> Value {
        let mut program = json!({"name": "Friends", "commission": {"base": {"bp": 1000}}});
        program.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        program
    }

    fn fields(value: Value) -> Vec<String> {
        let spec: ProgramSpec = serde_json::from_value(value).unwrap();
        spec.check().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn the_contracts_program_is_taken() {
        let whole = program(json!({
            "attribution": "first", "window_days": 7,
            "commission": {"base": {"bp": 1000}, "recurring_months": null, "tiers": [
                {"name": "Silver", "bp": 1500, "from": {"orders": 10}},
                {"name": "Gold", "bp": 2000, "from": {"revenue": {"amount": 500_000, "currency": "USD"}}}]},
            "platform_fee_bp": 2000, "hold_days": 30, "min_payout": {"amount": 5000, "currency": "USD"},
            "cashback_bp": 0, "referral": {},
        }));
        assert_eq!(fields(whole), Vec::<String>::new());
        let least: ProgramSpec = serde_json::from_value(program(json!({"attribution": null}))).unwrap();
        assert_eq!((least.attribution, least.window_days, least.hold_days), (Touch::Last, 30, 0));
        let told = serde_json::to_value(&least).unwrap();
        assert_eq!(
            (&told["commission"]["tiers"], &told["milestones"]),
            (&json!([]), &json!([])),
            "lists are told"
        );
    }

    #[test]
    fn every_bad_field_is_named() {
        let commission = |more: Value| {
            let mut terms = json!({"base": {"bp": 1000}});
            terms.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"commission": terms})
        };
        let milestone = |more: Value| {
            let mut milestone = json!({"name": "ten", "target": {"orders": 10}});
            milestone.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"milestones": [milestone]})
        };
        let usd = json!({"amount": -1, "currency": "USD"});
        for (more, field) in [
            (json!({"name": " "}), "name"),
            (json!({"window_days": 0}), "window_days"),
            (json!({"window_days": 366}), "window_days"),
            (json!({"window_minutes": 0}), "window_minutes"),
            (json!({"window_minutes": 525_601}), "window_minutes"),
            (json!({"hold_days": 366}), "hold_days"),
            (json!({"platform_fee_bp": 10_001}), "platform_fee_bp"),
            (json!({"cashback_bp": 10_001}), "cashback_bp"),
            (json!({"min_payout": usd}), "min_payout.amount"),
            (json!({"referral": {"referrer": {}}}), "referral.referrer"),
            (commission(json!({"base": {}})), "commission.base"),
            (commission(json!({"base": {"bp": 1, "fixed": usd}})), "commission.base"),
            (commission(json!({"base": {"bp": 10_001}})), "commission.base.bp"),
            (commission(json!({"tiers": [{"name": "a", "bp": 1, "from": {}}]})), "commission.tiers[0].from"),
            (commission(json!({"tiers": [{"name": "a", "from": {"orders": 1}}]})), "commission.tiers[0]"),
            (
                commission(json!({"tiers": [{"name": "a", "bp": 1, "from": {"orders": 2}},
                    {"name": "b", "bp": 2, "from": {"orders": 2}}]})),
                "commission.tiers[1].from",
            ),
            (commission(json!({"recurring_months": 121})), "commission.recurring_months"),
            (commission(json!({"products": [{"bp": 1}]})), "commission.products[0]"),
            (
                commission(json!({"caps": [{"per": "day", "amount": usd}]})),
                "commission.caps[0].amount.amount",
            ),
            (milestone(json!({"target": {}})), "milestones[0].target"),
            (milestone(json!({"target": {"orders": 1, "signups": 1}})), "milestones[0].target"),
            (milestone(json!({"target": {"orders": 0}})), "milestones[0].target.orders"),
            (milestone(json!({"name": ""})), "milestones[0].name"),
            (
                milestone(json!({"scope": "program", "bonus": {"amount": 1, "currency": "USD"}})),
                "milestones[0].bonus",
            ),
            (
                json!({"milestones": [{"name": "a", "target": {"orders": 1}}, {"name": "a", "target": {"orders": 2}}]}),
                "milestones[1].name",
            ),
        ] {
            assert_eq!(fields(program(more.clone())), [field], "{more}");
        }
    }
}
