//! What a terminal can show, by what its environment says of it. Asking the terminal itself would take keys from whoever
//! reads its keyboard.

/// How a picture is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    /// Not at all.
    Name,
    /// Half a character cell a pixel, in any colour.
    Blocks,
    /// Half a character cell a pixel, in one of 216 colours.
    FewColours,
    /// Pixels, by kitty's graphics protocol.
    Kitty,
    /// Pixels, as sixels.
    Sixel,
}

/// Where the picture goes, and how to ask for a variable of the environment.
pub(super) struct Screen<F> {
    pub(super) terminal: bool,
    pub(super) variable: F,
}

impl<F: for<'a> Fn(&'a str) -> Option<String>> Screen<F> {
    /// How a picture is shown here, if `wanted` is what the graph says.
    pub(super) fn style(&self, wanted: &str) -> Style {
        let term = self.value("TERM");
        if !self.terminal || !self.value("NO_COLOR").is_empty() || matches!(term.as_str(), "" | "dumb") {
            return Style::Name;
        }
        match wanted {
            "name" => Style::Name,
            "kitty" => Style::Kitty,
            "sixel" => Style::Sixel,
            "blocks" => self.blocks(),
            _ => self.best(&term),
        }
    }

    fn best(&self, term: &str) -> Style {
        // A multiplexer passes on what it understands, whatever terminal it runs in.
        if term.starts_with("screen") || term.starts_with("tmux") {
            return self.blocks();
        }
        let program = self.value("TERM_PROGRAM");
        let is = |names: &[&str]| names.contains(&program.as_str());
        if term.contains("kitty") || term.contains("ghostty") || is(&["ghostty", "WezTerm"]) {
            Style::Kitty
        } else if term.starts_with("foot") || term.starts_with("mlterm") || is(&["iTerm.app", "mintty", "contour"]) {
            Style::Sixel
        } else {
            self.blocks()
        }
    }

    fn blocks(&self) -> Style {
        let (colours, term) = (self.value("COLORTERM"), self.value("TERM"));
        let all = matches!(colours.as_str(), "truecolor" | "24bit") || term.ends_with("-direct");
        if all { Style::Blocks } else { Style::FewColours }
    }

    fn value(&self, name: &str) -> String {
        (self.variable)(name).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(terminal: bool, variables: &[(&str, &str)], wanted: &str) -> Style {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Screen { terminal, variable: find }.style(wanted)
    }

    #[test]
    fn a_terminal_is_shown_the_best_that_it_says_it_can() {
        let auto = |variables: &[(&str, &str)]| style(true, variables, "auto");
        assert_eq!(auto(&[("TERM", "xterm-kitty")]), Style::Kitty);
        assert_eq!(auto(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")]), Style::Kitty);
        assert_eq!(auto(&[("TERM", "foot")]), Style::Sixel);
        assert_eq!(auto(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "iTerm.app")]), Style::Sixel);
        assert_eq!(auto(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]), Style::Blocks);
        assert_eq!(auto(&[("TERM", "xterm-256color")]), Style::FewColours);
        let in_tmux = [("TERM", "tmux-256color"), ("TERM_PROGRAM", "WezTerm"), ("COLORTERM", "truecolor")];
        assert_eq!(auto(&in_tmux), Style::Blocks, "a multiplexer knows nothing of kitty's protocol");
        assert_eq!(style(true, &[("TERM", "xterm")], "sixel"), Style::Sixel, "the graph says so");
    }

    #[test]
    fn a_pipe_a_dumb_terminal_and_a_person_who_wants_no_colours_get_the_name_alone() {
        for wanted in ["auto", "kitty", "sixel", "blocks", "name"] {
            assert_eq!(style(false, &[("TERM", "xterm-kitty")], wanted), Style::Name, "{wanted} in a pipe");
            assert_eq!(style(true, &[("TERM", "dumb")], wanted), Style::Name, "{wanted} on a dumb terminal");
            assert_eq!(style(true, &[], wanted), Style::Name, "{wanted} without TERM");
            let variables = [("TERM", "xterm-kitty"), ("NO_COLOR", "1")];
            assert_eq!(style(true, &variables, wanted), Style::Name, "{wanted} with NO_COLOR");
        }
    }
}
