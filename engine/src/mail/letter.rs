//! What the letters say.

use serde_json::Value;
use weir_schemas::ids::PartnerId;
use weir_schemas::money::Money;

use crate::books::OutboxRow;

/// A letter, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// What a row of the outbox has people told.
pub(super) struct About {
    /// Who is told; whoever runs the engine where it concerns no single partner.
    pub(super) partner: Option<PartnerId>,
    pub(super) subject: String,
    pub(super) text: String,
}

/// What is between the words of a subject: names may hold anything but control characters.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

fn money(value: &Value) -> Option<String> {
    let money: Money = serde_json::from_value(value.clone()).ok()?;
    Some(format!("{} {}", money.decimal(), money.currency))
}

impl About {
    /// `None`: nobody is told of it by mail.
    pub(super) fn of(row: &OutboxRow) -> Option<Self> {
        let data = &row.data;
        let text = |name: &str| data[name].as_str();
        let partner = text("partner_id").and_then(|id| id.parse().ok());
        let (subject, text) = match row.event.as_str() {
            "milestone.reached" => {
                let name = text("name")?;
                let what = match text("metric")? {
                    "revenue" => money(&data["target"]["revenue"])?,
                    metric => format!("{} {metric}", data["target"][metric]),
                };
                let when = text("span").map(|span| format!(" in {span}")).unwrap_or_default();
                let bonus = money(&data["bonus"]).map(|bonus| format!("\nIt brings a bonus of {bonus}."));
                let told = format!(
                    "The milestone \"{name}\" of {} is reached: {what}{when}.{}\n",
                    text("program").unwrap_or("the program"),
                    bonus.unwrap_or_default()
                );
                (format!("Milestone reached: {name}"), told)
            }
            "payout.paid" => {
                let amount = money(&data["amount"])?;
                let by = text("reference").map(|by| format!(" Its reference is {by}.")).unwrap_or_default();
                let told =
                    format!("Your payout {} of {amount} was paid.{by}\n", text("id").unwrap_or_default());
                (format!("Payout of {amount}"), told)
            }
            "partner.approved" => {
                let code = text("code").unwrap_or_default();
                let told = format!("You are approved as a partner. Your code is {code}.\n");
                ("You are approved".to_owned(), told)
            }
            _ => return None,
        };
        Some(Self { partner, subject: one_line(&subject), text })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_schemas::ids::WorkspaceId;
    use weir_schemas::time::Timestamp;

    use super::*;

    fn about(event: &str, data: Value) -> Option<About> {
        let (workspace, at) = (WorkspaceId(1), Timestamp(0));
        About::of(&OutboxRow { seq: 1, n: 0, workspace, event: event.to_owned(), at, data })
    }

    #[test]
    fn letters_say_what_happened() {
        let usd = |amount: i64| json!({"amount": amount, "currency": "USD"});
        let reached = json!({"partner_id": PartnerId(6), "name": "Ten\r\nBcc: x", "metric": "orders",
            "target": {"orders": 10}, "span": null, "program": "Friends", "bonus": usd(2_500)});
        let told = about("milestone.reached", reached).unwrap();
        assert_eq!(told.subject, "Milestone reached: Ten  Bcc: x", "no second line, so no header");
        assert!(told.text.contains("of Friends is reached: 10 orders."), "{}", told.text);
        assert!(told.text.contains("a bonus of 25.00 USD"), "{}", told.text);
        assert_eq!(told.partner, Some(PartnerId(6)));
        let together = json!({"partner_id": null, "name": "Month", "metric": "revenue", "span": "2026-11",
            "target": {"revenue": usd(100)}, "bonus": null});
        let told = about("milestone.reached", together).unwrap();
        assert_eq!((told.partner, told.text.contains("1.00 USD in 2026-11.")), (None, true), "{}", told.text);
        let paid =
            json!({"id": "pay_1", "partner_id": PartnerId(6), "amount": usd(5_600), "reference": "T-1"});
        let told = about("payout.paid", paid).unwrap();
        assert_eq!(told.text, "Your payout pay_1 of 56.00 USD was paid. Its reference is T-1.\n");
        assert!(about("conversion.created", json!({})).is_none());
        let count = json!({"partner_id": PartnerId(6), "metric": "conversions", "value": 10});
        assert!(about("milestone.reached", count).is_none(), "a round number is for programs to read");
    }
}
