//! Each node against the specification of its kind.
use indexmap::IndexMap;

use crate::{
    Code, Demand, Diagnostic, FieldSpec, FieldValue, ModelFacts, NodeSpec, PortSpec, Presence, Registry, Span,
    document::NodeDecl,
    findings::Findings,
    suggest,
    tree::{Origin, Shape, Tree, Word},
    values,
};

/// A value with where it was set; `None`: by default.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) value: FieldValue,
    pub(crate) span: Option<Span>,
    /// The parameter that it came through.
    pub(crate) origin: Option<Origin>,
}

/// A node and what is known of it.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    /// With its scope: `voice.mic`.
    pub(crate) name: String,
    pub(crate) declared: Span,
    pub(crate) kind: Word,
    /// `None`: the kind is unknown, which has been reported.
    pub(crate) spec: Option<&'a NodeSpec>,
    pub(crate) values: IndexMap<String, Value>,
    pub(crate) models: IndexMap<String, ModelFacts>,
}

impl Node<'_> {
    /// `node "eye" (VisionEncoder)`.
    pub(crate) fn title(&self) -> String {
        format!("node \"{}\" ({})", self.name, self.kind.text)
    }

    pub(crate) fn inputs(&self) -> &[PortSpec] {
        self.spec.map_or(&[], |spec| &spec.inputs)
    }

    pub(crate) fn outputs(&self) -> &[PortSpec] {
        self.spec.map_or(&[], |spec| &spec.outputs)
    }
}

pub(crate) fn resolve<'a>(
    declared: Vec<(String, NodeDecl)>,
    registry: &'a Registry,
    findings: &mut Findings,
) -> Vec<Node<'a>> {
    declared
        .into_iter()
        .map(|(scope, decl)| {
            let spec = registry.get(&decl.kind.text);
            let mut node = Node {
                name: format!("{scope}{}", decl.name.text),
                declared: decl.name.span,
                kind: decl.kind.clone(),
                spec,
                values: IndexMap::new(),
                models: IndexMap::new(),
            };
            match spec {
                Some(spec) => fields(&mut node, spec, &decl, findings),
                None => findings.push(
                    Diagnostic::error(Code::UnknownKind, format!("there is no node kind {}", decl.kind.text))
                        .label(decl.kind.span, "unknown kind")
                        .maybe_help(suggest::help(
                            &decl.kind.text,
                            registry.iter().map(|spec| spec.kind.as_str()),
                            "kinds",
                            false,
                        )),
                ),
            }
            node
        })
        .collect()
}

fn fields(node: &mut Node<'_>, spec: &NodeSpec, decl: &NodeDecl, findings: &mut Findings) {
    let owner = node.title();
    let mut seen: Vec<&Word> = Vec::new();
    let mut misspelt: Vec<&str> = Vec::new();
    for (name, tree) in &decl.fields {
        if let Some(earlier) = seen.iter().find(|earlier| earlier.text == name.text) {
            findings.push(
                Diagnostic::error(Code::Duplicate, format!("`{}` of {owner} is set twice", name.text))
                    .label(name.span, "again here")
                    .label(earlier.span, "first here"),
            );
            continue;
        }
        seen.push(name);
        let Some(field) = spec.find_field(&name.text) else {
            misspelt.extend(suggest::nearest(&name.text, spec.fields.iter().map(|field| field.name.as_str())));
            findings.push(unknown_field(&node.name, spec, &owner, name));
            continue;
        };
        if tree.shape == Shape::Nothing && field.presence != Presence::Required {
            continue;
        }
        match values::read(&owner, field, tree) {
            Ok(value) => {
                node.values
                    .insert(field.name.clone(), Value { value, span: Some(tree.span), origin: tree.origin.clone() });
            }
            Err(diagnostic) => findings.push(*diagnostic),
        }
    }
    if let Some(value) = &decl.nameless {
        let field = spec.fields.first().map_or("field", |field| field.name.as_str());
        let written = scalar_text(value);
        findings.push(
            Diagnostic::error(Code::WrongType, format!("the fields of {owner} have no names"))
                .at(value, "which field is this?")
                .maybe_help(spec.fields.first().map(|_| format!("write {}({field}: {written})", spec.kind))),
        );
    }
    for field in &spec.fields {
        match &field.presence {
            // A misspelt field is one mistake, not two.
            Presence::Required
                if decl.nameless.is_none()
                    && !seen.iter().any(|name| name.text == field.name)
                    && !misspelt.contains(&field.name.as_str()) =>
            {
                findings.push(missing_field(field, &owner, &decl.kind));
            }
            Presence::Default(value) if !node.values.contains_key(&field.name) => {
                node.values.insert(field.name.clone(), Value { value: value.clone(), span: None, origin: None });
            }
            _ => {}
        }
    }
    spec.demands.iter().filter_map(|demand| contradiction(node, demand)).for_each(|found| findings.push(found));
    // In the order of the specification, whatever the order of the graph.
    let order = |name: &String| spec.fields.iter().position(|field| field.name == *name);
    node.values.sort_by(|a, _, b, _| order(a).cmp(&order(b)));
}

fn scalar_text(value: &Tree) -> String {
    match &value.shape {
        Shape::Text(text) => format!("{text:?}"),
        Shape::Integer(number) => number.to_string(),
        _ => "..".to_owned(),
    }
}

fn unknown_field(node: &str, spec: &NodeSpec, owner: &str, name: &Word) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::UnknownField, format!("{owner} has no field `{}`", name.text))
        .label(name.span, "unknown field");
    let is_port = spec.find_input(&name.text).is_some();
    if is_port {
        return diagnostic.help(format!(
            "`{0}` is an input of {1}: connect it in edges, (\"..\", \"{node}.{0}\")",
            name.text, spec.kind
        ));
    }
    let names = spec.fields.iter().map(|field| field.name.as_str());
    match suggest::help(&name.text, names, "fields", false) {
        Some(help) => diagnostic.help(help),
        None => diagnostic.help(format!("{} takes no fields", spec.kind)),
    }
}

/// What is wrong where a field is so large that another one should have another value.
fn contradiction(node: &Node<'_>, demand: &Demand) -> Option<Diagnostic> {
    let Demand { field, above, other, value, reason } = demand;
    let (large, contrary) = (node.values.get(field)?, node.values.get(other)?);
    let (FieldValue::Integer(number), FieldValue::Bool(found)) = (&large.value, &contrary.value) else { return None };
    if number <= above || found == value {
        return None;
    }
    let message = format!("`{field}: {number}` of {} needs `{other}: {value}`", node.title());
    let diagnostic = Diagnostic::error(Code::Contradiction, message)
        .label(large.span.unwrap_or(node.kind.span), format!("more than {above}"));
    let diagnostic = match contrary.span {
        Some(span) => diagnostic.label(span, format!("expected {value}")),
        None => diagnostic,
    };
    Some(diagnostic.help(reason.clone()))
}

fn missing_field(field: &FieldSpec, owner: &str, kind: &Word) -> Diagnostic {
    Diagnostic::error(Code::MissingField, format!("{owner} needs `{}`", field.name))
        .label(kind.span, format!("`{}` is missing", field.name))
        .help(format!("{}: {} ({})", field.name, field.ty.expectation(field.unit.as_deref()), field.doc))
}
