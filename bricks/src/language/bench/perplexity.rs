//! Perplexity of a model on a text, over the windows and positions that `llama-perplexity` scores.

use nanomind_hal::Lane;

use super::BenchError;
use crate::language::{LanguageModel, Logits, Segment, Sequence};
use crate::tokenizer::{Special, TokenId, Tokenizer};

/// Positions whose logits are held at once: enough to keep the head's product efficient, a few megabytes each.
const PIECE: usize = 64;

/// How surprised a model was by the tokens of a text.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Perplexity {
    /// Windows read.
    pub windows: usize,
    /// Tokens scored in them.
    pub tokens: usize,
    /// Sum of the negative logarithms of their probabilities, in nats.
    nats: f64,
    /// Sum of the squares of the same.
    squares: f64,
}

impl Perplexity {
    /// Mean negative log-likelihood of a token, in nats; not a number before the first window.
    pub fn mean_nats(&self) -> f64 {
        self.nats / self.tokens as f64
    }

    /// The perplexity: e to the mean; not a number before the first window.
    pub fn value(&self) -> f64 {
        self.mean_nats().exp()
    }

    /// Standard error of the perplexity, as far as tokens surprise independently of each other; 0 for fewer than two.
    pub fn standard_error(&self) -> f64 {
        if self.tokens < 2 {
            return 0.0;
        }
        let variance = (self.squares / self.tokens as f64 - self.mean_nats().powi(2)).max(0.0);
        (variance / (self.tokens - 1) as f64).sqrt() * self.value()
    }

    fn add(&mut self, nats: f64) {
        self.tokens += 1;
        self.nats += nats;
        self.squares += nats * nats;
    }
}

/// A text, cut into the windows that are read one after the other, each from an empty sequence.
///
/// A window has as many tokens as the context; what is left at the end of the text is not read. Where the tokenizer
/// begins texts with a beginning-of-text token, that takes the place of each window's first token. The first half of a
/// window is context, of the second each token that another follows predicts that: `context - context / 2 - 1` are scored.
/// (llama.cpp's `tools/perplexity/perplexity.cpp` does the same.)
#[derive(Debug, Clone)]
pub struct Passage {
    tokens: Vec<TokenId>,
    first: Option<TokenId>,
    context: usize,
}

impl Passage {
    /// Cuts `text` into windows of `context` tokens.
    ///
    /// # Errors
    /// As [`Passage::of_tokens`].
    pub fn new(tokenizer: &Tokenizer, text: &str, context: usize) -> Result<Passage, BenchError> {
        let tokens = tokenizer.encode_first(text, Special::Plain);
        Passage::of_tokens(tokens, tokenizer.bos().filter(|_| tokenizer.adds_bos()), context)
    }

    /// Cuts `tokens` into windows of `context` tokens, each of which begins with `first` instead of its own if that is
    /// given.
    ///
    /// # Errors
    /// [`BenchError::WindowTooShort`] where nothing of a window would be scored, [`BenchError::TextTooShort`] where the
    /// text does not fill one.
    pub fn of_tokens(tokens: Vec<TokenId>, first: Option<TokenId>, context: usize) -> Result<Passage, BenchError> {
        if context < 3 {
            return Err(BenchError::WindowTooShort { context });
        }
        if tokens.len() < context {
            return Err(BenchError::TextTooShort { tokens: tokens.len(), context });
        }
        Ok(Passage { tokens, first, context })
    }

    /// Tokens of the whole text.
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens of a window.
    pub fn context(&self) -> usize {
        self.context
    }

    /// How many windows the text fills.
    pub fn windows(&self) -> usize {
        self.tokens.len() / self.context
    }

    /// Reads the first `windows` windows and scores them. `sequence` must have room for a window; what it held is
    /// forgotten. `done` is told after each window what was found so far.
    ///
    /// # Errors
    /// The sequence is of another model or too short, or a token is not in the model's vocabulary.
    pub fn measure(
        &self,
        model: &LanguageModel,
        lane: &Lane,
        sequence: &mut Sequence,
        windows: usize,
        done: &mut dyn FnMut(&Perplexity),
    ) -> Result<Perplexity, BenchError> {
        let mut found = Perplexity::default();
        let mut window = Vec::with_capacity(self.context);
        for tokens in self.tokens.chunks_exact(self.context).take(windows) {
            window.clear();
            window.extend_from_slice(tokens);
            if let Some(first) = self.first {
                window[0] = first;
            }
            sequence.truncate(0);
            score(model, lane, sequence, &window, &mut found)?;
            found.windows += 1;
            done(&found);
        }
        Ok(found)
    }
}

/// Reads a window and adds what its second half was found to be.
fn score(
    model: &LanguageModel,
    lane: &Lane,
    sequence: &mut Sequence,
    window: &[TokenId],
    found: &mut Perplexity,
) -> Result<(), BenchError> {
    let vocab = model.config().vocab;
    let half = window.len() / 2;
    model.prefill(lane, sequence, &[Segment::Tokens(&window[..half])], Logits::None)?;
    let last = window.len() - 1;
    let mut nats = [0.0; PIECE];
    for start in (half..last).step_by(PIECE) {
        let end = last.min(start + PIECE);
        let logits = model.prefill(lane, sequence, &[Segment::Tokens(&window[start..end])], Logits::All)?;
        let (nats, next) = (&mut nats[..end - start], &window[start + 1..=end]);
        lane.for_each_chunk_mut(nats, 1, |at, nats| {
            nats[0] = surprise(&logits[at * vocab..(at + 1) * vocab], next[at] as usize);
        });
        nats.iter().for_each(|nats| found.add(*nats));
    }
    Ok(())
}

/// The negative logarithm of the probability that `logits` give to `token`, in nats.
fn surprise(logits: &[f32], token: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - largest).exp())).sum();
    f64::from(largest - logits[token]) + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_surprises_by_the_logarithm_of_its_probability() {
        let logits = [1.0_f32.ln(), 2.0_f32.ln(), 5.0_f32.ln()];
        for (token, share) in [0.125, 0.25, 0.625].into_iter().enumerate() {
            assert!((surprise(&logits, token) + f64::ln(share)).abs() < 1e-6, "{token}");
        }
    }

    #[test]
    fn perplexity_is_that_of_a_fair_choice_and_its_error_that_of_the_mean() {
        let mut fair = Perplexity::default();
        (0..10).for_each(|_| fair.add(8.0_f64.ln()));
        assert!((fair.value() - 8.0).abs() < 1e-9 && fair.standard_error() < 1e-6, "{fair:?}");

        // Of 0 and 2 nats in turn, 100 times: a mean of 1, a deviation of 1 from it.
        let mut uneven = Perplexity::default();
        (0..100).for_each(|at| uneven.add(f64::from(at % 2) * 2.0));
        let expected = 1.0_f64.exp() / 99.0_f64.sqrt();
        assert!((uneven.standard_error() - expected).abs() < 1e-9, "{}", uneven.standard_error());
        assert!(Perplexity::default().value().is_nan());
    }
}
