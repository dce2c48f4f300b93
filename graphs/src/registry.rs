//! The registry: every node kind that a graph may name.
use indexmap::{IndexMap, IndexSet};
use thiserror::Error;

use crate::{Demand, FieldType, MemoryNeed, NodeSpec, PortType, Presence, Width, names};

/// A node specification that contradicts itself or another one.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum SpecError {
    /// Another specification has this kind.
    #[error("node kind {kind} is registered twice")]
    DuplicateKind {
        /// The kind.
        kind: String,
    },
    /// The kind or a port or field has a name that no graph could write.
    #[error("node kind {kind}: {name:?} is no name: expected letters, digits and _, not starting with a digit")]
    BadName {
        /// The kind.
        kind: String,
        /// The name.
        name: String,
    },
    /// Two inputs, two outputs or two fields share a name.
    #[error("node kind {kind} has two {what}s named {name}")]
    DuplicateName {
        /// The kind.
        kind: String,
        /// `input`, `output` or `field`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A default is not of its field's type or out of its bounds.
    #[error("node kind {kind}, field {field}: the default {found} is not {expected}")]
    BadDefault {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
        /// What the field takes.
        expected: String,
        /// The default.
        found: String,
    },
    /// A port's width or the memory refers to a field that the kind lacks, or that has another type.
    #[error("node kind {kind} refers to field {field}, which is no {expected} field of it")]
    BadReference {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
        /// What it would have to be.
        expected: &'static str,
    },
}

/// Every node kind that a graph may name, in order of registration.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    specs: IndexMap<String, NodeSpec>,
}

impl Registry {
    /// A registry without kinds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind.
    ///
    /// # Errors
    /// When the specification contradicts itself or its kind is taken.
    pub fn register(&mut self, spec: NodeSpec) -> Result<(), SpecError> {
        if self.specs.contains_key(&spec.kind) {
            return Err(SpecError::DuplicateKind { kind: spec.kind });
        }
        check_names(&spec)?;
        check_defaults(&spec)?;
        check_references(&spec)?;
        self.specs.insert(spec.kind.clone(), spec);
        Ok(())
    }

    /// The specification of a kind.
    pub fn get(&self, kind: &str) -> Option<&NodeSpec> {
        self.specs.get(kind)
    }

    /// All specifications, in order of registration.
    pub fn iter(&self) -> impl Iterator<Item = &NodeSpec> + Clone {
        self.specs.values()
    }
}

fn check_names(spec: &NodeSpec) -> Result<(), SpecError> {
    let kind = || spec.kind.clone();
    let ports = |ports: &[crate::PortSpec]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
    let fields = spec.fields.iter().map(|field| field.name.clone()).collect();
    let groups = [("input", ports(&spec.inputs)), ("output", ports(&spec.outputs)), ("field", fields)];
    if !names::is_identifier(&spec.kind) {
        return Err(SpecError::BadName { kind: kind(), name: kind() });
    }
    for (what, names) in groups {
        let mut seen = IndexSet::new();
        for name in names {
            if !names::is_identifier(&name) {
                return Err(SpecError::BadName { kind: kind(), name });
            }
            if !seen.insert(name.clone()) {
                return Err(SpecError::DuplicateName { kind: kind(), what, name });
            }
        }
    }
    Ok(())
}

fn check_defaults(spec: &NodeSpec) -> Result<(), SpecError> {
    for field in &spec.fields {
        if let Presence::Default(value) = &field.presence
            && !field.ty.admits(value)
        {
            return Err(SpecError::BadDefault {
                kind: spec.kind.clone(),
                field: field.name.clone(),
                expected: field.ty.expectation(field.unit.as_deref()),
                found: value.to_string(),
            });
        }
    }
    Ok(())
}

fn check_references(spec: &NodeSpec) -> Result<(), SpecError> {
    let refer = |field: &str, expected: &'static str, fits: fn(&FieldType) -> bool| match spec.find_field(field) {
        Some(found) if fits(&found.ty) => Ok(()),
        _ => Err(SpecError::BadReference { kind: spec.kind.clone(), field: field.to_owned(), expected }),
    };
    for port in spec.inputs.iter().chain(&spec.outputs) {
        if let PortType::Embeddings { width: Width::OfModel { field, .. }, .. } = &port.ty {
            refer(field, "model", |ty| matches!(ty, FieldType::Model))?;
        }
    }
    let rows = spec.outputs.iter().filter_map(|port| port.rows.as_ref());
    for field in spec.inputs.iter().filter_map(|port| port.keeps.as_ref()).chain(rows) {
        refer(field, "integer", |ty| matches!(ty, FieldType::Integer { .. }))?;
    }
    if let Some(field) = &spec.cache {
        refer(field, "memory", |ty| matches!(ty, FieldType::Bytes { .. }))?;
    }
    if let MemoryNeed::Model { field, context, sequences, kv_format } = &spec.memory {
        refer(field, "model", |ty| matches!(ty, FieldType::Model))?;
        for count in context.iter().chain(sequences) {
            refer(count, "integer", |ty| matches!(ty, FieldType::Integer { .. }))?;
        }
        if let Some(kv_format) = kv_format {
            refer(kv_format, "choice", |ty| matches!(ty, FieldType::Choice(_)))?;
        }
    }
    for Demand { field, other, .. } in &spec.demands {
        refer(field, "integer", |ty| matches!(ty, FieldType::Integer { .. }))?;
        refer(other, "bool", |ty| matches!(ty, FieldType::Bool))?;
    }
    Ok(())
}
