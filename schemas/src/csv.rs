//! Comma-separated values (RFC 4180), as spreadsheets write and read them.
//!
//! A cell that a spreadsheet would take for a formula (`=`, `+`, `-`, `@` first) can be written behind an
//! apostrophe, as OWASP advises ("CSV Injection"); [`unguarded`] takes it away again.

use std::borrow::Cow;

/// Most cells of one row.
pub const CELLS_MAX: usize = 256;

/// Why a text is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// A quote is opened and never closed.
    #[error("the quote opened in line {0} is not closed")]
    Open(usize),
    /// Something stands between a closing quote and the next comma.
    #[error("line {0} has text behind a closing quote")]
    BehindQuote(usize),
    /// More than [`CELLS_MAX`] cells in a row.
    #[error("line {0} has more than {CELLS_MAX} cells")]
    TooWide(usize),
    /// More rows than the reader takes.
    #[error("there are more than {0} rows")]
    TooLong(usize),
}

/// A row with the line of the text, from 1, at which it begins.
pub type Row = (usize, Vec<String>);

/// Every row that is not empty, at most `rows_max`. `separator` is `,`, or `;` as some spreadsheets have it.
pub fn read(text: &str, separator: char, rows_max: usize) -> Result<Vec<Row>, CsvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begun) = (1, 1);
    let mut quoted = None;
    let mut closed = false;
    let mut chars = text.chars().peekable();
    loop {
        let next = chars.next();
        if let (Some(opened), Some(c)) = (quoted, next) {
            match c {
                '"' if chars.peek() == Some(&'"') => {
                    chars.next();
                    cell.push('"');
                }
                '"' => (quoted, closed) = (None, true),
                c => {
                    line += usize::from(c == '\n');
                    cell.push(c);
                }
            }
            if line - opened > LINES_PER_CELL_MAX {
                return Err(CsvError::Open(opened));
            }
            continue;
        }
        match next {
            None if quoted.is_some() => return Err(CsvError::Open(quoted.unwrap_or(line))),
            Some('"') if cell.is_empty() && !closed => quoted = Some(line),
            Some(c) if c == separator => {
                row.push(std::mem::take(&mut cell));
                closed = false;
                if row.len() >= CELLS_MAX {
                    return Err(CsvError::TooWide(line));
                }
            }
            Some('\r') if chars.peek() == Some(&'\n') => {}
            Some('\n') | None => {
                row.push(std::mem::take(&mut cell));
                closed = false;
                let row = std::mem::take(&mut row);
                if row.iter().any(|cell| !cell.trim().is_empty()) {
                    if rows.len() == rows_max {
                        return Err(CsvError::TooLong(rows_max));
                    }
                    rows.push((begun, row));
                }
                line += 1;
                begun = line;
                if next.is_none() {
                    return Ok(rows);
                }
            }
            Some(_) if closed => return Err(CsvError::BehindQuote(line)),
            Some(c) => cell.push(c),
        }
    }
}

/// A quote that is open for so many lines was not meant as one.
const LINES_PER_CELL_MAX: usize = 1_000;

/// Appends a row with its line end.
pub fn write<'a>(out: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(',');
        }
        if cell.contains(['"', ',', '\n', '\r']) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(cell);
        }
    }
    out.push_str("\r\n");
}

/// First characters by which a spreadsheet knows a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A text of which no spreadsheet makes a formula.
pub fn guarded(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA) { format!("'{text}").into() } else { text.into() }
}

/// What [`guarded`] was given.
pub fn unguarded(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(text: &str) -> Vec<Vec<String>> {
        read(text, ',', 100).unwrap().into_iter().map(|(_, row)| row).collect()
    }

    #[test]
    fn rows_are_read_as_spreadsheets_write_them() {
        assert_eq!(cells("a,b\r\nc,\"d,\"\"e\"\"\nf\"\n\n,\n"), [vec!["a", "b"], vec!["c", "d,\"e\"\nf"]]);
        assert_eq!(cells("\u{feff}a\n"), [["a"]]);
        assert_eq!(read("a;b", ';', 9).unwrap(), [(1, vec!["a".to_owned(), "b".to_owned()])]);
        let numbered: Vec<usize> =
            read("a\n\"b\nb\"\n\nc", ',', 9).unwrap().iter().map(|row| row.0).collect();
        assert_eq!(numbered, [1, 2, 5]);
        assert_eq!(read("a\n\"b", ',', 9), Err(CsvError::Open(2)));
        assert_eq!(read("\"a\"b", ',', 9), Err(CsvError::BehindQuote(1)));
        assert_eq!(read("a\nb\nc", ',', 2), Err(CsvError::TooLong(2)));
        assert_eq!(read(&",".repeat(CELLS_MAX), ',', 2), Err(CsvError::TooWide(1)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows in prop::collection::vec(prop::collection::vec("[ -~\n\r\"é]{1,9}", 1..5), 0..6)) {
            let mut text = String::new();
            for row in &rows {
                write(&mut text, row.iter().map(String::as_str));
            }
            let kept: Vec<_> = rows.into_iter().filter(|row| row.iter().any(|cell| !cell.trim().is_empty())).collect();
            prop_assert_eq!(cells(&text), kept);
        }

        #[test]
        fn a_guard_comes_off_again(text in "['=+@a-]{0,6}") {
            let guard = guarded(&text);
            prop_assert!(!guard.starts_with(['=', '+', '-', '@']));
            // A text that is already behind an apostrophe is read without it: the one loss of this way.
            if !text.starts_with('\'') {
                prop_assert_eq!(unguarded(&guard), text.as_str());
            }
        }
    }
}
