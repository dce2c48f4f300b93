//! Whether a slot can take the rows that are to be written into it.

use nanomind_hal::tabm::{ElementType, SlotWriter};

use super::error::VisionError;

/// Holds the slot against `rows` rows of `width` values in single precision.
pub(super) fn check_slot(slot: &SlotWriter, rows: usize, width: usize) -> Result<(), VisionError> {
    let geometry = slot.geometry();
    if geometry.element != ElementType::F32 {
        return Err(VisionError::SlotElement { found: geometry.element });
    }
    if geometry.width != width {
        return Err(VisionError::SlotWidth { expected: width, found: geometry.width });
    }
    if geometry.max_tokens < rows {
        return Err(VisionError::SlotRows { expected: rows, found: geometry.max_tokens });
    }
    Ok(())
}
