//! Lines from whoever may send anything: of bounded length, and of UTF-8.
use std::io::{self, BufRead, BufReader, Read};

pub const MOST_BYTES: usize = 65536;
/// Of what was sent, in messages.
pub const MOST_SHOWN: usize = 64;

pub struct Lines<R> {
    input: BufReader<R>,
}

pub enum Line {
    /// Without its end.
    Text(String),
    /// What is wrong with it.
    Bad(String),
}

impl<R: Read> Lines<R> {
    pub fn new(input: R) -> Self {
        let input = BufReader::new(input);
        Self { input }
    }

    /// None at the end of the input.
    pub fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        let limit = MOST_BYTES as u64 + 2;
        if self.input.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let whole = line.last() == Some(&b'\n');
        if !whole && line.len() as u64 == limit {
            self.skip_line()?;
        }
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        if line.len() > MOST_BYTES {
            return Ok(Some(Line::Bad(format!(
                "the line is too long (expected at most {MOST_BYTES} bytes)"
            ))));
        }
        Ok(Some(match String::from_utf8(line) {
            Ok(text) => Line::Text(text),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                Line::Bad(format!("the line is not UTF-8 (at byte {at})"))
            }
        }))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.input.fill_buf()?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(bytes.len(), |at| at + 1);
            self.input.consume(count);
            if end.is_some() || count == 0 {
                return Ok(());
            }
        }
    }
}

/// As much of a text as a message should have, without what a terminal would obey.
pub fn shown(text: &str, most: usize) -> String {
    text.chars().take(most).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<String> {
        let mut lines = Lines::new(input);
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push(match line {
                Line::Text(text) => text,
                Line::Bad(what) => format!("bad: {what}"),
            });
        }
        found
    }

    #[test]
    fn lines_come_without_their_ends() {
        assert_eq!(lines(b"a\r\n\nb"), ["a", "", "b"]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn what_is_no_text_is_said_and_passed_over() {
        assert_eq!(lines(b"a\xffb\nc\n"), ["bad: the line is not UTF-8 (at byte 1)", "c"]);
        let longest = vec![b'x'; MOST_BYTES];
        for (more, bad) in [(0, false), (1, true), (2, true), (3, true), (100_000, true)] {
            let line = [&longest[..], &vec![b'y'; more]].concat();
            for end in ["\n", "\r\n"] {
                let found = lines(&[&line, end.as_bytes(), b"next"].concat());
                assert_eq!(found.len(), 2, "{more} more");
                assert_eq!(found[0].starts_with("bad: the line is too long"), bad, "{more} more");
                assert_eq!(found[1], "next");
            }
        }
    }
}
