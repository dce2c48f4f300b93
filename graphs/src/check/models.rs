//! The models that the nodes name: whether they are here, and what their files say.
use indexmap::IndexMap;

use crate::{
    Code, Diagnostic, FieldValue, MemoryNeed, ModelCatalogue, ModelFacts, ModelProblem, PortType, Severity, Span,
    Width, check::nodes::Node, findings::Findings, suggest, tree::Origin, units,
};

/// A place that names a model, and the parameter that the name came through.
type Mention = (Span, Option<Origin>);

pub(crate) fn find(nodes: &mut [Node<'_>], catalogue: &dyn ModelCatalogue, findings: &mut Findings) {
    // Each model is asked for once and its problem reported once, with every place that names it.
    let mut asked: IndexMap<String, (Result<ModelFacts, ModelProblem>, Vec<Mention>)> = IndexMap::new();
    for node in &mut *nodes {
        let mut found = IndexMap::new();
        for (field, value) in &node.values {
            let FieldValue::Model(reference) = &value.value else { continue };
            let entry = asked.entry(reference.clone());
            let (answer, places) = entry.or_insert_with(|| (catalogue.facts(reference), Vec::new()));
            places.push((value.span.unwrap_or(node.kind.span), value.origin.clone()));
            if let Ok(facts) = answer {
                found.insert(field.clone(), facts.clone());
            }
        }
        node.models = found;
    }
    for (reference, (answer, places)) in &asked {
        if let Err(problem) = answer {
            findings.push(describe(reference, problem, places));
        }
    }
    for node in nodes {
        missing_widths(node, findings);
        long_context(node, findings);
        unfit_cache(node, findings);
    }
}

fn describe(reference: &str, problem: &ModelProblem, places: &[Mention]) -> Diagnostic {
    let diagnostic = match problem {
        ModelProblem::NotPresent { how_to_get, bytes } => {
            let size = bytes.map(|bytes| format!(" ({} to download)", units::show_bytes(bytes))).unwrap_or_default();
            Diagnostic::new(
                Code::MissingModel,
                Severity::MissingModel,
                format!("model \"{reference}\" is not on this machine yet"),
            )
            .help(format!("get it with: {how_to_get}{size}"))
        }
        ModelProblem::Unknown { known } => Diagnostic::error(
            Code::UnknownModel,
            format!("model \"{reference}\" is neither in the catalogue nor a file"),
        )
        .maybe_help(suggest::help(reference, known.iter().map(String::as_str), "models", true)),
        ModelProblem::OnlyAShape { is_known: true, .. } => Diagnostic::error(
            Code::BadModel,
            format!("model \"{reference}\" has no weights: it is the shape of a model, which can be simulated, not run"),
        )
        .help("name a model that `nanomind list` has, or a GGUF file; or run it as: nanomind simulate GRAPH --device rk3566"),
        ModelProblem::OnlyAShape { known, .. } => {
            Diagnostic::error(Code::UnknownModel, format!("no model is known whose shape is \"{reference}\""))
                .maybe_help(suggest::help(reference, known.iter().map(String::as_str), "shapes", true))
        }
        ModelProblem::Unreadable { path, reason } => {
            Diagnostic::error(Code::BadModel, format!("model \"{reference}\" cannot be used: {reason}"))
                .help(format!("its file is {}", path.display()))
        }
    };
    let mut labelled = diagnostic;
    for (index, (place, _)) in places.iter().enumerate() {
        labelled = labelled.label(*place, if index == 0 { "named here" } else { "and here" });
    }
    let mut shown: Vec<Span> = Vec::new();
    for origin in places.iter().filter_map(|(_, origin)| origin.as_ref()) {
        if !shown.contains(&origin.span) {
            shown.push(origin.span);
            labelled = labelled.label(origin.span, format!("value of parameter `{}`", origin.param));
        }
    }
    labelled.subject(reference)
}

/// A port whose width the model's file does not have: the wrong sort of model.
fn missing_widths(node: &Node<'_>, findings: &mut Findings) {
    let mut reported: Vec<&str> = Vec::new();
    for port in node.inputs().iter().chain(node.outputs()) {
        let PortType::Embeddings { width: Width::OfModel { field, which }, .. } = &port.ty else { continue };
        let Some(facts) = node.models.get(field).filter(|facts| facts.width(*which).is_none()) else { continue };
        if reported.contains(&field.as_str()) {
            continue;
        }
        reported.push(field);
        let span = node.values.get(field).and_then(|value| value.span).unwrap_or(node.kind.span);
        let has: Vec<&str> = [
            (facts.embedding_width, "a language model"),
            (facts.encoder_width, "an encoder"),
            (facts.projection_width, "a projector"),
        ]
        .iter()
        .filter_map(|(width, part)| width.map(|_| *part))
        .collect();
        let has = if has.is_empty() { String::new() } else { format!("; it holds {}", has.join(" and ")) };
        findings.push(
            Diagnostic::error(
                Code::BadModel,
                format!("model \"{}\" does not fit {}: it has no {which}", facts.reference, node.title()),
            )
            .label(span, format!("architecture {}{has}", facts.architecture)),
        );
    }
}

fn long_context(node: &Node<'_>, findings: &mut Findings) {
    let Some(MemoryNeed::Model { field, context: Some(context), .. }) = node.spec.map(|spec| &spec.memory) else {
        return;
    };
    let (Some(facts), Some(value)) = (node.models.get(field), node.values.get(context)) else { return };
    if let (FieldValue::Integer(tokens), Some(trained), Some(span)) = (&value.value, facts.context_length, value.span)
        && u64::try_from(*tokens).is_ok_and(|tokens| tokens > trained)
    {
        findings.push(
            Diagnostic::warning(
                Code::LongContext,
                format!(
                    "`{context}` of {} is {tokens} tokens, but \"{}\" was trained for {trained}",
                    node.title(),
                    facts.reference
                ),
            )
            .label(span, format!("more than {trained} tokens"))
            .help("answers get worse beyond that"),
        );
    }
}

/// The format of the KV cache that the node's field says.
pub(super) fn kv_format<'a>(node: &'a Node<'_>, field: &str) -> Option<&'a str> {
    match node.values.get(field).map(|value| &value.value) {
        Some(FieldValue::Choice(format)) => Some(format),
        _ => None,
    }
}

/// A format of the KV cache that the model's heads do not fit.
fn unfit_cache(node: &Node<'_>, findings: &mut Findings) {
    let Some(MemoryNeed::Model { field, kv_format: Some(choice), .. }) = node.spec.map(|spec| &spec.memory) else {
        return;
    };
    let (Some(facts), Some(format)) = (node.models.get(field), kv_format(node, choice)) else { return };
    if facts.kv_bytes(Some(format)).is_some() {
        return;
    }
    let span = node.values.get(choice).and_then(|value| value.span).unwrap_or(node.kind.span);
    let fitting: Vec<&str> = facts.kv_bytes_by_format.keys().map(String::as_str).collect();
    findings.push(
        Diagnostic::error(
            Code::BadModel,
            format!(
                "the KV cache of \"{}\" cannot be kept in {format} (`{choice}` of {})",
                facts.reference,
                node.title()
            ),
        )
        .label(span, "its heads are no whole number of blocks of this format")
        .help(format!("this model takes {}", fitting.join(" or "))),
    );
}
