//! The standings that the writer remembers: each row is written once for all that a batch counts in it.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use weir_schemas::ids::{PartnerId, ProgramId};
use weir_schemas::money::Currency;

use super::super::super::conversion_row::read_currency;
use super::super::super::outcome::StoreError;
use super::Counted;

/// Days of partners remembered at once; beyond them, all that are written are forgotten.
const DAYS_KEPT_MAX: usize = 200_000;

/// A partner's day in a program.
type Place = (ProgramId, PartnerId, i32);

#[derive(Debug)]
struct Row {
    currency: Currency,
    counted: Counted,
    changed: bool,
}

/// What is remembered of the standings.
#[derive(Debug, Default)]
pub(in crate::books) struct Standings {
    rows: HashMap<Place, Vec<Row>>,
    changed: Vec<Place>,
}

impl Standings {
    pub(in crate::books) fn forget(&mut self) {
        self.rows.clear();
        self.changed.clear();
    }

    fn of(&mut self, db: &Connection, place: Place) -> Result<&mut Vec<Row>, StoreError> {
        use std::collections::hash_map::Entry;
        match self.rows.entry(place) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(vacant) => {
                let (program, partner, day) = place;
                let rows = db
                    .prepare_cached(
                        "SELECT currency, orders, revenue, signups, given FROM standings
                         WHERE program = ?1 AND partner = ?2 AND day = ?3",
                    )?
                    .query_map(params![program.0 as i64, partner.0 as i64, day], |row| {
                        let currency = read_currency(row.get_ref(0)?.as_str()?);
                        let counted = Counted {
                            orders: row.get(1)?,
                            revenue: row.get(2)?,
                            signups: row.get(3)?,
                            given: row.get(4)?,
                        };
                        Ok(Row { currency, counted, changed: false })
                    })?
                    .collect::<Result<_, _>>()?;
                Ok(vacant.insert(rows))
            }
        }
    }

    /// What is counted at a place, by currency.
    pub(super) fn at(
        &mut self,
        db: &Connection,
        place: Place,
    ) -> Result<impl Iterator<Item = (Currency, Counted)>, StoreError> {
        Ok(self.of(db, place)?.iter().map(|row| (row.currency, row.counted)))
    }

    pub(super) fn add(
        &mut self,
        db: &Connection,
        place: Place,
        currency: Currency,
        more: Counted,
    ) -> Result<(), StoreError> {
        let rows = self.of(db, place)?;
        let unchanged = rows.iter().all(|row| !row.changed);
        match rows.iter_mut().find(|row| row.currency == currency) {
            Some(row) => {
                row.counted = row.counted.plus(more);
                row.changed = true;
            }
            None => rows.push(Row { currency, counted: more, changed: true }),
        }
        if unchanged {
            self.changed.push(place);
        }
        Ok(())
    }

    pub(in crate::books) fn write_back(&mut self, db: &Connection) -> Result<(), StoreError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        self.changed.sort_unstable();
        let mut put =
            db.prepare_cached("INSERT OR REPLACE INTO standings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
        for place in self.changed.drain(..) {
            let (program, partner, day) = place;
            for row in self.rows.get_mut(&place).into_iter().flatten().filter(|row| row.changed) {
                put.execute(params![
                    program.0 as i64,
                    partner.0 as i64,
                    day,
                    row.currency.as_str(),
                    row.counted.orders,
                    row.counted.revenue,
                    row.counted.signups,
                    row.counted.given
                ])?;
                row.changed = false;
            }
        }
        if self.rows.len() > DAYS_KEPT_MAX {
            self.rows.clear();
        }
        Ok(())
    }
}
