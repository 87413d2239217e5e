//! The contract of partners: affiliates, influencers, referrers (api.md, Programs and money).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{PartnerId, ProgramId};
use crate::problem::FieldError;
use crate::time::Timestamp;

/// Longest name, in bytes.
pub const NAME_MAX: usize = 255;
/// Longest code or coupon, in bytes.
pub const CODE_MAX: usize = 64;
/// Most coupons of one partner.
pub const COUPONS_MAX: usize = 100;
/// Largest properties, in bytes of JSON.
pub const PROPERTIES_BYTES_MAX: usize = 4_096;

/// Whether a partner earns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartnerStatus {
    /// Signed up and not looked at yet: what it earns is held.
    Pending,
    /// It earns.
    #[default]
    Approved,
    /// It earned and earns no more.
    Suspended,
    /// It never earned.
    Rejected,
}

impl PartnerStatus {
    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Suspended => "suspended",
            Self::Rejected => "rejected",
        }
    }
}

/// By which way a partner is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutKind {
    /// A bank account: IBAN or account number.
    Bank,
    /// A PayPal account: its mail address.
    Paypal,
    /// A Wise account: its mail address.
    Wise,
}

/// Where a partner's money goes. The account is kept sealed, and answered with all but its end hidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayoutMethod {
    /// By which way.
    #[serde(rename = "type")]
    pub kind: PayoutKind,
    /// The account.
    pub account: String,
    /// The account's holder; the partner's name where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The bank's BIC, where it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bic: Option<String>,
}

impl PayoutMethod {
    /// The account with all but its last four characters hidden, of a mail address all but its first and its domain.
    pub fn masked(&self) -> Self {
        let account = match self.account.split_once('@') {
            Some((name, domain)) => {
                format!("{}•••@{domain}", name.chars().next().map(String::from).unwrap_or_default())
            }
            None => {
                let count = self.account.chars().count();
                let end: String = self.account.chars().skip(count.saturating_sub(4)).collect();
                if count > 4 { format!("•••{end}") } else { "•••".to_owned() }
            }
        };
        Self { account, ..self.clone() }
    }
}

/// What of a partner is kept sealed under the keyring's master key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartnerPrivate {
    /// Mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Where the money goes, in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payout_method: Option<PayoutMethod>,
}

/// What of a partner is kept in clear.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartnerSpec {
    /// For people.
    pub name: String,
    /// Unique in the workspace, whatever its case.
    pub code: String,
    /// Each unique in the workspace, whatever their case.
    #[serde(default)]
    pub coupons: Vec<String>,
    /// Whether it earns.
    #[serde(default)]
    pub status: PartnerStatus,
    /// Its program where neither link nor endpoint has one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub program_id: Option<ProgramId>,
    /// Who it is as a customer, by the caller's id: nobody earns by buying from themselves.
    #[serde(default)]
    pub customer_id: Option<String>,
    /// Where the money goes, masked.
    #[serde(default)]
    pub payout_method: Option<PayoutMethod>,
    /// Anything else, kept and given back.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub properties: Map<String, Value>,
}

/// A partner as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Partner {
    /// Its id.
    #[schema(value_type = String)]
    pub id: PartnerId,
    /// What is kept in clear.
    #[serde(flatten)]
    pub spec: PartnerSpec,
    /// Mail address; the edge opens it.
    pub email: Option<String>,
    /// When it was made.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
}

/// How a code or coupon is compared: without regard to case.
pub fn folded(code: &str) -> String {
    code.trim().to_lowercase()
}

fn check_text(field: &str, text: &str, max: usize, errors: &mut Vec<FieldError>) {
    if text.trim().is_empty() || text.len() > max || text.chars().any(char::is_control) {
        let detail = format!("must have 1 to {max} bytes and no control characters");
        errors.push(FieldError { field: field.to_owned(), detail });
    }
}

impl PartnerSpec {
    /// Every field that means nothing valid.
    pub fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_text("name", &self.name, NAME_MAX, &mut errors);
        check_text("code", &self.code, CODE_MAX, &mut errors);
        if self.coupons.len() > COUPONS_MAX {
            let detail = format!("holds more than {COUPONS_MAX}");
            errors.push(FieldError { field: "coupons".to_owned(), detail });
        }
        for (n, coupon) in self.coupons.iter().enumerate() {
            check_text(&format!("coupons[{n}]"), coupon, CODE_MAX, &mut errors);
        }
        if let Some(customer) = &self.customer_id {
            check_text("customer_id", customer, NAME_MAX, &mut errors);
        }
        let size = serde_json::to_string(&self.properties).map_or(usize::MAX, |text| text.len());
        if size > PROPERTIES_BYTES_MAX {
            let detail = format!("holds more than {PROPERTIES_BYTES_MAX} bytes");
            errors.push(FieldError { field: "properties".to_owned(), detail });
        }
        errors
    }
}

impl PartnerPrivate {
    /// Every field that means nothing valid.
    pub fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(email) = &self.email {
            check_text("email", email, NAME_MAX, &mut errors);
            if !email.contains('@') {
                let detail = "must be a mail address".to_owned();
                errors.push(FieldError { field: "email".to_owned(), detail });
            }
        }
        if let Some(method) = &self.payout_method {
            check_text("payout_method.account", &method.account, NAME_MAX, &mut errors);
            for (field, text) in [("holder", &method.holder), ("bic", &method.bic)] {
                if let Some(text) = text {
                    check_text(&format!("payout_method.{field}"), text, NAME_MAX, &mut errors);
                }
            }
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_masked() {
        let masked = |account: &str| {
            let kind = PayoutKind::Bank;
            PayoutMethod { kind, account: account.to_owned(), holder: None, bic: None }.masked().account
        };
        assert_eq!(masked("DE89370400440532013000"), "•••3000");
        assert_eq!(masked("ada@example.com"), "a•••@example.com");
        assert_eq!(masked("123"), "•••");
    }

    #[test]
    fn every_bad_field_is_named() {
        let spec = PartnerSpec { coupons: vec![" ".into()], ..PartnerSpec::default() };
        let fields: Vec<String> = spec.check().into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["name", "code", "coupons[0]"]);
    }
}
