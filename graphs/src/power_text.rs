//! A power policy as a text of its own, or as a part of a graph.
use crate::{
    PowerPolicy, Report, Source,
    document::{self, Given, power},
    findings::Findings,
    source::Sources,
    tree::{self, Shape},
};

/// Reads a power policy such as `Adaptive(high: 0.50, low: 0.20)`, or that of a whole graph.
///
/// # Errors
/// The report of what is wrong with it.
pub fn read_power(source: Source) -> Result<PowerPolicy, Report> {
    let (mut sources, mut findings) = (Sources::default(), Findings::default());
    let text = source.text.clone();
    let file = sources.add(source);
    let policy = match tree::parse(&text, file) {
        Err(diagnostic) => {
            findings.push(*diagnostic);
            None
        }
        Ok(tree) if matches!(&tree.shape, Shape::Named(word, _) if word.text == "Graph") => {
            let document = document::read(tree, &Given::CommandLine(&[]), &mut sources, &mut findings);
            Some(document.power.unwrap_or_default())
        }
        Ok(tree) => power(&tree, &mut findings),
    };
    match policy {
        Some(policy) if !findings.any_error() => Ok(policy),
        _ => Err(Report::new(sources, findings.into_inner())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PowerPolicy, String> {
        read_power(Source::new("other.ron", text)).map_err(|report| report.draw(crate::Drawing::PLAIN))
    }

    #[test]
    fn a_policy_alone_and_that_of_a_graph_are_read() {
        assert_eq!(read("PowerSaver"), Ok(PowerPolicy::PowerSaver));
        assert_eq!(read("AlphaRule(high: 0.5, low: 0.2)"), Ok(PowerPolicy::AlphaRule { high: 0.5, low: 0.2 }));
        let graph = r#"Graph(name: "g", nodes: { "t": Timer(every: "1s") }, edges: [], power: Balanced)"#;
        assert_eq!(read(graph), Ok(PowerPolicy::Balanced));
    }

    #[test]
    fn what_is_no_policy_is_told_with_its_place() {
        let told = read("Adaptiv(high: 0.5, low: 0.2)").expect_err("a slip");
        assert!(told.contains("other.ron") && told.contains("Adaptive"), "{told}");
        assert!(read("Adaptive(high: 0.1, low: 0.9)").is_err());
        assert!(read("(").is_err());
    }
}
