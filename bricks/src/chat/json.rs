//! JSON as Python's `json.dumps` writes it: templates were trained on its spaces.

use serde_json::Value;

/// The options of `json.dumps` that templates use.
#[derive(Debug, Clone)]
pub(super) struct Dumps {
    /// Spaces of one level; `None` puts all on one line.
    pub(super) indent: Option<usize>,
    pub(super) ensure_ascii: bool,
    pub(super) sort_keys: bool,
    /// Between items, and between a key and its value.
    pub(super) separators: (String, String),
}

impl Dumps {
    pub(super) fn write(&self, value: &Value) -> String {
        let mut out = String::new();
        self.write_value(value, 0, &mut out);
        out
    }

    fn write_value(&self, value: &Value, depth: usize, out: &mut String) {
        match value {
            Value::String(text) => self.write_text(text, out),
            Value::Array(items) => {
                let write = |item: &&Value, out: &mut String| self.write_value(item, depth + 1, out);
                self.write_items(('[', ']'), &items.iter().collect::<Vec<_>>(), depth, write, out);
            }
            Value::Object(map) => {
                let mut entries: Vec<(&String, &Value)> = map.iter().collect();
                if self.sort_keys {
                    entries.sort_by_key(|entry| entry.0);
                }
                let write = |&(key, value): &(&String, &Value), out: &mut String| {
                    self.write_text(key, out);
                    out.push_str(&self.separators.1);
                    self.write_value(value, depth + 1, out);
                };
                self.write_items(('{', '}'), &entries, depth, write, out);
            }
            other => out.push_str(&other.to_string()),
        }
    }

    fn write_items<T>(
        &self,
        brackets: (char, char),
        items: &[T],
        depth: usize,
        write: impl Fn(&T, &mut String),
        out: &mut String,
    ) {
        out.push(brackets.0);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(&self.separators.0);
            }
            self.write_break(depth + 1, out);
            write(item, out);
        }
        if !items.is_empty() {
            self.write_break(depth, out);
        }
        out.push(brackets.1);
    }

    fn write_break(&self, depth: usize, out: &mut String) {
        if let Some(indent) = self.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn write_text(&self, text: &str, out: &mut String) {
        let quoted = Value::from(text).to_string();
        if !self.ensure_ascii {
            out.push_str(&quoted);
            return;
        }
        for character in quoted.chars() {
            if character.is_ascii() {
                out.push(character);
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain() -> Dumps {
        Dumps { indent: None, ensure_ascii: false, sort_keys: false, separators: (", ".into(), ": ".into()) }
    }

    #[test]
    fn spaces_order_and_escapes_are_pythons() {
        let value = json!({"b": [1, 2.5, null, true, []], "a": {"é<&>'": "x\n\"\u{1}"}});
        assert_eq!(plain().write(&value), r#"{"b": [1, 2.5, null, true, []], "a": {"é<&>'": "x\n\"\u0001"}}"#);
        let sorted = Dumps { sort_keys: true, ensure_ascii: true, ..plain() };
        assert_eq!(sorted.write(&json!({"b": "é😀", "a": 1})), r#"{"a": 1, "b": "\u00e9\ud83d\ude00"}"#);
    }

    #[test]
    fn indented_json_breaks_lines_as_python_does() {
        let indented = Dumps { indent: Some(2), separators: (",".into(), ": ".into()), ..plain() };
        assert_eq!(
            indented.write(&json!({"a": [1, {}], "b": []})),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"
        );
    }
}
