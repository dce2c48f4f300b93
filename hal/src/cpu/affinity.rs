//! Which cores a thread may run on: sets of cpus, and asking and telling the kernel.

use std::fmt;
use std::io;

use rustix::thread::{CpuSet as KernelSet, sched_getaffinity, sched_setaffinity};

/// A set of logical cpus by number, in ascending order. Displays as Linux writes lists: `0-3,6`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CpuSet {
    cpus: Vec<usize>,
}

impl CpuSet {
    /// How many cpus there are.
    pub fn len(&self) -> usize {
        self.cpus.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cpus.is_empty()
    }

    /// The cpu numbers in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> + Clone + '_ {
        self.cpus.iter().copied()
    }

    /// Whether `cpu` is among them.
    pub fn contains(&self, cpu: usize) -> bool {
        self.cpus.binary_search(&cpu).is_ok()
    }

    /// Whether the two sets share a cpu.
    pub fn overlaps(&self, other: &CpuSet) -> bool {
        self.iter().any(|cpu| other.contains(cpu))
    }

    /// The cpus that are in both sets.
    pub fn intersection(&self, other: &CpuSet) -> CpuSet {
        self.iter().filter(|cpu| other.contains(*cpu)).collect()
    }

    /// The cpus that this thread may run on, as the kernel says.
    ///
    /// # Errors
    /// What the kernel answers to `sched_getaffinity`.
    pub fn of_this_thread() -> io::Result<CpuSet> {
        let set = sched_getaffinity(None)?;
        Ok((0..KernelSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
    }

    /// Reads a list as Linux writes it: numbers and ranges joined by commas, such as `0-3,6`.
    ///
    /// # Errors
    /// What is wrong with the list: empty, not a number, a range that runs backwards, or a number that the
    /// kernel's sets cannot hold.
    pub fn parse(list: &str) -> Result<CpuSet, CpuListError> {
        let mut cpus = Vec::new();
        for part in list.split(',') {
            let part = part.trim();
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (cpu_number(first)?, cpu_number(last)?),
                None => (cpu_number(part)?, cpu_number(part)?),
            };
            if first > last {
                return Err(CpuListError::Backwards { range: part.to_owned() });
            }
            cpus.extend(first..=last);
        }
        Ok(cpus.into_iter().collect())
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> CpuSet {
        let mut cpus: Vec<usize> = cpus.into_iter().collect();
        cpus.sort_unstable();
        cpus.dedup();
        CpuSet { cpus }
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, run) in self.cpus.chunk_by(|one, next| one + 1 == *next).enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [only] => write!(f, "{comma}{only}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

/// Why a list of cpus could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuListError {
    /// Something that is no cpu number.
    #[error("expected a cpu number, found {found:?}")]
    NotANumber {
        /// What stood there.
        found: String,
    },
    /// A number that no kernel set can hold.
    #[error("cpu {cpu} is over the limit of {limit}")]
    TooLarge {
        /// The number.
        cpu: usize,
        /// The greatest number that is possible.
        limit: usize,
    },
    /// A range whose end is before its start.
    #[error("the range {range:?} runs backwards")]
    Backwards {
        /// The range.
        range: String,
    },
}

fn cpu_number(text: &str) -> Result<usize, CpuListError> {
    let text = text.trim();
    let cpu = text.parse().map_err(|_| CpuListError::NotANumber { found: text.to_owned() })?;
    let limit = KernelSet::MAX_CPU - 1;
    if cpu > limit { Err(CpuListError::TooLarge { cpu, limit }) } else { Ok(cpu) }
}

/// Keeps this thread on `cpus`, as far as the kernel lets us: a core that is gone or not ours is not worth failing for.
pub(crate) fn keep_this_thread_on(cpus: impl IntoIterator<Item = usize>) {
    let mut set = KernelSet::new();
    for cpu in cpus {
        set.set(cpu);
    }
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::debug!(?set, %error, "could not set the affinity of a compute thread");
    }
}

/// The cpu that this thread runs on just now.
pub(crate) fn current_cpu() -> usize {
    rustix::thread::sched_getcpu()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_reads_and_displays_as_linux_writes_it() {
        let set = CpuSet::parse("6, 0-2,2").expect("a list");
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 1, 2, 6]);
        assert_eq!(set.to_string(), "0-2,6");
    }

    #[test]
    fn a_bad_list_says_what_is_wrong() {
        for (list, message) in [
            ("", "expected a cpu number, found \"\""),
            ("0-", "expected a cpu number, found \"\""),
            ("a", "expected a cpu number, found \"a\""),
            ("3-1", "the range \"3-1\" runs backwards"),
            ("0-99999999999", "cpu 99999999999 is over the limit of 1023"),
            ("-1", "expected a cpu number, found \"\""),
        ] {
            let error = CpuSet::parse(list).expect_err(list);
            assert_eq!(error.to_string(), message, "for {list:?}");
        }
    }

    #[test]
    fn this_thread_may_run_somewhere_and_pinning_it_narrows_that() {
        std::thread::spawn(|| {
            let all = CpuSet::of_this_thread().expect("an affinity");
            let one: CpuSet = all.iter().take(1).collect();
            keep_this_thread_on(one.iter());
            assert_eq!(Some(current_cpu()), one.iter().next());
            assert_eq!(CpuSet::of_this_thread().expect("an affinity"), one, "out of {all}");
        })
        .join()
        .expect("the thread");
    }

    proptest! {
        #[test]
        fn every_set_reads_back_from_its_display(cpus in proptest::collection::vec(0usize..1024, 1..40)) {
            let set: CpuSet = cpus.into_iter().collect();
            prop_assert_eq!(CpuSet::parse(&set.to_string()).expect("its own display"), set);
        }

        #[test]
        fn parsing_never_panics(list in "[0-9,\\- a]{0,24}") {
            let _ = CpuSet::parse(&list);
        }
    }
}
