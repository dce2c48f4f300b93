//! The restart policy: a pure function of how a node ended, how often it was restarted lately, and the time.

use nanomind_graphs::RestartPolicy;
use nanomind_hal::Timestamp;

use super::NodeEnd;

/// What becomes of a node that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is started again, with a fresh instance and the same edges.
    Restart,
    /// It stays down, and that is in order.
    Done,
    /// It stays down because its policy allows no further restart: the run has failed.
    GiveUp,
}

/// Decides about a node under `policy` that has just ended; `restarts` are the times of its earlier restarts.
pub fn decide(policy: RestartPolicy, end: &NodeEnd, restarts: &[Timestamp], now: Timestamp) -> Verdict {
    let (max, within, also_finished) = match policy {
        RestartPolicy::Never => return if end.is_failure() { Verdict::GiveUp } else { Verdict::Done },
        RestartPolicy::OnFailure { max, within } => (max, within, false),
        RestartPolicy::Always { max, within } => (max, within, true),
    };
    let wanted = match end {
        NodeEnd::Failed(error) if error.is_permanent() => return Verdict::GiveUp,
        NodeEnd::Failed(_) | NodeEnd::Panicked(_) => true,
        NodeEnd::Finished => also_finished,
        // Whoever stopped it does not want it back.
        NodeEnd::Stopped | NodeEnd::Cancelled => return Verdict::Done,
    };
    if !wanted {
        return Verdict::Done;
    }
    let recent = restarts.iter().filter(|&&at| now.since(at) < within).count();
    if recent < max as usize {
        Verdict::Restart
    } else if end.is_failure() {
        Verdict::GiveUp
    } else {
        Verdict::Done
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::NodeError;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn panicked() -> NodeEnd {
        NodeEnd::Panicked("index out of bounds".to_owned())
    }

    const TWICE_A_MINUTE: RestartPolicy = RestartPolicy::OnFailure { max: 2, within: Duration::from_secs(60) };

    #[test]
    fn a_failing_node_is_restarted_until_its_allowance_is_used_up() {
        assert_eq!(decide(TWICE_A_MINUTE, &panicked(), &[], at(0)), Verdict::Restart);
        assert_eq!(decide(TWICE_A_MINUTE, &panicked(), &[at(0)], at(1)), Verdict::Restart);
        assert_eq!(decide(TWICE_A_MINUTE, &panicked(), &[at(0), at(1)], at(2)), Verdict::GiveUp);
    }

    #[test]
    fn restarts_longer_ago_than_the_span_do_not_count() {
        assert_eq!(decide(TWICE_A_MINUTE, &panicked(), &[at(0), at(1)], at(60)), Verdict::Restart);
    }

    #[test]
    fn a_node_that_finished_or_was_stopped_stays_down() {
        assert_eq!(decide(TWICE_A_MINUTE, &NodeEnd::Finished, &[], at(0)), Verdict::Done);
        assert_eq!(decide(TWICE_A_MINUTE, &NodeEnd::Stopped, &[], at(0)), Verdict::Done);
        let always = RestartPolicy::Always { max: 1, within: Duration::from_secs(1) };
        assert_eq!(decide(always, &NodeEnd::Stopped, &[], at(0)), Verdict::Done);
        assert_eq!(decide(always, &NodeEnd::Finished, &[], at(0)), Verdict::Restart);
        assert_eq!(decide(always, &NodeEnd::Finished, &[at(0)], at(0)), Verdict::Done);
    }

    #[test]
    fn a_failure_that_would_repeat_itself_is_not_tried_again() {
        let end = NodeEnd::Failed(NodeError::EmptyInput { stream: "standard input" });
        assert_eq!(decide(TWICE_A_MINUTE, &end, &[], at(0)), Verdict::GiveUp);
    }

    #[test]
    fn without_restarts_a_failure_fails_the_run() {
        assert_eq!(decide(RestartPolicy::Never, &panicked(), &[], at(0)), Verdict::GiveUp);
        assert_eq!(decide(RestartPolicy::Never, &NodeEnd::Finished, &[], at(0)), Verdict::Done);
    }
}
