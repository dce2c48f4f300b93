//! Memory at worst against what the machine allows.
use crate::{
    Code, Diagnostic, FieldValue, Machine, MemoryEstimate, MemoryNeed, MemoryShare, PortType, Span, Width,
    check::{edges::Edges, nodes::Node},
    findings::Findings,
    units,
};

/// Shares that a message lists.
const LISTED: usize = 6;

pub(crate) fn check(nodes: &[Node<'_>], edges: &Edges, machine: &Machine, findings: &mut Findings) -> MemoryEstimate {
    let mut shares: Vec<(MemoryShare, Span)> = Vec::new();
    let mut add = |owner: String, what: String, bytes: u64, span: Span| {
        if bytes > 0 {
            shares.push((MemoryShare { owner, what, bytes }, span));
        }
    };
    let mut loaded: Vec<&str> = Vec::new();
    for node in nodes {
        match node.spec.map(|spec| &spec.memory) {
            Some(MemoryNeed::Fixed(bytes)) => add(node.name.clone(), "its work".to_owned(), *bytes, node.kind.span),
            Some(MemoryNeed::Model { field, context }) => {
                let Some(facts) = node.models.get(field) else { continue };
                // Nodes with one model share its weights.
                if !loaded.contains(&facts.reference.as_str()) {
                    loaded.push(&facts.reference);
                    let span = node.values.get(field).and_then(|value| value.span).unwrap_or(node.kind.span);
                    let what = format!("weights of {}", facts.reference);
                    add(node.name.clone(), what, facts.weight_bytes, span);
                }
                let context = context.as_ref().and_then(|context| node.values.get(context));
                if let Some((FieldValue::Integer(tokens), span)) = context.map(|value| (&value.value, value.span)) {
                    let tokens = u64::try_from(*tokens).unwrap_or(0);
                    let bytes = tokens.saturating_mul(facts.kv_bytes_per_token);
                    let what = format!("KV cache of {tokens} tokens");
                    add(node.name.clone(), what, bytes, span.unwrap_or(node.kind.span));
                }
            }
            None => {}
        }
        let cache = node.spec.and_then(|spec| spec.cache.as_ref()).and_then(|field| node.values.get(field));
        if let Some((FieldValue::Bytes(bytes), span)) = cache.map(|value| (&value.value, value.span)) {
            add(node.name.clone(), "its cache".to_owned(), *bytes, span.unwrap_or(node.kind.span));
        }
    }
    for edge in &edges.sound {
        if let (PortType::Embeddings { width: Width::Fixed(width), element }, Some(tokens)) =
            (&edge.ty, edge.queue.tokens)
        {
            let bytes = tokens.saturating_mul(u64::from(*width)).saturating_mul(element.bytes());
            let owner = format!(
                "{}.{} -> {}.{}",
                nodes[edge.from.node].name, edge.ports.0, nodes[edge.to.node].name, edge.ports.1
            );
            add(owner, format!("{tokens} rows in flight"), bytes, edge.from.span);
        }
    }
    shares.sort_by_key(|(share, _)| std::cmp::Reverse(share.bytes));
    let total = shares.iter().fold(0u64, |sum, (share, _)| sum.saturating_add(share.bytes));
    if let Some(budget) = machine.memory.filter(|budget| total > *budget) {
        findings.push(describe(&shares, total, budget));
    }
    MemoryEstimate { shares: shares.into_iter().map(|(share, _)| share).collect(), total }
}

fn describe(shares: &[(MemoryShare, Span)], total: u64, budget: u64) -> Diagnostic {
    let show = units::show_bytes;
    let message = format!("the graph needs {} at worst, but may use {}", show(total), show(budget));
    let mut diagnostic = Diagnostic::error(Code::Memory, message);
    let mut sum = Vec::new();
    for (share, span) in shares.iter().take(LISTED) {
        diagnostic = diagnostic.label(*span, format!("{} for {}", show(share.bytes), share.what));
        sum.push(format!("{:>10}  {}: {}", show(share.bytes), share.owner, share.what));
    }
    if shares.len() > LISTED {
        let rest = shares[LISTED..].iter().map(|(share, _)| share.bytes).sum();
        sum.push(format!("{:>10}  {} more", show(rest), shares.len() - LISTED));
    }
    sum.push(format!("{:>10}  together, {} too much", show(total), show(total - budget)));
    diagnostic.help(sum.join("\n"))
}
