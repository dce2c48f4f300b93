//! NVIDIA cards: the energy counter that their driver's library has. Where there is no such library, there are no cards.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

/// The library as the driver installs it: the name without a version comes with development files only.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// A card whose driver counts its energy.
#[derive(Clone, Debug)]
pub(super) struct Card {
    library: Arc<Nvml>,
    index: u32,
}

impl Card {
    /// The cards of this machine that count energy, which all since Volta do: what each is called, where its counter is,
    /// and it.
    pub(super) fn all() -> Vec<(String, PathBuf, Card)> {
        let Ok(library) = Nvml::builder().lib_path(OsStr::new(LIBRARY)).init() else { return Vec::new() };
        let library = Arc::new(library);
        let card = |index| {
            let name = library.device_by_index(index).and_then(|device| device.name()).ok()?;
            let card = Card { library: Arc::clone(&library), index };
            card.joules().ok()?;
            Some((format!("card {index} {name}"), PathBuf::from(format!("{LIBRARY} card {index}")), card))
        };
        (0..library.device_count().unwrap_or_default()).filter_map(card).collect()
    }

    /// The energy since the driver was loaded.
    pub(super) fn joules(&self) -> Result<f64, NvmlError> {
        let millijoules = self.library.device_by_index(self.index)?.total_energy_consumption()?;
        Ok(millijoules as f64 * 1e-3)
    }
}

/// Cards of one number are the same card.
impl PartialEq for Card {
    fn eq(&self, other: &Card) -> bool {
        self.index == other.index
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Clock;
    use crate::power::{MeterScope, energy_meters};
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn the_cards_of_this_machine_count_energy_and_a_machine_without_has_none() {
        let clock = Clock::system();
        let cards = energy_meters(Path::new("/")).into_iter().filter(|meter| meter.scope() == MeterScope::Card);
        for mut card in cards {
            assert!(card.name().starts_with("card "), "{}", card.name());
            let first = card.read(clock.now()).expect("a reading");
            clock.sleep_blocking(Duration::from_millis(300));
            let second = card.read(clock.now()).expect("a reading");
            let watts = second.watts.expect("a mean power");
            assert!(first.joules == 0.0 && (0.0..2_000.0).contains(&watts), "{}: {watts} W", card.name());
        }
        assert!(!energy_meters(Path::new("/no/such/root")).iter().any(|meter| meter.scope() == MeterScope::Card));
    }
}
