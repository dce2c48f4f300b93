fn eight(part: Part, at: u32) -> Eight {
    let base = part.codes + 8u * at;
    let lo = vec4u(weights[base], weights[base + 1u], weights[base + 2u], weights[base + 3u]);
    let hi = vec4u(weights[base + 4u], weights[base + 5u], weights[base + 6u], weights[base + 7u]);
    return Eight(bitcast<vec4f>(lo), bitcast<vec4f>(hi), vec2f(1.0, 0.0));
}
