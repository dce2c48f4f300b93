//! The profiles that are part of the library.

/// Names and texts, the smallest device first.
pub(super) const PROFILES: &[(&str, &str)] = &[
    ("rk3566", include_str!("../../profiles/rk3566.ron")),
    ("rk3588", include_str!("../../profiles/rk3588.ron")),
    ("rpi5", include_str!("../../profiles/rpi5.ron")),
    ("jetson-orin-nano", include_str!("../../profiles/jetson-orin-nano.ron")),
    ("laptop", include_str!("../../profiles/laptop.ron")),
];
