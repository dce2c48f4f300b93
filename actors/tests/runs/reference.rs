//! What the reference of a node kind shows must be true: every example is a sound graph.

use std::path::PathBuf;

use nanomind_actors::NodeLibrary;
use nanomind_graphs::{
    Drawing, Machine, ModelCatalogue, ModelFacts, ModelProblem, NoFiles, Overrides, Source, Surroundings, check,
};

struct AnyModel;

impl ModelCatalogue for AnyModel {
    fn facts(&self, model: &str) -> Result<ModelFacts, ModelProblem> {
        Ok(ModelFacts {
            reference: model.to_owned(),
            path: PathBuf::from(model),
            architecture: "llama".to_owned(),
            embedding_width: Some(576),
            encoder_width: Some(256),
            projection_width: Some(576),
            context_length: Some(8192),
            ..ModelFacts::default()
        })
    }
}

#[test]
fn the_example_of_every_kind_is_a_sound_graph_without_warnings() {
    let library = NodeLibrary::standard().unwrap();
    let machine = Machine { accelerators: vec!["cpu".parse().unwrap()], ..Machine::default() };
    let surroundings =
        Surroundings { registry: library.registry(), loader: &NoFiles, models: &AnyModel, machine: &machine };
    for spec in library.registry().iter() {
        let graph = format!("Graph(\nname: \"example\",\n{}\n)", spec.example);
        let checked = check(Source::new(format!("{}.ron", spec.kind), graph), &Overrides::none(), surroundings);
        let plan = checked.unwrap_or_else(|report| panic!("{}", report.draw(Drawing::PLAIN)));
        assert!(plan.warnings().is_empty(), "{}", plan.warnings().draw(Drawing::PLAIN));
        assert!(plan.nodes().iter().any(|node| node.kind == spec.kind), "{} is not in its own example", spec.kind);
    }
}
