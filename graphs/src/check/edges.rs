//! Each edge against the ports that it joins.
use crate::{
    Code, Diagnostic, Endpoint, Firing, PlannedEdge, PlannedNode, PortSpec, PortType, Queue, QueuePolicy, Span, Width,
    check::{flatten::Flat, nodes::Node},
    document::EdgeDecl,
    findings::Findings,
    suggest,
    tree::Word,
};

/// A port of a node, by their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) node: usize,
    pub(crate) port: usize,
    pub(crate) span: Span,
}

/// An edge whose ends exist.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) ports: (String, String),
    pub(crate) ty: PortType,
    pub(crate) queue: Queue,
    pub(crate) firing: Firing,
}

impl Edge {
    pub(crate) fn planned(&self, nodes: &[PlannedNode]) -> PlannedEdge {
        let end = |end: End, port: &str| Endpoint {
            node: end.node,
            node_name: nodes.get(end.node).map(|node| node.name.clone()).unwrap_or_default(),
            port: port.to_owned(),
        };
        PlannedEdge {
            from: end(self.from, &self.ports.0),
            to: end(self.to, &self.ports.1),
            ty: self.ty.clone(),
            queue: self.queue,
            firing: self.firing,
        }
    }
}

/// All edges, and the nodes about whose connections nothing certain is known because an edge of theirs is wrong.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    pub(crate) sound: Vec<Edge>,
    pub(crate) doubtful: Vec<usize>,
    /// What edges carry that end in a node that does not exist.
    pub(crate) dangling: Vec<PortType>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Output,
    Input,
}

impl Side {
    fn ports<'n>(self, node: &'n Node<'_>) -> &'n [PortSpec] {
        match self {
            Self::Output => node.outputs(),
            Self::Input => node.inputs(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Input => "input",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Output => Self::Input,
            Self::Input => Self::Output,
        }
    }
}

pub(crate) fn resolve(flat: &Flat, nodes: &[Node<'_>], findings: &mut Findings) -> Edges {
    let mut edges = Edges::default();
    for (scope, decl) in &flat.edges {
        let finder = Finder { scope, nodes };
        let (from, to) = (finder.node(&decl.from), finder.node(&decl.to));
        let mut wrong = Vec::new();
        for (found, word, side) in [(&from, &decl.from, Side::Output), (&to, &decl.to, Side::Input)] {
            let unread = |prefix: &String| format!("{scope}{}", word.text).starts_with(prefix.as_str());
            if found.is_none() && !flat.unread.iter().any(unread) {
                wrong.push(finder.no_such_node(word, side));
            }
        }
        let from_end = from.and_then(|(node, port)| finder.port(node, port, &decl.from, Side::Output, &mut wrong));
        let to_end = to.and_then(|(node, port)| finder.port(node, port, &decl.to, Side::Input, &mut wrong));
        if let Some(turned) = finder.turned_around(from, to, decl) {
            wrong = vec![turned];
        }
        for diagnostic in wrong {
            findings.push(diagnostic);
        }
        match (from_end, to_end) {
            (Some(from), Some(to)) => match join(nodes, from, to, decl, findings) {
                Some(edge) => edges.sound.push(edge),
                None => edges.doubtful.extend([from.node, to.node]),
            },
            (from_end, _) => {
                edges.doubtful.extend(from.into_iter().chain(to).map(|(node, _)| node));
                if let Some(end) = from_end.filter(|_| to.is_none()) {
                    edges.dangling.push(resolved(&nodes[end.node], &nodes[end.node].outputs()[end.port]));
                }
            }
        }
    }
    edges
}

struct Finder<'a> {
    scope: &'a str,
    nodes: &'a [Node<'a>],
}

impl<'a> Finder<'a> {
    /// The node of an end, and its port if one is named.
    fn node<'w>(&self, word: &'w Word) -> Option<(usize, Option<&'w str>)> {
        let find = |name: &str| {
            let full = format!("{}{name}", self.scope);
            self.nodes.iter().position(|node| node.name == full)
        };
        if let Some(node) = find(&word.text) {
            return Some((node, None));
        }
        let (name, port) = word.text.rsplit_once('.')?;
        find(name).map(|node| (node, Some(port)))
    }

    fn no_such_node(&self, word: &Word, side: Side) -> Diagnostic {
        let name = word.text.rsplit_once('.').map_or(word.text.as_str(), |(name, _)| name);
        let verb = if side == Side::Output { "starts at" } else { "ends in" };
        let names = self.nodes.iter().filter_map(|node| node.name.strip_prefix(self.scope));
        // A node of an include, given without its port, looks like a node and its port.
        let name = if suggest::nearest(&word.text, names.clone()).is_some() { word.text.as_str() } else { name };
        Diagnostic::error(
            Code::UnknownNode,
            format!("an edge {verb} \"{}\", but there is no node \"{name}\"", word.text),
        )
        .label(word.span, "no such node")
        .maybe_help(suggest::help(name, names, "nodes", true))
    }

    fn port(
        &self,
        node: usize,
        port: Option<&str>,
        word: &Word,
        side: Side,
        wrong: &mut Vec<Diagnostic>,
    ) -> Option<End> {
        let index = node;
        let node = &self.nodes[index];
        node.spec?;
        let ports = side.ports(node);
        let own = node.name.strip_prefix(self.scope).unwrap_or(&node.name);
        let found = match port {
            Some(port) => ports.iter().position(|spec| spec.name == port),
            None if ports.len() == 1 => Some(0),
            None => None,
        };
        if let Some(port) = found {
            return Some(End { node: index, port, span: word.span });
        }
        let listing = |side: Side| {
            let ports = side.ports(node).iter().map(|port| format!("{own}.{}: {}", port.name, resolved(node, port)));
            let ports: Vec<String> = ports.collect();
            let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
            suggest::listing(&ports, &format!("{}s", side.name()))
                .unwrap_or_else(|| format!("{} has no {}s", node.kind.text, side.name()))
        };
        let diagnostic = match port {
            None if ports.is_empty() => {
                let message = format!("{} has no {}s", node.title(), side.name());
                Diagnostic::error(Code::PortDirection, message).label(word.span, format!("expected an {}", side.name()))
            }
            None => {
                let message =
                    format!("{} has {} {}s, so an edge must say which", node.title(), ports.len(), side.name());
                Diagnostic::error(Code::AmbiguousPort, message).label(word.span, "which one?")
            }
            Some(port) if side.other().ports(node).iter().any(|spec| spec.name == port) => {
                let verb = if side == Side::Output { "starts at an output" } else { "ends in an input" };
                let message = format!("\"{}\" is an {}, but an edge {verb}", word.text, side.other().name());
                Diagnostic::error(Code::PortDirection, message).label(word.span, format!("expected an {}", side.name()))
            }
            Some(port) => {
                let near = suggest::nearest(port, ports.iter().map(|spec| spec.name.as_str()));
                let message = format!("{} has no {} \"{port}\"", node.title(), side.name());
                Diagnostic::error(Code::UnknownPort, message)
                    .label(word.span, format!("no such {}", side.name()))
                    .maybe_help(near.map(|near| format!("did you mean \"{own}.{near}\"?")))
            }
        };
        // "has no inputs" needs no list of them.
        let listed = port.is_some() || !ports.is_empty();
        wrong.push(
            diagnostic
                .label(node.kind.span, format!("{own} is of kind {}", node.kind.text))
                .maybe_help(listed.then(|| listing(side))),
        );
        None
    }

    /// Both ends of an edge are real, but it runs from the input to the output.
    fn turned_around(
        &self,
        from: Option<(usize, Option<&str>)>,
        to: Option<(usize, Option<&str>)>,
        decl: &EdgeDecl,
    ) -> Option<Diagnostic> {
        let ((from, Some(from_port)), (to, Some(to_port))) = (from?, to?) else { return None };
        let input = self.nodes[from].inputs().iter().any(|port| port.name == from_port)
            && !self.nodes[from].outputs().iter().any(|port| port.name == from_port);
        let output = self.nodes[to].outputs().iter().any(|port| port.name == to_port)
            && !self.nodes[to].inputs().iter().any(|port| port.name == to_port);
        (input && output).then(|| {
            Diagnostic::error(Code::PortDirection, "an edge runs backwards; it must go from an output to an input")
                .label(decl.from.span, "this is an input")
                .label(decl.to.span, "this is an output")
                .help(format!("turn it around: (\"{}\", \"{}\")", decl.to.text, decl.from.text))
        })
    }
}

/// Where the width of a port comes from, for a person.
fn width_label(node: &Node<'_>, port: &PortSpec) -> Option<(Span, String)> {
    let PortType::Embeddings { width: Width::OfModel { field, which }, .. } = &port.ty else { return None };
    let facts = node.models.get(field)?;
    let span = node.values.get(field)?.span?;
    Some((span, format!("its {which} is {}", facts.width(*which)?)))
}

/// The type of a port with the widths that the models' files give.
pub(crate) fn resolved(node: &Node<'_>, port: &PortSpec) -> PortType {
    match &port.ty {
        PortType::Embeddings { width: Width::OfModel { field, which }, element } => {
            let width = node.models.get(field).and_then(|facts| facts.width(*which));
            PortType::Embeddings { width: width.map_or(Width::Any, Width::Fixed), element: *element }
        }
        ty => ty.clone(),
    }
}

fn join(nodes: &[Node<'_>], from: End, to: End, decl: &EdgeDecl, findings: &mut Findings) -> Option<Edge> {
    let (source, target) = (&nodes[from.node], &nodes[to.node]);
    let (output, input) = (&source.outputs()[from.port], &target.inputs()[to.port]);
    let (made, taken) = (resolved(source, output), resolved(target, input));
    if !made.fits(&taken) {
        findings.push(mismatch(nodes, (source, output, &made), (target, input, &taken), decl));
        return None;
    }
    // The more exact of the two.
    let ty = match (&made, &taken) {
        (PortType::Embeddings { width: Width::Any, .. }, _) => taken,
        _ => made,
    };
    let counts_tokens = matches!(ty, PortType::Embeddings { .. } | PortType::Tokens);
    if let Some((_, span)) = decl.tokens.filter(|_| !counts_tokens) {
        findings.push(
            Diagnostic::warning(
                Code::BadEdge,
                format!("packets of {ty} carry no tokens, so `tokens` has no effect here"),
            )
            .label(span, "no effect"),
        );
    }
    let queue = queue(&ty, decl);
    Some(Edge {
        from,
        to,
        ports: (output.name.clone(), input.name.clone()),
        ty,
        queue,
        firing: decl.firing.unwrap_or(input.firing),
    })
}

/// What an edge holds when it does not say.
fn queue(ty: &PortType, decl: &EdgeDecl) -> Queue {
    let policy = decl.policy.unwrap_or(QueuePolicy::Block);
    let (packets, tokens) = match ty {
        PortType::Image | PortType::Tensor { .. } => (2, None),
        PortType::Embeddings { .. } => (4, Some(2048)),
        PortType::Tokens => (64, Some(4096)),
        PortType::Detections => (8, None),
        PortType::Audio => (32, None),
        PortType::Text | PortType::Event => (64, None),
    };
    let packets = if policy == QueuePolicy::Latest { 1 } else { packets };
    let tokens = tokens.map(|tokens| decl.tokens.map_or(tokens, |(tokens, _)| tokens));
    Queue { policy, packets: decl.packets.unwrap_or(packets), tokens }
}

type Side3<'a> = (&'a Node<'a>, &'a PortSpec, &'a PortType);

fn mismatch(
    nodes: &[Node<'_>],
    (source, output, made): Side3<'_>,
    (target, input, taken): Side3<'_>,
    decl: &EdgeDecl,
) -> Diagnostic {
    let from = format!("{}.{}", source.name, output.name);
    let to = format!("{}.{}", target.name, input.name);
    if let (PortType::Embeddings { width: a, .. }, PortType::Embeddings { width: b, .. }) = (made, taken)
        && a != b
    {
        let message = format!("\"{from}\" makes rows {a} wide, but \"{to}\" takes rows {b} wide");
        let diagnostic = Diagnostic::error(Code::WidthMismatch, message)
            .label(decl.from.span, format!("makes {made}"))
            .label(decl.to.span, format!("takes {taken}"));
        let labels = width_label(source, output).into_iter().chain(width_label(target, input));
        return labels
            .fold(diagnostic, |diagnostic, (span, text)| diagnostic.label(span, text))
            .help("the two models do not belong together");
    }
    let find = |side: Side, but: &Node<'_>, fits: &dyn Fn(&PortType) -> bool| -> Vec<String> {
        nodes
            .iter()
            .filter(|node| node.name != but.name)
            .flat_map(|node| side.ports(node).iter().map(move |port| (node, port)))
            .filter(|(node, port)| fits(&resolved(node, port)))
            .map(|(node, port)| format!("{}.{}", node.name, port.name))
            .collect()
    };
    let takers = find(Side::Input, source, &|input| made.fits(input));
    let makers = find(Side::Output, target, &|output| output.fits(taken));
    let shown =
        |what: String, ports: &[String]| suggest::listing(&ports.iter().map(String::as_str).collect::<Vec<_>>(), &what);
    Diagnostic::error(Code::TypeMismatch, format!("\"{from}\" makes {made}, but \"{to}\" takes {taken}"))
        .label(decl.from.span, format!("makes {made}"))
        .label(decl.to.span, format!("takes {taken}"))
        .maybe_help(shown(format!("inputs of this graph that take {}", made.name()), &takers))
        .maybe_help(shown(format!("outputs of this graph that make {}", taken.name()), &makers))
}
