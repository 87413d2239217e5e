//! What is earned by a sale: pure arithmetic. Rounded half away from zero, once, at the last step; what is left of the
//! whole after the partner's part is the platform's.

use weir_schemas::money::{Money, share};
use weir_schemas::program::{CommissionTerms, Rate, Tier, WHOLE_BP};

/// What something earned is made of. `earned + fee` is what the merchant gives away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::books) struct Split {
    /// The partner's or customer's.
    pub(in crate::books) earned: i64,
    /// The platform's.
    pub(in crate::books) fee: i64,
}

/// What `rate` gives of a sale of `paid` of which `left` is left after all that went back.
pub(in crate::books) fn split(rate: Rate, fee_bp: u32, paid: Money, left: i64) -> Split {
    let whole_bp = i64::from(WHOLE_BP);
    let keeps = whole_bp - i64::from(fee_bp);
    // The whole as a fraction: `amount × top / bottom`.
    let (amount, top, bottom) = match (rate.bp, rate.fixed) {
        (Some(bp), _) => (left, i64::from(bp), whole_bp),
        (None, Some(fixed)) if fixed.currency == paid.currency && paid.amount > 0 => {
            (fixed.amount, left, paid.amount)
        }
        // A fixed amount for what costs nothing.
        (None, Some(fixed)) if fixed.currency == paid.currency => (fixed.amount, 1, 1),
        _ => return Split::default(),
    };
    let whole = share(amount, top, bottom);
    let earned = scaled(amount, top, keeps, bottom, whole_bp);
    match (whole, earned) {
        (Some(whole), Some(earned)) => Split { earned, fee: whole - earned },
        _ => Split::default(),
    }
}

/// As [`split`], of which no more than `room` is given in all.
pub(in crate::books) fn split_within(
    rate: Rate,
    fee_bp: u32,
    paid: Money,
    left: i64,
    room: Option<i64>,
) -> Split {
    let parts = split(rate, fee_bp, paid, left);
    match room {
        Some(room) if room < parts.earned + parts.fee => {
            let whole_bp = i64::from(WHOLE_BP);
            let earned = scaled(room, 1, whole_bp - i64::from(fee_bp), 1, whole_bp).unwrap_or_default();
            Split { earned, fee: room - earned }
        }
        _ => parts,
    }
}

/// `amount × a × b ÷ (c × d)`, rounded half away from zero, once. All are 0 or more.
fn scaled(amount: i64, a: i64, b: i64, c: i64, d: i64) -> Option<i64> {
    let top = i128::from(amount).checked_mul(i128::from(a))?.checked_mul(i128::from(b))?;
    let bottom = i128::from(c) * i128::from(d);
    i64::try_from((top + bottom / 2) / bottom).ok()
}

/// What a partner has in a program before a sale.
pub(in crate::books) trait Standing {
    /// Orders.
    fn orders(&self) -> u64;
    /// Gross revenue in this currency.
    fn revenue(&self, currency: weir_schemas::money::Currency) -> i64;
}

/// The tier that a partner of this standing is in.
pub(in crate::books) fn tier<'a>(terms: &'a CommissionTerms, standing: &impl Standing) -> Option<&'a Tier> {
    terms.tiers.iter().rev().find(|tier| applies(tier, standing))
}

/// Whether a partner of this standing has what a tier asks.
pub(in crate::books) fn applies(tier: &Tier, standing: &impl Standing) -> bool {
    match (tier.from.orders, tier.from.revenue) {
        (Some(orders), _) => standing.orders() >= orders,
        (None, Some(money)) => standing.revenue(money.currency) >= money.amount,
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_schemas::money::Currency;

    use super::*;

    fn usd(amount: i64) -> Money {
        Money { amount, currency: Currency::USD }
    }

    #[test]
    fn parts_are_rounded_once_and_add_up() {
        // 19.99 × 15 % = 2.9985: 3.00; of it 80 % = 2.3988: 2.40, and the platform takes the remainder.
        assert_eq!(split(Rate::of_bp(1_500), 2_000, usd(1_999), 1_999), Split { earned: 240, fee: 60 });
        // 0.05 × 10 % = half a cent goes away from zero; rounding twice would give the partner 0.01 of 0.005.
        assert_eq!(split(Rate::of_bp(1_000), 0, usd(5), 5), Split { earned: 1, fee: 0 });
        assert_eq!(split(Rate::of_bp(1_000), 5_000, usd(5), 5), Split { earned: 0, fee: 1 });
        let fixed = Rate { bp: None, fixed: Some(usd(1_000)) };
        assert_eq!(split(fixed, 0, usd(3_000), 1_000), Split { earned: 333, fee: 0 });
        assert_eq!(split(fixed, 0, usd(0), 0), Split { earned: 1_000, fee: 0 });
        let eur = Money { amount: 1, currency: Currency::EUR };
        assert_eq!(split(fixed, 0, eur, 1), Split::default(), "another currency");
    }

    #[test]
    fn a_cap_limits_the_whole_and_the_parts_add_up() {
        let within = |room| split_within(Rate::of_bp(1_000), 2_000, usd(10_000), 10_000, room);
        assert_eq!(within(None), Split { earned: 800, fee: 200 });
        assert_eq!(within(Some(1_000)), Split { earned: 800, fee: 200 });
        assert_eq!(within(Some(333)), Split { earned: 266, fee: 67 });
        assert_eq!(within(Some(0)), Split::default());
        let halves = split_within(Rate::of_bp(1_000), 5_000, usd(10_000), 10_000, Some(5));
        assert_eq!(halves, Split { earned: 3, fee: 2 }, "only one of the halves is rounded up");
    }

    proptest! {
        #[test]
        fn any_split_adds_up_to_the_whole(
            paid in 0..=weir_schemas::money::AMOUNT_MAX,
            left in 0..=10_000_u32,
            bp in 0..=WHOLE_BP,
            fee in 0..=WHOLE_BP,
        ) {
            let left = (i128::from(paid) * i128::from(left) / 10_000) as i64;
            let parts = split(Rate::of_bp(bp), fee, usd(paid), left);
            let whole = share(left, i64::from(bp), i64::from(WHOLE_BP)).unwrap();
            prop_assert_eq!(parts.earned + parts.fee, whole);
            prop_assert!(parts.earned >= 0 && parts.fee >= 0 && whole <= left);
            let exact = i128::from(left) * i128::from(bp) * i128::from(WHOLE_BP - fee);
            let off = (i128::from(parts.earned) * 100_000_000 - exact).abs();
            prop_assert!(off * 2 <= 100_000_000, "off by no more than half a minor unit");
        }
    }
}
