//! Logs that are whole, torn, damaged, forged, and written to a disk that is full.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nanomind_graphs::PowerPolicy;
use nanomind_hal::{Energy, MicroJoules, Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::governor::{self, BatteryObservation, DemandObservation, Input, Observation};
use crate::report::RunEnd;
use crate::request::{RequestEnd, RequestId};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_nanos(millis * 1_000_000)
}

fn header() -> Header {
    let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
    Header {
        program: "nanomind 0.1.0".into(),
        started: at(3),
        graph: GraphText {
            graph: file("graphs/chat.ron", "Graph(…)"),
            includes: vec![file("graphs/voice.ron", "Graph()")],
            params: vec![("temperature".into(), "0".into())],
            placements: vec![("mind".into(), "cpu:0".into())],
        },
        device: Some(DeviceText { name: "rk3566".into(), text: "DeviceProfile()".into() }),
        policy: PowerPolicy::Adaptive { high: 0.5, low: 0.2 },
        battery: Some(BatteryAtStart { level: 0.75, full_wh: Some(7.4), simulated: true }),
        nodes: vec![LoggedNode {
            name: "mind".into(),
            kind: "Llm".into(),
            candidates: vec!["cpu:0".parse().unwrap(), "gpu".parse().unwrap()],
        }],
    }
}

fn records() -> Vec<Record> {
    let request = RequestId(1);
    let joules = |joules| Energy::Estimated(MicroJoules::from_joules(joules));
    vec![
        Record::Arrival(Arrival {
            at: at(40),
            request,
            sensor: "question".into(),
            brought: Brought::Text { bytes: 31 },
        }),
        Record::Battery(BatteryLevel { at: at(41), level: 0.1 + 0.2, charging: false }),
        Record::Answer(Answer {
            at: at(900),
            request,
            node: "mind".into(),
            prompt_tokens: 37,
            cached_tokens: 12,
            generated_tokens: 7,
        }),
        Record::Ended(Ended { at: at(901), request, end: RequestEnd::Answered }),
        Record::Energy(EnergyTaken {
            at: at(902),
            total: joules(3.5),
            nodes: vec![("mind".into(), joules(1.25)), ("eye".into(), Energy::Unmeasured)],
            unattributed: joules(2.25),
        }),
        Record::End(Ending { at: at(903), end: RunEnd::Finished }),
    ]
}

/// A folder with a log of these records in it.
fn written(records: Vec<Record>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    let log = RunLog::create(&path, header()).unwrap();
    for record in records {
        log.write(|| record);
    }
    (folder, path)
}

/// What is read of a log, and how it ended.
fn read(path: &std::path::Path) -> Result<(Vec<Record>, Tail), ReadError> {
    let mut reader = RunLogReader::open(path)?;
    let records = reader.by_ref().collect::<Result<_, _>>()?;
    Ok((records, reader.tail().unwrap()))
}

#[test]
fn what_was_written_is_read_again() {
    let (_folder, path) = written(records());
    assert_eq!(RunLogReader::open(&path).unwrap().header(), &header());
    assert_eq!(read(&path).unwrap(), (records(), Tail::Whole));
    let bytes = fs::metadata(&path).unwrap().len();
    assert!(bytes < 500, "{bytes} bytes for {} records are not compact", records().len());
}

#[test]
fn a_log_that_was_cut_anywhere_is_read_up_to_its_last_whole_record() {
    let (folder, path) = written(records());
    let whole = fs::read(&path).unwrap();
    let cut = folder.path().join("cut.log");
    let mut most = 0;
    for length in 0..whole.len() {
        fs::write(&cut, &whole[..length]).unwrap();
        match read(&cut) {
            Err(error) => assert!(most == 0, "{error}: what was whole with fewer bytes is so with {length}"),
            Ok((read, tail)) => {
                assert_eq!(read, records()[..read.len()]);
                assert!(read.len() >= most, "{length} bytes");
                most = read.len();
                assert!(matches!(tail, Tail::Torn { .. } | Tail::CutShort), "{tail:?} with {length} bytes");
            }
        }
    }
    assert_eq!(most, records().len() - 1);
}

#[test]
fn what_is_left_out_is_said() {
    let (_folder, path) = written(records());
    let whole = fs::read(&path).unwrap();
    let warning = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let mut reader = RunLogReader::open(&path).unwrap();
        assert_eq!(reader.warning(), None, "nothing was read yet");
        reader.by_ref().for_each(drop);
        reader.warning().unwrap_or_default()
    };
    assert_eq!(warning(&whole), "");
    let torn = warning(&whole[..whole.len() - 1]);
    assert!(torn.contains("in the middle of a record: its last") && torn.contains("6 records are read"), "{torn}");
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let damaged = warning(&damaged);
    assert!(damaged.contains("run.log is damaged") && damaged.contains("6 records before"), "{damaged}");
}

#[test]
fn what_is_no_log_of_this_format_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let told = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        read(&path).unwrap_err().to_string()
    };
    assert!(told(b"hello, this is a text").contains("notes.txt is no run log of nanomind"));
    assert!(told(b"").contains("is no run log"));
    assert!(told(b"nanomind run log 7\nxyz").contains("format 7 of run logs; this program reads format 1"));
    assert!(told(MAGIC).contains("no whole header: expected the graph and device that ran, found nothing"));
    assert!(read(&folder.path().join("none")).unwrap_err().to_string().starts_with("cannot read the run log"));
}

#[test]
fn a_forged_length_takes_no_memory() {
    let (_folder, path) = written(records());
    let whole = fs::read(&path).unwrap();
    for claim in [u32::MAX, frame::LONGEST as u32 + 1, frame::LONGEST as u32, 4096] {
        let mut forged = whole.clone();
        forged.extend(claim.to_le_bytes());
        forged.extend([0; 12]);
        // In place of the end, so that the reader goes on to it.
        let mut reader = frame::Frames::new(&forged[whole.len()..], 16);
        let broken = reader.next().unwrap();
        assert!(matches!(broken, frame::Next::Broken(_)), "{claim}: {broken:?}");
    }
}

#[test]
fn a_full_disk_is_said_once_and_stops_nothing() {
    let full = std::path::Path::new("/dev/full");
    let error = RunLog::create(full, header()).unwrap_err().to_string();
    assert!(error.starts_with("cannot write the run log /dev/full: "), "{error}");
    let mut out = writer::Out::to(full).unwrap();
    assert!(out.write(&records()[0]).is_err());
    assert!(out.write(&records()[0]).is_ok(), "nobody hears of it twice");
}

proptest! {
    #[test]
    fn a_log_with_a_byte_changed_yields_true_records_or_none(position in 0usize..10_000, bit in 0u8..8) {
        let (_folder, path) = written(records());
        let mut bytes = fs::read(&path).unwrap();
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        if let Ok((read, tail)) = read(&path) {
            prop_assert_eq!(&read, &records()[..read.len()]);
            prop_assert!(read.len() < records().len() && tail != Tail::Whole, "{:?} with byte {} changed", tail, position);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(garbage in proptest::collection::vec(any::<u8>(), 0..600), sealed in any::<bool>()) {
        let (_folder, path) = written(Vec::new());
        let mut bytes = fs::read(&path).unwrap();
        if sealed {
            // A frame whose checksum is right, whatever is in it.
            let mut frame = Vec::new();
            frame::seal(&mut frame, &garbage).unwrap();
            bytes.extend(frame);
        } else {
            bytes.extend(garbage);
        }
        fs::write(&path, &bytes).unwrap();
        let (records, tail) = read(&path).unwrap();
        prop_assert!(records.len() <= 60 && (tail != Tail::Whole || records.len() == 1), "{:?}", records);
    }
}

/// What a governor is told as its battery runs down, and what it decides.
fn governed() -> Vec<governor::Record> {
    let levels = [0.9, 0.45, 0.44, 0.15, 0.1];
    let mut memory = governor::Memory::default();
    let step = |(number, level): (usize, f64)| {
        let battery = BatteryObservation { level, charging: false, watts: Some(3.25) };
        let seen = Observation {
            at: at(number as u64 * 250),
            battery: Some(battery),
            temperature_c: None,
            floor: None,
            demand: DemandObservation::default(),
            accelerators: Vec::new(),
            nodes: Vec::new(),
        };
        let input = Input::Observed(seen);
        let (next, decisions) = governor::step(header().policy, &memory, &input);
        memory = next;
        governor::Record { number: number as u64 + 1, input, decisions }
    };
    levels.into_iter().enumerate().map(step).collect()
}

fn replayed(records: Vec<governor::Record>) -> Replay {
    let (_folder, path) = written(records.into_iter().map(|record| Record::Governor(Box::new(record))).collect());
    replay(&mut RunLogReader::open(&path).unwrap()).unwrap()
}

#[test]
fn decisions_come_out_again_from_what_the_log_has() {
    let decisions = governed().iter().map(|record| record.decisions.len() as u64).sum();
    assert!(decisions >= 3, "{:?}", governed());
    assert_eq!(replayed(governed()), Replay { inputs: 5, decisions, difference: None });
}

#[test]
fn a_decision_that_was_tampered_with_and_a_record_that_is_missing_are_found() {
    let mut tampered = governed();
    let Some(governor::Decision { reason, .. }) = tampered[1].decisions.first_mut() else { panic!("{tampered:?}") };
    *reason = governor::Reason::Policy;
    let difference = replayed(tampered).difference.unwrap();
    assert_eq!((difference.number, difference.at), (2, at(250)), "{difference}");
    let told = difference.to_string();
    assert!(told.contains("recorded") && told.contains("the graph's power policy says so"), "{told}");
    let mut gap = governed();
    gap.remove(2);
    assert_eq!(replayed(gap).difference.unwrap().what, Parting::Missing { expected: 3 });
}

#[test]
fn reasons_within_reasons_without_end_are_refused() {
    let mut reason = governor::Reason::Policy;
    for _ in 0..2_000 {
        reason = governor::Reason::ModeChanged { mode: governor::Mode::Balanced, because: Box::new(reason) };
    }
    let mut records = governed();
    records[1].decisions[0].reason = reason;
    let (_folder, path) = written(records.into_iter().map(|record| Record::Governor(Box::new(record))).collect());
    let (read, tail) = read(&path).unwrap();
    assert!(read.len() == 1 && matches!(tail, Tail::Damaged { .. }), "{} records, {tail:?}", read.len());
}

#[test]
fn what_was_decided_is_told_in_sentences() {
    let (_folder, path) = written(governed().into_iter().map(|record| Record::Governor(Box::new(record))).collect());
    let ask = |question| why(&mut RunLogReader::open(&path).unwrap(), &question);
    let all = ask(Question::default()).unwrap().to_string();
    for told in [
        "graphs/chat.ron ran by Adaptive(high: 0.5, low: 0.2).",
        "At 0.250 s the mode went from performance to balanced: battery at 45.0 % is",
        "The battery was at 45.0 %, giving 3.25 W and no request was open.",
        "At 1.000 s the mode was power-saver",
    ] {
        assert!(all.contains(told), "{told:?} is missing:\n{all}");
    }
    let early = ask(Question { at: Some(Duration::from_millis(300)), brick: None }).unwrap();
    assert_eq!((early.state.mode, early.decisions.len()), (governor::Mode::Balanced, 1), "{early}");
    let error = ask(Question { brick: Some("mynd".into()), at: None }).unwrap_err().to_string();
    assert_eq!(error, r#"expected one of the bricks mind, found "mynd""#);
}
