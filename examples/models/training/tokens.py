"""The vocabulary (a small GPT-2-style byte-level BPE, trained on our own sentences) and batches of conversations as token ids.

A conversation reads  <|user|> IMAGE question <|assistant|> answer <|end|>  and goes on with  <|user|> question …
Several questions about one image are packed behind it. Mostly each of them sees only the image and itself, as if asked
first; in a quarter of the samples they follow one another as a chat.
"""
import random
import re

import numpy as np

import scenes

SPECIAL = ("<|user|>", "<|assistant|>", "<|end|>")
USER, ASSISTANT, END = range(3)
VOCABULARY = 1024
IMAGE_TOKENS = 144
PREFIX = 1 + IMAGE_TOKENS          # <|user|> and the image
TEXT = 175                         # packed text tokens, so that a row is 320 long
# GPT-2's split; on our texts (ASCII) the same as its Unicode classes.
PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def train_tokenizer():
    """A `tokenizers.Tokenizer` with VOCABULARY entries, the same on every run."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    rng = random.Random(0)

    def sentences():
        # Names and printed words count more than their share of the questions, so that most become one token.
        for _ in range(300):
            yield "".join(f" {n}" for n in scenes.NAMES)
        for _ in range(150):
            yield "".join(f' "{w}"' for w in scenes.WORDS)
        for k in range(8000):
            for _, question, answer in scenes.questions(rng, scenes.draw_scene(rng, "any"), 6):
                yield question
                yield answer

    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=list(SPECIAL), show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(sentences(), trainer)
    return tokenizer


class Encoder:
    """Text to ids with a cache of words: a few times faster than the library on such repetitive text."""

    def __init__(self, tokenizer):
        self.tokenizer, self.cache = tokenizer, {}
        self.untaught = Untaught(self)

    def __call__(self, text):
        out = []
        for piece in PIECES.findall(text):
            ids = self.cache.get(piece)
            if ids is None:
                ids = self.cache[piece] = self.tokenizer.encode(piece).ids
            out += ids
        return out


class Untaught:
    """At each token of an answer, the one that training shows neither right nor wrong: "square" after "yellow" if yellow squares are held out.

    A colour or shape that training lets pass there keeps the chance that other pairs give it, instead of being learnt to be impossible.
    """

    def __init__(self, encode):
        one = lambda word: encode(f" {word}")[0]
        self.colours, self.shapes = {one(c) for c in scenes.COLOUR_NAMES}, {one(s) for s in scenes.SHAPES}
        self.shape_of = {one(c): one(s) for c, s in scenes.NEVER.items()}
        self.colour_of = {s: c for c, s in self.shape_of.items()}

    def __call__(self, skill, question, answer):
        asked = lambda words: next((t for t in question if t in words and skill in ("colour", "shape")), None)
        out = []
        for token, before, after in zip(answer, [None, *answer], [*answer[1:], None]):
            if token in self.shapes:
                out.append(self.shape_of.get(before if before in self.colours else asked(self.colours), -1))
            elif token in self.colours:
                out.append(self.colour_of.get(after if after in self.shapes else asked(self.shapes), -1))
            else:
                out.append(-1)
        return out


def pack(rng, encode, turns, chat):
    """Rows of ids, turn number (0 is padding), position, skill + 1 of answer tokens, loss weight and untaught token, each TEXT long."""
    ids, turn, position, skill, weight, untaught, kept = [], [], [], [], [], [], []
    at = PREFIX + (rng.randrange(400) if chat and rng.random() < 0.3 else 0)
    for number, (name, question, answer) in enumerate(turns, 1):
        q, a = encode(question) + [ASSISTANT], encode(answer) + [END]
        if chat and number > 1:
            q = [USER] + q
        if len(ids) + len(q) + len(a) > TEXT:
            continue
        start = at + len(ids) if chat else PREFIX
        position += range(start, start + len(q) + len(a))
        ids += q + a
        turn += [number] * (len(q) + len(a))
        skill += [0] * len(q) + [scenes.SKILLS.index(name) + 1] * len(a)
        first = 4.0 if name in scenes.YES_NO else 1.5
        weight += [0.0] * len(q) + [first] + [1.0] * (len(a) - 1)
        untaught += [-1] * len(q) + encode.untaught(name, q, a)
        kept.append((name, question, answer))
    fill = [0] * (TEXT - len(ids))
    return ids + fill, turn + fill, position + [PREFIX] * len(fill), skill + fill, weight + fill, untaught + [-1] * len(fill), kept


def batch(seed, size, encode, colours="seen", only=None, chats=0.25):
    """A dict of arrays for `size` scenes, and the questions kept (for printing)."""
    rng = random.Random(seed)
    rows, geometry, asked, chat_rows = [], [], [], []
    for _ in range(size):
        objects = scenes.draw_scene(rng, colours, only)
        chat = rng.random() < chats
        *row, kept = pack(rng, encode, scenes.questions(rng, objects, 11, taught=colours == "taught"), chat)
        rows.append(row)
        geometry.append(scenes.geometry(objects))
        chat_rows.append(chat)
        asked.append(kept)
    ids, turn, position, skill, weight, untaught = (np.array(column) for column in zip(*rows))
    arrays = dict(ids=ids.astype(np.int16), turn=turn.astype(np.int8), position=position.astype(np.int16), skill=skill.astype(np.int8),
                  weight=weight.astype(np.float16), untaught=untaught.astype(np.int16), chat=np.array(chat_rows), geometry=np.array(geometry, np.float32))
    return arrays, asked
