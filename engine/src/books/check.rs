//! The books audited: every sum is computed again from its parts (`weir doctor --books`).

use rusqlite::Connection;

use super::outcome::StoreError;

/// Each audit selects its disagreements: what, found, expected.
const AUDITS: &[(&str, &str)] = &[
    (
        "the ledger entries of a fact do not add up to zero",
        "SELECT 'fact ' || e.seq || ', ' || a.currency, sum(e.amount), 0
         FROM entries e JOIN accounts a ON a.id = e.account
         GROUP BY e.seq, a.workspace, a.currency HAVING sum(e.amount) != 0",
    ),
    (
        "a balance is not the sum of its entries",
        "SELECT 'account ' || a.id || ' ' || a.owner || ' ' || a.kind || ' ' || a.currency, a.balance,
                coalesce(e.total, 0)
         FROM accounts a LEFT JOIN (SELECT account, sum(amount) total FROM entries GROUP BY 1) e
             ON e.account = a.id
         WHERE a.balance != coalesce(e.total, 0)",
    ),
    (
        "an entry's running balance is not the sum of the entries up to it",
        "SELECT 'entry ' || id, balance, running FROM (
             SELECT id, balance, sum(amount) OVER (PARTITION BY account ORDER BY id) running FROM entries
         ) WHERE balance != running",
    ),
    (
        "an account's number of entries is wrong",
        "SELECT 'account ' || a.id, a.entries, count(e.id)
         FROM accounts a LEFT JOIN entries e ON e.account = a.id GROUP BY a.id HAVING a.entries != count(e.id)",
    ),
    (
        "an account is overdrawn that must not be",
        "SELECT 'account ' || id || ' ' || owner || ' ' || kind, balance, 0 FROM accounts
         WHERE balance < 0 AND (owner = 'platform'
             OR owner = 'partner' AND kind IN ('pending', 'held', 'processing', 'paid')
             OR owner = 'customer' AND kind IN ('cashback_pending', 'cashback_held', 'cashback_claimed'))",
    ),
    (
        "an account of a partner is not the sum of what is earned",
        "SELECT 'partner ' || a.owner_id || ' ' || a.kind || ' ' || a.currency, a.balance, coalesce(sum(g.amount), 0)
         FROM accounts a LEFT JOIN (
             SELECT workspace, owner_id, currency, earned - paid amount,
                    CASE state WHEN 'pending' THEN 'pending' WHEN 'held' THEN 'held' ELSE 'approved' END kind
             FROM earnings WHERE kind IN ('commission', 'referral', 'bonus')
         ) g USING (workspace, owner_id, kind, currency)
         WHERE a.owner = 'partner' AND a.kind IN ('pending', 'approved', 'held')
         GROUP BY a.id HAVING a.balance != coalesce(sum(g.amount), 0)",
    ),
    (
        "an account of a partner is not the sum of the payouts",
        "SELECT 'partner ' || a.owner_id || ' ' || a.kind || ' ' || a.currency, a.balance, coalesce(sum(p.amount), 0)
         FROM accounts a LEFT JOIN payouts p ON p.workspace = a.workspace AND p.partner = a.owner_id
             AND p.owner = 'partner'
             AND p.currency = a.currency
             AND CASE p.status WHEN 'paid' THEN 'paid' WHEN 'pending' THEN 'processing'
                               WHEN 'processing' THEN 'processing' ELSE '' END = a.kind
         WHERE a.owner = 'partner' AND a.kind IN ('processing', 'paid')
         GROUP BY a.id HAVING a.balance != coalesce(sum(p.amount), 0)",
    ),
    (
        "a wallet is not the sum of what brought something into it",
        "SELECT 'customer ' || a.owner_id || ' ' || a.kind || ' ' || a.currency, a.balance, coalesce(sum(g.amount), 0)
         FROM accounts a LEFT JOIN (
             SELECT workspace, owner_id, currency, earned - paid amount,
                    CASE state WHEN 'pending' THEN 'cashback_pending' WHEN 'held' THEN 'cashback_held'
                               ELSE 'cashback_available' END kind
             FROM earnings WHERE kind IN ('cashback', 'welcome')
         ) g USING (workspace, owner_id, kind, currency)
         WHERE a.owner = 'customer' AND a.kind != 'cashback_claimed'
         GROUP BY a.id HAVING a.balance != coalesce(sum(g.amount), 0)",
    ),
    (
        "what a customer claimed is not the sum of their claims",
        "SELECT 'customer ' || a.owner_id || ' ' || a.currency, a.balance, coalesce(sum(p.amount), 0)
         FROM accounts a LEFT JOIN payouts p ON p.workspace = a.workspace AND p.partner = a.owner_id
             AND p.owner = 'customer' AND p.currency = a.currency
         WHERE a.owner = 'customer' AND a.kind = 'cashback_claimed'
         GROUP BY a.id HAVING a.balance != coalesce(sum(p.amount), 0)",
    ),
    (
        "a payout is not the sum of its commissions",
        "SELECT 'payout ' || p.id, p.amount, coalesce(sum(i.amount), 0)
         FROM payouts p LEFT JOIN payout_items i ON i.payout = p.id
         GROUP BY p.id HAVING p.amount != coalesce(sum(i.amount), 0)",
    ),
    (
        "what a commission says is paid is not the sum of its payouts",
        "SELECT 'earning ' || e.id, e.paid, coalesce(sum(i.amount), 0)
         FROM earnings e LEFT JOIN (
             SELECT x.earning, x.amount FROM payout_items x JOIN payouts p ON p.id = x.payout
             WHERE p.status NOT IN ('failed', 'cancelled')
         ) i ON i.earning = e.id
         GROUP BY e.id HAVING e.paid != coalesce(sum(i.amount), 0)",
    ),
    (
        "the platform's fee is not the sum of the commissions' fees",
        "SELECT a.workspace || ' ' || a.currency, a.balance, coalesce(sum(g.fee), 0)
         FROM accounts a LEFT JOIN earnings g USING (workspace, currency)
         WHERE a.owner = 'platform' GROUP BY a.id HAVING a.balance != coalesce(sum(g.fee), 0)",
    ),
    (
        "the effects' commission is not what partners earned",
        "SELECT 'conversion ' || c.conversion, coalesce(e.commission, 0), c.earned
         FROM (SELECT conversion, sum(earned) earned FROM earnings
               WHERE kind IN ('commission', 'referral') GROUP BY 1) c
         LEFT JOIN (SELECT conversion, sum(payload ->> '$.change.commission') commission
                    FROM effects GROUP BY 1) e USING (conversion)
         WHERE coalesce(e.commission, 0) != c.earned",
    ),
    (
        "a partner's standing is not the sum of their sales",
        "SELECT 'program ' || s.program || ', partner ' || s.partner, s.orders * 1000003 + s.revenue,
                coalesce(e.orders * 1000003 + e.revenue, 0)
         FROM (SELECT program, partner, currency, sum(orders) orders, sum(revenue) revenue
               FROM standings WHERE partner != 0 AND day = 0 GROUP BY 1, 2, 3) s
         LEFT JOIN (SELECT program, owner_id partner, currency, count(*) orders, sum(sale) revenue
                    FROM earnings WHERE kind = 'commission' AND live GROUP BY 1, 2, 3) e
             USING (program, partner, currency)
         WHERE s.orders != coalesce(e.orders, 0) OR s.revenue != coalesce(e.revenue, 0)",
    ),
    (
        "a standing by day does not add up to the standing ever",
        "SELECT 'program ' || program || ', partner ' || partner || ' ' || currency, sum(sums) FILTER (WHERE day != 0),
                sum(sums) FILTER (WHERE day = 0)
         FROM (SELECT *, orders * 1000003 + revenue * 1009 + signups * 31 + given sums FROM standings)
         GROUP BY program, partner, currency
         HAVING coalesce(sum(sums) FILTER (WHERE day != 0), 0) != coalesce(sum(sums) FILTER (WHERE day = 0), 0)",
    ),
    (
        "a program's standing is not the sum of its partners'",
        "SELECT 'program ' || program || ', day ' || day || ' ' || currency, sum(sums) FILTER (WHERE partner = 0),
                sum(sums) FILTER (WHERE partner != 0)
         FROM (SELECT *, orders * 1000003 + revenue * 1009 + signups * 31 + given sums FROM standings)
         GROUP BY program, day, currency
         HAVING coalesce(sum(sums) FILTER (WHERE partner = 0), 0) !=
                coalesce(sum(sums) FILTER (WHERE partner != 0), 0)",
    ),
    (
        "the signups counted are not those credited",
        "SELECT 'program ' || s.program || ', partner ' || s.partner, s.signups, coalesce(c.signups, 0)
         FROM (SELECT program, partner, sum(signups) signups FROM standings
               WHERE partner != 0 AND day = 0 GROUP BY 1, 2) s
         LEFT JOIN (SELECT program, partner, count(*) signups FROM conversions
                    WHERE event IN ('lead', 'signup') AND merged_into IS NULL GROUP BY 1, 2) c
             USING (program, partner)
         WHERE s.signups != coalesce(c.signups, 0)",
    ),
    (
        "more was given than a cap leaves",
        "SELECT 'earning ' || id, earned + fee, room FROM earnings WHERE room IS NOT NULL AND earned + fee > room",
    ),
    (
        "the effects' bonuses are not what partners earned",
        "SELECT 'partner ' || b.owner_id || ' ' || b.currency, coalesce(e.commission, 0), b.earned
         FROM (SELECT workspace, owner_id, currency, sum(earned) earned FROM earnings WHERE kind = 'bonus'
               GROUP BY 1, 2, 3) b
         LEFT JOIN (SELECT payload ->> '$.workspace' workspace, payload ->> '$.partner' partner,
                           payload ->> '$.currency' currency, sum(payload ->> '$.change.commission') commission
                    FROM effects WHERE conversion = 0 GROUP BY 1, 2, 3) e
             ON e.workspace = b.workspace AND e.currency = b.currency
                AND e.partner = (SELECT told ->> '$.partner_id' FROM milestones_reached
                                 WHERE partner = b.owner_id LIMIT 1)
         WHERE coalesce(e.commission, 0) != b.earned",
    ),
    (
        "a milestone's bonus is not among the commissions",
        "SELECT 'milestone ' || m.name, 0, 1 FROM milestones_reached m
         WHERE m.told ->> '$.commission_id' IS NOT NULL AND NOT EXISTS
             (SELECT 1 FROM earnings WHERE kind = 'bonus' AND owner_id = m.partner AND program = m.program
              AND tier = m.name)",
    ),
    (
        "a dispute holds more than it took",
        "SELECT 'order ' || o.name, r.withheld, r.taken FROM returns r JOIN orders o ON o.id = r.ord
         WHERE r.withheld NOT IN (0, r.taken) OR (r.withheld != 0 AND r.state != 'open')",
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
        "SELECT b.workspace || ' ' || b.currency, b.balance, coalesce(s.total, 0)
         FROM accounts b LEFT JOIN (
             SELECT workspace, currency, sum(amount) total FROM conversions
             WHERE event IN ('sale', 'renewal') AND merged_into IS NULL GROUP BY 1, 2
         ) s USING (workspace, currency)
         WHERE b.owner = 'merchant' AND b.kind = 'revenue' AND b.balance != coalesce(s.total, 0)",
    ),
    (
        "the ledger's refunds are not the sum of the orders' refunds",
        "SELECT b.workspace || ' ' || b.currency, -b.balance, coalesce(s.total, 0)
         FROM accounts b LEFT JOIN (
             SELECT workspace, currency, sum(returned) total FROM orders
             WHERE currency IS NOT NULL GROUP BY 1, 2
         ) s USING (workspace, currency)
         WHERE b.owner = 'merchant' AND b.kind = 'refunds' AND -b.balance != coalesce(s.total, 0)",
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
         WHERE coalesce(e.counted, 0) != iif(c.merged_into IS NULL, 1, 0)
           -- the leads of a transaction that its network rejected
           AND NOT (coalesce(e.counted, 0) = 0 AND c.event NOT IN ('sale', 'renewal') AND c.provider = 'postback'
                    AND EXISTS (SELECT 1 FROM returns r WHERE r.ord = c.ord AND r.name = 'rejected'))",
    ),
    (
        "the effects' refunds are not the ledger's",
        "SELECT e.workspace || ' ' || e.currency, e.refunds, coalesce(-b.balance, 0)
         FROM (SELECT payload ->> '$.workspace' workspace, payload ->> '$.currency' currency,
                      sum(payload ->> '$.change.refunds') refunds FROM effects GROUP BY 1, 2) e
         LEFT JOIN accounts b ON b.workspace = e.workspace AND b.currency = e.currency
             AND b.owner = 'merchant' AND b.kind = 'refunds'
         WHERE e.refunds != coalesce(-b.balance, 0)",
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
