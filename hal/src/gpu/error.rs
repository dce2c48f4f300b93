//! What can go wrong with a graphics processor.

/// Why a graphics processor did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// There is no adapter at all.
    #[error(
        "no graphics processor with a Vulkan or Metal driver: install the driver of its vendor, or mesa-vulkan-drivers and libvulkan1"
    )]
    NoAdapter,
    /// There are adapters, but none that was asked for.
    #[error("no graphics processor {wanted:?}, found {found}")]
    NotFound {
        /// The index or part of a name that was asked for.
        wanted: String,
        /// The names of those that there are.
        found: String,
    },
    /// The driver does not open the device.
    #[error("{adapter} cannot be opened: {reason}")]
    NotOpened {
        /// The adapter.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// Its memory is full.
    #[error("{adapter} has no memory left for {bytes} bytes of {what}")]
    OutOfMemory {
        /// The adapter.
        adapter: String,
        /// What the memory was for.
        what: String,
        /// How much was wanted.
        bytes: u64,
    },
    /// More in one piece than the adapter can hold or bind.
    #[error("{bytes} bytes of {what} in one piece, but {adapter} takes at most {most}")]
    TooLarge {
        /// The adapter.
        adapter: String,
        /// What was to be so large.
        what: String,
        /// How large it was to be.
        bytes: u64,
        /// How large it may be.
        most: u64,
    },
    /// The device is gone, with all that was on it; whatever is asked of it later fails alike.
    #[error("{adapter} was lost")]
    Lost {
        /// The adapter.
        adapter: String,
    },
    /// The driver or its checks refused a command: a mistake of the caller, or of the driver.
    #[error("{adapter} refused: {reason}")]
    Refused {
        /// The adapter.
        adapter: String,
        /// What was said.
        reason: String,
    },
}
