//! The mistakes found so far. Checks push and go on, so that one run reports them all.
use crate::{Code, Diagnostic, tree::Tree};

#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Diagnostic>);

impl Findings {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        // A value that is no value because its parameter does not exist has one mistake, not two.
        let place = |diagnostic: &Diagnostic| diagnostic.labels.first().map(|label| label.span);
        let follows = |earlier: &Diagnostic| {
            earlier.code == Code::UnknownParameter && place(earlier).is_some() && place(earlier) == place(&diagnostic)
        };
        if !self.0.iter().any(follows) {
            self.0.push(diagnostic);
        }
    }

    pub(crate) fn into_inner(self) -> Vec<Diagnostic> {
        self.0
    }

    /// Whether the graph itself is wrong, whatever is missing on this machine.
    pub(crate) fn any_mistake(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == crate::Severity::Error)
    }

    /// Whether anything stops the graph.
    pub(crate) fn any_error(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity != crate::Severity::Warning)
    }
}

impl Diagnostic {
    /// Points at a value and, if it came through a parameter, at the parameter's value too.
    pub(crate) fn at(self, tree: &Tree, text: impl Into<String>) -> Self {
        let pointed = self.label(tree.span, text);
        match &tree.origin {
            Some(origin) => pointed.label(origin.span, format!("value of parameter `{}`", origin.param)),
            None => pointed,
        }
    }

    /// A value that is something else than what belongs in its place.
    pub(crate) fn wrong_type(what: &str, tree: &Tree, expected: &str) -> Self {
        Self::error(Code::WrongType, format!("{what} is {}, but must be {expected}", tree.describe()))
            .at(tree, format!("expected {expected}"))
    }
}
