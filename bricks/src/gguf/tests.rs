//! What the reader accepts, and a table of hostile files with the message that each gets.

use proptest::prelude::*;

use super::*;

fn open(bytes: Vec<u8>) -> Result<Gguf, GgufError> {
    Gguf::from_bytes("test.gguf", bytes)
}

fn tiny() -> GgufWriter {
    GgufWriter::new("llama")
        .metadata("llama.block_count", 2u32)
        .metadata("general.name", "tiny")
        .tensor("a.weight", TensorType::F32, &[4, 2], vec![1; 32])
        .tensor("b.weight", TensorType::Q4_0, &[32, 3], vec![2; 54])
        .tensor("c.weight", TensorType::F16, &[1], vec![3; 2])
}

#[test]
fn what_the_writer_wrote_is_read_back() {
    for version in [2, 3] {
        let gguf = open(tiny().version(version).to_bytes()).expect("a sound file");
        assert_eq!(gguf.version(), version);
        assert_eq!(gguf.alignment(), 32);
        assert_eq!(gguf.architecture().expect("a key"), "llama");
        assert_eq!(gguf.get_u32("llama.block_count").expect("a key"), 2);
        let tensors: Vec<_> = gguf.tensors().map(|t| (t.name(), t.tensor_type(), t.cols(), t.rows())).collect();
        let expected = [
            ("a.weight", TensorType::F32, 4, 2),
            ("b.weight", TensorType::Q4_0, 32, 3),
            ("c.weight", TensorType::F16, 1, 1),
        ];
        assert_eq!(tensors, expected);
        for (name, fill, len) in [("a.weight", 1, 32), ("b.weight", 2, 54), ("c.weight", 3, 2)] {
            let tensor = gguf.tensor(name).expect("a tensor");
            assert_eq!(gguf.tensor_bytes(tensor), vec![fill; len], "bytes of {name}");
            assert_eq!(tensor.byte_range().start % 32, 0, "alignment of {name}");
        }
    }
}

#[test]
fn a_mapped_file_reads_like_one_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tiny.gguf");
    std::fs::write(&path, tiny().to_bytes()).expect("a file");
    let gguf = Gguf::open(&path).expect("a sound file");
    assert_eq!(gguf.tensor_bytes(gguf.tensor("b.weight").expect("a tensor")), vec![2; 54]);
}

#[test]
fn a_file_that_is_not_there_is_an_error_with_its_path() {
    let error = Gguf::open("/nowhere/model.gguf").expect_err("no file").to_string();
    assert!(error.starts_with("cannot map /nowhere/model.gguf: "), "{error}");
}

#[test]
fn every_metadata_type_is_read_back_with_nested_arrays() {
    let nested = WriteValue::Array(ValueType::Array, vec![vec!["a", "bc"].into(), vec![7u8].into()]);
    let bytes = GgufWriter::empty()
        .metadata("u8", 200u8)
        .metadata("i8", -5i8)
        .metadata("u16", 60_000u16)
        .metadata("i16", -30_000i16)
        .metadata("u32", u32::MAX)
        .metadata("i32", i32::MIN)
        .metadata("f32", 1.5f32)
        .metadata("bool", true)
        .metadata("string", "é")
        .metadata("u64", u64::MAX)
        .metadata("i64", i64::MIN)
        .metadata("f64", 2.5f64)
        .metadata("nested", nested)
        .metadata("bools", vec![true, false])
        .to_bytes();
    let gguf = open(bytes).expect("a sound file");
    let shown: Vec<String> = gguf.metadata().map(|(key, value)| format!("{key}={value}")).collect();
    let expected = [
        "u8=200",
        "i8=-5",
        "u16=60000",
        "i16=-30000",
        "u32=4294967295",
        "i32=-2147483648",
        "f32=1.5",
        "bool=true",
        "string=\"é\"",
        "u64=18446744073709551615",
        "i64=-9223372036854775808",
        "f64=2.5",
        "nested=2 × array [2 × string [\"a\", \"bc\"], 1 × u8 [7]]",
        "bools=2 × bool [true, false]",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn integers_of_any_type_serve_where_they_fit() {
    let bytes = GgufWriter::empty()
        .metadata("small", 7u8)
        .metadata("wide", 7i64)
        .metadata("negative", -1i32)
        .metadata("float", 7.0f32)
        .metadata("huge", f32::INFINITY)
        .to_bytes();
    let gguf = open(bytes).expect("a sound file");
    assert_eq!(gguf.get_u32("small").expect("fits"), 7);
    assert_eq!(gguf.get_u32("wide").expect("fits"), 7);
    assert_eq!(gguf.get_u32_or("absent", 9).expect("absent"), 9);
    let messages = [
        gguf.get_u32("negative").expect_err("negative").to_string(),
        gguf.find_u32("float").expect_err("a float").to_string(),
        gguf.get_f32("huge").expect_err("infinite").to_string(),
        gguf.get_str("absent").expect_err("absent").to_string(),
        gguf.tensor("w").expect_err("absent").to_string(),
    ];
    let expected = [
        "test.gguf: key `negative`: expected an integer that fits u32, found -1",
        "test.gguf: key `float`: expected an integer that fits u32, found 7.0",
        "test.gguf: key `huge`: expected a finite float, found inf",
        "test.gguf: key `absent`: expected a string, found no such key",
        "test.gguf: tensor `w`: expected a tensor of this name, found none among 0",
    ];
    assert_eq!(messages, expected);
}

#[test]
fn a_layer_list_may_be_one_integer_or_one_for_each() {
    let bytes = GgufWriter::empty().metadata("one", 3u32).metadata("each", vec![1u32, 2]).to_bytes();
    let gguf = open(bytes).expect("a sound file");
    assert_eq!(gguf.find_u32_each("one", 2).expect("one"), Some(vec![3, 3]));
    assert_eq!(gguf.find_u32_each("each", 2).expect("each"), Some(vec![1, 2]));
    assert_eq!(gguf.find_u32_each("absent", 2).expect("absent"), None);
    let error = gguf.find_u32_each("each", 3).expect_err("two for three").to_string();
    assert_eq!(error, "test.gguf: key `each`: expected one integer, or 3 for as many layers, found 2 entries");
}

#[test]
fn long_values_are_cut_when_shown_and_text_that_is_not_utf8_is_an_error_only_when_read() {
    let mut bytes = GgufWriter::empty().metadata("t", "x".repeat(100)).metadata("many", vec![1u8; 9]).to_bytes();
    let gguf = open(bytes.clone()).expect("a sound file");
    assert_eq!(gguf.find("t").expect("a key").to_string(), format!("{:?}…", "x".repeat(60)));
    assert_eq!(gguf.find("many").expect("a key").to_string(), "9 × u8 [1, 1, 1, 1, …]");
    let at = bytes.windows(4).position(|window| window == b"xxxx").expect("the text");
    bytes[at + 2] = 0xff;
    let gguf = open(bytes).expect("a sound file");
    let error = gguf.get_str("t").expect_err("not UTF-8").to_string();
    assert_eq!(error, "test.gguf: key `t`: expected UTF-8 text, found an invalid byte at 2");
}

#[test]
fn the_table_of_tensor_types_is_complete() {
    let numbers: Vec<u32> = TensorType::all().map(TensorType::number).collect();
    let expected: Vec<u32> = (0..4).chain(6..31).chain([34, 35, 39, 40, 41]).collect();
    assert_eq!(numbers, expected);
    for tensor_type in TensorType::all() {
        assert_ne!(tensor_type.name(), "?", "{tensor_type:?} has no entry");
        assert_eq!(tensor_type.name(), format!("{tensor_type:?}"));
    }
}

#[test]
fn the_kernels_and_the_file_agree_on_block_sizes() {
    for tensor_type in TensorType::all() {
        let Some(format) = tensor_type.format() else { continue };
        let kernels = (format.block_len() as u64, format.block_bytes() as u64);
        assert_eq!(kernels, (tensor_type.block_len(), tensor_type.block_bytes()), "{}", tensor_type.name());
    }
}

/// Bytes of a header: magic, version, counts, then whatever follows.
fn header(version: u32, tensors: u64, pairs: u64, rest: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(pairs.to_le_bytes());
    bytes.extend(rest.concat());
    bytes
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// A key and its type number.
fn key(name: &str, value_type: u32) -> Vec<u8> {
    [string(name), value_type.to_le_bytes().to_vec()].concat()
}

fn array(element: u32, count: u64) -> Vec<u8> {
    [&element.to_le_bytes()[..], &count.to_le_bytes()].concat()
}

fn one_tensor(tensor_type: u32, dims: &[u64], offset: Option<u64>, len: usize) -> Vec<u8> {
    GgufWriter::empty().raw_tensor("w", tensor_type, dims, offset, vec![0; len]).to_bytes()
}

fn cut(mut bytes: Vec<u8>, by: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() - by);
    bytes
}

/// Arrays in arrays, `depth` deep, the innermost empty.
fn nested(depth: usize) -> Vec<u8> {
    let mut value = vec![key("k", 9)];
    value.extend(std::iter::repeat_n(array(9, 1), depth - 1));
    value.push(array(0, 0));
    header(3, 0, 1, &[&value.concat()])
}

#[test]
fn hostile_headers_get_an_error_that_names_the_field() {
    let mut big_endian = b"GGUF".to_vec();
    big_endian.extend(3u32.to_be_bytes());
    let table: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "magic: expected 4 more bytes at offset 0, found 0 before the end of the file"),
        (b"GG".to_vec(), "magic: expected 4 more bytes at offset 0, found 2 before the end of the file"),
        (b"<htm".to_vec(), "magic: expected a file that begins with `GGUF`, found <htm"),
        (b"\0\x01\x02\xff".to_vec(), "magic: expected a file that begins with `GGUF`, found \\x00\\x01\\x02\\xff"),
        (b"GGUF\x03".to_vec(), "version: expected 4 more bytes at offset 4, found 1 before the end of the file"),
        (header(1, 0, 0, &[]), "version: expected version 2 or 3, found 1"),
        (header(4, 0, 0, &[]), "version: expected version 2 or 3, found 4"),
        (header(0, 0, 0, &[]), "version: expected version 2 or 3, found 0"),
        (big_endian, "version: expected a little-endian file, found a big-endian one (version bytes 0x03000000)"),
        (
            cut(header(3, 0, 0, &[]), 9),
            "tensor count: expected 8 more bytes at offset 8, found 7 before the end of the file",
        ),
        (
            header(3, u64::MAX, 0, &[]),
            "tensor count: expected at most 0 entries in the 8 bytes that are left, found a count of 18446744073709551615",
        ),
        (
            header(3, 0, u64::MAX / 2, &[&[0; 28]]),
            "metadata count: expected at most 2 entries in the 28 bytes that are left, found a count of 9223372036854775807",
        ),
        (
            header(3, 1, 1, &[&key("a.longer.key", 0), &[7]]),
            "tensor count: expected at most 0 entries in the 0 bytes that are left, found a count of 1",
        ),
    ];
    check_messages(table);
}

#[test]
fn hostile_metadata_gets_an_error_that_names_the_key() {
    let pair = |parts: &[&[u8]]| header(3, 0, 1, &[&parts.concat(), &[0; 16]]);
    let table: Vec<(Vec<u8>, &str)> = vec![
        (pair(&[&string("")]), "metadata key 0: expected a length of 1 to 65535 bytes, found 0"),
        (pair(&[&string(&"k".repeat(65_536))]), "metadata key 0: expected a length of 1 to 65535 bytes, found 65536"),
        (
            pair(&[&u64::MAX.to_le_bytes()]),
            "metadata key 0: expected 18446744073709551615 more bytes at offset 32, found 16 before the end of the file",
        ),
        (
            pair(&[&2u64.to_le_bytes(), b"k\xff", &0u32.to_le_bytes()]),
            "metadata key 0: expected UTF-8 text, found an invalid byte at 1",
        ),
        (pair(&[&key("k", 13)]), "key `k`: expected a metadata type from 0 to 12, found 13"),
        (pair(&[&key("k", 7), &[2]]), "key `k`: expected a boolean 0 or 1, found 2"),
        (
            pair(&[&key("k", 8), &(1u64 << 40).to_le_bytes()]),
            "key `k`: expected 1099511627776 more bytes at offset 45, found 16 before the end of the file",
        ),
        (
            pair(&[&key("k", 9), &array(6, 1 << 62)]),
            "key `k`: expected at most 4 entries in the 16 bytes that are left, found a count of 4611686018427387904",
        ),
        (
            pair(&[&key("k", 9), &array(8, 3)]),
            "key `k`: expected at most 2 entries in the 16 bytes that are left, found a count of 3",
        ),
        (pair(&[&key("k", 9), &array(99, 0)]), "key `k`: expected a metadata type from 0 to 12, found 99"),
        (pair(&[&key("k", 9), &array(7, 2), &[1, 9]]), "key `k`: expected a boolean 0 or 1, found 9"),
        (nested(100), "key `k`: expected arrays nested at most 8 deep, found more"),
        (
            header(3, 0, 2, &[&key("k", 0), &[7], &key("k", 0), &[7]]),
            "key `k`: expected each name once, found it a second time",
        ),
        (
            GgufWriter::empty().metadata("general.alignment", 24u32).to_bytes(),
            "key `general.alignment`: expected a power of two from 8 to 1048576, found 24",
        ),
        (
            GgufWriter::empty().metadata("general.alignment", 0u32).to_bytes(),
            "key `general.alignment`: expected a power of two from 8 to 1048576, found 0",
        ),
        (
            GgufWriter::empty().metadata("general.alignment", 1u32 << 31).to_bytes(),
            "key `general.alignment`: expected a power of two from 8 to 1048576, found 2147483648",
        ),
        (
            GgufWriter::empty().metadata("general.alignment", "32").to_bytes(),
            "key `general.alignment`: expected an integer that fits u32, found \"32\"",
        ),
    ];
    check_messages(table);
    assert!(open(nested(8)).is_ok(), "arrays eight deep are read");
}

#[test]
fn hostile_tensors_get_an_error_that_names_the_tensor() {
    let (f32_type, q4_0) = (0, 2);
    let overlap = GgufWriter::empty().raw_tensor("first", f32_type, &[16], None, vec![0; 64]).raw_tensor(
        "second",
        f32_type,
        &[16],
        Some(32),
        vec![0; 64],
    );
    let twice = GgufWriter::empty().raw_tensor("w", f32_type, &[8], None, vec![0; 32]).raw_tensor(
        "w",
        f32_type,
        &[8],
        None,
        vec![0; 32],
    );
    let table: Vec<(Vec<u8>, &str)> = vec![
        (
            overlap.to_bytes(),
            "tensor `second`: expected data of its own, found an overlap with tensor `first` at offset 32",
        ),
        (twice.to_bytes(), "tensor `w`: expected each name once, found it a second time"),
        (one_tensor(4, &[32], None, 64), "tensor `w`: expected a known tensor type, found 4"),
        (one_tensor(u32::MAX, &[32], None, 64), "tensor `w`: expected a known tensor type, found 4294967295"),
        (one_tensor(f32_type, &[1; 5], None, 64), "tensor `w`: expected at most 4 dimensions, found 5"),
        (one_tensor(f32_type, &[4, 0], None, 64), "tensor `w`: expected dimension 1 to be at least 1, found 0"),
        (
            one_tensor(q4_0, &[33], None, 64),
            "tensor `w`: expected rows of a multiple of 32 elements for type Q4_0, found 33",
        ),
        (
            one_tensor(f32_type, &[1 << 32, 1 << 32], None, 64),
            "tensor `w`: expected a size below 2^63 bytes, found dimensions [4294967296, 4294967296]",
        ),
        (
            one_tensor(f32_type, &[1 << 62], None, 64),
            "tensor `w`: expected a size below 2^63 bytes, found dimensions [4611686018427387904]",
        ),
        (one_tensor(f32_type, &[8], Some(12), 64), "tensor `w`: expected an offset that is a multiple of 32, found 12"),
        (
            one_tensor(f32_type, &[8], Some(64), 64),
            "tensor `w`: expected data within the 64 bytes of tensor data, found 32 bytes at offset 64",
        ),
        (
            one_tensor(f32_type, &[8], Some(u64::MAX - 31), 64),
            "tensor `w`: expected data within the 64 bytes of tensor data, found 32 bytes at offset 18446744073709551584",
        ),
        (
            cut(one_tensor(f32_type, &[16], None, 64), 1),
            "tensor `w`: expected data within the 63 bytes of tensor data, found 64 bytes at offset 0",
        ),
        (header(3, 1, 0, &[&string(""), &[0; 40]]), "name of tensor 0: expected a length of 1 to 512 bytes, found 0"),
        (
            header(3, 1, 0, &[&string("w"), &3u32.to_le_bytes(), &[0; 12]]),
            "tensor `w`: expected 8 more bytes at offset 45, found 4 before the end of the file",
        ),
    ];
    check_messages(table);
}

#[track_caller]
fn check_messages(table: Vec<(Vec<u8>, &str)>) {
    for (index, (bytes, expected)) in table.into_iter().enumerate() {
        let found = match open(bytes) {
            Ok(_) => "the file was accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, format!("test.gguf: {expected}"), "row {index} of the table");
    }
}

#[test]
fn a_file_cut_at_any_byte_is_an_error_and_never_a_panic() {
    let bytes = tiny().to_bytes();
    // The last tensor is 2 bytes in 32 of padding: only what cuts into those 2 bytes is missed.
    for len in 0..bytes.len() - 30 {
        assert!(open(bytes[..len].to_vec()).is_err(), "cut to {len} of {} bytes", bytes.len());
    }
}

/// Walks everything that a reader can ask of a file.
fn walk(gguf: &Gguf) {
    for (key, value) in gguf.metadata() {
        let _ = (value.to_string(), gguf.find_u32(key), gguf.find_str(key), gguf.find_u32_each(key, 2));
        if let Ok(array) = value.as_array() {
            let _ = (array.to_u32s(), array.to_f32s(), array.strings().map(|strings| strings.count()));
            assert_eq!(array.iter().count(), array.len(), "every element of {key} is read again");
        }
    }
    let mut taken = 0;
    for tensor in gguf.tensors() {
        assert_eq!(gguf.tensor_bytes(tensor).len(), tensor.byte_len());
        taken += tensor.byte_len();
    }
    assert!(taken <= gguf.byte_len(), "tensors of {taken} bytes in a file of {}", gguf.byte_len());
}

fn written_value() -> impl Strategy<Value = WriteValue> {
    prop_oneof![
        any::<u32>().prop_map(WriteValue::from),
        any::<i64>().prop_map(WriteValue::from),
        any::<bool>().prop_map(WriteValue::from),
        any::<f32>().prop_map(WriteValue::from),
        ".{0,12}".prop_map(WriteValue::from),
        proptest::collection::vec(any::<u16>(), 0..5).prop_map(WriteValue::from),
        proptest::collection::vec(".{0,5}", 0..5).prop_map(WriteValue::from),
        proptest::collection::vec(proptest::collection::vec(any::<bool>(), 0..3), 0..3)
            .prop_map(|rows| { WriteValue::Array(ValueType::Array, rows.into_iter().map(WriteValue::from).collect()) }),
    ]
}

fn written_file() -> impl Strategy<Value = Vec<u8>> {
    let pairs = proptest::collection::btree_map("[a-z.]{1,8}", written_value(), 0..6);
    let tensors = proptest::collection::btree_map("[a-z.]{1,8}", (1u64..5, 1u64..4), 0..5);
    (pairs, tensors, 3u32..8).prop_map(|(pairs, tensors, shift)| {
        let mut writer = GgufWriter::empty().alignment(1 << shift);
        for (key, value) in pairs {
            writer = writer.metadata(key, value);
        }
        for (name, (blocks, rows)) in tensors {
            let data = vec![5; (blocks * rows * 34) as usize];
            writer = writer.tensor(name, TensorType::Q8_0, &[blocks * 32, rows], data);
        }
        writer.to_bytes()
    })
}

proptest! {
    #[test]
    fn any_written_file_is_read_back_whole(bytes in written_file()) {
        let gguf = open(bytes).expect("a sound file");
        walk(&gguf);
        for tensor in gguf.tensors() {
            prop_assert!(gguf.tensor_bytes(tensor).iter().all(|&byte| byte == 5), "data of {}", tensor.name());
        }
    }

    #[test]
    fn changed_bytes_never_cause_a_panic(
        mut bytes in written_file(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(gguf) = open(bytes) {
            walk(&gguf);
        }
    }

    #[test]
    fn random_bytes_after_the_magic_never_cause_a_panic(rest in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [b"GGUF\x03\0\0\0", rest.as_slice()].concat();
        if let Ok(gguf) = open(bytes) {
            walk(&gguf);
        }
    }
}
