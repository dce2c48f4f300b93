//! The report: every mistake of a graph at once, as a person or a program reads it.
use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{
    Diagnostic, Label, Severity,
    source::{FileId, Location, Source, Sources, Span},
};

/// Most mistakes that are drawn; all of them are counted and serialised.
const MOST_DRAWN: usize = 100;
/// Longest line that is drawn, in bytes; a graph with a longer one (no person wrote it) gets places in words only.
const LONGEST_LINE: usize = 4096;

/// Every mistake of a graph, worst first within their order in the files.
#[derive(Clone, Debug, Default)]
pub struct Report {
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
}

/// How to draw a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// Box-drawing characters and colours, for a terminal; otherwise plain ASCII.
    pub terminal: bool,
    /// Colours (on a terminal).
    pub colour: bool,
    /// Characters in a line.
    pub width: usize,
}

impl Drawing {
    /// ASCII without colours, 100 characters wide: pipes, logs and tests.
    pub const PLAIN: Self = Self { terminal: false, colour: false, width: 100 };
}

impl Default for Drawing {
    fn default() -> Self {
        Self::PLAIN
    }
}

impl Report {
    pub(crate) fn new(sources: Sources, mut diagnostics: Vec<Diagnostic>) -> Self {
        // Stable: mistakes of one place keep the order in which the checks found them.
        diagnostics.sort_by_key(|diagnostic| {
            let warning = diagnostic.severity == Severity::Warning;
            (warning, diagnostic.labels.first().map(|label| label.span))
        });
        Self { sources, diagnostics }
    }

    /// The mistakes, errors before warnings, each in the order of the files.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many mistakes weigh that much.
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// Whether the graph itself is right and only models have to be pulled.
    pub fn only_models_missing(&self) -> bool {
        self.count(Severity::MissingModel) > 0
            && self.count(Severity::Error) == 0
            && self.count(Severity::MissingDevice) == 0
    }

    /// Whether the graph itself is right and this machine lacks an accelerator that it insists on.
    pub fn device_missing(&self) -> bool {
        self.count(Severity::MissingDevice) > 0 && self.count(Severity::Error) == 0
    }

    /// The models that have to be pulled, each once.
    pub fn missing_models(&self) -> Vec<&str> {
        let mut models = Vec::new();
        for diagnostic in &self.diagnostics {
            if let (Severity::MissingModel, Some(model)) = (diagnostic.severity, diagnostic.subject.as_deref())
                && !models.contains(&model)
            {
                models.push(model);
            }
        }
        models
    }

    /// Where a label points.
    pub fn locate(&self, label: &Label) -> Location {
        self.sources.locate(label.span)
    }

    /// The report as a person reads it, ending in a count.
    pub fn draw(&self, drawing: Drawing) -> String {
        let theme = match (drawing.terminal, drawing.colour) {
            (true, true) => GraphicalTheme::unicode(),
            (true, false) => GraphicalTheme::unicode_nocolor(),
            (false, _) => GraphicalTheme::none(),
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_links(false)
            .with_width(drawing.width)
            .with_context_lines(1)
            .with_break_words(false)
            .without_syntax_highlighting();
        let mut text = String::new();
        for diagnostic in self.diagnostics.iter().take(MOST_DRAWN) {
            // Writing to a String fails only if a span lies outside its file, which no check makes.
            let drawn = Drawn::of(&self.sources, diagnostic);
            for part in std::iter::once(&drawn).chain(&drawn.related) {
                let _ = handler.render_report(&mut text, part);
            }
            text.push('\n');
        }
        // The graphical handler pads empty lines.
        let mut text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        if self.diagnostics.len() > MOST_DRAWN {
            text.push_str(&format!("the first {MOST_DRAWN} of {}\n", self.diagnostics.len()));
        }
        text.push_str(&self.summary());
        text
    }

    /// `2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        let mut part = |count: usize, one: &str, many: &str| {
            parts.push(format!("{count} {}", if count == 1 { one } else { many }));
        };
        part(self.count(Severity::Error), "error", "errors");
        if self.count(Severity::MissingDevice) > 0 {
            part(self.count(Severity::MissingDevice), "missing accelerator", "missing accelerators");
        }
        if self.count(Severity::MissingModel) > 0 {
            part(self.missing_models().len(), "missing model", "missing models");
        }
        part(self.count(Severity::Warning), "warning", "warnings");
        parts.join(", ")
    }
}

/// Plain, 100 characters wide; ends in `N errors, M warnings`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.draw(Drawing::PLAIN))
    }
}

impl std::error::Error for Report {}

#[derive(Serialize)]
struct LabelRecord<'a> {
    #[serde(flatten)]
    location: Location,
    text: &'a str,
}

#[derive(Serialize)]
struct DiagnosticRecord<'a> {
    code: &'static str,
    severity: Severity,
    message: &'a str,
    labels: Vec<LabelRecord<'a>>,
    help: Option<&'a str>,
    subject: Option<&'a str>,
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let diagnostics: Vec<_> = self
            .diagnostics
            .iter()
            .map(|diagnostic| DiagnosticRecord {
                code: diagnostic.code.as_str(),
                severity: diagnostic.severity,
                message: &diagnostic.message,
                labels: diagnostic
                    .labels
                    .iter()
                    .map(|label| LabelRecord { location: self.locate(label), text: &label.text })
                    .collect(),
                help: diagnostic.help.as_deref(),
                subject: diagnostic.subject.as_deref(),
            })
            .collect();
        let mut report = serializer.serialize_struct("Report", 3)?;
        report.serialize_field("errors", &(self.diagnostics.len() - self.count(Severity::Warning)))?;
        report.serialize_field("warnings", &self.count(Severity::Warning))?;
        report.serialize_field("diagnostics", &diagnostics)?;
        report.end()
    }
}

/// A diagnostic with its texts, as miette draws it: labels of the first label's file here, others in
/// drawings of their own that follow, since miette draws one file at a time.
#[derive(Debug)]
struct Drawn {
    code: Option<String>,
    severity: Severity,
    message: String,
    labels: Vec<Label>,
    help: Option<String>,
    source: Option<miette::NamedSource<String>>,
    related: Vec<Drawn>,
}

impl Drawn {
    fn of(sources: &Sources, diagnostic: &Diagnostic) -> Self {
        let mut files: Vec<FileId> = Vec::new();
        for label in &diagnostic.labels {
            if !files.contains(&label.span.file) {
                files.push(label.span.file);
            }
        }
        let of_file = |file: FileId| {
            diagnostic.labels.iter().filter(|label| label.span.file == file).cloned().collect::<Vec<_>>()
        };
        let named = |file: FileId| {
            let source: Option<&std::sync::Arc<Source>> = sources.get(file);
            let source = source.filter(|source| source.text.lines().all(|line| line.len() <= LONGEST_LINE));
            source.map(|source| miette::NamedSource::new(&source.name, source.text.clone()))
        };
        let related = files
            .iter()
            .skip(1)
            .map(|&file| Self {
                code: None,
                severity: Severity::MissingModel,
                message: format!("see {}", sources.name(file)),
                labels: of_file(file),
                help: None,
                source: named(file),
                related: Vec::new(),
            })
            .collect();
        let in_words = diagnostic.labels.iter().filter(|label| named(label.span.file).is_none()).map(|label| {
            let Location { file, line, column, .. } = sources.locate(label.span);
            format!("{file}:{line}:{column}: {}", label.text)
        });
        let help: Vec<String> = in_words.chain(diagnostic.help.clone()).collect();
        Self {
            code: Some(match diagnostic.labels.first().map(|label| sources.locate(label.span)) {
                Some(Location { file, line, column, .. }) => format!("{} at {file}:{line}:{column}", diagnostic.code),
                None => diagnostic.code.to_string(),
            }),
            severity: diagnostic.severity,
            message: diagnostic.message.clone(),
            labels: files.first().map(|&file| of_file(file)).unwrap_or_default(),
            help: (!help.is_empty()).then(|| help.join("\n")),
            source: files.first().and_then(|&file| named(file)),
            related,
        }
    }
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Drawn {}

impl miette::Diagnostic for Drawn {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.as_ref().map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error | Severity::MissingDevice => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::MissingModel => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        if self.labels.is_empty() {
            return None;
        }
        Some(Box::new(self.labels.iter().enumerate().map(|(index, Label { span: Span { start, end, .. }, text })| {
            let place = *start..*end;
            let text = Some(text.clone()).filter(|text| !text.is_empty());
            if index == 0 {
                miette::LabeledSpan::new_primary_with_span(text, place)
            } else {
                miette::LabeledSpan::new_with_span(text, place)
            }
        })))
    }
}
