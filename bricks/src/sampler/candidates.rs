//! The tokens that are still in question, cut down without ever sorting a whole vocabulary.

use std::cmp::Ordering;

use crate::tokenizer::TokenId;

/// A token and its logit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) token: TokenId,
    pub(super) logit: f32,
}

/// Higher logits first, ties to the lower token. NaN is below everything.
fn by_rank(a: &Candidate, b: &Candidate) -> Ordering {
    rank(b.logit).total_cmp(&rank(a.logit)).then(a.token.cmp(&b.token))
}

/// Makes -0 equal to 0 and NaN the least, so that the total order agrees with `>`.
fn rank(logit: f32) -> f32 {
    if logit.is_nan() { f32::NEG_INFINITY } else { logit + 0.0 }
}

/// The token with the highest logit, ties to the lowest; 0 when no logit is above minus infinity.
pub(super) fn highest(logits: &[f32]) -> TokenId {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, &logit) in logits.iter().enumerate() {
        if logit > best.1 {
            best = (token, logit);
        }
    }
    best.0 as TokenId
}

/// Candidates, the first `sorted` of them in rank order and ranked above all others. Reused from token to token.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidates {
    entries: Vec<Candidate>,
    sorted: usize,
}

impl Candidates {
    /// Takes the `k` highest logits, ranked; 0 takes all, unranked.
    pub(super) fn load(&mut self, logits: &[f32], k: usize) {
        self.entries.clear();
        self.sorted = 0;
        let tokens = logits.iter().enumerate().map(|(token, &logit)| Candidate { token: token as TokenId, logit });
        if k == 0 || k >= logits.len() {
            self.entries.extend(tokens);
            return;
        }
        // Collects what beats the k-th best so far, and finds the k best again each time that as many more came in.
        let room = (2 * k).max(64);
        let mut bar = f32::NEG_INFINITY;
        for candidate in tokens {
            if candidate.logit > bar || self.entries.len() < k {
                self.entries.push(candidate);
                if self.entries.len() == room {
                    bar = self.keep_best(k);
                }
            }
        }
        if self.entries.len() > k {
            self.keep_best(k);
        }
        self.sort_first(k);
    }

    /// Keeps the `k` best, unranked, and returns the lowest logit among them.
    fn keep_best(&mut self, k: usize) -> f32 {
        self.entries.select_nth_unstable_by(k - 1, by_rank);
        self.entries.truncate(k);
        rank(self.entries[k - 1].logit)
    }

    /// Ranks at least the first `len` candidates.
    fn sort_first(&mut self, len: usize) {
        let len = len.min(self.entries.len());
        if len <= self.sorted {
            return;
        }
        let rest = &mut self.entries[self.sorted..];
        let more = len - self.sorted;
        if more < rest.len() {
            rest.select_nth_unstable_by(more - 1, by_rank);
        }
        rest[..more].sort_unstable_by(by_rank);
        self.sorted = len;
    }

    fn truncate(&mut self, len: usize) {
        self.entries.truncate(len);
        self.sorted = self.sorted.min(len);
    }

    fn highest_logit(&self) -> f32 {
        self.entries.iter().map(|candidate| rank(candidate.logit)).fold(f32::NEG_INFINITY, f32::max)
    }

    /// Probability of a logit relative to the most probable one: 1 for that, 0 for what cannot be.
    fn weight(logit: f32, highest: f32, temperature: f32) -> f64 {
        if logit == highest { 1.0 } else { f64::from((rank(logit) - highest) / temperature).exp() }
    }

    /// Keeps the fewest candidates whose probabilities sum to at least `p`; at least one.
    pub(super) fn cut_top_p(&mut self, p: f32) {
        if p >= 1.0 {
            return;
        }
        let highest = self.highest_logit();
        let weight = |candidate: &Candidate| Candidates::weight(candidate.logit, highest, 1.0);
        let wanted = f64::from(p) * self.entries.iter().map(weight).sum::<f64>();
        let mut sum = 0.0;
        let mut kept = 0;
        while kept < self.entries.len() {
            if kept == self.sorted {
                self.sort_first((4 * kept).max(64));
            }
            sum += weight(&self.entries[kept]);
            kept += 1;
            if sum >= wanted {
                break;
            }
        }
        self.truncate(kept);
    }

    /// Keeps candidates at least `p` times as probable as the most probable one; at least that.
    pub(super) fn cut_min_p(&mut self, p: f32) {
        // Zero keeps all, also what cannot be; so does what is no number.
        if p.is_nan() || p <= 0.0 {
            return;
        }
        let bar = self.highest_logit() + p.ln();
        let sorted = self.entries[..self.sorted].iter().filter(|candidate| candidate.logit >= bar).count();
        self.entries.retain(|candidate| candidate.logit >= bar);
        self.sorted = sorted;
    }

    /// The candidate at `point`, from 0 to below 1, of the probabilities at this temperature.
    pub(super) fn at(&self, point: f64, temperature: f32) -> Option<TokenId> {
        let highest = self.highest_logit();
        let weight = |candidate: &Candidate| Candidates::weight(candidate.logit, highest, temperature);
        let mut left = point * self.entries.iter().map(weight).sum::<f64>();
        let mut last = None;
        for candidate in &self.entries {
            let weight = weight(candidate);
            if weight > 0.0 {
                last = Some(candidate.token);
                if left < weight {
                    break;
                }
                left -= weight;
            }
        }
        last
    }

    #[cfg(test)]
    fn tokens(&self) -> Vec<TokenId> {
        self.entries.iter().map(|candidate| candidate.token).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loaded(logits: &[f32], k: usize) -> Candidates {
        let mut candidates = Candidates::default();
        candidates.load(logits, k);
        candidates
    }

    /// Logits of these probabilities.
    fn logits(probabilities: &[f32]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln()).collect()
    }

    #[test]
    fn the_highest_logit_wins_and_ties_go_to_the_lowest_token() {
        assert_eq!(highest(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(highest(&[f32::NAN, -1.0, f32::NAN]), 1);
        assert_eq!(highest(&[f32::NEG_INFINITY; 3]), 0);
    }

    #[test]
    fn top_k_ranks_and_breaks_ties_by_token() {
        assert_eq!(loaded(&[0.0, 2.0, -0.0, 2.0, 5.0], 4).tokens(), [4, 1, 3, 0]);
        assert_eq!(loaded(&[f32::NAN, 1.0, 2.0], 2).tokens(), [2, 1]);
    }

    #[test]
    fn top_p_keeps_the_fewest_tokens_that_reach_the_sum() {
        for (p, expected) in [(0.0, 1), (0.39, 1), (0.5, 2), (0.69, 2), (0.71, 3), (0.99, 4), (1.0, 4)] {
            let mut candidates = loaded(&logits(&[0.1, 0.4, 0.3, 0.2]), 0);
            candidates.cut_top_p(p);
            assert_eq!(candidates.entries.len(), expected, "top_p {p}");
        }
    }

    #[test]
    fn min_p_keeps_what_is_near_the_best() {
        for (p, expected) in [(0.0, vec![0, 1, 2, 3]), (0.3, vec![1, 2, 3]), (0.7, vec![1, 2]), (1.0, vec![1])] {
            let mut candidates = loaded(&logits(&[0.1, 0.4, 0.3, 0.2]), 0);
            candidates.cut_min_p(p);
            assert_eq!(candidates.tokens(), expected, "min_p {p}");
        }
    }

    #[test]
    fn tokens_that_cannot_be_are_never_drawn() {
        let candidates = loaded(&[f32::NEG_INFINITY, 0.0, f32::NAN, f32::NEG_INFINITY], 0);
        for point in [0.0, 0.5, 0.999_999_999] {
            assert_eq!(candidates.at(point, 1.0), Some(1));
        }
    }

    proptest! {
        #[test]
        fn top_k_equals_the_first_of_a_full_sort(
            small in proptest::collection::vec(-8i32..8, 1..400),
            k in 1usize..200,
        ) {
            let logits: Vec<f32> = small.iter().map(|&v| v as f32 / 4.0).collect();
            let mut all: Vec<TokenId> = (0..logits.len() as TokenId).collect();
            all.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
            all.truncate(k);
            let mut found = loaded(&logits, k);
            found.sort_first(k);
            prop_assert_eq!(found.tokens(), all);
        }

        #[test]
        fn top_p_in_steps_equals_top_p_of_a_full_sort(
            logits in proptest::collection::vec(-3f32..3.0, 1..600),
            p in 0f32..1.0,
        ) {
            let mut stepwise = loaded(&logits, 0);
            stepwise.cut_top_p(p);
            let mut whole = loaded(&logits, 0);
            whole.sort_first(logits.len());
            whole.cut_top_p(p);
            prop_assert_eq!(stepwise.tokens(), whole.tokens());
        }
    }
}
