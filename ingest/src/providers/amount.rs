//! Amounts as providers write them, made integer minor units without ever passing through floating point.

use weir_schemas::money::{AMOUNT_MAX, Currency, Money};

use super::Refusal;
use super::fields::bad;

/// An ISO 4217 code of either case.
pub(super) fn currency(text: &str) -> Result<Currency, Refusal> {
    text.parse().map_err(|_| bad("currency", "is not an ISO 4217 code"))
}

/// An amount that is integer minor units already.
pub(super) fn minor(amount: i64, code: &str) -> Result<Money, Refusal> {
    let currency = currency(code)?;
    if !(0..=AMOUNT_MAX).contains(&amount) {
        return Err(bad("amount", "is out of range"));
    }
    Ok(Money { amount, currency })
}

/// Integer minor units written as a text.
pub(super) fn minor_text(text: &str, code: &str) -> Result<Money, Refusal> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let amount = if digits { text.parse().ok() } else { None };
    minor(amount.ok_or_else(|| bad("amount", "is not an integer in range"))?, code)
}

/// A decimal text in major units (`19.99`), exact in the currency's ISO 4217 digits: `1.005 USD` is refused,
/// `1.500 JPY` too, `10.00 JPY` is ten yen.
pub(super) fn decimal(text: &str, code: &str) -> Result<Money, Refusal> {
    let currency = currency(code)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(bad("amount", "is not a decimal number of zero or more"));
    }
    let places = currency.digits() as usize;
    let (kept, rest) = fraction.split_at(fraction.len().min(places));
    if rest.bytes().any(|b| b != b'0') {
        return Err(bad("amount", "has more decimals than its currency"));
    }
    let range = || bad("amount", "is out of range");
    let written = format!("{whole}{kept:0<places$}");
    minor(written.parse().map_err(|_| range())?, currency.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amount(text: &str, code: &str) -> Option<i64> {
        decimal(text, code).ok().map(|money| money.amount)
    }

    #[test]
    fn decimals_are_exact_in_their_currency() {
        assert_eq!(amount("598.94", "USD"), Some(59_894));
        assert_eq!(amount("598.9", "usd"), Some(59_890));
        assert_eq!(amount("0.1", "EUR"), Some(10));
        assert_eq!(amount("10.00", "JPY"), Some(10));
        assert_eq!(amount("500", "JPY"), Some(500));
        assert_eq!(amount("1.234", "KWD"), Some(1_234));
        assert_eq!(amount("1.2", "KWD"), Some(1_200));
        assert_eq!(amount("1.2000", "USD"), Some(120));
        assert_eq!(amount("10000000000000.00", "USD"), Some(AMOUNT_MAX));
        for (text, code) in [
            ("1.005", "USD"),
            ("1.5", "JPY"),
            ("-1.00", "USD"),
            ("+1", "USD"),
            ("", "USD"),
            (".5", "USD"),
            ("5.", "USD"),
            ("1,00", "USD"),
            ("1e3", "USD"),
            ("NaN", "USD"),
            ("1.0.0", "USD"),
            ("٣", "USD"),
            ("10000000000000.01", "USD"),
            ("99999999999999999999999999", "USD"),
            ("1", "XYZ"),
            ("1", ""),
        ] {
            assert_eq!(amount(text, code), None, "{text} {code}");
        }
    }

    #[test]
    fn minor_units_are_digits() {
        assert_eq!(minor_text("65215", "USD").unwrap().amount, 65_215);
        for bad in ["", "-1", "1.0", "1e3", " 1", "9223372036854775808", "1000000000000001"] {
            assert!(minor_text(bad, "USD").is_err(), "{bad}");
        }
        assert!(minor(-1, "USD").is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            units in 0..=AMOUNT_MAX,
            code in prop::sample::select(vec!["USD", "JPY", "KWD", "CLF"]),
        ) {
            let digits = code.parse::<Currency>().unwrap().digits();
            let scale = 10_i64.pow(digits);
            let text = match digits {
                0 => units.to_string(),
                _ => format!("{}.{:0width$}", units / scale, units % scale, width = digits as usize),
            };
            prop_assert_eq!(amount(&text, code), Some(units));
        }

        #[test]
        fn nothing_panics(text in "\\PC*", code in "\\PC{0,4}") {
            _ = decimal(&text, &code);
            _ = minor_text(&text, &code);
        }
    }
}
