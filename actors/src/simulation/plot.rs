//! The plot of a simulation: battery, mode and power over time, as an SVG picture that stands by itself.

use std::fmt::Write;

use super::report::{ChangedWhat, Sample, SimulationReport};
use crate::governor::Mode;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const LEVEL: Panel = Panel { top: 86.0, height: 180.0 };
const MODE: Panel = Panel { top: 286.0, height: 18.0 };
const POWER: Panel = Panel { top: 338.0, height: 180.0 };
const HEIGHT: f64 = 580.0;

const GRID: &str = "#e2e8f0";
const TEXT: &str = "#4a5568";
const BATTERY: &str = "#2b6cb0";
const WATTS: &str = "#c05621";
const CHARGING: &str = "#e3f4e8";

/// A part of the picture with an axis of its own.
#[derive(Clone, Copy)]
struct Panel {
    top: f64,
    height: f64,
}

impl Panel {
    /// The place of a share of its height, from 0 at the bottom to 1.
    fn y(self, share: f64) -> f64 {
        self.top + self.height * (1.0 - share.clamp(0.0, 1.0))
    }

    fn bottom(self) -> f64 {
        self.top + self.height
    }
}

/// How hours become places.
struct Time {
    hours: f64,
}

impl Time {
    fn x(&self, hours: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (hours / self.hours).clamp(0.0, 1.0)
    }
}

impl SimulationReport {
    /// Battery level, power mode and power over time, as an SVG picture.
    pub fn plot(&self) -> String {
        let time = Time { hours: self.hours.max(1e-9) };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {HEIGHT:.0}\" width=\"{WIDTH:.0}\" \
             height=\"{HEIGHT:.0}\" font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n"
        );
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(svg, "<title>{} on {}</title>", escape(&self.graph), escape(&self.device));
        let _ = writeln!(svg, "<rect width=\"{WIDTH:.0}\" height=\"{HEIGHT:.0}\" fill=\"#ffffff\"/>");
        head(&mut svg, self);
        let most_watts = nice_above(self.samples.iter().map(|sample| sample.watts).fold(0.0, f64::max));
        charging(&mut svg, self, &time);
        hours(&mut svg, &time, self.begins_hours);
        if self.battery.is_some() {
            axis(&mut svg, LEVEL, "battery", 4, |share| format!("{:.0} %", share * 100.0));
            line(&mut svg, &level_points(self, &time), BATTERY, "2");
        }
        modes(&mut svg, self, &time);
        axis(&mut svg, POWER, "power", 4, |share| format!("{} W", short(share * most_watts)));
        line(&mut svg, &power_points(self, &time, most_watts), WATTS, "1.2");
        mean(&mut svg, self, most_watts);
        legend(&mut svg, self);
        svg.push_str("</svg>\n");
        svg
    }
}

fn head(svg: &mut String, report: &SimulationReport) {
    let lasted = match report.battery {
        Some(battery) => match battery.empty_after_hours {
            Some(empty) => format!("battery of {:.2} Wh empty after {empty:.2} h", battery.usable_wh),
            None => format!(
                "battery of {:.2} Wh at {:.0} % after {:.2} h",
                battery.usable_wh,
                battery.level_at_end * 100.0,
                report.hours
            ),
        },
        None => format!("{:.2} h on mains", report.hours),
    };
    text(svg, LEFT, 30.0, "start", 15.0, "#1a202c", &format!("{} on {}: {lasted}", report.graph, report.device));
    let below = format!("{}, seed {}, policy {}", report.scenario, report.seed, report.policy);
    text(svg, LEFT, 50.0, "start", 11.0, "#718096", &below);
}

/// The times on a charger, behind everything.
fn charging(svg: &mut String, report: &SimulationReport, time: &Time) {
    for pair in report.samples.windows(2).filter(|pair| pair[1].charging) {
        let (from, to) = (time.x(pair[0].hours), time.x(pair[1].hours));
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{CHARGING}\"/>",
            LEVEL.top,
            (to - from).max(0.5),
            LEVEL.height
        );
    }
}

/// The axis of hours, below all panels, with lines through them.
fn hours(svg: &mut String, time: &Time, begins: f64) {
    let step = [0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 6.0, 12.0, 24.0, 48.0, 168.0]
        .into_iter()
        .find(|step| time.hours / step <= 13.0)
        .unwrap_or(720.0);
    let marks = (0..).map(|number| f64::from(number) * step).take_while(|hours| *hours <= time.hours);
    for hours in marks {
        let x = time.x(hours);
        let (top, bottom) = (LEVEL.top, POWER.bottom());
        let _ = writeln!(svg, "<path d=\"M{x:.1} {top:.1} V{bottom:.1}\" stroke=\"{GRID}\" stroke-width=\"1\"/>");
        text(svg, x, bottom + 18.0, "middle", 11.0, TEXT, &format!("{} h", short(hours)));
        let minutes = ((begins + hours) * 60.0).round() as u64 % (24 * 60);
        text(svg, x, bottom + 32.0, "middle", 9.5, "#a0aec0", &format!("{:02}:{:02}", minutes / 60, minutes % 60));
    }
}

/// The axis of a panel: `parts` lines above the lowest, each with its value.
fn axis(svg: &mut String, panel: Panel, title: &str, parts: u32, value: impl Fn(f64) -> String) {
    for part in 0..=parts {
        let share = f64::from(part) / f64::from(parts);
        let y = panel.y(share);
        let right = WIDTH - RIGHT;
        let _ = writeln!(svg, "<path d=\"M{LEFT:.1} {y:.1} H{right:.1}\" stroke=\"{GRID}\" stroke-width=\"1\"/>");
        text(svg, LEFT - 8.0, y + 4.0, "end", 11.0, TEXT, &value(share));
    }
    text(svg, LEFT, panel.top - 8.0, "start", 11.0, TEXT, title);
}

/// The band of modes.
fn modes(svg: &mut String, report: &SimulationReport, time: &Time) {
    text(svg, LEFT, MODE.top - 5.0, "start", 11.0, TEXT, "mode");
    let changes = report.changes.iter().filter_map(|change| match change.what {
        ChangedWhat::Mode { to, .. } => Some((change.hours, to)),
        _ => None,
    });
    let mut spans = vec![(0.0, Mode::default())];
    spans.extend(changes);
    let ends = spans.iter().skip(1).map(|(from, _)| *from).chain([report.hours]);
    for ((from, mode), to) in spans.iter().zip(ends) {
        let (from, to) = (time.x(*from), time.x(to));
        if to > from {
            let _ = writeln!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
                MODE.top,
                to - from,
                MODE.height,
                colour(*mode)
            );
        }
    }
}

fn level_points(report: &SimulationReport, time: &Time) -> Vec<(f64, f64)> {
    let level = |sample: &Sample| sample.level.map(|level| (time.x(sample.hours), LEVEL.y(level)));
    report.samples.iter().filter_map(level).collect()
}

/// Steps: each figure is the mean of the time before it.
fn power_points(report: &SimulationReport, time: &Time, most: f64) -> Vec<(f64, f64)> {
    let steps = report.samples.windows(2).flat_map(|pair| {
        let y = POWER.y(pair[1].watts / most);
        [(time.x(pair[0].hours), y), (time.x(pair[1].hours), y)]
    });
    steps.collect()
}

/// The mean power, as a broken line.
fn mean(svg: &mut String, report: &SimulationReport, most: f64) {
    let Some(watts) = report.mean_watts else { return };
    let (y, right) = (POWER.y(watts / most), WIDTH - RIGHT);
    let _ = writeln!(
        svg,
        "<path d=\"M{LEFT:.1} {y:.1} H{right:.1}\" stroke=\"{WATTS}\" stroke-width=\"1\" stroke-dasharray=\"5 4\"/>"
    );
    text(svg, right, y - 5.0, "end", 11.0, WATTS, &format!("mean {watts:.3} W"));
}

fn line(svg: &mut String, points: &[(f64, f64)], colour: &str, width: &str) {
    let mut path = String::new();
    for (number, (x, y)) in points.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if number == 0 { "M" } else { " L" });
    }
    if !path.is_empty() {
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>");
    }
}

/// What the colours of modes and of the charger stand for.
fn legend(svg: &mut String, report: &SimulationReport) {
    let mut entries: Vec<(&str, &str)> = Mode::ALL.iter().map(|mode| (colour(*mode), mode.name())).collect();
    if report.samples.iter().any(|sample| sample.charging) {
        entries.push((CHARGING, "charging"));
    }
    let mut x = WIDTH - RIGHT;
    for (colour, name) in entries.into_iter().rev() {
        x -= name.len() as f64 * 6.2 + 26.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"58\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\" stroke=\"#cbd5e0\"/>"
        );
        text(svg, x + 17.0, 68.0, "start", 11.0, TEXT, name);
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, size: f64, colour: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{colour}\" text-anchor=\"{anchor}\">{}</text>",
        escape(text)
    );
}

fn colour(mode: Mode) -> &'static str {
    match mode {
        Mode::Performance => "#f6ad55",
        Mode::Balanced => "#63b3ed",
        Mode::PowerSaver => "#68d391",
    }
}

/// The least of 1, 2, 4 and their tenfold and tenth parts that is not below.
fn nice_above(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1e-3).log10().floor());
    [1.0, 2.0, 4.0, 10.0].into_iter().map(|digit| digit * power).find(|nice| *nice >= value).unwrap_or(1.0)
}

/// A number without digits that say nothing.
fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_number_that_is_easily_divided() {
        for (value, nice) in [(0.33, 0.4), (0.9, 1.0), (3.7, 4.0), (4.1, 10.0), (15.0, 20.0)] {
            assert!((nice_above(value) - nice).abs() < 1e-9, "{value}: {}", nice_above(value));
        }
        assert_eq!((short(0.25), short(3.0), short(10.0)), ("0.25".into(), "3".into(), "10".into()));
    }
}
