//! Includes: one flat graph out of the file and everything that it includes, with the nodes of an include named
//! `alias.node`.
use crate::{
    Code, Diagnostic, LoadError, Loader, Overrides, PowerPolicy, RestartPolicy, Source, Span,
    check::nodes::Node,
    document::{self, EdgeDecl, Given, IncludeDecl, MOST_EDGES, MOST_NODES, NodeDecl, PlacementDecl, RestartDecl},
    findings::Findings,
    source::Sources,
    suggest,
    tree::{self, LONGEST_FILE, Origin, Word},
};

/// Most files of a graph.
const MOST_FILES: usize = 64;
/// Deepest chain of includes.
const DEEPEST_INCLUDE: usize = 8;

/// Something said in a file about the nodes of that file and of its includes.
#[derive(Debug)]
pub(crate) struct Scoped<T> {
    /// What stands before the file's own node names: empty or `voice.`.
    pub(crate) scope: String,
    /// A node of the scope, or `*` for all.
    pub(crate) key: Word,
    pub(crate) value: T,
}

/// A graph without includes.
#[derive(Debug, Default)]
pub(crate) struct Flat {
    pub(crate) name: String,
    pub(crate) head: Span,
    /// With the scope of each.
    pub(crate) nodes: Vec<(String, NodeDecl)>,
    pub(crate) edges: Vec<(String, EdgeDecl)>,
    /// From the outermost file inwards.
    pub(crate) placement: Vec<Scoped<PlacementDecl>>,
    pub(crate) restart: Vec<Scoped<RestartDecl>>,
    /// From the command line.
    pub(crate) placed: Vec<Scoped<PlacementDecl>>,
    pub(crate) power: PowerPolicy,
    /// What stands before the names of nodes that are not known because their file could not be read.
    pub(crate) unread: Vec<String>,
    /// Whether the edges are not known because their section is misspelt.
    pub(crate) edges_unknown: bool,
    files: usize,
}

pub(crate) fn flatten(
    source: Source,
    overrides: &Overrides,
    loader: &dyn Loader,
    sources: &mut Sources,
    findings: &mut Findings,
) -> Option<Flat> {
    let mut flat = Flat::default();
    let given = Given::CommandLine(&overrides.params);
    let mut chain = vec![normal(&source.name)];
    let mut walk = Walk { loader, sources, findings, flat: &mut flat, chain: &mut chain };
    walk.file(source, &given, "")?;
    for (node, accelerator) in &overrides.placements {
        let text = format!("{node}={accelerator}");
        let (behind, end) = (node.len() + 1, text.len());
        let file = sources.add(Source::new("--place", text));
        let key = Word { text: node.clone(), span: Span { file, start: 0, end: node.len() } };
        let name = Word { text: accelerator.clone(), span: Span { file, start: behind, end } };
        flat.placed.push(Scoped { scope: String::new(), key, value: PlacementDecl::Pin(name) });
    }
    Some(flat)
}

struct Walk<'a> {
    loader: &'a dyn Loader,
    sources: &'a mut Sources,
    findings: &'a mut Findings,
    flat: &'a mut Flat,
    /// The files from the top to here.
    chain: &'a mut Vec<String>,
}

impl Walk<'_> {
    /// Reads a file and its includes; `None` if it is not even RON.
    fn file(&mut self, source: Source, given: &Given<'_>, scope: &str) -> Option<()> {
        let text = source.text.clone();
        let file = self.sources.add(source);
        let tree = match tree::parse(&text, file) {
            Ok(tree) => tree,
            Err(diagnostic) => {
                self.findings.push(*diagnostic);
                return None;
            }
        };
        let document = document::read(tree, given, self.sources, self.findings);
        let placed = document.placement.into_iter();
        self.flat.placement.extend(placed.map(|(key, value)| Scoped { scope: scope.to_owned(), key, value }));
        let restarted = document.restart.into_iter();
        self.flat.restart.extend(restarted.map(|(key, value)| Scoped { scope: scope.to_owned(), key, value }));
        if scope.is_empty() {
            self.flat.name = document.name;
            self.flat.head = document.head;
            self.flat.power = document.power.unwrap_or_default();
        }
        self.flat.edges_unknown |= document.edges_misspelt;
        let mut aliases: Vec<&Word> = document.nodes.iter().map(|node| &node.name).collect();
        for include in &document.includes {
            if let Some(earlier) = aliases.iter().find(|earlier| earlier.text == include.alias.text) {
                let message = format!("two things of this file are named \"{}\"", include.alias.text);
                self.findings.push(
                    Diagnostic::error(Code::Duplicate, message)
                        .label(include.alias.span, "again here")
                        .label(earlier.span, "first here"),
                );
                continue;
            }
            aliases.push(&include.alias);
            let inner = format!("{scope}{}.", include.alias.text);
            if self.include(include, &inner).is_none() {
                self.flat.unread.push(inner);
            }
        }
        let too_many = |count: usize, most: usize, what: &str| {
            Diagnostic::error(Code::TooLarge, format!("the graph has {count} {what}, and at most {most} are possible"))
                .label(document.head, "in this file")
        };
        if self.flat.nodes.len() + document.nodes.len() > MOST_NODES {
            self.findings.push(too_many(self.flat.nodes.len() + document.nodes.len(), MOST_NODES, "nodes"));
        } else {
            self.flat.nodes.extend(document.nodes.into_iter().map(|node| (scope.to_owned(), node)));
        }
        if self.flat.edges.len() + document.edges.len() > MOST_EDGES {
            self.findings.push(too_many(self.flat.edges.len() + document.edges.len(), MOST_EDGES, "edges"));
        } else {
            self.flat.edges.extend(document.edges.into_iter().map(|edge| (scope.to_owned(), edge)));
        }
        Some(())
    }

    /// Reads an included file, its nodes named under `scope`; `None` if it cannot be read.
    fn include(&mut self, include: &IncludeDecl, scope: &str) -> Option<()> {
        let including = self.sources.name(include.span.file).to_owned();
        let path = beside(&including, &include.file.text);
        let place = include.file.span;
        if let Some(start) = self.chain.iter().position(|file| *file == normal(&path)) {
            let circle: Vec<&str> =
                self.chain[start..].iter().map(String::as_str).chain([self.chain[start].as_str()]).collect();
            self.findings.push(
                Diagnostic::error(Code::IncludeCycle, format!("{path} includes itself: {}", circle.join(" -> ")))
                    .label(place, "this closes the circle"),
            );
            return None;
        }
        self.flat.files += 1;
        if self.chain.len() > DEEPEST_INCLUDE || self.flat.files > MOST_FILES {
            let message =
                format!("too many includes: at most {MOST_FILES} files, at most {DEEPEST_INCLUDE} deep, are possible");
            self.findings.push(Diagnostic::error(Code::TooLarge, message).label(place, "one too many"));
            return None;
        }
        let text = match self.loader.read(&path, LONGEST_FILE) {
            Ok(text) => text,
            Err(error) => {
                let help = match &error {
                    LoadError::NotFound { beside } => {
                        let wanted = include.file.text.rsplit('/').next().unwrap_or_default();
                        suggest::help(wanted, beside.iter().map(String::as_str), "graph files there", true)
                    }
                    _ => None,
                };
                let mut told = Diagnostic::error(Code::Include, format!("cannot include {path}: {error}"))
                    .label(place, "this file")
                    .maybe_help(help);
                if let Some(Origin { param, span }) = &include.chosen_by {
                    told = told.label(*span, format!("value of parameter `{param}`"));
                }
                self.findings.push(told);
                return None;
            }
        };
        self.chain.push(normal(&path));
        let given = Given::Include { params: &include.params, chosen: include.chosen_by.is_some() };
        let read = self.file(Source::new(path, text), &given, scope);
        self.chain.pop();
        read
    }
}

impl Flat {
    /// What holds for `name` among `said`: its own entry, the outermost first, else the innermost `*`.
    pub(crate) fn applying<'a, T>(said: &'a [Scoped<T>], name: &str) -> Option<&'a Scoped<T>> {
        let own =
            |entry: &&Scoped<T>| name.strip_prefix(entry.scope.as_str()).is_some_and(|inner| inner == entry.key.text);
        let all = |entry: &&Scoped<T>| entry.key.text == "*" && name.starts_with(entry.scope.as_str());
        let by_depth = |entry: &&Scoped<T>| entry.scope.len();
        said.iter().filter(own).min_by_key(by_depth).or_else(|| said.iter().filter(all).max_by_key(by_depth))
    }

    /// Reports entries for nodes that do not exist.
    pub(crate) fn report_strangers<T>(
        &self,
        what: &str,
        said: &[Scoped<T>],
        nodes: &[Node<'_>],
        findings: &mut Findings,
    ) {
        for entry in said.iter().filter(|entry| entry.key.text != "*") {
            let full = format!("{}{}", entry.scope, entry.key.text);
            let unread = |prefix: &String| full.starts_with(prefix.as_str());
            if nodes.iter().any(|node| node.name == full) || self.unread.iter().any(unread) {
                continue;
            }
            let within: Vec<&str> =
                nodes.iter().filter_map(|node| node.name.strip_prefix(entry.scope.as_str())).collect();
            let prefix = format!("{}.", entry.key.text);
            let of_include: Vec<&str> = within.iter().copied().filter(|name| name.starts_with(&prefix)).collect();
            let help = if of_include.is_empty() {
                suggest::help(&entry.key.text, within.iter().copied(), "nodes", true)
            } else {
                suggest::listing(&of_include, "it is an include; name one of its nodes")
            };
            findings.push(
                Diagnostic::error(
                    Code::UnknownNode,
                    format!("{what} for \"{}\", but there is no such node", entry.key.text),
                )
                .label(entry.key.span, "no such node")
                .maybe_help(help),
            );
        }
    }

    /// The restart policy of each node.
    pub(crate) fn restarts(&self, nodes: &[Node<'_>], findings: &mut Findings) -> Vec<RestartPolicy> {
        self.report_strangers("restart", &self.restart, nodes, findings);
        let policy = |node: &Node<'_>| Self::applying(&self.restart, &node.name).map(|entry| entry.value.policy);
        nodes.iter().map(|node| policy(node).unwrap_or_default()).collect()
    }
}

/// The path of `file` as seen from the directory of `including`.
fn beside(including: &str, file: &str) -> String {
    match including.rfind('/') {
        Some(slash) if !file.starts_with('/') => normal(&format!("{}/{file}", &including[..slash])),
        _ => normal(file),
    }
}

/// The path without `.` and, where a directory goes before, without `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            "" if !parts.is_empty() => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, ".." | "")) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_included_file_is_sought_beside_the_including_one() {
        assert_eq!(beside("graphs/a.ron", "b.ron"), "graphs/b.ron");
        assert_eq!(beside("a.ron", "./sub/b.ron"), "sub/b.ron");
        assert_eq!(beside("x/y/a.ron", "../b.ron"), "x/b.ron");
        assert_eq!(beside("../a.ron", "../b.ron"), "../../b.ron");
        assert_eq!(beside("/x/a.ron", "b.ron"), "/x/b.ron");
        assert_eq!(beside("x/a.ron", "/b.ron"), "/b.ron");
    }
}
