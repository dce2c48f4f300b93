//! A layered layout from left to right: layers by the longest way from a sensor, few crossings, straight edges.
use crate::Plan;

/// Height of a node's title, of one port's row, of the place that a passing edge takes; distances between boxes.
pub(super) const TITLE: f64 = 44.0;
pub(super) const ROW: f64 = 22.0;
const PASSING: f64 = 14.0;
const GAP: f64 = 36.0;
/// Least distance between layers, besides what the labels there need.
const BETWEEN: f64 = 70.0;
/// Width of a character in a port's or edge's text, and in a title.
pub(super) const CHAR: f64 = 6.4;
const TITLE_CHAR: f64 = 7.6;
/// Sweeps over the layers until the order and the heights settle.
const SWEEPS: usize = 12;

/// A node's box.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Where everything stands.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// By node.
    pub(super) places: Vec<Place>,
    /// By edge: the points that it passes between its ends, and whether it runs backwards.
    pub(super) routes: Vec<Route>,
    pub(super) width: f64,
    pub(super) height: f64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    pub(super) points: Vec<(f64, f64)>,
    pub(super) backwards: bool,
    /// The middle of the space behind the first end's layer, for the label.
    pub(super) label_x: f64,
}

/// A node or the place of an edge that passes a layer.
#[derive(Clone, Copy, Debug)]
enum Item {
    Node(usize),
    Passing,
}

/// A link between items of neighbouring layers, with where it meets them below their top.
struct Link {
    from: usize,
    to: usize,
    from_y: f64,
    to_y: f64,
}

pub(super) fn lay_out(plan: &Plan, labels: &[String]) -> Layout {
    let backwards = backward_edges(plan);
    let layer_of = layers(plan, &backwards);
    let count = layer_of.iter().max().map_or(0, |last| last + 1);
    let mut items: Vec<Item> = (0..plan.nodes.len()).map(Item::Node).collect();
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (node, layer) in layer_of.iter().enumerate() {
        layers[*layer].push(node);
    }
    let mut links: Vec<Link> = Vec::new();
    let mut passes: Vec<Vec<usize>> = vec![Vec::new(); plan.edges.len()];
    for (index, edge) in plan.edges.iter().enumerate().filter(|(index, _)| !backwards[*index]) {
        let (mut from, mut from_y) = (edge.from.node, output_y(plan, index));
        for layer in &mut layers[layer_of[edge.from.node] + 1..layer_of[edge.to.node]] {
            let item = items.len();
            items.push(Item::Passing);
            layer.push(item);
            passes[index].push(item);
            links.push(Link { from, to: item, from_y, to_y: PASSING / 2.0 });
            (from, from_y) = (item, PASSING / 2.0);
        }
        links.push(Link { from, to: edge.to.node, from_y, to_y: input_y(plan, index) });
    }
    let heights: Vec<f64> = items
        .iter()
        .map(|item| match item {
            Item::Node(node) => node_height(plan, *node),
            Item::Passing => PASSING,
        })
        .collect();
    order(&mut layers, &links, items.len());
    let ys = heights_settled(&layers, &links, &heights);
    Draft { plan, layers, layer_of, passes, backwards, heights, ys }.placed(labels)
}

fn node_height(plan: &Plan, node: usize) -> f64 {
    let spec = &plan.nodes[node].spec;
    TITLE + ROW * spec.inputs.len().max(spec.outputs.len()) as f64 + 8.0
}

fn node_width(plan: &Plan, node: usize) -> f64 {
    let node = &plan.nodes[node];
    let longest = |ports: &[crate::PortSpec]| ports.iter().map(|port| port.name.len()).max().unwrap_or(0) as f64;
    let ports = (longest(&node.spec.inputs) + longest(&node.spec.outputs)) * CHAR + 44.0;
    let place = super::place_of(node).map_or(0, |place| place.chars().count() + 3);
    let second = (node.kind.len() + place) as f64 * CHAR + 28.0;
    ports.max(second).max(node.name.len() as f64 * TITLE_CHAR + 28.0).max(110.0)
}

/// How far below a node's top the row of its `row`-th port lies.
pub(super) fn row_y(row: usize) -> f64 {
    TITLE + ROW * (row as f64 + 0.5)
}

pub(super) fn output_row(plan: &Plan, edge: usize) -> usize {
    let edge = &plan.edges[edge];
    plan.nodes[edge.from.node].spec.outputs.iter().position(|port| port.name == edge.from.port).unwrap_or(0)
}

pub(super) fn input_row(plan: &Plan, edge: usize) -> usize {
    let edge = &plan.edges[edge];
    plan.nodes[edge.to.node].spec.inputs.iter().position(|port| port.name == edge.to.port).unwrap_or(0)
}

fn output_y(plan: &Plan, edge: usize) -> f64 {
    row_y(output_row(plan, edge))
}

fn input_y(plan: &Plan, edge: usize) -> f64 {
    row_y(input_row(plan, edge))
}

/// The edges that close a cycle.
fn backward_edges(plan: &Plan) -> Vec<bool> {
    let mut backwards = vec![false; plan.edges.len()];
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); plan.nodes.len()];
    for (index, edge) in plan.edges.iter().enumerate() {
        out[edge.from.node].push(index);
    }
    // 0 new, 1 on the path, 2 done
    let mut marks = vec![0u8; plan.nodes.len()];
    // From the sensors first, so that what closes a cycle is the edge that leads back.
    let mut starts: Vec<usize> = (0..plan.nodes.len()).collect();
    starts.sort_by_key(|&node| plan.nodes[node].role != crate::Role::Sensor);
    for start in starts {
        if marks[start] != 0 {
            continue;
        }
        marks[start] = 1;
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.last_mut() {
            let Some(&edge) = out[*node].get(*next) else {
                marks[*node] = 2;
                path.pop();
                continue;
            };
            *next += 1;
            let target = plan.edges[edge].to.node;
            match marks[target] {
                0 => {
                    marks[target] = 1;
                    path.push((target, 0));
                }
                1 => backwards[edge] = true,
                _ => {}
            }
        }
    }
    backwards
}

/// The layer of each node: one behind the last of those that feed it; a sensor just before the first that it feeds.
fn layers(plan: &Plan, backwards: &[bool]) -> Vec<usize> {
    let mut layer = vec![0; plan.nodes.len()];
    let forward: Vec<_> = plan.edges.iter().zip(backwards).filter(|(_, back)| !**back).map(|(edge, _)| edge).collect();
    // Without the backward edges there is no cycle, so at most one round for each node changes anything.
    for _ in 0..plan.nodes.len() {
        let mut changed = false;
        for edge in &forward {
            if layer[edge.to.node] <= layer[edge.from.node] {
                layer[edge.to.node] = layer[edge.from.node] + 1;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    for node in 0..plan.nodes.len() {
        let fed = forward.iter().any(|edge| edge.to.node == node);
        let first = forward.iter().filter(|edge| edge.from.node == node).map(|edge| layer[edge.to.node]).min();
        if let (false, Some(first)) = (fed, first) {
            layer[node] = first - 1;
        }
    }
    layer
}

/// Orders each layer by where its neighbours stand.
fn order(layers: &mut [Vec<usize>], links: &[Link], items: usize) {
    let mut position = vec![0.0; items];
    for layer in layers.iter() {
        for (index, &item) in layer.iter().enumerate() {
            position[item] = index as f64;
        }
    }
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        let indices: Vec<usize> = if forward { (0..layers.len()).collect() } else { (0..layers.len()).rev().collect() };
        for index in indices {
            let wanted = |item: usize| {
                let neighbours: Vec<f64> = links
                    .iter()
                    .filter_map(|link| match forward {
                        true => (link.to == item).then(|| position[link.from] + link.from_y / 1000.0),
                        false => (link.from == item).then(|| position[link.to] + link.to_y / 1000.0),
                    })
                    .collect();
                if neighbours.is_empty() {
                    position[item]
                } else {
                    neighbours.iter().sum::<f64>() / neighbours.len() as f64
                }
            };
            let mut keyed: Vec<(f64, usize)> = layers[index].iter().map(|&item| (wanted(item), item)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            layers[index] = keyed.into_iter().map(|(_, item)| item).collect();
            for (place, &item) in layers[index].iter().enumerate() {
                position[item] = place as f64;
            }
        }
    }
}

/// The top of each item, such that edges are straight where the boxes let them.
fn heights_settled(layers: &[Vec<usize>], links: &[Link], heights: &[f64]) -> Vec<f64> {
    let mut ys = vec![0.0; heights.len()];
    for layer in layers {
        let mut y = 0.0;
        for &item in layer {
            ys[item] = y;
            y += heights[item] + GAP;
        }
    }
    for sweep in 0..SWEEPS * 2 {
        let indices: Vec<usize> =
            if sweep % 2 == 0 { (0..layers.len()).collect() } else { (0..layers.len()).rev().collect() };
        for index in indices {
            let wanted: Vec<f64> = layers[index]
                .iter()
                .map(|&item| {
                    let to = links.iter().filter(|link| link.to == item).map(|l| ys[l.from] + l.from_y - l.to_y);
                    let from = links.iter().filter(|link| link.from == item).map(|l| ys[l.to] + l.to_y - l.from_y);
                    let all: Vec<f64> = to.chain(from).collect();
                    if all.is_empty() { ys[item] } else { all.iter().sum::<f64>() / all.len() as f64 }
                })
                .collect();
            let spaces: Vec<f64> = layers[index].iter().map(|&item| heights[item] + GAP).collect();
            for (&item, y) in layers[index].iter().zip(apart(&wanted, &spaces)) {
                ys[item] = y;
            }
        }
    }
    let top = ys.iter().copied().fold(f64::INFINITY, f64::min);
    ys.iter().map(|y| y - top).collect()
}

/// The places nearest to `wanted` (least squares) that keep the order and leave `spaces[i]` behind the i-th.
pub(super) fn apart(wanted: &[f64], spaces: &[f64]) -> Vec<f64> {
    // Without the spaces this is isotonic regression: pool neighbours that violate the order.
    let mut offset = 0.0;
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    let mut offsets = Vec::new();
    for (want, space) in wanted.iter().zip(spaces) {
        blocks.push((want - offset, 1));
        offsets.push(offset);
        offset += space;
        while let [.., (before, n), (last, m)] = blocks.as_slice() {
            if before <= last {
                break;
            }
            let pooled = ((before * *n as f64 + last * *m as f64) / (n + m) as f64, n + m);
            blocks.truncate(blocks.len() - 2);
            blocks.push(pooled);
        }
    }
    let values = blocks.into_iter().flat_map(|(value, count)| std::iter::repeat_n(value, count));
    values.zip(offsets).map(|(value, offset)| value + offset).collect()
}

/// Layers, order and heights, before the widths are known.
struct Draft<'a> {
    plan: &'a Plan,
    layers: Vec<Vec<usize>>,
    layer_of: Vec<usize>,
    /// By edge: the items that it passes.
    passes: Vec<Vec<usize>>,
    backwards: Vec<bool>,
    heights: Vec<f64>,
    ys: Vec<f64>,
}

impl Draft<'_> {
    fn placed(&self, labels: &[String]) -> Layout {
        let nodes = self.plan.nodes.len();
        let mut layout = Layout { places: vec![Place::default(); nodes], ..Layout::default() };
        let mut x = 0.0;
        // Left and right end of each layer.
        let mut spans: Vec<(f64, f64)> = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let in_layer = || layer.iter().copied().filter(|&item| item < nodes);
            let width = in_layer().map(|node| node_width(self.plan, node)).fold(0.0, f64::max);
            for node in in_layer() {
                let own = node_width(self.plan, node);
                let (x, y, height) = (x + (width - own) / 2.0, self.ys[node], self.heights[node]);
                layout.places[node] = Place { x, y, width: own, height };
            }
            spans.push((x, x + width));
            let edges = self.plan.edges.iter().zip(labels);
            let here = edges.filter(|(edge, _)| self.layer_of[edge.from.node] == index);
            let label = here.map(|(_, label)| label.chars().count()).max().unwrap_or(0);
            x += width + (label as f64 * CHAR + 50.0).max(BETWEEN);
        }
        layout.width = spans.last().map_or(0.0, |(_, right)| *right);
        layout.height = layout.places.iter().map(|place| place.y + place.height).fold(0.0, f64::max);
        layout.routes = (0..self.plan.edges.len()).map(|edge| self.route(edge, &spans)).collect();
        layout
    }

    fn route(&self, edge: usize, spans: &[(f64, f64)]) -> Route {
        let first = self.layer_of[self.plan.edges[edge].from.node];
        let left = spans[first].1;
        let right = spans.get(first + 1).map_or(left + BETWEEN, |(left, _)| *left);
        let mut points = Vec::new();
        for (step, &item) in self.passes[edge].iter().enumerate() {
            let (left, right) = spans[first + 1 + step];
            let y = self.ys[item] + PASSING / 2.0;
            points.extend([(left, y), (right, y)]);
        }
        Route { points, backwards: self.backwards[edge], label_x: (left + right) / 2.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn boxes_keep_their_order_and_their_distance() {
        assert_eq!(apart(&[0.0, 100.0], &[10.0, 10.0]), [0.0, 100.0]);
        assert_eq!(apart(&[50.0, 50.0], &[10.0, 10.0]), [45.0, 55.0]);
        assert_eq!(apart(&[30.0, 0.0, 0.0], &[10.0, 10.0, 10.0]), [0.0, 10.0, 20.0]);
    }
}
