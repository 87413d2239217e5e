//! Text on a page of HTML: what somebody wrote stays text, in an element and in a quoted attribute alike.

use std::fmt;

/// Displayed with the five characters that HTML gives a meaning written as references.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            let (plain, from) = rest.split_at(at);
            f.write_str(plain)?;
            f.write_str(match from.as_bytes()[0] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &from[1..];
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_written_ends_an_element_or_an_attribute() {
        let told = Escaped("Zoë said \"<b>&lt;</b>\", didn't she?").to_string();
        assert_eq!(told, "Zoë said &quot;&lt;b&gt;&amp;lt;&lt;/b&gt;&quot;, didn&#39;t she?");
        assert_eq!(["", "plain", "'"].map(|text| Escaped(text).to_string()), ["", "plain", "&#39;"]);
    }
}
