//! Just enough of ClickHouse's lexical rules to find, at the top level of a statement, the clauses that the
//! HTTP interface handles itself: where an INSERT's data begins, which FORMAT is asked for, where an answer's
//! destination can be named. What the statement means is decided by ClickHouse's own parser.

/// An INSERT whose rows follow its text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InsertHead<'sql> {
    /// The statement up to its FORMAT or VALUES clause.
    pub(crate) statement: &'sql str,
    /// The format of the rows.
    pub(crate) format: &'sql str,
    /// Byte offset of the first byte of data.
    pub(crate) data_at: usize,
}

/// What a text is, as far as it can be told without a parser.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head<'sql> {
    /// An INSERT with its data clause in sight.
    Insert(InsertHead<'sql>),
    /// An INSERT whose data clause has not been seen: it may follow, or the rows come from a SELECT.
    InsertOpen,
    /// `INSERT … SELECT` and the like: no data follows.
    InsertSelect,
    /// Anything else.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    start: usize,
    end: usize,
    kind: Kind,
    /// Open parentheses, brackets and braces around it.
    depth: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Quoted,
    Semicolon,
    Other,
}

/// A cursor over the tokens. Comments and white space are passed over.
struct Tokens<'sql> {
    bytes: &'sql [u8],
    at: usize,
    depth: u32,
}

impl Tokens<'_> {
    fn skip_line(&mut self) {
        while self.at < self.bytes.len() && self.bytes[self.at] != b'\n' {
            self.at += 1;
        }
    }

    fn skip_blank(&mut self) {
        loop {
            match self.bytes.get(self.at..) {
                Some([b, ..]) if b.is_ascii_whitespace() || *b == 0x0b => self.at += 1,
                Some([b'-', b'-', ..] | [b'#', b' ' | b'!', ..]) => self.skip_line(),
                Some([b'/', b'*', ..]) => {
                    // ClickHouse does not nest block comments.
                    let rest = &self.bytes[self.at + 2..];
                    let end = rest.windows(2).position(|pair| pair == b"*/");
                    self.at = end.map_or(self.bytes.len(), |end| self.at + 2 + end + 2);
                }
                _ => return,
            }
        }
    }

    fn quoted_end(&self, quote: u8) -> usize {
        let mut at = self.at + 1;
        while at < self.bytes.len() {
            match self.bytes[at] {
                b'\\' => at += 1,
                // A doubled quote stands for itself.
                b if b == quote && self.bytes.get(at + 1) == Some(&quote) => at += 1,
                b if b == quote => return at + 1,
                _ => {}
            }
            at += 1;
        }
        self.bytes.len()
    }

    fn heredoc_end(&self) -> Option<usize> {
        let rest = &self.bytes[self.at + 1..];
        let name = rest.iter().position(|&b| b == b'$')?;
        if !rest[..name].iter().all(|&b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        let tag = &self.bytes[self.at..self.at + name + 2];
        let body = self.at + tag.len();
        let end = self.bytes[body..].windows(tag.len()).position(|window| window == tag);
        Some(end.map_or(self.bytes.len(), |end| body + end + tag.len()))
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let start = self.at;
        let first = *self.bytes.get(start)?;
        let mut depth = self.depth;
        let (end, kind) = match first {
            b'\'' | b'"' | b'`' => (self.quoted_end(first), Kind::Quoted),
            b'$' if self.heredoc_end().is_some() => (self.heredoc_end().expect("checked"), Kind::Quoted),
            b if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 => {
                let rest = &self.bytes[start..];
                let length =
                    rest.iter().position(|&b| !(b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80));
                (start + length.unwrap_or(rest.len()), Kind::Word)
            }
            b'(' | b'[' | b'{' => {
                self.depth += 1;
                (start + 1, Kind::Other)
            }
            b')' | b']' | b'}' => {
                self.depth = self.depth.saturating_sub(1);
                depth = self.depth;
                (start + 1, Kind::Other)
            }
            b';' => (start + 1, Kind::Semicolon),
            _ => (start + 1, Kind::Other),
        };
        self.at = end;
        Some(Token { start, end, kind, depth })
    }
}

fn tokens(sql: &str) -> Tokens<'_> {
    Tokens { bytes: sql.as_bytes(), at: 0, depth: 0 }
}

fn is_word(sql: &str, token: Token, word: &str) -> bool {
    token.kind == Kind::Word && token.depth == 0 && sql[token.start..token.end].eq_ignore_ascii_case(word)
}

/// Looks at the beginning of a statement that may still be arriving.
pub(crate) fn head(sql: &str) -> Head<'_> {
    let mut rest = tokens(sql);
    if !rest.next().is_some_and(|first| is_word(sql, first, "INSERT")) {
        return Head::Other;
    }
    let mut previous = None;
    while let Some(token) = rest.next() {
        // `INSERT INTO values …` and `db.format`: a name there is not a clause.
        let names_the_table = previous.is_some_and(|before: Token| {
            ["INTO", "TABLE", "FUNCTION"].iter().any(|word| is_word(sql, before, word))
                || &sql[before.start..before.end] == "."
        });
        previous = Some(token);
        if names_the_table {
            continue;
        }
        if is_word(sql, token, "VALUES") {
            return Head::Insert(InsertHead {
                statement: &sql[..token.start],
                format: "Values",
                data_at: token.end,
            });
        }
        if is_word(sql, token, "FORMAT") {
            let Some(name) = rest.next() else { return Head::InsertOpen };
            if name.kind != Kind::Word {
                return Head::Other;
            }
            return Head::Insert(InsertHead {
                statement: &sql[..token.start],
                format: &sql[name.start..name.end],
                data_at: data_start(sql.as_bytes(), name.end),
            });
        }
        if ["SELECT", "WITH", "WATCH", "INFILE"].iter().any(|word| is_word(sql, token, word)) {
            return Head::InsertSelect;
        }
    }
    Head::InsertOpen
}

/// Data begins after the spaces and at most one line end that follow the format's name.
fn data_start(sql: &[u8], after_name: usize) -> usize {
    let mut at = after_name;
    if sql.get(at) == Some(&b';') {
        at += 1;
    }
    while sql.get(at).is_some_and(|b| matches!(b, b' ' | b'\t' | 0x0c)) {
        at += 1;
    }
    if sql.get(at) == Some(&b'\r') {
        at += 1;
    }
    if sql.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

/// Where a reading statement's answer goes and in which form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Output<'sql> {
    /// The FORMAT clause's name, if there is one.
    pub(crate) format: Option<&'sql str>,
    /// Byte offset at which an INTO OUTFILE clause belongs.
    pub(crate) destination_at: usize,
    /// Where the statement ends (before a semicolon and comments).
    pub(crate) end: usize,
    /// The statement names a file itself.
    pub(crate) into_outfile: bool,
}

/// Finds the output clauses of a statement that reads.
pub(crate) fn output(sql: &str) -> Output<'_> {
    let mut found = Output { format: None, destination_at: 0, end: 0, into_outfile: false };
    let all: Vec<Token> = tokens(sql).filter(|token| token.depth == 0).collect();
    let last = all.iter().rposition(|token| token.kind != Kind::Semicolon);
    let Some(last) = last else { return found };
    found.end = all[last].end;
    found.destination_at = found.end;
    let statement = &all[..=last];
    for (index, pair) in statement.windows(2).enumerate() {
        if is_word(sql, pair[0], "INTO") && is_word(sql, pair[1], "OUTFILE") {
            found.into_outfile = true;
        }
        // The clause is the last one, but for SETTINGS.
        let followed_by = statement.get(index + 2);
        if is_word(sql, pair[0], "FORMAT")
            && pair[1].kind == Kind::Word
            && followed_by.is_none_or(|token| is_word(sql, *token, "SETTINGS"))
        {
            found.format = Some(&sql[pair[1].start..pair[1].end]);
            found.destination_at = pair[0].start;
        }
    }
    found
}

#[cfg(test)]
mod tests;
