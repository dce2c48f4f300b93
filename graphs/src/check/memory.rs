//! Memory at worst against what the machine allows.
use crate::{
    Code, Diagnostic, FieldValue, Machine, MemoryEstimate, MemoryNeed, MemoryShare, ModelWidth, PortType, Span, Width,
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
            Some(MemoryNeed::Model { field, context, sequences, kv_format }) => {
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
                    let caches = sequences.as_ref().and_then(|field| integer(node, field)).unwrap_or(1);
                    // A format that the model does not take is reported with the model.
                    let format = kv_format.as_ref().and_then(|format| super::models::kv_format(node, format));
                    let position_bytes = facts.kv_bytes(format).unwrap_or(0);
                    let bytes = tokens.saturating_mul(position_bytes).saturating_mul(caches);
                    let what = match caches {
                        1 => format!("KV cache of {tokens} tokens"),
                        _ => format!("{caches} KV caches of {tokens} tokens"),
                    };
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
    for (index, node) in nodes.iter().enumerate() {
        for (port, output) in node.outputs().iter().enumerate() {
            let Some(slots) = Slots::of(nodes, edges, index, port) else { continue };
            let owner = format!("{}.{}", node.name, output.name);
            add(owner, format!("{} slots of {} rows", slots.count, slots.rows), slots.bytes, node.kind.span);
            add(node.name.clone(), "its work".to_owned(), slots.work_bytes, node.kind.span);
        }
    }
    for edge in edges.sound.iter().filter(|edge| Slots::of(nodes, edges, edge.from.node, edge.from.port).is_none()) {
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

/// The slots of an output whose rows are a model's, all made before the first packet.
struct Slots {
    count: u64,
    rows: u64,
    bytes: u64,
    /// What the maker computes in.
    work_bytes: u64,
}

impl Slots {
    /// A slot for each packet that the output's edges and their consumers hold, and one in the maker's hand. `None` where
    /// the model does not say how many rows it makes at once, or nobody listens.
    fn of(nodes: &[Node<'_>], edges: &Edges, node: usize, port: usize) -> Option<Slots> {
        let (maker, output) = (&nodes[node], nodes[node].outputs().get(port)?);
        let PortType::Embeddings { width: Width::OfModel { field, which }, element } = &output.ty else { return None };
        let facts = maker.models.get(field)?;
        let set = output.rows.as_ref().and_then(|rows| integer(maker, rows));
        let (rows, width) = (set.or(facts.rows(*which))?, u64::from(facts.width(*which)?));
        let leaving = edges.sound.iter().filter(|edge| (edge.from.node, edge.from.port) == (node, port));
        let waiting = leaving.map(|edge| {
            let consumer = &nodes[edge.to.node];
            let keeps = consumer.inputs().get(edge.to.port).and_then(|input| input.keeps.as_ref());
            let held = keeps.and_then(|field| integer(consumer, field)).unwrap_or(0);
            // While it holds some, a request brings as many more.
            u64::from(edge.queue.packets).saturating_add(held).saturating_add(held.max(1))
        });
        let count = waiting.fold(0, u64::saturating_add);
        let count = (count > 0).then_some(count)?.saturating_add(1);
        let bytes = count.saturating_mul(rows).saturating_mul(width).saturating_mul(element.bytes());
        let work_bytes = if *which == ModelWidth::Encoder { facts.encoder_work_bytes } else { 0 };
        Some(Slots { count, rows, bytes, work_bytes })
    }
}

/// The value of an integer field that is set and not negative.
fn integer(node: &Node<'_>, field: &str) -> Option<u64> {
    match node.values.get(field).map(|value| &value.value) {
        Some(FieldValue::Integer(value)) => u64::try_from(*value).ok(),
        _ => None,
    }
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
