//! What an accelerator is called: `cpu`, `cpu:0`, `gpu`, `npu`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kinds of compute unit, in the order in which lists show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AcceleratorKind {
    /// Processor cores.
    Cpu,
    /// A graphics processor.
    Gpu,
    /// A neural processor.
    Npu,
}

impl AcceleratorKind {
    /// All kinds.
    pub const ALL: [AcceleratorKind; 3] = [AcceleratorKind::Cpu, AcceleratorKind::Gpu, AcceleratorKind::Npu];

    /// Its name: `cpu`, `gpu` or `npu`.
    pub fn name(self) -> &'static str {
        match self {
            AcceleratorKind::Cpu => "cpu",
            AcceleratorKind::Gpu => "gpu",
            AcceleratorKind::Npu => "npu",
        }
    }
}

/// The name of an accelerator: a kind, and a number where there are several parts or units of that kind.
/// `cpu` is all cores, `cpu:0` the first group of them. Sorts `cpu`, `cpu:0`, `cpu:1`, `gpu`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AcceleratorId {
    kind: AcceleratorKind,
    part: Option<u16>,
}

impl AcceleratorId {
    /// The whole of a kind, such as `cpu`.
    pub const fn whole(kind: AcceleratorKind) -> AcceleratorId {
        AcceleratorId { kind, part: None }
    }

    /// One part or unit of a kind, such as `cpu:1`.
    pub const fn part(kind: AcceleratorKind, part: u16) -> AcceleratorId {
        AcceleratorId { kind, part: Some(part) }
    }

    /// What kind of compute unit it is.
    pub fn kind(self) -> AcceleratorKind {
        self.kind
    }

    /// The number of the part or unit, where it has one.
    pub fn number(self) -> Option<u16> {
        self.part
    }
}

impl fmt::Display for AcceleratorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            None => f.pad(self.kind.name()),
            Some(part) => f.pad(&format!("{}:{part}", self.kind.name())),
        }
    }
}

impl FromStr for AcceleratorId {
    type Err = AcceleratorIdError;

    fn from_str(text: &str) -> Result<AcceleratorId, AcceleratorIdError> {
        let unknown = || AcceleratorIdError { found: text.to_owned() };
        let (name, part) = match text.split_once(':') {
            // `parse` would also take a sign.
            Some((name, part)) if part.bytes().all(|byte| byte.is_ascii_digit()) => {
                (name, Some(part.parse().map_err(|_| unknown())?))
            }
            Some(_) => return Err(unknown()),
            None => (text, None),
        };
        let kind = AcceleratorKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(unknown)?;
        Ok(AcceleratorId { kind, part })
    }
}

impl TryFrom<String> for AcceleratorId {
    type Error = AcceleratorIdError;

    fn try_from(text: String) -> Result<AcceleratorId, AcceleratorIdError> {
        text.parse()
    }
}

impl From<AcceleratorId> for String {
    fn from(id: AcceleratorId) -> String {
        id.to_string()
    }
}

/// A text that is no accelerator's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an accelerator such as cpu, cpu:0, gpu or npu, found {found:?}")]
pub struct AcceleratorIdError {
    /// The text.
    pub found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_sort_the_whole_before_its_parts() {
        let names = ["cpu", "cpu:0", "cpu:1", "cpu:10", "gpu", "gpu:0", "npu"];
        let ids: Vec<AcceleratorId> = names.iter().map(|name| name.parse().expect(name)).collect();
        assert!(ids.is_sorted(), "{ids:?}");
        assert_eq!(ids.iter().map(AcceleratorId::to_string).collect::<Vec<_>>(), names);
        assert_eq!(ron::to_string(&ids[1]).expect("text"), "\"cpu:0\"");
        assert_eq!(ron::from_str::<AcceleratorId>("\"npu\"").expect("an id"), ids[6]);
    }

    #[test]
    fn anything_else_is_refused_with_what_it_is() {
        for text in ["", "CPU", "cpu:", "cpu:+1", "cpu:-1", "cpu:70000", "cpu:0:1", "tpu", " cpu"] {
            let error = text.parse::<AcceleratorId>().expect_err(text).to_string();
            assert_eq!(error, format!("expected an accelerator such as cpu, cpu:0, gpu or npu, found {text:?}"));
        }
    }
}
