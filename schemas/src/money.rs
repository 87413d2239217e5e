//! Money: integer minor units of an ISO 4217 currency. Floating point never holds an amount.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A currency: three capital letters of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Active ISO 4217 codes whose minor unit is not a hundredth, with their digits (list one, 2026).
const OTHER_DIGITS: &[(&[u8; 3], u32)] = &[
    (b"BIF", 0),
    (b"CLP", 0),
    (b"DJF", 0),
    (b"GNF", 0),
    (b"ISK", 0),
    (b"JPY", 0),
    (b"KMF", 0),
    (b"KRW", 0),
    (b"PYG", 0),
    (b"RWF", 0),
    (b"UGX", 0),
    (b"UYI", 0),
    (b"VND", 0),
    (b"VUV", 0),
    (b"XAF", 0),
    (b"XOF", 0),
    (b"XPF", 0),
    (b"BHD", 3),
    (b"IQD", 3),
    (b"JOD", 3),
    (b"KWD", 3),
    (b"LYD", 3),
    (b"OMR", 3),
    (b"TND", 3),
    (b"CLF", 4),
    (b"UYW", 4),
];

/// Active ISO 4217 codes with two digits (list one, 2026).
const TWO_DIGITS: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN \
    BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD \
    GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK \
    MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR \
    SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS \
    VED VES WST XCD XCG YER ZAR ZMW ZWG BGN";

impl Currency {
    /// Stands for "no money here" in dense rows; never printed to a caller as a currency.
    pub const NONE: Self = Self([0; 3]);
    /// The United States dollar, for tests and examples.
    pub const USD: Self = Self(*b"USD");
    /// The euro, for tests and examples.
    pub const EUR: Self = Self(*b"EUR");

    /// The three letters; empty for [`Self::NONE`].
    pub fn as_str(&self) -> &str {
        if *self == Self::NONE { "" } else { std::str::from_utf8(&self.0).expect("currencies are ASCII") }
    }

    /// How many decimal digits the minor unit has (ISO 4217).
    pub fn digits(self) -> u32 {
        OTHER_DIGITS.iter().find(|(code, _)| **code == self.0).map_or(2, |(_, digits)| *digits)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the code of a currency in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 4217 currency code such as USD")]
pub struct BadCurrency;

impl FromStr for Currency {
    type Err = BadCurrency;
    /// Lower case is accepted, because providers send it.
    fn from_str(text: &str) -> Result<Self, BadCurrency> {
        let bytes: [u8; 3] = text.as_bytes().try_into().map_err(|_| BadCurrency)?;
        let code = bytes.map(|b| b.to_ascii_uppercase());
        let known = OTHER_DIGITS.iter().any(|(other, _)| **other == code)
            || TWO_DIGITS.split_ascii_whitespace().any(|two| two.as_bytes() == code);
        known.then_some(Self(code)).ok_or(BadCurrency)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// JSON of a currency that may be [`Currency::NONE`], which is the empty text there. Contracts never use it.
pub mod currency_or_none {
    use super::Currency;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    /// The code, or the empty text.
    pub fn serialize<S: Serializer>(currency: &Currency, serializer: S) -> Result<S::Ok, S::Error> {
        currency.serialize(serializer)
    }

    /// A code, or the empty text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        if text.is_empty() { Ok(Currency::NONE) } else { text.parse().map_err(de::Error::custom) }
    }
}

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Integer minor units (cents for USD, yen for JPY).
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: Currency,
}

impl Money {
    /// As a decimal number with the currency's digits: `19.99`, `-0.05`, of yen `500`.
    pub fn decimal(self) -> String {
        let digits = self.currency.digits() as usize;
        if digits == 0 {
            return self.amount.to_string();
        }
        let whole = 10_u64.pow(digits as u32);
        let sign = if self.amount < 0 { "-" } else { "" };
        let amount = self.amount.unsigned_abs();
        format!("{sign}{}.{:0digits$}", amount / whole, amount % whole)
    }
}

/// The largest amount that one fact may carry, in minor units: 10^15, so that 9,000 of them still add up in an `i64`.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000_000;

/// `amount × numerator ÷ denominator`, rounded half away from zero, once. `None` on overflow or a zero denominator.
pub fn share(amount: i64, numerator: i64, denominator: i64) -> Option<i64> {
    if denominator == 0 {
        return None;
    }
    let product = i128::from(amount) * i128::from(numerator);
    let denominator = i128::from(denominator);
    let (quotient, remainder) = (product / denominator, product % denominator);
    let away = if (remainder * 2).abs() >= denominator.abs() {
        if (product < 0) == (denominator < 0) { 1 } else { -1 }
    } else {
        0
    };
    i64::try_from(quotient + away).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_iso_4217() {
        let digits = |code: &str| code.parse::<Currency>().unwrap().digits();
        assert_eq!((digits("USD"), digits("JPY"), digits("KWD"), digits("CLF")), (2, 0, 3, 4));
        assert_eq!("usd".parse::<Currency>().unwrap(), Currency::USD);
        for bad in ["", "US", "USDT", "XYZ", "U$D"] {
            assert_eq!(bad.parse::<Currency>(), Err(BadCurrency), "{bad}");
        }
    }

    #[test]
    fn a_share_rounds_half_away_from_zero() {
        assert_eq!(share(1_999, 1_500, 10_000), Some(300)); // 299.85
        assert_eq!(share(5, 1, 10), Some(1)); // 0.5
        assert_eq!(share(-5, 1, 10), Some(-1));
        assert_eq!(share(4, 1, 10), Some(0));
        assert_eq!(share(-4, 1, 10), Some(0));
        assert_eq!(share(i64::MAX, 2, 1), None);
        assert_eq!(share(1, 1, 0), None);
    }
}
