//! A sub-graph as written: `Include(file: "voice.ron", as: "voice", params: {…})`.
use crate::{
    Code, Diagnostic,
    findings::Findings,
    names,
    source::Span,
    suggest,
    tree::{Body, Origin, Shape, Tree, Word},
};

const SHAPE: &str = "an include is Include(file: \"voice.ron\", as: \"voice\", params: { \"device\": \"hw:1\" })";

/// A sub-graph as written.
#[derive(Debug)]
pub(crate) struct IncludeDecl {
    pub(crate) file: Word,
    /// The parameter that chooses among files beside each other, as in `file: "sources/${source}.ron"`.
    pub(crate) chosen_by: Option<Origin>,
    /// The name that its nodes get in front: `voice` makes `voice.mic`.
    pub(crate) alias: Word,
    pub(crate) params: Vec<(Word, Tree)>,
    pub(crate) span: Span,
}

pub(super) fn read(tree: &Tree, findings: &mut Findings) -> Option<IncludeDecl> {
    let fields = match &tree.shape {
        Shape::Named(word, Body::Fields(fields)) if word.text == "Include" => fields,
        _ => {
            let found = tree.describe();
            findings
                .push(Diagnostic::error(Code::Include, format!("an include is {found}")).at(tree, "here").help(SHAPE));
            return None;
        }
    };
    let (mut file, mut alias, mut chosen_by, mut params) = (None, None, None, Vec::new());
    let mut seen: Vec<&Word> = Vec::new();
    let mut misspelt = false;
    for (name, value) in fields {
        if let Some(earlier) = seen.iter().find(|earlier| earlier.text == name.text) {
            findings.push(super::sections::twice("Include field", name, earlier.span));
            continue;
        }
        seen.push(name);
        match name.text.as_str() {
            "file" | "as" => match &value.shape {
                Shape::Text(text) | Shape::Untyped(text) => {
                    let slot = if name.text == "file" {
                        chosen_by = value.origin.clone();
                        &mut file
                    } else {
                        &mut alias
                    };
                    *slot = Some(Word { text: text.clone(), span: value.span });
                }
                _ => findings.push(Diagnostic::wrong_type(&format!("`{}`", name.text), value, "a text in quotes")),
            },
            "params" => params = super::sections::entries("params", value, findings),
            other => {
                misspelt = true;
                findings.push(
                    Diagnostic::error(Code::UnknownSection, format!("Include has no field `{other}`"))
                        .label(name.span, "unknown field")
                        .maybe_help(suggest::help(other, ["file", "as", "params"], "fields", false)),
                );
            }
        }
    }
    let missing = |field: &str| {
        Diagnostic::error(Code::MissingField, format!("an include without `{field}`"))
            .label(tree.span, format!("`{field}` is missing"))
            .help(SHAPE)
    };
    if file.is_none() && !misspelt && !seen.iter().any(|name| name.text == "file") {
        findings.push(missing("file"));
    }
    if alias.is_none() && !misspelt && !seen.iter().any(|name| name.text == "as") {
        findings.push(missing("as"));
    }
    let (file, alias) = (file?, alias?);
    if !names::is_node_name(&alias.text) {
        findings.push(
            Diagnostic::error(Code::BadName, format!("{:?} is no name for an include", alias.text))
                .label(alias.span, "letters, digits, _ and -, starting with a letter"),
        );
        return None;
    }
    Some(IncludeDecl { file, chosen_by, alias, params, span: tree.span })
}
