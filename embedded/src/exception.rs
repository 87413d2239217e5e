//! Errors as ClickHouse's HTTP interface shows them: text, code, status, and the block at the end of an
//! answer that fails after it began.

use http::StatusCode;

/// An error in ClickHouse's words: `Code: 60. DB::Exception: …. (UNKNOWN_TABLE) (version 26.7.2.1 (official
/// build))`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    /// The number after `Code: `.
    pub(crate) code: u32,
    /// The whole line, without its line end.
    pub(crate) text: String,
}

/// Codes that this crate raises itself, by ClickHouse's names for them.
pub(crate) mod code {
    pub(crate) const CANNOT_READ_ALL_DATA: (u32, &str) = (33, "CANNOT_READ_ALL_DATA");
    pub(crate) const TOO_LARGE_SIZE_COMPRESSED: (u32, &str) = (39, "TOO_LARGE_SIZE_COMPRESSED");
    pub(crate) const CHECKSUM_DOESNT_MATCH: (u32, &str) = (40, "CHECKSUM_DOESNT_MATCH");
    pub(crate) const LOGICAL_ERROR: (u32, &str) = (49, "LOGICAL_ERROR");
    pub(crate) const NOT_IMPLEMENTED: (u32, &str) = (48, "NOT_IMPLEMENTED");
    pub(crate) const SYNTAX_ERROR: (u32, &str) = (62, "SYNTAX_ERROR");
    pub(crate) const UNKNOWN_COMPRESSION_METHOD: (u32, &str) = (89, "UNKNOWN_COMPRESSION_METHOD");
    pub(crate) const UNKNOWN_SETTING: (u32, &str) = (115, "UNKNOWN_SETTING");
    pub(crate) const TOO_MANY_SIMULTANEOUS_QUERIES: (u32, &str) = (202, "TOO_MANY_SIMULTANEOUS_QUERIES");
    pub(crate) const NETWORK_ERROR: (u32, &str) = (210, "NETWORK_ERROR");
    pub(crate) const NO_FREE_CONNECTION: (u32, &str) = (203, "NO_FREE_CONNECTION");
    pub(crate) const QUERY_IS_TOO_LARGE: (u32, &str) = (229, "QUERY_IS_TOO_LARGE");
    pub(crate) const CANNOT_DECOMPRESS: (u32, &str) = (271, "CANNOT_DECOMPRESS");
    pub(crate) const INTO_OUTFILE_NOT_ALLOWED: (u32, &str) = (344, "INTO_OUTFILE_NOT_ALLOWED");
    pub(crate) const QUERY_WAS_CANCELLED: (u32, &str) = (394, "QUERY_WAS_CANCELLED");
    pub(crate) const BAD_REQUEST_PARAMETER: (u32, &str) = (408, "BAD_REQUEST_PARAMETER");
    pub(crate) const AUTHENTICATION_FAILED: (u32, &str) = (516, "AUTHENTICATION_FAILED");
}

impl Exception {
    /// One of our own, told like ClickHouse's.
    pub(crate) fn new((code, name): (u32, &str), message: impl std::fmt::Display) -> Self {
        Self { code, text: format!("Code: {code}. DB::Exception: {message}. ({name})") }
    }

    /// What the library said. The code is read from its text; a text without one counts as UNKNOWN_EXCEPTION.
    pub(crate) fn of_library(text: &str) -> Self {
        const UNKNOWN_EXCEPTION: u32 = 1002;
        let digits = text.split("Code: ").nth(1).unwrap_or_default();
        let digits = &digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())];
        Self { code: digits.parse().unwrap_or(UNKNOWN_EXCEPTION), text: text.trim_end().to_owned() }
    }

    /// Adds the version at the end, where ClickHouse's clients look for it.
    pub(crate) fn with_version(mut self, version: &str) -> Self {
        if !self.text.contains("(version ") {
            self.text.push_str(&format!(" (version {version} (official build))"));
        }
        self
    }

    /// The HTTP status that ClickHouse answers for a code (its `exceptionCodeToHTTPStatus`).
    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167 | 168
            | 223 | 321 | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
            229 => StatusCode::PAYLOAD_TOO_LARGE,
            48 => StatusCode::NOT_IMPLEMENTED,
            76 | 202 | 203 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            381 => StatusCode::LENGTH_REQUIRED,
            159 => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The block that ends an answer whose rows had begun to flow. Since 25.11 a client finds it by the tag
    /// that the `X-ClickHouse-Exception-Tag` header announced; the length counts the message and its line
    /// end.
    pub(crate) fn tagged(&self, tag: &str) -> String {
        let length = self.text.len() + 1;
        format!("\r\n__exception__\r\n{tag}\r\n{text}\n{length} {tag}\r\n__exception__\r\n", text = self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_librarys_text_keeps_its_code() {
        let text = "Code: 60. DB::Exception: Unknown table 'x'. (UNKNOWN_TABLE)\n";
        let exception = Exception::of_library(text).with_version("26.7.2.1");
        assert_eq!((exception.code, exception.status()), (60, StatusCode::NOT_FOUND));
        assert!(exception.text.ends_with("(UNKNOWN_TABLE) (version 26.7.2.1 (official build))"));
        assert_eq!(exception.clone().with_version("0"), exception);
        assert_eq!(Exception::of_library("what?").status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn the_tagged_block_states_its_length() {
        let exception = Exception { code: 1, text: "abc".into() };
        assert_eq!(exception.tagged("t"), "\r\n__exception__\r\nt\r\nabc\n4 t\r\n__exception__\r\n");
    }
}
