//! Reads the sections of `Graph(…)`.
use super::{Document, Given, NodeDecl, edge, include, params::Params, policies};
use crate::{
    Code, Diagnostic,
    findings::Findings,
    names,
    source::{Sources, Span},
    suggest,
    tree::{Body, Shape, Tree, Word},
};

/// What else people call a section.
const SYNONYMS: [(&str, &str); 6] = [
    ("connections", "edges"),
    ("links", "edges"),
    ("wires", "edges"),
    ("parameters", "params"),
    ("variables", "params"),
    ("subgraphs", "include"),
];
const SECTIONS: [&str; 8] = ["name", "include", "params", "nodes", "edges", "placement", "restart", "power"];
pub(crate) const SKELETON: &str =
    "a graph is Graph(name: \"..\", nodes: { \"..\": Kind(..) }, edges: [ (\"a.out\", \"b.in\") ])";

/// A name that is given twice.
pub(super) fn twice(what: &str, again: &Word, first: Span) -> Diagnostic {
    Diagnostic::error(Code::Duplicate, format!("{what} `{}` is given twice", again.text))
        .label(again.span, "again here")
        .label(first, "first here")
}

/// The entries of `{ "name": value }`, names without their quotes.
pub(super) fn entries(what: &str, tree: &Tree, findings: &mut Findings) -> Vec<(Word, Tree)> {
    let pairs: Vec<(Tree, Tree)> = match &tree.shape {
        Shape::Map(entries) => entries.clone(),
        // `(name: value)` for `{"name": value}`: one mistake, then on with what is meant.
        Shape::Fields(fields) => {
            findings.push(
                Diagnostic::error(Code::WrongType, format!("{what} is a map in braces, not fields in parentheses"))
                    .label(tree.span.head(), "write { \"name\": .. } here"),
            );
            let key = |word: &Word| Tree { span: word.span, shape: Shape::Text(word.text.clone()), origin: None };
            fields.iter().map(|(word, value)| (key(word), value.clone())).collect()
        }
        Shape::Tuple(values) | Shape::List(values) if values.is_empty() => Vec::new(),
        _ => {
            findings.push(Diagnostic::wrong_type(what, tree, "a map { \"name\": .. }"));
            Vec::new()
        }
    };
    let mut entries: Vec<(Word, Tree)> = Vec::new();
    for (key, value) in pairs {
        let name = match &key.shape {
            Shape::Text(text) => Word { text: text.clone(), span: key.span },
            Shape::Named(word, Body::Bare) => {
                findings.push(
                    Diagnostic::error(Code::WrongType, format!("names in {what} stand in quotes"))
                        .label(key.span, format!("write \"{}\"", word.text)),
                );
                word.clone()
            }
            _ => {
                findings.push(Diagnostic::wrong_type(&format!("a name in {what}"), &key, "a text in quotes"));
                continue;
            }
        };
        entries.push((name, value));
    }
    entries
}

/// Reads a file's tree. Mistakes go to `findings`; what can be read is returned all the same.
pub(crate) fn read(tree: Tree, given: &Given<'_>, sources: &mut Sources, findings: &mut Findings) -> Document {
    let file = sources.name(tree.span.file).to_owned();
    let mut document = Document { head: tree.span.head(), ..Document::default() };
    let Some(fields) = fields_of_graph(tree, &mut document.head, findings) else { return document };
    let (mut sections, misspelt) = split(fields, findings);
    document.edges_misspelt = misspelt && sections[4].is_none();
    let mut params = Params::default();
    if let Some((_, tree)) = sections[2].take() {
        for (name, default) in entries("params", &tree, findings) {
            params.declare(name, default, findings);
        }
    }
    params.give(given, &file, sources, findings);
    // Edges hold names only; everything else may hold parameters.
    for (index, section) in sections.iter_mut().enumerate() {
        if let Some((_, tree)) = section.as_mut().filter(|_| !matches!(index, 0 | 4)) {
            params.fill(tree, findings);
        }
    }
    if !matches!(given, Given::Include { chosen: true, .. }) {
        params.report_unused(findings);
    }
    let [name, includes, _, nodes, edges, placement, restart, power] = sections;
    document.name = read_name(name, document.head, findings);
    if let Some((_, tree)) = includes {
        let list = list("include", &tree, findings);
        document.includes = list.iter().filter_map(|tree| include::read(tree, findings)).collect();
    }
    let nodes_at = nodes.as_ref().map_or(document.head, |(word, _)| word.span);
    if let Some((_, tree)) = nodes {
        document.nodes = read_nodes(&tree, findings);
    }
    if document.nodes.is_empty() && document.includes.is_empty() && !findings.any_error() {
        findings.push(
            Diagnostic::error(Code::Empty, "the graph has no nodes").label(nodes_at, "no nodes here").help(SKELETON),
        );
    }
    if let Some((_, tree)) = edges {
        let list = list("edges", &tree, findings);
        document.edges = list.iter().filter_map(|tree| edge::read(tree, findings)).collect();
    }
    if let Some((_, tree)) = placement {
        document.placement = per_node("placement", &tree, policies::placement, findings);
    }
    if let Some((_, tree)) = restart {
        document.restart = per_node("restart", &tree, policies::restart, findings);
    }
    document.power = power.and_then(|(_, tree)| policies::power(&tree, findings));
    document
}

/// What stands in `Graph(…)`; `head` becomes the place of that word.
fn fields_of_graph(tree: Tree, head: &mut Span, findings: &mut Findings) -> Option<Vec<(Word, Tree)>> {
    let whole = tree.span;
    match tree.shape {
        Shape::Named(word, Body::Fields(fields)) if word.text == "Graph" => {
            *head = word.span;
            Some(fields)
        }
        Shape::Named(word, body) => {
            let message = match body {
                _ if word.text == "Graph" => "Graph has no fields".to_owned(),
                _ => format!("a graph file starts with Graph(..), but here is {}", word.text),
            };
            let code = if word.text == "Graph" { Code::Empty } else { Code::NotAGraph };
            findings.push(Diagnostic::error(code, message).label(word.span, "here").help(SKELETON));
            None
        }
        Shape::Fields(fields) => {
            findings.push(
                Diagnostic::error(Code::NotAGraph, "a graph file starts with the word Graph")
                    .label(whole.head(), "write Graph( here"),
            );
            Some(fields)
        }
        shape => {
            let found = Tree { shape, span: whole, origin: None };
            findings.push(
                Diagnostic::error(
                    Code::NotAGraph,
                    format!("a graph file holds Graph(..), but here is {}", found.describe()),
                )
                .label(whole.head(), "here")
                .help(SKELETON),
            );
            None
        }
    }
}

/// The sections in the order of [`SECTIONS`], and whether there were others.
fn split(fields: Vec<(Word, Tree)>, findings: &mut Findings) -> ([Option<(Word, Tree)>; 8], bool) {
    let mut sections: [Option<(Word, Tree)>; 8] = Default::default();
    let mut misspelt = false;
    for (word, tree) in fields {
        let Some(index) = SECTIONS.iter().position(|section| *section == word.text) else {
            let meant = SYNONYMS.iter().find(|(other, _)| suggest::same_or_near(&word.text, other));
            let help = match meant {
                Some((_, section)) => Some(format!("did you mean `{section}`?")),
                None => suggest::help(&word.text, SECTIONS, "fields", false),
            };
            findings.push(
                Diagnostic::error(Code::UnknownSection, format!("Graph has no field `{}`", word.text))
                    .label(word.span, "unknown field")
                    .maybe_help(help),
            );
            misspelt = true;
            continue;
        };
        match &sections[index] {
            Some((first, _)) => findings.push(twice("field", &word, first.span)),
            None => sections[index] = Some((word, tree)),
        }
    }
    (sections, misspelt)
}

fn read_name(section: Option<(Word, Tree)>, head: Span, findings: &mut Findings) -> String {
    let Some((_, tree)) = section else {
        findings.push(
            Diagnostic::error(Code::MissingField, "the graph has no name")
                .label(head, "`name` is missing")
                .help("add name: \"my-graph\""),
        );
        return String::new();
    };
    match tree.shape {
        Shape::Text(name) => {
            if !names::is_node_name(&name) {
                findings.push(bad_name("graph", &Word { text: name.clone(), span: tree.span }));
            }
            name
        }
        _ => {
            findings.push(Diagnostic::wrong_type("name", &tree, "a text in quotes"));
            String::new()
        }
    }
}

fn bad_name(what: &str, name: &Word) -> Diagnostic {
    let mut better: String =
        name.text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    better = better.trim_matches(|c: char| c == '-' || c.is_ascii_digit()).to_owned();
    let help = (names::is_node_name(&better)).then(|| format!("\"{better}\" would do"));
    Diagnostic::error(Code::BadName, format!("{:?} is no name for a {what}", name.text))
        .label(name.span, format!("letters, digits, _ and -, starting with a letter, at most {}", names::LONGEST))
        .maybe_help(help)
}

fn list(what: &str, tree: &Tree, findings: &mut Findings) -> Vec<Tree> {
    match &tree.shape {
        Shape::List(values) => values.clone(),
        _ => {
            findings.push(Diagnostic::wrong_type(what, tree, "a list in brackets [..]"));
            Vec::new()
        }
    }
}

fn read_nodes(tree: &Tree, findings: &mut Findings) -> Vec<NodeDecl> {
    let mut nodes: Vec<NodeDecl> = Vec::new();
    for (name, value) in entries("nodes", tree, findings) {
        if !names::is_node_name(&name.text) {
            findings.push(bad_name("node", &name));
        }
        if let Some(earlier) = nodes.iter().find(|node| node.name.text == name.text) {
            findings.push(twice("node", &name, earlier.name.span));
            continue;
        }
        let what = format!("node \"{}\"", name.text);
        match value.shape {
            Shape::Named(kind, Body::Fields(fields)) => nodes.push(NodeDecl { name, kind, fields, nameless: None }),
            Shape::Named(kind, Body::Bare) => nodes.push(NodeDecl { name, kind, fields: Vec::new(), nameless: None }),
            Shape::Named(kind, Body::Tuple(values)) => {
                let nameless = values.into_iter().next();
                nodes.push(NodeDecl { name, kind, fields: Vec::new(), nameless });
            }
            shape => {
                let found = Tree { shape, ..value };
                let expected = "a node kind with its fields, such as Llm(model: \"..\")";
                findings.push(Diagnostic::wrong_type(&what, &found, expected));
            }
        }
    }
    nodes
}

fn per_node<T>(
    what: &str,
    tree: &Tree,
    read: fn(&Tree, &mut Findings) -> Option<T>,
    findings: &mut Findings,
) -> Vec<(Word, T)> {
    let mut found: Vec<(Word, T)> = Vec::new();
    for (name, value) in entries(what, tree, findings) {
        if let Some((earlier, _)) = found.iter().find(|(earlier, _)| earlier.text == name.text) {
            findings.push(twice(&format!("{what} of"), &name, earlier.span));
        } else if let Some(value) = read(&value, findings) {
            found.push((name, value));
        }
    }
    found
}
