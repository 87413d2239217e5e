//! The warehouse's schema, as numbered migrations. One that was released is never edited: the next number
//! changes it. Statements end with `;` at a line's end; comments stand on lines of their own.

/// One step of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Counted from 1 without gaps.
    pub number: u32,
    /// What it is about.
    pub name: &'static str,
    /// Statements, each idempotent on its own: ClickHouse has no transactions around DDL.
    pub sql: &'static str,
}

/// Keeps which migrations were applied. Created before the first of them.
pub const BOOKKEEPING: &str = "\
CREATE TABLE IF NOT EXISTS schema_migrations
(number UInt32, name String, digest UInt64, applied_at DateTime64(3, 'UTC'))
ENGINE = MergeTree ORDER BY number";

/// Every migration, in order.
pub const ALL: &[Migration] = &[
    Migration { number: 1, name: "clicks", sql: include_str!("../sql/0001_clicks.sql") },
    Migration { number: 2, name: "effects", sql: include_str!("../sql/0002_effects.sql") },
    Migration { number: 3, name: "dead_letter", sql: include_str!("../sql/0003_dead_letter.sql") },
    Migration { number: 4, name: "events", sql: include_str!("../sql/0004_events.sql") },
    Migration {
        number: 5,
        name: "effect_properties",
        sql: include_str!("../sql/0005_effect_properties.sql"),
    },
    Migration { number: 6, name: "signals", sql: include_str!("../sql/0006_signals.sql") },
    Migration { number: 7, name: "views", sql: include_str!("../sql/0007_views.sql") },
    Migration { number: 8, name: "click_cells", sql: include_str!("../sql/0008_click_cells.sql") },
    Migration { number: 9, name: "clicks_by_link", sql: include_str!("../sql/0009_clicks_by_link.sql") },
    Migration {
        number: 10,
        name: "click_cells_of_any_length",
        sql: include_str!("../sql/0010_click_cells_of_any_length.sql"),
    },
    Migration { number: 11, name: "verdict_in_force", sql: include_str!("../sql/0011_verdict_in_force.sql") },
    Migration {
        number: 12,
        name: "click_cells_read_sparingly",
        sql: include_str!("../sql/0012_click_cells_read_sparingly.sql"),
    },
    Migration {
        number: 13,
        name: "click_cells_in_unary",
        sql: include_str!("../sql/0013_click_cells_in_unary.sql"),
    },
];

impl Migration {
    /// The statements without comments and the closing `;`.
    pub fn statements(&self) -> impl Iterator<Item = String> {
        self.sql.split(";\n").map(without_comments).filter(|statement| !statement.is_empty())
    }

    /// Tells whether a migration that was applied is still the one in the binary (FNV-1a of the statements,
    /// so that a comment may be mended).
    pub fn digest(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for statement in self.statements() {
            for byte in statement.bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        hash
    }
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps_and_say_something() {
        for (index, migration) in ALL.iter().enumerate() {
            assert_eq!(migration.number as usize, index + 1, "{}", migration.name);
            let statements: Vec<String> = migration.statements().collect();
            assert!(!statements.is_empty(), "{}", migration.name);
            for statement in statements {
                assert!(!statement.contains("--") && !statement.ends_with(';'), "{statement}");
            }
        }
    }

    #[test]
    fn a_comment_does_not_change_the_digest() {
        let with = |sql| Migration { number: 1, name: "x", sql };
        assert_eq!(with("-- a\nSELECT 1;\n").digest(), with("-- b\nSELECT 1;\n").digest());
        assert_ne!(with("SELECT 1;\n").digest(), with("SELECT 2;\n").digest());
    }
}
