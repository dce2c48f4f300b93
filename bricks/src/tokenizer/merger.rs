//! The merging engine: a `tokenizers` pipeline over one vocabulary, built from checked merges only.

use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::{
    DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerBuilder, TokenizerImpl,
};

use super::TokenId;
use super::error::TokenizerError;
use super::pre_tokenizer::PreTokenizer;
use super::vocabulary::{TokenKind, Tokens};
use crate::gguf::Gguf;

const MERGES_KEY: &str = "tokenizer.ggml.merges";

/// Turns text without special tokens into tokens.
pub(super) struct Merger {
    pipeline: TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>,
}

impl Merger {
    /// Byte-level BPE with the merges of the file.
    pub(super) fn byte_level(gguf: &Gguf, tokens: &Tokens<'_>, words: PreTokenizer) -> Result<Merger, TokenizerError> {
        let merges = read_merges(gguf, tokens)?;
        let model = BPE::builder()
            .vocab_and_merges(mergeable(tokens), merges)
            .ignore_merges(words.takes_words_whole())
            .build()
            .map_err(|source| failed(gguf, source))?;
        let splitter = words.splitter().map_err(|source| failed(gguf, source))?;
        Merger::assemble(gguf, model, words.normalizer(), Some(splitter))
    }

    /// SentencePiece's BPE with these merges; what has no token becomes bytes, or else `unknown`.
    pub(super) fn sentence_piece(
        gguf: &Gguf,
        tokens: &Tokens<'_>,
        merges: &[(TokenId, TokenId)],
        unknown: Option<TokenId>,
    ) -> Result<Merger, TokenizerError> {
        let text = |id: TokenId| tokens.texts[id as usize].to_owned();
        let merges: Merges = merges.iter().map(|&(left, right)| (text(left), text(right))).collect();
        let mut vocab = mergeable(tokens);
        // Whole texts are merged at once here, so that nothing would ever be found again in the cache.
        let mut builder = BPE::builder().byte_fallback(true).fuse_unk(true).cache_capacity(0);
        if let Some(unknown) = unknown.filter(|&id| !tokens.texts[id as usize].is_empty()) {
            vocab.insert(text(unknown), unknown);
            builder = builder.unk_token(text(unknown));
        }
        let model = builder.vocab_and_merges(vocab, merges).build().map_err(|source| failed(gguf, source))?;
        Merger::assemble(gguf, model, None, None)
    }

    fn assemble(
        gguf: &Gguf,
        model: BPE,
        normalizer: Option<NormalizerWrapper>,
        splitter: Option<PreTokenizerWrapper>,
    ) -> Result<Merger, TokenizerError> {
        let builder = TokenizerBuilder::new().with_model(model).with_normalizer(normalizer);
        let pipeline = builder.with_pre_tokenizer(splitter).build().map_err(|source| failed(gguf, source))?;
        Ok(Merger { pipeline })
    }

    /// Appends the tokens of `text`.
    pub(super) fn merge_into(&self, text: &str, out: &mut Vec<TokenId>) {
        let encoding = self.pipeline.encode_fast(text, false);
        // The pipeline fails only on an unknown token outside of its vocabulary, and that is put in when it is built.
        let encoding = encoding.expect("every token of the pipeline is in its vocabulary");
        out.extend_from_slice(encoding.get_ids());
    }
}

fn failed(gguf: &Gguf, source: Box<dyn std::error::Error + Send + Sync>) -> TokenizerError {
    TokenizerError::Build { file: gguf.file().to_owned(), source }
}

/// The tokens that text may become. Control tokens are not among them, whatever the merges say.
fn mergeable(tokens: &Tokens<'_>) -> Vocab {
    let ids = tokens.ids.iter().filter(|&(_, &id)| !matches!(tokens.kind(id), TokenKind::Control | TokenKind::Unknown));
    ids.map(|(&text, &id)| (text.to_owned(), id)).collect()
}

/// The merges of the file, best first; each joins two tokens to a third. Merges with a control token are left out.
fn read_merges(gguf: &Gguf, tokens: &Tokens<'_>) -> Result<Merges, TokenizerError> {
    let in_key = |problem| gguf.error(MERGES_KEY, problem);
    let array = gguf.get_array(MERGES_KEY)?;
    let mut merges = Merges::with_capacity(array.len());
    let mut joined = String::new();
    for (index, merge) in array.strings().map_err(in_key)?.enumerate() {
        let merge = merge.map_err(in_key)?;
        let unknown = || TokenizerError::UnknownMerge { file: gguf.file().to_owned(), merge: merge.to_owned(), index };
        // The first character is never the separator, so that a token may begin with a space.
        let separator = merge.char_indices().skip(1).find(|&(_, character)| character == ' ');
        let (left, right) = separator.map(|(at, _)| (&merge[..at], &merge[at + 1..])).ok_or_else(unknown)?;
        joined.clear();
        joined.extend([left, right]);
        let ids = [left, right, &joined].map(|text| tokens.ids.get(text).copied());
        let [Some(a), Some(b), Some(c)] = ids else { return Err(unknown()) };
        let control = |id| matches!(tokens.kind(id), TokenKind::Control | TokenKind::Unknown);
        if !(control(a) || control(b) || control(c)) {
            merges.push((left.to_owned(), right.to_owned()));
        }
    }
    Ok(merges)
}
