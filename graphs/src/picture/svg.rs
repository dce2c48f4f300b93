//! An SVG picture that stands by itself: no script, no font file, no style sheet from elsewhere.
use std::fmt::Write;

use super::{
    Outline, group_of, label_of,
    layout::{self, CHAR, Layout, Place, apart},
    place_of,
};
use crate::{Firing, Plan, PlannedNode, Role};

const MARGIN: f64 = 32.0;
/// Height of a label and the space around it.
const LABEL: f64 = 18.0;

/// The graph as an SVG picture from left to right.
pub fn svg(outline: &Outline) -> String {
    let plan = &outline.0;
    let labels: Vec<String> = plan.edges.iter().map(|edge| label_of(plan, edge)).collect();
    let layout = layout::lay_out(plan, &labels);
    let back_edges = layout.routes.iter().filter(|route| route.backwards).count() as f64;
    let head = 38.0;
    let width = layout.width.max(200.0) + 2.0 * MARGIN;
    let height = layout.height + 2.0 * MARGIN + head + if back_edges > 0.0 { 20.0 + 26.0 * back_edges } else { 0.0 };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n"
    );
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(svg, "<title>{}</title>", escape(&plan.name));
    let _ = writeln!(svg, "<rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#ffffff\"/>");
    let _ = writeln!(
        svg,
        "<text x=\"{MARGIN}\" y=\"{:.0}\" font-size=\"15\" font-weight=\"600\" fill=\"#1a202c\">{}\
         <tspan dx=\"10\" font-size=\"11\" font-weight=\"400\" fill=\"#718096\">power {}</tspan></text>",
        MARGIN + 4.0,
        escape(&plan.name),
        escape(&plan.power.to_string())
    );
    let _ = writeln!(svg, "<g transform=\"translate({MARGIN} {})\">", MARGIN + head);
    groups(&mut svg, plan, &layout);
    edges(&mut svg, plan, &layout, &labels);
    for (node, place) in plan.nodes.iter().zip(&layout.places) {
        draw_node(&mut svg, node, place);
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

fn colours(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Sensor => ("#e3f4e8", "#2f855a"),
        Role::Brick => ("#e6effc", "#2b6cb0"),
        Role::Sink => ("#fdf0e0", "#c05621"),
    }
}

/// A frame around the nodes of each include.
fn groups(svg: &mut String, plan: &Plan, layout: &Layout) {
    for (group, nodes) in super::groups(plan) {
        let Some(group) = group.filter(|_| nodes.len() > 1) else { continue };
        let places: Vec<&Place> = nodes.iter().map(|&node| &layout.places[node]).collect();
        let left = places.iter().map(|place| place.x).fold(f64::INFINITY, f64::min) - 12.0;
        let top = places.iter().map(|place| place.y).fold(f64::INFINITY, f64::min) - 22.0;
        let right = places.iter().map(|place| place.x + place.width).fold(0.0, f64::max) + 12.0;
        let bottom = places.iter().map(|place| place.y + place.height).fold(0.0, f64::max) + 12.0;
        let (width, height) = (right - left, bottom - top);
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"10\" fill=\"#f7fafc\" \
             stroke=\"#cbd5e0\" stroke-dasharray=\"4 3\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\" \
             fill=\"#718096\">{}</text>",
            left + 8.0,
            top + 13.0,
            escape(group)
        );
    }
}

fn edges(svg: &mut String, plan: &Plan, layout: &Layout, labels: &[String]) {
    let mut written: Vec<(f64, f64, usize)> = Vec::new();
    let mut below = layout.height + 14.0;
    for (index, edge) in plan.edges.iter().enumerate() {
        let (from, to) = (&layout.places[edge.from.node], &layout.places[edge.to.node]);
        let start = (from.x + from.width, from.y + layout::row_y(layout::output_row(plan, index)));
        let end = (to.x, to.y + layout::row_y(layout::input_row(plan, index)));
        let route = &layout.routes[index];
        let mut path = format!("M{:.1} {:.1}", start.0, start.1);
        if route.backwards {
            below += 26.0;
            let (out, back) = (start.0 + 30.0, end.0 - 30.0);
            let _ = write!(
                path,
                " C{out:.1} {0:.1} {out:.1} {below:.1} {1:.1} {below:.1} L{2:.1} {below:.1} \
                 C{back:.1} {below:.1} {back:.1} {3:.1} {4:.1} {3:.1}",
                start.1,
                start.0 - 10.0,
                end.0 + 10.0,
                end.1,
                end.0
            );
            written.push(((start.0 + end.0) / 2.0, below, index));
        } else {
            let mut at = start;
            for (step, point) in route.points.iter().chain([&end]).enumerate() {
                // Across a layer straight, between layers in a curve.
                if step % 2 == 0 {
                    let middle = (at.0 + point.0) / 2.0;
                    let _ =
                        write!(path, " C{middle:.1} {:.1} {middle:.1} {1:.1} {2:.1} {1:.1}", at.1, point.1, point.0);
                } else {
                    let _ = write!(path, " L{:.1} {:.1}", point.0, point.1);
                }
                at = *point;
            }
            let first = route.points.first().unwrap_or(&end);
            written.push((route.label_x, (start.1 + first.1) / 2.0, index));
        }
        let dash = if edge.firing == Firing::Latched { " stroke-dasharray=\"5 4\"" } else { "" };
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"#718096\" stroke-width=\"1.5\"{dash}/>");
        let (x, y) = end;
        let _ = writeln!(svg, "<path d=\"M{x:.1} {y:.1} l-8 -4 v8 z\" fill=\"#718096\"/>");
    }
    write_labels(svg, written, labels);
}

/// Labels of one space between layers, moved apart where they would cover each other.
fn write_labels(svg: &mut String, mut written: Vec<(f64, f64, usize)>, labels: &[String]) {
    written.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    for column in written.chunk_by(|a, b| a.0 == b.0) {
        let wanted: Vec<f64> = column.iter().map(|(_, y, _)| *y).collect();
        let ys = apart(&wanted, &vec![LABEL; wanted.len()]);
        for ((x, _, edge), y) in column.iter().zip(ys) {
            let label = &labels[*edge];
            let width = label.chars().count() as f64 * 5.6 + 10.0;
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"15\" rx=\"7\" fill=\"#ffffff\" \
                 fill-opacity=\"0.92\"/>\n<text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"10\" fill=\"#4a5568\" \
                 text-anchor=\"middle\">{}</text>",
                x - width / 2.0,
                y - 7.5,
                y + 3.5,
                escape(label)
            );
        }
    }
}

fn draw_node(svg: &mut String, node: &PlannedNode, place: &Place) {
    let (fill, line) = colours(node.role);
    let Place { x, y, width, height } = *place;
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\" fill=\"{fill}\" \
         stroke=\"{line}\" stroke-width=\"1.4\"/>"
    );
    let name = group_of(node).map_or(node.name.as_str(), |group| &node.name[group.len() + 1..]);
    let centre = x + width / 2.0;
    let place = place_of(node).map(|place| format!(" · {place}")).unwrap_or_default();
    let _ = writeln!(
        svg,
        "<text x=\"{centre:.1}\" y=\"{:.1}\" font-size=\"13\" font-weight=\"600\" fill=\"#1a202c\" \
         text-anchor=\"middle\">{}</text>\n<text x=\"{centre:.1}\" y=\"{:.1}\" font-size=\"10.5\" fill=\"{line}\" \
         text-anchor=\"middle\">{}</text>",
        y + 19.0,
        escape(name),
        y + 34.0,
        escape(&format!("{}{place}", node.kind))
    );
    let mut port = |name: &str, row: usize, x: f64, output: bool| {
        let y = y + layout::row_y(row);
        let (text_x, anchor) = if output { (x - 10.0, "end") } else { (x + 10.0, "start") };
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"#ffffff\" stroke=\"{line}\" stroke-width=\"1.4\"/>\n\
             <text x=\"{text_x:.1}\" y=\"{:.1}\" font-size=\"11\" fill=\"#2d3748\" text-anchor=\"{anchor}\">{}</text>",
            y + 3.8,
            escape(name)
        );
    };
    for (row, input) in node.spec.inputs.iter().enumerate() {
        port(&input.name, row, x, false);
    }
    for (row, output) in node.spec.outputs.iter().enumerate() {
        port(&output.name, row, x + width, true);
    }
    debug_assert!(width >= name.len() as f64 * CHAR, "the title of {name} fits");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
