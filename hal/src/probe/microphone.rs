//! Microphones: the capture devices of ALSA.

use std::fs;
use std::path::Path;

use super::{Finding, FindingKind, barred};

pub(super) fn probe(root: &Path) -> Vec<Finding> {
    let list = fs::read_to_string(root.join("proc/asound/pcm")).unwrap_or_default();
    let mut findings: Vec<Finding> = list.lines().filter_map(|line| capture(root, line)).collect();
    if findings.is_empty() {
        findings.push(Finding::none(
            FindingKind::Microphone,
            "ALSA shows no capture device in /proc/asound/pcm",
            "connect a microphone",
        ));
    }
    findings
}

/// A line such as `00-00: ALC257 Analog : ALC257 Analog : playback 1 : capture 1`: card, device, id, name, directions.
fn capture(root: &Path, line: &str) -> Option<Finding> {
    let mut fields = line.split(':').map(str::trim);
    let (card, device) = fields.next()?.split_once('-')?;
    let (card, device): (u32, u32) = (card.parse().ok()?, device.parse().ok()?);
    let _id = fields.next()?;
    let label = fields.next()?;
    fields.find(|direction| direction.starts_with("capture"))?;
    let file = root.join(format!("dev/snd/pcmC{card}D{device}c"));
    let found = format!("{label} (hw:{card},{device})");
    Some(Finding { kind: FindingKind::Microphone, found, lack: barred(&file, "audio") })
}
