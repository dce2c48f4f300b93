//! Where each node may run on this machine.
use nanomind_hal::{AcceleratorId, AcceleratorKind, Phase};

use crate::{
    Code, Diagnostic, Machine, NodeSpec, Placement, Severity,
    check::{flatten::Flat, nodes::Node},
    document::PlacementDecl,
    findings::Findings,
    suggest,
    tree::Word,
};

type Place = (Placement, Vec<AcceleratorId>);

pub(crate) fn resolve(flat: &Flat, nodes: &[Node<'_>], machine: &Machine, findings: &mut Findings) -> Vec<Place> {
    flat.report_strangers("placement", &flat.placement, nodes, findings);
    flat.report_strangers("--place", &flat.placed, nodes, findings);
    nodes
        .iter()
        .map(|node| {
            // The last --place wins over everything that the files say.
            let placed = flat.placed.iter().rev().find(|entry| entry.key.text == node.name);
            let said = placed.or_else(|| Flat::applying(&flat.placement, &node.name));
            let Some(spec) = node.spec else { return (Placement::Auto, Vec::new()) };
            if spec.runs_on.is_empty() {
                if let Some(entry) = said.filter(|entry| entry.key.text != "*")
                    && !matches!(entry.value, PlacementDecl::Auto)
                {
                    findings.push(
                        Diagnostic::warning(
                            Code::NoPlacement,
                            format!("{} computes on no accelerator, so its placement has no effect", node.title()),
                        )
                        .label(entry.key.span, "no effect"),
                    );
                }
                return (Placement::Auto, Vec::new());
            }
            let placer = Placer { node, spec, machine };
            match said.map(|entry| &entry.value) {
                None | Some(PlacementDecl::Auto) => placer.auto(findings),
                Some(PlacementDecl::Pin(word)) => placer.pin(word, findings),
                Some(PlacementDecl::Prefer(words, span)) => placer.prefer(words, *span, findings),
            }
        })
        .collect()
}

struct Placer<'a> {
    node: &'a Node<'a>,
    spec: &'a NodeSpec,
    machine: &'a Machine,
}

impl Placer<'_> {
    fn can_run(&self, accelerator: AcceleratorId) -> bool {
        self.knows(accelerator) && self.lacks(accelerator).is_empty()
    }

    /// Whether the node can run on accelerators of this kind.
    fn knows(&self, accelerator: AcceleratorId) -> bool {
        self.spec.runs_on.contains(&accelerator.kind())
    }

    /// What the node does that this accelerator of this machine does not.
    fn lacks(&self, accelerator: AcceleratorId) -> Vec<Phase> {
        self.spec.phases.iter().copied().filter(|phase| !self.machine.does(accelerator, *phase)).collect()
    }

    /// What is missing here: `npu does not prefill or decode`, for each of `accelerators` that would run the node if it did.
    fn lacking(&self, accelerators: &[AcceleratorId]) -> Vec<String> {
        let known = accelerators.iter().filter(|id| self.knows(**id));
        let said = known.map(|id| (id, self.lacks(*id))).filter(|(_, lacks)| !lacks.is_empty());
        said.map(|(id, lacks)| {
            let lacks: Vec<&str> = lacks.iter().map(|phase| phase.name()).collect();
            format!("{id} of this machine does not {}", lacks.join(" or "))
        })
        .collect()
    }

    /// The accelerators of this machine that a name stands for: the one of that name, else all parts of that kind.
    fn named(&self, id: AcceleratorId) -> Vec<AcceleratorId> {
        let here = &self.machine.accelerators;
        if here.contains(&id) {
            return vec![id];
        }
        let whole = id == AcceleratorId::whole(id.kind());
        here.iter().copied().filter(|other| whole && other.kind() == id.kind()).collect()
    }

    fn names_here(&self) -> Vec<String> {
        self.machine.accelerators.iter().map(AcceleratorId::to_string).collect()
    }

    fn here(&self) -> String {
        let names = self.names_here();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        suggest::listing(&names, "this machine has").unwrap_or_else(|| "this machine has no accelerators".to_owned())
    }

    fn kinds(&self, joiner: &str) -> String {
        self.spec.runs_on.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(joiner)
    }

    fn runs_on(&self) -> String {
        format!("{} runs on {}", self.spec.kind, self.kinds(" or "))
    }

    fn auto(&self, findings: &mut Findings) -> Place {
        let candidates: Vec<_> = self.machine.accelerators.iter().copied().filter(|id| self.can_run(*id)).collect();
        if candidates.is_empty() {
            findings.push(
                Diagnostic::new(
                    Code::CannotRun,
                    Severity::MissingDevice,
                    format!("no accelerator of this machine can run {}", self.node.title()),
                )
                .label(self.node.kind.span, self.runs_on())
                .helps(self.lacking(&self.machine.accelerators))
                .help(self.here())
                .subject(self.kinds(",")),
            );
        }
        (Placement::Auto, candidates)
    }

    /// The accelerator that a word names; a name that means nothing on any machine is reported.
    fn read(&self, word: &Word, findings: &mut Findings) -> Option<AcceleratorId> {
        if let Ok(id) = word.text.parse() {
            return Some(id);
        }
        let here = self.names_here();
        let kinds = AcceleratorKind::ALL.map(AcceleratorKind::name);
        let near = suggest::nearest(&word.text, here.iter().map(String::as_str).chain(kinds));
        findings.push(
            Diagnostic::error(Code::UnknownAccelerator, format!("\"{}\" is no accelerator", word.text))
                .label(word.span, "unknown accelerator")
                .maybe_help(near.map(|near| format!("did you mean \"{near}\"?")))
                .help(self.here()),
        );
        None
    }

    fn pin(&self, word: &Word, findings: &mut Findings) -> Place {
        let nowhere = (Placement::Auto, Vec::new());
        let Some(id) = self.read(word, findings) else { return nowhere };
        let title = self.node.title();
        if !self.knows(id) {
            findings.push(
                Diagnostic::error(Code::CannotRun, format!("{title} cannot run on {id}"))
                    .label(word.span, "pinned here")
                    .label(self.node.kind.span, self.runs_on())
                    .help(self.here()),
            );
            return nowhere;
        }
        let named = self.named(id);
        let Some(first) = named.first() else {
            findings.push(
                Diagnostic::new(
                    Code::MissingAccelerator,
                    Severity::MissingDevice,
                    format!("{title} is pinned to {id}, which this machine does not have"),
                )
                .label(word.span, "not on this machine")
                .help(self.here())
                .help(format!("Prefer([\"{id}\", \"cpu\"]) would allow falling back"))
                .subject(id.to_string()),
            );
            return (Placement::Pin(id), Vec::new());
        };
        let able: Vec<AcceleratorId> = named.iter().copied().filter(|id| self.can_run(*id)).collect();
        match able.first() {
            Some(first) => (Placement::Pin(*first), able),
            None => {
                let lacking = self.lacking(&named);
                findings.push(self.unable(word, *first, lacking));
                (Placement::Pin(*first), Vec::new())
            }
        }
    }

    /// A node is pinned to what this machine has, but here that does not do all that the node does.
    fn unable(&self, word: &Word, id: AcceleratorId, lacking: Vec<String>) -> Diagnostic {
        let able = self.machine.accelerators.iter().filter(|id| self.can_run(**id));
        let able: Vec<String> = able.map(AcceleratorId::to_string).collect();
        let able: Vec<&str> = able.iter().map(String::as_str).collect();
        Diagnostic::new(
            Code::CannotRun,
            Severity::MissingDevice,
            format!("{} cannot run on the {id} of this machine", self.node.title()),
        )
        .label(word.span, "pinned here")
        .helps(lacking)
        .maybe_help(suggest::listing(&able, "it can run on"))
        .subject(id.to_string())
    }

    fn prefer(&self, words: &[Word], span: crate::Span, findings: &mut Findings) -> Place {
        let ids: Vec<Option<AcceleratorId>> = words.iter().map(|word| self.read(word, findings)).collect();
        let known: Vec<AcceleratorId> = ids.iter().copied().flatten().collect();
        let mut candidates: Vec<AcceleratorId> = Vec::new();
        for accelerator in known.iter().flat_map(|id| self.named(*id)) {
            if self.can_run(accelerator) && !candidates.contains(&accelerator) {
                candidates.push(accelerator);
            }
        }
        if candidates.is_empty() && known.len() == ids.len() {
            let runnable = known.iter().any(|id| self.knows(*id));
            let named: Vec<AcceleratorId> = known.iter().flat_map(|id| self.named(*id)).collect();
            let severity = if runnable { Severity::MissingDevice } else { Severity::Error };
            findings.push(
                Diagnostic::new(
                    Code::CannotRun,
                    severity,
                    format!("none of the accelerators allowed for {} can run it on this machine", self.node.title()),
                )
                .label(span, "allowed")
                .label(self.node.kind.span, self.runs_on())
                .helps(self.lacking(&named))
                .help(self.here())
                .subject(self.kinds(",")),
            );
            return (Placement::Prefer(known), candidates);
        }
        (Placement::Prefer(candidates.clone()), candidates)
    }
}
