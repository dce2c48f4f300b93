//! What the command line sets over what the graph says.

/// Settings from outside the graph, in the order given; a later one wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--set NAME=VALUE`: parameters of the top graph, the value as text.
    pub params: Vec<(String, String)>,
    /// `--place NODE=ACCELERATOR`: pins a node.
    pub placements: Vec<(String, String)>,
}

impl Overrides {
    /// The graph as it stands.
    pub fn none() -> Self {
        Self::default()
    }

    /// Sets a parameter.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Pins a node to an accelerator.
    pub fn place(mut self, node: impl Into<String>, accelerator: impl Into<String>) -> Self {
        self.placements.push((node.into(), accelerator.into()));
        self
    }
}
