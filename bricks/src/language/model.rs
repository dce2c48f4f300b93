//! A language model: immutable weights and the steps that move a sequence forward.

use std::ops::Range;
use std::sync::Arc;

use nanomind_hal::Lane;
use nanomind_hal::tabm::{ElementType, SlotGeometry};
#[cfg(feature = "gpu")]
use nanomind_kernels::backend::Gpu;
use nanomind_kernels::{Backend, Cpu, Format, RopeTable};

use super::config::LanguageConfig;
use super::error::StepError;
use super::forward::Network;
use super::placed::{Form, Placed};
use super::segments::{Segment, Window, total};
use super::sequence::Sequence;
use super::target::Target;
use super::weights::Weights;
use crate::gguf::Gguf;
use crate::loader::{LoadProgress, ModelError};
use crate::shape::LanguageShape;
use crate::tokenizer::TokenId;

/// Which positions of a prefill get logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logits {
    /// No position: more of the prompt follows.
    None,
    /// The last position.
    Last,
    /// Every position.
    All,
}

/// What one sequence reads in a step of several.
pub struct Reading<'a> {
    /// The sequence.
    pub sequence: &'a mut Sequence,
    /// Its next tokens, at least one.
    pub tokens: &'a [TokenId],
}

/// Immutable weights and configuration, taken to one backend; shared by all sequences and lanes.
pub struct LanguageModel {
    config: LanguageConfig,
    target: Target,
    placed: Placed,
    file: String,
    parameters: u64,
    file_bytes: u64,
    main_format: Format,
    packed_bytes: u64,
    tied: bool,
    shape: LanguageShape,
}

impl LanguageModel {
    /// Loads a model to where it is to be computed; host work is done on `lane`. Only an embedding table that the host
    /// cannot read back stays in the mapped file.
    ///
    /// # Errors
    /// A field or tensor of the file is missing, out of bounds or unknown, or there is no memory for it.
    pub fn load(
        gguf: &Arc<Gguf>,
        target: impl Into<Target>,
        lane: &Lane,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<LanguageModel, ModelError> {
        LanguageModel::load_to(gguf, target.into(), lane, progress)
    }

    fn load_to(
        gguf: &Arc<Gguf>,
        target: Target,
        lane: &Lane,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<LanguageModel, ModelError> {
        match &target {
            Target::Cpu(isa) => {
                let wrap = |network| Placed::Cpu(Box::new(network));
                LanguageModel::load_with(gguf, Cpu::new(*isa), wrap, target, lane, progress)
            }
            #[cfg(feature = "gpu")]
            Target::Gpu(kernels) => {
                let wrap = |network| Placed::Gpu(Box::new(network));
                LanguageModel::load_with(gguf, Gpu::new(Arc::clone(kernels)), wrap, target, lane, progress)
            }
        }
    }

    fn load_with<B: Backend>(
        gguf: &Arc<Gguf>,
        backend: B,
        wrap: fn(Network<B>) -> Placed,
        target: Target,
        lane: &Lane,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<LanguageModel, ModelError> {
        let config = LanguageConfig::from_gguf(gguf)?;
        let weights = Weights::load(gguf, &config, &backend, lane, progress)?;
        let rope = rope_table(&config, weights.rope_factors.as_deref());
        Ok(LanguageModel {
            target,
            file: gguf.file().to_owned(),
            parameters: weights.parameters,
            file_bytes: weights.file_bytes,
            main_format: weights.main_format,
            tied: weights.tied,
            packed_bytes: weights.bytes(),
            shape: LanguageShape::of_gguf(gguf)?,
            placed: wrap(Network::new(backend, config.decoder(), weights, rope, config.context_length)?),
            config,
        })
    }

    /// The hyperparameters.
    pub fn config(&self) -> &LanguageConfig {
        &self.config
    }

    /// Where it is computed.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The file that the model came from, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Number of weights in the file.
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Architecture, number of weights and the format of most of them: `llama 134.5M Q4_1`.
    pub fn summary(&self) -> String {
        let count = self.parameters() as f64;
        let count = if count < 1e9 { format!("{:.1}M", count / 1e6) } else { format!("{:.2}B", count / 1e9) };
        format!("{} {count} {}", self.config.architecture, self.main_format.name())
    }

    /// Bytes of all tensors in the file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes that the packed weights take.
    pub fn packed_bytes(&self) -> u64 {
        self.packed_bytes
    }

    /// Whether the head shares the embedding table.
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    /// What its steps cost.
    pub fn shape(&self) -> LanguageShape {
        self.shape
    }

    pub(super) fn placed(&self) -> &Placed {
        &self.placed
    }

    /// Checks that `segments` can be read next by `sequence`: tokens and widths known, room enough.
    pub fn check(&self, sequence: &Sequence, segments: &[Segment<'_>]) -> Result<(), StepError> {
        let same_shape = sequence.kv_geometry() == self.config.kv_geometry() && sequence.width() == self.config.width;
        if !same_shape || !self.placed.takes(&sequence.state) {
            return Err(StepError::OtherModel);
        }
        segments.iter().try_for_each(|segment| self.check_segment(segment))?;
        match total(segments) {
            0 => Err(StepError::EmptyPrompt),
            needed if needed > sequence.remaining() => {
                Err(StepError::ContextFull { needed, free: sequence.remaining(), context: sequence.context() })
            }
            _ => Ok(()),
        }
    }

    fn check_segment(&self, segment: &Segment<'_>) -> Result<(), StepError> {
        let LanguageConfig { width, vocab, .. } = self.config;
        match segment {
            Segment::Tokens(tokens) => match tokens.iter().find(|token| **token as usize >= vocab) {
                Some(&token) => Err(StepError::UnknownToken { token, vocab }),
                None => Ok(()),
            },
            Segment::Rows(run) if run.range.start > run.range.end || run.range.end > run.rows.tokens() => {
                Err(StepError::RowRange { range: run.range.clone(), found: run.rows.tokens() })
            }
            Segment::Rows(run) => match run.rows.geometry() {
                SlotGeometry { element: ElementType::F32, width: found, .. } if found == width => Ok(()),
                SlotGeometry { element: ElementType::F32, width: found, .. } => {
                    Err(StepError::RowWidth { expected: width, found })
                }
                SlotGeometry { element: found, .. } => Err(StepError::RowElement { found }),
            },
        }
    }

    /// Reads `segments` in chunks of the sequence's workspace. Returns the logits asked for: empty, `[vocab]` of the
    /// last position, or `[positions, vocab]`.
    pub fn prefill<'s>(
        &self,
        lane: &Lane,
        sequence: &'s mut Sequence,
        segments: &[Segment<'_>],
        logits: Logits,
    ) -> Result<&'s [f32], StepError> {
        self.check(sequence, segments)?;
        let total = total(segments);
        self.read(lane, sequence, segments, 0..total, logits, Form::Logits)?;
        let rows = match logits {
            Logits::None => 0,
            Logits::Last => 1,
            Logits::All => total,
        };
        Ok(&sequence.logits()[..rows * self.config.vocab])
    }

    /// Reads the positions `range` of `segments`, all of which were checked. Answers come in `form`.
    pub(super) fn read(
        &self,
        lane: &Lane,
        sequence: &mut Sequence,
        segments: &[Segment<'_>],
        range: Range<usize>,
        wanted: Logits,
        form: Form,
    ) -> Result<(), StepError> {
        let len = range.len();
        sequence.make_room(if wanted == Logits::All { len } else { 1 }, self.config.vocab, form);
        let mut done = 0;
        while done < len {
            let chunk = sequence.chunk().min(len - done);
            let (wanted, answers) = match wanted {
                Logits::All => (Logits::All, done..done + chunk),
                Logits::Last if done + chunk == len => (Logits::Last, 0..1),
                _ => (Logits::None, 0..0),
            };
            let window = Window::new(segments, range.start + done, chunk);
            self.placed.read(lane, sequence, window, wanted, form, answers)?;
            done += chunk;
        }
        Ok(())
    }

    /// In what form answers come where only the largest logit of a row matters.
    pub(super) fn greedy_form(&self) -> Form {
        self.placed.greedy_form()
    }

    /// Reads one token and returns the logits `[vocab]` of what follows it.
    pub fn decode<'s>(&self, lane: &Lane, sequence: &'s mut Sequence, token: TokenId) -> Result<&'s [f32], StepError> {
        self.prefill(lane, sequence, &[Segment::Tokens(&[token])], Logits::Last)
    }

    /// Reads the next tokens of several sequences in one step and returns the logits of what follows each token,
    /// `[tokens, vocab]`, reading after reading. Weights are read once for all of them, and each sequence gets the same
    /// bits as alone. The first sequence lends its workspace, and what [`Sequence::logits`] gives of it is what is
    /// returned here; the others keep the logits that they have.
    ///
    /// # Errors
    /// As [`LanguageModel::prefill`], if any of the readings cannot be read; then none is.
    pub fn decode_batch<'s>(&self, lane: &Lane, readings: &'s mut [Reading<'_>]) -> Result<&'s [f32], StepError> {
        for reading in &*readings {
            self.check(reading.sequence, &[Segment::Tokens(reading.tokens)])?;
        }
        self.read_batch(lane, readings, Form::Logits)?;
        Ok(readings.first().map_or(&[], |first| first.sequence.logits()))
    }

    /// As [`LanguageModel::decode_batch`], of readings that were checked.
    pub(super) fn read_batch(&self, lane: &Lane, readings: &mut [Reading<'_>], form: Form) -> Result<(), StepError> {
        Ok(self.placed.read_batch(lane, readings, form)?)
    }

    /// Writes the embedding row of each token to `out`, `[tokens, width]`. An unknown token is an error and nothing
    /// is written.
    pub fn embed(&self, tokens: &[TokenId], out: &mut [f32]) -> Result<(), StepError> {
        let LanguageConfig { width, vocab, .. } = self.config;
        if let Some(&token) = tokens.iter().find(|token| **token as usize >= vocab) {
            return Err(StepError::UnknownToken { token, vocab });
        }
        if out.len() != tokens.len() * width {
            return Err(StepError::RowWidth { expected: width, found: out.len() / tokens.len().max(1) });
        }
        for (token, row) in tokens.iter().zip(out.chunks_exact_mut(width)) {
            self.placed.embedding_row(*token, row);
        }
        Ok(())
    }
}

/// The RoPE frequencies: scaling every position is the same as dividing every frequency.
fn rope_table(config: &LanguageConfig, factors: Option<&[f32]>) -> RopeTable {
    let LanguageConfig { architecture, rope_dim, rope_base, rope_scale, .. } = *config;
    let factors: Vec<f32> = match factors {
        Some(factors) => factors.iter().map(|factor| factor * rope_scale).collect(),
        None => vec![rope_scale; rope_dim / 2],
    };
    RopeTable::new(architecture.rope_layout(), rope_dim, rope_base, Some(&factors))
}
