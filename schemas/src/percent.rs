//! Shares as people read them, on every page and in every sentence the same: `25%`, `8.70%`, `99.99%`.

/// `basis_points` hundredths of a per cent, exact: two digits, so that a column of them can be read down, and none
/// where both are 0. A share that was rounded down to basis points is never shown as the whole. The dashboard's
/// `formatRate` writes the same.
pub fn percent(basis_points: u64) -> String {
    match (basis_points / 100, basis_points % 100) {
        (whole, 0) => format!("{whole}%"),
        (whole, hundredths) => format!("{whole}.{hundredths:02}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_goes_without_its_digits() {
        let read = [0, 5, 870, 2_500, 3_333, 9_990, 9_999, 10_000].map(percent);
        assert_eq!(read, ["0%", "0.05%", "8.70%", "25%", "33.33%", "99.90%", "99.99%", "100%"]);
    }
}
