//! Prompt lookup: guesses the next tokens of a sequence from what followed its last ones before.
//!
//! Saxena, "Prompt Lookup Decoding" (2023): answers that quote their prompt, or repeat themselves, are guessed without
//! another model. A guess costs a row of the next step; it changes no token, for the model itself is asked.

use super::sequence::HistoryEntry;
use crate::tokenizer::TokenId;

/// The most last tokens that are looked for; of places where as many agree, the latest is taken.
const LONGEST: usize = 4;
/// Fewer equal tokens are no sign of a quotation.
const SHORTEST: usize = 2;
/// Steps without a guess after guesses that were all wrong: one, three, seven and so on up to this.
const LONGEST_PAUSE: usize = 31;

/// Guesses for one sequence, more or fewer by how good they were.
pub(super) struct Lookup {
    most: usize,
    /// Tokens that the next guess may have.
    reach: usize,
    pause: usize,
    paused: usize,
}

impl Lookup {
    /// Guesses of up to `most` tokens; 0: none at all.
    pub(super) fn new(most: usize) -> Lookup {
        Lookup { most, reach: most, pause: 0, paused: 0 }
    }

    /// Adds up to `room` tokens to `reading`, whose one token follows `history`: what followed the same tokens before.
    pub(super) fn guess(&mut self, history: &[HistoryEntry], reading: &mut Vec<TokenId>, room: usize) {
        let most = self.reach.min(room);
        if most == 0 {
            return;
        }
        if self.paused > 0 {
            self.paused -= 1;
            return;
        }
        let Some(from) = reading.first().and_then(|last| latest(history, *last)) else { return };
        for at in from..from + most {
            // A repetition that has reached the end goes on with itself.
            let next = match history.get(at) {
                Some(HistoryEntry::Token(token)) => *token,
                Some(HistoryEntry::Row(_)) => return,
                None => reading[at - history.len()],
            };
            reading.push(next);
        }
    }

    /// Of `guessed` tokens the first `right` were what the model chose.
    pub(super) fn judge(&mut self, guessed: usize, right: usize) {
        match right {
            _ if guessed == 0 => {}
            0 => {
                self.pause = (2 * self.pause + 1).min(LONGEST_PAUSE);
                self.paused = self.pause;
                self.reach = 1.max(self.reach / 2);
            }
            _ => {
                self.pause = 0;
                self.reach = if right == guessed { self.most.min(2 * self.reach) } else { right + 1 };
            }
        }
    }
}

/// Where what followed the end of `history` and `last` before begins.
fn latest(history: &[HistoryEntry], last: TokenId) -> Option<usize> {
    let mut best = (SHORTEST - 1, None);
    for end in (1..=history.len()).rev() {
        if history[end - 1] != HistoryEntry::Token(last) {
            continue;
        }
        let before = history[..end - 1].iter().rev().zip(history.iter().rev());
        let agree = 1 + before.take(LONGEST - 1).take_while(|(there, here)| is_same_token(there, here)).count();
        if agree > best.0 {
            best = (agree, Some(end));
        }
        if agree == LONGEST {
            break;
        }
    }
    best.1
}

fn is_same_token(a: &HistoryEntry, b: &HistoryEntry) -> bool {
    matches!((a, b), (HistoryEntry::Token(a), HistoryEntry::Token(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [TokenId; 0] = [];

    fn guess(history: &[TokenId], last: TokenId, most: usize, room: usize) -> Vec<TokenId> {
        let history: Vec<HistoryEntry> = history.iter().map(|token| HistoryEntry::Token(*token)).collect();
        let mut reading = vec![last];
        Lookup::new(most).guess(&history, &mut reading, room);
        reading.split_off(1)
    }

    #[test]
    fn what_followed_the_same_tokens_is_guessed() {
        assert_eq!(guess(&[1, 2, 3, 4, 5, 6, 7, 1, 2], 3, 3, 9), [4, 5, 6]);
        assert_eq!(guess(&[1, 2, 3, 4, 5, 6, 7, 1, 2], 3, 3, 2), [4, 5], "no more than there is room for");
        assert_eq!(guess(&[1, 2, 3, 4, 5], 3, 3, 9), NOTHING, "one equal token is not enough");
        assert_eq!(guess(&[], 3, 3, 9), NOTHING);
        assert_eq!(guess(&[1, 2, 3, 1, 2], 3, 0, 9), NOTHING, "not asked for");
    }

    #[test]
    fn the_longest_agreement_wins_and_of_equal_ones_the_latest() {
        assert_eq!(guess(&[9, 1, 2, 50, 8, 1, 2, 60, 9, 1], 2, 1, 9), [50]);
        assert_eq!(guess(&[1, 2, 50, 1, 2, 60, 7, 1], 2, 1, 9), [60]);
    }

    #[test]
    fn a_repetition_goes_on_beyond_what_is_there() {
        assert_eq!(guess(&[1, 2, 3, 1, 2], 3, 7, 9), [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!(guess(&[5, 5], 5, 4, 9), [5, 5, 5, 5]);
    }

    #[test]
    fn rows_of_pictures_are_neither_compared_nor_guessed() {
        let token = HistoryEntry::Token;
        let history = [token(1), token(2), HistoryEntry::Row(None), token(3), HistoryEntry::Row(None), token(1)];
        let mut reading = vec![2];
        Lookup::new(4).guess(&history, &mut reading, 9);
        assert_eq!(reading, [2], "a row follows");
        let mut reading = vec![3];
        Lookup::new(4).guess(&history[..5], &mut reading, 9);
        assert_eq!(reading, [3], "rows without a name are like no others");
    }

    #[test]
    fn wrong_guesses_make_for_shorter_and_rarer_ones_and_right_ones_for_longer() {
        let history: Vec<HistoryEntry> = [1, 2, 3, 4, 5, 6, 1].map(HistoryEntry::Token).to_vec();
        let mut lookup = Lookup::new(4);
        let guessed = |lookup: &mut Lookup| {
            let mut reading = vec![2];
            lookup.guess(&history, &mut reading, 9);
            reading.len() - 1
        };
        assert_eq!(guessed(&mut lookup), 4);
        lookup.judge(4, 0);
        assert_eq!([(); 3].map(|()| guessed(&mut lookup)), [0, 2, 2], "one step is left out");
        lookup.judge(2, 0);
        assert_eq!([(); 4].map(|()| guessed(&mut lookup)), [0, 0, 0, 1]);
        lookup.judge(1, 1);
        assert_eq!(guessed(&mut lookup), 2);
        lookup.judge(2, 2);
        assert_eq!(guessed(&mut lookup), 4);
        lookup.judge(4, 2);
        assert_eq!(guessed(&mut lookup), 3, "as many as were right, and one more");
    }
}
