//! Where each node may run on this machine.
use crate::{
    AcceleratorName, Code, Diagnostic, Machine, NodeSpec, Placement, Severity,
    check::{flatten::Flat, nodes::Node},
    document::PlacementDecl,
    findings::Findings,
    suggest,
    tree::Word,
};

/// Classes that some machine has, even if this one does not.
const CLASSES: [&str; 3] = ["cpu", "gpu", "npu"];

type Place = (Placement, Vec<AcceleratorName>);

pub(crate) fn resolve(flat: &Flat, nodes: &[Node<'_>], machine: &Machine, findings: &mut Findings) -> Vec<Place> {
    Flat::report_strangers("placement", &flat.placement, nodes, findings);
    Flat::report_strangers("--place", &flat.placed, nodes, findings);
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
    fn can_run(&self, name: &AcceleratorName) -> bool {
        self.spec.runs_on.iter().any(|class| class == name.class())
    }

    /// The accelerators that a name stands for: the one of that name, else all of that class.
    fn named(&self, name: &str) -> Vec<AcceleratorName> {
        let here = &self.machine.accelerators;
        match here.iter().find(|accelerator| accelerator.as_str() == name) {
            Some(exact) => vec![exact.clone()],
            None => here.iter().filter(|accelerator| accelerator.class() == name).cloned().collect(),
        }
    }

    fn here(&self) -> String {
        let names: Vec<&str> = self.machine.accelerators.iter().map(AcceleratorName::as_str).collect();
        suggest::listing(&names, "this machine has").unwrap_or_else(|| "this machine has no accelerators".to_owned())
    }

    fn runs_on(&self) -> String {
        format!("{} runs on {}", self.spec.kind, self.spec.runs_on.join(" or "))
    }

    fn auto(&self, findings: &mut Findings) -> Place {
        let candidates: Vec<_> =
            self.machine.accelerators.iter().filter(|accelerator| self.can_run(accelerator)).cloned().collect();
        if candidates.is_empty() {
            findings.push(
                Diagnostic::new(
                    Code::CannotRun,
                    Severity::MissingDevice,
                    format!("no accelerator of this machine can run {}", self.node.title()),
                )
                .label(self.node.kind.span, self.runs_on())
                .help(self.here())
                .subject(self.spec.runs_on.join(",")),
            );
        }
        (Placement::Auto, candidates)
    }

    /// Reports a name that means nothing on any machine.
    fn unknown(&self, word: &Word, findings: &mut Findings) -> bool {
        let class = word.text.split(':').next().unwrap_or_default();
        let number = word.text.split_once(':').is_none_or(|(_, number)| number.parse::<u32>().is_ok());
        let known = CLASSES.contains(&class) || self.machine.accelerators.iter().any(|other| other.class() == class);
        if known && number {
            return false;
        }
        let here = self.machine.accelerators.iter().map(AcceleratorName::as_str);
        let near = suggest::nearest(&word.text, here.chain(CLASSES));
        findings.push(
            Diagnostic::error(Code::UnknownAccelerator, format!("\"{}\" is no accelerator", word.text))
                .label(word.span, "unknown accelerator")
                .maybe_help(near.map(|near| format!("did you mean \"{near}\"?")))
                .help(self.here()),
        );
        true
    }

    fn pin(&self, word: &Word, findings: &mut Findings) -> Place {
        let nowhere = (Placement::Auto, Vec::new());
        if self.unknown(word, findings) {
            return nowhere;
        }
        let named = self.named(&word.text);
        let title = self.node.title();
        let class = AcceleratorName::new(word.text.as_str());
        if !self.can_run(&class) {
            findings.push(
                Diagnostic::error(Code::CannotRun, format!("{title} cannot run on {}", word.text))
                    .label(word.span, "pinned here")
                    .label(self.node.kind.span, self.runs_on())
                    .help(self.here()),
            );
            return nowhere;
        }
        let Some(first) = named.first() else {
            findings.push(
                Diagnostic::new(
                    Code::MissingAccelerator,
                    Severity::MissingDevice,
                    format!("{title} is pinned to {}, which this machine does not have", word.text),
                )
                .label(word.span, "not on this machine")
                .help(self.here())
                .help(format!("Prefer([\"{}\", \"cpu\"]) would allow falling back", word.text))
                .subject(word.text.as_str()),
            );
            return nowhere;
        };
        (Placement::Pin(first.clone()), named)
    }

    fn prefer(&self, words: &[Word], span: crate::Span, findings: &mut Findings) -> Place {
        let mut unknown = false;
        for word in words {
            unknown |= self.unknown(word, findings);
        }
        let mut candidates: Vec<AcceleratorName> = Vec::new();
        for accelerator in words.iter().flat_map(|word| self.named(&word.text)) {
            if self.can_run(&accelerator) && !candidates.contains(&accelerator) {
                candidates.push(accelerator);
            }
        }
        if candidates.is_empty() && !unknown {
            let runnable = words.iter().any(|word| self.can_run(&AcceleratorName::new(word.text.as_str())));
            let severity = if runnable { Severity::MissingDevice } else { Severity::Error };
            findings.push(
                Diagnostic::new(
                    Code::CannotRun,
                    severity,
                    format!("none of the accelerators allowed for {} can run it on this machine", self.node.title()),
                )
                .label(span, "allowed")
                .label(self.node.kind.span, self.runs_on())
                .help(self.here())
                .subject(self.spec.runs_on.join(",")),
            );
        }
        (Placement::Prefer(candidates.clone()), candidates)
    }
}
