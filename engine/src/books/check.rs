//! The books audited: every sum is computed again from its parts (`weir doctor --books`).

use rusqlite::Connection;

use super::outcome::StoreError;

/// Each audit selects its disagreements: what, found, expected.
const AUDITS: &[(&str, &str)] = &[
    (
        "the ledger entries of a fact do not add up to zero",
        "SELECT 'fact ' || seq || ', ' || currency, sum(amount), 0 FROM entries
         GROUP BY seq, workspace, currency HAVING sum(amount) != 0",
    ),
    (
        "a balance is not the sum of its entries",
        "SELECT b.workspace || ' ' || b.currency || ' ' || b.account, b.amount, coalesce(e.total, 0)
         FROM balances b LEFT JOIN (SELECT workspace, currency, account, sum(amount) total FROM entries
                                    GROUP BY 1, 2, 3) e USING (workspace, currency, account)
         WHERE b.amount != coalesce(e.total, 0)",
    ),
    (
        "entries without a balance",
        "SELECT e.workspace || ' ' || e.currency || ' ' || e.account, sum(e.amount), 0 FROM entries e
         WHERE NOT EXISTS (SELECT 1 FROM balances b WHERE b.workspace = e.workspace
                               AND b.currency = e.currency AND b.account = e.account)
         GROUP BY e.workspace, e.currency, e.account",
    ),
    (
        "an order's payments are not the sum of its sales",
        "SELECT 'order ' || o.name, o.paid, coalesce(sum(c.amount), 0)
         FROM orders o LEFT JOIN conversions c
             ON c.ord = o.id AND c.event IN ('sale', 'renewal') AND c.merged_into IS NULL
         GROUP BY o.id HAVING o.paid != coalesce(sum(c.amount), 0)",
    ),
    (
        "what went back of an order is not the sum of its refunds",
        "SELECT 'order ' || o.name, o.returned, coalesce(sum(r.taken), 0)
         FROM orders o LEFT JOIN returns r ON r.ord = o.id
         GROUP BY o.id HAVING o.returned != coalesce(sum(r.taken), 0)",
    ),
    (
        "more went back of an order than was paid",
        "SELECT 'order ' || name, returned, paid FROM orders WHERE returned > paid OR returned < 0",
    ),
    (
        "the ledger's revenue is not the sum of the orders and of the sales without order",
        "SELECT b.workspace || ' ' || b.currency, -b.amount, coalesce(s.total, 0)
         FROM balances b LEFT JOIN (
             SELECT workspace, currency, sum(amount) total FROM conversions
             WHERE event IN ('sale', 'renewal') AND merged_into IS NULL GROUP BY 1, 2
         ) s USING (workspace, currency)
         WHERE b.account = 'revenue' AND -b.amount != coalesce(s.total, 0)",
    ),
    (
        "the ledger's refunds are not the sum of the orders' refunds",
        "SELECT b.workspace || ' ' || b.currency, b.amount, coalesce(s.total, 0)
         FROM balances b LEFT JOIN (
             SELECT workspace, currency, sum(returned) total FROM orders
             WHERE currency IS NOT NULL GROUP BY 1, 2
         ) s USING (workspace, currency)
         WHERE b.account = 'refunds' AND b.amount != coalesce(s.total, 0)",
    ),
    (
        "the effects of a conversion are not what it stands for",
        "SELECT 'conversion ' || c.id, coalesce(e.revenue, 0),
                iif(c.event IN ('sale', 'renewal') AND c.merged_into IS NULL, coalesce(c.amount, 0), 0)
         FROM conversions c LEFT JOIN (
             SELECT conversion, sum(payload ->> '$.change.revenue') revenue FROM effects GROUP BY conversion
         ) e ON e.conversion = c.id
         WHERE coalesce(e.revenue, 0) !=
               iif(c.event IN ('sale', 'renewal') AND c.merged_into IS NULL, coalesce(c.amount, 0), 0)",
    ),
    (
        "a conversion is not counted once",
        "SELECT 'conversion ' || c.id, coalesce(e.counted, 0), iif(c.merged_into IS NULL, 1, 0)
         FROM conversions c LEFT JOIN (
             SELECT conversion, sum((payload ->> '$.change.conversions') + (payload ->> '$.change.leads')
                                    + (payload ->> '$.change.events')) counted
             FROM effects GROUP BY conversion
         ) e ON e.conversion = c.id
         WHERE coalesce(e.counted, 0) != iif(c.merged_into IS NULL, 1, 0)",
    ),
    (
        "the effects' refunds are not the ledger's",
        "SELECT e.workspace || ' ' || e.currency, e.refunds, coalesce(b.amount, 0)
         FROM (SELECT payload ->> '$.workspace' workspace, payload ->> '$.currency' currency,
                      sum(payload ->> '$.change.refunds') refunds FROM effects GROUP BY 1, 2) e
         LEFT JOIN balances b
             ON b.workspace = e.workspace AND b.currency = e.currency AND b.account = 'refunds'
         WHERE e.refunds != coalesce(b.amount, 0)",
    ),
    (
        "the new customers counted are not the customers with a conversion",
        "SELECT 'workspace ' || e.workspace, e.counted, coalesce(k.total, 0)
         FROM (SELECT payload ->> '$.workspace' workspace, sum(payload ->> '$.change.new_customers') counted
               FROM effects GROUP BY 1) e
         LEFT JOIN (SELECT workspace, count(first_conversion) total FROM customers GROUP BY 1) k
             USING (workspace)
         WHERE e.counted != coalesce(k.total, 0)",
    ),
    (
        "an entry of the journal could not be decoded",
        "SELECT 'fact ' || seq || ': ' || reason, 1, 0 FROM undecodable",
    ),
];

/// How many disagreements of one kind are told.
const TOLD_MAX: usize = 20;

pub(super) fn check(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut told = Vec::new();
    for (what, audit) in AUDITS {
        let mut statement = db.prepare(audit)?;
        let mut rows = statement.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            if count <= TOLD_MAX {
                let (place, found, expected): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                told.push(format!("{what}: {place}: {found}, expected {expected}"));
            }
        }
        if count > TOLD_MAX {
            told.push(format!("{what}: {} more", count - TOLD_MAX));
        }
    }
    Ok(told)
}
