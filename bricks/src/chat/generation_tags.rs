//! `{% generation %}` marks what the model wrote, for training. Jinja does not know it, and rendering does not need it.

/// Turns each `{% generation %}` into `{% if true %}` and each `{% endgeneration %}` into `{% endif %}`, so that the
/// white space around them is treated as that around any other tag.
pub(super) fn neutralise(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let inner = &tag[2..end];
        let open = if inner.starts_with(['-', '+']) { 1 } else { 0 };
        let close = if inner.len() > open && inner.ends_with(['-', '+']) { 1 } else { 0 };
        let word = &inner[open..inner.len() - close];
        let instead = match word.trim() {
            "generation" => Some("if true"),
            "endgeneration" => Some("endif"),
            _ => None,
        };
        match instead {
            Some(instead) => {
                let (left, right) = (&inner[..open], &inner[inner.len() - close..]);
                // Lines stay where they are, for the messages of the engine.
                let lines = "\n".repeat(word.matches('\n').count());
                out.push_str(&format!("{{%{left} {instead} {lines}{right}%}}"));
                rest = &tag[end + 2..];
            }
            // Only the opening is certain to be one: a `%}` may stand in a string.
            None => {
                out.push_str("{%");
                rest = &tag[2..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_tags_become_tags_that_jinja_knows() {
        let template = "{% for m in x %}{%- generation -%}a{% endgeneration\n %}{{ '{%' }}{% if a == '%}' %}";
        let expected = "{% for m in x %}{%- if true -%}a{% endif \n%}{{ '{%' }}{% if a == '%}' %}";
        assert_eq!(neutralise(template), expected);
    }

    #[test]
    fn all_else_stays_as_it_is() {
        for text in ["", "{%", "{%%}", "{%-%}", "{%--%}", "a {% set generation = 1 %} b", "é{% %}é", "{% generation"]
        {
            assert_eq!(neutralise(text), text);
        }
    }
}
