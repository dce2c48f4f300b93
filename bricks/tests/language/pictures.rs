//! Pictures in a conversation: put before their question once, read once, held while their turn is remembered. The rows
//! are embeddings of random tokens, so that any language model will do.

use std::sync::Arc;

use nanomind_bricks::language::{
    Generation, GenerationOptions, HistoryEntry, LanguageModel, Logits, PromptPart, RowKey, RowRun, Segment, Sequence,
};
use nanomind_bricks::vision::{Embeddings, PictureDigest};
use nanomind_bricks::{
    ChatTemplate, Conversation, ConversationError, ConversationOptions, Message, OnFull, Role, Sampling, Shown,
    Special, TokenId, Tokenizer,
};
use nanomind_hal::Lane;
use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool};
use nanomind_kernels::Isa;

use crate::fixture;

const MODEL: &str = "llama_gqa_q8_0";
const SYSTEM: &str = "Be brief.";
/// Rows of a picture.
const ROWS: usize = 23;
const SLOTS: usize = 12;
const CONTEXT: usize = 500;
/// Stands for a picture in the texts of this test, whose template is applied to text alone.
const HERE: &str = "~~here~~";

/// The model and its surroundings, without a conversation.
struct Room {
    model: Arc<LanguageModel>,
    tokenizer: Arc<Tokenizer>,
    template: Arc<ChatTemplate>,
    pool: SlotPool,
    lane: Lane,
}

impl Room {
    fn new() -> Room {
        let gguf = fixture::gguf(MODEL);
        let model = Arc::new(fixture::model(MODEL, Isa::detect()));
        let geometry =
            SlotGeometry { slots: SLOTS, max_tokens: ROWS, width: model.config().width, element: ElementType::F32 };
        Room {
            tokenizer: Arc::new(Tokenizer::from_gguf(&gguf).unwrap()),
            template: Arc::new(ChatTemplate::from_gguf(&gguf).unwrap()),
            pool: SlotPool::new(geometry).unwrap(),
            lane: Lane::single(),
            model,
        }
    }

    fn conversation(&self, pictures: usize, on_full: OnFull) -> Conversation {
        let options = ConversationOptions {
            system: Some(SYSTEM.to_owned()),
            on_full,
            pictures,
            ..ConversationOptions::new(CONTEXT)
        };
        Conversation::new(self.model.clone(), self.tokenizer.clone(), self.template.clone(), options)
    }

    /// The rows of picture `number` in a slot of their own.
    fn picture(&self, number: u8) -> Embeddings {
        let tokens = fixture::tokens(ROWS, self.model.config().vocab, u64::from(number) + 77);
        let mut slot = self.pool.try_acquire().expect("a free slot");
        let width = self.model.config().width;
        self.model.embed(&tokens, &mut slot.rows_mut_f32()[..ROWS * width]).unwrap();
        Embeddings::whole(slot.publish(ROWS), Some(PictureDigest::of_rgb(1, 1, &[number, 0, 0])))
    }

    fn free(&self) -> usize {
        assert_eq!(self.pool.stats().copied_bytes, 0);
        self.pool.stats().free
    }

    /// What a sequence that never read anything answers to the whole conversation: each message with its pictures.
    fn answer_afresh(&self, said: &[(Role, &[Embeddings], &str)], options: &GenerationOptions) -> Vec<TokenId> {
        let messages: Vec<Message> = said
            .iter()
            .map(|(role, pictures, text)| Message::new(*role, format!("{}{text}", HERE.repeat(pictures.len()))))
            .collect();
        let text = self.template.render(&messages, true).unwrap();
        let mut pieces = text.split(HERE);
        let first = self.tokenizer.encode_first(pieces.next().unwrap(), Special::Parse);
        let mut prompt = vec![PromptPart::Tokens(first)];
        for (picture, text) in said.iter().flat_map(|(_, pictures, _)| *pictures).zip(pieces) {
            prompt.push(PromptPart::Rows(RowRun::whole(picture.rows.clone(), None)));
            prompt.push(PromptPart::Tokens(self.tokenizer.encode(text, Special::Parse)));
        }
        let sequence = Sequence::new(&self.model, CONTEXT).unwrap();
        let afresh = Generation::new(self.model.clone(), self.tokenizer.clone(), sequence, prompt, options);
        self.finish(afresh.map_err(|refused| refused.0).unwrap()).1
    }

    /// As above, for a question that follows the settled turns of `conversation`.
    fn answer_to(
        &self,
        conversation: &Conversation,
        pictures: &[Embeddings],
        question: &str,
        options: &GenerationOptions,
    ) -> Vec<TokenId> {
        let mut said: Vec<(Role, &[Embeddings], &str)> = vec![(Role::System, &[], SYSTEM)];
        for turn in conversation.turns() {
            said.push((Role::User, turn.pictures(), &turn.question().content));
            said.push((Role::Assistant, &[], &turn.answer().content));
        }
        said.push((Role::User, pictures, question));
        self.answer_afresh(&said, options)
    }

    fn finish(&self, mut generation: Generation) -> (Generation, Vec<TokenId>) {
        let mut tokens = Vec::new();
        while generation.finished().is_none() {
            let step;
            (generation, step) = generation.decode(&self.lane);
            tokens.extend(step.tokens);
        }
        (generation, tokens)
    }

    /// Asks, settles all of the answer, and gives its tokens, and how many positions were reused and how many read.
    fn turn(&self, conversation: &mut Conversation, pictures: Vec<Embeddings>, question: &str) -> Turned {
        let generation = conversation.ask(question, pictures, &options()).unwrap_or_else(|error| panic!("{error}"));
        let (generation, tokens) = self.finish(generation);
        let counters = generation.counters();
        conversation.settle(generation, Shown::All);
        Turned { tokens, reused: counters.reused, read: counters.prompt - counters.reused }
    }
}

struct Turned {
    tokens: Vec<TokenId>,
    reused: usize,
    read: usize,
}

fn options() -> GenerationOptions {
    GenerationOptions { sampling: Sampling::greedy(), max_tokens: 8, ..GenerationOptions::default() }
}

#[test]
fn a_common_prefix_runs_through_the_rows_of_the_same_source_and_ends_at_any_other() {
    let room = Room::new();
    let (seen, again, other) = (room.picture(1), room.picture(1), room.picture(2));
    let run = |picture: &Embeddings, range: std::ops::Range<usize>, source| RowRun {
        rows: picture.rows.clone(),
        range,
        source,
    };
    let (before, after) = ([5, 6, 7], [8, 9]);
    let mut sequence = Sequence::new(&room.model, 100).unwrap();
    let read = run(&seen, 3..20, seen.source);
    let segments = [Segment::Tokens(&before), Segment::Rows(&read), Segment::Tokens(&after)];
    // In two chunks that split the rows.
    room.model.prefill(&room.lane, &mut sequence, &segments, Logits::None).unwrap();
    let key = RowKey { source: seen.source.unwrap(), index: 3 };
    assert_eq!(sequence.history()[3], HistoryEntry::Row(Some(key)), "the first row of the run");
    for (what, picture, range, source, expected) in [
        ("the same rows in another slot", &again, 3..20, again.source, 22),
        ("fewer of them", &again, 3..10, again.source, 10),
        ("rows from another one on", &again, 4..21, again.source, 3),
        ("another picture", &other, 3..20, other.source, 3),
        ("rows of no known source", &seen, 3..20, None, 3),
    ] {
        let wanted = run(picture, range, source);
        let wanted = [Segment::Tokens(&before), Segment::Rows(&wanted), Segment::Tokens(&after)];
        assert_eq!(sequence.common_prefix(&wanted), expected, "{what}");
    }
    let (nameless, mut sequence) = (run(&seen, 0..4, None), Sequence::new(&room.model, 100).unwrap());
    room.model.prefill(&room.lane, &mut sequence, &[Segment::Rows(&nameless)], Logits::None).unwrap();
    assert_eq!(sequence.common_prefix(&[Segment::Rows(&nameless)]), 0, "nothing is known about them");
}

#[test]
fn what_is_left_of_a_prompt_gives_back_the_slots_that_it_does_not_need() {
    let room = Room::new();
    let prompt = |room: &Room| {
        let [first, second] = [1, 2].map(|number| PromptPart::Rows(RowRun::whole(room.picture(number).rows, None)));
        vec![PromptPart::Tokens(vec![1, 2, 3]), first, second, PromptPart::Tokens(vec![4])]
    };
    for (skip, parts, free) in [(0, 4, SLOTS - 2), (2, 4, SLOTS - 2), (3, 3, SLOTS - 2), (3 + ROWS, 2, SLOTS - 1)] {
        let left = PromptPart::skip(prompt(&room), skip);
        assert_eq!((left.len(), room.free()), (parts, free), "without the first {skip}");
        let positions: usize = left.iter().map(|part| part.as_segment().len()).sum();
        assert_eq!(positions, 4 + 2 * ROWS - skip);
        drop(left);
        assert_eq!(room.free(), SLOTS);
    }
    assert!(PromptPart::skip(prompt(&room), 4 + 2 * ROWS).is_empty());
}

#[test]
fn rows_that_the_slot_does_not_hold_are_refused() {
    let room = Room::new();
    let run = RowRun { range: 3..ROWS + 1, ..RowRun::whole(room.picture(1).rows, None) };
    let mut sequence = Sequence::new(&room.model, 100).unwrap();
    let error = room.model.prefill(&room.lane, &mut sequence, &[Segment::Rows(&run)], Logits::None).unwrap_err();
    assert_eq!(error.to_string(), "embedding rows 3..24 of a slot, expected them within its 23");
}

#[test]
fn a_second_question_about_the_same_picture_reads_only_itself_and_is_answered_as_if_it_read_all() {
    let room = Room::new();
    let mut kept = room.conversation(2, OnFull::Refuse);
    let first = room.turn(&mut kept, vec![room.picture(1)], "What is it?");
    assert_eq!(first.tokens, room.answer_afresh(
        &[(Role::System, &[], SYSTEM), (Role::User, &[room.picture(1)], "What is it?")],
        &options(),
    ));
    assert!(first.reused == 0 && first.read > ROWS, "{} and {}", first.reused, first.read);
    assert_eq!(room.free(), SLOTS - 1, "the turn holds its picture");

    let expected = room.answer_to(&kept, &[], "And its colour?", &options());
    let second = room.turn(&mut kept, vec![room.picture(1)], "And its colour?");
    assert_eq!(second.tokens, expected);
    assert!(kept.turns()[1].pictures().is_empty(), "it is in sight already");
    assert!(second.reused >= first.read, "{} of {} were reused", second.reused, first.read);
    assert_eq!(room.free(), SLOTS - 1);

    // Another picture, and then the first one again: in between the model looks at the other one.
    let mut looks = room.conversation(4, OnFull::Refuse);
    for (number, shown) in [(1, 1), (2, 1), (1, 1), (1, 0)] {
        room.turn(&mut looks, vec![room.picture(number)], "And now?");
        let last = looks.turns().last().map(|turn| turn.pictures().len());
        assert_eq!(last, Some(shown), "picture {number} after {} turns", looks.turns().len() - 1);
    }
}

#[test]
fn a_question_without_history_reads_neither_the_template_nor_the_same_picture_again() {
    let room = Room::new();
    let mut alone = room.conversation(1, OnFull::Refuse);
    let mut prefix = None;
    for question in ["Where is it?", "How many are there?", "About what?"] {
        let expected = room.answer_to(&alone, &[room.picture(1)], question, &options());
        let turned = room.turn(&mut alone, vec![room.picture(1)], question);
        assert_eq!(turned.tokens, expected, "{question}");
        alone.clear();
        assert_eq!(room.free(), SLOTS, "nothing is held between two questions");
        let prefix = *prefix.get_or_insert_with(|| {
            // All that stands before the question: the questions begin with different letters.
            let opening = [(Role::System, SYSTEM), (Role::User, HERE)].map(|(role, text)| Message::new(role, text));
            let opening = room.template.render(&opening, true).unwrap();
            let (opening, _) = opening.split_once(HERE).unwrap();
            room.tokenizer.encode_first(opening, Special::Parse).len() + ROWS
        });
        assert!(turned.reused == 0 || turned.reused == prefix, "{question}: {} of {prefix} reused", turned.reused);
        assert_eq!(turned.reused == 0, question.starts_with('W'), "{question}");
    }
}

#[test]
fn two_pictures_stand_before_their_question_in_order() {
    let room = Room::new();
    let mut both = room.conversation(2, OnFull::Refuse);
    let question = "Which one is larger?";
    let pictures = || vec![room.picture(1), room.picture(2)];
    let [expected, turned_around] = [pictures(), vec![room.picture(2), room.picture(1)]]
        .map(|pictures| room.answer_to(&both, &pictures, question, &options()));
    assert_ne!(expected, turned_around, "the order decides about the answer");
    assert_eq!(room.turn(&mut both, pictures(), question).tokens, expected);
    let again = room.turn(&mut both, pictures(), "And which is smaller?");
    assert!(both.turns()[1].pictures().is_empty(), "both are in sight");
    assert!(again.reused > 2 * ROWS, "{} reused", again.reused);
}

#[test]
fn pictures_beyond_the_bound_are_refused_or_forgotten_with_their_turns_and_their_slots_come_back() {
    let room = Room::new();
    let mut strict = room.conversation(2, OnFull::Refuse);
    for number in [1, 2] {
        room.turn(&mut strict, vec![room.picture(number)], "What is it?");
    }
    let error = strict.ask("And this?", vec![room.picture(3)], &options()).err().unwrap();
    assert!(matches!(error, ConversationError::TooManyPictures { found: 3, most: 2 }), "{error}");
    assert_eq!(strict.turns().len(), 2, "the conversation goes on");
    drop(strict);

    let mut forgetful = room.conversation(2, OnFull::ForgetOldest);
    let three = (1..4).map(|number| room.picture(number)).collect();
    let error = forgetful.ask("What are these?", three, &options()).err().unwrap();
    assert_eq!(error.to_string(), "the conversation shows 3 pictures, expected at most 2");
    assert_eq!(room.free(), SLOTS);
    room.turn(&mut forgetful, vec![room.picture(1)], "What is it?");
    room.turn(&mut forgetful, Vec::new(), "Why?");
    room.turn(&mut forgetful, vec![room.picture(2)], "And this?");
    assert_eq!((forgetful.turns().len(), forgetful.forgotten(), room.free()), (3, 0, SLOTS - 2));
    let turned = room.turn(&mut forgetful, vec![room.picture(3)], "And that?");
    assert_eq!((forgetful.forgotten(), room.free()), (1, SLOTS - 2), "the turn up to the oldest picture");
    let last = forgetful.turns().last().unwrap();
    assert_eq!((last.question().content.as_str(), last.pictures().len()), ("And that?", 1));
    let mut said: Vec<(Role, &[Embeddings], &str)> = vec![(Role::System, &[], SYSTEM)];
    for turn in &forgetful.turns()[..2] {
        said.push((Role::User, turn.pictures(), &turn.question().content));
        said.push((Role::Assistant, &[], &turn.answer().content));
    }
    said.push((Role::User, last.pictures(), "And that?"));
    assert_eq!(turned.tokens, room.answer_afresh(&said, &options()), "what is left is read again");
    // The picture in sight is forgotten with its turn: the question shows it again.
    let mut narrow = room.conversation(2, OnFull::ForgetOldest);
    room.turn(&mut narrow, vec![room.picture(1)], &"x".repeat(150));
    room.turn(&mut narrow, vec![room.picture(1)], &"y".repeat(150));
    assert!(narrow.turns()[1].pictures().is_empty());
    room.turn(&mut narrow, vec![room.picture(1)], &"z".repeat(150));
    assert!(narrow.forgotten() > 0, "three such questions exceed the context");
    assert_eq!(narrow.turns().last().unwrap().pictures().len(), 1);
}

#[test]
fn a_mark_in_a_question_is_no_place_for_a_picture() {
    let room = Room::new();
    let mut conversation = room.conversation(2, OnFull::Refuse);
    let expected = room.answer_to(&conversation, &[room.picture(1)], "a\u{FFFD}b", &options());
    assert_eq!(room.turn(&mut conversation, vec![room.picture(1)], "a\u{FDD0}b").tokens, expected);
}

#[test]
fn rows_of_no_known_source_are_read_once_in_a_conversation() {
    let room = Room::new();
    let mut conversation = room.conversation(2, OnFull::Refuse);
    let nameless = Embeddings { source: None, ..room.picture(1) };
    let first = room.turn(&mut conversation, vec![nameless.clone()], "What is it?");
    let expected = room.answer_to(&conversation, std::slice::from_ref(&nameless), "And this?", &options());
    let second = room.turn(&mut conversation, vec![nameless], "And this?");
    assert!(second.reused >= first.read, "{} of {} were reused", second.reused, first.read);
    assert_eq!(conversation.turns()[1].pictures().len(), 1, "nobody knows that they are the same");
    assert_eq!(second.tokens, expected);
}

/// Whatever happens in whatever order: answers are those of a sequence that reads everything, and no slot is lost.
#[test]
fn no_slot_is_lost_and_no_answer_differs_however_questions_end() {
    let room = Room::new();
    let options = GenerationOptions { max_tokens: 3, ..options() };
    for seed in 0..6 {
        let mut dice = fixture::tokens(400, 1 << 20, seed).into_iter();
        let mut roll = move |sides: u32| dice.next().expect("enough dice") % sides;
        let most = 1 + roll(3) as usize;
        let mut conversation = room.conversation(most, OnFull::ForgetOldest);
        for step in 0..14 {
            let pictures: Vec<Embeddings> = (0..roll(3)).map(|_| room.picture(roll(3) as u8)).collect();
            let question = ["What?", "Why is it so?", "How many of them?", "x"][roll(4) as usize];
            let told = format!("seed {seed}, step {step}: {} pictures, {question}", pictures.len());
            let shown = pictures.len();
            let generation = match conversation.ask(question, pictures.clone(), &options) {
                Ok(generation) => generation,
                Err(ConversationError::TooManyPictures { .. }) if shown > most => continue,
                Err(error) => panic!("{told}: {error}"),
            };
            match roll(6) {
                // Its job panicked and took it along.
                0 => {
                    drop(generation);
                    conversation.abandon();
                }
                1 => conversation.settle(generation, Shown::Nothing),
                end => {
                    let (generation, tokens) = room.finish(generation);
                    let shown = if end == 2 { Shown::Part("Well".to_owned()) } else { Shown::All };
                    conversation.settle(generation, shown);
                    let (last, before) = conversation.turns().split_last().expect("a turn");
                    let mut said: Vec<(Role, &[Embeddings], &str)> = vec![(Role::System, &[], SYSTEM)];
                    for turn in before {
                        said.push((Role::User, turn.pictures(), &turn.question().content));
                        said.push((Role::Assistant, &[], &turn.answer().content));
                    }
                    said.push((Role::User, last.pictures(), question));
                    assert_eq!(tokens, room.answer_afresh(&said, &options), "{told}");
                }
            }
            if roll(8) == 0 {
                conversation.clear();
            }
            drop(pictures);
            let held: usize = conversation.turns().iter().map(|turn| turn.pictures().len()).sum();
            assert!(held <= most, "{told}: {held} pictures are held, at most {most} may be");
            assert_eq!(room.free(), SLOTS - held, "{told}");
        }
        drop(conversation);
        assert_eq!(room.free(), SLOTS, "seed {seed}");
    }
}
