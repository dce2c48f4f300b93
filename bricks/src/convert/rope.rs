//! The rotary position embeddings of a configuration: base, and the two kinds of scaling that are computed here.

use std::f64::consts::TAU;

use super::error::InputError;
use super::json::Json;
use super::section::positive;

/// How positions turn.
#[derive(Debug, Clone)]
pub(super) struct Rope {
    /// Base of the frequencies.
    pub(super) base: f64,
    /// Divisor of every position.
    pub(super) linear: Option<f64>,
    /// Divisor of each frequency, `[head_dim / 2]`: Llama 3's way to a longer context.
    pub(super) factors: Option<Vec<f32>>,
}

const DEFAULT_BASE: f64 = 10_000.0;

impl Rope {
    /// Reads `rope_parameters`, or the older `rope_scaling` with `rope_theta` beside it.
    pub(super) fn read(config: &Json<'_>, head_dim: usize) -> Result<Rope, InputError> {
        let parameters = config.find("rope_parameters").or_else(|| config.find("rope_scaling"));
        let base = parameters.as_ref().and_then(|parameters| parameters.find("rope_theta"));
        let base = match base.or_else(|| config.find("rope_theta")) {
            Some(base) if base.as_f64()? >= 1.0 => positive(&base, 1e12)?,
            Some(base) => return Err(base.unlike("a number of at least 1")),
            None => DEFAULT_BASE,
        };
        let plain = Rope { base, linear: None, factors: None };
        let Some(parameters) = parameters else { return Ok(plain) };
        let Some(kind) = parameters.find("rope_type").or_else(|| parameters.find("type")) else { return Ok(plain) };
        match kind.as_str()? {
            "default" => Ok(plain),
            "linear" => {
                let factor = parameters.get("factor", "a number")?;
                Ok(Rope { linear: Some(positive(&factor, 1e6)?), ..plain })
            }
            "llama3" => Ok(Rope { factors: Some(llama3(&parameters, base, head_dim)?), ..plain }),
            _ => Err(kind.unlike("one of the supported kinds of scaling: default, linear, llama3")),
        }
    }
}

/// By how much each frequency is divided: fast ones not at all, slow ones by `factor`, those between in part.
fn llama3(parameters: &Json<'_>, base: f64, head_dim: usize) -> Result<Vec<f32>, InputError> {
    let number = |name: &str, default: f64| match parameters.find(name) {
        Some(value) => positive(&value, 1e9),
        None => Ok(default),
    };
    let (factor, trained) = (number("factor", 8.0)?, number("original_max_position_embeddings", 8192.0)?);
    let (low, high) = (number("low_freq_factor", 1.0)?, number("high_freq_factor", 4.0)?);
    if low >= high {
        let high = parameters.find("high_freq_factor").unwrap_or_else(|| parameters.clone());
        return Err(high.unlike(format!("more than the low_freq_factor of {low}")));
    }
    let divisor = |pair: usize| {
        let wavelength = TAU * base.powf(2.0 * pair as f64 / head_dim as f64);
        let smooth = ((trained / wavelength - low) / (high - low)).clamp(0.0, 1.0);
        (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
    };
    Ok((0..head_dim / 2).map(divisor).collect())
}
