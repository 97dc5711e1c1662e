//! Holds text back while it may still turn out to be the beginning of a stop text: host/stop.ts.

pub struct StopFilter<'a> {
    stops: Vec<&'a str>,
    held: String,
    pub stopped: bool,
}

impl<'a> StopFilter<'a> {
    pub fn new(stops: &'a [String]) -> Self {
        let stops = stops
            .iter()
            .map(String::as_str)
            .filter(|stop| !stop.is_empty())
            .collect();
        Self {
            stops,
            held: String::new(),
            stopped: false,
        }
    }

    /// Takes text, returns what is certain to come before any stop text.
    pub fn push(&mut self, text: &str) -> String {
        if self.stopped {
            return String::new();
        }
        let mut all = std::mem::take(&mut self.held) + text;
        if let Some(end) = self.first_end(&all) {
            self.stopped = true;
            all.truncate(end);
            return all;
        }
        self.held = all.split_off(all.len() - self.longest_beginning(&all));
        all
    }

    /// What is still held back, at the end of the text.
    pub fn flush(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the text ends: at the start of the stop text that is complete first, however the text comes in pieces.
    fn first_end(&self, text: &str) -> Option<usize> {
        let found = self
            .stops
            .iter()
            .filter_map(|stop| text.find(stop).map(|start| (start + stop.len(), start)));
        found.min().map(|(_, start)| start)
    }

    /// Bytes of the longest end of `text` with which some stop text begins.
    fn longest_beginning(&self, text: &str) -> usize {
        let beginnings = self.stops.iter().flat_map(|stop| {
            stop.char_indices()
                .skip(1)
                .map(|(at, _)| at)
                .filter(|at| text.ends_with(&stop[..*at]))
        });
        beginnings.max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(stops: &[&str], pieces: &[&str]) -> (Vec<String>, String, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut filter = StopFilter::new(&stops);
        let texts = pieces.iter().map(|piece| filter.push(piece)).collect();
        (texts, filter.flush(), filter.stopped)
    }

    #[test]
    fn text_ends_before_the_first_stop_text() {
        assert_eq!(
            filtered(&["END"], &["a E", "N", "D b", "c"]),
            (vec!["a ".into(), "".into(), "".into(), "".into()], "".into(), true)
        );
        assert_eq!(
            filtered(&["END", "N"], &["a EN"]),
            (vec!["a E".into()], "".into(), true)
        );
    }

    #[test]
    fn what_is_no_stop_text_comes_out() {
        assert_eq!(
            filtered(&["END"], &["a E", "Nx", "E"]),
            (vec!["a ".into(), "ENx".into(), "".into()], "E".into(), false)
        );
        assert_eq!(filtered(&[""], &["a"]), (vec!["a".into()], "".into(), false));
        assert_eq!(
            filtered(&["üé"], &["ü", "é"]),
            (vec!["".into(), "".into()], "".into(), true)
        );
    }
}
