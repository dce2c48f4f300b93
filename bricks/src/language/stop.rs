//! Stop strings in a stream of text: holds back what may become one, so that none of it is ever shown.

/// What the matcher lets through after a piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopStep {
    /// Text that is certainly before any stop string.
    pub text: String,
    /// Whether a stop string was completed; what follows it is dropped.
    pub stopped: bool,
}

/// Finds the first of several stop strings in a stream that arrives in pieces.
#[derive(Debug, Clone, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
}

impl StopMatcher {
    /// A matcher for `stops`; empty strings are ignored.
    pub fn new(stops: &[String]) -> StopMatcher {
        StopMatcher { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), held: String::new() }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &str) -> StopStep {
        if self.stops.is_empty() {
            return StopStep { text: piece.to_owned(), stopped: false };
        }
        self.held.push_str(piece);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            return StopStep { text: std::mem::take(&mut self.held), stopped: true };
        }
        let keep = self.held.len() - self.pending();
        let tail = self.held.split_off(keep);
        StopStep { text: std::mem::replace(&mut self.held, tail), stopped: false }
    }

    /// The stream has ended: what was held back is plain text after all.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Length of the longest end of the held text that begins a stop string.
    fn pending(&self) -> usize {
        self.held
            .char_indices()
            .map(|(at, _)| &self.held[at..])
            .find(|tail| self.stops.iter().any(|stop| stop.starts_with(tail)))
            .map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut matcher = StopMatcher::new(&stops);
        let mut shown = Vec::new();
        for piece in pieces {
            let step = matcher.push(piece);
            shown.push(step.text);
            if step.stopped {
                return (shown, true);
            }
        }
        shown.push(matcher.finish());
        (shown, false)
    }

    #[test]
    fn a_stop_string_split_over_pieces_is_never_shown() {
        assert_eq!(run(&["\nUser:"], &["hi\nUs", "er", ": x"]), (vec!["hi".into(), "".into(), "".into()], true));
    }

    #[test]
    fn text_that_only_began_like_a_stop_string_is_shown_once_that_is_clear() {
        assert_eq!(run(&["</s>"], &["a<", "/b", "<"]), (vec!["a".into(), "</b".into(), "".into(), "<".into()], false));
    }

    #[test]
    fn the_earliest_of_several_stop_strings_wins() {
        assert_eq!(run(&["late", "mid"], &["a mid late"]), (vec!["a ".into()], true));
    }

    #[test]
    fn characters_of_several_bytes_are_not_split() {
        assert_eq!(run(&["é!"], &["caf", "é", "é", "!"]), (vec!["caf".into(), "".into(), "é".into(), "".into()], true));
    }

    #[test]
    fn without_stop_strings_nothing_is_held_back() {
        assert_eq!(run(&[""], &["a", "b"]), (vec!["a".into(), "b".into(), "".into()], false));
    }
}
