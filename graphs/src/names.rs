//! Names of nodes, ports, fields and parameters.

/// Longest name, in bytes.
pub(crate) const LONGEST: usize = 64;

/// Letters, digits and `_`, not starting with a digit: kinds, ports, fields and parameters.
pub(crate) fn is_identifier(name: &str) -> bool {
    name.len() <= LONGEST
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Letters, digits, `_` and `-`, not starting with a digit: nodes, graphs and includes.
pub(crate) fn is_node_name(name: &str) -> bool {
    name.len() <= LONGEST
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
