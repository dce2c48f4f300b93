//! The course of a battery: requests one after the other, each from brick to brick, until nothing is left.
//!
//! A brick is busy with a request for as long as its jobs take; then the request waits for the next brick, and the brick
//! for room behind it. No job is simulated by itself, so a course of days takes milliseconds.

use std::collections::VecDeque;

use nanomind_hal::Phase;

use super::arrivals::Arrivals;
use super::brick::{Brick, Demand};
use super::device::Device;
use super::flow::{Source, SourceKind, Stop};
use super::steering::Steering;
use crate::duty::Keep;

/// While nothing is asked, the governor is asked again after so many seconds.
const LOOK_S: f64 = 120.0;
/// Requests that a brick remembers the beginnings of: more than any edge holds.
const REMEMBERED: usize = 256;

/// A stream is never worked on less than this share of the time.
const LEAST_SHARE: f64 = 0.001;

/// What became of the battery.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Ended {
    /// Seconds until the battery was empty, or the course was over.
    pub(super) seconds: f64,
    /// Whether it was empty.
    pub(super) empty: bool,
    /// Joules that the device took.
    pub(super) joules: f64,
    /// Requests that were answered.
    pub(super) answered: u64,
    /// Seconds from asking to the end of the answer, in sum.
    pub(super) waited: f64,
}

/// What a brick is at.
#[derive(Clone, Default)]
struct Desk {
    /// When it can begin the next request.
    free: f64,
    /// When its weights were used last; never, if they are in the file.
    used: Option<f64>,
    /// When it began the requests of late, the newest last.
    begun: VecDeque<f64>,
    /// When it has handed on the last request.
    handed: f64,
}

/// A battery that empties.
pub(super) struct Course<'a> {
    device: &'a Device,
    bricks: Vec<Brick>,
    steering: Steering<'a>,
    desks: Vec<Desk>,
    /// When each accelerator can begin the next job.
    units: Vec<f64>,
    /// When the next brick can take its turn, where they work in turn.
    turn: f64,
    /// Joules that the battery gives; none on mains.
    battery: Option<f64>,
    /// Joules taken before the course began.
    missing: f64,
    /// Up to when what the device draws anyway is counted, and when the last request ends.
    now: f64,
    done: f64,
    ended: Ended,
}

impl<'a> Course<'a> {
    pub(super) fn new(
        device: &'a Device,
        bricks: Vec<Brick>,
        steering: Steering<'a>,
        battery: Option<f64>,
        level: f64,
    ) -> Course<'a> {
        Course {
            device,
            desks: vec![Desk::default(); bricks.len()],
            units: vec![0.0; device.units.len()],
            bricks,
            steering,
            turn: 0.0,
            missing: battery.map_or(0.0, |battery| battery * (1.0 - level)),
            battery,
            now: 0.0,
            done: 0.0,
            ended: Ended::default(),
        }
    }

    /// Goes on until the battery is empty, or until `end` seconds.
    pub(super) fn run(mut self, mut arrivals: Vec<Arrivals<'_>>, end: f64) -> Ended {
        self.look(false);
        self.prepare();
        while !self.ended.empty {
            let duty = self.steering.duty();
            let next = arrivals.iter().enumerate().filter_map(|(index, one)| {
                let first = one.source.path.first().map_or(0.0, |stop| self.free(stop.brick));
                one.peek(&duty, first).map(|(at, demand)| (at, index, demand))
            });
            let next = next.min_by(|a, b| a.0.total_cmp(&b.0)).filter(|(at, ..)| *at < end);
            let until = next.map_or(end, |(at, ..)| at).max(self.now);
            if until - self.now > LOOK_S {
                // A change of mode meanwhile may bring the next picture forward.
                self.pass(self.now + LOOK_S);
                self.look(false);
                continue;
            }
            self.pass(until);
            let Some((at, index, demand)) = next else { break };
            if self.ended.empty {
                break;
            }
            arrivals[index].take(at);
            if at > self.done {
                self.steering.gaps.add(std::time::Duration::from_secs_f64(at - self.done));
            }
            self.look(true);
            self.serve(at, &demand, arrivals[index].source);
        }
        if !self.ended.empty {
            self.ended.seconds = end;
        }
        self.ended
    }

    fn free(&self, brick: usize) -> f64 {
        let desk = &self.desks[brick];
        let unit = self.device.unit(self.steering.places[brick]).map_or(0.0, |unit| self.units[unit]);
        desk.free.max(desk.handed).max(unit)
    }

    fn look(&mut self, works: bool) {
        let level = self.battery.map(|battery| 1.0 - ((self.missing + self.ended.joules) / battery).min(1.0));
        self.steering.look(self.now, level, &self.bricks, works);
    }

    /// Loads weights before there is work for them, where they are to stay.
    fn prepare(&mut self) {
        if self.steering.duty().weights == Keep::Always {
            for brick in 0..self.bricks.len() {
                let Some(unit) = self.device.unit(self.steering.places[brick]) else { continue };
                let end = self.load(brick, unit, self.units[unit]);
                self.occupy(unit, end);
                self.desks[brick].free = end;
                self.done = self.done.max(end);
            }
        }
    }

    /// Loads the weights of a brick from `start` on; when they are there.
    fn load(&mut self, brick: usize, unit: usize, start: f64) -> f64 {
        let unit = &self.device.units[unit];
        let seconds = unit.time(Phase::Load, self.bricks[brick].load()).as_secs_f64();
        self.draw(seconds * unit.added_w);
        self.desks[brick].used = Some(start + seconds);
        start + seconds
    }

    /// One request, from brick to brick.
    fn serve(&mut self, at: f64, demand: &Demand, source: &Source) {
        let mut ends = vec![at; self.bricks.len()];
        let mut end = at;
        for stop in &source.path {
            let ready = stop.after.iter().map(|brick| ends[*brick]).fold(at, f64::max);
            let is_stream = matches!(source.kind, SourceKind::Film { .. });
            let Some(served) = self.stage(stop, ready, demand, is_stream) else { return };
            ends[stop.brick] = served;
            end = end.max(served);
        }
        self.done = self.done.max(end);
        self.ended.answered += 1;
        self.ended.waited += end - at;
    }

    /// One brick's part of a request that is `ready` for it; when it has done it. `None` where it refuses.
    fn stage(&mut self, stop: &Stop, ready: f64, demand: &Demand, is_stream: bool) -> Option<f64> {
        let (brick, duty) = (stop.brick, self.steering.duty());
        let unit = self.device.unit(self.steering.places[brick])?;
        let turn = if duty.in_turn { self.turn } else { 0.0 };
        let start = ready.max(self.free(brick)).max(turn);
        let kept = |used: f64| match duty.weights {
            Keep::Always => true,
            Keep::For(time) => used + time.as_secs_f64() >= start && !time.is_zero(),
        };
        let mut begin = start;
        if !self.desks[brick].used.is_some_and(kept) {
            self.bricks[brick].released();
            begin = self.load(brick, unit, start);
        }
        let seconds = self.bricks[brick].serve(demand, &self.device.units[unit])?;
        self.draw(seconds * self.device.units[unit].added_w);
        let end = begin + seconds;
        self.occupy(unit, end);
        self.turn = end;
        self.hand_on(stop, start, demand);
        // Work on a stream takes no more than its share of the time.
        let share = if is_stream { duty.working_share.max(LEAST_SHARE) } else { 1.0 };
        let desk = &mut self.desks[brick];
        (desk.free, desk.used) = (start + (end - start) / share, Some(end));
        if desk.begun.len() == REMEMBERED {
            desk.begun.pop_front();
        }
        desk.begun.push_back(start);
        Some(end)
    }

    /// Whoever was before a brick had to wait until there was room between the two: until the brick began the request
    /// that came so many before.
    fn hand_on(&mut self, stop: &Stop, start: f64, demand: &Demand) {
        if stop.takes_latest {
            return;
        }
        for before in &stop.after {
            let requests = stop.room / self.bricks[*before].packets(demand).max(1);
            let begun = &self.desks[stop.brick].begun;
            let waited_for = match requests {
                0 => Some(start),
                behind => begun.len().checked_sub(behind).map(|index| begun[index]),
            };
            let handed = &mut self.desks[*before].handed;
            *handed = handed.max(waited_for.unwrap_or(0.0));
        }
    }

    /// An accelerator, and all that share cores with it, have work until `end`.
    fn occupy(&mut self, unit: usize, end: f64) {
        for (index, free) in self.units.iter_mut().enumerate() {
            if self.device.units[unit].overlaps(&self.device.units[index]) {
                *free = free.max(end);
            }
        }
    }

    /// The time passes up to `until`, the device drawing what it draws anyway.
    fn pass(&mut self, until: f64) {
        let duty = self.steering.duty();
        let awake_until = match (duty.standby, duty.weights) {
            (true, Keep::For(time)) => {
                let used = self.desks.iter().filter_map(|desk| desk.used).fold(0.0, f64::max);
                self.done.max(used + time.as_secs_f64())
            }
            _ => f64::INFINITY,
        };
        for (to, watts) in [(until.min(awake_until), self.device.awake_w), (until, self.device.standby_w)] {
            let left = self.battery.map_or(f64::INFINITY, |battery| battery - self.missing - self.ended.joules);
            let seconds = (to - self.now).max(0.0);
            if !self.ended.empty && seconds * watts >= left {
                self.ended.seconds = self.now + (left / watts).max(0.0);
                self.ended.joules += left.max(0.0);
                self.ended.empty = true;
            }
            if self.ended.empty {
                return;
            }
            self.ended.joules += seconds * watts;
            self.now += seconds;
        }
    }

    fn draw(&mut self, joules: f64) {
        self.ended.joules += joules;
    }
}
