//! How tokens are chosen: the numbers a request may set, and their bounds.

/// How tokens are chosen. The default is llama.cpp's.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits before the draw. 0 means greedy: the highest logit after penalties, ties to the lowest id.
    pub temperature: f32,
    /// Keeps this many of the highest logits; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest tokens whose probabilities sum to this much; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this many times as probable as the most probable one; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens in the window; 1 changes nothing.
    pub repeat_penalty: f32,
    /// Subtracted from the logit of a token once for each time that it is in the window.
    pub frequency_penalty: f32,
    /// Subtracted from the logit of a token that is in the window.
    pub presence_penalty: f32,
    /// How many of the last tokens, prompt and answer, the penalties look at; 0 turns them off.
    pub repeat_window: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            repeat_window: 64,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Always the most probable token, no penalties.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, ..Sampling::default() }
    }

    /// Checks every number against its bounds.
    pub fn check(&self) -> Result<(), SamplingError> {
        let bounds = [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("repeat_penalty", self.repeat_penalty, 0.01, 100.0),
            ("frequency_penalty", self.frequency_penalty, -100.0, 100.0),
            ("presence_penalty", self.presence_penalty, -100.0, 100.0),
        ];
        for (field, found, least, most) in bounds {
            if !(least..=most).contains(&found) {
                return Err(SamplingError { field, least, most, found });
            }
        }
        Ok(())
    }

    /// Whether the highest logit is taken without a draw.
    pub fn is_greedy(&self) -> bool {
        self.temperature.is_nan() || self.temperature <= 0.0
    }

    /// Whether any penalty can change a logit.
    pub(crate) fn has_penalties(&self) -> bool {
        self.repeat_window > 0
            && (self.repeat_penalty != 1.0 || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0)
    }
}

/// A sampling number out of bounds.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field}: expected {least} to {most}, found {found}")]
pub struct SamplingError {
    /// The field of [`Sampling`].
    pub field: &'static str,
    /// Smallest value.
    pub least: f32,
    /// Greatest value.
    pub most: f32,
    /// The value.
    pub found: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_bounds_are_named() {
        assert_eq!(Sampling::default().check(), Ok(()));
        assert_eq!(Sampling::greedy().check(), Ok(()));
        let error = Sampling { top_p: 1.5, ..Sampling::default() }.check().expect_err("too much");
        assert_eq!(error.to_string(), "top_p: expected 0 to 1, found 1.5");
        let error = Sampling { temperature: f32::NAN, ..Sampling::default() }.check().expect_err("no number");
        assert_eq!(error.to_string(), "temperature: expected 0 to 100, found NaN");
    }
}
