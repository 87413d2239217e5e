//! The warehouse: ClickHouse, over its HTTP interface. Its schema is brought up by [`migrate`]; the rows that go into it
//! are stated in [`rows`].

pub mod migrate;
pub mod rows;
