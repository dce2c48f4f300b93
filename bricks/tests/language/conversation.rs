//! A chat over several turns reads only what is new, and forgets what was not shown.

use std::sync::Arc;

use nanomind_bricks::language::{Generation, GenerationOptions};
use nanomind_bricks::{
    ChatTemplate, Conversation, ConversationError, ConversationOptions, Message, OnFull, Role, Sampling, Shown,
    Tokenizer, Turn,
};
use nanomind_hal::Lane;
use nanomind_kernels::Isa;

use crate::fixture;

const MODEL: &str = "llama_gqa_q8_0";

fn conversation(context: usize, on_full: OnFull) -> Conversation {
    let gguf = fixture::gguf(MODEL);
    let model = Arc::new(fixture::model(MODEL, Isa::detect()));
    let tokenizer = Arc::new(Tokenizer::from_gguf(&gguf).unwrap());
    let template = Arc::new(ChatTemplate::from_gguf(&gguf).unwrap());
    let system = Some("Be brief.".to_owned());
    let options = ConversationOptions { system, on_full, ..ConversationOptions::new(context) };
    Conversation::new(model, tokenizer, template, options)
}

fn options() -> GenerationOptions {
    GenerationOptions { sampling: Sampling::greedy(), max_tokens: 12, ..GenerationOptions::default() }
}

fn answer(mut generation: Generation) -> Generation {
    let lane = Lane::single();
    while generation.finished().is_none() {
        (generation, _) = generation.decode(&lane);
    }
    generation
}

fn said(conversation: &Conversation) -> Vec<Message> {
    conversation.turns().iter().flat_map(|turn| [turn.question().clone(), turn.answer().clone()]).collect()
}

/// Asks, lets the answer finish and shows all of it; gives the answer and how many positions were reused.
fn turn(conversation: &mut Conversation, question: &str) -> (String, usize) {
    let generation = answer(conversation.ask(question, Vec::new(), &options()).unwrap());
    let (text, reused) = (generation.text().to_owned(), generation.counters().reused);
    conversation.settle(generation, Shown::All);
    (text, reused)
}

#[test]
fn a_second_question_reuses_the_first_turn_and_is_answered_as_if_it_did_not() {
    let mut kept = conversation(512, OnFull::Refuse);
    let (_, reused) = turn(&mut kept, "Hello there");
    assert_eq!(reused, 0);
    let turn_of = |turn: &Turn| (turn.question().clone(), turn.answer().role);
    let turns: Vec<_> = kept.turns().iter().map(turn_of).collect();
    assert_eq!(turns, [(Message::new(Role::User, "Hello there"), Role::Assistant)]);
    let (with_cache, reused) = turn(&mut kept, "And again?");
    assert!(reused > 40, "only {reused} positions were reused");

    let mut lost = conversation(512, OnFull::Refuse);
    turn(&mut lost, "Hello there");
    // A generation that a panicking job took with it.
    drop(lost.ask("And", Vec::new(), &options()).unwrap());
    lost.abandon();
    let (without_cache, reused) = turn(&mut lost, "And again?");
    assert_eq!(reused, 0, "the sequence was lost");
    assert_eq!(without_cache, with_cache);
}

#[test]
fn what_was_not_shown_is_forgotten() {
    let mut cut = conversation(512, OnFull::Refuse);
    turn(&mut cut, "Hello there");
    let before = said(&cut);
    let generation = answer(cut.ask("Never mind", Vec::new(), &options()).unwrap());
    assert!(matches!(cut.ask("Too early", Vec::new(), &options()), Err(ConversationError::Busy)));
    cut.settle(generation, Shown::Nothing);
    assert_eq!(said(&cut), before);

    let mut never = conversation(512, OnFull::Refuse);
    turn(&mut never, "Hello there");
    let (expected, _) = turn(&mut never, "And again?");
    let (found, reused) = turn(&mut cut, "And again?");
    assert_eq!(found, expected);
    assert!(reused > 40, "only {reused} positions were reused");

    let generation = answer(cut.ask("One more", Vec::new(), &options()).unwrap());
    cut.settle(generation, Shown::Part("Only this".to_owned()));
    assert_eq!(cut.turns().last().unwrap().answer().content, "Only this");
}

#[test]
fn a_full_context_refuses_the_question_or_forgets_the_oldest_ones() {
    let question = "x".repeat(100);
    let mut strict = conversation(300, OnFull::Refuse);
    turn(&mut strict, &question);
    let error = loop {
        match strict.ask(&question, Vec::new(), &options()) {
            Ok(generation) => strict.settle(answer(generation), Shown::All),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ConversationError::ContextFull { needed: 301.., context: 300 }), "{error}");
    assert!(!strict.is_busy(), "the conversation goes on");

    let mut forgetful = conversation(300, OnFull::ForgetOldest);
    for _ in 0..5 {
        turn(&mut forgetful, &question);
    }
    assert!(forgetful.forgotten() > 0);
    assert!(forgetful.turns().len() < 5);
    let error = forgetful.ask(&"x".repeat(400), Vec::new(), &options()).err().unwrap();
    assert!(matches!(error, ConversationError::ContextFull { .. }), "{error}");
}
