//! Numbers with a unit and with bounds: a profile that holds an absurd one does not parse.

use std::fmt;

use serde::Deserialize;

/// A number outside of what its quantity can be.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("expected {quantity} from {least} to {most}, found {found}")]
pub struct QuantityError {
    quantity: &'static str,
    least: f64,
    most: f64,
    found: f64,
}

macro_rules! quantities {
    ($($(#[$doc:meta])* $name:ident: $quantity:literal, $unit:literal, $least:literal to $most:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Deserialize)]
        #[serde(try_from = "f64")]
        pub struct $name(f64);

        impl $name {
            /// The quantity of this number.
            ///
            /// # Errors
            #[doc = concat!("It is not from ", $least, " to ", $most, ".")]
            pub fn new(found: f64) -> Result<$name, QuantityError> {
                let (least, most) = ($least as f64, $most as f64);
                if (least..=most).contains(&found) {
                    Ok($name(found))
                } else {
                    Err(QuantityError { quantity: $quantity, least, most, found })
                }
            }

            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = QuantityError;

            fn try_from(found: f64) -> Result<$name, QuantityError> {
                $name::new(found)
            }
        }

        impl Quantity for $name {
            const UNIT: &'static str = $unit;

            fn number(self) -> f64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}{}", self.0, if $unit.is_empty() { "" } else { " " }, $unit)
            }
        }
    )*};
}

/// What all quantities have.
pub(super) trait Quantity: Copy {
    const UNIT: &'static str;

    fn number(self) -> f64;
}

quantities! {
    /// Power.
    Watts: "watts", "W", 0 to 1_000;
    /// Electric tension.
    Volts: "volts", "V", 0.5 to 100;
    /// Electric charge, as battery labels have it.
    MilliampHours: "milliamp-hours", "mAh", 10 to 1_000_000;
    /// Energy, as battery labels have it.
    WattHours: "watt-hours", "Wh", 0.01 to 10_000;
    /// Billions of operations in a second, a multiply-add counting as two.
    Gops: "billions of operations a second", "GOPS", 0.01 to 10_000_000;
    /// Billions of bytes in a second.
    GigabytesPerSecond: "gigabytes a second", "GB/s", 0.01 to 100_000;
    /// A short time.
    Microseconds: "microseconds", "µs", 0 to 1_000_000;
    /// Memory, in units of 1024² bytes.
    Mebibytes: "mebibytes", "MiB", 1 to 16_777_216;
    /// A part of a whole.
    Fraction: "a fraction", "", 0.001 to 1;
}
