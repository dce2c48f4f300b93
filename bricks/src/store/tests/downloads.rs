//! Downloads from plain addresses and from a hub.
use std::{fs, sync::Arc, thread, time::Duration};

use super::{
    super::{Network, PullEvent, PullOutcome, StoreSettings},
    Machine,
    server::{Reply, Server},
    sha256, weights,
};

fn reference(server: &Server, content: &[u8]) -> String {
    format!("{}#sha256={}", server.url("/model.gguf"), sha256(content))
}

#[test]
fn a_whole_file_comes_with_its_receipt_and_is_not_fetched_twice() {
    let content = weights(700_000);
    let served = content.clone();
    let server = Server::start(move |request| Reply::file(request, &served, "v1"));
    let (machine, reference) = (Machine::new(), reference(&server, &content));
    let mut last = (0, None);
    let pulled = machine.pull_with(&reference, &mut |event| {
        if let PullEvent::Fetching { bytes, total } = event {
            assert!(bytes >= last.0, "went back from {} to {bytes}", last.0);
            last = (bytes, total);
        }
    });
    let pulled = pulled.expect("pulled");
    assert_eq!(last, (700_000, Some(700_000)), "the last progress is the whole file");
    assert_eq!(pulled.outcome, PullOutcome::Verified(sha256(&content)));
    assert_eq!(fs::read(&pulled.path).expect("the file"), content);
    let folder = format!("models/url/{}", sha256(&content));
    assert_eq!(machine.files(), [format!("{folder}/model.gguf"), format!("{folder}/model.gguf.json")]);

    assert_eq!(machine.pull(&reference).expect("pulled").outcome, PullOutcome::AlreadyHere);
    assert_eq!(server.requests().len(), 1, "a file that is here was fetched again");
}

#[test]
fn a_cut_download_goes_on_where_it_was_cut() {
    let content = weights(500_000);
    let served = content.clone();
    let server = Server::start(move |request| {
        let reply = Reply::file(request, &served, "v1");
        if request.before < 3 { reply.cut_after(100_000) } else { reply }
    });
    let machine = Machine::new();
    let mut retries = Vec::new();
    let pulled = machine.pull_with(&reference(&server, &content), &mut |event| {
        if let PullEvent::Retrying { cause, kept, .. } = event {
            retries.push(format!("{cause}; {kept} kept"));
        }
    });
    assert_eq!(fs::read(pulled.expect("pulled").path).expect("the file"), content);
    let cut = |at: u64| format!("the connection is cut at {at} of 500000 bytes; {at} kept");
    assert_eq!(retries, [cut(100_000), cut(200_000), cut(300_000)]);
    let requests = server.requests();
    let ranges: Vec<_> = requests.iter().map(|r| (r.header("range"), r.header("if-range"))).collect();
    let resumed = |range| (Some(range), Some("\"v1\""));
    let expected = [(None, None), resumed("bytes=100000-"), resumed("bytes=200000-"), resumed("bytes=300000-")];
    assert_eq!(ranges, expected);
}

#[test]
fn a_later_pull_goes_on_where_the_last_one_gave_up() {
    let content = weights(300_000);
    let served = content.clone();
    let server = Server::start(move |request| match request.before {
        0 => Reply::file(request, &served, "v1").cut_after(120_000),
        1..3 => Reply::status(503),
        _ => Reply::file(request, &served, "v1"),
    });
    let (machine, reference) = (Machine::new(), reference(&server, &content));
    let error = machine.pull_fails(&reference);
    assert!(error.contains("the server answers 503, 3 times in a row; 120000 bytes are kept"), "{error}");
    assert!(machine.store().resolve(&reference.parse().expect("good")).is_err(), "half a file was found");

    let pulled = machine.pull(&reference).expect("pulled");
    assert_eq!(fs::read(pulled.path).expect("the file"), content);
    assert_eq!(
        server.requests().last().and_then(|r| r.header("range").map(str::to_owned)).as_deref(),
        Some("bytes=120000-")
    );
}

#[test]
fn a_server_that_ignores_ranges_is_asked_for_the_whole_file() {
    let content = weights(300_000);
    let served = content.clone();
    let server = Server::start(move |request| {
        let reply = Reply::whole(&served).with("ETag", "\"v1\"");
        if request.before == 0 { reply.cut_after(200_000) } else { reply }
    });
    let machine = Machine::new();
    let pulled = machine.pull(&reference(&server, &content)).expect("pulled");
    assert_eq!(fs::read(pulled.path).expect("the file"), content);
}

#[test]
fn a_file_that_changed_in_between_is_fetched_from_its_start() {
    let (old, new) = (weights(300_000), weights(400_000).split_off(100_000));
    let served = new.clone();
    let server = Server::start(move |request| match request.before {
        0 => Reply::file(request, &old, "old").cut_after(100_000),
        _ => Reply::file(request, &served, "new"),
    });
    let machine = Machine::new();
    let pulled = machine.pull(&reference(&server, &new)).expect("pulled");
    assert_eq!(fs::read(pulled.path).expect("the file"), new);
}

#[test]
fn a_wrong_digest_names_both_and_leaves_nothing() {
    let (content, expected) = (weights(1000), sha256(b"something else"));
    let served = content.clone();
    let server = Server::start(move |request| Reply::file(request, &served, "v1"));
    let machine = Machine::new();
    let error = machine.pull_fails(&format!("{}#sha256={expected}", server.url("/model.gguf")));
    assert!(error.contains(&format!("expected sha256 {expected}, found {}", sha256(&content))), "{error}");
    assert_eq!(machine.files(), Vec::<String>::new());
}

#[test]
fn a_missing_file_is_an_error_at_once() {
    let server = Server::start(|_| Reply::status(404));
    let machine = Machine::new();
    let error = machine.pull_fails(&reference(&server, b""));
    assert!(error.contains("/model.gguf: the server answers 404 (not found; check the spelling)"), "{error}");
    assert_eq!(server.requests().len(), 1, "a 404 was tried again");
    assert_eq!(machine.files(), Vec::<String>::new());
}

#[test]
fn a_range_beyond_the_end_means_complete_or_start_again() {
    let content = weights(100_000);
    // Without a Content-Length a cut cannot be told from the end: the file is whole, and only the digest is to come.
    for (label, left_over) in [("whole", 100_000), ("too long", 150_000)] {
        let served = content.clone();
        let server = Server::start(move |request| Reply::file(request, &served, "v1"));
        let (machine, reference) = (Machine::new(), reference(&server, &content));
        let path = machine.store().own_path(&reference.parse().expect("good")).expect("known").expect("own");
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let mut left = content.clone();
        left.resize(left_over, 0);
        fs::write(path.with_file_name("model.gguf.part"), &left).expect("written");
        let note = format!(
            r#"{{"reference":"{reference}","validator":"\"v1\"","sha256":"{}","total":null}}"#,
            sha256(&content)
        );
        fs::write(path.with_file_name("model.gguf.part.json"), note).expect("written");
        let pulled = machine.pull(&reference).unwrap_or_else(|error| panic!("{label}: {error}"));
        assert_eq!(fs::read(pulled.path).expect("the file"), content, "{label}");
        let expected = if left_over == 100_000 { 1 } else { 2 };
        assert_eq!(server.requests().len(), expected, "{label}");
    }
}

#[test]
fn redirects_are_followed_but_not_for_ever_and_not_to_less_safe_places() {
    let content = weights(1000);
    let served = content.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "/model.gguf" => Reply::redirect("a/b"),
        "/a/b" => Reply::redirect("/c?signed=1"),
        "/c?signed=1" => Reply::file(request, &served, "v1"),
        "/loop" => Reply::redirect("/loop"),
        "/unsafe" => Reply::redirect("http://plain.example/model"),
        "/nowhere" => Reply::status(302),
        _ => Reply::status(404),
    });
    let machine = Machine::new();
    let pulled = machine.pull(&reference(&server, &content)).expect("pulled");
    assert_eq!(fs::read(pulled.path).expect("the file"), content);

    let fails = |path: &str| machine.pull_fails(&format!("{}#sha256={}", server.url(path), sha256(path.as_bytes())));
    for (path, expected) in [
        ("/loop", "more than 10 redirects"),
        ("/unsafe", "http://plain.example/model is unencrypted"),
        ("/nowhere", "302 without a Location"),
    ] {
        let error = fails(path);
        assert!(error.contains(expected), "{path}: expected {expected:?} in: {error}");
    }
}

#[test]
fn a_slow_server_is_fine_and_a_silent_one_is_tried_again() {
    let content = weights(10_000);
    let served = content.clone();
    let server = Server::start(move |request| match request.before {
        0 => Reply::silence(),
        _ => Reply::file(request, &served, "v1").with_pauses(Duration::from_millis(20)),
    });
    let mut machine = Machine::new();
    machine.settings.patience.silence = Duration::from_millis(500);
    let mut causes = Vec::new();
    let pulled = machine.pull_with(&reference(&server, &content), &mut |event| {
        if let PullEvent::Retrying { cause, .. } = event {
            causes.push(cause.to_owned());
        }
    });
    assert_eq!(fs::read(pulled.expect("pulled").path).expect("the file"), content);
    assert_eq!(causes, ["the server is silent"]);
}

#[test]
fn nobody_there_is_said_after_a_few_attempts() {
    let error = Machine::new().pull_fails(&format!("http://127.0.0.1:1/model#sha256={}", sha256(b"")));
    assert!(error.contains("the connection fails") && error.contains("3 times in a row"), "{error}");
}

/// A hub that redirects to another server for the bytes, as the real one does.
fn hub(content: Vec<u8>, promised: String, length: usize) -> (Server, Arc<Server>) {
    let bytes = Arc::new(Server::start(move |request| Reply::file(request, &content, "v1")));
    let target = bytes.url("/bytes?signature=secret");
    let hub = Server::start(move |_| {
        let tag = format!("\"{promised}\"");
        Reply::redirect(&target).with("X-Linked-Etag", tag).with("X-Linked-Size", length.to_string())
    });
    (hub, bytes)
}

fn machine_with_hub(hub: &Server) -> Machine {
    let mut machine = Machine::new();
    let (home, endpoint) = (machine.folder.path().to_owned(), hub.url(""));
    let variables = move |name: &str| match name {
        "HF_TOKEN" => Some("hf_secret".into()),
        "HF_ENDPOINT" => Some(endpoint.clone().into()),
        "HOME" => Some(home.clone().into()),
        _ => None,
    };
    let settings = StoreSettings::from_variables(variables).expect("good settings");
    machine.settings = StoreSettings { patience: machine.settings.patience, ..settings };
    machine
}

#[test]
fn a_hub_file_is_checked_by_the_digest_that_the_hub_names() {
    let content = weights(5000);
    let (hub, bytes) = hub(content.clone(), sha256(&content).to_string(), 5000);
    let machine = machine_with_hub(&hub);
    let pulled = machine.pull("hf:org/repo/sub/model.gguf@v1").expect("pulled");
    assert_eq!(pulled.outcome, PullOutcome::Verified(sha256(&content)));
    assert!(pulled.path.ends_with("models/hub/org/repo/v1/sub/model.gguf"), "{}", pulled.path.display());
    let asked = &hub.requests()[0];
    assert_eq!(asked.path, "/org/repo/resolve/v1/sub/model.gguf");
    assert_eq!(asked.header("authorization"), Some("Bearer hf_secret"));
    assert_eq!(bytes.requests()[0].header("authorization"), None, "the token went to another host");
}

#[test]
fn a_hub_file_with_another_digest_or_size_is_refused() {
    let content = weights(5000);
    let (other, _bytes) = hub(content.clone(), sha256(b"other").to_string(), 5000);
    let error = machine_with_hub(&other).pull_fails("hf:org/repo/model.gguf");
    assert!(error.contains(&format!("expected sha256 {}", sha256(b"other"))), "{error}");
    let (longer, _bytes) = hub(content.clone(), sha256(&content).to_string(), 6000);
    let error = machine_with_hub(&longer).pull_fails("hf:org/repo/model.gguf");
    assert!(error.contains("expected a file of 6000 bytes, the server offers 5000"), "{error}");
}

#[test]
fn a_hub_file_in_the_cache_of_the_hub_clients_is_not_fetched() {
    let mut machine = Machine::new();
    machine.settings.network = Network::Forbidden { by: "--offline" };
    let repository = machine.folder.path().join("hub/models--org--repo");
    fs::create_dir_all(repository.join("snapshots/abc")).expect("made");
    fs::create_dir_all(repository.join("refs")).expect("made");
    fs::write(repository.join("refs/main"), "abc").expect("written");
    fs::write(repository.join("snapshots/abc/model.gguf"), "weights").expect("written");
    let pulled = machine.pull("hf:org/repo/model.gguf").expect("found");
    assert_eq!(pulled.outcome, PullOutcome::AlreadyHere);
    assert_eq!(pulled.path, repository.join("snapshots/abc/model.gguf"));
}

#[test]
fn offline_refuses_to_fetch_and_names_who_forbids_it() {
    let mut machine = Machine::new();
    machine.settings.network = Network::Forbidden { by: "HF_HUB_OFFLINE" };
    for reference in ["smollm2-135m", "hf:org/repo/model.gguf"] {
        let error = machine.pull_fails(reference);
        assert_eq!(
            error,
            format!("the model {reference} is not on this machine, and HF_HUB_OFFLINE forbids fetching it")
        );
    }
    assert_eq!(machine.files(), Vec::<String>::new());
}

#[test]
fn pulls_at_the_same_time_fetch_once() {
    let content = weights(200_000);
    let served = content.clone();
    let server =
        Server::start(move |request| Reply::file(request, &served, "v1").with_pauses(Duration::from_millis(10)));
    let (machine, reference) = (Machine::new(), reference(&server, &content));
    let outcomes = thread::scope(|scope| {
        let pulls: Vec<_> = (0..4).map(|_| scope.spawn(|| machine.pull(&reference).expect("pulled").outcome)).collect();
        pulls.into_iter().map(|pull| pull.join().expect("no panic")).collect::<Vec<_>>()
    });
    let fetched = outcomes.iter().filter(|outcome| **outcome != PullOutcome::AlreadyHere).count();
    assert_eq!((fetched, server.requests().len()), (1, 1), "{outcomes:?}");
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let mut machine = Machine::new();
    let blocker = machine.folder.path().join("file");
    fs::write(&blocker, "").expect("written");
    machine.settings.home = blocker.join("home");
    let error = machine.pull_fails(&format!("http://127.0.0.1:1/model#sha256={}", sha256(b"")));
    assert!(error.contains("cannot create") && error.contains("file/home/models/url"), "{error}");
}
