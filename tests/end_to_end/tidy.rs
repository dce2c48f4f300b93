//! Keeps the house in order: which crate may know which, where `unsafe`, time, threads and printing live, how files look.
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What each crate may depend on; `nanomind` is the root package.
const ARROWS: &[(&str, &[&str])] = &[
    ("hal", &[]),
    ("kernels", &["hal"]),
    ("graphs", &["hal"]),
    ("bricks", &["hal", "kernels"]),
    ("actors", &["bricks", "graphs", "hal", "kernels"]),
    ("benches/peers", &["bricks", "hal", "kernels"]),
    ("", &["actors", "bricks", "graphs", "hal", "kernels"]),
];

/// The only folders in which `unsafe` may be written.
const UNSAFE_ADDRESSES: &[&str] =
    &["hal/src/memory/", "hal/src/cpu/", "hal/src/gpu/", "hal/src/ffi/", "kernels/src/cpu/"];

/// How code reads time or waits behind the clock's back.
const TIME: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "tokio::time",
    "thread::sleep",
    "park_timeout",
    "run_interval",
    "run_later",
    "actix::clock",
];

/// The files that are the clock.
const CLOCK: &[&str] = &["hal/src/clock.rs"];

const THREADS: &[&str] = &["thread::spawn", "thread::Builder", "thread::scope", "spawn_blocking", "SyncArbiter"];

/// Who starts threads besides hal, and why.
const THREAD_EXCEPTIONS: &[(&str, &str)] = &[
    ("actors/src/threads.rs", "waits for pipes and files, which block and know no cancellation; computes nothing"),
    ("actors/src/line_editor.rs", "waits for a keyboard, which blocks and knows no cancellation"),
    ("src/interrupt.rs", "waits for Ctrl-C while a verb without an event loop runs"),
];

/// Results for a pipe, and who may print them: the command line's own output, and programs that show the library.
const STDOUT: &[&str] = &["println!", "print!"];
const STDOUT_PRINTERS: &[&str] = &["src/output", "examples/"];

/// Words for a person, and who may say them: command lines; libraries return errors and trace.
const STDERR: &[&str] = &["eprintln!", "eprint!", "dbg!"];
const STDERR_PRINTERS: &[&str] = &["src/", "examples/", "benches/"];

/// One source file of the repository.
struct Source {
    /// From the root, with `/`.
    path: String,
    text: String,
    /// The text with comments and literals blanked and the tests at its end cut off: what is compiled into the product.
    code: String,
}

impl Source {
    fn is_product(&self) -> bool {
        let mut parts = self.path.split('/');
        let in_source = self.path.starts_with("examples/") || parts.any(|part| part == "src");
        in_source && !parts.any(|part| matches!(part, "tests" | "tests.rs"))
    }

    fn lives_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// `path:line: what` for each line of the product's code that holds one of the needles as a whole word.
    fn offences<'a>(&'a self, needles: &'a [&str]) -> impl Iterator<Item = String> + 'a {
        self.code.lines().enumerate().flat_map(move |(at, line)| {
            let found = needles.iter().filter(move |needle| holds_word(line, needle));
            found.map(move |needle| format!("{}:{}: {needle}", self.path, at + 1))
        })
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files under `folder` with one of the extensions, in the order of their names; build outputs are passed over.
fn files_under(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | ".git" | "corpus" | "artifacts") {
                files_under(&path, extensions, found);
            }
        } else if extensions.contains(&path.extension().map_or("", |extension| extension.to_str().unwrap_or(""))) {
            found.push(path);
        }
    }
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    files_under(root(), &["rs"], &mut paths);
    assert!(paths.len() > 20, "only {} Rust files found under {}", paths.len(), root().display());
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let mut code = without_comments_and_literals(&text);
            if let Some(tests) = code.find("#[cfg(test)]\nmod ").or_else(|| code.find("#[cfg(all(test")) {
                code.truncate(tests);
            }
            Source { path: relative(&path), text, code }
        })
        .collect()
}

/// Whether `needle` stands in `line` and is not part of a longer name.
fn holds_word(line: &str, needle: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + needle.len()..].chars().next();
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

/// Blanks comments, strings and characters; lines keep their numbers. Lifetimes stay.
fn without_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_or_comment_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself if none begins there.
fn literal_or_comment_end(chars: &[char], at: usize) -> usize {
    let char_at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let after_name = at > 0 && is_name(char_at(at - 1));
    match (char_at(at), char_at(at + 1)) {
        ('/', '/') => (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len()),
        ('/', '*') => {
            let mut depth = 0;
            let mut i = at;
            while i < chars.len() {
                match (char_at(i), char_at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 {
                    break;
                }
            }
            i.min(chars.len())
        }
        ('"', _) => quoted_end(chars, at + 1, '"'),
        ('r', '"' | '#') if !after_name || char_at(at - 1) == 'b' => {
            let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
            if char_at(at + 1 + hashes) != '"' {
                return at;
            }
            let mut closing = vec!['"'];
            closing.extend(std::iter::repeat_n('#', hashes));
            let body = at + 2 + hashes;
            let close = chars[body..].windows(closing.len()).position(|window| window == closing);
            close.map_or(chars.len(), |close| body + close + closing.len())
        }
        // A character literal, unlike a lifetime, is closed again after one character or an escape.
        ('\'', '\\') => quoted_end(chars, at + 1, '\''),
        ('\'', _) if char_at(at + 2) == '\'' => at + 3,
        _ => at,
    }
}

fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn expect_none(offences: impl IntoIterator<Item = String>, rule: &str) {
    let offences: Vec<String> = offences.into_iter().collect();
    assert!(offences.is_empty(), "{rule}\n  {}\n", offences.join("\n  "));
}

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut offences = Vec::new();
    for (name, allowed) in allowed {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let mut section = "";
        for line in manifest.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            }
            let key = line.trim_start_matches("[dependencies.").split(['.', ' ', '=', ']']).next().unwrap_or("");
            let Some(other) = key.strip_prefix("nanomind-") else { continue };
            if !section.starts_with("[workspace") && !allowed.contains(&other) {
                let from = if name.is_empty() { "the root package" } else { name };
                offences.push(format!("{from} depends on {other} in {section}"));
            }
        }
    }
    expect_none(offences, "an arrow that the house does not have (see ARCHITECTURE.md):");
}

#[test]
fn unsafe_code_lives_at_its_addresses_and_says_why_it_is_sound() {
    let mut offences = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        let code = without_comments_and_literals(&source.text);
        for (at, line) in code.lines().enumerate().filter(|(_, line)| holds_word(line, "unsafe")) {
            let place = format!("{}:{}", source.path, at + 1);
            if !source.lives_in(UNSAFE_ADDRESSES) {
                offences.push(format!("{place}: unsafe outside {UNSAFE_ADDRESSES:?}"));
            }
            let needs_reason = line.contains("unsafe {") || line.contains("unsafe impl");
            let above = &lines[at.saturating_sub(12)..=at];
            if needs_reason && !above.iter().any(|line| line.contains("SAFETY")) {
                offences.push(format!("{place}: no SAFETY comment above"));
            }
        }
    }
    expect_none(offences, "unsafe code:");
}

#[test]
fn every_crate_forbids_unsafe_code_or_denies_it_at_the_root() {
    let attribute = |path: &str, attribute: &str| {
        let text = fs::read_to_string(root().join(path)).unwrap();
        (!text.lines().any(|line| line == attribute)).then(|| format!("{path}: no {attribute}"))
    };
    let forbid = [
        "graphs/src/lib.rs",
        "bricks/src/lib.rs",
        "actors/src/lib.rs",
        "benches/peers/src/main.rs",
        "src/lib.rs",
        "src/main.rs",
    ];
    let deny = ["hal/src/lib.rs", "kernels/src/lib.rs"];
    let forbid = forbid.iter().filter_map(|path| attribute(path, "#![forbid(unsafe_code)]"));
    let deny = deny.iter().filter_map(|path| attribute(path, "#![deny(unsafe_code)]"));
    let missing: Vec<String> = forbid.chain(deny).collect();
    let allowed = sources().into_iter().filter(|source| source.code.contains("allow(unsafe_code)"));
    let misplaced = allowed.filter(|source| !source.lives_in(UNSAFE_ADDRESSES) && !source.lives_in(&deny_roots()));
    let misplaced: Vec<String> = misplaced.map(|source| format!("{}: allows unsafe code", source.path)).collect();
    expect_none(missing.into_iter().chain(misplaced), "the attributes that keep unsafe code at its addresses:");
}

/// The files that may open an address for unsafe code.
fn deny_roots() -> [&'static str; 2] {
    ["hal/src/lib.rs", "kernels/src/lib.rs"]
}

#[test]
fn only_the_clock_reads_the_time_or_sleeps() {
    let sources = sources();
    let product = sources.iter().filter(|source| source.is_product() && !source.lives_in(CLOCK));
    expect_none(product.flat_map(|source| source.offences(TIME)), "time goes through hal's clock only:");
}

#[test]
fn only_hal_starts_threads_but_for_named_exceptions() {
    let exceptions: Vec<&str> = THREAD_EXCEPTIONS.iter().map(|(path, _)| *path).collect();
    let sources = sources();
    let product = sources
        .iter()
        .filter(|source| source.is_product() && !source.lives_in(&["hal/src/"]) && !source.lives_in(&exceptions));
    expect_none(product.flat_map(|source| source.offences(THREADS)), "threads are hal's:");
}

#[test]
fn kernels_and_graphs_open_no_file() {
    let sources = sources();
    let pure = sources.iter().filter(|source| source.lives_in(&["kernels/src/", "graphs/src/"]));
    let offences = pure.flat_map(|source| source.offences(&["std::fs", "fs::read", "fs::write", "File::open"]));
    expect_none(offences, "kernels and graphs are handed what they read:");
}

#[test]
fn printing_is_the_command_lines_alone() {
    let sources = sources();
    let printed = |needles: &'static [&'static str], printers: &[&str]| -> Vec<String> {
        let silent = sources.iter().filter(|source| source.is_product() && !source.lives_in(printers));
        silent.flat_map(|source| source.offences(needles)).collect()
    };
    expect_none(printed(STDOUT, STDOUT_PRINTERS), "results go to standard output through src/output.rs:");
    expect_none(printed(STDERR, STDERR_PRINTERS), "libraries return errors or trace:");
}

#[test]
fn every_source_file_says_what_it_is_for_and_bears_the_name_of_a_noun() {
    let mut offences = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//!") {
            offences.push(format!("{}: does not begin with //!", source.path));
        }
        let stem = source.path.rsplit('/').next().unwrap().trim_end_matches(".rs");
        if matches!(stem, "utils" | "util" | "common" | "helpers" | "helper" | "misc" | "stuff") {
            offences.push(format!("{}: name it after what it holds", source.path));
        }
    }
    expect_none(offences, "one noun a file, said in its first line:");
}

#[test]
fn texts_hold_no_placeholders_no_machine_paths_and_no_endless_lines() {
    // Written apart, or this file would find itself.
    let markers = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat(), ["HA", "CK"].concat()];
    let placeholders = [["todo", "!"].concat(), ["unimplemented", "!"].concat()];
    let machine_paths = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat()];
    let mut paths = Vec::new();
    files_under(root(), &["rs", "toml", "ron", "md", "py", "sh", "yml"], &mut paths);
    let mut offences = Vec::new();
    for path in paths {
        let name = relative(&path);
        for (at, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let place = format!("{name}:{}", at + 1);
            let marked = markers.iter().chain(&placeholders).find(|marker| holds_word(line, marker));
            offences.extend(marked.map(|marker| format!("{place}: {marker}")));
            let local = machine_paths.iter().find(|local| line.contains(local.as_str()));
            offences.extend(local.map(|local| format!("{place}: {local}")));
            let width = line.chars().count();
            if width > 160 && !name.ends_with(".md") {
                offences.push(format!("{place}: {width} characters wide, at most 160"));
            }
        }
    }
    expect_none(offences, "in texts:");
}

#[test]
fn fixtures_together_stay_below_two_megabytes() {
    fn size(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { size(&path) } else { path.metadata().unwrap().len() }).sum()
    }
    let bytes = size(&root().join("tests/fixtures"));
    assert!(bytes < 2_000_000, "tests/fixtures holds {bytes} bytes, at most 2,000,000");
}
