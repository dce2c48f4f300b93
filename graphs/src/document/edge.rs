//! An edge as written: `("a.out", "b.in")`, then in any order a queue policy or `Queue(…)` and a firing rule.
use crate::{
    Code, Diagnostic, Firing, QueuePolicy,
    findings::Findings,
    source::Span,
    suggest,
    tree::{Body, Shape, Tree, Word},
};

/// Most packets that an edge may be told to hold.
const MOST_PACKETS: i64 = 65_536;
/// Most tokens that an edge may be told to hold.
const MOST_TOKENS: i64 = 1 << 24;

const SHAPE: &str = "an edge is (\"node.output\", \"node.input\"), then if wanted Block, Latest, DropOldest or DropNewest, \
                     or Queue(policy: .., packets: .., tokens: ..), and Trigger, Latched or Joined";

/// An edge as written.
#[derive(Debug)]
pub(crate) struct EdgeDecl {
    pub(crate) from: Word,
    pub(crate) to: Word,
    pub(crate) policy: Option<QueuePolicy>,
    pub(crate) packets: Option<u32>,
    pub(crate) tokens: Option<(u64, Span)>,
    pub(crate) firing: Option<Firing>,
}

const FIRINGS: [(&str, Firing); 3] =
    [("Trigger", Firing::Trigger), ("Latched", Firing::Latched), ("Joined", Firing::Joined)];

pub(super) fn read(tree: &Tree, findings: &mut Findings) -> Option<EdgeDecl> {
    let bad = |message: &str| Diagnostic::error(Code::BadEdge, message).at(tree, "this edge").help(SHAPE);
    let (Shape::Tuple(parts) | Shape::List(parts)) = &tree.shape else {
        findings.push(bad(&format!("an edge is a tuple in parentheses, but here is {}", tree.describe())));
        return None;
    };
    let [from, to, modifiers @ ..] = parts.as_slice() else {
        findings.push(bad(&format!("an edge has two ends, but this one has {}", parts.len())));
        return None;
    };
    if matches!(tree.shape, Shape::List(_)) {
        findings.push(bad("an edge is a tuple in parentheses (..), not a list in brackets [..]"));
    }
    let (from, to) = (end(from, findings), end(to, findings));
    let mut edge = EdgeDecl { from: from?, to: to?, policy: None, packets: None, tokens: None, firing: None };
    let (mut queue_given, mut firing_given) = (None, None);
    for modifier in modifiers {
        let Shape::Named(word, body) = &modifier.shape else {
            let help = match &modifier.shape {
                Shape::Text(text) if is_modifier(text) => format!("write {text} without quotes"),
                _ => SHAPE.to_owned(),
            };
            findings.push(
                Diagnostic::error(Code::BadEdge, format!("{} is no part of an edge", modifier.describe()))
                    .at(modifier, "expected a queue policy or a firing rule")
                    .help(help),
            );
            continue;
        };
        let firing = FIRINGS.iter().find(|(name, _)| *name == word.text);
        let given = if firing.is_some() { &mut firing_given } else { &mut queue_given };
        if let Some(earlier) = given.replace(word.span) {
            let what = if firing.is_some() { "firing rules" } else { "queue policies" };
            findings.push(
                Diagnostic::error(Code::BadEdge, format!("an edge with two {what}"))
                    .label(word.span, "again here")
                    .label(earlier, "first here"),
            );
            continue;
        }
        match (firing, body) {
            (Some((_, firing)), Body::Bare) => edge.firing = Some(*firing),
            (None, Body::Fields(fields)) if word.text == "Queue" => queue(&mut edge, fields, findings),
            _ => edge.policy = policy(word, Some(body), findings).or(edge.policy),
        }
    }
    Some(edge)
}

fn is_modifier(text: &str) -> bool {
    QueuePolicy::ALL.iter().any(|policy| policy.name() == text) || FIRINGS.iter().any(|(name, _)| *name == text)
}

fn end(tree: &Tree, findings: &mut Findings) -> Option<Word> {
    match &tree.shape {
        Shape::Text(text) => Some(Word { text: text.clone(), span: tree.span }),
        _ => {
            findings.push(
                Diagnostic::error(Code::BadEdge, format!("an edge's end is {}", tree.describe()))
                    .at(tree, "expected \"node.port\" in quotes")
                    .help(SHAPE),
            );
            None
        }
    }
}

fn policy(word: &Word, body: Option<&Body>, findings: &mut Findings) -> Option<QueuePolicy> {
    let found = QueuePolicy::ALL.into_iter().find(|policy| policy.name() == word.text);
    if found.is_some() && matches!(body, None | Some(Body::Bare)) {
        return found;
    }
    let diagnostic = if found.is_some() {
        Diagnostic::error(Code::BadEdge, format!("{} takes nothing in parentheses", word.text))
            .label(word.span, "here")
            .help(format!("write {0}, or Queue(policy: {0}, packets: 4)", word.text))
    } else if word.text == "Queue" {
        Diagnostic::error(Code::BadEdge, "Queue needs its fields by name")
            .label(word.span, "here")
            .help("write Queue(policy: Block, packets: 4, tokens: 512), each of them optional")
    } else {
        let words = QueuePolicy::ALL.iter().map(|policy| policy.name());
        let all = words.chain(FIRINGS.iter().map(|(name, _)| *name)).chain(["Queue"]);
        Diagnostic::error(Code::UnknownWord, format!("{} is neither a queue policy nor a firing rule", word.text))
            .label(word.span, "unknown word")
            .maybe_help(suggest::help(&word.text, all, "possible", false))
    };
    findings.push(diagnostic);
    None
}

fn queue(edge: &mut EdgeDecl, fields: &[(Word, Tree)], findings: &mut Findings) {
    let mut seen: Vec<&Word> = Vec::new();
    for (name, value) in fields {
        if let Some(earlier) = seen.iter().find(|earlier| earlier.text == name.text) {
            findings.push(super::sections::twice("Queue field", name, earlier.span));
            continue;
        }
        seen.push(name);
        match name.text.as_str() {
            "policy" => match &value.shape {
                Shape::Named(word, body) => edge.policy = policy(word, Some(body), findings),
                _ => findings.push(Diagnostic::wrong_type("policy", value, "Block, Latest, DropOldest or DropNewest")),
            },
            "packets" => {
                edge.packets = count("packets", value, MOST_PACKETS, findings).and_then(|n| u32::try_from(n).ok());
            }
            "tokens" => edge.tokens = count("tokens", value, MOST_TOKENS, findings).map(|n| (n, value.span)),
            other => findings.push(
                Diagnostic::error(Code::UnknownSection, format!("Queue has no field `{other}`"))
                    .label(name.span, "unknown field")
                    .maybe_help(suggest::help(other, ["policy", "packets", "tokens"], "fields", false)),
            ),
        }
    }
}

fn count(what: &str, value: &Tree, most: i64, findings: &mut Findings) -> Option<u64> {
    match value.shape {
        Shape::Integer(number) if (1..=most).contains(&number) => u64::try_from(number).ok(),
        Shape::Integer(number) => {
            findings.push(
                Diagnostic::error(
                    Code::OutOfBounds,
                    format!("an edge cannot hold {number} {what}: the number must be from 1 to {most}"),
                )
                .at(value, format!("from 1 to {most}")),
            );
            None
        }
        _ => {
            findings.push(Diagnostic::wrong_type(what, value, &format!("a whole number from 1 to {most}")));
            None
        }
    }
}
